// Goal: networks in opsets 1 to 6 compute what those opsets said. Method: one node each, x being
// 1, 2, 3, ...; what comes out of the references against numbers worked out by hand from ONNX's
// Changelog.md.
#include "support/compare.h"
#include "support/run_graph.h"
#include "test_convert_model.h"

struct early {
    struct test_host host;
    struct test_model onnx;
    struct convert_report report;
    struct convert_model *model;
};

static void start(struct early *e, int64_t opset, const char *x)
{
    memset(e, 0, sizeof(*e));
    espy_test_host_init(&e->host);
    test_model_init(&e->onnx, &e->host.host, opset);
    test_input(&e->onnx, "x", ONNX_FLOAT, x);
}

static espy_status convert(struct early *e)
{
    const struct convert_params params = {.model_path = test_path("model.onnx")};
    test_output(&e->onnx, "y");
    test_save(&e->onnx, test_path("model.onnx"));
    espy_convert_report_init(&e->report, &e->host.host);
    return espy_convert_graph(&e->host.host, &params, &e->report, &e->model);
}

static void finish(struct early *e)
{
    espy_convert_model_destroy(&e->model);
    espy_convert_report_finish(&e->report);
    test_model_finish(&e->onnx);
    cr_expect_eq(e->host.live_count, 0);
}

static void expect(struct early *e, espy_dtype dtype, const double *wanted, size_t count)
{
    struct arena arena;
    struct tensor inputs[4] = {0}, outputs[4] = {0};
    cr_assert_eq(convert(e), ESPY_OK, "%s", e->host.last_error);
    const struct graph *graph = espy_convert_model_graph(e->model);
    espy_arena_init(&arena, &e->host.host);
    for (uint32_t i = 0; i < graph->input_count; i++) {
        const struct graph_value *value = &graph->values[graph->inputs[i].value];
        inputs[i].type = (struct op_type){value->dtype, value->shape};
        cr_assert(espy_shape_count(&value->shape, &inputs[i].count));
        inputs[i].data = espy_arena_alloc(&arena, espy_tensor_size(&inputs[i]));
        for (size_t k = 0; k < inputs[i].count; k++)
            espy_tensor_set_number(&inputs[i], k, (double)(k + 1));
    }
    cr_assert_eq(espy_graph_evaluate(&e->host.host, graph, inputs, &arena, outputs), ESPY_OK, "%s",
                 e->host.last_error);
    cr_expect_eq(outputs[0].type.dtype, dtype);
    cr_assert_eq(outputs[0].count, count, "%zu elements", outputs[0].count);
    for (size_t k = 0; k < count; k++)
        cr_expect_float_eq(espy_tensor_number(&outputs[0], k), wanted[k], 1e-5, "[%zu]: %g, not %g",
                           k, espy_tensor_number(&outputs[0], k), wanted[k]);
    espy_arena_finish(&arena);
    finish(e);
}

#define EXPECT(e, ...)                                                       \
    do {                                                                     \
        const double wanted[] = {__VA_ARGS__};                               \
        expect(e, ESPY_FLOAT32, wanted, sizeof(wanted) / sizeof(wanted[0])); \
    } while (0)

static void numbers(struct early *e, const char *name, const float *values, int64_t count)
{
    test_initializer(&e->onnx, name, ONNX_FLOAT, &count, 1, values,
                     (size_t)count * sizeof(*values));
}

// ---- broadcasting ------------------------------------------------------------------------------

static void broadcast(struct early *e, int64_t opset, const float *b, int64_t count,
                      const int64_t *axis)
{
    start(e, opset, "1 3 2");
    numbers(e, "b", b, count);
    EspyOnnx__NodeProto *node = test_node(&e->onnx, "Mul", "x b", "y");
    test_int(&e->onnx, node, "broadcast", 1);
    if (axis != NULL)
        test_int(&e->onnx, node, "axis", *axis);
}

Test(convert_early, the_axis_of_a_broadcast_says_where_the_second_input_lies)
{
    static const float three[3] = {1, 10, 100}, two[2] = {1, 10};
    struct early e;
    broadcast(&e, 6, three, 3, &(int64_t){1});
    EXPECT(&e, 1, 2, 30, 40, 500, 600);
    broadcast(&e, 1, three, 3, &(int64_t){-2});
    EXPECT(&e, 1, 2, 30, 40, 500, 600);
    broadcast(&e, 6, two, 2, NULL);
    EXPECT(&e, 1, 20, 3, 40, 5, 60);
    broadcast(&e, 6, two, 2, &(int64_t){2});
    EXPECT(&e, 1, 20, 3, 40, 5, 60);
}

