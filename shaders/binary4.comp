// One invocation = a run of vec4s along the last dimension, in the order of the output's memory.
// variants: f32 f16 t32
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "vectors.glsl"
#include "read4.glsl"
#include "index.glsl"
#include "binary.glsl"

// How an operand goes with the last dimension.
#define ALONG 0    // element by element; offset and strides are multiples of 4
#define REPEATED 1 // one element per row
#define NUMBER 2   // push.number everywhere

layout(constant_id = 3) const uint FUNCTION = 0;
layout(constant_id = 4) const uint RANK = 5;
layout(constant_id = 5) const uint A_MODE = ALONG;
layout(constant_id = 6) const uint B_MODE = ALONG;

READ4(0, a4);
READ4(1, b4);
layout(binding = 2) writeonly buffer Y { STORED4 y[]; };
READ4(3, operand4); // lies as y does

layout(push_constant) uniform Push {
    uint count;  // runs in all
    uint runs;   // per row
    uint run;    // vec4s of one
    int a_offset, b_offset; // in elements, as the strides are
    float scale; // of BINARY_MEAN
    float number;
    float step_a[4];
    float step_b[4];
    uint dims[5]; // the last one in vec4s
    int a_strides[5];
    int b_strides[5];
} push;

#include "epilogue.glsl"

float apply(float left, float right, float other)
{
    return epilogue(binary(FUNCTION, left, right, push.scale), other);
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
    int from_a = push.a_offset, from_b = push.b_offset;
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
    vec4 left = vec4(push.number), right = vec4(push.number);
    if (A_MODE == REPEATED)
        left = vec4(AT4(a4, from_a >> 2)[from_a & 3]);
    if (B_MODE == REPEATED)
        right = vec4(AT4(b4, from_b >> 2)[from_b & 3]);
    uint at_a = uint(from_a >> 2) + column, at_b = uint(from_b >> 2) + column;
    const uint end = to + min(push.run, inner - column);
    for (; to < end; to++) {
        if (A_MODE == ALONG)
            left = AT4(a4, at_a++);
        if (B_MODE == ALONG)
            right = AT4(b4, at_b++);
        const vec4 other = HAS_OPERAND ? AT4(operand4, to) : vec4(0.0);
        const vec4 value = vec4(apply(left.x, right.x, other.x), apply(left.y, right.y, other.y),
                                apply(left.z, right.z, other.z), apply(left.w, right.w, other.w));
        y[to] = STORED4_OF(value);
    }
}
