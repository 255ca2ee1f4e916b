// Linear layers and what is looked up or added by weights.
#include "layers/layer.h"

struct linear {
    const char *path;
    struct layer_norm norm;
    struct layer_tree act;
};

static const struct layer_member linear_rows[] = {
    {.name = "",
     .type = LAYER_PATH,
     .offset = offsetof(struct linear, path),
     .help = "the weights: `weight` and, where there is one, `bias`"},
    {.name = "norm",
     .type = LAYER_NORM,
     .offset = offsetof(struct linear, norm),
     .help = "afterwards: the name of a BatchNorm in the weights, or another layer"},
    {.name = "act",
     .type = LAYER_LAYERS,
     .offset = offsetof(struct linear, act),
     .help = "after that: an activation, or any layer"}};

static uint32_t expand_linear(struct layer *layer, const void *members, uint32_t x)
{
    const struct linear *linear = members;
    const uint32_t y = espy_layer_linear(layer, linear->path, x);
    return espy_layer_run(layer, &linear->act, espy_layer_norm(layer, &linear->norm, y));
}

// ---- one tensor of the weights ------------------------------------------------------------------

struct parameter {
    const char *path;
    int channels;
    bool expand, crop;
};

enum { CHANNELS_LAST, CHANNELS_FIRST };
static const char *const channels_choices[] = {"last", "first", NULL};

#define TENSOR_ROW                                                                   \
    {                                                                                \
        .name = "", .type = LAYER_PATH, .offset = offsetof(struct parameter, path),  \
        .required = true, .help = "the tensor, with its whole name under the prefix" \
    }
#define CHANNELS_ROW                                                                              \
    {                                                                                             \
        .name = "channels", .type = LAYER_CHOICE, .offset = offsetof(struct parameter, channels), \
        .choices = channels_choices,                                                              \
        .help = "where a tensor of one dimension belongs: `last`, or `first`, as in a picture"    \
    }

static const struct layer_member pointwise_rows[] = {TENSOR_ROW, CHANNELS_ROW};
static const struct layer_member parameter_rows[] = {
    TENSOR_ROW,
    {.name = "expand",
     .type = LAYER_BOOL,
     .offset = offsetof(struct parameter, expand),
     .help = "repeat its first dimension, of 1, as often as the input has samples"}};
static const struct layer_member position_rows[] = {
    TENSOR_ROW,
    {.name = "crop",
     .type = LAYER_BOOL,
     .offset = offsetof(struct parameter, crop),
     .help = "take only as many positions as there are tokens"}};
static const struct layer_member token_rows[] = {TENSOR_ROW};
static const struct layer_member embedding_rows[] = {
    {.name = "",
     .type = LAYER_PATH,
     .offset = offsetof(struct parameter, path),
     .help = "the weights: `weight`, one row for each number"}};

// The tensor so that it broadcasts.
static uint32_t placed(struct layer *layer, const struct parameter *p, uint32_t x)
{
    const uint32_t tensor = espy_layer_weight(layer, p->path, NULL);
    if (p->channels == CHANNELS_LAST || espy_layer_rank(layer, tensor) != 1)
        return tensor;
    const uint32_t rank = espy_layer_rank(layer, x);
    const int64_t dims[ESPY_RANK_MAX] = {-1, 1, 1, 1, 1, 1, 1, 1};
    return espy_layer_reshape(layer, tensor, dims, rank < 2 ? 3 : rank - 1);
}

static uint32_t expand_mul(struct layer *layer, const void *members, uint32_t x)
{
    return espy_layer_binary(layer, "Mul", x, placed(layer, members, x));
}

static uint32_t expand_add(struct layer *layer, const void *members, uint32_t x)
{
    return espy_layer_binary(layer, "Add", x, placed(layer, members, x));
}

// Repeats the first dimension of a tensor as often as x has samples.
static uint32_t for_every_sample(struct layer *layer, uint32_t tensor, uint32_t x)
{
    const int64_t ones[ESPY_RANK_MAX] = {1, 1, 1, 1, 1, 1, 1, 1};
    const uint32_t rank = espy_layer_rank(layer, tensor);
    const uint32_t shape[] = {espy_layer_shape(layer, x, 0, 1),
                              espy_layer_ints(layer, ones, rank < 1 ? 0 : rank - 1)};
    return espy_layer_binary(layer, "Expand", tensor, espy_layer_concat(layer, 0, shape, 2));
}

