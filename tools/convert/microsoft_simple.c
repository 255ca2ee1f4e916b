// com.microsoft: activations with a bias, and operators that ONNX has under another name or form.
#include "convert/builder.h"

#include <string.h>

// ---- activations --------------------------------------------------------------------------------

static uint32_t gelu(struct builder *b, uint32_t x, bool by_tanh)
{
    const uint32_t result = EMIT(b, "Gelu", x);
    if (by_tanh)
        espy_build_set_text(b, "approximate", "tanh");
    return result;
}

static void exact_gelu(struct builder *b)
{
    espy_build_result(b, 0, gelu(b, espy_build_plus(b, espy_build_input(b, 0), 1), false));
}

static void fast_gelu(struct builder *b)
{
    espy_build_result(b, 0, gelu(b, espy_build_plus(b, espy_build_input(b, 0), 1), true));
}

// x sigmoid(alpha x)
static void quick_gelu(struct builder *b)
{
    const double alpha = espy_build_float(b, "alpha", 1.702);
    const uint32_t result = EMIT(b, "Swish", espy_build_input(b, 0));
    espy_build_set(b, "alpha", alpha);
    espy_build_result(b, 0, result);
}

// The first half of the channels times gelu of the second.
static void bias_split_gelu(struct builder *b)
{
    const uint32_t sum = espy_build_plus(b, espy_build_input(b, 0), 1);
    uint32_t halves[2];
    espy_build_emit_many(b, "Split", &sum, 1, halves, 2);
    espy_build_set(b, "num_outputs", 2);
    espy_build_set(b, "axis", -1);
    espy_build_result(b, 0, EMIT(b, "Mul", halves[0], gelu(b, halves[1], false)));
}

static void bias_add(struct builder *b)
{
    const uint32_t sum = espy_build_plus(b, espy_build_input(b, 0), 1);
    espy_build_result(b, 0, espy_build_plus(b, sum, 2));
}

// In a trained network nothing is dropped: data + bias + residual, and a mask that is all true.
static void bias_dropout(struct builder *b)
{
    const uint32_t mode = espy_build_input(b, 4);
    if (mode != GRAPH_NONE) {
        const struct graph_value *value = &b->importer->graph->values[mode];
        if (value->data == NULL || ((const unsigned char *)value->data)[0] != 0)
            espy_build_refuse(b, "training mode is not supported");
    }
    espy_build_ignore(b, "seed");
    const uint32_t sum = espy_build_plus(b, espy_build_input(b, 0), 1);
    espy_build_result(b, 0, espy_build_plus(b, sum, 2));
    if (!espy_build_wants(b, 1))
        return;
    const uint32_t shape = EMIT_AS(b, ESPY_INT64, "Shape", sum);
    const uint32_t mask = EMIT_AS(b, ESPY_BOOL, "ConstantOfShape", shape);
    espy_build_set(b, "value", 1);
    espy_build_set_text(b, "dtype", espy_dtype_name(ESPY_BOOL));
    espy_build_result(b, 1, mask);
}

// Softmax over all dimensions from axis on, as ONNX's was up to opset 12.
static void bias_softmax(struct builder *b)
{
    const int64_t axis = espy_build_integer(b, "axis", 1);
    espy_build_ignore(b, "is_inner_broadcast"); // the bias has dimensions of 1 where it repeats
    const uint32_t sum = espy_build_plus(b, espy_build_input(b, 0), 1);
    const uint32_t shape = EMIT_AS(b, ESPY_INT64, "Shape", sum);
    const uint32_t flat = EMIT(b, "Flatten", sum);
    espy_build_set(b, "axis", (double)axis);
    const uint32_t soft = EMIT(b, "Softmax", flat);
    espy_build_set(b, "axis", 1);
    const uint32_t result = EMIT(b, "Reshape", soft, shape);
    espy_build_set(b, "allowzero", 1);
    espy_build_result(b, 0, result);
}

// ---- the same in ONNX ---------------------------------------------------------------------------

static void same(struct builder *b)
{
    espy_build_rename(b, b->node->op);
}

// The step may be left out.
static void range(struct builder *b)
{
    const uint32_t start = espy_build_input(b, 0);
    const uint32_t step =
        espy_build_has(b, 2) ? espy_build_input(b, 2) : espy_build_number(b, start, 1);
    espy_build_result(b, 0, EMIT(b, "Range", start, espy_build_input(b, 1), step));
}

static void grid_sample(struct builder *b)
{
    const char *mode = espy_build_string(b, "mode", "bilinear");
    const uint32_t result = EMIT(b, "GridSample", espy_build_input(b, 0), espy_build_input(b, 1));
    espy_build_copy_attributes(b);
    espy_build_set_text(b, "mode",
                        strcmp(mode, "bilinear") == 0  ? "linear"
                        : strcmp(mode, "bicubic") == 0 ? "cubic"
                                                       : mode);
    espy_build_result(b, 0, result);
}

// A list of one int64 from a scalar or list of any integers.
static uint32_t index_list(struct builder *b, uint32_t value)
{
    return EMIT(b, "Reshape", espy_build_cast(b, value, ESPY_INT64), LIST(b, -1));
}

