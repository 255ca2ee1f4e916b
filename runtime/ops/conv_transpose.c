// ConvTranspose: the gradient of a convolution, which makes images larger.
#include <assert.h>

#include "op/lower.h"
#include "op/op.h"
#include "ops/window.h"
#include "shaders/conv_transpose.spv.h"

struct conv_transpose_attrs {
    struct window_attrs window;
    struct op_ints output_padding, output_shape;
    int64_t group;
};

// What infer has checked, in numbers. In window, in and out are this operator's.
struct transposed {
    struct window window;
    int64_t images, groups;
    int64_t group_in, group_out; // channels of one group
};

static espy_status output_dims(const struct op_infer *c, struct window *w)
{
    const struct conv_transpose_attrs *attrs = c->attrs;
    const int auto_pad = attrs->window.auto_pad;
    const bool same = auto_pad == WINDOW_SAME_UPPER || auto_pad == WINDOW_SAME_LOWER;
    const bool given = attrs->output_shape.values != NULL;
    // Some exporters write the whole shape, batch and channels included.
    const uint32_t skip = given && attrs->output_shape.count == w->rank + 2 ? 2 : 0;
    TRY(window_check_list(c, "output_padding", &attrs->output_padding, w->rank));
    TRY(window_check_list(c, "output_shape", &attrs->output_shape, w->rank + skip));
    for (uint32_t i = 0; i < w->rank; i++) {
        const int64_t extra = attrs->output_padding.values ? attrs->output_padding.values[i] : 0;
        const int64_t whole = (w->in[i] - 1) * w->stride[i] + extra + window_extent(w, i);
        if (given || same) {
            w->out[i] = given ? attrs->output_shape.values[i + skip] : w->in[i] * w->stride[i];
            const int64_t total = whole > w->out[i] ? whole - w->out[i] : 0;
            w->pad[i] = auto_pad == WINDOW_SAME_UPPER ? total / 2 : total - total / 2;
            w->pad_end[i] = total - w->pad[i];
        } else {
            w->out[i] = whole - w->pad[i] - w->pad_end[i];
        }
        if (w->out[i] < 0 && w->in[i] > 0)
            return espy_infer_fail(c, "the padding takes away more than axis %u has", i);
        if (w->out[i] < 0)
            w->out[i] = 0;
        if (w->out[i] > GRAPH_DIM_MAX || w->pad[i] > GRAPH_DIM_MAX)
            return espy_infer_fail(c, "axis %u would be too large", i);
    }
    return ESPY_OK;
}

static espy_status transposed_init(const struct op_infer *c, struct transposed *t)
{
    const struct conv_transpose_attrs *attrs = c->attrs;
    const struct shape *x = &c->inputs[0].shape, *w = &c->inputs[1].shape;
    if (!espy_dtype_is_float(c->inputs[0].dtype))
        return espy_infer_fail(c, "takes floats, not %s", espy_dtype_name(c->inputs[0].dtype));
    TRY(espy_infer_same_dtype(c, 0, 3));
    if (w->rank != x->rank)
        return espy_infer_fail(c, "the weight has rank %u, the input %u", w->rank, x->rank);
    TRY(window_init(c, &attrs->window, x, w, &t->window));
    t->images = x->dims[0];
    t->groups = attrs->group;
    if (x->dims[1] != w->dims[0] || x->dims[1] % attrs->group != 0)
        return espy_infer_fail(c, "%lld input channels, a weight for %lld, %lld groups",
                               (long long)x->dims[1], (long long)w->dims[0],
                               (long long)attrs->group);
    t->group_in = x->dims[1] / attrs->group;
    t->group_out = w->dims[1];
    if (t->group_out > GRAPH_DIM_MAX / attrs->group)
        return espy_infer_fail(c, "too many output channels");
    if (espy_infer_has(c, 2) &&
        (c->inputs[2].shape.rank != 1 || c->inputs[2].shape.dims[0] != t->group_out * t->groups))
        return espy_infer_fail(c, "the bias is not one number per output channel");
    return output_dims(c, &t->window);
}

