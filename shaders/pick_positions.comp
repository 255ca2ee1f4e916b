// One invocation = RUN neighbours, of which one word's bits say which are picked: lists those.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "index.glsl"

layout(constant_id = 3) const uint SHIFT = 5;
layout(constant_id = 4) const uint RUN = 1; // divides 32

layout(binding = 0) readonly buffer Masks { uint masks[]; };
layout(binding = 1) readonly buffer Sums { uint sums[]; };
layout(binding = 2) writeonly buffer Positions { uint positions[]; };

layout(push_constant) uniform Push {
    uint words;
} push;

#include "ranks.glsl"

SUM_BEFORE(picked_before, sums)

void main()
{
    const uint first = linear_id() * RUN, word = first / 32, bit = first % 32;
    if (word >= push.words)
        return;
    const uint mask = masks[word];
    uint bits = bitfieldExtract(mask, int(bit), int(RUN));
    if (bits == 0u)
        return;
    uint to = picked_before(word, push.words) + bits_below(mask, bit);
    for (; bits != 0u; bits &= bits - 1u)
        positions[to++] = first + uint(findLSB(bits));
}
