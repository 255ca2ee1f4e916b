#include <math.h>
#include <string.h>

#include "passes/passes.h"

// LayerNormalization written out: (x - mean(x)) / sqrt(mean((x - mean(x))^2) + epsilon), then times
// and plus constants over the same axes.

static bool is_op(const struct graph_node *node, const char *op)
{
    return node != NULL && strcmp(node->op, op) == 0 && node->step_count == 0;
}

// value = mean of *from over the last axes, keeping them as 1; *axis is the first of these.
static bool is_mean(const struct pass *pass, uint32_t value, uint32_t *from, uint32_t *axis)
{
    const struct graph_node *node = espy_pass_maker(pass, value, "ReduceMean");
    if (!is_op(node, "ReduceMean") || espy_pass_number(node, "keepdims", 1) != 1)
        return false;
    *from = node->inputs[0];
    const struct op_type *type = &pass->facts->types[*from];
    const struct tensor axes = espy_pass_value(pass, espy_pass_input(node, 1));
    if (type->dtype == ESPY_DTYPE_NONE || axes.data == NULL || axes.count == 0)
        return false;
    const int64_t rank = type->shape.rank;
    uint32_t mask = 0;
    for (size_t i = 0; i < axes.count; i++) {
        const int64_t at = espy_tensor_integer(&axes, i);
        const int64_t positive = at < 0 ? at + rank : at;
        if (positive < 0 || positive >= rank)
            return false;
        mask |= 1u << positive;
    }
    // The last axes, all of them: ones from `axis` up.
    for (*axis = 0; (mask >> *axis & 1) == 0; ++*axis)
        continue;
    bool known = true; // a scale of ones may be made for them
    for (uint32_t d = *axis; d < type->shape.rank; d++)
        known = known && type->shape.dims[d] >= 0;
    return known && mask == (1u << rank) - (1u << *axis);
}

// value = *from * *from
static bool is_square(const struct pass *pass, uint32_t value, uint32_t *from)
{
    const struct graph_node *node = espy_pass_maker(pass, value, NULL);
    double power;
    if (node == NULL || node->step_count > 0 || node->input_count != 2)
        return false;
    *from = node->inputs[0];
    if (strcmp(node->op, "Mul") == 0)
        return node->inputs[1] == *from;
    return strcmp(node->op, "Pow") == 0 && espy_pass_scalar(pass, node->inputs[1], &power) &&
           power == 2;
}

struct layer_norm {
    uint32_t input, axis, result; // result: what the node makes so far
    double epsilon;
    struct tensor scale, bias;
};

// value = sqrt(variance + epsilon) of centred
static bool is_deviation(const struct pass *pass, uint32_t value, uint32_t centred,
                         struct layer_norm *norm)
{
    const struct graph_node *root = espy_pass_maker(pass, value, "Sqrt");
    if (!is_op(root, "Sqrt"))
        return false;
    const struct graph_node *sum = espy_pass_maker(pass, root->inputs[0], "Add");
    if (!is_op(sum, "Add"))
        return false;
    uint32_t variance = sum->inputs[0], squares, base, axis;
    if (!espy_pass_scalar(pass, sum->inputs[1], &norm->epsilon)) {
        variance = sum->inputs[1];
        if (!espy_pass_scalar(pass, sum->inputs[0], &norm->epsilon))
            return false;
    }
    return is_mean(pass, variance, &squares, &axis) && axis == norm->axis &&
           is_square(pass, squares, &base) && base == centred && norm->epsilon >= 0;
}

// node = (x - mean) / deviation
static bool match_core(const struct pass *pass, const struct graph_node *node,
                       struct layer_norm *norm)
{
    const struct graph_node *centred = espy_pass_maker(pass, node->inputs[0], "Sub");
    uint32_t from;
    if (!is_op(centred, "Sub") || !is_mean(pass, centred->inputs[1], &from, &norm->axis) ||
        from != centred->inputs[0])
        return false;
    norm->input = from;
    norm->result = node->outputs[0];
    return is_deviation(pass, node->inputs[1], node->inputs[0], norm);
}

