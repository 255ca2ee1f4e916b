// `espy bench`: how long a run takes, and how much device memory it needs.
#include <stdlib.h>

#include "cli_json.h"
#include "cli_session.h"
#include "espy_commands.h"

struct options {
    struct cli_common common;
    uint32_t runs, warm_up;
    double seconds;
};

enum { RUNS_MAX = 1000000, RUNS_MIN_OF_TIMED = 5 };

static const struct cli_option option_rows[] = {
    CLI_COMMON_OPTIONS(struct options, common),
    {"runs", 'n', CLI_COUNT, offsetof(struct options, runs), "COUNT",
     "Runs to measure. Default: as many as fit in --seconds,\nat least 5.", 1, RUNS_MAX},
    {"seconds", 's', CLI_NUMBER, offsetof(struct options, seconds), "NUMBER",
     "Time to measure for. Default: 3.", 0, 86400},
    {"warm-up", 'w', CLI_COUNT, offsetof(struct options, warm_up), "COUNT",
     "Runs before the measured ones, after the first. Default: 3.", 0, RUNS_MAX},
    {0}};

struct measured {
    struct espy_plan_info plan;
    double first_ms; // making the session, planning and the first run together
    double *runs_ms; // ascending once done
    uint32_t count;
};

static int compare_ms(const void *left, const void *right)
{
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

// The value below which the share of the runs lies.
static double quantile(const struct measured *measured, double share)
{
    const double at = share * (measured->count - 1);
    const uint32_t low = (uint32_t)at, high = low + 1 < measured->count ? low + 1 : low;
    return measured->runs_ms[low] + (measured->runs_ms[high] - measured->runs_ms[low]) * (at - low);
}

static enum cli_exit measure(struct cli_session *session, const struct cli_inputs *inputs,
                             struct cli_outputs *outputs, const struct options *options,
                             struct measured *measured)
{
    const uint32_t room = options->runs ? options->runs : RUNS_MAX;
    double ms = 0, shown = 0;
    enum cli_exit result = CLI_GO_ON;
    for (uint32_t i = 0; result == CLI_GO_ON && i < options->warm_up; i++) {
        espy_cli_progress("warming up: %u of %u", i + 1, options->warm_up);
        result = espy_outputs_run(outputs, session, inputs, &ms);
    }
    measured->runs_ms = malloc(room * sizeof *measured->runs_ms);
    if (!measured->runs_ms)
        return espy_cli_fail("out of memory");
    const double start = espy_cli_now_ms();
    while (result == CLI_GO_ON && measured->count < room) {
        const double now = espy_cli_now_ms();
        if (!options->runs && measured->count >= RUNS_MIN_OF_TIMED &&
            now - start > options->seconds * 1e3)
            break;
        // Drawing the line more often would itself take time between runs.
        if (now - shown > 250) {
            espy_cli_progress("run %u", measured->count + 1);
            shown = now;
        }
        result = espy_outputs_run(outputs, session, inputs, &ms);
        measured->runs_ms[measured->count++] = ms;
    }
    espy_cli_progress_clear();
    qsort(measured->runs_ms, measured->count, sizeof *measured->runs_ms, compare_ms);
    return result;
}

static void print_text(const struct measured *measured, const struct cli_session *session,
                       const char *model)
{
    const double mib = 1024 * 1024;
    (void)printf("model        %s\n"
                 "device       %s (%s, %s)\n"
                 "first run    %.1f ms (making the session %.1f ms of it)\n"
                 "runs         %u\n"
                 "median       %.3f ms\n"
                 "min          %.3f ms\n"
                 "p90          %.3f ms\n"
                 "peak memory  %.1f MiB on the device (weights %.1f MiB)\n"
                 "per run      %u dispatches, %u stages, %u nodes on the host%s\n",
                 model, session->info.name, espy_device_type_text(session->info.type),
                 session->info.driver, measured->first_ms, session->create_ms, measured->count,
                 quantile(measured, 0.5), measured->runs_ms[0], quantile(measured, 0.9),
                 (double)measured->plan.memory_size / mib,
                 (double)measured->plan.weights_size / mib, measured->plan.dispatch_count,
                 measured->plan.stage_count, measured->plan.host_node_count,
                 measured->plan.data_dependent ? ", up to where shapes depend on data" : "");
}

static enum cli_exit print_json(const struct measured *measured, const struct cli_session *session,
                                const struct cli_inputs *inputs, const char *model)
{
    cJSON *json = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(json, "model", model);
    espy_json_add_device(json, &session->info);
    cJSON *shapes = cJSON_AddObjectToObject(json, "inputs");
    for (uint32_t i = 0; i < inputs->count; i++) {
        espy_json_add_shape(shapes, inputs->tensors[i].name, inputs->tensors[i].rank,
                            inputs->tensors[i].dims);
    }
    espy_json_add_ms(json, "load_ms", session->load_ms);
    espy_json_add_ms(json, "session_ms", session->create_ms);
    espy_json_add_ms(json, "first_run_ms", measured->first_ms);
    (void)cJSON_AddNumberToObject(json, "runs", measured->count);
    espy_json_add_ms(json, "median_ms", quantile(measured, 0.5));
    espy_json_add_ms(json, "min_ms", measured->runs_ms[0]);
    espy_json_add_ms(json, "p90_ms", quantile(measured, 0.9));
    (void)cJSON_AddNumberToObject(json, "peak_memory_bytes", (double)measured->plan.memory_size);
    (void)cJSON_AddNumberToObject(json, "weights_bytes", (double)measured->plan.weights_size);
    (void)cJSON_AddNumberToObject(json, "dispatches", measured->plan.dispatch_count);
    (void)cJSON_AddNumberToObject(json, "stages", measured->plan.stage_count);
    (void)cJSON_AddNumberToObject(json, "host_nodes", measured->plan.host_node_count);
    (void)cJSON_AddBoolToObject(json, "data_dependent", measured->plan.data_dependent);
    return espy_json_print(json, CLI_OK);
}

static enum cli_exit bench(struct cli_session *session, const struct cli_inputs *inputs,
                           const struct options *options, const char *model)
{
    struct cli_outputs outputs = {0};
    struct measured measured = {0};
    double ms = 0;
    const double start = espy_cli_now_ms();
    enum cli_exit result = espy_outputs_init(&outputs, session, inputs, &measured.plan);
    if (result == CLI_GO_ON) {
        espy_cli_progress("first run");
        result = espy_outputs_run(&outputs, session, inputs, &ms);
        measured.first_ms = session->create_ms + espy_cli_now_ms() - start;
    }
    // Stages after the first are planned when they are reached, so what a run needs is known now.
    if (result == CLI_GO_ON)
        result = espy_cli_exit_of(espy_session_plan(session->session, inputs->tensors,
                                                    inputs->count, &measured.plan, NULL));
    if (result == CLI_OK)
        result = measure(session, inputs, &outputs, options, &measured);
    espy_cli_progress_clear();
    if (result == CLI_GO_ON) {
        result = CLI_OK;
        if (options->common.json)
            result = print_json(&measured, session, inputs, model);
        else
            print_text(&measured, session, model);
    }
    free(measured.runs_ms);
    espy_outputs_finish(&outputs);
    return result;
}

static int run_bench(const struct cli_command *command, int argc, char **argv)
{
    struct options options = {.warm_up = 3, .seconds = 3};
    const char *operands[2] = {0};
    uint32_t operand_count;
    enum cli_exit result = espy_args_parse(command, argc, argv, &options, operands, &operand_count);
    if (result != CLI_GO_ON)
        return result;
    struct cli_session session = {0};
    struct cli_inputs inputs = {0};
    struct cli_message message;
    const struct cli_inputs_params params = {.files = &options.common.files,
                                             .shapes = &options.common.shapes,
                                             .operand = operands[1],
                                             .random = true,
                                             .seed = options.common.seed};
    result = espy_cli_open_context(&session, &options.common);
    if (result == CLI_GO_ON)
        result = espy_cli_open_model(&session, operands[0]);
    if (result == CLI_GO_ON && !espy_inputs_init(&inputs, session.model, &params, &message))
        result = espy_cli_fail_message(&message);
    if (result == CLI_GO_ON)
        result = espy_cli_open_session(&session, &options.common, false);
    if (result == CLI_GO_ON)
        result = bench(&session, &inputs, &options, operands[0]);
    espy_inputs_finish(&inputs);
    espy_cli_close(&session);
    return espy_cli_finish_output(result);
}

const struct cli_command espy_command_bench = {
    .name = "bench",
    .summary = "measures the time of a run and the device memory it takes",
    .arguments = "MODEL.espy [FILE]",
    .details = "Times are wall clock around espy_session_run, so they have the copies of inputs\n"
               "and outputs in them. Inputs that no file gives are random.\n",
    .options = option_rows,
    .operands_min = 1,
    .operands_max = 2,
    .run = run_bench,
};
