// Activations, named and with defaults as in PyTorch.
#include "layers/layer.h"

struct activation {
    const char *path;
    double a, b;
    int64_t axis;
    int approximate;
};

static const char *const gelu_choices[] = {"none", "tanh", NULL};

static const struct layer_member slope_rows[] = {{.name = "",
                                                  .type = LAYER_FLOAT,
                                                  .offset = offsetof(struct activation, a),
                                                  .fallback = 0.01,
                                                  .help = "slope below zero"}};
static const struct layer_member alpha_rows[] = {{.name = "",
                                                  .type = LAYER_FLOAT,
                                                  .offset = offsetof(struct activation, a),
                                                  .fallback = 1,
                                                  .help = "alpha"}};
static const struct layer_member prelu_rows[] = {
    {.name = "",
     .type = LAYER_PATH,
     .offset = offsetof(struct activation, path),
     .help = "the weights: `weight`, one slope or one for each channel"}};
static const struct layer_member gelu_rows[] = {
    {.name = "",
     .type = LAYER_CHOICE,
     .offset = offsetof(struct activation, approximate),
     .choices = gelu_choices,
     .help = "`none`: with erf; `tanh`: the approximation"}};
static const struct layer_member clip_rows[] = {{.name = "min",
                                                 .type = LAYER_FLOAT,
                                                 .offset = offsetof(struct activation, a),
                                                 .fallback = -1,
                                                 .help = "lowest result"},
                                                {.name = "max",
                                                 .type = LAYER_FLOAT,
                                                 .offset = offsetof(struct activation, b),
                                                 .fallback = 1,
                                                 .help = "highest result"}};
static const struct layer_member axis_rows[] = {
    {.name = "",
     .type = LAYER_INT,
     .offset = offsetof(struct activation, axis),
     .fallback = -1,
     .min = -ESPY_RANK_MAX,
     .max = ESPY_RANK_MAX - 1,
     .help = "the dimension; negative counts from the end"}};

// One function for one operator without attributes.
#define SIMPLE(name, op)                                                                \
    static uint32_t expand_##name(struct layer *layer, const void *members, uint32_t x) \
    {                                                                                   \
        (void)members;                                                                  \
        return espy_layer_unary(layer, op, x);                                          \
    }
SIMPLE(relu, "Relu")
SIMPLE(selu, "Selu")
SIMPLE(silu, "Swish")
SIMPLE(mish, "Mish")
SIMPLE(sigmoid, "Sigmoid")
SIMPLE(tanh, "Tanh")
SIMPLE(softplus, "Softplus")
SIMPLE(softsign, "Softsign")
SIMPLE(hard_swish, "HardSwish")
SIMPLE(identity, "Identity")

static uint32_t with_alpha(struct layer *layer, const void *members, const char *op, uint32_t x)
{
    const struct activation *activation = members;
    const uint32_t y = espy_layer_unary(layer, op, x);
    espy_layer_set(layer, "alpha", activation->a);
    return y;
}

static uint32_t expand_leaky(struct layer *layer, const void *members, uint32_t x)
{
    return with_alpha(layer, members, "LeakyRelu", x);
}

static uint32_t expand_elu(struct layer *layer, const void *members, uint32_t x)
{
    return with_alpha(layer, members, "Elu", x);
}

static uint32_t expand_celu(struct layer *layer, const void *members, uint32_t x)
{
    return with_alpha(layer, members, "Celu", x);
}

static uint32_t expand_hard_sigmoid(struct layer *layer, const void *members, uint32_t x)
{
    (void)members;
    const uint32_t y = espy_layer_unary(layer, "HardSigmoid", x);
    espy_layer_set(layer, "alpha", 1.0 / 6);
    return y;
}

static uint32_t clip(struct layer *layer, double min, double max, uint32_t x)
{
    const uint32_t inputs[] = {x, espy_layer_float(layer, min), espy_layer_float(layer, max)};
    return espy_layer_op(layer, "Clip", inputs, 3);
}

static uint32_t expand_relu6(struct layer *layer, const void *members, uint32_t x)
{
    (void)members;
    return clip(layer, 0, 6, x);
}

static uint32_t expand_clip(struct layer *layer, const void *members, uint32_t x)
{
    const struct activation *activation = members;
    return clip(layer, activation->a, activation->b, x);
}

static uint32_t expand_gelu(struct layer *layer, const void *members, uint32_t x)
{
    const struct activation *activation = members;
    const uint32_t y = espy_layer_unary(layer, "Gelu", x);
    espy_layer_set_string(layer, "approximate", gelu_choices[activation->approximate]);
    return y;
}

static uint32_t expand_prelu(struct layer *layer, const void *members, uint32_t x)
{
    const struct activation *activation = members;
    const int64_t dims[ESPY_RANK_MAX] = {-1, 1, 1, 1, 1, 1, 1, 1};
    uint32_t slope = espy_layer_weight(layer, activation->path, "weight");
    uint32_t rank = espy_layer_rank(layer, x);
    if (rank == 0)
        rank = 4; // not known: a picture
    if (espy_layer_rank(layer, slope) == 1 && rank > 2)
        slope = espy_layer_reshape(layer, slope, dims, rank - 1);
    return espy_layer_binary(layer, "PRelu", x, slope);
}

