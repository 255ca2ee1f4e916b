// GatherND: the slices of a tensor that tuples of indices name.
#include <string.h>

#include "op/lower.h"
#include "op/op.h"
#include "ops/indexing.h"
#include "shaders/gather_nd.spv.h"

struct gather_nd_attrs {
    int64_t batch_dims;
};

static const struct op_attr rows[] = {{.name = "batch_dims",
                                       .type = OP_INT,
                                       .offset = offsetof(struct gather_nd_attrs, batch_dims),
                                       .max = ESPY_RANK_MAX,
                                       .help = "leading dimensions that x and indices share"}};

// How x divides: batches, the dimensions that a tuple is for, and what a tuple names.
struct parts {
    uint32_t batch_dims, tuple;
    size_t batch_tuples, tuples, slice;
    int64_t batch_stride;
    int64_t strides[ESPY_RANK_MAX]; // of the tuple's dimensions
};

static struct parts divide(const struct gather_nd_attrs *attrs, const struct shape *x,
                           const struct shape *indices)
{
    struct parts p = {.batch_dims = (uint32_t)attrs->batch_dims,
                      .tuple = (uint32_t)indices->dims[indices->rank - 1]};
    int64_t strides[ESPY_RANK_MAX];
    indexing_strides(x, strides);
    p.tuples = indexing_product(indices, 0, indices->rank - 1);
    p.batch_tuples = indexing_product(indices, p.batch_dims, indices->rank - 1);
    p.slice = indexing_product(x, p.batch_dims + p.tuple, x->rank);
    p.batch_stride = (int64_t)indexing_product(x, p.batch_dims, x->rank);
    memcpy(p.strides, strides + p.batch_dims, p.tuple * sizeof(*strides));
    return p;
}

static espy_status infer(struct op_infer *c)
{
    const struct gather_nd_attrs *attrs = c->attrs;
    const struct shape *x = &c->inputs[0].shape, *indices = &c->inputs[1].shape;
    const uint32_t batch_dims = (uint32_t)attrs->batch_dims;
    if (!indexing_is_index(c->inputs[1].dtype))
        return espy_infer_fail(c, "indices must be int32 or int64");
    if (x->rank == 0 || indices->rank == 0 || batch_dims >= x->rank ||
        batch_dims >= indices->rank)
        return espy_infer_fail(c, "%u batch dimensions in tensors of rank %u and %u", batch_dims,
                               x->rank, indices->rank);
    for (uint32_t d = 0; d < batch_dims; d++)
        if (x->dims[d] != indices->dims[d])
            return espy_infer_fail(c, "batch dimension %u differs: %lld and %lld", d,
                                   (long long)x->dims[d], (long long)indices->dims[d]);
    const int64_t tuple = indices->dims[indices->rank - 1];
    if (tuple < 1 || tuple > (int64_t)(x->rank - batch_dims))
        return espy_infer_fail(c, "tuples of %lld indices for %u dimensions", (long long)tuple,
                               x->rank - batch_dims);
    struct op_type *y = &c->outputs[0];
    const uint32_t rest = batch_dims + (uint32_t)tuple, rank = indices->rank - 1 + x->rank - rest;
    if (rank > ESPY_RANK_MAX)
        return espy_infer_unsupported(c, "the result has rank %u; at most %d is supported", rank,
                                      ESPY_RANK_MAX);
    *y = (struct op_type){.dtype = c->inputs[0].dtype};
    for (uint32_t d = 0; d + 1 < indices->rank; d++)
        y->shape.dims[y->shape.rank++] = indices->dims[d];
    for (uint32_t d = rest; d < x->rank; d++)
        y->shape.dims[y->shape.rank++] = x->dims[d];
    size_t count;
    for (uint32_t d = batch_dims; d < rest; d++)
        if (x->dims[d] == 0 && (!espy_shape_count(indices, &count) || count > 0))
            return espy_infer_fail(c, "dimension %u has no elements to gather", d);
    return ESPY_OK;
}

static void reference(struct op_eval *c)
{
    const struct tensor *x = &c->inputs[0], *indices = &c->inputs[1];
    const struct parts p = divide(c->attrs, &x->type.shape, &indices->type.shape);
    const size_t run = p.slice * espy_dtype_size(x->type.dtype);
    for (size_t t = 0; t < p.tuples && run > 0; t++) {
        size_t at = t / p.batch_tuples * (size_t)p.batch_stride;
        for (uint32_t k = 0; k < p.tuple; k++) {
            const int64_t dim = x->type.shape.dims[p.batch_dims + k];
            int64_t index = espy_tensor_integer(indices, t * p.tuple + k);
            if (!indexing_resolve(index, dim, &index)) {
                espy_eval_fail(c, ESPY_BAD_FORMAT, "index %lld is outside a dimension of %lld",
                               (long long)index, (long long)dim);
                return;
            }
            at += (size_t)(index * p.strides[k]);
        }
        memcpy((char *)c->outputs[0].data + t * run,
               (const char *)x->data + at * espy_dtype_size(x->type.dtype), run);
    }
}

static espy_status lower(struct op_lower *c)
{
    const struct view x = espy_lower_dense_input(c, 0), indices = espy_lower_dense_input(c, 1);
    const struct view y = espy_lower_output(c, 0);
    const struct parts p = divide(c->attrs, &c->inputs[0].shape, &c->inputs[1].shape);
    if (p.tuples == 0 || p.slice == 0 || y.buffer == VIEW_NONE)
        return espy_lower_status(c);
    struct gather_nd_spec spec = GATHER_ND_SPEC_DEFAULT;
    spec.local_size_x = c->caps->local_size;
    spec.tuple = p.tuple;
    spec.index_words = espy_index_words(&indices);
    spec.run = indexing_run(c, p.slice);
    struct gather_nd_push push = {.runs = indexing_runs(p.slice, spec.run),
                                  .slice = (uint32_t)p.slice,
                                  .batch_tuples = (uint32_t)p.batch_tuples,
                                  .x_offset = (int32_t)x.offset,
                                  .i_offset = (int32_t)indices.offset,
                                  .batch_stride = (int32_t)p.batch_stride};
    push.count = (uint32_t)p.tuples * push.runs;
    for (uint32_t k = 0; k < p.tuple; k++) {
        push.dims[k] = (int32_t)c->inputs[0].shape.dims[p.batch_dims + k];
        push.strides[k] = (int32_t)p.strides[k];
    }
    struct op_dispatch dispatch = {.shader =
                                       gather_nd_shaders.variants[espy_word_variant(x.storage)],
                                   .bindings = {x, indices, y},
                                   .binding_count = 3,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.count, spec.local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
    return espy_lower_status(c);
}

static const struct op ops[] = {{.name = "GatherND",
                                 .summary = "the slices of x that tuples of indices name",
                                 .inputs_min = 2,
                                 .inputs_max = 2,
                                 .outputs_min = 1,
                                 .outputs_max = 1,
                                 .attrs = rows,
                                 .attr_count = 1,
                                 .attrs_size = sizeof(struct gather_nd_attrs),
                                 .infer = infer,
                                 .reference = reference,
                                 .lower = lower}};

const struct op_family espy_ops_gather_nd = {ops, 1};
