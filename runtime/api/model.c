#include "api/api_internal.h"

#include <string.h>

enum { MODEL_ALIGNMENT = 64 };

static espy_model *new_model(const struct host *host)
{
    espy_model *model = espy_alloc(host, sizeof(*model));
    if (model == NULL) {
        espy_fail_memory(host, sizeof(*model), "a model");
        return NULL;
    }
    model->host = *host;
    return model;
}

espy_status espy_model_load_file(espy_context *context, const char *path, espy_model **model)
{
    if (context == NULL)
        return ESPY_INVALID_ARGUMENT;
    if (path == NULL || model == NULL)
        return espy_fail(&context->host, ESPY_INVALID_ARGUMENT,
                         "espy_model_load_file: %s is NULL", path == NULL ? "path" : "model");
    espy_model *made = new_model(&context->host);
    if (made == NULL)
        return ESPY_OUT_OF_MEMORY;
    espy_status status = espy_format_file_open(&made->host, path, &made->file);
    if (status == ESPY_OK)
        status = espy_format_read(&made->host, path, made->file.bytes, made->file.size,
                                  &made->graph);
    if (status != ESPY_OK) {
        espy_model_destroy(&made);
        return status;
    }
    *model = made;
    return ESPY_OK;
}

espy_status espy_model_load_memory(espy_context *context, const void *bytes, size_t size,
                                   espy_model **model)
{
    if (context == NULL)
        return ESPY_INVALID_ARGUMENT;
    if (bytes == NULL || model == NULL)
        return espy_fail(&context->host, ESPY_INVALID_ARGUMENT,
                         "espy_model_load_memory: %s is NULL", bytes == NULL ? "bytes" : "model");
    espy_model *made = new_model(&context->host);
    if (made == NULL)
        return ESPY_OUT_OF_MEMORY;
    espy_status status = ESPY_OUT_OF_MEMORY;
    size_t room;
    if (!espy_checked_add(size, MODEL_ALIGNMENT, &room) ||
        (made->allocation = espy_alloc(&made->host, room)) == NULL) {
        espy_fail_memory(&made->host, size, "a copy of the model");
    } else {
        const uintptr_t address = (uintptr_t)made->allocation;
        const size_t skip = (MODEL_ALIGNMENT - address % MODEL_ALIGNMENT) % MODEL_ALIGNMENT;
        void *copy = (unsigned char *)made->allocation + skip;
        memcpy(copy, bytes, size);
        status = espy_format_read(&made->host, "model in memory", copy, size, &made->graph);
    }
    if (status != ESPY_OK) {
        espy_model_destroy(&made);
        return status;
    }
    *model = made;
    return ESPY_OK;
}

void espy_model_destroy(espy_model **model)
{
    if (model == NULL || *model == NULL)
        return;
    espy_graph_finish(&(*model)->graph);
    espy_format_file_close(&(*model)->file);
    const struct host host = (*model)->host;
    espy_free(&host, (*model)->allocation);
    espy_free(&host, *model);
    *model = NULL;
}

uint32_t espy_model_input_count(const espy_model *model)
{
    return model->graph.input_count;
}

uint32_t espy_model_output_count(const espy_model *model)
{
    return model->graph.output_count;
}

static void fill_info(const struct graph *graph, const struct graph_io *io,
                      struct espy_value_info *info)
{
    const struct graph_value *value = &graph->values[io->value];
    *info = (struct espy_value_info){.name = value->name,
                                     .dtype = value->dtype,
                                     .rank = value->shape.rank,
                                     .has_shape = value->has_shape,
                                     .role = io->role,
                                     .of = io->of,
                                     .preprocess = io->preprocess,
                                     .threshold = io->threshold,
                                     .label_count = io->label_count,
                                     .labels = (const char *const *)io->labels};
    memcpy(info->dims, value->shape.dims, sizeof(info->dims));
    if (value->symbols != NULL)
        memcpy(info->symbols, value->symbols, sizeof(info->symbols));
}

espy_status espy_model_input(const espy_model *model, uint32_t index, struct espy_value_info *info)
{
    if (model == NULL)
        return ESPY_INVALID_ARGUMENT;
    if (info == NULL)
        return espy_fail(&model->host, ESPY_INVALID_ARGUMENT, "espy_model_input: info is NULL");
    if (index >= model->graph.input_count)
        return espy_fail(&model->host, ESPY_INVALID_ARGUMENT,
                         "espy_model_input: there is no input %u", index);
    fill_info(&model->graph, &model->graph.inputs[index], info);
    return ESPY_OK;
}

espy_status espy_model_output(const espy_model *model, uint32_t index,
                              struct espy_value_info *info)
{
    if (model == NULL)
        return ESPY_INVALID_ARGUMENT;
    if (info == NULL)
        return espy_fail(&model->host, ESPY_INVALID_ARGUMENT, "espy_model_output: info is NULL");
    if (index >= model->graph.output_count)
        return espy_fail(&model->host, ESPY_INVALID_ARGUMENT,
                         "espy_model_output: there is no output %u", index);
    fill_info(&model->graph, &model->graph.outputs[index], info);
    return ESPY_OK;
}

uint32_t espy_model_attention_count(const espy_model *model)
{
    return model->graph.site_count;
}

espy_status espy_model_attention(const espy_model *model, uint32_t index,
                                 struct espy_attention_info *info)
{
    if (model == NULL)
        return ESPY_INVALID_ARGUMENT;
    if (info == NULL)
        return espy_fail(&model->host, ESPY_INVALID_ARGUMENT,
                         "espy_model_attention: info is NULL");
    if (index >= model->graph.site_count)
        return espy_fail(&model->host, ESPY_INVALID_ARGUMENT,
                         "espy_model_attention: there is no site %u", index);
    const struct graph_site *site = &model->graph.sites[index];
    *info = (struct espy_attention_info){.name = site->name,
                                         .kind = site->kind,
                                         .node = model->graph.nodes[site->node].name,
                                         .heads = site->heads,
                                         .queries = site->queries,
                                         .keys = site->keys};
    return ESPY_OK;
}
