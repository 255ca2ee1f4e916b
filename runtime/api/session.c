#include "api/session.h"

#include "api/tune.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { PLANS_DEFAULT = 8 };

// ---- inputs ----------------------------------------------------------------------------------------

static const char *dims_text(const int64_t *dims, uint32_t rank, char *buffer, size_t size)
{
    struct shape shape = {.rank = rank};
    memcpy(shape.dims, dims, rank * sizeof(*dims));
    return espy_shape_text(&shape, buffer, size);
}

// One symbol stands for one number in all inputs of a call.
static espy_status check_symbols(const espy_session *session, uint32_t index)
{
    const struct graph *graph = session->graph;
    const struct graph_value *value = &graph->values[graph->inputs[index].value];
    for (uint32_t d = 0; d < value->shape.rank; d++) {
        const char *symbol = espy_graph_symbol(value, d);
        for (uint32_t i = 0; symbol != NULL && i <= index; i++) {
            const struct graph_value *other = &graph->values[graph->inputs[i].value];
            for (uint32_t k = 0; k < other->shape.rank; k++) {
                const char *same = espy_graph_symbol(other, k);
                if (same == NULL || strcmp(same, symbol) != 0)
                    continue;
                const int64_t a = session->types[index].shape.dims[d];
                const int64_t b = session->types[i].shape.dims[k];
                if (a != b)
                    return espy_fail(&session->host, ESPY_INVALID_ARGUMENT,
                                     "dimension '%s' is %" PRId64 " in input '%s' and %" PRId64
                                     " in input '%s'", symbol, a, value->name, b, other->name);
            }
        }
    }
    return ESPY_OK;
}

static espy_status check_input(espy_session *session, uint32_t index,
                               const struct espy_tensor *tensor, bool with_data)
{
    const struct host *host = &session->host;
    const struct graph *graph = session->graph;
    const struct graph_value *value = &graph->values[graph->inputs[index].value];
    if (tensor->dtype != value->dtype)
        return espy_fail(host, ESPY_INVALID_ARGUMENT, "input '%s' is %s, the model takes %s",
                         value->name, espy_dtype_name(tensor->dtype),
                         espy_dtype_name(value->dtype));
    bool fits = tensor->rank == value->shape.rank;
    for (uint32_t d = 0; fits && d < tensor->rank; d++)
        fits = tensor->dims[d] >= 0 && (value->shape.dims[d] < 0 ||
                                        value->shape.dims[d] == tensor->dims[d]);
    if (!fits) {
        char given[160], wanted[160];
        return espy_fail(
            host, ESPY_INVALID_ARGUMENT, "input '%s' has shape %s, the model takes %s",
            value->name,
            dims_text(tensor->dims, tensor->rank <= ESPY_RANK_MAX ? tensor->rank : 0, given,
                      sizeof(given)),
            espy_shape_text(&value->shape, wanted, sizeof(wanted)));
    }
    struct op_type *type = &session->types[index];
    *type = (struct op_type){.dtype = tensor->dtype, .shape = {.rank = tensor->rank}};
    memcpy(type->shape.dims, tensor->dims, tensor->rank * sizeof(*tensor->dims));
    size_t count, size;
    if (!espy_shape_count(&type->shape, &count) || !espy_dtype_data_size(type->dtype, count, &size))
        return espy_fail(host, ESPY_INVALID_ARGUMENT, "input '%s' is too large", value->name);
    if (with_data && (tensor->size != size || (tensor->data == NULL && size > 0)))
        return espy_fail(host, ESPY_INVALID_ARGUMENT,
                         "input '%s' needs %zu bytes of data, %zu are given", value->name, size,
                         tensor->data == NULL ? 0 : tensor->size);
    static const char nothing = 0; // NULL would say that the elements are not at hand
    session->input_data[index] = size == 0             ? &nothing
                                 : tensor->size == size ? tensor->data
                                                        : NULL;
    return check_symbols(session, index);
}

