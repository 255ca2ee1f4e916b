// Goal: plans keep their rules whatever the graph, and change only where somebody sees it.
// Method: no GPU. Devices are faked as struct caps. The rules (test_plan_rules.h) are checked for
// graphs made here, for random ones, and for every case of every operator; four small networks
// are compared as text with tests/plans/*.txt, which ESPY_UPDATE_GOLDEN=1 in the environment
// rewrites.
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "op/op_table.h"
#include "support/case_file.h"
#include "support/fake_devices.h"
#include "support/run_graph.h"
#include "support/test_host.h"
#include "test_graph_fixture.h"
#include "test_plan_rules.h"
#include "test_random_graph.h"

static const struct caps gpu = {.storage_f16 = true,
                                .subgroups = true,
                                .subgroup_size = 32,
                                .local_size = 128,
                                .invocations_max = 1024,
                                .shared_size = 48 << 10,
                                .groups_max = {65535, 65535, 65535},
                                .buffer_alignment = 64,
                                .buffer_range_max = UINT64_C(1) << 31,
                                .texel_elements_max = 1 << 27};

static const struct caps cpu = {FAKE_CPU, .storage_f16 = true};

// The least that Vulkan 1.2 promises.
static const struct caps least = {.subgroup_size = 1,
                                  .local_size = 128,
                                  .invocations_max = 128,
                                  .shared_size = 16 << 10,
                                  .groups_max = {65535, 65535, 65535},
                                  .buffer_alignment = 256,
                                  .buffer_range_max = 1 << 27,
                                  .texel_elements_max = 65536};

// A test's host, graph and plan.
struct bench {
    struct test_host test;
    struct graph graph;
    struct plan plan;
    const struct caps *caps;
};

static void bench_init(struct bench *bench)
{
    memset(bench, 0, sizeof(*bench));
    espy_test_host_init(&bench->test);
    make_graph(&bench->graph, &bench->test.host);
}

static espy_status try_plan(struct bench *bench, const struct caps *caps, bool keep_values)
{
    struct op_source sources[MAKE_IO_MAX];
    const struct graph *graph = &bench->graph;
    if (bench->test.fail_at == 0)
        cr_assert(espy_graph_check(graph) == ESPY_OK, "%s", bench->test.last_error);
    make_sources(graph, sources);
    const struct plan_params params = {.host = &bench->test.host,
                                       .graph = graph,
                                       .caps = caps,
                                       .sources = sources,
                                       .source_count = graph->input_count,
                                       .keep_values = keep_values};
    espy_plan_finish(&bench->plan);
    bench->caps = caps;
    return espy_plan_build(&params, &bench->plan);
}

static void bench_plan(struct bench *bench, const struct caps *caps, bool keep_values)
{
    struct rules rules;
    cr_assert(try_plan(bench, caps, keep_values) == ESPY_OK, "%s", bench->test.last_error);
    cr_expect_str_empty(rules_broken(&rules, &bench->plan, caps), "%s", rules.wrong);
}

static void bench_finish(struct bench *bench)
{
    espy_plan_finish(&bench->plan);
    espy_graph_finish(&bench->graph);
    cr_expect(bench->test.live_count == 0, "%zu allocations are left", bench->test.live_count);
}

// ---- golden texts -------------------------------------------------------------------------------

// Shows the first line that differs.
static void compare_lines(const char *name, const char *actual, const char *golden)
{
    for (int line = 1; *actual != '\0' || *golden != '\0'; line++) {
        const size_t a = strcspn(actual, "\n"), g = strcspn(golden, "\n");
        const bool same = a == g && memcmp(actual, golden, a) == 0;
        cr_expect(same,
                  "tests/plans/%s.txt, line %d:\n  is    %.*s\n  was   %.*s\n"
                  "Where that is meant, run with ESPY_UPDATE_GOLDEN=1 and review the difference.",
                  name, line, (int)a, actual, (int)g, golden);
        if (!same)
            return;
        actual += a + (actual[a] != '\0');
        golden += g + (golden[g] != '\0');
    }
}

static void check_golden(const struct plan *plan, const struct host *host, const char *name)
{
    enum { GOLDEN_MAX = 1 << 16 };
    static char golden[GOLDEN_MAX];
    char path[1024];
    struct text text;
    snprintf(path, sizeof(path), "%s/tests/plans/%s.txt", ESPY_SOURCE_DIR, name);
    espy_text_init(&text, host);
    espy_plan_print(plan, &text);
    cr_assert(!text.failed);
    const char *update = getenv("ESPY_UPDATE_GOLDEN");
    const bool write = update != NULL && strcmp(update, "1") == 0;
    FILE *file = fopen(path, write ? "wb" : "rb");
    cr_assert(file != NULL, "%s cannot be opened", path);
    if (write) {
        cr_expect(fwrite(text.chars, 1, text.length, file) == text.length);
    } else {
        golden[fread(golden, 1, GOLDEN_MAX - 1, file)] = '\0';
        compare_lines(name, text.chars, golden);
    }
    fclose(file);
    espy_text_finish(&text);
}

