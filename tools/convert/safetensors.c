#include "convert/safetensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

enum { LENGTH_SIZE = 8 }; // of the header, little-endian, at the start of the file

static const struct {
    const char *name;
    espy_dtype dtype;
} types[] = {
    {"F8_E4M3", ESPY_FLOAT8E4M3FN},
    {"F8_E5M2", ESPY_FLOAT8E5M2},
    {"F8_E8M0", ESPY_FLOAT8E8M0},
    {"F32", ESPY_FLOAT32},
    {"F16", ESPY_FLOAT16},
    {"BF16", ESPY_BFLOAT16},
    {"F64", ESPY_FLOAT64},
    {"I8", ESPY_INT8},
    {"U8", ESPY_UINT8},
    {"I16", ESPY_INT16},
    {"U16", ESPY_UINT16},
    {"I32", ESPY_INT32},
    {"U32", ESPY_UINT32},
    {"I64", ESPY_INT64},
    {"U64", ESPY_UINT64},
    {"BOOL", ESPY_BOOL},
};

static espy_status bad(const struct safetensors *file, const char *name, const char *what)
{
    return espy_fail(file->host, ESPY_BAD_FORMAT, "%s: tensor '%s': %s", file->path, name, what);
}

static bool read_size(const cJSON *item, size_t *size)
{
    const double limit = 9007199254740992.0;
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0) || item->valuedouble > limit ||
        item->valuedouble != floor(item->valuedouble))
        return false;
    *size = (size_t)item->valuedouble;
    return true;
}

static espy_status read_shape(const struct safetensors *file, const cJSON *list,
                              struct safetensor *tensor)
{
    if (!cJSON_IsArray(list))
        return bad(file, tensor->name, "shape is not a list");
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        size_t dim;
        if (tensor->shape.rank == ESPY_RANK_MAX)
            return bad(file, tensor->name, "rank is above 8");
        if (!read_size(item, &dim))
            return bad(file, tensor->name, "shape is not a list of sizes");
        tensor->shape.dims[tensor->shape.rank++] = (int64_t)dim;
    }
    return ESPY_OK;
}

static espy_status read_place(const struct safetensors *file, const cJSON *offsets,
                              size_t data_offset, struct safetensor *tensor)
{
    size_t begin, end, count, size;
    if (!cJSON_IsArray(offsets) || cJSON_GetArraySize(offsets) != 2 ||
        !read_size(cJSON_GetArrayItem(offsets, 0), &begin) ||
        !read_size(cJSON_GetArrayItem(offsets, 1), &end) || begin > end)
        return bad(file, tensor->name, "data_offsets are not two sizes in order");
    if (end > file->file.size - data_offset)
        return bad(file, tensor->name, "data_offsets reach past the end of the file");
    tensor->size = end - begin;
    tensor->data = (const unsigned char *)file->file.bytes + data_offset + begin;
    if (tensor->dtype == ESPY_DTYPE_NONE)
        return ESPY_OK; // its element size is not known here
    if (!espy_shape_count(&tensor->shape, &count) ||
        !espy_dtype_data_size(tensor->dtype, count, &size) || size != tensor->size)
        return bad(file, tensor->name, "data_offsets do not fit type and shape");
    return ESPY_OK;
}

static espy_status read_tensor(struct safetensors *file, const cJSON *item, size_t data_offset)
{
    struct safetensor *tensor = &file->tensors[file->count];
    *tensor = (struct safetensor){.name = espy_arena_string(&file->arena, item->string)};
    if (tensor->name == NULL)
        return ESPY_OUT_OF_MEMORY;
    if (espy_map_get(&file->names, tensor->name) != MAP_NONE)
        return bad(file, tensor->name, "the name is used twice");
    const cJSON *dtype = NULL, *shape = NULL, *offsets = NULL, *field;
    uint32_t fields = 0;
    cJSON_ArrayForEach(field, item)
    {
        fields++;
        if (strcmp(field->string, "dtype") == 0)
            dtype = field;
        else if (strcmp(field->string, "shape") == 0)
            shape = field;
        else if (strcmp(field->string, "data_offsets") == 0)
            offsets = field;
    }
    if (!cJSON_IsObject(item) || fields != 3 || dtype == NULL || shape == NULL || offsets == NULL)
        return bad(file, tensor->name, "needs dtype, shape and data_offsets, once each");
    if (!cJSON_IsString(dtype))
        return bad(file, tensor->name, "dtype is not a string");
    tensor->type_name = espy_arena_string(&file->arena, dtype->valuestring);
    if (tensor->type_name == NULL)
        return ESPY_OUT_OF_MEMORY;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (strcmp(types[i].name, dtype->valuestring) == 0)
            tensor->dtype = types[i].dtype;
    TRY(read_shape(file, shape, tensor));
    TRY(read_place(file, offsets, data_offset, tensor));
    file->count++;
    return espy_map_put(&file->names, tensor->name, 0);
}

