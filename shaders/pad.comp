// One invocation = RUN neighbours of the output's innermost dimension. The output is dense in the
// order of the push block's dimensions, so an element's number is its address.
// variants: w16 w32 w64
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"

#define MODE_CONSTANT 0
#define MODE_REFLECT 1
#define MODE_EDGE 2
#define MODE_WRAP 3

layout(constant_id = 3) const uint RANK = 7;
layout(constant_id = 4) const uint MODE = MODE_CONSTANT;
layout(constant_id = 5) const uint RUN = 1;
layout(constant_id = 6) const uint HAS_VALUE = 0;

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) readonly buffer Value { STORED value[]; };
layout(binding = 2) writeonly buffer Y { STORED y[]; };

layout(push_constant) uniform Push {
    uint count, runs; // invocations, and how many of them one innermost row has
    int x_offset, value_offset;
    uint y_dims[7];
    int x_dims[7];
    int begins[7];
    int x_strides[7];
} push;

// Where output index i of dimension d comes from; -1: from outside.
int source_of(int i, uint d)
{
    const int dim = push.x_dims[d], k = i - push.begins[d];
    if (k >= 0 && k < dim)
        return k;
    if (MODE == MODE_EDGE)
        return clamp(k, 0, dim - 1);
    if (MODE == MODE_REFLECT) {
        const int period = max(2 * (dim - 1), 1), m = abs(k) % period;
        return m < dim ? m : period - m;
    }
    if (MODE == MODE_WRAP)
        return k < 0 ? dim - 1 - (-k - 1) % dim : k % dim;
    return -1;
}

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    const uint row = id / push.runs, inner = push.y_dims[RANK - 1];
    const uint start = (id - row * push.runs) * RUN;
    uint rest = row;
    int from = push.x_offset;
    bool inside = true;
    for (int d = int(RANK) - 2; d >= 0; d--) {
        const uint outer = rest / push.y_dims[d];
        const int k = source_of(int(rest - outer * push.y_dims[d]), d);
        inside = inside && k >= 0;
        from += k * push.x_strides[d];
        rest = outer;
    }
    const int to = int(row * inner), stride = push.x_strides[RANK - 1];
    const uint end = min(start + RUN, inner);
    for (uint i = start; i < end; i++) {
        const int k = source_of(int(i), RANK - 1);
        if (inside && k >= 0)
            y[to + int(i)] = x[from + k * stride];
        else if (HAS_VALUE != 0)
            y[to + int(i)] = value[push.value_offset];
        else
            y[to + int(i)] = STORED_ZERO;
    }
}
