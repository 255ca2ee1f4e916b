// Goal: bytes that are no file of version 1 are refused with one error line, whatever they are, and
// files of version 1 mean the same for ever. Method: golden files (tests/corpus/good) are read and
// rewritten to the same bytes; every file of tests/corpus/bad, every truncation and every change of
// a byte is tried; each allocation fails once.
#define _POSIX_C_SOURCE 200809L

#include "test_format_watch.h"

#include <dirent.h>
#include <fcntl.h>
#include <locale.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#define GOOD ESPY_SOURCE_DIR "/tests/corpus/good/"
#define BAD ESPY_SOURCE_DIR "/tests/corpus/bad/"

static const char *const good_files[] = {
    GOOD "minimal.espy",     GOOD "no_weights.espy", GOOD "everything.espy",   GOOD "bodies.espy",
    GOOD "small_types.espy", GOOD "attention.espy",  GOOD "attention_of.espy", GOOD "roles.espy"};
enum { GOOD_COUNT = sizeof(good_files) / sizeof(good_files[0]) };

// The hand-written form finds every tensor but those called z, and all are the same.
static espy_status find_tensor(void *user, const char *name, struct graph_value *value)
{
    static const float numbers[2] = {1, -2};
    const struct watch *watch = user;
    if (strcmp(name, "z") == 0)
        return espy_fail(&watch->host, ESPY_BAD_FORMAT, "no tensor is called z");
    value->dtype = ESPY_FLOAT32;
    value->shape = (struct shape){1, {2}};
    value->data = numbers;
    value->data_size = sizeof(numbers);
    return ESPY_OK;
}

// Reads, and finishes what was read. Expects the rules of failing calls to be kept.
static espy_status try_read(const char *what, const void *bytes, size_t size, bool as_json)
{
    struct watch watch;
    watch_init(&watch);
    struct graph graph;
    const espy_status status =
        as_json ? espy_format_read_json(&watch.host, "t", bytes, size, find_tensor, &watch, &graph)
                : espy_format_read(&watch.host, "t", bytes, size, &graph);
    const bool kept = watch_kept(&watch, status);
    if (status == ESPY_OK)
        espy_graph_finish(&graph);
    if (!kept || watch.live != 0)
        cr_expect(false, "%s: status %d, %u lines, %zu allocations left: %s", what, (int)status,
                  (unsigned)watch.errors, watch.live, watch.last);
    return status;
}

// ---- golden files -------------------------------------------------------------------------------

Test(format, golden_files_are_read_and_rewritten_to_the_same_bytes)
{
    for (size_t i = 0; i < GOOD_COUNT; i++) {
        struct watch watch;
        watch_init(&watch);
        size_t size, written_size = 0;
        unsigned char *bytes = load(good_files[i], &size);
        void *written = NULL;
        struct graph graph;
        cr_assert_eq(espy_format_read(&watch.host, "golden", bytes, size, &graph), ESPY_OK,
                     "%s: %s", good_files[i], watch.last);
        cr_assert_eq(espy_format_write(&watch.host, &graph, &written, &written_size), ESPY_OK);
        cr_expect_eq(written_size, size, "%s", good_files[i]);
        cr_expect(written_size == size && memcmp(written, bytes, size) == 0, "%s", good_files[i]);
        espy_free(&watch.host, written);
        espy_graph_finish(&graph);
        cr_expect_eq(watch.live, 0);
        cr_expect_eq(watch.errors, 0);
        free(bytes);
    }
}

static void expect_everything_io(const struct graph *graph)
{
    const struct graph_value *picture = &graph->values[graph->inputs[0].value];
    const struct espy_preprocess *pre = graph->inputs[0].preprocess;
    cr_assert_eq(graph->input_count, 3);
    cr_assert_eq(graph->output_count, 4);
    cr_expect_eq(picture->dtype, ESPY_FLOAT32);
    cr_expect_eq(picture->shape.rank, 4);
    cr_expect_eq(picture->shape.dims[0], -1);
    cr_expect_str_eq(espy_graph_symbol(picture, 2), "h");
    cr_expect_null(espy_graph_symbol(picture, 1));
    cr_expect_str_eq(graph->inputs[0].role, "image");
    cr_expect_eq(pre->height, 224);
    cr_expect_eq(pre->width, 320);
    cr_expect_str_eq(pre->resize, "letterbox");
    cr_expect(pre->scale == 255 && pre->mean[2] == 0.406 && pre->std[0] == 0.229);
    cr_expect_str_eq(graph->inputs[1].of, "picture");
    cr_expect_null(graph->inputs[2].preprocess);
    cr_expect_eq(graph->outputs[0].label_count, 3);
    cr_expect_str_eq(graph->outputs[0].labels[1], "\xe7\x8c\xab");
    const struct graph_value *found = &graph->values[graph->outputs[1].value];
    cr_expect(found->has_shape && found->shape.dims[1] == -1 &&
              espy_graph_symbol(found, 1) == NULL);
    const struct graph_value *map = &graph->values[graph->outputs[2].value];
    cr_expect(!map->has_shape && map->dtype == ESPY_DTYPE_NONE);
}

