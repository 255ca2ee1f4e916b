#include "suites/example.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void keep_error(void *user, espy_log_level level, const char *message)
{
    (void)level;
    snprintf(user, sizeof(((struct example *)NULL)->error), "%s", message);
}

static void open_model(struct example *example, const char *onnx)
{
    struct suite_model converted;
    cr_assert(espy_suite_convert(&example->test.host, onnx, &converted) == ESPY_OK, "%s",
              example->test.last_error);
    cr_assert(espy_model_load_memory(example->context, converted.bytes, converted.size,
                                     &example->model) == ESPY_OK, "%s", example->error);
    espy_suite_model_finish(&converted);
}

void espy_example_open(struct example *example, const char *onnx, bool attends)
{
    memset(example, 0, sizeof(*example));
    const struct espy_context_params context = {
        .size = sizeof(context), .log = keep_error, .log_user = example->error};
    const struct espy_device_params device = {.size = sizeof(device),
                                              .name = getenv("ESPY_TEST_DEVICE"),
                                              .cache_dir = "",
                                              .validation = true};
    espy_test_host_init(&example->test);
    espy_arena_init(&example->arena, &example->test.host);
    cr_assert(espy_context_create(&context, &example->context) == ESPY_OK);
    cr_assert(espy_device_create(example->context, &device, &example->device) == ESPY_OK, "%s",
              example->error);
    open_model(example, onnx);
    struct espy_attention_info site = {0};
    if (attends)
        cr_assert(espy_model_attention(example->model, 0, &site) == ESPY_OK, "%s", example->error);
    const struct espy_session_params session = {
        .size = sizeof(session), .attention = &site.name, .attention_count = attends ? 1 : 0};
    cr_assert(espy_session_create(example->device, example->model, &session, &example->session) ==
                  ESPY_OK, "%s", example->error);
}

void espy_example_close(struct example *example)
{
    cr_expect(espy_device_validation_count(example->device) == 0,
              "the validation layer has complained");
    espy_session_destroy(&example->session);
    espy_model_destroy(&example->model);
    espy_device_destroy(&example->device);
    espy_context_destroy(&example->context);
    espy_arena_finish(&example->arena);
    cr_expect(example->test.live_count == 0);
}
