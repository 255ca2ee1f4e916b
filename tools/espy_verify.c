// `espy verify`: every node on the device against the CPU reference, worst error first.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli_json.h"
#include "cli_session.h"
#include "espy_commands.h"

struct options {
    struct cli_common common;
    double tolerance;
    uint32_t top;
    bool all;
};

static const struct cli_option option_rows[] = {
    CLI_COMMON_OPTIONS(struct options, common),
    {"tolerance", 't', CLI_NUMBER, offsetof(struct options, tolerance), "NUMBER",
     "The largest relative L2 error that passes.\nDefault: 1e-4, for float16 2e-3, for bfloat16 "
     "2e-2.",
     0, 1e6},
    {"top", 'k', CLI_COUNT, offsetof(struct options, top), "COUNT",
     "Lines to print; failed ones are always printed.\nDefault: 20.", 0, 1e6},
    {"all", 'a', CLI_FLAG, offsetof(struct options, all), NULL, "Prints every node.", 0, 0},
    {0}};

struct results {
    struct espy_verify_entry *entries;
    uint32_t count, capacity;
    bool failed; // out of memory
};

static void collect(void *user, const struct espy_verify_entry *entry)
{
    struct results *results = user;
    if (results->count == results->capacity) {
        const uint32_t capacity = results->capacity ? results->capacity * 2 : 256;
        struct espy_verify_entry *grown =
            realloc(results->entries, capacity * sizeof *results->entries);
        if (!grown) {
            results->failed = true;
            return;
        }
        results->entries = grown;
        results->capacity = capacity;
    }
    results->entries[results->count++] = *entry;
    espy_cli_progress("%u results compared, at %s", results->count, entry->node);
}

// A NaN is worse than any number.
static double badness(double value)
{
    return isnan(value) ? (double)INFINITY : value;
}

// Failed ones first, then by the error, then by name, so that the order is always the same.
static int compare(const void *left, const void *right)
{
    const struct espy_verify_entry *a = left, *b = right;
    const double error_a = badness(a->relative_l2), error_b = badness(b->relative_l2);
    if (a->passed != b->passed)
        return a->passed ? 1 : -1;
    if (a->on_host != b->on_host)
        return a->on_host ? 1 : -1;
    if ((a->nonfinite_count > 0) != (b->nonfinite_count > 0))
        return a->nonfinite_count ? -1 : 1;
    if (error_a > error_b || error_a < error_b)
        return error_a > error_b ? -1 : 1;
    return strcmp(a->value, b->value);
}

struct summary {
    uint32_t failed, on_host;
    double worst;
};

static struct summary summarise(const struct results *results)
{
    struct summary summary = {0};
    for (uint32_t i = 0; i < results->count; i++) {
        const struct espy_verify_entry *entry = &results->entries[i];
        summary.failed += !entry->passed;
        summary.on_host += entry->on_host;
        if (!entry->on_host && badness(entry->relative_l2) > summary.worst)
            summary.worst = badness(entry->relative_l2);
    }
    return summary;
}

static void print_text(const struct results *results, const struct options *options,
                       const struct cli_session *session)
{
    const struct summary summary = summarise(results);
    uint32_t printed = 0;
    (void)printf("%-6s %12s %12s %10s %12s  %-20s %s\n", "", "relative L2", "max abs", "nonfinite",
                 "elements", "operator", "node");
    for (uint32_t i = 0; i < results->count; i++) {
        const struct espy_verify_entry *entry = &results->entries[i];
        char op[64], node[256];
        if (!options->all && entry->passed && i >= options->top)
            break;
        (void)printf(
            "%-6s %12.3e %12.3e %10llu %12llu  %-20s %s\n",
            !entry->passed   ? "FAIL"
            : entry->on_host ? "host"
                             : "ok",
            entry->relative_l2, entry->absolute_max, (unsigned long long)entry->nonfinite_count,
            (unsigned long long)entry->element_count, espy_cli_clean(entry->op, op, sizeof op),
            espy_cli_clean(entry->node, node, sizeof node));
        printed++;
    }
    if (printed < results->count)
        (void)printf("(%u more passed; --all prints them)\n", results->count - printed);
    (void)printf("%u results on %s: %u failed, %u on the host, worst relative L2 %.3e\n",
                 results->count, session->info.name, summary.failed, summary.on_host,
                 summary.worst);
}

static enum cli_exit print_json(const struct results *results, const struct cli_session *session,
                                enum cli_exit result)
{
    const struct summary summary = summarise(results);
    cJSON *json = cJSON_CreateObject();
    espy_json_add_device(json, &session->info);
    (void)cJSON_AddBoolToObject(json, "passed", summary.failed == 0);
    (void)cJSON_AddNumberToObject(json, "failed", summary.failed);
    (void)cJSON_AddNumberToObject(json, "on_host", summary.on_host);
    espy_json_add_number(json, "worst_relative_l2", summary.worst);
    cJSON *array = cJSON_AddArrayToObject(json, "results");
    for (uint32_t i = 0; i < results->count; i++) {
        const struct espy_verify_entry *entry = &results->entries[i];
        cJSON *row = cJSON_CreateObject();
        (void)cJSON_AddStringToObject(row, "node", entry->node);
        (void)cJSON_AddStringToObject(row, "op", entry->op);
        (void)cJSON_AddStringToObject(row, "value", entry->value);
        (void)cJSON_AddNumberToObject(row, "elements", (double)entry->element_count);
        espy_json_add_number(row, "relative_l2", entry->relative_l2);
        espy_json_add_number(row, "absolute_max", entry->absolute_max);
        (void)cJSON_AddNumberToObject(row, "nonfinite", (double)entry->nonfinite_count);
        (void)cJSON_AddBoolToObject(row, "on_host", entry->on_host);
        (void)cJSON_AddBoolToObject(row, "passed", entry->passed);
        (void)cJSON_AddItemToArray(array, row);
    }
    return espy_json_print(json, result);
}

static enum cli_exit verify(struct cli_session *session, const struct cli_inputs *inputs,
                            const struct options *options)
{
    struct results results = {0};
    espy_cli_progress("running on %s", session->info.name);
    const espy_status status = espy_session_verify(session->session, inputs->tensors, inputs->count,
                                                   options->tolerance, collect, &results);
    espy_cli_progress_clear();
    enum cli_exit result = espy_cli_exit_of(status);
    if (results.failed)
        result = espy_cli_fail("out of memory for the results");
    if (results.count)
        qsort(results.entries, results.count, sizeof *results.entries, compare);
    if (result == CLI_OK || result == CLI_MISMATCH) {
        if (options->common.json)
            result = print_json(&results, session, result);
        else
            print_text(&results, options, session);
    }
    free(results.entries);
    return result;
}

static int run_verify(const struct cli_command *command, int argc, char **argv)
{
    struct options options = {.top = 20};
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
        result = espy_cli_open_session(&session, &options.common, true);
    if (result == CLI_GO_ON)
        result = verify(&session, &inputs, &options);
    espy_inputs_finish(&inputs);
    espy_cli_close(&session);
    return espy_cli_finish_output(result);
}

const struct cli_command espy_command_verify = {
    .name = "verify",
    .summary = "compares every node on the device with the CPU reference",
    .arguments = "MODEL.espy [FILE]",
    .details =
        "Every node gets the inputs that the device made, and its result is compared with what\n"
        "plain C makes of the same inputs; so an error shows at the node where it arises. Inputs\n"
        "that no file gives are random. Exit code 3 says that a node was out of tolerance.\n",
    .options = option_rows,
    .operands_min = 1,
    .operands_max = 2,
    .run = run_verify,
};
