// Goal: every call of espy.h keeps the rules that it documents, above all when it is used wrongly:
// a status, one error line, outputs untouched, and everything goes on working.
// Method: small networks made in code, a real device, the validation layer on; each test ends by
// checking that no allocation, no error line and no validation message is left.
#include "test_session_fixture.h"

#include <stddef.h>

// y = a + b, z = relu(y); n by 4. w is an output that is constant, a one that is an input.
static void make_sum(struct graph *graph)
{
    const uint32_t a = make_input(graph, "a", ESPY_FLOAT32, SHAPE(-1, 4));
    const uint32_t b = make_input(graph, "b", ESPY_FLOAT32, SHAPE(-1, 4));
    const uint32_t w = make_weights(graph, "w", SHAPE(2, 3));
    const uint32_t y = MAKE(graph, "Add", "y", a, b);
    make_output(graph, y);
    make_output(graph, MAKE(graph, "Relu", "z", y));
    make_output(graph, w);
    make_output(graph, a);
}

// Takes long enough to be seen in flight.
static void make_long(struct graph *graph)
{
    uint32_t y = make_input(graph, "x", ESPY_FLOAT32, SHAPE(256, 256));
    const uint32_t w = make_weights(graph, "w", SHAPE(256, 256));
    static const char *const names[] = {"y1", "y2", "y3", "y"};
    for (int i = 0; i < 4; i++)
        y = MAKE(graph, "MatMul", names[i], y, w);
    make_output(graph, y);
}

// ---- objects ------------------------------------------------------------------------------------

Test(session, making_objects_from_null_is_refused)
{
    struct lab lab;
    espy_model *model = NULL;
    uint32_t count;
    lab_open(&lab);
    lab_model(&lab, make_sum);
    cr_expect(espy_context_create(NULL, NULL) == ESPY_INVALID_ARGUMENT);
    cr_expect(espy_device_list(NULL, NULL, &count) == ESPY_INVALID_ARGUMENT);
    cr_expect(espy_device_create(NULL, NULL, &lab.device) == ESPY_INVALID_ARGUMENT);
    cr_expect(espy_model_load_file(NULL, "x", &model) == ESPY_INVALID_ARGUMENT);
    cr_expect(espy_model_load_memory(NULL, "x", 1, &model) == ESPY_INVALID_ARGUMENT);
    cr_expect(espy_session_create(NULL, lab.model, NULL, &lab.session) == ESPY_INVALID_ARGUMENT);
    cr_expect(lab.errors == 0);
    EXPECT_FAILED(&lab, espy_device_list(lab.context, NULL, NULL), ESPY_INVALID_ARGUMENT, "count");
    EXPECT_FAILED(&lab, espy_device_create(lab.context, NULL, NULL), ESPY_INVALID_ARGUMENT,
                  "device");
    EXPECT_FAILED(&lab, espy_model_load_file(lab.context, NULL, &model), ESPY_INVALID_ARGUMENT,
                  "path");
    EXPECT_FAILED(&lab, espy_model_load_file(lab.context, "x", NULL), ESPY_INVALID_ARGUMENT,
                  "model");
    EXPECT_FAILED(&lab, espy_model_load_memory(lab.context, NULL, 5, &model), ESPY_INVALID_ARGUMENT,
                  "bytes");
    EXPECT_FAILED(&lab, espy_model_load_memory(lab.context, "x", 1, NULL), ESPY_INVALID_ARGUMENT,
                  "model");
    EXPECT_FAILED(&lab, espy_session_create(lab.device, NULL, NULL, &lab.session),
                  ESPY_INVALID_ARGUMENT, "model");
    EXPECT_FAILED(&lab, espy_session_create(lab.device, lab.model, NULL, NULL),
                  ESPY_INVALID_ARGUMENT, "session");
    cr_expect(model == NULL && lab.session == NULL, "outputs are untouched");
    lab_close(&lab);
}

