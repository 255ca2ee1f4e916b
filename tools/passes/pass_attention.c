#include <string.h>

#include "passes/passes.h"

// softmax(scale * Q K^T + mask) V, which one kernel can do without writing the matrix of scores.
// Keys may be stored as K^T, and all of it be spelt the other way round, V^T softmax(...)^T, as is
// usual where tokens are the places of a feature map, whose channels come first.

static bool is_op(const struct graph_node *node, const char *op)
{
    return node != NULL && strcmp(node->op, op) == 0 && node->step_count == 0;
}

struct attention {
    uint32_t query, key, value, mask;
    uint32_t windows; // another mask, for which scores have one dimension of 1 more; or GRAPH_NONE
    double scale;
    double perm[ESPY_RANK_MAX]; // of key, to put it into rows
    uint32_t rank;
    bool permuted;
    bool turned; // value is V^T, and the result is that of Attention transposed
};

// The order of dimensions in which the last two have changed places.
static void turn(uint32_t rank, double *perm)
{
    for (uint32_t i = 0; i < rank; i++)
        perm[i] = i + 2 == rank ? i + 1 : i + 1 == rank ? i - 1 : i;
}

static bool is_turn(const struct graph_node *node, uint32_t rank)
{
    double wanted[ESPY_RANK_MAX];
    const struct graph_attr *perm =
        is_op(node, "Transpose") ? espy_graph_find_attr(node, "perm") : NULL;
    turn(rank, wanted);
    return rank >= 2 && perm != NULL && perm->count == rank &&
           memcmp(perm->numbers, wanted, rank * sizeof(*wanted)) == 0;
}

// Takes Mul and Div by a number off a value.
static uint32_t strip_scale(const struct pass *pass, uint32_t value, bool alone, double *scale)
{
    const struct graph_node *node = espy_pass_maker(pass, value, NULL);
    double number;
    if (node == NULL || node->step_count > 0 || node->input_count != 2 ||
        (alone && !espy_pass_single_use(pass, value)))
        return value;
    const bool multiply = strcmp(node->op, "Mul") == 0;
    const struct op_type *type = &pass->facts->types[value];
    for (uint32_t i = 0; i < (multiply ? 2u : strcmp(node->op, "Div") == 0 ? 1u : 0u); i++) {
        const uint32_t kept = node->inputs[i];
        if (!espy_pass_scalar(pass, node->inputs[1 - i], &number) || !(number > 0) ||
            !espy_shape_equal(&type->shape, &pass->facts->types[kept].shape))
            continue;
        *scale *= multiply ? number : 1 / number;
        return kept;
    }
    return value;
}

// The product of queries and transposed keys, with its scale.
static bool match_scores(const struct pass *pass, uint32_t scores, struct attention *found)
{
    double scale = 1;
    const uint32_t product = strip_scale(pass, scores, true, &scale);
    const struct graph_node *node = espy_pass_maker(pass, product, "MatMul");
    if (!is_op(node, "MatMul") || !espy_pass_single_use(pass, product))
        return false;
    found->query = strip_scale(pass, node->inputs[0], false, &scale);
    found->key = strip_scale(pass, node->inputs[1], false, &scale);
    found->rank = pass->facts->types[product].shape.rank;
    if (found->rank < 3 || found->rank > 4)
        return false;
    double swapped[ESPY_RANK_MAX];
    turn(found->rank, swapped);
    memcpy(found->perm, swapped, sizeof(swapped));
    found->permuted = true;
    const struct graph_node *transpose = espy_pass_maker(pass, found->key, "Transpose");
    const struct graph_attr *perm =
        is_op(transpose, "Transpose") ? espy_graph_find_attr(transpose, "perm") : NULL;
    if (perm != NULL && perm->count == found->rank) {
        found->permuted = false;
        for (uint32_t i = 0; i < found->rank; i++) {
            found->perm[i] = perm->numbers[(uint32_t)swapped[i]];
            found->permuted = found->permuted || found->perm[i] != (double)i;
        }
        found->key = strip_scale(pass, transpose->inputs[0], false, &scale);
    }
    found->scale = scale;
    return true;
}

