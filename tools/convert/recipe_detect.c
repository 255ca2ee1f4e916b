// Steps of recipes for detectors: from what a head makes for each cell of its grids to boxes and
// points in pixels, and from many boxes to those that count.
#include "convert/recipe.h"

#include <math.h>
#include <string.h>

enum { LEVELS_MAX = 16, PER_CELL_MAX = 64, ROWS_MAX = 1 << 22 };

// ---- grids --------------------------------------------------------------------------------------

// The rows of a head: for every level of a pyramid, for every cell row by row, one or several.
struct cells {
    uint32_t level_count;
    int64_t rows;          // of all levels
    int64_t height, width; // of the picture
    int64_t strides[LEVELS_MAX], per_cell[LEVELS_MAX];
    double offset;           // of a cell's centre, in cells
    bool in_pixels;          // what the head makes is in pixels, not in strides
    uint32_t centers, steps; // constants: [1, rows, 2] and [1, rows, 1], in pixels
};

static void read_levels(struct recipe *recipe, struct cells *cells)
{
    double strides[LEVELS_MAX], per_cell[LEVELS_MAX];
    cells->level_count = espy_recipe_numbers(recipe, "strides", strides, LEVELS_MAX);
    const uint32_t listed = espy_recipe_numbers(recipe, "per_cell", per_cell, LEVELS_MAX);
    if (cells->level_count == 0)
        espy_recipe_refuse(recipe, "\"strides\" is missing: pixels per cell of each level");
    if (listed > 1 && listed != cells->level_count)
        espy_recipe_refuse(recipe, "\"per_cell\" is one number, or one for each of \"strides\"");
    for (uint32_t i = 0; i < cells->level_count; i++) {
        const double stride = strides[i];
        const double each = listed == 0 ? 1 : per_cell[listed == 1 ? 0 : i];
        if (stride != floor(stride) || stride < 1 || stride > GRAPH_PICTURE_MAX ||
            each != floor(each) || each < 1 || each > PER_CELL_MAX) {
            espy_recipe_refuse(recipe, "\"strides\" and \"per_cell\" are integers of at least 1");
            return;
        }
        cells->strides[i] = (int64_t)stride;
        cells->per_cell[i] = (int64_t)each;
        if (cells->height % cells->strides[i] != 0 || cells->width % cells->strides[i] != 0)
            espy_recipe_refuse(recipe, "a picture of %lldx%lld has no whole cells of %lld pixels",
                               (long long)cells->height, (long long)cells->width,
                               (long long)cells->strides[i]);
        cells->rows += cells->height / cells->strides[i] * (cells->width / cells->strides[i]) *
                       cells->per_cell[i];
    }
    if (cells->rows > ROWS_MAX)
        espy_recipe_refuse(recipe, "more than %d cells", (int)ROWS_MAX);
}

static void fill_cells(const struct cells *cells, double *centers, double *steps)
{
    size_t row = 0;
    for (uint32_t i = 0; i < cells->level_count; i++) {
        const int64_t stride = cells->strides[i];
        for (int64_t y = 0; y < cells->height / stride; y++)
            for (int64_t x = 0; x < cells->width / stride; x++)
                for (int64_t k = 0; k < cells->per_cell[i]; k++, row++) {
                    centers[2 * row] = ((double)x + cells->offset) * (double)stride;
                    centers[2 * row + 1] = ((double)y + cells->offset) * (double)stride;
                    steps[row] = (double)stride;
                }
    }
}

// Reads what a step says of its cells, and makes the constants.
static struct cells read_cells(struct recipe *recipe)
{
    static const char *const units[] = {"stride", "pixel", NULL};
    struct cells cells = {.centers = GRAPH_NONE, .steps = GRAPH_NONE};
    espy_recipe_picture_size(recipe, &cells.height, &cells.width);
    cells.offset = espy_recipe_number(recipe, "center", 0);
    cells.in_pixels = espy_recipe_choice(recipe, "unit", units) == 1;
    read_levels(recipe, &cells);
    if (recipe->b.status != ESPY_OK)
        return cells;
    const size_t rows = (size_t)cells.rows;
    const struct shape pairs = {.rank = 3, .dims = {1, cells.rows, 2}};
    const struct shape column = {.rank = 3, .dims = {1, cells.rows, 1}};
    double *centers = espy_arena_array(&recipe->importer.memory, 2 * rows, sizeof(*centers));
    double *steps = espy_arena_array(&recipe->importer.memory, rows, sizeof(*steps));
    if (centers == NULL || steps == NULL) {
        recipe->b.status = ESPY_OUT_OF_MEMORY;
        return cells;
    }
    fill_cells(&cells, centers, steps);
    cells.centers = espy_recipe_constant(recipe, &pairs, centers, 2 * (uint32_t)rows);
    cells.steps = espy_recipe_constant(recipe, &column, steps, (uint32_t)rows);
    return cells;
}

