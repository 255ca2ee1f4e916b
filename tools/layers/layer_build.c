#include "layers/layer_build.h"

#include <stdio.h>
#include <string.h>

// Nodes, constants and names. Node and value have one name, made from the layer's.

bool espy_layer_ok(struct layer *layer, espy_status status)
{
    if (status != ESPY_OK && layer->build->status == ESPY_OK)
        layer->build->status = status;
    return layer->build->status == ESPY_OK;
}

bool espy_layer_failed(const struct layer *layer)
{
    return layer->build->status != ESPY_OK;
}

// ---- names --------------------------------------------------------------------------------------

bool espy_layer_is_free(const struct layer_build *build, const char *name)
{
    return espy_map_get(&build->node_names, name) == MAP_NONE &&
           espy_map_get(build->values, name) == MAP_NONE;
}

// base, or base_2, base_3, ... NULL: failed.
static const char *unique_name(struct layer *layer, const char *base)
{
    struct layer_build *build = layer->build;
    const char *name = base;
    uint32_t count = espy_map_get(&build->name_counts, base);
    count = count == MAP_NONE ? 0 : count;
    do {
        count++;
        if (count > 1)
            name = espy_arena_format(&build->arena, "%s_%u", base, (unsigned)count);
    } while (name != NULL && (!espy_layer_is_free(build, name) ||
                              espy_map_get(&build->reserved, name) != MAP_NONE));
    if (name == NULL || !espy_layer_ok(layer, espy_map_put(&build->name_counts, base, count)) ||
        !espy_layer_ok(layer, espy_map_put(&build->node_names, name, 0)))
        return NULL;
    return name;
}

static void name_locally(struct layer *layer, uint32_t value, const char *name)
{
    struct layer_named named = {layer->names->last, name, value};
    for (const struct layer_named *other = named.before; other != NULL; other = other->before)
        if (strcmp(other->name, name) == 0)
            espy_layer_fail(layer, "there is a value \"%s\" in this block already", name);
    layer->names->last = espy_arena_copy(&layer->build->arena, &named, sizeof(named));
    espy_layer_ok(layer, layer->names->last == NULL ? ESPY_OUT_OF_MEMORY : ESPY_OK);
}

void espy_layer_name(struct layer *layer, uint32_t value, const char *name)
{
    struct layer_build *build = layer->build;
    if (espy_layer_failed(layer))
        return;
    if (layer->names != NULL) {
        name_locally(layer, value, name);
        return;
    }
    // Inputs, weights and what was named before keep their names.
    if (espy_map_get(build->values, build->graph->values[value].name) == value)
        value = espy_layer_unary(layer, "Identity", value);
    if (!espy_layer_failed(layer) && !espy_layer_is_free(build, name))
        espy_layer_fail(layer, "there is a value \"%s\" already", name);
    if (espy_layer_failed(layer))
        return;
    struct graph_value *named = &build->graph->values[value];
    named->name = espy_arena_string(&build->graph->arena, name);
    espy_layer_ok(layer, named->name == NULL ? ESPY_OUT_OF_MEMORY
                                             : espy_map_put(build->values, named->name, value));
}

// ---- nodes --------------------------------------------------------------------------------------

