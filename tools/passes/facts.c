#include <stdio.h>
#include <string.h>

#include "passes/passes.h"

enum { MESSAGE_SIZE = 1024 };
// Values larger than this can be given back when nothing needs them any more.
enum { LARGE_SIZE = 1 << 10, SWEEP_SIZE = 64 << 10 };

// Stands in for the log while a node is tried, so that its refusal can be reported or dropped.
struct capture {
    char message[MESSAGE_SIZE];
};

static void capture_log(void *user, espy_log_level level, const char *message)
{
    struct capture *capture = user;
    if (level == ESPY_LOG_ERROR)
        snprintf(capture->message, sizeof(capture->message), "%s", message);
}

// An input's shape, with sizes for its symbols.
static struct shape shape_of(const struct graph_value *value, const struct facts_sizes *sizes)
{
    struct shape shape = value->shape;
    for (uint32_t d = 0; d < shape.rank; d++)
        if (shape.dims[d] < 0)
            shape.dims[d] = espy_facts_size(sizes, espy_graph_symbol(value, d));
    return shape;
}

static void note_sources(struct facts *facts, const struct facts_sizes *sizes)
{
    const struct graph *graph = facts->graph;
    for (uint32_t v = 0; v < graph->value_count; v++) {
        const struct graph_value *value = &graph->values[v];
        facts->makers[v] = GRAPH_NONE;
        size_t count;
        if (value->data == NULL || !espy_shape_count(&value->shape, &count))
            continue;
        facts->types[v] = (struct op_type){value->dtype, value->shape};
        void *data; // never written through: facts only read constants
        memcpy(&data, &value->data, sizeof(data));
        facts->data[v] = data;
        facts->made_of[v] = value->data_size;
    }
    for (uint32_t i = 0; i < graph->input_count; i++) {
        const uint32_t v = graph->inputs[i].value;
        const struct shape shape = shape_of(&graph->values[v], sizes);
        size_t count;
        if (graph->values[v].has_shape &&    // not of a body's input
            espy_shape_count(&shape, &count)) // no symbols in it
            facts->types[v] = (struct op_type){graph->values[v].dtype, shape};
    }
    for (uint32_t i = 0; i < graph->output_count; i++) {
        facts->uses[graph->outputs[i].value]++;
        facts->is_output[graph->outputs[i].value] = true;
    }
    for (uint32_t n = 0; n < graph->node_count; n++) {
        const struct graph_node *node = &graph->nodes[n];
        for (uint32_t i = 0; i < node->input_count; i++)
            if (node->inputs[i] != GRAPH_NONE)
                facts->uses[node->inputs[i]]++;
        for (uint32_t i = 0; i < node->output_count; i++)
            if (node->outputs[i] != GRAPH_NONE)
                facts->makers[node->outputs[i]] = n;
    }
}

struct tensor espy_facts_value(const struct facts *facts, uint32_t value)
{
    struct tensor tensor = {.data = facts->data[value]};
    if (tensor.data == NULL)
        return tensor;
    tensor.type = facts->types[value];
    espy_shape_count(&tensor.type.shape, &tensor.count); // it was counted before it was made
    return tensor;
}

// Bytes of a known value.
static size_t size_of(const struct facts *facts, uint32_t value)
{
    const struct tensor tensor = espy_facts_value(facts, value);
    return espy_tensor_size(&tensor);
}

// A value may replace the node that makes it when the file does not grow much by it: a mask made by
// ConstantOfShape from three numbers stays three numbers. Weights were quantized to be small.
static size_t fold_size(const struct graph_node *node)
{
    return strcmp(node->op, "DequantizeLinear") == 0 ? 4 << 10 : 64 << 10;
}

static size_t made_of(const struct facts *facts, const struct graph_node *node)
{
    size_t size = 0;
    for (uint32_t i = 0; i < node->input_count; i++)
        if (node->inputs[i] != GRAPH_NONE)
            size += facts->made_of[node->inputs[i]];
    return size;
}

bool espy_facts_fold(const struct facts *facts, const struct graph_node *node)
{
    size_t size = 0, uses = 0;
    for (uint32_t o = 0; o < node->output_count; o++) {
        const uint32_t v = node->outputs[o];
        if (v == GRAPH_NONE)
            continue;
        if (facts->data[v] == NULL || facts->is_output[v])
            return false; // an output of the network stays made by a node
        size += size_of(facts, v);
        uses += facts->uses[v];
    }
    return uses > 0 && (size <= fold_size(node) || size / 2 <= made_of(facts, node));
}

