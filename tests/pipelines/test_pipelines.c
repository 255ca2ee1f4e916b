// Goal: a real GPU's compiler takes every kernel of the GPUs' family and keeps it in registers.
// Method: Mesa's RADV, where it has a device that is not there (RADV_FORCE_FAMILY), compiles for AMD's
// GPUs on any machine and runs nothing. Plans of the problems of bench_ops, whose kernels are those
// where the time goes, and of all operator cases, a quarter of them in float16 too, are made for such
// devices, and all their pipelines created, with the validation layer on. Of what the driver says of
// the former (VK_KHR_pipeline_executable_properties) nothing may be spilled.
//
// VEGA20 is of the generations whose subgroups always have 64 lanes (GCN), NAVI21 of those that
// choose (RDNA).
#define _POSIX_C_SOURCE 200809L // setenv
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../bench/bench_plan.h"
#include "support/case_file.h"
#include "support/compiled.h"
#include "support/run_graph.h"
#include "support/test_host.h"

// The kernels of float16 differ from those of float32 in how elements are read and stored: a part of
// the cases says enough.
enum { TENSORS_MAX = 64, PATH_SIZE = 1024, FLOAT16_EVERY = 4 };

// Skips the test where there is no such device.
static struct vk_device *open_device(struct test_host *test, const char *family, bool facts)
{
    struct vk_device *device = NULL;
    espy_test_host_init(test);
    setenv("RADV_FORCE_FAMILY", family, 1);
    struct vk_device_params params = espy_test_device_params(&test->host);
    params.name = "RADV";
    params.compiled_facts = facts;
    const espy_status status = espy_vk_device_create(&params, &device);
    if (status == ESPY_NO_DEVICE) {
        // Criterion keeps reasons to itself.
        fprintf(stderr, "test_pipelines: skipped: no Mesa here compiles for a GPU that is not there "
                        "(RADV with RADV_FORCE_FAMILY)\n");
        cr_skip_test("no RADV_FORCE_FAMILY");
    }
    cr_assert(status == ESPY_OK, "%s", test->last_error);
    return device;
}

static void close_device(struct test_host *test, struct vk_device **device)
{
    cr_expect(espy_vk_device_validation_count(*device) == 0,
              "the validation layer has complained: %s", test->last_error);
    espy_vk_device_destroy(device);
    cr_expect(test->live_count == 0, "%zu allocations are not freed", test->live_count);
}

// ---- the problems of bench_ops ------------------------------------------------------------------

static void expect_no_spills(struct test_host *test, struct vk_device *device,
                             const struct plan_dispatch *dispatch, const char *problem)
{
    struct vk_compiled compiled;
    const char *name = dispatch->shader->name;
    const espy_status status = espy_vk_compiled_describe(device, dispatch, &compiled, NULL);
    cr_assert(status == ESPY_OK, "%s of %s: %s", name, problem, test->last_error);
    const struct compiled_summary summary = espy_test_compiled_summary(&compiled);
    cr_expect(summary.registers > 0, "the driver says nothing of %s", name);
    cr_expect(summary.spilled == 0, "%s of %s spills %.0f registers", name, problem,
              summary.spilled);
    cr_expect(summary.scratch_size == 0, "%s of %s keeps %.0f bytes in memory", name, problem,
              summary.scratch_size);
}

static void check_problems(const char *family)
{
    struct test_host test;
    struct vk_device *device = open_device(&test, family, true);
    for (uint32_t i = 0; i < espy_bench_problem_count; i++) {
        const struct problem *problem = &espy_bench_problems[i];
        struct bench_plan bench;
        const espy_status status =
            espy_bench_plan_init(&bench, &test.host, espy_vk_device_caps(device), problem);
        cr_assert(status == ESPY_OK, "%s: %s", problem->name, test.last_error);
        const struct plan *plan = &bench.plan;
        for (uint32_t d = 0; bench.asked && d < plan->prepare_count; d++)
            expect_no_spills(&test, device, &plan->prepare[d], problem->name);
        for (uint32_t d = 0; bench.asked && d < plan->dispatch_count; d++)
            expect_no_spills(&test, device, &plan->dispatches[d], problem->name);
        espy_bench_plan_finish(&bench);
    }
    close_device(&test, &device);
}

