// Goal: whatever allocation fails, a call of the public API answers with a status and one error
// line, leaks nothing, and can be made again; several threads may use one device; verify finds a
// wrong kernel.
// Method: the application's own realloc fails, at each call in turn: once, or from there on. Graphs
// between them use every part: constants, prepare work, views, a host node, a shape given as data.
#include "test_session_fixture.h"

#include <pthread.h>

enum { ROWS = 4, COLUMNS = 6, ELEMENTS = ROWS * COLUMNS };

// y: [rows * columns / 2, 2], by way of a host node and of prepare work; shape decides s.
static void make_all(struct graph *graph)
{
    const uint32_t x = make_input(graph, "x", ESPY_FLOAT32, SHAPE(-1, COLUMNS));
    const uint32_t shape = make_input(graph, "shape", ESPY_INT64, SHAPE(2));
    const uint32_t w = make_weights(graph, "w", SHAPE(COLUMNS, 1000)); // too large to be folded
    const uint32_t e = MAKE(graph, "Exp", "e", w);
    const uint32_t h = MAKE(graph, "MatMul", "h", x, e);
    const uint32_t t = MAKE(graph, "Transpose", "t", w);
    const uint32_t m = MAKE(graph, "MatMul", "m", h, t);
    const uint32_t s = MAKE(graph, "Softmax", "s", m);
    const uint32_t c = MAKE(graph, "Cast", "c", s);
    cr_assert(espy_graph_set_string(graph, &graph->nodes[graph->node_count - 1], "to", "int32") ==
              ESPY_OK);
    const uint32_t k = MAKE(graph, "Shrink", "k", c); // of integers: no kernel
    make_output(graph, MAKE(graph, "Reshape", "y", s, shape));
    make_output(graph, k);
}

struct all {
    float x[ELEMENTS], y[ELEMENTS];
    int32_t k[ELEMENTS];
    int64_t shape[2];
    struct espy_tensor inputs[2], outputs[2];
};

static void all_init(struct all *call)
{
    *call = (struct all){.shape = {ELEMENTS / 2, 2},
                         .inputs = {FLOATS("x", call->x, ROWS, COLUMNS),
                                    {.name = "shape",
                                     .dtype = ESPY_INT64,
                                     .rank = 1,
                                     .dims = {2},
                                     .data = call->shape,
                                     .size = sizeof(call->shape)}},
                         .outputs = {ROOM("y", call->y), ROOM("k", call->k)}};
    for (int i = 0; i < ELEMENTS; i++) {
        call->x[i] = (float)(i % 7) / 7;
        call->y[i] = 77;
    }
}

static void expect_plausible(const struct all *call)
{
    float sum = 0;
    for (int i = 0; i < ELEMENTS; i++)
        sum += call->y[i];
    cr_expect(sum > ROWS - 1e-3f && sum < ROWS + 1e-3f, "each row of a softmax adds up to 1");
    cr_expect(call->outputs[0].rank == 2 && call->outputs[0].dims[1] == 2);
}

// Makes call fail at its first allocation, then at its second, ... until it does not.
#define EACH_ALLOCATION(lab, go_on, call, cleanup)                                                \
    do {                                                                                          \
        espy_status status_ = ESPY_OUT_OF_MEMORY;                                                 \
        (lab)->fail_on = (go_on);                                                                 \
        for (unsigned n_ = 1; status_ != ESPY_OK; n_++) {                                         \
            const long long live_ = (lab)->live;                                                  \
            (lab)->errors = 0;                                                                    \
            (lab)->fail_at = (lab)->calls + n_;                                                   \
            status_ = (call);                                                                     \
            (lab)->fail_at = 0;                                                                   \
            cr_assert(status_ == ESPY_OK || status_ == ESPY_OUT_OF_MEMORY,                        \
                      "allocation %u: %s: %s", n_, espy_status_text(status_), (lab)->last_error); \
            cr_expect((lab)->errors == (status_ != ESPY_OK), "allocation %u: %u lines: %s", n_,   \
                      (unsigned)(lab)->errors, (lab)->last_error);                                \
            cr_expect(status_ == ESPY_OK || (lab)->live == live_, "allocation %u leaks %lld", n_, \
                      (long long)(lab)->live - live_);                                            \
            (lab)->last_error[0] = '\0';                                                          \
            (lab)->errors = 0;                                                                    \
            cleanup;                                                                              \
        }                                                                                         \
    } while (0)

