// Goal: gates of channels are made in two dispatches and compute what their nodes say, factors go
// into the convolution behind them, and what only looks like either is left alone. Method: blocks
// in many forms, on the device and with faked devices' plans, against the references; one block
// with numbers worked out by hand. The same of the two maps that spatial gates are made of.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan/plan.h"
#include "support/fake_devices.h"
#include "support/test_host.h"
#include "test_graph_compare.h"

enum middle { POINTS, PRODUCTS, ONE_PRODUCT, ALONG, ALONG_TURNED, TWO_POOLS };

struct form {
    const char *what;
    int64_t images, channels, hidden, rows, columns; // images 0: one
    enum middle middle;
    const char *pool, *steps[2]; // NULL: GlobalAveragePool, Relu, Sigmoid
    espy_dtype dtype;            // NONE: float32
    int64_t out;                 // channels of a 1x1 convolution of the product; 0: none
    int64_t kernel;              // 3: it is no 1x1 convolution
    bool bare;                   // layers without biases
    bool residual;               // an Add of the map follows
    bool gate_shown, pooled_shown, layer_shown, product_shown; // outputs besides
    bool computed; // the first layer's weights are no constants
    bool narrow;   // they are a Cast of some in 16 bits
};

static const char *pool_of(const struct form *form)
{
    return form->pool != NULL ? form->pool : "GlobalAveragePool";
}

static void add_step(struct graph *graph, const char *op)
{
    cr_assert(espy_graph_add_step(graph, &graph->nodes[graph->node_count - 1], op, NULL, NULL, 0) ==
              ESPY_OK);
}

static uint32_t weights_of(struct graph *graph, const struct form *form, const char *name,
                           const struct shape *shape)
{
    const uint32_t made = make_weights(graph, name, shape);
    if (form->dtype == ESPY_DTYPE_NONE)
        return made;
    struct graph_value *value = &graph->values[made];
    struct tensor from = {{ESPY_FLOAT32, *shape}, 0, (void *)(uintptr_t)value->data};
    struct tensor to = {{form->dtype, *shape}, 0, NULL};
    cr_assert(espy_shape_count(shape, &from.count));
    to.count = from.count;
    to.data = espy_arena_array(&graph->arena, to.count, espy_dtype_size(form->dtype));
    for (size_t i = 0; i < to.count; i++)
        espy_tensor_set_number(&to, i, espy_tensor_number(&from, i));
    value->dtype = form->dtype;
    value->data = to.data;
    value->data_size = to.count * espy_dtype_size(form->dtype);
    return made;
}

static uint32_t reshaped(struct graph *graph, const char *name, uint32_t value,
                         const struct shape *shape)
{
    char constant[32];
    snprintf(constant, sizeof(constant), "%s_shape", name);
    const uint32_t to = make_constant(graph, constant, ESPY_INT64, SHAPE(shape->rank), shape->dims);
    return MAKE(graph, "Reshape", name, value, to);
}

// Two convolutions of one pixel; shared: by another pooling, under other names.
static uint32_t make_points(struct graph *graph, const struct form *form, uint32_t pooled,
                            const uint32_t shared[4], const char *const names[2], bool ends)
{
    const uint32_t first = form->bare ? MAKE(graph, "Conv", names[0], pooled, shared[0])
                                      : MAKE(graph, "Conv", names[0], pooled, shared[0], shared[1]);
    add_step(graph, form->steps[0] != NULL ? form->steps[0] : "Relu");
    if (form->layer_shown)
        make_output(graph, first);
    const uint32_t second = form->bare ? MAKE(graph, "Conv", names[1], first, shared[2])
                                       : MAKE(graph, "Conv", names[1], first, shared[2], shared[3]);
    if (ends)
        add_step(graph, form->steps[1] != NULL ? form->steps[1] : "Sigmoid");
    return second;
}

