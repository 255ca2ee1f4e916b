// One invocation = four results that lie next to each other, as the elements they are made of do
// (STAGE 0), or one part of four; as reduce.comp for the plainest functions of floats, for CPU
// drivers, whose texel reads are cheap.
// variants: f32 t32
#version 450
#extension GL_GOOGLE_include_directive : require
#include "read4.glsl"
#include "index.glsl"
#include "reduce_codes.glsl"

layout(constant_id = 3) const uint KIND = 0;
layout(constant_id = 4) const uint STAGE = 0;
layout(constant_id = 5) const uint RANK = 4;
layout(constant_id = 6) const uint INSIDE_RANK = 4;

READ4(0, x4);
layout(binding = 1) writeonly buffer Y4 { vec4 y4[]; };
READ4(2, parts4); // [part][row]
layout(binding = 3) writeonly buffer Made4 { vec4 made4[]; };     // the same

layout(push_constant) uniform Push {
    uint rows, row_length, part_length; // rows of four
    int x_offset; // in elements, as the strides are; all are multiples of four
    uint dims[4]; // the last one in fours
    int x_strides[4];
    int y_strides[4];
    uint inside_dims[4];
    int inside_strides[4];
    float step_a[4], step_b[4];
} push;

#include "epilogue.glsl"
#include "rows.glsl"
#include "inside.glsl"

vec4 joined(vec4 a, vec4 b)
{
    if (KIND == REDUCE_MAX)
        return mix(a, b, bvec4(uvec4(greaterThan(b, a)) | uvec4(isnan(b))));
    if (KIND == REDUCE_MIN)
        return mix(a, b, bvec4(uvec4(lessThan(b, a)) | uvec4(isnan(b))));
    return a + b;
}

void main()
{
    const uint id = linear_id();
    const uint part_count = (push.row_length + push.part_length - 1) / push.part_length;
    if (id >= (STAGE == 1 ? push.rows * part_count : push.rows))
        return;
    const uint row = STAGE == 1 ? id % push.rows : id;
    vec4 made = vec4(KIND == REDUCE_MAX   ? uintBitsToFloat(0xff800000u)
                     : KIND == REDUCE_MIN ? uintBitsToFloat(0x7f800000u)
                                          : 0.0);
    if (STAGE == 2) {
        for (uint p = 0; p < part_count; p++)
            made = joined(made, AT4(parts4, int(row + p * push.rows)));
    } else {
        const uint begin = STAGE == 1 ? id / push.rows * push.part_length : 0;
        const uint count = min(push.part_length, push.row_length - begin);
        Inside now = inside_at(begin);
        now.at += push.x_offset + row_start_x(row);
        for (uint i = 0; i < count; i++, inside_next(now))
            made = joined(made, AT4(x4, now.at >> 2));
    }
    if (STAGE == 1) {
        made4[id] = made;
        return;
    }
    if (KIND == REDUCE_MEAN)
        made /= float(push.row_length);
    y4[row_start_y(row) >> 2] =
        vec4(epilogue(made.x), epilogue(made.y), epilogue(made.z), epilogue(made.w));
}
