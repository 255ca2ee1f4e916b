// `espy run`: one run of a model, and what came out.
#include <stdlib.h>
#include <string.h>

#include "cli_detections.h"
#include "cli_drawing.h"
#include "cli_json.h"
#include "cli_listing.h"
#include "espy_commands.h"
#include "npy.h"

struct options {
    struct cli_common common;
    struct cli_list outputs;
    const char *save_dir, *range;
    double threshold;
    uint32_t top;
};

enum { TOP_MAX = 1000 };

static const struct cli_option option_rows[] = {
    CLI_COMMON_OPTIONS(struct options, common),
    {"output", 'o', CLI_LIST, offsetof(struct options, outputs), "[NAME=]FILE",
     "Writes one output: drawn by its role where FILE ends in\n.png, else as .npy. NAME= may be "
     "left "
     "out where only one\ncan be meant.",
     0, 0},
    {"save-dir", 0, CLI_TEXT, offsetof(struct options, save_dir), "DIR",
     "Writes every output as DIR/NAME.npy, with '/' and ':' in\nnames as '_'.", 0, 0},
    {"threshold", 't', CLI_NUMBER, offsetof(struct options, threshold), "SCORE",
     "Found objects that score less are not shown.\nDefault: what the file says.", 0, 1},
    {"range", 0, CLI_TEXT, offsetof(struct options, range), "LOW,HIGH",
     "The values of a picture or of depth that are black and white,\nor the ends of the colours. "
     "Default: found from the file\nand "
     "the values.",
     0, 0},
    {"top", 'k', CLI_COUNT, offsetof(struct options, top), "COUNT", "Classes to print. Default: 5.",
     1, TOP_MAX},
    {0}};

// A file that an output went to.
struct written {
    uint32_t output;
    const char *file;
};

// One run and everything that presenting it needs.
struct work {
    const struct options *options;
    const char *model;
    struct cli_session session;
    struct cli_inputs inputs;
    struct cli_outputs outputs;
    struct cli_drawing_params drawing;
    struct cli_listing listing;
    double run_ms;
    struct espy_plan_info plan;
    char **paths; // per output: the path made for it, freed at the end
    uint32_t written_count;
    struct written *written; // room for every output and every option once
};

// The output that a FILE without a name means: the only one, or the only one that is a result to
// draw, or else the only one that explains one.
static uint32_t only_output(const struct cli_outputs *outputs, bool drawn)
{
    uint32_t found[3] = {0}, counts[3] = {0};
    for (uint32_t i = 0; i < outputs->count; i++) {
        const enum cli_drawing drawing = espy_drawing_of(outputs, i);
        found[drawing] = i;
        counts[drawing]++;
    }
    if (outputs->count == 1)
        return 0;
    if (counts[DRAWING_RESULT] > 1)
        return outputs->count;
    if (counts[DRAWING_RESULT]) {
        struct cli_group group; // several outputs, of which a drawing shows all
        const bool single = drawn || !espy_group_of(outputs, found[DRAWING_RESULT], &group);
        return single ? found[DRAWING_RESULT] : outputs->count;
    }
    return drawn && counts[DRAWING_EXPLANATION] == 1 ? found[DRAWING_EXPLANATION] : outputs->count;
}

static bool ends_in(const char *text, const char *end)
{
    const size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && !strcmp(text + length - end_length, end);
}

static bool is_png(const char *file)
{
    return ends_in(file, ".png") || ends_in(file, ".PNG");
}

// The output that "[NAME=]FILE" means.
static bool pick_output(const struct work *work, const char *text, uint32_t *index,
                        const char **file, struct cli_message *message)
{
    const struct cli_outputs *outputs = &work->outputs;
    char names[400] = "";
    size_t at = 0;
    for (uint32_t i = 0; i < outputs->count; i++) {
        const char *name = outputs->infos[i].name;
        const size_t length = strlen(name);
        if (!strncmp(text, name, length) && text[length] == '=') {
            *index = i;
            *file = text + length + 1;
            return true;
        }
        if (at < sizeof names)
            at += (size_t)snprintf(names + at, sizeof names - at, "%s'%s'", i ? ", " : "", name);
    }
    *index = only_output(outputs, is_png(text));
    *file = text;
    return *index < outputs->count ||
           espy_message_set(message, "--output %s: which output? Use NAME=FILE with one of %s",
                            text, names);
}

static void note_file(struct work *work, uint32_t output, const char *file)
{
    work->written[work->written_count++] = (struct written){output, file};
}

// The output's next file after *at, which starts at 0; NULL when there is none.
static const char *next_file(const struct work *work, uint32_t output, uint32_t *at)
{
    while (*at < work->written_count && work->written[*at].output != output)
        ++*at;
    return *at < work->written_count ? work->written[(*at)++].file : NULL;
}