static uint32_t count_kernels(const struct plan *plan, const char *prefix)
{
    uint32_t count = 0;
    for (uint32_t d = 0; d < plan->dispatch_count; d++)
        count += strncmp(plan->dispatches[d].shader->name, prefix, strlen(prefix)) == 0;
    return count;
}

// ---- networks -----------------------------------------------------------------------------------

// y = sigmoid(relu(x) * c + x)
static void make_pointwise(struct graph *graph)
{
    const float half = 0.5f;
    const uint32_t x = make_input(graph, "x", ESPY_FLOAT32, SHAPE(2, 3, 40, 40));
    const uint32_t c = make_constant(graph, "c", ESPY_FLOAT32, SHAPE(1), &half);
    const uint32_t r = MAKE(graph, "Relu", "r", x);
    const uint32_t m = MAKE(graph, "Mul", "m", r, c);
    const uint32_t s = MAKE(graph, "Add", "s", m, x);
    make_output(graph, MAKE(graph, "Sigmoid", "y", s));
}

static uint32_t make_conv(struct graph *graph, const char *name, const char *weights, uint32_t x)
{
    const uint32_t w = make_weights(graph, weights, SHAPE(16, 16, 3, 3));
    static const double pads[4] = {1, 1, 1, 1};
    const uint32_t y = MAKE(graph, "Conv", name, x, w);
    make_numbers(graph, "pads", pads, 4);
    return y;
}

// y = x + conv(relu(conv(x)))
static void make_residual(struct graph *graph)
{
    const uint32_t x = make_input(graph, "x", ESPY_FLOAT32, SHAPE(1, 16, 20, 20));
    const uint32_t a = make_conv(graph, "a", "wa", x);
    const uint32_t r = MAKE(graph, "Relu", "r", a);
    const uint32_t b = make_conv(graph, "b", "wb", r);
    make_output(graph, MAKE(graph, "Add", "y", b, x));
}

// [1, 16, 32] to [1, 4, 16, 8] as a network's file has it: MatMul, Reshape, Transpose.
static uint32_t make_heads(struct graph *graph, uint32_t x, uint32_t shape,
                           const char *const *names)
{
    static const double perm[4] = {0, 2, 1, 3};
    const uint32_t w = make_weights(graph, names[0], SHAPE(32, 32));
    const uint32_t m = MAKE(graph, "MatMul", names[1], x, w);
    const uint32_t r = MAKE(graph, "Reshape", names[2], m, shape);
    const uint32_t t = MAKE(graph, "Transpose", names[3], r);
    make_numbers(graph, "perm", perm, 4);
    return t;
}

static void make_attention(struct graph *graph)
{
    static const int64_t split[4] = {1, 16, 4, 8}, joined[3] = {1, 16, 32};
    static const double perm[4] = {0, 2, 1, 3}, turn[4] = {0, 1, 3, 2};
    static const char *const q_names[] = {"wq", "q_flat", "q_split", "q"};
    static const char *const k_names[] = {"wk", "k_flat", "k_split", "k"};
    static const char *const v_names[] = {"wv", "v_flat", "v_split", "v"};
    const float scale = 0.35f;
    const uint32_t x = make_input(graph, "x", ESPY_FLOAT32, SHAPE(1, 16, 32));
    const uint32_t heads = make_constant(graph, "heads", ESPY_INT64, SHAPE(4), split);
    const uint32_t whole = make_constant(graph, "whole", ESPY_INT64, SHAPE(3), joined);
    const uint32_t factor = make_constant(graph, "factor", ESPY_FLOAT32, SCALAR, &scale);
    const uint32_t q = make_heads(graph, x, heads, q_names);
    const uint32_t k = make_heads(graph, x, heads, k_names);
    const uint32_t v = make_heads(graph, x, heads, v_names);
    const uint32_t kt = MAKE(graph, "Transpose", "k_turned", k);
    make_numbers(graph, "perm", turn, 4);
    const uint32_t scores = MAKE(graph, "MatMul", "scores", q, kt);
    const uint32_t scaled = MAKE(graph, "Mul", "scaled", scores, factor);
    const uint32_t weights = MAKE(graph, "Softmax", "weights", scaled);
    const uint32_t mixed = MAKE(graph, "MatMul", "mixed", weights, v);
    const uint32_t back = MAKE(graph, "Transpose", "back", mixed);
    make_numbers(graph, "perm", perm, 4);
    make_output(graph, MAKE(graph, "Reshape", "y", back, whole));
}

