// One invocation = up to 8 elements of one channel, in a run along which the channel's factors
// stay.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"

layout(constant_id = 3) const uint RANK = 4;
layout(constant_id = 4) const uint RUN_INNERMOST = 0; // neighbouring elements are along the run

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) readonly buffer Factors { float factors[]; }; // mean, factor, bias of a channel
layout(binding = 2) writeonly buffer Y { STORED y[]; };

layout(push_constant) uniform Push {
    uint rows, run_length, block_count;
    int x_offset, x_step, y_step;
    uint dims[4];
    int x_strides[4];
    int y_strides[4];
    int factor_strides[4];
    float step_a[4], step_b[4];
} push;

#include "epilogue.glsl"

const uint BLOCK = 8;

void main()
{
    const uint id = linear_id();
    if (id >= push.rows * push.block_count)
        return;
    uint row = RUN_INNERMOST != 0 ? id / push.block_count : id % push.rows;
    const uint block = RUN_INNERMOST != 0 ? id - row * push.block_count : id / push.rows;
    const uint begin = block * BLOCK;
    int from = push.x_offset + int(begin) * push.x_step;
    int to = int(begin) * push.y_step;
    int channel = 0;
    for (int d = int(RANK) - 1; d >= 0; d--) {
        const uint outer = d == 0 ? 0 : row / push.dims[d];
        const int index = int(row - outer * push.dims[d]);
        from += index * push.x_strides[d];
        to += index * push.y_strides[d];
        channel += index * push.factor_strides[d];
        row = outer;
    }
    const float mean = factors[channel];
    const float factor = factors[channel + 1];
    const float bias = factors[channel + 2];
    const uint end = min(begin + BLOCK, push.run_length);
    for (uint i = begin; i < end; i++, from += push.x_step, to += push.y_step)
        y[to] = STORED_OF(epilogue((VALUE_OF(x[from]) - mean) * factor + bias));
}
