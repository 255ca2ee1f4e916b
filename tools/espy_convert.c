#define _POSIX_C_SOURCE 200809L

// `espy convert`: ONNX, or JSON with safetensors, to .espy.
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli_json.h"
#include "cli_session.h"
#include "convert/convert.h"
#include "espy_commands.h"
#include "presets_help.h"

struct options {
    const char *output, *recipe, *labels, *name, *weights, *size;
    struct cli_list shapes, presets, outputs;
    bool pixels, keep_nodes, json, verbose;
};

static const struct cli_option option_rows[] = {
    {"output", 'o', CLI_TEXT, offsetof(struct options, output), "FILE",
     "The file to write. Default: the model's path with .espy\nin place of .onnx or .json.", 0, 0},
    {"preset", 'p', CLI_LIST, offsetof(struct options, presets), "NAME",
     "How pictures go in and what comes out, for networks of a kind;\nsee below. Several apply one "
     "after another.",
     0, 0},
    {"recipe", 'r', CLI_TEXT, offsetof(struct options, recipe), "FILE",
     "The same as JSON of your own: docs/recipes.md.", 0, 0},
    {"labels", 'l', CLI_TEXT, offsetof(struct options, labels), "FILE",
     "Names of the classes, one a line, or a list in JSON (.json).", 0, 0},
    {"only", 0, CLI_LIST, offsetof(struct options, outputs), "OUTPUT",
     "Keeps this output and no other; may be given several times.", 0, 0},
    {"name", 0, CLI_TEXT, offsetof(struct options, name), "TEXT",
     "Name of the network. Default: the one in the model.", 0, 0},
    {"shape", 0, CLI_SHAPES, offsetof(struct options, shapes), "NAME=1x3x64x64",
     "Fixes the symbolic dimensions of an input.", 0, 0},
    {"size", 0, CLI_TEXT, offsetof(struct options, size), "HEIGHTxWIDTH",
     "Size of the picture that the network sees, in place of its\nown, where it can do with "
     "others.",
     0, 0},
    {"pixels", 0, CLI_FLAG, offsetof(struct options, pixels), NULL,
     "Preprocesses on the device: the picture input takes bytes,\n[1, height, width, 3], of any "
     "size.",
     0, 0},
    {"weights", 0, CLI_TEXT, offsetof(struct options, weights), "fp16|bf16",
     "Stores weights of convolutions and matrix products in 16\nbits, rounded. Those that lose "
     "nothing by it always are.",
     0, 0},
    {"keep-nodes", 0, CLI_FLAG, offsetof(struct options, keep_nodes), NULL,
     "Imports only: folds nothing and fuses nothing.", 0, 0},
    {"json", 0, CLI_FLAG, offsetof(struct options, json), NULL,
     "Prints one JSON object instead of text.", 0, 0},
    {"verbose", 'v', CLI_FLAG, offsetof(struct options, verbose), NULL,
     "Prints the converter's notes too.", 0, 0},
    {0}};

// "folder/model.onnx" to "folder/model.espy". malloc; NULL: out of memory.
static char *default_output(const char *model)
{
    const char *slash = strrchr(model, '/'), *dot = strrchr(model, '.');
    const size_t length =
        dot && dot > (slash ? slash + 1 : model) ? (size_t)(dot - model) : strlen(model);
    char *path = malloc(length + sizeof ".espy");
    if (path) {
        memcpy(path, model, length);
        memcpy(path + length, ".espy", sizeof ".espy");
    }
    return path;
}

static bool parse_weights(const char *text, espy_dtype *dtype)
{
    *dtype = !strcmp(text, "fp16")   ? ESPY_FLOAT16
             : !strcmp(text, "bf16") ? ESPY_BFLOAT16
                                     : ESPY_DTYPE_NONE;
    return *dtype != ESPY_DTYPE_NONE;
}

static bool parse_size(const char *text, struct convert_params *params)
{
    char *end;
    const unsigned long height = strtoul(text, &end, 10);
    if (*text < '1' || *text > '9' || height > GRAPH_PICTURE_MAX || *end != 'x' || end[1] < '1' ||
        end[1] > '9')
        return false;
    const unsigned long width = strtoul(end + 1, &end, 10);
    params->picture_height = (uint32_t)height;
    params->picture_width = (uint32_t)width;
    return *end == '\0' && width <= GRAPH_PICTURE_MAX;
}

// What the passes did, by name; both printers go through it.
struct count_row {
    const char *text, *key;
    uint32_t count;
};
enum { COUNT_ROWS = 9 };

