// The Reduce family: sums, means, extremes, products and norms over any axes.
#include <math.h>
#include <string.h>

#include "op/axes.h"
#include "op/lower.h"
#include "op/op.h"
#include "ops/channel_pair.h"
#include "ops/gate.h"
#include "shaders/include/reduce_codes.glsl"
#include "shaders/reduce.spv.h"
#include "shaders/reduce_texel.spv.h"

struct reduce_attrs {
    bool keepdims, noop_with_empty_axes;
};

static uint32_t kind_of(const struct op_node *node)
{
    static const char *const names[] = {[REDUCE_SUM] = "ReduceSum",
                                        [REDUCE_MEAN] = "ReduceMean",
                                        [REDUCE_MAX] = "ReduceMax",
                                        [REDUCE_MIN] = "ReduceMin",
                                        [REDUCE_PROD] = "ReduceProd",
                                        [REDUCE_L1] = "ReduceL1",
                                        [REDUCE_L2] = "ReduceL2",
                                        [REDUCE_LOG_SUM] = "ReduceLogSum",
                                        [REDUCE_LOG_SUM_EXP] = "ReduceLogSumExp",
                                        [REDUCE_SUM_SQUARE] = "ReduceSumSquare"};
    uint32_t kind = 0;
    while (strcmp(names[kind], node->op->name) != 0)
        kind++;
    return kind;
}

// The reduced dimensions. axes is NULL where the input is absent.
static uint32_t mask_of(const struct reduce_attrs *attrs, const struct tensor *axes, uint32_t rank)
{
    if (axes == NULL || axes->count == 0)
        return attrs->noop_with_empty_axes ? 0 : UINT32_MAX;
    uint32_t mask = 0;
    for (size_t i = 0; i < axes->count; i++) {
        const int64_t axis = espy_tensor_integer(axes, i);
        mask |= UINT32_C(1) << (axis < 0 ? axis + (int64_t)rank : axis);
    }
    return mask;
}

// ---- infer --------------------------------------------------------------------------------------

static espy_status check_dtype(const struct op_infer *c)
{
    const espy_dtype dtype = c->inputs[0].dtype;
    const uint32_t kind = kind_of(c->node);
    if (espy_dtype_is_float(dtype) || kind == REDUCE_MAX || kind == REDUCE_MIN)
        return ESPY_OK;
    if (dtype == ESPY_INT32 || dtype == ESPY_UINT32 || dtype == ESPY_INT64 || dtype == ESPY_UINT64)
        return ESPY_OK;
    return espy_infer_fail(c, "takes floats and integers of 32 and 64 bits, not %s",
                           espy_dtype_name(dtype));
}

static espy_status infer(struct op_infer *c)
{
    const struct reduce_attrs *attrs = c->attrs;
    const struct shape *shape = &c->inputs[0].shape;
    TRY(check_dtype(c));
    const struct tensor *axes = NULL;
    if (espy_infer_has(c, 1)) {
        if (c->inputs[1].dtype != ESPY_INT64 && c->inputs[1].dtype != ESPY_INT32)
            return espy_infer_fail(c, "axes must be int64, not %s",
                                   espy_dtype_name(c->inputs[1].dtype));
        if (c->inputs[1].shape.rank > 1)
            return espy_infer_fail(c, "axes must have one dimension");
        axes = espy_infer_value(c, 1);
        if (axes == NULL)
            return espy_infer_wait(c);
        uint32_t axis;
        for (size_t i = 0; i < axes->count; i++)
            TRY(espy_infer_axis(c, espy_tensor_integer(axes, i), shape->rank, &axis));
    }
    const uint32_t mask = mask_of(attrs, axes, shape->rank);
    struct op_type y = {.dtype = c->inputs[0].dtype};
    for (uint32_t d = 0; d < shape->rank; d++) {
        const bool reduced = (mask >> d & 1) != 0;
        if (!reduced || attrs->keepdims)
            y.shape.dims[y.shape.rank++] = reduced ? 1 : shape->dims[d];
    }
    c->outputs[0] = y;
    return ESPY_OK;
}

// ---- reference ----------------------------------------------------------------------------------

