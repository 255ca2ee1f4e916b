// Normalizations.
#include "layers/layer.h"

struct norm {
    const char *path;
    double epsilon;
    int64_t groups;
    int channels;
    bool affine;
};

enum { CHANNELS_LAST, CHANNELS_FIRST };
static const char *const channels_choices[] = {"last", "first", NULL};

#define PATH_ROW(what)                                                         \
    {                                                                          \
        .name = "", .type = LAYER_PATH, .offset = offsetof(struct norm, path), \
        .help = "the weights: " what                                           \
    }
#define EPSILON_ROW(value)                                                             \
    {                                                                                  \
        .name = "eps", .type = LAYER_FLOAT, .offset = offsetof(struct norm, epsilon),  \
        .fallback = (value), .min = 0, .max = 1, .help = "added under the square root" \
    }
#define AFFINE_ROW                                                                     \
    {                                                                                  \
        .name = "affine", .type = LAYER_BOOL, .offset = offsetof(struct norm, affine), \
        .fallback = true, .help = "false: there are no weights"                        \
    }
#define CHANNELS_ROW                                                                           \
    {                                                                                          \
        .name = "channels", .type = LAYER_CHOICE, .offset = offsetof(struct norm, channels),   \
        .choices = channels_choices,                                                           \
        .help = "`last`, as of tokens; `first`: over the channels of every pixel of a picture" \
    }

static const struct layer_member batch_rows[] = {
    PATH_ROW("`running_mean`, `running_var` and, where they are there, `weight`, `bias`"),
    EPSILON_ROW(1e-5)};
static const struct layer_member layer_rows[] = {
    PATH_ROW("`weight` and, where there is one, `bias`"), CHANNELS_ROW, AFFINE_ROW,
    EPSILON_ROW(1e-5)};
static const struct layer_member rms_rows[] = {PATH_ROW("`weight`"), CHANNELS_ROW,
                                               EPSILON_ROW(1e-6)};
static const struct layer_member group_rows[] = {PATH_ROW("`weight`, `bias`"),
                                                 {.name = "groups",
                                                  .type = LAYER_INT,
                                                  .offset = offsetof(struct norm, groups),
                                                  .min = 1,
                                                  .max = INT32_MAX,
                                                  .required = true,
                                                  .help = "groups of channels with a common mean"},
                                                 AFFINE_ROW,
                                                 EPSILON_ROW(1e-5)};
static const struct layer_member instance_rows[] = {PATH_ROW("`weight`, `bias`"), AFFINE_ROW,
                                                    EPSILON_ROW(1e-5)};

static uint32_t expand_batch(struct layer *layer, const void *members, uint32_t x)
{
    const struct norm *norm = members;
    const uint32_t mean = espy_layer_weight(layer, norm->path, "running_mean");
    const uint32_t variance = espy_layer_weight(layer, norm->path, "running_var");
    uint32_t scale = espy_layer_optional(layer, norm->path, "weight");
    uint32_t bias = espy_layer_optional(layer, norm->path, "bias");
    const int64_t channels = espy_layer_dim(layer, mean, 0);
    if (scale == GRAPH_NONE && channels >= 0)
        scale = espy_layer_filled(layer, channels, 1);
    if (bias == GRAPH_NONE && channels >= 0)
        bias = espy_layer_filled(layer, channels, 0);
    const uint32_t y =
        espy_layer_op(layer, "BatchNormalization", (uint32_t[]){x, scale, bias, mean, variance}, 5);
    espy_layer_set(layer, "epsilon", norm->epsilon);
    return y;
}

// weight and bias, or ones and zeros as the size of one of x's dimensions is known.
static void find_affine(struct layer *layer, const struct norm *norm, int64_t axis, uint32_t x,
                        uint32_t affine[2])
{
    if (norm->affine) {
        affine[0] = espy_layer_weight(layer, norm->path, "weight");
        affine[1] = espy_layer_weight(layer, norm->path, "bias");
        return;
    }
    const int64_t channels = espy_layer_dim(layer, x, axis);
    if (channels < 0) {
        espy_layer_fail(layer, "without weights it needs to know how many channels there are");
        return;
    }
    affine[0] = espy_layer_filled(layer, channels, 1);
    affine[1] = espy_layer_filled(layer, channels, 0);
}

