// One invocation = a run of elements of the innermost dimension: strided to strided, unlooked at.
// Rank and run are no specialization constants: a network has many copies, and each pipeline costs
// a software driver 20 ms.
//
// As t32, elements are vectors of four floats, whose texels software drivers read at once: where both
// views hold whole vectors.
// variants: w16 w32 w64 t32
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"

#ifdef VARIANT_T32
layout(binding = 0, rgba32f) readonly uniform imageBuffer source4;
layout(binding = 1) writeonly buffer Target { vec4 target[]; };
#define SOURCE(index) imageLoad(source4, index)
#else
layout(binding = 0) readonly buffer Source { STORED source[]; };
layout(binding = 1) writeonly buffer Target { STORED target[]; };
#define SOURCE(index) source[index]
#endif

layout(push_constant) uniform Push {
    uint count, rank, run;
    int src_offset, dst_offset;
    uint dims[8];
    int src_strides[8];
    int dst_strides[8];
} push;

void main()
{
    const uint first = linear_id() * push.run;
    if (first >= push.count)
        return;
    uint rest = first;
    int from = push.src_offset, to = push.dst_offset;
    for (int d = int(push.rank) - 1; d > 0; d--) {
        const uint outer = rest / push.dims[d];
        const int index = int(rest - outer * push.dims[d]);
        from += index * push.src_strides[d];
        to += index * push.dst_strides[d];
        rest = outer;
    }
    from += int(rest) * push.src_strides[0];
    to += int(rest) * push.dst_strides[0];
    const uint length = min(push.run, push.count - first);
    const int src_step = push.src_strides[push.rank - 1];
    const int dst_step = push.dst_strides[push.rank - 1];
    for (uint k = 0; k < length; k++) {
        target[to] = SOURCE(from);
        from += src_step;
        to += dst_step;
    }
}
