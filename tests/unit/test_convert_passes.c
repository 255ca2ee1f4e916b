// Goal: each pass finds what it is for, leaves alone what only looks like it, and never changes
// what a graph computes. Method: small graphs, converted with passes and without, both through the
// references on the same numbers; what remains is compared as a list of operators with their
// epilogues.
#include "test_convert_model.h"

#include "support/compare.h"
#include "support/run_graph.h"

#include <math.h>

struct passing {
    struct test_host host;
    struct test_model onnx;
    uint32_t seed;
    double tolerance;
    espy_dtype weights; // as convert_params.weights, with passes
};

static void start(struct passing *p)
{
    memset(p, 0, sizeof(*p));
    espy_test_host_init(&p->host);
    test_model_init(&p->onnx, &p->host.host, 17);
    p->seed = 7;
    p->tolerance = 1e-5;
}

static float next_float(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (float)(*seed >> 8) / 16777216.0f - 0.4f;
}

// An initializer of pseudo-random numbers; dims as "8 4 3 3".
static void weight(struct passing *p, const char *name, const char *dims_text, float offset)
{
    int64_t dims[ESPY_RANK_MAX];
    size_t rank, count = 1;
    char **words = test_names(&p->onnx, dims_text, &rank);
    for (size_t i = 0; i < rank; i++) {
        dims[i] = atoll(words[i]);
        count *= (size_t)dims[i];
    }
    float *numbers = test_new(&p->onnx, count * sizeof(*numbers));
    for (size_t i = 0; i < count; i++)
        numbers[i] = next_float(&p->seed) + offset;
    test_initializer(&p->onnx, name, ONNX_FLOAT, dims, rank, numbers, count * sizeof(*numbers));
}

static void number(struct passing *p, const char *name, float value)
{
    test_initializer(&p->onnx, name, ONNX_FLOAT, NULL, 0, &value, sizeof(value));
}

static void integers(struct passing *p, const char *name, const int64_t *values, size_t count)
{
    const int64_t dims[1] = {(int64_t)count};
    test_initializer(&p->onnx, name, ONNX_INT64, dims, 1, values, count * sizeof(*values));
}

static void describe(const struct graph *graph, char *text, size_t size)
{
    size_t length = 0;
    text[0] = '\0';
    for (uint32_t n = 0; n < graph->node_count; n++) {
        const struct graph_node *node = &graph->nodes[n];
        length +=
            (size_t)snprintf(text + length, size - length, "%s%s", n == 0 ? "" : " ", node->op);
        for (uint32_t s = 0; s < node->step_count; s++)
            length += (size_t)snprintf(text + length, size - length, "+%s", node->steps[s].op);
    }
}

static struct convert_model *convert(struct passing *p, bool keep_nodes,
                                     struct convert_report *report)
{
    struct convert_model *model = NULL;
    const struct convert_params params = {.model_path = test_path("model.onnx"),
                                          .keep_nodes = keep_nodes,
                                          .weights = keep_nodes ? ESPY_DTYPE_NONE : p->weights};
    espy_convert_report_init(report, &p->host.host);
    cr_assert_eq(espy_convert_graph(&p->host.host, &params, report, &model), ESPY_OK, "%s",
                 p->host.last_error);
    return model;
}

// Every value of the graph, by index. The symbol "n" is `size`, others are 4 more.
static struct tensor *evaluate(struct passing *p, const struct graph *graph, int64_t size,
                               struct arena *arena)
{
    struct tensor *values = espy_arena_array(arena, graph->value_count, sizeof(*values));
    struct tensor inputs[4] = {0};
    uint32_t seed = 99;
    for (uint32_t i = 0; i < graph->input_count; i++) {
        const struct graph_value *value = &graph->values[graph->inputs[i].value];
        inputs[i].type = (struct op_type){value->dtype, value->shape};
        for (uint32_t d = 0; d < value->shape.rank; d++)
            if (value->shape.dims[d] < 0)
                inputs[i].type.shape.dims[d] =
                    strcmp(espy_graph_symbol(value, d), "n") == 0 ? size : size + 4;
        cr_assert(espy_shape_count(&inputs[i].type.shape, &inputs[i].count));
        inputs[i].data = espy_arena_alloc(arena, espy_tensor_size(&inputs[i]));
        for (size_t k = 0; k < inputs[i].count; k++)
            espy_tensor_set_number(&inputs[i], k, (double)(3 * next_float(&seed)));
    }
    cr_assert(values != NULL);
    cr_assert_eq(espy_test_reference_values(&p->host.host, graph, inputs, arena, values), ESPY_OK,
                 "%s", p->host.last_error);
    return values;
}

// A name means the same elements in both graphs.
static void compare_value(const struct passing *p, const char *name, const struct tensor *actual,
                          const struct tensor *expected)
{
    char difference[256];
    struct comparison result;
    cr_assert(espy_shape_equal(&actual->type.shape, &expected->type.shape), "%s", name);
    espy_test_compare(actual, expected, &result);
    cr_expect(espy_test_close(&result, p->tolerance), "%s: %s", name,
              espy_test_difference(actual, expected, &result, difference, sizeof(difference)));
}

