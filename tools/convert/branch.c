#include "convert/convert_internal.h"

#include <string.h>

// A graph in Espy has no branches. Exporters write If around shapes, and those are known once
// shapes are: the branch that is taken replaces the node.

enum { THEN = 0, ELSE = 1, UNKNOWN = 2 };

static const struct graph_node *maker(const struct facts *facts, uint32_t value, const char *op)
{
    const uint32_t index = value == GRAPH_NONE ? GRAPH_NONE : facts->makers[value];
    if (index == GRAPH_NONE)
        return NULL;
    const struct graph_node *node = &facts->graph->nodes[index];
    return strcmp(node->op, op) == 0 && node->input_count > 0 ? node : NULL;
}

// Goes back through nodes that keep the only element of a tensor as it is: a condition, or a count.
static uint32_t strip(const struct facts *facts, uint32_t value, bool condition)
{
    static const char *const keepers[] = {"Identity", "Squeeze", "Unsqueeze", "Reshape"};
    for (;;) {
        const struct graph_node *node = maker(facts, value, "Cast");
        const struct graph_attr *to = node == NULL ? NULL : espy_graph_find_attr(node, "to");
        if (to != NULL && to->type == GRAPH_ATTR_STRING) {
            const bool is_bool = strcmp(to->strings[0], "bool") == 0;
            const bool is_integer =
                strcmp(to->strings[0], "int64") == 0 || strcmp(to->strings[0], "int32") == 0;
            node = (condition ? is_bool : is_integer) ? node : NULL;
        } else {
            node = NULL;
        }
        for (size_t i = 0; node == NULL && i < sizeof(keepers) / sizeof(keepers[0]); i++)
            node = maker(facts, value, keepers[i]);
        if (node == NULL)
            return value;
        value = node->inputs[0];
    }
}

static bool is_scalar(const struct facts *facts, uint32_t value, int64_t *number)
{
    if (value == GRAPH_NONE || facts->values[value].data == NULL || facts->values[value].count != 1)
        return false;
    *number = espy_tensor_integer(&facts->values[value], 0);
    return true;
}

// A dim may be known where the whole shape is not: a Gather has the dims of its indices.
static bool is_dim_known(const struct facts *facts, uint32_t value, int64_t axis, int64_t *dim)
{
    const struct op_type *type = &facts->types[value];
    if (type->dtype != ESPY_DTYPE_NONE) {
        const int64_t at = axis < 0 ? axis + type->shape.rank : axis;
        if (at < 0 || at >= type->shape.rank)
            return false;
        *dim = type->shape.dims[at];
        return true;
    }
    const struct graph_node *gather = maker(facts, value, "Gather");
    if (gather == NULL || gather->input_count != 2 || gather->inputs[1] == GRAPH_NONE)
        return false;
    const struct op_type *indices = &facts->types[gather->inputs[1]];
    const struct graph_attr *attr = espy_graph_find_attr(gather, "axis");
    const int64_t first =
        attr == NULL || attr->type != GRAPH_ATTR_NUMBER ? 0 : (int64_t)attr->numbers[0];
    if (indices->dtype == ESPY_DTYPE_NONE || first < 0 || axis < first ||
        axis >= first + indices->shape.rank)
        return false;
    *dim = indices->shape.dims[axis - first];
    return true;
}

// condition = (dim of a value == number): "squeeze if it is 1", as exporters write squeeze().
static uint32_t choose_by_dim(const struct facts *facts, uint32_t counted, int64_t number)
{
    const struct graph_node *gather = maker(facts, strip(facts, counted, false), "Gather");
    int64_t axis, dim;
    if (gather == NULL || gather->input_count != 2 || !is_scalar(facts, gather->inputs[1], &axis))
        return UNKNOWN;
    const struct graph_node *shape = maker(facts, gather->inputs[0], "Shape");
    if (shape == NULL || shape->attr_count > 0 || shape->inputs[0] == GRAPH_NONE ||
        !is_dim_known(facts, shape->inputs[0], axis, &dim))
        return UNKNOWN;
    return dim == number ? THEN : ELSE;
}

// true: the branch only makes tensors without elements.
static bool makes_nothing(const onnx_graph *graph)
{
    for (size_t n = 0; n < graph->n_node; n++) {
        const onnx_node *node = graph->node[n];
        if (node->op_type == NULL || strcmp(node->op_type, "Constant") != 0 ||
            node->n_attribute != 1 || node->attribute[0]->t == NULL)
            return false;
        const onnx_tensor *tensor = node->attribute[0]->t;
        bool empty = false;
        for (size_t d = 0; d < tensor->n_dims; d++)
            empty = empty || tensor->dims[d] == 0;
        if (!empty)
            return false;
    }
    return graph->n_node > 0;
}

// condition = (element count of a value == 0), and then nothing comes out: "no boxes, no result".
// The other branch gives nothing for nothing too, operators being defined for empty tensors.
static uint32_t choose_by_count(const struct facts *facts, const struct import_branch *branch,
                                uint32_t counted, int64_t number)
{
    const uint32_t count = strip(facts, counted, false);
    const struct graph_node *product = maker(facts, count, "ReduceProd");
    if (number != 0 || !makes_nothing(branch->graphs[THEN]))
        return UNKNOWN;
    if (product != NULL && maker(facts, strip(facts, product->inputs[0], false), "Shape") != NULL)
        return ELSE;
    return maker(facts, count, "Size") != NULL ? ELSE : UNKNOWN;
}

static uint32_t choose(const struct convert_model *model, const struct facts *facts,
                       const struct graph_node *node)
{
    const struct graph_attr *index = espy_graph_find_attr(node, "branch");
    const struct import_branch *branch = &model->branches[(size_t)index->numbers[0]];
    int64_t number;
    if (is_scalar(facts, node->inputs[0], &number))
        return number != 0 ? THEN : ELSE;
    const struct graph_node *equal = maker(facts, strip(facts, node->inputs[0], true), "Equal");
    for (uint32_t i = 0; equal != NULL && equal->input_count == 2 && i < 2; i++) {
        const uint32_t counted = equal->inputs[1 - i];
        if (counted == GRAPH_NONE || !is_scalar(facts, equal->inputs[i], &number))
            continue;
        const uint32_t by_dim = choose_by_dim(facts, counted, number);
        return by_dim != UNKNOWN ? by_dim : choose_by_count(facts, branch, counted, number);
    }
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
        *which = choose(model, &facts, &model->graph.nodes[n]);
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
