#include "passes/passes.h"

// A pass may make work for one before it; networks settle after three or four rounds. The bound is
// for graphs made to go on for ever.
enum { ROUNDS_MAX = 32 };
#define FOLD_ELEMENTS_MAX ((size_t)1 << 22)

static espy_status prune(struct graph *graph, uint32_t *dropped)
{
    const uint32_t before = graph->node_count;
    TRY(espy_graph_sort(graph));
    TRY(espy_graph_prune(graph));
    *dropped += before - graph->node_count;
    return ESPY_OK;
}

static espy_status run_pass(const struct host *host, struct graph *graph,
                            struct pass_counts *counts, espy_pass_fn run, bool *changed)
{
    struct facts facts;
    const struct facts_params params = {.fold_elements_max = FOLD_ELEMENTS_MAX};
    TRY(espy_facts_init(&facts, host, graph, &params));
    struct pass pass = {.host = host, .graph = graph, .facts = &facts, .counts = counts};
    const espy_status status = run(&pass);
    espy_facts_finish(&facts);
    if (status != ESPY_OK || !pass.changed)
        return status;
    uint32_t replaced = 0; // counted by the pass already
    *changed = true;
    return prune(graph, &replaced);
}

espy_status espy_passes_fold(const struct host *host, struct graph *graph,
                             struct pass_counts *counts)
{
    bool changed = false;
    TRY(prune(graph, &counts->dead));
    return run_pass(host, graph, counts, espy_pass_fold, &changed);
}

espy_status espy_passes_run(const struct host *host, struct graph *graph,
                            struct pass_counts *counts)
{
    static const espy_pass_fn passes[] = {
        espy_pass_fold,     espy_pass_identity,  espy_pass_duplicates, espy_pass_softmax,
        espy_pass_pad,      espy_pass_norm,      espy_pass_layer_norm, espy_pass_group_norm,
        espy_pass_patterns, espy_pass_attention, espy_pass_linear,
    };
    TRY(prune(graph, &counts->dead));
    bool changed = true;
    for (uint32_t round = 0; changed && round < ROUNDS_MAX; round++) {
        changed = false;
        for (size_t i = 0; i < sizeof(passes) / sizeof(passes[0]); i++)
            TRY(run_pass(host, graph, counts, passes[i], &changed));
    }
    // Last: an activation inside its producer hides both from the passes before.
    return run_pass(host, graph, counts, espy_pass_epilogue, &changed);
}