Test(session, using_a_session_that_is_null_is_refused)
{
    struct espy_tensor tensor = {.name = "x"};
    struct espy_plan_info info;
    struct espy_value_info value;
    espy_ticket ticket = 7;
    char *text = NULL;
    cr_expect(espy_session_plan(NULL, &tensor, 1, &info, NULL) == ESPY_INVALID_ARGUMENT);
    cr_expect(espy_session_plan_text(NULL, &tensor, 1, &text) == ESPY_INVALID_ARGUMENT);
    cr_expect(espy_session_run(NULL, &tensor, 1, &tensor, 1) == ESPY_INVALID_ARGUMENT);
    cr_expect(espy_session_submit(NULL, &tensor, 1, &tensor, 1, &ticket) == ESPY_INVALID_ARGUMENT);
    cr_expect(espy_session_wait(NULL, 1, 0) == ESPY_INVALID_ARGUMENT);
    cr_expect(espy_session_verify(NULL, &tensor, 1, 0, NULL, NULL) == ESPY_INVALID_ARGUMENT);
    cr_expect(espy_model_input(NULL, 0, &value) == ESPY_INVALID_ARGUMENT);
    cr_expect(espy_model_output(NULL, 0, &value) == ESPY_INVALID_ARGUMENT);
    espy_text_free(NULL, &text);
    cr_expect(ticket == 7 && text == NULL);
}

Test(session, destroying_null_or_twice_is_fine)
{
    struct lab lab;
    espy_context_destroy(NULL);
    espy_device_destroy(NULL);
    espy_model_destroy(NULL);
    espy_session_destroy(NULL);
    lab_init(&lab, make_sum);
    espy_session_destroy(&lab.session);
    espy_session_destroy(&lab.session);
    espy_device_destroy(&lab.device); // before the model: either order will do
    espy_device_destroy(&lab.device);
    espy_model_destroy(&lab.model);
    espy_model_destroy(&lab.model);
    espy_context_destroy(&lab.context);
    espy_context_destroy(&lab.context);
    cr_expect(lab.device == NULL && lab.model == NULL && lab.context == NULL && lab.live == 0);
}

static void no_entry(void *user, const struct espy_verify_entry *entry)
{
    (void)user;
    cr_expect(false, "%s is verified", entry->node);
}

Test(session, fields_beyond_a_smaller_size_are_not_read)
{
    struct lab lab = {.live = 0};
    struct espy_context_params params = {
        .log = lab_log, .log_user = &lab, .realloc = lab_realloc, .realloc_user = &lab};
    params.size = offsetof(struct espy_context_params, realloc);
    cr_assert(espy_context_create(&params, &lab.context) == ESPY_OK);
    cr_expect(lab.calls == 0, "realloc was beyond the end");
    espy_context_destroy(&lab.context);
    lab_init(&lab, make_sum);
    espy_session_destroy(&lab.session);
    struct espy_session_params session = {.memory_max = 0, .keep_values = true, .plans_max = 77};
    session.size = offsetof(struct espy_session_params, keep_values);
    lab_session(&lab, &session);
    float a[4] = {1, 2, 3, 4};
    const struct espy_tensor inputs[] = {FLOATS("a", a, 1, 4), FLOATS("b", a, 1, 4)};
    EXPECT_FAILED(&lab, espy_session_verify(lab.session, inputs, 2, 0, no_entry, NULL),
                  ESPY_INVALID_ARGUMENT, "keep_values");
    lab_close(&lab);
}

Test(session, a_larger_params_struct_of_a_newer_program_is_fine)
{
    struct lab lab;
    struct {
        struct espy_session_params known;
        char news[64];
    } params = {{.size = sizeof(params)}, {0}};
    memset(params.news, 0xff, sizeof(params.news));
    lab_open(&lab);
    lab_model(&lab, make_sum);
    lab_session(&lab, &params.known);
    lab_close(&lab);
}

