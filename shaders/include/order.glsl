// Elements of any type as keys of unsigned words in the same order, so that every comparison has an
// answer: NaN is above all numbers, and both zeros are equal. Include after types.glsl; the variant
// w64 stands for 64-bit integers, which need no 64-bit arithmetic here. NO_SIGN: the integers have
// none.
#if defined(VARIANT_W64)
#define KEY uvec2 // high word, low word
#define ELEMENT uvec2
#else
#define KEY uint
#define ELEMENT VALUE
#endif

// With reverse the order is that of the negated elements; nan_first: except that NaN stays above.
KEY key_of(ELEMENT element, bool reverse, bool nan_first)
{
#if defined(VARIANT_W64)
    const uvec2 key = uvec2(NO_SIGN != 0 ? element.y : element.y ^ 0x80000000u, element.x);
    return reverse ? ~key : key;
#else
#if IS_FLOAT
    const uint bits = floatBitsToUint(element);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return reverse && !nan_first ? 0 : 0xffffffffu;
    const bool zero = (bits & 0x7fffffffu) == 0;
    const uint key = zero ? 0x80000000u : (bits >> 31) != 0 ? ~bits : bits | 0x80000000u;
#elif defined(VARIANT_U32)
    const uint key = element;
#else
    const uint key = uint(element) ^ 0x80000000u;
#endif
    return reverse ? ~key : key;
#endif
}

bool key_above(KEY a, KEY b)
{
#if defined(VARIANT_W64)
    return a.x > b.x || (a.x == b.x && a.y > b.y);
#else
    return a > b;
#endif
}
