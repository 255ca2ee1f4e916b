// One invocation = one part of what one mean and variance are taken over: leaves the part's mean
// and its sum of squared differences from that mean.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"

layout(constant_id = 3) const uint RANK = 4;        // of the dimensions that are kept
layout(constant_id = 4) const uint INSIDE_RANK = 4; // of those that are not

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) writeonly buffer Parts { vec2 parts[]; };

layout(push_constant) uniform Push {
    uint rows, row_length, part_length, part_count;
    int x_offset;
    uint dims[4];
    int x_strides[4];
    uint inside_dims[4];
    int inside_strides[4];
} push;

#define ROWS_X_ONLY
#include "rows.glsl"
#include "inside.glsl"

void main()
{
    const uint id = linear_id();
    if (id >= push.rows * push.part_count)
        return;
    const uint row = id % push.rows;
    const uint begin = id / push.rows * push.part_length;
    const uint count = min(push.part_length, push.row_length - begin);
    Inside start = inside_at(begin);
    start.at += push.x_offset + row_start_x(row);

    float mean = 0.0;
    Inside now = start;
    for (uint i = 0; i < count; i++, inside_next(now))
        mean += VALUE_OF(x[now.at]);
    mean /= float(count);
    float sum = 0.0;
    now = start;
    for (uint i = 0; i < count; i++, inside_next(now)) {
        const float moved = VALUE_OF(x[now.at]) - mean;
        sum += moved * moved;
    }
    parts[id] = vec2(mean, sum);
}