static void expect_rows(struct recipe *recipe, uint32_t value, const struct cells *cells,
                        int64_t last)
{
    const struct op_type *type = espy_recipe_type(recipe, value);
    espy_recipe_expect(recipe, "of", value, 3, last);
    if (recipe->b.status == ESPY_OK && type != NULL && type->shape.dims[1] != cells->rows)
        espy_recipe_refuse(recipe,
                           "\"of\" has %lld rows, but the cells of a picture of %lldx%lld are %lld",
                           (long long)type->shape.dims[1], (long long)cells->height,
                           (long long)cells->width, (long long)cells->rows);
}

// ---- boxes and points ---------------------------------------------------------------------------

static uint32_t columns(struct recipe *recipe, uint32_t value, int64_t begin, int64_t end)
{
    struct builder *b = &recipe->b;
    return espy_build_slice(b, value, LIST(b, begin), LIST(b, end), -1);
}

// Left, top, right, bottom of centres and sizes.
static uint32_t corners_of(struct recipe *recipe, uint32_t center, uint32_t size)
{
    struct builder *b = &recipe->b;
    const uint32_t half = EMIT(b, "Mul", size, espy_build_scalar(b, ESPY_FLOAT32, 0.5));
    const uint32_t parts[] = {EMIT(b, "Sub", center, half), EMIT(b, "Add", center, half)};
    return espy_build_concat(b, parts, 2, -1);
}

static void step_cell_boxes(struct recipe *recipe)
{
    static const char *const sizes[] = {"exp", "linear", NULL};
    struct builder *b = &recipe->b;
    const bool linear = espy_recipe_choice(recipe, "size", sizes) == 1;
    const uint32_t value = espy_recipe_value(recipe, "of");
    const struct cells cells = read_cells(recipe);
    expect_rows(recipe, value, &cells, 4);
    const uint32_t deltas = espy_build_cast(b, value, ESPY_FLOAT32);
    uint32_t center = columns(recipe, deltas, 0, 2), size = columns(recipe, deltas, 2, 4);
    if (!cells.in_pixels)
        center = EMIT(b, "Mul", center, cells.steps);
    center = EMIT(b, "Add", center, cells.centers);
    if (!linear)
        size = EMIT(b, "Exp", size);
    if (!linear || !cells.in_pixels)
        size = EMIT(b, "Mul", size, cells.steps);
    espy_recipe_result(recipe, corners_of(recipe, center, size));
}

// Several points in a row: x, y, x, y, ...
static void step_cell_points(struct recipe *recipe)
{
    struct builder *b = &recipe->b;
    const uint32_t value = espy_recipe_value(recipe, "of");
    const struct cells cells = read_cells(recipe);
    expect_rows(recipe, value, &cells, 0);
    uint32_t points = espy_build_reshape(b, espy_build_cast(b, value, ESPY_FLOAT32),
                                         (const int64_t[]){0, 0, -1, 2}, 4);
    if (!cells.in_pixels)
        points = EMIT(b, "Mul", points, EMIT(b, "Unsqueeze", cells.steps, LIST(b, 2)));
    points = EMIT(b, "Add", points, EMIT(b, "Unsqueeze", cells.centers, LIST(b, 2)));
    espy_recipe_result(recipe, points);
}

static void step_corners(struct recipe *recipe)
{
    const uint32_t boxes = espy_recipe_floats(recipe, "of");
    espy_recipe_expect(recipe, "of", espy_recipe_value(recipe, "of"), 3, 4);
    espy_recipe_result(
        recipe, corners_of(recipe, columns(recipe, boxes, 0, 2), columns(recipe, boxes, 2, 4)));
}

