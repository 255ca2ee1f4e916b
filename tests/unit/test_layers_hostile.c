// Goal: layers that are wrong are refused with one line that says where and what, and layers of any
// kind, or without memory, never do harm. Method: a table of mistakes; bombs; the cases of
// tests/layers changed at random; the Nth allocation fails.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "convert/convert.h"
#include "support/layer_cases.h"
#include "support/test_host.h"

// The tensors that mistakes are made with.
static const char weights_json[] =
    "{\"conv1.weight\": {\"dtype\": \"float32\", \"shape\": [2, 3, 1, 1], \"data\": [1,2,3,4,5,6]},"
    " \"conv1.bias\": {\"dtype\": \"float32\", \"shape\": [2], \"data\": [0, 1]},"
    " \"fc.weight\": {\"dtype\": \"float32\", \"shape\": [2, 3], \"data\": [1,2,3,4,5,6]},"
    " \"blocks.0.fc.weight\": {\"dtype\": \"float32\", \"shape\": [2, 2], \"data\": [1,2,3,4]},"
    " \"blocks.0.bn.num_batches_tracked\": {\"dtype\": \"int64\", \"shape\": [1], \"data\": [1]}}";

struct files {
    struct test_host test;
    char json[64], weights[64];
};

static void write_weights(struct files *files, const char *json)
{
    struct arena arena;
    espy_test_host_init(&files->test);
    snprintf(files->json, sizeof(files->json), "/tmp/espy_hostile_%ld.json", (long)getpid());
    snprintf(files->weights, sizeof(files->weights), "/tmp/espy_hostile_%ld.safetensors",
             (long)getpid());
    espy_arena_init(&arena, &files->test.host);
    cJSON *tensors = cJSON_Parse(json);
    cr_assert_not_null(tensors);
    espy_test_write_safetensors(files->weights, tensors, &arena);
    cJSON_Delete(tensors);
    espy_arena_finish(&arena);
}

static void remove_files(const struct files *files)
{
    remove(files->json);
    remove(files->weights);
}

// Converts text with the weights; what is left of memory afterwards is a leak.
static espy_status convert(struct files *files, const char *text, size_t size)
{
    struct convert_report report;
    struct convert_model *model = NULL;
    FILE *stream = fopen(files->json, "wb");
    cr_assert_not_null(stream);
    fwrite(text, 1, size, stream);
    fclose(stream);
    files->test.error_count = files->test.warning_count = 0;
    const struct convert_params params = {.model_path = files->json,
                                          .weights_path = files->weights};
    espy_convert_report_init(&report, &files->test.host);
    const espy_status status = espy_convert_graph(&files->test.host, &params, &report, &model);
    espy_convert_model_destroy(&model);
    espy_convert_report_finish(&report);
    cr_expect_eq(files->test.live_count, 0);
    return status;
}

// A network with these layers, an input of 1x3x4x4, and more members.
static espy_status convert_layers(struct files *files, const char *layers, const char *more)
{
    struct text text;
    espy_text_init(&text, &files->test.host);
    espy_text_add(&text,
                  "{\"espy\": 1, \"inputs\": [{\"name\": \"x\", \"dtype\": \"float32\", \"shape\": "
                  "[1, 3, 4, 4]}], \"outputs\": [{\"name\": \"y\"}]%s, \"layers\": %s}",
                  more, layers);
    char *copy = malloc(text.length);
    const size_t size = text.length;
    cr_assert_not_null(copy);
    memcpy(copy, text.chars, size);
    espy_text_finish(&text);
    const espy_status status = convert(files, copy, size);
    free(copy);
    return status;
}

// ---- mistakes -----------------------------------------------------------------------------------

