#include "support/poison.h"

#include <string.h>

#include "vk/vk_table.h"

// The real entries; all devices of a process have the same driver, and one thread makes memory.
static PFN_vkAllocateMemory real_allocate;
static PFN_vkMapMemory real_map;
static VkDeviceMemory newest;
static VkDeviceSize newest_size;

static VKAPI_ATTR VkResult VKAPI_CALL allocate(VkDevice device, const VkMemoryAllocateInfo *info,
                                               const VkAllocationCallbacks *callbacks,
                                               VkDeviceMemory *memory)
{
    const VkResult result = real_allocate(device, info, callbacks, memory);
    newest = result == VK_SUCCESS ? *memory : VK_NULL_HANDLE;
    newest_size = info->allocationSize;
    return result;
}

// Memory is mapped as soon as it is made (vk/vk_memory.c).
static VKAPI_ATTR VkResult VKAPI_CALL map(VkDevice device, VkDeviceMemory memory,
                                          VkDeviceSize offset, VkDeviceSize size,
                                          VkMemoryMapFlags flags, void **data)
{
    const VkResult result = real_map(device, memory, offset, size, flags, data);
    if (result == VK_SUCCESS && memory == newest && offset == 0 && size == VK_WHOLE_SIZE)
        memset(*data, 0xff, (size_t)newest_size);
    newest = VK_NULL_HANDLE;
    return result;
}

void espy_test_poison(void *user, struct vk_table *table, enum vk_table_part part)
{
    (void)user;
    if (part != VK_TABLE_PART_DEVICE)
        return;
    real_allocate = table->AllocateMemory;
    real_map = table->MapMemory;
    table->AllocateMemory = allocate;
    table->MapMemory = map;
}
