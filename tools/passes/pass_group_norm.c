#include <string.h>

#include "passes/passes.h"

// GroupNormalization as exporters without it write it: Reshape to [N, groups, ...],
// InstanceNormalization without scale and bias, Reshape back, Mul and Add per channel.

struct group_norm {
    uint32_t input, groups, result; // result: what the nodes make so far
    double epsilon;
    struct tensor scale, bias; // data NULL: ones, zeros
};

static bool is_all(const struct tensor *tensor, double number)
{
    for (size_t i = 0; tensor->data != NULL && i < tensor->count; i++)
        if (espy_tensor_number(tensor, i) != number)
            return false;
    return tensor->data != NULL;
}

static bool is_op(const struct graph_node *node, const char *op)
{
    return node != NULL && strcmp(node->op, op) == 0 && node->step_count == 0;
}

// back: the Reshape after the normalisation.
static bool match_core(const struct pass *pass, const struct graph_node *back,
                       struct group_norm *found)
{
    const uint32_t normal = back->inputs[0];
    const struct graph_node *norm = espy_pass_maker(pass, normal, "InstanceNormalization");
    if (!is_op(norm, "InstanceNormalization") || !espy_pass_single_use(pass, normal))
        return false;
    const struct tensor ones = espy_pass_value(pass, espy_pass_input(norm, 1));
    const struct tensor zeros = espy_pass_value(pass, espy_pass_input(norm, 2));
    const uint32_t split = norm->inputs[0];
    const struct graph_node *first = espy_pass_maker(pass, split, "Reshape");
    if (!is_all(&ones, 1) || !is_all(&zeros, 0) || !is_op(first, "Reshape"))
        return false;
    *found = (struct group_norm){.input = first->inputs[0],
                                 .groups = (uint32_t)ones.count,
                                 .result = back->outputs[0],
                                 .epsilon = espy_pass_number(norm, "epsilon", 1e-5)};
    const struct op_type *before = &pass->facts->types[found->input];
    const struct op_type *after = &pass->facts->types[found->result];
    const struct shape *inner = &pass->facts->types[split].shape;
    return before->dtype != ESPY_DTYPE_NONE && after->dtype != ESPY_DTYPE_NONE &&
           espy_shape_equal(&before->shape, &after->shape) && before->shape.rank >= 3 &&
           inner->rank >= 3 && inner->dims[0] == before->shape.dims[0] &&
           inner->dims[1] == found->groups && found->groups > 0 &&
           before->shape.dims[1] >= 0 && before->shape.dims[1] % found->groups == 0;
}

// Follows the result into the only node that uses it, when that applies op per channel.
static void take_constant(const struct pass *pass, struct group_norm *norm, const char *op,
                          struct tensor *constant)
{
    const struct graph_node *user = espy_pass_user(pass, norm->result);
    if (!is_op(user, op) || user->input_count != 2)
        return;
    const struct shape *shape = &pass->facts->types[norm->input].shape;
    const struct tensor value =
        espy_pass_value(pass, user->inputs[user->inputs[0] == norm->result ? 1 : 0]);
    const struct shape *dims = &value.type.shape;
    if (value.data == NULL || dims->rank > shape->rank || dims->rank + 1 < shape->rank ||
        (int64_t)value.count != shape->dims[1] ||
        dims->dims[dims->rank + 1 - shape->rank] != shape->dims[1])
        return;
    *constant = value;
    norm->result = user->outputs[0];
}

static espy_status add_list(struct pass *pass, const struct group_norm *norm, const char *hint,
                            const struct tensor *constant, double fallback, uint32_t *index)
{
    const struct op_type *type = &pass->facts->types[norm->input];
    const size_t count = (size_t)type->shape.dims[1];
    const struct shape list = {.rank = 1, .dims = {type->shape.dims[1]}};
    double *numbers = espy_arena_array(&pass->facts->arena, count, sizeof(*numbers));
    if (numbers == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (size_t i = 0; i < count; i++)
        numbers[i] = constant->data == NULL ? fallback : espy_tensor_number(constant, i);
    return espy_pass_constant(pass, hint, type->dtype, &list, numbers, count, index);
}

static espy_status rewrite(struct pass *pass, const struct group_norm *norm)
{
    uint32_t inputs[3] = {norm->input, GRAPH_NONE, GRAPH_NONE}, unused;
    struct graph_node *made;
    TRY(add_list(pass, norm, "scale", &norm->scale, 1, &inputs[1]));
    TRY(add_list(pass, norm, "bias", &norm->bias, 0, &inputs[2]));
    struct graph_node *old = espy_pass_maker(pass, norm->result, NULL);
    const char *name = old->name;
    TRY(espy_pass_add_node(pass, "GroupNormalization", name, inputs, 3, &unused, &made));
    // The new node makes what the last of the old ones made, which makes what nobody uses.
    old = espy_pass_maker(pass, norm->result, NULL);
    made->outputs[0] = norm->result;
    old->outputs[0] = unused;
    pass->counts->patterns++;
    TRY(espy_graph_set_number(pass->graph, made, "num_groups", norm->groups));
    return espy_graph_set_number(pass->graph, made, "epsilon", norm->epsilon);
}

espy_status espy_pass_group_norm(struct pass *pass)
{
    if (!espy_pass_has_kernel("GroupNormalization"))
        return ESPY_OK;
    const uint32_t count = pass->graph->node_count;
    for (uint32_t n = 0; n < count; n++) {
        struct group_norm norm;
        if (!is_op(&pass->graph->nodes[n], "Reshape") ||
            !match_core(pass, &pass->graph->nodes[n], &norm))
            continue;
        take_constant(pass, &norm, "Mul", &norm.scale);
        take_constant(pass, &norm, "Add", &norm.bias);
        TRY(rewrite(pass, &norm));
    }
    return ESPY_OK;
}
