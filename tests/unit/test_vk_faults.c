// Goal: whatever Vulkan call or allocation fails, the caller gets a status and one error line,
// nothing leaks, and what was not destroyed by the fault goes on working.
// Method: entries of the table of Vulkan calls are swapped for ones that count and fail the Nth;
// the validation layer, which reports Vulkan objects that were not destroyed, logs to the same log.
#include "test_vk_fixture.h"

// ---- Vulkan calls that fail ---------------------------------------------------------------------

static struct vk_table real;
static atomic_uint calls;
static uint32_t fail_at; // number of the call that fails; 0: none
static VkResult fail_with;
static const char *failed; // name of the call that was failed
static bool fail_on;       // calls before the device exists are counted only where wanted

static bool fails(const char *name)
{
    if (!fail_on || atomic_fetch_add(&calls, 1) + 1 != fail_at)
        return false;
    failed = name;
    return true;
}

#define FAULT(name, parameters, arguments)                        \
    static VKAPI_ATTR VkResult VKAPI_CALL fault_##name parameters \
    {                                                             \
        return fails(#name) ? fail_with : real.name arguments;    \
    }
#define MAKES(name, info_type, handle_type)                                                \
    FAULT(name,                                                                            \
          (VkDevice device, const info_type *info, const VkAllocationCallbacks *callbacks, \
           handle_type *handle),                                                           \
          (device, info, callbacks, handle))

FAULT(CreateInstance,
      (const VkInstanceCreateInfo *info, const VkAllocationCallbacks *callbacks,
       VkInstance *handle),
      (info, callbacks, handle))
FAULT(EnumerateInstanceExtensionProperties,
      (const char *layer, uint32_t *count, VkExtensionProperties *list), (layer, count, list))
FAULT(EnumerateInstanceLayerProperties, (uint32_t * count, VkLayerProperties *list), (count, list))
FAULT(EnumerateInstanceVersion, (uint32_t * version), (version))
FAULT(CreateDevice,
      (VkPhysicalDevice physical, const VkDeviceCreateInfo *info,
       const VkAllocationCallbacks *callbacks, VkDevice *handle),
      (physical, info, callbacks, handle))
FAULT(EnumerateDeviceExtensionProperties,
      (VkPhysicalDevice physical, const char *layer, uint32_t *count, VkExtensionProperties *list),
      (physical, layer, count, list))
FAULT(EnumeratePhysicalDevices, (VkInstance instance, uint32_t *count, VkPhysicalDevice *list),
      (instance, count, list))
FAULT(CreateDebugUtilsMessengerEXT,
      (VkInstance instance, const VkDebugUtilsMessengerCreateInfoEXT *info,
       const VkAllocationCallbacks *callbacks, VkDebugUtilsMessengerEXT *handle),
      (instance, info, callbacks, handle))
FAULT(AllocateCommandBuffers,
      (VkDevice device, const VkCommandBufferAllocateInfo *info, VkCommandBuffer *handles),
      (device, info, handles))
FAULT(AllocateDescriptorSets,
      (VkDevice device, const VkDescriptorSetAllocateInfo *info, VkDescriptorSet *handles),
      (device, info, handles))
MAKES(AllocateMemory, VkMemoryAllocateInfo, VkDeviceMemory)
FAULT(BeginCommandBuffer, (VkCommandBuffer commands, const VkCommandBufferBeginInfo *info),
      (commands, info))
FAULT(BindBufferMemory,
      (VkDevice device, VkBuffer buffer, VkDeviceMemory memory, VkDeviceSize offset),
      (device, buffer, memory, offset))
MAKES(CreateBuffer, VkBufferCreateInfo, VkBuffer)
MAKES(CreateBufferView, VkBufferViewCreateInfo, VkBufferView)
MAKES(CreateCommandPool, VkCommandPoolCreateInfo, VkCommandPool)
FAULT(CreateComputePipelines,
      (VkDevice device, VkPipelineCache cache, uint32_t count,
       const VkComputePipelineCreateInfo *info, const VkAllocationCallbacks *callbacks,
       VkPipeline *handles),
      (device, cache, count, info, callbacks, handles))
MAKES(CreateDescriptorPool, VkDescriptorPoolCreateInfo, VkDescriptorPool)
MAKES(CreateDescriptorSetLayout, VkDescriptorSetLayoutCreateInfo, VkDescriptorSetLayout)
MAKES(CreatePipelineCache, VkPipelineCacheCreateInfo, VkPipelineCache)
MAKES(CreatePipelineLayout, VkPipelineLayoutCreateInfo, VkPipelineLayout)
MAKES(CreateQueryPool, VkQueryPoolCreateInfo, VkQueryPool)
MAKES(CreateSemaphore, VkSemaphoreCreateInfo, VkSemaphore)
MAKES(CreateShaderModule, VkShaderModuleCreateInfo, VkShaderModule)
FAULT(DeviceWaitIdle, (VkDevice device), (device))
FAULT(EndCommandBuffer, (VkCommandBuffer commands), (commands))
FAULT(GetMemoryHostPointerPropertiesEXT,
      (VkDevice device, VkExternalMemoryHandleTypeFlagBits type, const void *pointer,
       VkMemoryHostPointerPropertiesEXT *properties),
      (device, type, pointer, properties))
FAULT(GetPipelineCacheData, (VkDevice device, VkPipelineCache cache, size_t *size, void *data),
      (device, cache, size, data))
FAULT(GetQueryPoolResults,
      (VkDevice device, VkQueryPool pool, uint32_t first, uint32_t count, size_t size, void *data,
       VkDeviceSize stride, VkQueryResultFlags flags),
      (device, pool, first, count, size, data, stride, flags))
FAULT(MapMemory,
      (VkDevice device, VkDeviceMemory memory, VkDeviceSize offset, VkDeviceSize size,
       VkMemoryMapFlags flags, void **data),
      (device, memory, offset, size, flags, data))
FAULT(QueueSubmit, (VkQueue queue, uint32_t count, const VkSubmitInfo *info, VkFence fence),
      (queue, count, info, fence))
FAULT(WaitSemaphores, (VkDevice device, const VkSemaphoreWaitInfo *info, uint64_t timeout),
      (device, info, timeout))

static void fault_hook(void *user, struct vk_table *table, enum vk_table_part part)
{
    const bool *discrete = user;
    if (*discrete)
        discrete_hook(NULL, table, part);
    real = *table;
#define SWAP(name) table->name = fault_##name;
    switch (part) {
    case VK_TABLE_PART_GLOBAL:
        SWAP(CreateInstance)
        SWAP(EnumerateInstanceExtensionProperties)
        SWAP(EnumerateInstanceLayerProperties)
        SWAP(EnumerateInstanceVersion)
        break;
    case VK_TABLE_PART_INSTANCE:
        SWAP(CreateDevice)
        SWAP(EnumerateDeviceExtensionProperties)
        SWAP(EnumeratePhysicalDevices)
        if (table->CreateDebugUtilsMessengerEXT != NULL)
            SWAP(CreateDebugUtilsMessengerEXT)
        break;
    case VK_TABLE_PART_DEVICE:
        SWAP(AllocateCommandBuffers)
        SWAP(AllocateDescriptorSets)
        SWAP(AllocateMemory)
        SWAP(BeginCommandBuffer)
        SWAP(BindBufferMemory)
        SWAP(CreateBuffer)
        SWAP(CreateBufferView)
        SWAP(CreateCommandPool)
        SWAP(CreateComputePipelines)
        SWAP(CreateDescriptorPool)
        SWAP(CreateDescriptorSetLayout)
        SWAP(CreatePipelineCache)
        SWAP(CreatePipelineLayout)
        SWAP(CreateQueryPool)
        SWAP(CreateSemaphore)
        SWAP(CreateShaderModule)
        SWAP(DeviceWaitIdle)
        SWAP(EndCommandBuffer)
        SWAP(GetPipelineCacheData)
        SWAP(GetQueryPoolResults)
        if (table->GetMemoryHostPointerPropertiesEXT != NULL)
            SWAP(GetMemoryHostPointerPropertiesEXT)
        SWAP(MapMemory)
        SWAP(QueueSubmit)
        SWAP(WaitSemaphores)
        break;
    }
#undef SWAP
}

static void fail_call(uint32_t number, VkResult result)
{
    atomic_store(&calls, 0);
    fail_at = number;
    fail_with = result;
    failed = NULL;
    fail_on = true;
}

// Everything from device to results and back. The first failure ends it.
static espy_status whole_life(struct vk_test_host *host, const struct vk_test_plan *test,
                              bool discrete, bool validation)
{
    struct vk_device *device = NULL;
    struct vk_program *program = NULL;
    const struct vk_device_params params = {.host = &host->host,
                                            .name = getenv("ESPY_TEST_DEVICE"),
                                            .validation = validation,
                                            .hook = fault_hook,
                                            .hook_user = &discrete};
    espy_status status = espy_vk_device_create(&params, &device);
    if (status == ESPY_OK)
        status = espy_vk_program_create(device, &test->plan, NULL, &program);
    if (status == ESPY_OK)
        status = vk_test_run(program, test, 1.0F);
    else
        cr_expect_null(program);
    if (status == ESPY_OK)
        status = espy_vk_program_time(program, 0, 2, &(double){0});
    // The fault is over: a second run works unless the device is lost.
    if (program != NULL && status != ESPY_OK && status != ESPY_DEVICE_LOST)
        cr_expect_eq(vk_test_run(program, test, 2.0F), ESPY_OK, "after %s: %s", failed,
                     host->error);
    espy_vk_program_destroy(&program);
    espy_vk_device_destroy(&device);
    return status;
}

static void each_call_fails(VkResult result, espy_status expected, bool discrete, bool validation)
{
    struct vk_test_plan *test = malloc(sizeof(*test));
    cr_assert_not_null(test);
    vk_test_plan_init(test, true);
    vk_test_plan_enlarge(test);
    uint32_t count = 0;
    for (uint32_t n = 1; n == 1 || failed != NULL; n++, count++) {
        struct vk_test_host host;
        vk_test_host_init(&host);
        fail_call(n, result);
        const espy_status status = whole_life(&host, test, discrete, validation);
        if (failed == NULL) {
            cr_expect_eq(status, ESPY_OK, "%s", host.error);
            cr_expect_eq(host.errors, 0, "%s", host.error);
        } else {
            // A wait for what is in flight at the end has nobody to report to.
            cr_expect(status == expected || status == ESPY_OK, "%s: status %d", failed,
                      (int)status);
            cr_expect_eq(host.errors, status == ESPY_OK ? 0 : 1, "%s: %u errors, the last: %s",
                         failed, host.errors, host.error);
        }
        cr_expect_eq(host.live, 0, "%s: %lld allocations are left", failed, (long long)host.live);
    }
    cr_expect_gt(count, 40, "only %u calls were seen", count);
    free(test);
}

Test(vk_faults, each_call_fails_with_staging_under_validation)
{
    each_call_fails(VK_ERROR_OUT_OF_HOST_MEMORY, ESPY_OUT_OF_MEMORY, true, true);
}

Test(vk_faults, each_call_fails_with_mapped_memory)
{
    each_call_fails(VK_ERROR_UNKNOWN, ESPY_VULKAN_ERROR, false, false);
}

Test(vk_faults, each_call_loses_the_device)
{
    each_call_fails(VK_ERROR_DEVICE_LOST, ESPY_DEVICE_LOST, true, false);
}

// ---- allocations that fail ----------------------------------------------------------------------

static void each_allocation_fails(bool discrete)
{
    struct vk_test_plan *test = malloc(sizeof(*test));
    cr_assert_not_null(test);
    vk_test_plan_init(test, true);
    vk_test_plan_enlarge(test);
    fail_call(0, VK_SUCCESS);
    for (uint64_t n = 1;; n++) {
        struct vk_test_host host;
        vk_test_host_init(&host);
        host.fail_at = n;
        const espy_status status = whole_life(&host, test, discrete, false);
        cr_expect_eq(host.live, 0, "%lld allocations are left", (long long)host.live);
        if (host.allocations < n) {
            cr_expect_eq(status, ESPY_OK);
            cr_expect_gt(n, 10);
            break;
        }
        cr_expect_eq(status, ESPY_OUT_OF_MEMORY, "allocation %u", (unsigned)n);
        cr_expect_eq(host.errors, 1, "allocation %u: %u errors, the last: %s", (unsigned)n,
                     host.errors, host.error);
    }
    free(test);
}

Test(vk_faults, each_allocation_fails_with_mapped_memory)
{
    each_allocation_fails(false);
}

Test(vk_faults, each_allocation_fails_with_staging)
{
    each_allocation_fails(true);
}

// ---- a lost device ------------------------------------------------------------------------------

Test(vk_faults, a_lost_device_stays_lost)
{
    struct vk_test_host host;
    struct vk_test_plan *test = malloc(sizeof(*test));
    struct vk_device *device = NULL;
    struct vk_program *program = NULL;
    bool discrete = false;
    const struct vk_device_params params = {.host = &host.host,
                                            .name = getenv("ESPY_TEST_DEVICE"),
                                            .hook = fault_hook,
                                            .hook_user = &discrete};
    cr_assert_not_null(test);
    vk_test_host_init(&host);
    vk_test_plan_init(test, false);
    fail_call(0, VK_SUCCESS);
    cr_assert_eq(espy_vk_device_create(&params, &device), ESPY_OK);
    cr_assert_eq(espy_vk_program_create(device, &test->plan, NULL, &program), ESPY_OK);
    fail_call(1, VK_ERROR_DEVICE_LOST);
    cr_expect_eq(vk_test_run(program, test, 0.0F), ESPY_DEVICE_LOST);
    cr_expect_eq(host.errors, 1);
    const uint32_t before = atomic_load(&calls);
    cr_expect_eq(vk_test_run(program, test, 0.0F), ESPY_DEVICE_LOST);
    cr_expect_eq(host.errors, 2, "one line per failing call");
    cr_expect_eq(atomic_load(&calls), before, "a lost device is still called");
    espy_vk_program_destroy(&program);
    espy_vk_device_destroy(&device);
    cr_expect_eq(host.live, 0);
    free(test);
}

// ---- time ---------------------------------------------------------------------------------------

Test(vk_faults, a_timeout_is_no_error_and_the_run_goes_on)
{
    static float x[COUNT], z[COUNT];
    struct vk_test_host host;
    struct vk_test_plan *test = malloc(sizeof(*test));
    struct vk_device *device = NULL;
    struct vk_program *program = NULL;
    bool discrete = true;
    const struct vk_device_params params = {.host = &host.host,
                                            .name = getenv("ESPY_TEST_DEVICE"),
                                            .hook = fault_hook,
                                            .hook_user = &discrete};
    cr_assert_not_null(test);
    vk_test_host_init(&host);
    vk_test_plan_init(test, false);
    fail_call(0, VK_SUCCESS);
    cr_assert_eq(espy_vk_device_create(&params, &device), ESPY_OK);
    cr_assert_eq(espy_vk_program_create(device, &test->plan, NULL, &program), ESPY_OK);
    cr_assert_eq(espy_vk_program_write(program, &test->input.view, x), ESPY_OK);
    cr_assert_eq(espy_vk_program_submit(program, 0), ESPY_OK);
    fail_call(1, VK_TIMEOUT);
    cr_expect_eq(espy_vk_program_wait(program, 0), ESPY_TIMEOUT);
    cr_expect_eq(espy_vk_program_wait(program, UINT64_MAX), ESPY_OK);
    cr_expect_eq(espy_vk_program_read(program, &test->output.view, z), ESPY_OK);
    cr_expect_float_eq(z[COUNT - 1], 2.0 * (COUNT - 1) + 1.0 + 5.0, 1e-3);
    // Destroyed while in flight.
    cr_assert_eq(espy_vk_program_submit(program, 0), ESPY_OK);
    espy_vk_program_destroy(&program);
    espy_vk_device_destroy(&device);
    cr_expect_eq(host.errors + host.warnings, 0, "%s", host.error);
    cr_expect_eq(host.live, 0);
    free(test);
}
