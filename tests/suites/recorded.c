#define _POSIX_C_SOURCE 200809L // opendir, mkdir

#include "suites/recorded.h"

#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "convert/convert.h"
#include "suites/detections.h"
#include "suites/suite.h"
#include "suites/weights.h"

enum { TENSORS_MAX = 64, ROWS_MAX = 256 };
#define ROWS_DIR ESPY_BINARY_DIR "/tests/rows"
#define WEIGHTS_DIR ESPY_BINARY_DIR "/tests/weights"

struct recording {
    const struct recorded_model *model;
    struct test_host test;
    struct vk_device *device;
    struct arena arena;
    struct suite_model converted;
    char folder[512];
    double seconds; // the first case, with planning
    struct test_run_info info;
};

static void read_tensors(struct recording *run, const cJSON *list, struct tensor *tensors,
                         const struct graph_io *ios, uint32_t io_count)
{
    const struct graph *graph = &run->converted.graph;
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        char path[1024];
        const char *name = cJSON_GetObjectItem(item, "name")->valuestring;
        uint32_t i = 0;
        while (i < io_count && strcmp(graph->values[ios[i].value].name, name) != 0)
            i++;
        cr_assert(i < io_count, "%s: the converted model has no '%s'", run->folder, name);
        snprintf(path, sizeof(path), "%s/%s", run->folder,
                 cJSON_GetObjectItem(item, "file")->valuestring);
        cr_assert(espy_suite_read_npy(path, &run->arena, &tensors[i]), "%s", path);
    }
}

// The relative L2 that an absolute error of `rounding` in every recorded element amounts to.
static double rounding_l2(const struct tensor *expected, double rounding)
{
    double magnitude = 0;
    for (size_t i = 0; i < expected->count; i++) {
        const double e = espy_tensor_number(expected, i);
        magnitude += e * e;
    }
    return magnitude > 0 ? rounding * sqrt((double)expected->count / magnitude) : 0;
}

static void check_output(const struct recording *run, const char *id, uint32_t o,
                         const struct tensor *actual, const struct tensor *expected)
{
    const struct graph *graph = &run->converted.graph;
    const struct recorded_model *model = run->model;
    const char *name = graph->values[graph->outputs[o].value].name;
    char text[256];
    struct comparison result;
    cr_assert(expected->data != NULL, "%s: nothing is recorded for '%s'", id, name);
    cr_assert(actual->type.dtype == expected->type.dtype && actual->count == expected->count,
              "%s: output '%s' has another type or size", id, name);
    espy_test_compare(actual, expected, &result);
    cr_expect(result.nonfinite == 0 &&
                  result.relative_l2 <= model->tolerance + rounding_l2(expected, model->rounding),
              "%s: '%s': %s", id, name,
              espy_test_difference(actual, expected, &result, text, sizeof(text)));
    printf("%s %s %s: relative L2 %.2g\n", model->name, id, name, result.relative_l2);
}

static void check_info(const struct recording *run, const char *id)
{
    const struct test_run_info *info = &run->info;
    const unsigned segments_max = run->model->segments_max;
    cr_expect(info->host_node_count == 0, "%s: %u nodes run on the host between submits", id,
              info->host_node_count);
    cr_expect(info->segment_count <= (segments_max == 0 ? 1 : segments_max), "%s: %u segments", id,
              info->segment_count);
    cr_expect(info->stage_count == info->segment_count, "%s: %u submits", id, info->stage_count);
    cr_expect(segments_max != 0 || info->between_count == 0, "%s: %u nodes run on the host", id,
              info->between_count);
}

// ---- every value on the way --------------------------------------------------------------------

// ESPY_TEST_EVERY_NODE=1: of all models, which takes the reference minutes.
static bool every_node(const struct recorded_model *model)
{
    const char *all = getenv("ESPY_TEST_EVERY_NODE");
    return model->every_node || (all != NULL && strcmp(all, "1") == 0);
}

static uint32_t value_named(const struct graph *graph, const char *name)
{
    for (uint32_t v = 0; v < graph->value_count; v++)
        if (strcmp(graph->values[v].name, name) == 0)
            return v;
    return GRAPH_NONE;
}

