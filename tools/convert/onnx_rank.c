// How many dimensions values have, before anything is inferred: some operators of other domains
// mean different things by it. Known for inputs, constants, what the file's shape inference has
// noted, and what follows from these by simple rules.
#include "convert/convert_internal.h"

#include <string.h>

espy_status espy_import_info(struct importer *importer, const onnx_info *info)
{
    const EspyOnnx__TypeProto__Tensor *type = info->type == NULL ? NULL : info->type->tensor_type;
    if (type == NULL || type->shape == NULL || info->name == NULL)
        return ESPY_OK;
    const char *name = espy_arena_string(&importer->memory, info->name);
    if (name == NULL)
        return ESPY_OUT_OF_MEMORY;
    return espy_map_put(&importer->infos, name, (uint32_t)type->shape->n_dim);
}

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
    return (int32_t)espy_map_get(&importer->infos, known->name); // MAP_NONE is -1
}

// How many numbers a list has that shapes are computed in; -1: not known, or no list.
static int32_t length_of(const struct importer *importer, uint32_t value)
{
    if (value == GRAPH_NONE)
        return -1;
    const struct graph_value *known = &importer->graph->values[value];
    if (known->data != NULL || known->has_shape)
        return known->shape.rank == 1 && known->shape.dims[0] <= ESPY_RANK_MAX
                   ? (int32_t)known->shape.dims[0]
                   : -1;
    return value < importer->note_capacity ? importer->notes[value].length : -1;
}

