#include "layers/layer_build.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// Walks the tree of layers: finds the block of each, with its prefix, its repetitions and its
// names, and lets it add operators.

// All but "at", which is read at every repetition.
struct common {
    uint32_t from;
    const char *as, *index;
    int64_t repeat, first;
};

static const struct layer_member common_rows[] = {
    {.name = "at",
     .type = LAYER_PATH,
     .help = "the weights of everything inside are under this name"},
    {.name = "from",
     .type = LAYER_VALUE,
     .offset = offsetof(struct common, from),
     .help = "the value to start from; default: the result of the layer before"},
    {.name = "as",
     .type = LAYER_TEXT,
     .offset = offsetof(struct common, as),
     .help = "a name for the result"},
    {.name = "repeat",
     .type = LAYER_INT,
     .offset = offsetof(struct common, repeat),
     .fallback = 1,
     .min = 0,
     .max = LAYERS_EXPANDED_MAX,
     .help = "so many times, one after the other; {i} in names counts them"},
    {.name = "first",
     .type = LAYER_INT,
     .offset = offsetof(struct common, first),
     .min = -1000000,
     .max = 1000000,
     .help = "where {i} begins"},
    {.name = "index",
     .type = LAYER_TEXT,
     .offset = offsetof(struct common, index),
     .help = "another name for i, where repetitions are inside each other"}};
enum { COMMON_AT }; // the first row

const struct layer_member *espy_layer_common_member(uint32_t index)
{
    return index < LAYER_COUNT(common_rows) ? &common_rows[index] : NULL;
}

// ---- the table ----------------------------------------------------------------------------------

const struct layer_block *espy_layer_block_at(uint32_t index)
{
    for (uint32_t f = 0; f < espy_layer_family_count; f++) {
        if (index < espy_layer_families[f]->count)
            return &espy_layer_families[f]->blocks[index];
        index -= espy_layer_families[f]->count;
    }
    return NULL;
}

const struct layer_block *espy_layer_block_find(const char *name)
{
    const struct layer_block *block;
    for (uint32_t i = 0; (block = espy_layer_block_at(i)) != NULL; i++)
        if (strcmp(block->name, name) == 0)
            return block;
    return NULL;
}

static const char *block_name_at(void *user, uint32_t index)
{
    const struct layer_build *build = user;
    const struct layer_block *block = espy_layer_block_at(index);
    if (block != NULL)
        return block->name;
    uint32_t builtin = 0;
    while (espy_layer_block_at(builtin) != NULL)
        builtin++;
    const cJSON *own = build->blocks == NULL ? NULL : build->blocks->child;
    for (; own != NULL && index > builtin; own = own->next)
        index--;
    return own == NULL ? NULL : own->string;
}

// ---- places and messages ------------------------------------------------------------------------

enum { PLACE_SIZE_MAX = 400, PLACE_STEPS_MAX = 200 };

static void print_place(const struct layer_place *place, char buffer[PLACE_SIZE_MAX])
{
    const struct layer_place *chain[PLACE_STEPS_MAX];
    size_t count = 0, length = 0;
    for (; place != NULL && count < PLACE_STEPS_MAX; place = place->up)
        chain[count++] = place;
    buffer[0] = '\0';
    while (count > 0 && length < PLACE_SIZE_MAX) {
        const struct layer_place *step = chain[--count];
        const size_t room = PLACE_SIZE_MAX - length;
        int more;
        if (step->call)
            more = snprintf(buffer + length, room, ", blocks.%s", step->key);
        else if (step->key == NULL)
            more = snprintf(buffer + length, room, "[%u]", (unsigned)step->index);
        else
            more = snprintf(buffer + length, room, "%s%.64s", length == 0 ? "" : ".", step->key);
        length += more < 0 ? 0 : (size_t)more;
    }
}

void espy_layer_fail(struct layer *layer, const char *format, ...)
{
    struct layer_build *build = layer->build;
    char where[PLACE_SIZE_MAX], reason[512], line[1024];
    if (espy_layer_failed(layer))
        return;
    va_list list;
    va_start(list, format);
    vsnprintf(reason, sizeof(reason), format, list);
    va_end(list);
    print_place(layer->place, where);
    snprintf(line, sizeof(line), "%s: %s", where, reason);
    for (char *c = line; *c != '\0'; c++) // names come from files
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    build->status = espy_fail(build->host, ESPY_BAD_FORMAT, "%s: %s", build->file, line);
}

const struct layer_place *espy_layer_place(struct layer *layer, struct layer_place place)
{
    const struct layer_place *copy = espy_arena_copy(&layer->build->arena, &place, sizeof(place));
    espy_layer_ok(layer, copy == NULL ? ESPY_OUT_OF_MEMORY : ESPY_OK);
    return copy;
}

