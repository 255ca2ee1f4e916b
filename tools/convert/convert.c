#include "convert/convert_internal.h"

#include <string.h>

bool espy_convert_has_ending(const char *text, const char *ending)
{
    const size_t length = strlen(text), end = strlen(ending);
    return length >= end && strcmp(text + length - end, ending) == 0;
}

// ---- shapes given for inputs --------------------------------------------------------------------

// Gives a symbol its size everywhere among inputs or outputs.
static void fix_symbol(struct graph *graph, const struct graph_io *ios, uint32_t count,
                       const char *symbol, int64_t dim)
{
    for (uint32_t i = 0; i < count; i++) {
        struct graph_value *value = &graph->values[ios[i].value];
        for (uint32_t d = 0; d < value->shape.rank; d++) {
            const char *own = espy_graph_symbol(value, d);
            if (own != NULL && strcmp(own, symbol) == 0) {
                value->shape.dims[d] = dim;
                value->symbols[d] = NULL;
            }
        }
    }
}

static espy_status apply_shape(const struct host *host, struct graph *graph,
                               const struct convert_shape *given)
{
    char wanted[128], stated[128];
    struct graph_value *value = NULL;
    for (uint32_t i = 0; i < graph->input_count && value == NULL; i++)
        if (strcmp(graph->values[graph->inputs[i].value].name, given->name) == 0)
            value = &graph->values[graph->inputs[i].value];
    if (value == NULL)
        return espy_fail(host, ESPY_INVALID_ARGUMENT, "the network has no input '%s'", given->name);
    if (!value->has_shape) {
        value->has_shape = true;
        value->shape = given->shape;
        return ESPY_OK;
    }
    espy_shape_text(&given->shape, wanted, sizeof(wanted));
    espy_shape_text(&value->shape, stated, sizeof(stated));
    bool fits = value->shape.rank == given->shape.rank;
    for (uint32_t d = 0; fits && d < value->shape.rank; d++)
        fits = value->shape.dims[d] < 0 || value->shape.dims[d] == given->shape.dims[d];
    if (!fits)
        return espy_fail(host, ESPY_INVALID_ARGUMENT,
                         "input '%s' cannot have the shape %s: the network says %s", given->name,
                         wanted, stated);
    for (uint32_t d = 0; d < value->shape.rank; d++) {
        const char *symbol = espy_graph_symbol(value, d);
        value->shape.dims[d] = given->shape.dims[d];
        if (symbol == NULL)
            continue;
        value->symbols[d] = NULL;
        fix_symbol(graph, graph->inputs, graph->input_count, symbol, given->shape.dims[d]);
        fix_symbol(graph, graph->outputs, graph->output_count, symbol, given->shape.dims[d]);
    }
    return ESPY_OK;
}

// A network of convolutions takes pictures of many sizes, even where it was written for one. Where
// it does not, inference says so.
static espy_status apply_picture_size(const struct host *host, struct graph *graph,
                                      const struct convert_params *params)
{
    if (params->picture_height == 0)
        return ESPY_OK;
    const uint32_t index = espy_convert_picture(graph);
    if (index == GRAPH_NONE)
        return espy_fail(
            host, ESPY_INVALID_ARGUMENT,
            "which input is the picture? None has four dimensions and 1 or 3 channels, "
            "or several have");
    struct graph_value *value = &graph->values[graph->inputs[index].value];
    const bool first = value->shape.dims[1] == 1 || value->shape.dims[1] == 3;
    const uint32_t at = first ? 2 : 1, sizes[2] = {params->picture_height, params->picture_width};
    for (uint32_t i = 0; i < 2; i++) {
        value->shape.dims[at + i] = sizes[i];
        if (value->symbols != NULL)
            value->symbols[at + i] = NULL;
    }
    for (uint32_t i = 0; i < graph->output_count; i++) {
        struct graph_value *output = &graph->values[graph->outputs[i].value];
        if (output != value && output->data == NULL)
            output->has_shape = false; // what it said was of the other size
    }
    return ESPY_OK;
}

// ---- names --------------------------------------------------------------------------------------

