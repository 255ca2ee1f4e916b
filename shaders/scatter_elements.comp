// One invocation = one line along the axis: it alone writes there, and takes the updates in their
// order, so that indices may repeat. The output holds a copy of the data.
// variants: f32 f16 i32 u32 i64 w16 w32 w64
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"

layout(constant_id = 3) const uint RANK = 7;
layout(constant_id = 4) const uint INDEX_WORDS = 1;
layout(constant_id = 5) const uint REDUCTION = 0;
layout(constant_id = 6) const uint WIDTH = 4;
layout(constant_id = 7) const bool IS_SIGNED = true;

#include "data_index.glsl"
#include "scatter.glsl"

layout(binding = 0) readonly buffer Indices { uint indices[]; };
layout(binding = 1) readonly buffer Updates { STORED updates[]; };
layout(binding = 2) buffer Y { STORED y[]; };

layout(push_constant) uniform Push {
    uint count;      // lines
    int first, end;  // of the updates of a line
    int i_offset, u_offset;
    int axis_dim, i_axis_stride, y_axis_stride;
    uint dims[7];    // without the axis
    int i_strides[7]; // of indices and updates
    int y_strides[7];
} push;

void main()
{
    uint rest = linear_id();
    if (rest >= push.count)
        return;
    int line = 0, to = 0;
    for (int d = int(RANK) - 1; d >= 0; d--) {
        const uint outer = rest / push.dims[d];
        const int position = int(rest - outer * push.dims[d]);
        line += position * push.i_strides[d];
        to += position * push.y_strides[d];
        rest = outer;
    }
    for (int j = push.first; j < push.end; j++) {
        const int from = line + j * push.i_axis_stride;
        const int index =
            index_from_end(INDEX_AT(indices, push.i_offset + from), push.axis_dim);
        if (index < 0 || index >= push.axis_dim)
            continue; // the graph may hold any index; nothing outside the tensor is written
        const int at = to + index * push.y_axis_stride;
#ifdef VALUE
        y[at] = STORED_OF(join(VALUE_OF(y[at]), VALUE_OF(updates[push.u_offset + from])));
#else
        y[at] = updates[push.u_offset + from];
#endif
    }
}
