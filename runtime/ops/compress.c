// Compress: the slices along an axis, or the elements, that a list of bools picks.
#include <string.h>

#include "op/lower.h"
#include "op/op.h"
#include "ops/picks.h"

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

static espy_status bound(struct op_infer *c)
{
    const struct shape *x = &c->inputs[0].shape, *condition = &c->inputs[1].shape;
    const uint32_t axis = axis_of(c->attrs, x->rank);
    const struct picks_split split = picks_split(x, axis);
    // A longer condition may pick what is not there, of which the host tells.
    if (!picks_exactly(c->inputs[0].dtype) || (size_t)condition->dims[0] > split.length)
        return espy_infer_wait(c);
    struct op_type *y = &c->outputs[0];
    *y = (struct op_type){c->inputs[0].dtype, axis < x->rank ? *x : *condition};
    c->counted[0] = axis < x->rank ? axis : 0;
    y->shape.dims[c->counted[0]] = condition->dims[0];
    return ESPY_OK;
}

static void reference(struct op_eval *c)
{
    const struct tensor *x = &c->inputs[0], *condition = &c->inputs[1];
    const struct shape *shape = &x->type.shape;
    const struct picks_split split = picks_split(shape, axis_of(c->attrs, shape->rank));
    const size_t size = split.inner * espy_dtype_size(x->type.dtype);
    const char *from = x->data;
    char *to = c->outputs[0].data;
    for (size_t o = 0; x->count > 0 && o < split.outer; o++)
        for (size_t i = 0; i < split.length && i < condition->count; i++) {
            if (espy_tensor_integer(condition, i) == 0)
                continue;
            memcpy(to, from + (o * split.length + i) * size, size);
            to += size;
        }
}

static espy_status lower(struct op_lower *c)
{
    if (!picks_exactly(c->inputs[0].dtype))
        return espy_lower_on_host(c, "float64 is float32 on the device");
    const struct shape *shape = &c->inputs[0].shape;
    const struct picks_split split = picks_split(shape, axis_of(c->attrs, shape->rank));
    const struct view x = espy_lower_dense_input(c, 0), condition = espy_lower_dense_input(c, 1);
    const struct view y = espy_lower_output(c, 0), count = espy_lower_count(c);
    const struct view masks = picks_masks(c, &condition);
    const struct view sums = picks_sums(c, &masks, RANKS_MASKS, &count);
    const size_t most = espy_view_count(&condition);
    if (most == 0 || espy_view_count(&x) == 0) // the count is all there is
        return espy_lower_status(c);
    const struct view positions = picks_positions(c, &masks, &sums, most);
    picks_slices(c, &x, &split, &positions, &count, most, &y);
    return espy_lower_status(c);
}

static const struct op ops[] = {{.name = "Compress",
                                 .summary = "the slices of x that a list of bools picks",
                                 .inputs_min = 2,
                                 .inputs_max = 2,
                                 .outputs_min = 1,
                                 .outputs_max = 1,
                                 .flags = OP_DATA_SHAPE,
                                 .attrs = rows,
                                 .attr_count = sizeof(rows) / sizeof(rows[0]),
                                 .attrs_size = sizeof(struct compress_attrs),
                                 .infer = infer,
                                 .reference = reference,
                                 .lower = lower,
                                 .bound = bound}};

const struct op_family espy_ops_compress = {ops, sizeof(ops) / sizeof(ops[0])};
