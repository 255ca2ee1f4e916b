#include "api/site_maps.h"

#include <string.h>

// Of the operator Attention: the output that its softmax can be had by, the value of
// qk_matmul_output_mode that asks for it, and the largest query that exposed_first can name.
enum { EXPOSED = 3, EXPOSED_SOFTMAX = 3, FIRST_MAX = INT32_MAX };

static struct espy_attention_rows rows_of(const struct site_maps *maps, uint32_t i)
{
    return maps->rows == NULL ? (struct espy_attention_rows){0, 0} : maps->rows[i];
}

static bool wants_all(struct espy_attention_rows rows)
{
    return rows.first == 0 && rows.count == 0;
}

static espy_status find_sites(struct site_maps *maps, const struct graph *graph,
                              const char *const *names)
{
    const struct host *host = graph->arena.host;
    for (uint32_t i = 0; i < maps->count; i++) {
        const struct graph_site *found = NULL;
        for (uint32_t s = 0; names[i] != NULL && s < graph->site_count; s++)
            if (strcmp(graph->sites[s].name, names[i]) == 0)
                found = &graph->sites[s];
        if (found == NULL)
            return espy_fail(host, ESPY_INVALID_ARGUMENT,
                             "the model has no attention site '%s'; it has %u, which "
                             "espy_model_attention lists",
                             names[i] == NULL ? "(NULL)" : names[i], (unsigned)graph->site_count);
        for (uint32_t k = 0; k < i; k++)
            if (maps->sites[k] == found)
                return espy_fail(host, ESPY_INVALID_ARGUMENT, "attention site '%s' is named twice",
                                 names[i]);
        if (!wants_all(rows_of(maps, i)) && strcmp(found->kind, "softmax") != 0 &&
            strcmp(found->kind, "transposed") != 0)
            return espy_fail(host, ESPY_INVALID_ARGUMENT,
                             "attention site '%s' is of kind '%s', whose map has no queries of "
                             "which some could be asked for",
                             names[i], found->kind);
        maps->sites[i] = found;
    }
    return ESPY_OK;
}

// Values, nodes and outputs of its own, with room for one more output per map.
static espy_status copy_lists(struct site_maps *maps, const struct graph *from)
{
    struct graph *graph = &maps->graph;
    struct graph_node *nodes;
    uint32_t index;
    graph->name = from->name;
    for (uint32_t v = 0; v < from->value_count; v++)
        TRY(espy_graph_append_value(graph, &from->values[v], &index));
    TRY(espy_graph_append_nodes(graph, from->node_count, &nodes));
    memcpy(nodes, from->nodes, from->node_count * sizeof(*nodes));
    graph->input_count = from->input_count;
    graph->inputs = from->inputs;
    graph->output_count = from->output_count;
    graph->outputs = espy_arena_array(&graph->arena, (size_t)from->output_count + maps->count,
                                      sizeof(*graph->outputs));
    if (graph->outputs == NULL)
        return ESPY_OUT_OF_MEMORY;
    memcpy(graph->outputs, from->outputs, from->output_count * sizeof(*from->outputs));
    graph->bodies =
        from->bodies; // for nodes that run them; espy_site_maps_finish leaves them alone
    graph->body_count = from->body_count;
    return ESPY_OK;
}

// Leaves of a map some rows: those of the last dimension but one.
static espy_status slice(struct graph *graph, const struct graph_site *site,
                         struct espy_attention_rows rows, uint32_t *value)
{
    static const char *const names[] = {"first", "end", "axis"};
    const struct shape list = {.rank = 1, .dims = {1}};
    uint32_t inputs[4] = {*value}, sliced;
    int64_t *numbers = espy_arena_array(&graph->arena, 3, sizeof(*numbers));
    struct graph_node *node;
    if (numbers == NULL)
        return ESPY_OUT_OF_MEMORY;
    numbers[0] = rows.first;
    numbers[1] = rows.count == 0 ? INT64_MAX : (int64_t)rows.first + rows.count;
    numbers[2] = -2;
    for (uint32_t i = 0; i < 3; i++)
        TRY(espy_graph_add_constant(graph, names[i], ESPY_INT64, &list, &numbers[i],
                                    sizeof(*numbers), &inputs[i + 1]));
    const struct graph_value like = {.name = site->name};
    TRY(espy_graph_append_value(graph, &like, &sliced));
    TRY(espy_graph_add_node(graph, "Slice", site->name, inputs, 4, &sliced, 1, &node));
    *value = sliced;
    return ESPY_OK;
}

static espy_status set_attrs(struct graph *graph, struct graph_node *node,
                             struct espy_attention_rows rows)
{
    TRY(espy_graph_set_number(graph, node, "qk_matmul_output_mode", EXPOSED_SOFTMAX));
    if (rows.first > 0)
        TRY(espy_graph_set_number(graph, node, "exposed_first",
                                  rows.first < FIRST_MAX ? rows.first : FIRST_MAX));
    return rows.count == 0 ? ESPY_OK
                           : espy_graph_set_number(graph, node, "exposed_count",
                                                   rows.count < FIRST_MAX ? rows.count : FIRST_MAX);
}