Test(session, models_are_described_as_the_file_says)
{
    struct lab lab;
    struct espy_value_info info = {.name = "sentinel"};
    lab_context(&lab);
    lab_model(&lab, make_sum);
    cr_expect(espy_model_input_count(lab.model) == 2 && espy_model_output_count(lab.model) == 4);
    EXPECT_FAILED(&lab, espy_model_input(lab.model, 2, &info), ESPY_INVALID_ARGUMENT, "2");
    EXPECT_FAILED(&lab, espy_model_output(lab.model, 4, &info), ESPY_INVALID_ARGUMENT, "4");
    EXPECT_FAILED(&lab, espy_model_input(lab.model, 0, NULL), ESPY_INVALID_ARGUMENT, "info");
    EXPECT_FAILED(&lab, espy_model_output(lab.model, 0, NULL), ESPY_INVALID_ARGUMENT, "info");
    cr_expect(strcmp(info.name, "sentinel") == 0, "untouched");
    EXPECT_OK(&lab, espy_model_input(lab.model, 1, &info));
    cr_expect(strcmp(info.name, "b") == 0 && info.dtype == ESPY_FLOAT32 && info.has_shape);
    cr_expect(info.rank == 2 && info.dims[0] == -1 && info.dims[1] == 4);
    cr_expect(strcmp(info.symbols[0], "n") == 0 && info.symbols[1] == NULL);
    cr_expect(info.role == NULL && info.preprocess == NULL && info.label_count == 0);
    cr_expect(info.threshold == 0);
    EXPECT_OK(&lab, espy_model_output(lab.model, 0, &info));
    cr_expect(strcmp(info.name, "y") == 0 && !info.has_shape);
    lab_close(&lab);
}

Test(session, models_say_what_their_inputs_and_outputs_are_for)
{
    struct lab lab;
    struct espy_value_info info;
    lab_context(&lab);
    EXPECT_OK(&lab, espy_model_load_file(lab.context,
                                         ESPY_SOURCE_DIR "/tests/corpus/good/roles.espy",
                                         &lab.model));
    EXPECT_OK(&lab, espy_model_input(lab.model, 0, &info));
    cr_expect(strcmp(info.role, "tokens") == 0 && info.label_count == 3);
    cr_expect(strcmp(info.labels[1], "red") == 0);
    EXPECT_OK(&lab, espy_model_output(lab.model, 1, &info));
    cr_expect(strcmp(info.role, "scores") == 0 && strcmp(info.of, "pixels") == 0);
    cr_expect(info.threshold == 0.25 && info.label_count == 0);
    lab_close(&lab);
}

Test(session, files_that_are_not_there_or_not_models_are_refused)
{
    struct lab lab;
    lab_context(&lab);
    EXPECT_FAILED(&lab, espy_model_load_file(lab.context, "/nonexistent/x.espy", &lab.model),
                  ESPY_IO_ERROR, "x.espy");
    EXPECT_FAILED(&lab, espy_model_load_file(lab.context, ESPY_SOURCE_DIR, &lab.model),
                  ESPY_IO_ERROR, "");
    EXPECT_FAILED(&lab, espy_model_load_file(lab.context, __FILE__, &lab.model), ESPY_BAD_FORMAT,
                  "");
    EXPECT_FAILED(&lab, espy_model_load_memory(lab.context, "", 0, &lab.model), ESPY_BAD_FORMAT,
                  "");
    cr_expect(lab.model == NULL);
    EXPECT_OK(&lab,
              espy_model_load_file(lab.context, ESPY_SOURCE_DIR "/tests/corpus/good/minimal.espy",
                                   &lab.model));
    lab_close(&lab);
}

Test(session, devices_are_listed_counted_and_found_by_name)
{
    struct lab lab;
    struct espy_device_info infos[8], info;
    uint32_t count = 0, one = 1;
    lab_context(&lab);
    EXPECT_OK(&lab, espy_device_list(lab.context, NULL, &count));
    cr_assert(count >= 1 && count <= 8);
    uint32_t room = 8;
    EXPECT_OK(&lab, espy_device_list(lab.context, infos, &room));
    cr_expect(room == count);
    memset(&infos[1], 0x55, sizeof(infos[1]));
    EXPECT_OK(&lab, espy_device_list(lab.context, infos, &one));
    cr_expect(one == count && *(unsigned char *)&infos[1] == 0x55,
              "no more than there is room for");
    struct espy_device_params params = {.size = sizeof(params), .cache_dir = "", .name = "no such"};
    EXPECT_FAILED(&lab, espy_device_create(lab.context, &params, &lab.device), ESPY_NO_DEVICE,
                  "no such");
    params.name = "99";
    EXPECT_FAILED(&lab, espy_device_create(lab.context, &params, &lab.device), ESPY_NO_DEVICE,
                  "99");
    cr_expect(lab.device == NULL);
    char index[16];
    snprintf(index, sizeof(index), "%u", infos[0].index);
    params.name = index;
    EXPECT_OK(&lab, espy_device_create(lab.context, &params, &lab.device));
    espy_device_get_info(lab.device, &info);
    cr_expect(strcmp(info.name, infos[0].name) == 0 && info.usable);
    lab_close(&lab);
}

