// One invocation = one input element, which goes where its index says. The output is zero before.
// variants: w16 w32
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"

layout(constant_id = 3) const uint INDEX_WORDS = 2;

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) readonly buffer Indices { uint indices[]; };
layout(binding = 2) writeonly buffer Y { STORED y[]; };

layout(push_constant) uniform Push {
    uint count, index_count; // of elements; that indices may say
    int x_offset, index_offset;
    uint dims[3];            // of the space in which indices count; the same planes as in y
    uint y_dims[3];          // not smaller
} push;

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    const uint word = (uint(push.index_offset) + id) * INDEX_WORDS;
    const uint index = indices[word];
    if (index >= push.index_count || (INDEX_WORDS > 1 && indices[word + 1] != 0))
        return;
    const uint line = index / push.dims[2], column = index - line * push.dims[2];
    const uint slice = line / push.dims[1], row = line - slice * push.dims[1];
    const uint plane = slice / push.dims[0], depth = slice - plane * push.dims[0];
    const uint to =
        ((plane * push.y_dims[0] + depth) * push.y_dims[1] + row) * push.y_dims[2] + column;
    y[to] = x[push.x_offset + int(id)];
}
