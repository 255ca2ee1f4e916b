#include "convert/convert_internal.h"

#include <math.h>
#include <string.h>

#include <cjson/cJSON.h>

// What the file says about inputs and outputs beside their types. The JSON is checked key by key
// here; whether roles and numbers make sense is the graph check's business.

enum { KEYS_MAX = 16 }; // of an object whose keys are all known

struct source {
    const struct host *host;
    struct graph *graph;
    const char *name; // for messages
};

static espy_status bad(const struct source *source, const char *where, const char *what)
{
    return espy_fail(source->host, ESPY_BAD_FORMAT, "%s: metadata of '%s': %s", source->name, where,
                     what);
}

// An object with at most keys_max keys, none twice.
static bool is_object(const cJSON *object, int keys_max)
{
    if (!cJSON_IsObject(object) || cJSON_GetArraySize(object) > keys_max)
        return false;
    for (const cJSON *a = object->child; a != NULL; a = a->next)
        for (const cJSON *b = a->next; b != NULL; b = b->next)
            if (strcmp(a->string, b->string) == 0)
                return false;
    return true;
}

static espy_status read_string(const struct source *source, const char *where, const cJSON *item,
                               const char **text)
{
    if (!cJSON_IsString(item))
        return bad(source, where, "roles, names and modes must be strings");
    *text = espy_arena_string(&source->graph->arena, item->valuestring);
    return *text == NULL ? ESPY_OUT_OF_MEMORY : ESPY_OK;
}

// mean or std; NULL: not given, and numbers keep their default.
static espy_status read_numbers(const struct source *source, const char *where, const cJSON *item,
                                int channels, double *numbers)
{
    const int count = cJSON_GetArraySize(item);
    if (item == NULL)
        return ESPY_OK;
    if (!cJSON_IsArray(item) || count != channels)
        return bad(source, where, "mean and std must be lists of one number per channel");
    for (int i = 0; i < count; i++) {
        const cJSON *number = cJSON_GetArrayItem(item, i);
        if (!cJSON_IsNumber(number) || !isfinite(number->valuedouble))
            return bad(source, where, "mean and std must be numbers");
        numbers[i] = number->valuedouble;
    }
    return ESPY_OK;
}

static espy_status read_size(const struct source *source, const char *where, const cJSON *item,
                             struct espy_preprocess *preprocess)
{
    uint32_t *const sizes[2] = {&preprocess->height, &preprocess->width};
    if (!cJSON_IsArray(item) || cJSON_GetArraySize(item) != 2)
        return bad(source, where, "size must be [height, width]");
    for (int i = 0; i < 2; i++) {
        const cJSON *number = cJSON_GetArrayItem(item, i);
        if (!cJSON_IsNumber(number) || !(number->valuedouble >= 0) || number->valuedouble > 65536 ||
            number->valuedouble != floor(number->valuedouble))
            return bad(source, where, "size must be two integers up to 65536");
        *sizes[i] = (uint32_t)number->valuedouble;
    }
    return ESPY_OK;
}

static espy_status read_preprocess(const struct source *source, const char *where,
                                   const cJSON *object, struct graph_io *io)
{
    struct espy_preprocess *preprocess =
        espy_arena_alloc(&source->graph->arena, sizeof(*preprocess));
    if (preprocess == NULL)
        return ESPY_OUT_OF_MEMORY;
    *preprocess = (struct espy_preprocess){
        .resize = "stretch", .color = "rgb", .layout = "nchw", .scale = 1, .std = {1, 1, 1, 1}};
    if (!is_object(object, KEYS_MAX))
        return bad(source, where, "preprocess must be an object without repeated keys");
    const cJSON *item, *mean = NULL, *std = NULL;
    cJSON_ArrayForEach(item, object)
    {
        if (strcmp(item->string, "size") == 0)
            TRY(read_size(source, where, item, preprocess));
        else if (strcmp(item->string, "resize") == 0)
            TRY(read_string(source, where, item, &preprocess->resize));
        else if (strcmp(item->string, "color") == 0)
            TRY(read_string(source, where, item, &preprocess->color));
        else if (strcmp(item->string, "layout") == 0)
            TRY(read_string(source, where, item, &preprocess->layout));
        else if (strcmp(item->string, "mean") == 0)
            mean = item;
        else if (strcmp(item->string, "std") == 0)
            std = item;
        else if (strcmp(item->string, "scale") == 0 && cJSON_IsNumber(item) &&
                 isfinite(item->valuedouble) && item->valuedouble != 0)
            preprocess->scale = item->valuedouble;
        else
            return bad(source, where, "preprocess has an unknown key, or scale is not a number");
    }
    const int channels = strcmp(preprocess->color, "gray") == 0 ? 1 : 3;
    TRY(read_numbers(source, where, mean, channels, preprocess->mean));
    TRY(read_numbers(source, where, std, channels, preprocess->std));
    io->preprocess = preprocess;
    return ESPY_OK;
}

