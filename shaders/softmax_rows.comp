// One subgroup or workgroup = one row, as row_group.glsl says; its elements are read once.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "types.glsl"
#include "index.glsl"
#include "softmax_codes.glsl"
#include "row_group.glsl"

layout(constant_id = 3) const uint FUNCTION = 0; // not SOFTMAX_HARD
layout(constant_id = 4) const uint RANK = 4;

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) writeonly buffer Y { STORED y[]; };

layout(push_constant) uniform Push {
    uint rows, row_length;
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

void main()
{
    const uint row = min(group_row(), push.rows - 1); // past the end: not stored
    const int from = push.x_offset + row_start_x(row), to = row_start_y(row);
    float values[EACH];
    float highest = LOWEST;
    [[unroll]] for (uint i = 0; i < EACH; i++) {
        const uint at = group_element(i);
        values[i] = at < push.row_length ? VALUE_OF(x[from + int(at) * push.x_step]) : LOWEST;
        highest = values[i] > highest ? values[i] : highest;
    }
    highest = group_max(highest);
    float sum = 0.0;
    [[unroll]] for (uint i = 0; i < EACH; i++) {
        values[i] -= highest;
        const float weight = group_element(i) < push.row_length ? decay(values[i]) : 0.0;
        sum += weight;
        if (FUNCTION == SOFTMAX_PLAIN)
            values[i] = weight;
    }
    sum = group_sum(sum);
    const float scale = 1.0 / sum, logarithm = log(sum);
    [[unroll]] for (uint i = 0; i < EACH; i++) {
        const uint at = group_element(i);
        const float value =
            FUNCTION == SOFTMAX_PLAIN ? values[i] * scale : values[i] - logarithm;
        if (at < push.row_length && group_row() < push.rows)
            y[to + int(at) * push.y_step] = STORED_OF(epilogue(value));
    }
}
