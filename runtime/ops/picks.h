// What the operators that pick elements by their values share (NonZero, Compress, Unique): bits for
// those picked, sums of them, and lists of their positions, all made on the device.
#ifndef RUNTIME_OPS_PICKS_H_
#define RUNTIME_OPS_PICKS_H_

#include "op/lower.h"
#include "op/op.h"
#include "shaders/include/ranks_codes.glsl"
#include "shaders/pick_masks.spv.h"
#include "shaders/pick_positions.spv.h"
#include "shaders/pick_slices.spv.h"
#include "shaders/prefix_sums.spv.h"

// Whether the kernels see in the device's memory what the reference sees: float64 is float32 there.
static inline bool picks_exactly(espy_dtype dtype)
{
    return dtype != ESPY_FLOAT64;
}

// Entries that are added up by one invocation, as a power of two.
static inline uint32_t picks_shift(const struct op_lower *c)
{
    return c->caps->cpu ? 10 : 5;
}

// Neighbours that one invocation takes, of 32 at most.
static inline uint32_t picks_run(const struct op_lower *c)
{
    return c->caps->cpu ? 32 : 1;
}

static inline uint32_t picks_words(size_t count)
{
    return count == 0 ? 1 : (uint32_t)((count + 31) / 32); // one at least: there must be a total
}

// Bits for the elements of a dense view that are not zero: picks_words() words.
static inline struct view picks_masks(struct op_lower *c, const struct view *x)
{
    const size_t count = espy_view_count(x);
    const struct pick_masks_push push = {
        .count = (uint32_t)count, .words = picks_words(count), .x_offset = (int32_t)x->offset};
    struct pick_masks_spec spec = PICK_MASKS_SPEC_DEFAULT;
    const struct view masks =
        espy_lower_temporary(c, ESPY_UINT32, &(struct shape){1, {push.words}});
    spec.local_size_x = c->caps->local_size;
    if (espy_dtype_is_float(x->dtype))
        spec.significant = 0x7fffffff;
    struct op_dispatch dispatch = {.shader =
                                       pick_masks_shaders.variants[espy_word_variant(x->storage)],
                                   .bindings = {*x, masks},
                                   .binding_count = 2,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.words, spec.local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
    return masks;
}

// The sums of the entries before each one of source: RANKS_NUMBERS, or RANKS_MASKS for the bits of
// them. The sum of all goes to total. ranks.glsl reads the result.
static inline struct view picks_sums(struct op_lower *c, const struct view *source, uint32_t kind,
                                     const struct view *total)
{
    const uint32_t shift = picks_shift(c);
    struct prefix_sums_push push = {.count = (uint32_t)espy_view_count(source)};
    struct prefix_sums_spec spec = PREFIX_SUMS_SPEC_DEFAULT;
    uint32_t room = 0, level = push.count;
    for (;; level = (level + (1u << shift) - 1) >> shift) {
        room += level;
        if (level <= 1u << shift)
            break;
    }
    const struct view sums = espy_lower_temporary(c, ESPY_UINT32, &(struct shape){1, {room}});
    spec.local_size_x = c->caps->local_size;
    spec.shift = shift;
    spec.source = kind;
    for (;; spec.source = RANKS_LEVEL, push.level = push.next, push.count = push.groups) {
        push.groups = (push.count + (1u << shift) - 1) >> shift;
        push.next = push.level + push.count;
        spec.last = push.groups <= 1;
        struct op_dispatch dispatch = {.shader = prefix_sums_shaders.variants[VARIANT_NONE],
                                       .bindings = {*source, sums, *total},
                                       .binding_count = 3,
                                       .push = &push,
                                       .push_size = sizeof(push),
                                       .spec = &spec,
                                       .spec_size = sizeof(spec)};
        espy_lower_grid(c, push.groups, spec.local_size_x, dispatch.groups);
        espy_lower_dispatch(c, &dispatch);
        if (spec.last)
            return sums;
    }
}

// The positions of the bits that are set, of which there are `most` at most.
static inline struct view picks_positions(struct op_lower *c, const struct view *masks,
                                          const struct view *sums, size_t most)
{
    const struct pick_positions_push push = {.words = (uint32_t)espy_view_count(masks)};
    struct pick_positions_spec spec = PICK_POSITIONS_SPEC_DEFAULT;
    const struct view positions =
        espy_lower_temporary(c, ESPY_UINT32, &(struct shape){1, {(int64_t)most}});
    spec.local_size_x = c->caps->local_size;
    spec.shift = picks_shift(c);
    spec.run = picks_run(c);
    struct op_dispatch dispatch = {.shader = pick_positions_shaders.variants[VARIANT_NONE],
                                   .bindings = {*masks, *sums, positions},
                                   .binding_count = 3,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    espy_lower_grid(c, (size_t)push.words * (32 / spec.run), spec.local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
    return positions;
}

// A dense tensor as what lies around an axis, along it and inside of it.
struct picks_split {
    size_t outer, length, inner;
};

// axis may be the rank: the tensor is taken as flat.
static inline struct picks_split picks_split(const struct shape *shape, uint32_t axis)
{
    struct picks_split split = {1, 1, 1};
    for (uint32_t d = 0; d < shape->rank; d++) {
        size_t *part = d < axis ? &split.outer : d == axis ? &split.length : &split.inner;
        *part *= (size_t)shape->dims[d];
    }
    if (axis == shape->rank)
        split = (struct picks_split){1, split.outer, 1};
    return split;
}

// The slices of a dense x at the positions, of which only count says how many there are and `most`
// how many at most, written to y.
static inline void picks_slices(struct op_lower *c, const struct view *x,
                                const struct picks_split *split, const struct view *positions,
                                const struct view *count, size_t most, const struct view *y)
{
    enum { ELEMENTS = 16 }; // of one invocation on CPU drivers
    struct pick_slices_push push = {.inner = (uint32_t)split->inner,
                                    .items = (uint32_t)split->length,
                                    .x_offset = (int32_t)x->offset};
    struct pick_slices_spec spec = PICK_SLICES_SPEC_DEFAULT;
    spec.local_size_x = c->caps->local_size;
    if (c->caps->cpu) {
        spec.run = split->inner > ELEMENTS ? ELEMENTS : split->inner == 0 ? 1 : push.inner;
        spec.picks = ELEMENTS / spec.run;
    }
    push.runs = (push.inner + spec.run - 1) / spec.run;
    push.blocks = ((uint32_t)most + spec.picks - 1) / spec.picks;
    push.invocations = (uint32_t)split->outer * push.blocks * push.runs;
    struct op_dispatch dispatch = {.shader =
                                       pick_slices_shaders.variants[espy_word_variant(x->storage)],
                                   .bindings = {*x, *positions, *count, *y},
                                   .binding_count = 4,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.invocations, spec.local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
}

#endif // RUNTIME_OPS_PICKS_H_
