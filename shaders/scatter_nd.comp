// One invocation = RUN neighbours of the output: from the last update that goes there, or the data.
// variants: w16 w32 w64
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"

layout(constant_id = 3) const uint RUN = 1;

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) readonly buffer Updates { STORED updates[]; };
layout(binding = 2) readonly buffer Last { uint last[]; };
layout(binding = 3) writeonly buffer Y { STORED y[]; };

layout(push_constant) uniform Push {
    uint count, runs; // elements, and invocations for them
    uint slice;       // elements
    int x_offset, u_offset;
} push;

void main()
{
    const uint id = linear_id();
    if (id >= push.runs)
        return;
    uint i = id * RUN, slice = i / push.slice, inside = i - slice * push.slice;
    const uint end = min(i + RUN, push.count);
    uint update = last[slice];
    for (; i < end; i++) {
        if (inside == push.slice) {
            inside = 0;
            slice++;
            update = last[slice];
        }
        if (update != 0)
            y[i] = updates[push.u_offset + int((update - 1) * push.slice + inside)];
        else
            y[i] = x[push.x_offset + int(i)];
        inside++;
    }
}
