#include "cli_drawing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli_detections.h"
#include "cli_mask.h"
#include "cli_number.h"
#include "draw.h"

enum { LABEL_SIZE = 96 };
// Keypoints with a score of their own that are less sure are not drawn.
static const double point_score_min = 0.3;
// Classes that are hardly to be seen are not in the legend.
static const double legend_share_min = 0.0005;

static bool role_is(const struct espy_value_info *info, const char *role)
{
    return info->role && !strcmp(info->role, role);
}

enum cli_drawing espy_drawing_of(const struct cli_outputs *outputs, uint32_t output)
{
    struct cli_group group;
    const struct espy_value_info *info = &outputs->infos[output];
    if (espy_group_of(outputs, output, &group))
        return espy_group_first(&group) == output ? DRAWING_RESULT : DRAWING_NONE;
    if (role_is(info, "mask") || role_is(info, "depth") || role_is(info, "image"))
        return DRAWING_RESULT;
    return role_is(info, "attention_map") || role_is(info, "heatmap") ? DRAWING_EXPLANATION
                                                                      : DRAWING_NONE;
}

// A picture to draw on. Small ones are enlarged by *factor.
static bool copy_picture(const struct espy_value_info *info, const struct cli_input *input,
                         struct picture *copy, uint32_t *factor, struct cli_message *message)
{
    if (!input || !input->picture.rgb)
        return espy_message_set(
            message, "output '%s' is drawn on a picture; give a JPEG or PNG as input%s%s%s",
            info->name, info->of ? " '" : "", info->of ? info->of : "", info->of ? "'" : "");
    *factor = espy_picture_enlargement(&input->picture);
    return espy_picture_resize(&input->picture, input->picture.width * *factor,
                               input->picture.height * *factor, copy, message);
}

static struct picture_area times(struct picture_area area, double factor)
{
    return (struct picture_area){area.left * factor, area.top * factor, area.right * factor,
                                 area.bottom * factor};
}

// ---- found objects ------------------------------------------------------------------------------

struct objects {
    const struct cli_outputs *outputs;
    const struct cli_group *group;
    const struct cli_input *input;
    struct cli_detections found;
    uint32_t factor;
    struct draw_box *boxes;       // [found.count]
    char (*texts)[2][LABEL_SIZE]; // [found.count]: long and short
    double *points;
};

// Where the mask of an object is looked for: at its box and a tenth around it.
static struct picture_area surroundings(const struct objects *objects, uint32_t i,
                                        const struct picture *picture)
{
    const struct picture_area *box = &objects->boxes[i].box;
    const double across = (box->right - box->left) / 10, down = (box->bottom - box->top) / 10;
    if (!objects->boxes[i].has_box)
        return (struct picture_area){0, 0, picture->width, picture->height};
    return (struct picture_area){box->left - across, box->top - down, box->right + across,
                                 box->bottom + down};
}

static bool draw_masks(const struct objects *objects, struct picture *picture,
                       struct cli_message *message)
{
    const struct espy_tensor *masks = &objects->outputs->tensors[objects->group->masks];
    const uint32_t rank = masks->rank;
    const bool fits = (rank == 3 || (rank == 4 && masks->dims[1] == 1)) &&
                      masks->dims[0] == objects->found.row_count && masks->dims[rank - 1] > 0 &&
                      masks->dims[rank - 2] > 0;
    if (!fits)
        return objects->found.count == 0 ||
               espy_message_set(message, "output '%s' has not a mask for each of %u rows",
                                objects->outputs->infos[objects->group->masks].name,
                                objects->found.row_count);
    const uint32_t width = (uint32_t)masks->dims[rank - 1];
    const uint32_t height = (uint32_t)masks->dims[rank - 2];
    const size_t plane = (size_t)width * height;
    float *values = malloc(plane * sizeof *values);
    if (!values)
        return espy_message_set(message, "out of memory for masks");
    for (uint32_t i = objects->found.count; i-- > 0;) {
        const uint32_t row = objects->found.items[i].row;
        for (size_t k = 0; k < plane; k++)
            values[k] = (float)espy_number_get(masks->dtype, masks->data, row * plane + k);
        const struct draw_region region = {.width = width,
                                           .height = height,
                                           .values = values,
                                           .area = times(objects->input->area, objects->factor),
                                           .within = surroundings(objects, i, picture),
                                           .color = objects->boxes[i].color};
        espy_draw_region(picture, &region);
    }
    free(values);
    return true;
}