// How many numbers an attribute or, since it became one, the second input lists; -1: not known.
static int32_t list_length(const struct importer *importer, const onnx_node *proto,
                           const struct graph_node *node, const char *name)
{
    const onnx_attribute *attribute =
        proto == NULL ? NULL : espy_import_find(importer, proto, name, NULL);
    if (attribute != NULL)
        return (int32_t)attribute->n_ints;
    return node->input_count < 2 ? -1 : length_of(importer, node->inputs[1]);
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

enum rank_rule {
    RANK_CHANGES, // dimensions are added or taken away
    RANK_SAME,    // as the first input
    RANK_LARGEST, // as the input that has most
    RANK_MATRIX   // 2
};

static enum rank_rule rule_of(const char *op)
{
    static const struct {
        const char *op;
        enum rank_rule rule;
    } rules[] = {
        {"Abs", RANK_SAME},
        {"Acos", RANK_SAME},
        {"Add", RANK_LARGEST},
        {"And", RANK_LARGEST},
        {"Asin", RANK_SAME},
        {"Atan", RANK_SAME},
        {"Attention", RANK_SAME},
        {"AveragePool", RANK_SAME},
        {"BatchNormalization", RANK_SAME},
        {"BitShift", RANK_LARGEST},
        {"BitwiseAnd", RANK_LARGEST},
        {"BitwiseNot", RANK_SAME},
        {"BitwiseOr", RANK_LARGEST},
        {"BitwiseXor", RANK_LARGEST},
        {"Cast", RANK_SAME},
        {"CastLike", RANK_SAME},
        {"Ceil", RANK_SAME},
        {"Celu", RANK_SAME},
        {"Clip", RANK_SAME},
        {"Concat", RANK_SAME},
        {"Conv", RANK_SAME},
        {"ConvInteger", RANK_SAME},
        {"ConvTranspose", RANK_SAME},
        {"Cos", RANK_SAME},
        {"Cosh", RANK_SAME},
        {"CumSum", RANK_SAME},
        {"DeformConv", RANK_SAME},
        {"DepthToSpace", RANK_SAME},
        {"DequantizeLinear", RANK_SAME},
        {"Div", RANK_LARGEST},
        {"Dropout", RANK_SAME},
        {"DynamicQuantizeLinear", RANK_SAME},
        {"Elu", RANK_SAME},
        {"Equal", RANK_LARGEST},
        {"Erf", RANK_SAME},
        {"Exp", RANK_SAME},
        {"Flatten", RANK_MATRIX},
        {"Floor", RANK_SAME},
        {"GatherElements", RANK_SAME},
        {"Gelu", RANK_SAME},
        {"Gemm", RANK_MATRIX},
        {"GlobalAveragePool", RANK_SAME},
        {"GlobalLpPool", RANK_SAME},
        {"GlobalMaxPool", RANK_SAME},
        {"Greater", RANK_LARGEST},
        {"GreaterOrEqual", RANK_LARGEST},
        {"GridSample", RANK_SAME},
        {"GroupNormalization", RANK_SAME},
        {"HardSigmoid", RANK_SAME},
        {"HardSwish", RANK_SAME},
        {"Hardmax", RANK_SAME},
        {"Identity", RANK_SAME},
        {"InstanceNormalization", RANK_SAME},
        {"IsInf", RANK_SAME},
        {"IsNaN", RANK_SAME},
        {"LRN", RANK_SAME},
        {"LayerNormalization", RANK_SAME},
        {"LeakyRelu", RANK_SAME},
        {"Less", RANK_LARGEST},
        {"LessOrEqual", RANK_LARGEST},
        {"Log", RANK_SAME},
        {"LogSoftmax", RANK_SAME},
        {"LpNormalization", RANK_SAME},
        {"LpPool", RANK_SAME},
        {"Max", RANK_LARGEST},
        {"MaxPool", RANK_SAME},
        {"Mean", RANK_LARGEST},
        {"MeanVarianceNormalization", RANK_SAME},
        {"Min", RANK_LARGEST},
        {"Mish", RANK_SAME},
        {"Mod", RANK_LARGEST},
        {"Mul", RANK_LARGEST},
        {"Neg", RANK_SAME},
        {"Not", RANK_SAME},
        {"Or", RANK_LARGEST},
        {"PRelu", RANK_SAME},
        {"Pad", RANK_SAME},
        {"Pow", RANK_LARGEST},
        {"QLinearConv", RANK_SAME},
        {"QuantizeLinear", RANK_SAME},
        {"RMSNormalization", RANK_SAME},
        {"Reciprocal", RANK_SAME},
        {"Relu", RANK_SAME},
        {"Resize", RANK_SAME},
        {"ReverseSequence", RANK_SAME},
        {"RotaryEmbedding", RANK_SAME},
        {"Round", RANK_SAME},
        {"ScatterElements", RANK_SAME},
        {"ScatterND", RANK_SAME},
        {"Selu", RANK_SAME},
        {"Sigmoid", RANK_SAME},
        {"Sign", RANK_SAME},
        {"Sin", RANK_SAME},
        {"Sinh", RANK_SAME},
        {"Slice", RANK_SAME},
        {"Softmax", RANK_SAME},
        {"Softplus", RANK_SAME},
        {"Softsign", RANK_SAME},
        {"SpaceToDepth", RANK_SAME},
        {"Split", RANK_SAME},
        {"Sqrt", RANK_SAME},
        {"Sub", RANK_LARGEST},
        {"Sum", RANK_LARGEST},
        {"Swish", RANK_SAME},
        {"Tan", RANK_SAME},
        {"Tanh", RANK_SAME},
        {"TensorScatter", RANK_SAME},
        {"ThresholdedRelu", RANK_SAME},
        {"Tile", RANK_SAME},
        {"TopK", RANK_SAME},
        {"Transpose", RANK_SAME},
        {"Trilu", RANK_SAME},
        {"Upsample", RANK_SAME},
        {"Where", RANK_LARGEST},
        {"Xor", RANK_LARGEST},
    };
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
        if (strcmp(rules[i].op, op) == 0)
            return rules[i].rule;
    return RANK_CHANGES;
}

static int32_t follow_rank(const struct importer *importer, const onnx_node *proto,
                           const struct graph_node *node)
{
    const int32_t first = espy_import_rank(importer, node->inputs[0]);
    switch (rule_of(node->op)) {
    case RANK_SAME:
        return first;
    case RANK_LARGEST:
        return largest_rank(importer, node);
    case RANK_MATRIX:
        return 2;
    case RANK_CHANGES:
        break;
    }
    if (strcmp(node->op, "Shape") == 0)
        return 1;
    if (strcmp(node->op, "ConstantOfShape") == 0)
        return length_of(importer, node->inputs[0]);
    const int32_t listed = list_length(importer, proto, node, "shape");
    if (strcmp(node->op, "Reshape") == 0)
        return listed;
    if (first < 0)
        return -1;
    if (strcmp(node->op, "Expand") == 0)
        return listed < 0 ? -1 : listed > first ? listed : first;
    return follow_change(importer, proto, node, first);
}

// Lists that exporters put shapes together from: Shape, Gather, Unsqueeze, Concat.
static int32_t follow_length(const struct importer *importer, const onnx_node *proto,
                             const struct graph_node *node)
{
    const bool whole = proto == NULL || proto->n_attribute == 0; // Shape has no start or end
    int32_t sum = 0;
    if (strcmp(node->op, "Shape") == 0)
        return whole && node->attr_count == 0 ? espy_import_rank(importer, node->inputs[0]) : -1;
    if (strcmp(node->op, "Unsqueeze") == 0)
        return espy_import_rank(importer, node->inputs[0]) == 0 ? 1 : -1;
    if (strcmp(node->op, "Gather") == 0)
        return node->input_count < 2 ? -1 : length_of(importer, node->inputs[1]);
    if (strcmp(node->op, "Cast") == 0 || strcmp(node->op, "Identity") == 0)
        return length_of(importer, node->inputs[0]);
    if (strcmp(node->op, "Concat") != 0)
        return -1;
    for (uint32_t i = 0; i < node->input_count; i++) {
        const int32_t length = length_of(importer, node->inputs[i]);
        if (length < 0)
            return -1;
        sum += length;
    }
    return sum;
}

void espy_import_follow_ranks(struct importer *importer, const onnx_node *proto,
                              const struct graph_node *node)
{
    if (node->input_count == 0)
        return;
    const int32_t rank = follow_rank(importer, proto, node);
    const int32_t length = rank == 1 ? follow_length(importer, proto, node) : -1;
    for (uint32_t i = 0; i < node->output_count && rank >= 0; i++) {
        if (node->outputs[i] == GRAPH_NONE)
            continue;
        importer->notes[node->outputs[i]].rank = rank;
        importer->notes[node->outputs[i]].length = length;
    }
}
