// For tests of the public API: a context that counts allocations and log lines (from any thread)
// and can let allocations fail, a device with the validation layer on, and models from graphs made
// in code.
#ifndef TESTS_UNIT_TEST_SESSION_FIXTURE_H_
#define TESTS_UNIT_TEST_SESSION_FIXTURE_H_

#include <criterion/criterion.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "espy/espy.h"
#include "format/format.h"
#include "test_graph_fixture.h"

struct lab {
    atomic_uint errors, warnings;
    atomic_llong live;          // allocations not freed
    atomic_ullong calls;        // allocations and growths so far
    unsigned long long fail_at; // the number of the call that fails; 0: none
    bool fail_on;               // and all that come after it
    char last_error[1100];
    espy_context *context;
    espy_device *device;
    espy_model *model;
    espy_session *session;
};

static inline void lab_log(void *user, espy_log_level level, const char *message)
{
    struct lab *lab = user;
    if (level == ESPY_LOG_ERROR && atomic_fetch_add(&lab->errors, 1) == 0)
        snprintf(lab->last_error, sizeof(lab->last_error), "%s", message);
    else if (level == ESPY_LOG_WARNING)
        atomic_fetch_add(&lab->warnings, 1);
    if (getenv("ESPY_TEST_VERBOSE") != NULL)
        fprintf(stderr, "[%d] %s\n", (int)level, message);
}

static inline void *lab_realloc(void *user, void *pointer, size_t size)
{
    struct lab *lab = user;
    if (size == 0) {
        atomic_fetch_sub(&lab->live, pointer != NULL);
        free(pointer);
        return NULL;
    }
    const unsigned long long call = atomic_fetch_add(&lab->calls, 1) + 1;
    if (lab->fail_at != 0 && (call == lab->fail_at || (lab->fail_on && call > lab->fail_at)))
        return NULL;
    void *moved = realloc(pointer, size);
    atomic_fetch_add(&lab->live, pointer == NULL && moved != NULL);
    return moved;
}

static inline void lab_context(struct lab *lab)
{
    memset(lab, 0, sizeof(*lab));
    const struct espy_context_params params = {.size = sizeof(params),
                                               .log = lab_log,
                                               .log_user = lab,
                                               .realloc = lab_realloc,
                                               .realloc_user = lab};
    cr_assert(espy_context_create(&params, &lab->context) == ESPY_OK);
}

static inline void lab_open(struct lab *lab)
{
    lab_context(lab);
    const struct espy_device_params params = {.size = sizeof(params),
                                              .name = getenv("ESPY_TEST_DEVICE"),
                                              .cache_dir = "",
                                              .validation = true};
    cr_assert(espy_device_create(lab->context, &params, &lab->device) == ESPY_OK, "%s",
              lab->last_error);
}

// The graph as the bytes of a file; free() them.
static inline void *lab_bytes(void (*make)(struct graph *graph), size_t *size)
{
    struct host host;
    struct graph graph;
    void *bytes = NULL;
    espy_host_init(&host, NULL); // C's realloc, so that free() frees
    make_graph(&graph, &host);
    make(&graph);
    cr_assert(espy_graph_check(&graph) == ESPY_OK);
    cr_assert(espy_format_write(&host, &graph, &bytes, size) == ESPY_OK);
    espy_graph_finish(&graph);
    return bytes;
}

static inline void lab_model(struct lab *lab, void (*make)(struct graph *graph))
{
    size_t size;
    void *bytes = lab_bytes(make, &size);
    cr_assert(espy_model_load_memory(lab->context, bytes, size, &lab->model) == ESPY_OK, "%s",
              lab->last_error);
    memset(bytes, 0xee, size); // they were copied
    free(bytes);
}

static inline void lab_session(struct lab *lab, const struct espy_session_params *params)
{
    cr_assert(espy_session_create(lab->device, lab->model, params, &lab->session) == ESPY_OK, "%s",
              lab->last_error);
}

static inline void lab_init(struct lab *lab, void (*make)(struct graph *graph))
{
    lab_open(lab);
    lab_model(lab, make);
    lab_session(lab, NULL);
}

static inline void lab_close(struct lab *lab)
{
    if (lab->device != NULL)
        cr_expect(espy_device_validation_count(lab->device) == 0, "the validation layer: %s",
                  lab->last_error);
    espy_session_destroy(&lab->session);
    espy_model_destroy(&lab->model);
    espy_device_destroy(&lab->device);
    espy_context_destroy(&lab->context);
    cr_expect(lab->session == NULL && lab->context == NULL);
    cr_expect(lab->live == 0, "%lld allocations are left", (long long)lab->live);
    cr_expect(lab->errors == 0, "an error line that no test expects: %s", lab->last_error);
}

// The call before this failed with this status and one line, which has these words.
#define EXPECT_FAILED(lab, status, expected, words)                                         \
    do {                                                                                    \
        const espy_status got_ = (status);                                                  \
        cr_expect(got_ == (expected), "%s: %s", espy_status_text(got_), (lab)->last_error); \
        cr_expect((lab)->errors == 1, "%u error lines", (unsigned)(lab)->errors);           \
        cr_expect(strstr((lab)->last_error, words) != NULL, "'%s' does not say '%s'",       \
                  (lab)->last_error, words);                                                \
        (lab)->errors = 0;                                                                  \
        (lab)->last_error[0] = '\0';                                                        \
    } while (0)

#define EXPECT_OK(lab, status)                                                           \
    do {                                                                                 \
        const espy_status got_ = (status);                                               \
        cr_assert(got_ == ESPY_OK, "%s: %s", espy_status_text(got_), (lab)->last_error); \
    } while (0)

#define FLOATS(tensor_name, elements, ...)                                                 \
    {                                                                                      \
        .name = tensor_name, .dtype = ESPY_FLOAT32,                                        \
        .rank = sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), .dims = {__VA_ARGS__}, \
        .data = elements, .size = sizeof(elements)                                         \
    }
#define ROOM(tensor_name, elements)                                     \
    {                                                                   \
        .name = tensor_name, .data = elements, .size = sizeof(elements) \
    }

#endif // TESTS_UNIT_TEST_SESSION_FIXTURE_H_
