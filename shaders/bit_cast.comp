// One invocation = one element; an integer of 8 or 16 bits, widened as another type of that width is.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "bit_cast_codes.glsl"
#include "index.glsl"

layout(constant_id = 3) const uint RANK = 8;
layout(constant_id = 4) const uint WIDENING = BIT_CAST_ZEROS;
layout(constant_id = 5) const uint WIDTH = 8;

layout(binding = 0) readonly buffer X { uint x[]; };
layout(binding = 1) writeonly buffer Y { uint y[]; };

layout(push_constant) uniform Push {
    uint count;
    int x_offset;
    uint dims[8];
    int x_strides[8];
    int y_strides[8];
} push;

void main()
{
    uint rest = linear_id();
    if (rest >= push.count)
        return;
    int from = push.x_offset, to = 0;
    for (int d = int(RANK) - 1; d >= 0; d--) {
        const uint outer = d > 0 ? rest / push.dims[d] : 0;
        const int index = int(rest - outer * push.dims[d]);
        from += index * push.x_strides[d];
        to += index * push.y_strides[d];
        rest = outer;
    }
    const uint bits = bitfieldExtract(x[from], 0, int(WIDTH));
    if (WIDENING == BIT_CAST_BOOL)
        y[to] = min(bits, 1u);
    else if (WIDENING == BIT_CAST_SIGN)
        y[to] = uint(bitfieldExtract(int(bits), 0, int(WIDTH)));
    else
        y[to] = bits;
}
