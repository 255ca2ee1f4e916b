#include "support/run_graph.h"

#include <stdlib.h>
#include <string.h>

#include "support/poison.h"

struct vk_device_params espy_test_device_params(const struct host *host)
{
    const char *validation = getenv("ESPY_TEST_VALIDATION");
    const char *kernels = getenv("ESPY_TEST_KERNELS");
    return (struct vk_device_params){
        .host = host,
        .name = getenv("ESPY_TEST_DEVICE"),
        .validation = validation == NULL || strcmp(validation, "0") != 0,
        .gpu_kernels = kernels != NULL && strncmp(kernels, "gpu", 3) == 0,
        .no_matrices = kernels != NULL && strcmp(kernels, "gpu-plain") == 0,
        .few_registers = kernels != NULL && strcmp(kernels, "gpu-few") == 0};
}

espy_status espy_test_open_device(const struct host *host, bool float16_storage,
                                  struct vk_device **device)
{
    struct vk_device_params params = espy_test_device_params(host);
    params.float16_storage = float16_storage;
    params.hook = espy_test_poison;
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

void espy_test_type_sources(const struct graph *graph, struct op_source *sources)
{
    for (uint32_t i = 0; i < graph->input_count; i++) {
        const struct graph_value *value = &graph->values[graph->inputs[i].value];
        sources[i] = (struct op_source){.value = graph->inputs[i].value,
                                        .type = {value->dtype, value->shape}};
        for (uint32_t d = 0; d < value->shape.rank; d++)
            if (sources[i].type.shape.dims[d] < 0)
                sources[i].type.shape.dims[d] = 1;
    }
}

static espy_status allocate(struct tensor *tensor, struct arena *arena)
{
    if (!espy_shape_count(&tensor->type.shape, &tensor->count))
        return ESPY_OUT_OF_MEMORY;
    tensor->data = espy_arena_alloc(arena, espy_tensor_size(tensor));
    return tensor->data == NULL ? ESPY_OUT_OF_MEMORY : ESPY_OK;
}

espy_status espy_test_reference_values(const struct host *host, const struct graph *graph,
                                       const struct tensor *inputs, struct arena *arena,
                                       struct tensor *values)
{
    struct op_source *sources = espy_arena_array(arena, graph->input_count, sizeof(*sources));
    if (sources == NULL)
        return ESPY_OUT_OF_MEMORY;
    espy_test_sources(graph, inputs, true, sources);
    // With every input known, the walk computes everything.
    const struct op_walk_params params = {.sources = sources,
                                          .source_count = graph->input_count,
                                          .fold_elements_max = SIZE_MAX,
                                          .run_bodies = true};
    struct op_walk walk;
    TRY(espy_walk_init(&walk, host, graph, &params));
    for (uint32_t v = 0; v < graph->value_count; v++) {
        values[v] = walk.values[v];
        if (values[v].data != NULL)
            values[v].data = espy_arena_copy(arena, values[v].data, espy_tensor_size(&values[v]));
    }
    espy_walk_finish(&walk);
    return arena->failed ? ESPY_OUT_OF_MEMORY : ESPY_OK;
}

// Between two segments the host has seen to what is pending after the one and done before the other.
static void count_run(const struct runner *runner, struct test_run_info *info)
{
    *info = (struct test_run_info){0};
    for (const struct segment *s = runner->first; s != NULL; s = s->next) {
        const struct plan *plan = &s->plan;
        info->segment_count++;
        info->stage_count += plan->stage_count;
        info->dispatch_count += plan->dispatch_count;
        info->host_node_count += plan->host_node_count;
        for (uint32_t n = 0; n < plan->graph->node_count; n++)
            info->between_count += plan->pending[n] && (s->next == NULL || s->next->done[n]);
    }
}

// A runner that has run once.
static espy_status run(const struct runner_params *base, const struct tensor *inputs,
                       struct arena *arena, struct runner **runner)
{
    struct runner_params params = *base;
    struct op_type *types;
    TRY(input_types(params.graph, inputs, arena, &types));
    const void **data = espy_arena_array(arena, params.graph->input_count, sizeof(*data));
    if (data == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < params.graph->input_count; i++)
        data[i] = inputs[i].data;
    params.inputs = types;
    params.input_data = data;
    TRY(espy_runner_create(&params, runner));
    espy_status status = espy_runner_start(*runner, data);
    if (status == ESPY_OK)
        status = espy_runner_finish(*runner, UINT64_MAX);
    if (status != ESPY_OK)
        espy_runner_destroy(runner);
    return status;
}

espy_status espy_test_run(const struct host *host, struct vk_device *device,
                          const struct graph *graph, const struct tensor *inputs,
                          struct arena *arena, struct tensor *outputs, struct test_run_info *info)
{
    const struct runner_params params = {.host = host, .device = device, .graph = graph};
    struct runner *runner = NULL;
    TRY(run(&params, inputs, arena, &runner));
    espy_status status = ESPY_OK;
    for (uint32_t o = 0; o < graph->output_count && status == ESPY_OK; o++) {
        outputs[o].type = espy_runner_result(runner, o);
        status = allocate(&outputs[o], arena);
        if (status == ESPY_OK)
            status = espy_runner_read(runner, o, outputs[o].data);
    }
    if (status == ESPY_OK && info != NULL)
        count_run(runner, info);
    espy_runner_destroy(&runner);
    return status;
}

espy_status espy_test_run_values(const struct host *host, struct vk_device *device,
                                 const struct graph *graph, const struct tensor *inputs,
                                 struct arena *arena, struct tensor *values)
{
    const struct runner_params params = {
        .host = host, .device = device, .graph = graph, .keep_values = true};
    struct runner *runner = NULL;
    TRY(run(&params, inputs, arena, &runner));
    espy_status status = ESPY_OK;
    memset(values, 0, graph->value_count * sizeof(*values));
    for (const struct segment *s = runner->first; s != NULL; s = s->next) {
        for (uint32_t k = 0; status == ESPY_OK && k < s->plan.kept_count; k++) {
            struct tensor *value = &values[s->plan.kept[k].value];
            status = espy_segment_type(s, &s->plan.kept[k], &value->type);
            if (status == ESPY_OK)
                status = allocate(value, arena);
            if (status == ESPY_OK)
                status = espy_segment_read(s, &s->plan.kept[k], value);
        }
    }
    espy_runner_destroy(&runner);
    return status;
}