static void expect_everything_nodes(const struct graph *graph)
{
    const struct graph_node *conv = &graph->nodes[0];
    cr_assert_eq(graph->node_count, 3);
    cr_expect_str_eq(conv->op, "Conv");
    cr_expect_eq(conv->input_count, 3);
    cr_expect_eq(conv->inputs[2], GRAPH_NONE);
    cr_expect_eq(conv->outputs[1], GRAPH_NONE);
    cr_expect_eq(espy_graph_find_attr(conv, "strides")->type, GRAPH_ATTR_NUMBERS);
    cr_expect_str_eq(espy_graph_find_attr(conv, "auto_pad")->strings[0], "SAME_UPPER");
    cr_expect(espy_graph_find_attr(conv, "third")->numbers[0] == 1.0 / 3);
    cr_expect(espy_graph_find_attr(conv, "tiny")->numbers[0] == 5e-324);
    cr_expect(espy_graph_find_attr(conv, "beyond")->numbers[0] == 18446744073709551616.0);
    cr_expect_eq(espy_graph_find_attr(conv, "empty")->count, 0);
    cr_expect_str_eq(espy_graph_find_attr(conv, "words")->strings[0], "a\n\tb");
    cr_assert_eq(conv->step_count, 2);
    cr_expect_str_eq(conv->steps[1].op, "Clip");
    cr_expect(conv->steps[1].attr_count == 2 && conv->steps[1].attrs[0].numbers[0] == -1.5);
    cr_expect_eq(graph->nodes[1].input_count, 0);
}

Test(format, golden_file_with_roles_means_what_it_says)
{
    struct watch watch;
    watch_init(&watch);
    size_t size;
    unsigned char *bytes = load(GOOD "roles.espy", &size);
    struct graph graph;
    cr_assert_eq(espy_format_read(&watch.host, "golden", bytes, size, &graph), ESPY_OK);
    cr_assert_eq(graph.input_count, 5);
    cr_assert_eq(graph.output_count, 4);
    cr_expect_str_eq(graph.inputs[0].role, "tokens");
    cr_assert_eq(graph.inputs[0].label_count, 3);
    cr_expect_str_eq(graph.inputs[0].labels[2], "green");
    cr_expect_str_eq(graph.inputs[1].labels[1], "ring");
    cr_expect_eq(graph.inputs[2].label_count, 0);
    cr_expect_str_eq(graph.inputs[4].of, "pixels");
    cr_expect_eq(graph.outputs[0].threshold, 0);
    cr_expect_eq(graph.outputs[1].threshold, 0.25);
    cr_expect_str_eq(graph.outputs[2].labels[0], "__background__");
    cr_expect_str_eq(graph.outputs[3].labels[0], "road");
    espy_graph_finish(&graph);
    cr_expect_eq(watch.live, 0);
    free(bytes);
}

Test(format, golden_file_with_everything_means_what_it_says)
{
    struct watch watch;
    watch_init(&watch);
    size_t size;
    unsigned char *bytes = load(GOOD "everything.espy", &size);
    struct graph graph;
    cr_assert_eq(espy_format_read(&watch.host, "golden", bytes, size, &graph), ESPY_OK);
    cr_expect_str_eq(graph.producer, "make_corpus");
    cr_expect_str_eq(graph.name,
                     "everything \xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80 \"quoted\" back\\slash");
    expect_everything_io(&graph);
    expect_everything_nodes(&graph);
    const struct graph_value *kernel = &graph.values[3], *none = &graph.values[6];
    cr_expect_str_eq(kernel->name, "kernel");
    cr_expect_eq((uintptr_t)kernel->data % 64, 0);
    cr_expect(((const float *)kernel->data)[5] == 6.0f);
    cr_expect_str_eq(none->name, "none");
    cr_expect(none->data != NULL && none->data_size == 0 && none->shape.dims[1] == 4);
    espy_graph_finish(&graph);
    cr_expect_eq(watch.live, 0);
    free(bytes);
}

