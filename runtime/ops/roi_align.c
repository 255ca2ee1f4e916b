// RoiAlign: regions of a feature map, resampled to one size.
#include <assert.h>
#include <math.h>
#include <string.h>

#include "op/lower.h"
#include "op/op.h"
#include "shaders/roi_align.spv.h"

struct roi_align_attrs {
    int transformation, mode;
    int64_t output_height, output_width, sampling_ratio;
    float spatial_scale;
};

enum { MODE_AVG, MODE_MAX };
enum { HALF_PIXEL, OUTPUT_HALF_PIXEL };
enum { SAMPLES_MAX = 250 }; // along each side of a bin, however large; the same in the kernel

static espy_status infer(struct op_infer *c)
{
    const struct roi_align_attrs *attrs = c->attrs;
    const struct op_type *x = &c->inputs[0], *regions = &c->inputs[1], *pictures = &c->inputs[2];
    if (!espy_dtype_is_float(x->dtype) || !espy_dtype_is_float(regions->dtype))
        return espy_infer_fail(c, "takes floats, not %s and %s", espy_dtype_name(x->dtype),
                               espy_dtype_name(regions->dtype));
    if (pictures->dtype != ESPY_INT64 && pictures->dtype != ESPY_INT32)
        return espy_infer_fail(c, "batch_indices must be int64, not %s",
                               espy_dtype_name(pictures->dtype));
    if (x->shape.rank != 4 || regions->shape.rank != 2 || pictures->shape.rank != 1)
        return espy_infer_fail(c, "needs inputs of 4, 2 and 1 dimensions");
    if (regions->shape.dims[1] != 4 || regions->shape.dims[0] != pictures->shape.dims[0])
        return espy_infer_fail(c, "needs 4 numbers and one batch index for each region");
    const struct shape shape = {
        4, {regions->shape.dims[0], x->shape.dims[1], attrs->output_height, attrs->output_width}};
    size_t count = 0, source_count = 0;
    if (espy_shape_count(&shape, &count) && espy_shape_count(&x->shape, &source_count) &&
        count > 0 && source_count == 0)
        return espy_infer_fail(c, "regions of an empty feature map");
    c->outputs[0] = (struct op_type){x->dtype, shape};
    return ESPY_OK;
}

// ---- reference ----------------------------------------------------------------------------------

// One channel of one picture.
struct plane {
    const float *pixels;
    int64_t height, width;
};

static double sample(const struct plane *plane, bool maximum, double row, double column)
{
    if (!(row >= -1 && row <= (double)plane->height && column >= -1 &&
          column <= (double)plane->width))
        return 0;
    row = fmin(fmax(row, 0), (double)(plane->height - 1));
    column = fmin(fmax(column, 0), (double)(plane->width - 1));
    const int64_t top = (int64_t)row, left = (int64_t)column;
    const int64_t bottom = top + 1 < plane->height ? top + 1 : top;
    const int64_t right = left + 1 < plane->width ? left + 1 : left;
    const double down = row - (double)top, along = column - (double)left;
    const double a = (1 - down) * (1 - along) * (double)plane->pixels[top * plane->width + left];
    const double b = (1 - down) * along * (double)plane->pixels[top * plane->width + right];
    const double c = down * (1 - along) * (double)plane->pixels[bottom * plane->width + left];
    const double d = down * along * (double)plane->pixels[bottom * plane->width + right];
    return maximum ? fmax(fmax(a, b), fmax(c, d)) : a + b + c + d;
}

// Start and size of a bin, and how often it is sampled, along one side of a region.
struct side {
    double start, size;
    int64_t samples;
};

static struct side side_of(const struct roi_align_attrs *attrs, double from, double to,
                           int64_t bins)
{
    const double offset = attrs->transformation == HALF_PIXEL ? 0.5 : 0;
    const double start = from * (double)attrs->spatial_scale - offset;
    double size = to * (double)attrs->spatial_scale - offset - start;
    if (attrs->transformation != HALF_PIXEL)
        size = fmax(size, 1);
    size /= (double)bins;
    const double wanted = attrs->sampling_ratio > 0 ? (double)attrs->sampling_ratio : ceil(size);
    const double samples = fmin(fmax(wanted, 0), SAMPLES_MAX);
    return (struct side){start, size, (int64_t)samples};
}

static double pool(const struct plane *plane, bool maximum, const struct side *vertical,
                   const struct side *horizontal, int64_t bin_row, int64_t bin_column)
{
    double result = 0;
    for (int64_t i = 0; i < vertical->samples; i++) {
        const double row = vertical->start + (double)bin_row * vertical->size +
                           ((double)i + 0.5) * vertical->size / (double)vertical->samples;
        for (int64_t j = 0; j < horizontal->samples; j++) {
            const double column =
                horizontal->start + (double)bin_column * horizontal->size +
                ((double)j + 0.5) * horizontal->size / (double)horizontal->samples;
            const double value = sample(plane, maximum, row, column);
            if (!maximum)
                result += value;
            else if (i + j == 0 || value > result)
                result = value;
        }
    }
    const int64_t samples = vertical->samples * horizontal->samples;
    return maximum || samples == 0 ? result : result / (double)samples;
}