// y = concat(relu(a), b, constant) along the channels
static void make_concat(struct graph *graph)
{
    const uint32_t a = make_input(graph, "a", ESPY_FLOAT16, SHAPE(1, 2, 8, 8));
    const uint32_t b = make_input(graph, "b", ESPY_FLOAT16, SHAPE(1, 3, 8, 8));
    static const uint16_t ones[64] = {0x3c00};
    const uint32_t c = make_constant(graph, "c", ESPY_FLOAT16, SHAPE(1, 1, 8, 8), ones);
    const uint32_t r = MAKE(graph, "Relu", "r", a);
    const uint32_t y = MAKE(graph, "Concat", "y", r, b, c);
    make_number(graph, "axis", 1);
    make_output(graph, y);
}

Test(plan, a_pointwise_chain_is_planned_as_before)
{
    struct bench bench;
    bench_init(&bench);
    make_pointwise(&bench.graph);
    bench_plan(&bench, &gpu, false);
    cr_expect(bench.plan.dispatch_count == 3 && bench.plan.stage_count == 1);
    cr_expect(bench.plan.arena_size <= 3 * bench.plan.buffers[0].size, "places are used again");
    check_golden(&bench.plan, &bench.test.host, "pointwise");
    bench_finish(&bench);
}

Test(plan, convolutions_with_a_residual_are_planned_as_before)
{
    struct bench bench;
    bench_init(&bench);
    make_residual(&bench.graph);
    bench_plan(&bench, &gpu, false);
    cr_expect(bench.plan.stage_count == 1);
    check_golden(&bench.plan, &bench.test.host, "residual");
    bench_finish(&bench);
}

Test(plan, a_residual_is_added_by_the_kernel_before_it)
{
    struct bench bench;
    bench_init(&bench);
    make_residual(&bench.graph);
    bench_plan(&bench, &cpu, false);
    cr_expect(count_kernels(&bench.plan, "binary") == 0);
    check_golden(&bench.plan, &bench.test.host, "residual_cpu");
    bench_finish(&bench);
}

// 16-bit weights behind a Cast, as the converter makes them: 32 x 16 of 3 x 3 taps, which
// are too many to be computed with the plan.
Test(plan, weights_of_16_bits_stay_so_on_software_drivers)
{
    static const espy_dtype dtypes[] = {ESPY_FLOAT16, ESPY_BFLOAT16, ESPY_FLOAT32};
    for (uint32_t i = 0; i < 3; i++) {
        static const float weights[16 * 32 * 9];
        struct bench bench;
        bench_init(&bench);
        struct graph *graph = &bench.graph;
        const uint32_t x = make_input(graph, "x", ESPY_FLOAT32, SHAPE(1, 32, 8, 8));
        const struct shape shape = {4, {16, 32, 3, 3}};
        uint32_t w = make_constant(graph, "w", dtypes[i], &shape, weights);
        if (dtypes[i] != ESPY_FLOAT32) {
            w = MAKE(graph, "Cast", "wide", w);
            cr_assert(espy_graph_set_string(graph, &graph->nodes[0], "to", "float32") == ESPY_OK);
        }
        make_output(graph, MAKE(graph, "Conv", "y", x, w));
        struct caps caps = cpu;
        caps.storage_f16 = false; // as software drivers say, for they compute with floats alone
        bench_plan(&bench, &caps, false);
        uint64_t size = 0;
        for (uint32_t b = 0; b < bench.plan.buffer_count; b++)
            if (bench.plan.buffers[b].kind == PLAN_PERSISTENT)
                size += bench.plan.buffers[b].size;
        cr_expect(size == 16 * 32 * 9 * (dtypes[i] == ESPY_FLOAT32 ? 4 : 2), "%u bytes",
                  (uint32_t)size);
        bench_finish(&bench);
    }
}