// Where every index of the dimensions in mask lies, from element [0, 0, ...] on, in order.
static size_t *offsets_of(struct op_eval *c, const struct shape *shape, uint32_t mask)
{
    const size_t count = espy_axes_count(shape, mask);
    size_t *offsets = espy_eval_scratch(c, count, sizeof(*offsets));
    size_t stride = 1, repeat = 1; // repeat: indices of the dimensions inside of d
    for (uint32_t d = shape->rank; offsets != NULL && d-- > 0;) {
        const size_t dim = (size_t)shape->dims[d];
        for (size_t i = 0; (mask >> d & 1) != 0 && i < count; i++)
            offsets[i] += i / repeat % dim * stride;
        repeat *= (mask >> d & 1) != 0 ? dim : 1;
        stride *= dim;
    }
    return offsets;
}

static double reduce_numbers(const struct tensor *x, uint32_t kind, size_t first,
                             const size_t *inside, size_t count)
{
    double highest = -INFINITY, lowest = INFINITY, sum = 0, product = 1, magnitudes = 0;
    double squares = 0, exponentials = 0;
    for (size_t i = 0; i < count; i++) {
        const double value = espy_tensor_number(x, first + inside[i]);
        highest = value > highest || isnan(value) ? value : highest;
        lowest = value < lowest || isnan(value) ? value : lowest;
        sum += value;
        product *= value;
        magnitudes += fabs(value);
        squares += value * value;
    }
    switch (kind) {
    case REDUCE_MEAN:
        return sum / (double)count;
    case REDUCE_MAX:
        return highest;
    case REDUCE_MIN:
        return lowest;
    case REDUCE_PROD:
        return product;
    case REDUCE_L1:
        return magnitudes;
    case REDUCE_L2:
        return sqrt(squares);
    case REDUCE_LOG_SUM:
        return log(sum);
    case REDUCE_SUM_SQUARE:
        return squares;
    case REDUCE_LOG_SUM_EXP:
        for (size_t i = 0; i < count; i++)
            exponentials +=
                exp(espy_tensor_number(x, first + inside[i]) - (isfinite(highest) ? highest : 0));
        return (isfinite(highest) ? highest : 0) + log(exponentials);
    default:
        return sum;
    }
}

static bool is_unsigned(espy_dtype dtype)
{
    return !espy_dtype_is_float(dtype) && !espy_dtype_is_signed(dtype);
}

// The least or largest value of a type, as the bits of an int64_t.
static int64_t extreme(espy_dtype dtype, bool largest)
{
    const uint32_t bits = dtype == ESPY_BOOL ? 1 : 8 * (uint32_t)espy_dtype_size(dtype);
    if (is_unsigned(dtype))
        return largest ? (int64_t)(UINT64_MAX >> (64 - bits)) : 0;
    const int64_t highest = (int64_t)(UINT64_MAX >> (65 - bits));
    return largest ? highest : -highest - 1;
}

// Sums wrap at the width of the type, as they do in the kernel.
static int64_t reduce_integers(const struct tensor *x, uint32_t kind, size_t first,
                               const size_t *inside, size_t count)
{
    const espy_dtype dtype = x->type.dtype;
    const uint64_t flip = is_unsigned(dtype) ? 0 : UINT64_C(1) << 63; // so that order is unsigned
    uint64_t sum = 0, product = 1, magnitudes = 0, squares = 0;
    uint64_t highest = (uint64_t)extreme(dtype, false), lowest = (uint64_t)extreme(dtype, true);
    for (size_t i = 0; i < count; i++) {
        const uint64_t value = (uint64_t)espy_tensor_integer(x, first + inside[i]);
        highest = (value ^ flip) > (highest ^ flip) ? value : highest;
        lowest = (value ^ flip) < (lowest ^ flip) ? value : lowest;
        sum += value;
        product *= value;
        magnitudes += flip != 0 && (int64_t)value < 0 ? 0 - value : value;
        squares += value * value;
    }
    switch (kind) {
    case REDUCE_MAX:
        return (int64_t)highest;
    case REDUCE_MIN:
        return (int64_t)lowest;
    case REDUCE_PROD:
        return (int64_t)product;
    case REDUCE_L1:
        return (int64_t)magnitudes;
    case REDUCE_SUM_SQUARE:
        return (int64_t)squares;
    case REDUCE_MEAN:
        if (count == 0)
            return 0;
        if (dtype == ESPY_INT32)
            return (int32_t)(uint32_t)sum / (int64_t)count;
        if (dtype == ESPY_UINT32)
            return (int64_t)((uint32_t)sum / count);
        return flip != 0 ? (int64_t)sum / (int64_t)count : (int64_t)(sum / count);
    default:
        return (int64_t)sum;
    }
}

