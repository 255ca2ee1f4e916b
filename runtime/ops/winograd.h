// 3x3 convolutions by Winograd's F(4x4, 3x3), on CPU drivers: a tile of 4x4 outputs takes 36
// products per pair of channels instead of 144. shaders/winograd_input.comp transforms the input's
// tiles, panel.comp multiplies each of the 36 factors with its weights, and winograd_output.comp
// transforms the products into outputs.
#ifndef RUNTIME_OPS_WINOGRAD_H_
#define RUNTIME_OPS_WINOGRAD_H_

#include <math.h>

#include "ops/panel.h"
#include "shaders/winograd_input.spv.h"
#include "shaders/winograd_output.spv.h"
#include "shaders/winograd_weights.spv.h"

enum { WINOGRAD_TILE = 4, WINOGRAD_FACTORS = 36 };

// A convolution in tiles, and what part of them is worked on at once.
struct winograd {
    const struct panel_problem *problem; // the convolution
    int64_t images, tiles_w, tiles_h;    // tiles: of an image
    int64_t tiles, strip;                // of all images; the most at once
};

static inline struct winograd winograd_of(const struct panel_problem *problem)
{
    // What the steps hand on stays in a core's second cache and the cache that all share.
    enum { STRIP_SIZE = 4 << 20, ROWS = 16 };
    const struct window *window = &problem->window;
    struct winograd w = {.problem = problem,
                         .tiles_w = (window->out[2] + WINOGRAD_TILE - 1) / WINOGRAD_TILE,
                         .tiles_h = (window->out[1] + WINOGRAD_TILE - 1) / WINOGRAD_TILE};
    w.images = problem->pixels / window_product(window->out, window->rank);
    w.tiles = w.images * w.tiles_w * w.tiles_h;
    const int64_t size = WINOGRAD_FACTORS * (problem->in + problem->out) * (int64_t)sizeof(float);
    const int64_t most = STRIP_SIZE / size < ROWS ? ROWS : STRIP_SIZE / size / ROWS * ROWS;
    const int64_t strips = (w.tiles + most - 1) / most;
    w.strip = ((w.tiles + strips - 1) / strips + ROWS - 1) / ROWS * ROWS;
    w.strip = w.strip < w.tiles ? w.strip : w.tiles;
    return w;
}

// By times measured on two cores of lavapipe: for a product, alone and in panel.comp's loop over
// nine taps; for what goes from step to step, per input and per output channel; for the dispatches.
static inline bool winograd_pays(const struct winograd *w)
{
    const double direct_ns = 1 / 36.0, product_ns = 1 / 31.0, in_ns = 1.1, out_ns = 0.8;
    const double strip_ns = 6e4, least_ns = 2.5e5; // three pipelines more take time to compile
    const double in = (double)w->problem->in, out = (double)w->problem->out;
    const double tiles = (double)w->tiles, strips = ceil(tiles / (double)w->strip);
    const double direct = direct_ns * 9 * (double)w->problem->pixels * in * out;
    const double transformed =
        WINOGRAD_FACTORS * tiles * (product_ns * in * out + in_ns * in + out_ns * out) +
        strip_ns * strips;
    return transformed < 0.8 * direct && direct - transformed > least_ns;
}

// Not for weights of 16 bits, which would become four times as many of 32.
static inline bool winograd_suits(struct op_lower *c, const struct panel_problem *problem)
{
    const struct window *window = &problem->window;
    const bool plain =
        window->kernel[0] == 1 && window->out[0] == 1 && window->in[0] == 1 && window->pad[0] == 0;
    for (uint32_t i = 1; i < 3; i++)
        if (window->kernel[i] != 3 || window->stride[i] != 1 || window->dilation[i] != 1)
            return false;
    if (!plain || problem->shuffled || problem->groups != 1 || !problem->vector ||
        problem->in % 4 != 0 || problem->out % 4 != 0 || problem->y_pixel % 4 != 0 ||
        problem->pixels == 0 || !espy_lower_is_constant(c, 1) ||
        panel_narrow(c, &problem->w, 4) != PANEL_FLOAT32)
        return false;
    const struct winograd w = winograd_of(problem);
    const int64_t pairs = problem->in * problem->out;
    return winograd_pays(&w) &&
           espy_lower_spare(c, (uint64_t)((WINOGRAD_FACTORS - 9) * pairs) * sizeof(float));
}

