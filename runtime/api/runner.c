#include "api/runner.h"

#include "api/body.h"

#include <assert.h>
#include <string.h>

// Segments kept beside the first.
enum { LATER_MAX = 24 };

// ---- create -------------------------------------------------------------------------------------

// Room for everything that a chain of segments keeps between them.
static espy_status make_chain(struct runner *runner)
{
    const struct graph *graph = runner->graph;
    struct arena *memory = &runner->memory;
    runner->inputs = espy_arena_array(memory, graph->input_count, sizeof(*runner->inputs));
    runner->values = espy_arena_array(memory, graph->value_count, sizeof(*runner->values));
    runner->fixed = espy_arena_array(memory, graph->value_count, sizeof(*runner->fixed));
    runner->done = espy_arena_array(memory, graph->node_count, sizeof(*runner->done));
    bool *read = espy_arena_array(memory, graph->value_count, sizeof(*read));
    if (runner->inputs == NULL || runner->values == NULL || runner->fixed == NULL ||
        runner->done == NULL || read == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t n = 0; n < graph->node_count; n++)
        for (uint32_t i = 0; runner->first->plan.pending[n] && i < graph->nodes[n].input_count; i++)
            if (graph->nodes[n].inputs[i] != GRAPH_NONE)
                read[graph->nodes[n].inputs[i]] = true;
    for (uint32_t i = 0; i < graph->input_count; i++) {
        const struct plan_io *io = &runner->first->plan.inputs[i];
        struct tensor *input = &runner->inputs[i];
        if (!read[io->value] || io->constant != NULL)
            continue;
        input->type = io->type;
        if (!espy_shape_count(&io->type.shape, &input->count))
            return ESPY_OUT_OF_MEMORY; // the plan has refused it already
        input->data = espy_arena_alloc(memory, espy_tensor_size(input));
        if (input->data == NULL)
            return ESPY_OUT_OF_MEMORY;
    }
    return ESPY_OK;
}

static espy_status create(const struct runner_params *params, struct runner *runner)
{
    const struct graph *graph = params->graph;
    struct op_source *sources =
        espy_arena_array(&runner->memory, graph->input_count, sizeof(*sources));
    if (sources == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < graph->input_count; i++)
        sources[i] =
            (struct op_source){.value = graph->inputs[i].value,
                               .type = params->inputs[i],
                               .data = params->input_data == NULL ? NULL : params->input_data[i]};
    const struct segment_params segment = {.host = params->host,
                                           .device = params->device,
                                           .plan = {.host = params->host,
                                                    .graph = graph,
                                                    .sources = sources,
                                                    .source_count = graph->input_count,
                                                    .keep_values = params->keep_values,
                                                    .choices = params->choices},
                                           .memory_max = params->memory_max,
                                           .float64_said = params->float64_said,
                                           .weights = params->weights};
    TRY(espy_segment_create(&segment, &runner->first));
    return espy_runner_data_dependent(runner) ? make_chain(runner) : ESPY_OK;
}

espy_status espy_runner_create(const struct runner_params *params, struct runner **runner)
{
    struct runner *made = espy_alloc(params->host, sizeof(*made));
    if (made == NULL)
        return espy_fail_memory(params->host, sizeof(*made), "a plan");
    made->host = params->host;
    made->device = params->device;
    made->graph = params->graph;
    made->keep_values = params->keep_values;
    made->memory_max = params->memory_max;
    made->float64_said = params->float64_said;
    made->weights = params->weights;
    made->choices = params->choices;
    espy_arena_init(&made->memory, params->host);
    espy_arena_init(&made->run_memory, params->host);
    const espy_status status = create(params, made);
    if (status != ESPY_OK)
        espy_runner_destroy(&made);
    else
        *runner = made;
    return status;
}

void espy_runner_destroy(struct runner **runner)
{
    struct runner *old = *runner;
    if (old == NULL)
        return;
    espy_runner_destroy_bodies(old);
    for (uint32_t i = 0; i < old->later_count; i++)
        espy_segment_destroy(&old->later[i]);
    espy_free(old->host, (void *)old->later);
    espy_segment_destroy(&old->first);
    espy_arena_finish(&old->run_memory);
    espy_arena_finish(&old->memory);
    espy_free(old->host, old);
    *runner = NULL;
}

bool espy_runner_data_dependent(const struct runner *runner)
{
    const struct plan *plan = &runner->first->plan;
    return plan->pending_count > 0 || plan->counted_count > 0;
}

