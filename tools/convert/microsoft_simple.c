// com.microsoft: activations with a bias, and operators that ONNX has under another name or form.
#include "convert/builder.h"

#include <string.h>

// ---- activations
// -----------------------------------------------------------------------------------------------

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

// ---- the same in ONNX
// ------------------------------------------------------------------------------------------

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

// ---- Fourier transforms
// ----------------------------------------------------------------------------------------

static uint32_t transform(struct builder *b, uint32_t x, int64_t axis, bool inverse, bool half)
{
    const uint32_t inputs[] = {x, GRAPH_NONE, espy_build_scalar(b, ESPY_INT64, (double)axis)};
    const uint32_t result = espy_build_emit(b, "DFT", inputs, 3);
    espy_build_set(b, "inverse", inverse);
    espy_build_set(b, "onesided", half);
    return result;
}

static int64_t signal_dims(struct builder *b)
{
    const int64_t count = espy_build_integer(b, "signal_ndim", 1);
    if (espy_build_integer(b, "normalized", 0) != 0 || espy_build_integer(b, "onesided", 1) != 1 ||
        count < 1 || count > 3)
        espy_build_refuse(b, "only onesided, not normalized transforms of 1 to 3 dimensions are "
                             "supported");
    return count;
}

// The last dimension of the signal by halves, then the others whole.
static void rfft(struct builder *b)
{
    const int64_t count = signal_dims(b);
    uint32_t x = EMIT(b, "Unsqueeze", espy_build_input(b, 0), LIST(b, -1));
    x = transform(b, x, -2, false, true);
    for (int64_t i = 1; i < count; i++)
        x = transform(b, x, -2 - i, false, false);
    espy_build_result(b, 0, x);
}

static void irfft(struct builder *b)
{
    const int64_t count = signal_dims(b);
    uint32_t x = espy_build_input(b, 0);
    for (int64_t i = count - 1; i > 0; i--)
        x = transform(b, x, -2 - i, true, false);
    x = transform(b, x, -2, true, true);
    espy_build_result(b, 0, EMIT(b, "Squeeze", x, LIST(b, -1)));
}

// Products of numbers that have a real and an imaginary part in the last dimension.
static void complex_mul(struct builder *b)
{
    const bool conjugate = strcmp(b->node->op, "ComplexMulConj") == 0;
    uint32_t left[2], right[2];
    for (int64_t i = 0; i < 2; i++) {
        left[i] = espy_build_pick(b, espy_build_input(b, 0), i, -1);
        right[i] = espy_build_pick(b, espy_build_input(b, 1), i, -1);
    }
    const uint32_t same = EMIT(b, "Mul", left[0], right[0]);
    const uint32_t other = EMIT(b, "Mul", left[1], right[1]);
    const uint32_t first = EMIT(b, "Mul", left[1], right[0]);
    const uint32_t second = EMIT(b, "Mul", left[0], right[1]);
    const uint32_t end = LIST(b, -1);
    const uint32_t real = EMIT(b, conjugate ? "Add" : "Sub", same, other);
    const uint32_t imaginary = EMIT(b, conjugate ? "Sub" : "Add", first, second);
    const uint32_t parts[] = {EMIT(b, "Unsqueeze", real, end),
                              EMIT(b, "Unsqueeze", imaginary, end)};
    espy_build_result(b, 0, espy_build_concat(b, parts, 2, -1));
}

// ---- CropAndResize
// ---------------------------------------------------------------------------------------------

// Where the samples of each box lie along one axis, 0 to 1 from the first pixel's centre to the
// last one's: [boxes, count]. One sample lies in the middle.
static uint32_t box_places(struct builder *b, uint32_t boxes, int64_t axis, uint32_t count)
{
    const uint32_t first = EMIT(b, "Unsqueeze", espy_build_pick(b, boxes, axis, 1), LIST(b, 1));
    const uint32_t last = EMIT(b, "Unsqueeze", espy_build_pick(b, boxes, axis + 2, 1), LIST(b, 1));
    const uint32_t zero = espy_build_scalar(b, ESPY_INT64, 0);
    const uint32_t one = espy_build_scalar(b, ESPY_INT64, 1);
    const uint32_t steps = espy_build_cast_like(b, EMIT(b, "Range", zero, count, one), boxes);
    const uint32_t gaps =
        espy_build_cast_like(b, EMIT(b, "Max", EMIT(b, "Sub", count, one), one), boxes);
    const uint32_t single = EMIT_AS(b, ESPY_BOOL, "Equal", count, one);
    const uint32_t part = EMIT_AS(b, espy_build_dtype(b, boxes), "Where", single,
                                  espy_build_number(b, boxes, 0.5), EMIT(b, "Div", steps, gaps));
    return EMIT(b, "Add", first, EMIT(b, "Mul", EMIT(b, "Sub", last, first), part));
}