static const struct {
    const char *layers, *message; // what the message contains
} mistakes[] = {
    {"7", "layers: expected a layer"},
    {"[7]", "layers[0]: expected a layer"},
    {"[{}]", "layers[0]: the object names no block"},
    {"[\"relo\"]", "layers[0]: there is no block \"relo\"; near: 'relu'"},
    {"[\"relu\", {\"covn\": \"conv1\"}]", "layers[1]: there is no block \"covn\""},
    {"[{\"conv\": \"conv1\", \"relu\": true}]",
     "layers[0]: one layer is both \"conv\" and \"relu\""},
    {"[{\"conv\": \"conv1\", \"strides\": 2}]",
     "layers[0]: conv has no member \"strides\"; near: 'stride'"},
    {"[{\"conv\": \"conv1\", \"stride\": 0}]", "layers[0].stride: 0 is not in 1 to 32768"},
    {"[{\"conv\": \"conv1\", \"stride\": 1.5}]", "layers[0].stride: expected an integer"},
    {"[{\"conv\": \"conv1\", \"stride\": [1, \"2\"]}]", "layers[0].stride[1]: expected an integer"},
    {"[{\"conv\": \"conv1\", \"stride\": [1, 1, 1]}]", "layers[0]: stride and dilation need one"},
    {"[{\"conv\": \"conv1\", \"stride\": []}]", "layers[0].stride: expected 1 to 32"},
    {"[{\"conv\": \"conv1\", \"padding\": \"valid\"}]", "layers[0].padding: expected \"same\""},
    {"[{\"conv\": \"conv1\", \"padding\": [1, 2, 3]}]", "layers[0]: padding needs one number"},
    {"[{\"conv\": \"conv1\", \"stride\": 1, \"stride\": 2}]",
     "layers[0]: \"stride\" is there twice"},
    {"[{\"conv\": \"conv1\", \"as\": \"a\", \"as\": \"b\"}]", "layers[0]: \"as\" is there twice"},
    {"[{\"conv\": \"conv2\"}]",
     "layers[0]: the weights have no 'conv2.weight'; near: 'conv1.weight'"},
    {"[{\"conv\": 3}]", "layers[0]: expected a string"},
    {"[{\"conv\": \"fc\"}]", "layers[0]: fc.weight has 2 dimensions, a convolution's has 3"},
    {"[{\"linear\": \"conv1\"}]",
     "layers[0]: conv1.weight has 4 dimensions, a linear layer's has 2"},
    {"[{\"linear\": \"fc\"}]", "layers[0]: node 'fc/"}, // 4 into 3
    {"[{\"sequence\": [{\"linear\": \"fc\"}], \"at\": \"blocks.{i}\"}]", "there is no \"i\" here"},
    {"[{\"sequence\": [{\"linear\": \"fc\"}], \"at\": \"blocks.{i}\", \"repeat\": -1}]",
     "layers[0].repeat: -1 is not in 0 to 65536"},
    {"[{\"relu\": 1}]", "layers[0]: relu takes nothing beside its name but true"},
    {"[{\"residual\": null}]", "layers[0]: residual needs something beside its name"},
    {"[{\"add_weight\": true}]", "layers[0]: add_weight needs something beside its name"},
    {"[{\"residual\": true}]", "layers[0]: residual needs something beside its name"},
    {"[{\"multi_head_attention\": \"blocks.0\"}]",
     "layers[0]: multi_head_attention needs \"heads\""},
    {"[{\"relu\": true, \"from\": \"z\"}]", "layers[0]: nothing before this makes a value \"z\""},
    {"[{\"relu\": true, \"as\": \"x\"}]", "layers[0]: there is a value \"x\" already"},
    {"[{\"concat\": []}]", "layers[0].concat: expected 1 to 32 names"},
    {"[{\"parallel\": []}]", "layers[0]: expected 1 to 32 branches"},
    {"[{\"upsample\": 0}]", "layers[0]: a scale is above 0"},
    {"[{\"upsample\": \"2\"}]", "layers[0]: expected a number"},
    {"[{\"clip\": true, \"min\": \"low\"}]", "layers[0].min: expected a number"},
    {"[{\"global_pool\": \"mean\"}]", "expected \"avg\", \"max\""},
    {"[{\"adaptive_pool\": 3}]", "no multiples of the output's"},
    {"[{\"group_norm\": true, \"groups\": 3, \"affine\": 1}]",
     "layers[0].affine: expected true or false"},
    {"[{\"op\": \"If\", \"attrs\": {\"then_branch\": \"a\", \"else_branch\": \"b\"}}]",
     "layers[0]: node 'op/If'"},
    {"[{\"op\": \"Relo\"}]", "layers[0]: node 'op/Relo'"},
    {"[{\"op\": \"Relu\", \"attrs\": {\"alpha\": 1}}]", "layers[0]: node 'op/Relu'"},
    {"[{\"op\": \"Relu\", \"attrs\": {\"a\": {}}}]", "attribute \"a\" is not a number, a string"},
    {"[{\"op\": \"Relu\", \"inputs\": [{\"float\": 1, \"int\": 1}]}]",
     "an input is a name, or an object"},
    {"[{\"op\": \"Add\", \"inputs\": [\".\", {\"int\": 1.5}]}]", "expected integers"},
    {"[{\"residual\": [\"relu\", {\"max_pool\": 2}]}]", "layers[0]: node 'residual/Add'"},
    {"[{\"residual\": [\"relu\", {\"conv\": \"$w\"}]}]",
     "layers[0].residual[1]: there is no member \"w\" here"},
    {"[{\"own\": \"conv1\", \"deep\": 1}]", "layers[0]: own has no member \"deep\""},
    {"[{\"own\": \"conv1\", \"act\": \"relo\"}]", "layers[0].act: there is no block \"relo\""},
    {"[\"twice\"]", "layers[0], blocks.twice[1]: there is a value \"a\" in this block already"},
};

