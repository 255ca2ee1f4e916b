#include "convert/builder.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// ---- the node that is rewritten -----------------------------------------------------------------

bool espy_build_has(const struct builder *b, uint32_t input)
{
    return input < b->node->input_count && b->node->inputs[input] != GRAPH_NONE;
}

uint32_t espy_build_input(const struct builder *b, uint32_t input)
{
    return espy_build_has(b, input) ? b->node->inputs[input] : GRAPH_NONE;
}

bool espy_build_wants(const struct builder *b, uint32_t output)
{
    return output < b->node->output_count && b->node->outputs[output] != GRAPH_NONE;
}

int64_t espy_build_integer(struct builder *b, const char *name, int64_t fallback)
{
    const onnx_attribute *attribute = espy_import_take(b->importer, b->node, name);
    return attribute == NULL || !attribute->has_i ? fallback : attribute->i;
}

double espy_build_float(struct builder *b, const char *name, double fallback)
{
    const onnx_attribute *attribute = espy_import_take(b->importer, b->node, name);
    return attribute == NULL || !attribute->has_f ? fallback : (double)attribute->f;
}

const char *espy_build_string(struct builder *b, const char *name, const char *fallback)
{
    const onnx_attribute *attribute = espy_import_take(b->importer, b->node, name);
    if (attribute == NULL || !attribute->has_s)
        return fallback;
    const char *text = espy_arena_format(&b->importer->scratch, "%.*s",
                                         (int)(attribute->s.len < 256 ? attribute->s.len : 256),
                                         (const char *)attribute->s.data);
    if (text == NULL)
        b->status = ESPY_OUT_OF_MEMORY;
    return text == NULL ? fallback : text;
}

uint32_t espy_build_floats(struct builder *b, const char *name, double *numbers, uint32_t room)
{
    const onnx_attribute *attribute = espy_import_take(b->importer, b->node, name);
    uint32_t count = 0;
    for (; attribute != NULL && count < attribute->n_floats && count < room; count++)
        numbers[count] = (double)attribute->floats[count];
    return count;
}

uint32_t espy_build_integers_of(struct builder *b, const char *name, int64_t *numbers,
                                uint32_t room)
{
    const onnx_attribute *attribute = espy_import_take(b->importer, b->node, name);
    uint32_t count = 0;
    for (; attribute != NULL && count < attribute->n_ints && count < room; count++)
        numbers[count] = attribute->ints[count];
    return count;
}

void espy_build_ignore(struct builder *b, const char *name)
{
    espy_import_take(b->importer, b->node, name);
}

void espy_build_copy_attributes(struct builder *b)
{
    if (b->status != ESPY_OK)
        return;
    b->status = espy_import_copy_attributes(b->importer, b->node, b->made);
    b->node->consumed = UINT64_MAX;
}

void espy_build_rename(struct builder *b, const char *op)
{
    b->node->op = op;
    b->renamed = true;
}

void espy_build_refuse(struct builder *b, const char *format, ...)
{
    char reason[256];
    va_list arguments;
    if (b->status != ESPY_OK)
        return;
    va_start(arguments, format);
    vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    b->status = espy_convert_problem(b->importer->report, b->node->name, b->node->op, "%s", reason);
    if (b->status == ESPY_OK)
        b->status = ESPY_UNSUPPORTED; // the dispatcher takes it back: other nodes are looked at
}

void espy_build_result(struct builder *b, uint32_t output, uint32_t value)
{
    if (b->status != ESPY_OK || !espy_build_wants(b, output))
        return;
    if (value == GRAPH_NONE) {
        espy_build_refuse(b, "an input that it needs is absent");
        return;
    }
    const int32_t rank = espy_import_rank(b->importer, value);
    b->status = espy_import_emit(b->importer, b->node, "Identity", &value, 1,
                                 espy_import_dtype(b->importer, value), &b->node->outputs[output],
                                 &b->made);
    if (b->status == ESPY_OK && rank >= 0)
        b->importer->notes[b->node->outputs[output]].rank = rank;
}

