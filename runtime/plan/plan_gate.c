// Gates: what follows a pooling of every channel to one number, and makes a factor per channel of
// these numbers: one or two small layers, or a kernel along the channels. The pooling's own kernels
// may do all of it (espy_lower_find_gate).
#include "plan/plan_internal.h"

#include <string.h>

static const struct graph_node *node_of(const struct planner *planner, uint32_t index)
{
    return &planner->params->graph->nodes[index];
}

static bool is_op(const struct planner *planner, uint32_t index, const char *op)
{
    return strcmp(node_of(planner, index)->op, op) == 0;
}

// The Cast, still to come, that makes a value of a constant, as of weights in 16 bits; else
// GRAPH_NONE.
static uint32_t cast_of(const struct planner *planner, uint32_t value)
{
    const struct graph *graph = planner->params->graph;
    for (uint32_t n = planner->node + 1; n < graph->node_count; n++) {
        const struct graph_node *node = &graph->nodes[n];
        if (node->output_count == 1 && node->outputs[0] == value)
            return is_op(planner, n, "Cast") && !planner->skipped[n] &&
                           planner->plan->walk.values[node->inputs[0]].data != NULL
                       ? n
                       : GRAPH_NONE;
    }
    return GRAPH_NONE;
}

// The same in every run.
static bool is_constant(const struct planner *planner, uint32_t value)
{
    const struct place *place = &planner->places[value];
    if (place->placed)
        return planner->buffers[place->view.buffer].kind != PLAN_ARENA;
    return planner->plan->walk.values[value].data != NULL || cast_of(planner, value) != GRAPH_NONE;
}

// Sees to it that a constant is there.
static void make_constant(struct planner *planner, uint32_t value)
{
    const bool known =
        planner->places[value].placed || planner->plan->walk.values[value].data != NULL;
    const uint32_t cast = known ? GRAPH_NONE : cast_of(planner, value);
    if (cast != GRAPH_NONE)
        espy_planner_lower_within(planner, cast);
}

// An attribute is absent, or all its numbers are this one.
static bool attr_is(const struct graph_node *node, const char *name, double number)
{
    const struct graph_attr *attr = espy_graph_find_attr(node, name);
    if (attr == NULL)
        return true;
    if (attr->type != GRAPH_ATTR_NUMBER && attr->type != GRAPH_ATTR_NUMBERS)
        return false;
    for (uint32_t i = 0; i < attr->count; i++)
        if (attr->numbers[i] != number)
            return false;
    return true;
}

static bool pads_by_numbers(const struct graph_node *node)
{
    const struct graph_attr *attr = espy_graph_find_attr(node, "auto_pad");
    return attr == NULL ||
           (attr->type == GRAPH_ATTR_STRING && strcmp(attr->strings[0], "NOTSET") == 0);
}

// ---- poolings -----------------------------------------------------------------------------------

// The dimensions that a reduction goes over are the ones after the second, all of them.
static bool reduces_pixels(const struct planner *planner, const struct graph_node *node)
{
    const uint32_t rank = espy_planner_known(planner, node->inputs[0])->shape.rank;
    const struct tensor *axes = node->input_count < 2 || node->inputs[1] == GRAPH_NONE
                                    ? NULL
                                    : &planner->plan->walk.values[node->inputs[1]];
    if (axes == NULL || axes->data == NULL || axes->count != rank - 2)
        return false;
    uint32_t mask = 0;
    for (size_t i = 0; i < axes->count; i++) {
        const int64_t axis = espy_tensor_integer(axes, i);
        mask |= UINT32_C(1) << (axis < 0 ? axis + (int64_t)rank : axis);
    }
    return mask == (UINT32_C(1) << rank) - 4;
}

// A number per channel of each image; largest: the largest, else the mean.
static bool is_pooling(const struct planner *planner, uint32_t index, bool *largest)
{
    const struct graph_node *node = node_of(planner, index);
    if (planner->skipped[index] || planner->plan->walk.nodes[index].step_count > 0 ||
        espy_planner_known(planner, node->inputs[0])->shape.rank < 3)
        return false;
    *largest = is_op(planner, index, "GlobalMaxPool") || is_op(planner, index, "ReduceMax");
    if (is_op(planner, index, "GlobalAveragePool") || is_op(planner, index, "GlobalMaxPool"))
        return true;
    return (is_op(planner, index, "ReduceMean") || is_op(planner, index, "ReduceMax")) &&
           reduces_pixels(planner, node);
}