uint64_t espy_runner_memory(const struct runner *runner)
{
    uint64_t memory = espy_segment_memory(runner->first);
    for (uint32_t i = 0; i < runner->later_count; i++)
        memory += espy_segment_memory(runner->later[i]);
    return memory + espy_runner_bodies_memory(runner);
}

// ---- between segments ---------------------------------------------------------------------------

// The host's copy of a value; data NULL when there is none.
static struct tensor host_value(const struct runner *runner, uint32_t value)
{
    const struct graph_value *constant = &runner->graph->values[value];
    if (constant->data == NULL)
        return runner->values[value];
    struct tensor tensor = {.type = {constant->dtype, constant->shape}};
    espy_shape_count(&constant->shape, &tensor.count);          // espy_graph_check: it fits
    memcpy(&tensor.data, &constant->data, sizeof(tensor.data)); // only read
    return tensor;
}

// Room, until the next run, for what the segment has counted.
static espy_status make_counted(struct runner *runner, const struct segment *segment,
                                const struct plan_io *io, struct tensor *tensor)
{
    TRY(espy_segment_type(segment, io, &tensor->type));
    espy_shape_count(&tensor->type.shape, &tensor->count); // no more than the plan has room for
    tensor->data = espy_arena_alloc(&runner->run_memory, espy_tensor_size(tensor));
    return tensor->data == NULL ? ESPY_OUT_OF_MEMORY : ESPY_OK;
}

// Reads what the segment delivers and marks what it has seen to.
static espy_status collect(struct runner *runner, struct segment *segment)
{
    const struct plan *plan = &segment->plan;
    for (uint32_t o = 0; o < plan->output_count; o++) {
        const struct plan_io *io = &plan->outputs[o];
        struct tensor tensor = segment->delivered[o];
        if (io->counted)
            TRY(make_counted(runner, segment, io, &tensor));
        if (io->constant == NULL)
            TRY(espy_segment_read(segment, io, &tensor));
        runner->values[io->value] = tensor;
        runner->fixed[io->value] = io->constant != NULL;
    }
    for (uint32_t n = 0; n < runner->graph->node_count; n++)
        runner->done[n] = !plan->pending[n];
    return ESPY_OK;
}

static bool small(const struct tensor *tensors, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (tensors[i].count > PLAN_FOLD_ELEMENTS_MAX)
            return false;
    return true;
}

// Which pending nodes the host computes rather than the next segment: those that only the host can,
// or whose shape is in a value too large for a plan to be made for, and those so small that a
// submit would take longer.
static bool for_host(const struct segment *segment, uint32_t index, const struct tensor *inputs,
                     const struct tensor *outputs)
{
    const struct graph_node *node = &segment->plan.graph->nodes[index];
    const struct op *op = segment->plan.walk.nodes[index].op;
    if (op->lower == NULL || (op->flags & (OP_DATA_SHAPE | OP_SHAPE_ONLY)) != 0)
        return true; // what the device counts has been left to it already
    for (uint32_t i = 0; i < node->input_count; i++)
        if (node->inputs[i] != GRAPH_NONE && segment->plan.walk.awaited[node->inputs[i]] &&
            inputs[i].count > PLAN_FOLD_ELEMENTS_MAX)
            return true;
    return small(inputs, node->input_count) && small(outputs, node->output_count);
}

// Infers the node's outputs from inputs that are all there.
static espy_status infer_outputs(struct runner *runner, uint32_t index, const struct tensor *inputs,
                                 struct tensor *outputs)
{
    const struct graph_node *node = &runner->graph->nodes[index];
    struct arena *memory = &runner->run_memory;
    struct op_type *in = espy_arena_array(memory, node->input_count, sizeof(*in));
    struct op_type *out = espy_arena_array(memory, node->output_count, sizeof(*out));
    if (in == NULL || out == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < node->input_count; i++)
        in[i] = inputs[i].type;
    uint32_t needs;
    const espy_status status =
        espy_op_infer(runner->host, memory, &runner->current->plan.walk.nodes[index], in, inputs,
                      node->input_count, out, node->output_count, &needs);
    if (needs != GRAPH_NONE && status != ESPY_OK)
        return espy_fail(runner->host, ESPY_UNSUPPORTED,
                         "node '%s' (%s): the shape cannot be known", node->name, node->op);
    TRY(status);
    for (uint32_t o = 0; o < node->output_count; o++) {
        if (node->outputs[o] == GRAPH_NONE)
            continue;
        outputs[o].type = out[o];
        espy_shape_count(&out[o].shape, &outputs[o].count); // espy_op_infer: it fits
    }
    return ESPY_OK;
}

