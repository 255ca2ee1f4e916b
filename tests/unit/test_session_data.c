// Goal: models whose shapes depend on what a run computes give what their references say, for every
// count of elements down to none, run after run, and say what they need where they fail.
// Method: small graphs with counts known from their inputs; sizes above and below what the host
// computes itself, so that both ways of going on after a segment are taken.
#include "test_session_fixture.h"

enum { ROWS = 1000, COLUMNS = 8 }; // more than the host would take on

static uint32_t make_axis(struct graph *graph, const char *name, int64_t axis)
{
    return make_constant(graph, name, ESPY_INT64, SHAPE(1), &axis);
}

// The rows of table for which x + x > 0, and their sum.
static void make_rows(struct graph *graph)
{
    const uint32_t x = make_input(graph, "x", ESPY_FLOAT32, SHAPE(-1));
    const uint32_t table = make_input(graph, "table", ESPY_FLOAT32, SHAPE(-1, COLUMNS));
    const uint32_t twice = MAKE(graph, "Add", "twice", x, x);
    const uint32_t relu = MAKE(graph, "Relu", "relu", twice);
    const uint32_t where = MAKE(graph, "NonZero", "where", relu);
    const uint32_t flat = MAKE(graph, "Squeeze", "flat", where, make_axis(graph, "axis", 0));
    const uint32_t rows = MAKE(graph, "Gather", "rows", table, flat);
    make_number(graph, "axis", 0);
    const uint32_t abs = MAKE(graph, "Abs", "abs", rows);
    const uint32_t sum = MAKE(graph, "ReduceSum", "sum", abs, make_axis(graph, "rows_axis", 0));
    make_number(graph, "keepdims", 0);
    make_output(graph, abs);
    make_output(graph, sum);
    make_output(graph, relu);
}

struct rows {
    float x[ROWS], table[ROWS * COLUMNS], abs[ROWS * COLUMNS], sum[COLUMNS];
    struct espy_tensor inputs[2], outputs[2];
};

// Every step-th row is picked; step 0 picks none.
static void rows_init(struct rows *call, int64_t count, int64_t step)
{
    *call = (struct rows){
        .inputs = {FLOATS("x", call->x, count), FLOATS("table", call->table, count, COLUMNS)},
        .outputs = {ROOM("abs", call->abs), ROOM("sum", call->sum)}};
    call->inputs[0].size = (size_t)count * sizeof(float);
    call->inputs[1].size = (size_t)count * COLUMNS * sizeof(float);
    for (int64_t i = 0; i < count; i++) {
        call->x[i] = step > 0 && i % step == 0 ? (float)i + 1 : -(float)i;
        for (int64_t k = 0; k < COLUMNS; k++)
            call->table[i * COLUMNS + k] = (float)(k - i % 3);
    }
}

static void expect_rows(const struct rows *call, int64_t count, int64_t step)
{
    const float *abs = call->outputs[0].data, *sum = call->outputs[1].data;
    const int64_t picked = step > 0 ? (count + step - 1) / step : 0;
    cr_assert(call->outputs[0].rank == 2 && call->outputs[0].dims[0] == picked &&
                  call->outputs[0].dims[1] == COLUMNS,
              "%lld by %lld", (long long)call->outputs[0].dims[0],
              (long long)call->outputs[0].dims[1]);
    cr_assert(call->outputs[1].rank == 1 && call->outputs[1].dims[0] == COLUMNS);
    float sums[COLUMNS] = {0};
    for (int64_t i = 0; i < picked; i++)
        for (int64_t k = 0; k < COLUMNS; k++) {
            const float wanted = (float)llabs(k - i * step % 3);
            cr_expect(abs[i * COLUMNS + k] == wanted, "row %lld of %lld", (long long)i,
                      (long long)picked);
            sums[k] += wanted;
        }
    for (int64_t k = 0; k < COLUMNS; k++)
        cr_expect(sum[k] == sums[k], "sum %lld: %g, not %g", (long long)k, (double)sum[k],
                  (double)sums[k]);
}

