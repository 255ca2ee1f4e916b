// Rounding floats to integers as every device must: what runtime/ops/quantize.h says in C.

// a * b = result.x + result.y exactly, whether or not the device has a fused multiply-add (Dekker).
vec2 exact_product(float a, float b)
{
    precise float split = 4097.0 * a;
    precise float a_high = split - (split - a);
    precise float a_low = a - a_high;
    split = 4097.0 * b;
    precise float b_high = split - (split - b);
    precise float b_low = b - b_high;
    precise float high = a * b;
    precise float low = ((a_high * b_high - high) + a_high * b_low + a_low * b_high) + a_low * b_low;
    return vec2(high, low);
}

// a / b rounded as IEEE says, where the quotient is small enough for rounding to an integer to
// matter; the division of a device may be off by several units in the last place.
float exact_quotient(float a, float b)
{
    precise float quotient = a / b;
    if (!(abs(quotient) < 1048576.0) || !(abs(b) < 1e34) || !(abs(b) > 1e-25) || a == 0.0)
        return quotient;
    const vec2 product = exact_product(quotient, b);
    precise float rest = (a - product.x) - product.y;
    precise float result = quotient + rest / b;
    return result;
}

// Drops the last bits of a float's mantissa, rounding to the nearest even: 13 leave the precision
// of float16, 16 that of bfloat16, 0 changes nothing.
float rounded_mantissa(float value, uint dropped)
{
    if (dropped == 0 || isnan(value) || isinf(value))
        return value;
    const uint bits = floatBitsToUint(value);
    const uint half_unit = (1u << (dropped - 1u)) - 1u;
    return uintBitsToFloat((bits + half_unit + ((bits >> dropped) & 1u)) & ~((1u << dropped) - 1u));
}

// To the nearest even integer, plus zero, saturated. NaN counts as 0.
int quantized(float value, int zero, int low, int high)
{
    const float whole = isnan(value) ? 0.0 : clamp(roundEven(value), -1048576.0, 1048576.0);
    return clamp(int(whole) + zero, low, high);
}
