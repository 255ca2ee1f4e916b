// Constant nodes, which become constants of the graph.
#include "convert/convert_internal.h"

#include <string.h>

static espy_status constant_numbers(struct importer *importer, const struct import_node *node,
                                    const onnx_attribute *attribute, uint32_t *index)
{
    const char *hint = node->name;
    const struct shape scalar = {.rank = 0};
    if (attribute->type == ONNX_ATTR_FLOAT)
        return espy_import_numbers(importer, hint, ESPY_FLOAT32, &scalar, &(double){attribute->f},
                                   1, index);
    if (attribute->type == ONNX_ATTR_INT) {
        TRY(espy_import_integers(importer, hint, &attribute->i, 1, index));
        importer->graph->values[*index].shape = scalar;
        return ESPY_OK;
    }
    if (attribute->type == ONNX_ATTR_INTS)
        return espy_import_integers(importer, hint, attribute->ints, (uint32_t)attribute->n_ints,
                                    index);
    const uint32_t count = (uint32_t)attribute->n_floats;
    double *numbers = espy_arena_array(&importer->scratch, count, sizeof(*numbers));
    if (numbers == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < count; i++)
        numbers[i] = (double)attribute->floats[i];
    const struct shape list = {.rank = 1, .dims = {count}};
    return espy_import_numbers(importer, hint, ESPY_FLOAT32, &list, numbers, count, index);
}

// The output's value takes the data over; the one made for it is left for prune.
static espy_status take_numbers(struct importer *importer, const struct import_node *node,
                                const onnx_attribute *attribute)
{
    uint32_t index;
    TRY(constant_numbers(importer, node, attribute, &index));
    struct graph_value *made = &importer->graph->values[index];
    struct graph_value *value = &importer->graph->values[node->outputs[0]];
    const char *name = value->name;
    *value = *made;
    value->name = name;
    made->name = espy_import_unique(importer, &importer->value_names, "unused");
    made->data = NULL;
    return made->name == NULL ? ESPY_OUT_OF_MEMORY : ESPY_OK;
}

espy_status espy_import_constant(struct importer *importer, struct import_node *node)
{
    static const char *const forms[] = {"value", "value_float", "value_floats", "value_int",
                                        "value_ints"};
    const onnx_attribute *attribute = NULL;
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]) && attribute == NULL; i++)
        attribute = espy_import_take(importer, node, forms[i]);
    if (attribute == NULL || (attribute->type == ONNX_ATTR_TENSOR && attribute->t == NULL))
        return espy_convert_problem(importer->report, node->name, "Constant",
                                    "strings and sparse tensors are not supported");
    if (node->output_count != 1 || node->outputs[0] == GRAPH_NONE)
        return espy_import_bad(importer, "a Constant needs one output:", node->name);
    struct graph_value *value = &importer->graph->values[node->outputs[0]];
    if (attribute->type == ONNX_ATTR_TENSOR)
        TRY(espy_onnx_constant(importer, attribute->t, "constant", node->name, value));
    else
        TRY(take_numbers(importer, node, attribute));
    value = &importer->graph->values[node->outputs[0]];
    if (value->data == NULL)
        return ESPY_OK;
    return espy_import_note(importer, node->outputs[0], value->dtype, true);
}
