// com.microsoft: products of 8-bit integers, summed as integers, and other arithmetic of integers.
#include "convert/builder.h"

#include <string.h>

// ---- products -----------------------------------------------------------------------------------

// The integer sums times all scales, plus a bias.
static uint32_t scaled_sums(struct builder *b, uint32_t sums, uint32_t a_scale, uint32_t b_scale)
{
    return EMIT(b, "Mul", espy_build_cast_like(b, sums, b_scale), EMIT(b, "Mul", a_scale, b_scale));
}

static void dynamic_quantize_matmul(struct builder *b)
{
    enum { A, B, B_SCALE, B_ZERO, BIAS };
    const uint32_t input = espy_build_input(b, A);
    uint32_t quantized[3]; // elements, scale, zero point
    espy_build_emit_many(b, "DynamicQuantizeLinear", &input, 1, quantized, 3);
    for (uint32_t i = 0; i < 3 && b->status == ESPY_OK; i += 2)
        b->status = espy_import_note(b->importer, quantized[i], ESPY_UINT8, true);
    const uint32_t inputs[] = {quantized[0], espy_build_input(b, B), quantized[2],
                               espy_build_input(b, B_ZERO)};
    const uint32_t sums = espy_build_emit_as(b, ESPY_INT32, "MatMulInteger", inputs, 4);
    const uint32_t product = scaled_sums(b, sums, quantized[1], espy_build_input(b, B_SCALE));
    espy_build_result(b, 0, espy_build_plus(b, product, BIAS));
}

static void matmul_integer_to_float(struct builder *b)
{
    enum { A, B, A_SCALE, B_SCALE, A_ZERO, B_ZERO, BIAS };
    const uint32_t inputs[] = {espy_build_input(b, A), espy_build_input(b, B),
                               espy_build_input(b, A_ZERO), espy_build_input(b, B_ZERO)};
    const uint32_t sums = espy_build_emit_as(b, ESPY_INT32, "MatMulInteger", inputs, 4);
    const uint32_t product =
        scaled_sums(b, sums, espy_build_input(b, A_SCALE), espy_build_input(b, B_SCALE));
    espy_build_result(b, 0, espy_build_plus(b, product, BIAS));
}

// C is in the scale of the sums, so it is added to them.
static void quantized_gemm(struct builder *b)
{
    enum { A, A_SCALE, A_ZERO, B, B_SCALE, B_ZERO, C, Y_SCALE, Y_ZERO };
    static const uint32_t exchange[] = {1, 0};
    const bool transpose_a = espy_build_integer(b, "transA", 0) != 0;
    const bool transpose_b = espy_build_integer(b, "transB", 0) != 0;
    const double alpha = espy_build_float(b, "alpha", 1);
    const uint32_t left = espy_build_input(b, A), right = espy_build_input(b, B);
    const uint32_t inputs[] = {transpose_a ? espy_build_transpose(b, left, exchange, 2) : left,
                               transpose_b ? espy_build_transpose(b, right, exchange, 2) : right,
                               espy_build_input(b, A_ZERO), espy_build_input(b, B_ZERO)};
    uint32_t sums = espy_build_emit_as(b, ESPY_INT32, "MatMulInteger", inputs, 4);
    sums = espy_build_plus(b, sums, C);
    uint32_t y = scaled_sums(b, sums, espy_build_input(b, A_SCALE), espy_build_input(b, B_SCALE));
    if (alpha != 1)
        y = EMIT(b, "Mul", y, espy_build_number(b, y, alpha));
    if (espy_build_has(b, Y_SCALE))
        y = espy_build_quantize(b, y, espy_build_input(b, Y_SCALE), espy_build_input(b, Y_ZERO),
                                espy_build_dtype(b, left));
    espy_build_result(b, 0, y);
}

// ---- integers that stay integers ----------------------------------------------------------------

static uint32_t whole(struct builder *b, uint32_t input, uint32_t zero)
{
    const uint32_t x = espy_build_cast(b, espy_build_input(b, input), ESPY_INT32);
    return espy_build_has(b, zero)
               ? EMIT(b, "Sub", x, espy_build_cast(b, espy_build_input(b, zero), ESPY_INT32))
               : x;
}