// A constant over the normalised axes, nothing wider.
static bool fits(const struct pass *pass, const struct layer_norm *norm,
                 const struct tensor *constant)
{
    const struct op_type *type = &pass->facts->types[norm->input];
    const struct shape *shape = &constant->type.shape;
    const uint32_t inner = type->shape.rank - norm->axis;
    if (constant->data == NULL || constant->type.dtype != type->dtype || shape->rank < inner)
        return false;
    for (uint32_t i = 0; i < shape->rank; i++) {
        const bool outer = i + inner < shape->rank;
        const uint32_t at = i + type->shape.rank - shape->rank;
        if (shape->rank > type->shape.rank || shape->dims[i] != (outer ? 1 : type->shape.dims[at]))
            return false;
    }
    return true;
}

// Follows the result into the only node that uses it, when that applies op with a constant.
static void take_constant(const struct pass *pass, struct layer_norm *norm, const char *op,
                          struct tensor *constant)
{
    const struct graph_node *user = espy_pass_user(pass, norm->result);
    if (!is_op(user, op) || user->input_count != 2)
        return;
    const uint32_t other = user->inputs[user->inputs[0] == norm->result ? 1 : 0];
    const struct tensor value = espy_pass_value(pass, other);
    if (!fits(pass, norm, &value))
        return;
    *constant = value;
    norm->result = user->outputs[0];
}

static espy_status add_constant(struct pass *pass, const struct layer_norm *norm, const char *hint,
                                const struct tensor *constant, uint32_t *index)
{
    const struct op_type *type = &pass->facts->types[norm->input];
    struct shape shape = {.rank = type->shape.rank - norm->axis};
    size_t count;
    for (uint32_t i = 0; i < shape.rank; i++)
        shape.dims[i] = type->shape.dims[norm->axis + i];
    if (!espy_shape_count(&shape, &count))
        return ESPY_OUT_OF_MEMORY;
    double *numbers = espy_arena_array(&pass->facts->arena, count, sizeof(*numbers));
    if (numbers == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (size_t i = 0; i < count; i++)
        numbers[i] = constant->data == NULL ? 1 : espy_tensor_number(constant, i);
    return espy_pass_constant(pass, hint, type->dtype, &shape, numbers, count, index);
}

// The node at n becomes the whole; the nodes after it whose work it takes over are bypassed.
static espy_status emit(struct pass *pass, uint32_t n, struct layer_norm *norm)
{
    uint32_t *inputs = espy_arena_array(&pass->graph->arena, 3, sizeof(*inputs));
    if (inputs == NULL)
        return ESPY_OUT_OF_MEMORY;
    inputs[0] = norm->input;
    TRY(add_constant(pass, norm, "scale", &norm->scale, &inputs[1]));
    if (norm->bias.data != NULL)
        TRY(add_constant(pass, norm, "bias", &norm->bias, &inputs[2]));
    struct graph_node *node = &pass->graph->nodes[n];
    const uint32_t made = node->outputs[0];
    node->op = espy_arena_string(&pass->graph->arena, "LayerNormalization");
    if (node->op == NULL)
        return ESPY_OUT_OF_MEMORY;
    node->inputs = inputs;
    node->input_count = norm->bias.data != NULL ? 3 : 2;
    node->attr_count = 0;
    const double axis = (double)norm->axis - pass->facts->types[norm->input].shape.rank;
    TRY(espy_graph_set_number(pass->graph, node, "axis", axis));
    TRY(espy_graph_set_number(pass->graph, node, "epsilon", norm->epsilon));
    bool done = true;
    if (norm->result != made)
        espy_pass_replace(pass, norm->result, made, &done);
    pass->changed = true;
    pass->counts->patterns++;
    return ESPY_OK;
}

espy_status espy_pass_layer_norm(struct pass *pass)
{
    if (!espy_pass_has_kernel("LayerNormalization"))
        return ESPY_OK;
    const uint32_t count = pass->graph->node_count;
    for (uint32_t n = 0; n < count; n++) {
        const struct graph_node *node = &pass->graph->nodes[n];
        struct layer_norm norm = {.input = GRAPH_NONE};
        if (!is_op(node, "Div") || node->input_count != 2 || !match_core(pass, node, &norm))
            continue;
        take_constant(pass, &norm, "Mul", &norm.scale);
        take_constant(pass, &norm, "Add", &norm.bias);
        TRY(emit(pass, n, &norm));
    }
    return ESPY_OK;
}
