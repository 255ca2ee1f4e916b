#include "suites/lab.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void keep_error(void *user, espy_log_level level, const char *message)
{
    (void)level;
    snprintf(user, sizeof(((struct lab *)NULL)->error), "%s", message);
}

void espy_lab_open(struct lab *lab)
{
    const struct espy_context_params context = {
        .size = sizeof(context), .log = keep_error, .log_user = lab->error};
    const struct espy_device_params device = {.size = sizeof(device),
                                              .name = getenv("ESPY_TEST_DEVICE"),
                                              .cache_dir = "",
                                              .validation = true};
    memset(lab, 0, sizeof(*lab));
    espy_test_host_init(&lab->test);
    espy_arena_init(&lab->arena, &lab->test.host);
    cr_assert(espy_context_create(&context, &lab->context) == ESPY_OK);
    cr_assert(espy_device_create(lab->context, &device, &lab->device) == ESPY_OK, "%s", lab->error);
}

void espy_lab_close(struct lab *lab)
{
    cr_expect(espy_device_validation_count(lab->device) == 0,
              "the validation layer has complained: %s", lab->error);
    espy_session_destroy(&lab->session);
    espy_model_destroy(&lab->model);
    espy_device_destroy(&lab->device);
    espy_context_destroy(&lab->context);
    espy_arena_finish(&lab->arena);
    cr_expect(lab->test.live_count == 0, "%zu allocations are not freed", lab->test.live_count);
}
