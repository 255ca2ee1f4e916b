#include "format/graph.h"

#include <assert.h>
#include <string.h>

void espy_graph_init(struct graph *graph, const struct host *host)
{
    *graph = (struct graph){0};
    espy_arena_init(&graph->arena, host);
}

void espy_graph_finish(struct graph *graph)
{
    for (uint32_t i = 0; i < graph->body_count; i++)
        espy_arena_finish(&graph->bodies[i]->arena);
    espy_arena_finish(&graph->arena);
    *graph = (struct graph){0};
}

// ---- builders
// ------------------------------------------------------------------------------------

// espy_grow for arrays in the arena. The array left behind stays in the arena until the end; all of
// them together are smaller than the last one.
static espy_status grow(struct graph *graph, void *array, uint32_t count, uint32_t *capacity,
                        size_t element_size)
{
    if (count < *capacity)
        return ESPY_OK;
    enum { FIRST_CAPACITY = 64 };
    if (*capacity > UINT32_MAX / 2)
        return espy_fail_memory(graph->arena.host, SIZE_MAX, "a growing array");
    const uint32_t wanted = *capacity == 0 ? FIRST_CAPACITY : *capacity * 2;
    void *grown = espy_arena_array(&graph->arena, wanted, element_size);
    if (grown == NULL)
        return ESPY_OUT_OF_MEMORY;
    void *old;
    memcpy(&old, array, sizeof(old)); // array is a T **, whose T is not known here
    if (count > 0)
        memcpy(grown, old, count * element_size);
    memcpy(array, &grown, sizeof(grown));
    *capacity = wanted;
    return ESPY_OK;
}

espy_status espy_graph_add_body(struct graph *network, struct graph *body)
{
    assert(network->network == NULL);
    assert(body->name != NULL);
    TRY(grow(network, &network->bodies, network->body_count, &network->body_capacity,
             sizeof(struct graph *)));
    body->network = network;
    struct graph *kept = espy_arena_copy(&network->arena, body, sizeof(*body));
    if (kept == NULL)
        return ESPY_OUT_OF_MEMORY;
    network->bodies[network->body_count++] = kept;
    *body = (struct graph){0};
    return ESPY_OK;
}

void espy_graph_drop_body(struct graph *network, uint32_t index)
{
    assert(index < network->body_count);
    espy_arena_adopt(&network->arena, &network->bodies[index]->arena);
    memmove(&network->bodies[index], &network->bodies[index + 1],
            (network->body_count - index - 1) * sizeof(*network->bodies));
    network->body_count--;
}

struct graph *espy_graph_find_body(const struct graph *graph, const char *name)
{
    const struct graph *network = graph->network == NULL ? graph : graph->network;
    for (uint32_t i = 0; i < network->body_count && network->bodies[i] != graph; i++)
        if (strcmp(network->bodies[i]->name, name) == 0)
            return network->bodies[i];
    return NULL;
}

espy_status espy_graph_add_value(struct graph *graph, const char *name, uint32_t *index)
{
    const char *copy = espy_arena_string(&graph->arena, name);
    if (copy == NULL)
        return ESPY_OUT_OF_MEMORY;
    TRY(grow(graph, &graph->values, graph->value_count, &graph->value_capacity,
             sizeof(*graph->values)));
    graph->values[graph->value_count] = (struct graph_value){.name = copy};
    *index = graph->value_count++;
    return ESPY_OK;
}

espy_status espy_graph_add_constant(struct graph *graph, const char *name, espy_dtype dtype,
                                    const struct shape *shape, const void *data, size_t data_size,
                                    uint32_t *index)
{
    static const char no_data[1]; // what a constant without elements points to
    TRY(espy_graph_add_value(graph, name, index));
    struct graph_value *value = &graph->values[*index];
    value->dtype = dtype;
    value->has_shape = true;
    value->shape = *shape;
    value->data = data == NULL && data_size == 0 ? no_data : data;
    value->data_size = data_size;
    return ESPY_OK;
}

