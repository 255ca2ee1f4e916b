// What is true of a network whatever its batches are: it is looked at with three sizes for each, and
// what is the same each time is known. The sizes of one symbol are those of no other, and 1 is among
// them, because networks ask for it. Networks whose pictures or lengths are open too are left alone:
// what is padded to a multiple and cut again would look the same with many sizes, and is not.
//
// Of types everything is taken: a dim that differs gets a negative number of its own, the same for
// all dims that are the same each time (a batch, or its product with a length). Of values only what
// follows: what Shape and its like pick from a shape that is not known as a whole, and what is
// computed from known values alone. A comparison of an unknown size, say, stays unknown however it
// came out.
#include <string.h>

#include "passes/passes.h"

enum { SAMPLES = 3, SYMBOLS_MAX = 64, VALUE_SIZE_MAX = 1 << 10, ELEMENTS_MAX = 1 << 12 };

struct samples {
    struct facts *facts;
    uint32_t symbol_count;
    const char *symbols[SYMBOLS_MAX];
    int64_t sizes[SAMPLES][SYMBOLS_MAX];
    struct facts seen[SAMPLES];
    uint32_t varying_count, varying_capacity;
    int64_t (*varying)[SAMPLES]; // dims that differ: -2 - index is their number
};

// The largest is beyond what batches, or rows that only look like one, are padded to a multiple of.
static void choose_sizes(struct samples *samples, const char *symbol)
{
    static const int64_t sizes[SAMPLES] = {1, 5, 1031};
    enum { STEP = 6 };
    const uint32_t index = samples->symbol_count++;
    samples->symbols[index] = symbol;
    for (uint32_t k = 0; k < SAMPLES; k++)
        samples->sizes[k][index] = sizes[(k + index) % SAMPLES] + STEP * (index / SAMPLES);
}

// false: there are none, too many, or others than batches.
static bool find_symbols(struct samples *samples)
{
    const struct graph *graph = samples->facts->graph;
    for (uint32_t i = 0; i < graph->input_count; i++) {
        const struct graph_value *value = &graph->values[graph->inputs[i].value];
        for (uint32_t d = 0; value->has_shape && d < value->shape.rank; d++) {
            const char *symbol = espy_graph_symbol(value, d);
            bool is_new = symbol != NULL && value->shape.dims[d] < 0;
            if (is_new && (d > 0 || value->shape.rank == 1))
                return false;
            for (uint32_t s = 0; s < samples->symbol_count && is_new; s++)
                is_new = strcmp(samples->symbols[s], symbol) != 0;
            if (is_new && samples->symbol_count == SYMBOLS_MAX)
                return false;
            if (is_new)
                choose_sizes(samples, symbol);
        }
    }
    return samples->symbol_count > 0;
}

int64_t espy_facts_size(const struct facts_sizes *sizes, const char *symbol)
{
    for (uint32_t i = 0; sizes != NULL && symbol != NULL && i < sizes->count; i++)
        if (strcmp(sizes->symbols[i], symbol) == 0)
            return sizes->sizes[i];
    return -1;
}

static espy_status number_dim(struct samples *samples, const int64_t dims[SAMPLES], int64_t *number)
{
    for (uint32_t i = 0; i < samples->varying_count; i++)
        if (memcmp(samples->varying[i], dims, sizeof(samples->varying[i])) == 0) {
            *number = -2 - (int64_t)i;
            return ESPY_OK;
        }
    TRY(espy_grow(samples->facts->host, &samples->varying, samples->varying_count,
                  &samples->varying_capacity, sizeof(*samples->varying)));
    memcpy(samples->varying[samples->varying_count], dims, sizeof(*samples->varying));
    *number = -2 - (int64_t)samples->varying_count++;
    return ESPY_OK;
}

