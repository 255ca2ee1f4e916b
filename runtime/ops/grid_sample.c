// GridSample: a picture or volume, read where a grid of points says.
#include <math.h>
#include <string.h>

#include "op/lower.h"
#include "op/op.h"
#include "shaders/grid_sample.spv.h"
#include "shaders/include/grid_sample_codes.glsl"

struct grid_sample_attrs {
    int mode, padding_mode;
    bool align_corners;
};

enum { CHANNELS = 4 }; // of one invocation, as in the kernel

static espy_status infer(struct op_infer *c)
{
    const struct shape *x = &c->inputs[0].shape, *grid = &c->inputs[1].shape;
    if (!espy_dtype_is_float(c->inputs[1].dtype))
        return espy_infer_fail(c, "the grid is %s, needs floats",
                               espy_dtype_name(c->inputs[1].dtype));
    if (x->rank != grid->rank || x->rank < 3)
        return espy_infer_fail(c, "inputs have %u and %u dimensions", x->rank, grid->rank);
    if (grid->dims[grid->rank - 1] != (int64_t)x->rank - 2)
        return espy_infer_fail(c, "the grid needs %u coordinates for each point", x->rank - 2);
    if (x->rank != 4 && x->rank != 5)
        return espy_infer_unsupported(c, "takes pictures and volumes");
    if (x->dims[0] != grid->dims[0])
        return espy_infer_fail(c, "inputs have %lld and %lld pictures", (long long)x->dims[0],
                               (long long)grid->dims[0]);
    struct op_type y = c->inputs[0];
    size_t count = 0, source_count = 0;
    for (uint32_t d = 2; d < x->rank; d++)
        y.shape.dims[d] = grid->dims[d - 1];
    if (espy_shape_count(&y.shape, &count) && espy_shape_count(x, &source_count) && count > 0 &&
        source_count == 0)
        return espy_infer_fail(c, "samples of an empty picture");
    c->outputs[0] = y;
    return ESPY_OK;
}

// ---- reference ----------------------------------------------------------------------------------

// One dimension of the picture, and how it is read.
struct line {
    int mode, padding;
    double size, lowest, highest;
};

static double reflect(const struct line *line, double at)
{
    const double range = line->highest - line->lowest;
    if (range <= 0)
        return line->lowest;
    const bool below = at < line->lowest;
    if (!below && !(at > line->highest))
        return at;
    const double beyond = below ? line->lowest - at : at - line->highest;
    const double turns = floor(beyond / range), rest = beyond - turns * range;
    return below == (fmod(turns, 2) == 0) ? line->lowest + rest : line->highest - rest;
}

static double locate(const struct line *line, bool align_corners, double coordinate)
{
    double at = align_corners ? (coordinate + 1) / 2 * (line->size - 1)
                              : ((coordinate + 1) * line->size - 1) / 2;
    if (line->mode == GRID_NEAREST)
        at = nearbyint(at);
    if (line->mode == GRID_CUBIC) // each of the pixels is moved into the picture, not their centre
        return at;
    if (line->padding == GRID_ZEROS || (at >= line->lowest && at <= line->highest))
        return at;
    return line->padding == GRID_BORDER ? fmin(fmax(at, 0), line->size - 1) : reflect(line, at);
}

// -1: outside, where everything is zero.
static int64_t pixel(const struct line *line, double at)
{
    if (line->padding == GRID_REFLECTION)
        at = reflect(line, at);
    else if (line->padding == GRID_ZEROS && !(at >= 0 && at <= line->size - 1))
        return -1;
    return (int64_t)fmin(fmax(at, 0), line->size - 1); // NaN becomes 0
}

static double cubic(double t)
{
    const double a = -0.75;
    t = fabs(t);
    return t <= 1 ? (a + 2) * t * t * t - (a + 3) * t * t + 1
                  : a * t * t * t - 5 * a * t * t + 8 * a * t - 4 * a;
}

struct taps {
    uint32_t count;
    int64_t pixels[4];
    double weights[4];
};

static void fill_taps(const struct line *line, double at, struct taps *taps)
{
    if (line->mode == GRID_NEAREST) {
        *taps = (struct taps){1, {pixel(line, at)}, {1}};
        return;
    }
    const double first = floor(at), rest = at - first;
    const double start = line->mode == GRID_CUBIC ? first - 1 : first;
    taps->count = line->mode == GRID_CUBIC ? 4 : 2;
    for (uint32_t k = 0; k < taps->count; k++) {
        taps->pixels[k] = pixel(line, start + k);
        taps->weights[k] = line->mode == GRID_CUBIC ? cubic(rest + 1 - k) : fabs(1 - rest - k);
    }
}

