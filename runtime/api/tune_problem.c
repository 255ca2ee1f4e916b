#include "api/tune_problem.h"

#include <string.h>
#include <time.h>

// ---- elements -----------------------------------------------------------------------------------

// Floats from -1 to 1; booleans that let everything through; integers 0, which index anything.
static void *make_elements(struct tune_problem *problem, struct tensor *tensor)
{
    static const uint32_t multiplier = 1664525, increment = 1013904223;
    uint32_t random = 1;
    tensor->data = espy_arena_alloc(&problem->memory, espy_tensor_size(tensor));
    if (tensor->data == NULL)
        return NULL;
    const bool is_float = espy_dtype_is_float(tensor->type.dtype);
    for (size_t i = 0; is_float && i < tensor->count; i++) {
        random = random * multiplier + increment;
        espy_tensor_set_number(tensor, i, (double)(int32_t)random * 0x1p-31);
    }
    for (size_t i = 0; tensor->type.dtype == ESPY_BOOL && i < tensor->count; i++)
        espy_tensor_set_integer(tensor, i, 1);
    return tensor->data;
}

static espy_status make_tensor(struct tune_problem *problem, const struct op_type *type,
                               struct tensor *tensor)
{
    *tensor = (struct tensor){.type = *type};
    espy_shape_count(&type->shape, &tensor->count); // the plan has checked it
    return make_elements(problem, tensor) != NULL ? ESPY_OK : ESPY_OUT_OF_MEMORY;
}

// ---- the graph ----------------------------------------------------------------------------------

// Dimensions from the largest step to the smallest. false: the plain order.
static bool order_of(const struct view *view, const struct shape *shape,
                     uint32_t order[ESPY_RANK_MAX])
{
    bool moved = false;
    for (uint32_t i = 0; i < shape->rank; i++)
        order[i] = i;
    if (view->buffer == VIEW_NONE || view->rank != shape->rank)
        return false;
    for (uint32_t i = 1; i < view->rank; i++)
        for (uint32_t k = i; k > 0; k--) {
            const uint32_t a = order[k - 1], b = order[k];
            if (view->dims[a] == 1 || view->dims[b] == 1 || view->strides[a] >= view->strides[b])
                break;
            order[k - 1] = b;
            order[k] = a;
            moved = true;
        }
    return moved;
}

static espy_status add_value(struct tune_problem *problem, const struct op_type *type,
                             const void *data, uint32_t *index)
{
    struct graph *graph = &problem->graph;
    struct graph_value value = {
        .name = espy_arena_format(&graph->arena, "value %u", graph->value_count),
        .dtype = type->dtype,
        .has_shape = true,
        .shape = type->shape,
        .data = data};
    size_t count;
    if (value.name == NULL)
        return ESPY_OUT_OF_MEMORY;
    if (data != NULL && espy_shape_count(&type->shape, &count))
        espy_dtype_data_size(type->dtype, count, &value.data_size);
    return espy_graph_append_value(graph, &value, index);
}

static espy_status add_transpose(struct tune_problem *problem, uint32_t from, uint32_t to,
                                 const uint32_t *order, uint32_t rank)
{
    double perm[ESPY_RANK_MAX];
    struct graph_node *node;
    for (uint32_t i = 0; i < rank; i++)
        perm[i] = order[i];
    TRY(espy_graph_add_node(&problem->graph, "Transpose", to > from ? "before" : "after", &from, 1,
                            &to, 1, &node));
    return espy_graph_set_numbers(&problem->graph, node, "perm", perm, rank);
}

// An input of the node that changes from run to run: given to the graph in the order in which it
// lies, and seen through a Transpose, which moves nothing.
static espy_status add_input(struct tune_problem *problem, const struct op_type *type,
                             const struct view *view, uint32_t *index)
{
    struct graph *graph = &problem->graph;
    uint32_t order[ESPY_RANK_MAX], back[ESPY_RANK_MAX] = {0}, given;
    const bool moved = order_of(view, &type->shape, order);
    struct op_type lying = *type;
    for (uint32_t i = 0; i < type->shape.rank; i++) {
        lying.shape.dims[i] = type->shape.dims[order[i]];
        back[order[i]] = i;
    }
    TRY(add_value(problem, &lying, NULL, &given));
    TRY(make_tensor(problem, &lying, &problem->inputs[graph->input_count]));
    problem->sources[graph->input_count] = (struct op_source){.value = given, .type = lying};
    graph->inputs[graph->input_count++] = (struct graph_io){.value = given};
    *index = given;
    if (!moved)
        return ESPY_OK;
    TRY(add_value(problem, type, NULL, index));
    return add_transpose(problem, given, *index, back, type->shape.rank);
}

