// Attention on GPUs, with cooperative matrices where there are some and they pay:
// shaders/attention_matrix.comp, or else what flash.h has.
#ifndef RUNTIME_OPS_FLASH_MATRIX_H_
#define RUNTIME_OPS_FLASH_MATRIX_H_

#include "ops/flash.h"
#include "shaders/attention_matrix.spv.h"

// Queries and keys of a tile, and how many heads a workgroup takes: several have a subgroup or more
// each, and no more queries and keys than one tile's.
struct flash_matrix_tile {
    uint32_t rows, keys, heads;
    struct caps_matrix matrix;
    uint32_t depth, width; // channels in whole matrices
};

static inline uint32_t flash_whole(int64_t count, uint32_t size)
{
    return (uint32_t)((count + size - 1) / size * size);
}

// Whether a subgroup can take `row->m` queries of a tile. Rows of a tile are read sixteen bytes at
// a time, a row of scores by a lane or by several that take whole octets of it, and a row of a
// matrix of floats must fit behind one of weights.
static inline bool flash_matrix_fits(const struct caps *caps, const struct flash_matrix_tile *tile,
                                     const struct caps_matrix *row)
{
    enum { SIZE_MAX_SUMS = 256 }; // as in gemm.h
    const uint32_t lanes = caps->subgroup_size;
    if (row->m == 0 || row->n % 8 != 0 || row->k % 8 != 0 || row->m * row->n > SIZE_MAX_SUMS ||
        (lanes % row->m != 0 && row->m % lanes != 0))
        return false;
    const uint32_t lanes_each = lanes > row->m ? lanes / row->m : 1;
    return tile->rows / tile->heads % row->m == 0 && tile->keys % row->n == 0 &&
           tile->keys % row->k == 0 && 2 * row->n <= tile->keys + 8 &&
           tile->keys / 8 % lanes_each == 0;
}

// The largest matrices that a tile divides into; m 0: there are none.
static inline struct caps_matrix flash_matrix_of(const struct caps *caps,
                                                 const struct flash_matrix_tile *tile)
{
    struct caps_matrix best = {0, 0, 0};
    for (uint32_t i = 0; i < caps->matrix_count; i++) {
        const struct caps_matrix *row = &caps->matrices[i];
        if (flash_matrix_fits(caps, tile, row) &&
            row->m * row->n * row->k > best.m * best.n * best.k)
            best = *row;
    }
    return best;
}

static inline uint32_t flash_matrix_threads(const struct caps *caps,
                                            const struct flash_matrix_tile *tile)
{
    return tile->rows / tile->matrix.m * caps->subgroup_size;
}

static inline int64_t flash_matrix_groups(const struct flash_problem *p,
                                          const struct flash_matrix_tile *tile)
{
    const int64_t rows = tile->rows / tile->heads, matrices = p->q.dims[0] * p->q.dims[1];
    return (matrices + tile->heads - 1) / tile->heads * ((p->q.dims[2] + rows - 1) / rows);
}

// Bytes of shared memory, as the kernel lays it out.
static inline uint32_t flash_matrix_shared_size(const struct flash_matrix_tile *tile)
{
    const uint32_t k_row = tile->depth / 8 | 1, v_row = tile->keys / 8 | 1;
    const uint32_t held = tile->heads * (tile->keys * k_row + tile->width * v_row);
    const uint32_t staged = tile->rows * k_row;
    return 16 * ((held > staged ? held : staged) + tile->rows * (tile->keys / 4 + 1)) + 16;
}

// Whether the device can run a tile with matrices. What an invocation has in registers is its part
// of the queries, as halves, of the sums and of the scores.
static inline bool flash_matrix_runs(const struct op_lower *c, const struct flash_problem *p,
                                     const struct flash_matrix_tile *tile)
{
    enum { TRIPS_MAX = 60000, REGISTERS_MAX = 256 };
    const struct caps *caps = c->caps;
    const uint32_t threads = flash_matrix_threads(caps, tile);
    const uint32_t octets = tile->heads * tile->keys * (tile->depth + tile->width) / 8;
    const int64_t trips =
        3 + octets / threads + 2 + tile->keys / tile->matrix.n + tile->keys / tile->matrix.k;
    return threads <= caps->invocations_max &&
           flash_matrix_shared_size(tile) <= caps->shared_size &&
           tile->matrix.m * (tile->width + tile->depth / 2 + tile->keys) / caps->subgroup_size <=
               REGISTERS_MAX &&
           (p->k.dims[2] + tile->keys - 1) / tile->keys * trips < TRIPS_MAX;
}

// ---- which of the kernels -----------------------------------------------------------------------

