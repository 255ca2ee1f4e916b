// Goal: one session runs many shapes, each planned once and as often as its memory allows, and all
// give the numbers that the references give, whatever lies between the nodes: stages, views,
// nothing. Method: planning allocates and running does not, so the count of allocations says which
// it was.
#include "test_session_fixture.h"

#include <math.h>

#include "support/compare.h"
#include "support/run_graph.h"
#include "support/test_host.h"
#include "test_random_graph.h"

static void make_double(struct graph *graph)
{
    const uint32_t x = make_input(graph, "x", ESPY_FLOAT32, SHAPE(-1, -2));
    make_output(graph, MAKE(graph, "Add", "y", x, x));
}

enum { SIDE_MAX = 16 };

struct square {
    float x[SIDE_MAX * SIDE_MAX], y[SIDE_MAX * SIDE_MAX];
};

// Runs rows x columns and says whether that took planning.
static bool run_double(struct lab *lab, struct square *square, int64_t rows, int64_t columns)
{
    const size_t size = (size_t)(rows * columns) * sizeof(float);
    for (size_t i = 0; i < SIDE_MAX * SIDE_MAX; i++) {
        square->x[i] = (float)(i + 1);
        square->y[i] = -1;
    }
    const struct espy_tensor input = {.name = "x",
                                      .dtype = ESPY_FLOAT32,
                                      .rank = 2,
                                      .dims = {rows, columns},
                                      .data = square->x,
                                      .size = size};
    struct espy_tensor output = {.name = "y", .data = square->y, .size = size};
    const unsigned long long before = lab->calls;
    EXPECT_OK(lab, espy_session_run(lab->session, &input, 1, &output, 1));
    const bool planned = lab->calls != before;
    cr_expect(output.dims[0] == rows && output.dims[1] == columns && output.rank == 2);
    for (size_t i = 0; i < SIDE_MAX * SIDE_MAX; i++)
        cr_expect(square->y[i] == (i < size / 4 ? 2 * square->x[i] : -1), "%lldx%lld: element %zu",
                  (long long)rows, (long long)columns, i);
    return planned;
}

// ---- many shapes --------------------------------------------------------------------------------

Test(session_plans, a_shape_is_planned_once)
{
    struct lab lab;
    struct square square;
    lab_init(&lab, make_double);
    for (int round = 0; round < 3; round++)
        for (int64_t rows = 1; rows <= 8; rows++) // as many as are kept
            cr_expect(run_double(&lab, &square, rows, 3) == (round == 0), "%lld rows",
                      (long long)rows);
    lab_close(&lab);
}

Test(session_plans, the_plan_used_longest_ago_goes_first)
{
    struct lab lab;
    struct square square;
    lab_open(&lab);
    lab_model(&lab, make_double);
    lab_session(&lab, &(struct espy_session_params){.size = sizeof(struct espy_session_params),
                                                    .plans_max = 2});
    cr_expect(run_double(&lab, &square, 1, 1));
    cr_expect(run_double(&lab, &square, 2, 1));
    cr_expect(!run_double(&lab, &square, 1, 1));
    const long long live = lab.live;
    cr_expect(run_double(&lab, &square, 3, 1), "instead of 2x1");
    cr_expect(lab.live == live, "the old plan's memory is freed: %lld, %lld", (long long)lab.live,
              live);
    cr_expect(!run_double(&lab, &square, 1, 1));
    cr_expect(!run_double(&lab, &square, 3, 1));
    cr_expect(run_double(&lab, &square, 2, 1), "instead of 1x1");
    cr_expect(!run_double(&lab, &square, 3, 1));
    cr_expect(run_double(&lab, &square, 1, 1));
    lab_close(&lab);
}

