#include "cli_listing.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli_detections.h"
#include "cli_json.h"
#include "cli_mask.h"
#include "cli_results.h"

enum { NAME_SIZE = 256, LABEL_COLUMNS_MIN = 5, LABEL_COLUMNS_MAX = 28, POINTS_A_LINE = 5 };

static bool is_mask(const struct espy_value_info *info)
{
    return info->role && !strcmp(info->role, "mask");
}

// The label without what could drive a terminal, else "class 7", else "".
static const char *name_of(const char *label, uint32_t index, char buffer[NAME_SIZE])
{
    if (label)
        return espy_cli_clean(label, buffer, NAME_SIZE);
    buffer[0] = '\0';
    if (index != UINT32_MAX)
        (void)snprintf(buffer, NAME_SIZE, "class %u", index);
    return buffer;
}

static void add_class(cJSON *entry, const char *label, uint32_t index)
{
    char name[32];
    if (index == UINT32_MAX)
        return;
    (void)snprintf(name, sizeof name, "class %u", index);
    (void)cJSON_AddNumberToObject(entry, "index", index);
    (void)cJSON_AddStringToObject(entry, "label", label ? label : name);
}

// ---- classes ------------------------------------------------------------------------------------

static void tell_row(const struct cli_class *classes, uint32_t count, cJSON *list)
{
    for (uint32_t k = 0; k < count; k++) {
        char name[NAME_SIZE];
        if (!list) {
            (void)printf("%6.2f %%  %s\n", classes[k].probability * 100,
                         name_of(classes[k].label, classes[k].index, name));
            continue;
        }
        cJSON *entry = cJSON_CreateObject();
        add_class(entry, classes[k].label, classes[k].index);
        espy_json_add_number(entry, "probability", classes[k].probability);
        (void)cJSON_AddItemToArray(list, entry);
    }
}

static bool tell_classes(const struct cli_listing *listing, uint32_t output, cJSON *json,
                         struct cli_message *message)
{
    const struct espy_value_info *info = &listing->outputs->infos[output];
    const struct espy_tensor *tensor = &listing->outputs->tensors[output];
    struct cli_class *classes = calloc((size_t)listing->top + 1, sizeof *classes);
    cJSON *array = json ? cJSON_AddArrayToObject(json, "top") : NULL;
    size_t rows, count;
    bool ok = classes != NULL;
    espy_result_rows(info, tensor, &rows, &count);
    for (size_t row = 0; ok && row < rows; row++) {
        const uint32_t found = espy_result_top(info, tensor, row, listing->top, classes);
        cJSON *list = json ? cJSON_CreateArray() : NULL;
        ok = found != UINT32_MAX;
        if (!json && rows > 1)
            (void)printf("%s[%zu]\n", info->name, row);
        if (ok)
            tell_row(classes, found, list);
        if (json)
            (void)cJSON_AddItemToArray(array, list);
    }
    free(classes);
    return ok || espy_message_set(message, "out of memory for the classes");
}

// ---- found objects ------------------------------------------------------------------------------

static void add_points(const struct cli_detections *found, const struct cli_detection *item,
                       cJSON *entry)
{
    cJSON *list = cJSON_AddArrayToObject(entry, "keypoints");
    for (uint32_t k = 0; k < found->point_count; k++) {
        const double *point = found->points + ((size_t)item->row * found->point_count + k) * 3;
        cJSON *at = cJSON_CreateDoubleArray(point, isnan(point[2]) ? 2 : 3);
        (void)cJSON_AddItemToArray(list, at);
    }
}

static void print_points(const struct cli_detections *found, const struct cli_detection *item)
{
    for (uint32_t k = 0; k < found->point_count; k++) {
        const double *point = found->points + ((size_t)item->row * found->point_count + k) * 3;
        const bool last = k + 1 == found->point_count || k % POINTS_A_LINE == POINTS_A_LINE - 1;
        (void)printf("%s(%.1f %.1f)%s", k % POINTS_A_LINE ? " " : "    ", point[0], point[1],
                     last ? "\n" : "");
    }
}

static void add_objects(const struct cli_detections *found, cJSON *json)
{
    cJSON *list = cJSON_AddArrayToObject(json, "found");
    for (uint32_t i = 0; i < found->count; i++) {
        const struct cli_detection *item = &found->items[i];
        cJSON *entry = cJSON_CreateObject();
        add_class(entry, item->label, item->index);
        if (!isnan(item->score))
            espy_json_add_number(entry, "score", item->score);
        const double box[] = {item->box.left, item->box.top, item->box.right, item->box.bottom};
        if (found->has_boxes)
            (void)cJSON_AddItemToObject(entry, "box", cJSON_CreateDoubleArray(box, 4));
        if (found->point_count)
            add_points(found, item, entry);
        (void)cJSON_AddItemToArray(list, entry);
    }
}

