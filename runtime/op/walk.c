#include "op/op.h"

#include <assert.h>
#include <string.h>

// Gathers a node's inputs; false when the type of one that is present is not known.
static bool gather_inputs(const struct op_walk *walk, const struct graph_node *node,
                          struct op_type *types, struct tensor *values)
{
    for (uint32_t i = 0; i < node->input_count; i++) {
        types[i] = (struct op_type){.dtype = ESPY_DTYPE_NONE};
        values[i] = (struct tensor){.data = NULL};
        if (node->inputs[i] == GRAPH_NONE)
            continue;
        types[i] = walk->types[node->inputs[i]];
        values[i] = walk->values[node->inputs[i]];
        if (types[i].dtype == ESPY_DTYPE_NONE)
            return false;
        values[i].type = types[i]; // without data too: shape-only references read it
    }
    return true;
}

static bool values_known(const struct graph_node *node, const struct op_node *bound,
                         const struct tensor *values)
{
    if ((bound->op->flags & OP_SHAPE_ONLY) != 0)
        return true;
    for (uint32_t i = 0; i < node->input_count; i++)
        if (node->inputs[i] != GRAPH_NONE && values[i].data == NULL)
            return false;
    return true;
}

static espy_status evaluate_node(struct op_walk *walk, const struct graph_node *node,
                                 const struct op_node *bound, const struct tensor *values,
                                 size_t elements_max)
{
    struct tensor *outputs = espy_arena_array(&walk->arena, node->output_count, sizeof(*outputs));
    if (outputs == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t o = 0; o < node->output_count; o++) {
        if (node->outputs[o] == GRAPH_NONE)
            continue;
        outputs[o].type = walk->types[node->outputs[o]];
        if (!espy_shape_count(&outputs[o].type.shape, &outputs[o].count))
            return ESPY_OUT_OF_MEMORY;
        if (outputs[o].count > elements_max)
            return ESPY_OK; // too large to be worth keeping: left to the device
    }
    for (uint32_t o = 0; o < node->output_count; o++) {
        if (node->outputs[o] == GRAPH_NONE)
            continue;
        outputs[o].data = espy_arena_alloc(&walk->arena, espy_tensor_size(&outputs[o]));
        if (outputs[o].data == NULL)
            return ESPY_OUT_OF_MEMORY;
    }
    TRY(espy_op_evaluate(walk->host, bound, values, node->input_count, outputs,
                         node->output_count));
    for (uint32_t o = 0; o < node->output_count; o++)
        if (node->outputs[o] != GRAPH_NONE)
            walk->values[node->outputs[o]] = outputs[o];
    return ESPY_OK;
}

// A node with bodies: what it makes is known when it has run.
static espy_status walk_control(struct op_walk *walk, const struct graph_node *node,
                                const struct op_node *bound, const struct tensor *values,
                                const struct op_walk_params *params)
{
    if (!params->run_bodies || !values_known(node, bound, values))
        return ESPY_OK;
    struct tensor *outputs = espy_arena_array(&walk->arena, node->output_count, sizeof(*outputs));
    if (outputs == NULL)
        return ESPY_OUT_OF_MEMORY;
    const struct op_control_params run = {.host = walk->host,
                                          .node = bound,
                                          .inputs = values,
                                          .input_count = node->input_count,
                                          .output_count = node->output_count,
                                          .outputs = outputs,
                                          .arena = &walk->arena};
    TRY(espy_op_control(&run));
    for (uint32_t o = 0; o < node->output_count; o++) {
        if (node->outputs[o] == GRAPH_NONE)
            continue;
        walk->types[node->outputs[o]] = outputs[o].type;
        walk->values[node->outputs[o]] = outputs[o];
    }
    return ESPY_OK;
}

static espy_status walk_node(struct op_walk *walk, uint32_t index,
                             const struct op_walk_params *params)
{
    const struct graph_node *node = &walk->graph->nodes[index];
    struct op_node *bound = &walk->nodes[index];
    struct op_type *types = espy_arena_array(&walk->arena, node->input_count, sizeof(*types));
    struct tensor *values = espy_arena_array(&walk->arena, node->input_count, sizeof(*values));
    struct op_type *outputs = espy_arena_array(&walk->arena, node->output_count, sizeof(*outputs));
    if (types == NULL || values == NULL || outputs == NULL)
        return ESPY_OUT_OF_MEMORY;
    TRY(espy_op_bind(walk->host, &walk->arena, walk->graph, node, bound));
    if (!gather_inputs(walk, node, types, values))
        return ESPY_OK;
    if (bound->op->control != NULL)
        return walk_control(walk, node, bound, values, params);
    uint32_t needs;
    const espy_status status =
        espy_op_infer(walk->host, &walk->arena, bound, types, values, node->input_count, outputs,
                      node->output_count, &needs);
    if (status != ESPY_OK && needs != GRAPH_NONE) { // depends on data: stays unknown
        if ((bound->op->flags & OP_DATA_SHAPE) == 0)
            walk->awaited[node->inputs[needs]] = true;
        return ESPY_OK;
    }
    TRY(status);
    for (uint32_t o = 0; o < node->output_count; o++)
        if (node->outputs[o] != GRAPH_NONE)
            walk->types[node->outputs[o]] = outputs[o];
    if (!values_known(node, bound, values))
        return ESPY_OK;
    return evaluate_node(walk, node, bound, values, params->fold_elements_max);
}

