// The operator contract: what an operator accepts, which shapes it makes, what it means in plain C,
// and how it becomes dispatches. Knows graphs; must not know plans' insides nor Vulkan.
//
// Adding an operator is three files: runtime/ops/x.c with one `const struct op_family espy_ops_x`,
// shaders/x.comp, tests/ops/x.json. The build collects them; nothing else is edited.
#ifndef RUNTIME_OP_OP_H_
#define RUNTIME_OP_OP_H_

#include <stddef.h>

#include "base/base.h"
#include "format/graph.h"

#define OP_VARIADIC UINT32_MAX // any number; not an enumerator, which ISO C limits to int
enum { OP_STEPS_MAX = GRAPH_STEPS_MAX };

// ---- attributes ----------------------------------------------------------------------------------

enum op_attr_type {
    OP_INT,    // int64_t
    OP_BOOL,   // bool; 0 or 1 in the file
    OP_FLOAT,  // float
    OP_DOUBLE, // double: any number of the file, exactly
    OP_ENUM,   // int: index into choices; a string in the file
    OP_DTYPE,  // espy_dtype; its name in the file
    OP_STRING, // const char *
    OP_INTS,   // struct op_ints
    OP_FLOATS, // struct op_floats
    OP_STRINGS, // struct op_strings
    OP_BODY     // const struct graph *: a body of the network; its name in the file
};

struct op_ints {
    const int64_t *values; // NULL: the attribute is absent
    uint32_t count;
};
struct op_floats {
    const float *values;
    uint32_t count;
};
struct op_strings {
    const char *const *values;
    uint32_t count;
};

// One row is the parser, the range check, the default and the documentation of one attribute.
struct op_attr {
    const char *name;
    enum op_attr_type type;
    size_t offset;             // of the member in the operator's attribute struct
    double fallback;           // INT, BOOL, FLOAT, DOUBLE, ENUM, DTYPE: value when absent
    double min, max;           // INT, INTS, FLOAT, DOUBLE: inclusive range; both 0: unchecked
    const char *const *choices; // ENUM: NULL-terminated names
    bool required;             // absent: an error; lists and strings else become NULL
    const char *help;          // one line for docs/operators.md
};

// ---- tensors on the host -----------------------------------------------------------------------

struct op_type {
    espy_dtype dtype; // ESPY_DTYPE_NONE: an absent optional input, or a type that is not known
    struct shape shape;
};

struct tensor {
    struct op_type type;
    size_t count; // elements
    // Dense, row-major; NULL when absent or not known. infer and evaluate get it aligned for the
    // type.
    void *data;
};

// Element access whatever the type: floats of all kinds and integers as double or int64_t. Reading
// needs no alignment.
double espy_tensor_number(const struct tensor *tensor, size_t index);
int64_t espy_tensor_integer(const struct tensor *tensor, size_t index); // floats are truncated
// Integers wrap to their width as C's unsigned conversion does; bool stores value != 0.
void espy_tensor_set_number(struct tensor *tensor, size_t index, double value);
void espy_tensor_set_integer(struct tensor *tensor, size_t index, int64_t value);
// For the floats that have an espy_dtype_float_form: set_number does not saturate and rounds to the
// nearest.
void espy_tensor_set_small(struct tensor *tensor, size_t index, double value, bool saturate,
                           enum float_rounding rounding);
// Copies count elements, whose types are the same; elements of some types share bytes.
void espy_tensor_move(struct tensor *to, size_t to_index, const struct tensor *from,
                      size_t from_index, size_t count);
size_t espy_tensor_size(const struct tensor *tensor); // bytes

// ---- the questions an operator answers -----------------------------------------------------

struct op_node;

// infer: shapes and types from types, attributes and the input values that are known.
struct op_infer {
    const struct host *host;
    const struct op_node *node;
    const void *attrs;            // the operator's attribute struct
    uint32_t input_count, output_count;
    const struct op_type *inputs; // dtype NONE where absent
    const struct tensor *values;  // data NULL where not known before the run
    struct op_type *outputs;      // to fill; an output nobody wants may be left
    uint32_t *counted;            // bound only, see struct op
    struct arena *arena;          // scratch that lives as long as the inference
    uint32_t needs;               // set by espy_infer_value: the input that was needed, or GRAPH_NONE
};

