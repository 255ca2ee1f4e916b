// Pipelines of a device, shared by its programs: one per shader and values of its specialization
// constants.
#include "vk/vk_internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { CALL_SIZE_MAX = 160 };

static VkDescriptorType descriptor_type(enum shader_binding_kind kind)
{
    switch (kind) {
    case BINDING_UNIFORM_TEXELS:
        return VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER;
    case BINDING_STORAGE_TEXELS:
        return VK_DESCRIPTOR_TYPE_STORAGE_TEXEL_BUFFER;
    default:
        return VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
    }
}

static void kernel_finish(struct vk_device *device, struct vk_kernel *kernel)
{
    const struct vk_table *table = &device->vk.table;
    if (kernel->layout != VK_NULL_HANDLE)
        table->DestroyPipelineLayout(device->device, kernel->layout, NULL);
    if (kernel->set_layout != VK_NULL_HANDLE)
        table->DestroyDescriptorSetLayout(device->device, kernel->set_layout, NULL);
    *kernel = (struct vk_kernel){0};
}

static espy_status check_shader(const struct vk_device *device, const struct shader *shader)
{
    const struct caps *caps = &device->caps;
    const char *lacks = NULL;
    if (shader->uses_storage16 && !caps->storage_f16)
        lacks = "16-bit storage";
    else if (shader->uses_subgroups && !caps->subgroups)
        lacks = "subgroup operations";
    else if (shader->uses_matrices && caps->matrix_count == 0)
        lacks = "cooperative matrices";
    if (lacks != NULL)
        return espy_fail(&device->vk.host, ESPY_UNSUPPORTED,
                         "kernel '%s' needs %s, which the device '%s' does not have", shader->name,
                         lacks, device->info.name);
    return ESPY_OK;
}

static espy_status kernel_init(struct vk_device *device, const struct shader *shader,
                               struct vk_kernel *kernel)
{
    struct vk_instance *vk = &device->vk;
    espy_status status = ESPY_OK;
    VkDescriptorSetLayoutBinding bindings[SHADER_BINDINGS_MAX];
    uint32_t count = 0;
    assert(shader->binding_count <= SHADER_BINDINGS_MAX);
    TRY(check_shader(device, shader));
    kernel->shader = shader;
    for (uint32_t i = 0; i < shader->binding_count; i++) {
        if (shader->bindings[i].kind == BINDING_UNUSED)
            continue;
        bindings[count++] = (VkDescriptorSetLayoutBinding){
            .binding = i,
            .descriptorType = descriptor_type(shader->bindings[i].kind),
            .descriptorCount = 1,
            .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT};
    }
    const VkDescriptorSetLayoutCreateInfo set = {
        .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
        .bindingCount = count,
        .pBindings = bindings};
    const VkPushConstantRange push = {.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
                                      .size = shader->push_size};
    VK(vk, vk->table.CreateDescriptorSetLayout(device->device, &set, NULL, &kernel->set_layout));
    const VkPipelineLayoutCreateInfo layout = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
        .setLayoutCount = 1,
        .pSetLayouts = &kernel->set_layout,
        .pushConstantRangeCount = shader->push_size > 0 ? 1 : 0,
        .pPushConstantRanges = &push};
    VK(vk, vk->table.CreatePipelineLayout(device->device, &layout, NULL, &kernel->layout));
    return ESPY_OK;
error:
    kernel_finish(device, kernel);
    return status;
}

static espy_status get_kernel(struct vk_device *device, const struct shader *shader,
                              const struct vk_kernel **result)
{
    const struct host *host = &device->vk.host;
    struct vk_pipelines *pipelines = &device->pipelines;
    for (uint32_t i = 0; i < pipelines->kernel_count; i++) {
        if (espy_shader_same(pipelines->kernels[i]->shader, shader)) {
            *result = pipelines->kernels[i];
            return ESPY_OK;
        }
    }
    TRY(espy_grow(host, &pipelines->kernels, pipelines->kernel_count, &pipelines->kernel_capacity,
                  sizeof(struct vk_kernel *)));
    struct vk_kernel *kernel = espy_alloc(host, sizeof(*kernel));
    if (kernel == NULL)
        return espy_fail_memory(host, sizeof(*kernel), "a kernel");
    const espy_status status = kernel_init(device, shader, kernel);
    if (status != ESPY_OK) {
        espy_free(host, kernel);
        return status;
    }
    pipelines->kernels[pipelines->kernel_count++] = kernel;
    *result = kernel;
    return ESPY_OK;
}

