// One invocation = four channels of up to BLOCK pixels of one picture; as normalize.comp for
// channels-last maps, for CPU drivers, whose texel reads are cheap.
// variants: f32 t32
#version 450
#extension GL_GOOGLE_include_directive : require
#include "read4.glsl"
#include "index.glsl"

layout(constant_id = 3) const uint BLOCK = 16;

READ4(0, x4);
READ(1, factors); // mean, factor, bias of a channel
layout(binding = 2) writeonly buffer Y4 { vec4 y4[]; };         // channels-last dense

layout(push_constant) uniform Push {
    uint count;                      // of invocations
    uint pixels, blocks, quads;      // of a picture; quads: four channels each
    int x_offset, x_image, x_pixel;  // in vectors
    int factor_image, factor_channel;
    float step_a[4], step_b[4];
} push;

#include "epilogue.glsl"

vec4 factor_of(int first, int which)
{
    vec4 value;
    for (int k = 0; k < 4; k++)
        value[k] = AT(factors, first + k * push.factor_channel + which);
    return value;
}

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    const uint line = id / push.quads, quad = id - line * push.quads;
    const uint image = line / push.blocks, begin = (line - image * push.blocks) * BLOCK;
    const int channel = int(image) * push.factor_image + 4 * int(quad) * push.factor_channel;
    const vec4 mean = factor_of(channel, 0), factor = factor_of(channel, 1);
    const vec4 bias = factor_of(channel, 2);
    int from = push.x_offset + int(image) * push.x_image + int(begin) * push.x_pixel + int(quad);
    uint to = (image * push.pixels + begin) * push.quads + quad;
    const uint end = min(begin + BLOCK, push.pixels);
    for (uint p = begin; p < end; p++) {
        const vec4 value = (AT4(x4, from) - mean) * factor + bias;
        y4[to] = vec4(epilogue(value.x), epilogue(value.y), epilogue(value.z), epilogue(value.w));
        from += push.x_pixel;
        to += push.quads;
    }
}
