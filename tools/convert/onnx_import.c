#include "convert/convert_internal.h"

#include <string.h>

#include "op/op.h"

void espy_importer_init(struct importer *importer, struct convert_model *model, struct graph *graph,
                        const char *path)
{
    *importer =
        (struct importer){.host = model->host, .model = model, .graph = graph, .model_path = path};
    espy_map_init(&importer->node_names, model->host);
    espy_map_init(&importer->value_names, model->host);
    espy_map_init(&importer->own_names, model->host);
    espy_map_init(&importer->infos, model->host);
    espy_arena_init(&importer->memory, model->host);
    espy_arena_init(&importer->scratch, model->host);
}

void espy_importer_finish(struct importer *importer)
{
    while (importer->frame != NULL)
        espy_import_pop_frame(importer);
    espy_free(importer->host, importer->captures);
    espy_free(importer->host, importer->notes);
    espy_map_finish(&importer->own_names);
    espy_map_finish(&importer->infos);
    espy_map_finish(&importer->value_names);
    espy_map_finish(&importer->node_names);
    espy_arena_finish(&importer->scratch);
    espy_arena_finish(&importer->memory);
}

// ---- nodes --------------------------------------------------------------------------------------

static espy_status resolve_values(struct importer *importer, const onnx_node *proto,
                                  struct import_node *node)
{
    struct arena *arena = &importer->scratch;
    if (proto->n_input > GRAPH_NODE_VALUES_MAX || proto->n_output > GRAPH_NODE_VALUES_MAX ||
        proto->n_attribute > IMPORT_ATTRIBUTES_MAX)
        return espy_import_bad(importer, "too many inputs, outputs or attributes of node",
                               node->name);
    node->inputs =
        espy_arena_array(arena, proto->n_input + IMPORT_INPUTS_EXTRA, sizeof(*node->inputs));
    node->outputs = espy_arena_array(arena, proto->n_output, sizeof(*node->outputs));
    if (node->inputs == NULL || node->outputs == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (size_t i = 0; i < proto->n_input; i++) {
        TRY(espy_import_use_name(importer, proto->input[i], &node->inputs[i]));
        if (node->inputs[i] != GRAPH_NONE)
            node->input_count = (uint32_t)i + 1; // absent inputs at the end are not written
    }
    for (size_t i = 0; i < proto->n_output; i++) {
        TRY(espy_import_define_name(importer, proto->output[i], &node->outputs[i]));
        if (node->outputs[i] != GRAPH_NONE)
            node->output_count = (uint32_t)i + 1;
    }
    return ESPY_OK;
}

static struct graph_node as_graph_node(const struct import_node *node)
{
    return (struct graph_node){.op = node->op,
                               .name = node->name,
                               .input_count = node->input_count,
                               .output_count = node->output_count,
                               .inputs = node->inputs,
                               .outputs = node->outputs};
}

static espy_status add_node(struct importer *importer, const struct import_node *node)
{
    const struct graph_node as_made = as_graph_node(node);
    struct graph_node *made;
    TRY(espy_graph_append_node(importer->graph, &as_made, &made));
    TRY(espy_graph_reserve_attrs(importer->graph, made,
                                 (uint32_t)node->proto->n_attribute + node->extra_count));
    TRY(espy_import_copy_attributes(importer, node, made));
    for (uint32_t i = 0; i < node->extra_count; i++) {
        const struct graph_attr *extra = &node->extra[i];
        if (extra->type == GRAPH_ATTR_STRING)
            TRY(espy_graph_set_string(importer->graph, made, extra->name, extra->strings[0]));
        else
            TRY(espy_graph_set_number(importer->graph, made, extra->name, extra->numbers[0]));
    }
    made->attr_room = 0; // copies of the node share the list
    return ESPY_OK;
}

// Attributes that are graphs become bodies.
static espy_status import_bodies(struct importer *importer, struct import_node *node)
{
    const struct op *op = espy_op_find(node->op);
    for (uint32_t i = 0; op != NULL && i < op->attr_count; i++) {
        if (op->attrs[i].type != OP_BODY)
            continue;
        const onnx_attribute *attribute =
            espy_import_find(importer, node->proto, op->attrs[i].name, NULL);
        if (attribute != NULL && attribute->g != NULL)
            TRY(espy_import_body(importer, node, op->attrs[i].name));
    }
    if (node->capture_count == 0 || strcmp(node->op, "If") == 0)
        return ESPY_OK; // the branches say themselves how many inputs they take
    return espy_import_extra_number(importer, node, "captures", node->capture_count);
}

static void follow_ranks(struct importer *importer, const struct import_node *node)
{
    const struct graph_node as_made = as_graph_node(node);
    espy_import_follow_ranks(importer, node->proto, &as_made);
}

static espy_status import_node(struct importer *importer, const onnx_node *proto)
{
    if (++importer->shared->steps > IMPORT_STEPS_MAX)
        return espy_fail(importer->host, ESPY_BAD_FORMAT,
                         "%s: more than %d nodes once functions are written out",
                         importer->model_path, (int)IMPORT_STEPS_MAX);
    struct import_frame *frame = importer->frame;
    struct import_node node = {
        .proto = proto, .op = espy_import_text(proto->op_type), .opset = frame->opset};
    const char *own = espy_import_text(proto->name);
    const char *hint = own[0] != '\0'
                           ? espy_arena_format(&importer->scratch, "%s%s", frame->prefix, own)
                           : espy_arena_format(&importer->scratch, "%s%s_%zu", frame->prefix,
                                               node.op, frame->next);
    const bool foreign = !espy_import_is_onnx(proto->domain);
    node.name = hint;
    if (hint != NULL && (foreign || strcmp(node.op, "Constant") != 0)) // which leaves no node
        node.name = espy_import_unique(importer, &importer->node_names, hint);
    if (node.name == NULL)
        return ESPY_OUT_OF_MEMORY;
    TRY(resolve_values(importer, proto, &node));
    const onnx_function *function = espy_import_find_function(importer, proto);
    if (function != NULL)
        return espy_import_call(importer, &node, function);
    for (uint32_t i = 0; i < node.output_count; i++)
        if (node.outputs[i] != GRAPH_NONE)
            TRY(espy_import_note(
                importer, node.outputs[i],
                foreign ? ESPY_DTYPE_NONE : espy_import_output_dtype(importer, &node, i), true));
    TRY(espy_foreign_rewrite(importer, &node, foreign ? proto->domain : ""));
    if (node.dropped)
        return ESPY_OK;
    if (foreign) { // renamed: its form is the newest whatever the model's opset is
        for (uint32_t i = 0; i < node.output_count; i++)
            if (node.outputs[i] != GRAPH_NONE)
                TRY(espy_import_note(importer, node.outputs[i],
                                     espy_import_output_dtype(importer, &node, i), true));
        node.opset = CONVERT_OPSET_MAX;
    }
    follow_ranks(importer, &node);
    if (strcmp(node.op, "Constant") == 0)
        return espy_import_constant(importer, &node);
    TRY(import_bodies(importer, &node));
    TRY(espy_opset_rewrite(importer, &node));
    return node.dropped ? ESPY_OK : add_node(importer, &node);
}

// The message goes with the node, unless a function's frame, which is on top now, still needs it.
static espy_status import_piece(struct importer *importer, const struct onnx_piece *piece)
{
    const struct import_frame *frame = importer->frame;
    onnx_node *node;
    TRY(espy_onnx_read_node(importer->model, piece, &node));
    const espy_status status = import_node(importer, node);
    if (importer->frame != frame)
        importer->frame->message = node;
    else
        espy_onnx_free_node(importer->model, node);
    return status;
}

espy_status espy_import_frames(struct importer *importer)
{
    while (importer->frame != NULL) {
        struct import_frame *frame = importer->frame;
        espy_arena_reset(&importer->scratch);
        if (frame->next == frame->node_count)
            espy_import_pop_frame(importer);
        else if (frame->pieces != NULL)
            TRY(import_piece(importer, &frame->pieces[frame->next++]));
        else
            TRY(import_node(importer, frame->nodes[frame->next++]));
    }
    return ESPY_OK;
}

// ---- the whole ----------------------------------------------------------------------------------

static espy_status check_opset(struct importer *importer, int64_t opset)
{
    importer->report->opset = opset;
    if (opset >= CONVERT_OPSET_MIN && opset <= CONVERT_OPSET_MAX)
        return ESPY_OK;
    return espy_convert_problem(importer->report, "model", "opset",
                                "opset %lld is not supported, only %d to %d", (long long)opset,
                                (int)CONVERT_OPSET_MIN, (int)CONVERT_OPSET_MAX);
}

espy_status espy_import_sparse(struct importer *importer, const onnx_graph *graph)
{
    if (graph->n_sparse_initializer == 0)
        return ESPY_OK;
    return espy_convert_problem(importer->report, espy_import_text(graph->name), "initializer",
                                "sparse tensors are not supported");
}

static espy_status import_infos(struct importer *importer)
{
    const struct onnx_pieces *infos = &importer->model->infos;
    for (uint32_t i = 0; i < infos->count; i++) {
        onnx_info *info;
        TRY(espy_onnx_read_info(importer->model, &infos->items[i], &info));
        const espy_status status = espy_import_info(importer, info);
        espy_onnx_free_info(importer->model, info);
        TRY(status);
    }
    return ESPY_OK;
}

static espy_status import_tensors(struct importer *importer)
{
    const struct onnx_pieces *tensors = &importer->model->tensors;
    for (uint32_t i = 0; i < tensors->count; i++) {
        onnx_tensor *tensor;
        espy_arena_reset(&importer->scratch);
        TRY(espy_onnx_read_tensor(importer->model, &tensors->items[i], &tensor));
        const espy_status status = espy_import_initializer(importer, tensor);
        espy_onnx_free_tensor(importer->model, tensor);
        TRY(status);
    }
    return ESPY_OK;
}

static espy_status import_all(struct importer *importer, const struct convert_params *params)
{
    const onnx_model *proto = importer->model->proto;
    const onnx_graph *graph = proto->graph;
    const int64_t opset = espy_import_opset(proto->opset_import, proto->n_opset_import, 0);
    TRY(check_opset(importer, opset));
    TRY(espy_import_functions(importer));
    TRY(import_infos(importer));
    const struct onnx_pieces *nodes = &importer->model->nodes;
    const struct import_frame frame = {
        .pieces = nodes->items, .node_count = nodes->count, .prefix = "", .opset = opset};
    TRY(espy_import_push_frame(importer, &frame));
    TRY(espy_import_sparse(importer, graph));
    TRY(import_tensors(importer));
    TRY(espy_import_inputs(importer, params, graph));
    // Looked up first, so that the network's outputs get their own names.
    TRY(espy_import_outputs(importer, graph));
    TRY(espy_import_frames(importer));
    if (importer->report->problem_count > 0)
        return ESPY_OK; // values of nodes that were left out are missing
    TRY(espy_import_check_produced(importer));
    return espy_graph_sort(importer->graph);
}

espy_status espy_onnx_import(struct convert_model *model, const struct convert_params *params,
                             struct convert_report *report)
{
    struct importer importer;
    struct import_shared shared = {.proto = model->proto};
    espy_map_init(&shared.functions, model->host);
    espy_map_init(&shared.body_names, model->host);
    espy_importer_init(&importer, model, &model->graph, params->model_path);
    importer.report = report;
    importer.shared = &shared;
    const espy_status status = import_all(&importer, params);
    espy_importer_finish(&importer);
    espy_map_finish(&shared.body_names);
    espy_map_finish(&shared.functions);
    return status;
}
