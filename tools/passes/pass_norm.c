#include <math.h>
#include <string.h>

#include "passes/passes.h"

// A convolution or matrix product whose result is scaled and shifted per channel by constants is
// one with other weights. BatchNormalization in a trained network is that, and so are Mul, Div, Add
// and Sub with a constant per channel.

// y[c] = x[c] * scale[c] + shift[c]
struct affine {
    uint32_t count;
    double *scale, *shift;
};

enum { CONV, CONV_TRANSPOSE, GEMM };

struct producer {
    struct graph_node *node;
    int kind;
    uint32_t rank; // of its result
    uint32_t channels;
    struct tensor weight, bias; // bias.data NULL: none
};

static bool find_kind(const char *op, int *kind)
{
    static const char *const names[] = {"Conv", "ConvTranspose", "Gemm"};
    for (int i = 0; i < 3; i++) {
        *kind = i;
        if (strcmp(op, names[i]) == 0)
            return true;
    }
    return false;
}

// The node that makes value, when its weights are constants that may be changed.
static bool find_producer(const struct pass *pass, uint32_t value, struct producer *producer)
{
    struct graph_node *node = espy_pass_maker(pass, value, NULL);
    if (node == NULL || !find_kind(node->op, &producer->kind) || node->step_count > 0 ||
        node->outputs[0] != value || !espy_pass_single_use(pass, value))
        return false;
    producer->node = node;
    producer->weight = espy_pass_value(pass, espy_pass_input(node, 1));
    producer->bias = (struct tensor){.data = NULL};
    const struct shape *shape = &producer->weight.type.shape;
    if (producer->weight.data == NULL || !espy_dtype_is_float(producer->weight.type.dtype))
        return false;
    producer->rank = shape->rank;
    if (producer->kind == GEMM ? shape->rank != 2 : shape->rank < 3)
        return false;
    const double groups = espy_pass_number(node, "group", 1);
    int64_t channels = shape->dims[0];
    if (producer->kind == CONV_TRANSPOSE)
        channels = groups >= 1 && groups <= 65536 ? shape->dims[1] * (int64_t)groups : 0;
    else if (producer->kind == GEMM && espy_pass_number(node, "transB", 0) == 0)
        channels = shape->dims[1];
    if (channels <= 0 || channels > UINT32_MAX)
        return false;
    producer->channels = (uint32_t)channels;
    if (espy_pass_input(node, 2) == GRAPH_NONE)
        return true;
    producer->bias = espy_pass_value(pass, node->inputs[2]);
    const struct tensor *bias = &producer->bias;
    // A Gemm may add a whole matrix, which has no value per channel.
    const bool per_channel = bias->count == producer->channels && bias->type.shape.rank > 0 &&
                             bias->type.shape.dims[bias->type.shape.rank - 1] == channels;
    return bias->data != NULL && (bias->count == 1 || per_channel);
}

static double *array(struct pass *pass, size_t count)
{
    return espy_arena_array(&pass->facts->arena, count, sizeof(double));
}

static espy_status init_affine(struct pass *pass, uint32_t count, struct affine *affine)
{
    *affine = (struct affine){count, array(pass, count), array(pass, count)};
    if (affine->scale == NULL || affine->shift == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < count; i++)
        affine->scale[i] = 1;
    return ESPY_OK;
}

// ---- what the consumer does per channel ---------------------------------------------------------

static espy_status read_batch_norm(struct pass *pass, const struct graph_node *node,
                                   const struct producer *producer, struct affine *affine,
                                   bool *found)
{
    struct tensor parameters[4]; // scale, bias, mean, variance
    for (uint32_t i = 0; i < 4; i++) {
        parameters[i] = espy_pass_value(pass, espy_pass_input(node, i + 1));
        if (parameters[i].data == NULL || parameters[i].count != producer->channels)
            return ESPY_OK;
    }
    for (uint32_t o = 1; o < node->output_count; o++)
        if (node->outputs[o] != GRAPH_NONE)
            return ESPY_OK;
    if (node->inputs[0] != producer->node->outputs[0])
        return ESPY_OK;
    const double epsilon = espy_pass_number(node, "epsilon", 1e-5);
    TRY(init_affine(pass, producer->channels, affine));
    for (uint32_t c = 0; c < producer->channels; c++) {
        const double deviation = sqrt(espy_tensor_number(&parameters[3], c) + epsilon);
        affine->scale[c] = espy_tensor_number(&parameters[0], c) / deviation;
        affine->shift[c] = espy_tensor_number(&parameters[1], c) -
                           espy_tensor_number(&parameters[2], c) * affine->scale[c];
    }
    *found = true;
    return ESPY_OK;
}

