// One invocation = one row (STAGE 0), or one part of a row: STAGE 1 leaves its maximum and sum,
// STAGE 2 takes those of all parts of the row and writes its part.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"
#include "softmax_codes.glsl"

layout(constant_id = 3) const uint FUNCTION = 0;
layout(constant_id = 4) const uint STAGE = 0;
layout(constant_id = 5) const uint RANK = 4;

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) writeonly buffer Y { STORED y[]; };
layout(binding = 2) buffer Parts { uvec2 parts[]; }; // the maximum's bits; the sum's, or an index

layout(push_constant) uniform Push {
    uint rows, row_length, part_length, part_count;
    int x_offset, x_step, y_step;
    uint dims[4];
    int x_strides[4];
    int y_strides[4];
    float step_a[4], step_b[4];
} push;

#include "epilogue.glsl"
#include "rows.glsl"

const float LOWEST = -3.402823466e38;

// exp of something that is not above 0, and NaN of NaN.
float decay(float x)
{
    return x < -103.0 ? 0.0 : exp(x);
}

// What is known of some elements: their maximum, and the sum of exp(element - maximum). For
// Hardmax the position of the first maximum in place of the sum.
struct Seen {
    float highest, sum;
    uint position;
};

void look(inout Seen seen, float value, uint position)
{
    if (FUNCTION == SOFTMAX_HARD) {
        if (value > seen.highest) {
            seen.highest = value;
            seen.position = position;
        }
    } else if (value > seen.highest) {
        seen.sum = seen.sum * decay(seen.highest - value) + 1.0;
        seen.highest = value;
    } else {
        seen.sum += decay(value - seen.highest);
    }
}

void join(inout Seen seen, uvec2 part)
{
    const float highest = uintBitsToFloat(part.x);
    if (FUNCTION == SOFTMAX_HARD) {
        if (highest > seen.highest) {
            seen.highest = highest;
            seen.position = part.y;
        }
        return;
    }
    const float larger = max(highest, seen.highest);
    seen.sum = seen.sum * decay(seen.highest - larger) +
               uintBitsToFloat(part.y) * decay(highest - larger);
    seen.highest = larger;
}

void main()
{
    const uint id = linear_id();
    if (id >= push.rows * push.part_count)
        return;
    const uint row = STAGE == 0 ? id : id % push.rows;
    const uint part = STAGE == 0 ? 0 : id / push.rows;
    const uint begin = part * push.part_length;
    const uint end = min(begin + push.part_length, push.row_length);
    const int x_start = push.x_offset + row_start_x(row);

    Seen seen = Seen(LOWEST, 0.0, 0);
    if (STAGE == 2) {
        for (uint p = 0; p < push.part_count; p++)
            join(seen, parts[row + p * push.rows]);
    } else {
        int from = x_start + int(begin) * push.x_step;
        for (uint i = begin; i < end; i++, from += push.x_step)
            look(seen, VALUE_OF(x[from]), i);
    }
    if (STAGE == 1) {
        const uint second = FUNCTION == SOFTMAX_HARD ? seen.position : floatBitsToUint(seen.sum);
        parts[id] = uvec2(floatBitsToUint(seen.highest), second);
        return;
    }

    const float scale = 1.0 / seen.sum;
    const float logarithm = log(seen.sum);
    int from = x_start + int(begin) * push.x_step;
    int to = row_start_y(row) + int(begin) * push.y_step;
    for (uint i = begin; i < end; i++, from += push.x_step, to += push.y_step) {
        float value;
        if (FUNCTION == SOFTMAX_HARD)
            value = i == seen.position ? 1.0 : 0.0;
        else if (FUNCTION == SOFTMAX_LOG)
            value = VALUE_OF(x[from]) - seen.highest - logarithm;
        else
            value = decay(VALUE_OF(x[from]) - seen.highest) * scale;
        y[to] = STORED_OF(epilogue(value));
    }
}
