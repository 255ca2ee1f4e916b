// Goal: real networks with a preset find what is on their photographs, and pictures and masks come
// out as recorded. Method: ../shared/models, one conversion each. Detectors take the photographs'
// pixels; what is on them stands in ../shared/models/*/spec.json ("contents"). The others take the
// recorded inputs, and their recorded outputs are rounded to bytes, or searched for the largest,
// here.
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/convert.h"
#include "format/format.h"
#include "picture.h"
#include "suites/lab.h"
#include "suites/suite.h"

enum { PRESETS_MAX = 2, OUTPUTS_MAX = 4 };

static const char *shared_path(struct lab *lab, const char *model, const char *file)
{
    return espy_arena_format(&lab->arena, "%s/models/%s/%s", espy_suite_shared(), model, file);
}

static void convert(struct lab *lab, const char *name, struct convert_params *params)
{
    struct convert_report report;
    struct convert_model *model = NULL;
    void *bytes = NULL;
    size_t size = 0;
    params->model_path = shared_path(lab, name, "model.onnx");
    while (params->preset_count < PRESETS_MAX && params->presets[params->preset_count] != NULL)
        params->preset_count++;
    espy_convert_report_init(&report, &lab->test.host);
    cr_assert(espy_convert_graph(&lab->test.host, params, &report, &model) == ESPY_OK, "%s: %s",
              name, lab->test.last_error);
    cr_assert(espy_format_write(&lab->test.host, espy_convert_model_graph(model), &bytes, &size) ==
              ESPY_OK);
    espy_convert_model_destroy(&model);
    espy_convert_report_finish(&report);
    cr_assert(espy_model_load_memory(lab->context, bytes, size, &lab->model) == ESPY_OK, "%s",
              lab->error);
    cr_assert(espy_session_create(lab->device, lab->model, NULL, &lab->session) == ESPY_OK, "%s",
              lab->error);
    espy_free(&lab->test.host, bytes);
}

// ---- detectors ----------------------------------------------------------------------------------

struct detector {
    const char *model, *photo, *presets[PRESETS_MAX];
    // What is on the photograph: so many rows above the threshold with such a label. The box of the
    // best of them lies in this part of the picture, in percent: left, top, right, bottom.
    struct {
        const char *label;
        uint32_t at_least, at_most;
        int within[4];
    } objects[3];
};

static const struct detector detectors[] = {
    {"yolox_nano",
     "000000000785.jpg",
     {"yolox", "coco"},
     {{"person", 1, 1, {40, 5, 80, 95}}, {"skis", 1, 2, {30, 80, 90, 98}}}},
    {"deimv2_atto", "000000000785.jpg", {"detr", "coco"}, {{"person", 1, 1, {40, 5, 80, 95}}}},
    {"deimv2_atto",
     "000000000139.jpg",
     {"detr", "coco"},
     {{"tv", 1, 2, {0, 35, 26, 66}}, {"chair", 1, 6, {44, 48, 72, 78}}}},
    {"ultraface_rfb320", "Ultra_1.jpg", {"ultraface"}, {{"face", 40, 62, {0, 0, 100, 60}}}},
    {"yunet_n_320", "persons.jpg", {"yunet"}, {{"face", 6, 6, {0, 0, 100, 70}}}},
    {"mediapipe_blazeface", "duo.jpg", {"blazeface"}, {{"face", 2, 2, {0, 30, 100, 90}}}},
};

struct found {
    struct espy_tensor boxes, scores, classes;
    struct espy_value_info score_info, class_info;
    uint32_t width, height;
};

static void look(struct lab *lab, const struct detector *detector, struct found *found)
{
    struct picture picture;
    struct cli_message message;
    struct espy_value_info info;
    struct espy_tensor outputs[OUTPUTS_MAX] = {{0}};
    const uint32_t count = espy_model_output_count(lab->model);
    cr_assert(
        espy_picture_read(shared_path(lab, detector->model, detector->photo), &picture, &message));
    cr_assert(espy_model_input_count(lab->model) == 1 && count <= OUTPUTS_MAX);
    cr_assert(espy_model_input(lab->model, 0, &info) == ESPY_OK);
    const struct espy_tensor input = {info.name,   ESPY_UINT8,
                                      4,           {1, picture.height, picture.width, 3},
                                      picture.rgb, (size_t)picture.width * picture.height * 3};
    for (uint32_t i = 0; i < count; i++) {
        cr_assert(espy_model_output(lab->model, i, &info) == ESPY_OK);
        outputs[i].name = info.name;
    }
    cr_assert(espy_session_run(lab->session, &input, 1, outputs, count) == ESPY_OK, "%s",
              lab->error);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert(espy_model_output(lab->model, i, &info) == ESPY_OK && info.role != NULL);
        if (strcmp(info.role, "boxes") == 0) {
            found->boxes = outputs[i];
        } else if (strcmp(info.role, "scores") == 0) {
            found->scores = outputs[i];
            found->score_info = info;
        } else if (strcmp(info.role, "classes") == 0) {
            found->classes = outputs[i];
            found->class_info = info;
        }
    }
    found->width = picture.width;
    found->height = picture.height;
    espy_picture_free(&picture);
}

