// LayerNormalization, RMSNormalization and LpNormalization: every row by itself.
#include <assert.h>
#include <math.h>
#include <string.h>

#include "op/axes.h"
#include "op/lower.h"
#include "op/op.h"
#include "ops/row_group.h"
#include "shaders/include/layer_normalization_codes.glsl"
#include "shaders/layer_normalization.spv.h"
#include "shaders/layer_normalization_rows.spv.h"
#include "shaders/layer_normalization_texel.spv.h"

struct layer_attrs {
    int64_t axis, p;
    espy_dtype stash_type;
    float epsilon;
};

static uint32_t kind_of(const struct op_node *node)
{
    const struct layer_attrs *attrs = node->attrs;
    if (strcmp(node->op->name, "LayerNormalization") == 0)
        return NORMALIZE_DEVIATION;
    if (strcmp(node->op->name, "RMSNormalization") == 0)
        return NORMALIZE_ROOT_MEAN_SQUARE;
    return attrs->p == 1 ? NORMALIZE_L1 : NORMALIZE_L2;
}

static uint32_t axis_of(const struct op_node *node, uint32_t rank)
{
    const struct layer_attrs *attrs = node->attrs;
    return (uint32_t)(attrs->axis < 0 ? attrs->axis + (int64_t)rank : attrs->axis);
}

// The dimensions that make up a row: from the axis on, or for LpNormalization the axis alone.
static uint32_t row_mask(const struct op_node *node, uint32_t rank)
{
    const uint32_t bit = UINT32_C(1) << axis_of(node, rank);
    const uint32_t kind = kind_of(node);
    return kind == NORMALIZE_L1 || kind == NORMALIZE_L2 ? bit : ~(bit - 1);
}

// ---- infer --------------------------------------------------------------------------------------

static espy_status check_parameter(const struct op_infer *c, uint32_t i)
{
    if (!espy_infer_has(c, i))
        return ESPY_OK;
    if (!espy_dtype_is_float(c->inputs[i].dtype))
        return espy_infer_fail(c, "input %u is %s, must be a float", i,
                               espy_dtype_name(c->inputs[i].dtype));
    struct shape joined;
    TRY(espy_infer_broadcast(c, &c->inputs[0].shape, &c->inputs[i].shape, &joined));
    if (!espy_shape_equal(&joined, &c->inputs[0].shape))
        return espy_infer_fail(c, "input %u does not broadcast to the shape of input 0", i);
    return ESPY_OK;
}

static espy_status infer(struct op_infer *c)
{
    const struct layer_attrs *attrs = c->attrs;
    const struct op_type *x = &c->inputs[0];
    if (!espy_dtype_is_float(x->dtype))
        return espy_infer_fail(c, "takes floats, not %s", espy_dtype_name(x->dtype));
    uint32_t axis;
    TRY(espy_infer_axis(c, attrs->axis, x->shape.rank, &axis));
    // The kernel keeps means in float32, as which all of these are stored.
    const espy_dtype stash = attrs->stash_type;
    if (kind_of(c->node) <= NORMALIZE_ROOT_MEAN_SQUARE && stash != ESPY_FLOAT32 &&
        stash != ESPY_FLOAT64 && stash != ESPY_BFLOAT16)
        return espy_infer_unsupported(c, "stash_type %s", espy_dtype_name(stash));
    TRY(check_parameter(c, 1));
    TRY(check_parameter(c, 2));
    espy_infer_copy(c, 0, 0);
    for (uint32_t o = 1; o < c->output_count; o++) {
        c->outputs[o] = (struct op_type){stash, x->shape};
        for (uint32_t d = axis; d < x->shape.rank; d++)
            c->outputs[o].shape.dims[d] = 1;
    }
    return ESPY_OK;
}

// ---- reference ----------------------------------------------------------------------------------

// The element of a tensor of shape `from`, broadcast to `to`, that lies at `index` of `to`.
static size_t broadcast_index(const struct shape *from, const struct shape *to, size_t index)
{
    size_t at = 0, stride = 1;
    for (uint32_t k = 0; k < from->rank; k++) {
        const size_t dim = (size_t)from->dims[from->rank - 1 - k];
        const size_t whole = (size_t)to->dims[to->rank - 1 - k];
        if (dim != 1)
            at += index % whole * stride;
        index /= whole;
        stride *= dim;
    }
    return at;
}

