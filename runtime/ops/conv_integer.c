// ConvInteger and QLinearConv: convolutions of images of 8-bit integers.
#include <assert.h>
#include <string.h>

#include "op/lower.h"
#include "op/op.h"
#include "ops/plain_input.h"
#include "ops/quantize.h"
#include "ops/window.h"
#include "shaders/conv_integer.spv.h"
#include "shaders/include/quantize_codes.glsl"

struct conv_attrs {
    struct window_attrs window;
    int64_t group;
};

// Where an operator has its inputs; GRAPH_NONE: nowhere.
struct places {
    uint32_t x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias;
};

enum { INPUTS_MAX = 9 };

static struct places places_of(const struct op_node *node)
{
    const uint32_t none = GRAPH_NONE;
    if (strcmp(node->op->name, "QLinearConv") == 0)
        return (struct places){0, 1, 2, 3, 4, 5, 6, 7, 8};
    return (struct places){0, none, 2, 1, none, 3, none, none, none};
}

// What infer has checked, in numbers.
struct conv {
    struct window window;
    struct places at;
    int64_t images, groups;
    int64_t group_in, group_out; // channels of one group
    uint32_t w_zero, w_scale;    // PER_...
};

// ---- shapes and types ---------------------------------------------------------------------------

static espy_status check_types(const struct op_infer *c, const struct places *at)
{
    for (uint32_t k = 0; k < 2; k++) {
        const uint32_t i = k == 0 ? at->x : at->w, zero = k == 0 ? at->x_zero : at->w_zero;
        const espy_dtype dtype = c->inputs[i].dtype;
        if (!quantize_is_8_bit(dtype))
            return espy_infer_unsupported(c, "takes integers of 8 bits, not %s",
                                          espy_dtype_name(dtype));
        if (espy_infer_has(c, zero) && c->inputs[zero].dtype != dtype)
            return espy_infer_fail(c, "a zero point of type %s for integers of type %s",
                                   espy_dtype_name(c->inputs[zero].dtype), espy_dtype_name(dtype));
    }
    if (espy_infer_has(c, at->x_zero) && !quantize_is_single(&c->inputs[at->x_zero].shape))
        return espy_infer_fail(c, "the input's zero point is not one number");
    if (at->y_scale == GRAPH_NONE)
        return ESPY_OK;
    const espy_dtype scale = c->inputs[at->x_scale].dtype;
    if (!quantize_is_scale(scale) || c->inputs[at->w_scale].dtype != scale ||
        c->inputs[at->y_scale].dtype != scale)
        return espy_infer_fail(c, "scales of type %s, %s and %s", espy_dtype_name(scale),
                               espy_dtype_name(c->inputs[at->w_scale].dtype),
                               espy_dtype_name(c->inputs[at->y_scale].dtype));
    if (!quantize_is_8_bit(c->inputs[at->y_zero].dtype))
        return espy_infer_unsupported(c, "makes integers of 8 bits, not %s",
                                      espy_dtype_name(c->inputs[at->y_zero].dtype));
    if (!quantize_is_single(&c->inputs[at->x_scale].shape) ||
        !quantize_is_single(&c->inputs[at->y_scale].shape) ||
        !quantize_is_single(&c->inputs[at->y_zero].shape))
        return espy_infer_fail(c, "the scales or zero points of images are not one number each");
    if (espy_infer_has(c, at->bias) && c->inputs[at->bias].dtype != ESPY_INT32)
        return espy_infer_fail(c, "a bias of type %s, needs int32",
                               espy_dtype_name(c->inputs[at->bias].dtype));
    return ESPY_OK;
}

// How many parameters of the weight input i has.
static espy_status weight_kind(const struct op_infer *c, uint32_t i, int64_t channels,
                               uint32_t *kind)
{
    *kind = PER_NOTHING;
    if (!espy_infer_has(c, i))
        return ESPY_OK;
    const struct shape *shape = &c->inputs[i].shape;
    if (!quantize_is_single(shape) && (shape->rank != 1 || shape->dims[0] != channels))
        return espy_infer_fail(c, "input %u is neither one number nor one per output channel", i);
    *kind = quantize_is_single(shape) ? PER_TENSOR : PER_INDEX;
    return ESPY_OK;
}

