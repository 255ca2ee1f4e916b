// Goal: what the passes make of a graph computes what the graph did.
// Method: small graphs that other converters have been tested with, each full of what passes look
// for or must leave alone, through the references, against what was recorded elsewhere.
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "convert/convert.h"
#include "support/compare.h"
#include "support/run_graph.h"
#include "support/test_host.h"

enum { TENSORS_MAX = 64 };

static char *read_file(struct arena *arena, const char *path, size_t *size)
{
    FILE *stream = fopen(path, "rb");
    if (stream == NULL)
        return NULL;
    fseek(stream, 0, SEEK_END);
    const long length = ftell(stream);
    rewind(stream);
    char *bytes = espy_arena_alloc(arena, (size_t)length + 1);
    cr_assert_not_null(bytes);
    *size = fread(bytes, 1, (size_t)length, stream);
    fclose(stream);
    return bytes;
}

// Numpy's format: a magic number, the length of a header, the header, the elements. What type and
// shape they have is in io.json as well, and taken from there.
static void *read_npy(struct arena *arena, const char *path, size_t size)
{
    size_t length = 0;
    char *bytes = read_file(arena, path, &length);
    cr_assert(bytes != NULL && length > 10, "%s", path);
    const size_t header = (size_t)(unsigned char)bytes[8] | (size_t)(unsigned char)bytes[9] << 8;
    cr_assert_eq(length, 10 + header + size, "%s", path);
    return espy_arena_copy(arena, bytes + 10 + header, size);
}

static void read_tensor(struct arena *arena, const char *folder, const cJSON *item,
                        struct tensor *tensor)
{
    char path[1024];
    const cJSON *dim;
    *tensor = (struct tensor){
        .type.dtype = espy_dtype_from_name(cJSON_GetObjectItem(item, "dtype")->valuestring)};
    cJSON_ArrayForEach(dim, cJSON_GetObjectItem(item, "shape"))
        tensor->type.shape.dims[tensor->type.shape.rank++] = (int64_t)dim->valuedouble;
    cr_assert(espy_shape_count(&tensor->type.shape, &tensor->count));
    snprintf(path, sizeof(path), "%s/%s", folder, cJSON_GetObjectItem(item, "file")->valuestring);
    tensor->data = read_npy(arena, path, espy_tensor_size(tensor));
}

static void read_tensors(struct arena *arena, const char *folder, const cJSON *list,
                         const struct graph *graph, const struct graph_io *ios, uint32_t count,
                         struct tensor *tensors)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        const char *name = cJSON_GetObjectItem(item, "name")->valuestring;
        for (uint32_t i = 0; i < count; i++)
            if (strcmp(graph->values[ios[i].value].name, name) == 0)
                read_tensor(arena, folder, item, &tensors[i]);
    }
}

static void run_case(const struct host *host, const char *folder, const struct graph *graph,
                     const cJSON *item, double tolerance)
{
    struct arena arena;
    struct tensor inputs[TENSORS_MAX] = {0}, expected[TENSORS_MAX] = {0};
    struct tensor actual[TENSORS_MAX] = {0};
    char text[256];
    espy_arena_init(&arena, host);
    read_tensors(&arena, folder, cJSON_GetObjectItem(item, "inputs"), graph, graph->inputs,
                 graph->input_count, inputs);
    read_tensors(&arena, folder, cJSON_GetObjectItem(item, "outputs"), graph, graph->outputs,
                 graph->output_count, expected);
    const espy_status status = espy_graph_evaluate(host, graph, inputs, &arena, actual);
    cr_expect_eq(status, ESPY_OK, "%s: status %d", folder, status);
    for (uint32_t o = 0; status == ESPY_OK && o < graph->output_count; o++) {
        const char *name = graph->values[graph->outputs[o].value].name;
        struct comparison result;
        if (expected[o].data == NULL || expected[o].count == 0)
            continue;
        cr_expect(actual[o].count == expected[o].count, "%s: '%s' has another size", folder, name);
        if (actual[o].count != expected[o].count)
            continue;
        espy_test_compare(&actual[o], &expected[o], &result);
        // Where results are float16's smallest numbers, one unit is a tenth of them.
        const bool half = actual[o].type.dtype == ESPY_FLOAT16;
        cr_expect(half ? result.relative_l2 <= 2e-2 && result.nonfinite == 0
                       : espy_test_close(&result, tolerance),
                  "%s: '%s': %s", folder, name,
                  espy_test_difference(&actual[o], &expected[o], &result, text, sizeof(text)));
    }
    espy_arena_finish(&arena);
}

// Returns true when the graph was converted. Where operators are not supported it was not.
static bool run_folder(const char *folder, bool keep_nodes)
{
    char path[1024];
    struct test_host test;
    struct arena arena;
    struct convert_report report;
    struct convert_model *model = NULL;
    size_t size = 0;
    espy_test_host_init(&test);
    espy_arena_init(&arena, &test.host);
    espy_convert_report_init(&report, &test.host);
    snprintf(path, sizeof(path), "%s/model.onnx", folder);
    const struct convert_params params = {.model_path = path, .keep_nodes = keep_nodes};
    const espy_status status = espy_convert_graph(&test.host, &params, &report, &model);
    cr_expect(status == ESPY_OK || status == ESPY_UNSUPPORTED, "%s: %s", folder, test.last_error);
    if (getenv("ESPY_TEST_VERBOSE") != NULL && status != ESPY_OK)
        fprintf(stderr, "%s: %s\n", folder, test.last_error);
    snprintf(path, sizeof(path), "%s/io.json", folder);
    const char *text = read_file(&arena, path, &size);
    if (status == ESPY_OK && text != NULL) {
        cJSON *json = cJSON_ParseWithLength(text, size);
        const cJSON *item;
        cJSON_ArrayForEach(item, cJSON_GetObjectItem(json, "cases"))
            run_case(&test.host, folder, espy_convert_model_graph(model), item, 2e-3);
        cJSON_Delete(json);
    }
    espy_convert_model_destroy(&model);
    espy_convert_report_finish(&report);
    espy_arena_finish(&arena);
    cr_expect_eq(test.live_count, 0, "%s: %zu allocations are left", folder, test.live_count);
    return status == ESPY_OK;
}

static void run_all(bool keep_nodes)
{
    static const char shared[] = ESPY_SOURCE_DIR "/../shared/ort-graphs";
    DIR *directory = opendir(shared);
    if (directory == NULL) {
        fprintf(stderr, "skipped: %s is not there\n", shared);
        return;
    }
    uint32_t converted = 0, refused = 0;
    const struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        char folder[512], path[1024];
        snprintf(folder, sizeof(folder), "%s/%s", shared, entry->d_name);
        snprintf(path, sizeof(path), "%s/model.onnx", folder);
        FILE *stream = entry->d_name[0] == '.' ? NULL : fopen(path, "rb");
        if (stream == NULL)
            continue;
        fclose(stream);
        if (run_folder(folder, keep_nodes))
            converted++;
        else
            refused++;
    }
    closedir(directory);
    printf("%u graphs converted, %u refused\n", (unsigned)converted, (unsigned)refused);
}

Test(convert_graphs, passes_do_not_change_what_a_graph_computes)
{
    run_all(false);
}

Test(convert_graphs, the_import_alone_computes_the_same)
{
    run_all(true);
}
