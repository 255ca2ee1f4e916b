// espy.h: run attention CNNs on any Vulkan GPU from plain C.
//
// In reading order: status and types, context, device, model, session, run, verify.
//
// Rules that hold for every call, said once:
// - Fallible calls return espy_status. On failure outputs are untouched and exactly one message of
//   level ESPY_LOG_ERROR has been logged; it says what was wrong and what to do. Where the
//   object that a call is about is NULL, it is ESPY_INVALID_ARGUMENT with no log to say it in.
// - X_create(..., &x) makes an object, X_destroy(&x) frees it and writes NULL. NULL and a pointer
//   to NULL are fine. Destroy children first: sessions, then models and devices, then the context.
// - A params struct starts with `size`: set it to sizeof. A zeroed field asks for its default, and
//   NULL in place of the struct asks for every default.
// - Strings are UTF-8. Sizes are in bytes. Tensors are dense, row-major, in the host's byte order.
// - The library never aborts, exits or prints, and has no global state.
// - Threads: a context may be used from any thread at any time when its callbacks may. Devices and
//   models are immutable after creation and may be shared by threads. One session is used by one
//   thread at a time; different sessions may run at the same time, on one device too.
#ifndef ESPY_ESPY_H_
#define ESPY_ESPY_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define ESPY_API __declspec(dllexport)
#elif defined(__GNUC__)
#define ESPY_API __attribute__((visibility("default")))
#else
#define ESPY_API
#endif

#define ESPY_VERSION_MAJOR 0
#define ESPY_VERSION_MINOR 1
#define ESPY_VERSION_PATCH 0

enum { ESPY_RANK_MAX = 8 };

typedef enum espy_status {
    ESPY_OK = 0,
    ESPY_INVALID_ARGUMENT = 1, // the caller's: a wrong name, shape, type, size or handle
    ESPY_OUT_OF_MEMORY = 2,    // host or device memory, or a budget that was set
    ESPY_IO_ERROR = 3,         // a file could not be opened, read or written
    ESPY_BAD_FORMAT = 4,       // the file is damaged, or is not what it says it is
    ESPY_UNSUPPORTED = 5,      // well-formed, but this library or this device cannot do it
    ESPY_NO_DEVICE = 6,        // no Vulkan driver, or no device fits what was asked
    ESPY_DEVICE_LOST = 7,      // the driver gave the device up; make a new device and session
    ESPY_VULKAN_ERROR = 8,     // any other failing Vulkan call; the message has its VkResult
    ESPY_TIMEOUT = 9,          // espy_session_wait only: the run is still going on
    ESPY_MISMATCH = 10         // espy_session_verify only: a result was out of tolerance
} espy_status;

// Returns a short English text for a status ("out of memory"); never NULL, never freed.
ESPY_API const char *espy_status_text(espy_status status);

// Element types. The numbers are stable.
typedef enum espy_dtype {
    ESPY_DTYPE_NONE = 0,
    ESPY_FLOAT32 = 1,
    ESPY_FLOAT16 = 2,
    ESPY_BFLOAT16 = 3,
    ESPY_FLOAT64 = 4,
    ESPY_INT8 = 5,
    ESPY_UINT8 = 6,
    ESPY_INT16 = 7,
    ESPY_UINT16 = 8,
    ESPY_INT32 = 9,
    ESPY_UINT32 = 10,
    ESPY_INT64 = 11,
    ESPY_UINT64 = 12,
    ESPY_BOOL = 13, // one byte, 0 or 1
    // Of these several elements share a byte, the first in its lowest bits.
    ESPY_INT4 = 14,
    ESPY_UINT4 = 15,
    ESPY_INT2 = 16,
    ESPY_UINT2 = 17,
    ESPY_FLOAT4E2M1 = 18,
    // One byte each.
    ESPY_FLOAT8E4M3FN = 19,
    ESPY_FLOAT8E4M3FNUZ = 20,
    ESPY_FLOAT8E5M2 = 21,
    ESPY_FLOAT8E5M2FNUZ = 22,
    ESPY_FLOAT8E8M0 = 23
} espy_dtype;

