// BatchNormalization, InstanceNormalization, GroupNormalization and MeanVarianceNormalization: a
// mean and a factor for each channel (and picture), then one multiply and add for each element.
#include <assert.h>
#include <math.h>
#include <string.h>

#include "op/axes.h"
#include "op/lower.h"
#include "op/op.h"
#include "shaders/channel_factors.spv.h"
#include "shaders/moments.spv.h"
#include "shaders/normalize.spv.h"
#include "shaders/normalize_texel.spv.h"

struct norm_attrs {
    float epsilon, momentum;
    bool training_mode;
    int64_t num_groups;
    espy_dtype stash_type;
    struct op_ints axes;
};

enum { BLOCK = 8, FACTORS = 3 };                  // as in normalize.comp
static const double mean_variance_epsilon = 1e-9; // ONNX has no attribute for it

static bool is_batch(const struct op_node *node)
{
    return node->op->name[0] == 'B';
}

static bool is_mean_variance(const struct op_node *node)
{
    return node->op->name[0] == 'M';
}

// Channels whose elements share one mean.
static int64_t group_channels(const struct op_node *node, int64_t channels)
{
    const struct norm_attrs *attrs = node->attrs;
    return node->op->name[0] == 'G' ? channels / attrs->num_groups : 1;
}

// The dimensions over which MeanVarianceNormalization takes the mean.
static uint32_t axes_mask(const struct op_node *node, uint32_t rank)
{
    static const int64_t usual[] = {0, 2, 3};
    const struct norm_attrs *attrs = node->attrs;
    const struct op_ints axes =
        attrs->axes.values != NULL ? attrs->axes : (struct op_ints){usual, 3};
    uint32_t mask = 0;
    for (uint32_t i = 0; i < axes.count; i++) {
        const int64_t axis = axes.values[i] < 0 ? axes.values[i] + (int64_t)rank : axes.values[i];
        if (axis >= 0 && axis < (int64_t)rank)
            mask |= UINT32_C(1) << axis;
    }
    return mask;
}

// ---- infer --------------------------------------------------------------------------------------

static espy_status check_parameters(const struct op_infer *c, uint32_t count, int64_t channels)
{
    for (uint32_t i = 1; i <= count; i++) {
        const struct op_type *type = &c->inputs[i];
        if (!espy_dtype_is_float(type->dtype))
            return espy_infer_fail(c, "input %u is %s, must be a float", i,
                                   espy_dtype_name(type->dtype));
        if (type->shape.rank != 1 || type->shape.dims[0] != channels)
            return espy_infer_fail(c, "input %u must have one element for each of %lld channels", i,
                                   (long long)channels);
    }
    return ESPY_OK;
}

static espy_status infer_batch(struct op_infer *c)
{
    const struct norm_attrs *attrs = c->attrs;
    const struct op_type *x = &c->inputs[0];
    if (!espy_dtype_is_float(x->dtype))
        return espy_infer_fail(c, "takes floats, not %s", espy_dtype_name(x->dtype));
    if (attrs->training_mode)
        return espy_infer_unsupported(c, "training_mode");
    if (x->shape.rank == 0)
        return espy_infer_fail(c, "takes no scalar");
    TRY(check_parameters(c, 4, x->shape.rank == 1 ? 1 : x->shape.dims[1]));
    espy_infer_copy(c, 0, 0);
    return ESPY_OK;
}

static espy_status infer_group(struct op_infer *c)
{
    const struct norm_attrs *attrs = c->attrs;
    const struct op_type *x = &c->inputs[0];
    if (!espy_dtype_is_float(x->dtype))
        return espy_infer_fail(c, "takes floats, not %s", espy_dtype_name(x->dtype));
    if (x->shape.rank < 2)
        return espy_infer_fail(c, "takes a tensor of at least two dimensions");
    const int64_t channels = x->shape.dims[1];
    if (c->node->op->name[0] == 'G' && channels % attrs->num_groups != 0)
        return espy_infer_fail(c, "%lld channels do not make %lld equal groups",
                               (long long)channels, (long long)attrs->num_groups);
    TRY(check_parameters(c, 2, channels));
    espy_infer_copy(c, 0, 0);
    return ESPY_OK;
}

