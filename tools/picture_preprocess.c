#include "picture_preprocess.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- resampling ---------------------------------------------------------------------------------

// Weights are fixed point with this many fraction bits, and each of the two passes rounds to bytes,
// as Pillow does; other roundings would differ by one in the last bit.
enum { WEIGHT_BITS = 22 };

// For each place of the result, which source pixels count and how much.
struct filter {
    bool cubic;    // else triangle
    uint32_t taps; // room per place
    uint32_t *first, *count;
    int32_t *weights; // [places * taps]
};

static void filter_free(struct filter *filter)
{
    free(filter->first);
    free(filter->count);
    free(filter->weights);
    *filter = (struct filter){0};
}

static double reach_of(const struct filter *filter, double scale)
{
    return (filter->cubic ? 2 : 1) * (scale < 1 ? 1 : scale);
}

// Catmull and Rom's, or the triangle.
static double weight_at(const struct filter *filter, double distance)
{
    const double d = fabs(distance);
    if (!filter->cubic)
        return d < 1 ? 1 - d : 0;
    if (d < 1)
        return (1.5 * d - 2.5) * d * d + 1;
    return d < 2 ? ((2.5 - 0.5 * d) * d - 4) * d + 2 : 0;
}

static void filter_place(struct filter *filter, uint32_t place, uint32_t from, double scale)
{
    const double stretch = scale < 1 ? 1 : scale, reach = reach_of(filter, scale);
    const double center = ((double)place + 0.5) * scale;
    const double low = center - reach + 0.5, high = center + reach + 0.5;
    const uint32_t first = low < 0 ? 0 : (uint32_t)low;
    const uint32_t end = high > from ? from : (uint32_t)high;
    int32_t *weights = filter->weights + (size_t)place * filter->taps;
    double sum = 0;
    assert(first < end);
    assert(end - first <= filter->taps);
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < end - first; i++) {
            const double weight = weight_at(filter, ((double)(i + first) - center + 0.5) / stretch);
            const double share = pass ? weight / sum * (1 << WEIGHT_BITS) : 0;
            if (pass == 0)
                sum += weight;
            else
                weights[i] = (int32_t)(share + (share < 0 ? -0.5 : 0.5));
        }
    }
    filter->first[place] = first;
    filter->count[place] = end - first;
}

static bool filter_init(struct filter *filter, uint32_t from, uint32_t to)
{
    const double scale = (double)from / (double)to;
    filter->taps = (uint32_t)ceil(reach_of(filter, scale)) * 2 + 1;
    filter->first = calloc(to, sizeof *filter->first);
    filter->count = calloc(to, sizeof *filter->count);
    filter->weights = calloc((size_t)to * filter->taps, sizeof *filter->weights);
    if (!filter->first || !filter->count || !filter->weights)
        return false;
    for (uint32_t place = 0; place < to; place++)
        filter_place(filter, place, from, scale);
    return true;
}

// One output pixel from pixels that lie `step` bytes apart.
static void weigh(const uint8_t *pixels, size_t step, const int32_t *weights, uint32_t count,
                  uint8_t *rgb)
{
    int64_t sums[3] = {1 << (WEIGHT_BITS - 1), 1 << (WEIGHT_BITS - 1), 1 << (WEIGHT_BITS - 1)};
    for (uint32_t i = 0; i < count; i++, pixels += step) {
        for (unsigned c = 0; c < 3; c++)
            sums[c] += (int64_t)pixels[c] * weights[i];
    }
    for (unsigned c = 0; c < 3; c++) {
        const int64_t value = sums[c] < 0 ? 0 : sums[c] >> WEIGHT_BITS;
        rgb[c] = (uint8_t)(value > 255 ? 255 : value);
    }
}

static void resize_rows(const struct picture *from, const struct filter *filter, struct picture *to)
{
    for (uint32_t y = 0; y < to->height; y++) {
        const uint8_t *row = from->rgb + (size_t)y * from->width * 3;
        for (uint32_t x = 0; x < to->width; x++) {
            weigh(row + (size_t)filter->first[x] * 3, 3, filter->weights + (size_t)x * filter->taps,
                  filter->count[x], to->rgb + ((size_t)y * to->width + x) * 3);
        }
    }
}

