// Goal: lists of tensors, which exporters write for split, unbind, stack and cat, become operators
// on tensors that compute the same; where that cannot be known the network is refused. Method: each
// network is written twice, with lists and with ONNX's operators on tensors, and both are evaluated
// on the same numbers.
#include "test_convert_model.h"

#include "support/compare.h"
#include "support/run_graph.h"

struct network {
    struct test_host host;
    struct test_model onnx;
};

static void start(struct network *network)
{
    memset(network, 0, sizeof(*network));
    espy_test_host_init(&network->host);
    test_model_init(&network->onnx, &network->host.host, 17);
    test_input(&network->onnx, "x", ONNX_FLOAT, "3 5 4");
    test_input(&network->onnx, "y", ONNX_FLOAT, "3 2 4");
}

static void scalar(struct network *network, const char *name, int64_t value)
{
    test_initializer(&network->onnx, name, ONNX_INT64, NULL, 0, &value, sizeof(value));
}

static void list(struct network *network, const char *name, const int64_t *values, size_t count)
{
    const int64_t dims[1] = {(int64_t)count};
    test_initializer(&network->onnx, name, ONNX_INT64, dims, 1, values, count * sizeof(*values));
}

static espy_status convert(struct network *network, bool keep_nodes, struct convert_model **model)
{
    const char *path = test_path("sequences.onnx");
    struct convert_report report;
    const struct convert_params params = {.model_path = path, .keep_nodes = keep_nodes};
    test_save(&network->onnx, path);
    espy_convert_report_init(&report, &network->host.host);
    const espy_status status = espy_convert_graph(&network->host.host, &params, &report, model);
    espy_convert_report_finish(&report);
    return status;
}

static void finish(struct network *network)
{
    test_model_finish(&network->onnx);
    cr_expect_eq(network->host.live_count, 0, "%zu allocations are left", network->host.live_count);
}

static void evaluate(struct network *network, const struct graph *graph, struct arena *arena,
                     struct tensor *outputs)
{
    struct tensor inputs[2] = {0};
    for (uint32_t i = 0; i < graph->input_count; i++) {
        const struct graph_value *value = &graph->values[graph->inputs[i].value];
        inputs[i].type = (struct op_type){value->dtype, value->shape};
        cr_assert(espy_shape_count(&value->shape, &inputs[i].count));
        inputs[i].data = espy_arena_alloc(arena, espy_tensor_size(&inputs[i]));
        for (size_t k = 0; k < inputs[i].count; k++)
            espy_tensor_set_number(&inputs[i], k, (double)(k + 100 * i));
    }
    cr_assert_eq(espy_graph_evaluate(&network->host.host, graph, inputs, arena, outputs), ESPY_OK,
                 "%s", network->host.last_error);
}

// Both networks have the same number of outputs, which are equal.
static void expect_same(const char *what, void (*with_lists)(struct network *network),
                        void (*plain)(struct network *network))
{
    for (int keep_nodes = 0; keep_nodes < 2; keep_nodes++) {
        struct network networks[2];
        struct convert_model *models[2] = {NULL, NULL};
        struct tensor outputs[2][4] = {{{.data = NULL}}};
        struct arena arena;
        for (int i = 0; i < 2; i++) {
            start(&networks[i]);
            (i == 0 ? with_lists : plain)(&networks[i]);
            cr_assert_eq(convert(&networks[i], keep_nodes != 0, &models[i]), ESPY_OK, "%s: %s",
                         what, networks[i].host.last_error);
        }
        espy_arena_init(&arena, &networks[0].host.host);
        for (int i = 0; i < 2; i++)
            evaluate(&networks[i], espy_convert_model_graph(models[i]), &arena, outputs[i]);
        const uint32_t count = espy_convert_model_graph(models[0])->output_count;
        cr_assert_eq(count, espy_convert_model_graph(models[1])->output_count);
        for (uint32_t o = 0; o < count; o++) {
            struct comparison result;
            cr_assert(espy_shape_equal(&outputs[0][o].type.shape, &outputs[1][o].type.shape),
                      "%s: shape of output %u", what, o);
            espy_test_compare(&outputs[0][o], &outputs[1][o], &result);
            cr_expect(espy_test_close(&result, 0), "%s: output %u", what, o);
        }
        espy_arena_finish(&arena);
        for (int i = 0; i < 2; i++) {
            espy_convert_model_destroy(&models[i]);
            finish(&networks[i]);
        }
    }
}