Test(format, golden_file_with_small_types_has_their_bytes)
{
    static const struct {
        const char *name;
        espy_dtype dtype;
        size_t size;
        unsigned char first;
    } expected[] = {
        {"nibbles", ESPY_INT4, 2, 0x98},        {"nothing", ESPY_UINT4, 0, 0},
        {"pairs", ESPY_UINT4, 2, 0x10},         {"quarters", ESPY_INT2, 2, 0xe4},
        {"quarter", ESPY_UINT2, 1, 3},          {"e2m1", ESPY_FLOAT4E2M1, 2, 0x2f},
        {"e4m3fn", ESPY_FLOAT8E4M3FN, 2, 0x38}, {"e4m3fnuz", ESPY_FLOAT8E4M3FNUZ, 2, 0x40},
        {"e5m2", ESPY_FLOAT8E5M2, 2, 0x3c},     {"e5m2fnuz", ESPY_FLOAT8E5M2FNUZ, 1, 0xff},
        {"e8m0", ESPY_FLOAT8E8M0, 2, 0x7f}};
    enum { COUNT = sizeof(expected) / sizeof(expected[0]) };
    struct watch watch;
    watch_init(&watch);
    size_t size;
    unsigned char *bytes = load(GOOD "small_types.espy", &size);
    struct graph graph;
    cr_assert_eq(espy_format_read(&watch.host, "golden", bytes, size, &graph), ESPY_OK);
    cr_assert_eq(graph.value_count, COUNT + 1); // and the input
    cr_expect_eq(graph.values[0].dtype, ESPY_INT4);
    for (uint32_t i = 0; i < COUNT; i++) {
        const struct graph_value *value = &graph.values[i + 1];
        cr_expect_str_eq(value->name, expected[i].name);
        cr_expect_eq(value->dtype, expected[i].dtype, "%s", value->name);
        cr_expect_eq(value->data_size, expected[i].size, "%s", value->name);
        cr_expect(value->data_size == 0 ||
                      ((const unsigned char *)value->data)[0] == expected[i].first,
                  "%s", value->name);
    }
    espy_graph_finish(&graph);
    cr_expect_eq(watch.live, 0);
    free(bytes);
}

// SPEC.md shows this file as lines of "    00000010  10 10 00 ..."; what it leaves out is zero.
Test(format, the_specification_shows_the_bytes_of_a_golden_file)
{
    size_t size, covered = 0;
    unsigned char *bytes = load(GOOD "minimal.espy", &size);
    FILE *spec = fopen(ESPY_SOURCE_DIR "/format/SPEC.md", "r");
    cr_assert_not_null(spec);
    char line[512];
    while (fgets(line, sizeof(line), spec) != NULL) {
        char *at = line;
        const bool indented = strncmp(line, "    ", 4) == 0;
        const size_t offset = indented ? strtoul(line, &at, 16) : 0;
        if (at != line + 12)
            continue;
        cr_assert_leq(offset + 16, size);
        for (size_t i = covered; i < offset; i++)
            cr_expect_eq(bytes[i], 0, "byte %zu is left out", i);
        for (size_t i = 0; i < 16; i++)
            cr_expect_eq(strtoul(at, &at, 16), bytes[offset + i], "byte %zu", offset + i);
        covered = offset + 16;
    }
    cr_expect_eq(covered, size);
    fclose(spec);
    free(bytes);
}

Test(format, checksums_are_those_of_zlib_at_any_size_and_in_any_pieces)
{
    enum { SIZE = 40000 };
    static unsigned char bytes[SIZE];
    cr_expect_eq(espy_crc32(0, "123456789", 9), 0xcbf43926);
    for (uint32_t i = 0; i < SIZE; i++)
        bytes[i] = (unsigned char)(i * i >> 3);
    for (size_t size = 16000; size < SIZE; size += 997) { // on both sides of the faster way
        uint32_t crc = 0;
        for (size_t at = 0; at < size; at += 1000)
            crc = espy_crc32(crc, bytes + at, size - at < 1000 ? size - at : 1000);
        cr_expect_eq(espy_crc32(0, bytes, size), crc, "%zu bytes", size);
    }
}

