// MaxRoiPool: the largest elements of regions of a feature map, in a grid of bins over each region.
// Bins have whole elements and may overlap; where one lies outside of the map its result is 0.
#include <math.h>

#include "op/lower.h"
#include "op/op.h"
#include "shaders/max_roi_pool.spv.h"

struct max_roi_pool_attrs {
    struct op_ints pooled_shape;
    float spatial_scale;
};

enum {
    REGION_NUMBERS = 5,   // picture, left, top, right, bottom
    CORNER_MAX = 1 << 18, // farther corners count as this far; the same in the kernel
    POOLED_MAX = 1 << 12, // bins along a side, times the above, fit in 32 bits
    LOOP_MAX = 65535      // elements that one invocation may look at
};

static espy_status infer(struct op_infer *c)
{
    const struct max_roi_pool_attrs *attrs = c->attrs;
    const struct op_type *x = &c->inputs[0], *regions = &c->inputs[1];
    if (!espy_dtype_is_float(x->dtype))
        return espy_infer_fail(c, "takes floats, not %s", espy_dtype_name(x->dtype));
    TRY(espy_infer_same_dtype(c, 0, 2));
    if (x->shape.rank != 4 || regions->shape.rank != 2 || regions->shape.dims[1] != REGION_NUMBERS)
        return espy_infer_fail(c, "needs a map of 4 dimensions, and 5 numbers for each region");
    if (attrs->pooled_shape.count != 2)
        return espy_infer_fail(c, "pooled_shape needs 2 numbers");
    const int64_t *bins = attrs->pooled_shape.values;
    if (bins[0] > POOLED_MAX || bins[1] > POOLED_MAX)
        return espy_infer_unsupported(c, "more than %d bins along a side", POOLED_MAX);
    c->outputs[0] = (struct op_type){
        x->dtype, {4, {regions->shape.dims[0], x->shape.dims[1], bins[0], bins[1]}}};
    return ESPY_OK;
}

// ---- reference ----------------------------------------------------------------------------------

static int64_t corner(const struct op_eval *c, size_t index)
{
    const struct max_roi_pool_attrs *attrs = c->attrs;
    const float place =
        roundf((float)espy_tensor_number(&c->inputs[1], index) * attrs->spatial_scale);
    return (int64_t)fmaxf(fminf(place, CORNER_MAX), -CORNER_MAX); // NaN: the one or the other
}

// Elements [begin, end) of a side of `dim` elements, in bin `bin` of `bins` from `start` to `stop`.
struct range {
    int64_t begin, end;
};

static struct range bin_range(int64_t start, int64_t stop, int64_t bin, int64_t bins, int64_t dim)
{
    const int64_t length = stop - start + 1 > 1 ? stop - start + 1 : 1;
    const int64_t begin = start + bin * length / bins;
    const int64_t end = start + ((bin + 1) * length + bins - 1) / bins;
    return (struct range){begin < 0 ? 0 : begin, end > dim ? dim : end};
}

static double largest(const float *plane, int64_t width, struct range rows, struct range columns)
{
    double result = 0;
    bool found = false;
    for (int64_t i = rows.begin; i < rows.end; i++)
        for (int64_t j = columns.begin; j < columns.end; j++) {
            const double value = (double)plane[i * width + j];
            if (!found || value > result)
                result = value;
            found = true;
        }
    return result;
}

static void reference(struct op_eval *c)
{
    const int64_t *x = c->inputs[0].type.shape.dims, *y = c->outputs[0].type.shape.dims;
    const float *elements = espy_eval_floats(c, 0);
    size_t to = 0;
    for (int64_t r = 0; elements != NULL && r < y[0]; r++) {
        const size_t at = REGION_NUMBERS * (size_t)r;
        const int64_t picture = espy_tensor_integer(&c->inputs[1], at);
        if (picture < 0 || picture >= x[0]) {
            espy_eval_fail(c, ESPY_INVALID_ARGUMENT, "region %lld is of picture %lld, of %lld",
                           (long long)r, (long long)picture, (long long)x[0]);
            return;
        }
        const int64_t left = corner(c, at + 1), top = corner(c, at + 2);
        const int64_t right = corner(c, at + 3), bottom = corner(c, at + 4);
        for (int64_t k = 0; k < y[1]; k++) {
            const float *plane = elements + (picture * x[1] + k) * x[2] * x[3];
            for (int64_t i = 0; i < y[2]; i++)
                for (int64_t j = 0; j < y[3]; j++)
                    espy_tensor_set_number(&c->outputs[0], to++,
                                           largest(plane, x[3],
                                                   bin_range(top, bottom, i, y[2], x[2]),
                                                   bin_range(left, right, j, y[3], x[3])));
        }
    }
}