// What is drawn of the ith object.
static void describe(struct objects *objects, uint32_t i)
{
    const struct cli_detection *item = &objects->found.items[i];
    struct draw_box *box = &objects->boxes[i];
    char *text = objects->texts[i][0], *brief = objects->texts[i][1], number[32] = "";
    const bool single = objects->group->masks != UINT32_MAX;
    if (item->index != UINT32_MAX)
        (void)snprintf(number, sizeof number, "class %u", item->index);
    const char *name = item->label ? item->label : number;
    if (!isnan(item->score)) {
        (void)snprintf(text, LABEL_SIZE, "%.80s%s%.2f", name, *name ? " " : "", item->score);
        (void)snprintf(brief, LABEL_SIZE, "%.2f", item->score);
    } else {
        (void)snprintf(text, LABEL_SIZE, "%.80s", name);
    }
    // Masks show which object is which, so every one has its own colour.
    const uint32_t index = single ? i : item->index == UINT32_MAX ? 0 : item->index;
    *box =
        (struct draw_box){.has_box = objects->found.has_boxes,
                          .box = times(item->box, objects->factor),
                          .text = *text ? text : NULL,
                          .short_text = *brief ? brief : NULL,
                          .color = espy_draw_color(index),
                          .points = objects->points + (size_t)i * 2 * objects->found.point_count};
    double *points = objects->points + (size_t)i * 2 * objects->found.point_count;
    for (uint32_t k = 0; k < objects->found.point_count; k++) {
        const double *from =
            objects->found.points + ((size_t)item->row * objects->found.point_count + k) * 3;
        if (!isnan(from[2]) && from[2] < point_score_min)
            continue;
        points[box->point_count * 2] = from[0] * objects->factor;
        points[box->point_count++ * 2 + 1] = from[1] * objects->factor;
    }
}

static bool draw_objects(struct objects *objects, double threshold, const struct cli_inputs *inputs,
                         struct picture *picture, struct cli_message *message)
{
    const struct espy_value_info *info = &objects->outputs->infos[espy_group_first(objects->group)];
    objects->input = espy_inputs_of(inputs, info);
    if (!copy_picture(info, objects->input, picture, &objects->factor, message) ||
        !espy_detections_init(&objects->found, objects->outputs, objects->group, objects->input,
                              threshold, message))
        return false;
    const size_t count = objects->found.count;
    objects->boxes = calloc(count + 1, sizeof *objects->boxes);
    objects->texts = calloc(count + 1, sizeof *objects->texts);
    objects->points = calloc(count * objects->found.point_count + 1, 2 * sizeof(double));
    if (!objects->boxes || !objects->texts || !objects->points)
        return espy_message_set(message, "out of memory for what was found");
    for (uint32_t i = 0; i < count; i++)
        describe(objects, i);
    return (objects->group->masks == UINT32_MAX || draw_masks(objects, picture, message)) &&
           espy_draw_boxes(picture, objects->boxes, objects->found.count, message);
}

static bool draw_group(const struct cli_outputs *outputs, const struct cli_group *group,
                       double threshold, const struct cli_inputs *inputs, struct picture *picture,
                       struct cli_message *message)
{
    struct objects objects = {.outputs = outputs, .group = group};
    struct picture drawn = {0};
    const bool ok = draw_objects(&objects, threshold, inputs, &drawn, message);
    espy_detections_finish(&objects.found);
    free(objects.boxes);
    free(objects.texts);
    free(objects.points);
    if (ok)
        *picture = drawn;
    else
        espy_picture_free(&drawn);
    return ok;
}

// ---- masks --------------------------------------------------------------------------------------

// A white picture of the grid's size, where there is none to draw on.
static bool blank(uint32_t width, uint32_t height, struct picture *picture, uint32_t *factor,
                  struct cli_message *message)
{
    const struct picture size = {width, height, NULL};
    *factor = espy_picture_enlargement(&size);
    if (!espy_picture_create(width * *factor, height * *factor, picture, message))
        return false;
    memset(picture->rgb, 255, (size_t)picture->width * picture->height * 3);
    return true;
}

static bool add_legend(const struct cli_mask *mask, struct picture *picture,
                       struct cli_message *message)
{
    const size_t room = (size_t)mask->share_count + 1;
    struct draw_key *keys = calloc(room, sizeof *keys);
    char(*texts)[LABEL_SIZE] = calloc(room, sizeof *texts);
    struct picture drawn;
    uint32_t count = 0;
    bool ok = (keys && texts) || espy_message_set(message, "out of memory for a legend");
    for (uint32_t i = 0; ok && i < mask->share_count; i++) {
        const struct cli_share *share = &mask->shares[i];
        if (share->hidden || share->share < legend_share_min)
            continue;
        if (share->label)
            (void)snprintf(texts[i], LABEL_SIZE, "%.80s", share->label);
        else
            (void)snprintf(texts[i], LABEL_SIZE, "class %u", share->index);
        keys[count++] = (struct draw_key){texts[i], espy_draw_color(share->index)};
    }
    ok = ok && espy_draw_legend(picture, keys, count, &drawn, message);
    if (ok) {
        espy_picture_free(picture);
        *picture = drawn;
    }
    free(keys);
    free(texts);
    return ok;
}