static bool is_real(uint32_t kind)
{
    return kind == REDUCE_L2 || kind == REDUCE_LOG_SUM || kind == REDUCE_LOG_SUM_EXP;
}

static void reference(struct op_eval *c)
{
    const struct tensor *x = &c->inputs[0];
    struct tensor *y = &c->outputs[0];
    const struct shape *shape = &x->type.shape;
    const uint32_t kind = kind_of(c->node);
    const uint32_t mask =
        mask_of(c->attrs, espy_eval_has(c, 1) ? &c->inputs[1] : NULL, shape->rank);
    const size_t count = espy_axes_count(shape, mask);
    const size_t *kept = offsets_of(c, shape, ~mask), *inside = offsets_of(c, shape, mask);
    if (kept == NULL || inside == NULL)
        return;
    for (size_t i = 0; i < y->count; i++) {
        if (espy_dtype_is_float(x->type.dtype) || is_real(kind))
            espy_tensor_set_number(y, i, reduce_numbers(x, kind, kept[i], inside, count));
        else
            espy_tensor_set_integer(y, i, reduce_integers(x, kind, kept[i], inside, count));
    }
}

// ---- lower --------------------------------------------------------------------------------------

static void dispatch(struct op_lower *c, const struct view *bindings, uint32_t stage,
                     const struct reduce_push *push, struct reduce_spec *spec)
{
    spec->stage = stage;
    const size_t parts = (push->row_length + push->part_length - 1) / push->part_length;
    struct op_dispatch made = {
        .shader = reduce_shaders.variants[espy_variant(espy_lower_storage(c, c->inputs[0].dtype))],
        .bindings = {bindings[0], bindings[1], bindings[2]},
        .binding_count = 3,
        .push = push,
        .push_size = sizeof(*push),
        .spec = spec,
        .spec_size = sizeof(*spec)};
    espy_lower_grid(c, push->rows * (stage == 1 ? parts : 1), spec->local_size_x, made.groups);
    espy_lower_dispatch(c, &made);
}

// What the parts of one result make: as the kernel computes.
static struct view parts_of(struct op_lower *c, const struct reduce_push *push, uint32_t kind)
{
    const enum storage storage = espy_lower_storage(c, c->inputs[0].dtype);
    const espy_dtype dtype = storage == STORAGE_I64   ? ESPY_INT64
                             : storage == STORAGE_U32 ? ESPY_UINT32
                             : storage == STORAGE_I32 ? ESPY_INT32
                                                      : ESPY_FLOAT32;
    const struct shape shape = {3,
                                {(push->row_length + push->part_length - 1) / push->part_length,
                                 push->rows, kind == REDUCE_LOG_SUM_EXP ? 2 : 1}};
    return espy_lower_temporary(c, dtype, &shape);
}

static bool is_same_of_one(uint32_t kind)
{
    return kind == REDUCE_SUM || kind == REDUCE_MEAN || kind == REDUCE_MAX || kind == REDUCE_MIN ||
           kind == REDUCE_PROD;
}

