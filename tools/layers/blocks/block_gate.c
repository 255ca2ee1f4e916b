// Modules that weigh a picture by what is in it.
#include "layers/layer.h"

struct gate {
    const char *path, *features, *score, *fc1, *fc2, *spatial, *kernel;
    struct layer_norm norm1, norm2, norm;
    struct layer_tree act, gate;
    int pooled;
};

enum { MEAN_MAX, MAX_MEAN };
static const char *const pooled_choices[] = {"mean_max", "max_mean", NULL};
static const char *const features_names[] = {"conv", "0", NULL};
static const char *const score_names[] = {"fc", "linear", NULL};
static const char *const fc1_names[] = {"fc1", "conv_reduce", "fc.0", "0", NULL};
static const char *const fc2_names[] = {"fc2", "conv_expand", "fc.2", "2", NULL};
static const char *const cbam_fc1_names[] = {"channel.fc1", "ChannelGate.mlp.1", NULL};
static const char *const cbam_fc2_names[] = {"channel.fc2", "ChannelGate.mlp.3", NULL};
static const char *const spatial_names[] = {"spatial.conv.conv", "SpatialGate.spatial.conv",
                                            "spatial.conv", NULL};
static const char *const kernel_names[] = {"conv", NULL};

#define PATH_ROW                                                               \
    {                                                                          \
        .name = "", .type = LAYER_PATH, .offset = offsetof(struct gate, path), \
        .help = "all weights are under this name"                              \
    }
#define PART_ROW(member, usual, text)                                                 \
    {                                                                                 \
        .name = #member, .type = LAYER_PATH, .offset = offsetof(struct gate, member), \
        .names = (usual), .help = text                                                \
    }
#define ACT_ROW                                                                    \
    {                                                                              \
        .name = "act", .type = LAYER_LAYERS, .offset = offsetof(struct gate, act), \
        .help = "after the first; default: `relu`"                                 \
    }
#define GATE_ROW                                                                     \
    {                                                                                \
        .name = "gate", .type = LAYER_LAYERS, .offset = offsetof(struct gate, gate), \
        .help = "what makes weights of the results; default: `sigmoid`"              \
    }

static const struct layer_member module_rows[] = {
    PATH_ROW, PART_ROW(features, features_names, "the convolution"),
    PART_ROW(score, score_names, "the linear layer; to 1, or to one for each channel"), ACT_ROW,
    GATE_ROW};
static const struct layer_member se_rows[] = {
    PATH_ROW,
    PART_ROW(fc1, fc1_names, "the layer to fewer channels, linear or a convolution of 1 x 1"),
    PART_ROW(fc2, fc2_names, "the layer back"),
    ACT_ROW,
    GATE_ROW,
    {.name = "norm1",
     .type = LAYER_NORM,
     .offset = offsetof(struct gate, norm1),
     .help = "after fc1: the name of a BatchNorm in the weights, or another layer"},
    {.name = "norm2",
     .type = LAYER_NORM,
     .offset = offsetof(struct gate, norm2),
     .help = "after fc2"}};
static const struct layer_member cbam_rows[] = {
    PATH_ROW,
    PART_ROW(fc1, cbam_fc1_names, "the channels' first layer"),
    PART_ROW(fc2, cbam_fc2_names, "the channels' second layer"),
    PART_ROW(spatial, spatial_names, "the convolution of the pixels' means and maxima"),
    ACT_ROW,
    GATE_ROW,
    {.name = "norm",
     .type = LAYER_NORM,
     .offset = offsetof(struct gate, norm),
     .help = "after that convolution: the name of a BatchNorm in the weights, or another layer"},
    {.name = "pooled",
     .type = LAYER_CHOICE,
     .offset = offsetof(struct gate, pooled),
     .choices = pooled_choices,
     .help = "the order of the convolution's two channels"}};
static const struct layer_member eca_rows[] = {
    PATH_ROW, PART_ROW(kernel, kernel_names, "the convolution along the channels"), GATE_ROW};

// 3 x 3 convolution, ReLU, mean of everything, linear layer, sigmoid: a weight for the picture.
static uint32_t expand_module(struct layer *layer, const void *members, uint32_t x)
{
    const struct gate *gate = members;
    const uint32_t weight = espy_layer_weight(layer, gate->features, "weight");
    const uint32_t bias = espy_layer_optional(layer, gate->features, "bias");
    uint32_t y = espy_layer_op(layer, "Conv", (uint32_t[]){x, weight, bias}, 3);
    espy_layer_set_string(layer, "auto_pad", "SAME_UPPER");
    y = espy_layer_act(layer, &gate->act, "Relu", y);
    y = espy_layer_unary(layer, "GlobalAveragePool", y);
    y = espy_layer_pointwise(layer, gate->score, y);
    return espy_layer_binary(layer, "Mul", x, espy_layer_act(layer, &gate->gate, "Sigmoid", y));
}