// ---- damage -------------------------------------------------------------------------------------

Test(format, bad_files_are_refused_with_one_line)
{
    DIR *folder = opendir(BAD);
    cr_assert_not_null(folder);
    uint32_t count = 0;
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        const char *dot = strrchr(entry->d_name, '.');
        if (entry->d_name[0] == '.' || dot == NULL)
            continue;
        char path[1024];
        snprintf(path, sizeof(path), BAD "%s", entry->d_name);
        size_t size;
        unsigned char *bytes = load(path, &size);
        const espy_status status = try_read(entry->d_name, bytes, size, strcmp(dot, ".json") == 0);
        cr_expect(status == ESPY_BAD_FORMAT || status == ESPY_UNSUPPORTED, "%s: status %d",
                  entry->d_name, (int)status);
        free(bytes);
        count++;
    }
    closedir(folder);
    cr_expect_gt(count, 200);
}

Test(format, every_truncation_is_refused)
{
    for (size_t i = 0; i < GOOD_COUNT; i++) {
        size_t size;
        unsigned char *bytes = load(good_files[i], &size);
        for (size_t cut = 0; cut < size; cut++) {
            // The copy ends where the file is cut, and AddressSanitizer watches that end.
            unsigned char *copy = NULL;
            cr_assert_eq(posix_memalign((void **)&copy, 64, cut == 0 ? 1 : cut), 0);
            memcpy(copy, bytes, cut);
            if (try_read("truncation", copy, cut, false) == ESPY_OK)
                cr_expect(false, "%s cut to %zu bytes was read", good_files[i], cut);
            free(copy);
        }
        free(bytes);
    }
}

Test(format, every_change_of_a_byte_is_refused)
{
    static const unsigned char masks[] = {0x01, 0x20, 0x80, 0xff};
    for (size_t i = 0; i < GOOD_COUNT; i++) {
        size_t size;
        unsigned char *bytes = load(good_files[i], &size);
        for (size_t at = 0; at < size; at++) {
            for (size_t m = 0; m < sizeof(masks); m++) {
                bytes[at] ^= masks[m];
                if (try_read("flip", bytes, size, false) == ESPY_OK)
                    cr_expect(false, "%s with byte %zu changed was read", good_files[i], at);
                bytes[at] ^= masks[m];
            }
        }
        free(bytes);
    }
}

static void put32(unsigned char *bytes, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        bytes[i] = (unsigned char)(value >> (8 * i));
}

// What a checksum would have caught, with the checksum made right again.
Test(format, every_bit_of_the_headers_is_refused_or_harmless_with_right_checksums)
{
    enum { BLOCK = 32, COVERED = 28 }; // the header and each chunk's header
    size_t size;
    unsigned char *bytes = load(GOOD "minimal.espy", &size);
    size_t weights_header = 4096 - BLOCK;
    while (memcmp(bytes + weights_header, "WGTS", 4) != 0)
        weights_header -= 16;
    const size_t blocks[] = {0, BLOCK, weights_header};
    for (size_t b = 0; b < 3; b++) {
        unsigned char *block = bytes + blocks[b], saved[BLOCK];
        memcpy(saved, block, BLOCK);
        for (size_t bit = 0; bit < COVERED * 8; bit++) {
            block[bit / 8] ^= (unsigned char)(1u << (bit % 8));
            put32(block + COVERED, espy_crc32(0, block, COVERED));
            if (try_read("header bit", bytes, size, false) == ESPY_OK)
                cr_expect(false, "bit %zu of the block at %zu changed nothing", bit, blocks[b]);
            memcpy(block, saved, BLOCK);
        }
    }
    free(bytes);
}

// The JSON of the file with everything, in memory of its own.
static char *load_json(size_t *size)
{
    size_t file_size;
    unsigned char *bytes = load(GOOD "everything.espy", &file_size);
    *size = (size_t)bytes[40] | (size_t)bytes[41] << 8;
    char *json = malloc(*size);
    cr_assert_not_null(json);
    memcpy(json, bytes + 64, *size);
    free(bytes);
    // Every tensor is found and has the same shape, so what the file says must not contradict.
    char *tensors = strstr(json, "\"tensors\""), *nodes = strstr(json, "\"nodes\"");
    cr_assert(tensors != NULL && nodes != NULL);
    static const char found[] = "\"tensors\": {\"kernel\": {}, \"steps\": {\"from\": \"s\"}},\n  ";
    const size_t head = (size_t)(tensors - json), tail = *size - (size_t)(nodes - json);
    memmove(tensors + sizeof(found) - 1, nodes, tail);
    memcpy(tensors, found, sizeof(found) - 1);
    *size = head + sizeof(found) - 1 + tail;
    return json;
}

