// Goal: the networks of examples/layers with the weights of ../shared/safetensors compute on the
// device what was recorded for them: the layer language says what people's code says.
#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "suites/suite.h"

enum { TENSORS_MAX = 8 };

struct network_run {
    struct test_host test;
    struct vk_device *device;
    struct arena arena;
    const char *shared;
};

static void start(struct network_run *run)
{
    run->shared = espy_suite_shared();
    if (run->shared == NULL)
        cr_skip_test("../shared is not there");
    espy_test_host_init(&run->test);
    espy_arena_init(&run->arena, &run->test.host);
    cr_assert(espy_test_open_device(&run->test.host, false, &run->device) == ESPY_OK, "%s",
              run->test.last_error);
}

static void finish(struct network_run *run)
{
    cr_expect(espy_vk_device_validation_count(run->device) == 0,
              "the validation layer has complained: %s", run->test.last_error);
    espy_vk_device_destroy(&run->device);
    espy_arena_finish(&run->arena);
    cr_expect(run->test.live_count == 0, "%zu allocations are not freed", run->test.live_count);
}

static void convert(struct network_run *run, const char *network, const char *weights,
                    struct suite_model *model)
{
    char json[1024], safetensors[1024];
    snprintf(json, sizeof(json), "%s/examples/layers/%s.json", ESPY_SOURCE_DIR, network);
    snprintf(safetensors, sizeof(safetensors), "%s/safetensors/%s.safetensors", run->shared,
             weights);
    cr_assert(espy_suite_convert_hand(&run->test.host, json, safetensors, model) == ESPY_OK, "%s",
              run->test.last_error);
    cr_expect(run->test.warning_count == 0, "%s: weights are left over", network);
}

static void compute(struct network_run *run, const struct graph *graph, const struct tensor *inputs,
                    struct tensor *outputs)
{
    struct test_run_info info = {0};
    cr_assert(espy_test_run(&run->test.host, run->device, graph, inputs, &run->arena, outputs,
                            &info) == ESPY_OK,
              "%s", run->test.last_error);
    cr_expect(info.host_node_count == 0, "%u nodes run on the host", info.host_node_count);
    cr_expect(info.stage_count == 1, "%u submits", info.stage_count);
}

static void expect_near(const char *what, const struct tensor *actual,
                        const struct tensor *expected, double tolerance)
{
    char text[256];
    struct comparison result;
    cr_assert(actual->type.dtype == expected->type.dtype && actual->count == expected->count,
              "%s: another type or size", what);
    espy_test_compare(actual, expected, &result);
    cr_expect(result.nonfinite == 0 && result.relative_l2 <= tolerance, "%s: %s", what,
              espy_test_difference(actual, expected, &result, text, sizeof(text)));
    printf("%s: relative L2 %.2g\n", what, result.relative_l2);
}

// ---- against ../shared/models -------------------------------------------------------------------

static void read_tensor(struct network_run *run, const char *model, const cJSON *item,
                        struct tensor *tensor)
{
    char path[1024];
    snprintf(path, sizeof(path), "%s/models/%s/%s", run->shared, model,
             cJSON_GetObjectItem(item, "file")->valuestring);
    cr_assert(espy_suite_read_npy(path, &run->arena, tensor), "%s", path);
}

// The item of a list that has the name of a value.
static const cJSON *find_item(const cJSON *list, const struct graph *graph, uint32_t value)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        if (strcmp(cJSON_GetObjectItem(item, "name")->valuestring, graph->values[value].name) == 0)
            return item;
    }
    cr_assert_fail("nothing was recorded for '%s'", graph->values[value].name);
    return NULL;
}

static void run_case(struct network_run *run, const char *model, const struct graph *graph,
                     const cJSON *item, double tolerance)
{
    const cJSON *inputs = cJSON_GetObjectItem(item, "inputs");
    const cJSON *outputs = cJSON_GetObjectItem(item, "outputs");
    struct tensor given[TENSORS_MAX] = {0}, expected[TENSORS_MAX] = {0}, actual[TENSORS_MAX] = {0};
    cr_assert(cJSON_GetArraySize(outputs) == (int)graph->output_count, "%s", model);
    for (uint32_t i = 0; i < graph->input_count; i++)
        read_tensor(run, model, find_item(inputs, graph, graph->inputs[i].value), &given[i]);
    for (uint32_t o = 0; o < graph->output_count; o++)
        read_tensor(run, model, find_item(outputs, graph, graph->outputs[o].value), &expected[o]);
    compute(run, graph, given, actual);
    for (uint32_t o = 0; o < graph->output_count; o++) {
        char what[256];
        snprintf(what, sizeof(what), "%s %s %s", model,
                 cJSON_GetObjectItem(item, "id")->valuestring,
                 graph->values[graph->outputs[o].value].name);
        expect_near(what, &actual[o], &expected[o], tolerance);
    }
}

