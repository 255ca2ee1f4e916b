// Attention on CPU drivers: shaders/attention_panel.comp, one dispatch that keeps no scores in
// memory.
#ifndef RUNTIME_OPS_ATTENTION_PANEL_H_
#define RUNTIME_OPS_ATTENTION_PANEL_H_

#include "ops/panel.h"
#include "shaders/attention_panel.spv.h"

struct attention_panel {
    // [outer batch, inner batch, position, channel]; a head that several share has a stride of 0.
    struct view q, k, v, y;
    struct view mask; // float32 [.., .., query, key], added to the scores; VIEW_NONE: none
    // [query of all batches, 2], dense: what makes weights of each query's scores, as
    // struct panel_product has it; VIEW_NONE: not wanted
    struct view stats;
    // [query of all batches, key], dense: the weights, where attention_panel_keeps; VIEW_NONE: not
    // wanted
    struct view weights;
    float scale;
};

enum { ATTENTION_PANEL_VECTORS_MAX = 2 };

// Forms, for espy_lower_choose: the most queries of a workgroup. More of them read keys and values
// less often, and take the driver longer to compile: with 32 instead of 16 twice as long, for a
// tenth of the time of windows, whose keys are one block, and less where they are many.
static const uint32_t attention_panel_forms[] = {16, 32, 24, 8};
enum {
    ATTENTION_PANEL_FORMS = sizeof(attention_panel_forms) / sizeof(attention_panel_forms[0]),
    ATTENTION_PANEL_FORM_MANY = 0,
    ATTENTION_PANEL_FORM_WINDOW = 1
};

static inline uint32_t attention_panel_vectors(const struct op_lower *c,
                                               const struct attention_panel *p)
{
    const int64_t width = 4 * (int64_t)c->caps->subgroup_size;
    return (uint32_t)((p->v.dims[3] + width - 1) / width);
}

// Keys per lane: those for which all blocks together cost least. What comes with a block costs
// about as much as 1.3 keys per lane.
static inline uint32_t attention_panel_columns(int64_t keys, uint32_t lanes)
{
    enum { COLUMNS_MAX = 8 };
    uint32_t best = 1;
    double least = 0;
    for (uint32_t columns = 1; columns <= COLUMNS_MAX; columns++) {
        const int64_t width = (int64_t)lanes * columns;
        const double cost = (double)((keys + width - 1) / width) * (columns + 1.3);
        if (columns == 1 || cost < least) {
            best = columns;
            least = cost;
        }
    }
    return best;
}

static inline bool attention_panel_suits(const struct op_lower *c, const struct attention_panel *p)
{
    enum { SIZE_MAX_16 = 65535, TRIPS_MAX = 60000 };
    const struct view *views[] = {&p->q, &p->k, &p->v, &p->y};
    for (uint32_t i = 0; i < 4; i++)
        if (views[i]->storage != STORAGE_F32 || views[i]->dims[3] == 0 ||
            views[i]->dims[3] > SIZE_MAX_16 || views[i]->dims[2] > SIZE_MAX_16 ||
            !espy_view_vectors(views[i], 3, false))
            return false;
    const bool mask_fits =
        p->mask.buffer == VIEW_NONE ||
        (p->mask.storage == STORAGE_F32 && (p->mask.strides[3] == 0 || p->mask.strides[3] == 1));
    if (!panel_suits(c, STORAGE_F32) || !mask_fits || p->k.dims[2] == 0 ||
        attention_panel_vectors(c, p) > ATTENTION_PANEL_VECTORS_MAX)
        return false;
    const uint32_t lanes = c->caps->subgroup_size;
    const int64_t block = (int64_t)lanes * attention_panel_columns(p->k.dims[2], lanes);
    return (p->k.dims[2] / block + 1) * (p->q.dims[3] / 4 + lanes + 1) < TRIPS_MAX;
}

// Blocks of keys.
static inline uint32_t attention_panel_blocks(const struct op_lower *c,
                                              const struct attention_panel *p)
{
    const uint32_t lanes = c->caps->subgroup_size;
    const int64_t block = (int64_t)lanes * attention_panel_columns(p->k.dims[2], lanes);
    return (uint32_t)((p->k.dims[2] + block - 1) / block);
}

