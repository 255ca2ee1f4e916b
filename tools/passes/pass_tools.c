#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "passes/passes.h"

struct graph_node *espy_pass_maker(const struct pass *pass, uint32_t value, const char *op)
{
    if (value == GRAPH_NONE || value >= pass->facts->value_count)
        return NULL;
    const uint32_t maker = pass->facts->makers[value];
    if (maker == GRAPH_NONE)
        return NULL;
    struct graph_node *node = &pass->graph->nodes[maker];
    return op == NULL || strcmp(node->op, op) == 0 ? node : NULL;
}

uint32_t espy_pass_input(const struct graph_node *node, uint32_t i)
{
    return i < node->input_count ? node->inputs[i] : GRAPH_NONE;
}

bool espy_pass_single_use(const struct pass *pass, uint32_t value)
{
    return value < pass->facts->value_count && pass->facts->uses[value] == 1 &&
           !pass->facts->is_output[value];
}

struct graph_node *espy_pass_user(const struct pass *pass, uint32_t value)
{
    for (uint32_t n = 0; espy_pass_single_use(pass, value) && n < pass->graph->node_count; n++)
        for (uint32_t i = 0; i < pass->graph->nodes[n].input_count; i++)
            if (pass->graph->nodes[n].inputs[i] == value)
                return &pass->graph->nodes[n];
    return NULL;
}

struct tensor espy_pass_value(const struct pass *pass, uint32_t value)
{
    return value >= pass->facts->value_count ? (struct tensor){.data = NULL} // GRAPH_NONE too
                                             : espy_facts_value(pass->facts, value);
}

bool espy_pass_scalar(const struct pass *pass, uint32_t value, double *number)
{
    const struct tensor tensor = espy_pass_value(pass, value);
    if (tensor.data == NULL || tensor.count != 1)
        return false;
    *number = espy_tensor_number(&tensor, 0);
    return true;
}

bool espy_pass_is_uniform(const struct pass *pass, uint32_t value, double number)
{
    const struct facts *facts = pass->facts;
    const struct tensor tensor = espy_pass_value(pass, value);
    if (tensor.data != NULL)
        return espy_facts_is_uniform(&tensor, number);
    for (uint32_t i = 0; i < facts->uniform_count; i++)
        if (facts->uniform[i].value == value)
            return facts->uniform[i].number == number;
    return false;
}

double espy_pass_number(const struct graph_node *node, const char *name, double fallback)
{
    const struct graph_attr *attr = espy_graph_find_attr(node, name);
    return attr == NULL || attr->type != GRAPH_ATTR_NUMBER ? fallback : attr->numbers[0];
}

bool espy_pass_string_is(const struct graph_node *node, const char *name, const char *fallback,
                         const char *wanted)
{
    const struct graph_attr *attr = espy_graph_find_attr(node, name);
    const char *text =
        attr == NULL || attr->type != GRAPH_ATTR_STRING ? fallback : attr->strings[0];
    return strcmp(text, wanted) == 0;
}

static void rename_uses(struct pass *pass, uint32_t from, uint32_t to)
{
    struct graph *graph = pass->graph;
    for (uint32_t n = 0; n < graph->node_count; n++)
        for (uint32_t i = 0; i < graph->nodes[n].input_count; i++)
            if (graph->nodes[n].inputs[i] == from)
                graph->nodes[n].inputs[i] = to;
    // Too high where the old node is dead, which only hides chances until facts are taken again.
    if (to < pass->facts->value_count)
        pass->facts->uses[to] += pass->facts->uses[from];
}

static void exchange_output(struct graph_node *node, uint32_t from, uint32_t to)
{
    for (uint32_t o = 0; o < node->output_count; o++)
        if (node->outputs[o] == from)
            node->outputs[o] = to;
}

// Each is still made once; the old node is dead.
static void change_places(struct pass *pass, uint32_t from, uint32_t to)
{
    struct facts *facts = pass->facts;
    exchange_output(espy_pass_maker(pass, to, NULL), to, from);
    exchange_output(espy_pass_maker(pass, from, NULL), from, to);
    const uint32_t index = facts->makers[to];
    facts->makers[to] = facts->makers[from];
    facts->makers[from] = index;
    pass->changed = true;
}

