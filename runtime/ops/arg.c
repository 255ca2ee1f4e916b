// ArgMax and ArgMin: where along an axis the largest or smallest element is.
#include <math.h>
#include <string.h>

#include "op/axes.h"
#include "op/lower.h"
#include "op/op.h"
#include "shaders/arg.spv.h"

struct arg_attrs {
    int64_t axis;
    bool keepdims, select_last_index;
};

static bool is_min(const struct op_node *node)
{
    return strcmp(node->op->name, "ArgMin") == 0;
}

static uint32_t axis_of(const struct op_node *node, uint32_t rank)
{
    const struct arg_attrs *attrs = node->attrs;
    return (uint32_t)(attrs->axis < 0 ? attrs->axis + (int64_t)rank : attrs->axis);
}

static espy_status infer(struct op_infer *c)
{
    const struct arg_attrs *attrs = c->attrs;
    const struct shape *shape = &c->inputs[0].shape;
    uint32_t axis;
    TRY(espy_infer_axis(c, attrs->axis, shape->rank, &axis));
    struct op_type y = {.dtype = ESPY_INT64};
    for (uint32_t d = 0; d < shape->rank; d++)
        if (d != axis || attrs->keepdims)
            y.shape.dims[y.shape.rank++] = d == axis ? 1 : shape->dims[d];
    size_t count = 0;
    if (shape->dims[axis] == 0 && espy_shape_count(&y.shape, &count) && count > 0)
        return espy_infer_fail(c, "axis %u has no elements", axis);
    c->outputs[0] = y;
    return ESPY_OK;
}

// Whether element a comes before element b where the first of equals is wanted: NaN before all.
static bool wins(const struct tensor *x, bool min, size_t a, size_t b)
{
    if (espy_dtype_is_float(x->type.dtype)) {
        const double na = espy_tensor_number(x, a), nb = espy_tensor_number(x, b);
        if (isnan(na) || isnan(nb))
            return isnan(na) && !isnan(nb);
        return min ? na < nb : na > nb;
    }
    const uint64_t flip = espy_dtype_is_signed(x->type.dtype) ? UINT64_C(1) << 63 : 0;
    const uint64_t ia = (uint64_t)espy_tensor_integer(x, a) ^ flip;
    const uint64_t ib = (uint64_t)espy_tensor_integer(x, b) ^ flip;
    return min ? ia < ib : ia > ib;
}

static void reference(struct op_eval *c)
{
    const struct arg_attrs *attrs = c->attrs;
    const struct tensor *x = &c->inputs[0];
    const struct shape *shape = &x->type.shape;
    const uint32_t axis = axis_of(c->node, shape->rank);
    const bool min = is_min(c->node);
    const size_t length = (size_t)shape->dims[axis];
    size_t inner = 1;
    for (uint32_t d = axis + 1; d < shape->rank; d++)
        inner *= (size_t)shape->dims[d];
    for (size_t k = 0; k < c->outputs[0].count; k++) {
        const size_t first = k / inner * length * inner + k % inner;
        size_t best = 0;
        for (size_t i = 1; i < length; i++) {
            const size_t here = first + i * inner, there = first + best * inner;
            if (attrs->select_last_index ? !wins(x, min, there, here) : wins(x, min, here, there))
                best = i;
        }
        espy_tensor_set_integer(&c->outputs[0], k, (int64_t)best);
    }
}

static void dispatch(struct op_lower *c, const struct view *bindings, uint32_t stage,
                     const struct arg_push *push, struct arg_spec *spec)
{
    const enum storage storage = bindings[0].storage;
    spec->stage = stage;
    struct op_dispatch made = {
        .shader =
            arg_shaders.variants[storage == STORAGE_I64 ? VARIANT_W64 : espy_variant(storage)],
        .bindings = {bindings[0], bindings[1], bindings[2]},
        .binding_count = 3,
        .push = push,
        .push_size = sizeof(*push),
        .spec = spec,
        .spec_size = sizeof(*spec)};
    espy_lower_grid(c, (size_t)push->rows * (stage == 1 ? push->part_count : 1), spec->local_size_x,
                    made.groups);
    espy_lower_dispatch(c, &made);
}

