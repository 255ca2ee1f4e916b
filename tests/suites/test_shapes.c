// Goal: the shipped attention CNN, run by Espy, is as good as its model card says, and computes what
// the exporter computed. Method: the 500 held-out pictures of examples/shapes, through the public API.
#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "picture.h"
#include "suites/example.h"

enum { TILE = 64, ACROSS = 25, PICTURES = 500, BATCH = 50, LABELS = 8, MAP = 32 };
#define SHAPES_DIR ESPY_SOURCE_DIR "/examples/shapes"

struct shapes {
    struct example example;
    struct picture sheet;
};

static void open_shapes(struct shapes *shapes)
{
    struct cli_message message;
    espy_example_open(&shapes->example, SHAPES_DIR "/shapes.onnx", false);
    cr_assert(espy_picture_read(SHAPES_DIR "/test500.png", &shapes->sheet, &message));
    cr_assert(shapes->sheet.width == TILE * ACROSS);
}

static void close_shapes(struct shapes *shapes)
{
    espy_picture_free(&shapes->sheet);
    espy_example_close(&shapes->example);
}

// Tile `index` of the sheet as the model card says: RGB planes, (byte / 255 - 0.5) / 0.5.
static void fill_tile(const struct picture *sheet, uint32_t index, float *planes)
{
    const size_t left = index % ACROSS * TILE, top = index / ACROSS * TILE;
    for (size_t c = 0; c < 3; c++)
        for (size_t y = 0; y < TILE; y++)
            for (size_t x = 0; x < TILE; x++) {
                const uint8_t byte = sheet->rgb[3 * ((top + y) * sheet->width + left + x) + c];
                planes[(c * TILE + y) * TILE + x] = ((float)byte / 255.0f - 0.5f) / 0.5f;
            }
}

static void run_tiles(struct shapes *shapes, uint32_t first, uint32_t count, float *logits,
                      float *maps)
{
    static float images[BATCH * 3 * TILE * TILE];
    for (uint32_t i = 0; i < count; i++)
        fill_tile(&shapes->sheet, first + i, images + i * 3 * TILE * TILE);
    const struct espy_tensor input = {.name = "image",
                                      .dtype = ESPY_FLOAT32,
                                      .rank = 4,
                                      .dims = {count, 3, TILE, TILE},
                                      .data = images,
                                      .size = count * 3 * TILE * TILE * sizeof(float)};
    struct espy_tensor outputs[2] = {
        {.name = "logits", .data = logits, .size = count * LABELS * sizeof(float)},
        {.name = "attention", .data = maps, .size = count * MAP * MAP * sizeof(float)}};
    cr_assert(espy_session_run(shapes->example.session, &input, 1, outputs, 2) == ESPY_OK, "%s",
              shapes->example.error);
    cr_assert(outputs[0].rank == 2 && outputs[0].dims[0] == count);
}

static uint32_t best_label(const float *logits)
{
    uint32_t best = 0;
    for (uint32_t k = 1; k < LABELS; k++)
        if (logits[k] > logits[best])
            best = k;
    return best;
}

Test(shapes, five_hundred_fresh_pictures_are_told_apart)
{
    static float logits[BATCH * LABELS], maps[BATCH * MAP * MAP];
    struct shapes shapes;
    open_shapes(&shapes);
    const char *line = espy_suite_read_text(SHAPES_DIR "/test500.txt", &shapes.example.arena);
    cr_assert(line != NULL);
    uint32_t right = 0;
    for (uint32_t first = 0; first < PICTURES; first += BATCH) {
        run_tiles(&shapes, first, BATCH, logits, maps);
        for (uint32_t i = 0; i < BATCH; i++) {
            char *end;
            right += best_label(logits + i * LABELS) == strtoul(line, &end, 10);
            line = end;
        }
    }
    printf("shapes: %u of %d right\n", right, PICTURES);
    cr_expect(right >= 490, "only %u of %d pictures are classified right", right, PICTURES);
    close_shapes(&shapes);
}

// Adds up what relative L2 of one row is made of.
static void add_row(const float *actual, const cJSON *expected, size_t count, double *difference,
                    double *magnitude)
{
    for (size_t i = 0; i < count; i++, expected = expected->next) {
        cr_assert(cJSON_IsNumber(expected));
        const double error = (double)actual[i] - expected->valuedouble;
        *difference += error * error;
        *magnitude += expected->valuedouble * expected->valuedouble;
    }
}

static double distance(const float *actual, const cJSON *rows, size_t row_size)
{
    double difference = 0, magnitude = 0;
    const cJSON *row;
    cJSON_ArrayForEach(row, rows)
    {
        add_row(actual, row->child, row_size, &difference, &magnitude);
        actual += row_size;
    }
    return sqrt(difference / magnitude);
}

Test(shapes, logits_and_attention_are_the_exporters)
{
    static float logits[BATCH * LABELS], maps[BATCH * MAP * MAP];
    struct shapes shapes;
    open_shapes(&shapes);
    cJSON *json =
        cJSON_Parse(espy_suite_read_text(SHAPES_DIR "/expected.json", &shapes.example.arena));
    const cJSON *rows = cJSON_GetObjectItem(json, "logits");
    const cJSON *map = cJSON_GetObjectItem(json, "attention");
    const uint32_t count = (uint32_t)cJSON_GetArraySize(rows);
    cr_assert(count > 0 && count <= BATCH);
    run_tiles(&shapes, 0, count, logits, maps);
    const double logits_error = distance(logits, rows, LABELS);
    cr_expect(logits_error <= 1e-4, "logits: relative L2 %.3g", logits_error);
    cr_assert(cJSON_GetArraySize(map) == MAP);
    const double map_error = distance(maps, map, MAP);
    cr_expect(map_error <= 1e-4, "attention: relative L2 %.3g", map_error);
    cJSON_Delete(json);
    close_shapes(&shapes);
}
