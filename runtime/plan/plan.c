#include "plan/plan_internal.h"

#include <assert.h>
#include <string.h>

// Kernels index with 32-bit integers. Tables that lowering makes on the host are small beside the
// tensors they describe; what wants more is a broken model.
#define TENSOR_ELEMENTS_MAX ((size_t)INT32_MAX)
#define LOWER_MEMORY_MAX ((size_t)256 << 20)

static espy_status check_sizes(const struct planner *planner, const struct graph_node *node)
{
    for (uint32_t o = 0; o < node->output_count; o++) {
        size_t count;
        if (node->outputs[o] == GRAPH_NONE)
            continue;
        const struct op_type *type = espy_planner_type(planner, node->outputs[o]);
        if (!espy_shape_count(&type->shape, &count) || count > TENSOR_ELEMENTS_MAX)
            return espy_fail(planner->host, ESPY_UNSUPPORTED,
                             "node '%s' (%s): output %u has more than 2^31 - 1 elements",
                             node->name, node->op, o);
    }
    return ESPY_OK;
}

static espy_status begin_stage(struct planner *planner, uint32_t host_node)
{
    struct plan *plan = planner->plan;
    TRY(espy_grow(planner->host, &planner->stages, plan->stage_count, &planner->stage_capacity,
                  sizeof(*planner->stages)));
    planner->stages[plan->stage_count++] = (struct plan_stage){host_node, plan->dispatch_count, 0};
    return ESPY_OK;
}

static void end_stage(struct planner *planner)
{
    struct plan_stage *stage = &planner->stages[planner->plan->stage_count - 1];
    stage->count = planner->plan->dispatch_count - stage->first;
}

// Fills the lowering context for a node: types, known values, steps.
static espy_status fill_lower(struct planner *planner, uint32_t index, struct arena *scratch,
                              struct op_lower *c)
{
    const struct graph_node *node = &planner->params->graph->nodes[index];
    const struct op_walk *walk = &planner->plan->walk;
    struct op_type *inputs = espy_arena_array(scratch, node->input_count, sizeof(*inputs));
    struct op_type *outputs = espy_arena_array(scratch, node->output_count, sizeof(*outputs));
    struct tensor *values = espy_arena_array(scratch, node->input_count, sizeof(*values));
    if (inputs == NULL || outputs == NULL || values == NULL)
        return ESPY_OUT_OF_MEMORY;
    planner->node = index;
    planner->node_spare_size = planner->spare_size;
    planner->node_constant = true;
    for (uint32_t i = 0; i < node->input_count; i++) {
        const uint32_t v = node->inputs[i];
        if (v == GRAPH_NONE)
            continue;
        inputs[i] = walk->types[v];
        values[i] = walk->values[v];
        const bool constant = values[i].data != NULL ||
                              (planner->places[v].placed &&
                               planner->buffers[planner->places[v].view.buffer].kind != PLAN_ARENA);
        planner->node_constant = planner->node_constant && constant;
    }
    for (uint32_t o = 0; o < node->output_count; o++)
        if (node->outputs[o] != GRAPH_NONE)
            outputs[o] = *espy_planner_type(planner, node->outputs[o]);
    *c = (struct op_lower){.host = planner->host,
                           .caps = planner->params->caps,
                           .node = &walk->nodes[index],
                           .attrs = walk->nodes[index].attrs,
                           .input_count = node->input_count,
                           .output_count = node->output_count,
                           .inputs = inputs,
                           .outputs = outputs,
                           .values = values,
                           .steps = walk->nodes[index].steps,
                           .step_count = walk->nodes[index].step_count,
                           .bends = planner->bends,
                           .arena = scratch,
                           .planner = planner};
    return ESPY_OK;
}

