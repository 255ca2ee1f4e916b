#include "bench_problems.h"

#include "op/op.h"

#define CONV(conv_name, ...)                                         \
    {                                                                \
        .name = "conv " conv_name, .kind = PROBLEM_CONV, __VA_ARGS__ \
    }
// The direct kernel, F(2x2, 3x3) and F(4x4, 3x3), which is not for float16, side by side.
#define WINOGRAD(shape_name, shape_form, form_name, ...) \
    {                                                    \
        .name = "winograd " shape_name ", " form_name,   \
        .kind = PROBLEM_CONV,                            \
        .kernel = 3,                                     \
        .question = "winograd",                          \
        .form = shape_form,                              \
        __VA_ARGS__                                      \
    }
#define WINOGRADS(shape_name, ...)                                             \
    WINOGRAD(shape_name, 0, "direct", __VA_ARGS__),                            \
        WINOGRAD(shape_name, 1, "2x2", __VA_ARGS__),                           \
        WINOGRAD(shape_name, 2, "4x4", __VA_ARGS__),                           \
        WINOGRAD("half " shape_name, 0, "direct", .half = true, __VA_ARGS__),  \
        WINOGRAD("half " shape_name, 1, "2x2", .half = true, __VA_ARGS__)
// A row for each form of a kernel, the cheapest by estimate first. Devices have ten at most; rows
// of forms that one does not have are left out.
#define FORMS(row, ...)                                                                \
    row(0, __VA_ARGS__), row(1, __VA_ARGS__), row(2, __VA_ARGS__), row(3, __VA_ARGS__), \
        row(4, __VA_ARGS__), row(5, __VA_ARGS__), row(6, __VA_ARGS__),                 \
        row(7, __VA_ARGS__), row(8, __VA_ARGS__), row(9, __VA_ARGS__)
// gemm.h: every tile that a device has room for. The kernel's name tells them apart.
#define TILE(form_number, shape_name, ...)                   \
    {                                                        \
        .name = "tiles " shape_name ", form " #form_number,  \
        .question = "gemm", .form = form_number, __VA_ARGS__ \
    }
#define TILES(shape_name, ...)             \
    FORMS(TILE, shape_name, __VA_ARGS__),  \
        FORMS(TILE, "half " shape_name, .half = true, __VA_ARGS__)
// flash_matrix.h, the same.
#define FLASH(form_number, shape_name, ...)                                                \
    {                                                                                      \
        .name = "attention " shape_name ", form " #form_number, .kind = PROBLEM_ATTENTION, \
        .question = "flash", .form = form_number, __VA_ARGS__                              \
    }
#define FLASH_FORMS(shape_name, ...)       \
    FORMS(FLASH, shape_name, __VA_ARGS__), \
        FORMS(FLASH, shape_name ", float16", .half = true, __VA_ARGS__)
#define DEPTHWISE(depth_name, ...)                                                       \
    {                                                                                    \
        .name = "depthwise " depth_name, .kind = PROBLEM_CONV, .groups = -1, __VA_ARGS__ \
    }
#define OTHER(other_name, other_kind, ...)                  \
    {                                                       \
        .name = other_name, .kind = other_kind, __VA_ARGS__ \
    }