// Places of 0 to 1 become places in pixels: x and y by turns along the last dimension.
static void step_pixels(struct recipe *recipe)
{
    struct builder *b = &recipe->b;
    const uint32_t value = espy_recipe_value(recipe, "of");
    const struct op_type *type = espy_recipe_type(recipe, value);
    int64_t height, width;
    espy_recipe_picture_size(recipe, &height, &width);
    const double numbers[] = {(double)width, (double)height, (double)width, (double)height};
    const bool pairs =
        type != NULL && type->shape.rank > 0 && type->shape.dims[type->shape.rank - 1] == 2;
    if (type != NULL && !pairs &&
        (type->shape.rank == 0 || type->shape.dims[type->shape.rank - 1] != 4))
        espy_recipe_refuse(recipe, "\"of\" must end in a dimension of 2 (points) or 4 (boxes)");
    const struct shape list = {.rank = 1, .dims = {pairs ? 2 : 4}};
    espy_recipe_result(recipe, EMIT(b, "Mul", espy_build_cast(b, value, ESPY_FLOAT32),
                                    espy_recipe_constant(recipe, &list, numbers, pairs ? 2 : 4)));
}

// ---- the boxes that count -----------------------------------------------------------------------

enum { CLASSES_BEST, CLASSES_ALL, CLASSES_TOGETHER };

struct suppression {
    uint32_t boxes, scores; // [1, rows, 4] and [1, rows, classes]
    uint32_t points;        // [1, rows, ...], or GRAPH_NONE
    uint32_t best_class;    // [1, rows], where classes are together
    uint32_t kept;          // [1, classes, rows]
};

// Of many rows only those with the best scores go on: sorting every class of all of them would take
// longer than a small network.
static void best_rows(struct recipe *recipe, struct suppression *s, int64_t before)
{
    struct builder *b = &recipe->b;
    const uint32_t inputs[] = {EMIT(b, "ReduceMax", s->scores, LIST(b, -1)), LIST(b, before)};
    uint32_t best[2];
    espy_build_emit_many(b, "TopK", inputs, 2, best, 2);
    espy_build_set(b, "axis", 1);
    if (b->status == ESPY_OK)
        b->status = espy_import_note(&recipe->importer, best[1], ESPY_INT64, true);
    const uint32_t rows = EMIT(b, "Squeeze", best[1], LIST(b, 0, 2));
    uint32_t *const lists[] = {&s->boxes, &s->scores, &s->points};
    for (int i = 0; i < 3; i++) {
        if (*lists[i] == GRAPH_NONE)
            continue;
        *lists[i] = EMIT(b, "Gather", *lists[i], rows);
        espy_build_set(b, "axis", 1);
    }
}

static void best_only(struct recipe *recipe, struct suppression *s, uint32_t classes)
{
    struct builder *b = &recipe->b;
    if (classes == CLASSES_ALL || recipe->class_count == 1)
        return;
    const uint32_t best = EMIT(b, "ReduceMax", s->scores, LIST(b, -1));
    if (classes == CLASSES_BEST) {
        s->scores = EMIT(b, "Where", EMIT_AS(b, ESPY_BOOL, "GreaterOrEqual", s->scores, best),
                         s->scores, espy_build_scalar(b, ESPY_FLOAT32, 0));
        if (b->status == ESPY_OK) // Where's first input is no number
            b->status = espy_import_note(&recipe->importer, s->scores, ESPY_FLOAT32, true);
        return;
    }
    s->best_class = EMIT_AS(b, ESPY_INT64, "ArgMax", s->scores);
    espy_build_set(b, "axis", -1);
    espy_build_set(b, "keepdims", 0);
    s->scores = best;
}

