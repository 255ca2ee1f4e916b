// Goal: a model whose nodes run bodies answers right through the public API, run after run and for
// other shapes; keeps to a memory limit; and gives back everything when an allocation of a run
// fails. Method: a Loop and an If whose bodies are large enough for the device, values worked out
// in C.
#include "test_session_fixture.h"

#include <math.h>

enum { WIDTH = 72, ROWS_MAX = 3, TRIPS = 3 }; // WIDTH * WIDTH weights: more than the host takes

static float weights[WIDTH * WIDTH];

static void fill_weights(void)
{
    for (int i = 0; i < WIDTH * WIDTH; i++)
        weights[i] = (float)((i * 37) % 101 - 50) / 400;
}

// s = tanh(s w): as the body of a Loop and, without its first two inputs, as a branch.
static void make_step(struct graph *network, const char *name, bool in_loop)
{
    struct graph body;
    make_graph(&body, network->arena.host);
    body.name = espy_arena_string(&body.arena, name);
    uint32_t go = GRAPH_NONE;
    if (in_loop) {
        make_input(&body, "i", ESPY_INT64, SCALAR);
        go = make_input(&body, "go", ESPY_BOOL, SCALAR);
    }
    const uint32_t s = make_input(&body, "s", ESPY_FLOAT32, SHAPE(-1, WIDTH));
    const uint32_t w = make_constant(&body, "w", ESPY_FLOAT32, SHAPE(WIDTH, WIDTH), weights);
    const uint32_t m = MAKE(&body, "MatMul", "m", s, w);
    if (in_loop)
        make_output(&body, go);
    make_output(&body, MAKE(&body, "Tanh", "t", m));
    cr_assert(espy_graph_add_body(network, &body) == ESPY_OK);
}

// y: x after n steps; z: y after one more where c.
static void make_network(struct graph *graph)
{
    fill_weights();
    make_step(graph, "step", true);
    make_step(graph, "then", false);
    struct graph same;
    make_graph(&same, graph->arena.host);
    same.name = espy_arena_string(&same.arena, "else");
    const uint32_t v = make_input(&same, "v", ESPY_FLOAT32, SHAPE(-1, WIDTH));
    make_output(&same, MAKE(&same, "Identity", "r", v));
    cr_assert(espy_graph_add_body(graph, &same) == ESPY_OK);
    const uint32_t n = make_input(graph, "n", ESPY_INT64, SCALAR);
    const uint32_t c = make_input(graph, "c", ESPY_BOOL, SCALAR);
    const uint32_t x = make_input(graph, "x", ESPY_FLOAT32, SHAPE(-1, WIDTH));
    const uint32_t y = MAKE(graph, "Loop", "y", n, GRAPH_NONE, x);
    struct graph_node *node = &graph->nodes[graph->node_count - 1];
    cr_assert(espy_graph_set_string(graph, node, "body", "step") == ESPY_OK);
    const uint32_t z = MAKE(graph, "If", "z", c, y, y);
    node = &graph->nodes[graph->node_count - 1];
    cr_assert(espy_graph_set_string(graph, node, "then_branch", "then") == ESPY_OK);
    cr_assert(espy_graph_set_string(graph, node, "else_branch", "else") == ESPY_OK);
    make_output(graph, y);
    make_output(graph, z);
}

struct call {
    int64_t trips;
    bool condition;
    float x[ROWS_MAX * WIDTH], y[ROWS_MAX * WIDTH], z[ROWS_MAX * WIDTH];
    struct espy_tensor inputs[3], outputs[2];
};

static void call_init(struct call *call, int64_t rows, int64_t trips, bool condition)
{
    *call = (struct call){.trips = trips, .condition = condition};
    for (int64_t i = 0; i < rows * WIDTH; i++)
        call->x[i] = (float)((i * 13) % 17 - 8) / 9;
    call->inputs[0] = (struct espy_tensor){
        .name = "n", .dtype = ESPY_INT64, .data = &call->trips, .size = sizeof(call->trips)};
    call->inputs[1] =
        (struct espy_tensor){.name = "c", .dtype = ESPY_BOOL, .data = &call->condition, .size = 1};
    call->inputs[2] = (struct espy_tensor){.name = "x",
                                           .dtype = ESPY_FLOAT32,
                                           .rank = 2,
                                           .dims = {rows, WIDTH},
                                           .data = call->x,
                                           .size = (size_t)rows * WIDTH * sizeof(float)};
    call->outputs[0] = (struct espy_tensor)ROOM("y", call->y);
    call->outputs[1] = (struct espy_tensor)ROOM("z", call->z);
}

static void step(const float *from, double *to, int64_t rows)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t o = 0; o < WIDTH; o++) {
            double sum = 0;
            for (int64_t k = 0; k < WIDTH; k++)
                sum += (double)from[r * WIDTH + k] * (double)weights[k * WIDTH + o];
            to[r * WIDTH + o] = tanh(sum);
        }
}

