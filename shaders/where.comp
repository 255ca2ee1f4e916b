// One invocation = a run of elements along the last dimension, in the order of the output's memory.
// variants: w16 w32 w64
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"

// Without 16-bit arithmetic a 16-bit element can only be loaded as a float, which loses nothing.
#ifdef VARIANT_W16
#define LOADED float
#else
#define LOADED STORED
#endif

layout(constant_id = 3) const uint RANK = 6;

layout(binding = 0) readonly buffer Condition { int condition[]; };
layout(binding = 1) readonly buffer A { STORED a[]; };
layout(binding = 2) readonly buffer B { STORED b[]; };
layout(binding = 3) writeonly buffer Y { STORED y[]; };

layout(push_constant) uniform Push {
    uint count; // runs in all
    uint runs;  // per row
    uint run;   // elements of one
    int condition_offset, a_offset, b_offset;
    uint dims[6];
    int condition_strides[6];
    int a_strides[6];
    int b_strides[6];
} push;

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
    int at = push.condition_offset + int(column) * push.condition_strides[RANK - 1];
    int from_a = push.a_offset + int(column) * push.a_strides[RANK - 1];
    int from_b = push.b_offset + int(column) * push.b_strides[RANK - 1];
    uint to = row * inner + column;
    for (int d = int(RANK) - 2; d > 0; d--) {
        const uint outer = row / push.dims[d];
        const int index = int(row - outer * push.dims[d]);
        at += index * push.condition_strides[d];
        from_a += index * push.a_strides[d];
        from_b += index * push.b_strides[d];
        row = outer;
    }
    if (RANK > 1) {
        at += int(row) * push.condition_strides[0];
        from_a += int(row) * push.a_strides[0];
        from_b += int(row) * push.b_strides[0];
    }
    const uint end = to + min(push.run, inner - column);
    for (; to < end; to++) {
        const LOADED first = LOADED(a[from_a]), second = LOADED(b[from_b]); // branches cost more
        y[to] = STORED(condition[at] != 0 ? first : second);
        at += push.condition_strides[RANK - 1];
        from_a += push.a_strides[RANK - 1];
        from_b += push.b_strides[RANK - 1];
    }
}
