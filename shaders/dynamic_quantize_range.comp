// One invocation = the smallest and largest element of one part of the input; 0 counts as one of them.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "index.glsl"

layout(binding = 0) readonly buffer X { float x[]; };
layout(binding = 1) writeonly buffer Parts { vec2 parts[]; };

layout(push_constant) uniform Push {
    uint count, part_length, part_count;
    int x_offset;
} push;

void main()
{
    const uint part = linear_id();
    if (part >= push.part_count)
        return;
    const uint begin = part * push.part_length;
    const uint end = min(begin + push.part_length, push.count);
    float lowest = 0.0, highest = 0.0;
    for (uint i = begin; i < end; i++) {
        const float value = x[push.x_offset + int(i)];
        if (value < lowest)
            lowest = value;
        if (value > highest)
            highest = value;
    }
    parts[part] = vec2(lowest, highest);
}
