// A plan made ready on a device, and the driving of its stages: host nodes between submits.
// The public session and the tests run everything through it.
#ifndef RUNTIME_API_RUNNER_H_
#define RUNTIME_API_RUNNER_H_

#include "vk/vk.h"

struct runner {
    const struct host *host;
    struct plan plan;
    struct vk_program *program;
    struct arena memory;        // host nodes' tensors, made once
    struct tensor **host_inputs, **host_outputs; // by host node
    uint32_t stage;             // submitted last
    bool running;
};

struct runner_params {
    const struct host *host;
    struct vk_device *device;
    const struct graph *graph;   // must outlive the runner
    const struct op_type *inputs; // one concrete type per graph input
    const void *const *input_data; // as plan_params.input_data
    bool keep_values;
    uint64_t memory_max;         // 0: no limit
};

espy_status espy_runner_create(const struct runner_params *params, struct runner **runner);
void espy_runner_destroy(struct runner **runner);
// Copies the inputs' elements (one pointer per graph input) to the device and submits.
espy_status espy_runner_start(struct runner *runner, const void *const *inputs);
// Waits, driving the stages that are left; then reads outputs[i] where it is not NULL.
// ESPY_TIMEOUT (not logged): call again.
espy_status espy_runner_finish(struct runner *runner, uint64_t timeout_ns, void *const *outputs);
// After finish: reads a kept value (index into plan.kept).
espy_status espy_runner_read_kept(struct runner *runner, uint32_t kept, void *elements);

#endif // RUNTIME_API_RUNNER_H_
