// One invocation = one pair of channels that are rotated, or one channel that is copied.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"

layout(constant_id = 3) const uint INTERLEAVED = 0;    // pairs are neighbours, not halves
layout(constant_id = 4) const uint POSITION_WORDS = 0; // of an element of positions; 0: none

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) readonly buffer Cosines { STORED cosines[]; }; // [row, pair]
layout(binding = 2) readonly buffer Sines { STORED sines[]; };
layout(binding = 3) readonly buffer Positions { uint positions[]; }; // [batch, position]
layout(binding = 4) writeonly buffer Y { STORED y[]; };

layout(push_constant) uniform Push {
    uint count;
    uint slots, pairs;          // of one head at one position: all, and those that rotate
    uint heads, tokens, rows;   // rows of the tables
    int x_at[4], y_at[4];       // offset, then strides of batch, head and position
    int x_step, y_step;
    uint cosines_offset, sines_offset, positions_offset;
} push;

// Where the tables' row for this position begins. An index outside stays at the nearest row.
uint row_of(uint token)
{
    if (POSITION_WORDS == 0)
        return token * push.pairs;
    const uint at = push.positions_offset + token * POSITION_WORDS;
    const uint low = positions[at];
    const uint high = POSITION_WORDS == 2 ? positions[at + 1] : uint(int(low) >> 31);
    if (int(high) < 0)
        return 0;
    return (high != 0 ? push.rows - 1 : min(low, push.rows - 1)) * push.pairs;
}

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    const uint vector = id / push.slots, slot = id - vector * push.slots;
    const uint token = vector / push.heads, head = vector - token * push.heads;
    const uint batch = token / push.tokens, place = token - batch * push.tokens;
    const int from = push.x_at[0] + int(batch) * push.x_at[1] + int(head) * push.x_at[2] +
                     int(place) * push.x_at[3];
    const int to = push.y_at[0] + int(batch) * push.y_at[1] + int(head) * push.y_at[2] +
                   int(place) * push.y_at[3];
    if (slot >= push.pairs) {
        const int channel = int(slot + push.pairs);
        y[to + channel * push.y_step] = x[from + channel * push.x_step];
        return;
    }
    const int first = int(INTERLEAVED != 0 ? 2 * slot : slot);
    const int second = int(INTERLEAVED != 0 ? 2 * slot + 1 : slot + push.pairs);
    const uint row = row_of(token);
    const float cosine = float(cosines[push.cosines_offset + row + slot]);
    const float sine = float(sines[push.sines_offset + row + slot]);
    const float a = float(x[from + first * push.x_step]);
    const float b = float(x[from + second * push.x_step]);
    y[to + first * push.y_step] = STORED_OF(cosine * a - sine * b);
    y[to + second * push.y_step] = STORED_OF(sine * a + cosine * b);
}
