// One invocation = RUN neighbours of the output's innermost dimension. The output is dense in the
// order of the push block's dimensions, so an element's number is its address.
// variants: w16 w32 w64
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"

layout(constant_id = 3) const uint RANK = 6;
layout(constant_id = 4) const uint INDEX_WORDS = 1;
layout(constant_id = 5) const uint RUN = 1;

#include "data_index.glsl"

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) readonly buffer Lengths { uint lengths[]; };
layout(binding = 2) writeonly buffer Y { STORED y[]; };

layout(push_constant) uniform Push {
    uint count, runs; // invocations, and how many of them one innermost row has
    int x_offset, l_offset;
    int time_dim, time_stride;
    uint dims[6];
    int x_strides[6];
    int times[6];     // 1 for the time dimension, else 0
    int l_strides[6]; // of the lengths: not 0 for the batch dimension only
} push;

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    const uint row = id / push.runs, inner = push.dims[RANK - 1];
    const uint start = (id - row * push.runs) * RUN;
    uint rest = row;
    int from = push.x_offset, time = 0, length_at = push.l_offset;
    for (int d = int(RANK) - 2; d >= 0; d--) {
        const uint outer = rest / push.dims[d];
        const int position = int(rest - outer * push.dims[d]);
        from += position * push.x_strides[d];
        time += position * push.times[d];
        length_at += position * push.l_strides[d];
        rest = outer;
    }
    const int to = int(row * inner), l_stride = push.l_strides[RANK - 1];
    const uint end = min(start + RUN, inner);
    int length = 0;
    for (uint i = start; i < end; i++) {
        if (i == start || l_stride != 0) // the graph may hold any length
            length = min(INDEX_AT(lengths, length_at + int(i) * l_stride), push.time_dim);
        const int here = time + int(i) * push.times[RANK - 1];
        const int steps = here < length ? length - 1 - 2 * here : 0;
        y[to + int(i)] =
            x[from + int(i) * push.x_strides[RANK - 1] + steps * push.time_stride];
    }
}