static struct suppression read_suppression(struct recipe *recipe)
{
    static const char *const modes[] = {"best", "all", "together", NULL};
    static const uint32_t order[] = {0, 2, 1};
    struct suppression s = {.points = GRAPH_NONE, .best_class = GRAPH_NONE};
    const int64_t before = espy_recipe_integer(recipe, "before", 1000, 1, ROWS_MAX);
    const uint32_t boxes = espy_recipe_value(recipe, "boxes");
    const uint32_t scores = espy_recipe_value(recipe, "scores");
    const struct op_type *type = espy_recipe_type(recipe, scores);
    espy_recipe_expect(recipe, "boxes", boxes, 3, 4);
    espy_recipe_expect(recipe, "scores", scores, 3, 0);
    recipe->class_count = 0;
    if (type != NULL && recipe->b.status == ESPY_OK && type->shape.dims[2] <= GRAPH_LABELS_MAX)
        recipe->class_count = (uint32_t)type->shape.dims[2];
    s.boxes = espy_build_cast(&recipe->b, boxes, ESPY_FLOAT32);
    s.scores = espy_build_cast(&recipe->b, scores, ESPY_FLOAT32);
    if (espy_recipe_has(recipe, "keypoints"))
        s.points = espy_recipe_floats(recipe, "keypoints");
    if (type != NULL && recipe->b.status == ESPY_OK && type->shape.dims[1] > before)
        best_rows(recipe, &s, before);
    best_only(recipe, &s, espy_recipe_choice(recipe, "classes", modes));
    s.kept = espy_build_transpose(&recipe->b, s.scores, order, 3);
    return s;
}

// Rows of a value of one picture, by their numbers.
static uint32_t rows_of(struct recipe *recipe, uint32_t value, uint32_t rows)
{
    struct builder *b = &recipe->b;
    return EMIT(b, "Gather", EMIT(b, "Squeeze", value, LIST(b, 0)), rows);
}

// What only a run can tell is how many there are.
static void define_list(struct recipe *recipe, const char *name, uint32_t value, espy_dtype dtype,
                        int64_t columns)
{
    espy_recipe_define(recipe, name, value);
    if (recipe->b.status != ESPY_OK)
        return;
    struct graph_value *list = &recipe->graph->values[value];
    list->dtype = dtype;
    list->has_shape = true;
    list->shape = (struct shape){.rank = columns == 0 ? 1 : 2, .dims = {-1, columns}};
}

static void step_nms(struct recipe *recipe)
{
    struct builder *b = &recipe->b;
    const double overlap = espy_recipe_number(recipe, "overlap", 0.5);
    const double score = espy_recipe_number(recipe, "score", 0.05);
    const int64_t most = espy_recipe_integer(recipe, "most", 100, 1, 50000);
    if (!(overlap >= 0 && overlap <= 1) || !(score >= 0 && score <= 1))
        espy_recipe_refuse(recipe, "\"overlap\" and \"score\" are numbers from 0 to 1");
    const struct suppression s = read_suppression(recipe);
    const uint32_t chosen = EMIT_AS(b, ESPY_INT64, "NonMaxSuppression", s.boxes, s.kept,
                                    LIST(b, most), espy_build_scalar(b, ESPY_FLOAT32, overlap),
                                    espy_build_scalar(b, ESPY_FLOAT32, score));
    // They come class by class; the best of all classes are to be first.
    const uint32_t found = EMIT(b, "GatherND", s.kept, chosen);
    const uint32_t count = EMIT_AS(b, ESPY_INT64, "Shape", found);
    const uint32_t sorting[] = {found, EMIT(b, "Min", count, LIST(b, most))};
    uint32_t best[2];
    espy_build_emit_many(b, "TopK", sorting, 2, best, 2);
    if (b->status == ESPY_OK)
        b->status = espy_import_note(&recipe->importer, best[1], ESPY_INT64, true);
    const uint32_t triples = EMIT(b, "Gather", chosen, best[1]);
    const uint32_t rows = espy_build_pick(b, triples, 2, 1);
    define_list(recipe, "boxes", rows_of(recipe, s.boxes, rows), ESPY_FLOAT32, 4);
    define_list(recipe, "scores", best[0], ESPY_FLOAT32, 0);
    define_list(recipe, "classes",
                s.best_class == GRAPH_NONE ? espy_build_pick(b, triples, 1, 1)
                                           : rows_of(recipe, s.best_class, rows),
                ESPY_INT64, 0);
    if (s.points != GRAPH_NONE)
        espy_recipe_define(recipe, "keypoints", rows_of(recipe, s.points, rows));
}

const struct recipe_row espy_recipe_detection_rows[] = {
    {"cell_boxes", "of as strides per_cell center unit size", step_cell_boxes},
    {"cell_points", "of as strides per_cell center unit", step_cell_points},
    {"corners", "of as", step_corners},
    {"nms", "boxes scores keypoints overlap score before most classes", step_nms},
    {"pixels", "of as", step_pixels},
};
const uint32_t espy_recipe_detection_count =
    sizeof(espy_recipe_detection_rows) / sizeof(espy_recipe_detection_rows[0]);
