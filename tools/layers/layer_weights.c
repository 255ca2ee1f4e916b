#include "layers/layer_build.h"

#include <stdio.h>
#include <string.h>

// Weights by their names, in the type that the network computes with.

enum { NEAR_MAX = 3, NEAR_NAMES_MAX = 20000 };

// false: failed, before or now.
static bool put(struct layer *layer, struct map *map, const char *key, uint32_t value)
{
    return !espy_layer_failed(layer) && espy_layer_ok(layer, espy_map_put(map, key, value));
}

void espy_layer_init_paths(struct layer *layer)
{
    struct layer_build *build = layer->build;
    const char *name;
    for (uint32_t i = 0; (name = build->weights->at(build->weights->user, i)) != NULL; i++) {
        char *path = espy_arena_string(&build->arena, name);
        if (!espy_layer_ok(layer, path == NULL ? ESPY_OUT_OF_MEMORY : ESPY_OK) ||
            !put(layer, &build->paths, path, 1))
            return;
        // "a.b.weight" is under a.b and under a.
        for (const char *dot = strrchr(path, '.'); dot != NULL; dot = strrchr(path, '.')) {
            const size_t length = (size_t)(dot - path);
            path = espy_arena_copy(&build->arena, path, length + 1);
            if (!espy_layer_ok(layer, path == NULL ? ESPY_OUT_OF_MEMORY : ESPY_OK))
                return;
            path[length] = '\0';
            if (espy_map_get(&build->paths, path) != MAP_NONE)
                break;
            if (!put(layer, &build->paths, path, 0))
                return;
        }
    }
}

const char *espy_layer_join(struct layer *layer, const char *path, const char *name)
{
    if (path == NULL || path[0] == '\0')
        return name == NULL ? "" : name;
    if (name == NULL || name[0] == '\0')
        return path;
    const char *joined = espy_arena_format(&layer->build->arena, "%s.%s", path, name);
    espy_layer_ok(layer, joined == NULL ? ESPY_OUT_OF_MEMORY : ESPY_OK);
    return joined == NULL ? "" : joined;
}

bool espy_layer_has(const struct layer *layer, const char *path)
{
    return path != NULL && espy_map_get(&layer->build->paths, path) != MAP_NONE;
}

const char *espy_layer_usual(struct layer *layer, const char *path, const char *const *names)
{
    const char *weight = NULL, *any = NULL; // g.0 has a weight, under g there only are some
    for (uint32_t i = 0; names[i] != NULL && weight == NULL; i++) {
        const char *name = espy_layer_join(layer, path, names[i]);
        if (espy_layer_has(layer, espy_layer_join(layer, name, "weight")))
            weight = name;
        if (any == NULL && espy_layer_has(layer, name))
            any = name;
    }
    if (weight != NULL || any != NULL)
        return weight != NULL ? weight : any;
    return espy_layer_join(layer, path, names[0]);
}

// ---- near names ---------------------------------------------------------------------------------

// How many characters two names share at their starts and ends, of 1000.
static uint32_t likeness(const char *a, const char *b)
{
    const size_t left = strlen(a), right = strlen(b);
    const size_t shorter = left < right ? left : right, longer = left < right ? right : left;
    size_t start = 0, end = 0;
    while (start < shorter && a[start] == b[start])
        start++;
    while (start + end < shorter && a[left - 1 - end] == b[right - 1 - end])
        end++;
    return longer == 0 ? 0 : (uint32_t)(1000 * (start + end) / longer);
}

const char *espy_layer_near(const char *wanted, espy_layer_names_fn names, void *user,
                            char buffer[LAYER_NEAR_SIZE])
{
    const char *best[NEAR_MAX] = {NULL};
    uint32_t scores[NEAR_MAX] = {0};
    const char *name;
    for (uint32_t i = 0; i < NEAR_NAMES_MAX && (name = names(user, i)) != NULL; i++) {
        uint32_t score = likeness(wanted, name);
        for (uint32_t k = 0; k < NEAR_MAX && score >= 500; k++) {
            if (score <= scores[k])
                continue;
            const uint32_t lower = scores[k];
            const char *moved = best[k];
            scores[k] = score;
            best[k] = name;
            score = lower;
            name = moved;
        }
    }
    int length = 0;
    buffer[0] = '\0';
    for (uint32_t k = 0; k < NEAR_MAX && best[k] != NULL && length < LAYER_NEAR_SIZE; k++)
        length += snprintf(buffer + length, (size_t)(LAYER_NEAR_SIZE - length), "%s'%s'",
                           k == 0 ? "; near: " : ", ", best[k]);
    return buffer;
}

