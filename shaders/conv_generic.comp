// One invocation = one output element; any strides of x, any groups and sizes. For convolutions that
// the tiled kernels would waste most of their lanes on.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"
#include "window.glsl"

layout(constant_id = 3) const uint HAS_BIAS = 0;

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) readonly buffer Weights { STORED weights[]; }; // dense, as the model has them
layout(binding = 2) readonly buffer Bias { STORED bias[]; };
layout(binding = 3) writeonly buffer Y { STORED y[]; };            // channels-last dense

layout(push_constant) uniform Push {
    uint count, channels; // of the output
    uint in_channels, out_channels; // of one group
    int x_offset;
    int x_strides[5]; // n, c, d, h, w
    uint in_h, in_w, out_h, out_w;
    uint kernel_h, kernel_w;
    uint stride_h, stride_w, dilation_h, dilation_w, pad_h, pad_w;
    float step_a[4];
    float step_b[4];
} push;

#include "epilogue.glsl"

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    uint rest = id;
    const uint channel = rest % push.channels;
    rest /= push.channels;
    const int start_w = window_start(rest % push.out_w, push.stride_w, push.pad_w);
    rest /= push.out_w;
    const int start_h = window_start(rest % push.out_h, push.stride_h, push.pad_h);
    rest /= push.out_h;
    const int start_d = window_start(rest % OUT_D, STRIDE_D, PAD_D);
    const uint group = channel / push.out_channels;
    const int image = push.x_offset + int(rest / OUT_D) * push.x_strides[0] +
                      int(group * push.in_channels) * push.x_strides[1];
    const uint taps = KERNEL_D * push.kernel_h * push.kernel_w;
    float sum = HAS_BIAS != 0 ? VALUE_OF(bias[channel]) : 0.0;
    uint tap = channel * push.in_channels * taps;
    for (uint d = 0; d < KERNEL_D; d++) {
        const int at_d = start_d + int(d * DILATION_D);
        for (uint h = 0; h < push.kernel_h; h++) {
            const int at_h = start_h + int(h * push.dilation_h);
            for (uint w = 0; w < push.kernel_w; w++, tap++) {
                const int at_w = start_w + int(w * push.dilation_w);
                if (!window_inside(at_d, IN_D) || !window_inside(at_h, push.in_h) ||
                    !window_inside(at_w, push.in_w))
                    continue;
                int from = image + at_d * push.x_strides[2] + at_h * push.x_strides[3] +
                           at_w * push.x_strides[4];
                uint weight = tap;
                for (uint channel = 0; channel < push.in_channels; channel++) {
                    sum += VALUE_OF(x[from]) * VALUE_OF(weights[weight]);
                    from += push.x_strides[1];
                    weight += taps;
                }
            }
        }
    }
    y[id] = STORED_OF(epilogue(sum));
}
