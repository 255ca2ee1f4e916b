// Goal: the shipped attention CNN, run by Espy, is as good as its model card says, computes what
// the exporter computed, and shows its gates. Method: the 500 held-out pictures of examples/shapes,
// through the public API.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "suites/shipped.h"

enum { BATCH = 50, LABELS = 8, MAP = 32 };

static void run_tiles(struct lab *shapes, const struct picture *sheet, uint32_t first,
                      uint32_t count, float *logits, float *maps)
{
    static float images[BATCH * 3 * SHEET_TILE * SHEET_TILE];
    const struct espy_tensor input = espy_shipped_tiles(sheet, first, count, images);
    struct espy_tensor outputs[2] = {
        {.name = "logits", .data = logits, .size = count * LABELS * sizeof(float)},
        {.name = "attention", .data = maps, .size = count * MAP * MAP * sizeof(float)}};
    cr_assert(espy_session_run(shapes->session, &input, 1, outputs, 2) == ESPY_OK, "%s",
              shapes->error);
    cr_assert(outputs[0].rank == 2 && outputs[0].dims[0] == count);
}

Test(shapes, five_hundred_fresh_pictures_are_told_apart)
{
    static float logits[BATCH * LABELS], maps[BATCH * MAP * MAP];
    struct lab shapes;
    struct picture sheet;
    espy_shipped_open(&shapes, "shapes/shapes.onnx", false);
    espy_shipped_sheet(&sheet);
    const char *lines = espy_suite_read_text(SHIPPED_DIR "/shapes/test500.txt", &shapes.arena);
    cr_assert(lines != NULL);
    uint32_t right = 0;
    for (uint32_t first = 0; first < SHEET_PICTURES; first += BATCH) {
        run_tiles(&shapes, &sheet, first, BATCH, logits, maps);
        right += espy_shipped_count_right(logits, BATCH, LABELS, &lines);
    }
    printf("shapes: %u of %d right\n", right, SHEET_PICTURES);
    cr_expect(right >= 490, "only %u of %d pictures are classified right", right, SHEET_PICTURES);
    espy_picture_free(&sheet);
    espy_lab_close(&shapes);
}

Test(shapes, logits_and_attention_are_the_exporters)
{
    static float logits[BATCH * LABELS], maps[BATCH * MAP * MAP];
    struct lab shapes;
    struct picture sheet;
    espy_shipped_open(&shapes, "shapes/shapes.onnx", false);
    espy_shipped_sheet(&sheet);
    cJSON *json = espy_shipped_json(&shapes, "shapes/expected.json");
    const cJSON *rows = cJSON_GetObjectItem(json, "logits");
    const uint32_t count = (uint32_t)cJSON_GetArraySize(rows);
    cr_assert(count > 0 && count <= BATCH);
    run_tiles(&shapes, &sheet, 0, count, logits, maps);
    const struct shipped_distance of_logits = espy_shipped_distance(logits, rows);
    cr_expect(of_logits.count == (size_t)count * LABELS);
    cr_expect(of_logits.relative <= 1e-4, "logits: relative L2 %.3g", of_logits.relative);
    const struct shipped_distance of_map =
        espy_shipped_distance(maps, cJSON_GetObjectItem(json, "attention"));
    cr_expect(of_map.count == MAP * MAP);
    cr_expect(of_map.relative <= 1e-4, "attention: relative L2 %.3g", of_map.relative);
    cJSON_Delete(json);
    espy_picture_free(&sheet);
    espy_lab_close(&shapes);
}

Test(shapes, gates_are_the_exporters)
{
    static float images[BATCH * 3 * SHEET_TILE * SHEET_TILE];
    struct lab shapes;
    struct picture sheet;
    espy_shipped_open(&shapes, "shapes/shapes.onnx", true);
    espy_shipped_sheet(&sheet);
    cJSON *json = espy_shipped_json(&shapes, "shapes/expected.json");
    const cJSON *gates = cJSON_GetObjectItem(json, "gates"), *gate;
    cr_expect(cJSON_GetArraySize(gates) == 2, "the module stands at two places");
    cJSON_ArrayForEach(gate, gates)
    {
        const uint32_t count = (uint32_t)cJSON_GetArraySize(gate);
        struct espy_tensor output = {.name = gate->string};
        cr_assert(count > 0 && count <= BATCH);
        const struct espy_tensor input = espy_shipped_tiles(&sheet, 0, count, images);
        cr_assert(espy_session_run(shapes.session, &input, 1, &output, 1) == ESPY_OK, "%s",
                  shapes.error);
        cr_expect(output.size == count * sizeof(float), "%s: not one number per picture",
                  output.name);
        const struct shipped_distance distance = espy_shipped_distance(output.data, gate);
        printf("shapes: %s differs by at most %.2g\n", output.name, distance.largest);
        cr_expect(distance.largest <= 1e-5, "%s differs by %.3g", output.name, distance.largest);
    }
    cJSON_Delete(json);
    espy_picture_free(&sheet);
    espy_lab_close(&shapes);
}
