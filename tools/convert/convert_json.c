#include "convert/convert_internal.h"

#include <string.h>

#include "layers/layers.h"

// The hand-written forms: nodes, or layers that stand for nodes, with the tensors of a safetensors
// file.

enum { UNUSED_SHOWN_MAX = 5 }; // names in the note about tensors that nothing took

// What the readers of the hand-written forms need to find tensors.
struct finder {
    struct convert_model *model;
    const struct convert_params *params;
    bool *used; // [weights.count]
};

static espy_status find_tensor(void *user, const char *name, struct graph_value *value)
{
    const struct finder *finder = user;
    struct convert_model *model = finder->model;
    if (finder->params->weights_path == NULL)
        return espy_fail(model->host, ESPY_BAD_FORMAT,
                         "tensor '%s' has no data, and no .safetensors file was given", name);
    const struct safetensor *tensor = espy_safetensors_find(&model->weights, name);
    if (tensor == NULL)
        return espy_fail(model->host, ESPY_BAD_FORMAT, "%s: there is no tensor '%s'",
                         finder->params->weights_path, name);
    finder->used[tensor - model->weights.tensors] = true;
    if (tensor->dtype == ESPY_DTYPE_NONE)
        return espy_fail(model->host, ESPY_UNSUPPORTED, "%s: tensor '%s': type %s is not supported",
                         finder->params->weights_path, name, tensor->type_name);
    value->dtype = tensor->dtype;
    value->has_shape = true;
    value->shape = tensor->shape;
    value->data_size = tensor->size;
    value->data = tensor->data;
    // Kernels read elements in place; a safetensors file aligns nothing.
    const size_t element_size = espy_dtype_size(tensor->dtype);
    if (element_size > 1 && (uintptr_t)tensor->data % element_size != 0)
        value->data = espy_arena_copy(&model->arena, tensor->data, tensor->size);
    return value->data == NULL ? ESPY_OUT_OF_MEMORY : ESPY_OK;
}

static const char *tensor_name_at(void *user, uint32_t index)
{
    const struct finder *finder = user;
    const struct safetensors *weights = &finder->model->weights;
    return index < weights->count ? weights->tensors[index].name : NULL;
}

// A tensor that no layer takes is mostly a layer forgotten. Counters of training are not wanted.
static void note_unused(const struct finder *finder)
{
    const struct safetensors *weights = &finder->model->weights;
    uint32_t count = 0;
    struct text names;
    espy_text_init(&names, finder->model->host);
    for (uint32_t i = 0; i < weights->count; i++) {
        if (finder->used[i] ||
            espy_convert_has_ending(weights->tensors[i].name, "num_batches_tracked"))
            continue;
        if (++count <= UNUSED_SHOWN_MAX)
            espy_text_add(&names, "%s'%s'", count == 1 ? "" : ", ", weights->tensors[i].name);
    }
    for (size_t i = 0; i < names.length; i++) // names come from a file
        if ((unsigned char)names.chars[i] < 0x20 || names.chars[i] == 0x7f)
            names.chars[i] = '?';
    if (count > 0 && !names.failed)
        espy_log(finder->model->host, ESPY_LOG_WARNING, "%s: %u tensor%s not used: %s%s",
                 finder->params->weights_path, (unsigned)count, count == 1 ? " is" : "s are",
                 names.chars, count > UNUSED_SHOWN_MAX ? ", ..." : "");
    espy_text_finish(&names);
}

static espy_status add_layers(void *user, const struct cJSON *root, struct graph *graph,
                              struct map *values)
{
    struct finder *finder = user;
    const struct layers_weights weights = {user, tensor_name_at, find_tensor};
    TRY(espy_layers_expand(finder->model->host, finder->params->model_path, &weights, root, graph,
                           values));
    note_unused(finder);
    return ESPY_OK;
}

espy_status espy_convert_read_json(struct convert_model *model, const struct convert_params *params)
{
    struct finder finder = {model, params, NULL};
    if (params->weights_path != NULL)
        TRY(espy_safetensors_open(model->host, params->weights_path, &model->weights));
    finder.used = espy_arena_array(&model->arena, model->weights.count, sizeof(*finder.used));
    if (finder.used == NULL)
        return ESPY_OUT_OF_MEMORY;
    espy_graph_finish(&model->graph); // the reader makes its own
    return espy_format_read_hand(
        model->host, params->model_path, model->file.bytes, model->file.size,
        &(struct format_hand){&finder, find_tensor, add_layers}, &model->graph);
}