static const char own_blocks[] =
    ", \"blocks\": {\"own\": {\"members\": {\"act\": null}, \"layers\": [{\"conv\": true}, "
    "\"$act\"]},"
    " \"twice\": [{\"relu\": true, \"as\": \"a\"}, {\"relu\": true, \"as\": \"a\"}]}";

Test(layers_hostile, mistakes_are_told_with_their_place)
{
    struct files files;
    write_weights(&files, weights_json);
    for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
        const espy_status status = convert_layers(&files, mistakes[i].layers, own_blocks);
        cr_expect_neq(status, ESPY_OK, "%s", mistakes[i].layers);
        cr_expect_eq(files.test.error_count, 1, "%s: %u lines", mistakes[i].layers,
                     (unsigned)files.test.error_count);
        cr_expect(strstr(files.test.last_error, mistakes[i].message) != NULL, "%s:\n%s\nnot\n%s",
                  mistakes[i].layers, files.test.last_error, mistakes[i].message);
    }
    remove_files(&files);
}

static const struct {
    const char *more, *message;
} file_mistakes[] = {
    {", \"blocks\": []", "blocks: expected an object of blocks"},
    {", \"blocks\": {\"relu\": []}", "blocks.relu: there is a block \"relu\" already"},
    {", \"blocks\": {\"at\": []}", "blocks.at: every layer has a member \"at\""},
    {", \"blocks\": {\"a\": {\"layer\": []}}", "blocks.a: expected \"members\" and \"layers\""},
    {", \"blocks\": {\"a\": {\"members\": {}}}", "blocks.a: expected {\"members\""},
    {", \"blocks\": {\"a\": [], \"a\": []}", "blocks.a: the block is there twice"},
    {", \"dtype\": \"int64\"", "dtype: expected the name of a floating-point type"},
    {", \"dtype\": \"float16\"", "dtype: the network's input is float32"},
    {", \"node\": []", "unknown key \"node\""},
};

Test(layers_hostile, mistakes_around_the_layers_are_told)
{
    struct files files;
    write_weights(&files, weights_json);
    for (size_t i = 0; i < sizeof(file_mistakes) / sizeof(file_mistakes[0]); i++) {
        cr_expect_neq(convert_layers(&files, "[\"relu\"]", file_mistakes[i].more), ESPY_OK, "%s",
                      file_mistakes[i].more);
        cr_expect_eq(files.test.error_count, 1);
        cr_expect(strstr(files.test.last_error, file_mistakes[i].message) != NULL, "%s not %s",
                  files.test.last_error, file_mistakes[i].message);
    }
    remove_files(&files);
}

Test(layers_hostile, tensors_that_nothing_takes_are_told)
{
    struct files files;
    write_weights(&files, weights_json);
    cr_expect_eq(convert_layers(&files, "[{\"conv\": \"conv1\"}]", ""), ESPY_OK, "%s",
                 files.test.last_error);
    cr_expect_eq(files.test.warning_count, 1); // fc and blocks.0.fc; counters of training are not
    cr_expect_eq(convert_layers(&files,
                                "[{\"conv\": \"conv1\"}, \"flatten\", {\"reshape\": [-1, 2]},"
                                "{\"linear\": \"blocks.0.fc\"}, {\"pad\": [0, 1], \"axis\": 1},"
                                "{\"linear\": \"fc\"}]",
                                ""),
                 ESPY_OK, "%s", files.test.last_error);
    cr_expect_eq(files.test.warning_count, 0);
    remove_files(&files);
}

