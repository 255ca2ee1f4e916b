// The path that convolutions and matrix products share on GPUs: shaders/gemm.comp, which takes both
// operands through shared memory in tiles. A product is a convolution with one tap whose pixels are
// the rows of its left operand.
#ifndef RUNTIME_OPS_GEMM_H_
#define RUNTIME_OPS_GEMM_H_

#include <assert.h>

#include "op/lower.h"
#include "ops/panel.h"
#include "ops/window.h"
#include "shaders/gemm.spv.h"
#include "shaders/gemm_matrix.spv.h"
#include "shaders/gemm_pack.spv.h"
#include "shaders/gemm_sum.spv.h"
#include "shaders/include/gemm_codes.glsl"

struct gemm_problem {
    int64_t batches, in, out; // groups of a convolution; in, out: channels of one
    int64_t pixels;           // of the output, all images together; rows of one product
    struct window window;     // three-dimensional
    bool linear;              // products: pixel i lies i * x_strides[4] from the first
    bool vector;              // four channels of a pixel can be read at once
    bool inner;               // more is to come: sums in float32, without the node's steps
    struct view x, w, bias;   // bias: dense from element 0 of its buffer, or VIEW_NONE
    bool scaled;              // by factors, as panel_problem
    struct view factors;
    struct view operand;      // of the tail, or VIEW_NONE; lies as the output does
    int32_t x_strides[5];     // n, c, d, h, w
    int32_t w_strides[5];     // output channel, input channel, d, h, w
    // Batches of linear problems are in up to three dimensions, outermost first.
    int64_t batch_dims[3];
    int64_t x_batch[3], w_batch[3];
    uint32_t w_mode; // GEMM_W_PACKED: w is packed first, which takes one batch or groups
};

// One tile: what a workgroup computes, how much of the depth it takes at a time, and what one
// invocation computes of it; with cooperative matrices tm is 0 and tn by tn subgroups share a tile
// instead. Speed is what multiplications gain over those of a 1 x 1 tile: it grows with how often a
// number is used that was read from shared memory. Tiles that are marked are for devices that have
// too few registers for the others.
struct gemm_tile {
    uint32_t bm, bn, bk, tm, tn;
    double speed;
    bool few;
};

// clang-format off
static const struct gemm_tile gemm_tiles[] = {
    {128, 128, 16, 8, 8, 1.0, false},
    {64, 64, 16, 4, 8, 0.8, false},
    {128, 32, 16, 8, 4, 0.8, false}, // few channels
    {32, 32, 32, 4, 4, 0.6, false},
    {4, 256, 8, 4, 4, 0.5, false}, // few rows: reads weights
    {256, 8, 8, 8, 4, 0.7, false}, // up to eight channels
    {64, 64, 16, 4, 4, 0.6, true},
    {32, 32, 16, 4, 4, 0.5, true},
    {4, 256, 4, 4, 4, 0.4, true},
    {128, 128, 32, 0, 2, 6.0, false},
    {64, 64, 32, 0, 2, 5.0, false},
    {64, 64, 32, 0, 4, 5.0, true},
};
// clang-format on
enum {
    GEMM_TILES = sizeof(gemm_tiles) / sizeof(gemm_tiles[0]),
    GEMM_SPLIT_MAX = 64,
    // Places in the table. Usual is what most devices have registers for.
    GEMM_USUAL = 1,
    GEMM_SMALLEST = 3,
    GEMM_SMALLEST_FEW = 7,
    GEMM_USUAL_MATRICES = 10,
    // For espy_lower_choose: each tile in the parts that cost least, the cheapest in others too.
    GEMM_OTHER_PARTS = 2,
    GEMM_FORMS = GEMM_TILES + GEMM_OTHER_PARTS
};

static inline bool gemm_has_matrices(const struct gemm_tile *tile)
{
    return tile->tm == 0;
}

// That share a tile with matrices.
static inline uint32_t gemm_subgroups(const struct gemm_tile *tile)
{
    return tile->tn * tile->tn;
}

static inline uint32_t gemm_threads(const struct caps *caps, const struct gemm_tile *tile)
{
    return gemm_has_matrices(tile) ? gemm_subgroups(tile) * caps->subgroup_size
                                   : tile->bm / tile->tm * (tile->bn / tile->tn);
}

