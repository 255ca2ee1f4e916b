// com.microsoft: CropAndResize, by GridSample at places that the boxes say.
#include "convert/builder.h"

#include <string.h>

// Where the samples of each box lie along one axis, 0 to 1 from the first pixel's centre to the
// last one's: [boxes, count]. One sample lies in the middle.
static uint32_t box_places(struct builder *b, uint32_t boxes, int64_t axis, uint32_t count)
{
    const uint32_t first = EMIT(b, "Unsqueeze", espy_build_pick(b, boxes, axis, 1), LIST(b, 1));
    const uint32_t last = EMIT(b, "Unsqueeze", espy_build_pick(b, boxes, axis + 2, 1), LIST(b, 1));
    const uint32_t zero = espy_build_scalar(b, ESPY_INT64, 0);
    const uint32_t one = espy_build_scalar(b, ESPY_INT64, 1);
    const uint32_t steps = espy_build_cast_like(b, EMIT(b, "Range", zero, count, one), boxes);
    const uint32_t gaps =
        espy_build_cast_like(b, EMIT(b, "Max", EMIT(b, "Sub", count, one), one), boxes);
    const uint32_t single = EMIT_AS(b, ESPY_BOOL, "Equal", count, one);
    const uint32_t part = EMIT_AS(b, espy_build_dtype(b, boxes), "Where", single,
                                  espy_build_number(b, boxes, 0.5), EMIT(b, "Div", steps, gaps));
    return EMIT(b, "Add", first, EMIT(b, "Mul", EMIT(b, "Sub", last, first), part));
}

// From places to what GridSample reads: bilinear between centres, or the centre of the pixel that
// is nearest, where halves go up.
static uint32_t grid_axis(struct builder *b, uint32_t places, uint32_t size, bool nearest)
{
    const uint32_t one = espy_build_number(b, places, 1), two = espy_build_number(b, places, 2);
    if (!nearest)
        return EMIT(b, "Sub", EMIT(b, "Mul", places, two), one);
    const uint32_t length = espy_build_cast_like(b, size, places);
    const uint32_t pixels = EMIT(b, "Mul", places, EMIT(b, "Sub", length, one));
    const uint32_t whole =
        EMIT(b, "Floor", EMIT(b, "Add", pixels, espy_build_number(b, places, 0.5)));
    const uint32_t middle = EMIT(b, "Add", EMIT(b, "Mul", whole, two), one);
    return EMIT(b, "Sub", EMIT(b, "Div", middle, length), one);
}

static uint32_t inside(struct builder *b, uint32_t places)
{
    return EMIT_AS(b, ESPY_BOOL, "And",
                   EMIT_AS(b, ESPY_BOOL, "GreaterOrEqual", places, espy_build_number(b, places, 0)),
                   EMIT_AS(b, ESPY_BOOL, "LessOrEqual", places, espy_build_number(b, places, 1)));
}

static void crop_and_resize(struct builder *b)
{
    const bool nearest = strcmp(espy_build_string(b, "mode", "bilinear"), "nearest") == 0;
    const double outside = espy_build_float(b, "extrapolation_value", 0);
    const uint32_t x = espy_build_input(b, 0), boxes = espy_build_input(b, 1);
    const uint32_t size = espy_build_cast(b, espy_build_input(b, 3), ESPY_INT64);
    const uint32_t pictures = EMIT(b, "Gather", x, espy_build_input(b, 2));
    const uint32_t height = espy_build_pick(b, size, 0, 0), width = espy_build_pick(b, size, 1, 0);
    const uint32_t y_places = EMIT(b, "Unsqueeze", box_places(b, boxes, 0, height), LIST(b, 2));
    const uint32_t x_places = EMIT(b, "Unsqueeze", box_places(b, boxes, 1, width), LIST(b, 1));
    const uint32_t rows = grid_axis(b, y_places, espy_build_dims(b, x, 2, 3), nearest);
    const uint32_t columns = grid_axis(b, x_places, espy_build_dims(b, x, 3, 4), nearest);
    const uint32_t none = EMIT(b, "Mul", EMIT(b, "Add", rows, columns),
                               espy_build_number(b, boxes, 0)); // [boxes, height, width]
    const uint32_t parts[] = {EMIT(b, "Unsqueeze", EMIT(b, "Add", columns, none), LIST(b, -1)),
                              EMIT(b, "Unsqueeze", EMIT(b, "Add", rows, none), LIST(b, -1))};
    const uint32_t sampled = EMIT(b, "GridSample", pictures, espy_build_concat(b, parts, 2, -1));
    espy_build_set_text(b, "mode", nearest ? "nearest" : "linear");
    espy_build_set_text(b, "padding_mode", "border");
    espy_build_set(b, "align_corners", nearest ? 0 : 1);
    const uint32_t seen = EMIT_AS(b, ESPY_BOOL, "And", inside(b, y_places), inside(b, x_places));
    espy_build_result(b, 0,
                      EMIT_AS(b, espy_build_dtype(b, x), "Where",
                              EMIT_AS(b, ESPY_BOOL, "Unsqueeze", seen, LIST(b, 1)), sampled,
                              espy_build_number(b, x, outside)));
}

static const struct foreign_row rows[] = {{"CropAndResize", crop_and_resize}};

const struct foreign_family espy_foreign_crop = {"com.microsoft", rows,
                                                 sizeof(rows) / sizeof(rows[0])};
