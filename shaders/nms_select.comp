// One workgroup = one class of a picture: goes through its boxes, the best first, as many at a time
// as there are invocations: those that no better one overlaps stay. Each is held against all that
// were chosen before its block, then the block is settled. A dispatch ends before its loops get too
// long for some drivers; the next one goes on.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
layout(local_size_x_id = 0) in; // at most 128

layout(constant_id = 3) const uint CENTER = 0;
layout(constant_id = 4) const uint OVERLAP_HALF = 0; // the threshold is a float16
layout(constant_id = 5) const uint TRIPS_MAX = 60000;

layout(binding = 0) readonly buffer Boxes { STORED boxes[]; };
layout(binding = 1) readonly buffer Most { uint most[]; };       // an int64
layout(binding = 2) readonly buffer Overlap { uint overlap[]; };
layout(binding = 3) readonly buffer List { uvec2 list[]; };      // key, box
layout(binding = 4) readonly buffer Lengths { uint lengths[]; };
layout(binding = 5) buffer Next { uint next[]; };                // where the next dispatch begins
layout(binding = 6) buffer Counts { uint counts[]; };
layout(binding = 7) writeonly buffer Chosen { uint chosen[]; };
layout(binding = 8) coherent buffer Rectangles { vec4 rectangles[]; };

layout(push_constant) uniform Push {
    uint rows, classes, boxes;
    uint room;  // for what is chosen of a row
    uint first; // 1: the first dispatch
    int boxes_offset, most_offset, overlap_offset;
} push;

#include "threshold.glsl"
#include "rectangle.glsl"

shared vec4 block[128];
shared uvec4 conflicts[128]; // with those before it in the block
shared uint alive[128];

vec4 rectangle_at(uint row, uint box)
{
    const int at = push.boxes_offset + int(4 * (row / push.classes * push.boxes + box));
    vec4 v;
    for (int i = 0; i < 4; i++)
        v[i] = VALUE_OF(boxes[at + i]);
    if (CENTER != 0)
        return vec4(v.xy - v.zw / 2, v.xy + v.zw / 2);
    return vec4(least_of(v.y, v.w), least_of(v.x, v.z), most_of(v.y, v.w), most_of(v.x, v.z));
}

uint limit_of_class()
{
    const uint low = most[2 * push.most_offset], high = most[2 * push.most_offset + 1];
    return int(high) < 0 ? 0u : high > 0u ? push.room : min(low, push.room);
}

void main()
{
    const uint lanes = gl_WorkGroupSize.x, lane = gl_LocalInvocationID.x;
    const uint row = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    const bool there = row < push.rows;
    const uint length = there ? lengths[row] : 0u, limit = limit_of_class();
    const float threshold = THRESHOLD(overlap, push.overlap_offset, OVERLAP_HALF);
    uint begin = 0, count = 0, trips = 0;
    if (there && push.first == 0u) {
        begin = next[row];
        count = counts[row];
    }
    while (begin < length && count < limit && trips + count + 2 * lanes < TRIPS_MAX) {
        const bool full = begin + lane < length;
        const uint box = full ? list[row * push.boxes + begin + lane].y : 0u;
        const vec4 own = rectangle_at(row, box);
        bool free = full;
        for (uint i = 0; i < count && free; i++)
            free = !overlaps(own, rectangles[row * push.room + i], threshold);
        block[lane] = own;
        alive[lane] = free ? 1u : 0u;
        barrier();
        uvec4 conflict = uvec4(0u);
        for (uint i = 0; i < lane && free; i++)
            if (alive[i] != 0u && overlaps(own, block[i], threshold))
                conflict[i / 32] |= 1u << (i % 32);
        conflicts[lane] = conflict;
        barrier();
        // Every invocation settles the whole block alike, rather than wait for one that does.
        uvec4 kept = uvec4(0u);
        uint place = push.room;
        trips += count + 2 * lanes + 1;
        for (uint i = 0; i < lanes && count < limit; i++) {
            if (alive[i] == 0u || any(notEqual(conflicts[i] & kept, uvec4(0u))))
                continue;
            kept[i / 32] |= 1u << (i % 32);
            if (i == lane)
                place = count;
            count++;
        }
        if (place < push.room) {
            chosen[row * push.room + place] = box;
            rectangles[row * push.room + place] = own;
        }
        begin += lanes;
        memoryBarrierBuffer();
        barrier();
    }
    if (there && lane == 0u) {
        next[row] = begin;
        counts[row] = count;
    }
}
