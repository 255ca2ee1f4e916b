// One invocation = RUN of the boxes chosen of a class of a picture: picture, class and box, after
// those of all classes before.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "index.glsl"

layout(constant_id = 3) const uint SHIFT = 5;
layout(constant_id = 4) const uint RUN = 1;

layout(binding = 0) readonly buffer Chosen { uint chosen[]; };
layout(binding = 1) readonly buffer Counts { uint counts[]; };
layout(binding = 2) readonly buffer Sums { uint sums[]; };
layout(binding = 3) writeonly buffer Y { uvec2 y[]; };

layout(push_constant) uniform Push {
    uint count, runs; // invocations, and how many of them a row has
    uint rows, classes, room;
} push;

#include "ranks.glsl"

SUM_BEFORE(chosen_before, sums)

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    const uint row = id / push.runs, first = (id - row * push.runs) * RUN;
    const uint end = min(first + RUN, counts[row]);
    if (first >= end)
        return;
    const uint picture = row / push.classes;
    const uint before = chosen_before(row, push.rows);
    for (uint i = first; i < end; i++) {
        const uint to = 3 * (before + i);
        y[to] = uvec2(picture, 0u);
        y[to + 1] = uvec2(row - picture * push.classes, 0u);
        y[to + 2] = uvec2(chosen[row * push.room + i], 0u);
    }
}
