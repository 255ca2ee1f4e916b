// A model, a device and a session for one subcommand, and the outputs of a run. Public API only.
#ifndef TOOLS_CLI_SESSION_H_
#define TOOLS_CLI_SESSION_H_

#include "cli_inputs.h"

// What every subcommand that runs a model takes.
struct cli_common {
    const char *device;
    struct cli_list files, shapes;
    uint64_t memory; // 0: no limit
    uint32_t seed;
    bool json, verbose, validation, no_cache, exact;
    // Of the session, for `tune`; no options.
    espy_tune tune;
    espy_tune_fn tuned;
    void *tune_user;
};
#define CLI_COMMON_OPTIONS(type, member)                                             \
    {"device",                                                                       \
     'd',                                                                            \
     CLI_TEXT,                                                                       \
     offsetof(type, member) + offsetof(struct cli_common, device),                   \
     "NAME",                                                                         \
     "Part of a device's name, or its index (see `espy devices`).\n"                 \
     "Default: the best one.",                                                       \
     0,                                                                              \
     0},                                                                             \
        {"input",                                                                    \
         'i',                                                                        \
         CLI_LIST,                                                                   \
         offsetof(type, member) + offsetof(struct cli_common, files),                \
         "NAME=FILE",                                                                \
         "A picture (JPEG, PNG), an .npy file or raw elements; or\n"                 \
         "values, such as ids=1,5,9. Once per input; NAME= may be left\n"            \
         "out where there is one input.",                                            \
         0,                                                                          \
         0},                                                                         \
        {"shape",                                                                    \
         0,                                                                          \
         CLI_SHAPES,                                                                 \
         offsetof(type, member) + offsetof(struct cli_common, shapes),               \
         "NAME=1x3x64x64",                                                           \
         "Sizes of symbolic dimensions. Pictures are resized to them.\n"             \
         "A dimension called batch or N is 1 unless said otherwise.",                \
         0,                                                                          \
         0},                                                                         \
        {"seed",                                                                     \
         0,                                                                          \
         CLI_COUNT,                                                                  \
         offsetof(type, member) + offsetof(struct cli_common, seed),                 \
         "NUMBER",                                                                   \
         "Of the random numbers of inputs that are not given.\n"                     \
         "Default: 0.",                                                              \
         0,                                                                          \
         UINT32_MAX},                                                                \
        {"memory",                                                                   \
         0,                                                                          \
         CLI_SIZE,                                                                   \
         offsetof(type, member) + offsetof(struct cli_common, memory),               \
         "SIZE",                                                                     \
         "Device memory that may be taken, such as 512M. What needs\n"               \
         "more is refused before anything runs. Default: no limit.",                 \
         0,                                                                          \
         0},                                                                         \
        {"exact",  0,                                                                \
         CLI_FLAG, offsetof(type, member) + offsetof(struct cli_common, exact),      \
         NULL,     "Keeps float16 tensors as float32 on the device.",                \
         0,        0},                                                               \
        {"json",   0,                                                                \
         CLI_FLAG, offsetof(type, member) + offsetof(struct cli_common, json),       \
         NULL,     "Prints one JSON object instead of text.",                        \
         0,        0},                                                               \
        {"verbose", 'v',                                                             \
         CLI_FLAG,  offsetof(type, member) + offsetof(struct cli_common, verbose),   \
         NULL,      "Prints the library's notes too.",                               \
         0,         0},                                                              \
        {"no-cache", 0,                                                              \
         CLI_FLAG,   offsetof(type, member) + offsetof(struct cli_common, no_cache), \
         NULL,       "Neither reads nor writes the pipeline cache and what\n"                  \
                    "`espy tune` has measured.",                 \
         0,          0},                                                             \
    {                                                                                \
        "validation", 0, CLI_FLAG,                                                   \
            offsetof(type, member) + offsetof(struct cli_common, validation), NULL,  \
            "Turns the Vulkan validation layer on.", 0, 0                            \
    }

// The context's log goes here while quiet is set; the last error can be replayed.
struct cli_held_log {
    bool quiet;
    char error[1024];
};

struct cli_session {
    struct cli_held_log log;
    espy_context *context;
    espy_model *model;
    espy_device *device;
    espy_session *session;
    struct espy_device_info info;
    const char **attention;    // sites whose maps the session is to deliver; the caller's
    uint32_t attention_count;
    const struct espy_attention_rows *attention_rows; // of each of them; NULL: all
    double load_ms, create_ms; // reading the model; making the session
};

// The three steps; each logs its error and returns CLI_GO_ON or an exit code. Whatever happened,
// espy_cli_close frees what there is.
enum cli_exit espy_cli_open_context(struct cli_session *session, const struct cli_common *common);
enum cli_exit espy_cli_open_model(struct cli_session *session, const char *path);
enum cli_exit espy_cli_open_session(struct cli_session *session, const struct cli_common *common,
                                    bool keep_values);
void espy_cli_close(struct cli_session *session); // zeroed is fine

// Every output of the model. What a run fills in is the session's memory: good until the next run.
struct cli_outputs {
    uint32_t count;
    struct espy_value_info *infos;
    struct espy_tensor *tensors;
};

// Plans for the inputs. info may be NULL.
enum cli_exit espy_outputs_init(struct cli_outputs *outputs, struct cli_session *session,
                                const struct cli_inputs *inputs, struct espy_plan_info *info);
void espy_outputs_finish(struct cli_outputs *outputs); // zeroed is fine
// Runs once; *ms is the time that it took.
enum cli_exit espy_outputs_run(struct cli_outputs *outputs, struct cli_session *session,
                               const struct cli_inputs *inputs, double *ms);

double espy_cli_now_ms(void);
const char *espy_device_type_text(espy_device_type type);

#endif // TOOLS_CLI_SESSION_H_
