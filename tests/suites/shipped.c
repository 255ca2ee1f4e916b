#include "suites/shipped.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SITES_MAX = 64, PATH_SIZE = 1024 };

static void make_session(struct lab *lab, bool maps)
{
    const char *names[SITES_MAX];
    struct espy_session_params params = {.size = sizeof(params), .attention = names};
    struct espy_attention_info site;
    const uint32_t count = maps ? espy_model_attention_count(lab->model) : 0;
    cr_assert(count <= SITES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert(espy_model_attention(lab->model, i, &site) == ESPY_OK);
        names[i] = site.name;
    }
    params.attention_count = count;
    cr_assert(espy_session_create(lab->device, lab->model, &params, &lab->session) == ESPY_OK, "%s",
              lab->error);
}

void espy_shipped_open(struct lab *lab, const char *file, bool maps)
{
    struct suite_model converted;
    char path[PATH_SIZE];
    espy_lab_open(lab);
    snprintf(path, sizeof(path), SHIPPED_DIR "/%s", file);
    cr_assert(espy_suite_convert(&lab->test.host, path, &converted) == ESPY_OK, "%s",
              lab->test.last_error);
    cr_assert(espy_model_load_memory(lab->context, converted.bytes, converted.size, &lab->model) ==
                  ESPY_OK,
              "%s", lab->error);
    espy_suite_model_finish(&converted);
    make_session(lab, maps);
}

cJSON *espy_shipped_json(struct lab *lab, const char *file)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof(path), SHIPPED_DIR "/%s", file);
    cJSON *json = cJSON_Parse(espy_suite_read_text(path, &lab->arena));
    cr_assert(json != NULL, "%s cannot be read", path);
    return json;
}

// ---- pictures -----------------------------------------------------------------------------------

void espy_shipped_sheet(struct picture *sheet)
{
    struct cli_message message;
    cr_assert(espy_picture_read(SHIPPED_DIR "/shapes/test500.png", sheet, &message));
    cr_assert(sheet->width == SHEET_TILE * SHEET_ACROSS);
    cr_assert(sheet->height == SHEET_TILE * SHEET_PICTURES / SHEET_ACROSS);
}

static void fill_tile(const struct picture *sheet, uint32_t index, float *planes)
{
    const size_t left = index % SHEET_ACROSS * SHEET_TILE, top = index / SHEET_ACROSS * SHEET_TILE;
    for (size_t c = 0; c < 3; c++)
        for (size_t y = 0; y < SHEET_TILE; y++)
            for (size_t x = 0; x < SHEET_TILE; x++) {
                const uint8_t byte = sheet->rgb[3 * ((top + y) * sheet->width + left + x) + c];
                planes[(c * SHEET_TILE + y) * SHEET_TILE + x] =
                    ((float)byte / 255.0f - 0.5f) / 0.5f;
            }
}

struct espy_tensor espy_shipped_tiles(const struct picture *sheet, uint32_t first, uint32_t count,
                                      float *planes)
{
    const size_t size = 3 * SHEET_TILE * SHEET_TILE;
    for (uint32_t i = 0; i < count; i++)
        fill_tile(sheet, first + i, planes + i * size);
    return (struct espy_tensor){.name = "image",
                                .dtype = ESPY_FLOAT32,
                                .rank = 4,
                                .dims = {count, 3, SHEET_TILE, SHEET_TILE},
                                .data = planes,
                                .size = count * size * sizeof(float)};
}

// ---- results ------------------------------------------------------------------------------------

uint32_t espy_shipped_count_right(const float *logits, uint32_t rows, uint32_t labels,
                                  const char **lines)
{
    uint32_t right = 0;
    for (uint32_t i = 0; i < rows; i++, logits += labels) {
        char *end;
        uint32_t best = 0;
        for (uint32_t k = 1; k < labels; k++)
            if (logits[k] > logits[best])
                best = k;
        right += best == strtoul(*lines, &end, 10);
        cr_assert(end != *lines);
        *lines = end;
    }
    return right;
}

// Lists may be nested a few levels deep.
static void add_up(const float *actual, const cJSON *expected, struct shipped_distance *sums)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, expected)
    {
        if (cJSON_IsArray(item)) {
            add_up(actual, item, sums);
            continue;
        }
        cr_assert(cJSON_IsNumber(item));
        const double error = fabs((double)actual[sums->count++] - item->valuedouble);
        sums->largest = error <= sums->largest ? sums->largest : error; // NaN stays
        sums->relative += error * error;
    }
}

static double square_sum(const cJSON *expected)
{
    double sum = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, expected)
    {
        sum += cJSON_IsArray(item) ? square_sum(item) : item->valuedouble * item->valuedouble;
    }
    return sum;
}

struct shipped_distance espy_shipped_distance(const float *actual, const cJSON *expected)
{
    struct shipped_distance sums = {0, 0, 0};
    add_up(actual, expected, &sums);
    cr_assert(sums.count > 0, "there is nothing to compare with");
    sums.relative = sqrt(sums.relative / square_sum(expected));
    return sums;
}