static espy_status set_names(struct convert_model *model, const struct convert_params *params)
{
    struct graph *graph = &model->graph;
    const onnx_model *proto = model->proto;
    const char *name = params->name;
    if (proto != NULL && proto->producer_name != NULL && proto->producer_name[0] != '\0')
        graph->producer =
            espy_arena_format(&graph->arena, "%s %s", proto->producer_name,
                              proto->producer_version == NULL ? "" : proto->producer_version);
    if (name == NULL && graph->name != NULL && graph->name[0] != '\0')
        return ESPY_OK;
    if (name == NULL && proto != NULL)
        name = proto->graph->name;
    if (name == NULL || name[0] == '\0') {
        const char *slash = strrchr(params->model_path, '/');
        name = slash == NULL ? params->model_path : slash + 1;
    }
    graph->name = espy_arena_string(&graph->arena, name);
    return graph->name == NULL ? ESPY_OUT_OF_MEMORY : ESPY_OK;
}

// ---- problems -----------------------------------------------------------------------------------

static espy_status note_refusal(void *user, const struct graph_node *node, const char *message)
{
    // The message begins with the node's name and operator, which the problem has apart.
    const char *reason = strstr(message, "): ");
    if (espy_op_find(node->op) == NULL)
        return espy_convert_problem(user, node->name, node->op, "the operator is not supported");
    return espy_convert_problem(user, node->name, node->op, "%s",
                                reason == NULL ? message : reason + 3);
}

// What inference knows of the outputs goes into the file, where applications read it.
static void note_output_types(struct graph *graph, const struct facts *facts)
{
    for (uint32_t i = 0; i < graph->output_count; i++) {
        const uint32_t index = graph->outputs[i].value;
        const struct op_type *type = &facts->types[index];
        struct graph_value *value = &graph->values[index];
        if (type->dtype == ESPY_DTYPE_NONE || facts->makers[index] == GRAPH_NONE)
            continue;
        value->dtype = type->dtype;
        value->has_shape = true;
        value->shape = type->shape;
        value->symbols = NULL;
    }
}

static espy_status check_graph(struct convert_model *model, struct graph *graph,
                               struct convert_report *report)
{
    struct facts facts;
    const struct facts_params params = {.fold_elements_max = CONVERT_FOLD_ELEMENTS_MAX,
                                        .refuse = note_refusal,
                                        .refuse_user = report};
    TRY(espy_facts_init(&facts, model->host, graph, &params));
    note_output_types(graph, &facts);
    espy_facts_finish(&facts);
    return ESPY_OK;
}

// Binds and infers every node; what is refused joins what the import could not read.
static espy_status check_support(struct convert_model *model, struct convert_report *report)
{
    for (uint32_t b = 0; b < model->graph.body_count; b++)
        TRY(check_graph(model, model->graph.bodies[b], report));
    TRY(check_graph(model, &model->graph, report));
    if (report->problem_count == 0)
        return ESPY_OK;
    for (uint32_t i = 0; i < report->problem_count; i++) {
        const struct convert_problem *problem = &report->problems[i];
        espy_log(model->host, ESPY_LOG_WARNING, "%s (%s): %s", problem->node, problem->op,
                 problem->reason);
    }
    return espy_fail(model->host, ESPY_UNSUPPORTED,
                     "the network cannot be converted: %u problem%s, first '%s' (%s): %s",
                     (unsigned)report->problem_count, report->problem_count == 1 ? "" : "s",
                     report->problems[0].node, report->problems[0].op, report->problems[0].reason);
}

// ---- the whole ----------------------------------------------------------------------------------

static espy_status read_model(struct convert_model *model, const struct convert_params *params,
                              struct convert_report *report)
{
    TRY(espy_format_file_open(model->host, params->model_path, &model->file));
    if (espy_convert_has_ending(params->model_path, ".json"))
        return espy_convert_read_json(model, params);
    TRY(espy_onnx_parse(model, params->model_path));
    return espy_onnx_import(model, params, report);
}

static size_t weights_size(const struct graph *graph)
{
    size_t size = 0;
    for (uint32_t v = 0; v < graph->value_count; v++)
        size += graph->values[v].data_size;
    for (uint32_t b = 0; b < graph->body_count; b++)
        size += weights_size(graph->bodies[b]);
    return size;
}

