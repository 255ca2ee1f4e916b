// What the tests of the networks in examples/ have in common: one of them on the device, and what
// its exporter computed.
#ifndef TESTS_SUITES_SHIPPED_H_
#define TESTS_SUITES_SHIPPED_H_

#include <cjson/cJSON.h>

#include "picture.h"
#include "suites/lab.h"
#include "suites/suite.h"

#define SHIPPED_DIR ESPY_SOURCE_DIR "/examples"

// Converts examples/`file` and makes a session of it, with maps of every site if `maps`. What does
// not work fails the test.
void espy_shipped_open(struct lab *lab, const char *file, bool maps);

// The JSON in examples/`file`, which the caller deletes.
cJSON *espy_shipped_json(struct lab *lab, const char *file);

// The sheet of held-out pictures, examples/shapes/test500.png.
enum { SHEET_TILE = 64, SHEET_ACROSS = 25, SHEET_PICTURES = 500 };
void espy_shipped_sheet(struct picture *sheet);
// Makes `count` pictures of the sheet an input of the model: RGB planes, (byte / 255 - 0.5) / 0.5.
// planes: room for them.
struct espy_tensor espy_shipped_tiles(const struct picture *sheet, uint32_t first, uint32_t count,
                                      float *planes);
// How many rows have their largest number where the next line of *lines says; moves on in *lines.
uint32_t espy_shipped_count_right(const float *logits, uint32_t rows, uint32_t labels,
                                  const char **lines);

// Relative L2 and largest difference between what is at `actual`, row by row, and numbers in nested
// lists of any depth.
struct shipped_distance {
    double relative, largest;
    size_t count; // of numbers
};
struct shipped_distance espy_shipped_distance(const float *actual, const cJSON *expected);

#endif // TESTS_SUITES_SHIPPED_H_
