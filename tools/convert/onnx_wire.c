#include "convert/convert_internal.h"

#include <limits.h>

// protobuf-c parses nested messages by recursion, and ONNX nests without bound (a node's attribute
// may be a graph). The nesting is measured on the bytes first, without recursion.

enum message { MODEL, GRAPH, NODE, ATTRIBUTE, FUNCTION, OTHER };

// Fields of the five messages above that lead back to one of them.
static enum message child(enum message parent, uint64_t field)
{
    switch (parent) {
    case MODEL:
        return field == 7 ? GRAPH : field == 25 ? FUNCTION : OTHER;
    case GRAPH:
        return field == 1 ? NODE : OTHER;
    case FUNCTION:
        return field == 7 ? NODE : field == 11 ? ATTRIBUTE : OTHER;
    case NODE:
        return field == 5 ? ATTRIBUTE : OTHER;
    case ATTRIBUTE:
        return field == 6 ? GRAPH : OTHER;
    case OTHER:
        break;
    }
    return OTHER;
}

static bool read_varint(const unsigned char **at, const unsigned char *end, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && *at < end; shift += 7) {
        const unsigned char byte = *(*at)++;
        *value |= (uint64_t)(byte & 0x7fu) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };
// Three messages per level: graph, node, attribute.
enum { WIRE_DEPTH_MAX = 3 * IMPORT_DEPTH_MAX + 2 };

static const char *check_nesting(const unsigned char *bytes, size_t size)
{
    struct {
        enum message message;
        const unsigned char *end;
    } stack[WIRE_DEPTH_MAX] = {{MODEL, bytes + size}};
    uint32_t depth = 1;
    const unsigned char *at = bytes;
    while (depth > 0) {
        const unsigned char *end = stack[depth - 1].end;
        if (at == end) {
            depth--;
            continue;
        }
        uint64_t key, length = 0;
        if (!read_varint(&at, end, &key))
            return "a field's number is cut off";
        switch (key & 7) {
        case WIRE_VARINT:
            if (!read_varint(&at, end, &length))
                return "a number is cut off";
            continue;
        case WIRE_64:
            length = 8;
            break;
        case WIRE_32:
            length = 4;
            break;
        case WIRE_BYTES:
            if (!read_varint(&at, end, &length))
                return "a length is cut off";
            break;
        default:
            return "it has a field of unknown kind";
        }
        if (length > (uint64_t)(end - at))
            return "a field is longer than what is around it";
        const enum message inner = child(stack[depth - 1].message, key >> 3);
        if ((key & 7) != WIRE_BYTES || inner == OTHER) {
            at += length;
            continue;
        }
        if (depth == WIRE_DEPTH_MAX)
            return "graphs are nested too deep";
        stack[depth].message = inner;
        stack[depth++].end = at + length;
    }
    return NULL;
}

static void *allocate(void *user, size_t size)
{
    struct convert_model *model = user;
    const struct host *host = model->host;
    void *pointer = host->realloc(host->realloc_user, NULL, size == 0 ? 1 : size);
    model->allocation_failed = model->allocation_failed || pointer == NULL;
    return pointer;
}

static void release(void *user, void *pointer)
{
    const struct convert_model *model = user;
    espy_free(model->host, pointer);
}

espy_status espy_onnx_parse(struct convert_model *model, const char *path)
{
    const struct host *host = model->host;
    const struct format_file *file = &model->file;
    const char *fault = file->size > INT_MAX ? "it is larger than 2 GiB, protobuf's limit"
                                             : check_nesting(file->bytes, file->size);
    if (fault != NULL)
        return espy_fail(host, ESPY_BAD_FORMAT, "%s: not an ONNX model: %s", path, fault);
    model->allocator = (ProtobufCAllocator){allocate, release, model};
    model->proto = espy_onnx__model_proto__unpack(&model->allocator, file->size, file->bytes);
    if (model->proto == NULL && model->allocation_failed)
        return espy_fail_memory(host, file->size, "an ONNX model");
    if (model->proto == NULL)
        return espy_fail(host, ESPY_BAD_FORMAT, "%s: not an ONNX model", path);
    if (model->proto->graph == NULL)
        return espy_fail(host, ESPY_BAD_FORMAT, "%s: not an ONNX model: it has no graph", path);
    return ESPY_OK;
}
