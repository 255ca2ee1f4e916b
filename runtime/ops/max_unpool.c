// MaxUnpool: puts elements back where MaxPool's indices say, zeros elsewhere.
#include <assert.h>
#include <string.h>

#include "op/lower.h"
#include "op/op.h"
#include "shaders/max_unpool.spv.h"

struct max_unpool_attrs {
    struct op_ints kernel_shape, pads, strides;
};

enum { SPATIAL_MAX = 3 }; // dimensions that the kernel decodes

static espy_status check_lists(const struct op_infer *c, uint32_t spatial)
{
    const struct max_unpool_attrs *attrs = c->attrs;
    if (attrs->kernel_shape.count != spatial)
        return espy_infer_fail(c, "kernel_shape needs %u numbers", spatial);
    if (attrs->strides.values != NULL && attrs->strides.count != spatial)
        return espy_infer_fail(c, "strides needs %u numbers", spatial);
    if (attrs->pads.values != NULL && attrs->pads.count != 2 * spatial)
        return espy_infer_fail(c, "pads needs %u numbers", 2 * spatial);
    return ESPY_OK;
}

// The shape that was pooled, in which indices count.
static struct shape pooled_shape(const struct max_unpool_attrs *attrs, const struct shape *x)
{
    struct shape shape = *x;
    const uint32_t spatial = x->rank - 2;
    for (uint32_t d = 0; d < spatial; d++) {
        const int64_t stride = attrs->strides.values != NULL ? attrs->strides.values[d] : 1;
        const int64_t pads = attrs->pads.values != NULL
                                 ? attrs->pads.values[d] + attrs->pads.values[spatial + d]
                                 : 0;
        shape.dims[2 + d] = (x->dims[2 + d] - 1) * stride - pads + attrs->kernel_shape.values[d];
    }
    return shape;
}

static espy_status infer(struct op_infer *c)
{
    const struct op_type *x = &c->inputs[0];
    if (!espy_dtype_is_float(x->dtype))
        return espy_infer_fail(c, "takes floats, not %s", espy_dtype_name(x->dtype));
    if (x->shape.rank < 3 || !espy_shape_equal(&x->shape, &c->inputs[1].shape))
        return espy_infer_fail(c, "needs two inputs of one shape with at least 3 dimensions");
    if (c->inputs[1].dtype != ESPY_INT64 && c->inputs[1].dtype != ESPY_INT32)
        return espy_infer_fail(c, "indices must be int64, not %s",
                               espy_dtype_name(c->inputs[1].dtype));
    TRY(check_lists(c, x->shape.rank - 2));
    const struct shape pooled = pooled_shape(c->attrs, &x->shape);
    struct op_type y = {x->dtype, pooled};
    if (espy_infer_has(c, 2)) {
        if (c->inputs[2].dtype != ESPY_INT64 || c->inputs[2].shape.rank != 1 ||
            c->inputs[2].shape.dims[0] != x->shape.rank)
            return espy_infer_fail(c, "output_shape must be %u numbers of int64", x->shape.rank);
        const struct tensor *shape = espy_infer_value(c, 2);
        if (shape == NULL)
            return espy_infer_wait(c);
        for (uint32_t d = 0; d < x->shape.rank; d++)
            y.shape.dims[d] = espy_tensor_integer(shape, d);
    }
    for (uint32_t d = 0; d < x->shape.rank; d++)
        if (pooled.dims[d] < 0 || y.shape.dims[d] < pooled.dims[d] ||
            (d < 2 && y.shape.dims[d] != pooled.dims[d]))
            return espy_infer_fail(c,
                                   "dimension %u of the output would be %lld, where indices "
                                   "count in %lld",
                                   d, (long long)y.shape.dims[d], (long long)pooled.dims[d]);
    c->outputs[0] = y;
    return ESPY_OK;
}

