// One invocation = one place of the sorted items: says of each item whether it is the first of its
// group.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "index.glsl"

layout(binding = 0) readonly buffer Order { uint order[]; };
layout(binding = 1) readonly buffer Masks { uint masks[]; };
layout(binding = 2) writeonly buffer Flags { uint flags[]; };

layout(push_constant) uniform Push {
    uint items;
} push;

void main()
{
    const uint place = linear_id();
    if (place < push.items)
        flags[order[place]] = (masks[place / 32] >> (place % 32)) & 1u;
}
