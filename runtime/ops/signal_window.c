// HannWindow, HammingWindow, BlackmanWindow and MelWeightMatrix: tables for signal processing, made
// from a few numbers. They depend on no data, so they are computed on the host and have no kernel.
#include <math.h>
#include <string.h>

#include "op/op.h"

struct table_attrs {
    espy_dtype output_datatype;
    bool periodic;
};

static const double pi = 3.14159265358979323846;

// ---- windows ------------------------------------------------------------------------------------

// The window is w[0] + w[1] cos(x) + w[2] cos(2x).
static void window_weights(const char *op, double w[3])
{
    static const double hann[3] = {0.5, -0.5, 0}, blackman[3] = {0.42, -0.5, 0.08};
    static const double hamming[3] = {25.0 / 46, -21.0 / 46, 0};
    memcpy(w,
           strcmp(op, "HannWindow") == 0      ? hann
           : strcmp(op, "HammingWindow") == 0 ? hamming
                                              : blackman,
           3 * sizeof(*w));
}

// Input i as one integer. value stays NULL where it is not known.
static espy_status read_integer(struct op_infer *c, uint32_t i, const struct tensor **value)
{
    const espy_dtype dtype = c->inputs[i].dtype;
    size_t count = 0;
    if (dtype != ESPY_INT32 && dtype != ESPY_INT64)
        return espy_infer_fail(c, "input %u is %s, needs int32 or int64", i,
                               espy_dtype_name(dtype));
    if (!espy_shape_count(&c->inputs[i].shape, &count) || count != 1)
        return espy_infer_fail(c, "input %u is not one number", i);
    *value = espy_infer_value(c, i);
    return ESPY_OK;
}

static espy_status infer_window(struct op_infer *c)
{
    const struct table_attrs *attrs = c->attrs;
    const struct tensor *size = NULL;
    TRY(read_integer(c, 0, &size));
    if (size == NULL)
        return espy_infer_wait(c);
    const int64_t length = espy_tensor_integer(size, 0);
    if (length < 0 || length > GRAPH_DIM_MAX)
        return espy_infer_fail(c, "a window of %lld elements", (long long)length);
    c->outputs[0] = (struct op_type){attrs->output_datatype, {1, {length}}};
    return ESPY_OK;
}

static void reference_window(struct op_eval *c)
{
    const struct table_attrs *attrs = c->attrs;
    struct tensor *y = &c->outputs[0];
    double w[3];
    window_weights(c->node->op->name, w);
    const double length = (double)y->count - (attrs->periodic ? 0 : 1);
    for (size_t i = 0; i < y->count; i++) {
        const double x =
            length > 0 ? 2 * pi * (double)i / length : pi; // a single one is the middle
        espy_tensor_set_number(y, i, w[0] + w[1] * cos(x) + w[2] * cos(2 * x));
    }
}

// ---- mel scale ----------------------------------------------------------------------------------

enum { BINS, DFT_LENGTH, SAMPLE_RATE, LOWER_EDGE, UPPER_EDGE };

static espy_status infer_mel(struct op_infer *c)
{
    const struct table_attrs *attrs = c->attrs;
    const struct tensor *values[3] = {NULL, NULL, NULL};
    for (uint32_t i = BINS; i <= SAMPLE_RATE; i++)
        TRY(read_integer(c, i, &values[i]));
    for (uint32_t i = LOWER_EDGE; i <= UPPER_EDGE; i++) {
        size_t count = 0;
        if (!espy_dtype_is_float(c->inputs[i].dtype) ||
            !espy_shape_count(&c->inputs[i].shape, &count) || count != 1)
            return espy_infer_fail(c, "input %u is not one float", i);
    }
    // The rate only has to be a number: the shape does not depend on its value.
    if (values[BINS] == NULL || values[DFT_LENGTH] == NULL)
        return espy_infer_wait(c);
    const int64_t bins = espy_tensor_integer(values[BINS], 0);
    const int64_t length = espy_tensor_integer(values[DFT_LENGTH], 0);
    if (bins < 0 || bins > GRAPH_DIM_MAX || length < 0 || length > GRAPH_DIM_MAX)
        return espy_infer_fail(c, "%lld bins of a spectrum of %lld elements", (long long)bins,
                               (long long)length);
    c->outputs[0] = (struct op_type){attrs->output_datatype, {2, {length / 2 + 1, bins}}};
    return ESPY_OK;
}