// Lets an Attention tell its softmax, or some rows of it.
static espy_status expose(struct graph *graph, const struct graph_site *site,
                          struct espy_attention_rows rows, uint32_t *value)
{
    enum { ATTRS = 3 };
    struct graph_node *node = &graph->nodes[site->node];
    const struct graph_attr *mode = espy_graph_find_attr(node, "qk_matmul_output_mode");
    const bool is_softmax =
        mode != NULL && mode->type == GRAPH_ATTR_NUMBER && mode->numbers[0] == EXPOSED_SOFTMAX;
    if (node->output_count > EXPOSED && node->outputs[EXPOSED] != GRAPH_NONE) {
        *value = node->outputs[EXPOSED];
        return is_softmax ? ESPY_OK
                          : espy_fail(graph->arena.host, ESPY_UNSUPPORTED,
                                      "attention site '%s': node '%s' gives its scores to the "
                                      "network, so its softmax cannot be had",
                                      site->name, node->name);
    }
    const struct graph_value like = {.name = site->name};
    TRY(espy_graph_append_value(graph, &like, value));
    uint32_t *outputs = espy_arena_array(&graph->arena, EXPOSED + 1, sizeof(*outputs));
    struct graph_attr *attrs =
        espy_arena_array(&graph->arena, (size_t)node->attr_count + ATTRS, sizeof(*attrs));
    if (outputs == NULL || attrs == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t o = 0; o < EXPOSED; o++)
        outputs[o] = o < node->output_count ? node->outputs[o] : GRAPH_NONE;
    outputs[EXPOSED] = *value;
    if (node->attr_count > 0)
        memcpy(attrs, node->attrs, node->attr_count * sizeof(*attrs));
    node->outputs = outputs; // the lists before are the model's
    node->output_count = EXPOSED + 1;
    node->attrs = attrs;
    node->attr_room = node->attr_count + ATTRS;
    return set_attrs(graph, node, rows);
}

// The value that a site's map is, before rows are left out, which an Attention that tells nobody
// else its softmax can do itself: rows then are all.
static espy_status find_map(struct site_maps *maps, uint32_t i, struct espy_attention_rows *rows,
                            uint32_t *value)
{
    const struct graph_site *site = maps->sites[i];
    const struct graph_node *node = &maps->graph.nodes[site->node];
    *value = node->outputs[0];
    if (strcmp(node->op, "Attention") != 0)
        return ESPY_OK;
    bool alone = node->output_count <= EXPOSED || node->outputs[EXPOSED] == GRAPH_NONE;
    for (uint32_t k = 0; k < maps->count; k++)
        alone = alone && (k == i || maps->sites[k]->node != site->node);
    if (!alone)
        return expose(&maps->graph, site, (struct espy_attention_rows){0, 0}, value);
    TRY(expose(&maps->graph, site, *rows, value));
    *rows = (struct espy_attention_rows){0, 0};
    return ESPY_OK;
}

static espy_status add_outputs(struct site_maps *maps)
{
    struct graph *graph = &maps->graph;
    for (uint32_t i = 0; i < maps->count; i++) {
        struct espy_attention_rows rows = rows_of(maps, i);
        uint32_t value, o = 0;
        TRY(find_map(maps, i, &rows, &value));
        if (!wants_all(rows))
            TRY(slice(graph, maps->sites[i], rows, &value));
        while (o < graph->output_count && graph->outputs[o].value != value)
            o++;
        maps->outputs[i] = o;
        if (o == graph->output_count)
            graph->outputs[graph->output_count++] = (struct graph_io){.value = value};
    }
    return ESPY_OK;
}

espy_status espy_site_maps_init(struct site_maps *maps, const struct host *host,
                                const struct graph *graph, const struct espy_session_params *params)
{
    const char *const *names = params->attention;
    const uint32_t count = params->attention_count;
    *maps = (struct site_maps){.count = count, .rows = params->attention_rows};
    espy_graph_init(&maps->graph, host);
    if (names == NULL)
        return espy_fail(host, ESPY_INVALID_ARGUMENT, "the list of attention sites is NULL");
    if (count > graph->site_count)
        return espy_fail(host, ESPY_INVALID_ARGUMENT,
                         "%u attention sites are named, the model has %u", (unsigned)count,
                         (unsigned)graph->site_count);
    maps->sites = espy_arena_array(&maps->graph.arena, count, sizeof(*maps->sites));
    maps->outputs = espy_arena_array(&maps->graph.arena, count, sizeof(*maps->outputs));
    if (maps->sites == NULL || maps->outputs == NULL)
        return ESPY_OUT_OF_MEMORY;
    TRY(find_sites(maps, graph, names));
    TRY(copy_lists(maps, graph));
    TRY(add_outputs(maps));
    maps->rows = NULL;
    return ESPY_OK;
}

void espy_site_maps_finish(struct site_maps *maps)
{
    maps->graph.bodies = NULL;
    maps->graph.body_count = 0;
    espy_graph_finish(&maps->graph);
    *maps = (struct site_maps){0};
}
