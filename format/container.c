// POSIX for fsync and stat.
#define _POSIX_C_SOURCE 200809L

#include "format/format_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#if !defined(_WIN32)
#include <sys/stat.h>
#include <unistd.h>
#endif

// The file as SPEC.md draws it. All numbers are little-endian and put together from bytes, so no
// struct lies over the file.

enum {
    HEADER_SIZE = 32,
    HEADER_VERSION = 8,
    HEADER_CHUNK_COUNT = 12,
    HEADER_TOTAL_SIZE = 16,
    HEADER_RESERVED = 24,
    HEADER_CHECKSUM = 28,

    CHUNK_HEADER_SIZE = 32,
    CHUNK_TYPE = 0,
    CHUNK_FLAGS = 4,
    CHUNK_SIZE = 8,
    CHUNK_ALIGNMENT = 16,
    CHUNK_PAYLOAD_CHECKSUM = 20,
    CHUNK_RESERVED = 24,
    CHUNK_CHECKSUM = 28,

    CHUNK_REQUIRED = 1 // the only flag
};

static const unsigned char magic[8] = {0x89, 'E', 'S', 'P', '\r', '\n', 0x1a, '\n'};
static const char json_type[] = "JSON";
static const char weights_type[] = "WGTS";

struct chunk {
    char type[5];
    uint32_t flags, alignment, payload_checksum;
    size_t payload_offset, payload_size;
};

static void put32(unsigned char *bytes, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        bytes[i] = (unsigned char)(value >> (8 * i));
}

static void put64(unsigned char *bytes, uint64_t value)
{
    put32(bytes, (uint32_t)value);
    put32(bytes + 4, (uint32_t)(value >> 32));
}