static espy_status infer(struct op_infer *c)
{
    struct transposed t;
    TRY(transposed_init(c, &t));
    c->outputs[0].dtype = c->inputs[0].dtype;
    c->outputs[0].shape = (struct shape){.rank = t.window.rank + 2};
    c->outputs[0].shape.dims[0] = t.images;
    c->outputs[0].shape.dims[1] = t.groups * t.group_out;
    for (uint32_t i = 0; i < t.window.rank; i++)
        c->outputs[0].shape.dims[i + 2] = t.window.out[i];
    return ESPY_OK;
}

// The numbers again, for a node that infer has accepted.
static struct transposed transposed_of(const struct host *host, const struct op_node *node,
                                       const struct op_type *inputs, uint32_t input_count)
{
    const struct op_infer infer_again = espy_infer_again(host, node, inputs, input_count);
    struct transposed t;
    const espy_status status = transposed_init(&infer_again, &t);
    assert(status == ESPY_OK);
    (void)status;
    return t;
}

// ---- meaning ------------------------------------------------------------------------------------

// Writes the elements of the window through which inputs reach the output at position at.
static size_t cover(const struct window *w, const int64_t *at, struct window_tap *taps)
{
    int64_t k[WINDOW_RANK_MAX] = {0};
    size_t count = 0, tap = 0;
    do {
        bool inside = true;
        size_t offset = 0;
        for (uint32_t i = 0; i < w->rank; i++) {
            const int64_t in = at[i] + w->pad[i] - k[i] * w->dilation[i];
            inside = inside && in >= 0 && in % w->stride[i] == 0 && in / w->stride[i] < w->in[i];
            offset = offset * (size_t)w->in[i] + (size_t)(in / w->stride[i]);
        }
        if (inside)
            taps[count++] = (struct window_tap){tap, offset};
        tap++;
    } while (window_next(w->kernel, w->rank, k));
    return count;
}

struct transposed_data {
    const float *x, *w;
    size_t in_size, taps, out_size; // spatial elements of an input channel, a filter, an output
};

// All channels of one output pixel.
static void evaluate_pixel(struct op_eval *c, const struct transposed *t,
                           const struct transposed_data *data, const struct window_tap *inside,
                           size_t inside_count, size_t image, size_t pixel)
{
    const size_t in = (size_t)t->group_in, out = (size_t)t->group_out, groups = (size_t)t->groups;
    for (size_t k = 0; k < groups * out; k++) {
        double sum = espy_eval_has(c, 2) ? espy_tensor_number(&c->inputs[2], k) : 0;
        const float *x = data->x + (image * groups + k / out) * in * data->in_size;
        const float *w = data->w + (k / out * in * out + k % out) * data->taps;
        for (size_t channel = 0; channel < in; channel++)
            for (size_t i = 0; i < inside_count; i++)
                sum += (double)x[channel * data->in_size + inside[i].offset] *
                       (double)w[channel * out * data->taps + inside[i].tap];
        espy_tensor_set_number(&c->outputs[0], (image * groups * out + k) * data->out_size + pixel,
                               sum);
    }
}

static void reference(struct op_eval *c)
{
    struct op_type types[3] = {{ESPY_DTYPE_NONE, {0}}};
    for (uint32_t i = 0; i < c->input_count; i++)
        types[i] = c->inputs[i].type;
    const struct transposed t = transposed_of(c->host, c->node, types, c->input_count);
    const struct window *window = &t.window;
    const struct transposed_data data = {
        .x = espy_eval_floats(c, 0),
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
        const size_t count = cover(window, at, inside);
        for (size_t image = 0; image < (size_t)t.images; image++)
            evaluate_pixel(c, &t, &data, inside, count, image, pixel);
        pixel++;
    } while (window_next(window->out, window->rank, at));
}

