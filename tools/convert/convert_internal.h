// What the files of tools/convert share. No other module includes it.
#ifndef TOOLS_CONVERT_CONVERT_INTERNAL_H_
#define TOOLS_CONVERT_CONVERT_INTERNAL_H_

#include "convert/convert.h"
#include "convert/safetensors.h"
#include "format/format.h"
#include "onnx.pb-c.h"

typedef EspyOnnx__ModelProto onnx_model;
typedef EspyOnnx__GraphProto onnx_graph;
typedef EspyOnnx__NodeProto onnx_node;
typedef EspyOnnx__AttributeProto onnx_attribute;
typedef EspyOnnx__TensorProto onnx_tensor;
typedef EspyOnnx__FunctionProto onnx_function;
typedef EspyOnnx__ValueInfoProto onnx_info;

enum onnx_attribute_type {
    ONNX_ATTR_FLOAT = 1,
    ONNX_ATTR_INT = 2,
    ONNX_ATTR_STRING = 3,
    ONNX_ATTR_TENSOR = 4,
    ONNX_ATTR_GRAPH = 5,
    ONNX_ATTR_FLOATS = 6,
    ONNX_ATTR_INTS = 7,
    ONNX_ATTR_STRINGS = 8
};

enum {
    IMPORT_DEPTH_MAX = 16,                  // functions in functions, and branches in branches
    IMPORT_STEPS_MAX = 4 * GRAPH_NODES_MAX, // nodes looked at, so that calls cannot multiply
    IMPORT_FILES_MAX = 4096,                // external data files of one model
    CONVERT_FOLD_ELEMENTS_MAX = 1 << 11 // for shapes and conditions, which are small
};

// A file of external data, opened once however many tensors lie in it.
struct external_file {
    const char *location;
    struct format_file file;
};

// A message inside of another one, packed: a node, an initializer, what is said of a value.
struct onnx_piece {
    const unsigned char *bytes; // in the model's file
    size_t size;
};
struct onnx_pieces {
    struct onnx_piece *items;
    uint32_t count;
};

struct convert_model {
    const struct host *host;
    struct arena arena; // what must live as long as the graph and lies in no graph
    struct graph graph;
    const char *path;
    // NULL for other inputs, and once the graph is imported. Without the network's nodes, its
    // initializers and its value_info, which are unpacked one at a time.
    onnx_model *proto;
    struct onnx_pieces nodes, tensors, infos;
    ProtobufCAllocator allocator;
    bool allocation_failed;     // in the allocator, which cannot say so itself
    struct format_file file;    // the model's; constants may point into it
    size_t copied;              // bytes out of it since it last rested
    struct safetensors weights; // of the hand-written form
    struct external_file *files;
    uint32_t file_count, file_capacity;
};

// What the importer knows of a value besides its place in the graph.
struct import_note {
    espy_dtype dtype; // NONE: not known
    int32_t rank;     // -1: not known
    int32_t length;   // of a list; -1: not known, or no list
    bool produced;    // an input, a constant, or a node's output
};

// A list of nodes being imported and the names that they see: the main graph, a function's body or
// a branch.
struct import_frame {
    onnx_node *const *nodes;         // or, of the network,
    const struct onnx_piece *pieces; // to be unpacked
    size_t node_count, next;
    struct map names;
    const char *prefix;            // "" in the main graph
    const onnx_function *function; // NULL outside functions
    const onnx_node *call;         // the node that stands for the function
    onnx_node *message;            // it too, where the frame is to free it
    int64_t opset;
    struct import_frame *outer;
};

// What the importers of a network and of its bodies share.
struct import_shared {
    const onnx_model *proto;
    struct map functions; // "domain:name:overload" to index
    struct map body_names;
    uint64_t steps;
};

// A value of the graph around that a body uses: an input of the body here, an input of its node
// there.
struct import_capture {
    uint32_t around, inside;
};