static void compare_graphs(struct passing *p, const struct graph *old, const struct graph *graph,
                           int64_t size)
{
    struct arena arena;
    espy_arena_init(&arena, &p->host.host);
    const struct tensor *before = evaluate(p, old, size, &arena);
    const struct tensor *after = evaluate(p, graph, size, &arena);
    for (uint32_t v = 0; v < graph->value_count; v++)
        for (uint32_t w = 0; after[v].data != NULL && w < old->value_count; w++)
            if (before[w].data != NULL &&
                strcmp(graph->values[v].name, old->values[w].name) == 0)
                compare_value(p, old->values[w].name, &after[v], &before[w]);
    espy_arena_finish(&arena);
}

// Converts, compares the results with those of the graph as it was, and what is left of it.
static void expect(struct passing *p, const char *wanted)
{
    char text[1024];
    struct convert_report reports[2];
    test_save(&p->onnx, test_path("model.onnx"));
    struct convert_model *plain = convert(p, true, &reports[0]);
    struct convert_model *passed = convert(p, false, &reports[1]);
    const struct graph *old = espy_convert_model_graph(plain);
    const struct graph *graph = espy_convert_model_graph(passed);
    describe(graph, text, sizeof(text));
    cr_expect_str_eq(text, wanted);
    cr_assert_eq(old->output_count, graph->output_count);
    for (uint32_t o = 0; o < graph->output_count; o++)
        cr_expect_str_eq(graph->values[graph->outputs[o].value].name,
                         old->values[old->outputs[o].value].name);
    compare_graphs(p, old, graph, 1);
    compare_graphs(p, old, graph, 3);
    espy_convert_model_destroy(&plain);
    espy_convert_model_destroy(&passed);
    espy_convert_report_finish(&reports[0]);
    espy_convert_report_finish(&reports[1]);
    test_model_finish(&p->onnx);
    cr_expect_eq(p->host.live_count, 0);
}

static void batch_norm(struct passing *p, const char *channels, const char *from, const char *to)
{
    char inputs[64];
    weight(p, "bn_scale", channels, 1);
    weight(p, "bn_bias", channels, 0);
    weight(p, "bn_mean", channels, 0);
    weight(p, "bn_variance", channels, 1);
    snprintf(inputs, sizeof(inputs), "%s bn_scale bn_bias bn_mean bn_variance", from);
    test_node(&p->onnx, "BatchNormalization", inputs, to);
}

// ---- norms --------------------------------------------------------------------------------------

Test(convert_passes, batch_norm_and_activation_go_into_conv)
{
    struct passing p;
    start(&p);
    test_input(&p.onnx, "x", ONNX_FLOAT, "2 4 5 5");
    weight(&p, "w", "6 2 3 3", 0);
    weight(&p, "b", "6", 0);
    test_int(&p.onnx, test_node(&p.onnx, "Conv", "x w b", "a"), "group", 2);
    batch_norm(&p, "6", "a", "c");
    test_node(&p.onnx, "Relu", "c", "y");
    test_output(&p.onnx, "y");
    expect(&p, "Conv+Relu");
}

Test(convert_passes, batch_norm_goes_into_grouped_conv_transpose)
{
    struct passing p;
    start(&p);
    test_input(&p.onnx, "x", ONNX_FLOAT, "1 4 3 3");
    weight(&p, "w", "4 3 2 2", 0);
    test_int(&p.onnx, test_node(&p.onnx, "ConvTranspose", "x w", "a"), "group", 2);
    batch_norm(&p, "6", "a", "y");
    test_output(&p.onnx, "y");
    expect(&p, "ConvTranspose");
}

Test(convert_passes, batch_norm_goes_into_gemm_either_way_up)
{
    for (int64_t transposed = 0; transposed < 2; transposed++) {
        struct passing p;
        start(&p);
        test_input(&p.onnx, "x", ONNX_FLOAT, "3 4");
        weight(&p, "w", transposed != 0 ? "5 4" : "4 5", 0);
        weight(&p, "b", "5", 0);
        EspyOnnx__NodeProto *node = test_node(&p.onnx, "Gemm", "x w b", "a");
        test_int(&p.onnx, node, "transB", transposed);
        test_float(&p.onnx, node, "alpha", 0.5f);
        test_float(&p.onnx, node, "beta", 2);
        batch_norm(&p, "5", "a", "y");
        test_output(&p.onnx, "y");
        expect(&p, "Gemm");
    }
}

Test(convert_passes, constants_per_channel_go_into_conv)
{
    struct passing p;
    start(&p);
    test_input(&p.onnx, "x", ONNX_FLOAT, "1 2 4 4");
    weight(&p, "w", "3 2 1 1", 0);
    weight(&p, "scale", "3 1 1", 1);
    weight(&p, "shift", "1 3 1 1", 0);
    number(&p, "half", 0.5f);
    test_node(&p.onnx, "Conv", "x w", "a");
    test_node(&p.onnx, "Mul", "scale a", "b");
    test_node(&p.onnx, "Sub", "b shift", "c");
    test_node(&p.onnx, "Div", "c half", "d");
    test_node(&p.onnx, "Clip", "d - half", "y");
    test_output(&p.onnx, "y");
    expect(&p, "Conv+Clip");
}

