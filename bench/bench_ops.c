// Goal: how fast single operators run on a device, in GFLOP/s and GB/s, and how much that is of
// what the device reaches with nothing in the way. Method: graphs of one node; its dispatches are
// timed by the device's clock, without copies of inputs and outputs, up to 100 in a row where they
// are short. Rounds visit all shapes in turn, so that a disturbance meets all of them; a line has
// the median over the rounds, the time until the first result (compiling in it), and which kernels
// were taken. Peaks are measured before: multiply-adds in registers, and a copy of 64 MiB.
// Operations and bytes are those that the problem has, not those that a kernel makes of it: inputs,
// weights and outputs once.
//
// Problems whose form is given come with a * where the estimate would take that form.
//
//     bench_ops [ROUNDS [FILTER]]      FILTER: a part of the names; ESPY_TEST_DEVICE: the device
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_peaks.h"
#include "bench_plan.h"
#include "support/run_graph.h"
#include "support/test_host.h"

enum { PROBLEMS_MAX = 512, ROUNDS_MAX = 1000 };

struct bench {
    struct bench_plan plan;
    struct vk_program *program; // NULL: the problem is left out
    uint32_t repeats;           // of a round
    double first_ms, ms[ROUNDS_MAX];
};

static espy_status write_inputs(struct bench *bench)
{
    struct graph *graph = &bench->plan.graph;
    for (uint32_t i = 0; i < graph->input_count; i++) {
        size_t size;
        const struct graph_value *value = &graph->values[graph->inputs[i].value];
        const void *numbers = espy_bench_numbers(graph, value->dtype, &value->shape, &size);
        if (numbers == NULL)
            return ESPY_OUT_OF_MEMORY;
        TRY(espy_vk_program_write(bench->program, &bench->plan.plan.inputs[i].view, numbers));
    }
    return ESPY_OK;
}

static espy_status choose_repeats(struct bench *bench)
{
    enum { REPEATS_MAX = 100 };
    const double enough = 2e-3;
    double seconds;
    TRY(espy_vk_program_time(bench->program, 0, 1, &seconds));
    bench->repeats = REPEATS_MAX;
    if (seconds * REPEATS_MAX > enough)
        bench->repeats = 1 + (uint32_t)(enough / seconds);
    return ESPY_OK;
}

static espy_status start(struct bench *bench, const struct host *host, struct vk_device *device,
                         const struct problem *problem)
{
    const double before = espy_bench_now_ms();
    TRY(espy_bench_plan_init(&bench->plan, host, espy_vk_device_caps(device), problem));
    if (!bench->plan.asked)
        return ESPY_OK;
    TRY(espy_vk_program_create(device, &bench->plan.plan, NULL, &bench->program));
    TRY(write_inputs(bench));
    TRY(espy_vk_program_submit(bench->program, 0));
    TRY(espy_vk_program_wait(bench->program, UINT64_MAX));
    bench->first_ms = espy_bench_now_ms() - before;
    return choose_repeats(bench);
}

static void finish(struct bench *bench)
{
    espy_vk_program_destroy(&bench->program);
    espy_bench_plan_finish(&bench->plan);
}