uint32_t espy_layer_count(const struct layer_tree *tree)
{
    if (!cJSON_IsArray(tree->json))
        return tree->json == NULL ? 0 : 1;
    return (uint32_t)cJSON_GetArraySize(tree->json);
}

struct layer_tree espy_layer_item(struct layer *layer, const struct layer_tree *tree,
                                  uint32_t index)
{
    if (!cJSON_IsArray(tree->json))
        return *tree;
    return (struct layer_tree){
        cJSON_GetArrayItem(tree->json, (int)index),
        espy_layer_place(layer, (struct layer_place){tree->place, NULL, index, false}),
        tree->scope};
}

struct layer_tree espy_layer_key(struct layer *layer, const struct layer_tree *tree,
                                 const char *key)
{
    const cJSON *item =
        cJSON_IsObject(tree->json) ? cJSON_GetObjectItemCaseSensitive(tree->json, key) : NULL;
    if (item == NULL)
        return (struct layer_tree){.json = NULL};
    return (struct layer_tree){
        item, espy_layer_place(layer, (struct layer_place){tree->place, item->string, 0, false}),
        tree->scope};
}

// ---- one layer ----------------------------------------------------------------------------------

// What stands where a layer is expected.
struct found {
    const char *key; // the block's name, from the JSON
    const struct layer_block *block;
    const cJSON *own; // a block of the file's own
    struct layer_tree main;
};

static const cJSON *own_block(const struct layer_build *build, const char *name)
{
    return build->blocks == NULL ? NULL : cJSON_GetObjectItemCaseSensitive(build->blocks, name);
}

static bool find_block(struct layer *layer, const struct layer_tree *tree, struct found *found)
{
    struct layer_build *build = layer->build;
    char near[LAYER_NEAR_SIZE];
    const cJSON *unknown = NULL;
    if (cJSON_IsString(tree->json)) {
        found->key = tree->json->valuestring;
        found->block = espy_layer_block_find(found->key);
        found->own = found->block == NULL ? own_block(build, found->key) : NULL;
    } else if (!cJSON_IsObject(tree->json)) {
        espy_layer_fail(layer, "expected a layer: an object, or the name of a block");
        return false;
    } else {
        for (const cJSON *item = tree->json->child; item != NULL; item = item->next) {
            const struct layer_block *block = espy_layer_block_find(item->string);
            const cJSON *own = block == NULL ? own_block(build, item->string) : NULL;
            if (block == NULL && own == NULL) {
                unknown = unknown == NULL ? item : unknown;
                continue;
            }
            if (found->key != NULL) {
                espy_layer_fail(layer, "one layer is both \"%s\" and \"%s\"", found->key,
                                item->string);
                return false;
            }
            found->key = item->string;
            found->block = block;
            found->own = own;
            found->main = (struct layer_tree){
                item,
                espy_layer_place(layer, (struct layer_place){tree->place, item->string, 0, false}),
                tree->scope};
        }
    }
    if (found->block != NULL || found->own != NULL)
        return !espy_layer_failed(layer);
    const char *name = found->key != NULL ? found->key : unknown != NULL ? unknown->string : NULL;
    if (name == NULL)
        espy_layer_fail(layer, "the object names no block");
    else
        espy_layer_fail(layer, "there is no block \"%s\"%s", name,
                        espy_layer_near(name, block_name_at, build, near));
    return false;
}

static bool read_common(struct layer *layer, const struct layer_tree *tree, struct common *common)
{
    *common = (struct common){.from = GRAPH_NONE, .repeat = 1};
    uint32_t seen = 0;
    if (!cJSON_IsObject(tree->json))
        return true;
    for (const cJSON *item = tree->json->child; item != NULL; item = item->next) {
        for (uint32_t m = 0; m < LAYER_COUNT(common_rows); m++) {
            if (strcmp(common_rows[m].name, item->string) != 0)
                continue;
            if ((seen >> m & 1) != 0) {
                espy_layer_fail(layer, "\"%s\" is there twice", item->string);
                return false;
            }
            seen |= (uint32_t)1 << m;
            const struct layer_tree inner = {
                item,
                espy_layer_place(layer, (struct layer_place){tree->place, item->string, 0, false}),
                tree->scope};
            if (m != COMMON_AT && !espy_layer_read_member(layer, &common_rows[m], &inner, common))
                return false;
        }
    }
    return !espy_layer_failed(layer);
}

// Counts one more thing to look at; false: too many.
static bool count_one(struct layer *layer)
{
    if (++layer->build->expanded > LAYERS_EXPANDED_MAX)
        espy_layer_fail(layer, "more than %d layers", (int)LAYERS_EXPANDED_MAX);
    return !espy_layer_failed(layer);
}

