#include <string.h>

#include "passes/passes.h"

static bool same_type(const struct pass *pass, uint32_t a, uint32_t b)
{
    const struct op_type *left = &pass->facts->types[a], *right = &pass->facts->types[b];
    return left->dtype != ESPY_DTYPE_NONE && left->dtype == right->dtype &&
           espy_shape_equal(&left->shape, &right->shape);
}

static bool is_one_of(const char *op, const char *const *list)
{
    for (; *list != NULL; list++)
        if (strcmp(op, *list) == 0)
            return true;
    return false;
}

static bool is_increasing(const struct graph_attr *perm)
{
    for (uint32_t i = 0; i < perm->count; i++)
        if (perm->numbers[i] != (double)i)
            return false;
    return true;
}

// x + 0, x - 0, x * 1, x / 1, x ^ 1 and their mirrors; *kept is the operand that remains. Where the
// constant widens the result by broadcasting, the types differ and the caller sees it.
static bool is_neutral(const struct pass *pass, const struct graph_node *node, uint32_t *kept)
{
    static const char *const zero[] = {"Add", "Sub", NULL}, *const one[] = {"Mul", "Div", "Pow",
                                                                            NULL};
    static const char *const symmetric[] = {"Add", "Mul", NULL};
    const bool additive = is_one_of(node->op, zero);
    if ((!additive && !is_one_of(node->op, one)) || node->input_count != 2)
        return false;
    const double neutral = additive ? 0 : 1;
    *kept = node->inputs[0];
    if (espy_pass_is_uniform(pass, node->inputs[1], neutral))
        return true;
    *kept = node->inputs[1];
    return is_one_of(node->op, symmetric) && espy_pass_is_uniform(pass, node->inputs[0], neutral);
}

// A Slice ends where its input does at the latest: one that leaves a dim of unknown size as it is
// with some sizes may not with others.
static bool cuts_known_dims(const struct pass *pass, const struct graph_node *node)
{
    const struct shape *shape = &pass->facts->types[node->inputs[0]].shape;
    const struct tensor axes = espy_pass_value(pass, espy_pass_input(node, 3));
    bool known = espy_pass_value(pass, espy_pass_input(node, 1)).data != NULL &&
                 espy_pass_value(pass, espy_pass_input(node, 2)).data != NULL;
    for (uint32_t d = 0; d < shape->rank; d++) {
        bool cut = axes.data == NULL;
        for (size_t i = 0; i < axes.count; i++) {
            const int64_t axis = espy_tensor_integer(&axes, i);
            cut = cut || axis == d || axis + shape->rank == d;
        }
        known = known && (!cut || shape->dims[d] >= 0);
    }
    return known;
}

// true: output 0 of the node is its input *kept, unchanged.
static bool is_identity(const struct pass *pass, const struct graph_node *node, uint32_t *kept)
{
    static const char *const shapers[] = {"Reshape", "Expand", "Squeeze",  "Unsqueeze", "Flatten",
                                          "Cast",    "Tile",   "CastLike", NULL};
    static const char *const joiners[] = {"Concat", "Sum", "Max", "Min", "Mean", NULL};
    if (node->input_count == 0 || node->output_count != 1 || node->step_count > 0 ||
        node->inputs[0] == GRAPH_NONE)
        return false;
    *kept = node->inputs[0];
    if (strcmp(node->op, "Identity") == 0)
        return true;
    if (is_one_of(node->op, joiners) && node->input_count == 1)
        return true;
    if (strcmp(node->op, "Transpose") == 0) {
        const struct graph_attr *perm = espy_graph_find_attr(node, "perm");
        return perm != NULL && is_increasing(perm);
    }
    if (strcmp(node->op, "Slice") == 0) { // same shape, and every step is 1
        const uint32_t steps = espy_pass_input(node, 4);
        return cuts_known_dims(pass, node) && same_type(pass, *kept, node->outputs[0]) &&
               (steps == GRAPH_NONE || espy_pass_is_uniform(pass, steps, 1));
    }
    if (strcmp(node->op, "Pad") == 0)
        return espy_pass_is_uniform(pass, espy_pass_input(node, 1), 0) &&
               same_type(pass, *kept, node->outputs[0]);
    if (!is_one_of(node->op, shapers) && !is_neutral(pass, node, kept))
        return false;
    return same_type(pass, *kept, node->outputs[0]);
}

// Two Transposes in a row are one.
static espy_status merge_transposes(struct pass *pass, struct graph_node *node)
{
    const struct graph_node *inner = espy_pass_maker(pass, node->inputs[0], "Transpose");
    if (inner == NULL || inner->step_count > 0 || inner->inputs[0] == GRAPH_NONE)
        return ESPY_OK;
    const struct graph_attr *outer_perm = espy_graph_find_attr(node, "perm");
    const struct graph_attr *inner_perm = espy_graph_find_attr(inner, "perm");
    if (outer_perm == NULL || inner_perm == NULL || outer_perm->count != inner_perm->count ||
        outer_perm->count > ESPY_RANK_MAX)
        return ESPY_OK;
    double perm[ESPY_RANK_MAX];
    for (uint32_t i = 0; i < outer_perm->count; i++) {
        const double at = outer_perm->numbers[i];
        if (!(at >= 0) || at >= inner_perm->count)
            return ESPY_OK; // refused when it is bound
        perm[i] = inner_perm->numbers[(uint32_t)at];
    }
    node->inputs[0] = inner->inputs[0];
    pass->changed = true;
    pass->counts->identities++;
    return espy_graph_set_numbers(pass->graph, node, "perm", perm, outer_perm->count);
}

// A Reshape sees only the order of elements, so a change of shape before it does not matter. A dim
// of 0 in its shape would mean the input's, so shapes with one are left alone.
static void skip_reshape(struct pass *pass, struct graph_node *node)
{
    static const char *const shapers[] = {"Reshape", "Squeeze", "Unsqueeze", "Flatten", NULL};
    const struct graph_node *inner = espy_pass_maker(pass, node->inputs[0], NULL);
    const struct tensor shape = espy_pass_value(pass, espy_pass_input(node, 1));
    if (inner == NULL || inner->step_count > 0 || !is_one_of(inner->op, shapers) ||
        inner->inputs[0] == GRAPH_NONE || shape.data == NULL)
        return;
    for (size_t i = 0; i < shape.count; i++)
        if (espy_tensor_integer(&shape, i) == 0)
            return;
    node->inputs[0] = inner->inputs[0];
    pass->changed = true;
    pass->counts->identities++;
}

espy_status espy_pass_identity(struct pass *pass)
{
    const uint32_t count = pass->graph->node_count;
    for (uint32_t n = 0; n < count; n++) {
        struct graph_node *node = &pass->graph->nodes[n];
        uint32_t kept;
        if (is_identity(pass, node, &kept) && pass->facts->uses[node->outputs[0]] > 0) {
            bool done;
            espy_pass_replace(pass, node->outputs[0], kept, &done);
            pass->counts->identities += done;
        } else if (node->input_count > 0 && node->inputs[0] != GRAPH_NONE) {
            if (strcmp(node->op, "Transpose") == 0)
                TRY(merge_transposes(pass, node));
            else if (strcmp(node->op, "Reshape") == 0)
                skip_reshape(pass, node);
        }
    }
    return ESPY_OK;
}
