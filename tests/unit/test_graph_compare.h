// For tests that run small graphs on a device and compare all outputs with the references'.
#ifndef TESTS_UNIT_TEST_GRAPH_COMPARE_H_
#define TESTS_UNIT_TEST_GRAPH_COMPARE_H_

#include <math.h>

#include "support/compare.h"
#include "support/run_graph.h"
#include "support/test_host.h"
#include "test_graph_fixture.h"

// Numbers from -0.8 to 1.1; NaN for an input of that name.
static inline void compare_fill(const struct graph *graph, struct arena *arena,
                                struct tensor *inputs)
{
    for (uint32_t i = 0; i < graph->input_count; i++) {
        const struct graph_value *value = &graph->values[graph->inputs[i].value];
        const bool number = strcmp(value->name, "nan") != 0;
        inputs[i] = (struct tensor){.type = {value->dtype, value->shape}};
        cr_assert(espy_shape_count(&value->shape, &inputs[i].count));
        inputs[i].data = espy_arena_array(arena, inputs[i].count, espy_dtype_size(value->dtype));
        for (size_t k = 0; k < inputs[i].count; k++)
            espy_tensor_set_number(&inputs[i], k,
                                   number ? (double)((k * 29) % 31) / 16 - 0.8 : (double)NAN);
    }
}

// what: the graph, in messages.
static inline void compare_graph(struct test_host *test, struct vk_device *device,
                                 const struct graph *graph, const char *what, double bound)
{
    struct arena arena;
    struct tensor inputs[MAKE_IO_MAX], reference[MAKE_IO_MAX] = {0}, kernel[MAKE_IO_MAX] = {0};
    espy_arena_init(&arena, &test->host);
    cr_assert(espy_graph_check(graph) == ESPY_OK, "%s", test->last_error);
    compare_fill(graph, &arena, inputs);
    cr_assert(espy_graph_evaluate(&test->host, graph, inputs, &arena, reference) == ESPY_OK);
    cr_assert(espy_test_run(&test->host, device, graph, inputs, &arena, kernel, NULL) == ESPY_OK,
              "%s", test->last_error);
    for (uint32_t o = 0; o < graph->output_count; o++) {
        struct comparison result;
        char text[256];
        espy_test_compare(&kernel[o], &reference[o], &result);
        cr_expect(espy_test_close(&result, bound), "%s, output %u: %s", what, o,
                  espy_test_difference(&kernel[o], &reference[o], &result, text, sizeof(text)));
    }
    espy_arena_finish(&arena);
}

#endif // TESTS_UNIT_TEST_GRAPH_COMPARE_H_
