// Conv: convolution of images of any number of spatial dimensions, with groups.
#include <assert.h>

#include "op/lower.h"
#include "op/op.h"
#include "ops/gemm.h"
#include "ops/panel.h"
#include "ops/window.h"
#include "ops/winograd.h"
#include "shaders/conv_depthwise.spv.h"
#include "shaders/conv_depthwise_texel.spv.h"
#include "shaders/conv_generic.spv.h"
#include "shaders/conv_tile.spv.h"

struct conv_attrs {
    struct window_attrs window;
    int64_t group;
};

// What infer has checked, in numbers.
struct conv {
    struct window window;
    int64_t images, groups;
    int64_t group_in, group_out; // channels of one group
};

static espy_status conv_init(const struct op_infer *c, struct conv *conv)
{
    const struct conv_attrs *attrs = c->attrs;
    const struct shape *x = &c->inputs[0].shape, *w = &c->inputs[1].shape;
    if (!espy_dtype_is_float(c->inputs[0].dtype))
        return espy_infer_fail(c, "takes floats, not %s", espy_dtype_name(c->inputs[0].dtype));
    TRY(espy_infer_same_dtype(c, 0, 3));
    if (w->rank != x->rank)
        return espy_infer_fail(c, "the weight has rank %u, the input %u", w->rank, x->rank);
    TRY(window_init(c, &attrs->window, x, w, &conv->window));
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
    if (espy_infer_has(c, 2) &&
        (c->inputs[2].shape.rank != 1 || c->inputs[2].shape.dims[0] != w->dims[0]))
        return espy_infer_fail(c, "the bias is not one number per output channel");
    return window_outputs(c, attrs->window.auto_pad, false, &conv->window);
}

static espy_status infer(struct op_infer *c)
{
    struct conv conv;
    TRY(conv_init(c, &conv));
    c->outputs[0].dtype = c->inputs[0].dtype;
    c->outputs[0].shape = (struct shape){.rank = conv.window.rank + 2};
    c->outputs[0].shape.dims[0] = conv.images;
    c->outputs[0].shape.dims[1] = conv.groups * conv.group_out;
    for (uint32_t i = 0; i < conv.window.rank; i++)
        c->outputs[0].shape.dims[i + 2] = conv.window.out[i];
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
    const float *x, *w;
    size_t in_size, taps, out_size; // spatial elements of an input channel, a filter, an output
};

// All channels of one output pixel.
static void convolve_pixel(struct op_eval *c, const struct conv *conv, const struct conv_data *data,
                           const struct window_tap *inside, size_t inside_count, size_t image,
                           size_t pixel)
{
    const size_t in = (size_t)conv->group_in, out = (size_t)conv->group_out;
    const size_t groups = (size_t)conv->groups;
    for (size_t k = 0; k < groups * out; k++) {
        double sum = espy_eval_has(c, 2) ? espy_tensor_number(&c->inputs[2], k) : 0;
        const float *x = data->x + (image * groups + k / out) * in * data->in_size;
        const float *w = data->w + k * in * data->taps;
        for (size_t channel = 0; channel < in; channel++, x += data->in_size, w += data->taps)
            for (size_t i = 0; i < inside_count; i++)
                sum += (double)x[inside[i].offset] * (double)w[inside[i].tap];
        espy_tensor_set_number(&c->outputs[0], (image * groups * out + k) * data->out_size + pixel,
                               sum);
    }
}