// Shifted windows: scores [windows, heads, q, k] get a dimension of 1 in front, to which a mask of
// each window is added, and lose it again. The mask is then as good as one more constant to add.
static uint32_t strip_windows(const struct pass *pass, uint32_t value, struct attention *found)
{
    const struct facts *facts = pass->facts;
    const struct graph_node *back = espy_pass_maker(pass, value, "Reshape");
    if (!is_op(back, "Reshape") || !espy_pass_single_use(pass, value))
        return value;
    const uint32_t sum = back->inputs[0];
    const struct graph_node *add = espy_pass_maker(pass, sum, "Add");
    const struct shape *whole = &facts->types[sum].shape, *scores = &facts->types[value].shape;
    struct shape longer = {.rank = scores->rank + 1, .dims = {1}};
    if (!is_op(add, "Add") || !espy_pass_single_use(pass, sum) || scores->rank != 4)
        return value;
    memcpy(longer.dims + 1, scores->dims, scores->rank * sizeof(*scores->dims));
    for (uint32_t i = 0; i < 2; i++) {
        const uint32_t split = add->inputs[i], mask = add->inputs[1 - i];
        const struct graph_node *apart = espy_pass_maker(pass, split, "Reshape");
        const struct op_type *type = &facts->types[mask];
        if (!is_op(apart, "Reshape") || !espy_pass_single_use(pass, split) ||
            !espy_shape_equal(whole, &longer) ||
            !espy_shape_equal(&facts->types[split].shape, &longer) ||
            !espy_shape_equal(&facts->types[apart->inputs[0]].shape, scores) ||
            type->shape.rank != longer.rank || type->shape.dims[0] != 1 ||
            type->dtype != facts->types[value].dtype || facts->data[mask] == NULL)
            continue;
        found->windows = mask;
        return apart->inputs[0];
    }
    return value;
}

// Both masks become one, which has more elements than the two.
static bool windows_fit(const struct pass *pass, uint32_t sum, const struct attention *found)
{
    enum { ELEMENTS_MAX = 1 << 20 };
    size_t count;
    return found->windows == GRAPH_NONE || found->mask == GRAPH_NONE ||
           (pass->facts->data[found->mask] != NULL &&
            espy_shape_count(&pass->facts->types[sum].shape, &count) && count <= ELEMENTS_MAX);
}

static bool match_mask(const struct pass *pass, uint32_t sum, struct attention *found)
{
    const struct graph_node *add = espy_pass_maker(pass, sum, "Add");
    if (!is_op(add, "Add") || !espy_pass_single_use(pass, sum))
        return false;
    const struct op_type *whole = &pass->facts->types[sum];
    for (uint32_t i = 0; i < 2; i++) {
        const uint32_t scores = add->inputs[i];
        const struct op_type *mask = &pass->facts->types[add->inputs[1 - i]];
        if (!espy_pass_single_use(pass, scores) ||
            !espy_shape_equal(&whole->shape, &pass->facts->types[scores].shape) ||
            mask->dtype != whole->dtype || mask->shape.rank < 2 ||
            mask->shape.dims[mask->shape.rank - 1] != whole->shape.dims[whole->shape.rank - 1] ||
            mask->shape.dims[mask->shape.rank - 2] != whole->shape.dims[whole->shape.rank - 2] ||
            !match_scores(pass, scores, found))
            continue;
        found->mask = add->inputs[1 - i];
        return true;
    }
    return false;
}

// Nothing is broadcast between the three, which Attention would not do.
static bool types_fit(const struct pass *pass, const struct attention *found)
{
    const struct op_type *query = &pass->facts->types[found->query];
    const struct op_type *key = &pass->facts->types[found->key];
    const struct op_type *value = &pass->facts->types[found->value];
    const uint32_t rank = found->rank;
    if (query->shape.rank != rank || key->shape.rank != rank || value->shape.rank != rank ||
        !espy_dtype_is_float(query->dtype) || key->dtype != query->dtype ||
        value->dtype != query->dtype)
        return false;
    for (uint32_t i = 0; i + 2 < rank; i++) {
        const uint32_t at = (uint32_t)found->perm[i];
        if (query->shape.dims[i] != key->shape.dims[at] ||
            query->shape.dims[i] != value->shape.dims[i])
            return false;
    }
    return query->shape.dims[rank - 1] == key->shape.dims[(uint32_t)found->perm[rank - 1]];
}

static bool match(const struct pass *pass, const struct graph_node *node, struct attention *found)
{
    if (!is_op(node, "MatMul"))
        return false;
    uint32_t weights = node->inputs[0], value = node->inputs[1];
    const struct graph_node *around = espy_pass_maker(pass, value, "Transpose");
    const bool turned = is_turn(around, pass->facts->types[value].shape.rank) &&
                        espy_pass_single_use(pass, value) &&
                        is_op(espy_pass_maker(pass, around->inputs[0], "Softmax"), "Softmax");
    if (turned) {
        value = weights;
        weights = around->inputs[0];
    }
    const struct graph_node *soft = espy_pass_maker(pass, weights, "Softmax");
    if (!is_op(soft, "Softmax") || !espy_pass_single_use(pass, weights))
        return false;
    const struct op_type *type = &pass->facts->types[weights];
    const double axis = espy_pass_number(soft, "axis", -1);
    if (type->dtype == ESPY_DTYPE_NONE || (axis != -1 && axis + 1 != type->shape.rank) ||
        !espy_pass_single_use(pass, soft->inputs[0]))
        return false;
    *found = (struct attention){
        .value = value, .mask = GRAPH_NONE, .windows = GRAPH_NONE, .turned = turned};
    const uint32_t sum = strip_windows(pass, soft->inputs[0], found);
    return (match_scores(pass, sum, found) || match_mask(pass, sum, found)) &&
           types_fit(pass, found) && windows_fit(pass, sum, found);
}

