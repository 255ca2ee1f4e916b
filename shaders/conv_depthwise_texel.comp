// One invocation = VECTOR channels x COLUMNS neighbouring outputs of one row, as conv_depthwise.comp,
// for CPU drivers: reads are storage texels, and an invocation works long.
// variants: f32 t32
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "read4.glsl"
#include "index.glsl"
#include "window.glsl"

layout(constant_id = 3) const uint COLUMNS = 7;
layout(constant_id = 9) const uint VECTOR = 4; // 1: channels do not come in fours
layout(constant_id = 4) const uint HAS_BIAS = 0;
layout(constant_id = 5) const uint PADDED = 1; // 0: no window leaves the input
layout(constant_id = 6) const uint KERNEL_W = 3;
layout(constant_id = 7) const uint STRIDE_W = 1;
layout(constant_id = 8) const uint DILATION_W = 1;
const uint SPAN = (COLUMNS - 1) * STRIDE_W + (KERNEL_W - 1) * DILATION_W + 1;

READ4(0, x4);
READ4(1, weights4); // [tap][channel]
READ4(2, bias4);
layout(binding = 3) writeonly buffer Y4 { vec4 y4[]; }; // channels-last
layout(binding = 3) writeonly buffer Y { float y[]; };
READ(4, x);
READ(5, weights);
READ(6, bias);

layout(push_constant) uniform Push {
    uint rows; // of the output, all images together
    uint quads; // VECTOR channels each
    int x_offset;       // in vectors, as the strides are
    int x_strides[3];   // n, h, w
    uint y_offset, y_pixel; // the same; pixels may have other channels between them
    uint in_h, in_w, out_h, out_w;
    uint kernel_h, stride_h, dilation_h, pad_h, pad_w;
    float step_a[4];
    float step_b[4];
} push;

#include "epilogue.glsl"

vec4 sums[COLUMNS];

#define VECTOR_AT(name, at) (VECTOR == 4 ? AT4(name##4, at) : vec4(AT(name, at), 0, 0, 0))

// Adds what one line of the window gives to all outputs.
void add_line(int line, int start_w, int weight)
{
    vec4 factors[KERNEL_W];
    [[unroll]] for (uint w = 0; w < KERNEL_W; w++)
        factors[w] = VECTOR_AT(weights, weight + int(w * push.quads));
    [[unroll]] for (uint i = 0; i < SPAN; i++) {
        const int at = start_w + int(i);
        const bool inside = PADDED == 0 || window_inside(at, push.in_w);
        vec4 value = VECTOR_AT(x, line + (inside ? at : 0) * push.x_strides[2]);
        if (PADDED != 0)
            value = inside ? value : vec4(0.0);
        [[unroll]] for (uint w = 0; w < KERNEL_W; w++) {
            const uint p = window_output(i, w, STRIDE_W, DILATION_W, COLUMNS);
            if (p < COLUMNS)
                sums[p] += value * factors[w];
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

    const vec4 start = HAS_BIAS != 0 ? VECTOR_AT(bias, int(quad)) : vec4(0.0);
    [[unroll]] for (uint p = 0; p < COLUMNS; p++)
        sums[p] = start;
    for (uint h = 0; h < push.kernel_h; h++) {
        const int at_h = start_h + int(h * push.dilation_h);
        if (PADDED == 0 || window_inside(at_h, push.in_h))
            add_line(image + at_h * push.x_strides[1], start_w,
                     int(h * KERNEL_W * push.quads + quad));
    }

    uint to = (row * push.out_w + first) * push.y_pixel + push.y_offset + quad;
    [[unroll]] for (uint p = 0; p < COLUMNS; p++) {
        vec4 value = sums[p];
        [[unroll]] for (uint k = 0; k < VECTOR; k++)
            value[k] = epilogue(value[k]);
        if (first + p < push.out_w) {
            if (VECTOR == 4)
                y4[to] = value;
            else
                y[to] = value.x;
        }
        to += push.y_pixel;
    }
}
