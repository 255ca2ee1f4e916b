// DeformConv: a convolution whose window's elements are moved by offsets that are data.
#include <assert.h>
#include <math.h>
#include <string.h>

#include "op/lower.h"
#include "op/op.h"
#include "shaders/deform_columns.spv.h"
#include "shaders/deform_conv.spv.h"
#include "window.h"

struct deform_attrs {
    struct window_attrs window;
    int64_t group, offset_group;
};

enum { X, W, OFFSET, BIAS, MASK, INPUTS };
enum { BLOCK = 4 }; // output channels of one invocation

// ---- infer --------------------------------------------------------------------------------------

static espy_status check_types(const struct op_infer *c)
{
    for (uint32_t i = 0; i < c->input_count; i++)
        if (espy_infer_has(c, i) && !espy_dtype_is_float(c->inputs[i].dtype))
            return espy_infer_fail(c, "input %u is %s, must be a float", i,
                                   espy_dtype_name(c->inputs[i].dtype));
    for (uint32_t i = 0; i < c->input_count; i++)
        if (espy_infer_has(c, i) && i != BIAS && c->inputs[i].shape.rank != 4)
            return espy_infer_unsupported(c, "takes pictures: input %u has %u dimensions", i,
                                          c->inputs[i].shape.rank);
    return ESPY_OK;
}

static espy_status check_channels(const struct op_infer *c)
{
    const struct deform_attrs *attrs = c->attrs;
    const struct shape *x = &c->inputs[X].shape, *w = &c->inputs[W].shape;
    if (w->dims[1] > GRAPH_DIM_MAX || x->dims[1] != w->dims[1] * attrs->group ||
        w->dims[0] % attrs->group != 0)
        return espy_infer_fail(c, "%lld channels and weights of %lld x %lld in %lld groups",
                               (long long)x->dims[1], (long long)w->dims[0], (long long)w->dims[1],
                               (long long)attrs->group);
    if (x->dims[1] % attrs->offset_group != 0)
        return espy_infer_fail(c, "%lld channels in %lld groups of offsets", (long long)x->dims[1],
                               (long long)attrs->offset_group);
    if (espy_infer_has(c, BIAS) &&
        (c->inputs[BIAS].shape.rank != 1 || c->inputs[BIAS].shape.dims[0] != w->dims[0]))
        return espy_infer_fail(c, "the bias needs one element for each output channel");
    return ESPY_OK;
}

// Offsets (two for each place of the window) and mask (one): of every output pixel.
static espy_status check_field(const struct op_infer *c, uint32_t i, const struct window *w,
                               int64_t channels)
{
    if (!espy_infer_has(c, i))
        return ESPY_OK;
    const struct shape expected = {4, {c->inputs[X].shape.dims[0], channels, w->out[0], w->out[1]}};
    char text[128];
    if (!espy_shape_equal(&c->inputs[i].shape, &expected))
        return espy_infer_fail(c, "input %u must be %s", i,
                               espy_shape_text(&expected, text, sizeof(text)));
    return ESPY_OK;
}

static espy_status fill_window(const struct op_infer *c, struct window *w)
{
    const struct deform_attrs *attrs = c->attrs;
    TRY(window_init(c, &attrs->window, &c->inputs[X].shape, &c->inputs[W].shape, w));
    return window_outputs(c, WINDOW_NOTSET, false, w);
}

static espy_status infer(struct op_infer *c)
{
    const struct deform_attrs *attrs = c->attrs;
    struct window w;
    TRY(check_types(c));
    TRY(check_channels(c));
    TRY(fill_window(c, &w));
    const int64_t places = window_taps(&w) * attrs->offset_group;
    TRY(check_field(c, OFFSET, &w, 2 * places));
    TRY(check_field(c, MASK, &w, places));
    c->outputs[0] = (struct op_type){
        c->inputs[X].dtype,
        {4, {c->inputs[X].shape.dims[0], c->inputs[W].shape.dims[0], w.out[0], w.out[1]}}};
    return ESPY_OK;
}