// From places to what GridSample reads: bilinear between centres, or the centre of the pixel that
// is nearest, where halves go up.
static uint32_t grid_axis(struct builder *b, uint32_t places, uint32_t size, bool nearest)
{
    const uint32_t one = espy_build_number(b, places, 1), two = espy_build_number(b, places, 2);
    if (!nearest)
        return EMIT(b, "Sub", EMIT(b, "Mul", places, two), one);
    const uint32_t length = espy_build_cast_like(b, size, places);
    const uint32_t pixels = EMIT(b, "Mul", places, EMIT(b, "Sub", length, one));
    const uint32_t whole =
        EMIT(b, "Floor", EMIT(b, "Add", pixels, espy_build_number(b, places, 0.5)));
    const uint32_t middle = EMIT(b, "Add", EMIT(b, "Mul", whole, two), one);
    return EMIT(b, "Sub", EMIT(b, "Div", middle, length), one);
}

static uint32_t inside(struct builder *b, uint32_t places)
{
    return EMIT_AS(b, ESPY_BOOL, "And",
                   EMIT_AS(b, ESPY_BOOL, "GreaterOrEqual", places, espy_build_number(b, places, 0)),
                   EMIT_AS(b, ESPY_BOOL, "LessOrEqual", places, espy_build_number(b, places, 1)));
}

static void crop_and_resize(struct builder *b)
{
    const bool nearest = strcmp(espy_build_string(b, "mode", "bilinear"), "nearest") == 0;
    const double outside = espy_build_float(b, "extrapolation_value", 0);
    const uint32_t x = espy_build_input(b, 0), boxes = espy_build_input(b, 1);
    const uint32_t size = espy_build_cast(b, espy_build_input(b, 3), ESPY_INT64);
    const uint32_t pictures = EMIT(b, "Gather", x, espy_build_input(b, 2));
    const uint32_t height = espy_build_pick(b, size, 0, 0), width = espy_build_pick(b, size, 1, 0);
    const uint32_t y_places = EMIT(b, "Unsqueeze", box_places(b, boxes, 0, height), LIST(b, 2));
    const uint32_t x_places = EMIT(b, "Unsqueeze", box_places(b, boxes, 1, width), LIST(b, 1));
    const uint32_t rows = grid_axis(b, y_places, espy_build_dims(b, x, 2, 3), nearest);
    const uint32_t columns = grid_axis(b, x_places, espy_build_dims(b, x, 3, 4), nearest);
    const uint32_t none = EMIT(b, "Mul", EMIT(b, "Add", rows, columns),
                               espy_build_number(b, boxes, 0)); // [boxes, height, width]
    const uint32_t parts[] = {EMIT(b, "Unsqueeze", EMIT(b, "Add", columns, none), LIST(b, -1)),
                              EMIT(b, "Unsqueeze", EMIT(b, "Add", rows, none), LIST(b, -1))};
    const uint32_t sampled = EMIT(b, "GridSample", pictures, espy_build_concat(b, parts, 2, -1));
    espy_build_set_text(b, "mode", nearest ? "nearest" : "linear");
    espy_build_set_text(b, "padding_mode", "border");
    espy_build_set(b, "align_corners", nearest ? 0 : 1);
    const uint32_t seen = EMIT_AS(b, ESPY_BOOL, "And", inside(b, y_places), inside(b, x_places));
    espy_build_result(b, 0,
                      EMIT_AS(b, espy_build_dtype(b, x), "Where",
                              EMIT_AS(b, ESPY_BOOL, "Unsqueeze", seen, LIST(b, 1)), sampled,
                              espy_build_number(b, x, outside)));
}

static const struct foreign_row rows[] = {
    {"BiasAdd", bias_add},
    {"BiasDropout", bias_dropout},
    {"BiasGelu", exact_gelu},
    {"BiasSoftmax", bias_softmax},
    {"BiasSplitGelu", bias_split_gelu},
    {"CDist", cdist},
    {"ComplexMul", complex_mul},
    {"ComplexMulConj", complex_mul},
    {"ConvTransposeWithDynamicPads", conv_transpose_dynamic_pads},
    {"CropAndResize", crop_and_resize},
    {"ExpandDims", expand_dims},
    {"FastGelu", fast_gelu},
    {"GatherND", same},
    {"Gelu", exact_gelu},
    {"GridSample", grid_sample},
    {"Irfft", irfft},
    {"Pad", pad},
    {"QuickGelu", quick_gelu},
    {"Range", range},
    {"Rfft", rfft},
    {"TorchEmbedding", torch_embedding},
    {"Trilu", same},
    {"Unique", unique},
};

const struct foreign_family espy_foreign_simple = {"com.microsoft", rows,
                                                   sizeof(rows) / sizeof(rows[0])};
