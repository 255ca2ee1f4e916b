// Goal: every test of ONNX's own node suite passes through convert, write, read and run, or stands
// in docs/onnx-node-tests.md with the reason, and that table has no line that is not true.
// ESPY_TEST_FILTER runs only the tests whose names contain it, and lists each.
#define _POSIX_C_SOURCE 200809L // opendir

#include <criterion/criterion.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/suite.h"

enum { TENSORS_MAX = 64, SHARDS = 8, TESTS_MAX = 4096 };

struct node_suite {
    struct test_host test;
    struct vk_device *device;
    struct arena arena;   // of the whole run
    const char *shared;
    const char *excused;  // text of docs/onnx-node-tests.md
    uint32_t passed, failed, skipped, on_host;
};

// ONNX's own tolerance is rtol 1e-3 with atol 1e-7; the small absolute slack here is for sums whose
// terms cancel, and is relative to the largest element.
static bool close_enough(const struct tensor *actual, const struct tensor *expected)
{
    const bool half =
        expected->type.dtype == ESPY_FLOAT16 || expected->type.dtype == ESPY_BFLOAT16;
    const double relative = expected->type.dtype == ESPY_BFLOAT16 ? 1e-2 : half ? 2e-3 : 1e-3;
    double largest = 0;
    for (size_t i = 0; i < expected->count; i++) {
        const double e = fabs(espy_tensor_number(expected, i));
        if (isfinite(e) && e > largest)
            largest = e;
    }
    for (size_t i = 0; i < expected->count; i++) {
        const double a = espy_tensor_number(actual, i), e = espy_tensor_number(expected, i);
        if (a == e || (isnan(a) && isnan(e)))
            continue;
        if (!espy_dtype_is_float(expected->type.dtype) ||
            !(fabs(a - e) <= relative * fabs(e) + (half ? 1e-3 : 1e-6) * largest))
            return false;
    }
    return true;
}

static bool check_outputs(const struct graph *graph, const struct tensor *actual,
                          const char *folder, const char *who, struct arena *arena, char *reason,
                          size_t reason_size)
{
    for (uint32_t o = 0; o < graph->output_count; o++) {
        char path[1024], name[256], a[160], e[160], text[256];
        struct tensor expected;
        snprintf(path, sizeof(path), "%s/test_data_set_0/output_%u.pb", folder, o);
        if (!espy_suite_read_pb(path, arena, &expected, name, sizeof(name))) {
            snprintf(reason, reason_size, "output_%u.pb cannot be read", o);
            return false;
        }
        if (actual[o].type.dtype != expected.type.dtype ||
            !espy_shape_equal(&actual[o].type.shape, &expected.type.shape)) {
            snprintf(reason, reason_size, "%s output %u: %s %s, expected %s %s", who, o,
                     espy_dtype_name(actual[o].type.dtype),
                     espy_shape_text(&actual[o].type.shape, a, sizeof(a)),
                     espy_dtype_name(expected.type.dtype),
                     espy_shape_text(&expected.type.shape, e, sizeof(e)));
            return false;
        }
        if (!close_enough(&actual[o], &expected)) {
            struct comparison result;
            espy_test_compare(&actual[o], &expected, &result);
            snprintf(reason, reason_size, "%s output %u: %s", who, o,
                     espy_test_difference(&actual[o], &expected, &result, text, sizeof(text)));
            return false;
        }
    }
    return true;
}

static bool read_inputs(const struct graph *graph, const char *folder, struct arena *arena,
                        struct tensor *inputs)
{
    struct tensor files[TENSORS_MAX];
    char path[1024], names[TENSORS_MAX][128];
    uint32_t count = 0;
    for (; count < TENSORS_MAX; count++) {
        snprintf(path, sizeof(path), "%s/test_data_set_0/input_%u.pb", folder, count);
        if (!espy_suite_read_pb(path, arena, &files[count], names[count], sizeof(names[count])))
            break;
    }
    for (uint32_t i = 0; i < graph->input_count; i++) {
        uint32_t k = 0;
        while (k < count &&
               strcmp(names[k], graph->values[graph->inputs[i].value].name) != 0)
            k++;
        if (k == count)
            k = i; // unnamed files come in the model's order
        if (k >= count)
            return false;
        inputs[i] = files[k];
    }
    return true;
}