Test(format, every_change_of_the_json_is_refused_or_harmless)
{
    static const char others[] = "\"\\{}[],:0-.e\n ux\x01\x7f\x80\xc2\xff";
    size_t size, refused = 0, harmless = 0;
    char *json = load_json(&size);
    cr_assert_eq(try_read("as it is", json, size, true), ESPY_OK);
    for (size_t at = 0; at < size; at++) {
        const char saved = json[at];
        for (size_t k = 0; k < sizeof(others); k++) { // the NUL is one of them
            json[at] = others[k];
            const espy_status status = try_read("JSON change", json, size, true);
            *(status == ESPY_OK ? &harmless : &refused) += 1;
        }
        json[at] = saved;
    }
    cr_expect_gt(refused, 10000);
    cr_expect_gt(harmless, 1000); // letters of names and so on
    free(json);
}

Test(format, every_truncation_and_deletion_of_the_json_is_refused_or_harmless)
{
    size_t size;
    char *json = load_json(&size);
    for (size_t cut = 0; cut + 2 < size; cut++) { // the last two are the brace and the newline
        char *copy = malloc(cut == 0 ? 1 : cut);
        cr_assert_not_null(copy);
        memcpy(copy, json, cut);
        if (try_read("JSON cut", copy, cut, true) == ESPY_OK)
            cr_expect(false, "JSON cut to %zu bytes was read", cut);
        free(copy);
    }
    char *shorter = malloc(size);
    cr_assert_not_null(shorter);
    for (size_t at = 0; at < size; at++) {
        memcpy(shorter, json, at);
        memcpy(shorter + at, json + at + 1, size - at - 1);
        try_read("JSON deletion", shorter, size - 1, true);
    }
    free(shorter);
    free(json);
}

// Appends a chunk of 5 bytes to a file whose size is a multiple of 16.
static size_t append_chunk(unsigned char *bytes, size_t size, uint32_t flags)
{
    unsigned char *chunk = bytes + size;
    memset(chunk, 0, 48);
    memcpy(chunk, "NOTE", 4);
    put32(chunk + 4, flags);
    put32(chunk + 8, 5);
    put32(chunk + 16, 16);
    memcpy(chunk + 32, "hello", 5);
    put32(chunk + 20, espy_crc32(0, chunk + 32, 5));
    put32(chunk + 28, espy_crc32(0, chunk, 28));
    bytes[12]++; // number of chunks
    put32(bytes + 16, (uint32_t)size + 48);
    put32(bytes + 28, espy_crc32(0, bytes, 28));
    return size + 48;
}

Test(format, unknown_chunks_are_skipped_when_optional_and_refused_when_required)
{
    for (size_t i = 0; i < GOOD_COUNT; i++) {
        for (uint32_t required = 0; required < 2; required++) {
            size_t size;
            unsigned char *bytes = load(good_files[i], &size);
            unsigned char *longer = aligned_alloc(64, (size + 48 + 63) / 64 * 64);
            cr_assert_not_null(longer);
            memcpy(longer, bytes, size);
            const espy_status status =
                try_read("chunk", longer, append_chunk(longer, size, required), false);
            cr_expect_eq(status, required ? ESPY_UNSUPPORTED : ESPY_OK);
            free(longer);
            free(bytes);
        }
    }
}

Test(format, long_names_in_messages_stay_one_valid_line)
{
    // A name of 3-byte characters, cut in the message, must not be cut inside a character.
    char json[4000] = "{\"";
    for (int i = 0; i < 500; i++)
        strcat(json, "\xe7\x8c\xab");
    strcat(json, "\":1}");
    struct watch watch;
    watch_init(&watch);
    struct graph graph;
    cr_expect_eq(espy_format_read_json(&watch.host, "t", json, strlen(json), NULL, NULL, &graph),
                 ESPY_BAD_FORMAT);
    const char *end = strstr(watch.last, "...\"");
    cr_assert_not_null(end, "%s", watch.last);
    cr_expect_eq((unsigned char)end[-1], 0xab);
    cr_expect_eq(watch.live, 0);
}

