// Weights in 16 bits: a float32 constant becomes one of float16 or bfloat16 and a Cast, which makes
// the value that there was. The device takes the constant apart when it uploads or repacks it.
//
// Last of all, because the other passes look for weights where they are used. Where nothing is lost
// by it, it is done unasked: such weights came narrow, and were widened by folding or import.
#include <string.h>

#include "passes/passes.h"

enum { ELEMENTS_MIN = 4096 }; // biases and small vectors stay as they are
static const float HALF_MAX = 65504;

// true: input i of the node is what a layer multiplies with.
static bool is_weight(const struct graph_node *node, uint32_t i)
{
    static const struct {
        const char *op;
        uint32_t first, last;
    } rows[] = {{"Conv", 1, 1}, {"ConvTranspose", 1, 1}, {"MatMul", 0, 1}, {"Gemm", 0, 1},
                {"GRU", 1, 2},  {"LSTM", 1, 2},          {"RNN", 1, 2}};
    for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++)
        if (strcmp(node->op, rows[r].op) == 0)
            return i >= rows[r].first && i <= rows[r].last;
    return false;
}

static uint16_t narrow(espy_dtype dtype, float number)
{
    return dtype == ESPY_FLOAT16 ? espy_float_to_half(number) : espy_float_to_bfloat16(number);
}

static float widen(espy_dtype dtype, uint16_t bits)
{
    return dtype == ESPY_FLOAT16 ? espy_half_to_float(bits) : espy_bfloat16_to_float(bits);
}

// An element of a constant, which need not be aligned.
static float number_at(const unsigned char *numbers, size_t index)
{
    float number;
    memcpy(&number, numbers + index * sizeof(number), sizeof(number));
    return number;
}

// true: every element is one of the type, the sign of a zero too.
static bool is_exact(const unsigned char *numbers, size_t count, espy_dtype dtype)
{
    for (size_t i = 0; i < count; i++) {
        const float number = number_at(numbers, i), back = widen(dtype, narrow(dtype, number));
        if (memcmp(&back, &number, sizeof(back)) != 0)
            return false;
    }
    return true;
}

static bool is_in_range(const unsigned char *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!(number_at(numbers, i) >= -HALF_MAX && number_at(numbers, i) <= HALF_MAX))
            return false;
    return true;
}

// What to store the elements as; FLOAT32: as they are.
static espy_dtype choose(const unsigned char *numbers, size_t count, espy_dtype wanted)
{
    if (wanted == ESPY_FLOAT16 && is_in_range(numbers, count))
        return ESPY_FLOAT16;
    if (wanted == ESPY_BFLOAT16)
        return ESPY_BFLOAT16;
    if (is_exact(numbers, count, ESPY_FLOAT16))
        return ESPY_FLOAT16;
    return is_exact(numbers, count, ESPY_BFLOAT16) ? ESPY_BFLOAT16 : ESPY_FLOAT32;
}

static espy_status add_cast(struct pass *pass, uint32_t constant, uint32_t value)
{
    struct graph_node *node;
    const char *name = espy_pass_node_name(pass, pass->graph->values[value].name);
    if (name == NULL)
        return ESPY_OUT_OF_MEMORY;
    TRY(espy_graph_add_node(pass->graph, "Cast", name, &constant, 1, &value, 1, &node));
    return espy_graph_set_string(pass->graph, node, "to", espy_dtype_name(ESPY_FLOAT32));
}

// The value keeps its name and elements, and a Cast makes it.
static espy_status narrow_constant(struct pass *pass, uint32_t value, espy_dtype wanted)
{
    struct graph *graph = pass->graph;
    const struct graph_value before = graph->values[value];
    const size_t count = before.data_size / sizeof(float);
    const unsigned char *numbers = before.data;
    const espy_dtype dtype = choose(numbers, count, wanted);
    uint32_t constant;
    if (dtype == ESPY_FLOAT32)
        return ESPY_OK;
    uint16_t *bits = espy_arena_array(&graph->arena, count, sizeof(*bits));
    const char *name = espy_pass_value_name(pass, before.name);
    if (bits == NULL || name == NULL)
        return espy_fail_memory(pass->host, count * sizeof(*bits), "narrow weights");
    for (size_t i = 0; i < count; i++)
        bits[i] = narrow(dtype, number_at(numbers, i));
    TRY(espy_graph_add_constant(graph, name, dtype, &before.shape, bits, count * sizeof(*bits),
                                &constant));
    graph->values[value].data = NULL;
    graph->values[value].data_size = 0;
    pass->counts->narrowed++;
    pass->changed = true;
    return add_cast(pass, constant, value);
}

static bool is_output(const struct graph *graph, uint32_t value)
{
    for (uint32_t o = 0; o < graph->output_count; o++)
        if (graph->outputs[o].value == value)
            return true;
    return false;
}

espy_status espy_pass_narrow(struct pass *pass, espy_dtype wanted)
{
    struct graph *graph = pass->graph;
    const uint32_t node_count = graph->node_count;
    for (uint32_t n = 0; n < node_count; n++) {
        for (uint32_t i = 0; i < graph->nodes[n].input_count; i++) {
            const uint32_t v = graph->nodes[n].inputs[i];
            if (v == GRAPH_NONE || !is_weight(&graph->nodes[n], i) || is_output(graph, v))
                continue;
            const struct graph_value *value = &graph->values[v];
            if (value->data != NULL && value->dtype == ESPY_FLOAT32 &&
                value->data_size >= ELEMENTS_MIN * sizeof(float))
                TRY(narrow_constant(pass, v, wanted));
        }
    }
    return pass->changed ? espy_graph_sort(graph) : ESPY_OK;
}
