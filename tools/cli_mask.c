#include "cli_mask.h"

#include <stdlib.h>
#include <string.h>

#include "cli_number.h"
#include "cli_results.h"

// A picture with more classes than this is no picture of classes.
enum { CLASSES_MAX = 65536 };

static bool is_background(const struct espy_value_info *info, uint32_t index)
{
    if (!info->label_count)
        return index == 0;
    const char *label = index < info->label_count ? info->labels[index] : "?";
    return !*label || !strcmp(label, "__background__") || !strcmp(label, "background");
}

static bool is_hidden(const struct cli_mask *mask, const struct espy_value_info *info,
                      uint32_t index)
{
    return mask->is_foreground ? index == 0 : is_background(info, index);
}

static int larger(const void *left, const void *right)
{
    const struct cli_share *a = left, *b = right;
    if (a->share != b->share)
        return a->share > b->share ? -1 : 1;
    return (a->index > b->index) - (a->index < b->index);
}

// true: the middle of a place of the grid is on the picture, not on what pads it.
static bool on_picture(const struct cli_mask *mask, const struct cli_input *input, uint32_t x,
                       uint32_t y)
{
    if (!input || !input->picture.rgb)
        return true;
    const struct picture_area *area = &input->area;
    const double across = area->left + (x + 0.5) / mask->width * (area->right - area->left);
    const double down = area->top + (y + 0.5) / mask->height * (area->bottom - area->top);
    return across >= 0 && down >= 0 && across < input->picture.width &&
           down < input->picture.height;
}

static bool measure(struct cli_mask *mask, const struct espy_value_info *info,
                    const struct cli_input *input, struct cli_message *message)
{
    size_t *counts = calloc(CLASSES_MAX, sizeof *counts), total = 0;
    if (!counts)
        return espy_message_set(message, "out of memory for a mask");
    for (uint32_t y = 0; y < mask->height; y++)
        for (uint32_t x = 0; x < mask->width; x++) {
            const int32_t index = mask->indices[(size_t)y * mask->width + x];
            if (index < 0 || !on_picture(mask, input, x, y))
                continue;
            mask->share_count += counts[index]++ == 0;
            total++;
        }
    mask->shares = calloc((size_t)mask->share_count + 1, sizeof *mask->shares);
    uint32_t at = 0;
    for (uint32_t i = 0; i < CLASSES_MAX && mask->shares; i++) {
        if (!counts[i])
            continue;
        struct cli_share *share = &mask->shares[at++];
        *share = (struct cli_share){.index = i, .share = (double)counts[i] / (double)total};
        share->hidden = is_hidden(mask, info, i);
        if (mask->is_foreground)
            share->label = i ? "foreground" : "background";
        else if (i < info->label_count && *info->labels[i])
            share->label = info->labels[i];
    }
    free(counts);
    if (!mask->shares)
        return espy_message_set(message, "out of memory for a mask");
    qsort(mask->shares, mask->share_count, sizeof *mask->shares, larger);
    return true;
}

bool espy_mask_init(struct cli_mask *mask, const struct espy_value_info *info,
                    const struct espy_tensor *tensor, const struct cli_input *input,
                    struct cli_message *message)
{
    *mask = (struct cli_mask){.is_foreground = espy_number_is_float(tensor->dtype)};
    if (!espy_result_grid(info, tensor, &mask->width, &mask->height, message))
        return false;
    const size_t count = (size_t)mask->width * mask->height;
    mask->indices = calloc(count, sizeof *mask->indices);
    mask->values = mask->is_foreground ? calloc(count, sizeof *mask->values) : NULL;
    bool ok = mask->indices && (mask->values || !mask->is_foreground);
    if (!ok)
        (void)espy_message_set(message, "out of memory for a mask");
    for (size_t i = 0; ok && i < count; i++) {
        const double value = espy_number_get(tensor->dtype, tensor->data, i);
        if (mask->is_foreground) {
            mask->values[i] = (float)value;
            mask->indices[i] = value > 0.5;
        } else if (value < CLASSES_MAX) {
            mask->indices[i] = value >= 0 ? (int32_t)value : -1; // such as 255: not known
        } else {
            ok = espy_message_set(message, "output '%s' is a mask, but has a class %.0f",
                                  info->name, value);
        }
    }
    ok = ok && measure(mask, info, input, message);
    for (size_t i = 0; ok && i < count; i++)
        if (mask->indices[i] >= 0 && is_hidden(mask, info, (uint32_t)mask->indices[i]))
            mask->indices[i] = -1;
    if (!ok)
        espy_mask_finish(mask);
    return ok;
}

void espy_mask_finish(struct cli_mask *mask)
{
    free(mask->indices);
    free(mask->values);
    free(mask->shares);
    *mask = (struct cli_mask){0};
}