static espy_status infer_mean_variance(struct op_infer *c)
{
    const struct norm_attrs *attrs = c->attrs;
    const struct op_type *x = &c->inputs[0];
    if (!espy_dtype_is_float(x->dtype))
        return espy_infer_fail(c, "takes floats, not %s", espy_dtype_name(x->dtype));
    uint32_t axis;
    for (uint32_t i = 0; i < attrs->axes.count; i++)
        TRY(espy_infer_axis(c, attrs->axes.values[i], x->shape.rank, &axis));
    if (attrs->axes.values == NULL)
        TRY(espy_infer_axis(c, 3, x->shape.rank, &axis));
    if (axes_mask(c->node, x->shape.rank) == 0)
        return espy_infer_unsupported(c, "without axes");
    espy_infer_copy(c, 0, 0);
    return ESPY_OK;
}

// ---- reference ----------------------------------------------------------------------------------

static void reference_batch(struct op_eval *c)
{
    const struct norm_attrs *attrs = c->attrs;
    const struct tensor *x = &c->inputs[0];
    const struct shape *shape = &x->type.shape;
    const size_t channels = shape->rank == 1 ? 1 : (size_t)shape->dims[1];
    size_t inner = 1;
    for (uint32_t d = 2; d < shape->rank; d++)
        inner *= (size_t)shape->dims[d];
    for (size_t i = 0; i < x->count; i++) {
        const size_t channel = i / inner % channels;
        const double scale = espy_tensor_number(&c->inputs[1], channel);
        const double bias = espy_tensor_number(&c->inputs[2], channel);
        const double mean = espy_tensor_number(&c->inputs[3], channel);
        const double variance = espy_tensor_number(&c->inputs[4], channel);
        espy_tensor_set_number(&c->outputs[0], i,
                               (espy_tensor_number(x, i) - mean) * scale /
                                       sqrt(variance + (double)attrs->epsilon) +
                                   bias);
    }
}

static void reference_group(struct op_eval *c)
{
    const struct norm_attrs *attrs = c->attrs;
    const struct tensor *x = &c->inputs[0];
    const struct shape *shape = &x->type.shape;
    const size_t channels = (size_t)shape->dims[1];
    size_t inner = 1;
    for (uint32_t d = 2; d < shape->rank; d++)
        inner *= (size_t)shape->dims[d];
    const size_t length = (size_t)group_channels(c->node, shape->dims[1]) * inner;
    for (size_t first = 0; first < x->count; first += length) {
        double mean = 0, variance = 0;
        for (size_t i = first; i < first + length; i++)
            mean += espy_tensor_number(x, i);
        mean /= (double)length;
        for (size_t i = first; i < first + length; i++)
            variance += pow(espy_tensor_number(x, i) - mean, 2);
        variance /= (double)length;
        for (size_t i = first; i < first + length; i++) {
            const size_t channel = i / inner % channels;
            const double moved =
                (espy_tensor_number(x, i) - mean) / sqrt(variance + (double)attrs->epsilon);
            espy_tensor_set_number(&c->outputs[0], i,
                                   moved * espy_tensor_number(&c->inputs[1], channel) +
                                       espy_tensor_number(&c->inputs[2], channel));
        }
    }
}

// The number of the mean that element i belongs to: its index with the dimensions in mask left out.
static size_t kept_index(const struct shape *shape, uint32_t mask, size_t i)
{
    size_t at = 0, stride = 1;
    for (uint32_t d = shape->rank; d-- > 0;) {
        const size_t dim = (size_t)shape->dims[d];
        if ((mask >> d & 1) == 0) {
            at += i % dim * stride;
            stride *= dim;
        }
        i /= dim;
    }
    return at;
}

static void reference_mean_variance(struct op_eval *c)
{
    const struct tensor *x = &c->inputs[0];
    const struct shape *shape = &x->type.shape;
    const uint32_t mask = axes_mask(c->node, shape->rank);
    const size_t kept = espy_axes_count(shape, ~mask);
    const double length = (double)espy_axes_count(shape, mask);
    double *means = espy_eval_scratch(c, kept, sizeof(*means));
    double *variances = espy_eval_scratch(c, kept, sizeof(*variances));
    if (means == NULL || variances == NULL)
        return;
    for (size_t i = 0; i < x->count; i++)
        means[kept_index(shape, mask, i)] += espy_tensor_number(x, i) / length;
    for (size_t i = 0; i < x->count; i++) {
        const size_t k = kept_index(shape, mask, i);
        variances[k] += pow(espy_tensor_number(x, i) - means[k], 2) / length;
    }
    for (size_t i = 0; i < x->count; i++) {
        const size_t k = kept_index(shape, mask, i);
        espy_tensor_set_number(&c->outputs[0], i,
                               (espy_tensor_number(x, i) - means[k]) /
                                   (sqrt(variances[k]) + mean_variance_epsilon));
    }
}

