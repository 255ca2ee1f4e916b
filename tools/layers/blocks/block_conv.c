// Convolutions.
#include "layers/layer.h"

struct conv {
    const char *path, *depthwise, *pointwise;
    struct layer_ints stride, padding, dilation, output_padding;
    int64_t groups;
    struct layer_norm norm;
    struct layer_tree act;
};

static const char *const padding_words[] = {"same", NULL};
static const char *const depthwise_names[] = {"depthwise", "conv_dw", "0", NULL};
static const char *const pointwise_names[] = {"pointwise", "conv_pw", "1", NULL};

#define PATH_ROW                                                               \
    {                                                                          \
        .name = "", .type = LAYER_PATH, .offset = offsetof(struct conv, path), \
        .help = "the weights: `weight` and, where there is one, `bias`"        \
    }
#define STRIDE_ROW                                                                                \
    {                                                                                             \
        .name = "stride", .type = LAYER_INTS, .offset = offsetof(struct conv, stride),            \
        .fallback = 1, .min = 1, .max = 32768, .help = "step of the window, for all axes or each" \
    }
#define PADDING_ROW                                                                                \
    {                                                                                              \
        .name = "padding", .type = LAYER_INTS, .offset = offsetof(struct conv, padding), .min = 0, \
        .max = 32768, .choices = padding_words,                                                    \
        .help =                                                                                    \
            "zeros around the input: for all axes, each, or each before and then each after; "     \
            "`same`: as many as keep input / stride, one more after than before where it is odd"   \
    }
#define DILATION_ROW                                                                            \
    {                                                                                           \
        .name = "dilation", .type = LAYER_INTS, .offset = offsetof(struct conv, dilation),      \
        .fallback = 1, .min = 1, .max = 32768, .help = "distance between the window's elements" \
    }
#define GROUPS_ROW                                                                    \
    {                                                                                 \
        .name = "groups", .type = LAYER_INT, .offset = offsetof(struct conv, groups), \
        .fallback = 1, .min = 1, .max = INT32_MAX,                                    \
        .help = "groups into which the channels are divided"                          \
    }
#define END_ROWS                                                                      \
    {.name = "norm",                                                                  \
     .type = LAYER_NORM,                                                              \
     .offset = offsetof(struct conv, norm),                                           \
     .help = "afterwards: the name of a BatchNorm in the weights, or another layer"}, \
    {                                                                                 \
        .name = "act", .type = LAYER_LAYERS, .offset = offsetof(struct conv, act),    \
        .help = "after that: an activation, or any layer"                             \
    }

static const struct layer_member conv_rows[] = {PATH_ROW,     STRIDE_ROW, PADDING_ROW,
                                                DILATION_ROW, GROUPS_ROW, END_ROWS};
static const struct layer_member depthwise_rows[] = {PATH_ROW, STRIDE_ROW, PADDING_ROW,
                                                     DILATION_ROW, END_ROWS};
static const struct layer_member separable_rows[] = {
    {.name = "",
     .type = LAYER_PATH,
     .offset = offsetof(struct conv, path),
     .help = "the weights of both are under this name"},
    {.name = "depthwise",
     .type = LAYER_PATH,
     .offset = offsetof(struct conv, depthwise),
     .names = depthwise_names,
     .help = "the first convolution, of every channel by itself"},
    {.name = "pointwise",
     .type = LAYER_PATH,
     .offset = offsetof(struct conv, pointwise),
     .names = pointwise_names,
     .help = "the second, of every pixel by itself"},
    STRIDE_ROW,
    PADDING_ROW,
    DILATION_ROW,
    END_ROWS};
static const struct layer_member transpose_rows[] = {
    PATH_ROW,
    STRIDE_ROW,
    {.name = "padding",
     .type = LAYER_INTS,
     .offset = offsetof(struct conv, padding),
     .min = 0,
     .max = 32768,
     .help = "rows and columns taken from the output: for all axes, each, or each before and then "
             "each after"},
    DILATION_ROW,
    GROUPS_ROW,
    {.name = "output_padding",
     .type = LAYER_INTS,
     .offset = offsetof(struct conv, output_padding),
     .min = 0,
     .max = 32768,
     .help = "rows and columns added at the end of the output"},
    END_ROWS};