// The window again, where infer has found it well formed.
static struct window window_of(const struct deform_attrs *attrs, const struct shape *x,
                               const struct shape *weights, const struct shape *y)
{
    struct window w = {.rank = 2};
    for (uint32_t d = 0; d < 2; d++) {
        w.in[d] = x->dims[2 + d];
        w.out[d] = y->dims[2 + d];
        w.kernel[d] = weights->dims[2 + d];
        w.stride[d] = attrs->window.strides.values ? attrs->window.strides.values[d] : 1;
        w.dilation[d] = attrs->window.dilations.values ? attrs->window.dilations.values[d] : 1;
        w.pad[d] = attrs->window.pads.values ? attrs->window.pads.values[d] : 0;
    }
    return w;
}

// ---- reference ----------------------------------------------------------------------------------

static double pixel(const float *plane, const struct window *w, int64_t row, int64_t column)
{
    if (row < 0 || row >= w->in[0] || column < 0 || column >= w->in[1])
        return 0;
    return (double)plane[row * w->in[1] + column];
}

static double sample(const float *plane, const struct window *w, double row, double column)
{
    if (!(row > -1 && row < (double)w->in[0] && column > -1 && column < (double)w->in[1]))
        return 0;
    const int64_t i = (int64_t)floor(row), j = (int64_t)floor(column);
    const double down = row - (double)i, along = column - (double)j;
    return (1 - down) * ((1 - along) * pixel(plane, w, i, j) + along * pixel(plane, w, i, j + 1)) +
           down * ((1 - along) * pixel(plane, w, i + 1, j) + along * pixel(plane, w, i + 1, j + 1));
}

struct deform {
    struct window window;
    const float *inputs[INPUTS]; // NULL: absent
    int64_t channels, group_channels, out_channels, group_out, offset_channels, places;
};

// Output channel k of picture n at pixel (i, j).
static double convolve(const struct deform *d, int64_t n, int64_t k, int64_t i, int64_t j)
{
    const struct window *w = &d->window;
    const int64_t elements = w->kernel[0] * w->kernel[1], pixels = w->out[0] * w->out[1];
    const int64_t here = i * w->out[1] + j;
    double sum = d->inputs[BIAS] != NULL ? (double)d->inputs[BIAS][k] : 0;
    for (int64_t c = 0; c < d->group_channels; c++) {
        const int64_t channel = k / d->group_out * d->group_channels + c;
        const float *plane = d->inputs[X] + (n * d->channels + channel) * w->in[0] * w->in[1];
        for (int64_t e = 0; e < elements; e++) {
            const int64_t place = channel / d->offset_channels * elements + e;
            const float *offset = d->inputs[OFFSET] + (n * d->places + place) * 2 * pixels + here;
            const double row =
                (double)(i * w->stride[0] - w->pad[0] + e / w->kernel[1] * w->dilation[0]) +
                (double)offset[0];
            const double column =
                (double)(j * w->stride[1] - w->pad[1] + e % w->kernel[1] * w->dilation[1]) +
                (double)offset[pixels];
            double value = sample(plane, w, row, column);
            if (d->inputs[MASK] != NULL)
                value *= (double)d->inputs[MASK][(n * d->places + place) * pixels + here];
            sum += value * (double)d->inputs[W][(k * d->group_channels + c) * elements + e];
        }
    }
    return sum;
}

