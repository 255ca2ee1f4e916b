// The plan: everything that running a graph for given input shapes takes, as plain data. Stages,
// dispatches, buffers with their places in memory. Knows operators; must not know Vulkan.
#ifndef RUNTIME_PLAN_PLAN_H_
#define RUNTIME_PLAN_PLAN_H_

#include "op/lower.h"
#include "plan/choices.h"

// A node with more output elements than this is never evaluated at plan time, and no source with
// more is taken as known: such values run on the device, before the first run when all inputs are
// constant.
enum { PLAN_FOLD_ELEMENTS_MAX = 4096 };

// Transient memory that prepare dispatches may take at once, unless those that have to run together
// need more.
enum { PLAN_TRANSIENT_SIZE = 16 << 20 };

enum plan_buffer_kind {
    PLAN_ARENA,     // a place in the arena while it is alive; places are shared over time
    PLAN_CONSTANT,  // uploaded from host data when the plan is made ready
    PLAN_PERSISTENT // written once by the prepare dispatches, read by every run
};

struct plan_buffer {
    enum plan_buffer_kind kind;
    enum storage storage;
    uint64_t size;            // bytes, a multiple of 4
    // CONSTANT and PERSISTENT: read by prepare dispatches only, so that its memory can go after them.
    bool transient;
    uint32_t batch;           // transient: whose dispatches touch it; GRAPH_NONE: none do
    uint64_t offset;          // in the arena, the constants, or the transient memory
    uint32_t first, last;     // ARENA: times of the first and last touch; a time is the index of
                              // a dispatch or host node in the order of both
    espy_dtype dtype;         // CONSTANT: element type of data; converted to storage at upload
    const void *data;         // CONSTANT: host elements; live as long as the graph and the plan
    bool lasting;             // CONSTANT: data is the graph's, and does not go with the plan
    size_t count;             // CONSTANT: elements
    // CONSTANT: of the elements from data on, the first `run` of every `step`; run 0: all.
    size_t run, step;
    const char *name;         // of the value it was made for, for people; may be NULL
};

struct plan_binding {
    uint32_t buffer;
    bool reads, writes;
    uint64_t size;            // bytes of the elements that are seen; 0 where an earlier binding of
                              // the dispatch sees them in the same way
};

struct plan_dispatch {
    const struct shader *shader;
    uint32_t node;            // index in the graph; GRAPH_NONE: made for an output
    uint32_t time;            // see plan_buffer.first
    uint32_t groups[3];
    uint32_t binding_count;
    struct plan_binding *bindings;
    uint32_t push_size, spec_size;
    const void *push, *spec;
    bool barrier;             // must see the memory effects of what came before it
};

// Prepare dispatches [first, first + count). Transient buffers of one batch share their memory with
// those of the others, so constants among them are uploaded batch by batch.
struct plan_batch {
    uint32_t first, count;
};

// A node that runs its reference on the host between two stages.
struct plan_host_node {
    uint32_t node, time;
    const char *why;
    uint32_t input_count, output_count;
    // Dense device views; buffer VIEW_NONE where absent or where values[i] is known on the host.
    struct view *inputs, *outputs;
    struct tensor *values;    // [input_count]; data non-NULL: known before the run
    struct op_type *input_types, *output_types; // dtype NONE where absent or unwanted
};

// One recorded command buffer: dispatches [first, first + count), after the host node if any.
struct plan_stage {
    uint32_t host_node;       // index in host_nodes, or GRAPH_NONE
    uint32_t first, count;
};

// A value that goes in or comes out, or with keep_values any value.
struct plan_io {
    uint32_t value;           // index in the graph
    struct op_type type;      // what the caller sees
    struct view view; // dense. buffer VIEW_NONE: the value is `constant`, or nothing reads it
    const struct tensor *constant; // known before the run: no device memory involved
    // Only the run finds how long dimension `counted_dim` is: `count` is one uint32 with it. type and
    // view have the most that it can be, and the elements lie from the view's start on, as those of
    // a dense tensor of the true shape.
    bool counted;
    uint32_t counted_dim;
    struct view count;
};

// What a node's lowering has asked (espy_lower_choose).
struct plan_choice {
    uint32_t node;
    const char *key;          // of the problem, in struct choices
    uint32_t count, fallback, chosen;
    uint64_t spare_size;      // what espy_lower_spare had for the node
    // How the node's inputs and outputs lie; buffer VIEW_NONE: not on the device, or not there.
    struct view *inputs, *outputs;
    bool *constant;           // by input
};

