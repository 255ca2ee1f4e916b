// Drives a run: the stages of a plan with host nodes between them and, where shapes depend on what
// was computed, a chain of plans that are made as their shapes become known. The public session and
// the tests run everything through it.
#ifndef RUNTIME_API_RUNNER_H_
#define RUNTIME_API_RUNNER_H_

#include "api/segment.h"

struct runner_cache;
struct runner;

// Called when a body has run, before its runner runs again; a failure ends the run.
typedef espy_status (*runner_watch_fn)(void *user, const struct runner *body);

struct runner {
    const struct host *host;
    struct vk_device *device;
    const struct graph *graph;
    bool keep_values;
    uint64_t memory_max;
    bool *float64_said; // see segment_params
    struct vk_weights *weights;
    const struct choices *choices;
    struct segment *first;
    struct segment **later; // made during runs and kept for others; the least recently used goes
    uint32_t later_count, later_capacity;
    struct segment *current;
    uint32_t stage; // of current, submitted last
    bool running;
    uint64_t run; // counts runs
    // Where nodes are pending after the first segment; else NULL.
    struct arena memory;
    struct tensor *inputs;   // [graph->input_count]: room for those that pending nodes read
    struct tensor *values;   // [graph->value_count]: on the host by now; data NULL: not
    bool *fixed;             // [graph->value_count]: known before the run
    bool *done;              // [graph->node_count]
    struct arena run_memory; // of the last run: what the host computed between segments
    struct runner_cache *bodies; // of the graphs that its nodes run; NULL before the first
    runner_watch_fn watch;       // NULL: nobody does. Bodies hand it on to theirs
    void *watch_user;
};

struct runner_params {
    const struct host *host;
    struct vk_device *device;
    const struct graph *graph;   // must outlive the runner
    const struct op_type *inputs; // one concrete type per graph input
    const void *const *input_data; // per graph input, for shapes that depend on elements; NULL, or
                                   // an entry NULL: not at hand
    bool keep_values;
    uint64_t memory_max;         // 0: no limit
    bool *float64_said;          // see segment_params; must outlive the runner
    struct vk_weights *weights;  // of the session; must outlive the runner. NULL: none are shared
    const struct choices *choices; // see plan_params; must outlive the runner
};

espy_status espy_runner_create(const struct runner_params *params, struct runner **runner);
void espy_runner_destroy(struct runner **runner);
// Copies the inputs' elements (one pointer per graph input) and submits.
espy_status espy_runner_start(struct runner *runner, const void *const *inputs);
// Waits, driving the stages and segments that are left. ESPY_TIMEOUT (not logged): call again.
espy_status espy_runner_finish(struct runner *runner, uint64_t timeout_ns);
// Device memory in bytes, as memory_max counts it; grows as later segments and bodies are run.
uint64_t espy_runner_memory(const struct runner *runner);
// true: shapes depend on what a run computes.
bool espy_runner_data_dependent(const struct runner *runner);
// The type of output o of the graph; dtype NONE when only a run can tell.
struct op_type espy_runner_planned(const struct runner *runner, uint32_t o);
// After finish: the type that the run gave output o.
struct op_type espy_runner_result(const struct runner *runner, uint32_t o);
// After finish: copies out the elements of output o.
espy_status espy_runner_read(const struct runner *runner, uint32_t o, void *elements);

#endif // RUNTIME_API_RUNNER_H_
