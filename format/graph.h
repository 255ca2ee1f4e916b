// A network as data: values, nodes, constants and what the file says about inputs and outputs.
// Strings and shapes only; must not know what an operator means, nor Vulkan.
#ifndef FORMAT_GRAPH_H_
#define FORMAT_GRAPH_H_

#include "base/base.h"

// Limits, checked where a graph enters the program. SPEC.md names the same numbers.
enum {
    GRAPH_VALUES_MAX = 1 << 20,
    GRAPH_NODES_MAX = 1 << 18,
    GRAPH_IO_MAX = 1024,           // inputs, and outputs
    GRAPH_BODIES_MAX = 4096,       // graphs that nodes run
    GRAPH_SITES_MAX = 65536,       // places where the network attends
    GRAPH_HEADS_MAX = 1 << 20,
    GRAPH_NODE_VALUES_MAX = 4096,  // inputs, and outputs, of one node
    GRAPH_ATTRS_MAX = 64,          // of one node
    GRAPH_LIST_MAX = 1 << 20,      // numbers or strings in one attribute
    GRAPH_STEPS_MAX = 4,           // epilogue steps of one node
    GRAPH_NAME_SIZE_MAX = 1024,    // bytes of a name or a label
    GRAPH_STRING_SIZE_MAX = 65536, // bytes of a string in an attribute
    GRAPH_DIM_MAX = INT32_MAX,
    GRAPH_PICTURE_MAX = 65536,     // height and width in preprocessing
    GRAPH_LABELS_MAX = 1 << 20
};
#define GRAPH_NONE UINT32_MAX // "no value": an absent optional input or output

// A concrete or symbolic shape. In a graph dims are >= 0, or -1 where a symbol stands.
struct shape {
    uint32_t rank;
    int64_t dims[ESPY_RANK_MAX];
};

enum graph_attr_type {
    GRAPH_ATTR_NUMBER,  // one number; operators decide whether it must be an integer
    GRAPH_ATTR_NUMBERS,
    GRAPH_ATTR_STRING,
    GRAPH_ATTR_STRINGS
};

struct graph_attr {
    const char *name;
    enum graph_attr_type type;
    uint32_t count;              // NUMBERS and STRINGS; else 1
    const double *numbers;       // integers are exact up to 2^53, which the importers check
    const char *const *strings;
};

// One pointwise function applied to every element of a node's first output: "epilogue" in the file.
struct graph_step {
    const char *op;                // "Relu", "Clip", ...
    uint32_t attr_count;
    const struct graph_attr *attrs; // NUMBER only
};

struct graph_node {
    const char *op, *name;         // name is unique in the graph and never NULL
    uint32_t input_count, output_count, attr_count, step_count;
    uint32_t *inputs, *outputs;    // value indices; GRAPH_NONE where absent
    struct graph_attr *attrs;
    struct graph_step *steps;
    uint32_t attr_room;            // of attrs, while they are being set; 0: attr_count
};

struct graph_value {
    const char *name;              // unique and never NULL
    espy_dtype dtype;              // ESPY_DTYPE_NONE: not stated (a node's output)
    bool has_shape;                // inputs and constants always have one
    struct shape shape;
    // [ESPY_RANK_MAX], for dims that are -1, NULL elsewhere; or NULL as a whole, as of most values.
    // Inputs name every -1; equal names mean equal sizes. A node's output may leave one NULL: not
    // known.
    const char **symbols;
    // A constant's elements, row-major; NULL: not a constant. Aligned for the type in a network
    // that was read from a file; while one is made, weights may lie as their source has them.
    const void *data;
    size_t data_size;              // bytes; a constant with no elements has data non-NULL too
};

// An input or output of the network.
struct graph_io {
    uint32_t value;
    const char *role, *of;         // may be NULL
    struct espy_preprocess *preprocess; // may be NULL
    double threshold;              // of scores: what is below is not shown; 0: all is
    uint32_t label_count;
    const char **labels;
};

// A place where the network attends: "attention" in the file.
struct graph_site {
    const char *name, *kind;       // unique, and a word like a role ("softmax", "channel_gate")
    // Whose first output is the map; of a node with the op Attention it is what its softmax makes.
    uint32_t node;
    uint32_t heads;                // 0: not known, or it has none
    struct espy_token_grid queries, keys; // of a gate only the latter
};

// The lists of values and nodes are the graph's own; everything else that it points to lives in its
// arena, or (constant data) in memory that the maker of the graph keeps alive: the mapped file.
//
// A network may hold bodies: graphs of their own that its nodes run (the branches of an If, the body
// of a Loop), which attributes name. A body sees nothing of what is around it but its inputs.
struct graph {
    struct arena arena;
    struct map words;              // names of operators and attributes, each once
    const char *name, *producer;   // may be NULL; a body has a name, which is unique
    uint32_t value_count, value_capacity;
    struct graph_value *values;
    uint32_t node_count, node_capacity;
    struct graph_node *nodes;      // in an order in which every input is made before it is used
    uint32_t input_count, output_count;
    struct graph_io *inputs, *outputs;
    // Only of a network. Whatever changes the nodes' numbers forgets them.
    uint32_t site_count;
    struct graph_site *sites;
    uint32_t body_count, body_capacity;
    struct graph **bodies;         // each before the bodies whose nodes run it
    struct graph *network;         // of a body: the network that holds it; else NULL
};

