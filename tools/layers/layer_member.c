#include "layers/layer_build.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

// From the JSON of one layer to the struct of its block, row by row of the block's table.

// ---- names --------------------------------------------------------------------------------------

static const struct layer_scope *find_name(const struct layer_scope *scope, const char *name,
                                           size_t length)
{
    while (scope != NULL &&
           (strlen(scope->name) != length || memcmp(scope->name, name, length) != 0))
        scope = scope->up;
    return scope;
}

struct layer_tree espy_layer_resolve(struct layer *layer, struct layer_tree tree)
{
    while (cJSON_IsString(tree.json) && tree.json->valuestring[0] == '$') {
        const char *name = tree.json->valuestring + 1;
        const struct layer_scope *found = find_name(tree.scope, name, strlen(name));
        if (found == NULL) {
            espy_layer_fail(layer, "there is no member \"%s\" here", name);
            return (struct layer_tree){.json = NULL};
        }
        tree = found->tree;
    }
    if (cJSON_IsNull(tree.json))
        tree.json = NULL;
    return tree;
}

// Adds what {name} stands for to buffer; false: failed.
static bool add_name(struct layer *layer, const struct layer_scope *scope, const char *name,
                     size_t length, char buffer[GRAPH_NAME_SIZE_MAX + 1], size_t *used)
{
    const struct layer_scope *found = find_name(scope, name, length);
    if (found == NULL) {
        espy_layer_fail(layer, "there is no \"%.*s\" here for {%.*s}", (int)length, name,
                        (int)length, name);
        return false;
    }
    const cJSON *json = espy_layer_resolve(layer, found->tree).json;
    const size_t room = GRAPH_NAME_SIZE_MAX + 1 - *used;
    int more = -1;
    if (cJSON_IsNumber(json))
        more = snprintf(buffer + *used, room, "%.15g", json->valuedouble);
    else if (cJSON_IsString(json))
        more = snprintf(buffer + *used, room, "%s", json->valuestring);
    if (more < 0 || (size_t)more >= room) {
        espy_layer_fail(layer, "{%.*s} is neither a number nor a short text", (int)length, name);
        return false;
    }
    *used += (size_t)more;
    return true;
}

const char *espy_layer_text(struct layer *layer, const struct layer_tree *unresolved)
{
    const struct layer_tree tree = espy_layer_resolve(layer, *unresolved);
    char buffer[GRAPH_NAME_SIZE_MAX + 1];
    size_t used = 0;
    if (espy_layer_failed(layer))
        return NULL;
    if (!cJSON_IsString(tree.json)) {
        espy_layer_fail(layer, "expected a string");
        return NULL;
    }
    for (const char *c = tree.json->valuestring; *c != '\0'; c++) {
        const char *close = *c == '{' ? strchr(c, '}') : NULL;
        if (close != NULL) {
            if (!add_name(layer, tree.scope, c + 1, (size_t)(close - c - 1), buffer, &used))
                return NULL;
            c = close;
        } else if (used < GRAPH_NAME_SIZE_MAX) {
            buffer[used++] = *c;
        } else {
            espy_layer_fail(layer, "a name is longer than %d bytes", (int)GRAPH_NAME_SIZE_MAX);
            return NULL;
        }
    }
    buffer[used] = '\0';
    const char *text = espy_arena_string(&layer->build->arena, buffer);
    espy_layer_ok(layer, text == NULL ? ESPY_OUT_OF_MEMORY : ESPY_OK);
    return text;
}

const char *espy_layer_path(struct layer *layer, const struct layer_tree *tree)
{
    const char *text = espy_layer_text(layer, tree);
    return text == NULL ? NULL : espy_layer_join(layer, layer->prefix, text);
}

bool espy_layer_number(struct layer *layer, const struct layer_tree *tree, double *number)
{
    const struct cJSON *json = espy_layer_resolve(layer, *tree).json;
    if (espy_layer_failed(layer))
        return false;
    if (!cJSON_IsNumber(json) || !isfinite(json->valuedouble)) {
        espy_layer_fail(layer, "expected a number");
        return false;
    }
    *number = json->valuedouble;
    return true;
}

static const char *value_name_at(void *user, uint32_t index)
{
    const struct layer_build *build = user;
    return index < build->graph->value_count ? build->graph->values[index].name : NULL;
}