// For espy_lower_choose: the cheapest with matrices, and those without.
enum { FLASH_FORMS_MATRICES = 6, FLASH_FORMS_PLAIN = 3 };
enum { FLASH_FORMS = FLASH_FORMS_MATRICES + FLASH_FORMS_PLAIN };

struct flash_form {
    struct flash_matrix_tile tile; // matrix.m 0: without
    double cost;
};

// Cheapest first; behind these the tiles without matrices that flash_choose does not take.
struct flash_ranking {
    uint32_t count;
    struct flash_form forms[FLASH_FORMS];
};

// Keeps the `room` cheapest.
static inline void flash_rank(struct flash_ranking *ranking, uint32_t room,
                              const struct flash_form *form)
{
    uint32_t at = ranking->count;
    while (at > 0 && form->cost < ranking->forms[at - 1].cost)
        at--;
    if (at >= room)
        return;
    ranking->count += ranking->count < room;
    for (uint32_t i = ranking->count - 1; i > at; i--)
        ranking->forms[i] = ranking->forms[i - 1];
    ranking->forms[at] = *form;
}

// As in gemm_cost, in multiplications of the whole device: a multiplication costs 1 / speed, a
// score as much as `softmax` of them, a number read READ_COST, which goes on while others multiply,
// and a workgroup GROUP_COST. What a causal rule or a window hides is as much of either kernel's
// work.
static inline double flash_cost(const struct caps *caps, const struct flash_problem *p,
                                const struct flash_matrix_tile *tile, uint32_t threads,
                                double speed, double softmax)
{
    enum { READ_COST = 16, THREADS_USUAL = 256, GROUP_COST = 1 << 14 };
    const double channels = tile->depth + tile->width;
    const double scores = (double)tile->rows * tile->keys;
    const double multiply = scores * channels / speed;
    const double read = READ_COST * (double)tile->keys * tile->heads * channels;
    const double tiles = (double)((p->k.dims[2] + tile->keys - 1) / tile->keys);
    const double groups = (double)flash_matrix_groups(p, tile);
    const double busy = (double)caps->groups_busy * THREADS_USUAL / threads;
    return (groups > busy ? groups : busy) *
           (tiles * ((multiply > read ? multiply : read) + scores * softmax) + GROUP_COST);
}

// A tile with matrices as a form, if there is one.
static inline void flash_rank_matrices(const struct op_lower *c, const struct flash_problem *p,
                                       struct flash_matrix_tile tile, struct flash_ranking *ranking)
{
    const bool one_tile =
        p->q.dims[2] <= tile.rows / tile.heads && p->k.dims[2] <= (int64_t)tile.keys;
    tile.matrix = flash_matrix_of(c->caps, &tile);
    if (tile.matrix.m == 0 || (tile.heads > 1 && !one_tile))
        return;
    tile.depth = flash_whole(p->q.dims[3], tile.matrix.k);
    tile.width = flash_whole(p->v.dims[3], tile.matrix.n);
    if (!flash_matrix_runs(c, p, &tile))
        return;
    const uint32_t threads = flash_matrix_threads(c->caps, &tile);
    const struct flash_form form = {tile, flash_cost(c->caps, p, &tile, threads, 4.0, 24)};
    flash_rank(ranking, FLASH_FORMS_MATRICES, &form);
}

static inline struct flash_form flash_plain_form(const struct op_lower *c,
                                                 const struct flash_problem *p,
                                                 struct flash_tile plain)
{
    const struct flash_matrix_tile tile = {.rows = plain.rows,
                                           .keys = plain.keys,
                                           .heads = 1,
                                           .depth = flash_whole(p->q.dims[3], 4),
                                           .width = flash_whole(p->v.dims[3], 4)};
    return (struct flash_form){tile, flash_cost(c->caps, p, &tile, 2 * plain.rows, 0.6, 16)};
}

// Where flash_suits.
static inline void flash_rank_plain(const struct op_lower *c, const struct flash_problem *p,
                                    struct flash_ranking *ranking)
{
    const struct flash_tile usual = flash_choose(c, p);
    const struct flash_form form = flash_plain_form(c, p, usual);
    flash_rank(ranking, FLASH_FORMS_MATRICES + 1, &form);
    for (uint32_t rows = FLASH_ROWS_MAX; rows >= FLASH_ROWS_MIN; rows /= 2) {
        struct flash_tile tile = {rows, flash_is_window(p) ? FLASH_KEYS_WINDOW : FLASH_KEYS};
        if (!flash_fits(c->caps, p, tile))
            tile.keys = FLASH_KEYS;
        if (rows != usual.rows && flash_fits(c->caps, p, tile) && flash_ends(p, tile))
            ranking->forms[ranking->count++] = flash_plain_form(c, p, tile);
        if (flash_is_last(c->caps, rows))
            break;
    }
}

