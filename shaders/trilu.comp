// One invocation = RUN neighbours of the output's innermost dimension. The output is dense in the
// order of the push block's dimensions, so an element's number is its address.
// variants: w16 w32 w64
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"

layout(constant_id = 3) const uint RANK = 8;
layout(constant_id = 4) const uint INDEX_WORDS = 1;
layout(constant_id = 5) const uint RUN = 1;
layout(constant_id = 6) const bool UPPER = true;
layout(constant_id = 7) const bool HAS_K = false;

#include "data_index.glsl"

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) readonly buffer K { uint k[]; };
layout(binding = 2) writeonly buffer Y { STORED y[]; };

layout(push_constant) uniform Push {
    uint count, runs; // invocations, and how many of them one innermost row has
    int x_offset, k_offset;
    uint dims[8];
    int x_strides[8];
    int diagonals[8]; // 1 for columns, -1 for rows: their sum is the diagonal that an element is on
} push;

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    const uint row = id / push.runs, inner = push.dims[RANK - 1];
    const uint start = (id - row * push.runs) * RUN;
    uint rest = row;
    int from = push.x_offset, diagonal = 0;
    for (int d = int(RANK) - 2; d >= 0; d--) {
        const uint outer = rest / push.dims[d];
        const int position = int(rest - outer * push.dims[d]);
        from += position * push.x_strides[d];
        diagonal += position * push.diagonals[d];
        rest = outer;
    }
    int limit = 0;
    if (HAS_K)
        limit = INDEX_AT(k, push.k_offset);
    const int to = int(row * inner);
    const uint end = min(start + RUN, inner);
    for (uint i = start; i < end; i++) {
        const int here = diagonal + int(i) * push.diagonals[RANK - 1];
        if (UPPER ? here >= limit : here <= limit)
            y[to + int(i)] = x[from + int(i) * push.x_strides[RANK - 1]];
        else
            y[to + int(i)] = STORED_ZERO;
    }
}