// Four neighbouring results are made of four neighbouring elements each, on a CPU driver.
static bool suits_texels(const struct op_lower *c, const struct reduce_push *push,
                         const struct reduce_spec *spec)
{
    const uint32_t last = spec->rank - 1;
    bool fits = espy_lower_reads_vectors(c, espy_lower_storage(c, c->inputs[0].dtype)) &&
                (spec->kind == REDUCE_SUM || spec->kind == REDUCE_MEAN ||
                 spec->kind == REDUCE_MAX || spec->kind == REDUCE_MIN) &&
                push->x_strides[last] == 1 && push->y_strides[last] == 1 &&
                push->dims[last] % 4 == 0 && push->x_offset % 4 == 0;
    for (uint32_t d = 0; d < last; d++)
        fits = fits && push->x_strides[d] % 4 == 0 && push->y_strides[d] % 4 == 0;
    for (uint32_t d = 0; d < spec->inside_rank; d++)
        fits = fits && push->inside_strides[d] % 4 == 0;
    return fits;
}

static void dispatch_texels(struct op_lower *c, const struct view *bindings, uint32_t stage,
                            const struct reduce_texel_push *push, struct reduce_texel_spec *spec)
{
    spec->stage = stage;
    const size_t parts = (push->row_length + push->part_length - 1) / push->part_length;
    struct op_dispatch made = {.shader = espy_vector_shader(c, &reduce_texel_shaders),
                               .bindings = {bindings[0], bindings[1], bindings[2], bindings[3]},
                               .binding_count = 4,
                               .push = push,
                               .push_size = sizeof(*push),
                               .spec = spec,
                               .spec_size = sizeof(*spec)};
    espy_lower_grid(c, push->rows * (stage == 1 ? parts : 1), spec->local_size_x, made.groups);
    espy_lower_dispatch(c, &made);
}

static void lower_texels(struct op_lower *c, const struct reduce_push *one,
                         const struct reduce_spec *chosen, const struct view *x,
                         const struct view *y)
{
    const uint32_t last = chosen->rank - 1;
    struct reduce_texel_spec spec = REDUCE_TEXEL_SPEC_DEFAULT;
    struct reduce_texel_push push = {
        .rows = one->rows / 4, .row_length = one->row_length, .x_offset = one->x_offset};
    spec.local_size_x = chosen->local_size_x;
    spec.kind = chosen->kind;
    spec.rank = chosen->rank;
    spec.inside_rank = chosen->inside_rank;
    memcpy(push.dims, one->dims, sizeof(push.dims));
    memcpy(push.x_strides, one->x_strides, sizeof(push.x_strides));
    memcpy(push.y_strides, one->y_strides, sizeof(push.y_strides));
    memcpy(push.inside_dims, one->inside_dims, sizeof(push.inside_dims));
    memcpy(push.inside_strides, one->inside_strides, sizeof(push.inside_strides));
    push.dims[last] /= 4;
    push.x_strides[last] = push.y_strides[last] = 4;
    push.part_length = espy_axes_part(c, push.rows, push.row_length);
    LOWER_EPILOGUE(c, &spec, &push);
    if (push.part_length >= push.row_length) {
        dispatch_texels(c, (const struct view[4]){*x, *y, *x, *y}, 0, &push, &spec);
        return;
    }
    const struct shape shape = {2, {(push.row_length + push.part_length - 1) / push.part_length,
                                    one->rows}};
    const struct view parts = espy_lower_temporary(c, y->dtype, &shape);
    dispatch_texels(c, (const struct view[4]){*x, parts, *x, parts}, 1, &push, &spec);
    dispatch_texels(c, (const struct view[4]){parts, *y, parts, *y}, 2, &push, &spec);
}

