#include "draw.h"

#include <math.h>

struct draw_color espy_draw_color(uint32_t index)
{
    // Hues by the golden ratio lie as far from the ones before as they can; every round of about
    // eight is lighter or darker than the last.
    static const double saturation[] = {0.85, 0.55, 0.95}, value[] = {1, 0.95, 0.75};
    const double turns = 0.08 + index * 0.6180339887498949;
    const double hue = (turns - floor(turns)) * 6;
    const uint32_t round = index / 8 % 3;
    struct draw_color color;
    for (unsigned c = 0; c < 3; c++) {
        const double k = fmod(5 - 2 * (double)c + hue, 6); // red, green, blue stand at 5, 3, 1
        const double ramp = fmax(0, fmin(1, fmin(k, 4 - k)));
        const double level = value[round] * (1 - saturation[round] * ramp);
        color.rgb[c] = (uint8_t)(255 * level + 0.5);
    }
    return color;
}

struct draw_color espy_draw_ink(struct draw_color ground)
{
    const unsigned luma = ground.rgb[0] * 299u + ground.rgb[1] * 587u + ground.rgb[2] * 114u;
    return luma > 128000 ? (struct draw_color){{0, 0, 0}} : (struct draw_color){{255, 255, 255}};
}

double espy_draw_unit(const struct picture *picture)
{
    const uint32_t longer = picture->width > picture->height ? picture->width : picture->height;
    return longer > 400 ? longer / 400.0 : 1;
}

static void blend(struct picture *picture, int64_t x, int64_t y, struct draw_color color,
                  double opacity)
{
    if (x < 0 || y < 0 || x >= picture->width || y >= picture->height || !(opacity > 0))
        return;
    uint8_t *rgb = picture->rgb + ((size_t)y * picture->width + (size_t)x) * 3;
    const double share = opacity < 1 ? opacity : 1;
    for (unsigned c = 0; c < 3; c++)
        rgb[c] = (uint8_t)(rgb[c] + (color.rgb[c] - rgb[c]) * share + 0.5);
}

// How much of the pixel from at to at + 1 lies between low and high.
static double overlap(int64_t at, double low, double high)
{
    const double from = fmax((double)at, low), to = fmin((double)at + 1, high);
    return to > from ? to - from : 0;
}

// The pixels of a side that an interval touches.
static void touched(double low, double high, uint32_t side, int64_t *first, int64_t *end)
{
    *first = low > 0 ? (low < side ? (int64_t)floor(low) : side) : 0;
    *end = high < side ? (high > 0 ? (int64_t)ceil(high) : 0) : side;
}

void espy_draw_fill(struct picture *picture, struct picture_area area, struct draw_color color,
                    double opacity)
{
    int64_t left, right, top, bottom;
    touched(area.left, area.right, picture->width, &left, &right);
    touched(area.top, area.bottom, picture->height, &top, &bottom);
    for (int64_t y = top; y < bottom; y++) {
        const double share = overlap(y, area.top, area.bottom) * opacity;
        for (int64_t x = left; x < right; x++)
            blend(picture, x, y, color, share * overlap(x, area.left, area.right));
    }
}

void espy_draw_frame(struct picture *picture, struct picture_area area, double width,
                     struct draw_color color)
{
    const double most = fmin(area.right - area.left, area.bottom - area.top) / 2;
    const double w = fmin(width, most);
    const double top = area.top + w, bottom = area.bottom - w;
    espy_draw_fill(picture, (struct picture_area){area.left, area.top, area.right, top}, color, 1);
    espy_draw_fill(picture, (struct picture_area){area.left, bottom, area.right, area.bottom},
                   color, 1);
    espy_draw_fill(picture, (struct picture_area){area.left, top, area.left + w, bottom}, color, 1);
    espy_draw_fill(picture, (struct picture_area){area.right - w, top, area.right, bottom}, color,
                   1);
}

void espy_draw_disc(struct picture *picture, double x, double y, double radius,
                    struct draw_color color)
{
    int64_t left, right, top, bottom;
    touched(x - radius - 1, x + radius + 1, picture->width, &left, &right);
    touched(y - radius - 1, y + radius + 1, picture->height, &top, &bottom);
    for (int64_t row = top; row < bottom; row++)
        for (int64_t column = left; column < right; column++) {
            const double distance = hypot((double)column + 0.5 - x, (double)row + 0.5 - y);
            blend(picture, column, row, color, fmin(1, radius + 0.5 - distance));
        }
}
