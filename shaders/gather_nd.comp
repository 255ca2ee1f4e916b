// One invocation = RUN neighbours of one slice that an index tuple names. Everything is dense.
// variants: w16 w32 w64
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"

layout(constant_id = 3) const uint TUPLE = 1;
layout(constant_id = 4) const uint INDEX_WORDS = 1;
layout(constant_id = 5) const uint RUN = 1;

#include "data_index.glsl"

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) readonly buffer Indices { uint indices[]; };
layout(binding = 2) writeonly buffer Y { STORED y[]; };

layout(push_constant) uniform Push {
    uint count, runs;  // invocations, and how many of them one slice has
    uint slice;        // elements
    uint batch_tuples; // of one batch
    int x_offset, i_offset, batch_stride;
    int dims[8];
    int strides[8];
} push;

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    const uint tuple = id / push.runs, start = (id - tuple * push.runs) * RUN;
    int from = push.x_offset + int(tuple / push.batch_tuples) * push.batch_stride;
    const int first = push.i_offset + int(tuple * TUPLE);
    for (int k = 0; k < int(TUPLE); k++) {
        const int index = index_from_end(INDEX_AT(indices, first + k), push.dims[k]);
        // The graph may hold any index; nothing outside the tensor is read.
        from += clamp(index, 0, push.dims[k] - 1) * push.strides[k];
    }
    const uint to = tuple * push.slice, end = min(start + RUN, push.slice);
    for (uint i = start; i < end; i++)
        y[to + i] = x[from + int(i)];
}
