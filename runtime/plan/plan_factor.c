// Factors: the product of a feature map and a factor per channel, which a convolution alone reads,
// waits until that is lowered. Its kernel may multiply as it reads (espy_lower_take_factors); where
// it does not, the product is computed when it asks for its input.
#include "plan/plan_internal.h"

#include <string.h>

// Reads one pixel at a time, of all channels.
static bool is_point_conv(const struct planner *planner, uint32_t index, uint32_t value)
{
    const struct graph_node *node = &planner->params->graph->nodes[index];
    if (planner->skipped[index] || strcmp(node->op, "Conv") != 0 || node->input_count < 2 ||
        node->inputs[0] != value || node->inputs[1] == value)
        return false;
    const struct shape *x = espy_planner_shape(planner, value);
    const struct shape *w = espy_planner_shape(planner, node->inputs[1]);
    return espy_count_from(w, 2) == 1 && w->dims[1] == x->dims[1];
}

// Which input of a Mul is the map that the other has factors for; GRAPH_NONE: neither.
static uint32_t map_of(const struct planner *planner, const struct graph_node *node)
{
    const struct op_type *y = espy_planner_known(planner, node->outputs[0]);
    for (uint32_t i = 0; i < 2; i++) {
        const struct op_type *map = espy_planner_known(planner, node->inputs[i]);
        const struct op_type *factor = espy_planner_known(planner, node->inputs[1 - i]);
        const struct shape *f = &factor->shape;
        if (espy_shape_equal(&map->shape, &y->shape) && map->dtype == y->dtype && f->rank >= 3 &&
            f->rank == map->shape.rank && f->dims[1] == map->shape.dims[1] &&
            (f->dims[0] == 1 || f->dims[0] == map->shape.dims[0]) && espy_count_from(f, 2) == 1 &&
            planner->places[node->inputs[i]].placed && planner->places[node->inputs[1 - i]].placed)
            return i;
    }
    return GRAPH_NONE;
}

bool espy_planner_defer(struct planner *planner, uint32_t index)
{
    const struct graph_node *node = &planner->params->graph->nodes[index];
    if (planner->params->keep_values || strcmp(node->op, "Mul") != 0 || node->input_count != 2 ||
        planner->plan->walk.nodes[index].step_count > 0)
        return false;
    const uint32_t value = node->outputs[0], reader = planner->readers[value];
    const struct op_type *y = espy_planner_known(planner, value);
    if (planner->use_counts[value] != 1 || reader == GRAPH_NONE || y->shape.rank < 3 ||
        !espy_dtype_is_float(y->dtype) || espy_count_from(&y->shape, 2) < 2 ||
        y->shape.dims[1] % CHANNELS_STEP != 0 || !is_point_conv(planner, reader, value) ||
        map_of(planner, node) == GRAPH_NONE)
        return false;
    planner->deferred[value] = index;
    return true;
}

// A view of the factors as [images, channels].
static struct view factors_of(struct op_lower *c, uint32_t value, int64_t images)
{
    const struct view view = espy_planner_view(c, value);
    if (view.buffer == VIEW_NONE)
        return view;
    const struct shape shape = {2, {images, view.dims[1]}};
    struct view factors = view;
    factors.rank = 2;
    factors.dims[0] = images;
    factors.strides[0] = view.dims[0] == 1 ? 0 : view.strides[0];
    if (factors.offset == 0 && espy_view_dense(&factors))
        return factors;
    const struct view copy = espy_lower_temporary(c, view.dtype, &shape);
    espy_lower_copy(c, &factors, &copy);
    return copy;
}

struct view espy_lower_take_factors(struct op_lower *c)
{
    struct planner *planner = c->planner;
    const struct graph_node *nodes = planner->params->graph->nodes;
    const uint32_t value = nodes[planner->node].inputs[0], product = planner->deferred[value];
    if (planner->status != ESPY_OK || product == GRAPH_NONE || planner->places[value].placed)
        return (struct view){.buffer = VIEW_NONE};
    const uint32_t map = map_of(planner, &nodes[product]);
    planner->deferred[value] = GRAPH_NONE;
    planner->touched = true;
    c->map_taken = true;
    c->map = nodes[product].inputs[map];
    return factors_of(c, nodes[product].inputs[1 - map], c->inputs[0].shape.dims[0]);
}

void espy_planner_lower_within(struct planner *planner, uint32_t index)
{
    const uint32_t node = planner->node;
    const bool node_constant = planner->node_constant, touched = planner->touched;
    const char *host_reason = planner->host_reason;
    const espy_status status = espy_planner_lower(planner, index);
    if (planner->status == ESPY_OK)
        planner->status = status;
    planner->skipped[index] = true;
    planner->node = node;
    planner->node_constant = node_constant;
    planner->touched = touched;
    planner->host_reason = host_reason;
}

void espy_planner_catch_up(struct planner *planner, uint32_t value)
{
    const uint32_t product = planner->deferred[value];
    if (product == GRAPH_NONE)
        return;
    planner->deferred[value] = GRAPH_NONE;
    espy_planner_lower_within(planner, product);
}