static espy_status add_inputs(struct tune_problem *problem, const struct plan *plan,
                              const struct graph_node *node, uint32_t *inputs)
{
    for (uint32_t i = 0; i < node->input_count; i++) {
        const uint32_t v = node->inputs[i];
        inputs[i] = GRAPH_NONE;
        if (v == GRAPH_NONE)
            continue;
        const struct op_type *type = &plan->walk.types[v];
        const void *data = plan->walk.values[v].data;
        struct tensor made;
        if (data == NULL && !problem->choice->constant[i]) {
            TRY(add_input(problem, type, &problem->choice->inputs[i], &inputs[i]));
            continue;
        }
        if (data == NULL) { // what other nodes make of constants
            TRY(make_tensor(problem, type, &made));
            data = made.data;
        }
        TRY(add_value(problem, type, data, &inputs[i]));
    }
    return ESPY_OK;
}

static espy_status add_output(struct tune_problem *problem, const struct op_type *type,
                              const struct view *view, uint32_t *index)
{
    struct graph *graph = &problem->graph;
    uint32_t order[ESPY_RANK_MAX], last;
    const bool moved = order_of(view, &type->shape, order);
    struct op_type lying = *type;
    for (uint32_t i = 0; i < type->shape.rank; i++)
        lying.shape.dims[i] = type->shape.dims[order[i]];
    TRY(add_value(problem, type, NULL, index));
    last = *index;
    if (moved)
        TRY(add_value(problem, &lying, NULL, &last));
    TRY(make_tensor(problem, &lying, &problem->results[graph->output_count]));
    graph->outputs[graph->output_count++] = (struct graph_io){.value = last};
    return ESPY_OK;
}

// After the node: what puts its outputs into the order in which they lie.
static espy_status finish_outputs(struct tune_problem *problem, const struct graph_node *node)
{
    const struct graph *graph = &problem->graph;
    uint32_t at = 0;
    for (uint32_t o = 0; o < node->output_count; o++) {
        if (node->outputs[o] == GRAPH_NONE)
            continue;
        const uint32_t last = graph->outputs[at++].value;
        uint32_t order[ESPY_RANK_MAX];
        if (last == node->outputs[o])
            continue;
        const struct shape shape = graph->values[node->outputs[o]].shape;
        order_of(&problem->choice->outputs[o], &shape, order);
        TRY(add_transpose(problem, node->outputs[o], last, order, shape.rank));
    }
    return ESPY_OK;
}

static espy_status make_graph(struct tune_problem *problem, const struct plan *plan)
{
    const struct graph_node *node = &plan->graph->nodes[problem->choice->node];
    struct graph *graph = &problem->graph;
    struct arena *memory = &problem->memory;
    struct graph_node like = *node, *added;
    like.inputs = espy_arena_array(memory, node->input_count, sizeof(uint32_t));
    like.outputs = espy_arena_array(memory, node->output_count, sizeof(uint32_t));
    graph->inputs = espy_arena_array(memory, node->input_count, sizeof(*graph->inputs));
    graph->outputs = espy_arena_array(memory, node->output_count, sizeof(*graph->outputs));
    problem->sources = espy_arena_array(memory, node->input_count, sizeof(*problem->sources));
    problem->inputs = espy_arena_array(memory, node->input_count, sizeof(*problem->inputs));
    problem->reference = espy_arena_array(memory, node->output_count, sizeof(struct tensor));
    problem->results = espy_arena_array(memory, node->output_count, sizeof(struct tensor));
    if (memory->failed)
        return ESPY_OUT_OF_MEMORY;
    TRY(add_inputs(problem, plan, node, like.inputs));
    for (uint32_t o = 0; o < node->output_count; o++) {
        like.outputs[o] = GRAPH_NONE;
        if (node->outputs[o] != GRAPH_NONE)
            TRY(add_output(problem, &plan->walk.types[node->outputs[o]],
                           &problem->choice->outputs[o], &like.outputs[o]));
    }
    TRY(espy_graph_append_node(graph, &like, &added));
    return finish_outputs(problem, &like);
}

