// Gates of channels (SE, ECA, the channel part of CBAM): a pooling's lowering makes all of what
// follows it, up to the factor per channel, in two dispatches. One pools, in parallel over pixels
// and channels; the other (shaders/channel_gate.comp) is a workgroup per image.
#ifndef RUNTIME_OPS_GATE_H_
#define RUNTIME_OPS_GATE_H_

#include "op/axes.h"
#include "op/lower.h"
#include "ops/channel_pool.h"
#include "ops/panel.h"
#include "shaders/channel_gate.spv.h"
#include "shaders/include/gate_codes.glsl"

static inline int64_t gate_quads(int64_t count)
{
    return (count + 3) / 4;
}

static inline uint32_t gate_threads(const struct caps *caps)
{
    enum { THREADS_MAX = 256, THREADS_CPU = 8 };
    if (caps->cpu)
        return caps->subgroup_size > 0 && caps->subgroup_size < THREADS_MAX ? caps->subgroup_size
                                                                            : THREADS_CPU;
    return caps->invocations_max < THREADS_MAX ? caps->invocations_max : THREADS_MAX;
}

// Texels go with shuffles, as in the panel kernels.
static inline enum shader_variant gate_variant(const struct op_lower *c, enum storage storage)
{
    return panel_suits(c, storage) ? VARIANT_T32 : espy_variant(storage);
}

// Quads of numbers that the kernel makes of a layer at once.
static inline int64_t gate_lanes(const struct caps *caps, const struct lower_layer *layer)
{
    const int64_t quads = gate_quads(layer->out), threads = gate_threads(caps);
    return quads < threads ? quads : threads;
}

// Elements of one layer's weights as the kernel has them.
static inline int64_t gate_weights(const struct caps *caps, const struct lower_layer *layer)
{
    const int64_t lanes = gate_lanes(caps, layer);
    if (layer->taps > 0)
        return 4 * gate_quads(layer->taps);
    return (gate_quads(layer->out) + lanes - 1) / lanes * lanes * 4 * layer->in;
}

// A single workgroup reads an image's weights while the rest of the device idles, which is worth it
// as long as it takes no longer than the dispatch that it saves. On CPU drivers a core multiplies
// some two of them per nanosecond, and a dispatch takes 25 microseconds; what a GPU's
// multiprocessor reads meanwhile is an estimate.
static inline bool gate_suits(const struct op_lower *c, const struct lower_gate *gate)
{
    enum { WEIGHTS_CPU = 128 << 10, WEIGHTS_GPU = 128 << 10, TAPS_MAX = 64 };
    const struct lower_layer *first = &gate->layers[0];
    const enum storage storage = espy_lower_storage(c, c->inputs[0].dtype);
    int64_t weights = 0;
    for (uint32_t i = 0; i < gate->layer_count; i++)
        weights += gate_weights(c->caps, &gate->layers[i]);
    const uint32_t shared = 16 * (GATE_QUADS_MAX + GATE_HIDDEN_QUADS_MAX + gate_threads(c->caps));
    return (storage == STORAGE_F32 || storage == STORAGE_F16) && gate->images > 0 &&
           gate->channels > 0 && espy_axes_count(&c->inputs[0].shape, UINT32_MAX) > 0 &&
           gate->images <= c->caps->groups_max[0] && first->taps <= TAPS_MAX &&
           gate_quads(first->in) <= GATE_QUADS_MAX &&
           (gate->layer_count == 1 || gate_quads(first->out) <= GATE_HIDDEN_QUADS_MAX) &&
           shared <= c->caps->shared_size &&
           (c->caps->cpu ? weights * gate->images <= WEIGHTS_CPU : weights <= WEIGHTS_GPU);
}

// Copies blocks of so many numbers out, from the given one on, to where the kernel reads them: a
// block is a run of rows, one for each number in. What is in the padding of the last block is never
// used.
static inline void gate_pack(struct op_lower *c, const struct view *weights, int64_t first,
                             int64_t blocks, int64_t width, const struct view *packed)
{
    struct view source = *weights, target = *packed;
    source.rank = target.rank = 3;
    source.offset += first * weights->strides[1];
    source.strides[0] = packed->dims[1] * weights->strides[1];
    source.strides[1] = weights->strides[0];
    source.strides[2] = weights->strides[1];
    target.offset += first * weights->dims[0];
    target.strides[0] = packed->dims[1] * weights->dims[0];
    target.strides[1] = packed->dims[1];
    target.strides[2] = 1;
    source.dims[0] = target.dims[0] = blocks;
    source.dims[1] = target.dims[1] = weights->dims[0];
    source.dims[2] = target.dims[2] = width;
    if (blocks > 0 && width > 0)
        espy_lower_copy(c, &source, &target);
}

