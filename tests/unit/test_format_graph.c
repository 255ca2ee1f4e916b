// Goal: graphs in memory are built, pruned, sorted and checked as graph.h says. Method: small
// graphs made by hand; what the reader cannot produce (bad indices, NULL names, two makers) is
// broken in memory, and each breach must be refused with one line.
#define _POSIX_C_SOURCE 200809L

#include "test_format_watch.h"

#include <math.h>

// x -> Relu -> a; a, w -> MatMul -> b (output); x -> Neg -> unused
struct example {
    struct watch watch;
    struct graph graph;
    uint32_t x, w, a, b, unused;
};

static espy_status add_node(struct graph *graph, const char *op, uint32_t first, uint32_t second,
                            uint32_t output)
{
    const uint32_t inputs[] = {first, second};
    struct graph_node *node;
    return espy_graph_add_node(graph, op, op, inputs, second == GRAPH_NONE ? 1 : 2, &output, 1,
                               &node);
}

static espy_status build(struct example *example)
{
    static const float weights[4] = {1, 2, 3, 4};
    struct graph *graph = &example->graph;
    const struct shape square = {2, {2, 2}};
    espy_graph_init(graph, &example->watch.host);
    TRY(espy_graph_add_value(graph, "x", &example->x));
    TRY(espy_graph_add_value(graph, "unused", &example->unused));
    TRY(espy_graph_add_constant(graph, "w", ESPY_FLOAT32, &square, weights, sizeof(weights),
                                &example->w));
    TRY(espy_graph_add_value(graph, "a", &example->a));
    TRY(espy_graph_add_value(graph, "b", &example->b));
    graph->values[example->x].dtype = ESPY_FLOAT32;
    graph->values[example->x].has_shape = true;
    graph->values[example->x].shape = (struct shape){2, {-1, 2}};
    TRY(espy_graph_set_symbol(graph, &graph->values[example->x], 0, "n"));
    TRY(add_node(graph, "Neg", example->x, GRAPH_NONE, example->unused));
    TRY(add_node(graph, "Relu", example->x, GRAPH_NONE, example->a));
    TRY(add_node(graph, "MatMul", example->a, example->w, example->b));
    graph->inputs = espy_arena_array(&graph->arena, 1, sizeof(*graph->inputs));
    graph->outputs = espy_arena_array(&graph->arena, 1, sizeof(*graph->outputs));
    if (graph->inputs == NULL || graph->outputs == NULL)
        return ESPY_OUT_OF_MEMORY;
    graph->inputs[0].value = example->x;
    graph->outputs[0].value = example->b;
    graph->input_count = graph->output_count = 1;
    return ESPY_OK;
}

static void start(struct example *example)
{
    watch_init(&example->watch);
    cr_assert_eq(build(example), ESPY_OK);
    cr_assert_eq(espy_graph_check(&example->graph), ESPY_OK, "%s", example->watch.last);
}

static void finish(struct example *example)
{
    espy_graph_finish(&example->graph);
    cr_expect_eq(example->watch.live, 0);
}

// ---- builders -----------------------------------------------------------------------------------

