#include "convert/convert_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "op/op.h"

// ONNX writes a type as its number; operators that declare the attribute as a type get its name.
static bool holds_dtype(const char *op_name, const char *name)
{
    const struct op *op = espy_op_find(op_name);
    for (uint32_t i = 0; op != NULL && i < op->attr_count; i++)
        if (strcmp(op->attrs[i].name, name) == 0)
            return op->attrs[i].type == OP_DTYPE;
    return strcmp(name, "to") == 0 || strcmp(name, "dtype") == 0;
}

// Attributes that say nothing about what a trained network computes.
static bool is_ignored(const char *op, const char *name)
{
    static const struct {
        const char *op, *name; // op NULL: any
    } ignored[] = {
        {NULL, "consumed_inputs"},
        {"BatchNormalization", "momentum"},
        {"BatchNormalization", "is_test"},
        {"Dropout", "seed"},
        {"Cast", "saturate"},
        {"Cast", "round_mode"},
        {"CastLike", "saturate"},
        {"CastLike", "round_mode"},
        // Misspelt in models for onnxruntime, which does not look at it and takes its default.
        {"LayerNormalization", "epsion"},
    };
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        if ((ignored[i].op == NULL || strcmp(ignored[i].op, op) == 0) &&
            strcmp(ignored[i].name, name) == 0)
            return true;
    return false;
}

static const onnx_attribute *find(onnx_attribute *const *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (list[i]->name != NULL && strcmp(list[i]->name, name) == 0)
            return list[i];
    return NULL;
}

// In a function's body an attribute may stand for one of the call's; NULL when the call has none.
static const onnx_attribute *resolve(const struct import_frame *frame,
                                     const onnx_attribute *attribute)
{
    while (attribute != NULL && attribute->ref_attr_name != NULL &&
           attribute->ref_attr_name[0] != '\0') {
        if (frame == NULL || frame->function == NULL || frame->call == NULL)
            return NULL;
        const char *name = attribute->ref_attr_name;
        attribute = find(frame->call->attribute, frame->call->n_attribute, name);
        if (attribute == NULL)
            return find(frame->function->attribute_proto, frame->function->n_attribute_proto, name);
        frame = frame->outer;
    }
    return attribute;
}

const onnx_attribute *espy_import_find(const struct importer *importer, const onnx_node *node,
                                       const char *name, uint32_t *index)
{
    for (size_t i = 0; i < node->n_attribute; i++) {
        if (node->attribute[i]->name == NULL || strcmp(node->attribute[i]->name, name) != 0)
            continue;
        if (index != NULL)
            *index = (uint32_t)i;
        return resolve(importer->frame, node->attribute[i]);
    }
    return NULL;
}

const onnx_attribute *espy_import_take(const struct importer *importer, struct import_node *node,
                                       const char *name)
{
    uint32_t index = 0;
    const onnx_attribute *attribute = espy_import_find(importer, node->proto, name, &index);
    if (attribute != NULL)
        node->consumed |= UINT64_C(1) << index;
    return attribute;
}

int64_t espy_import_integer(const struct importer *importer, const struct import_node *node,
                            const char *name, int64_t fallback)
{
    const onnx_attribute *attribute = espy_import_find(importer, node->proto, name, NULL);
    return attribute == NULL || !attribute->has_i ? fallback : attribute->i;
}

const char *espy_import_string(const struct importer *importer, const struct import_node *node,
                               const char *name, char *buffer, size_t size)
{
    const onnx_attribute *attribute = espy_import_find(importer, node->proto, name, NULL);
    if (attribute == NULL || !attribute->has_s || attribute->s.len >= size)
        return NULL;
    memcpy(buffer, attribute->s.data, attribute->s.len);
    buffer[attribute->s.len] = '\0';
    return buffer;
}

static bool is_exact(int64_t integer)
{
    const int64_t limit = INT64_C(1) << 53;
    return integer >= -limit && integer <= limit;
}

// ---- constants and extra attributes -------------------------------------------------------------

static espy_status add_unique_constant(struct importer *importer, const char *hint,
                                       espy_dtype dtype, const struct shape *shape,
                                       const void *data, size_t size, uint32_t *index)
{
    const char *name = espy_import_unique(importer, &importer->value_names, hint);
    if (name == NULL)
        return ESPY_OUT_OF_MEMORY;
    TRY(espy_graph_add_constant(importer->graph, name, dtype, shape, data, size, index));
    return espy_import_note(importer, *index, dtype, true);
}

