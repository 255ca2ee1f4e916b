// Goal: If, Loop and Scan of ONNX files compute what ONNX says, whether the converter writes their
// bodies out or leaves them to the run; names reach where ONNX lets them. Method: models built here
// field by field, through the references, against numbers worked out by hand.

#include "test_convert_model.h"

#include "format/format.h"
#include "op/op.h"

enum { ONNX_GRAPH = 5 };

struct conversion {
    struct test_host host;
    struct test_model onnx, bodies[4];
    struct convert_report report;
    struct convert_model *model;
    struct arena arena;
};

static void start(struct conversion *c, int64_t opset)
{
    memset(c, 0, sizeof(*c));
    espy_test_host_init(&c->host);
    espy_arena_init(&c->arena, &c->host.host);
    test_model_init(&c->onnx, &c->host.host, opset);
    for (int i = 0; i < 4; i++)
        test_model_init(&c->bodies[i], &c->host.host, opset);
}

static void set_body(struct conversion *c, EspyOnnx__NodeProto *node, const char *name, int body)
{
    test_attribute(&c->onnx, node, name, ONNX_GRAPH)->g = &c->bodies[body].graph;
}

static void convert(struct conversion *c)
{
    const struct convert_params params = {.model_path = test_path("model.onnx")};
    test_save(&c->onnx, params.model_path);
    espy_convert_report_init(&c->report, &c->host.host);
    cr_assert_eq(espy_convert_graph(&c->host.host, &params, &c->report, &c->model), ESPY_OK, "%s",
                 c->host.last_error);
}

static void finish(struct conversion *c)
{
    espy_arena_finish(&c->arena);
    espy_convert_model_destroy(&c->model);
    espy_convert_report_finish(&c->report);
    for (int i = 0; i < 4; i++)
        test_model_finish(&c->bodies[i]);
    test_model_finish(&c->onnx);
    cr_expect_eq(c->host.live_count, 0, "%zu allocations are left", c->host.live_count);
}

static struct tensor vector(float *numbers, int64_t count)
{
    return (struct tensor){{ESPY_FLOAT32, {1, {count}}}, (size_t)count, numbers};
}

static struct tensor number(int64_t *integer)
{
    return (struct tensor){{ESPY_INT64, {0, {0}}}, 1, integer};
}

// Runs the converted graph, and once more as the file has it, and compares output o.
static void expect(struct conversion *c, const struct tensor *inputs, uint32_t o,
                   const double *wanted, size_t count)
{
    const struct graph *converted = espy_convert_model_graph(c->model);
    struct tensor outputs[8];
    struct graph read;
    void *bytes;
    size_t size;
    cr_assert_eq(espy_format_write(&c->host.host, converted, &bytes, &size), ESPY_OK, "%s",
                 c->host.last_error);
    unsigned char *aligned = aligned_alloc(64, (size + 63) / 64 * 64);
    cr_assert_not_null(aligned);
    memcpy(aligned, bytes, size);
    espy_free(&c->host.host, bytes);
    cr_assert_eq(espy_format_read(&c->host.host, "m", aligned, size, &read), ESPY_OK, "%s",
                 c->host.last_error);
    const struct graph *graphs[2] = {converted, &read};
    for (int g = 0; g < 2; g++) {
        cr_assert_eq(espy_graph_evaluate(&c->host.host, graphs[g], inputs, &c->arena, outputs),
                     ESPY_OK, "%s", c->host.last_error);
        cr_assert_eq(outputs[o].count, count, "%zu elements", outputs[o].count);
        for (size_t i = 0; i < count; i++)
            cr_expect_float_eq(espy_tensor_number(&outputs[o], i), wanted[i], 1e-6,
                               "output %u, element %zu: %g, not %g", (unsigned)o, i,
                               espy_tensor_number(&outputs[o], i), wanted[i]);
    }
    espy_graph_finish(&read);
    free(aligned);
}

static uint32_t count_nodes(const struct conversion *c, const char *op)
{
    const struct graph *graph = espy_convert_model_graph(c->model);
    uint32_t count = 0;
    for (uint32_t n = 0; n < graph->node_count; n++)
        count += strcmp(graph->nodes[n].op, op) == 0;
    return count;
}

