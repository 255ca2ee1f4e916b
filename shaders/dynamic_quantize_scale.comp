// One invocation = everything: the scale and zero point that make 0..255 of the range of all parts.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "index.glsl"
#include "quantize.glsl"

layout(binding = 0) readonly buffer Parts { vec2 parts[]; };
layout(binding = 1) writeonly buffer Scale { float scale[]; };
layout(binding = 2) writeonly buffer Zero { int zero[]; };

layout(push_constant) uniform Push {
    uint part_count;
} push;

void main()
{
    if (linear_id() != 0)
        return;
    vec2 range = vec2(0.0);
    for (uint i = 0; i < push.part_count; i++) {
        const vec2 part = parts[i];
        if (part.x < range.x)
            range.x = part.x;
        if (part.y > range.y)
            range.y = part.y;
    }
    const float step = range.x == range.y ? 1.0 : exact_quotient(range.y - range.x, 255.0);
    scale[0] = step;
    zero[0] = quantized(exact_quotient(-range.x, step), 0, 0, 255);
}
