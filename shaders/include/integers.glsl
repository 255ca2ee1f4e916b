// Arithmetic on VALUE that reads alike for one word and for the pair of words, low first, of a 64-bit
// integer. Pairs need nothing of a device, and would gain little from the few 64-bit units there are:
// what tensors of int64 hold are indices. Include after types.glsl.
#if defined(VARIANT_I64)
#define NUMBER(n) pair_number(n)
#define SUM(a, b) pair_sum(a, b)
#define DIFFERENCE(a, b) pair_difference(a, b)
#define PRODUCT_OF(a, b) pair_product(a, b)
#define QUOTIENT(a, b, is_signed) pair_quotient(a, b, is_signed)
#define LESS(a, b, is_signed) pair_less(a, b, is_signed)
#define SHIFT_LEFT(a, by) pair_shift_left(a, (by).x)
#define SHIFT_RIGHT(a, by) pair_shift_right(a, (by).x)

uvec2 pair_number(int n)
{
    return uvec2(uint(n), uint(n >> 31));
}

uvec2 pair_sum(uvec2 a, uvec2 b)
{
    const uint low = a.x + b.x;
    return uvec2(low, a.y + b.y + (low < a.x ? 1u : 0u));
}

uvec2 pair_difference(uvec2 a, uvec2 b)
{
    return uvec2(a.x - b.x, a.y - b.y - (a.x < b.x ? 1u : 0u));
}

uvec2 pair_product(uvec2 a, uvec2 b)
{
    uint high, low;
    umulExtended(a.x, b.x, high, low);
    return uvec2(low, high + a.x * b.y + a.y * b.x);
}

bool pair_less(uvec2 a, uvec2 b, bool is_signed)
{
    const uint sign = is_signed ? 0x80000000u : 0u;
    return (a.y ^ sign) < (b.y ^ sign) || (a.y == b.y && a.x < b.x);
}

// By less than 64.
uvec2 pair_shift_left(uvec2 a, uint by)
{
    if (by >= 32u)
        return uvec2(0u, a.x << (by - 32u));
    return by == 0u ? a : uvec2(a.x << by, (a.y << by) | (a.x >> (32u - by)));
}

uvec2 pair_shift_right(uvec2 a, uint by)
{
    if (by >= 32u)
        return uvec2(a.y >> (by - 32u), 0u);
    return by == 0u ? a : uvec2((a.x >> by) | (a.y << (32u - by)), a.y >> by);
}

// Long division, a bit at a time where words do not do. b is not zero.
uvec2 pair_unsigned_quotient(uvec2 a, uvec2 b)
{
    if ((a.y | b.y) == 0u)
        return uvec2(a.x / b.x, 0u);
    uvec2 rest = uvec2(0u), quotient = uvec2(0u);
    for (uint i = 0; i < 64; i++) {
        const bool carry = (rest.y >> 31) != 0u;
        rest = pair_shift_left(rest, 1u);
        rest.x |= a.y >> 31;
        a = pair_shift_left(a, 1u);
        quotient = pair_shift_left(quotient, 1u);
        if (carry || !pair_less(rest, b, false)) {
            rest = pair_difference(rest, b);
            quotient.x |= 1u;
        }
    }
    return quotient;
}

// Towards zero; the one quotient that does not fit wraps. b is not zero.
uvec2 pair_quotient(uvec2 a, uvec2 b, bool is_signed)
{
    const bool a_negative = is_signed && int(a.y) < 0, b_negative = is_signed && int(b.y) < 0;
    const uvec2 quotient =
        pair_unsigned_quotient(a_negative ? pair_difference(uvec2(0u), a) : a,
                               b_negative ? pair_difference(uvec2(0u), b) : b);
    return a_negative != b_negative ? pair_difference(uvec2(0u), quotient) : quotient;
}
#else
#define NUMBER(n) VALUE(n)
#define SUM(a, b) ((a) + (b))
#define DIFFERENCE(a, b) ((a) - (b))
#define PRODUCT_OF(a, b) ((a) * (b))
#define QUOTIENT(a, b, is_signed) ((a) / (b))
#define LESS(a, b, is_signed) ((a) < (b))
#define SHIFT_LEFT(a, by) ((a) << (by))
#define SHIFT_RIGHT(a, by) ((a) >> (by))
#endif
