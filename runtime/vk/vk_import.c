// Weights that are repacked where they lie.
//
// A driver that runs on the host can read the host's memory as its own
// (VK_EXT_external_memory_host), so the prepare dispatches take constants from the file's mapping,
// and no copy of them is made. GPUs would have to pin the pages, and most cannot where they are a
// file's: CPU devices only.
#include "vk/vk_internal.h"

#include <string.h>

enum {
    IMPORT_SIZE_MIN = 1 << 16, // below, a copy is as quick
    IMPORTS_MAX = 1024         // a driver may allow no more than 4096 allocations in all
};

static const VkExternalMemoryHandleTypeFlagBits HOST_MEMORY =
    VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT;
static const VkBufferUsageFlags USAGE = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT |
                                        VK_BUFFER_USAGE_UNIFORM_TEXEL_BUFFER_BIT |
                                        VK_BUFFER_USAGE_STORAGE_TEXEL_BUFFER_BIT;

uint64_t espy_vk_import_alignment(const struct vk_device *device)
{
    const struct vk_table *table = &device->vk.table;
    VkPhysicalDeviceExternalMemoryHostPropertiesEXT host = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_MEMORY_HOST_PROPERTIES_EXT};
    VkPhysicalDeviceProperties2 properties = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &host};
    const VkPhysicalDeviceExternalBufferInfo wanted = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_BUFFER_INFO,
        .usage = USAGE,
        .handleType = HOST_MEMORY};
    VkExternalBufferProperties buffers = {.sType = VK_STRUCTURE_TYPE_EXTERNAL_BUFFER_PROPERTIES};
    table->GetPhysicalDeviceExternalBufferProperties(device->physical, &wanted, &buffers);
    if ((buffers.externalMemoryProperties.externalMemoryFeatures &
         VK_EXTERNAL_MEMORY_FEATURE_IMPORTABLE_BIT) == 0)
        return 0;
    table->GetPhysicalDeviceProperties2(device->physical, &properties);
    return host.minImportedHostPointerAlignment;
}

// Where whole units of memory begin and end that hold the constant.
struct span {
    unsigned char *begin;
    uint64_t size, offset; // of all of it; of the constant in it
};

static struct span find_span(const struct vk_device *device, const struct plan_buffer *buffer)
{
    const uint64_t unit = device->import_alignment;
    const uint64_t offset = (uintptr_t)buffer->data % unit;
    struct span span = {.offset = offset};
    const void *begin = (const unsigned char *)buffer->data - offset;
    memcpy(&span.begin, &begin, sizeof(begin)); // only read
    // The last texel may be a part of one, and still ends in the same unit.
    span.size = (offset + buffer->size + unit - 1) / unit * unit;
    return span;
}

static bool can_import(const struct vk_program *program, const struct plan_buffer *buffer)
{
    const struct vk_device *device = program->device;
    return buffer->kind == PLAN_CONSTANT && buffer->transient && buffer->lasting &&
           buffer->batch != GRAPH_NONE && (buffer->run == 0 || buffer->run == buffer->count) &&
           buffer->storage == STORAGE_F32 && buffer->dtype == ESPY_FLOAT32 &&
           buffer->size == buffer->count * sizeof(float) && buffer->size >= IMPORT_SIZE_MIN &&
           buffer->size < device->allocation_max - 2 * device->import_alignment &&
           (uintptr_t)buffer->data % device->caps.buffer_alignment == 0;
}

// types 0: this memory cannot be imported.
static espy_status find_types(struct vk_device *device, const struct span *span, uint32_t *types)
{
    VkMemoryHostPointerPropertiesEXT pointer = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_HOST_POINTER_PROPERTIES_EXT};
    const VkResult result = device->vk.table.GetMemoryHostPointerPropertiesEXT(
        device->device, HOST_MEMORY, span->begin, &pointer);
    *types = result < 0 ? 0 : pointer.memoryTypeBits;
    if (result < 0 && result != VK_ERROR_INVALID_EXTERNAL_HANDLE)
        return espy_vk_fail(&device->vk, result, "vkGetMemoryHostPointerPropertiesEXT");
    return ESPY_OK;
}