// ---- wrong calls --------------------------------------------------------------------------------

enum { ROWS = 3, ELEMENTS = ROWS * 4 };

struct call {
    struct espy_tensor inputs[3], outputs[4];
    uint32_t input_count, output_count;
    float a[ELEMENTS], b[ELEMENTS], y[ELEMENTS], z[ELEMENTS], w[6], copy[ELEMENTS];
};

static void call_init(struct call *call)
{
    *call = (struct call){.inputs = {FLOATS("a", call->a, ROWS, 4), FLOATS("b", call->b, ROWS, 4)},
                          .outputs = {ROOM("y", call->y), ROOM("z", call->z)},
                          .input_count = 2,
                          .output_count = 2};
    for (uint32_t i = 0; i < ELEMENTS; i++) {
        call->a[i] = (float)i;
        call->b[i] = -5;
        call->y[i] = call->z[i] = 77;
    }
}

static void expect_right(const struct call *call)
{
    for (uint32_t i = 0; i < ELEMENTS; i++) {
        const float y = call->a[i] + call->b[i];
        cr_expect(call->y[i] == y && call->z[i] == (y > 0 ? y : 0), "element %u", i);
    }
    cr_expect(call->outputs[0].dtype == ESPY_FLOAT32 && call->outputs[0].rank == 2);
    cr_expect(call->outputs[0].dims[0] == ROWS && call->outputs[0].dims[1] == 4);
}

static void in_name(struct call *call)
{
    call->inputs[1].name = "c";
}

static void in_null_name(struct call *call)
{
    call->inputs[0].name = NULL;
}

static void in_output_name(struct call *call)
{
    call->inputs[0].name = "y";
}

static void in_twice(struct call *call)
{
    call->inputs[1].name = "a";
}

static void in_missing(struct call *call)
{
    call->input_count = 1;
}

static void in_none(struct call *call)
{
    call->input_count = 0;
}

static void in_third(struct call *call)
{
    call->inputs[call->input_count++] = call->inputs[0];
}

static void in_dtype(struct call *call)
{
    call->inputs[0].dtype = ESPY_INT32;
}

static void in_no_dtype(struct call *call)
{
    call->inputs[0].dtype = ESPY_DTYPE_NONE;
}

static void in_rank(struct call *call)
{
    call->inputs[0].rank = 1;
}

static void in_huge_rank(struct call *call)
{
    call->inputs[0].rank = UINT32_MAX;
}

static void in_dim(struct call *call)
{
    call->inputs[0].dims[1] = 5;
}

static void in_negative(struct call *call)
{
    call->inputs[0].dims[0] = -1;
}

static void in_huge(struct call *call)
{
    call->inputs[0].dims[0] = INT64_MAX / 4;
}

static void in_overflow(struct call *call)
{
    call->inputs[0].dims[0] = INT64_MAX;
}

static void in_symbol(struct call *call)
{
    call->inputs[1].dims[0] = ROWS - 1;
    call->inputs[1].size = (ROWS - 1) * 16;
}

static void in_small(struct call *call)
{
    call->inputs[0].size -= 1;
}

static void in_large(struct call *call)
{
    call->inputs[0].size += 4;
}

static void in_no_data(struct call *call)
{
    call->inputs[0].data = NULL;
}

static void out_name(struct call *call)
{
    call->outputs[1].name = "nothing";
}

static void out_null_name(struct call *call)
{
    call->outputs[1].name = NULL;
}

static void out_inner_name(struct call *call)
{
    call->outputs[0].name = "b";
}

static void out_twice(struct call *call)
{
    call->outputs[1].name = "y";
}

static void out_small(struct call *call)
{
    call->outputs[1].size -= 1;
}

static void out_no_data(struct call *call)
{
    call->outputs[0].data = NULL;
}

