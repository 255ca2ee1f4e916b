// Goal: how fast one Conv or MatMul runs on a device, in GFLOP/s.
// Method: graphs of one node; only its dispatches are submitted and timed, without the copies of
// inputs and outputs. Rounds visit all shapes in turn, so that a disturbance meets all of them; a
// line has the median over the rounds, and the time until the first result (compiling in it).
//
//     bench_ops [ROUNDS [FILTER]]      ESPY_TEST_DEVICE chooses the device
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "support/run_graph.h"
#include "support/test_host.h"

struct problem {
    const char *name;
    int64_t size, in, out, kernel, stride; // of an image; kernel 0: MatMul of size x in by in x out
};

static const struct problem problems[] = {{"conv 3x3 56x56x64", 56, 64, 64, 3, 1},
                                          {"conv 3x3 28x28x128", 28, 128, 128, 3, 1},
                                          {"conv 3x3 14x14x256", 14, 256, 256, 3, 1},
                                          {"conv 3x3 7x7x512", 7, 512, 512, 3, 1},
                                          {"conv 7x7/2 224x224x3 to 64", 224, 3, 64, 7, 2},
                                          {"conv 3x3 64x64x8", 64, 8, 8, 3, 1},
                                          {"conv 3x3 64x64x16", 64, 16, 16, 3, 1},
                                          {"conv 3x3 64x64x40", 64, 40, 40, 3, 1},
                                          {"conv 3x3 128x128x32 to 3", 128, 32, 3, 3, 1},
                                          {"conv 1x1 14x14 256 to 1024", 14, 256, 1024, 1, 1},
                                          {"conv 1x1 56x56 64 to 256", 56, 64, 256, 1, 1},
                                          {"conv 1x1 112x112 16 to 96", 112, 16, 96, 1, 1},
                                          {"matmul 512x512x512", 512, 512, 512, 0, 0},
                                          {"matmul 197x192 by 192x576", 197, 192, 576, 0, 0},
                                          {"matmul 1x1024 by 1024x1000", 1, 1024, 1000, 0, 0}};
enum { PROBLEMS = sizeof(problems) / sizeof(problems[0]), ROUNDS_MAX = 1000 };

struct bench {
    struct graph graph;
    struct plan plan;
    struct vk_program *program;
    double flop, first_ms, ms[ROUNDS_MAX];
};