// The elements are never written through this pointer: walks only read what they are given.
static struct tensor read_only(const struct op_type *type, const void *data)
{
    struct tensor tensor = {.type = *type};
    const bool fits = espy_shape_count(&type->shape, &tensor.count);
    assert(fits); // of constants espy_graph_check says so, of sources their maker
    (void)fits;
    memcpy(&tensor.data, &data, sizeof(tensor.data));
    return tensor;
}

static void walk_sources(struct op_walk *walk, const struct op_walk_params *params)
{
    const struct graph *graph = walk->graph;
    for (uint32_t v = 0; v < graph->value_count; v++) {
        const struct graph_value *value = &graph->values[v];
        if (value->data == NULL)
            continue;
        walk->types[v] = (struct op_type){value->dtype, value->shape};
        walk->values[v] = read_only(&walk->types[v], value->data);
    }
    for (uint32_t i = 0; params->sources == NULL && i < graph->input_count; i++) {
        const uint32_t v = graph->inputs[i].value;
        bool symbolic = !graph->values[v].has_shape; // as inputs of bodies
        for (uint32_t d = 0; d < graph->values[v].shape.rank; d++)
            symbolic = symbolic || graph->values[v].shape.dims[d] < 0;
        if (!symbolic)
            walk->types[v] = (struct op_type){graph->values[v].dtype, graph->values[v].shape};
    }
    for (uint32_t i = 0; params->sources != NULL && i < params->source_count; i++) {
        const struct op_source *source = &params->sources[i];
        walk->types[source->value] = source->type;
        if (source->known)
            walk->values[source->value] = read_only(&source->type, source->data);
    }
}

espy_status espy_walk_init(struct op_walk *walk, const struct host *host, const struct graph *graph,
                           const struct op_walk_params *params)
{
    *walk = (struct op_walk){.host = host, .graph = graph};
    espy_arena_init(&walk->arena, host);
    walk->nodes = espy_arena_array(&walk->arena, graph->node_count, sizeof(*walk->nodes));
    walk->types = espy_arena_array(&walk->arena, graph->value_count, sizeof(*walk->types));
    walk->values = espy_arena_array(&walk->arena, graph->value_count, sizeof(*walk->values));
    espy_status result = ESPY_OUT_OF_MEMORY;
    walk->awaited = espy_arena_array(&walk->arena, graph->value_count, sizeof(*walk->awaited));
    if (walk->nodes == NULL || walk->types == NULL || walk->values == NULL || walk->awaited == NULL)
        goto error;
    walk_sources(walk, params);
    result = ESPY_OK;
    for (uint32_t n = 0; n < graph->node_count; n++) {
        if (params->done != NULL && params->done[n])
            continue;
        const espy_status status = walk_node(walk, n, params);
        if (status == ESPY_OK)
            continue;
        result = status;
        if (!params->report_all || status == ESPY_OUT_OF_MEMORY)
            break;
    }
    if (result == ESPY_OK)
        return ESPY_OK;
error:
    espy_walk_finish(walk);
    return result;
}

// true: the reference can make the node's outputs when all of its inputs are known.
static bool computable(const struct op_walk *walk, const struct graph_node *node,
                       size_t elements_max, const bool *known)
{
    for (uint32_t i = 0; i < node->input_count; i++)
        if (node->inputs[i] != GRAPH_NONE && !known[node->inputs[i]])
            return false;
    for (uint32_t o = 0; o < node->output_count; o++) {
        size_t count;
        if (node->outputs[o] == GRAPH_NONE)
            continue;
        const struct op_type *type = &walk->types[node->outputs[o]];
        if (type->dtype == ESPY_DTYPE_NONE || !espy_shape_count(&type->shape, &count) ||
            count > elements_max)
            return false;
    }
    return true;
}

void espy_walk_awaited(const struct op_walk *walk, size_t elements_max, bool *known, bool *needed)
{
    const struct graph *graph = walk->graph;
    for (uint32_t v = 0; v < graph->value_count; v++)
        known[v] = known[v] || walk->values[v].data != NULL;
    for (uint32_t n = 0; n < graph->node_count; n++) {
        const struct graph_node *node = &graph->nodes[n];
        const bool made = computable(walk, node, elements_max, known);
        for (uint32_t o = 0; made && o < node->output_count; o++)
            if (node->outputs[o] != GRAPH_NONE)
                known[node->outputs[o]] = true;
    }
    for (uint32_t v = 0; v < graph->value_count; v++)
        needed[v] = walk->awaited[v] && known[v] && walk->values[v].data == NULL;
    // Backwards through the nodes, needing what makes a needed value.
    for (uint32_t n = graph->node_count; n-- > 0;) {
        const struct graph_node *node = &graph->nodes[n];
        bool wanted = false;
        for (uint32_t o = 0; o < node->output_count; o++)
            wanted = wanted || (node->outputs[o] != GRAPH_NONE && needed[node->outputs[o]]);
        for (uint32_t i = 0; wanted && i < node->input_count; i++)
            if (node->inputs[i] != GRAPH_NONE && walk->values[node->inputs[i]].data == NULL)
                needed[node->inputs[i]] = true;
    }
}

void espy_walk_finish(struct op_walk *walk)
{
    if (walk->arena.host != NULL)
        espy_arena_finish(&walk->arena);
    *walk = (struct op_walk){.host = NULL};
}