static espy_status copy_host_types(struct op_lower *c, struct plan_host_node *made)
{
    struct arena *memory = &c->planner->plan->memory;
    made->input_count = c->input_count;
    made->output_count = c->output_count;
    made->inputs = espy_arena_array(memory, c->input_count, sizeof(*made->inputs));
    made->outputs = espy_arena_array(memory, c->output_count, sizeof(*made->outputs));
    made->values = espy_arena_copy(memory, c->values, c->input_count * sizeof(*made->values));
    made->input_types =
        espy_arena_copy(memory, c->inputs, c->input_count * sizeof(*made->input_types));
    made->output_types =
        espy_arena_copy(memory, c->outputs, c->output_count * sizeof(*made->output_types));
    const bool made_all = made->inputs != NULL && made->outputs != NULL && made->values != NULL &&
                          made->input_types != NULL && made->output_types != NULL;
    return made_all ? ESPY_OK : ESPY_OUT_OF_MEMORY;
}

// Ends the stage, adds the node as host work, and begins the next stage after it.
static espy_status add_host_node(struct op_lower *c, uint32_t index, const char *why)
{
    struct planner *planner = c->planner;
    struct plan *plan = planner->plan;
    struct plan_host_node made = {.node = index, .why = why};
    planner->node_constant = false; // host nodes run every time
    TRY(copy_host_types(c, &made));
    for (uint32_t i = 0; i < c->input_count; i++) {
        made.inputs[i].buffer = VIEW_NONE;
        if (espy_lower_has(c, i) && c->values[i].data == NULL)
            made.inputs[i] = espy_lower_dense_input(c, i);
    }
    end_stage(planner);
    made.time = planner->time++;
    for (uint32_t o = 0; o < c->output_count; o++) {
        made.outputs[o] = espy_lower_output(c, o);
        if (made.outputs[o].buffer != VIEW_NONE)
            espy_planner_touch(planner, made.outputs[o].buffer, made.time);
    }
    for (uint32_t i = 0; i < c->input_count; i++)
        if (made.inputs[i].buffer != VIEW_NONE)
            espy_planner_touch(planner, made.inputs[i].buffer, made.time);
    TRY(planner->status);
    TRY(espy_grow(planner->host, &planner->host_nodes, plan->host_node_count,
                  &planner->host_node_capacity, sizeof(made)));
    planner->host_nodes[plan->host_node_count] = made;
    return begin_stage(planner, plan->host_node_count++);
}

// keep_values: the value must lie dense in memory that nothing else uses.
static void keep_outputs(struct op_lower *c, const struct graph_node *node)
{
    for (uint32_t o = 0; o < node->output_count; o++)
        if (espy_lower_wants(c, o) && c->planner->places[node->outputs[o]].placed)
            espy_planner_dense(c, node->outputs[o]);
}

espy_status espy_planner_lower(struct planner *planner, uint32_t index)
{
    const struct graph_node *node = &planner->params->graph->nodes[index];
    const struct op_walk *walk = &planner->plan->walk;
    if (planner->skipped[index])
        return ESPY_OK;
    TRY(check_sizes(planner, node));
    bool needed = false;
    for (uint32_t o = 0; o < node->output_count; o++)
        needed = needed ||
                 (node->outputs[o] != GRAPH_NONE && planner->use_counts[node->outputs[o]] > 0 &&
                  walk->values[node->outputs[o]].data == NULL);
    if (!needed)
        return ESPY_OK;
    struct arena scratch;
    espy_arena_init(&scratch, planner->host);
    scratch.size_max = LOWER_MEMORY_MAX;
    struct op_lower c;
    struct lower_tail tail;
    espy_status status = fill_lower(planner, index, &scratch, &c);
    espy_planner_find_tail(planner, index, &tail);
    c.tail = &tail;
    planner->host_reason = NULL;
    planner->touched = false;
    if (status == ESPY_OK) {
        if (c.node->op->lower == NULL)
            planner->host_reason = "no kernel";
        else if (!espy_plan_binds(c.caps, c.node->op))
            planner->host_reason = "more buffers than the device binds";
        else
            status = c.node->op->lower(&c);
    }
    if (status == ESPY_OK)
        status = planner->status;
    if (status == ESPY_OK && c.tail_taken)
        espy_planner_finish_tail(&c);
    // Where only the host can, bound has waited.
    assert(planner->host_reason == NULL || !planner->plan->counted[index]);
    if (status == ESPY_OK && planner->host_reason != NULL)
        status = add_host_node(&c, index, planner->host_reason);
    if (status == ESPY_OK && planner->params->keep_values) {
        keep_outputs(&c, node);
        status = planner->status;
    }
    espy_arena_finish(&scratch);
    return status;
}