// Tiles with matrices and without; none where neither kernel suits.
static inline struct flash_ranking flash_ranking_of(const struct op_lower *c,
                                                    const struct flash_problem *p)
{
    static const uint32_t rows[] = {64, 32, 16}, keys[] = {64, 32}, heads[] = {1, 2, 4};
    enum { CHANNELS_MAX = 1024, QUERIES_MIN = 2 };
    struct flash_ranking ranking = {.count = 0};
    const bool matrices = !c->caps->cpu && p->q.storage == STORAGE_F16 &&
                          p->q.dims[2] >= QUERIES_MIN && p->k.dims[2] > 0 && p->q.dims[3] > 0 &&
                          p->v.dims[3] > 0 && p->q.dims[3] <= CHANNELS_MAX &&
                          p->v.dims[3] <= CHANNELS_MAX;
    for (uint32_t i = 0; matrices && i < 3 * 2 * 3; i++)
        flash_rank_matrices(
            c, p, (struct flash_matrix_tile){rows[i / 6], keys[i / 3 % 2], heads[i % 3], {0}, 0, 0},
            &ranking);
    if (flash_suits(c, p))
        flash_rank_plain(c, p, &ranking);
    return ranking;
}

// ---- lowering -----------------------------------------------------------------------------------

// Eight neighbouring channels may be read at once.
static inline bool flash_octets(const struct view *view)
{
    bool aligned = view->strides[3] == 1 && view->dims[3] % 8 == 0 && view->offset % 8 == 0;
    for (uint32_t i = 0; i < 3; i++)
        aligned = aligned && (view->dims[i] <= 1 || view->strides[i] % 8 == 0);
    return aligned;
}

static inline void flash_lower_matrices(struct op_lower *c, const struct flash_problem *p,
                                        const struct flash_matrix_tile *tile)
{
    struct attention_matrix_spec spec = ATTENTION_MATRIX_SPEC_DEFAULT;
    struct attention_matrix_push push = {.step_a = {0}};
    spec.local_size_x = flash_matrix_threads(c->caps, tile);
    spec.rows = tile->rows;
    spec.keys = tile->keys;
    spec.heads = tile->heads;
    spec.depth = tile->depth;
    spec.width = tile->width;
    spec.lanes = c->caps->subgroup_size;
    spec.m = tile->matrix.m;
    spec.n = tile->matrix.n;
    spec.k = tile->matrix.k;
    spec.vector = flash_octets(&p->q) && flash_octets(&p->k) && flash_octets(&p->v);
    spec.store_vector = flash_vector(&p->y);
    FLASH_FILL(&spec, p);
    spec.masked = p->masks;
    LOWER_EPILOGUE(c, &spec, &push);
    struct op_dispatch dispatch = {
        .shader = attention_matrix_shaders.variants[VARIANT_F16],
        .bindings = {p->q, p->k, p->v, p->mask, p->lengths, flash_sizes_view(c, p), p->y},
        .binding_count = 7,
        .push = &push,
        .push_size = sizeof(push),
        .spec = &spec,
        .spec_size = sizeof(spec)};
    espy_lower_grid(c, (size_t)flash_matrix_groups(p, tile), 1, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
}

// false: neither kernel suits.
static inline bool flash_lower_best(struct op_lower *c, const struct flash_problem *p)
{
    const struct flash_ranking ranking = flash_ranking_of(c, p);
    if (ranking.count == 0)
        return false;
    const uint32_t chosen = espy_lower_choose(
        c, ranking.count, 0, "flash", "%lldx%lld,%lldx%lld,%lldx%lld,%u,%d,%d,%d%d%d",
        (long long)(p->q.dims[0] * p->q.dims[1]), (long long)(p->q.dims[1] / p->k.dims[1]),
        (long long)p->q.dims[2], (long long)p->k.dims[2], (long long)p->q.dims[3],
        (long long)p->v.dims[3], p->mask_kind, (int)p->left, (int)p->right,
        p->lengths.buffer != VIEW_NONE, p->cap > 0,
        flash_octets(&p->q) && flash_octets(&p->k) && flash_octets(&p->v));
    const struct flash_matrix_tile *tile = &ranking.forms[chosen].tile;
    if (tile->matrix.m == 0)
        flash_lower(c, p, (struct flash_tile){tile->rows, tile->keys});
    else
        flash_lower_matrices(c, p, tile);
    return true;
}

#endif // RUNTIME_OPS_FLASH_MATRIX_H_