static inline struct view winograd_weights(struct op_lower *c, const struct panel_problem *problem)
{
    const struct shape shape = {3, {WINOGRAD_FACTORS, problem->out, problem->in}};
    const struct view factors = espy_lower_temporary(c, ESPY_FLOAT32, &shape);
    struct winograd_weights_spec spec = WINOGRAD_WEIGHTS_SPEC_DEFAULT;
    spec.local_size_x = c->caps->local_size;
    struct winograd_weights_push push = {.count = (uint32_t)(problem->in * problem->out),
                                         .in_channels = (uint32_t)problem->in,
                                         .offset = (int32_t)problem->w.offset,
                                         .strides = {problem->w_strides[0], problem->w_strides[1],
                                                     problem->w_strides[3], problem->w_strides[4]}};
    struct op_dispatch dispatch = {.shader = winograd_weights_shaders.variants[VARIANT_NONE],
                                   .bindings = {problem->w, factors},
                                   .binding_count = 2,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.count, spec.local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
    return factors;
}

// Of `count` tiles from `first` on.
static inline void winograd_input(struct op_lower *c, const struct winograd *w, int64_t first,
                                  int64_t count, const struct view *factors)
{
    const struct panel_problem *problem = w->problem;
    const struct window *window = &problem->window;
    struct winograd_input_spec spec = WINOGRAD_INPUT_SPEC_DEFAULT;
    spec.local_size_x = window_local_size(c);
    spec.padded = !panel_stays_inside(window) || window->out[1] % WINOGRAD_TILE != 0 ||
                  window->out[2] % WINOGRAD_TILE != 0;
    struct winograd_input_push push = {.tiles = (uint32_t)count,
                                       .quads = (uint32_t)problem->in / 4,
                                       .first = (uint32_t)first,
                                       .tiles_w = (uint32_t)w->tiles_w,
                                       .tiles_h = (uint32_t)w->tiles_h,
                                       .x_offset = (int32_t)problem->x.offset / 4,
                                       .x_strides = {problem->x_strides[0] / 4,
                                                     problem->x_strides[3] / 4,
                                                     problem->x_strides[4] / 4},
                                       .in_h = (uint32_t)window->in[1],
                                       .in_w = (uint32_t)window->in[2],
                                       .pad_h = (uint32_t)window->pad[1],
                                       .pad_w = (uint32_t)window->pad[2]};
    struct op_dispatch dispatch = {.shader = winograd_input_shaders.variants[VARIANT_NONE],
                                   .bindings = {problem->x, *factors},
                                   .binding_count = 2,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    espy_lower_grid(c, (size_t)push.tiles * push.quads, spec.local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
}

static inline void winograd_output(struct op_lower *c, const struct winograd *w, int64_t first,
                                   int64_t count, const struct view *products, const struct view *y)
{
    const struct panel_problem *problem = w->problem;
    struct winograd_output_spec spec = WINOGRAD_OUTPUT_SPEC_DEFAULT;
    spec.local_size_x = window_local_size(c);
    spec.has_bias = problem->bias.buffer != VIEW_NONE;
    struct winograd_output_push push = {.tiles = (uint32_t)count,
                                        .quads = (uint32_t)problem->out / 4,
                                        .first = (uint32_t)first,
                                        .tiles_w = (uint32_t)w->tiles_w,
                                        .tiles_h = (uint32_t)w->tiles_h,
                                        .out_h = (uint32_t)problem->window.out[1],
                                        .out_w = (uint32_t)problem->window.out[2],
                                        .y_offset = (uint32_t)y->offset / 4,
                                        .y_pixel = (uint32_t)problem->y_pixel / 4};
    LOWER_SHARED_EPILOGUE(c, &spec, &push);
    struct op_dispatch dispatch = {.shader = winograd_output_shaders.variants[VARIANT_NONE],
                                   .bindings = {*products, problem->bias, *y, problem->operand},
                                   .binding_count = 4,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    espy_lower_grid(c, (size_t)push.tiles * push.quads, spec.local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
}

// The product of each factor with its weights, as a convolution of one tap with a group per factor.
static inline struct panel_problem
winograd_product(const struct winograd *w, const struct view *factors, const struct view *weights)
{
    const int64_t in = w->problem->in, out = w->problem->out;
    return (struct panel_problem){.groups = WINOGRAD_FACTORS,
                                  .in = in,
                                  .out = out,
                                  .pixels = w->strip,
                                  .window = {.rank = 3,
                                             .in = {1, 1, w->strip},
                                             .out = {1, 1, w->strip},
                                             .kernel = {1, 1, 1},
                                             .stride = {1, 1, 1},
                                             .dilation = {1, 1, 1}},
                                  .linear = true,
                                  .inner = true,
                                  .x = *factors,
                                  .w = *weights,
                                  .bias = {.buffer = VIEW_NONE},
                                  .x_strides = {0, 1, 0, 0, (int32_t)(WINOGRAD_FACTORS * in)},
                                  .w_strides = {(int32_t)in, 1, 0, 0, 0},
                                  .vector = true,
                                  .operand = {.buffer = VIEW_NONE},
                                  .y_pixel = WINOGRAD_FACTORS * out};
}

static inline void winograd_lower(struct op_lower *c, const struct panel_problem *problem,
                                  const struct view *y)
{
    const struct winograd w = winograd_of(problem);
    const struct view weights = winograd_weights(c, problem);
    const struct shape in = {3, {w.strip, WINOGRAD_FACTORS, problem->in}};
    const struct shape out = {3, {w.strip, WINOGRAD_FACTORS, problem->out}};
    const struct view factors = espy_lower_temporary(c, ESPY_FLOAT32, &in);
    const struct view products = espy_lower_temporary(c, ESPY_FLOAT32, &out);
    struct panel_problem product = winograd_product(&w, &factors, &weights);
    const struct panel panel = panel_of(c, &product);
    for (int64_t first = 0; first < w.tiles; first += w.strip) {
        product.pixels = w.tiles - first < w.strip ? w.tiles - first : w.strip;
        winograd_input(c, &w, first, product.pixels, &factors);
        panel_multiply(c, &product, &panel, &products);
        winograd_output(c, &w, first, product.pixels, &products, y);
    }
}

#endif // RUNTIME_OPS_WINOGRAD_H_