static void run_rows(struct lab *lab, struct rows *call, int64_t count, int64_t step)
{
    rows_init(call, count, step);
    EXPECT_OK(lab, espy_session_run(lab->session, call->inputs, 2, call->outputs, 2));
    expect_rows(call, count, step);
}

Test(session_data, rows_are_picked_whatever_their_number)
{
    static const int64_t steps[] = {1, 2, 3, 0, 7, 999, 0, 1, 2};
    struct lab lab;
    struct rows *call = malloc(sizeof(*call));
    lab_init(&lab, make_rows);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        run_rows(&lab, call, ROWS, steps[i]); // by a second segment, where there is enough to do
        run_rows(&lab, call, 10, steps[i]);   // by the host alone
    }
    run_rows(&lab, call, 0, 1);
    free(call);
    lab_close(&lab);
}

Test(session_data, what_was_planned_for_a_count_is_kept_and_not_without_end)
{
    struct lab lab;
    struct rows *call = malloc(sizeof(*call));
    lab_init(&lab, make_rows);
    run_rows(&lab, call, ROWS, 2);
    const unsigned long long first = lab.calls;
    run_rows(&lab, call, ROWS, 3);
    const unsigned long long planning = lab.calls - first;
    run_rows(&lab, call, ROWS, 2);
    run_rows(&lab, call, ROWS, 3);
    cr_expect(lab.calls - first - planning < planning / 2, "%llu allocations with plans, %llu",
              lab.calls - first - planning, planning);
    long long most = 0;
    for (int64_t step = 1; step < 80; step++) {
        run_rows(&lab, call, ROWS, step);
        if (step == 40)
            most = lab.live;
    }
    cr_expect(lab.live <= most + most / 4, "%lld allocations, %lld half way", (long long)lab.live,
              most);
    free(call);
    lab_close(&lab);
}

Test(session_data, a_plan_says_what_it_cannot_know)
{
    struct lab lab;
    struct rows *call = malloc(sizeof(*call));
    struct espy_plan_info info;
    struct espy_tensor outputs[3];
    char *text = NULL;
    lab_init(&lab, make_rows);
    rows_init(call, ROWS, 2);
    for (int round = 0; round < 2; round++) { // a run changes nothing about it
        call->inputs[0].data = call->inputs[1].data = NULL;
        EXPECT_OK(&lab, espy_session_plan(lab.session, call->inputs, 2, &info, outputs));
        cr_expect(info.data_dependent && info.stage_count == 1 && info.host_node_count == 0);
        cr_expect(outputs[0].dims[0] == -1 && outputs[0].dims[1] == -1 && outputs[0].size == 0);
        cr_expect(outputs[1].dims[0] == -1 && outputs[1].data == NULL);
        cr_expect(outputs[2].dims[0] == ROWS && outputs[2].size == ROWS * sizeof(float));
        run_rows(&lab, call, ROWS, 2);
    }
    EXPECT_OK(&lab, espy_session_plan_text(lab.session, call->inputs, 2, &text));
    cr_expect(strstr(text, "pending") != NULL && strstr(text, "NonZero") != NULL);
    espy_text_free(lab.session, &text);
    free(call);
    lab_close(&lab);
}

// ---- room for outputs ---------------------------------------------------------------------------

