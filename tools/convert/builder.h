// Writes out one imported node as several: a rewrite emits nodes one after another and ties the
// node's outputs to what they make. The first failure stays in `status` and makes every later call
// do nothing, so that rewrites read like formulas.
#ifndef TOOLS_CONVERT_BUILDER_H_
#define TOOLS_CONVERT_BUILDER_H_

#include "convert/convert_internal.h"

struct builder {
    struct importer *importer;
    struct import_node *node; // what is rewritten
    espy_status status;
    struct graph_node *made; // the last emitted node, until the next one is
    bool renamed;            // the node itself stays, under another name
};

// ---- the node that is rewritten -----------------------------------------------------------------

bool espy_build_has(const struct builder *b, uint32_t input);
uint32_t espy_build_input(const struct builder *b, uint32_t input); // GRAPH_NONE: absent
bool espy_build_wants(const struct builder *b, uint32_t output);
// Attributes; each is marked as read. What no rewrite reads is refused.
int64_t espy_build_integer(struct builder *b, const char *name, int64_t fallback);
double espy_build_float(struct builder *b, const char *name, double fallback);
const char *espy_build_string(struct builder *b, const char *name, const char *fallback);
uint32_t espy_build_floats(struct builder *b, const char *name, double *numbers, uint32_t room);
uint32_t espy_build_integers_of(struct builder *b, const char *name, int64_t *numbers,
                                uint32_t room);
void espy_build_ignore(struct builder *b, const char *name); // says nothing about the result
// Copies what is not read yet to the last emitted node.
void espy_build_copy_attributes(struct builder *b);
// The node keeps its inputs and attributes and has another name.
void espy_build_rename(struct builder *b, const char *op);
// Notes that the node cannot be converted.
void espy_build_refuse(struct builder *b, const char *format, ...) ESPY_PRINTF(2, 3);
// Ties an output of the node to a value.
void espy_build_result(struct builder *b, uint32_t output, uint32_t value);
// The graph's nodes from `count` on go before the others, in a network that is imported whole.
void espy_build_move_to_front(struct builder *b, uint32_t count);

// ---- what is emitted ----------------------------------------------------------------------------

espy_dtype espy_build_dtype(const struct builder *b, uint32_t value);
// The rank, or -1 with a refusal that says how to make it known.
int32_t espy_build_rank(struct builder *b, uint32_t value);

// One output, of the type that is said, or of the first input's.
uint32_t espy_build_emit_as(struct builder *b, espy_dtype dtype, const char *op,
                            const uint32_t *inputs, uint32_t input_count);
uint32_t espy_build_emit(struct builder *b, const char *op, const uint32_t *inputs,
                         uint32_t input_count);
void espy_build_emit_many(struct builder *b, const char *op, const uint32_t *inputs,
                          uint32_t input_count, uint32_t *outputs, uint32_t output_count);
#define EMIT(b, op, ...)                                        \
    espy_build_emit((b), (op), (const uint32_t[]){__VA_ARGS__}, \
                    (uint32_t)(sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t)))
#define EMIT_AS(b, dtype, op, ...)                                          \
    espy_build_emit_as((b), (dtype), (op), (const uint32_t[]){__VA_ARGS__}, \
                       (uint32_t)(sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t)))

// Attributes of the last emitted node.
void espy_build_set(struct builder *b, const char *name, double number);
void espy_build_set_list(struct builder *b, const char *name, const double *numbers,
                         uint32_t count);
void espy_build_set_text(struct builder *b, const char *name, const char *text);

// Constants: a scalar of the type of a value, and int64 in one dimension.
uint32_t espy_build_number(struct builder *b, uint32_t like, double number);
uint32_t espy_build_scalar(struct builder *b, espy_dtype dtype, double number);
uint32_t espy_build_list(struct builder *b, const int64_t *integers, uint32_t count);
#define LIST(b, ...)                                     \
    espy_build_list((b), (const int64_t[]){__VA_ARGS__}, \
                    (uint32_t)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)))

uint32_t espy_build_cast(struct builder *b, uint32_t value, espy_dtype dtype); // nothing if it is
uint32_t espy_build_cast_like(struct builder *b, uint32_t value, uint32_t like);
uint32_t espy_build_dims(struct builder *b, uint32_t value, int64_t start, int64_t end);
uint32_t espy_build_concat(struct builder *b, const uint32_t *parts, uint32_t count, int64_t axis);
uint32_t espy_build_transpose(struct builder *b, uint32_t value, const uint32_t *order,
                              uint32_t rank);
uint32_t espy_build_reshape(struct builder *b, uint32_t value, const int64_t *dims, uint32_t count);
uint32_t espy_build_slice(struct builder *b, uint32_t value, uint32_t starts, uint32_t ends,
                          int64_t axis);
// One position along a dimension, without that dimension.
uint32_t espy_build_pick(struct builder *b, uint32_t value, int64_t index, int64_t axis);
// x, or x + what another input of the node has where it is there.
uint32_t espy_build_plus(struct builder *b, uint32_t value, uint32_t input);

// Between channels first and channels last; nothing where there are no dimensions between.
uint32_t espy_build_move_channels(struct builder *b, uint32_t x, bool to_end);

// A pointwise function that the node names in attributes. Its parameters are in the order of
// ONNX's attributes for it.
enum { BUILD_PARAMS_MAX = 3 };
struct build_activation {
    const char *name; // "": none
    uint32_t param_count;
    double params[BUILD_PARAMS_MAX];
};
uint32_t espy_build_activate(struct builder *b, uint32_t x,
                             const struct build_activation *activation);
struct build_activation espy_build_conv_activation(struct builder *b);

// In the type of the zero point, or where that is absent in the one that is said.
uint32_t espy_build_quantize(struct builder *b, uint32_t x, uint32_t scale, uint32_t zero,
                             espy_dtype dtype);

// Inputs as BatchNormalization's, but with statistics for every element of x's later dimensions.
uint32_t espy_build_batch_norm_each(struct builder *b, const uint32_t inputs[5], double epsilon);

// ---- operators of other domains -----------------------------------------------------------------

struct foreign_row {
    const char *op;
    void (*apply)(struct builder *b);
};

struct foreign_family {
    const char *domain;
    const struct foreign_row *rows;
    uint32_t row_count;
};

// Of both ONNX's and Microsoft's domain.
void espy_foreign_simplified_layer_norm(struct builder *b);

extern const struct foreign_family espy_foreign_experimental; // of ONNX's own domain, never in it
extern const struct foreign_family espy_foreign_fused;
extern const struct foreign_family espy_foreign_simple;
extern const struct foreign_family espy_foreign_crop;
extern const struct foreign_family espy_foreign_fourier;
extern const struct foreign_family espy_foreign_norm;
extern const struct foreign_family espy_foreign_attention;
extern const struct foreign_family espy_foreign_cached;
extern const struct foreign_family espy_foreign_quantized;
extern const struct foreign_family espy_foreign_qlinear;
extern const struct foreign_family espy_foreign_packed;
extern const struct foreign_family espy_foreign_layout;
extern const struct foreign_family espy_foreign_nhwc;
extern const struct foreign_family espy_foreign_mmdeploy;
extern const struct foreign_family espy_foreign_mmcv;

#endif // TOOLS_CONVERT_BUILDER_H_
