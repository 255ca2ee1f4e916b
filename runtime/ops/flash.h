// Attention on GPUs: shaders/attention_flash.comp, one dispatch that keeps no scores in memory, and
// shaders/attention_weights.comp, which makes weights again of those queries that are asked for.
#ifndef RUNTIME_OPS_FLASH_H_
#define RUNTIME_OPS_FLASH_H_

#include "op/lower.h"
#include "shaders/attention_flash.spv.h"
#include "shaders/attention_weights.spv.h"

struct flash_problem {
    struct view q, k, v, y; // [batch, head, position, channel], any strides
    struct view mask;       // the same of the scores, broadcast, or VIEW_NONE; kind says of what
    struct view lengths;    // of each batch's keys, dense, or VIEW_NONE
    uint32_t mask_kind;     // ATTENTION_MASK_...
    bool masks;             // some keys may be hidden
    int64_t past;           // keys before the first query
    int32_t left, right;    // how far a query sees; negative: without end
    float scale, cap;       // cap 0: none
    // [query of all heads, 2], float32, dense: written by flash_lower and read by
    // flash_weights_lower; VIEW_NONE: no weights are asked for
    struct view stats;
};

// What the kernel finds at binding 5, in this order.
struct flash_sizes {
    uint32_t matrices, heads, group;
    uint32_t queries, keys, depth, width, past, mask_keys;
    int32_t left, right;
    float scale, cap;
    int32_t q_at[4], k_at[4], v_at[4], y_at[4], mask_at[4];
    int32_t q_step, k_step, v_step, y_step, mask_step;
};
enum { FLASH_SIZES_WORDS = sizeof(struct flash_sizes) / 4 };

static inline int64_t flash_quads(int64_t count)
{
    return (count + 3) / 4;
}

// Bytes of shared memory, as the kernel lays it out.
static inline int64_t flash_shared_size(int64_t rows, int64_t keys, int64_t depth, int64_t width)
{
    const int64_t longer = depth > width ? depth : width;
    return 16 * (rows * (depth | 1) + keys * (longer | 1) + rows * (keys / 4 + 1)) + 32 * rows + 16;
}

// Queries and keys of a tile; rows 0: none.
struct flash_tile {
    uint32_t rows, keys;
};
enum { FLASH_ROWS_MAX = 64, FLASH_ROWS_MIN = 16, FLASH_KEYS = 32, FLASH_KEYS_WINDOW = 64 };

// Of up to 64 tokens: one tile of keys, whose scores are made once and stay in registers.
static inline bool flash_is_window(const struct flash_problem *p)
{
    return p->k.dims[2] > FLASH_KEYS && p->k.dims[2] <= FLASH_KEYS_WINDOW;
}

static inline bool flash_fits(const struct caps *caps, const struct flash_problem *p,
                              struct flash_tile tile)
{
    const int64_t depth = flash_quads(p->q.dims[3]), width = flash_quads(p->v.dims[3]);
    return 2 * tile.rows <= caps->invocations_max &&
           flash_shared_size(tile.rows, tile.keys, depth, width) <= caps->shared_size;
}

// All loops of one invocation together stay below the 65535 trips that some drivers take.
static inline bool flash_ends(const struct flash_problem *p, struct flash_tile tile)
{
    enum { TRIPS_MAX = 60000 };
    const int64_t depth = flash_quads(p->q.dims[3]), width = flash_quads(p->v.dims[3]);
    const int64_t reads = tile.keys * (depth + width) / (2 * tile.rows) + 2;
    const int64_t tiles = (p->k.dims[2] + tile.keys - 1) / tile.keys;
    return tiles * (1 + depth + tile.keys / 4 + reads) < TRIPS_MAX;
}

// No tile of fewer queries: a part of a subgroup would idle.
static inline bool flash_is_last(const struct caps *caps, uint32_t rows)
{
    return rows == FLASH_ROWS_MIN || 2 * rows <= caps->subgroup_size;
}