static bool is_pipeline_of(const struct vk_pipeline *item, const struct plan_dispatch *dispatch)
{
    return item->spec_size == dispatch->spec_size &&
           (item->spec_size == 0 || memcmp(item->spec, dispatch->spec, item->spec_size) == 0) &&
           espy_shader_same(item->kernel->shader, dispatch->shader);
}

// Finds or adds an entry, which may still have no VkPipeline.
static espy_status get_entry(struct vk_device *device, const struct plan_dispatch *dispatch,
                             struct vk_pipeline **result)
{
    const struct host *host = &device->vk.host;
    struct vk_pipelines *pipelines = &device->pipelines;
    for (uint32_t i = 0; i < pipelines->count; i++) {
        struct vk_pipeline *item = pipelines->items[i];
        if (is_pipeline_of(item, dispatch)) {
            *result = item;
            return ESPY_OK;
        }
    }
    const struct vk_kernel *kernel = NULL;
    TRY(get_kernel(device, dispatch->shader, &kernel));
    TRY(espy_grow(host, &pipelines->items, pipelines->count, &pipelines->capacity,
                  sizeof(struct vk_pipeline *)));
    // The constants' copy lies behind the entry.
    struct vk_pipeline *item = espy_alloc(host, sizeof(*item) + dispatch->spec_size);
    if (item == NULL)
        return espy_fail_memory(host, sizeof(*item) + dispatch->spec_size, "a pipeline");
    item->kernel = kernel;
    item->spec_size = dispatch->spec_size;
    if (dispatch->spec_size > 0) {
        item->spec = item + 1;
        memcpy(item->spec, dispatch->spec, dispatch->spec_size);
    }
    pipelines->items[pipelines->count++] = item;
    *result = item;
    return ESPY_OK;
}

static VkResult create_pipeline(struct vk_device *device, struct vk_pipeline *item)
{
    const struct shader *shader = item->kernel->shader;
    const VkPipelineShaderStageRequiredSubgroupSizeCreateInfo pin = {
        .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_REQUIRED_SUBGROUP_SIZE_CREATE_INFO,
        .requiredSubgroupSize = device->caps.subgroup_size};
    const bool pinned = shader->uses_subgroups && device->pins_subgroup_size;
    // All such kernels have workgroups of whole subgroups, and count on them.
    const bool full = shader->uses_subgroups && device->fills_subgroups;
    const VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .flags = device->compiled_facts
                     ? VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR |
                           VK_PIPELINE_CREATE_CAPTURE_INTERNAL_REPRESENTATIONS_BIT_KHR
                     : 0,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .pNext = pinned ? &pin : NULL,
                  .flags = full ? VK_PIPELINE_SHADER_STAGE_CREATE_REQUIRE_FULL_SUBGROUPS_BIT : 0,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .module = item->module,
                  .pName = "main"},
        .layout = item->kernel->layout};
    return device->vk.table.CreateComputePipelines(device->device, device->pipelines.cache, 1,
                                                   &info, NULL, &item->pipeline);
}

// Shared by the workers of one call.
struct creation {
    struct vk_device *device;
    struct vk_pipeline **items;
    uint32_t count;
    _Atomic uint32_t next;
    atomic_bool failed;
};

// The application's callbacks may be for its own threads only, so nothing is allocated or logged.
static void create_items(void *user)
{
    struct creation *creation = user;
    for (;;) {
        const uint32_t i = atomic_fetch_add(&creation->next, 1);
        if (i >= creation->count || atomic_load(&creation->failed))
            return;
        creation->items[i]->result = create_pipeline(creation->device, creation->items[i]);
        if (creation->items[i]->result < 0)
            atomic_store(&creation->failed, true);
    }
}