static int compare_places(const void *a, const void *b)
{
    const struct safetensor *left = a, *right = b;
    if (left->data != right->data)
        return (uintptr_t)left->data < (uintptr_t)right->data ? -1 : 1;
    if (left->size != right->size) // empty ones first
        return left->size < right->size ? -1 : 1;
    return strcmp(left->name, right->name);
}

static espy_status check_cover(struct safetensors *file, size_t data_offset)
{
    qsort(file->tensors, file->count, sizeof(*file->tensors), compare_places);
    const unsigned char *bytes = file->file.bytes;
    const unsigned char *at = bytes + data_offset;
    for (uint32_t i = 0; i < file->count; i++) {
        const struct safetensor *tensor = &file->tensors[i];
        if ((const unsigned char *)tensor->data != at)
            return bad(file, tensor->name, "there is a hole before it, or it overlaps another");
        at += tensor->size;
        TRY(espy_map_put(&file->names, tensor->name, i));
    }
    if (at != bytes + file->file.size)
        return espy_fail(file->host, ESPY_BAD_FORMAT, "%s: bytes after the last tensor",
                         file->path);
    return ESPY_OK;
}

static espy_status read_header(struct safetensors *file, const cJSON *root, size_t data_offset)
{
    if (!cJSON_IsObject(root))
        return espy_fail(file->host, ESPY_BAD_FORMAT, "%s: the header is not a JSON object",
                         file->path);
    const int count = cJSON_GetArraySize(root);
    file->tensors = espy_arena_array(&file->arena, (size_t)count, sizeof(*file->tensors));
    if (file->tensors == NULL)
        return ESPY_OUT_OF_MEMORY;
    bool metadata = false;
    const cJSON *item;
    cJSON_ArrayForEach(item, root)
    {
        if (strcmp(item->string, "__metadata__") != 0) {
            TRY(read_tensor(file, item, data_offset));
            continue;
        }
        if (metadata || !cJSON_IsObject(item))
            return bad(file, item->string, "must be one object");
        metadata = true;
    }
    return check_cover(file, data_offset);
}

static espy_status parse(struct safetensors *file)
{
    const unsigned char *bytes = file->file.bytes;
    uint64_t size = 0;
    if (file->file.size < LENGTH_SIZE)
        return espy_fail(file->host, ESPY_BAD_FORMAT, "%s: too short for a safetensors file",
                         file->path);
    for (int i = LENGTH_SIZE - 1; i >= 0; i--)
        size = size << 8 | bytes[i];
    if (size > SAFETENSORS_HEADER_SIZE_MAX || size > file->file.size - LENGTH_SIZE)
        return espy_fail(file->host, ESPY_BAD_FORMAT,
                         "%s: not a safetensors file: its header would be %llu bytes long",
                         file->path, (unsigned long long)size);
    const char *json = (const char *)bytes + LENGTH_SIZE, *end = NULL;
    cJSON *root = cJSON_ParseWithLengthOpts(json, (size_t)size, &end, 0);
    while (root != NULL && end < json + size && (*end == ' ' || *end == '\n' || *end == '\t'))
        end++; // writers pad the header with spaces
    espy_status status;
    if (root == NULL || end != json + size)
        status = espy_fail(file->host, ESPY_BAD_FORMAT, "%s: the header is not JSON, at byte %zu",
                           file->path, end == NULL ? 0 : (size_t)(end - json) + LENGTH_SIZE);
    else
        status = read_header(file, root, LENGTH_SIZE + (size_t)size);
    cJSON_Delete(root);
    return status;
}

espy_status espy_safetensors_open(const struct host *host, const char *path,
                                  struct safetensors *file)
{
    *file = (struct safetensors){.host = host};
    espy_arena_init(&file->arena, host);
    espy_map_init(&file->names, host);
    espy_status status = espy_format_file_open(host, path, &file->file);
    if (status == ESPY_OK) {
        file->path = espy_arena_string(&file->arena, path);
        status = file->path == NULL ? ESPY_OUT_OF_MEMORY : parse(file);
    }
    if (status != ESPY_OK)
        espy_safetensors_close(file);
    return status;
}

void espy_safetensors_close(struct safetensors *file)
{
    if (file->host == NULL)
        return;
    espy_map_finish(&file->names);
    espy_arena_finish(&file->arena);
    if (file->file.host != NULL)
        espy_format_file_close(&file->file);
    *file = (struct safetensors){.host = NULL};
}

const struct safetensor *espy_safetensors_find(const struct safetensors *file, const char *name)
{
    const uint32_t index = espy_map_get(&file->names, name);
    return index == MAP_NONE ? NULL : &file->tensors[index];
}
