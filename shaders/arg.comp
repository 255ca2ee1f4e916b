// One invocation = one row (STAGE 0), or one part of a row: STAGE 1 leaves the position of the
// part's winner, STAGE 2 takes the winner of a row's parts.
// variants: f32 f16 i32 u32 w64
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"

layout(constant_id = 3) const uint STAGE = 0;
layout(constant_id = 4) const uint RANK = 4;
layout(constant_id = 5) const uint SMALLEST = 0;
layout(constant_id = 6) const uint LAST = 0;    // of equal elements the last wins
layout(constant_id = 7) const uint NO_SIGN = 0; // the integers have none

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) writeonly buffer Y { uint y[]; }; // two words each
layout(binding = 2) buffer Parts { uint parts[]; };

layout(push_constant) uniform Push {
    uint rows, row_length, part_length, part_count;
    int x_offset, x_step;
    uint dims[4];
    int x_strides[4];
    int y_strides[4]; // in words
} push;

#include "order.glsl"
#include "rows.glsl"

struct Winner {
    KEY key;
    uint position;
};

void compete(inout Winner winner, int row_start, uint position)
{
    const ELEMENT element = ELEMENT(x[row_start + int(position) * push.x_step]);
    const KEY key = key_of(element, SMALLEST != 0, true);
    if (key_above(key, winner.key) || (LAST != 0 && key == winner.key)) {
        winner.key = key;
        winner.position = position;
    }
}

void main()
{
    const uint id = linear_id();
    if (id >= (STAGE == 1 ? push.rows * push.part_count : push.rows))
        return;
    const uint row = STAGE == 1 ? id % push.rows : id;
    const int start = push.x_offset + row_start_x(row);
    const uint begin = STAGE == 1 ? id / push.rows * push.part_length : 0;
    Winner winner = Winner(KEY(0), begin); // nothing is below the key 0
    if (STAGE == 2) {
        winner.position = parts[row];
        for (uint p = 0; p < push.part_count; p++)
            compete(winner, start, parts[row + p * push.rows]);
    } else {
        const uint end = min(begin + push.part_length, push.row_length);
        for (uint i = begin; i < end; i++)
            compete(winner, start, i);
    }
    if (STAGE == 1) {
        parts[id] = winner.position;
        return;
    }
    const int to = row_start_y(row);
    y[to] = winner.position;
    y[to + 1] = 0;
}