static void mul_integer(struct builder *b)
{
    const uint32_t left = whole(b, 0, 1), right = whole(b, 2, 3);
    espy_build_result(b, 0, EMIT(b, "Mul", left, right));
}

static void matmul_integer_16(struct builder *b)
{
    const uint32_t left = whole(b, 0, UINT32_MAX), right = whole(b, 1, UINT32_MAX);
    espy_build_result(b, 0, EMIT(b, "MatMul", left, right));
}

static void reduce_sum_integer(struct builder *b)
{
    int64_t axes[ESPY_RANK_MAX];
    const uint32_t count = espy_build_integers_of(b, "axes", axes, ESPY_RANK_MAX);
    const int64_t keepdims = espy_build_integer(b, "keepdims", 1);
    const uint32_t inputs[] = {whole(b, 0, UINT32_MAX),
                               count == 0 ? GRAPH_NONE : espy_build_list(b, axes, count)};
    const uint32_t sum = espy_build_emit(b, "ReduceSum", inputs, 2);
    espy_build_set(b, "keepdims", (double)keepdims);
    espy_build_result(b, 0, sum);
}

// ---- recurrence ---------------------------------------------------------------------------------

// A weight [direction, input, gate] by its scales, for a direction or for a gate in it, as ONNX's
// [direction, gate, input].
static uint32_t gate_weights(struct builder *b, uint32_t weight, uint32_t scale)
{
    static const uint32_t exchange[] = {0, 2, 1};
    const uint32_t scales = espy_build_input(b, scale), zeros = espy_build_input(b, scale + 1);
    const uint32_t numbers = espy_build_cast_like(b, espy_build_input(b, weight), scales);
    const uint32_t middle = espy_build_cast_like(b, zeros, scales);
    // [direction] or [direction, gate]
    static const int64_t each[] = {0, 1, -1};
    const uint32_t moved = zeros == GRAPH_NONE
                               ? numbers
                               : EMIT(b, "Sub", numbers, espy_build_reshape(b, middle, each, 3));
    return espy_build_transpose(b, EMIT(b, "Mul", moved, espy_build_reshape(b, scales, each, 3)),
                                exchange, 3);
}

// What quantizes its input as it goes is computed by floats, from the weights that there are.
static void dynamic_quantize_lstm(struct builder *b)
{
    enum { X, W, R, BIAS, LENGTHS, H, C, P, W_SCALE, W_ZERO, R_SCALE };
    const uint32_t inputs[] = {espy_build_input(b, X),       gate_weights(b, W, W_SCALE),
                               gate_weights(b, R, R_SCALE),  espy_build_input(b, BIAS),
                               espy_build_input(b, LENGTHS), espy_build_input(b, H),
                               espy_build_input(b, C),       espy_build_input(b, P)};
    uint32_t outputs[3];
    espy_build_emit_many(b, "LSTM", inputs, 8, outputs, 3);
    espy_build_copy_attributes(b);
    for (uint32_t i = 0; i < 3; i++)
        espy_build_result(b, i, outputs[i]);
}

// ---- scales of their own domain -----------------------------------------------------------------

// As ONNX's, but that the axis has no default: scales of one dimension go with an axis that is
// said, or with a list of one element for all.
static void linear(struct builder *b)
{
    espy_build_rename(b, b->node->op);
}

static const struct foreign_row rows[] = {
    {"DequantizeLinear", linear},
    {"DynamicQuantizeLSTM", dynamic_quantize_lstm},
    {"DynamicQuantizeMatMul", dynamic_quantize_matmul},
    {"MatMulInteger16", matmul_integer_16},
    {"MatMulIntegerToFloat", matmul_integer_to_float},
    {"MulInteger", mul_integer},
    {"QGemm", quantized_gemm},
    {"QuantizeLinear", linear},
    {"ReduceSumInteger", reduce_sum_integer},
};

const struct foreign_family espy_foreign_quantized = {"com.microsoft", rows,
                                                      sizeof(rows) / sizeof(rows[0])};
