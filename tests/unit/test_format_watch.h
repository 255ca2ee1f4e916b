// For the tests of format/: a host that counts log lines and live allocations and can fail the Nth
// allocation, and files read into memory that is aligned as espy_format_read wants it.
#ifndef TESTS_UNIT_TEST_FORMAT_WATCH_H_
#define TESTS_UNIT_TEST_FORMAT_WATCH_H_

#include "format/format.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct watch {
    struct host host;
    uint32_t errors; // lines of level error
    bool newline;    // a message was more than one line
    size_t live;     // allocations not freed
    size_t attempts; // allocations asked for
    size_t fail_at;  // the attempt that fails, from 1; 0: none
    char last[1100]; // the last line
};

static inline void *watch_realloc(void *user, void *pointer, size_t size)
{
    struct watch *watch = user;
    if (size == 0) {
        watch->live -= pointer != NULL;
        free(pointer);
        return NULL;
    }
    if (++watch->attempts == watch->fail_at)
        return NULL;
    void *moved = realloc(pointer, size);
    watch->live += moved != NULL && pointer == NULL;
    return moved;
}

static inline void watch_log(void *user, espy_log_level level, const char *message)
{
    struct watch *watch = user;
    watch->errors += level == ESPY_LOG_ERROR;
    watch->newline = watch->newline || strpbrk(message, "\r\n") != NULL;
    snprintf(watch->last, sizeof(watch->last), "%s", message);
}

// The watch must stay where it is: its host points back to it.
static inline void watch_init(struct watch *watch)
{
    *watch = (struct watch){0};
    espy_host_init(&watch->host, &(struct espy_context_params){.log = watch_log,
                                                               .log_user = watch,
                                                               .realloc = watch_realloc,
                                                               .realloc_user = watch});
}

// True when a call that returned status kept the rules: one line on failure, none on success.
static inline bool watch_kept(const struct watch *watch, espy_status status)
{
    return watch->errors == (status != ESPY_OK) && !watch->newline;
}

static inline unsigned char *aligned_copy(const void *bytes, size_t size)
{
    unsigned char *copy = aligned_alloc(64, (size + 64) / 64 * 64);
    cr_assert_not_null(copy);
    if (size > 0)
        memcpy(copy, bytes, size);
    return copy;
}

// free() the result.
static inline unsigned char *load(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    cr_assert_not_null(file, "%s", path);
    enum { ROOM = 1 << 20 };
    unsigned char *bytes = aligned_alloc(64, ROOM);
    cr_assert_not_null(bytes);
    *size = fread(bytes, 1, ROOM, file);
    cr_assert_lt(*size, ROOM);
    fclose(file);
    // Exactly as large as the file, so that AddressSanitizer sees a read beyond it.
    unsigned char *exact = NULL;
    cr_assert_eq(posix_memalign((void **)&exact, 64, *size == 0 ? 1 : *size), 0);
    memcpy(exact, bytes, *size);
    free(bytes);
    return exact;
}

#endif // TESTS_UNIT_TEST_FORMAT_WATCH_H_