static void count_rows(const struct convert_report *report, struct count_row rows[COUNT_ROWS])
{
    const struct pass_counts *counts = &report->counts;
    const struct count_row filled[COUNT_ROWS] = {
        {"constants folded", "constants_folded", counts->folded},
        {"identities removed", "identities_removed", counts->identities},
        {"duplicates removed", "duplicates_removed", counts->duplicates},
        {"normalisations folded", "norms_folded", counts->norms},
        {"patterns fused", "patterns_fused", counts->patterns},
        {"activations fused", "activations_fused", counts->activations},
        {"bodies written out", "bodies_written_out", counts->bodies},
        {"weights in 16 bits", "weights_narrowed", counts->narrowed},
        {"dead nodes removed", "dead_removed", counts->dead}};
    memcpy(rows, filled, sizeof filled);
}

static void print_text(const struct convert_report *report, const char *output, double ms)
{
    struct count_row rows[COUNT_ROWS];
    char path[1024];
    count_rows(report, rows);
    (void)printf("%s: %u nodes, %u before", espy_cli_clean(output, path, sizeof path),
                 report->nodes_after, report->nodes_before);
    if (report->opset)
        (void)printf(", opset %lld", (long long)report->opset);
    (void)printf(", %.0f ms\n", ms);
    for (unsigned i = 0; i < COUNT_ROWS; i++) {
        if (rows[i].count)
            (void)printf("  %-22s %u\n", rows[i].text, rows[i].count);
    }
}

static enum cli_exit print_json(const struct convert_report *report, const char *output, double ms,
                                enum cli_exit result)
{
    struct count_row rows[COUNT_ROWS];
    cJSON *json = cJSON_CreateObject();
    count_rows(report, rows);
    if (result == CLI_OK)
        (void)cJSON_AddStringToObject(json, "output", output);
    (void)cJSON_AddNumberToObject(json, "opset", (double)report->opset);
    (void)cJSON_AddNumberToObject(json, "nodes_before", report->nodes_before);
    (void)cJSON_AddNumberToObject(json, "nodes_after", report->nodes_after);
    for (unsigned i = 0; i < COUNT_ROWS; i++)
        (void)cJSON_AddNumberToObject(json, rows[i].key, rows[i].count);
    espy_json_add_ms(json, "convert_ms", ms);
    cJSON *problems = cJSON_AddArrayToObject(json, "problems");
    for (uint32_t i = 0; i < report->problem_count; i++) {
        cJSON *problem = cJSON_CreateObject();
        (void)cJSON_AddStringToObject(problem, "node", report->problems[i].node);
        (void)cJSON_AddStringToObject(problem, "op", report->problems[i].op);
        (void)cJSON_AddStringToObject(problem, "reason", report->problems[i].reason);
        (void)cJSON_AddItemToArray(problems, problem);
    }
    return espy_json_print(json, result);
}

// Problems of one kind on one line: a network of five hundred nodes may lack three operators.
static void print_problems(const struct convert_report *report)
{
    char op[128], reason[512], node[256];
    for (uint32_t i = 0; i < report->problem_count; i++) {
        const struct convert_problem *problem = &report->problems[i];
        uint32_t before = 0, count = 0;
        for (uint32_t k = 0; k < report->problem_count; k++) {
            const bool same = !strcmp(report->problems[k].op, problem->op) &&
                              !strcmp(report->problems[k].reason, problem->reason);
            before += same && k < i;
            count += same;
        }
        if (before)
            continue;
        espy_cli_warn("%s: %s (%u node%s, first '%s')", espy_cli_clean(problem->op, op, sizeof op),
                      espy_cli_clean(problem->reason, reason, sizeof reason), count,
                      count > 1 ? "s" : "", espy_cli_clean(problem->node, node, sizeof node));
    }
}

// Warnings wait until it is known whether they are the problems of the report, which are then
// printed by kind.
struct held_warnings {
    bool now; // --verbose: nothing waits
    char *lines;
    size_t size;
};

static void hold_warning(void *user, espy_log_level level, const char *message)
{
    struct held_warnings *held = user;
    const size_t length = strlen(message) + 1;
    char *grown =
        held->now || level != ESPY_LOG_WARNING ? NULL : realloc(held->lines, held->size + length);
    if (!grown) {
        espy_cli_log(NULL, level, message);
        return;
    }
    memcpy(grown + held->size, message, length);
    held->lines = grown;
    held->size += length;
}

static void release_warnings(struct held_warnings *held, const struct convert_report *report)
{
    if (report->problem_count && !held->now)
        print_problems(report);
    for (size_t at = 0; !report->problem_count && at < held->size;
         at += strlen(held->lines + at) + 1)
        espy_cli_log(NULL, ESPY_LOG_WARNING, held->lines + at);
}

static espy_status parse_shapes(struct arena *arena, const struct cli_list *list,
                                struct convert_params *params)
{
    struct convert_shape *shapes = espy_arena_array(arena, list->count, sizeof *shapes);
    if (!shapes)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < list->count; i++)
        TRY(espy_convert_parse_shape(arena, list->items[i], &shapes[i]));
    params->shapes = shapes;
    params->shape_count = list->count;
    return ESPY_OK;
}

