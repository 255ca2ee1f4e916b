// One invocation = RUN boxes of a class of a picture, or entries of its lists: sorts those that
// score enough, the best first and equal ones as they come. First RUN boxes are a list; then pairs
// of lists are merged. Boxes that do not score enough are in no list, and cost next to nothing.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"

layout(constant_id = 3) const uint RUN = 1;
layout(constant_id = 4) const uint MERGE = 0;
layout(constant_id = 5) const uint LEAST_HALF = 0; // the threshold is a float16

layout(binding = 0) readonly buffer Scores { STORED scores[]; };
layout(binding = 1) readonly buffer Least { uint least[]; };
layout(binding = 2) readonly buffer Source { uvec2 source[]; }; // key, box
layout(binding = 3) readonly buffer SourceLengths { uint source_lengths[]; };
layout(binding = 4) buffer Target { uvec2 target[]; };
layout(binding = 5) writeonly buffer TargetLengths { uint target_lengths[]; };

layout(push_constant) uniform Push {
    uint count, runs; // invocations, and how many of them a row has
    uint boxes;       // a row
    uint span;        // boxes that a list of the source stands for, a multiple of RUN
    uint lists;       // of the source in a row
    int scores_offset, least_offset;
} push;

#include "order.glsl"
#include "threshold.glsl"

// Keys of scores that are not enough are 0, which no number has.
uint key_at(uint row, uint box, uint least_key)
{
    const VALUE score = VALUE_OF(scores[push.scores_offset + int(row * push.boxes + box)]);
    const uint key = key_of(score, false, false);
    return key > least_key && !isnan_bits(score) ? key : 0u;
}

// By insertion: there are few boxes, and often fewer that score enough.
void sort_block(uint row, uint begin)
{
    const uint least_key =
        key_of(VALUE(THRESHOLD(least, push.least_offset, LEAST_HALF)), false, false);
    const uint base = row * push.boxes, end = min(begin + RUN, push.boxes);
    uint found = 0;
    for (uint box = begin; box < end; box++) {
        const uint key = key_at(row, box, least_key);
        if (key == 0u)
            continue;
        uint place = base + begin + found++;
        for (; place > base + begin && target[place - 1].x < key; place--)
            target[place] = target[place - 1];
        target[place] = uvec2(key, box);
    }
    target_lengths[row * push.runs + begin / RUN] = found;
}

uint list_length(uint row, uint list)
{
    return list < push.lists ? source_lengths[row * push.lists + list] : 0u;
}

// The entries [start, start + RUN) of a pair of lists, merged.
void merge_run(uint row, uint start)
{
    const uint pair = start / (2 * push.span), begin = pair * 2 * push.span;
    const uint left_length = list_length(row, 2 * pair), place = start - begin;
    const uint right_length = list_length(row, 2 * pair + 1);
    const uint count = left_length + right_length;
    if (place == 0u)
        target_lengths[row * ((push.lists + 1) / 2) + pair] = count;
    if (place >= count)
        return;
    // How many of the first `place` entries come from the left list.
    const uint left = row * push.boxes + begin, right = left + push.span;
    uint low = place > right_length ? place - right_length : 0u, high = min(place, left_length);
    while (low < high) {
        const uint middle = (low + high) / 2;
        if (source[left + middle].x >= source[right + place - 1 - middle].x)
            low = middle + 1;
        else
            high = middle;
    }
    uint l = low, r = place - low;
    const uint last = min(place + RUN, count);
    for (uint i = place; i < last; i++) {
        const uvec2 ours = l < left_length ? source[left + l] : uvec2(0u);
        const uvec2 theirs = r < right_length ? source[right + r] : uvec2(0u);
        const bool take_left = ours.x >= theirs.x; // keys are never 0
        target[left + i] = take_left ? ours : theirs;
        l += take_left ? 1u : 0u;
        r += take_left ? 0u : 1u;
    }
}

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    const uint row = id / push.runs, start = (id - row * push.runs) * RUN;
    if (MERGE != 0)
        merge_run(row, start);
    else
        sort_block(row, start);
}
