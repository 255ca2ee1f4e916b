#include <math.h>
#include <string.h>

#include "passes/passes.h"

// A pointwise function right after a kernel that ends in an epilogue costs nothing there and a
// whole pass over memory as a node of its own.

// Reads the two parameters of a step from the node that it replaces; false when the node says more
// than a step can.
static bool read_step(const struct pass *pass, const struct graph_node *node, const char **op,
                      uint32_t *count, const char *names[2], double numbers[2])
{
    *op = node->op;
    *count = 0;
    if (strcmp(node->op, "Gelu") == 0) {
        if (!espy_pass_string_is(node, "approximate", "none", "none"))
            *op = "GeluTanh";
        return true;
    }
    if (strcmp(node->op, "Clip") == 0) {
        static const char *const bounds[2] = {"min", "max"};
        for (uint32_t i = 0; i < 2; i++) {
            if (espy_pass_input(node, i + 1) == GRAPH_NONE)
                continue;
            if (!espy_pass_scalar(pass, node->inputs[i + 1], &numbers[*count]) ||
                !isfinite(numbers[*count]))
                return false;
            names[(*count)++] = bounds[i];
        }
        return true;
    }
    const struct op_step_info *info = espy_step_find(node->op);
    if (node->input_count != 1)
        return false;
    for (uint32_t a = 0; a < node->attr_count; a++) {
        const struct graph_attr *attr = &node->attrs[a];
        uint32_t k = 0;
        while (k < 2 && (info->names[k] == NULL || strcmp(info->names[k], attr->name) != 0))
            k++;
        if (k == 2 || attr->type != GRAPH_ATTR_NUMBER || *count == 2)
            return false;
        names[*count] = attr->name;
        numbers[(*count)++] = attr->numbers[0];
    }
    return true;
}

// Steps are floating-point functions. Where types are not known yet, the operators that only make
// sense on floats say enough.
static bool is_float(const struct pass *pass, const struct graph_node *producer)
{
    static const char *const float_only[] = {"Conv",
                                             "ConvTranspose",
                                             "Gemm",
                                             "LayerNormalization",
                                             "GroupNormalization",
                                             "InstanceNormalization",
                                             "BatchNormalization",
                                             "RMSNormalization"};
    const espy_dtype dtype = pass->facts->types[producer->outputs[0]].dtype;
    if (dtype != ESPY_DTYPE_NONE)
        return espy_dtype_is_float(dtype);
    for (size_t i = 0; i < sizeof(float_only) / sizeof(float_only[0]); i++)
        if (strcmp(producer->op, float_only[i]) == 0)
            return true;
    return false;
}

static bool is_pointwise(const struct graph_node *node)
{
    const struct op *op = espy_op_find(node->op);
    return op != NULL && espy_step_find(node->op) != NULL && node->input_count > 0 &&
           node->output_count == 1 && node->inputs[0] != GRAPH_NONE;
}

static espy_status copy_steps(struct pass *pass, const struct graph_node *from,
                              struct graph_node *to)
{
    for (uint32_t s = 0; s < from->step_count; s++) {
        const struct graph_step *step = &from->steps[s];
        const char *names[2];
        double numbers[2];
        for (uint32_t a = 0; a < step->attr_count && a < 2; a++) {
            names[a] = step->attrs[a].name;
            numbers[a] = step->attrs[a].numbers[0];
        }
        TRY(espy_graph_add_step(pass->graph, to, step->op, names, numbers, step->attr_count));
    }
    return ESPY_OK;
}

// The value behind changes of shape that nothing else uses: a pointwise function may come first.
static uint32_t behind_views(const struct pass *pass, uint32_t value)
{
    static const char *const views[] = {"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose"};
    for (size_t i = 0; i < sizeof(views) / sizeof(views[0]); i++) {
        const struct graph_node *node = espy_pass_maker(pass, value, views[i]);
        if (node == NULL || node->step_count > 0 || node->inputs[0] == GRAPH_NONE ||
            !espy_pass_single_use(pass, value))
            continue;
        value = node->inputs[0];
        i = SIZE_MAX; // from the first again
    }
    return value;
}

// What lies between the producer and the result has changed its meaning, so it gets other names.
static espy_status rename_on_the_way(struct pass *pass, uint32_t result,
                                     const struct graph_node *producer)
{
    const char *hint = pass->graph->values[result].name;
    const struct graph_node *node = espy_pass_maker(pass, result, NULL);
    while (node != NULL && node != producer) {
        struct graph_value *value = &pass->graph->values[node->inputs[0]];
        value->name = espy_pass_value_name(pass, hint);
        if (value->name == NULL)
            return ESPY_OUT_OF_MEMORY;
        node = espy_pass_maker(pass, node->inputs[0], NULL);
    }
    return ESPY_OK;
}

static espy_status fuse(struct pass *pass, struct graph_node *node)
{
    const uint32_t view = node->inputs[0], value = behind_views(pass, view);
    struct graph_node *producer = espy_pass_maker(pass, value, NULL);
    const struct op *op = producer == NULL ? NULL : espy_op_find(producer->op);
    if (op == NULL || (op->flags & OP_EPILOGUE) == 0 || producer->outputs[0] != value ||
        !espy_pass_single_use(pass, value) || !is_float(pass, producer) ||
        producer->step_count + 1 + node->step_count > GRAPH_STEPS_MAX)
        return ESPY_OK;
    const char *step, *names[2];
    double numbers[2];
    uint32_t count;
    if (!read_step(pass, node, &step, &count, names, numbers) || espy_step_find(step) == NULL)
        return ESPY_OK;
    const uint32_t result = node->outputs[0];
    espy_pass_absorb(pass, result, view);
    TRY(rename_on_the_way(pass, result, producer));
    pass->counts->activations++;
    TRY(espy_graph_add_step(pass->graph, producer, step, names, numbers, count));
    return copy_steps(pass, node, producer);
}

espy_status espy_pass_epilogue(struct pass *pass)
{
    const uint32_t count = pass->graph->node_count;
    for (uint32_t n = 0; n < count; n++)
        if (is_pointwise(&pass->graph->nodes[n]))
            TRY(fuse(pass, &pass->graph->nodes[n]));
    return ESPY_OK;
}