// What one node is tried with.
struct trial {
    const struct host *quiet;
    const struct graph_node *node;
    struct op_node bound;
    struct op_type *types, *output_types;
    struct tensor *values, *outputs;
};

static bool inputs_known(const struct facts *facts, struct trial *trial)
{
    for (uint32_t i = 0; i < trial->node->input_count; i++) {
        const uint32_t v = trial->node->inputs[i];
        if (v == GRAPH_NONE)
            continue;
        trial->types[i] = facts->types[v];
        trial->values[i] = espy_facts_value(facts, v);
        trial->values[i].type = facts->types[v]; // Shape reads it without data
        if (trial->types[i].dtype == ESPY_DTYPE_NONE)
            return false;
    }
    return true;
}

static bool is_aligned(const struct tensor *tensor)
{
    const size_t element = espy_dtype_size(tensor->type.dtype);
    return tensor->data == NULL || element <= 1 || (uintptr_t)tensor->data % element == 0;
}

// infer and evaluate read elements in place.
static espy_status align(struct facts *facts, struct trial *trial, uint32_t i)
{
    struct tensor *value = &trial->values[i];
    if (is_aligned(value))
        return ESPY_OK;
    value->data = espy_arena_copy(&facts->scratch, value->data, espy_tensor_size(value));
    return value->data == NULL ? ESPY_OUT_OF_MEMORY : ESPY_OK;
}

// Infers what the node makes. Few operators look at the elements of a large constant to know
// shapes: such a one is aligned when it is asked for.
static espy_status infer(struct facts *facts, struct trial *trial, uint32_t *needs)
{
    const struct graph_node *node = trial->node;
    struct tensor *values =
        espy_arena_copy(&facts->scratch, trial->values, node->input_count * sizeof(*values));
    if (values == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < node->input_count; i++)
        if (!is_aligned(&values[i]))
            values[i].data = NULL;
    for (;;) {
        const espy_status status =
            espy_op_infer(trial->quiet, &facts->scratch, &trial->bound, trial->types, values,
                          node->input_count, trial->output_types, node->output_count, needs);
        if (*needs == GRAPH_NONE || values[*needs].data == trial->values[*needs].data)
            return status;
        TRY(align(facts, trial, *needs));
        values[*needs] = trial->values[*needs];
    }
}

static bool values_known(const struct trial *trial)
{
    if ((trial->bound.op->flags & OP_SHAPE_ONLY) != 0)
        return true;
    for (uint32_t i = 0; i < trial->node->input_count; i++)
        if (trial->node->inputs[i] != GRAPH_NONE && trial->values[i].data == NULL)
            return false;
    return true;
}

static bool is_large(const struct tensor *tensor)
{
    return espy_tensor_size(tensor) > LARGE_SIZE;
}

// Bytes of constants that the node's results follow from.
static size_t source_size(const struct facts *facts, const struct graph_node *node)
{
    size_t from = 0;
    for (uint32_t i = 0; i < node->input_count; i++)
        if (node->inputs[i] != GRAPH_NONE && facts->made_of[node->inputs[i]] < SIZE_MAX / 2 - from)
            from += facts->made_of[node->inputs[i]];
    return from;
}

// Room for what the node makes; *fits is false when that is more than should be computed.
static espy_status make_outputs(struct facts *facts, struct trial *trial, size_t elements_max,
                                bool *fits)
{
    const struct graph_node *node = trial->node;
    *fits = true;
    for (uint32_t o = 0; *fits && o < node->output_count; o++) {
        struct tensor *output = &trial->outputs[o];
        *output = (struct tensor){.type = trial->output_types[o]};
        *fits = node->outputs[o] == GRAPH_NONE ||
                (espy_shape_count(&output->type.shape, &output->count) &&
                 output->count <= elements_max);
    }
    for (uint32_t o = 0; *fits && o < node->output_count; o++) {
        struct tensor *output = &trial->outputs[o];
        if (node->outputs[o] == GRAPH_NONE)
            continue;
        const size_t size = espy_tensor_size(output);
        output->data = is_large(output) ? espy_alloc(facts->host, size)
                                        : espy_arena_alloc(&facts->arena, size);
        if (output->data == NULL)
            return is_large(output) ? espy_fail_memory(trial->quiet, size, "a value")
                                    : ESPY_OUT_OF_MEMORY;
    }
    return ESPY_OK;
}

static void drop_outputs(struct facts *facts, const struct trial *trial)
{
    for (uint32_t o = 0; o < trial->node->output_count; o++)
        if (trial->outputs[o].data != NULL && is_large(&trial->outputs[o]))
            espy_free(facts->host, trial->outputs[o].data);
}

