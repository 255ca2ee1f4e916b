// Goal: one network with each kind of attention, run by Espy, is right as often as in torch and
// computes the same; the sites found are of the right kind and their maps torch's. Method: the
// held-out pictures of examples/shapes, and what examples/variants/expected.json has of them.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "suites/shipped.h"

enum { BATCH = 50, LABELS = 8, FILE_SIZE = 128 };

static float images[BATCH * 3 * SHEET_TILE * SHEET_TILE];

static void open_variant(struct lab *shipped, const cJSON *variant, bool maps)
{
    char file[FILE_SIZE];
    snprintf(file, sizeof(file), "variants/%s.onnx", variant->string);
    espy_shipped_open(shipped, file, maps);
}

static void check_logits(const cJSON *variant)
{
    static float logits[BATCH * LABELS];
    struct lab shipped;
    struct picture sheet;
    open_variant(&shipped, variant, false);
    espy_shipped_sheet(&sheet);
    const cJSON *rows = cJSON_GetObjectItem(variant, "logits");
    const double expected = cJSON_GetNumberValue(cJSON_GetObjectItem(variant, "right"));
    const char *lines = espy_suite_read_text(SHIPPED_DIR "/shapes/test500.txt", &shipped.arena);
    uint32_t right = 0;
    cr_assert(lines != NULL && cJSON_GetArraySize(rows) == 10);
    for (uint32_t first = 0; first < SHEET_PICTURES; first += BATCH) {
        const struct espy_tensor input = espy_shipped_tiles(&sheet, first, BATCH, images);
        struct espy_tensor output = {.name = "logits", .data = logits, .size = sizeof(logits)};
        cr_assert(espy_session_run(shipped.session, &input, 1, &output, 1) == ESPY_OK, "%s",
                  shipped.error);
        right += espy_shipped_count_right(logits, BATCH, LABELS, &lines);
        if (first == 0) {
            const struct shipped_distance distance = espy_shipped_distance(logits, rows);
            cr_expect(distance.count == 10 * LABELS);
            cr_expect(distance.relative <= 1e-4, "%s: logits: relative L2 %.3g", variant->string,
                      distance.relative);
        }
    }
    printf("variants: %s: %u of %d right\n", variant->string, right, SHEET_PICTURES);
    cr_expect(right == expected, "%s: %u are right, torch has %g", variant->string, right,
              expected);
    espy_picture_free(&sheet);
    espy_lab_close(&shipped);
}

// The map, or of one between tokens the rows of one query, against torch's.
static void check_map(const char *variant, const cJSON *site, const struct espy_tensor *map)
{
    const cJSON *query = cJSON_GetObjectItem(site, "query");
    const cJSON *expected = cJSON_GetObjectItem(site, "map"), *picture, *head;
    const float *data = map->data;
    double largest = 0;
    size_t count = 0;
    if (query == NULL) {
        const struct shipped_distance distance = espy_shipped_distance(data, expected);
        largest = distance.largest;
        count = distance.count;
    }
    const size_t keys = (size_t)map->dims[map->rank - 1];
    const size_t queries = query == NULL ? 0 : (size_t)map->dims[map->rank - 2];
    for (picture = query == NULL ? NULL : expected->child; picture != NULL; picture = picture->next)
        cJSON_ArrayForEach(head, picture)
        {
            const size_t row = count / keys * queries + (size_t)query->valuedouble;
            const struct shipped_distance distance = espy_shipped_distance(data + row * keys, head);
            cr_expect(distance.count == keys);
            largest = distance.largest <= largest ? largest : distance.largest;
            count += distance.count;
        }
    size_t wanted = 1;
    for (uint32_t d = 0; d < map->rank; d++)
        wanted *= (size_t)map->dims[d];
    cr_expect(count * (query == NULL ? 1 : queries) == wanted, "%s: %s: %zu numbers of %zu",
              variant, map->name, count, wanted);
    printf("variants: %s: %s differs by at most %.2g\n", variant, map->name, largest);
    cr_expect(largest <= 1e-5, "%s: %s differs by %.3g", variant, map->name, largest);
}

static void check_sites(const cJSON *variant)
{
    struct lab shipped;
    struct picture sheet;
    open_variant(&shipped, variant, true);
    espy_shipped_sheet(&sheet);
    const cJSON *sites = cJSON_GetObjectItem(variant, "sites"), *expected;
    cr_expect(espy_model_attention_count(shipped.model) == (uint32_t)cJSON_GetArraySize(sites),
              "%s: not as many sites as there are", variant->string);
    uint32_t index = 0;
    cJSON_ArrayForEach(expected, sites)
    {
        struct espy_attention_info site;
        cr_assert(espy_model_attention(shipped.model, index++, &site) == ESPY_OK);
        const char *name = cJSON_GetStringValue(cJSON_GetObjectItem(expected, "name"));
        const char *kind = cJSON_GetStringValue(cJSON_GetObjectItem(expected, "kind"));
        cr_expect_str_eq(site.name, name);
        cr_expect_str_eq(site.kind, kind);
        const uint32_t count = (uint32_t)cJSON_GetArraySize(cJSON_GetObjectItem(expected, "map"));
        cr_assert(count > 0 && count <= BATCH);
        const struct espy_tensor input = espy_shipped_tiles(&sheet, 0, count, images);
        struct espy_tensor map = {.name = site.name};
        cr_assert(espy_session_run(shipped.session, &input, 1, &map, 1) == ESPY_OK, "%s",
                  shipped.error);
        check_map(variant->string, expected, &map);
    }
    espy_picture_free(&sheet);
    espy_lab_close(&shipped);
}

static void for_each_variant(void (*check)(const cJSON *variant))
{
    struct lab none = {0};
    espy_test_host_init(&none.test);
    espy_arena_init(&none.arena, &none.test.host);
    cJSON *json = espy_shipped_json(&none, "variants/expected.json");
    const cJSON *variant;
    cr_expect(cJSON_GetArraySize(json) == 7);
    cJSON_ArrayForEach(variant, json)
    {
        check(variant);
    }
    cJSON_Delete(json);
    espy_arena_finish(&none.arena);
}

Test(variants, are_right_as_often_as_in_torch)
{
    for_each_variant(check_logits);
}

Test(variants, sites_are_of_their_kinds_and_maps_are_torchs)
{
    for_each_variant(check_sites);
}
