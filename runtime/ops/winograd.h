// 3x3 convolutions by Winograd's F(4x4, 3x3) and F(2x2, 3x3): a tile of 4x4 outputs takes 36
// products per pair of channels instead of 144, one of 2x2 takes 16 instead of 36.
// shaders/winograd_input.comp transforms the input's tiles, panel.comp or on GPUs gemm.comp
// multiplies each factor with its weights, and winograd_output.comp transforms the products into
// outputs.
#ifndef RUNTIME_OPS_WINOGRAD_H_
#define RUNTIME_OPS_WINOGRAD_H_

#include <math.h>

#include "ops/gemm.h"
#include "ops/panel.h"
#include "shaders/winograd_input.spv.h"
#include "shaders/winograd_output.spv.h"
#include "shaders/winograd_weights.spv.h"

// Forms on GPUs, for espy_lower_choose: outputs of a tile along an axis are twice that; 0 is none.
enum winograd_form { WINOGRAD_NONE, WINOGRAD_TWO, WINOGRAD_FOUR, WINOGRAD_FORMS };

// A convolution in tiles, and what part of them is worked on at once.
struct winograd {
    const struct panel_problem *problem; // the convolution
    int64_t tile, factors;               // outputs along an axis; numbers that a tile becomes
    int64_t images, tiles_w, tiles_h;    // tiles: of an image
    int64_t tiles, strip;                // of all images; the most at once
};

static inline struct winograd winograd_of(const struct op_lower *c,
                                          const struct panel_problem *problem, int64_t tile)
{
    // What the steps hand on stays in a core's second cache and the cache that all share, or in the
    // cache of a GPU, which wants large tiles full.
    enum { STRIP_CPU = 4 << 20, ROWS_CPU = 16, STRIP_GPU = 32 << 20, ROWS_GPU = 128 };
    const int64_t strip = c->caps->cpu ? STRIP_CPU : STRIP_GPU;
    const int64_t rows = c->caps->cpu ? ROWS_CPU : ROWS_GPU;
    const struct window *window = &problem->window;
    struct winograd w = {.problem = problem,
                         .tile = tile,
                         .factors = (tile + 2) * (tile + 2),
                         .tiles_w = (window->out[2] + tile - 1) / tile,
                         .tiles_h = (window->out[1] + tile - 1) / tile};
    w.images = problem->pixels / window_product(window->out, window->rank);
    w.tiles = w.images * w.tiles_w * w.tiles_h;
    const int64_t size = w.factors * (problem->in + problem->out) * (int64_t)sizeof(float);
    const int64_t most = strip / size < rows ? rows : strip / size / rows * rows;
    const int64_t strips = (w.tiles + most - 1) / most;
    w.strip = ((w.tiles + strips - 1) / strips + rows - 1) / rows * rows;
    w.strip = w.strip < w.tiles ? w.strip : w.tiles;
    return w;
}

// ---- products -----------------------------------------------------------------------------------

// Of each factor with its weights, as a convolution of one tap with a group per factor. Factors and
// products lie as [tile][factor][channel].
static inline struct panel_problem
winograd_panel(const struct winograd *w, const struct view *factors, const struct view *weights)
{
    const int64_t in = w->problem->in, out = w->problem->out;
    return (struct panel_problem){.groups = w->factors,
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
                                  .x_strides = {0, 1, 0, 0, (int32_t)(w->factors * in)},
                                  .w_strides = {(int32_t)in, 1, 0, 0, 0},
                                  .vector = true,
                                  .operand = {.buffer = VIEW_NONE},
                                  .y_pixel = w->factors * out};
}

// The same for `count` tiles as a batch of matrix products: factors and products lie as
// [factor][tile][channel], the former with channels up to a whole vector.
static inline struct gemm_problem winograd_gemm(const struct winograd *w, int64_t count,
                                                const struct view *factors,
                                                const struct view *weights)
{
    const int64_t in = w->problem->in, room = (in + 3) / 4 * 4;
    return (struct gemm_problem){.batches = w->factors,
                                 .in = in,
                                 .out = w->problem->out,
                                 .pixels = count,
                                 .window = {.rank = 3, .kernel = {1, 1, 1}},
                                 .linear = true,
                                 .vector = true,
                                 .inner = true,
                                 .x = *factors,
                                 .w = *weights,
                                 .bias = {.buffer = VIEW_NONE},
                                 .operand = {.buffer = VIEW_NONE},
                                 .x_strides = {0, 1, 0, 0, (int32_t)room},
                                 .w_strides = {(int32_t)in, 1, 0, 0, 0},
                                 .batch_dims = {1, 1, w->factors},
                                 .x_batch = {0, 0, count * room}};
}