// ---- limits of the JSON as a whole --------------------------------------------------------------

Test(format, json_with_too_many_values_is_refused_before_memory_is_spent)
{
    const size_t size = 2 * ((size_t)FORMAT_JSON_ITEMS_MAX + 2);
    char *json = malloc(size);
    cr_assert_not_null(json);
    for (size_t i = 0; i < size; i += 2)
        memcpy(json + i, "0,", 2);
    json[0] = '[';
    json[1] = ' ';
    struct watch watch;
    watch_init(&watch);
    struct graph graph;
    cr_expect_eq(espy_format_read_json(&watch.host, "t", json, size, NULL, NULL, &graph),
                 ESPY_BAD_FORMAT);
    cr_expect_eq(watch.errors, 1);
    cr_expect_not_null(strstr(watch.last, "more than 16777216 values"), "%s", watch.last);
    free(json);
}

Test(format, deep_json_is_refused_at_any_depth)
{
    enum { DEPTH = 1000000 };
    char *json = malloc(DEPTH);
    cr_assert_not_null(json);
    memset(json, '[', DEPTH);
    cr_expect_eq(try_read("deep", json, DEPTH, true), ESPY_BAD_FORMAT);
    free(json);
}

// ---- memory -------------------------------------------------------------------------------------

Test(format, each_allocation_may_fail_while_reading)
{
    for (size_t i = 0; i < GOOD_COUNT; i++) {
        size_t size;
        unsigned char *bytes = load(good_files[i], &size);
        espy_status status = ESPY_OUT_OF_MEMORY;
        for (size_t n = 1; status != ESPY_OK; n++) {
            struct watch watch;
            watch_init(&watch);
            watch.fail_at = n;
            struct graph graph;
            status = espy_format_read(&watch.host, "t", bytes, size, &graph);
            if (status == ESPY_OK)
                espy_graph_finish(&graph);
            else
                cr_expect_eq(status, ESPY_OUT_OF_MEMORY);
            cr_expect(watch_kept(&watch, status), "allocation %zu: %u lines", n, watch.errors);
            cr_expect_eq(watch.live, 0, "allocation %zu", n);
        }
        free(bytes);
    }
}

Test(format, each_allocation_may_fail_while_writing)
{
    for (size_t i = 0; i < GOOD_COUNT; i++) {
        size_t size, written_size = 0;
        unsigned char *bytes = load(good_files[i], &size);
        struct watch reading;
        watch_init(&reading);
        struct graph graph;
        cr_assert_eq(espy_format_read(&reading.host, "t", bytes, size, &graph), ESPY_OK);
        const size_t live = reading.live;
        espy_status status = ESPY_OUT_OF_MEMORY;
        for (size_t n = 1; status != ESPY_OK; n++) {
            // The check allocates from the graph's own host, which is this one too.
            void *written = NULL;
            reading.attempts = reading.errors = 0;
            reading.fail_at = n;
            status = espy_format_write(&reading.host, &graph, &written, &written_size);
            if (status != ESPY_OK)
                cr_expect_eq(status, ESPY_OUT_OF_MEMORY);
            cr_expect_eq(written != NULL, status == ESPY_OK);
            cr_expect(watch_kept(&reading, status), "allocation %zu", n);
            reading.fail_at = 0;
            espy_free(&reading.host, written);
            cr_expect_eq(reading.live, live, "allocation %zu", n);
        }
        espy_graph_finish(&graph);
        cr_expect_eq(reading.live, 0);
        free(bytes);
    }
}

// ---- files --------------------------------------------------------------------------------------

