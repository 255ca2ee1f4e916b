// ONNX's messages, unpacked where they are needed: what a network mostly consists of, its nodes and
// tensors, one at a time. Unpacked together they would take several times the file; and so the
// bytes of tensors stay in the file.
#include "convert/convert_internal.h"

#include <limits.h>
#include <string.h>

enum { GRAPH_FIELD = 7, RAW_DATA_FIELD = 9, KEY_AND_LENGTH_SIZE = 11 };

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

// What no message came of: no memory, or no such message.
static espy_status fail(const struct convert_model *model, size_t size)
{
    if (model->allocation_failed)
        return espy_fail_memory(model->host, size, "an ONNX message");
    return espy_fail(model->host, ESPY_BAD_FORMAT, "%s: not an ONNX model", model->path);
}

// ---- the file, divided --------------------------------------------------------------------------

// Bytes that are put together; without bytes only their size is counted.
struct rest {
    unsigned char *bytes;
    size_t size;
};

static void append(struct rest *rest, const unsigned char *bytes, size_t size)
{
    if (rest->bytes != NULL)
        memcpy(rest->bytes + rest->size, bytes, size);
    rest->size += size;
}

static struct onnx_pieces *pieces_of(struct convert_model *model, const struct wire_field *field)
{
    if (!field->is_bytes)
        return NULL;
    return field->number == 1    ? &model->nodes
           : field->number == 5  ? &model->tensors
           : field->number == 13 ? &model->infos
                                 : NULL;
}

static const char *divide_graph(struct convert_model *model, const struct wire_field *graph,
                                struct rest *rest)
{
    for (const unsigned char *at = graph->bytes; at != graph->end;) {
        struct wire_field field;
        const char *fault = espy_wire_read(&at, graph->end, &field);
        if (fault != NULL)
            return fault;
        struct onnx_pieces *pieces = pieces_of(model, &field);
        if (pieces == NULL)
            append(rest, field.start, (size_t)(field.end - field.start));
        else if (pieces->items != NULL)
            pieces->items[pieces->count++] = (struct onnx_piece){field.bytes, field.size};
        else
            pieces->count++;
    }
    return NULL;
}

static const char *divide(struct convert_model *model, struct rest *rest, struct rest *graph_rest,
                          bool *has_graph)
{
    const unsigned char *end = (const unsigned char *)model->file.bytes + model->file.size;
    for (const unsigned char *at = model->file.bytes; at != end;) {
        struct wire_field field;
        const char *fault = espy_wire_read(&at, end, &field);
        const bool is_graph = fault == NULL && field.is_bytes && field.number == GRAPH_FIELD;
        if (is_graph)
            fault = divide_graph(model, &field, graph_rest);
        if (fault != NULL)
            return fault;
        *has_graph = *has_graph || is_graph;
        if (!is_graph)
            append(rest, field.start, (size_t)(field.end - field.start));
    }
    return NULL;
}

static espy_status make_room(struct convert_model *model, struct onnx_pieces *pieces)
{
    const size_t count = pieces->count == 0 ? 1 : pieces->count;
    pieces->items = espy_alloc_array(model->host, count, sizeof(*pieces->items));
    if (pieces->items == NULL)
        return espy_fail_memory(model->host, count * sizeof(*pieces->items), "a list of nodes");
    pieces->count = 0;
    return ESPY_OK;
}

static void append_length(struct rest *rest, size_t length)
{
    for (; length >= 0x80; length >>= 7)
        append(rest, &(unsigned char){(unsigned char)(length | 0x80)}, 1);
    append(rest, &(unsigned char){(unsigned char)length}, 1);
}

// Unpacks what is not one of the pieces: two runs over the file, the first of which counts.
static espy_status unpack_rest(struct convert_model *model)
{
    struct rest rest = {NULL, 0}, graph = {NULL, 0};
    bool has_graph = false;
    const char *fault = divide(model, &rest, &graph, &has_graph);
    if (fault != NULL)
        return espy_fail(model->host, ESPY_BAD_FORMAT, "%s: not an ONNX model: %s", model->path,
                         fault);
    if (!has_graph)
        return espy_fail(model->host, ESPY_BAD_FORMAT, "%s: not an ONNX model: it has no graph",
                         model->path);
    TRY(make_room(model, &model->nodes));
    TRY(make_room(model, &model->tensors));
    TRY(make_room(model, &model->infos));
    const size_t graph_size = graph.size, size = rest.size + KEY_AND_LENGTH_SIZE + graph_size;
    unsigned char *bytes = espy_alloc(model->host, size);
    unsigned char *graph_bytes = bytes == NULL ? NULL : espy_alloc(model->host, graph_size + 1);
    if (graph_bytes != NULL) {
        rest = (struct rest){bytes, 0};
        graph = (struct rest){graph_bytes, 0};
        divide(model, &rest, &graph, &has_graph);
        append(&rest, &(unsigned char){GRAPH_FIELD << 3 | 2}, 1);
        append_length(&rest, graph_size);
        append(&rest, graph_bytes, graph_size);
        model->proto = espy_onnx__model_proto__unpack(&model->allocator, rest.size, bytes);
    }
    espy_free(model->host, graph_bytes);
    espy_free(model->host, bytes);
    if (graph_bytes == NULL)
        return espy_fail_memory(model->host, size + graph_size, "an ONNX model");
    return model->proto == NULL ? fail(model, size) : ESPY_OK;
}

