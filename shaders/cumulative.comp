// One invocation = one row (STAGE 0), or one part of a row: STAGE 1 leaves the part's total,
// STAGE 2 goes on from that of the parts before. A total is a sum or a product.
// variants: f32 f16 i32 u32 i64
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "integers.glsl"
#include "index.glsl"

layout(constant_id = 3) const uint STAGE = 0;
layout(constant_id = 4) const uint RANK = 4;
layout(constant_id = 5) const uint EXCLUSIVE = 0;
layout(constant_id = 6) const uint PRODUCT = 0;

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) writeonly buffer Y { STORED y[]; };
layout(binding = 2) buffer Parts { VALUE parts[]; };

layout(push_constant) uniform Push {
    uint rows, row_length, part_length, part_count;
    int x_offset, y_offset, x_step, y_step;
    uint dims[4];
    int x_strides[4];
    int y_strides[4];
} push;

#include "rows.glsl"

VALUE joined(VALUE a, VALUE b)
{
    return PRODUCT != 0 ? PRODUCT_OF(a, b) : SUM(a, b);
}

void main()
{
    const uint id = linear_id();
    if (id >= push.rows * push.part_count)
        return;
    const uint row = STAGE == 0 ? id : id % push.rows;
    const uint part = STAGE == 0 ? 0 : id / push.rows;
    const uint begin = part * push.part_length;
    const uint end = min(begin + push.part_length, push.row_length);
    int from = push.x_offset + row_start_x(row) + int(begin) * push.x_step;
    int to = push.y_offset + row_start_y(row) + int(begin) * push.y_step;
    VALUE total = NUMBER(PRODUCT != 0 ? 1 : 0);
    if (STAGE == 2)
        for (uint p = 0; p < part; p++)
            total = joined(total, parts[row + p * push.rows]);
    for (uint i = begin; i < end; i++, from += push.x_step, to += push.y_step) {
        const VALUE before = total;
        total = joined(total, VALUE_OF(x[from]));
        if (STAGE != 1)
            y[to] = STORED_OF(EXCLUSIVE != 0 ? before : total);
    }
    if (STAGE == 1)
        parts[id] = total;
}