Test(session_data, the_session_gives_memory_where_the_caller_has_none)
{
    struct lab lab;
    struct rows *call = malloc(sizeof(*call));
    lab_init(&lab, make_rows);
    for (int64_t step = 0; step < 5; step++) {
        rows_init(call, ROWS, step);
        struct espy_tensor relu = {.name = "relu"};
        call->outputs[0] = (struct espy_tensor){.name = "abs"};
        call->outputs[1] = (struct espy_tensor){.name = "sum"};
        EXPECT_OK(&lab, espy_session_run(lab.session, call->inputs, 2, call->outputs, 2));
        expect_rows(call, ROWS, step);
        cr_expect(call->outputs[1].size == COLUMNS * sizeof(float));
        EXPECT_OK(&lab, espy_session_run(lab.session, call->inputs, 2, &relu, 1));
        cr_expect(relu.dims[0] == ROWS && ((float *)relu.data)[1] == (step == 1 ? 4 : 0));
    }
    free(call);
    lab_close(&lab);
}

Test(session_data, room_that_turns_out_too_small_is_refused_and_nothing_is_touched)
{
    struct lab lab;
    struct rows *call = malloc(sizeof(*call));
    lab_init(&lab, make_rows);
    rows_init(call, ROWS, 2);
    call->outputs[0].size = 500 * COLUMNS * sizeof(float) - 1;
    call->sum[0] = 77;
    EXPECT_FAILED(&lab, espy_session_run(lab.session, call->inputs, 2, call->outputs, 2),
                  ESPY_INVALID_ARGUMENT, "16000");
    cr_expect(call->sum[0] == 77 && call->outputs[1].rank == 0);
    call->outputs[0].size++;
    EXPECT_OK(&lab, espy_session_run(lab.session, call->inputs, 2, call->outputs, 2));
    expect_rows(call, ROWS, 2);
    free(call);
    lab_close(&lab);
}

static void make_static(struct graph *graph)
{
    const uint32_t x = make_input(graph, "x", ESPY_FLOAT32, SHAPE(-1));
    make_output(graph, MAKE(graph, "Add", "y", x, x));
}

Test(session_data, static_models_get_memory_once)
{
    struct lab lab;
    float x[6] = {1, 2, 3, 4, 5, 6};
    lab_init(&lab, make_static);
    unsigned long long before = 0;
    for (int i = 0; i < 3; i++) {
        const struct espy_tensor input = FLOATS("x", x, 6);
        struct espy_tensor output = {.name = "y"};
        EXPECT_OK(&lab, espy_session_run(lab.session, &input, 1, &output, 1));
        cr_expect(output.size == sizeof(x) && ((float *)output.data)[5] == 12);
        cr_expect(i == 0 || lab.calls == before);
        before = lab.calls;
    }
    lab_close(&lab);
}

// ---- other graphs -------------------------------------------------------------------------------

// r: 0, 1, ... up to the largest of x, which no plan can know: x is large.
static void make_range(struct graph *graph)
{
    const int64_t zero = 0, one = 1;
    const uint32_t x = make_input(graph, "x", ESPY_FLOAT32, SHAPE(5000));
    const uint32_t table = make_weights(graph, "table", SHAPE(40, 300));
    const uint32_t most = MAKE(graph, "ReduceMax", "most", x);
    make_number(graph, "keepdims", 0);
    const uint32_t count = MAKE(graph, "Cast", "count", most);
    cr_assert(espy_graph_set_string(graph, &graph->nodes[graph->node_count - 1], "to", "int64") ==
              ESPY_OK);
    const uint32_t r =
        MAKE(graph, "Range", "r", make_constant(graph, "z", ESPY_INT64, SCALAR, &zero), count,
             make_constant(graph, "o", ESPY_INT64, SCALAR, &one));
    make_output(graph, r);
    make_output(graph, MAKE(graph, "Gather", "g", table, r));
    make_number(graph, "axis", 0);
}

