// ScatterND: a tensor with slices replaced, or joined with others, where tuples of indices say.
#include <string.h>

#include "op/lower.h"
#include "op/op.h"
#include "ops/indexing.h"
#include "ops/scatter.h"
#include "shaders/scatter_nd.spv.h"
#include "shaders/scatter_nd_join.spv.h"
#include "shaders/scatter_nd_last.spv.h"

// So many invocations at least should join updates on a GPU; each looks at all tuples.
enum { JOIN_INVOCATIONS = 512 };

struct scatter_nd_attrs {
    int reduction;
};

static const struct op_attr rows[] = {SCATTER_REDUCTION_ATTR(struct scatter_nd_attrs)};

// How x divides: the dimensions that a tuple is for, and what a tuple names.
struct parts {
    uint32_t tuple;
    size_t tuples, slices, slice;   // updates, places for them, and elements of one
    int64_t strides[ESPY_RANK_MAX]; // of the tuple's dimensions, in slices
};

static struct parts divide(const struct shape *x, const struct shape *indices)
{
    struct parts p = {.tuple = (uint32_t)indices->dims[indices->rank - 1]};
    struct shape places = *x;
    places.rank = p.tuple;
    indexing_strides(&places, p.strides);
    p.tuples = indexing_product(indices, 0, indices->rank - 1);
    p.slices = indexing_product(x, 0, p.tuple);
    p.slice = indexing_product(x, p.tuple, x->rank);
    return p;
}

static espy_status infer(struct op_infer *c)
{
    const struct shape *x = &c->inputs[0].shape, *indices = &c->inputs[1].shape;
    const struct shape *updates = &c->inputs[2].shape;
    if (!indexing_is_index(c->inputs[1].dtype))
        return espy_infer_fail(c, "indices must be int32 or int64");
    if (c->inputs[2].dtype != c->inputs[0].dtype)
        return espy_infer_fail(c, "updates are %s, the tensor %s",
                               espy_dtype_name(c->inputs[2].dtype),
                               espy_dtype_name(c->inputs[0].dtype));
    if (x->rank == 0 || indices->rank == 0)
        return espy_infer_fail(c, "a scalar has no slices");
    const int64_t tuple = indices->dims[indices->rank - 1];
    if (tuple < 1 || tuple > (int64_t)x->rank)
        return espy_infer_fail(c, "tuples of %lld indices for %u dimensions", (long long)tuple,
                               x->rank);
    const uint32_t lead = indices->rank - 1;
    bool fits = updates->rank == lead + x->rank - (uint32_t)tuple;
    for (uint32_t d = 0; d < updates->rank && fits; d++)
        fits = updates->dims[d] ==
               (d < lead ? indices->dims[d] : x->dims[d - lead + (uint32_t)tuple]);
    if (!fits) {
        char a[128], b[128];
        return espy_infer_fail(c, "updates of shape %s for indices of shape %s",
                               espy_shape_text(updates, a, sizeof(a)),
                               espy_shape_text(indices, b, sizeof(b)));
    }
    espy_infer_copy(c, 0, 0);
    return ESPY_OK;
}

static void reference(struct op_eval *c)
{
    const struct scatter_nd_attrs *attrs = c->attrs;
    const struct tensor *indices = &c->inputs[1];
    struct tensor *y = &c->outputs[0];
    const struct parts p = divide(&y->type.shape, &indices->type.shape);
    if (y->count > 0)
        memcpy(y->data, c->inputs[0].data, espy_tensor_size(y));
    for (size_t t = 0; t < p.tuples; t++) {
        int64_t slice = 0;
        for (uint32_t k = 0; k < p.tuple; k++) {
            int64_t index = espy_tensor_integer(indices, t * p.tuple + k);
            if (!indexing_resolve(index, y->type.shape.dims[k], &index)) {
                espy_eval_fail(c, ESPY_BAD_FORMAT, "index %lld is outside a dimension of %lld",
                               (long long)index, (long long)y->type.shape.dims[k]);
                return;
            }
            slice += index * p.strides[k];
        }
        for (size_t i = 0; i < p.slice; i++)
            scatter_element(attrs->reduction, y, (size_t)slice * p.slice + i, &c->inputs[2],
                            t * p.slice + i);
    }
}