const struct problem espy_bench_problems[] = {
    CONV("3x3 56x56x64", .size = 56, .in = 64, .out = 64, .kernel = 3),
    CONV("3x3 28x28x128", .size = 28, .in = 128, .out = 128, .kernel = 3),
    CONV("3x3 56x56 128 to 32", .size = 56, .in = 128, .out = 32, .kernel = 3),
    CONV("3x3 14x14x256", .size = 14, .in = 256, .out = 256, .kernel = 3),
    CONV("3x3 7x7x512", .size = 7, .in = 512, .out = 512, .kernel = 3),
    CONV("3x3/2 56x56x128", .size = 56, .in = 128, .out = 128, .kernel = 3, .stride = 2),
    CONV("7x7/2 224x224x3 to 64", .size = 224, .in = 3, .out = 64, .kernel = 7, .stride = 2),
    CONV("3x3/2 224x224x3 to 32", .size = 224, .in = 3, .out = 32, .kernel = 3, .stride = 2),
    CONV("3x3 64x64x8", .size = 64, .in = 8, .out = 8, .kernel = 3),
    CONV("3x3 64x64x16", .size = 64, .in = 16, .out = 16, .kernel = 3),
    CONV("3x3 64x64x40", .size = 64, .in = 40, .out = 40, .kernel = 3),
    CONV("3x3 128x128x32 to 3", .size = 128, .in = 32, .out = 3, .kernel = 3),
    CONV("3x3 256x256x64 to 3", .size = 256, .in = 64, .out = 3, .kernel = 3),
    CONV("3x3 14x14x208 in groups of 8", .size = 14, .in = 208, .out = 208, .kernel = 3,
         .groups = 26),
    CONV("1x1 14x14 256 to 1024", .size = 14, .in = 256, .out = 1024, .kernel = 1),
    CONV("1x1 14x14 1024 to 256", .size = 14, .in = 1024, .out = 256, .kernel = 1),
    CONV("1x1 56x56 64 to 256", .size = 56, .in = 64, .out = 256, .kernel = 1),
    CONV("1x1 112x112 16 to 96", .size = 112, .in = 16, .out = 96, .kernel = 1),
    CONV("8 of 3x3 56x56x64", .size = 56, .in = 64, .out = 64, .kernel = 3, .batch = 8),
    CONV("8 of 3x3 14x14x256", .size = 14, .in = 256, .out = 256, .kernel = 3, .batch = 8),
    CONV("8 of 3x3 7x7x512", .size = 7, .in = 512, .out = 512, .kernel = 3, .batch = 8),
    CONV("8 of 1x1 14x14 256 to 1024", .size = 14, .in = 256, .out = 1024, .kernel = 1, .batch = 8),
    CONV("7x7/2 1024x1024x3 to 64", .size = 1024, .in = 3, .out = 64, .kernel = 7, .stride = 2),
    CONV("3x3 256x256x64", .size = 256, .in = 64, .out = 64, .kernel = 3),
    CONV("1x1 256x256 64 to 256", .size = 256, .in = 64, .out = 256, .kernel = 1),
    WINOGRADS("128x128x32", .size = 128, .in = 32, .out = 32),
    WINOGRADS("56x56x64", .size = 56, .in = 64, .out = 64),
    WINOGRADS("28x28x128", .size = 28, .in = 128, .out = 128),
    WINOGRADS("14x14x256", .size = 14, .in = 256, .out = 256),
    WINOGRADS("7x7x512", .size = 7, .in = 512, .out = 512),
    WINOGRADS("28x28x512", .size = 28, .in = 512, .out = 512),
    WINOGRADS("8 of 56x56x64", .size = 56, .in = 64, .out = 64, .batch = 8),
    WINOGRADS("8 of 14x14x256", .size = 14, .in = 256, .out = 256, .batch = 8),
    TILES("conv 3x3/2 56x56x128", .kind = PROBLEM_CONV, .size = 56, .in = 128, .out = 128,
          .kernel = 3, .stride = 2),
    TILES("conv 3x3/2 112x112 64 to 32", .kind = PROBLEM_CONV, .size = 112, .in = 64, .out = 32,
          .kernel = 3, .stride = 2),
    TILES("conv 3x3 128x128x32 to 3", .kind = PROBLEM_CONV, .size = 128, .in = 32, .out = 3,
          .kernel = 3),
    TILES("conv 3x3 5x5 256 to 24", .kind = PROBLEM_CONV, .size = 5, .in = 256, .out = 24,
          .kernel = 3),
    TILES("conv 1x1 112x112 16 to 96", .kind = PROBLEM_CONV, .size = 112, .in = 16, .out = 96,
          .kernel = 1),
    TILES("conv 1x1 56x56 64 to 256", .kind = PROBLEM_CONV, .size = 56, .in = 64, .out = 256,
          .kernel = 1),
    TILES("conv 1x1 14x14 256 to 1024", .kind = PROBLEM_CONV, .size = 14, .in = 256, .out = 1024,
          .kernel = 1),
    TILES("conv 1x1 7x7 2048 to 512", .kind = PROBLEM_CONV, .size = 7, .in = 2048, .out = 512,
          .kernel = 1),
    TILES("matmul 1024x1024x1024", .kind = PROBLEM_MATMUL, .size = 1024, .in = 1024, .out = 1024),
    TILES("matmul 3136x96 by 96x384", .kind = PROBLEM_MATMUL, .size = 3136, .in = 96, .out = 384),
    TILES("matmul 197x192 by 192x576", .kind = PROBLEM_MATMUL, .size = 197, .in = 192, .out = 576),
    TILES("matmul 1x1024 by 1024x1000", .kind = PROBLEM_MATMUL, .size = 1, .in = 1024, .out = 1000),
    DEPTHWISE("3x3 112x112x32", .size = 112, .in = 32, .out = 32, .kernel = 3),
    DEPTHWISE("3x3 56x56x144", .size = 56, .in = 144, .out = 144, .kernel = 3),
    DEPTHWISE("3x3/2 56x56x144", .size = 56, .in = 144, .out = 144, .kernel = 3, .stride = 2),
    DEPTHWISE("3x3 14x14x384", .size = 14, .in = 384, .out = 384, .kernel = 3),
    DEPTHWISE("5x5 28x28x120", .size = 28, .in = 120, .out = 120, .kernel = 5),
    DEPTHWISE("5x5/2 28x28x240", .size = 28, .in = 240, .out = 240, .kernel = 5, .stride = 2),
    DEPTHWISE("7x7 56x56x40", .size = 56, .in = 40, .out = 40, .kernel = 7),
    OTHER("matmul 512x512x512", PROBLEM_MATMUL, .size = 512, .in = 512, .out = 512),
    OTHER("matmul 1024x1024x1024", PROBLEM_MATMUL, .size = 1024, .in = 1024, .out = 1024),
    OTHER("matmul 197x192 by 192x576", PROBLEM_MATMUL, .size = 197, .in = 192, .out = 576),
    OTHER("matmul 3136x96 by 96x384", PROBLEM_MATMUL, .size = 3136, .in = 96, .out = 384),
    OTHER("matmul 1x1024 by 1024x1000", PROBLEM_MATMUL, .size = 1, .in = 1024, .out = 1000),
    OTHER("attention 196 tokens, 3 heads of 64", PROBLEM_ATTENTION, .size = 196, .in = 3,
          .out = 64),
    OTHER("attention 1024 tokens, 3 heads of 64", PROBLEM_ATTENTION, .size = 1024, .in = 3,
          .out = 64),
    OTHER("attention 64 of 49 tokens, 3 heads of 32", PROBLEM_ATTENTION, .size = 49, .in = 3,
          .out = 32, .batch = 64),
    OTHER("attention 64 of 49 tokens, 3 heads of 32, biased", PROBLEM_ATTENTION, .size = 49,
          .in = 3, .out = 32, .batch = 64, .biased = true),
    OTHER("attention 16 of 49 tokens, 6 heads of 32", PROBLEM_ATTENTION, .size = 49, .in = 6,
          .out = 32, .batch = 16),
    OTHER("attention 196 tokens, 3 heads of 64, float16", PROBLEM_ATTENTION, .size = 196, .in = 3,
          .out = 64, .half = true),
    OTHER("attention 1024 tokens, 3 heads of 64, float16", PROBLEM_ATTENTION, .size = 1024, .in = 3,
          .out = 64, .half = true),
    OTHER("attention 64 of 49 tokens, 3 heads of 32, float16", PROBLEM_ATTENTION, .size = 49,
          .in = 3, .out = 32, .batch = 64, .half = true),
    FLASH_FORMS("196 tokens, 3 heads of 64", .size = 196, .in = 3, .out = 64),
    FLASH_FORMS("1024 tokens, 3 heads of 64", .size = 1024, .in = 3, .out = 64),
    FLASH_FORMS("64 of 49 tokens, 3 heads of 32", .size = 49, .in = 3, .out = 32, .batch = 64),
    FLASH_FORMS("256 tokens, 4 heads of 16", .size = 256, .in = 4, .out = 16),
    FLASH_FORMS("64 of 16 tokens, 3 heads of 32", .size = 16, .in = 3, .out = 32, .batch = 64),
    OTHER("layernorm 196x192", PROBLEM_LAYER_NORM, .size = 196, .in = 192),
    OTHER("layernorm 3136x96", PROBLEM_LAYER_NORM, .size = 3136, .in = 96),
    OTHER("softmax 588x196", PROBLEM_SOFTMAX, .size = 588, .in = 196),
    OTHER("softmax 9408x49", PROBLEM_SOFTMAX, .size = 9408, .in = 49),
    OTHER("add 56x56x256", PROBLEM_ADD, .size = 56, .in = 256),
    OTHER("add 14x14x256", PROBLEM_ADD, .size = 14, .in = 256),
    OTHER("max pool 3x3/2 112x112x64", PROBLEM_MAX_POOL, .size = 112, .in = 64, .kernel = 3,
          .stride = 2),
    OTHER("global pool 56x56x64", PROBLEM_GLOBAL_POOL, .size = 56, .in = 64),
    OTHER("global pool 7x7x2048", PROBLEM_GLOBAL_POOL, .size = 7, .in = 2048),
    OTHER("resize 28x28x128 to 56x56", PROBLEM_RESIZE, .size = 28, .in = 128),
    OTHER("SE 112x112x32 by 8", PROBLEM_GATE, .size = 112, .in = 32, .hidden = 8),
    OTHER("SE 56x56x144 by 6", PROBLEM_GATE, .size = 56, .in = 144, .hidden = 6),
    OTHER("SE 14x14x480 by 20", PROBLEM_GATE, .size = 14, .in = 480, .hidden = 20),
    OTHER("SE 7x7x2048 by 128", PROBLEM_GATE, .size = 7, .in = 2048, .hidden = 128),
    OTHER("SE and 1x1 56x56x144 by 6 to 24", PROBLEM_GATE, .size = 56, .in = 144, .hidden = 6,
          .out = 24),
    OTHER("SE and 1x1 14x14x480 by 20 to 80", PROBLEM_GATE, .size = 14, .in = 480, .hidden = 20,
          .out = 80),
    OTHER("SE and 1x1 7x7x440 by 110 to 440", PROBLEM_GATE, .size = 7, .in = 440, .hidden = 110,
          .out = 440),
    OTHER("8 of SE and 1x1 14x14x480 by 20 to 80", PROBLEM_GATE, .size = 14, .in = 480,
          .hidden = 20, .out = 80, .batch = 8)};