static inline int64_t gemm_tiles_of(int64_t count, uint32_t size)
{
    return (count + size - 1) / size;
}

// The largest matrices that a subgroup's part of a tile divides into; m 0: there are none.
static inline struct caps_matrix gemm_matrix_of(const struct caps *caps,
                                                const struct gemm_tile *tile)
{
    enum { SIZE_MAX_SUMS = 256 }; // more would fill the registers of a subgroup
    struct caps_matrix best = {0, 0, 0};
    for (uint32_t i = 0; i < caps->matrix_count; i++) {
        const struct caps_matrix *row = &caps->matrices[i];
        if (row->m % 4 == 0 && row->n % 4 == 0 && row->k % 4 == 0 &&
            row->m * row->n <= SIZE_MAX_SUMS && tile->bm / tile->tn % row->m == 0 &&
            tile->bn / tile->tn % row->n == 0 && tile->bk % row->k == 0 &&
            row->m * row->n * row->k > best.m * best.n * best.k)
            best = *row;
    }
    return best;
}

// Bytes, as the kernels lay them out.
static inline uint32_t gemm_shared_size(const struct gemm_tile *tile, struct caps_matrix matrix)
{
    if (!gemm_has_matrices(tile))
        return 16 * tile->bk * (tile->bm / 4 + 1 + tile->bn / 4 + 1);
    const uint32_t by_depth = tile->bk * (tile->bn / 4 + 2);
    const uint32_t by_columns = tile->bn * (tile->bk / 4 + 2);
    return 8 * (tile->bm * (tile->bk / 4 + 2) + (by_depth > by_columns ? by_depth : by_columns)) +
           4 * gemm_subgroups(tile) * matrix.m * matrix.n;
}

// What is in registers beside a tile's sums and operands and what is on its way for the next step:
// places, of each lane. Compilers of three vendors need as much, give or take eight
// (docs/devices.md).
enum { GEMM_PLACES = 20 };

// Registers of an invocation.
static inline uint32_t gemm_registers(const struct caps *caps, const struct gemm_tile *tile)
{
    return tile->tm * tile->tn + tile->tm + tile->tn +
           (tile->bm + tile->bn) * tile->bk / gemm_threads(caps, tile) + GEMM_PLACES;
}

// Registers of a subgroup, where a tile is made with matrices: operands are a column of left ones
// and one right one, as halves, and so is what is on its way.
static inline uint32_t gemm_matrix_registers(const struct caps *caps, const struct gemm_tile *tile)
{
    const struct caps_matrix matrix = gemm_matrix_of(caps, tile);
    const uint32_t rows = tile->bm / tile->tn, columns = tile->bn / tile->tn;
    return rows * columns + (rows + matrix.n) * matrix.k / 2 +
           (tile->bm + tile->bn) * tile->bk / gemm_subgroups(tile) / 2 +
           GEMM_PLACES * caps->subgroup_size;
}

// A tile that is marked is for devices on which others do not fit.
static inline bool gemm_fits_registers(const struct caps *caps, const struct gemm_tile *tile)
{
    const bool matrices = gemm_has_matrices(tile);
    const struct gemm_tile *usual = &gemm_tiles[matrices ? GEMM_USUAL_MATRICES : GEMM_USUAL];
    const uint32_t room = matrices ? caps->subgroup_registers : caps->registers;
    if (room == 0)
        return !tile->few;
    if (matrices)
        return gemm_matrix_registers(caps, tile) <= room &&
               tile->few == (gemm_matrix_registers(caps, usual) > room);
    return gemm_registers(caps, tile) <= room && tile->few == (gemm_registers(caps, usual) > room);
}

static inline bool gemm_tile_fits(const struct caps *caps, enum storage storage,
                                  const struct gemm_tile *tile)
{
    const struct caps_matrix matrix = gemm_matrix_of(caps, tile);
    return gemm_threads(caps, tile) <= caps->invocations_max && gemm_fits_registers(caps, tile) &&
           gemm_shared_size(tile, matrix) <= caps->shared_size &&
           (!gemm_has_matrices(tile) || (storage == STORAGE_F16 && matrix.m > 0));
}

