// Padded maps: where channels do not come in fours, pixels may lie as far apart as if they did. Then
// kernels read and store whole vectors all the same, and need no form of their own for these maps. What
// is behind the last channel is read and multiplied by zero, so it has to be finite.
#include "plan/plan_internal.h"

// Read by one node, which does not mind the gaps.
static bool may_be_padded(const struct planner *planner, uint32_t value)
{
    const struct op_type *type = espy_planner_known(planner, value);
    const uint32_t reader = planner->readers[value];
    if (planner->params->keep_values || planner->use_counts[value] != 1 || reader == GRAPH_NONE ||
        type->shape.rank < 3 || type->shape.dims[1] <= CHANNELS_STEP ||
        type->shape.dims[1] % CHANNELS_STEP == 0)
        return false;
    return (planner->plan->walk.nodes[reader].op->flags & OP_GAPS) != 0 &&
           espy_storage_of(planner->params->caps, type->dtype) == STORAGE_F32;
}

struct view espy_lower_padded_output(struct op_lower *c, uint32_t o)
{
    struct planner *planner = c->planner;
    if (!espy_lower_wants(c, o) || planner->node_constant || planner->status != ESPY_OK ||
        !espy_steps_keep_finite(c->steps, c->step_count))
        return espy_lower_placed_output(c, o);
    const uint32_t value = espy_planner_output(c, o);
    if (!may_be_padded(planner, value))
        return espy_lower_placed_output(c, o);
    struct shape shape = *espy_planner_shape(planner, value);
    const int64_t channels = shape.dims[1];
    shape.dims[1] = (channels + CHANNELS_STEP - 1) / CHANNELS_STEP * CHANNELS_STEP;
    size_t count = 0;
    if (!espy_shape_count(&shape, &count))
        return espy_lower_placed_output(c, o);
    const espy_dtype dtype = c->outputs[o].dtype;
    const uint32_t buffer = espy_planner_add_buffer(planner, PLAN_ARENA, dtype, count,
                                                    planner->params->graph->values[value].name);
    if (buffer == VIEW_NONE)
        return (struct view){.buffer = VIEW_NONE};
    struct view view = espy_planner_dense_view(planner, buffer, dtype, &shape);
    espy_view_make_channels_last(&view);
    view.dims[1] = channels;
    espy_lower_alias(c, o, &view);
    planner->places[value].padded = true;
    return view;
}

bool espy_lower_padded_input(struct op_lower *c, uint32_t i)
{
    return c->planner->places[espy_planner_input(c, i)].padded;
}