static int compare(const void *left, const void *right)
{
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static void print_kernel(const struct plan_dispatch *dispatch)
{
    char tile[BENCH_TILE_SIZE];
    const char *name = dispatch->shader->name;
    const bool has_tile = espy_bench_tile(dispatch, tile)[0] != '\0';
    printf("%s%s%s", name, has_tile ? " " : "", tile);
    if (has_tile && strncmp(name, "gemm", 4) == 0 && dispatch->groups[2] > 1)
        printf(" in %u parts", dispatch->groups[2]);
}

// Each once, in the order of their first dispatches.
static void print_kernels(const struct plan *plan)
{
    for (uint32_t i = 0; i < plan->dispatch_count; i++) {
        const struct plan_dispatch *dispatch = &plan->dispatches[i];
        uint32_t first = 0;
        while (plan->dispatches[first].shader != dispatch->shader)
            first++;
        if (first < i)
            continue;
        printf("%s", i > 0 ? ", " : "");
        print_kernel(dispatch);
    }
}

static void print_row(struct bench *bench, uint32_t rounds, const struct peaks *peaks)
{
    qsort(bench->ms, rounds, sizeof(*bench->ms), compare);
    const double median = bench->ms[rounds / 2];
    const struct problem_cost *cost = &bench->plan.cost;
    const double gflops = cost->operations / median * 1e-6;
    const double gbytes = cost->bytes / median * 1e-6;
    printf("| %s%s | %.3f | ", bench->plan.problem->name, bench->plan.estimated ? " *" : "", median);
    if (cost->operations > 0)
        printf("%.1f | %.1f | %.0f %% | ", gflops, cost->operations / bench->ms[0] * 1e-6,
               100 * gflops / peaks->gflops);
    else
        printf("- | - | - | ");
    printf("%.2f | %.0f %% | %u | %.0f | ", gbytes, 100 * gbytes / peaks->gbytes,
           bench->plan.plan.dispatch_count, bench->first_ms);
    print_kernels(&bench->plan.plan);
    printf(" |\n");
}

static void print_head(const struct vk_device *device, const struct peaks *peaks)
{
    struct espy_device_info info = {0};
    espy_vk_device_info(device, &info);
    printf("%s, driver %s: multiply-adds in registers %.1f GFLOP/s, copy %.2f GB/s.\n\n", info.name,
           info.driver, peaks->gflops, peaks->gbytes);
    printf("| problem | median ms | GFLOP/s | best | of peak | GB/s | of copy | dispatches "
           "| first ms | kernels |\n|---|---|---|---|---|---|---|---|---|---|\n");
}

static espy_status measure(struct bench *benches, uint32_t count, uint32_t rounds)
{
    for (uint32_t round = 0; round < rounds; round++) {
        for (uint32_t i = 0; i < count; i++) {
            double seconds;
            TRY(espy_vk_program_time(benches[i].program, 0, benches[i].repeats, &seconds));
            benches[i].ms[round] = seconds * 1e3;
        }
    }
    return ESPY_OK;
}

static espy_status bench_all(const struct host *host, struct vk_device *device, uint32_t rounds,
                             const char *filter)
{
    static struct bench benches[PROBLEMS_MAX];
    struct peaks peaks;
    uint32_t count = 0;
    espy_status status = espy_bench_peaks(device, &peaks);
    for (uint32_t i = 0; i < espy_bench_problem_count && status == ESPY_OK; i++) {
        if (strstr(espy_bench_problems[i].name, filter) == NULL)
            continue;
        status = start(&benches[count], host, device, &espy_bench_problems[i]);
        if (status != ESPY_OK || benches[count].program != NULL)
            count++;
        else
            finish(&benches[count]);
    }
    if (status == ESPY_OK)
        status = measure(benches, count, rounds);
    if (status == ESPY_OK)
        print_head(device, &peaks);
    for (uint32_t i = 0; i < count; i++) {
        if (status == ESPY_OK)
            print_row(&benches[i], rounds, &peaks);
        finish(&benches[i]);
    }
    return status;
}

int main(int argc, char **argv)
{
    struct test_host test;
    struct vk_device *device = NULL;
    char *end = "";
    const unsigned long rounds = argc > 1 ? strtoul(argv[1], &end, 10) : 9;
    if (argc > 3 || *end != '\0' || rounds < 1 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "usage: bench_ops [ROUNDS 1..%d [FILTER]]\n", ROUNDS_MAX);
        return 2;
    }
    espy_test_host_init(&test);
    const struct vk_device_params params = espy_test_device_params(&test.host);
    espy_status status = espy_vk_device_create(&params, &device);
    if (status == ESPY_OK)
        status = bench_all(&test.host, device, (uint32_t)rounds, argc > 2 ? argv[2] : "");
    espy_vk_device_destroy(&device);
    if (status != ESPY_OK)
        fprintf(stderr, "bench_ops: %s\n", test.last_error);
    return status == ESPY_OK ? 0 : 1;
}
