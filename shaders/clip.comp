// One invocation = a run of elements along the last dimension, in the order of the output's memory.
// variants: f32 f16 i32 u32 i64
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "integers.glsl"
#include "index.glsl"

// Where a limit comes from.
#define ABSENT 0
#define PUSHED 1
#define IN_MEMORY 2

layout(constant_id = 3) const uint LOW_FROM = ABSENT;
layout(constant_id = 4) const uint HIGH_FROM = ABSENT;
layout(constant_id = 5) const uint RANK = 8;
layout(constant_id = 6) const bool IS_SIGNED = true;

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) readonly buffer Low { STORED low_limit[]; };
layout(binding = 2) readonly buffer High { STORED high_limit[]; };
layout(binding = 3) writeonly buffer Y { STORED y[]; };

layout(push_constant) uniform Push {
    uint count; // runs in all
    uint runs;  // per row
    uint run;   // elements of one
    int x_offset, low_offset, high_offset;
    uint low[2]; // as the words of a float or an integer
    uint high[2];
    uint dims[8];
    int x_strides[8];
} push;

VALUE pushed(uint first, uint second)
{
#if IS_FLOAT
    return uintBitsToFloat(first);
#elif defined(VARIANT_I64)
    return uvec2(first, second);
#else
    return VALUE(first);
#endif
}

bool less(VALUE left, VALUE right)
{
    return LESS(left, right, IS_SIGNED);
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
    int from = push.x_offset + int(column) * push.x_strides[RANK - 1];
    uint to = row * inner + column;
    for (int d = int(RANK) - 2; d > 0; d--) {
        const uint outer = row / push.dims[d];
        from += int(row - outer * push.dims[d]) * push.x_strides[d];
        row = outer;
    }
    if (RANK > 1)
        from += int(row) * push.x_strides[0];
    VALUE low = pushed(push.low[0], push.low[1]), high = pushed(push.high[0], push.high[1]);
    if (LOW_FROM == IN_MEMORY)
        low = VALUE_OF(low_limit[push.low_offset]);
    if (HIGH_FROM == IN_MEMORY)
        high = VALUE_OF(high_limit[push.high_offset]);
    const uint end = to + min(push.run, inner - column);
    for (; to < end; to++) {
        VALUE value = VALUE_OF(x[from]);
        if (LOW_FROM != ABSENT && less(value, low)) // NaN stays
            value = low;
        if (HIGH_FROM != ABSENT && less(high, value))
            value = high;
        y[to] = STORED_OF(value);
        from += push.x_strides[RANK - 1];
    }
}