static uint32_t make_products(struct graph *graph, const struct form *form, int64_t images,
                              uint32_t pooled)
{
    const int64_t c = form->channels, h = form->hidden;
    uint32_t value = reshaped(graph, "flat", pooled, SHAPE(images, c));
    if (form->middle == PRODUCTS) {
        value = MAKE(graph, "Gemm", "reduce", value, weights_of(graph, form, "wr", SHAPE(h, c)),
                     weights_of(graph, form, "br", SHAPE(h)));
        make_number(graph, "transB", 1);
        add_step(graph, form->steps[0] != NULL ? form->steps[0] : "Relu");
    }
    const int64_t in = form->middle == PRODUCTS ? h : c;
    value = MAKE(graph, "MatMul", "expand", value, weights_of(graph, form, "we", SHAPE(in, c)));
    add_step(graph, form->steps[1] != NULL ? form->steps[1] : "Sigmoid");
    return reshaped(graph, "gate", value, SHAPE(images, c, 1, 1));
}

static uint32_t make_along(struct graph *graph, const struct form *form, int64_t images,
                           uint32_t pooled)
{
    static const double pads[] = {2, 2}, perm[] = {0, 2, 1};
    const int64_t c = form->channels;
    uint32_t line = reshaped(graph, "line", pooled,
                             form->middle == ALONG ? SHAPE(images, 1, c) : SHAPE(images, c, 1));
    if (form->middle == ALONG_TURNED) {
        line = MAKE(graph, "Transpose", "turned", line);
        make_numbers(graph, "perm", perm, 3);
    }
    const uint32_t along =
        MAKE(graph, "Conv", "along", line, weights_of(graph, form, "wl", SHAPE(1, 1, 5)));
    make_numbers(graph, "pads", pads, 2);
    add_step(graph, "Sigmoid");
    return reshaped(graph, "gate", along, SHAPE(images, c, 1, 1));
}

// The factors of x.
static uint32_t make_gate(struct graph *graph, const struct form *form, int64_t images, uint32_t x)
{
    static const char *const names[] = {"reduce", "expand"};
    static const char *const again[] = {"reduce2", "expand2"};
    const int64_t c = form->channels, h = form->hidden;
    const uint32_t pooled = MAKE(graph, pool_of(form), "pooled", x);
    if (form->pooled_shown)
        make_output(graph, pooled);
    if (form->middle == PRODUCTS || form->middle == ONE_PRODUCT)
        return make_products(graph, form, images, pooled);
    if (form->middle == ALONG || form->middle == ALONG_TURNED)
        return make_along(graph, form, images, pooled);
    uint32_t first = weights_of(graph, form, "wr", SHAPE(h, c, 1, 1));
    if (form->narrow) {
        const struct form half = {.dtype = ESPY_FLOAT16};
        const bool halves = form->dtype == ESPY_FLOAT16;
        first = MAKE(graph, "Cast", "wide", weights_of(graph, &half, "wn", SHAPE(h, c, 1, 1)));
        cr_assert(espy_graph_set_string(graph, &graph->nodes[graph->node_count - 1], "to",
                                        halves ? "float16" : "float32") == ESPY_OK);
    }
    if (form->computed)
        first = MAKE(graph, "Mul", "wc", first, make_input(graph, "m", ESPY_FLOAT32, SHAPE(1)));
    const uint32_t shared[] = {first, weights_of(graph, form, "br", SHAPE(h)),
                               weights_of(graph, form, "we", SHAPE(c, h, 1, 1)),
                               weights_of(graph, form, "be", SHAPE(c))};
    const uint32_t gate = make_points(graph, form, pooled, shared, names, form->middle == POINTS);
    if (form->middle == POINTS)
        return gate;
    const uint32_t largest = MAKE(graph, "GlobalMaxPool", "largest", x);
    const uint32_t other = make_points(graph, form, largest, shared, again, false);
    const uint32_t sum = MAKE(graph, "Add", "sum", other, gate);
    add_step(graph, "Sigmoid");
    return sum;
}