const uint32_t espy_bench_problem_count =
    sizeof(espy_bench_problems) / sizeof(espy_bench_problems[0]);

static const double TO_NCHW[4] = {0, 3, 1, 2}, TO_NHWC[4] = {0, 2, 3, 1};

static int64_t or_one(int64_t number)
{
    return number == 0 ? 1 : number;
}

void *espy_bench_numbers(struct graph *graph, espy_dtype dtype, const struct shape *shape,
                         size_t *size)
{
    struct tensor numbers = {.type = {dtype, *shape}};
    if (!espy_shape_count(shape, &numbers.count))
        return NULL;
    *size = espy_tensor_size(&numbers);
    numbers.data = espy_arena_alloc(&graph->arena, *size);
    uint32_t state = 1;
    for (size_t i = 0; numbers.data != NULL && i < numbers.count; i++) {
        state = state * 1664525 + 1013904223;
        espy_tensor_set_number(&numbers, i, (double)(state >> 8) / (1 << 24) - 0.5);
    }
    return numbers.data;
}

// ---- parts of a graph ---------------------------------------------------------------------------

static espy_dtype dtype_of(const struct problem *p)
{
    return p->half ? ESPY_FLOAT16 : ESPY_FLOAT32;
}

static espy_status add_input(struct graph *graph, const struct problem *p, const char *name,
                             struct shape shape, uint32_t *value)
{
    TRY(espy_graph_add_value(graph, name, value));
    graph->values[*value].dtype = dtype_of(p);
    graph->values[*value].has_shape = true;
    graph->values[*value].shape = shape;
    graph->inputs[graph->input_count++] = (struct graph_io){.value = *value};
    return ESPY_OK;
}