Test(session_data, a_number_that_was_computed_is_a_shape_afterwards)
{
    static const int64_t counts[] = {3, 40, 0, 17, 3};
    struct lab lab;
    float *x = calloc(5000, sizeof(*x));
    lab_init(&lab, make_range);
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        const struct espy_tensor input = {.name = "x",
                                          .dtype = ESPY_FLOAT32,
                                          .rank = 1,
                                          .dims = {5000},
                                          .data = x,
                                          .size = 5000 * sizeof(*x)};
        struct espy_tensor outputs[] = {{.name = "r"}, {.name = "g"}};
        espy_ticket ticket;
        espy_status status;
        x[4321] = (float)counts[i];
        EXPECT_OK(&lab, espy_session_submit(lab.session, &input, 1, outputs, 2, &ticket));
        x[4321] = 1e6f; // the input was copied
        do
            status = espy_session_wait(lab.session, ticket, 0);
        while (status == ESPY_TIMEOUT);
        EXPECT_OK(&lab, status);
        x[4321] = 0;
        cr_assert(outputs[0].dims[0] == counts[i] && outputs[1].dims[0] == counts[i] &&
                  outputs[1].dims[1] == 300);
        for (int64_t k = 0; k < counts[i]; k++) {
            cr_expect(((int64_t *)outputs[0].data)[k] == k);
            cr_expect(((float *)outputs[1].data)[k * 300 + 7] ==
                      (float)(((k * 300 + 7) * 37 + 5) % 64) / 64.0f - 0.5f);
        }
    }
    free(x);
    lab_close(&lab);
}

// Which elements of x are not zero, and which numbers these have.
static void make_counted(struct graph *graph)
{
    const uint32_t x = make_input(graph, "x", ESPY_INT32, SHAPE(-1));
    const uint32_t where = MAKE(graph, "NonZero", "where", x);
    make_output(graph, where);
    make_output(graph, MAKE(graph, "Unique", "places", where));
}

// The first is counted as the second segment's input is made, which is counted too.
Test(session_data, counts_of_the_device_are_counted_on)
{
    enum { COUNT = 20000 };
    static const int64_t steps[] = {1, 3, COUNT - 1, 2, 1};
    struct lab lab;
    int32_t *x = malloc(COUNT * sizeof(*x));
    lab_init(&lab, make_counted);
    for (size_t s = 0; s <= sizeof(steps) / sizeof(steps[0]); s++) {
        const int64_t step = s == 0 ? COUNT + 1 : steps[s - 1]; // first none at all
        for (int64_t i = 0; i < COUNT; i++)
            x[i] = (i + 1) % step == 0 ? -7 : 0;
        const struct espy_tensor input = {.name = "x",
                                          .dtype = ESPY_INT32,
                                          .rank = 1,
                                          .dims = {COUNT},
                                          .data = x,
                                          .size = COUNT * sizeof(*x)};
        struct espy_tensor outputs[] = {{.name = "where"}, {.name = "places"}};
        EXPECT_OK(&lab, espy_session_run(lab.session, &input, 1, outputs, 2));
        const int64_t found = COUNT / step;
        cr_assert(outputs[0].rank == 2 && outputs[0].dims[0] == 1 && outputs[0].dims[1] == found);
        cr_assert(outputs[1].rank == 1 && outputs[1].dims[0] == found, "%lld, not %lld",
                  (long long)outputs[1].dims[0], (long long)found);
        for (int64_t i = 0; i < found; i++)
            cr_assert(((int64_t *)outputs[0].data)[i] == (i + 1) * step - 1 &&
                      ((int64_t *)outputs[1].data)[i] == (i + 1) * step - 1);
    }
    free(x);
    lab_close(&lab);
}

// float64, which the device has as float32: the host counts, whatever the size.
static void make_exact(struct graph *graph)
{
    const uint32_t x = make_input(graph, "x", ESPY_FLOAT64, SHAPE(-1));
    make_output(graph, MAKE(graph, "Unique", "y", x));
}