Test(session_faults, every_allocation_of_loading_a_model_may_fail)
{
    for (int go_on = 0; go_on < 2; go_on++) {
        struct lab lab;
        size_t size;
        void *bytes = lab_bytes(make_all, &size);
        lab_context(&lab);
        EACH_ALLOCATION(&lab, go_on != 0,
                        espy_model_load_memory(lab.context, bytes, size, &lab.model),
                        cr_assert((status_ == ESPY_OK) == (lab.model != NULL)));
        free(bytes);
        espy_model_destroy(&lab.model);
        EACH_ALLOCATION(&lab, go_on != 0,
                        espy_model_load_file(lab.context,
                                             ESPY_SOURCE_DIR "/tests/corpus/good/everything.espy",
                                             &lab.model),
                        cr_assert((status_ == ESPY_OK) == (lab.model != NULL)));
        lab_close(&lab);
    }
}

Test(session_faults, every_allocation_of_opening_a_device_may_fail)
{
    for (int go_on = 0; go_on < 2; go_on++) {
        struct lab lab;
        const struct espy_device_params params = {
            .size = sizeof(params), .name = getenv("ESPY_TEST_DEVICE"), .cache_dir = ""};
        lab_context(&lab);
        EACH_ALLOCATION(&lab, go_on != 0, espy_device_create(lab.context, &params, &lab.device),
                        cr_assert((status_ == ESPY_OK) == (lab.device != NULL)));
        lab_close(&lab);
    }
}

static void make_static(struct graph *graph)
{
    const uint32_t x = make_input(graph, "x", ESPY_FLOAT32, SHAPE(ROWS, COLUMNS));
    const uint32_t w = make_weights(graph, "w", SHAPE(COLUMNS, 1000));
    const uint32_t e = MAKE(graph, "Exp", "e", w);
    make_output(graph, MAKE(graph, "MatMul", "h", x, e));
}

Test(session_faults, every_allocation_of_making_a_session_may_fail)
{
    for (int go_on = 0; go_on < 2; go_on++) {
        struct lab lab;
        lab_open(&lab);
        lab_model(&lab, make_static);
        // Pipelines stay with the device: made here, so that later counts of live ones are equal.
        lab_session(&lab, NULL);
        espy_session_destroy(&lab.session);
        EACH_ALLOCATION(&lab, go_on != 0,
                        espy_session_create(lab.device, lab.model, NULL, &lab.session),
                        cr_assert((status_ == ESPY_OK) == (lab.session != NULL)));
        lab_close(&lab);
    }
}

static void make_shown(struct graph *graph)
{
    const uint32_t x = make_input(graph, "x", ESPY_FLOAT32, SHAPE(1, 2, ROWS, COLUMNS));
    make_output(graph, MAKE(graph, "Attention", "y", x, x, x));
    make_output(graph, MAKE(graph, "Softmax", "s", x));
    graph->sites = espy_arena_array(&graph->arena, 2, sizeof(*graph->sites));
    cr_assert(graph->sites != NULL);
    graph->sites[0] = (struct graph_site){.name = "site", .kind = "softmax", .heads = 2};
    graph->sites[1] = (struct graph_site){.name = "sliced", .kind = "softmax", .node = 1};
    graph->site_count = 2;
}

Test(session_faults, every_allocation_of_a_session_with_maps_may_fail)
{
    static const char *const names[] = {"site", "sliced"};
    static const struct espy_attention_rows rows[] = {{1, 2}, {1, 2}};
    const struct espy_session_params params = {
        .size = sizeof(params), .attention = names, .attention_rows = rows, .attention_count = 2};
    for (int go_on = 0; go_on < 2; go_on++) {
        struct lab lab;
        size_t size;
        void *bytes = lab_bytes(make_shown, &size);
        lab_open(&lab);
        EACH_ALLOCATION(&lab, go_on != 0,
                        espy_model_load_memory(lab.context, bytes, size, &lab.model),
                        cr_assert((status_ == ESPY_OK) == (lab.model != NULL)));
        free(bytes);
        lab_session(&lab, &params); // pipelines stay with the device
        espy_session_destroy(&lab.session);
        EACH_ALLOCATION(&lab, go_on != 0,
                        espy_session_create(lab.device, lab.model, &params, &lab.session),
                        cr_assert((status_ == ESPY_OK) == (lab.session != NULL)));
        lab_close(&lab);
    }
}

