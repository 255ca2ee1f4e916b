// Goal: small graphs that onnxruntime's fusions are tested with, each full of what passes look for
// or must leave alone, compute what was recorded elsewhere: as imported, after the passes, and on
// the device; or stand in docs/ort-tests.md with the reason, and that table has no line that is not
// true. ESPY_TEST_FILTER runs only the graphs whose names contain it.
#define _POSIX_C_SOURCE 200809L // opendir

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "convert/convert.h"
#include "suites/suite.h"

enum { TENSORS_MAX = 64, GRAPHS_MAX = 512, SHARDS = 2, REASON_SIZE = 1200 };

struct graph_suite {
    struct test_host test;
    struct vk_device *device;
    struct arena arena; // of the whole run
    const char *excused;
    uint32_t passed, failed, known;
};

// A conversion, and the shapes that its inputs are said to have.
struct converted {
    struct convert_report report;
    struct convert_model *model;
    struct convert_shape shapes[TENSORS_MAX];
};

static bool read_tensors(struct arena *arena, const char *folder, const cJSON *list,
                         const struct graph *graph, const struct graph_io *ios, uint32_t count,
                         struct tensor *tensors)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        const char *name = cJSON_GetObjectItem(item, "name")->valuestring;
        const espy_dtype dtype =
            espy_dtype_from_name(cJSON_GetObjectItem(item, "dtype")->valuestring);
        char path[1024];
        snprintf(path, sizeof(path), "%s/%s", folder,
                 cJSON_GetObjectItem(item, "file")->valuestring);
        for (uint32_t i = 0; i < count; i++) {
            if (strcmp(graph->values[ios[i].value].name, name) != 0)
                continue;
            if (!espy_suite_read_npy(path, arena, &tensors[i]))
                return false;
            tensors[i].type.dtype = dtype; // numpy has no bfloat16
        }
    }
    return true;
}

// Whether some value is float16, or is made so.
static bool has_halves(const struct graph *graph)
{
    for (uint32_t v = 0; v < graph->value_count; v++)
        if (graph->values[v].dtype == ESPY_FLOAT16)
            return true;
    for (uint32_t n = 0; n < graph->node_count; n++) {
        const struct graph_attr *to = espy_graph_find_attr(&graph->nodes[n], "to");
        if (to != NULL && strcmp(to->strings[0], espy_dtype_name(ESPY_FLOAT16)) == 0)
            return true;
    }
    return false;
}

// Where float16 is on the way, the recorder may have kept more of it than the graph says, or less.
// Where results are float16's smallest numbers, one unit is a tenth of them.
static double tolerance_of(const struct graph *graph, espy_dtype dtype)
{
    if (!espy_dtype_is_float(dtype))
        return 0;
    return dtype == ESPY_FLOAT16 ? 2e-2 : has_halves(graph) ? 2e-3 : 1e-4;
}

static bool is_close(const struct tensor *actual, const struct tensor *expected, double tolerance,
                     const char *who, const char *name, char *reason)
{
    char text[256];
    struct comparison result;
    if (actual->type.dtype != expected->type.dtype ||
        !espy_shape_equal(&actual->type.shape, &expected->type.shape)) {
        snprintf(reason, REASON_SIZE, "%s: '%s' has another type or shape", who, name);
        return false;
    }
    if (expected->count == 0)
        return true;
    espy_test_compare(actual, expected, &result);
    if (result.nonfinite == 0 && result.relative_l2 <= tolerance)
        return true;
    snprintf(reason, REASON_SIZE, "%s: '%s': %s", who, name,
             espy_test_difference(actual, expected, &result, text, sizeof(text)));
    return false;
}

static bool check_outputs(const struct graph *graph, const struct tensor *actual,
                          const struct tensor *expected, const char *who, char *reason)
{
    for (uint32_t o = 0; o < graph->output_count; o++)
        if (expected[o].data != NULL &&
            !is_close(&actual[o], &expected[o], tolerance_of(graph, expected[o].type.dtype), who,
                      graph->values[graph->outputs[o].value].name, reason))
            return false;
    return true;
}

static void run_case(struct graph_suite *suite, const char *folder, const struct graph *graph,
                     const cJSON *item, bool on_device, char *reason)
{
    const struct host *host = &suite->test.host;
    struct tensor inputs[TENSORS_MAX] = {0}, expected[TENSORS_MAX] = {0};
    struct tensor actual[TENSORS_MAX] = {0};
    struct arena arena;
    espy_arena_init(&arena, host);
    if (!read_tensors(&arena, folder, cJSON_GetObjectItem(item, "inputs"), graph, graph->inputs,
                      graph->input_count, inputs) ||
        !read_tensors(&arena, folder, cJSON_GetObjectItem(item, "outputs"), graph, graph->outputs,
                      graph->output_count, expected))
        snprintf(reason, REASON_SIZE, "a tensor cannot be read");
    else if (espy_graph_evaluate(host, graph, inputs, &arena, actual) != ESPY_OK)
        snprintf(reason, REASON_SIZE, "reference: %s", suite->test.last_error);
    else if (check_outputs(graph, actual, expected, "reference", reason) && on_device) {
        if (espy_test_run(host, suite->device, graph, inputs, &arena, actual, NULL) != ESPY_OK)
            snprintf(reason, REASON_SIZE, "run: %s", suite->test.last_error);
        else
            check_outputs(graph, actual, expected, "device", reason);
    }
    espy_arena_finish(&arena);
}