Test(pipelines, usual_problems_spill_nothing_on_gcn)
{
    check_problems("vega20");
}

Test(pipelines, usual_problems_spill_nothing_on_rdna)
{
    check_problems("navi21");
}

// ---- operator cases -----------------------------------------------------------------------------

static void create_pipelines(struct test_host *test, struct vk_device *device,
                             const struct plan *plan, const char *name)
{
    struct vk_compiled compiled;
    const uint32_t count = plan->prepare_count + plan->dispatch_count;
    for (uint32_t d = 0; d < count; d++) {
        const struct plan_dispatch *dispatch =
            d < plan->prepare_count ? &plan->prepare[d] : &plan->dispatches[d - plan->prepare_count];
        const espy_status status = espy_vk_compiled_describe(device, dispatch, &compiled, NULL);
        cr_expect(status == ESPY_OK, "%s of %s: %s", dispatch->shader->name, name,
                  test->last_error);
    }
}

static void check_case(struct test_host *test, struct vk_device *device,
                       const struct op_case *op_case, espy_dtype dtype)
{
    struct arena arena;
    struct graph graph;
    struct plan plan = {0};
    struct tensor inputs[TENSORS_MAX] = {0};
    struct op_source sources[TENSORS_MAX];
    espy_arena_init(&arena, &test->host);
    espy_graph_init(&graph, &test->host);
    espy_status status = espy_test_case_graph(op_case, dtype, false, &arena, &graph, inputs);
    if (status == ESPY_OK) {
        espy_test_sources(&graph, inputs, false, sources);
        const struct plan_params params = {.host = &test->host,
                                           .graph = &graph,
                                           .caps = espy_vk_device_caps(device),
                                           .sources = sources,
                                           .source_count = graph.input_count};
        status = espy_plan_build(&params, &plan);
    }
    // An operator may not take float16.
    if (status != ESPY_UNSUPPORTED || dtype == ESPY_FLOAT32)
        cr_expect(status == ESPY_OK, "%s (%s): %s", op_case->name, op_case->op, test->last_error);
    if (status == ESPY_OK)
        create_pipelines(test, device, &plan, op_case->name);
    espy_plan_finish(&plan);
    espy_graph_finish(&graph);
    espy_arena_finish(&arena);
}

static void check_case_file(struct test_host *test, struct vk_device *device, const char *path)
{
    struct case_file file;
    char error[256];
    cr_assert(espy_test_read_cases(&test->host, path, &file, error, sizeof(error)), "%s: %s", path,
              error);
    for (uint32_t i = 0; i < file.case_count; i++) {
        check_case(test, device, &file.cases[i], ESPY_FLOAT32);
        if (file.cases[i].half && i % FLOAT16_EVERY == 0)
            check_case(test, device, &file.cases[i], ESPY_FLOAT16);
    }
    espy_test_free_cases(&file);
}

Test(pipelines, of_all_operator_cases_are_created)
{
    struct test_host test;
    char path[PATH_SIZE];
    uint32_t count = 0;
    struct vk_device *device = open_device(&test, "navi21", false);
    FILE *list = fopen(ESPY_BINARY_DIR "/tests/case_files.txt", "r");
    cr_assert(list != NULL, "there is no list of case files");
    for (; fgets(path, sizeof(path), list) != NULL; count++) {
        path[strcspn(path, "\n")] = '\0';
        check_case_file(&test, device, path);
    }
    fclose(list);
    cr_expect(count > 0);
    close_device(&test, &device);
}