static void make_block(struct graph *graph, const struct form *form)
{
    static const double pads[] = {1, 1, 1, 1};
    const int64_t images = form->images == 0 ? 1 : form->images, c = form->channels;
    const espy_dtype dtype = form->dtype == ESPY_DTYPE_NONE ? ESPY_FLOAT32 : form->dtype;
    const uint32_t x = make_input(graph, "x", dtype, SHAPE(images, 8, form->rows, form->columns));
    const uint32_t map =
        MAKE(graph, "Conv", "map", x, weights_of(graph, form, "wm", SHAPE(c, 8, 1, 1)));
    const uint32_t gate = make_gate(graph, form, images, map);
    uint32_t y = MAKE(graph, "Mul", "product", gate, map);
    if (form->gate_shown)
        make_output(graph, gate);
    if (form->product_shown)
        make_output(graph, y);
    if (form->out > 0) {
        const int64_t kernel = form->kernel == 0 ? 1 : form->kernel;
        y = MAKE(graph, "Conv", "project", y,
                 weights_of(graph, form, "wp", SHAPE(form->out, c, kernel, kernel)));
        if (kernel == 3)
            make_numbers(graph, "pads", pads, 4);
    }
    if (form->residual) {
        y = MAKE(graph, "Add", "y", y, map);
        add_step(graph, "Relu");
    }
    make_output(graph, y);
}

static void run_form(struct test_host *test, struct vk_device *device, const struct form *form)
{
    struct graph graph;
    make_graph(&graph, &test->host);
    make_block(&graph, form);
    compare_graph(test, device, &graph, form->what, form->dtype == ESPY_FLOAT16 ? 2e-3 : 1e-5);
    espy_graph_finish(&graph);
}

#define BLOCK(...)                           \
    {                                        \
        __VA_ARGS__, .rows = 7, .columns = 5 \
    }
#define LARGE(...)                             \
    {                                          \
        __VA_ARGS__, .rows = 40, .columns = 41 \
    }

// Made in two dispatches by both families.
static const struct form gates[] = {
    BLOCK("SE", .channels = 24, .hidden = 8),
    BLOCK("SE, ragged", .channels = 37, .hidden = 5),
    BLOCK("SE, several images", .images = 3, .channels = 40, .hidden = 6),
    LARGE("SE of a large map", .channels = 12, .hidden = 3),
    LARGE("SE of large maps, ragged", .images = 2, .channels = 10, .hidden = 7),
    BLOCK("SE, many channels", .channels = 640, .hidden = 48),
    BLOCK("SE, more quads than invocations", .channels = 1100, .hidden = 9),
    BLOCK("SE, wide", .channels = 60, .hidden = 400),
    BLOCK("SE without biases", .channels = 24, .hidden = 8, .bare = true),
    BLOCK("SE of MobileNetV3", .channels = 24, .hidden = 8, .steps = {"Relu", "HardSigmoid"}),
    BLOCK("SE of EfficientNet", .channels = 24, .hidden = 8, .steps = {"Swish", "Sigmoid"}),
    BLOCK("SE, HardSwish", .channels = 24, .hidden = 8, .steps = {"HardSwish", "HardSigmoid"}),
    BLOCK("SE, shown", .channels = 24, .hidden = 8, .gate_shown = true),
    BLOCK("SE, weights in 16 bits", .channels = 24, .hidden = 8, .narrow = true),
    BLOCK("SE and a residual", .channels = 24, .hidden = 8, .residual = true),
    BLOCK("two products", .images = 2, .channels = 24, .hidden = 7, .middle = PRODUCTS),
    BLOCK("one product", .channels = 26, .middle = ONE_PRODUCT),
    BLOCK("ECA", .images = 2, .channels = 24, .middle = ALONG),
    BLOCK("ECA, turned, ragged", .channels = 35, .middle = ALONG_TURNED),
    BLOCK("CBAM", .channels = 24, .hidden = 8, .middle = TWO_POOLS),
    LARGE("CBAM of large maps, ragged", .images = 2, .channels = 22, .hidden = 6,
          .middle = TWO_POOLS),
    BLOCK("CBAM without biases", .channels = 24, .hidden = 8, .middle = TWO_POOLS, .bare = true),
};

// Whose product is made as a convolution reads it.
static const struct form factors[] = {
    BLOCK("SE and 1x1", .channels = 24, .hidden = 8, .out = 16),
    BLOCK("SE and 1x1, several images", .images = 3, .channels = 40, .hidden = 6, .out = 13),
    LARGE("SE and 1x1 of a large map", .channels = 16, .hidden = 4, .out = 24),
    BLOCK("SE, 1x1 and a residual", .images = 2, .channels = 40, .hidden = 8, .out = 40,
          .residual = true),
    BLOCK("ECA and 1x1", .channels = 136, .middle = ALONG, .out = 70),
};

