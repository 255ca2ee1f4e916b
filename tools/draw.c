#include "draw.h"

#include <math.h>

// Each is the one of all saturated colours that is farthest, in OKLab, from those before it.
static const struct draw_color palette[] = {
    {{45, 225, 90}},   {{255, 0, 255}},   {{0, 0, 255}},     {{135, 45, 0}},    {{120, 195, 255}},
    {{255, 195, 120}}, {{105, 45, 150}},  {{0, 105, 60}},    {{255, 15, 120}},  {{255, 165, 255}},
    {{0, 90, 150}},    {{120, 0, 255}},   {{255, 90, 0}},    {{135, 255, 225}}, {{180, 90, 135}},
    {{240, 240, 0}},   {{150, 135, 0}},   {{90, 120, 255}},  {{180, 0, 165}},   {{180, 105, 255}},
    {{0, 180, 135}},   {{150, 135, 210}}, {{255, 150, 150}}, {{165, 210, 120}}, {{0, 150, 0}},
    {{195, 0, 45}},    {{255, 90, 210}},  {{60, 45, 195}},   {{0, 150, 180}},   {{195, 120, 60}},
    {{180, 0, 255}},   {{150, 0, 90}},    {{165, 255, 0}},   {{0, 210, 225}},   {{0, 150, 240}},
    {{210, 180, 0}},   {{15, 255, 180}},  {{90, 90, 180}},   {{240, 90, 105}},  {{135, 15, 195}},
    {{120, 75, 225}},  {{255, 120, 180}}, {{180, 105, 195}}, {{255, 150, 0}},   {{135, 195, 0}},
    {{0, 255, 0}},     {{255, 0, 45}},    {{165, 255, 135}}, {{225, 90, 255}},  {{210, 0, 135}},
    {{105, 165, 75}},  {{90, 105, 0}},    {{75, 45, 255}},   {{180, 75, 75}},   {{0, 90, 255}},
    {{120, 45, 105}},  {{0, 105, 210}},   {{240, 225, 120}}, {{195, 150, 255}}, {{135, 15, 135}},
    {{135, 165, 255}}, {{255, 0, 210}},   {{180, 15, 210}},  {{195, 75, 165}},  {{135, 90, 195}},
    {{255, 165, 210}}, {{0, 225, 195}},   {{90, 0, 195}},    {{210, 45, 105}},  {{150, 90, 0}},
    {{195, 75, 0}},    {{255, 135, 90}},  {{150, 15, 45}},   {{0, 195, 105}},   {{75, 135, 195}},
    {{135, 120, 240}}, {{210, 135, 195}}, {{210, 150, 30}},  {{210, 120, 135}}, {{45, 120, 15}},
};

struct draw_color espy_draw_color(uint32_t index)
{
    return palette[index % (sizeof palette / sizeof *palette)];
}

struct draw_color espy_draw_ink(struct draw_color ground)
{
    const unsigned luma = ground.rgb[0] * 299u + ground.rgb[1] * 587u + ground.rgb[2] * 114u;
    return luma > 128000 ? (struct draw_color){{0, 0, 0}} : (struct draw_color){{255, 255, 255}};
}

double espy_draw_unit(const struct picture *picture)
{
    const double side = sqrt((double)picture->width * picture->height);
    return side > 325 ? side / 325 : 1; // 1.6 for 640x425
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
    if (!isfinite(x + y + radius))
        return;
    touched(x - radius - 1, x + radius + 1, picture->width, &left, &right);
    touched(y - radius - 1, y + radius + 1, picture->height, &top, &bottom);
    for (int64_t row = top; row < bottom; row++)
        for (int64_t column = left; column < right; column++) {
            const double distance = hypot((double)column + 0.5 - x, (double)row + 0.5 - y);
            blend(picture, column, row, color, fmin(1, radius + 0.5 - distance));
        }
}
