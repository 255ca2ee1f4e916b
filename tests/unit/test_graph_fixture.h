// For tests that make small graphs in code: one call per input, constant, node and output.
#ifndef TESTS_UNIT_TEST_GRAPH_FIXTURE_H_
#define TESTS_UNIT_TEST_GRAPH_FIXTURE_H_

#include <criterion/criterion.h>

#include <string.h>

#include "format/graph.h"
#include "op/op.h"
#include "plan/plan.h"
#include "support/test_host.h"

enum { MAKE_IO_MAX = 16 };

#define SCALAR (&(const struct shape){.rank = 0})
#define SHAPE(...) \
    (&(const struct shape){sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), {__VA_ARGS__}})
// MAKE(graph, "Add", "y", a, b) adds a node y that makes the value y.
#define MAKE(graph, op, name, ...)                              \
    make_node(graph, op, name, (const uint32_t[]){__VA_ARGS__}, \
              sizeof((uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static inline void make_graph(struct graph *graph, const struct host *host)
{
    espy_graph_init(graph, host);
    graph->inputs = espy_arena_array(&graph->arena, MAKE_IO_MAX, sizeof(*graph->inputs));
    graph->outputs = espy_arena_array(&graph->arena, MAKE_IO_MAX, sizeof(*graph->outputs));
    cr_assert(graph->inputs != NULL && graph->outputs != NULL);
}

// Dims of -1 are the symbol "n", of -2 the symbol "m".
static inline uint32_t make_input(struct graph *graph, const char *name, espy_dtype dtype,
                                  const struct shape *shape)
{
    uint32_t index;
    cr_assert(graph->input_count < MAKE_IO_MAX);
    cr_assert(espy_graph_add_value(graph, name, &index) == ESPY_OK);
    struct graph_value *value = &graph->values[index];
    value->dtype = dtype;
    value->has_shape = true;
    value->shape = *shape;
    for (uint32_t d = 0; d < shape->rank; d++) {
        if (shape->dims[d] >= 0)
            continue;
        cr_assert(espy_graph_set_symbol(graph, value, d, shape->dims[d] == -1 ? "n" : "m") ==
                  ESPY_OK);
        value->shape.dims[d] = -1;
    }
    graph->inputs[graph->input_count++] = (struct graph_io){.value = index};
    return index;
}

// The elements are copied.
static inline uint32_t make_constant(struct graph *graph, const char *name, espy_dtype dtype,
                                     const struct shape *shape, const void *elements)
{
    uint32_t index;
    size_t count;
    cr_assert(espy_shape_count(shape, &count));
    const size_t size = count * espy_dtype_size(dtype);
    const void *copy = espy_arena_copy(&graph->arena, elements, size);
    cr_assert(espy_graph_add_constant(graph, name, dtype, shape, copy, size, &index) == ESPY_OK);
    return index;
}

// Float32, small numbers of both signs that differ from element to element.
static inline uint32_t make_weights(struct graph *graph, const char *name,
                                    const struct shape *shape)
{
    size_t count;
    cr_assert(espy_shape_count(shape, &count));
    float *elements = espy_arena_array(&graph->arena, count, sizeof(*elements));
    cr_assert(elements != NULL);
    for (size_t i = 0; i < count; i++)
        elements[i] = (float)((i * 37 + strlen(name)) % 64) / 64.0f - 0.5f;
    return make_constant(graph, name, ESPY_FLOAT32, shape, elements);
}

static inline uint32_t make_node(struct graph *graph, const char *op, const char *name,
                                 const uint32_t *inputs, uint32_t input_count)
{
    uint32_t index;
    struct graph_node *node;
    cr_assert(espy_graph_add_value(graph, name, &index) == ESPY_OK);
    cr_assert(espy_graph_add_node(graph, op, name, inputs, input_count, &index, 1, &node) ==
              ESPY_OK);
    return index;
}

// Attributes of the node added last.
static inline void make_number(struct graph *graph, const char *name, double number)
{
    cr_assert(espy_graph_set_number(graph, &graph->nodes[graph->node_count - 1], name, number) ==
              ESPY_OK);
}

static inline void make_numbers(struct graph *graph, const char *name, const double *numbers,
                                uint32_t count)
{
    cr_assert(espy_graph_set_numbers(graph, &graph->nodes[graph->node_count - 1], name, numbers,
                                     count) == ESPY_OK);
}

static inline void make_output(struct graph *graph, uint32_t value)
{
    cr_assert(graph->output_count < MAKE_IO_MAX);
    graph->outputs[graph->output_count++] = (struct graph_io){.value = value};
}

// The graph's inputs as a plan takes them, of the types that they have. sources: MAKE_IO_MAX.
static inline void make_sources(const struct graph *graph, struct op_source *sources)
{
    for (uint32_t i = 0; i < graph->input_count; i++) {
        const struct graph_value *value = &graph->values[graph->inputs[i].value];
        sources[i] = (struct op_source){.value = graph->inputs[i].value,
                                        .type = {value->dtype, value->shape}};
    }
}

// The graph's plan. like: what the graph itself does not say.
static inline void make_plan(struct test_host *test, const struct graph *graph,
                             const struct plan_params *like, struct plan *plan)
{
    struct op_source sources[MAKE_IO_MAX];
    struct plan_params params = *like;
    make_sources(graph, sources);
    params.host = &test->host;
    params.graph = graph;
    params.sources = sources;
    params.source_count = graph->input_count;
    cr_assert(espy_plan_build(&params, plan) == ESPY_OK, "%s", test->last_error);
}

#endif // TESTS_UNIT_TEST_GRAPH_FIXTURE_H_
