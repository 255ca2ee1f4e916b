// One invocation = the 3x3 weights of one input and one output channel, transformed into the
// weights of every factor: [factor][output channel][input channel]. See winograd_input.comp.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "types.glsl"
#include "index.glsl"
#include "winograd.glsl"

layout(binding = 0) readonly buffer Source { STORED source[]; };
layout(binding = 1) writeonly buffer Factors { STORED factors[]; };

layout(push_constant) uniform Push {
    uint count;      // of pairs of channels
    uint in_channels;
    int offset;
    int strides[4];  // output channel, input channel, height, width
} push;

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    const uint k = id / push.in_channels, c = id - k * push.in_channels;
    const int from = push.offset + int(k) * push.strides[0] + int(c) * push.strides[1];
    float columns[3][6];
    for (int w = 0; w < 3; w++) {
        const int at = from + w * push.strides[3], h = push.strides[2];
        winograd_weights(vec3(VALUE_OF(source[at]), VALUE_OF(source[at + h]),
                              VALUE_OF(source[at + 2 * h])),
                         columns[w]);
    }
    // A loop that stays one: 36 stores in a row take twice as long to compile on CPU drivers.
    uint to = id;
    [[dont_unroll]] for (int row = 0; row < EDGE; row++) {
        vec3 along = vec3(columns[0][0], columns[1][0], columns[2][0]);
        [[unroll]] for (int i = 1; i < EDGE; i++)
            along = row == i ? vec3(columns[0][i], columns[1][i], columns[2][i]) : along;
        float line[6];
        winograd_weights(along, line);
        [[unroll]] for (int j = 0; j < EDGE; j++) {
            factors[to] = STORED_OF(line[j] * WEIGHT_SCALE);
            to += push.count;
        }
    }
}