uint32_t espy_layer_value(struct layer *layer, const struct layer_tree *tree)
{
    const char *name = espy_layer_text(layer, tree);
    char near[LAYER_NEAR_SIZE];
    if (name == NULL)
        return GRAPH_NONE;
    if (strcmp(name, ".") == 0)
        return layer->input;
    for (const struct layer_names *names = layer->names; names != NULL; names = names->up)
        for (const struct layer_named *named = names->last; named != NULL; named = named->before)
            if (strcmp(named->name, name) == 0)
                return named->value;
    const uint32_t value = espy_map_get(layer->build->values, name);
    if (value != MAP_NONE)
        return value;
    espy_layer_fail(layer, "nothing before this makes a value \"%s\"%s", name,
                    espy_layer_near(name, value_name_at, layer->build, near));
    return GRAPH_NONE;
}

// ---- one member ---------------------------------------------------------------------------------

static bool refuse(struct layer *layer, const struct layer_tree *tree, const char *what)
{
    const struct layer_place *place = layer->place;
    if (tree->place != NULL)
        layer->place = tree->place;
    espy_layer_fail(layer, "%s", what);
    layer->place = place;
    return false;
}

static bool check_number(struct layer *layer, const struct layer_member *member,
                         const struct layer_tree *tree, double number, bool whole)
{
    char text[128];
    if (!isfinite(number))
        return refuse(layer, tree, "the number is too large");
    if (whole && (floor(number) != number || fabs(number) > 1e15))
        return refuse(layer, tree, "expected an integer");
    if ((member->min == 0 && member->max == 0) || (number >= member->min && number <= member->max))
        return true;
    if (member->max >= INT32_MAX)
        snprintf(text, sizeof(text), "%.15g is below %.15g", number, member->min);
    else
        snprintf(text, sizeof(text), "%.15g is not in %.15g to %.15g", number, member->min,
                 member->max);
    return refuse(layer, tree, text);
}

static int find_choice(const char *const *choices, const char *word)
{
    for (int i = 0; choices != NULL && choices[i] != NULL; i++)
        if (strcmp(choices[i], word) == 0)
            return i;
    return -1;
}

static bool refuse_word(struct layer *layer, const struct layer_member *member,
                        const struct layer_tree *tree)
{
    char text[256] = "expected ";
    size_t used = strlen(text);
    for (int i = 0; member->choices[i] != NULL && used < sizeof(text); i++) {
        const int more = snprintf(text + used, sizeof(text) - used, "%s\"%s\"", i == 0 ? "" : ", ",
                                  member->choices[i]);
        used += more < 0 ? 0 : (size_t)more;
    }
    return refuse(layer, tree, text);
}

static bool read_ints(struct layer *layer, const struct layer_member *member,
                      const struct layer_tree *tree, struct layer_ints *ints)
{
    ints->word = -1;
    ints->count = 0;
    if (cJSON_IsString(tree->json) && member->choices != NULL) {
        ints->word = find_choice(member->choices, tree->json->valuestring);
        return ints->word >= 0 || refuse_word(layer, member, tree);
    }
    if (!cJSON_IsNumber(tree->json) && !cJSON_IsArray(tree->json))
        return refuse(layer, tree, "expected an integer or a list of integers");
    const uint32_t count = espy_layer_count(tree);
    if (count > LAYER_LIST_MAX || count == 0)
        return refuse(layer, tree, "expected 1 to 32 integers");
    for (uint32_t i = 0; i < count; i++) {
        const struct layer_tree item = espy_layer_item(layer, tree, i);
        const struct layer_tree found = espy_layer_resolve(layer, item);
        if (!cJSON_IsNumber(found.json))
            return refuse(layer, &item, "expected an integer");
        if (!check_number(layer, member, &item, found.json->valuedouble, true))
            return false;
        ints->values[ints->count++] = (int64_t)found.json->valuedouble;
    }
    return true;
}
_Static_assert(LAYER_LIST_MAX == 32, "the message above says so");

static bool read_values(struct layer *layer, const struct layer_tree *tree,
                        struct layer_values *values)
{
    const uint32_t count = espy_layer_count(tree);
    if (count > LAYER_LIST_MAX || count == 0)
        return refuse(layer, tree, "expected 1 to 32 names of values");
    for (uint32_t i = 0; i < count; i++) {
        const struct layer_tree item = espy_layer_item(layer, tree, i);
        values->values[values->count++] = espy_layer_value(layer, &item);
        if (espy_layer_failed(layer))
            return false;
    }
    return true;
}