Test(session_plans, one_plan_at_a_time_will_do)
{
    struct lab lab;
    struct square square;
    lab_open(&lab);
    lab_model(&lab, make_double);
    lab_session(&lab, &(struct espy_session_params){.size = sizeof(struct espy_session_params),
                                                    .plans_max = 1});
    for (int64_t i = 0; i < 6; i++)
        cr_expect(run_double(&lab, &square, 1 + i % 2, 5));
    lab_close(&lab);
}

Test(session_plans, shapes_above_memory_max_are_refused_and_smaller_ones_run)
{
    struct lab lab;
    struct square square;
    struct espy_plan_info info = {0};
    lab_open(&lab);
    lab_model(&lab, make_double);
    lab_session(&lab, &(struct espy_session_params){.size = sizeof(struct espy_session_params),
                                                    .memory_max = 1 << 20});
    struct espy_tensor input = {
        .name = "x", .dtype = ESPY_FLOAT32, .rank = 2, .dims = {1024, 1024}};
    EXPECT_FAILED(&lab, espy_session_plan(lab.session, &input, 1, &info, NULL), ESPY_OUT_OF_MEMORY,
                  "1048576");
    cr_expect(info.memory_size == 0);
    cr_expect(run_double(&lab, &square, 4, 4));
    EXPECT_FAILED(&lab, espy_session_plan(lab.session, &input, 1, &info, NULL), ESPY_OUT_OF_MEMORY,
                  "1048576");
    cr_expect(!run_double(&lab, &square, 4, 4), "a shape that is refused costs no other its plan");
    lab_close(&lab);
}

Test(session_plans, tensors_without_elements_run_without_data)
{
    struct lab lab;
    struct square square;
    lab_init(&lab, make_double);
    const struct espy_tensor input = {
        .name = "x", .dtype = ESPY_FLOAT32, .rank = 2, .dims = {0, 7}};
    struct espy_tensor output = {.name = "y", .dims = {9, 9}};
    for (int i = 0; i < 2; i++) {
        EXPECT_OK(&lab, espy_session_run(lab.session, &input, 1, &output, 1));
        cr_expect(output.rank == 2 && output.dims[0] == 0 && output.dims[1] == 7);
    }
    struct espy_tensor twice[2] = {output, output};
    EXPECT_FAILED(&lab, espy_session_run(lab.session, &input, 1, twice, 2), ESPY_INVALID_ARGUMENT,
                  "twice");
    run_double(&lab, &square, 3, 3);
    lab_close(&lab);
}

// ---- shapes that depend on elements -------------------------------------------------------------

static void make_reshape(struct graph *graph)
{
    const uint32_t x = make_input(graph, "x", ESPY_FLOAT32, SHAPE(-1));
    const uint32_t shape = make_input(graph, "shape", ESPY_INT64, SHAPE(-2));
    const uint32_t r = MAKE(graph, "Relu", "r", x);
    make_output(graph, MAKE(graph, "Reshape", "y", r, shape));
    make_output(graph, shape);
}

struct reshape {
    float x[12], y[12];
    int64_t shape[4], copy[4];
    struct espy_tensor inputs[2], outputs[2];
};

static void reshape_init(struct reshape *call, const int64_t *shape, uint32_t rank)
{
    *call = (struct reshape){.inputs = {FLOATS("x", call->x, 12),
                                        {.name = "shape",
                                         .dtype = ESPY_INT64,
                                         .rank = 1,
                                         .dims = {rank},
                                         .data = call->shape,
                                         .size = rank * sizeof(int64_t)}},
                             .outputs = {ROOM("y", call->y), ROOM("shape", call->copy)}};
    for (int i = 0; i < 12; i++) {
        call->x[i] = (float)(i - 6);
        call->y[i] = 77;
    }
    memcpy(call->shape, shape, rank * sizeof(*shape));
}