// ---- layers -------------------------------------------------------------------------------------

// Element i of the result is element i of the input.
static bool keeps_order(const struct planner *planner, uint32_t index)
{
    static const char *const names[] = {"Reshape", "Flatten", "Squeeze", "Unsqueeze"};
    const struct graph_node *node = node_of(planner, index);
    if (planner->plan->walk.nodes[index].step_count > 0)
        return false;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(node->op, names[i]) == 0)
            return true;
    const struct shape *shape = espy_planner_shape(planner, node->inputs[0]);
    const struct graph_attr *perm = espy_graph_find_attr(node, "perm");
    if (strcmp(node->op, "Transpose") != 0 || perm == NULL || perm->type != GRAPH_ATTR_NUMBERS ||
        perm->count != shape->rank)
        return false;
    double last = -1; // dimensions of 1 may go anywhere
    for (uint32_t d = 0; d < shape->rank; d++) {
        if (shape->dims[(uint32_t)perm->numbers[d]] == 1)
            continue;
        if (perm->numbers[d] < last)
            return false;
        last = perm->numbers[d];
    }
    return true;
}

// A convolution of maps of one pixel.
static bool is_point(const struct planner *planner, const struct graph_node *node,
                     struct lower_layer *layer)
{
    const struct shape *x = espy_planner_shape(planner, node->inputs[0]);
    const struct shape *w = espy_planner_shape(planner, node->inputs[1]);
    layer->in = w->dims[1];
    layer->out = w->dims[0];
    layer->w_in = 1;
    return x->rank >= 3 && espy_count_from(x, 2) == 1 && espy_count_from(w, 2) == 1 &&
           x->dims[1] == w->dims[1];
}

// A convolution along the channels, which lie along its only axis.
static bool is_along(const struct planner *planner, const struct graph_node *node,
                     struct lower_layer *layer)
{
    const struct shape *x = espy_planner_shape(planner, node->inputs[0]);
    const struct shape *w = espy_planner_shape(planner, node->inputs[1]);
    const struct shape *y = espy_planner_shape(planner, node->outputs[0]);
    const struct graph_attr *pads = espy_graph_find_attr(node, "pads");
    const bool pads_number = pads != NULL && pads->type == GRAPH_ATTR_NUMBERS && pads->count == 2;
    layer->in = layer->out = x->dims[x->rank - 1];
    layer->taps = w->dims[w->rank - 1];
    layer->pad = pads_number ? (int64_t)pads->numbers[0] : 0;
    layer->w_in = 2;
    return x->rank == 3 && x->dims[1] == 1 && w->dims[0] == 1 && w->dims[1] == 1 &&
           (pads == NULL || pads_number) && y->dims[2] == x->dims[2];
}

static bool is_conv(const struct planner *planner, uint32_t index, struct lower_layer *layer)
{
    const struct graph_node *node = node_of(planner, index);
    if (!is_op(planner, index, "Conv") || !attr_is(node, "group", 1) || !pads_by_numbers(node))
        return false;
    if (is_point(planner, node, layer))
        return attr_is(node, "pads", 0);
    return is_along(planner, node, layer) && attr_is(node, "strides", 1) &&
           attr_is(node, "dilations", 1);
}

static bool is_product(const struct planner *planner, uint32_t index, struct lower_layer *layer)
{
    const struct graph_node *node = node_of(planner, index);
    const bool gemm = is_op(planner, index, "Gemm");
    if (!gemm && !is_op(planner, index, "MatMul"))
        return false;
    const struct shape *x = espy_planner_shape(planner, node->inputs[0]);
    const struct shape *w = espy_planner_shape(planner, node->inputs[1]);
    layer->w_in =
        gemm && espy_graph_find_attr(node, "transB") != NULL && !attr_is(node, "transB", 0) ? 1 : 0;
    if (x->rank != 2 || w->rank != 2)
        return false;
    layer->in = w->dims[layer->w_in];
    layer->out = w->dims[1 - layer->w_in];
    return !gemm ||
           (attr_is(node, "transA", 0) && attr_is(node, "alpha", 1) && attr_is(node, "beta", 1));
}