// What is left alone, in whole or in part.
static const struct form others[] = {
    BLOCK("means are shown", .channels = 24, .hidden = 8, .pooled_shown = true),
    BLOCK("weights are computed", .channels = 24, .hidden = 8, .computed = true),
    BLOCK("only maxima", .channels = 24, .hidden = 8, .pool = "GlobalMaxPool"),
    BLOCK("too many weights", .channels = 1030, .hidden = 260),
    BLOCK("too many channels", .channels = 2052, .hidden = 8),
    BLOCK("too many numbers between", .channels = 8, .hidden = 520),
    BLOCK("the first layer is shown", .channels = 24, .hidden = 8, .layer_shown = true),
    BLOCK("the product is shown", .channels = 24, .hidden = 8, .out = 16, .product_shown = true),
    BLOCK("a window of 3x3", .channels = 24, .hidden = 8, .out = 16, .kernel = 3),
    BLOCK("channels that are no vectors", .channels = 22, .hidden = 8, .out = 16),
};

// ---- spatial gates ------------------------------------------------------------------------------

struct spatial {
    const char *what;
    int64_t images, channels;
    bool mean_second, mean_later; // in the Concat, among the nodes
    bool mean_shown;              // an output besides
    bool apart;                   // they are of two maps
    bool minima;                  // in place of maxima
    int64_t axis;                 // 0: the channels', 1
};

static const struct spatial pairs[] = {
    {"CBAM's spatial gate", .images = 1, .channels = 24},
    {"several images, the largest first", .images = 3, .channels = 40, .mean_second = true},
    {"the largest is computed first", .images = 2, .channels = 24, .mean_later = true},
    {"ragged", .images = 2, .channels = 7, .mean_second = true, .mean_later = true},
    {"one channel", .images = 1, .channels = 1},
};

static const struct spatial no_pairs[] = {
    {"a mean is shown", .images = 1, .channels = 24, .mean_shown = true},
    {"of two maps", .images = 1, .channels = 24, .apart = true},
    {"minima", .images = 1, .channels = 24, .minima = true},
    {"along rows", .images = 1, .channels = 24, .axis = 2},
};

static void make_spatial(struct graph *graph, const struct spatial *form, espy_dtype dtype)
{
    static const double pads[] = {3, 3, 3, 3};
    const struct form typed = {.dtype = dtype};
    const int64_t axis = form->axis == 0 ? 1 : form->axis;
    const char *const largest_op = form->minima ? "ReduceMin" : "ReduceMax";
    const uint32_t x = make_input(graph, "x", dtype == ESPY_DTYPE_NONE ? ESPY_FLOAT32 : dtype,
                                  SHAPE(form->images, 8, 9, 9));
    const uint32_t map = MAKE(graph, "Conv", "map", x,
                              weights_of(graph, &typed, "wm", SHAPE(form->channels, 8, 1, 1)));
    const uint32_t other = form->apart ? MAKE(graph, "Relu", "bent", map) : map;
    const uint32_t axes = make_constant(graph, "axes", ESPY_INT64, SHAPE(1), &axis);
    uint32_t largest = form->mean_later ? MAKE(graph, largest_op, "most", other, axes) : GRAPH_NONE;
    const uint32_t mean = MAKE(graph, "ReduceMean", "mean", map, axes);
    if (!form->mean_later)
        largest = MAKE(graph, largest_op, "most", other, axes);
    const uint32_t both = form->mean_second ? MAKE(graph, "Concat", "both", largest, mean)
                                            : MAKE(graph, "Concat", "both", mean, largest);
    make_number(graph, "axis", (double)axis);
    const int64_t channels = axis == 1 ? 2 : form->channels;
    const uint32_t gate = MAKE(graph, "Conv", "gate", both,
                               weights_of(graph, &typed, "wg", SHAPE(1, channels, 7, 7)));
    make_numbers(graph, "pads", pads, 4);
    add_step(graph, "Sigmoid");
    make_output(graph, axis == 1 ? MAKE(graph, "Mul", "y", map, gate) : gate);
    if (form->mean_shown)
        make_output(graph, mean);
}

#define COUNT(forms) (sizeof(forms) / sizeof((forms)[0]))