static espy_status lower(struct op_lower *c)
{
    const struct arg_attrs *attrs = c->attrs;
    const struct shape *shape = &c->inputs[0].shape;
    const uint32_t axis = axis_of(c->node, shape->rank), bit = UINT32_C(1) << axis;
    const struct view x = espy_axes_input(c, 0, bit, 1);
    const struct view kept = attrs->keepdims ? x : espy_axes_select(&x, ~bit);
    const struct view y = espy_lower_output_like(c, 0, &kept);
    TRY(espy_lower_status(c));
    struct view outer[2] = {espy_axes_select(&x, ~bit),
                            attrs->keepdims ? espy_axes_select(&y, ~bit) : y};
    struct arg_spec spec = ARG_SPEC_DEFAULT;
    struct arg_push push = {.rows = (uint32_t)espy_view_count(&outer[0]),
                            .row_length = (uint32_t)shape->dims[axis],
                            .x_offset = (int32_t)x.offset,
                            .x_step = (int32_t)x.strides[axis]};
    int32_t strides[2][AXES_RANK_MAX];
    spec.local_size_x = c->caps->local_size;
    spec.smallest = is_min(c->node);
    spec.last = attrs->select_last_index;
    spec.no_sign = !espy_dtype_is_signed(x.dtype);
    spec.rank = espy_axes_fill(outer, 2, true, push.dims, strides[0]);
    memcpy(push.x_strides, strides[0], sizeof(push.x_strides));
    for (uint32_t d = 0; d < AXES_RANK_MAX; d++)
        push.y_strides[d] = 2 * strides[1][d];
    push.part_length = espy_axes_part(c, push.rows, push.row_length);
    push.part_count = (push.row_length + push.part_length - 1) / push.part_length;
    if (push.part_count <= 1) {
        dispatch(c, (const struct view[3]){x, y, y}, 0, &push, &spec);
        return espy_lower_status(c);
    }
    const struct shape parts_shape = {2, {push.part_count, push.rows}};
    const struct view parts = espy_lower_temporary(c, ESPY_UINT32, &parts_shape);
    dispatch(c, (const struct view[3]){x, parts, parts}, 1, &push, &spec);
    dispatch(c, (const struct view[3]){x, y, parts}, 2, &push, &spec);
    return espy_lower_status(c);
}

static const struct op_attr attr_rows[] = {
    {.name = "axis",
     .type = OP_INT,
     .offset = offsetof(struct arg_attrs, axis),
     .fallback = 0,
     .help = "the axis along which elements are compared"},
    {.name = "keepdims",
     .type = OP_BOOL,
     .offset = offsetof(struct arg_attrs, keepdims),
     .fallback = 1,
     .help = "the axis stays, with size 1"},
    {.name = "select_last_index",
     .type = OP_BOOL,
     .offset = offsetof(struct arg_attrs, select_last_index),
     .fallback = 0,
     .help = "of equal elements the last, not the first"},
};

#define ARG(op_name, text)                                                                    \
    {                                                                                         \
        .name = op_name, .summary = text, .inputs_min = 1, .inputs_max = 1, .outputs_min = 1, \
        .outputs_max = 1, .attrs = attr_rows,                                                 \
        .attr_count = sizeof(attr_rows) / sizeof(attr_rows[0]),                               \
        .attrs_size = sizeof(struct arg_attrs), .infer = infer, .reference = reference,       \
        .lower = lower                                                                        \
    }

static const struct op ops[] = {
    ARG("ArgMax",
        "position of the largest element along an axis; of the first NaN if there is one"),
    ARG("ArgMin",
        "position of the smallest element along an axis; of the first NaN if there is one"),
};

const struct op_family espy_ops_arg = {ops, sizeof(ops) / sizeof(ops[0])};