// Imports one graph: the network, or a body of it.
struct importer {
    const struct host *host;
    struct convert_model *model;
    struct graph *graph;
    struct convert_report *report;
    const char *model_path;
    struct import_shared *shared;
    struct map node_names, value_names;
    struct map infos;     // the rank that the file says a value in between has, by name
    struct arena memory;  // names and frames, as long as the importer lives
    struct arena scratch; // until the next node
    struct import_note *notes;
    uint32_t note_capacity;
    struct import_frame *frame;
    uint32_t depth;
    // Of a body: the importer of the graph around, the names that the body's own nodes make, and
    // what it takes from around.
    struct importer *around;
    struct map own_names;
    struct import_capture *captures;
    uint32_t capture_count, capture_capacity;
};

// A node on its way into the graph. Rewrites change it, or emit others and drop it.
struct import_node {
    const onnx_node *proto;
    const char *op, *name;
    int64_t opset;
    uint32_t input_count, output_count;
    uint32_t *inputs, *outputs; // inputs has room for IMPORT_INPUTS_EXTRA more
    uint32_t capture_count;     // inputs at the end that bodies take from around
    uint64_t consumed;          // bit i: attribute i of proto is not copied
    bool dropped;               // the rewrite has said all with other nodes
    struct graph_attr extra[4]; // attributes to set besides
    uint32_t extra_count;
};
enum { IMPORT_INPUTS_EXTRA = 8, IMPORT_ATTRIBUTES_MAX = 64 };

bool espy_convert_has_ending(const char *text, const char *ending);

// ---- problems -----------------------------------------------------------------------------------

// Notes something that cannot be converted; the import goes on, to find the others.
espy_status espy_convert_problem(struct convert_report *report, const char *node, const char *op,
                                 const char *format, ...) ESPY_PRINTF(4, 5);

// ---- the wire format and tensors ----------------------------------------------------------------

// A field of a packed message.
struct wire_field {
    uint64_t number;
    bool is_bytes;                     // a message, a string or bytes: those from `bytes` on
    const unsigned char *start, *end;  // with its number
    const unsigned char *bytes;
    size_t size;
};
// Reads the field at *at and goes past it. NULL, or what is wrong.
const char *espy_wire_read(const unsigned char **at, const unsigned char *end,
                           struct wire_field *field);
// NULL, or why these bytes are not a model that can be unpacked.
const char *espy_wire_check(const unsigned char *bytes, size_t size);

// Divides the bytes of model->file into model->proto and the pieces beside it. path must live as
// long as the model.
espy_status espy_onnx_parse(struct convert_model *model, const char *path);
// Frees the messages, but not the file: constants lie in it.
void espy_onnx_release(struct convert_model *model);
espy_status espy_onnx_read_node(struct convert_model *model, const struct onnx_piece *piece,
                                onnx_node **node);
void espy_onnx_free_node(struct convert_model *model, onnx_node *node); // NULL is fine
espy_status espy_onnx_read_info(struct convert_model *model, const struct onnx_piece *piece,
                                onnx_info **info);
void espy_onnx_free_info(struct convert_model *model, onnx_info *info);
// raw_data points into the file.
espy_status espy_onnx_read_tensor(struct convert_model *model, const struct onnx_piece *piece,
                                  onnx_tensor **tensor);
void espy_onnx_free_tensor(struct convert_model *model, onnx_tensor *tensor);
// ESPY_DTYPE_NONE for types that Espy does not have.
espy_dtype espy_onnx_dtype(int32_t data_type);
const char *espy_onnx_dtype_name(int32_t data_type); // ONNX's name, for messages
// Makes a value a constant, whose data does not need the message. What is not supported becomes a
// problem of node, and the value has no data. name is for messages.
espy_status espy_onnx_constant(struct importer *importer, const onnx_tensor *tensor,
                               const char *name, const char *node, struct graph_value *value);
// The bytes of a tensor outside the file; checks where they lie.
espy_status espy_onnx_external(struct importer *importer, const onnx_tensor *tensor,
                               const char *name, size_t size, const void **data);

// ---- importing ----------------------------------------------------------------------------------

espy_status espy_onnx_import(struct convert_model *model, const struct convert_params *params,
                             struct convert_report *report);
