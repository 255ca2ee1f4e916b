// Goal: weights that are larger than the device binds at once are used in parts, with the same
// result. Method: the device says that it binds less than it does; products of every form against
// the references.
#include <criterion/criterion.h>
#include <string.h>

#include "support/compare.h"
#include "support/run_graph.h"
#include "support/test_host.h"
#include "test_graph_fixture.h"

enum { DEPTH = 64, COLUMNS = 1000, RANGE = 128 << 10 }; // at most 512 columns at once

struct form {
    const char *op;
    int64_t rows;
    bool trans_b;
    int c_rows; // 0: no C; 1: a bias; else as many rows as the product
};

static void make_product(struct graph *graph, const struct form *form)
{
    const uint32_t x = make_input(graph, "x", ESPY_FLOAT32, SHAPE(form->rows, DEPTH));
    const uint32_t w =
        make_weights(graph, "w", form->trans_b ? SHAPE(COLUMNS, DEPTH) : SHAPE(DEPTH, COLUMNS));
    uint32_t c = GRAPH_NONE;
    if (form->c_rows == 1)
        c = make_weights(graph, "c", SHAPE(COLUMNS));
    else if (form->c_rows > 1)
        c = make_weights(graph, "c", SHAPE(form->rows, COLUMNS));
    const uint32_t inputs[3] = {x, w, c};
    const uint32_t y = make_node(graph, form->op, "y", inputs, form->c_rows > 0 ? 3 : 2);
    struct graph_node *node = &graph->nodes[graph->node_count - 1];
    if (form->trans_b)
        cr_assert(espy_graph_set_number(graph, node, "transB", 1) == ESPY_OK);
    cr_assert(espy_graph_add_step(graph, node, "Relu", NULL, NULL, 0) == ESPY_OK);
    make_output(graph, y);
}

static void run_form(struct test_host *test, struct vk_device *device, const struct form *form)
{
    struct graph graph;
    struct arena arena;
    struct tensor reference[1] = {0}, kernel[1] = {0};
    struct comparison result;
    struct test_run_info info;
    char text[256];
    make_graph(&graph, &test->host);
    espy_arena_init(&arena, &test->host);
    make_product(&graph, form);
    cr_assert(espy_graph_check(&graph) == ESPY_OK, "%s", test->last_error);
    float *numbers = espy_arena_array(&arena, (size_t)form->rows * DEPTH, sizeof(*numbers));
    for (int64_t i = 0; i < form->rows * DEPTH; i++)
        numbers[i] = (float)((i * 29) % 31 - 15) / 16;
    const struct tensor input = {.type = {ESPY_FLOAT32, *SHAPE(form->rows, DEPTH)},
                                 .count = (size_t)form->rows * DEPTH,
                                 .data = numbers};
    cr_assert(espy_graph_evaluate(&test->host, &graph, &input, &arena, reference) == ESPY_OK);
    cr_assert(espy_test_run(&test->host, device, &graph, &input, &arena, kernel, &info) == ESPY_OK,
              "%s", test->last_error);
    cr_expect(info.dispatch_count >= 4, "%u dispatches: not in parts", info.dispatch_count);
    espy_test_compare(&kernel[0], &reference[0], &result);
    cr_expect(espy_test_close(&result, 1e-5), "%s of %d rows, transB %d, C of %d: %s", form->op,
              (int)form->rows, form->trans_b, form->c_rows,
              espy_test_difference(&kernel[0], &reference[0], &result, text, sizeof(text)));
    espy_graph_finish(&graph);
    espy_arena_finish(&arena);
}

Test(large_weights, products_are_made_in_parts)
{
    static const struct form forms[] = {{"MatMul", 1, false, 0}, {"MatMul", 5, false, 0},
                                        {"Gemm", 1, true, 1},    {"Gemm", 5, true, 1},
                                        {"Gemm", 1, false, 1},   {"Gemm", 7, false, 2},
                                        {"Gemm", 30, true, 2},   {"Gemm", 3, true, 0}};
    struct test_host test;
    struct vk_device *device = NULL;
    espy_test_host_init(&test);
    cr_assert(espy_test_open_device(&test.host, false, &device) == ESPY_OK, "%s", test.last_error);
    struct caps *caps;
    const struct caps *real = espy_vk_device_caps(device);
    memcpy(&caps, &real, sizeof(caps)); // the test's device, whose word the planner takes
    caps->buffer_range_max = RANGE;
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
        run_form(&test, device, &forms[i]);
    cr_expect(espy_vk_device_validation_count(device) == 0, "%s", test.last_error);
    espy_vk_device_destroy(&device);
    cr_expect(test.live_count == 0);
}