// s = s * w + x, w a weight and x an input of the network; collects s.
static void make_step(struct conversion *c, int body)
{
    struct test_model *m = &c->bodies[body];
    test_input(m, "i", ONNX_INT64, "");
    test_input(m, "go", ONNX_BOOL, "");
    test_input(m, "s", ONNX_FLOAT, "2");
    test_node(m, "Mul", "s w", "sw");
    test_node(m, "Add", "sw x", "t");
    test_output(m, "go");
    test_output(m, "t");
    test_output(m, "t");
}

static void make_loop(struct conversion *c, bool constant_count)
{
    const float w[2] = {2, 3};
    const int64_t three = 3, two_dims[1] = {2};
    start(c, 16);
    test_initializer(&c->onnx, "w", ONNX_FLOAT, two_dims, 1, w, sizeof(w));
    if (constant_count)
        test_initializer(&c->onnx, "n", ONNX_INT64, NULL, 0, &three, sizeof(three));
    else
        test_input(&c->onnx, "n", ONNX_INT64, "");
    test_input(&c->onnx, "x", ONNX_FLOAT, "2");
    make_step(c, 0);
    set_body(c, test_node(&c->onnx, "Loop", "n - x", "y all"), "body", 0);
    test_node(&c->onnx, "Mul", "y w", "z");
    test_output(&c->onnx, "z");
    test_output(&c->onnx, "all");
    c->onnx.outputs[1] = test_value(&c->onnx, "all", ONNX_FLOAT, "? 2");
    convert(c);
}

// From (1, 1): 3, 4; 7, 13; 15, 40. The last times w: 30, 120.
static const double loop_last[2] = {30, 120}, loop_all[6] = {3, 4, 7, 13, 15, 40};

Test(convert_control, a_loop_of_known_trips_is_written_out)
{
    struct conversion c;
    float x[2] = {1, 1};
    make_loop(&c, true);
    cr_expect_eq(count_nodes(&c, "Loop"), 0);
    cr_expect_eq(espy_convert_model_graph(c.model)->body_count, 0);
    cr_expect_eq(c.report.counts.bodies, 3);
    const struct tensor inputs[1] = {vector(x, 2)};
    expect(&c, inputs, 0, loop_last, 2);
    expect(&c, inputs, 1, loop_all, 6);
    finish(&c);
}

// A list goes around a loop that appends element i of x to it, as torch writes tensor_split.
static void make_list(struct conversion *c, bool constant_count)
{
    const int64_t two = 2, one = 1;
    static EspyOnnx__TypeProto__Sequence sequence = ESPY_ONNX__TYPE_PROTO__SEQUENCE__INIT;
    start(c, 17);
    if (constant_count)
        test_initializer(&c->onnx, "n", ONNX_INT64, NULL, 0, &two, sizeof(two));
    else
        test_input(&c->onnx, "n", ONNX_INT64, "");
    test_initializer(&c->onnx, "one", ONNX_INT64, NULL, 0, &one, sizeof(one));
    test_input(&c->onnx, "x", ONNX_FLOAT, "3");
    struct test_model *m = &c->bodies[0];
    test_input(m, "i", ONNX_INT64, "");
    test_input(m, "go", ONNX_BOOL, "");
    test_input(m, "before", ONNX_FLOAT, "");
    m->inputs[2]->type->tensor_type = NULL;
    m->inputs[2]->type->sequence_type = &sequence;
    test_node(m, "Gather", "x i", "element");
    test_node(m, "SequenceInsert", "before element", "after");
    test_output(m, "go");
    test_output(m, "after");
    test_node(&c->onnx, "SequenceEmpty", "", "none");
    set_body(c, test_node(&c->onnx, "Loop", "n - none", "list"), "body", 0);
    test_node(&c->onnx, "SequenceAt", "list one", "y");
    test_output(&c->onnx, "y");
}