static bool run_reshape(struct lab *lab, struct reshape *call, const int64_t *shape, uint32_t rank)
{
    reshape_init(call, shape, rank);
    const unsigned long long before = lab->calls;
    EXPECT_OK(lab, espy_session_run(lab->session, call->inputs, 2, call->outputs, 2));
    cr_expect(call->outputs[0].rank == rank);
    for (uint32_t d = 0; d < rank; d++)
        cr_expect(call->outputs[0].dims[d] == shape[d] && call->copy[d] == shape[d]);
    for (int i = 0; i < 12; i++)
        cr_expect(call->y[i] == (call->x[i] > 0 ? call->x[i] : 0));
    return lab->calls != before;
}

Test(session_plans, a_shape_given_as_data_is_planned_for_by_value)
{
    static const int64_t a[] = {3, 4}, b[] = {2, 6}, c[] = {2, 2, 3}, wrong[] = {5, 5};
    struct lab lab;
    struct reshape call;
    lab_init(&lab, make_reshape);
    cr_expect(run_reshape(&lab, &call, a, 2));
    cr_expect(run_reshape(&lab, &call, b, 2), "the same input shapes, other values");
    cr_expect(run_reshape(&lab, &call, c, 3));
    cr_expect(!run_reshape(&lab, &call, a, 2));
    cr_expect(!run_reshape(&lab, &call, b, 2));
    reshape_init(&call, wrong, 2);
    const espy_status status = espy_session_run(lab.session, call.inputs, 2, call.outputs, 2);
    EXPECT_FAILED(&lab, status, status, "Reshape");
    cr_expect(status != ESPY_OK && call.y[0] == 77 && call.outputs[0].rank == 0, "untouched");
    cr_expect(!run_reshape(&lab, &call, c, 3));
    lab_close(&lab);
}

Test(session_plans, planning_for_a_shape_given_as_data_needs_the_data)
{
    static const int64_t a[] = {3, 4};
    struct lab lab;
    struct reshape call;
    struct espy_tensor outputs[2];
    lab_init(&lab, make_reshape);
    reshape_init(&call, a, 2);
    call.inputs[1].data = NULL;
    EXPECT_FAILED(&lab, espy_session_plan(lab.session, call.inputs, 2, NULL, outputs),
                  ESPY_INVALID_ARGUMENT, "'shape'");
    reshape_init(&call, a, 2);
    call.inputs[0].data = NULL;
    EXPECT_OK(&lab, espy_session_plan(lab.session, call.inputs, 2, NULL, outputs));
    cr_expect(outputs[0].rank == 2 && outputs[0].dims[1] == 4 && outputs[0].size == 48);
    cr_expect(!run_reshape(&lab, &call, a, 2));
    lab_close(&lab);
}

Test(session_plans, a_scalar_s_shape_has_no_elements_and_is_known_all_the_same)
{
    struct lab lab;
    struct reshape call;
    static const int64_t none[1] = {0};
    lab_init(&lab, make_reshape);
    reshape_init(&call, none, 0);
    call.inputs[0].dims[0] = 1;
    call.inputs[0].size = sizeof(float);
    call.inputs[1].data = NULL;
    call.x[0] = 5;
    EXPECT_OK(&lab, espy_session_run(lab.session, call.inputs, 2, call.outputs, 1));
    cr_expect(call.outputs[0].rank == 0 && call.y[0] == 5 && call.y[1] == 77);
    lab_close(&lab);
}

static void make_slice(struct graph *graph)
{
    const uint32_t x = make_input(graph, "x", ESPY_FLOAT32, SHAPE(12));
    const uint32_t from = make_input(graph, "from", ESPY_INT64, SHAPE(1));
    const uint32_t to = make_input(graph, "to", ESPY_INT64, SHAPE(1));
    make_output(graph, MAKE(graph, "Slice", "y", x, from, to));
}

