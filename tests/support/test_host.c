#include "support/test_host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *count_realloc(void *user, void *pointer, size_t size)
{
    struct test_host *test = user;
    if (size == 0) {
        test->live_count -= pointer != NULL;
        free(pointer);
        return NULL;
    }
    test->call_count++;
    if (test->fail_at != 0 && test->call_count >= test->fail_at)
        return NULL;
    void *moved = realloc(pointer, size);
    test->live_count += pointer == NULL && moved != NULL;
    return moved;
}

static void keep_line(void *user, espy_log_level level, const char *message)
{
    struct test_host *test = user;
    if (test->echo)
        fprintf(stderr, "[%s] %s\n", level == ESPY_LOG_ERROR ? "error" : "log", message);
    if (level == ESPY_LOG_ERROR) {
        test->error_count++;
        snprintf(test->last_error, sizeof(test->last_error), "%s", message);
    } else if (level == ESPY_LOG_WARNING) {
        test->warning_count++;
    }
}

void espy_test_host_init(struct test_host *test)
{
    memset(test, 0, sizeof(*test));
    const struct espy_context_params params = {.size = sizeof(params),
                                               .log = keep_line,
                                               .log_user = test,
                                               .realloc = count_realloc,
                                               .realloc_user = test};
    espy_host_init(&test->host, &params);
}