static espy_status add_weights(struct graph *graph, const struct problem *p, const char *name,
                               struct shape shape, uint32_t *value)
{
    size_t size;
    const void *data = espy_bench_numbers(graph, dtype_of(p), &shape, &size);
    if (data == NULL)
        return ESPY_OUT_OF_MEMORY;
    return espy_graph_add_constant(graph, name, dtype_of(p), &shape, data, size, value);
}

// Adds a node that makes one new value. *value may be one of the inputs, which it replaces.
static espy_status add_node(struct graph *graph, const char *op, const char *name,
                            const uint32_t *inputs, uint32_t input_count, uint32_t *value,
                            struct graph_node **node)
{
    uint32_t made;
    TRY(espy_graph_add_value(graph, name, &made));
    TRY(espy_graph_add_node(graph, op, name, inputs, input_count, &made, 1, node));
    *value = made;
    return ESPY_OK;
}

static espy_status turn(struct graph *graph, const char *name, const double *perm, uint32_t *value)
{
    struct graph_node *node;
    TRY(add_node(graph, "Transpose", name, value, 1, value, &node));
    return espy_graph_set_numbers(graph, node, "perm", perm, 4);
}

static espy_status set_window(struct graph *graph, struct graph_node *node, const struct problem *p,
                              bool with_kernel)
{
    const double pad = (double)(p->kernel / 2), stride = (double)or_one(p->stride);
    const double pads[4] = {pad, pad, pad, pad}, strides[2] = {stride, stride};
    const double kernel[2] = {(double)p->kernel, (double)p->kernel};
    TRY(espy_graph_set_numbers(graph, node, "pads", pads, 4));
    TRY(espy_graph_set_numbers(graph, node, "strides", strides, 2));
    return with_kernel ? espy_graph_set_numbers(graph, node, "kernel_shape", kernel, 2) : ESPY_OK;
}