// ---- whether ------------------------------------------------------------------------------------

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
        (double)w->factors * tiles * (product_ns * in * out + in_ns * in + out_ns * out) +
        strip_ns * strips;
    return transformed < 0.8 * direct && direct - transformed > least_ns;
}

// What a form costs on GPUs, in the multiplications that gemm_cost counts. All of it is an
// estimate: a byte that one step writes for another takes as long as BYTE_COST of them, and a
// dispatch with the wait before it as long as DISPATCH_COST of each of the workgroups that keep the
// device busy.
static inline double winograd_cost(const struct op_lower *c, const struct panel_problem *problem,
                                   enum winograd_form form)
{
    enum { BYTE_COST = 12, DISPATCH_COST = 300000 };
    if (form == WINOGRAD_NONE) {
        const struct gemm_problem direct = gemm_problem_of(problem);
        return gemm_ranking_of(c, &direct).costs[0] + (double)c->caps->groups_busy * DISPATCH_COST;
    }
    const struct winograd w = winograd_of(c, problem, 2 * form);
    const struct gemm_problem product = winograd_gemm(&w, w.strip, &problem->x, &problem->w);
    const double strips = ceil((double)w.tiles / (double)w.strip);
    const double element = problem->x.storage == STORAGE_F16 ? 2 : 4;
    const double bytes = (double)(w.factors * w.tiles) *
                         ((double)problem->in * element + (double)problem->out * sizeof(float));
    return strips * (gemm_ranking_of(c, &product).costs[0] +
                     3 * (double)c->caps->groups_busy * DISPATCH_COST) +
           bytes * BYTE_COST;
}

// The cheapest form, if it saves a quarter. F(4x4, 3x3) is not for float16, whose eleven bits its
// transforms would use up: they multiply by up to a hundred, and weights by less than a
// five-hundredth.
static inline enum winograd_form winograd_estimate(const struct op_lower *c,
                                                   const struct panel_problem *problem,
                                                   enum winograd_form most)
{
    enum winograd_form best = WINOGRAD_NONE;
    double least = 0.75 * winograd_cost(c, problem, WINOGRAD_NONE);
    for (enum winograd_form form = WINOGRAD_TWO; form <= most; form++) {
        const double cost = winograd_cost(c, problem, form);
        if (cost < least) {
            best = form;
            least = cost;
        }
    }
    return best;
}

// What weights take more than as they are.
static inline bool winograd_spares(struct op_lower *c, const struct panel_problem *problem,
                                   int64_t tile)
{
    const int64_t more = (tile + 2) * (tile + 2) - 9;
    const int64_t size = problem->x.storage == STORAGE_F16 ? 2 : 4;
    return espy_lower_spare(c, (uint64_t)(more * problem->in * problem->out * size));
}

// Everything that is bound can be, and channels are so many that it is worth a thought.
static inline bool winograd_fits(const struct op_lower *c, const struct panel_problem *problem,
                                 enum winograd_form form)
{
    enum { CHANNELS_MIN = 16, ROOM = 128 }; // columns that packed weights may have more
    const struct winograd w = winograd_of(c, problem, 2 * form);
    const int64_t in = problem->in + 3, out = problem->out + ROOM;
    const int64_t widest = in > problem->out ? in : problem->out;
    const int64_t most = w.strip * widest > in * out ? w.strip * widest : in * out;
    return problem->in >= CHANNELS_MIN && problem->out >= CHANNELS_MIN &&
           w.factors * most < INT32_MAX / 4 &&
           (uint64_t)(w.factors * most) * sizeof(float) <= c->caps->buffer_range_max;
}

// On GPUs three forms to choose from; where weights would grow too much the smaller one may do.
static inline int64_t winograd_choose_gpu(struct op_lower *c, const struct panel_problem *problem)
{
    const struct window *w = &problem->window;
    enum winograd_form most = problem->x.storage == STORAGE_F16 ? WINOGRAD_TWO : WINOGRAD_FOUR;
    while (most > WINOGRAD_NONE && !winograd_fits(c, problem, most))
        most--;
    if (most == WINOGRAD_NONE)
        return 0;
    const uint32_t chosen = espy_lower_choose(
        c, (uint32_t)most + 1, winograd_estimate(c, problem, most), "winograd",
        "%lldx%lld,n%lld,o%lldx%lld,%d,%d%d", (long long)problem->in, (long long)problem->out,
        (long long)problem->pixels, (long long)w->out[1], (long long)w->out[2],
        (int)problem->x.storage, problem->vector, !panel_stays_inside(w));
    for (enum winograd_form form = chosen; form > WINOGRAD_NONE; form--)
        if ((form == chosen || winograd_estimate(c, problem, form) == form) &&
            winograd_spares(c, problem, 2 * form))
            return 2 * form;
    return 0;
}