static bool is_layer(const struct planner *planner, uint32_t index, uint32_t value,
                     struct lower_layer *layer)
{
    const struct graph_node *node = node_of(planner, index);
    const struct op_node *bound = &planner->plan->walk.nodes[index];
    *layer = (struct lower_layer){.bias = GRAPH_NONE};
    if (node->input_count < 2 || node->inputs[0] != value || node->inputs[1] == value ||
        bound->step_count > 1 ||
        (!is_conv(planner, index, layer) && !is_product(planner, index, layer)))
        return false;
    layer->weights = node->inputs[1];
    if (node->input_count > 2)
        layer->bias = node->inputs[2];
    if (bound->step_count == 1)
        layer->step = bound->steps[0];
    if (layer->bias != GRAPH_NONE) {
        const struct shape *bias = espy_planner_shape(planner, layer->bias);
        if (!is_constant(planner, layer->bias) ||
            espy_count_from(bias, 0) != (layer->taps > 0 ? 1 : layer->out))
            return false;
    }
    return is_constant(planner, layer->weights);
}

// ---- chains -------------------------------------------------------------------------------------

// The one node that reads a value, in this plan; GRAPH_NONE: there is none or there are more.
static uint32_t only_reader(const struct planner *planner, uint32_t value)
{
    const uint32_t reader = planner->readers[value];
    const bool only =
        planner->use_counts[value] == 1 && reader != GRAPH_NONE && !planner->skipped[reader];
    return only ? reader : GRAPH_NONE;
}

static bool add_done(struct lower_gate *gate, uint32_t index)
{
    if (gate->done_count == GATE_NODES_MAX)
        return false;
    gate->done[gate->done_count++] = index;
    return true;
}

// Goes from a pooling's result to the end of its last layer.
static void follow(const struct planner *planner, uint32_t value, struct lower_gate *gate)
{
    uint32_t views = 0; // that no layer has followed yet
    for (;;) {
        const uint32_t next = only_reader(planner, value);
        struct lower_layer layer;
        if (next == GRAPH_NONE)
            break;
        const bool along = gate->layer_count > 0 && gate->layers[0].taps > 0;
        const bool is_next = !along && gate->layer_count < GATE_LAYERS_MAX &&
                             is_layer(planner, next, value, &layer) &&
                             (gate->layer_count == 0 || layer.taps == 0);
        if (!is_next && !keeps_order(planner, next))
            break;
        if (!add_done(gate, next))
            break;
        value = node_of(planner, next)->outputs[0];
        views++;
        if (is_next) {
            gate->layers[gate->layer_count++] = layer;
            gate->output = value;
            views = 0;
        }
    }
    gate->done_count -= views;
}

static bool same_layers(const struct lower_gate *a, const struct lower_gate *b)
{
    if (a->layer_count != b->layer_count)
        return false;
    for (uint32_t i = 0; i < a->layer_count; i++) {
        const struct lower_layer *p = &a->layers[i], *q = &b->layers[i];
        if (p->weights != q->weights || p->bias != q->bias || p->w_in != q->w_in ||
            p->taps != q->taps || p->step.function != q->step.function || p->step.a != q->step.a ||
            p->step.b != q->step.b)
            return false;
    }
    return true;
}

// Another pooling of the same map goes through the same layers, and an Add joins the two.
static bool join(const struct planner *planner, uint32_t index, uint32_t add,
                 struct lower_gate *gate)
{
    const struct graph *graph = planner->params->graph;
    const struct op_node *bound = &planner->plan->walk.nodes[add];
    struct lower_layer *last = &gate->layers[gate->layer_count - 1];
    if (!is_op(planner, add, "Add") || bound->step_count > 1 ||
        gate->layer_count != GATE_LAYERS_MAX || last->step.function != 0)
        return false;
    for (uint32_t n = index + 1; n < add; n++) {
        struct lower_gate other = {.layer_count = 0};
        bool largest;
        if (graph->nodes[n].input_count == 0 ||
            graph->nodes[n].inputs[0] != graph->nodes[index].inputs[0] ||
            !is_pooling(planner, n, &largest) || largest == gate->largest)
            continue;
        follow(planner, graph->nodes[n].outputs[0], &other);
        if (other.layer_count == 0 || only_reader(planner, other.output) != add ||
            !same_layers(gate, &other))
            continue;
        bool fits = add_done(gate, n) && add_done(gate, add);
        for (uint32_t i = 0; i < other.done_count; i++)
            fits = fits && add_done(gate, other.done[i]);
        gate->both = true;
        gate->output = node_of(planner, add)->outputs[0];
        if (bound->step_count == 1)
            last->step = bound->steps[0];
        return fits;
    }
    return false;
}