// A piece of JSON of our own making.
static struct layer_tree made_json(struct layer *layer, cJSON json)
{
    const cJSON *copy = espy_arena_copy(&layer->build->arena, &json, sizeof(json));
    espy_layer_ok(layer, copy == NULL ? ESPY_OUT_OF_MEMORY : ESPY_OK);
    return (struct layer_tree){copy, layer->place, NULL};
}

static const struct layer_scope *bind(struct layer *layer, const struct layer_scope *up,
                                      const char *name, struct layer_tree tree)
{
    const struct layer_scope scope = {up, name, tree};
    const struct layer_scope *copy = espy_arena_copy(&layer->build->arena, &scope, sizeof(scope));
    espy_layer_ok(layer, copy == NULL ? ESPY_OUT_OF_MEMORY : ESPY_OK);
    return copy;
}

// Text is filled in where it is given, so that nothing has to be followed through many calls.
static struct layer_tree bound_value(struct layer *layer, struct layer_tree tree)
{
    tree = espy_layer_resolve(layer, tree);
    if (espy_layer_failed(layer) || !cJSON_IsString(tree.json) ||
        strchr(tree.json->valuestring, '{') == NULL)
        return tree;
    const char *text = espy_layer_text(layer, &tree);
    char *copy = text == NULL ? NULL : espy_arena_string(&layer->build->arena, text);
    return copy == NULL ? tree
                        : made_json(layer, (cJSON){.type = cJSON_String, .valuestring = copy});
}

// The members that a block of the file's own has, with what the layer says about them.
static const struct layer_scope *bind_members(struct layer *layer, const struct found *found,
                                              const struct layer_tree *tree)
{
    const cJSON *members = cJSON_GetObjectItemCaseSensitive(found->own, "members");
    const struct layer_scope *scope = NULL;
    const cJSON *member;
    const bool is_object = cJSON_IsObject(tree->json);
    cJSON_ArrayForEach(member, members)
    {
        const cJSON *given =
            is_object ? cJSON_GetObjectItemCaseSensitive(tree->json, member->string) : NULL;
        const struct layer_tree value = {
            given != NULL ? given : member,
            espy_layer_place(layer, (struct layer_place){tree->place, member->string, 0, false}),
            tree->scope};
        scope = bind(layer, scope, member->string, bound_value(layer, value));
    }
    for (const cJSON *item = is_object ? tree->json->child : NULL; item != NULL;
         item = item->next) {
        bool known = strcmp(item->string, found->key) == 0 ||
                     cJSON_GetObjectItemCaseSensitive(members, item->string) != NULL;
        for (uint32_t m = 0; m < LAYER_COUNT(common_rows); m++)
            known = known || strcmp(common_rows[m].name, item->string) == 0;
        if (!known)
            espy_layer_fail(layer, "%s has no member \"%s\"", found->key, item->string);
    }
    return scope;
}

static uint32_t run_own(struct layer *layer, const struct found *found,
                        const struct layer_tree *tree, uint32_t x)
{
    const struct layer_scope *scope = bind_members(layer, found, tree);
    struct layer_names names = {.up = layer->names};
    const cJSON *layers = cJSON_IsArray(found->own)
                              ? found->own
                              : cJSON_GetObjectItemCaseSensitive(found->own, "layers");
    if (found->main.json != NULL && !cJSON_IsTrue(found->main.json)) {
        const char *path = espy_layer_path(layer, &found->main);
        layer->prefix = path == NULL ? layer->prefix : path;
    }
    const struct layer_tree body = {
        layers, espy_layer_place(layer, (struct layer_place){layer->place, found->key, 0, true}),
        scope};
    if (espy_layer_failed(layer))
        return GRAPH_NONE;
    struct layer inner = *layer;
    inner.names = &names;
    return espy_layer_run(&inner, &body, x);
}

static uint32_t run_builtin(struct layer *layer, const struct found *found,
                            const struct layer_tree *tree, uint32_t x)
{
    const struct layer_block *block = found->block;
    const bool has_main = block->member_count > 0 && block->members[0].name[0] == '\0';
    layer->block = block;
    layer->label = espy_layer_join(layer, layer->prefix, block->name);
    void *members = espy_arena_alloc(&layer->build->arena, block->members_size);
    if (!espy_layer_ok(layer, members == NULL ? ESPY_OUT_OF_MEMORY : ESPY_OK))
        return GRAPH_NONE;
    espy_layer_read_members(layer, tree, &found->main, found->key, members);
    if (has_main && block->members[0].type == LAYER_PATH && !espy_layer_failed(layer)) {
        const char *path = *(const char **)(void *)((char *)members + block->members[0].offset);
        layer->label = path[0] == '\0' ? block->name : path;
    }
    return espy_layer_failed(layer) ? GRAPH_NONE : block->expand(layer, members, x);
}

