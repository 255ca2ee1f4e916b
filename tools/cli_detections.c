#include "cli_detections.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli_number.h"

// ---- which outputs ------------------------------------------------------------------------------

static bool role_is(const struct espy_value_info *info, const char *role)
{
    return info->role && !strcmp(info->role, role);
}

static uint32_t nth_with(const struct cli_outputs *outputs, const char *role, uint32_t nth)
{
    for (uint32_t i = 0; i < outputs->count; i++)
        if (role_is(&outputs->infos[i], role) && nth-- == 0)
            return i;
    return UINT32_MAX;
}

static bool find_group(const struct cli_outputs *outputs, uint32_t nth, struct cli_group *group)
{
    *group = (struct cli_group){.boxes = nth_with(outputs, "boxes", nth),
                                .scores = nth_with(outputs, "scores", nth),
                                .classes = nth_with(outputs, "classes", nth),
                                .keypoints = nth_with(outputs, "keypoints", nth),
                                .masks = nth_with(outputs, "masks", nth)};
    return group->boxes != UINT32_MAX ||
           (group->keypoints != UINT32_MAX && nth_with(outputs, "boxes", 0) == UINT32_MAX);
}

bool espy_group_of(const struct cli_outputs *outputs, uint32_t output, struct cli_group *group)
{
    for (uint32_t i = 0; find_group(outputs, i, group); i++)
        if (output == group->boxes || output == group->scores || output == group->classes ||
            output == group->keypoints || output == group->masks)
            return true;
    return false;
}

uint32_t espy_group_first(const struct cli_group *group)
{
    return group->boxes != UINT32_MAX ? group->boxes : group->keypoints;
}

// ---- rows ---------------------------------------------------------------------------------------

// What turns a place that the network says into one of the user's picture.
struct placing {
    struct picture_area area; // of the picture, which the network sees
    double width, height;     // of what it sees
    double picture_width, picture_height;
};

static struct placing find_placing(const struct cli_input *input)
{
    if (!input || !input->picture.rgb)
        return (struct placing){{0, 0, 1, 1}, 1, 1, (double)INFINITY, (double)INFINITY};
    return (struct placing){input->area, input->frame_width, input->frame_height,
                            input->picture.width, input->picture.height};
}

static double across(const struct placing *placing, double x)
{
    return placing->area.left + x / placing->width * (placing->area.right - placing->area.left);
}

static double down(const struct placing *placing, double y)
{
    return placing->area.top + y / placing->height * (placing->area.bottom - placing->area.top);
}

static double held(double value, double most)
{
    return value > 0 ? (value < most ? value : most) : 0;
}

// Rows of an output of which `trailing` dimensions are one row: of the first picture of a batch.
static bool count_rows(const struct cli_outputs *outputs, uint32_t output, uint32_t trailing,
                       uint32_t *rows, struct cli_message *message)
{
    const struct espy_tensor *tensor = &outputs->tensors[output];
    char shape[128];
    const uint32_t rank = tensor->rank, at = rank - 1 - trailing;
    if ((rank != trailing + 1 && rank != trailing + 2) || tensor->dims[at] > UINT32_MAX / 4)
        return espy_message_set(message,
                                "output '%s' has the role \"%s\" and the shape %s, which is "
                                "none of that",
                                outputs->infos[output].name, outputs->infos[output].role,
                                espy_shape_print(rank, tensor->dims, shape, sizeof shape));
    const uint32_t found =
        rank == trailing + 2 && tensor->dims[0] == 0 ? 0 : (uint32_t)tensor->dims[at];
    if (*rows != UINT32_MAX && *rows != found)
        return espy_message_set(message,
                                "output '%s' has %u rows where others of the same objects "
                                "have %u",
                                outputs->infos[output].name, found, *rows);
    *rows = found;
    return true;
}

static bool check_rows(const struct cli_outputs *outputs, const struct cli_group *group,
                       uint32_t *rows, struct cli_message *message)
{
    const uint32_t found[] = {group->boxes, group->scores, group->classes, group->keypoints};
    const uint32_t trailing[] = {1, 0, 0, 2};
    *rows = UINT32_MAX;
    for (unsigned i = 0; i < sizeof found / sizeof *found; i++)
        if (found[i] != UINT32_MAX && !count_rows(outputs, found[i], trailing[i], rows, message))
            return false;
    const struct espy_tensor *tensors = outputs->tensors;
    if (group->boxes != UINT32_MAX &&
        tensors[group->boxes].dims[tensors[group->boxes].rank - 1] != 4)
        return espy_message_set(message, "output '%s' is boxes, but has not 4 numbers a row",
                                outputs->infos[group->boxes].name);
    return true;
}

