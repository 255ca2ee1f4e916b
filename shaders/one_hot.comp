// One invocation = one output element: the on or the off value.
// variants: w16 w32 w64
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"

// How the indices lie in memory.
#define KIND_SIGNED 0
#define KIND_UNSIGNED 1
#define KIND_F32 2
#define KIND_F16 3

layout(constant_id = 3) const uint KIND = KIND_SIGNED;
layout(constant_id = 4) const uint INDEX_WORDS = 1;

#include "data_index.glsl"
#include "param.glsl"

layout(binding = 0) readonly buffer Indices { uint indices[]; };
layout(binding = 1) readonly buffer Values { STORED values[]; };
layout(binding = 2) writeonly buffer Y { STORED y[]; };

layout(push_constant) uniform Push {
    uint count, inner;
    int depth;
    int i_offset, v_offset, v_stride;
} push;

// The class of index `at`; -1: none.
int class_at(int at)
{
    int index;
    if (KIND >= KIND_F32) {
        const float value = trunc(PARAM_AT(KIND == KIND_F16 ? PARAM_F16 : PARAM_F32, indices, at));
        if (!(abs(value) < 2147483520.0))
            return -1;
        index = int(value);
    } else {
        index = INDEX_AT(indices, at);
        // No unsigned index counts from the end, however its top bit reads.
        if (KIND == KIND_UNSIGNED && index < 0)
            return -1;
    }
    index = index_from_end(index, push.depth);
    return index >= 0 && index < push.depth ? index : -1;
}

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    const uint line = id / push.inner, outer = line / uint(push.depth);
    const int here = int(line - outer * uint(push.depth));
    const int at = int(outer * push.inner + (id - line * push.inner));
    const bool on = class_at(push.i_offset + at) == here;
    y[id] = values[push.v_offset + (on ? push.v_stride : 0)];
}
