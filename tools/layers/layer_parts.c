#include "layers/layer_build.h"

// Parts that several blocks have.

uint32_t espy_layer_matmul(struct layer *layer, uint32_t x, uint32_t weight, uint32_t bias)
{
    if (espy_layer_rank(layer, x) == 2) {
        const uint32_t product = espy_layer_op(layer, "Gemm", (uint32_t[]){x, weight, bias}, 3);
        espy_layer_set(layer, "transB", 1);
        return product;
    }
    const uint32_t turned = espy_layer_transpose(layer, weight, (int64_t[]){1, 0}, 2);
    const uint32_t product = espy_layer_binary(layer, "MatMul", x, turned);
    return bias == GRAPH_NONE ? product : espy_layer_binary(layer, "Add", product, bias);
}

uint32_t espy_layer_linear(struct layer *layer, const char *path, uint32_t x)
{
    const uint32_t weight = espy_layer_weight(layer, path, "weight");
    const uint32_t bias = espy_layer_optional(layer, path, "bias");
    if (!espy_layer_failed(layer) && espy_layer_rank(layer, weight) != 2)
        espy_layer_fail(layer, "%s.weight has %u dimensions, a linear layer's has 2", path,
                        (unsigned)espy_layer_rank(layer, weight));
    return espy_layer_matmul(layer, x, weight, bias);
}

uint32_t espy_layer_pointwise(struct layer *layer, const char *path, uint32_t x)
{
    uint32_t weight = espy_layer_weight(layer, path, "weight");
    const uint32_t bias = espy_layer_optional(layer, path, "bias");
    if (espy_layer_rank(layer, weight) == 2)
        weight = espy_layer_binary(layer, "Unsqueeze", weight,
                                   espy_layer_ints(layer, (int64_t[]){2, 3}, 2));
    return espy_layer_op(layer, "Conv", (uint32_t[]){x, weight, bias}, 3);
}

uint32_t espy_layer_layer_norm(struct layer *layer, const char *path, double epsilon, uint32_t x)
{
    const uint32_t weight = espy_layer_weight(layer, path, "weight");
    const uint32_t bias = espy_layer_optional(layer, path, "bias");
    const uint32_t y = espy_layer_op(layer, "LayerNormalization", (uint32_t[]){x, weight, bias}, 3);
    espy_layer_set(layer, "axis", -(double)espy_layer_rank(layer, weight));
    espy_layer_set(layer, "epsilon", epsilon);
    return y;
}

uint32_t espy_layer_reshape(struct layer *layer, uint32_t x, const int64_t *dims, uint32_t count)
{
    return espy_layer_binary(layer, "Reshape", x, espy_layer_ints(layer, dims, count));
}

uint32_t espy_layer_transpose(struct layer *layer, uint32_t x, const int64_t *order, uint32_t count)
{
    const uint32_t y = espy_layer_unary(layer, "Transpose", x);
    espy_layer_set_ints(layer, "perm", order, count);
    return y;
}

uint32_t espy_layer_concat(struct layer *layer, int64_t axis, const uint32_t *values,
                           uint32_t count)
{
    const uint32_t y = espy_layer_op(layer, "Concat", values, count);
    espy_layer_set(layer, "axis", (double)axis);
    return y;
}

uint32_t espy_layer_shape(struct layer *layer, uint32_t x, int64_t first, int64_t end)
{
    const uint32_t y = espy_layer_unary(layer, "Shape", x);
    espy_layer_set(layer, "start", (double)first);
    if (end != LAYER_ALL)
        espy_layer_set(layer, "end", (double)end);
    return y;
}

uint32_t espy_layer_tokens(struct layer *layer, uint32_t x)
{
    const uint32_t flat =
        espy_layer_binary(layer, "Reshape", x, espy_layer_ints(layer, (int64_t[]){0, 0, -1}, 3));
    return espy_layer_transpose(layer, flat, (int64_t[]){0, 2, 1}, 3);
}

uint32_t espy_layer_act(struct layer *layer, const struct layer_tree *tree, const char *usual,
                        uint32_t x)
{
    if (tree->json == NULL)
        return usual == NULL ? x : espy_layer_unary(layer, usual, x);
    return espy_layer_run(layer, tree, x);
}

// One number for all axes, or one for each; false: neither.
static bool spread(const struct layer_ints *ints, uint32_t axes, int64_t *values)
{
    for (uint32_t a = 0; a < axes; a++)
        values[a] = ints->values[ints->count == 1 ? 0 : a];
    return ints->count == 1 || ints->count == axes;
}

void espy_layer_window(struct layer *layer, const struct layer_window *window, uint32_t axes,
                       const int64_t *kernel)
{
    int64_t strides[ESPY_RANK_MAX], dilations[ESPY_RANK_MAX], pads[2 * ESPY_RANK_MAX] = {0};
    const struct layer_ints *padding = window->padding;
    bool steps = false; // larger than 1
    if (espy_layer_failed(layer))
        return;
    if (!spread(window->stride, axes, strides) || !spread(window->dilation, axes, dilations)) {
        espy_layer_fail(layer, "stride and dilation need one number, or %u", (unsigned)axes);
        return;
    }
    for (uint32_t a = 0; a < axes; a++)
        steps = steps || strides[a] > 1;
    for (uint32_t a = 0; a < axes && padding->word >= 0; a++) {
        const int64_t total = (kernel[a] - 1) * dilations[a];
        pads[a] = total / 2;
        pads[axes + a] = total - total / 2;
    }
    if (padding->word < 0 && padding->count == 2 * axes) {
        for (uint32_t a = 0; a < 2 * axes; a++)
            pads[a] = padding->values[a];
    } else if (padding->word < 0) {
        if (!spread(padding, axes, pads) || !spread(padding, axes, pads + axes))
            espy_layer_fail(layer, "padding needs one number, %u, or %u: first before, then after",
                            (unsigned)axes, 2 * (unsigned)axes);
    }
    espy_layer_set_ints(layer, "strides", strides, axes);
    espy_layer_set_ints(layer, "dilations", dilations, axes);
    if (padding->word >= 0 && steps) // depends on the input's size
        espy_layer_set_string(layer, "auto_pad", "SAME_UPPER");
    else
        espy_layer_set_ints(layer, "pads", pads, 2 * axes);
}
