// Goal: a plan made ready on the device gives the right numbers, whatever the memory is like, with
// no word from the validation layer and no allocation while it runs.
// Method: the hand-made plan of test_vk_fixture.h on the software driver.
#include "test_vk_fixture.h"

// The real entries as discrete_hook found them still hold when it swaps them back in.
static struct vk_device *make_device(struct test_host *host, vk_table_hook hook)
{
    struct vk_device *device = NULL;
    const struct vk_device_params params = {.host = &host->host, .validation = true, .hook = hook};
    cr_assert_eq(espy_vk_device_create(&params, &device), ESPY_OK, "%s", host->error);
    return device;
}

static void run_plan(vk_table_hook hook, bool two_stages)
{
    struct test_host host;
    struct test_plan *test = malloc(sizeof(*test));
    struct vk_program *program = NULL;
    cr_assert_not_null(test);
    test_host_init(&host);
    test_plan_init(test, two_stages);
    struct vk_device *device = make_device(&host, hook);
    cr_assert_eq(espy_vk_program_create(device, &test->plan, &program), ESPY_OK, "%s", host.error);
    const uint64_t allocations = host.allocations;
    for (uint32_t run = 0; run < 3; run++)
        cr_assert_eq(test_run(program, test, (float)run), ESPY_OK, "%s", host.error);
    cr_expect_eq(host.allocations, allocations, "a run allocates");
    cr_expect_geq(espy_vk_program_memory(program),
                  test->plan.arena_size + test->plan.constants_size);
    espy_vk_program_destroy(&program);
    cr_expect_null(program);
    cr_expect_eq(espy_vk_device_validation_count(device), 0);
    espy_vk_device_destroy(&device);
    cr_expect_null(device);
    cr_expect_eq(host.errors + host.warnings, 0, "%s", host.error);
    cr_expect_eq(host.live, 0, "%lld allocations are left", (long long)host.live);
    free(test);
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
