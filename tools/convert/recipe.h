// Recipes: what is said of a network beside its graph (roles, preprocessing, labels) and what is to
// be computed of its outputs, so that they are boxes, classes, pictures. Steps become nodes of the
// graph like all others. docs/recipes.md describes the JSON.
#ifndef TOOLS_CONVERT_RECIPE_H_
#define TOOLS_CONVERT_RECIPE_H_

#include <cjson/cJSON.h>

#include "convert/builder.h"

struct recipe {
    const struct host *host;
    struct convert_model *model;
    struct graph *graph;
    const char *name;     // of the file or preset, for messages
    uint32_t class_count; // that the steps have seen; 0: not known
    int64_t border;       // that the steps have laid around the picture, in pixels
    // While steps are added. Their first failure stays in b.status.
    struct importer importer;
    struct import_node node;
    struct builder b;
    struct map names;   // what a name means in the steps: the last value that was given it
    struct facts facts; // of the graph with the steps before this one
    const cJSON *step;
    uint32_t step_index;
};

// ---- inputs and outputs (recipe_io.c) -----------------------------------------------------------

// An object with at most keys_max keys, none twice.
bool espy_recipe_is_object(const cJSON *object, int keys_max);
espy_status espy_recipe_bad(const struct recipe *recipe, const char *where, const char *what);
// Reads what is said of one input or output.
espy_status espy_recipe_read_io(const struct recipe *recipe, const cJSON *object,
                                struct graph_io *io, bool is_input);
// Reads what is said of the inputs or outputs that the network has. NULL: nothing.
espy_status espy_recipe_read_side(const struct recipe *recipe, const cJSON *object,
                                  struct graph_io *list, uint32_t count, bool is_input);
// Where the input or output of that name is in the list; "*" is the only one, or of several inputs
// the only one that can be a picture. count: there is none.
uint32_t espy_recipe_find(const struct graph *graph, const struct graph_io *list, uint32_t count,
                          const char *name);
// The picture that places in pixels are of: the only input with the role image, else the only one
// that can be a picture.
// NULL: there is none, or several.
const struct graph_io *espy_recipe_picture(const struct graph *graph);
// Gives names to the classes of the only output that has classes.
espy_status espy_recipe_set_labels(const struct recipe *recipe, const char *const *labels,
                                   uint32_t count);

// ---- steps (recipe_steps.c) ---------------------------------------------------------------------

// Adds the nodes of every step, and makes the outputs those that `outputs` lists.
espy_status espy_recipe_add_steps(struct recipe *recipe, const cJSON *steps, const cJSON *outputs);

// One kind of step.
struct recipe_row {
    const char *kind, *keys; // that it may have beside "step", with spaces between
    void (*apply)(struct recipe *recipe);
};
extern const struct recipe_row espy_recipe_detection_rows[]; // recipe_detect.c
extern const uint32_t espy_recipe_detection_count;
void espy_recipe_border(struct recipe *recipe); // recipe_border.c

// Fails with the step's place before the reason; later calls do nothing.
void espy_recipe_refuse(struct recipe *recipe, const char *format, ...) ESPY_PRINTF(2, 3);
bool espy_recipe_has(const struct recipe *recipe, const char *key);
double espy_recipe_number(struct recipe *recipe, const char *key, double fallback);
int64_t espy_recipe_integer(struct recipe *recipe, const char *key, int64_t fallback, int64_t min,
                            int64_t max);
// A number or a list of at most `room`; returns how many, 0 where the key is absent.
uint32_t espy_recipe_numbers(struct recipe *recipe, const char *key, double *numbers,
                             uint32_t room);
// The place of a word in choices, which end with NULL; the first where the key is absent.
uint32_t espy_recipe_choice(struct recipe *recipe, const char *key, const char *const *choices);
// The value that the key names; GRAPH_NONE and a failure where there is none.
uint32_t espy_recipe_value(struct recipe *recipe, const char *key);
// The same, as float32.
uint32_t espy_recipe_floats(struct recipe *recipe, const char *key);
// What is known of a value from before this step; NULL: nothing.
const struct op_type *espy_recipe_type(const struct recipe *recipe, uint32_t value);
// Fails where a value is known to have another rank, or another size of its last dimension (0:
// any).
void espy_recipe_expect(struct recipe *recipe, const char *key, uint32_t value, uint32_t rank,
                        int64_t last);
// Height and width of the picture that the network sees, with its border; a failure where they are
// not fixed.
void espy_recipe_picture_size(struct recipe *recipe, int64_t *height, int64_t *width);
// The picture, of four dimensions, of which `axis` is its height and the one after its width. NULL
// and a failure where there is none.
const struct graph_io *espy_recipe_picture_axis(struct recipe *recipe, uint32_t *axis);
uint32_t espy_recipe_constant(struct recipe *recipe, const struct shape *shape,
                              const double *numbers, uint32_t count); // of float32
// Lets a name mean a value from here on.
void espy_recipe_define(struct recipe *recipe, const char *name, uint32_t value);
// The same for what the step calls its result: "as", or the name of what it is "of".
void espy_recipe_result(struct recipe *recipe, uint32_t value);

#endif // TOOLS_CONVERT_RECIPE_H_
