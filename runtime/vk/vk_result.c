#include "vk/vk_internal.h"

// Results of newer headers fall through to a number, so the list needs no upkeep.
const char *espy_vk_result_name(VkResult result)
{
#define NAME(value) \
    case value:     \
        return #value;
    switch ((int)result) {
        NAME(VK_SUCCESS)
        NAME(VK_NOT_READY)
        NAME(VK_TIMEOUT)
        NAME(VK_INCOMPLETE)
        NAME(VK_ERROR_OUT_OF_HOST_MEMORY)
        NAME(VK_ERROR_OUT_OF_DEVICE_MEMORY)
        NAME(VK_ERROR_INITIALIZATION_FAILED)
        NAME(VK_ERROR_DEVICE_LOST)
        NAME(VK_ERROR_MEMORY_MAP_FAILED)
        NAME(VK_ERROR_LAYER_NOT_PRESENT)
        NAME(VK_ERROR_EXTENSION_NOT_PRESENT)
        NAME(VK_ERROR_FEATURE_NOT_PRESENT)
        NAME(VK_ERROR_INCOMPATIBLE_DRIVER)
        NAME(VK_ERROR_TOO_MANY_OBJECTS)
        NAME(VK_ERROR_FORMAT_NOT_SUPPORTED)
        NAME(VK_ERROR_FRAGMENTED_POOL)
        NAME(VK_ERROR_OUT_OF_POOL_MEMORY)
        NAME(VK_ERROR_FRAGMENTATION)
        NAME(VK_ERROR_INVALID_SHADER_NV)
        NAME(VK_ERROR_UNKNOWN)
    default:
        return "VkResult";
    }
#undef NAME
}

espy_status espy_vk_fail(struct vk_instance *vk, VkResult result, const char *call)
{
    espy_status status = ESPY_VULKAN_ERROR;
    const char *advice = "";
    if (result == VK_ERROR_OUT_OF_HOST_MEMORY || result == VK_ERROR_OUT_OF_DEVICE_MEMORY) {
        status = ESPY_OUT_OF_MEMORY;
    } else if (result == VK_ERROR_DEVICE_LOST) {
        atomic_store(&vk->lost, true);
        status = ESPY_DEVICE_LOST;
        advice = "; the device is lost, make a new device and session";
    }
    return espy_fail(&vk->host, status, "Vulkan: %s (%d) from %s%s", espy_vk_result_name(result),
                     (int)result, call, advice);
}
