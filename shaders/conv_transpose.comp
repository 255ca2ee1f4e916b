// One invocation = PIXELS output pixels of one row, stride_w apart, x 4 * QUADS output channels of one
// group; channel blocks are fastest over the invocations, then the phases of a stride.
//
// Outputs a stride apart see the same elements of the window, so they share the weights. Which
// elements those are is in a table: for every coordinate of an axis the first one, and the input
// coordinate that it meets; from there both go in steps. Weights and VECTOR are as in conv_tile.comp.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "types.glsl"
#include "vectors.glsl"
#include "index.glsl"
#include "window.glsl"

layout(constant_id = 3) const uint PIXELS = 4;
layout(constant_id = 4) const uint QUADS = 2;
layout(constant_id = 5) const uint VECTOR = 4;
layout(constant_id = 6) const uint HAS_BIAS = 0;
layout(constant_id = 7) const uint STORE_VECTOR = 4;

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 0) readonly buffer X4 { STORED4 x4[]; };
layout(binding = 1) readonly buffer Weights4 { STORED4 weights4[]; };
layout(binding = 2) readonly buffer Bias { STORED bias[]; };
layout(binding = 3) readonly buffer Table { ivec2 table[]; }; // of depth, height, width
layout(binding = 4) writeonly buffer Y { STORED y[]; };
layout(binding = 4) writeonly buffer Y4 { STORED4 y4[]; };

layout(push_constant) uniform Push {
    uint rows;         // of the output, all images together
    uint blocks;       // of output channels, all groups together
    uint group_blocks; // of one group
    uint in_channels, out_channels; // of one group
    int x_offset;
    int x_strides[5];  // n, c, d, h, w
    uint in_h, in_w, out_h, out_w;
    uint kernel_h, kernel_w;
    uint window_step_h, window_step_w; // from one element of the window that counts to the next
    uint in_step_h, in_step_w;         // and how far the input coordinate goes back
    uint stride_w, phases, tiles;      // tiles of one phase
    float step_a[4];
    float step_b[4];
} push;

#include "epilogue.glsl"

vec4 sums[PIXELS][QUADS];

vec4 load(int offset, bool inside)
{
    const int safe = inside ? offset : push.x_offset;
    const vec4 loaded = VECTOR == 4 ? vec4(x4[safe / 4]) : vec4(VALUE_OF(x[safe]), 0.0, 0.0, 0.0);
    return inside ? loaded : vec4(0.0);
}

// Adds all input channels of one element of the window; line is the input row's first channel.
void add_tap(int line, int at_w, uint weight)
{
    const uint row = push.group_blocks * QUADS;
    const int step_x = VECTOR == 4 ? 4 : push.x_strides[1];
    for (uint channel = 0; channel < push.in_channels; channel += VECTOR) {
        vec4 rows[VECTOR][QUADS];
        [[unroll]] for (uint k = 0; k < VECTOR; k++) {
            [[unroll]] for (uint q = 0; q < QUADS; q++)
                rows[k][q] = vec4(weights4[weight + q]);
            weight += row;
        }
        [[unroll]] for (uint p = 0; p < PIXELS; p++) {
            const int at = at_w + int(p);
            const vec4 value = load(line + at * push.x_strides[4], window_inside(at, push.in_w));
            [[unroll]] for (uint k = 0; k < VECTOR; k++) {
                [[unroll]] for (uint q = 0; q < QUADS; q++)
                    sums[p][q] += value[k] * rows[k][q];
            }
        }
        line += step_x;
    }
}

void store(uint pixel, uint p, uint channel, uint group)
{
    const uint base = pixel * (push.blocks / push.group_blocks) * push.out_channels +
                      group * push.out_channels;
    [[unroll]] for (uint q = 0; q < QUADS; q++) {
        vec4 value = sums[p][q];
        [[unroll]] for (uint k = 0; k < 4; k++)
            value[k] = epilogue(value[k]);
        const uint from = channel + 4 * q;
        if (STORE_VECTOR == 4) {
            if (from < push.out_channels)
                y4[(base + from) / 4] = STORED4_OF(value);
        } else {
            [[unroll]] for (uint k = 0; k < 4; k++)
                if (from + k < push.out_channels)
                    y[base + from + k] = STORED_OF(value[k]);
        }
    }
}

void main()
{
    uint rest = linear_id();
    const uint block = rest % push.blocks;
    rest /= push.blocks;
    const uint phase = rest % push.phases;
    rest /= push.phases;
    const uint first = rest % push.tiles * PIXELS * push.stride_w + phase;
    const uint line = rest / push.tiles;
    if (line >= push.rows)
        return;
    const uint out_h = line % push.out_h, plane = line / push.out_h;
    const uint out_d = plane % OUT_D, image = plane / OUT_D;
    const uint group = block / push.group_blocks;
    const uint channel = (block - group * push.group_blocks) * 4 * QUADS; // in the group
    [[unroll]] for (uint q = 0; q < QUADS; q++) {
        vec4 value = vec4(0.0);
        if (HAS_BIAS != 0) {
            [[unroll]] for (uint k = 0; k < 4; k++) {
                const uint at = min(channel + 4 * q + k, push.out_channels - 1);
                value[k] = VALUE_OF(bias[group * push.out_channels + at]);
            }
        }
        [[unroll]] for (uint p = 0; p < PIXELS; p++)
            sums[p][q] = value;
    }

    const ivec2 start_d = table[out_d], start_h = table[OUT_D + out_h];
    const ivec2 start_w = table[OUT_D + push.out_h + min(first, push.out_w - 1)];
    const uint tap = push.in_channels * push.group_blocks * QUADS; // vectors of one window element
    const uint weights = group * KERNEL_D * push.kernel_h * push.kernel_w * tap + channel / 4;
    const int base = push.x_offset + int(image) * push.x_strides[0] +
                     int(group * push.in_channels) * push.x_strides[1];
    int at_d = start_d.y;
    for (uint d = uint(start_d.x); d < KERNEL_D; d += STRIDE_D, at_d -= int(DILATION_D)) {
        int at_h = start_h.y;
        for (uint h = uint(start_h.x); h < push.kernel_h;
             h += push.window_step_h, at_h -= int(push.in_step_h)) {
            if (!window_inside(at_d, IN_D) || !window_inside(at_h, push.in_h))
                continue;
            int at_w = start_w.y;
            for (uint w = uint(start_w.x); w < push.kernel_w;
                 w += push.window_step_w, at_w -= int(push.in_step_w))
                add_tap(base + at_d * push.x_strides[2] + at_h * push.x_strides[3], at_w,
                        weights + ((d * push.kernel_h + h) * push.kernel_w + w) * tap);
        }
    }
    [[unroll]] for (uint p = 0; p < PIXELS; p++) {
        const uint w = first + p * push.stride_w;
        if (w < push.out_w)
            store(line * push.out_w + w, p, channel, group);
    }
}
