// Graphs in attributes, which become bodies that nodes run.
#include "convert/convert_internal.h"

static espy_status note_own_names(struct importer *importer, const onnx_graph *proto)
{
    for (size_t n = 0; n < proto->n_node; n++)
        for (size_t o = 0; o < proto->node[n]->n_output; o++)
            TRY(espy_map_put(&importer->own_names, proto->node[n]->output[o], 0));
    return ESPY_OK;
}

// Inputs of a body have whatever shape they are given.
static espy_status import_body_input(struct importer *importer,
                                     const EspyOnnx__ValueInfoProto *info)
{
    const EspyOnnx__TypeProto__Tensor *type = info->type == NULL ? NULL : info->type->tensor_type;
    struct graph *graph = importer->graph;
    uint32_t index;
    if (espy_import_text(info->name)[0] == '\0')
        return espy_import_bad(importer, "an input has no name in the body",
                               espy_import_text(graph->name));
    TRY(espy_map_put(&importer->own_names, info->name, 0));
    TRY(espy_import_define_name(importer, info->name, &index));
    graph->inputs[graph->input_count++] = (struct graph_io){.value = index};
    // A list is gone once its loop is written out; where it is not, what reads the list is refused.
    const bool list = info->type != NULL && info->type->sequence_type != NULL;
    if (info->type != NULL && type == NULL && !list)
        return espy_convert_problem(importer->report, info->name, "input",
                                    "map or optional inputs are not supported");
    graph->values[index].dtype = type == NULL ? ESPY_DTYPE_NONE : espy_onnx_dtype(type->elem_type);
    return espy_import_note(importer, index, graph->values[index].dtype, true);
}

// A value is an output once: the second time it is a copy.
static espy_status import_body_outputs(struct importer *importer, const onnx_graph *proto)
{
    TRY(espy_import_outputs(importer, proto));
    struct graph *graph = importer->graph;
    for (uint32_t i = 0; i < graph->output_count; i++) {
        for (uint32_t k = 0; k < i; k++) {
            const uint32_t value = graph->outputs[i].value;
            uint32_t copy = GRAPH_NONE;
            if (graph->outputs[k].value != value)
                continue;
            TRY(espy_import_value(importer, graph->values[value].name,
                                  espy_import_dtype(importer, value), &copy));
            TRY(espy_import_identity(importer, graph->values[value].name, value, copy));
            graph->values[copy].dtype = graph->values[value].dtype;
            graph->values[copy].has_shape = graph->values[value].has_shape;
            graph->values[copy].shape = graph->values[value].shape;
            graph->outputs[i].value = copy;
            break;
        }
    }
    return ESPY_OK;
}

// Formal inputs, then what the body takes from around.
static espy_status finish_inputs(struct importer *importer)
{
    struct graph *graph = importer->graph;
    struct graph_io *inputs = espy_arena_array(
        &graph->arena, (size_t)graph->input_count + importer->capture_count, sizeof(*inputs));
    if (inputs == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < graph->input_count; i++)
        inputs[i] = graph->inputs[i];
    for (uint32_t i = 0; i < importer->capture_count; i++)
        inputs[graph->input_count++] = (struct graph_io){.value = importer->captures[i].inside};
    graph->inputs = inputs;
    return ESPY_OK;
}

static espy_status import_body_graph(struct importer *importer, const onnx_graph *proto)
{
    struct graph *graph = importer->graph;
    const struct import_frame *around = importer->around->frame;
    const struct import_frame frame = {.nodes = proto->node,
                                       .node_count = proto->n_node,
                                       .prefix = "",
                                       .function = around->function,
                                       .call = around->call,
                                       .opset = around->opset};
    if (proto->n_input > GRAPH_IO_MAX || proto->n_output > GRAPH_IO_MAX)
        return espy_import_bad(importer, "too many inputs or outputs in the body", graph->name);
    for (size_t i = 0; i < proto->n_value_info; i++)
        TRY(espy_import_info(importer, proto->value_info[i]));
    TRY(note_own_names(importer, proto));
    TRY(espy_import_push_frame(importer, &frame));
    graph->inputs = espy_arena_array(&graph->arena, proto->n_input, sizeof(*graph->inputs));
    if (graph->inputs == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (size_t i = 0; i < proto->n_input; i++)
        TRY(import_body_input(importer, proto->input[i]));
    TRY(espy_import_sparse(importer, proto));
    for (size_t i = 0; i < proto->n_initializer; i++)
        TRY(espy_import_initializer(importer, proto->initializer[i]));
    TRY(import_body_outputs(importer, proto));
    TRY(espy_import_frames(importer));
    TRY(finish_inputs(importer));
    if (importer->report->problem_count > 0)
        return ESPY_OK; // values of nodes that were left out are missing
    TRY(espy_import_check_produced(importer));
    return espy_graph_sort(graph);
}

static espy_status append_captures(struct importer *importer, struct import_node *node,
                                   const struct importer *body)
{
    const size_t room = (size_t)node->input_count + body->capture_count + IMPORT_INPUTS_EXTRA;
    uint32_t *inputs = espy_arena_array(&importer->scratch, room, sizeof(*inputs));
    if (inputs == NULL)
        return ESPY_OUT_OF_MEMORY;
    // Inputs that are absent at the end of the list count once others come after them.
    uint32_t count = node->capture_count > 0 ? node->input_count : (uint32_t)node->proto->n_input;
    for (uint32_t i = 0; i < count; i++)
        inputs[i] = i < node->input_count ? node->inputs[i] : GRAPH_NONE;
    for (uint32_t i = 0; i < body->capture_count; i++)
        inputs[count++] = body->captures[i].around;
    if (count > GRAPH_NODE_VALUES_MAX)
        return espy_import_bad(importer, "the body takes too much from around it:", node->name);
    node->inputs = inputs;
    node->input_count = body->capture_count > 0 ? count : node->input_count;
    node->capture_count += body->capture_count;
    return ESPY_OK;
}

espy_status espy_import_body(struct importer *importer, struct import_node *node, const char *name)
{
    struct graph *network = &importer->model->graph;
    const onnx_attribute *attribute = espy_import_take(importer, node, name);
    if (importer->depth == IMPORT_DEPTH_MAX)
        return espy_fail(importer->host, ESPY_BAD_FORMAT,
                         "%s: functions or bodies are nested deeper than %d", importer->model_path,
                         (int)IMPORT_DEPTH_MAX);
    const char *hint = espy_arena_format(&importer->scratch, "%s/%s", node->name, name);
    const char *unique =
        hint == NULL ? NULL : espy_import_unique(importer, &importer->shared->body_names, hint);
    if (unique == NULL)
        return ESPY_OUT_OF_MEMORY;
    struct graph graph;
    struct importer body;
    espy_graph_init(&graph, importer->host);
    graph.name = unique;
    espy_importer_init(&body, importer->model, &graph, importer->model_path);
    body.report = importer->report;
    body.shared = importer->shared;
    body.around = importer;
    body.depth = importer->depth + 1;
    espy_status status = import_body_graph(&body, attribute->g);
    if (status == ESPY_OK)
        status = append_captures(importer, node, &body);
    // Only now: the bodies inside of it stand before it.
    if (status == ESPY_OK)
        status = espy_graph_add_body(network, &graph);
    espy_importer_finish(&body); // its frames lie in the graph's arena
    if (status != ESPY_OK)
        espy_graph_finish(&graph);
    TRY(status);
    return espy_import_extra_string(importer, node, name, unique);
}
