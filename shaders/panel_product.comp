// One workgroup = one subgroup = PIXELS rows x LANES * COLS columns of one product of a batch, both
// operands read where they lie; panels of columns are fastest over the workgroups.
//
// For CPU drivers, like panel.comp, which multiplies with weights that were packed before.
// variants: f32 t32
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "read4.glsl"
#include "index.glsl"
#include "panel.glsl"
#include "panel_product_codes.glsl"
#include "decay.glsl"

// A's rows can be read four at a time; past the depth they go on with zeros.
layout(constant_id = 6) const uint A_VECTOR = 0;
layout(constant_id = 7) const uint B_MODE = PRODUCT_B_ANY;
layout(constant_id = 8) const uint RAGGED = 0; // 1: the depth is no multiple of four
layout(constant_id = 9) const uint HAS_C = 0;
layout(constant_id = 10) const uint STORE_VECTOR = 1; // 4: rows of the output hold whole vectors
layout(constant_id = 11) const uint FILL = 0; // 1: the last vector's missing columns are -infinity
layout(constant_id = 12) const uint C_COLUMN = 1; // C's step from a column to the next

// Of attention; stats has each row's largest score, and one over the sum of the exponentials.
layout(constant_id = 13) const uint SOFTMAX = PRODUCT_SOFTMAX_NONE;

READ4(0, a4);
READ(1, a);
READ4(2, b4);
READ(3, b);
READ(4, c);
READ(6, stats);
layout(binding = 5) writeonly buffer Y { float y[]; };
layout(binding = 5) writeonly buffer Y4 { vec4 y4[]; };

layout(push_constant) uniform Push {
    uint batches, batch_inner; // batches = outer x inner
    uint rows, columns, depth;
    int a_offset, a_row, a_depth, b_offset, b_depth, b_column, c_offset, c_row;
    int y_offset, y_row;
    int a_batch[2], b_batch[2], c_batch[2], y_batch[2]; // outer, inner
    float alpha;
    float step_a[4];
    float step_b[4];
} push;

#include "epilogue.glsl"

int a_rows[READS], b_base, b_columns[COLS];
float a_highest[READS];

int batch_offset(ivec2 place, int strides[2])
{
    return place.x * strides[0] + place.y * strides[1];
}

vec4 read_a(uint r, uint quad)
{
    if (A_VECTOR != 0) {
        const vec4 read = AT4(a4, a_rows[r] + int(quad));
        return SOFTMAX == PRODUCT_SOFTMAX_OF_A ? decay(read - a_highest[r]) : read;
    }
    vec4 value;
    [[unroll]] for (uint k = 0; k < 4; k++) {
        const uint at = RAGGED != 0 ? min(4 * quad + k, push.depth - 1) : 4 * quad + k;
        const float read = AT(a, a_rows[r] + int(at) * push.a_depth);
        value[k] = RAGGED != 0 && 4 * quad + k >= push.depth ? 0.0 : read;
    }
    return value;
}

// Four elements down each of the lane's columns; zeros past the depth, as B may hold infinities.
void read_b(uint quad, out vec4 weights[COLS])
{
    if (B_MODE == PRODUCT_B_DEPTH) {
        [[unroll]] for (uint col = 0; col < COLS; col++)
            weights[col] = AT4(b4, b_columns[col] + int(quad));
        return;
    }
    [[unroll]] for (uint k = 0; k < 4; k++) {
        const uint at = RAGGED != 0 ? min(4 * quad + k, push.depth - 1) : 4 * quad + k;
        const bool outside = RAGGED != 0 && 4 * quad + k >= push.depth;
        const int row = b_base + int(at) * push.b_depth;
        if (B_MODE == PRODUCT_B_COLUMNS) {
            const vec4 read = AT4(b4, (row + b_columns[0]) >> 2);
            [[unroll]] for (uint col = 0; col < COLS; col++)
                weights[col][k] = outside ? 0.0 : read[col];
        } else {
            [[unroll]] for (uint col = 0; col < COLS; col++) {
                const float read = AT(b, row + b_columns[col]);
                weights[col][k] = outside ? 0.0 : read;
            }
        }
    }
}

