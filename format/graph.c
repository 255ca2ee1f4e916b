#include "format/graph.h"

#include <assert.h>
#include <string.h>

void espy_graph_init(struct graph *graph, const struct host *host)
{
    *graph = (struct graph){0};
    espy_arena_init(&graph->arena, host);
    espy_map_init(&graph->words, host);
}

// The lists, which are not in the arena.
static void free_lists(struct graph *graph)
{
    const struct host *host = graph->arena.host;
    espy_map_finish(&graph->words);
    if (graph->values != NULL)
        espy_free(host, graph->values);
    if (graph->nodes != NULL)
        espy_free(host, graph->nodes);
    if (graph->bodies != NULL)
        espy_free(host, graph->bodies);
    graph->values = NULL;
    graph->nodes = NULL;
    graph->bodies = NULL;
}

void espy_graph_finish(struct graph *graph)
{
    for (uint32_t i = 0; i < graph->body_count; i++) {
        free_lists(graph->bodies[i]);
        espy_arena_finish(&graph->bodies[i]->arena);
    }
    free_lists(graph);
    espy_arena_finish(&graph->arena);
    *graph = (struct graph){0};
}

// ---- builders -----------------------------------------------------------------------------------

static espy_status resize(struct graph *graph, void *array, uint32_t *capacity, uint32_t wanted,
                          size_t element_size)
{
    size_t size;
    void *list;
    memcpy(&list, array, sizeof(list)); // array is a T **, whose T is not known here
    if (!espy_checked_mul(wanted, element_size, &size))
        return espy_fail_memory(graph->arena.host, SIZE_MAX, "a list of the graph");
    list = espy_realloc(graph->arena.host, list, size);
    if (list == NULL)
        return espy_fail_memory(graph->arena.host, size, "a list of the graph");
    memcpy(array, &list, sizeof(list));
    *capacity = wanted;
    return ESPY_OK;
}

// Room for one more. Lists grow by a quarter: they are most of what a graph is.
static espy_status grow(struct graph *graph, void *array, uint32_t count, uint32_t *capacity,
                        size_t element_size)
{
    enum { FIRST_CAPACITY = 16 };
    if (count < *capacity)
        return ESPY_OK;
    if (*capacity > UINT32_MAX / 2)
        return espy_fail_memory(graph->arena.host, SIZE_MAX, "a list of the graph");
    return resize(graph, array, capacity, *capacity + *capacity / 4 + FIRST_CAPACITY, element_size);
}