// A Cast between float64 and another float rounds as it would anyway, and integers of at most 16
// bits are exact in both.
static bool converts_exactly(const struct op_node *node, espy_dtype from, espy_dtype to)
{
    if (strcmp(node->op->name, "Cast") != 0 && strcmp(node->op->name, "CastLike") != 0)
        return false;
    if (from != ESPY_FLOAT64)
        return espy_dtype_is_float(from) || espy_dtype_bits(from) <= 16;
    return to != ESPY_FLOAT64 && espy_dtype_is_float(to);
}

static bool on_host(const struct plan *plan, uint32_t node)
{
    for (uint32_t i = 0; i < plan->host_node_count; i++)
        if (plan->host_nodes[i].node == node)
            return true;
    return false;
}

// Whether a node that is lowered to the device has float64 among what it computes with.
static bool has_float64(const struct planner *planner, uint32_t index)
{
    const struct graph_node *node = &planner->params->graph->nodes[index];
    const struct op_walk *walk = &planner->plan->walk;
    bool found = false, known = true;
    espy_dtype first = ESPY_DTYPE_NONE;
    for (uint32_t i = 0; i < node->input_count; i++) {
        if (node->inputs[i] == GRAPH_NONE)
            continue;
        const espy_dtype dtype = walk->types[node->inputs[i]].dtype;
        first = first == ESPY_DTYPE_NONE ? dtype : first;
        found = found || dtype == ESPY_FLOAT64;
    }
    for (uint32_t o = 0; o < node->output_count; o++) {
        if (node->outputs[o] == GRAPH_NONE)
            continue;
        const espy_dtype dtype = walk->types[node->outputs[o]].dtype;
        found = (found || dtype == ESPY_FLOAT64) &&
                !converts_exactly(&walk->nodes[index], first, dtype);
        known = known && walk->values[node->outputs[o]].data != NULL;
    }
    return found && !known;
}

static void find_float64(struct planner *planner)
{
    struct plan *plan = planner->plan;
    plan->float64_node = GRAPH_NONE;
    for (uint32_t n = 0; n < plan->graph->node_count && plan->float64_node == GRAPH_NONE; n++)
        if (!planner->skipped[n] && has_float64(planner, n) && !on_host(plan, n))
            plan->float64_node = n;
}

static void count_uses(struct planner *planner)
{
    const struct graph *graph = planner->params->graph;
    const bool *done = planner->params->done;
    for (uint32_t v = 0; v < graph->value_count; v++)
        planner->readers[v] = planner->deferred[v] = GRAPH_NONE;
    for (uint32_t n = 0; n < graph->node_count; n++)
        for (uint32_t i = 0; i < graph->nodes[n].input_count; i++)
            if (graph->nodes[n].inputs[i] != GRAPH_NONE && (done == NULL || !done[n])) {
                planner->use_counts[graph->nodes[n].inputs[i]]++;
                planner->readers[graph->nodes[n].inputs[i]] = n;
            }
    if (planner->params->keep_values)
        for (uint32_t v = 0; v < graph->value_count; v++)
            planner->use_counts[v]++;
}

// true: something in this plan reads the source, so that it needs a place on the device.
static bool source_used(const struct planner *planner, uint32_t value)
{
    const struct graph *graph = planner->params->graph;
    if (planner->params->done == NULL && planner->plan->pending_count == 0)
        return true; // as the graph says, whether read or not
    for (uint32_t n = 0; n < graph->node_count; n++)
        for (uint32_t i = 0; !planner->skipped[n] && i < graph->nodes[n].input_count; i++)
            if (graph->nodes[n].inputs[i] == value)
                return true;
    for (uint32_t o = 0; planner->params->done == NULL && o < graph->output_count; o++)
        if (graph->outputs[o].value == value)
            return true;
    return false;
}

