// One invocation = PIXELS neighbouring output pixels x 4 * QUADS output channels of one group;
// channel blocks are fastest over the invocations.
//
// Weights lie as [group][tap][input channel][output channel, padded to whole blocks], so that a
// block reads whole vectors. With VECTOR = 4 the input channels of a pixel are read four at a time
// (channels-last), with 1 one at a time through any strides. Output is channels-last dense.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "types.glsl"
#include "vectors.glsl"
#include "index.glsl"
#include "window.glsl"

layout(constant_id = 3) const uint PIXELS = 8;
layout(constant_id = 4) const uint QUADS = 2;
layout(constant_id = 5) const uint VECTOR = 4;
layout(constant_id = 6) const uint HAS_BIAS = 0;
layout(constant_id = 7) const uint STORE_VECTOR = 4; // 1: channel counts that vectors do not fit
layout(constant_id = 8) const uint PADDED = 1; // 0: no window leaves the input

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 0) readonly buffer X4 { STORED4 x4[]; };
layout(binding = 1) readonly buffer Weights4 { STORED4 weights4[]; };
layout(binding = 2) readonly buffer Bias { STORED bias[]; };
layout(binding = 3) writeonly buffer Y { STORED y[]; };
layout(binding = 3) writeonly buffer Y4 { STORED4 y4[]; };

layout(push_constant) uniform Push {
    uint pixels;       // of the output, all images together
    uint blocks;       // of output channels, all groups together
    uint group_blocks; // of one group
    uint in_channels, out_channels; // of one group
    int x_offset;
    int x_strides[5];  // n, c, d, h, w
    uint in_h, in_w, out_h, out_w;
    uint kernel_h, kernel_w;
    uint stride_h, stride_w, dilation_h, dilation_w, pad_h, pad_w;
    float step_a[4];
    float step_b[4];
} push;

#include "epilogue.glsl"

// Where each pixel's window starts: element offset of its image, and position on each axis.
int image[PIXELS], start_d[PIXELS], start_h[PIXELS], start_w[PIXELS];
vec4 sums[PIXELS][QUADS];

void place_pixels(uint first)
{
    uint w = first % push.out_w, rest = first / push.out_w;
    uint h = rest % push.out_h;
    rest /= push.out_h;
    uint d = rest % OUT_D, n = rest / OUT_D;
    [[unroll]] for (uint p = 0; p < PIXELS; p++) {
        image[p] = push.x_offset + int(n) * push.x_strides[0];
        start_d[p] = OUT_D == 1 ? -int(PAD_D) : window_start(d, STRIDE_D, PAD_D);
        start_h[p] = window_start(h, push.stride_h, push.pad_h);
        start_w[p] = window_start(w, push.stride_w, push.pad_w);
        // Pixels past the end repeat the last one and are not stored.
        if (first + p + 1 < push.pixels) {
            w++;
            if (w == push.out_w) {
                w = 0;
                h++;
            }
            if (h == push.out_h) {
                h = 0;
                d++;
            }
            if (d == OUT_D) {
                d = 0;
                n++;
            }
        }
    }
}

// Offset of pixel p's first channel for a tap, or -1 outside the input.
int tap_offset(uint p, int d, int h, int w)
{
    const int at_d = start_d[p] + d, at_h = start_h[p] + h, at_w = start_w[p] + w;
    const int offset = image[p] + at_d * push.x_strides[2] + at_h * push.x_strides[3] +
                       at_w * push.x_strides[4];
    if (PADDED == 0)
        return offset;
    const bool inside = window_inside(at_d, IN_D) && window_inside(at_h, push.in_h) &&
                        window_inside(at_w, push.in_w);
    return inside ? offset : -1;
}

vec4 load(int offset)
{
    const int safe = PADDED == 0 ? offset : max(offset, 0);
    const vec4 loaded = VECTOR == 4 ? vec4(x4[safe / 4]) : vec4(VALUE_OF(x[safe]), 0.0, 0.0, 0.0);
    return PADDED != 0 && offset < 0 ? vec4(0.0) : loaded;
}

// Adds all input channels of one tap. weight counts vectors.
void add_tap(int offsets[PIXELS], uint weight)
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
            const vec4 value = load(offsets[p]);
            [[unroll]] for (uint k = 0; k < VECTOR; k++) {
                [[unroll]] for (uint q = 0; q < QUADS; q++)
                    sums[p][q] += value[k] * rows[k][q];
            }
            if (PADDED == 0 || offsets[p] >= 0)
                offsets[p] += step_x;
        }
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
    const uint id = linear_id();
    const uint block = id % push.blocks;
    const uint first = id / push.blocks * PIXELS;
    if (first >= push.pixels)
        return;
    const uint group = block / push.group_blocks;
    const uint channel = (block - group * push.group_blocks) * 4 * QUADS; // in the group
    place_pixels(first);
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

    const uint row = push.group_blocks * QUADS;
    const uint taps = KERNEL_D * push.kernel_h * push.kernel_w;
    uint weight = group * taps * push.in_channels * row + channel / 4;
    const int group_offset = int(group * push.in_channels) * push.x_strides[1];
    for (uint d = 0; d < KERNEL_D; d++) {
        for (uint h = 0; h < push.kernel_h; h++) {
            for (uint w = 0; w < push.kernel_w; w++) {
                int offsets[PIXELS];
                [[unroll]] for (uint p = 0; p < PIXELS; p++) {
                    const int offset = tap_offset(p, int(d * DILATION_D), int(h * push.dilation_h),
                                                  int(w * push.dilation_w));
                    offsets[p] = PADDED != 0 && offset < 0 ? -1 : offset + group_offset;
                }
                add_tap(offsets, weight);
                weight += push.in_channels * row;
            }
        }
    }
    [[unroll]] for (uint p = 0; p < PIXELS; p++)
        if (first + p < push.pixels)
            store(first + p, p, channel, group);
}
