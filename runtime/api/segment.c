#include "api/segment.h"

#include <string.h>

// Gives every host node tensors on the host, once, so that runs allocate nothing for them.
static espy_status make_host_tensors(struct segment *segment)
{
    const struct plan *plan = &segment->plan;
    struct arena *memory = &segment->memory;
    segment->host_inputs =
        espy_arena_array(memory, plan->host_node_count, sizeof(*segment->host_inputs));
    segment->host_outputs =
        espy_arena_array(memory, plan->host_node_count, sizeof(*segment->host_outputs));
    if (segment->host_inputs == NULL || segment->host_outputs == NULL)
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
        segment->host_inputs[h] = inputs;
        segment->host_outputs[h] = outputs;
    }
    return ESPY_OK;
}

// Room on the host for what the plan delivers.
static espy_status make_delivered(struct segment *segment)
{
    const struct plan *plan = &segment->plan;
    segment->delivered =
        espy_arena_array(&segment->memory, plan->output_count, sizeof(*segment->delivered));
    if (segment->delivered == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t o = 0; o < plan->output_count; o++) {
        struct tensor *tensor = &segment->delivered[o];
        if (plan->outputs[o].constant != NULL) {
            *tensor = *plan->outputs[o].constant;
            continue;
        }
        if (plan->outputs[o].counted)
            continue;
        tensor->type = plan->outputs[o].type;
        tensor->count = espy_view_count(&plan->outputs[o].view);
        tensor->data = espy_arena_alloc(&segment->memory, espy_tensor_size(tensor));
        if (tensor->data == NULL)
            return ESPY_OUT_OF_MEMORY;
    }
    return ESPY_OK;
}

static espy_status keep_key(struct segment *segment, const struct plan_params *params)
{
    struct arena *memory = &segment->memory;
    segment->sources =
        espy_arena_copy(memory, params->sources, params->source_count * sizeof(*segment->sources));
    if (segment->sources == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < params->source_count; i++)
        segment->sources[i].data = NULL; // the caller's; what matters of it is in the plan
    if (params->done == NULL)
        return ESPY_OK;
    segment->done =
        espy_arena_copy(memory, params->done, params->graph->node_count * sizeof(*segment->done));
    return segment->done == NULL ? ESPY_OUT_OF_MEMORY : ESPY_OK;
}

uint64_t espy_segment_memory(const struct segment *segment)
{
    return segment->plan.arena_size + segment->plan.constants_size;
}

// Once per session, whatever its plans.
static void warn_of_float64(const struct segment_params *params, const struct plan *plan)
{
    if (plan->float64_node == GRAPH_NONE || params->float64_said == NULL || *params->float64_said)
        return;
    *params->float64_said = true;
    espy_log(params->host, ESPY_LOG_WARNING,
             "float64 is computed as float32 on the device, from node '%s' on",
             plan->graph->nodes[plan->float64_node].name);
}

static espy_status create(const struct segment_params *params, struct segment *segment)
{
    struct plan_params plan = params->plan;
    plan.caps = espy_vk_device_caps(params->device);
    TRY(espy_plan_build(&plan, &segment->plan));
    warn_of_float64(params, &segment->plan);
    const uint64_t needed = espy_segment_memory(segment) + segment->plan.transient_size;
    if (params->memory_max != 0 && needed > params->memory_max)
        return espy_fail(params->host, ESPY_OUT_OF_MEMORY,
                         "these shapes need %llu bytes of device memory, the limit is %llu",
                         (unsigned long long)needed, (unsigned long long)params->memory_max);
    TRY(keep_key(segment, &plan));
    TRY(make_host_tensors(segment));
    if (params->later || segment->plan.pending_count > 0 || segment->plan.counted_count > 0)
        TRY(make_delivered(segment));
    return espy_vk_program_create(params->device, &segment->plan, params->weights,
                                  &segment->program);
}

espy_status espy_segment_create(const struct segment_params *params, struct segment **segment)
{
    struct segment *made = espy_alloc(params->host, sizeof(*made));
    if (made == NULL)
        return espy_fail_memory(params->host, sizeof(*made), "a plan");
    made->host = params->host;
    espy_arena_init(&made->memory, params->host);
    const espy_status status = create(params, made);
    if (status != ESPY_OK)
        espy_segment_destroy(&made);
    else
        *segment = made;
    return status;
}

void espy_segment_destroy(struct segment **segment)
{
    if (*segment == NULL)
        return;
    espy_vk_program_destroy(&(*segment)->program);
    espy_plan_finish(&(*segment)->plan);
    espy_arena_finish(&(*segment)->memory);
    espy_free((*segment)->host, *segment);
    *segment = NULL;
}

bool espy_segment_fits(const struct segment *segment, const struct op_source *sources,
                       uint32_t source_count, const bool *done)
{
    const struct plan *plan = &segment->plan;
    if (plan->input_count != source_count ||
        memcmp(segment->done, done, plan->graph->node_count * sizeof(*done)) != 0)
        return false;
    for (uint32_t i = 0; i < source_count; i++) {
        const struct op_source *own = &segment->sources[i];
        const struct tensor *known = &plan->input_values[i];
        if (own->value != sources[i].value || own->type.dtype != sources[i].type.dtype ||
            !espy_shape_equal(&own->type.shape, &sources[i].type.shape) ||
            (known->data != NULL &&
             memcmp(known->data, sources[i].data, espy_tensor_size(known)) != 0))
            return false;
    }
    return true;
}

espy_status espy_segment_type(const struct segment *segment, const struct plan_io *io,
                              struct op_type *type)
{
    *type = io->type;
    if (!io->counted)
        return ESPY_OK;
    uint32_t count = 0;
    TRY(espy_vk_program_read(segment->program, &io->count, &count));
    int64_t *dim = &type->shape.dims[io->counted_dim];
    if (count > *dim)
        return espy_fail(
            segment->host, ESPY_VULKAN_ERROR,
            "the device counts %u where there are %lld at most: its driver is at fault", count,
            (long long)*dim);
    *dim = count;
    return ESPY_OK;
}

espy_status espy_segment_read(const struct segment *segment, const struct plan_io *io,
                              struct tensor *tensor)
{
    const struct view view = espy_view_reshaped_dense(&io->view, &tensor->type.shape);
    return espy_vk_program_read(segment->program, &view, tensor->data);
}

espy_status espy_segment_run_host_node(struct segment *segment, uint32_t index)
{
    const struct plan_host_node *node = &segment->plan.host_nodes[index];
    struct tensor *inputs = segment->host_inputs[index], *outputs = segment->host_outputs[index];
    for (uint32_t i = 0; i < node->input_count; i++)
        if (node->inputs[i].buffer != VIEW_NONE)
            TRY(espy_vk_program_read(segment->program, &node->inputs[i], inputs[i].data));
    TRY(espy_op_evaluate(segment->host, &segment->plan.walk.nodes[node->node], inputs,
                         node->input_count, outputs, node->output_count));
    for (uint32_t o = 0; o < node->output_count; o++)
        if (node->outputs[o].buffer != VIEW_NONE)
            TRY(espy_vk_program_write(segment->program, &node->outputs[o], outputs[o].data));
    return ESPY_OK;
}
