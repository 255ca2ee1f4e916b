// Feeds files to espy_format_read (*.json to espy_format_read_json), and what is read to the
// writer. Prints one line per file. Exit status 0 says that every file was either read and can be
// written, or refused with exactly one error line, and that no memory is left. With
// -DESPY_LIBFUZZER it is the target of a fuzzer:
//
//     clang -g -O1 -std=c11 -fsanitize=fuzzer,address,undefined -DESPY_LIBFUZZER -I. -Iruntime
//         -Iruntime/include tests/fuzz/replay.c format/*.c runtime/base/*.c -lcjson -lm -o
//         fuzz_format
//
// Most random changes of a file stop at a checksum, so the fuzzer's build also tries the bytes as
// JSON, which has none.
#include "format/format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct watch {
    uint32_t lines;     // of level error
    size_t allocations; // alive
    char last[256];
};

static void *watch_realloc(void *user, void *pointer, size_t size)
{
    struct watch *watch = user;
    if (size == 0) {
        watch->allocations -= pointer != NULL;
        free(pointer);
        return NULL;
    }
    void *moved = realloc(pointer, size);
    watch->allocations += moved != NULL && pointer == NULL;
    return moved;
}

static void watch_log(void *user, espy_log_level level, const char *message)
{
    struct watch *watch = user;
    watch->lines += level == ESPY_LOG_ERROR;
    snprintf(watch->last, sizeof(watch->last), "%s", message);
    if (strpbrk(message, "\r\n") != NULL)
        abort(); // not one line
}

static struct host watched_host(struct watch *watch)
{
    struct host host;
    espy_host_init(&host, &(struct espy_context_params){.log = watch_log,
                                                        .log_user = watch,
                                                        .realloc = watch_realloc,
                                                        .realloc_user = watch});
    return host;
}

// The hand-written form finds every tensor but those called z, and all are the same.
static espy_status find_tensor(void *user, const char *name, struct graph_value *value)
{
    static const float numbers[2] = {1, -2};
    if (strcmp(name, "z") == 0)
        return espy_fail(user, ESPY_BAD_FORMAT, "no tensor is called z");
    value->dtype = ESPY_FLOAT32;
    value->shape = (struct shape){1, {2}};
    value->data = numbers;
    value->data_size = sizeof(numbers);
    return ESPY_OK;
}

// false when one of the rules at the top was broken.
static bool try_bytes(const void *bytes, size_t size, bool as_json, struct watch *watch)
{
    *watch = (struct watch){0};
    struct host host = watched_host(watch);
    struct graph graph;
    const espy_status status =
        as_json ? espy_format_read_json(&host, "fuzz.json", bytes, size, find_tensor, &host, &graph)
                : espy_format_read(&host, "fuzz.espy", bytes, size, &graph);
    bool good = watch->lines == (status != ESPY_OK);
    if (status == ESPY_OK) {
        void *written = NULL;
        size_t written_size = 0;
        good = good && espy_format_write(&host, &graph, &written, &written_size) == ESPY_OK;
        espy_free(&host, written);
        espy_graph_finish(&graph);
    }
    return good && watch->allocations == 0;
}

// The reader wants 64-byte alignment, which neither malloc nor a fuzzer gives.
static void *aligned_copy(const void *bytes, size_t size)
{
    void *copy = aligned_alloc(64, (size + 64) / 64 * 64);
    if (copy == NULL)
        exit(2);
    if (size > 0)
        memcpy(copy, bytes, size);
    return copy;
}

#if defined(ESPY_LIBFUZZER)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct watch watch;
    void *copy = aligned_copy(bytes, size);
    if (!try_bytes(copy, size, false, &watch) || !try_bytes(copy, size, true, &watch))
        abort();
    free(copy);
    return 0;
}

#else

int main(int argc, char **argv)
{
    int broken = 0;
    for (int i = 1; i < argc; i++) {
        struct watch watch = {0}, inner;
        const struct host host = watched_host(&watch);
        struct format_file file;
        if (espy_format_file_open(&host, argv[i], &file) != ESPY_OK) {
            printf("%s\n", watch.last);
            return 2;
        }
        const size_t length = strlen(argv[i]);
        const bool as_json = length > 5 && strcmp(argv[i] + length - 5, ".json") == 0;
        void *copy = aligned_copy(file.bytes, file.size);
        const bool good = try_bytes(copy, file.size, as_json, &inner);
        free(copy);
        espy_format_file_close(&file);
        printf("%s: %s%s\n", argv[i], good ? "" : "BROKEN: ", inner.lines ? inner.last : "read");
        broken += !good;
    }
    return broken == 0 ? 0 : 1;
}

#endif