// plane: the first element of the picture's channel.
static double gather(const struct tensor *x, size_t plane, const struct taps taps[3],
                     const int64_t dims[3])
{
    double sum = 0;
    for (uint32_t i = 0; i < taps[0].count; i++)
        for (uint32_t j = 0; j < taps[1].count; j++)
            for (uint32_t k = 0; k < taps[2].count; k++) {
                const int64_t z = taps[0].pixels[i], row = taps[1].pixels[j];
                const int64_t column = taps[2].pixels[k];
                if (z >= 0 && row >= 0 && column >= 0)
                    sum += taps[0].weights[i] * taps[1].weights[j] * taps[2].weights[k] *
                           espy_tensor_number(
                               x, plane + (size_t)((z * dims[1] + row) * dims[2] + column));
            }
    return sum;
}

// One element, whatever type it has.
static void move(struct op_eval *c, size_t to, size_t plane, const struct taps taps[3],
                 const int64_t dims[3])
{
    const int64_t z = taps[0].pixels[0], row = taps[1].pixels[0], column = taps[2].pixels[0];
    if (z < 0 || row < 0 || column < 0)
        espy_tensor_set_number(&c->outputs[0], to, 0);
    else
        espy_tensor_move(&c->outputs[0], to, &c->inputs[0],
                         plane + (size_t)((z * dims[1] + row) * dims[2] + column), 1);
}

// What is between integers is cut towards zero, after it was rounded to float, so that what float's
// precision cannot tell from an integer is that integer. What is beyond the type is its last one.
static double whole(double sum, espy_dtype dtype)
{
    if (espy_dtype_is_float(dtype) || dtype == ESPY_BOOL)
        return sum;
    const double cut = trunc((double)(float)sum);
    const int bits = 8 * (int)espy_dtype_size(dtype);
    const double low = espy_dtype_is_signed(dtype) ? -ldexp(1, bits - 1) : 0;
    const double high = ldexp(1, espy_dtype_is_signed(dtype) ? bits - 1 : bits);
    return cut < low ? low : cut >= high ? (bits < 64 ? high - 1 : nextafter(high, 0)) : cut;
}

static void reference(struct op_eval *c)
{
    const struct grid_sample_attrs *attrs = c->attrs;
    const espy_dtype dtype = c->inputs[0].type.dtype;
    const struct shape *shape = &c->inputs[0].type.shape;
    const uint32_t rank = shape->rank - 2;
    int64_t dims[3] = {1, 1, 1};
    struct line lines[3];
    struct taps taps[3] = {{1, {0}, {1}}, {1, {0}, {1}}, {1, {0}, {1}}};
    size_t points = 1, plane = 1;
    for (uint32_t d = 0; d < rank; d++) {
        dims[3 - rank + d] = shape->dims[2 + d];
        points *= (size_t)c->outputs[0].type.shape.dims[2 + d];
        plane *= (size_t)shape->dims[2 + d];
    }
    for (uint32_t d = 0; d < 3; d++)
        lines[d] = (struct line){attrs->mode, attrs->padding_mode, (double)dims[d],
                                 attrs->align_corners ? 0 : -0.5,
                                 (double)dims[d] - (attrs->align_corners ? 1 : 0.5)};
    const size_t channels = (size_t)shape->dims[1];
    for (size_t n = 0; n < (size_t)shape->dims[0]; n++)
        for (size_t p = 0; p < points; p++) {
            for (uint32_t d = 0; d < rank; d++) { // the grid's coordinates are x, y, z
                const size_t from = (n * points + p) * rank + d;
                const double at = locate(&lines[2 - d], attrs->align_corners,
                                         espy_tensor_number(&c->inputs[1], from));
                fill_taps(&lines[2 - d], espy_dtype_is_float(dtype) ? at : (double)(float)at,
                          &taps[2 - d]);
            }
            for (size_t k = 0; k < channels; k++) {
                const size_t to = (n * channels + k) * points + p;
                const size_t from = (n * channels + k) * plane;
                if (attrs->mode == GRID_NEAREST)
                    move(c, to, from, taps, dims);
                else
                    espy_tensor_set_number(&c->outputs[0], to,
                                           whole(gather(&c->inputs[0], from, taps, dims), dtype));
            }
        }
}