// Values that both graphs name: passes keep the meaning of names.
static void compare_values(const struct recording *run, const struct graph *imported,
                           const struct tensor *actual, const struct tensor *reference)
{
    const struct graph *graph = &run->converted.graph;
    uint32_t compared = 0, made = 0;
    double worst = 0;
    for (uint32_t v = 0; v < graph->value_count; v++) {
        if (actual[v].data == NULL || graph->values[v].data != NULL)
            continue;
        made++;
        const uint32_t r = value_named(imported, graph->values[v].name);
        if (r == GRAPH_NONE || reference[r].data == NULL)
            continue;
        char text[256];
        struct comparison result;
        cr_assert(actual[v].count == reference[r].count, "%s", graph->values[v].name);
        espy_test_compare(&actual[v], &reference[r], &result);
        cr_expect(result.nonfinite == 0 && result.relative_l2 <= run->model->tolerance,
                  "%s: '%s': %s", run->model->name, graph->values[v].name,
                  espy_test_difference(&actual[v], &reference[r], &result, text, sizeof(text)));
        worst = fmax(worst, result.relative_l2);
        compared++;
    }
    printf("%s: %u of the %u values that %u nodes make on the device compared with the reference "
           "of %u nodes as imported, relative L2 at most %.2g\n",
           run->model->name, compared, made, graph->node_count, imported->node_count, worst);
    cr_expect(!run->model->every_node || compared >= graph->node_count - graph->node_count / 20,
              "%s: only %u values of %u nodes have a counterpart", run->model->name, compared,
              graph->node_count);
}

static void check_every_node(struct recording *run, const char *path, const struct tensor *inputs)
{
    const struct host *host = &run->test.host;
    const struct graph *graph = &run->converted.graph;
    const struct convert_params params = {.model_path = path, .keep_nodes = true};
    struct convert_report report;
    struct convert_model *imported = NULL;
    struct arena arena;
    espy_arena_init(&arena, host);
    espy_convert_report_init(&report, host);
    cr_assert(espy_convert_graph(host, &params, &report, &imported) == ESPY_OK, "%s",
              run->test.last_error);
    const struct graph *plain = espy_convert_model_graph(imported);
    struct tensor *actual = espy_arena_array(&arena, graph->value_count, sizeof(*actual));
    struct tensor *reference = espy_arena_array(&arena, plain->value_count, sizeof(*reference));
    cr_assert(actual != NULL && reference != NULL);
    cr_assert(espy_test_reference_values(host, plain, inputs, &arena, reference) == ESPY_OK &&
                  espy_test_run_values(host, run->device, graph, inputs, &arena, actual) == ESPY_OK,
              "%s", run->test.last_error);
    compare_values(run, plain, actual, reference);
    espy_convert_model_destroy(&imported);
    espy_convert_report_finish(&report);
    espy_arena_finish(&arena);
}

// ---- cases -------------------------------------------------------------------------------------

static void run_case(struct recording *run, const cJSON *item, const char *path)
{
    const struct graph *graph = &run->converted.graph;
    const char *id = cJSON_GetObjectItem(item, "id")->valuestring;
    struct tensor inputs[TENSORS_MAX] = {0}, expected[TENSORS_MAX] = {0}, actual[TENSORS_MAX] = {0};
    struct timespec start, end;
    cr_assert(graph->input_count <= TENSORS_MAX && graph->output_count <= TENSORS_MAX);
    read_tensors(run, cJSON_GetObjectItem(item, "inputs"), inputs, graph->inputs,
                 graph->input_count);
    read_tensors(run, cJSON_GetObjectItem(item, "outputs"), expected, graph->outputs,
                 graph->output_count);
    timespec_get(&start, TIME_UTC);
    cr_assert(espy_test_run(&run->test.host, run->device, graph, inputs, &run->arena, actual,
                            &run->info) == ESPY_OK,
              "%s: %s", id, run->test.last_error);
    timespec_get(&end, TIME_UTC);
    run->seconds =
        (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec);
    if (run->model->detections) {
        const struct detections found = espy_suite_detections_of(graph, actual);
        const struct detections wanted = espy_suite_detections_of(graph, expected);
        espy_suite_check_detections(id, &found, &wanted);
    }
    for (uint32_t o = 0; !run->model->detections && o < graph->output_count; o++)
        check_output(run, id, o, &actual[o], &expected[o]);
    check_info(run, id);
    if (every_node(run->model))
        check_every_node(run, path, inputs);
}

static void run_cases(struct recording *run, const char *path)
{
    char json_path[1024];
    snprintf(json_path, sizeof(json_path), "%s/io.json", run->folder);
    cJSON *json = cJSON_Parse(espy_suite_read_text(json_path, &run->arena));
    const cJSON *item, *cases = cJSON_GetObjectItem(json, "cases");
    cr_expect(cJSON_GetArraySize(cases) > 0, "%s: no cases", run->model->name);
    cJSON_ArrayForEach(item, cases) run_case(run, item, path);
    cJSON_Delete(json);
}

