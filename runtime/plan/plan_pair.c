// Pairs: the mean and the largest element along the channels, which a Concat joins, as spatial
// gates have them. The kernel of the first may make both (espy_lower_take_pair).
#include "plan/plan_internal.h"

#include <string.h>

// A reduction of a map [images, channels, ...] along its channels to [images, 1, ...].
static bool reduces_channels(const struct planner *planner, uint32_t index, const char *op)
{
    const struct graph_node *node = &planner->params->graph->nodes[index];
    if (planner->skipped[index] || strcmp(node->op, op) != 0 || node->input_count != 2 ||
        node->inputs[1] == GRAPH_NONE || planner->plan->walk.nodes[index].step_count > 0)
        return false;
    const struct tensor *axes = &planner->plan->walk.values[node->inputs[1]];
    const struct shape *x = espy_planner_shape(planner, node->inputs[0]);
    const struct shape *y = espy_planner_shape(planner, node->outputs[0]);
    if (axes->data == NULL || axes->count != 1 || x->rank < 3 || y->rank != x->rank)
        return false;
    const int64_t axis = espy_tensor_integer(axes, 0);
    return axis == 1 || axis + (int64_t)x->rank == 1;
}

static bool only_joined(const struct planner *planner, uint32_t value, uint32_t concat)
{
    return planner->use_counts[value] == 1 && planner->readers[value] == concat;
}

// The node of the given operator that makes a value out of x, and comes after this one; else
// GRAPH_NONE.
static uint32_t other_of(const struct planner *planner, uint32_t value, const char *op)
{
    const struct graph *graph = planner->params->graph;
    const uint32_t x = graph->nodes[planner->node].inputs[0];
    for (uint32_t n = planner->node + 1; n < graph->node_count; n++)
        if (graph->nodes[n].output_count == 1 && graph->nodes[n].outputs[0] == value)
            return graph->nodes[n].inputs[0] == x && reduces_channels(planner, n, op) ? n
                                                                                      : GRAPH_NONE;
    return GRAPH_NONE;
}

bool espy_lower_find_pair(const struct op_lower *c, struct lower_pair *pair)
{
    const struct planner *planner = c->planner;
    const struct graph_node *nodes = planner->params->graph->nodes;
    const uint32_t index = planner->node, value = nodes[index].outputs[0];
    const bool mean = reduces_channels(planner, index, "ReduceMean");
    const uint32_t concat = planner->readers[value];
    if (planner->params->keep_values || planner->node_constant || concat == GRAPH_NONE ||
        planner->skipped[concat] || strcmp(nodes[concat].op, "Concat") != 0 ||
        nodes[concat].input_count != 2 || planner->plan->walk.nodes[concat].step_count > 0 ||
        espy_planner_known(planner, nodes[concat].outputs[0])->shape.dims[1] != 2 ||
        (!mean && !reduces_channels(planner, index, "ReduceMax")))
        return false;
    const bool comes_first = nodes[concat].inputs[0] == value;
    const uint32_t other = nodes[concat].inputs[comes_first ? 1 : 0];
    *pair =
        (struct lower_pair){.largest_first = mean != comes_first,
                            .other = other_of(planner, other, mean ? "ReduceMax" : "ReduceMean"),
                            .concat = concat};
    return other != value && pair->other != GRAPH_NONE && only_joined(planner, value, concat) &&
           only_joined(planner, other, concat);
}

struct view espy_lower_take_pair(struct op_lower *c, const struct lower_pair *pair)
{
    struct planner *planner = c->planner;
    const uint32_t value = planner->params->graph->nodes[pair->concat].outputs[0];
    const struct op_type *type = espy_planner_known(planner, value);
    size_t count = 0;
    const bool fits = espy_shape_count(&type->shape, &count);
    const uint32_t buffer =
        !fits ? VIEW_NONE
              : espy_planner_add_buffer(planner, PLAN_ARENA, type->dtype, count,
                                        planner->params->graph->values[value].name);
    if (buffer == VIEW_NONE)
        return (struct view){.buffer = VIEW_NONE};
    struct view y = espy_planner_dense_view(planner, buffer, type->dtype, &type->shape);
    espy_view_make_channels_last(&y);
    planner->touched = true;
    planner->places[value] = (struct place){.placed = true, .view = y};
    planner->skipped[pair->other] = true;
    planner->skipped[pair->concat] = true;
    return y;
}
