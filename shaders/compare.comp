// One invocation = a run of elements along the last dimension, in the order of the output's memory.
// variants: f32 f16 i32 u32 i64
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "integers.glsl"
#include "index.glsl"
#include "binary_codes.glsl"

layout(constant_id = 3) const uint FUNCTION = 16;
layout(constant_id = 4) const uint RANK = 6;
layout(constant_id = 5) const bool IS_SIGNED = true;

layout(binding = 0) readonly buffer A { STORED a[]; };
layout(binding = 1) readonly buffer B { STORED b[]; };
layout(binding = 2) writeonly buffer Y { int y[]; };

layout(push_constant) uniform Push {
    uint count; // runs in all
    uint runs;  // per row
    uint run;   // elements of one
    int a_offset, b_offset;
    uint dims[6];
    int a_strides[6];
    int b_strides[6];
} push;

bool less(VALUE left, VALUE right)
{
    return LESS(left, right, IS_SIGNED);
}

bool apply(VALUE left, VALUE right)
{
    switch (FUNCTION) {
    case BINARY_EQUAL: return left == right;
    case BINARY_GREATER: return less(right, left);
    case BINARY_GREATER_EQUAL: return less(right, left) || left == right; // NaN is neither
    case BINARY_LESS: return less(left, right);
    case BINARY_LESS_EQUAL: return less(left, right) || left == right;
    case BINARY_AND: return left != NUMBER(0) && right != NUMBER(0);
    case BINARY_OR: return left != NUMBER(0) || right != NUMBER(0);
    case BINARY_XOR: return (left != NUMBER(0)) != (right != NUMBER(0));
    }
    return false;
}

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    uint row = 0, column = id;
    if (RANK > 1) {
        row = id / push.runs;
        column -= row * push.runs;
    }
    column *= push.run;
    const uint inner = push.dims[RANK - 1];
    int from_a = push.a_offset + int(column) * push.a_strides[RANK - 1];
    int from_b = push.b_offset + int(column) * push.b_strides[RANK - 1];
    uint to = row * inner + column;
    for (int d = int(RANK) - 2; d > 0; d--) {
        const uint outer = row / push.dims[d];
        const int index = int(row - outer * push.dims[d]);
        from_a += index * push.a_strides[d];
        from_b += index * push.b_strides[d];
        row = outer;
    }
    if (RANK > 1) {
        from_a += int(row) * push.a_strides[0];
        from_b += int(row) * push.b_strides[0];
    }
    const uint end = to + min(push.run, inner - column);
    for (; to < end; to++) {
        y[to] = int(apply(VALUE_OF(a[from_a]), VALUE_OF(b[from_b])));
        from_a += push.a_strides[RANK - 1];
        from_b += push.b_strides[RANK - 1];
    }
}
