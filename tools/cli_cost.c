#include "cli_cost.h"

#include <string.h>

// How MACs follow from shapes. W: the weight input.
enum rule {
    OUTPUT_TIMES_FILTER, // output elements * elements of W per output channel
    INPUT_TIMES_FILTER,  // input elements * elements of W per input channel
    OUTPUT_TIMES_DEPTH,  // output elements * last dim of the first input
    OUTPUT_TIMES_ROW,    // Gemm: output elements * first input's elements per output row
    ATTENTION,           // query elements and output elements, times the keys
    EINSUM               // the product of every index's range
};

static const struct {
    const char *op;
    enum rule rule;
    uint32_t weight; // index of W, or of the keys
} rules[] = {
    {"Attention", ATTENTION, 1},
    {"Conv", OUTPUT_TIMES_FILTER, 1},
    {"ConvInteger", OUTPUT_TIMES_FILTER, 1},
    {"ConvTranspose", INPUT_TIMES_FILTER, 1},
    {"DeformConv", OUTPUT_TIMES_FILTER, 1},
    {"Einsum", EINSUM, 0},
    {"Gemm", OUTPUT_TIMES_ROW, 1},
    {"MatMul", OUTPUT_TIMES_DEPTH, 1},
    {"MatMulInteger", OUTPUT_TIMES_DEPTH, 1},
    {"QLinearConv", OUTPUT_TIMES_FILTER, 3},
    {"QLinearMatMul", OUTPUT_TIMES_DEPTH, 3},
};

static const struct op_type *type_of(const struct op_walk *walk, const uint32_t *values,
                                     uint32_t count, uint32_t i)
{
    if (i >= count || values[i] == GRAPH_NONE || !walk->types[values[i]].dtype)
        return NULL;
    return &walk->types[values[i]];
}

static uint64_t elements(const struct op_type *type)
{
    size_t count = 0;
    return espy_shape_count(&type->shape, &count) ? count : 0;
}

static uint64_t per(uint64_t count, int64_t dim)
{
    return dim > 0 ? count / (uint64_t)dim : 0;
}

// "bhid,bhjd->bhij": b * h * i * j * d. An ellipsis leaves the answer unknown.
static void count_einsum(const struct op_walk *walk, const struct graph_node *node,
                         struct cli_cost *cost)
{
    const struct graph_attr *attr = espy_graph_find_attr(node, "equation");
    uint64_t ranges[128] = {0};
    uint32_t input = 0, dim = 0;
    const char *at = attr && attr->type == GRAPH_ATTR_STRING ? attr->strings[0] : "...";
    for (; *at && *at != '-' && cost->known; at++) {
        const struct op_type *type = type_of(walk, node->inputs, node->input_count, input);
        if (*at == ' ')
            continue;
        if (*at == ',') {
            input++;
            dim = 0;
            continue;
        }
        cost->known = *at > 0 && *at != '.' && type && dim < type->shape.rank;
        if (cost->known)
            ranges[(unsigned)*at] = (uint64_t)type->shape.dims[dim++];
    }
    cost->macs = cost->known;
    for (unsigned i = 0; i < 128; i++)
        cost->macs *= ranges[i] ? ranges[i] : 1;
    // One factor alone is summed or turned, not multiplied.
    if (node->input_count < 2)
        cost->macs = 0;
}

static void count_macs(const struct op_walk *walk, const struct graph_node *node, uint32_t rule,
                       struct cli_cost *cost)
{
    const struct op_type *x = type_of(walk, node->inputs, node->input_count, 0);
    const struct op_type *w = type_of(walk, node->inputs, node->input_count, rules[rule].weight);
    const struct op_type *y = type_of(walk, node->outputs, node->output_count, 0);
    if (!x || !w || !y || !x->shape.rank || !w->shape.rank) {
        cost->known = false;
        return;
    }
    switch (rules[rule].rule) {
    case OUTPUT_TIMES_FILTER:
        cost->macs = elements(y) * per(elements(w), w->shape.dims[0]);
        break;
    case INPUT_TIMES_FILTER:
        cost->macs = elements(x) * per(elements(w), w->shape.dims[0]);
        break;
    case OUTPUT_TIMES_DEPTH:
        cost->macs = elements(y) * (uint64_t)x->shape.dims[x->shape.rank - 1];
        break;
    case OUTPUT_TIMES_ROW:
        cost->macs = y->shape.rank ? elements(y) * per(elements(x), y->shape.dims[0]) : 0;
        break;
    case ATTENTION:
        // Heads may be a dim of their own or folded into the last: the products are the same.
        cost->macs = w->shape.rank < 2
                         ? 0
                         : (elements(x) + elements(y)) * (uint64_t)w->shape.dims[w->shape.rank - 2];
        break;
    case EINSUM:
        count_einsum(walk, node, cost);
        break;
    }
}

// 64-bit integers and bools are shapes, axes and masks, not what was trained.
static bool is_trained(const struct graph_value *value)
{
    return value->data && value->dtype != ESPY_INT64 && value->dtype != ESPY_BOOL;
}

uint64_t espy_cost_of_body(const struct graph *body)
{
    uint64_t parameters = 0;
    for (uint32_t v = 0; v < body->value_count; v++) {
        const struct graph_value *value = &body->values[v];
        bool shared = false;
        for (uint32_t i = 0; value->data && i < body->network->value_count; i++)
            shared = shared || body->network->values[i].data == value->data;
        const struct op_type type = {value->dtype, value->shape};
        if (is_trained(value) && !shared)
            parameters += elements(&type);
    }
    return parameters;
}

struct cli_cost espy_cost_of(const struct op_walk *walk, uint32_t index, bool *seen)
{
    const struct graph_node *node = &walk->graph->nodes[index];
    struct cli_cost cost = {.known = true};
    for (uint32_t i = 0; i < node->input_count; i++) {
        if (node->inputs[i] == GRAPH_NONE || seen[node->inputs[i]])
            continue;
        const struct graph_value *value = &walk->graph->values[node->inputs[i]];
        seen[node->inputs[i]] = true;
        if (is_trained(value))
            cost.parameters += elements(&walk->types[node->inputs[i]]);
    }
    cost.known = walk->nodes[index].op->control == NULL; // what bodies take is not known
    for (uint32_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        if (!strcmp(node->op, rules[i].op))
            count_macs(walk, node, i, &cost);
    }
    return cost;
}