// ---- operators ----------------------------------------------------------------------------------

static int64_t groups_of(const struct problem *p)
{
    return p->groups < 0 ? p->in : or_one(p->groups);
}

// A convolution of every pixel by itself.
static espy_status add_point(struct graph *graph, const struct problem *p, const char *name,
                             int64_t in, int64_t out, const char *step, uint32_t *value)
{
    struct graph_node *node;
    uint32_t inputs[3] = {*value, GRAPH_NONE, GRAPH_NONE};
    TRY(add_weights(graph, p, espy_arena_format(&graph->arena, "%s_w", name),
                    (struct shape){4, {out, in, 1, 1}}, &inputs[1]));
    TRY(add_weights(graph, p, espy_arena_format(&graph->arena, "%s_b", name),
                    (struct shape){1, {out}}, &inputs[2]));
    TRY(add_node(graph, "Conv", name, inputs, 3, value, &node));
    return step == NULL ? ESPY_OK : espy_graph_add_step(graph, node, step, NULL, NULL, 0);
}

static espy_status add_gate(struct graph *graph, const struct problem *p, uint32_t *value)
{
    struct graph_node *node;
    uint32_t inputs[2] = {*value, *value};
    TRY(add_node(graph, "GlobalAveragePool", "pool", inputs, 1, &inputs[1], &node));
    TRY(add_point(graph, p, "reduce", p->in, p->hidden, "Relu", &inputs[1]));
    TRY(add_point(graph, p, "expand", p->hidden, p->in, "Sigmoid", &inputs[1]));
    TRY(add_node(graph, "Mul", "product", inputs, 2, value, &node));
    return p->out == 0 ? ESPY_OK : add_point(graph, p, "project", p->in, p->out, NULL, value);
}