// ---- split --------------------------------------------------------------------------------------

static void unbind_lists(struct network *n)
{
    EspyOnnx__NodeProto *split = test_node(&n->onnx, "SplitToSequence", "x", "parts");
    test_int(&n->onnx, split, "axis", 1);
    test_int(&n->onnx, split, "keepdims", 0);
    scalar(n, "first", 0);
    scalar(n, "last", -1);
    test_node(&n->onnx, "SequenceAt", "parts first", "a");
    test_node(&n->onnx, "SequenceAt", "parts last", "b");
    test_output(&n->onnx, "a");
    test_output(&n->onnx, "b");
}

static void unbind_plain(struct network *n)
{
    scalar(n, "first", 0);
    scalar(n, "last", 4);
    test_int(&n->onnx, test_node(&n->onnx, "Gather", "x first", "a"), "axis", 1);
    test_int(&n->onnx, test_node(&n->onnx, "Gather", "x last", "b"), "axis", 1);
    test_output(&n->onnx, "a");
    test_output(&n->onnx, "b");
}

Test(convert_sequences, rows_of_a_tensor_are_taken_from_either_end)
{
    expect_same("unbind", unbind_lists, unbind_plain);
}

// Parts of 2, 2 and 1 along axis 1, by one length and by a list of them.
static void chunk_lists(struct network *n)
{
    static const int64_t lengths[3] = {2, 2, 1};
    scalar(n, "two", 2);
    list(n, "lengths", lengths, 3);
    test_int(&n->onnx, test_node(&n->onnx, "SplitToSequence", "x two", "chunks"), "axis", 1);
    test_int(&n->onnx, test_node(&n->onnx, "SplitToSequence", "x lengths", "parts"), "axis", -2);
    scalar(n, "second", 1);
    scalar(n, "last", -1);
    test_node(&n->onnx, "SequenceAt", "chunks second", "a");
    test_node(&n->onnx, "SequenceAt", "chunks last", "b");
    test_node(&n->onnx, "SequenceAt", "parts second", "c");
    test_node(&n->onnx, "SequenceAt", "parts last", "d");
    for (const char *name = "a\0b\0c\0d\0"; *name != '\0'; name += 2)
        test_output(&n->onnx, name);
}

static void chunk_plain(struct network *n)
{
    static const int64_t lengths[3] = {2, 2, 1};
    list(n, "lengths", lengths, 3);
    test_int(&n->onnx, test_node(&n->onnx, "Split", "x lengths", "unused a b"), "axis", 1);
    test_node(&n->onnx, "Identity", "a", "c");
    test_node(&n->onnx, "Identity", "b", "d");
    for (const char *name = "a\0b\0c\0d\0"; *name != '\0'; name += 2)
        test_output(&n->onnx, name);
}

Test(convert_sequences, chunks_are_slices)
{
    expect_same("chunk", chunk_lists, chunk_plain);
}

// ---- cat and stack ------------------------------------------------------------------------------

static void cat_lists(struct network *n)
{
    EspyOnnx__NodeProto *stack;
    test_node(&n->onnx, "SequenceConstruct", "x y x", "all");
    test_int(&n->onnx, test_node(&n->onnx, "ConcatFromSequence", "all", "a"), "axis", 1);
    test_node(&n->onnx, "SequenceConstruct", "x x", "pair");
    stack = test_node(&n->onnx, "ConcatFromSequence", "pair", "b");
    test_int(&n->onnx, stack, "axis", -1);
    test_int(&n->onnx, stack, "new_axis", 1);
    test_node(&n->onnx, "SequenceLength", "all", "count");
    test_output(&n->onnx, "a");
    test_output(&n->onnx, "b");
    test_output(&n->onnx, "count");
}