// true: input i was given.
bool espy_infer_has(const struct op_infer *c, uint32_t i);
// The value of input i, which the shape depends on. NULL when not known before the run; then the
// operator returns espy_infer_wait(c): a plan ends here (docs/plan.md).
const struct tensor *espy_infer_value(struct op_infer *c, uint32_t i);
espy_status espy_infer_wait(struct op_infer *c);
// Logs "node 'x' (Op): ..." and returns ESPY_BAD_FORMAT, for models that break the operator's rules.
espy_status espy_infer_fail(const struct op_infer *c, const char *format, ...) ESPY_PRINTF(2, 3);
// The same with ESPY_UNSUPPORTED, for what the operator allows and this project does not do yet.
espy_status espy_infer_unsupported(const struct op_infer *c, const char *format, ...)
    ESPY_PRINTF(2, 3);
// Fails unless all listed inputs that are present have one dtype.
espy_status espy_infer_same_dtype(const struct op_infer *c, uint32_t first, uint32_t count);
// Numpy broadcasting of a and b into result.
espy_status espy_infer_broadcast(const struct op_infer *c, const struct shape *a,
                                 const struct shape *b, struct shape *result);
// Turns axis in [-rank, rank) into [0, rank).
espy_status espy_infer_axis(const struct op_infer *c, int64_t axis, uint32_t rank,
                            uint32_t *result);
// For references and lowerings that want what infer worked out on its way: the context again, with
// types but no values and no outputs.
struct op_infer espy_infer_again(const struct host *host, const struct op_node *node,
                                 const struct op_type *inputs, uint32_t input_count);
// Copies dtype and shape of input i to output o.
void espy_infer_copy(struct op_infer *c, uint32_t o, uint32_t i);

// reference: what the operator means. Inputs have data (shape-only operators may lack it), outputs
// are allocated. Plain and obvious; accumulates in double; never fails on what infer accepted,
// except for memory (espy_eval_scratch) and values out of range (espy_eval_fail).
struct op_eval {
    const struct host *host;
    const struct op_node *node;
    const void *attrs;
    uint32_t input_count, output_count;
    const struct tensor *inputs;  // absent: type.dtype NONE, data NULL
    struct tensor *outputs;       // an output nobody wants has data NULL
    struct arena *arena;          // scratch, freed after the node
    espy_status status;           // set by espy_eval_fail
};

bool espy_eval_has(const struct op_eval *c, uint32_t i);
void *espy_eval_scratch(struct op_eval *c, size_t count, size_t element_size); // NULL: status set
// Input i's elements as float, converted where they are not; NULL: status set. For inner loops.
const float *espy_eval_floats(struct op_eval *c, uint32_t i);
void espy_eval_fail(struct op_eval *c, espy_status status, const char *format, ...)
    ESPY_PRINTF(3, 4);

// control: for operators that run other graphs (If, Loop, Scan) instead of infer, reference and
// lower. What comes out is known when they have run, so nothing after them is planned before. Inputs
// have data. Fills outputs with types, counts and data from the arena.
struct op_control {
    const struct host *host;
    const struct op_node *node;
    const void *attrs;
    uint32_t input_count, output_count;
    const struct tensor *inputs;
    struct tensor *outputs; // dtype NONE stays where nobody wants one
    struct arena *arena;
    // Runs a body on as many inputs as it has; its outputs' data comes from arena. Called through
    // espy_control_run.
    espy_status (*run)(struct op_control *c, const struct graph *body, const struct tensor *inputs,
                       struct arena *arena, struct tensor *outputs);
    void *run_user;
};

bool espy_control_has(const struct op_control *c, uint32_t i);
espy_status espy_control_fail(const struct op_control *c, const char *format, ...)
    ESPY_PRINTF(2, 3);
// Checks the count of inputs, then runs the body.
espy_status espy_control_run(struct op_control *c, const struct graph *body,
                             const struct tensor *inputs, uint32_t input_count,
                             struct arena *arena, struct tensor *outputs);
// A copy in the arena; data NULL: out of memory.
struct tensor espy_control_copy(struct arena *arena, const struct tensor *tensor);

