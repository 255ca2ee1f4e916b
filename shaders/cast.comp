// One invocation = a run of elements along the last dimension, in the order of the output's memory.
// variants: w16 w32 w64
// The variant is how the output lies. The input is read through words of 32 bits, however it lies,
// and 64-bit integers are two words, so that no device lacks what a conversion needs.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"
#include "cast_codes.glsl"
#include "packed.glsl"
#include "small_float.glsl"

layout(constant_id = 3) const uint FUNCTION = CAST_VALUE;
layout(constant_id = 4) const uint KIND = KIND_F32;       // of the input
layout(constant_id = 5) const uint TARGET = TARGET_FLOAT;
layout(constant_id = 6) const uint WIDTH = 32;            // of the output's host type, in bits
layout(constant_id = 7) const uint RANK = 8;
layout(constant_id = 8) const uint SIGNS = 3;             // IsInf: 1 negative, 2 positive
layout(constant_id = 9) const uint X_BITS = 32;           // of an element of the input: KIND_I32
layout(constant_id = 10) const uint X_SIGNED = 1;         // whether those extend a sign

layout(binding = 0) readonly buffer X { uint x[]; };
layout(binding = 1) writeonly buffer Y { STORED y[]; };

layout(push_constant) uniform Push {
    uint count; // runs in all
    uint runs;  // per row
    uint run;   // elements of one
    int x_offset;
    uint dims[8];
    int x_strides[8];
} push;

// An element as a float (where the input is one) or as the two words of an int64.
struct Element {
    float number;
    uint low, high;
};

const bool IS_NUMBER = KIND == KIND_F32 || KIND == KIND_F16;

Element load(int index)
{
    Element e = Element(0.0, 0, 0);
    if (KIND == KIND_F32) {
        e.number = uintBitsToFloat(x[index]);
    } else if (KIND == KIND_F16) {
        const vec2 both = unpackHalf2x16(x[index >> 1]);
        e.number = (index & 1) == 0 ? both.x : both.y;
    } else if (KIND == KIND_I64 || KIND == KIND_U64) {
        e.low = x[2 * index];
        e.high = x[2 * index + 1];
    } else {
        e.low = KIND == KIND_I32 ? uint(PACKED_AT(x, index, X_BITS, X_SIGNED != 0)) : x[index];
        e.high = KIND == KIND_I32 ? uint(int(e.low) >> 31) : 0u;
    }
    return e;
}

Element negated(Element e)
{
    e.low = ~e.low + 1u;
    e.high = ~e.high + (e.low == 0u ? 1u : 0u);
    return e;
}

// Towards zero; what an int64 cannot hold becomes the nearest that it can, NaN 0. Unsigned 64-bit
// targets reach further up. Every step is exact.
Element truncated(Element e)
{
    const float magnitude = trunc(abs(e.number));
    const bool wide = TARGET == TARGET_UNSIGNED && WIDTH == 64 && e.number > 0.0;
    if (isnan(e.number)) {
        e.low = e.high = 0u;
    } else if (magnitude >= (wide ? 18446744073709551616.0 : 9223372036854775808.0)) {
        e.low = e.number < 0.0 ? 0u : 0xffffffffu;
        e.high = e.number < 0.0 ? 0x80000000u : 0x7fffffffu;
    } else {
        const float upper = floor(magnitude * (1.0 / 4294967296.0));
        e.high = uint(upper);
        e.low = uint(magnitude - upper * 4294967296.0);
        if (e.number < 0.0)
            e = negated(e);
    }
    return e;
}

float number_of(Element e)
{
    if (IS_NUMBER)
        return e.number;
    const bool negative = KIND != KIND_U64 && int(e.high) < 0;
    if (negative)
        e = negated(e);
    const float magnitude = e.high == 0u ? float(e.low)
                                         : float(e.high) * 4294967296.0 + float(e.low);
    return negative ? -magnitude : magnitude;
}

// Keeps WIDTH bits of an integer and extends its sign.
Element wrapped(Element e)
{
    if (WIDTH < 32) {
        e.low = TARGET == TARGET_SIGNED ? uint(bitfieldExtract(int(e.low), 0, int(WIDTH)))
                                        : e.low & ((1u << (WIDTH & 31u)) - 1u);
    }
    return e;
}

bool tested(Element e)
{
    switch (FUNCTION) {
    case CAST_IS_NAN: return isnan(e.number);
    case CAST_IS_INF: return isinf(e.number) && (SIGNS & (e.number < 0.0 ? 1u : 2u)) != 0u;
    }
    // NaN is not zero.
    const bool is_true = IS_NUMBER ? !(e.number == 0.0) : (e.low | e.high) != 0u;
    return FUNCTION == CAST_NOT ? !is_true : is_true;
}

float rounded_bfloat16(float number)
{
    const uint bits = floatBitsToUint(number);
    const uint even = bits + 0x7fffu + ((bits >> 16) & 1u);
    return isnan(number) || isinf(number) ? number : uintBitsToFloat(even & 0xffff0000u);
}

void store(uint index, Element e)
{
#if defined(VARIANT_W16)
    y[index] = float16_t(number_of(e));
#else
    if (TARGET == TARGET_BOOL) {
        e.low = tested(e) ? 1u : 0u;
        e.high = 0u;
    } else if (TARGET == TARGET_FLOAT) {
        e.low = floatBitsToUint(number_of(e));
    } else if (TARGET == TARGET_BFLOAT16) {
        e.low = floatBitsToUint(rounded_bfloat16(number_of(e)));
    } else if (TARGET == TARGET_SMALL) {
        e.low = floatBitsToUint(rounded_small(number_of(e)));
    } else {
        if (IS_NUMBER)
            e = truncated(e);
        if (FUNCTION == CAST_BITWISE_NOT) {
            e.low = ~e.low;
            e.high = ~e.high;
        }
        e = wrapped(e);
    }
#if defined(VARIANT_W32)
    y[index] = e.low;
#else
    y[index] = uvec2(e.low, e.high);
#endif
#endif
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
    const uint end = to + min(push.run, inner - column);
    for (; to < end; to++) {
        store(to, load(from));
        from += push.x_strides[RANK - 1];
    }
}