// Rows come best first.
static void expect_object(const struct detector *detector, const struct found *found, size_t o)
{
    const char *label = detector->objects[o].label;
    const float *scores = found->scores.data, *box = NULL;
    const size_t rows = found->scores.size / sizeof(float);
    uint32_t count = 0;
    for (size_t i = 0; i < rows; i++) {
        const int64_t class = ((const int64_t *)found->classes.data)[i];
        cr_assert(class >= 0 && class < found->class_info.label_count);
        if ((double)scores[i] < found->score_info.threshold ||
            strcmp(found->class_info.labels[class], label) != 0)
            continue;
        if (count++ == 0)
            box = (const float *)found->boxes.data + 4 * i;
    }
    cr_expect(count >= detector->objects[o].at_least && count <= detector->objects[o].at_most,
              "%s, %s: %u of %s", detector->model, detector->photo, (unsigned)count, label);
    for (int k = 0; k < 4 && box != NULL; k++) {
        const double part =
            100.0 * (double)box[k] / (double)(k % 2 == 0 ? found->width : found->height);
        const int bound = detector->objects[o].within[k];
        cr_expect(k < 2 ? part >= bound : part <= bound, "%s, %s: %s is at %g %%, bound %d",
                  detector->model, detector->photo, label, part, bound);
    }
}

Test(presets, detectors_find_what_is_on_their_photographs)
{
    if (espy_suite_shared() == NULL)
        cr_skip_test("there is no ../shared");
    for (size_t i = 0; i < sizeof(detectors) / sizeof(detectors[0]); i++) {
        struct lab lab;
        struct found found;
        memset(&found, 0, sizeof(found));
        espy_lab_open(&lab);
        struct convert_params params = {.presets = detectors[i].presets, .pixels = true};
        convert(&lab, detectors[i].model, &params);
        look(&lab, &detectors[i], &found);
        cr_assert(found.boxes.data != NULL && found.scores.data != NULL &&
                  found.classes.data != NULL);
        for (size_t o = 0; o < 3 && detectors[i].objects[o].label != NULL; o++)
            expect_object(&detectors[i], &found, o);
        espy_lab_close(&lab);
    }
}

// ---- pictures and masks -------------------------------------------------------------------------

struct painter {
    const char *model, *preset, *only, *input, *output;
    double scale; // of the recorded output to bytes; 0: the largest along dimension 1 is wanted
};

static const struct painter painters[] = {
    {"espnet_cityscapes", "espnet", NULL, "street_input_0.npy", "street_output_0.npy", 0},
    {"iat_lol", "picture", "enhanced", "street_input_0.npy", "street_output_2.npy", 255},
    {"waifu2x_cunet", "picture", NULL, "anime_input_0.npy", "anime_output_0.npy", 255},
    {"style_starry_night_fp16", "picture-bytes", NULL, "photo_input_0.npy", "photo_output_0.npy",
     1},
};

static double largest_channel(const struct tensor *recorded, size_t place, size_t places)
{
    size_t best = 0;
    for (size_t c = 1; c * places + place < recorded->count; c++)
        if (espy_tensor_number(recorded, c * places + place) >
            espy_tensor_number(recorded, best * places + place))
            best = c;
    return (double)best;
}

static void compare(const struct painter *painter, const struct espy_tensor *got,
                    const struct tensor *recorded)
{
    struct tensor tensor = {.type = {got->dtype, {.rank = got->rank}}, .data = got->data};
    memcpy(tensor.type.shape.dims, got->dims, sizeof(got->dims));
    cr_assert(espy_shape_count(&tensor.type.shape, &tensor.count));
    cr_assert(painter->scale == 0 || tensor.count == recorded->count);
    cr_expect_eq(got->dtype, painter->scale == 0 ? ESPY_INT32 : ESPY_UINT8);
    size_t differ = 0;
    for (size_t i = 0; i < tensor.count; i++) {
        const double x = espy_tensor_number(&tensor, i);
        double y = painter->scale == 0 ? largest_channel(recorded, i, tensor.count)
                                       : espy_tensor_number(recorded, i) * painter->scale;
        y = y < 0 ? 0 : y > 255 ? 255 : floor(y + 0.5);
        differ += x != y;
        // Two nearly equal numbers may lie on both sides of half a byte; many do where the recorder
        // rounded every value in between to float16.
        cr_assert(painter->scale == 0 || fabs(x - y) <= 1, "%s: %g, recorded %g", painter->model, x,
                  y);
    }
    cr_expect(1000 * differ <= (painter->scale == 1 ? 60 : 1) * tensor.count,
              "%s: %zu of %zu differ", painter->model, differ, tensor.count);
}