// ---- reading ------------------------------------------------------------------------------------

static uint32_t cast(struct layer *layer, uint32_t value)
{
    const espy_dtype dtype = layer->build->graph->values[value].dtype;
    if (!espy_dtype_is_float(dtype) || dtype == layer->build->dtype)
        return value;
    const uint32_t result = espy_layer_unary(layer, "Cast", value);
    espy_layer_set_string(layer, "to", espy_dtype_name(layer->build->dtype));
    return result;
}

static uint32_t load(struct layer *layer, const char *path)
{
    struct layer_build *build = layer->build;
    struct graph_value found = {.name = path};
    uint32_t index = GRAPH_NONE;
    if (!espy_layer_ok(layer, build->weights->find(build->weights->user, path, &found)))
        return GRAPH_NONE;
    // Something else, or an output, may have the same name; then this one gets a number.
    const char *name = path;
    for (uint32_t i = 2; name != NULL && (!espy_layer_is_free(build, name) ||
                                          espy_map_get(&build->reserved, name) != MAP_NONE);
         i++)
        name = espy_arena_format(&build->arena, "%s_%u", path, (unsigned)i);
    if (name == NULL ||
        !espy_layer_ok(layer, espy_graph_add_constant(build->graph, name, found.dtype, &found.shape,
                                                      found.data, found.data_size, &index)))
        return espy_layer_ok(layer, ESPY_OUT_OF_MEMORY), GRAPH_NONE;
    put(layer, &build->node_names, name, 0);
    espy_layer_init_notes(layer);
    index = espy_layer_failed(layer) ? GRAPH_NONE : cast(layer, index);
    put(layer, &build->loaded, path, index);
    return espy_layer_failed(layer) ? GRAPH_NONE : index;
}

uint32_t espy_layer_optional(struct layer *layer, const char *path, const char *name)
{
    struct layer_build *build = layer->build;
    const char *full = espy_layer_join(layer, path, name);
    espy_layer_infer(layer);
    if (espy_layer_failed(layer) || full == NULL || espy_map_get(&build->paths, full) != 1)
        return GRAPH_NONE;
    const uint32_t loaded = espy_map_get(&build->loaded, full);
    return loaded != MAP_NONE ? loaded : load(layer, full);
}

uint32_t espy_layer_weight(struct layer *layer, const char *path, const char *name)
{
    const struct layers_weights *weights = layer->build->weights;
    const uint32_t found = espy_layer_optional(layer, path, name);
    char near[LAYER_NEAR_SIZE];
    if (espy_layer_failed(layer) || found != GRAPH_NONE)
        return found;
    const char *full = espy_layer_join(layer, path, name);
    if (weights->at(weights->user, 0) == NULL)
        espy_layer_fail(layer, "needs the tensor '%s', and no .safetensors file was given", full);
    else
        espy_layer_fail(layer, "the weights have no '%s'%s", full,
                        espy_layer_near(full, weights->at, weights->user, near));
    return GRAPH_NONE;
}

uint32_t espy_layer_rows(struct layer *layer, uint32_t weight, int64_t first, int64_t count)
{
    const int64_t ends[] = {first + count};
    if (weight == GRAPH_NONE)
        return GRAPH_NONE;
    const uint32_t inputs[] = {weight, espy_layer_ints(layer, &first, 1),
                               espy_layer_ints(layer, ends, 1),
                               espy_layer_ints(layer, (int64_t[]){0}, 1)};
    return espy_layer_op(layer, "Slice", inputs, 4);
}