// A dense block: c = concat(a, b), y = concat(a, b, d), all made by convolutions.
Test(plan, what_a_concat_joins_is_made_in_its_place)
{
    struct bench bench;
    bench_init(&bench);
    struct graph *graph = &bench.graph;
    const uint32_t x = make_input(graph, "x", ESPY_FLOAT32, SHAPE(1, 16, 20, 20));
    const uint32_t a = make_conv(graph, "a", "wa", x);
    const uint32_t b = make_conv(graph, "b", "wb", a);
    const uint32_t c = MAKE(graph, "Concat", "c", a, b);
    make_number(graph, "axis", 1);
    const uint32_t d = make_conv(graph, "d", "wd", a);
    const uint32_t y = MAKE(graph, "Concat", "y", a, b, d);
    make_number(graph, "axis", 1);
    make_output(graph, c);
    make_output(graph, y);
    bench_plan(&bench, &cpu, false);
    cr_expect(count_kernels(&bench.plan, "copy") == 3, "the input, and the outputs' own layouts");
    check_golden(&bench.plan, &bench.test.host, "concat_cpu");
    bench_finish(&bench);
}

// y = reshape(x w) * x in three dimensions
Test(plan, a_change_of_shape_before_the_residual_is_passed_over)
{
    static const int64_t dims[2] = {16, 32}, whole[3] = {1, 16, 32};
    struct bench bench;
    bench_init(&bench);
    struct graph *graph = &bench.graph;
    const uint32_t x = make_input(graph, "x", ESPY_FLOAT32, SHAPE(1, 16, 32));
    const uint32_t w = make_weights(graph, "w", SHAPE(32, 32));
    const uint32_t rows = make_constant(graph, "rows", ESPY_INT64, SHAPE(2), dims);
    const uint32_t all = make_constant(graph, "all", ESPY_INT64, SHAPE(3), whole);
    const uint32_t a = MAKE(graph, "Reshape", "a", x, rows);
    const uint32_t m = MAKE(graph, "Gemm", "m", a, w);
    const uint32_t r = MAKE(graph, "Reshape", "r", m, all);
    make_output(graph, MAKE(graph, "Mul", "y", x, r));
    bench_plan(&bench, &cpu, false);
    cr_expect(bench.plan.dispatch_count == 1);
    cr_expect(bench.plan.outputs[0].view.rank == 3);
    bench_finish(&bench);
}

// Where x is above 0, and the rows of a table there.
static void make_picked(struct graph *graph, espy_dtype dtype)
{
    const uint32_t x = make_input(graph, "x", dtype, SHAPE(5000));
    const uint32_t table = make_input(graph, "table", ESPY_FLOAT32, SHAPE(5000, 4));
    const uint32_t relu = MAKE(graph, "Relu", "relu", x);
    const uint32_t where = MAKE(graph, "NonZero", "where", relu);
    make_output(graph, MAKE(graph, "Gather", "rows", table, where));
    make_output(graph, where);
}

Test(plan, what_the_device_counts_is_planned_as_before)
{
    struct bench bench;
    bench_init(&bench);
    make_picked(&bench.graph, ESPY_FLOAT32);
    bench_plan(&bench, &gpu, false);
    cr_expect(bench.plan.stage_count == 1 && bench.plan.host_node_count == 0);
    cr_expect(bench.plan.counted_count == 1 && bench.plan.pending_count == 1);
    cr_assert(bench.plan.output_count == 1); // the other one is still to come
    const struct plan_io *where = &bench.plan.outputs[0];
    cr_expect(where->counted && where->counted_dim == 1 && where->count.buffer != VIEW_NONE);
    cr_expect(where->type.shape.dims[0] == 1 && where->type.shape.dims[1] == 5000);
    check_golden(&bench.plan, &bench.test.host, "counted");
    bench_plan(&bench, &gpu, true);
    bench_finish(&bench);
}

Test(plan, what_a_device_cannot_count_is_left_to_the_host)
{
    struct bench bench;
    struct caps small = gpu;
    bench_init(&bench);
    make_picked(&bench.graph, ESPY_FLOAT32);
    small.buffer_range_max = 5000 * 8 - 1; // one coordinate of each element
    bench_plan(&bench, &small, false);
    cr_expect(bench.plan.counted_count == 0 && bench.plan.pending_count == 2);
    bench_finish(&bench);
    bench_init(&bench);
    make_picked(&bench.graph, ESPY_FLOAT64); // is float32 on the device
    bench_plan(&bench, &gpu, false);
    cr_expect(bench.plan.counted_count == 0 && bench.plan.pending_count == 2);
    bench_finish(&bench);
}

Test(plan, attention_is_planned_as_before_and_its_transposes_move_nothing)
{
    struct bench bench;
    bench_init(&bench);
    make_attention(&bench.graph);
    bench_plan(&bench, &gpu, false);
    cr_expect(bench.plan.stage_count == 1);
    cr_expect(count_kernels(&bench.plan, "copy") <= 1, "only the joining of heads moves elements");
    check_golden(&bench.plan, &bench.test.host, "attention");
    bench_finish(&bench);
}