// ---- lower --------------------------------------------------------------------------------------

static espy_status lower(struct op_lower *c)
{
    const struct max_roi_pool_attrs *attrs = c->attrs;
    const int64_t *dims = c->inputs[0].shape.dims;
    if (dims[2] > LOOP_MAX || dims[3] > LOOP_MAX || dims[2] * dims[3] > LOOP_MAX)
        return espy_lower_on_host(c, "a region may be too large for one invocation");
    const struct view x = espy_lower_input(c, 0), regions = espy_lower_dense_input(c, 1);
    const struct view y = espy_lower_output_like(c, 0, &x);
    TRY(espy_lower_status(c));
    struct max_roi_pool_spec spec = MAX_ROI_POOL_SPEC_DEFAULT;
    struct max_roi_pool_push push = {.count = (uint32_t)espy_view_count(&y),
                                     .picture_count = (uint32_t)x.dims[0],
                                     .x_offset = (int32_t)x.offset,
                                     .region_offset = (int32_t)regions.offset,
                                     .scale = attrs->spatial_scale};
    for (uint32_t d = 0; d < 4; d++) {
        push.x_strides[d] = (int32_t)x.strides[d];
        push.y_strides[d] = (int32_t)y.strides[d];
    }
    for (uint32_t d = 0; d < 2; d++) {
        push.dims[d] = (int32_t)x.dims[2 + d];
        push.bins[d] = (uint32_t)y.dims[2 + d];
    }
    push.channels = (uint32_t)x.dims[1];
    spec.local_size_x = c->caps->local_size;
    spec.channels_innermost = x.strides[1] == 1;
    spec.region = regions.storage == STORAGE_F16 ? 2 : 1;
    LOWER_EPILOGUE(c, &spec, &push);
    struct op_dispatch made = {.shader = max_roi_pool_shaders.variants[espy_variant(x.storage)],
                               .bindings = {x, regions, y},
                               .binding_count = 3,
                               .push = &push,
                               .push_size = sizeof(push),
                               .spec = &spec,
                               .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.count, spec.local_size_x, made.groups);
    espy_lower_dispatch(c, &made);
    return espy_lower_status(c);
}

static const struct op_attr attr_rows[] = {
    {.name = "pooled_shape",
     .type = OP_INTS,
     .offset = offsetof(struct max_roi_pool_attrs, pooled_shape),
     .min = 1,
     .max = INT32_MAX,
     .required = true,
     .help = "bins down and across"},
    {.name = "spatial_scale",
     .type = OP_FLOAT,
     .offset = offsetof(struct max_roi_pool_attrs, spatial_scale),
     .fallback = 1,
     .help = "factor from regions to the feature map"}};

static const struct op ops[] = {{.name = "MaxRoiPool",
                                 .summary = "the largest elements of regions, in bins",
                                 .inputs_min = 2,
                                 .inputs_max = 2,
                                 .outputs_min = 1,
                                 .outputs_max = 1,
                                 .flags = OP_EPILOGUE,
                                 .attrs = attr_rows,
                                 .attr_count = sizeof(attr_rows) / sizeof(attr_rows[0]),
                                 .attrs_size = sizeof(struct max_roi_pool_attrs),
                                 .infer = infer,
                                 .reference = reference,
                                 .lower = lower}};

const struct op_family espy_ops_max_roi_pool = {ops, 1};
