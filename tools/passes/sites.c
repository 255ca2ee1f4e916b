#include "passes/sites.h"

#include <string.h>

// Where a network attends, recognised by what values are, never by names:
// - Attention, and a product of something computed with a Softmax of a product: `softmax`, or
//   `transposed` where its tokens are channels;
// - a sum of something weighted by a Softmax, also as a product with one row: `linear`;
// - a feature map times a bounded value that was computed from this map: with no extent on the
//   picture `channel_gate` (a factor per channel, or one for all), else `spatial_gate`;
// - sampling at computed places: `deformable`.
// The places of tokens are for site_places.c to find.

enum { BACK_MAX = 16, SEARCH_MAX = 512 };

struct finder {
    const struct host *host;
    struct graph *graph;
    struct facts facts;
    struct arena arena;
    struct map names;         // of outputs and sites
    bool *taken;              // [node_count]: it makes the map of a site
    uint32_t *stamps, stamp;  // [value_count]; of the search that has been there
    struct graph_site *sites; // [node_count]
    uint32_t count;
};

static const struct graph_node *maker_of(const struct finder *finder, uint32_t value)
{
    const uint32_t maker = value == GRAPH_NONE ? GRAPH_NONE : finder->facts.makers[value];
    return maker == GRAPH_NONE ? NULL : &finder->graph->nodes[maker];
}

static bool is_op(const struct graph_node *node, const char *op)
{
    return node != NULL && strcmp(node->op, op) == 0;
}

static bool is_one_of(const struct graph_node *node, const char *const *list)
{
    for (; node != NULL && *list != NULL; list++)
        if (strcmp(node->op, *list) == 0)
            return true;
    return false;
}

static bool is_known(const struct finder *finder, uint32_t value)
{
    return value == GRAPH_NONE || espy_site_is_known(&finder->facts, value);
}

static const struct op_type *type_of(const struct finder *finder, uint32_t value)
{
    return &finder->facts.types[value];
}

// ---- what a site is called ----------------------------------------------------------------------

// Characters of a name before its last part, or all of them.
static int before_last(const char *name, int length)
{
    for (int end = length; end-- > 1;)
        if (name[end] == '/')
            return end;
    return length;
}

// The node's name without its last part ("/blocks.0/attn/MatMul_1": "blocks.0/attn"), and a number
// where that is there already. The pass that makes an Attention adds a part.
static const char *name_of(struct finder *finder, const struct graph_node *user)
{
    const char *node = user->name + (user->name[0] == '/');
    int length = before_last(node, (int)strlen(node));
    if (is_op(user, "Attention") && strcmp(node + length, "/Attention") == 0)
        length = before_last(node, length);
    char *name = espy_arena_format(&finder->graph->arena, "%.*s", length, node);
    for (uint32_t i = 2; name != NULL && espy_map_get(&finder->names, name) != MAP_NONE; i++)
        name = espy_arena_format(&finder->graph->arena, "%.*s_%u", length, node, (unsigned)i);
    return name;
}

// node: where the map is used, which has the best name.
static espy_status add_site(struct finder *finder, const struct graph_node *user,
                            const struct graph_site *like)
{
    struct graph_site *site = &finder->sites[finder->count];
    if (finder->taken[like->node] || finder->count == GRAPH_SITES_MAX)
        return ESPY_OK;
    *site = *like;
    site->name = name_of(finder, user);
    if (site->name == NULL)
        return ESPY_OUT_OF_MEMORY;
    // Names of nodes may be as long as names may be at all, and then have no room for a number.
    if (strlen(site->name) > GRAPH_NAME_SIZE_MAX)
        return ESPY_OK;
    finder->taken[site->node] = true;
    finder->count++;
    return espy_map_put(&finder->names, site->name, site->node);
}

// ---- searches -----------------------------------------------------------------------------------

// Past nodes that leave the numbers as they are.
static uint32_t strip_views(const struct finder *finder, uint32_t value)
{
    static const char *const views[] = {"Reshape", "Transpose", "Squeeze",  "Unsqueeze", "Flatten",
                                        "Expand",  "Cast",      "Identity", "Dropout",   NULL};
    for (uint32_t i = 0; i < BACK_MAX; i++) {
        const struct graph_node *node = maker_of(finder, value);
        if (!is_one_of(node, views) || node->step_count > 0)
            break;
        value = node->inputs[0];
    }
    return value;
}

