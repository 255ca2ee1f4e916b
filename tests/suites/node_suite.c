#define _POSIX_C_SOURCE 200809L // opendir

#include "suites/node_suite.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "onnx.pb-c.h"
#include "suites/suite.h"

enum { TENSORS_MAX = 64, TESTS_MAX = 4096 };

struct node_suite {
    struct test_host test;
    struct vk_device *device;
    struct arena arena;  // of the whole run
    const char *excuses; // text of docs/onnx-node-tests.md
    uint32_t passed, failed, excused, on_host;
};

// ONNX's own tolerance is rtol 1e-3 with atol 1e-7; the small absolute slack here is for sums whose
// terms cancel, and is relative to the largest element.
static bool close_enough(const struct tensor *actual, const struct tensor *expected)
{
    const bool half = expected->type.dtype == ESPY_FLOAT16 || expected->type.dtype == ESPY_BFLOAT16;
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

// ONNX 1.12 wrote bfloat16 elements as uint16.
static void correct_type(struct tensor *file, espy_dtype wanted)
{
    if (wanted == ESPY_BFLOAT16 && file->type.dtype == ESPY_UINT16)
        file->type.dtype = ESPY_BFLOAT16;
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
        correct_type(&expected, actual[o].type.dtype);
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
        while (k < count && strcmp(names[k], graph->values[graph->inputs[i].value].name) != 0)
            k++;
        if (k == count)
            k = i; // unnamed files come in the model's order
        if (k >= count)
            return false;
        inputs[i] = files[k];
        correct_type(&inputs[i], graph->values[graph->inputs[i].value].dtype);
    }
    return true;
}

// "" when the test passes, else why not.
static void run_test(struct node_suite *suite, const char *folder, char *reason, size_t reason_size)
{
    char path[1024];
    struct tensor inputs[TENSORS_MAX] = {0}, actual[TENSORS_MAX] = {0};
    struct suite_model model;
    struct test_run_info info = {0};
    const struct host *host = &suite->test.host;
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
        printf("%s: %u nodes on the host\n", folder, on_host);
    espy_arena_finish(&arena);
    espy_suite_model_finish(&model);
}

// ---- what cannot pass --------------------------------------------------------------------------

static bool has_row(const struct node_suite *suite, const char *kind, const char *name)
{
    char row[300];
    snprintf(row, sizeof(row), "| %s%s |", kind, name);
    return suite->excuses != NULL && strstr(suite->excuses, row) != NULL;
}

static bool has_excused_value(const struct node_suite *suite, EspyOnnx__ValueInfoProto **values,
                              size_t count)
{
    enum { ONNX_STRING = 8 };
    for (size_t i = 0; i < count; i++) {
        const EspyOnnx__TypeProto *type = values[i]->type;
        if (type == NULL)
            continue;
        if (type->tensor_type == NULL
                ? has_row(suite, "type ", "sequence, optional or map")
                : type->tensor_type->elem_type == ONNX_STRING && has_row(suite, "type ", "string"))
            return true;
    }
    return false;
}

static bool is_excused(struct node_suite *suite, const char *folder, const char *name)
{
    char path[1024];
    size_t size = 0;
    if (has_row(suite, "", name))
        return true;
    snprintf(path, sizeof(path), "%s/model.onnx", folder);
    const void *bytes = espy_suite_read_bytes(path, &suite->arena, &size);
    EspyOnnx__ModelProto *model =
        bytes == NULL ? NULL : espy_onnx__model_proto__unpack(NULL, size, bytes);
    cr_assert(model != NULL && model->graph != NULL, "%s cannot be read", path);
    const EspyOnnx__GraphProto *graph = model->graph;
    bool excused = has_excused_value(suite, graph->input, graph->n_input) ||
                   has_excused_value(suite, graph->output, graph->n_output);
    for (size_t n = 0; n < graph->n_node; n++)
        excused = excused || has_row(suite, "operator ", graph->node[n]->op_type);
    espy_onnx__model_proto__free_unpacked(model, NULL);
    return excused;
}

// ---- all tests ---------------------------------------------------------------------------------

static void judge(struct node_suite *suite, const char *folder)
{
    char reason[1200];
    const char *filter = getenv("ESPY_TEST_FILTER"), *name = strrchr(folder, '/') + 1;
    if (filter != NULL && strstr(name, filter) == NULL)
        return;
    const bool excused = is_excused(suite, folder, name);
    run_test(suite, folder, reason, sizeof(reason));
    const bool passes = reason[0] == '\0';
    if (filter != NULL)
        printf("%s: %s\n", folder, passes ? "passes" : reason);
    cr_expect(!excused || !passes, "%s passes: take it out of docs/onnx-node-tests.md", folder);
    cr_expect(excused || passes, "%s: %s", folder, reason);
    suite->passed += passes;
    suite->excused += excused && !passes;
    suite->failed += !excused && !passes;
}

static int compare_names(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

// The tests' folders, sorted, so that shards are the same on every machine.
static uint32_t list_tests(struct node_suite *suite, const char *const *folders, char **tests)
{
    uint32_t count = 0;
    for (; *folders != NULL; folders++) {
        DIR *folder = opendir(*folders);
        cr_assert(folder != NULL, "%s cannot be read", *folders);
        for (struct dirent *entry; (entry = readdir(folder)) != NULL && count < TESTS_MAX;)
            if (strncmp(entry->d_name, "test_", 5) == 0)
                tests[count++] = espy_arena_format(&suite->arena, "%s/%s", *folders, entry->d_name);
        closedir(folder);
    }
    qsort(tests, count, sizeof(*tests), compare_names);
    return count;
}

void espy_suite_run_nodes(const char *const *folders, unsigned shard)
{
    struct node_suite suite = {.passed = 0};
    espy_test_host_init(&suite.test);
    espy_arena_init(&suite.arena, &suite.test.host);
    cr_assert(espy_test_open_device(&suite.test.host, true, &suite.device) == ESPY_OK, "%s",
              suite.test.last_error);
    suite.excuses = espy_suite_read_text(ESPY_SOURCE_DIR "/docs/onnx-node-tests.md", &suite.arena);
    static char *tests[TESTS_MAX];
    const uint32_t count = list_tests(&suite, folders, tests);
    cr_assert(count > NODE_SUITE_SHARDS, "%s has no tests", folders[0]);
    for (uint32_t i = shard; i < count; i += NODE_SUITE_SHARDS)
        judge(&suite, tests[i]);
    printf(
        "%s shard %u: %u passed (%u of them with a node on the host), %u failed, %u known not to "
        "pass\n",
        folders[0], shard, suite.passed, suite.on_host, suite.failed, suite.excused);
    cr_expect(espy_vk_device_validation_count(suite.device) == 0,
              "the validation layer has complained: %s", suite.test.last_error);
    espy_vk_device_destroy(&suite.device);
    espy_arena_finish(&suite.arena);
    cr_expect(suite.test.live_count == 0, "%zu allocations are not freed", suite.test.live_count);
}
