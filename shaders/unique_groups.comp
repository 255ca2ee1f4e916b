// One invocation = one place of the sorted items: the number of its group for the item there, and
// what is to be said of the group where it begins.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "index.glsl"

layout(constant_id = 3) const uint SHIFT = 5;
layout(constant_id = 4) const uint SORTED = 1; // else groups are in the order of their first items

layout(binding = 0) readonly buffer Order { uint order[]; };
layout(binding = 1) readonly buffer Masks { uint masks[]; }; // where groups begin, by place
layout(binding = 2) readonly buffer Sums { uint sums[]; };
layout(binding = 3) readonly buffer Heads { uint heads[]; };
layout(binding = 4) readonly buffer Count { uint count[]; };
layout(binding = 5) readonly buffer ItemMasks { uint item_masks[]; }; // first ones, by item
layout(binding = 6) readonly buffer ItemSums { uint item_sums[]; };
layout(binding = 7) writeonly buffer Picks { uint picks[]; };
layout(binding = 8) writeonly buffer Firsts { uvec2 firsts[]; };
layout(binding = 9) writeonly buffer Inverse { uvec2 inverse[]; };
layout(binding = 10) writeonly buffer Sizes { uvec2 sizes[]; };

layout(push_constant) uniform Push {
    uint items, words;
} push;

#include "ranks.glsl"

SUM_BEFORE(heads_before, sums)
SUM_BEFORE(firsts_before, item_sums)

void main()
{
    const uint place = linear_id();
    if (place >= push.items)
        return;
    const uint mask = masks[place / 32], bit = place % 32;
    const uint begun = heads_before(place / 32, push.words) + bits_below(mask, bit);
    const uint group = begun + ((mask >> bit) & 1u) - 1u;
    const uint head = heads[group], first = order[head];
    uint number = group;
    if (SORTED == 0)
        number = firsts_before(first / 32, push.words) +
                 bits_below(item_masks[first / 32], first % 32);
    inverse[order[place]] = uvec2(number, 0u);
    if (place == head) {
        const uint end = group + 1u < count[0] ? heads[group + 1u] : push.items;
        picks[number] = first;
        firsts[number] = uvec2(first, 0u);
        sizes[number] = uvec2(end - head, 0u);
    }
}
