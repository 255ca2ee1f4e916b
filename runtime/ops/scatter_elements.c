// ScatterElements: a tensor with elements replaced, or joined with others, at indices along one
// dimension.
#include <string.h>

#include "op/lower.h"
#include "op/op.h"
#include "ops/indexing.h"
#include "ops/scatter.h"
#include "shaders/scatter_elements.spv.h"

struct scatter_elements_attrs {
    int64_t axis;
    int reduction;
};

static const struct op_attr rows[] = {{.name = "axis",
                                       .type = OP_INT,
                                       .offset = offsetof(struct scatter_elements_attrs, axis),
                                       .help = "the dimension that the indices are for"},
                                      SCATTER_REDUCTION_ATTR(struct scatter_elements_attrs)};

static espy_status infer(struct op_infer *c)
{
    const struct scatter_elements_attrs *attrs = c->attrs;
    const struct shape *x = &c->inputs[0].shape, *indices = &c->inputs[1].shape;
    uint32_t axis;
    TRY(espy_infer_axis(c, attrs->axis, x->rank, &axis));
    if (!indexing_is_index(c->inputs[1].dtype))
        return espy_infer_fail(c, "indices must be int32 or int64");
    if (c->inputs[2].dtype != c->inputs[0].dtype)
        return espy_infer_fail(c, "updates are %s, the tensor %s",
                               espy_dtype_name(c->inputs[2].dtype),
                               espy_dtype_name(c->inputs[0].dtype));
    if (!espy_shape_equal(indices, &c->inputs[2].shape))
        return espy_infer_fail(c, "indices and updates differ in shape");
    if (indices->rank != x->rank)
        return espy_infer_fail(c, "indices have rank %u, the tensor %u", indices->rank, x->rank);
    for (uint32_t d = 0; d < x->rank; d++)
        if (d != axis && indices->dims[d] > x->dims[d])
            return espy_infer_fail(c, "dimension %u has more indices than elements", d);
    espy_infer_copy(c, 0, 0);
    return ESPY_OK;
}

static uint32_t axis_of(const struct scatter_elements_attrs *attrs, uint32_t rank)
{
    return (uint32_t)(attrs->axis < 0 ? attrs->axis + (int64_t)rank : attrs->axis);
}

static void reference(struct op_eval *c)
{
    const struct scatter_elements_attrs *attrs = c->attrs;
    const struct tensor *indices = &c->inputs[1];
    struct tensor *y = &c->outputs[0];
    const struct shape *shape = &indices->type.shape;
    const uint32_t axis = axis_of(attrs, shape->rank);
    int64_t place[ESPY_RANK_MAX] = {0}, strides[ESPY_RANK_MAX];
    indexing_strides(&y->type.shape, strides);
    if (y->count > 0)
        memcpy(y->data, c->inputs[0].data, espy_tensor_size(y));
    for (size_t i = 0; i < indices->count; i++) {
        int64_t index = espy_tensor_integer(indices, i), at = 0;
        if (!indexing_resolve(index, y->type.shape.dims[axis], &index)) {
            espy_eval_fail(c, ESPY_BAD_FORMAT, "index %lld is outside a dimension of %lld",
                           (long long)index, (long long)y->type.shape.dims[axis]);
            return;
        }
        for (uint32_t d = 0; d < shape->rank; d++)
            at += strides[d] * (d == axis ? index : place[d]);
        scatter_element(attrs->reduction, y, (size_t)at, &c->inputs[2], i);
        for (uint32_t d = shape->rank; d-- > 0 && ++place[d] == shape->dims[d];)
            place[d] = 0;
    }
}

static struct view without(const struct view *view, uint32_t axis)
{
    struct view rest = *view;
    rest.rank--;
    for (uint32_t d = axis; d < rest.rank; d++) {
        rest.dims[d] = rest.dims[d + 1];
        rest.strides[d] = rest.strides[d + 1];
    }
    return rest;
}

static void dispatch_updates(struct op_lower *c, const struct view *y)
{
    const struct scatter_elements_attrs *attrs = c->attrs;
    const struct view indices = espy_lower_dense_input(c, 1);
    const struct view updates = espy_lower_dense_input(c, 2);
    if (espy_lower_status(c) != ESPY_OK)
        return;
    const uint32_t axis = axis_of(attrs, indices.rank);
    const int32_t length = (int32_t)indices.dims[axis];
    struct view lines[2] = {without(&indices, axis), without(y, axis)};
    memcpy(lines[1].dims, lines[0].dims, sizeof(lines[1].dims));
    struct scatter_elements_push push = {.count = (uint32_t)espy_view_count(&lines[0]),
                                         .i_offset = (int32_t)indices.offset,
                                         .u_offset = (int32_t)updates.offset,
                                         .axis_dim = (int32_t)y->dims[axis],
                                         .i_axis_stride = (int32_t)indices.strides[axis],
                                         .y_axis_stride = (int32_t)y->strides[axis]};
    struct scatter_elements_spec spec = SCATTER_ELEMENTS_SPEC_DEFAULT;
    spec.local_size_x = c->caps->local_size;
    spec.index_words = espy_index_words(&indices);
    spec.reduction = (uint32_t)attrs->reduction;
    spec.width = scatter_width(y->dtype);
    spec.is_signed = espy_dtype_is_signed(y->dtype);
    spec.rank = espy_view_collapse(lines, 2);
    for (uint32_t d = 0; d < spec.rank; d++) {
        push.dims[d] = (uint32_t)lines[0].dims[d];
        push.i_strides[d] = (int32_t)lines[0].strides[d];
        push.y_strides[d] = (int32_t)lines[1].strides[d];
    }
    const enum shader_variant variant = attrs->reduction == SCATTER_NONE
                                            ? espy_word_variant(y->storage)
                                            : espy_variant(y->storage);
    struct op_dispatch dispatch = {.shader = scatter_elements_shaders.variants[variant],
                                   .bindings = {indices, updates, *y},
                                   .binding_count = 3,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.count, spec.local_size_x, dispatch.groups);
    while (push.end < length) {
        push.first = push.end;
        push.end = length - push.first > SCATTER_TRIPS_MAX ? push.first + SCATTER_TRIPS_MAX
                                                           : length;
        espy_lower_dispatch(c, &dispatch);
    }
}

static espy_status lower(struct op_lower *c)
{
    size_t updates = 0, count = 0;
    espy_shape_count(&c->inputs[1].shape, &updates); // cannot overflow: they are inputs
    espy_shape_count(&c->inputs[0].shape, &count);
    const struct view x = espy_lower_input(c, 0);
    if (updates == 0) {
        espy_lower_alias(c, 0, &x);
        return espy_lower_status(c);
    }
    const struct view y = espy_lower_output_like(c, 0, &x);
    if (y.buffer == VIEW_NONE || count == 0)
        return espy_lower_status(c);
    espy_lower_copy(c, &x, &y);
    dispatch_updates(c, &y);
    return espy_lower_status(c);
}

static const struct op ops[] = {{.name = "ScatterElements",
                                 .summary = "x with elements replaced or joined at indices",
                                 .inputs_min = 3,
                                 .inputs_max = 3,
                                 .outputs_min = 1,
                                 .outputs_max = 1,
                                 .attrs = rows,
                                 .attr_count = sizeof(rows) / sizeof(rows[0]),
                                 .attrs_size = sizeof(struct scatter_elements_attrs),
                                 .infer = infer,
                                 .reference = reference,
                                 .lower = lower}};

const struct op_family espy_ops_scatter_elements = {ops, 1};