// ---- forms --------------------------------------------------------------------------------------

static espy_status write_inputs(struct tune_problem *problem, const struct segment *segment)
{
    for (uint32_t i = 0; i < problem->graph.input_count; i++)
        if (segment->plan.inputs[i].view.buffer != VIEW_NONE)
            TRY(espy_vk_program_write(segment->program, &segment->plan.inputs[i].view,
                                      problem->inputs[i].data));
    return ESPY_OK;
}

// The memory of inputs is somebody else's once they have been read, so they are written each time.
static espy_status run_form(void *user)
{
    const struct tune_form_run *run = user;
    TRY(write_inputs(run->problem, run->segment));
    TRY(espy_vk_program_submit(run->segment->program, 0));
    return espy_vk_program_wait(run->segment->program, UINT64_MAX);
}

static espy_status time_form(void *user, uint32_t repeats, struct tune_time *time)
{
    const struct tune_form_run *run = user;
    const bool cpu = espy_vk_device_caps(run->problem->device)->cpu;
    const clock_t busy = clock();
    TRY(espy_vk_program_time(run->segment->program, 0, repeats, &time->seconds));
    time->processor = cpu ? (double)(clock() - busy) / CLOCKS_PER_SEC / repeats : 0;
    return ESPY_OK;
}

static espy_status read_form(void *user, struct tensor *results)
{
    const struct tune_form_run *run = user;
    for (uint32_t o = 0; o < run->problem->graph.output_count; o++)
        TRY(espy_segment_read(run->segment, &run->segment->plan.outputs[o], &results[o]));
    return ESPY_OK;
}

static bool same_dispatches(const struct plan_dispatch *a, const struct plan_dispatch *b,
                            uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (a[i].shader != b[i].shader || a[i].spec_size != b[i].spec_size ||
            a[i].push_size != b[i].push_size ||
            memcmp(a[i].groups, b[i].groups, sizeof(a[i].groups)) != 0 ||
            memcmp(a[i].spec, b[i].spec, a[i].spec_size) != 0 ||
            memcmp(a[i].push, b[i].push, a[i].push_size) != 0)
            return false;
    return true;
}

static bool same_plan(const struct plan *a, const struct plan *b)
{
    return a->dispatch_count == b->dispatch_count && a->prepare_count == b->prepare_count &&
           same_dispatches(a->dispatches, b->dispatches, a->dispatch_count) &&
           same_dispatches(a->prepare, b->prepare, a->prepare_count);
}

// The node asks the same alone as it does in the network, and one submit does all.
static bool asks(const struct tune_problem *problem, const struct plan *plan, uint32_t form)
{
    bool found = false;
    for (uint32_t i = 0; i < plan->choice_count; i++)
        found = found || (strcmp(plan->choices[i].key, problem->choice->key) == 0 &&
                          plan->choices[i].chosen == form);
    return found && plan->stage_count == 1 && plan->pending_count == 0 && plan->counted_count == 0;
}