static espy_status lower(struct op_lower *c)
{
    const struct reduce_attrs *attrs = c->attrs;
    const struct shape *shape = &c->inputs[0].shape;
    const espy_dtype dtype = c->inputs[0].dtype;
    const uint32_t kind = kind_of(c->node);
    const uint32_t mask = mask_of(attrs, espy_lower_has(c, 1) ? &c->values[1] : NULL, shape->rank);
    const bool alias =
        is_same_of_one(kind) && c->step_count == 0 && espy_axes_count(shape, mask) == 1;
    if (is_real(kind) && !espy_dtype_is_float(dtype))
        return espy_lower_on_host(c, "a root or logarithm of integers");
    if (gate_lower(c) || channel_pair_lower(c))
        return espy_lower_status(c);
    const struct view x = espy_axes_input(c, 0, mask, AXES_RANK_MAX);
    const struct view kept = attrs->keepdims ? x : espy_axes_select(&x, ~mask);
    if (alias) {
        espy_lower_alias(c, 0, &kept);
        return espy_lower_status(c);
    }
    const struct view y = espy_lower_output_like(c, 0, &kept);
    TRY(espy_lower_status(c));
    struct view rows[2] = {espy_axes_select(&x, ~mask),
                           attrs->keepdims ? espy_axes_select(&y, ~mask) : y};
    struct view inside = espy_axes_select(&x, mask);
    struct reduce_spec spec = REDUCE_SPEC_DEFAULT;
    struct reduce_push push = {.rows = (uint32_t)espy_view_count(&rows[0]),
                               .row_length = (uint32_t)espy_view_count(&inside),
                               .x_offset = (int32_t)x.offset};
    int32_t strides[2][AXES_RANK_MAX];
    spec.local_size_x = c->caps->local_size;
    spec.kind = kind;
    spec.width = dtype == ESPY_BOOL ? 0 : (uint32_t)espy_dtype_size(dtype);
    spec.no_sign = is_unsigned(dtype);
    spec.rank = espy_axes_fill(rows, 2, true, push.dims, strides[0]);
    spec.inside_rank = espy_axes_fill(&inside, 1, true, push.inside_dims, push.inside_strides);
    memcpy(push.x_strides, strides[0], sizeof(push.x_strides));
    memcpy(push.y_strides, strides[1], sizeof(push.y_strides));
    if (suits_texels(c, &push, &spec)) {
        lower_texels(c, &push, &spec, &x, &y);
        return espy_lower_status(c);
    }
    push.part_length = espy_axes_part(c, push.rows, push.row_length);
    LOWER_EPILOGUE(c, &spec, &push);
    if (push.part_length >= push.row_length) {
        dispatch(c, (const struct view[3]){x, y, y}, 0, &push, &spec);
        return espy_lower_status(c);
    }
    const struct view parts = parts_of(c, &push, kind);
    dispatch(c, (const struct view[3]){x, parts, parts}, 1, &push, &spec);
    dispatch(c, (const struct view[3]){parts, y, parts}, 2, &push, &spec);
    return espy_lower_status(c);
}

// ---- table --------------------------------------------------------------------------------------

static const struct op_attr attr_rows[] = {
    {.name = "keepdims",
     .type = OP_BOOL,
     .offset = offsetof(struct reduce_attrs, keepdims),
     .fallback = 1,
     .help = "reduced dimensions stay, with size 1"},
    {.name = "noop_with_empty_axes",
     .type = OP_BOOL,
     .offset = offsetof(struct reduce_attrs, noop_with_empty_axes),
     .fallback = 0,
     .help = "no axes mean no dimension; else they mean all"},
};

#define REDUCE(op_name, text)                                                                 \
    {                                                                                         \
        .name = op_name, .summary = text, .inputs_min = 1, .inputs_max = 2, .outputs_min = 1, \
        .outputs_max = 1, .flags = OP_EPILOGUE, .attrs = attr_rows,                           \
        .attr_count = sizeof(attr_rows) / sizeof(attr_rows[0]),                               \
        .attrs_size = sizeof(struct reduce_attrs), .infer = infer, .reference = reference,    \
        .lower = lower                                                                        \
    }

static const struct op ops[] = {
    REDUCE("ReduceSum", "sum over axes"),
    REDUCE("ReduceMean", "mean over axes"),
    REDUCE("ReduceMax", "largest element over axes"),
    REDUCE("ReduceMin", "smallest element over axes"),
    REDUCE("ReduceProd", "product over axes"),
    REDUCE("ReduceL1", "sum of magnitudes over axes"),
    REDUCE("ReduceL2", "square root of the sum of squares over axes"),
    REDUCE("ReduceLogSum", "logarithm of the sum over axes"),
    REDUCE("ReduceLogSumExp", "logarithm of the sum of exponentials over axes"),
    REDUCE("ReduceSumSquare", "sum of squares over axes"),
};

const struct op_family espy_ops_reduce = {ops, sizeof(ops) / sizeof(ops[0])};
