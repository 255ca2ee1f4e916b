// One invocation = RUN of the elements found: their coordinates, a row of them per dimension.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "index.glsl"

layout(constant_id = 3) const uint RANK = 1;
layout(constant_id = 4) const uint RUN = 1;

layout(binding = 0) readonly buffer Positions { uint positions[]; };
layout(binding = 1) readonly buffer Count { uint count[]; };
layout(binding = 2) writeonly buffer Y { uvec2 y[]; };

layout(push_constant) uniform Push {
    uint dims[8];
} push;

void main()
{
    const uint first = linear_id() * RUN, found = count[0], end = min(first + RUN, found);
    for (uint k = first; k < end; k++) {
        uint rest = positions[k];
        for (int d = int(RANK) - 1; d > 0; d--) {
            const uint outer = rest / push.dims[d];
            y[uint(d) * found + k] = uvec2(rest - outer * push.dims[d], 0u);
            rest = outer;
        }
        y[k] = uvec2(rest, 0u);
    }
}