static void take_outputs(struct runner *runner, uint32_t index, const struct tensor *outputs)
{
    const struct graph_node *node = &runner->graph->nodes[index];
    for (uint32_t o = 0; o < node->output_count; o++)
        if (node->outputs[o] != GRAPH_NONE)
            runner->values[node->outputs[o]] = outputs[o];
    runner->done[index] = true;
}

// Runs a node that has bodies, whose inputs are all there.
static espy_status run_control(struct runner *runner, uint32_t index, const struct tensor *inputs,
                               struct tensor *outputs)
{
    const struct graph_node *node = &runner->graph->nodes[index];
    const struct op_control_params params = {.host = runner->host,
                                             .node = &runner->current->plan.walk.nodes[index],
                                             .inputs = inputs,
                                             .input_count = node->input_count,
                                             .output_count = node->output_count,
                                             .outputs = outputs,
                                             .arena = &runner->run_memory,
                                             .run = espy_runner_run_body,
                                             .run_user = runner};
    TRY(espy_op_control(&params));
    take_outputs(runner, index, outputs);
    return ESPY_OK;
}

// Whether the next segment finds out how much the node makes, which has all of its inputs: not what
// is so small that a submit would take longer.
static espy_status for_device_to_count(struct runner *runner, uint32_t index,
                                       const struct tensor *inputs, bool *for_device)
{
    const struct graph_node *node = &runner->graph->nodes[index];
    const struct op_node *bound = &runner->current->plan.walk.nodes[index];
    struct arena *memory = &runner->run_memory;
    *for_device = false;
    if (bound->op->bound == NULL || small(inputs, node->input_count))
        return ESPY_OK;
    struct op_type *in = espy_arena_array(memory, node->input_count, sizeof(*in));
    struct op_type *out = espy_arena_array(memory, node->output_count, sizeof(*out));
    struct tensor *known = espy_arena_array(memory, node->input_count, sizeof(*known));
    uint32_t *counted = espy_arena_array(memory, node->output_count, sizeof(*counted));
    if (in == NULL || out == NULL || known == NULL || counted == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < node->input_count; i++) {
        const uint32_t value = node->inputs[i];
        if (value == GRAPH_NONE)
            continue;
        in[i] = inputs[i].type;
        if (runner->graph->values[value].data != NULL || runner->fixed[value])
            known[i] = inputs[i];
    }
    uint32_t needs; // checks the types, which bound relies on
    const espy_status status = espy_op_infer(runner->host, memory, bound, in, known,
                                             node->input_count, out, node->output_count, &needs);
    if (status == ESPY_OK || needs == GRAPH_NONE)
        return status;
    *for_device = espy_plan_bound(runner->host, espy_vk_device_caps(runner->device), memory, bound,
                                  in, known, node->input_count, out, counted, node->output_count);
    return memory->failed ? ESPY_OUT_OF_MEMORY : ESPY_OK;
}

// Runs a pending node on the host if its inputs are there and it is for the host.
static espy_status run_pending(struct runner *runner, uint32_t index)
{
    const struct graph_node *node = &runner->graph->nodes[index];
    struct arena *memory = &runner->run_memory;
    struct tensor *inputs = espy_arena_array(memory, node->input_count, sizeof(*inputs));
    struct tensor *outputs = espy_arena_array(memory, node->output_count, sizeof(*outputs));
    if (inputs == NULL || outputs == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < node->input_count; i++) {
        if (node->inputs[i] == GRAPH_NONE)
            continue;
        inputs[i] = host_value(runner, node->inputs[i]);
        if (inputs[i].data == NULL)
            return ESPY_OK;
    }
    if (runner->current->plan.walk.nodes[index].op->control != NULL)
        return run_control(runner, index, inputs, outputs);
    bool for_device;
    TRY(for_device_to_count(runner, index, inputs, &for_device));
    if (for_device)
        return ESPY_OK;
    TRY(infer_outputs(runner, index, inputs, outputs));
    if (!for_host(runner->current, index, inputs, outputs))
        return ESPY_OK;
    for (uint32_t o = 0; o < node->output_count; o++) {
        if (node->outputs[o] == GRAPH_NONE)
            continue;
        outputs[o].data = espy_arena_alloc(memory, espy_tensor_size(&outputs[o]));
        if (outputs[o].data == NULL)
            return ESPY_OUT_OF_MEMORY;
    }
    TRY(espy_op_evaluate(runner->host, &runner->current->plan.walk.nodes[index], inputs,
                         node->input_count, outputs, node->output_count));
    take_outputs(runner, index, outputs);
    return ESPY_OK;
}

