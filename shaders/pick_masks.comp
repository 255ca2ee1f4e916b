// One invocation = 32 neighbouring elements: those that are not zero, as the bits of one word.
// variants: w16 w32 w64
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"

layout(constant_id = 3) const uint SIGNIFICANT = 0xffffffffu; // bits of a word that count: no sign

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) writeonly buffer Masks { uint masks[]; };

layout(push_constant) uniform Push {
    uint count, words; // elements, and words of 32 of them
    int x_offset;
} push;

#if defined(VARIANT_W64)
#define BITS(element) ((element).x | (element).y)
#elif defined(VARIANT_W16)
#define BITS(element) floatBitsToUint(float(element))
#else
#define BITS(element) (element)
#endif

void main()
{
    const uint word = linear_id();
    if (word >= push.words)
        return;
    const uint first = word * 32, length = min(32u, push.count - first);
    uint mask = 0;
    for (uint i = 0; i < length; i++)
        if ((BITS(x[push.x_offset + int(first + i)]) & SIGNIFICANT) != 0u)
            mask |= 1u << i;
    masks[word] = mask;
}