// Returns the name used in files and messages ("float32", "bool"), or "none".
ESPY_API const char *espy_dtype_name(espy_dtype dtype);
// Returns the size in bytes of one element; 0 for ESPY_DTYPE_NONE, unknown values, and types whose
// elements share bytes.
ESPY_API size_t espy_dtype_size(espy_dtype dtype);
// Returns the size in bits of one element; 0 for ESPY_DTYPE_NONE and unknown values. A tensor has
// count * bits / 8 bytes, rounded up.
ESPY_API uint32_t espy_dtype_bits(espy_dtype dtype);

// ---- context -----------------------------------------------------------------------------------

typedef enum espy_log_level {
    ESPY_LOG_ERROR = 1,
    ESPY_LOG_WARNING = 2,
    ESPY_LOG_INFO = 3,
    ESPY_LOG_DEBUG = 4
} espy_log_level;

// Receives one line without a newline. May be called from any thread that is inside a call.
typedef void (*espy_log_fn)(void *user, espy_log_level level, const char *message);

// Behaves as C's realloc; size 0 frees and returns NULL. Must be aligned as malloc is. NULL from
// it is an ESPY_OUT_OF_MEMORY of the call in progress.
typedef void *(*espy_realloc_fn)(void *user, void *pointer, size_t size);

typedef struct espy_context espy_context;

struct espy_context_params {
    size_t size;
    espy_log_fn log;           // default: messages are dropped
    void *log_user;            // passed to log
    espy_log_level log_level;  // the least urgent level delivered; default ESPY_LOG_WARNING
    espy_realloc_fn realloc;   // default: C's realloc
    void *realloc_user;        // passed to realloc
};

ESPY_API espy_status espy_context_create(const struct espy_context_params *params,
                                         espy_context **context);
ESPY_API void espy_context_destroy(espy_context **context);

// ---- device ------------------------------------------------------------------------------------

typedef enum espy_device_type {
    ESPY_DEVICE_OTHER = 0,
    ESPY_DEVICE_INTEGRATED_GPU = 1,
    ESPY_DEVICE_DISCRETE_GPU = 2,
    ESPY_DEVICE_VIRTUAL_GPU = 3,
    ESPY_DEVICE_CPU = 4 // a software driver such as lavapipe or SwiftShader
} espy_device_type;

struct espy_device_info {
    uint32_t index; // what espy_device_params.index counts
    espy_device_type type;
    uint32_t vendor_id, device_id;
    uint32_t api_version[3];      // Vulkan version of the device: major, minor, patch
    uint64_t memory_size;         // bytes in the largest device-local heap
    bool usable;                  // false: too old or without a compute queue
    bool is_default;              // taken when espy_device_params.name is NULL
    bool storage_float16;         // float16 tensors can be kept as 16 bit in buffers
    uint32_t subgroup_size;
    char name[256], driver[256];  // as the driver reports them
};

// Fills up to *count entries of infos and writes the number of devices to *count; with infos NULL
// only counts. Blocks while drivers load. Zero devices is ESPY_OK with *count 0.
ESPY_API espy_status espy_device_list(espy_context *context, struct espy_device_info *infos,
                                      uint32_t *count);

typedef struct espy_device espy_device;

struct espy_device_params {
    size_t size;
    // A part of the device's or driver's name (case does not matter), or a decimal index.
    // Default: the best usable device, a CPU device only when there is nothing else, and of several
    // of those the one with the widest subgroups.
    const char *name;
    // Folder for the pipeline cache, created when missing. Default: $XDG_CACHE_HOME/espy, else
    // $HOME/.cache/espy. "" keeps no cache. A folder that cannot be written is only a warning.
    const char *cache_dir;
    // Turns the Khronos validation layer on; its messages arrive as warnings and errors in the
    // log. Asking for it where it is not installed is ESPY_UNSUPPORTED. Default: off.
    bool validation;
    // Keeps float16 tensors as float32 in the device's memory, so that no intermediate value is
    // rounded, in twice the memory. Default: 16 bits where the device has them and gains by it,
    // which no CPU device does. Sums are float32 either way.
    bool exact;
};

ESPY_API espy_status espy_device_create(espy_context *context,
                                        const struct espy_device_params *params,
                                        espy_device **device);