Test(presets, pictures_and_masks_are_the_recorded_ones)
{
    if (espy_suite_shared() == NULL)
        cr_skip_test("there is no ../shared");
    for (size_t i = 0; i < sizeof(painters) / sizeof(painters[0]); i++) {
        const struct painter *painter = &painters[i];
        struct lab lab;
        struct tensor input, recorded;
        struct espy_value_info info;
        espy_lab_open(&lab);
        const char *const presets[PRESETS_MAX] = {painter->preset};
        struct convert_params params = {
            .presets = presets, .outputs = &painter->only, .output_count = painter->only != NULL};
        convert(&lab, painter->model, &params);
        cr_assert(espy_suite_read_npy(shared_path(&lab, painter->model, painter->input), &lab.arena,
                                      &input));
        cr_assert(espy_suite_read_npy(shared_path(&lab, painter->model, painter->output),
                                      &lab.arena, &recorded));
        cr_assert(espy_model_input(lab.model, 0, &info) == ESPY_OK);
        struct espy_tensor in = {.name = info.name,
                                 .dtype = input.type.dtype,
                                 .rank = input.type.shape.rank,
                                 .data = input.data,
                                 .size = espy_tensor_size(&input)};
        memcpy(in.dims, input.type.shape.dims, sizeof(in.dims));
        cr_assert(espy_model_output(lab.model, 0, &info) == ESPY_OK);
        struct espy_tensor out = {.name = info.name};
        cr_assert(espy_session_run(lab.session, &in, 1, &out, 1) == ESPY_OK, "%s", lab.error);
        compare(painter, &out, &recorded);
        espy_lab_close(&lab);
    }
}

// ---- a border -----------------------------------------------------------------------------------

enum { SEEN = 164, BORDER = 18, WHOLE = SEEN - 2 * BORDER };

static struct espy_tensor paint(struct lab *lab, const char *preset, float *pixels, int64_t side)
{
    const char *const presets[PRESETS_MAX] = {preset};
    struct convert_params params = {.presets = presets};
    struct espy_value_info info;
    convert(lab, "waifu2x_cunet", &params);
    cr_assert(espy_model_input(lab->model, 0, &info) == ESPY_OK);
    const struct espy_tensor in = {info.name, ESPY_FLOAT32,
                                   4,         {1, 3, side, side},
                                   pixels,    (size_t)(3 * side * side) * sizeof(float)};
    cr_expect(info.dims[2] == side && info.preprocess->height == side);
    cr_assert(espy_model_output(lab->model, 0, &info) == ESPY_OK);
    struct espy_tensor out = {.name = info.name};
    cr_assert(espy_session_run(lab->session, &in, 1, &out, 1) == ESPY_OK, "%s", lab->error);
    cr_assert(out.size == (size_t)3 * 2 * WHOLE * 2 * WHOLE);
    return out;
}

// The same network without the preset's border, which the previous test holds against what is
// recorded, makes the same of a picture that already has one.
Test(presets, waifu2x_shows_the_whole_picture)
{
    static float small[3 * WHOLE * WHOLE], seen[3 * SEEN * SEEN];
    struct lab with, without;
    struct tensor photo;
    if (espy_suite_shared() == NULL)
        cr_skip_test("there is no ../shared");
    espy_lab_open(&with);
    espy_lab_open(&without);
    cr_assert(espy_suite_read_npy(shared_path(&with, "waifu2x_cunet", "anime_input_0.npy"),
                                  &with.arena, &photo));
    cr_assert(photo.count == 3 * SEEN * SEEN);
    for (size_t c = 0; c < 3; c++)
        for (size_t y = 0; y < SEEN; y++)
            for (size_t x = 0; x < SEEN; x++) {
                const size_t row = y < BORDER ? 0 : y - BORDER,
                             column = x < BORDER ? 0 : x - BORDER;
                const size_t at = (c * SEEN + (row < WHOLE ? row : WHOLE - 1) + BORDER) * SEEN +
                                  (column < WHOLE ? column : WHOLE - 1) + BORDER;
                seen[(c * SEEN + y) * SEEN + x] = ((const float *)photo.data)[at];
                if (row < WHOLE && column < WHOLE && y >= BORDER && x >= BORDER)
                    small[(c * WHOLE + row) * WHOLE + column] = ((const float *)photo.data)[at];
            }
    const struct espy_tensor got = paint(&with, "waifu2x", small, WHOLE);
    const struct espy_tensor want = paint(&without, "picture", seen, SEEN);
    cr_expect(memcmp(got.data, want.data, want.size) == 0, "the border is another");
    espy_lab_close(&without);
    espy_lab_close(&with);
}