static const struct {
    void (*spoil)(struct call *call);
    const char *words;
} wrongs[] = {
    {in_name, "'c'"},        {in_null_name, "(NULL)"}, {in_output_name, "'y'"},
    {in_twice, "twice"},     {in_missing, "'b'"},      {in_none, "'a'"},
    {in_third, "twice"},     {in_dtype, "int32"},      {in_no_dtype, "none"},
    {in_rank, "shape"},      {in_huge_rank, "shape"},  {in_dim, "3x5"},
    {in_negative, "shape"},  {in_huge, "'a'"},         {in_overflow, "too large"},
    {in_symbol, "'n'"},      {in_small, "48"},         {in_large, "48"},
    {in_no_data, "48"},      {out_name, "'nothing'"},  {out_null_name, "(NULL)"},
    {out_inner_name, "'b'"}, {out_twice, "twice"},     {out_small, "48"},
    {out_no_data, "48"},
};

Test(session, every_wrong_call_is_refused_and_the_next_right_one_works)
{
    struct lab lab;
    lab_init(&lab, make_sum);
    for (size_t i = 0; i < sizeof(wrongs) / sizeof(*wrongs); i++) {
        struct call call, before;
        espy_ticket ticket = 99;
        call_init(&call);
        wrongs[i].spoil(&call);
        memcpy(&before, &call, sizeof(call));
        EXPECT_FAILED(&lab,
                      espy_session_run(lab.session, call.inputs, call.input_count, call.outputs,
                                       call.output_count),
                      ESPY_INVALID_ARGUMENT, wrongs[i].words);
        EXPECT_FAILED(&lab,
                      espy_session_submit(lab.session, call.inputs, call.input_count, call.outputs,
                                          call.output_count, &ticket),
                      ESPY_INVALID_ARGUMENT, wrongs[i].words);
        cr_expect(memcmp(&before, &call, sizeof(call)) == 0 && ticket == 99, "case %zu touches", i);
        call_init(&call);
        EXPECT_OK(&lab, espy_session_run(lab.session, call.inputs, 2, call.outputs, 2));
        expect_right(&call);
    }
    lab_close(&lab);
}

Test(session, lists_that_are_null_are_refused)
{
    struct lab lab;
    struct call call;
    lab_init(&lab, make_sum);
    call_init(&call);
    EXPECT_FAILED(&lab, espy_session_run(lab.session, NULL, 2, call.outputs, 2),
                  ESPY_INVALID_ARGUMENT, "inputs");
    EXPECT_FAILED(&lab, espy_session_run(lab.session, call.inputs, 2, NULL, 2),
                  ESPY_INVALID_ARGUMENT, "outputs");
    EXPECT_FAILED(&lab, espy_session_submit(lab.session, call.inputs, 2, call.outputs, 2, NULL),
                  ESPY_INVALID_ARGUMENT, "ticket");
    EXPECT_FAILED(&lab, espy_session_plan(lab.session, NULL, 2, NULL, NULL), ESPY_INVALID_ARGUMENT,
                  "inputs");
    EXPECT_FAILED(&lab, espy_session_plan_text(lab.session, call.inputs, 2, NULL),
                  ESPY_INVALID_ARGUMENT, "text");
    EXPECT_OK(&lab, espy_session_run(lab.session, call.inputs, 2, NULL, 0));
    lab_close(&lab);
}

// ---- outputs ------------------------------------------------------------------------------------

Test(session, outputs_may_be_few_or_in_another_order_or_inputs_or_constants)
{
    struct lab lab;
    struct call call;
    lab_init(&lab, make_sum);
    call_init(&call);
    const struct espy_tensor z[] = {ROOM("z", call.z)};
    call.outputs[0] = z[0];
    EXPECT_OK(&lab, espy_session_run(lab.session, call.inputs, 2, call.outputs, 1));
    cr_expect(call.z[ELEMENTS - 1] == ELEMENTS - 6 && call.y[0] == 77, "only what is asked for");
    const struct espy_tensor all[] = {ROOM("w", call.w), ROOM("a", call.copy), ROOM("z", call.z),
                                      ROOM("y", call.y)};
    memcpy(call.outputs, all, sizeof(all));
    EXPECT_OK(&lab, espy_session_run(lab.session, call.inputs, 2, call.outputs, 4));
    cr_expect(memcmp(call.copy, call.a, sizeof(call.a)) == 0, "an input");
    cr_expect(call.w[0] != call.w[1] && call.outputs[0].dims[0] == 2, "a constant");
    cr_expect(call.outputs[0].dims[1] == 3 && call.outputs[1].dims[0] == ROWS);
    lab_close(&lab);
}

