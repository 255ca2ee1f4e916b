// LRN: local response normalization across channels.
#include <math.h>
#include <string.h>

#include "op/axes.h"
#include "op/lower.h"
#include "op/op.h"
#include "shaders/lrn.spv.h"

struct lrn_attrs {
    float alpha, beta, bias;
    int64_t size;
};

enum { CHANNELS_BIT = 2, WINDOW_MAX = 32768 };

static espy_status infer(struct op_infer *c)
{
    if (!espy_dtype_is_float(c->inputs[0].dtype))
        return espy_infer_fail(c, "takes floats, not %s", espy_dtype_name(c->inputs[0].dtype));
    if (c->inputs[0].shape.rank < 2)
        return espy_infer_fail(c, "takes a tensor of at least two dimensions");
    espy_infer_copy(c, 0, 0);
    return ESPY_OK;
}

static void reference(struct op_eval *c)
{
    const struct lrn_attrs *attrs = c->attrs;
    const struct tensor *x = &c->inputs[0];
    const struct shape *shape = &x->type.shape;
    const int64_t channels = shape->dims[1];
    const int64_t before = (attrs->size - 1) / 2, after = attrs->size / 2;
    size_t inner = 1;
    for (uint32_t d = 2; d < shape->rank; d++)
        inner *= (size_t)shape->dims[d];
    for (size_t i = 0; i < x->count; i++) {
        const int64_t channel = (int64_t)(i / inner % (size_t)channels);
        const int64_t first = channel > before ? channel - before : 0;
        const int64_t last = channel + after < channels ? channel + after : channels - 1;
        double sum = 0;
        for (int64_t k = first; k <= last; k++) {
            const size_t at = i - (size_t)(channel - first) * inner + (size_t)(k - first) * inner;
            sum += pow(espy_tensor_number(x, at), 2);
        }
        const double base = (double)attrs->bias + (double)attrs->alpha / (double)attrs->size * sum;
        espy_tensor_set_number(&c->outputs[0], i,
                               espy_tensor_number(x, i) / pow(base, (double)attrs->beta));
    }
}

static espy_status lower(struct op_lower *c)
{
    const struct lrn_attrs *attrs = c->attrs;
    const int64_t channels = c->inputs[0].shape.dims[1];
    if (attrs->size > WINDOW_MAX && channels > WINDOW_MAX)
        return espy_lower_on_host(c, "the window is too long for one invocation");
    const struct view x = espy_axes_input(c, 0, CHANNELS_BIT, 1);
    const struct view y = espy_lower_output_like(c, 0, &x);
    TRY(espy_lower_status(c));
    struct view rows[2] = {espy_axes_select(&x, ~(uint32_t)CHANNELS_BIT),
                           espy_axes_select(&y, ~(uint32_t)CHANNELS_BIT)};
    struct lrn_spec spec = LRN_SPEC_DEFAULT;
    const int64_t before = (attrs->size - 1) / 2, after = attrs->size / 2;
    struct lrn_push push = {.rows = (uint32_t)espy_view_count(&rows[0]),
                            .channels = (uint32_t)channels,
                            .before = (int32_t)(before < channels ? before : channels),
                            .after = (int32_t)(after < channels ? after : channels),
                            .scale = attrs->alpha / (float)attrs->size,
                            .beta = attrs->beta,
                            .bias = attrs->bias,
                            .x_offset = (int32_t)x.offset,
                            .x_step = (int32_t)x.strides[1],
                            .y_step = (int32_t)y.strides[1]};
    int32_t strides[2][AXES_RANK_MAX];
    spec.local_size_x = c->caps->local_size;
    spec.channels_innermost = x.strides[1] == 1;
    spec.rank = espy_axes_fill(rows, 2, true, push.dims, strides[0]);
    memcpy(push.x_strides, strides[0], sizeof(push.x_strides));
    memcpy(push.y_strides, strides[1], sizeof(push.y_strides));
    struct op_dispatch made = {.shader = lrn_shaders.variants[espy_variant(x.storage)],
                               .bindings = {x, y},
                               .binding_count = 2,
                               .push = &push,
                               .push_size = sizeof(push),
                               .spec = &spec,
                               .spec_size = sizeof(spec)};
    espy_lower_grid(c, (size_t)push.rows * push.channels, spec.local_size_x, made.groups);
    espy_lower_dispatch(c, &made);
    return espy_lower_status(c);
}

#define ROW(attr_name, attr_type, member, text, ...)                                        \
    {                                                                                       \
        .name = attr_name, .type = attr_type, .offset = offsetof(struct lrn_attrs, member), \
        .help = text, __VA_ARGS__                                                           \
    }

static const struct op_attr attr_rows[] = {
    ROW("alpha", OP_FLOAT, alpha, "factor of the mean square", .fallback = 1e-4),
    ROW("beta", OP_FLOAT, beta, "exponent", .fallback = 0.75),
    ROW("bias", OP_FLOAT, bias, "added to the mean square", .fallback = 1),
    ROW("size", OP_INT, size, "channels in the window", .required = true, .min = 1,
        .max = INT32_MAX),
};

static const struct op ops[] = {{.name = "LRN",
                                 .summary = "divided by the energy of the channels around",
                                 .inputs_min = 1,
                                 .inputs_max = 1,
                                 .outputs_min = 1,
                                 .outputs_max = 1,
                                 .attrs = attr_rows,
                                 .attr_count = sizeof(attr_rows) / sizeof(attr_rows[0]),
                                 .attrs_size = sizeof(struct lrn_attrs),
                                 .infer = infer,
                                 .reference = reference,
                                 .lower = lower}};

const struct op_family espy_ops_lrn = {ops, 1};