// true: the constant has one element per channel, or one in all, and widens nothing.
static bool is_per_channel(const struct tensor *constant, const struct producer *producer)
{
    const struct shape *shape = &constant->type.shape;
    if (constant->data == NULL || shape->rank > producer->rank)
        return false;
    for (uint32_t i = 0; i < shape->rank; i++) {
        const uint32_t axis = producer->rank - shape->rank + i;
        if (shape->dims[i] != 1 && !(axis == 1 && shape->dims[i] == producer->channels))
            return false;
    }
    return true;
}

static espy_status read_arithmetic(struct pass *pass, const struct graph_node *node,
                                   const struct producer *producer, struct affine *affine,
                                   bool *found)
{
    const uint32_t value = producer->node->outputs[0];
    const bool first = node->inputs[0] == value;
    const bool additive = strcmp(node->op, "Add") == 0 || strcmp(node->op, "Sub") == 0;
    const bool inverse = strcmp(node->op, "Sub") == 0 || strcmp(node->op, "Div") == 0;
    const struct tensor constant = espy_pass_value(pass, node->inputs[first ? 1 : 0]);
    if ((inverse && !first) || !is_per_channel(&constant, producer) ||
        constant.type.dtype != producer->weight.type.dtype)
        return ESPY_OK;
    TRY(init_affine(pass, producer->channels, affine));
    for (uint32_t c = 0; c < producer->channels; c++) {
        const double number = espy_tensor_number(&constant, constant.count == 1 ? 0 : c);
        if (additive)
            affine->shift[c] = inverse ? -number : number;
        else
            affine->scale[c] = inverse ? 1 / number : number;
    }
    *found = true;
    return ESPY_OK;
}

// ---- new weights --------------------------------------------------------------------------------

static uint32_t channel_of(const struct producer *producer, size_t row, size_t column)
{
    if (producer->kind == CONV)
        return (uint32_t)row;
    if (producer->kind == GEMM) // rows are channels where B is transposed
        return (uint32_t)(espy_pass_number(producer->node, "transB", 0) == 0 ? column : row);
    const struct shape *shape = &producer->weight.type.shape;
    const double groups = espy_pass_number(producer->node, "group", 1);
    const size_t rows_per_group = (size_t)shape->dims[0] / (groups >= 1 ? (size_t)groups : 1);
    return (uint32_t)(row / rows_per_group * (size_t)shape->dims[1] + column);
}

// The producer's weights, scaled. No copy in double: they may be most of what a network is.
static espy_status scale_weights(struct pass *pass, const struct producer *producer,
                                 const struct affine *affine, struct tensor *scaled)
{
    const struct tensor *weight = &producer->weight;
    const size_t rows = (size_t)weight->type.shape.dims[0];
    const size_t columns = (size_t)weight->type.shape.dims[1];
    const size_t inner = rows * columns == 0 ? 0 : weight->count / (rows * columns);
    *scaled = (struct tensor){.type = weight->type, .count = weight->count};
    scaled->data = espy_arena_alloc(&pass->graph->arena, espy_tensor_size(weight));
    if (scaled->data == NULL)
        return ESPY_OUT_OF_MEMORY;
    size_t i = 0;
    for (size_t row = 0; row < rows; row++) {
        for (size_t column = 0; column < columns; column++) {
            const double scale = affine->scale[channel_of(producer, row, column)];
            for (size_t k = 0; k < inner; k++, i++)
                espy_tensor_set_number(scaled, i, espy_tensor_number(weight, i) * scale);
        }
    }
    return ESPY_OK;
}

static espy_status shift_bias(struct pass *pass, const struct producer *producer,
                              const struct affine *affine, double beta, struct tensor *shifted)
{
    const struct tensor *bias = &producer->bias;
    *shifted = (struct tensor){
        .type = {producer->weight.type.dtype, {.rank = 1, .dims = {(int64_t)affine->count}}},
        .count = affine->count};
    shifted->data = espy_arena_alloc(&pass->graph->arena, espy_tensor_size(shifted));
    if (shifted->data == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t c = 0; c < affine->count; c++) {
        const double old =
            bias->data == NULL ? 0 : espy_tensor_number(bias, bias->count == 1 ? 0 : c);
        espy_tensor_set_number(shifted, c, beta * old * affine->scale[c] + affine->shift[c]);
    }
    return ESPY_OK;
}