struct row {
    size_t first, length, stride;
};

static double row_sum(const struct tensor *x, const struct row *row, uint32_t kind, double mean)
{
    double sum = 0;
    for (size_t i = 0; i < row->length; i++) {
        const double moved = espy_tensor_number(x, row->first + i * row->stride) - mean;
        sum += kind == NORMALIZE_L1 ? fabs(moved) : moved * moved;
    }
    return sum;
}

static void reference_row(struct op_eval *c, const struct row *row, size_t number)
{
    const struct layer_attrs *attrs = c->attrs;
    const struct tensor *x = &c->inputs[0];
    const uint32_t kind = kind_of(c->node);
    double mean = 0, factor;
    for (size_t i = 0; kind == NORMALIZE_DEVIATION && i < row->length; i++)
        mean += espy_tensor_number(x, row->first + i * row->stride);
    mean /= kind == NORMALIZE_DEVIATION ? (double)row->length : 1;
    const double sum = row_sum(x, row, kind, mean);
    if (kind == NORMALIZE_L1 || kind == NORMALIZE_L2)
        factor = sum == 0 ? 0 : 1 / (kind == NORMALIZE_L1 ? sum : sqrt(sum));
    else
        factor = 1 / sqrt(sum / (double)row->length + (double)attrs->epsilon);
    for (size_t i = 0; c->outputs[0].data != NULL && i < row->length; i++) {
        const size_t at = row->first + i * row->stride;
        double value = (espy_tensor_number(x, at) - mean) * factor;
        for (uint32_t p = 1; p <= 2; p++) {
            if (!espy_eval_has(c, p))
                continue;
            const struct tensor *parameter = &c->inputs[p];
            const double number_p = espy_tensor_number(
                parameter, broadcast_index(&parameter->type.shape, &x->type.shape, at));
            value = p == 1 ? value * number_p : value + number_p;
        }
        espy_tensor_set_number(&c->outputs[0], at, value);
    }
    if (c->output_count > 1 && c->outputs[1].data != NULL)
        espy_tensor_set_number(&c->outputs[1], number, mean);
    if (c->output_count > 2 && c->outputs[2].data != NULL)
        espy_tensor_set_number(&c->outputs[2], number, factor);
}

static void reference(struct op_eval *c)
{
    const struct shape *shape = &c->inputs[0].type.shape;
    const uint32_t axis = axis_of(c->node, shape->rank), mask = row_mask(c->node, shape->rank);
    size_t outer = 1, inner = 1;
    for (uint32_t d = 0; d < axis; d++)
        outer *= (size_t)shape->dims[d];
    for (uint32_t d = axis + 1; d < shape->rank; d++)
        inner *= (mask >> d & 1) != 0 ? 1 : (size_t)shape->dims[d];
    struct row row = {.length = espy_axes_count(shape, mask), .stride = inner};
    for (size_t o = 0; o < outer; o++) {
        for (size_t i = 0; i < inner; i++) {
            row.first = o * row.length * inner + i;
            reference_row(c, &row, o * inner + i);
        }
    }
}

// ---- lower --------------------------------------------------------------------------------------

static bool varies_between_rows(const struct op_lower *c, uint32_t i, uint32_t mask)
{
    if (!espy_lower_has(c, i))
        return false;
    const struct shape *shape = &c->inputs[i].shape;
    const uint32_t lead = c->inputs[0].shape.rank - shape->rank;
    for (uint32_t d = 0; d < shape->rank; d++)
        if ((mask >> (d + lead) & 1) == 0 && shape->dims[d] != 1)
            return true;
    return false;
}

