// Goal: layers as people write them compute what PyTorch computes, whether the sizes of the inputs
// are known or symbols; and the documentation shows what is tested. Method: tests/layers, converted
// with passes, through the references and on the device.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "convert/convert.h"
#include "layers/layer.h"
#include "support/compare.h"
#include "support/layer_cases.h"
#include "support/run_graph.h"
#include "support/test_host.h"

enum { TENSORS_MAX = 8 };
// Both sides compute in float32, sums of a few dozen terms. Where inputs and weights are float16,
// each step of ours is rounded to 11 bits, and there are up to a few dozen steps.
#define TOLERANCE 1e-5
#define HALF_TOLERANCE 1e-2

static const char *const files[] = {"activation", "attention", "conv",  "gate",
                                    "linear",     "non_local", "norm",  "pool",
                                    "resize",     "sequence",  "shape", "torchvision"};

struct run {
    struct test_host test;
    struct vk_device *device;
    espy_dtype dtype; // of floats
    char json[64], weights[64];
};

static void write_text(const char *path, const char *text)
{
    FILE *stream = fopen(path, "wb");
    cr_assert_not_null(stream);
    fputs(text, stream);
    fclose(stream);
}

static void compare(const struct run *run, const char *how, const cJSON *outputs,
                    const struct graph *graph, const struct tensor *results, struct arena *arena,
                    const char *name)
{
    const double tolerance = run->dtype == ESPY_FLOAT32 ? TOLERANCE : HALF_TOLERANCE;
    for (uint32_t o = 0; o < graph->output_count; o++) {
        struct comparison comparison;
        char text[256];
        const cJSON *item =
            cJSON_GetObjectItem(outputs, graph->values[graph->outputs[o].value].name);
        const struct tensor expected = espy_test_layer_tensor(item, run->dtype, arena);
        espy_test_compare(&results[o], &expected, &comparison);
        cr_expect(espy_test_close(&comparison, tolerance), "%s, %s: %s", name, how,
                  espy_test_difference(&results[o], &expected, &comparison, text, sizeof(text)));
    }
}

static void run_graph(struct run *run, const cJSON *layer_case, const struct graph *graph,
                      const char *name)
{
    struct arena arena;
    struct tensor inputs[TENSORS_MAX], results[TENSORS_MAX];
    const cJSON *given = cJSON_GetObjectItem(layer_case, "inputs");
    const cJSON *outputs = cJSON_GetObjectItem(layer_case, "outputs");
    espy_arena_init(&arena, &run->test.host);
    cr_assert((int)graph->input_count == cJSON_GetArraySize(given));
    cr_assert((int)graph->output_count == cJSON_GetArraySize(outputs));
    for (uint32_t i = 0; i < graph->input_count; i++)
        inputs[i] = espy_test_layer_tensor(cJSON_GetArrayItem(given, (int)i), run->dtype, &arena);
    cr_assert_eq(espy_graph_evaluate(&run->test.host, graph, inputs, &arena, results), ESPY_OK,
                 "%s: %s", name, run->test.last_error);
    compare(run, "by the references", outputs, graph, results, &arena, name);
    cr_assert_eq(espy_test_run(&run->test.host, run->device, graph, inputs, &arena, results, NULL),
                 ESPY_OK, "%s: %s", name, run->test.last_error);
    compare(run, "on the device", outputs, graph, results, &arena, name);
    espy_arena_finish(&arena);
}