static void run_recorded(const char *network, const char *weights, double tolerance)
{
    struct network_run run;
    struct suite_model model;
    char path[1024];
    start(&run);
    convert(&run, network, weights, &model);
    snprintf(path, sizeof(path), "%s/models/%s/io.json", run.shared, network);
    cJSON *json = cJSON_Parse(espy_suite_read_text(path, &run.arena));
    const cJSON *item, *cases = cJSON_GetObjectItem(json, "cases");
    cr_expect(cJSON_GetArraySize(cases) > 0, "%s: no cases", network);
    cJSON_ArrayForEach(item, cases) run_case(&run, network, &model.graph, item, tolerance);
    cJSON_Delete(json);
    espy_suite_model_finish(&model);
    finish(&run);
}

#define RECORDED(network)                       \
    Test(layer_networks, network)               \
    {                                           \
        run_recorded(#network, #network, 1e-4); \
    }
RECORDED(iat_lol)
RECORDED(minifasnet_v1se)
RECORDED(resnet20_cifar10)
RECORDED(sr_mobilesr)
RECORDED(vit_mnist)

// ---- weights in 16 bit --------------------------------------------------------------------------

// What rounding the weights alone does to the outputs that were recorded with float32 weights: each
// is off by up to 2^-12 (float16) or 2^-9 (bfloat16) of itself, and a few layers of a hundred terms
// each leave about as much of the outputs. Twice a last place is allowed: 2^-10 and 2^-7.
Test(layer_networks, vit_mnist_with_float16_weights)
{
    run_recorded("vit_mnist", "vit_mnist_f16", 0x1p-10);
}

Test(layer_networks, vit_mnist_with_bfloat16_weights)
{
    run_recorded("vit_mnist", "vit_mnist_bf16", 0x1p-7);
}

static float rounded(float value, espy_dtype dtype)
{
    return dtype == ESPY_FLOAT16 ? espy_half_to_float(espy_float_to_half(value))
                                 : espy_bfloat16_to_float(espy_float_to_bfloat16(value));
}

// Weights of 16 bit compute what float32 weights of the same values compute: nothing but the
// weights has been rounded. The passes only move these weights, so rounding can come after them.
static void run_rounded(const char *weights, espy_dtype dtype)
{
    struct network_run run;
    struct suite_model narrow, wide;
    struct tensor input = {0}, actual, expected;
    char path[1024];
    start(&run);
    convert(&run, "vit_mnist", weights, &narrow);
    convert(&run, "vit_mnist", "vit_mnist", &wide);
    for (uint32_t v = 0; v < wide.graph.value_count; v++) {
        struct graph_value *value = &wide.graph.values[v];
        if (value->data == NULL || value->dtype != ESPY_FLOAT32)
            continue;
        float *copy = espy_arena_copy(&run.arena, value->data, value->data_size);
        for (size_t i = 0; i < value->data_size / sizeof(*copy); i++)
            copy[i] = rounded(copy[i], dtype);
        value->data = copy;
    }
    snprintf(path, sizeof(path), "%s/models/vit_mnist/digit_input_0.npy", run.shared);
    cr_assert(espy_suite_read_npy(path, &run.arena, &input), "%s", path);
    compute(&run, &narrow.graph, &input, &actual);
    compute(&run, &wide.graph, &input, &expected);
    expect_near(weights, &actual, &expected, 1e-6);
    espy_suite_model_finish(&narrow);
    espy_suite_model_finish(&wide);
    finish(&run);
}

Test(layer_networks, float16_weights_are_all_that_is_rounded)
{
    run_rounded("vit_mnist_f16", ESPY_FLOAT16);
}

Test(layer_networks, bfloat16_weights_are_all_that_is_rounded)
{
    run_rounded("vit_mnist_bf16", ESPY_BFLOAT16);
}

// ---- a network without recorded outputs ---------------------------------------------------------

// The numbers are from tests/layers/make_cases.py, which writes the network out for PyTorch.
Test(layer_networks, nonlocal_mnist)
{
    static float expected[20] = {-7.97921753f, -15.9649525f, -3.73976469f, -13.6865311f,
                                 -3.86887217f, -10.2800102f, -4.53186321f, -13.3939285f,
                                 21.6503601f,  -3.66187739f, -6.52621603f, -14.1030254f,
                                 -3.68441439f, -11.2991428f, -3.72721601f, -8.27676773f,
                                 -3.99577069f, -11.5186539f, 17.8852749f,  -1.98519635f};
    static float pixels[2 * 28 * 28];
    const struct tensor input = {{ESPY_FLOAT32, {4, {2, 1, 28, 28}}}, 2 * 28 * 28, pixels};
    const struct tensor wanted = {{ESPY_FLOAT32, {2, {2, 10}}}, 20, expected};
    struct network_run run;
    struct suite_model model;
    struct tensor actual;
    uint32_t seed = 77;
    for (size_t i = 0; i < input.count; i++) {
        seed = seed * 1664525u + 1013904223u;
        pixels[i] = (float)((double)(seed / 256) / 16777216.0);
    }
    start(&run);
    convert(&run, "nonlocal_mnist", "nonlocal_mnist", &model);
    compute(&run, &model.graph, &input, &actual);
    expect_near("nonlocal_mnist", &actual, &wanted, 1e-5);
    espy_suite_model_finish(&model);
    finish(&run);
}
