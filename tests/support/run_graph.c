#include "support/run_graph.h"

#include <stdlib.h>
#include <string.h>

espy_status espy_test_open_device(const struct host *host, bool float16_storage,
                                  struct vk_device **device)
{
    const char *validation = getenv("ESPY_TEST_VALIDATION");
    const struct vk_device_params params = {
        .host = host,
        .name = getenv("ESPY_TEST_DEVICE"),
        .validation = validation == NULL || strcmp(validation, "0") != 0,
        .float16_storage = float16_storage};
    return espy_vk_device_create(&params, device);
}

static espy_status input_types(const struct graph *graph, const struct tensor *inputs,
                               struct arena *arena, struct op_type **types)
{
    *types = espy_arena_array(arena, graph->input_count, sizeof(**types));
    for (uint32_t i = 0; *types != NULL && i < graph->input_count; i++)
        (*types)[i] = inputs[i].type;
    return *types == NULL ? ESPY_OUT_OF_MEMORY : ESPY_OK;
}

void espy_test_sources(const struct graph *graph, const struct tensor *inputs, bool known,
                       struct op_source *sources)
{
    for (uint32_t i = 0; i < graph->input_count; i++)
        sources[i] = (struct op_source){graph->inputs[i].value, inputs[i].type, inputs[i].data,
                                        known && inputs[i].data != NULL};
}

static espy_status allocate(struct tensor *tensor, struct arena *arena)
{
    if (!espy_shape_count(&tensor->type.shape, &tensor->count))
        return ESPY_OUT_OF_MEMORY;
    tensor->data = espy_arena_alloc(arena, espy_tensor_size(tensor));
    return tensor->data == NULL ? ESPY_OUT_OF_MEMORY : ESPY_OK;
}

espy_status espy_test_run(const struct host *host, struct vk_device *device,
                          const struct graph *graph, const struct tensor *inputs,
                          struct arena *arena, struct tensor *outputs, struct test_run_info *info)
{
    struct op_type *types;
    TRY(input_types(graph, inputs, arena, &types));
    const void **input_data = espy_arena_array(arena, graph->input_count, sizeof(*input_data));
    if (input_data == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < graph->input_count; i++)
        input_data[i] = inputs[i].data;
    struct runner *runner = NULL;
    const struct runner_params params = {.host = host,
                                         .device = device,
                                         .graph = graph,
                                         .inputs = types,
                                         .input_data = input_data};
    TRY(espy_runner_create(&params, &runner));
    espy_status status = espy_runner_start(runner, input_data);
    if (status == ESPY_OK)
        status = espy_runner_finish(runner, UINT64_MAX);
    for (uint32_t o = 0; o < graph->output_count && status == ESPY_OK; o++) {
        outputs[o].type = espy_runner_result(runner, o);
        status = allocate(&outputs[o], arena);
        if (status == ESPY_OK)
            status = espy_runner_read(runner, o, outputs[o].data);
    }
    const struct plan *plan = &runner->first->plan;
    if (info != NULL)
        *info = (struct test_run_info){.stage_count = plan->stage_count,
                                       .host_node_count = plan->host_node_count,
                                       .dispatch_count = plan->dispatch_count};
    for (struct segment *s = runner->first; status == ESPY_OK && info != NULL && s != NULL;
         s = s->next)
        info->segment_count++;
    espy_runner_destroy(&runner);
    return status;
}
