// One subgroup or workgroup = one row, as row_group.glsl says; its elements are read once.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "types.glsl"
#include "index.glsl"
#include "param.glsl"
#include "layer_normalization_codes.glsl"
#include "row_group.glsl"

layout(constant_id = 3) const uint KIND = 0;
layout(constant_id = 4) const uint RANK = 4;
layout(constant_id = 5) const uint SCALE = 0;
layout(constant_id = 6) const uint BIAS = 0;
layout(constant_id = 7) const uint KEEP_MEAN = 0;
layout(constant_id = 8) const uint KEEP_DEVIATION = 0;

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) readonly buffer Scale { uint scale[]; };
layout(binding = 2) readonly buffer Bias { uint bias[]; };
layout(binding = 3) writeonly buffer Y { STORED y[]; };
layout(binding = 4) writeonly buffer Mean { float means[]; };
layout(binding = 5) writeonly buffer Deviation { float deviations[]; }; // 1 over it

layout(push_constant) uniform Push {
    uint rows, row_length;
    int x_offset, x_step, y_step, scale_offset, bias_offset;
    float epsilon;
    uint dims[4];
    int x_strides[4];
    int y_strides[4];
    float step_a[4], step_b[4];
} push;

#include "epilogue.glsl"
#include "rows.glsl"

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
    const uint row = min(group_row(), push.rows - 1); // past the end: not stored
    const bool stores = group_row() < push.rows;
    const int from = push.x_offset + row_start_x(row), to = row_start_y(row);
    float values[EACH];
    float sum = 0.0;
    [[unroll]] for (uint i = 0; i < EACH; i++) {
        const uint at = group_element(i);
        values[i] = at < push.row_length ? VALUE_OF(x[from + int(at) * push.x_step]) : 0.0;
        sum += values[i];
    }
    float mean = 0.0;
    if (KIND == NORMALIZE_DEVIATION)
        mean = group_sum(sum) / float(push.row_length);
    sum = 0.0;
    [[unroll]] for (uint i = 0; i < EACH; i++) {
        values[i] -= mean;
        if (group_element(i) < push.row_length)
            sum += KIND == NORMALIZE_L1 ? abs(values[i]) : values[i] * values[i];
    }
    const float factor = factor_of(group_sum(sum));
    if (KEEP_MEAN != 0 && stores && group_element(0) == 0)
        means[row] = mean;
    if (KEEP_DEVIATION != 0 && stores && group_element(0) == 0)
        deviations[row] = factor;
    [[unroll]] for (uint i = 0; i < EACH; i++) {
        const int at = int(group_element(i));
        float value = values[i] * factor;
        if (at >= int(push.row_length) || !stores)
            continue;
        if (SCALE != 0)
            value *= PARAM_AT(SCALE, scale, push.scale_offset + at);
        if (BIAS != 0)
            value += PARAM_AT(BIAS, bias, push.bias_offset + at);
        y[to + at * push.y_step] = STORED_OF(epilogue(value));
    }
}
