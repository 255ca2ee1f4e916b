// The fast path that convolutions and matrix products share on CPU drivers: shaders/panel.comp. A
// product is a convolution with one tap whose pixels are the rows of its left operand.
#ifndef RUNTIME_OPS_PANEL_H_
#define RUNTIME_OPS_PANEL_H_

#include "op/lower.h"
#include "ops/window.h"
#include "shaders/include/panel_codes.glsl"
#include "shaders/panel.spv.h"
#include "shaders/panel_pack.spv.h"

struct panel_problem {
    int64_t groups, in, out; // in, out: channels of one group
    int64_t pixels;          // of the output, all images together
    struct window window;    // three-dimensional
    bool linear;             // pixel i lies i * x_strides[4] from the first
    bool inner;              // more is to come: the node's steps do not follow this product
    struct view x, w, bias;  // bias: dense from element 0 of its buffer, or VIEW_NONE
    int32_t x_strides[5];    // n, c, d, h, w
    int32_t w_strides[5];    // output channel, input channel, d, h, w
    bool vector;             // the input channels of a pixel can be read four at a time
    bool padded;             // y has room for whole vectors at each pixel
    struct view operand;     // of the tail; lies as the output does
    bool shuffled;           // operand and y are what espy_lower_take_shuffle gives
    bool scaled;             // factors are what espy_lower_take_factors gives
    struct view factors;
    int64_t y_pixel;         // elements from a pixel of the output to the next
};

// The kernel needs a subgroup per workgroup, and texel views of whatever can be bound.
static inline bool panel_suits(const struct op_lower *c, enum storage storage)
{
    const struct caps *caps = c->caps;
    return espy_lower_reads_vectors(c, storage) && caps->subgroups && caps->subgroup_size >= 4 &&
           caps->subgroup_size <= caps->invocations_max;
}

// Output channels per lane: those whose panels cost least. Handing a vector of a pixel to all lanes
// costs about as much as 0.6 columns.
static inline uint32_t panel_columns(int64_t channels, uint32_t lanes)
{
    uint32_t best = 4;
    double least = 0;
    for (uint32_t columns = 4; columns > 0; columns /= 2) {
        const int64_t width = (int64_t)lanes * columns;
        const double cost = (double)((channels + width - 1) / width) * (columns + 0.6);
        if (columns == 4 || cost < least) {
            best = columns;
            least = cost;
        }
    }
    return best;
}

// Pixels per workgroup: as many as are asked for, or as few as leave no tile half empty.
static inline uint32_t panel_pixels(int64_t pixels, uint32_t pixels_max)
{
    const int64_t tiles = (pixels + pixels_max - 1) / pixels_max;
    return tiles == 0 ? 1 : (uint32_t)((pixels + tiles - 1) / tiles);
}

// Forms of both panel kernels, for espy_lower_choose: pixels per workgroup. The first is the
// estimate. More read the weights less often; fewer keep more of their sums in registers and make
// more workgroups of little work.
static const uint32_t panel_forms[] = {16, 24, 8, 12};
enum { PANEL_FORMS = sizeof(panel_forms) / sizeof(panel_forms[0]) };

// The kernel can write its channels and another tensor's in turns (espy_lower_take_shuffle).
static inline bool panel_shuffles(const struct op_lower *c, int64_t groups, int64_t channels)
{
    return panel_suits(c, espy_lower_storage(c, c->outputs[0].dtype)) && groups == 1 &&
           channels % 2 == 0 && panel_columns(channels, c->caps->subgroup_size) == 4;
}

// It can store channels that are not there, whose weights are zero, so that all are whole vectors.
static inline bool panel_pads(const struct op_lower *c, const struct panel_problem *problem)
{
    return panel_suits(c, espy_lower_storage(c, c->outputs[0].dtype)) && problem->groups == 1 &&
           problem->pixels > 1 && panel_columns(problem->out, c->caps->subgroup_size) == 4;
}

// No position of the window leaves the input.
static inline bool panel_stays_inside(const struct window *window)
{
    for (uint32_t i = 0; i < window->rank; i++)
        if (window->pad[i] > 0 ||
            (window->out[i] - 1) * window->stride[i] + window_extent(window, i) > window->in[i])
            return false;
    return true;
}

// Weights that are of 16 bits in the file stay so: unpacking two costs what reading one more would.
static inline uint32_t panel_narrow(const struct op_lower *c, const struct view *w, uint32_t cols)
{
    const espy_dtype dtype = espy_lower_host_dtype(c, w);
    const uint32_t narrow = dtype == ESPY_FLOAT16    ? PANEL_FLOAT16
                            : dtype == ESPY_BFLOAT16 ? PANEL_BFLOAT16
                                                     : PANEL_FLOAT32;
    return cols >= 2 ? narrow : PANEL_FLOAT32; // a texel has eight weights, of two columns
}