static uint32_t over_channels(struct layer *layer, const struct norm *norm, const char *op,
                              uint32_t x)
{
    uint32_t affine[2] = {GRAPH_NONE, GRAPH_NONE};
    find_affine(layer, norm, 1, x, affine);
    const uint32_t y = espy_layer_op(layer, op, (uint32_t[]){x, affine[0], affine[1]}, 3);
    espy_layer_set(layer, "epsilon", norm->epsilon);
    return y;
}

static uint32_t expand_group(struct layer *layer, const void *members, uint32_t x)
{
    const struct norm *norm = members;
    const uint32_t y = over_channels(layer, norm, "GroupNormalization", x);
    espy_layer_set(layer, "num_groups", (double)norm->groups);
    return y;
}

static uint32_t expand_instance(struct layer *layer, const void *members, uint32_t x)
{
    return over_channels(layer, members, "InstanceNormalization", x);
}

// The channels of a picture to the end, or back.
static uint32_t turn(struct layer *layer, const struct norm *norm, bool back, uint32_t x)
{
    if (norm->channels == CHANNELS_LAST)
        return x;
    uint32_t rank = espy_layer_rank(layer, x);
    int64_t order[ESPY_RANK_MAX] = {0};
    if (rank < 3)
        rank = 4; // not known: a picture
    for (uint32_t d = 1; d < rank; d++)
        order[d] = back ? (d == 1 ? rank - 1 : d - 1) : (d == rank - 1 ? 1 : d + 1);
    return espy_layer_transpose(layer, x, order, rank);
}

static uint32_t expand_layer(struct layer *layer, const void *members, uint32_t x)
{
    const struct norm *norm = members;
    uint32_t affine[2] = {GRAPH_NONE, GRAPH_NONE};
    x = turn(layer, norm, false, x);
    if (norm->affine)
        return turn(layer, norm, true, espy_layer_layer_norm(layer, norm->path, norm->epsilon, x));
    find_affine(layer, norm, -1, x, affine);
    x = espy_layer_op(layer, "LayerNormalization", (uint32_t[]){x, affine[0], affine[1]}, 3);
    espy_layer_set(layer, "epsilon", norm->epsilon);
    return turn(layer, norm, true, x);
}

static uint32_t expand_rms(struct layer *layer, const void *members, uint32_t x)
{
    const struct norm *norm = members;
    x = turn(layer, norm, false, x);
    x = espy_layer_binary(layer, "RMSNormalization", x,
                          espy_layer_weight(layer, norm->path, "weight"));
    espy_layer_set(layer, "epsilon", norm->epsilon);
    return turn(layer, norm, true, x);
}

static const struct layer_block blocks[] = {
    {.name = "batch_norm",
     .summary = "Channels with a recorded mean and variance, as torch.nn.BatchNorm2d.",
     .example = "{\"batch_norm\": \"bn\"}",
     LAYER_MEMBERS(batch_rows, struct norm),
     .expand = expand_batch},
    {.name = "layer_norm",
     .summary = "Rows to mean 0 and variance 1, as torch.nn.LayerNorm; over as many last "
                "dimensions as `weight` has.",
     .example = "{\"layer_norm\": \"norm\", \"channels\": \"first\", \"eps\": 1e-6}",
     LAYER_MEMBERS(layer_rows, struct norm),
     .expand = expand_layer},
    {.name = "rms_norm",
     .summary = "Rows divided by their root mean square, as torch.nn.RMSNorm.",
     .example = "{\"rms_norm\": \"norm\"}",
     LAYER_MEMBERS(rms_rows, struct norm),
     .expand = expand_rms},
    {.name = "group_norm",
     .summary = "Groups of channels to mean 0 and variance 1, as torch.nn.GroupNorm.",
     .example = "{\"group_norm\": \"norm\", \"groups\": 2}",
     LAYER_MEMBERS(group_rows, struct norm),
     .expand = expand_group},
    {.name = "instance_norm",
     .summary = "Every channel of every sample to mean 0 and variance 1, as "
                "torch.nn.InstanceNorm2d.",
     .example = "{\"instance_norm\": true, \"affine\": false}",
     LAYER_MEMBERS(instance_rows, struct norm),
     .expand = expand_instance},
};

const struct layer_family espy_layers_block_norm = {blocks, LAYER_COUNT(blocks)};
