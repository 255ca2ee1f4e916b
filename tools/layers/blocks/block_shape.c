// Other shapes of the same elements, and parts of them.
#include <math.h>

#include "layers/layer.h"

struct shaping {
    struct layer_ints dims;
    int64_t axis, start, end, step, index, size;
    uint32_t like;
};

#define AXIS(default_axis)                                                           \
    {                                                                                \
        .name = "axis", .type = LAYER_INT, .offset = offsetof(struct shaping, axis), \
        .fallback = (default_axis), .min = -ESPY_RANK_MAX, .max = ESPY_RANK_MAX - 1, \
        .help = "the dimension; negative counts from the end"                        \
    }
#define DIMS(text)                                                                                 \
    {                                                                                              \
        .name = "", .type = LAYER_INTS, .offset = offsetof(struct shaping, dims), .fallback = NAN, \
        .min = -ESPY_RANK_MAX, .max = INT32_MAX, .required = true, .help = text                    \
    }

static const struct layer_member flatten_rows[] = {{.name = "",
                                                    .type = LAYER_INT,
                                                    .offset = offsetof(struct shaping, axis),
                                                    .fallback = 1,
                                                    .min = 0,
                                                    .max = ESPY_RANK_MAX - 1,
                                                    .help = "the first dimension of those that "
                                                            "become one"}};
static const struct layer_member reshape_rows[] = {
    DIMS("the new dimensions; 0: as in the input; -1, once: what remains")};
static const struct layer_member permute_rows[] = {DIMS("the old dimensions in their new order")};
static const struct layer_member squeeze_rows[] = {DIMS("dimensions of size 1 to drop")};
static const struct layer_member unsqueeze_rows[] = {
    DIMS("where dimensions of size 1 are in the result")};
static const struct layer_member slice_rows[] = {
    AXIS(1),
    {.name = "start",
     .type = LAYER_INT,
     .offset = offsetof(struct shaping, start),
     .min = -INT32_MAX,
     .max = INT32_MAX,
     .help = "the first; negative counts from the end"},
    {.name = "end",
     .type = LAYER_INT,
     .offset = offsetof(struct shaping, end),
     .fallback = INT32_MAX,
     .min = -INT32_MAX,
     .max = INT32_MAX,
     .help = "the one after the last"},
    {.name = "step",
     .type = LAYER_INT,
     .offset = offsetof(struct shaping, step),
     .fallback = 1,
     .min = -INT32_MAX,
     .max = INT32_MAX,
     .help = "every how many"}};
static const struct layer_member select_rows[] = {
    {.name = "",
     .type = LAYER_INT,
     .offset = offsetof(struct shaping, index),
     .min = -INT32_MAX,
     .max = INT32_MAX,
     .help = "which one; negative counts from the end"},
    AXIS(1)};
static const struct layer_member mean_rows[] = {{.name = "",
                                                 .type = LAYER_INT,
                                                 .offset = offsetof(struct shaping, axis),
                                                 .fallback = 1,
                                                 .min = -ESPY_RANK_MAX,
                                                 .max = ESPY_RANK_MAX - 1,
                                                 .help = "the dimension, which is gone then"}};
static const struct layer_member picture_rows[] = {
    {.name = "",
     .type = LAYER_VALUE,
     .offset = offsetof(struct shaping, like),
     .required = true,
     .help = "a picture that has the height and width"}};

#define SIZE_ROW(at)                                                                               \
    {                                                                                              \
        .name = (at), .type = LAYER_INT, .offset = offsetof(struct shaping, size), .fallback = 8,  \
        .min = 1, .max = 32768, .help = "height and width of a window, which divide the picture's" \
    }
static const struct layer_member windows_rows[] = {SIZE_ROW("")};
static const struct layer_member from_windows_rows[] = {
    {.name = "",
     .type = LAYER_VALUE,
     .offset = offsetof(struct shaping, like),
     .required = true,
     .help = "a picture that has the height and width"},
    SIZE_ROW("size")};

static uint32_t expand_flatten(struct layer *layer, const void *members, uint32_t x)
{
    const struct shaping *shaping = members;
    int64_t dims[ESPY_RANK_MAX + 1] = {0};
    if (shaping->axis == 1)
        return espy_layer_unary(layer, "Flatten", x);
    dims[shaping->axis] = -1;
    return espy_layer_reshape(layer, x, dims, (uint32_t)shaping->axis + 1);
}