static void reference(struct op_eval *c)
{
    const struct deform_attrs *attrs = c->attrs;
    const struct shape *x = &c->inputs[X].type.shape, *y = &c->outputs[0].type.shape;
    struct deform d = {.window = window_of(attrs, x, &c->inputs[W].type.shape, y),
                       .channels = x->dims[1],
                       .group_channels = c->inputs[W].type.shape.dims[1],
                       .out_channels = y->dims[1],
                       .group_out = y->dims[1] / attrs->group,
                       .offset_channels = x->dims[1] / attrs->offset_group};
    d.places = window_taps(&d.window) * attrs->offset_group;
    for (uint32_t i = 0; i < INPUTS; i++) {
        d.inputs[i] = espy_eval_has(c, i) ? espy_eval_floats(c, i) : NULL;
        if (c->status != ESPY_OK)
            return;
    }
    size_t at = 0;
    for (int64_t n = 0; n < y->dims[0]; n++)
        for (int64_t k = 0; k < y->dims[1]; k++)
            for (int64_t i = 0; i < y->dims[2]; i++)
                for (int64_t j = 0; j < y->dims[3]; j++)
                    espy_tensor_set_number(&c->outputs[0], at++, convolve(&d, n, k, i, j));
}

// ---- lower --------------------------------------------------------------------------------------

static uint32_t parameter_kind(const struct view *view)
{
    return view->buffer == VIEW_NONE ? 0 : view->storage == STORAGE_F16 ? 2 : 1;
}

static void copy_strides(int32_t *strides, const struct view *view)
{
    for (uint32_t d = 0; d < 4; d++)
        strides[d] = (int32_t)view->strides[d];
}

// The samples as a matrix for each picture: channels and the window's elements down, pixels across.
static struct view dispatch_columns(struct op_lower *c, const struct window *w)
{
    const struct deform_attrs *attrs = c->attrs;
    const struct view none = {.buffer = VIEW_NONE};
    const struct view x = espy_lower_input(c, X), offsets = espy_lower_input(c, OFFSET);
    const struct view mask = espy_lower_has(c, MASK) ? espy_lower_input(c, MASK) : none;
    if (espy_lower_status(c) != ESPY_OK)
        return none;
    const struct shape shape = {4, {x.dims[0], x.dims[1], window_taps(w), w->out[0] * w->out[1]}};
    const struct view columns = espy_lower_temporary(c, ESPY_FLOAT32, &shape);
    struct deform_columns_spec spec = DEFORM_COLUMNS_SPEC_DEFAULT;
    struct deform_columns_push push = {.count = (uint32_t)espy_view_count(&columns),
                                       .channels = (uint32_t)x.dims[1],
                                       .offset_channels =
                                           (uint32_t)(x.dims[1] / attrs->offset_group),
                                       .height = (int32_t)w->in[0],
                                       .width = (int32_t)w->in[1],
                                       .x_offset = (int32_t)x.offset,
                                       .offset_offset = (int32_t)offsets.offset,
                                       .mask_offset = (int32_t)mask.offset};
    for (uint32_t d = 0; d < 2; d++) {
        push.kernel[d] = (uint32_t)w->kernel[d];
        push.pixels[d] = (uint32_t)w->out[d];
        push.stride[d] = (int32_t)w->stride[d];
        push.pad[d] = (int32_t)w->pad[d];
        push.dilation[d] = (int32_t)w->dilation[d];
    }
    copy_strides(push.x_strides, &x);
    copy_strides(push.offset_strides, &offsets);
    copy_strides(push.mask_strides, &mask);
    spec.local_size_x = c->caps->local_size;
    spec.offset = parameter_kind(&offsets);
    spec.mask = parameter_kind(&mask);
    struct op_dispatch made = {.shader = deform_columns_shaders.variants[espy_variant(x.storage)],
                               .bindings = {x, offsets, mask, columns},
                               .binding_count = 4,
                               .push = &push,
                               .push_size = sizeof(push),
                               .spec = &spec,
                               .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.count, spec.local_size_x, made.groups);
    espy_lower_dispatch(c, &made);
    return columns;
}