espy_status espy_import_numbers(struct importer *importer, const char *hint, espy_dtype dtype,
                                const struct shape *shape, const double *numbers, uint32_t count,
                                uint32_t *index)
{
    struct tensor tensor = {.type = {dtype, *shape}, .count = count};
    tensor.data = espy_arena_alloc(&importer->graph->arena, espy_tensor_size(&tensor));
    if (tensor.data == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < count; i++)
        espy_tensor_set_number(&tensor, i, numbers[i]);
    return add_unique_constant(importer, hint, dtype, shape, tensor.data, espy_tensor_size(&tensor),
                               index);
}

espy_status espy_import_integers(struct importer *importer, const char *hint,
                                 const int64_t *integers, uint32_t count, uint32_t *index)
{
    const struct shape shape = {.rank = 1, .dims = {count}};
    const size_t size = count * sizeof(*integers);
    const void *data = espy_arena_copy(&importer->graph->arena, integers, size);
    if (data == NULL)
        return ESPY_OUT_OF_MEMORY;
    return add_unique_constant(importer, hint, ESPY_INT64, &shape, data, size, index);
}

espy_status espy_import_extra_number(struct importer *importer, struct import_node *node,
                                     const char *name, double number)
{
    const double *copy = espy_arena_copy(&importer->scratch, &number, sizeof(number));
    if (copy == NULL)
        return ESPY_OUT_OF_MEMORY;
    node->extra[node->extra_count++] = (struct graph_attr){name, GRAPH_ATTR_NUMBER, 1, copy, NULL};
    return ESPY_OK;
}

espy_status espy_import_extra_string(struct importer *importer, struct import_node *node,
                                     const char *name, const char *string)
{
    const char *const *copy = espy_arena_copy(&importer->scratch, &string, sizeof(string));
    if (copy == NULL)
        return ESPY_OUT_OF_MEMORY;
    node->extra[node->extra_count++] = (struct graph_attr){name, GRAPH_ATTR_STRING, 1, NULL, copy};
    return ESPY_OK;
}

bool espy_import_constant_number(const struct graph_value *constant, double *number)
{
    _Alignas(double) unsigned char bytes[sizeof(double)];
    memcpy(bytes, constant->data, constant->data_size);
    const struct tensor tensor = {
        .type = {constant->dtype, {.rank = 0}}, .count = 1, .data = bytes};
    *number = espy_tensor_number(&tensor, 0);
    const bool wide = constant->dtype == ESPY_INT64 || constant->dtype == ESPY_UINT64;
    return isfinite(*number) && (!wide || is_exact(espy_tensor_integer(&tensor, 0)));
}

espy_status espy_import_emit(struct importer *importer, const struct import_node *like,
                             const char *op, const uint32_t *inputs, uint32_t input_count,
                             espy_dtype dtype, uint32_t *output, struct graph_node **node)
{
    struct graph_node *unused;
    const char *hint = espy_arena_format(&importer->scratch, "%s/%s", like->name, op);
    const char *name =
        hint == NULL ? NULL : espy_import_unique(importer, &importer->node_names, hint);
    if (name == NULL)
        return ESPY_OUT_OF_MEMORY;
    if (*output == GRAPH_NONE)
        TRY(espy_import_value(importer, hint, dtype, output));
    TRY(espy_import_note(importer, *output, dtype, true));
    return espy_graph_add_node(importer->graph, op, name, inputs, input_count, output, 1,
                               node == NULL ? &unused : node);
}

// ---- copying attributes into the graph ----------------------------------------------------------

static int32_t type_of(const onnx_attribute *attribute)
{
    if (attribute->type != 0)
        return attribute->type;
    // Files from before the type was written.
    return attribute->has_f       ? ONNX_ATTR_FLOAT
           : attribute->has_i     ? ONNX_ATTR_INT
           : attribute->has_s     ? ONNX_ATTR_STRING
           : attribute->n_ints    ? ONNX_ATTR_INTS
           : attribute->n_floats  ? ONNX_ATTR_FLOATS
           : attribute->n_strings ? ONNX_ATTR_STRINGS
                                  : 0;
}

static const char *copy_bytes(struct importer *importer, const ProtobufCBinaryData *bytes)
{
    char *text = espy_arena_alloc(&importer->scratch, bytes->len + 1);
    if (text != NULL && bytes->len > 0)
        memcpy(text, bytes->data, bytes->len);
    return text; // up to the first NUL, should there be one inside
}