espy_status espy_graph_add_node(struct graph *graph, const char *op, const char *name,
                                const uint32_t *inputs, uint32_t input_count,
                                const uint32_t *outputs, uint32_t output_count,
                                struct graph_node **node)
{
    struct arena *arena = &graph->arena;
    const struct graph_node made = {
        .op = espy_arena_string(arena, op),
        .name = espy_arena_string(arena, name),
        .input_count = input_count,
        .output_count = output_count,
        .inputs = espy_arena_copy(arena, inputs, input_count * sizeof(*inputs)),
        .outputs = espy_arena_copy(arena, outputs, output_count * sizeof(*outputs)),
    };
    if (made.op == NULL || made.name == NULL || made.inputs == NULL || made.outputs == NULL)
        return ESPY_OUT_OF_MEMORY;
    TRY(grow(graph, &graph->nodes, graph->node_count, &graph->node_capacity,
             sizeof(*graph->nodes)));
    *node = &graph->nodes[graph->node_count++];
    **node = made;
    return ESPY_OK;
}

static espy_status set_attr(struct graph *graph, struct graph_node *node,
                            const struct graph_attr *attr)
{
    for (uint32_t i = 0; i < node->attr_count; i++) {
        if (strcmp(node->attrs[i].name, attr->name) == 0) {
            const char *name = node->attrs[i].name;
            node->attrs[i] = *attr;
            node->attrs[i].name = name;
            return ESPY_OK;
        }
    }
    // Nodes have few attributes, and the array may be one that a pass made: no spare room in it.
    struct graph_attr *attrs =
        espy_arena_array(&graph->arena, (size_t)node->attr_count + 1, sizeof(*attrs));
    const char *name = attrs == NULL ? NULL : espy_arena_string(&graph->arena, attr->name);
    if (name == NULL)
        return ESPY_OUT_OF_MEMORY;
    if (node->attr_count > 0)
        memcpy(attrs, node->attrs, node->attr_count * sizeof(*attrs));
    attrs[node->attr_count] = *attr;
    attrs[node->attr_count].name = name;
    node->attrs = attrs;
    node->attr_count++;
    return ESPY_OK;
}

static espy_status set_number_list(struct graph *graph, struct graph_node *node, const char *name,
                                   enum graph_attr_type type, const double *numbers, uint32_t count)
{
    const double *copy = espy_arena_copy(&graph->arena, numbers, count * sizeof(*numbers));
    if (copy == NULL)
        return ESPY_OUT_OF_MEMORY;
    return set_attr(graph, node, &(struct graph_attr){name, type, count, copy, NULL});
}

static espy_status set_string_list(struct graph *graph, struct graph_node *node, const char *name,
                                   enum graph_attr_type type, const char *const *strings,
                                   uint32_t count)
{
    const char **copy = espy_arena_array(&graph->arena, count, sizeof(*copy));
    if (copy == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < count; i++) {
        copy[i] = espy_arena_string(&graph->arena, strings[i]);
        if (copy[i] == NULL)
            return ESPY_OUT_OF_MEMORY;
    }
    return set_attr(graph, node, &(struct graph_attr){name, type, count, NULL, copy});
}

espy_status espy_graph_set_number(struct graph *graph, struct graph_node *node, const char *name,
                                  double number)
{
    return set_number_list(graph, node, name, GRAPH_ATTR_NUMBER, &number, 1);
}

espy_status espy_graph_set_numbers(struct graph *graph, struct graph_node *node, const char *name,
                                   const double *numbers, uint32_t count)
{
    return set_number_list(graph, node, name, GRAPH_ATTR_NUMBERS, numbers, count);
}

espy_status espy_graph_set_string(struct graph *graph, struct graph_node *node, const char *name,
                                  const char *string)
{
    return set_string_list(graph, node, name, GRAPH_ATTR_STRING, &string, 1);
}

espy_status espy_graph_set_strings(struct graph *graph, struct graph_node *node, const char *name,
                                   const char *const *strings, uint32_t count)
{
    if (count == 0) // "[]" in the file does not say what it is a list of; one answer for both
        return espy_graph_set_numbers(graph, node, name, NULL, 0);
    return set_string_list(graph, node, name, GRAPH_ATTR_STRINGS, strings, count);
}

void espy_graph_remove_attr(struct graph_node *node, const char *name)
{
    for (uint32_t i = 0; i < node->attr_count; i++) {
        if (strcmp(node->attrs[i].name, name) == 0) {
            memmove(&node->attrs[i], &node->attrs[i + 1],
                    (node->attr_count - i - 1) * sizeof(*node->attrs));
            node->attr_count--;
            return;
        }
    }
}

const struct graph_attr *espy_graph_find_attr(const struct graph_node *node, const char *name)
{
    for (uint32_t i = 0; i < node->attr_count; i++)
        if (strcmp(node->attrs[i].name, name) == 0)
            return &node->attrs[i];
    return NULL;
}

