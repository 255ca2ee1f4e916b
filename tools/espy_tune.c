// `espy tune`: measures which forms of kernels are fastest on this device for a model's shapes.
#include <stdlib.h>

#include "cli_json.h"
#include "cli_session.h"
#include "espy_commands.h"

struct options {
    struct cli_common common;
    bool again;
};

static const struct cli_option option_rows[] = {
    CLI_COMMON_OPTIONS(struct options, common),
    {"again", 0, CLI_FLAG, offsetof(struct options, again), NULL,
     "Measures what is known already too.", 0, 0},
    {0}};

// What the session has reported so far.
struct tuned {
    bool json, verbose;
    uint32_t count, gained, wrong;
    double before_ms, after_ms; // of a run, in the kernels that were measured
    cJSON *problems;            // with json
};

static void add_json(struct tuned *tuned, const struct espy_tune_entry *entry)
{
    cJSON *row = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(row, "problem", entry->problem);
    (void)cJSON_AddStringToObject(row, "node", entry->node);
    (void)cJSON_AddStringToObject(row, "op", entry->op);
    (void)cJSON_AddNumberToObject(row, "uses", entry->uses);
    (void)cJSON_AddNumberToObject(row, "forms", entry->form_count);
    (void)cJSON_AddNumberToObject(row, "wrong", entry->wrong_count);
    (void)cJSON_AddNumberToObject(row, "chosen", entry->chosen);
    (void)cJSON_AddNumberToObject(row, "usual", entry->fallback);
    espy_json_add_ms(row, "chosen_ms", entry->chosen_ms);
    espy_json_add_ms(row, "usual_ms", entry->fallback_ms);
    (void)cJSON_AddItemToArray(tuned->problems, row);
}

static void note(void *user, const struct espy_tune_entry *entry)
{
    struct tuned *tuned = user;
    const bool gains = entry->chosen != entry->fallback;
    tuned->count++;
    tuned->gained += gains;
    tuned->wrong += entry->wrong_count;
    tuned->before_ms += entry->fallback_ms * entry->uses;
    tuned->after_ms += entry->chosen_ms * entry->uses;
    if (tuned->json) {
        add_json(tuned, entry);
    } else if (gains || tuned->verbose) {
        espy_cli_progress_clear();
        (void)printf("%-50s x%-3u %9.3f ms -> %9.3f ms  (form %u of %u)\n", entry->problem,
                     entry->uses, entry->fallback_ms, entry->chosen_ms, entry->chosen,
                     entry->form_count);
        (void)fflush(stdout);
    }
    espy_cli_progress("measured %u of %u", entry->index + 1, entry->count);
}

static void print_text(const struct tuned *tuned, const struct cli_session *session, double ms,
                       bool kept)
{
    if (tuned->count == 0) {
        (void)printf("nothing to measure on %s: all of it is known, or there is no choice\n",
                     session->info.name);
        return;
    }
    (void)printf("device    %s (%s)\n"
                 "measured  %u problems in %.1f s\n"
                 "gained    %u of them: %.3f ms -> %.3f ms of a run in the kernels measured\n",
                 session->info.name, session->info.driver, tuned->count, ms * 1e-3, tuned->gained,
                 tuned->before_ms, tuned->after_ms);
    if (tuned->wrong > 0)
        (void)printf("wrong     %u forms, which are not used here\n", tuned->wrong);
    if (!kept)
        (void)printf("nothing is kept: --no-cache\n");
}

static enum cli_exit print_json(struct tuned *tuned, const struct cli_session *session, double ms,
                                const char *model)
{
    cJSON *json = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(json, "model", model);
    espy_json_add_device(json, &session->info);
    espy_json_add_ms(json, "tuning_ms", ms);
    (void)cJSON_AddNumberToObject(json, "gained", tuned->gained);
    (void)cJSON_AddNumberToObject(json, "wrong", tuned->wrong);
    espy_json_add_ms(json, "before_ms", tuned->before_ms);
    espy_json_add_ms(json, "after_ms", tuned->after_ms);
    (void)cJSON_AddItemToObject(json, "problems", tuned->problems);
    tuned->problems = NULL;
    return espy_json_print(json, CLI_OK);
}

// A session tunes where it plans: at once, or with the shapes of the inputs.
static enum cli_exit tune(struct cli_session *session, const struct cli_inputs *inputs,
                          const struct options *options, struct tuned *tuned, const char *model)
{
    const double start = espy_cli_now_ms();
    enum cli_exit result = espy_cli_open_session(session, &options->common, false);
    if (result == CLI_GO_ON) {
        const espy_status status =
            espy_session_plan(session->session, inputs->tensors, inputs->count, NULL, NULL);
        result = status == ESPY_OK ? CLI_GO_ON : espy_cli_exit_of(status);
    }
    espy_cli_progress_clear();
    if (result != CLI_GO_ON)
        return result;
    const double ms = espy_cli_now_ms() - start;
    if (options->common.json)
        return print_json(tuned, session, ms, model);
    print_text(tuned, session, ms, !options->common.no_cache);
    return CLI_OK;
}

static int run_tune(const struct cli_command *command, int argc, char **argv)
{
    struct options options = {.again = false};
    const char *operands[2] = {0};
    uint32_t operand_count;
    enum cli_exit result = espy_args_parse(command, argc, argv, &options, operands, &operand_count);
    if (result != CLI_GO_ON)
        return result;
    struct cli_session session = {0};
    struct cli_inputs inputs = {0};
    struct cli_message message;
    struct tuned tuned = {.json = options.common.json, .verbose = options.common.verbose};
    const struct cli_inputs_params params = {.files = &options.common.files,
                                             .shapes = &options.common.shapes,
                                             .operand = operands[1],
                                             .random = true,
                                             .seed = options.common.seed};
    options.common.tune = options.again ? ESPY_TUNE_AGAIN : ESPY_TUNE_NEW;
    options.common.tuned = note;
    options.common.tune_user = &tuned;
    if (tuned.json)
        tuned.problems = cJSON_CreateArray();
    result = espy_cli_open_context(&session, &options.common);
    if (result == CLI_GO_ON)
        result = espy_cli_open_model(&session, operands[0]);
    if (result == CLI_GO_ON && !espy_inputs_init(&inputs, session.model, &params, &message))
        result = espy_cli_fail_message(&message);
    if (result == CLI_GO_ON)
        result = tune(&session, &inputs, &options, &tuned, operands[0]);
    cJSON_Delete(tuned.problems);
    espy_inputs_finish(&inputs);
    espy_cli_close(&session);
    return espy_cli_finish_output(result);
}

const struct cli_command espy_command_tune = {
    .name = "tune",
    .summary = "measures which kernels are fastest on this device for a model",
    .arguments = "MODEL.espy [FILE]",
    .details = "Where a kernel has several forms, each is timed on the model's shapes, compared\n"
               "with the reference, and taken where it is right and faster by more than noise.\n"
               "What is decided is kept by device and driver beside the pipeline cache, and every\n"
               "command and program uses it from then on. Times printed are of one use of a\n"
               "kernel, before and after. Let nothing else run meanwhile.\n",
    .options = option_rows,
    .operands_min = 1,
    .operands_max = 2,
    .run = run_tune,
};