static uint32_t get32(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

static uint64_t get64(const unsigned char *bytes)
{
    return get32(bytes) | (uint64_t)get32(bytes + 4) << 32;
}

static bool host_is_little_endian(void)
{
    const uint16_t one = 1;
    unsigned char first;
    memcpy(&first, &one, 1);
    return first == 1;
}

// ---- read ---------------------------------------------------------------------------------------

struct image {
    const struct host *host;
    const char *file;
    const unsigned char *bytes;
    size_t size;
};

static espy_status read_header(const struct image *image, uint32_t *chunk_count)
{
    const unsigned char *bytes = image->bytes;
    if (image->size < sizeof(magic) || memcmp(bytes, magic, sizeof(magic)) != 0)
        return espy_fail(image->host, ESPY_BAD_FORMAT, "%s: not an espy file", image->file);
    if (image->size < HEADER_SIZE)
        return espy_fail(image->host, ESPY_BAD_FORMAT, "%s: the file is cut off in its header",
                         image->file);
    if (get32(bytes + HEADER_CHECKSUM) != espy_crc32(0, bytes, HEADER_CHECKSUM))
        return espy_fail(image->host, ESPY_BAD_FORMAT, "%s: the header is damaged (checksum)",
                         image->file);
    if (get32(bytes + HEADER_VERSION) != FORMAT_VERSION)
        return espy_fail(image->host, ESPY_UNSUPPORTED,
                         "%s: format version %u; this library reads version %d", image->file,
                         (unsigned)get32(bytes + HEADER_VERSION), (int)FORMAT_VERSION);
    if (get32(bytes + HEADER_RESERVED) != 0)
        return espy_fail(image->host, ESPY_BAD_FORMAT, "%s: the header's reserved field is not 0",
                         image->file);
    if (get64(bytes + HEADER_TOTAL_SIZE) != image->size)
        return espy_fail(image->host, ESPY_BAD_FORMAT,
                         "%s: %zu bytes, but its header says %llu: the file is cut off or longer",
                         image->file, image->size,
                         (unsigned long long)get64(bytes + HEADER_TOTAL_SIZE));
    *chunk_count = get32(bytes + HEADER_CHUNK_COUNT);
    if (*chunk_count == 0 || *chunk_count > FORMAT_CHUNKS_MAX)
        return espy_fail(image->host, ESPY_BAD_FORMAT, "%s: %u chunks, not in 1..%d", image->file,
                         (unsigned)*chunk_count, (int)FORMAT_CHUNKS_MAX);
    return ESPY_OK;
}

static bool is_chunk_type(const unsigned char *type)
{
    for (int i = 0; i < 4; i++)
        if (!((type[i] >= 'A' && type[i] <= 'Z') || (type[i] >= '0' && type[i] <= '9')))
            return false;
    return true;
}

static espy_status read_chunk_header(const struct image *image, size_t offset, struct chunk *chunk)
{
    const struct host *host = image->host;
    const unsigned char *bytes = image->bytes + offset;
    if (image->size - offset < CHUNK_HEADER_SIZE)
        return espy_fail(host, ESPY_BAD_FORMAT, "%s: chunk at %zu: no room for its header",
                         image->file, offset);
    if (get32(bytes + CHUNK_CHECKSUM) != espy_crc32(0, bytes, CHUNK_CHECKSUM))
        return espy_fail(host, ESPY_BAD_FORMAT, "%s: chunk at %zu: damaged header (checksum)",
                         image->file, offset);
    *chunk = (struct chunk){.flags = get32(bytes + CHUNK_FLAGS),
                            .alignment = get32(bytes + CHUNK_ALIGNMENT),
                            .payload_checksum = get32(bytes + CHUNK_PAYLOAD_CHECKSUM)};
    if (!is_chunk_type(bytes + CHUNK_TYPE))
        return espy_fail(host, ESPY_BAD_FORMAT, "%s: chunk at %zu: the type is not A-Z and 0-9",
                         image->file, offset);
    memcpy(chunk->type, bytes + CHUNK_TYPE, 4);
    if ((chunk->flags & ~(uint32_t)CHUNK_REQUIRED) != 0 || get32(bytes + CHUNK_RESERVED) != 0)
        return espy_fail(host, ESPY_BAD_FORMAT, "%s: chunk %s: unknown flags or reserved field",
                         image->file, chunk->type);
    const uint32_t alignment = chunk->alignment;
    if (alignment < FORMAT_CHUNK_ALIGNMENT || alignment > FORMAT_WEIGHTS_ALIGNMENT ||
        (alignment & (alignment - 1)) != 0)
        return espy_fail(host, ESPY_BAD_FORMAT,
                         "%s: chunk %s: alignment %u is not a power of two in %d..%d", image->file,
                         chunk->type, (unsigned)alignment, (int)FORMAT_CHUNK_ALIGNMENT,
                         (int)FORMAT_WEIGHTS_ALIGNMENT);
    // No overflow: offset is inside a file that is in memory.
    chunk->payload_offset = espy_format_align(offset + CHUNK_HEADER_SIZE, alignment);
    const uint64_t size = get64(bytes + CHUNK_SIZE);
    if (chunk->payload_offset > image->size || size > image->size - chunk->payload_offset)
        return espy_fail(host, ESPY_BAD_FORMAT,
                         "%s: chunk %s: %llu bytes reach over the file's end", image->file,
                         chunk->type, (unsigned long long)size);
    chunk->payload_size = (size_t)size;
    return ESPY_OK;
}

static bool is_zero(const unsigned char *bytes, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

// Reads one chunk and moves *offset to where the next one starts.
static espy_status read_chunk(const struct image *image, size_t *offset, struct chunk *chunk)
{
    TRY(read_chunk_header(image, *offset, chunk));
    const size_t payload_end = chunk->payload_offset + chunk->payload_size;
    const size_t end = espy_format_align(payload_end, FORMAT_CHUNK_ALIGNMENT);
    if (end > image->size)
        return espy_fail(image->host, ESPY_BAD_FORMAT, "%s: chunk %s: no room for its padding",
                         image->file, chunk->type);
    if (!is_zero(image->bytes, *offset + CHUNK_HEADER_SIZE, chunk->payload_offset) ||
        !is_zero(image->bytes, payload_end, end))
        return espy_fail(image->host, ESPY_BAD_FORMAT, "%s: chunk %s: padding that is not zero",
                         image->file, chunk->type);
    if (espy_crc32(0, image->bytes + chunk->payload_offset, chunk->payload_size) !=
        chunk->payload_checksum)
        return espy_fail(image->host, ESPY_BAD_FORMAT, "%s: chunk %s: damaged (checksum)",
                         image->file, chunk->type);
    *offset = end;
    return ESPY_OK;
}

// Checks that a chunk of a known type is as this version has it, and takes it.
static espy_status take_chunk(const struct image *image, const struct chunk *chunk,
                              uint32_t alignment, struct chunk *taken)
{
    if (taken->type[0] != '\0')
        return espy_fail(image->host, ESPY_BAD_FORMAT, "%s: two %s chunks", image->file,
                         chunk->type);
    if (chunk->flags != CHUNK_REQUIRED || chunk->alignment != alignment)
        return espy_fail(image->host, ESPY_BAD_FORMAT,
                         "%s: chunk %s: must be required and aligned to %u", image->file,
                         chunk->type, (unsigned)alignment);
    *taken = *chunk;
    return ESPY_OK;
}

static espy_status read_chunks(const struct image *image, uint32_t count, struct chunk *json,
                               struct chunk *weights)
{
    size_t offset = HEADER_SIZE;
    for (uint32_t i = 0; i < count; i++) {
        struct chunk chunk;
        TRY(read_chunk(image, &offset, &chunk));
        const bool is_json = strcmp(chunk.type, json_type) == 0;
        if (is_json != (i == 0))
            return espy_fail(image->host, ESPY_BAD_FORMAT,
                             "%s: the first chunk, and no other, must be JSON", image->file);
        if (is_json)
            TRY(take_chunk(image, &chunk, FORMAT_CHUNK_ALIGNMENT, json));
        else if (strcmp(chunk.type, weights_type) == 0)
            TRY(take_chunk(image, &chunk, FORMAT_WEIGHTS_ALIGNMENT, weights));
        else if (chunk.flags & CHUNK_REQUIRED)
            return espy_fail(image->host, ESPY_UNSUPPORTED,
                             "%s: chunk %s is required and not known to this library", image->file,
                             chunk.type);
    }
    if (offset != image->size)
        return espy_fail(image->host, ESPY_BAD_FORMAT, "%s: %zu bytes after the last chunk",
                         image->file, image->size - offset);
    return ESPY_OK;
}

espy_status espy_format_read(const struct host *host, const char *name, const void *bytes,
                             size_t size, struct graph *graph)
{
    assert((uintptr_t)bytes % FORMAT_TENSOR_ALIGNMENT == 0);
    const struct image image = {host, name, bytes, size};
    uint32_t chunk_count = 0;
    struct chunk json = {0}, weights = {0};
    *graph = (struct graph){0};
    if (!host_is_little_endian())
        return espy_fail(host, ESPY_UNSUPPORTED, "%s: this machine is not little-endian", name);
    TRY(read_header(&image, &chunk_count));
    TRY(read_chunks(&image, chunk_count, &json, &weights));
    const bool has_weights = weights.type[0] != '\0';
    const struct format_source source = {
        .weights = has_weights ? image.bytes + weights.payload_offset : NULL,
        .weights_size = weights.payload_size,
    };
    return espy_format_parse_json(host, name, (const char *)image.bytes + json.payload_offset,
                                  json.payload_size, &source, graph);
}

// ---- write --------------------------------------------------------------------------------------

// Where bytes go: a file, or memory that has room for all of them.
struct sink {
    FILE *file; // NULL: memory
    unsigned char *bytes;
    size_t size;
    bool failed; // errno says why
};

struct layout {
    struct text json;
    size_t weights_size, weights_offset, total_size;
    bool has_weights;
};

static void put(struct sink *sink, const void *bytes, size_t size)
{
    if (size == 0 || sink->failed)
        return;
    if (sink->file == NULL)
        memcpy(sink->bytes + sink->size, bytes, size);
    else
        sink->failed = fwrite(bytes, 1, size, sink->file) != size;
    sink->size += size;
}

static void put_zeros(struct sink *sink, size_t end)
{
    static const unsigned char zeros[FORMAT_WEIGHTS_ALIGNMENT];
    assert(end - sink->size <= sizeof(zeros));
    put(sink, zeros, end - sink->size);
}

static void put_header(struct sink *sink, const struct layout *layout)
{
    unsigned char bytes[HEADER_SIZE] = {0};
    memcpy(bytes, magic, sizeof(magic));
    put32(bytes + HEADER_VERSION, FORMAT_VERSION);
    put32(bytes + HEADER_CHUNK_COUNT, layout->has_weights ? 2 : 1);
    put64(bytes + HEADER_TOTAL_SIZE, layout->total_size);
    put32(bytes + HEADER_CHECKSUM, espy_crc32(0, bytes, HEADER_CHECKSUM));
    put(sink, bytes, sizeof(bytes));
}

static void put_chunk_header(struct sink *sink, const char *type, size_t size, uint32_t alignment,
                             uint32_t checksum)
{
    unsigned char bytes[CHUNK_HEADER_SIZE] = {0};
    memcpy(bytes + CHUNK_TYPE, type, 4);
    put32(bytes + CHUNK_FLAGS, CHUNK_REQUIRED);
    put64(bytes + CHUNK_SIZE, size);
    put32(bytes + CHUNK_ALIGNMENT, alignment);
    put32(bytes + CHUNK_PAYLOAD_CHECKSUM, checksum);
    put32(bytes + CHUNK_CHECKSUM, espy_crc32(0, bytes, CHUNK_CHECKSUM));
    put(sink, bytes, sizeof(bytes));
    put_zeros(sink, espy_format_align(sink->size, alignment));
}

uint32_t espy_format_same_tensor(const struct graph *graph, const struct graph_value *value)
{
    const struct graph *network = graph->network;
    for (uint32_t i = 0; network != NULL && i < network->value_count; i++) {
        const struct graph_value *other = &network->values[i];
        if (other->data == value->data && other->dtype == value->dtype &&
            espy_shape_equal(&other->shape, &value->shape))
            return i;
    }
    return GRAPH_NONE;
}

const struct graph_value *espy_format_next_tensor(const struct graph *network,
                                                  struct tensor_cursor *cursor)
{
    while (cursor->graph <= network->body_count) {
        const struct graph *graph =
            cursor->graph == 0 ? network : network->bodies[cursor->graph - 1];
        while (cursor->value < graph->value_count) {
            const struct graph_value *value = &graph->values[cursor->value++];
            if (value->data != NULL && espy_format_same_tensor(graph, value) == GRAPH_NONE)
                return value;
        }
        cursor->graph++;
        cursor->value = 0;
    }
    return NULL;
}

static uint32_t weights_checksum(const struct graph *graph)
{
    static const unsigned char zeros[FORMAT_TENSOR_ALIGNMENT];
    uint32_t crc = 0;
    size_t end = 0;
    struct tensor_cursor cursor = {0};
    const struct graph_value *tensor;
    while ((tensor = espy_format_next_tensor(graph, &cursor)) != NULL) {
        crc = espy_crc32(crc, zeros, espy_format_align(end, FORMAT_TENSOR_ALIGNMENT) - end);
        crc = espy_crc32(crc, tensor->data, tensor->data_size);
        end = espy_format_align(end, FORMAT_TENSOR_ALIGNMENT) + tensor->data_size;
    }
    return crc;
}

static void put_all(struct sink *sink, const struct graph *graph, const struct layout *layout)
{
    put_header(sink, layout);
    put_chunk_header(sink, json_type, layout->json.length, FORMAT_CHUNK_ALIGNMENT,
                     espy_crc32(0, layout->json.chars, layout->json.length));
    put(sink, layout->json.chars, layout->json.length);
    put_zeros(sink, espy_format_align(sink->size, FORMAT_CHUNK_ALIGNMENT));
    if (layout->has_weights) {
        put_chunk_header(sink, weights_type, layout->weights_size, FORMAT_WEIGHTS_ALIGNMENT,
                         weights_checksum(graph));
        assert(sink->size == layout->weights_offset);
        struct tensor_cursor cursor = {0};
        const struct graph_value *tensor;
        while ((tensor = espy_format_next_tensor(graph, &cursor)) != NULL) {
            // The weights start at a multiple of 4096, so this aligns inside of them as well.
            put_zeros(sink, espy_format_align(sink->size, FORMAT_TENSOR_ALIGNMENT));
            put(sink, tensor->data, tensor->data_size);
        }
        put_zeros(sink, espy_format_align(sink->size, FORMAT_CHUNK_ALIGNMENT));
    }
    assert(sink->failed || sink->size == layout->total_size);
}

// false on overflow.
static bool measure_weights(const struct graph *graph, size_t *size)
{
    *size = 0;
    struct tensor_cursor cursor = {0};
    const struct graph_value *tensor;
    while ((tensor = espy_format_next_tensor(graph, &cursor)) != NULL) {
        size_t padded;
        if (!espy_checked_add(*size, FORMAT_TENSOR_ALIGNMENT - 1, &padded) ||
            !espy_checked_add(espy_format_align(*size, FORMAT_TENSOR_ALIGNMENT), tensor->data_size,
                              size))
            return false;
    }
    return true;
}

// Prints the JSON and works out every offset. The caller finishes layout->json in any case.
static espy_status lay_out(const struct host *host, const struct graph *graph, const char *file,
                           struct layout *layout)
{
    *layout = (struct layout){0};
    espy_text_init(&layout->json, host);
    TRY(espy_format_check_graph(graph, file));
    const size_t spare = 3 * FORMAT_WEIGHTS_ALIGNMENT + (size_t)FORMAT_JSON_SIZE_MAX;
    if (!measure_weights(graph, &layout->weights_size) || layout->weights_size > SIZE_MAX - spare)
        return espy_fail(host, ESPY_INVALID_ARGUMENT, "%s: the tensors are too large together",
                         file);
    espy_format_print_json(graph, &layout->json);
    if (layout->json.failed)
        return ESPY_OUT_OF_MEMORY;
    // What was written must be readable: the limits on the JSON hold for the writer too.
    if (layout->json.length > FORMAT_JSON_SIZE_MAX)
        return espy_fail(host, ESPY_UNSUPPORTED, "%s: %zu bytes of JSON, at most %llu", file,
                         layout->json.length, (unsigned long long)FORMAT_JSON_SIZE_MAX);
    TRY(espy_format_scan_json(host, file, layout->json.chars, layout->json.length));
    size_t end = espy_format_align(HEADER_SIZE + CHUNK_HEADER_SIZE + layout->json.length,
                                   FORMAT_CHUNK_ALIGNMENT);
    layout->has_weights = layout->weights_size > 0;
    if (layout->has_weights) {
        layout->weights_offset =
            espy_format_align(end + CHUNK_HEADER_SIZE, FORMAT_WEIGHTS_ALIGNMENT);
        end = espy_format_align(layout->weights_offset + layout->weights_size,
                                FORMAT_CHUNK_ALIGNMENT);
    }
    layout->total_size = end;
    return ESPY_OK;
}

espy_status espy_format_write(const struct host *host, const struct graph *graph, void **bytes,
                              size_t *size)
{
    struct layout layout;
    char shown[FORMAT_TEXT_SHOWN_MAX];
    espy_status status =
        lay_out(host, graph, graph->name == NULL ? "graph" : espy_format_shown(graph->name, shown),
                &layout);
    if (status == ESPY_OK) {
        struct sink sink = {.bytes = espy_alloc(host, layout.total_size)};
        if (sink.bytes == NULL) {
            status = espy_fail_memory(host, layout.total_size, "the file");
        } else {
            put_all(&sink, graph, &layout);
            *bytes = sink.bytes;
            *size = sink.size;
        }
    }
    espy_text_finish(&layout.json);
    return status;
}

// Makes and opens a file beside path that did not exist before, and writes its name to name.
static FILE *open_beside(const char *path, char *name, size_t name_size)
{
    enum { ATTEMPTS_MAX = 100 }; // left behind by crashes, or in use by others
    FILE *file = NULL;
    for (int i = 0; i < ATTEMPTS_MAX && file == NULL; i++) {
        snprintf(name, name_size, "%s.tmp%d", path, i);
        errno = 0;
        file = fopen(name, "wbx");
        if (file == NULL && errno != EEXIST)
            break;
    }
    return file;
}

// Whether path is there and is not a file or folder: a device, a pipe or a socket. A rename would
// take its place.
static bool is_special(const char *path)
{
#if !defined(_WIN32)
    struct stat info;
    return stat(path, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode);
#else
    (void)path;
    return false;
#endif
}

static bool close_written(struct sink *sink)
{
    bool good = !sink->failed && fflush(sink->file) == 0;
#if !defined(_WIN32)
    // Before the rename: or a power cut could leave the new name on an empty file. What cannot be
    // synchronised (EINVAL, ENOTSUP) is as safe as it gets.
    good = good && (fsync(fileno(sink->file)) == 0 || errno == EINVAL || errno == ENOTSUP);
#endif
    const int error = errno;
    if (fclose(sink->file) != 0)
        return false;
    errno = error;
    return good;
}

static espy_status write_beside(const struct host *host, const struct graph *graph,
                                const char *path, const struct layout *layout, char *name,
                                size_t name_size)
{
    struct sink sink = {.file = open_beside(path, name, name_size)};
    if (sink.file == NULL)
        return espy_fail(host, ESPY_IO_ERROR, "%s: cannot be made: %s", name, strerror(errno));
    put_all(&sink, graph, layout);
    if (!close_written(&sink)) {
        const int error = errno;
        remove(name);
        return espy_fail(host, ESPY_IO_ERROR, "%s: cannot be written: %s", name, strerror(error));
    }
#if defined(_WIN32)
    remove(path); // rename does not replace there
#endif
    if (rename(name, path) != 0) {
        const int error = errno;
        remove(name);
        return espy_fail(host, ESPY_IO_ERROR, "%s: cannot be renamed to it from %s: %s", path, name,
                         strerror(error));
    }
    return ESPY_OK;
}

static espy_status write_into(const struct host *host, const struct graph *graph, const char *path,
                              const struct layout *layout)
{
    struct sink sink = {.file = fopen(path, "wb")};
    if (sink.file == NULL)
        return espy_fail(host, ESPY_IO_ERROR, "%s: cannot be opened: %s", path, strerror(errno));
    put_all(&sink, graph, layout);
    if (!close_written(&sink))
        return espy_fail(host, ESPY_IO_ERROR, "%s: cannot be written: %s", path, strerror(errno));
    return ESPY_OK;
}

espy_status espy_format_write_file(const struct host *host, const struct graph *graph,
                                   const char *path)
{
    struct layout layout;
    espy_status status = lay_out(host, graph, path, &layout);
    if (status == ESPY_OK && is_special(path)) {
        status = write_into(host, graph, path, &layout);
    } else if (status == ESPY_OK) {
        const size_t name_size = strlen(path) + sizeof(".tmp99");
        char *name = espy_alloc(host, name_size);
        status = name == NULL ? espy_fail_memory(host, name_size, "a file name")
                              : write_beside(host, graph, path, &layout, name, name_size);
        espy_free(host, name);
    }
    espy_text_finish(&layout.json);
    return status;
}
