// com.microsoft: weights of 2, 4 or 8 bits with a scale for each block. They stay packed in the
// file; taking them apart is part of the graph and depends on constants alone, so it is done once.
#include "convert/builder.h"

// Numbers of fewer than 8 bits out of bytes, low bits first, into a last dimension of their own:
// [rows, bytes] becomes [rows, bytes, numbers in a byte].
static uint32_t unpack(struct builder *b, uint32_t bytes, int64_t bits)
{
    uint32_t parts[4];
    const uint32_t count = (uint32_t)(8 / bits);
    const uint32_t low = espy_build_scalar(b, ESPY_UINT8, (double)((1 << bits) - 1));
    const uint32_t end = LIST(b, -1);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t part = bytes;
        if (i > 0) {
            part = EMIT(b, "BitShift", bytes, espy_build_scalar(b, ESPY_UINT8, (double)(bits * i)));
            espy_build_set_text(b, "direction", "RIGHT");
        }
        if (i + 1 < count)
            part = EMIT(b, "BitwiseAnd", part, low);
        parts[i] = EMIT(b, "Unsqueeze", part, end);
    }
    return espy_build_concat(b, parts, count, -1);
}

static bool check_bits(struct builder *b, int64_t bits)
{
    if (bits == 2 || bits == 4 || bits == 8)
        return true;
    espy_build_refuse(b, "%lld bits are not supported, only 2, 4 and 8", (long long)bits);
    return false;
}

// ---- MatMulNBits --------------------------------------------------------------------------------

struct blocks {
    int64_t rows, columns, size, bits, count; // count: blocks of a row
};

// Packed numbers as a list of blocks: [rows * count, size].
static uint32_t block_numbers(struct builder *b, uint32_t packed, const struct blocks *s)
{
    const int64_t bytes[] = {s->rows * s->count, -1}, numbers[] = {s->rows * s->count, s->size};
    const uint32_t flat = espy_build_reshape(b, packed, bytes, 2);
    return s->bits == 8 ? flat : espy_build_reshape(b, unpack(b, flat, s->bits), numbers, 2);
}

// One zero point for every block: [rows * count]. Those of a row are packed apart from the next's.
static uint32_t zero_points(struct builder *b, uint32_t given, const struct blocks *s)
{
    const int64_t all[] = {s->rows * s->count}, bytes[] = {s->rows, -1};
    if (given == GRAPH_NONE) {
        const uint32_t middle = espy_build_scalar(b, ESPY_UINT8, (double)(1 << (s->bits - 1)));
        return EMIT(b, "Expand", middle, espy_build_list(b, all, 1));
    }
    if (s->bits == 8 || espy_build_dtype(b, given) != ESPY_UINT8)
        return espy_build_reshape(b, given, all, 1);
    const uint32_t rows = espy_build_reshape(b, given, bytes, 2);
    const uint32_t apart = espy_build_reshape(b, unpack(b, rows, s->bits), bytes, 2);
    const uint32_t used = espy_build_slice(b, apart, LIST(b, 0), LIST(b, s->count), 1);
    return espy_build_reshape(b, used, all, 1);
}

// (numbers - zero) scale, [rows * count, size]
static uint32_t dequantized_blocks(struct builder *b, uint32_t numbers, uint32_t scales,
                                   uint32_t zeros)
{
    if (espy_dtype_is_float(espy_build_dtype(b, zeros))) {
        const uint32_t end = LIST(b, -1);
        const uint32_t moved = EMIT(b, "Sub", espy_build_cast_like(b, numbers, scales),
                                    EMIT(b, "Unsqueeze", zeros, end));
        return EMIT(b, "Mul", moved, EMIT(b, "Unsqueeze", scales, end));
    }
    const uint32_t result =
        EMIT_AS(b, espy_build_dtype(b, scales), "DequantizeLinear", numbers, scales, zeros);
    espy_build_set(b, "axis", 0);
    return result;
}

