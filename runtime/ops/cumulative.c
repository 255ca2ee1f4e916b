// CumSum and CumProd: running sums and products along one axis.
#include <string.h>

#include "op/axes.h"
#include "op/lower.h"
#include "op/op.h"
#include "shaders/cumulative.spv.h"

struct cumulative_attrs {
    bool exclusive, reverse;
};

static bool is_product(const struct op_node *node)
{
    return strcmp(node->op->name, "CumProd") == 0;
}

static uint32_t axis_of(const struct tensor *axis, uint32_t rank)
{
    const int64_t value = espy_tensor_integer(axis, 0);
    return (uint32_t)(value < 0 ? value + (int64_t)rank : value);
}

static espy_status infer(struct op_infer *c)
{
    const espy_dtype dtype = c->inputs[0].dtype, axis_dtype = c->inputs[1].dtype;
    if (!espy_dtype_is_float(dtype) && dtype != ESPY_INT32 && dtype != ESPY_UINT32 &&
        dtype != ESPY_INT64 && dtype != ESPY_UINT64)
        return espy_infer_fail(c, "takes floats and integers of 32 and 64 bits, not %s",
                               espy_dtype_name(dtype));
    if (axis_dtype != ESPY_INT32 && axis_dtype != ESPY_INT64)
        return espy_infer_fail(c, "the axis must be int32 or int64, not %s",
                               espy_dtype_name(axis_dtype));
    size_t count = 0;
    if (!espy_shape_count(&c->inputs[1].shape, &count) || count != 1)
        return espy_infer_fail(c, "the axis must be one number");
    const struct tensor *value = espy_infer_value(c, 1);
    if (value == NULL)
        return espy_infer_wait(c);
    uint32_t axis;
    TRY(espy_infer_axis(c, espy_tensor_integer(value, 0), c->inputs[0].shape.rank, &axis));
    espy_infer_copy(c, 0, 0);
    return ESPY_OK;
}

static void reference_row(struct op_eval *c, size_t first, size_t length, size_t stride)
{
    const struct cumulative_attrs *attrs = c->attrs;
    const struct tensor *x = &c->inputs[0];
    struct tensor *y = &c->outputs[0];
    const bool product = is_product(c->node);
    double total = product;
    uint64_t integer_total = product;
    for (size_t k = 0; k < length; k++) {
        const size_t at = first + (attrs->reverse ? length - 1 - k : k) * stride;
        const double before = total, number = espy_tensor_number(x, at);
        const uint64_t integer_before = integer_total;
        const uint64_t integer = (uint64_t)espy_tensor_integer(x, at);
        total = product ? total * number : total + number;
        integer_total = product ? integer_total * integer : integer_total + integer;
        if (espy_dtype_is_float(x->type.dtype))
            espy_tensor_set_number(y, at, attrs->exclusive ? before : total);
        else
            espy_tensor_set_integer(y, at,
                                    (int64_t)(attrs->exclusive ? integer_before : integer_total));
    }
}

static void reference(struct op_eval *c)
{
    const struct shape *shape = &c->inputs[0].type.shape;
    const uint32_t axis = axis_of(&c->inputs[1], shape->rank);
    const size_t length = (size_t)shape->dims[axis];
    size_t outer = 1, inner = 1;
    for (uint32_t d = 0; d < axis; d++)
        outer *= (size_t)shape->dims[d];
    for (uint32_t d = axis + 1; d < shape->rank; d++)
        inner *= (size_t)shape->dims[d];
    for (size_t o = 0; o < outer; o++)
        for (size_t i = 0; i < inner; i++)
            reference_row(c, o * length * inner + i, length, inner);
}

static void dispatch(struct op_lower *c, const struct view *bindings, uint32_t stage,
                     const struct cumulative_push *push, struct cumulative_spec *spec)
{
    spec->stage = stage;
    struct op_dispatch made = {.shader =
                                   cumulative_shaders.variants[espy_variant(bindings[0].storage)],
                               .bindings = {bindings[0], bindings[1], bindings[2]},
                               .binding_count = 3,
                               .push = push,
                               .push_size = sizeof(*push),
                               .spec = spec,
                               .spec_size = sizeof(*spec)};
    espy_lower_grid(c, (size_t)push->rows * push->part_count, spec->local_size_x, made.groups);
    espy_lower_dispatch(c, &made);
}