static bool lay_mask(const struct espy_value_info *info, const struct cli_mask *mask,
                     const struct cli_input *input, struct picture *picture,
                     struct cli_message *message)
{
    const bool on_picture = input && input->picture.rgb;
    uint32_t factor;
    const bool made = on_picture ? copy_picture(info, input, picture, &factor, message)
                                 : blank(mask->width, mask->height, picture, &factor, message);
    if (!made)
        return false;
    const struct picture_area whole = {0, 0, picture->width, picture->height};
    const struct picture_area area = on_picture ? times(input->area, factor) : whole;
    if (mask->is_foreground) {
        const struct draw_region region = {mask->width, mask->height, mask->values,
                                           area,        whole,        espy_draw_color(1)};
        espy_draw_region(picture, &region);
        return true;
    }
    const struct draw_classes classes = {mask->width, mask->height, mask->indices, area};
    espy_draw_classes(picture, &classes);
    return add_legend(mask, picture, message);
}

static bool draw_mask(const struct espy_value_info *info, const struct espy_tensor *tensor,
                      const struct cli_input *input, struct picture *picture,
                      struct cli_message *message)
{
    struct cli_mask mask;
    struct picture drawn = {0};
    if (!espy_mask_init(&mask, info, tensor, input, message))
        return false;
    const bool ok = lay_mask(info, &mask, input, &drawn, message);
    espy_mask_finish(&mask);
    if (ok)
        *picture = drawn;
    else
        espy_picture_free(&drawn);
    return ok;
}

// ---- depth --------------------------------------------------------------------------------------

static int ascending(const void *left, const void *right)
{
    const float a = *(const float *)left, b = *(const float *)right;
    return (a > b) - (a < b);
}

// --range, or what all but the hundredth part at each end lies within: a few places that are far
// off would leave the rest in one colour.
static bool depth_range(const float *values, size_t count, const struct cli_range *asked,
                        struct cli_range *range)
{
    float *sorted = malloc(count * sizeof *sorted);
    *range = *asked;
    if (sorted && !asked->given) {
        memcpy(sorted, values, count * sizeof *sorted);
        qsort(sorted, count, sizeof *sorted, ascending);
        const double low = sorted[count / 100], high = sorted[(count - 1) * 99 / 100];
        *range = (struct cli_range){true, low, high > low ? high : low + 1};
    }
    free(sorted);
    return sorted != NULL;
}

static bool draw_depth(const struct espy_value_info *info, const struct espy_tensor *tensor,
                       const struct cli_input *input, const struct cli_range *asked,
                       struct picture *picture, struct cli_message *message)
{
    struct cli_range range;
    uint32_t width, height;
    if (!espy_result_grid(info, tensor, &width, &height, message))
        return false;
    const size_t count = (size_t)width * height;
    float *values = malloc(count * sizeof *values);
    for (size_t i = 0; values && i < count; i++)
        values[i] = (float)espy_number_get(tensor->dtype, tensor->data, i);
    bool ok = values && depth_range(values, count, asked, &range);
    if (!ok)
        (void)espy_message_set(message, "out of memory for the depth picture");
    for (size_t i = 0; ok && i < count; i++)
        values[i] = (float)((values[i] - range.low) / (range.high - range.low));
    const bool on_picture = input && input->picture.rgb;
    struct picture size = {width, height, NULL};
    if (on_picture)
        size = input->picture;
    const uint32_t factor = espy_picture_enlargement(&size);
    const struct picture_area whole = {0, 0, size.width, size.height};
    ok = ok && espy_picture_create(size.width * factor, size.height * factor, picture, message);
    if (ok)
        espy_picture_map(values, width, height, times(on_picture ? input->area : whole, factor),
                         picture);
    free(values);
    return ok;
}

// ---- by role ------------------------------------------------------------------------------------

bool espy_drawing_make(const struct cli_outputs *outputs, uint32_t output,
                       const struct cli_inputs *inputs, const struct cli_drawing_params *params,
                       struct picture *picture, struct cli_message *message)
{
    const struct espy_value_info *info = &outputs->infos[output];
    const struct espy_tensor *tensor = &outputs->tensors[output];
    const struct cli_input *input = espy_inputs_of(inputs, info);
    struct cli_group group;
    if (espy_group_of(outputs, output, &group))
        return draw_group(outputs, &group, params->threshold, inputs, picture, message);
    if (role_is(info, "mask"))
        return draw_mask(info, tensor, input, picture, message);
    if (role_is(info, "depth"))
        return draw_depth(info, tensor, input, &params->range, picture, message);
    if (role_is(info, "attention_map") || role_is(info, "heatmap"))
        return espy_result_attention(info, tensor, input, picture, message);
    return espy_result_picture(info, tensor, info->of ? input : NULL, &params->range, picture,
                               message);
}
