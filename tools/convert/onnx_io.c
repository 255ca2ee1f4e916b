// Inputs and outputs of a network, and whether something makes every value.
#include "convert/convert_internal.h"

#include <string.h>

static const struct convert_shape *find_shape(const struct convert_params *params, const char *name)
{
    for (uint32_t i = 0; i < params->shape_count; i++)
        if (strcmp(params->shapes[i].name, name) == 0)
            return &params->shapes[i];
    return NULL;
}

// Dims without size or name get one for inputs, so that every unknown can be told from the others.
static espy_status set_dims(struct importer *importer, struct graph_value *value,
                            const EspyOnnx__TensorShapeProto *proto, bool invent)
{
    value->has_shape = true;
    value->shape.rank = (uint32_t)proto->n_dim;
    for (uint32_t i = 0; i < value->shape.rank; i++) {
        const EspyOnnx__TensorShapeProto__Dimension *dim = proto->dim[i];
        const char *param = espy_import_text(dim->dim_param);
        value->shape.dims[i] = dim->has_dim_value && dim->dim_value >= 0 ? dim->dim_value : -1;
        if (value->shape.dims[i] >= 0 || (param[0] == '\0' && !invent))
            continue;
        const char *symbol = param[0] != '\0' ? param
                                              : espy_arena_format(&importer->scratch, "%s_dim%u",
                                                                  value->name, (unsigned)i);
        if (symbol == NULL)
            return ESPY_OUT_OF_MEMORY;
        TRY(espy_graph_set_symbol(importer->graph, value, i, symbol));
    }
    return ESPY_OK;
}

static espy_status import_input(struct importer *importer, const struct convert_params *params,
                                const EspyOnnx__ValueInfoProto *info)
{
    const char *name = espy_import_text(info->name);
    const EspyOnnx__TypeProto__Tensor *type = info->type == NULL ? NULL : info->type->tensor_type;
    uint32_t index;
    if (name[0] == '\0')
        return espy_import_bad(importer, "an input has no name", "");
    TRY(espy_import_define_name(importer, name, &index));
    struct graph *graph = importer->graph;
    graph->inputs[graph->input_count++] = (struct graph_io){.value = index};
    const espy_dtype dtype = type == NULL ? ESPY_DTYPE_NONE : espy_onnx_dtype(type->elem_type);
    TRY(espy_import_note(importer, index, dtype, true));
    struct graph_value *value = &graph->values[index];
    value->dtype = dtype;
    if (dtype == ESPY_DTYPE_NONE)
        return espy_convert_problem(importer->report, name, "input", "%s inputs are not supported",
                                    type == NULL ? "sequence, map or optional"
                                                 : espy_onnx_dtype_name(type->elem_type));
    if (type->shape != NULL && type->shape->n_dim > ESPY_RANK_MAX)
        return espy_convert_problem(importer->report, name, "input", "rank %zu is not supported",
                                    type->shape->n_dim);
    if (type->shape != NULL)
        return set_dims(importer, value, type->shape, true);
    if (find_shape(params, name) == NULL)
        return espy_convert_problem(importer->report, name, "input",
                                    "it has no shape; give one with --shape %s=1x3x224x224", name);
    return ESPY_OK;
}

espy_status espy_import_inputs(struct importer *importer, const struct convert_params *params,
                               const onnx_graph *proto)
{
    struct graph *graph = importer->graph;
    if (proto->n_input > GRAPH_IO_MAX + importer->model->tensors.count ||
        proto->n_output > GRAPH_IO_MAX)
        return espy_import_bad(importer, "too many inputs or outputs in",
                               espy_import_text(proto->name));
    graph->inputs = espy_arena_array(&graph->arena, proto->n_input, sizeof(*graph->inputs));
    if (graph->inputs == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (size_t i = 0; i < proto->n_input; i++) {
        // Up to IR version 3 every initializer is listed as an input as well.
        const char *name = espy_import_text(proto->input[i]->name);
        const uint32_t known = espy_map_get(&importer->frame->names, name);
        if (known == MAP_NONE)
            TRY(import_input(importer, params, proto->input[i]));
    }
    return ESPY_OK;
}

// What the file says of an output, for people; inference says better where it can.
static espy_status note_output_type(struct importer *importer, const EspyOnnx__ValueInfoProto *info,
                                    uint32_t index)
{
    const EspyOnnx__TypeProto__Tensor *type = info->type == NULL ? NULL : info->type->tensor_type;
    struct graph_value *value = &importer->graph->values[index];
    if (importer->notes[index].produced || type == NULL) // an input or a tensor has said it
        return ESPY_OK;
    value->dtype = espy_onnx_dtype(type->elem_type);
    if (value->dtype == ESPY_DTYPE_NONE || type->shape == NULL || type->shape->n_dim == 0 ||
        type->shape->n_dim > ESPY_RANK_MAX)
        return ESPY_OK;
    return set_dims(importer, value, type->shape, false);
}

espy_status espy_import_outputs(struct importer *importer, const onnx_graph *proto)
{
    struct graph *graph = importer->graph;
    graph->outputs = espy_arena_array(&graph->arena, proto->n_output, sizeof(*graph->outputs));
    if (graph->outputs == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (size_t i = 0; i < proto->n_output; i++) {
        const char *name = espy_import_text(proto->output[i]->name);
        uint32_t index;
        TRY(espy_import_use_name(importer, name, &index));
        if (index == GRAPH_NONE)
            return espy_import_bad(importer, "an output has no name", "");
        graph->outputs[graph->output_count++] = (struct graph_io){.value = index};
        TRY(note_output_type(importer, proto->output[i], index));
    }
    return ESPY_OK;
}

espy_status espy_import_check_produced(const struct importer *importer)
{
    const struct graph *graph = importer->graph;
    for (uint32_t n = 0; n < graph->node_count; n++)
        for (uint32_t i = 0; i < graph->nodes[n].input_count; i++) {
            const uint32_t value = graph->nodes[n].inputs[i];
            if (value != GRAPH_NONE && !importer->notes[value].produced)
                return espy_import_bad(importer, "nothing makes the value",
                                       graph->values[value].name);
        }
    for (uint32_t i = 0; i < graph->output_count; i++)
        if (!importer->notes[graph->outputs[i].value].produced)
            return espy_import_bad(importer, "nothing makes the output",
                                   graph->values[graph->outputs[i].value].name);
    return ESPY_OK;
}
