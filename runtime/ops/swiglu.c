// SwiGLU: one tensor, multiplied by another one's swish.
#include <math.h>

#include "op/lower.h"
#include "op/op.h"
#include "shaders/swiglu.spv.h"

enum { KERNEL_RANK = 6 };

struct swiglu_attrs {
    float alpha;
};

static espy_status infer(struct op_infer *c)
{
    const espy_dtype dtype = c->inputs[0].dtype;
    if (!espy_dtype_is_float(dtype))
        return espy_infer_fail(c, "takes floats, not %s", espy_dtype_name(dtype));
    TRY(espy_infer_same_dtype(c, 0, 2));
    c->outputs[0].dtype = dtype;
    return espy_infer_broadcast(c, &c->inputs[0].shape, &c->inputs[1].shape, &c->outputs[0].shape);
}

static void reference(struct op_eval *c)
{
    const struct swiglu_attrs *attrs = c->attrs;
    const struct shape *shape = &c->outputs[0].type.shape;
    const struct view start = {.buffer = 0};
    struct view views[2];
    for (uint32_t i = 0; i < 2; i++) {
        const struct view dense = espy_view_reshaped_dense(&start, &c->inputs[i].type.shape);
        views[i] = espy_view_broadcast(&dense, shape);
    }
    int64_t index[ESPY_RANK_MAX] = {0}, at[2] = {0, 0};
    for (size_t k = 0; k < c->outputs[0].count; k++) {
        const double a = espy_tensor_number(&c->inputs[0], (size_t)at[0]);
        const double b = espy_tensor_number(&c->inputs[1], (size_t)at[1]);
        espy_tensor_set_number(&c->outputs[0], k, a / (1 + exp(-(double)attrs->alpha * a)) * b);
        for (uint32_t d = shape->rank; d-- > 0;) {
            at[0] += views[0].strides[d];
            at[1] += views[1].strides[d];
            if (++index[d] < shape->dims[d])
                break;
            at[0] -= shape->dims[d] * views[0].strides[d];
            at[1] -= shape->dims[d] * views[1].strides[d];
            index[d] = 0;
        }
    }
}

// A dense copy with every element in its place.
static struct view expanded(struct op_lower *c, const struct view *view, const struct shape *shape)
{
    const struct view copy = espy_lower_temporary(c, view->dtype, shape);
    espy_lower_copy(c, view, &copy);
    return copy;
}

static void dispatch(struct op_lower *c, const struct view *views)
{
    const struct swiglu_attrs *attrs = c->attrs;
    struct view merged[3] = {views[0], views[1], views[2]};
    struct swiglu_spec spec = SWIGLU_SPEC_DEFAULT;
    spec.local_size_x = c->caps->local_size;
    spec.rank = espy_view_collapse(merged, 3);
    struct swiglu_push push = {.count = (uint32_t)espy_view_count(&merged[2]),
                               .alpha = attrs->alpha,
                               .a_offset = (int32_t)merged[0].offset,
                               .b_offset = (int32_t)merged[1].offset};
    for (uint32_t d = 0; d < merged[0].rank; d++) {
        push.dims[d] = (uint32_t)merged[0].dims[d];
        push.a_strides[d] = (int32_t)merged[0].strides[d];
        push.b_strides[d] = (int32_t)merged[1].strides[d];
        push.y_strides[d] = (int32_t)merged[2].strides[d];
    }
    struct op_dispatch made = {.shader = swiglu_shaders.variants[espy_variant(views[0].storage)],
                               .bindings = {views[0], views[1], views[2]},
                               .binding_count = 3,
                               .push = &push,
                               .push_size = sizeof(push),
                               .spec = &spec,
                               .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.count, spec.local_size_x, made.groups);
    espy_lower_dispatch(c, &made);
}

static espy_status lower(struct op_lower *c)
{
    const struct shape *shape = &c->outputs[0].shape;
    const struct view a = espy_lower_input(c, 0), b = espy_lower_input(c, 1);
    TRY(espy_lower_status(c));
    struct view views[3] = {espy_view_broadcast(&a, shape), espy_view_broadcast(&b, shape)};
    if (shape->rank > KERNEL_RANK) {
        views[0] = expanded(c, &views[0], shape);
        views[1] = expanded(c, &views[1], shape);
    }
    const bool like_b = !espy_shape_equal(&c->inputs[0].shape, shape) &&
                        espy_shape_equal(&c->inputs[1].shape, shape);
    views[2] = espy_lower_output_like(c, 0, like_b ? &views[1] : &views[0]);
    TRY(espy_lower_status(c));
    dispatch(c, views);
    return espy_lower_status(c);
}

static const struct op_attr attr_rows[] = {{.name = "alpha",
                                            .type = OP_FLOAT,
                                            .offset = offsetof(struct swiglu_attrs, alpha),
                                            .fallback = 1,
                                            .help = "slope of the sigmoid"}};

static const struct op ops[] = {{.name = "SwiGLU",
                                 .summary = "a sigmoid(alpha a) b",
                                 .inputs_min = 2,
                                 .inputs_max = 2,
                                 .outputs_min = 1,
                                 .outputs_max = 1,
                                 .attrs = attr_rows,
                                 .attr_count = sizeof(attr_rows) / sizeof(attr_rows[0]),
                                 .attrs_size = sizeof(struct swiglu_attrs),
                                 .infer = infer,
                                 .reference = reference,
                                 .lower = lower}};

const struct op_family espy_ops_swiglu = {ops, 1};
