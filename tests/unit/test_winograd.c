// Goal: on GPUs 3x3 convolutions in tiles of 2x2 and of 4x4 are what the direct ones are, at any
// size and whatever comes before and after, and they are taken where they ought to pay.
// Method: convolutions whose form is given, with the kernels of GPUs on whatever device there is,
// against the reference; the estimate alone, for faked devices; plans for one that does not bind
// enough, and of weights that may not grow.
#include <stdio.h>
#include <stdlib.h>

#include "ops/winograd.h"
#include "support/compare.h"
#include "support/fake_devices.h"
#include "support/run_graph.h"
#include "support/test_host.h"
#include "test_graph_fixture.h"

// ---- graphs -------------------------------------------------------------------------------------

struct form_case {
    const char *name;
    int64_t images, in, out, height, width;
    double pads[4];
    const char *step; // NULL: none
    bool bias, tail, planar; // the input comes as planes, not channels-last
    uint32_t strips;         // 0: one
    double scale;            // of the input, whose weights are small then; 0: 1
};

static const struct form_case form_cases[] = {
    {"whole tiles", 1, 16, 32, 8, 12, {1, 1, 1, 1}, .bias = true},
    {"odd sizes, several images", 3, 24, 20, 9, 7, {1, 1, 1, 1}, .step = "Relu", .bias = true},
    {"no pads", 1, 32, 16, 11, 14, {0, 0, 0, 0}, .step = "Sigmoid"},
    {"pads of all sizes", 2, 16, 16, 5, 6, {0, 2, 1, 3}, .step = "HardSwish", .bias = true},
    {"an output smaller than a tile", 5, 16, 20, 3, 3, {0, 0, 0, 0}, .bias = true},
    {"odd channels", 2, 19, 33, 10, 9, {1, 1, 1, 1}, .step = "Relu", .bias = true},
    {"odd channels in planes", 1, 21, 18, 10, 9, {1, 0, 2, 1}, .planar = true},
    {"planes", 1, 20, 17, 7, 13, {1, 1, 1, 1}, .bias = true, .planar = true},
    {"a residual", 2, 36, 36, 9, 10, {1, 1, 1, 1}, .bias = true, .tail = true},
    {"a residual of odd channels", 1, 18, 23, 9, 10, {1, 1, 1, 1}, .step = "Relu", .tail = true},
    {"many channels", 1, 140, 130, 6, 6, {1, 1, 1, 1}, .bias = true},
    {"inputs near the end of float16", 1, 16, 24, 11, 10, {1, 1, 1, 1}, .scale = 3e4},
    {"strips", 2, 17, 19, 235, 233, {1, 1, 1, 1}, .bias = true, .strips = 2}};

// Numbers from -scale to scale.
static void *make_elements(struct arena *arena, espy_dtype dtype, const struct shape *shape,
                           double scale, struct tensor *tensor)
{
    static uint32_t random = 1;
    *tensor = (struct tensor){.type = {dtype, *shape}};
    cr_assert(espy_shape_count(shape, &tensor->count));
    tensor->data = espy_arena_alloc(arena, espy_tensor_size(tensor));
    cr_assert_not_null(tensor->data);
    for (size_t i = 0; i < tensor->count; i++) {
        random = random * 1664525 + 1013904223;
        espy_tensor_set_number(tensor, i, (double)(int32_t)random * 0x1p-31 * scale);
    }
    return tensor->data;
}

static uint32_t make_floats(struct graph *graph, const char *name, espy_dtype dtype,
                            const struct shape *shape, double scale)
{
    struct tensor made;
    make_elements(&graph->arena, dtype, shape, scale, &made);
    return make_constant(graph, name, dtype, shape, made.data);
}

// An input of this shape that lies channels-last.
static uint32_t make_pixels(struct graph *graph, const char *name, const char *given,
                            espy_dtype dtype, const struct shape *shape)
{
    static const double turned[4] = {0, 3, 1, 2};
    const int64_t *dims = shape->dims;
    const uint32_t pixels =
        make_input(graph, given, dtype, SHAPE(dims[0], dims[2], dims[3], dims[1]));
    const uint32_t planes = MAKE(graph, "Transpose", name, pixels);
    make_numbers(graph, "perm", turned, 4);
    return planes;
}