// "" when the test passes, else why not.
static void run_test(struct node_suite *suite, const char *name, char *reason, size_t reason_size)
{
    char folder[768], path[1024];
    struct tensor inputs[TENSORS_MAX] = {0}, actual[TENSORS_MAX] = {0};
    struct suite_model model;
    struct test_run_info info = {0};
    const struct host *host = &suite->test.host;
    snprintf(folder, sizeof(folder), "%s/onnx-node/%s", suite->shared, name);
    snprintf(path, sizeof(path), "%s/model.onnx", folder);
    reason[0] = '\0';
    if (espy_suite_convert(host, path, &model) != ESPY_OK) {
        snprintf(reason, reason_size, "convert: %s", suite->test.last_error);
        return;
    }
    struct arena arena;
    espy_arena_init(&arena, host);
    if (!read_inputs(&model.graph, folder, &arena, inputs))
        snprintf(reason, reason_size, "an input file cannot be read");
    else if (espy_graph_evaluate(host, &model.graph, inputs, &arena, actual) != ESPY_OK)
        snprintf(reason, reason_size, "reference: %s", suite->test.last_error);
    else if (check_outputs(&model.graph, actual, folder, "reference", &arena, reason,
                           reason_size)) {
        if (espy_test_run(host, suite->device, &model.graph, inputs, &arena, actual, &info) !=
            ESPY_OK)
            snprintf(reason, reason_size, "run: %s", suite->test.last_error);
        else
            check_outputs(&model.graph, actual, folder, "device", &arena, reason, reason_size);
    }
    const uint32_t on_host = info.host_node_count + info.between_count;
    suite->on_host += on_host > 0;
    if (on_host > 0 && getenv("ESPY_TEST_FILTER") != NULL)
        printf("%s: %u nodes on the host\n", name, on_host);
    espy_arena_finish(&arena);
    espy_suite_model_finish(&model);
}

static bool is_excused(const struct node_suite *suite, const char *name)
{
    char line[300];
    snprintf(line, sizeof(line), "| %s |", name);
    return suite->excused != NULL && strstr(suite->excused, line) != NULL;
}

static void judge(struct node_suite *suite, const char *name)
{
    char reason[1200];
    const char *filter = getenv("ESPY_TEST_FILTER");
    if (filter != NULL && strstr(name, filter) == NULL)
        return;
    const bool excused = is_excused(suite, name);
    run_test(suite, name, reason, sizeof(reason));
    if (filter != NULL)
        printf("%s: %s\n", name, reason[0] == '\0' ? "passes" : reason);
    cr_expect(!excused || reason[0] != '\0', "%s passes: take it out of docs/onnx-node-tests.md",
              name);
    cr_expect(excused || reason[0] == '\0', "%s: %s", name, reason);
    suite->passed += reason[0] == '\0';
    suite->skipped += excused && reason[0] != '\0';
    suite->failed += !excused && reason[0] != '\0';
}

static int compare_names(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

// The names of the suite's folders, sorted, so that shards are the same on every machine.
static uint32_t list_tests(struct node_suite *suite, const char **names, uint32_t room)
{
    char path[1024];
    snprintf(path, sizeof(path), "%s/onnx-node", suite->shared);
    DIR *folder = opendir(path);
    cr_assert(folder != NULL, "%s cannot be read", path);
    uint32_t count = 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL && count < room;)
        if (strncmp(entry->d_name, "test_", 5) == 0)
            names[count++] = espy_arena_string(&suite->arena, entry->d_name);
    closedir(folder);
    qsort(names, count, sizeof(*names), compare_names);
    return count;
}

static void run_shard(uint32_t shard)
{
    struct node_suite suite = {.shared = espy_suite_shared()};
    if (suite.shared == NULL)
        cr_skip_test("../shared is not there");
    espy_test_host_init(&suite.test);
    espy_arena_init(&suite.arena, &suite.test.host);
    cr_assert(espy_test_open_device(&suite.test.host, true, &suite.device) == ESPY_OK, "%s",
              suite.test.last_error);
    suite.excused =
        espy_suite_read_text(ESPY_SOURCE_DIR "/docs/onnx-node-tests.md", &suite.arena);
    const char *names[TESTS_MAX];
    const uint32_t count = list_tests(&suite, names, TESTS_MAX);
    for (uint32_t i = shard; i < count; i += SHARDS)
        judge(&suite, names[i]);
    printf("onnx-node shard %u: %u passed (%u of them with a node on the host), %u failed, "
           "%u known not to pass\n", shard, suite.passed, suite.on_host, suite.failed,
           suite.skipped);
    cr_expect(espy_vk_device_validation_count(suite.device) == 0,
              "the validation layer has complained: %s", suite.test.last_error);
    espy_vk_device_destroy(&suite.device);
    espy_arena_finish(&suite.arena);
    cr_expect(suite.test.live_count == 0, "%zu allocations are not freed", suite.test.live_count);
}

// Several processes, so that two cores have work and a crash takes only its shard along.
Test(onnx_node, shard_0) { run_shard(0); }
Test(onnx_node, shard_1) { run_shard(1); }
Test(onnx_node, shard_2) { run_shard(2); }
Test(onnx_node, shard_3) { run_shard(3); }
Test(onnx_node, shard_4) { run_shard(4); }
Test(onnx_node, shard_5) { run_shard(5); }
Test(onnx_node, shard_6) { run_shard(6); }
Test(onnx_node, shard_7) { run_shard(7); }