// Steps of bk that all taps take.
static inline int64_t gemm_steps(const struct gemm_problem *problem, const struct gemm_tile *tile)
{
    return gemm_tiles_of(window_taps(&problem->window) * ((problem->in + 3) / 4), tile->bk / 4);
}

// Whether this is a device for these kernels, and none of its invocations loops too often.
static inline bool gemm_suits(const struct op_lower *c, enum storage storage, int64_t depth)
{
    enum { DEPTH_MAX = 131072 };
    return !c->caps->cpu && (storage == STORAGE_F32 || storage == STORAGE_F16) && depth > 0 &&
           depth <= DEPTH_MAX &&
           (gemm_tile_fits(c->caps, storage, &gemm_tiles[GEMM_SMALLEST]) ||
            gemm_tile_fits(c->caps, storage, &gemm_tiles[GEMM_SMALLEST_FEW]));
}

struct gemm_choice {
    const struct gemm_tile *tile;
    int64_t splits;
};

// What a choice costs, in multiplications of the whole device: with fewer workgroups than it takes
// to keep it busy a part of it idles. An element read costs as much as READ_COST of them, which
// go on meanwhile; sums of a split product go through memory and cost SUM_COST each.
static inline double gemm_cost(const struct caps *caps, const struct gemm_problem *problem,
                               const struct gemm_choice *choice)
{
    enum { SUM_COST = 24, READ_COST = 16, THREADS_USUAL = 256, LANES_USUAL = 32 };
    const struct gemm_tile *tile = choice->tile;
    const double multiply = tile->bm * tile->bn / tile->speed;
    const double read = READ_COST * (tile->bm + tile->bn);
    const double depth = (double)(gemm_steps(problem, tile) * tile->bk);
    const double groups = (double)(problem->batches * gemm_tiles_of(problem->pixels, tile->bm) *
                                   gemm_tiles_of(problem->out, tile->bn));
    const double threads = gemm_has_matrices(tile) ? gemm_subgroups(tile) * LANES_USUAL
                                                   : gemm_threads(caps, tile);
    const double busy = (double)caps->groups_busy * THREADS_USUAL / threads;
    const double parts = groups * (double)choice->splits;
    const double sums = choice->splits == 1 ? 0
                                            : (double)(problem->batches * problem->pixels *
                                                       problem->out * choice->splits);
    return (parts > busy ? parts : busy) / (double)choice->splits * depth *
               (multiply > read ? multiply : read) +
           SUM_COST * sums;
}

// Choices, cheapest first.
struct gemm_ranking {
    uint32_t count;
    struct gemm_choice choices[GEMM_FORMS];
    double costs[GEMM_FORMS];
};

static inline void gemm_rank(struct gemm_ranking *ranking, const struct gemm_choice *choice,
                             double cost)
{
    assert(ranking->count < GEMM_FORMS);
    uint32_t at = ranking->count++;
    for (; at > 0 && cost < ranking->costs[at - 1]; at--) {
        ranking->choices[at] = ranking->choices[at - 1];
        ranking->costs[at] = ranking->costs[at - 1];
    }
    ranking->choices[at] = *choice;
    ranking->costs[at] = cost;
}

// One tile, with its depth in every number of parts that it may be cut into.
static inline struct gemm_ranking gemm_parts_of(const struct op_lower *c,
                                                const struct gemm_problem *problem,
                                                const struct gemm_tile *tile)
{
    enum { DEPTH_MIN = 64, SUMS_SIZE_MAX = 64 << 20 };
    struct gemm_ranking parts = {.count = 0};
    const int64_t depth = gemm_steps(problem, tile) * tile->bk;
    const int64_t sums_size = problem->batches * problem->pixels * problem->out * 4;
    for (int64_t splits = 1; splits <= GEMM_SPLIT_MAX; splits *= 2) {
        const struct gemm_choice choice = {tile, splits};
        if (splits > 1 &&
            (problem->inner || depth < splits * DEPTH_MIN || sums_size * splits > SUMS_SIZE_MAX ||
             (uint64_t)(sums_size * splits) > c->caps->buffer_range_max))
            break;
        gemm_rank(&parts, &choice, gemm_cost(c->caps, problem, &choice));
    }
    return parts;
}