static espy_status add_inputs(struct planner *planner)
{
    const struct plan_params *params = planner->params;
    struct plan *plan = planner->plan;
    plan->input_count = params->source_count;
    plan->inputs = espy_arena_array(&plan->memory, plan->input_count, sizeof(*plan->inputs));
    if (plan->inputs == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < plan->input_count; i++) {
        const uint32_t value = params->sources[i].value;
        const char *name = params->graph->values[value].name;
        const struct op_type type = params->sources[i].type;
        size_t count = 0;
        plan->inputs[i] = (struct plan_io){.value = value, .type = type};
        plan->inputs[i].view.buffer = VIEW_NONE;
        if (plan->input_values[i].data != NULL) {
            plan->inputs[i].constant = &plan->input_values[i];
            continue;
        }
        if (!espy_shape_count(&type.shape, &count))
            return espy_fail(planner->host, ESPY_INVALID_ARGUMENT, "input '%s' is too large", name);
        if (!source_used(planner, value))
            continue;
        const uint32_t buffer =
            espy_planner_add_buffer(planner, PLAN_ARENA, type.dtype, count, name);
        if (buffer == VIEW_NONE)
            return planner->status;
        espy_planner_touch(planner, buffer, 0); // written before everything else
        const struct view view = espy_planner_dense_view(planner, buffer, type.dtype, &type.shape);
        planner->places[value] = (struct place){.placed = true, .view = view};
        plan->inputs[i].view = view;
    }
    return ESPY_OK;
}

static void keep_to_end(struct planner *planner, const struct view *view)
{
    if (view->buffer != VIEW_NONE && planner->buffers[view->buffer].kind == PLAN_ARENA)
        espy_planner_touch(planner, view->buffer, planner->time);
}

static void fill_io(struct planner *planner, uint32_t value, const struct view *dense,
                    struct plan_io *io)
{
    const struct op_walk *walk = &planner->plan->walk;
    const struct counted *counted = &planner->counted[value];
    *io = (struct plan_io){
        .value = value, .type = *espy_planner_type(planner, value), .view = *dense};
    if (walk->values[value].data != NULL)
        io->constant = &walk->values[value];
    else
        keep_to_end(planner, dense);
    if (counted->most.dtype != ESPY_DTYPE_NONE && counted->dim != GRAPH_NONE) {
        io->counted = true;
        io->counted_dim = counted->dim;
        io->count = counted->count;
        keep_to_end(planner, &io->count);
    }
}

// Lists the values to deliver: the graph's outputs that are there after this plan and were not
// before, then what pending nodes read of it.
static espy_status list_outputs(struct planner *planner)
{
    const struct graph *graph = planner->params->graph;
    struct plan *plan = planner->plan;
    size_t room = graph->output_count;
    for (uint32_t n = 0; n < graph->node_count; n++)
        room += plan->pending[n] ? graph->nodes[n].input_count : 0;
    plan->outputs = espy_arena_array(&plan->memory, room, sizeof(*plan->outputs));
    if (plan->outputs == NULL)
        return ESPY_OUT_OF_MEMORY;
    // What later plans are given, or find, without this one's help.
    for (uint32_t i = 0; i < planner->params->source_count; i++)
        planner->delivered[planner->params->sources[i].value] = true;
    for (uint32_t v = 0; v < graph->value_count; v++)
        planner->delivered[v] = planner->delivered[v] || graph->values[v].data != NULL;
    for (uint32_t o = 0; o < graph->output_count; o++) {
        const uint32_t value = graph->outputs[o].value;
        const bool passed_through = planner->delivered[value]; // an input or a constant
        if (espy_planner_type(planner, value)->dtype != ESPY_DTYPE_NONE &&
            (!passed_through || planner->params->done == NULL))
            plan->outputs[plan->output_count++].value = value;
    }
    for (uint32_t o = 0; o < plan->output_count; o++)
        planner->delivered[plan->outputs[o].value] = true;
    for (uint32_t n = 0; n < graph->node_count; n++) {
        const struct graph_node *node = &graph->nodes[n];
        for (uint32_t i = 0; plan->pending[n] && i < node->input_count; i++) {
            const uint32_t value = node->inputs[i];
            if (value == GRAPH_NONE || planner->delivered[value] ||
                espy_planner_type(planner, value)->dtype == ESPY_DTYPE_NONE)
                continue;
            planner->delivered[value] = true;
            plan->outputs[plan->output_count++].value = value;
        }
    }
    return ESPY_OK;
}