static bool read_norm(struct layer *layer, const struct layer_tree *tree, struct layer_norm *norm)
{
    if (!cJSON_IsString(tree->json) || espy_layer_block_find(tree->json->valuestring) != NULL) {
        norm->tree = *tree;
        return true;
    }
    norm->path = espy_layer_path(layer, tree);
    return norm->path != NULL;
}

static bool read_number(struct layer *layer, const struct layer_member *member,
                        const struct layer_tree *tree, char *target)
{
    const bool whole = member->type == LAYER_INT;
    if (!cJSON_IsNumber(tree->json))
        return refuse(layer, tree, whole ? "expected an integer" : "expected a number");
    const double number = tree->json->valuedouble;
    if (!check_number(layer, member, tree, number, whole))
        return false;
    if (whole)
        *(int64_t *)(void *)target = (int64_t)number;
    else
        *(double *)(void *)target = number;
    return true;
}

static bool read_choice(struct layer *layer, const struct layer_member *member,
                        const struct layer_tree *tree, int *choice)
{
    *choice =
        cJSON_IsString(tree->json) ? find_choice(member->choices, tree->json->valuestring) : -1;
    return *choice >= 0 || refuse_word(layer, member, tree);
}

bool espy_layer_read_member(struct layer *layer, const struct layer_member *member,
                            const struct layer_tree *unresolved, void *members)
{
    struct layer_tree tree = espy_layer_resolve(layer, *unresolved);
    tree.place = unresolved->place; // where it is used, not where it was bound
    char *target = (char *)members + member->offset;
    if (espy_layer_failed(layer) || tree.json == NULL)
        return !espy_layer_failed(layer); // null: as if it were not there
    switch (member->type) {
    case LAYER_INT:
    case LAYER_FLOAT:
        return read_number(layer, member, &tree, target);
    case LAYER_INTS:
        return read_ints(layer, member, &tree, (struct layer_ints *)(void *)target);
    case LAYER_BOOL:
        *(bool *)target = cJSON_IsTrue(tree.json);
        return cJSON_IsBool(tree.json) || refuse(layer, &tree, "expected true or false");
    case LAYER_CHOICE:
        return read_choice(layer, member, &tree, (int *)(void *)target);
    case LAYER_TEXT:
        *(const char **)(void *)target = espy_layer_text(layer, &tree);
        return !espy_layer_failed(layer);
    case LAYER_PATH:
        *(const char **)(void *)target = espy_layer_path(layer, &tree);
        return !espy_layer_failed(layer);
    case LAYER_VALUE:
        *(uint32_t *)(void *)target = espy_layer_value(layer, &tree);
        return !espy_layer_failed(layer);
    case LAYER_VALUES:
        return read_values(layer, &tree, (struct layer_values *)(void *)target);
    case LAYER_NORM:
        return read_norm(layer, &tree, (struct layer_norm *)(void *)target);
    case LAYER_LAYERS:
    case LAYER_JSON:
        *(struct layer_tree *)(void *)target = tree;
        return true;
    }
    return false;
}

// ---- the members of a layer ---------------------------------------------------------------------

static void set_fallback(struct layer *layer, const struct layer_member *member, void *members)
{
    char *target = (char *)members + member->offset;
    struct layer_ints *ints;
    switch (member->type) {
    case LAYER_INT:
        *(int64_t *)(void *)target = (int64_t)member->fallback;
        break;
    case LAYER_FLOAT:
        *(double *)(void *)target = member->fallback;
        break;
    case LAYER_BOOL:
        *(bool *)target = member->fallback != 0;
        break;
    case LAYER_CHOICE:
        *(int *)(void *)target = (int)member->fallback;
        break;
    case LAYER_INTS:
        ints = (struct layer_ints *)(void *)target;
        ints->word = -1;
        ints->count = isnan(member->fallback) ? 0u : 1u;
        ints->values[0] = ints->count == 0 ? 0 : (int64_t)member->fallback;
        break;
    case LAYER_VALUE:
        *(uint32_t *)(void *)target = GRAPH_NONE;
        break;
    case LAYER_PATH: // where nothing is beside the block's name, it is at the prefix itself
        *(const char **)(void *)target = member->name[0] == '\0' ? layer->prefix : NULL;
        break;
    case LAYER_TEXT:
    case LAYER_VALUES:
    case LAYER_LAYERS:
    case LAYER_NORM:
    case LAYER_JSON:
        break; // zero
    }
}

