// Drawing on pictures: rectangles, dots, text, boxes with labels, masks. Coordinates are pixels
// from the upper left corner, the first pixel from 0 to 1; edges in between are blended. What lies
// outside of the picture is left out. Must not know models.
#ifndef TOOLS_DRAW_H_
#define TOOLS_DRAW_H_

#include "picture_preprocess.h"

struct draw_color {
    uint8_t rgb[3];
};

// A colour for each index, the same whenever asked: no two of the first 80 are alike, and the lower
// two are, the less.
struct draw_color espy_draw_color(uint32_t index);
// Black or white, whichever is legible on the colour.
struct draw_color espy_draw_ink(struct draw_color ground);
// Pixels per unit of lines and text on a picture of this size: 1 for small ones.
double espy_draw_unit(const struct picture *picture);

void espy_draw_fill(struct picture *picture, struct picture_area area, struct draw_color color,
                    double opacity);
// A frame of this width inside of the area.
void espy_draw_frame(struct picture *picture, struct picture_area area, double width,
                     struct draw_color color);
void espy_draw_disc(struct picture *picture, double x, double y, double radius,
                    struct draw_color color);

// Text in UTF-8; what is not Latin is a small rectangle. size is that of a dot of the font's
// letters, of which capitals are 7 high; a line is DRAW_LINE_DOTS high.
enum { DRAW_LINE_DOTS = 11 };
double espy_draw_text_width(const char *text, double size);
// left and top are those of the line: letters start a dot below.
void espy_draw_text(struct picture *picture, double left, double top, double size, const char *text,
                    struct draw_color color);
// The same from the bottom up: left and bottom are where it starts.
void espy_draw_text_up(struct picture *picture, double left, double bottom, double size,
                       const char *text, struct draw_color color);

// A found object.
struct draw_box {
    bool has_box;
    struct picture_area box;
    const char *text;       // of its label; or NULL
    const char *short_text; // where there is no room for text; or NULL
    struct draw_color color;
    uint32_t point_count;
    const double *points; // x, y pairs
};
// The best first: their labels get room first. Where boxes crowd, labels get shorter, and are left
// out rather than laid over each other. false: out of memory.
bool espy_draw_boxes(struct picture *picture, const struct draw_box *boxes, uint32_t count,
                     struct cli_message *message);

// A class per place of a grid that lies over area.
struct draw_classes {
    uint32_t width, height;
    const int32_t *indices; // [width * height]; below 0: none
    struct picture_area area;
};
void espy_draw_classes(struct picture *picture, const struct draw_classes *classes);
// Where values are above one half. Only in `within`.
struct draw_region {
    uint32_t width, height;
    const float *values;
    struct picture_area area, within;
    struct draw_color color;
};
void espy_draw_region(struct picture *picture, const struct draw_region *region);

// Values 0 to 1 as a grid of colours.
struct draw_matrix {
    uint32_t rows, columns;
    const float *values;                                // [rows * columns]
    bool labelled;                                      // the rest is looked at
    const char *const *row_texts, *const *column_texts; // NULL: numbers from 0
    const char *caption;                                // below; or NULL
};
bool espy_draw_matrix(const struct draw_matrix *matrix, struct picture *result,
                      struct cli_message *message);

// Numbers as bars from zero, in a picture of this size; lines at zero, at 1 or what is above it,
// and below zero where something is.
struct draw_bars {
    uint32_t count;
    const float *values; // [count]
    double low, high;    // of the values
    uint32_t width, height;
};
bool espy_draw_bars(const struct draw_bars *bars, struct picture *result,
                    struct cli_message *message);

struct draw_key {
    const char *text;
    struct draw_color color;
};
// The picture with a strip below it that says what the colours mean.
bool espy_draw_legend(const struct picture *picture, const struct draw_key *keys, uint32_t count,
                      struct picture *result, struct cli_message *message);

#endif // TOOLS_DRAW_H_