static void expand_dims(struct builder *b)
{
    espy_build_result(
        b, 0, EMIT(b, "Unsqueeze", espy_build_input(b, 0), index_list(b, espy_build_input(b, 1))));
}

static void pad(struct builder *b)
{
    const char *mode = espy_build_string(b, "mode", "constant");
    const uint32_t value =
        espy_build_has(b, 2) ? EMIT(b, "Reshape", espy_build_input(b, 2), LIST(b, -1)) : GRAPH_NONE;
    const uint32_t inputs[] = {espy_build_input(b, 0), index_list(b, espy_build_input(b, 1)),
                               value == GRAPH_NONE ? GRAPH_NONE : espy_build_pick(b, value, 0, 0)};
    const uint32_t result = espy_build_emit(b, "Pad", inputs, 3);
    espy_build_set_text(b, "mode", mode);
    espy_build_result(b, 0, result);
}

// In the order in which they come first; the second output is ONNX's third.
static void unique(struct builder *b)
{
    uint32_t outputs[4];
    const uint32_t input = espy_build_input(b, 0);
    espy_build_emit_many(b, "Unique", &input, 1, outputs, 4);
    espy_build_set(b, "sorted", 0);
    for (uint32_t i = 1; i < 4 && b->status == ESPY_OK; i++)
        b->status = espy_import_note(b->importer, outputs[i], ESPY_INT64, true);
    espy_build_result(b, 0, outputs[0]);
    espy_build_result(b, 1, outputs[2]);
    espy_build_result(b, 2, outputs[3]);
}

static void conv_transpose_dynamic_pads(struct builder *b)
{
    const uint32_t pads = espy_build_input(b, 2);
    double numbers[2 * ESPY_RANK_MAX];
    const uint32_t inputs[] = {espy_build_input(b, 0), espy_build_input(b, 1),
                               espy_build_input(b, 3)};
    const struct graph_value *value = pads == GRAPH_NONE ? NULL : &b->importer->graph->values[pads];
    const size_t count = value == NULL || value->data == NULL || value->dtype != ESPY_INT64
                             ? 0
                             : value->data_size / sizeof(int64_t);
    if (pads != GRAPH_NONE && (count == 0 || count > 2 * ESPY_RANK_MAX))
        espy_build_refuse(b, "pads that are not constant are not supported");
    for (size_t i = 0; i < count && b->status == ESPY_OK; i++) {
        int64_t number;
        memcpy(&number, (const unsigned char *)value->data + i * sizeof(number), sizeof(number));
        numbers[i] = (double)number;
    }
    const uint32_t result = espy_build_emit(b, "ConvTranspose", inputs, 3);
    espy_build_copy_attributes(b);
    if (count > 0)
        espy_build_set_list(b, "pads", numbers, (uint32_t)count);
    espy_build_result(b, 0, result);
}

static void torch_embedding(struct builder *b)
{
    espy_build_result(b, 0, EMIT(b, "Gather", espy_build_input(b, 0), espy_build_input(b, 1)));
}

// Distances between all rows of two matrices, by |a|² + |b|² - 2 a b.
static void cdist(struct builder *b)
{
    const bool root = strcmp(espy_build_string(b, "metric", "sqeuclidean"), "euclidean") == 0;
    const uint32_t order[] = {1, 0};
    const uint32_t left = espy_build_input(b, 0), right = espy_build_input(b, 1);
    const uint32_t row = EMIT(b, "ReduceSumSquare", left, LIST(b, 1));
    const uint32_t column = EMIT(b, "ReduceSumSquare", right, LIST(b, 1));
    const uint32_t sums = EMIT(b, "Add", row, espy_build_transpose(b, column, order, 2));
    const uint32_t product = EMIT(b, "MatMul", left, espy_build_transpose(b, right, order, 2));
    const uint32_t twice = EMIT(b, "Mul", product, espy_build_number(b, left, 2));
    // Rounding must not make it negative, under the root least of all.
    const uint32_t squares = EMIT(b, "Relu", EMIT(b, "Sub", sums, twice));
    espy_build_result(b, 0, root ? EMIT(b, "Sqrt", squares) : squares);
}

static const struct foreign_row rows[] = {
    {"BiasAdd", bias_add},
    {"BiasDropout", bias_dropout},
    {"BiasGelu", exact_gelu},
    {"BiasSoftmax", bias_softmax},
    {"BiasSplitGelu", bias_split_gelu},
    {"CDist", cdist},
    {"ConvTransposeWithDynamicPads", conv_transpose_dynamic_pads},
    {"ExpandDims", expand_dims},
    {"FastGelu", fast_gelu},
    {"GatherND", same},
    {"Gelu", exact_gelu},
    {"GridSample", grid_sample},
    {"Pad", pad},
    {"QuickGelu", quick_gelu},
    {"Range", range},
    {"TorchEmbedding", torch_embedding},
    {"Trilu", same},
    {"Unique", unique},
};

const struct foreign_family espy_foreign_simple = {"com.microsoft", rows,
                                                   sizeof(rows) / sizeof(rows[0])};