// Operators and attributes have few names, which are in the arena once.
static const char *word(struct graph *graph, const char *text)
{
    const char *known = espy_map_key(&graph->words, text);
    if (known != NULL)
        return known;
    const char *copy = espy_arena_string(&graph->arena, text);
    return copy == NULL || espy_map_put(&graph->words, copy, 0) != ESPY_OK ? NULL : copy;
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
    free_lists(network->bodies[index]);
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

espy_status espy_graph_append_value(struct graph *graph, const struct graph_value *value,
                                    uint32_t *index)
{
    TRY(grow(graph, &graph->values, graph->value_count, &graph->value_capacity,
             sizeof(*graph->values)));
    graph->values[graph->value_count] = *value;
    *index = graph->value_count++;
    return ESPY_OK;
}

espy_status espy_graph_add_value(struct graph *graph, const char *name, uint32_t *index)
{
    const struct graph_value value = {.name = espy_arena_string(&graph->arena, name)};
    return value.name == NULL ? ESPY_OUT_OF_MEMORY : espy_graph_append_value(graph, &value, index);
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

const char *espy_graph_symbol(const struct graph_value *value, uint32_t dim)
{
    return value->symbols == NULL ? NULL : value->symbols[dim];
}

espy_status espy_graph_set_symbol(struct graph *graph, struct graph_value *value, uint32_t dim,
                                  const char *symbol)
{
    if (value->symbols == NULL)
        value->symbols = espy_arena_array(&graph->arena, ESPY_RANK_MAX, sizeof(*value->symbols));
    if (value->symbols == NULL)
        return ESPY_OUT_OF_MEMORY;
    value->symbols[dim] = espy_arena_string(&graph->arena, symbol);
    return value->symbols[dim] == NULL ? ESPY_OUT_OF_MEMORY : ESPY_OK;
}

espy_status espy_graph_append_node(struct graph *graph, const struct graph_node *like,
                                   struct graph_node **node)
{
    const size_t input_count = like->input_count, output_count = like->output_count;
    struct graph_node made = *like;
    made.op = word(graph, like->op);
    made.inputs = espy_arena_array(&graph->arena, input_count + output_count, sizeof(uint32_t));
    if (made.op == NULL || made.inputs == NULL)
        return ESPY_OUT_OF_MEMORY;
    made.outputs = made.inputs + input_count;
    if (input_count > 0)
        memcpy(made.inputs, like->inputs, input_count * sizeof(uint32_t));
    if (output_count > 0)
        memcpy(made.outputs, like->outputs, output_count * sizeof(uint32_t));
    TRY(grow(graph, &graph->nodes, graph->node_count, &graph->node_capacity,
             sizeof(*graph->nodes)));
    *node = &graph->nodes[graph->node_count++];
    **node = made;
    return ESPY_OK;
}

espy_status espy_graph_add_node(struct graph *graph, const char *op, const char *name,
                                const uint32_t *inputs, uint32_t input_count,
                                const uint32_t *outputs, uint32_t output_count,
                                struct graph_node **node)
{
    struct graph_node like = {.op = op,
                              .name = espy_arena_string(&graph->arena, name),
                              .input_count = input_count,
                              .output_count = output_count};
    // Only read, as what the caller gave.
    memcpy(&like.inputs, &inputs, sizeof(inputs));
    memcpy(&like.outputs, &outputs, sizeof(outputs));
    return like.name == NULL ? ESPY_OUT_OF_MEMORY : espy_graph_append_node(graph, &like, node);
}

espy_status espy_graph_append_nodes(struct graph *graph, uint32_t count, struct graph_node **nodes)
{
    if (count > GRAPH_NODES_MAX || graph->node_count > GRAPH_NODES_MAX)
        return espy_fail(graph->arena.host, ESPY_BAD_FORMAT, "%u nodes, at most %d",
                         (unsigned)count, (int)GRAPH_NODES_MAX);
    if (count > graph->node_capacity - graph->node_count)
        TRY(resize(graph, &graph->nodes, &graph->node_capacity, graph->node_count + count,
                   sizeof(*graph->nodes)));
    *nodes = graph->nodes + graph->node_count;
    if (count > 0)
        memset(*nodes, 0, count * sizeof(**nodes));
    graph->node_count += count;
    return ESPY_OK;
}

espy_status espy_graph_reserve_attrs(struct graph *graph, struct graph_node *node, uint32_t count)
{
    assert(node->attr_count == 0);
    if (count == 0)
        return ESPY_OK;
    node->attrs = espy_arena_array(&graph->arena, count, sizeof(*node->attrs));
    node->attr_room = node->attrs == NULL ? 0 : count;
    return node->attrs == NULL ? ESPY_OUT_OF_MEMORY : ESPY_OK;
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
    const char *name = word(graph, attr->name);
    if (name == NULL)
        return ESPY_OUT_OF_MEMORY;
    // Nodes have few attributes, and the array may be one that a pass made: no spare room in it.
    if (node->attr_count >= node->attr_room) {
        struct graph_attr *attrs =
            espy_arena_array(&graph->arena, (size_t)node->attr_count + 1, sizeof(*attrs));
        if (attrs == NULL)
            return ESPY_OUT_OF_MEMORY;
        if (node->attr_count > 0)
            memcpy(attrs, node->attrs, node->attr_count * sizeof(*attrs));
        node->attrs = attrs;
        node->attr_room = 0;
    }
    node->attrs[node->attr_count] = *attr;
    node->attrs[node->attr_count++].name = name;
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
    const char *op_copy = word(graph, op);
    if (steps == NULL || attrs == NULL || copy == NULL || op_copy == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < count; i++) {
        attrs[i] = (struct graph_attr){word(graph, names[i]), GRAPH_ATTR_NUMBER, 1, &copy[i], NULL};
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

// ---- prune and sort -----------------------------------------------------------------------------

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

// Gives back what lists have that is not used, where it is an eighth of them.
static espy_status shrink(struct graph *graph)
{
    const uint32_t values = graph->value_count, nodes = graph->node_count;
    if (values > 0 && values < graph->value_capacity / 8 * 7)
        TRY(resize(graph, &graph->values, &graph->value_capacity, values, sizeof(*graph->values)));
    if (nodes > 0 && nodes < graph->node_capacity / 8 * 7)
        TRY(resize(graph, &graph->nodes, &graph->node_capacity, nodes, sizeof(*graph->nodes)));
    return ESPY_OK;
}

espy_status espy_graph_prune(struct graph *graph)
{
    struct walk walk;
    TRY(init_walk(graph, &walk));
    mark_needed(graph, &walk);
    graph->site_count = 0;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < graph->node_count; i++)
        if (walk.states[i])
            graph->nodes[kept++] = graph->nodes[i];
    graph->node_count = kept;
    compact_values(graph, walk.makers); // makers is not needed any more and has the right size
    finish_walk(graph->arena.host, &walk);
    return shrink(graph);
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
    graph->site_count = 0;
    if (status == ESPY_OK)
        memcpy(graph->nodes, sorted, size);
    espy_free(host, sorted);
    finish_walk(host, &walk);
    return status;
}