static inline struct gemm_ranking gemm_ranking_of(const struct op_lower *c,
                                                  const struct gemm_problem *problem)
{
    struct gemm_ranking ranking = {.count = 0}, parts;
    for (uint32_t i = 0; i < GEMM_TILES; i++) {
        if (!gemm_tile_fits(c->caps, problem->x.storage, &gemm_tiles[i]))
            continue;
        parts = gemm_parts_of(c, problem, &gemm_tiles[i]);
        gemm_rank(&ranking, &parts.choices[0], parts.costs[0]);
    }
    assert(ranking.count > 0); // gemm_suits
    parts = gemm_parts_of(c, problem, ranking.choices[0].tile);
    for (uint32_t i = 1; i < parts.count && i <= GEMM_OTHER_PARTS; i++)
        gemm_rank(&ranking, &parts.choices[i], parts.costs[i]);
    return ranking;
}

static inline struct gemm_choice gemm_choose(struct op_lower *c, const struct gemm_problem *problem)
{
    const struct gemm_ranking ranking = gemm_ranking_of(c, problem);
    return ranking.choices[espy_lower_choose(
        c, ranking.count, 0, "gemm", "%lldx%lld,b%lld,p%lld,t%lld,%d,%d%d%d",
        (long long)problem->in, (long long)problem->out, (long long)problem->batches,
        (long long)problem->pixels, (long long)window_taps(&problem->window),
        (int)problem->x.storage, (int)problem->w_mode, problem->vector, problem->linear)];
}

