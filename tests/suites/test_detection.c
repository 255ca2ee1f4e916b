// Goal: the shipped detector, run whole by Espy, is as good as its model card says, and finds what
// the exporter's framework finds; its attention gate is the one that was computed there. Method:
// the 200 held-out scenes of examples/detection, through the public API.
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "picture.h"
#include "suites/detections.h"
#include "suites/precision.h"
#include "suites/shipped.h"

enum { SIDE = 224, ACROSS = 10, SHEET = 50, PICTURES = 200, KINDS = 6 };
enum { ROWS_MAX = 30, TOYS_MAX = 6 }; // of one picture
#define DETECTION_DIR SHIPPED_DIR "/detection"

struct detector {
    struct lab shipped;
    struct picture sheet;
    uint32_t sheet_index;
    cJSON *expected;
};

// What is found in one picture.
struct found {
    float boxes[ROWS_MAX * 4], scores[ROWS_MAX];
    int64_t classes[ROWS_MAX];
    uint32_t count;
};

static void open_sheet(struct detector *detector, uint32_t index)
{
    char path[1024];
    struct cli_message message;
    espy_picture_free(&detector->sheet);
    snprintf(path, sizeof(path), DETECTION_DIR "/test200-%u.png", (unsigned)index);
    cr_assert(espy_picture_read(path, &detector->sheet, &message));
    cr_assert(detector->sheet.width == SIDE * ACROSS);
    cr_assert(detector->sheet.height == SIDE * SHEET / ACROSS);
    detector->sheet_index = index;
}

static void open_detector(struct detector *detector, bool attends)
{
    memset(detector, 0, sizeof(*detector));
    espy_shipped_open(&detector->shipped, "detection/toys.onnx", attends);
    open_sheet(detector, 0);
    detector->expected = espy_shipped_json(&detector->shipped, "detection/expected.json");
}

static void close_detector(struct detector *detector)
{
    cJSON_Delete(detector->expected);
    espy_picture_free(&detector->sheet);
    espy_lab_close(&detector->shipped);
}

// As the model card says: RGB planes, byte / 255.
static void fill_picture(struct detector *detector, uint32_t index, float *planes)
{
    if (index / SHEET != detector->sheet_index)
        open_sheet(detector, index / SHEET);
    const size_t left = index % SHEET % ACROSS * SIDE, top = index % SHEET / ACROSS * SIDE;
    for (size_t c = 0; c < 3; c++)
        for (size_t y = 0; y < SIDE; y++)
            for (size_t x = 0; x < SIDE; x++) {
                const size_t pixel = (top + y) * detector->sheet.width + left + x;
                planes[(c * SIDE + y) * SIDE + x] =
                    (float)detector->sheet.rgb[3 * pixel + c] / 255.0f;
            }
}

static void run_picture(struct detector *detector, uint32_t index, struct espy_tensor *outputs,
                        uint32_t output_count)
{
    static float planes[3 * SIDE * SIDE];
    fill_picture(detector, index, planes);
    const struct espy_tensor input = {.name = "image",
                                      .dtype = ESPY_FLOAT32,
                                      .rank = 4,
                                      .dims = {1, 3, SIDE, SIDE},
                                      .data = planes,
                                      .size = sizeof(planes)};
    cr_assert(espy_session_run(detector->shipped.session, &input, 1, outputs, output_count) ==
                  ESPY_OK,
              "%s", detector->shipped.error);
}

static void detect(struct detector *detector, uint32_t index, struct found *found)
{
    struct espy_tensor outputs[3] = {
        {.name = "boxes", .data = found->boxes, .size = sizeof(found->boxes)},
        {.name = "classes", .data = found->classes, .size = sizeof(found->classes)},
        {.name = "scores", .data = found->scores, .size = sizeof(found->scores)}};
    run_picture(detector, index, outputs, 3);
    found->count = (uint32_t)outputs[2].dims[0];
    cr_assert(outputs[0].rank == 2 && outputs[0].dims[0] == found->count);
    cr_assert(outputs[0].dims[1] == 4 && outputs[1].dims[0] == found->count);
    cr_assert(outputs[1].dtype == ESPY_INT64 && outputs[2].rank == 1);
}

// Lines of picture, kind, x1, y1, x2, y2.
static struct located_list read_truths(struct detector *detector)
{
    static struct located toys[PICTURES * TOYS_MAX];
    struct located_list list = {toys, 0};
    const char *text = espy_suite_read_text(DETECTION_DIR "/test200.txt", &detector->shipped.arena);
    cr_assert(text != NULL);
    while (*text != '\0') {
        double numbers[6];
        for (size_t i = 0; i < 6; i++) {
            char *end;
            numbers[i] = strtod(text, &end);
            cr_assert(end != text);
            text = end;
        }
        text += *text == '\n';
        cr_assert(list.count < PICTURES * TOYS_MAX);
        struct located *toy = &list.items[list.count++];
        *toy = (struct located){.picture = (uint32_t)numbers[0], .kind = (uint32_t)numbers[1]};
        memcpy(toy->box, numbers + 2, sizeof(toy->box));
    }
    return list;
}

static struct located_list detect_all(struct detector *detector)
{
    static struct located rows[PICTURES * ROWS_MAX];
    struct located_list list = {rows, 0};
    for (uint32_t i = 0; i < PICTURES; i++) {
        struct found found;
        detect(detector, i, &found);
        for (uint32_t k = 0; k < found.count; k++) {
            struct located *row = &rows[list.count++];
            *row = (struct located){
                .picture = i, .kind = (uint32_t)found.classes[k], .score = (double)found.scores[k]};
            for (size_t side = 0; side < 4; side++)
                row->box[side] = (double)found.boxes[4 * k + side];
        }
    }
    return list;
}