// A scale or bias with one element for each of a row's.
static struct view parameter(struct op_lower *c, uint32_t i, uint32_t mask)
{
    if (!espy_lower_has(c, i))
        return (struct view){.buffer = VIEW_NONE};
    const struct view given = espy_lower_dense_input(c, i);
    const struct shape *whole = &c->inputs[0].shape;
    struct shape row = {0};
    for (uint32_t d = 0; d < whole->rank; d++)
        if ((mask >> d & 1) != 0)
            row.dims[row.rank++] = whole->dims[d];
    if (given.buffer == VIEW_NONE || espy_view_count(&given) == espy_axes_count(whole, mask))
        return given;
    const struct view cut =
        given.rank <= row.rank
            ? given
            : espy_axes_select(&given, ~((UINT32_C(1) << (given.rank - row.rank)) - 1));
    const struct view repeated = espy_view_broadcast(&cut, &row);
    const struct view copy = espy_lower_temporary(c, given.dtype, &row);
    espy_lower_copy(c, &repeated, &copy);
    return copy;
}

static uint32_t parameter_kind(const struct view *view)
{
    return view->buffer == VIEW_NONE ? 0 : view->storage == STORAGE_F16 ? 2 : 1;
}

struct bindings {
    struct view x, scale, bias, y, mean, deviation;
};

// Whatever a stage does not write still needs some buffer that it may write: stand_in.
static void dispatch(struct op_lower *c, const struct bindings *b, const struct view *stand_in,
                     const struct view *parts, const struct layer_normalization_push *push,
                     const struct layer_normalization_spec *spec)
{
    const bool final = spec->stage != 1;
    struct op_dispatch made = {
        .shader = layer_normalization_shaders.variants[espy_variant(b->x.storage)],
        .bindings = {b->x, b->scale, b->bias, final ? b->y : *stand_in,
                     final && spec->keep_mean != 0 ? b->mean : *stand_in,
                     final && spec->keep_deviation != 0 ? b->deviation : *stand_in, *parts},
        .binding_count = 7,
        .push = push,
        .push_size = sizeof(*push),
        .spec = spec,
        .spec_size = sizeof(*spec)};
    espy_lower_grid(c, (size_t)push->rows * push->part_count, spec->local_size_x, made.groups);
    espy_lower_dispatch(c, &made);
}

static void fill_push(const struct op_lower *c, const struct bindings *b, uint32_t mask,
                      struct layer_normalization_push *push, struct layer_normalization_spec *spec)
{
    struct view rows[2] = {espy_axes_select(&b->x, ~mask), espy_axes_select(&b->y, ~mask)};
    struct view row[2] = {espy_axes_select(&b->x, mask), espy_axes_select(&b->y, mask)};
    int32_t strides[2][AXES_RANK_MAX];
    // The kept means are in order of the rows, so that order must be the shape's own.
    const bool sort = spec->keep_mean == 0 && spec->keep_deviation == 0;
    push->rows = (uint32_t)espy_view_count(&rows[0]);
    push->row_length = (uint32_t)espy_view_count(&row[0]);
    spec->rank = espy_axes_fill(rows, 2, sort, push->dims, strides[0]);
    memcpy(push->x_strides, strides[0], sizeof(push->x_strides));
    memcpy(push->y_strides, strides[1], sizeof(push->y_strides));
    uint32_t row_dims[AXES_RANK_MAX];
    const uint32_t row_rank = espy_axes_fill(row, 2, false, row_dims, strides[0]);
    assert(row_rank == 1);
    (void)row_rank;
    push->x_step = strides[0][0];
    push->y_step = strides[1][0];
    push->x_offset = (int32_t)b->x.offset;
    push->scale_offset = (int32_t)b->scale.offset;
    push->bias_offset = (int32_t)b->bias.offset;
    push->part_length = espy_axes_part(c, push->rows, push->row_length);
    push->part_count = (push->row_length + push->part_length - 1) / push->part_length;
}

static bool in_fours(int64_t a)
{
    return a % 4 == 0;
}

// Rows that are whole vectors in memory, on a CPU driver.
static bool suits_texels(const struct op_lower *c, const struct bindings *b,
                         const struct layer_normalization_push *push,
                         const struct layer_normalization_spec *spec)
{
    bool fits = espy_lower_reads_vectors(c, b->x.storage) && push->part_count <= 1 &&
                push->row_length > 0 && push->x_step == 1 && push->y_step == 1 &&
                in_fours(push->row_length) && in_fours(push->x_offset) &&
                in_fours(push->scale_offset) && in_fours(push->bias_offset) && spec->scale <= 1 &&
                spec->bias <= 1 && spec->keep_mean == 0 && spec->keep_deviation == 0;
    for (uint32_t d = 0; d < spec->rank; d++)
        fits = fits && in_fours(push->x_strides[d]) && in_fours(push->y_strides[d]);
    return fits;
}

