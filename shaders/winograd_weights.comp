// One invocation = the 3x3 weights of one input and one output channel, transformed into 36 factors:
// [factor][output channel][input channel]. See winograd_input.comp.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "index.glsl"

layout(binding = 0) readonly buffer Source { float source[]; };
layout(binding = 1) writeonly buffer Factors { float factors[]; };

layout(push_constant) uniform Push {
    uint count;      // of pairs of channels
    uint in_channels;
    int offset;
    int strides[4];  // output channel, input channel, height, width
} push;

void transform(vec3 g, out float u[6])
{
    const float even = g.x + g.z, far = g.x + 4.0 * g.z;
    u[0] = g.x / 4.0;
    u[1] = -(even + g.y) / 6.0;
    u[2] = -(even - g.y) / 6.0;
    u[3] = (far + 2.0 * g.y) / 24.0;
    u[4] = (far - 2.0 * g.y) / 24.0;
    u[5] = g.z;
}

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    const uint k = id / push.in_channels, c = id - k * push.in_channels;
    const int from = push.offset + int(k) * push.strides[0] + int(c) * push.strides[1];
    float columns[3][6];
    for (int w = 0; w < 3; w++) {
        const int at = from + w * push.strides[3];
        transform(vec3(source[at], source[at + push.strides[2]], source[at + 2 * push.strides[2]]),
                  columns[w]);
    }
    for (int i = 0; i < 6; i++) {
        float line[6];
        transform(vec3(columns[0][i], columns[1][i], columns[2][i]), line);
        for (int j = 0; j < 6; j++)
            factors[(i * 6 + j) * push.count + id] = line[j];
    }
}
