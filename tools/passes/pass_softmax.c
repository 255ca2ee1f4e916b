#include <string.h>

#include "passes/passes.h"

// Up to opset 12 Softmax saw a matrix: everything from its axis on was one row. The importer writes
// that out as Flatten, Softmax, Reshape. Where all but one dim of the row are 1, the row is an
// axis.

// The only axis from `first` on that is not 1; false when there are several.
static bool find_axis(const struct shape *shape, int64_t first, uint32_t *axis)
{
    const int64_t start = first < 0 ? first + shape->rank : first;
    if (start < 0 || start >= shape->rank)
        return false;
    uint32_t wide = 0;
    *axis = (uint32_t)start;
    for (uint32_t i = (uint32_t)start; i < shape->rank; i++) {
        if (shape->dims[i] == 1)
            continue;
        *axis = i;
        wide++;
    }
    return wide <= 1;
}

static bool is_softmax(const char *op)
{
    return strcmp(op, "Softmax") == 0 || strcmp(op, "LogSoftmax") == 0 ||
           strcmp(op, "Hardmax") == 0;
}

static espy_status simplify(struct pass *pass, struct graph_node *reshape)
{
    struct graph_node *soft = espy_pass_maker(pass, espy_pass_input(reshape, 0), NULL);
    if (soft == NULL || !is_softmax(soft->op) || soft->step_count > 0 ||
        !espy_pass_single_use(pass, soft->outputs[0]) || espy_pass_number(soft, "axis", -1) != 1)
        return ESPY_OK;
    const struct graph_node *flatten = espy_pass_maker(pass, soft->inputs[0], "Flatten");
    if (flatten == NULL || flatten->step_count > 0)
        return ESPY_OK;
    const uint32_t input = flatten->inputs[0];
    const struct op_type *before = &pass->facts->types[input];
    const struct op_type *after = &pass->facts->types[reshape->outputs[0]];
    uint32_t axis;
    if (before->dtype == ESPY_DTYPE_NONE || after->dtype == ESPY_DTYPE_NONE ||
        !espy_shape_equal(&before->shape, &after->shape) ||
        !find_axis(&before->shape, (int64_t)espy_pass_number(flatten, "axis", 1), &axis))
        return ESPY_OK;
    bool done;
    espy_pass_replace(pass, reshape->outputs[0], soft->outputs[0], &done);
    if (!done)
        return ESPY_OK;
    soft->inputs[0] = input;
    pass->counts->patterns++;
    return espy_graph_set_number(pass->graph, soft, "axis", axis);
}

espy_status espy_pass_softmax(struct pass *pass)
{
    for (uint32_t n = 0; n < pass->graph->node_count; n++) {
        struct graph_node *node = &pass->graph->nodes[n];
        if (strcmp(node->op, "Reshape") == 0 && node->step_count == 0)
            TRY(simplify(pass, node));
    }
    return ESPY_OK;
}