// row: the largest of the row, and what scales its weights.
float finish(uint p, uint col, uint column, int c_at, vec2 row)
{
    float value = sums[p][col] * (SOFTMAX == PRODUCT_SOFTMAX_OF_A ? row.y : push.alpha);
    if (HAS_C != 0)
        value += AT(c, c_at + int(min(column, push.columns - 1)) * int(C_COLUMN));
    if (SOFTMAX == PRODUCT_SOFTMAX_OF_Y)
        return decay(vec4(value - row.x)).x * row.y;
    value = epilogue(value);
    return FILL != 0 && column >= push.columns ? uintBitsToFloat(0xff800000u) : value;
}

void store(uint p, uint column, int c_at, int y_at, vec2 row)
{
    float values[COLS];
    [[unroll]] for (uint col = 0; col < COLS; col++)
        values[col] = finish(p, col, column + col, c_at, row);
    if (STORE_VECTOR == 4) {
        if (column < push.columns)
            y4[(y_at + int(column)) >> 2] =
                vec4(values[0], values[1 % COLS], values[2 % COLS], values[3 % COLS]);
    } else {
        const uint end = FILL != 0 ? (push.columns + 3) & ~3u : push.columns;
        [[unroll]] for (uint col = 0; col < COLS; col++)
            if (column + col < end)
                y[y_at + int(column + col)] = values[col];
    }
}

void main()
{
    const uint width = LANES * COLS;
    const uint panels = (push.columns + width - 1) / width, tiles = (push.rows + PIXELS - 1) / PIXELS;
    const uint id = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    const uint block = id / panels, batch = block / tiles;
    if (batch >= push.batches)
        return;
    const uint first = (block - batch * tiles) * PIXELS;
    const uint column = ((id - block * panels) * LANES + gl_SubgroupInvocationID) * COLS;
    const uint outer = batch / push.batch_inner;
    const ivec2 place = ivec2(outer, batch - outer * push.batch_inner);

    const int a_base = push.a_offset + batch_offset(place, push.a_batch);
    b_base = push.b_offset + batch_offset(place, push.b_batch);
    [[unroll]] for (uint r = 0; r < READS; r++) {
        // Rows past the end repeat the last one and are not stored.
        const uint row = min(first + r * LANES + gl_SubgroupInvocationID, push.rows - 1);
        a_rows[r] = a_base + int(row) * push.a_row;
        if (SOFTMAX == PRODUCT_SOFTMAX_OF_A)
            a_highest[r] = AT(stats, int(2 * (batch * push.rows + row)));
        if (A_VECTOR != 0)
            a_rows[r] >>= 2;
    }
    [[unroll]] for (uint col = 0; col < COLS; col++) {
        const uint last = B_MODE == PRODUCT_B_COLUMNS ? (push.columns - 1) & ~3u : push.columns - 1;
        b_columns[col] = int(min(column + col, last)) * push.b_column;
        if (B_MODE == PRODUCT_B_DEPTH)
            b_columns[col] = (b_base + b_columns[col]) >> 2;
    }
    [[unroll]] for (uint p = 0; p < PIXELS; p++)
        [[unroll]] for (uint col = 0; col < COLS; col++)
            sums[p][col] = 0.0;

    const uint quads = (push.depth + 3) / 4;
    for (uint quad = 0; quad < quads; quad++) {
        vec4 rows[READS], weights[COLS];
        [[unroll]] for (uint r = 0; r < READS; r++)
            rows[r] = read_a(r, quad);
        read_b(quad, weights);
        panel_add(rows, weights);
    }

    int c_at = push.c_offset + batch_offset(place, push.c_batch) + int(first) * push.c_row;
    int y_at = push.y_offset + batch_offset(place, push.y_batch) + int(first) * push.y_row;
    [[unroll]] for (uint p = 0; p < PIXELS; p++) {
        if (first + p < push.rows) {
            const int at = int(2 * (batch * push.rows + first + p));
            vec2 row = vec2(0.0);
            if (SOFTMAX != PRODUCT_SOFTMAX_NONE)
                row = vec2(AT(stats, at), AT(stats, at + 1));
            store(p, column, c_at, y_at, row);
        }
        c_at += push.c_row;
        y_at += push.y_row;
    }
}