struct op_lower; // op/lower.h

enum op_flag {
    OP_SHAPE_ONLY = 1,  // reference reads shapes and types of inputs, never data (Shape, Size)
    OP_EPILOGUE = 2,    // lower applies the node's steps (espy_lower_epilogue)
    OP_HOST_ONLY = 4,   // shape arithmetic or control that has no kernel by design; lower is NULL
    OP_POINTWISE = 8,   // one element in, one out: may become an epilogue step by its name
    OP_DATA_SHAPE = 16, // how many elements come out is decided by those that go in (NonZero); with
                        // lower it has bound too
    OP_NARROW = 32,     // takes and makes types that are not computed with (espy_dtype_is_narrow)
    OP_GAPS = 64        // reads maps as they lie whose pixels lie further apart than they have channels
};

struct op {
    const char *name, *summary;
    uint32_t inputs_min, inputs_max;   // OP_VARIADIC for any number
    uint32_t outputs_min, outputs_max;
    uint32_t flags;
    uint32_t bindings; // buffers that a kernel of it reads and writes, if more than eight: devices
                       // that bind fewer at once leave the operator to the host
    const struct op_attr *attrs;
    uint32_t attr_count;
    size_t attrs_size;                 // of the attribute struct
    espy_status (*infer)(struct op_infer *c);
    void (*reference)(struct op_eval *c);
    espy_status (*lower)(struct op_lower *c);
    // With OP_DATA_SHAPE, for types of which lower finds on the device how much comes out
    // (espy_lower_count): as infer, but outputs get the largest types that they can have, and
    // counted[o] the one dimension of output o whose length is what lower counts; GRAPH_NONE, as it
    // is given: the type is exact. Returns espy_infer_wait where the host has to do it.
    espy_status (*bound)(struct op_infer *c);
    espy_status (*control)(struct op_control *c); // then the four above are NULL
};

struct op_family {
    const struct op *ops;
    uint32_t count;
};

// ---- epilogue steps ------------------------------------------------------------------------------

// One pointwise function with up to two parameters. The codes are in shaders/include/unary_codes.glsl,
// read by C and GLSL alike.
struct op_step {
    uint32_t function;
    float a, b;
};

struct op_step_info {
    const char *op;           // the ONNX operator of the same meaning
    uint32_t function;
    const char *names[2];     // attributes that give a and b; NULL: none
    float fallback[2];
};

// The functions that may be an epilogue step, by index; NULL after the last.
const struct op_step_info *espy_step_info(uint32_t index);
const struct op_step_info *espy_step_find(const char *op);
// The code of the step that does what this operator of two inputs does, with an element of another
// tensor for one of them; 0: there is none. Only plans make such steps (plan/plan_tail.c).
uint32_t espy_step_with_operand(const char *op);
// The meaning of every function code, in C. Also what the unary operators' references call.
double espy_step_apply(const struct op_step *step, double x);
// Replaces a last cheap function among a kernel's steps (none, Relu, Clip, HardSigmoid, HardSwish;
// an operation with another tensor may come before it) by one whose parameters say which of them it
// is, so that they share a pipeline: Clip, or with bend UNARY_BEND, which costs five operations more
// and is for graphs that have a node of which espy_steps_bend is true.
void espy_steps_share(uint32_t steps[4], float a[4], float b[4], bool bend);
bool espy_steps_bend(const struct op_step *steps, uint32_t count);
// The functions give finite numbers for finite ones, and read no other tensor.
bool espy_steps_keep_finite(const struct op_step *steps, uint32_t count);

// ---- the table and bound nodes --------------------------------------------------------------------

const struct op *espy_op_find(const char *name);  // NULL: unknown
const struct op *espy_op_at(uint32_t index);      // in order of name; NULL past the end

// A graph node with its operator found and its attributes parsed and checked.
struct op_node {
    const struct op *op;
    const char *name;
    const void *attrs;
    uint32_t step_count;
    struct op_step steps[OP_STEPS_MAX];
};