// A path that was not given is the first of its usual names that the weights have.
static void find_paths(struct layer *layer, void *members)
{
    const struct layer_block *block = layer->block;
    for (uint32_t m = 0; m < block->member_count; m++) {
        const struct layer_member *member = &block->members[m];
        const char **path = (const char **)(void *)((char *)members + member->offset);
        if (member->type != LAYER_PATH || member->names == NULL || *path != NULL)
            continue;
        *path = espy_layer_usual(layer, layer->prefix, member->names);
    }
}

static bool is_common(const char *key)
{
    const struct layer_member *member;
    for (uint32_t i = 0; (member = espy_layer_common_member(i)) != NULL; i++)
        if (strcmp(member->name, key) == 0)
            return true;
    return false;
}

static const char *member_name_at(void *user, uint32_t index)
{
    const struct layer_block *block = ((const struct layer *)user)->block;
    const uint32_t first = block->members[0].name[0] == '\0'; // what is beside the name
    return index + first < block->member_count ? block->members[index + first].name : NULL;
}

static void refuse_key(struct layer *layer, const char *key)
{
    char near[LAYER_NEAR_SIZE] = "";
    if (layer->block->member_count > 0)
        espy_layer_near(key, member_name_at, layer, near);
    espy_layer_fail(layer, "%s has no member \"%s\"%s", layer->block->name, key, near);
}

// Which members of a layer there are, and which of them say something: null does not.
struct seen {
    uint64_t keys, given;
};

// Reads row m. false: failed.
static bool read_row(struct layer *layer, uint32_t m, const struct layer_tree *tree,
                     struct seen *seen, void *members)
{
    const uint64_t bit = (uint64_t)1 << m;
    seen->keys |= bit;
    if (espy_layer_resolve(layer, *tree).json != NULL)
        seen->given |= bit;
    return !espy_layer_failed(layer) &&
           espy_layer_read_member(layer, &layer->block->members[m], tree, members);
}

static bool read_key(struct layer *layer, const struct layer_tree *object, const cJSON *item,
                     struct seen *seen, void *members)
{
    const struct layer_block *block = layer->block;
    uint32_t m = 0;
    while (m < block->member_count && strcmp(block->members[m].name, item->string) != 0)
        m++;
    if (m == block->member_count) {
        refuse_key(layer, item->string);
        return false;
    }
    if ((seen->keys >> m & 1) != 0) {
        espy_layer_fail(layer, "\"%s\" is there twice", item->string);
        return false;
    }
    struct layer_place *place = espy_arena_alloc(&layer->build->arena, sizeof(*place));
    if (place == NULL)
        return espy_layer_ok(layer, ESPY_OUT_OF_MEMORY);
    *place = (struct layer_place){.up = object->place, .key = item->string};
    const struct layer_tree tree = {item, place, object->scope};
    return read_row(layer, m, &tree, seen, members);
}

void espy_layer_read_members(struct layer *layer, const struct layer_tree *object,
                             const struct layer_tree *main, const char *main_key, void *members)
{
    const struct layer_block *block = layer->block;
    const bool has_main = block->member_count > 0 && block->members[0].name[0] == '\0';
    struct seen seen = {0, 0};
    for (uint32_t m = 0; m < block->member_count; m++)
        set_fallback(layer, &block->members[m], members);
    if (main->json != NULL && !cJSON_IsTrue(main->json)) {
        if (!has_main) {
            espy_layer_fail(layer, "%s takes nothing beside its name but true", block->name);
            return;
        }
        if (!read_row(layer, 0, main, &seen, members))
            return;
    }
    if (block->container)
        layer->prefix = *(const char **)(void *)((char *)members + block->members[0].offset);
    if (cJSON_IsObject(object->json))
        for (const cJSON *item = object->json->child; item != NULL; item = item->next)
            if (strcmp(item->string, main_key) != 0 && !is_common(item->string) &&
                !read_key(layer, object, item, &seen, members))
                return;
    for (uint32_t m = 0; m < block->member_count; m++) {
        if (block->members[m].required && (seen.given >> m & 1) == 0) {
            const char *name = block->members[m].name;
            espy_layer_fail(
                layer, name[0] == '\0' ? "%s needs something beside its name%s" : "%s needs \"%s\"",
                block->name, name);
            return;
        }
    }
    find_paths(layer, members);
}