static uint32_t expand_se(struct layer *layer, const void *members, uint32_t x)
{
    const struct gate *gate = members;
    uint32_t y = espy_layer_unary(layer, "GlobalAveragePool", x);
    y = espy_layer_norm(layer, &gate->norm1, espy_layer_pointwise(layer, gate->fc1, y));
    y = espy_layer_act(layer, &gate->act, "Relu", y);
    y = espy_layer_norm(layer, &gate->norm2, espy_layer_pointwise(layer, gate->fc2, y));
    return espy_layer_binary(layer, "Mul", x, espy_layer_act(layer, &gate->gate, "Sigmoid", y));
}

static uint32_t bottleneck(struct layer *layer, const struct gate *gate, const char *pool,
                           uint32_t x)
{
    uint32_t y = espy_layer_unary(layer, pool, x);
    y = espy_layer_act(layer, &gate->act, "Relu", espy_layer_pointwise(layer, gate->fc1, y));
    return espy_layer_pointwise(layer, gate->fc2, y);
}

static uint32_t expand_cbam(struct layer *layer, const void *members, uint32_t x)
{
    const struct gate *gate = members;
    const int64_t axis = 1;
    uint32_t y = bottleneck(layer, gate, "GlobalAveragePool", x);
    y = espy_layer_binary(layer, "Add", y, bottleneck(layer, gate, "GlobalMaxPool", x));
    x = espy_layer_binary(layer, "Mul", x, espy_layer_act(layer, &gate->gate, "Sigmoid", y));
    const uint32_t axes = espy_layer_ints(layer, &axis, 1);
    const uint32_t mean = espy_layer_binary(layer, "ReduceMean", x, axes);
    const uint32_t max = espy_layer_binary(layer, "ReduceMax", x, axes);
    const bool mean_first = gate->pooled == MEAN_MAX;
    const uint32_t parts[] = {mean_first ? mean : max, mean_first ? max : mean};
    const uint32_t pooled = espy_layer_concat(layer, 1, parts, 2);
    const uint32_t weight = espy_layer_weight(layer, gate->spatial, "weight");
    const uint32_t bias = espy_layer_optional(layer, gate->spatial, "bias");
    y = espy_layer_op(layer, "Conv", (uint32_t[]){pooled, weight, bias}, 3);
    espy_layer_set_string(layer, "auto_pad", "SAME_UPPER");
    y = espy_layer_norm(layer, &gate->norm, y);
    return espy_layer_binary(layer, "Mul", x, espy_layer_act(layer, &gate->gate, "Sigmoid", y));
}

// The means [N, C, 1, 1] as [N, 1, C] for a convolution along the channels, and back.
static uint32_t expand_eca(struct layer *layer, const void *members, uint32_t x)
{
    const struct gate *gate = members;
    const int64_t last = 3;
    const int64_t order[] = {0, 2, 1};
    uint32_t y = espy_layer_unary(layer, "GlobalAveragePool", x);
    y = espy_layer_binary(layer, "Squeeze", y, espy_layer_ints(layer, &last, 1));
    y = espy_layer_transpose(layer, y, order, 3);
    const uint32_t weight = espy_layer_weight(layer, gate->kernel, "weight");
    const uint32_t bias = espy_layer_optional(layer, gate->kernel, "bias");
    y = espy_layer_op(layer, "Conv", (uint32_t[]){y, weight, bias}, 3);
    espy_layer_set_string(layer, "auto_pad", "SAME_UPPER");
    y = espy_layer_transpose(layer, y, order, 3);
    y = espy_layer_binary(layer, "Unsqueeze", y, espy_layer_ints(layer, &last, 1));
    return espy_layer_binary(layer, "Mul", x, espy_layer_act(layer, &gate->gate, "Sigmoid", y));
}

static const struct layer_block blocks[] = {
    {.name = "attention_module",
     .summary = "A weight for a picture, or for each of its channels, by a convolution, ReLU, the "
                "mean of each channel, a linear layer and sigmoid.",
     .example = "{\"attention_module\": \"attention\"}",
     LAYER_MEMBERS(module_rows, struct gate),
     .container = true,
     .expand = expand_module},
    {.name = "se",
     .summary = "Squeeze and excitation: a weight for each channel by the means of all.",
     .example = "{\"se\": \"se\", \"gate\": \"hard_sigmoid\"}",
     LAYER_MEMBERS(se_rows, struct gate),
     .container = true,
     .expand = expand_se},
    {.name = "cbam",
     .summary = "Convolutional block attention: weights for channels, then for pixels.",
     .example = "{\"cbam\": \"cbam\", \"norm\": \"spatial.conv.bn\"}",
     LAYER_MEMBERS(cbam_rows, struct gate),
     .container = true,
     .expand = expand_cbam},
    {.name = "eca",
     .summary = "Efficient channel attention: a weight for each channel by its neighbours' means.",
     .example = "{\"eca\": \"eca\"}",
     LAYER_MEMBERS(eca_rows, struct gate),
     .container = true,
     .expand = expand_eca},
};

const struct layer_family espy_layers_block_gate = {blocks, LAYER_COUNT(blocks)};
