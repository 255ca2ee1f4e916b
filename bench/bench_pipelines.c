// Goal: what a driver makes of the kernels, without running one: registers and spills, shared memory,
// how many subgroups fit at once, instructions, and the compiler's own estimates. Method: plans the
// problems of bench_ops, or the networks that are named (dims that are symbols are 1), creates
// every pipeline of the plans once, and asks the driver through
// VK_KHR_pipeline_executable_properties. Drivers without it give times of creation alone. Nothing
// is dispatched, so drivers without a device will do: RADV_FORCE_FAMILY=navi21
// ESPY_TEST_DEVICE=RADV asks Mesa's compiler for AMD's GPUs on any machine.
//
//     bench_pipelines [--text FOLDER] [FILTER | MODEL.espy ...]
//
// FILTER: a part of the problems' names. --text writes what the driver has to show of each pipeline
// (assembly, intermediate code) to a file in FOLDER, which is named in the table's first column.
// ESPY_TEST_DEVICE and ESPY_TEST_KERNELS are as everywhere. A row is marked where registers are
// spilled.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_plan.h"
#include "format/format.h"
#include "support/compiled.h"
#include "support/run_graph.h"
#include "support/test_host.h"

#include <time.h>

enum { SEEN_MAX = 2048, INPUTS_MAX = 16, NAME_SIZE = 96, PATH_SIZE = 1024 };

struct report {
    const struct host *host;
    struct vk_device *device;
    const char *folder; // NULL: no texts
    uint32_t count, spilled;
    struct plan_dispatch seen[SEEN_MAX]; // of pipelines that have their row: shader and a copy of spec
};

static double processor_ms(void)
{
    return (double)clock() * 1e3 / CLOCKS_PER_SEC;
}

// ---- one pipeline -------------------------------------------------------------------------------

static bool is_seen(const struct report *report, const struct plan_dispatch *dispatch)
{
    for (uint32_t i = 0; i < report->count; i++)
        if (espy_plan_same_pipeline(&report->seen[i], dispatch))
            return true;
    return false;
}

static espy_status keep_seen(struct report *report, const struct plan_dispatch *dispatch)
{
    void *spec = NULL;
    if (report->count == SEEN_MAX)
        return espy_fail(report->host, ESPY_UNSUPPORTED, "more than %d pipelines", SEEN_MAX);
    if (dispatch->spec_size > 0) {
        spec = espy_alloc(report->host, dispatch->spec_size);
        if (spec == NULL)
            return espy_fail_memory(report->host, dispatch->spec_size, "constants");
        memcpy(spec, dispatch->spec, dispatch->spec_size);
    }
    report->seen[report->count++] = (struct plan_dispatch){
        .shader = dispatch->shader, .spec = spec, .spec_size = dispatch->spec_size};
    return ESPY_OK;
}

static void print_number(double number)
{
    if (number < 0)
        printf("- | ");
    else
        printf("%.0f | ", number);
}

static void print_row(struct report *report, const struct plan_dispatch *dispatch,
                      const char *problem, const struct vk_compiled *compiled, double ms)
{
    const struct compiled_summary s = espy_test_compiled_summary(compiled);
    const uint32_t *spec = dispatch->spec;
    char tile[BENCH_TILE_SIZE];
    const bool spills = s.spilled > 0 || s.scratch_size > 0;
    report->spilled += spills;
    printf("| %u | %s | %s | %s | %u | ", report->count, dispatch->shader->name,
           espy_bench_tile(dispatch, tile), problem, dispatch->spec_size > 0 ? spec[0] : 1);
    print_number(compiled->subgroup_size > 0 ? (double)compiled->subgroup_size : -1);
    print_number(s.registers);
    print_number(s.scalars);
    printf("%s", spills ? "**" : "");
    if (s.spilled < 0)
        printf("-");
    else
        printf("%.0f", s.spilled);
    printf("%s | ", spills ? "**" : "");
    print_number(s.scratch_size);
    print_number(s.shared_size);
    print_number(s.subgroups);
    print_number(s.code_size);
    print_number(s.instructions);
    print_number(s.latency);
    print_number(s.throughput);
    printf("%.0f |\n", ms);
}

static espy_status write_text(const struct report *report, const struct plan_dispatch *dispatch,
                              const struct text *text)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof(path), "%s/%03u-%s.txt", report->folder, report->count,
             dispatch->shader->name);
    FILE *file = fopen(path, "wb");
    if (file == NULL)
        return espy_fail(report->host, ESPY_IO_ERROR, "'%s' cannot be written", path);
    fputs(text->chars != NULL ? text->chars : "", file);
    return fclose(file) == 0
               ? ESPY_OK
               : espy_fail(report->host, ESPY_IO_ERROR, "'%s' cannot be written", path);
}

