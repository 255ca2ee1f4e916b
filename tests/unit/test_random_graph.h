// Random graphs of nodes that keep one shape, so that any value may be any node's input: what is
// alive when, and what is a view of what, differs from graph to graph.
#ifndef TESTS_UNIT_TEST_RANDOM_GRAPH_H_
#define TESTS_UNIT_TEST_RANDOM_GRAPH_H_

#include "test_graph_fixture.h"

#include <stdio.h>

enum { RANDOM_VALUES = 30, RANDOM_ELEMENTS = 2 * 6 * 6 };

static inline uint32_t random_draw(uint32_t *seed, uint32_t count)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 8) % count;
}

// Values 0 and 1 of the graph are the starts and ends that take the middle of two, concatenated.
static inline uint32_t random_concat(struct graph *graph, const char *name, uint32_t a, uint32_t b)
{
    char helper[32];
    snprintf(helper, sizeof(helper), "%s_both", name);
    const uint32_t both = MAKE(graph, "Concat", helper, a, b);
    make_number(graph, "axis", 1);
    return MAKE(graph, "Slice", name, both, 0, 1);
}

// Values 2 and 3 are the shapes 2x36 and 2x6x6.
static inline uint32_t random_reshape_node(struct graph *graph, const char *name, uint32_t a)
{
    char helper[32];
    snprintf(helper, sizeof(helper), "%s_flat", name);
    return MAKE(graph, "Reshape", name, MAKE(graph, "Reshape", helper, a, 2), 3);
}

static inline uint32_t random_node(struct graph *graph, uint32_t *seed, const uint32_t *values,
                                   uint32_t count)
{
    static const double perms[2][3] = {{0, 2, 1}, {0, 1, 2}};
    char name[16];
    snprintf(name, sizeof(name), "v%u", count);
    // One recent value, so that most are dead soon, and one from anywhere.
    const uint32_t recent = random_draw(seed, count < 4 ? count : 4);
    const uint32_t a = values[count - 1 - recent], b = values[random_draw(seed, count)];
    uint32_t made;
    switch (random_draw(seed, 8)) {
    case 0:
        return MAKE(graph, "Add", name, a, b);
    case 1:
        return MAKE(graph, "Relu", name, a);
    case 2:
        made = MAKE(graph, "Transpose", name, a);
        make_numbers(graph, "perm", perms[random_draw(seed, 2)], 3);
        return made;
    case 3:
        made = MAKE(graph, "MatMul", name, a, b);
        return made;
    case 4:
        return MAKE(graph, "Softmax", name, a);
    case 5:
        return random_concat(graph, name, a, b);
    case 6:
        return MAKE(graph, "Tanh", name, a);
    default:
        return random_reshape_node(graph, name, a);
    }
}

static inline void make_random(struct graph *graph, uint32_t number)
{
    static const int64_t starts[] = {0, 3, 0}, ends[] = {2, 9, 6};
    static const int64_t flat[] = {2, 36}, cube[] = {2, 6, 6};
    uint32_t values[RANDOM_VALUES], count = 0, seed = number * 2654435761u + 1;
    make_constant(graph, "starts", ESPY_INT64, SHAPE(3), starts);
    make_constant(graph, "ends", ESPY_INT64, SHAPE(3), ends);
    make_constant(graph, "flat", ESPY_INT64, SHAPE(2), flat);
    make_constant(graph, "cube", ESPY_INT64, SHAPE(3), cube);
    values[count++] = make_input(graph, "x", ESPY_FLOAT32, SHAPE(2, 6, 6));
    values[count++] = make_input(graph, "z", ESPY_FLOAT32, SHAPE(2, 6, 6));
    values[count++] = make_weights(graph, "w", SHAPE(2, 6, 6));
    for (; count < RANDOM_VALUES; count++)
        values[count] = random_node(graph, &seed, values, count);
    for (uint32_t o = 0; o < 3; o++)
        make_output(graph, values[RANDOM_VALUES - 1 - o * 5]);
}

#endif // TESTS_UNIT_TEST_RANDOM_GRAPH_H_