// true: `from` is computed from `to`, near enough to be one module.
static bool comes_from(struct finder *finder, uint32_t from, uint32_t to)
{
    uint32_t queue[SEARCH_MAX];
    uint32_t head = 0, tail = 0;
    queue[tail++] = from;
    finder->stamps[from] = ++finder->stamp;
    while (head < tail) {
        const struct graph_node *node = maker_of(finder, queue[head++]);
        for (uint32_t i = 0; node != NULL && i < node->input_count; i++) {
            const uint32_t input = node->inputs[i];
            if (is_known(finder, input) || finder->stamps[input] == finder->stamp)
                continue;
            if (input == to)
                return true;
            finder->stamps[input] = finder->stamp;
            if (tail < SEARCH_MAX)
                queue[tail++] = input;
        }
    }
    return false;
}

// ---- tokens -------------------------------------------------------------------------------------

static espy_status find_grids(struct finder *finder, const struct site_tokens *queries,
                              const struct site_tokens *keys, struct graph_site *site)
{
    if (queries->value != GRAPH_NONE)
        TRY(espy_site_grid(&finder->facts, queries, &site->queries));
    return espy_site_grid(&finder->facts, keys, &site->keys);
}

// Pictures at once, as far as the file says it.
static uint32_t batch_of(const struct finder *finder)
{
    const struct graph *graph = finder->graph;
    const struct shape *shape =
        graph->input_count == 0 ? NULL : &type_of(finder, graph->inputs[0].value)->shape;
    return shape == NULL || shape->rank == 0 || shape->dims[0] < 1 ? 1 : (uint32_t)shape->dims[0];
}

// Heads and pictures may stand in one dimension.
static uint32_t heads_of(const struct finder *finder, int64_t both)
{
    const uint32_t batch = batch_of(finder);
    return (uint32_t)(both % batch == 0 ? both / batch : both);
}

static espy_status find_attention(struct finder *finder, uint32_t index)
{
    const struct graph_node *node = &finder->graph->nodes[index];
    const struct op_type *type = type_of(finder, node->inputs[0]);
    struct graph_site site = {.kind = "softmax", .node = index};
    if (type->dtype == ESPY_DTYPE_NONE)
        return add_site(finder, node, &site);
    const bool heads_apart = type->shape.rank == 4;
    struct site_tokens queries = {node->inputs[0], heads_apart ? 2 : 1, 0, heads_apart ? 3 : 2};
    struct site_tokens keys = queries;
    keys.value = node->inputs[1];
    site.heads = heads_apart && type->shape.dims[0] == 1 ? heads_of(finder, type->shape.dims[1])
                 : heads_apart                           ? (uint32_t)type->shape.dims[1]
                               : (uint32_t)espy_pass_number(node, "q_num_heads", 0);
    if (espy_site_is_transposed(&finder->facts, &keys))
        site.kind = "transposed";
    else
        TRY(find_grids(finder, &queries, &keys, &site));
    return add_site(finder, node, &site);
}

static bool is_last_axis(const struct graph_node *softmax, uint32_t rank)
{
    const double axis = espy_pass_number(softmax, "axis", -1);
    return axis == -1 || axis + 1 == rank;
}

// The product that a softmax is of, through scale, mask and bias; NULL: it is of something else.
static const struct graph_node *find_scores(const struct finder *finder, uint32_t value,
                                            const struct shape *shape)
{
    static const char *const changes[] = {"Add",  "Sub",  "Mul",     "Div",       "Where",
                                          "Cast", "Clip", "Reshape", "Transpose", NULL};
    for (uint32_t i = 0; i < BACK_MAX; i++) {
        const struct graph_node *node = maker_of(finder, value);
        if (is_op(node, "MatMul") || is_op(node, "Einsum"))
            return node;
        if (!is_one_of(node, changes))
            return NULL;
        // What has the scores' shape, and is not a mask or a bias for all of them.
        uint32_t next = GRAPH_NONE;
        for (uint32_t k = 0; k < node->input_count; k++) {
            const uint32_t input = node->inputs[k];
            const bool fits = !is_known(finder, input) &&
                              (node->input_count == 1 || strcmp(node->op, "Reshape") == 0 ||
                               espy_shape_equal(&type_of(finder, input)->shape, shape));
            const struct graph_node *maker = maker_of(finder, input);
            if (fits && (next == GRAPH_NONE || is_op(maker, "MatMul")))
                next = input;
        }
        if (next == GRAPH_NONE)
            return NULL;
        value = next;
        shape = &type_of(finder, value)->shape;
    }
    return NULL;
}