// All layers' weights, one after the other.
static inline struct view gate_packed(struct op_lower *c, const struct lower_gate *gate,
                                      const struct view *weights)
{
    struct shape shape = {.rank = 1};
    for (uint32_t i = 0; i < gate->layer_count; i++)
        shape.dims[0] += gate_weights(c->caps, &gate->layers[i]);
    const struct view packed = espy_lower_temporary(c, c->inputs[0].dtype, &shape);
    int64_t offset = 0;
    for (uint32_t i = 0; i < gate->layer_count && packed.buffer != VIEW_NONE; i++) {
        const struct lower_layer *layer = &gate->layers[i];
        const int64_t block = layer->taps > 0 ? 1 : 4 * gate_lanes(c->caps, layer);
        const int64_t outs = layer->taps > 0 ? 1 : layer->out, blocks = outs / block;
        struct view rows = packed;
        rows.offset = offset;
        rows.dims[1] = block; // a row's length
        gate_pack(c, &weights[i], 0, blocks, block, &rows);
        gate_pack(c, &weights[i], blocks * block, 1, outs - blocks * block, &rows);
        offset += gate_weights(c->caps, layer);
    }
    return packed;
}

static inline void gate_add(struct op_lower *c, const struct lower_gate *gate,
                            const struct channel_pool *pool, const struct view *partial,
                            const struct view *weights, const struct view *biases,
                            const struct view *y)
{
    const struct lower_layer *first = &gate->layers[0],
                             *last = &gate->layers[gate->layer_count - 1];
    const struct view none = {.buffer = VIEW_NONE}, packed = gate_packed(c, gate, weights);
    const struct view second = gate->layer_count > 1 ? biases[1] : none;
    const enum storage storage = espy_lower_storage(c, c->inputs[0].dtype);
    struct channel_gate_spec spec = CHANNEL_GATE_SPEC_DEFAULT;
    spec.local_size_x = spec.threads = gate_threads(c->caps);
    spec.layers = gate->layer_count;
    spec.both = gate->both;
    spec.along = first->taps > 0;
    spec.step_0 = first->step.function;
    spec.step_1 = gate->layer_count > 1 ? last->step.function : 0;
    struct channel_gate_push push = {.images = (uint32_t)gate->images,
                                     .channels = (uint32_t)gate->channels,
                                     .chunks = pool->push.chunks,
                                     .hidden = (uint32_t)first->out,
                                     .outs = (uint32_t)last->out,
                                     .second = (uint32_t)(gate_weights(c->caps, first) / 4),
                                     .taps = (uint32_t)first->taps,
                                     .pad = (uint32_t)first->pad,
                                     .has_bias_0 = biases[0].buffer != VIEW_NONE,
                                     .has_bias_1 = second.buffer != VIEW_NONE,
                                     .bias_offset_0 = (int32_t)biases[0].offset,
                                     .bias_offset_1 = (int32_t)second.offset,
                                     .scale = 1 / (float)pool->push.pixels,
                                     .step_a = {first->step.a, last->step.a},
                                     .step_b = {first->step.b, last->step.b}};
    struct op_dispatch dispatch = {.shader =
                                       channel_gate_shaders.variants[gate_variant(c, storage)],
                                   .bindings = {*partial, packed, biases[0], second, *y},
                                   .binding_count = 5,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec),
                                   .groups = {push.images, 1, 1}};
    espy_lower_dispatch(c, &dispatch);
}

// Makes the gate that follows a pooling; false: nothing was done.
static inline bool gate_lower(struct op_lower *c)
{
    struct lower_gate gate;
    struct view weights[GATE_LAYERS_MAX], biases[GATE_LAYERS_MAX];
    if (!espy_lower_find_gate(c, &gate) || !gate_suits(c, &gate))
        return false;
    const struct view x = channel_pool_input(c);
    const struct view y = espy_lower_take_gate(c, &gate, weights, biases);
    if (x.buffer == VIEW_NONE || y.buffer == VIEW_NONE)
        return true;
    struct channel_pool pool = channel_pool_of(c, &x, gate.both ? POOL_BOTH : POOL_AVERAGE);
    const struct shape shape = {
        4, {gate.both ? 2 : 1, gate.images, pool.push.chunks, 4 * gate_quads(gate.channels)}};
    const struct view partial = espy_lower_temporary(c, ESPY_FLOAT32, &shape);
    // A sum of float32 that is its own result shares a pipeline with means.
    pool.spec.to_partial = gate.both || espy_lower_storage(c, c->inputs[0].dtype) != STORAGE_F32;
    pool.push.scale = 1;
    pool.push.row = (uint32_t)shape.dims[3];
    channel_pool_add(c, &pool, &x, &(struct view){.buffer = VIEW_NONE}, &partial);
    gate_add(c, &gate, &pool, &partial, weights, biases, &y);
    return true;
}

#endif // RUNTIME_OPS_GATE_H_