static uint32_t expand_parameter(struct layer *layer, const void *members, uint32_t x)
{
    const struct parameter *p = members;
    const uint32_t tensor = espy_layer_weight(layer, p->path, NULL);
    return p->expand ? for_every_sample(layer, tensor, x)
                     : espy_layer_unary(layer, "Identity", tensor);
}

static uint32_t expand_position(struct layer *layer, const void *members, uint32_t x)
{
    const struct parameter *p = members;
    uint32_t tensor = espy_layer_weight(layer, p->path, NULL);
    if (p->crop) {
        const int64_t first = 0, axis = (int64_t)espy_layer_rank(layer, tensor) - 2;
        const uint32_t inputs[] = {tensor, espy_layer_ints(layer, &first, 1),
                                   espy_layer_shape(layer, x, 1, 2),
                                   espy_layer_ints(layer, &axis, 1)};
        tensor = espy_layer_op(layer, "Slice", inputs, 4);
    }
    return espy_layer_binary(layer, "Add", x, tensor);
}

static uint32_t expand_class_token(struct layer *layer, const void *members, uint32_t x)
{
    const struct parameter *p = members;
    uint32_t token = espy_layer_weight(layer, p->path, NULL);
    if (espy_layer_rank(layer, token) != 3)
        token = espy_layer_reshape(layer, token, (int64_t[]){1, 1, -1}, 3);
    const uint32_t parts[] = {for_every_sample(layer, token, x), x};
    return espy_layer_concat(layer, 1, parts, 2);
}

static uint32_t expand_embedding(struct layer *layer, const void *members, uint32_t x)
{
    const struct parameter *p = members;
    return espy_layer_binary(layer, "Gather", espy_layer_weight(layer, p->path, "weight"), x);
}

static const struct layer_block blocks[] = {
    {.name = "linear",
     .summary = "x W' + b over the last dimension, as torch.nn.Linear.",
     .example = "{\"linear\": \"fc\", \"act\": \"relu\"}",
     LAYER_MEMBERS(linear_rows, struct linear),
     .expand = expand_linear},
    {.name = "embedding",
     .summary = "Rows of a table by their numbers, as torch.nn.Embedding.",
     .example = "{\"embedding\": \"word_embeddings\"}",
     LAYER_MEMBERS(embedding_rows, struct parameter),
     .expand = expand_embedding},
    {.name = "class_token",
     .summary = "One learned token, or several, before the tokens [batch, tokens, channels].",
     .example = "{\"class_token\": \"cls_token\"}",
     LAYER_MEMBERS(token_rows, struct parameter),
     .expand = expand_class_token},
    {.name = "position_embedding",
     .summary = "Adds a learned tensor to tokens [batch, tokens, channels].",
     .example = "{\"position_embedding\": \"pos_embed\", \"crop\": true}",
     LAYER_MEMBERS(position_rows, struct parameter),
     .expand = expand_position},
    {.name = "mul_weight",
     .summary = "Multiplies by a learned tensor: layer scale, gamma.",
     .example = "{\"mul_weight\": \"gamma\", \"channels\": \"first\"}",
     LAYER_MEMBERS(pointwise_rows, struct parameter),
     .expand = expand_mul},
    {.name = "add_weight",
     .summary = "Adds a learned tensor.",
     .example = "{\"add_weight\": \"beta\"}",
     LAYER_MEMBERS(pointwise_rows, struct parameter),
     .expand = expand_add},
    {.name = "parameter",
     .summary = "A tensor of the weights in place of the input: learned queries.",
     .example = "{\"parameter\": \"query\", \"expand\": true}",
     LAYER_MEMBERS(parameter_rows, struct parameter),
     .expand = expand_parameter},
};

const struct layer_family espy_layers_block_linear = {blocks, LAYER_COUNT(blocks)};