// ---- lowering -----------------------------------------------------------------------------------

// From one element of the window that meets an input to the next, and the same in input elements.
struct step {
    int64_t window, in;
};

static struct step step_of(const struct window *w, uint32_t axis)
{
    int64_t a = w->stride[axis], b = w->dilation[axis];
    while (b != 0) {
        const int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return (struct step){w->stride[axis] / a, w->dilation[axis] / a};
}

// The table of shaders/conv_transpose.comp.
static struct view make_table(struct op_lower *c, const struct window *w)
{
    const struct shape shape = {.rank = 2, .dims = {w->out[0] + w->out[1] + w->out[2], 2}};
    int32_t *table = espy_arena_array(c->arena, (size_t)shape.dims[0] * 2, sizeof(*table));
    if (table == NULL) {
        const struct view none = {.buffer = VIEW_NONE};
        return none;
    }
    int32_t *entry = table;
    for (uint32_t i = 0; i < 3; i++) {
        const int64_t step = step_of(w, i).window;
        for (int64_t o = 0; o < w->out[i]; o++, entry += 2) {
            const int64_t at = o + w->pad[i];
            int64_t k = 0;
            while (k < step && k < w->kernel[i] && (at - k * w->dilation[i]) % w->stride[i] != 0)
                k++;
            const bool found = k < step && k < w->kernel[i];
            const int64_t in = found ? (at - k * w->dilation[i]) / w->stride[i] : 0;
            entry[0] = (int32_t)(found ? k : w->kernel[i]);
            entry[1] = (int32_t)(in < -(INT32_MAX / 2) ? -(INT32_MAX / 2) : in);
        }
    }
    return espy_lower_constant(c, ESPY_INT32, &shape, table);
}

static void fill(const struct transposed *t, const struct window *w, const struct view *x,
                 struct conv_transpose_spec *spec, struct conv_transpose_push *push)
{
    const int64_t block = 4 * (int64_t)spec->quads;
    const int64_t group_blocks = (t->group_out + block - 1) / block;
    spec->in_d = (uint32_t)w->in[0];
    spec->out_d = (uint32_t)w->out[0];
    spec->kernel_d = (uint32_t)w->kernel[0];
    spec->stride_d = (uint32_t)step_of(w, 0).window;
    spec->dilation_d = (uint32_t)step_of(w, 0).in;
    push->rows = (uint32_t)(t->images * w->out[0] * w->out[1]);
    push->blocks = (uint32_t)(t->groups * group_blocks);
    push->group_blocks = (uint32_t)group_blocks;
    push->in_channels = (uint32_t)t->group_in;
    push->out_channels = (uint32_t)t->group_out;
    push->x_offset = (int32_t)x->offset;
    window_strides(x, push->x_strides);
    push->in_h = (uint32_t)w->in[1];
    push->in_w = (uint32_t)w->in[2];
    push->out_h = (uint32_t)w->out[1];
    push->out_w = (uint32_t)w->out[2];
    push->kernel_h = (uint32_t)w->kernel[1];
    push->kernel_w = (uint32_t)w->kernel[2];
    push->window_step_h = (uint32_t)step_of(w, 1).window;
    push->window_step_w = (uint32_t)step_of(w, 2).window;
    push->in_step_h = (uint32_t)step_of(w, 1).in;
    push->in_step_w = (uint32_t)step_of(w, 2).in;
    push->stride_w = (uint32_t)w->stride[2];
    push->phases = (uint32_t)(w->stride[2] < w->out[2] ? w->stride[2] : w->out[2]);
    const int64_t tile = (int64_t)spec->pixels * w->stride[2];
    push->tiles = (uint32_t)((w->out[2] + tile - 1) / tile);
}

static espy_status lower(struct op_lower *c)
{
    const struct transposed t = transposed_of(c->host, c->node, c->inputs, c->input_count);
    if (t.window.rank > WINDOW_KERNEL_RANK_MAX)
        return espy_lower_on_host(c, "more than three spatial dimensions");
    const struct window window = window_three_dimensional(&t.window);
    const int64_t taps = window_taps(&window), step = t.group_in % 4 == 0 ? 4 : 1;
    if (taps > WINDOW_TRIPS_MAX / 4 || taps * (3 + t.group_in / step) > WINDOW_TRIPS_MAX)
        return espy_lower_on_host(c, "the window is too large for one invocation");
    const bool empty =
        c->outputs[0].shape.dims[0] == 0 || t.group_out == 0 || window_product(window.out, 3) == 0;
    struct conv_transpose_spec spec = CONV_TRANSPOSE_SPEC_DEFAULT;
    spec.quads = t.group_out > 4 ? 2 : 1;
    const struct window_tile tile = {.groups = t.groups,
                                     .in = t.group_in,
                                     .out = t.group_out,
                                     .block = 4 * (int64_t)spec.quads,
                                     .in_dim = 0,
                                     .out_dim = 1};
    const struct view y = espy_lower_channels_last_output(c, 0);
    if (empty)
        return espy_lower_status(c);
    const struct view x = window_tile_input(c, t.group_in);
    const struct view w = window_tile_weights(c, &tile), table = make_table(c, &window);
    struct view bias = {.buffer = VIEW_NONE};
    if (espy_lower_has(c, 2))
        bias = window_plain_input(c, 2);
    spec.local_size_x = window_local_size(c);
    spec.pixels = window.out[2] < 2 * window.stride[2] ? 1 : 4;
    spec.vector = t.group_in % 4 == 0 && window_vector(&x) ? 4 : 1;
    spec.has_bias = espy_lower_has(c, 2);
    spec.store_vector = t.group_out % 4 == 0 ? 4 : 1;
    struct conv_transpose_push push = {0};
    fill(&t, &window, &x, &spec, &push);
    LOWER_EPILOGUE(c, &spec, &push);
    struct op_dispatch dispatch = {.shader =
                                       conv_transpose_shaders.variants[espy_variant(x.storage)],
                                   .bindings = {x, w, bias, table, y},
                                   .binding_count = 5,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    espy_lower_grid(c, (size_t)push.blocks * push.phases * push.tiles * push.rows,
                    spec.local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
    return espy_lower_status(c);
}

#define LIST_ATTR(attr_name, member, low, text)                                                \
    {                                                                                          \
        .name = attr_name, .type = OP_INTS,                                                    \
        .offset = offsetof(struct conv_transpose_attrs, member), .min = low, .max = INT32_MAX, \
        .help = text                                                                           \
    }

static const struct op_attr conv_transpose_rows[] = {
    WINDOW_ATTRS(struct conv_transpose_attrs),
    LIST_ATTR("output_padding", output_padding, 0, "elements added at the end of each axis"),
    LIST_ATTR("output_shape", output_shape, 0, "spatial shape; pads then follow from it"),
    {.name = "group",
     .type = OP_INT,
     .offset = offsetof(struct conv_transpose_attrs, group),
     .fallback = 1,
     .min = 1,
     .max = INT32_MAX,
     .help = "groups into which the channels of input and output are divided"}};

static const struct op ops[] = {
    {.name = "ConvTranspose",
     .summary = "transposed convolution: every input adds a weighted window to the output",
     .inputs_min = 2,
     .inputs_max = 3,
     .outputs_min = 1,
     .outputs_max = 1,
     .flags = OP_EPILOGUE,
     .attrs = conv_transpose_rows,
     .attr_count = sizeof(conv_transpose_rows) / sizeof(conv_transpose_rows[0]),
     .attrs_size = sizeof(struct conv_transpose_attrs),
     .infer = infer,
     .reference = reference,
     .lower = lower}};

const struct op_family espy_ops_conv_transpose = {ops, sizeof(ops) / sizeof(ops[0])};