// Writes for every slice of x the number of the last update that goes there.
static struct view find_last(struct op_lower *c, const struct parts *p, const struct view *indices)
{
    const struct shape shape = {.rank = 1, .dims = {(int64_t)p->slices}};
    const struct view last = espy_lower_temporary(c, ESPY_UINT32, &shape);
    struct scatter_nd_last_push push = {.i_offset = (int32_t)indices->offset};
    for (uint32_t k = 0; k < p->tuple; k++) {
        push.dims[k] = (int32_t)c->inputs[0].shape.dims[k];
        push.strides[k] = (int32_t)p->strides[k];
    }
    struct scatter_nd_last_spec spec = SCATTER_ND_LAST_SPEC_DEFAULT;
    spec.local_size_x = c->caps->local_size;
    spec.tuple = p->tuple;
    spec.index_words = espy_index_words(indices);
    struct op_dispatch dispatch = {.shader = scatter_nd_last_shaders.variants[VARIANT_NONE],
                                   .bindings = {*indices, last},
                                   .binding_count = 2,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    for (uint32_t pass = 0; pass < 2; pass++) {
        spec.clears = pass == 0;
        push.count = (uint32_t)(pass == 0 ? p->slices : p->tuples);
        espy_lower_grid(c, push.count, spec.local_size_x, dispatch.groups);
        espy_lower_dispatch(c, &dispatch);
    }
    return last;
}

static void replace_slices(struct op_lower *c, const struct parts *p)
{
    const struct view x = espy_lower_dense_input(c, 0), indices = espy_lower_dense_input(c, 1);
    const struct view updates = espy_lower_dense_input(c, 2);
    const struct view last = find_last(c, p, &indices);
    const struct view y = espy_lower_output(c, 0);
    if (y.buffer == VIEW_NONE)
        return;
    struct scatter_nd_spec spec = SCATTER_ND_SPEC_DEFAULT;
    spec.local_size_x = c->caps->local_size;
    spec.run = indexing_run(c, espy_view_count(&y));
    const struct scatter_nd_push push = {.count = (uint32_t)espy_view_count(&y),
                                         .runs = indexing_runs(espy_view_count(&y), spec.run),
                                         .slice = (uint32_t)p->slice,
                                         .x_offset = (int32_t)x.offset,
                                         .u_offset = (int32_t)updates.offset};
    struct op_dispatch dispatch = {.shader =
                                       scatter_nd_shaders.variants[espy_word_variant(y.storage)],
                                   .bindings = {x, updates, last, y},
                                   .binding_count = 4,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.runs, spec.local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
}

static void join_slices(struct op_lower *c, const struct parts *p)
{
    const struct scatter_nd_attrs *attrs = c->attrs;
    const struct view x = espy_lower_input(c, 0), indices = espy_lower_dense_input(c, 1);
    const struct view updates = espy_lower_dense_input(c, 2);
    const struct view y = espy_lower_output(c, 0);
    if (y.buffer == VIEW_NONE)
        return;
    espy_lower_copy(c, &x, &y);
    struct scatter_nd_join_spec spec = SCATTER_ND_JOIN_SPEC_DEFAULT;
    spec.local_size_x = c->caps->local_size;
    spec.tuple = p->tuple;
    spec.index_words = espy_index_words(&indices);
    spec.reduction = (uint32_t)attrs->reduction;
    spec.width = scatter_width(y.dtype);
    spec.is_signed = espy_dtype_is_signed(y.dtype);
    if (!c->caps->cpu && p->slice < JOIN_INVOCATIONS)
        spec.bins = (uint32_t)(JOIN_INVOCATIONS / p->slice);
    struct scatter_nd_join_push push = {.slice = (uint32_t)p->slice,
                                        .i_offset = (int32_t)indices.offset,
                                        .u_offset = (int32_t)updates.offset};
    for (uint32_t k = 0; k < p->tuple; k++) {
        push.dims[k] = (int32_t)c->inputs[0].shape.dims[k];
        push.strides[k] = (int32_t)p->strides[k];
    }
    struct op_dispatch dispatch = {.shader =
                                       scatter_nd_join_shaders.variants[espy_variant(y.storage)],
                                   .bindings = {indices, updates, y},
                                   .binding_count = 3,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    espy_lower_grid(c, p->slice * spec.bins, spec.local_size_x, dispatch.groups);
    const int32_t tuples = (int32_t)p->tuples, most = SCATTER_TRIPS_MAX / (int32_t)(p->tuple + 1);
    while (push.end < tuples) {
        push.first = push.end;
        push.end = tuples - push.first > most ? push.first + most : tuples;
        espy_lower_dispatch(c, &dispatch);
    }
}

static espy_status lower(struct op_lower *c)
{
    const struct scatter_nd_attrs *attrs = c->attrs;
    const struct parts p = divide(&c->inputs[0].shape, &c->inputs[1].shape);
    if (p.tuples == 0 || p.slice == 0 || p.slices == 0) {
        const struct view x = espy_lower_input(c, 0);
        espy_lower_alias(c, 0, &x);
    } else if (attrs->reduction == SCATTER_NONE) {
        replace_slices(c, &p);
    } else {
        join_slices(c, &p);
    }
    return espy_lower_status(c);
}

static const struct op ops[] = {{.name = "ScatterND",
                                 .summary = "x with slices replaced or joined where tuples say",
                                 .inputs_min = 3,
                                 .inputs_max = 3,
                                 .outputs_min = 1,
                                 .outputs_max = 1,
                                 .attrs = rows,
                                 .attr_count = sizeof(rows) / sizeof(rows[0]),
                                 .attrs_size = sizeof(struct scatter_nd_attrs),
                                 .infer = infer,
                                 .reference = reference,
                                 .lower = lower}};

const struct op_family espy_ops_scatter_nd = {ops, 1};