static espy_status conv_init(const struct op_infer *c, struct conv *conv)
{
    const struct conv_attrs *attrs = c->attrs;
    const struct places at = places_of(c->node);
    TRY(check_types(c, &at));
    const struct shape *x = &c->inputs[at.x].shape, *w = &c->inputs[at.w].shape;
    if (w->rank != x->rank)
        return espy_infer_fail(c, "the weight has rank %u, the input %u", w->rank, x->rank);
    TRY(window_init(c, &attrs->window, x, w, &conv->window));
    conv->at = at;
    conv->images = x->dims[0];
    conv->groups = attrs->group;
    conv->group_in = w->dims[1];
    if (w->dims[1] > GRAPH_DIM_MAX / attrs->group || x->dims[1] != w->dims[1] * attrs->group)
        return espy_infer_fail(c, "%lld input channels, but the weight has %lld for %lld groups",
                               (long long)x->dims[1], (long long)w->dims[1],
                               (long long)attrs->group);
    if (w->dims[0] % attrs->group != 0)
        return espy_infer_fail(c, "%lld output channels do not divide into %lld groups",
                               (long long)w->dims[0], (long long)attrs->group);
    conv->group_out = w->dims[0] / attrs->group;
    TRY(weight_kind(c, at.w_zero, w->dims[0], &conv->w_zero));
    TRY(weight_kind(c, at.w_scale, w->dims[0], &conv->w_scale));
    if (espy_infer_has(c, at.bias) &&
        (c->inputs[at.bias].shape.rank != 1 || c->inputs[at.bias].shape.dims[0] != w->dims[0]))
        return espy_infer_fail(c, "the bias is not one number per output channel");
    return window_outputs(c, attrs->window.auto_pad, false, &conv->window);
}

static espy_status infer(struct op_infer *c)
{
    struct conv conv;
    TRY(conv_init(c, &conv));
    struct op_type *y = &c->outputs[0];
    y->dtype = conv.at.y_zero == GRAPH_NONE ? ESPY_INT32 : c->inputs[conv.at.y_zero].dtype;
    y->shape = (struct shape){.rank = conv.window.rank + 2,
                              .dims = {conv.images, conv.groups * conv.group_out}};
    memcpy(y->shape.dims + 2, conv.window.out, conv.window.rank * sizeof(int64_t));
    return ESPY_OK;
}

// The numbers again, for a node that infer has accepted.
static struct conv conv_of(const struct host *host, const struct op_node *node,
                           const struct op_type *inputs, uint32_t input_count)
{
    const struct op_infer infer_again = espy_infer_again(host, node, inputs, input_count);
    struct conv conv;
    const espy_status status = conv_init(&infer_again, &conv);
    assert(status == ESPY_OK);
    (void)status;
    return conv;
}

// ---- meaning ------------------------------------------------------------------------------------

struct conv_data {
    const float *x, *w;             // 8-bit integers are exact as floats
    size_t in_size, taps, out_size; // spatial elements of an input channel, a filter, an output
};

static int64_t requantized(const struct op_eval *c, const struct conv *conv, int32_t sum,
                           size_t channel)
{
    const struct places *at = &conv->at;
    const size_t from = conv->w_scale == PER_INDEX ? channel : 0;
    const float x_scale = (float)espy_tensor_number(&c->inputs[at->x_scale], 0);
    const float w_scale = (float)espy_tensor_number(&c->inputs[at->w_scale], from);
    const float y_scale = (float)espy_tensor_number(&c->inputs[at->y_scale], 0);
    const float scale = x_scale * w_scale;
    const float value = (float)sum * (scale / y_scale);
    return quantize_round(value, espy_tensor_integer(&c->inputs[at->y_zero], 0),
                          quantize_range_of(c->outputs[0].type.dtype));
}