Test(session, room_may_be_larger_than_needed_and_the_rest_is_untouched)
{
    struct lab lab;
    struct call call;
    float wide[ELEMENTS + 1];
    lab_init(&lab, make_sum);
    call_init(&call);
    wide[ELEMENTS] = 77;
    const struct espy_tensor y = ROOM("y", wide);
    call.outputs[0] = y;
    EXPECT_OK(&lab, espy_session_run(lab.session, call.inputs, 2, call.outputs, 1));
    cr_expect(wide[0] == -5 && wide[ELEMENTS - 1] == ELEMENTS - 6 && wide[ELEMENTS] == 77);
    cr_expect(call.outputs[0].size == sizeof(wide), "size says the room there is");
    lab_close(&lab);
}

// ---- tickets ------------------------------------------------------------------------------------

Test(session, one_run_is_in_flight_and_its_ticket_is_the_only_one)
{
    struct lab lab;
    struct call call, other;
    espy_ticket ticket = 0, second = 99;
    char *text = NULL;
    lab_init(&lab, make_sum);
    call_init(&call);
    call_init(&other);
    EXPECT_FAILED(&lab, espy_session_wait(lab.session, 0, 0), ESPY_INVALID_ARGUMENT, "ticket 0");
    EXPECT_OK(&lab, espy_session_submit(lab.session, call.inputs, 2, call.outputs, 2, &ticket));
    cr_expect(ticket == 1);
    memset(call.inputs[0].data, 0xff, sizeof(call.a)); // it was copied
    EXPECT_FAILED(&lab,
                  espy_session_submit(lab.session, other.inputs, 2, other.outputs, 2, &second),
                  ESPY_INVALID_ARGUMENT, "in flight");
    EXPECT_FAILED(&lab, espy_session_run(lab.session, other.inputs, 2, other.outputs, 2),
                  ESPY_INVALID_ARGUMENT, "in flight");
    EXPECT_FAILED(&lab, espy_session_plan(lab.session, other.inputs, 2, NULL, NULL),
                  ESPY_INVALID_ARGUMENT, "in flight");
    EXPECT_FAILED(&lab, espy_session_plan_text(lab.session, other.inputs, 2, &text),
                  ESPY_INVALID_ARGUMENT, "in flight");
    EXPECT_FAILED(&lab, espy_session_wait(lab.session, 2, UINT64_MAX), ESPY_INVALID_ARGUMENT,
                  "ticket 2");
    cr_expect(second == 99 && text == NULL && call.y[0] == 77, "untouched until the wait");
    EXPECT_OK(&lab, espy_session_wait(lab.session, ticket, UINT64_MAX));
    memcpy(call.a, other.a, sizeof(call.a));
    expect_right(&call);
    EXPECT_FAILED(&lab, espy_session_wait(lab.session, ticket, 0), ESPY_INVALID_ARGUMENT,
                  "ticket 1");
    EXPECT_OK(&lab, espy_session_submit(lab.session, other.inputs, 2, other.outputs, 2, &second));
    cr_expect(second == 2);
    EXPECT_FAILED(&lab, espy_session_wait(lab.session, 1, UINT64_MAX), ESPY_INVALID_ARGUMENT,
                  "ticket 1");
    EXPECT_OK(&lab, espy_session_wait(lab.session, second, UINT64_MAX));
    expect_right(&other);
    lab_close(&lab);
}

