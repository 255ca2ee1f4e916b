// Gather and GatherElements: elements of a tensor at indices along one dimension.
#include <assert.h>
#include <string.h>

#include "op/axes.h"
#include "op/lower.h"
#include "op/op.h"
#include "ops/indexing.h"
#include "shaders/gather.spv.h"

struct gather_attrs {
    int64_t axis;
};

static const struct op_attr rows[] = {{.name = "axis",
                                       .type = OP_INT,
                                       .offset = offsetof(struct gather_attrs, axis),
                                       .help = "the dimension that the indices are for"}};

static uint32_t axis_of(const struct gather_attrs *attrs, uint32_t rank)
{
    return (uint32_t)(attrs->axis < 0 ? attrs->axis + (int64_t)rank : attrs->axis);
}

// ---- Gather ----------------------------------------------------------------------------------------

static espy_status gather_infer(struct op_infer *c)
{
    const struct gather_attrs *attrs = c->attrs;
    const struct shape *x = &c->inputs[0].shape, *indices = &c->inputs[1].shape;
    uint32_t axis;
    size_t count;
    TRY(espy_infer_axis(c, attrs->axis, x->rank, &axis));
    if (!indexing_is_index(c->inputs[1].dtype))
        return espy_infer_fail(c, "indices must be int32 or int64");
    if (x->rank - 1 + indices->rank > ESPY_RANK_MAX)
        return espy_infer_unsupported(c, "the result has rank %u; at most %d is supported",
                                      x->rank - 1 + indices->rank, ESPY_RANK_MAX);
    if (x->dims[axis] == 0 && (!espy_shape_count(indices, &count) || count > 0))
        return espy_infer_fail(c, "dimension %u has no elements to gather", axis);
    struct op_type *y = &c->outputs[0];
    *y = (struct op_type){.dtype = c->inputs[0].dtype};
    for (uint32_t d = 0; d < axis; d++)
        y->shape.dims[y->shape.rank++] = x->dims[d];
    for (uint32_t d = 0; d < indices->rank; d++)
        y->shape.dims[y->shape.rank++] = indices->dims[d];
    for (uint32_t d = axis + 1; d < x->rank; d++)
        y->shape.dims[y->shape.rank++] = x->dims[d];
    return ESPY_OK;
}

static void gather_reference(struct op_eval *c)
{
    const struct tensor *x = &c->inputs[0], *indices = &c->inputs[1];
    const struct shape *shape = &x->type.shape;
    const uint32_t axis = axis_of(c->attrs, shape->rank);
    const size_t outer = indexing_product(shape, 0, axis);
    const size_t run = indexing_product(shape, axis + 1, shape->rank);
    const size_t dim = (size_t)shape->dims[axis];
    size_t to = 0;
    for (size_t o = 0; o < outer && run > 0; o++) {
        for (size_t i = 0; i < indices->count; i++) {
            int64_t index = espy_tensor_integer(indices, i);
            if (!indexing_resolve(index, shape->dims[axis], &index)) {
                espy_eval_fail(c, ESPY_BAD_FORMAT, "index %lld is outside a dimension of %zu",
                               (long long)index, dim);
                return;
            }
            espy_tensor_move(&c->outputs[0], to, x, (o * dim + (size_t)index) * run, run);
            to += run;
        }
    }
}

