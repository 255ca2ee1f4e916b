// Goal: a plan made ready on the device gives the right numbers, whatever the memory is like, with
// no word from the validation layer and no allocation while it runs.
// Method: the hand-made plan of test_vk_fixture.h on the software driver; for counts, a graph.
#include "support/run_graph.h"
#include "support/test_host.h"
#include "test_graph_fixture.h"
#include "test_vk_fixture.h"

#include <dirent.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "vk/vk_internal.h"

static struct vk_device *make_device(struct vk_test_host *host, vk_table_hook hook)
{
    struct vk_device *device = NULL;
    const struct vk_device_params params = {
        .host = &host->host, .name = getenv("ESPY_TEST_DEVICE"), .validation = true, .hook = hook};
    cr_assert_eq(espy_vk_device_create(&params, &device), ESPY_OK, "%s", host->error);
    return device;
}

// The plan of the fixture on a device.
struct ready {
    struct vk_test_host host;
    struct vk_test_plan test;
    struct vk_device *device;
    struct vk_program *program;
};

static struct ready *make_ready(vk_table_hook hook, bool two_stages)
{
    struct ready *ready = calloc(1, sizeof(*ready));
    cr_assert_not_null(ready);
    vk_test_host_init(&ready->host);
    vk_test_plan_init(&ready->test, two_stages);
    ready->device = make_device(&ready->host, hook);
    cr_assert_eq(espy_vk_program_create(ready->device, &ready->test.plan, NULL, &ready->program),
                 ESPY_OK, "%s", ready->host.error);
    return ready;
}

static void free_ready(struct ready *ready)
{
    espy_vk_program_destroy(&ready->program);
    cr_expect_null(ready->program);
    cr_expect_eq(espy_vk_device_validation_count(ready->device), 0);
    espy_vk_device_destroy(&ready->device);
    cr_expect_null(ready->device);
    cr_expect_eq(ready->host.errors + ready->host.warnings, 0, "%s", ready->host.error);
    cr_expect_eq(ready->host.live, 0, "%lld allocations are left", (long long)ready->host.live);
    free(ready);
}

static void run_plan(vk_table_hook hook, bool two_stages)
{
    struct ready *ready = make_ready(hook, two_stages);
    const uint64_t allocations = ready->host.allocations;
    for (uint32_t run = 0; run < 3; run++)
        cr_assert_eq(vk_test_run(ready->program, &ready->test, (float)run), ESPY_OK, "%s",
                     ready->host.error);
    cr_expect_eq(ready->host.allocations, allocations, "a run allocates");
    cr_expect_geq(espy_vk_program_memory(ready->program),
                  ready->test.plan.arena_size + ready->test.plan.constants_size);
    free_ready(ready);
}

Test(vk, one_stage_in_mapped_memory)
{
    run_plan(NULL, false);
}

Test(vk, two_stages_in_mapped_memory)
{
    run_plan(NULL, true);
}

Test(vk, one_stage_through_staging)
{
    run_plan(discrete_hook, false);
}

Test(vk, two_stages_through_staging)
{
    run_plan(discrete_hook, true);
}

// ---- cores --------------------------------------------------------------------------------------

static struct vk_table cores_real;

// A device of all three vendors, each with its own number.
static VKAPI_ATTR void VKAPI_CALL cores_of_all(VkPhysicalDevice physical,
                                               VkPhysicalDeviceProperties2 *properties)
{
    cores_real.GetPhysicalDeviceProperties2(physical, properties);
    for (VkBaseOutStructure *s = properties->pNext; s != NULL; s = s->pNext) {
        if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_SM_BUILTINS_PROPERTIES_NV) {
            ((VkPhysicalDeviceShaderSMBuiltinsPropertiesNV *)s)->shaderSMCount = 132;
        } else if (s->sType ==
                   VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_CORE_BUILTINS_PROPERTIES_ARM) {
            ((VkPhysicalDeviceShaderCoreBuiltinsPropertiesARM *)s)->shaderCoreCount = 4;
        } else if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_CORE_PROPERTIES_AMD) {
            VkPhysicalDeviceShaderCorePropertiesAMD *amd = (void *)s;
            amd->shaderEngineCount = 4;
            amd->shaderArraysPerEngineCount = 2;
            amd->computeUnitsPerShaderArray = 10;
        }
    }
}

static void cores_hook(void *user, struct vk_table *table, enum vk_table_part part)
{
    (void)user;
    if (part == VK_TABLE_PART_INSTANCE) {
        cores_real = *table;
        table->GetPhysicalDeviceProperties2 = cores_of_all;
    }
}

Test(vk, cores_are_counted_where_a_vendor_says_how_many)
{
    struct vk_test_host host;
    vk_test_host_init(&host);
    struct vk_device *device = make_device(&host, cores_hook);
    cr_expect_eq(espy_vk_cores(device, "VK_NV_shader_sm_builtins"), 132);
    cr_expect_eq(espy_vk_cores(device, "VK_ARM_shader_core_builtins"), 4);
    cr_expect_eq(espy_vk_cores(device, "VK_AMD_shader_core_properties"), 80);
    cr_expect_eq(espy_vk_cores(device, "VK_EXT_memory_budget"), 0);
    cr_expect_gt(device->caps.groups_busy, 0, "software drivers do not say");
    espy_vk_device_destroy(&device);
    cr_expect_eq(host.errors + host.warnings, 0, "%s", host.error);
    cr_expect_eq(host.live, 0);
}

// ---- time ---------------------------------------------------------------------------------------

static struct vk_table clock_real;

static VKAPI_ATTR void VKAPI_CALL no_clock(VkPhysicalDevice physical, uint32_t *count,
                                           VkQueueFamilyProperties *families)
{
    clock_real.GetPhysicalDeviceQueueFamilyProperties(physical, count, families);
    for (uint32_t i = 0; families != NULL && i < *count; i++)
        families[i].timestampValidBits = 0;
}

