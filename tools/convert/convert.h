// From ONNX, or JSON with safetensors, to a graph and an .espy file. Must not know plans nor
// Vulkan.
#ifndef TOOLS_CONVERT_CONVERT_H_
#define TOOLS_CONVERT_CONVERT_H_

#include "base/base.h"
#include "format/graph.h"
#include "passes/passes.h"

// The ONNX opsets that are read; anything older than the newest is rewritten into it.
enum { CONVERT_OPSET_MIN = 1, CONVERT_OPSET_MAX = 28 };

// A shape for one of the model's inputs, which fixes its symbolic dims.
struct convert_shape {
    const char *name;
    struct shape shape;
};

struct convert_params {
    const char *model_path;    // .onnx, or .json for the hand-written form
    const char *weights_path;  // .safetensors of the hand-written form; may be NULL without tensors
    const char *output_path;   // .espy; NULL: nothing is written
    // What is said of inputs and outputs, and computed of the latter; in the order of application.
    const char *const *outputs; // names of those to keep, in order; none: all
    uint32_t output_count;
    const char *const *presets; // names of recipes that are built in
    uint32_t preset_count;
    const char *recipe_path;    // a recipe of one's own, JSON; may be NULL
    const char *labels_path;    // names of classes, one a line, or .json; may be NULL
    const char *name;          // of the network; NULL: the one in the model, or the file's name
    const struct convert_shape *shapes;
    uint32_t shape_count;
    // Of the picture, in place of what the network says; 0: as it says.
    uint32_t picture_height, picture_width;
    bool pixels;     // preprocessing becomes nodes: the picture input takes bytes of any size
    bool keep_nodes; // import only: no folding, no fusion
    // What weights of layers are stored as: FLOAT16, BFLOAT16; ESPY_DTYPE_NONE: as they are, and in
    // 16 bits where nothing is lost by that.
    espy_dtype weights;
};

// One thing that cannot be converted.
struct convert_problem {
    const char *node, *op, *reason;
};

// What a conversion did. Strings live in the report until espy_convert_report_finish.
struct convert_report {
    struct arena arena;
    int64_t opset; // of the ONNX file; 0 for other inputs
    uint32_t nodes_before, nodes_after;
    size_t weights_size; // bytes of constants afterwards
    struct pass_counts counts;
    uint32_t problem_count, problem_capacity;
    struct convert_problem *problems;
};

// A recipe that is built in: tools/presets/NAME.json.
struct convert_preset {
    const char *name, *about;
    const unsigned char *json;
    size_t size;
};
extern const struct convert_preset espy_presets[];
extern const uint32_t espy_preset_count;

void espy_convert_report_init(struct convert_report *report, const struct host *host);
void espy_convert_report_finish(struct convert_report *report); // zeroed is fine

// Parses "name=1x3x224x224"; a scalar is "name=scalar". shape->name is copied into arena.
// ESPY_INVALID_ARGUMENT, logged, when the text is not of this form.
espy_status espy_convert_parse_shape(struct arena *arena, const char *text,
                                     struct convert_shape *shape);

// A converted graph and the memory that its constants point into.
struct convert_model;

// Reads, converts and checks. ESPY_UNSUPPORTED: every problem has been logged and is in the report.
// report must have been initialised; output_path is not looked at.
espy_status espy_convert_graph(const struct host *host, const struct convert_params *params,
                               struct convert_report *report, struct convert_model **model);
struct graph *espy_convert_model_graph(struct convert_model *model);
void espy_convert_model_destroy(struct convert_model **model);

// The same, then writes params->output_path. On failure nothing is written.
espy_status espy_convert_file(const struct host *host, const struct convert_params *params,
                              struct convert_report *report);

#endif // TOOLS_CONVERT_CONVERT_H_