// ---- lower --------------------------------------------------------------------------------------

static espy_status lower(struct op_lower *c)
{
    const struct grid_sample_attrs *attrs = c->attrs;
    const uint32_t rank = c->inputs[0].shape.rank - 2;
    if (attrs->mode != GRID_NEAREST && !espy_dtype_is_float(c->inputs[0].dtype))
        return espy_lower_on_host(c, "interpolation of integers");
    const struct view x = espy_lower_input(c, 0), grid = espy_lower_dense_input(c, 1);
    TRY(espy_lower_status(c));
    const bool channels_last = x.strides[1] == 1 && x.dims[1] > 1;
    const struct view y =
        channels_last ? espy_lower_channels_last_output(c, 0) : espy_lower_output(c, 0);
    TRY(espy_lower_status(c));
    struct grid_sample_spec spec = GRID_SAMPLE_SPEC_DEFAULT;
    struct grid_sample_push push = {.channels = (uint32_t)x.dims[1],
                                    .channel_blocks =
                                        (uint32_t)(x.dims[1] + CHANNELS - 1) / CHANNELS,
                                    .points = 1,
                                    .x_offset = (int32_t)x.offset,
                                    .grid_offset = (int32_t)grid.offset,
                                    .dims = {1, 1, 1}};
    push.x_strides[0] = (int32_t)x.strides[0];
    push.x_strides[1] = (int32_t)x.strides[1];
    for (uint32_t d = 0; d < rank; d++) {
        push.points *= (uint32_t)y.dims[2 + d];
        push.dims[3 - rank + d] = (int32_t)x.dims[2 + d];
        push.x_strides[5 - rank + d] = (int32_t)x.strides[2 + d];
    }
    // Points are one run in either layout.
    push.y_strides[0] = (int32_t)y.strides[0];
    push.y_strides[1] = (int32_t)y.strides[1];
    push.y_strides[2] = channels_last ? (int32_t)y.dims[1] : 1;
    push.count = (uint32_t)x.dims[0] * push.channel_blocks * push.points;
    spec.local_size_x = c->caps->local_size;
    spec.channels_innermost = channels_last;
    spec.mode = (uint32_t)attrs->mode;
    spec.padding = (uint32_t)attrs->padding_mode;
    spec.align_corners = attrs->align_corners;
    spec.grid = grid.storage == STORAGE_F16 ? 2 : 1;
    spec.rank = rank;
    LOWER_EPILOGUE(c, &spec, &push);
    struct op_dispatch made = {.shader = grid_sample_shaders.variants[espy_variant(x.storage)],
                               .bindings = {x, grid, y},
                               .binding_count = 3,
                               .push = &push,
                               .push_size = sizeof(push),
                               .spec = &spec,
                               .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.count, spec.local_size_x, made.groups);
    espy_lower_dispatch(c, &made);
    return espy_lower_status(c);
}

static const char *const modes[] = {"linear", "nearest", "cubic", NULL};
static const char *const paddings[] = {"zeros", "border", "reflection", NULL};

static const struct op_attr attr_rows[] = {
    {.name = "mode",
     .type = OP_ENUM,
     .offset = offsetof(struct grid_sample_attrs, mode),
     .choices = modes,
     .help = "how pixels around a point are weighed"},
    {.name = "padding_mode",
     .type = OP_ENUM,
     .offset = offsetof(struct grid_sample_attrs, padding_mode),
     .choices = paddings,
     .help = "what lies outside of the picture"},
    {.name = "align_corners",
     .type = OP_BOOL,
     .offset = offsetof(struct grid_sample_attrs, align_corners),
     .fallback = 0,
     .help = "-1 and 1 are centres of the outermost pixels, not their outer edges"},
};

static const struct op ops[] = {{.name = "GridSample",
                                 .summary =
                                     "a picture or volume, read where a grid of points says; "
                                     "integers between others are cut towards zero",
                                 .inputs_min = 2,
                                 .inputs_max = 2,
                                 .outputs_min = 1,
                                 .outputs_max = 1,
                                 .flags = OP_EPILOGUE,
                                 .attrs = attr_rows,
                                 .attr_count = sizeof(attr_rows) / sizeof(attr_rows[0]),
                                 .attrs_size = sizeof(struct grid_sample_attrs),
                                 .infer = infer,
                                 .reference = reference,
                                 .lower = lower}};

const struct op_family espy_ops_grid_sample = {ops, 1};
