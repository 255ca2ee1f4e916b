// The plan of one of the problems of bench_problems.h, in the form that the problem is about.
#ifndef BENCH_BENCH_PLAN_H_
#define BENCH_BENCH_PLAN_H_

#include "bench_problems.h"
#include "plan/plan.h"

struct bench_plan {
    const struct problem *problem;
    struct problem_cost cost;
    struct graph graph;
    struct plan plan;
    bool asked;     // false: the form is none that the device has, and the plan is of no use
    bool estimated; // the form is the one that is taken by itself
};

// On failure, too, the caller finishes it.
espy_status espy_bench_plan_init(struct bench_plan *bench, const struct host *host,
                                 const struct caps *caps, const struct problem *problem);
void espy_bench_plan_finish(struct bench_plan *bench);
// What tells pipelines of one kernel apart most; empty: it has no tiles.
enum { BENCH_TILE_SIZE = 64 };
const char *espy_bench_tile(const struct plan_dispatch *dispatch, char text[BENCH_TILE_SIZE]);

#endif // BENCH_BENCH_PLAN_H_
