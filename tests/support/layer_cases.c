#include "support/layer_cases.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    espy_dtype dtype;
    const char *name, *safetensors;
} types[] = {
    {ESPY_FLOAT32, "float32", "F32"}, {ESPY_INT64, "int64", "I64"}, {ESPY_BOOL, "bool", "BOOL"}};

cJSON *espy_test_read_layer_cases(const char *stem, const cJSON **cases)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/tests/layers/%s.json", ESPY_SOURCE_DIR, stem);
    FILE *stream = fopen(path, "rb");
    cr_assert_not_null(stream, "%s", path);
    fseek(stream, 0, SEEK_END);
    const long size = ftell(stream);
    rewind(stream);
    char *text = calloc(1, (size_t)size + 1);
    cr_assert_not_null(text);
    cr_assert_eq(fread(text, 1, (size_t)size, stream), (size_t)size);
    fclose(stream);
    cJSON *root = cJSON_Parse(text);
    free(text);
    cr_assert_not_null(root, "%s is not JSON", path);
    *cases = cJSON_GetObjectItemCaseSensitive(root, "cases");
    cr_assert_gt(cJSON_GetArraySize(*cases), 0);
    return root;
}

struct tensor espy_test_layer_tensor(const cJSON *item, espy_dtype dtype, struct arena *arena)
{
    struct tensor tensor = {.data = NULL};
    tensor.type.dtype = espy_dtype_from_name(cJSON_GetObjectItem(item, "dtype")->valuestring);
    if (espy_dtype_is_float(tensor.type.dtype))
        tensor.type.dtype = dtype;
    const cJSON *dim, *number;
    cJSON_ArrayForEach(dim, cJSON_GetObjectItem(item, "shape"))
        tensor.type.shape.dims[tensor.type.shape.rank++] = (int64_t)dim->valuedouble;
    cr_assert(espy_shape_count(&tensor.type.shape, &tensor.count));
    const cJSON *data = cJSON_GetObjectItem(item, "data");
    cr_assert_eq((size_t)cJSON_GetArraySize(data), tensor.count);
    tensor.data = espy_arena_alloc(arena, espy_tensor_size(&tensor));
    cr_assert_not_null(tensor.data);
    size_t i = 0;
    cJSON_ArrayForEach(number, data) espy_tensor_set_number(&tensor, i++, number->valuedouble);
    return tensor;
}

void espy_test_write_safetensors(const char *path, const cJSON *tensors, struct arena *arena)
{
    struct text header;
    size_t end = 0;
    const cJSON *item;
    char shape[256];
    espy_text_init(&header, arena->host);
    espy_text_add(&header, "{");
    cJSON_ArrayForEach(item, tensors)
    {
        const struct tensor tensor = espy_test_layer_tensor(item, ESPY_FLOAT32, arena);
        const char *name = NULL;
        for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++)
            if (types[t].dtype == tensor.type.dtype)
                name = types[t].safetensors;
        cr_assert_not_null(name);
        size_t used = 0;
        shape[0] = '\0';
        for (uint32_t d = 0; d < tensor.type.shape.rank; d++)
            used += (size_t)snprintf(shape + used, sizeof(shape) - used, "%s%lld",
                                     d == 0 ? "" : ",", (long long)tensor.type.shape.dims[d]);
        espy_text_add(
            &header, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}",
            end == 0 ? "" : ",", item->string, name, shape, end, end + espy_tensor_size(&tensor));
        end += espy_tensor_size(&tensor);
    }
    espy_text_add(&header, "}");
    FILE *stream = fopen(path, "wb");
    cr_assert_not_null(stream);
    for (int i = 0; i < 8; i++)
        fputc((int)(header.length >> (8 * i) & 0xff), stream);
    fwrite(header.chars, 1, header.length, stream);
    cJSON_ArrayForEach(item, tensors)
    {
        const struct tensor tensor = espy_test_layer_tensor(item, ESPY_FLOAT32, arena);
        fwrite(tensor.data, 1, espy_tensor_size(&tensor), stream);
    }
    fclose(stream);
    espy_text_finish(&header);
}

static cJSON *network_input(const cJSON *tensor, double batch, enum layer_case_sizes sizes,
                            const char *dtype)
{
    const char *stated = cJSON_GetObjectItem(tensor, "dtype")->valuestring;
    cJSON *input = cJSON_CreateObject();
    cJSON *shape = cJSON_Duplicate(cJSON_GetObjectItem(tensor, "shape"), true);
    const int rank = cJSON_GetArraySize(shape);
    const bool batched = rank > 1 && cJSON_GetArrayItem(shape, 0)->valuedouble == batch;
    for (int d = 0; d < rank && batched && sizes != LAYER_SIZES_EXACT; d++) {
        char symbol[16];
        snprintf(symbol, sizeof(symbol), "s%d", d);
        if (d == 0 || (sizes == LAYER_SIZES_PICTURE && d > 1 && rank > 3))
            cJSON_ReplaceItemInArray(shape, d, cJSON_CreateString(d == 0 ? "batch" : symbol));
    }
    cJSON_AddStringToObject(input, "name", tensor->string);
    cJSON_AddStringToObject(input, "dtype", strcmp(stated, "float32") == 0 ? dtype : stated);
    cJSON_AddItemToObject(input, "shape", shape);
    return input;
}

char *espy_test_layer_network(const cJSON *layer_case, enum layer_case_sizes sizes,
                              const char *dtype)
{
    cJSON *root = cJSON_CreateObject();
    cJSON_AddNumberToObject(root, "espy", 1);
    cJSON *inputs = cJSON_AddArrayToObject(root, "inputs");
    cJSON *outputs = cJSON_AddArrayToObject(root, "outputs");
    const cJSON *tensor, *given = cJSON_GetObjectItem(layer_case, "inputs");
    const double batch =
        cJSON_GetArrayItem(cJSON_GetObjectItem(given->child, "shape"), 0)->valuedouble;
    cJSON_ArrayForEach(tensor, given)
        cJSON_AddItemToArray(inputs, network_input(tensor, batch, sizes, dtype));
    cJSON_ArrayForEach(tensor, cJSON_GetObjectItem(layer_case, "outputs"))
    {
        cJSON *output = cJSON_CreateObject();
        cJSON_AddStringToObject(output, "name", tensor->string);
        cJSON_AddItemToArray(outputs, output);
    }
    const cJSON *blocks = cJSON_GetObjectItem(layer_case, "blocks");
    if (blocks != NULL)
        cJSON_AddItemToObject(root, "blocks", cJSON_Duplicate(blocks, true));
    cJSON_AddItemToObject(root, "layers",
                          cJSON_Duplicate(cJSON_GetObjectItem(layer_case, "layers"), true));
    char *text = cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    cr_assert_not_null(text);
    return text;
}