// Which axes of the operands of a product hold the queries and the keys of its result. false: not
// known.
static bool find_axes(const struct finder *finder, const struct graph_node *scores, uint32_t rank,
                      struct site_tokens *queries, struct site_tokens *keys)
{
    const uint32_t batch = rank == 4 ? 0 : GRAPH_NONE;
    *queries = (struct site_tokens){scores->inputs[0], rank - 2, batch, rank - 1};
    *keys = (struct site_tokens){scores->inputs[1], rank - 1, batch, rank - 2};
    if (is_op(scores, "MatMul"))
        return type_of(finder, scores->inputs[0])->shape.rank == rank &&
               type_of(finder, scores->inputs[1])->shape.rank == rank;
    char result[SITE_TERM_SIZE], terms[2][SITE_TERM_SIZE];
    if (scores->input_count != 2 || !espy_site_einsum_term(scores, SITE_RESULT, result) ||
        !espy_site_einsum_term(scores, 0, terms[0]) ||
        !espy_site_einsum_term(scores, 1, terms[1]) || strlen(result) != rank)
        return false;
    // The result's last letter is the keys'.
    const uint32_t last = espy_site_letter_axis(terms[1], result[rank - 1]) == GRAPH_NONE ? 0 : 1;
    struct site_tokens *tokens[2] = {queries, keys};
    for (uint32_t i = 0; i < 2; i++) {
        const uint32_t operand = i == 1 ? last : 1 - last;
        const char *term = terms[operand];
        tokens[i]->value = scores->inputs[operand];
        tokens[i]->axis = espy_site_letter_axis(term, result[rank - 2 + i]);
        tokens[i]->batch = rank == 4 ? espy_site_letter_axis(term, result[0]) : batch;
        for (uint32_t d = 0; term[d] != '\0'; d++)
            if (strchr(result, term[d]) == NULL)
                tokens[i]->inner = d;
        const uint32_t own = type_of(finder, tokens[i]->value)->shape.rank;
        if (strlen(term) != own || tokens[i]->axis >= own || tokens[i]->inner >= own)
            return false;
    }
    return true;
}

static espy_status add_product(struct finder *finder, const struct graph_node *user,
                               uint32_t softmax, const struct graph_node *scores)
{
    const struct graph_node *node = &finder->graph->nodes[softmax];
    const struct op_type *map = type_of(finder, node->outputs[0]);
    const struct op_type *product = type_of(finder, scores->outputs[0]);
    struct graph_site site = {.kind = "softmax", .node = softmax};
    const uint32_t rank = map->shape.rank;
    if (map->dtype == ESPY_DTYPE_NONE || !is_last_axis(node, rank) || rank < 2)
        return add_site(finder, user, &site);
    site.heads = (uint32_t)(rank == 4   ? map->shape.dims[1]
                            : rank == 3 ? heads_of(finder, map->shape.dims[0])
                                        : 1);
    struct site_tokens queries, keys;
    if (!espy_shape_equal(&map->shape, &product->shape) ||
        !find_axes(finder, scores, rank, &queries, &keys))
        return add_site(finder, user, &site);
    if (espy_site_is_transposed(&finder->facts, &keys))
        site.kind = "transposed";
    else
        TRY(find_grids(finder, &queries, &keys, &site));
    return add_site(finder, user, &site);
}

// A softmax whose map weights tokens for all queries.
static espy_status add_weights(struct finder *finder, const struct graph_node *user, uint32_t map)
{
    struct graph_site site = {.kind = "linear", .node = finder->facts.makers[map]};
    const uint32_t rank = type_of(finder, map)->shape.rank;
    const struct site_tokens keys = {map, rank - 1, rank > 2 ? rank - 2 : GRAPH_NONE, 0};
    if (rank > 0 && is_last_axis(maker_of(finder, map), rank))
        TRY(espy_site_grid(&finder->facts, &keys, &site.keys));
    return add_site(finder, user, &site);
}