static void make_case(struct graph *graph, const struct form_case *f, espy_dtype dtype)
{
    const int64_t height = f->height + (int64_t)(f->pads[0] + f->pads[2]) - 2;
    const int64_t width = f->width + (int64_t)(f->pads[1] + f->pads[3]) - 2;
    const struct shape *planes = SHAPE(f->images, f->in, f->height, f->width);
    const uint32_t x = f->planar ? make_input(graph, "x", dtype, planes)
                                 : make_pixels(graph, "x", "x_given", dtype, planes);
    uint32_t other = GRAPH_NONE; // has to be there before the convolution
    if (f->tail)
        other = make_pixels(graph, "other", "other_given", dtype,
                            SHAPE(f->images, f->out, height, width));
    uint32_t inputs[3] = {x, make_floats(graph, "w", dtype, SHAPE(f->out, f->in, 3, 3),
                                         f->scale > 1 ? 0.05 : 0.25)};
    if (f->bias)
        inputs[2] = make_floats(graph, "b", dtype, SHAPE(f->out), 0.25);
    uint32_t y = make_node(graph, "Conv", "y", inputs, f->bias ? 3 : 2);
    make_numbers(graph, "pads", f->pads, 4);
    if (f->step != NULL)
        cr_assert(espy_graph_add_step(graph, &graph->nodes[graph->node_count - 1], f->step, NULL,
                                      NULL, 0) == ESPY_OK);
    if (f->tail)
        y = MAKE(graph, "Add", "z", y, other);
    make_output(graph, y);
}

static void plan_graph(struct test_host *test, const struct graph *graph, const struct caps *caps,
                       const struct choices *choices, uint64_t spare_size, struct plan *plan)
{
    const struct plan_params like = {.caps = caps, .choices = choices, .spare_size = spare_size};
    make_plan(test, graph, &like, plan);
}

static const struct plan_choice *question(const struct plan *plan)
{
    for (uint32_t i = 0; i < plan->choice_count; i++)
        if (strncmp(plan->choices[i].key, "winograd:", 9) == 0)
            return &plan->choices[i];
    return NULL;
}

// Of a strip of inputs, with tiles of so many outputs along an axis.
static bool is_transform(const struct plan_dispatch *dispatch, uint32_t tile)
{
    const struct winograd_input_spec *spec = dispatch->spec;
    return strncmp(dispatch->shader->name, "winograd_input", 14) == 0 && spec->tile == tile;
}

static bool has_kernel(const struct plan *plan, const char *name)
{
    bool found = false;
    for (uint32_t d = 0; d < plan->dispatch_count; d++)
        found = found || strncmp(plan->dispatches[d].shader->name, name, strlen(name)) == 0;
    return found;
}

static uint32_t strips_of(const struct plan *plan, uint32_t tile)
{
    uint32_t count = 0;
    for (uint32_t d = 0; d < plan->dispatch_count; d++)
        count += is_transform(&plan->dispatches[d], tile);
    return count;
}

// ---- results ------------------------------------------------------------------------------------

