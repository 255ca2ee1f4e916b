#include "cli_results.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli_number.h"

// ---- classes ------------------------------------------------------------------------------------

static bool role_is(const struct espy_value_info *info, const char *role)
{
    return info->role && !strcmp(info->role, role);
}

bool espy_result_is_classes(const struct espy_value_info *info)
{
    return role_is(info, "logits") || role_is(info, "probabilities");
}

static size_t element_count(const struct espy_tensor *tensor)
{
    size_t count = 1;
    for (uint32_t d = 0; d < tensor->rank; d++)
        count *= (size_t)tensor->dims[d];
    return count;
}

// The labels name one row's classes when the last dimensions make as many, or when a list of
// numbers is a whole number of such rows.
static bool labels_fit(const struct espy_value_info *info, const struct espy_tensor *tensor)
{
    if (!info->label_count)
        return false;
    if (tensor->rank == 1)
        return (uint64_t)tensor->dims[0] % info->label_count == 0;
    uint64_t classes = 1;
    for (uint32_t d = tensor->rank; d-- > 0 && classes <= info->label_count;) {
        classes *= (uint64_t)tensor->dims[d];
        if (classes == info->label_count)
            return true;
    }
    return false;
}

void espy_result_rows(const struct espy_value_info *info, const struct espy_tensor *tensor,
                      size_t *rows, size_t *classes)
{
    const size_t count = element_count(tensor);
    *rows = 1;
    if (labels_fit(info, tensor))
        *rows = count / info->label_count;
    else if (tensor->rank > 1)
        *rows = (size_t)tensor->dims[0];
    *classes = *rows ? count / *rows : 0;
}

// Turns scores into probabilities in place; a row of NaN stays so.
static void softmax(double *scores, size_t count)
{
    double largest = -(double)INFINITY, sum = 0;
    for (size_t i = 0; i < count; i++)
        largest = scores[i] > largest ? scores[i] : largest;
    for (size_t i = 0; i < count; i++) {
        scores[i] = exp(scores[i] - largest);
        sum += scores[i];
    }
    for (size_t i = 0; i < count; i++)
        scores[i] /= sum;
}

uint32_t espy_result_top(const struct espy_value_info *info, const struct espy_tensor *tensor,
                         size_t row, uint32_t top, struct cli_class *classes)
{
    size_t rows, count;
    espy_result_rows(info, tensor, &rows, &count);
    double *scores = count ? malloc(count * sizeof *scores) : NULL;
    if (!scores)
        return count ? UINT32_MAX : 0;
    for (size_t i = 0; i < count; i++)
        scores[i] = espy_number_get(tensor->dtype, tensor->data, row * count + i);
    if (role_is(info, "logits"))
        softmax(scores, count);
    uint32_t found = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t at = found;
        while (at > 0 && scores[i] > classes[at - 1].probability)
            at--;
        if (at == top)
            continue;
        found += found < top;
        memmove(classes + at + 1, classes + at, (found - at - 1) * sizeof *classes);
        classes[at] = (struct cli_class){(uint32_t)i, scores[i],
                                         i < info->label_count ? info->labels[i] : NULL};
    }
    free(scores);
    return found;
}

// ---- files --------------------------------------------------------------------------------------

char *espy_result_path(const char *dir, const char *name)
{
    const size_t dir_length = dir ? strlen(dir) : 0, name_length = strlen(name);
    char *path = malloc(dir_length + name_length + sizeof "/.npy");
    if (!path)
        return NULL;
    (void)sprintf(path, "%s%s%s.npy", dir ? dir : "", dir ? "/" : "", name);
    for (char *at = path + (dir ? dir_length + 1 : 0); *at; at++) {
        if (*at == '/' || *at == ':')
            *at = '_';
    }
    return path;
}

// ---- pictures -----------------------------------------------------------------------------------

enum { BATCH_MAX = 1024, SHEET_GAP = 2 };

struct plane {
    uint32_t width, height, channels;
    uint32_t count; // of a batch
    bool last;      // channels last
};

static bool find_plane(const struct espy_tensor *tensor, struct plane *plane)
{
    const uint32_t lead = tensor->rank == 4;
    const int64_t *dims = tensor->dims + lead;
    if ((tensor->rank != 3 && tensor->rank != 4) ||
        (lead && (tensor->dims[0] < 1 || tensor->dims[0] > BATCH_MAX)))
        return false;
    plane->count = lead ? (uint32_t)tensor->dims[0] : 1;
    plane->last = dims[0] != 1 && dims[0] != 3;
    const int64_t channels = dims[plane->last ? 2 : 0];
    const int64_t height = dims[plane->last ? 0 : 1], width = dims[plane->last ? 1 : 2];
    if ((channels != 1 && channels != 3) || height < 1 || width < 1 || height > PICTURE_SIDE_MAX ||
        width > PICTURE_SIDE_MAX)
        return false;
    plane->channels = (uint32_t)channels;
    plane->height = (uint32_t)height;
    plane->width = (uint32_t)width;
    return true;
}

