#include <string.h>

#include "passes/passes.h"

// A linear layer, as exporters write it for more than two dims: MatMul with a matrix of weights,
// then Add of a bias. Gemm does both in one kernel and can end in an activation; the shapes around
// it are views.

struct linear {
    uint32_t input, weight, bias, result;
    int64_t rows, depth, columns;
};

// All dims but the last together; -1 where one of them is not known. false: more are not.
static bool count_rows(const struct shape *shape, int64_t *rows)
{
    struct shape known = {0};
    size_t count;
    for (uint32_t i = 0; i + 1 < shape->rank; i++)
        if (shape->dims[i] >= 0)
            known.dims[known.rank++] = shape->dims[i];
    if (!espy_shape_count(&known, &count) || known.rank + 2 < shape->rank)
        return false;
    *rows = count == 0 ? 0 : known.rank + 1 < shape->rank ? -1 : (int64_t)count;
    return true;
}

static bool match(const struct pass *pass, const struct graph_node *add, uint32_t side,
                  struct linear *linear)
{
    const uint32_t product = add->inputs[side];
    const struct graph_node *matmul = espy_pass_maker(pass, product, "MatMul");
    const struct tensor bias = espy_pass_value(pass, add->inputs[1 - side]);
    if (matmul == NULL || matmul->step_count > 0 || !espy_pass_single_use(pass, product) ||
        bias.data == NULL)
        return false;
    const struct tensor weight = espy_pass_value(pass, matmul->inputs[1]);
    const struct op_type *input = &pass->facts->types[matmul->inputs[0]];
    const struct op_type *type = &pass->facts->types[product];
    int64_t rows;
    if (weight.data == NULL || weight.type.shape.rank != 2 || input->dtype == ESPY_DTYPE_NONE ||
        !espy_dtype_is_float(input->dtype) || input->shape.rank < 2 ||
        weight.type.dtype != input->dtype || bias.type.dtype != input->dtype ||
        !espy_shape_equal(&type->shape, &pass->facts->types[add->outputs[0]].shape) ||
        !count_rows(&type->shape, &rows))
        return false;
    *linear = (struct linear){.input = matmul->inputs[0],
                              .weight = matmul->inputs[1],
                              .bias = add->inputs[1 - side],
                              .result = product,
                              .depth = weight.type.shape.dims[0],
                              .columns = weight.type.shape.dims[1]};
    const struct shape *shape = &bias.type.shape;
    if (linear->columns == 0 || linear->depth == 0 || rows == 0 ||
        (int64_t)bias.count != linear->columns || shape->rank == 0 ||
        shape->dims[shape->rank - 1] != linear->columns)
        return false;
    linear->rows = rows;
    return true;
}

static espy_status add_reshape(struct pass *pass, const char *hint, uint32_t from,
                               const struct shape *shape, uint32_t *to)
{
    const struct shape list = {.rank = 1, .dims = {shape->rank}};
    double dims[ESPY_RANK_MAX];
    uint32_t inputs[2] = {from, GRAPH_NONE};
    for (uint32_t i = 0; i < shape->rank; i++)
        dims[i] = shape->dims[i] < 0 ? -1 : (double)shape->dims[i];
    TRY(espy_pass_constant(pass, "shape", ESPY_INT64, &list, dims, shape->rank, &inputs[1]));
    return espy_pass_add_node(pass, "Reshape", hint, inputs, 2, to, NULL);
}

// A bias of rank above 1 has ones before its columns; Gemm wants it to fit a matrix.
static espy_status flat_bias(struct pass *pass, const struct linear *linear, uint32_t *bias)
{
    const struct tensor tensor = espy_pass_value(pass, linear->bias);
    const struct shape list = {.rank = 1, .dims = {linear->columns}};
    *bias = linear->bias;
    if (tensor.type.shape.rank <= 2)
        return ESPY_OK;
    return add_reshape(pass, "bias", linear->bias, &list, bias); // folded in the next round
}

static espy_status rewrite(struct pass *pass, uint32_t index, const struct linear *linear)
{
    const char *name = pass->graph->nodes[index].name;
    const struct shape whole = pass->facts->types[linear->result].shape;
    const struct shape rows = {.rank = 2, .dims = {linear->rows, linear->depth}};
    const bool is_matrix = whole.rank == 2;
    uint32_t inputs[3] = {linear->input, linear->weight, GRAPH_NONE}, result;
    TRY(flat_bias(pass, linear, &inputs[2]));
    if (!is_matrix)
        TRY(add_reshape(pass, name, linear->input, &rows, &inputs[0]));
    TRY(espy_pass_add_node(pass, "Gemm", name, inputs, 3, &result, NULL));
    if (!is_matrix)
        TRY(add_reshape(pass, name, result, &whole, &result));
    // The new node makes what the Add made; the Add makes what nobody uses.
    struct graph_node *made = &pass->graph->nodes[pass->graph->node_count - 1];
    struct graph_node *add = &pass->graph->nodes[index];
    made->outputs[0] = add->outputs[0];
    add->outputs[0] = result;
    pass->counts->patterns++;
    return ESPY_OK;
}

espy_status espy_pass_linear(struct pass *pass)
{
    if (!espy_pass_has_kernel("Gemm"))
        return ESPY_OK;
    const uint32_t count = pass->graph->node_count;
    for (uint32_t n = 0; n < count; n++) {
        const struct graph_node *node = &pass->graph->nodes[n];
        struct linear linear;
        if (strcmp(node->op, "Add") != 0 || node->step_count > 0 || node->input_count != 2)
            continue;
        if (match(pass, node, 0, &linear) || match(pass, node, 1, &linear))
            TRY(rewrite(pass, n, &linear));
    }
    return ESPY_OK;
}