Test(plan, concat_is_planned_as_before)
{
    struct bench bench;
    bench_init(&bench);
    make_concat(&bench.graph);
    bench_plan(&bench, &gpu, false);
    cr_expect(bench.plan.stage_count == 1);
    check_golden(&bench.plan, &bench.test.host, "concat");
    bench_finish(&bench);
}

static void (*const networks[])(struct graph *graph) = {make_pointwise, make_residual,
                                                        make_attention, make_concat};

Test(plan, the_same_graph_gives_the_same_text_on_every_kind_of_device)
{
    static const struct caps *const devices[] = {&gpu, &cpu, &least};
    for (size_t n = 0; n < 4; n++) {
        for (size_t d = 0; d < 3; d++) {
            struct text texts[2];
            struct bench bench;
            bench_init(&bench);
            networks[n](&bench.graph);
            for (int t = 0; t < 2; t++) {
                bench_plan(&bench, devices[d], false);
                espy_text_init(&texts[t], &bench.test.host);
                espy_plan_print(&bench.plan, &texts[t]);
                cr_expect(bench.plan.stage_count == 1, "static graphs have one stage");
            }
            cr_expect(strcmp(texts[0].chars, texts[1].chars) == 0);
            espy_text_finish(&texts[0]);
            espy_text_finish(&texts[1]);
            bench_finish(&bench);
        }
    }
}

// ---- what is known early ------------------------------------------------------------------------

Test(plan, work_on_constants_alone_is_done_before_the_first_run)
{
    struct bench bench;
    bench_init(&bench);
    struct graph *graph = &bench.graph;
    // Too large to be folded on the host, so that the device does it.
    const uint32_t x = make_input(graph, "x", ESPY_FLOAT32, SHAPE(80, 80));
    const uint32_t w = make_weights(graph, "w", SHAPE(80, 80));
    const uint32_t e = MAKE(graph, "Exp", "e", w);
    const uint32_t s = MAKE(graph, "Softmax", "s", e);
    make_output(graph, MAKE(graph, "Add", "y", x, s));
    make_output(graph, s);
    bench_plan(&bench, &gpu, false);
    cr_expect(bench.plan.prepare_count >= 2 && bench.plan.dispatch_count == 1);
    cr_expect(bench.plan.prepare[1].barrier, "s waits for e");
    bench_finish(&bench);
}

Test(plan, what_is_repacked_takes_bounded_memory_at_once)
{
    enum { WEIGHTS = 5, ELEMENTS = 3 << 19 }; // 6 MiB each, so two at once
    static const char *const names[WEIGHTS] = {"w0", "w1", "w2", "w3", "w4"};
    static const char *const exps[WEIGHTS] = {"e0", "e1", "e2", "e3", "e4"};
    static const char *const sums[WEIGHTS] = {"s0", "s1", "s2", "s3", "s4"};
    struct bench bench;
    bench_init(&bench);
    struct graph *graph = &bench.graph;
    uint32_t sum = make_input(graph, "x", ESPY_FLOAT32, SHAPE(ELEMENTS));
    for (int i = 0; i < WEIGHTS; i++) {
        const uint32_t w = make_weights(graph, names[i], SHAPE(ELEMENTS));
        sum = MAKE(graph, "Add", sums[i], sum, MAKE(graph, "Exp", exps[i], w));
    }
    make_output(graph, sum);
    bench_plan(&bench, &gpu, false);
    cr_expect_eq(bench.plan.prepare_count, WEIGHTS);
    cr_expect_eq(bench.plan.batch_count, (WEIGHTS + 1) / 2);
    cr_expect_eq(bench.plan.transient_size, 2 * ELEMENTS * sizeof(float));
    bench_finish(&bench);
}