Test(convert_control, a_list_may_go_around_a_loop_that_is_written_out)
{
    struct conversion c;
    float x[3] = {5, 7, 9};
    make_list(&c, true);
    convert(&c);
    cr_expect_eq(count_nodes(&c, "Loop"), 0);
    const struct tensor inputs[1] = {vector(x, 3)};
    expect(&c, inputs, 0, (const double[]){7}, 1);
    finish(&c);
}

Test(convert_control, a_list_around_a_loop_of_unknown_trips_is_refused)
{
    struct conversion c;
    make_list(&c, false);
    const struct convert_params params = {.model_path = test_path("model.onnx")};
    test_save(&c.onnx, params.model_path);
    espy_convert_report_init(&c.report, &c.host.host);
    cr_expect_eq(espy_convert_graph(&c.host.host, &params, &c.report, &c.model), ESPY_UNSUPPORTED);
    cr_expect_neq(strstr(c.host.last_error, "Sequence"), NULL, "%s", c.host.last_error);
    finish(&c);
}

Test(convert_control, a_loop_of_unknown_trips_stays_and_shares_its_weights)
{
    struct conversion c;
    float x[2] = {1, 1};
    int64_t n = 3;
    make_loop(&c, false);
    const struct graph *graph = espy_convert_model_graph(c.model);
    cr_assert_eq(count_nodes(&c, "Loop"), 1);
    cr_assert_eq(graph->body_count, 1);
    const struct graph *body = graph->bodies[0];
    const void *weights = NULL, *shared = NULL;
    for (uint32_t v = 0; v < graph->value_count; v++)
        if (strcmp(graph->values[v].name, "w") == 0)
            weights = graph->values[v].data;
    for (uint32_t v = 0; v < body->value_count; v++)
        if (strcmp(body->values[v].name, "w") == 0)
            shared = body->values[v].data;
    cr_expect_not_null(weights);
    cr_expect_eq(weights, shared, "the body has a copy of its own");
    const struct tensor inputs[2] = {number(&n), vector(x, 2)};
    expect(&c, inputs, 0, loop_last, 2);
    expect(&c, inputs, 1, loop_all, 6);
    n = 0;
    expect(&c, inputs, 0, (double[]){2, 3}, 2);
    finish(&c);
}

Test(convert_control, a_condition_that_the_body_computes_keeps_the_loop)
{
    struct conversion c;
    const float limit = 10, one = 1;
    const int64_t many = INT64_MAX;
    const unsigned char yes = 1;
    float x[1] = {1};
    start(&c, 16);
    test_initializer(&c.onnx, "limit", ONNX_FLOAT, NULL, 0, &limit, sizeof(limit));
    test_initializer(&c.onnx, "many", ONNX_INT64, NULL, 0, &many, sizeof(many));
    test_initializer(&c.onnx, "yes", ONNX_BOOL, NULL, 0, &yes, 1);
    test_input(&c.onnx, "x", ONNX_FLOAT, "1");
    test_input(&c.bodies[0], "i", ONNX_INT64, "");
    test_input(&c.bodies[0], "go", ONNX_BOOL, "");
    test_input(&c.bodies[0], "s", ONNX_FLOAT, "1");
    test_initializer(&c.bodies[0], "one", ONNX_FLOAT, NULL, 0, &one, sizeof(one));
    test_node(&c.bodies[0], "Add", "s s", "d");
    test_node(&c.bodies[0], "Add", "d one", "t");
    test_node(&c.bodies[0], "Less", "t limit", "less");
    test_node(&c.bodies[0], "Squeeze", "less", "more");
    test_output(&c.bodies[0], "more");
    test_output(&c.bodies[0], "t");
    set_body(&c, test_node(&c.onnx, "Loop", "many yes x", "y"), "body", 0);
    test_output(&c.onnx, "y");
    convert(&c);
    cr_expect_eq(count_nodes(&c, "Loop"), 1);
    const struct tensor inputs[1] = {vector(x, 1)};
    expect(&c, inputs, 0, (double[]){15}, 1); // 1, 3, 7, 15
    finish(&c);
}