static uint32_t with_axis(struct layer *layer, const void *members, const char *op, uint32_t x)
{
    const struct activation *activation = members;
    const uint32_t y = espy_layer_unary(layer, op, x);
    espy_layer_set(layer, "axis", (double)activation->axis);
    return y;
}

static uint32_t expand_softmax(struct layer *layer, const void *members, uint32_t x)
{
    return with_axis(layer, members, "Softmax", x);
}

static uint32_t expand_log_softmax(struct layer *layer, const void *members, uint32_t x)
{
    return with_axis(layer, members, "LogSoftmax", x);
}

static uint32_t expand_glu(struct layer *layer, const void *members, uint32_t x)
{
    const struct activation *activation = members;
    uint32_t halves[2];
    espy_layer_op_outputs(layer, "Split", &x, 1, halves, 2);
    espy_layer_set(layer, "axis", (double)activation->axis);
    espy_layer_set(layer, "num_outputs", 2);
    return espy_layer_binary(layer, "Mul", halves[0],
                             espy_layer_unary(layer, "Sigmoid", halves[1]));
}

static uint32_t expand_nothing(struct layer *layer, const void *members, uint32_t x)
{
    (void)layer;
    (void)members;
    return x;
}

#define PLAIN(text, what)                                     \
    .name = text, .summary = what, .example = "\"" text "\"", \
    .members_size = sizeof(struct activation)

static const struct layer_block blocks[] = {
    {PLAIN("relu", "max(x, 0)."), .expand = expand_relu},
    {PLAIN("relu6", "x clamped to 0..6."), .expand = expand_relu6},
    {.name = "leaky_relu",
     .summary = "x, times a slope below zero.",
     .example = "{\"leaky_relu\": 0.1}",
     LAYER_MEMBERS(slope_rows, struct activation),
     .expand = expand_leaky},
    {.name = "prelu",
     .summary = "x, times a learned slope below zero.",
     .example = "{\"prelu\": \"prelu\"}",
     LAYER_MEMBERS(prelu_rows, struct activation),
     .expand = expand_prelu},
    {.name = "elu",
     .summary = "x, below zero alpha (exp(x) - 1).",
     .example = "{\"elu\": 0.5}",
     LAYER_MEMBERS(alpha_rows, struct activation),
     .expand = expand_elu},
    {.name = "celu",
     .summary = "max(0, x) + min(0, alpha (exp(x / alpha) - 1)).",
     .example = "{\"celu\": 2}",
     LAYER_MEMBERS(alpha_rows, struct activation),
     .expand = expand_celu},
    {PLAIN("selu", "The self-normalizing elu."), .expand = expand_selu},
    {.name = "gelu",
     .summary = "x times the normal distribution function.",
     .example = "{\"gelu\": \"tanh\"}",
     LAYER_MEMBERS(gelu_rows, struct activation),
     .expand = expand_gelu},
    {PLAIN("silu", "x sigmoid(x), also called swish."), .expand = expand_silu},
    {PLAIN("mish", "x tanh(softplus(x))."), .expand = expand_mish},
    {PLAIN("sigmoid", "1 / (1 + exp(-x))."), .expand = expand_sigmoid},
    {PLAIN("hard_sigmoid", "x / 6 + 1/2 clamped to 0..1."), .expand = expand_hard_sigmoid},
    {PLAIN("hard_swish", "x times hard_sigmoid."), .expand = expand_hard_swish},
    {PLAIN("tanh", "Hyperbolic tangent."), .expand = expand_tanh},
    {PLAIN("softplus", "log(1 + exp(x))."), .expand = expand_softplus},
    {PLAIN("softsign", "x / (1 + |x|)."), .expand = expand_softsign},
    {.name = "clip",
     .summary = "x clamped, as torch.nn.Hardtanh.",
     .example = "{\"clip\": true, \"min\": 0, \"max\": 1}",
     LAYER_MEMBERS(clip_rows, struct activation),
     .expand = expand_clip},
    {.name = "softmax",
     .summary = "exp(x) over the sum of exp(x).",
     .example = "{\"softmax\": 1}",
     LAYER_MEMBERS(axis_rows, struct activation),
     .expand = expand_softmax},
    {.name = "log_softmax",
     .summary = "The logarithm of softmax.",
     .example = "{\"log_softmax\": -1}",
     LAYER_MEMBERS(axis_rows, struct activation),
     .expand = expand_log_softmax},
    {.name = "glu",
     .summary = "The first half of a dimension times sigmoid of the second.",
     .example = "{\"glu\": 1}",
     LAYER_MEMBERS(axis_rows, struct activation),
     .expand = expand_glu},
    {PLAIN("dropout", "Nothing, once a network is trained."), .expand = expand_nothing},
    {PLAIN("identity", "The same, as a value of its own."), .expand = expand_identity},
};

const struct layer_family espy_layers_block_activation = {blocks, LAYER_COUNT(blocks)};