// A module per pipeline, with its constants in place.
static espy_status create_modules(struct vk_device *device, struct vk_pipeline **items,
                                  uint32_t count)
{
    struct vk_instance *vk = &device->vk;
    espy_status status = ESPY_OK;
    size_t room = 0, size = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct shader *shader = items[i]->kernel->shader;
        room = espy_vk_specialize_room(shader) > room ? espy_vk_specialize_room(shader) : room;
        size = shader->words_size > size ? shader->words_size : size;
    }
    struct spirv_fact *facts = espy_alloc_array(&vk->host, room, sizeof(*facts));
    uint32_t *words = espy_alloc(&vk->host, size);
    if (facts == NULL || words == NULL) {
        status = espy_fail_memory(&vk->host, size + room * sizeof(*facts), "a shader");
        goto error;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct shader *shader = items[i]->kernel->shader;
        assert(items[i]->spec_size == 0 ||
               items[i]->spec_size == shader->spec_count * sizeof(uint32_t));
        const VkShaderModuleCreateInfo info = {
            .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
            .codeSize = espy_vk_specialize(shader, items[i]->spec, facts, words),
            .pCode = words};
        VK(vk, vk->table.CreateShaderModule(device->device, &info, NULL, &items[i]->module));
    }
error:
    espy_free(&vk->host, words);
    espy_free(&vk->host, facts);
    return status;
}

static void destroy_modules(struct vk_device *device, struct vk_pipeline **items, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (items[i]->module != VK_NULL_HANDLE)
            device->vk.table.DestroyShaderModule(device->device, items[i]->module, NULL);
        items[i]->module = VK_NULL_HANDLE;
    }
}

static espy_status create_missing(struct vk_device *device, struct vk_pipeline **items,
                                  uint32_t count)
{
    struct creation creation = {.device = device, .items = items, .count = count};
    // The validation layer calls back into the log from the thread it is called on.
    const bool parallel = device->vk.messenger == VK_NULL_HANDLE;
    for (uint32_t i = 0; i < count; i++)
        items[i]->result = VK_SUCCESS;
    if (parallel)
        espy_vk_workers_run(count, create_items, &creation);
    else
        create_items(&creation);
    for (uint32_t i = 0; i < count; i++) {
        if (items[i]->pipeline != VK_NULL_HANDLE)
            device->pipelines.created_count++;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (items[i]->result >= 0)
            continue;
        items[i]->pipeline = VK_NULL_HANDLE;
        char call[CALL_SIZE_MAX];
        snprintf(call, sizeof(call), "vkCreateComputePipelines for kernel '%s'",
                 items[i]->kernel->shader->name);
        return espy_vk_fail(&device->vk, items[i]->result, call);
    }
    return ESPY_OK;
}

bool espy_vk_pipelines_has(struct vk_device *device, const struct plan_dispatch *dispatch)
{
    const struct vk_pipelines *pipelines = &device->pipelines;
    bool found = false;
    espy_vk_mutex_lock(&device->pipelines.mutex);
    for (uint32_t i = 0; i < pipelines->count && !found; i++)
        found = pipelines->items[i]->pipeline != VK_NULL_HANDLE &&
                is_pipeline_of(pipelines->items[i], dispatch);
    espy_vk_mutex_unlock(&device->pipelines.mutex);
    return found;
}

void espy_vk_pipelines_ran(struct vk_device *device, const struct plan_dispatch *const *dispatches,
                           uint32_t count)
{
    const struct vk_pipelines *pipelines = &device->pipelines;
    espy_vk_mutex_lock(&device->pipelines.mutex);
    for (uint32_t k = 0; k < count; k++)
        for (uint32_t i = 0; i < pipelines->count; i++)
            if (is_pipeline_of(pipelines->items[i], dispatches[k]))
                pipelines->items[i]->ran = true;
    espy_vk_mutex_unlock(&device->pipelines.mutex);
}

espy_status espy_vk_pipelines_get(struct vk_device *device, const struct plan_dispatch *dispatches,
                                  uint32_t count, const struct vk_pipeline **results)
{
    const struct host *host = &device->vk.host;
    espy_status status = ESPY_OK;
    if (count == 0)
        return ESPY_OK;
    struct vk_pipeline **missing = espy_alloc_array(host, count, sizeof(struct vk_pipeline *));
    uint32_t missing_count = 0;
    if (missing == NULL)
        return espy_fail_memory(host, count * sizeof(struct vk_pipeline *), "a list of pipelines");
    espy_vk_mutex_lock(&device->pipelines.mutex);
    for (uint32_t i = 0; i < count; i++) {
        struct vk_pipeline *item = NULL;
        CHECK(get_entry(device, &dispatches[i], &item));
        results[i] = item;
        // A new entry is met again by later dispatches before it is created.
        if (item->pipeline == VK_NULL_HANDLE && item->result != VK_NOT_READY) {
            item->result = VK_NOT_READY;
            missing[missing_count++] = item;
        }
    }
    if (missing_count > 0) {
        CHECK(create_modules(device, missing, missing_count));
        status = create_missing(device, missing, missing_count);
    }
error:
    destroy_modules(device, missing, missing_count);
    for (uint32_t i = 0; i < missing_count; i++)
        missing[i]->result = VK_SUCCESS;
    espy_vk_mutex_unlock(&device->pipelines.mutex);
    espy_free(host, missing);
    return status;
}