// Bin number `index` of the spectrum where a mel band has its lower edge.
static double edge_bin(const struct op_eval *c, size_t index)
{
    const double bins = espy_tensor_number(&c->inputs[BINS], 0);
    const double length = espy_tensor_number(&c->inputs[DFT_LENGTH], 0);
    const double rate = espy_tensor_number(&c->inputs[SAMPLE_RATE], 0);
    const double low = 2595 * log10(1 + espy_tensor_number(&c->inputs[LOWER_EDGE], 0) / 700);
    const double high = 2595 * log10(1 + espy_tensor_number(&c->inputs[UPPER_EDGE], 0) / 700);
    const double mel = low + (double)index * (high - low) / (bins + 2);
    return floor((length + 1) * 700 * (pow(10, mel / 2595) - 1) / rate);
}

static void set_weight(struct tensor *y, double bin, size_t band, double value)
{
    const size_t bands = (size_t)y->type.shape.dims[1];
    if (bin >= 0 && bin < (double)y->type.shape.dims[0])
        espy_tensor_set_number(y, (size_t)bin * bands + band, value);
}

static void reference_mel(struct op_eval *c)
{
    struct tensor *y = &c->outputs[0];
    const size_t bands = (size_t)y->type.shape.dims[1];
    const double bins = (double)y->type.shape.dims[0];
    for (size_t i = 0; i < y->count; i++)
        espy_tensor_set_number(y, i, 0);
    for (size_t band = 0; band < bands; band++) {
        const double low = edge_bin(c, band), middle = edge_bin(c, band + 1);
        const double high = edge_bin(c, band + 2);
        if (low == middle)
            set_weight(y, middle, band, 1);
        for (double bin = low < 0 ? 0 : low; low < middle && bin <= middle && bin < bins; bin++)
            set_weight(y, bin, band, (bin - low) / (middle - low));
        for (double bin = middle < 0 ? 0 : middle; bin < high && bin < bins; bin++)
            set_weight(y, bin, band, (high - bin) / (high - middle));
    }
}

// ---- the table ----------------------------------------------------------------------------------

static const struct op_attr attr_rows[] = {
    {.name = "output_datatype",
     .type = OP_DTYPE,
     .offset = offsetof(struct table_attrs, output_datatype),
     .fallback = ESPY_FLOAT32,
     .help = "type of the output"},
    {.name = "periodic",
     .type = OP_BOOL,
     .offset = offsetof(struct table_attrs, periodic),
     .fallback = 1,
     .help = "the element after the last would be the first again; else the last one is like it"}};

#define TABLE(op_name, text, input_count, rows, prefix)                                         \
    {                                                                                           \
        .name = op_name, .summary = text, .inputs_min = input_count, .inputs_max = input_count, \
        .outputs_min = 1, .outputs_max = 1, .flags = OP_HOST_ONLY, .attrs = attr_rows,          \
        .attr_count = rows, .attrs_size = sizeof(struct table_attrs), .infer = infer_##prefix,  \
        .reference = reference_##prefix                                                         \
    }

static const struct op ops[] = {
    TABLE("BlackmanWindow", "0.42 - 0.5 cos x + 0.08 cos 2x", 1, 2, window),
    TABLE("HammingWindow", "25/46 - 21/46 cos x", 1, 2, window),
    TABLE("HannWindow", "0.5 - 0.5 cos x", 1, 2, window),
    TABLE("MelWeightMatrix", "weights that gather a spectrum's bins in bands of the mel scale", 5,
          1, mel)};

const struct op_family espy_ops_signal_window = {ops, sizeof(ops) / sizeof(ops[0])};
