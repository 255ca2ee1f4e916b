#include "api/runner.h"

#include <assert.h>
#include <string.h>

// Gives every host node tensors on the host, once, so that runs allocate nothing for them.
static espy_status make_host_tensors(struct runner *runner)
{
    const struct plan *plan = &runner->plan;
    struct arena *memory = &runner->memory;
    runner->host_inputs =
        espy_arena_array(memory, plan->host_node_count, sizeof(*runner->host_inputs));
    runner->host_outputs =
        espy_arena_array(memory, plan->host_node_count, sizeof(*runner->host_outputs));
    if (runner->host_inputs == NULL || runner->host_outputs == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t h = 0; h < plan->host_node_count; h++) {
        const struct plan_host_node *node = &plan->host_nodes[h];
        struct tensor *inputs = espy_arena_array(memory, node->input_count, sizeof(*inputs));
        struct tensor *outputs = espy_arena_array(memory, node->output_count, sizeof(*outputs));
        if (inputs == NULL || outputs == NULL)
            return ESPY_OUT_OF_MEMORY;
        for (uint32_t i = 0; i < node->input_count + node->output_count; i++) {
            const bool is_input = i < node->input_count;
            const uint32_t k = is_input ? i : i - node->input_count;
            struct tensor *tensor = is_input ? &inputs[k] : &outputs[k];
            tensor->type = is_input ? node->input_types[k] : node->output_types[k];
            if (is_input && node->values[k].data != NULL) {
                *tensor = node->values[k];
                continue;
            }
            const struct view *view = is_input ? &node->inputs[k] : &node->outputs[k];
            if (view->buffer == VIEW_NONE)
                continue;
            tensor->count = espy_view_count(view);
            tensor->data = espy_arena_alloc(memory, espy_tensor_size(tensor));
            if (tensor->data == NULL)
                return ESPY_OUT_OF_MEMORY;
        }
        runner->host_inputs[h] = inputs;
        runner->host_outputs[h] = outputs;
    }
    return ESPY_OK;
}

static espy_status create(const struct runner_params *params, struct runner *runner)
{
    const struct plan_params plan = {.host = params->host,
                                     .graph = params->graph,
                                     .caps = espy_vk_device_caps(params->device),
                                     .inputs = params->inputs,
                                     .input_data = params->input_data,
                                     .keep_values = params->keep_values};
    TRY(espy_plan_build(&plan, &runner->plan));
    const uint64_t needed = runner->plan.arena_size + runner->plan.constants_size;
    if (params->memory_max != 0 && needed > params->memory_max)
        return espy_fail(params->host, ESPY_OUT_OF_MEMORY,
                         "these shapes need %llu bytes of device memory, the limit is %llu",
                         (unsigned long long)needed, (unsigned long long)params->memory_max);
    TRY(make_host_tensors(runner));
    return espy_vk_program_create(params->device, &runner->plan, &runner->program);
}

espy_status espy_runner_create(const struct runner_params *params, struct runner **runner)
{
    struct runner *made = espy_alloc(params->host, sizeof(*made));
    if (made == NULL)
        return espy_fail_memory(params->host, sizeof(*made), "a plan");
    made->host = params->host;
    espy_arena_init(&made->memory, params->host);
    const espy_status status = create(params, made);
    if (status != ESPY_OK)
        espy_runner_destroy(&made);
    else
        *runner = made;
    return status;
}

void espy_runner_destroy(struct runner **runner)
{
    if (*runner == NULL)
        return;
    espy_vk_program_destroy(&(*runner)->program);
    espy_plan_finish(&(*runner)->plan);
    espy_arena_finish(&(*runner)->memory);
    espy_free((*runner)->host, *runner);
    *runner = NULL;
}

static espy_status run_host_node(struct runner *runner, uint32_t index)
{
    const struct plan_host_node *node = &runner->plan.host_nodes[index];
    struct tensor *inputs = runner->host_inputs[index], *outputs = runner->host_outputs[index];
    for (uint32_t i = 0; i < node->input_count; i++)
        if (node->inputs[i].buffer != VIEW_NONE)
            TRY(espy_vk_program_read(runner->program, &node->inputs[i], inputs[i].data));
    TRY(espy_op_evaluate(runner->host, &runner->plan.walk.nodes[node->node], inputs,
                         node->input_count, outputs, node->output_count));
    for (uint32_t o = 0; o < node->output_count; o++)
        if (node->outputs[o].buffer != VIEW_NONE)
            TRY(espy_vk_program_write(runner->program, &node->outputs[o], outputs[o].data));
    return ESPY_OK;
}

espy_status espy_runner_start(struct runner *runner, const void *const *inputs)
{
    assert(!runner->running);
    const struct graph *graph = runner->plan.graph;
    for (uint32_t i = 0; i < graph->input_count; i++)
        if (runner->plan.inputs[i].constant == NULL)
            TRY(espy_vk_program_write(runner->program, &runner->plan.inputs[i].view,
                                      inputs[i]));
    runner->stage = 0;
    TRY(espy_vk_program_submit(runner->program, 0));
    runner->running = true;
    return ESPY_OK;
}

static espy_status drive(struct runner *runner, uint64_t timeout_ns)
{
    for (;;) {
        TRY(espy_vk_program_wait(runner->program, timeout_ns));
        if (runner->stage + 1 == runner->plan.stage_count)
            return ESPY_OK;
        runner->stage++;
        TRY(run_host_node(runner, runner->plan.stages[runner->stage].host_node));
        TRY(espy_vk_program_submit(runner->program, runner->stage));
    }
}

espy_status espy_runner_finish(struct runner *runner, uint64_t timeout_ns, void *const *outputs)
{
    assert(runner->running);
    const espy_status status = drive(runner, timeout_ns);
    if (status == ESPY_TIMEOUT)
        return status;
    runner->running = false;
    TRY(status);
    for (uint32_t o = 0; o < runner->plan.graph->output_count; o++) {
        const struct plan_io *io = &runner->plan.outputs[o];
        if (outputs[o] == NULL)
            continue;
        if (io->constant != NULL)
            memcpy(outputs[o], io->constant->data, espy_tensor_size(io->constant));
        else
            TRY(espy_vk_program_read(runner->program, &io->view, outputs[o]));
    }
    return ESPY_OK;
}

espy_status espy_runner_read_kept(struct runner *runner, uint32_t kept, void *elements)
{
    assert(kept < runner->plan.kept_count);
    return espy_vk_program_read(runner->program, &runner->plan.kept[kept].view, elements);
}