static espy_status check_inputs(espy_session *session, const struct espy_tensor *inputs,
                                uint32_t input_count, bool with_data)
{
    const struct graph *graph = session->graph;
    if (inputs == NULL && input_count > 0)
        return espy_fail(&session->host, ESPY_INVALID_ARGUMENT, "inputs is NULL");
    for (uint32_t k = 0; k < input_count; k++) {
        bool known = false;
        for (uint32_t i = 0; inputs[k].name != NULL && i < graph->input_count; i++)
            known = known || strcmp(graph->values[graph->inputs[i].value].name,
                                    inputs[k].name) == 0;
        if (!known)
            return espy_fail(&session->host, ESPY_INVALID_ARGUMENT, "the model has no input '%s'",
                             inputs[k].name != NULL ? inputs[k].name : "(NULL)");
    }
    for (uint32_t i = 0; i < graph->input_count; i++) {
        const char *name = graph->values[graph->inputs[i].value].name;
        const struct espy_tensor *found = NULL;
        for (uint32_t k = 0; k < input_count; k++) {
            if (strcmp(inputs[k].name, name) != 0)
                continue;
            if (found != NULL)
                return espy_fail(&session->host, ESPY_INVALID_ARGUMENT,
                                 "input '%s' is given twice", name);
            found = &inputs[k];
        }
        if (found == NULL)
            return espy_fail(&session->host, ESPY_INVALID_ARGUMENT, "input '%s' is not given",
                             name);
        TRY(check_input(session, i, found, with_data));
    }
    return ESPY_OK;
}

// ---- plans -----------------------------------------------------------------------------------------

static espy_status find_plan(espy_session *session, struct runner **runner)
{
    const struct runner_params params = {.host = &session->host,
                                         .device = session->device->vk,
                                         .graph = session->graph,
                                         .inputs = session->types,
                                         .input_data = session->input_data,
                                         .keep_values = session->keep_values,
                                         .memory_max = session->memory_max,
                                         .float64_said = &session->float64_said,
                                         .weights = session->weights,
                                         .choices = &session->choices};
    if (session->tune != ESPY_TUNE_OFF && !espy_runner_cache_has(&session->plans, &params))
        TRY(espy_tune_session(session));
    return espy_runner_cache_get(&session->plans, &params, runner);
}

espy_status espy_session_prepare(espy_session *session, const struct espy_tensor *inputs,
                                 uint32_t input_count, bool with_data, struct runner **runner)
{
    if (session == NULL)
        return ESPY_INVALID_ARGUMENT; // there is no log to say it in
    if (session->running != NULL)
        return espy_fail(&session->host, ESPY_INVALID_ARGUMENT,
                         "a run of this session is in flight: espy_session_wait for it first");
    TRY(check_inputs(session, inputs, input_count, with_data));
    return find_plan(session, runner);
}

// ---- session ---------------------------------------------------------------------------------------

// Planning at creation needs shapes that the file alone decides.
static bool static_inputs(const struct graph *graph)
{
    for (uint32_t i = 0; i < graph->input_count; i++) {
        const struct graph_value *value = &graph->values[graph->inputs[i].value];
        for (uint32_t d = 0; d < value->shape.rank; d++)
            if (value->shape.dims[d] < 0)
                return false;
    }
    return true;
}

// Sets *waits when some shape depends on elements of an input, so that planning needs a run's data.
static espy_status shapes_wait(espy_session *session, bool *waits)
{
    const struct graph *graph = session->graph;
    struct arena scratch;
    struct op_walk walk = {.host = NULL};
    espy_arena_init(&scratch, &session->host);
    bool *known = espy_arena_array(&scratch, graph->value_count, sizeof(*known));
    bool *needed = espy_arena_array(&scratch, graph->value_count, sizeof(*needed));
    const struct op_walk_params params = {.fold_elements_max = PLAN_FOLD_ELEMENTS_MAX};
    espy_status status = ESPY_OUT_OF_MEMORY;
    if (known != NULL && needed != NULL)
        status = espy_walk_init(&walk, &session->host, graph, &params);
    for (uint32_t i = 0; status == ESPY_OK && i < graph->input_count; i++)
        known[graph->inputs[i].value] = true;
    if (status == ESPY_OK)
        espy_walk_awaited(&walk, PLAN_FOLD_ELEMENTS_MAX, known, needed);
    for (uint32_t i = 0; status == ESPY_OK && i < graph->input_count; i++)
        *waits = *waits || needed[graph->inputs[i].value];
    espy_walk_finish(&walk);
    espy_arena_finish(&scratch);
    return status;
}

static espy_status plan_static(espy_session *session)
{
    const struct graph *graph = session->graph;
    bool waits = false;
    TRY(shapes_wait(session, &waits));
    if (waits)
        return ESPY_OK;
    for (uint32_t i = 0; i < graph->input_count; i++) {
        const struct graph_value *value = &graph->values[graph->inputs[i].value];
        session->types[i] = (struct op_type){value->dtype, value->shape};
    }
    struct runner *runner;
    return find_plan(session, &runner);
}

