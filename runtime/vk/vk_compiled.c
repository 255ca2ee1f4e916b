// What a driver says of the machine code that it has made of a pipeline, through
// VK_KHR_pipeline_executable_properties. For people who write kernels: programs never ask.
#include "vk/vk_internal.h"

#include <stdio.h>

static double number_of(const VkPipelineExecutableStatisticKHR *statistic)
{
    switch (statistic->format) {
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_BOOL32_KHR:
        return statistic->value.b32 ? 1 : 0;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_INT64_KHR:
        return (double)statistic->value.i64;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_UINT64_KHR:
        return (double)statistic->value.u64;
    default:
        return statistic->value.f64;
    }
}

static espy_status read_facts(struct vk_device *device, const VkPipelineExecutableInfoKHR *info,
                              struct vk_compiled *compiled)
{
    struct vk_instance *vk = &device->vk;
    espy_status status = ESPY_OK;
    VkPipelineExecutableStatisticKHR statistics[VK_FACTS_MAX];
    uint32_t count = VK_FACTS_MAX;
    for (uint32_t i = 0; i < VK_FACTS_MAX; i++)
        statistics[i] = (VkPipelineExecutableStatisticKHR){
            .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR};
    VK(vk, vk->table.GetPipelineExecutableStatisticsKHR(device->device, info, &count, statistics));
    for (uint32_t i = 0; i < count; i++) {
        snprintf(compiled->facts[i].name, VK_FACT_NAME_SIZE, "%s", statistics[i].name);
        compiled->facts[i].value = number_of(&statistics[i]);
    }
    compiled->fact_count = count;
error:
    return status;
}

// Asks for the sizes first, then for the text.
static espy_status add_representations(struct vk_device *device,
                                       const VkPipelineExecutableInfoKHR *info, struct text *text)
{
    enum { REPRESENTATIONS_MAX = 16 };
    struct vk_instance *vk = &device->vk;
    espy_status status = ESPY_OK;
    VkPipelineExecutableInternalRepresentationKHR items[REPRESENTATIONS_MAX];
    void *chars[REPRESENTATIONS_MAX] = {NULL};
    uint32_t count = REPRESENTATIONS_MAX;
    for (uint32_t i = 0; i < REPRESENTATIONS_MAX; i++)
        items[i] = (VkPipelineExecutableInternalRepresentationKHR){
            .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INTERNAL_REPRESENTATION_KHR};
    VK(vk, vk->table.GetPipelineExecutableInternalRepresentationsKHR(device->device, info, &count,
                                                                      items));
    for (uint32_t i = 0; i < count; i++) {
        chars[i] = espy_alloc(&vk->host, items[i].dataSize + 1);
        if (chars[i] == NULL) {
            status = espy_fail_memory(&vk->host, items[i].dataSize + 1, "a representation");
            goto error;
        }
        items[i].pData = chars[i];
    }
    VK(vk, vk->table.GetPipelineExecutableInternalRepresentationsKHR(device->device, info, &count,
                                                                      items));
    for (uint32_t i = 0; i < count; i++)
        if (items[i].isText)
            espy_text_add(text, "==== %s ====\n%s\n", items[i].name, (const char *)chars[i]);
error:
    for (uint32_t i = 0; i < REPRESENTATIONS_MAX; i++)
        espy_free(&vk->host, chars[i]);
    return status;
}

// A compute pipeline is one executable, as far as there are any.
static espy_status describe(struct vk_device *device, VkPipeline pipeline,
                            struct vk_compiled *compiled, struct text *text)
{
    struct vk_instance *vk = &device->vk;
    espy_status status = ESPY_OK;
    const VkPipelineInfoKHR which = {.sType = VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR,
                                     .pipeline = pipeline};
    const VkPipelineExecutableInfoKHR info = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, .pipeline = pipeline};
    VkPipelineExecutablePropertiesKHR properties = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_PROPERTIES_KHR};
    uint32_t count = 1;
    VK(vk, vk->table.GetPipelineExecutablePropertiesKHR(device->device, &which, &count,
                                                        &properties));
    if (count == 0)
        return ESPY_OK;
    compiled->subgroup_size = properties.subgroupSize;
    TRY(read_facts(device, &info, compiled));
    if (text == NULL)
        return ESPY_OK;
    TRY(add_representations(device, &info, text));
    return text->failed ? ESPY_OUT_OF_MEMORY : ESPY_OK; // logged by the text
error:
    return status;
}

bool espy_vk_device_describes(const struct vk_device *device)
{
    return device->compiled_facts;
}

espy_status espy_vk_compiled_describe(struct vk_device *device,
                                      const struct plan_dispatch *dispatch,
                                      struct vk_compiled *compiled, struct text *representations)
{
    const struct vk_pipeline *pipeline = NULL;
    *compiled = (struct vk_compiled){0};
    TRY(espy_vk_pipelines_get(device, dispatch, 1, &pipeline));
    return device->compiled_facts
               ? describe(device, pipeline->pipeline, compiled, representations)
               : ESPY_OK;
}
