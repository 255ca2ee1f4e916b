// Pooling.
#include <math.h>

#include "layers/layer.h"

struct pool {
    struct layer_ints kernel, stride, padding, dilation, size;
    bool ceil, count_padding, keep;
    int mode;
};

enum { MODE_AVERAGE, MODE_MAX };
static const char *const mode_choices[] = {"avg", "max", NULL};
static const char *const padding_words[] = {"same", NULL};

#define WINDOW_ROWS                                                                        \
    {.name = "",                                                                           \
     .type = LAYER_INTS,                                                                   \
     .offset = offsetof(struct pool, kernel),                                              \
     .fallback = 2,                                                                        \
     .min = 1,                                                                             \
     .max = 32768,                                                                         \
     .help = "size of the window: one number for height and width, or one for each axis"}, \
        {.name = "stride",                                                                 \
         .type = LAYER_INTS,                                                               \
         .offset = offsetof(struct pool, stride),                                          \
         .fallback = NAN,                                                                  \
         .min = 1,                                                                         \
         .max = 32768,                                                                     \
         .help = "step of the window; default: its size"},                                 \
        {.name = "padding",                                                                \
         .type = LAYER_INTS,                                                               \
         .offset = offsetof(struct pool, padding),                                         \
         .min = 0,                                                                         \
         .max = 32768,                                                                     \
         .choices = padding_words,                                                         \
         .help = "as of `conv`"},                                                          \
    {                                                                                      \
        .name = "ceil", .type = LAYER_BOOL, .offset = offsetof(struct pool, ceil),         \
        .help = "a last window may stick out of the input"                                 \
    }

static const struct layer_member max_rows[] = {WINDOW_ROWS,
                                               {.name = "dilation",
                                                .type = LAYER_INTS,
                                                .offset = offsetof(struct pool, dilation),
                                                .fallback = 1,
                                                .min = 1,
                                                .max = 32768,
                                                .help = "distance between the window's elements"}};
static const struct layer_member average_rows[] = {
    WINDOW_ROWS,
    {.name = "count_padding",
     .type = LAYER_BOOL,
     .offset = offsetof(struct pool, count_padding),
     .fallback = true,
     .help = "padding counts in the mean, as zeros"}};
static const struct layer_member global_rows[] = {
    {.name = "",
     .type = LAYER_CHOICE,
     .offset = offsetof(struct pool, mode),
     .choices = mode_choices,
     .help = "the mean or the largest"},
    {.name = "keep",
     .type = LAYER_BOOL,
     .offset = offsetof(struct pool, keep),
     .fallback = true,
     .help = "the dimensions stay, with size 1; false: [batch, channels]"}};
static const struct layer_member adaptive_rows[] = {
    {.name = "",
     .type = LAYER_INTS,
     .offset = offsetof(struct pool, size),
     .fallback = 1,
     .min = 1,
     .max = 32768,
     .help = "height and width of the output, or one number for both"},
    {.name = "mode",
     .type = LAYER_CHOICE,
     .offset = offsetof(struct pool, mode),
     .choices = mode_choices,
     .help = "the mean or the largest"}};

static uint32_t add_pool(struct layer *layer, const struct pool *pool, const char *op, uint32_t x)
{
    static const struct layer_ints one = {.count = 1, .word = -1, .values = {1}};
    const uint32_t rank = espy_layer_rank(layer, x);
    const bool is_max = op[0] == 'M';
    int64_t kernel[ESPY_RANK_MAX];
    // One number is for as many axes as the input has, or the two of a picture.
    const uint32_t axes = pool->kernel.count > 1 ? pool->kernel.count : rank > 2 ? rank - 2 : 2;
    if (axes > ESPY_RANK_MAX - 2) {
        espy_layer_fail(layer, "a window has at most %d axes", (int)ESPY_RANK_MAX - 2);
        return GRAPH_NONE;
    }
    for (uint32_t a = 0; a < axes; a++)
        kernel[a] = pool->kernel.values[pool->kernel.count == 1 ? 0 : a];
    const uint32_t y = espy_layer_unary(layer, op, x);
    const struct layer_window window = {pool->stride.count > 0 ? &pool->stride : &pool->kernel,
                                        &pool->padding, is_max ? &pool->dilation : &one};
    espy_layer_set_ints(layer, "kernel_shape", kernel, axes);
    espy_layer_window(layer, &window, axes, kernel);
    espy_layer_set(layer, "ceil_mode", pool->ceil);
    if (!is_max)
        espy_layer_set(layer, "count_include_pad", pool->count_padding);
    return y;
}