// With so many keys, the most queries that leave less than half of a tile empty and keep the device
// busy.
static inline struct flash_tile flash_choose_rows(const struct caps *caps,
                                                  const struct flash_problem *p, uint32_t keys)
{
    const int64_t queries = p->q.dims[2], matrices = p->q.dims[0] * p->q.dims[1];
    for (uint32_t rows = FLASH_ROWS_MAX; rows >= FLASH_ROWS_MIN; rows /= 2) {
        const struct flash_tile tile = {rows, keys};
        const bool suits = queries > rows / 2 &&
                           matrices * ((queries + rows - 1) / rows) >= caps->groups_busy;
        if ((suits || flash_is_last(caps, rows)) && flash_fits(caps, p, tile))
            return tile;
    }
    return (struct flash_tile){0, 0};
}

// One tile of keys is worth more than more queries.
static inline struct flash_tile flash_choose(const struct op_lower *c,
                                             const struct flash_problem *p)
{
    struct flash_tile tile = {0, 0};
    if (flash_is_window(p))
        tile = flash_choose_rows(c->caps, p, FLASH_KEYS_WINDOW);
    return tile.rows > 0 ? tile : flash_choose_rows(c->caps, p, FLASH_KEYS);
}

// One query would leave nearly all of a workgroup idle.
static inline bool flash_suits(const struct op_lower *c, const struct flash_problem *p)
{
    enum { QUERIES_MIN = 2 };
    if (c->caps->cpu || p->q.dims[2] < QUERIES_MIN || p->q.dims[3] == 0 || p->v.dims[3] == 0 ||
        p->k.dims[2] == 0)
        return false;
    const struct flash_tile tile = flash_choose(c, p);
    return tile.rows > 0 && flash_ends(p, tile);
}

// Four neighbouring channels may be read or written at once.
static inline bool flash_vector(const struct view *view)
{
    bool aligned = view->strides[3] == 1 && view->dims[3] % 4 == 0 && view->offset % 4 == 0;
    for (uint32_t i = 0; i < 3; i++)
        aligned = aligned && (view->dims[i] <= 1 || view->strides[i] % 4 == 0);
    return aligned;
}

static inline void flash_place(int32_t at[4], int32_t *step, const struct view *view)
{
    if (view->buffer == VIEW_NONE)
        return;
    at[0] = (int32_t)view->offset;
    for (uint32_t i = 0; i < 3; i++)
        at[i + 1] = (int32_t)view->strides[i];
    *step = (int32_t)view->strides[3];
}

static inline struct view flash_sizes_view(struct op_lower *c, const struct flash_problem *p)
{
    struct flash_sizes sizes = {
        .matrices = (uint32_t)(p->q.dims[0] * p->q.dims[1]),
        .heads = (uint32_t)p->q.dims[1],
        .group = (uint32_t)(p->q.dims[1] / p->k.dims[1]),
        .queries = (uint32_t)p->q.dims[2],
        .keys = (uint32_t)p->k.dims[2],
        .depth = (uint32_t)p->q.dims[3],
        .width = (uint32_t)p->v.dims[3],
        .past = (uint32_t)p->past,
        .mask_keys = p->mask.buffer == VIEW_NONE ? 0 : (uint32_t)p->mask.dims[3],
        .left = p->left,
        .right = p->right,
        .scale = p->scale,
        .cap = p->cap};
    flash_place(sizes.q_at, &sizes.q_step, &p->q);
    flash_place(sizes.k_at, &sizes.k_step, &p->k);
    flash_place(sizes.v_at, &sizes.v_step, &p->v);
    flash_place(sizes.y_at, &sizes.y_step, &p->y);
    flash_place(sizes.mask_at, &sizes.mask_step, &p->mask);
    const struct shape shape = {1, {FLASH_SIZES_WORDS}};
    return espy_lower_constant(c, ESPY_INT32, &shape, &sizes);
}

