// What a block of the layer language is: how it is written, and which operators it stands for.
// Files in tools/layers/blocks export one struct layer_family each and the build makes the list of
// them, so a new block is a new row or a new file. Must not know where weights come from.
#ifndef TOOLS_LAYERS_LAYER_H_
#define TOOLS_LAYERS_LAYER_H_

#include "format/graph.h"

struct cJSON;
struct layer;
struct layer_place;
struct layer_scope;

// ---- how a block is written ---------------------------------------------------------------------

enum layer_member_type {
    LAYER_INT,    // int64_t
    LAYER_INTS,   // struct layer_ints: a list, one number, or a word of choices
    LAYER_BOOL,   // bool
    LAYER_FLOAT,  // double
    LAYER_CHOICE, // int: index into choices
    LAYER_TEXT,   // const char *; NULL: absent
    LAYER_PATH,   // const char *: a name in the weights; NULL: absent
    LAYER_VALUE,  // uint32_t: a value by its name; GRAPH_NONE: absent
    LAYER_VALUES, // struct layer_values: a name or a list of names
    LAYER_LAYERS, // struct layer_tree: a layer or a list of layers
    LAYER_NORM,   // struct layer_norm: the name of a BatchNorm in the weights, or layers
    LAYER_JSON    // struct layer_tree: something that the block reads itself
};

enum { LAYER_LIST_MAX = 32 };

struct layer_ints {
    uint32_t count; // 0: absent, or a word
    int word;       // index into choices; -1: not a word
    int64_t values[LAYER_LIST_MAX];
};

struct layer_values {
    uint32_t count;
    uint32_t values[LAYER_LIST_MAX];
};

// A piece of the JSON with what names mean there.
struct layer_tree {
    const struct cJSON *json; // NULL: absent
    const struct layer_place *place;
    const struct layer_scope *scope;
};

struct layer_norm {
    const char *path;       // of a BatchNorm; or NULL and
    struct layer_tree tree; // layers, or absent
};

// One row is the parser, the range check, the default and the documentation of one member.
struct layer_member {
    const char *name; // "": what stands beside the block's name, as in {"conv": "conv1"}
    enum layer_member_type type;
    size_t offset;              // in the block's struct
    double fallback;            // INT, BOOL, FLOAT, CHOICE; INTS of one number, NaN: none
    double min, max;            // INT, INTS, FLOAT: inclusive; both 0: unchecked
    const char *const *choices; // CHOICE, INTS: NULL-terminated words
    const char *const *names;   // PATH: where absent, the first of these that the weights have
    bool required;
    const char *help; // one line of docs/blocks.md
};

struct layer_block {
    const char *name, *summary;
    const char *example; // JSON of a layer, which docs/blocks.md shows and a test runs
    bool container;      // names of weights in other members are under the name beside the block's
    const struct layer_member *members;
    uint32_t member_count;
    size_t members_size; // of the block's struct
    // Adds operators and gives their result.
    uint32_t (*expand)(struct layer *layer, const void *members, uint32_t x);
};

struct layer_family {
    const struct layer_block *blocks;
    uint32_t count;
};

#define LAYER_COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define LAYER_MEMBERS(rows, type) \
    .members = (rows), .member_count = LAYER_COUNT(rows), .members_size = sizeof(type)

const struct layer_block *espy_layer_block_find(const char *name); // NULL: unknown
const struct layer_block *espy_layer_block_at(uint32_t index);     // by file; NULL after the last
// What every layer may have besides: NULL after the last.
const struct layer_member *espy_layer_common_member(uint32_t index);

// ---- what a block adds --------------------------------------------------------------------------
// Failure is sticky: after one these do nothing and give GRAPH_NONE, so blocks have no checks in
// between. Lists and names are copied.

// Logs "file: place: message".
void espy_layer_fail(struct layer *layer, const char *format, ...) ESPY_PRINTF(2, 3);
bool espy_layer_failed(const struct layer *layer);

// Adds an operator of one output. Inputs that are GRAPH_NONE are absent. Attributes set afterwards
// are its own, until the next.
uint32_t espy_layer_op(struct layer *layer, const char *op, const uint32_t *inputs, uint32_t count);
uint32_t espy_layer_unary(struct layer *layer, const char *op, uint32_t a);
uint32_t espy_layer_binary(struct layer *layer, const char *op, uint32_t a, uint32_t b);
void espy_layer_op_outputs(struct layer *layer, const char *op, const uint32_t *inputs,
                           uint32_t count, uint32_t *outputs, uint32_t output_count);
void espy_layer_set(struct layer *layer, const char *name, double number);
void espy_layer_set_ints(struct layer *layer, const char *name, const int64_t *values,
                         uint32_t count);
void espy_layer_set_string(struct layer *layer, const char *name, const char *string);
void espy_layer_set_json(struct layer *layer, const struct cJSON *attr); // its key is the name

