// Goal: the operator tests of onnxruntime's web runtime, in which its own domain has many, pass
// through convert, write, read and run, whether sizes are known, symbols, or inputs constant; or
// stand in docs/ort-tests.md with the reason, and that table has no line that is not true.
// ESPY_TEST_FILTER runs only the files whose names contain it.
#define _POSIX_C_SOURCE 200809L // opendir

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suites/op_tests.h"

enum { FILES_MAX = 512, SHARDS = 4 };

static int compare_names(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

// Sorted, so that shards are the same on every machine.
static uint32_t list_files(struct arena *arena, const char *path, const char **names)
{
    DIR *folder = opendir(path);
    cr_assert(folder != NULL, "%s cannot be read", path);
    uint32_t count = 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL && count < FILES_MAX;)
        if (strstr(entry->d_name, ".jsonc") != NULL)
            names[count++] = espy_arena_string(arena, entry->d_name);
    closedir(folder);
    qsort(names, count, sizeof(*names), compare_names);
    return count;
}

static void run_shard(uint32_t shard)
{
    struct test_host test;
    const char *names[FILES_MAX], *shared = espy_suite_shared();
    const char *filter = getenv("ESPY_TEST_FILTER");
    char folder[512], path[1024], stem[256];
    if (shared == NULL)
        cr_skip_test("../shared is not there");
    espy_test_host_init(&test);
    struct op_tests tests = {.test = &test, .page = "docs/ort-tests.md"};
    espy_arena_init(&tests.arena, &test.host);
    cr_assert(espy_test_open_device(&test.host, true, &tests.device) == ESPY_OK, "%s",
              test.last_error);
    tests.excused = espy_suite_read_text(ESPY_SOURCE_DIR "/docs/ort-tests.md", &tests.arena);
    snprintf(folder, sizeof(folder), "%s/ort-ops", shared);
    const uint32_t count = list_files(&tests.arena, folder, names);
    for (uint32_t i = shard; i < count; i += SHARDS) {
        if (filter != NULL && strstr(names[i], filter) == NULL)
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        snprintf(stem, sizeof(stem), "%.*s", (int)strcspn(names[i], "."), names[i]);
        espy_op_tests_run(&tests, path, stem);
    }
    printf("ort-ops shard %u: %u passed, %u failed, %u known not to pass\n", shard, tests.passed,
           tests.failed, tests.known);
    cr_expect(espy_vk_device_validation_count(tests.device) == 0,
              "the validation layer has complained: %s", test.last_error);
    espy_vk_device_destroy(&tests.device);
    espy_arena_finish(&tests.arena);
    cr_expect(test.live_count == 0, "%zu allocations are not freed", test.live_count);
}

Test(ort_ops, shard_0)
{
    run_shard(0);
}

Test(ort_ops, shard_1)
{
    run_shard(1);
}

Test(ort_ops, shard_2)
{
    run_shard(2);
}

Test(ort_ops, shard_3)
{
    run_shard(3);
}
