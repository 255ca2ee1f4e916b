// One invocation = RUN neighbours of one step of the cache: from the update, or what was there. The
// cache is seen as batch x middle x steps x inner, and everything is dense.
// variants: w16 w32 w64
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"

layout(constant_id = 3) const uint INDEX_WORDS = 1;
layout(constant_id = 4) const uint RUN = 1;
layout(constant_id = 5) const bool CIRCULAR = false;
layout(constant_id = 6) const bool HAS_STARTS = false;

#include "data_index.glsl"

layout(binding = 0) readonly buffer Past { STORED past[]; };
layout(binding = 1) readonly buffer Update { STORED update[]; };
layout(binding = 2) readonly buffer Starts { uint starts[]; };
layout(binding = 3) writeonly buffer Y { STORED y[]; };

layout(push_constant) uniform Push {
    uint count, runs; // invocations, and how many of them one step has
    uint middle, steps, inner;
    int update_steps;
    int past_offset, update_offset, starts_offset;
} push;

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    const uint row = id / push.runs, first = (id - row * push.runs) * RUN;
    const uint line = row / push.steps, batch = line / push.middle;
    const int steps = int(push.steps);
    int start = 0;
    if (HAS_STARTS) // the graph may hold any index
        start = clamp(INDEX_AT(starts, push.starts_offset + int(batch)), 0, steps);
    int step = int(row - line * push.steps) - start;
    if (CIRCULAR && step < 0)
        step += steps;
    const bool is_new = step >= 0 && step < push.update_steps;
    const uint old_at = row * push.inner;
    const uint new_at = (line * uint(push.update_steps) + uint(max(step, 0))) * push.inner;
    const uint end = min(first + RUN, push.inner);
    for (uint i = first; i < end; i++) {
        if (is_new)
            y[old_at + i] = update[push.update_offset + int(new_at + i)];
        else
            y[old_at + i] = past[push.past_offset + int(old_at + i)];
    }
}
