// One number of a `readonly buffer { uint words[]; }`, which holds floats of 32 bits or, where half
// is not 0, of 16.
#define THRESHOLD(words, at, half)                                                                 \
    ((half) != 0 ? unpackHalf2x16((words)[(at) / 2] >> (16 * ((at) % 2))).x                        \
                 : uintBitsToFloat((words)[at]))

// Whatever a compiler may assume of numbers.
bool isnan_bits(float x)
{
    return (floatBitsToUint(x) & 0x7fffffffu) > 0x7f800000u;
}
