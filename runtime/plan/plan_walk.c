// What a plan can see to: the walk with all that shapes wait for known, as far as that goes, and
// the nodes that are left for after it.
#include "plan/plan_internal.h"

#include <string.h>

struct known_sources {
    struct op_source *sources; // the plan's, with `known` set where plan->input_values has elements
    bool *known, *needed;      // [value_count], for espy_walk_awaited
};

static espy_status know_source(struct planner *planner, uint32_t index, struct op_source *source)
{
    struct plan *plan = planner->plan;
    struct tensor *value = &plan->input_values[index];
    value->type = source->type;
    if (!espy_shape_count(&value->type.shape, &value->count))
        return espy_fail(planner->host, ESPY_INVALID_ARGUMENT, "input '%s' is too large",
                         planner->params->graph->values[source->value].name);
    if (source->data == NULL)
        return espy_fail(planner->host, ESPY_INVALID_ARGUMENT,
                         "a shape depends on the elements of input '%s': planning needs its data "
                         "too",
                         planner->params->graph->values[source->value].name);
    value->data = espy_arena_copy(&plan->memory, source->data, espy_tensor_size(value));
    if (value->data == NULL)
        return ESPY_OUT_OF_MEMORY;
    source->data = value->data;
    source->known = true;
    return ESPY_OK;
}

// Takes as known the elements of the sources that a shape can be computed from. Sets *added when
// any was new.
static espy_status know_awaited(struct planner *planner, struct known_sources *s, bool *added)
{
    const struct plan_params *params = planner->params;
    *added = false;
    memset(s->known, 0, params->graph->value_count * sizeof(*s->known));
    for (uint32_t i = 0; i < params->source_count; i++) {
        size_t count;
        if (espy_shape_count(&s->sources[i].type.shape, &count) && count <= PLAN_FOLD_ELEMENTS_MAX)
            s->known[s->sources[i].value] = true;
    }
    espy_walk_awaited(&planner->plan->walk, PLAN_FOLD_ELEMENTS_MAX, s->known, s->needed);
    for (uint32_t i = 0; i < params->source_count; i++) {
        if (!s->needed[s->sources[i].value] || s->sources[i].known)
            continue;
        TRY(know_source(planner, i, &s->sources[i]));
        *added = true;
    }
    return ESPY_OK;
}

// Walks the graph; where shapes turn out to depend on elements of sources, again with these known.
static espy_status walk_known(struct planner *planner, struct known_sources *s)
{
    const struct plan_params *params = planner->params;
    struct plan *plan = planner->plan;
    const struct op_walk_params walk = {.sources = s->sources,
                                        .source_count = params->source_count,
                                        .done = params->done,
                                        .fold_elements_max = PLAN_FOLD_ELEMENTS_MAX};
    for (uint32_t i = 0; i < params->source_count; i++)
        if (s->sources[i].known)
            TRY(know_source(planner, i, &s->sources[i]));
    for (;;) {
        bool added;
        TRY(espy_walk_init(&plan->walk, planner->host, params->graph, &walk));
        TRY(know_awaited(planner, s, &added));
        if (!added)
            return ESPY_OK;
        espy_walk_finish(&plan->walk);
    }
}

const struct op_type *espy_planner_type(const struct planner *planner, uint32_t value)
{
    const struct op_type *known = &planner->plan->walk.types[value];
    return known->dtype != ESPY_DTYPE_NONE ? known : &planner->counted[value].most;
}

bool espy_plan_binds(const struct caps *caps, const struct op *op)
{
    return caps->bindings_max == 0 || op->bindings <= caps->bindings_max;
}

bool espy_plan_bound(const struct host *host, const struct caps *caps, struct arena *arena,
                     const struct op_node *node, const struct op_type *inputs,
                     const struct tensor *values, uint32_t input_count, struct op_type *outputs,
                     uint32_t *counted, uint32_t output_count)
{
    if (node->op->bound == NULL || !espy_plan_binds(caps, node->op) ||
        !espy_op_bound(host, arena, node, inputs, values, input_count, outputs, counted,
                       output_count))
        return false;
    for (uint32_t o = 0; o < output_count; o++) {
        const size_t element = espy_storage_size(espy_storage_of(caps, outputs[o].dtype));
        size_t count, size;
        if (!espy_shape_count(&outputs[o].shape, &count) || count > INT32_MAX ||
            !espy_checked_mul(count, element, &size) || size > caps->buffer_range_max)
            return false;
    }
    return true;
}

