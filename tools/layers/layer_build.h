// What the files of tools/layers share; blocks do not include it.
#ifndef TOOLS_LAYERS_LAYER_BUILD_H_
#define TOOLS_LAYERS_LAYER_BUILD_H_

#include <cjson/cJSON.h>

#include "layers/layer.h"
#include "layers/layers.h"
#include "op/op.h"

// A place in the JSON for messages, as a chain from the inside out.
struct layer_place {
    const struct layer_place *up;
    const char *key; // NULL: an element of a list
    uint32_t index;
    bool call; // the body of a block of the file's own
};

// What a name stands for: a piece of the JSON, as it was at the place where it was written.
struct layer_scope {
    const struct layer_scope *up;
    const char *name;
    struct layer_tree tree;
};

// The values named in the body of a block of the file's own, which nobody else sees.
struct layer_names {
    struct layer_names *up; // of the body that the block is called in; NULL: the network
    struct layer_named {
        const struct layer_named *before;
        const char *name;
        uint32_t value;
    } const *last;
};

// Two networks are looked at, with different sizes in place of the symbols: what is the same in
// both is known.
enum { LAYER_SAMPLES = 2 };

// What is known of a value in each of them; dtype NONE: nothing.
struct layer_note {
    struct op_type types[LAYER_SAMPLES];
    struct tensor values[LAYER_SAMPLES];
};

struct layer_build {
    const struct host *host;
    const char *file;
    const struct layers_weights *weights;
    const cJSON *blocks; // of the file's own; NULL: none
    struct graph *graph;
    struct map *values;
    struct arena arena;
    espy_status status; // sticky
    espy_dtype dtype;   // of floats
    uint32_t expanded;
    struct map node_names;  // and of values that nobody can name
    struct map reserved;    // names of outputs, which only those are to have
    struct map name_counts; // how often a name was wanted
    struct map paths;       // of weights, and of whatever they are under
    struct map loaded;      // weights that are values of the graph, by name
    struct layer_note *notes;
    uint32_t note_count, note_capacity; // for the values of the graph up to note_count
    uint32_t inferred;                  // nodes up to here have been
    bool exact;                         // there are no symbols
};

// One layer on its way.
struct layer {
    struct layer_build *build;
    const struct layer_block *block; // NULL for a block of the file's own
    const struct layer_place *place;
    const struct layer_scope *scope;
    struct layer_names *names; // NULL: names are the network's
    const char *prefix;        // of weights; "": none
    const char *label;         // of the nodes that it adds
    uint32_t input, depth;
};

extern const struct layer_family *const espy_layer_families[];
extern const uint32_t espy_layer_family_count;

// Sets the status after a call that has logged; true when it was ESPY_OK.
bool espy_layer_ok(struct layer *layer, espy_status status);
// No node, value or weight has this name.
bool espy_layer_is_free(const struct layer_build *build, const char *name);
// Infers what was added since the last time.
void espy_layer_infer(struct layer *layer);
// Gives every value a note.
void espy_layer_init_notes(struct layer *layer);
// Fills in the paths of the weights.
void espy_layer_init_paths(struct layer *layer);
// Fills the struct of the layer's block from the members of an object; main is what stands beside
// the block's name, or absent.
void espy_layer_read_members(struct layer *layer, const struct layer_tree *object,
                             const struct layer_tree *main, const char *main_key, void *members);
bool espy_layer_read_member(struct layer *layer, const struct layer_member *member,
                            const struct layer_tree *tree, void *members);
// Writes names near to `wanted` into buffer: " (near: a, b)", or nothing.
enum { LAYER_NEAR_SIZE = 512 };
typedef const char *(*espy_layer_names_fn)(void *user, uint32_t index);
const char *espy_layer_near(const char *wanted, espy_layer_names_fn names, void *user,
                            char buffer[LAYER_NEAR_SIZE]);
// A place that lives as long as the expansion.
const struct layer_place *espy_layer_place(struct layer *layer, struct layer_place place);
// Gives a result the name that "as" says, or none where it is NULL. It is another value where it
// had one.
uint32_t espy_layer_as(struct layer *layer, const char *name, uint32_t x);
// The block called name runs on x with path beside its name and nothing else.
uint32_t espy_layer_run_block(struct layer *layer, const char *name, const char *path, uint32_t x);

#endif // TOOLS_LAYERS_LAYER_BUILD_H_