static void run_form(struct test_host *test, struct vk_device *device, const struct graph *graph,
                     const struct form_case *f, struct tensor *inputs, struct tensor *reference,
                     uint32_t form)
{
    struct plan plan;
    struct choices choices;
    struct op_type types[2];
    const void *data[2];
    struct runner *runner = NULL;
    espy_choices_init(&choices, &test->host);
    plan_graph(test, graph, espy_vk_device_caps(device), NULL, 0, &plan);
    const struct plan_choice *asked = question(&plan);
    cr_assert_not_null(asked, "%s", f->name);
    cr_assert(form < asked->count, "%s: form %u", f->name, form);
    cr_assert(espy_choices_set(&choices, asked->key, asked->count, form) == ESPY_OK);
    espy_plan_finish(&plan);
    for (uint32_t i = 0; i < graph->input_count; i++) {
        types[i] = inputs[i].type;
        data[i] = inputs[i].data;
    }
    const struct runner_params params = {.host = &test->host,
                                         .device = device,
                                         .graph = graph,
                                         .inputs = types,
                                         .choices = &choices};
    cr_assert(espy_runner_create(&params, &runner) == ESPY_OK, "%s", test->last_error);
    const uint32_t strips = form == WINOGRAD_NONE ? 0 : f->strips > 0 ? f->strips : 1;
    cr_expect_eq(strips_of(&runner->first->plan, 2 * form), strips, "%s, form %u", f->name, form);
    cr_expect(!f->tail || !has_kernel(&runner->first->plan, "binary"),
              "%s, form %u: a kernel of its own adds", f->name, form);
    cr_expect(form == WINOGRAD_NONE || reference->type.dtype != ESPY_FLOAT16 ||
                  has_kernel(&runner->first->plan, "gemm_matrix") ==
                      (espy_vk_device_caps(device)->matrix_count > 0),
              "%s: products by cooperative matrices where there are some", f->name);
    cr_assert(espy_runner_start(runner, data) == ESPY_OK, "%s", test->last_error);
    cr_assert(espy_runner_finish(runner, UINT64_MAX) == ESPY_OK, "%s", test->last_error);
    struct tensor result = *reference;
    result.data = malloc(espy_tensor_size(&result));
    cr_assert(result.data != NULL && espy_runner_read(runner, 0, result.data) == ESPY_OK);
    struct comparison comparison;
    char text[256];
    espy_test_compare(&result, reference, &comparison);
    cr_expect(espy_test_close(&comparison, reference->type.dtype == ESPY_FLOAT16 ? 2e-3 : 1e-5),
              "%s, form %u: %s", f->name, form,
              espy_test_difference(&result, reference, &comparison, text, sizeof(text)));
    free(result.data);
    espy_runner_destroy(&runner);
    espy_choices_finish(&choices);
}

static void run_case(struct test_host *test, struct vk_device *device, const struct form_case *f,
                     espy_dtype dtype)
{
    struct graph graph;
    struct arena arena;
    struct tensor inputs[2], reference = {0};
    make_graph(&graph, &test->host);
    espy_arena_init(&arena, &test->host);
    make_case(&graph, f, dtype);
    cr_assert(espy_graph_check(&graph) == ESPY_OK, "%s", test->last_error);
    for (uint32_t i = 0; i < graph.input_count; i++)
        make_elements(&arena, dtype, &graph.values[graph.inputs[i].value].shape,
                      f->scale > 0 ? f->scale : 1, &inputs[i]);
    cr_assert(espy_graph_evaluate(&test->host, &graph, inputs, &arena, &reference) == ESPY_OK);
    const enum winograd_form most =
        espy_storage_of(espy_vk_device_caps(device), dtype) == STORAGE_F16 ? WINOGRAD_TWO
                                                                           : WINOGRAD_FOUR;
    for (uint32_t form = WINOGRAD_NONE; form <= (uint32_t)most; form++)
        run_form(test, device, &graph, f, inputs, &reference, form);
    espy_graph_finish(&graph);
    espy_arena_finish(&arena);
}

// 16 channels, of which the sixth counts: output channel k is k + 1 times the input a row above the
// middle of the last row of the window.
static void run_by_hand(struct test_host *test, struct vk_device *device)
{
    enum { CHANNELS = 16, SIZE = 9, OUT = SIZE - 2 };
    static const struct form_case plain = {"by hand", .planar = true};
    static float x[CHANNELS * SIZE * SIZE], w[CHANNELS * CHANNELS * 9], y[CHANNELS * OUT * OUT];
    struct graph graph;
    for (uint32_t i = 0; i < CHANNELS * SIZE * SIZE; i++)
        x[i] = (float)(i / SIZE % SIZE + 3 * (i % SIZE)) - (float)(i / (SIZE * SIZE));
    for (uint32_t k = 0; k < CHANNELS; k++)
        w[(k * CHANNELS + 5) * 9 + 2 * 3 + 1] = (float)k + 1;
    for (uint32_t i = 0; i < CHANNELS * OUT * OUT; i++) {
        const uint32_t row = i / OUT % OUT + 2, column = i % OUT + 1;
        y[i] = (float)(i / (OUT * OUT) + 1) * ((float)(row + 3 * column) - 5);
    }
    make_graph(&graph, &test->host);
    const uint32_t input = make_input(&graph, "x", ESPY_FLOAT32, SHAPE(1, CHANNELS, SIZE, SIZE));
    make_output(&graph, MAKE(&graph, "Conv", "y", input,
                             make_constant(&graph, "w", ESPY_FLOAT32,
                                           SHAPE(CHANNELS, CHANNELS, 3, 3), w)));
    struct tensor given = {.type = {ESPY_FLOAT32, *SHAPE(1, CHANNELS, SIZE, SIZE)},
                           .count = CHANNELS * SIZE * SIZE,
                           .data = x};
    struct tensor expected = {.type = {ESPY_FLOAT32, *SHAPE(1, CHANNELS, OUT, OUT)},
                              .count = CHANNELS * OUT * OUT,
                              .data = y};
    for (uint32_t form = WINOGRAD_NONE; form < WINOGRAD_FORMS; form++)
        run_form(test, device, &graph, &plain, &given, &expected, form);
    espy_graph_finish(&graph);
}