Test(session_plans, static_inputs_whose_elements_decide_shapes_are_planned_when_they_are_known)
{
    struct lab lab;
    float x[12], y[12];
    lab_init(&lab, make_slice);
    for (int i = 0; i < 12; i++)
        x[i] = (float)i;
    for (int64_t from = 0; from < 12; from += 5)
        for (int64_t to = from; to <= 12; to += 4) {
            const struct espy_tensor inputs[] = {FLOATS("x", x, 12),
                                                 {.name = "from",
                                                  .dtype = ESPY_INT64,
                                                  .rank = 1,
                                                  .dims = {1},
                                                  .data = &from,
                                                  .size = 8},
                                                 {.name = "to",
                                                  .dtype = ESPY_INT64,
                                                  .rank = 1,
                                                  .dims = {1},
                                                  .data = &to,
                                                  .size = 8}};
            struct espy_tensor output = ROOM("y", y);
            EXPECT_OK(&lab, espy_session_run(lab.session, inputs, 3, &output, 1));
            cr_expect(output.dims[0] == to - from);
            for (int64_t i = from; i < to; i++)
                cr_expect(y[i - from] == (float)i);
        }
    lab_close(&lab);
}

// ---- stages -------------------------------------------------------------------------------------

// Shrink of integers has no kernel.
static void make_stages(struct graph *graph)
{
    const uint32_t x = make_input(graph, "x", ESPY_INT32, SHAPE(-1, 5));
    const uint32_t a = MAKE(graph, "Add", "a", x, x);
    const uint32_t t = MAKE(graph, "Transpose", "t", a);
    const uint32_t s = MAKE(graph, "Shrink", "s", t);
    make_number(graph, "lambd", 4.5);
    const uint32_t u = MAKE(graph, "Transpose", "u", s);
    const uint32_t b = MAKE(graph, "Add", "b", u, a);
    make_output(graph, MAKE(graph, "Shrink", "y", b));
    make_number(graph, "lambd", 20.5);
    make_output(graph, a);
}

static int32_t staged(int32_t x)
{
    const int32_t a = 2 * x, s = abs(a) > 4 ? a : 0, b = s + a;
    return abs(b) > 20 ? b : 0;
}

Test(session_plans, nodes_on_the_host_run_between_stages)
{
    struct lab lab;
    struct espy_plan_info info;
    int32_t x[15], y[15], a[15];
    lab_init(&lab, make_stages);
    for (int i = 0; i < 15; i++)
        x[i] = i - 5;
    const struct espy_tensor input = {
        .name = "x", .dtype = ESPY_INT32, .rank = 2, .dims = {3, 5}, .data = x, .size = sizeof(x)};
    struct espy_tensor outputs[] = {ROOM("y", y), ROOM("a", a)};
    EXPECT_OK(&lab, espy_session_plan(lab.session, &input, 1, &info, NULL));
    cr_expect(info.stage_count == 3 && info.host_node_count == 2);
    for (int round = 0; round < 3; round++) {
        espy_ticket ticket;
        espy_status status;
        memset(y, 0x77, sizeof(y));
        EXPECT_OK(&lab, espy_session_submit(lab.session, &input, 1, outputs, 2, &ticket));
        do
            status = espy_session_wait(lab.session, ticket, round == 0 ? UINT64_MAX : 0);
        while (status == ESPY_TIMEOUT);
        EXPECT_OK(&lab, status);
        for (int i = 0; i < 15; i++)
            cr_expect(y[i] == staged(x[i]) && a[i] == 2 * x[i], "element %d: %d", i, y[i]);
    }
    lab_close(&lab);
}

// ---- random graphs ------------------------------------------------------------------------------