// Nodes may follow the layers, and tensors be beside them.
Test(layers_hostile, layers_and_nodes_are_one_network)
{
    struct files files;
    write_weights(&files, weights_json);
    cr_expect_eq(convert_layers(&files,
                                "[{\"conv\": \"conv1\"}, {\"add_weight\": \"conv1.bias\", "
                                "\"channels\": \"first\"}, {\"mul\": \"b\", \"as\": \"z\"}]",
                                ", \"tensors\": {\"b\": {\"from\": \"conv1.weight\"}}, \"nodes\": "
                                "[{\"op\": \"Relu\", \"name\": \"n\", \"inputs\": [\"z\"], "
                                "\"outputs\": [\"y\"]}]"),
                 ESPY_BAD_FORMAT);
    cr_expect(strstr(files.test.last_error, "node 'mul/Mul'") != NULL, "%s", files.test.last_error);
    cr_expect_eq(convert_layers(&files, "[{\"conv\": \"conv1\", \"as\": \"z\"}]",
                                ", \"tensors\": {\"b\": {\"from\": \"conv1.bias\"}}, \"nodes\": "
                                "[{\"op\": \"PRelu\", \"name\": \"n\", \"inputs\": [\"z\", \"x\"], "
                                "\"outputs\": [\"q\"]}, {\"op\": \"Relu\", \"name\": \"m\", "
                                "\"inputs\": [\"z\"], \"outputs\": [\"y\"]}]"),
                 ESPY_OK, "%s", files.test.last_error);
    remove_files(&files);
}

// ---- bombs --------------------------------------------------------------------------------------

Test(layers_hostile, a_few_lines_do_not_become_too_much)
{
    static const struct {
        const char *layers, *more, *message;
    } bombs[] = {
        {"[\"a\"]", ", \"blocks\": {\"a\": [\"a\"]}", "inside each other more than 48 times"},
        {"[\"a\"]", ", \"blocks\": {\"a\": [\"b\", \"b\"], \"b\": [\"a\", \"a\"]}",
         "inside each other more than 48 times"},
        {"[{\"sequence\": {\"sequence\": {\"relu\": true, \"repeat\": 60000}, \"repeat\": 60000}, "
         "\"repeat\": 60000}]",
         "", "more than 65536 layers"},
        {"[{\"sequence\": {\"sequence\": [null, [], [null]], \"repeat\": 60000}, \"repeat\": "
         "60000}]",
         "", "more than 65536 layers"},
        {"[{\"sequence\": {\"sequence\": [], \"repeat\": 60000}, \"repeat\": 60000}]", "",
         "more than 65536 layers"},
        {"[{\"a\": true, \"n\": \"0123456789012345678901234567890123456789\"}]",
         ", \"blocks\": {\"a\": {\"members\": {\"n\": \"\"}, \"layers\": [{\"a\": true, \"n\": "
         "\"{n}{n}\"}]}}",
         "a short text"},
        {"[{\"a\": true}]",
         ", \"blocks\": {\"a\": {\"members\": {\"n\": \"\"}, \"layers\": [{\"a\": true, \"n\": "
         "\"{n}{n}\"}]}}",
         "inside each other more than 48 times"},
    };
    struct files files;
    write_weights(&files, weights_json);
    for (size_t i = 0; i < sizeof(bombs) / sizeof(bombs[0]); i++) {
        cr_expect_eq(convert_layers(&files, bombs[i].layers, bombs[i].more), ESPY_BAD_FORMAT);
        cr_expect_eq(files.test.error_count, 1);
        cr_expect(strstr(files.test.last_error, bombs[i].message) != NULL, "%s not %s",
                  files.test.last_error, bombs[i].message);
    }
    remove_files(&files);
}

Test(layers_hostile, names_from_files_stay_on_one_line)
{
    struct files files;
    write_weights(&files, weights_json);
    cr_expect_neq(convert_layers(&files, "[{\"conv\": \"a\\nb\\u007f\"}]", ""), ESPY_OK);
    cr_expect(strpbrk(files.test.last_error, "\n\x7f") == NULL, "%s", files.test.last_error);
    cr_expect_neq(
        convert_layers(&files, "[{\"relu\": true, \"as\": \"a\\tb\"}, {\"relu\\n\": 1}]", ""),
        ESPY_OK);
    cr_expect(strpbrk(files.test.last_error, "\n\t") == NULL, "%s", files.test.last_error);
    remove_files(&files);
}

// ---- memory -------------------------------------------------------------------------------------

Test(layers_hostile, every_allocation_may_fail)
{
    static const char *const stems[] = {"sequence", "attention"};
    for (size_t f = 0; f < sizeof(stems) / sizeof(stems[0]); f++) {
        const cJSON *cases;
        struct files files;
        cJSON *root = espy_test_read_layer_cases(stems[f], &cases);
        const cJSON *last = cJSON_GetArrayItem(cases, cJSON_GetArraySize(cases) - 2);
        char *weights = cJSON_PrintUnformatted(cJSON_GetObjectItem(last, "weights"));
        char *text = espy_test_layer_network(last, LAYER_SIZES_EXACT, "float32");
        write_weights(&files, weights);
        espy_status status = ESPY_OUT_OF_MEMORY;
        for (size_t n = 1; status == ESPY_OUT_OF_MEMORY; n++) {
            files.test.call_count = 0;
            files.test.fail_at = n;
            status = convert(&files, text, strlen(text));
            cr_expect(status == ESPY_OK || files.test.error_count == 1, "allocation %zu: %u lines",
                      n, (unsigned)files.test.error_count);
        }
        cr_expect_eq(status, ESPY_OK, "%s", files.test.last_error);
        remove_files(&files);
        cJSON_free(weights);
        cJSON_free(text);
        cJSON_Delete(root);
    }
}

