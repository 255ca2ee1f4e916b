// Compress: the slices along an axis, or the elements, that a list of bools picks.
#include <string.h>

#include "op/op.h"

struct compress_attrs {
    int64_t axis;
};

enum { NO_AXIS = ESPY_RANK_MAX }; // as a default that the file cannot say

static const struct op_attr rows[] = {{.name = "axis",
                                       .type = OP_INT,
                                       .offset = offsetof(struct compress_attrs, axis),
                                       .fallback = NO_AXIS,
                                       .min = -ESPY_RANK_MAX,
                                       .max = ESPY_RANK_MAX - 1,
                                       .help = "what to pick along; absent: x is taken as flat"}};

// The axis, or the rank when x is taken as flat.
static uint32_t axis_of(const struct compress_attrs *attrs, uint32_t rank)
{
    return attrs->axis == NO_AXIS ? rank
                                  : (uint32_t)(attrs->axis < 0 ? attrs->axis + rank : attrs->axis);
}

static espy_status infer(struct op_infer *c)
{
    const struct compress_attrs *attrs = c->attrs;
    const struct shape *x = &c->inputs[0].shape;
    uint32_t axis = x->rank;
    size_t length;
    if (attrs->axis != NO_AXIS)
        TRY(espy_infer_axis(c, attrs->axis, x->rank, &axis));
    if (!espy_shape_count(x, &length))
        return espy_infer_fail(c, "x is too large");
    if (axis < x->rank)
        length = (size_t)x->dims[axis];
    if (c->inputs[1].dtype != ESPY_BOOL || c->inputs[1].shape.rank != 1)
        return espy_infer_fail(c, "condition must be a list of bools");
    const struct tensor *condition = espy_infer_value(c, 1);
    if (condition == NULL)
        return espy_infer_wait(c);
    int64_t picked = 0;
    for (size_t i = 0; i < condition->count; i++) {
        if (espy_tensor_integer(condition, i) == 0)
            continue;
        if (i >= length)
            return espy_infer_fail(c, "condition picks element %zu of %zu", i, length);
        picked++;
    }
    struct op_type *y = &c->outputs[0];
    *y = (struct op_type){c->inputs[0].dtype, {.rank = 1, .dims = {picked}}};
    if (axis < x->rank) {
        y->shape = *x;
        y->shape.dims[axis] = picked;
    }
    return ESPY_OK;
}

static void reference(struct op_eval *c)
{
    const struct tensor *x = &c->inputs[0], *condition = &c->inputs[1];
    const struct shape *shape = &x->type.shape;
    const uint32_t axis = axis_of(c->attrs, shape->rank);
    size_t outer = 1, dim = x->count, inner = espy_dtype_size(x->type.dtype);
    if (axis < shape->rank) {
        dim = (size_t)shape->dims[axis];
        for (uint32_t d = 0; d < axis; d++)
            outer *= (size_t)shape->dims[d];
        for (uint32_t d = axis + 1; d < shape->rank; d++)
            inner *= (size_t)shape->dims[d];
    }
    const char *from = x->data;
    char *to = c->outputs[0].data;
    for (size_t o = 0; x->count > 0 && o < outer; o++)
        for (size_t i = 0; i < dim && i < condition->count; i++) {
            if (espy_tensor_integer(condition, i) == 0)
                continue;
            memcpy(to, from + (o * dim + i) * inner, inner);
            to += inner;
        }
}

static const struct op ops[] = {{.name = "Compress",
                                 .summary = "the slices of x that a list of bools picks",
                                 .inputs_min = 2,
                                 .inputs_max = 2,
                                 .outputs_min = 1,
                                 .outputs_max = 1,
                                 .flags = OP_HOST_ONLY | OP_DATA_SHAPE,
                                 .attrs = rows,
                                 .attr_count = sizeof(rows) / sizeof(rows[0]),
                                 .attrs_size = sizeof(struct compress_attrs),
                                 .infer = infer,
                                 .reference = reference}};

const struct op_family espy_ops_compress = {ops, sizeof(ops) / sizeof(ops[0])};
