// mmdeploy and mmcv: what OpenMMLab's exporters write for detectors.
#include "convert/builder.h"

#include <float.h>
#include <math.h>
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

// ---- TRTBatchedNMS ------------------------------------------------------------------------------

struct suppression {
    int64_t before, count; // how many of a class are looked at, how many of all classes stay
    double overlap, least; // thresholds
    bool normalized;       // corners are places, not pixels
};

struct detections {
    uint32_t boxes;                 // [batch * class, box, 4], in every class
    uint32_t scores;                // [batch * class, 1, box]
    uint32_t batch, classes, count; // their numbers, as lists of one
};

// Lays boxes, [batch, box, 1 or class, 4], and scores, [batch, box, class], out class by class.
static struct detections class_by_class(struct builder *b)
{
    static const uint32_t box_order[] = {0, 2, 1, 3}, score_order[] = {0, 2, 1};
    const uint32_t scores = espy_build_input(b, 1);
    struct detections d = {.batch = espy_build_dims(b, scores, 0, 1),
                           .classes = espy_build_dims(b, scores, 2, 3),
                           .count = espy_build_dims(b, scores, 1, 2)};
    const uint32_t each[] = {d.batch, d.classes, d.count, LIST(b, 4)};
    const uint32_t boxes =
        EMIT(b, "Expand", espy_build_transpose(b, espy_build_input(b, 0), box_order, 4),
             espy_build_concat(b, each, 4, 0));
    const uint32_t box_dims[] = {LIST(b, -1), d.count, LIST(b, 4)};
    const uint32_t score_dims[] = {LIST(b, -1, 1), d.count};
    d.boxes = EMIT(b, "Reshape", boxes, espy_build_concat(b, box_dims, 3, 0));
    d.scores = EMIT(b, "Reshape", espy_build_transpose(b, scores, score_order, 3),
                    espy_build_concat(b, score_dims, 2, 0));
    return d;
}

// The k largest along the last dimension.
static void largest(struct builder *b, uint32_t x, uint32_t k, uint32_t results[2])
{
    const uint32_t inputs[] = {x, k};
    espy_build_emit_many(b, "TopK", inputs, 2, results, 2);
    if (b->status == ESPY_OK)
        b->status = espy_import_note(b->importer, results[1], ESPY_INT64, true);
}

// Scores of what is left of each class, and minus infinity elsewhere, of the shape of d->scores.
static uint32_t kept_scores(struct builder *b, const struct detections *d,
                            const struct suppression *how)
{
    const uint32_t none = espy_build_number(b, d->scores, -INFINITY);
    uint32_t scores = d->scores, boxes = d->boxes, best[2];
    if (how->before > 0) { // only the best of a class are looked at
        largest(b, scores, EMIT(b, "Min", d->count, LIST(b, how->before)), best);
        const uint32_t last = espy_build_slice(b, best[0], LIST(b, -1), LIST(b, INT64_MAX), -1);
        scores = EMIT_AS(b, espy_build_dtype(b, scores), "Where",
                         EMIT_AS(b, ESPY_BOOL, "GreaterOrEqual", scores, last), scores, none);
    }
    if (!how->normalized) { // corners are pixels, both inside
        static const double corner[4] = {0, 0, 1, 1};
        const struct shape shape = {.rank = 1, .dims = {4}};
        uint32_t more = GRAPH_NONE;
        if (b->status == ESPY_OK)
            b->status = espy_import_numbers(b->importer, b->node->name, ESPY_FLOAT32, &shape,
                                            corner, 4, &more);
        boxes = EMIT(b, "Add", boxes, espy_build_cast_like(b, more, boxes));
    }
    const uint32_t chosen = EMIT_AS(b, ESPY_INT64, "NonMaxSuppression", boxes, scores, d->count,
                                    espy_build_number(b, scores, how->overlap),
                                    espy_build_number(b, scores, how->least));
    const uint32_t empty = EMIT(b, "Expand", none, EMIT_AS(b, ESPY_INT64, "Shape", scores));
    return EMIT(b, "ScatterND", empty, chosen, EMIT(b, "GatherND", scores, chosen));
}