static bool has_bias(const struct producer *producer, const struct affine *affine)
{
    bool shifts = producer->bias.data != NULL;
    for (uint32_t c = 0; c < affine->count; c++)
        shifts = shifts || affine->shift[c] != 0;
    return shifts;
}

static bool all_finite(const struct tensor *tensor)
{
    for (size_t i = 0; i < tensor->count; i++)
        if (!isfinite(espy_tensor_number(tensor, i)))
            return false;
    return true;
}

static espy_status add_constant(struct pass *pass, const char *hint, const struct tensor *tensor,
                                uint32_t *index)
{
    const char *name = espy_pass_value_name(pass, hint);
    if (name == NULL)
        return ESPY_OUT_OF_MEMORY;
    pass->changed = true;
    return espy_graph_add_constant(pass->graph, name, tensor->type.dtype, &tensor->type.shape,
                                   tensor->data, espy_tensor_size(tensor), index);
}

static espy_status apply(struct pass *pass, const struct producer *producer,
                         const struct affine *affine, bool *done)
{
    struct graph_node *node = producer->node;
    const double groups = espy_pass_number(node, "group", 1);
    const double beta = producer->kind == GEMM ? espy_pass_number(node, "beta", 1) : 1;
    if (producer->kind == CONV_TRANSPOSE && groups >= 1 &&
        producer->weight.type.shape.dims[0] % (int64_t)groups != 0)
        return ESPY_OK;
    struct tensor weights, bias;
    TRY(scale_weights(pass, producer, affine, &weights));
    TRY(shift_bias(pass, producer, affine, beta, &bias));
    if (!all_finite(&weights) || !all_finite(&bias))
        return ESPY_OK;
    *done = true;
    uint32_t *inputs = espy_arena_array(&pass->graph->arena, 3, sizeof(*inputs));
    if (inputs == NULL)
        return ESPY_OUT_OF_MEMORY;
    const bool biased = has_bias(producer, affine);
    inputs[0] = node->inputs[0];
    TRY(add_constant(pass, pass->graph->values[node->inputs[1]].name, &weights, &inputs[1]));
    if (biased)
        TRY(add_constant(pass, node->name, &bias, &inputs[2]));
    node->inputs = inputs;
    node->input_count = biased ? 3 : 2;
    if (beta != 1)
        TRY(espy_graph_set_number(pass->graph, node, "beta", 1));
    return ESPY_OK;
}

static espy_status fold_into_producer(struct pass *pass, struct graph_node *node)
{
    static const char *const arithmetic[] = {"Mul", "Div", "Add", "Sub"};
    const bool batch_norm = strcmp(node->op, "BatchNormalization") == 0;
    bool relevant = batch_norm;
    for (size_t i = 0; i < 4; i++)
        relevant = relevant || strcmp(node->op, arithmetic[i]) == 0;
    if (!relevant || node->input_count < 2 || node->step_count > 0)
        return ESPY_OK;
    struct producer producer;
    struct affine affine;
    bool found = false;
    if (!find_producer(pass, node->inputs[0], &producer) &&
        (batch_norm || !find_producer(pass, node->inputs[1], &producer)))
        return ESPY_OK;
    if (batch_norm)
        TRY(read_batch_norm(pass, node, &producer, &affine, &found));
    else
        TRY(read_arithmetic(pass, node, &producer, &affine, &found));
    if (!found)
        return ESPY_OK;
    bool done = false;
    TRY(apply(pass, &producer, &affine, &done));
    if (!done)
        return ESPY_OK;
    espy_pass_absorb(pass, node->outputs[0], producer.node->outputs[0]);
    pass->counts->norms++;
    return ESPY_OK;
}

espy_status espy_pass_norm(struct pass *pass)
{
    const uint32_t count = pass->graph->node_count;
    for (uint32_t n = 0; n < count; n++)
        TRY(fold_into_producer(pass, &pass->graph->nodes[n]));
    return ESPY_OK;
}
