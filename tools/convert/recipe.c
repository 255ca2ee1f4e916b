#include "convert/recipe.h"

#include <string.h>

// ---- the JSON -----------------------------------------------------------------------------------

static espy_status set_labels(const struct recipe *recipe, const cJSON *list)
{
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) > GRAPH_LABELS_MAX)
        return espy_recipe_bad(recipe, "labels", "must be a list of names");
    const uint32_t count = (uint32_t)cJSON_GetArraySize(list);
    const char **labels = espy_arena_array(&recipe->graph->arena, count, sizeof(*labels));
    if (labels == NULL)
        return ESPY_OUT_OF_MEMORY;
    uint32_t i = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        if (!cJSON_IsString(item))
            return espy_recipe_bad(recipe, "labels", "must be a list of names");
        labels[i++] = item->valuestring;
    }
    return espy_recipe_set_labels(recipe, labels, count);
}

static espy_status apply_root(struct recipe *recipe, const cJSON *root)
{
    static const char *const keys[] = {"about", "inputs", "steps", "outputs", "labels"};
    enum { ABOUT, INPUTS, STEPS, OUTPUTS, LABELS, COUNT };
    struct graph *graph = recipe->graph;
    const cJSON *parts[COUNT] = {NULL};
    if (!espy_recipe_is_object(root, COUNT))
        return espy_recipe_bad(recipe, "the recipe", "must be an object without repeated keys");
    const cJSON *item;
    cJSON_ArrayForEach(item, root)
    {
        int key = 0;
        while (key < COUNT && strcmp(item->string, keys[key]) != 0)
            key++;
        if (key == COUNT)
            return espy_recipe_bad(
                recipe, item->string,
                "unknown key; there are about, inputs, steps, outputs and labels");
        parts[key] = item;
    }
    TRY(espy_recipe_read_side(recipe, parts[INPUTS], graph->inputs, graph->input_count, true));
    if (parts[STEPS] != NULL)
        TRY(espy_recipe_add_steps(recipe, parts[STEPS], parts[OUTPUTS]));
    else
        TRY(espy_recipe_read_side(recipe, parts[OUTPUTS], graph->outputs, graph->output_count,
                                  false));
    return parts[LABELS] == NULL ? ESPY_OK : set_labels(recipe, parts[LABELS]);
}

static espy_status apply_json(struct recipe *recipe, const char *json, size_t size)
{
    TRY(espy_format_scan_json(recipe->host, recipe->name, json, size));
    cJSON *root = cJSON_ParseWithLengthOpts(json, size, NULL, 0);
    const espy_status status = root == NULL
                                   ? espy_fail_memory(recipe->host, size, "the recipe's JSON")
                                   : apply_root(recipe, root);
    cJSON_Delete(root);
    return status;
}

// ---- where recipes come from --------------------------------------------------------------------

static espy_status apply_metadata(struct recipe *recipe, const struct convert_params *params)
{
    const onnx_model *proto = recipe->model->proto;
    for (size_t i = 0; proto != NULL && i < proto->n_metadata_props; i++) {
        const EspyOnnx__StringStringEntryProto *entry = proto->metadata_props[i];
        if (entry->key == NULL || entry->value == NULL || strcmp(entry->key, "espy") != 0)
            continue;
        recipe->name = espy_arena_format(&recipe->graph->arena, "%s: metadata", params->model_path);
        if (recipe->name == NULL)
            return ESPY_OUT_OF_MEMORY;
        TRY(apply_json(recipe, entry->value, strlen(entry->value)));
    }
    return ESPY_OK;
}

static espy_status apply_preset(struct recipe *recipe, const char *name)
{
    uint32_t i = 0;
    while (i < espy_preset_count && strcmp(espy_presets[i].name, name) != 0)
        i++;
    if (i == espy_preset_count)
        return espy_fail(recipe->host, ESPY_INVALID_ARGUMENT,
                         "there is no preset '%s'; `espy convert --help` lists them", name);
    recipe->name = espy_arena_format(&recipe->graph->arena, "preset %s", name);
    if (recipe->name == NULL)
        return ESPY_OUT_OF_MEMORY;
    return apply_json(recipe, (const char *)espy_presets[i].json, espy_presets[i].size);
}