static espy_status lower(struct op_lower *c)
{
    const struct deform_attrs *attrs = c->attrs;
    const struct shape *x = &c->inputs[X].shape, *weight_shape = &c->inputs[W].shape;
    const struct window w = window_of(attrs, x, weight_shape, &c->outputs[0].shape);
    const int64_t inside = weight_shape->dims[1] * window_taps(&w);
    if (inside > WINDOW_TRIPS_MAX)
        return espy_lower_on_host(c, "the window is too large for one invocation");
    const struct view columns = dispatch_columns(c, &w);
    const struct view weights = espy_lower_dense_input(c, W);
    const struct view bias = espy_lower_has(c, BIAS) ? espy_lower_dense_input(c, BIAS)
                                                     : (struct view){.buffer = VIEW_NONE};
    const struct view given = espy_lower_input(c, X);
    const struct view y = espy_lower_output_like(c, 0, &given);
    TRY(espy_lower_status(c));
    struct deform_conv_spec spec = DEFORM_CONV_SPEC_DEFAULT;
    struct deform_conv_push push = {.pixels = (uint32_t)(w.out[0] * w.out[1]),
                                    .width = (uint32_t)w.out[1],
                                    .groups = (uint32_t)attrs->group,
                                    .out_channels = (uint32_t)(y.dims[1] / attrs->group),
                                    .inside = (uint32_t)inside,
                                    .weight_offset = (int32_t)weights.offset,
                                    .bias_offset = (int32_t)bias.offset};
    push.blocks = (push.out_channels + BLOCK - 1) / BLOCK;
    push.count = (uint32_t)y.dims[0] * push.groups * push.blocks * push.pixels;
    copy_strides(push.y_strides, &y);
    spec.local_size_x = c->caps->local_size;
    spec.weight = parameter_kind(&weights);
    spec.bias = parameter_kind(&bias);
    LOWER_EPILOGUE(c, &spec, &push);
    struct op_dispatch made = {.shader = deform_conv_shaders.variants[espy_variant(y.storage)],
                               .bindings = {columns, weights, bias, y},
                               .binding_count = 4,
                               .push = &push,
                               .push_size = sizeof(push),
                               .spec = &spec,
                               .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.count, spec.local_size_x, made.groups);
    espy_lower_dispatch(c, &made);
    return espy_lower_status(c);
}

static const struct op_attr attr_rows[] = {
    WINDOW_LIST_ATTR("kernel_shape", struct deform_attrs, kernel_shape, 1,
                     "window size per axis; default the weights'"),
    WINDOW_LIST_ATTR("pads", struct deform_attrs, pads, 0,
                     "begins of all axes, then ends; default 0"),
    WINDOW_LIST_ATTR("strides", struct deform_attrs, strides, 1, "step per axis; default 1"),
    WINDOW_LIST_ATTR("dilations", struct deform_attrs, dilations, 1,
                     "distance between the window's elements per axis; default 1"),
    {.name = "group",
     .type = OP_INT,
     .offset = offsetof(struct deform_attrs, group),
     .fallback = 1,
     .min = 1,
     .max = INT32_MAX,
     .help = "groups of channels with weights of their own"},
    {.name = "offset_group",
     .type = OP_INT,
     .offset = offsetof(struct deform_attrs, offset_group),
     .fallback = 1,
     .min = 1,
     .max = INT32_MAX,
     .help = "groups of input channels with offsets of their own"},
};

static const struct op ops[] = {{.name = "DeformConv",
                                 .summary = "convolution whose window is moved by data",
                                 .inputs_min = 3,
                                 .inputs_max = INPUTS,
                                 .outputs_min = 1,
                                 .outputs_max = 1,
                                 .flags = OP_EPILOGUE,
                                 .attrs = attr_rows,
                                 .attr_count = sizeof(attr_rows) / sizeof(attr_rows[0]),
                                 .attrs_size = sizeof(struct deform_attrs),
                                 .infer = infer,
                                 .reference = reference,
                                 .lower = lower}};

const struct op_family espy_ops_deform_conv = {ops, 1};