static void run_case(struct run *run, const cJSON *layer_case, enum layer_case_sizes sizes)
{
    const char *name = cJSON_GetObjectItem(layer_case, "name")->valuestring;
    struct convert_report report;
    struct convert_model *model = NULL;
    struct arena arena;
    char *text = espy_test_layer_network(layer_case, sizes, espy_dtype_name(run->dtype));
    espy_arena_init(&arena, &run->test.host);
    write_text(run->json, text);
    espy_test_write_safetensors(run->weights, cJSON_GetObjectItem(layer_case, "weights"), &arena);
    const struct convert_params params = {.model_path = run->json, .weights_path = run->weights};
    espy_convert_report_init(&report, &run->test.host);
    cr_assert_eq(espy_convert_graph(&run->test.host, &params, &report, &model), ESPY_OK,
                 "%s (sizes %d): %s", name, (int)sizes, run->test.last_error);
    cr_expect_eq(run->test.warning_count, 0, "%s: a weight was not used", name);
    run_graph(run, layer_case, espy_convert_model_graph(model), name);
    espy_convert_model_destroy(&model);
    espy_convert_report_finish(&report);
    espy_arena_finish(&arena);
    cJSON_free(text);
}

static void run_file(const char *stem)
{
    struct run run;
    const cJSON *cases, *layer_case;
    espy_test_host_init(&run.test);
    cr_assert_eq(espy_test_open_device(&run.test.host, false, &run.device), ESPY_OK);
    snprintf(run.json, sizeof(run.json), "/tmp/espy_layers_%ld.json", (long)getpid());
    snprintf(run.weights, sizeof(run.weights), "/tmp/espy_layers_%ld.safetensors", (long)getpid());
    cJSON *root = espy_test_read_layer_cases(stem, &cases);
    cJSON_ArrayForEach(layer_case, cases)
    {
        run.dtype = ESPY_FLOAT16;
        run_case(&run, layer_case, LAYER_SIZES_EXACT);
        run.dtype = ESPY_FLOAT32;
        run_case(&run, layer_case, LAYER_SIZES_EXACT);
        run_case(&run, layer_case, LAYER_SIZES_BATCH);
        if (cJSON_GetObjectItem(layer_case, "fixed") == NULL)
            run_case(&run, layer_case, LAYER_SIZES_PICTURE);
    }
    cr_expect_eq(run.test.error_count, 0, "%s", run.test.last_error);
    cJSON_Delete(root);
    remove(run.json);
    remove(run.weights);
    espy_vk_device_destroy(&run.device);
    cr_expect_eq(run.test.live_count, 0);
}