Test(plan, quantized_constants_stay_as_small_as_in_the_file)
{
    static const struct {
        espy_dtype dtype;
        uint64_t size; // of 81 * 81 elements, in whole blocks of 16 bytes
    } cases[] = {{ESPY_INT4, 3296}, {ESPY_UINT2, 1648}, {ESPY_INT8, 6576}, {ESPY_UINT16, 13136}};
    static const unsigned char elements[2 * 81 * 81];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bench bench;
        bench_init(&bench);
        struct graph *graph = &bench.graph;
        uint32_t q;
        size_t size = 0;
        cr_assert(espy_dtype_data_size(cases[i].dtype, 81 * 81, &size));
        cr_assert(espy_graph_add_constant(graph, "q", cases[i].dtype, SHAPE(81, 81), elements, size,
                                          &q) == ESPY_OK);
        const uint32_t x = make_input(graph, "x", ESPY_FLOAT32, SHAPE(81, 81));
        const uint32_t scale = make_weights(graph, "scale", SHAPE(81));
        const uint32_t w = MAKE(graph, "DequantizeLinear", "w", q, scale);
        make_output(graph, MAKE(graph, "Add", "y", x, w));
        bench_plan(&bench, &gpu, false);
        uint32_t packed = 0;
        for (uint32_t b = 0; b < bench.plan.buffer_count; b++) {
            const struct plan_buffer *buffer = &bench.plan.buffers[b];
            packed += buffer->storage == STORAGE_PACKED;
            cr_expect(buffer->storage != STORAGE_PACKED ||
                          (buffer->kind == PLAN_CONSTANT && buffer->transient &&
                           buffer->size == cases[i].size),
                      "%s: %llu bytes", espy_dtype_name(cases[i].dtype),
                      (unsigned long long)buffer->size);
        }
        cr_expect_eq(packed, 1, "%s", espy_dtype_name(cases[i].dtype));
        cr_expect_eq(bench.plan.prepare_count, 1);
        bench_finish(&bench);
    }
}

Test(plan, shapes_and_small_constants_never_reach_the_device)
{
    struct bench bench;
    bench_init(&bench);
    struct graph *graph = &bench.graph;
    static const int64_t two[1] = {2};
    const uint32_t x = make_input(graph, "x", ESPY_FLOAT32, SHAPE(4, 6));
    const uint32_t factor = make_constant(graph, "two", ESPY_INT64, SHAPE(1), two);
    const uint32_t shape = MAKE(graph, "Shape", "shape", x);
    const uint32_t half = MAKE(graph, "Div", "half", shape, factor); // 2, 3
    const uint32_t whole = MAKE(graph, "Concat", "whole", half, factor, factor);
    make_number(graph, "axis", 0);
    make_output(graph, MAKE(graph, "Reshape", "y", x, whole));
    make_output(graph, whole);
    bench_plan(&bench, &gpu, false);
    cr_expect(bench.plan.dispatch_count == 0 && bench.plan.prepare_count == 0);
    cr_expect(bench.plan.constants_size == 0 && bench.plan.buffer_count == 1);
    cr_expect(bench.plan.outputs[0].type.shape.rank == 4);
    cr_expect(bench.plan.outputs[1].constant != NULL);
    bench_finish(&bench);
}

Test(plan, what_no_output_needs_is_not_planned)
{
    struct bench bench;
    bench_init(&bench);
    struct graph *graph = &bench.graph;
    const uint32_t x = make_input(graph, "x", ESPY_FLOAT32, SHAPE(4, 6));
    MAKE(graph, "Exp", "unused", x);
    make_output(graph, MAKE(graph, "Relu", "y", x));
    bench_plan(&bench, &gpu, false);
    cr_expect(bench.plan.dispatch_count == 1);
    bench_plan(&bench, &gpu, true);
    cr_expect(bench.plan.dispatch_count == 2, "keep_values wants every value");
    bench_finish(&bench);
}

// ---- kept values --------------------------------------------------------------------------------

Test(plan, keep_values_gives_every_value_memory_that_nothing_else_uses)
{
    for (size_t n = 0; n < 4; n++) {
        struct bench bench;
        bench_init(&bench);
        networks[n](&bench.graph);
        bench_plan(&bench, &gpu, true);
        const struct plan *plan = &bench.plan;
        for (uint32_t i = 0; i < bench.graph.node_count; i++) {
            const uint32_t value = bench.graph.nodes[i].outputs[0];
            bool kept = plan->walk.values[value].data != NULL;
            for (uint32_t k = 0; k < plan->kept_count; k++)
                kept =
                    kept || (plan->kept[k].value == value && espy_view_dense(&plan->kept[k].view));
            cr_expect(kept, "the value of node '%s'", bench.graph.nodes[i].name);
        }
        for (uint32_t a = 0; a < plan->buffer_count; a++)
            for (uint32_t b = 0; b < a; b++)
                cr_expect(!rules_overlap(&plan->buffers[a], &plan->buffers[b]), "%u and %u", b, a);
        bench_finish(&bench);
    }
}

// ---- stages -------------------------------------------------------------------------------------