espy_status espy_graph_add_step(struct graph *graph, struct graph_node *node, const char *op,
                                const char *const *names, const double *numbers, uint32_t count)
{
    struct arena *arena = &graph->arena;
    struct graph_step *steps =
        espy_arena_array(arena, (size_t)node->step_count + 1, sizeof(*steps));
    struct graph_attr *attrs = espy_arena_array(arena, count, sizeof(*attrs));
    const double *copy = espy_arena_copy(arena, numbers, count * sizeof(*numbers));
    const char *op_copy = espy_arena_string(arena, op);
    if (steps == NULL || attrs == NULL || copy == NULL || op_copy == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < count; i++) {
        attrs[i] = (struct graph_attr){espy_arena_string(arena, names[i]), GRAPH_ATTR_NUMBER, 1,
                                       &copy[i], NULL};
        if (attrs[i].name == NULL)
            return ESPY_OUT_OF_MEMORY;
    }
    if (node->step_count > 0)
        memcpy(steps, node->steps, node->step_count * sizeof(*steps));
    steps[node->step_count] = (struct graph_step){op_copy, count, attrs};
    node->steps = steps;
    node->step_count++;
    return ESPY_OK;
}

// ---- prune and sort
// ------------------------------------------------------------------------------

// Which node makes each value (GRAPH_NONE: none), and a worklist of nodes; freed together.
struct walk {
    uint32_t *makers;      // per value
    uint32_t *stack;       // of nodes, room for node_count
    uint32_t *positions;   // per node: what to do next there
    unsigned char *states; // per node
};

static void finish_walk(const struct host *host, struct walk *walk)
{
    espy_free(host, walk->states);
    espy_free(host, walk->positions);
    espy_free(host, walk->stack);
    espy_free(host, walk->makers);
}

static espy_status init_walk(const struct graph *graph, struct walk *walk)
{
    const struct host *host = graph->arena.host;
    const size_t nodes = (size_t)graph->node_count + 1; // + 1: an empty graph allocates too
    const size_t values = (size_t)graph->value_count + 1;
    *walk = (struct walk){0};
    walk->makers = espy_alloc_array(host, values, sizeof(*walk->makers));
    walk->stack = walk->makers == NULL ? NULL : espy_alloc_array(host, nodes, sizeof(uint32_t));
    walk->positions = walk->stack == NULL ? NULL : espy_alloc_array(host, nodes, sizeof(uint32_t));
    walk->states = walk->positions == NULL ? NULL : espy_alloc_array(host, nodes, 1);
    if (walk->states == NULL) {
        finish_walk(host, walk);
        return espy_fail_memory(host, nodes * 9 + values * 4, "walking the graph");
    }
    for (size_t i = 0; i < values; i++)
        walk->makers[i] = GRAPH_NONE;
    for (uint32_t i = 0; i < graph->node_count; i++) {
        const struct graph_node *node = &graph->nodes[i];
        for (uint32_t k = 0; k < node->output_count; k++)
            if (node->outputs[k] != GRAPH_NONE)
                walk->makers[node->outputs[k]] = i;
    }
    return ESPY_OK;
}

// Marks in walk->states every node that an output of the network needs.
static void mark_needed(const struct graph *graph, struct walk *walk)
{
    uint32_t depth = 0;
    for (uint32_t i = 0; i < graph->output_count; i++) {
        const uint32_t maker = walk->makers[graph->outputs[i].value];
        if (maker != GRAPH_NONE && !walk->states[maker]) {
            walk->states[maker] = 1;
            walk->stack[depth++] = maker;
        }
    }
    while (depth > 0) {
        const struct graph_node *node = &graph->nodes[walk->stack[--depth]];
        for (uint32_t k = 0; k < node->input_count; k++) {
            const uint32_t input = node->inputs[k];
            const uint32_t maker = input == GRAPH_NONE ? GRAPH_NONE : walk->makers[input];
            if (maker != GRAPH_NONE && !walk->states[maker]) {
                walk->states[maker] = 1;
                walk->stack[depth++] = maker;
            }
        }
    }
}

static void mark_values(const uint32_t *list, uint32_t count, uint32_t *new_index)
{
    for (uint32_t i = 0; i < count; i++)
        if (list[i] != GRAPH_NONE)
            new_index[list[i]] = 0;
}

