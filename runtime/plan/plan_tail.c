// Tails: an Add or Mul of two tensors of one shape that the kernel before it can do on its way, or
// a shuffle of the channels of two. The later of the two is made by that kernel; the other is there
// by then.
#include "plan/plan_internal.h"

#include <assert.h>
#include <string.h>

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

// Whether a node is nothing but this operator, on one value.
static bool is_plain(const struct planner *planner, uint32_t index, const char *op, uint32_t value)
{
    const struct op_node *bound = &planner->plan->walk.nodes[index];
    return strcmp(bound->op->name, op) == 0 && bound->step_count == 0 &&
           planner->params->graph->nodes[index].inputs[0] == value;
}

// A value of the shape [images, a, b, rows, columns] that x, a feature map, makes so.
static bool has_groups(const struct planner *planner, uint32_t value, const struct shape *x,
                       int64_t a, int64_t b)
{
    const struct shape groups = {5, {x->dims[0], a, b, x->dims[2], x->dims[3]}};
    return espy_shape_equal(espy_planner_shape(planner, value), &groups);
}

static bool swaps_groups(const struct graph_node *node)
{
    static const double swapped[] = {0, 2, 1, 3, 4};
    const struct graph_attr *perm = espy_graph_find_attr(node, "perm");
    if (perm == NULL || perm->type != GRAPH_ATTR_NUMBERS || perm->count != 5)
        return false;
    for (uint32_t i = 0; i < 5; i++)
        if (perm->numbers[i] != swapped[i])
            return false;
    return true;
}

// The reader of a value that must have one only, and do just this; else GRAPH_NONE.
static uint32_t next_of(const struct planner *planner, uint32_t value, const char *op)
{
    const uint32_t next = only_reader(planner, value);
    return next != GRAPH_NONE && is_plain(planner, next, op, value) ? next : GRAPH_NONE;
}

// Concat of another tensor and this one, and the shuffle of both.
static void find_shuffle(const struct planner *planner, uint32_t index, struct lower_tail *tail)
{
    const struct graph_node *nodes = planner->params->graph->nodes;
    const uint32_t value = nodes[index].outputs[0], concat = only_reader(planner, value);
    const struct shape *x = espy_planner_shape(planner, value);
    if (concat == GRAPH_NONE || x->rank != 4 || nodes[concat].input_count != 2 ||
        nodes[concat].inputs[1] != value || nodes[concat].inputs[0] == value ||
        !is_plain(planner, concat, "Concat", nodes[concat].inputs[0]))
        return;
    const uint32_t other = nodes[concat].inputs[0], joined = nodes[concat].outputs[0];
    const struct shape both = {4, {x->dims[0], 2 * x->dims[1], x->dims[2], x->dims[3]}};
    const struct op_type *types = planner->plan->walk.types;
    if (types[other].dtype != types[value].dtype || !espy_shape_equal(&types[other].shape, x) ||
        !espy_shape_equal(&types[joined].shape, &both))
        return;
    const uint32_t apart = next_of(planner, joined, "Reshape");
    if (apart == GRAPH_NONE || !has_groups(planner, nodes[apart].outputs[0], x, 2, x->dims[1]))
        return;
    const uint32_t turned = next_of(planner, nodes[apart].outputs[0], "Transpose");
    if (turned == GRAPH_NONE || !swaps_groups(&nodes[turned]))
        return;
    const uint32_t last = next_of(planner, nodes[turned].outputs[0], "Reshape");
    if (last == GRAPH_NONE || !is_there(planner, other) ||
        !espy_shape_equal(espy_planner_shape(planner, nodes[last].outputs[0]), &both))
        return;
    const struct op_node *bound = &planner->plan->walk.nodes[index];
    *tail = (struct lower_tail){.node = last,
                                .operand = other,
                                .output = nodes[last].outputs[0],
                                .shuffles = true,
                                .step_count = bound->step_count};
    memcpy(tail->steps, bound->steps, sizeof(tail->steps));
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
    find_shuffle(planner, index, tail);
    if (tail->node != GRAPH_NONE)
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
    if (c->tail == NULL || c->tail->node == GRAPH_NONE || c->tail_taken || c->tail->shuffles ||
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

// Channels-last from element 0 of its buffer on, with the same step between all pixels.
static bool is_spaced(const struct view *view)
{
    return view->offset == 0 && view->strides[1] == 1 &&
           view->strides[2] == view->dims[3] * view->strides[3] &&
           view->strides[0] == view->dims[2] * view->strides[2];
}

bool espy_lower_take_shuffle(struct op_lower *c, struct view *y, struct view *other)
{
    struct planner *planner = c->planner;
    if (c->tail == NULL || c->tail->node == GRAPH_NONE || !c->tail->shuffles || c->tail_taken)
        return false;
    const uint32_t output = c->tail->output;
    const struct shape *shape = espy_planner_shape(planner, output);
    size_t count = 0;
    *other = espy_planner_view(c, c->tail->operand);
    if (other->buffer != VIEW_NONE && !is_spaced(other)) {
        const struct view view = *other;
        *other = espy_lower_temporary(c, view.dtype, &c->outputs[0].shape);
        espy_view_make_channels_last(other);
        espy_lower_copy(c, &view, other);
    }
    if (other->buffer == VIEW_NONE || !espy_shape_count(shape, &count))
        return false;
    const uint32_t buffer = espy_planner_add_buffer(planner, PLAN_ARENA, c->outputs[0].dtype, count,
                                                    planner->params->graph->values[output].name);
    if (buffer == VIEW_NONE)
        return false;
    struct view whole = espy_planner_dense_view(planner, buffer, c->outputs[0].dtype, shape);
    espy_view_make_channels_last(&whole);
    c->tail_taken = true;
    espy_lower_alias(c, 0, &whole);
    *y = whole;
    y->dims[1] /= 2;
    y->strides[1] = 2;
    y->offset = 1;
    return true;
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
    place->view =
        espy_view_reshaped_dense(&place->view, espy_planner_shape(planner, c->tail->output));
}