static espy_status create_buffer(struct vk_device *device, const struct span *span,
                                 VkBuffer *buffer)
{
    struct vk_instance *vk = &device->vk;
    espy_status status = ESPY_OK;
    const VkExternalMemoryBufferCreateInfo external = {
        .sType = VK_STRUCTURE_TYPE_EXTERNAL_MEMORY_BUFFER_CREATE_INFO, .handleTypes = HOST_MEMORY};
    const VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                                     .pNext = &external,
                                     .size = span->size,
                                     .usage = USAGE,
                                     .sharingMode = VK_SHARING_MODE_EXCLUSIVE};
    VK(vk, vk->table.CreateBuffer(device->device, &info, NULL, buffer));
error:
    return status;
}

// Gives the buffer the host's memory; *done is false where the driver does not take it.
static espy_status bind(struct vk_device *device, const struct span *span, uint32_t type,
                        struct vk_buffer *buffer, bool *done)
{
    struct vk_instance *vk = &device->vk;
    espy_status status = ESPY_OK;
    const VkImportMemoryHostPointerInfoEXT from = {
        .sType = VK_STRUCTURE_TYPE_IMPORT_MEMORY_HOST_POINTER_INFO_EXT,
        .handleType = HOST_MEMORY,
        .pHostPointer = span->begin};
    const VkMemoryAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                       .pNext = &from,
                                       .allocationSize = span->size,
                                       .memoryTypeIndex = type};
    const VkResult result = vk->table.AllocateMemory(device->device, &info, NULL, &buffer->memory);
    if (result == VK_ERROR_INVALID_EXTERNAL_HANDLE)
        return ESPY_OK;
    if (result < 0)
        return espy_vk_fail(vk, result, "vkAllocateMemory of the host's memory");
    VK(vk, vk->table.BindBufferMemory(device->device, buffer->buffer, buffer->memory, 0));
    *done = true;
error:
    return status;
}

// Leaves *import empty where the constant has to be copied.
static espy_status import(struct vk_device *device, const struct span *span,
                          struct vk_import *import)
{
    struct vk_buffer *buffer = &import->buffer;
    espy_status status = ESPY_OK;
    VkMemoryRequirements needs;
    uint32_t types, type = 0;
    bool done = false;
    TRY(find_types(device, span, &types));
    if (types == 0)
        return ESPY_OK;
    TRY(create_buffer(device, span, &buffer->buffer));
    device->vk.table.GetBufferMemoryRequirements(device->device, buffer->buffer, &needs);
    types &= needs.memoryTypeBits;
    while (type < device->memory.memoryTypeCount && (types >> type & 1) == 0)
        type++;
    if (type < device->memory.memoryTypeCount && needs.size <= span->size)
        status = bind(device, span, type, buffer, &done);
    if (!done)
        espy_vk_buffer_finish(device, buffer);
    buffer->size = done ? span->size : 0;
    import->offset = span->offset;
    return status;
}

espy_status espy_vk_imports_init(struct vk_program *program)
{
    const struct plan *plan = program->plan;
    struct vk_device *device = program->device;
    uint32_t count = 0;
    if (device->import_alignment == 0)
        return ESPY_OK;
    program->imports =
        espy_alloc_array(&device->vk.host, plan->buffer_count + 1, sizeof(*program->imports));
    if (program->imports == NULL)
        return espy_fail_memory(&device->vk.host, plan->buffer_count * sizeof(*program->imports),
                                "weights");
    for (uint32_t i = 0; i < plan->buffer_count && count < IMPORTS_MAX; i++) {
        if (!program->fresh[i] || !can_import(program, &plan->buffers[i]))
            continue;
        const struct span span = find_span(device, &plan->buffers[i]);
        TRY(import(device, &span, &program->imports[i]));
        count += espy_vk_imported(program, i);
    }
    return ESPY_OK;
}

bool espy_vk_imported(const struct vk_program *program, uint32_t index)
{
    return program->imports != NULL && program->imports[index].buffer.size > 0;
}

void espy_vk_imports_were_read(const struct vk_program *program, uint32_t batch)
{
    for (uint32_t i = 0; i < program->plan->buffer_count; i++)
        if (espy_vk_imported(program, i) && program->plan->buffers[i].batch == batch)
            espy_vk_weights_was_read(program, i);
}

void espy_vk_imports_finish(struct vk_program *program)
{
    for (uint32_t i = 0; program->imports != NULL && i < program->plan->buffer_count; i++)
        espy_vk_buffer_finish(program->device, &program->imports[i].buffer);
    espy_free(&program->device->vk.host, program->imports);
    program->imports = NULL;
}
