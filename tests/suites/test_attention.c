// Goal: the places where real networks attend are found, all of them and no others. Method: convert
// the models of ../shared/arch and ../shared/models and those of examples/, and compare what was
// found with the table of docs/attention.md, whose last column says what each network is known to
// have.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli_inputs.h"
#include "suites/suite.h"
#include "suites/weights.h"

#define MADE ESPY_BINARY_DIR "/tests/weights_attention"
#define TABLE ESPY_SOURCE_DIR "/docs/attention.md"

enum { PATH_SIZE = 1024, LINE_SIZE = 512, LINES_MAX = 64, NAME_SIZE = 96, NAMES_MAX = 64 };

struct line {
    char text[LINE_SIZE]; // of the columns after the count
    uint32_t count;
};

struct lines {
    struct line list[LINES_MAX];
    uint32_t count;
};

// Equal sites become one line, in the order in which the first of each stands.
static void describe(const struct graph *graph, struct lines *lines)
{
    lines->count = 0;
    for (uint32_t i = 0; i < graph->site_count; i++) {
        const struct graph_site *site = &graph->sites[i];
        char text[LINE_SIZE], queries[128], keys[128], heads[16] = "-";
        if (site->heads > 0)
            snprintf(heads, sizeof(heads), "%u", (unsigned)site->heads);
        snprintf(text, sizeof(text), "%s | %s | %s | %s", site->kind, heads,
                 espy_grid_print(&site->queries, queries, sizeof(queries)),
                 espy_grid_print(&site->keys, keys, sizeof(keys)));
        uint32_t at = 0;
        while (at < lines->count && strcmp(lines->list[at].text, text) != 0)
            at++;
        cr_assert(at < LINES_MAX);
        if (at == lines->count) {
            lines->list[lines->count++].count = 0;
            snprintf(lines->list[at].text, LINE_SIZE, "%s", text);
        }
        lines->list[at].count++;
    }
    if (lines->count == 0) {
        lines->count = 1;
        lines->list[0].count = 0;
        snprintf(lines->list[0].text, LINE_SIZE, "- | - | - | -");
    }
}

// The rows of a model: "| arch/deit_tiny | 12 | softmax | 3 | 1+14x14 | 1+14x14 | why |".
static void compare(const char *name, const struct lines *lines)
{
    char row[2048], prefix[LINE_SIZE + NAME_SIZE + 64];
    uint32_t at = 0;
    FILE *file = fopen(TABLE, "r");
    cr_assert(file != NULL, TABLE " cannot be opened");
    snprintf(prefix, sizeof(prefix), "| %s | ", name);
    const size_t length = strlen(prefix);
    while (fgets(row, sizeof(row), file) != NULL) {
        if (strncmp(row, prefix, length) != 0)
            continue;
        char wanted[LINE_SIZE + 64] = "(nothing more)";
        if (at < lines->count)
            snprintf(wanted, sizeof(wanted), "%u | %s |", (unsigned)lines->list[at].count,
                     lines->list[at].text);
        cr_expect(strncmp(row + length, wanted, strlen(wanted)) == 0,
                  "%s: found %s\n  the table has %s", name, wanted, row);
        at++;
    }
    fclose(file);
    cr_expect(at == lines->count, "%s: the table has %u rows, %u are found", name, (unsigned)at,
              (unsigned)lines->count);
}

static void check_file(const char *name, const char *path)
{
    struct test_host test;
    struct suite_model model;
    struct lines lines;
    espy_test_host_init(&test);
    cr_assert(espy_suite_convert(&test.host, path, &model) == ESPY_OK, "%s: %s", name,
              test.last_error);
    describe(&model.graph, &lines);
    compare(name, &lines);
    espy_suite_model_finish(&model);
    cr_expect(test.live_count == 0, "%s: %zu allocations are left", name, test.live_count);
}

static void check_generated(const char *shared, const char *name)
{
    char folder[PATH_SIZE], made[PATH_SIZE], path[PATH_SIZE + 16], error[1200];
    struct test_host test;
    struct arena arena;
    espy_test_host_init(&test);
    espy_arena_init(&arena, &test.host);
    snprintf(folder, sizeof(folder), "%s/%.90s", shared, name);
    snprintf(made, sizeof(made), MADE "/%s", strrchr(name, '/') + 1);
    mkdir(MADE, 0777); // fails where it is there
    if (espy_suite_make_weights(folder, made, &arena, error, sizeof(error))) {
        snprintf(path, sizeof(path), "%s/model.onnx", made);
        check_file(name, path);
    } else {
        cr_expect(false, "%s: %s", name, error);
    }
    espy_suite_remove_weights(made);
    espy_arena_finish(&arena);
}

// Each first column of the table, once.
static uint32_t read_names(char names[NAMES_MAX][NAME_SIZE])
{
    char row[2048], name[NAME_SIZE];
    uint32_t count = 0;
    FILE *file = fopen(TABLE, "r");
    cr_assert(file != NULL, TABLE " cannot be opened");
    while (fgets(row, sizeof(row), file) != NULL) {
        if (sscanf(row, "| %95[a-z0-9_/] |", name) != 1 || strchr(name, '/') == NULL ||
            (count > 0 && strcmp(names[count - 1], name) == 0))
            continue;
        cr_assert(count < NAMES_MAX);
        snprintf(names[count++], NAME_SIZE, "%s", name);
    }
    fclose(file);
    return count;
}

Test(attention, sites_of_real_networks_are_what_these_are_known_to_have)
{
    static char names[NAMES_MAX][NAME_SIZE];
    char path[2 * PATH_SIZE];
    const char *shared = espy_suite_shared();
    const uint32_t count = read_names(names);
    cr_assert(count > 40);
    for (uint32_t i = 0; i < count; i++) {
        snprintf(path, sizeof(path), ESPY_SOURCE_DIR "/%.90s.onnx", names[i]);
        if (strncmp(names[i], "examples/", 9) == 0)
            check_file(names[i], path);
    }
    if (shared == NULL)
        cr_skip_test("../shared is not there");
    for (uint32_t i = 0; i < count; i++) {
        snprintf(path, sizeof(path), "%s/%.90s/model.onnx", shared, names[i]);
        if (strncmp(names[i], "arch/", 5) == 0)
            check_generated(shared, names[i]);
        else if (strncmp(names[i], "models/", 7) == 0)
            check_file(names[i], path);
    }
}
