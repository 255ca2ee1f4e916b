// One invocation = VECTOR channels of one output element. Invocations are numbered in the order of
// the output's memory, which is channels-last (CHANNELS_LAST = 1) or row-major; x has any strides.
// variants: f32 f16 i32 t32
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "types.glsl"
#include "vectors.glsl"
#include "read4.glsl"
#include "index.glsl"
#include "window.glsl"

#define POOL_MAX 0
#define POOL_AVERAGE 1
#define POOL_LP 2
layout(constant_id = 3) const uint MODE = POOL_MAX;
layout(constant_id = 4) const uint VECTOR = 4;
layout(constant_id = 5) const uint CHANNELS_LAST = 1;
layout(constant_id = 6) const uint COUNT_PAD = 0;
layout(constant_id = 7) const uint LIMIT_D = 1; // in_d and the padding that counts
// MAX: 32-bit words of an index, 0 for no indices; and whether height runs faster than width in it.
layout(constant_id = 8) const uint INDEX_WORDS = 0;
layout(constant_id = 9) const uint COLUMN_MAJOR = 0;

layout(binding = 0) readonly buffer X { STORED x[]; };
READ4(3, x4);
layout(binding = 1) writeonly buffer Y { STORED y[]; };
layout(binding = 1) writeonly buffer Y4 { STORED4 y4[]; };
layout(binding = 2) writeonly buffer Indices { uint indices[]; };

layout(push_constant) uniform Push {
    uint count, channels;
    int x_offset;
    int x_strides[5]; // n, c, d, h, w
    uint in_h, in_w, out_h, out_w;
    uint kernel_h, kernel_w;
    uint stride_h, stride_w, dilation_h, dilation_w, pad_h, pad_w;
    uint limit_h, limit_w;
    float p;
    int lowest; // MAX of integers: of an empty window
} push;

VALUE4 load(int at)
{
    return VECTOR == 4 ? AT4(x4, at / 4) : VALUE4(VALUE_OF(x[at]), 0, 0, 0);
}

VALUE4 powers(VALUE4 value)
{
#if IS_FLOAT
    value = abs(value);
    if (push.p == 1.0)
        return value;
    if (push.p == 2.0)
        return value * value;
    return pow(value, VALUE4(push.p));
#else
    return value;
#endif
}

// Elements of the window on one axis that the average divides by.
uint counted(int start, uint kernel, uint dilation, uint limit)
{
    uint count = 0;
    for (uint k = 0; k < kernel; k++) {
        const int at = start + int(k * dilation);
        count += (COUNT_PAD != 0 || at >= 0) && at < int(limit) ? 1u : 0u;
    }
    return count;
}

VALUE4 finish(VALUE4 value, uint count)
{
#if IS_FLOAT
    if (MODE == POOL_AVERAGE)
        return value / float(max(count, 1u));
    if (MODE == POOL_LP)
        return push.p == 1.0   ? value
               : push.p == 2.0 ? sqrt(value)
                               : pow(value, VALUE4(1.0 / push.p));
#endif
    return value;
}

// Row-major or column-major index of an element in the whole input.
uint flat_index(uint plane, int d, int h, int w)
{
    const uint within = COLUMN_MAJOR != 0 ? (uint(w) * push.in_h + uint(h)) * IN_D + uint(d)
                                          : (uint(d) * push.in_h + uint(h)) * push.in_w + uint(w);
    return plane * IN_D * push.in_h * push.in_w + within;
}

void store(uint id, VALUE4 value, uvec4 best)
{
    if (VECTOR == 4)
        y4[id] = STORED4_OF(value);
    else
        y[id] = STORED_OF(value.x);
    if (INDEX_WORDS == 0)
        return;
    [[unroll]] for (uint k = 0; k < VECTOR; k++) {
        const uint at = (id * VECTOR + k) * INDEX_WORDS;
        indices[at] = best[k];
        if (INDEX_WORDS == 2)
            indices[at + 1] = 0;
    }
}

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    uint rest = id, channel = 0;
    if (CHANNELS_LAST != 0) {
        channel = rest % (push.channels / VECTOR) * VECTOR;
        rest /= push.channels / VECTOR;
    }
    const int start_w = window_start(rest % push.out_w, push.stride_w, push.pad_w);
    rest /= push.out_w;
    const int start_h = window_start(rest % push.out_h, push.stride_h, push.pad_h);
    rest /= push.out_h;
    const int start_d = window_start(rest % OUT_D, STRIDE_D, PAD_D);
    rest /= OUT_D;
    if (CHANNELS_LAST == 0) {
        channel = rest % push.channels;
        rest /= push.channels;
    }
    const int image = push.x_offset + int(rest) * push.x_strides[0] +
                      int(channel) * push.x_strides[1];
    const uint plane = rest * push.channels + channel;

#if IS_FLOAT
    VALUE4 value = MODE == POOL_MAX ? VALUE4(uintBitsToFloat(0xff800000u)) : VALUE4(0.0);
#else
    VALUE4 value = VALUE4(push.lowest);
#endif
    uvec4 best = uvec4(0);
    bool first = true;
    for (uint d = 0; d < KERNEL_D; d++) {
        const int at_d = start_d + int(d * DILATION_D);
        for (uint h = 0; h < push.kernel_h; h++) {
            const int at_h = start_h + int(h * push.dilation_h);
            for (uint w = 0; w < push.kernel_w; w++) {
                const int at_w = start_w + int(w * push.dilation_w);
                if (!window_inside(at_d, IN_D) || !window_inside(at_h, push.in_h) ||
                    !window_inside(at_w, push.in_w))
                    continue;
                const VALUE4 found = load(image + at_d * push.x_strides[2] +
                                          at_h * push.x_strides[3] + at_w * push.x_strides[4]);
                if (MODE == POOL_AVERAGE) {
                    value += found;
                } else if (MODE == POOL_LP) {
                    value += powers(found);
                } else if (INDEX_WORDS == 0) {
                    value = max(value, found);
                } else {
                    [[unroll]] for (uint k = 0; k < VECTOR; k++) {
                        if (first || found[k] > value[k]) {
                            value[k] = found[k];
                            best[k] = flat_index(plane + k, at_d, at_h, at_w);
                        }
                    }
                    first = false;
                }
            }
        }
    }
    uint count = 1;
    if (MODE == POOL_AVERAGE)
        count = counted(start_d, KERNEL_D, DILATION_D, LIMIT_D) *
                counted(start_h, push.kernel_h, push.dilation_h, push.limit_h) *
                counted(start_w, push.kernel_w, push.dilation_w, push.limit_w);
    store(id, finish(value, count), best);
}