ESPY_API void espy_device_destroy(espy_device **device);
ESPY_API void espy_device_get_info(const espy_device *device, struct espy_device_info *info);
// Number of validation layer errors and warnings so far; 0 when the layer is off.
ESPY_API uint64_t espy_device_validation_count(const espy_device *device);

// ---- model -------------------------------------------------------------------------------------

typedef struct espy_model espy_model;

// How a picture becomes an input: resize, then (channel / scale - mean[c]) / std[c].
struct espy_preprocess {
    uint32_t height, width;   // 0: the picture's own size
    const char *resize;       // "stretch", "letterbox" (keep aspect, pad) or "crop" (centre)
    const char *color;        // "rgb", "bgr" or "gray"
    const char *layout;       // "nchw" or "nhwc"
    double scale;             // 255 maps bytes to 0..1; 1 keeps 0..255
    double mean[4], std[4];   // per channel, in the order of `color`
};

// One input or output of a model. All pointers live as long as the model.
struct espy_value_info {
    const char *name;
    espy_dtype dtype;
    uint32_t rank;
    int64_t dims[ESPY_RANK_MAX];           // -1: known only at run time
    const char *symbols[ESPY_RANK_MAX];    // name of a -1 dimension ("batch"), else NULL
    bool has_shape;                        // false for an output whose rank the file does not say
    // "image", "logits", "boxes", "tokens", ... (format/SPEC.md lists them with their shapes), or NULL
    const char *role;
    const char *of;                        // name of the value that this one describes, or NULL
    const struct espy_preprocess *preprocess; // inputs with role "image"; else NULL
    double threshold;                      // outputs with role "scores": below is not shown
    // Names of the classes of outputs with role "logits", "probabilities", "classes" or "mask" and
    // of inputs with role "class"; of the tokens of inputs with role "tokens".
    uint32_t label_count;
    const char *const *labels;
};

// How tokens lie on the picture: `extra` tokens that are no part of it (a class token), then those of
// a grid of so many rows and columns, row by row. Zeros: not known. With windows, a map is of one
// window, and the maps of all windows stand one after another in its first dimension: token
// (row, column) of window (down, right) is at row
// (down * (step 1: rows of a window; else 1) + row * step + shift) modulo the grid's rows, and its
// column likewise.
struct espy_token_grid {
    uint32_t rows, columns, extra;
    uint32_t window[2];         // rows and columns of a window; 0: there are no windows
    uint32_t step[2], shift[2]; // with windows; step is 1 or the number of windows that way
    const char *of;             // the input on whose picture they lie; NULL: the only one, or not known
};

// A place where the model attends. All pointers live as long as the model.
struct espy_attention_info {
    const char *name;
    // "softmax" (map: heads, queries, keys), "transposed" (between channels), "linear" (a weight per
    // token), "channel_gate" (a factor per channel, or one), "spatial_gate" (a factor per place),
    // "deformable" (where is looked), or a kind that a newer converter knows.
    const char *kind;
    const char *node; // of the model, where the map is made
    uint32_t heads;   // 0: not known, or none
    struct espy_token_grid queries, keys; // of a gate only the latter
};

// Reads and checks a whole .espy file. Untrusted bytes are safe: the answer is a model or a status.
ESPY_API espy_status espy_model_load_file(espy_context *context, const char *path,
                                          espy_model **model);
// The same from memory. The bytes are copied and may be freed after the call.
ESPY_API espy_status espy_model_load_memory(espy_context *context, const void *bytes, size_t size,
                                            espy_model **model);
ESPY_API void espy_model_destroy(espy_model **model);
ESPY_API uint32_t espy_model_input_count(const espy_model *model);
ESPY_API uint32_t espy_model_output_count(const espy_model *model);
// index < count, else ESPY_INVALID_ARGUMENT.
ESPY_API espy_status espy_model_input(const espy_model *model, uint32_t index,
                                      struct espy_value_info *info);
ESPY_API espy_status espy_model_output(const espy_model *model, uint32_t index,
                                       struct espy_value_info *info);
// The attention sites that the converter has found; a file need not list any.
ESPY_API uint32_t espy_model_attention_count(const espy_model *model);
// index < count, else ESPY_INVALID_ARGUMENT.
ESPY_API espy_status espy_model_attention(const espy_model *model, uint32_t index,
                                          struct espy_attention_info *info);

