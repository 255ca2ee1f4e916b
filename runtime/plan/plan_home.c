// Homes: what a Concat along the channels joins may be written to its place in the joined tensor by
// the kernel that makes it. The tensors of a dense block grow by a few channels from Concat to Concat;
// all of them are then views of the last one's memory.
#include "plan/plan_internal.h"

#include <string.h>

// Joins feature maps along dimension 1.
static bool joins_channels(const struct planner *planner, uint32_t index)
{
    const struct graph_node *node = &planner->params->graph->nodes[index];
    if (planner->skipped[index] || strcmp(node->op, "Concat") != 0 || node->input_count < 2)
        return false;
    const struct op_type *y = &planner->plan->walk.types[node->outputs[0]];
    if (y->shape.rank < 3 ||
        espy_storage_of(planner->params->caps, y->dtype) != STORAGE_F32)
        return false;
    int64_t channels = 0;
    for (uint32_t i = 0; i < node->input_count; i++) {
        const struct shape *x = espy_planner_shape(planner, node->inputs[i]);
        for (uint32_t d = 0; d < y->shape.rank; d++)
            if (d != 1 && x->dims[d] != y->shape.dims[d])
                return false;
        channels += x->dims[1];
    }
    return channels == y->shape.dims[1];
}

// All inputs follow each other in one joined tensor already.
static bool is_part(const struct planner *planner, const struct graph_node *node)
{
    const struct home *homes = planner->homes;
    const struct home *first = &homes[node->inputs[0]];
    int64_t channel = first->channel;
    for (uint32_t i = 0; i < node->input_count; i++) {
        const struct home *home = &homes[node->inputs[i]];
        if (first->joined == GRAPH_NONE || home->joined != first->joined ||
            home->channel != channel)
            return false;
        channel += espy_planner_shape(planner, node->inputs[i])->dims[1];
    }
    return true;
}

static void give_homes(struct planner *planner, const struct graph_node *node)
{
    struct home *homes = planner->homes;
    const uint32_t output = node->outputs[0];
    struct home next = homes[output];
    if (next.joined == GRAPH_NONE)
        next = (struct home){.joined = output};
    for (uint32_t i = 0; i < node->input_count; i++) {
        const uint32_t value = node->inputs[i];
        const int64_t channels = espy_planner_shape(planner, value)->dims[1];
        const bool made = planner->plan->walk.values[value].data == NULL;
        if (made && homes[value].joined == GRAPH_NONE && next.channel % CHANNELS_STEP == 0 &&
            channels % CHANNELS_STEP == 0)
            homes[value] = next;
        next.channel += channels;
    }
}

espy_status espy_planner_find_homes(struct planner *planner)
{
    const struct graph *graph = planner->params->graph;
    planner->homes = espy_alloc_array(planner->host, graph->value_count, sizeof(*planner->homes));
    if (graph->value_count > 0 && planner->homes == NULL)
        return espy_fail_memory(planner->host, graph->value_count * sizeof(*planner->homes),
                                "planning");
    for (uint32_t v = 0; v < graph->value_count; v++)
        planner->homes[v] = (struct home){.joined = GRAPH_NONE, .buffer = VIEW_NONE};
    if (planner->params->keep_values)
        return ESPY_OK;
    for (uint32_t n = graph->node_count; n-- > 0;) { // the last one of a block has them all
        const struct graph_node *node = &graph->nodes[n];
        if (!joins_channels(planner, n))
            continue;
        const bool whole_vectors =
            espy_planner_shape(planner, node->outputs[0])->dims[1] % CHANNELS_STEP == 0;
        if (planner->homes[node->outputs[0]].joined == GRAPH_NONE && is_part(planner, node))
            planner->homes[node->outputs[0]] = planner->homes[node->inputs[0]];
        else if (whole_vectors)
            give_homes(planner, node);
    }
    return ESPY_OK;
}

// The joined tensor's memory; made when the first of its parts is.
static struct view whole_of(struct op_lower *c, uint32_t joined)
{
    struct planner *planner = c->planner;
    uint32_t *buffer = &planner->homes[joined].buffer;
    const struct op_type *type = &planner->plan->walk.types[joined];
    const char *name = planner->params->graph->values[joined].name;
    size_t count = 0;
    if (*buffer == VIEW_NONE && espy_shape_count(&type->shape, &count))
        *buffer = espy_planner_add_buffer(planner, PLAN_ARENA, type->dtype, count, name);
    if (*buffer == VIEW_NONE)
        return (struct view){.buffer = VIEW_NONE};
    struct view whole = espy_planner_dense_view(planner, *buffer, type->dtype, &type->shape);
    espy_view_make_channels_last(&whole);
    return whole;
}

static struct view home_of(struct op_lower *c, uint32_t value)
{
    const struct home *home = &c->planner->homes[value];
    struct view view = whole_of(c, home->joined);
    if (view.buffer != VIEW_NONE) {
        view.dims[1] = espy_planner_shape(c->planner, value)->dims[1];
        view.offset = home->channel;
    }
    return view;
}

struct view espy_lower_placed_output(struct op_lower *c, uint32_t o)
{
    struct planner *planner = c->planner;
    if (!espy_lower_wants(c, o) || planner->node_constant || planner->status != ESPY_OK)
        return espy_lower_channels_last_output(c, o);
    const uint32_t value = espy_planner_output(c, o);
    if (planner->homes[value].joined == GRAPH_NONE)
        return espy_lower_channels_last_output(c, o);
    const struct view view = home_of(c, value);
    planner->homes[value].taken = view.buffer != VIEW_NONE;
    espy_lower_alias(c, o, &view);
    return view;
}

bool espy_lower_joined_output(struct op_lower *c)
{
    struct planner *planner = c->planner;
    if (planner->node == GRAPH_NONE || planner->node_constant || planner->status != ESPY_OK)
        return false;
    const struct graph_node *node = &planner->params->graph->nodes[planner->node];
    const uint32_t output = node->outputs[0];
    const bool part = planner->homes[output].joined != GRAPH_NONE;
    const uint32_t joined = part ? planner->homes[output].joined : output;
    if (planner->homes[joined].buffer == VIEW_NONE) // nobody was at home
        return false;
    struct view place = part ? home_of(c, output) : whole_of(c, output);
    espy_lower_alias(c, 0, &place);
    planner->homes[output].taken = part;
    for (uint32_t i = 0; i < node->input_count; i++) {
        const uint32_t value = node->inputs[i];
        struct home *home = &planner->homes[value];
        place.dims[1] = espy_planner_shape(planner, value)->dims[1];
        const bool lives_here = home->joined == joined && home->channel == place.offset;
        if (!lives_here || !home->taken) {
            const struct view x = espy_lower_input(c, i);
            espy_lower_copy(c, &x, &place);
        }
        home->taken = home->taken || lives_here;
        place.offset += place.dims[1];
    }
    return true;
}