static void run_all(bool float16)
{
    struct test_host test;
    struct vk_device *device = NULL;
    espy_test_host_init(&test);
    cr_assert(espy_test_open_device(&test.host, float16, &device) == ESPY_OK, "%s",
              test.last_error);
    const struct form *const lists[] = {gates, factors, others};
    const size_t counts[] = {COUNT(gates), COUNT(factors), COUNT(others)};
    for (size_t l = 0; l < COUNT(lists); l++) {
        for (size_t i = 0; i < counts[l]; i++) {
            struct form form = lists[l][i];
            form.dtype = float16 ? ESPY_FLOAT16 : ESPY_DTYPE_NONE;
            if (!float16 || !form.computed)
                run_form(&test, device, &form);
        }
    }
    for (size_t i = 0; i < COUNT(pairs) + COUNT(no_pairs); i++) {
        const struct spatial *form = i < COUNT(pairs) ? &pairs[i] : &no_pairs[i - COUNT(pairs)];
        struct graph graph;
        make_graph(&graph, &test.host);
        make_spatial(&graph, form, float16 ? ESPY_FLOAT16 : ESPY_DTYPE_NONE);
        compare_graph(&test, device, &graph, form->what, float16 ? 2e-3 : 1e-5);
        espy_graph_finish(&graph);
    }
    cr_expect(espy_vk_device_validation_count(device) == 0, "%s", test.last_error);
    espy_vk_device_destroy(&device);
    cr_expect(test.live_count == 0);
}

Test(gate, is_what_its_nodes_say)
{
    run_all(false);
}

Test(gate, is_what_its_nodes_say_in_float16)
{
    run_all(true);
}

// Two channels of four pixels, means 1 and 3. The first layer makes -1 and 2 of them, the second
// one 2.5 and -1 of 0 and 2, and HardSigmoid 1 and 0.3 of these.
Test(gate, has_the_numbers_worked_out_by_hand)
{
    static const float x_data[] = {0, 1, 2, 1, 6, 2, 0, 4}, wr[] = {2, -1, 0.5f, 0.5f};
    static const float br[] = {0, 0}, we[] = {7, 1, 3, -1}, be[] = {0.5f, 1};
    static const float expected[] = {0, 1, 2, 1, 1.8f, 0.6f, 0, 1.2f};
    struct test_host test;
    struct vk_device *device = NULL;
    struct graph graph;
    struct arena arena;
    espy_test_host_init(&test);
    cr_assert(espy_test_open_device(&test.host, false, &device) == ESPY_OK, "%s", test.last_error);
    make_graph(&graph, &test.host);
    espy_arena_init(&arena, &test.host);
    const uint32_t x = make_input(&graph, "x", ESPY_FLOAT32, SHAPE(1, 2, 2, 2));
    const uint32_t pooled = MAKE(&graph, "GlobalAveragePool", "pooled", x);
    const uint32_t hidden = MAKE(&graph, "Conv", "hidden", pooled,
                                 make_constant(&graph, "wr", ESPY_FLOAT32, SHAPE(2, 2, 1, 1), wr),
                                 make_constant(&graph, "br", ESPY_FLOAT32, SHAPE(2), br));
    add_step(&graph, "Relu");
    const uint32_t gate = MAKE(&graph, "Conv", "gate", hidden,
                               make_constant(&graph, "we", ESPY_FLOAT32, SHAPE(2, 2, 1, 1), we),
                               make_constant(&graph, "be", ESPY_FLOAT32, SHAPE(2), be));
    add_step(&graph, "HardSigmoid");
    make_output(&graph, MAKE(&graph, "Mul", "y", x, gate));
    struct tensor input = {{ESPY_FLOAT32, *SHAPE(1, 2, 2, 2)}, 8, (void *)(uintptr_t)x_data};
    struct tensor output = {.count = 0};
    cr_assert(espy_test_run(&test.host, device, &graph, &input, &arena, &output, NULL) == ESPY_OK,
              "%s", test.last_error);
    for (size_t i = 0; i < 8; i++)
        cr_expect(fabs(espy_tensor_number(&output, i) - (double)expected[i]) < 1e-6,
                  "element %zu is %g", i, espy_tensor_number(&output, i));
    espy_graph_finish(&graph);
    espy_arena_finish(&arena);
    espy_vk_device_destroy(&device);
    cr_expect(test.live_count == 0);
}