// The key of the form's plan is decided by a table of its own; everything else is estimated. First
// without a device: forms that come to the same need no memory there, nor pipelines.
static espy_status make_form(struct tune_problem *problem, uint32_t form, bool *usable)
{
    struct choices choices;
    struct plan plan = {.graph = NULL};
    espy_choices_init(&choices, problem->host);
    struct segment_params params = {.host = problem->host,
                                    .device = problem->device,
                                    .weights = problem->weights,
                                    .plan = {.host = problem->host,
                                             .graph = &problem->graph,
                                             .caps = espy_vk_device_caps(problem->device),
                                             .sources = problem->sources,
                                             .source_count = problem->graph.input_count,
                                             .choices = &choices,
                                             .spare_size = problem->choice->spare_size}};
    espy_status status =
        espy_choices_set(&choices, problem->choice->key, problem->choice->count, form);
    if (status == ESPY_OK)
        status = espy_plan_build(&params.plan, &plan);
    bool same = false;
    for (uint32_t f = 0; status == ESPY_OK && f < problem->form_count; f++)
        same = same || (problem->runs[f].segment != NULL &&
                        same_plan(&plan, &problem->runs[f].segment->plan));
    *usable = status == ESPY_OK && asks(problem, &plan, form);
    const uint64_t needed = plan.arena_size + plan.constants_size + plan.transient_size;
    const bool fits = problem->memory_max == 0 || needed <= problem->memory_max - problem->taken;
    espy_plan_finish(&plan);
    if (status == ESPY_OK && *usable && !same && fits) {
        problem->taken += needed;
        status = espy_segment_create(&params, &problem->runs[form].segment);
    }
    espy_choices_finish(&choices);
    return status;
}

// What the host knows of the types, and what has to be computed in every run.
static bool is_plain(const struct plan *plan, const struct plan_choice *choice)
{
    const struct graph_node *node = &plan->graph->nodes[choice->node];
    bool varies = false;
    for (uint32_t i = 0; i < node->input_count; i++)
        varies = varies || (node->inputs[i] != GRAPH_NONE && !choice->constant[i]);
    return varies && !plan->counted[choice->node];
}

espy_status espy_tune_problem_init(struct tune_problem *problem,
                                   const struct tune_problem_params *params, bool *usable)
{
    const struct host *host = params->host;
    const struct plan_choice *choice = params->choice;
    *problem = (struct tune_problem){
        .host = host, .device = params->device, .choice = choice, .memory_max = params->memory_max};
    espy_arena_init(&problem->memory, host);
    espy_graph_init(&problem->graph, host);
    *usable = is_plain(params->plan, choice);
    if (!*usable)
        return ESPY_OK;
    TRY(make_graph(problem, params->plan));
    TRY(espy_vk_weights_create(problem->device, &problem->weights));
    // The fallback first, so that it is a form that comes to the same that is left out.
    for (uint32_t i = 0; *usable && i < choice->count; i++) {
        const uint32_t form = i == 0 ? choice->fallback : i <= choice->fallback ? i - 1 : i;
        problem->form_count = choice->count;
        problem->runs[form].problem = problem;
        TRY(make_form(problem, form, usable));
    }
    return ESPY_OK;
}

void espy_tune_problem_finish(struct tune_problem *problem)
{
    for (uint32_t f = 0; f < problem->form_count; f++)
        espy_segment_destroy(&problem->runs[f].segment);
    if (problem->host == NULL)
        return;
    espy_vk_weights_destroy(&problem->weights);
    espy_graph_finish(&problem->graph);
    espy_arena_finish(&problem->memory);
    *problem = (struct tune_problem){.host = NULL};
}

espy_status espy_tune_problem_race(struct tune_problem *problem, struct tune_verdict *verdict)
{
    struct tune_form forms[CHOICES_FORMS_MAX] = {0};
    uint32_t running = 0;
    for (uint32_t f = 0; f < problem->form_count; f++) {
        const bool runs = problem->runs[f].segment != NULL;
        forms[f] = (struct tune_form){runs ? &problem->runs[f] : NULL, run_form, read_form,
                                       time_form};
        running += runs;
    }
    *verdict = (struct tune_verdict){.chosen = problem->choice->fallback};
    if (running < 2)
        return ESPY_OK; // nothing to choose from
    TRY(espy_graph_evaluate(problem->host, &problem->graph, problem->inputs, &problem->memory,
                            problem->reference));
    const struct tune_race race = {.host = problem->host,
                                   .name = problem->choice->key,
                                   .form_count = problem->form_count,
                                   .forms = forms,
                                   .fallback = problem->choice->fallback,
                                   .result_count = problem->graph.output_count,
                                   .reference = problem->reference,
                                   .results = problem->results};
    return espy_tune_race(&race, verdict);
}