// Whether the device has cooperative matrices for it.
static bool run_all(espy_dtype dtype, bool no_matrices, bool few_registers)
{
    struct test_host test;
    struct vk_device *device = NULL;
    const char *validation = getenv("ESPY_TEST_VALIDATION");
    espy_test_host_init(&test);
    const struct vk_device_params params = {
        .host = &test.host,
        .name = getenv("ESPY_TEST_DEVICE"),
        .validation = validation == NULL || strcmp(validation, "0") != 0,
        .float16_storage = true,
        .gpu_kernels = true,
        .no_matrices = no_matrices,
        .few_registers = few_registers};
    cr_assert(espy_vk_device_create(&params, &device) == ESPY_OK, "%s", test.last_error);
    const bool has_matrices = espy_vk_device_caps(device)->matrix_count > 0;
    for (size_t i = 0; i < sizeof(form_cases) / sizeof(form_cases[0]); i++)
        run_case(&test, device, &form_cases[i], dtype);
    if (dtype == ESPY_FLOAT32)
        run_by_hand(&test, device);
    cr_expect(espy_vk_device_validation_count(device) == 0, "%s", test.last_error);
    espy_vk_device_destroy(&device);
    cr_expect(test.live_count == 0);
    return has_matrices;
}

Test(winograd, every_form_is_right_in_float32)
{
    run_all(ESPY_FLOAT32, false, false);
}

Test(winograd, every_form_is_right_in_float16)
{
    if (run_all(ESPY_FLOAT16, false, false))
        run_all(ESPY_FLOAT16, true, false);
}

// The inputs' transforms take two channels at a time there, products smaller tiles.
Test(winograd, every_form_is_right_with_few_registers)
{
    run_all(ESPY_FLOAT32, false, true);
    run_all(ESPY_FLOAT16, false, true);
}

// ---- where --------------------------------------------------------------------------------------

static const struct caps discrete = {FAKE_GPU};
static const struct caps integrated = {.invocations_max = 1024,
                                       .shared_size = 32 << 10,
                                       .groups_busy = 24,
                                       .buffer_range_max = 1 << 30};
static const struct caps software = {.invocations_max = 1024,
                                     .shared_size = 32 << 10,
                                     .groups_busy = 16,
                                     .buffer_range_max = 1 << 27};

struct size {
    int64_t images, height, width, in, out;
};

static enum winograd_form estimate(const struct caps *caps, enum storage storage, struct size size)
{
    const struct op_lower c = {.caps = caps};
    const struct panel_problem problem = {.groups = 1,
                                          .in = size.in,
                                          .out = size.out,
                                          .pixels = size.images * size.height * size.width,
                                          .window = {.rank = 3,
                                                     .in = {1, size.height, size.width},
                                                     .out = {1, size.height, size.width},
                                                     .kernel = {1, 3, 3},
                                                     .stride = {1, 1, 1},
                                                     .dilation = {1, 1, 1},
                                                     .pad = {0, 1, 1},
                                                     .pad_end = {0, 1, 1}},
                                          .vector = size.in % 4 == 0,
                                          .x = {.storage = storage}};
    return winograd_estimate(&c, &problem,
                             storage == STORAGE_F16 ? WINOGRAD_TWO : WINOGRAD_FOUR);
}

