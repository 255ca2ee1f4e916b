// com.microsoft: operators between scales, computed in floats between a DequantizeLinear and a
// QuantizeLinear.
#include "convert/builder.h"

#include <string.h>

uint32_t espy_build_quantize(struct builder *b, uint32_t x, uint32_t scale, uint32_t zero,
                             espy_dtype dtype)
{
    const uint32_t inputs[] = {x, scale, zero};
    const espy_dtype type = zero == GRAPH_NONE ? dtype : espy_build_dtype(b, zero);
    const uint32_t y = espy_build_emit_as(b, type, "QuantizeLinear", inputs, 3);
    if (zero == GRAPH_NONE && dtype != ESPY_DTYPE_NONE)
        espy_build_set_text(b, "output_dtype", espy_dtype_name(dtype));
    return y;
}

// Three inputs in a row: elements, scale, zero point.
static uint32_t dequantized(struct builder *b, uint32_t first)
{
    const uint32_t inputs[] = {espy_build_input(b, first), espy_build_input(b, first + 1),
                               espy_build_input(b, first + 2)};
    return espy_build_emit_as(b, espy_build_dtype(b, inputs[1]), "DequantizeLinear", inputs, 3);
}

// The output, by the scale and zero point that two inputs give, in the type of input 0.
static void quantized_result(struct builder *b, uint32_t y, uint32_t scale, uint32_t like)
{
    espy_build_result(b, 0,
                      espy_build_quantize(b, y, espy_build_input(b, scale),
                                          espy_build_input(b, scale + 1),
                                          espy_build_dtype(b, espy_build_input(b, like))));
}

static void qlinear_binary(struct builder *b)
{
    const char *op = strcmp(b->node->op, "QLinearAdd") == 0 ? "Add" : "Mul";
    const uint32_t left = dequantized(b, 0), right = dequantized(b, 3);
    quantized_result(b, EMIT(b, op, left, right), 6, 0);
}

static void qlinear_leaky_relu(struct builder *b)
{
    const double alpha = espy_build_float(b, "alpha", 0.01);
    const uint32_t y = EMIT(b, "LeakyRelu", dequantized(b, 0));
    espy_build_set(b, "alpha", alpha);
    quantized_result(b, y, 3, 0);
}

static void qlinear_sigmoid(struct builder *b)
{
    quantized_result(b, EMIT(b, "Sigmoid", dequantized(b, 0)), 3, 0);
}

static void qlinear_softmax(struct builder *b)
{
    const bool flattens = espy_build_integer(b, "opset", 13) < 13;
    const int64_t axis = espy_build_integer(b, "axis", flattens ? 1 : -1);
    const uint32_t x = dequantized(b, 0);
    uint32_t y;
    if (flattens && axis != -1) { // all dimensions from axis on
        const uint32_t shape = EMIT_AS(b, ESPY_INT64, "Shape", x);
        const uint32_t flat = EMIT(b, "Flatten", x);
        espy_build_set(b, "axis", (double)axis);
        y = EMIT(b, "Reshape", EMIT(b, "Softmax", flat), shape);
        espy_build_set(b, "allowzero", 1);
    } else {
        y = EMIT(b, "Softmax", x);
        espy_build_set(b, "axis", (double)axis);
    }
    quantized_result(b, y, 3, 0);
}

static void qlinear_concat(struct builder *b)
{
    const int64_t axis = espy_build_integer(b, "axis", 0);
    const uint32_t count = b->node->input_count < 2 ? 0 : (b->node->input_count - 2) / 3;
    uint32_t *parts = espy_arena_array(&b->importer->scratch, count, sizeof(*parts));
    if (parts == NULL || count == 0) {
        b->status = parts == NULL ? ESPY_OUT_OF_MEMORY : b->status;
        espy_build_refuse(b, "it has no inputs");
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        parts[i] = dequantized(b, 2 + 3 * i);
    quantized_result(b, espy_build_concat(b, parts, count, axis), 0, 2);
}

static void qlinear_where(struct builder *b)
{
    const uint32_t left = dequantized(b, 1), right = dequantized(b, 4);
    quantized_result(
        b, EMIT_AS(b, espy_build_dtype(b, left), "Where", espy_build_input(b, 0), left, right), 7,
        1);
}

static void qlinear_reduce_mean(struct builder *b)
{
    int64_t axes[ESPY_RANK_MAX];
    const uint32_t count = espy_build_integers_of(b, "axes", axes, ESPY_RANK_MAX);
    const int64_t keepdims = espy_build_integer(b, "keepdims", 1);
    const uint32_t x = dequantized(b, 0);
    const uint32_t inputs[] = {x, count == 0 ? GRAPH_NONE : espy_build_list(b, axes, count)};
    const uint32_t mean = espy_build_emit(b, "ReduceMean", inputs, 2);
    espy_build_set(b, "keepdims", (double)keepdims);
    quantized_result(b, mean, 3, 0);
}

// ---- with channels last -------------------------------------------------------------------------

static void qlinear_pool(struct builder *b)
{
    const bool last = espy_build_integer(b, "channels_last", 0) != 0;
    const bool global = strcmp(b->node->op, "QLinearGlobalAveragePool") == 0;
    const uint32_t given = dequantized(b, 0);
    const uint32_t x = last ? espy_build_move_channels(b, given, false) : given;
    const uint32_t y = EMIT(b, global ? "GlobalAveragePool" : "AveragePool", x);
    espy_build_copy_attributes(b);
    quantized_result(b, last ? espy_build_move_channels(b, y, true) : y, 3, 0);
}

static void qlinear_conv(struct builder *b)
{
    const bool last = espy_build_integer(b, "channels_last", 0) != 0;
    uint32_t inputs[9];
    for (uint32_t i = 0; i < 9; i++)
        inputs[i] = espy_build_input(b, i);
    if (last)
        inputs[0] = espy_build_move_channels(b, inputs[0], false);
    const uint32_t y =
        espy_build_emit_as(b, espy_build_dtype(b, inputs[7]), "QLinearConv", inputs, 9);
    espy_build_copy_attributes(b);
    espy_build_result(b, 0, last ? espy_build_move_channels(b, y, true) : y);
}

static const struct foreign_row rows[] = {
    {"QLinearAdd", qlinear_binary},
    {"QLinearAveragePool", qlinear_pool},
    {"QLinearConcat", qlinear_concat},
    {"QLinearConv", qlinear_conv},
    {"QLinearGlobalAveragePool", qlinear_pool},
    {"QLinearLeakyRelu", qlinear_leaky_relu},
    {"QLinearMul", qlinear_binary},
    {"QLinearReduceMean", qlinear_reduce_mean},
    {"QLinearSigmoid", qlinear_sigmoid},
    {"QLinearSoftmax", qlinear_softmax},
    {"QLinearWhere", qlinear_where},
};

const struct foreign_family espy_foreign_qlinear = {"com.microsoft", rows,
                                                    sizeof(rows) / sizeof(rows[0])};
