// Rewrites of a graph that need no device: folding, fusion, dead code. Every pass keeps what the
// network computes, up to rounding, and the names of its inputs and outputs. Must not know file
// formats other than Espy's own, nor plans.
#ifndef TOOLS_PASSES_PASSES_H_
#define TOOLS_PASSES_PASSES_H_

#include "op/op.h"

// How many nodes each kind of rewrite has taken away or changed.
struct pass_counts {
    uint32_t folded;      // nodes replaced by their value
    uint32_t identities;  // nodes that changed nothing
    uint32_t duplicates;  // nodes that repeated another
    uint32_t norms;       // BatchNormalization, constant Mul and Add, gone into a producer
    uint32_t patterns;    // several nodes that became one operator
    uint32_t activations; // pointwise nodes that became an epilogue step
    uint32_t bodies;      // bodies written out in place of an If, or a trip of a Loop or Scan
    uint32_t narrowed;    // weights that are in 16 bits now
    uint32_t dead;        // nodes whose results nobody used
};

// Runs every pass over and over until none finds anything, on the bodies and then on the network.
espy_status espy_passes_run(const struct host *host, struct graph *graph,
                            struct pass_counts *counts);
// Only makes operators on tensors of what reads lists of tensors, as espy_passes_run does too.
espy_status espy_passes_sequences(const struct host *host, struct graph *graph,
                                  struct pass_counts *counts);

// Stores weights of layers in 16 bits (pass_narrow.c): as float16 or bfloat16; ESPY_DTYPE_NONE: those
// that lose nothing by it. After the others.
espy_status espy_passes_narrow(const struct host *host, struct graph *graph, espy_dtype dtype,
                               struct pass_counts *counts);

// Finds where the network attends (sites.c) and lists it in graph->sites. Last: passes forget them.
espy_status espy_passes_sites(const struct host *host, struct graph *graph);

// ---- facts: what is known of a graph, whatever of it is supported -------------------------------

// Called for a node that its operator refuses, with the message that it logged.
typedef espy_status (*espy_facts_refuse_fn)(void *user, const struct graph_node *node,
                                            const char *message);

// Sizes that symbols stand for.
struct facts_sizes {
    uint32_t count;
    const char *const *symbols;
    const int64_t *sizes;
};
int64_t espy_facts_size(const struct facts_sizes *sizes, const char *symbol); // -1: it has none

struct facts_params {
    size_t fold_elements_max;    // values larger than this are not computed; 0: none is
    const struct facts_sizes *sizes; // of symbols; NULL: what depends on them is not known
    bool samples;                // what does not depend on their sizes is known (facts_samples.c)
    espy_facts_refuse_fn refuse; // NULL: refused nodes are passed over in silence
    void *refuse_user;
};

// A value whose elements were given back, and which all are this number.
struct facts_uniform {
    uint32_t value;
    double number;
};

// Unlike espy_walk_init it goes on past nodes that are not supported, whose results are unknown.
struct facts {
    const struct host *host;
    const struct graph *graph;
    struct arena arena, scratch;          // scratch: until the next node
    bool has_names;                       // both maps are filled when a name is first made
    struct map value_names, node_names;
    uint32_t value_count;  // of the graph when the facts were taken
    // [value_count]; dtype NONE: not known. With samples a dim may be negative: it depends on the
    // sizes of symbols, and is the same as every other dim with this number.
    struct op_type *types;
    // [value_count]; elements. NULL: not known before the run, or of no more use.
    void **data;
    size_t *made_of;  // [value_count]; bytes of constants that a known value follows from
    uint32_t *makers; // [value_count]; the node that makes it, or GRAPH_NONE
    uint32_t *uses;   // [value_count]; as inputs of nodes and as outputs of the network
    bool *is_output;  // [value_count]
    bool *is_large;   // [value_count]; the elements are an allocation of their own
    // [value_count], of the last sweep: read by nodes that were still to be tried, or by these and
    // by those that stay
    bool *is_asked, *is_read;
    size_t fresh;     // bytes of large values since then
    struct facts_uniform *uniform;
    uint32_t uniform_count, uniform_capacity;
};

espy_status espy_facts_init(struct facts *facts, const struct host *host, const struct graph *graph,
                            const struct facts_params *params);
void espy_facts_finish(struct facts *facts); // zeroed is fine
// Adds what does not depend on the sizes of symbols; part of espy_facts_init.
espy_status espy_facts_sample(struct facts *facts);
// What is known of a value; data NULL where that is not its elements.
struct tensor espy_facts_value(const struct facts *facts, uint32_t value);
// Whether a node's results are known and may stand in the file in its place.
bool espy_facts_fold(const struct facts *facts, const struct graph_node *node);
bool espy_facts_is_uniform(const struct tensor *tensor, double number);
// Gives back the memory of a value's elements, which are not known any more.
void espy_facts_forget(struct facts *facts, uint32_t value);