// ---- lower --------------------------------------------------------------------------------------

static uint32_t parameter_kind(const struct view *view)
{
    return view->buffer == VIEW_NONE ? 0 : view->storage == STORAGE_F16 ? 2 : 1;
}

// Leaves the moments of each row, in parts; a row is one of the kept dimensions' indices.
static struct view dispatch_moments(struct op_lower *c, const struct view *x, struct view *kept,
                                    struct view *inside, struct channel_factors_push *factors)
{
    struct moments_spec spec = MOMENTS_SPEC_DEFAULT;
    struct moments_push push = {.rows = (uint32_t)espy_view_count(kept),
                                .row_length = (uint32_t)espy_view_count(inside),
                                .x_offset = (int32_t)x->offset};
    spec.local_size_x = c->caps->local_size;
    spec.rank = espy_axes_fill(kept, 1, false, push.dims, push.x_strides);
    spec.inside_rank = espy_axes_fill(inside, 1, true, push.inside_dims, push.inside_strides);
    push.part_length = espy_axes_part(c, push.rows, push.row_length);
    push.part_count = (push.row_length + push.part_length - 1) / push.part_length;
    factors->rows = push.rows;
    factors->row_length = push.row_length;
    factors->part_length = push.part_length;
    factors->part_count = push.part_count;
    const struct shape shape = {3, {push.part_count, push.rows, 2}};
    const struct view parts = espy_lower_temporary(c, ESPY_FLOAT32, &shape);
    struct op_dispatch made = {.shader = moments_shaders.variants[espy_variant(x->storage)],
                               .bindings = {*x, parts},
                               .binding_count = 2,
                               .push = &push,
                               .push_size = sizeof(push),
                               .spec = &spec,
                               .spec_size = sizeof(spec)};
    espy_lower_grid(c, (size_t)push.rows * push.part_count, spec.local_size_x, made.groups);
    espy_lower_dispatch(c, &made);
    return parts;
}

// parameters: scale, bias, mean, variance, parts; those that are not there are VIEW_NONE.
static struct view dispatch_factors(struct op_lower *c, const struct view parameters[5],
                                    struct channel_factors_push *push)
{
    struct channel_factors_spec spec = CHANNEL_FACTORS_SPEC_DEFAULT;
    spec.local_size_x = c->caps->local_size;
    spec.given = is_batch(c->node);
    spec.outside = is_mean_variance(c->node);
    spec.scale = parameter_kind(&parameters[0]);
    spec.bias = parameter_kind(&parameters[1]);
    spec.mean = parameter_kind(&parameters[2]);
    spec.variance = parameter_kind(&parameters[3]);
    push->scale_offset = (int32_t)parameters[0].offset;
    push->bias_offset = (int32_t)parameters[1].offset;
    push->mean_offset = (int32_t)parameters[2].offset;
    push->variance_offset = (int32_t)parameters[3].offset;
    const struct shape shape = {2, {push->count, FACTORS}};
    const struct view factors = espy_lower_temporary(c, ESPY_FLOAT32, &shape);
    struct op_dispatch made = {.shader = channel_factors_shaders.variants[VARIANT_NONE],
                               .bindings = {parameters[0], parameters[1], parameters[2],
                                            parameters[3], parameters[4], factors},
                               .binding_count = 6,
                               .push = push,
                               .push_size = sizeof(*push),
                               .spec = &spec,
                               .spec_size = sizeof(spec)};
    espy_lower_grid(c, push->count, spec.local_size_x, made.groups);
    espy_lower_dispatch(c, &made);
    return factors;
}

