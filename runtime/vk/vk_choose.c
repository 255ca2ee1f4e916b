// Which physical devices there are, and which one is meant.
#include "vk/vk_internal.h"

#include <stdio.h>
#include <string.h>

static const char NO_DRIVER_ADVICE[] =
    "install the Vulkan driver of your GPU, or a software driver (lavapipe: the Debian and Ubuntu "
    "package mesa-vulkan-drivers)";

enum { QUEUE_FAMILIES_MAX = 32, DECIMAL = 10 };

static espy_device_type device_type(VkPhysicalDeviceType type)
{
    switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
        return ESPY_DEVICE_INTEGRATED_GPU;
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
        return ESPY_DEVICE_DISCRETE_GPU;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
        return ESPY_DEVICE_VIRTUAL_GPU;
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
        return ESPY_DEVICE_CPU;
    default:
        return ESPY_DEVICE_OTHER;
    }
}

// A family without graphics first: work on it does not wait behind the desktop's.
static bool find_queue_family(const struct vk_table *table, struct vk_candidate *candidate)
{
    VkQueueFamilyProperties properties[QUEUE_FAMILIES_MAX];
    uint32_t count = QUEUE_FAMILIES_MAX;
    bool found = false;
    table->GetPhysicalDeviceQueueFamilyProperties(candidate->physical, &count, properties);
    for (uint32_t i = 0; i < count; i++) {
        const VkQueueFlags flags = properties[i].queueFlags;
        const bool lone = (flags & VK_QUEUE_GRAPHICS_BIT) == 0;
        const bool computes = properties[i].queueCount > 0 && (flags & VK_QUEUE_COMPUTE_BIT) != 0;
        if (!computes || (found && !lone))
            continue;
        candidate->queue_family = i;
        candidate->clock_bits = properties[i].timestampValidBits;
        found = true;
        if (lone)
            break;
    }
    return found;
}

static uint64_t device_memory_size(const struct vk_table *table, VkPhysicalDevice physical)
{
    VkPhysicalDeviceMemoryProperties memory;
    uint64_t size = 0;
    table->GetPhysicalDeviceMemoryProperties(physical, &memory);
    for (uint32_t i = 0; i < memory.memoryHeapCount; i++) {
        const VkMemoryHeap *heap = &memory.memoryHeaps[i];
        if ((heap->flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) != 0 && heap->size > size)
            size = heap->size;
    }
    return size;
}

static void describe(const struct vk_table *table, VkPhysicalDevice physical, uint32_t index,
                     struct vk_candidate *candidate)
{
    VkPhysicalDeviceProperties properties;
    struct espy_device_info *info = &candidate->info;
    table->GetPhysicalDeviceProperties(physical, &properties);
    candidate->physical = physical;
    candidate->driver_version = properties.driverVersion;
    memcpy(candidate->cache_uuid, properties.pipelineCacheUUID, VK_UUID_SIZE);
    info->index = index;
    info->type = device_type(properties.deviceType);
    info->vendor_id = properties.vendorID;
    info->device_id = properties.deviceID;
    info->api_version[0] = VK_API_VERSION_MAJOR(properties.apiVersion);
    info->api_version[1] = VK_API_VERSION_MINOR(properties.apiVersion);
    info->api_version[2] = VK_API_VERSION_PATCH(properties.apiVersion);
    info->memory_size = device_memory_size(table, physical);
    snprintf(info->name, sizeof(info->name), "%s", properties.deviceName);
    if (properties.apiVersion < VK_API_VERSION_1_2) {
        candidate->unusable = "its driver is older than Vulkan 1.2; update it";
        return; // the structures below are unknown to it
    }

    VkPhysicalDeviceVulkan12Features features12 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES};
    VkPhysicalDeviceVulkan11Features features11 = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES, .pNext = &features12};
    VkPhysicalDeviceFeatures2 features = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
                                          .pNext = &features11};
    VkPhysicalDeviceDriverProperties driver = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES};
    VkPhysicalDeviceSubgroupProperties subgroup = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES, .pNext = &driver};
    VkPhysicalDeviceProperties2 more = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                        .pNext = &subgroup};
    table->GetPhysicalDeviceFeatures2(physical, &features);
    table->GetPhysicalDeviceProperties2(physical, &more);
    // Both strings are at most 255 characters; cutting the pair short is fine.
    snprintf(info->driver, sizeof(info->driver), "%.120s%s%.120s", driver.driverName,
             driver.driverInfo[0] != '\0' ? " " : "", driver.driverInfo);
    candidate->lavapipe = driver.driverID == VK_DRIVER_ID_MESA_LLVMPIPE;
    info->subgroup_size = subgroup.subgroupSize;
    info->storage_float16 = features11.storageBuffer16BitAccess;
    if (!find_queue_family(table, candidate))
        candidate->unusable = "it has no compute queue";
    else if (!features12.timelineSemaphore)
        candidate->unusable = "it has no timeline semaphores";
    info->usable = candidate->unusable == NULL;
}

static uint32_t type_rank(espy_device_type type)
{
    switch (type) {
    case ESPY_DEVICE_DISCRETE_GPU:
        return 4;
    case ESPY_DEVICE_INTEGRATED_GPU:
        return 3;
    case ESPY_DEVICE_VIRTUAL_GPU:
        return 2;
    case ESPY_DEVICE_OTHER:
        return 1;
    default:
        return 0;
    }
}

