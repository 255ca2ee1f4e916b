#include "vk/vk_table.h"

#include <stddef.h>

// The one symbol taken from the loader library; everything else goes through the table.
VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL vkGetInstanceProcAddr(VkInstance instance,
                                                               const char *name);

#define LOAD_GLOBAL(entry)                                                       \
    table->entry = (PFN_vk##entry)table->GetInstanceProcAddr(NULL, "vk" #entry); \
    if (table->entry == NULL && missing == NULL)                                 \
        missing = "vk" #entry;

#define LOAD_INSTANCE(entry)                                                         \
    table->entry = (PFN_vk##entry)table->GetInstanceProcAddr(instance, "vk" #entry); \
    if (table->entry == NULL && missing == NULL)                                     \
        missing = "vk" #entry;

#define LOAD_OPTIONAL(entry) \
    table->entry = (PFN_vk##entry)table->GetInstanceProcAddr(instance, "vk" #entry);

#define LOAD_DEVICE(entry)                                                       \
    table->entry = (PFN_vk##entry)table->GetDeviceProcAddr(device, "vk" #entry); \
    if (table->entry == NULL && missing == NULL)                                 \
        missing = "vk" #entry;

#define LOAD_DEVICE_OPTIONAL(entry) \
    table->entry = (PFN_vk##entry)table->GetDeviceProcAddr(device, "vk" #entry);

const char *espy_vk_table_load_global(struct vk_table *table)
{
    const char *missing = NULL;
    table->GetInstanceProcAddr = vkGetInstanceProcAddr;
    VK_TABLE_GLOBAL(LOAD_GLOBAL)
    return missing;
}

const char *espy_vk_table_load_instance(struct vk_table *table, VkInstance instance)
{
    const char *missing = NULL;
    VK_TABLE_INSTANCE(LOAD_INSTANCE)
    VK_TABLE_MATRIX(LOAD_OPTIONAL)
    VK_TABLE_DEBUG(LOAD_OPTIONAL)
    return missing;
}

const char *espy_vk_table_load_device(struct vk_table *table, VkDevice device)
{
    const char *missing = NULL;
    VK_TABLE_DEVICE(LOAD_DEVICE)
    VK_TABLE_EXECUTABLES(LOAD_DEVICE_OPTIONAL)
    VK_TABLE_IMPORT(LOAD_DEVICE_OPTIONAL)
    return missing;
}
