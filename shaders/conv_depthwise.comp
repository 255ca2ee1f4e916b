// One invocation = VECTOR channels x COLUMNS neighbouring outputs of one row; channels are fastest
// over the invocations. Each input element of a window row is read once for all columns.
//
// Weights lie as [tap][channel]; input channels are next to each other in memory; output is
// channels-last dense. VECTOR = 1 computes with one component where channels do not come in fours.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "types.glsl"
#include "vectors.glsl"
#include "index.glsl"
#include "window.glsl"

layout(constant_id = 3) const uint COLUMNS = 4;
layout(constant_id = 4) const uint VECTOR = 4;
layout(constant_id = 5) const uint HAS_BIAS = 0;
layout(constant_id = 6) const uint KERNEL_W = 3;
layout(constant_id = 7) const uint STRIDE_W = 1;
layout(constant_id = 8) const uint DILATION_W = 1;
const uint SPAN = (COLUMNS - 1) * STRIDE_W + (KERNEL_W - 1) * DILATION_W + 1;

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 0) readonly buffer X4 { STORED4 x4[]; };
layout(binding = 1) readonly buffer Weights { STORED weights[]; };
layout(binding = 1) readonly buffer Weights4 { STORED4 weights4[]; };
layout(binding = 2) readonly buffer Bias { STORED bias[]; };
layout(binding = 2) readonly buffer Bias4 { STORED4 bias4[]; };
layout(binding = 3) writeonly buffer Y { STORED y[]; };
layout(binding = 3) writeonly buffer Y4 { STORED4 y4[]; };

layout(push_constant) uniform Push {
    uint rows; // of the output, all images together
    uint channels;
    int x_offset;
    int x_strides[5]; // n, c (1), d (unused), h, w
    uint in_h, in_w, out_h, out_w;
    uint kernel_h, stride_h, dilation_h, pad_h, pad_w;
    float step_a[4];
    float step_b[4];
} push;

#include "epilogue.glsl"

vec4 load_x(int at)
{
    return VECTOR == 4 ? vec4(x4[at >> 2]) : vec4(VALUE_OF(x[at]), 0.0, 0.0, 0.0);
}

vec4 load_weight(uint at)
{
    return VECTOR == 4 ? vec4(weights4[at / 4]) : vec4(VALUE_OF(weights[at]), 0.0, 0.0, 0.0);
}

void main()
{
    const uint groups = push.channels / VECTOR;
    const uint tiles = (push.out_w + COLUMNS - 1) / COLUMNS;
    uint rest = linear_id();
    const uint channel = rest % groups * VECTOR;
    rest /= groups;
    const uint first = rest % tiles * COLUMNS;
    const uint row = rest / tiles;
    if (row >= push.rows)
        return;
    const uint n = row / push.out_h;
    const int start_h = window_start(row - n * push.out_h, push.stride_h, push.pad_h);
    const int start_w = window_start(first, STRIDE_W, push.pad_w);
    const int image = push.x_offset + int(n) * push.x_strides[0] + int(channel);

    vec4 sums[COLUMNS];
    vec4 start = vec4(0.0);
    if (HAS_BIAS != 0)
        start = VECTOR == 4 ? vec4(bias4[channel / 4])
                            : vec4(VALUE_OF(bias[channel]), 0.0, 0.0, 0.0);
    [[unroll]] for (uint p = 0; p < COLUMNS; p++)
        sums[p] = start;

    // The same for all lines of the window. What is outside is read from the line's start, and is 0.
    bool inside[SPAN];
    int places[SPAN];
    [[unroll]] for (uint i = 0; i < SPAN; i++) {
        inside[i] = window_inside(start_w + int(i), push.in_w);
        places[i] = inside[i] ? (start_w + int(i)) * push.x_strides[4] : 0;
    }
    for (uint h = 0; h < push.kernel_h; h++) {
        const int at_h = start_h + int(h * push.dilation_h);
        if (!window_inside(at_h, push.in_h))
            continue;
        const int line = image + at_h * push.x_strides[3];
        vec4 factors[KERNEL_W];
        [[unroll]] for (uint w = 0; w < KERNEL_W; w++)
            factors[w] = load_weight((h * KERNEL_W + w) * push.channels + channel);
        vec4 loaded[SPAN]; // all reads are under way before the first is waited for
        [[unroll]] for (uint i = 0; i < SPAN; i++)
            loaded[i] = load_x(line + places[i]);
        [[unroll]] for (uint i = 0; i < SPAN; i++) {
            const vec4 value = mix(vec4(0.0), loaded[i], bvec4(inside[i]));
            [[unroll]] for (uint w = 0; w < KERNEL_W; w++) {
                const uint p = window_output(i, w, STRIDE_W, DILATION_W, COLUMNS);
                if (p < COLUMNS)
                    sums[p] += value * factors[w];
            }
        }
    }

    uint to = (row * push.out_w + first) * push.channels + channel;
    [[unroll]] for (uint p = 0; p < COLUMNS; p++) {
        if (first + p < push.out_w) {
            vec4 value = sums[p];
            [[unroll]] for (uint k = 0; k < VECTOR; k++)
                value[k] = epilogue(value[k]);
            if (VECTOR == 4)
                y4[to / 4] = STORED4_OF(value);
            else
                y[to] = STORED_OF(value.x);
        }
        to += push.channels;
    }
}