Test(format_graph, attributes_are_set_replaced_found_and_removed)
{
    struct example example;
    start(&example);
    struct graph *graph = &example.graph;
    struct graph_node *node = &graph->nodes[2];
    double pair[] = {1, 2};
    const char *words[] = {"one", "two"};
    cr_expect_null(espy_graph_find_attr(node, "a"));
    cr_assert_eq(espy_graph_set_number(graph, node, "a", 1), ESPY_OK);
    cr_assert_eq(espy_graph_set_numbers(graph, node, "b", pair, 2), ESPY_OK);
    cr_assert_eq(espy_graph_set_string(graph, node, "c", "s"), ESPY_OK);
    cr_assert_eq(espy_graph_set_strings(graph, node, "d", words, 2), ESPY_OK);
    cr_assert_eq(espy_graph_set_strings(graph, node, "e", NULL, 0), ESPY_OK);
    pair[1] = 9;
    words[1] = "nine";
    cr_expect_eq(node->attr_count, 5);
    cr_expect(espy_graph_find_attr(node, "b")->numbers[1] == 2);
    cr_expect_str_eq(espy_graph_find_attr(node, "d")->strings[1], "two");
    cr_expect_eq(espy_graph_find_attr(node, "e")->type, GRAPH_ATTR_NUMBERS);
    cr_assert_eq(espy_graph_set_string(graph, node, "a", "now text"), ESPY_OK);
    cr_expect_eq(node->attr_count, 5);
    cr_expect_eq(espy_graph_find_attr(node, "a")->type, GRAPH_ATTR_STRING);
    espy_graph_remove_attr(node, "b");
    espy_graph_remove_attr(node, "b");
    cr_expect_eq(node->attr_count, 4);
    cr_expect_null(espy_graph_find_attr(node, "b"));
    cr_expect_str_eq(node->attrs[1].name, "c");
    cr_expect_eq(espy_graph_check(graph), ESPY_OK);
    finish(&example);
}

Test(format_graph, steps_are_added_in_order)
{
    struct example example;
    start(&example);
    const char *const names[] = {"min", "max"};
    const double numbers[] = {0, 6};
    struct graph_node *node = &example.graph.nodes[1];
    cr_assert_eq(espy_graph_add_step(&example.graph, node, "Clip", names, numbers, 2), ESPY_OK);
    cr_assert_eq(espy_graph_add_step(&example.graph, node, "Neg", NULL, NULL, 0), ESPY_OK);
    cr_expect_eq(node->step_count, 2);
    cr_expect_str_eq(node->steps[0].attrs[1].name, "max");
    cr_expect(node->steps[0].attrs[1].numbers[0] == 6);
    cr_expect_str_eq(node->steps[1].op, "Neg");
    cr_expect_eq(espy_graph_check(&example.graph), ESPY_OK);
    finish(&example);
}

Test(format_graph, values_and_nodes_grow_past_any_first_room)
{
    struct example example;
    start(&example);
    uint32_t last = example.b;
    for (uint32_t i = 0; i < 1000; i++) {
        char name[16];
        uint32_t next;
        struct graph_node *node;
        snprintf(name, sizeof(name), "v%u", (unsigned)i);
        cr_assert_eq(espy_graph_add_value(&example.graph, name, &next), ESPY_OK);
        cr_assert_eq(espy_graph_add_node(&example.graph, "Neg", name, &last, 1, &next, 1, &node),
                     ESPY_OK);
        last = next;
    }
    example.graph.outputs[0].value = last;
    cr_expect_eq(espy_graph_check(&example.graph), ESPY_OK, "%s", example.watch.last);
    cr_expect_eq(espy_graph_prune(&example.graph), ESPY_OK);
    cr_expect_eq(example.graph.node_count, 1002);
    finish(&example);
}

// ---- prune and sort -----------------------------------------------------------------------------

Test(format_graph, prune_drops_what_no_output_needs_and_keeps_the_order)
{
    struct example example;
    start(&example);
    struct graph *graph = &example.graph;
    cr_assert_eq(espy_graph_prune(graph), ESPY_OK);
    cr_expect_eq(graph->node_count, 2);
    cr_expect_str_eq(graph->nodes[0].op, "Relu");
    cr_expect_str_eq(graph->nodes[1].op, "MatMul");
    cr_expect_eq(graph->value_count, 4);
    cr_expect_str_eq(graph->values[graph->nodes[1].inputs[1]].name, "w");
    cr_expect_str_eq(graph->values[graph->outputs[0].value].name, "b");
    cr_expect_eq(espy_graph_check(graph), ESPY_OK, "%s", example.watch.last);
    // An input stays although nobody uses it.
    graph->outputs[0].value = graph->nodes[1].inputs[1];
    cr_assert_eq(espy_graph_prune(graph), ESPY_OK);
    cr_expect_eq(graph->node_count, 0);
    cr_expect_eq(graph->value_count, 2);
    cr_expect_eq(espy_graph_check(graph), ESPY_OK, "%s", example.watch.last);
    cr_expect_eq(espy_graph_sort(graph), ESPY_OK);
    finish(&example);
}