// With keep_values, the list of everything that lies in memory.
static espy_status list_kept(struct planner *planner)
{
    const struct graph *graph = planner->params->graph;
    struct plan *plan = planner->plan;
    plan->kept = espy_arena_array(&plan->memory, graph->value_count, sizeof(*plan->kept));
    if (plan->kept == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t v = 0; v < graph->value_count; v++) {
        const struct place *place = &planner->places[v];
        if (!place->placed || plan->walk.values[v].data != NULL)
            continue;
        const struct view dense = espy_view_dense(&place->view) ? place->view : place->dense;
        fill_io(planner, v, &dense, &plan->kept[plan->kept_count++]);
    }
    return ESPY_OK;
}

static espy_status add_outputs(struct planner *planner)
{
    struct plan *plan = planner->plan;
    const struct view none = {.buffer = VIEW_NONE};
    struct op_lower c = {.host = planner->host, .caps = planner->params->caps, .planner = planner};
    planner->node = GRAPH_NONE;
    planner->node_constant = false;
    // All copies first: what is alive to the end must outlive the last of them.
    for (uint32_t o = 0; o < plan->output_count; o++)
        if (plan->walk.values[plan->outputs[o].value].data == NULL)
            espy_planner_dense(&c, plan->outputs[o].value);
    TRY(planner->status);
    for (uint32_t o = 0; o < plan->output_count; o++) {
        const uint32_t value = plan->outputs[o].value;
        const bool known = plan->walk.values[value].data != NULL;
        const struct view dense = known ? none : espy_planner_dense(&c, value);
        fill_io(planner, value, &dense, &plan->outputs[o]);
    }
    return planner->params->keep_values ? list_kept(planner) : ESPY_OK;
}

static espy_status copy_lists(struct planner *planner)
{
    struct plan *plan = planner->plan;
    struct arena *memory = &plan->memory;
    plan->buffers =
        espy_arena_copy(memory, planner->buffers, plan->buffer_count * sizeof(*plan->buffers));
    plan->prepare =
        espy_arena_copy(memory, planner->prepare, plan->prepare_count * sizeof(*plan->prepare));
    plan->dispatches = espy_arena_copy(memory, planner->dispatches,
                                       plan->dispatch_count * sizeof(*plan->dispatches));
    plan->stages =
        espy_arena_copy(memory, planner->stages, plan->stage_count * sizeof(*plan->stages));
    plan->host_nodes = espy_arena_copy(memory, planner->host_nodes,
                                       plan->host_node_count * sizeof(*plan->host_nodes));
    plan->choices =
        espy_arena_copy(memory, planner->choices, plan->choice_count * sizeof(*plan->choices));
    const bool copied = plan->buffers != NULL && plan->prepare != NULL &&
                        plan->dispatches != NULL && plan->stages != NULL &&
                        plan->host_nodes != NULL && plan->choices != NULL;
    return copied ? ESPY_OK : ESPY_OUT_OF_MEMORY;
}