static void check_random(struct test_host *test, struct vk_device *device, uint32_t number)
{
    struct graph graph;
    struct arena arena;
    struct tensor inputs[2], reference[3] = {0}, actual[3] = {0};
    float elements[2][RANDOM_ELEMENTS];
    espy_arena_init(&arena, &test->host);
    make_graph(&graph, &test->host);
    make_random(&graph, number);
    for (uint32_t i = 0; i < 2; i++) {
        for (uint32_t k = 0; k < RANDOM_ELEMENTS; k++)
            elements[i][k] = (float)((k * 31 + i * 17 + number) % 41) / 41.0f - 0.4f;
        inputs[i] = (struct tensor){{ESPY_FLOAT32, *SHAPE(2, 6, 6)}, RANDOM_ELEMENTS, elements[i]};
    }
    cr_assert(espy_graph_evaluate(&test->host, &graph, inputs, &arena, reference) == ESPY_OK);
    cr_assert(espy_test_run(&test->host, device, &graph, inputs, &arena, actual, NULL) == ESPY_OK,
              "%s", test->last_error);
    for (uint32_t o = 0; o < 3; o++) {
        struct comparison result;
        espy_test_compare(&actual[o], &reference[o], &result);
        cr_expect(espy_test_close(&result, 1e-4), "graph %u, output %u: relative L2 %g", number, o,
                  result.relative_l2);
    }
    espy_graph_finish(&graph);
    espy_arena_finish(&arena);
}

Test(session_plans, random_graphs_give_what_their_references_give)
{
    enum { GRAPHS = 60 };
    struct test_host test;
    struct vk_device *device = NULL;
    espy_test_host_init(&test);
    cr_assert(espy_test_open_device(&test.host, true, &device) == ESPY_OK, "%s", test.last_error);
    for (uint32_t number = 0; number < GRAPHS; number++)
        check_random(&test, device, number);
    cr_expect(espy_vk_device_validation_count(device) == 0, "%s", test.last_error);
    espy_vk_device_destroy(&device);
    cr_expect(test.live_count == 0);
}

// ---- float64 ------------------------------------------------------------------------------------

static uint32_t make_cast(struct graph *graph, const char *name, uint32_t from, const char *to)
{
    const uint32_t value = MAKE(graph, "Cast", name, from);
    cr_assert(espy_graph_set_string(graph, &graph->nodes[graph->node_count - 1], "to", to) ==
              ESPY_OK);
    return value;
}

// Computes in float64 twice, from float32 to float64.
static void make_wide(struct graph *graph)
{
    const uint32_t x = make_input(graph, "x", ESPY_FLOAT32, SHAPE(-1));
    const uint32_t wide = make_cast(graph, "wide", x, "float64");
    make_output(graph, MAKE(graph, "Exp", "y", MAKE(graph, "Abs", "abs", wide)));
}

// Only goes through float64, and does shape arithmetic in it: half as many zeros.
static void make_harmless(struct graph *graph)
{
    const uint32_t x = make_input(graph, "x", ESPY_FLOAT32, SHAPE(-1));
    const uint32_t wide = make_cast(graph, "wide", x, "float64");
    make_output(graph, MAKE(graph, "Abs", "y", make_cast(graph, "back", wide, "float32")));
    const uint32_t size = make_cast(graph, "size", MAKE(graph, "Shape", "shape", x), "float64");
    static const double half = 0.5;
    const struct shape scalar = {.rank = 0};
    uint32_t factor;
    cr_assert(espy_graph_add_constant(graph, "half", ESPY_FLOAT64, &scalar, &half, sizeof(half),
                                      &factor) == ESPY_OK);
    const uint32_t count =
        MAKE(graph, "Floor", "count", MAKE(graph, "Mul", "product", size, factor));
    const uint32_t dims = make_cast(graph, "dims", count, "int64");
    make_output(graph, MAKE(graph, "ConstantOfShape", "zeros", dims));
}