bool espy_facts_is_uniform(const struct tensor *tensor, double number)
{
    for (size_t i = 0; i < tensor->count; i++)
        if (espy_tensor_number(tensor, i) != number)
            return false;
    return true;
}

static espy_status note_uniform(struct facts *facts, uint32_t v)
{
    const struct tensor tensor = espy_facts_value(facts, v);
    const double first = espy_tensor_number(&tensor, 0);
    if (!espy_facts_is_uniform(&tensor, first))
        return ESPY_OK;
    TRY(espy_grow(facts->host, &facts->uniform, facts->uniform_count, &facts->uniform_capacity,
                  sizeof(*facts->uniform)));
    facts->uniform[facts->uniform_count++] = (struct facts_uniform){v, first};
    return ESPY_OK;
}

static void mark_inputs(struct facts *facts, const struct graph_node *node)
{
    for (uint32_t i = 0; i < node->input_count; i++)
        if (node->inputs[i] != GRAPH_NONE)
            facts->is_read[node->inputs[i]] = true;
}

static bool reads_results(const struct facts *facts, const struct graph_node *node)
{
    for (uint32_t o = 0; o < node->output_count; o++)
        if (node->outputs[o] != GRAPH_NONE && facts->is_read[node->outputs[o]])
            return true;
    return false;
}

// Gives back large values that are of no more use after `tried` nodes: those that no node will read
// that stays, since what was computed from them becomes a constant, and those that will not become
// one themselves. Of the latter passes ask no more than whether they are 0 or 1 everywhere.
static espy_status sweep(struct facts *facts, uint32_t tried)
{
    const struct graph *graph = facts->graph;
    memcpy(facts->is_read, facts->is_output, facts->value_count * sizeof(*facts->is_read));
    for (uint32_t n = graph->node_count; n-- > tried;)
        mark_inputs(facts, &graph->nodes[n]);
    memcpy(facts->is_asked, facts->is_read, facts->value_count * sizeof(*facts->is_asked));
    for (uint32_t n = tried; n-- > 0;)
        if (reads_results(facts, &graph->nodes[n]) && !espy_facts_fold(facts, &graph->nodes[n]))
            mark_inputs(facts, &graph->nodes[n]);
    for (uint32_t v = 0; v < facts->value_count; v++) {
        if (!facts->is_large[v] || facts->is_asked[v])
            continue;
        const bool folds = espy_facts_fold(facts, &graph->nodes[facts->makers[v]]);
        if (facts->is_read[v] && folds)
            continue;
        if (facts->is_read[v])
            TRY(note_uniform(facts, v));
        espy_facts_forget(facts, v);
    }
    facts->fresh = 0;
    return ESPY_OK;
}

static void keep_outputs(struct facts *facts, const struct trial *trial)
{
    const struct graph_node *node = trial->node;
    const size_t small = fold_size(node), from = source_size(facts, node);
    for (uint32_t o = 0; o < node->output_count; o++) {
        const uint32_t v = node->outputs[o];
        if (v == GRAPH_NONE)
            continue;
        const size_t size = espy_tensor_size(&trial->outputs[o]);
        facts->data[v] = trial->outputs[o].data;
        facts->is_large[v] = is_large(&trial->outputs[o]);
        facts->made_of[v] = size > small && from < size ? from : size;
        facts->fresh += facts->is_large[v] ? size : 0;
    }
}

static espy_status evaluate(struct facts *facts, struct trial *trial, size_t elements_max)
{
    bool fits;
    for (uint32_t i = 0; i < trial->node->input_count; i++)
        TRY(align(facts, trial, i));
    espy_status status = make_outputs(facts, trial, elements_max, &fits);
    if (status == ESPY_OK && fits) {
        status =
            espy_op_evaluate(trial->quiet, &trial->bound, trial->values, trial->node->input_count,
                             trial->outputs, trial->node->output_count);
        if (status == ESPY_OK) {
            keep_outputs(facts, trial);
            return ESPY_OK;
        }
    }
    drop_outputs(facts, trial);
    return status == ESPY_OUT_OF_MEMORY ? status : ESPY_OK; // else it will fail when it runs
}