// From an image in NCHW to one.
static espy_status add_image_op(struct graph *graph, const struct problem *p, uint32_t *value)
{
    static const float twice[4] = {1, 1, 2, 2};
    const struct shape four = {1, {4}};
    struct graph_node *node;
    uint32_t inputs[3] = {*value, GRAPH_NONE, GRAPH_NONE};
    switch (p->kind) {
    case PROBLEM_CONV:
        TRY(add_weights(graph, p, "w",
                        (struct shape){4, {p->out, p->in / groups_of(p), p->kernel, p->kernel}},
                        &inputs[1]));
        TRY(add_node(graph, "Conv", "conv", inputs, 2, value, &node));
        TRY(set_window(graph, node, p, false));
        return espy_graph_set_number(graph, node, "group", (double)groups_of(p));
    case PROBLEM_MAX_POOL:
        TRY(add_node(graph, "MaxPool", "pool", inputs, 1, value, &node));
        return set_window(graph, node, p, true);
    case PROBLEM_GLOBAL_POOL:
        return add_node(graph, "GlobalAveragePool", "pool", inputs, 1, value, &node);
    case PROBLEM_RESIZE:
        TRY(espy_graph_add_constant(graph, "scales", ESPY_FLOAT32, &four, twice, sizeof(twice),
                                    &inputs[2]));
        TRY(add_node(graph, "Resize", "resize", inputs, 3, value, &node));
        return espy_graph_set_string(graph, node, "mode", "linear");
    case PROBLEM_GATE:
        return add_gate(graph, p, value);
    default: // PROBLEM_ADD
        TRY(add_input(graph, p, "z", (struct shape){4, {or_one(p->batch), p->size, p->size, p->in}},
                      &inputs[1]));
        TRY(turn(graph, "z_nchw", TO_NCHW, &inputs[1]));
        return add_node(graph, "Add", "add", inputs, 2, value, &node);
    }
}

static espy_status add_attention(struct graph *graph, const struct problem *p, uint32_t *value)
{
    static const char *const names[3] = {"q", "k", "v"};
    struct graph_node *node;
    uint32_t inputs[4];
    for (int i = 0; i < 3; i++)
        TRY(add_input(graph, p, names[i],
                      (struct shape){3, {or_one(p->batch), p->size, p->in * p->out}}, &inputs[i]));
    if (p->biased)
        TRY(add_weights(graph, p, "bias", (struct shape){4, {1, p->in, p->size, p->size}},
                        &inputs[3]));
    TRY(add_node(graph, "Attention", "y", inputs, p->biased ? 4 : 3, value, &node));
    TRY(espy_graph_set_number(graph, node, "q_num_heads", (double)p->in));
    return espy_graph_set_number(graph, node, "kv_num_heads", (double)p->in);
}

static espy_status add_rows_op(struct graph *graph, const struct problem *p, uint32_t *value)
{
    struct graph_node *node;
    uint32_t inputs[3];
    TRY(add_input(graph, p, "x", (struct shape){2, {p->size, p->in}}, &inputs[0]));
    switch (p->kind) {
    case PROBLEM_MATMUL:
        TRY(add_weights(graph, p, "w", (struct shape){2, {p->in, p->out}}, &inputs[1]));
        return add_node(graph, "MatMul", "y", inputs, 2, value, &node);
    case PROBLEM_LAYER_NORM:
        TRY(add_weights(graph, p, "scale", (struct shape){1, {p->in}}, &inputs[1]));
        TRY(add_weights(graph, p, "bias", (struct shape){1, {p->in}}, &inputs[2]));
        return add_node(graph, "LayerNormalization", "y", inputs, 3, value, &node);
    default: // PROBLEM_SOFTMAX
        return add_node(graph, "Softmax", "y", inputs, 1, value, &node);
    }
}