// Operand i of a product holds one row for each picture, a softmax along what the product sums over.
static bool is_row_of_weights(const struct finder *finder, const struct graph_node *product,
                              uint32_t i, uint32_t map)
{
    const struct shape *shape = &type_of(finder, map)->shape;
    const struct shape *operand = &type_of(finder, product->inputs[i])->shape;
    if (!is_op(product, "MatMul") || shape->rank < 2 || operand->rank < 2 ||
        !is_last_axis(maker_of(finder, map), shape->rank))
        return false;
    for (uint32_t d = 1; d + 1 < shape->rank; d++)
        if (shape->dims[d] != 1)
            return false;
    const int64_t tokens = shape->dims[shape->rank - 1];
    return tokens > 1 && operand->dims[operand->rank - (i == 0 ? 1 : 2)] == tokens &&
           operand->dims[operand->rank - (i == 0 ? 2 : 1)] == 1;
}

// Softmax of a product, times something computed; or of anything, where it is one row.
static espy_status find_product(struct finder *finder, uint32_t index)
{
    const struct graph_node *node = &finder->graph->nodes[index];
    for (uint32_t i = 0; i < 2 && node->input_count == 2; i++) {
        const uint32_t map = strip_views(finder, node->inputs[i]);
        const struct graph_node *softmax = maker_of(finder, map);
        if (!is_op(softmax, "Softmax") || is_known(finder, node->inputs[1 - i]))
            continue;
        const struct graph_node *scores =
            find_scores(finder, softmax->inputs[0], &type_of(finder, softmax->inputs[0])->shape);
        if (scores != NULL)
            return add_product(finder, node, finder->facts.makers[map], scores);
        if (is_row_of_weights(finder, node, i, map))
            return add_weights(finder, node, map);
    }
    return ESPY_OK;
}

// What was taken at computed places is weighted there, which find_sampling finds.
static bool is_sampled(const struct finder *finder, uint32_t value)
{
    for (uint32_t i = 0; i < BACK_MAX; i++) {
        value = strip_views(finder, value);
        const struct graph_node *node = maker_of(finder, value);
        if (is_op(node, "GridSample"))
            return true;
        if (!is_op(node, "Concat"))
            break;
        value = node->inputs[0];
    }
    return false;
}

// The sum over tokens of something weighted by a softmax over these tokens.
static espy_status find_weighted_sum(struct finder *finder, uint32_t index)
{
    const struct graph_node *node = &finder->graph->nodes[index];
    const struct graph_node *product = maker_of(finder, node->inputs[0]);
    for (uint32_t i = 0; i < 2 && is_op(product, "Mul"); i++) {
        const uint32_t map = strip_views(finder, product->inputs[i]);
        const struct graph_node *softmax = maker_of(finder, map);
        if (!is_op(softmax, "Softmax") || is_known(finder, product->inputs[1 - i]) ||
            is_sampled(finder, product->inputs[1 - i]))
            continue;
        return add_weights(finder, node, map);
    }
    return ESPY_OK;
}

// ---- gates --------------------------------------------------------------------------------------

static bool is_bounded(const struct graph_node *node)
{
    static const char *const bounded[] = {"Sigmoid", "HardSigmoid", "Softmax", "Tanh", NULL};
    if (node == NULL)
        return false;
    if (node->step_count == 0)
        return is_one_of(node, bounded);
    const struct graph_node last = {.op = node->steps[node->step_count - 1].op};
    return is_one_of(&last, bounded);
}

// Past what leaves the numbers alone, and a number added to or multiplied with all of them.
static uint32_t strip_gate(const struct finder *finder, uint32_t value)
{
    for (uint32_t i = 0; i < BACK_MAX; i++) {
        value = strip_views(finder, value);
        const struct graph_node *node = maker_of(finder, value);
        if (is_bounded(node) || (!is_op(node, "Add") && !is_op(node, "Mul")) ||
            node->input_count != 2)
            break;
        const uint32_t known = is_known(finder, node->inputs[0]) ? 0 : 1;
        if (!is_known(finder, node->inputs[known]))
            break;
        value = node->inputs[1 - known];
    }
    return value;
}