// Where the model lies that is to be converted: in ../shared, or with its weights in the build.
static void find_model(struct recording *run, char *made, size_t made_size, char *path,
                       size_t path_size)
{
    const struct recorded_model *model = run->model;
    char error[1200];
    snprintf(made, made_size, WEIGHTS_DIR "/%s", model->name);
    snprintf(path, path_size, "%s/model.onnx", model->generated_weights ? made : run->folder);
    if (!model->generated_weights)
        return;
    mkdir(WEIGHTS_DIR, 0777); // fails where it is there
    const bool ready =
        espy_suite_make_weights(run->folder, made, &run->arena, error, sizeof(error));
    if (!ready)
        espy_suite_remove_weights(made);
    cr_assert(ready, "%s: %s", model->name, error);
}

static void write_row(const struct recording *run)
{
    char path[1024];
    mkdir(ROWS_DIR, 0777); // fails where it is there
    snprintf(path, sizeof(path), ROWS_DIR "/%s-%s", run->model->suite, run->model->name);
    FILE *stream = fopen(path, "w");
    cr_assert(stream != NULL, "%s cannot be written", path);
    fprintf(stream, "| %s | %u | %u | %u | %u | %u | %u | %.1f |\n", run->model->name,
            run->converted.graph.node_count, run->info.dispatch_count, run->info.segment_count,
            run->info.stage_count, run->info.host_node_count, run->info.between_count,
            run->seconds);
    fclose(stream);
}

void espy_suite_run_recorded(const struct recorded_model *model)
{
    const char *shared = espy_suite_shared();
    if (shared == NULL)
        cr_skip_test("../shared is not there");
    char made[1024], path[1024 + 16];
    struct recording run = {.model = model};
    snprintf(run.folder, sizeof(run.folder), "%s/%s/%s", shared, model->suite, model->name);
    espy_test_host_init(&run.test);
    espy_arena_init(&run.arena, &run.test.host);
    cr_assert(espy_test_open_device(&run.test.host, false, &run.device) == ESPY_OK, "%s",
              run.test.last_error);
    find_model(&run, made, sizeof(made), path, sizeof(path));
    const espy_status status = espy_suite_convert(&run.test.host, path, &run.converted);
    if (model->generated_weights && (status != ESPY_OK || !every_node(model)))
        espy_suite_remove_weights(made); // the converted model has them now
    cr_assert(status == ESPY_OK, "%s: %s", model->name, run.test.last_error);
    run_cases(&run, path);
    write_row(&run);
    if (model->generated_weights)
        espy_suite_remove_weights(made);
    cr_expect(espy_vk_device_validation_count(run.device) == 0,
              "%s: the validation layer has complained: %s", model->name, run.test.last_error);
    espy_suite_model_finish(&run.converted);
    espy_vk_device_destroy(&run.device);
    espy_arena_finish(&run.arena);
    cr_expect(run.test.live_count == 0, "%zu allocations are not freed", run.test.live_count);
}

// ---- the table ---------------------------------------------------------------------------------

static int compare_names(const void *left, const void *right)
{
    return strcmp(left, right);
}

// Names of the suite's rows, sorted.
static size_t list_rows(const char *suite, char names[ROWS_MAX][256])
{
    size_t count = 0;
    DIR *folder = opendir(ROWS_DIR);
    if (folder == NULL)
        return 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL && count < ROWS_MAX;)
        if (strncmp(entry->d_name, suite, strlen(suite)) == 0 &&
            entry->d_name[strlen(suite)] == '-')
            snprintf(names[count++], sizeof(names[0]), "%s", entry->d_name);
    closedir(folder);
    qsort(names, count, sizeof(names[0]), compare_names);
    return count;
}

void espy_suite_clear_rows(const char *suite)
{
    static char names[ROWS_MAX][256];
    const size_t count = list_rows(suite, names);
    for (size_t i = 0; i < count; i++) {
        char path[1024];
        snprintf(path, sizeof(path), ROWS_DIR "/%s", names[i]);
        remove(path);
    }
}

void espy_suite_print_rows(const char *suite)
{
    static char names[ROWS_MAX][256];
    const size_t count = list_rows(suite, names);
    printf("| %s | nodes | dispatches | segments | submits | on the host | between segments | s |\n"
           "|---|---|---|---|---|---|---|---|\n",
           suite);
    for (size_t i = 0; i < count; i++) {
        char path[1024], line[512];
        snprintf(path, sizeof(path), ROWS_DIR "/%s", names[i]);
        FILE *stream = fopen(path, "r");
        if (stream != NULL && fgets(line, sizeof(line), stream) != NULL)
            fputs(line, stdout);
        if (stream != NULL)
            fclose(stream);
    }
}
