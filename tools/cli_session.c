#define _POSIX_C_SOURCE 200809L

#include "cli_session.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

double espy_cli_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

const char *espy_device_type_text(espy_device_type type)
{
    switch (type) {
    case ESPY_DEVICE_INTEGRATED_GPU:
        return "integrated GPU";
    case ESPY_DEVICE_DISCRETE_GPU:
        return "discrete GPU";
    case ESPY_DEVICE_VIRTUAL_GPU:
        return "virtual GPU";
    case ESPY_DEVICE_CPU:
        return "CPU";
    case ESPY_DEVICE_OTHER:
        break;
    }
    return "other";
}

// Errors may come from any thread, but only from the call that this thread is in; the hold is set
// and read around that call.
static void hold_log(void *user, espy_log_level level, const char *message)
{
    struct cli_held_log *log = user;
    if (!log->quiet)
        espy_cli_log(NULL, level, message);
    else if (level == ESPY_LOG_ERROR)
        (void)snprintf(log->error, sizeof log->error, "%s", message);
}

enum cli_exit espy_cli_open_context(struct cli_session *session, const struct cli_common *common)
{
    const struct espy_context_params params = {.size = sizeof params,
                                               .log = hold_log,
                                               .log_user = &session->log,
                                               .log_level = common->verbose ? ESPY_LOG_DEBUG
                                                                            : ESPY_LOG_WARNING};
    const espy_status status = espy_context_create(&params, &session->context);
    return status == ESPY_OK ? CLI_GO_ON : espy_cli_exit_of(status);
}

// true: the name says that the file is what `convert` reads.
static bool is_source(const char *path)
{
    static const char *const ends[] = {".onnx", ".json", ".safetensors"};
    const size_t length = strlen(path);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        const size_t end = strlen(ends[i]);
        if (length > end && !strcmp(path + length - end, ends[i]))
            return true;
    }
    return false;
}

enum cli_exit espy_cli_open_model(struct cli_session *session, const char *path)
{
    const double start = espy_cli_now_ms();
    espy_cli_progress("reading %s", path);
    session->log.quiet = is_source(path);
    const espy_status status = espy_model_load_file(session->context, path, &session->model);
    espy_cli_progress_clear();
    if (session->log.quiet && status != ESPY_OK) {
        (void)espy_cli_fail("%s%s", session->log.error,
                            status == ESPY_BAD_FORMAT ? "; make one of it with `espy convert`"
                                                      : "");
    }
    session->log.quiet = false;
    session->load_ms = espy_cli_now_ms() - start;
    return status == ESPY_OK ? CLI_GO_ON : espy_cli_exit_of(status);
}

enum cli_exit espy_cli_open_session(struct cli_session *session, const struct cli_common *common,
                                    bool keep_values)
{
    const struct espy_device_params device = {.size = sizeof device,
                                              .name = common->device,
                                              .cache_dir = common->no_cache ? "" : NULL,
                                              .validation = common->validation,
                                              .exact = common->exact};
    const struct espy_session_params params = {.size = sizeof params,
                                               .memory_max = common->memory,
                                               .keep_values = keep_values,
                                               .tune = common->tune,
                                               .tuned = common->tuned,
                                               .tune_user = common->tune_user,
                                               .attention = session->attention,
                                               .attention_count = session->attention_count,
                                               .attention_rows = session->attention_rows};
    espy_cli_progress("opening the device");
    espy_status status = espy_device_create(session->context, &device, &session->device);
    if (status == ESPY_OK) {
        espy_device_get_info(session->device, &session->info);
        espy_cli_progress("making the model ready on %s", session->info.name);
        const double start = espy_cli_now_ms();
        status = espy_session_create(session->device, session->model, &params, &session->session);
        session->create_ms = espy_cli_now_ms() - start;
    }
    espy_cli_progress_clear();
    return status == ESPY_OK ? CLI_GO_ON : espy_cli_exit_of(status);
}

void espy_cli_close(struct cli_session *session)
{
    espy_session_destroy(&session->session);
    espy_device_destroy(&session->device);
    espy_model_destroy(&session->model);
    espy_context_destroy(&session->context);
}

// ---- outputs ------------------------------------------------------------------------------------

enum cli_exit espy_outputs_init(struct cli_outputs *outputs, struct cli_session *session,
                                const struct cli_inputs *inputs, struct espy_plan_info *info)
{
    *outputs = (struct cli_outputs){.count = espy_model_output_count(session->model)};
    const size_t room = outputs->count ? outputs->count : 1;
    outputs->infos = calloc(room, sizeof *outputs->infos);
    outputs->tensors = calloc(room, sizeof *outputs->tensors);
    if (!outputs->infos || !outputs->tensors)
        return espy_cli_fail("out of memory");
    espy_cli_progress("planning for %s", session->info.name);
    espy_status status =
        espy_session_plan(session->session, inputs->tensors, inputs->count, info, outputs->tensors);
    espy_cli_progress_clear();
    for (uint32_t i = 0; status == ESPY_OK && i < outputs->count; i++)
        status = espy_model_output(session->model, i, &outputs->infos[i]);
    return status == ESPY_OK ? CLI_GO_ON : espy_cli_exit_of(status);
}

void espy_outputs_finish(struct cli_outputs *outputs)
{
    free(outputs->infos);
    free(outputs->tensors);
    *outputs = (struct cli_outputs){0};
}

enum cli_exit espy_outputs_run(struct cli_outputs *outputs, struct cli_session *session,
                               const struct cli_inputs *inputs, double *ms)
{
    for (uint32_t i = 0; i < outputs->count; i++) { // the session gives memory
        outputs->tensors[i].data = NULL;
        outputs->tensors[i].size = 0;
    }
    const double start = espy_cli_now_ms();
    const espy_status status = espy_session_run(session->session, inputs->tensors, inputs->count,
                                                outputs->tensors, outputs->count);
    *ms = espy_cli_now_ms() - start;
    return status == ESPY_OK ? CLI_GO_ON : espy_cli_exit_of(status);
}
