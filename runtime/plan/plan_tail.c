// Tails: an Add or Mul of two tensors of one shape that the kernel before it can do on its way. The
// later of the two that it reads is made by that kernel; the other is there by then.
#include "plan/plan_internal.h"

#include <assert.h>
#include <string.h>

static const struct shape *shape_of(const struct planner *planner, uint32_t value)
{
    return &planner->plan->walk.types[value].shape;
}

// Same elements in the same order.
static bool changes_shape(const struct op *op)
{
    static const char *const names[] = {"Reshape", "Flatten", "Squeeze", "Unsqueeze"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(op->name, names[i]) == 0)
            return true;
    return false;
}

// The one node that reads a value, in this plan; GRAPH_NONE: there is none or there are more.
static uint32_t only_reader(const struct planner *planner, uint32_t value)
{
    const uint32_t reader = planner->readers[value];
    const bool only =
        planner->use_counts[value] == 1 && reader != GRAPH_NONE && !planner->skipped[reader];
    return only ? reader : GRAPH_NONE;
}

// Whether the element is there before a kernel that is lowered now.
static bool is_there(const struct planner *planner, uint32_t value)
{
    return planner->places[value].placed || planner->plan->walk.values[value].data != NULL;
}

// The operation's other operand, where all is as a kernel needs it; else GRAPH_NONE.
static uint32_t operand_of(const struct planner *planner, const struct graph_node *node,
                           uint32_t value)
{
    if (node->input_count != 2 || node->inputs[0] == node->inputs[1])
        return GRAPH_NONE;
    const uint32_t other = node->inputs[node->inputs[0] == value ? 1 : 0];
    const struct op_type *types = planner->plan->walk.types;
    const bool alike = types[other].dtype == types[value].dtype &&
                       espy_shape_equal(&types[other].shape, &types[value].shape) &&
                       espy_dtype_is_float(types[value].dtype);
    return alike && is_there(planner, other) ? other : GRAPH_NONE;
}

// Adds the operation and the steps after it; false: an epilogue has no room for them.
static bool add_steps(const struct op_node *node, uint32_t function, struct lower_tail *tail)
{
    if (tail->step_count + 1 + node->step_count > OP_STEPS_MAX)
        return false;
    tail->steps[tail->step_count++] = (struct op_step){.function = function};
    for (uint32_t s = 0; s < node->step_count; s++)
        tail->steps[tail->step_count++] = node->steps[s];
    return true;
}

void espy_planner_find_tail(const struct planner *planner, uint32_t index, struct lower_tail *tail)
{
    const struct graph_node *nodes = planner->params->graph->nodes;
    const struct op_node *bound = planner->plan->walk.nodes;
    *tail = (struct lower_tail){.node = GRAPH_NONE};
    if ((bound[index].op->flags & OP_EPILOGUE) == 0 || planner->params->keep_values ||
        planner->node_constant)
        return;
    for (uint32_t o = 1; o < nodes[index].output_count; o++)
        if (nodes[index].outputs[o] != GRAPH_NONE)
            return;
    uint32_t value = nodes[index].outputs[0];
    uint32_t next = only_reader(planner, value);
    while (next != GRAPH_NONE && changes_shape(bound[next].op) && bound[next].step_count == 0 &&
           nodes[next].inputs[0] == value) {
        value = nodes[next].outputs[0];
        tail->reshaped = true;
        next = only_reader(planner, value);
    }
    const uint32_t function = next == GRAPH_NONE ? 0 : espy_step_with_operand(bound[next].op->name);
    if (function == 0)
        return;
    tail->operand = operand_of(planner, &nodes[next], value);
    tail->output = nodes[next].outputs[0];
    tail->step_count = bound[index].step_count;
    memcpy(tail->steps, bound[index].steps, sizeof(tail->steps));
    if (tail->operand != GRAPH_NONE && add_steps(&bound[next], function, tail))
        tail->node = next;
}

bool espy_lower_take_tail(struct op_lower *c, bool dense)
{
    if (c->tail == NULL || c->tail->node == GRAPH_NONE || c->tail_taken ||
        (c->tail->reshaped && !dense))
        return c->tail_taken;
    c->tail_taken = true;
    c->steps = c->tail->steps;
    c->step_count = c->tail->step_count;
    return true;
}

struct view espy_lower_tail_operand(struct op_lower *c, const struct view *output)
{
    const struct view none = {.buffer = VIEW_NONE};
    if (!c->tail_taken || output->buffer == VIEW_NONE)
        return none;
    const uint32_t value = c->tail->operand;
    struct view view =
        c->tail->reshaped ? espy_planner_dense(c, value) : espy_planner_view(c, value);
    if (view.buffer != VIEW_NONE && c->tail->reshaped)
        view = espy_view_reshaped_dense(&view, &c->outputs[0].shape);
    else if (output->rank >= 3 && espy_view_channels_last(output))
        view = espy_planner_channels_last(c, value); // there may be such a copy already
    if (view.buffer == VIEW_NONE)
        return none;
    if (view.offset == 0 && espy_view_same_strides(&view, output))
        return view;
    struct view copy = espy_lower_temporary(c, view.dtype, &c->outputs[0].shape);
    memcpy(copy.strides, output->strides, sizeof(copy.strides));
    espy_lower_copy(c, &view, &copy);
    return copy;
}

void espy_planner_finish_tail(struct op_lower *c)
{
    struct planner *planner = c->planner;
    const struct graph_node *nodes = planner->params->graph->nodes;
    struct place *place = &planner->places[c->tail->output];
    uint32_t next = planner->node;
    do { // the changes of shape on the way, and the operation
        next = planner->readers[nodes[next].outputs[0]];
        planner->skipped[next] = true;
    } while (next != c->tail->node);
    if (planner->status != ESPY_OK || !place->placed || !c->tail->reshaped)
        return;
    assert(espy_view_dense(&place->view));
    place->view = espy_view_reshaped_dense(&place->view, shape_of(planner, c->tail->output));
}