static void expect_right(const struct call *call, int64_t rows)
{
    float s[ROWS_MAX * WIDTH];
    double next[ROWS_MAX * WIDTH];
    memcpy(s, call->x, sizeof(s));
    for (int64_t i = 0; i < call->trips + 1; i++) {
        if (i == call->trips)
            for (int64_t k = 0; k < rows * WIDTH; k++)
                cr_assert(fabsf(call->y[k] - s[k]) < 1e-5f, "y[%d]: %g, not %g", (int)k,
                          (double)call->y[k], (double)s[k]);
        step(s, next, rows);
        for (int64_t k = 0; k < rows * WIDTH && (i < call->trips || call->condition); k++)
            s[k] = (float)next[k];
    }
    for (int64_t k = 0; k < rows * WIDTH; k++)
        cr_assert(fabsf(call->z[k] - s[k]) < 1e-5f, "z[%d]: %g, not %g", (int)k, (double)call->z[k],
                  (double)s[k]);
}

Test(session_control, bodies_run_for_every_shape_and_count)
{
    struct lab lab;
    lab_init(&lab, make_network);
    for (int64_t i = 0; i < 8; i++) {
        struct call call;
        const int64_t rows = 1 + i % ROWS_MAX;
        call_init(&call, rows, i % (TRIPS + 1), i % 2 == 0);
        EXPECT_OK(&lab, espy_session_run(lab.session, call.inputs, 3, call.outputs, 2));
        cr_expect(call.outputs[1].rank == 2 && call.outputs[1].dims[0] == rows);
        expect_right(&call, rows);
    }
    lab_close(&lab);
}

Test(session_control, a_body_that_needs_more_memory_than_allowed_is_refused)
{
    struct lab lab;
    struct call call;
    lab_open(&lab);
    lab_model(&lab, make_network);
    const struct espy_session_params params = {.size = sizeof(params), .memory_max = 20000};
    lab_session(&lab, &params);
    call_init(&call, 1, TRIPS, false);
    EXPECT_FAILED(&lab, espy_session_run(lab.session, call.inputs, 3, call.outputs, 2),
                  ESPY_OUT_OF_MEMORY, "the limit is");
    call_init(&call, 1, 0, false);
    EXPECT_OK(&lab, espy_session_run(lab.session, call.inputs, 3, call.outputs, 2));
    expect_right(&call, 1);
    lab_close(&lab);
}

struct entries {
    uint32_t count, failed;
};

static void count_entry(void *user, const struct espy_verify_entry *entry)
{
    struct entries *entries = user;
    entries->count++;
    entries->failed += !entry->passed;
    cr_expect(strcmp(entry->op, "MatMul") == 0 || strcmp(entry->op, "Tanh") == 0, "%s", entry->op);
}

Test(session_control, verify_looks_into_bodies_once)
{
    struct lab lab;
    struct call call;
    struct entries entries = {0};
    const struct espy_session_params keeping = {.size = sizeof(keeping), .keep_values = true};
    lab_open(&lab);
    lab_model(&lab, make_network);
    lab_session(&lab, &keeping);
    call_init(&call, 2, TRIPS, true);
    EXPECT_OK(&lab, espy_session_verify(lab.session, call.inputs, 3, 0, count_entry, &entries));
    cr_expect(entries.count == 4 && entries.failed == 0, "%u entries, %u failed", entries.count,
              entries.failed);
    entries = (struct entries){0};
    EXPECT_FAILED(&lab,
                  espy_session_verify(lab.session, call.inputs, 3, 1e-12, count_entry, &entries),
                  ESPY_MISMATCH, "differently");
    lab_close(&lab);
}

Test(session_control, every_allocation_of_a_run_may_fail)
{
    struct lab lab;
    struct call call;
    lab_init(&lab, make_network);
    espy_status status = ESPY_OUT_OF_MEMORY;
    for (unsigned n = 1; status != ESPY_OK; n++) {
        espy_session_destroy(&lab.session);
        lab_session(&lab, NULL);
        call_init(&call, 2, TRIPS, true);
        lab.fail_at = lab.calls + n;
        status = espy_session_run(lab.session, call.inputs, 3, call.outputs, 2);
        lab.fail_at = 0;
        cr_assert(status == ESPY_OK || status == ESPY_OUT_OF_MEMORY, "allocation %u: %s", n,
                  espy_status_text(status));
        cr_expect(lab.errors == (status != ESPY_OK), "allocation %u: %u lines", n,
                  (unsigned)lab.errors);
        lab.errors = 0;
        if (n % 16 == 0) { // the session is as good as new
            call_init(&call, 1, TRIPS, true);
            EXPECT_OK(&lab, espy_session_run(lab.session, call.inputs, 3, call.outputs, 2));
            expect_right(&call, 1);
        }
    }
    expect_right(&call, 2);
    lab_close(&lab);
}