static espy_status describe(struct report *report, const struct plan_dispatch *dispatch,
                            const char *problem)
{
    struct vk_compiled compiled;
    struct text text;
    if (is_seen(report, dispatch))
        return ESPY_OK;
    TRY(keep_seen(report, dispatch));
    espy_text_init(&text, report->host);
    const double before = processor_ms();
    espy_status status = espy_vk_compiled_describe(report->device, dispatch, &compiled, NULL);
    const double ms = processor_ms() - before;
    if (status == ESPY_OK && report->folder != NULL)
        status = espy_vk_compiled_describe(report->device, dispatch, &compiled, &text);
    if (status == ESPY_OK && report->folder != NULL)
        status = write_text(report, dispatch, &text);
    if (status == ESPY_OK)
        print_row(report, dispatch, problem, &compiled, ms);
    espy_text_finish(&text);
    return status;
}

static espy_status describe_plan(struct report *report, const struct plan *plan, const char *name)
{
    for (uint32_t i = 0; i < plan->prepare_count; i++)
        TRY(describe(report, &plan->prepare[i], name));
    for (uint32_t i = 0; i < plan->dispatch_count; i++)
        TRY(describe(report, &plan->dispatches[i], name));
    return ESPY_OK;
}

// ---- what is planned ----------------------------------------------------------------------------

static espy_status describe_problems(struct report *report, const char *filter)
{
    for (uint32_t i = 0; i < espy_bench_problem_count; i++) {
        const struct problem *problem = &espy_bench_problems[i];
        struct bench_plan bench;
        if (strstr(problem->name, filter) == NULL)
            continue;
        espy_status status = espy_bench_plan_init(&bench, report->host,
                                                  espy_vk_device_caps(report->device), problem);
        if (status == ESPY_OK && bench.asked)
            status = describe_plan(report, &bench.plan, problem->name);
        espy_bench_plan_finish(&bench);
        TRY(status);
    }
    return ESPY_OK;
}

static espy_status describe_graph(struct report *report, const struct graph *graph,
                                  const char *name)
{
    struct op_source sources[INPUTS_MAX];
    struct plan plan = {0};
    if (graph->input_count > INPUTS_MAX)
        return espy_fail(report->host, ESPY_UNSUPPORTED, "%s: more than %d inputs", name,
                         INPUTS_MAX);
    espy_test_type_sources(graph, sources);
    const struct plan_params params = {.host = report->host,
                                       .graph = graph,
                                       .caps = espy_vk_device_caps(report->device),
                                       .sources = sources,
                                       .source_count = graph->input_count};
    espy_status status = espy_plan_build(&params, &plan);
    if (status == ESPY_OK)
        status = describe_plan(report, &plan, name);
    espy_plan_finish(&plan);
    return status;
}

static espy_status describe_model(struct report *report, const char *path)
{
    struct format_file file = {0};
    struct graph graph = {0};
    const char *slash = strrchr(path, '/');
    TRY(espy_format_file_open(report->host, path, &file));
    espy_status status = espy_format_read(report->host, path, file.bytes, file.size, &graph);
    if (status == ESPY_OK)
        status = describe_graph(report, &graph, slash == NULL ? path : slash + 1);
    espy_graph_finish(&graph);
    espy_format_file_close(&file);
    return status;
}

// ---- the table ----------------------------------------------------------------------------------

static void print_head(const struct vk_device *device)
{
    struct espy_device_info info = {0};
    espy_vk_device_info(device, &info);
    printf("%s, driver %s, %s.\n\n", info.name, info.driver,
           espy_vk_device_describes(device) ? "nothing was run"
                                            : "which says nothing of its pipelines");
    printf("| # | kernel | tile | first met in | local size | subgroup | registers | scalar "
           "registers | spilled | scratch bytes | shared bytes | subgroups per SIMD | code bytes "
           "| instructions | latency | busy cycles | ms to create |\n"
           "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n");
}

static bool is_model(const char *name)
{
    const size_t length = strlen(name);
    return length > 5 && strcmp(name + length - 5, ".espy") == 0;
}

static espy_status report_all(struct report *report, char **names, int count)
{
    print_head(report->device);
    if (count == 0)
        return describe_problems(report, "");
    for (int i = 0; i < count; i++)
        TRY(is_model(names[i]) ? describe_model(report, names[i])
                               : describe_problems(report, names[i]));
    return ESPY_OK;
}

int main(int argc, char **argv)
{
    static struct report report;
    struct test_host test;
    int first = 1;
    if (argc > 2 && strcmp(argv[1], "--text") == 0) {
        report.folder = argv[2];
        first = 3;
    }
    if (first < argc && argv[first][0] == '-') {
        fprintf(stderr, "usage: bench_pipelines [--text FOLDER] [FILTER | MODEL.espy ...]\n");
        return 2;
    }
    espy_test_host_init(&test);
    report.host = &test.host;
    struct vk_device_params params = espy_test_device_params(&test.host);
    params.compiled_facts = true;
    espy_status status = espy_vk_device_create(&params, &report.device);
    if (status == ESPY_OK)
        status = report_all(&report, argv + first, argc - first);
    if (status == ESPY_OK)
        printf("\n%u pipelines, %u with spilled registers.\n", report.count, report.spilled);
    else
        fprintf(stderr, "bench_pipelines: %s\n", test.last_error);
    for (uint32_t i = 0; i < report.count; i++)
        espy_free(&test.host, (void *)report.seen[i].spec);
    espy_vk_device_destroy(&report.device);
    return status == ESPY_OK ? 0 : 1;
}
