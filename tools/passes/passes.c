#include "passes/passes.h"

#include <string.h>

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

static bool has_sequences(const struct graph *graph)
{
    for (uint32_t n = 0; n < graph->node_count; n++)
        if (strstr(graph->nodes[n].op, "Sequence") != NULL &&
            strcmp(graph->nodes[n].op, "ReverseSequence") != 0)
            return true;
    return false;
}

static espy_status run_sequences(const struct host *host, struct graph *graph,
                                 struct pass_counts *counts)
{
    bool changed = true;
    for (uint32_t round = 0; changed && round < ROUNDS_MAX && has_sequences(graph); round++) {
        changed = false;
        TRY(run_pass(host, graph, counts, espy_pass_fold, &changed)); // positions, lengths
        TRY(run_pass(host, graph, counts, espy_pass_sequence, &changed));
    }
    return ESPY_OK;
}

static espy_status run_passes(const struct host *host, struct graph *graph,
                              struct pass_counts *counts)
{
    static const espy_pass_fn passes[] = {
        espy_pass_fold,       espy_pass_control,  espy_pass_identity,  espy_pass_duplicates,
        espy_pass_softmax,    espy_pass_pad,      espy_pass_norm,      espy_pass_layer_norm,
        espy_pass_group_norm, espy_pass_patterns, espy_pass_attention, espy_pass_linear,
    };
    TRY(prune(graph, &counts->dead));
    bool changed = true;
    for (uint32_t round = 0; changed && round < ROUNDS_MAX; round++) {
        changed = false;
        TRY(run_sequences(host, graph, counts)); // inference does not go past lists
        for (size_t i = 0; i < sizeof(passes) / sizeof(passes[0]); i++)
            TRY(run_pass(host, graph, counts, passes[i], &changed));
    }
    // Last: an activation inside its producer hides both from the passes before.
    return run_pass(host, graph, counts, espy_pass_epilogue, &changed);
}

// Marks the bodies that nodes of a graph name. Attributes are told apart by the operator table.
static void mark_bodies(const struct graph *graph, const struct graph *network, bool *named)
{
    for (uint32_t n = 0; n < graph->node_count; n++) {
        const struct op *op = espy_op_find(graph->nodes[n].op);
        for (uint32_t a = 0; op != NULL && a < op->attr_count; a++) {
            const struct graph_attr *attr =
                espy_graph_find_attr(&graph->nodes[n], op->attrs[a].name);
            if (op->attrs[a].type != OP_BODY || attr == NULL || attr->type != GRAPH_ATTR_STRING)
                continue;
            for (uint32_t b = 0; b < network->body_count; b++)
                named[b] = named[b] || strcmp(network->bodies[b]->name, attr->strings[0]) == 0;
        }
    }
}

static espy_status drop_bodies(const struct host *host, struct graph *network)
{
    if (network->body_count == 0)
        return ESPY_OK;
    bool *named = espy_alloc_array(host, network->body_count, sizeof(*named));
    if (named == NULL)
        return espy_fail_memory(host, network->body_count, "the list of bodies");
    mark_bodies(network, network, named);
    // Bodies name those before them, so one round backwards finds everything.
    for (uint32_t b = network->body_count; b-- > 0;) {
        if (named[b])
            mark_bodies(network->bodies[b], network, named);
        else
            espy_graph_drop_body(network, b);
    }
    espy_free(host, named);
    return ESPY_OK;
}

espy_status espy_passes_sequences(const struct host *host, struct graph *graph,
                                  struct pass_counts *counts)
{
    for (uint32_t b = 0; b < graph->body_count; b++)
        TRY(run_sequences(host, graph->bodies[b], counts));
    return run_sequences(host, graph, counts);
}

espy_status espy_passes_run(const struct host *host, struct graph *graph,
                            struct pass_counts *counts)
{
    for (uint32_t b = 0; b < graph->body_count; b++)
        TRY(run_passes(host, graph->bodies[b], counts));
    TRY(run_passes(host, graph, counts));
    return drop_bodies(host, graph);
}