void espy_pass_replace(struct pass *pass, uint32_t from, uint32_t to, bool *done)
{
    const struct facts *facts = pass->facts;
    *done = true;
    if (!facts->is_output[from]) {
        pass->changed = true;
        rename_uses(pass, from, to);
        return;
    }
    if (espy_pass_maker(pass, from, NULL) == NULL || espy_pass_maker(pass, to, NULL) == NULL ||
        facts->is_output[to]) {
        *done = false;
        return;
    }
    change_places(pass, from, to);
    facts->types[from] = facts->types[to];
    rename_uses(pass, to, from);
}

void espy_pass_absorb(struct pass *pass, uint32_t result, uint32_t made)
{
    assert(espy_pass_single_use(pass, made));
    struct graph_node *old = espy_pass_maker(pass, result, NULL);
    change_places(pass, result, made);
    for (uint32_t i = 0; i < old->input_count; i++) // dead, but no cycle
        if (old->inputs[i] == made)
            old->inputs[i] = result;
}

static espy_status note_names(struct facts *facts)
{
    const struct graph *graph = facts->graph;
    for (uint32_t v = 0; v < graph->value_count; v++)
        TRY(espy_map_put(&facts->value_names, graph->values[v].name, v));
    for (uint32_t n = 0; n < graph->node_count; n++)
        TRY(espy_map_put(&facts->node_names, graph->nodes[n].name, n));
    facts->has_names = true;
    return ESPY_OK;
}

static const char *unique(struct pass *pass, struct map *names, const char *hint)
{
    struct arena *arena = &pass->graph->arena;
    if (!pass->facts->has_names && note_names(pass->facts) != ESPY_OK)
        return NULL;
    const char *name = espy_arena_string(arena, hint);
    for (uint32_t i = 2; name != NULL && espy_map_get(names, name) != MAP_NONE; i++)
        name = espy_arena_format(arena, "%s_%u", hint, (unsigned)i);
    return name == NULL || espy_map_put(names, name, 0) != ESPY_OK ? NULL : name;
}

const char *espy_pass_value_name(struct pass *pass, const char *hint)
{
    return unique(pass, &pass->facts->value_names, hint);
}

const char *espy_pass_node_name(struct pass *pass, const char *hint)
{
    return unique(pass, &pass->facts->node_names, hint);
}

espy_status espy_pass_constant(struct pass *pass, const char *hint, espy_dtype dtype,
                               const struct shape *shape, const double *numbers, size_t count,
                               uint32_t *index)
{
    struct graph *graph = pass->graph;
    struct tensor tensor = {.type = {dtype, *shape}, .count = count};
    tensor.data = espy_arena_alloc(&graph->arena, espy_tensor_size(&tensor));
    const char *name = espy_pass_value_name(pass, hint);
    if (tensor.data == NULL || name == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (size_t i = 0; i < count; i++)
        espy_tensor_set_number(&tensor, i, numbers[i]);
    pass->changed = true;
    return espy_graph_add_constant(graph, name, dtype, shape, tensor.data,
                                   espy_tensor_size(&tensor), index);
}

bool espy_pass_has_kernel(const char *op)
{
    const struct op *found = espy_op_find(op);
    return found != NULL && found->lower != NULL;
}

espy_status espy_pass_add_node(struct pass *pass, const char *op, const char *hint,
                               const uint32_t *inputs, uint32_t input_count, uint32_t *output,
                               struct graph_node **node)
{
    struct graph_node *made;
    const char *base = espy_arena_format(&pass->graph->arena, "%s/%s", hint, op);
    const char *name = base == NULL ? NULL : espy_pass_node_name(pass, base);
    const char *value = base == NULL ? NULL : espy_pass_value_name(pass, base);
    if (name == NULL || value == NULL)
        return ESPY_OUT_OF_MEMORY;
    pass->changed = true;
    TRY(espy_graph_add_value(pass->graph, value, output));
    return espy_graph_add_node(pass->graph, op, name, inputs, input_count, output, 1,
                               node == NULL ? &made : node);
}