void espy_importer_init(struct importer *importer, struct convert_model *model,
                        struct graph *graph, const char *path);
void espy_importer_finish(struct importer *importer); // what it has imported stays in the graph
// Imports the nodes of every frame until none is left.
espy_status espy_import_frames(struct importer *importer);
// A Constant node becomes a constant; its value keeps the name of the node's output.
espy_status espy_import_constant(struct importer *importer, struct import_node *node);
// Rewrites need types before anything is inferred (a number in an attribute becomes an input of the
// data's type), so types are followed here as far as ONNX's rules are simple.
espy_dtype espy_import_output_dtype(const struct importer *importer, const struct import_node *node,
                                    uint32_t output);
// The network's; params may give shapes that the file does not have.
espy_status espy_import_inputs(struct importer *importer, const struct convert_params *params,
                               const onnx_graph *proto);
espy_status espy_import_outputs(struct importer *importer, const onnx_graph *proto);
// Fails where nothing makes a value that a node or an output needs.
espy_status espy_import_check_produced(const struct importer *importer);
// Notes the rank that the file says a value in between has.
espy_status espy_import_info(struct importer *importer, const onnx_info *info);

// ---- functions ----------------------------------------------------------------------------------

bool espy_import_is_onnx(const char *domain); // ONNX's own domain
// The version of ONNX's operators in a list of imports.
int64_t espy_import_opset(EspyOnnx__OperatorSetIdProto *const *imports, size_t count,
                          int64_t fallback);
// Puts the model's functions where find_function finds them.
espy_status espy_import_functions(struct importer *importer);
const onnx_function *espy_import_find_function(struct importer *importer, const onnx_node *node);
// Opens a frame with the function's nodes, to be imported next in place of the node.
espy_status espy_import_call(struct importer *importer, const struct import_node *node,
                             const onnx_function *function);
// A node that copies value `from` to `to`.
espy_status espy_import_identity(struct importer *importer, const char *hint, uint32_t from,
                                 uint32_t to);

// ---- bodies -------------------------------------------------------------------------------------

// Imports the graph attribute `name` of a node as a body that the attribute names, and appends what
// it takes from around to the node's inputs.
espy_status espy_import_body(struct importer *importer, struct import_node *node, const char *name);

espy_status espy_import_note(struct importer *importer, uint32_t value, espy_dtype dtype,
                             bool produced);
espy_dtype espy_import_dtype(const struct importer *importer, uint32_t value);
// How many dimensions a value has, as far as that can be followed; -1: not known.
int32_t espy_import_rank(const struct importer *importer, uint32_t value);
// Follows the ranks of a node's outputs where the operator's rule is simple. proto has attributes
// that older opsets put where inputs are now; NULL: none.
void espy_import_follow_ranks(struct importer *importer, const onnx_node *proto,
                              const struct graph_node *node);
// New values and constants with unique names made from hint.
espy_status espy_import_value(struct importer *importer, const char *hint, espy_dtype dtype,
                              uint32_t *index);
espy_status espy_import_numbers(struct importer *importer, const char *hint, espy_dtype dtype,
                                const struct shape *shape, const double *numbers, uint32_t count,
                                uint32_t *index);
espy_status espy_import_integers(struct importer *importer, const char *hint,
                                 const int64_t *integers, uint32_t count, uint32_t *index);
// A node with one output, which is made when *output is GRAPH_NONE.
espy_status espy_import_emit(struct importer *importer, const struct import_node *like,
                             const char *op, const uint32_t *inputs, uint32_t input_count,
                             espy_dtype dtype, uint32_t *output, struct graph_node **node);
const char *espy_import_unique(struct importer *importer, struct map *names, const char *hint);

// ---- names --------------------------------------------------------------------------------------