// Moves the dimension that the kernel runs along, of those with one factor, out of the views.
static void take_run(struct view views[3], struct normalize_push *push, struct normalize_spec *spec)
{
    uint32_t run = UINT32_MAX;
    for (uint32_t d = 0; d < views[0].rank; d++)
        if (views[2].strides[d] == 0 && (run == UINT32_MAX || views[0].dims[d] >= BLOCK))
            run = d;
    push->run_length = 1;
    if (run != UINT32_MAX) {
        push->run_length = (uint32_t)views[0].dims[run];
        push->x_step = (int32_t)views[0].strides[run];
        push->y_step = (int32_t)views[1].strides[run];
        spec->run_innermost = run + 1 == views[0].rank;
        for (uint32_t v = 0; v < 3; v++)
            views[v] = espy_axes_select(&views[v], ~(UINT32_C(1) << run));
    }
    push->block_count = (push->run_length + BLOCK - 1) / BLOCK;
}

// Pictures whose channels are whole vectors next to each other, and whose pixels are evenly spaced;
// one factor for all pixels of a picture. *pixels: them in one dimension.
static bool suits_texels(const struct op_lower *c, const struct view *x,
                         const struct view *factors, struct view *pixels)
{
    bool fits = x->rank >= 3 && espy_lower_reads_vectors(c, x->storage) && x->dims[1] % 4 == 0 &&
                x->strides[1] == 1 && x->offset % 4 == 0 && x->strides[0] % 4 == 0;
    *pixels = *x;
    pixels->rank = x->rank > 2 ? x->rank - 2 : 0;
    for (uint32_t d = 2; d < x->rank; d++) {
        fits = fits && x->strides[d] % 4 == 0 && (factors->strides[d] == 0 || x->dims[d] == 1);
        pixels->dims[d - 2] = x->dims[d];
        pixels->strides[d - 2] = x->strides[d];
    }
    return fits && espy_view_collapse(pixels, 1) == 1;
}

static void dispatch_texels(struct op_lower *c, const struct view *x, const struct view *factors,
                            const struct view *pixels)
{
    const struct view y = espy_lower_channels_last_output(c, 0);
    if (y.buffer == VIEW_NONE)
        return;
    struct normalize_texel_spec spec = NORMALIZE_TEXEL_SPEC_DEFAULT;
    spec.local_size_x = c->caps->local_size;
    struct normalize_texel_push push = {.pixels = (uint32_t)pixels->dims[0],
                                        .quads = (uint32_t)(x->dims[1] / 4),
                                        .x_offset = (int32_t)(x->offset / 4),
                                        .x_image = (int32_t)(x->strides[0] / 4),
                                        .x_pixel = (int32_t)(pixels->strides[0] / 4),
                                        .factor_image = (int32_t)factors->strides[0],
                                        .factor_channel = (int32_t)factors->strides[1]};
    push.blocks = (push.pixels + spec.block - 1) / spec.block;
    push.count = (uint32_t)x->dims[0] * push.blocks * push.quads;
    LOWER_EPILOGUE(c, &spec, &push);
    struct op_dispatch made = {.shader = espy_vector_shader(c, &normalize_texel_shaders),
                               .bindings = {*x, *factors, y},
                               .binding_count = 3,
                               .push = &push,
                               .push_size = sizeof(push),
                               .spec = &spec,
                               .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.count, spec.local_size_x, made.groups);
    espy_lower_dispatch(c, &made);
}

// factors has x's shape, and strides of 0 where a dimension does not matter.
static void dispatch_normalize(struct op_lower *c, const struct view *x, const struct view *factors)
{
    struct view pixels;
    if (espy_lower_status(c) == ESPY_OK && espy_view_count(x) > 0 && factors->offset == 0 &&
        suits_texels(c, x, factors, &pixels)) {
        dispatch_texels(c, x, factors, &pixels);
        return;
    }
    const struct view y = espy_lower_output_like(c, 0, x);
    if (espy_lower_status(c) != ESPY_OK || espy_view_count(x) == 0)
        return;
    struct normalize_spec spec = NORMALIZE_SPEC_DEFAULT;
    struct normalize_push push = {.x_offset = (int32_t)x->offset};
    struct view views[3] = {*x, y, *factors};
    int32_t strides[3][AXES_RANK_MAX];
    espy_axes_sort(views, 3);
    espy_view_collapse(views, 3);
    take_run(views, &push, &spec);
    push.rows = (uint32_t)espy_view_count(&views[0]);
    spec.local_size_x = c->caps->local_size;
    spec.rank = espy_axes_fill(views, 3, false, push.dims, strides[0]);
    memcpy(push.x_strides, strides[0], sizeof(push.x_strides));
    memcpy(push.y_strides, strides[1], sizeof(push.y_strides));
    memcpy(push.factor_strides, strides[2], sizeof(push.factor_strides));
    LOWER_EPILOGUE(c, &spec, &push);
    struct op_dispatch made = {.shader = normalize_shaders.variants[espy_variant(x->storage)],
                               .bindings = {*x, *factors, y},
                               .binding_count = 3,
                               .push = &push,
                               .push_size = sizeof(push),
                               .spec = &spec,
                               .spec_size = sizeof(spec)};
    espy_lower_grid(c, (size_t)push.rows * push.block_count, spec.local_size_x, made.groups);
    espy_lower_dispatch(c, &made);
}

