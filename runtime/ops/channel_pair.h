// The mean and the largest element along the channels of a map in one pass over it, joined as the
// spatial gate of CBAM wants them (shaders/channel_pair.comp).
#ifndef RUNTIME_OPS_CHANNEL_PAIR_H_
#define RUNTIME_OPS_CHANNEL_PAIR_H_

#include "op/axes.h"
#include "op/lower.h"
#include "ops/channel_pool.h"
#include "shaders/channel_pair.spv.h"

// Makes both, and the Concat of them; false: nothing was done.
static inline bool channel_pair_lower(struct op_lower *c)
{
    struct lower_pair pair;
    const enum storage storage = espy_lower_storage(c, c->inputs[0].dtype);
    const int64_t channels = c->inputs[0].shape.dims[1];
    if ((storage != STORAGE_F32 && storage != STORAGE_F16) ||
        espy_axes_count(&c->inputs[0].shape, UINT32_MAX) == 0 || !espy_lower_find_pair(c, &pair) ||
        channels > WINDOW_TRIPS_MAX)
        return false;
    const struct view x = channel_pool_input(c);
    const struct view y = espy_lower_take_pair(c, &pair);
    if (x.buffer == VIEW_NONE || y.buffer == VIEW_NONE)
        return true;
    struct channel_pair_spec spec = CHANNEL_PAIR_SPEC_DEFAULT;
    spec.local_size_x = window_local_size(c);
    spec.vector = window_vector(&x) ? 4 : 1;
    const struct channel_pair_push push = {.count = (uint32_t)(x.dims[0] * x.dims[2]),
                                           .pixels = (uint32_t)x.dims[2],
                                           .channels = (uint32_t)channels,
                                           .x_offset = (int32_t)x.offset,
                                           .x_image = (int32_t)x.strides[0],
                                           .x_channel = (int32_t)x.strides[1],
                                           .x_pixel = (int32_t)x.strides[2],
                                           .scale = 1 / (float)channels,
                                           .largest_first = pair.largest_first};
    struct op_dispatch dispatch = {
        .shader = channel_pair_shaders.variants[espy_reading_variant(c, storage)],
        .bindings = {x, y, x},
        .binding_count = 3,
        .push = &push,
        .push_size = sizeof(push),
        .spec = &spec,
        .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.count, spec.local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
    return true;
}

#endif // RUNTIME_OPS_CHANNEL_PAIR_H_