static bool write_output(struct work *work, const char *text, struct cli_message *message)
{
    uint32_t i;
    const char *file;
    struct picture picture;
    if (!pick_output(work, text, &i, &file, message))
        return false;
    note_file(work, i, file);
    if (!is_png(file))
        return espy_npy_write(file, &work->outputs.tensors[i], message);
    if (!espy_drawing_make(&work->outputs, i, &work->inputs, &work->drawing, &picture, message))
        return false;
    const bool ok = espy_picture_write_png(file, &picture, message);
    espy_picture_free(&picture);
    return ok;
}

// Every output, or with only_plain those that are not told in words.
static bool write_all(struct work *work, const char *dir, bool only_plain,
                      struct cli_message *message)
{
    for (uint32_t i = 0; i < work->outputs.count; i++) {
        if (only_plain && espy_listing_tells(&work->listing, i))
            continue;
        work->paths[i] = espy_result_path(dir, work->outputs.infos[i].name);
        if (!work->paths[i])
            return espy_message_set(message, "out of memory");
        for (uint32_t k = 0; k < i; k++) {
            if (work->paths[k] && !strcmp(work->paths[k], work->paths[i])) {
                return espy_message_set(message,
                                        "outputs '%s' and '%s' would both be %s; write them with "
                                        "--output NAME=FILE",
                                        work->outputs.infos[k].name, work->outputs.infos[i].name,
                                        work->paths[i]);
            }
        }
    }
    for (uint32_t i = 0; i < work->outputs.count; i++) {
        if (!work->paths[i])
            continue;
        note_file(work, i, work->paths[i]);
        if (!espy_npy_write(work->paths[i], &work->outputs.tensors[i], message))
            return false;
    }
    return true;
}

static bool write_files(struct work *work, struct cli_message *message)
{
    const struct options *options = work->options;
    bool told = false, ok = true;
    for (uint32_t i = 0; i < work->outputs.count; i++)
        told = told || espy_listing_tells(&work->listing, i);
    if (options->save_dir)
        ok = espy_file_make_dir(options->save_dir, message) &&
             write_all(work, options->save_dir, false, message);
    else if (!told && !options->outputs.count)
        ok = write_all(work, NULL, true, message);
    for (uint32_t i = 0; ok && i < options->outputs.count; i++)
        ok = write_output(work, options->outputs.items[i], message);
    return ok;
}

// ---- what is printed ----------------------------------------------------------------------------

static bool print_text(const struct work *work, struct cli_message *message)
{
    char shape[128], name[256], file[512];
    bool ok = true;
    for (uint32_t i = 0; ok && i < work->outputs.count; i++) {
        const struct espy_tensor *tensor = &work->outputs.tensors[i];
        uint32_t at = 0;
        const char *next = next_file(work, i, &at);
        ok = espy_listing_print(&work->listing, i, NULL, message);
        if (!ok || (!next && espy_listing_tells(&work->listing, i)))
            continue;
        (void)printf("%s %s %s", espy_cli_clean(work->outputs.infos[i].name, name, sizeof name),
                     espy_shape_print(tensor->rank, tensor->dims, shape, sizeof shape),
                     espy_dtype_name(tensor->dtype));
        for (const char *sign = " -> "; next; sign = ", ", next = next_file(work, i, &at))
            (void)printf("%s%s", sign, espy_cli_clean(next, file, sizeof file));
        (void)putchar('\n');
    }
    if (ok)
        (void)printf("first run %.2f ms on %s\n", work->run_ms,
                     espy_cli_clean(work->session.info.name, name, sizeof name));
    return ok;
}

static bool add_output(const struct work *work, uint32_t i, cJSON *array,
                       struct cli_message *message)
{
    const struct espy_value_info *info = &work->outputs.infos[i];
    const struct espy_tensor *tensor = &work->outputs.tensors[i];
    cJSON *entry = cJSON_CreateObject();
    (void)cJSON_AddStringToObject(entry, "name", info->name);
    (void)cJSON_AddStringToObject(entry, "dtype", espy_dtype_name(tensor->dtype));
    espy_json_add_shape(entry, "shape", tensor->rank, tensor->dims);
    if (info->role)
        (void)cJSON_AddStringToObject(entry, "role", info->role);
    const bool ok = espy_listing_print(&work->listing, i, entry, message);
    cJSON *files = cJSON_AddArrayToObject(entry, "files");
    uint32_t at = 0;
    for (const char *file; (file = next_file(work, i, &at)) != NULL;)
        (void)cJSON_AddItemToArray(files, cJSON_CreateString(file));
    (void)cJSON_AddItemToArray(array, entry);
    return ok;
}