// All channels of one output pixel.
static void convolve_pixel(struct op_eval *c, const struct conv *conv, const struct conv_data *data,
                           const struct window_tap *inside, size_t inside_count, size_t image,
                           size_t pixel)
{
    const struct places *at = &conv->at;
    const size_t in = (size_t)conv->group_in, out = (size_t)conv->group_out;
    const size_t groups = (size_t)conv->groups;
    const int64_t x_zero =
        espy_eval_has(c, at->x_zero) ? espy_tensor_integer(&c->inputs[at->x_zero], 0) : 0;
    for (size_t k = 0; k < groups * out; k++) {
        int64_t w_zero = 0;
        if (conv->w_zero != PER_NOTHING)
            w_zero = espy_tensor_integer(&c->inputs[at->w_zero], conv->w_zero == PER_INDEX ? k : 0);
        int64_t sum = espy_eval_has(c, at->bias) ? espy_tensor_integer(&c->inputs[at->bias], k) : 0;
        const float *x = data->x + (image * groups + k / out) * in * data->in_size;
        const float *w = data->w + k * in * data->taps;
        for (size_t channel = 0; channel < in; channel++, x += data->in_size, w += data->taps)
            for (size_t i = 0; i < inside_count; i++)
                sum +=
                    ((int64_t)x[inside[i].offset] - x_zero) * ((int64_t)w[inside[i].tap] - w_zero);
        const int32_t wrapped = (int32_t)(uint32_t)(uint64_t)sum;
        espy_tensor_set_integer(&c->outputs[0], (image * groups * out + k) * data->out_size + pixel,
                                conv->w_scale == PER_NOTHING ? wrapped
                                                             : requantized(c, conv, wrapped, k));
    }
}

static void reference(struct op_eval *c)
{
    struct op_type types[INPUTS_MAX] = {{ESPY_DTYPE_NONE, {0}}};
    for (uint32_t i = 0; i < c->input_count; i++)
        types[i] = c->inputs[i].type;
    const struct conv conv = conv_of(c->host, c->node, types, c->input_count);
    const struct window *window = &conv.window;
    const size_t taps = (size_t)window_taps(window);
    const struct conv_data data = {.x = espy_eval_floats(c, conv.at.x),
                                   .w = espy_eval_floats(c, conv.at.w),
                                   .in_size = (size_t)window_product(window->in, window->rank),
                                   .taps = taps,
                                   .out_size = (size_t)window_product(window->out, window->rank)};
    struct window_tap *inside = espy_eval_scratch(c, taps, sizeof(*inside));
    if (data.x == NULL || data.w == NULL || inside == NULL || c->outputs[0].count == 0)
        return;
    int64_t at[WINDOW_RANK_MAX] = {0};
    size_t pixel = 0;
    do {
        const size_t count = window_cover(window, at, inside);
        for (size_t image = 0; image < (size_t)conv.images; image++)
            convolve_pixel(c, &conv, &data, inside, count, image, pixel);
        pixel++;
    } while (window_next(window->out, window->rank, at));
}

// ---- dispatches ---------------------------------------------------------------------------------

static void fill_window(const struct window *window, const struct view *x,
                        struct conv_integer_spec *spec, struct conv_integer_push *push)
{
    spec->in_d = (uint32_t)window->in[0];
    spec->out_d = (uint32_t)window->out[0];
    spec->kernel_d = (uint32_t)window->kernel[0];
    spec->stride_d = (uint32_t)window->stride[0];
    spec->dilation_d = (uint32_t)window->dilation[0];
    spec->pad_d = (uint32_t)window->pad[0];
    push->x_offset = (int32_t)x->offset;
    window_strides(x, push->x_strides);
    push->in_h = (uint32_t)window->in[1];
    push->in_w = (uint32_t)window->in[2];
    push->out_h = (uint32_t)window->out[1];
    push->out_w = (uint32_t)window->out[2];
    push->kernel_h = (uint32_t)window->kernel[1];
    push->kernel_w = (uint32_t)window->kernel[2];
    push->stride_h = (uint32_t)window->stride[1];
    push->stride_w = (uint32_t)window->stride[2];
    push->dilation_h = (uint32_t)window->dilation[1];
    push->dilation_w = (uint32_t)window->dilation[2];
    push->pad_h = (uint32_t)window->pad[1];
    push->pad_w = (uint32_t)window->pad[2];
}