static double now_ms(void)
{
    struct timespec now;
    (void)timespec_get(&now, TIME_UTC);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

static float *make_numbers(struct arena *arena, const struct shape *shape, size_t *count)
{
    if (!espy_shape_count(shape, count))
        return NULL;
    float *numbers = espy_arena_array(arena, *count, sizeof(*numbers));
    uint32_t state = 1;
    for (size_t i = 0; numbers != NULL && i < *count; i++) {
        state = state * 1664525 + 1013904223;
        numbers[i] = (float)(state >> 8) / (float)(1 << 24) - 0.5f;
    }
    return numbers;
}

// Adds a node that makes one new value. *value may be one of the inputs, which it replaces.
static espy_status add_node(struct graph *graph, const char *op, const char *name,
                            const uint32_t *inputs, uint32_t input_count, uint32_t *value,
                            struct graph_node **node)
{
    uint32_t made;
    TRY(espy_graph_add_value(graph, name, &made));
    TRY(espy_graph_add_node(graph, op, name, inputs, input_count, &made, 1, node));
    *value = made;
    return ESPY_OK;
}

// The image comes and goes channels-last, as in the middle of a network: the transposes are views.
static espy_status add_problem(struct graph *graph, const struct problem *p, uint32_t *value,
                               uint32_t weights)
{
    static const double to_nchw[4] = {0, 3, 1, 2}, to_nhwc[4] = {0, 2, 3, 1};
    const double pad = (double)(p->kernel / 2), stride = (double)p->stride;
    const double pads[4] = {pad, pad, pad, pad}, strides[2] = {stride, stride};
    struct graph_node *node;
    uint32_t inputs[2] = {*value, weights};
    if (p->kernel == 0)
        return add_node(graph, "MatMul", "y", inputs, 2, value, &node);
    TRY(add_node(graph, "Transpose", "nchw", inputs, 1, &inputs[0], &node));
    TRY(espy_graph_set_numbers(graph, node, "perm", to_nchw, 4));
    TRY(add_node(graph, "Conv", "conv", inputs, 2, &inputs[0], &node));
    TRY(espy_graph_set_numbers(graph, node, "pads", pads, 4));
    TRY(espy_graph_set_numbers(graph, node, "strides", strides, 2));
    TRY(add_node(graph, "Transpose", "nhwc", inputs, 1, value, &node));
    return espy_graph_set_numbers(graph, node, "perm", to_nhwc, 4);
}

static espy_status make_graph(struct graph *graph, const struct problem *p, const float **data)
{
    const bool conv = p->kernel > 0;
    const struct shape x = conv ? (struct shape){4, {1, p->size, p->size, p->in}}
                                : (struct shape){2, {p->size, p->in}};
    const struct shape w = conv ? (struct shape){4, {p->out, p->in, p->kernel, p->kernel}}
                                : (struct shape){2, {p->in, p->out}};
    size_t x_count, w_count;
    uint32_t value, weights;
    graph->inputs = espy_arena_array(&graph->arena, 1, sizeof(*graph->inputs));
    graph->outputs = espy_arena_array(&graph->arena, 1, sizeof(*graph->outputs));
    *data = make_numbers(&graph->arena, &x, &x_count);
    const float *w_data = make_numbers(&graph->arena, &w, &w_count);
    if (graph->inputs == NULL || graph->outputs == NULL || *data == NULL || w_data == NULL)
        return ESPY_OUT_OF_MEMORY;
    TRY(espy_graph_add_value(graph, "x", &value));
    graph->values[value].dtype = ESPY_FLOAT32;
    graph->values[value].has_shape = true;
    graph->values[value].shape = x;
    graph->inputs[graph->input_count++] = (struct graph_io){.value = value};
    TRY(espy_graph_add_constant(graph, "w", ESPY_FLOAT32, &w, w_data, w_count * sizeof(float),
                                &weights));
    TRY(add_problem(graph, p, &value, weights));
    graph->outputs[graph->output_count++] = (struct graph_io){.value = value};
    return ESPY_OK;
}

static espy_status run_once(struct vk_program *program)
{
    TRY(espy_vk_program_submit(program, 0));
    return espy_vk_program_wait(program, UINT64_MAX);
}

static espy_status start(struct bench *bench, const struct host *host, struct vk_device *device,
                         const struct problem *p)
{
    const int64_t side = p->kernel > 0 ? (p->size - 1) / p->stride + 1 : 1;
    const int64_t pixels = p->kernel > 0 ? side * side * p->kernel * p->kernel : p->size;
    const float *x;
    bench->flop = 2.0 * (double)(p->in * p->out * pixels);
    espy_graph_init(&bench->graph, host);
    TRY(make_graph(&bench->graph, p, &x));
    const uint32_t input = bench->graph.inputs[0].value;
    const struct op_source source = {.value = input,
                                     .type = {ESPY_FLOAT32, bench->graph.values[input].shape}};
    const struct plan_params params = {.host = host,
                                       .graph = &bench->graph,
                                       .caps = espy_vk_device_caps(device),
                                       .sources = &source,
                                       .source_count = 1};
    const double before = now_ms();
    TRY(espy_plan_build(&params, &bench->plan));
    TRY(espy_vk_program_create(device, &bench->plan, NULL, &bench->program));
    TRY(espy_vk_program_write(bench->program, &bench->plan.inputs[0].view, x));
    TRY(run_once(bench->program));
    bench->first_ms = now_ms() - before;
    return run_once(bench->program);
}

static int compare(const void *left, const void *right)
{
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static espy_status measure(const struct host *host, struct vk_device *device, uint32_t rounds,
                           const char *filter)
{
    static struct bench benches[PROBLEMS];
    for (uint32_t i = 0; i < PROBLEMS; i++)
        if (strstr(problems[i].name, filter) != NULL)
            TRY(start(&benches[i], host, device, &problems[i]));
    for (uint32_t round = 0; round < rounds; round++) {
        for (uint32_t i = 0; i < PROBLEMS; i++) {
            if (benches[i].program == NULL)
                continue;
            const double before = now_ms();
            TRY(run_once(benches[i].program));
            benches[i].ms[round] = now_ms() - before;
        }
    }
    for (uint32_t i = 0; i < PROBLEMS; i++) {
        struct bench *bench = &benches[i];
        if (bench->program == NULL)
            continue;
        qsort(bench->ms, rounds, sizeof(*bench->ms), compare);
        const double median = bench->ms[rounds / 2];
        printf("%-30s %8.3f ms  %6.1f GFLOP/s  (best %6.1f)  first %6.0f ms\n", problems[i].name,
               median, bench->flop / median * 1e-6, bench->flop / bench->ms[0] * 1e-6,
               bench->first_ms);
        espy_vk_program_destroy(&bench->program);
        espy_plan_finish(&bench->plan);
        espy_graph_finish(&bench->graph);
    }
    return ESPY_OK;
}

int main(int argc, char **argv)
{
    struct test_host test;
    struct vk_device *device = NULL;
    const unsigned long asked = argc > 1 ? strtoul(argv[1], NULL, 10) : 9;
    const uint32_t rounds = asked < 1 ? 1 : asked > ROUNDS_MAX ? ROUNDS_MAX : (uint32_t)asked;
    espy_test_host_init(&test);
    espy_status status = espy_test_open_device(&test.host, false, &device);
    if (status == ESPY_OK)
        status = measure(&test.host, device, rounds, argc > 2 ? argv[2] : "");
    espy_vk_device_destroy(&device);
    if (status != ESPY_OK)
        fprintf(stderr, "bench_ops: %s\n", test.last_error);
    return status == ESPY_OK ? 0 : 1;
}
