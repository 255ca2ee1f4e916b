#include "vk/vk_internal.h"

#include <inttypes.h>

#define TYPE_NONE UINT32_MAX

static const VkMemoryPropertyFlags MAPPED =
    VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;

// The first type among the allowed ones with all wanted properties. Drivers list the fastest first.
static uint32_t find_type(const VkPhysicalDeviceMemoryProperties *memory, uint32_t allowed,
                          VkMemoryPropertyFlags wanted)
{
    for (uint32_t i = 0; i < memory->memoryTypeCount; i++) {
        const VkMemoryPropertyFlags flags = memory->memoryTypes[i].propertyFlags;
        // Protected and AMD's uncached device-coherent types need features that are not on.
        const VkMemoryPropertyFlags unwanted = VK_MEMORY_PROPERTY_PROTECTED_BIT |
                                               VK_MEMORY_PROPERTY_DEVICE_COHERENT_BIT_AMD |
                                               VK_MEMORY_PROPERTY_LAZILY_ALLOCATED_BIT;
        if ((allowed >> i & 1) != 0 && (flags & wanted) == wanted && (flags & unwanted) == 0)
            return i;
    }
    return TYPE_NONE;
}

// In order of preference, up to 3 sets of properties.
static uint32_t choose_type(const struct vk_device *device, enum vk_memory_use use,
                            uint32_t allowed)
{
    const VkMemoryPropertyFlags local = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
    const VkMemoryPropertyFlags cached = VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
    VkMemoryPropertyFlags order[3] = {0};
    uint32_t count = 0;
    switch (use) {
    case MEMORY_DEVICE:
        order[count++] = device->mapped ? local | MAPPED | cached : local;
        if (!device->mapped)
            order[count++] = 0;
        break;
    case MEMORY_UPLOAD:
        order[count++] = MAPPED;
        break;
    case MEMORY_READBACK:
        order[count++] = MAPPED | cached;
        order[count++] = MAPPED;
        break;
    }
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t type = find_type(&device->memory, allowed, order[i]);
        if (type != TYPE_NONE)
            return type;
    }
    return TYPE_NONE;
}

void espy_vk_memory_choose(struct vk_device *device)
{
    device->vk.table.GetPhysicalDeviceMemoryProperties(device->physical, &device->memory);
    // Behind a bus, reading mapped memory is slow and writing it through takes a small window, so
    // discrete devices are left to copy. Uncached reads are as slow on integrated ones.
    const bool unified =
        device->info.type == ESPY_DEVICE_CPU || device->info.type == ESPY_DEVICE_INTEGRATED_GPU;
    const uint32_t type = find_type(&device->memory, UINT32_MAX,
                                    VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | MAPPED |
                                        VK_MEMORY_PROPERTY_HOST_CACHED_BIT);
    device->mapped = unified && type != TYPE_NONE;
}

static espy_status refuse_size(const struct vk_device *device, uint64_t size, const char *what)
{
    uint64_t largest = 0;
    for (uint32_t i = 0; i < device->memory.memoryHeapCount; i++) {
        if (device->memory.memoryHeaps[i].size > largest)
            largest = device->memory.memoryHeaps[i].size;
    }
    return espy_fail(&device->vk.host, ESPY_OUT_OF_MEMORY,
                     "out of device memory: %" PRIu64 " bytes for %s; the device '%s' has %" PRIu64
                     " and allows %" PRIu64 " at once",
                     size, what, device->info.name, largest, device->allocation_max);
}

// Going beyond the budget may work, slowly, and what it does to other programs is not ours to
// judge: said and then tried.
static void check_budget(const struct vk_device *device, uint32_t heap, uint64_t size,
                         const char *what)
{
    if (!device->knows_budget)
        return;
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
    VkPhysicalDeviceMemoryProperties2 memory = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2, .pNext = &budget};
    device->vk.table.GetPhysicalDeviceMemoryProperties2(device->physical, &memory);
    const uint64_t used = budget.heapUsage[heap], most = budget.heapBudget[heap];
    if (used > most || size > most - used)
        espy_log(&device->vk.host, ESPY_LOG_WARNING,
                 "%" PRIu64 " bytes for %s are more than the device's budget: %" PRIu64
                 " of %" PRIu64 " bytes are in use",
                 size, what, used, most);
}