static void reference(struct op_eval *c)
{
    const struct tensor *x = &c->inputs[0];
    struct tensor *y = &c->outputs[0];
    const struct shape pooled = pooled_shape(c->attrs, &x->type.shape);
    size_t count = 1;
    for (uint32_t d = 0; d < pooled.rank; d++)
        count *= (size_t)pooled.dims[d];
    memset(y->data, 0, espy_tensor_size(y));
    for (size_t i = 0; i < x->count; i++) {
        const int64_t index = espy_tensor_integer(&c->inputs[1], i);
        if (index < 0 || (size_t)index >= count) {
            espy_eval_fail(c, ESPY_INVALID_ARGUMENT, "index %lld is outside 0..%zu",
                           (long long)index, count - 1);
            return;
        }
        size_t at = 0, stride = 1, rest = (size_t)index;
        for (uint32_t d = pooled.rank; d-- > 0;) {
            at += rest % (size_t)pooled.dims[d] * stride;
            rest /= (size_t)pooled.dims[d];
            stride *= (size_t)y->type.shape.dims[d];
        }
        espy_tensor_set_number(y, at, espy_tensor_number(x, i));
    }
}

static void fill_zeros(struct op_lower *c, const struct view *y)
{
    static const uint64_t zero = 0;
    const struct shape one = {0, {0}}, all = c->outputs[0].shape;
    const struct view constant = espy_lower_constant(c, y->dtype, &one, &zero);
    const struct view zeros = espy_view_broadcast(&constant, &all);
    espy_lower_copy(c, &zeros, y);
}

static espy_status lower(struct op_lower *c)
{
    const uint32_t spatial = c->inputs[0].shape.rank - 2;
    if (spatial > SPATIAL_MAX)
        return espy_lower_on_host(c, "more than three dimensions");
    const struct view x = espy_lower_dense_input(c, 0), indices = espy_lower_dense_input(c, 1);
    const struct view y = espy_lower_output(c, 0);
    TRY(espy_lower_status(c));
    const struct shape pooled = pooled_shape(c->attrs, &c->inputs[0].shape);
    fill_zeros(c, &y);
    struct max_unpool_spec spec = MAX_UNPOOL_SPEC_DEFAULT;
    struct max_unpool_push push = {.count = (uint32_t)espy_view_count(&x),
                                   .index_count = (uint32_t)(pooled.dims[0] * pooled.dims[1]),
                                   .x_offset = (int32_t)x.offset,
                                   .index_offset = (int32_t)indices.offset,
                                   .dims = {1, 1, 1},
                                   .y_dims = {1, 1, 1}};
    for (uint32_t d = 0; d < spatial; d++) {
        push.index_count *= (uint32_t)pooled.dims[2 + d];
        push.dims[3 - spatial + d] = (uint32_t)pooled.dims[2 + d];
        push.y_dims[3 - spatial + d] = (uint32_t)y.dims[2 + d];
    }
    spec.local_size_x = c->caps->local_size;
    spec.index_words = espy_index_words(&indices);
    struct op_dispatch made = {.shader = max_unpool_shaders.variants[espy_word_variant(x.storage)],
                               .bindings = {x, indices, y},
                               .binding_count = 3,
                               .push = &push,
                               .push_size = sizeof(push),
                               .spec = &spec,
                               .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.count, spec.local_size_x, made.groups);
    espy_lower_dispatch(c, &made);
    return espy_lower_status(c);
}

#define INTS(attr_name, text, ...)                                                        \
    {                                                                                     \
        .name = #attr_name, .type = OP_INTS,                                              \
        .offset = offsetof(struct max_unpool_attrs, attr_name), .help = text, __VA_ARGS__ \
    }

static const struct op_attr attr_rows[] = {
    INTS(kernel_shape, "size of the window", .required = true, .min = 1, .max = INT32_MAX),
    INTS(pads, "padding at the begin of each dimension, then at the end; absent: 0", .min = 0,
         .max = INT32_MAX),
    INTS(strides, "step of the window; absent: 1", .min = 1, .max = INT32_MAX),
};

static const struct op ops[] = {{.name = "MaxUnpool",
                                 .summary = "elements put back where MaxPool's indices say",
                                 .inputs_min = 2,
                                 .inputs_max = 3,
                                 .outputs_min = 1,
                                 .outputs_max = 1,
                                 .attrs = attr_rows,
                                 .attr_count = sizeof(attr_rows) / sizeof(attr_rows[0]),
                                 .attrs_size = sizeof(struct max_unpool_attrs),
                                 .infer = infer,
                                 .reference = reference,
                                 .lower = lower}};

const struct op_family espy_ops_max_unpool = {ops, 1};
