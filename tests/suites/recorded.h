// A model of ../shared with recorded inputs and outputs, run on the device and judged by them.
#ifndef TESTS_SUITES_RECORDED_H_
#define TESTS_SUITES_RECORDED_H_

#include <stdbool.h>

struct recorded_model {
    const char *suite, *name; // folder ../shared/SUITE/NAME
    double tolerance;         // relative L2 of every output
    double rounding;          // absolute error of the recorded numbers themselves
    bool detections;          // labels, boxes and scores, compared as a set of rows
    bool generated_weights;   // weights.lcg.json says how to make them
    bool every_node;          // also each value on the way, against the reference of the graph as
                              // it was imported
    // Shapes depend on what is computed: a run takes up to so many plans. 0: everything is known
    // before the run, so that it is one submit and nothing runs on the host.
    unsigned segments_max;
};

// Converts, runs all cases with the validation layer on, and checks that nothing has leaked. To be
// called in a Criterion test.
void espy_suite_run_recorded(const struct recorded_model *model);

// What every model run since the start of the program took: nodes, dispatches, submits, nodes on
// the host. For Criterion's hooks: tests are processes of their own, so lines are kept in files.
void espy_suite_clear_rows(const char *suite);
void espy_suite_print_rows(const char *suite);

#endif // TESTS_SUITES_RECORDED_H_
