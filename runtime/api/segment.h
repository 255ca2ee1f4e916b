// One plan made ready on a device: its program, and the host's tensors for what runs between its
// stages and for what comes out. A run is a chain of segments, mostly of one.
#ifndef RUNTIME_API_SEGMENT_H_
#define RUNTIME_API_SEGMENT_H_

#include "vk/vk.h"

struct segment {
    const struct host *host;
    struct plan plan;
    struct vk_program *program;
    struct arena memory;                         // everything below that is an array
    struct tensor **host_inputs, **host_outputs; // by host node
    // By output of the plan, but for what is counted, which gets memory by the run; NULL: nobody
    // asks for them on the host.
    struct tensor *delivered;
    // What it was planned for, with plan.input_values: sources without data, and nodes done before
    // it.
    struct op_source *sources;
    bool *done;           // NULL: none
    struct segment *next; // of the run in flight, or the last one
    uint64_t used;        // the last run that it was part of
};

struct segment_params {
    const struct host *host;
    struct vk_device *device;
    struct plan_params plan; // caps may be NULL: the device's
    struct vk_weights *weights; // of the session; NULL: shared with nobody
    uint64_t memory_max;     // 0: no limit
    bool later;              // not the first of a run: everything it makes goes through the host
    bool *float64_said;      // the session's: whether it has warned of float64; NULL: nobody does
};

espy_status espy_segment_create(const struct segment_params *params, struct segment **segment);
void espy_segment_destroy(struct segment **segment);
// true: the segment can stand in for one that would be made with these.
bool espy_segment_fits(const struct segment *segment, const struct op_source *sources,
                       uint32_t source_count, const bool *done);
// Reads the inputs of a host node, runs its reference and writes what it made.
espy_status espy_segment_run_host_node(struct segment *segment, uint32_t host_node);
// The type that the last run gave an output, or a kept value, of the plan.
espy_status espy_segment_type(const struct segment *segment, const struct plan_io *io,
                              struct op_type *type);
// Reads it into a tensor of that type, which has room for it.
espy_status espy_segment_read(const struct segment *segment, const struct plan_io *io,
                              struct tensor *tensor);
// Device memory in bytes, as memory_max counts it.
uint64_t espy_segment_memory(const struct segment *segment);

#endif // RUNTIME_API_SEGMENT_H_