static void resize_columns(const struct picture *from, const struct filter *filter,
                           struct picture *to)
{
    const size_t stride = (size_t)from->width * 3;
    for (uint32_t y = 0; y < to->height; y++) {
        const uint8_t *rows = from->rgb + filter->first[y] * stride;
        for (uint32_t x = 0; x < to->width; x++) {
            weigh(rows + (size_t)x * 3, stride, filter->weights + (size_t)y * filter->taps,
                  filter->count[y], to->rgb + ((size_t)y * to->width + x) * 3);
        }
    }
}

static bool resize(const struct picture *picture, uint32_t width, uint32_t height, bool cubic,
                   struct picture *result, struct cli_message *message)
{
    struct filter across = {.cubic = cubic}, down = {.cubic = cubic};
    struct picture narrow = {0}, found = {0};
    bool ok = espy_picture_create(width, picture->height, &narrow, message) &&
              espy_picture_create(width, height, &found, message);
    if (ok && (!filter_init(&across, picture->width, width) ||
               !filter_init(&down, picture->height, height)))
        ok = espy_message_set(message, "out of memory for resizing a picture");
    if (ok) {
        resize_rows(picture, &across, &narrow);
        resize_columns(&narrow, &down, &found);
        *result = found;
        found = (struct picture){0};
    }
    filter_free(&across);
    filter_free(&down);
    espy_picture_free(&narrow);
    espy_picture_free(&found);
    return ok;
}

bool espy_picture_resize(const struct picture *picture, uint32_t width, uint32_t height,
                         struct picture *result, struct cli_message *message)
{
    return resize(picture, width, height, false, result, message);
}

bool espy_picture_enlarge(const struct picture *picture, uint32_t width, uint32_t height,
                          struct picture *result, struct cli_message *message)
{
    return resize(picture, width, height, true, result, message);
}

// ---- preprocessing ------------------------------------------------------------------------------

// How the resized picture lies in the frame that the network sees.
struct fit {
    uint32_t width, height; // of the resized picture
    int64_t x, y;           // of its corner in the frame; negative where it is cropped
};

static bool mode_is(const char *mode, const char *name)
{
    return mode && !strcmp(mode, name);
}

// side * to / from, rounded to the nearest and at least 1.
static uint32_t nearest_side(uint32_t side, uint32_t to, uint32_t from)
{
    const uint64_t nearest = (2 * (uint64_t)side * to + from) / (2 * (uint64_t)from);
    return nearest < 1 ? 1 : nearest > UINT32_MAX ? UINT32_MAX : (uint32_t)nearest;
}

static struct fit fit_picture(const struct picture *picture, const char *mode, uint32_t width,
                              uint32_t height)
{
    const double wide = (double)width / picture->width, high = (double)height / picture->height;
    struct fit fit = {width, height, 0, 0};
    if (mode_is(mode, "crop")) {
        // The longer side is cut to a whole number, as torchvision's Resize does; its CenterCrop
        // rounds halves to even, as rint does.
        if (wide > high)
            fit.height = (uint32_t)((double)picture->height * width / picture->width);
        else
            fit.width = (uint32_t)((double)picture->width * height / picture->height);
        fit.width = fit.width < width ? width : fit.width;
        fit.height = fit.height < height ? height : fit.height;
        fit.x = -(int64_t)rint((fit.width - width) / 2.0);
        fit.y = -(int64_t)rint((fit.height - height) / 2.0);
    } else if (mode_is(mode, "letterbox")) {
        // The picture stays in the upper left corner, so that boxes need only be scaled back. In
        // whole numbers, so that a network that does this by itself comes to the same size.
        fit.width = nearest_side(picture->width, height, picture->height);
        fit.height = nearest_side(picture->height, width, picture->width);
        fit.width = fit.width > width ? width : fit.width;
        fit.height = fit.height > height ? height : fit.height;
    }
    return fit;
}

