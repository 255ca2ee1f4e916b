#include <string.h>

#include "passes/passes.h"

// Exporters repeat the same shape arithmetic for every use of it, with a constant of its own each
// time. Equal small constants become one, then equal nodes with equal inputs do.

enum { CONSTANT_SIZE_MAX = 4096 };

// A hash table of indices; empty slots are GRAPH_NONE.
struct table {
    uint32_t *slots;
    uint32_t mask;
};

static espy_status init_table(struct pass *pass, struct table *table, uint32_t count)
{
    uint32_t size = 16;
    while (size / 2 < count)
        size *= 2;
    table->mask = size - 1;
    table->slots = espy_arena_array(&pass->facts->arena, size, sizeof(*table->slots));
    if (table->slots == NULL)
        return ESPY_OUT_OF_MEMORY;
    memset(table->slots, 0xff, size * sizeof(*table->slots));
    return ESPY_OK;
}

static bool same_constant(const struct graph_value *a, const struct graph_value *b)
{
    return a->dtype == b->dtype && a->data_size == b->data_size &&
           espy_shape_equal(&a->shape, &b->shape) && memcmp(a->data, b->data, a->data_size) == 0;
}

static espy_status merge_constants(struct pass *pass)
{
    const struct graph *graph = pass->graph;
    struct table table;
    TRY(init_table(pass, &table, graph->value_count));
    uint32_t *kept = espy_arena_array(&pass->facts->arena, graph->value_count, sizeof(*kept));
    if (kept == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t v = 0; v < graph->value_count; v++) {
        const struct graph_value *value = &graph->values[v];
        kept[v] = v;
        if (value->data == NULL || value->data_size > CONSTANT_SIZE_MAX ||
            pass->facts->is_output[v])
            continue;
        uint64_t hash = espy_hash(ESPY_HASH_START, value->data, value->data_size);
        uint32_t slot = (uint32_t)(espy_hash(hash, &value->dtype, sizeof(value->dtype)));
        while (table.slots[slot & table.mask] != GRAPH_NONE &&
               !same_constant(&graph->values[table.slots[slot & table.mask]], value))
            slot++;
        if (table.slots[slot & table.mask] == GRAPH_NONE)
            table.slots[slot & table.mask] = v;
        kept[v] = table.slots[slot & table.mask];
    }
    for (uint32_t n = 0; n < graph->node_count; n++) {
        struct graph_node *node = &graph->nodes[n];
        for (uint32_t i = 0; i < node->input_count; i++) {
            if (node->inputs[i] == GRAPH_NONE || kept[node->inputs[i]] == node->inputs[i])
                continue;
            node->inputs[i] = kept[node->inputs[i]];
            pass->changed = true;
        }
    }
    return ESPY_OK;
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
    return espy_hash(hash, text, strlen(text) + 1);
}

static uint32_t hash_node(const struct graph_node *node)
{
    uint64_t hash = hash_text(ESPY_HASH_START, node->op);
    hash = espy_hash(hash, node->inputs, node->input_count * sizeof(*node->inputs));
    for (uint32_t i = 0; i < node->attr_count; i++) {
        const struct graph_attr *attr = &node->attrs[i];
        hash = hash_text(hash, attr->name);
        if (attr->numbers != NULL)
            hash = espy_hash(hash, attr->numbers, attr->count * sizeof(*attr->numbers));
    }
    return (uint32_t)(hash ^ hash >> 32);
}

static bool same_attr(const struct graph_attr *a, const struct graph_attr *b)
{
    if (strcmp(a->name, b->name) != 0 || a->type != b->type || a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++) {
        const bool text = a->type == GRAPH_ATTR_STRING || a->type == GRAPH_ATTR_STRINGS;
        if (text ? strcmp(a->strings[i], b->strings[i]) != 0
                 : memcmp(&a->numbers[i], &b->numbers[i], sizeof(a->numbers[i])) != 0)
            return false;
    }
    return true;
}

static bool same_node(const struct graph_node *a, const struct graph_node *b)
{
    if (strcmp(a->op, b->op) != 0 || a->input_count != b->input_count ||
        a->output_count != b->output_count || a->attr_count != b->attr_count || a->step_count > 0 ||
        b->step_count > 0 || memcmp(a->inputs, b->inputs, a->input_count * sizeof(*a->inputs)) != 0)
        return false;
    for (uint32_t i = 0; i < a->attr_count; i++)
        if (!same_attr(&a->attrs[i], &b->attrs[i]))
            return false;
    for (uint32_t i = 0; i < a->output_count; i++)
        if ((a->outputs[i] == GRAPH_NONE) != (b->outputs[i] == GRAPH_NONE))
            return false;
    return true;
}

// Random numbers differ from node to node, and a branch is known by its node.
static bool may_merge(const struct pass *pass, const struct graph_node *node)
{
    static const char *const never[] = {"RandomNormal",
                                        "RandomNormalLike",
                                        "RandomUniform",
                                        "RandomUniformLike",
                                        "Bernoulli",
                                        "Multinomial",
                                        "If"};
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
        if (strcmp(node->op, never[i]) == 0)
            return false;
    for (uint32_t o = 0; o < node->output_count; o++)
        if (node->outputs[o] != GRAPH_NONE && pass->facts->is_output[node->outputs[o]])
            return false;
    return true;
}

static espy_status merge_nodes(struct pass *pass)
{
    struct graph *graph = pass->graph;
    struct table table;
    TRY(init_table(pass, &table, graph->node_count));
    for (uint32_t n = 0; n < graph->node_count; n++) {
        const struct graph_node *node = &graph->nodes[n]; // its inputs have been replaced already
        if (!may_merge(pass, node))
            continue;
        uint32_t slot = hash_node(node);
        while (table.slots[slot & table.mask] != GRAPH_NONE &&
               !same_node(&graph->nodes[table.slots[slot & table.mask]], node))
            slot++;
        uint32_t *found = &table.slots[slot & table.mask];
        if (*found == GRAPH_NONE) {
            *found = n;
            continue;
        }
        for (uint32_t o = 0; o < node->output_count; o++) {
            bool done;
            if (node->outputs[o] != GRAPH_NONE)
                espy_pass_replace(pass, node->outputs[o], graph->nodes[*found].outputs[o], &done);
        }
        pass->counts->duplicates++;
    }
    return ESPY_OK;
}

espy_status espy_pass_duplicates(struct pass *pass)
{
    TRY(merge_constants(pass));
    return merge_nodes(pass);
}
