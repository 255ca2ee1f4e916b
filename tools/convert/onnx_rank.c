// How many dimensions values have, before anything is inferred: some operators of other domains
// mean different things by it. Known for inputs, constants, what the file's shape inference has
// noted, and what follows from these by simple rules.
#include "convert/convert_internal.h"

#include <string.h>

int32_t espy_import_rank(const struct importer *importer, uint32_t value)
{
    if (value == GRAPH_NONE)
        return -1;
    const struct graph_value *known = &importer->graph->values[value];
    const bool given = known->data != NULL || known->has_shape;
    if (given)
        return (int32_t)known->shape.rank;
    if (value < importer->note_capacity && importer->notes[value].rank >= 0)
        return importer->notes[value].rank;
    const uint32_t index = espy_map_get(&importer->infos, known->name);
    if (index == MAP_NONE)
        return -1;
    const EspyOnnx__TypeProto *type = importer->proto->value_info[index]->type;
    return type == NULL || type->tensor_type == NULL || type->tensor_type->shape == NULL
               ? -1
               : (int32_t)type->tensor_type->shape->n_dim;
}

static bool is_one_of(const char *op, const char *const *list)
{
    for (; *list != NULL; list++)
        if (strcmp(op, *list) == 0)
            return true;
    return false;
}

// How many numbers an attribute or, since it became one, a constant input lists; -1: not known.
static int32_t list_length(const struct importer *importer, const onnx_node *proto,
                           const struct graph_node *node, const char *name)
{
    const onnx_attribute *attribute =
        proto == NULL ? NULL : espy_import_find(importer, proto, name, NULL);
    if (attribute != NULL)
        return (int32_t)attribute->n_ints;
    if (node->input_count < 2 || node->inputs[1] == GRAPH_NONE)
        return -1;
    const struct graph_value *value = &importer->graph->values[node->inputs[1]];
    return value->data == NULL || value->dtype != ESPY_INT64
               ? -1
               : (int32_t)(value->data_size / sizeof(int64_t));
}

static int32_t largest_rank(const struct importer *importer, const struct graph_node *node)
{
    int32_t largest = 0;
    for (uint32_t i = 0; i < node->input_count; i++) {
        const int32_t rank = espy_import_rank(importer, node->inputs[i]);
        if (rank < 0)
            return -1;
        largest = rank > largest ? rank : largest;
    }
    return largest;
}

// The rank of what a node makes from a first input of a known rank, by the dimensions that it adds
// or takes away.
static int32_t follow_change(const struct importer *importer, const onnx_node *proto,
                             const struct graph_node *node, int32_t rank)
{
    const int32_t second = node->input_count > 1 ? espy_import_rank(importer, node->inputs[1]) : -1;
    if (strcmp(node->op, "MatMul") == 0 || strcmp(node->op, "MatMulInteger") == 0)
        return second < 2 || rank < 2 ? -1 : second > rank ? second : rank;
    if (strcmp(node->op, "Gather") == 0)
        return second < 0 ? -1 : rank - 1 + second;
    const int32_t axes = list_length(importer, proto, node, "axes");
    if (strcmp(node->op, "Unsqueeze") == 0)
        return axes < 0 ? -1 : rank + axes;
    if (strcmp(node->op, "Squeeze") == 0)
        return axes < 0 ? -1 : rank - axes;
    if (strncmp(node->op, "Reduce", strlen("Reduce")) != 0)
        return -1;
    const onnx_attribute *keepdims =
        proto == NULL ? NULL : espy_import_find(importer, proto, "keepdims", NULL);
    return keepdims == NULL || keepdims->i != 0 ? rank : axes < 0 ? -1 : rank - axes;
}

static int32_t follow(const struct importer *importer, const onnx_node *proto,
                      const struct graph_node *node)
{
    static const char *const same[] = {"Cast",
                                       "CastLike",
                                       "Identity",
                                       "Relu",
                                       "Sigmoid",
                                       "Tanh",
                                       "Gelu",
                                       "LayerNormalization",
                                       "Softmax",
                                       "Transpose",
                                       "Slice",
                                       "Concat",
                                       "Conv",
                                       "MaxPool",
                                       "Dropout",
                                       "Clip",
                                       "Split",
                                       "Abs",
                                       "Neg",
                                       "Sqrt",
                                       "Erf",
                                       "QuantizeLinear",
                                       "DequantizeLinear",
                                       "DynamicQuantizeLinear",
                                       "Not",
                                       "QLinearConv",
                                       "BatchNormalization",
                                       "ConvInteger",
                                       "Attention",
                                       "RMSNormalization",
                                       "RotaryEmbedding",
                                       "GroupNormalization",
                                       "AveragePool",
                                       "Swish",
                                       "GlobalAveragePool",
                                       "LeakyRelu",
                                       "HardSigmoid",
                                       "Reciprocal",
                                       "ConvTranspose",
                                       "TensorScatter",
                                       "Resize",
                                       "HardSwish",
                                       "Pad",
                                       NULL};
    static const char *const broadcast[] = {"Add",
                                            "Sub",
                                            "Mul",
                                            "Div",
                                            "Pow",
                                            "Where",
                                            "Equal",
                                            "Less",
                                            "Greater",
                                            "LessOrEqual",
                                            "GreaterOrEqual",
                                            "And",
                                            "Or",
                                            "Min",
                                            "Max",
                                            NULL};
    static const char *const matrices[] = {"Gemm", "Flatten", NULL};
    if (node->input_count == 0)
        return -1;
    if (is_one_of(node->op, broadcast))
        return largest_rank(importer, node);
    if (is_one_of(node->op, matrices))
        return 2;
    if (strcmp(node->op, "Shape") == 0)
        return 1;
    if (strcmp(node->op, "Reshape") == 0)
        return list_length(importer, proto, node, "shape");
    const int32_t rank = espy_import_rank(importer, node->inputs[0]);
    if (rank < 0 || is_one_of(node->op, same))
        return rank;
    return follow_change(importer, proto, node, rank);
}

void espy_import_follow_ranks(struct importer *importer, const onnx_node *proto,
                              const struct graph_node *node)
{
    const int32_t rank = follow(importer, proto, node);
    for (uint32_t i = 0; i < node->output_count && rank >= 0; i++)
        if (node->outputs[i] != GRAPH_NONE)
            importer->notes[node->outputs[i]].rank = rank;
}