// The panel kernel reads vectors only, and weights of 16 bits would become four times as many
// of 32.
static inline int64_t winograd_choose_cpu(struct op_lower *c, const struct panel_problem *problem)
{
    enum { TILE = 4 };
    if (!problem->vector || problem->in % 4 != 0 || problem->out % 4 != 0 ||
        problem->y_pixel % 4 != 0 || panel_narrow(c, &problem->w, 4) != PANEL_FLOAT32)
        return 0;
    const struct winograd w = winograd_of(c, problem, TILE);
    return winograd_pays(&w) && winograd_spares(c, problem, TILE) ? TILE : 0;
}

// Outputs of a tile along an axis; 0: another kernel is for this convolution.
static inline int64_t winograd_choose(struct op_lower *c, const struct panel_problem *problem)
{
    const struct window *window = &problem->window;
    const bool plain =
        window->kernel[0] == 1 && window->out[0] == 1 && window->in[0] == 1 && window->pad[0] == 0;
    for (uint32_t i = 1; i < 3; i++)
        if (window->kernel[i] != 3 || window->stride[i] != 1 || window->dilation[i] != 1)
            return 0;
    if (!plain || problem->shuffled || problem->groups != 1 || problem->pixels == 0 ||
        problem->out == 0 || !espy_lower_is_constant(c, 1))
        return 0;
    return c->caps->cpu ? winograd_choose_cpu(c, problem) : winograd_choose_gpu(c, problem);
}

// ---- steps --------------------------------------------------------------------------------------

