#include "convert/convert_internal.h"

#include <string.h>

// What the reader of the hand-written form needs to find tensors.
struct finder {
    struct convert_model *model;
    const struct convert_params *params;
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
    if (tensor->dtype == ESPY_DTYPE_NONE)
        return espy_fail(model->host, ESPY_UNSUPPORTED, "%s: tensor '%s': type %s is not supported",
                         finder->params->weights_path, name, tensor->type_name);
    value->dtype = tensor->dtype;
    value->has_shape = true;
    value->shape = tensor->shape;
    value->data_size = tensor->size;
    value->data = tensor->data;
    // Kernels read elements in place; a safetensors file aligns nothing.
    if ((uintptr_t)tensor->data % espy_dtype_size(tensor->dtype) != 0)
        value->data = espy_arena_copy(&model->arena, tensor->data, tensor->size);
    return value->data == NULL ? ESPY_OUT_OF_MEMORY : ESPY_OK;
}

espy_status espy_convert_read_json(struct convert_model *model, const struct convert_params *params)
{
    struct finder finder = {model, params};
    if (params->weights_path != NULL)
        TRY(espy_safetensors_open(model->host, params->weights_path, &model->weights));
    espy_graph_finish(&model->graph); // the reader makes its own
    return espy_format_read_json(model->host, params->model_path, model->file.bytes,
                                 model->file.size, find_tensor, &finder, &model->graph);
}