static uint32_t count_left(const struct runner *runner)
{
    uint32_t left = 0;
    for (uint32_t n = 0; n < runner->graph->node_count; n++)
        left += !runner->done[n];
    return left;
}

// ---- the next segment ---------------------------------------------------------------------------

// Everything on the host that a node still to come reads.
static espy_status list_sources(struct runner *runner, struct op_source **sources, uint32_t *count)
{
    const struct graph *graph = runner->graph;
    struct arena *memory = &runner->run_memory;
    bool *read = espy_arena_array(memory, graph->value_count, sizeof(*read));
    *sources = espy_arena_array(memory, graph->value_count, sizeof(**sources));
    *count = 0;
    if (read == NULL || *sources == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t n = 0; n < graph->node_count; n++)
        for (uint32_t i = 0; !runner->done[n] && i < graph->nodes[n].input_count; i++)
            if (graph->nodes[n].inputs[i] != GRAPH_NONE)
                read[graph->nodes[n].inputs[i]] = true;
    for (uint32_t v = 0; v < graph->value_count; v++)
        if (read[v] && runner->values[v].data != NULL)
            (*sources)[(*count)++] = (struct op_source){v, runner->values[v].type,
                                                        runner->values[v].data, runner->fixed[v]};
    return ESPY_OK;
}

// Drops the segment used longest ago, unless this run has used them all.
static void drop_later(struct runner *runner)
{
    uint32_t oldest = 0;
    for (uint32_t i = 1; i < runner->later_count; i++)
        if (runner->later[i]->used < runner->later[oldest]->used)
            oldest = i;
    if (runner->later[oldest]->used == runner->run)
        return;
    espy_segment_destroy(&runner->later[oldest]);
    runner->later[oldest] = runner->later[--runner->later_count];
}

static espy_status add_later(struct runner *runner, const struct op_source *sources,
                             uint32_t source_count, struct segment **added)
{
    uint64_t taken = espy_runner_bodies_memory(runner);
    for (const struct segment *s = runner->first; s != NULL; s = s->next)
        taken += espy_segment_memory(s);
    struct segment_params params = {.host = runner->host,
                                    .device = runner->device,
                                    .plan = {.host = runner->host,
                                             .graph = runner->graph,
                                             .sources = sources,
                                             .source_count = source_count,
                                             .done = runner->done,
                                             .keep_values = runner->keep_values,
                                             .choices = runner->choices},
                                    .later = true,
                                    .float64_said = runner->float64_said,
                                    .weights = runner->weights};
    if (runner->memory_max != 0) // at least 1, which no segment keeps: 0 would be no limit
        params.memory_max = taken < runner->memory_max ? runner->memory_max - taken : 1;
    if (runner->later_count >= LATER_MAX)
        drop_later(runner);
    TRY(espy_grow(runner->host, &runner->later, runner->later_count, &runner->later_capacity,
                  sizeof(struct segment *)));
    TRY(espy_segment_create(&params, added));
    runner->later[runner->later_count++] = *added;
    return ESPY_OK;
}

static espy_status write_inputs(struct runner *runner, struct segment *segment,
                                const struct op_source *sources)
{
    const struct plan *plan = &segment->plan;
    for (uint32_t i = 0; i < plan->input_count; i++)
        if (plan->inputs[i].view.buffer != VIEW_NONE)
            TRY(espy_vk_program_write(segment->program, &plan->inputs[i].view, sources[i].data));
    runner->current = segment;
    runner->stage = 0;
    segment->next = NULL;
    segment->used = runner->run;
    return espy_vk_program_submit(segment->program, 0);
}

static espy_status submit_next(struct runner *runner)
{
    struct op_source *sources;
    uint32_t count;
    TRY(list_sources(runner, &sources, &count));
    struct segment *next = NULL;
    for (uint32_t i = 0; i < runner->later_count && next == NULL; i++)
        if (espy_segment_fits(runner->later[i], sources, count, runner->done))
            next = runner->later[i];
    if (next == NULL)
        TRY(add_later(runner, sources, count, &next));
    struct segment *before = runner->current;
    TRY(write_inputs(runner, next, sources));
    before->next = next;
    return ESPY_OK;
}

