// Which memory each dispatch of a program sees.
#include "vk/vk_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

// Components of one texel: a binding called weights4 is read four at a time.
static uint32_t texel_components(const struct shader_binding *binding)
{
    const size_t length = strlen(binding->name);
    return length > 0 && binding->name[length - 1] == '4' ? 4 : 1;
}

struct texel_format {
    VkFormat format;
    uint32_t size; // bytes
};

static struct texel_format texel_format(enum storage storage, uint32_t components)
{
    const bool four = components == 4;
    switch (storage) {
    case STORAGE_F16:
        return four ? (struct texel_format){VK_FORMAT_R16G16B16A16_SFLOAT, 8}
                    : (struct texel_format){VK_FORMAT_R16_SFLOAT, 2};
    case STORAGE_I32:
        return four ? (struct texel_format){VK_FORMAT_R32G32B32A32_SINT, 16}
                    : (struct texel_format){VK_FORMAT_R32_SINT, 4};
    case STORAGE_U32:
        return four ? (struct texel_format){VK_FORMAT_R32G32B32A32_UINT, 16}
                    : (struct texel_format){VK_FORMAT_R32_UINT, 4};
    case STORAGE_I64: // low and high word
        return four ? (struct texel_format){VK_FORMAT_R32G32B32A32_UINT, 16}
                    : (struct texel_format){VK_FORMAT_R32G32_UINT, 8};
    case STORAGE_F32:
    case STORAGE_PACKED: // bound as words only
        break;
    }
    return four ? (struct texel_format){VK_FORMAT_R32G32B32A32_SFLOAT, 16}
                : (struct texel_format){VK_FORMAT_R32_SFLOAT, 4};
}

static const char *buffer_name(const struct vk_program *program, uint32_t index)
{
    const char *name = program->plan->buffers[index].name;
    return name != NULL ? name : "unnamed";
}

static espy_status check_texels(const struct vk_program *program, uint32_t index,
                                enum shader_binding_kind kind, struct texel_format format)
{
    const struct vk_device *device = program->device;
    const struct plan_buffer *buffer = &program->plan->buffers[index];
    const uint64_t count = (buffer->size + format.size - 1) / format.size;
    if (count > device->caps.texel_elements_max)
        return espy_fail(&device->vk.host, ESPY_UNSUPPORTED,
                         "buffer %u ('%s') has %" PRIu64 " texels, the device '%s' allows %" PRIu64,
                         index, buffer_name(program, index), count, device->info.name,
                         device->caps.texel_elements_max);
    VkFormatProperties properties;
    device->vk.table.GetPhysicalDeviceFormatProperties(device->physical, format.format,
                                                       &properties);
    const VkFormatFeatureFlags needed = kind == BINDING_UNIFORM_TEXELS
                                            ? VK_FORMAT_FEATURE_UNIFORM_TEXEL_BUFFER_BIT
                                            : VK_FORMAT_FEATURE_STORAGE_TEXEL_BUFFER_BIT;
    if ((properties.bufferFeatures & needed) == 0)
        return espy_fail(&device->vk.host, ESPY_UNSUPPORTED,
                         "buffer %u ('%s') as texels of VkFormat %d: the device '%s' cannot", index,
                         buffer_name(program, index), (int)format.format, device->info.name);
    return ESPY_OK;
}

