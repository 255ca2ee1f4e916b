#include "convert/convert_internal.h"

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

const char *espy_wire_read(const unsigned char **at, const unsigned char *end,
                           struct wire_field *field)
{
    uint64_t key, length = 0;
    *field = (struct wire_field){.start = *at};
    if (!read_varint(at, end, &key))
        return "a field's number is cut off";
    switch (key & 7) {
    case WIRE_VARINT:
        if (!read_varint(at, end, &length))
            return "a number is cut off";
        length = 0;
        break;
    case WIRE_64:
        length = 8;
        break;
    case WIRE_32:
        length = 4;
        break;
    case WIRE_BYTES:
        if (!read_varint(at, end, &length))
            return "a length is cut off";
        break;
    default:
        return "it has a field of unknown kind";
    }
    if (length > (uint64_t)(end - *at))
        return "a field is longer than what is around it";
    field->number = key >> 3;
    field->is_bytes = (key & 7) == WIRE_BYTES;
    field->bytes = *at;
    *at += length;
    field->size = (size_t)length;
    field->end = *at;
    return NULL;
}

const char *espy_wire_check(const unsigned char *bytes, size_t size)
{
    struct {
        enum message message;
        const unsigned char *end;
    } stack[WIRE_DEPTH_MAX] = {{MODEL, bytes + size}};
    uint32_t depth = 1;
    const unsigned char *at = bytes;
    while (depth > 0) {
        if (at == stack[depth - 1].end) {
            depth--;
            continue;
        }
        struct wire_field field;
        const char *fault = espy_wire_read(&at, stack[depth - 1].end, &field);
        if (fault != NULL)
            return fault;
        const enum message inner = child(stack[depth - 1].message, field.number);
        if (!field.is_bytes || inner == OTHER)
            continue;
        if (depth == WIRE_DEPTH_MAX)
            return "graphs are nested too deep";
        stack[depth].message = inner;
        stack[depth++].end = field.end;
        at = field.bytes;
    }
    return NULL;
}