// Constants: int64 in one dimension or as a scalar, and floats of the network's type.
uint32_t espy_layer_ints(struct layer *layer, const int64_t *values, uint32_t count);
uint32_t espy_layer_int(struct layer *layer, int64_t value);
uint32_t espy_layer_float(struct layer *layer, double value);
uint32_t espy_layer_floats(struct layer *layer, const double *values, uint32_t count);
uint32_t espy_layer_float32s(struct layer *layer, const double *values, uint32_t count); // always
uint32_t espy_layer_filled(struct layer *layer, int64_t count, double value);

// path.name; name NULL: path itself. In memory that lives as long as the expansion.
const char *espy_layer_join(struct layer *layer, const char *path, const char *name);
// The first of names under path that the weights have, else the first of all.
const char *espy_layer_usual(struct layer *layer, const char *path, const char *const *names);
// true: there are weights of this name, or whose names go on with a dot after it.
bool espy_layer_has(const struct layer *layer, const char *path);
// The weights path.name; floats are given in the network's type. Absent: an error that tells near
// names; espy_layer_optional gives GRAPH_NONE.
uint32_t espy_layer_weight(struct layer *layer, const char *path, const char *name);
uint32_t espy_layer_optional(struct layer *layer, const char *path, const char *name);
// count rows of the first dimension of weights.
uint32_t espy_layer_rows(struct layer *layer, uint32_t weight, int64_t first, int64_t count);

// Gives a value this name, which must be free.
void espy_layer_name(struct layer *layer, uint32_t value, const char *name);
// What is known of a value: how many dimensions (0: unknown) and their sizes (-1: unknown; axis may
// count from the end). All is known of weights.
uint32_t espy_layer_rank(struct layer *layer, uint32_t value);
int64_t espy_layer_dim(struct layer *layer, uint32_t value, int64_t axis);

// Runs layers on a value and gives their result; no layers give the value back.
uint32_t espy_layer_run(struct layer *layer, const struct layer_tree *tree, uint32_t x);
uint32_t espy_layer_norm(struct layer *layer, const struct layer_norm *norm, uint32_t x);
// The elements of a list, or the thing itself as the only one.
uint32_t espy_layer_count(const struct layer_tree *tree);
struct layer_tree espy_layer_item(struct layer *layer, const struct layer_tree *tree,
                                  uint32_t index);
// A member of an object; json NULL: absent.
struct layer_tree espy_layer_key(struct layer *layer, const struct layer_tree *tree,
                                 const char *key);
// Follows "$name" to what it stands for.
struct layer_tree espy_layer_resolve(struct layer *layer, struct layer_tree tree);
bool espy_layer_number(struct layer *layer, const struct layer_tree *tree, double *number);
// A value by its name; "." is the value that the layer was given. Unknown: an error.
uint32_t espy_layer_value(struct layer *layer, const struct layer_tree *name);
// The text of a name in the JSON, with {i} and the like filled in; NULL: failed.
const char *espy_layer_text(struct layer *layer, const struct layer_tree *tree);
const char *espy_layer_path(struct layer *layer, const struct layer_tree *tree); // under the prefix

// ---- parts that several blocks have -------------------------------------------------------------

// x W' + b with path.weight and, where it is there, path.bias, over the last dimension.
uint32_t espy_layer_linear(struct layer *layer, const char *path, uint32_t x);
uint32_t espy_layer_matmul(struct layer *layer, uint32_t x, uint32_t weight, uint32_t bias);
// The same at every pixel, with the weights of a Conv2d of 1 x 1 or of a Linear.
uint32_t espy_layer_pointwise(struct layer *layer, const char *path, uint32_t x);
uint32_t espy_layer_layer_norm(struct layer *layer, const char *path, double epsilon, uint32_t x);
uint32_t espy_layer_reshape(struct layer *layer, uint32_t x, const int64_t *dims, uint32_t count);
uint32_t espy_layer_transpose(struct layer *layer, uint32_t x, const int64_t *order,
                              uint32_t count);
uint32_t espy_layer_concat(struct layer *layer, int64_t axis, const uint32_t *values,
                           uint32_t count);
// The layers of a member, or where there are none the operator `usual`; NULL: nothing.
uint32_t espy_layer_act(struct layer *layer, const struct layer_tree *tree, const char *usual,
                        uint32_t x);
// Sets strides, dilations and pads of the operator that was just added. padding is one number for
// all axes, one for each, all that come before and then all after, or the word "same".
struct layer_window {
    const struct layer_ints *stride, *padding, *dilation;
};
void espy_layer_window(struct layer *layer, const struct layer_window *window, uint32_t axes,
                       const int64_t *kernel);
// The sizes of dimensions first to end - 1 as int64; LAYER_ALL: to the last.
enum { LAYER_ALL = 1000000 };
uint32_t espy_layer_shape(struct layer *layer, uint32_t x, int64_t first, int64_t end);
// A picture [N, C, ...] as tokens [N, positions, C].
uint32_t espy_layer_tokens(struct layer *layer, uint32_t x);

#endif // TOOLS_LAYERS_LAYER_H_
