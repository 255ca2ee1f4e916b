// One invocation = one element of a slice, of every BINS-th slice: it alone writes there, and takes the
// updates in their order, so that tuples may repeat. The output holds a copy of the data.
// variants: f32 f16 i32 u32 i64
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"

layout(constant_id = 3) const uint TUPLE = 1;
layout(constant_id = 4) const uint INDEX_WORDS = 1;
layout(constant_id = 5) const uint REDUCTION = 1;
layout(constant_id = 6) const uint WIDTH = 4;
layout(constant_id = 7) const bool IS_SIGNED = true;
layout(constant_id = 8) const uint BINS = 1;

#include "data_index.glsl"
#include "scatter.glsl"

layout(binding = 0) readonly buffer Indices { uint indices[]; };
layout(binding = 1) readonly buffer Updates { STORED updates[]; };
layout(binding = 2) buffer Y { STORED y[]; };

layout(push_constant) uniform Push {
    uint slice;     // elements
    int first, end; // of the updates
    int i_offset, u_offset;
    int dims[8];
    int strides[8]; // in slices
} push;

void main()
{
    const uint id = linear_id();
    const uint bin = id / push.slice;
    if (bin >= BINS)
        return;
    const int inside = int(id - bin * push.slice);
    for (int j = push.first; j < push.end; j++) {
        const int tuple = push.i_offset + j * int(TUPLE);
        int slice = 0;
        bool within = true; // the graph may hold any index
        for (int k = 0; k < int(TUPLE); k++) {
            const int index = index_from_end(INDEX_AT(indices, tuple + k), push.dims[k]);
            within = within && index >= 0 && index < push.dims[k];
            slice += index * push.strides[k];
        }
        if (!within || (BINS > 1 && uint(slice) % BINS != bin))
            continue;
        const int at = slice * int(push.slice) + inside;
        const int from = push.u_offset + j * int(push.slice) + inside;
        y[at] = STORED_OF(join(VALUE_OF(y[at]), VALUE_OF(updates[from])));
    }
}