static espy_status make_lists(espy_session *session)
{
    const struct host *host = &session->host;
    const struct graph *graph = session->graph;
    session->types = espy_alloc_array(host, graph->input_count + 1u, sizeof(*session->types));
    session->input_data =
        espy_alloc_array(host, graph->input_count + 1u, sizeof(*session->input_data));
    session->rooms = espy_alloc_array(host, graph->output_count + 1u, sizeof(*session->rooms));
    if (session->types == NULL || session->input_data == NULL ||
        session->rooms == NULL)
        return espy_fail_memory(host, sizeof(*session), "a session");
    return ESPY_OK;
}

// The device has the weights: their pages of the file would be a second copy in memory.
static void forget_pages(void *user, const void *data, size_t size)
{
    espy_format_file_forget(user, data, size);
}

static espy_status show_sites(espy_session *session, const struct espy_session_params *params)
{
    TRY(espy_site_maps_init(&session->maps, &session->host, &session->model->graph, params));
    session->graph = &session->maps.graph;
    return ESPY_OK;
}

espy_status espy_session_create(espy_device *device, espy_model *model,
                                const struct espy_session_params *params, espy_session **session)
{
    if (device == NULL)
        return ESPY_INVALID_ARGUMENT;
    if (model == NULL || session == NULL)
        return espy_fail(&device->host, ESPY_INVALID_ARGUMENT, "espy_session_create: %s is NULL",
                         model == NULL ? "model" : "session");
    struct espy_session_params known;
    READ_PARAMS(&known, params);
    if (known.tune != ESPY_TUNE_OFF && known.tune != ESPY_TUNE_NEW && known.tune != ESPY_TUNE_AGAIN)
        return espy_fail(&device->host, ESPY_INVALID_ARGUMENT,
                         "espy_session_create: tune is %d, which is none of espy_tune",
                         (int)known.tune);
    espy_session *made = espy_alloc(&device->host, sizeof(*made));
    if (made == NULL)
        return espy_fail_memory(&device->host, sizeof(*made), "a session");
    made->host = device->host;
    made->device = device;
    made->model = model;
    made->keep_values = known.keep_values;
    made->memory_max = known.memory_max;
    made->tune = known.tune;
    made->tuned = known.tuned;
    made->tune_user = known.tune_user;
    espy_choices_init(&made->choices, &made->host);
    made->graph = &model->graph;
    const uint32_t plans_max = known.plans_max != 0 ? known.plans_max : PLANS_DEFAULT;
    espy_status status = espy_runner_cache_init(&made->plans, &made->host, plans_max);
    if (status == ESPY_OK && known.attention_count > 0)
        status = show_sites(made, &known);
    if (status == ESPY_OK)
        status = espy_vk_weights_create(device->vk, &made->weights);
    if (status == ESPY_OK && made->tune != ESPY_TUNE_AGAIN)
        status = espy_tune_load(device->vk, &made->choices);
    if (status == ESPY_OK) {
        espy_vk_weights_on_read(made->weights, forget_pages, (void *)(uintptr_t)&model->file);
        status = make_lists(made);
    }
    if (status == ESPY_OK && static_inputs(made->graph))
        status = plan_static(made);
    if (status != ESPY_OK) {
        espy_session_destroy(&made);
        return status;
    }
    *session = made;
    return ESPY_OK;
}

void espy_session_destroy(espy_session **session)
{
    if (session == NULL || *session == NULL)
        return;
    espy_session *old = *session;
    const struct host host = old->host;
    espy_runner_cache_finish(&old->plans);
    espy_vk_weights_destroy(&old->weights);
    espy_choices_finish(&old->choices);
    espy_free(&host, old->types);
    espy_free(&host, old->input_data);
    for (uint32_t o = 0; old->rooms != NULL && o < old->graph->output_count; o++)
        espy_free(&host, old->rooms[o].data);
    espy_free(&host, old->rooms);
    espy_site_maps_finish(&old->maps);
    espy_free(&host, old);
    *session = NULL;
}

static void fill_type(const struct op_type *type, struct espy_tensor *tensor)
{
    tensor->dtype = type->dtype;
    tensor->rank = type->shape.rank;
    memcpy(tensor->dims, type->shape.dims, sizeof(tensor->dims));
}