Test(session, a_timeout_logs_nothing_and_leaves_the_run_going_on)
{
    enum { TRIES_MAX = 20 };
    static float x[256 * 256], y[256 * 256], again[256 * 256];
    struct lab lab;
    espy_ticket ticket;
    espy_status status;
    lab_init(&lab, make_long);
    for (size_t i = 0; i < 256 * 256; i++)
        x[i] = (float)(i % 7);
    const struct espy_tensor input = FLOATS("x", x, 256, 256);
    struct espy_tensor output = ROOM("y", y), second = ROOM("y", again);
    uint64_t timeouts = 0;
    // Now and then a busy system lets this thread wait until all is done.
    for (int i = 0; i < TRIES_MAX && timeouts == 0; i++) {
        EXPECT_OK(&lab, espy_session_submit(lab.session, &input, 1, &output, 1, &ticket));
        while ((status = espy_session_wait(lab.session, ticket, 0)) == ESPY_TIMEOUT)
            timeouts++;
        EXPECT_OK(&lab, status);
    }
    cr_expect(timeouts > 0, "so much work is not done at once");
    cr_expect(lab.errors == 0 && lab.warnings == 0);
    EXPECT_OK(&lab, espy_session_run(lab.session, &input, 1, &second, 1));
    cr_expect(memcmp(y, again, sizeof(y)) == 0 && y[0] != y[1]);
    lab_close(&lab);
}

Test(session, destroying_with_a_run_in_flight_waits_for_it)
{
    static float x[256 * 256], y[256 * 256];
    struct lab lab;
    espy_ticket ticket;
    lab_init(&lab, make_long);
    y[0] = 77;
    const struct espy_tensor input = FLOATS("x", x, 256, 256);
    struct espy_tensor output = ROOM("y", y);
    EXPECT_OK(&lab, espy_session_submit(lab.session, &input, 1, &output, 1, &ticket));
    lab_close(&lab);
    cr_expect(y[0] == 77, "outputs are filled by the wait only");
}

// ---- what runs cost -----------------------------------------------------------------------------

Test(session, runs_of_a_planned_shape_allocate_nothing)
{
    struct lab lab;
    struct call call;
    espy_ticket ticket;
    lab_init(&lab, make_sum);
    call_init(&call);
    EXPECT_OK(&lab, espy_session_plan(lab.session, call.inputs, 2, NULL, NULL));
    const unsigned long long before = lab.calls;
    const long long live = lab.live;
    for (int i = 0; i < 20; i++) {
        EXPECT_OK(&lab, espy_session_submit(lab.session, call.inputs, 2, call.outputs, 2, &ticket));
        EXPECT_OK(&lab, espy_session_wait(lab.session, ticket, UINT64_MAX));
        expect_right(&call);
    }
    cr_expect(lab.calls == before && lab.live == live, "%llu allocations",
              (unsigned long long)(lab.calls - before));
    lab_close(&lab);
}

// ---- plans --------------------------------------------------------------------------------------

Test(session, a_plan_is_described_before_anything_runs)
{
    struct lab lab;
    struct call call;
    struct espy_plan_info info = {0};
    struct espy_tensor outputs[4];
    char *text = NULL;
    lab_init(&lab, make_sum);
    call_init(&call);
    call.inputs[0].data = call.inputs[1].data = NULL; // not read
    call.inputs[0].size = 0;
    EXPECT_OK(&lab, espy_session_plan(lab.session, call.inputs, 2, &info, outputs));
    cr_expect(info.stage_count == 1 && info.host_node_count == 0 && info.dispatch_count == 2);
    cr_expect(info.memory_size >= 3 * sizeof(call.a) && info.weights_size <= info.memory_size);
    static const char *const names[] = {"y", "z", "w", "a"};
    for (int o = 0; o < 4; o++) {
        cr_expect(strcmp(outputs[o].name, names[o]) == 0 && outputs[o].data == NULL);
        cr_expect(outputs[o].dtype == ESPY_FLOAT32 && outputs[o].rank == 2);
        cr_expect(outputs[o].size == (o == 2 ? sizeof(call.w) : sizeof(call.a)));
    }
    EXPECT_OK(&lab, espy_session_plan(lab.session, call.inputs, 2, NULL, NULL));
    EXPECT_OK(&lab, espy_session_plan_text(lab.session, call.inputs, 2, &text));
    cr_expect(strstr(text, "stage 0") != NULL);
    espy_text_free(lab.session, &text);
    cr_expect(text == NULL);
    espy_text_free(lab.session, &text);
    espy_text_free(lab.session, NULL);
    call.inputs[0].dims[0] = -1;
    EXPECT_FAILED(&lab, espy_session_plan(lab.session, call.inputs, 2, &info, outputs),
                  ESPY_INVALID_ARGUMENT, "shape");
    cr_expect(info.dispatch_count == 2 && strcmp(outputs[3].name, "a") == 0, "untouched");
    lab_close(&lab);
}