// What --range says; bytes as they are; else guessed from the values: networks make -1..1, 0..1 or
// 0..255, and a little beyond.
static struct cli_range choose_range(const struct espy_tensor *tensor,
                                     const struct cli_range *asked)
{
    double low = 0, high = 0;
    if (asked->given)
        return *asked;
    if (!espy_number_is_float(tensor->dtype))
        return (struct cli_range){true, 0, 255};
    const size_t count = element_count(tensor);
    for (size_t i = 0; i < count; i++) {
        const double value = espy_number_get(tensor->dtype, tensor->data, i);
        low = value < low ? value : low;
        high = value > high ? value : high;
    }
    if (high > 4)
        return (struct cli_range){true, 0, 255};
    return (struct cli_range){true, low < -0.25 ? -1 : 0, 1};
}

static uint8_t to_byte(double value)
{
    return value > 0 ? (value < 255 ? (uint8_t)(value + 0.5) : 255) : 0;
}

// true: the output is in the units of a normalised input, so the input's preprocessing undone
// gives bytes.
static bool is_normalised(const struct cli_input *input)
{
    if (!input || !input->info.preprocess)
        return false;
    for (unsigned c = 0; c < espy_picture_channels(input->info.preprocess); c++) {
        const double std = input->info.preprocess->std[c];
        if (input->info.preprocess->mean[c] != 0 || (std != 0 && std != 1))
            return true;
    }
    return false;
}

// The part of an output that depicts the picture, resized so that a pixel is as wide as it is high
// again: no smaller than the output or than what the network saw of the picture.
static bool undo_resize(const struct cli_input *input, struct picture *picture,
                        struct cli_message *message)
{
    const struct picture_area *area = &input->area;
    const double across = picture->width / (area->right - area->left); // output pixels per pixel
    const double down = picture->height / (area->bottom - area->top);
    const double left = area->left > 0 ? area->left : 0, top = area->top > 0 ? area->top : 0;
    const double right = fmin(area->right, input->picture.width);
    const double bottom = fmin(area->bottom, input->picture.height);
    const double larger = fmax(1, fmax(across, down));
    const double limit = sqrt(PICTURE_PIXELS_MAX / ((right - left) * (bottom - top)));
    const double scale = fmin(larger, fmax(1, limit));
    struct picture part, whole;
    const uint32_t x = (uint32_t)fmin(rint((left - area->left) * across), picture->width - 1.0);
    const uint32_t y = (uint32_t)fmin(rint((top - area->top) * down), picture->height - 1.0);
    const double width = fmax(1, rint((right - left) * across)),
                 height = fmax(1, rint((bottom - top) * down));
    if (!espy_picture_create((uint32_t)fmin(width, picture->width - x),
                             (uint32_t)fmin(height, picture->height - y), &part, message))
        return false;
    for (uint32_t row = 0; row < part.height; row++)
        memcpy(part.rgb + (size_t)row * part.width * 3,
               picture->rgb + ((size_t)(y + row) * picture->width + x) * 3, (size_t)part.width * 3);
    const bool ok = espy_picture_enlarge(&part, (uint32_t)rint((right - left) * scale),
                                         (uint32_t)rint((bottom - top) * scale), &whole, message);
    espy_picture_free(&part);
    if (!ok)
        return false;
    espy_picture_free(picture);
    *picture = whole;
    return true;
}

// How elements become bytes.
struct levels {
    struct cli_range range;
    const struct espy_preprocess *undo; // or NULL
    bool bgr;
};

static struct levels find_levels(const struct espy_tensor *tensor, const struct cli_input *input,
                                 const struct cli_range *asked)
{
    const struct espy_preprocess *how = input ? input->info.preprocess : NULL;
    return (struct levels){.range = choose_range(tensor, asked),
                           .undo = is_normalised(input) && !asked->given ? how : NULL,
                           .bgr = how && how->color && !strcmp(how->color, "bgr")};
}

// Picture `index` of a batch.
static void fill_picture(const struct espy_tensor *tensor, const struct plane *plane,
                         uint32_t index, const struct levels *levels, struct picture *picture)
{
    const size_t pixels = (size_t)plane->width * plane->height;
    const size_t first = pixels * plane->channels * index;
    const struct espy_preprocess *undo = levels->undo;
    const struct cli_range *range = &levels->range;
    for (size_t i = 0; i < pixels; i++) {
        for (uint32_t c = 0; c < 3; c++) {
            const uint32_t from = plane->channels == 1 ? 0 : levels->bgr ? 2 - c : c;
            const size_t at = plane->last ? i * plane->channels + from : from * pixels + i;
            double value = espy_number_get(tensor->dtype, tensor->data, first + at);
            if (undo) {
                const double std = undo->std[from] != 0 ? undo->std[from] : 1;
                value = (value * std + undo->mean[from]) * (undo->scale != 0 ? undo->scale : 1);
            } else {
                value = (value - range->low) / (range->high - range->low) * 255;
            }
            picture->rgb[i * 3 + c] = to_byte(value);
        }
    }
}

