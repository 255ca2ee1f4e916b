// How many cores a device has, each of which runs workgroups by itself: multiprocessors, compute
// units. Vulkan does not say; extensions of three vendors do, which Mesa's drivers have too.
#include "vk/vk_internal.h"

#include <string.h>

// properties: one structure of the extension's.
static void ask(const struct vk_device *device, void *properties)
{
    VkPhysicalDeviceProperties2 all = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                       .pNext = properties};
    device->vk.table.GetPhysicalDeviceProperties2(device->physical, &all);
}

uint32_t espy_vk_cores(const struct vk_device *device, const char *extension)
{
    VkPhysicalDeviceShaderSMBuiltinsPropertiesNV nvidia = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_SM_BUILTINS_PROPERTIES_NV};
    VkPhysicalDeviceShaderCorePropertiesAMD amd = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_CORE_PROPERTIES_AMD};
    VkPhysicalDeviceShaderCoreBuiltinsPropertiesARM arm = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_CORE_BUILTINS_PROPERTIES_ARM};
    if (strcmp(extension, VK_NV_SHADER_SM_BUILTINS_EXTENSION_NAME) == 0)
        ask(device, &nvidia);
    else if (strcmp(extension, VK_AMD_SHADER_CORE_PROPERTIES_EXTENSION_NAME) == 0)
        ask(device, &amd);
    else if (strcmp(extension, VK_ARM_SHADER_CORE_BUILTINS_EXTENSION_NAME) == 0)
        ask(device, &arm);
    return nvidia.shaderSMCount + arm.shaderCoreCount +
           amd.shaderEngineCount * amd.shaderArraysPerEngineCount * amd.computeUnitsPerShaderArray;
}