static bool print_json(const struct work *work, enum cli_exit *result, struct cli_message *message)
{
    cJSON *json = cJSON_CreateObject();
    bool ok = true;
    (void)cJSON_AddStringToObject(json, "model", work->model);
    espy_json_add_device(json, &work->session.info);
    espy_json_add_ms(json, "load_ms", work->session.load_ms);
    espy_json_add_ms(json, "session_ms", work->session.create_ms);
    espy_json_add_ms(json, "run_ms", work->run_ms);
    (void)cJSON_AddNumberToObject(json, "peak_memory_bytes", (double)work->plan.memory_size);
    cJSON *array = cJSON_AddArrayToObject(json, "outputs");
    for (uint32_t i = 0; ok && i < work->outputs.count; i++)
        ok = add_output(work, i, array, message);
    if (ok)
        *result = espy_json_print(json, *result);
    else
        cJSON_Delete(json);
    return ok;
}

static enum cli_exit present(struct work *work)
{
    struct cli_message message;
    enum cli_exit result = CLI_OK;
    const struct options *options = work->options;
    const size_t room = work->outputs.count ? work->outputs.count : 1;
    work->listing =
        (struct cli_listing){&work->outputs, &work->inputs, options->top, options->threshold};
    work->drawing.threshold = options->threshold;
    work->written = calloc(room + options->outputs.count, sizeof *work->written);
    work->paths = calloc(room, sizeof *work->paths);
    const bool ok = work->written && work->paths
                        ? write_files(work, &message) &&
                              (options->common.json ? print_json(work, &result, &message)
                                                    : print_text(work, &message))
                        : espy_message_set(&message, "out of memory");
    if (!ok)
        result = espy_cli_fail_message(&message);
    for (uint32_t i = 0; work->paths && i < work->outputs.count; i++)
        free(work->paths[i]);
    free(work->paths);
    free(work->written);
    return result;
}

static enum cli_exit run_model(struct work *work, const char *file)
{
    struct cli_message message;
    const struct cli_common *common = &work->options->common;
    const struct cli_inputs_params params = {
        .files = &common->files, .shapes = &common->shapes, .operand = file, .seed = common->seed};
    enum cli_exit result = espy_cli_open_context(&work->session, common);
    if (result == CLI_GO_ON)
        result = espy_cli_open_model(&work->session, work->model);
    if (result == CLI_GO_ON &&
        !espy_inputs_init(&work->inputs, work->session.model, &params, &message))
        result = espy_cli_fail_message(&message);
    if (result == CLI_GO_ON)
        result = espy_cli_open_session(&work->session, common, false);
    if (result == CLI_GO_ON)
        result = espy_outputs_init(&work->outputs, &work->session, &work->inputs, &work->plan);
    if (result == CLI_GO_ON) {
        const double mib = (double)work->plan.memory_size / (1 << 20);
        if (common->verbose || common->memory)
            (void)fprintf(stderr, "espy: a run takes %.1f MiB of device memory\n", mib);
        espy_cli_progress("running on %s in %.1f MiB", work->session.info.name, mib);
        result = espy_outputs_run(&work->outputs, &work->session, &work->inputs, &work->run_ms);
        espy_cli_progress_clear();
    }
    return result == CLI_GO_ON ? present(work) : result;
}

static bool parse_range(const char *text, struct cli_range *range)
{
    char *end = NULL;
    range->low = strtod(text, &end);
    if (end == text || *end != ',')
        return false;
    text = end + 1;
    range->high = strtod(text, &end);
    range->given = end != text && !*end && range->high - range->low > 0;
    return range->given;
}

static int run_run(const struct cli_command *command, int argc, char **argv)
{
    struct options options = {.top = 5, .threshold = -1};
    const char *operands[2] = {0};
    uint32_t operand_count;
    enum cli_exit result = espy_args_parse(command, argc, argv, &options, operands, &operand_count);
    if (result != CLI_GO_ON)
        return result;
    struct work work = {.options = &options, .model = operands[0]};
    if (options.range && !parse_range(options.range, &work.drawing.range)) {
        return espy_cli_usage(command->name, "--range takes LOW,HIGH such as 0,255, not '%s'",
                              options.range);
    }
    result = run_model(&work, operands[1]);
    espy_outputs_finish(&work.outputs);
    espy_inputs_finish(&work.inputs);
    espy_cli_close(&work.session);
    return espy_cli_finish_output(result);
}

const struct cli_command espy_command_run = {
    .name = "run",
    .summary = "runs a model on pictures, values, .npy or raw input",
    .arguments = "MODEL.espy [FILE]",
    .details =
        "FILE is for the model's only input, or its only one with the role \"image\". Files are\n"
        "told apart by their content. Labels, found objects and what a mask shows are printed;\n"
        "without any of these, outputs are written as ./NAME.npy unless an option says where.\n",
    .options = option_rows,
    .operands_min = 1,
    .operands_max = 2,
    .run = run_run,
};