struct plan {
    struct arena memory;      // everything below lives here
    const struct graph *graph; // must outlive the plan
    struct op_walk walk;      // bound nodes, types, and the values known before the run
    uint32_t buffer_count;
    struct plan_buffer *buffers;
    uint32_t prepare_count;   // dispatches to run once before the first run
    struct plan_dispatch *prepare;
    uint32_t batch_count;
    struct plan_batch *batches; // of the prepare dispatches, in order
    uint32_t dispatch_count;
    struct plan_dispatch *dispatches;
    uint32_t stage_count;
    struct plan_stage *stages;
    uint32_t host_node_count;
    struct plan_host_node *host_nodes;
    uint32_t input_count, output_count;
    struct plan_io *inputs; // one per source
    // Per source: data non-NULL where a shape depends on the source's elements. The plan is for
    // these elements only; they need no upload.
    struct tensor *input_values;
    // What the plan makes of the graph's outputs (all of them, in order, when nothing is pending);
    // then every value that a pending node reads, but sources and the graph's constants.
    struct plan_io *outputs;
    // Nodes whose types depend on data that this plan computes. They run after it: on the host or
    // in another plan, made when that data is there.
    uint32_t pending_count;
    bool *pending;            // [graph->node_count]
    // Nodes of this plan that find on the device how much they make: their outputs are `counted`,
    // and whatever reads these is pending.
    uint32_t counted_count;
    bool *counted;            // [graph->node_count]
    // The first node that reads or makes float64 on the device, which has it as float32;
    // GRAPH_NONE: there is none. Conversions that lose nothing by that do not count.
    uint32_t float64_node;
    uint32_t choice_count;    // in the order of the nodes
    struct plan_choice *choices;
    uint32_t kept_count;      // keep_values: every value that lies in memory of its own
    struct plan_io *kept;
    uint64_t arena_size;      // bytes
    uint64_t constants_size;  // bytes of CONSTANT and PERSISTENT buffers that stay
    uint64_t transient_size;  // bytes of the largest batch of those that go after the prepare dispatches
};

struct plan_params {
    const struct host *host;
    const struct graph *graph;
    const struct caps *caps;
    const struct op_source *sources; // the graph's inputs, or what earlier plans of a run have made
    uint32_t source_count;
    const bool *done; // [node_count]: nodes that earlier plans of the run have seen to; NULL: none
    bool keep_values;
    const struct choices *choices; // of this device; NULL: operators estimate
    uint64_t spare_size; // of espy_lower_spare; 0: by the rule there
};

espy_status espy_plan_build(const struct plan_params *params, struct plan *plan);
// Whether the device can bind all buffers of the operator's kernels; where not, the host computes
// it.
bool espy_plan_binds(const struct caps *caps, const struct op *op);
// The largest types of the outputs of a node with OP_DATA_SHAPE, and which dimension the device
// counts (struct op, bound); false: a plan for this device leaves the node to the host.
// values: those known before the run.
bool espy_plan_bound(const struct host *host, const struct caps *caps, struct arena *arena,
                     const struct op_node *node, const struct op_type *inputs,
                     const struct tensor *values, uint32_t input_count, struct op_type *outputs,
                     uint32_t *counted, uint32_t output_count);
void espy_plan_finish(struct plan *plan); // zeroed is fine

// What the dispatches of a run move, every element once per dispatch that sees it. What they read
// of weights (CONSTANT and PERSISTENT) is apart.
struct plan_traffic {
    uint64_t read, written, weights; // bytes
};
void espy_plan_traffic(const struct plan *plan, struct plan_traffic *traffic);
// Whether two dispatches take the same pipeline: shader and values of its constants.
bool espy_plan_same_pipeline(const struct plan_dispatch *a, const struct plan_dispatch *b);
// How many the plan takes, prepare dispatches included: what a driver has to compile.
uint32_t espy_plan_pipelines(const struct plan *plan);
// One line per buffer and dispatch, stable: golden tests compare it.
void espy_plan_print(const struct plan *plan, struct text *text);

enum storage espy_storage_of(const struct caps *caps, espy_dtype dtype);
size_t espy_storage_size(enum storage storage); // bytes per element
// Copies count elements between a host type and its device storage, converting. int64 and the like
// are copied as they are.
void espy_storage_encode(enum storage storage, espy_dtype dtype, const void *host_elements,
                         size_t count, void *device_elements);
void espy_storage_decode(enum storage storage, espy_dtype dtype, const void *device_elements,
                         size_t count, void *host_elements);

#endif // RUNTIME_PLAN_PLAN_H_
