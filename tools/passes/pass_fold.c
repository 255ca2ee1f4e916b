#include <string.h>

#include "passes/passes.h"

// A value may replace the node that makes it when the file does not grow much by it: a mask made by
// ConstantOfShape from three numbers stays three numbers. Weights were quantized to be small.
size_t espy_pass_fold_size(const struct graph_node *node)
{
    return strcmp(node->op, "DequantizeLinear") == 0 ? 4 << 10 : PASS_FOLD_SIZE;
}

static size_t made_of(const struct pass *pass, const struct graph_node *node)
{
    size_t size = 0;
    for (uint32_t i = 0; i < node->input_count; i++)
        if (node->inputs[i] != GRAPH_NONE)
            size += pass->facts->made_of[node->inputs[i]];
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
    return uses > 0 && (size <= espy_pass_fold_size(node) || size / 2 <= made_of(pass, node));
}

static espy_status make_constant(struct pass *pass, uint32_t index)
{
    const struct tensor *known = &pass->facts->values[index];
    struct graph_value *value = &pass->graph->values[index];
    value->data_size = espy_tensor_size(known);
    value->data = espy_arena_copy(&pass->graph->arena, known->data, value->data_size);
    if (value->data == NULL)
        return ESPY_OUT_OF_MEMORY;
    value->dtype = known->type.dtype;
    value->has_shape = true;
    value->shape = known->type.shape;
    espy_facts_forget(pass->facts, index);
    return ESPY_OK;
}

// Drops the nodes whose values are known; read[v] becomes true for what the others read.
static void drop_known(struct pass *pass, bool *read)
{
    struct graph *graph = pass->graph;
    uint32_t kept = 0;
    for (uint32_t n = 0; n < graph->node_count; n++) {
        const struct graph_node node = graph->nodes[n];
        if (is_worth_folding(pass, &node)) {
            pass->counts->folded++;
            pass->changed = true;
            continue;
        }
        for (uint32_t i = 0; i < node.input_count; i++)
            if (node.inputs[i] != GRAPH_NONE)
                read[node.inputs[i]] = true;
        graph->nodes[kept++] = node;
    }
    graph->node_count = kept;
}

espy_status espy_pass_fold(struct pass *pass)
{
    const struct facts *facts = pass->facts;
    bool *read = espy_arena_array(&pass->facts->arena, facts->value_count, sizeof(*read));
    if (read == NULL)
        return ESPY_OUT_OF_MEMORY;
    drop_known(pass, read);
    for (uint32_t n = 0; n < pass->graph->node_count; n++) // what is made stays made
        for (uint32_t o = 0; o < pass->graph->nodes[n].output_count; o++)
            if (pass->graph->nodes[n].outputs[o] != GRAPH_NONE)
                read[pass->graph->nodes[n].outputs[o]] = false;
    for (uint32_t v = 0; v < facts->value_count; v++)
        if (read[v] && facts->makers[v] != GRAPH_NONE)
            TRY(make_constant(pass, v));
    return ESPY_OK;
}