Test(session_data, what_the_device_cannot_tell_apart_is_counted_by_the_host)
{
    enum { COUNT = 6000 };
    struct lab lab;
    double *x = malloc(COUNT * sizeof(*x));
    lab_init(&lab, make_exact);
    for (int64_t i = 0; i < COUNT; i++)
        x[i] = 1 + (double)(i % 50) * 1e-12;
    const struct espy_tensor input = {.name = "x",
                                      .dtype = ESPY_FLOAT64,
                                      .rank = 1,
                                      .dims = {COUNT},
                                      .data = x,
                                      .size = COUNT * sizeof(*x)};
    struct espy_tensor output = {.name = "y"};
    EXPECT_OK(&lab, espy_session_run(lab.session, &input, 1, &output, 1));
    cr_expect(output.dims[0] == 50, "%lld", (long long)output.dims[0]);
    free(x);
    lab_close(&lab);
}

// Boxes moved by one, the best of them that do not overlap, and how many these are.
static void make_boxes(struct graph *graph)
{
    const int64_t most = 100, minus_one[1] = {-1};
    const float half = 0.5f, one = 1;
    const uint32_t boxes = make_input(graph, "boxes", ESPY_FLOAT32, SHAPE(1, -1, 4));
    const uint32_t scores = make_input(graph, "scores", ESPY_FLOAT32, SHAPE(1, 1, -1));
    const uint32_t moved =
        MAKE(graph, "Add", "moved", boxes, make_constant(graph, "one", ESPY_FLOAT32, SCALAR, &one));
    const uint32_t best = MAKE(graph, "NonMaxSuppression", "best", moved, scores,
                               make_constant(graph, "most", ESPY_INT64, SHAPE(1), &most),
                               make_constant(graph, "half", ESPY_FLOAT32, SHAPE(1), &half));
    const uint32_t column = MAKE(graph, "Gather", "column", best,
                                 make_constant(graph, "two", ESPY_INT64, SCALAR, &(int64_t){2}));
    make_number(graph, "axis", 1);
    const uint32_t flat = MAKE(graph, "Squeeze", "flat", moved, make_axis(graph, "axis", 0));
    const uint32_t kept = MAKE(graph, "Gather", "kept", flat, column);
    make_number(graph, "axis", 0);
    const uint32_t shape =
        MAKE(graph, "Reshape", "line", kept,
             make_constant(graph, "flat_shape", ESPY_INT64, SHAPE(1), minus_one));
    make_output(graph, kept);
    make_output(graph, shape);
    make_output(graph, MAKE(graph, "Shape", "size", kept));
}

Test(session_data, boxes_are_suppressed_between_segments)
{
    enum { BOXES = 600 };
    struct lab lab;
    float *boxes = malloc(4 * BOXES * sizeof(*boxes)), *scores = malloc(BOXES * sizeof(*scores));
    lab_init(&lab, make_boxes);
    for (int64_t apart = 1; apart <= 3; apart++) {
        for (int64_t i = 0; i < BOXES; i++) { // groups of 8 in one place, the last one the best
            const float at = (float)(i / 8 * 4 * apart);
            const float box[4] = {at, at, at + 2, at + 2};
            memcpy(boxes + 4 * i, box, sizeof(box));
            scores[i] = (float)i;
        }
        const int64_t count = BOXES / apart;
        const struct espy_tensor inputs[] = {{.name = "boxes",
                                              .dtype = ESPY_FLOAT32,
                                              .rank = 3,
                                              .dims = {1, count, 4},
                                              .data = boxes,
                                              .size = (size_t)count * 16},
                                             {.name = "scores",
                                              .dtype = ESPY_FLOAT32,
                                              .rank = 3,
                                              .dims = {1, 1, count},
                                              .data = scores,
                                              .size = (size_t)count * 4}};
        struct espy_tensor outputs[] = {{.name = "kept"}, {.name = "line"}, {.name = "size"}};
        EXPECT_OK(&lab, espy_session_run(lab.session, inputs, 2, outputs, 3));
        const int64_t groups = (count + 7) / 8;
        cr_assert(outputs[0].rank == 2 && outputs[0].dims[0] == groups && outputs[0].dims[1] == 4);
        cr_assert(outputs[1].rank == 1 && outputs[1].dims[0] == 4 * groups);
        cr_expect(((int64_t *)outputs[2].data)[0] == groups);
        for (int64_t g = 0; g < groups; g++)
            cr_expect(((float *)outputs[0].data)[4 * g] ==
                      (float)((groups - 1 - g) * 4 * apart) + 1);
    }
    free(boxes);
    free(scores);
    lab_close(&lab);
}