static espy_status read_labels(const struct source *source, const char *where, const cJSON *list,
                               struct graph_io *io)
{
    if (!cJSON_IsArray(list))
        return bad(source, where, "labels must be a list");
    const int count = cJSON_GetArraySize(list);
    if (count > GRAPH_LABELS_MAX)
        return bad(source, where, "too many labels");
    io->labels = espy_arena_array(&source->graph->arena, (size_t)count, sizeof(*io->labels));
    io->label_count = 0;
    if (io->labels == NULL)
        return ESPY_OUT_OF_MEMORY;
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
        TRY(read_string(source, where, item, &io->labels[io->label_count++]));
    return ESPY_OK;
}

static espy_status read_threshold(const struct source *source, const char *where,
                                  const cJSON *number, struct graph_io *io)
{
    if (!cJSON_IsNumber(number) || !isfinite(number->valuedouble))
        return bad(source, where, "threshold must be a number");
    io->threshold = number->valuedouble;
    return ESPY_OK;
}

static espy_status read_io(const struct source *source, const cJSON *object, struct graph_io *io,
                           bool is_input)
{
    const char *where = object->string;
    if (!is_object(object, KEYS_MAX))
        return bad(source, where, "must be an object without repeated keys");
    const cJSON *item;
    cJSON_ArrayForEach(item, object)
    {
        if (strcmp(item->string, "role") == 0)
            TRY(read_string(source, where, item, &io->role));
        else if (strcmp(item->string, "of") == 0)
            TRY(read_string(source, where, item, &io->of));
        else if (strcmp(item->string, "preprocess") == 0 && is_input)
            TRY(read_preprocess(source, where, item, io));
        else if (strcmp(item->string, "threshold") == 0 && !is_input)
            TRY(read_threshold(source, where, item, io));
        else if (strcmp(item->string, "labels") == 0)
            TRY(read_labels(source, where, item, io));
        else
            return bad(source, where,
                       is_input ? "keys are role, of, preprocess and labels"
                                : "keys are role, of, threshold and labels");
    }
    return ESPY_OK;
}

static espy_status read_side(const struct source *source, const cJSON *object,
                             struct graph_io *list, uint32_t count, bool is_input)
{
    if (!is_object(object, GRAPH_IO_MAX))
        return bad(source, object->string, "must be an object without repeated keys");
    const cJSON *item;
    cJSON_ArrayForEach(item, object)
    {
        uint32_t i = 0;
        while (i < count && strcmp(source->graph->values[list[i].value].name, item->string) != 0)
            i++;
        if (i == count)
            return bad(source, item->string,
                       is_input ? "the network has no such input"
                                : "the network has no such output");
        TRY(read_io(source, item, &list[i], is_input));
    }
    return ESPY_OK;
}

static espy_status read_root(const struct source *source, const cJSON *root)
{
    struct graph *graph = source->graph;
    if (!is_object(root, KEYS_MAX))
        return bad(source, "the network", "must be an object without repeated keys");
    const cJSON *item;
    cJSON_ArrayForEach(item, root)
    {
        if (strcmp(item->string, "inputs") == 0)
            TRY(read_side(source, item, graph->inputs, graph->input_count, true));
        else if (strcmp(item->string, "outputs") == 0)
            TRY(read_side(source, item, graph->outputs, graph->output_count, false));
        else
            return bad(source, item->string, "unknown key; there are inputs and outputs");
    }
    return ESPY_OK;
}

espy_status espy_convert_metadata(const struct host *host, struct graph *graph, const char *json,
                                  size_t size, const char *name)
{
    const struct source source = {host, graph, name};
    TRY(espy_format_scan_json(host, name, json, size));
    cJSON *root = cJSON_ParseWithLengthOpts(json, size, NULL, 0);
    const espy_status status = root == NULL ? espy_fail_memory(host, size, "the metadata's JSON")
                                            : read_root(&source, root);
    cJSON_Delete(root);
    return status;
}