Test(convert_passes, constants_per_column_and_results_used_twice_stay)
{
    struct passing p;
    start(&p);
    test_input(&p.onnx, "x", ONNX_FLOAT, "1 2 4 4");
    weight(&p, "w", "4 2 1 1", 0);
    weight(&p, "columns", "4", 1);
    test_node(&p.onnx, "Conv", "x w", "a");
    test_node(&p.onnx, "Mul", "a columns", "y");
    test_node(&p.onnx, "Relu", "x", "r");
    test_node(&p.onnx, "Neg", "r", "n");
    test_node(&p.onnx, "Add", "r n", "z");
    test_output(&p.onnx, "y");
    test_output(&p.onnx, "z");
    expect(&p, "Conv Mul Relu Neg Add");
}

// ---- patterns -----------------------------------------------------------------------------------

static void start_pointwise(struct passing *p)
{
    start(p);
    test_input(&p->onnx, "x", ONNX_FLOAT, "2 3 8");
    test_output(&p->onnx, "y");
}

Test(convert_passes, gated_activations_are_recognised)
{
    struct passing p;
    start_pointwise(&p);
    test_node(&p.onnx, "Sigmoid", "x", "s");
    test_node(&p.onnx, "Mul", "s x", "y");
    expect(&p, "Swish");

    start_pointwise(&p);
    number(&p, "root", 1.41421356f);
    number(&p, "one", 1);
    number(&p, "half", 0.5f);
    test_node(&p.onnx, "Div", "x root", "a");
    test_node(&p.onnx, "Erf", "a", "b");
    test_node(&p.onnx, "Add", "b one", "c");
    test_node(&p.onnx, "Mul", "x c", "d");
    test_node(&p.onnx, "Mul", "d half", "y");
    expect(&p, "Gelu");

    start_pointwise(&p);
    number(&p, "three", 3);
    number(&p, "small", 0.044715f);
    number(&p, "factor", 0.7978845608f);
    number(&p, "one", 1);
    number(&p, "half", 0.5f);
    test_node(&p.onnx, "Pow", "x three", "a");
    test_node(&p.onnx, "Mul", "small a", "b");
    test_node(&p.onnx, "Add", "x b", "c");
    test_node(&p.onnx, "Mul", "c factor", "d");
    test_node(&p.onnx, "Tanh", "d", "e");
    test_node(&p.onnx, "Add", "one e", "f");
    test_node(&p.onnx, "Mul", "half x", "g");
    test_node(&p.onnx, "Mul", "g f", "y");
    expect(&p, "Gelu");

    start_pointwise(&p);
    number(&p, "zero", 0);
    number(&p, "three", 3);
    number(&p, "six", 6);
    test_node(&p.onnx, "Add", "x three", "a");
    test_node(&p.onnx, "Clip", "a zero six", "b");
    test_node(&p.onnx, "Mul", "x b", "c");
    test_node(&p.onnx, "Div", "c six", "y");
    expect(&p, "HardSwish");

    start_pointwise(&p);
    test_node(&p.onnx, "Softplus", "x", "a");
    test_node(&p.onnx, "Tanh", "a", "b");
    test_node(&p.onnx, "Mul", "x b", "y");
    expect(&p, "Mish");
}

Test(convert_passes, what_only_looks_like_a_gate_stays)
{
    struct passing p;
    start_pointwise(&p);
    test_node(&p.onnx, "Add", "x x", "n");
    test_node(&p.onnx, "Sigmoid", "n", "s");
    test_node(&p.onnx, "Mul", "s x", "y");
    expect(&p, "Add+Sigmoid Mul");

    start_pointwise(&p);
    number(&p, "root", 1.5f); // not the root of two
    number(&p, "one", 1);
    number(&p, "half", 0.5f);
    test_node(&p.onnx, "Div", "x root", "a");
    test_node(&p.onnx, "Erf", "a", "b");
    test_node(&p.onnx, "Add", "b one", "c");
    test_node(&p.onnx, "Mul", "x c", "d");
    test_node(&p.onnx, "Mul", "d half", "y");
    expect(&p, "Div+Erf Add Mul Mul");
}

static void layer_norm(struct passing *p, bool keep_middle)
{
    const int64_t last[1] = {-1};
    start_pointwise(p);
    weight(p, "scale", "8", 1);
    weight(p, "bias", "8", 0);
    number(p, "two", 2);
    number(p, "epsilon", 1e-3f);
    test_ints(&p->onnx, test_node(&p->onnx, "ReduceMean", "x", "mean"), "axes", last, 1);
    test_node(&p->onnx, "Sub", "x mean", "centred");
    test_node(&p->onnx, "Pow", "centred two", "square");
    test_ints(&p->onnx, test_node(&p->onnx, "ReduceMean", "square", "variance"), "axes", last, 1);
    test_node(&p->onnx, "Add", "variance epsilon", "sum");
    test_node(&p->onnx, "Sqrt", "sum", "deviation");
    test_node(&p->onnx, "Div", "centred deviation", "normal");
    test_node(&p->onnx, "Mul", "normal scale", "scaled");
    test_node(&p->onnx, "Add", "scaled bias", "y");
    if (keep_middle)
        test_output(&p->onnx, "scaled");
}