static espy_status convert(struct convert_model *model, const struct convert_params *params,
                           struct convert_report *report)
{
    struct graph *graph = &model->graph;
    TRY(read_model(model, params, report));
    for (uint32_t i = 0; i < params->shape_count; i++)
        TRY(apply_shape(model->host, graph, &params->shapes[i]));
    TRY(apply_picture_size(model->host, graph, params));
    if (report->problem_count == 0) // else the network has gaps
        TRY(espy_convert_recipes(model, params));
    TRY(set_names(model, params));
    espy_onnx_release(model);
    espy_format_file_forget(&model->file, model->file.bytes, model->file.size);
    report->nodes_before = graph->node_count;
    if (report->problem_count == 0) {
        TRY(espy_graph_prune(graph)); // constants whose values others have taken over
        for (uint32_t b = 0; b < graph->body_count; b++)
            TRY(espy_graph_prune(graph->bodies[b]));
        TRY(espy_graph_check(graph));
    }
    if (report->problem_count == 0)
        TRY((params->keep_nodes ? espy_passes_sequences : espy_passes_run)(model->host, graph,
                                                                           &report->counts));
    if (report->problem_count == 0 && (!params->keep_nodes || params->weights != ESPY_DTYPE_NONE))
        TRY(espy_passes_narrow(model->host, graph, params->weights, &report->counts));
    report->nodes_after = graph->node_count;
    report->weights_size = weights_size(graph);
    TRY(check_support(model, report));
    TRY(espy_passes_sites(model->host, graph));
    // Last, because passes know more of a network that sees pictures of one size.
    if (params->pixels)
        TRY(espy_convert_pixels(model));
    return espy_graph_check(graph);
}

static espy_status make_model(const struct host *host, const struct convert_params *params,
                              struct convert_report *report, struct convert_model **model)
{
    struct convert_model *made = espy_alloc(host, sizeof(*made));
    if (made == NULL)
        return espy_fail_memory(host, sizeof(*made), "a model");
    made->host = host;
    espy_arena_init(&made->arena, host);
    espy_graph_init(&made->graph, host);
    const espy_status status = convert(made, params, report);
    if (status != ESPY_OK)
        espy_convert_model_destroy(&made);
    *model = made;
    return status;
}

// What runs a graph reads its constants in place.
static espy_status align_constants(struct graph *graph)
{
    for (uint32_t v = 0; v < graph->value_count; v++) {
        struct graph_value *value = &graph->values[v];
        const size_t element = espy_dtype_size(value->dtype);
        if (value->data == NULL || element <= 1 || (uintptr_t)value->data % element == 0)
            continue;
        value->data = espy_arena_copy(&graph->arena, value->data, value->data_size);
        if (value->data == NULL)
            return ESPY_OUT_OF_MEMORY;
    }
    for (uint32_t b = 0; b < graph->body_count; b++)
        TRY(align_constants(graph->bodies[b]));
    return ESPY_OK;
}

espy_status espy_convert_graph(const struct host *host, const struct convert_params *params,
                               struct convert_report *report, struct convert_model **model)
{
    TRY(make_model(host, params, report, model));
    const espy_status status = align_constants(&(*model)->graph);
    if (status != ESPY_OK)
        espy_convert_model_destroy(model);
    return status;
}

struct graph *espy_convert_model_graph(struct convert_model *model)
{
    return &model->graph;
}

void espy_convert_model_destroy(struct convert_model **model)
{
    struct convert_model *gone = *model;
    *model = NULL;
    if (gone == NULL)
        return;
    espy_graph_finish(&gone->graph);
    espy_onnx_release(gone);
    for (uint32_t i = 0; i < gone->file_count; i++)
        espy_format_file_close(&gone->files[i].file);
    espy_free(gone->host, gone->files);
    espy_safetensors_close(&gone->weights);
    if (gone->file.host != NULL)
        espy_format_file_close(&gone->file);
    espy_arena_finish(&gone->arena);
    espy_free(gone->host, gone);
}

espy_status espy_convert_file(const struct host *host, const struct convert_params *params,
                              struct convert_report *report)
{
    struct convert_model *model = NULL;
    TRY(make_model(host, params, report, &model));
    const espy_status status =
        espy_format_write_file(host, espy_convert_model_graph(model), params->output_path);
    espy_convert_model_destroy(&model);
    return status;
}