Test(session_faults, every_allocation_of_a_first_run_may_fail)
{
    for (int go_on = 0; go_on < 2; go_on++) {
        struct lab lab;
        struct all call;
        lab_init(&lab, make_all);
        all_init(&call);
        EXPECT_OK(&lab, espy_session_run(lab.session, call.inputs, 2, call.outputs, 2));
        expect_plausible(&call);
        espy_session_destroy(&lab.session); // the pipelines stay with the device
        lab_session(&lab, NULL);
        all_init(&call);
        EACH_ALLOCATION(&lab, go_on != 0,
                        espy_session_run(lab.session, call.inputs, 2, call.outputs, 2),
                        cr_assert(status_ == ESPY_OK || call.outputs[0].rank == 0));
        expect_plausible(&call);
        lab_close(&lab);
    }
}

Test(session_faults, a_plan_that_finds_no_memory_costs_the_session_nothing)
{
    struct lab lab;
    struct all call;
    struct espy_plan_info info;
    char *text = NULL;
    lab_init(&lab, make_all);
    all_init(&call);
    EXPECT_OK(&lab, espy_session_run(lab.session, call.inputs, 2, call.outputs, 2));
    EACH_ALLOCATION(&lab, false, espy_session_plan_text(lab.session, call.inputs, 2, &text),
                    cr_assert((status_ == ESPY_OK) == (text != NULL)));
    espy_text_free(lab.session, &text);
    call.shape[0] = ELEMENTS;
    call.shape[1] = 1;
    EACH_ALLOCATION(&lab, true, espy_session_plan(lab.session, call.inputs, 2, &info, NULL), );
    all_init(&call);
    const unsigned long long before = lab.calls;
    EXPECT_OK(&lab, espy_session_plan(lab.session, call.inputs, 2, &info, NULL));
    cr_expect(lab.calls == before, "the first plan is still there");
    lab_close(&lab);
}

// ---- threads ------------------------------------------------------------------------------------

enum { RUNS = 40 };

struct thread {
    struct lab *lab;
    float factor;
    bool right;
};

static void *run_often(void *user)
{
    struct thread *thread = user;
    espy_session *session = NULL;
    thread->right =
        espy_session_create(thread->lab->device, thread->lab->model, NULL, &session) == ESPY_OK;
    for (int64_t i = 0; i < RUNS && thread->right; i++) {
        struct all call;
        all_init(&call);
        const int64_t rows = 1 + i % ROWS; // shapes come and go on both sides
        call.inputs[0].dims[0] = rows;
        call.inputs[0].size = (size_t)rows * COLUMNS * sizeof(float);
        call.shape[0] = rows * COLUMNS;
        call.shape[1] = 1;
        for (int k = 0; k < ELEMENTS; k++)
            call.x[k] *= thread->factor;
        thread->right = espy_session_run(session, call.inputs, 2, call.outputs, 2) == ESPY_OK;
        float sum = 0;
        for (int k = 0; k < rows * COLUMNS; k++)
            sum += call.y[k];
        thread->right = thread->right && sum > (float)rows - 1e-3f && sum < (float)rows + 1e-3f;
    }
    espy_session_destroy(&session);
    return NULL;
}

Test(session_faults, sessions_of_one_device_and_model_run_in_several_threads)
{
    struct lab lab;
    struct thread threads[3];
    pthread_t handles[3];
    lab_open(&lab);
    lab_model(&lab, make_all);
    for (int i = 0; i < 3; i++) {
        threads[i] = (struct thread){&lab, (float)i, false};
        cr_assert(pthread_create(&handles[i], NULL, run_often, &threads[i]) == 0);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(handles[i], NULL);
        cr_expect(threads[i].right, "thread %d: %s", i, lab.last_error);
    }
    lab_close(&lab);
}