// A factor per channel needs no bound where a layer has made it: what would normalise has no
// weights.
static bool is_layer(const struct finder *finder, const struct graph_node *node)
{
    static const char *const layers[] = {"Conv", "Gemm", "MatMul", NULL};
    static const char *const pointwise[] = {"PRelu", "Relu", "LeakyRelu", "Add", NULL};
    for (uint32_t i = 0; i < BACK_MAX && is_one_of(node, pointwise); i++)
        node = maker_of(finder, strip_views(finder, node->inputs[0]));
    return is_one_of(node, layers);
}

// How a gate lies on a feature map: NULL where it is none for it.
static const char *gate_kind(const struct shape *map, const struct shape *gate)
{
    if (map->rank != 4 || gate->rank != 4)
        return NULL;
    uint32_t narrow = 0; // a bit per dimension that the gate has but once
    for (uint32_t d = 1; d < 4; d++) {
        if (gate->dims[d] == 1 && map->dims[d] > 1)
            narrow |= 1u << d;
        else if (gate->dims[d] != map->dims[d])
            return NULL;
    }
    switch (narrow) {
    case 0xc: // 1x1
    case 0x6: // the same with channels last
    case 0xe:
        return "channel_gate";
    case 0x2:
    case 0:
        return map->dims[2] > 1 || map->dims[3] > 1 ? "spatial_gate" : NULL;
    default:
        return NULL;
    }
}

// A gate is computed from the map; one per channel also from what the map itself is made of.
static bool is_gate_of(struct finder *finder, uint32_t gate, uint32_t map, bool channels)
{
    static const char *const steps[] = {"Conv", "Relu", "BatchNormalization", NULL};
    map = strip_views(finder, map);
    for (uint32_t i = 0; i < 3; i++) {
        if (comes_from(finder, gate, map))
            return true;
        const struct graph_node *node = maker_of(finder, map);
        if (!channels || !is_one_of(node, steps) || is_known(finder, node->inputs[0]))
            return false;
        map = node->inputs[0];
    }
    return false;
}

static espy_status find_gate(struct finder *finder, uint32_t index)
{
    const struct graph_node *node = &finder->graph->nodes[index];
    for (uint32_t i = 0; i < 2 && node->input_count == 2; i++) {
        const uint32_t map = node->inputs[i], gate = node->inputs[1 - i];
        if (is_known(finder, map) || is_known(finder, gate))
            continue;
        const uint32_t source = strip_gate(finder, gate);
        const struct graph_node *maker = maker_of(finder, source);
        const struct graph_node *spread = maker_of(finder, gate);
        const bool expanded = is_op(spread, "Expand") && spread->step_count == 0;
        const struct shape *shape = &type_of(finder, expanded ? spread->inputs[0] : gate)->shape;
        const char *kind = gate_kind(&type_of(finder, map)->shape, shape);
        const bool channels = kind != NULL && strcmp(kind, "channel_gate") == 0;
        if (kind == NULL || maker == NULL || maker->outputs[0] != source ||
            !(is_bounded(maker) || (channels && is_layer(finder, maker))) ||
            !is_gate_of(finder, source, map, channels))
            continue;
        // The value that lies as the map does, where a node makes it first of all.
        const uint32_t shown = expanded ? spread->inputs[0] : gate;
        const struct graph_node *last = maker_of(finder, shown);
        const bool first = last != NULL && last->outputs[0] == shown;
        struct graph_site site = {.kind = kind,
                                  .node = finder->facts.makers[first ? shown : source]};
        if (!channels) {
            site.keys.rows = (uint32_t)shape->dims[2];
            site.keys.columns = (uint32_t)shape->dims[3];
        }
        return add_site(finder, node, &site);
    }
    return ESPY_OK;
}

// ---- sampling -----------------------------------------------------------------------------------

static espy_status find_sampling(struct finder *finder, uint32_t index)
{
    const struct graph_node *node = &finder->graph->nodes[index];
    const uint32_t where = espy_pass_input(node, strcmp(node->op, "DeformConv") == 0 ? 2 : 1);
    const struct graph_node *maker = maker_of(finder, where);
    if (is_known(finder, where) || maker == NULL || maker->outputs[0] != where)
        return ESPY_OK;
    const struct graph_site site = {.kind = "deformable", .node = finder->facts.makers[where]};
    return add_site(finder, node, &site);
}

