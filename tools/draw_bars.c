// A few numbers, or many, as bars from zero, between lines for zero and one.
#include "draw.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NUMBER_SIZE = 32, GAP_FROM = 4 }; // bars of fewer pixels have no gap between them

static const struct draw_color ink = {{20, 20, 20}}, pale = {{205, 205, 205}},
                               fill = {{120, 60, 140}};

struct chart {
    struct picture_area area;     // of the bars
    double floor, ceiling, pixel; // values below and above, pixels for 1
};

static double height_of(const struct chart *chart, double value)
{
    return rint(chart->area.bottom - (value - chart->floor) * chart->pixel);
}

static void write_number(const struct chart *chart, double value, struct picture *picture)
{
    char number[NUMBER_SIZE];
    const double y = height_of(chart, value);
    const double top = fmin(fmax(0, y - DRAW_LINE_DOTS / 2.0), chart->area.bottom - DRAW_LINE_DOTS);
    const struct picture_area line = {chart->area.left, y - (y >= chart->area.bottom),
                                      chart->area.right, y + (y < chart->area.bottom)};
    (void)snprintf(number, sizeof number, "%.2g", value);
    espy_draw_text(picture, chart->area.left - 3 - espy_draw_text_width(number, 1), rint(top), 1,
                   number, ink);
    espy_draw_fill(picture, line, pale, 1);
}

// Of more bars than there are pixels, each column is the mean of some.
static double value_at(const struct draw_bars *bars, uint32_t x, uint32_t width)
{
    const uint32_t begin = (uint32_t)((uint64_t)x * bars->count / width);
    uint32_t end = (uint32_t)((uint64_t)(x + 1) * bars->count / width);
    double sum = 0;
    end = end > begin ? end : begin + 1;
    for (uint32_t i = begin; i < end; i++)
        sum += (double)bars->values[i];
    return sum / (end - begin);
}

static void draw_one(const struct chart *chart, double left, double right, double value,
                     struct picture *picture)
{
    const double zero = height_of(chart, 0), top = height_of(chart, value);
    const struct picture_area area = {left, fmin(zero, top), right, fmax(zero, top)};
    espy_draw_fill(picture, area, fill, 1);
}

static void draw_all(const struct draw_bars *bars, const struct chart *chart,
                     struct picture *picture)
{
    const uint32_t width = (uint32_t)(chart->area.right - chart->area.left);
    const double each = (double)width / bars->count, left = chart->area.left;
    const double gap = each >= GAP_FROM ? 1 : 0;
    if (bars->count == 1) // a third as wide, so that it looks like a bar
        draw_one(chart, left + rint(width / 3.0), left + rint(width * 2 / 3.0),
                 (double)bars->values[0], picture);
    for (uint32_t i = 0; bars->count > 1 && bars->count <= width && i < bars->count; i++)
        draw_one(chart, left + rint(i * each), left + rint((i + 1) * each) - gap,
                 (double)bars->values[i], picture);
    for (uint32_t x = 0; bars->count > width && x < width; x++)
        draw_one(chart, left + x, left + x + 1, value_at(bars, x, width), picture);
}

// The first number's place and the last one's; of one number itself.
static void write_places(const struct draw_bars *bars, const struct chart *chart,
                         struct picture *picture)
{
    char text[NUMBER_SIZE];
    const double top = chart->area.bottom + 1;
    if (bars->count == 1)
        (void)snprintf(text, sizeof text, "%.4g", (double)bars->values[0]);
    else
        (void)snprintf(text, sizeof text, "%u", bars->count - 1);
    const double width = espy_draw_text_width(text, 1);
    if (bars->count == 1) {
        espy_draw_text(picture, rint((chart->area.left + chart->area.right - width) / 2), top, 1,
                       text, ink);
        return;
    }
    espy_draw_text(picture, chart->area.left, top, 1, "0", ink);
    espy_draw_text(picture, chart->area.right - width, top, 1, text, ink);
}

bool espy_draw_bars(const struct draw_bars *bars, struct picture *result,
                    struct cli_message *message)
{
    struct chart chart = {.floor = fmin(0, bars->low), .ceiling = fmax(1, bars->high)};
    char number[NUMBER_SIZE];
    double widest = espy_draw_text_width("0", 1);
    const double marks[] = {chart.floor, 0, chart.ceiling};
    if (!espy_picture_create(bars->width, bars->height, result, message))
        return false;
    memset(result->rgb, 255, (size_t)result->width * result->height * 3);
    for (int i = 0; i < 3; i++) {
        (void)snprintf(number, sizeof number, "%.2g", marks[i]);
        widest = fmax(widest, espy_draw_text_width(number, 1));
    }
    chart.area = (struct picture_area){rint(widest + 5), 1, bars->width,
                                       (double)bars->height - DRAW_LINE_DOTS - 2};
    chart.pixel = (chart.area.bottom - chart.area.top) / (chart.ceiling - chart.floor);
    for (int i = 0; i < 3; i++)
        write_number(&chart, marks[i], result);
    draw_all(bars, &chart, result);
    write_places(bars, &chart, result);
    return true;
}