// The kernel: y's dimensions with what x and the indices step in each.
static void dispatch_gather(struct op_lower *c, struct view x, struct view indices, struct view y,
                            uint32_t axis)
{
    const struct view bound = x;
    struct gather_push push = {.x_offset = (int32_t)x.offset,
                               .i_offset = (int32_t)indices.offset,
                               .axis_dim = (int32_t)c->inputs[0].shape.dims[axis]};
    if (y.buffer == VIEW_NONE || espy_view_count(&y) == 0)
        return;
    push.axis_stride = (int32_t)bound.strides[axis];
    struct view views[3] = {y, y, y};
    const uint32_t inserted = y.rank + 1 - bound.rank;
    const bool elements = strcmp(c->node->op->name, "GatherElements") == 0;
    for (uint32_t d = 0; d < y.rank; d++) {
        if (elements) {
            views[1].strides[d] = d == axis ? 0 : x.strides[d];
            views[2].strides[d] = indices.strides[d];
            continue;
        }
        const bool of_index = d >= axis && d < axis + inserted;
        views[1].strides[d] = of_index ? 0 : x.strides[d < axis ? d : d - inserted + 1];
        views[2].strides[d] = of_index ? indices.strides[d - axis] : 0;
    }
    espy_axes_sort(views, 3);
    struct gather_spec spec = GATHER_SPEC_DEFAULT;
    spec.local_size_x = c->caps->local_size;
    spec.rank = espy_view_collapse(views, 3);
    spec.index_words = espy_index_words(&indices);
    const size_t inner = (size_t)views[0].dims[spec.rank - 1];
    spec.run = indexing_run(c, inner);
    push.runs = indexing_runs(inner, spec.run);
    push.count = (uint32_t)(espy_view_count(&y) / inner) * push.runs;
    for (uint32_t d = 0; d < spec.rank; d++) {
        push.dims[d] = (uint32_t)views[0].dims[d];
        push.x_strides[d] = (int32_t)views[1].strides[d];
        push.i_strides[d] = (int32_t)views[2].strides[d];
    }
    struct op_dispatch dispatch = {.shader = gather_shaders.variants[espy_word_variant(x.storage)],
                                   .bindings = {bound, indices, y},
                                   .binding_count = 3,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.count, spec.local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
}

// true: the indices are known, at most a list, and equally far apart, so that the output is a view
// of the input; made so. This is how exporters write x[:, 0] and the parts of a joint projection.
static bool gather_is_view(struct op_lower *c, uint32_t axis)
{
    const struct tensor *indices = &c->values[1];
    const int64_t dim = c->inputs[0].shape.dims[axis];
    if (indices->data == NULL || indices->type.shape.rank > 1 || indices->count == 0)
        return false;
    int64_t first = 0, step = 0, previous = 0;
    for (size_t i = 0; i < indices->count; i++) {
        int64_t index;
        if (!indexing_resolve(espy_tensor_integer(indices, i), dim, &index))
            return false;
        first = i == 0 ? index : first;
        step = i == 1 ? index - first : step;
        if (i > 1 && index - previous != step)
            return false;
        previous = index;
    }
    struct view y = espy_lower_input(c, 0);
    y.offset += first * y.strides[axis];
    if (indices->type.shape.rank == 1) {
        y.dims[axis] = (int64_t)indices->count;
        y.strides[axis] *= step;
    } else {
        y.rank--;
        for (uint32_t d = axis; d < y.rank; d++) {
            y.dims[d] = y.dims[d + 1];
            y.strides[d] = y.strides[d + 1];
        }
    }
    espy_lower_alias(c, 0, &y);
    return true;
}

static espy_status gather_lower(struct op_lower *c)
{
    const uint32_t axis = axis_of(c->attrs, c->inputs[0].shape.rank);
    if (gather_is_view(c, axis))
        return espy_lower_status(c);
    const struct view x = espy_lower_input(c, 0), indices = espy_lower_input(c, 1);
    // With a list of indices the dimensions are x's, and so may be their order in memory.
    const struct view y =
        indices.rank == 1 ? espy_lower_output_like(c, 0, &x) : espy_lower_output(c, 0);
    dispatch_gather(c, x, indices, y, axis);
    return espy_lower_status(c);
}

// ---- GatherElements --------------------------------------------------------------------------------

static espy_status elements_infer(struct op_infer *c)
{
    const struct gather_attrs *attrs = c->attrs;
    const struct shape *x = &c->inputs[0].shape, *indices = &c->inputs[1].shape;
    uint32_t axis;
    size_t count;
    TRY(espy_infer_axis(c, attrs->axis, x->rank, &axis));
    if (!indexing_is_index(c->inputs[1].dtype))
        return espy_infer_fail(c, "indices must be int32 or int64");
    if (indices->rank != x->rank)
        return espy_infer_fail(c, "indices have rank %u, the tensor %u", indices->rank, x->rank);
    for (uint32_t d = 0; d < x->rank; d++)
        if (d != axis && indices->dims[d] > x->dims[d])
            return espy_infer_fail(c, "dimension %u has more indices than elements", d);
    if (x->dims[axis] == 0 && (!espy_shape_count(indices, &count) || count > 0))
        return espy_infer_fail(c, "dimension %u has no elements to gather", axis);
    c->outputs[0] = (struct op_type){c->inputs[0].dtype, *indices};
    return ESPY_OK;
}

static void elements_reference(struct op_eval *c)
{
    const struct tensor *x = &c->inputs[0], *indices = &c->inputs[1];
    const struct shape *shape = &indices->type.shape;
    const uint32_t axis = axis_of(c->attrs, shape->rank);
    const size_t size = espy_dtype_size(x->type.dtype);
    int64_t place[ESPY_RANK_MAX] = {0}, strides[ESPY_RANK_MAX];
    indexing_strides(&x->type.shape, strides);
    for (size_t i = 0; i < indices->count; i++) {
        int64_t index = espy_tensor_integer(indices, i), at = 0;
        if (!indexing_resolve(index, x->type.shape.dims[axis], &index)) {
            espy_eval_fail(c, ESPY_BAD_FORMAT, "index %lld is outside a dimension of %lld",
                           (long long)index, (long long)x->type.shape.dims[axis]);
            return;
        }
        for (uint32_t d = 0; d < shape->rank; d++)
            at += strides[d] * (d == axis ? index : place[d]);
        memcpy((char *)c->outputs[0].data + i * size, (const char *)x->data + (size_t)at * size,
               size);
        for (uint32_t d = shape->rank; d-- > 0 && ++place[d] == shape->dims[d];)
            place[d] = 0;
    }
}

static espy_status elements_lower(struct op_lower *c)
{
    const struct view x = espy_lower_input(c, 0), indices = espy_lower_input(c, 1);
    const struct view y = espy_lower_output_like(c, 0, &indices);
    dispatch_gather(c, x, indices, y, axis_of(c->attrs, c->inputs[0].shape.rank));
    return espy_lower_status(c);
}

static const struct op ops[] = {
    {.name = "Gather",
     .summary = "the slices of x at given places of one dimension",
     .flags = OP_NARROW,
     .inputs_min = 2,
     .inputs_max = 2,
     .outputs_min = 1,
     .outputs_max = 1,
     .attrs = rows,
     .attr_count = 1,
     .attrs_size = sizeof(struct gather_attrs),
     .infer = gather_infer,
     .reference = gather_reference,
     .lower = gather_lower},
    {.name = "GatherElements",
     .summary = "for every index the element at that place of one dimension",
     .inputs_min = 2,
     .inputs_max = 2,
     .outputs_min = 1,
     .outputs_max = 1,
     .attrs = rows,
     .attr_count = 1,
     .attrs_size = sizeof(struct gather_attrs),
     .infer = elements_infer,
     .reference = elements_reference,
     .lower = elements_lower},
};

const struct op_family espy_ops_gather = {ops, sizeof(ops) / sizeof(ops[0])};