static double get(const struct cli_outputs *outputs, uint32_t output, size_t index)
{
    const struct espy_tensor *tensor = &outputs->tensors[output];
    return espy_number_get(tensor->dtype, tensor->data, index);
}

static struct picture_area find_box(const struct cli_outputs *outputs, uint32_t output,
                                    uint32_t row, const struct placing *placing)
{
    double at[4];
    for (unsigned i = 0; i < 4; i++)
        at[i] = get(outputs, output, (size_t)row * 4 + i);
    const double width = placing->picture_width, height = placing->picture_height;
    return (struct picture_area){
        held(across(placing, at[0]), width), held(down(placing, at[1]), height),
        held(across(placing, at[2]), width), held(down(placing, at[3]), height)};
}

static bool find_points(struct cli_detections *detections, const struct cli_outputs *outputs,
                        uint32_t output, const struct placing *placing, struct cli_message *message)
{
    const struct espy_tensor *tensor = &outputs->tensors[output];
    const int64_t each = tensor->dims[tensor->rank - 1], points = tensor->dims[tensor->rank - 2];
    if ((each != 2 && each != 3) || points > UINT16_MAX)
        return espy_message_set(message,
                                "output '%s' is keypoints, but has not 2 or 3 numbers a "
                                "point",
                                outputs->infos[output].name);
    const size_t count = (size_t)points * detections->row_count;
    detections->point_count = (uint32_t)points;
    detections->points = calloc(count + 1, 3 * sizeof *detections->points);
    if (!detections->points)
        return espy_message_set(message, "out of memory for keypoints");
    for (size_t i = 0; i < count; i++) {
        double *point = detections->points + i * 3;
        point[0] = across(placing, get(outputs, output, i * (size_t)each));
        point[1] = down(placing, get(outputs, output, i * (size_t)each + 1));
        point[2] = each == 3 ? get(outputs, output, i * 3 + 2) : (double)NAN;
    }
    return true;
}

// ---- which of them ------------------------------------------------------------------------------

// The class of a row; false: it is the background.
static bool find_class(const struct cli_outputs *outputs, uint32_t output,
                       struct cli_detection *item)
{
    item->index = UINT32_MAX;
    if (output == UINT32_MAX)
        return true;
    const struct espy_value_info *info = &outputs->infos[output];
    const double number = get(outputs, output, item->row);
    item->index = number >= 0 && number < UINT32_MAX ? (uint32_t)number : 0;
    if (item->index < info->label_count && *info->labels[item->index])
        item->label = info->labels[item->index];
    return !item->label || strcmp(item->label, "__background__") != 0;
}

static int better(const void *left, const void *right)
{
    const struct cli_detection *a = left, *b = right;
    if (a->score != b->score && !(isnan(a->score) && isnan(b->score)))
        return a->score > b->score || isnan(b->score) ? -1 : 1;
    return (a->row > b->row) - (a->row < b->row);
}

bool espy_detections_init(struct cli_detections *detections, const struct cli_outputs *outputs,
                          const struct cli_group *group, const struct cli_input *input,
                          double threshold, struct cli_message *message)
{
    const struct placing placing = find_placing(input);
    const bool scored = group->scores != UINT32_MAX;
    const double least = threshold >= 0 ? threshold
                         : scored       ? outputs->infos[group->scores].threshold
                                        : 0;
    *detections = (struct cli_detections){.has_boxes = group->boxes != UINT32_MAX};
    if (!check_rows(outputs, group, &detections->row_count, message))
        return false;
    detections->items = calloc((size_t)detections->row_count + 1, sizeof *detections->items);
    if (!detections->items)
        return espy_message_set(message, "out of memory for what was found");
    for (uint32_t row = 0; row < detections->row_count; row++) {
        struct cli_detection item = {.row = row, .score = (double)NAN};
        if (scored)
            item.score = get(outputs, group->scores, row);
        if ((scored && !(item.score >= least)) || !find_class(outputs, group->classes, &item))
            continue;
        if (detections->has_boxes)
            item.box = find_box(outputs, group->boxes, row, &placing);
        if (!detections->has_boxes ||
            (item.box.right > item.box.left && item.box.bottom > item.box.top))
            detections->items[detections->count++] = item;
    }
    qsort(detections->items, detections->count, sizeof *detections->items, better);
    if (group->keypoints == UINT32_MAX ||
        find_points(detections, outputs, group->keypoints, &placing, message))
        return true;
    espy_detections_finish(detections);
    return false;
}

void espy_detections_finish(struct cli_detections *detections)
{
    free(detections->items);
    free(detections->points);
    *detections = (struct cli_detections){0};
}