static void dispatch(struct op_lower *c, const struct conv *conv, const struct window *window)
{
    const struct places *at = &conv->at;
    const struct quantize_range range = quantize_range_of(c->outputs[0].dtype);
    const struct view x = espy_lower_input(c, at->x), x_scale = plain_input(c, at->x_scale);
    struct conv_integer_spec spec = CONV_INTEGER_SPEC_DEFAULT;
    struct conv_integer_push push = {.in_channels = (uint32_t)conv->group_in,
                                     .out_channels = (uint32_t)conv->group_out};
    fill_window(window, &x, &spec, &push);
    spec.local_size_x = window_local_size(c);
    spec.channels = conv->group_out < 4 ? (uint32_t)conv->group_out : 4;
    if (spec.channels == 0)
        spec.channels = 1; // there is nothing to compute
    spec.has_bias = espy_lower_has(c, at->bias);
    spec.has_x_zero = espy_lower_has(c, at->x_zero);
    spec.w_zero = conv->w_zero;
    spec.w_scale = conv->w_scale;
    spec.scale_kind = quantize_param_kind(&x_scale);
    spec.low = range.low;
    spec.high = range.high;
    push.group_blocks = (push.out_channels + spec.channels - 1) / spec.channels;
    push.blocks = (uint32_t)conv->groups * push.group_blocks;
    push.count = push.blocks * (uint32_t)(conv->images * window_product(window->out, window->rank));
    struct op_dispatch made = {.shader = conv_integer_shaders.variants[VARIANT_NONE],
                               .bindings = {x, plain_input(c, at->w), plain_input(c, at->bias),
                                            plain_input(c, at->x_zero), plain_input(c, at->w_zero),
                                            x_scale, plain_input(c, at->w_scale),
                                            plain_input(c, at->y_scale), plain_input(c, at->y_zero),
                                            espy_lower_channels_last_output(c, 0)},
                               .binding_count = 10,
                               .push = &push,
                               .push_size = sizeof(push),
                               .spec = &spec,
                               .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.count, spec.local_size_x, made.groups);
    espy_lower_dispatch(c, &made);
}

static espy_status lower(struct op_lower *c)
{
    const struct conv conv = conv_of(c->host, c->node, c->inputs, c->input_count);
    if (conv.window.rank > WINDOW_KERNEL_RANK_MAX)
        return espy_lower_on_host(c, "more than three spatial dimensions");
    const struct window window = window_three_dimensional(&conv.window);
    const int64_t taps = window_taps(&window);
    if (taps > WINDOW_TRIPS_MAX / 4 || taps * (3 + 5 * conv.group_in) > WINDOW_TRIPS_MAX)
        return espy_lower_on_host(c, "the window is too large for one invocation");
    dispatch(c, &conv, &window);
    return espy_lower_status(c);
}

// ---- the table ----------------------------------------------------------------------------------

static const struct op_attr conv_rows[] = {
    WINDOW_ATTRS(struct conv_attrs),
    {.name = "group",
     .type = OP_INT,
     .offset = offsetof(struct conv_attrs, group),
     .fallback = 1,
     .min = 1,
     .max = INT32_MAX,
     .help = "groups into which the channels of input and output are divided"}};

#define CONV(op_name, text, min, max)                                                             \
    {                                                                                             \
        .name = op_name, .summary = text, .inputs_min = min, .inputs_max = max, .outputs_min = 1, \
        .outputs_max = 1, .bindings = 10, .attrs = conv_rows,                                     \
        .attr_count = sizeof(conv_rows) / sizeof(conv_rows[0]),                                   \
        .attrs_size = sizeof(struct conv_attrs), .infer = infer, .reference = reference,          \
        .lower = lower                                                                            \
    }

static const struct op ops[] = {
    CONV("ConvInteger", "convolution of 8-bit integers, zero points taken off, as int32", 2, 4),
    CONV("QLinearConv", "convolution of quantized images, quantized again", 8, 9)};

const struct op_family espy_ops_conv_integer = {ops, sizeof(ops) / sizeof(ops[0])};