void espy_layer_op_outputs(struct layer *layer, const char *op, const uint32_t *inputs,
                           uint32_t count, uint32_t *outputs, uint32_t output_count)
{
    struct layer_build *build = layer->build;
    espy_layer_infer(layer);
    for (uint32_t o = 0; o < output_count; o++)
        outputs[o] = GRAPH_NONE;
    if (espy_layer_failed(layer))
        return;
    const char *base = espy_arena_format(&build->arena, "%s/%s", layer->label, op);
    const char *name = base == NULL ? NULL : unique_name(layer, base);
    for (uint32_t o = 0; name != NULL && o < output_count; o++) {
        const char *value =
            o == 0 ? name : espy_arena_format(&build->arena, "%s:%u", name, (unsigned)o);
        value = o == 0 || value == NULL ? value : unique_name(layer, value);
        if (value == NULL ||
            !espy_layer_ok(layer, espy_graph_add_value(build->graph, value, &outputs[o])))
            break;
    }
    if (name == NULL || outputs[output_count - 1] == GRAPH_NONE) {
        espy_layer_ok(layer, ESPY_OUT_OF_MEMORY);
        return;
    }
    if (build->graph->node_count >= GRAPH_NODES_MAX) {
        espy_layer_fail(layer, "the network has more than %d nodes", (int)GRAPH_NODES_MAX);
        return;
    }
    while (count > 0 && inputs[count - 1] == GRAPH_NONE) // absent ones at the end are not written
        count--;
    struct graph_node *node;
    espy_layer_ok(layer, espy_graph_add_node(build->graph, op, name, inputs, count, outputs,
                                             output_count, &node));
}

uint32_t espy_layer_op(struct layer *layer, const char *op, const uint32_t *inputs, uint32_t count)
{
    uint32_t output = GRAPH_NONE;
    espy_layer_op_outputs(layer, op, inputs, count, &output, 1);
    return output;
}

uint32_t espy_layer_unary(struct layer *layer, const char *op, uint32_t a)
{
    return espy_layer_op(layer, op, &a, 1);
}

uint32_t espy_layer_binary(struct layer *layer, const char *op, uint32_t a, uint32_t b)
{
    return espy_layer_op(layer, op, (uint32_t[]){a, b}, 2);
}

static struct graph_node *last_node(const struct layer *layer)
{
    return &layer->build->graph->nodes[layer->build->graph->node_count - 1];
}

void espy_layer_set(struct layer *layer, const char *name, double number)
{
    if (!espy_layer_failed(layer))
        espy_layer_ok(layer,
                      espy_graph_set_number(layer->build->graph, last_node(layer), name, number));
}

void espy_layer_set_ints(struct layer *layer, const char *name, const int64_t *values,
                         uint32_t count)
{
    double numbers[LAYER_LIST_MAX];
    for (uint32_t i = 0; i < count; i++)
        numbers[i] = (double)values[i];
    if (!espy_layer_failed(layer))
        espy_layer_ok(layer, espy_graph_set_numbers(layer->build->graph, last_node(layer), name,
                                                    numbers, count));
}

void espy_layer_set_string(struct layer *layer, const char *name, const char *string)
{
    if (!espy_layer_failed(layer))
        espy_layer_ok(layer,
                      espy_graph_set_string(layer->build->graph, last_node(layer), name, string));
}

// A list of numbers or a list of strings; false: neither.
static bool set_list(struct layer *layer, const cJSON *list)
{
    struct layer_build *build = layer->build;
    const uint32_t count = (uint32_t)cJSON_GetArraySize(list);
    double *numbers = espy_arena_array(&build->arena, count, sizeof(*numbers));
    const char **strings = espy_arena_array(&build->arena, count, sizeof(*strings));
    uint32_t number_count = 0, string_count = 0;
    if (numbers == NULL || strings == NULL)
        return espy_layer_ok(layer, ESPY_OUT_OF_MEMORY), true;
    for (const cJSON *item = list->child; item != NULL; item = item->next) {
        if (cJSON_IsNumber(item))
            numbers[number_count++] = item->valuedouble;
        else if (cJSON_IsString(item))
            strings[string_count++] = item->valuestring;
    }
    if (number_count == count)
        espy_layer_ok(layer, espy_graph_set_numbers(build->graph, last_node(layer), list->string,
                                                    numbers, count));
    else if (string_count == count)
        espy_layer_ok(layer, espy_graph_set_strings(build->graph, last_node(layer), list->string,
                                                    strings, count));
    return number_count == count || string_count == count;
}