Test(convert_passes, layer_norm_is_recognised)
{
    struct passing p;
    layer_norm(&p, false);
    expect(&p, "LayerNormalization");
    layer_norm(&p, true);
    expect(&p, "LayerNormalization Add");
}

// ---- symbols ------------------------------------------------------------------------------------

// Reshape to [rows of x, 5 * 8], with the rows from Shape and the rest from arithmetic on it.
static void flatten_by_shape(struct passing *p)
{
    const int64_t zero[1] = {0}, one[1] = {1}, two[1] = {2};
    integers(p, "zero", zero, 1);
    integers(p, "one", one, 1);
    integers(p, "two", two, 1);
    test_node(&p->onnx, "Shape", "x", "shape");
    test_node(&p->onnx, "Gather", "shape zero", "rows");
    test_node(&p->onnx, "Gather", "shape one", "height");
    test_node(&p->onnx, "Gather", "shape two", "width");
    test_node(&p->onnx, "Mul", "height width", "columns");
    test_int(&p->onnx, test_node(&p->onnx, "Concat", "rows columns", "matrix"), "axis", 0);
    test_node(&p->onnx, "Reshape", "x matrix", "flat");
}

Test(convert_passes, what_no_size_changes_is_known)
{
    static const int64_t last[1] = {-1};
    struct passing p;
    start(&p);
    test_input(&p.onnx, "x", ONNX_FLOAT, "n 5 8");
    flatten_by_shape(&p);
    weight(&p, "w", "40 6", 0);
    test_node(&p.onnx, "MatMul", "flat w", "y");
    test_output(&p.onnx, "y");
    expect(&p, "Shape Gather Concat Reshape MatMul"); // the product of height and width is gone
    start(&p);
    test_input(&p.onnx, "x", ONNX_FLOAT, "n 5 8");
    number(&p, "two", 2);
    number(&p, "epsilon", 1e-3f);
    test_ints(&p.onnx, test_node(&p.onnx, "ReduceMean", "x", "mean"), "axes", last, 1);
    test_node(&p.onnx, "Sub", "x mean", "centred");
    test_node(&p.onnx, "Pow", "centred two", "square");
    test_ints(&p.onnx, test_node(&p.onnx, "ReduceMean", "square", "variance"), "axes", last, 1);
    test_node(&p.onnx, "Add", "variance epsilon", "sum");
    test_node(&p.onnx, "Sqrt", "sum", "deviation");
    test_node(&p.onnx, "Div", "centred deviation", "normal");
    weight(&p, "w", "8 6", 0);
    weight(&p, "b", "6", 0);
    test_node(&p.onnx, "MatMul", "normal w", "product");
    test_node(&p.onnx, "Add", "product b", "y");
    test_output(&p.onnx, "y");
    expect(&p, "LayerNormalization Reshape Gemm Reshape");
}

// A network may compare sizes, and what is cut to a length may be shorter with some of them only.
Test(convert_passes, what_some_size_may_change_is_not_known)
{
    static const int64_t zero[1] = {0}, one[1] = {1}, nine[1] = {9}, thousand[1] = {100000};
    static const int64_t sixty_four[1] = {64}, zeros[2] = {0, 0};
    struct passing p;
    start(&p);
    test_input(&p.onnx, "x", ONNX_FLOAT, "n 2");
    integers(&p, "thousand", thousand, 1);
    integers(&p, "zero", zero, 1);
    test_node(&p.onnx, "Shape", "x", "shape");
    test_node(&p.onnx, "Gather", "shape zero", "rows");
    test_node(&p.onnx, "Less", "rows thousand", "few"); // so it is with every size that is tried
    test_node(&p.onnx, "Where", "few x mask", "y");
    weight(&p, "mask", "2", 0);
    test_output(&p.onnx, "y");
    expect(&p, "Shape Gather Less Where");
    start(&p);
    test_input(&p.onnx, "x", ONNX_FLOAT, "n 2");
    test_input(&p.onnx, "mask", ONNX_FLOAT, "m 2");
    integers(&p, "zero", zero, 1);
    integers(&p, "one", one, 1);
    integers(&p, "nine", nine, 1);
    test_node(&p.onnx, "Shape", "x", "shape");
    test_node(&p.onnx, "Slice", "shape zero one", "rows");
    test_node(&p.onnx, "Mul", "rows nine", "end"); // further than the mask goes, mostly
    test_node(&p.onnx, "Slice", "mask zero end zero", "y");
    test_output(&p.onnx, "y");
    expect(&p, "Shape Slice Mul Slice");
    start(&p);
    test_input(&p.onnx, "x", ONNX_FLOAT, "n 2");
    integers(&p, "zero", zero, 1);
    integers(&p, "sixty_four", sixty_four, 1);
    integers(&p, "zeros", zeros, 2);
    test_node(&p.onnx, "Shape", "x", "shape");
    test_node(&p.onnx, "Gather", "shape zero", "rows");
    test_node(&p.onnx, "Neg", "rows", "negative");
    test_node(&p.onnx, "Mod", "negative sixty_four", "missing");
    test_int(&p.onnx, test_node(&p.onnx, "Concat", "zeros missing zero", "pads"), "axis", 0);
    test_node(&p.onnx, "Pad", "x pads", "padded"); // to a multiple, so that few rows look alike
    test_node(&p.onnx, "Shape", "padded", "longer");
    test_node(&p.onnx, "Gather", "longer zero", "y");
    test_output(&p.onnx, "y");
    expect(&p, "Shape Gather Neg Mod Concat Pad Shape Gather");
}