Test(convert_early, slopes_of_prelu_are_per_channel)
{
    static const float slopes[3] = {1, 10, 100}, minus[1] = {-1}, one[1] = {2};
    struct early e;
    start(&e, 6, "1 3 2");
    numbers(&e, "minus", minus, 1);
    numbers(&e, "slopes", slopes, 3);
    EspyOnnx__NodeProto *node = test_node(&e.onnx, "Mul", "x minus", "n");
    test_int(&e.onnx, node, "broadcast", 1);
    test_node(&e.onnx, "PRelu", "n slopes", "y");
    EXPECT(&e, -1, -2, -30, -40, -500, -600);
    start(&e, 1, "3");
    numbers(&e, "minus", minus, 1);
    numbers(&e, "slopes", one, 1);
    node = test_node(&e.onnx, "Mul", "x minus", "n");
    test_int(&e.onnx, node, "broadcast", 1);
    test_node(&e.onnx, "PRelu", "n slopes", "y");
    EXPECT(&e, -2, -4, -6);
}

// ---- attributes --------------------------------------------------------------------------------

Test(convert_early, attributes_have_their_old_names_types_and_defaults)
{
    static const int64_t dims[2] = {3, 2}, pads[4] = {0, 1, 0, 0}, zero = 0;
    struct early e;
    start(&e, 1, "6");
    EspyOnnx__NodeProto *node = test_node(&e.onnx, "Reshape", "x", "r");
    test_ints(&e.onnx, node, "shape", dims, 2);
    node = test_node(&e.onnx, "Concat", "r r", "y"); // axis 1
    test_ints(&e.onnx, node, "consumed_inputs", &zero, 1);
    EXPECT(&e, 1, 2, 1, 2, 3, 4, 3, 4, 5, 6, 5, 6);
    start(&e, 1, "2 2");
    node = test_node(&e.onnx, "Pad", "x", "y");
    test_ints(&e.onnx, node, "paddings", pads, 4);
    test_float(&e.onnx, node, "value", 9);
    EXPECT(&e, 9, 1, 2, 9, 3, 4);
    start(&e, 1, "1 1 2 2");
    node = test_node(&e.onnx, "GlobalLpPool", "x", "y");
    test_float(&e.onnx, node, "p", 1);
    EXPECT(&e, 10);
    start(&e, 1, "2");
    test_node(&e.onnx, "Selu", "x", "y");
    EXPECT(&e, 1.0507, 2 * 1.0507);
    start(&e, 1, "1 1 1 2");
    node = test_node(&e.onnx, "Upsample", "x", "y");
    test_float(&e.onnx, node, "height_scale", 2);
    test_float(&e.onnx, node, "width_scale", 1);
    EXPECT(&e, 1, 2, 1, 2);
}

Test(convert_early, the_type_of_a_cast_is_a_name)
{
    const double wanted[] = {1, 2};
    struct early e;
    start(&e, 1, "2");
    test_string(&e.onnx, test_node(&e.onnx, "Cast", "x", "y"), "to", "INT64");
    expect(&e, ESPY_INT64, wanted, 2);
    start(&e, 1, "2");
    test_string(&e.onnx, test_node(&e.onnx, "Cast", "x", "y"), "to", "STRING");
    cr_expect_eq(convert(&e), ESPY_UNSUPPORTED);
    finish(&e);
}

Test(convert_early, tile_repeats_along_one_axis)
{
    static const float tiles[1] = {2}, axis[1] = {1};
    struct early e;
    start(&e, 1, "2 2");
    numbers(&e, "tiles", tiles, 1);
    numbers(&e, "axis", axis, 1);
    test_node(&e.onnx, "Tile", "x tiles axis", "y");
    EXPECT(&e, 1, 2, 1, 2, 3, 4, 3, 4);
}

// ---- training ----------------------------------------------------------------------------------

Test(convert_early, normalisation_by_the_batch_is_refused)
{
    static const float ones[2] = {1, 1}, zeros[2] = {0, 0};
    for (int training = 0; training < 2; training++) {
        struct early e;
        start(&e, 6, "1 2 1 1");
        numbers(&e, "one", ones, 2);
        numbers(&e, "zero", zeros, 2);
        EspyOnnx__NodeProto *node =
            test_node(&e.onnx, "BatchNormalization", "x one zero zero one",
                      training != 0 ? "y mean var saved_mean saved_var" : "y");
        test_float(&e.onnx, node, "epsilon", 0);
        test_int(&e.onnx, node, "is_test", training == 0);
        if (training == 0) {
            EXPECT(&e, 1, 2);
            continue;
        }
        cr_expect_eq(convert(&e), ESPY_UNSUPPORTED);
        finish(&e);
    }
}
