// One invocation = RUN neighbours of each of PICKS slices that a list picks along an axis; only a
// count in memory says how many there are.
// variants: w16 w32 w64
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"

layout(constant_id = 3) const uint RUN = 1;
layout(constant_id = 4) const uint PICKS = 1;

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) readonly buffer Positions { uint positions[]; };
layout(binding = 2) readonly buffer Count { uint count[]; };
layout(binding = 3) writeonly buffer Y { STORED y[]; };

layout(push_constant) uniform Push {
    uint invocations;
    uint runs, blocks;  // of a slice's inner elements, and of all that may be picked
    uint inner, items;  // elements inside of the axis, and along it
    int x_offset;
} push;

void main()
{
    const uint id = linear_id();
    if (id >= push.invocations)
        return;
    const uint block = id / push.runs, outer = block / push.blocks;
    const uint start = (id - block * push.runs) * RUN;
    const uint end = min(start + RUN, push.inner);
    const uint first = (block - outer * push.blocks) * PICKS;
    const uint picked = count[0], last = min(first + PICKS, picked);
    for (uint k = first; k < last; k++) {
        const uint from = (outer * push.items + positions[k]) * push.inner;
        const uint to = (outer * picked + k) * push.inner;
        for (uint i = start; i < end; i++)
            y[to + i] = x[push.x_offset + int(from + i)];
    }
}
