#include "convert/convert_internal.h"

#include <string.h>

// ONNX's TensorProto.DataType, by number.
static const struct {
    const char *name;
    espy_dtype dtype;
} data_types[] = {
    {"undefined", ESPY_DTYPE_NONE},
    {"float", ESPY_FLOAT32},
    {"uint8", ESPY_UINT8},
    {"int8", ESPY_INT8},
    {"uint16", ESPY_UINT16},
    {"int16", ESPY_INT16},
    {"int32", ESPY_INT32},
    {"int64", ESPY_INT64},
    {"string", ESPY_DTYPE_NONE},
    {"bool", ESPY_BOOL},
    {"float16", ESPY_FLOAT16},
    {"double", ESPY_FLOAT64},
    {"uint32", ESPY_UINT32},
    {"uint64", ESPY_UINT64},
    {"complex64", ESPY_DTYPE_NONE},
    {"complex128", ESPY_DTYPE_NONE},
    {"bfloat16", ESPY_BFLOAT16},
    {"float8e4m3fn", ESPY_FLOAT8E4M3FN},
    {"float8e4m3fnuz", ESPY_FLOAT8E4M3FNUZ},
    {"float8e5m2", ESPY_FLOAT8E5M2},
    {"float8e5m2fnuz", ESPY_FLOAT8E5M2FNUZ},
    {"uint4", ESPY_UINT4},
    {"int4", ESPY_INT4},
    {"float4e2m1", ESPY_FLOAT4E2M1},
    {"float8e8m0", ESPY_FLOAT8E8M0},
    {"uint2", ESPY_UINT2},
    {"int2", ESPY_INT2},
};
enum { DATA_TYPE_COUNT = sizeof(data_types) / sizeof(data_types[0]) };

espy_dtype espy_onnx_dtype(int32_t data_type)
{
    return data_type < 0 || data_type >= DATA_TYPE_COUNT ? ESPY_DTYPE_NONE
                                                         : data_types[data_type].dtype;
}

const char *espy_onnx_dtype_name(int32_t data_type)
{
    return data_type < 0 || data_type >= DATA_TYPE_COUNT ? "an unknown type"
                                                         : data_types[data_type].name;
}

static espy_status bad(const struct importer *importer, const char *name, const char *what)
{
    return espy_fail(importer->host, ESPY_BAD_FORMAT, "%s: tensor '%s': %s", importer->model_path,
                     name, what);
}

// ---- typed fields: an element at a time, in the width of the type -------------------------------

static void store_integer(unsigned char *to, espy_dtype dtype, uint64_t bits)
{
    switch (espy_dtype_size(dtype)) {
    case 0: // several elements share this byte
    case 1: {
        const uint8_t value = (uint8_t)bits;
        memcpy(to, &value, sizeof(value));
        break;
    }
    case 2: {
        const uint16_t value = (uint16_t)bits;
        memcpy(to, &value, sizeof(value));
        break;
    }
    case 4: {
        const uint32_t value = (uint32_t)bits;
        memcpy(to, &value, sizeof(value));
        break;
    }
    default:
        memcpy(to, &bits, sizeof(bits));
    }
}

// How many elements the field for this type has.
static size_t typed_count(const onnx_tensor *tensor, espy_dtype dtype)
{
    switch (dtype) {
    case ESPY_FLOAT32:
        return tensor->n_float_data;
    case ESPY_FLOAT64:
        return tensor->n_double_data;
    case ESPY_INT64:
        return tensor->n_int64_data;
    case ESPY_UINT32:
    case ESPY_UINT64:
        return tensor->n_uint64_data;
    default:
        return tensor->n_int32_data; // also the bits of float16 and the like, and whole bytes of
                                     // elements that share them
    }
}

static espy_status copy_typed(struct importer *importer, const onnx_tensor *tensor,
                              const char *name, espy_dtype dtype, size_t size, const void **data)
{
    const size_t element = espy_dtype_size(dtype) == 0 ? 1 : espy_dtype_size(dtype);
    const size_t count = size / element;
    const void *same = dtype == ESPY_FLOAT32   ? (const void *)tensor->float_data
                       : dtype == ESPY_FLOAT64 ? (const void *)tensor->double_data
                       : dtype == ESPY_INT64   ? (const void *)tensor->int64_data
                                               : NULL;
    if (typed_count(tensor, dtype) != count)
        return bad(importer, name, "its data has another number of elements than its shape");
    unsigned char *copy = espy_arena_array(&importer->graph->arena, count, element);
    if (copy == NULL)
        return ESPY_OUT_OF_MEMORY;
    const bool wide = dtype == ESPY_UINT32 || dtype == ESPY_UINT64;
    if (same != NULL)
        memcpy(copy, same, size);
    for (size_t i = 0; same == NULL && i < count; i++)
        store_integer(copy + i * element, dtype,
                      wide ? tensor->uint64_data[i] : (uint64_t)tensor->int32_data[i]);
    *data = copy;
    return ESPY_OK;
}