static void clockless_hook(void *user, struct vk_table *table, enum vk_table_part part)
{
    (void)user;
    if (part == VK_TABLE_PART_INSTANCE) {
        clock_real = *table;
        table->GetPhysicalDeviceQueueFamilyProperties = no_clock;
    }
}

static double wall_seconds(void)
{
    struct timespec now;
    (void)timespec_get(&now, TIME_UTC);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void time_plan(vk_table_hook hook)
{
    enum { REPEATS = 50 };
    struct ready *ready = make_ready(hook, false);
    double seconds = 0;
    cr_expect_eq(ready->device->clock_bits == 0, hook == clockless_hook);
    cr_assert_eq(vk_test_run(ready->program, &ready->test, 1.0F), ESPY_OK, "%s", ready->host.error);
    const double start = wall_seconds();
    cr_assert_eq(espy_vk_program_time(ready->program, 0, REPEATS, &seconds), ESPY_OK, "%s",
                 ready->host.error);
    cr_expect_gt(seconds, 0);
    cr_expect_leq(seconds * REPEATS, wall_seconds() - start);
    cr_expect_eq(vk_test_run(ready->program, &ready->test, 2.0F), ESPY_OK,
                 "after it a run is as before");
    free_ready(ready);
}

Test(vk, dispatches_are_timed_by_the_device)
{
    time_plan(NULL);
    time_plan(discrete_hook);
}

Test(vk, dispatches_are_timed_by_the_host_where_the_device_has_no_clock)
{
    time_plan(clockless_hook);
}

// ---- the tests' own eyes ------------------------------------------------------------------------

static VKAPI_ATTR void VKAPI_CALL no_barrier(
    VkCommandBuffer commands, VkPipelineStageFlags from, VkPipelineStageFlags to,
    VkDependencyFlags flags, uint32_t count, const VkMemoryBarrier *memory, uint32_t buffer_count,
    const VkBufferMemoryBarrier *buffers, uint32_t image_count, const VkImageMemoryBarrier *images)
{
    (void)commands, (void)from, (void)to, (void)flags, (void)count, (void)memory;
    (void)buffer_count, (void)buffers, (void)image_count, (void)images;
}

static VKAPI_ATTR void VKAPI_CALL no_destroy_view(VkDevice device, VkBufferView view,
                                                  const VkAllocationCallbacks *callbacks)
{
    (void)device, (void)view, (void)callbacks;
}

static void careless_hook(void *user, struct vk_table *table, enum vk_table_part part)
{
    (void)user;
    if (part == VK_TABLE_PART_DEVICE) {
        table->CmdPipelineBarrier = no_barrier;
        table->DestroyBufferView = no_destroy_view;
    }
}

Test(vk, validation_sees_missing_barriers_and_leaks)
{
    struct vk_test_host host;
    struct vk_test_plan *test = malloc(sizeof(*test));
    struct vk_program *program = NULL;
    cr_assert_not_null(test);
    vk_test_host_init(&host);
    vk_test_plan_init(test, false);
    struct vk_device *device = make_device(&host, careless_hook);
    cr_assert_eq(espy_vk_program_create(device, &test->plan, NULL, &program), ESPY_OK, "%s",
                 host.error);
    cr_expect_gt(host.errors, 0, "a missing barrier is not seen");
    cr_expect_eq(espy_vk_device_validation_count(device), host.errors + host.warnings);
    const uint32_t errors = host.errors;
    espy_vk_program_destroy(&program);
    espy_vk_device_destroy(&device);
    cr_expect_gt(host.errors, errors, "a leak is not seen");
    free(test);
}

// ---- choosing a device --------------------------------------------------------------------------

Test(vk, devices_are_listed_and_found_by_index_and_by_name)
{
    struct vk_test_host host;
    struct espy_device_info infos[8], info;
    uint32_t count = 8, only_count = 0;
    vk_test_host_init(&host);
    cr_assert_eq(espy_vk_device_list(&host.host, infos, &count), ESPY_OK);
    cr_assert_geq(count, 1);
    cr_expect_eq(espy_vk_device_list(&host.host, NULL, &only_count), ESPY_OK);
    cr_expect_eq(only_count, count);
    for (uint32_t i = 0; i < count && i < 8; i++) {
        if (!infos[i].usable)
            continue;
        char upper[256], index[16];
        snprintf(index, sizeof(index), "%u", i);
        snprintf(upper, sizeof(upper), "%s", infos[i].name);
        for (char *p = upper; *p != '\0'; p++)
            *p = *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
        const char *names[] = {index, upper};
        for (uint32_t k = 0; k < 2; k++) {
            struct vk_device *device = NULL;
            const struct vk_device_params params = {.host = &host.host, .name = names[k]};
            cr_assert_eq(espy_vk_device_create(&params, &device), ESPY_OK, "%s", host.error);
            espy_vk_device_info(device, &info);
            cr_expect_str_eq(info.name, infos[i].name);
            cr_expect_gt(espy_vk_device_caps(device)->local_size, 0);
            espy_vk_device_destroy(&device);
        }
    }
    cr_expect_eq(host.errors, 0, "%s", host.error);
    cr_expect_eq(host.live, 0);
}

Test(vk, halves_are_kept_where_the_device_has_them_unless_exact)
{
    struct vk_test_host host;
    vk_test_host_init(&host);
    for (uint32_t exact = 0; exact < 2; exact++) {
        struct vk_device *device = NULL;
        struct espy_device_info info;
        const struct vk_device_params params = {
            .host = &host.host, .float16_storage = true, .exact = exact == 1};
        cr_assert_eq(espy_vk_device_create(&params, &device), ESPY_OK, "%s", host.error);
        espy_vk_device_info(device, &info);
        cr_expect_eq(espy_vk_device_caps(device)->storage_f16,
                     info.storage_float16 && exact == 0);
        espy_vk_device_destroy(&device);
    }
    cr_expect_eq(host.live, 0);
}

static void expect_no_device(const char *name, vk_table_hook hook, const char *advice)
{
    struct vk_test_host host;
    struct vk_device *device = NULL;
    vk_test_host_init(&host);
    const struct vk_device_params params = {.host = &host.host, .name = name, .hook = hook};
    cr_expect_eq(espy_vk_device_create(&params, &device), ESPY_NO_DEVICE);
    cr_expect_null(device);
    cr_expect_eq(host.errors, 1);
    cr_expect_not_null(strstr(host.error, advice), "%s", host.error);
    cr_expect_eq(host.live, 0);
}

static VKAPI_ATTR VkResult VKAPI_CALL no_driver(const VkInstanceCreateInfo *info,
                                                const VkAllocationCallbacks *callbacks,
                                                VkInstance *instance)
{
    (void)info, (void)callbacks, (void)instance;
    return VK_ERROR_INCOMPATIBLE_DRIVER;
}

static VKAPI_ATTR void VKAPI_CALL old_properties(VkPhysicalDevice physical,
                                                 VkPhysicalDeviceProperties *properties)
{
    (void)physical;
    *properties =
        (VkPhysicalDeviceProperties){.apiVersion = VK_API_VERSION_1_1, .deviceName = "Old"};
}

static void no_driver_hook(void *user, struct vk_table *table, enum vk_table_part part)
{
    (void)user;
    if (part == VK_TABLE_PART_GLOBAL)
        table->CreateInstance = no_driver;
}

static void old_driver_hook(void *user, struct vk_table *table, enum vk_table_part part)
{
    (void)user;
    if (part == VK_TABLE_PART_INSTANCE)
        table->GetPhysicalDeviceProperties = old_properties;
}

Test(vk, no_device_says_what_to_do)
{
    expect_no_device("no such device", NULL, "0: ");
    expect_no_device("4090", NULL, "4090");
    expect_no_device(NULL, no_driver_hook, "mesa-vulkan-drivers");
    expect_no_device(NULL, old_driver_hook, "older than Vulkan 1.2");
}

// From the best to the last resort; the unusable one is never chosen.
Test(vk, a_software_driver_is_the_last_choice)
{
    static const espy_device_type order[] = {ESPY_DEVICE_DISCRETE_GPU, ESPY_DEVICE_INTEGRATED_GPU,
                                             ESPY_DEVICE_VIRTUAL_GPU, ESPY_DEVICE_OTHER,
                                             ESPY_DEVICE_CPU};
    enum { ORDER = sizeof(order) / sizeof(order[0]) };
    struct vk_test_host host;
    struct vk_candidate candidates[ORDER + 1] = {
        {.info = {.type = ESPY_DEVICE_DISCRETE_GPU, .name = "Old"}, .unusable = "it is old"}};
    const struct vk_candidate *chosen = NULL;
    vk_test_host_init(&host);
    for (uint32_t i = 0; i < ORDER; i++) // the worst first
        candidates[i + 1].info = (struct espy_device_info){
            .type = order[ORDER - 1 - i], .usable = true, .name = "GeForce RTX 4090"};
    for (uint32_t count = ORDER + 1; count > 1; count--) {
        cr_assert_eq(espy_vk_candidate_choose(&host.host, NULL, candidates, count, &chosen),
                     ESPY_OK);
        cr_expect_eq(chosen, &candidates[count - 1]);
    }
    cr_expect_eq(espy_vk_candidate_choose(&host.host, "4090", candidates, ORDER + 1, &chosen),
                 ESPY_OK, "a number that is no index is a name");
    cr_expect_eq(chosen, &candidates[ORDER]);
    cr_expect_eq(espy_vk_candidate_choose(&host.host, "1", candidates, ORDER + 1, &chosen),
                 ESPY_OK);
    cr_expect_eq(chosen, &candidates[1], "an index is exact");
    cr_expect_eq(host.errors, 0);
    cr_expect_eq(espy_vk_candidate_choose(&host.host, "old", candidates, ORDER + 1, &chosen),
                 ESPY_NO_DEVICE);
    cr_expect_not_null(strstr(host.error, "it is old"));
}

// Whatever order the loader has.
Test(vk, of_software_drivers_the_one_with_the_widest_subgroups_is_chosen)
{
    struct vk_test_host host;
    struct vk_candidate candidates[] = {
        {.info = {.type = ESPY_DEVICE_CPU, .usable = true, .subgroup_size = 4, .name = "four"}},
        {.info = {.type = ESPY_DEVICE_CPU, .usable = true, .subgroup_size = 8, .name = "eight"}}};
    const struct vk_candidate *chosen = NULL;
    vk_test_host_init(&host);
    cr_assert_eq(espy_vk_candidate_choose(&host.host, NULL, candidates, 2, &chosen), ESPY_OK);
    cr_expect_eq(chosen, &candidates[1]);
    candidates[0].info.subgroup_size = 16;
    cr_assert_eq(espy_vk_candidate_choose(&host.host, NULL, candidates, 2, &chosen), ESPY_OK);
    cr_expect_eq(chosen, &candidates[0]);
    cr_assert_eq(espy_vk_candidate_choose(&host.host, "eight", candidates, 2, &chosen), ESPY_OK);
    cr_expect_eq(chosen, &candidates[1]);
}

Test(vk, one_of_the_listed_devices_is_the_default)
{
    struct vk_test_host host;
    struct espy_device_info infos[16];
    uint32_t count = 16, defaults = 0;
    vk_test_host_init(&host);
    cr_assert_eq(espy_vk_device_list(&host.host, infos, &count), ESPY_OK);
    struct vk_device *device = NULL;
    const struct vk_device_params params = {.host = &host.host};
    cr_assert_eq(espy_vk_device_create(&params, &device), ESPY_OK);
    struct espy_device_info info;
    espy_vk_device_info(device, &info);
    espy_vk_device_destroy(&device);
    for (uint32_t i = 0; i < count && i < 16; i++) {
        defaults += infos[i].is_default;
        cr_expect_eq(infos[i].is_default, infos[i].index == info.index);
    }
    cr_expect_eq(defaults, 1);
}

// ---- the memory budget --------------------------------------------------------------------------

static VKAPI_ATTR VkResult VKAPI_CALL budget_extensions(VkPhysicalDevice physical,
                                                        const char *layer, uint32_t *count,
                                                        VkExtensionProperties *list)
{
    (void)physical, (void)layer;
    if (list != NULL)
        list[0] = (VkExtensionProperties){.extensionName = VK_EXT_MEMORY_BUDGET_EXTENSION_NAME};
    *count = 1;
    return VK_SUCCESS;
}

static VKAPI_ATTR VkResult VKAPI_CALL budget_device(VkPhysicalDevice physical,
                                                    const VkDeviceCreateInfo *info,
                                                    const VkAllocationCallbacks *callbacks,
                                                    VkDevice *device)
{
    VkDeviceCreateInfo real = *info;
    cr_expect_eq(real.enabledExtensionCount, 1);
    real.enabledExtensionCount = 0;
    return discrete_real.CreateDevice(physical, &real, callbacks, device);
}

static VKAPI_ATTR void VKAPI_CALL budget_memory(VkPhysicalDevice physical,
                                                VkPhysicalDeviceMemoryProperties2 *memory)
{
    (void)physical;
    VkPhysicalDeviceMemoryBudgetPropertiesEXT *budget = memory->pNext;
    budget->heapBudget[0] = 20000; // enough for the weights, and not for the arena
    budget->heapUsage[0] = 4000;
}

static void budget_hook(void *user, struct vk_table *table, enum vk_table_part part)
{
    (void)user;
    if (part != VK_TABLE_PART_INSTANCE)
        return;
    discrete_real = *table;
    table->EnumerateDeviceExtensionProperties = budget_extensions;
    table->CreateDevice = budget_device;
    table->GetPhysicalDeviceMemoryProperties2 = budget_memory;
}

Test(vk, going_beyond_the_budget_is_a_warning)
{
    struct vk_test_host host;
    struct vk_test_plan *test = malloc(sizeof(*test));
    struct vk_device *device = NULL;
    struct vk_program *program = NULL;
    cr_assert_not_null(test);
    vk_test_host_init(&host);
    vk_test_plan_init(test, false);
    const struct vk_device_params params = {
        .host = &host.host, .name = getenv("ESPY_TEST_DEVICE"), .hook = budget_hook};
    cr_assert_eq(espy_vk_device_create(&params, &device), ESPY_OK, "%s", host.error);
    cr_assert_eq(espy_vk_program_create(device, &test->plan, NULL, &program), ESPY_OK, "%s",
                 host.error);
    cr_expect_eq(host.warnings, 1, "%u warnings", host.warnings);
    cr_expect_eq(vk_test_run(program, test, 0.0F), ESPY_OK);
    espy_vk_program_destroy(&program);
    espy_vk_device_destroy(&device);
    cr_expect_eq(host.errors, 0);
    free(test);
}

// ---- limits -------------------------------------------------------------------------------------

static void expect_refused(void (*spoil)(struct vk_test_plan *test, const struct caps *caps),
                           espy_status expected, const char *says)
{
    struct vk_test_host host;
    struct vk_test_plan *test = malloc(sizeof(*test));
    struct vk_program *program = NULL;
    cr_assert_not_null(test);
    vk_test_host_init(&host);
    vk_test_plan_init(test, false);
    struct vk_device *device = make_device(&host, NULL);
    spoil(test, espy_vk_device_caps(device));
    cr_expect_eq(espy_vk_program_create(device, &test->plan, NULL, &program), expected);
    cr_expect_null(program);
    cr_expect_eq(host.errors, 1, "%u errors, the last: %s", host.errors, host.error);
    cr_expect_not_null(strstr(host.error, says), "%s", host.error);
    espy_vk_device_destroy(&device);
    cr_expect_eq(host.live, 0);
    free(test);
}

static void too_large_arena(struct vk_test_plan *test, const struct caps *caps)
{
    (void)caps;
    test->plan.arena_size = UINT64_C(1) << 50;
}

static void too_large_binding(struct vk_test_plan *test, const struct caps *caps)
{
    test->buffers[BUFFER_Y].size = caps->buffer_range_max + 4;
}

static void too_many_texels(struct vk_test_plan *test, const struct caps *caps)
{
    test->bindings[2][0].buffer = BUFFER_H; // bound as texels only
    test->buffers[BUFFER_H].size = (caps->texel_elements_max + 1) * 16;
}

Test(vk, what_is_too_large_is_named)
{
    expect_refused(too_large_arena, ESPY_OUT_OF_MEMORY, "1125899906842624");
    expect_refused(too_large_binding, ESPY_UNSUPPORTED, "'value'");
    expect_refused(too_many_texels, ESPY_UNSUPPORTED, "texels");
}

// ---- plans without something --------------------------------------------------------------------

Test(vk, an_empty_plan_is_a_program)
{
    struct vk_test_host host;
    struct vk_program *program = NULL;
    struct graph graph = {0};
    const struct plan plan = {.graph = &graph};
    vk_test_host_init(&host);
    struct vk_device *device = make_device(&host, NULL);
    cr_assert_eq(espy_vk_program_create(device, &plan, NULL, &program), ESPY_OK, "%s", host.error);
    cr_expect_eq(espy_vk_program_wait(program, 0), ESPY_OK, "nothing is in flight");
    espy_vk_program_destroy(&program);
    espy_vk_program_destroy(&program);
    espy_vk_device_destroy(&device);
    espy_vk_device_destroy(&device);
    cr_expect_eq(host.errors + host.warnings, 0, "%s", host.error);
    cr_expect_eq(host.live, 0);
}

// ---- constants ----------------------------------------------------------------------------------

// Two constants that take more than one round through the staging buffer, converted on the way.
static void large_constants(vk_table_hook hook, espy_dtype dtype, enum storage storage)
{
    enum { FIRST = 6000001, SECOND = 3, OFFSET = FIRST * 4 / 64 * 64 + 64 };
    const uint32_t element_size = (uint32_t)espy_storage_size(storage);
    struct vk_test_host host;
    struct vk_program *program = NULL;
    struct graph graph = {0};
    signed char *elements = malloc(FIRST), *back = calloc(FIRST, 1);
    cr_assert(elements != NULL && back != NULL);
    for (uint32_t i = 0; i < FIRST; i++)
        elements[i] = (signed char)(i * 7 % 251 - 125);
    struct plan_buffer buffers[2];
    struct view views[2];
    const uint32_t counts[2] = {FIRST, SECOND};
    size_t sizes[2];
    for (uint32_t i = 0; i < 2; i++) {
        cr_assert(espy_dtype_data_size(dtype, counts[i], &sizes[i]));
        buffers[i] = (struct plan_buffer){.kind = PLAN_CONSTANT,
                                          .storage = storage,
                                          .size = (counts[i] * element_size + 15) / 16 * 16,
                                          .offset = i * OFFSET,
                                          .dtype = dtype,
                                          .data = elements,
                                          .count = counts[i]};
        views[i] = (struct view){.buffer = i,
                                 .dtype = dtype,
                                 .storage = storage,
                                 .rank = 1,
                                 .dims = {counts[i]},
                                 .strides = {1}};
    }
    const struct plan plan = {
        .graph = &graph, .buffer_count = 2, .buffers = buffers, .constants_size = OFFSET + 64};
    vk_test_host_init(&host);
    struct vk_device *device = make_device(&host, hook);
    cr_assert_eq(espy_vk_program_create(device, &plan, NULL, &program), ESPY_OK, "%s", host.error);
    for (uint32_t i = 0; i < 2; i++) {
        // Where elements share bytes, the last byte has some that are not this constant's.
        const bool shared = espy_dtype_bits(dtype) < 8;
        memset(back, 0, sizes[i]);
        cr_assert_eq(espy_vk_program_read(program, &views[i], back), ESPY_OK, "%s", host.error);
        cr_expect_eq(memcmp(back, elements, sizes[i] - shared), 0, "constant %u", i);
        cr_expect(!shared || ((back[sizes[i] - 1] ^ elements[sizes[i] - 1]) & 3) == 0);
    }
    espy_vk_program_destroy(&program);
    espy_vk_device_destroy(&device);
    cr_expect_eq(host.errors + host.warnings, 0, "%s", host.error);
    cr_expect_eq(host.live, 0);
    free(back);
    free(elements);
}

Test(vk, constants_are_converted_into_mapped_memory)
{
    large_constants(NULL, ESPY_INT8, STORAGE_I32);
    large_constants(NULL, ESPY_INT4, STORAGE_I32);
    large_constants(NULL, ESPY_UINT2, STORAGE_I32);
    large_constants(NULL, ESPY_UINT8, STORAGE_PACKED);
}

Test(vk, constants_larger_than_the_staging_buffer_arrive)
{
    large_constants(discrete_hook, ESPY_INT8, STORAGE_I32);
    large_constants(discrete_hook, ESPY_INT4, STORAGE_I32);
    large_constants(discrete_hook, ESPY_UINT2, STORAGE_I32);
    large_constants(discrete_hook, ESPY_UINT8, STORAGE_PACKED);
}

// ---- views without a slot -----------------------------------------------------------------------

static void any_view(vk_table_hook hook)
{
    struct vk_test_host host;
    struct vk_test_plan *test = malloc(sizeof(*test));
    struct vk_program *program = NULL;
    static float x[COUNT], back[COUNT];
    cr_assert_not_null(test);
    vk_test_host_init(&host);
    vk_test_plan_init(test, false);
    struct vk_device *device = make_device(&host, hook);
    cr_assert_eq(espy_vk_program_create(device, &test->plan, NULL, &program), ESPY_OK, "%s",
                 host.error);
    for (uint32_t i = 0; i < COUNT; i++)
        x[i] = (float)i;
    // An input is there before anything was submitted, whole and in part.
    cr_assert_eq(espy_vk_program_write(program, &test->views[BUFFER_X], x), ESPY_OK);
    cr_assert_eq(espy_vk_program_read(program, &test->views[BUFFER_X], back), ESPY_OK);
    cr_expect_arr_eq(x, back, sizeof(x));
    struct view part = test->views[BUFFER_X];
    part.offset = 100;
    part.dims[0] = 7;
    cr_assert_eq(espy_vk_program_read(program, &part, back), ESPY_OK);
    cr_expect_arr_eq(x + 100, back, 7 * sizeof(float));
    // A value that is neither input nor output.
    cr_assert_eq(espy_vk_program_write(program, &test->views[BUFFER_H], x), ESPY_OK);
    cr_assert_eq(espy_vk_program_read(program, &test->views[BUFFER_H], back), ESPY_OK);
    cr_expect_arr_eq(x, back, sizeof(x));
    cr_assert_eq(vk_test_run(program, test, 4.0F), ESPY_OK, "%s", host.error);
    cr_assert_eq(espy_vk_program_read(program, &test->views[BUFFER_Y], back), ESPY_OK);
    cr_expect_float_eq(back[10], 3.0 * 14.0 + 5.0, 1e-3);
    // No elements.
    part.dims[0] = 0;
    cr_expect_eq(espy_vk_program_read(program, &part, NULL), ESPY_OK);
    cr_expect_eq(espy_vk_program_write(program, &part, NULL), ESPY_OK);
    espy_vk_program_destroy(&program);
    espy_vk_device_destroy(&device);
    cr_expect_eq(host.errors + host.warnings, 0, "%s", host.error);
    free(test);
}

Test(vk, any_view_is_written_and_read_in_mapped_memory)
{
    any_view(NULL);
}

Test(vk, any_view_is_written_and_read_through_staging)
{
    any_view(discrete_hook);
}

// ---- counts ------------------------------------------------------------------------------------

// Every step-th element of x is not zero; step 0: none is.
static void count_through(vk_table_hook hook, int64_t count, int64_t step)
{
    struct test_host test;
    struct graph graph;
    struct arena arena;
    struct vk_device *device = NULL;
    espy_test_host_init(&test);
    espy_arena_init(&arena, &test.host);
    make_graph(&graph, &test.host);
    const struct vk_device_params params = {
        .host = &test.host, .name = getenv("ESPY_TEST_DEVICE"), .validation = true, .hook = hook};
    cr_assert_eq(espy_vk_device_create(&params, &device), ESPY_OK, "%s", test.last_error);
    const uint32_t x = make_input(&graph, "x", ESPY_INT32, SHAPE(count));
    make_output(&graph, MAKE(&graph, "NonZero", "where", x));
    const size_t size = (size_t)count * sizeof(int32_t);
    struct tensor input = {{ESPY_INT32, *SHAPE(count)}, (size_t)count,
                           espy_arena_alloc(&arena, size)};
    struct tensor where = {.data = NULL};
    cr_assert_not_null(input.data);
    for (int64_t i = 0; i < count; i++)
        ((int32_t *)input.data)[i] = step > 0 && i % step == 0;
    cr_assert_eq(espy_test_run(&test.host, device, &graph, &input, &arena, &where, NULL), ESPY_OK,
                 "%s", test.last_error);
    const int64_t found = step > 0 ? (count + step - 1) / step : 0;
    cr_assert_eq(where.type.shape.rank, 2);
    cr_assert_eq(where.type.shape.dims[1], found);
    for (int64_t i = 0; i < found; i++)
        cr_assert_eq(((int64_t *)where.data)[i], i * step);
    cr_expect_eq(espy_vk_device_validation_count(device), 0, "%s", test.last_error);
    espy_vk_device_destroy(&device);
    espy_graph_finish(&graph);
    espy_arena_finish(&arena);
    cr_expect_eq(test.live_count, 0, "%zu allocations are left", test.live_count);
}

Test(vk, what_was_counted_is_read_from_mapped_memory)
{
    count_through(NULL, 100, 3);
    count_through(NULL, 100, 0);
}

Test(vk, what_was_counted_is_read_through_staging)
{
    count_through(discrete_hook, 100, 3);
    count_through(discrete_hook, 100, 0);
    count_through(discrete_hook, 100000, 1);
}

Test(vk, more_was_counted_than_the_staging_buffer_takes)
{
    count_through(discrete_hook, 3000000, 1);
}

// ---- threads ------------------------------------------------------------------------------------

enum { THREADS = 4, THREAD_RUNS = 20 };

struct thread_job {
    struct vk_device *device;
    uint32_t bias;
    espy_status status;
};

static void *thread_main(void *user)
{
    struct thread_job *job = user;
    struct vk_test_plan *test = malloc(sizeof(*test));
    static const struct scale_push identity = {COUNT, 1.0F};
    float *x = calloc(COUNT, sizeof(*x)), *z = calloc(COUNT, sizeof(*z));
    struct vk_program *program = NULL;
    vk_test_plan_init(test, false);
    test->dispatches[0].push = &identity;
    test->dispatches[0].spec = &job->bias; // so that every thread wants a pipeline of its own
    job->status = espy_vk_program_create(job->device, &test->plan, NULL, &program);
    for (uint32_t run = 0; run < THREAD_RUNS && job->status == ESPY_OK; run++) {
        job->status = espy_vk_program_write(program, &test->input.view, x);
        if (job->status == ESPY_OK)
            job->status = espy_vk_program_submit(program, 0);
        if (job->status == ESPY_OK)
            job->status = espy_vk_program_wait(program, UINT64_MAX);
        if (job->status == ESPY_OK)
            job->status = espy_vk_program_read(program, &test->output.view, z);
        for (uint32_t i = 0; i < COUNT && job->status == ESPY_OK; i++) {
            if (z[i] != 2.0F * (float)i + 1.0F + (float)job->bias)
                job->status = ESPY_MISMATCH;
        }
    }
    espy_vk_program_destroy(&program);
    free(z);
    free(x);
    free(test);
    return NULL;
}

Test(vk, programs_of_one_device_run_in_several_threads)
{
    struct vk_device *device = NULL;
    struct host host; // without a counting allocator, which is for one thread
    struct thread_job jobs[THREADS];
    pthread_t threads[THREADS];
    espy_host_init(&host, NULL);
    const struct vk_device_params params = {.host = &host, .name = getenv("ESPY_TEST_DEVICE")};
    cr_assert_eq(espy_vk_device_create(&params, &device), ESPY_OK);
    for (uint32_t i = 0; i < THREADS; i++) {
        jobs[i] = (struct thread_job){.device = device, .bias = i % 3};
        cr_assert_eq(pthread_create(&threads[i], NULL, thread_main, &jobs[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        cr_expect_eq(jobs[i].status, ESPY_OK, "thread %u: %d", i, (int)jobs[i].status);
    }
    espy_vk_device_destroy(&device);
}

// ---- compiling ahead ----------------------------------------------------------------------------

enum { AHEAD_COUNT = 6 };

// z = x + 0 + 1 + 2 + 3 + 4 + 5, each in a dispatch with a pipeline of its own.
struct ahead_plan {
    struct vk_test_plan base;
    struct plan_binding bindings[AHEAD_COUNT][4];
    struct plan_dispatch dispatches[AHEAD_COUNT];
    uint32_t bias[AHEAD_COUNT];
    struct scale_push push;
};

static void ahead_plan_init(struct ahead_plan *test)
{
    vk_test_plan_init(&test->base, false);
    test->push = (struct scale_push){COUNT, 1.0F};
    for (uint32_t i = 0; i < AHEAD_COUNT; i++) {
        const uint32_t from = i == 0 ? BUFFER_X : i % 2 == 1 ? BUFFER_Y : BUFFER_H;
        const uint32_t to = i + 1 == AHEAD_COUNT ? BUFFER_Z : i % 2 == 0 ? BUFFER_Y : BUFFER_H;
        test->bias[i] = i;
        test->dispatches[i] =
            scale_dispatch(test->bindings[i], from, to, &test->push, &test->bias[i]);
        test->dispatches[i].barrier = true;
    }
    test->base.stages[0].count = AHEAD_COUNT;
    test->base.plan.dispatches = test->dispatches;
    test->base.plan.dispatch_count = AHEAD_COUNT;
}

// A thread compiles while the program is made and first run, on drivers that would wait until then.
// Results are what they are without it, and it is over when the first run is, or the program goes.
static void compile_ahead(bool run)
{
    static float x[COUNT], z[COUNT];
    struct vk_test_host host;
    struct vk_program *program = NULL;
    struct ahead_plan *test = calloc(1, sizeof(*test));
    cr_assert_not_null(test);
    vk_test_host_init(&host);
    ahead_plan_init(test);
    cr_expect_eq(espy_plan_pipelines(&test->base.plan), AHEAD_COUNT);
    struct vk_device *device = make_device(&host, NULL);
    cr_assert_eq(espy_vk_program_create(device, &test->base.plan, NULL, &program), ESPY_OK, "%s",
                 host.error);
    cr_expect_eq(program->ahead != NULL, device->compiles_late);
    for (uint32_t i = 0; i < COUNT; i++)
        x[i] = (float)i;
    if (run) {
        cr_assert_eq(espy_vk_program_write(program, &test->base.input.view, x), ESPY_OK);
        cr_assert_eq(espy_vk_program_submit(program, 0), ESPY_OK);
        cr_assert_eq(espy_vk_program_wait(program, UINT64_MAX), ESPY_OK);
        cr_expect_null(program->ahead);
        cr_assert_eq(espy_vk_program_read(program, &test->base.output.view, z), ESPY_OK);
        for (uint32_t i = 0; i < COUNT; i++)
            cr_assert_float_eq(z[i], x[i] + 15, 1e-3, "element %u", i);
    }
    espy_vk_program_destroy(&program);
    cr_assert_eq(espy_vk_program_create(device, &test->base.plan, NULL, &program), ESPY_OK);
    cr_expect_null(program->ahead, "all pipelines are there");
    espy_vk_program_destroy(&program);
    espy_vk_device_destroy(&device);
    cr_expect_eq(host.errors + host.warnings, 0, "%s", host.error);
    cr_expect_eq(host.live, 0, "%lld allocations are left", (long long)host.live);
    free(test);
}

Test(vk, pipelines_are_compiled_ahead_of_a_run)
{
    compile_ahead(true);
}

Test(vk, a_program_that_never_runs_stops_compiling)
{
    compile_ahead(false);
}

// ---- the pipeline cache -------------------------------------------------------------------------

enum { CACHE_PATH_SIZE = 600, CACHE_FILE_SIZE_MAX = 1 << 16, CACHE_HEADER_SIZE = 56 };

struct cache_file {
    char folder[256], path[CACHE_PATH_SIZE];
    unsigned char bytes[CACHE_FILE_SIZE_MAX];
    size_t size;
    uint64_t inode;
};

static void cache_folder(struct cache_file *cache)
{
    const char *temporary = getenv("TMPDIR");
    snprintf(cache->folder, sizeof(cache->folder), "%.200s/espy-test-%ld/a/b",
             temporary != NULL ? temporary : "/tmp", (long)getpid());
}

static void cache_load(struct cache_file *cache)
{
    FILE *file = fopen(cache->path, "rb");
    cr_assert_not_null(file);
    cache->size = fread(cache->bytes, 1, sizeof(cache->bytes), file);
    fclose(file);
}

// The one file of the folder; anything beside it is an error.
static void cache_read(struct cache_file *cache)
{
    DIR *folder = opendir(cache->folder);
    cr_assert_not_null(folder);
    uint32_t count = 0;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(cache->path, sizeof(cache->path), "%s/%s", cache->folder, entry->d_name);
        count++;
    }
    closedir(folder);
    cr_assert_eq(count, 1, "%u files", count);
    cache_load(cache);
    struct stat info;
    cr_assert_eq(stat(cache->path, &info), 0);
    cache->inode = (uint64_t)info.st_ino;
}

static void cache_write(const struct cache_file *cache, size_t size)
{
    FILE *file = fopen(cache->path, "wb");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(cache->bytes, 1, size, file), size);
    fclose(file);
}

static void cache_remove(struct cache_file *cache)
{
    remove(cache->path);
    for (uint32_t i = 0; i < 3; i++) {
        remove(cache->folder);
        *strrchr(cache->folder, '/') = '\0';
    }
}

// Opens a device with the cache, and makes a program's pipelines where wanted. True: the file was
// refused.
static bool use_cache(const char *folder, bool program_too)
{
    struct vk_test_host host;
    struct vk_test_plan *test = malloc(sizeof(*test));
    struct vk_device *device = NULL;
    struct vk_program *program = NULL;
    cr_assert_not_null(test);
    vk_test_host_init(&host);
    vk_test_plan_init(test, false);
    const struct vk_device_params params = {
        .host = &host.host, .name = getenv("ESPY_TEST_DEVICE"), .cache_dir = folder};
    cr_assert_eq(espy_vk_device_create(&params, &device), ESPY_OK, "%s", host.error);
    const bool refused = host.refused;
    if (program_too)
        cr_assert_eq(espy_vk_program_create(device, &test->plan, NULL, &program), ESPY_OK);
    espy_vk_program_destroy(&program);
    espy_vk_device_destroy(&device);
    cr_expect_eq(host.errors, 0, "%s", host.error);
    cr_expect_eq(host.live, 0);
    free(test);
    return refused;
}

Test(vk, the_pipeline_cache_is_kept_and_checked)
{
    static struct cache_file cache, again;
    cache_folder(&cache);
    cr_expect_not(use_cache(cache.folder, true));
    cache_read(&cache);
    cr_assert_gt(cache.size, CACHE_HEADER_SIZE);
    cr_expect_not(use_cache(cache.folder, true));
    again = cache;
    cache_read(&again);
    if (again.size == cache.size && memcmp(again.bytes, cache.bytes, cache.size) == 0)
        cr_expect_eq(again.inode, cache.inode, "an unchanged cache is written again");
    // Every byte of header and data matters, but the reserved ones; so does the length.
    const size_t checked = cache.size < 160 ? cache.size : 160;
    for (size_t i = 0; i < checked; i++) {
        if (i >= CACHE_HEADER_SIZE - 4 && i < CACHE_HEADER_SIZE)
            continue;
        cache.bytes[i] ^= 0x40;
        cache_write(&cache, cache.size);
        cache.bytes[i] ^= 0x40;
        cr_expect(use_cache(cache.folder, false), "byte %zu", i);
    }
    for (size_t size = 0; size < checked; size += 7) {
        cache_write(&cache, size);
        cr_expect(use_cache(cache.folder, false), "%zu bytes", size);
    }
    cr_expect(use_cache(cache.folder, true), "the last damaged file is refused");
    cr_expect_not(use_cache(cache.folder, false), "and was replaced");
    cache_remove(&cache);
}

// How a device with this folder goes about a plan of several pipelines.
struct known_use {
    bool late;    // the driver compiles late
    bool ahead;   // a thread compiled what was not known
    bool refused; // a file of the folder was
};

static struct known_use use_known(const char *folder, bool run)
{
    static float x[COUNT];
    struct vk_test_host host;
    struct known_use use = {0};
    struct vk_device *device = NULL;
    struct vk_program *program = NULL;
    struct ahead_plan *test = calloc(1, sizeof(*test));
    cr_assert_not_null(test);
    vk_test_host_init(&host);
    ahead_plan_init(test);
    const struct vk_device_params params = {
        .host = &host.host, .name = getenv("ESPY_TEST_DEVICE"), .cache_dir = folder};
    cr_assert_eq(espy_vk_device_create(&params, &device), ESPY_OK, "%s", host.error);
    cr_assert_eq(espy_vk_program_create(device, &test->base.plan, NULL, &program), ESPY_OK);
    use.late = device->compiles_late;
    use.ahead = program->ahead != NULL;
    use.refused = host.refused;
    if (run) {
        cr_assert_eq(espy_vk_program_write(program, &test->base.input.view, x), ESPY_OK);
        cr_assert_eq(espy_vk_program_submit(program, 0), ESPY_OK);
        cr_assert_eq(espy_vk_program_wait(program, UINT64_MAX), ESPY_OK);
    }
    espy_vk_program_destroy(&program);
    espy_vk_device_destroy(&device);
    cr_expect_eq(host.errors + host.warnings, 0, "%s", host.error);
    cr_expect_eq(host.live, 0);
    free(test);
    return use;
}

// The file of the folder with that suffix; false where there is none.
static bool cache_find(struct cache_file *cache, const char *suffix)
{
    DIR *folder = opendir(cache->folder);
    bool found = false;
    cr_assert_not_null(folder);
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        const size_t length = strlen(entry->d_name), end = strlen(suffix);
        if (length <= end || strcmp(entry->d_name + length - end, suffix) != 0)
            continue;
        snprintf(cache->path, sizeof(cache->path), "%s/%s", cache->folder, entry->d_name);
        found = true;
    }
    closedir(folder);
    if (found)
        cache_load(cache);
    return found;
}

Test(vk, what_has_run_is_not_compiled_ahead_again)
{
    static struct cache_file cache;
    cache_folder(&cache);
    const bool late = use_known(cache.folder, false).late;
    cr_expect_not(cache_find(&cache, ".known"), "nothing has run");
    cr_expect_eq(use_known(cache.folder, true).ahead, late);
    cr_assert_eq(cache_find(&cache, ".known"), late);
    cr_expect_not(use_known(cache.folder, true).ahead);
    if (late) {
        cr_expect_eq(cache.size, CACHE_HEADER_SIZE + AHEAD_COUNT * sizeof(uint64_t));
        cache.bytes[CACHE_HEADER_SIZE + 1] ^= 0x40;
        cache_write(&cache, cache.size);
        const struct known_use damaged = use_known(cache.folder, true);
        cr_expect(damaged.refused);
        cr_expect(damaged.ahead);
        cr_expect_not(use_known(cache.folder, true).refused, "it was replaced");
        remove(cache.path);
    }
    cr_assert(cache_find(&cache, ".pipelines"));
    cache_remove(&cache);
}

Test(vk, a_folder_that_cannot_be_made_is_a_warning)
{
    struct vk_test_host host;
    struct vk_device *device = NULL;
    vk_test_host_init(&host);
    const struct vk_device_params params = {
        .host = &host.host, .name = getenv("ESPY_TEST_DEVICE"), .cache_dir = "/dev/null/cache"};
    cr_assert_eq(espy_vk_device_create(&params, &device), ESPY_OK, "%s", host.error);
    cr_expect_eq(host.warnings, 1);
    cr_expect_eq(host.errors, 0);
    espy_vk_device_destroy(&device);
    cr_expect_eq(host.live, 0);
}