static uint32_t expand_max(struct layer *layer, const void *members, uint32_t x)
{
    return add_pool(layer, members, "MaxPool", x);
}

static uint32_t expand_average(struct layer *layer, const void *members, uint32_t x)
{
    return add_pool(layer, members, "AveragePool", x);
}

static uint32_t expand_global(struct layer *layer, const void *members, uint32_t x)
{
    const struct pool *pool = members;
    const uint32_t y =
        espy_layer_unary(layer, pool->mode == MODE_MAX ? "GlobalMaxPool" : "GlobalAveragePool", x);
    return pool->keep ? y : espy_layer_unary(layer, "Flatten", y);
}

// As PyTorch does it where the input is a multiple of the output; elsewhere its windows differ.
static uint32_t expand_adaptive(struct layer *layer, const void *members, uint32_t x)
{
    const struct pool *pool = members;
    const bool is_max = pool->mode == MODE_MAX;
    int64_t kernel[2];
    if (pool->size.count > 2) {
        espy_layer_fail(layer, "expected height and width");
        return GRAPH_NONE;
    }
    if (pool->size.values[0] == 1 && pool->size.values[pool->size.count - 1] == 1)
        return espy_layer_unary(layer, is_max ? "GlobalMaxPool" : "GlobalAveragePool", x);
    for (uint32_t a = 0; a < 2; a++) {
        const int64_t in = espy_layer_dim(layer, x, 2 + (int64_t)a);
        const int64_t out = pool->size.values[pool->size.count == 1 ? 0 : a];
        kernel[a] = in / out;
        if (espy_layer_failed(layer))
            return GRAPH_NONE;
        if (in < out || in % out != 0) {
            espy_layer_fail(
                layer, in < 0 ? "the input's height and width are not known here"
                              : "the input's height and width are no multiples of the output's");
            return GRAPH_NONE;
        }
    }
    const uint32_t y = espy_layer_unary(layer, is_max ? "MaxPool" : "AveragePool", x);
    espy_layer_set_ints(layer, "kernel_shape", kernel, 2);
    espy_layer_set_ints(layer, "strides", kernel, 2);
    return y;
}

static const struct layer_block blocks[] = {
    {.name = "max_pool",
     .summary = "The largest element of every window, as torch.nn.MaxPool2d.",
     .example = "{\"max_pool\": 3, \"stride\": 2, \"padding\": 1}",
     LAYER_MEMBERS(max_rows, struct pool),
     .expand = expand_max},
    {.name = "avg_pool",
     .summary = "The mean of every window, as torch.nn.AvgPool2d.",
     .example = "{\"avg_pool\": [3, 2], \"padding\": [1, 0], \"ceil\": true}",
     LAYER_MEMBERS(average_rows, struct pool),
     .expand = expand_average},
    {.name = "global_pool",
     .summary = "The mean or the largest of every channel.",
     .example = "{\"global_pool\": \"avg\", \"keep\": false}",
     LAYER_MEMBERS(global_rows, struct pool),
     .expand = expand_global},
    {.name = "adaptive_pool",
     .summary = "A picture of a given size, as torch.nn.AdaptiveAvgPool2d, where it divides the "
                "input's; 1 always does.",
     .example = "{\"adaptive_pool\": [2, 1], \"mode\": \"max\"}",
     LAYER_MEMBERS(adaptive_rows, struct pool),
     .expand = expand_adaptive},
};

const struct layer_family espy_layers_block_pool = {blocks, LAYER_COUNT(blocks)};
