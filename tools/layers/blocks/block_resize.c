// Pictures of another size, and pixels from channels.
#include <math.h>

#include "layers/layer.h"

enum { AXES_MAX = 3 };

struct resize {
    struct layer_tree scale; // a number or a list of them
    struct layer_ints size;
    int mode;
    bool align_corners;
    int64_t blocks, groups;
    struct layer_ints amount, axis;
    double value;
};

enum { MODE_NEAREST, MODE_LINEAR, MODE_CUBIC };
static const char *const mode_choices[] = {"nearest", "bilinear", "bicubic", NULL};
static const char *const pad_choices[] = {"constant", "reflect", "edge", "wrap", NULL};

static const struct layer_member upsample_rows[] = {
    {.name = "",
     .type = LAYER_JSON,
     .offset = offsetof(struct resize, scale),
     .help = "how many times as large: a number, or one for each axis"},
    {.name = "size",
     .type = LAYER_INTS,
     .offset = offsetof(struct resize, size),
     .fallback = NAN,
     .min = 1,
     .max = INT32_MAX,
     .help = "in place of it, the output's height and width"},
    {.name = "mode",
     .type = LAYER_CHOICE,
     .offset = offsetof(struct resize, mode),
     .choices = mode_choices,
     .help = "how pixels are interpolated"},
    {.name = "align_corners",
     .type = LAYER_BOOL,
     .offset = offsetof(struct resize, align_corners),
     .help = "the corners' pixels stay where they are; not with nearest"}};
static const struct layer_member shuffle_rows[] = {
    {.name = "",
     .type = LAYER_INT,
     .offset = offsetof(struct resize, blocks),
     .fallback = 2,
     .min = 1,
     .max = 32767,
     .help = "pixels along one side of what one channel becomes"}};
static const struct layer_member channel_rows[] = {{.name = "",
                                                    .type = LAYER_INT,
                                                    .offset = offsetof(struct resize, groups),
                                                    .fallback = 2,
                                                    .min = 1,
                                                    .max = INT32_MAX,
                                                    .help = "groups"}};
static const struct layer_member pad_rows[] = {
    {.name = "",
     .type = LAYER_INTS,
     .offset = offsetof(struct resize, amount),
     .min = -INT32_MAX,
     .max = INT32_MAX,
     .required = true,
     .help = "rows and columns: one number for all sides, [height, width], or [top, left, bottom, "
             "right]; below 0: taken away"},
    {.name = "axis",
     .type = LAYER_INTS,
     .offset = offsetof(struct resize, axis),
     .fallback = NAN,
     .min = -ESPY_RANK_MAX,
     .max = ESPY_RANK_MAX - 1,
     .help = "another dimension than height and width, to which [before, after] is added"},
    {.name = "mode",
     .type = LAYER_CHOICE,
     .offset = offsetof(struct resize, mode),
     .choices = pad_choices,
     .help = "what is outside: one value, the mirrored picture, its border, or it again"},
    {.name = "value",
     .type = LAYER_FLOAT,
     .offset = offsetof(struct resize, value),
     .help = "with constant"}};

// Reads the scales; false: failed.
static bool read_scales(struct layer *layer, const struct resize *resize, uint32_t *axes,
                        double scales[AXES_MAX])
{
    const uint32_t count = espy_layer_count(&resize->scale);
    if (count == 0 || count > AXES_MAX) {
        espy_layer_fail(layer, "needs one to three scales beside its name, or \"size\"");
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct layer_tree item = espy_layer_item(layer, &resize->scale, i);
        if (!espy_layer_number(layer, &item, &scales[i]))
            return false;
        if (!(scales[i] > 0 && scales[i] <= 32768)) {
            espy_layer_fail(layer, "a scale is above 0 and at most 32768");
            return false;
        }
    }
    if (count > 1)
        *axes = count;
    for (uint32_t i = count; i < *axes; i++)
        scales[i] = scales[0];
    return true;
}

static uint32_t expand_upsample(struct layer *layer, const void *members, uint32_t x)
{
    static const char *const modes[] = {"nearest", "linear", "cubic"};
    const struct resize *resize = members;
    const uint32_t rank = espy_layer_rank(layer, x);
    uint32_t axes = rank > 2 && rank - 2 <= AXES_MAX ? rank - 2 : 2;
    uint32_t inputs[4] = {x, GRAPH_NONE, GRAPH_NONE, GRAPH_NONE};
    double scales[AXES_MAX];
    if (resize->size.count > AXES_MAX) {
        espy_layer_fail(layer, "size has more than three axes");
    } else if (resize->size.count > 0) {
        int64_t size[AXES_MAX] = {resize->size.values[0], resize->size.values[0],
                                  resize->size.values[0]};
        axes = resize->size.count > 1 ? resize->size.count : axes;
        for (uint32_t a = 0; a < resize->size.count; a++)
            size[a] = resize->size.values[a];
        inputs[3] = espy_layer_ints(layer, size, axes);
    } else if (read_scales(layer, resize, &axes, scales)) {
        inputs[2] = espy_layer_float32s(layer, scales, axes);
    }
    const uint32_t y = espy_layer_op(layer, "Resize", inputs, 4);
    espy_layer_set_string(layer, "mode", modes[resize->mode]);
    espy_layer_set_ints(layer, "axes", (int64_t[]){2, 3, 4}, axes);
    espy_layer_set_string(layer, "coordinate_transformation_mode",
                          resize->mode == MODE_NEAREST ? "asymmetric"
                          : resize->align_corners      ? "align_corners"
                                                       : "half_pixel");
    espy_layer_set_string(layer, "nearest_mode", "floor");
    return y;
}

