#include "suites/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "convert/convert.h"
#include "format/format.h"
#include "npy.h"
#include "onnx.pb-c.h"

const char *espy_suite_shared(void)
{
    static const char *const path = ESPY_SOURCE_DIR "/../shared";
    struct stat info;
    if (stat(path, &info) == 0)
        return path;
    fprintf(stderr, "skipped: %s is not there\n", path);
    return NULL;
}

espy_status espy_suite_convert(const struct host *host, const char *path,
                               struct suite_model *model)
{
    return espy_suite_convert_hand(host, path, NULL, model);
}

espy_status espy_suite_convert_hand(const struct host *host, const char *path, const char *weights,
                                    struct suite_model *model)
{
    *model = (struct suite_model){.host = host};
    struct convert_report report;
    struct convert_model *converted = NULL;
    const struct convert_params params = {.model_path = path, .weights_path = weights};
    espy_convert_report_init(&report, host);
    void *bytes = NULL;
    espy_status status = espy_convert_graph(host, &params, &report, &converted);
    if (status == ESPY_OK)
        status = espy_format_write(host, espy_convert_model_graph(converted), &bytes,
                                   &model->size);
    if (status == ESPY_OK) { // the reader wants its bytes aligned, as a mapped file is
        model->bytes = aligned_alloc(64, (model->size + 63) / 64 * 64);
        memcpy(model->bytes, bytes, model->size);
        espy_free(host, bytes);
    }
    espy_convert_model_destroy(&converted);
    espy_convert_report_finish(&report);
    if (status == ESPY_OK)
        status = espy_format_read(host, path, model->bytes, model->size, &model->graph);
    if (status != ESPY_OK)
        espy_suite_model_finish(model);
    return status;
}

void espy_suite_model_finish(struct suite_model *model)
{
    espy_graph_finish(&model->graph);
    free(model->bytes);
    *model = (struct suite_model){.host = model->host};
}

void *espy_suite_read_bytes(const char *path, struct arena *arena, size_t *size)
{
    FILE *stream = fopen(path, "rb");
    if (stream == NULL)
        return NULL;
    fseek(stream, 0, SEEK_END);
    const long length = ftell(stream);
    rewind(stream);
    char *bytes = length < 0 ? NULL : espy_arena_alloc(arena, (size_t)length + 1);
    if (bytes != NULL)
        *size = fread(bytes, 1, (size_t)length, stream);
    fclose(stream);
    return bytes;
}

char *espy_suite_read_text(const char *path, struct arena *arena)
{
    size_t size;
    return espy_suite_read_bytes(path, arena, &size); // the arena's memory is zeroed: it ends in NUL
}

// By ONNX's TensorProto.DataType.
static espy_dtype dtype_of(int32_t data_type)
{
    static const espy_dtype dtypes[] = {
        ESPY_DTYPE_NONE,     ESPY_FLOAT32,  ESPY_UINT8,        ESPY_INT8,           ESPY_UINT16,
        ESPY_INT16,          ESPY_INT32,    ESPY_INT64,        ESPY_DTYPE_NONE,     ESPY_BOOL,
        ESPY_FLOAT16,        ESPY_FLOAT64,  ESPY_UINT32,       ESPY_UINT64,         ESPY_DTYPE_NONE,
        ESPY_DTYPE_NONE,     ESPY_BFLOAT16, ESPY_FLOAT8E4M3FN, ESPY_FLOAT8E4M3FNUZ, ESPY_FLOAT8E5M2,
        ESPY_FLOAT8E5M2FNUZ, ESPY_UINT4,    ESPY_INT4,         ESPY_FLOAT4E2M1,     ESPY_FLOAT8E8M0,
        ESPY_UINT2,          ESPY_INT2};
    return data_type >= 0 && (size_t)data_type < sizeof(dtypes) / sizeof(dtypes[0])
               ? dtypes[data_type]
               : ESPY_DTYPE_NONE;
}

static bool copy_elements(const EspyOnnx__TensorProto *proto, struct tensor *tensor)
{
    const size_t size = espy_tensor_size(tensor);
    if (proto->has_raw_data && proto->raw_data.len == size) {
        memcpy(tensor->data, proto->raw_data.data, size);
        return true;
    }
    const bool halves =
        tensor->type.dtype == ESPY_FLOAT16 || tensor->type.dtype == ESPY_BFLOAT16;
    for (size_t i = 0; i < tensor->count; i++) {
        if (proto->n_float_data == tensor->count)
            espy_tensor_set_number(tensor, i, (double)proto->float_data[i]);
        else if (proto->n_double_data == tensor->count)
            espy_tensor_set_number(tensor, i, proto->double_data[i]);
        else if (proto->n_int64_data == tensor->count)
            espy_tensor_set_integer(tensor, i, proto->int64_data[i]);
        else if (proto->n_uint64_data == tensor->count)
            espy_tensor_set_integer(tensor, i, (int64_t)proto->uint64_data[i]);
        else if (proto->n_int32_data != tensor->count)
            return false;
        else if (halves)
            ((uint16_t *)tensor->data)[i] = (uint16_t)proto->int32_data[i];
        else
            espy_tensor_set_integer(tensor, i, proto->int32_data[i]);
    }
    return true;
}

bool espy_suite_read_pb(const char *path, struct arena *arena, struct tensor *tensor, char *name,
                        size_t name_size)
{
    size_t size = 0;
    const void *bytes = espy_suite_read_bytes(path, arena, &size);
    if (bytes == NULL)
        return false;
    EspyOnnx__TensorProto *proto = espy_onnx__tensor_proto__unpack(NULL, size, bytes);
    bool good = proto != NULL && proto->n_dims <= ESPY_RANK_MAX;
    if (good) {
        *tensor = (struct tensor){.type = {.dtype = dtype_of(proto->data_type),
                                           .shape = {.rank = (uint32_t)proto->n_dims}}};
        for (size_t d = 0; d < proto->n_dims; d++)
            tensor->type.shape.dims[d] = proto->dims[d];
        snprintf(name, name_size, "%s", proto->name != NULL ? proto->name : "");
        good = tensor->type.dtype != ESPY_DTYPE_NONE &&
               espy_shape_count(&tensor->type.shape, &tensor->count);
    }
    if (good) {
        tensor->data = espy_arena_alloc(arena, espy_tensor_size(tensor));
        good = copy_elements(proto, tensor);
    }
    if (proto != NULL)
        espy_onnx__tensor_proto__free_unpacked(proto, NULL);
    return good;
}

bool espy_suite_read_npy(const char *path, struct arena *arena, struct tensor *tensor)
{
    struct npy array = {0};
    struct cli_message message;
    if (!espy_npy_read(path, &array, &message))
        return false;
    *tensor = (struct tensor){.type = {.dtype = array.dtype, .shape = {.rank = array.rank}}};
    memcpy(tensor->type.shape.dims, array.dims, sizeof(array.dims));
    espy_shape_count(&tensor->type.shape, &tensor->count);
    tensor->data = espy_arena_copy(arena, array.data, array.size);
    espy_npy_free(&array);
    return tensor->data != NULL;
}