static size_t size_of(const struct op_type *type)
{
    size_t count = 0, size = 0;
    espy_shape_count(&type->shape, &count); // cannot overflow: espy_op_infer checked it
    espy_dtype_data_size(type->dtype, count, &size);
    return size;
}

// What is known of an output before a run: at least what the file says.
static void fill_planned(const struct runner *runner, uint32_t o, struct espy_tensor *tensor)
{
    const struct graph_value *value = &runner->graph->values[runner->graph->outputs[o].value];
    const struct op_type type = espy_runner_planned(runner, o);
    *tensor = (struct espy_tensor){.name = value->name};
    if (type.dtype != ESPY_DTYPE_NONE) {
        fill_type(&type, tensor);
        tensor->size = size_of(&type);
        return;
    }
    tensor->dtype = value->dtype;
    tensor->rank = value->has_shape ? value->shape.rank : 0;
    for (uint32_t d = 0; d < ESPY_RANK_MAX; d++)
        tensor->dims[d] = -1;
}

espy_status espy_session_plan(espy_session *session, const struct espy_tensor *inputs,
                              uint32_t input_count, struct espy_plan_info *info,
                              struct espy_tensor *outputs)
{
    struct runner *runner;
    TRY(espy_session_prepare(session, inputs, input_count, false, &runner));
    const struct plan *plan = &runner->first->plan;
    struct plan_traffic traffic;
    espy_plan_traffic(plan, &traffic);
    if (info != NULL)
        *info =
            (struct espy_plan_info){.memory_size = espy_vk_program_memory(runner->first->program),
                                    .weights_size = plan->constants_size,
                                    .stage_count = plan->stage_count,
                                    .dispatch_count = plan->dispatch_count,
                                    .host_node_count = plan->host_node_count,
                                    .read_size = traffic.read,
                                    .written_size = traffic.written,
                                    .weights_read_size = traffic.weights,
                                    .data_dependent = espy_runner_data_dependent(runner),
                                    .float64_as_float32 = plan->float64_node != GRAPH_NONE};
    for (uint32_t o = 0; outputs != NULL && o < session->model->graph.output_count; o++)
        fill_planned(runner, o, &outputs[o]);
    return ESPY_OK;
}

espy_status espy_session_plan_text(espy_session *session, const struct espy_tensor *inputs,
                                   uint32_t input_count, char **text)
{
    struct runner *runner;
    if (session != NULL && text == NULL)
        return espy_fail(&session->host, ESPY_INVALID_ARGUMENT,
                         "espy_session_plan_text: text is NULL");
    TRY(espy_session_prepare(session, inputs, input_count, false, &runner));
    struct text made;
    espy_text_init(&made, &session->host);
    espy_plan_print(&runner->first->plan, &made);
    if (made.failed) {
        espy_text_finish(&made);
        return ESPY_OUT_OF_MEMORY;
    }
    *text = made.chars;
    return ESPY_OK;
}

void espy_text_free(espy_session *session, char **text)
{
    if (session == NULL || text == NULL)
        return;
    espy_free(&session->host, *text);
    *text = NULL;
}

// ---- run -------------------------------------------------------------------------------------------

// Index in the graph of the output, or map, that the caller names; output_count when there is none.
static uint32_t find_output(const espy_session *session, const struct espy_tensor *tensor)
{
    const struct graph *graph = session->graph;
    const char *name = tensor->name;
    for (uint32_t o = 0; name != NULL && o < session->model->graph.output_count; o++)
        if (strcmp(graph->values[graph->outputs[o].value].name, name) == 0)
            return o;
    for (uint32_t i = 0; name != NULL && i < session->maps.count; i++)
        if (strcmp(session->maps.sites[i]->name, name) == 0)
            return session->maps.outputs[i];
    return graph->output_count;
}

// true: the session is asked for memory.
static bool without_room(const struct espy_tensor *tensor)
{
    return tensor->data == NULL && tensor->size == 0;
}

static espy_status check_room(const espy_session *session, const struct espy_tensor *tensor,
                              size_t needed)
{
    if (without_room(tensor) || (tensor->size >= needed && (tensor->data != NULL || needed == 0)))
        return ESPY_OK;
    return espy_fail(&session->host, ESPY_INVALID_ARGUMENT,
                     "output '%s' needs room for %zu bytes, %zu are given", tensor->name, needed,
                     tensor->data == NULL ? 0 : tensor->size);
}