// The best of all classes, in order; behind the last one boxes of zeros, of class -1.
static void batched_nms(struct builder *b)
{
    const struct suppression how = {.count = espy_build_integer(b, "keep_topk", 100),
                                    .before = espy_build_integer(b, "topk", -1),
                                    .overlap = espy_build_float(b, "iou_threshold", 0.5),
                                    .least = espy_build_float(b, "score_threshold", 0),
                                    .normalized = espy_build_integer(b, "is_normalized", 1) != 0};
    espy_build_ignore(b, "num_classes"); // the scores say it
    if (espy_build_integer(b, "background_label_id", -1) >= 0 ||
        espy_build_integer(b, "clip_boxes", 0) != 0 ||
        espy_build_integer(b, "return_index", 0) != 0 || espy_build_wants(b, 2))
        espy_build_refuse(b, "a background class, clipped boxes and indices are not supported");
    const struct detections d = class_by_class(b);
    const uint32_t kept = kept_scores(b, &d, &how);
    const uint32_t all = EMIT(b, "Mul", d.classes, d.count), end = LIST(b, -1);
    const uint32_t flat_dims[] = {d.batch, all}, fill_dims[] = {d.batch, LIST(b, how.count)};
    const uint32_t rows[] = {EMIT(b, "Reshape", kept, espy_build_concat(b, flat_dims, 2, 0)),
                             EMIT(b, "Expand", espy_build_number(b, kept, -INFINITY),
                                  espy_build_concat(b, fill_dims, 2, 0))};
    uint32_t best[2]; // scores and places in a picture's classes, [batch, count]
    largest(b, espy_build_concat(b, rows, 2, 1), LIST(b, how.count), best);
    const uint32_t valid =
        EMIT_AS(b, ESPY_BOOL, "Greater", best[0], espy_build_number(b, best[0], -FLT_MAX));
    const uint32_t place =
        EMIT_AS(b, ESPY_INT64, "Where", valid, best[1], espy_build_scalar(b, ESPY_INT64, 0));
    const uint32_t pictures =
        EMIT(b, "Range", espy_build_scalar(b, ESPY_INT64, 0), espy_build_pick(b, d.batch, 0, 0),
             espy_build_scalar(b, ESPY_INT64, 1));
    const uint32_t first = EMIT(b, "Mul", EMIT(b, "Unsqueeze", pictures, LIST(b, 1)), all);
    const uint32_t boxes =
        EMIT(b, "Gather", espy_build_reshape(b, d.boxes, (const int64_t[]){-1, 4}, 2),
             EMIT(b, "Add", place, first));
    const uint32_t parts[] = {boxes, EMIT(b, "Unsqueeze", best[0], end)};
    espy_build_result(b, 0,
                      EMIT_AS(b, espy_build_dtype(b, boxes), "Where",
                              EMIT_AS(b, ESPY_BOOL, "Unsqueeze", valid, end),
                              espy_build_concat(b, parts, 2, -1), espy_build_number(b, boxes, 0)));
    const uint32_t label = espy_build_cast(b, EMIT(b, "Div", place, d.count), ESPY_INT32);
    espy_build_result(
        b, 1, EMIT_AS(b, ESPY_INT32, "Where", valid, label, espy_build_scalar(b, ESPY_INT32, -1)));
}

static const struct foreign_row rows[] = {
    {"MMCVModulatedDeformConv2d", deformable_conv},
    {"MMCVRoiAlign", roi_align},
    {"TRTBatchedNMS", batched_nms},
    {"grid_sampler", grid_sampler},
};

const struct foreign_family espy_foreign_mmdeploy = {"mmdeploy", rows,
                                                     sizeof(rows) / sizeof(rows[0])};
const struct foreign_family espy_foreign_mmcv = {"mmcv", rows, sizeof(rows) / sizeof(rows[0])};
