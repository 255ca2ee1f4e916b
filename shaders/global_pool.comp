// One invocation = VECTOR channels of one image, over one chunk of its pixels; channels are fastest
// over the invocations. Large images take two dispatches: chunks to partial results, these to y.
// BOTH is for gates (ops/gate.h), whose kernel takes partial sums and, after them, partial maxima.
// variants: f32 f16 t32
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "types.glsl"
#include "vectors.glsl"
#include "read4.glsl"
#include "index.glsl"

#define POOL_AVERAGE 0
#define POOL_LP 1
#define POOL_MAX 2
#define POOL_BOTH 3 // sums and maxima, TO_PARTIAL only
layout(constant_id = 3) const uint MODE = POOL_AVERAGE;
layout(constant_id = 4) const uint VECTOR = 4;
layout(constant_id = 5) const uint FROM_PARTIAL = 0;
layout(constant_id = 6) const uint TO_PARTIAL = 0;

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) readonly buffer Partial { float partial[]; }; // [image][chunk][row of channels]
layout(binding = 2) writeonly buffer Y { STORED y[]; };
layout(binding = 3) writeonly buffer Results { float results[]; }; // the same as partial
READ4(4, x4);

layout(push_constant) uniform Push {
    uint images, channels, pixels; // pixels: or chunks, FROM_PARTIAL
    uint chunks, chunk_size;       // of this dispatch
    int x_offset, x_image, x_channel, x_pixel;
    float scale; // AVERAGE: 1 / pixels
    float p;     // LP
    uint row;    // TO_PARTIAL and FROM_PARTIAL: elements of a chunk's results
} push;

vec4 load(uint image, uint pixel, uint channel)
{
    if (FROM_PARTIAL != 0) {
        const uint at = (image * push.pixels + pixel) * push.row + channel;
        vec4 value = vec4(0.0);
        [[unroll]] for (uint k = 0; k < VECTOR; k++)
            value[k] = partial[at + k];
        return value;
    }
    const int at = push.x_offset + int(image) * push.x_image + int(channel) * push.x_channel +
                   int(pixel) * push.x_pixel;
    const vec4 value = VECTOR == 4 ? AT4(x4, at / 4) : vec4(VALUE_OF(x[at]), 0.0, 0.0, 0.0);
    if (MODE != POOL_LP || push.p == 1.0)
        return MODE == POOL_LP ? abs(value) : value;
    return push.p == 2.0 ? value * value : pow(abs(value), vec4(push.p));
}

float finish(float value)
{
    if (MODE == POOL_AVERAGE)
        return value * push.scale;
    if (MODE == POOL_MAX || push.p == 1.0)
        return value;
    return push.p == 2.0 ? sqrt(value) : pow(value, 1.0 / push.p);
}

void main()
{
    uint rest = linear_id();
    const uint channel = rest % (push.channels / VECTOR) * VECTOR;
    rest /= push.channels / VECTOR;
    const uint chunk = rest % push.chunks, image = rest / push.chunks;
    if (image >= push.images)
        return;
    const vec4 least = vec4(uintBitsToFloat(0xff800000u));
    vec4 value = MODE == POOL_MAX ? least : vec4(0.0), largest = least;
    const uint end = min((chunk + 1) * push.chunk_size, push.pixels);
    for (uint pixel = chunk * push.chunk_size; pixel < end; pixel++) {
        const vec4 found = load(image, pixel, channel);
        value = MODE == POOL_MAX ? max(value, found) : value + found;
        if (MODE == POOL_BOTH)
            largest = max(largest, found);
    }
    const uint to = (image * push.chunks + chunk) * push.row + channel;
    [[unroll]] for (uint k = 0; k < VECTOR; k++) {
        if (TO_PARTIAL != 0)
            results[to + k] = value[k];
        else
            y[to + k] = STORED_OF(finish(value[k]));
        if (MODE == POOL_BOTH)
            results[push.images * push.chunks * push.row + to + k] = largest[k];
    }
}
