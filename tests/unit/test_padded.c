// Goal: maps whose pixels have room for whole vectors hold what dense ones would, whatever lay in
// that memory before, and only kernels that can fill and read the room make and get them. Method:
// chains of convolutions with channels that do not come in fours, behind a node that leaves NaN in
// the memory that they reuse, against the references; and the pipelines of their plans.
#include <criterion/criterion.h>
#include <stdio.h>

#include "plan/plan.h"
#include "support/fake_devices.h"
#include "support/test_host.h"
#include "test_graph_compare.h"

enum { IMAGES = 2, ROWS = 9, COLUMNS = 7, IN = 8, POISON = 64 };

struct form {
    int64_t channels;
    int64_t stride;      // of the depthwise convolution
    const char *step;    // behind the first two convolutions; NULL: none
    bool bias;
    bool shown;          // the first convolution's result is an output besides
    bool added;          // what is read between the two is a sum
};

static void add_step(struct graph *graph, const struct form *form)
{
    if (form->step != NULL)
        cr_assert(espy_graph_add_step(graph, &graph->nodes[graph->node_count - 1], form->step, NULL,
                                      NULL, 0) == ESPY_OK);
}

static uint32_t make_conv(struct graph *graph, const char *name, uint32_t x, int64_t out, int64_t in,
                          bool bias)
{
    char weights[16], biases[16];
    snprintf(weights, sizeof(weights), "w_%s", name);
    snprintf(biases, sizeof(biases), "b_%s", name);
    const uint32_t w = make_weights(graph, weights, SHAPE(out, in, 1, 1));
    return bias ? MAKE(graph, "Conv", name, x, w, make_weights(graph, biases, SHAPE(out)))
                : MAKE(graph, "Conv", name, x, w);
}

// All of it NaN, and not needed any more when the convolutions run.
static void make_poison(struct graph *graph)
{
    const uint32_t p = make_input(graph, "nan", ESPY_FLOAT32, SHAPE(POISON, ROWS, COLUMNS, POISON));
    const uint32_t turned = MAKE(graph, "Neg", "turned", p);
    make_output(graph, MAKE(graph, "ReduceSum", "poison", turned));
}

static void make_chain(struct graph *graph, const struct form *form)
{
    const int64_t c = form->channels;
    const double strides[] = {(double)form->stride, (double)form->stride}, pads[] = {1, 1, 1, 1};
    make_poison(graph);
    const uint32_t x = make_input(graph, "x", ESPY_FLOAT32, SHAPE(IMAGES, IN, ROWS, COLUMNS));
    const uint32_t wide = make_conv(graph, "wide", x, c, IN, form->bias);
    add_step(graph, form);
    const uint32_t read = form->added ? MAKE(graph, "Add", "sum", wide, wide) : wide;
    const uint32_t w = make_weights(graph, "w_deep", SHAPE(c, 1, 3, 3));
    const uint32_t deep =
        form->bias ? MAKE(graph, "Conv", "deep", read, w, make_weights(graph, "b_deep", SHAPE(c)))
                   : MAKE(graph, "Conv", "deep", read, w);
    make_number(graph, "group", (double)c);
    make_numbers(graph, "strides", strides, 2);
    make_numbers(graph, "pads", pads, 4);
    add_step(graph, form);
    make_output(graph, make_conv(graph, "y", deep, 12, c, form->bias));
    if (form->shown)
        make_output(graph, wide);
}

static void run_form(struct test_host *test, struct vk_device *device, const struct form *form)
{
    struct graph graph;
    char what[64];
    make_graph(&graph, &test->host);
    make_chain(&graph, form);
    snprintf(what, sizeof(what), "%lld channels, stride %lld, %s", (long long)form->channels,
             (long long)form->stride, form->step == NULL ? "no step" : form->step);
    compare_graph(test, device, &graph, what, 1e-5);
    espy_graph_finish(&graph);
}

Test(padded, maps_hold_what_dense_ones_do)
{
    static const int64_t channels[] = {58, 57, 31, 130, 7};
    struct test_host test;
    struct vk_device *device = NULL;
    espy_test_host_init(&test);
    cr_assert(espy_test_open_device(&test.host, false, &device) == ESPY_OK, "%s", test.last_error);
    for (size_t i = 0; i < sizeof(channels) / sizeof(channels[0]); i++) {
        const int64_t c = channels[i];
        run_form(&test, device, &(struct form){.channels = c, .stride = 1, .step = "Relu"});
        run_form(&test, device, &(struct form){.channels = c, .stride = 2, .bias = true});
        run_form(&test, device,
                 &(struct form){.channels = c, .stride = 1, .step = "Exp", .bias = true});
        run_form(&test, device,
                 &(struct form){.channels = c, .stride = 1, .step = "HardSwish", .bias = true});
        run_form(&test, device, &(struct form){.channels = c, .stride = 1, .shown = true});
        run_form(&test, device, &(struct form){.channels = c, .stride = 1, .added = true});
    }
    cr_expect(espy_vk_device_validation_count(device) == 0, "%s", test.last_error);
    espy_vk_device_destroy(&device);
    cr_expect(test.live_count == 0);
}

// The size of the memory that the first convolution writes, in elements of a pixel.
static int64_t pixel_of(const struct form *form, const struct caps *caps)
{
    struct test_host test;
    struct graph graph;
    struct plan plan;
    int64_t size = 0;
    espy_test_host_init(&test);
    make_graph(&graph, &test.host);
    make_chain(&graph, form);
    make_plan(&test, &graph, &(struct plan_params){.caps = caps}, &plan);
    for (uint32_t b = 0; b < plan.buffer_count; b++)
        if (plan.buffers[b].name != NULL && strcmp(plan.buffers[b].name, "wide") == 0)
            size = (int64_t)(plan.buffers[b].size / sizeof(float) / (IMAGES * ROWS * COLUMNS));
    espy_plan_finish(&plan);
    espy_graph_finish(&graph);
    cr_expect(test.live_count == 0);
    return size;
}

Test(padded, maps_are_those_that_nobody_else_reads)
{
    static const struct caps cpu = {FAKE_CPU};
    cr_expect(pixel_of(&(struct form){.channels = 58, .stride = 1}, &cpu) == 60);
    cr_expect(pixel_of(&(struct form){.channels = 58, .stride = 1, .step = "Relu"}, &cpu) == 60);
    cr_expect(pixel_of(&(struct form){.channels = 60, .stride = 1}, &cpu) == 60);
    cr_expect(pixel_of(&(struct form){.channels = 58, .stride = 1, .step = "Log"}, &cpu) == 58);
    cr_expect(pixel_of(&(struct form){.channels = 58, .stride = 1, .shown = true}, &cpu) == 58);
    cr_expect(pixel_of(&(struct form){.channels = 58, .stride = 1, .added = true}, &cpu) == 58);
}