static void matmul_n_bits(struct builder *b)
{
    enum { A, B, SCALES, ZEROS, GROUPS, BIAS };
    static const uint32_t exchange[] = {1, 0};
    struct blocks s = {.rows = espy_build_integer(b, "N", 0),
                       .columns = espy_build_integer(b, "K", 0),
                       .size = espy_build_integer(b, "block_size", 0),
                       .bits = espy_build_integer(b, "bits", 4)};
    espy_build_ignore(b, "accuracy_level"); // how little is enough
    if (espy_build_integer(b, "weight_prepacked", 0) != 0)
        espy_build_refuse(b, "weights packed for one kind of device are not supported");
    if (espy_build_has(b, GROUPS))
        espy_build_refuse(b, "g_idx is not supported");
    if (!check_bits(b, s.bits))
        return;
    if (s.rows <= 0 || s.columns <= 0 || s.size <= 0 || s.rows > GRAPH_DIM_MAX ||
        s.columns > GRAPH_DIM_MAX || s.size > GRAPH_DIM_MAX) {
        espy_build_refuse(b, "K, N and block_size must be positive");
        return;
    }
    s.count = (s.columns + s.size - 1) / s.size;
    const uint32_t scales =
        espy_build_reshape(b, espy_build_input(b, SCALES), (const int64_t[]){s.rows * s.count}, 1);
    const uint32_t weights =
        dequantized_blocks(b, block_numbers(b, espy_build_input(b, B), &s), scales,
                           zero_points(b, espy_build_input(b, ZEROS), &s));
    uint32_t matrix =
        espy_build_reshape(b, weights, (const int64_t[]){s.rows, s.count * s.size}, 2);
    if (s.count * s.size != s.columns) // the last block of a row is filled up
        matrix = espy_build_slice(b, matrix, LIST(b, 0), LIST(b, s.columns), 1);
    const uint32_t product =
        EMIT(b, "MatMul", espy_build_input(b, A), espy_build_transpose(b, matrix, exchange, 2));
    espy_build_result(b, 0, espy_build_plus(b, product, BIAS));
}

// ---- GatherBlockQuantized -----------------------------------------------------------------------

static uint32_t unpack_last(struct builder *b, uint32_t bytes, int64_t bits)
{
    static const int64_t keep[] = {0, 0, 0, 0, 0, 0, 0, -1};
    const int32_t rank = espy_build_rank(b, bytes);
    if (bits == 8 || rank < 1 || rank > (int32_t)(sizeof(keep) / sizeof(keep[0])))
        return bytes;
    const uint32_t count = (uint32_t)rank;
    return espy_build_reshape(b, unpack(b, bytes, bits),
                              &keep[sizeof(keep) / sizeof(keep[0]) - count], count);
}

static void gather_block_quantized(struct builder *b)
{
    enum { DATA, INDICES, SCALES, ZEROS };
    const int64_t bits = espy_build_integer(b, "bits", 4);
    const int64_t size = espy_build_integer(b, "block_size", 128);
    const int64_t gather = espy_build_integer(b, "gather_axis", 0);
    int64_t axis = espy_build_integer(b, "quantize_axis", 1);
    uint32_t data = espy_build_input(b, DATA), zeros = espy_build_input(b, ZEROS);
    const uint32_t scales = espy_build_input(b, SCALES);
    if (!check_bits(b, bits))
        return;
    if (espy_build_dtype(b, data) == ESPY_UINT8) {
        data = unpack_last(b, data, bits);
        if (zeros == GRAPH_NONE)
            zeros = EMIT(b, "Expand", espy_build_scalar(b, ESPY_UINT8, (double)(1 << (bits - 1))),
                         EMIT_AS(b, ESPY_INT64, "Shape", scales));
        else if (bits < 8) { // filled up to whole bytes at the end
            const uint32_t width = espy_build_dims(b, scales, -1, INT64_MAX);
            zeros = espy_build_slice(b, unpack_last(b, zeros, bits), LIST(b, 0), width, -1);
        }
    }
    const uint32_t inputs[] = {data, scales, zeros};
    const uint32_t table =
        espy_build_emit_as(b, espy_build_dtype(b, scales), "DequantizeLinear", inputs, 3);
    axis = axis < 0 ? axis + espy_build_rank(b, data) : axis;
    espy_build_set(b, "axis", (double)axis);
    espy_build_set(b, "block_size", (double)size);
    const uint32_t result = EMIT(b, "Gather", table, espy_build_input(b, INDICES));
    espy_build_set(b, "axis", (double)gather);
    espy_build_result(b, 0, result);
}

static const struct foreign_row rows[] = {
    {"GatherBlockQuantized", gather_block_quantized},
    {"MatMulNBits", matmul_n_bits},
};

const struct foreign_family espy_foreign_packed = {"com.microsoft", rows,
                                                   sizeof(rows) / sizeof(rows[0])};