Test(session_plans, a_session_says_once_that_float64_is_computed_as_float32)
{
    struct lab lab;
    lab_init(&lab, make_wide);
    cr_expect_eq(lab.warnings, 0); // no plan yet
    for (int64_t count = 1; count <= 3; count++) {
        float x[3] = {1, -2, 0.5f};
        double y[3];
        struct espy_tensor input = FLOATS("x", x, count), output = ROOM("y", y);
        struct espy_plan_info info;
        input.size = (size_t)count * sizeof(float);
        EXPECT_OK(&lab, espy_session_plan(lab.session, &input, 1, &info, NULL));
        EXPECT_OK(&lab, espy_session_run(lab.session, &input, 1, &output, 1));
        cr_expect(info.float64_as_float32);
        cr_expect_eq(output.dtype, ESPY_FLOAT64);
        for (int64_t i = 0; i < count; i++) {
            const double wanted = exp(fabs((double)x[i]));
            cr_expect(fabs(y[i] - wanted) <= 1e-6 * wanted, "%g", y[i]);
        }
    }
    cr_expect_eq(lab.warnings, 1, "%u warnings", (unsigned)lab.warnings);
    lab_close(&lab);
}

Test(session_plans, float64_that_loses_nothing_is_not_warned_of)
{
    struct lab lab;
    lab_init(&lab, make_harmless);
    float x[5] = {1, -2, 0.5f, -4, 3}, y[5] = {0}, zeros[2] = {7, 7};
    struct espy_tensor input = FLOATS("x", x, 5), outputs[2] = {ROOM("y", y), ROOM("zeros", zeros)};
    struct espy_plan_info info;
    EXPECT_OK(&lab, espy_session_plan(lab.session, &input, 1, &info, NULL));
    EXPECT_OK(&lab, espy_session_run(lab.session, &input, 1, outputs, 2));
    cr_expect_not(info.float64_as_float32);
    cr_expect(outputs[1].rank == 1 && outputs[1].dims[0] == 2 && zeros[0] == 0 && zeros[1] == 0);
    cr_expect(y[1] == 2 && y[3] == 4);
    cr_expect_eq(lab.warnings, 0);
    lab_close(&lab);
}

// ---- weights of 16 bits -------------------------------------------------------------------------

enum { NARROW_OUT = 32, NARROW_IN = 30, NARROW_WEIGHTS = NARROW_OUT * NARROW_IN * 9 };
static uint16_t narrow_weights[NARROW_WEIGHTS];
static float wide_weights[NARROW_WEIGHTS];
static espy_dtype narrow_dtype;
static int64_t narrow_out;

// The same convolution with weights of 16 bits behind a Cast, as `espy convert --weights` has them,
// and with the numbers that these are.
static void make_narrow(struct graph *graph)
{
    const struct shape shape = {4, {narrow_out, NARROW_IN, 3, 3}};
    const size_t count = (size_t)(narrow_out * NARROW_IN * 9);
    for (size_t i = 0; i < count; i++) {
        const uint32_t bits = (uint32_t)(i * 40503 + 977) >> 2;
        // Both signs, some subnormal, some zero. So many that they are not computed with the plan.
        const uint32_t mask = narrow_dtype == ESPY_FLOAT16 ? 0xbbff : 0xbfff;
        narrow_weights[i] = (uint16_t)(bits & mask);
        if (i % 7 == 0)
            narrow_weights[i] &= 0x81ff;
    }
    struct tensor from = {.type = {narrow_dtype, shape}, .count = count, .data = narrow_weights};
    for (size_t i = 0; i < count; i++)
        wide_weights[i] = (float)espy_tensor_number(&from, i);
    const uint32_t x = make_input(graph, "x", ESPY_FLOAT32, SHAPE(1, NARROW_IN, 5, 7));
    const uint32_t narrow = make_constant(graph, "narrow", narrow_dtype, &shape, narrow_weights);
    const uint32_t wide = make_constant(graph, "wide", ESPY_FLOAT32, &shape, wide_weights);
    make_output(graph, MAKE(graph, "Conv", "y", x, make_cast(graph, "w", narrow, "float32")));
    make_output(graph, MAKE(graph, "Conv", "z", x, wide));
}