static espy_status apply_recipe_file(struct recipe *recipe, const char *path)
{
    struct format_file file;
    TRY(espy_format_file_open(recipe->host, path, &file));
    recipe->name = path;
    const espy_status status = apply_json(recipe, file.bytes, file.size);
    espy_format_file_close(&file);
    return status;
}

// Empty lines at the end are no labels; elsewhere they are, of classes without a name.
static espy_status apply_label_lines(struct recipe *recipe, const char *text, size_t size)
{
    while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == '\r'))
        size--;
    size_t room = size > 0;
    for (size_t i = 0; i < size; i++)
        room += text[i] == '\n';
    struct arena *arena = &recipe->graph->arena;
    const char **labels = espy_arena_array(arena, room, sizeof(*labels));
    uint32_t count = 0;
    for (size_t at = 0; labels != NULL && at < size; count++) {
        const char *line = text + at, *end = memchr(line, '\n', size - at);
        size_t length = end == NULL ? size - at : (size_t)(end - line);
        at += length + 1;
        if (length > 0 && line[length - 1] == '\r')
            length--;
        char *label = espy_arena_alloc(arena, length + 1);
        if (label == NULL)
            return ESPY_OUT_OF_MEMORY;
        memcpy(label, line, length);
        label[length] = '\0';
        labels[count] = label;
    }
    return labels == NULL ? ESPY_OUT_OF_MEMORY : espy_recipe_set_labels(recipe, labels, count);
}

static espy_status apply_label_json(struct recipe *recipe, const char *json, size_t size)
{
    TRY(espy_format_scan_json(recipe->host, recipe->name, json, size));
    cJSON *root = cJSON_ParseWithLengthOpts(json, size, NULL, 0);
    const espy_status status = root == NULL
                                   ? espy_fail_memory(recipe->host, size, "the labels' JSON")
                                   : set_labels(recipe, root);
    cJSON_Delete(root);
    return status;
}

static espy_status apply_label_file(struct recipe *recipe, const char *path)
{
    struct format_file file;
    TRY(espy_format_file_open(recipe->host, path, &file));
    const char *text = (const char *)file.bytes;
    espy_status status;
    recipe->name = path;
    if (file.size > GRAPH_LABELS_MAX * (uint64_t)GRAPH_NAME_SIZE_MAX ||
        memchr(text, '\0', file.size) != NULL)
        status = espy_recipe_bad(recipe, "labels", "a file of names, one a line, is wanted");
    else if (espy_convert_has_ending(path, ".json"))
        status = apply_label_json(recipe, text, file.size);
    else
        status = apply_label_lines(recipe, text, file.size);
    espy_format_file_close(&file);
    return status;
}

// The outputs that the command line names, in that order.
static espy_status choose_outputs(struct recipe *recipe, const struct convert_params *params)
{
    struct graph *graph = recipe->graph;
    struct graph_io *chosen =
        espy_arena_array(&graph->arena, params->output_count, sizeof(*chosen));
    if (chosen == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < params->output_count; i++) {
        const uint32_t at =
            espy_recipe_find(graph, graph->outputs, graph->output_count, params->outputs[i]);
        if (at == graph->output_count)
            return espy_fail(recipe->host, ESPY_INVALID_ARGUMENT, "the network has no output '%s'",
                             params->outputs[i]);
        chosen[i] = graph->outputs[at];
    }
    if (params->output_count > 0) {
        graph->outputs = chosen;
        graph->output_count = params->output_count;
    }
    return ESPY_OK;
}

espy_status espy_convert_recipes(struct convert_model *model, const struct convert_params *params)
{
    struct recipe recipe = {.host = model->host, .model = model, .graph = &model->graph};
    TRY(apply_metadata(&recipe, params));
    TRY(choose_outputs(&recipe, params));
    for (uint32_t i = 0; i < params->preset_count; i++)
        TRY(apply_preset(&recipe, params->presets[i]));
    if (params->recipe_path != NULL)
        TRY(apply_recipe_file(&recipe, params->recipe_path));
    return params->labels_path == NULL ? ESPY_OK : apply_label_file(&recipe, params->labels_path);
}
