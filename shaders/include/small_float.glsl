// Rounds a float to the nearest that a smaller float of some form can hold; ties go to even. The
// form is given by the specialization constants 20 to 24.
#include "small_float_codes.glsl"

layout(constant_id = 20) const uint SMALL_SPECIAL = SMALL_IEEE;
layout(constant_id = 21) const uint SMALL_MANTISSA_BITS = 2;
layout(constant_id = 22) const int SMALL_EXPONENT_MIN = -14; // of numbers not subnormal
layout(constant_id = 23) const uint SMALL_LARGEST = 0x47600000u; // bits of a float
layout(constant_id = 24) const uint SMALL_SATURATE = 1;

const uint SMALL_INFINITY = 0x7f800000u, SMALL_NAN = 0x7fc00000u;

float power_of_two(int exponent) // that a float has without subnormals
{
    return uintBitsToFloat(uint(exponent + 127) << 23);
}

float rounded_small(float x)
{
    const uint bits = floatBitsToUint(x), sign = bits & 0x80000000u;
    uint magnitude = bits & 0x7fffffffu;
    if (magnitude > SMALL_INFINITY)
        return SMALL_SPECIAL == SMALL_FINITE ? uintBitsToFloat(SMALL_LARGEST) : x;
    if (magnitude < 0x4a000000u) { // above is far beyond the range of any
        const int exponent = max(int(magnitude >> 23) - 127, SMALL_EXPONENT_MIN);
        const int unit = exponent - int(SMALL_MANTISSA_BITS);
        const float units = roundEven(uintBitsToFloat(magnitude) * power_of_two(-unit));
        magnitude = floatBitsToUint(units * power_of_two(unit));
    }
    if (magnitude > SMALL_LARGEST) {
        if (SMALL_SATURATE != 0 || SMALL_SPECIAL == SMALL_FINITE)
            magnitude = SMALL_LARGEST;
        else
            magnitude = SMALL_SPECIAL == SMALL_IEEE ? SMALL_INFINITY : SMALL_NAN;
    }
    if (magnitude == 0 && SMALL_SPECIAL == SMALL_NAN_FOR_MINUS_ZERO)
        return 0.0;
    return uintBitsToFloat(sign | magnitude);
}