Test(convert_passes, group_norm_is_recognised)
{
    static const int64_t split[3] = {0, 2, -1}, whole[4] = {2, 4, 3, 3}, two[1] = {2};
    static const float ones[2] = {1, 1}, zeros[2] = {0, 0};
    struct passing p;
    start(&p);
    test_input(&p.onnx, "x", ONNX_FLOAT, "2 4 3 3");
    integers(&p, "split", split, 3);
    integers(&p, "whole", whole, 4);
    test_initializer(&p.onnx, "ones", ONNX_FLOAT, two, 1, ones, sizeof(ones));
    test_initializer(&p.onnx, "zeros", ONNX_FLOAT, two, 1, zeros, sizeof(zeros));
    weight(&p, "scale", "4 1 1", 1);
    weight(&p, "bias", "4 1 1", 0);
    test_node(&p.onnx, "Reshape", "x split", "a");
    test_node(&p.onnx, "InstanceNormalization", "a ones zeros", "b");
    test_node(&p.onnx, "Reshape", "b whole", "c");
    test_node(&p.onnx, "Mul", "c scale", "d");
    test_node(&p.onnx, "Add", "d bias", "y");
    test_output(&p.onnx, "y");
    expect(&p, "GroupNormalization");
}

Test(convert_passes, attention_is_recognised_with_scale_and_mask)
{
    static const int64_t heads[4] = {0, 1, 3, 2};
    struct passing p;
    start(&p);
    test_input(&p.onnx, "q", ONNX_FLOAT, "1 2 5 4");
    test_input(&p.onnx, "k", ONNX_FLOAT, "1 2 6 4");
    test_input(&p.onnx, "v", ONNX_FLOAT, "1 2 6 3");
    weight(&p, "mask", "5 6", 0);
    number(&p, "scale", 0.5f);
    test_ints(&p.onnx, test_node(&p.onnx, "Transpose", "k", "kt"), "perm", heads, 4);
    test_node(&p.onnx, "MatMul", "q kt", "a");
    test_node(&p.onnx, "Mul", "a scale", "b");
    test_node(&p.onnx, "Add", "b mask", "c");
    test_int(&p.onnx, test_node(&p.onnx, "Softmax", "c", "d"), "axis", -1);
    test_node(&p.onnx, "MatMul", "d v", "y");
    test_output(&p.onnx, "y");
    expect(&p, "Attention");
}

// Scores of four windows with a bias per head and a mask per window, which is added to them with a
// dimension of `images` in front.
static void shifted_windows(struct passing *p, const char *tokens, int64_t images, bool biased)
{
    static const int64_t heads[4] = {0, 1, 3, 2};
    const int64_t apart[5] = {images, 4 / images, 2, 5, 5}, back[4] = {4, 2, 5, 5};
    start(p);
    test_input(&p->onnx, "q", ONNX_FLOAT, tokens);
    test_input(&p->onnx, "k", ONNX_FLOAT, tokens);
    test_input(&p->onnx, "v", ONNX_FLOAT, tokens);
    weight(p, "bias", "1 2 5 5", 0);
    weight(p, "mask", images == 1 ? "1 4 1 5 5" : "1 2 1 5 5", 1);
    integers(p, "apart", apart, 5);
    integers(p, "back", back, 4);
    test_ints(&p->onnx, test_node(&p->onnx, "Transpose", "k", "kt"), "perm", heads, 4);
    test_node(&p->onnx, "MatMul", "q kt", "a");
    if (biased)
        test_node(&p->onnx, "Add", "a bias", "b");
    test_node(&p->onnx, "Reshape", biased ? "b apart" : "a apart", "c");
    test_node(&p->onnx, "Add", "c mask", "d");
    test_node(&p->onnx, "Reshape", "d back", "e");
    test_int(&p->onnx, test_node(&p->onnx, "Softmax", "e", "f"), "axis", -1);
    test_node(&p->onnx, "MatMul", "f v", "y");
    test_output(&p->onnx, "y");
}

Test(convert_passes, masks_of_windows_and_biases_of_heads_become_one)
{
    struct passing p;
    shifted_windows(&p, "4 2 5 4", 1, true);
    expect(&p, "Attention");
    shifted_windows(&p, "4 2 5 4", 1, false);
    expect(&p, "Attention");
    shifted_windows(&p, "4 2 5 4", 2, true); // two images share the masks of their windows
    expect(&p, "Transpose MatMul Add Reshape Add Reshape Softmax MatMul");
}

Test(convert_passes, attention_without_heads_gets_one_axis_more)
{
    static const int64_t turn[3] = {0, 2, 1};
    struct passing p;
    start(&p);
    test_input(&p.onnx, "q", ONNX_FLOAT, "3 5 4");
    test_input(&p.onnx, "k", ONNX_FLOAT, "3 6 4");
    test_input(&p.onnx, "v", ONNX_FLOAT, "3 6 4");
    test_ints(&p.onnx, test_node(&p.onnx, "Transpose", "k", "kt"), "perm", turn, 3);
    test_node(&p.onnx, "MatMul", "q kt", "a");
    test_int(&p.onnx, test_node(&p.onnx, "Softmax", "a", "d"), "axis", -1);
    test_node(&p.onnx, "MatMul", "d v", "y");
    test_output(&p.onnx, "y");
    expect(&p, "Unsqueeze Unsqueeze Unsqueeze Attention Squeeze");
}