static espy_status check_outputs(espy_session *session, const struct runner *runner,
                                 const struct espy_tensor *outputs, uint32_t output_count)
{
    if (outputs == NULL && output_count > 0)
        return espy_fail(&session->host, ESPY_INVALID_ARGUMENT, "outputs is NULL");
    for (uint32_t k = 0; k < output_count; k++) {
        const uint32_t o = find_output(session, &outputs[k]);
        if (o == session->graph->output_count)
            return espy_fail(&session->host, ESPY_INVALID_ARGUMENT, "the model has no output '%s'",
                             outputs[k].name != NULL ? outputs[k].name : "(NULL)");
        for (uint32_t i = 0; i < k; i++)
            if (strcmp(outputs[i].name, outputs[k].name) == 0)
                return espy_fail(&session->host, ESPY_INVALID_ARGUMENT,
                                 "output '%s' is given twice", outputs[k].name);
        const struct op_type type = espy_runner_planned(runner, o);
        if (type.dtype != ESPY_DTYPE_NONE) // else checked when the run knows
            TRY(check_room(session, &outputs[k], size_of(&type)));
    }
    return ESPY_OK;
}

static espy_status grow_room(espy_session *session, uint32_t o, size_t size)
{
    struct session_room *room = &session->rooms[o];
    if (room->data != NULL && room->size >= size)
        return ESPY_OK;
    void *data = espy_alloc(&session->host, size > 0 ? size : 1);
    if (data == NULL)
        return espy_fail_memory(&session->host, size, "an output");
    espy_free(&session->host, room->data);
    *room = (struct session_room){data, size};
    return ESPY_OK;
}

// Hands out what a finished run has made, once it is sure that all of it fits.
static espy_status read_outputs(espy_session *session, const struct runner *runner)
{
    for (uint32_t k = 0; k < session->output_count; k++) {
        const struct espy_tensor *tensor = &session->outputs[k];
        const uint32_t o = find_output(session, tensor);
        const struct op_type type = espy_runner_result(runner, o);
        TRY(check_room(session, tensor, size_of(&type)));
        if (without_room(tensor))
            TRY(grow_room(session, o, size_of(&type)));
    }
    for (uint32_t k = 0; k < session->output_count; k++) {
        struct espy_tensor *tensor = &session->outputs[k];
        const uint32_t o = find_output(session, tensor);
        const struct op_type type = espy_runner_result(runner, o);
        const bool own = without_room(tensor);
        TRY(espy_runner_read(runner, o, own ? session->rooms[o].data : tensor->data));
        if (own) {
            tensor->data = session->rooms[o].data;
            tensor->size = size_of(&type);
        }
        fill_type(&type, tensor);
    }
    return ESPY_OK;
}

espy_status espy_session_submit(espy_session *session, const struct espy_tensor *inputs,
                                uint32_t input_count, struct espy_tensor *outputs,
                                uint32_t output_count, espy_ticket *ticket)
{
    struct runner *runner;
    if (session != NULL && ticket == NULL)
        return espy_fail(&session->host, ESPY_INVALID_ARGUMENT,
                         "espy_session_submit: ticket is NULL");
    TRY(espy_session_prepare(session, inputs, input_count, true, &runner));
    TRY(check_outputs(session, runner, outputs, output_count));
    TRY(espy_runner_start(runner, session->input_data));
    session->running = runner;
    session->outputs = outputs;
    session->output_count = output_count;
    *ticket = ++session->ticket;
    return ESPY_OK;
}

espy_status espy_session_wait(espy_session *session, espy_ticket ticket, uint64_t timeout_ns)
{
    if (session == NULL)
        return ESPY_INVALID_ARGUMENT;
    if (session->running == NULL || ticket != session->ticket)
        return espy_fail(&session->host, ESPY_INVALID_ARGUMENT,
                         "ticket %llu is not of a run in flight", (unsigned long long)ticket);
    struct runner *runner = session->running;
    const espy_status status = espy_runner_finish(runner, timeout_ns);
    if (status == ESPY_TIMEOUT)
        return status;
    session->running = NULL;
    TRY(status);
    return read_outputs(session, runner);
}

espy_status espy_session_run(espy_session *session, const struct espy_tensor *inputs,
                             uint32_t input_count, struct espy_tensor *outputs,
                             uint32_t output_count)
{
    espy_ticket ticket;
    TRY(espy_session_submit(session, inputs, input_count, outputs, output_count, &ticket));
    return espy_session_wait(session, ticket, UINT64_MAX);
}
