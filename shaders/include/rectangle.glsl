// Rectangles as left, top, right, bottom, and whether one overlaps another by too much, to the last
// bit as the reference has it. Include it after threshold.glsl.
float least_of(float a, float b) // NaN is passed over
{
    return isnan_bits(a) ? b : isnan_bits(b) ? a : min(a, b);
}

float most_of(float a, float b)
{
    return isnan_bits(a) ? b : isnan_bits(b) ? a : max(a, b);
}

// Whether a / b, rounded to the nearest float, is above the threshold: all are positive. Devices
// may divide less exactly, so quotients close to it are multiplied out.
bool quotient_above(float a, float b, float threshold)
{
    const float quotient = a / b;
    const uvec3 bits = floatBitsToUint(vec3(a, b, threshold)), exponents = bits >> 23;
    const int shift = int(exponents.x) - int(exponents.y) - int(exponents.z) + 151;
    const bool close = abs(quotient - threshold) <= threshold * 1e-6;
    if (!close || any(equal(exponents, uvec3(0u))) || shift < 16 || shift > 31)
        return quotient > threshold;
    const uvec3 digits = (bits & 0x7fffffu) | 0x800000u;
    uint high, low; // (threshold + half of its last digit) * b
    umulExtended(2u * digits.z + 1u, digits.y, high, low);
    const uint a_high = digits.x >> (32 - shift), a_low = digits.x << shift;
    if (a_high == high && a_low == low) // half way: to the even one
        return (digits.z & 1u) != 0u;
    return a_high > high || (a_high == high && a_low > low);
}

float area_of(vec4 r)
{
    precise const float width = r.z - r.x, height = r.w - r.y, area = width * height;
    return area;
}

bool overlaps(vec4 a, vec4 b, float threshold)
{
    precise const float width = min(a.z, b.z) - max(a.x, b.x);
    precise const float height = min(a.w, b.w) - max(a.y, b.y);
    precise const float area_a = area_of(a), area_b = area_of(b), both = area_a + area_b;
    if (width > 0.0 && height > 0.0 && area_a > 0.0 && area_b > 0.0) {
        precise const float shared_area = width * height, either = both - shared_area;
        return threshold > 0.0 ? quotient_above(shared_area, either, threshold)
                               : shared_area / either > threshold;
    }
    return false;
}