// The weights of all groups, tile by tile; once, where they are constant. Matrices want vectors that
// go along the depth.
static inline struct view gemm_packed(struct op_lower *c, const struct gemm_problem *problem,
                                      const struct gemm_tile *tile)
{
    const struct window *window = &problem->window;
    const int64_t column_tiles = gemm_tiles_of(problem->out, tile->bn);
    const int64_t depth = gemm_steps(problem, tile) * tile->bk;
    const struct shape shape = {4, {problem->batches, column_tiles, depth, tile->bn}};
    const struct view packed = espy_lower_temporary(c, problem->w.dtype, &shape);
    struct gemm_pack_spec spec = GEMM_PACK_SPEC_DEFAULT;
    spec.local_size_x = c->caps->local_size;
    spec.bn = tile->bn;
    spec.bk = gemm_has_matrices(tile) ? tile->bk : 0;
    struct gemm_pack_push push = {.count = (uint32_t)(espy_view_count(&packed) / 4),
                                  .depth = (uint32_t)depth,
                                  .column_tiles = (uint32_t)column_tiles,
                                  .in_channels = (uint32_t)problem->in,
                                  .out_channels = (uint32_t)problem->out,
                                  .kernel_d = (uint32_t)window->kernel[0],
                                  .kernel_h = (uint32_t)window->kernel[1],
                                  .kernel_w = (uint32_t)window->kernel[2],
                                  .offset = (int32_t)problem->w.offset};
    for (uint32_t i = 0; i < 5; i++)
        push.strides[i] = problem->w_strides[i];
    struct op_dispatch dispatch = {
        .shader = gemm_pack_shaders.variants[espy_variant(problem->w.storage)],
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

// What the two kernels' specializations have in common.
#define GEMM_FILL_SPEC(spec, problem, choice)                                                 \
    do {                                                                                      \
        const struct window *window = &(problem)->window;                                     \
        (spec)->bm = (choice)->tile->bm;                                                      \
        (spec)->bn = (choice)->tile->bn;                                                      \
        (spec)->bk = (choice)->tile->bk;                                                      \
        (spec)->vector = (problem)->vector ? 4 : 1;                                           \
        (spec)->ragged = (problem)->in % 4 != 0;                                              \
        (spec)->w_mode = (problem)->w_mode;                                                   \
        (spec)->store_vector = (problem)->out % 4 == 0 ? 4 : 1;                               \
        (spec)->linear = (problem)->linear;                                                   \
        (spec)->split = (choice)->splits > 1 || (problem)->inner;                             \
        (spec)->has_bias = (problem)->bias.buffer != VIEW_NONE && (choice)->splits == 1;      \
        (spec)->factors = (problem)->scaled;                                                  \
        if ((problem)->linear)                                                                \
            break;                                                                            \
        (spec)->padded = !panel_stays_inside(window);                                         \
        (spec)->in_d = (uint32_t)window->in[0];                                               \
        (spec)->out_d = (uint32_t)window->out[0];                                             \
        (spec)->kernel_d = (uint32_t)window->kernel[0];                                       \
        (spec)->stride_d = (uint32_t)window->stride[0];                                       \
        (spec)->dilation_d = (uint32_t)window->dilation[0];                                   \
        (spec)->pad_d = (uint32_t)window->pad[0];                                             \
        (spec)->kernel_h = (uint32_t)window->kernel[1];                                       \
        (spec)->stride_h = (uint32_t)window->stride[1];                                       \
        (spec)->dilation_h = (uint32_t)window->dilation[1];                                   \
        (spec)->pad_h = (uint32_t)window->pad[1];                                             \
        (spec)->kernel_w = (uint32_t)window->kernel[2];                                       \
        (spec)->stride_w = (uint32_t)window->stride[2];                                       \
        (spec)->dilation_w = (uint32_t)window->dilation[2];                                   \
        (spec)->pad_w = (uint32_t)window->pad[2];                                             \
    } while (0)

static inline struct gemm_push gemm_push_of(const struct gemm_problem *problem)
{
    const struct window *window = &problem->window;
    struct gemm_push push = {.pixels = (uint32_t)problem->pixels,
                             .batches = (uint32_t)problem->batches,
                             .in_channels = (uint32_t)problem->in,
                             .out_channels = (uint32_t)problem->out,
                             .x_offset = (int32_t)problem->x.offset,
                             .w_offset = (int32_t)problem->w.offset,
                             .image_pixels = (uint32_t)window_product(window->out, 3),
                             .w_depth = problem->w_strides[1],
                             .w_column = problem->w_strides[0]};
    for (uint32_t i = 0; i < 5; i++)
        push.x_strides[i] = problem->x_strides[i];
    if (problem->linear) {
        push.x_strides[0] = (int32_t)problem->x_batch[0];
        push.x_strides[2] = (int32_t)problem->x_batch[1];
        push.x_strides[3] = (int32_t)problem->x_batch[2];
        push.shape[0] = (int32_t)problem->batch_dims[1];
        push.shape[1] = (int32_t)problem->batch_dims[2];
        for (uint32_t i = 0; i < 3; i++)
            push.shape[2 + i] = (int32_t)problem->w_batch[i];
    } else {
        push.shape[0] = (int32_t)window->in[1];
        push.shape[1] = (int32_t)window->in[2];
        push.shape[2] = (int32_t)window->out[1];
        push.shape[3] = (int32_t)window->out[2];
    }
    return push;
}

static inline void gemm_sum(struct op_lower *c, const struct gemm_problem *problem,
                            const struct view *sums, int64_t splits, const struct view *y)
{
    struct gemm_sum_spec spec = GEMM_SUM_SPEC_DEFAULT;
    struct gemm_sum_push push = {.pixels = (uint32_t)problem->pixels,
                                 .batches = (uint32_t)problem->batches,
                                 .out_channels = (uint32_t)problem->out,
                                 .splits = (uint32_t)splits};
    spec.local_size_x = c->caps->local_size;
    spec.vector = problem->out % 4 == 0 ? 4 : 1;
    spec.has_bias = problem->bias.buffer != VIEW_NONE;
    spec.linear = problem->linear;
    LOWER_EPILOGUE(c, &spec, &push);
    struct op_dispatch dispatch = {.shader = gemm_sum_shaders.variants[espy_variant(y->storage)],
                                   .bindings = {*sums, problem->bias, *y, problem->operand},
                                   .binding_count = 4,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    espy_lower_grid(c, espy_view_count(y) / spec.vector, spec.local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
}

// The dispatch that multiplies: its bindings are given, sums among them.
static inline void gemm_multiply(struct op_lower *c, const struct gemm_problem *problem,
                                 const struct gemm_choice *choice, struct op_dispatch *dispatch)
{
    static_assert(sizeof(struct gemm_push) == sizeof(struct gemm_matrix_push), "one block");
    const struct gemm_tile *tile = choice->tile;
    const int64_t groups = problem->batches * gemm_tiles_of(problem->pixels, tile->bm) *
                           gemm_tiles_of(problem->out, tile->bn);
    struct gemm_push push = gemm_push_of(problem);
    struct gemm_spec spec = GEMM_SPEC_DEFAULT;
    struct gemm_matrix_spec matrix_spec = GEMM_MATRIX_SPEC_DEFAULT;
    dispatch->binding_count = 7;
    dispatch->push = &push;
    dispatch->push_size = sizeof(push);
    espy_lower_grid(c, (size_t)groups, 1, dispatch->groups);
    dispatch->groups[2] = (uint32_t)choice->splits;
    if (gemm_has_matrices(tile)) {
        const struct caps_matrix matrix = gemm_matrix_of(c->caps, tile);
        GEMM_FILL_SPEC(&matrix_spec, problem, choice);
        matrix_spec.local_size_x = gemm_threads(c->caps, tile);
        matrix_spec.lanes = c->caps->subgroup_size;
        matrix_spec.side = tile->tn;
        matrix_spec.m = matrix.m;
        matrix_spec.n = matrix.n;
        matrix_spec.k = matrix.k;
        if (!matrix_spec.split)
            LOWER_EPILOGUE(c, &matrix_spec, &push);
        dispatch->shader = gemm_matrix_shaders.variants[VARIANT_F16];
        dispatch->spec = &matrix_spec;
        dispatch->spec_size = sizeof(matrix_spec);
    } else {
        GEMM_FILL_SPEC(&spec, problem, choice);
        spec.local_size_x = gemm_threads(c->caps, tile);
        spec.tm = tile->tm;
        spec.tn = tile->tn;
        if (!spec.split)
            LOWER_EPILOGUE(c, &spec, &push);
        dispatch->shader = gemm_shaders.variants[espy_variant(problem->x.storage)];
        dispatch->spec = &spec;
        dispatch->spec_size = sizeof(spec);
    }
    espy_lower_dispatch(c, dispatch);
}

// y: channels-last dense from element 0 of its buffer; products of a batch one after the other.
static inline void gemm_lower(struct op_lower *c, const struct gemm_problem *problem,
                              const struct view *y)
{
    if (problem->x.buffer == VIEW_NONE || problem->w.buffer == VIEW_NONE ||
        y->buffer == VIEW_NONE || problem->pixels * problem->out * problem->batches == 0)
        return;
    const struct gemm_choice choice = gemm_choose(c, problem);
    const struct view w = problem->w_mode == GEMM_W_PACKED
                              ? gemm_packed(c, problem, choice.tile)
                              : problem->w;
    struct view sums = *y;
    if (choice.splits > 1) {
        const struct shape shape = {
            4, {choice.splits, problem->batches, problem->pixels, problem->out}};
        sums = espy_lower_temporary(c, ESPY_FLOAT32, &shape);
    }
    struct op_dispatch dispatch = {
        .bindings = {problem->x, w, problem->bias, *y, sums, problem->operand,
                     problem->scaled ? problem->factors : (struct view){.buffer = VIEW_NONE}}};
    gemm_multiply(c, problem, &choice, &dispatch);
    if (choice.splits > 1)
        gemm_sum(c, problem, &sums, choice.splits, y);
}

// What a problem for panel_lower is here.
static inline struct gemm_problem gemm_problem_of(const struct panel_problem *panel)
{
    struct gemm_problem problem = {.batches = panel->groups,
                                   .in = panel->in,
                                   .out = panel->out,
                                   .pixels = panel->pixels,
                                   .window = panel->window,
                                   .linear = panel->linear && panel->groups == 1,
                                   .vector = panel->vector,
                                   .x = panel->x,
                                   .w = panel->w,
                                   .bias = panel->bias,
                                   .scaled = panel->scaled,
                                   .factors = panel->factors,
                                   .operand = panel->operand,
                                   .batch_dims = {1, 1, 1}};
    for (uint32_t i = 0; i < 5; i++) {
        problem.x_strides[i] = panel->x_strides[i];
        problem.w_strides[i] = panel->w_strides[i];
    }
    return problem;
}

// What conv.c and matmul.c have in common for both kinds of devices.
static inline bool gemm_lower_panel(struct op_lower *c, const struct panel_problem *panel,
                                    const struct view *y)
{
    if (c->caps->cpu)
        return false;
    const struct gemm_problem problem = gemm_problem_of(panel);
    gemm_lower(c, &problem, y);
    return true;
}

#endif // RUNTIME_OPS_GEMM_H_