// ---- the passes ---------------------------------------------------------------------------------

// What a pass is given. Facts are of the graph before the pass: nothing is known of values that the
// pass adds. Passes append and rewire nodes; what is dead then is dropped after the pass.
struct pass {
    const struct host *host;
    struct graph *graph;
    struct facts *facts; // makers and uses are kept up to date by espy_pass_replace
    struct pass_counts *counts;
    bool changed; // set when the graph was changed
};

typedef espy_status (*espy_pass_fn)(struct pass *pass);

espy_status espy_pass_fold(struct pass *pass);       // known values become constants
espy_status espy_pass_control(struct pass *pass);    // If, Loop and Scan that are decided already
espy_status espy_pass_identity(struct pass *pass);   // nodes that change nothing
espy_status espy_pass_sequence(struct pass *pass);   // SequenceAt and the like
espy_status espy_pass_softmax(struct pass *pass);    // Flatten, Softmax, Reshape to Softmax
espy_status espy_pass_duplicates(struct pass *pass); // equal nodes
espy_status espy_pass_norm(struct pass *pass);       // normalisation into Conv, Gemm, MatMul
espy_status espy_pass_patterns(struct pass *pass); // Gelu, Swish, HardSwish, Mish from their parts
espy_status espy_pass_layer_norm(struct pass *pass); // LayerNormalization from its parts
espy_status
espy_pass_group_norm(struct pass *pass);            // GroupNormalization from InstanceNormalization
espy_status espy_pass_attention(struct pass *pass); // Attention from MatMul, Softmax, MatMul
espy_status espy_pass_linear(struct pass *pass);    // MatMul and Add of a bias to Gemm
espy_status espy_pass_pad(struct pass *pass);       // Pad into Conv
espy_status espy_pass_epilogue(struct pass *pass);  // activations into their producer
espy_status espy_pass_narrow(struct pass *pass, espy_dtype wanted); // weights into 16 bits

// ---- helpers of passes --------------------------------------------------------------------------

// The node that makes a value, when it is of this operator; else NULL. op NULL: any.
struct graph_node *espy_pass_maker(const struct pass *pass, uint32_t value, const char *op);
// Input i, or GRAPH_NONE.
uint32_t espy_pass_input(const struct graph_node *node, uint32_t i);
// The only node that uses the value, or NULL. Looks at every node.
struct graph_node *espy_pass_user(const struct pass *pass, uint32_t value);
// true where nobody but one node uses the value.
bool espy_pass_single_use(const struct pass *pass, uint32_t value);
// The known value of a constant or computed tensor; data NULL when not known.
struct tensor espy_pass_value(const struct pass *pass, uint32_t value);
// true: one element, whose value is written to *number.
bool espy_pass_scalar(const struct pass *pass, uint32_t value, double *number);
// true: known to have this number everywhere.
bool espy_pass_is_uniform(const struct pass *pass, uint32_t value, double number);
double espy_pass_number(const struct graph_node *node, const char *name, double fallback);
bool espy_pass_string_is(const struct graph_node *node, const char *name, const char *fallback,
                         const char *wanted);
// Lets everything that uses `from` use `to` instead, `from` being made by a node that is then dead.
// The network's outputs keep their names: where that needs the maker of `to` to make `from`
// instead, it does; where it cannot, *done is false and nothing has changed.
void espy_pass_replace(struct pass *pass, uint32_t from, uint32_t to, bool *done);
// For a node that now computes what the node behind it computed: it makes that node's `result`
// instead of `made`, which nothing else may use. So a name always means the same elements.
void espy_pass_absorb(struct pass *pass, uint32_t result, uint32_t made);
// true: there is such an operator, and it runs on the device. Patterns become nothing else.
bool espy_pass_has_kernel(const char *op);
// Appends a node with one new output. Pointers to nodes do not outlive this. node may be NULL.
espy_status espy_pass_add_node(struct pass *pass, const char *op, const char *hint,
                               const uint32_t *inputs, uint32_t input_count, uint32_t *output,
                               struct graph_node **node);
// A name that no value (or node) has yet, made from hint; NULL: out of memory.
const char *espy_pass_value_name(struct pass *pass, const char *hint);
const char *espy_pass_node_name(struct pass *pass, const char *hint);
// Adds a constant of the given type with a name made from hint.
espy_status espy_pass_constant(struct pass *pass, const char *hint, espy_dtype dtype,
                               const struct shape *shape, const double *numbers, size_t count,
                               uint32_t *index);

#endif // TOOLS_PASSES_PASSES_H_
