// Goal: a channel shuffle that the kernel before it writes computes what its nodes say, and what
// only looks like one is left alone. Method: a unit of ShuffleNet in many forms, on the device and
// with faked devices' plans, against the references.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "plan/plan.h"
#include "support/fake_devices.h"
#include "support/test_host.h"
#include "test_graph_compare.h"

enum { IMAGES = 2, ROWS = 7, COLUMNS = 5 };

enum other { FIRST_HALF, SECOND_HALF, CONVOLUTION, INPUT };

struct form {
    int64_t channels; // of each of the two
    enum other other; // what comes with the convolution's channels
    bool swapped;     // it comes after them
    bool turned;      // the last two dimensions change places too
    bool shown;       // what the Concat makes is an output besides
};

static uint32_t make_half(struct graph *graph, const char *name, uint32_t x, int64_t from,
                          int64_t to)
{
    char start[16], end[16];
    snprintf(start, sizeof(start), "%s_from", name);
    snprintf(end, sizeof(end), "%s_to", name);
    const uint32_t axis = make_constant(graph, name, ESPY_INT64, SHAPE(1), &(int64_t){1});
    const uint32_t a = make_constant(graph, start, ESPY_INT64, SHAPE(1), &from);
    const uint32_t b = make_constant(graph, end, ESPY_INT64, SHAPE(1), &to);
    char half[16];
    snprintf(half, sizeof(half), "%s_half", name);
    return MAKE(graph, "Slice", half, x, a, b, axis);
}

static uint32_t make_other(struct graph *graph, const struct form *form, uint32_t all)
{
    const int64_t c = form->channels;
    switch (form->other) {
    case FIRST_HALF:
        return make_half(graph, "first", all, 0, c);
    case SECOND_HALF:
        return make_half(graph, "second", all, c, 2 * c);
    case CONVOLUTION:
        return MAKE(graph, "Conv", "other", all, make_weights(graph, "wo", SHAPE(c, 2 * c, 1, 1)));
    default:
        return make_input(graph, "given", ESPY_FLOAT32, SHAPE(IMAGES, c, ROWS, COLUMNS));
    }
}

static void make_unit(struct graph *graph, const struct form *form)
{
    static const double perm[] = {0, 2, 1, 3, 4}, turned[] = {0, 2, 1, 4, 3};
    const int64_t c = form->channels;
    const int64_t apart[] = {IMAGES, 2, c, ROWS, COLUMNS}, whole[] = {IMAGES, 2 * c, ROWS, COLUMNS};
    const uint32_t x = make_input(graph, "x", ESPY_FLOAT32, SHAPE(IMAGES, 8, ROWS, COLUMNS));
    const uint32_t all =
        MAKE(graph, "Conv", "all", x, make_weights(graph, "wa", SHAPE(2 * c, 8, 1, 1)));
    const uint32_t other = make_other(graph, form, all);
    const uint32_t b = MAKE(graph, "Conv", "b", make_half(graph, "rest", all, c, 2 * c),
                            make_weights(graph, "wb", SHAPE(c, c, 1, 1)));
    cr_assert(espy_graph_add_step(graph, &graph->nodes[graph->node_count - 1], "Relu", NULL, NULL,
                                  0) == ESPY_OK);
    const uint32_t joined = form->swapped ? MAKE(graph, "Concat", "joined", b, other)
                                          : MAKE(graph, "Concat", "joined", other, b);
    make_number(graph, "axis", 1);
    const uint32_t groups = MAKE(graph, "Reshape", "groups", joined,
                                 make_constant(graph, "apart", ESPY_INT64, SHAPE(5), apart));
    const uint32_t swapped = MAKE(graph, "Transpose", "swapped", groups);
    make_numbers(graph, "perm", form->turned ? turned : perm, 5);
    make_output(graph, MAKE(graph, "Reshape", "y", swapped,
                            make_constant(graph, "whole", ESPY_INT64, SHAPE(4), whole)));
    if (form->shown)
        make_output(graph, joined);
}

static void run_form(struct test_host *test, struct vk_device *device, const struct form *form)
{
    struct graph graph;
    char what[64];
    make_graph(&graph, &test->host);
    make_unit(&graph, form);
    snprintf(what, sizeof(what), "%lld channels, other %d", (long long)form->channels, form->other);
    compare_graph(test, device, &graph, what, 1e-5);
    espy_graph_finish(&graph);
}

Test(shuffle, is_what_its_nodes_say)
{
    static const int64_t channels[] = {58, 60, 57, 130, 4};
    struct test_host test;
    struct vk_device *device = NULL;
    espy_test_host_init(&test);
    cr_assert(espy_test_open_device(&test.host, false, &device) == ESPY_OK, "%s", test.last_error);
    for (size_t i = 0; i < sizeof(channels) / sizeof(channels[0]); i++) {
        for (enum other other = FIRST_HALF; other <= INPUT; other++) {
            struct form form = {.channels = channels[i], .other = other};
            run_form(&test, device, &form);
        }
        run_form(&test, device, &(struct form){.channels = channels[i], .swapped = true});
        run_form(&test, device, &(struct form){.channels = channels[i], .turned = true});
        run_form(&test, device, &(struct form){.channels = channels[i], .shown = true});
    }
    cr_expect(espy_vk_device_validation_count(device) == 0, "%s", test.last_error);
    espy_vk_device_destroy(&device);
    cr_expect(test.live_count == 0);
}

// Copies behind the second convolution, which all are of what the shuffle moves.
static uint32_t copies(const struct form *form, const struct caps *caps)
{
    struct test_host test;
    struct graph graph;
    struct plan plan;
    espy_test_host_init(&test);
    make_graph(&graph, &test.host);
    make_unit(&graph, form);
    make_plan(&test, &graph, &(struct plan_params){.caps = caps}, &plan);
    uint32_t count = 0, products = 0;
    for (uint32_t d = 0; d < plan.dispatch_count; d++) {
        const bool product = strncmp(plan.dispatches[d].shader->name, "panel", 5) == 0;
        products += product;
        count += !product && products >= 2;
    }
    espy_plan_finish(&plan);
    espy_graph_finish(&graph);
    cr_expect(test.live_count == 0);
    return count;
}

Test(shuffle, is_written_by_the_kernel_before_it)
{
    static const struct caps cpu = {FAKE_CPU};
    // The network's output is made dense, which is one copy.
    cr_expect(copies(&(struct form){.channels = 60}, &cpu) == 1);
    cr_expect(copies(&(struct form){.channels = 58}, &cpu) == 1);
    cr_expect(copies(&(struct form){.channels = 60, .other = CONVOLUTION}, &cpu) == 1);
    cr_expect(copies(&(struct form){.channels = 60, .swapped = true}, &cpu) > 1);
    cr_expect(copies(&(struct form){.channels = 60, .turned = true}, &cpu) > 1);
    cr_expect(copies(&(struct form){.channels = 60, .shown = true}, &cpu) > 1);
    cr_expect(copies(&(struct form){.channels = 57}, &cpu) > 1);
}
