// One invocation = a run of elements of the innermost dimension; any strides, which a dense tensor
// collapses to one dimension.
// variants: f32 f16 i32 u32 i64
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "integers.glsl"
#include "index.glsl"
#include "unary.glsl"

layout(constant_id = 3) const uint FUNCTION = 0;
layout(constant_id = 4) const uint RANK = 8;
layout(constant_id = 5) const uint WIDTH = 4; // bytes of the host's element: integers wrap to it

layout(constant_id = 6) const uint RUN = 1;

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) writeonly buffer Y { STORED y[]; };

layout(push_constant) uniform Push {
    uint count;
    float a, b;
    int x_offset;
    uint dims[8];
    int x_strides[8];
    int y_strides[8];
} push;

VALUE apply(VALUE value)
{
#if IS_FLOAT
    return unary(FUNCTION, value, push.a, push.b);
#elif defined(VARIANT_U32)
    return FUNCTION == UNARY_SIGN ? min(value, 1u) : value;
#else
    const VALUE zero = NUMBER(0);
    const bool negative = LESS(value, zero, WIDTH == 8); // of 64 bits, those with a sign have 8 bytes
    switch (FUNCTION) {
    case UNARY_ABS: return negative ? DIFFERENCE(zero, value) : value;
    case UNARY_NEG: return DIFFERENCE(zero, value);
    case UNARY_RELU: return negative ? zero : value;
    case UNARY_SIGN: return NUMBER(negative ? -1 : value == zero ? 0 : 1);
    }
    return value;
#endif
}

void main()
{
    const uint first = linear_id() * RUN;
    if (first >= push.count)
        return;
    uint rest = first;
    int from = push.x_offset, to = 0;
    for (int d = int(RANK) - 1; d > 0; d--) {
        const uint outer = rest / push.dims[d];
        const int index = int(rest - outer * push.dims[d]);
        from += index * push.x_strides[d];
        to += index * push.y_strides[d];
        rest = outer;
    }
    from += int(rest) * push.x_strides[0];
    to += int(rest) * push.y_strides[0];
    const uint length = min(RUN, push.count - first);
    for (uint k = 0; k < length; k++) {
        VALUE value = apply(VALUE_OF(x[from]));
#ifdef VARIANT_I32
        if (WIDTH < 4)
            value = bitfieldExtract(value, 0, int(8 * WIDTH));
#endif
        y[to] = STORED_OF(value);
        from += push.x_strides[RANK - 1];
        to += push.y_strides[RANK - 1];
    }
}
