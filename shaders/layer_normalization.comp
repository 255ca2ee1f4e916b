// One invocation = one row (STAGE 0), or one part of a row: STAGE 1 leaves its moments, STAGE 2
// takes those of all parts of the row and writes its part.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"
#include "param.glsl"
#include "layer_normalization_codes.glsl"

layout(constant_id = 3) const uint KIND = 0;
layout(constant_id = 4) const uint STAGE = 0;
layout(constant_id = 5) const uint RANK = 4;
layout(constant_id = 6) const uint SCALE = 0;
layout(constant_id = 7) const uint BIAS = 0;
layout(constant_id = 8) const uint KEEP_MEAN = 0;
layout(constant_id = 9) const uint KEEP_DEVIATION = 0;

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) readonly buffer Scale { uint scale[]; };
layout(binding = 2) readonly buffer Bias { uint bias[]; };
layout(binding = 3) writeonly buffer Y { STORED y[]; };
layout(binding = 4) writeonly buffer Mean { float means[]; };
layout(binding = 5) writeonly buffer Deviation { float deviations[]; }; // 1 over it
layout(binding = 6) buffer Parts { vec2 parts[]; };

layout(push_constant) uniform Push {
    uint rows, row_length, part_length, part_count;
    int x_offset, x_step, y_step, scale_offset, bias_offset;
    float epsilon;
    uint dims[4];
    int x_strides[4];
    int y_strides[4];
    float step_a[4], step_b[4];
} push;

#include "epilogue.glsl"
#include "rows.glsl"

// The mean of some elements (0 where KIND needs none), and the sum of what the norm is made of: the
// squared differences from that mean, squares, or magnitudes.
vec2 moments_of(int from, uint count)
{
    float mean = 0.0;
    if (KIND == NORMALIZE_DEVIATION) {
        int at = from;
        for (uint i = 0; i < count; i++, at += push.x_step)
            mean += VALUE_OF(x[at]);
        mean /= float(count);
    }
    float sum = 0.0;
    for (uint i = 0; i < count; i++, from += push.x_step) {
        const float moved = VALUE_OF(x[from]) - mean;
        sum += KIND == NORMALIZE_L1 ? abs(moved) : moved * moved;
    }
    return vec2(mean, sum);
}

float part_size(uint part)
{
    return float(min(push.part_length, push.row_length - part * push.part_length));
}

vec2 moments_joined(uint row)
{
    float mean = 0.0;
    if (KIND == NORMALIZE_DEVIATION) {
        for (uint p = 0; p < push.part_count; p++)
            mean += parts[row + p * push.rows].x * part_size(p);
        mean /= float(push.row_length);
    }
    float sum = 0.0;
    for (uint p = 0; p < push.part_count; p++) {
        const vec2 part = parts[row + p * push.rows];
        const float moved = part.x - mean;
        sum += part.y + part_size(p) * moved * moved;
    }
    return vec2(mean, sum);
}

float factor_of(float sum)
{
    if (KIND == NORMALIZE_L1)
        return sum == 0.0 ? 0.0 : 1.0 / sum;
    if (KIND == NORMALIZE_L2)
        return sum == 0.0 ? 0.0 : 1.0 / sqrt(sum);
    return 1.0 / sqrt(sum / float(push.row_length) + push.epsilon);
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
    int from = push.x_offset + row_start_x(row) + int(begin) * push.x_step;

    const vec2 moments = STAGE == 2 ? moments_joined(row) : moments_of(from, end - begin);
    if (STAGE == 1) {
        parts[id] = moments;
        return;
    }
    const float factor = factor_of(moments.y);
    if (KEEP_MEAN != 0 && part == 0)
        means[row] = moments.x;
    if (KEEP_DEVIATION != 0 && part == 0)
        deviations[row] = factor;
    int to = row_start_y(row) + int(begin) * push.y_step;
    for (uint i = begin; i < end; i++, from += push.x_step, to += push.y_step) {
        float value = (VALUE_OF(x[from]) - moments.x) * factor;
        if (SCALE != 0)
            value *= PARAM_AT(SCALE, scale, push.scale_offset + int(i));
        if (BIAS != 0)
            value += PARAM_AT(BIAS, bias, push.bias_offset + int(i));
        y[to] = STORED_OF(epilogue(value));
    }
}
