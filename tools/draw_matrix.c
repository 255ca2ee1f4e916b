// A matrix in colours, with what its rows and columns are beside it.
#include "draw.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SIDE = 384, CELL_MAX = 48, TEXT_SIZE = 32, LABEL_DOTS_MAX = 160 };

struct layout {
    uint32_t cell;              // pixels a side
    double size;                // of the text
    uint32_t left, top, bottom; // margins
};

static const char *text_of(const char *const *texts, uint32_t index, char number[TEXT_SIZE])
{
    if (texts)
        return texts[index];
    (void)snprintf(number, TEXT_SIZE, "%u", index);
    return number;
}

// Every how many rows have room for a label: 1, 2, 5, 10, ...
static uint32_t step_of(const struct layout *layout)
{
    static const uint32_t steps[] = {1, 2, 5};
    for (uint32_t power = 1; power < UINT16_MAX; power *= 10)
        for (unsigned i = 0; i < sizeof steps / sizeof *steps; i++)
            if (power * steps[i] * layout->cell >= DRAW_LINE_DOTS * layout->size)
                return power * steps[i];
    return UINT16_MAX;
}

static uint32_t margin_of(const char *const *texts, uint32_t count, double size)
{
    double widest = 0;
    for (uint32_t i = 0; i < count; i++) {
        char number[TEXT_SIZE];
        widest = fmax(widest, espy_draw_text_width(text_of(texts, i, number), size));
    }
    return (uint32_t)ceil(fmin(widest, LABEL_DOTS_MAX * size) + 5 * size);
}

static struct layout lay_out(const struct draw_matrix *matrix)
{
    const uint32_t side = matrix->rows > matrix->columns ? matrix->rows : matrix->columns;
    struct layout layout = {.cell = side < SIDE ? SIDE / side : 1, .size = 1};
    if (!matrix->labelled)
        return layout;
    layout.cell = layout.cell > CELL_MAX ? CELL_MAX : layout.cell;
    if ((matrix->row_texts || matrix->column_texts) && layout.cell < 12 && side <= 128)
        layout.cell = 12; // so that every word has its line
    layout.size = fmax(1, fmin(2, layout.cell / 14.0));
    layout.left = margin_of(matrix->row_texts, matrix->rows, layout.size);
    layout.top = margin_of(matrix->column_texts, matrix->columns, layout.size);
    layout.bottom = matrix->caption ? (uint32_t)ceil(DRAW_LINE_DOTS * layout.size + 2) : 0;
    return layout;
}

static void draw_labels(const struct draw_matrix *matrix, const struct layout *layout,
                        struct picture *picture)
{
    const struct draw_color ink = {{20, 20, 20}};
    const double size = layout->size, step = step_of(layout);
    const double inset = (layout->cell - DRAW_LINE_DOTS * size) / 2;
    char number[TEXT_SIZE];
    for (double r = 0; r < matrix->rows; r += step) {
        const char *text = text_of(matrix->row_texts, (uint32_t)r, number);
        const double width = espy_draw_text_width(text, size);
        espy_draw_text(picture, fmax(0, layout->left - 2 * size - width),
                       rint(layout->top + r * layout->cell + inset), size, text, ink);
    }
    for (double c = 0; c < matrix->columns; c += step) {
        const char *text = text_of(matrix->column_texts, (uint32_t)c, number);
        espy_draw_text_up(picture, rint(layout->left + c * layout->cell + inset),
                          layout->top - 2 * size, size, text, ink);
    }
    if (matrix->caption)
        espy_draw_text(picture, layout->left, picture->height - layout->bottom + 1.0, size,
                       matrix->caption, ink);
}

bool espy_draw_matrix(const struct draw_matrix *matrix, struct picture *result,
                      struct cli_message *message)
{
    const struct layout layout = lay_out(matrix);
    const uint32_t cell = layout.cell;
    uint32_t width = layout.left + matrix->columns * cell;
    if (matrix->labelled && matrix->caption) {
        const double wanted = layout.left + espy_draw_text_width(matrix->caption, layout.size);
        width = wanted > width ? (uint32_t)ceil(wanted) : width;
    }
    if (!espy_picture_create(width, layout.top + matrix->rows * cell + layout.bottom, result,
                             message))
        return false;
    memset(result->rgb, 255, (size_t)result->width * result->height * 3);
    for (uint32_t y = 0; y < matrix->rows * cell; y++)
        for (uint32_t x = 0; x < matrix->columns * cell; x++) {
            double color[3];
            espy_picture_color(
                (double)matrix->values[(size_t)(y / cell) * matrix->columns + x / cell], color);
            for (unsigned c = 0; c < 3; c++)
                result->rgb[((size_t)(y + layout.top) * result->width + x + layout.left) * 3 + c] =
                    (uint8_t)(255 * color[c] + 0.5);
        }
    if (matrix->labelled)
        draw_labels(matrix, &layout, result);
    return true;
}