// Whether data lies in the model's file, which stays as long as the graph.
static bool is_in_file(const struct importer *importer, const void *data)
{
    const struct format_file *file = &importer->model->file;
    const uintptr_t start = (uintptr_t)file->bytes, at = (uintptr_t)data;
    return at >= start && at - start < file->size;
}

// What was copied is not read again: the file need not be in memory too.
static void note_copy(struct convert_model *model, size_t size)
{
    enum { REST_SIZE = 1 << 20 };
    model->copied += size;
    if (model->copied < REST_SIZE)
        return;
    espy_format_file_forget(&model->file, model->file.bytes, model->file.size);
    model->copied = 0;
}

// A bool must be 0 or 1, and bits after the last element 0. Small tensors are aligned, since what
// infers shapes reads them in place; large ones, which are most of what a network is, stay where
// they are. What does not last is copied in any case.
enum { SMALL_SIZE = 1 << 10 };

static espy_status settle(struct importer *importer, espy_dtype dtype, size_t count, size_t size,
                          bool lasts, const void **data)
{
    const size_t element = espy_dtype_size(dtype);
    const uint32_t used = (uint32_t)(count % 8) * espy_dtype_bits(dtype) % 8; // in the last byte
    if (lasts && dtype != ESPY_BOOL && used == 0 &&
        (size > SMALL_SIZE || element <= 1 || (uintptr_t)*data % element == 0))
        return ESPY_OK;
    unsigned char *copy = espy_arena_copy(&importer->graph->arena, *data, size);
    if (copy == NULL)
        return ESPY_OUT_OF_MEMORY;
    if (dtype == ESPY_BOOL)
        for (size_t i = 0; i < size; i++)
            copy[i] = copy[i] != 0;
    if (used > 0)
        copy[size - 1] &= (unsigned char)((1u << used) - 1);
    *data = copy;
    note_copy(importer->model, lasts ? size : 0);
    return ESPY_OK;
}

espy_status espy_onnx_constant(struct importer *importer, const onnx_tensor *tensor,
                               const char *name, const char *node, struct graph_value *value)
{
    value->data = NULL;
    const espy_dtype dtype = espy_onnx_dtype(tensor->data_type);
    if (dtype == ESPY_DTYPE_NONE)
        return espy_convert_problem(importer->report, node, "Constant",
                                    "tensors of %s are not supported",
                                    espy_onnx_dtype_name(tensor->data_type));
    if (tensor->n_dims > ESPY_RANK_MAX)
        return espy_convert_problem(importer->report, node, "Constant",
                                    "tensors of rank %zu are not supported", tensor->n_dims);
    struct shape shape = {.rank = (uint32_t)tensor->n_dims};
    for (uint32_t i = 0; i < shape.rank; i++)
        shape.dims[i] = tensor->dims[i];
    size_t count, size;
    if (!espy_shape_count(&shape, &count) || !espy_dtype_data_size(dtype, count, &size))
        return bad(importer, name, "its shape is negative or too large");
    static const char no_data[1];
    const void *data = NULL;
    bool lasts = true;
    if (size == 0)
        data = no_data;
    else if (tensor->has_data_location && tensor->data_location == 1)
        TRY(espy_onnx_external(importer, tensor, name, size, &data));
    else if (!tensor->has_raw_data)
        TRY(copy_typed(importer, tensor, name, dtype, size, &data));
    else if (tensor->raw_data.len != size)
        return bad(importer, name, "its data has another size than its shape and type say");
    else
        data = tensor->raw_data.data;
    if (data == tensor->raw_data.data)
        lasts = is_in_file(importer, data);
    if (size != 0)
        TRY(settle(importer, dtype, count, size, lasts, &data));
    *value = (struct graph_value){.name = value->name,
                                  .dtype = dtype,
                                  .has_shape = true,
                                  .shape = shape,
                                  .data = data,
                                  .data_size = size};
    return ESPY_OK;
}