// true: shared memory can keep the scores, whichever form is taken.
static inline bool attention_panel_keeps(const struct op_lower *c, const struct attention_panel *p)
{
    const uint32_t lanes = c->caps->subgroup_size, blocks = attention_panel_blocks(c, p);
    const uint64_t keys = (uint64_t)blocks * lanes * attention_panel_columns(p->k.dims[2], lanes);
    uint32_t queries = 0;
    for (uint32_t i = 0; i < ATTENTION_PANEL_FORMS; i++)
        queries = attention_panel_forms[i] > queries ? attention_panel_forms[i] : queries;
    return blocks == 1 || keys * queries * sizeof(float) <= c->caps->shared_size;
}

static inline struct attention_panel_spec attention_panel_spec_of(struct op_lower *c,
                                                                  const struct attention_panel *p)
{
    struct attention_panel_spec spec = ATTENTION_PANEL_SPEC_DEFAULT;
    spec.local_size_x = spec.lanes = c->caps->subgroup_size;
    spec.cols = attention_panel_columns(p->k.dims[2], spec.lanes);
    const int64_t block = (int64_t)spec.lanes * spec.cols;
    spec.blocks = p->k.dims[2] <= block;
    const uint32_t form = espy_lower_choose(
        c, ATTENTION_PANEL_FORMS,
        spec.blocks ? ATTENTION_PANEL_FORM_WINDOW : ATTENTION_PANEL_FORM_MANY, "attention_panel",
        "%lldx%lldx%lldx%lld,b%lld,%d", (long long)p->q.dims[2], (long long)p->k.dims[2],
        (long long)p->q.dims[3], (long long)p->v.dims[3],
        (long long)(p->q.dims[0] * p->q.dims[1]), p->mask.buffer != VIEW_NONE);
    spec.pixels = panel_pixels(p->q.dims[2], attention_panel_forms[form]);
    spec.vectors = attention_panel_vectors(c, p);
    spec.ragged = p->k.dims[2] % block != 0;
    spec.has_mask = p->mask.buffer != VIEW_NONE;
    spec.mask_column = p->mask.strides[3] != 0;
    spec.scale = p->scale;
    spec.stats = p->stats.buffer != VIEW_NONE;
    spec.weights = p->weights.buffer != VIEW_NONE;
    spec.kept = spec.weights != 0 && spec.blocks != 1 ? attention_panel_blocks(c, p) : 1;
    return spec;
}

static inline void attention_panel_place(const struct view *view, int32_t *offset, int32_t *row,
                                         int32_t batch[2])
{
    if (view->buffer == VIEW_NONE)
        return;
    *offset = (int32_t)view->offset;
    *row = (int32_t)view->strides[2];
    batch[0] = (int32_t)view->strides[0];
    batch[1] = (int32_t)view->strides[1];
}

// Where attention_panel_suits.
static inline void attention_panel_lower(struct op_lower *c, const struct attention_panel *p)
{
    struct attention_panel_spec spec = attention_panel_spec_of(c, p);
    struct attention_panel_push push = {.batches = (uint32_t)(p->q.dims[0] * p->q.dims[1]),
                                        .batch_inner = (uint32_t)p->q.dims[1],
                                        .lengths = (uint32_t)(p->q.dims[2] | p->k.dims[2] << 16),
                                        .widths = (uint32_t)(p->q.dims[3] | p->v.dims[3] << 16)};
    attention_panel_place(&p->q, &push.q_offset, &push.q_row, push.q_batch);
    attention_panel_place(&p->k, &push.k_offset, &push.k_row, push.k_batch);
    attention_panel_place(&p->v, &push.v_offset, &push.v_row, push.v_batch);
    attention_panel_place(&p->y, &push.y_offset, &push.y_row, push.y_batch);
    attention_panel_place(&p->mask, &push.mask_offset, &push.mask_row, push.mask_batch);
    LOWER_EPILOGUE(c, &spec, &push);
    // A binding that is written must be given even if the kernel will not write it.
    const struct view stats = p->stats.buffer != VIEW_NONE ? p->stats : p->y;
    const struct view weights = p->weights.buffer != VIEW_NONE ? p->weights : p->y;
    struct op_dispatch dispatch = {.shader = espy_vector_shader(c, &attention_panel_shaders),
                                   .bindings = {p->q, p->k, p->v, p->mask, p->y, stats,
                                                weights},
                                   .binding_count = 7,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    const size_t tiles = ((size_t)p->q.dims[2] + spec.pixels - 1) / spec.pixels;
    espy_lower_grid(c, push.batches * tiles, 1, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
}

#endif // RUNTIME_OPS_ATTENTION_PANEL_H_
