// Layers of layers, and values joined.
#include "layers/layer.h"

struct sequence {
    struct layer_tree layers, project, act;
    const char *scale;
    int join;
    int64_t axis;
    struct layer_values with;
};

enum { JOIN_CONCAT, JOIN_ADD, JOIN_MUL };
static const char *const join_choices[] = {"concat", "add", "mul", NULL};

#define AXIS_ROW                                                                      \
    {                                                                                 \
        .name = "axis", .type = LAYER_INT, .offset = offsetof(struct sequence, axis), \
        .fallback = 1, .min = -ESPY_RANK_MAX, .max = ESPY_RANK_MAX - 1,               \
        .help = "the dimension along which they are joined"                           \
    }
#define WITH_ROW(text)                                                               \
    {                                                                                \
        .name = "", .type = LAYER_VALUES, .offset = offsetof(struct sequence, with), \
        .required = true, .help = text                                               \
    }

static const struct layer_member sequence_rows[] = {{.name = "",
                                                     .type = LAYER_LAYERS,
                                                     .offset = offsetof(struct sequence, layers),
                                                     .required = true,
                                                     .help = "the layers"}};
static const struct layer_member residual_rows[] = {
    {.name = "",
     .type = LAYER_LAYERS,
     .offset = offsetof(struct sequence, layers),
     .required = true,
     .help = "the layers whose result is added to what they were given"},
    {.name = "project",
     .type = LAYER_LAYERS,
     .offset = offsetof(struct sequence, project),
     .help = "layers on the way around"},
    {.name = "scale",
     .type = LAYER_PATH,
     .offset = offsetof(struct sequence, scale),
     .help = "a tensor that the result is multiplied by before: layer scale"},
    {.name = "act",
     .type = LAYER_LAYERS,
     .offset = offsetof(struct sequence, act),
     .help = "after the addition"}};
static const struct layer_member parallel_rows[] = {
    {.name = "",
     .type = LAYER_LAYERS,
     .offset = offsetof(struct sequence, layers),
     .required = true,
     .help = "a list of branches, each a layer or a list of layers; [] gives the input"},
    {.name = "join",
     .type = LAYER_CHOICE,
     .offset = offsetof(struct sequence, join),
     .choices = join_choices,
     .help = "what becomes of the results"},
    AXIS_ROW};
static const struct layer_member concat_rows[] = {
    WITH_ROW("names of the values, in order; `.` is the input. One name alone is joined to the "
             "input"),
    AXIS_ROW};
static const struct layer_member with_rows[] = {WITH_ROW("names of the other values")};

static uint32_t expand_sequence(struct layer *layer, const void *members, uint32_t x)
{
    const struct sequence *sequence = members;
    return espy_layer_run(layer, &sequence->layers, x);
}

static uint32_t expand_residual(struct layer *layer, const void *members, uint32_t x)
{
    const struct sequence *sequence = members;
    uint32_t y = espy_layer_run(layer, &sequence->layers, x);
    if (sequence->scale != NULL)
        y = espy_layer_binary(layer, "Mul", y, espy_layer_weight(layer, sequence->scale, NULL));
    const uint32_t around = espy_layer_run(layer, &sequence->project, x);
    return espy_layer_run(layer, &sequence->act, espy_layer_binary(layer, "Add", y, around));
}

static uint32_t expand_parallel(struct layer *layer, const void *members, uint32_t x)
{
    static const char *const ops[] = {[JOIN_ADD] = "Add", [JOIN_MUL] = "Mul"};
    const struct sequence *sequence = members;
    const uint32_t count = espy_layer_count(&sequence->layers);
    uint32_t results[LAYER_LIST_MAX];
    if (count == 0 || count > LAYER_LIST_MAX) {
        espy_layer_fail(layer, "expected 1 to %d branches", (int)LAYER_LIST_MAX);
        return GRAPH_NONE;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct layer_tree branch = espy_layer_item(layer, &sequence->layers, i);
        results[i] = espy_layer_run(layer, &branch, x);
    }
    if (sequence->join == JOIN_CONCAT)
        return espy_layer_concat(layer, sequence->axis, results, count);
    uint32_t y = results[0];
    for (uint32_t i = 1; i < count; i++)
        y = espy_layer_binary(layer, ops[sequence->join], y, results[i]);
    return y;
}