static uint32_t expand_shuffle(struct layer *layer, const void *members, uint32_t x)
{
    const struct resize *resize = members;
    const uint32_t y = espy_layer_unary(layer, "DepthToSpace", x);
    espy_layer_set(layer, "blocksize", (double)resize->blocks);
    espy_layer_set_string(layer, "mode", "CRD");
    return y;
}

// SpaceToDepth puts the channels inside; each channel by itself has the order of PyTorch.
static uint32_t expand_unshuffle(struct layer *layer, const void *members, uint32_t x)
{
    const struct resize *resize = members;
    const uint32_t apart[] = {espy_layer_ints(layer, (int64_t[]){-1, 1}, 2),
                              espy_layer_shape(layer, x, 2, 4)};
    uint32_t y = espy_layer_binary(layer, "Reshape", x, espy_layer_concat(layer, 0, apart, 2));
    y = espy_layer_unary(layer, "SpaceToDepth", y);
    espy_layer_set(layer, "blocksize", (double)resize->blocks);
    const uint32_t together[] = {espy_layer_shape(layer, x, 0, 1),
                                 espy_layer_ints(layer, (int64_t[]){-1}, 1),
                                 espy_layer_shape(layer, y, 2, 4)};
    return espy_layer_binary(layer, "Reshape", y, espy_layer_concat(layer, 0, together, 3));
}

static uint32_t expand_channels(struct layer *layer, const void *members, uint32_t x)
{
    const struct resize *resize = members;
    const int64_t channels = espy_layer_dim(layer, x, 1), groups = resize->groups;
    if (!espy_layer_failed(layer) && (channels < 0 || channels % groups != 0))
        espy_layer_fail(layer, channels < 0 ? "the number of channels is not known here"
                                            : "the channels cannot be divided so");
    uint32_t y = espy_layer_reshape(layer, x, (int64_t[]){0, groups, channels / groups, -1}, 4);
    y = espy_layer_transpose(layer, y, (int64_t[]){0, 2, 1, 3}, 4);
    return espy_layer_binary(layer, "Reshape", y, espy_layer_shape(layer, x, 0, LAYER_ALL));
}

static uint32_t expand_pad(struct layer *layer, const void *members, uint32_t x)
{
    static const struct layer_ints sides = {.count = 2, .values = {2, 3}};
    const struct resize *resize = members;
    const struct layer_ints *amount = &resize->amount;
    const struct layer_ints *axes = resize->axis.count > 0 ? &resize->axis : &sides;
    int64_t pads[4];
    if (axes->count > 2 || 2 * axes->count % amount->count != 0) {
        espy_layer_fail(layer, "expected one number, [height, width], [top, left, bottom, right], "
                               "or [before, after] with one axis");
        return GRAPH_NONE;
    }
    for (uint32_t i = 0; i < 2 * axes->count; i++)
        pads[i] = amount->values[i % amount->count];
    const uint32_t inputs[] = {x, espy_layer_ints(layer, pads, 2 * axes->count),
                               espy_layer_float(layer, resize->value),
                               espy_layer_ints(layer, axes->values, axes->count)};
    const uint32_t y = espy_layer_op(layer, "Pad", inputs, 4);
    espy_layer_set_string(layer, "mode", pad_choices[resize->mode]);
    return y;
}

static const struct layer_block blocks[] = {
    {.name = "upsample",
     .summary = "Interpolates to another size, as torch.nn.Upsample.",
     .example = "{\"upsample\": 2, \"mode\": \"bilinear\"}",
     LAYER_MEMBERS(upsample_rows, struct resize),
     .expand = expand_upsample},
    {.name = "pixel_shuffle",
     .summary = "Channels become pixels, as torch.nn.PixelShuffle.",
     .example = "{\"pixel_shuffle\": 2}",
     LAYER_MEMBERS(shuffle_rows, struct resize),
     .expand = expand_shuffle},
    {.name = "pixel_unshuffle",
     .summary = "Pixels become channels, as torch.nn.PixelUnshuffle.",
     .example = "{\"pixel_unshuffle\": 2}",
     LAYER_MEMBERS(shuffle_rows, struct resize),
     .expand = expand_unshuffle},
    {.name = "channel_shuffle",
     .summary = "Takes one channel of every group in turn, as torch.nn.ChannelShuffle.",
     .example = "{\"channel_shuffle\": 2}",
     LAYER_MEMBERS(channel_rows, struct resize),
     .expand = expand_channels},
    {.name = "pad",
     .summary = "Pixels added around a picture or taken away.",
     .example = "{\"pad\": [1, 2], \"mode\": \"reflect\"}",
     LAYER_MEMBERS(pad_rows, struct resize),
     .expand = expand_pad},
};

const struct layer_family espy_layers_block_resize = {blocks, LAYER_COUNT(blocks)};