// ---- session -----------------------------------------------------------------------------------

// A tensor in the caller's memory. The caller owns data and the name.
struct espy_tensor {
    const char *name; // of the model's input or output, or of an attention site
    espy_dtype dtype;
    uint32_t rank;
    int64_t dims[ESPY_RANK_MAX];
    void *data;  // dense, row-major; only read for inputs
    size_t size; // bytes at data: for inputs exactly what dtype and dims make, for outputs the room
};

// Which rows of a site's map are wanted: those of count queries from first on; count 0: of all from
// there on. Rows that the map does not have for a run's shapes are left out; the tensor's dims tell
// how many there are.
struct espy_attention_rows {
    uint32_t first, count;
};

typedef struct espy_session espy_session;

// Where a kernel has several forms, only measuring tells which is best on a device. That takes
// seconds; what comes of it is kept by device and driver in the device's cache_dir and used by
// every session from then on, whether it tunes or not.
typedef enum {
    ESPY_TUNE_OFF = 0,  // only what is known already
    ESPY_TUNE_NEW = 1,  // before a shape is first planned, measures what is not known yet
    ESPY_TUNE_AGAIN = 2 // the same, and what is known too
} espy_tune;

// One problem that was measured: a shape of a kernel, which several nodes may have.
struct espy_tune_entry {
    const char *node, *op;   // the first node that has it
    const char *problem;     // for people
    uint32_t index, count;   // which one it is, from 0, of all that are to be measured
    uint32_t uses;           // of a run
    uint32_t form_count, chosen, fallback; // fallback: what is taken without measurements
    uint32_t wrong_count;    // forms whose results differ from the reference: never chosen
    double chosen_ms, fallback_ms; // of one use; 0: not timed, for there was no choice
};
typedef void (*espy_tune_fn)(void *user, const struct espy_tune_entry *entry);

struct espy_session_params {
    size_t size;
    // Device memory that one planned shape may take, weights included, and what they are repacked
    // from while the plan is made ready. What needs more is refused with ESPY_OUT_OF_MEMORY and the
    // number of bytes. 0: no limit.
    uint64_t memory_max;
    // Keeps every intermediate value in its own memory, which espy_session_verify needs.
    bool keep_values;
    // Plans kept for different input shapes; the one used longest ago goes. Default 8.
    uint32_t plans_max;
    // Whether to measure the forms of kernels, in the call that plans. tuned is called after each
    // problem, with what lives until it returns; it may be NULL.
    espy_tune tune;
    espy_tune_fn tuned;
    void *tune_user;
    // Names of attention sites whose maps runs can deliver: a run's outputs may name them as they
    // name the model's. Sessions that do not ask pay nothing; in one that asks, attention at these
    // sites writes its weights to memory. The strings are read during the call only.
    const char *const *attention;
    uint32_t attention_count;
    // Of each of these sites the rows that are wanted; NULL: all. Of attention between tokens only
    // those weights are made and stored, so one query of many costs next to nothing. Sites whose
    // maps have no queries (all kinds but "softmax" and "transposed") take {0, 0} only. Read during
    // the call only.
    const struct espy_attention_rows *attention_rows;
};

// Makes a model ready on a device. The model and the device must outlive the session. A model
// whose inputs are all static is planned here; others are planned when a shape is first seen.
ESPY_API espy_status espy_session_create(espy_device *device, espy_model *model,
                                         const struct espy_session_params *params,
                                         espy_session **session);
ESPY_API void espy_session_destroy(espy_session **session);

struct espy_plan_info {
    uint64_t memory_size;       // device bytes: arena + weights + staging
    uint64_t weights_size;      // of these, weights and other constants
    uint32_t stage_count;       // recorded command buffers; 1: no host work between nodes
    uint32_t dispatch_count;    // per run
    uint32_t host_node_count;   // nodes that run on the host between stages
    // Bytes that the dispatches of a run read and write, every element once per dispatch that sees
    // it; what they read of the weights is apart.
    uint64_t read_size, written_size, weights_read_size;
    // Shapes depend on what a run computes: all of the above is of the part up to there. What comes
    // after it is planned during a run, and those plans are kept too.
    bool data_dependent;
    // The device computes float64 values as float32, in at least one node. A session's first such
    // plan says so in a warning.
    bool float64_as_float32;
};