// Tokens are the places of feature maps, [batch, channels, places]; rank 4 has heads besides.
static void attention_of_places(struct passing *p, bool heads, bool turned)
{
    static const int64_t turn[4] = {0, 2, 1}, turn_heads[4] = {0, 1, 3, 2};
    const int64_t *perm = heads ? turn_heads : turn;
    const size_t rank = heads ? 4 : 3;
    start(p);
    test_input(&p->onnx, "f", ONNX_FLOAT, heads ? "3 2 4 5" : "3 4 5");
    test_input(&p->onnx, "g", ONNX_FLOAT, heads ? "3 2 4 6" : "3 4 6");
    test_input(&p->onnx, "h", ONNX_FLOAT, heads ? "3 2 7 6" : "3 7 6");
    weight(p, "mask", "5 6", 0);
    number(p, "scale", 0.5f);
    test_ints(&p->onnx, test_node(&p->onnx, "Transpose", "f", "ft"), "perm", perm, rank);
    test_node(&p->onnx, "MatMul", "ft g", "a");
    test_node(&p->onnx, "Mul", "a scale", "b");
    test_node(&p->onnx, "Add", "b mask", "c");
    test_int(&p->onnx, test_node(&p->onnx, "Softmax", "c", "d"), "axis", -1);
    test_ints(&p->onnx, test_node(&p->onnx, "Transpose", turned ? "d" : "h", "t"), "perm", perm,
              rank);
    test_node(&p->onnx, "MatMul", turned ? "h t" : "d t", "y");
    test_output(&p->onnx, "y");
}

Test(convert_passes, attention_of_places_is_recognised_with_and_without_transposes)
{
    struct passing p;
    attention_of_places(&p, false, false);
    expect(&p, "Transpose Transpose Unsqueeze Transpose Unsqueeze Unsqueeze Attention Squeeze");
    attention_of_places(&p, false, true);
    expect(&p, "Transpose Unsqueeze Transpose Unsqueeze Transpose Unsqueeze Attention Squeeze "
               "Transpose");
    attention_of_places(&p, true, false);
    expect(&p, "Transpose Transpose Transpose Attention");
    attention_of_places(&p, true, true);
    expect(&p, "Transpose Transpose Transpose Attention Transpose");
}

// The weights are wanted by somebody else too, or lie along the other dimension.
Test(convert_passes, what_only_looks_like_attention_of_places_is_left_alone)
{
    static const int64_t turn[3] = {0, 2, 1};
    struct passing p;
    attention_of_places(&p, false, true);
    test_output(&p.onnx, "t");
    expect(&p, "Transpose MatMul Mul Add Softmax Transpose MatMul");
    start(&p);
    test_input(&p.onnx, "a", ONNX_FLOAT, "3 6 6");
    test_input(&p.onnx, "h", ONNX_FLOAT, "3 7 6");
    test_int(&p.onnx, test_node(&p.onnx, "Softmax", "a", "d"), "axis", 1);
    test_ints(&p.onnx, test_node(&p.onnx, "Transpose", "d", "t"), "perm", turn, 3);
    test_node(&p.onnx, "MatMul", "h t", "y");
    test_output(&p.onnx, "y");
    expect(&p, "Softmax Transpose MatMul");
}

// Places of a 4x6 map, weighted by a softmax of what a convolution makes of them (GCNet).
static void pooling_by_weights(struct passing *p, int64_t axis)
{
    static const int64_t places[4] = {2, 1, 8, 24}, weights[3] = {2, 1, 24}, column[4] = {2, 1, 24, 1};
    start(p);
    test_input(&p->onnx, "x", ONNX_FLOAT, "2 8 4 6");
    weight(p, "w", "1 8 1 1", 0);
    integers(p, "places", places, 4);
    integers(p, "weights", weights, 3);
    integers(p, "column", column, 4);
    test_node(&p->onnx, "Conv", "x w", "a");
    test_node(&p->onnx, "Reshape", "a weights", "b");
    test_int(&p->onnx, test_node(&p->onnx, "Softmax", "b", "c"), "axis", axis);
    test_node(&p->onnx, "Reshape", "c column", "d");
    test_node(&p->onnx, "Reshape", "x places", "e");
    test_node(&p->onnx, "MatMul", "e d", "y");
    test_output(&p->onnx, "y");
}

// The kind of the only site and its rows x columns, or "none".
static void expect_site(struct passing *p, const char *wanted)
{
    char text[64] = "none";
    struct convert_report report;
    test_save(&p->onnx, test_path("model.onnx"));
    struct convert_model *model = convert(p, false, &report);
    const struct graph *graph = espy_convert_model_graph(model);
    if (graph->site_count == 1)
        snprintf(text, sizeof(text), "%s %s %ux%u", graph->nodes[graph->sites[0].node].op,
                 graph->sites[0].kind, (unsigned)graph->sites[0].keys.rows,
                 (unsigned)graph->sites[0].keys.columns);
    cr_expect_str_eq(text, wanted);
    espy_convert_model_destroy(&model);
    espy_convert_report_finish(&report);
    test_model_finish(&p->onnx);
    cr_expect_eq(p->host.live_count, 0);
}