// Logs "FILE: what 'name'" and returns ESPY_BAD_FORMAT.
espy_status espy_import_bad(const struct importer *importer, const char *what, const char *name);
const char *espy_import_text(const char *text); // NULL is ""
// The graph value that a name stands for in the current frame; made where it is new, or taken from
// around a body. GRAPH_NONE for "".
espy_status espy_import_use_name(struct importer *importer, const char *name, uint32_t *index);
// The same for what makes the value, which only one thing may do.
espy_status espy_import_define_name(struct importer *importer, const char *name, uint32_t *index);
espy_status espy_import_push_frame(struct importer *importer, const struct import_frame *like);
void espy_import_pop_frame(struct importer *importer);
// Notes that initializers are sparse, which is not supported.
espy_status espy_import_sparse(struct importer *importer, const onnx_graph *graph);
// Gives an initializer its name in the frame.
espy_status espy_import_initializer(struct importer *importer, const onnx_tensor *tensor);

// ---- attributes of an imported node -------------------------------------------------------------

// The attribute, seen through the function call around it; NULL when absent. Marks it consumed.
const onnx_attribute *espy_import_take(const struct importer *importer, struct import_node *node,
                                       const char *name);
const onnx_attribute *espy_import_find(const struct importer *importer, const onnx_node *node,
                                       const char *name, uint32_t *index);
espy_status espy_import_copy_attributes(struct importer *importer, const struct import_node *node,
                                        struct graph_node *target);
espy_status espy_import_extra_number(struct importer *importer, struct import_node *node,
                                     const char *name, double number);
espy_status espy_import_extra_string(struct importer *importer, struct import_node *node,
                                     const char *name, const char *string);
int64_t espy_import_integer(const struct importer *importer, const struct import_node *node,
                            const char *name, int64_t fallback);
// The string attribute in buffer; NULL when absent or too long for it.
const char *espy_import_string(const struct importer *importer, const struct import_node *node,
                               const char *name, char *buffer, size_t size);

// The only element of a constant, when an attribute can hold it: finite and exact.
bool espy_import_constant_number(const struct graph_value *constant, double *number);

// ---- opsets -------------------------------------------------------------------------------------

// Brings a node of an older opset into the newest form.
espy_status espy_opset_rewrite(struct importer *importer, struct import_node *node);
// The same for opsets before 7, up to the form of 7.
espy_status espy_opset_early(struct importer *importer, struct import_node *node);
// Sets input i, filling the ones between with "absent".
void espy_opset_set_input(struct import_node *node, uint32_t i, uint32_t value);
// An attribute of integers becomes input i. An attribute that is absent leaves the input absent.
espy_status espy_opset_integers_to_input(struct importer *importer, struct import_node *node,
                                         const char *name, uint32_t i);
// Writes out a BatchNormalization in training mode; its five inputs and their types are there.
espy_status espy_opset_batch_norm_training(struct importer *importer, struct import_node *node);
// Brings a Scan of opset 8, whose body is imported, into the newest form.
espy_status espy_opset_scan(struct importer *importer, struct import_node *node);
// The same with statistics for every element, as up to opset 8 (spatial=0).
espy_status espy_opset_batch_norm_each(struct importer *importer, struct import_node *node);

// ---- other domains ------------------------------------------------------------------------------

// Writes a node of another domain in ONNX's operators, or notes that it is not known. "" is ONNX's
// own domain, where only operators that are not ONNX's are looked for.
espy_status espy_foreign_rewrite(struct importer *importer, struct import_node *node,
                                 const char *domain);

// ---- hand-written JSON
// ---------------------------------------------------------------------------------

espy_status espy_convert_read_json(struct convert_model *model,
                                   const struct convert_params *params);

// ---- recipes ------------------------------------------------------------------------------------

// What the model's metadata, presets, the recipe and the labels that were asked for say of the graph.
espy_status espy_convert_recipes(struct convert_model *model, const struct convert_params *params);
// The index of the only input that can be a picture, of four dimensions with one or three channels;
// GRAPH_NONE: there is none, or several.
uint32_t espy_convert_picture(const struct graph *graph);
// Lets the picture input take pixels, and does to them on the device what its preprocessing says.
espy_status espy_convert_pixels(struct convert_model *model);

#endif // TOOLS_CONVERT_CONVERT_INTERNAL_H_
