// ONNX's operators with channels last, as some of onnxruntime's backends see them. Weights stay in
// ONNX's order.
#include "convert/builder.h"

#include <string.h>

static void conv(struct builder *b)
{
    const struct build_activation activation = espy_build_conv_activation(b);
    const uint32_t inputs[] = {espy_build_move_channels(b, espy_build_input(b, 0), false),
                               espy_build_input(b, 1), espy_build_input(b, 2)};
    const bool transposed = strcmp(b->node->op, "ConvTranspose") == 0;
    const uint32_t product = espy_build_emit(b, transposed ? "ConvTranspose" : "Conv", inputs, 3);
    espy_build_copy_attributes(b);
    const uint32_t sum = espy_build_plus(b, espy_build_move_channels(b, product, true), 3);
    espy_build_result(b, 0, espy_build_activate(b, sum, &activation));
}

// An operator of one picture that differs from ONNX's only in the order of dimensions.
static void same(struct builder *b)
{
    enum { INPUTS_MAX = 8 };
    uint32_t inputs[INPUTS_MAX] = {espy_build_move_channels(b, espy_build_input(b, 0), false)};
    const uint32_t count = b->node->input_count < INPUTS_MAX ? b->node->input_count : INPUTS_MAX;
    for (uint32_t i = 1; i < count; i++)
        inputs[i] = espy_build_input(b, i);
    const char *op = strcmp(b->node->op, "NhwcMaxPool") == 0 ? "MaxPool" : b->node->op;
    const uint32_t y = espy_build_emit(b, op, inputs, count);
    espy_build_copy_attributes(b);
    espy_build_result(b, 0, espy_build_move_channels(b, y, true));
}

static void batch_norm(struct builder *b)
{
    espy_build_ignore(b, "momentum");
    if (espy_build_integer(b, "training_mode", 0) != 0)
        espy_build_refuse(b, "training mode is not supported");
    if (espy_build_integer(b, "spatial", 1) == 1) {
        same(b);
        return;
    }
    const double epsilon = espy_build_float(b, "epsilon", (double)1e-5f);
    const uint32_t inputs[] = {espy_build_move_channels(b, espy_build_input(b, 0), false),
                               espy_build_input(b, 1), espy_build_input(b, 2),
                               espy_build_input(b, 3), espy_build_input(b, 4)};
    const uint32_t y = espy_build_batch_norm_each(b, inputs, epsilon);
    espy_build_result(b, 0, espy_build_move_channels(b, y, true));
}

static const struct foreign_row rows[] = {
    {"AveragePool", same},   {"BatchNormalization", batch_norm},
    {"Conv", conv},          {"ConvTranspose", conv},
    {"DepthToSpace", same},  {"GlobalAveragePool", same},
    {"GlobalMaxPool", same}, {"InstanceNormalization", same},
    {"LRN", same},           {"MaxPool", same},
    {"SpaceToDepth", same},
};

const struct foreign_family espy_foreign_nhwc = {"com.ms.internal.nhwc", rows,
                                                 sizeof(rows) / sizeof(rows[0])};

static const struct foreign_row microsoft_rows[] = {
    {"NhwcConv", conv},
    {"NhwcFusedConv", conv},
    {"NhwcMaxPool", same},
};

const struct foreign_family espy_foreign_layout = {
    "com.microsoft", microsoft_rows, sizeof(microsoft_rows) / sizeof(microsoft_rows[0])};
