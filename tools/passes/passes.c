#include "passes/passes.h"

#include <string.h>

// A pass may make work for one before it; networks settle after three or four rounds. The bound is
// for graphs made to go on for ever.
enum { ROUNDS_MAX = 32 };
#define FOLD_ELEMENTS_MAX ((size_t)1 << 22)
#define SMALL_ELEMENTS_MAX ((size_t)1 << 10)

static espy_status prune(struct graph *graph, uint32_t *dropped)
{
    const uint32_t before = graph->node_count;
    TRY(espy_graph_sort(graph));
    TRY(espy_graph_prune(graph));
    *dropped += before - graph->node_count;
    return ESPY_OK;
}

// Passes over one graph, and what is known of it: to take facts costs more than most passes, so
// they stay until a pass has changed something.
struct rounds {
    const struct host *host;
    struct graph *graph;
    struct pass_counts *counts;
    size_t fold_elements_max;
    struct facts facts; // host NULL: to be taken
    uint32_t changes;   // passes that have changed the graph
};

static espy_status run_pass(struct rounds *rounds, espy_pass_fn run)
{
    const struct facts_params params = {.fold_elements_max = rounds->fold_elements_max,
                                        .samples = true};
    if (rounds->facts.host == NULL)
        TRY(espy_facts_init(&rounds->facts, rounds->host, rounds->graph, &params));
    struct pass pass = {.host = rounds->host,
                        .graph = rounds->graph,
                        .facts = &rounds->facts,
                        .counts = rounds->counts};
    const espy_status status = run(&pass);
    if (status == ESPY_OK && !pass.changed)
        return ESPY_OK;
    espy_facts_finish(&rounds->facts);
    TRY(status);
    uint32_t replaced = 0; // counted by the pass already, but for what led to a known value
    rounds->changes++;
    TRY(prune(rounds->graph, &replaced));
    rounds->counts->folded += run == espy_pass_fold ? replaced : 0;
    return ESPY_OK;
}

static bool has_sequences(const struct graph *graph)
{
    for (uint32_t n = 0; n < graph->node_count; n++)
        if (strstr(graph->nodes[n].op, "Sequence") != NULL &&
            strcmp(graph->nodes[n].op, "ReverseSequence") != 0)
            return true;
    return false;
}

// Before the others, because inference does not go past lists.
static espy_status run_sequences(struct rounds *rounds)
{
    uint32_t before = rounds->changes + 1;
    for (uint32_t i = 0; i < ROUNDS_MAX && before != rounds->changes; i++) {
        before = rounds->changes;
        if (!has_sequences(rounds->graph))
            break;
        TRY(run_pass(rounds, espy_pass_fold)); // positions, lengths
        TRY(run_pass(rounds, espy_pass_sequence));
    }
    return ESPY_OK;
}

// Until every pass has seen the graph as it is and left it.
static espy_status settle(struct rounds *rounds)
{
    static const espy_pass_fn passes[] = {
        espy_pass_fold,       espy_pass_control,  espy_pass_identity,  espy_pass_duplicates,
        espy_pass_softmax,    espy_pass_pad,      espy_pass_norm,      espy_pass_layer_norm,
        espy_pass_group_norm, espy_pass_patterns, espy_pass_attention, espy_pass_linear,
    };
    enum { PASSES = sizeof(passes) / sizeof(passes[0]) };
    uint32_t left_alone = 0;
    for (uint32_t i = 0; left_alone < PASSES && i < ROUNDS_MAX * PASSES; i++) {
        const uint32_t before = rounds->changes;
        if (i % PASSES == 0)
            TRY(run_sequences(rounds));
        TRY(run_pass(rounds, passes[i % PASSES]));
        left_alone = rounds->changes == before ? left_alone + 1 : 0;
    }
    // Last: an activation inside its producer hides both from the passes before.
    return run_pass(rounds, espy_pass_epilogue);
}

static espy_status run_passes(const struct host *host, struct graph *graph,
                              struct pass_counts *counts)
{
    struct rounds rounds = {
        .host = host, .graph = graph, .counts = counts, .fold_elements_max = SMALL_ELEMENTS_MAX};
    TRY(prune(graph, &counts->dead));
    // Arithmetic on shapes may be most of the nodes. Without it there is room for large values.
    espy_status status = run_pass(&rounds, espy_pass_fold);
    espy_facts_finish(&rounds.facts);
    rounds.fold_elements_max = FOLD_ELEMENTS_MAX;
    if (status == ESPY_OK)
        status = settle(&rounds);
    espy_facts_finish(&rounds.facts);
    return status;
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

static espy_status run_sequences_alone(const struct host *host, struct graph *graph,
                                       struct pass_counts *counts)
{
    struct rounds rounds = {
        .host = host, .graph = graph, .counts = counts, .fold_elements_max = FOLD_ELEMENTS_MAX};
    const espy_status status = run_sequences(&rounds);
    espy_facts_finish(&rounds.facts);
    return status;
}

espy_status espy_passes_sequences(const struct host *host, struct graph *graph,
                                  struct pass_counts *counts)
{
    for (uint32_t b = 0; b < graph->body_count; b++)
        TRY(run_sequences_alone(host, graph->bodies[b], counts));
    return run_sequences_alone(host, graph, counts);
}

static espy_status narrow_graph(const struct host *host, struct graph *graph, espy_dtype dtype,
                                struct pass_counts *counts)
{
    const struct facts_params params = {.fold_elements_max = 0};
    struct facts facts;
    TRY(espy_facts_init(&facts, host, graph, &params));
    struct pass pass = {.host = host, .graph = graph, .facts = &facts, .counts = counts};
    const espy_status status = espy_pass_narrow(&pass, dtype);
    espy_facts_finish(&facts);
    return status;
}

espy_status espy_passes_narrow(const struct host *host, struct graph *graph, espy_dtype dtype,
                               struct pass_counts *counts)
{
    for (uint32_t b = 0; b < graph->body_count; b++)
        TRY(narrow_graph(host, graph->bodies[b], dtype, counts));
    return narrow_graph(host, graph, dtype, counts);
}

espy_status espy_passes_run(const struct host *host, struct graph *graph,
                            struct pass_counts *counts)
{
    for (uint32_t b = 0; b < graph->body_count; b++)
        TRY(run_passes(host, graph->bodies[b], counts));
    TRY(run_passes(host, graph, counts));
    return drop_bodies(host, graph);
}