static uint32_t expand_reshape(struct layer *layer, const void *members, uint32_t x)
{
    const struct shaping *shaping = members;
    return espy_layer_reshape(layer, x, shaping->dims.values, shaping->dims.count);
}

static uint32_t expand_permute(struct layer *layer, const void *members, uint32_t x)
{
    const struct shaping *shaping = members;
    return espy_layer_transpose(layer, x, shaping->dims.values, shaping->dims.count);
}

static uint32_t with_axes(struct layer *layer, const void *members, const char *op, uint32_t x)
{
    const struct shaping *shaping = members;
    return espy_layer_binary(layer, op, x,
                             espy_layer_ints(layer, shaping->dims.values, shaping->dims.count));
}

static uint32_t expand_squeeze(struct layer *layer, const void *members, uint32_t x)
{
    return with_axes(layer, members, "Squeeze", x);
}

static uint32_t expand_unsqueeze(struct layer *layer, const void *members, uint32_t x)
{
    return with_axes(layer, members, "Unsqueeze", x);
}

static uint32_t expand_slice(struct layer *layer, const void *members, uint32_t x)
{
    const struct shaping *shaping = members;
    const uint32_t inputs[] = {
        x, espy_layer_ints(layer, &shaping->start, 1), espy_layer_ints(layer, &shaping->end, 1),
        espy_layer_ints(layer, &shaping->axis, 1), espy_layer_ints(layer, &shaping->step, 1)};
    return espy_layer_op(layer, "Slice", inputs, 5);
}

static uint32_t expand_select(struct layer *layer, const void *members, uint32_t x)
{
    const struct shaping *shaping = members;
    const uint32_t y = espy_layer_binary(layer, "Gather", x, espy_layer_int(layer, shaping->index));
    espy_layer_set(layer, "axis", (double)shaping->axis);
    return y;
}

static uint32_t expand_mean(struct layer *layer, const void *members, uint32_t x)
{
    const struct shaping *shaping = members;
    const uint32_t y =
        espy_layer_binary(layer, "ReduceMean", x, espy_layer_ints(layer, &shaping->axis, 1));
    espy_layer_set(layer, "keepdims", 0);
    return y;
}

static uint32_t expand_tokens(struct layer *layer, const void *members, uint32_t x)
{
    (void)members;
    return espy_layer_tokens(layer, x);
}

static uint32_t expand_picture(struct layer *layer, const void *members, uint32_t x)
{
    const struct shaping *shaping = members;
    const uint32_t y = espy_layer_transpose(layer, x, (int64_t[]){0, 2, 1}, 3);
    const uint32_t shape[] = {espy_layer_ints(layer, (int64_t[]){0, 0}, 2),
                              espy_layer_shape(layer, shaping->like, 2, 4)};
    return espy_layer_binary(layer, "Reshape", y, espy_layer_concat(layer, 0, shape, 2));
}

// How many windows fit in height and width.
static uint32_t window_counts(struct layer *layer, int64_t size, uint32_t picture, int64_t end)
{
    return espy_layer_binary(layer, "Div", espy_layer_shape(layer, picture, 2, end),
                             espy_layer_int(layer, size));
}

static uint32_t expand_windows(struct layer *layer, const void *members, uint32_t x)
{
    const int64_t size = ((const struct shaping *)members)->size;
    const uint32_t cut[] = {espy_layer_ints(layer, (int64_t[]){0, 0}, 2),
                            window_counts(layer, size, x, 3),
                            espy_layer_ints(layer, (int64_t[]){size, -1, size}, 3)};
    uint32_t y = espy_layer_binary(layer, "Reshape", x, espy_layer_concat(layer, 0, cut, 3));
    y = espy_layer_transpose(layer, y, (int64_t[]){0, 2, 4, 3, 5, 1}, 6);
    const uint32_t together[] = {espy_layer_ints(layer, (int64_t[]){-1, size * size}, 2),
                                 espy_layer_shape(layer, x, 1, 2)};
    return espy_layer_binary(layer, "Reshape", y, espy_layer_concat(layer, 0, together, 2));
}