// Factors made for [pictures, channels] (pictures 1: the same for all) as a view of x's shape.
static struct view spread(const struct view *factors, const struct view *x, int64_t pictures)
{
    struct view result = *x;
    result.buffer = factors->buffer;
    result.offset = 0;
    for (uint32_t d = 0; d < x->rank; d++)
        result.strides[d] = 0;
    if (x->rank > 1) {
        result.strides[1] = FACTORS;
        result.strides[0] = pictures == 1 ? 0 : FACTORS * x->dims[1];
    }
    return result;
}

// x with at most three dimensions after the channels, so that kernels can decode it.
static struct view channel_input(struct op_lower *c)
{
    return espy_axes_input(c, 0, ~UINT32_C(3), AXES_RANK_MAX - 1);
}

static espy_status lower_batch(struct op_lower *c)
{
    const struct norm_attrs *attrs = c->attrs;
    const struct view x = channel_input(c);
    struct view parameters[5] = {[4] = {.buffer = VIEW_NONE}};
    for (uint32_t i = 0; i < 4; i++)
        parameters[i] = espy_lower_dense_input(c, 1 + i);
    TRY(espy_lower_status(c));
    const uint32_t channels = x.rank == 1 ? 1 : (uint32_t)x.dims[1];
    struct channel_factors_push push = {
        .count = channels, .channels = channels, .group_channels = 1, .epsilon = attrs->epsilon};
    const struct view made = dispatch_factors(c, parameters, &push);
    const struct view factors = spread(&made, &x, 1);
    dispatch_normalize(c, &x, &factors);
    return espy_lower_status(c);
}

static espy_status lower_group(struct op_lower *c)
{
    const struct norm_attrs *attrs = c->attrs;
    const struct view x = channel_input(c);
    struct view parameters[5] = {espy_lower_dense_input(c, 1),
                                 espy_lower_dense_input(c, 2),
                                 {.buffer = VIEW_NONE},
                                 {.buffer = VIEW_NONE},
                                 {.buffer = VIEW_NONE}};
    TRY(espy_lower_status(c));
    if (espy_view_count(&x) == 0) {
        espy_lower_output(c, 0);
        return espy_lower_status(c);
    }
    const int64_t channels = x.dims[1], group = group_channels(c->node, channels);
    struct channel_factors_push push = {.count = (uint32_t)(x.dims[0] * channels),
                                        .channels = (uint32_t)channels,
                                        .group_channels = (uint32_t)group,
                                        .epsilon = attrs->epsilon};
    struct view kept = espy_axes_select(&x, 3), inside = espy_axes_select(&x, ~UINT32_C(1));
    kept.dims[1] = channels / group;
    kept.strides[1] *= group;
    inside.dims[0] = group;
    parameters[4] = dispatch_moments(c, &x, &kept, &inside, &push);
    const struct view made = dispatch_factors(c, parameters, &push);
    const struct view factors = spread(&made, &x, x.dims[0]);
    dispatch_normalize(c, &x, &factors);
    return espy_lower_status(c);
}

// Neighbouring dimensions of one kind are one: what a dense tensor collapses to.
static uint32_t alternations(const struct shape *shape, uint32_t mask)
{
    uint32_t count = 0;
    int last = -1;
    for (uint32_t d = 0; d < shape->rank; d++) {
        const int kind = (int)(mask >> d & 1);
        if (shape->dims[d] == 1 || kind == last)
            continue;
        count++;
        last = kind;
    }
    return count;
}