// The type that totals are kept in between dispatches: as the kernel computes.
static espy_dtype total_dtype(enum storage storage)
{
    switch (storage) {
    case STORAGE_I64:
        return ESPY_INT64;
    case STORAGE_U32:
        return ESPY_UINT32;
    case STORAGE_I32:
        return ESPY_INT32;
    default:
        return ESPY_FLOAT32;
    }
}

static espy_status lower(struct op_lower *c)
{
    const struct cumulative_attrs *attrs = c->attrs;
    const struct shape *shape = &c->inputs[0].shape;
    const enum storage storage = espy_lower_storage(c, c->inputs[0].dtype);
    const uint32_t axis = axis_of(&c->values[1], shape->rank), bit = UINT32_C(1) << axis;
    const struct view x = espy_axes_input(c, 0, bit, 1);
    const struct view y = espy_lower_output_like(c, 0, &x);
    TRY(espy_lower_status(c));
    struct view outer[2] = {espy_axes_select(&x, ~bit), espy_axes_select(&y, ~bit)};
    struct cumulative_spec spec = CUMULATIVE_SPEC_DEFAULT;
    struct cumulative_push push = {.rows = (uint32_t)espy_view_count(&outer[0]),
                                   .row_length = (uint32_t)shape->dims[axis],
                                   .x_offset = (int32_t)x.offset,
                                   .x_step = (int32_t)x.strides[axis],
                                   .y_step = (int32_t)y.strides[axis]};
    if (attrs->reverse && push.row_length > 0) { // from the last element backwards
        push.x_offset += (int32_t)(push.row_length - 1) * push.x_step;
        push.y_offset = (int32_t)(push.row_length - 1) * push.y_step;
        push.x_step = -push.x_step;
        push.y_step = -push.y_step;
    }
    int32_t strides[2][AXES_RANK_MAX];
    spec.local_size_x = c->caps->local_size;
    spec.exclusive = attrs->exclusive;
    spec.product = is_product(c->node);
    spec.rank = espy_axes_fill(outer, 2, true, push.dims, strides[0]);
    memcpy(push.x_strides, strides[0], sizeof(push.x_strides));
    memcpy(push.y_strides, strides[1], sizeof(push.y_strides));
    push.part_length = espy_axes_part(c, push.rows, push.row_length);
    push.part_count = (push.row_length + push.part_length - 1) / push.part_length;
    if (push.part_count <= 1) {
        dispatch(c, (const struct view[3]){x, y, y}, 0, &push, &spec);
        return espy_lower_status(c);
    }
    const struct shape parts_shape = {2, {push.part_count, push.rows}};
    const struct view parts = espy_lower_temporary(c, total_dtype(storage), &parts_shape);
    dispatch(c, (const struct view[3]){x, parts, parts}, 1, &push, &spec);
    dispatch(c, (const struct view[3]){x, y, parts}, 2, &push, &spec);
    return espy_lower_status(c);
}

static const struct op_attr attr_rows[] = {
    {.name = "exclusive",
     .type = OP_BOOL,
     .offset = offsetof(struct cumulative_attrs, exclusive),
     .fallback = 0,
     .help = "an element is not part of its own result"},
    {.name = "reverse",
     .type = OP_BOOL,
     .offset = offsetof(struct cumulative_attrs, reverse),
     .fallback = 0,
     .help = "results run from the end"},
};

#define CUMULATIVE(op_name, text)                                                              \
    {                                                                                          \
        .name = op_name, .summary = text, .inputs_min = 2, .inputs_max = 2, .outputs_min = 1,  \
        .outputs_max = 1, .attrs = attr_rows,                                                  \
        .attr_count = sizeof(attr_rows) / sizeof(attr_rows[0]),                                \
        .attrs_size = sizeof(struct cumulative_attrs), .infer = infer, .reference = reference, \
        .lower = lower                                                                         \
    }

static const struct op ops[] = {
    CUMULATIVE("CumSum", "running sums along an axis"),
    CUMULATIVE("CumProd", "running products along an axis"),
};

const struct op_family espy_ops_cumulative = {ops, sizeof(ops) / sizeof(ops[0])};
