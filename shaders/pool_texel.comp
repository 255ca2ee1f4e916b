// One invocation = four channels x COLUMNS neighbouring outputs of one row; each input of a line of
// the window is read once for all of them. For the largest and the mean of what lies inside, on
// channels-last maps and CPU drivers.
// variants: f32 t32
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "read4.glsl"
#include "index.glsl"
#include "window.glsl"

layout(constant_id = 3) const uint COLUMNS = 4;
layout(constant_id = 4) const uint AVERAGE = 0;
layout(constant_id = 6) const uint KERNEL_W = 3;
layout(constant_id = 7) const uint STRIDE_W = 1;
layout(constant_id = 8) const uint DILATION_W = 1;
const uint SPAN = (COLUMNS - 1) * STRIDE_W + (KERNEL_W - 1) * DILATION_W + 1;

READ4(0, x4);
layout(binding = 1) writeonly buffer Y4 { vec4 y4[]; }; // channels-last

layout(push_constant) uniform Push {
    uint rows, quads;       // rows of the output, all images together; quads: four channels each
    int x_offset;           // in vectors, as the strides are
    int x_strides[3];       // n, h, w
    uint y_offset, y_pixel; // the same; pixels may have other channels between them
    uint in_h, in_w, out_h, out_w;
    uint kernel_h, stride_h, dilation_h, pad_h, pad_w;
} push;

vec4 results[COLUMNS];
float counts[COLUMNS];

void take_line(int line, int start_w)
{
    [[unroll]] for (uint i = 0; i < SPAN; i++) {
        const int at = start_w + int(i);
        const bool inside = window_inside(at, push.in_w);
        const vec4 read = AT4(x4, line + (inside ? at : 0) * push.x_strides[2]);
        const vec4 value =
            inside ? read : vec4(AVERAGE != 0 ? 0.0 : uintBitsToFloat(0xff800000u));
        [[unroll]] for (uint w = 0; w < KERNEL_W; w++) {
            const uint p = window_output(i, w, STRIDE_W, DILATION_W, COLUMNS);
            if (p < COLUMNS) {
                results[p] = AVERAGE != 0 ? results[p] + value : max(results[p], value);
                counts[p] += inside ? 1.0 : 0.0;
            }
        }
    }
}

void main()
{
    const uint tiles = (push.out_w + COLUMNS - 1) / COLUMNS;
    const uint id = linear_id();
    const uint block = id / push.quads, quad = id - block * push.quads;
    const uint row = block / tiles, first = (block - row * tiles) * COLUMNS;
    if (row >= push.rows)
        return;
    const uint n = row / push.out_h;
    const int start_h = window_start(row - n * push.out_h, push.stride_h, push.pad_h);
    const int start_w = window_start(first, STRIDE_W, push.pad_w);
    const int image = push.x_offset + int(n) * push.x_strides[0] + int(quad);
    [[unroll]] for (uint p = 0; p < COLUMNS; p++) {
        results[p] = vec4(AVERAGE != 0 ? 0.0 : uintBitsToFloat(0xff800000u));
        counts[p] = 0.0;
    }
    for (uint h = 0; h < push.kernel_h; h++) {
        const int at_h = start_h + int(h * push.dilation_h);
        if (window_inside(at_h, push.in_h))
            take_line(image + at_h * push.x_strides[1], start_w);
    }
    uint to = (row * push.out_w + first) * push.y_pixel + push.y_offset + quad;
    [[unroll]] for (uint p = 0; p < COLUMNS; p++) {
        if (first + p < push.out_w)
            y4[to] = AVERAGE != 0 ? results[p] / max(counts[p], 1.0) : results[p];
        to += push.y_pixel;
    }
}