static inline struct view winograd_weights(struct op_lower *c, const struct winograd *w)
{
    const struct panel_problem *problem = w->problem;
    const struct shape shape = {3, {w->factors, problem->out, problem->in}};
    const struct view factors = espy_lower_temporary(c, problem->w.dtype, &shape);
    struct winograd_weights_spec spec = WINOGRAD_WEIGHTS_SPEC_DEFAULT;
    spec.local_size_x = c->caps->local_size;
    spec.tile = (uint32_t)w->tile;
    struct winograd_weights_push push = {.count = (uint32_t)(problem->in * problem->out),
                                         .in_channels = (uint32_t)problem->in,
                                         .offset = (int32_t)problem->w.offset,
                                         .strides = {problem->w_strides[0], problem->w_strides[1],
                                                     problem->w_strides[3], problem->w_strides[4]}};
    struct op_dispatch dispatch = {
        .shader = winograd_weights_shaders.variants[espy_variant(problem->w.storage)],
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

// `count` tiles from `first` on, in what both transforms' constants and push blocks have in common.
// room: what one factor of a tile takes.
#define WINOGRAD_FILL(c, spec, push, w, first_tile, count, channel_count, room)          \
    do {                                                                                 \
        (spec)->local_size_x = window_local_size(c);                                     \
        (spec)->tile = (uint32_t)(w)->tile;                                              \
        (push)->tiles = (uint32_t)(count);                                               \
        (push)->channels = (uint32_t)(channel_count);                                    \
        (push)->first = (uint32_t)(first_tile);                                          \
        (push)->tiles_w = (uint32_t)(w)->tiles_w;                                        \
        (push)->tiles_h = (uint32_t)(w)->tiles_h;                                        \
        (push)->tile_step = (uint32_t)((c)->caps->cpu ? (w)->factors * (room) : (room)); \
        (push)->factor_step = (uint32_t)((c)->caps->cpu ? (room) : (count) * (room));    \
    } while (0)

// An invocation per tile and `part` channels.
static inline void winograd_transform(struct op_lower *c, struct op_dispatch *dispatch,
                                      int64_t tiles, int64_t channels, uint32_t part)
{
    espy_lower_grid(c, (size_t)(tiles * ((channels + 3) / 4 * (4 / part))), window_local_size(c),
                    dispatch->groups);
    espy_lower_dispatch(c, dispatch);
}

// Channels of an invocation that transforms an input: as many as it has registers for.
static inline uint32_t winograd_part(const struct caps *caps, const struct winograd *w)
{
    enum { ROOM = 16 }; // for what else there is
    return caps->registers != 0 && 4 * w->factors + ROOM > caps->registers ? 2 : 4;
}

static inline void winograd_input(struct op_lower *c, const struct winograd *w, int64_t first,
                                  int64_t count, const struct view *factors)
{
    const struct panel_problem *problem = w->problem;
    const struct window *window = &problem->window;
    struct winograd_input_spec spec = WINOGRAD_INPUT_SPEC_DEFAULT;
    struct winograd_input_push push = {.x_offset = (int32_t)problem->x.offset,
                                       .x_strides = {problem->x_strides[0], problem->x_strides[1],
                                                     problem->x_strides[3], problem->x_strides[4]},
                                       .in_h = (uint32_t)window->in[1],
                                       .in_w = (uint32_t)window->in[2],
                                       .pad_h = (uint32_t)window->pad[1],
                                       .pad_w = (uint32_t)window->pad[2]};
    WINOGRAD_FILL(c, &spec, &push, w, first, count, problem->in, (problem->in + 3) / 4);
    spec.part = winograd_part(c->caps, w);
    spec.vector = problem->vector ? 4 : 1;
    spec.padded = !panel_stays_inside(window) || window->out[1] % w->tile != 0 ||
                  window->out[2] % w->tile != 0;
    struct op_dispatch dispatch = {
        .shader = winograd_input_shaders.variants[espy_reading_variant(c, problem->x.storage)],
        .bindings = {problem->x, *factors},
        .binding_count = 2,
        .push = &push,
        .push_size = sizeof(push),
        .spec = &spec,
        .spec_size = sizeof(spec)};
    winograd_transform(c, &dispatch, count, problem->in, spec.part);
}

static inline void winograd_output(struct op_lower *c, const struct winograd *w, int64_t first,
                                   int64_t count, const struct view *products, const struct view *y)
{
    const struct panel_problem *problem = w->problem;
    struct winograd_output_spec spec = WINOGRAD_OUTPUT_SPEC_DEFAULT;
    struct winograd_output_push push = {.out_h = (uint32_t)problem->window.out[1],
                                        .out_w = (uint32_t)problem->window.out[2],
                                        .y_offset = (uint32_t)y->offset,
                                        .y_pixel = (uint32_t)problem->y_pixel};
    WINOGRAD_FILL(c, &spec, &push, w, first, count, problem->out, problem->out);
    spec.vector = problem->out % 4 == 0 ? 4 : 1;
    spec.has_bias = problem->bias.buffer != VIEW_NONE;
    LOWER_SHARED_EPILOGUE(c, &spec, &push);
    struct op_dispatch dispatch = {
        .shader = winograd_output_shaders.variants[espy_reading_variant(c, y->storage)],
        .bindings = {*products, problem->bias, *y, problem->operand},
        .binding_count = 4,
        .push = &push,
        .push_size = sizeof(push),
        .spec = &spec,
        .spec_size = sizeof(spec)};
    winograd_transform(c, &dispatch, count, problem->out, 4);
}

static inline void winograd_lower_cpu(struct op_lower *c, const struct winograd *w,
                                      const struct view *y)
{
    const struct view weights = winograd_weights(c, w);
    const struct shape in = {3, {w->strip, w->factors, w->problem->in}};
    const struct shape out = {3, {w->strip, w->factors, w->problem->out}};
    const struct view factors = espy_lower_temporary(c, ESPY_FLOAT32, &in);
    const struct view products = espy_lower_temporary(c, ESPY_FLOAT32, &out);
    struct panel_problem product = winograd_panel(w, &factors, &weights);
    const struct panel panel = panel_of(c, &product);
    for (int64_t first = 0; first < w->tiles; first += w->strip) {
        product.pixels = w->tiles - first < w->strip ? w->tiles - first : w->strip;
        winograd_input(c, w, first, product.pixels, &factors);
        panel_multiply(c, &product, &panel, &products);
        winograd_output(c, w, first, product.pixels, &products, y);
    }
}

static inline void winograd_lower_gpu(struct op_lower *c, const struct winograd *w,
                                      const struct view *y)
{
    const struct view weights = winograd_weights(c, w);
    const struct shape in = {3, {w->factors, w->strip, (w->problem->in + 3) / 4 * 4}};
    const struct shape out = {3, {w->factors, w->strip, w->problem->out}};
    const struct view factors = espy_lower_temporary(c, w->problem->x.dtype, &in);
    const struct view products = espy_lower_temporary(c, ESPY_FLOAT32, &out);
    const struct gemm_problem whole = winograd_gemm(w, w->strip, &factors, &weights);
    const struct gemm_choice choice = gemm_choose(c, &whole);
    const struct view packed = gemm_packed(c, &whole, choice.tile);
    for (int64_t first = 0; first < w->tiles; first += w->strip) {
        const int64_t count = w->tiles - first < w->strip ? w->tiles - first : w->strip;
        const struct gemm_problem product = winograd_gemm(w, count, &factors, &weights);
        struct op_dispatch dispatch = {
            .bindings = {factors, packed, product.bias, products, products, product.operand}};
        winograd_input(c, w, first, count, &factors);
        gemm_multiply(c, &product, &choice, &dispatch);
        winograd_output(c, w, first, count, &products, y);
    }
}

static inline void winograd_lower(struct op_lower *c, const struct panel_problem *problem,
                                  int64_t tile, const struct view *y)
{
    const struct winograd w = winograd_of(c, problem, tile);
    if (c->caps->cpu)
        winograd_lower_cpu(c, &w, y);
    else
        winograd_lower_gpu(c, &w, y);
}

#endif // RUNTIME_OPS_WINOGRAD_H_