void espy_layer_set_json(struct layer *layer, const cJSON *attr)
{
    bool good = true;
    if (espy_layer_failed(layer))
        return;
    if (espy_graph_find_attr(last_node(layer), attr->string) != NULL)
        espy_layer_fail(layer, "attribute \"%s\" is there twice", attr->string);
    else if (cJSON_IsNumber(attr))
        espy_layer_set(layer, attr->string, attr->valuedouble);
    else if (cJSON_IsBool(attr))
        espy_layer_set(layer, attr->string, cJSON_IsTrue(attr));
    else if (cJSON_IsString(attr))
        espy_layer_set_string(layer, attr->string, attr->valuestring);
    else
        good = cJSON_IsArray(attr) && set_list(layer, attr);
    if (!good)
        espy_layer_fail(layer, "attribute \"%s\" is not a number, a string, or a list of either",
                        attr->string);
}

// ---- constants ----------------------------------------------------------------------------------

// data is in the graph's arena already.
static uint32_t add_constant(struct layer *layer, espy_dtype dtype, const struct shape *shape,
                             const void *data, size_t size)
{
    struct layer_build *build = layer->build;
    uint32_t index = GRAPH_NONE;
    const char *base = espy_arena_format(&build->arena, "%s/constant", layer->label);
    const char *name = base == NULL || data == NULL ? NULL : unique_name(layer, base);
    if (!espy_layer_ok(layer, name == NULL ? ESPY_OUT_OF_MEMORY
                                           : espy_graph_add_constant(build->graph, name, dtype,
                                                                     shape, data, size, &index)))
        return GRAPH_NONE;
    espy_layer_init_notes(layer);
    return index;
}

uint32_t espy_layer_ints(struct layer *layer, const int64_t *values, uint32_t count)
{
    const struct shape shape = {.rank = 1, .dims = {count}};
    const size_t size = count * sizeof(*values);
    espy_layer_infer(layer);
    if (espy_layer_failed(layer))
        return GRAPH_NONE;
    return add_constant(layer, ESPY_INT64, &shape,
                        espy_arena_copy(&layer->build->graph->arena, values, size), size);
}

uint32_t espy_layer_int(struct layer *layer, int64_t value)
{
    const struct shape scalar = {.rank = 0};
    espy_layer_infer(layer);
    if (espy_layer_failed(layer))
        return GRAPH_NONE;
    return add_constant(layer, ESPY_INT64, &scalar,
                        espy_arena_copy(&layer->build->graph->arena, &value, sizeof(value)),
                        sizeof(value));
}

// count numbers, or the first of them count times.
static uint32_t add_floats(struct layer *layer, espy_dtype dtype, const struct shape *shape,
                           const double *values, size_t count, bool fill)
{
    espy_layer_infer(layer);
    if (espy_layer_failed(layer))
        return GRAPH_NONE;
    struct tensor tensor = {.type = {dtype, *shape}, .count = count};
    tensor.data = espy_arena_array(&layer->build->graph->arena, count, espy_dtype_size(dtype));
    for (size_t i = 0; tensor.data != NULL && i < count; i++)
        espy_tensor_set_number(&tensor, i, values[fill ? 0 : i]);
    return add_constant(layer, dtype, shape, tensor.data, count * espy_dtype_size(dtype));
}

uint32_t espy_layer_float(struct layer *layer, double value)
{
    return add_floats(layer, layer->build->dtype, &(struct shape){.rank = 0}, &value, 1, false);
}

uint32_t espy_layer_floats(struct layer *layer, const double *values, uint32_t count)
{
    return add_floats(layer, layer->build->dtype, &(struct shape){.rank = 1, .dims = {count}},
                      values, count, false);
}

uint32_t espy_layer_float32s(struct layer *layer, const double *values, uint32_t count)
{
    return add_floats(layer, ESPY_FLOAT32, &(struct shape){.rank = 1, .dims = {count}}, values,
                      count, false);
}

uint32_t espy_layer_filled(struct layer *layer, int64_t count, double value)
{
    return add_floats(layer, layer->build->dtype, &(struct shape){.rank = 1, .dims = {count}},
                      &value, (size_t)count, true);
}