uint32_t espy_layer_as(struct layer *layer, const char *name, uint32_t x)
{
    if (name == NULL || espy_layer_failed(layer))
        return x;
    espy_layer_name(layer, x, name);
    return espy_layer_failed(layer) || layer->names != NULL
               ? x
               : espy_map_get(layer->build->values, name);
}

// The layers of one object, as often as it says.
static uint32_t run_layer(struct layer *outer, const struct layer_tree *tree, uint32_t x)
{
    struct layer_build *build = outer->build;
    struct layer layer = {.build = build,
                          .place = tree->place,
                          .scope = tree->scope,
                          .names = outer->names,
                          .prefix = outer->prefix,
                          .label = outer->label,
                          .input = x,
                          .depth = outer->depth + 1};
    struct found found = {.key = NULL};
    struct common common;
    if (!read_common(&layer, tree, &common) || !find_block(&layer, tree, &found))
        return GRAPH_NONE;
    const bool is_object = cJSON_IsObject(tree->json);
    const cJSON *at = is_object ? cJSON_GetObjectItemCaseSensitive(tree->json, "at") : NULL;
    const bool counts = is_object && cJSON_GetObjectItemCaseSensitive(tree->json, "repeat") != NULL;
    const char *index = common.index == NULL ? "i" : common.index;
    x = common.from != GRAPH_NONE ? common.from : x;
    for (int64_t i = 0; i < common.repeat && !espy_layer_failed(&layer); i++) {
        struct layer one = layer;
        struct layer_tree inner = *tree;
        if (counts)
            inner.scope = bind(&one, tree->scope, index,
                               made_json(&one, (cJSON){.type = cJSON_Number,
                                                       .valuedouble = (double)(common.first + i)}));
        found.main.scope = one.scope = inner.scope;
        one.input = x;
        if (count_one(&one) && at != NULL) {
            const char *path =
                espy_layer_path(&one, &(struct layer_tree){at, layer.place, inner.scope});
            one.prefix = path == NULL ? one.prefix : path;
        }
        if (espy_layer_failed(&one))
            return GRAPH_NONE;
        x = found.block != NULL ? run_builtin(&one, &found, &inner, x)
                                : run_own(&one, &found, &inner, x);
        espy_layer_infer(&one);
    }
    return espy_layer_failed(&layer) ? GRAPH_NONE : espy_layer_as(&layer, common.as, x);
}

uint32_t espy_layer_run(struct layer *layer, const struct layer_tree *unresolved, uint32_t x)
{
    const struct layer_tree tree = espy_layer_resolve(layer, *unresolved);
    if (espy_layer_failed(layer) || tree.json == NULL)
        return x;
    if (layer->depth == LAYERS_DEPTH_MAX) {
        espy_layer_fail(layer, "layers are inside each other more than %d times",
                        (int)LAYERS_DEPTH_MAX);
        return GRAPH_NONE;
    }
    if (!cJSON_IsArray(tree.json))
        return run_layer(layer, &tree, x);
    struct layer_tree item = {tree.json->child, NULL, tree.scope};
    for (uint32_t i = 0; item.json != NULL && !espy_layer_failed(layer); i++) {
        item.place = espy_layer_place(layer, (struct layer_place){tree.place, NULL, i, false});
        const struct layer_tree one = espy_layer_resolve(layer, item);
        if (one.json != NULL && !cJSON_IsArray(one.json))
            x = run_layer(layer, &one, x);
        else if (count_one(layer))
            x = espy_layer_run(layer, &one, x);
        item.json = item.json->next;
    }
    return x;
}

uint32_t espy_layer_run_block(struct layer *layer, const char *name, const char *path, uint32_t x)
{
    struct layer one = *layer;
    char *text = espy_arena_string(&layer->build->arena, path);
    if (text == NULL || espy_layer_failed(layer))
        return espy_layer_ok(layer, ESPY_OUT_OF_MEMORY), GRAPH_NONE;
    one.prefix = "";
    one.input = x;
    const struct found found = {
        .key = name,
        .block = espy_layer_block_find(name),
        .main = made_json(&one, (cJSON){.type = cJSON_String, .valuestring = text})};
    const struct layer_tree nothing = {.place = layer->place};
    return espy_layer_failed(layer) ? GRAPH_NONE : run_builtin(&one, &found, &nothing, x);
}

uint32_t espy_layer_norm(struct layer *layer, const struct layer_norm *norm, uint32_t x)
{
    if (norm->path != NULL)
        return espy_layer_run_block(layer, "batch_norm", norm->path, x);
    return espy_layer_run(layer, &norm->tree, x);
}