// ---- verify -------------------------------------------------------------------------------------

struct entries {
    uint32_t count, failed, on_host;
    char names[16][16];
};

static void keep_entry(void *user, const struct espy_verify_entry *entry)
{
    struct entries *entries = user;
    cr_assert(entries->count < 16);
    snprintf(entries->names[entries->count++], 16, "%s", entry->value);
    entries->failed += !entry->passed;
    entries->on_host += entry->on_host;
    cr_expect(entry->element_count > 0 && entry->nonfinite_count == 0);
    cr_expect(entry->relative_l2 >= 0 && entry->absolute_max >= 0);
    cr_expect(entry->node != NULL && entry->op != NULL);
}

static const struct espy_session_params keeping = {.size = sizeof(keeping), .keep_values = true};

Test(session_verify, a_right_model_passes_in_graph_order)
{
    // e is of constants alone but too large to be folded; t is a view.
    static const char *const order[] = {"e", "h", "t", "m", "s", "c", "k", "y"};
    struct lab lab;
    struct all call;
    struct entries entries = {.count = 0};
    lab_open(&lab);
    lab_model(&lab, make_all);
    lab_session(&lab, &keeping);
    all_init(&call);
    EXPECT_OK(&lab, espy_session_verify(lab.session, call.inputs, 2, 0, keep_entry, &entries));
    cr_expect(entries.failed == 0 && entries.on_host == 1);
    cr_assert(entries.count == 8, "%u", entries.count);
    for (uint32_t i = 0; i < 8; i++)
        cr_expect(strcmp(entries.names[i], order[i]) == 0, "%u is %s", i, entries.names[i]);
    EXPECT_OK(&lab, espy_session_run(lab.session, call.inputs, 2, call.outputs, 2));
    expect_plausible(&call);
    lab_close(&lab);
}

Test(session_verify, what_is_out_of_tolerance_is_a_mismatch_and_every_node_is_told)
{
    struct lab lab;
    struct all call;
    struct entries entries = {.count = 0};
    lab_open(&lab);
    lab_model(&lab, make_all);
    lab_session(&lab, &keeping);
    all_init(&call);
    EXPECT_FAILED(&lab,
                  espy_session_verify(lab.session, call.inputs, 2, 1e-12, keep_entry, &entries),
                  ESPY_MISMATCH, "differently");
    cr_expect(entries.count == 8 && entries.failed > 0 && entries.failed < 8,
              "%u of %u: views are right to the last bit", entries.failed, entries.count);
    lab_close(&lab);
}

Test(session_verify, it_takes_kept_values_and_a_callback)
{
    struct lab lab;
    struct all call;
    struct entries entries = {.count = 0};
    lab_init(&lab, make_all);
    all_init(&call);
    EXPECT_FAILED(&lab, espy_session_verify(lab.session, call.inputs, 2, 0, keep_entry, &entries),
                  ESPY_INVALID_ARGUMENT, "keep_values");
    espy_session_destroy(&lab.session);
    lab_session(&lab, &keeping);
    EXPECT_FAILED(&lab, espy_session_verify(lab.session, call.inputs, 2, 0, NULL, NULL),
                  ESPY_INVALID_ARGUMENT, "callback");
    EXPECT_FAILED(&lab, espy_session_verify(lab.session, call.inputs, 1, 0, keep_entry, &entries),
                  ESPY_INVALID_ARGUMENT, "'shape'");
    cr_expect(entries.count == 0);
    lab_close(&lab);
}

Test(session_verify, every_allocation_of_it_may_fail)
{
    struct lab lab;
    struct all call;
    struct entries entries = {.count = 0};
    lab_open(&lab);
    lab_model(&lab, make_all);
    lab_session(&lab, &keeping);
    all_init(&call);
    EXPECT_OK(&lab, espy_session_verify(lab.session, call.inputs, 2, 0, keep_entry, &entries));
    EACH_ALLOCATION(&lab, false,
                    espy_session_verify(lab.session, call.inputs, 2, 0, keep_entry, &entries),
                    entries.count = 0);
    lab_close(&lab);
}
