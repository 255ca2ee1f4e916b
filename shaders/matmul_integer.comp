// One invocation = COLUMNS neighbouring elements of one row of a product of 8-bit integers, batches
// decoded from the index; any strides of both operands.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "index.glsl"
#include "quantize_codes.glsl"
#include "param.glsl"
#include "quantize.glsl"

layout(constant_id = 3) const uint RANK = 6; // of the batch
layout(constant_id = 4) const uint A_ZERO = PER_NOTHING;
layout(constant_id = 5) const uint B_ZERO = PER_NOTHING;
layout(constant_id = 6) const uint A_SCALE = PER_NOTHING; // then the result is the sum itself
layout(constant_id = 7) const uint B_SCALE = PER_NOTHING;
layout(constant_id = 8) const uint SCALE_KIND = PARAM_F32;
layout(constant_id = 9) const int LOW = 0; // of the output's host type
layout(constant_id = 10) const int HIGH = 255;

layout(binding = 0) readonly buffer A { int a[]; };
layout(binding = 1) readonly buffer B { int b[]; };
layout(binding = 2) readonly buffer AZero { int a_zero[]; };
layout(binding = 3) readonly buffer BZero { int b_zero[]; };
layout(binding = 4) readonly buffer AScale { uint a_scale[]; };
layout(binding = 5) readonly buffer BScale { uint b_scale[]; };
layout(binding = 6) readonly buffer YScale { uint y_scale[]; };
layout(binding = 7) readonly buffer YZero { int y_zero[]; };
layout(binding = 8) writeonly buffer Y { int y[]; };

layout(push_constant) uniform Push {
    uint count; // invocations
    uint rows, columns, depth, column_blocks;
    int a_offset, b_offset;
    int a_row, a_step, b_column, b_step; // strides
    uint dims[6];
    int a_strides[6];
    int b_strides[6];
} push;

const uint COLUMNS = 4;

uint parameter(uint kind, uint batch, uint size, uint index)
{
    return kind == PER_TENSOR ? 0 : kind == PER_INDEX ? index : batch * size + index;
}

int requantized(int sum, uint batch, uint row, uint column)
{
    const uint from_a = parameter(A_SCALE, batch, push.rows, row);
    const uint from_b = parameter(B_SCALE, batch, push.columns, column);
    precise float scale = PARAM_AT(SCALE_KIND, a_scale, int(from_a)) *
                          PARAM_AT(SCALE_KIND, b_scale, int(from_b));
    precise float value = float(sum) * exact_quotient(scale, PARAM_AT(SCALE_KIND, y_scale, 0));
    return quantized(value, y_zero[0], LOW, HIGH);
}

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    const uint strip = id / push.column_blocks;
    const uint column = (id - strip * push.column_blocks) * COLUMNS;
    const uint batch = strip / push.rows;
    const uint row = strip - batch * push.rows;
    int a_at = push.a_offset + int(row) * push.a_row, b_at = push.b_offset;
    uint rest = batch;
    for (int d = int(RANK) - 1; d >= 0; d--) {
        const uint outer = d > 0 ? rest / push.dims[d] : 0;
        const int index = int(rest - outer * push.dims[d]);
        a_at += index * push.a_strides[d];
        b_at += index * push.b_strides[d];
        rest = outer;
    }
    int a_minus = 0;
    if (A_ZERO != PER_NOTHING)
        a_minus = a_zero[parameter(A_ZERO, batch, push.rows, row)];
    ivec4 b_from, b_minus = ivec4(0), sum = ivec4(0);
    for (uint i = 0; i < COLUMNS; i++) {
        const uint at = min(column + i, push.columns - 1);
        b_from[i] = b_at + int(at) * push.b_column;
        if (B_ZERO != PER_NOTHING)
            b_minus[i] = b_zero[parameter(B_ZERO, batch, push.columns, at)];
    }
    for (uint k = 0; k < push.depth; k++) {
        const ivec4 from_b = ivec4(b[b_from.x], b[b_from.y], b[b_from.z], b[b_from.w]);
        sum += (a[a_at] - a_minus) * (from_b - b_minus);
        a_at += push.a_step;
        b_from += push.b_step;
    }
    const uint to = strip * push.columns + column;
    for (uint i = 0; i < min(COLUMNS, push.columns - column); i++)
        y[to + i] = A_SCALE == PER_NOTHING ? sum[i] : requantized(sum[i], batch, row, column + i);
}
