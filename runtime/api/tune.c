#include "api/tune.h"

#include <string.h>

#include "api/tune_problem.h"

espy_status espy_tune_load(const struct vk_device *device, struct choices *choices)
{
    size_t size = 0;
    void *bytes = espy_vk_device_load_choices(device, &size);
    if (bytes == NULL)
        return ESPY_OK;
    const espy_status status = espy_choices_read(choices, bytes, size);
    espy_free(choices->host, bytes);
    return status;
}

// With what others may have kept since: their problems are others, mostly.
static espy_status save(const espy_session *session)
{
    const struct host *host = &session->host;
    const struct vk_device *device = session->device->vk;
    struct choices all;
    struct text text;
    espy_choices_init(&all, host);
    espy_text_init(&text, host);
    espy_status status = espy_tune_load(device, &all);
    if (status == ESPY_OK)
        status = espy_choices_merge(&all, &session->choices);
    if (status == ESPY_OK) {
        espy_choices_write(&all, &text);
        status = text.failed ? ESPY_OUT_OF_MEMORY : ESPY_OK;
    }
    if (status == ESPY_OK)
        espy_vk_device_save_choices(device, text.chars, text.length);
    espy_text_finish(&text);
    espy_choices_finish(&all);
    return status;
}

struct tuner {
    espy_session *session;
    const struct plan *plan; // of the network, for the shapes at hand
    uint32_t index, count;   // problems done; all
};

// true: the table answers it, or a choice before it asks the same.
static bool is_known(const struct tuner *tuner, uint32_t index)
{
    const struct plan_choice *choices = tuner->plan->choices;
    uint32_t chosen;
    for (uint32_t i = 0; i < index; i++)
        if (strcmp(choices[i].key, choices[index].key) == 0)
            return true;
    return espy_choices_find(&tuner->session->choices, choices[index].key, choices[index].count,
                             &chosen);
}

static void report(const struct tuner *tuner, const struct plan_choice *choice,
                   const struct tune_verdict *verdict)
{
    const struct plan *plan = tuner->plan;
    struct espy_tune_entry entry = {.node = plan->graph->nodes[choice->node].name,
                                    .op = plan->graph->nodes[choice->node].op,
                                    .problem = choice->key,
                                    .index = tuner->index,
                                    .count = tuner->count,
                                    .form_count = choice->count,
                                    .chosen = verdict->chosen,
                                    .fallback = choice->fallback,
                                    .wrong_count = verdict->wrong_count,
                                    .chosen_ms = verdict->chosen_seconds * 1e3,
                                    .fallback_ms = verdict->fallback_seconds * 1e3};
    for (uint32_t i = 0; i < plan->choice_count; i++)
        entry.uses += strcmp(plan->choices[i].key, choice->key) == 0;
    if (tuner->session->tuned != NULL)
        tuner->session->tuned(tuner->session->tune_user, &entry);
}

// What the forms of a problem may take together: without a budget half of the device's memory,
// which other programs use too.
static uint64_t memory_of(const espy_session *session)
{
    struct espy_device_info info = {0};
    if (session->memory_max != 0)
        return session->memory_max;
    espy_vk_device_info(session->device->vk, &info);
    return info.memory_size / 2;
}

static espy_status tune(struct tuner *tuner, const struct plan_choice *choice)
{
    espy_session *session = tuner->session;
    const struct tune_problem_params params = {.host = &session->host,
                                               .device = session->device->vk,
                                               .plan = tuner->plan,
                                               .choice = choice,
                                               .memory_max = memory_of(session)};
    struct tune_problem problem;
    struct tune_verdict verdict = {.chosen = choice->fallback};
    bool usable = false;
    espy_status status = espy_tune_problem_init(&problem, &params, &usable);
    if (status == ESPY_OK && usable)
        status = espy_tune_problem_race(&problem, &verdict);
    espy_tune_problem_finish(&problem);
    TRY(status);
    if (!usable)
        espy_log(&session->host, ESPY_LOG_INFO, 
                 "%s is not measured: node '%s' alone does not ask it",
                 choice->key, tuner->plan->graph->nodes[choice->node].name);
    report(tuner, choice, &verdict);
    return espy_choices_set(&session->choices, choice->key, choice->count, verdict.chosen);
}

// The indices of the choices to measure are listed first: the table grows on the way.
static espy_status tune_all(struct tuner *tuner)
{
    const struct plan *plan = tuner->plan;
    const struct host *host = &tuner->session->host;
    uint32_t *wanted = espy_alloc_array(host, plan->choice_count + 1u, sizeof(*wanted));
    if (wanted == NULL)
        return espy_fail_memory(host, plan->choice_count * sizeof(*wanted), "tuning");
    for (uint32_t i = 0; i < plan->choice_count; i++)
        if (!is_known(tuner, i))
            wanted[tuner->count++] = i;
    espy_status status = ESPY_OK;
    for (; status == ESPY_OK && tuner->index < tuner->count; tuner->index++)
        status = tune(tuner, &plan->choices[wanted[tuner->index]]);
    espy_free(host, wanted);
    return status;
}

static espy_status plan_network(espy_session *session, struct plan *plan)
{
    const struct graph *graph = &session->model->graph;
    struct op_source *sources =
        espy_alloc_array(&session->host, graph->input_count + 1u, sizeof(*sources));
    if (sources == NULL)
        return espy_fail_memory(&session->host, graph->input_count * sizeof(*sources), "tuning");
    for (uint32_t i = 0; i < graph->input_count; i++)
        sources[i] = (struct op_source){.value = graph->inputs[i].value,
                                        .type = session->types[i],
                                        .data = session->input_data[i]};
    const struct plan_params params = {.host = &session->host,
                                       .graph = graph,
                                       .caps = espy_vk_device_caps(session->device->vk),
                                       .sources = sources,
                                       .source_count = graph->input_count,
                                       .keep_values = session->keep_values,
                                       .choices = &session->choices};
    const espy_status status = espy_plan_build(&params, plan);
    espy_free(&session->host, sources);
    return status;
}

espy_status espy_tune_session(espy_session *session)
{
    struct plan plan;
    TRY(plan_network(session, &plan));
    struct tuner tuner = {.session = session, .plan = &plan};
    espy_status status = tune_all(&tuner);
    if (status == ESPY_OK && tuner.count > 0)
        status = save(session);
    espy_plan_finish(&plan);
    return status;
}