static espy_status add_problem(struct graph *graph, const struct problem *p, uint32_t *value)
{
    switch (p->kind) {
    case PROBLEM_ATTENTION:
        return add_attention(graph, p, value);
    case PROBLEM_MATMUL:
    case PROBLEM_LAYER_NORM:
    case PROBLEM_SOFTMAX:
        return add_rows_op(graph, p, value);
    default:
        TRY(add_input(graph, p, "x", (struct shape){4, {or_one(p->batch), p->size, p->size, p->in}},
                      value));
        TRY(turn(graph, "nchw", TO_NCHW, value));
        TRY(add_image_op(graph, p, value));
        return turn(graph, "nhwc", TO_NHWC, value);
    }
}

// ---- costs --------------------------------------------------------------------------------------

static struct problem_cost cost_of(const struct problem *p)
{
    const int64_t batch = or_one(p->batch), pixels = batch * p->size * p->size;
    const int64_t side = (p->size - 1) / or_one(p->stride) + 1;
    const int64_t kernel = p->kernel * p->kernel;
    int64_t steps = 0, elements = 0;
    switch (p->kind) {
    case PROBLEM_CONV:
        steps = batch * side * side * kernel * p->in / groups_of(p) * p->out;
        elements =
            pixels * p->in + batch * side * side * p->out + kernel * p->in / groups_of(p) * p->out;
        break;
    case PROBLEM_MATMUL:
        steps = p->size * p->in * p->out;
        elements = p->size * (p->in + p->out) + p->in * p->out;
        break;
    case PROBLEM_ATTENTION:
        steps = 2 * batch * p->in * p->size * p->size * p->out;
        elements = 4 * batch * p->size * p->in * p->out;
        break;
    case PROBLEM_LAYER_NORM:
    case PROBLEM_SOFTMAX:
        elements = 2 * p->size * p->in;
        break;
    case PROBLEM_ADD:
        elements = 3 * pixels * p->in;
        break;
    case PROBLEM_MAX_POOL:
        elements = (pixels + batch * side * side) * p->in;
        break;
    case PROBLEM_GLOBAL_POOL:
        elements = (pixels + batch) * p->in;
        break;
    case PROBLEM_RESIZE:
        elements = 5 * pixels * p->in;
        break;
    case PROBLEM_GATE:
        if (p->out > 0) // a gate alone has few
            steps = (2 * batch * p->hidden + pixels * p->out) * p->in;
        elements = pixels * (p->in + (p->out == 0 ? p->in : p->out)) +
                   p->in * (2 * p->hidden + p->out);
        break;
    }
    return (struct problem_cost){2.0 * (double)steps,
                                 (double)elements * (double)espy_dtype_size(dtype_of(p))};
}

espy_status espy_bench_problem_graph(const struct problem *problem, struct graph *graph,
                                     struct problem_cost *cost)
{
    enum { INPUTS_MAX = 3 };
    uint32_t value = GRAPH_NONE;
    graph->inputs = espy_arena_array(&graph->arena, INPUTS_MAX, sizeof(*graph->inputs));
    graph->outputs = espy_arena_array(&graph->arena, 1, sizeof(*graph->outputs));
    if (graph->inputs == NULL || graph->outputs == NULL)
        return ESPY_OUT_OF_MEMORY;
    *cost = cost_of(problem);
    TRY(add_problem(graph, problem, &value));
    graph->outputs[graph->output_count++] = (struct graph_io){.value = value};
    return ESPY_OK;
}