// ---- memory, failures, verify -------------------------------------------------------------------

Test(session_data, every_allocation_of_a_run_may_fail)
{
    struct lab lab;
    struct rows *call = malloc(sizeof(*call));
    lab_open(&lab);
    lab_model(&lab, make_rows);
    lab_session(&lab, NULL);
    run_rows(&lab, call, ROWS, 2); // the pipelines stay with the device
    espy_status status = ESPY_OUT_OF_MEMORY;
    for (unsigned n = 1; status != ESPY_OK; n++) {
        espy_session_destroy(&lab.session);
        lab_session(&lab, NULL);
        rows_init(call, ROWS, 2);
        call->outputs[0] = (struct espy_tensor){.name = "abs"};
        lab.fail_at = lab.calls + n;
        status = espy_session_run(lab.session, call->inputs, 2, call->outputs, 2);
        lab.fail_at = 0;
        cr_assert(status == ESPY_OK || status == ESPY_OUT_OF_MEMORY, "allocation %u: %s", n,
                  lab.last_error);
        cr_expect(lab.errors == (status != ESPY_OK), "allocation %u: %u lines", n,
                  (unsigned)lab.errors);
        cr_expect(status == ESPY_OK || call->outputs[0].rank == 0);
        lab.errors = 0;
        lab.last_error[0] = '\0';
        if (status != ESPY_OK && n % 16 == 0) // the session has taken no harm
            run_rows(&lab, call, ROWS, 3);
    }
    expect_rows(call, ROWS, 2);
    free(call);
    lab_close(&lab);
}

Test(session_data, memory_max_holds_for_all_segments_of_a_run_together)
{
    struct lab lab;
    struct rows *call = malloc(sizeof(*call));
    lab_open(&lab);
    lab_model(&lab, make_rows);
    lab_session(&lab, &(struct espy_session_params){.size = sizeof(struct espy_session_params),
                                                    .memory_max = 40000});
    rows_init(call, ROWS, 1);
    EXPECT_FAILED(&lab, espy_session_run(lab.session, call->inputs, 2, call->outputs, 2),
                  ESPY_OUT_OF_MEMORY, "limit");
    run_rows(&lab, call, 10, 1);
    free(call);
    lab_close(&lab);
}

struct entries {
    uint32_t count, failed;
    bool nonzero, abs;
};

static void keep_entry(void *user, const struct espy_verify_entry *entry)
{
    struct entries *entries = user;
    entries->count++;
    entries->failed += !entry->passed;
    entries->nonzero = entries->nonzero || strcmp(entry->op, "NonZero") == 0;
    entries->abs = entries->abs || strcmp(entry->value, "abs") == 0;
}

Test(session_data, verify_compares_the_nodes_of_every_segment)
{
    struct lab lab;
    struct rows *call = malloc(sizeof(*call));
    struct entries entries = {.count = 0};
    lab_open(&lab);
    lab_model(&lab, make_rows);
    lab_session(&lab, &(struct espy_session_params){.size = sizeof(struct espy_session_params),
                                                    .keep_values = true});
    rows_init(call, ROWS, 2);
    EXPECT_OK(&lab, espy_session_verify(lab.session, call->inputs, 2, 0, keep_entry, &entries));
    cr_expect(entries.failed == 0 && entries.abs && entries.nonzero, "%u entries", entries.count);
    run_rows(&lab, call, ROWS, 2);
    free(call);
    lab_close(&lab);
}
