// OneHot: indices written as vectors with one element set.
#include <string.h>

#include "op/lower.h"
#include "op/op.h"
#include "ops/indexing.h"
#include "shaders/one_hot.spv.h"

enum { INDICES, DEPTH, VALUES };
enum { KIND_SIGNED, KIND_UNSIGNED, KIND_F32, KIND_F16 }; // as in one_hot.comp

struct one_hot_attrs {
    int64_t axis;
};

static const struct op_attr rows[] = {{.name = "axis",
                                       .type = OP_INT,
                                       .offset = offsetof(struct one_hot_attrs, axis),
                                       .fallback = -1,
                                       .help = "where the new dimension stands in the output"}};

static uint32_t axis_of(const struct one_hot_attrs *attrs, uint32_t rank)
{
    return (uint32_t)(attrs->axis < 0 ? attrs->axis + (int64_t)rank : attrs->axis);
}

static espy_status infer(struct op_infer *c)
{
    const struct one_hot_attrs *attrs = c->attrs;
    const struct shape *indices = &c->inputs[INDICES].shape;
    const struct shape *values = &c->inputs[VALUES].shape;
    uint32_t axis;
    size_t count = 0;
    if (indices->rank == ESPY_RANK_MAX)
        return espy_infer_unsupported(c, "the result has more than %d dimensions", ESPY_RANK_MAX);
    TRY(espy_infer_axis(c, attrs->axis, indices->rank + 1, &axis));
    if (c->inputs[INDICES].dtype == ESPY_BOOL || c->inputs[DEPTH].dtype == ESPY_BOOL)
        return espy_infer_fail(c, "indices and depth must be numbers");
    if (values->rank != 1 || values->dims[0] != 2)
        return espy_infer_fail(c, "values must be two elements: off, on");
    if (!espy_shape_count(&c->inputs[DEPTH].shape, &count) || count != 1)
        return espy_infer_fail(c, "depth must be one element");
    const struct tensor *value = espy_infer_value(c, DEPTH);
    if (value == NULL)
        return espy_infer_wait(c);
    const int64_t depth = espy_tensor_integer(value, 0);
    if (depth < 0 || depth > INT32_MAX)
        return espy_infer_fail(c, "depth is %lld", (long long)depth);
    struct op_type *y = &c->outputs[0];
    *y = (struct op_type){c->inputs[VALUES].dtype, {.rank = indices->rank + 1}};
    for (uint32_t d = 0; d < y->shape.rank; d++)
        y->shape.dims[d] = d == axis ? depth : indices->dims[d < axis ? d : d - 1];
    return ESPY_OK;
}

static void reference(struct op_eval *c)
{
    const struct tensor *indices = &c->inputs[INDICES], *values = &c->inputs[VALUES];
    struct tensor *y = &c->outputs[0];
    const struct shape *shape = &y->type.shape;
    const uint32_t axis = axis_of(c->attrs, shape->rank);
    const size_t size = espy_dtype_size(y->type.dtype);
    const size_t inner = indexing_product(shape, axis + 1, shape->rank);
    const int64_t depth = shape->dims[axis];
    const bool is_uint64 = indices->type.dtype == ESPY_UINT64;
    for (size_t i = 0; i < y->count; i++)
        memcpy((char *)y->data + i * size, values->data, size);
    for (size_t i = 0; i < indices->count && depth > 0; i++) {
        int64_t index = espy_tensor_integer(indices, i);
        if ((is_uint64 && index < 0) || !indexing_resolve(index, depth, &index))
            continue; // outside: all off
        const size_t at = (i / inner * (size_t)depth + (size_t)index) * inner + i % inner;
        memcpy((char *)y->data + at * size, (const char *)values->data + size, size);
    }
}

static uint32_t kind_of(const struct view *indices)
{
    if (espy_dtype_is_float(indices->dtype))
        return indices->storage == STORAGE_F16 ? KIND_F16 : KIND_F32;
    return espy_dtype_is_signed(indices->dtype) ? KIND_SIGNED : KIND_UNSIGNED;
}

static espy_status lower(struct op_lower *c)
{
    const struct view indices = espy_lower_dense_input(c, INDICES);
    const struct view values = espy_lower_input(c, VALUES);
    const struct view y = espy_lower_output(c, 0);
    const struct shape *shape = &c->outputs[0].shape;
    const uint32_t axis = axis_of(c->attrs, shape->rank);
    struct one_hot_spec spec = ONE_HOT_SPEC_DEFAULT;
    spec.local_size_x = c->caps->local_size;
    spec.kind = kind_of(&indices);
    spec.index_words = espy_index_words(&indices);
    const struct one_hot_push push = {.count = (uint32_t)espy_view_count(&y),
                                      .inner = (uint32_t)indexing_product(shape, axis + 1,
                                                                          shape->rank),
                                      .depth = (int32_t)shape->dims[axis],
                                      .i_offset = (int32_t)indices.offset,
                                      .v_offset = (int32_t)values.offset,
                                      .v_stride = (int32_t)values.strides[0]};
    if (espy_lower_status(c) != ESPY_OK)
        return espy_lower_status(c);
    struct op_dispatch dispatch = {.shader = one_hot_shaders.variants[espy_word_variant(y.storage)],
                                   .bindings = {indices, values, y},
                                   .binding_count = 3,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.count, spec.local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
    return espy_lower_status(c);
}

static const struct op ops[] = {{.name = "OneHot",
                                 .summary = "indices as vectors with one element set",
                                 .inputs_min = 3,
                                 .inputs_max = 3,
                                 .outputs_min = 1,
                                 .outputs_max = 1,
                                 .attrs = rows,
                                 .attr_count = 1,
                                 .attrs_size = sizeof(struct one_hot_attrs),
                                 .infer = infer,
                                 .reference = reference,
                                 .lower = lower}};

const struct op_family espy_ops_one_hot = {ops, 1};