static void print_objects(const struct cli_detections *found, const char *output)
{
    char name[NAME_SIZE];
    int columns = LABEL_COLUMNS_MIN;
    for (uint32_t i = 0; i < found->count; i++) {
        const size_t length = strlen(name_of(found->items[i].label, found->items[i].index, name));
        columns = (int)length > columns ? (int)length : columns;
    }
    columns = columns < LABEL_COLUMNS_MAX ? columns : LABEL_COLUMNS_MAX;
    if (!found->count)
        (void)printf("%s: nothing found\n", espy_cli_clean(output, name, sizeof name));
    else if (found->has_boxes)
        (void)printf("%-*s  score       x1       y1       x2       y2\n", columns, "label");
    for (uint32_t i = 0; i < found->count; i++) {
        const struct cli_detection *item = &found->items[i];
        char score[16] = "";
        if (!isnan(item->score))
            (void)snprintf(score, sizeof score, "%.2f", item->score);
        if (found->has_boxes || *score || item->index != UINT32_MAX)
            (void)printf("%-*s  %5s", columns, name_of(item->label, item->index, name), score);
        if (found->has_boxes)
            (void)printf(" %8.1f %8.1f %8.1f %8.1f", item->box.left, item->box.top, item->box.right,
                         item->box.bottom);
        if (found->has_boxes || *score || item->index != UINT32_MAX)
            (void)putchar('\n');
        print_points(found, item);
    }
}

static bool tell_objects(const struct cli_listing *listing, const struct cli_group *group,
                         cJSON *json, struct cli_message *message)
{
    struct cli_detections found;
    const struct espy_value_info *info = &listing->outputs->infos[espy_group_first(group)];
    const struct cli_input *input = espy_inputs_of(listing->inputs, info);
    if (!espy_detections_init(&found, listing->outputs, group, input, listing->threshold, message))
        return false;
    if (json)
        add_objects(&found, json);
    else
        print_objects(&found, info->name);
    espy_detections_finish(&found);
    return true;
}

// ---- masks --------------------------------------------------------------------------------------

static bool tell_mask(const struct cli_listing *listing, uint32_t output, cJSON *json,
                      struct cli_message *message)
{
    struct cli_mask mask;
    char name[NAME_SIZE];
    const struct espy_value_info *info = &listing->outputs->infos[output];
    if (!espy_mask_init(&mask, info, &listing->outputs->tensors[output],
                        espy_inputs_of(listing->inputs, info), message))
        return false;
    cJSON *list = json ? cJSON_AddArrayToObject(json, "shares") : NULL;
    for (uint32_t i = 0; i < mask.share_count; i++) {
        const struct cli_share *share = &mask.shares[i];
        if (!json) {
            if (share->share * 100 >= 0.005) // what is not 0.00
                (void)printf("%6.2f %%  %s\n", share->share * 100,
                             name_of(share->label, share->index, name));
            continue;
        }
        cJSON *entry = cJSON_CreateObject();
        add_class(entry, share->label, share->index);
        espy_json_add_number(entry, "share", share->share);
        (void)cJSON_AddItemToArray(list, entry);
    }
    espy_mask_finish(&mask);
    return true;
}

// ---- by role ------------------------------------------------------------------------------------

bool espy_listing_tells(const struct cli_listing *listing, uint32_t output)
{
    struct cli_group group;
    const struct espy_value_info *info = &listing->outputs->infos[output];
    return espy_result_is_classes(info) || is_mask(info) ||
           espy_group_of(listing->outputs, output, &group);
}

bool espy_listing_print(const struct cli_listing *listing, uint32_t output, cJSON *json,
                        struct cli_message *message)
{
    struct cli_group group;
    const struct espy_value_info *info = &listing->outputs->infos[output];
    if (espy_result_is_classes(info))
        return tell_classes(listing, output, json, message);
    if (is_mask(info))
        return tell_mask(listing, output, json, message);
    if (espy_group_of(listing->outputs, output, &group) && espy_group_first(&group) == output)
        return tell_objects(listing, &group, json, message);
    return true;
}
