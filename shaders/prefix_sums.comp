// One invocation = a group of a level's entries: each becomes the sum of those before it in the
// group, and the sum of all of them is an entry of the next level, or the total.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "index.glsl"
#include "ranks_codes.glsl"

layout(constant_id = 3) const uint SHIFT = 5; // a group has 2 to the power of this
layout(constant_id = 4) const uint SOURCE = 0;
layout(constant_id = 5) const uint LAST = 0; // there is one group

layout(binding = 0) readonly buffer Source { uint source[]; };
layout(binding = 1) buffer Sums { uint sums[]; }; // level after level
layout(binding = 2) writeonly buffer Total { uint total[]; };

layout(push_constant) uniform Push {
    uint count, groups;
    uint level, next; // where the entries begin
} push;

void main()
{
    const uint group = linear_id();
    if (group >= push.groups)
        return;
    const uint end = min((group + 1) << SHIFT, push.count);
    uint sum = 0;
    for (uint i = group << SHIFT; i < end; i++) {
        const uint entry = SOURCE == RANKS_MASKS     ? uint(bitCount(source[i]))
                           : SOURCE == RANKS_NUMBERS ? source[i]
                                                     : sums[push.level + i];
        sums[push.level + i] = sum;
        sum += entry;
    }
    if (LAST != 0)
        total[0] = sum;
    else
        sums[push.next + group] = sum;
}
