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

#include "data_index.glsl"

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) readonly buffer Indices { uint indices[]; };
layout(binding = 2) writeonly buffer Y { STORED y[]; };

layout(push_constant) uniform Push {
    uint count, runs; // invocations, and how many of them one innermost row has
    int x_offset, i_offset;
    int axis_dim, axis_stride;
    uint dims[8];
    int x_strides[8]; // 0 where an index says where
    int i_strides[8];
} push;

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    const uint row = id / push.runs, inner = push.dims[RANK - 1];
    const uint start = (id - row * push.runs) * RUN;
    uint rest = row;
    int from = push.x_offset, index_at = push.i_offset;
    for (int d = int(RANK) - 2; d >= 0; d--) {
        const uint outer = rest / push.dims[d];
        const int position = int(rest - outer * push.dims[d]);
        from += position * push.x_strides[d];
        index_at += position * push.i_strides[d];
        rest = outer;
    }
    const int to = int(row * inner);
    const int x_stride = push.x_strides[RANK - 1], i_stride = push.i_strides[RANK - 1];
    const uint end = min(start + RUN, inner);
    int index = 0;
    for (uint i = start; i < end; i++) {
        if (i == start || i_stride != 0) {
            index = INDEX_AT(indices, index_at + int(i) * i_stride);
            // The graph may hold any index; nothing outside the tensor is read.
            index = clamp(index_from_end(index, push.axis_dim), 0, push.axis_dim - 1);
        }
        y[to + int(i)] = x[from + int(i) * x_stride + index * push.axis_stride];
    }
}
