#include "layers/layer_build.h"

#include <string.h>

// What is around the layers of a network: its own blocks, its type, and the names of its outputs.

// A block of the file's own is a list of layers, or {"members": {...}, "layers": [...]}.
static void check_own(struct layer *layer, const cJSON *own)
{
    const cJSON *members = NULL, *layers = cJSON_IsArray(own) ? own : NULL;
    if (espy_layer_block_find(own->string) != NULL)
        espy_layer_fail(layer, "there is a block \"%s\" already", own->string);
    const struct layer_member *member;
    for (uint32_t m = 0; (member = espy_layer_common_member(m)) != NULL; m++)
        if (strcmp(member->name, own->string) == 0)
            espy_layer_fail(layer, "every layer has a member \"%s\"", own->string);
    const cJSON *item = cJSON_IsObject(own) ? own->child : NULL;
    for (; item != NULL; item = item->next) {
        if (strcmp(item->string, "members") == 0 && members == NULL)
            members = item;
        else if (strcmp(item->string, "layers") == 0 && layers == NULL)
            layers = item;
        else
            espy_layer_fail(layer, "expected \"members\" and \"layers\", once each, not \"%s\"",
                            item->string);
    }
    if (cJSON_GetArraySize(members) > LAYERS_MEMBERS_MAX)
        espy_layer_fail(layer, "more than %d members", (int)LAYERS_MEMBERS_MAX);
    if (layers == NULL || (members != NULL && !cJSON_IsObject(members)))
        espy_layer_fail(layer, "expected {\"members\": {...}, \"layers\": [...]} or [...]");
}

static void read_blocks(struct layer *layer, const cJSON *blocks)
{
    const struct layer_place *top = espy_layer_place(layer, (struct layer_place){.key = "blocks"});
    layer->place = top;
    if (blocks == NULL)
        return;
    if (!cJSON_IsObject(blocks))
        espy_layer_fail(layer, "expected an object of blocks by name");
    if (cJSON_GetArraySize(blocks) > LAYERS_BLOCKS_MAX)
        espy_layer_fail(layer, "more than %d blocks", (int)LAYERS_BLOCKS_MAX);
    for (const cJSON *own = blocks->child; own != NULL && !espy_layer_failed(layer);
         own = own->next) {
        layer->place = espy_layer_place(layer, (struct layer_place){.up = top, .key = own->string});
        if (cJSON_GetObjectItemCaseSensitive(blocks, own->string) != own)
            espy_layer_fail(layer, "the block is there twice");
        check_own(layer, own);
    }
    layer->build->blocks = blocks;
}

// The type that floats are computed in: that of the inputs, or where none of them is float, what
// the file says.
static void read_dtype(struct layer *layer, const cJSON *item)
{
    struct layer_build *build = layer->build;
    espy_dtype given = ESPY_DTYPE_NONE;
    for (uint32_t i = build->graph->input_count; i-- > 0;) {
        const struct graph_value *value = &build->graph->values[build->graph->inputs[i].value];
        if (espy_dtype_is_float(value->dtype))
            given = value->dtype;
        for (uint32_t d = 0; d < value->shape.rank; d++)
            build->exact = build->exact && value->shape.dims[d] >= 0;
    }
    if (given != ESPY_DTYPE_NONE)
        build->dtype = given;
    layer->place = espy_layer_place(layer, (struct layer_place){.key = "dtype"});
    if (item == NULL)
        return;
    build->dtype = cJSON_IsString(item) ? espy_dtype_from_name(item->valuestring) : ESPY_DTYPE_NONE;
    if (!espy_dtype_is_float(build->dtype))
        espy_layer_fail(layer, "expected the name of a floating-point type");
    else if (given != ESPY_DTYPE_NONE && given != build->dtype)
        espy_layer_fail(layer, "the network's input is %s, and so is what follows from it",
                        espy_dtype_name(given));
}

// The one output that no layer has named is the last layer's result.
static void name_output(struct layer *layer, const cJSON *outputs, uint32_t x)
{
    const char *missing = NULL;
    uint32_t count = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, outputs)
    {
        const cJSON *name = cJSON_GetObjectItemCaseSensitive(item, "name");
        if (!cJSON_IsString(name) ||
            espy_map_get(layer->build->values, name->valuestring) != MAP_NONE)
            continue;
        missing = name->valuestring;
        count++;
    }
    if (count != 1 || espy_layer_failed(layer))
        return; // the reader of outputs says what is missing
    layer->place = espy_layer_place(layer, (struct layer_place){.key = "outputs"});
    espy_layer_as(layer, missing, x);
    espy_layer_infer(layer);
}

static void reserve_outputs(struct layer *layer, const cJSON *outputs)
{
    const cJSON *item;
    cJSON_ArrayForEach(item, outputs)
    {
        const cJSON *name = cJSON_GetObjectItemCaseSensitive(item, "name");
        if (cJSON_IsString(name) && !espy_layer_failed(layer))
            espy_layer_ok(layer, espy_map_put(&layer->build->reserved, name->valuestring, 0));
    }
}

static espy_status expand(struct layer *layer, const cJSON *root)
{
    struct layer_build *build = layer->build;
    const struct layer_place *place =
        espy_layer_place(layer, (struct layer_place){.key = "layers"});
    const struct layer_tree tree = {cJSON_GetObjectItemCaseSensitive(root, "layers"), place, NULL};
    read_dtype(layer, cJSON_GetObjectItemCaseSensitive(root, "dtype"));
    read_blocks(layer, cJSON_GetObjectItemCaseSensitive(root, "blocks"));
    layer->place = place;
    if (build->graph->input_count == 0)
        espy_layer_fail(layer, "the network has no input to begin with");
    espy_layer_init_notes(layer);
    if (espy_layer_failed(layer))
        return build->status;
    reserve_outputs(layer, cJSON_GetObjectItemCaseSensitive(root, "outputs"));
    if (!espy_layer_failed(layer))
        espy_layer_init_paths(layer);
    layer->input = build->graph->inputs[0].value;
    const uint32_t x = espy_layer_run(layer, &tree, layer->input);
    if (cJSON_GetObjectItemCaseSensitive(root, "nodes") == NULL)
        name_output(layer, cJSON_GetObjectItemCaseSensitive(root, "outputs"), x);
    espy_layer_infer(layer);
    return build->status;
}

espy_status espy_layers_expand(const struct host *host, const char *file,
                               const struct layers_weights *weights, const cJSON *root,
                               struct graph *graph, struct map *values)
{
    struct layer_build build = {.host = host,
                                .file = file,
                                .weights = weights,
                                .graph = graph,
                                .values = values,
                                .dtype = ESPY_FLOAT32,
                                .exact = true};
    struct layer layer = {.build = &build, .prefix = "", .label = ""};
    espy_arena_init(&build.arena, host);
    espy_map_init(&build.node_names, host);
    espy_map_init(&build.reserved, host);
    espy_map_init(&build.name_counts, host);
    espy_map_init(&build.paths, host);
    espy_map_init(&build.loaded, host);
    const espy_status status = expand(&layer, root);
    espy_free(host, build.notes);
    espy_map_finish(&build.loaded);
    espy_map_finish(&build.paths);
    espy_map_finish(&build.name_counts);
    espy_map_finish(&build.reserved);
    espy_map_finish(&build.node_names);
    espy_arena_finish(&build.arena);
    return status;
}