espy_status espy_vk_pipelines_init(struct vk_device *device, const char *cache_dir)
{
    struct vk_instance *vk = &device->vk;
    struct vk_pipelines *pipelines = &device->pipelines;
    espy_status status = ESPY_OK;
    void *data = NULL;
    size_t size = 0;
    if (cache_dir != NULL && cache_dir[0] != '\0')
        TRY(espy_vk_cache_file_path(&vk->host, cache_dir, &device->cache_key,
                                    VK_CACHE_PIPELINES, &pipelines->cache_path));
    if (pipelines->cache_path != NULL) { // else it has been said why
        TRY(espy_vk_cache_file_path(&vk->host, cache_dir, &device->cache_key, VK_CACHE_CHOICES,
                                    &device->choices_path));
        data = espy_vk_cache_file_load(&vk->host, pipelines->cache_path, &device->cache_key,
                                       VK_CACHE_PIPELINES, &size);
    }
    const VkPipelineCacheCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO,
                                            .initialDataSize = size,
                                            .pInitialData = data};
    VK(vk, vk->table.CreatePipelineCache(device->device, &info, NULL, &pipelines->cache));
    pipelines->loaded_size = size;
    pipelines->loaded_crc = espy_crc32(0, data, size);
error:
    espy_free(&vk->host, data);
    return status;
}

// Only warns: a program that worked must not fail at its end.
static void save_cache(struct vk_device *device)
{
    const struct host *host = &device->vk.host;
    const struct vk_table *table = &device->vk.table;
    const struct vk_pipelines *pipelines = &device->pipelines;
    size_t size = 0;
    if (pipelines->cache_path == NULL || pipelines->created_count == 0 ||
        atomic_load(&device->vk.lost))
        return;
    VkResult result = table->GetPipelineCacheData(device->device, pipelines->cache, &size, NULL);
    void *data = result == VK_SUCCESS ? espy_alloc(host, size) : NULL;
    if (data != NULL)
        result = table->GetPipelineCacheData(device->device, pipelines->cache, &size, data);
    if (data == NULL || result != VK_SUCCESS) {
        espy_log(host, ESPY_LOG_WARNING, "the pipeline cache was not saved: %s",
                 result != VK_SUCCESS ? espy_vk_result_name(result) : "out of memory");
    } else if (size != pipelines->loaded_size ||
               espy_crc32(0, data, size) != pipelines->loaded_crc) {
        espy_vk_cache_file_save(host, pipelines->cache_path, &device->cache_key,
                                VK_CACHE_PIPELINES, data, size);
    }
    espy_free(host, data);
}

void espy_vk_pipelines_finish(struct vk_device *device)
{
    const struct host *host = &device->vk.host;
    const struct vk_table *table = &device->vk.table;
    struct vk_pipelines *pipelines = &device->pipelines;
    if (pipelines->cache != VK_NULL_HANDLE) {
        save_cache(device);
        table->DestroyPipelineCache(device->device, pipelines->cache, NULL);
    }
    for (uint32_t i = 0; i < pipelines->count; i++) {
        if (pipelines->items[i]->pipeline != VK_NULL_HANDLE)
            table->DestroyPipeline(device->device, pipelines->items[i]->pipeline, NULL);
        espy_free(host, pipelines->items[i]);
    }
    for (uint32_t i = 0; i < pipelines->kernel_count; i++) {
        kernel_finish(device, pipelines->kernels[i]);
        espy_free(host, pipelines->kernels[i]);
    }
    espy_free(host, pipelines->items);
    espy_free(host, pipelines->kernels);
    espy_free(host, pipelines->cache_path);
    espy_free(host, device->choices_path);
    device->choices_path = NULL;
    pipelines->cache = VK_NULL_HANDLE;
    pipelines->items = NULL;
    pipelines->kernels = NULL;
    pipelines->cache_path = NULL;
    pipelines->count = pipelines->kernel_count = 0;
}