void espy_picture_input_size(const struct picture *picture,
                             const struct espy_preprocess *preprocess, uint32_t *width,
                             uint32_t *height)
{
    *width = preprocess->width ? preprocess->width : picture->width;
    *height = preprocess->height ? preprocess->height : picture->height;
}

uint32_t espy_picture_channels(const struct espy_preprocess *preprocess)
{
    return mode_is(preprocess->color, "gray") ? 1 : 3;
}

// The byte of one channel in the network's colour order.
static uint8_t channel_of(const uint8_t *rgb, const struct espy_preprocess *preprocess, uint32_t c)
{
    if (mode_is(preprocess->color, "gray")) {
        // ITU-R 601 luma in Pillow's fixed point.
        return (uint8_t)((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u) >> 16);
    }
    return rgb[mode_is(preprocess->color, "bgr") ? 2 - c : c];
}

static void fill_values(const struct picture *resized, const struct fit *fit, uint32_t width,
                        uint32_t height, const struct espy_preprocess *preprocess, float *values)
{
    static const uint8_t pad[3] = {PICTURE_PAD, PICTURE_PAD, PICTURE_PAD};
    const uint32_t channels = espy_picture_channels(preprocess);
    const bool last = mode_is(preprocess->layout, "nhwc");
    const double scale = preprocess->scale != 0 ? preprocess->scale : 1;
    for (uint32_t y = 0; y < height; y++) {
        const int64_t source_y = (int64_t)y - fit->y;
        for (uint32_t x = 0; x < width; x++) {
            const int64_t source_x = (int64_t)x - fit->x;
            const bool inside = source_x >= 0 && source_x < resized->width && source_y >= 0 &&
                                source_y < resized->height;
            const uint8_t *rgb =
                inside ? resized->rgb + ((size_t)source_y * resized->width + (size_t)source_x) * 3
                       : pad;
            const size_t place = (size_t)y * width + x;
            for (uint32_t c = 0; c < channels; c++) {
                const double std = preprocess->std[c] != 0 ? preprocess->std[c] : 1;
                const double value =
                    (channel_of(rgb, preprocess, c) / scale - preprocess->mean[c]) / std;
                values[last ? place * channels + c : (size_t)c * width * height + place] =
                    (float)value;
            }
        }
    }
}

bool espy_picture_preprocess(const struct picture *picture,
                             const struct espy_preprocess *preprocess, float *values,
                             struct picture_area *area, struct cli_message *message)
{
    struct picture resized;
    uint32_t width, height;
    espy_picture_input_size(picture, preprocess, &width, &height);
    const struct fit fit = fit_picture(picture, preprocess->resize, width, height);
    if (!espy_picture_resize(picture, fit.width, fit.height, &resized, message))
        return false;
    fill_values(&resized, &fit, width, height, preprocess, values);
    if (area) {
        const double across = (double)picture->width / fit.width;
        const double down = (double)picture->height / fit.height;
        area->left = -(double)fit.x * across;
        area->top = -(double)fit.y * down;
        area->right = area->left + width * across;
        area->bottom = area->top + height * down;
    }
    espy_picture_free(&resized);
    return true;
}

// ---- heatmap ------------------------------------------------------------------------------------

void espy_picture_color(double value, double rgb[3])
{
    // Least-squares fit to a path in OKLab of lightness 0.12 + 0.86 t, hue turning from violet over
    // red to yellow.
    static const double terms[3][7] = {
        {0.0320, 0.2924, 5.4755, -4.1291, -9.3201, 13.6061, -4.9611},
        {-0.0110, 1.3224, -9.9650, 21.2019, -4.3205, -18.0205, 10.8054},
        {0.0642, 1.9602, -3.8253, 13.2505, -54.2492, 76.4102, -32.9598},
    };
    const double t = value > 0 ? (value < 1 ? value : 1) : 0; // a NaN becomes 0
    for (unsigned c = 0; c < 3; c++) {
        double sum = 0;
        for (unsigned i = 7; i-- > 0;)
            sum = sum * t + terms[c][i];
        rgb[c] = sum < 0 ? 0 : sum > 1 ? 1 : sum;
    }
}