static espy_status get_texel_view(struct vk_program *program, uint32_t index,
                                  const struct shader_binding *binding, VkBufferView *result)
{
    struct vk_device *device = program->device;
    struct vk_instance *vk = &device->vk;
    const struct plan_buffer *buffer = &program->plan->buffers[index];
    const struct texel_format format = texel_format(buffer->storage, texel_components(binding));
    espy_status status = ESPY_OK;
    for (uint32_t i = 0; i < program->texel_view_count; i++) {
        const struct vk_texel_view *view = &program->texel_views[i];
        if (view->buffer == index && view->format == format.format && view->kind == binding->kind) {
            *result = view->view;
            return ESPY_OK;
        }
    }
    TRY(check_texels(program, index, binding->kind, format));
    TRY(espy_grow(&vk->host, &program->texel_views, program->texel_view_count,
                  &program->texel_view_capacity, sizeof(struct vk_texel_view)));
    uint64_t offset;
    const struct vk_buffer *place = espy_vk_program_place(program, index, &offset);
    // The last texel may be a part of one; buffers have slack for that.
    const VkBufferViewCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_VIEW_CREATE_INFO,
                                         .buffer = place->buffer,
                                         .format = format.format,
                                         .offset = offset,
                                         .range = (buffer->size + format.size - 1) / format.size *
                                                  format.size};
    VkBufferView view;
    VK(vk, vk->table.CreateBufferView(device->device, &info, NULL, &view));
    program->texel_views[program->texel_view_count++] = (struct vk_texel_view){
        .buffer = index, .kind = binding->kind, .format = format.format, .view = view};
    *result = view;
error:
    return status;
}

static espy_status storage_range(const struct vk_program *program, uint32_t index,
                                 VkDescriptorBufferInfo *info)
{
    const struct vk_device *device = program->device;
    const struct plan_buffer *buffer = &program->plan->buffers[index];
    if (buffer->size > device->caps.buffer_range_max)
        return espy_fail(&device->vk.host, ESPY_UNSUPPORTED,
                         "buffer %u ('%s') has %" PRIu64 " bytes, the device '%s' can bind %" PRIu64
                         " at once",
                         index, buffer_name(program, index), buffer->size, device->info.name,
                         device->caps.buffer_range_max);
    assert(buffer->size > 0);
    uint64_t offset;
    const struct vk_buffer *place = espy_vk_program_place(program, index, &offset);
    assert(offset % device->caps.buffer_alignment == 0);
    *info =
        (VkDescriptorBufferInfo){.buffer = place->buffer, .offset = offset, .range = buffer->size};
    return ESPY_OK;
}

static espy_status write_set(struct vk_program *program, const struct plan_dispatch *dispatch,
                             VkDescriptorSet set)
{
    const struct shader *shader = dispatch->shader;
    const struct vk_device *device = program->device;
    VkWriteDescriptorSet writes[SHADER_BINDINGS_MAX];
    VkDescriptorBufferInfo buffers[SHADER_BINDINGS_MAX];
    VkBufferView views[SHADER_BINDINGS_MAX];
    uint32_t count = 0;
    assert(dispatch->binding_count >= shader->binding_count);
    for (uint32_t i = 0; i < shader->binding_count; i++) {
        const struct shader_binding *binding = &shader->bindings[i];
        if (binding->kind == BINDING_UNUSED)
            continue;
        const uint32_t index = dispatch->bindings[i].buffer;
        assert(index < program->plan->buffer_count);
        VkWriteDescriptorSet *write = &writes[count++];
        *write = (VkWriteDescriptorSet){.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET,
                                        .dstSet = set,
                                        .dstBinding = i,
                                        .descriptorCount = 1};
        if (binding->kind == BINDING_BUFFER) {
            TRY(storage_range(program, index, &buffers[i]));
            write->descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
            write->pBufferInfo = &buffers[i];
        } else {
            TRY(get_texel_view(program, index, binding, &views[i]));
            write->descriptorType = binding->kind == BINDING_UNIFORM_TEXELS
                                        ? VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER
                                        : VK_DESCRIPTOR_TYPE_STORAGE_TEXEL_BUFFER;
            write->pTexelBufferView = &views[i];
        }
    }
    if (count > 0)
        device->vk.table.UpdateDescriptorSets(device->device, count, writes, 0, NULL);
    return ESPY_OK;
}