espy_status espy_onnx_parse(struct convert_model *model, const char *path)
{
    const struct format_file *file = &model->file;
    const char *fault = file->size > INT_MAX ? "it is larger than 2 GiB, protobuf's limit"
                                             : espy_wire_check(file->bytes, file->size);
    if (fault != NULL)
        return espy_fail(model->host, ESPY_BAD_FORMAT, "%s: not an ONNX model: %s", path, fault);
    model->path = path;
    model->allocator = (ProtobufCAllocator){allocate, release, model};
    return unpack_rest(model);
}

void espy_onnx_release(struct convert_model *model)
{
    if (model->proto != NULL)
        espy_onnx__model_proto__free_unpacked(model->proto, &model->allocator);
    model->proto = NULL;
    espy_free(model->host, model->nodes.items);
    espy_free(model->host, model->tensors.items);
    espy_free(model->host, model->infos.items);
    model->nodes = model->tensors = model->infos = (struct onnx_pieces){NULL, 0};
}

// ---- one piece ----------------------------------------------------------------------------------

espy_status espy_onnx_read_node(struct convert_model *model, const struct onnx_piece *piece,
                                onnx_node **node)
{
    *node = espy_onnx__node_proto__unpack(&model->allocator, piece->size, piece->bytes);
    return *node == NULL ? fail(model, piece->size) : ESPY_OK;
}

void espy_onnx_free_node(struct convert_model *model, onnx_node *node)
{
    if (node != NULL)
        espy_onnx__node_proto__free_unpacked(node, &model->allocator);
}

espy_status espy_onnx_read_info(struct convert_model *model, const struct onnx_piece *piece,
                                onnx_info **info)
{
    *info = espy_onnx__value_info_proto__unpack(&model->allocator, piece->size, piece->bytes);
    return *info == NULL ? fail(model, piece->size) : ESPY_OK;
}

void espy_onnx_free_info(struct convert_model *model, onnx_info *info)
{
    espy_onnx__value_info_proto__free_unpacked(info, &model->allocator);
}

// Everything but raw_data; *raw is the field, whose bytes are NULL where there is none.
static const char *divide_tensor(const struct onnx_piece *piece, struct rest *rest,
                                 struct wire_field *raw)
{
    const unsigned char *end = piece->bytes + piece->size;
    *raw = (struct wire_field){.bytes = NULL};
    for (const unsigned char *at = piece->bytes; at != end;) {
        struct wire_field field;
        const char *fault = espy_wire_read(&at, end, &field);
        if (fault != NULL)
            return fault;
        if (field.is_bytes && field.number == RAW_DATA_FIELD)
            *raw = field;
        else
            append(rest, field.start, (size_t)(field.end - field.start));
    }
    return NULL;
}

espy_status espy_onnx_read_tensor(struct convert_model *model, const struct onnx_piece *piece,
                                  onnx_tensor **tensor)
{
    struct rest rest = {NULL, 0};
    struct wire_field raw;
    if (divide_tensor(piece, &rest, &raw) != NULL)
        return fail(model, piece->size);
    rest.bytes = espy_alloc(model->host, rest.size + 1);
    if (rest.bytes == NULL)
        return espy_fail_memory(model->host, rest.size, "a tensor's description");
    rest.size = 0;
    divide_tensor(piece, &rest, &raw);
    *tensor = espy_onnx__tensor_proto__unpack(&model->allocator, rest.size, rest.bytes);
    espy_free(model->host, rest.bytes);
    if (*tensor == NULL)
        return fail(model, rest.size);
    if (raw.bytes != NULL) {
        (*tensor)->has_raw_data = true;
        (*tensor)->raw_data.len = raw.size;
        // Never written through, nor freed: free_tensor takes it out first.
        memcpy(&(*tensor)->raw_data.data, &raw.bytes, sizeof(raw.bytes));
    }
    return ESPY_OK;
}

void espy_onnx_free_tensor(struct convert_model *model, onnx_tensor *tensor)
{
    tensor->raw_data.len = 0;
    tensor->raw_data.data = NULL;
    espy_onnx__tensor_proto__free_unpacked(tensor, &model->allocator);
}