// A quarter of the constants, or what hardly counts beside a driver.
static uint64_t spare_size(const struct graph *graph)
{
    enum { SPARE_PART = 4, SPARE_MIN = 2 << 20 };
    uint64_t size = 0;
    for (uint32_t v = 0; v < graph->value_count; v++)
        size += graph->values[v].data_size;
    return size / SPARE_PART > SPARE_MIN ? size / SPARE_PART : SPARE_MIN;
}

static espy_status build(struct planner *planner)
{
    const struct plan_params *params = planner->params;
    const struct graph *graph = params->graph;
    planner->counted = espy_alloc_array(planner->host, graph->value_count, sizeof(struct counted));
    if (graph->value_count > 0 && planner->counted == NULL)
        return espy_fail_memory(planner->host, graph->value_count * sizeof(struct counted),
                                "planning");
    TRY(espy_planner_walk(planner));
    planner->places = espy_alloc_array(planner->host, graph->value_count, sizeof(struct place));
    planner->use_counts = espy_alloc_array(planner->host, graph->value_count, sizeof(uint32_t));
    planner->readers = espy_alloc_array(planner->host, graph->value_count, sizeof(uint32_t));
    planner->deferred = espy_alloc_array(planner->host, graph->value_count, sizeof(uint32_t));
    planner->delivered = espy_alloc_array(planner->host, graph->value_count, sizeof(bool));
    if (graph->value_count > 0 && (planner->places == NULL || planner->use_counts == NULL ||
                                   planner->readers == NULL || planner->deferred == NULL ||
                                   planner->delivered == NULL))
        return espy_fail_memory(planner->host, graph->value_count * sizeof(struct place),
                                "planning");
    count_uses(planner);
    TRY(list_outputs(planner));
    for (uint32_t o = 0; o < planner->plan->output_count; o++)
        planner->use_counts[planner->plan->outputs[o].value]++;
    TRY(add_inputs(planner));
    TRY(espy_planner_find_homes(planner));
    TRY(begin_stage(planner, GRAPH_NONE));
    for (uint32_t n = 0; n < graph->node_count; n++)
        planner->bends = planner->bends || espy_steps_bend(planner->plan->walk.nodes[n].steps,
                                                           planner->plan->walk.nodes[n].step_count);
    planner->spare_size = params->spare_size > 0 ? params->spare_size : spare_size(graph);
    for (uint32_t n = 0; n < graph->node_count; n++)
        if (!espy_planner_defer(planner, n))
            TRY(espy_planner_lower(planner, n));
    TRY(add_outputs(planner));
    end_stage(planner);
    TRY(espy_plan_memory(planner, params->caps->buffer_alignment));
    TRY(espy_plan_barriers(planner));
    TRY(copy_lists(planner));
    find_float64(planner);
    return ESPY_OK;
}

espy_status espy_plan_build(const struct plan_params *params, struct plan *plan)
{
    *plan = (struct plan){.graph = params->graph};
    espy_arena_init(&plan->memory, params->host);
    struct planner planner = {.host = params->host, .params = params, .plan = plan};
    const espy_status status = build(&planner);
    espy_free(params->host, planner.places);
    espy_free(params->host, planner.use_counts);
    espy_free(params->host, planner.readers);
    espy_free(params->host, planner.homes);
    espy_free(params->host, planner.counted);
    espy_free(params->host, planner.skipped);
    espy_free(params->host, planner.deferred);
    espy_free(params->host, planner.delivered);
    espy_free(params->host, planner.buffers);
    espy_free(params->host, planner.buffers_temporary);
    espy_free(params->host, planner.prepare);
    espy_free(params->host, planner.dispatches);
    espy_free(params->host, planner.stages);
    espy_free(params->host, planner.host_nodes);
    espy_free(params->host, planner.choices);
    if (status != ESPY_OK)
        espy_plan_finish(plan);
    return status;
}

void espy_plan_finish(struct plan *plan)
{
    espy_walk_finish(&plan->walk);
    if (plan->memory.host != NULL)
        espy_arena_finish(&plan->memory);
    *plan = (struct plan){.graph = NULL};
}