// What becomes of a score: constants that flash.glsl gives to all kernels.
#define FLASH_FILL(spec, p)                                                                        \
    do {                                                                                           \
        (spec)->mask = (p)->mask_kind;                                                             \
        (spec)->window = (p)->left >= 0 || (p)->right >= 0;                                        \
        (spec)->length_words =                                                                     \
            (p)->lengths.buffer == VIEW_NONE ? 0 : espy_index_words(&(p)->lengths);                \
        (spec)->cap = (p)->cap > 0;                                                                \
    } while (0)

static inline void flash_lower(struct op_lower *c, const struct flash_problem *p,
                               struct flash_tile tile)
{
    struct attention_flash_spec spec = ATTENTION_FLASH_SPEC_DEFAULT;
    struct attention_flash_push push = {.step_a = {0}};
    spec.local_size_x = 2 * tile.rows;
    spec.rows = tile.rows;
    spec.keys = tile.keys;
    spec.depth = (uint32_t)flash_quads(p->q.dims[3]);
    spec.width = (uint32_t)flash_quads(p->v.dims[3]);
    spec.vector = flash_vector(&p->q) && flash_vector(&p->k) && flash_vector(&p->v);
    spec.store_vector = flash_vector(&p->y);
    FLASH_FILL(&spec, p);
    spec.masked = p->masks;
    spec.stats = p->stats.buffer != VIEW_NONE;
    LOWER_EPILOGUE(c, &spec, &push);
    struct op_dispatch dispatch = {
        .shader = attention_flash_shaders.variants[espy_variant(p->q.storage)],
        // A binding that is written must be given even if the kernel will not write it.
        .bindings = {p->q, p->k, p->v, p->mask, p->lengths, flash_sizes_view(c, p), p->y,
                     spec.stats != 0 ? p->stats : p->y},
        .binding_count = 8,
        .push = &push,
        .push_size = sizeof(push),
        .spec = &spec,
        .spec_size = sizeof(spec)};
    const int64_t blocks = (p->q.dims[2] + tile.rows - 1) / tile.rows;
    espy_lower_grid(c, (size_t)(p->q.dims[0] * p->q.dims[1] * blocks), 1, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
}

// The weights of queries [first, first + taken), after flash_lower. y: dense, of q's storage.
static inline void flash_weights_lower(struct op_lower *c, const struct flash_problem *p,
                                       int64_t first, int64_t taken, const struct view *y)
{
    struct flash_problem rows = *p;
    rows.q.dims[2] = taken;
    const struct flash_tile tile = flash_choose(c, &rows); // smaller than the one that suits p
    struct attention_weights_spec spec = ATTENTION_WEIGHTS_SPEC_DEFAULT;
    const struct attention_weights_push push = {.first = (uint32_t)first,
                                                .taken = (uint32_t)taken};
    spec.local_size_x = 2 * tile.rows;
    spec.rows = tile.rows;
    spec.keys = tile.keys;
    spec.depth = (uint32_t)flash_quads(p->q.dims[3]);
    spec.vector = flash_vector(&p->q) && flash_vector(&p->k);
    FLASH_FILL(&spec, p);
    struct op_dispatch dispatch = {
        .shader = attention_weights_shaders.variants[espy_variant(p->q.storage)],
        .bindings = {p->q, p->k, p->stats, p->mask, p->lengths, flash_sizes_view(c, p), *y},
        .binding_count = 7,
        .push = &push,
        .push_size = sizeof(push),
        .spec = &spec,
        .spec_size = sizeof(spec)};
    const int64_t blocks = (taken + tile.rows - 1) / tile.rows *
                           ((p->k.dims[2] + tile.keys - 1) / tile.keys);
    espy_lower_grid(c, (size_t)(p->q.dims[0] * p->q.dims[1] * blocks), 1, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
}

#endif // RUNTIME_OPS_FLASH_H_
