// What a detector finds, compared as a set: rows of nearly equal score may change places.
#ifndef TESTS_SUITES_DETECTIONS_H_
#define TESTS_SUITES_DETECTIONS_H_

#include "format/graph.h"
#include "op/op.h"

// Outputs labels [.., n], boxes [.., n, 4] and scores [.., n].
struct detections {
    const struct tensor *labels, *boxes, *scores;
};

// outputs: one per output of the graph, which must have outputs of these names.
struct detections espy_suite_detections_of(const struct graph *graph, const struct tensor *outputs);
// Equal labels, scores to 1e-4, boxes to 1e-4 of the picture that they span. Expectations are
// Criterion's; id is for their messages.
void espy_suite_check_detections(const char *id, const struct detections *actual,
                                 const struct detections *expected);

#endif // TESTS_SUITES_DETECTIONS_H_
