#include "convert/convert_internal.h"

#include <string.h>

// A graph in Espy has no branches. Exporters write If around shapes, and those are known once
// shapes are: the branch that is taken replaces the node.

enum { THEN = 0, ELSE = 1, UNKNOWN = 2 };

static uint32_t choose(const struct facts *facts, const struct graph_node *node)
{
    const struct tensor *condition = &facts->values[node->inputs[0]];
    if (condition->data != NULL && condition->count == 1)
        return espy_tensor_number(condition, 0) != 0 ? THEN : ELSE;
    return UNKNOWN;
}

// Finds an If that can be resolved; false when there is none.
static espy_status find_branch(struct convert_model *model, uint32_t *node, uint32_t *which)
{
    struct facts facts;
    const struct facts_params params = {.fold_elements_max = CONVERT_FOLD_ELEMENTS_MAX};
    *which = UNKNOWN;
    TRY(espy_facts_init(&facts, model->host, &model->graph, &params));
    for (uint32_t n = 0; n < model->graph.node_count && *which == UNKNOWN; n++) {
        if (strcmp(model->graph.nodes[n].op, "If") != 0)
            continue;
        *node = n;
        *which = choose(&facts, &model->graph.nodes[n]);
    }
    espy_facts_finish(&facts);
    return ESPY_OK;
}

espy_status espy_convert_branches(struct convert_model *model, const char *path,
                                  struct convert_report *report)
{
    // A branch may hold branches, each with an entry of its own, so entries bound the rounds.
    for (uint32_t round = 0; round < GRAPH_NODES_MAX && model->branch_count > 0; round++) {
        uint32_t node = 0, which;
        TRY(find_branch(model, &node, &which));
        if (which == UNKNOWN)
            return ESPY_OK;
        TRY(espy_onnx_import_branch(model, report, path, node, which));
        TRY(espy_graph_prune(&model->graph));
    }
    return ESPY_OK;
}
