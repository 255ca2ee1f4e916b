// One invocation = four channels of one tile: its products transformed into TILE x TILE outputs.
// See winograd_input.comp. With VECTOR = 1 channels are read and stored one at a time, as far as
// there are any. Products are sums, and so float32.
// variants: t32 f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "types.glsl"
#include "vectors.glsl"
#include "read4.glsl"
#include "index.glsl"
#include "winograd.glsl"

layout(constant_id = 4) const uint VECTOR = 4;
layout(constant_id = 5) const uint HAS_BIAS = 0;

#ifdef VARIANT_T32
layout(binding = 0, rgba32f) readonly uniform imageBuffer products4;
#else
layout(binding = 0) readonly buffer Products4 { vec4 products4[]; };
layout(binding = 0) readonly buffer Products { float products[]; };
layout(binding = 1) readonly buffer Bias { STORED bias[]; };
layout(binding = 2) writeonly buffer Y { STORED y[]; };
layout(binding = 3) readonly buffer Operand { STORED operand[]; };
#endif
READ4(1, bias4);
layout(binding = 2) writeonly buffer Y4 { STORED4 y4[]; }; // channels-last
READ4(3, operand4); // lies as y does

layout(push_constant) uniform Push {
    uint tiles, channels;
    uint first;
    uint tiles_w, tiles_h;
    uint tile_step, factor_step; // in elements
    uint out_h, out_w;
    uint y_offset, y_pixel; // pixels may have other channels between them
    float step_a[4];
    float step_b[4];
} push;

#include "epilogue.glsl"

uint channel; // the first of four

// Of a tensor with a channel after the other: one vector, or those of the four that are there.
#ifdef VARIANT_T32
#define READ_CHANNELS(name, at) imageLoad(name##4, int((at) / 4))
#else
#define READ_CHANNELS(name, at)                                                               \
    (VECTOR == 4 ? vec4(name##4[(at) / 4])                                                    \
                 : vec4(name[at], channel + 1 < push.channels ? float(name[(at) + 1]) : 0.0,  \
                        channel + 2 < push.channels ? float(name[(at) + 2]) : 0.0,            \
                        channel + 3 < push.channels ? float(name[(at) + 3]) : 0.0))
#endif

void store(uint to, vec4 value)
{
    vec4 other = vec4(0.0);
    if (HAS_OPERAND)
        other = READ_CHANNELS(operand, to);
    [[unroll]] for (uint c = 0; c < 4; c++)
        value[c] = epilogue(value[c], other[c]);
    if (VECTOR == 4) {
        y4[to / 4] = STORED4_OF(value);
    } else {
#ifndef VARIANT_T32
        [[unroll]] for (uint c = 0; c < 4; c++)
            if (channel + c < push.channels)
                y[to + c] = STORED_OF(value[c]);
#endif
    }
}

void main()
{
    const uint id = linear_id(), quads = (push.channels + 3) / 4;
    const uint tile = id / quads, quad = id - tile * quads;
    if (tile >= push.tiles)
        return;
    channel = 4 * quad;
    const uint row = (push.first + tile) / push.tiles_w;
    const uint image = row / push.tiles_h;
    const uint top = (row - image * push.tiles_h) * TILE;
    const uint left = (push.first + tile - row * push.tiles_w) * TILE;

    vec4 columns[6][6];
    const uint from = tile * push.tile_step + channel;
    [[unroll]] for (uint j = 0; j < EDGE; j++) {
        [[unroll]] for (uint i = 0; i < EDGE; i++)
            columns[j][i] = READ_CHANNELS(products, from + (i * EDGE + j) * push.factor_step);
        winograd_output(columns[j]);
    }
    vec4 bias_here = vec4(0.0);
    if (HAS_BIAS != 0)
        bias_here = READ_CHANNELS(bias, channel);
    [[unroll]] for (uint i = 0; i < TILE; i++) {
        vec4 line[6] = vec4[6](columns[0][i], columns[1][i], columns[2][i], columns[3][i],
                               columns[4][i], columns[5][i]);
        winograd_output(line);
        const uint pixel = (image * push.out_h + top + i) * push.out_w + left;
        [[unroll]] for (uint j = 0; j < TILE; j++)
            if (top + i < push.out_h && left + j < push.out_w)
                store((pixel + j) * push.y_pixel + push.y_offset + channel, line[j] + bias_here);
    }
}
