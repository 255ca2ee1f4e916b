// Goal: every operator case can be planned for devices that lack what lavapipe has, with kernels
// that those devices can run; and when memory runs out at any moment of planning, the answer is
// ESPY_OUT_OF_MEMORY, with nothing left behind.
#define _POSIX_C_SOURCE 200809L // opendir

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "plan/plan.h"
#include "support/case_file.h"
#include "support/fake_devices.h"
#include "support/run_graph.h"
#include "support/test_host.h"

enum { TENSORS_MAX = 64 };

struct device {
    const char *name;
    struct caps caps;
};

static const struct device devices[] = {
    {"a CPU", {FAKE_CPU, .storage_f16 = true}},
    {"a plain CPU",
     {.cpu = true,
      .subgroup_size = 4,
      .local_size = 4,
      .invocations_max = 128,
      .shared_size = 16384,
      .groups_max = {65535, 65535, 65535},
      .bindings_max = 8,
      .buffer_alignment = 256,
      .buffer_range_max = 1 << 27,
      .texel_elements_max = 65536}},
    {"a GPU", {FAKE_GPU}},
    {"a GPU with matrices",
     {.storage_f16 = true,
      .subgroups = true,
      .subgroup_fixed = true,
      .subgroup_size = 32,
      .local_size = 64,
      .invocations_max = 1024,
      .shared_size = 49152,
      .groups_busy = 80,
      .groups_max = {2147483647, 65535, 65535},
      .buffer_alignment = 16,
      .buffer_range_max = UINT32_MAX,
      .texel_elements_max = 1 << 27,
      .matrix_count = 1,
      .matrices = {{16, 16, 16}}}},
    {"a plain GPU",
     {.subgroup_size = 64,
      .local_size = 64,
      .invocations_max = 128,
      .shared_size = 16384,
      .groups_max = {65535, 65535, 65535},
      .bindings_max = 8,
      .buffer_alignment = 256,
      .buffer_range_max = 1 << 27,
      .texel_elements_max = 65536}},
};

static espy_status plan_case(const struct host *host, const struct caps *caps,
                             const struct graph *graph, const struct tensor *inputs,
                             struct plan *plan)
{
    struct op_source sources[TENSORS_MAX];
    espy_test_sources(graph, inputs, false, sources);
    const struct plan_params params = {.host = host,
                                       .graph = graph,
                                       .caps = caps,
                                       .sources = sources,
                                       .source_count = graph->input_count};
    return espy_plan_build(&params, plan);
}

// What the device lacks and the dispatch needs, or NULL.
static const char *missing(const struct caps *caps, const struct plan *plan,
                           const struct plan_dispatch *dispatch)
{
    const struct shader *shader = dispatch->shader;
    for (uint32_t d = 0; d < 3; d++)
        if (dispatch->groups[d] == 0 || dispatch->groups[d] > caps->groups_max[d])
            return "a number of workgroups in range";
    for (uint32_t b = 0; b < dispatch->binding_count; b++)
        if (dispatch->bindings[b].buffer >= plan->buffer_count)
            return "a buffer at every binding";
    return shader->uses_storage16 && !caps->storage_f16       ? "16-bit storage"
           : shader->uses_matrices && caps->matrix_count == 0 ? "cooperative matrices"
           : shader->uses_subgroups && !caps->subgroups       ? "subgroups"
                                                              : NULL;
}

static void check_plan(const struct op_case *op_case, const struct device *device,
                       const struct plan *plan)
{
    for (uint32_t i = 0; i < plan->prepare_count + plan->dispatch_count; i++) {
        const struct plan_dispatch *dispatch = i < plan->prepare_count
                                                   ? &plan->prepare[i]
                                                   : &plan->dispatches[i - plan->prepare_count];
        const char *what = missing(&device->caps, plan, dispatch);
        cr_expect(what == NULL, "%s (%s): kernel %s needs %s on %s", op_case->name, op_case->op,
                  dispatch->shader->name, what, device->name);
    }
}