static void make_folder(char folder[64])
{
    strcpy(folder, "/tmp/espy_test_XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
}

static uint32_t count_files(const char *folder)
{
    uint32_t count = 0;
    DIR *list = opendir(folder);
    cr_assert_not_null(list);
    for (const struct dirent *entry = readdir(list); entry != NULL; entry = readdir(list))
        count += entry->d_name[0] != '.';
    closedir(list);
    return count;
}

Test(format, a_file_is_written_whole_or_not_at_all)
{
    char folder[64], path[128];
    make_folder(folder);
    snprintf(path, sizeof(path), "%s/a.espy", folder);
    struct watch watch;
    watch_init(&watch);
    struct format_file golden, written;
    struct graph graph;
    cr_assert_eq(espy_format_file_open(&watch.host, GOOD "everything.espy", &golden), ESPY_OK);
    cr_expect(golden.mapped);
    cr_assert_eq(espy_format_read(&watch.host, "t", golden.bytes, golden.size, &graph), ESPY_OK);
    for (int again = 0; again < 2; again++) { // the second time it replaces the first
        cr_assert_eq(espy_format_write_file(&watch.host, &graph, path), ESPY_OK);
        cr_assert_eq(espy_format_file_open(&watch.host, path, &written), ESPY_OK);
        cr_expect_eq(written.size, golden.size);
        cr_expect_eq(memcmp(written.bytes, golden.bytes, golden.size), 0);
        espy_format_file_close(&written);
        cr_expect_eq(count_files(folder), 1);
    }
    // What cannot be written leaves the old file and nothing else behind.
    graph.nodes[0].name = "";
    cr_expect_eq(espy_format_write_file(&watch.host, &graph, path), ESPY_BAD_FORMAT);
    cr_expect_eq(watch.errors, 1);
    graph.nodes[0].name = "conv";
    for (size_t n = 1;; n++) {
        watch.errors = 0;
        watch.attempts = 0;
        watch.fail_at = n;
        const espy_status status = espy_format_write_file(&watch.host, &graph, path);
        cr_expect(watch_kept(&watch, status));
        cr_expect_eq(count_files(folder), 1);
        if (status == ESPY_OK)
            break;
        cr_expect_eq(status, ESPY_OUT_OF_MEMORY);
    }
    watch.fail_at = 0;
    espy_graph_finish(&graph);
    espy_format_file_close(&golden);
    cr_expect_eq(watch.live, 0);
    remove(path);
    rmdir(folder);
}

Test(format, files_that_cannot_be_opened_or_made_are_one_line)
{
    struct watch watch;
    watch_init(&watch);
    struct format_file file;
    cr_expect_eq(espy_format_file_open(&watch.host, "/nowhere/a.espy", &file), ESPY_IO_ERROR);
    cr_expect_eq(watch.errors, 1);
    espy_format_file_close(&file); // fine after a failure
    cr_expect_eq(espy_format_file_open(&watch.host, "/tmp", &file), ESPY_IO_ERROR);
    cr_expect_eq(watch.errors, 2);
    struct graph graph;
    uint32_t value;
    espy_graph_init(&graph, &watch.host);
    cr_assert_eq(
        espy_graph_add_constant(&graph, "c", ESPY_INT8, &(struct shape){1, {0}}, NULL, 0, &value),
        ESPY_OK);
    struct graph_io output = {.value = value};
    graph.outputs = &output;
    graph.output_count = 1;
    cr_expect_eq(espy_format_write_file(&watch.host, &graph, "/nowhere/a.espy"), ESPY_IO_ERROR);
    cr_expect_eq(watch.errors, 3);
    espy_graph_finish(&graph);
    cr_expect_eq(watch.live, 0);
}

// A rename would put a regular file in the place of the device, for every program on the machine.
// A pipe with a name stands for all of them: it may be lost.
Test(format, what_is_no_regular_file_is_written_and_not_replaced)
{
    char folder[64], path[128];
    make_folder(folder);
    snprintf(path, sizeof(path), "%s/pipe", folder);
    cr_assert_eq(mkfifo(path, 0600), 0);
    const int pipe = open(path, O_RDWR | O_NONBLOCK); // a reader, so that writers do not wait
    cr_assert_geq(pipe, 0);
    struct watch watch;
    watch_init(&watch);
    struct format_file golden;
    struct graph graph;
    struct stat info;
    unsigned char bytes[8];
    cr_assert_eq(espy_format_file_open(&watch.host, GOOD "minimal.espy", &golden), ESPY_OK);
    cr_assert_eq(espy_format_read(&watch.host, "t", golden.bytes, golden.size, &graph), ESPY_OK);
    cr_expect_eq(espy_format_write_file(&watch.host, &graph, path), ESPY_OK);
    cr_expect_eq(read(pipe, bytes, sizeof(bytes)), (ssize_t)sizeof(bytes));
    cr_expect_eq(memcmp(bytes, golden.bytes, sizeof(bytes)), 0);
    cr_assert_eq(stat(path, &info), 0);
    cr_expect(S_ISFIFO(info.st_mode));
    // A folder is neither written nor replaced.
    cr_expect_eq(espy_format_write_file(&watch.host, &graph, folder), ESPY_IO_ERROR);
    cr_expect_eq(watch.errors, 1);
    cr_expect_eq(count_files(folder), 1);
    espy_graph_finish(&graph);
    espy_format_file_close(&golden);
    cr_expect_eq(watch.live, 0);
    (void)close(pipe);
    remove(path);
    rmdir(folder);
}

// Files without a size of their own cannot be mapped and are read: those of /proc, and empty ones.
Test(format, files_that_cannot_be_mapped_are_read)
{
    struct watch watch;
    watch_init(&watch);
    struct format_file file;
    cr_assert_eq(espy_format_file_open(&watch.host, "/dev/null", &file), ESPY_OK);
    cr_expect(!file.mapped && file.size == 0 && file.bytes != NULL);
    espy_format_file_close(&file);
    for (size_t n = 1;; n++) {
        // More than one buffer full, through a pipe.
        enum { SIZE = 200000 };
        FILE *make = popen("head -c 200000 /dev/zero", "r");
        char path[64];
        cr_assert_not_null(make);
        snprintf(path, sizeof(path), "/dev/fd/%d", fileno(make));
        watch.errors = 0;
        watch.attempts = 0;
        watch.fail_at = n;
        const espy_status status = espy_format_file_open(&watch.host, path, &file);
        cr_expect(watch_kept(&watch, status));
        if (status == ESPY_OK)
            cr_expect(!file.mapped && file.size == SIZE && (uintptr_t)file.bytes % 64 == 0);
        espy_format_file_close(&file);
        cr_expect_eq(watch.live, 0);
        pclose(make);
        if (status == ESPY_OK)
            break;
    }
}

// ---- numbers ------------------------------------------------------------------------------------

static double through_a_file(double number)
{
    struct watch watch;
    watch_init(&watch);
    struct graph graph, again;
    struct graph_node *node;
    uint32_t value;
    espy_graph_init(&graph, &watch.host);
    cr_assert_eq(espy_graph_add_value(&graph, "v", &value), ESPY_OK);
    cr_assert_eq(espy_graph_add_node(&graph, "Op", "n", NULL, 0, &value, 1, &node), ESPY_OK);
    cr_assert_eq(espy_graph_set_number(&graph, node, "a", number), ESPY_OK);
    struct graph_io output = {.value = value};
    graph.outputs = &output;
    graph.output_count = 1;
    void *bytes = NULL;
    size_t size = 0;
    cr_assert_eq(espy_format_write(&watch.host, &graph, &bytes, &size), ESPY_OK);
    unsigned char *copy = aligned_copy(bytes, size);
    cr_assert_eq(espy_format_read(&watch.host, "t", copy, size, &again), ESPY_OK, "%s", watch.last);
    const double result = espy_graph_find_attr(&again.nodes[0], "a")->numbers[0];
    espy_graph_finish(&again);
    espy_graph_finish(&graph);
    espy_free(&watch.host, bytes);
    free(copy);
    cr_expect_eq(watch.live, 0);
    return result;
}

Test(format, numbers_come_back_bit_for_bit)
{
    uint64_t bits = 88172645463325252u; // xorshift: any bit pattern that is finite
    for (int i = 0; i < 2000; i++) {
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        double number;
        memcpy(&number, &bits, sizeof(number));
        if (i % 2 == 0)
            number = (float)ldexp((double)(int32_t)bits, -20);
        if (!isfinite(number))
            continue;
        const double back = through_a_file(number);
        if (memcmp(&back, &number, sizeof(back)) != 0)
            cr_expect(false, "%.17g came back as %.17g", number, back);
    }
    cr_expect(signbit(through_a_file(-0.0)));
    cr_expect(through_a_file(9007199254740993.0) == 9007199254740993.0);
}

Test(format, the_locale_changes_nothing)
{
    static const char *const names[] = {"de_DE.UTF-8", "de_DE", "fr_FR.UTF-8", "nl_NL.UTF-8"};
    bool found = false;
    for (size_t i = 0; i < 4 && !found; i++)
        found = setlocale(LC_ALL, names[i]) != NULL;
    if (!found)
        cr_log_info("no locale with a decimal comma is installed: tried in C only");
    cr_expect(through_a_file(0.1) == 0.1);
    cr_expect(through_a_file(-1.5e-300) == -1.5e-300);
}