static espy_status try_node(struct facts *facts, struct trial *trial,
                            const struct facts_params *params)
{
    const struct graph_node *node = trial->node;
    struct arena *arena = &facts->scratch;
    espy_arena_reset(arena);
    trial->types = espy_arena_array(arena, node->input_count, sizeof(*trial->types));
    trial->values = espy_arena_array(arena, node->input_count, sizeof(*trial->values));
    trial->output_types = espy_arena_array(arena, node->output_count, sizeof(*trial->types));
    trial->outputs = espy_arena_array(arena, node->output_count, sizeof(*trial->outputs));
    if (trial->types == NULL || trial->values == NULL || trial->output_types == NULL ||
        trial->outputs == NULL)
        return ESPY_OUT_OF_MEMORY;
    TRY(espy_op_bind(trial->quiet, arena, facts->graph, node, &trial->bound));
    if (!inputs_known(facts, trial) || trial->bound.op->control != NULL)
        return ESPY_OK;
    uint32_t needs = GRAPH_NONE;
    const espy_status status = infer(facts, trial, &needs);
    if (status != ESPY_OK)
        return needs != GRAPH_NONE ? ESPY_OK : status;
    for (uint32_t o = 0; o < node->output_count; o++)
        if (node->outputs[o] != GRAPH_NONE)
            facts->types[node->outputs[o]] = trial->output_types[o];
    return values_known(trial) ? evaluate(facts, trial, params->fold_elements_max) : ESPY_OK;
}

static espy_status try_nodes(struct facts *facts, const struct facts_params *params)
{
    struct capture capture;
    struct host quiet = *facts->host;
    quiet.log = capture_log;
    quiet.log_user = &capture;
    for (uint32_t n = 0; n < facts->graph->node_count; n++) {
        struct trial trial = {.quiet = &quiet, .node = &facts->graph->nodes[n]};
        capture.message[0] = '\0';
        const espy_status status = try_node(facts, &trial, params);
        const char *message = capture.message[0] == '\0' ? "it is refused" : capture.message;
        if (status == ESPY_OUT_OF_MEMORY) // an arena has said so itself
            return capture.message[0] == '\0' ? status
                                              : espy_fail(facts->host, status, "%s", message);
        if (status != ESPY_OK && params->refuse != NULL)
            TRY(params->refuse(params->refuse_user, trial.node, message));
        if (facts->fresh > SWEEP_SIZE)
            TRY(sweep(facts, n + 1));
    }
    return sweep(facts, facts->graph->node_count);
}

espy_status espy_facts_init(struct facts *facts, const struct host *host, const struct graph *graph,
                            const struct facts_params *params)
{
    *facts = (struct facts){.host = host, .graph = graph, .value_count = graph->value_count};
    struct arena *arena = &facts->arena;
    const size_t count = graph->value_count;
    espy_arena_init(arena, host);
    espy_arena_init(&facts->scratch, host);
    espy_map_init(&facts->value_names, host);
    espy_map_init(&facts->node_names, host);
    facts->types = espy_arena_array(arena, count, sizeof(*facts->types));
    facts->data = espy_arena_array(arena, count, sizeof(*facts->data));
    facts->makers = espy_arena_array(arena, count, sizeof(*facts->makers));
    facts->uses = espy_arena_array(arena, count, sizeof(*facts->uses));
    facts->is_read = espy_arena_array(arena, count, sizeof(*facts->is_read));
    facts->is_asked = espy_arena_array(arena, count, sizeof(*facts->is_asked));
    facts->made_of = espy_arena_array(arena, count, sizeof(*facts->made_of));
    facts->is_output = espy_arena_array(arena, count, sizeof(*facts->is_output));
    facts->is_large = espy_arena_array(arena, count, sizeof(*facts->is_large));
    espy_status status = ESPY_OUT_OF_MEMORY;
    if (facts->types != NULL && facts->data != NULL && facts->makers != NULL &&
        facts->uses != NULL && facts->is_read != NULL && facts->is_asked != NULL &&
        facts->made_of != NULL && facts->is_output != NULL && facts->is_large != NULL) {
        note_sources(facts, params->sizes);
        status = try_nodes(facts, params);
        if (status == ESPY_OK && params->samples)
            status = espy_facts_sample(facts);
    }
    if (status != ESPY_OK)
        espy_facts_finish(facts);
    return status;
}

void espy_facts_forget(struct facts *facts, uint32_t value)
{
    if (!facts->is_large[value])
        return;
    espy_free(facts->host, facts->data[value]);
    facts->data[value] = NULL;
    facts->is_large[value] = false;
}

void espy_facts_finish(struct facts *facts)
{
    if (facts->host == NULL)
        return;
    for (uint32_t v = 0; facts->is_large != NULL && v < facts->value_count; v++)
        espy_facts_forget(facts, v);
    espy_free(facts->host, facts->uniform);
    espy_map_finish(&facts->node_names);
    espy_map_finish(&facts->value_names);
    espy_arena_finish(&facts->scratch);
    espy_arena_finish(&facts->arena);
    *facts = (struct facts){.host = NULL};
}