// Takes on a node whose inputs have types and whose outputs have none, if the device can count what
// comes out.
static bool count_node(struct planner *planner, uint32_t index, struct arena *scratch)
{
    const struct graph_node *node = &planner->params->graph->nodes[index];
    const struct op_walk *walk = &planner->plan->walk;
    struct op_type *inputs = espy_arena_array(scratch, node->input_count, sizeof(*inputs));
    struct op_type *outputs = espy_arena_array(scratch, node->output_count, sizeof(*outputs));
    struct tensor *values = espy_arena_array(scratch, node->input_count, sizeof(*values));
    uint32_t *counted = espy_arena_array(scratch, node->output_count, sizeof(*counted));
    if (inputs == NULL || outputs == NULL || values == NULL || counted == NULL)
        return false; // the arena remembers
    for (uint32_t i = 0; i < node->input_count; i++) {
        if (node->inputs[i] == GRAPH_NONE)
            continue;
        inputs[i] = walk->types[node->inputs[i]];
        values[i] = walk->values[node->inputs[i]];
    }
    if (!espy_plan_bound(planner->host, planner->params->caps, scratch, &walk->nodes[index], inputs,
                         values, node->input_count, outputs, counted, node->output_count))
        return false;
    for (uint32_t o = 0; o < node->output_count; o++)
        if (node->outputs[o] != GRAPH_NONE)
            planner->counted[node->outputs[o]] =
                (struct counted){.most = outputs[o], .dim = counted[o]};
    return true;
}

static bool has_types(const struct op_walk *walk, const uint32_t *values, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (values[i] != GRAPH_NONE && walk->types[values[i]].dtype == ESPY_DTYPE_NONE)
            return false;
    return true;
}

// Backwards from the outputs: a node without types is pending when anything depends on it, and is
// as good as not there when not. live: [value_count].
static espy_status find_pending(struct planner *planner, bool *live, struct arena *scratch)
{
    const struct graph *graph = planner->params->graph;
    const bool *done = planner->params->done;
    struct plan *plan = planner->plan;
    memset(live, 0, graph->value_count * sizeof(*live));
    for (uint32_t o = 0; o < graph->output_count; o++)
        live[graph->outputs[o].value] = true;
    for (uint32_t n = graph->node_count; n-- > 0;) {
        const struct graph_node *node = &graph->nodes[n];
        bool wanted = false;
        if (done != NULL && done[n]) {
            planner->skipped[n] = true;
            continue;
        }
        for (uint32_t o = 0; o < node->output_count; o++)
            wanted = wanted || (node->outputs[o] != GRAPH_NONE && live[node->outputs[o]]);
        for (uint32_t i = 0; wanted && i < node->input_count; i++)
            if (node->inputs[i] != GRAPH_NONE)
                live[node->inputs[i]] = true;
        const bool ready = has_types(&plan->walk, node->inputs, node->input_count);
        const bool typed = has_types(&plan->walk, node->outputs, node->output_count);
        plan->counted[n] = ready && !typed && wanted && count_node(planner, n, scratch);
        planner->skipped[n] = !plan->counted[n] && (!ready || !typed);
        plan->pending[n] = planner->skipped[n] && wanted;
        plan->pending_count += plan->pending[n];
        plan->counted_count += plan->counted[n];
    }
    return scratch->failed ? ESPY_OUT_OF_MEMORY : ESPY_OK;
}

static espy_status walk_with(struct planner *planner, struct arena *scratch)
{
    const struct plan_params *params = planner->params;
    const struct graph *graph = params->graph;
    struct plan *plan = planner->plan;
    struct known_sources s;
    s.sources =
        espy_arena_copy(scratch, params->sources, params->source_count * sizeof(*s.sources));
    s.known = espy_arena_array(scratch, graph->value_count, sizeof(*s.known));
    s.needed = espy_arena_array(scratch, graph->value_count, sizeof(*s.needed));
    if (s.sources == NULL || s.known == NULL || s.needed == NULL)
        return ESPY_OUT_OF_MEMORY;
    plan->input_values =
        espy_arena_array(&plan->memory, params->source_count, sizeof(*plan->input_values));
    plan->pending = espy_arena_array(&plan->memory, graph->node_count, sizeof(*plan->pending));
    plan->counted = espy_arena_array(&plan->memory, graph->node_count, sizeof(*plan->counted));
    if (plan->input_values == NULL || plan->pending == NULL || plan->counted == NULL)
        return ESPY_OUT_OF_MEMORY;
    planner->skipped = espy_alloc_array(planner->host, graph->node_count + 1u, sizeof(bool));
    if (planner->skipped == NULL)
        return espy_fail_memory(planner->host, graph->node_count, "planning");
    TRY(walk_known(planner, &s));
    return find_pending(planner, s.known, scratch);
}

espy_status espy_planner_walk(struct planner *planner)
{
    struct arena scratch;
    espy_arena_init(&scratch, planner->host);
    const espy_status status = walk_with(planner, &scratch);
    espy_arena_finish(&scratch);
    return status;
}