// An If in a Loop uses names of the loop's body and of the network around that.
Test(convert_control, names_reach_through_all_bodies_around)
{
    struct conversion c;
    float x[2] = {1, -2}, k[2] = {10, 20};
    int64_t n = 2;
    start(&c, 16);
    test_input(&c.onnx, "n", ONNX_INT64, "");
    test_input(&c.onnx, "x", ONNX_FLOAT, "2");
    test_input(&c.onnx, "k", ONNX_FLOAT, "2");
    test_node(&c.onnx, "Neg", "k", "minus");
    struct test_model *loop = &c.bodies[0];
    const int64_t zero = 0;
    test_input(loop, "i", ONNX_INT64, "");
    test_input(loop, "go", ONNX_BOOL, "");
    test_input(loop, "s", ONNX_FLOAT, "2");
    test_initializer(loop, "zero", ONNX_INT64, NULL, 0, &zero, sizeof(zero));
    test_node(loop, "Equal", "i zero", "first");
    EspyOnnx__NodeProto *choice = test_node(loop, "If", "first", "t");
    test_attribute(loop, choice, "then_branch", ONNX_GRAPH)->g = &c.bodies[1].graph;
    test_attribute(loop, choice, "else_branch", ONNX_GRAPH)->g = &c.bodies[2].graph;
    test_output(loop, "go");
    test_output(loop, "t");
    test_node(&c.bodies[1], "Add", "s minus", "r"); // s of the loop, minus of the network
    test_output(&c.bodies[1], "r");
    test_output(&c.bodies[2], "x"); // of the network, as it is
    set_body(&c, test_node(&c.onnx, "Loop", "n - x", "y"), "body", 0);
    test_output(&c.onnx, "y");
    convert(&c);
    cr_expect_eq(espy_convert_model_graph(c.model)->body_count, 3);
    const struct tensor inputs[3] = {number(&n), vector(x, 2), vector(k, 2)};
    n = 1;
    expect(&c, inputs, 0, (double[]){-9, -22}, 2);
    n = 2;
    expect(&c, inputs, 0, (double[]){1, -2}, 2);
    finish(&c);
}

// What makes a name inside of a body hides the one around it.
Test(convert_control, a_body_may_use_a_name_of_the_network_again)
{
    struct conversion c;
    float x[2] = {1, 2};
    int64_t n = 1;
    start(&c, 16);
    test_input(&c.onnx, "n", ONNX_INT64, "");
    test_input(&c.onnx, "x", ONNX_FLOAT, "2");
    test_node(&c.onnx, "Neg", "x", "t");
    test_input(&c.bodies[0], "i", ONNX_INT64, "");
    test_input(&c.bodies[0], "go", ONNX_BOOL, "");
    test_input(&c.bodies[0], "x", ONNX_FLOAT, "2");
    test_node(&c.bodies[0], "Add", "x x", "t");
    test_output(&c.bodies[0], "go");
    test_output(&c.bodies[0], "t");
    set_body(&c, test_node(&c.onnx, "Loop", "n - t", "y"), "body", 0);
    test_node(&c.onnx, "Sub", "y t", "z");
    test_output(&c.onnx, "z");
    convert(&c);
    const struct tensor inputs[2] = {number(&n), vector(x, 2)};
    expect(&c, inputs, 0, (double[]){-1, -2}, 2);
    finish(&c);
}

static void make_scan(struct conversion *c, const char *dims, int64_t opset)
{
    start(c, opset);
    const bool batched = opset < 9;
    test_input(&c->onnx, "s0", ONNX_FLOAT, batched ? "1 2" : "2");
    test_input(&c->onnx, "x", ONNX_FLOAT, dims);
    test_input(&c->bodies[0], "s", ONNX_FLOAT, "2");
    test_input(&c->bodies[0], "e", ONNX_FLOAT, "2");
    test_node(&c->bodies[0], "Sub", "s e", "t");
    test_node(&c->bodies[0], "Identity", "t", "u");
    test_output(&c->bodies[0], "t");
    test_output(&c->bodies[0], "u");
    EspyOnnx__NodeProto *node = test_node(&c->onnx, "Scan", batched ? "- s0 x" : "s0 x", "y all");
    test_int(&c->onnx, node, "num_scan_inputs", 1);
    test_ints(&c->onnx, node, batched ? "directions" : "scan_input_directions", (int64_t[]){1}, 1);
    set_body(c, node, "body", 0);
    test_output(&c->onnx, "y");
    test_output(&c->onnx, "all");
    convert(c);
}