static espy_status add_view(struct pass *pass, const char *op, const char *hint, uint32_t axis,
                            uint32_t *value)
{
    const struct shape list = {.rank = 1, .dims = {1}};
    uint32_t inputs[2] = {*value, GRAPH_NONE};
    const double number = axis;
    TRY(espy_pass_constant(pass, "axes", ESPY_INT64, &list, &number, 1, &inputs[1]));
    return espy_pass_add_node(pass, op, hint, inputs, 2, value, NULL);
}

static espy_status add_transpose(struct pass *pass, const char *hint, const double *perm,
                                 uint32_t rank, uint32_t *value)
{
    struct graph_node *made;
    const uint32_t input = *value;
    TRY(espy_pass_add_node(pass, "Transpose", hint, &input, 1, value, &made));
    return espy_graph_set_numbers(pass->graph, made, "perm", perm, rank);
}

// The product at index becomes what puts the result back: it takes the extra axis off again, or
// turns rows into columns.
static espy_status put_back(struct pass *pass, uint32_t index, const struct attention *found,
                            uint32_t result)
{
    const struct shape list = {.rank = 1, .dims = {1}};
    double swapped[ESPY_RANK_MAX];
    turn(found->rank, swapped);
    if (found->turned && found->rank == 3)
        TRY(add_view(pass, "Squeeze", pass->graph->nodes[index].name, 0, &result));
    struct graph_node *node = &pass->graph->nodes[index];
    node->inputs[0] = result;
    node->op = espy_arena_string(&pass->graph->arena, found->turned ? "Transpose" : "Squeeze");
    if (node->op == NULL)
        return ESPY_OUT_OF_MEMORY;
    if (!found->turned)
        return espy_pass_constant(pass, "axes", ESPY_INT64, &list, &(double){0}, 1,
                                  &node->inputs[1]);
    node->input_count = 1;
    return espy_graph_set_numbers(pass->graph, node, "perm", swapped, found->rank);
}

static espy_status rewrite(struct pass *pass, uint32_t index, const struct attention *found)
{
    const char *name = pass->graph->nodes[index].name;
    uint32_t inputs[4] = {found->query, found->key, found->value, found->mask};
    struct graph_node *made;
    double swapped[ESPY_RANK_MAX];
    turn(found->rank, swapped);
    if (found->permuted)
        TRY(add_transpose(pass, name, found->perm, found->rank, &inputs[1]));
    if (found->turned)
        TRY(add_transpose(pass, name, swapped, found->rank, &inputs[2]));
    for (uint32_t i = 0; i < 3 && found->rank == 3; i++)
        TRY(add_view(pass, "Unsqueeze", name, 0, &inputs[i]));
    if (found->windows != GRAPH_NONE) {
        uint32_t masks[2] = {found->mask, found->windows};
        TRY(add_view(pass, "Squeeze", name, 0, &masks[1]));
        inputs[3] = masks[1];
        if (found->mask != GRAPH_NONE)
            TRY(espy_pass_add_node(pass, "Add", name, masks, 2, &inputs[3], NULL));
    }
    uint32_t result;
    const uint32_t input_count = inputs[3] == GRAPH_NONE ? 3 : 4;
    TRY(espy_pass_add_node(pass, "Attention", name, inputs, input_count, &result, &made));
    TRY(espy_graph_set_number(pass->graph, made, "scale", found->scale));
    pass->counts->patterns++;
    if (found->rank == 3 || found->turned)
        return put_back(pass, index, found, result);
    struct graph_node *node = &pass->graph->nodes[index];
    made = &pass->graph->nodes[pass->graph->node_count - 1];
    const uint32_t output = node->outputs[0];
    node->outputs[0] = result; // dead
    made->outputs[0] = output;
    return ESPY_OK;
}

espy_status espy_pass_attention(struct pass *pass)
{
    if (!espy_pass_has_kernel("Attention"))
        return ESPY_OK;
    const uint32_t count = pass->graph->node_count;
    for (uint32_t n = 0; n < count; n++) {
        struct attention found;
        if (match(pass, &pass->graph->nodes[n], &found))
            TRY(rewrite(pass, n, &found));
    }
    return ESPY_OK;
}