static void reference(struct op_eval *c)
{
    struct op_type types[3] = {{ESPY_DTYPE_NONE, {0}}};
    for (uint32_t i = 0; i < c->input_count; i++)
        types[i] = c->inputs[i].type;
    const struct conv conv = conv_of(c->host, c->node, types, c->input_count);
    const struct window *window = &conv.window;
    const struct conv_data data = {.x = espy_eval_floats(c, 0),
                                   .w = espy_eval_floats(c, 1),
                                   .in_size = (size_t)window_product(window->in, window->rank),
                                   .taps = (size_t)window_taps(window),
                                   .out_size = (size_t)window_product(window->out, window->rank)};
    struct window_tap *inside = espy_eval_scratch(c, data.taps, sizeof(*inside));
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

// ---- lowering -----------------------------------------------------------------------------------

// What the three kernels' push blocks and specializations have in common.
#define FILL_WINDOW(spec, push, window, view)                 \
    do {                                                      \
        (spec)->in_d = (uint32_t)(window)->in[0];             \
        (spec)->out_d = (uint32_t)(window)->out[0];           \
        (spec)->kernel_d = (uint32_t)(window)->kernel[0];     \
        (spec)->stride_d = (uint32_t)(window)->stride[0];     \
        (spec)->dilation_d = (uint32_t)(window)->dilation[0]; \
        (spec)->pad_d = (uint32_t)(window)->pad[0];           \
        (push)->x_offset = (int32_t)(view)->offset;           \
        window_strides(view, (push)->x_strides);              \
        (push)->in_h = (uint32_t)(window)->in[1];             \
        (push)->in_w = (uint32_t)(window)->in[2];             \
        (push)->out_h = (uint32_t)(window)->out[1];           \
        (push)->out_w = (uint32_t)(window)->out[2];           \
        (push)->kernel_h = (uint32_t)(window)->kernel[1];     \
        (push)->kernel_w = (uint32_t)(window)->kernel[2];     \
        (push)->stride_h = (uint32_t)(window)->stride[1];     \
        (push)->stride_w = (uint32_t)(window)->stride[2];     \
        (push)->dilation_h = (uint32_t)(window)->dilation[1]; \
        (push)->dilation_w = (uint32_t)(window)->dilation[2]; \
        (push)->pad_h = (uint32_t)(window)->pad[1];           \
        (push)->pad_w = (uint32_t)(window)->pad[2];           \
    } while (0)

// A copy of view whose last dimension has zeros up to a whole vector, where `padded`.
static struct view packed_channels(struct op_lower *c, const struct view *view, bool padded)
{
    const uint32_t last = view->rank - 1;
    const int64_t channels = view->dims[last];
    struct shape shape = {.rank = view->rank};
    for (uint32_t i = 0; i < view->rank; i++)
        shape.dims[i] = view->dims[i];
    if (padded)
        shape.dims[last] = (channels + 3) / 4 * 4;
    const struct view packed = espy_lower_temporary(c, view->dtype, &shape);
    struct view part = packed;
    part.dims[last] = channels;
    espy_lower_copy(c, view, &part);
    part.offset = channels;
    part.dims[last] = shape.dims[last] - channels;
    if (part.dims[last] > 0) {
        const struct shape one = {1, {1}};
        struct shape all = shape;
        all.dims[last] = part.dims[last];
        const struct view zero = espy_lower_constant(c, view->dtype, &one, &(uint64_t){0});
        const struct view zeros = espy_view_broadcast(&zero, &all);
        espy_lower_copy(c, &zeros, &part);
    }
    return packed;
}

// Weights as [tap][channel], for one input and one output channel per group.
static struct view depthwise_weights(struct op_lower *c, int64_t channels, bool padded)
{
    const struct view w = espy_lower_input(c, 1);
    struct view source = w;
    if (w.buffer == VIEW_NONE)
        return w;
    for (uint32_t i = 2; i < w.rank; i++) {
        source.dims[i - 2] = w.dims[i];
        source.strides[i - 2] = w.strides[i];
    }
    source.dims[w.rank - 2] = 1;
    source.strides[w.rank - 2] = 0;
    source.dims[w.rank - 1] = channels;
    source.strides[w.rank - 1] = w.strides[0];
    return packed_channels(c, &source, padded);
}

// The widest tile whose unrolled code stays small.
static uint32_t depthwise_columns(const struct window *window)
{
    enum { UNROLLED_MAX = 400 };
    uint32_t columns = 4;
    while (columns > 1 && ((columns - 1) * window->stride[2] + window_extent(window, 2)) *
                                  window->kernel[2] * columns >
                              UNROLLED_MAX)
        columns /= 2;
    return columns;
}

static bool is_depthwise(const struct conv *conv, const struct window *window)
{
    enum { KERNEL_W_MAX = 11, EXTENT_MAX = 33 };
    return conv->group_in == 1 && conv->group_out == 1 && conv->groups > 1 && window->in[0] == 1 &&
           window->kernel[0] == 1 && window->out[0] == 1 && window->pad[0] == 0 &&
           window->kernel[2] <= KERNEL_W_MAX && window_extent(window, 2) <= EXTENT_MAX;
}

// Depthwise convolutions of a network mostly have the same function behind them, and it is a part of
// their time that can be seen: sharing is for networks that mix Relu and HardSwish.
#define DEPTHWISE_EPILOGUE(c, spec, push)             \
    do {                                              \
        if ((c)->bends)                               \
            LOWER_SHARED_EPILOGUE((c), (spec), push); \
        else                                          \
            LOWER_EPILOGUE((c), (spec), push);        \
    } while (0)

struct depthwise {
    bool padded; // x and y have whole vectors of channels, and so have w and bias then
    struct view x, w, bias, y;
};

// So many that few are wasted at the end of a row; more compile longer and gain nothing. Where it
// may be, the same for all sizes that halve down to seven, so that these share a pipeline.
static uint32_t texel_columns(const struct window *window)
{
    enum { COLUMNS_MAX = 8, COLUMNS_USUAL = 7 };
    const int64_t out = window->out[2];
    const int64_t tiles = out == 0 ? 1 : (out + COLUMNS_MAX - 1) / COLUMNS_MAX;
    const uint32_t most =
        out % COLUMNS_USUAL == 0 ? COLUMNS_USUAL : (uint32_t)((out + tiles - 1) / tiles);
    uint32_t columns = 2 * depthwise_columns(window);
    while (columns > 1 && columns / 2 >= most)
        columns /= 2;
    return columns < most || most == 0 ? columns : most;
}

// Half as many keep fewer sums and waste less at the end of a row.
static uint32_t depthwise_choose(struct op_lower *c, const struct conv *conv,
                                 const struct window *window, uint32_t vector)
{
    enum { FORMS = 2 };
    const uint32_t columns = texel_columns(window);
    const uint32_t forms[FORMS] = {columns, columns > 1 ? columns / 2 : 1};
    return forms[espy_lower_choose(
        c, FORMS, 0, "depthwise", "%lld,n%lld,%lldx%lld,k%lldx%lld,s%lldx%lld,d%lld,%u",
        (long long)conv->groups, (long long)conv->images, (long long)window->out[1],
        (long long)window->out[2], (long long)window->kernel[1], (long long)window->kernel[2],
        (long long)window->stride[1], (long long)window->stride[2],
        (long long)window->dilation[2], vector)];
}

static void depthwise_texel(struct op_lower *c, const struct conv *conv,
                            const struct window *window, const struct depthwise *d)
{
    struct conv_depthwise_texel_spec spec = CONV_DEPTHWISE_TEXEL_SPEC_DEFAULT;
    spec.local_size_x = window_local_size(c);
    spec.vector = d->padded || window_vector(&d->x) ? 4 : 1;
    spec.columns = depthwise_choose(c, conv, window, spec.vector);
    spec.has_bias = d->bias.buffer != VIEW_NONE;
    spec.padded = !panel_stays_inside(window) || window->out[2] % spec.columns != 0;
    struct conv_depthwise_texel_push push = {.rows = (uint32_t)(conv->images * window->out[1]),
                                             .quads = ((uint32_t)conv->groups + spec.vector - 1) /
                                                      spec.vector};
    WINDOW_FILL_LINES(&spec, &push, window, spec.vector, &d->x, &d->y);
    DEPTHWISE_EPILOGUE(c, &spec, &push);
    struct op_dispatch dispatch = {.shader = espy_vector_shader(c, &conv_depthwise_texel_shaders),
                                   .bindings = {d->x, d->w, d->bias, d->y, d->x, d->w, d->bias},
                                   .binding_count = 7,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    const size_t tiles = (push.out_w + (size_t)spec.columns - 1) / spec.columns;
    espy_lower_grid(c, push.quads * tiles * push.rows, spec.local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
}

static void lower_depthwise_texel(struct op_lower *c, const struct conv *conv,
                                  const struct window *window)
{
    const bool may_pad = espy_lower_padded_input(c, 0);
    struct depthwise d = {.bias = {.buffer = VIEW_NONE}};
    d.x = may_pad ? espy_lower_input(c, 0) : espy_lower_channels_last_input(c, 0);
    d.y = may_pad ? espy_lower_padded_output(c, 0) : espy_lower_placed_output(c, 0);
    d.padded = may_pad && espy_view_vectors(&d.y, 1, true);
    d.w = depthwise_weights(c, conv->groups, d.padded);
    if (espy_lower_has(c, 2)) {
        d.bias = window_plain_input(c, 2);
        if (d.padded && d.bias.buffer != VIEW_NONE)
            d.bias = packed_channels(c, &d.bias, true);
    }
    if (d.x.buffer != VIEW_NONE && d.w.buffer != VIEW_NONE && d.y.buffer != VIEW_NONE)
        depthwise_texel(c, conv, window, &d);
}

static void lower_depthwise(struct op_lower *c, const struct conv *conv,
                            const struct window *window)
{
    if (panel_suits(c, espy_lower_storage(c, c->outputs[0].dtype))) {
        lower_depthwise_texel(c, conv, window);
        return;
    }
    const struct view x = espy_lower_channels_last_input(c, 0);
    const struct view w = depthwise_weights(c, conv->groups, false);
    struct view bias = {.buffer = VIEW_NONE};
    if (espy_lower_has(c, 2))
        bias = window_plain_input(c, 2);
    if (x.buffer == VIEW_NONE || w.buffer == VIEW_NONE)
        return;
    const struct view y = espy_lower_channels_last_output(c, 0);
    struct conv_depthwise_spec spec = CONV_DEPTHWISE_SPEC_DEFAULT;
    spec.local_size_x = window_local_size(c);
    spec.columns = depthwise_columns(window);
    spec.vector = window_vector(&x) ? 4 : 1;
    spec.has_bias = espy_lower_has(c, 2);
    spec.kernel_w = (uint32_t)window->kernel[2];
    spec.stride_w = (uint32_t)window->stride[2];
    spec.dilation_w = (uint32_t)window->dilation[2];
    struct conv_depthwise_push push = {.rows = (uint32_t)(conv->images * window->out[1]),
                                       .channels = (uint32_t)conv->groups,
                                       .x_offset = (int32_t)x.offset,
                                       .in_h = (uint32_t)window->in[1],
                                       .in_w = (uint32_t)window->in[2],
                                       .out_h = (uint32_t)window->out[1],
                                       .out_w = (uint32_t)window->out[2],
                                       .kernel_h = (uint32_t)window->kernel[1],
                                       .stride_h = (uint32_t)window->stride[1],
                                       .dilation_h = (uint32_t)window->dilation[1],
                                       .pad_h = (uint32_t)window->pad[1],
                                       .pad_w = (uint32_t)window->pad[2]};
    window_strides(&x, push.x_strides);
    DEPTHWISE_EPILOGUE(c, &spec, &push);
    struct op_dispatch dispatch = {.shader =
                                       conv_depthwise_shaders.variants[espy_variant(x.storage)],
                                   .bindings = {x, w, bias, y},
                                   .binding_count = 4,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    const size_t tiles = (push.out_w + (size_t)spec.columns - 1) / spec.columns;
    espy_lower_grid(c, push.channels / spec.vector * tiles * push.rows, spec.local_size_x,
                    dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
}

// Pixels that need no decoding of their index: one tap, every pixel in turn, evenly spaced.
static bool is_linear(const struct window *window, const struct view *x)
{
    struct view pixels = {.rank = x->rank - 1, .dims = {x->dims[0]}, .strides = {x->strides[0]}};
    for (uint32_t i = 0; i < window->rank; i++)
        if (window->kernel[i] != 1 || window->stride[i] != 1 || window->pad[i] != 0 ||
            window->out[i] != window->in[i])
            return false;
    for (uint32_t i = 2; i < x->rank; i++) {
        pixels.dims[i - 1] = x->dims[i];
        pixels.strides[i - 1] = x->strides[i];
    }
    return espy_view_count(&pixels) > 0 && espy_view_collapse(&pixels, 1) == 1;
}

// Weights that are no constants are packed in every run, which takes some pixels to pay.
static bool suits_panel(const struct op_lower *c, const struct conv *conv,
                        const struct window *window)
{
    enum { OUT_MIN = 3, GROUP_OUT_MIN = 8, PIXELS_MIN = 32, STRIDE_MAX = 65535 };
    const int64_t pixels = conv->images * window_product(window->out, window->rank);
    const bool constant = espy_lower_is_constant(c, 1);
    const enum storage storage = espy_lower_storage(c, c->outputs[0].dtype);
    const int64_t depth = window_taps(window) * ((conv->group_in + 3) / 4 * 4);
    return (panel_suits(c, storage) || gemm_suits(c, storage, depth)) && conv->group_in > 0 &&
           window_product(window->in, window->rank) > 0 && // what lies outside is read somewhere
           window->stride[1] <= STRIDE_MAX && window->stride[2] <= STRIDE_MAX &&
           conv->group_out >= (conv->groups > 1 ? GROUP_OUT_MIN : OUT_MIN) &&
           (constant || pixels >= PIXELS_MIN);
}

// Images of up to three channels with a vector's room for every pixel: one read instead of three
// for each tap. What lies in the rest of the room is not read.
static struct view spaced_pixels(struct op_lower *c, const struct view *x)
{
    struct shape shape = {.rank = x->rank};
    shape.dims[0] = x->dims[0];
    for (uint32_t d = 2; d < x->rank; d++)
        shape.dims[d - 1] = x->dims[d];
    shape.dims[x->rank - 1] = 4;
    const struct view room = espy_lower_temporary(c, x->dtype, &shape);
    struct view spaced = *x;
    spaced.buffer = room.buffer;
    spaced.offset = 0;
    spaced.strides[0] = room.strides[0];
    spaced.strides[1] = 1;
    for (uint32_t d = 2; d < x->rank; d++)
        spaced.strides[d] = room.strides[d - 1];
    espy_lower_copy(c, x, &spaced);
    return spaced;
}

static void lower_panel(struct op_lower *c, const struct conv *conv, const struct window *window)
{
    struct panel_problem problem = {.groups = conv->groups,
                                    .in = conv->group_in,
                                    .out = conv->group_out,
                                    .pixels =
                                        conv->images * window_product(window->out, window->rank),
                                    .window = *window,
                                    .bias = {.buffer = VIEW_NONE},
                                    .factors = {.buffer = VIEW_NONE}};
    if (window_taps(window) == 1 && conv->groups == 1 && conv->group_in % 4 == 0)
        problem.factors = espy_lower_take_factors(c);
    problem.scaled = problem.factors.buffer != VIEW_NONE;
    problem.x = window_tile_input(c, conv->group_in);
    const bool few = conv->groups == 1 && conv->group_in < 4 && window_taps(window) > 1;
    if (few && problem.x.buffer != VIEW_NONE)
        problem.x = spaced_pixels(c, &problem.x);
    problem.w = espy_lower_input(c, 1);
    if (espy_lower_has(c, 2))
        problem.bias = window_plain_input(c, 2);
    struct view y;
    problem.shuffled = panel_shuffles(c, conv->groups, conv->group_out) &&
                       espy_lower_take_shuffle(c, &y, &problem.operand);
    if (!problem.shuffled) {
        // The other tensor of a tail lies as the output does, so that has to be dense.
        const bool dense = espy_lower_take_tail(c, false) ||
                           !panel_suits(c, espy_lower_storage(c, c->outputs[0].dtype));
        const bool pads = !dense && panel_pads(c, &problem);
        y = dense  ? espy_lower_channels_last_output(c, 0)
            : pads ? espy_lower_padded_output(c, 0)
                   : espy_lower_placed_output(c, 0);
        problem.padded = pads && espy_view_vectors(&y, 1, true);
        problem.operand = espy_lower_tail_operand(c, &y);
    }
    if (problem.x.buffer == VIEW_NONE || problem.w.buffer == VIEW_NONE || y.buffer == VIEW_NONE)
        return;
    problem.y_pixel = y.strides[y.rank - 1];
    problem.vector = few || (conv->group_in % 4 == 0 && window_vector(&problem.x)) ||
                     (conv->groups == 1 && espy_lower_padded_input(c, 0));
    window_strides(&problem.x, problem.x_strides);
    window_strides(&problem.w, problem.w_strides);
    problem.linear = is_linear(window, &problem.x);
    if (problem.linear) { // the step from a pixel to the next, also where the last axis has one
        for (uint32_t i = 0; i < problem.x.rank; i++)
            if (i != 1 && problem.x.dims[i] > 1)
                problem.x_strides[4] = (int32_t)problem.x.strides[i];
    }
    const int64_t tile = winograd_choose(c, &problem);
    if (tile > 0)
        winograd_lower(c, &problem, tile, &y);
    else if (!gemm_lower_panel(c, &problem, &y))
        panel_lower(c, &problem, &y);
}

static void lower_tile(struct op_lower *c, const struct conv *conv, const struct window *window)
{
    struct conv_tile_spec spec = CONV_TILE_SPEC_DEFAULT;
    spec.quads = conv->group_out > 4 ? 2 : 1;
    const int64_t block = 4 * (int64_t)spec.quads;
    const struct window_tile tile = {.groups = conv->groups,
                                     .in = conv->group_in,
                                     .out = conv->group_out,
                                     .block = block,
                                     .in_dim = 1,
                                     .out_dim = 0};
    const struct view x = window_tile_input(c, conv->group_in);
    const struct view w = window_tile_weights(c, &tile);
    struct view bias = {.buffer = VIEW_NONE};
    if (espy_lower_has(c, 2))
        bias = window_plain_input(c, 2);
    const struct view y = espy_lower_channels_last_output(c, 0);
    const int64_t pixels = conv->images * window_product(window->out, window->rank);
    const int64_t group_blocks = (conv->group_out + block - 1) / block;
    spec.local_size_x = window_local_size(c);
    spec.pixels = pixels < 4 ? 1 : pixels < 8 || !c->caps->cpu ? 4 : 8;
    spec.vector = conv->group_in % 4 == 0 && window_vector(&x) ? 4 : 1;
    spec.has_bias = espy_lower_has(c, 2);
    spec.store_vector = conv->group_out % 4 == 0 ? 4 : 1;
    spec.padded = !panel_stays_inside(window);
    struct conv_tile_push push = {.pixels = (uint32_t)pixels,
                                  .blocks = (uint32_t)(conv->groups * group_blocks),
                                  .group_blocks = (uint32_t)group_blocks,
                                  .in_channels = (uint32_t)conv->group_in,
                                  .out_channels = (uint32_t)conv->group_out};
    FILL_WINDOW(&spec, &push, window, &x);
    LOWER_EPILOGUE(c, &spec, &push);
    struct op_dispatch dispatch = {.shader = conv_tile_shaders.variants[espy_variant(x.storage)],
                                   .bindings = {x, w, bias, y},
                                   .binding_count = 4,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    const size_t tiles = (push.pixels + (size_t)spec.pixels - 1) / spec.pixels;
    espy_lower_grid(c, push.blocks * tiles, spec.local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
}

static void lower_generic(struct op_lower *c, const struct conv *conv, const struct window *window)
{
    const struct view x = espy_lower_input(c, 0);
    const struct view w = window_plain_input(c, 1);
    struct view bias = {.buffer = VIEW_NONE};
    if (espy_lower_has(c, 2))
        bias = window_plain_input(c, 2);
    const struct view y = espy_lower_channels_last_output(c, 0);
    struct conv_generic_spec spec = CONV_GENERIC_SPEC_DEFAULT;
    spec.local_size_x = c->caps->local_size;
    spec.has_bias = espy_lower_has(c, 2);
    struct conv_generic_push push = {.count = (uint32_t)espy_view_count(&y),
                                     .channels = (uint32_t)(conv->groups * conv->group_out),
                                     .in_channels = (uint32_t)conv->group_in,
                                     .out_channels = (uint32_t)conv->group_out};
    FILL_WINDOW(&spec, &push, window, &x);
    LOWER_EPILOGUE(c, &spec, &push);
    struct op_dispatch dispatch = {.shader = conv_generic_shaders.variants[espy_variant(x.storage)],
                                   .bindings = {x, w, bias, y},
                                   .binding_count = 4,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.count, spec.local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
}

static espy_status lower(struct op_lower *c)
{
    const struct conv conv = conv_of(c->host, c->node, c->inputs, c->input_count);
    if (conv.window.rank > WINDOW_KERNEL_RANK_MAX)
        return espy_lower_on_host(c, "more than three spatial dimensions");
    const struct window window = window_three_dimensional(&conv.window);
    const int64_t taps = window_taps(&window);
    const int64_t step = conv.group_in % 4 == 0 ? 4 : 1;
    if (taps > WINDOW_TRIPS_MAX / 4 || taps * (3 + conv.group_in / step) > WINDOW_TRIPS_MAX)
        return espy_lower_on_host(c, "the window is too large for one invocation");
    if (is_depthwise(&conv, &window))
        lower_depthwise(c, &conv, &window);
    else if (conv.group_in == 1 && conv.group_out < 4)
        lower_generic(c, &conv, &window);
    else if (suits_panel(c, &conv, &window))
        lower_panel(c, &conv, &window);
    else
        lower_tile(c, &conv, &window);
    return espy_lower_status(c);
}

static const struct op_attr conv_rows[] = {
    WINDOW_ATTRS(struct conv_attrs),
    {.name = "group",
     .type = OP_INT,
     .offset = offsetof(struct conv_attrs, group),
     .fallback = 1,
     .min = 1,
     .max = INT32_MAX,
     .help = "groups into which the channels of input and output are divided"}};

static const struct op ops[] = {
    {.name = "Conv",
     .summary = "convolution of images: every output is a weighted sum of a window of all channels",
     .inputs_min = 2,
     .inputs_max = 3,
     .outputs_min = 1,
     .outputs_max = 1,
     .flags = OP_EPILOGUE | OP_GAPS,
     .attrs = conv_rows,
     .attr_count = sizeof(conv_rows) / sizeof(conv_rows[0]),
     .attrs_size = sizeof(struct conv_attrs),
     .infer = infer,
     .reference = reference,
     .lower = lower}};

const struct op_family espy_ops_conv = {ops, sizeof(ops) / sizeof(ops[0])};
