// Classes and regions as a coloured film over the picture, and what the colours mean below it.
#include "draw.h"

#include <math.h>
#include <string.h>

// Each pixel is looked at in so many places a side, which smooths the edges between classes.
enum { SAMPLES = 2 };
static const double film = 0.5;

// The corners of the cell of a grid's centres that u, v (0 to 1) is in, and its place in there.
struct cell {
    uint32_t x[2], y[2];
    double across, down;
};

static struct cell find_cell(double u, double v, uint32_t width, uint32_t height)
{
    const double x = fmax(0, fmin(u * width - 0.5, width - 1.0));
    const double y = fmax(0, fmin(v * height - 0.5, height - 1.0));
    struct cell cell = {{(uint32_t)x, (uint32_t)x + 1}, {(uint32_t)y, (uint32_t)y + 1}, 0, 0};
    cell.across = x - cell.x[0];
    cell.down = y - cell.y[0];
    cell.x[1] = cell.x[1] < width ? cell.x[1] : width - 1;
    cell.y[1] = cell.y[1] < height ? cell.y[1] : height - 1;
    return cell;
}

static double weight_of(const struct cell *cell, unsigned i)
{
    return (i % 2 ? cell->across : 1 - cell->across) * (i / 2 ? cell->down : 1 - cell->down);
}

// The class that most of the four nearest places have.
static int32_t class_at(const struct draw_classes *classes, double u, double v)
{
    const struct cell cell = find_cell(u, v, classes->width, classes->height);
    int32_t found[4], best = 0;
    double most = -1;
    for (unsigned i = 0; i < 4; i++)
        found[i] = classes->indices[(size_t)cell.y[i / 2] * classes->width + cell.x[i % 2]];
    for (unsigned i = 0; i < 4; i++) {
        double weight = 0;
        for (unsigned k = 0; k < 4; k++)
            weight += found[k] == found[i] ? weight_of(&cell, k) : 0;
        if (weight > most) {
            most = weight;
            best = found[i];
        }
    }
    return best;
}

void espy_draw_classes(struct picture *picture, const struct draw_classes *classes)
{
    const double across = classes->area.right - classes->area.left;
    const double down = classes->area.bottom - classes->area.top;
    for (uint32_t y = 0; y < picture->height; y++)
        for (uint32_t x = 0; x < picture->width; x++) {
            const struct picture_area pixel = {x, y, x + 1.0, y + 1.0};
            double red = 0, green = 0, blue = 0, seen = 0;
            for (unsigned i = 0; i < SAMPLES * SAMPLES; i++) {
                const double u = (x + (i % SAMPLES + 0.5) / SAMPLES - classes->area.left) / across;
                const double v = (y + (i / SAMPLES + 0.5) / SAMPLES - classes->area.top) / down;
                if (u < 0 || u > 1 || v < 0 || v > 1)
                    continue;
                const int32_t index = class_at(classes, u, v);
                if (index < 0)
                    continue;
                const struct draw_color color = espy_draw_color((uint32_t)index);
                red += color.rgb[0];
                green += color.rgb[1];
                blue += color.rgb[2];
                seen++;
            }
            if (seen > 0) {
                const struct draw_color mean = {
                    {(uint8_t)(red / seen), (uint8_t)(green / seen), (uint8_t)(blue / seen)}};
                espy_draw_fill(picture, pixel, mean, film * seen / (SAMPLES * SAMPLES));
            }
        }
}

static double value_at(const struct draw_region *region, double u, double v)
{
    const struct cell cell = find_cell(u, v, region->width, region->height);
    double sum = 0;
    for (unsigned i = 0; i < 4; i++)
        sum += weight_of(&cell, i) *
               (double)region->values[(size_t)cell.y[i / 2] * region->width + cell.x[i % 2]];
    return sum;
}

void espy_draw_region(struct picture *picture, const struct draw_region *region)
{
    const struct picture_area *area = &region->area, *within = &region->within;
    const double across = area->right - area->left, down = area->bottom - area->top;
    const double left = fmax(0, floor(within->left)), top = fmax(0, floor(within->top));
    for (double y = top; y < fmin(within->bottom, picture->height); y++)
        for (double x = left; x < fmin(within->right, picture->width); x++) {
            unsigned inside = 0;
            for (unsigned i = 0; i < SAMPLES * SAMPLES; i++) {
                const double u = (x + (i % SAMPLES + 0.5) / SAMPLES - area->left) / across;
                const double v = (y + (i / SAMPLES + 0.5) / SAMPLES - area->top) / down;
                inside += u >= 0 && u <= 1 && v >= 0 && v <= 1 && value_at(region, u, v) > 0.5;
            }
            espy_draw_fill(picture, (struct picture_area){x, y, x + 1, y + 1}, region->color,
                           film * inside / (SAMPLES * SAMPLES));
        }
}

// ---- legend -------------------------------------------------------------------------------------

// Lays the keys out in lines, or draws them; returns the height that they take.
static double lay_out(struct picture *sheet, double top, double width, double size,
                      const struct draw_key *keys, uint32_t count)
{
    const struct draw_color ink = {{20, 20, 20}};
    const double line = (DRAW_LINE_DOTS + 2) * size, swatch = 9 * size;
    double x = 4 * size, y = top + 3 * size;
    for (uint32_t i = 0; i < count; i++) {
        const double wide = swatch + 3 * size + espy_draw_text_width(keys[i].text, size);
        if (x + wide > width && x > 4 * size) {
            x = 4 * size;
            y += line;
        }
        if (sheet) {
            const struct picture_area patch = {floor(x), floor(y + size), floor(x) + floor(swatch),
                                               floor(y + size) + floor(swatch)};
            espy_draw_fill(sheet, patch, keys[i].color, 1);
            espy_draw_text(sheet, x + swatch + 3 * size, floor(y), size, keys[i].text, ink);
        }
        x += wide + 10 * size;
    }
    return y + line + 2 * size - top;
}

bool espy_draw_legend(const struct picture *picture, const struct draw_key *keys, uint32_t count,
                      struct picture *result, struct cli_message *message)
{
    const double size = 1.1 * espy_draw_unit(picture);
    const double strip = count ? lay_out(NULL, 0, picture->width, size, keys, count) : 0;
    const size_t bytes = (size_t)picture->width * picture->height * 3;
    if (!espy_picture_create(picture->width, picture->height + (uint32_t)ceil(strip), result,
                             message))
        return false;
    memset(result->rgb, 255, (size_t)result->width * result->height * 3);
    memcpy(result->rgb, picture->rgb, bytes);
    if (count)
        (void)lay_out(result, picture->height, picture->width, size, keys, count);
    return true;
}
