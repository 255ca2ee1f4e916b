// Pooling of every channel of an image to one number (shaders/global_pool.comp), which poolings and
// gates share.
#ifndef RUNTIME_OPS_CHANNEL_POOL_H_
#define RUNTIME_OPS_CHANNEL_POOL_H_

#include "op/lower.h"
#include "ops/window.h"
#include "shaders/global_pool.spv.h"

// In the order of MODE in shaders/global_pool.comp.
enum pool_mode { POOL_AVERAGE, POOL_LP, POOL_MAX, POOL_BOTH };

// x with all its pixels in dimension 2, which takes a copy where they are not evenly spaced.
static inline struct view channel_pool_input(struct op_lower *c)
{
    struct view x = espy_lower_input(c, 0);
    for (uint32_t attempt = 0; attempt < 2; attempt++) {
        if (x.buffer == VIEW_NONE)
            return x;
        struct view pixels = x;
        pixels.rank = x.rank - 2;
        for (uint32_t i = 2; i < x.rank; i++) {
            pixels.dims[i - 2] = x.dims[i];
            pixels.strides[i - 2] = x.strides[i];
        }
        if (espy_view_collapse(&pixels, 1) == 1) {
            x.rank = 3;
            x.dims[2] = pixels.dims[0];
            x.strides[2] = pixels.strides[0];
            return x;
        }
        x = espy_lower_channels_last_input(c, 0);
    }
    return x;
}

// Chunks of an image's pixels, so that a few channels of a large image keep a whole device busy.
static inline uint32_t channel_pool_chunks(const struct op_lower *c, size_t lines, int64_t pixels)
{
    const int64_t wanted = c->caps->cpu ? 128 : 32768, size_min = c->caps->cpu ? 256 : 32;
    int64_t chunks = lines == 0 ? 1 : wanted / (int64_t)lines;
    if (chunks > pixels / size_min)
        chunks = pixels / size_min;
    if (chunks < (pixels + WINDOW_TRIPS_MAX - 1) / WINDOW_TRIPS_MAX)
        chunks = (pixels + WINDOW_TRIPS_MAX - 1) / WINDOW_TRIPS_MAX;
    return chunks < 1 ? 1 : (uint32_t)chunks;
}

struct channel_pool {
    struct global_pool_spec spec;
    struct global_pool_push push;
};

static inline void channel_pool_add(struct op_lower *c, const struct channel_pool *pool,
                                    const struct view *x, const struct view *partial,
                                    const struct view *result)
{
    const enum storage storage = espy_lower_storage(c, c->inputs[0].dtype);
    struct op_dispatch dispatch = {
        .shader = global_pool_shaders.variants[espy_reading_variant(c, storage)],
        .bindings = {*x, *partial, *result, *result, *x},
        .binding_count = 5,
        .push = &pool->push,
        .push_size = sizeof(pool->push),
        .spec = &pool->spec,
        .spec_size = sizeof(pool->spec)};
    const size_t lines = (size_t)(pool->push.channels / pool->spec.vector) * pool->push.images;
    espy_lower_grid(c, lines * pool->push.chunks, pool->spec.local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
}

// The pass over an input as channel_pool_input gives it, whose results lie channel after channel.
static inline struct channel_pool channel_pool_of(const struct op_lower *c, const struct view *x,
                                                  enum pool_mode mode)
{
    struct channel_pool pool = {.spec = GLOBAL_POOL_SPEC_DEFAULT};
    pool.spec.local_size_x = window_local_size(c);
    pool.spec.mode = mode;
    pool.spec.vector = window_vector(x) ? 4 : 1;
    const size_t lines = (size_t)(x->dims[0] * x->dims[1]) / pool.spec.vector;
    const int64_t pixels = x->dims[2];
    const uint32_t chunks = channel_pool_chunks(c, lines, pixels);
    pool.push = (struct global_pool_push){.images = (uint32_t)x->dims[0],
                                          .channels = (uint32_t)x->dims[1],
                                          .pixels = (uint32_t)pixels,
                                          .chunks = chunks,
                                          .chunk_size = ((uint32_t)pixels + chunks - 1) / chunks,
                                          .x_offset = (int32_t)x->offset,
                                          .x_image = (int32_t)x->strides[0],
                                          .x_channel = (int32_t)x->strides[1],
                                          .x_pixel = (int32_t)x->strides[2],
                                          .scale = 1 / (float)pixels,
                                          .row = (uint32_t)x->dims[1]};
    return pool;
}

#endif // RUNTIME_OPS_CHANNEL_POOL_H_