static void reference(struct op_eval *c)
{
    const struct roi_align_attrs *attrs = c->attrs;
    const struct shape *shape = &c->inputs[0].type.shape, *out = &c->outputs[0].type.shape;
    const int64_t channels = shape->dims[1], height = shape->dims[2], width = shape->dims[3];
    const float *x = espy_eval_floats(c, 0);
    size_t at = 0;
    for (int64_t r = 0; x != NULL && r < out->dims[0]; r++) {
        const int64_t picture = espy_tensor_integer(&c->inputs[2], (size_t)r);
        if (picture < 0 || picture >= shape->dims[0]) {
            espy_eval_fail(c, ESPY_INVALID_ARGUMENT, "batch index %lld is outside 0..%lld",
                           (long long)picture, (long long)shape->dims[0] - 1);
            return;
        }
        double corners[4];
        for (uint32_t k = 0; k < 4; k++)
            corners[k] = espy_tensor_number(&c->inputs[1], 4 * (size_t)r + k);
        const struct side horizontal = side_of(attrs, corners[0], corners[2], out->dims[3]);
        const struct side vertical = side_of(attrs, corners[1], corners[3], out->dims[2]);
        for (int64_t k = 0; k < channels; k++) {
            const struct plane plane = {x + (picture * channels + k) * height * width, height,
                                        width};
            for (int64_t i = 0; i < out->dims[2]; i++)
                for (int64_t j = 0; j < out->dims[3]; j++)
                    espy_tensor_set_number(
                        &c->outputs[0], at++,
                        pool(&plane, attrs->mode == MODE_MAX, &vertical, &horizontal, i, j));
        }
    }
}

// ---- lower --------------------------------------------------------------------------------------

static espy_status lower(struct op_lower *c)
{
    const struct roi_align_attrs *attrs = c->attrs;
    const struct view x = espy_lower_input(c, 0);
    const struct view regions = espy_lower_dense_input(c, 1);
    const struct view pictures = espy_lower_dense_input(c, 2);
    const struct view y = espy_lower_output_like(c, 0, &x);
    TRY(espy_lower_status(c));
    struct roi_align_spec spec = ROI_ALIGN_SPEC_DEFAULT;
    struct roi_align_push push = {.count = (uint32_t)espy_view_count(&y),
                                  .picture_count = (uint32_t)x.dims[0],
                                  .channels = (uint32_t)x.dims[1],
                                  .height = (uint32_t)x.dims[2],
                                  .width = (uint32_t)x.dims[3],
                                  .out_height = (uint32_t)y.dims[2],
                                  .out_width = (uint32_t)y.dims[3],
                                  .x_offset = (int32_t)x.offset,
                                  .region_offset = (int32_t)regions.offset,
                                  .index_offset = (int32_t)pictures.offset,
                                  .sampling = (int32_t)attrs->sampling_ratio,
                                  .scale = attrs->spatial_scale};
    for (uint32_t d = 0; d < 4; d++) {
        push.x_strides[d] = (int32_t)x.strides[d];
        push.y_strides[d] = (int32_t)y.strides[d];
    }
    spec.local_size_x = c->caps->local_size;
    spec.channels_innermost = x.strides[1] == 1;
    spec.maximum = attrs->mode == MODE_MAX;
    spec.half_pixel = attrs->transformation == HALF_PIXEL;
    spec.region = regions.storage == STORAGE_F16 ? 2 : 1;
    spec.index_words = espy_index_words(&pictures);
    LOWER_EPILOGUE(c, &spec, &push);
    struct op_dispatch made = {.shader = roi_align_shaders.variants[espy_variant(x.storage)],
                               .bindings = {x, regions, pictures, y},
                               .binding_count = 4,
                               .push = &push,
                               .push_size = sizeof(push),
                               .spec = &spec,
                               .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.count, spec.local_size_x, made.groups);
    espy_lower_dispatch(c, &made);
    return espy_lower_status(c);
}

static const char *const transformations[] = {"half_pixel", "output_half_pixel", NULL};
static const char *const modes[] = {"avg", "max", NULL};

#define ROW(attr_name, attr_type, member, text, ...)                                              \
    {                                                                                             \
        .name = attr_name, .type = attr_type, .offset = offsetof(struct roi_align_attrs, member), \
        .help = text, __VA_ARGS__                                                                 \
    }

static const struct op_attr attr_rows[] = {
    ROW("coordinate_transformation_mode", OP_ENUM, transformation,
        "half_pixel: coordinates count from corners of pixels, not from centres",
        .choices = transformations),
    ROW("mode", OP_ENUM, mode, "what becomes of a bin's samples", .choices = modes),
    ROW("output_height", OP_INT, output_height, "bins down", .fallback = 1, .min = 1,
        .max = INT32_MAX),
    ROW("output_width", OP_INT, output_width, "bins across", .fallback = 1, .min = 1,
        .max = INT32_MAX),
    ROW("sampling_ratio", OP_INT, sampling_ratio,
        "samples along each side of a bin, at most 250; 0: one for each pixel", .fallback = 0,
        .min = 0, .max = INT32_MAX),
    ROW("spatial_scale", OP_FLOAT, spatial_scale, "factor from regions to the feature map",
        .fallback = 1),
};

static const struct op ops[] = {{.name = "RoiAlign",
                                 .summary = "regions of a feature map, resampled to one size",
                                 .inputs_min = 3,
                                 .inputs_max = 3,
                                 .outputs_min = 1,
                                 .outputs_max = 1,
                                 .flags = OP_EPILOGUE,
                                 .attrs = attr_rows,
                                 .attr_count = sizeof(attr_rows) / sizeof(attr_rows[0]),
                                 .attrs_size = sizeof(struct roi_align_attrs),
                                 .infer = infer,
                                 .reference = reference,
                                 .lower = lower}};

const struct op_family espy_ops_roi_align = {ops, 1};
