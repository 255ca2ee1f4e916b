// One invocation = a run of elements along the last dimension, in the order of the output's memory.
// variants: f32 f16 i32 u32 i64
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "integers.glsl"
#include "index.glsl"
#include "binary.glsl"

layout(constant_id = 3) const uint FUNCTION = 0;
layout(constant_id = 4) const uint RANK = 6;
layout(constant_id = 5) const uint WIDTH = 4;    // bytes of the host's element: integers wrap to it
layout(constant_id = 6) const bool IS_SIGNED = true;

layout(binding = 0) readonly buffer A { STORED a[]; };
layout(binding = 1) readonly buffer B { STORED b[]; };
layout(binding = 2) writeonly buffer Y { STORED y[]; };
layout(binding = 3) readonly buffer Operand { STORED operand[]; }; // lies as y does

layout(push_constant) uniform Push {
    uint count;  // runs in all
    uint runs;   // per row
    uint run;    // elements of one
    int a_offset, b_offset;
    float scale; // of BINARY_MEAN
    float step_a[4];
    float step_b[4];
    uint dims[6];
    int a_strides[6];
    int b_strides[6];
} push;

#if IS_FLOAT
#include "epilogue.glsl"

VALUE apply(VALUE left, VALUE right, uint to)
{
    const float other = HAS_OPERAND ? VALUE_OF(operand[to]) : 0.0;
    return epilogue(binary(FUNCTION, left, right, push.scale), other);
}
#else
#include "wrap.glsl"

bool less(VALUE left, VALUE right)
{
    return LESS(left, right, IS_SIGNED);
}

bool negative(VALUE value)
{
    return IS_SIGNED && less(value, NUMBER(0));
}

// Division by zero gives 0, and the one quotient that does not fit wraps: drivers may trap on both.
VALUE quotient(VALUE left, VALUE right)
{
    if (right == NUMBER(0))
        return NUMBER(0);
#if !defined(VARIANT_U32)
    if (IS_SIGNED && right == NUMBER(-1))
        return DIFFERENCE(NUMBER(0), left);
#endif
    return QUOTIENT(left, right, IS_SIGNED);
}

VALUE modulo(VALUE left, VALUE right)
{
    if (right == NUMBER(0))
        return NUMBER(0);
    // With left's sign.
    const VALUE rest = DIFFERENCE(left, PRODUCT_OF(quotient(left, right), right));
    if (FUNCTION == BINARY_MOD && rest != NUMBER(0) && negative(rest) != negative(right))
        return SUM(rest, right);
    return rest;
}

// A negative exponent leaves a fraction, of which only 1 and -1 have something left.
VALUE whole_power(VALUE base, VALUE exponent)
{
    const VALUE zero = NUMBER(0), one = NUMBER(1);
    if (negative(exponent)) {
        const bool odd = (exponent & one) != zero;
        if (base == one)
            return one;
        if (negative(base) && SUM(base, one) == zero)
            return odd ? base : one;
        return zero;
    }
    VALUE result = one, square = base;
    for (uint i = 0; i < 64 && exponent != zero; i++) {
        if ((exponent & one) != zero)
            result = PRODUCT_OF(result, square);
        square = PRODUCT_OF(square, square);
        exponent = SHIFT_RIGHT(exponent, one);
    }
    return result;
}

// A shift by the width or more leaves nothing; such a shift itself is undefined.
VALUE shifted(VALUE value, VALUE by)
{
    if (!less(by, NUMBER(int(8 * WIDTH))))
        return NUMBER(0);
    // Narrow unsigned integers lie in an int as positive numbers.
    return FUNCTION == BINARY_SHIFT_LEFT ? SHIFT_LEFT(value, by) : SHIFT_RIGHT(value, by);
}

VALUE combine(VALUE left, VALUE right)
{
    switch (FUNCTION) {
    case BINARY_ADD: return SUM(left, right);
    case BINARY_SUB: return DIFFERENCE(left, right);
    case BINARY_MUL: return PRODUCT_OF(left, right);
    case BINARY_DIV: return quotient(left, right);
    case BINARY_POW: return whole_power(left, right);
    case BINARY_MOD:
    case BINARY_FMOD: return modulo(left, right);
    case BINARY_MIN: return less(left, right) ? left : right;
    case BINARY_MAX: return less(left, right) ? right : left;
    case BINARY_PRELU: return negative(left) ? PRODUCT_OF(left, right) : left;
    case BINARY_SHIFT_LEFT:
    case BINARY_SHIFT_RIGHT: return shifted(left, right);
    case BINARY_BITS_AND: return left & right;
    case BINARY_BITS_OR: return left | right;
    case BINARY_BITS_XOR: return left ^ right;
    }
    return left;
}

VALUE apply(VALUE left, VALUE right, uint to)
{
    return wrap(combine(left, right));
}
#endif

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
        y[to] = STORED_OF(apply(VALUE_OF(a[from_a]), VALUE_OF(b[from_b]), to));
        from_a += push.a_strides[RANK - 1];
        from_b += push.b_strides[RANK - 1];
    }
}