Test(convert_passes, pooling_by_weights_of_places_is_a_site)
{
    struct passing p;
    pooling_by_weights(&p, 2);
    expect_site(&p, "Softmax linear 4x6");
    pooling_by_weights(&p, 1); // along the one row, whose weights all are 1
    expect_site(&p, "none");
}

Test(convert_passes, linear_layers_become_gemm_with_their_activation)
{
    struct passing p;
    start(&p);
    test_input(&p.onnx, "x", ONNX_FLOAT, "2 3 8");
    weight(&p, "w", "8 5", 0);
    weight(&p, "b", "1 1 5", 0);
    test_node(&p.onnx, "MatMul", "x w", "a");
    test_node(&p.onnx, "Add", "b a", "c");
    test_node(&p.onnx, "Relu", "c", "y");
    test_output(&p.onnx, "y");
    expect(&p, "Reshape Gemm+Relu Reshape");
}

// ---- what changes nothing -----------------------------------------------------------------------

Test(convert_passes, nodes_that_change_nothing_go_and_names_of_outputs_stay)
{
    static const int64_t forth[3] = {2, 0, 1}, back[3] = {1, 2, 0};
    struct passing p;
    start_pointwise(&p);
    number(&p, "zero", 0);
    number(&p, "one", 1);
    test_node(&p.onnx, "Relu", "x", "a");
    test_ints(&p.onnx, test_node(&p.onnx, "Transpose", "a", "b"), "perm", forth, 3);
    test_ints(&p.onnx, test_node(&p.onnx, "Transpose", "b", "c"), "perm", back, 3);
    test_node(&p.onnx, "Add", "zero c", "d");
    test_node(&p.onnx, "Div", "d one", "e");
    test_int(&p.onnx, test_node(&p.onnx, "Cast", "e", "f"), "to", ONNX_FLOAT);
    test_node(&p.onnx, "Identity", "f", "y");
    expect(&p, "Relu");

    start_pointwise(&p); // an output that is an input, and one named twice
    test_node(&p.onnx, "Identity", "x", "y");
    test_node(&p.onnx, "Relu", "x", "z");
    test_node(&p.onnx, "Identity", "z", "zz");
    test_output(&p.onnx, "z");
    test_output(&p.onnx, "zz");
    expect(&p, "Identity Relu Identity");
}

Test(convert_passes, shape_arithmetic_is_folded_and_repeats_are_merged)
{
    static const int64_t zero[1] = {0}, rest[1] = {-1};
    struct passing p;
    start_pointwise(&p);
    integers(&p, "zero", zero, 1);
    integers(&p, "rest", rest, 1);
    test_node(&p.onnx, "Shape", "x", "s");
    test_int(&p.onnx, test_node(&p.onnx, "Gather", "s zero", "n"), "axis", 0);
    test_int(&p.onnx, test_node(&p.onnx, "Concat", "n rest", "t"), "axis", 0);
    test_node(&p.onnx, "Exp", "x", "a");
    test_node(&p.onnx, "Exp", "x", "b");
    test_node(&p.onnx, "Mul", "a b", "c");
    test_node(&p.onnx, "Reshape", "c t", "y");
    expect(&p, "Exp Mul Reshape");
}

Test(convert_passes, zero_padding_goes_into_conv)
{
    static const int64_t pads[8] = {0, 0, 1, 2, 0, 0, 0, 1};
    struct passing p;
    start(&p);
    test_input(&p.onnx, "x", ONNX_FLOAT, "1 2 5 5");
    integers(&p, "pads", pads, 8);
    weight(&p, "w", "2 2 3 3", 0);
    test_node(&p.onnx, "Pad", "x pads", "a");
    test_ints(&p.onnx, test_node(&p.onnx, "Conv", "a w", "y"), "pads", (int64_t[]){1, 1, 1, 1}, 4);
    test_output(&p.onnx, "y");
    expect(&p, "Conv");
}

Test(convert_passes, the_old_softmax_is_one_where_shapes_allow)
{
    struct passing p;
    start(&p);
    p.onnx.opset.version = 11;
    test_input(&p.onnx, "x", ONNX_FLOAT, "2 5 1 1");
    test_node(&p.onnx, "Softmax", "x", "y"); // over axis 1 and what follows
    test_output(&p.onnx, "y");
    expect(&p, "Softmax");

    start(&p);
    p.onnx.opset.version = 11;
    test_input(&p.onnx, "x", ONNX_FLOAT, "2 5 3");
    test_node(&p.onnx, "Softmax", "x", "y");
    test_output(&p.onnx, "y");
    expect(&p, "Flatten Softmax Reshape");
}