// Gives the buffer its memory. What was made stays in *buffer for the caller to finish on failure.
static espy_status allocate(struct vk_device *device, enum vk_memory_use use, const char *what,
                            struct vk_buffer *buffer)
{
    struct vk_instance *vk = &device->vk;
    espy_status status = ESPY_OK;
    VkMemoryRequirements needs;
    vk->table.GetBufferMemoryRequirements(device->device, buffer->buffer, &needs);
    const uint32_t type = choose_type(device, use, needs.memoryTypeBits);
    if (type == TYPE_NONE)
        return espy_fail(&vk->host, ESPY_UNSUPPORTED, "the device '%s' has no memory that suits %s",
                         device->info.name, what);
    const uint32_t heap = device->memory.memoryTypes[type].heapIndex;
    if (needs.size > device->allocation_max || needs.size > device->memory.memoryHeaps[heap].size)
        return refuse_size(device, buffer->size, what);
    check_budget(device, heap, needs.size, what);
    const VkMemoryAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO,
                                       .allocationSize = needs.size,
                                       .memoryTypeIndex = type};
    const VkResult result = vk->table.AllocateMemory(device->device, &info, NULL, &buffer->memory);
    if (result == VK_ERROR_OUT_OF_DEVICE_MEMORY || result == VK_ERROR_OUT_OF_HOST_MEMORY)
        return espy_fail(&vk->host, ESPY_OUT_OF_MEMORY,
                         "out of device memory: %" PRIu64 " bytes for %s (%s)",
                         (uint64_t)needs.size, what, espy_vk_result_name(result));
    if (result < 0)
        return espy_vk_fail(vk, result, "vkAllocateMemory");
    buffer->allocated = needs.size;
    VK(vk, vk->table.BindBufferMemory(device->device, buffer->buffer, buffer->memory, 0));
    if (use != MEMORY_DEVICE || device->mapped) {
        void *mapped = NULL;
        VK(vk, vk->table.MapMemory(device->device, buffer->memory, 0, VK_WHOLE_SIZE, 0, &mapped));
        buffer->mapped = mapped;
    }
error:
    return status;
}

espy_status espy_vk_buffer_init(struct vk_device *device, enum vk_memory_use use, uint64_t size,
                                const char *what, struct vk_buffer *buffer)
{
    struct vk_instance *vk = &device->vk;
    espy_status status = ESPY_OK;
    *buffer = (struct vk_buffer){.size = size};
    if (size == 0)
        return ESPY_OK;
    // Some drivers take requests badly that cannot work.
    if (size > device->allocation_max - VK_BUFFER_SLACK)
        return refuse_size(device, size, what);
    VkBufferCreateInfo info = {.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO,
                               .size = size + VK_BUFFER_SLACK,
                               .usage = VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
                                        VK_BUFFER_USAGE_TRANSFER_DST_BIT,
                               .sharingMode = VK_SHARING_MODE_EXCLUSIVE};
    if (use == MEMORY_DEVICE)
        info.usage |= VK_BUFFER_USAGE_STORAGE_BUFFER_BIT |
                      VK_BUFFER_USAGE_UNIFORM_TEXEL_BUFFER_BIT |
                      VK_BUFFER_USAGE_STORAGE_TEXEL_BUFFER_BIT;
    VK(vk, vk->table.CreateBuffer(device->device, &info, NULL, &buffer->buffer));
    CHECK(allocate(device, use, what, buffer));
    return ESPY_OK;
error:
    espy_vk_buffer_finish(device, buffer);
    return status;
}

void espy_vk_buffer_finish(struct vk_device *device, struct vk_buffer *buffer)
{
    // Freeing memory unmaps it.
    if (buffer->buffer != VK_NULL_HANDLE)
        device->vk.table.DestroyBuffer(device->device, buffer->buffer, NULL);
    if (buffer->memory != VK_NULL_HANDLE)
        device->vk.table.FreeMemory(device->device, buffer->memory, NULL);
    *buffer = (struct vk_buffer){0};
}