// Plans for concrete input shapes (names, dtypes and dims are read; data only where a shape depends
// on an input's elements) unless that is done already. Fills *info and, per output of the model,
// name, dtype, rank, dims and size of outputs[i] with data NULL. Where only a run can tell an
// output's shape, dims are -1, size is 0, and dtype and rank are what the file says, if it does.
// Either may be NULL. outputs has espy_model_output_count entries.
ESPY_API espy_status espy_session_plan(espy_session *session, const struct espy_tensor *inputs,
                                       uint32_t input_count, struct espy_plan_info *info,
                                       struct espy_tensor *outputs);

// Returns the plan for these input shapes as text, one line per dispatch and buffer; free it with
// espy_text_free. The text is for people and tests; its form may change.
ESPY_API espy_status espy_session_plan_text(espy_session *session,
                                            const struct espy_tensor *inputs, uint32_t input_count,
                                            char **text);
ESPY_API void espy_text_free(espy_session *session, char **text);

// ---- run ---------------------------------------------------------------------------------------

// Runs once and blocks. Every input of the model is given once, by name. outputs names what is
// wanted, with data and size (room); dtype, rank and dims are filled in. Room that is too small is
// ESPY_INVALID_ARGUMENT, with the size needed in the message; where only the run can tell the size,
// the answer comes after it. An output with data NULL and size 0 gets memory of the session's: data
// and size are filled in too, and what is there lives until the session's next run or its end.
ESPY_API espy_status espy_session_run(espy_session *session, const struct espy_tensor *inputs,
                                      uint32_t input_count, struct espy_tensor *outputs,
                                      uint32_t output_count);

// A run in flight. Tickets count up from 1 per session.
typedef uint64_t espy_ticket;

// Starts a run and returns. Input data is copied before the call returns; output tensors (the array
// and what it points to) must live until the wait. One run of a session is in flight at a time: a
// second submit before the wait is ESPY_INVALID_ARGUMENT. Allocates nothing for a planned shape.
ESPY_API espy_status espy_session_submit(espy_session *session, const struct espy_tensor *inputs,
                                         uint32_t input_count, struct espy_tensor *outputs,
                                         uint32_t output_count, espy_ticket *ticket);
// Waits up to timeout_ns (UINT64_MAX: for ever) and fills the outputs. ESPY_TIMEOUT, which logs no
// error, leaves the run going on; wait again. Where the host works between parts of a run, it does
// so in this call, however short the timeout.
ESPY_API espy_status espy_session_wait(espy_session *session, espy_ticket ticket,
                                       uint64_t timeout_ns);

// ---- verify ------------------------------------------------------------------------------------

// One node's result on the device against the CPU reference on the same device-made inputs, so
// that an error is reported where it arises.
struct espy_verify_entry {
    const char *node, *op, *value; // names; they live as long as the model
    uint64_t element_count;
    double relative_l2;  // |device - reference| / |reference|, Euclidean; absolute when reference is 0
    double absolute_max; // largest absolute difference
    uint64_t nonfinite_count; // elements where one is NaN or infinite and the other is not the same
    bool on_host;        // the node ran on the host, so the comparison says nothing
    bool passed;
};
typedef void (*espy_verify_fn)(void *user, const struct espy_verify_entry *entry);

// Runs the model once on a session made with keep_values and calls back once per node output in
// graph order, but for nodes whose inputs' shapes made the host compute them. Nodes of a body (of a
// Loop, say) come where it runs for the first time. tolerance is the
// largest relative_l2 that passes: 0 asks for 1e-4, for float16 2e-3, for bfloat16 2e-2. Returns
// ESPY_MISMATCH when any failed.
ESPY_API espy_status espy_session_verify(espy_session *session, const struct espy_tensor *inputs,
                                         uint32_t input_count, double tolerance,
                                         espy_verify_fn callback, void *user);

#ifdef __cplusplus
}
#endif

#endif // ESPY_ESPY_H_
