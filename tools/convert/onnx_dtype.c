// Types of what nodes make, before anything is inferred.
#include "convert/convert_internal.h"

#include <string.h>

static bool is_one_of(const char *op, const char *const *list)
{
    for (; *list != NULL; list++)
        if (strcmp(op, *list) == 0)
            return true;
    return false;
}

espy_dtype espy_import_output_dtype(const struct importer *importer, const struct import_node *node,
                                    uint32_t output)
{
    static const char *const integers[] = {
        "Shape", "Size", "NonZero", "ArgMax", "ArgMin", "NonMaxSuppression", NULL};
    static const char *const tests[] = {"Equal",       "Greater", "Less",  "GreaterOrEqual",
                                        "LessOrEqual", "And",     "Or",    "Xor",
                                        "Not",         "IsNaN",   "IsInf", NULL};
    static const char *const indexed[] = {"TopK", "MaxPool", "Unique", NULL};
    static const char *const sums[] = {"ConvInteger", "MatMulInteger", NULL};
    // The input whose type the output has, where that is not the first.
    static const char *const seconds[] = {"Where", "CastLike", "DequantizeLinear", NULL};
    static const char *const thirds[] = {"OneHot", "QuantizeLinear", NULL};
    static const char *const quantized[] = {"QLinearConv", "QLinearMatMul", NULL};
    uint32_t from = 0;
    if (is_one_of(node->op, sums))
        return ESPY_INT32;
    if (strcmp(node->op, "DynamicQuantizeLinear") == 0)
        return output == 1 ? ESPY_FLOAT32 : ESPY_UINT8;
    if (is_one_of(node->op, integers) || (output > 0 && is_one_of(node->op, indexed)))
        return ESPY_INT64;
    if (is_one_of(node->op, tests) || (output > 0 && strcmp(node->op, "Dropout") == 0))
        return ESPY_BOOL;
    const char *name = strcmp(node->op, "Cast") == 0        ? "to"
                       : strstr(node->op, "Linear") == NULL ? "dtype"
                                                            : "output_dtype";
    const onnx_attribute *to = espy_import_find(importer, node->proto, name, NULL);
    if (to != NULL)
        return espy_onnx_dtype((int32_t)to->i);
    if (strcmp(node->op, "ConstantOfShape") == 0) {
        const onnx_attribute *value = espy_import_find(importer, node->proto, "value", NULL);
        return value == NULL || value->t == NULL ? ESPY_FLOAT32
                                                 : espy_onnx_dtype(value->t->data_type);
    }
    if (strcmp(node->op, "QuantizeLinear") == 0 && node->input_count < 3)
        return ESPY_UINT8;
    if (is_one_of(node->op, seconds))
        from = 1;
    else if (is_one_of(node->op, thirds))
        from = 2;
    else if (is_one_of(node->op, quantized))
        from = 7;
    if (from >= node->input_count || node->inputs[from] == GRAPH_NONE)
        return ESPY_DTYPE_NONE;
    return espy_import_dtype(importer, node->inputs[from]);
}
