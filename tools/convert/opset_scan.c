#include "convert/convert_internal.h"

// Scan of opset 8 has a batch: every carried value, scanned input and output has it as first
// dimension, the scanned ones then the sequence. The newest form of that is a Scan over the batch,
// which carries nothing, around a Scan over the sequence.
struct batched {
    struct importer *importer;
    struct import_node *node;
    const char *body;       // over the sequence
    uint32_t first;         // of the node's inputs, after the lengths
    uint32_t carried_count; // and scanned ones, which both are scanned over the batch
    uint32_t scan_count;
    uint32_t output_count; // of the body: optional outputs at the end may be missing in the node
};

static espy_status add_inputs(const struct batched *b, struct graph *graph)
{
    const uint32_t count = b->node->input_count - b->first;
    graph->inputs = espy_arena_array(&graph->arena, count, sizeof(*graph->inputs));
    if (graph->inputs == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < count; i++) {
        const char *name = espy_arena_format(&graph->arena, "in%u", (unsigned)i);
        if (name == NULL)
            return ESPY_OUT_OF_MEMORY;
        TRY(espy_graph_add_value(graph, name, &graph->inputs[i].value));
        graph->input_count++;
    }
    return ESPY_OK;
}

static espy_status add_outputs(const struct batched *b, struct graph *graph)
{
    graph->outputs = espy_arena_array(&graph->arena, b->output_count, sizeof(*graph->outputs));
    if (graph->outputs == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < b->output_count; i++) {
        const char *name = espy_arena_format(&graph->arena, "out%u", (unsigned)i);
        if (name == NULL)
            return ESPY_OUT_OF_MEMORY;
        TRY(espy_graph_add_value(graph, name, &graph->outputs[i].value));
        graph->output_count++;
    }
    return ESPY_OK;
}

static espy_status add_sequence_scan(const struct batched *b, struct graph *graph)
{
    uint32_t inputs[GRAPH_IO_MAX], outputs[GRAPH_IO_MAX];
    struct graph_node *node;
    for (uint32_t i = 0; i < graph->input_count; i++)
        inputs[i] = graph->inputs[i].value;
    for (uint32_t i = 0; i < graph->output_count; i++)
        outputs[i] = graph->outputs[i].value;
    TRY(espy_graph_add_node(graph, "Scan", b->node->name, inputs, graph->input_count, outputs,
                            graph->output_count, &node));
    TRY(espy_graph_set_string(graph, node, "body", b->body));
    TRY(espy_graph_set_number(graph, node, "num_scan_inputs", b->scan_count));
    TRY(espy_graph_set_number(graph, node, "captures", b->node->capture_count));
    const onnx_attribute *directions = espy_import_take(b->importer, b->node, "directions");
    double numbers[GRAPH_IO_MAX];
    for (uint32_t i = 0; directions != NULL && i < directions->n_ints && i < b->scan_count; i++)
        numbers[i] = (double)directions->ints[i];
    if (directions == NULL || directions->n_ints == 0)
        return ESPY_OK;
    return espy_graph_set_numbers(graph, node, "scan_input_directions", numbers,
                                  directions->n_ints < b->scan_count ? (uint32_t)directions->n_ints
                                                                     : b->scan_count);
}

static espy_status fill(const struct batched *b, struct graph *graph)
{
    TRY(add_inputs(b, graph));
    TRY(add_outputs(b, graph));
    return add_sequence_scan(b, graph);
}

static espy_status wrap(const struct batched *b)
{
    struct import_node *node = b->node;
    struct graph *network = &b->importer->model->graph;
    struct graph graph;
    espy_graph_init(&graph, b->importer->host);
    const char *hint = espy_arena_format(&network->arena, "%s/batch", node->name);
    graph.name = hint == NULL
                     ? NULL
                     : espy_import_unique(b->importer, &b->importer->shared->body_names, hint);
    const char *name = graph.name;
    espy_status status = name == NULL ? ESPY_OUT_OF_MEMORY : fill(b, &graph);
    if (status == ESPY_OK)
        status = espy_graph_add_body(network, &graph);
    if (status != ESPY_OK) {
        espy_graph_finish(&graph);
        return status;
    }
    node->inputs += b->first;
    node->input_count -= b->first;
    node->extra_count = 0;
    TRY(espy_import_extra_string(b->importer, node, "body", name));
    TRY(espy_import_extra_number(b->importer, node, "captures", node->capture_count));
    return espy_import_extra_number(b->importer, node, "num_scan_inputs",
                                    b->carried_count + b->scan_count);
}

espy_status espy_opset_scan(struct importer *importer, struct import_node *node)
{
    struct batched b = {.importer = importer, .node = node, .first = 1};
    (void)espy_import_take(importer, node, "num_scan_inputs");
    const int64_t scans = espy_import_integer(importer, node, "num_scan_inputs", 0);
    if (node->input_count > 0 && node->inputs[0] != GRAPH_NONE)
        return espy_convert_problem(importer->report, node->name, node->op,
                                    "sequences of different lengths are not supported");
    if (node->extra_count == 0 || node->input_count < 1 + node->capture_count || scans < 1 ||
        scans > node->input_count - 1 - node->capture_count || node->input_count > GRAPH_IO_MAX)
        return espy_convert_problem(importer->report, node->name, node->op,
                                    "its inputs do not fit its attributes");
    b.body = node->extra[0].strings[0]; // the only attribute that is a graph
    b.scan_count = (uint32_t)scans;
    b.carried_count = node->input_count - 1 - node->capture_count - b.scan_count;
    const struct graph *body = espy_graph_find_body(&importer->model->graph, b.body);
    b.output_count = body == NULL ? 0 : body->output_count;
    if (b.output_count < node->output_count || b.output_count > GRAPH_IO_MAX)
        return espy_convert_problem(importer->report, node->name, node->op,
                                    "its outputs do not fit its body");
    return wrap(&b);
}