Test(plan, a_node_on_the_host_ends_a_stage_and_keeps_what_lives_across_it)
{
    struct bench bench;
    bench_init(&bench);
    struct graph *graph = &bench.graph;
    const uint32_t x = make_input(graph, "x", ESPY_INT64, SHAPE(4, 6));
    const uint32_t a = MAKE(graph, "Shrink", "a", x); // has no kernel for integers
    const uint32_t t = MAKE(graph, "Transpose", "t", a);
    const uint32_t y = MAKE(graph, "Shrink", "y", t);
    make_output(graph, MAKE(graph, "Neg", "n", x));
    make_output(graph, y);
    make_output(graph, a);
    bench_plan(&bench, &gpu, false);
    cr_expect(bench.plan.stage_count == 3 && bench.plan.host_node_count == 2);
    for (uint32_t h = 0; h < 2; h++)
        cr_expect(strstr(bench.plan.host_nodes[h].why, "Shrink") != NULL);
    bench_finish(&bench);
}

// Integers of 64 bits are two words, so that the least device computes with them as the best does.
Test(plan, arithmetic_of_64_bit_integers_needs_nothing_of_a_device)
{
    struct bench bench;
    bench_init(&bench);
    struct graph *graph = &bench.graph;
    const uint32_t x = make_input(graph, "x", ESPY_INT64, SHAPE(4, 6));
    const uint32_t a = MAKE(graph, "Neg", "a", x);
    make_output(graph, MAKE(graph, "Div", "y", a, x));
    bench_plan(&bench, &least, false);
    cr_expect(bench.plan.stage_count == 1 && bench.plan.host_node_count == 0);
    bench_finish(&bench);
}

// ---- odd graphs ---------------------------------------------------------------------------------

Test(plan, an_output_may_be_an_input_a_constant_or_a_view_of_another)
{
    struct bench bench;
    bench_init(&bench);
    struct graph *graph = &bench.graph;
    const uint32_t x = make_input(graph, "x", ESPY_FLOAT32, SHAPE(4, 6));
    const uint32_t w = make_weights(graph, "w", SHAPE(2, 2));
    const uint32_t r = MAKE(graph, "Relu", "r", x);
    make_output(graph, x);
    make_output(graph, w);
    make_output(graph, MAKE(graph, "Transpose", "t", x));
    make_output(graph, MAKE(graph, "Transpose", "rt", r));
    make_output(graph, MAKE(graph, "Identity", "i", x));
    make_output(graph, r);
    bench_plan(&bench, &gpu, false);
    cr_expect(bench.plan.outputs[0].view.buffer == bench.plan.inputs[0].view.buffer);
    cr_expect(bench.plan.outputs[1].constant != NULL);
    cr_expect(count_kernels(&bench.plan, "copy") == 2, "outputs are dense");
    bench_finish(&bench);
}

Test(plan, tensors_without_elements_are_planned)
{
    struct bench bench;
    bench_init(&bench);
    struct graph *graph = &bench.graph;
    const uint32_t x = make_input(graph, "x", ESPY_FLOAT32, SHAPE(0, 6));
    const uint32_t z = make_input(graph, "z", ESPY_FLOAT32, SHAPE(2, 6));
    const uint32_t r = MAKE(graph, "Relu", "r", x);
    const uint32_t y = MAKE(graph, "Concat", "y", r, z, r);
    make_number(graph, "axis", 0);
    make_output(graph, y);
    make_output(graph, r);
    make_output(graph, MAKE(graph, "ReduceSum", "s", r));
    bench_plan(&bench, &gpu, false);
    bench_plan(&bench, &gpu, true);
    bench_finish(&bench);
}

Test(plan, a_shape_that_depends_on_data_is_refused_with_one_line)
{
    struct bench bench;
    bench_init(&bench);
    struct graph *graph = &bench.graph;
    const uint32_t x = make_input(graph, "x", ESPY_FLOAT32, SHAPE(4, 6));
    const uint32_t shape = make_input(graph, "shape", ESPY_INT64, SHAPE(2));
    make_output(graph, MAKE(graph, "Reshape", "y", x, shape));
    cr_expect(try_plan(&bench, &gpu, false) == ESPY_INVALID_ARGUMENT, "its data is not at hand");
    cr_expect(bench.test.error_count == 1 && strstr(bench.test.last_error, "'shape'") != NULL);
    bench_finish(&bench);
}