// After a segment: what the host can do, then the next one. *finished: nothing was left.
static espy_status go_on(struct runner *runner, bool *finished)
{
    *finished = !espy_runner_data_dependent(runner);
    if (*finished)
        return ESPY_OK;
    const uint32_t before = runner->current == runner->first ? UINT32_MAX : count_left(runner);
    TRY(collect(runner, runner->current));
    for (uint32_t n = 0; n < runner->graph->node_count; n++)
        if (!runner->done[n])
            TRY(run_pending(runner, n));
    const uint32_t left = count_left(runner);
    *finished = left == 0;
    if (left > 0 && left >= before)
        return espy_fail(runner->host, ESPY_UNSUPPORTED,
                         "%u nodes wait for data that nothing computes", left);
    return *finished ? ESPY_OK : submit_next(runner);
}

// ---- run ----------------------------------------------------------------------------------------

// Forgets the last run and keeps the inputs that a later segment or the host will want.
static void begin_chain(struct runner *runner, const void *const *inputs)
{
    const struct graph *graph = runner->graph;
    espy_arena_finish(&runner->run_memory);
    espy_arena_init(&runner->run_memory, runner->host);
    memset(runner->values, 0, graph->value_count * sizeof(*runner->values));
    memset(runner->fixed, 0, graph->value_count * sizeof(*runner->fixed));
    memset(runner->done, 0, graph->node_count * sizeof(*runner->done));
    for (uint32_t i = 0; i < graph->input_count; i++) {
        const struct plan_io *io = &runner->first->plan.inputs[i];
        const struct tensor *input = &runner->inputs[i];
        if (input->data != NULL && input->count > 0)
            memcpy(input->data, inputs[i], espy_tensor_size(input));
        runner->values[io->value] = io->constant != NULL ? *io->constant : *input;
        runner->fixed[io->value] = io->constant != NULL;
    }
}

espy_status espy_runner_start(struct runner *runner, const void *const *inputs)
{
    assert(!runner->running);
    struct segment *first = runner->first;
    const struct plan *plan = &first->plan;
    if (espy_runner_data_dependent(runner))
        begin_chain(runner, inputs);
    for (uint32_t i = 0; i < plan->input_count; i++)
        if (plan->inputs[i].view.buffer != VIEW_NONE)
            TRY(espy_vk_program_write(first->program, &plan->inputs[i].view, inputs[i]));
    runner->run++;
    runner->current = first;
    runner->stage = 0;
    first->next = NULL;
    TRY(espy_vk_program_submit(first->program, 0));
    runner->running = true;
    return ESPY_OK;
}

static espy_status drive(struct runner *runner, uint64_t timeout_ns)
{
    for (bool finished = false; !finished;) {
        struct segment *segment = runner->current;
        TRY(espy_vk_program_wait(segment->program, timeout_ns));
        if (runner->stage + 1 == segment->plan.stage_count) {
            TRY(go_on(runner, &finished));
            continue;
        }
        runner->stage++;
        TRY(espy_segment_run_host_node(segment, segment->plan.stages[runner->stage].host_node));
        TRY(espy_vk_program_submit(segment->program, runner->stage));
    }
    return ESPY_OK;
}

espy_status espy_runner_finish(struct runner *runner, uint64_t timeout_ns)
{
    assert(runner->running);
    const espy_status status = drive(runner, timeout_ns);
    if (status != ESPY_TIMEOUT)
        runner->running = false;
    return status;
}

// ---- results ------------------------------------------------------------------------------------

struct op_type espy_runner_planned(const struct runner *runner, uint32_t o)
{
    const struct plan *plan = &runner->first->plan;
    for (uint32_t i = 0; i < plan->output_count; i++)
        if (plan->outputs[i].value == runner->graph->outputs[o].value && !plan->outputs[i].counted)
            return plan->outputs[i].type;
    return (struct op_type){.dtype = ESPY_DTYPE_NONE};
}

struct op_type espy_runner_result(const struct runner *runner, uint32_t o)
{
    return espy_runner_data_dependent(runner) ? runner->values[runner->graph->outputs[o].value].type
                                              : runner->first->plan.outputs[o].type;
}

espy_status espy_runner_read(const struct runner *runner, uint32_t o, void *elements)
{
    assert(!runner->running);
    const struct tensor *known;
    if (espy_runner_data_dependent(runner)) {
        known = &runner->values[runner->graph->outputs[o].value];
    } else {
        const struct plan_io *io = &runner->first->plan.outputs[o];
        if (io->constant == NULL)
            return espy_vk_program_read(runner->first->program, &io->view, elements);
        known = io->constant;
    }
    if (known->count > 0)
        memcpy(elements, known->data, espy_tensor_size(known));
    return ESPY_OK;
}