static void dispatch_texels(struct op_lower *c, const struct bindings *b,
                            const struct layer_normalization_push *full,
                            const struct layer_normalization_spec *chosen)
{
    struct layer_normalization_texel_spec spec = LAYER_NORMALIZATION_TEXEL_SPEC_DEFAULT;
    spec.local_size_x = chosen->local_size_x;
    spec.kind = chosen->kind;
    spec.rank = chosen->rank;
    spec.has_scale = chosen->scale != 0;
    spec.has_bias = chosen->bias != 0;
    struct layer_normalization_texel_push push = {.rows = full->rows,
                                                  .row_length = full->row_length,
                                                  .x_offset = full->x_offset,
                                                  .scale_offset = full->scale_offset,
                                                  .bias_offset = full->bias_offset,
                                                  .epsilon = full->epsilon};
    memcpy(push.dims, full->dims, sizeof(push.dims));
    memcpy(push.x_strides, full->x_strides, sizeof(push.x_strides));
    memcpy(push.y_strides, full->y_strides, sizeof(push.y_strides));
    LOWER_EPILOGUE(c, &spec, &push);
    struct op_dispatch made = {.shader = espy_vector_shader(c, &layer_normalization_texel_shaders),
                               .bindings = {b->x, b->scale, b->bias, b->y},
                               .binding_count = 4,
                               .push = &push,
                               .push_size = sizeof(push),
                               .spec = &spec,
                               .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.rows, spec.local_size_x, made.groups);
    espy_lower_dispatch(c, &made);
}

// On GPUs. false: this is not for that kernel.
static bool lower_rows(struct op_lower *c, const struct bindings *b,
                       const struct layer_normalization_push *whole,
                       const struct layer_normalization_spec *usual)
{
    struct row_group group;
    if (!row_group_choose(c, whole->row_length, whole->x_step, &group))
        return false;
    struct layer_normalization_rows_spec spec = LAYER_NORMALIZATION_ROWS_SPEC_DEFAULT;
    struct layer_normalization_rows_push push = {.rows = whole->rows,
                                                 .row_length = whole->row_length,
                                                 .x_offset = whole->x_offset,
                                                 .x_step = whole->x_step,
                                                 .y_step = whole->y_step,
                                                 .scale_offset = whole->scale_offset,
                                                 .bias_offset = whole->bias_offset,
                                                 .epsilon = whole->epsilon};
    memcpy(push.dims, whole->dims, sizeof(push.dims));
    memcpy(push.x_strides, whole->x_strides, sizeof(push.x_strides));
    memcpy(push.y_strides, whole->y_strides, sizeof(push.y_strides));
    ROW_GROUP_FILL(c, &group, &spec);
    spec.kind = usual->kind;
    spec.rank = usual->rank;
    spec.scale = usual->scale;
    spec.bias = usual->bias;
    spec.keep_mean = usual->keep_mean;
    spec.keep_deviation = usual->keep_deviation;
    LOWER_EPILOGUE(c, &spec, &push);
    struct op_dispatch made = {
        .shader = layer_normalization_rows_shaders.variants[espy_variant(b->x.storage)],
        .bindings = {b->x, b->scale, b->bias, b->y, spec.keep_mean != 0 ? b->mean : b->y,
                     spec.keep_deviation != 0 ? b->deviation : b->y},
        .binding_count = 6,
        .push = &push,
        .push_size = sizeof(push),
        .spec = &spec,
        .spec_size = sizeof(spec)};
    row_group_grid(c, &group, push.rows, made.groups);
    espy_lower_dispatch(c, &made);
    return true;
}