// All pictures of a batch side by side, as many rows as columns or one less.
static bool make_sheet(const struct espy_tensor *tensor, const struct plane *plane,
                       const struct levels *levels, struct picture *sheet,
                       struct cli_message *message)
{
    const uint32_t columns = (uint32_t)ceil(sqrt(plane->count));
    const uint32_t rows = (plane->count + columns - 1) / columns;
    const uint32_t across = plane->width + SHEET_GAP, down = plane->height + SHEET_GAP;
    struct picture one;
    if (!espy_picture_create(plane->width, plane->height, &one, message))
        return false;
    const bool ok =
        espy_picture_create(columns * across - SHEET_GAP, rows * down - SHEET_GAP, sheet, message);
    if (ok)
        memset(sheet->rgb, 255, (size_t)sheet->width * sheet->height * 3);
    for (uint32_t i = 0; ok && i < plane->count; i++) {
        const size_t left = (size_t)(i % columns) * across, top = (size_t)(i / columns) * down;
        fill_picture(tensor, plane, i, levels, &one);
        for (uint32_t y = 0; y < one.height; y++)
            memcpy(sheet->rgb + ((top + y) * sheet->width + left) * 3,
                   one.rgb + (size_t)y * one.width * 3, (size_t)one.width * 3);
    }
    espy_picture_free(&one);
    return ok;
}

bool espy_result_picture(const struct espy_value_info *info, const struct espy_tensor *tensor,
                         const struct cli_input *input, const struct cli_range *range,
                         struct picture *picture, struct cli_message *message)
{
    struct plane plane;
    char shape[128];
    if (!find_plane(tensor, &plane)) {
        return espy_message_set(message, "output '%s' (%s) is no picture; write it as .npy",
                                info->name,
                                espy_shape_print(tensor->rank, tensor->dims, shape, sizeof shape));
    }
    const struct levels levels = find_levels(tensor, input, range);
    if (plane.count > 1)
        return make_sheet(tensor, &plane, &levels, picture, message);
    if (!espy_picture_create(plane.width, plane.height, picture, message))
        return false;
    fill_picture(tensor, &plane, 0, &levels, picture);
    if (!input || !input->picture.rgb || undo_resize(input, picture, message))
        return true;
    espy_picture_free(picture);
    return false;
}

bool espy_result_grid(const struct espy_value_info *info, const struct espy_tensor *tensor,
                      uint32_t *width, uint32_t *height, struct cli_message *message)
{
    const uint32_t rank = tensor->rank;
    const bool last = rank == 4 && tensor->dims[3] == 1 && tensor->dims[1] != 1;
    const uint32_t at = last ? 1 : rank - 2;
    char shape[128];
    bool fits = rank >= 2;
    for (uint32_t d = 0; d < rank && fits; d++)
        fits = d == at || d == at + 1 ? tensor->dims[d] > 0 && tensor->dims[d] <= PICTURE_SIDE_MAX
                                      : tensor->dims[d] == 1;
    if (!fits)
        return espy_message_set(
            message, "output '%s' is %s, but what has the role \"%s\" is 1x1xHxW", info->name,
            espy_shape_print(rank, tensor->dims, shape, sizeof shape),
            info->role ? info->role : "");
    *height = (uint32_t)tensor->dims[at];
    *width = (uint32_t)tensor->dims[at + 1];
    return true;
}

bool espy_result_attention(const struct espy_value_info *info, const struct espy_tensor *tensor,
                           const struct cli_input *input, struct picture *picture,
                           struct cli_message *message)
{
    uint32_t width, height;
    if (!espy_result_grid(info, tensor, &width, &height, message))
        return false;
    if (!input || !input->picture.rgb) {
        return espy_message_set(message,
                                "output '%s' can be drawn on a picture only; give a JPEG or PNG "
                                "as input%s%s%s",
                                info->name, info->of ? " '" : "", info->of ? info->of : "",
                                info->of ? "'" : "");
    }
    const size_t count = (size_t)width * height;
    float *map = malloc(count * sizeof *map);
    if (!map)
        return espy_message_set(message, "out of memory for the attention picture");
    for (size_t i = 0; i < count; i++)
        map[i] = (float)espy_number_get(tensor->dtype, tensor->data, i);
    const bool ok =
        espy_picture_overlay(&input->picture, map, width, height, &input->area, picture, message);
    free(map);
    return ok;
}