// Inputs that the file gives no shape get the recorded one, as a person would be told to do.
static uint32_t list_shapes(struct graph_suite *suite, const cJSON *json, const char *reason,
                            struct convert_shape *shapes)
{
    const cJSON *item, *dim, *first = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "cases"), 0);
    uint32_t count = 0;
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(first, "inputs"))
    {
        char wanted[256];
        const char *name = cJSON_GetObjectItem(item, "name")->valuestring;
        snprintf(wanted, sizeof(wanted), "--shape %s=", name);
        if (strstr(reason, wanted) == NULL)
            continue;
        struct convert_shape *shape = &shapes[count++];
        *shape = (struct convert_shape){.name = espy_arena_string(&suite->arena, name)};
        cJSON_ArrayForEach(dim, cJSON_GetObjectItem(item, "shape"))
            shape->shape.dims[shape->shape.rank++] = (int64_t)dim->valuedouble;
    }
    return count;
}

static espy_status convert(struct graph_suite *suite, const char *path, bool keep_nodes,
                           uint32_t shape_count, struct converted *converted)
{
    const struct convert_params params = {.model_path = path,
                                          .keep_nodes = keep_nodes,
                                          .shapes = converted->shapes,
                                          .shape_count = shape_count};
    espy_convert_report_init(&converted->report, &suite->test.host);
    return espy_convert_graph(&suite->test.host, &params, &converted->report, &converted->model);
}

static void release(struct converted *converted)
{
    espy_convert_model_destroy(&converted->model);
    espy_convert_report_finish(&converted->report);
}

// "" when the graph passes, else why not.
static void run_graph(struct graph_suite *suite, const char *folder, bool keep_nodes, char *reason)
{
    char path[1024];
    struct converted converted = {.model = NULL};
    snprintf(path, sizeof(path), "%s/io.json", folder);
    cJSON *json = cJSON_Parse(espy_suite_read_text(path, &suite->arena));
    const cJSON *item;
    snprintf(path, sizeof(path), "%s/model.onnx", folder);
    espy_status status = convert(suite, path, keep_nodes, 0, &converted);
    const uint32_t shape_count =
        status == ESPY_UNSUPPORTED
            ? list_shapes(suite, json, suite->test.last_error, converted.shapes)
            : 0;
    if (shape_count > 0) {
        release(&converted);
        status = convert(suite, path, keep_nodes, shape_count, &converted);
    }
    if (status != ESPY_OK)
        snprintf(reason, REASON_SIZE, "convert: %s", suite->test.last_error);
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(json, "cases"))
    {
        if (reason[0] == '\0')
            run_case(suite, folder, espy_convert_model_graph(converted.model), item, !keep_nodes,
                     reason);
    }
    release(&converted);
    cJSON_Delete(json);
}

static void judge(struct graph_suite *suite, const char *shared, const char *name)
{
    char folder[768], line[300], reason[REASON_SIZE] = "";
    snprintf(folder, sizeof(folder), "%s/ort-graphs/%s", shared, name);
    run_graph(suite, folder, true, reason);
    if (reason[0] == '\0')
        run_graph(suite, folder, false, reason);
    snprintf(line, sizeof(line), "| %s |", name);
    const bool excused = suite->excused != NULL && strstr(suite->excused, line) != NULL;
    cr_expect(!excused || reason[0] != '\0', "%s passes: take it out of docs/ort-tests.md", name);
    cr_expect(excused || reason[0] == '\0', "%s: %s", name, reason);
    suite->passed += reason[0] == '\0';
    suite->known += excused && reason[0] != '\0';
    suite->failed += !excused && reason[0] != '\0';
}

static int compare_names(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

// The names of the folders, sorted, so that shards are the same on every machine.
static uint32_t list_graphs(struct arena *arena, const char *shared, const char **names)
{
    char path[1024];
    snprintf(path, sizeof(path), "%s/ort-graphs", shared);
    DIR *folder = opendir(path);
    cr_assert(folder != NULL, "%s cannot be read", path);
    uint32_t count = 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL && count < GRAPHS_MAX;) {
        snprintf(path, sizeof(path), "%s/ort-graphs/%s/model.onnx", shared, entry->d_name);
        FILE *stream = fopen(path, "rb");
        if (stream == NULL)
            continue;
        fclose(stream);
        names[count++] = espy_arena_string(arena, entry->d_name);
    }
    closedir(folder);
    qsort(names, count, sizeof(*names), compare_names);
    return count;
}

static void run_shard(uint32_t shard)
{
    struct graph_suite suite = {.device = NULL};
    const char *names[GRAPHS_MAX], *shared = espy_suite_shared();
    const char *filter = getenv("ESPY_TEST_FILTER");
    if (shared == NULL)
        cr_skip_test("../shared is not there");
    espy_test_host_init(&suite.test);
    espy_arena_init(&suite.arena, &suite.test.host);
    cr_assert(espy_test_open_device(&suite.test.host, true, &suite.device) == ESPY_OK, "%s",
              suite.test.last_error);
    suite.excused = espy_suite_read_text(ESPY_SOURCE_DIR "/docs/ort-tests.md", &suite.arena);
    const uint32_t count = list_graphs(&suite.arena, shared, names);
    for (uint32_t i = shard; i < count; i += SHARDS)
        if (filter == NULL || strstr(names[i], filter) != NULL)
            judge(&suite, shared, names[i]);
    printf("ort-graphs shard %u: %u passed, %u failed, %u known not to pass\n", shard, suite.passed,
           suite.failed, suite.known);
    cr_expect(espy_vk_device_validation_count(suite.device) == 0,
              "the validation layer has complained: %s", suite.test.last_error);
    espy_vk_device_destroy(&suite.device);
    espy_arena_finish(&suite.arena);
    cr_expect(suite.test.live_count == 0, "%zu allocations are not freed", suite.test.live_count);
}

Test(ort_graphs, shard_0)
{
    run_shard(0);
}

Test(ort_graphs, shard_1)
{
    run_shard(1);
}
