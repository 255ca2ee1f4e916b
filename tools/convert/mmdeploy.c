// mmdeploy and mmcv: what OpenMMLab's exporters write for detectors.
#include "convert/builder.h"

#include <string.h>

// Modes and paddings are numbers here.
static void grid_sampler(struct builder *b)
{
    static const char *const modes[] = {"linear", "nearest", "cubic"};
    static const char *const paddings[] = {"zeros", "border", "reflection"};
    const int64_t mode = espy_build_integer(b, "interpolation_mode", 0);
    const int64_t padding = espy_build_integer(b, "padding_mode", 0);
    const int64_t corners = espy_build_integer(b, "align_corners", 0);
    if (mode < 0 || mode > 2 || padding < 0 || padding > 2) {
        espy_build_refuse(b, "interpolation_mode and padding_mode must be 0 to 2");
        return;
    }
    const uint32_t y = EMIT(b, "GridSample", espy_build_input(b, 0), espy_build_input(b, 1));
    espy_build_set_text(b, "mode", modes[mode]);
    espy_build_set_text(b, "padding_mode", paddings[padding]);
    espy_build_set(b, "align_corners", (double)corners);
    espy_build_result(b, 0, y);
}

static void set_pair(struct builder *b, const char *name, const int64_t pair[2], uint32_t repeat)
{
    double numbers[4];
    for (uint32_t i = 0; i < 2 * repeat; i++)
        numbers[i] = (double)pair[i % 2];
    espy_build_set_list(b, name, numbers, 2 * repeat);
}

static void deformable_conv(struct builder *b)
{
    enum { X, OFFSET, MASK, WEIGHT, BIAS };
    int64_t stride[2] = {1, 1}, padding[2] = {0, 0}, dilation[2] = {1, 1};
    espy_build_integers_of(b, "stride", stride, 2);
    espy_build_integers_of(b, "padding", padding, 2);
    espy_build_integers_of(b, "dilation", dilation, 2);
    const int64_t groups = espy_build_integer(b, "groups", 1);
    const int64_t offset_groups = espy_build_integer(b, "deform_groups", 1);
    const uint32_t inputs[] = {espy_build_input(b, X), espy_build_input(b, WEIGHT),
                               espy_build_input(b, OFFSET), espy_build_input(b, BIAS),
                               espy_build_input(b, MASK)};
    const uint32_t y = espy_build_emit(b, "DeformConv", inputs, 5);
    set_pair(b, "strides", stride, 1);
    set_pair(b, "pads", padding, 2);
    set_pair(b, "dilations", dilation, 1);
    espy_build_set(b, "group", (double)groups);
    espy_build_set(b, "offset_group", (double)offset_groups);
    espy_build_result(b, 0, y);
}

// Boxes have the picture's number before their corners.
static void roi_align(struct builder *b)
{
    if (strcmp(espy_build_string(b, "mode", "avg"), "avg") != 0)
        espy_build_refuse(b, "mode 'max' is not supported: ONNX's takes the maximum before it "
                             "interpolates");
    const bool aligned = espy_build_integer(b, "aligned", 1) != 0;
    const double height = (double)espy_build_integer(b, "output_height", 1);
    const double width = (double)espy_build_integer(b, "output_width", 1);
    const double samples = (double)espy_build_integer(b, "sampling_ratio", 0);
    const double scale = espy_build_float(b, "spatial_scale", 1);
    const uint32_t boxes = espy_build_input(b, 1);
    const uint32_t pictures = espy_build_cast(b, espy_build_pick(b, boxes, 0, 1), ESPY_INT64);
    const uint32_t corners = espy_build_slice(b, boxes, LIST(b, 1), LIST(b, 5), 1);
    const uint32_t y = EMIT(b, "RoiAlign", espy_build_input(b, 0), corners, pictures);
    espy_build_set_text(b, "mode", "avg");
    espy_build_set_text(b, "coordinate_transformation_mode",
                        aligned ? "half_pixel" : "output_half_pixel");
    espy_build_set(b, "output_height", height);
    espy_build_set(b, "output_width", width);
    espy_build_set(b, "sampling_ratio", samples);
    espy_build_set(b, "spatial_scale", scale);
    espy_build_result(b, 0, y);
}

static const struct foreign_row rows[] = {
    {"MMCVModulatedDeformConv2d", deformable_conv},
    {"MMCVRoiAlign", roi_align},
    {"grid_sampler", grid_sampler},
};

const struct foreign_family espy_foreign_mmdeploy = {"mmdeploy", rows,
                                                     sizeof(rows) / sizeof(rows[0])};
const struct foreign_family espy_foreign_mmcv = {"mmcv", rows, sizeof(rows) / sizeof(rows[0])};