Test(detection, two_hundred_fresh_scenes_are_understood)
{
    struct detector detector;
    open_detector(&detector, false);
    const struct located_list truths = read_truths(&detector);
    const struct located_list found = detect_all(&detector);
    double sum = 0;
    for (uint32_t kind = 1; kind <= KINDS; kind++)
        sum += espy_average_precision(found, truths, kind);
    const double mean = sum / KINDS;
    const double expected =
        cJSON_GetObjectItem(detector.expected, "mean_average_precision")->valuedouble;
    printf("detection: mean average precision %.4f, by the exporter %.4f\n", mean, expected);
    cr_expect(mean >= 0.8, "mean average precision is only %.4f", mean);
    cr_expect(fabs(mean - expected) <= 0.01, "mean average precision is %.4f, not %.4f", mean,
              expected);
    close_detector(&detector);
}

// Three objects, five found: right, the same again (wrong), too small (wrong), right, of another
// kind. Precision at recall 1/3 is 1, at 2/3 it is 2/4, at 1 nothing: (1 + 1/2) / 3.
Test(detection, average_precision_is_that_by_hand)
{
    struct located truths[4] = {{.kind = 1, .box = {0, 0, 10, 10}},
                                {.picture = 1, .kind = 1, .box = {0, 0, 10, 10}},
                                {.picture = 1, .kind = 1, .box = {20, 0, 30, 10}},
                                {.picture = 1, .kind = 2, .box = {20, 0, 30, 10}}};
    struct located found[5] = {{.picture = 1, .kind = 1, .box = {20, 0, 30, 5}, .score = 0.6},
                               {.picture = 1, .kind = 1, .box = {0, 0, 10, 4.9}, .score = 0.7},
                               {.picture = 1, .kind = 2, .box = {0, 0, 10, 10}, .score = 0.95},
                               {.kind = 1, .box = {0, 0, 10, 10}, .score = 0.8},
                               {.kind = 1, .box = {0, 1, 10, 10}, .score = 0.9}};
    const double precision = espy_average_precision((struct located_list){found, 5},
                                                    (struct located_list){truths, 4}, 1);
    cr_expect(fabs(precision - 0.5) < 1e-12, "%.6f", precision);
}

static void read_numbers(const cJSON *list, float *numbers, size_t count_max)
{
    size_t count = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        cr_assert(count < count_max);
        numbers[count++] = (float)item->valuedouble;
    }
}

static void read_expected(const cJSON *json, struct found *found)
{
    const cJSON *classes = cJSON_GetObjectItem(json, "classes"), *item, *box;
    float *row = found->boxes;
    found->count = (uint32_t)cJSON_GetArraySize(classes);
    cr_assert(found->count > 0 && found->count <= ROWS_MAX);
    read_numbers(cJSON_GetObjectItem(json, "scores"), found->scores, found->count);
    cJSON_ArrayForEach(box, cJSON_GetObjectItem(json, "boxes"))
    {
        cr_assert(row < found->boxes + found->count * 4);
        read_numbers(box, row, 4);
        row += 4;
    }
    int64_t *next = found->classes;
    cJSON_ArrayForEach(item, classes)
    {
        *next++ = (int64_t)item->valuedouble;
    }
}

static struct tensor tensor_of(espy_dtype dtype, size_t count, void *data)
{
    return (struct tensor){.type = {.dtype = dtype}, .count = count, .data = data};
}

static void compare(uint32_t index, struct found *actual, struct found *expected)
{
    struct tensor tensors[2][3];
    struct found *both[2] = {actual, expected};
    struct detections sets[2];
    char id[32];
    for (size_t i = 0; i < 2; i++) {
        tensors[i][0] = tensor_of(ESPY_INT64, both[i]->count, both[i]->classes);
        tensors[i][1] = tensor_of(ESPY_FLOAT32, 4 * both[i]->count, both[i]->boxes);
        tensors[i][2] = tensor_of(ESPY_FLOAT32, both[i]->count, both[i]->scores);
        sets[i] = (struct detections){&tensors[i][0], &tensors[i][1], &tensors[i][2]};
    }
    snprintf(id, sizeof(id), "scene %u", (unsigned)index);
    espy_suite_check_detections(id, &sets[0], &sets[1]);
}

Test(detection, boxes_and_scores_are_the_exporters)
{
    struct detector detector;
    uint32_t index = 0;
    const cJSON *item;
    open_detector(&detector, false);
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(detector.expected, "found"))
    {
        struct found actual, expected;
        detect(&detector, index, &actual);
        read_expected(item, &expected);
        compare(index++, &actual, &expected);
    }
    cr_expect(index == 10);
    close_detector(&detector);
}

Test(detection, the_gate_is_the_only_site_and_the_exporters)
{
    struct detector detector;
    struct espy_attention_info site;
    uint32_t index = 0;
    const cJSON *item;
    open_detector(&detector, true);
    cr_assert(espy_model_attention_count(detector.shipped.model) == 1);
    cr_assert(espy_model_attention(detector.shipped.model, 0, &site) == ESPY_OK);
    cr_expect_str_eq(site.kind, "channel_gate");
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(detector.expected, "gate"))
    {
        float gate = -1;
        struct espy_tensor output = {.name = site.name, .data = &gate, .size = sizeof(gate)};
        run_picture(&detector, index, &output, 1);
        cr_expect(fabs((double)gate - item->valuedouble) <= 1e-5, "scene %u: %.7f, not %.7f",
                  (unsigned)index, (double)gate, item->valuedouble);
        index++;
    }
    cr_expect(index == 40);
    close_detector(&detector);
}
