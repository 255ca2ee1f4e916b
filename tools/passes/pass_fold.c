#include <string.h>

#include "passes/passes.h"

static espy_status make_constant(struct pass *pass, uint32_t index)
{
    const struct tensor known = espy_facts_value(pass->facts, index);
    struct graph_value *value = &pass->graph->values[index];
    value->data_size = espy_tensor_size(&known);
    value->data = espy_arena_copy(&pass->graph->arena, known.data, value->data_size);
    if (value->data == NULL)
        return ESPY_OUT_OF_MEMORY;
    value->dtype = known.type.dtype;
    value->has_shape = true;
    value->shape = known.type.shape;
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
        if (espy_facts_fold(pass->facts, &node)) {
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