static espy_status copy_strings(struct importer *importer, struct graph_node *target,
                                const char *name, const onnx_attribute *attribute)
{
    const size_t count = attribute->n_strings;
    const char **strings = espy_arena_array(&importer->scratch, count, sizeof(*strings));
    if (strings == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (size_t i = 0; i < count; i++) {
        strings[i] = copy_bytes(importer, &attribute->strings[i]);
        if (strings[i] == NULL)
            return ESPY_OUT_OF_MEMORY;
    }
    return espy_graph_set_strings(importer->graph, target, name, strings, (uint32_t)count);
}

static espy_status copy_list(struct importer *importer, struct graph_node *target, const char *name,
                             const onnx_attribute *attribute)
{
    const bool integers = type_of(attribute) == ONNX_ATTR_INTS;
    const size_t count = integers ? attribute->n_ints : attribute->n_floats;
    if (count > GRAPH_LIST_MAX)
        return espy_convert_problem(importer->report, target->name, target->op,
                                    "attribute '%s' has %zu numbers, at most %d", name, count,
                                    (int)GRAPH_LIST_MAX);
    double *numbers = espy_arena_array(&importer->scratch, count, sizeof(*numbers));
    if (numbers == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (size_t i = 0; i < count; i++) {
        if (integers && !is_exact(attribute->ints[i]))
            return espy_convert_problem(importer->report, target->name, target->op,
                                        "attribute '%s' has a number beyond 2^53", name);
        numbers[i] = integers ? (double)attribute->ints[i] : (double)attribute->floats[i];
    }
    return espy_graph_set_numbers(importer->graph, target, name, numbers, (uint32_t)count);
}

static espy_status copy_integer(struct importer *importer, struct graph_node *target,
                                const char *name, int64_t integer)
{
    if (!holds_dtype(target->op, name)) {
        if (!is_exact(integer))
            return espy_convert_problem(importer->report, target->name, target->op,
                                        "attribute '%s' is beyond 2^53", name);
        return espy_graph_set_number(importer->graph, target, name, (double)integer);
    }
    const int32_t number = integer < 0 || integer > 1000 ? -1 : (int32_t)integer;
    const espy_dtype dtype = espy_onnx_dtype(number);
    if (number == 0) // "not given": the operator's default
        return ESPY_OK;
    if (dtype == ESPY_DTYPE_NONE)
        return espy_convert_problem(importer->report, target->name, target->op,
                                    "attribute '%s': type %s is not supported", name,
                                    espy_onnx_dtype_name(number));
    return espy_graph_set_string(importer->graph, target, name, espy_dtype_name(dtype));
}

static espy_status copy_attribute(struct importer *importer, struct graph_node *target,
                                  const char *name, const onnx_attribute *attribute)
{
    struct graph *graph = importer->graph;
    switch (type_of(attribute)) {
    case ONNX_ATTR_FLOAT:
        if (!isfinite(attribute->f))
            return espy_convert_problem(importer->report, target->name, target->op,
                                        "attribute '%s' is not a finite number", name);
        return espy_graph_set_number(graph, target, name, (double)attribute->f);
    case ONNX_ATTR_INT:
        return copy_integer(importer, target, name, attribute->i);
    case ONNX_ATTR_STRING: {
        const char *text = copy_bytes(importer, &attribute->s);
        return text == NULL ? ESPY_OUT_OF_MEMORY : espy_graph_set_string(graph, target, name, text);
    }
    case ONNX_ATTR_FLOATS:
    case ONNX_ATTR_INTS:
        return copy_list(importer, target, name, attribute);
    case ONNX_ATTR_STRINGS:
        return copy_strings(importer, target, name, attribute);
    default:
        return espy_convert_problem(importer->report, target->name, target->op,
                                    "attribute '%s' is a tensor, a graph or of a kind that is "
                                    "not supported",
                                    name);
    }
}

espy_status espy_import_copy_attributes(struct importer *importer, const struct import_node *node,
                                        struct graph_node *target)
{
    for (size_t i = 0; i < node->proto->n_attribute; i++) {
        const onnx_attribute *attribute = node->proto->attribute[i];
        const char *name = attribute->name == NULL ? "" : attribute->name;
        if ((node->consumed >> i & 1) != 0 || is_ignored(target->op, name))
            continue;
        attribute = resolve(importer->frame, attribute);
        if (attribute != NULL)
            TRY(copy_attribute(importer, target, name, attribute));
    }
    return ESPY_OK;
}
