// One invocation = four channels of one tile: the 6x6 inputs that 4x4 outputs of a 3x3 convolution
// see, transformed into 36 factors. Tiles lie as [tile][factor][channel], for the product of each
// factor with its weights (panel.comp with a group per factor); winograd_output.comp makes outputs of
// what that gives. For CPU drivers.
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "index.glsl"
#include "winograd.glsl"

layout(constant_id = 3) const uint PADDED = 1; // 0: no tile leaves the input

layout(binding = 0, rgba32f) readonly uniform imageBuffer x4;
layout(binding = 1) writeonly buffer Factors4 { vec4 factors4[]; };

layout(push_constant) uniform Push {
    uint tiles, quads;  // of this dispatch; four channels each
    uint first;         // tile, of all images
    uint tiles_w, tiles_h; // of an image
    int x_offset;       // in vectors, as the strides are
    int x_strides[3];   // n, h, w
    uint in_h, in_w, pad_h, pad_w;
} push;

bool is_inside(int at, uint size)
{
    return PADDED == 0 || (at >= 0 && at < int(size));
}

void main()
{
    const uint id = linear_id();
    const uint tile = id / push.quads, quad = id - tile * push.quads;
    if (tile >= push.tiles)
        return;
    const uint row = (push.first + tile) / push.tiles_w;
    const uint image = row / push.tiles_h;
    const int top = int((row - image * push.tiles_h) * 4) - int(push.pad_h);
    const int left = int((push.first + tile - row * push.tiles_w) * 4) - int(push.pad_w);
    const int from = push.x_offset + int(image) * push.x_strides[0] + int(quad);

    vec4 columns[6][6];
    [[unroll]] for (int j = 0; j < 6; j++) {
        const bool here = is_inside(left + j, push.in_w);
        const int column = from + (left + j) * push.x_strides[2];
        [[unroll]] for (int i = 0; i < 6; i++) {
            const bool inside = here && is_inside(top + i, push.in_h);
            const vec4 value = imageLoad(x4, inside ? column + (top + i) * push.x_strides[1] : from);
            columns[j][i] = inside ? value : vec4(0.0);
        }
        winograd_input(columns[j]);
    }
    uint to = tile * 36 * push.quads + quad;
    [[unroll]] for (int i = 0; i < 6; i++) {
        vec4 line[6] = vec4[6](columns[0][i], columns[1][i], columns[2][i], columns[3][i],
                               columns[4][i], columns[5][i]);
        winograd_input(line);
        [[unroll]] for (int j = 0; j < 6; j++) {
            factors4[to] = line[j];
            to += push.quads;
        }
    }
}