// The convolution alone; groups 0: as many as channels.
static uint32_t add_conv(struct layer *layer, const struct conv *conv, const char *path,
                         const char *op, int64_t groups, uint32_t x)
{
    const uint32_t weight = espy_layer_weight(layer, path, "weight");
    const uint32_t bias = espy_layer_optional(layer, path, "bias");
    const uint32_t rank = espy_layer_rank(layer, weight);
    int64_t kernel[ESPY_RANK_MAX] = {0};
    if (espy_layer_failed(layer))
        return GRAPH_NONE;
    if (rank < 3) {
        espy_layer_fail(layer, "%s.weight has %u dimensions, a convolution's has 3 or more", path,
                        (unsigned)rank);
        return GRAPH_NONE;
    }
    for (uint32_t a = 2; a < rank; a++)
        kernel[a - 2] = espy_layer_dim(layer, weight, a);
    if (groups == 0) {
        const int64_t channels = espy_layer_dim(layer, x, 1);
        groups = channels > 0 ? channels : espy_layer_dim(layer, weight, 0);
    }
    const uint32_t y = espy_layer_op(layer, op, (uint32_t[]){x, weight, bias}, 3);
    const struct layer_window window = {&conv->stride, &conv->padding, &conv->dilation};
    espy_layer_window(layer, &window, rank - 2, kernel);
    espy_layer_set(layer, "group", (double)groups);
    return y;
}

static uint32_t finish(struct layer *layer, const struct conv *conv, uint32_t x)
{
    return espy_layer_run(layer, &conv->act, espy_layer_norm(layer, &conv->norm, x));
}

static uint32_t expand_conv(struct layer *layer, const void *members, uint32_t x)
{
    const struct conv *conv = members;
    return finish(layer, conv, add_conv(layer, conv, conv->path, "Conv", conv->groups, x));
}

static uint32_t expand_depthwise(struct layer *layer, const void *members, uint32_t x)
{
    const struct conv *conv = members;
    return finish(layer, conv, add_conv(layer, conv, conv->path, "Conv", 0, x));
}

static uint32_t expand_separable(struct layer *layer, const void *members, uint32_t x)
{
    const struct conv *conv = members;
    const uint32_t spread = add_conv(layer, conv, conv->depthwise, "Conv", 0, x);
    return finish(layer, conv, espy_layer_pointwise(layer, conv->pointwise, spread));
}

static uint32_t expand_transpose(struct layer *layer, const void *members, uint32_t x)
{
    const struct conv *conv = members;
    const struct layer_ints *more = &conv->output_padding;
    const uint32_t y = add_conv(layer, conv, conv->path, "ConvTranspose", conv->groups, x);
    const uint32_t rank = espy_layer_rank(layer, espy_layer_optional(layer, conv->path, "weight"));
    int64_t values[ESPY_RANK_MAX] = {0};
    for (uint32_t a = 0; a + 2 < rank; a++)
        values[a] = more->values[more->count == 1 ? 0 : a];
    if (rank > 2)
        espy_layer_set_ints(layer, "output_padding", values, rank - 2);
    return finish(layer, conv, y);
}

static const struct layer_block blocks[] = {
    {.name = "conv",
     .summary = "A convolution in one to three dimensions, as torch.nn.Conv2d.",
     .example = "{\"conv\": \"conv1\", \"stride\": 2, \"padding\": 1, \"norm\": \"bn1\", "
                "\"act\": \"relu\"}",
     LAYER_MEMBERS(conv_rows, struct conv),
     .expand = expand_conv},
    {.name = "depthwise_conv",
     .summary = "A convolution of every channel by itself: as many groups as channels.",
     .example = "{\"depthwise_conv\": \"conv_dw\", \"padding\": \"same\", \"act\": \"silu\"}",
     LAYER_MEMBERS(depthwise_rows, struct conv),
     .expand = expand_depthwise},
    {.name = "separable_conv",
     .summary = "A depthwise convolution, then one of 1 x 1.",
     .example = "{\"separable_conv\": \"block\", \"padding\": 1, \"norm\": \"bn\"}",
     LAYER_MEMBERS(separable_rows, struct conv),
     .container = true,
     .expand = expand_separable},
    {.name = "conv_transpose",
     .summary = "A transposed convolution, as torch.nn.ConvTranspose2d.",
     .example = "{\"conv_transpose\": \"up\", \"stride\": 2, \"padding\": 1, "
                "\"output_padding\": 1}",
     LAYER_MEMBERS(transpose_rows, struct conv),
     .expand = expand_transpose},
};

const struct layer_family espy_layers_block_conv = {blocks, LAYER_COUNT(blocks)};