// ---- the whole ----------------------------------------------------------------------------------

static espy_status find_all(struct finder *finder)
{
    static const struct {
        const char *op;
        espy_status (*find)(struct finder *finder, uint32_t index);
    } finders[] = {
        {"Attention", find_attention},    {"MatMul", find_product}, {"Einsum", find_product},
        {"ReduceSum", find_weighted_sum}, {"Mul", find_gate},       {"GridSample", find_sampling},
        {"DeformConv", find_sampling}};
    for (uint32_t n = 0; n < finder->graph->node_count; n++)
        for (size_t i = 0; i < sizeof(finders) / sizeof(finders[0]); i++)
            if (strcmp(finder->graph->nodes[n].op, finders[i].op) == 0)
                TRY(finders[i].find(finder, n));
    return ESPY_OK;
}

static espy_status prepare(struct finder *finder)
{
    const struct graph *graph = finder->graph;
    finder->taken = espy_arena_array(&finder->arena, graph->node_count + 1u, sizeof(bool));
    finder->stamps = espy_arena_array(&finder->arena, graph->value_count + 1u, sizeof(uint32_t));
    finder->sites =
        espy_arena_array(&finder->arena, graph->node_count + 1u, sizeof(*finder->sites));
    if (finder->taken == NULL || finder->stamps == NULL || finder->sites == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t o = 0; o < graph->output_count; o++)
        TRY(espy_map_put(&finder->names, graph->values[graph->outputs[o].value].name, o));
    return ESPY_OK;
}

// Where sizes are known only at run time, the network is looked at with one picture of a size that
// nets take; what depends on it is not written. The lists are as they were when given back.
enum { SIZE_TRIED = 256 };

struct sizes {
    struct shape *shapes; // [input_count]; as in the file
    bool open;            // more than the number of pictures
};

static espy_status give_sizes(struct finder *finder, struct sizes *sizes)
{
    struct graph *graph = finder->graph;
    sizes->shapes =
        espy_arena_array(&finder->arena, graph->input_count + 1u, sizeof(*sizes->shapes));
    if (sizes->shapes == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < graph->input_count; i++) {
        struct shape *shape = &graph->values[graph->inputs[i].value].shape;
        sizes->shapes[i] = *shape;
        for (uint32_t d = 0; d < shape->rank; d++) {
            sizes->open = sizes->open || (shape->dims[d] < 0 && d > 0);
            if (shape->dims[d] < 0)
                shape->dims[d] = d == 0 ? 1 : SIZE_TRIED;
        }
    }
    return ESPY_OK;
}

static void take_sizes_back(struct finder *finder, const struct sizes *sizes)
{
    struct graph *graph = finder->graph;
    for (uint32_t i = 0; sizes->shapes != NULL && i < graph->input_count; i++)
        graph->values[graph->inputs[i].value].shape = sizes->shapes[i];
    for (uint32_t i = 0; sizes->open && i < finder->count; i++)
        finder->sites[i].queries = finder->sites[i].keys = (struct espy_token_grid){0};
}

espy_status espy_passes_sites(const struct host *host, struct graph *graph)
{
    const struct facts_params params = {.fold_elements_max = 4096};
    struct finder finder = {.host = host, .graph = graph};
    graph->site_count = 0;
    espy_map_init(&finder.names, host);
    espy_arena_init(&finder.arena, host);
    struct sizes sizes = {0};
    espy_status status = give_sizes(&finder, &sizes);
    if (status == ESPY_OK)
        status = espy_facts_init(&finder.facts, host, graph, &params);
    if (status == ESPY_OK)
        status = prepare(&finder);
    if (status == ESPY_OK)
        status = find_all(&finder);
    take_sizes_back(&finder, &sizes);
    if (status == ESPY_OK && finder.count > 0) {
        graph->sites =
            espy_arena_copy(&graph->arena, finder.sites, finder.count * sizeof(*finder.sites));
        graph->site_count = graph->sites == NULL ? 0 : finder.count;
        status = graph->sites == NULL ? ESPY_OUT_OF_MEMORY : ESPY_OK;
    }
    espy_facts_finish(&finder.facts);
    espy_arena_finish(&finder.arena);
    espy_map_finish(&finder.names);
    return status;
}