Test(format_graph, sort_puts_makers_first_and_leaves_a_sorted_graph_alone)
{
    struct example example;
    start(&example);
    struct graph *graph = &example.graph;
    cr_assert_eq(espy_graph_sort(graph), ESPY_OK);
    cr_expect_str_eq(graph->nodes[0].op, "Neg");
    cr_expect_str_eq(graph->nodes[1].op, "Relu");
    const struct graph_node last = graph->nodes[2];
    graph->nodes[2] = graph->nodes[0];
    graph->nodes[0] = last;
    cr_expect_eq(espy_graph_check(graph), ESPY_BAD_FORMAT);
    cr_assert_eq(espy_graph_sort(graph), ESPY_OK);
    cr_expect_str_eq(graph->nodes[0].op, "Relu");
    cr_expect_str_eq(graph->nodes[1].op, "MatMul");
    cr_expect_str_eq(graph->nodes[2].op, "Neg");
    cr_expect_eq(espy_graph_check(graph), ESPY_OK);
    finish(&example);
}

Test(format_graph, sort_refuses_a_cycle_with_one_line)
{
    struct example example;
    start(&example);
    example.graph.nodes[1].inputs[0] = example.b;
    cr_expect_eq(espy_graph_sort(&example.graph), ESPY_BAD_FORMAT);
    cr_expect_eq(example.watch.errors, 1);
    cr_expect_str_eq(example.graph.nodes[0].op, "Neg"); // untouched
    finish(&example);
}

// ---- memory -------------------------------------------------------------------------------------

static espy_status build_and_change(struct example *example)
{
    struct graph *graph = &example->graph;
    const double pair[] = {1, 2};
    const char *const words[] = {"min", "max"};
    TRY(build(example));
    TRY(espy_graph_set_numbers(graph, &graph->nodes[0], "numbers", pair, 2));
    TRY(espy_graph_set_strings(graph, &graph->nodes[0], "strings", words, 2));
    TRY(espy_graph_add_step(graph, &graph->nodes[1], "Clip", words, pair, 2));
    TRY(espy_graph_check(graph));
    TRY(espy_graph_sort(graph));
    TRY(espy_graph_prune(graph));
    return espy_graph_check(graph);
}

Test(format_graph, each_allocation_may_fail)
{
    espy_status status = ESPY_OUT_OF_MEMORY;
    for (size_t n = 1; status != ESPY_OK; n++) {
        struct example example;
        watch_init(&example.watch);
        example.watch.fail_at = n;
        status = build_and_change(&example);
        if (status != ESPY_OK)
            cr_expect_eq(status, ESPY_OUT_OF_MEMORY);
        cr_expect(watch_kept(&example.watch, status), "allocation %zu: %u lines", n,
                  example.watch.errors);
        finish(&example);
    }
}

// ---- check: what no file can say ----------------------------------------------------------------

typedef void (*breach_fn)(struct example *example);

static void expect_refused(const char *name, breach_fn breach)
{
    struct example example;
    start(&example);
    breach(&example);
    const espy_status status = espy_graph_check(&example.graph);
    cr_expect_eq(status, ESPY_BAD_FORMAT, "%s", name);
    cr_expect(watch_kept(&example.watch, status), "%s: %u lines", name, example.watch.errors);
    finish(&example);
}

static struct graph_value *constant(struct example *example)
{
    return &example->graph.values[example->w];
}

