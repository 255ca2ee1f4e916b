// One invocation = one element; any strides of all tensors, scales and zero points repeated by them.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"
#include "packed.glsl"
#include "param.glsl"

layout(constant_id = 3) const uint RANK = 6;
layout(constant_id = 4) const uint SCALE_KIND = PARAM_F32;
layout(constant_id = 5) const uint HAS_ZERO = 0;
layout(constant_id = 6) const uint X_BITS = 32;  // of an element
layout(constant_id = 7) const uint X_SIGNED = 1; // those that are narrower extend a sign
layout(constant_id = 8) const uint X_FLOAT = 0;  // input and zero points are floats

layout(binding = 0) readonly buffer X { uint x[]; };
layout(binding = 1) readonly buffer Scale { uint scale[]; };
layout(binding = 2) readonly buffer Zero { int zero[]; };
layout(binding = 3) writeonly buffer Y { STORED y[]; };

layout(push_constant) uniform Push {
    uint count;
    int x_offset, y_offset, scale_offset, zero_offset;
    uint dims[6];
    int x_strides[6];
    int y_strides[6];
    int scale_strides[6]; // of the zero points too
} push;

// a - b as a float; as an integer wherever that does not overflow, because then it is exact.
float difference(int a, int b)
{
    const int result = a - b;
    return ((a ^ b) & (a ^ result)) < 0 ? float(a) - float(b) : float(result);
}

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
    const float factor = PARAM_AT(SCALE_KIND, scale, push.scale_offset + at);
    const int offset = HAS_ZERO != 0 ? zero[push.zero_offset + at] : 0;
    if (X_FLOAT != 0) {
        const float shift = HAS_ZERO != 0 ? intBitsToFloat(offset) : 0.0;
        y[to] = STORED_OF((uintBitsToFloat(x[from]) - shift) * factor);
    } else {
        y[to] = STORED_OF(difference(PACKED_AT(x, from, X_BITS, X_SIGNED != 0), offset) * factor);
    }
}