// Finds the operator, checks counts, parses attributes; bodies are those of graph. Fails with
// ESPY_UNSUPPORTED for an unknown operator, ESPY_BAD_FORMAT for bad attributes; logs one line that
// names the node.
espy_status espy_op_bind(const struct host *host, struct arena *arena, const struct graph *graph,
                         const struct graph_node *graph_node, struct op_node *node);

// Runs infer. ESPY_OK fills outputs[output_count]. When a value is missing, *needs is set to the
// input's index and ESPY_UNSUPPORTED is returned without a log line; otherwise *needs is GRAPH_NONE.
espy_status espy_op_infer(const struct host *host, struct arena *arena, const struct op_node *node,
                          const struct op_type *inputs, const struct tensor *values,
                          uint32_t input_count, struct op_type *outputs, uint32_t output_count,
                          uint32_t *needs);

// Runs bound, which the operator has. false: the host has to find the shapes, or there was no memory.
bool espy_op_bound(const struct host *host, struct arena *arena, const struct op_node *node,
                   const struct op_type *inputs, const struct tensor *values, uint32_t input_count,
                   struct op_type *outputs, uint32_t *counted, uint32_t output_count);

// Runs the reference and the steps. outputs have types and data (or NULL data where unwanted).
espy_status espy_op_evaluate(const struct host *host, const struct op_node *node,
                             const struct tensor *inputs, uint32_t input_count,
                             struct tensor *outputs, uint32_t output_count);

// Runs a node that has bodies. run and run_user as in struct op_control; outputs zeroed.
struct op_control_params {
    const struct host *host;
    const struct op_node *node;
    const struct tensor *inputs;
    uint32_t input_count, output_count;
    struct tensor *outputs;
    struct arena *arena;
    espy_status (*run)(struct op_control *c, const struct graph *body, const struct tensor *inputs,
                       struct arena *arena, struct tensor *outputs); // NULL: the references
    void *run_user;
};
espy_status espy_op_control(const struct op_control_params *params);

// Computes a graph's outputs from all of its inputs by the references alone.
espy_status espy_graph_evaluate(const struct host *host, const struct graph *graph,
                                const struct tensor *inputs, struct arena *arena,
                                struct tensor *outputs);

// ---- walking a graph -------------------------------------------------------------------------------

// What is known about every value of a graph for given input types: types, and data where it follows
// from constants and shapes alone. Used by the converter's passes, the planner, and inspect.
struct op_walk {
    const struct host *host;
    const struct graph *graph;
    struct arena arena;
    struct op_node *nodes;     // [node_count], bound; zeroed where done
    struct op_type *types;     // [value_count]; dtype NONE: not known
    struct tensor *values;     // [value_count]; data NULL: not known before the run
    // [value_count]: a shape waits for the data of this value. Never set for OP_DATA_SHAPE, whose
    // inputs are another run's at every run.
    bool *awaited;
};

// A value that is given rather than computed: an input of the graph, or what an earlier part of a
// run has made.
struct op_source {
    uint32_t value;
    struct op_type type;
    const void *data; // elements where they are at hand; else NULL
    bool known;       // the data is as good as a constant's: shapes and values may follow from it
};

struct op_walk_params {
    // NULL: the graph's inputs as it declares them, where those with symbolic dims stay unknown and
    // so does what follows from them.
    const struct op_source *sources;
    uint32_t source_count;
    const bool *done; // [node_count]: nodes to leave out; NULL: none
    // Nodes with known inputs are evaluated when their outputs have at most this many elements.
    size_t fold_elements_max;
    bool run_bodies; // nodes with bodies and known inputs are run, whatever the size
    // Continue after unknown operators and bad nodes, logging each; the walk then fails at the end.
    bool report_all;
};

espy_status espy_walk_init(struct op_walk *walk, const struct host *host,
                           const struct graph *graph, const struct op_walk_params *params);
void espy_walk_finish(struct op_walk *walk); // zeroed is fine
// known: by value, true for what could be known if only somebody gave its elements. On return true
// for what can be computed from these too, by nodes of at most elements_max elements each; and
// needed[v] is true for the values among these that an awaited one is computed from. Both have
// value_count entries.
void espy_walk_awaited(const struct op_walk *walk, size_t elements_max, bool *known, bool *needed);

#endif // RUNTIME_OP_OP_H_