static void node_input_index(struct example *e)
{
    e->graph.nodes[1].inputs[0] = 99;
}
static void node_output_index(struct example *e)
{
    e->graph.nodes[1].outputs[0] = 99;
}
static void input_index(struct example *e)
{
    e->graph.inputs[0].value = 99;
}
static void output_index(struct example *e)
{
    e->graph.outputs[0].value = GRAPH_NONE;
}
static void value_name_missing(struct example *e)
{
    e->graph.values[e->a].name = NULL;
}
static void value_name_twice(struct example *e)
{
    e->graph.values[e->a].name = "x";
}
static void value_name_bytes(struct example *e)
{
    e->graph.values[e->a].name = "\xff\n";
}
static void value_dtype(struct example *e)
{
    e->graph.values[e->a].dtype = (espy_dtype)24;
}
static void value_not_made(struct example *e)
{
    e->graph.nodes[0].outputs[0] = e->a;
}
static void node_name_missing(struct example *e)
{
    e->graph.nodes[0].name = NULL;
}
static void node_op_missing(struct example *e)
{
    e->graph.nodes[0].op = NULL;
}
static void graph_name_bytes(struct example *e)
{
    e->graph.name = "\x80";
}
static void input_dtype(struct example *e)
{
    e->graph.values[e->x].dtype = ESPY_DTYPE_NONE;
}
static void input_shape(struct example *e)
{
    e->graph.values[e->x].has_shape = false;
}
static void input_symbol(struct example *e)
{
    e->graph.values[e->x].symbols[0] = NULL;
}
static void input_both(struct example *e)
{
    cr_assert(espy_graph_set_symbol(&e->graph, &e->graph.values[e->x], 1, "m") == ESPY_OK);
}
static void input_negative(struct example *e)
{
    e->graph.values[e->x].shape.dims[1] = -2;
}
static void input_rank(struct example *e)
{
    e->graph.values[e->x].shape.rank = 9;
}
static void constant_dtype(struct example *e)
{
    constant(e)->dtype = ESPY_DTYPE_NONE;
}
static void constant_shape(struct example *e)
{
    constant(e)->has_shape = false;
}
static void constant_size(struct example *e)
{
    constant(e)->data_size--;
}
static void constant_bool(struct example *e)
{
    constant(e)->dtype = ESPY_BOOL;
    constant(e)->shape.dims[0] = 8;
}
static void constant_symbol(struct example *e)
{
    constant(e)->shape.dims[0] = -1;
    cr_assert(espy_graph_set_symbol(&e->graph, constant(e), 0, "n") == ESPY_OK);
}
static void constant_input(struct example *e)
{
    e->graph.inputs[0].value = e->w;
}
static void attr_not_finite(struct example *e)
{
    cr_assert_eq(espy_graph_set_number(&e->graph, &e->graph.nodes[0], "a", NAN), ESPY_OK);
}
static void attr_bytes(struct example *e)
{
    cr_assert_eq(espy_graph_set_string(&e->graph, &e->graph.nodes[0], "a", "\xc3"), ESPY_OK);
}
static void step_reserved(struct example *e)
{
    const char *const name = "op";
    const double number = 1;
    cr_assert_eq(espy_graph_add_step(&e->graph, &e->graph.nodes[0], "R", &name, &number, 1),
                 ESPY_OK);
}
static void input_labels(struct example *e)
{
    e->graph.inputs[0].role = "logits";
    e->graph.inputs[0].label_count = 1;
}