void espy_build_move_to_front(struct builder *b, uint32_t count)
{
    struct graph *graph = b->importer->graph;
    if (b->status != ESPY_OK || graph->node_count == count)
        return;
    const uint32_t added = graph->node_count - count;
    struct graph_node *first = espy_arena_array(&b->importer->memory, added, sizeof(*first));
    if (first == NULL) {
        b->status = ESPY_OUT_OF_MEMORY;
        return;
    }
    memcpy(first, graph->nodes + count, added * sizeof(*first));
    memmove(graph->nodes + added, graph->nodes, count * sizeof(*first));
    memcpy(graph->nodes, first, added * sizeof(*first));
    for (uint32_t i = 0; i < graph->site_count; i++)
        graph->sites[i].node += added;
}

// ---- what is emitted ----------------------------------------------------------------------------

espy_dtype espy_build_dtype(const struct builder *b, uint32_t value)
{
    return espy_import_dtype(b->importer, value);
}

int32_t espy_build_rank(struct builder *b, uint32_t value)
{
    if (b->status != ESPY_OK)
        return -1;
    if (value == GRAPH_NONE) {
        espy_build_refuse(b, "an input that it needs is absent");
        return -1;
    }
    const int32_t rank = espy_import_rank(b->importer, value);
    if (rank < 0)
        espy_build_refuse(b,
                          "how many dimensions '%s' has is not known: run ONNX's shape inference "
                          "over the model and convert what it writes",
                          b->importer->graph->values[value].name);
    return rank;
}

void espy_build_emit_many(struct builder *b, const char *op, const uint32_t *inputs,
                          uint32_t input_count, uint32_t *outputs, uint32_t output_count)
{
    for (uint32_t i = 0; i < output_count; i++)
        outputs[i] = GRAPH_NONE;
    if (b->status != ESPY_OK)
        return;
    while (input_count > 0 && inputs[input_count - 1] == GRAPH_NONE)
        input_count--; // absent inputs at the end are not written
    struct arena *arena = &b->importer->scratch;
    const espy_dtype dtype = espy_import_dtype(b->importer, inputs[0]);
    const char *hint = espy_arena_format(arena, "%s/%s", b->node->name, op);
    const char *name =
        hint == NULL ? NULL : espy_import_unique(b->importer, &b->importer->node_names, hint);
    if (name == NULL) {
        b->status = ESPY_OUT_OF_MEMORY;
        return;
    }
    for (uint32_t i = 0; i < output_count && b->status == ESPY_OK; i++) {
        b->status = espy_import_value(b->importer, hint, dtype, &outputs[i]);
        if (b->status == ESPY_OK)
            b->status = espy_import_note(b->importer, outputs[i], dtype, true);
    }
    if (b->status == ESPY_OK)
        b->status = espy_graph_add_node(b->importer->graph, op, name, inputs, input_count, outputs,
                                        output_count, &b->made);
    if (b->status == ESPY_OK)
        espy_import_follow_ranks(b->importer, NULL, b->made);
}

uint32_t espy_build_emit_as(struct builder *b, espy_dtype dtype, const char *op,
                            const uint32_t *inputs, uint32_t input_count)
{
    uint32_t output;
    espy_build_emit_many(b, op, inputs, input_count, &output, 1);
    if (b->status == ESPY_OK)
        b->status = espy_import_note(b->importer, output, dtype, true);
    return output;
}

uint32_t espy_build_emit(struct builder *b, const char *op, const uint32_t *inputs,
                         uint32_t input_count)
{
    return b->status != ESPY_OK
               ? GRAPH_NONE
               : espy_build_emit_as(b, espy_build_dtype(b, inputs[0]), op, inputs, input_count);
}

void espy_build_set(struct builder *b, const char *name, double number)
{
    if (b->status == ESPY_OK)
        b->status = espy_graph_set_number(b->importer->graph, b->made, name, number);
}

void espy_build_set_list(struct builder *b, const char *name, const double *numbers, uint32_t count)
{
    if (b->status == ESPY_OK)
        b->status = espy_graph_set_numbers(b->importer->graph, b->made, name, numbers, count);
}

void espy_build_set_text(struct builder *b, const char *name, const char *text)
{
    if (b->status == ESPY_OK)
        b->status = espy_graph_set_string(b->importer->graph, b->made, name, text);
}

