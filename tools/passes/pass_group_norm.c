#include <string.h>

#include "passes/passes.h"

// GroupNormalization as exporters without it write it: Reshape to [N, groups, -1],
// InstanceNormalization without scale and bias, Reshape back, Mul and Add per channel.

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

// node = op(*from, constant per channel of a value with this shape)
static bool per_channel(const struct pass *pass, const struct graph_node *node, const char *op,
                        const struct shape *shape, uint32_t *from, struct tensor *constant)
{
    if (!is_op(node, op) || node->input_count != 2)
        return false;
    for (uint32_t i = 0; i < 2; i++) {
        *constant = espy_pass_value(pass, node->inputs[i]);
        *from = node->inputs[1 - i];
        const struct shape *dims = &constant->type.shape;
        if (constant->data == NULL || dims->rank > shape->rank || shape->rank < 2 ||
            dims->rank + 1 < shape->rank || (int64_t)constant->count != shape->dims[1] ||
            dims->dims[dims->rank + 1 - shape->rank] != shape->dims[1])
            continue;
        return true;
    }
    return false;
}

static espy_status copy_list(struct pass *pass, const char *hint, const struct tensor *constant,
                             uint32_t *index)
{
    const struct shape list = {.rank = 1, .dims = {(int64_t)constant->count}};
    double *numbers = espy_arena_array(&pass->facts->arena, constant->count, sizeof(*numbers));
    if (numbers == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (size_t i = 0; i < constant->count; i++)
        numbers[i] = espy_tensor_number(constant, i);
    return espy_pass_constant(pass, hint, constant->type.dtype, &list, numbers, constant->count,
                              index);
}

static espy_status match(struct pass *pass, struct graph_node *add)
{
    const struct shape *shape = &pass->facts->types[add->outputs[0]].shape;
    struct tensor scale, bias;
    uint32_t scaled, back, normal, split;
    if (pass->facts->types[add->outputs[0]].dtype == ESPY_DTYPE_NONE ||
        !per_channel(pass, add, "Add", shape, &scaled, &bias) ||
        !espy_pass_single_use(pass, scaled) ||
        !per_channel(pass, espy_pass_maker(pass, scaled, "Mul"), "Mul", shape, &back, &scale) ||
        !espy_pass_single_use(pass, back))
        return ESPY_OK;
    const struct graph_node *reshape = espy_pass_maker(pass, back, "Reshape");
    normal = is_op(reshape, "Reshape") ? reshape->inputs[0] : GRAPH_NONE;
    const struct graph_node *norm = espy_pass_maker(pass, normal, "InstanceNormalization");
    if (!is_op(norm, "InstanceNormalization") || !espy_pass_single_use(pass, normal))
        return ESPY_OK;
    const struct tensor ones = espy_pass_value(pass, espy_pass_input(norm, 1));
    const struct tensor zeros = espy_pass_value(pass, espy_pass_input(norm, 2));
    split = norm->inputs[0];
    const struct graph_node *first = espy_pass_maker(pass, split, "Reshape");
    if (!is_all(&ones, 1) || !is_all(&zeros, 0) || !is_op(first, "Reshape"))
        return ESPY_OK;
    const uint32_t input = first->inputs[0];
    const struct op_type *outer = &pass->facts->types[input];
    const struct shape *inner = &pass->facts->types[split].shape;
    const uint32_t groups = (uint32_t)ones.count;
    if (outer->dtype == ESPY_DTYPE_NONE || !espy_shape_equal(&outer->shape, shape) ||
        inner->rank < 3 || inner->dims[0] != shape->dims[0] || inner->dims[1] != groups ||
        groups == 0 || shape->dims[1] % groups != 0)
        return ESPY_OK;
    const double epsilon = espy_pass_number(norm, "epsilon", 1e-5);
    uint32_t *inputs = espy_arena_array(&pass->graph->arena, 3, sizeof(*inputs));
    if (inputs == NULL)
        return ESPY_OUT_OF_MEMORY;
    inputs[0] = input;
    TRY(copy_list(pass, "scale", &scale, &inputs[1]));
    TRY(copy_list(pass, "bias", &bias, &inputs[2]));
    add->op = espy_arena_string(&pass->graph->arena, "GroupNormalization");
    if (add->op == NULL)
        return ESPY_OUT_OF_MEMORY;
    add->inputs = inputs;
    add->input_count = 3;
    add->attr_count = 0;
    pass->changed = true;
    pass->counts->patterns++;
    TRY(espy_graph_set_number(pass->graph, add, "num_groups", groups));
    return espy_graph_set_number(pass->graph, add, "epsilon", epsilon);
}

espy_status espy_pass_group_norm(struct pass *pass)
{
    if (!espy_pass_has_kernel("GroupNormalization"))
        return ESPY_OK;
    const uint32_t count = pass->graph->node_count;
    for (uint32_t n = 0; n < count; n++)
        if (is_op(&pass->graph->nodes[n], "Add"))
            TRY(match(pass, &pass->graph->nodes[n]));
    return ESPY_OK;
}