struct counts {
    uint32_t gates, pools, products, pairs;
};

// Dispatches of a plan by what they do.
static struct counts count_graph(struct test_host *test, const struct graph *graph,
                                 const struct caps *caps, bool keep)
{
    struct plan plan;
    struct counts counts = {0};
    make_plan(test, graph, &(struct plan_params){.caps = caps, .keep_values = keep}, &plan);
    for (uint32_t d = 0; d < plan.dispatch_count; d++) {
        const char *name = plan.dispatches[d].shader->name;
        counts.gates += strncmp(name, "channel_gate", 12) == 0;
        counts.pools += strncmp(name, "global_pool", 11) == 0;
        counts.products += strncmp(name, "binary", 6) == 0;
        counts.pairs += strncmp(name, "channel_pair", 12) == 0;
    }
    espy_plan_finish(&plan);
    return counts;
}

static struct counts count(const struct form *form, const struct caps *caps, bool keep)
{
    struct test_host test;
    struct graph graph;
    espy_test_host_init(&test);
    make_graph(&graph, &test.host);
    make_block(&graph, form);
    const struct counts counts = count_graph(&test, &graph, caps, keep);
    espy_graph_finish(&graph);
    cr_expect(test.live_count == 0);
    return counts;
}

static const struct caps devices[] = {{FAKE_CPU}, {FAKE_GPU}};

Test(gate, takes_two_dispatches)
{
    for (size_t d = 0; d < COUNT(devices); d++) {
        for (size_t i = 0; i < COUNT(gates); i++) {
            const struct counts counts = count(&gates[i], &devices[d], false);
            cr_expect(counts.gates == 1 && counts.pools == 1 && counts.products == 1,
                      "%s: %u gates, %u poolings, %u products", gates[i].what, counts.gates,
                      counts.pools, counts.products);
        }
    }
}

Test(gate, is_read_by_the_convolution_behind_it)
{
    for (size_t d = 0; d < COUNT(devices); d++) {
        for (size_t i = 0; i < COUNT(factors); i++) {
            const struct counts counts = count(&factors[i], &devices[d], false);
            cr_expect(counts.gates == 1 && counts.pools == 1 && counts.products == 0,
                      "%s: %u gates, %u poolings, %u products", factors[i].what, counts.gates,
                      counts.pools, counts.products);
        }
    }
}

Test(gate, leaves_alone_what_it_cannot_do)
{
    enum { WITHOUT_GATE = 6 }; // of others, the first; the rest has one, without factors
    for (size_t d = 0; d < COUNT(devices); d++) {
        for (size_t i = 0; i < COUNT(others); i++) {
            const struct counts counts = count(&others[i], &devices[d], false);
            cr_expect(counts.gates == (i < WITHOUT_GATE ? 0 : 1) && counts.products > 0,
                      "%s: %u gates, %u products", others[i].what, counts.gates, counts.products);
        }
    }
    // Where every value is kept, every node is computed.
    const struct counts kept = count(&factors[0], &devices[0], true);
    cr_expect(kept.gates == 0 && kept.products == 1);
}

static uint32_t count_pairs(const struct spatial *form, const struct caps *caps, bool keep)
{
    struct test_host test;
    struct graph graph;
    espy_test_host_init(&test);
    make_graph(&graph, &test.host);
    make_spatial(&graph, form, ESPY_DTYPE_NONE);
    const struct counts counts = count_graph(&test, &graph, caps, keep);
    espy_graph_finish(&graph);
    cr_expect(test.live_count == 0);
    return counts.pairs;
}

Test(gate, takes_mean_and_maximum_in_one_pass)
{
    for (size_t d = 0; d < COUNT(devices); d++) {
        for (size_t i = 0; i < COUNT(pairs); i++)
            cr_expect(count_pairs(&pairs[i], &devices[d], false) == 1, "%s", pairs[i].what);
        for (size_t i = 0; i < COUNT(no_pairs); i++)
            cr_expect(count_pairs(&no_pairs[i], &devices[d], false) == 0, "%s", no_pairs[i].what);
        cr_expect(count_pairs(&pairs[0], &devices[d], true) == 0);
    }
}