uint32_t espy_build_scalar(struct builder *b, espy_dtype dtype, double number)
{
    const struct shape scalar = {.rank = 0};
    uint32_t index = GRAPH_NONE;
    if (b->status == ESPY_OK)
        b->status =
            espy_import_numbers(b->importer, b->node->name, dtype, &scalar, &number, 1, &index);
    return index;
}

uint32_t espy_build_number(struct builder *b, uint32_t like, double number)
{
    const espy_dtype dtype = espy_build_dtype(b, like);
    if (dtype != ESPY_DTYPE_NONE)
        return espy_build_scalar(b, dtype, number);
    return EMIT(b, "CastLike", espy_build_scalar(b, ESPY_FLOAT32, number), like);
}

uint32_t espy_build_list(struct builder *b, const int64_t *integers, uint32_t count)
{
    uint32_t index = GRAPH_NONE;
    if (b->status == ESPY_OK)
        b->status = espy_import_integers(b->importer, b->node->name, integers, count, &index);
    return index;
}

uint32_t espy_build_cast(struct builder *b, uint32_t value, espy_dtype dtype)
{
    if (b->status != ESPY_OK || espy_build_dtype(b, value) == dtype)
        return value;
    const uint32_t result = EMIT_AS(b, dtype, "Cast", value);
    espy_build_set_text(b, "to", espy_dtype_name(dtype));
    return result;
}

uint32_t espy_build_cast_like(struct builder *b, uint32_t value, uint32_t like)
{
    const espy_dtype from = espy_build_dtype(b, value), to = espy_build_dtype(b, like);
    if (value == GRAPH_NONE || (from == to && from != ESPY_DTYPE_NONE))
        return value;
    return EMIT_AS(b, to, "CastLike", value, like);
}

uint32_t espy_build_dims(struct builder *b, uint32_t value, int64_t start, int64_t end)
{
    const uint32_t dims = EMIT_AS(b, ESPY_INT64, "Shape", value);
    espy_build_set(b, "start", (double)start);
    if (end != INT64_MAX) // to the last one
        espy_build_set(b, "end", (double)end);
    return dims;
}

uint32_t espy_build_concat(struct builder *b, const uint32_t *parts, uint32_t count, int64_t axis)
{
    const uint32_t result = espy_build_emit(b, "Concat", parts, count);
    espy_build_set(b, "axis", (double)axis);
    return result;
}

uint32_t espy_build_transpose(struct builder *b, uint32_t value, const uint32_t *order,
                              uint32_t rank)
{
    double perm[ESPY_RANK_MAX];
    for (uint32_t i = 0; i < rank; i++)
        perm[i] = order[i];
    const uint32_t result = EMIT(b, "Transpose", value);
    espy_build_set_list(b, "perm", perm, rank);
    return result;
}

uint32_t espy_build_reshape(struct builder *b, uint32_t value, const int64_t *dims, uint32_t count)
{
    return EMIT(b, "Reshape", value, espy_build_list(b, dims, count));
}

uint32_t espy_build_slice(struct builder *b, uint32_t value, uint32_t starts, uint32_t ends,
                          int64_t axis)
{
    return EMIT(b, "Slice", value, starts, ends, LIST(b, axis));
}

uint32_t espy_build_pick(struct builder *b, uint32_t value, int64_t index, int64_t axis)
{
    const uint32_t result =
        EMIT(b, "Gather", value, espy_build_scalar(b, ESPY_INT64, (double)index));
    espy_build_set(b, "axis", (double)axis);
    return result;
}

uint32_t espy_build_plus(struct builder *b, uint32_t value, uint32_t input)
{
    return espy_build_has(b, input) ? EMIT(b, "Add", value, espy_build_input(b, input)) : value;
}

uint32_t espy_build_move_channels(struct builder *b, uint32_t x, bool to_end)
{
    uint32_t order[ESPY_RANK_MAX];
    const int32_t rank = espy_build_rank(b, x);
    if (rank < 3 || rank > ESPY_RANK_MAX)
        return x;
    const uint32_t end = (uint32_t)rank - 1;
    order[0] = 0;
    for (uint32_t i = 1; i <= end; i++)
        order[i] = to_end ? (i == end ? 1 : i + 1) : (i == 1 ? end : i - 1);
    return espy_build_transpose(b, x, order, end + 1);
}
