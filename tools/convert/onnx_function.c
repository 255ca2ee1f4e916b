// Functions of the model: their bodies stand in the graph in place of the nodes that call them.
#include "convert/convert_internal.h"

#include <string.h>

bool espy_import_is_onnx(const char *domain)
{
    return domain == NULL || domain[0] == '\0' || strcmp(domain, "ai.onnx") == 0;
}

static const char *function_key(struct arena *arena, const char *domain, const char *name,
                                const char *overload)
{
    return espy_arena_format(arena, "%s\n%s\n%s", espy_import_is_onnx(domain) ? "" : domain,
                             espy_import_text(name), espy_import_text(overload));
}

const onnx_function *espy_import_find_function(struct importer *importer, const onnx_node *node)
{
    if (importer->shared->functions.count == 0)
        return NULL;
    const char *key = function_key(&importer->scratch, node->domain, node->op_type, node->overload);
    const uint32_t index = key == NULL ? MAP_NONE : espy_map_get(&importer->shared->functions, key);
    return index == MAP_NONE ? NULL : importer->shared->proto->functions[index];
}

int64_t espy_import_opset(EspyOnnx__OperatorSetIdProto *const *imports, size_t count,
                          int64_t fallback)
{
    for (size_t i = 0; i < count; i++)
        if (espy_import_is_onnx(imports[i]->domain))
            return imports[i]->version;
    return fallback;
}

espy_status espy_import_identity(struct importer *importer, const char *hint, uint32_t from,
                                 uint32_t to)
{
    const char *name = espy_import_unique(importer, &importer->node_names, hint);
    struct graph_node *node;
    if (name == NULL)
        return ESPY_OUT_OF_MEMORY;
    TRY(espy_import_note(importer, to, espy_import_dtype(importer, from), true));
    return espy_graph_add_node(importer->graph, "Identity", name, &from, 1, &to, 1, &node);
}

// Ties the names of results inside the new frame to values outside. A result that nothing inside
// makes (it is an input, or an initializer) is copied.
static espy_status bind_results(struct importer *importer, const char *node_name,
                                char *const *names, size_t name_count, const uint32_t *outputs,
                                uint32_t output_count)
{
    for (uint32_t i = 0; i < output_count; i++) {
        if (outputs[i] == GRAPH_NONE)
            continue;
        const char *inner = i < name_count ? espy_import_text(names[i]) : "";
        if (inner[0] == '\0')
            return espy_import_bad(importer, "not enough results in the function or branch of",
                                   node_name);
        const uint32_t known = espy_map_get(&importer->frame->names, inner);
        if (known != MAP_NONE)
            TRY(espy_import_identity(importer, node_name, known, outputs[i]));
        else
            TRY(espy_map_put(&importer->frame->names, inner, outputs[i]));
    }
    return ESPY_OK;
}

espy_status espy_import_call(struct importer *importer, const struct import_node *node,
                             const onnx_function *function)
{
    const char *prefix = espy_arena_format(&importer->memory, "%s/", node->name);
    if (prefix == NULL)
        return ESPY_OUT_OF_MEMORY;
    const struct import_frame frame = {
        .nodes = function->node,
        .node_count = function->n_node,
        .prefix = prefix,
        .function = function,
        .call = node->proto,
        .opset = espy_import_opset(function->opset_import, function->n_opset_import,
                                   importer->frame->opset),
    };
    // The body's nodes will say that they make the outputs.
    for (uint32_t i = 0; i < node->output_count; i++)
        if (node->outputs[i] != GRAPH_NONE)
            importer->notes[node->outputs[i]].produced = false;
    TRY(espy_import_push_frame(importer, &frame));
    for (size_t i = 0; i < function->n_input && i < node->input_count; i++)
        if (node->inputs[i] != GRAPH_NONE)
            TRY(espy_map_put(&importer->frame->names, function->input[i], node->inputs[i]));
    return bind_results(importer, node->name, function->output, function->n_output, node->outputs,
                        node->output_count);
}

espy_status espy_import_functions(struct importer *importer)
{
    const onnx_model *proto = importer->shared->proto;
    for (uint32_t i = 0; i < proto->n_functions; i++) {
        const onnx_function *function = proto->functions[i];
        const char *key =
            function_key(&importer->memory, function->domain, function->name, function->overload);
        if (key == NULL)
            return ESPY_OUT_OF_MEMORY;
        TRY(espy_map_put(&importer->shared->functions, key, i));
    }
    return ESPY_OK;
}