static void renumber(uint32_t *list, uint32_t count, const uint32_t *new_index)
{
    for (uint32_t i = 0; i < count; i++)
        if (list[i] != GRAPH_NONE)
            list[i] = new_index[list[i]];
}

// Drops values that no node, input or output names. new_index has an entry per value.
static void compact_values(struct graph *graph, uint32_t *new_index)
{
    for (uint32_t i = 0; i < graph->value_count; i++)
        new_index[i] = GRAPH_NONE;
    for (uint32_t i = 0; i < graph->input_count; i++)
        new_index[graph->inputs[i].value] = 0;
    for (uint32_t i = 0; i < graph->output_count; i++)
        new_index[graph->outputs[i].value] = 0;
    for (uint32_t i = 0; i < graph->node_count; i++) {
        mark_values(graph->nodes[i].inputs, graph->nodes[i].input_count, new_index);
        mark_values(graph->nodes[i].outputs, graph->nodes[i].output_count, new_index);
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < graph->value_count; i++) {
        if (new_index[i] == GRAPH_NONE)
            continue;
        graph->values[kept] = graph->values[i];
        new_index[i] = kept++;
    }
    graph->value_count = kept;
    for (uint32_t i = 0; i < graph->input_count; i++)
        graph->inputs[i].value = new_index[graph->inputs[i].value];
    for (uint32_t i = 0; i < graph->output_count; i++)
        graph->outputs[i].value = new_index[graph->outputs[i].value];
    for (uint32_t i = 0; i < graph->node_count; i++) {
        renumber(graph->nodes[i].inputs, graph->nodes[i].input_count, new_index);
        renumber(graph->nodes[i].outputs, graph->nodes[i].output_count, new_index);
    }
}

espy_status espy_graph_prune(struct graph *graph)
{
    struct walk walk;
    TRY(init_walk(graph, &walk));
    mark_needed(graph, &walk);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < graph->node_count; i++)
        if (walk.states[i])
            graph->nodes[kept++] = graph->nodes[i];
    graph->node_count = kept;
    compact_values(graph, walk.makers); // makers is not needed any more and has the right size
    finish_walk(graph->arena.host, &walk);
    return ESPY_OK;
}

enum { NODE_NEW, NODE_OPEN, NODE_PLACED };

// Depth first from one node: places everything that it needs, then itself. false: a cycle.
static bool place_node(const struct graph *graph, struct walk *walk, uint32_t first,
                       struct graph_node *sorted, uint32_t *placed)
{
    uint32_t depth = 0;
    walk->stack[depth++] = first;
    walk->states[first] = NODE_OPEN;
    while (depth > 0) {
        const uint32_t index = walk->stack[depth - 1];
        const struct graph_node *node = &graph->nodes[index];
        if (walk->positions[index] == node->input_count) {
            walk->states[index] = NODE_PLACED;
            sorted[(*placed)++] = *node;
            depth--;
            continue;
        }
        const uint32_t input = node->inputs[walk->positions[index]++];
        const uint32_t maker = input == GRAPH_NONE ? GRAPH_NONE : walk->makers[input];
        if (maker == GRAPH_NONE || walk->states[maker] == NODE_PLACED)
            continue;
        if (walk->states[maker] == NODE_OPEN)
            return false;
        walk->states[maker] = NODE_OPEN;
        walk->stack[depth++] = maker;
    }
    return true;
}

espy_status espy_graph_sort(struct graph *graph)
{
    if (graph->node_count == 0)
        return ESPY_OK;
    const struct host *host = graph->arena.host;
    struct walk walk;
    TRY(init_walk(graph, &walk));
    espy_status status = ESPY_OK;
    uint32_t placed = 0;
    const size_t size = graph->node_count * sizeof(*graph->nodes);
    struct graph_node *sorted = espy_alloc(host, size);
    if (sorted == NULL)
        status = espy_fail_memory(host, size, "sorting the graph");
    for (uint32_t i = 0; i < graph->node_count && status == ESPY_OK; i++) {
        if (walk.states[i] == NODE_NEW && !place_node(graph, &walk, i, sorted, &placed))
            status = espy_fail(host, ESPY_BAD_FORMAT,
                               "%s: node \"%.96s\" needs its own result (a cycle)",
                               graph->name == NULL ? "graph" : graph->name, graph->nodes[i].name);
    }
    if (status == ESPY_OK)
        memcpy(graph->nodes, sorted, size);
    espy_free(host, sorted);
    finish_walk(host, &walk);
    return status;
}