// Backwards over (1, 2), (10, 20), (100, 200), from zero.
static const double scan_last[2] = {-111, -222}, scan_all[6] = {-100, -200, -110, -220, -111, -222};

Test(convert_control, a_scan_is_written_out_where_its_length_is_known)
{
    float s[2] = {0, 0}, x[6] = {1, 2, 10, 20, 100, 200};
    for (int known = 0; known < 2; known++) {
        struct conversion c;
        make_scan(&c, known ? "3 2" : "t 2", 16);
        cr_expect_eq(count_nodes(&c, "Scan"), known ? 0 : 1);
        const struct tensor inputs[2] = {vector(s, 2), {{ESPY_FLOAT32, {2, {3, 2}}}, 6, x}};
        expect(&c, inputs, 0, scan_last, 2);
        expect(&c, inputs, 1, scan_all, 6);
        finish(&c);
    }
}

Test(convert_control, a_scan_of_opset_8_has_a_batch)
{
    float s[2] = {0, 0}, x[6] = {1, 2, 10, 20, 100, 200};
    struct conversion c;
    make_scan(&c, "1 t 2", 8);
    const struct tensor inputs[2] = {{{ESPY_FLOAT32, {2, {1, 2}}}, 2, s},
                                     {{ESPY_FLOAT32, {3, {1, 3, 2}}}, 6, x}};
    expect(&c, inputs, 0, scan_last, 2);
    expect(&c, inputs, 1, scan_all, 6);
    finish(&c);
}

Test(convert_control, what_is_not_supported_in_a_body_is_listed)
{
    struct conversion c;
    const struct convert_params params = {.model_path = test_path("model.onnx")};
    start(&c, 16);
    test_input(&c.onnx, "n", ONNX_INT64, "");
    test_input(&c.onnx, "x", ONNX_FLOAT, "2");
    test_input(&c.bodies[0], "i", ONNX_INT64, "");
    test_input(&c.bodies[0], "go", ONNX_BOOL, "");
    test_input(&c.bodies[0], "s", ONNX_FLOAT, "2");
    test_node(&c.bodies[0], "NoSuchOperator", "s", "t")->name = "inside";
    test_output(&c.bodies[0], "go");
    test_output(&c.bodies[0], "t");
    set_body(&c, test_node(&c.onnx, "Loop", "n - x", "y"), "body", 0);
    test_output(&c.onnx, "y");
    test_save(&c.onnx, params.model_path);
    espy_convert_report_init(&c.report, &c.host.host);
    cr_expect_eq(espy_convert_graph(&c.host.host, &params, &c.report, &c.model), ESPY_UNSUPPORTED);
    cr_assert_eq(c.report.problem_count, 1);
    cr_expect_str_eq(c.report.problems[0].node, "inside");
    finish(&c);
}

// Bodies in bodies are as deep as ONNX's parser lets them be; the importer has its own limit.
Test(convert_control, attributes_that_are_graphs_cannot_overflow_a_node)
{
    struct conversion c;
    const struct convert_params params = {.model_path = test_path("model.onnx")};
    start(&c, 16);
    test_input(&c.onnx, "n", ONNX_INT64, "");
    test_input(&c.onnx, "x", ONNX_FLOAT, "2");
    make_step(&c, 0);
    EspyOnnx__NodeProto *node = test_node(&c.onnx, "Loop", "n - x", "y");
    for (int i = 0; i < 8; i++)
        set_body(&c, node, "body", 0);
    test_output(&c.onnx, "y");
    test_save(&c.onnx, params.model_path);
    espy_convert_report_init(&c.report, &c.host.host);
    cr_expect_neq(espy_convert_graph(&c.host.host, &params, &c.report, &c.model), ESPY_OK);
    finish(&c);
}