static void cat_plain(struct network *n)
{
    static const int64_t last[1] = {3};
    list(n, "axes", last, 1);
    scalar(n, "three", 3);
    test_int(&n->onnx, test_node(&n->onnx, "Concat", "x y x", "a"), "axis", 1);
    test_node(&n->onnx, "Unsqueeze", "x axes", "row");
    test_int(&n->onnx, test_node(&n->onnx, "Concat", "row row", "b"), "axis", 3);
    test_node(&n->onnx, "Identity", "three", "count");
    test_output(&n->onnx, "a");
    test_output(&n->onnx, "b");
    test_output(&n->onnx, "count");
}

Test(convert_sequences, lists_are_joined_along_an_axis_or_a_new_one)
{
    expect_same("cat", cat_lists, cat_plain);
}

// Built up and cut down, then joined with the parts of a split.
static void built_lists(struct network *n)
{
    scalar(n, "zero", 0);
    test_node(&n->onnx, "SequenceEmpty", "", "none");
    test_node(&n->onnx, "SequenceInsert", "none x", "one");
    test_node(&n->onnx, "SequenceInsert", "one y zero", "two"); // y x
    test_node(&n->onnx, "Identity", "two", "same");
    test_node(&n->onnx, "SequenceInsert", "same y", "three");   // y x y
    test_node(&n->onnx, "SequenceErase", "three zero", "left"); // x y
    test_int(&n->onnx, test_node(&n->onnx, "ConcatFromSequence", "left", "a"), "axis", 1);
    test_int(&n->onnx, test_node(&n->onnx, "SplitToSequence", "x", "rows"), "axis", 1);
    test_node(&n->onnx, "SequenceErase", "rows zero", "later");
    test_int(&n->onnx, test_node(&n->onnx, "ConcatFromSequence", "later", "b"), "axis", 1);
    test_output(&n->onnx, "a");
    test_output(&n->onnx, "b");
}

static void built_plain(struct network *n)
{
    static const int64_t one[1] = {1}, five[1] = {5};
    list(n, "start", one, 1);
    list(n, "end", five, 1);
    test_int(&n->onnx, test_node(&n->onnx, "Concat", "x y", "a"), "axis", 1);
    test_node(&n->onnx, "Slice", "x start end start", "b"); // axis 1 too
    test_output(&n->onnx, "a");
    test_output(&n->onnx, "b");
}

Test(convert_sequences, lists_that_are_built_up_are_followed)
{
    expect_same("built", built_lists, built_plain);
}

// ---- what is not known --------------------------------------------------------------------------

Test(convert_sequences, a_position_that_only_a_run_knows_is_refused)
{
    struct network network;
    struct convert_model *model = NULL;
    start(&network);
    test_input(&network.onnx, "position", ONNX_INT64, "");
    test_node(&network.onnx, "SequenceConstruct", "x y", "all");
    test_node(&network.onnx, "SequenceAt", "all position", "a");
    test_output(&network.onnx, "a");
    cr_expect_eq(convert(&network, false, &model), ESPY_UNSUPPORTED);
    cr_expect_eq(network.host.error_count, 1);
    finish(&network);
}

// Nothing here is as ONNX has it; it must be refused, not followed.
Test(convert_sequences, lists_that_make_no_sense_are_refused)
{
    static const char *const nodes[][3] = {
        {"SequenceAt", "x zero", "a"},        {"SequenceAt", "empty zero", "a"},
        {"SequenceAt", "pair far", "a"},      {"SequenceAt", "pair", "a"},
        {"ConcatFromSequence", "empty", "a"}, {"ConcatFromSequence", "bad", "a"},
        {"SequenceLength", "x", "a"}};
    for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
        struct network network;
        struct convert_model *model = NULL;
        start(&network);
        scalar(&network, "zero", 0);
        scalar(&network, "far", -3);
        test_node(&network.onnx, "SequenceEmpty", "", "empty");
        test_node(&network.onnx, "SequenceConstruct", "x y", "pair");
        test_node(&network.onnx, "SequenceErase", "pair far", "bad");
        test_node(&network.onnx, nodes[i][0], nodes[i][1], nodes[i][2]);
        test_output(&network.onnx, "a");
        cr_expect_neq(convert(&network, false, &model), ESPY_OK, "%s %s", nodes[i][0], nodes[i][1]);
        cr_expect_eq(network.host.error_count, 1, "%s %s", nodes[i][0], nodes[i][1]);
        finish(&network);
    }
}