Test(format_graph, check_refuses_what_no_file_can_say)
{
#define BREACH(name) \
    {                \
#name, name  \
    }
    static const struct {
        const char *name;
        breach_fn breach;
    } cases[] = {
        BREACH(node_input_index),  BREACH(node_output_index),  BREACH(input_index),
        BREACH(output_index),      BREACH(value_name_missing), BREACH(value_name_twice),
        BREACH(value_name_bytes),  BREACH(value_dtype),        BREACH(value_not_made),
        BREACH(node_name_missing), BREACH(node_op_missing),    BREACH(graph_name_bytes),
        BREACH(input_dtype),       BREACH(input_shape),        BREACH(input_symbol),
        BREACH(input_both),        BREACH(input_negative),     BREACH(input_rank),
        BREACH(constant_dtype),    BREACH(constant_shape),     BREACH(constant_size),
        BREACH(constant_bool),     BREACH(constant_symbol),    BREACH(constant_input),
        BREACH(attr_not_finite),   BREACH(attr_bytes),         BREACH(step_reserved),
        BREACH(input_labels),
    };
#undef BREACH
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        expect_refused(cases[i].name, cases[i].breach);
}

// ---- dtypes and shapes --------------------------------------------------------------------------

Test(format_graph, every_dtype_has_a_name_that_leads_back_and_a_size)
{
    for (int i = ESPY_FLOAT32; i <= ESPY_BOOL; i++) {
        const espy_dtype dtype = (espy_dtype)i;
        cr_expect_eq(espy_dtype_from_name(espy_dtype_name(dtype)), dtype);
        cr_expect_gt(espy_dtype_size(dtype), 0);
        cr_expect_leq(espy_dtype_is_float(dtype) + espy_dtype_is_signed(dtype), 1);
    }
    cr_expect_str_eq(espy_dtype_name(ESPY_BFLOAT16), "bfloat16");
    cr_expect_eq(espy_dtype_size(ESPY_INT64), 8);
    cr_expect_str_eq(espy_dtype_name(ESPY_DTYPE_NONE), "none");
    cr_expect_str_eq(espy_dtype_name((espy_dtype)99), "none");
    cr_expect_eq(espy_dtype_size((espy_dtype)99), 0);
    cr_expect_eq(espy_dtype_from_name("none"), ESPY_DTYPE_NONE);
    cr_expect_eq(espy_dtype_from_name("float"), ESPY_DTYPE_NONE);
    for (int i = ESPY_OK; i <= ESPY_MISMATCH; i++)
        cr_expect_str_neq(espy_status_text((espy_status)i), "unknown status");
    cr_expect_str_eq(espy_status_text((espy_status)99), "unknown status");
}

Test(format_graph, element_counts_are_exact_or_refused)
{
    size_t count = 7;
    cr_expect(espy_shape_count(&(struct shape){0}, &count) && count == 1);
    cr_expect(espy_shape_count(&(struct shape){3, {2, 3, 4}}, &count) && count == 24);
    cr_expect(espy_shape_count(&(struct shape){2, {5, 0}}, &count) && count == 0);
    count = 7;
    cr_expect(!espy_shape_count(&(struct shape){2, {2, -1}}, &count));
    cr_expect(!espy_shape_count(&(struct shape){3, {INT32_MAX, INT32_MAX, INT32_MAX}}, &count));
    cr_expect(!espy_shape_count(&(struct shape){2, {INT64_MAX, 2}}, &count));
    cr_expect_eq(count, 7);
}

Test(format_graph, shapes_print_in_any_room)
{
    char buffer[32];
    cr_expect_str_eq(espy_shape_text(&(struct shape){0}, buffer, sizeof(buffer)), "scalar");
    cr_expect_str_eq(espy_shape_text(&(struct shape){3, {2, -1, 224}}, buffer, sizeof(buffer)),
                     "2x?x224");
    cr_expect_str_eq(espy_shape_text(&(struct shape){2, {1234, 5678}}, buffer, 6), "1234x");
    cr_expect(espy_shape_equal(&(struct shape){1, {2}}, &(struct shape){1, {2}}));
    cr_expect(!espy_shape_equal(&(struct shape){1, {2}}, &(struct shape){1, {3}}));
    cr_expect(!espy_shape_equal(&(struct shape){1, {1}}, &(struct shape){0}));
}