static espy_status lower(struct op_lower *c)
{
    const struct layer_attrs *attrs = c->attrs;
    const uint32_t mask = row_mask(c->node, c->inputs[0].shape.rank);
    if (varies_between_rows(c, 1, mask) || varies_between_rows(c, 2, mask))
        return espy_lower_on_host(c, "scale or bias differ between rows");
    struct bindings b = {.x = espy_axes_input(c, 0, mask, 1)};
    b.scale = parameter(c, 1, mask);
    b.bias = parameter(c, 2, mask);
    b.y = espy_lower_output_like(c, 0, &b.x);
    b.mean = espy_lower_output(c, 1);
    b.deviation = espy_lower_output(c, 2);
    TRY(espy_lower_status(c));
    if (b.y.buffer == VIEW_NONE) // only the means are wanted
        b.y = espy_lower_temporary(c, c->inputs[0].dtype, &c->inputs[0].shape);
    struct layer_normalization_spec spec = LAYER_NORMALIZATION_SPEC_DEFAULT;
    struct layer_normalization_push push = {.epsilon = attrs->epsilon};
    spec.local_size_x = c->caps->local_size;
    spec.kind = kind_of(c->node);
    spec.scale = parameter_kind(&b.scale);
    spec.bias = parameter_kind(&b.bias);
    spec.keep_mean = b.mean.buffer != VIEW_NONE;
    spec.keep_deviation = b.deviation.buffer != VIEW_NONE;
    fill_push(c, &b, mask, &push, &spec);
    if (suits_texels(c, &b, &push, &spec)) {
        dispatch_texels(c, &b, &push, &spec);
        return espy_lower_status(c);
    }
    if (lower_rows(c, &b, &push, &spec))
        return espy_lower_status(c);
    LOWER_EPILOGUE(c, &spec, &push);
    if (push.part_count <= 1) {
        push.part_count = 1;
        dispatch(c, &b, &b.y, &b.y, &push, &spec);
        return espy_lower_status(c);
    }
    const struct shape shape = {3, {push.part_count, push.rows, 2}};
    const struct view parts = espy_lower_temporary(c, ESPY_FLOAT32, &shape);
    spec.stage = 1;
    dispatch(c, &b, &parts, &parts, &push, &spec);
    spec.stage = 2;
    dispatch(c, &b, &b.y, &parts, &push, &spec);
    return espy_lower_status(c);
}

#define INT_ATTR(attr_name, member, value, text)                                           \
    {                                                                                      \
        .name = attr_name, .type = OP_INT, .offset = offsetof(struct layer_attrs, member), \
        .fallback = value, .help = text                                                    \
    }
#define EPSILON                                                                               \
    {                                                                                         \
        .name = "epsilon", .type = OP_FLOAT, .offset = offsetof(struct layer_attrs, epsilon), \
        .fallback = 1e-5, .help = "added under the square root"                               \
    }

static const struct op_attr layer_rows[] = {
    INT_ATTR("axis", axis, -1, "rows are made of this axis and all after it"),
    EPSILON,
    {.name = "stash_type",
     .type = OP_DTYPE,
     .offset = offsetof(struct layer_attrs, stash_type),
     .fallback = ESPY_FLOAT32,
     .help = "type of the means and deviations that are put out"},
};
static const struct op_attr lp_rows[] = {
    INT_ATTR("axis", axis, -1, "the axis along which the norm is taken"),
    {.name = "p",
     .type = OP_INT,
     .offset = offsetof(struct layer_attrs, p),
     .fallback = 2,
     .min = 1,
     .max = 2,
     .help = "1: sum of magnitudes; 2: square root of the sum of squares"},
};

#define ROWWISE(op_name, text, in_min, in_max, out_max, rows)                                     \
    {                                                                                             \
        .name = op_name, .summary = text, .inputs_min = in_min, .inputs_max = in_max,             \
        .outputs_min = 1, .outputs_max = out_max, .flags = OP_EPILOGUE, .attrs = rows,            \
        .attr_count = sizeof(rows) / sizeof((rows)[0]), .attrs_size = sizeof(struct layer_attrs), \
        .infer = infer, .reference = reference, .lower = lower                                    \
    }

static const struct op ops[] = {
    ROWWISE("LayerNormalization", "rows to mean 0 and variance 1, then scale and bias", 2, 3, 3,
            layer_rows),
    ROWWISE("RMSNormalization", "rows divided by their root mean square, then scaled", 2, 2, 1,
            layer_rows),
    ROWWISE("LpNormalization", "rows divided by their L1 or L2 norm; rows of zeros stay", 1, 1, 1,
            lp_rows),
};

const struct op_family espy_ops_layer_normalization = {ops, sizeof(ops) / sizeof(ops[0])};
