#include "bench_plan.h"

#include <stdio.h>
#include <string.h>

#include "shaders/attention_flash.spv.h"
#include "shaders/attention_matrix.spv.h"
#include "shaders/gemm.spv.h"
#include "shaders/gemm_matrix.spv.h"
#include "support/run_graph.h"

enum { INPUTS_MAX = 3 };

// Plans with the form that the problem is about, for which weights may grow as they like.
static espy_status plan_form(struct bench_plan *bench, const struct plan_params *params)
{
    const char *kind = bench->problem->question;
    const size_t length = strlen(kind);
    struct plan_params given = *params;
    struct choices choices;
    given.spare_size = UINT64_MAX;
    TRY(espy_plan_build(&given, &bench->plan));
    espy_choices_init(&choices, params->host);
    espy_status status = ESPY_OK;
    bench->asked = false;
    for (uint32_t i = 0; i < bench->plan.choice_count && status == ESPY_OK; i++) {
        const struct plan_choice *choice = &bench->plan.choices[i];
        if (strncmp(choice->key, kind, length) != 0 || choice->key[length] != ':' ||
            bench->problem->form >= choice->count)
            continue;
        bench->asked = true;
        bench->estimated = choice->fallback == bench->problem->form;
        status = espy_choices_set(&choices, choice->key, choice->count, bench->problem->form);
    }
    given.choices = &choices;
    if (status == ESPY_OK && bench->asked) {
        espy_plan_finish(&bench->plan);
        status = espy_plan_build(&given, &bench->plan);
    }
    espy_choices_finish(&choices);
    return status;
}

espy_status espy_bench_plan_init(struct bench_plan *bench, const struct host *host,
                                 const struct caps *caps, const struct problem *problem)
{
    struct op_source sources[INPUTS_MAX];
    *bench = (struct bench_plan){.problem = problem, .asked = true};
    espy_graph_init(&bench->graph, host);
    TRY(espy_bench_problem_graph(problem, &bench->graph, &bench->cost));
    espy_test_type_sources(&bench->graph, sources);
    const struct plan_params params = {.host = host,
                                       .graph = &bench->graph,
                                       .caps = caps,
                                       .sources = sources,
                                       .source_count = bench->graph.input_count};
    return problem->question == NULL ? espy_plan_build(&params, &bench->plan)
                                     : plan_form(bench, &params);
}

void espy_bench_plan_finish(struct bench_plan *bench)
{
    espy_plan_finish(&bench->plan);
    espy_graph_finish(&bench->graph);
}

const char *espy_bench_tile(const struct plan_dispatch *dispatch, char text[BENCH_TILE_SIZE])
{
    const char *name = dispatch->shader->name;
    text[0] = '\0';
    if (strncmp(name, "gemm_matrix.", 12) == 0) {
        const struct gemm_matrix_spec *s = dispatch->spec;
        snprintf(text, BENCH_TILE_SIZE, "%ux%ux%u of %ux%ux%u", s->bm, s->bn, s->bk, s->m, s->n,
                 s->k);
    } else if (strncmp(name, "gemm.", 5) == 0) {
        const struct gemm_spec *s = dispatch->spec;
        snprintf(text, BENCH_TILE_SIZE, "%ux%ux%u by %ux%u%s", s->bm, s->bn, s->bk, s->tm, s->tn,
                 s->linear ? ", linear" : s->vector == 1 ? ", single" : "");
    } else if (strncmp(name, "attention_flash.", 16) == 0) {
        const struct attention_flash_spec *s = dispatch->spec;
        snprintf(text, BENCH_TILE_SIZE, "%u queries, %u keys, %u", s->rows, s->keys, s->depth);
    } else if (strncmp(name, "attention_matrix.", 17) == 0) {
        const struct attention_matrix_spec *s = dispatch->spec;
        snprintf(text, BENCH_TILE_SIZE, "%u x %u queries, %u keys, %u", s->heads, s->rows, s->keys,
                 s->depth);
    }
    return text;
}