static uint32_t expand_concat(struct layer *layer, const void *members, uint32_t x)
{
    const struct sequence *sequence = members;
    if (sequence->with.count == 1)
        return espy_layer_concat(layer, sequence->axis, (uint32_t[]){x, sequence->with.values[0]},
                                 2);
    return espy_layer_concat(layer, sequence->axis, sequence->with.values, sequence->with.count);
}

static uint32_t fold(struct layer *layer, const void *members, const char *op, uint32_t x)
{
    const struct sequence *sequence = members;
    for (uint32_t i = 0; i < sequence->with.count; i++)
        x = espy_layer_binary(layer, op, x, sequence->with.values[i]);
    return x;
}

static uint32_t expand_add(struct layer *layer, const void *members, uint32_t x)
{
    return fold(layer, members, "Add", x);
}

static uint32_t expand_sub(struct layer *layer, const void *members, uint32_t x)
{
    return fold(layer, members, "Sub", x);
}

static uint32_t expand_mul(struct layer *layer, const void *members, uint32_t x)
{
    return fold(layer, members, "Mul", x);
}

static const struct layer_block blocks[] = {
    {.name = "sequence",
     .summary = "Layers one after the other, as a list is too; with a name of their own in the "
                "weights, or repeated.",
     .example = "{\"sequence\": [{\"linear\": \"0\"}, \"relu\"], \"at\": \"stages.{i}\", "
                "\"repeat\": 2}",
     LAYER_MEMBERS(sequence_rows, struct sequence),
     .expand = expand_sequence},
    {.name = "residual",
     .summary = "The result of layers added to what they were given.",
     .example = "{\"residual\": [{\"conv\": \"conv1\", \"stride\": 2, \"padding\": 1}], "
                "\"project\": {\"conv\": \"shortcut.0\", \"stride\": 2}, \"act\": \"relu\"}",
     LAYER_MEMBERS(residual_rows, struct sequence),
     .expand = expand_residual},
    {.name = "parallel",
     .summary = "Branches that are all given the same, and their results joined.",
     .example = "{\"parallel\": [{\"conv\": \"a\"}, [], [{\"conv\": \"b\", \"padding\": 1}, "
                "\"relu\"]]}",
     LAYER_MEMBERS(parallel_rows, struct sequence),
     .expand = expand_parallel},
    {.name = "concat",
     .summary = "Joins values along a dimension: skip connections.",
     .example = "[{\"conv\": \"down\", \"as\": \"skip\"}, {\"max_pool\": 2}, {\"upsample\": 2}, "
                "{\"concat\": \"skip\"}]",
     LAYER_MEMBERS(concat_rows, struct sequence),
     .expand = expand_concat},
    {.name = "add",
     .summary = "Adds values.",
     .example = "[{\"relu\": true, \"as\": \"positive\"}, {\"add\": \"positive\"}]",
     LAYER_MEMBERS(with_rows, struct sequence),
     .expand = expand_add},
    {.name = "sub",
     .summary = "Takes values away.",
     .example = "[{\"sigmoid\": true, \"as\": \"s\"}, {\"tanh\": true, \"from\": \"s\"}, "
                "{\"sub\": \"s\"}]",
     LAYER_MEMBERS(with_rows, struct sequence),
     .expand = expand_sub},
    {.name = "mul",
     .summary = "Multiplies by values.",
     .example = "[{\"identity\": true, \"as\": \"x0\"}, \"sigmoid\", {\"mul\": [\"x0\", \"x0\"]}]",
     LAYER_MEMBERS(with_rows, struct sequence),
     .expand = expand_mul},
};

const struct layer_family espy_layers_block_sequence = {blocks, LAYER_COUNT(blocks)};