static inline struct view panel_weights(struct op_lower *c, const struct panel_problem *problem,
                                        const struct panel_spec *panel, int64_t group_panels)
{
    const struct window *window = &problem->window;
    const int64_t taps = window_taps(window), quads = (problem->in + 3) / 4;
    const struct shape shape = {
        5,
        {problem->groups * group_panels, taps * quads, panel->cols, panel->lanes,
         panel->narrow == PANEL_FLOAT32 ? 4 : 2}};
    const struct view packed = espy_lower_temporary(
        c, panel->narrow == PANEL_FLOAT32 ? problem->w.dtype : ESPY_FLOAT32, &shape);
    struct panel_pack_spec spec = PANEL_PACK_SPEC_DEFAULT;
    spec.local_size_x = c->caps->local_size;
    spec.lanes = panel->lanes;
    spec.narrow = panel->narrow;
    const int64_t rows = problem->groups * group_panels * taps * panel->cols * panel->lanes;
    struct panel_pack_push push = {.count = (uint32_t)rows,
                                   .cols_log2 = panel->cols / 2, // of 1, 2 or 4
                                   .group_panels = (uint32_t)group_panels,
                                   .in_channels = (uint32_t)problem->in,
                                   .out_channels = (uint32_t)problem->out,
                                   .kernel_d = (uint32_t)window->kernel[0],
                                   .kernel_h = (uint32_t)window->kernel[1],
                                   .kernel_w = (uint32_t)window->kernel[2],
                                   .offset = (int32_t)problem->w.offset};
    for (uint32_t i = 0; i < 5; i++)
        push.strides[i] = problem->w_strides[i];
    struct op_dispatch dispatch = {.shader = espy_vector_shader(c, &panel_pack_shaders),
                                   .bindings = {problem->w, packed},
                                   .binding_count = 2,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.count, spec.local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
    return packed;
}

// Pixels of up to four channels, a vector's room each: a line of the window is one run of vectors.
static inline bool panel_goes_along(const struct panel_problem *problem)
{
    return problem->in <= 4 && problem->groups == 1 && problem->vector &&
           problem->window.kernel[2] > 1 && problem->window.dilation[2] == 1 &&
           problem->x_strides[4] == 4;
}

static inline uint32_t panel_choose(struct op_lower *c, const struct panel_problem *problem)
{
    const struct window *w = &problem->window;
    return panel_forms[espy_lower_choose(
        c, PANEL_FORMS, 0, "panel", "%lldx%lld,g%lld,p%lld,w%lld,k%lldx%lldx%lld,s%lldx%lld,%d%d%d",
        (long long)problem->in, (long long)problem->out, (long long)problem->groups,
        (long long)problem->pixels, (long long)w->out[2], (long long)w->kernel[0],
        (long long)w->kernel[1], (long long)w->kernel[2], (long long)w->stride[1],
        (long long)w->stride[2], problem->vector, problem->linear, !panel_stays_inside(w))];
}

// Every number of pixels per workgroup is a pipeline, which takes longer to compile than most
// networks take to run. So maps of 7 x 7, 14 x 14 and so on share one: the best would be 16 for the
// large ones and 13 for the smallest, and costs 2 to 6 % less. Kernels of fewer columns gain more
// by the best, and networks have them, as the one for their pictures, for maps of one size mostly.
static inline uint32_t panel_usual_pixels(const struct panel_problem *problem, uint32_t columns)
{
    enum { SMALLEST = 7 * 7, SHARED = 14 };
    const bool shares = problem->pixels > 0 && problem->pixels % SMALLEST == 0 && columns == 4 &&
                        !panel_goes_along(problem);
    return shares ? SHARED : panel_pixels(problem->pixels, panel_forms[0]);
}

static inline struct panel_spec panel_spec_of(struct op_lower *c,
                                              const struct panel_problem *problem)
{
    const struct window *window = &problem->window;
    struct panel_spec spec = PANEL_SPEC_DEFAULT;
    spec.local_size_x = spec.lanes = c->caps->subgroup_size;
    const uint32_t pixels_max = panel_choose(c, problem);
    spec.cols = panel_columns(problem->out, spec.lanes);
    spec.pixels = pixels_max == panel_forms[0] ? panel_usual_pixels(problem, spec.cols)
                                               : panel_pixels(problem->pixels, pixels_max);
    // A single pixel is work so short that the pipelines of other widths would take longer to make.
    spec.cols = spec.pixels == 1 ? 4 : spec.cols;
    spec.narrow = panel_narrow(c, &problem->w, spec.cols);
    spec.depth = problem->in < 4 ? (uint32_t)problem->in : 4;
    spec.has_bias = problem->bias.buffer != VIEW_NONE;
    const bool whole = problem->padded || problem->shuffled || // these always are vectors
                       (problem->out % 4 == 0 && problem->y_pixel % 4 == 0);
    spec.store_vector = whole && spec.pixels > 1 ? 4 : 1;
    spec.vector = problem->vector ? 4 : 1;
    spec.padded = !problem->linear; // other windows that stay inside are too few for a pipeline
    spec.linear = problem->linear;
    spec.along = panel_goes_along(problem);
    if (problem->scaled)
        spec.factors = problem->factors.dims[0] > 1 ? 2 : 1;
    spec.in_d = (uint32_t)window->in[0];
    spec.out_d = (uint32_t)window->out[0];
    spec.kernel_d = (uint32_t)window->kernel[0];
    spec.stride_d = (uint32_t)window->stride[0];
    spec.dilation_d = (uint32_t)window->dilation[0];
    spec.pad_d = (uint32_t)window->pad[0];
    return spec;
}

// A problem's kernel, and its weights as the kernel wants them.
struct panel {
    struct panel_spec spec;
    int64_t group_panels;
    struct view weights;
};

static inline struct panel panel_of(struct op_lower *c, const struct panel_problem *problem)
{
    struct panel panel = {.spec = panel_spec_of(c, problem)};
    const int64_t width = (int64_t)panel.spec.lanes * panel.spec.cols;
    panel.group_panels = (problem->out + width - 1) / width;
    panel.weights = panel_weights(c, problem, &panel.spec, panel.group_panels);
    return panel;
}

// y: channels-last, pixels problem->y_pixel apart. The problem may have other pixels than the one that
// the panel was made for.
static inline void panel_multiply(struct op_lower *c, const struct panel_problem *problem,
                                  const struct panel *panel, const struct view *y)
{
    const struct window *window = &problem->window;
    struct panel_spec spec = panel->spec;
    const int64_t group_panels = panel->group_panels;
    const struct view none = {.buffer = VIEW_NONE};
    const int64_t in = spec.along ? 4 * window->kernel[2] : problem->in;
    const int64_t kernel_w = spec.along ? 1 : window->kernel[2];
    struct panel_push push = {.pixels = (uint32_t)problem->pixels,
                              .panels = (uint32_t)(problem->groups * group_panels),
                              .group_panels = (uint32_t)group_panels,
                              .in_channels = (uint32_t)in,
                              .out_channels = (uint32_t)problem->out,
                              .x_offset = (int32_t)problem->x.offset,
                              .in_h = (uint32_t)window->in[1],
                              .in_w = (uint32_t)window->in[2],
                              .out_h = (uint32_t)window->out[1],
                              .out_w = (uint32_t)window->out[2],
                              .kernel = (uint32_t)(window->kernel[1] << 16 | kernel_w),
                              .y_pixel = (uint32_t)problem->y_pixel,
                              .y_offset = (uint32_t)y->offset,
                              .stride = (uint32_t)(window->stride[1] << 16 | window->stride[2]),
                              .dilation_h = (uint32_t)window->dilation[1],
                              .dilation_w = (uint32_t)window->dilation[2],
                              .pad_h = (uint32_t)window->pad[1],
                              .pad_w = (uint32_t)window->pad[2]};
    for (uint32_t i = 0; i < 5; i++)
        push.x_strides[i] = problem->x_strides[i];
    if (problem->shuffled) {
        // Kernels that read no vectors are few, and have one pipeline for both.
        spec.shuffle =
            spec.vector == 4 && espy_view_vectors(&problem->operand, 1, true) ? 4 : 1;
        push.operand_pixel = (uint32_t)problem->operand.strides[3];
        push.y_offset--; // the operand's first channel
    }
    if (!problem->inner)
        LOWER_SHARED_EPILOGUE(c, &spec, &push);
    struct op_dispatch dispatch = {.shader = espy_vector_shader(c, &panel_shaders),
                                   .bindings = {problem->x, problem->x, panel->weights, problem->bias,
                                                *y, problem->operand, problem->operand,
                                                problem->scaled ? problem->factors : none},
                                   .binding_count = 8,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    const size_t tiles = (push.pixels + (size_t)spec.pixels - 1) / spec.pixels;
    espy_lower_grid(c, push.panels * tiles, 1, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
}

static inline void panel_lower(struct op_lower *c, const struct panel_problem *problem,
                               const struct view *y)
{
    if (problem->x.buffer == VIEW_NONE || problem->w.buffer == VIEW_NONE ||
        y->buffer == VIEW_NONE || problem->pixels * problem->out * problem->groups == 0)
        return;
    const struct panel panel = panel_of(c, problem);
    panel_multiply(c, problem, &panel, y);
}

#endif // RUNTIME_OPS_PANEL_H_