static bool is_whole(const struct planner *planner, const struct lower_gate *gate)
{
    const struct op_type *y = espy_planner_known(planner, gate->output);
    int64_t in = gate->channels;
    for (uint32_t i = 0; i < gate->layer_count; i++) {
        if (gate->layers[i].in != in || gate->layers[i].out == 0)
            return false;
        in = gate->layers[i].out;
    }
    return espy_count_from(&y->shape, 0) == gate->images * in;
}

bool espy_lower_find_gate(const struct op_lower *c, struct lower_gate *gate)
{
    const struct planner *planner = c->planner;
    const uint32_t index = planner->node;
    *gate = (struct lower_gate){.layer_count = 0};
    if (planner->params->keep_values || planner->node_constant ||
        !is_pooling(planner, index, &gate->largest))
        return false;
    const struct graph_node *node = node_of(planner, index);
    const struct op_type *x = espy_planner_known(planner, node->inputs[0]);
    gate->images = x->shape.dims[0];
    gate->channels = x->shape.dims[1];
    follow(planner, node->outputs[0], gate);
    if (gate->layer_count == 0)
        return false;
    const uint32_t next = only_reader(planner, gate->output);
    const bool joins = next != GRAPH_NONE && join(planner, index, next, gate);
    return joins == gate->both && (joins || !gate->largest) && is_whole(planner, gate);
}

// [numbers in, numbers out], or the taps, which lie where the numbers in would.
static struct view weights_of(struct op_lower *c, const struct lower_layer *layer)
{
    make_constant(c->planner, layer->weights);
    const struct view w = espy_planner_view(c, layer->weights);
    if (w.buffer == VIEW_NONE)
        return w;
    struct view view = w;
    view.rank = 2;
    view.dims[0] = layer->taps > 0 ? layer->taps : layer->in;
    view.strides[0] = w.strides[layer->w_in];
    view.dims[1] = layer->taps > 0 ? 1 : layer->out;
    view.strides[1] = layer->taps > 0 ? 0 : w.strides[layer->w_in == 1 ? 0 : 1];
    return view;
}

struct view espy_lower_take_gate(struct op_lower *c, const struct lower_gate *gate,
                                 struct view weights[], struct view biases[])
{
    struct planner *planner = c->planner;
    for (uint32_t i = 0; i < gate->layer_count; i++) {
        weights[i] = weights_of(c, &gate->layers[i]);
        biases[i] = (struct view){.buffer = VIEW_NONE};
        if (gate->layers[i].bias == GRAPH_NONE)
            continue;
        make_constant(planner, gate->layers[i].bias);
        biases[i] = espy_planner_dense(c, gate->layers[i].bias);
    }
    const struct op_type *type = espy_planner_known(planner, gate->output);
    size_t count = 0;
    const bool fits = espy_shape_count(&type->shape, &count);
    const uint32_t buffer =
        !fits ? VIEW_NONE
              : espy_planner_add_buffer(planner, PLAN_ARENA, type->dtype, count,
                                        planner->params->graph->values[gate->output].name);
    if (buffer == VIEW_NONE)
        return (struct view){.buffer = VIEW_NONE};
    const struct view y = espy_planner_dense_view(planner, buffer, type->dtype, &type->shape);
    planner->touched = true;
    planner->places[gate->output] = (struct place){.placed = true, .view = y};
    for (uint32_t i = 0; i < gate->done_count; i++)
        planner->skipped[gate->done[i]] = true;
    return y;
}