// GPUs of one type stay in the loader's order, which the user can set. Of software drivers the one
// that computes with wider vectors, which are its subgroups, is the faster.
static bool better(const struct vk_candidate *a, const struct vk_candidate *b)
{
    if (type_rank(a->info.type) != type_rank(b->info.type))
        return type_rank(a->info.type) > type_rank(b->info.type);
    return a->info.type == ESPY_DEVICE_CPU && a->info.subgroup_size > b->info.subgroup_size;
}

static void mark_default(struct vk_candidate *candidates, uint32_t count)
{
    struct vk_candidate *best = NULL;
    for (uint32_t i = 0; i < count; i++)
        if (candidates[i].info.usable && (best == NULL || better(&candidates[i], best)))
            best = &candidates[i];
    if (best != NULL)
        best->info.is_default = true;
}

espy_status espy_vk_candidates(struct vk_instance *vk, struct vk_candidate **candidates,
                               uint32_t *count)
{
    espy_status status = ESPY_OK;
    VkPhysicalDevice *physical = NULL;
    struct vk_candidate *list = NULL;
    uint32_t found = 0;
    *candidates = NULL;
    *count = 0;
    if (vk->instance == NULL)
        return ESPY_OK;
    const VkResult result = vk->table.EnumeratePhysicalDevices(vk->instance, &found, NULL);
    if (result == VK_ERROR_INITIALIZATION_FAILED) // what loaders say when every driver failed
        return ESPY_OK;
    if (result < 0)
        return espy_vk_fail(vk, result, "vkEnumeratePhysicalDevices");
    if (found == 0)
        return ESPY_OK;
    physical = espy_alloc_array(&vk->host, found, sizeof(VkPhysicalDevice));
    list = espy_alloc_array(&vk->host, found, sizeof(*list));
    if (physical == NULL || list == NULL) {
        status = espy_fail_memory(&vk->host, found * sizeof(*list), "the list of Vulkan devices");
        goto error;
    }
    VK(vk, vk->table.EnumeratePhysicalDevices(vk->instance, &found, physical));
    for (uint32_t i = 0; i < found; i++)
        describe(&vk->table, physical[i], i, &list[i]);
    espy_free(&vk->host, physical);
    mark_default(list, found);
    *candidates = list;
    *count = found;
    return ESPY_OK;
error:
    espy_free(&vk->host, list);
    espy_free(&vk->host, physical);
    return status;
}

// Device names are ASCII in practice, and the C library's tolower depends on the locale.
static char lower_case(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool contains(const char *text, const char *part)
{
    for (; *text != '\0'; text++) {
        size_t i = 0;
        while (part[i] != '\0' && lower_case(text[i]) == lower_case(part[i]))
            i++;
        if (part[i] == '\0')
            return true;
    }
    return false;
}

static bool parse_index(const char *name, uint32_t *index)
{
    uint32_t value = 0;
    if (*name == '\0')
        return false;
    for (; *name != '\0'; name++) {
        if (*name < '0' || *name > '9' || value > (UINT32_MAX - 9) / DECIMAL)
            return false;
        value = value * DECIMAL + (uint32_t)(*name - '0');
    }
    *index = value;
    return true;
}

static espy_status no_match(const struct host *host, const char *name,
                            const struct vk_candidate *candidates, uint32_t count)
{
    struct text text;
    espy_text_init(&text, host);
    for (uint32_t i = 0; i < count; i++)
        espy_text_add(&text, "%s%u: %s (%s)", i == 0 ? "" : ", ", i, candidates[i].info.name,
                      candidates[i].info.driver);
    espy_status status = ESPY_OUT_OF_MEMORY; // logged by the text
    if (!text.failed)
        status =
            espy_fail(host, ESPY_NO_DEVICE,
                      "no Vulkan device matches '%s'; give a part of a name or an index of: %s",
                      name, text.chars);
    espy_text_finish(&text);
    return status;
}

espy_status espy_vk_candidate_choose(const struct host *host, const char *name,
                                     const struct vk_candidate *candidates, uint32_t count,
                                     const struct vk_candidate **chosen)
{
    const struct vk_candidate *best = NULL, *unusable = NULL;
    const bool any = name == NULL || name[0] == '\0';
    uint32_t index = 0;
    const bool indexed = !any && parse_index(name, &index) && index < count; // not "4090"
    if (count == 0)
        return espy_fail(host, ESPY_NO_DEVICE, "no Vulkan driver was found; %s", NO_DRIVER_ADVICE);
    for (uint32_t i = 0; i < count; i++) {
        const struct vk_candidate *candidate = &candidates[i];
        if (indexed ? i != index
                    : !any && !contains(candidate->info.name, name) &&
                          !contains(candidate->info.driver, name))
            continue;
        if (!candidate->info.usable)
            unusable = candidate;
        else if (best == NULL || better(candidate, best))
            best = candidate;
    }
    if (best == NULL && unusable != NULL)
        return espy_fail(host, ESPY_NO_DEVICE, "the Vulkan device '%s' cannot be used: %s",
                         unusable->info.name, unusable->unusable);
    if (best == NULL)
        return no_match(host, name, candidates, count);
    *chosen = best;
    return ESPY_OK;
}
