// One invocation = one element; any strides, 0 where an operand is repeated.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"
#include "unary.glsl"

layout(constant_id = 3) const uint RANK = 6;

layout(binding = 0) readonly buffer A { STORED a[]; };
layout(binding = 1) readonly buffer B { STORED b[]; };
layout(binding = 2) writeonly buffer Y { STORED y[]; };

layout(push_constant) uniform Push {
    uint count;
    float alpha;
    int a_offset, b_offset;
    uint dims[6];
    int a_strides[6];
    int b_strides[6];
    int y_strides[6];
} push;

void main()
{
    uint rest = linear_id();
    if (rest >= push.count)
        return;
    int a_at = push.a_offset, b_at = push.b_offset, to = 0;
    for (int d = int(RANK) - 1; d >= 0; d--) {
        const uint outer = d > 0 ? rest / push.dims[d] : 0;
        const int index = int(rest - outer * push.dims[d]);
        a_at += index * push.a_strides[d];
        b_at += index * push.b_strides[d];
        to += index * push.y_strides[d];
        rest = outer;
    }
    const float gate = unary(UNARY_SWISH, VALUE_OF(a[a_at]), push.alpha, 0.0);
    y[to] = STORED_OF(gate * VALUE_OF(b[b_at]));
}