#define FILE_TEST(stem)  \
    Test(layers, stem)   \
    {                    \
        run_file(#stem); \
    }
FILE_TEST(activation)
FILE_TEST(attention)
FILE_TEST(conv)
FILE_TEST(gate)
FILE_TEST(linear)
FILE_TEST(non_local)
FILE_TEST(norm)
FILE_TEST(pool)
FILE_TEST(resize)
FILE_TEST(sequence)
FILE_TEST(shape)
FILE_TEST(torchvision)

// ---- the table and the documentation ------------------------------------------------------------

static bool is_common(const char *name)
{
    const struct layer_member *member;
    for (uint32_t i = 0; (member = espy_layer_common_member(i)) != NULL; i++)
        if (strcmp(member->name, name) == 0)
            return true;
    return false;
}

// Else a layer could be read in two ways.
Test(layer_table, names_stand_for_one_thing)
{
    const struct layer_block *block;
    for (uint32_t i = 0; (block = espy_layer_block_at(i)) != NULL; i++) {
        cr_expect(espy_layer_block_find(block->name) == block, "%s is there twice", block->name);
        cr_expect(!is_common(block->name), "%s", block->name);
        cr_expect(block->summary != NULL && block->expand != NULL && block->members_size > 0, "%s",
                  block->name);
        cr_expect_lt(block->member_count, 64);
        for (uint32_t m = 0; m < block->member_count; m++) {
            const struct layer_member *member = &block->members[m];
            cr_expect(member->help != NULL && member->help[0] != '\0', "%s.%s", block->name,
                      member->name);
            cr_expect((member->name[0] == '\0') == (m == 0 && member->name[0] == '\0'),
                      "%s: what is beside the name comes first", block->name);
            cr_expect(espy_layer_block_find(member->name) == NULL, "%s.%s is a block too",
                      block->name, member->name);
            cr_expect(!is_common(member->name), "%s.%s", block->name, member->name);
        }
    }
}

// All layers of all cases.
static cJSON *read_all(const cJSON *lists[], uint32_t max, uint32_t *count)
{
    cJSON *all = cJSON_CreateArray();
    *count = 0;
    for (size_t f = 0; f < sizeof(files) / sizeof(files[0]); f++) {
        const cJSON *cases, *layer_case;
        cJSON *root = espy_test_read_layer_cases(files[f], &cases);
        cJSON_AddItemToArray(all, root);
        cJSON_ArrayForEach(layer_case, cases)
        {
            cr_assert_lt(*count, max);
            lists[(*count)++] = cJSON_GetObjectItem(layer_case, "layers");
        }
    }
    return all;
}

// The layers are those of a case, or the only one of a case.
static bool is_tested(const cJSON *layers, const cJSON *const *lists, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (cJSON_Compare(layers, lists[i], true) ||
            (cJSON_GetArraySize(lists[i]) == 1 && cJSON_Compare(layers, lists[i]->child, true)))
            return true;
    return false;
}

Test(layer_table, every_example_is_a_case)
{
    const cJSON *lists[512];
    uint32_t count;
    cJSON *all = read_all(lists, 512, &count);
    const struct layer_block *block;
    for (uint32_t i = 0; (block = espy_layer_block_at(i)) != NULL; i++) {
        cr_assert_not_null(block->example, "%s", block->name);
        cJSON *example = cJSON_Parse(block->example);
        cr_assert_not_null(example, "%s: %s", block->name, block->example);
        cr_expect(is_tested(example, lists, count), "no case in tests/layers has the layers %s",
                  block->example);
        cJSON_Delete(example);
    }
    cJSON_Delete(all);
}

// ---- docs/layers.md -----------------------------------------------------------------------------

static char *read_text(const char *path)
{
    FILE *stream = fopen(path, "rb");
    cr_assert_not_null(stream, "%s", path);
    fseek(stream, 0, SEEK_END);
    const long size = ftell(stream);
    rewind(stream);
    char *text = calloc(1, (size_t)size + 1);
    cr_assert_not_null(text);
    cr_assert_eq(fread(text, 1, (size_t)size, stream), (size_t)size);
    fclose(stream);
    return text;
}

// A whole network is an example, which test_layer_networks runs.
static bool is_example(const cJSON *network)
{
    static const char *const names[] = {"nonlocal_mnist", "vit_mnist"};
    bool found = false;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[512];
        snprintf(path, sizeof(path), "%s/examples/layers/%s.json", ESPY_SOURCE_DIR, names[i]);
        char *text = read_text(path);
        cJSON *example = cJSON_Parse(text);
        found = found || cJSON_Compare(network, example, true);
        cJSON_Delete(example);
        free(text);
    }
    return found;
}

Test(layer_table, what_the_documentation_shows_is_tested)
{
    static const char fence[] = "```json\n";
    const cJSON *lists[512];
    uint32_t count, shown = 0;
    cJSON *all = read_all(lists, 512, &count);
    char *page = read_text(ESPY_SOURCE_DIR "/docs/layers.md");
    for (char *at = strstr(page, fence); at != NULL; at = strstr(at, fence), shown++) {
        at += strlen(fence);
        char *end = strstr(at, "```");
        cr_assert_not_null(end);
        cJSON *json = cJSON_ParseWithLength(at, (size_t)(end - at));
        cr_assert_not_null(json, "not JSON: %.*s", (int)(end - at), at);
        const cJSON *layers = cJSON_GetObjectItem(json, "layers");
        cr_expect(is_example(json) || is_tested(layers != NULL ? layers : json, lists, count),
                  "no test runs %.*s", (int)(end - at), at);
        cJSON_Delete(json);
        at = end + 3;
    }
    cr_expect_gt(shown, 8);
    free(page);
    cJSON_Delete(all);
}