static void count_descriptors(const struct plan_dispatch *dispatches, uint32_t count,
                              uint32_t counts[3])
{
    for (uint32_t i = 0; i < count; i++) {
        const struct shader *shader = dispatches[i].shader;
        for (uint32_t k = 0; k < shader->binding_count; k++) {
            counts[0] += shader->bindings[k].kind == BINDING_BUFFER;
            counts[1] += shader->bindings[k].kind == BINDING_UNIFORM_TEXELS;
            counts[2] += shader->bindings[k].kind == BINDING_STORAGE_TEXELS;
        }
    }
}

static espy_status create_pool(struct vk_program *program, uint32_t set_count)
{
    const struct plan *plan = program->plan;
    struct vk_device *device = program->device;
    struct vk_instance *vk = &device->vk;
    espy_status status = ESPY_OK;
    static const VkDescriptorType types[3] = {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
                                              VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER,
                                              VK_DESCRIPTOR_TYPE_STORAGE_TEXEL_BUFFER};
    uint32_t counts[3] = {0};
    VkDescriptorPoolSize sizes[3];
    uint32_t size_count = 0;
    count_descriptors(plan->prepare, plan->prepare_count, counts);
    count_descriptors(plan->dispatches, plan->dispatch_count, counts);
    for (uint32_t i = 0; i < 3; i++) {
        if (counts[i] > 0)
            sizes[size_count++] = (VkDescriptorPoolSize){types[i], counts[i]};
    }
    if (size_count == 0) // a pool needs at least one size, even for empty sets
        sizes[size_count++] = (VkDescriptorPoolSize){types[0], 1};
    const VkDescriptorPoolCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO,
                                             .maxSets = set_count,
                                             .poolSizeCount = size_count,
                                             .pPoolSizes = sizes};
    VK(vk, vk->table.CreateDescriptorPool(device->device, &info, NULL, &program->descriptor_pool));
error:
    return status;
}

espy_status espy_vk_descriptors_init(struct vk_program *program)
{
    const struct plan *plan = program->plan;
    struct vk_device *device = program->device;
    struct vk_instance *vk = &device->vk;
    const uint32_t count = plan->prepare_count + plan->dispatch_count;
    espy_status status = ESPY_OK;
    if (count == 0)
        return ESPY_OK;
    TRY(create_pool(program, count));
    program->sets = espy_alloc_array(&vk->host, count, sizeof(VkDescriptorSet));
    if (program->sets == NULL)
        return espy_fail_memory(&vk->host, count * sizeof(VkDescriptorSet), "descriptor sets");
    for (uint32_t i = 0; i < count; i++) {
        if (i < plan->prepare_count && !program->needed[i])
            continue;
        const struct plan_dispatch *dispatch = i < plan->prepare_count
                                                   ? &plan->prepare[i]
                                                   : &plan->dispatches[i - plan->prepare_count];
        const VkDescriptorSetAllocateInfo info = {
            .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO,
            .descriptorPool = program->descriptor_pool,
            .descriptorSetCount = 1,
            .pSetLayouts = &program->pipelines[i]->kernel->set_layout};
        VK(vk, vk->table.AllocateDescriptorSets(device->device, &info, &program->sets[i]));
        CHECK(write_set(program, dispatch, program->sets[i]));
    }
error:
    return status;
}

void espy_vk_descriptors_finish(struct vk_program *program)
{
    struct vk_device *device = program->device;
    const struct vk_table *table = &device->vk.table;
    if (program->descriptor_pool != VK_NULL_HANDLE)
        table->DestroyDescriptorPool(device->device, program->descriptor_pool, NULL);
    for (uint32_t i = 0; i < program->texel_view_count; i++)
        table->DestroyBufferView(device->device, program->texel_views[i].view, NULL);
    espy_free(&device->vk.host, program->texel_views);
    espy_free(&device->vk.host, program->sets);
    program->descriptor_pool = VK_NULL_HANDLE;
    program->texel_views = NULL;
    program->texel_view_count = 0;
    program->sets = NULL;
}
