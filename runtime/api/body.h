// Bodies of nodes such as Loop: graphs that a runner runs, on the device where that pays, between
// two segments of its own run.
#ifndef RUNTIME_API_BODY_H_
#define RUNTIME_API_BODY_H_

#include "api/runner.h"

// The `run` of struct op_control; run_user is the runner.
espy_status espy_runner_run_body(struct op_control *c, const struct graph *body,
                                 const struct tensor *inputs, struct arena *arena,
                                 struct tensor *outputs);
void espy_runner_destroy_bodies(struct runner *runner);
uint64_t espy_runner_bodies_memory(const struct runner *runner);

#endif // RUNTIME_API_BODY_H_
