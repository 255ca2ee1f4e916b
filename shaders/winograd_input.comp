// One invocation = PART channels of one tile, four or two: the EDGE x EDGE inputs that TILE x TILE
// outputs of a 3x3 convolution see, transformed into as many factors, which meet their weights in a
// product each. winograd_output.comp makes outputs of what that gives. Neighbouring invocations have
// neighbouring channels. With VECTOR = 4 they are read at once, with 1 one at a time through any
// strides; past the last channel there are zeros. Two are for devices whose registers do not hold
// 36 numbers of four channels; what would be the others' are zeros all the way and go.
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
layout(constant_id = 5) const uint PADDED = 1; // 0: no tile leaves the input
layout(constant_id = 6) const uint PART = 4;   // 2 only where there are no texels

#ifdef VARIANT_F16
#define STORED2 f16vec2
#define STORED2_OF(v) f16vec2(vec2(fit_half((v).x), fit_half((v).y)))
#else
#define STORED2 vec2
#define STORED2_OF(v) (v)
#endif

READ4(0, x4);
#ifndef VARIANT_T32
layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 0) readonly buffer X2 { STORED2 x2[]; };
#endif
layout(binding = 1) writeonly buffer Factors4 { STORED4 factors4[]; };
layout(binding = 1) writeonly buffer Factors2 { STORED2 factors2[]; };

layout(push_constant) uniform Push {
    uint tiles, channels;  // of this dispatch
    uint first;            // tile, of all images
    uint tiles_w, tiles_h; // of an image
    uint tile_step, factor_step; // in vectors: between tiles and between factors of four channels
    int x_offset;
    int x_strides[4];      // n, c, h, w
    uint in_h, in_w, pad_h, pad_w;
} push;

uint channel; // the first

bool is_inside(int at, uint size)
{
    return PADDED == 0 || (at >= 0 && at < int(size));
}

vec4 read_x(int at)
{
#ifndef VARIANT_T32
    if (VECTOR == 1) {
        vec4 value = vec4(0.0);
        [[unroll]] for (uint k = 0; k < PART; k++)
            if (channel + k < push.channels)
                value[k] = VALUE_OF(x[at + int(k) * push.x_strides[1]]);
        return value;
    }
    if (PART == 2)
        return vec4(vec2(x2[at >> 1]), 0.0, 0.0);
#endif
    return AT4(x4, at >> 2);
}

void main()
{
    const uint id = linear_id(), parts = (push.channels + 3) / 4 * (4 / PART);
    const uint tile = id / parts, part = id - tile * parts;
    if (tile >= push.tiles)
        return;
    channel = PART * part;
    const uint row = (push.first + tile) / push.tiles_w;
    const uint image = row / push.tiles_h;
    const int top = int((row - image * push.tiles_h) * TILE) - int(push.pad_h);
    const int left = int((push.first + tile - row * push.tiles_w) * TILE) - int(push.pad_w);
    const int from =
        push.x_offset + int(image) * push.x_strides[0] + int(channel) * push.x_strides[1];

    vec4 columns[6][6];
    [[unroll]] for (int j = 0; j < EDGE; j++) {
        const bool here = is_inside(left + j, push.in_w);
        const int column = from + (left + j) * push.x_strides[3];
        [[unroll]] for (int i = 0; i < EDGE; i++) {
            const bool inside = here && is_inside(top + i, push.in_h);
            const vec4 value = read_x(inside ? column + (top + i) * push.x_strides[2] : from);
            columns[j][i] = inside ? value : vec4(0.0);
        }
        winograd_input(columns[j]);
    }
    uint to = tile * push.tile_step * (4 / PART) + part;
    [[unroll]] for (int i = 0; i < EDGE; i++) {
        vec4 line[6] = vec4[6](columns[0][i], columns[1][i], columns[2][i], columns[3][i],
                               columns[4][i], columns[5][i]);
        winograd_input(line);
        [[unroll]] for (int j = 0; j < EDGE; j++) {
            if (PART == 2)
                factors2[to] = STORED2_OF(line[j].xy * INPUT_SCALE);
            else
                factors4[to] = STORED4_OF(line[j] * INPUT_SCALE);
            to += push.factor_step * (4 / PART);
        }
    }
}
