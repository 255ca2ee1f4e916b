// Mean average precision of a detector at an intersection over union of 0.5, by the definition in
// examples/detection/README.md: the area under the precision envelope over all points.
#ifndef TESTS_SUITES_PRECISION_H_
#define TESTS_SUITES_PRECISION_H_

#include <stdbool.h>
#include <stdint.h>

// An object that is in a picture, or one that was found there.
struct located {
    uint32_t picture, kind;
    double box[4]; // x1, y1, x2, y2
    double score;  // of what was found
    bool taken;    // of what is there: something was found for it
};

struct located_list {
    struct located *items;
    uint32_t count;
};

// Of one kind, which must be in some picture. Sorts `found` and marks `truths`.
double espy_average_precision(struct located_list found, struct located_list truths, uint32_t kind);

#endif // TESTS_SUITES_PRECISION_H_