// Both float types, dense and strided.
static void plan_on_devices(struct test_host *test, const struct op_case *op_case)
{
    for (uint32_t kind = 0; kind < 4; kind++) {
        const espy_dtype dtype = kind % 2 == 0 ? ESPY_FLOAT32 : ESPY_FLOAT16;
        struct arena arena;
        struct graph graph;
        struct tensor inputs[TENSORS_MAX] = {0};
        if (dtype == ESPY_FLOAT16 && !op_case->half)
            continue; // the case says that it is about float32 itself
        espy_arena_init(&arena, &test->host);
        espy_graph_init(&graph, &test->host);
        const espy_status made =
            espy_test_case_graph(op_case, dtype, kind >= 2, &arena, &graph, inputs);
        cr_assert(made == ESPY_OK, "%s: %s", op_case->name, test->last_error);
        for (size_t d = 0; d < sizeof(devices) / sizeof(devices[0]); d++) {
            struct plan plan;
            const espy_status status =
                plan_case(&test->host, &devices[d].caps, &graph, inputs, &plan);
            const bool refused = status == ESPY_UNSUPPORTED && dtype == ESPY_FLOAT16;
            cr_expect(status == ESPY_OK || refused, "%s (%s) on %s: %s", op_case->name, op_case->op,
                      devices[d].name, test->last_error);
            if (status == ESPY_OK) {
                check_plan(op_case, &devices[d], &plan);
                espy_plan_finish(&plan);
            }
        }
        espy_graph_finish(&graph);
        espy_arena_finish(&arena);
    }
}

static void plan_without_memory(struct test_host *test, const struct op_case *op_case)
{
    struct arena arena;
    struct graph graph;
    struct plan plan;
    struct tensor inputs[TENSORS_MAX] = {0};
    espy_arena_init(&arena, &test->host);
    espy_graph_init(&graph, &test->host);
    const espy_status made =
        espy_test_case_graph(op_case, ESPY_FLOAT32, true, &arena, &graph, inputs);
    cr_assert(made == ESPY_OK, "%s: %s", op_case->name, test->last_error);
    const size_t live = test->live_count;
    espy_status status = ESPY_OUT_OF_MEMORY;
    for (size_t n = 1; status != ESPY_OK; n++) {
        test->fail_at = test->call_count + n;
        test->error_count = 0;
        status = plan_case(&test->host, &devices[0].caps, &graph, inputs, &plan);
        test->fail_at = 0;
        if (status == ESPY_OK)
            espy_plan_finish(&plan);
        cr_expect(test->live_count == live, "%s (%s): allocation %zu fails: %zu are not freed",
                  op_case->name, op_case->op, n, test->live_count - live);
        cr_expect(status == ESPY_OK || test->error_count > 0,
                  "%s (%s): allocation %zu fails: no message", op_case->name, op_case->op, n);
        cr_assert(status == ESPY_OK || status == ESPY_OUT_OF_MEMORY,
                  "%s (%s): allocation %zu fails: %s", op_case->name, op_case->op, n,
                  espy_status_text(status));
    }
    espy_graph_finish(&graph);
    espy_arena_finish(&arena);
}

static void for_each_case(void (*check)(struct test_host *test, const struct op_case *op_case))
{
    struct test_host test;
    espy_test_host_init(&test);
    DIR *folder = opendir(ESPY_SOURCE_DIR "/tests/ops");
    cr_assert(folder != NULL, "tests/ops cannot be read");
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char path[1024], error[256];
        struct case_file file;
        if (strstr(entry->d_name, ".json") == NULL)
            continue;
        snprintf(path, sizeof(path), ESPY_SOURCE_DIR "/tests/ops/%s", entry->d_name);
        cr_assert(espy_test_read_cases(&test.host, path, &file, error, sizeof(error)), "%s: %s",
                  path, error);
        for (uint32_t i = 0; i < file.case_count; i++)
            check(&test, &file.cases[i]);
        espy_test_free_cases(&file);
    }
    closedir(folder);
    cr_expect(test.live_count == 0, "%zu allocations are not freed", test.live_count);
}

Test(op_plans, suit_every_device)
{
    for_each_case(plan_on_devices);
}

Test(op_plans, survive_any_failing_allocation)
{
    for_each_case(plan_without_memory);
}
