// One invocation = one result (STAGE 0), or one part of one: STAGE 1 leaves what a part makes,
// STAGE 2 joins the parts of one result.
// variants: f32 f16 i32 u32 i64
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "integers.glsl"
#include "index.glsl"
#include "reduce_codes.glsl"

layout(constant_id = 3) const uint KIND = 0;
layout(constant_id = 4) const uint STAGE = 0;
layout(constant_id = 5) const uint RANK = 4;
layout(constant_id = 6) const uint INSIDE_RANK = 4;
layout(constant_id = 7) const uint WIDTH = 4;    // bytes of the host's integer, 0 for bool
layout(constant_id = 8) const uint NO_SIGN = 0;  // the integer has none

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) writeonly buffer Y { STORED y[]; };
layout(binding = 2) buffer Parts { VALUE parts[]; }; // one each; two for a sum of exponentials

layout(push_constant) uniform Push {
    uint rows, row_length, part_length;
    int x_offset;
    uint dims[4];
    int x_strides[4];
    int y_strides[4];
    uint inside_dims[4];
    int inside_strides[4];
    float step_a[4], step_b[4];
} push;

#include "epilogue.glsl"
#include "rows.glsl"
#include "inside.glsl"

// What some elements make. second: the sum of exp(element - first), where first is the largest.
struct Made {
    VALUE first, second;
};

bool above(VALUE a, VALUE b)
{
#if IS_FLOAT
    return a > b || isnan(a);
#else
    return LESS(b, a, NO_SIGN == 0);
#endif
}

bool below(VALUE a, VALUE b)
{
#if IS_FLOAT
    return a < b || isnan(a);
#else
    return LESS(a, b, NO_SIGN == 0);
#endif
}

#if IS_FLOAT
VALUE lowest() { return uintBitsToFloat(0xff800000u); }
VALUE highest() { return uintBitsToFloat(0x7f800000u); }
#elif defined(VARIANT_U32)
VALUE lowest() { return 0; }
VALUE highest() { return 0xffffffffu; }
#elif defined(VARIANT_I32)
VALUE lowest() { return NO_SIGN != 0 || WIDTH == 0 ? 0 : -1 << (8 * WIDTH - 1); }
VALUE highest()
{
    return WIDTH == 0 ? 1 : NO_SIGN != 0 ? (1 << 8 * WIDTH) - 1 : ~(-1 << (8 * WIDTH - 1));
}
#else
VALUE lowest() { return uvec2(0u, NO_SIGN != 0 ? 0u : 0x80000000u); }
VALUE highest() { return ~lowest(); }
#endif

Made nothing()
{
    if (KIND == REDUCE_MAX)
        return Made(lowest(), NUMBER(0));
    if (KIND == REDUCE_MIN)
        return Made(highest(), NUMBER(0));
#if IS_FLOAT
    if (KIND == REDUCE_LOG_SUM_EXP)
        return Made(-3.402823466e38, 0.0);
#endif
    return Made(NUMBER(KIND == REDUCE_PROD ? 1 : 0), NUMBER(0));
}

// One element as if it were all.
Made only(VALUE value)
{
    if (KIND == REDUCE_L2 || KIND == REDUCE_SUM_SQUARE)
        return Made(PRODUCT_OF(value, value), NUMBER(0));
#ifndef VARIANT_U32
    if (KIND == REDUCE_L1 && NO_SIGN == 0)
        return Made(LESS(value, NUMBER(0), true) ? DIFFERENCE(NUMBER(0), value) : value, NUMBER(0));
#endif
    return Made(value, NUMBER(1));
}

#if IS_FLOAT
// exp(a - b), where a is not above b. Equal infinities differ by nothing.
float decay(float a, float b)
{
    if (a == b)
        return 1.0;
    return a - b < -103.0 ? 0.0 : exp(a - b);
}
#endif

Made joined(Made a, Made b)
{
    if (KIND == REDUCE_MAX)
        return above(b.first, a.first) ? b : a;
    if (KIND == REDUCE_MIN)
        return below(b.first, a.first) ? b : a;
    if (KIND == REDUCE_PROD)
        return Made(PRODUCT_OF(a.first, b.first), a.second);
#if IS_FLOAT
    if (KIND == REDUCE_LOG_SUM_EXP) {
        if (b.first > a.first)
            return Made(b.first, a.second * decay(a.first, b.first) + b.second);
        return Made(a.first, a.second + b.second * decay(b.first, a.first));
    }
#endif
    return Made(SUM(a.first, b.first), a.second);
}

VALUE finished(Made made)
{
    if (KIND == REDUCE_MEAN) {
#if IS_FLOAT
        return made.first / float(push.row_length);
#else
        return QUOTIENT(made.first, NUMBER(int(max(push.row_length, 1))), NO_SIGN == 0);
#endif
    }
#if IS_FLOAT
    if (KIND == REDUCE_L2)
        return sqrt(made.first);
    if (KIND == REDUCE_LOG_SUM)
        return logarithm(made.first);
    if (KIND == REDUCE_LOG_SUM_EXP)
        return made.first + logarithm(made.second);
#endif
    return made.first;
}

void main()
{
    const uint id = linear_id();
    const uint part_count = (push.row_length + push.part_length - 1) / push.part_length;
    if (id >= (STAGE == 1 ? push.rows * part_count : push.rows))
        return;
    const uint row = STAGE == 1 ? id % push.rows : id;
    Made made = nothing();
    if (STAGE == 2) {
        for (uint p = 0; p < part_count; p++) {
            const uint at = row + p * push.rows;
            if (KIND == REDUCE_LOG_SUM_EXP)
                made = joined(made, Made(parts[2 * at], parts[2 * at + 1]));
            else
                made = joined(made, Made(parts[at], NUMBER(0)));
        }
    } else {
        const uint begin = STAGE == 1 ? id / push.rows * push.part_length : 0;
        const uint count = min(push.part_length, push.row_length - begin);
        Inside now = inside_at(begin);
        now.at += push.x_offset + row_start_x(row);
        for (uint i = 0; i < count; i++, inside_next(now))
            made = joined(made, only(VALUE_OF(x[now.at])));
    }
    if (STAGE != 1) {
#if IS_FLOAT
        y[row_start_y(row)] = STORED_OF(epilogue(finished(made)));
#else
        y[row_start_y(row)] = STORED_OF(finished(made));
#endif
    } else if (KIND == REDUCE_LOG_SUM_EXP) {
        parts[2 * id] = made.first;
        parts[2 * id + 1] = made.second;
    } else {
        parts[id] = made.first;
    }
}
