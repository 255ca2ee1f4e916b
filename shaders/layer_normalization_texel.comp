// One invocation = one row whose elements lie next to each other, four at a time; as
// layer_normalization.comp in one stage, for CPU drivers, whose texel reads are cheap.
// variants: f32 t32
#version 450
#extension GL_GOOGLE_include_directive : require
#include "read4.glsl"
#include "index.glsl"
#include "layer_normalization_codes.glsl"

layout(constant_id = 3) const uint KIND = 0;
layout(constant_id = 4) const uint RANK = 4;
layout(constant_id = 5) const uint HAS_SCALE = 0;
layout(constant_id = 6) const uint HAS_BIAS = 0;

READ4(0, x4);
READ4(1, scale4);
READ4(2, bias4);
layout(binding = 3) writeonly buffer Y4 { vec4 y4[]; };

layout(push_constant) uniform Push {
    uint rows, row_length; // length in elements; offsets and strides are multiples of four
    int x_offset, scale_offset, bias_offset;
    float epsilon;
    uint dims[4];
    int x_strides[4];
    int y_strides[4];
    float step_a[4], step_b[4];
} push;

#include "epilogue.glsl"
#include "rows.glsl"

float total(vec4 v)
{
    return v.x + v.y + v.z + v.w;
}

void main()
{
    const uint row = linear_id();
    if (row >= push.rows)
        return;
    const int from = (push.x_offset + row_start_x(row)) >> 2, to = row_start_y(row) >> 2;
    const int count = int(push.row_length >> 2);
    float mean = 0.0;
    if (KIND == NORMALIZE_DEVIATION) {
        vec4 sum = vec4(0.0);
        for (int i = 0; i < count; i++)
            sum += AT4(x4, from + i);
        mean = total(sum) / float(push.row_length);
    }
    vec4 sum = vec4(0.0);
    for (int i = 0; i < count; i++) {
        const vec4 moved = AT4(x4, from + i) - mean;
        sum += KIND == NORMALIZE_L1 ? abs(moved) : moved * moved;
    }
    const float made = total(sum);
    float factor = 1.0 / sqrt(made / float(push.row_length) + push.epsilon);
    if (KIND == NORMALIZE_L1)
        factor = made == 0.0 ? 0.0 : 1.0 / made;
    if (KIND == NORMALIZE_L2)
        factor = made == 0.0 ? 0.0 : 1.0 / sqrt(made);
    for (int i = 0; i < count; i++) {
        vec4 value = (AT4(x4, from + i) - mean) * factor;
        if (HAS_SCALE != 0)
            value *= AT4(scale4, (push.scale_offset >> 2) + i);
        if (HAS_BIAS != 0)
            value += AT4(bias4, (push.bias_offset >> 2) + i);
        y4[to + i] = vec4(epilogue(value.x), epilogue(value.y), epilogue(value.z),
                          epilogue(value.w));
    }
}
