// CausalConvWithState: a convolution of every channel by itself along a sequence that looks only
// back, and hands the end of the sequence on to the next call.
#include "op/lower.h"
#include "op/op.h"
#include "ops/plain_input.h"
#include "shaders/causal_conv.spv.h"
#include "shaders/include/unary_codes.glsl"

enum { TAPS_MAX = 60000 };

struct causal_conv_attrs {
    int activation;
};

enum activation { NO_ACTIVATION, SILU, SWISH };

static espy_status infer(struct op_infer *c)
{
    const struct shape *x = &c->inputs[0].shape, *w = &c->inputs[1].shape;
    if (!espy_dtype_is_float(c->inputs[0].dtype))
        return espy_infer_fail(c, "takes floats, not %s", espy_dtype_name(c->inputs[0].dtype));
    TRY(espy_infer_same_dtype(c, 0, c->input_count));
    if (x->rank != 3 || w->rank != 3)
        return espy_infer_fail(c, "an input of rank %u and weights of rank %u, needs 3 and 3",
                               x->rank, w->rank);
    if (w->dims[0] != x->dims[1] || w->dims[1] != 1 || w->dims[2] < 1)
        return espy_infer_fail(c, "the weights are not one row per channel");
    if (espy_infer_has(c, 2) &&
        (c->inputs[2].shape.rank != 1 || c->inputs[2].shape.dims[0] != x->dims[1]))
        return espy_infer_fail(c, "the bias is not one number per channel");
    const struct shape state = {3, {x->dims[0], x->dims[1], w->dims[2] - 1}};
    if (espy_infer_has(c, 3) && !espy_shape_equal(&c->inputs[3].shape, &state))
        return espy_infer_fail(c, "the state does not hold one element less than the weights "
                                  "have for every channel");
    espy_infer_copy(c, 0, 0);
    if (c->output_count > 1)
        c->outputs[1] = (struct op_type){c->inputs[0].dtype, state};
    return ESPY_OK;
}

static uint32_t function_of(const void *attrs)
{
    const struct causal_conv_attrs *given = attrs;
    return given->activation == NO_ACTIVATION ? UNARY_IDENTITY : UNARY_SWISH;
}

// ---- meaning ------------------------------------------------------------------------------------

// Fills row with the past and the input of one channel, which is [taps - 1 + length] elements.
static void fill_row(const struct op_eval *c, size_t channel, size_t before, size_t length,
                     double *row)
{
    for (size_t i = 0; i < before; i++)
        row[i] = espy_eval_has(c, 3) ? espy_tensor_number(&c->inputs[3], channel * before + i) : 0;
    for (size_t i = 0; i < length; i++)
        row[before + i] = espy_tensor_number(&c->inputs[0], channel * length + i);
}

static void reference(struct op_eval *c)
{
    const struct shape *x = &c->inputs[0].type.shape;
    const size_t channels = (size_t)x->dims[1], length = (size_t)x->dims[2];
    const size_t taps = (size_t)c->inputs[1].type.shape.dims[2];
    const struct op_step step = {function_of(c->attrs), 1, 0};
    const bool has_state = c->output_count > 1 && c->outputs[1].data != NULL;
    double *row = espy_eval_scratch(c, taps - 1 + length, sizeof(*row));
    if (row == NULL)
        return;
    for (size_t k = 0; k < (size_t)x->dims[0] * channels; k++) {
        fill_row(c, k, taps - 1, length, row);
        for (size_t i = 0; c->outputs[0].data != NULL && i < length; i++) {
            double sum = espy_eval_has(c, 2) ? espy_tensor_number(&c->inputs[2], k % channels) : 0;
            for (size_t t = 0; t < taps; t++)
                sum += row[i + t] * espy_tensor_number(&c->inputs[1], k % channels * taps + t);
            espy_tensor_set_number(&c->outputs[0], k * length + i, espy_step_apply(&step, sum));
        }
        for (size_t i = 0; has_state && i < taps - 1; i++)
            espy_tensor_set_number(&c->outputs[1], k * (taps - 1) + i, row[length + i]);
    }
}

// ---- dispatches ---------------------------------------------------------------------------------

static espy_status lower(struct op_lower *c)
{
    const int64_t taps = c->inputs[1].shape.dims[2];
    if (taps > TAPS_MAX)
        return espy_lower_on_host(c, "the weights are too long for one invocation");
    const struct view x = espy_lower_input(c, 0), weights = plain_input(c, 1);
    const struct view bias = plain_input(c, 2), past = plain_input(c, 3);
    struct causal_conv_spec spec = CAUSAL_CONV_SPEC_DEFAULT;
    spec.local_size_x = c->caps->local_size;
    spec.has_past = espy_lower_has(c, 3);
    spec.has_bias = espy_lower_has(c, 2);
    spec.activation = function_of(c->attrs);
    struct causal_conv_push push = {.channels = (uint32_t)c->inputs[0].shape.dims[1],
                                    .steps = (uint32_t)c->inputs[0].shape.dims[2],
                                    .taps = (uint32_t)taps,
                                    .x_offset = (int32_t)x.offset,
                                    .x_image = (int32_t)x.strides[0],
                                    .x_channel = (int32_t)x.strides[1],
                                    .x_step = (int32_t)x.strides[2]};
    for (uint32_t o = 0; o < 2; o++) {
        if (!espy_lower_wants(c, o))
            continue;
        const struct view y = espy_lower_output(c, o);
        spec.state = o;
        push.count = (uint32_t)espy_view_count(&y);
        struct op_dispatch made = {.shader = causal_conv_shaders.variants[espy_variant(x.storage)],
                                   .bindings = {x, weights, bias, past, y},
                                   .binding_count = 5,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
        espy_lower_grid(c, push.count, spec.local_size_x, made.groups);
        espy_lower_dispatch(c, &made);
    }
    return espy_lower_status(c);
}

static const char *const activation_choices[] = {
    [NO_ACTIVATION] = "none", [SILU] = "silu", [SWISH] = "swish", NULL};

static const struct op_attr attr_rows[] = {
    {.name = "activation",
     .type = OP_ENUM,
     .offset = offsetof(struct causal_conv_attrs, activation),
     .fallback = NO_ACTIVATION,
     .choices = activation_choices,
     .help = "function applied to the result; silu and swish are the same"}};

static const struct op ops[] = {
    {.name = "CausalConvWithState",
     .summary = "convolution of each channel along a sequence that looks only back, with a state",
     .inputs_min = 2,
     .inputs_max = 4,
     .outputs_min = 1,
     .outputs_max = 2,
     .attrs = attr_rows,
     .attr_count = sizeof(attr_rows) / sizeof(attr_rows[0]),
     .attrs_size = sizeof(struct causal_conv_attrs),
     .infer = infer,
     .reference = reference,
     .lower = lower}};

const struct op_family espy_ops_causal_conv_with_state = {ops, 1};