// The map at u, v in 0..1, between the centres of its four nearest cells.
static double sample(const float *map, uint32_t width, uint32_t height, double u, double v)
{
    double x = u * width - 0.5, y = v * height - 0.5;
    x = x < 0 ? 0 : x > width - 1.0 ? width - 1.0 : x;
    y = y < 0 ? 0 : y > height - 1.0 ? height - 1.0 : y;
    const uint32_t x0 = (uint32_t)x, y0 = (uint32_t)y;
    const uint32_t x1 = x0 + 1 < width ? x0 + 1 : x0, y1 = y0 + 1 < height ? y0 + 1 : y0;
    const double fx = x - x0, fy = y - y0;
    const float *upper = map + (size_t)y0 * width, *lower = map + (size_t)y1 * width;
    return (upper[x0] * (1 - fx) + upper[x1] * fx) * (1 - fy) +
           (lower[x0] * (1 - fx) + lower[x1] * fx) * fy;
}

// Low values hide little of the picture, high ones most of it.
static void blend(double value, uint8_t rgb[3])
{
    double color[3];
    const double t = value > 0 ? (value < 1 ? value : 1) : 0;
    const double share = 0.25 + 0.45 * t;
    espy_picture_color(t, color);
    for (unsigned c = 0; c < 3; c++)
        rgb[c] = (uint8_t)(rgb[c] * (1 - share) + 255 * color[c] * share + 0.5);
}

uint32_t espy_picture_enlargement(const struct picture *picture)
{
    uint32_t enlarge = 1;
    if (picture->width < PICTURE_OVERLAY_WIDTH_MIN)
        enlarge = (PICTURE_OVERLAY_WIDTH_MIN + picture->width - 1) / picture->width;
    // A one pixel wide strip would become a picture of thousands of rows; it may stay narrow.
    while (enlarge > 1 && (uint64_t)picture->height * enlarge > PICTURE_SIDE_MAX)
        enlarge--;
    return enlarge;
}

void espy_picture_map(const float *map, uint32_t map_width, uint32_t map_height,
                      struct picture_area area, struct picture *picture)
{
    const double across = area.right - area.left, down = area.bottom - area.top;
    for (uint32_t y = 0; y < picture->height; y++)
        for (uint32_t x = 0; x < picture->width; x++) {
            const double u = (x + 0.5 - area.left) / across, v = (y + 0.5 - area.top) / down;
            const bool seen = u >= 0 && u <= 1 && v >= 0 && v <= 1;
            double color[3];
            espy_picture_color(seen ? sample(map, map_width, map_height, u, v) : 0, color);
            for (unsigned c = 0; c < 3; c++)
                picture->rgb[((size_t)y * picture->width + x) * 3 + c] =
                    (uint8_t)(255 * color[c] + 0.5);
        }
}

bool espy_picture_overlay(const struct picture *picture, const float *map, uint32_t map_width,
                          uint32_t map_height, const struct picture_area *area,
                          struct picture *result, struct cli_message *message)
{
    const uint32_t enlarge = espy_picture_enlargement(picture);
    if (!espy_picture_resize(picture, picture->width * enlarge, picture->height * enlarge, result,
                             message))
        return false;
    const double across = area->right - area->left, down = area->bottom - area->top;
    for (uint32_t y = 0; y < result->height; y++) {
        const double v = ((y + 0.5) / enlarge - area->top) / down;
        for (uint32_t x = 0; x < result->width; x++) {
            const double u = ((x + 0.5) / enlarge - area->left) / across;
            const bool seen = u >= 0 && u <= 1 && v >= 0 && v <= 1;
            blend(seen ? sample(map, map_width, map_height, u, v) : 0,
                  result->rgb + ((size_t)y * result->width + x) * 3);
        }
    }
    return true;
}