static uint32_t expand_from_windows(struct layer *layer, const void *members, uint32_t x)
{
    const struct shaping *shaping = members;
    const int64_t size = shaping->size;
    const uint32_t batch = espy_layer_shape(layer, shaping->like, 0, 1);
    const uint32_t cut[] = {batch, window_counts(layer, size, shaping->like, 4),
                            espy_layer_ints(layer, (int64_t[]){size, size, -1}, 3)};
    uint32_t y = espy_layer_binary(layer, "Reshape", x, espy_layer_concat(layer, 0, cut, 3));
    y = espy_layer_transpose(layer, y, (int64_t[]){0, 5, 1, 3, 2, 4}, 6);
    const uint32_t together[] = {batch, espy_layer_ints(layer, (int64_t[]){-1}, 1),
                                 espy_layer_shape(layer, shaping->like, 2, 4)};
    return espy_layer_binary(layer, "Reshape", y, espy_layer_concat(layer, 0, together, 3));
}

static const struct layer_block blocks[] = {
    {.name = "flatten",
     .summary = "All dimensions from one on become one.",
     .example = "\"flatten\"",
     LAYER_MEMBERS(flatten_rows, struct shaping),
     .expand = expand_flatten},
    {.name = "reshape",
     .summary = "The same elements in other dimensions.",
     .example = "{\"reshape\": [0, 2, -1]}",
     LAYER_MEMBERS(reshape_rows, struct shaping),
     .expand = expand_reshape},
    {.name = "permute",
     .summary = "The dimensions in another order.",
     .example = "{\"permute\": [0, 2, 3, 1]}",
     LAYER_MEMBERS(permute_rows, struct shaping),
     .expand = expand_permute},
    {.name = "squeeze",
     .summary = "Without some dimensions of size 1.",
     .example = "{\"squeeze\": [-1]}",
     LAYER_MEMBERS(squeeze_rows, struct shaping),
     .expand = expand_squeeze},
    {.name = "unsqueeze",
     .summary = "With more dimensions of size 1.",
     .example = "{\"unsqueeze\": 1}",
     LAYER_MEMBERS(unsqueeze_rows, struct shaping),
     .expand = expand_unsqueeze},
    {.name = "slice",
     .summary = "A range of one dimension.",
     .example = "{\"slice\": true, \"axis\": -1, \"start\": 1, \"step\": 2}",
     LAYER_MEMBERS(slice_rows, struct shaping),
     .expand = expand_slice},
    {.name = "select",
     .summary = "One element of a dimension, which is gone then: the class token.",
     .example = "{\"select\": 0}",
     LAYER_MEMBERS(select_rows, struct shaping),
     .expand = expand_select},
    {.name = "mean",
     .summary = "The mean over a dimension: of all tokens.",
     .example = "{\"mean\": 1}",
     LAYER_MEMBERS(mean_rows, struct shaping),
     .expand = expand_mean},
    {.name = "tokens",
     .summary = "A picture [batch, channels, height, width] as tokens [batch, pixels, channels].",
     .example = "\"tokens\"",
     .members_size = sizeof(struct shaping),
     .expand = expand_tokens},
    {.name = "picture",
     .summary = "Tokens [batch, pixels, channels] as a picture again.",
     .example = "[{\"identity\": true, \"as\": \"before\"}, \"tokens\", {\"picture\": \"before\"}]",
     LAYER_MEMBERS(picture_rows, struct shaping),
     .expand = expand_picture},
    {.name = "windows",
     .summary = "A picture in windows, each as tokens [windows of all samples, pixels, channels].",
     .example = "{\"windows\": 2}",
     LAYER_MEMBERS(windows_rows, struct shaping),
     .expand = expand_windows},
    {.name = "from_windows",
     .summary = "Windows as a picture again.",
     .example = "[{\"relu\": true, \"as\": \"p\"}, {\"windows\": 2}, {\"softmax\": 1}, "
                "{\"from_windows\": \"p\", \"size\": 2}]",
     LAYER_MEMBERS(from_windows_rows, struct shaping),
     .expand = expand_from_windows},
};

const struct layer_family espy_layers_block_shape = {blocks, LAYER_COUNT(blocks)};
