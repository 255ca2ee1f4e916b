// What the planner's own files share; nobody else includes it.
#ifndef RUNTIME_PLAN_PLAN_INTERNAL_H_
#define RUNTIME_PLAN_PLAN_INTERNAL_H_

#include "plan/plan.h"

// Kernels read and store channels as vectors of so many, which stay whole in memory.
enum { CHANNELS_STEP = 4 };

// Where a value lies, and the copies of it in other layouts that were made so far.
struct place {
    bool placed;
    bool padded; // finite numbers follow the channels of each pixel, up to a whole vector
    struct view view;
    bool has_dense, has_channels_last, has_packed;
    struct view dense, channels_last, packed;
};

// What follows a node and may become the end of its kernel's epilogue.
struct lower_tail {
    uint32_t node;    // the Add or Mul, or the last of a shuffle; GRAPH_NONE: there is none
    uint32_t operand; // the value that it reads besides
    uint32_t output;  // the value that it makes
    bool reshaped;    // there are changes of shape on the way
    bool shuffles;    // no operation: channels in turn with the operand's (espy_lower_take_shuffle)
    uint32_t step_count;
    struct op_step steps[OP_STEPS_MAX]; // the node's own, the operation, and that node's
};

// A value of which the device counts how much there is.
struct counted {
    struct op_type most; // dtype NONE: it is no such value
    uint32_t dim;        // that is counted; GRAPH_NONE: the type is exact
    struct view count;   // set by espy_lower_count
};

// Where a value may lie as a part of what a Concat makes of it and others.
struct home {
    uint32_t joined;   // that value; GRAPH_NONE: nowhere
    int64_t channel;   // of the joined value, that is the first of this one
    bool taken;        // this value lies there
    uint32_t buffer;   // of a joined value itself, once it has one; else VIEW_NONE
};

struct planner {
    const struct host *host;
    const struct plan_params *params;
    struct plan *plan;
    struct place *places;     // [value_count]
    uint32_t *use_counts;     // [value_count]: nodes and outputs that read it
    uint32_t *readers;        // [value_count]: the last node that reads it
    struct home *homes;       // [value_count]
    struct counted *counted;  // [value_count]
    bool *skipped;            // [node_count]: done before, pending, or dead and without types
    uint32_t *deferred;       // [value_count]: the Mul that makes it and waits (plan_factor.c)
    bool *delivered;          // [value_count]: in plan->outputs, or a source, or a constant

    struct plan_buffer *buffers; // growing; copied into the plan at the end
    bool *buffers_temporary;     // by buffer: made by espy_lower_temporary
    uint32_t buffer_capacity, temporary_capacity;
    struct plan_dispatch *prepare, *dispatches;
    uint32_t prepare_capacity, dispatch_capacity;
    struct plan_stage *stages;
    uint32_t stage_capacity;
    struct plan_host_node *host_nodes;
    uint32_t host_node_capacity;
    struct plan_choice *choices;
    uint32_t choice_capacity;

    uint32_t time;            // of the next dispatch or host node
    uint32_t node;            // being lowered; GRAPH_NONE at the outputs
    bool bends;               // espy_steps_bend is true of some node
    uint64_t spare_size, node_spare_size; // that weights may still grow by; before the node
    bool node_constant;       // all its inputs are known before the first run
    espy_status status;       // first failure of the lowering in progress
    const char *host_reason;  // set by espy_lower_on_host
    bool touched;             // the node has added something
};

// What is known before a run; dtype NONE: nothing, or only the most that it can be, which
// espy_planner_type says.
static inline const struct op_type *espy_planner_known(const struct planner *planner,
                                                       uint32_t value)
{
    return &planner->plan->walk.types[value];
}

static inline const struct shape *espy_planner_shape(const struct planner *planner, uint32_t value)
{
    return &espy_planner_known(planner, value)->shape;
}

// The product of the dimensions from `first` on.
static inline int64_t espy_count_from(const struct shape *shape, uint32_t first)
{
    int64_t count = 1;
    for (uint32_t d = first; d < shape->rank; d++)
        count *= shape->dims[d];
    return count;
}

// Adds a buffer; GRAPH_NONE after a failure, which planner->status remembers.
uint32_t espy_planner_add_buffer(struct planner *planner, enum plan_buffer_kind kind,
                                 espy_dtype dtype, size_t count, const char *name);
struct view espy_planner_dense_view(const struct planner *planner, uint32_t buffer,
                                    espy_dtype dtype, const struct shape *shape);
void espy_planner_touch(struct planner *planner, uint32_t buffer, uint32_t time);
// The device view of a graph value, uploading as needed.
struct view espy_planner_view(struct op_lower *c, uint32_t value);
// The dense device view of a graph value, uploading or copying as needed.
struct view espy_planner_dense(struct op_lower *c, uint32_t value);
// The same, channels-last dense; rank >= 3.
struct view espy_planner_channels_last(struct op_lower *c, uint32_t value);

// Finds what may be the tail of a node's kernel.
void espy_planner_find_tail(const struct planner *planner, uint32_t index,
                            struct lower_tail *tail);
// Marks a tail that was taken as done, and gives what it makes its own shape.
void espy_planner_finish_tail(struct op_lower *c);

// Lowers a node, unless it is done or nothing needs it.
espy_status espy_planner_lower(struct planner *planner, uint32_t index);
// Lowers another node while one is being lowered, before or after its turn.
void espy_planner_lower_within(struct planner *planner, uint32_t index);
// A product that may wait for its reader; true: it does.
bool espy_planner_defer(struct planner *planner, uint32_t index);
// Lowers the product that makes a value, if it waits.
void espy_planner_catch_up(struct planner *planner, uint32_t value);

// What the walk knows of a value's type, or the most that it can be; dtype NONE: neither.
const struct op_type *espy_planner_type(const struct planner *planner, uint32_t value);

// Finds what Concats may find in its place (plan_home.c).
espy_status espy_planner_find_homes(struct planner *planner);
// The value that is input i of the node being lowered, or the map that it has taken instead.
uint32_t espy_planner_input(const struct op_lower *c, uint32_t i);
// The value that is output o of the node being lowered, or of the tail that it has taken.
uint32_t espy_planner_output(const struct op_lower *c, uint32_t o);

// Walks the graph with the sources' types and finds what is pending (plan_walk.c).
espy_status espy_planner_walk(struct planner *planner);

// Gives every arena buffer its offset and fills arena_size and constants_size.
espy_status espy_plan_memory(struct planner *planner, uint32_t alignment);
// Fills dispatch.barrier from what the dispatches read and write.
espy_status espy_plan_barriers(struct planner *planner);

#endif // RUNTIME_PLAN_PLAN_INTERNAL_H_
