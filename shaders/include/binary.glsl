// Functions of two floats. `function` is a specialization constant wherever this is called, so that
// the driver's compiler keeps one branch.
#include "binary_codes.glsl"

// GLSL's pow is undefined for negative and zero bases. Small whole exponents are multiplied out,
// which is also exact where pow goes through logarithms.
float power(float base, float exponent)
{
    if (exponent == 2.0)
        return base * base;
    if (exponent == trunc(exponent) && abs(exponent) <= 64.0) {
        float result = 1.0, square = base;
        for (uint bits = uint(abs(exponent)); bits != 0; bits >>= 1) {
            if ((bits & 1u) != 0)
                result *= square;
            square *= square;
        }
        return exponent < 0.0 ? 1.0 / result : result;
    }
    const float magnitude = abs(base);
    if (base == 1.0 || (magnitude == 1.0 && isinf(exponent)))
        return 1.0;
    if (isnan(base) || isnan(exponent))
        return base + exponent;
    if (base < 0.0 && !isinf(base) && exponent != trunc(exponent))
        return intBitsToFloat(0x7fc00000);
    const bool grows = (magnitude > 1.0) == (exponent > 0.0);
    float result;
    if (magnitude == 0.0 || isinf(magnitude) || isinf(exponent))
        result = grows ? intBitsToFloat(0x7f800000) : 0.0;
    else
        result = pow(magnitude, exponent);
    // Whole exponents from 2^24 on are even.
    const bool odd = exponent == trunc(exponent) && abs(exponent) < 16777216.0 &&
                     (int(exponent) & 1) != 0;
    return base < 0.0 && odd ? -result : result;
}

// C's fmod, exactly: long division by shifted divisors, each subtraction of which is exact. Floats
// span SHIFTS_MAX doublings; a device that flushes subnormal numbers to zero would not stop by itself.
const uint SHIFTS_MAX = 278;

float remainder_of(float a, float b)
{
    const float divisor = abs(b);
    float rest = abs(a);
    if (isnan(a) || isnan(b) || isinf(a) || divisor == 0.0)
        return intBitsToFloat(0x7fc00000);
    if (isinf(b))
        return a;
    float shifted = divisor;
    for (uint i = 0; i < SHIFTS_MAX && shifted <= 0.5 * rest; i++)
        shifted *= 2.0;
    for (uint i = 0; i <= SHIFTS_MAX && shifted >= divisor; i++) {
        if (rest >= shifted)
            rest -= shifted;
        shifted *= 0.5;
    }
    return a < 0.0 ? -rest : rest;
}

float binary(const uint function, float a, float b, float scale)
{
    switch (function) {
    case BINARY_ADD: return a + b;
    case BINARY_SUB: return a - b;
    case BINARY_MUL: return a * b;
    case BINARY_DIV: return a / b;
    case BINARY_POW: return power(a, b);
    case BINARY_FMOD: return remainder_of(a, b);
    case BINARY_MIN: return a < b || isnan(a) ? a : b; // NaN wins, as in numpy
    case BINARY_MAX: return a > b || isnan(a) ? a : b;
    case BINARY_MEAN: return (a + b) * scale;
    case BINARY_PRELU: return a < 0.0 ? a * b : a;
    }
    return a;
}