// Widths of four and of two columns per lane, and of one, which stays wide.
Test(session_plans, weights_of_16_bits_give_what_they_give_widened)
{
    static const int64_t widths[] = {NARROW_OUT, 16, 8};
    for (uint32_t i = 0; i < 6; i++) {
        static float x[NARROW_IN * 35], y[NARROW_OUT * 15], z[NARROW_OUT * 15];
        struct lab lab;
        narrow_dtype = i % 2 == 0 ? ESPY_FLOAT16 : ESPY_BFLOAT16;
        narrow_out = widths[i / 2];
        lab_init(&lab, make_narrow);
        for (uint32_t k = 0; k < NARROW_IN * 35; k++)
            x[k] = (float)(k % 23) - 11;
        struct espy_tensor input = FLOATS("x", x, 1, NARROW_IN, 5, 7);
        struct espy_tensor outputs[2] = {ROOM("y", y), ROOM("z", z)};
        EXPECT_OK(&lab, espy_session_run(lab.session, &input, 1, outputs, 2));
        for (uint32_t k = 0; k < narrow_out * 15; k++)
            cr_expect(y[k] == z[k], "%u: element %u: %g, widened %g", i, k, (double)y[k],
                      (double)z[k]);
        cr_expect(z[3] != 0 && isfinite(z[3]));
        lab_close(&lab);
    }
}

// ---- bfloat16 -----------------------------------------------------------------------------------

// 1 + 2^-8 lies half way between two bfloat16: a value on the way may have it, an output has not.
static void make_bfloat16(struct graph *graph)
{
    static const uint16_t weights[6] = {0x3f80, 0x4000, 0x3f80, 0x3b80, 0xbf80, 0x3f00};
    static const uint16_t two = 0x4000;
    const struct shape matrix = {2, {3, 2}}, scalar = {0, {0}};
    const uint32_t x = make_input(graph, "x", ESPY_BFLOAT16, SHAPE(-1, 3));
    const uint32_t w = make_constant(graph, "w", ESPY_BFLOAT16, &matrix, weights);
    const uint32_t product = MAKE(graph, "MatMul", "product", x, w);
    make_output(graph, product);
    const uint32_t factor = make_constant(graph, "two", ESPY_BFLOAT16, &scalar, &two);
    make_output(graph, MAKE(graph, "Mul", "twice", product, factor));
}

Test(session_plans, bfloat16_goes_in_and_comes_out_rounded_to_the_nearest)
{
    struct lab lab;
    lab_init(&lab, make_bfloat16);
    // Columns of w: 1, 1, -1 and 2, 2^-8, 0.5.
    uint16_t x[6] = {0x3f80, 0x4040, 0x4000, 0x0000, 0x3f80, 0x4000}; // 1 3 2, 0 1 2
    uint16_t product[4], twice[4];
    struct espy_tensor input = {.name = "x",
                                .dtype = ESPY_BFLOAT16,
                                .rank = 2,
                                .dims = {2, 3},
                                .data = x,
                                .size = sizeof(x)};
    struct espy_tensor outputs[2] = {ROOM("product", product), ROOM("twice", twice)};
    EXPECT_OK(&lab, espy_session_run(lab.session, &input, 1, outputs, 2));
    // 2, 3 + 3/256 -> 3.015625; -1, 1 + 1/256 -> 1, the even one
    static const uint16_t wanted[4] = {0x4000, 0x4041, 0xbf80, 0x3f80};
    // 4, 6 + 6/256 -> 6.03125; -2, 2 + 2/256 -> 2
    static const uint16_t wanted_twice[4] = {0x4080, 0x40c1, 0xc000, 0x4000};
    for (size_t i = 0; i < 4; i++) {
        cr_expect_eq(product[i], wanted[i], "product %zu: 0x%04x", i, product[i]);
        cr_expect_eq(twice[i], wanted_twice[i], "twice %zu: 0x%04x", i, twice[i]);
    }
    cr_expect_eq(lab.warnings, 0);
    lab_close(&lab);
}