Test(convert_passes, no_more_steps_than_an_epilogue_holds)
{
    struct passing p;
    start(&p);
    test_input(&p.onnx, "x", ONNX_FLOAT, "1 2 4 4");
    weight(&p, "w", "2 2 1 1", 0);
    test_node(&p.onnx, "Conv", "x w", "a");
    static const char *const names[] = {"a", "b", "c", "d", "e", "y"};
    static const char *const ops[] = {"Relu", "Sigmoid", "Tanh", "Elu", "Abs"};
    for (size_t i = 0; i < 5; i++)
        test_node(&p.onnx, ops[i], names[i], names[i + 1]);
    test_output(&p.onnx, "y");
    expect(&p, "Conv+Relu+Sigmoid+Tanh+Elu Abs");
}

Test(convert_passes, quantized_weights_stay_quantized)
{
    static const struct {
        int64_t dims[2];
        const char *input, *wanted;
    } cases[] = {{{64, 100}, "2 64", "DequantizeLinear MatMul"}, {{8, 10}, "2 8", "MatMul"}};
    static signed char numbers[64 * 100];
    for (size_t i = 0; i < sizeof(numbers); i++)
        numbers[i] = (signed char)(i * 37 % 256 - 128);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct passing p;
        start(&p);
        test_input(&p.onnx, "x", ONNX_FLOAT, cases[i].input);
        // 3: int8
        test_initializer(&p.onnx, "q", 3, cases[i].dims, 2, numbers,
                         (size_t)(cases[i].dims[0] * cases[i].dims[1]));
        number(&p, "scale", 0.25f);
        test_node(&p.onnx, "DequantizeLinear", "q scale", "w");
        test_node(&p.onnx, "MatMul", "x w", "y");
        test_output(&p.onnx, "y");
        expect(&p, cases[i].wanted);
    }
}

// ---- weights in 16 bits -------------------------------------------------------------------------

// A layer whose 4096 weights are multiples of 2^-10 times factor, plus one more that has too few.
static void two_products(struct passing *p, float factor)
{
    static float large[64 * 64], small[64 * 4];
    const int64_t large_dims[2] = {64, 64}, small_dims[2] = {64, 4};
    for (size_t i = 0; i < 64 * 64; i++)
        large[i] = floorf(next_float(&p->seed) * 1024) * factor / 1024;
    for (size_t i = 0; i < 64 * 4; i++)
        small[i] = floorf(next_float(&p->seed) * 1024) / 1024;
    start(p);
    test_input(&p->onnx, "x", ONNX_FLOAT, "3 64");
    test_initializer(&p->onnx, "w", ONNX_FLOAT, large_dims, 2, large, sizeof(large));
    test_initializer(&p->onnx, "v", ONNX_FLOAT, small_dims, 2, small, sizeof(small));
    test_node(&p->onnx, "MatMul", "x w", "t");
    test_node(&p->onnx, "MatMul", "t v", "y");
    test_output(&p->onnx, "y");
}

Test(convert_passes, weights_that_lose_nothing_are_stored_in_16_bits)
{
    struct passing p = {.seed = 7};
    two_products(&p, 1);
    p.tolerance = 1e-12; // in other words, the same
    expect(&p, "Cast MatMul MatMul");
    two_products(&p, 1048576); // too large for float16, and bfloat16 has too few digits
    expect(&p, "MatMul MatMul");
    two_products(&p, 0.33333f);
    expect(&p, "MatMul MatMul");
}

Test(convert_passes, weights_are_rounded_where_that_is_asked)
{
    static const struct {
        espy_dtype weights;
        float factor;
        double tolerance;
        const char *wanted;
    } cases[] = {{ESPY_FLOAT16, 0.33333f, 3e-4, "Cast MatMul MatMul"}, // half of 2^-11 and less
                 {ESPY_BFLOAT16, 0.33333f, 2.4e-3, "Cast MatMul MatMul"},
                 {ESPY_FLOAT16, 1e6f, 1e-12, "MatMul MatMul"}, // out of float16's range
                 {ESPY_BFLOAT16, 1e6f, 2.4e-3, "Cast MatMul MatMul"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct passing p = {.seed = 7};
        two_products(&p, cases[i].factor);
        p.weights = cases[i].weights;
        p.tolerance = cases[i].tolerance;
        expect(&p, cases[i].wanted);
    }
}

Test(convert_passes, a_cast_of_narrow_weights_stays_narrow)
{
    static const struct {
        int32_t type, other; // of ONNX: float16, bfloat16
    } cases[] = {{10, 0x3555}, {16, 0x3eab}}; // and a third in it
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        static uint16_t bits[16 * 64 * 4];
        const int64_t dims[4] = {16, 64, 2, 2};
        struct passing p;
        start(&p);
        p.tolerance = 1e-12;
        for (size_t k = 0; k < sizeof(bits) / sizeof(bits[0]); k++)
            bits[k] = (uint16_t)(cases[i].other + (int)(k % 64));
        test_input(&p.onnx, "x", ONNX_FLOAT, "1 64 3 3");
        test_initializer(&p.onnx, "narrow", cases[i].type, dims, 4, bits, sizeof(bits));
        EspyOnnx__NodeProto *cast = test_node(&p.onnx, "Cast", "narrow", "w");
        test_int(&p.onnx, cast, "to", ONNX_FLOAT);
        test_node(&p.onnx, "Conv", "x w", "y");
        test_output(&p.onnx, "y");
        expect(&p, "Cast Conv");
    }
}