static espy_status take_type(struct samples *samples, uint32_t v)
{
    struct op_type type = samples->seen[0].types[v];
    for (uint32_t k = 0; k < SAMPLES; k++) {
        const struct op_type *seen = &samples->seen[k].types[v];
        if (seen->dtype == ESPY_DTYPE_NONE || seen->dtype != type.dtype ||
            seen->shape.rank != type.shape.rank)
            return ESPY_OK;
    }
    for (uint32_t d = 0; d < type.shape.rank; d++) {
        int64_t dims[SAMPLES];
        for (uint32_t k = 0; k < SAMPLES; k++)
            dims[k] = samples->seen[k].types[v].shape.dims[d];
        if (dims[0] != dims[1] || dims[0] != dims[2])
            TRY(number_dim(samples, dims, &type.shape.dims[d]));
    }
    samples->facts->types[v] = type;
    return ESPY_OK;
}

// Picks some elements of a shape; which, its other inputs say, and have to be known.
static bool picks(const struct graph_node *node)
{
    static const char *const ops[] = {"Shape",   "Gather",    "Slice",   "Split", "Cast",
                                      "Squeeze", "Unsqueeze", "Reshape", NULL};
    for (const char *const *op = ops; *op != NULL; op++)
        if (strcmp(node->op, *op) == 0)
            return node->step_count == 0;
    return false;
}

static bool inputs_known(const struct facts *facts, const struct graph_node *node, uint32_t first)
{
    for (uint32_t i = first; i < node->input_count; i++)
        if (node->inputs[i] != GRAPH_NONE && facts->data[node->inputs[i]] == NULL)
            return false;
    return true;
}

static espy_status take_value(struct samples *samples, const struct graph_node *node, uint32_t v)
{
    struct facts *facts = samples->facts;
    const struct tensor first = espy_facts_value(&samples->seen[0], v);
    const size_t size = first.data == NULL ? 0 : espy_tensor_size(&first);
    if (size == 0 || size > VALUE_SIZE_MAX || facts->data[v] != NULL)
        return ESPY_OK;
    for (uint32_t k = 1; k < SAMPLES; k++) {
        const struct tensor other = espy_facts_value(&samples->seen[k], v);
        if (other.data == NULL || other.type.dtype != first.type.dtype ||
            !espy_shape_equal(&other.type.shape, &first.type.shape) ||
            memcmp(other.data, first.data, size) != 0)
            return ESPY_OK;
    }
    if (!inputs_known(facts, node, picks(node) ? 1 : 0))
        return ESPY_OK;
    facts->data[v] = espy_arena_copy(&facts->arena, first.data, size);
    facts->types[v] = first.type;
    facts->made_of[v] = size;
    return facts->data[v] == NULL ? ESPY_OUT_OF_MEMORY : ESPY_OK;
}

static espy_status take(struct samples *samples)
{
    const struct graph *graph = samples->facts->graph;
    for (uint32_t i = 0; i < graph->input_count; i++)
        if (samples->facts->types[graph->inputs[i].value].dtype == ESPY_DTYPE_NONE)
            TRY(take_type(samples, graph->inputs[i].value));
    for (uint32_t n = 0; n < graph->node_count; n++) {
        const struct graph_node *node = &graph->nodes[n];
        for (uint32_t o = 0; o < node->output_count; o++) {
            const uint32_t v = node->outputs[o];
            if (v != GRAPH_NONE && samples->facts->types[v].dtype == ESPY_DTYPE_NONE)
                TRY(take_type(samples, v));
            if (v != GRAPH_NONE)
                TRY(take_value(samples, node, v));
        }
    }
    return ESPY_OK;
}

static espy_status look(struct samples *samples)
{
    for (uint32_t k = 0; k < SAMPLES; k++) {
        const struct facts_sizes sizes = {samples->symbol_count, samples->symbols,
                                          samples->sizes[k]};
        const struct facts_params params = {.fold_elements_max = ELEMENTS_MAX, .sizes = &sizes};
        TRY(espy_facts_init(&samples->seen[k], samples->facts->host, samples->facts->graph,
                            &params));
    }
    return take(samples);
}

espy_status espy_facts_sample(struct facts *facts)
{
    struct samples samples = {.facts = facts};
    if (!find_symbols(&samples))
        return ESPY_OK;
    const espy_status status = look(&samples);
    for (uint32_t k = 0; k < SAMPLES; k++)
        espy_facts_finish(&samples.seen[k]);
    espy_free(facts->host, samples.varying);
    return status;
}
