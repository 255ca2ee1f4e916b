// A problem of the tuner: a node that asked which form of a kernel to take, alone in a graph of its
// own with inputs that lie as they do in the network, random elements and what comes out by the
// reference.
#ifndef RUNTIME_API_TUNE_PROBLEM_H_
#define RUNTIME_API_TUNE_PROBLEM_H_

#include "api/segment.h"
#include "api/tune_race.h"

struct tune_problem {
    const struct host *host;
    struct vk_device *device;
    const struct plan_choice *choice; // of the network's plan, which outlives the problem
    struct vk_weights *weights; // of all forms
    uint64_t memory_max, taken; // device bytes; max 0: no limit
    struct arena memory;
    struct graph graph;
    struct op_source *sources;  // by input of the graph
    struct tensor *inputs;
    struct tensor *reference, *results; // by output of the graph
    // By form; NULL: as one before it.
    uint32_t form_count;
    struct tune_form_run {
        struct tune_problem *problem;
        struct segment *segment;
    } runs[CHOICES_FORMS_MAX];
};

struct tune_problem_params {
    const struct host *host;
    struct vk_device *device;
    const struct plan *plan;          // of the network
    const struct plan_choice *choice; // of that plan
    uint64_t memory_max;              // forms that do not fit beside each other take no part
};

// Makes the graph, its elements, and a segment per form. Sets *usable to false where the node alone
// does not ask the same, so that there is nothing to time. finish after failures too.
espy_status espy_tune_problem_init(struct tune_problem *problem,
                                   const struct tune_problem_params *params, bool *usable);
void espy_tune_problem_finish(struct tune_problem *problem); // zeroed is fine
espy_status espy_tune_problem_race(struct tune_problem *problem, struct tune_verdict *verdict);

#endif // RUNTIME_API_TUNE_PROBLEM_H_