static enum cli_exit convert(const struct options *options, const char *model, const char *weights,
                             const char *output)
{
    struct host host;
    struct convert_report report;
    struct arena arena;
    struct held_warnings held = {.now = options->verbose};
    const struct espy_context_params context = {.size = sizeof context,
                                                .log = hold_warning,
                                                .log_user = &held,
                                                .log_level = options->verbose ? ESPY_LOG_DEBUG
                                                                              : ESPY_LOG_WARNING};
    struct convert_params params = {.model_path = model,
                                    .weights_path = weights,
                                    .output_path = output,
                                    .outputs = options->outputs.items,
                                    .output_count = options->outputs.count,
                                    .presets = options->presets.items,
                                    .preset_count = options->presets.count,
                                    .recipe_path = options->recipe,
                                    .labels_path = options->labels,
                                    .name = options->name,
                                    .pixels = options->pixels,
                                    .keep_nodes = options->keep_nodes};
    if (options->weights && !parse_weights(options->weights, &params.weights))
        return espy_cli_usage("convert", "--weights takes fp16 or bf16, not '%s'",
                              options->weights);
    if (options->size && !parse_size(options->size, &params))
        return espy_cli_usage("convert", "--size takes HEIGHTxWIDTH, not '%s'", options->size);
    espy_host_init(&host, &context);
    espy_arena_init(&arena, &host);
    espy_convert_report_init(&report, &host);
    const double start = espy_cli_now_ms();
    espy_status status = parse_shapes(&arena, &options->shapes, &params);
    // A shape that cannot be read is the command line's fault.
    enum cli_exit result = status == ESPY_INVALID_ARGUMENT ? CLI_USAGE : espy_cli_exit_of(status);
    if (status == ESPY_OK) {
        espy_cli_progress("converting %s", model);
        status = espy_convert_file(&host, &params, &report);
        espy_cli_progress_clear();
        release_warnings(&held, &report);
        result = espy_cli_exit_of(status);
        const double ms = espy_cli_now_ms() - start;
        if (options->json)
            result = print_json(&report, output, ms, result);
        else if (result == CLI_OK)
            print_text(&report, output, ms);
    }
    free(held.lines);
    espy_convert_report_finish(&report);
    espy_arena_finish(&arena);
    return result;
}

static bool is_same_file(const char *a, const char *b)
{
    struct stat one, other;
    return stat(a, &one) == 0 && stat(b, &other) == 0 && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
}

static bool has_ending(const char *path, const char *ending)
{
    const size_t length = strlen(path), end = strlen(ending);
    return length >= end && !strcmp(path + length - end, ending);
}

// What of the command line is wrong whatever the files hold.
static enum cli_exit check_paths(const struct cli_command *command, const struct options *options,
                                 const char *const operands[2], const char *output)
{
    const char *const sources[] = {operands[0], operands[1], options->recipe, options->labels};
    if (!*output)
        return espy_cli_usage(command->name, "--output needs FILE");
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        if (sources[i] && (!strcmp(output, sources[i]) || is_same_file(output, sources[i]))) {
            return espy_cli_usage(command->name, "%s would be written over itself; use --output",
                                  sources[i]);
        }
    }
    if (operands[1] && !has_ending(operands[0], ".json")) {
        return espy_cli_usage(command->name, "%s has its weights in itself; what is '%s' for?",
                              operands[0], operands[1]);
    }
    return CLI_GO_ON;
}

static int run_convert(const struct cli_command *command, int argc, char **argv)
{
    struct options options = {0};
    const char *operands[2] = {0};
    uint32_t operand_count;
    enum cli_exit result = espy_args_parse(command, argc, argv, &options, operands, &operand_count);
    if (result != CLI_GO_ON)
        return result;
    char *made = options.output ? NULL : default_output(operands[0]);
    const char *output = options.output ? options.output : made;
    if (!output)
        return espy_cli_fail("out of memory");
    result = check_paths(command, &options, operands, output);
    if (result == CLI_GO_ON)
        result = convert(&options, operands[0], operands[1], output);
    free(made);
    return espy_cli_finish_output(result);
}

const struct cli_command espy_command_convert = {
    .name = "convert",
    .summary = "makes an .espy file of ONNX, or of JSON with safetensors",
    .arguments = "MODEL [WEIGHTS.safetensors]",
    .details = "MODEL ends in .onnx, or in .json for the hand-written form, whose tensors are in "
               "WEIGHTS.\n"
               "Nothing is written unless the whole model can be converted; everything that stands "
               "in the\n"
               "way is listed at once.\n\nPresets:\n" PRESETS_HELP,
    .options = option_rows,
    .operands_min = 1,
    .operands_max = 2,
    .run = run_convert,
};