// ---- changed at random --------------------------------------------------------------------------

static uint32_t next(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33);
}

static const char *const pieces[] = {"0",
                                     "-1",
                                     "1e30",
                                     "65536",
                                     "2147483648",
                                     "0.5",
                                     "\"\"",
                                     "\".\"",
                                     "\"$a\"",
                                     "\"{i}\"",
                                     "true",
                                     "null",
                                     "[]",
                                     "{}",
                                     "[[]]",
                                     "\"relu\"",
                                     "{\"conv\": \"\"}",
                                     "\"as\"",
                                     "\"repeat\"",
                                     "3",
                                     "\"same\"",
                                     "{\"relu\": true, \"repeat\": 3}",
                                     "[1, 2, 3, 4, 5, 6, 7, 8, 9]",
                                     "\"x\"",
                                     "\"weight\""};

// A value of the JSON text, or some bytes of it, become something else.
static char *mutate(const char *text, uint64_t *state)
{
    const size_t length = strlen(text);
    const char *piece = pieces[next(state) % (sizeof(pieces) / sizeof(pieces[0]))];
    char *changed = calloc(1, 2 * length + 64);
    cr_assert_not_null(changed);
    size_t first = next(state) % length, end;
    switch (next(state) % 4) {
    case 0: // one byte
        memcpy(changed, text, length);
        changed[first] = (char)(32 + next(state) % 95);
        return changed;
    case 1: // some bytes again
        end = first + next(state) % (length - first) % 40;
        snprintf(changed, 2 * length + 64, "%.*s%.*s%s", (int)end, text, (int)(end - first),
                 text + first, text + first);
        return changed;
    default: // a value, or a key
        while (first > 0 && strchr("[{:,", text[first - 1]) == NULL)
            first--;
        end = first + strcspn(text + first, ",]}");
        snprintf(changed, 2 * length + 64, "%.*s%s%s", (int)first, text, piece, text + end);
        return changed;
    }
}

static void mutate_case(struct files *files, const cJSON *layer_case, uint32_t count,
                        uint64_t *state)
{
    const bool exact = next(state) % 2 == 0, half = next(state) % 4 == 0;
    char *text = espy_test_layer_network(
        layer_case, exact ? LAYER_SIZES_EXACT : LAYER_SIZES_PICTURE, half ? "float16" : "float32");
    for (uint32_t i = 0; i < count; i++) {
        char *changed = mutate(text, state);
        const espy_status status = convert(files, changed, strlen(changed));
        cr_expect(status == ESPY_OK || files->test.error_count == 1, "%u lines: %s",
                  (unsigned)files->test.error_count, changed);
        cr_expect(status != ESPY_OK || files->test.error_count == 0, "%s: %s",
                  files->test.last_error, changed);
        free(changed);
    }
    cJSON_free(text);
}

// ESPY_MUTATIONS sets how many of every case.
static void mutate_file(const char *stem)
{
    const char *setting = getenv("ESPY_MUTATIONS");
    const uint32_t count = setting != NULL ? (uint32_t)strtoul(setting, NULL, 10) : 60;
    uint64_t state = 7;
    const cJSON *cases, *layer_case;
    cJSON *root = espy_test_read_layer_cases(stem, &cases);
    cJSON_ArrayForEach(layer_case, cases)
    {
        struct files files;
        char *weights = cJSON_PrintUnformatted(cJSON_GetObjectItem(layer_case, "weights"));
        write_weights(&files, weights);
        mutate_case(&files, layer_case, count, &state);
        remove_files(&files);
        cJSON_free(weights);
    }
    cJSON_Delete(root);
}

#define MUTATE(stem)           \
    Test(layers_mutated, stem) \
    {                          \
        mutate_file(#stem);    \
    }
MUTATE(activation)
MUTATE(attention)
MUTATE(conv)
MUTATE(gate)
MUTATE(linear)
MUTATE(non_local)
MUTATE(norm)
MUTATE(pool)
MUTATE(resize)
MUTATE(sequence)
MUTATE(shape)
MUTATE(torchvision)
