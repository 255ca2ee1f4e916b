// One invocation = four channels of one tile: 36 products transformed into 4x4 outputs. See
// winograd_input.comp.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "index.glsl"
#include "winograd.glsl"

layout(constant_id = 3) const uint HAS_BIAS = 0;

layout(binding = 0, rgba32f) readonly uniform imageBuffer products4; // [tile][factor][channel]
layout(binding = 1, rgba32f) readonly uniform imageBuffer bias4;
layout(binding = 2) writeonly buffer Y4 { vec4 y4[]; }; // channels-last
layout(binding = 3, rgba32f) readonly uniform imageBuffer operand4; // lies as y does

layout(push_constant) uniform Push {
    uint tiles, quads;
    uint first;
    uint tiles_w, tiles_h;
    uint out_h, out_w;
    uint y_offset, y_pixel; // in vectors; pixels may have other channels between them
    float step_a[4];
    float step_b[4];
} push;

#include "epilogue.glsl"

void store(uint to, vec4 value)
{
    const vec4 other = HAS_OPERAND ? imageLoad(operand4, int(to)) : vec4(0.0);
    [[unroll]] for (uint c = 0; c < 4; c++)
        value[c] = epilogue(value[c], other[c]);
    y4[to] = value;
}

void main()
{
    const uint id = linear_id();
    const uint tile = id / push.quads, quad = id - tile * push.quads;
    if (tile >= push.tiles)
        return;
    const uint row = (push.first + tile) / push.tiles_w;
    const uint image = row / push.tiles_h;
    const uint top = (row - image * push.tiles_h) * 4;
    const uint left = (push.first + tile - row * push.tiles_w) * 4;

    vec4 columns[6][6];
    const int from = int(tile * 36 * push.quads + quad);
    [[unroll]] for (int j = 0; j < 6; j++) {
        [[unroll]] for (int i = 0; i < 6; i++)
            columns[j][i] = imageLoad(products4, from + (i * 6 + j) * int(push.quads));
        winograd_output(columns[j]);
    }
    const vec4 bias = HAS_BIAS != 0 ? imageLoad(bias4, int(quad)) : vec4(0.0);
    [[unroll]] for (int i = 0; i < 4; i++) {
        vec4 line[6] = vec4[6](columns[0][i], columns[1][i], columns[2][i], columns[3][i],
                               columns[4][i], columns[5][i]);
        winograd_output(line);
        const uint pixel = (image * push.out_h + top + i) * push.out_w + left;
        [[unroll]] for (uint j = 0; j < 4; j++)
            if (top + i < push.out_h && left + j < push.out_w)
                store((pixel + j) * push.y_pixel + push.y_offset + quad, line[j] + bias);
    }
}
