// One invocation = one index tuple, or in the pass that clears, one slice of the tensor: finds for every
// slice the last update that goes there, counted from 1; 0: none does. That pass has the indices bound
// too, so that with constant indices both are done once, and never only the clearing.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "index.glsl"

layout(constant_id = 3) const uint TUPLE = 1;
layout(constant_id = 4) const uint INDEX_WORDS = 1;
layout(constant_id = 5) const bool CLEARS = false;

#include "data_index.glsl"

layout(binding = 0) readonly buffer Indices { uint indices[]; };
layout(binding = 1) buffer Last { uint last[]; };

layout(push_constant) uniform Push {
    uint count;
    int i_offset;
    int dims[8];
    int strides[8]; // in slices
} push;

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    if (CLEARS) {
        last[id] = 0;
        return;
    }
    const int first = push.i_offset + int(id * TUPLE);
    int slice = 0;
    for (int k = 0; k < int(TUPLE); k++) {
        const int index = index_from_end(INDEX_AT(indices, first + k), push.dims[k]);
        if (index < 0 || index >= push.dims[k])
            return; // the graph may hold any index
        slice += index * push.strides[k];
    }
    atomicMax(last[slice], id + 1);
}
