#include "api/body.h"

#include "api/runner_cache.h"

enum {
    BODY_PLANS_MAX = 16,
    // Inputs and constants of a body with fewer elements than this are few enough that the
    // references are done before a submit would be.
    BODY_HOST_ELEMENTS_MAX = 4096
};

static bool is_small(const struct graph *body, const struct tensor *inputs)
{
    size_t elements = 0;
    for (uint32_t i = 0; i < body->input_count; i++)
        elements += inputs[i].count;
    for (uint32_t v = 0; v < body->value_count; v++) {
        size_t count;
        if (body->values[v].data != NULL && espy_shape_count(&body->values[v].shape, &count))
            elements += count;
    }
    return elements <= BODY_HOST_ELEMENTS_MAX;
}

static espy_status find_runner(struct runner *around, const struct graph *body,
                               const struct op_type *types, const void *const *data,
                               struct runner **runner)
{
    if (around->bodies == NULL) {
        struct runner_cache *made = espy_alloc(around->host, sizeof(*made));
        if (made == NULL)
            return espy_fail_memory(around->host, sizeof(*made), "plans");
        const espy_status status = espy_runner_cache_init(made, around->host, BODY_PLANS_MAX);
        if (status != ESPY_OK) {
            espy_free(around->host, made);
            return status;
        }
        around->bodies = made;
    }
    struct runner_params params = {.host = around->host,
                                   .device = around->device,
                                   .graph = body,
                                   .inputs = types,
                                   .input_data = data,
                                   .keep_values = around->keep_values,
                                   .float64_said = around->float64_said,
                                   .weights = around->weights,
                                   .choices = around->choices};
    if (around->memory_max != 0) { // at least 1, which nothing keeps: 0 would be no limit
        const uint64_t taken = espy_runner_memory(around);
        params.memory_max = taken < around->memory_max ? around->memory_max - taken : 1;
    }
    return espy_runner_cache_get(around->bodies, &params, runner);
}

static espy_status read_outputs(const struct runner *runner, struct arena *arena,
                                struct tensor *outputs)
{
    for (uint32_t o = 0; o < runner->graph->output_count; o++) {
        outputs[o] = (struct tensor){.type = espy_runner_result(runner, o)};
        espy_shape_count(&outputs[o].type.shape, &outputs[o].count); // espy_op_infer: it fits
        outputs[o].data = espy_arena_alloc(arena, espy_tensor_size(&outputs[o]));
        if (outputs[o].data == NULL)
            return ESPY_OUT_OF_MEMORY;
        TRY(espy_runner_read(runner, o, outputs[o].data));
    }
    return ESPY_OK;
}

espy_status espy_runner_run_body(struct op_control *c, const struct graph *body,
                                 const struct tensor *inputs, struct arena *arena,
                                 struct tensor *outputs)
{
    struct runner *around = c->run_user;
    if (is_small(body, inputs) && !around->keep_values) // values are kept to look at the device's
        return espy_graph_evaluate(c->host, body, inputs, arena, outputs);
    struct op_type *types = espy_arena_array(arena, body->input_count, sizeof(*types));
    const void **data = espy_arena_array(arena, body->input_count, sizeof(*data));
    if (types == NULL || data == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < body->input_count; i++) {
        types[i] = inputs[i].type;
        data[i] = inputs[i].data;
    }
    struct runner *runner;
    TRY(find_runner(around, body, types, data, &runner));
    runner->watch = around->watch;
    runner->watch_user = around->watch_user;
    TRY(espy_runner_start(runner, data));
    TRY(espy_runner_finish(runner, UINT64_MAX));
    if (around->watch != NULL)
        TRY(around->watch(around->watch_user, runner));
    return read_outputs(runner, arena, outputs);
}

void espy_runner_destroy_bodies(struct runner *runner)
{
    if (runner->bodies == NULL)
        return;
    espy_runner_cache_finish(runner->bodies);
    espy_free(runner->host, runner->bodies);
    runner->bodies = NULL;
}

uint64_t espy_runner_bodies_memory(const struct runner *runner)
{
    return runner->bodies == NULL ? 0 : espy_runner_cache_memory(runner->bodies);
}
