#include <string.h>

#include "passes/passes.h"

// A value may replace the node that makes it when the file does not grow much by it: a mask made by
// ConstantOfShape from three numbers stays three numbers. Weights were quantized to be small.
enum { SMALL_SIZE = 64 << 10, SMALL_QUANTIZED_SIZE = 4 << 10 };

static size_t constant_input_size(const struct pass *pass, const struct graph_node *node)
{
    size_t size = 0;
    for (uint32_t i = 0; i < node->input_count; i++)
        if (node->inputs[i] != GRAPH_NONE)
            size += pass->graph->values[node->inputs[i]].data_size;
    return size;
}

static bool is_worth_folding(const struct pass *pass, const struct graph_node *node)
{
    size_t size = 0, uses = 0;
    for (uint32_t o = 0; o < node->output_count; o++) {
        const uint32_t v = node->outputs[o];
        if (v == GRAPH_NONE)
            continue;
        if (pass->facts->values[v].data == NULL || pass->facts->is_output[v])
            return false; // an output of the network stays made by a node
        size += espy_tensor_size(&pass->facts->values[v]);
        uses += pass->facts->uses[v];
    }
    const bool quantized = strcmp(node->op, "DequantizeLinear") == 0;
    const size_t small = quantized ? SMALL_QUANTIZED_SIZE : SMALL_SIZE;
    return uses > 0 && (size <= small || size / 2 <= constant_input_size(pass, node));
}

espy_status espy_pass_fold(struct pass *pass)
{
    struct graph *graph = pass->graph;
    uint32_t kept = 0;
    for (uint32_t n = 0; n < graph->node_count; n++) {
        const struct graph_node node = graph->nodes[n];
        if (!is_worth_folding(pass, &node)) {
            graph->nodes[kept++] = node;
            continue;
        }
        for (uint32_t o = 0; o < node.output_count; o++) {
            if (node.outputs[o] == GRAPH_NONE)
                continue;
            const struct tensor *known = &pass->facts->values[node.outputs[o]];
            struct graph_value *value = &graph->values[node.outputs[o]];
            value->data_size = espy_tensor_size(known);
            value->data = espy_arena_copy(&graph->arena, known->data, value->data_size);
            if (value->data == NULL)
                return ESPY_OUT_OF_MEMORY;
            value->dtype = known->type.dtype;
            value->has_shape = true;
            value->shape = known->type.shape;
        }
        pass->counts->folded++;
        pass->changed = true;
    }
    graph->node_count = kept;
    return ESPY_OK;
}
