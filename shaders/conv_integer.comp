// One invocation = CHANNELS neighbouring output channels of one pixel of a convolution of 8-bit
// integers; any strides of x, any groups and sizes.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "index.glsl"
#include "param.glsl"
#include "quantize.glsl"
#include "quantize_codes.glsl"
#include "window.glsl"

layout(constant_id = 3) const uint CHANNELS = 4; // at most 4, of one group
layout(constant_id = 4) const uint HAS_BIAS = 0;
layout(constant_id = 5) const uint HAS_X_ZERO = 0;
layout(constant_id = 6) const uint W_ZERO = PER_NOTHING;
layout(constant_id = 7) const uint W_SCALE = PER_NOTHING; // then the result is the sum itself
layout(constant_id = 8) const uint SCALE_KIND = PARAM_F32;
layout(constant_id = 9) const int LOW = 0; // of the output's host type
layout(constant_id = 10) const int HIGH = 255;

layout(binding = 0) readonly buffer X { int x[]; };
layout(binding = 1) readonly buffer Weights { int weights[]; }; // dense, as the model has them
layout(binding = 2) readonly buffer Bias { int bias[]; };
layout(binding = 3) readonly buffer XZero { int x_zero[]; };
layout(binding = 4) readonly buffer WZero { int w_zero[]; };
layout(binding = 5) readonly buffer XScale { uint x_scale[]; };
layout(binding = 6) readonly buffer WScale { uint w_scale[]; };
layout(binding = 7) readonly buffer YScale { uint y_scale[]; };
layout(binding = 8) readonly buffer YZero { int y_zero[]; };
layout(binding = 9) writeonly buffer Y { int y[]; }; // channels-last dense

layout(push_constant) uniform Push {
    uint count;                     // invocations
    uint blocks, group_blocks;      // of CHANNELS: in all, and in a group
    uint in_channels, out_channels; // of one group
    int x_offset;
    int x_strides[5]; // n, c, d, h, w
    uint in_h, in_w, out_h, out_w;
    uint kernel_h, kernel_w;
    uint stride_h, stride_w, dilation_h, dilation_w, pad_h, pad_w;
} push;

int sum[4];
int w_minus[4];
uint weight_of[4]; // where a channel's weights begin

// Adds one tap of all input channels: x from `from`, weights from `tap`.
void add_tap(int from, uint tap, uint taps, int x_minus)
{
    for (uint c = 0; c < push.in_channels; c++) {
        const int value = x[from] - x_minus;
        for (uint i = 0; i < CHANNELS; i++)
            sum[i] += value * (weights[weight_of[i] + tap] - w_minus[i]);
        from += push.x_strides[1];
        tap += taps;
    }
}

void add_window(int image, int start_d, int start_h, int start_w, int x_minus)
{
    const uint taps = KERNEL_D * push.kernel_h * push.kernel_w;
    uint tap = 0;
    for (uint d = 0; d < KERNEL_D; d++) {
        const int at_d = start_d + int(d * DILATION_D);
        for (uint h = 0; h < push.kernel_h; h++) {
            const int at_h = start_h + int(h * push.dilation_h);
            for (uint w = 0; w < push.kernel_w; w++, tap++) {
                const int at_w = start_w + int(w * push.dilation_w);
                if (window_inside(at_d, IN_D) && window_inside(at_h, push.in_h) &&
                    window_inside(at_w, push.in_w))
                    add_tap(image + at_d * push.x_strides[2] + at_h * push.x_strides[3] +
                            at_w * push.x_strides[4], tap, taps, x_minus);
            }
        }
    }
}

int requantized(int value, uint channel)
{
    const int from = W_SCALE == PER_INDEX ? int(channel) : 0;
    precise float scale = PARAM_AT(SCALE_KIND, x_scale, 0) * PARAM_AT(SCALE_KIND, w_scale, from);
    precise float result = float(value) * exact_quotient(scale, PARAM_AT(SCALE_KIND, y_scale, 0));
    return quantized(result, y_zero[0], LOW, HIGH);
}

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    uint rest = id / push.blocks;
    const uint block = id - rest * push.blocks;
    const uint pixel = rest;
    const int start_w = window_start(rest % push.out_w, push.stride_w, push.pad_w);
    rest /= push.out_w;
    const int start_h = window_start(rest % push.out_h, push.stride_h, push.pad_h);
    rest /= push.out_h;
    const int start_d = window_start(rest % OUT_D, STRIDE_D, PAD_D);
    const uint group = block / push.group_blocks;
    const uint first = (block - group * push.group_blocks) * CHANNELS; // in the group
    const uint channel = group * push.out_channels + first;
    const uint size = push.in_channels * KERNEL_D * push.kernel_h * push.kernel_w;
    for (uint i = 0; i < CHANNELS; i++) {
        const uint at = channel + min(i, push.out_channels - 1 - first);
        weight_of[i] = at * size;
        w_minus[i] = W_ZERO == PER_NOTHING ? 0 : w_zero[W_ZERO == PER_INDEX ? at : 0];
        sum[i] = HAS_BIAS != 0 ? bias[at] : 0;
    }
    const int image = push.x_offset + int(rest / OUT_D) * push.x_strides[0] +
                      int(group * push.in_channels) * push.x_strides[1];
    add_window(image, start_d, start_h, start_w, HAS_X_ZERO != 0 ? x_zero[0] : 0);
    const uint to = pixel * (push.blocks / push.group_blocks) * push.out_channels + channel;
    for (uint i = 0; i < CHANNELS; i++)
        if (first + i < push.out_channels)
            y[to + i] = W_SCALE == PER_NOTHING ? sum[i] : requantized(sum[i], channel + i);
}