Test(winograd, is_for_many_channels_and_many_tiles)
{
    static const struct size early = {8, 56, 56, 64, 64}, late = {1, 28, 28, 512, 512};
    cr_expect_eq(estimate(&discrete, STORAGE_F32, early), WINOGRAD_FOUR);
    cr_expect_eq(estimate(&discrete, STORAGE_F32, late), WINOGRAD_FOUR);
    cr_expect_eq(estimate(&discrete, STORAGE_F32, (struct size){1, 256, 256, 16, 16}),
                 WINOGRAD_NONE, "moving factors takes longer than what is saved");
    cr_expect_eq(estimate(&discrete, STORAGE_F32, (struct size){1, 7, 7, 512, 512}), WINOGRAD_NONE,
                 "four tiles for more weights than pixels");
    cr_expect_eq(estimate(&discrete, STORAGE_F32, (struct size){1, 14, 14, 64, 64}), WINOGRAD_NONE,
                 "two dispatches more take longer");
    cr_expect_eq(estimate(&integrated, STORAGE_F32, (struct size){1, 14, 14, 256, 256}),
                 WINOGRAD_TWO, "a quarter of tiles of 4x4 would lie outside");
    cr_expect_eq(estimate(&discrete, STORAGE_F16, late), WINOGRAD_TWO);
    struct caps matrices = discrete;
    matrices.matrix_count = 1;
    matrices.matrices[0] = (struct caps_matrix){16, 16, 16};
    cr_expect_eq(estimate(&matrices, STORAGE_F16, early), WINOGRAD_NONE);
    cr_expect_eq(estimate(&matrices, STORAGE_F16, late), WINOGRAD_NONE);
}

Test(winograd, cases_of_test_ops_reach_both)
{
    cr_expect_eq(estimate(&software, STORAGE_F32, (struct size){2, 31, 29, 63, 61}),
                 WINOGRAD_FOUR);
    cr_expect_eq(estimate(&software, STORAGE_F32, (struct size){2, 14, 17, 250, 250}),
                 WINOGRAD_TWO);
    cr_expect_eq(estimate(&software, STORAGE_F16, (struct size){2, 14, 17, 250, 250}),
                 WINOGRAD_TWO);
}

// The tile that a plan takes whose table says that it is to be as large as there is one.
static uint32_t tile_of(const struct caps *caps, int64_t channels, uint64_t spare_size)
{
    const struct form_case wanted = {.name = "wanted",
                                     .images = 2,
                                     .in = channels,
                                     .out = channels,
                                     .height = 28,
                                     .width = 28,
                                     .pads = {1, 1, 1, 1}};
    struct test_host test;
    struct graph graph;
    struct plan plan;
    struct choices choices;
    uint32_t tile = 0;
    espy_test_host_init(&test);
    espy_choices_init(&choices, &test.host);
    make_graph(&graph, &test.host);
    make_case(&graph, &wanted, ESPY_FLOAT32);
    plan_graph(&test, &graph, caps, NULL, 0, &plan);
    const struct plan_choice *asked = question(&plan);
    const bool is_asked = asked != NULL;
    if (is_asked)
        cr_assert(espy_choices_set(&choices, asked->key, asked->count, asked->count - 1) ==
                  ESPY_OK);
    espy_plan_finish(&plan);
    plan_graph(&test, &graph, caps, &choices, spare_size, &plan);
    if (spare_size > 0 && is_asked)
        cr_expect_eq(question(&plan)->spare_size, spare_size, "what the tuner plans with");
    for (uint32_t t = 2; t <= 4; t += 2)
        tile = strips_of(&plan, t) > 0 ? t : tile;
    espy_plan_finish(&plan);
    espy_choices_finish(&choices);
    espy_graph_finish(&graph);
    cr_expect(test.live_count == 0);
    return tile;
}

Test(winograd, memory_is_what_limits_it)
{
    struct caps narrow = discrete;
    narrow.buffer_range_max = 4 << 20;
    cr_expect_eq(tile_of(&discrete, 64, 0), 4);
    cr_expect_eq(tile_of(&narrow, 64, 0), 4);
    cr_expect_eq(tile_of(&narrow, 128, 0), 2, "weights of 4x4 are more than can be bound");
    cr_expect_eq(tile_of(&narrow, 256, 0), 0);
    cr_expect_eq(tile_of(&discrete, 256, 0), 2, "weights would be four times as many");
    cr_expect_eq(tile_of(&discrete, 256, 8 << 20), 4);
    cr_expect_eq(tile_of(&discrete, 256, 1), 0);
}