static espy_status lower_mean_variance(struct op_lower *c)
{
    const struct shape *shape = &c->inputs[0].shape;
    const uint32_t mask = axes_mask(c->node, shape->rank);
    if (alternations(shape, mask) > AXES_RANK_MAX)
        return espy_lower_on_host(c, "its axes do not lie together");
    const struct view x =
        shape->rank <= AXES_RANK_MAX ? espy_lower_input(c, 0) : espy_lower_dense_input(c, 0);
    TRY(espy_lower_status(c));
    if (espy_view_count(&x) == 0) {
        espy_lower_output(c, 0);
        return espy_lower_status(c);
    }
    struct view parameters[5];
    for (uint32_t i = 0; i < 4; i++)
        parameters[i] = (struct view){.buffer = VIEW_NONE};
    struct view kept = espy_axes_select(&x, ~mask), inside = espy_axes_select(&x, mask);
    struct channel_factors_push push = {.count = (uint32_t)espy_view_count(&kept),
                                        .channels = 1,
                                        .group_channels = 1,
                                        .epsilon = (float)mean_variance_epsilon};
    parameters[4] = dispatch_moments(c, &x, &kept, &inside, &push);
    const struct view made = dispatch_factors(c, parameters, &push);
    struct view factors = x;
    factors.buffer = made.buffer;
    int64_t stride = FACTORS;
    for (uint32_t d = x.rank; d-- > 0;) {
        factors.strides[d] = (mask >> d & 1) != 0 ? 0 : stride;
        stride *= (mask >> d & 1) != 0 ? 1 : x.dims[d];
    }
    dispatch_normalize(c, &x, &factors);
    return espy_lower_status(c);
}

// ---- table --------------------------------------------------------------------------------------

#define ROW(attr_name, attr_type, member, text, ...)                                         \
    {                                                                                        \
        .name = attr_name, .type = attr_type, .offset = offsetof(struct norm_attrs, member), \
        .help = text, __VA_ARGS__                                                            \
    }
#define EPSILON ROW("epsilon", OP_FLOAT, epsilon, "added under the square root", .fallback = 1e-5)

static const struct op_attr batch_rows[] = {
    EPSILON,
    ROW("momentum", OP_FLOAT, momentum, "of training; ignored", .fallback = 0.9),
    ROW("training_mode", OP_BOOL, training_mode, "must be 0", .fallback = 0),
};
static const struct op_attr instance_rows[] = {EPSILON};
static const struct op_attr group_rows[] = {
    EPSILON,
    ROW("num_groups", OP_INT, num_groups, "groups of channels with a common mean", .required = true,
        .min = 1, .max = INT32_MAX),
    ROW("stash_type", OP_DTYPE, stash_type, "ignored: means are float32", .fallback = ESPY_FLOAT32),
};
static const struct op_attr mean_variance_rows[] = {
    ROW("axes", OP_INTS, axes, "the axes over which the mean is taken; absent: 0, 2, 3",
        .required = false)};

#define NORM(op_name, text, in_count, rows, kind)                                                \
    {                                                                                            \
        .name = op_name, .summary = text, .inputs_min = in_count, .inputs_max = in_count,        \
        .outputs_min = 1, .outputs_max = 1, .flags = OP_EPILOGUE, .attrs = rows,                 \
        .attr_count = sizeof(rows) / sizeof((rows)[0]), .attrs_size = sizeof(struct norm_attrs), \
        .infer = infer_##kind, .reference = reference_##kind, .lower = lower_##kind              \
    }

static const struct op ops[] = {
    NORM("BatchNormalization", "channels with given mean and variance, then scale and bias", 5,
         batch_rows, batch),
    NORM("InstanceNormalization", "every channel of a picture to mean 0 and variance 1", 3,
         instance_rows, group),
    NORM("GroupNormalization", "groups of channels of a picture to mean 0 and variance 1", 3,
         group_rows, group),
    NORM("MeanVarianceNormalization", "mean 0 and variance 1 over some axes", 1, mean_variance_rows,
         mean_variance),
};

const struct op_family espy_ops_normalization = {ops, sizeof(ops) / sizeof(ops[0])};
