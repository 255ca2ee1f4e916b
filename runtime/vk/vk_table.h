// Every Vulkan entry point that the module calls, in one struct. Nothing else calls Vulkan, so a
// test that swaps entries sees and can fail every call.
#ifndef RUNTIME_VK_VK_TABLE_H_
#define RUNTIME_VK_VK_TABLE_H_

#ifndef VK_NO_PROTOTYPES
#define VK_NO_PROTOTYPES
#endif
#include <vulkan/vulkan.h>

#include "vk/vk_matrix.h"

#define VK_TABLE_GLOBAL(X)                  \
    X(CreateInstance)                       \
    X(EnumerateInstanceExtensionProperties) \
    X(EnumerateInstanceLayerProperties)     \
    X(EnumerateInstanceVersion)

#define VK_TABLE_INSTANCE(X)                     \
    X(CreateDevice)                              \
    X(DestroyInstance)                           \
    X(EnumerateDeviceExtensionProperties)        \
    X(EnumeratePhysicalDevices)                  \
    X(GetDeviceProcAddr)                         \
    X(GetPhysicalDeviceExternalBufferProperties) \
    X(GetPhysicalDeviceFeatures2)                \
    X(GetPhysicalDeviceFormatProperties)         \
    X(GetPhysicalDeviceMemoryProperties)         \
    X(GetPhysicalDeviceMemoryProperties2)        \
    X(GetPhysicalDeviceProperties)               \
    X(GetPhysicalDeviceProperties2)              \
    X(GetPhysicalDeviceQueueFamilyProperties)

// NULL where no device has VK_KHR_cooperative_matrix.
#define VK_TABLE_MATRIX(X) X(GetPhysicalDeviceCooperativeMatrixPropertiesKHR)

// NULL unless VK_KHR_pipeline_executable_properties is on.
#define VK_TABLE_EXECUTABLES(X)                        \
    X(GetPipelineExecutableInternalRepresentationsKHR) \
    X(GetPipelineExecutablePropertiesKHR)              \
    X(GetPipelineExecutableStatisticsKHR)

// NULL unless VK_EXT_external_memory_host is on.
#define VK_TABLE_IMPORT(X) X(GetMemoryHostPointerPropertiesEXT)

// NULL unless VK_EXT_debug_utils is on.
#define VK_TABLE_DEBUG(X)           \
    X(CreateDebugUtilsMessengerEXT) \
    X(DestroyDebugUtilsMessengerEXT)

#define VK_TABLE_DEVICE(X)         \
    X(AllocateCommandBuffers)      \
    X(AllocateDescriptorSets)      \
    X(AllocateMemory)              \
    X(BeginCommandBuffer)          \
    X(BindBufferMemory)            \
    X(CmdBindDescriptorSets)       \
    X(CmdBindPipeline)             \
    X(CmdCopyBuffer)               \
    X(CmdDispatch)                 \
    X(CmdPipelineBarrier)          \
    X(CmdPushConstants)            \
    X(CmdResetQueryPool)           \
    X(CmdWriteTimestamp)           \
    X(CreateBuffer)                \
    X(CreateBufferView)            \
    X(CreateCommandPool)           \
    X(CreateComputePipelines)      \
    X(CreateDescriptorPool)        \
    X(CreateDescriptorSetLayout)   \
    X(CreatePipelineCache)         \
    X(CreatePipelineLayout)        \
    X(CreateQueryPool)             \
    X(CreateSemaphore)             \
    X(CreateShaderModule)          \
    X(DestroyBuffer)               \
    X(DestroyBufferView)           \
    X(DestroyCommandPool)          \
    X(DestroyDescriptorPool)       \
    X(DestroyDescriptorSetLayout)  \
    X(DestroyDevice)               \
    X(DestroyPipeline)             \
    X(DestroyPipelineCache)        \
    X(DestroyPipelineLayout)       \
    X(DestroyQueryPool)            \
    X(DestroySemaphore)            \
    X(DestroyShaderModule)         \
    X(DeviceWaitIdle)              \
    X(EndCommandBuffer)            \
    X(FreeMemory)                  \
    X(GetBufferMemoryRequirements) \
    X(GetDeviceQueue)              \
    X(GetPipelineCacheData)        \
    X(GetQueryPoolResults)         \
    X(MapMemory)                   \
    X(QueueSubmit)                 \
    X(UpdateDescriptorSets)        \
    X(WaitSemaphores)

struct vk_table {
    PFN_vkGetInstanceProcAddr GetInstanceProcAddr;
#define VK_TABLE_MEMBER(name) PFN_vk##name name;
    VK_TABLE_GLOBAL(VK_TABLE_MEMBER)
    VK_TABLE_INSTANCE(VK_TABLE_MEMBER)
    VK_TABLE_MATRIX(VK_TABLE_MEMBER)
    VK_TABLE_DEBUG(VK_TABLE_MEMBER)
    VK_TABLE_DEVICE(VK_TABLE_MEMBER)
    VK_TABLE_EXECUTABLES(VK_TABLE_MEMBER)
    VK_TABLE_IMPORT(VK_TABLE_MEMBER)
#undef VK_TABLE_MEMBER
};

// Each returns the name of the first entry that is missing, or NULL when all are there.
const char *espy_vk_table_load_global(struct vk_table *table);
const char *espy_vk_table_load_instance(struct vk_table *table, VkInstance instance);
const char *espy_vk_table_load_device(struct vk_table *table, VkDevice device);

#endif // RUNTIME_VK_VK_TABLE_H_