void espy_graph_init(struct graph *graph, const struct host *host);
void espy_graph_finish(struct graph *graph); // a zeroed graph is fine; bodies go with their network

// Makes a graph that has a name a body of the network, after those that it has. The network takes it
// over, and *body is zeroed; after a failure it still is the caller's.
espy_status espy_graph_add_body(struct graph *network, struct graph *body);
// Takes the body at index off the list. Names, attributes and data of it stay good as long as the
// network.
void espy_graph_drop_body(struct graph *network, uint32_t index);
// The body of that name that nodes of this graph may run: any of a network's, and of a body's own
// network those that stand before it, so that nothing runs itself. NULL: there is none.
struct graph *espy_graph_find_body(const struct graph *graph, const char *name);

// Builders for importers and passes. They copy names and lists into the arena, never data.
// They do not check names for uniqueness: espy_graph_check does. A pointer to a value or node is
// good until the next one of its kind is added. inputs and outputs of a graph are arrays that its
// maker takes from the arena.
espy_status espy_graph_add_value(struct graph *graph, const char *name, uint32_t *index);
espy_status espy_graph_add_constant(struct graph *graph, const char *name, espy_dtype dtype,
                                    const struct shape *shape, const void *data, size_t data_size,
                                    uint32_t *index);
// The same for a value and a node whose name lives as long as the graph and is not copied.
espy_status espy_graph_append_value(struct graph *graph, const struct graph_value *value,
                                    uint32_t *index);
espy_status espy_graph_append_node(struct graph *graph, const struct graph_node *like,
                                   struct graph_node **node);
// Several at once, which are zeroed.
espy_status espy_graph_append_nodes(struct graph *graph, uint32_t count, struct graph_node **nodes);
// The symbol of a dim, or NULL; and a copy of one for it.
const char *espy_graph_symbol(const struct graph_value *value, uint32_t dim);
espy_status espy_graph_set_symbol(struct graph *graph, struct graph_value *value, uint32_t dim,
                                  const char *symbol);
// inputs and outputs are copied; attrs and steps start empty.
espy_status espy_graph_add_node(struct graph *graph, const char *op, const char *name,
                                const uint32_t *inputs, uint32_t input_count,
                                const uint32_t *outputs, uint32_t output_count,
                                struct graph_node **node);
// Makes room for so many attributes, which a node without any is about to get.
espy_status espy_graph_reserve_attrs(struct graph *graph, struct graph_node *node, uint32_t count);
// Adds the attribute, or replaces the one of that name. An empty list of strings is kept as an
// empty list of numbers, because the file cannot tell them apart.
espy_status espy_graph_set_number(struct graph *graph, struct graph_node *node, const char *name,
                                  double number);
espy_status espy_graph_set_numbers(struct graph *graph, struct graph_node *node, const char *name,
                                   const double *numbers, uint32_t count);
espy_status espy_graph_set_string(struct graph *graph, struct graph_node *node, const char *name,
                                  const char *string);
espy_status espy_graph_set_strings(struct graph *graph, struct graph_node *node, const char *name,
                                   const char *const *strings, uint32_t count);
void espy_graph_remove_attr(struct graph_node *node, const char *name); // absent is fine
const struct graph_attr *espy_graph_find_attr(const struct graph_node *node, const char *name);
// Adds a step to the end of the node's epilogue; names and numbers have count entries.
espy_status espy_graph_add_step(struct graph *graph, struct graph_node *node, const char *op,
                                const char *const *names, const double *numbers, uint32_t count);

// Drops nodes whose outputs nobody uses, then values nobody names, and renumbers. Order is kept.
espy_status espy_graph_prune(struct graph *graph);
// Sorts nodes so that every input is made before it is used. ESPY_BAD_FORMAT on a cycle.
espy_status espy_graph_sort(struct graph *graph);

// Checks everything that holds for any graph, whatever its operators: limits, names unique and not
// empty, indices in range, every value made exactly once (input, constant or one node's output) and
// before its use, shapes and data sizes that fit, roles and preprocessing well formed, numbers
// finite, bool constants only 0 and 1, at least one output. Of a network its bodies too, whose inputs
// need neither dtype nor shape.
// After it, the rest of the program asserts these and does not test them again.
espy_status espy_graph_check(const struct graph *graph);

// Element count of a concrete shape. false on a negative dim, or when the dims that are not zero
// multiply to more than size_t or int64_t holds (so strides fit even where the count is zero).
bool espy_shape_count(const struct shape *shape, size_t *count);
bool espy_shape_equal(const struct shape *a, const struct shape *b);
// Writes "2x3x224" ("scalar" for rank 0, "?" for -1) into buffer and returns buffer.
const char *espy_shape_text(const struct shape *shape, char *buffer, size_t size);

// The type named so, or ESPY_DTYPE_NONE.
espy_dtype espy_dtype_from_name(const char *name);
bool espy_dtype_is_float(espy_dtype dtype);
bool espy_dtype_is_signed(espy_dtype dtype); // signed integers
// Types that tensors are stored in but not computed with: integers below 8 bits, floats below 16.
bool espy_dtype_is_narrow(espy_dtype dtype);
// The form of floats below 16 bits; NULL for every other type.
const struct float_form *espy_dtype_float_form(espy_dtype dtype);
// Bytes that count elements take, the last one filled up. false on overflow.
bool espy_dtype_data_size(espy_dtype dtype, size_t count, size_t *size);

#endif // FORMAT_GRAPH_H_
