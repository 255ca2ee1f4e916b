// One invocation = one element; any strides of all tensors, scales and zero points repeated by them.
// variants: f32 f16 i32
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"
#include "param.glsl"
#include "quantize.glsl"
#include "small_float.glsl"

layout(constant_id = 3) const uint RANK = 6;
layout(constant_id = 4) const uint SCALE_KIND = PARAM_F32;
layout(constant_id = 5) const uint HAS_ZERO = 0;
layout(constant_id = 6) const uint DROPPED = 0; // bits of the quotient's mantissa
layout(constant_id = 7) const int LOW = 0;      // of the output's host type
layout(constant_id = 8) const int HIGH = 255;
layout(constant_id = 9) const uint Y_FLOAT = 0; // output and zero points are floats

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) readonly buffer Scale { uint scale[]; };
layout(binding = 2) readonly buffer Zero { int zero[]; };
layout(binding = 3) writeonly buffer Y { int y[]; };

layout(push_constant) uniform Push {
    uint count;
    int x_offset, y_offset, scale_offset, zero_offset;
    uint dims[6];
    int x_strides[6];
    int y_strides[6];
    int scale_strides[6]; // of the zero points too
} push;

void main()
{
    uint rest = linear_id();
    if (rest >= push.count)
        return;
    int from = push.x_offset, to = push.y_offset, at = 0;
    for (int d = int(RANK) - 1; d >= 0; d--) {
        const uint outer = d > 0 ? rest / push.dims[d] : 0;
        const int index = int(rest - outer * push.dims[d]);
        from += index * push.x_strides[d];
        to += index * push.y_strides[d];
        at += index * push.scale_strides[d];
        rest = outer;
    }
    const float divisor = PARAM_AT(SCALE_KIND, scale, push.scale_offset + at);
    const float quotient =
        rounded_mantissa(exact_quotient(float(VALUE_OF(x[from])), divisor), DROPPED);
    const int offset = HAS_ZERO != 0 ? zero[push.zero_offset + at] : 0;
    if (Y_FLOAT != 0) {
        const float shift = HAS_ZERO != 0 ? intBitsToFloat(offset) : 0.0;
        y[to] = floatBitsToInt(rounded_small(quotient + shift));
    } else {
        y[to] = quantized(quotient, offset, LOW, HIGH);
    }
}
