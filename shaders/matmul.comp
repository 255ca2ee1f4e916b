// One invocation = ROWS x 4 * QUADS elements of one product of a batch; column tiles are fastest over
// the invocations. Operands have any strides, so that transposed ones cost nothing; the depth is
// walked four at a time. Output is dense.
// variants: f32 f16 i32 u32 i64
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "types.glsl"
#include "integers.glsl"
#include "vectors.glsl"
#include "index.glsl"

layout(constant_id = 3) const uint ROWS = 4;
layout(constant_id = 4) const uint QUADS = 1;
// How four neighbours are read at once: 0 not at all, 1 along a row of memory that is a row of the
// operand (A: depth, B: columns), 2 along B's depth.
layout(constant_id = 5) const uint A_MODE = 0;
layout(constant_id = 6) const uint B_MODE = 0;
layout(constant_id = 7) const uint RAGGED = 0; // 1: the depth is no multiple of four
layout(constant_id = 8) const uint HAS_C = 0;
layout(constant_id = 9) const uint STORE_VECTOR = 1; // 4: the number of columns is a multiple of it

layout(binding = 0) readonly buffer A { STORED a[]; };
layout(binding = 0) readonly buffer A4 { STORED4 a4[]; };
layout(binding = 1) readonly buffer B { STORED b[]; };
layout(binding = 1) readonly buffer B4 { STORED4 b4[]; };
layout(binding = 2) readonly buffer C { STORED c[]; };
layout(binding = 3) writeonly buffer Y { STORED y[]; };
layout(binding = 3) writeonly buffer Y4 { STORED4 y4[]; };

layout(push_constant) uniform Push {
    uint batches, rows, columns, depth;
    int a_offset, a_row, a_depth;
    int b_offset, b_depth, b_column;
    uint batch_middle, batch_inner; // batches = outer x middle x inner
    int a_batch[3];
    int b_batch[3];
    int c_offset, c_row, c_column;
    float alpha, beta;
    float step_a[4];
    float step_b[4];
} push;

#if IS_FLOAT
#include "epilogue.glsl"
#endif

#ifdef VARIANT_I64
#define ADD_SCALED(sum, factor, row)                                                               \
    [[unroll]] for (uint j = 0; j < 4; j++)                                                        \
        sum[j] = pair_sum(sum[j], pair_product(factor, row[j]))
#else
#define ADD_SCALED(sum, factor, row) sum += factor * row
#endif

int a_base, b_base;
VALUE4 sums[ROWS][QUADS];

VALUE4 load_a(uint row, uint k)
{
    const int at = a_base + int(min(row, push.rows - 1)) * push.a_row + int(k) * push.a_depth;
    if (A_MODE == 1)
        return VALUE4_OF(a4[at / 4]);
    VALUE4 value = VALUE4_ZERO;
    [[unroll]] for (uint j = 0; j < 4; j++)
        if (RAGGED == 0 || k + j < push.depth)
            value[j] = VALUE_OF(a[at + int(j) * push.a_depth]);
    return value;
}

// Four columns of B at depth k.
VALUE4 load_b(uint k, uint column)
{
    if (RAGGED != 0 && k >= push.depth)
        return VALUE4_ZERO;
    const int at = b_base + int(k) * push.b_depth;
    if (B_MODE == 1)
        return VALUE4_OF(b4[(at + int(min(column, (push.columns - 1) / 4 * 4))) / 4]);
    VALUE4 value;
    [[unroll]] for (uint j = 0; j < 4; j++)
        value[j] = VALUE_OF(b[at + int(min(column + j, push.columns - 1)) * push.b_column]);
    return value;
}

// rows[i] = four columns of B at depth k + i.
void load_b_block(uint k, uint column, out VALUE4 rows[4])
{
    if (B_MODE == 2) {
        VALUE4 columns[4];
        [[unroll]] for (uint j = 0; j < 4; j++) {
            const int at = b_base + int(k) + int(min(column + j, push.columns - 1)) * push.b_column;
            columns[j] = VALUE4_OF(b4[at / 4]);
        }
        [[unroll]] for (uint i = 0; i < 4; i++)
            rows[i] = VALUE4(columns[0][i], columns[1][i], columns[2][i], columns[3][i]);
    } else {
        [[unroll]] for (uint i = 0; i < 4; i++)
            rows[i] = load_b(k + i, column);
    }
}

VALUE finish(VALUE value, uint row, uint column)
{
#if IS_FLOAT
    value *= push.alpha;
#endif
    if (HAS_C != 0) {
        const VALUE term = VALUE_OF(c[push.c_offset + int(row) * push.c_row +
                                      int(min(column, push.columns - 1)) * push.c_column]);
#if IS_FLOAT
        value += push.beta * term;
#else
        value = SUM(value, term);
#endif
    }
#if IS_FLOAT
    value = epilogue(value);
#endif
    return value;
}

void main()
{
    const uint column_tiles = (push.columns + 4 * QUADS - 1) / (4 * QUADS);
    const uint row_tiles = (push.rows + ROWS - 1) / ROWS;
    uint rest = linear_id();
    const uint column = rest % column_tiles * 4 * QUADS;
    rest /= column_tiles;
    const uint row = rest % row_tiles * ROWS;
    const uint batch = rest / row_tiles;
    if (batch >= push.batches)
        return;
    const uint outer = batch / push.batch_inner;
    const int inner = int(batch - outer * push.batch_inner);
    const int middle = int(outer % push.batch_middle), most = int(outer / push.batch_middle);
    a_base = push.a_offset + most * push.a_batch[0] + middle * push.a_batch[1] +
             inner * push.a_batch[2];
    b_base = push.b_offset + most * push.b_batch[0] + middle * push.b_batch[1] +
             inner * push.b_batch[2];
    [[unroll]] for (uint r = 0; r < ROWS; r++)
        [[unroll]] for (uint q = 0; q < QUADS; q++)
            sums[r][q] = VALUE4_ZERO;

    for (uint k = 0; k < push.depth; k += 4) {
        VALUE4 rows[QUADS][4];
        [[unroll]] for (uint q = 0; q < QUADS; q++)
            load_b_block(k, column + 4 * q, rows[q]);
        [[unroll]] for (uint r = 0; r < ROWS; r++) {
            const VALUE4 value = load_a(row + r, k);
            [[unroll]] for (uint i = 0; i < 4; i++)
                [[unroll]] for (uint q = 0; q < QUADS; q++)
                    ADD_SCALED(sums[r][q], value[i], rows[q][i]);
        }
    }

    [[unroll]] for (uint r = 0; r < ROWS; r++) {
        if (row + r >= push.rows)
            break;
        const uint to = (batch * push.rows + row + r) * push.columns;
        [[unroll]] for (uint q = 0; q < QUADS; q++) {
            const uint from = column + 4 * q;
            VALUE4 value = sums[r][q];
            [[unroll]] for (uint j = 0; j < 4; j++)
                value[j] = finish(value[j], row + r, from + j);
            if (STORE_VECTOR == 4) {
                if (from < push.columns)
                    y4[(to + from) / 4] = STORED4_OF(value);
            } else {
                [[unroll]] for (uint j = 0; j < 4; j++)
                    if (from + j < push.columns)
                        y[to + from + j] = STORED_OF(value[j]);
            }
        }
    }
}