Test(plan, every_allocation_may_fail_and_says_so_once)
{
    struct bench bench;
    bench_init(&bench);
    make_attention(&bench.graph);
    const size_t live = bench.test.live_count;
    espy_status status = ESPY_OUT_OF_MEMORY;
    uint32_t tries = 0;
    while (status != ESPY_OK) {
        bench.test.error_count = 0;
        bench.test.fail_at = bench.test.call_count + ++tries;
        status = try_plan(&bench, &gpu, true);
        bench.test.fail_at = 0;
        cr_assert(status == ESPY_OK || status == ESPY_OUT_OF_MEMORY);
        cr_expect(bench.test.error_count == (status != ESPY_OK), "allocation %u: %u lines", tries,
                  bench.test.error_count);
        cr_expect(status == ESPY_OK || bench.test.live_count == live, "allocation %u leaks", tries);
    }
    cr_expect(tries > 5);
    bench_finish(&bench);
}

// ---- random graphs ------------------------------------------------------------------------------

Test(plan, random_graphs_keep_the_rules)
{
    static const struct caps *const devices[] = {&gpu, &cpu, &least};
    uint64_t shared = 0, apart = 0;
    for (uint32_t number = 0; number < 300; number++) {
        struct bench bench;
        struct rules rules;
        bench_init(&bench);
        make_random(&bench.graph, number);
        for (int keep = 0; keep < 2; keep++) {
            const struct caps *caps = devices[number % 3];
            cr_assert(try_plan(&bench, caps, keep != 0) == ESPY_OK, "graph %u: %s", number,
                      bench.test.last_error);
            cr_assert_str_empty(rules_broken(&rules, &bench.plan, caps), "graph %u: %s", number,
                                rules.wrong);
            *(keep != 0 ? &apart : &shared) += bench.plan.arena_size;
        }
        bench_finish(&bench);
    }
    cr_expect(shared * 2 < apart, "places are used again: %llu of %llu bytes",
              (unsigned long long)shared, (unsigned long long)apart);
}

// ---- every case of every operator ---------------------------------------------------------------

enum { CASE_TENSORS_MAX = 64 };

static void check_case(struct test_host *test, const struct op_case *op_case, bool strided,
                       const struct caps *caps)
{
    struct arena arena;
    struct graph graph;
    struct plan plan = {.graph = NULL};
    struct rules rules;
    struct tensor inputs[CASE_TENSORS_MAX] = {0};
    struct op_source sources[CASE_TENSORS_MAX];
    espy_arena_init(&arena, &test->host);
    espy_graph_init(&graph, &test->host);
    cr_assert(espy_test_case_graph(op_case, ESPY_FLOAT32, strided, &arena, &graph, inputs) ==
                  ESPY_OK,
              "%s: %s", op_case->name, test->last_error);
    espy_test_sources(&graph, inputs, false, sources);
    test->error_count = 0;
    for (int keep = 0; keep < 2; keep++) {
        const struct plan_params params = {.host = &test->host,
                                           .graph = &graph,
                                           .caps = caps,
                                           .sources = sources,
                                           .source_count = graph.input_count,
                                           .keep_values = keep != 0};
        const espy_status status = espy_plan_build(&params, &plan);
        cr_expect(test->error_count == (status != ESPY_OK), "%s: %u lines", op_case->name,
                  test->error_count);
        // A weak device may refuse, but says so.
        cr_expect(status == ESPY_OK || (caps == &least && status == ESPY_UNSUPPORTED), "%s: %s",
                  op_case->name, test->last_error);
        if (status == ESPY_OK)
            cr_expect_str_empty(rules_broken(&rules, &plan, caps), "%s (%s)%s: %s", op_case->name,
                                op_case->op, strided ? ", strided" : "", rules.wrong);
        espy_plan_finish(&plan);
        test->error_count = 0;
    }
    espy_graph_finish(&graph);
    espy_arena_finish(&arena);
}

static void check_cases(const char *path)
{
    static const struct caps *const devices[] = {&gpu, &cpu, &least};
    struct test_host test;
    struct case_file file;
    char error[256];
    espy_test_host_init(&test);
    cr_assert(espy_test_read_cases(&test.host, path, &file, error, sizeof(error)), "%s: %s", path,
              error);
    for (uint32_t i = 0; i < file.case_count; i++)
        for (size_t v = 0; v < 6; v++)
            check_case(&test, &file.cases[i], v % 2 != 0, devices[v / 2]);
    espy_test_free_cases(&file);
    cr_expect(test.live_count == 0, "%s: %zu allocations are left", path, test.live_count);
}

Test(plan, every_case_of_every_operator_keeps_the_rules)
{
    char line[1024];
    uint32_t count = 0;
    FILE *list = fopen(ESPY_BINARY_DIR "/tests/case_files.txt", "rb"); // the build writes it
    cr_assert(list != NULL);
    while (fgets(line, sizeof(line), list) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '\0')
            continue;
        check_cases(line);
        count++;
    }
    fclose(list);
    cr_expect(count >= 10);
}
