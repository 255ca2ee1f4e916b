#include "op/op.h"

#include <assert.h>
#include <string.h>

size_t espy_tensor_size(const struct tensor *tensor)
{
    size_t size = 0;
    espy_dtype_data_size(tensor->type.dtype, tensor->count, &size); // cannot overflow: it is there
    return size;
}

// The bits of an element of a type of at most 8, which may be a part of a byte.
static uint8_t get_bits(const struct tensor *tensor, size_t index)
{
    const uint32_t bits = espy_dtype_bits(tensor->type.dtype), per_byte = 8 / bits;
    const uint8_t byte = ((const uint8_t *)tensor->data)[index / per_byte];
    return (uint8_t)(byte >> index % per_byte * bits & ((1u << bits) - 1));
}

static void set_bits(struct tensor *tensor, size_t index, uint8_t value)
{
    const uint32_t bits = espy_dtype_bits(tensor->type.dtype), per_byte = 8 / bits;
    const uint32_t shift = (uint32_t)(index % per_byte) * bits, mask = ((1u << bits) - 1) << shift;
    uint8_t *byte = (uint8_t *)tensor->data + index / per_byte;
    *byte = (uint8_t)((*byte & ~mask) | ((uint32_t)value << shift & mask));
}

void espy_tensor_move(struct tensor *to, size_t to_index, const struct tensor *from,
                      size_t from_index, size_t count)
{
    const size_t size = espy_dtype_size(from->type.dtype);
    if (size == 0)
        for (size_t i = 0; i < count; i++)
            set_bits(to, to_index + i, get_bits(from, from_index + i));
    else if (count > 0)
        memcpy((char *)to->data + to_index * size, (const char *)from->data + from_index * size,
               count * size);
}

// Elements of a weight may lie anywhere in the file that it came from.
#define LOAD(type, tensor, index)                                                       \
    (*(type *)memcpy(&(type){0}, (const char *)(tensor)->data + (index) * sizeof(type), \
                     sizeof(type)))

double espy_tensor_number(const struct tensor *tensor, size_t index)
{
    assert(index < tensor->count);
    switch (tensor->type.dtype) {
    case ESPY_FLOAT32:
        return (double)LOAD(float, tensor, index);
    case ESPY_FLOAT16:
        return (double)espy_half_to_float(LOAD(uint16_t, tensor, index));
    case ESPY_BFLOAT16:
        return (double)espy_bfloat16_to_float(LOAD(uint16_t, tensor, index));
    case ESPY_FLOAT64:
        return LOAD(double, tensor, index);
    case ESPY_UINT64:
        return (double)LOAD(uint64_t, tensor, index);
    case ESPY_FLOAT4E2M1:
    case ESPY_FLOAT8E4M3FN:
    case ESPY_FLOAT8E4M3FNUZ:
    case ESPY_FLOAT8E5M2:
    case ESPY_FLOAT8E5M2FNUZ:
    case ESPY_FLOAT8E8M0:
        return espy_small_to_number(espy_dtype_float_form(tensor->type.dtype),
                                    get_bits(tensor, index));
    default:
        return (double)espy_tensor_integer(tensor, index);
    }
}

// C leaves the conversion of a double out of range undefined; here it saturates.
static int64_t integer_of(double value)
{
    if (value >= 9223372036854775808.0)
        return INT64_MAX;
    if (value < -9223372036854775808.0)
        return INT64_MIN;
    return value == value ? (int64_t)value : 0;
}

int64_t espy_tensor_integer(const struct tensor *tensor, size_t index)
{
    assert(index < tensor->count);
    switch (tensor->type.dtype) {
    case ESPY_INT8:
        return LOAD(int8_t, tensor, index);
    case ESPY_UINT8:
    case ESPY_BOOL:
        return LOAD(uint8_t, tensor, index);
    case ESPY_INT16:
        return LOAD(int16_t, tensor, index);
    case ESPY_UINT16:
        return LOAD(uint16_t, tensor, index);
    case ESPY_INT32:
        return LOAD(int32_t, tensor, index);
    case ESPY_UINT32:
        return LOAD(uint32_t, tensor, index);
    case ESPY_INT64:
    case ESPY_UINT64:
        return LOAD(int64_t, tensor, index);
    case ESPY_UINT4:
    case ESPY_UINT2:
        return get_bits(tensor, index);
    case ESPY_INT4:
        return (get_bits(tensor, index) ^ 8) - 8;
    case ESPY_INT2:
        return (get_bits(tensor, index) ^ 2) - 2;
    default:
        return integer_of(espy_tensor_number(tensor, index));
    }
}

void espy_tensor_set_number(struct tensor *tensor, size_t index, double value)
{
    assert(index < tensor->count);
    void *data = tensor->data;
    switch (tensor->type.dtype) {
    case ESPY_FLOAT32:
        ((float *)data)[index] = (float)value;
        break;
    case ESPY_FLOAT16:
        ((uint16_t *)data)[index] = espy_float_to_half((float)value);
        break;
    case ESPY_BFLOAT16:
        ((uint16_t *)data)[index] = espy_float_to_bfloat16((float)value);
        break;
    case ESPY_FLOAT64:
        ((double *)data)[index] = value;
        break;
    case ESPY_BOOL:
        ((uint8_t *)data)[index] = value != 0;
        break;
    case ESPY_UINT64:
        ((uint64_t *)data)[index] = value >= 9223372036854775808.0 && value < 18446744073709551616.0
                                        ? (uint64_t)value
                                        : (uint64_t)integer_of(value);
        break;
    case ESPY_FLOAT4E2M1:
    case ESPY_FLOAT8E4M3FN:
    case ESPY_FLOAT8E4M3FNUZ:
    case ESPY_FLOAT8E5M2:
    case ESPY_FLOAT8E5M2FNUZ:
    case ESPY_FLOAT8E8M0:
        espy_tensor_set_small(tensor, index, value, false, FLOAT_NEAREST);
        break;
    default:
        espy_tensor_set_integer(tensor, index, integer_of(value));
    }
}

void espy_tensor_set_integer(struct tensor *tensor, size_t index, int64_t value)
{
    assert(index < tensor->count);
    void *data = tensor->data;
    switch (tensor->type.dtype) {
    case ESPY_INT8:
    case ESPY_UINT8:
        ((uint8_t *)data)[index] = (uint8_t)value;
        break;
    case ESPY_INT16:
    case ESPY_UINT16:
        ((uint16_t *)data)[index] = (uint16_t)value;
        break;
    case ESPY_INT32:
    case ESPY_UINT32:
        ((uint32_t *)data)[index] = (uint32_t)value;
        break;
    case ESPY_INT64:
    case ESPY_UINT64:
        ((int64_t *)data)[index] = value;
        break;
    case ESPY_INT4:
    case ESPY_UINT4:
    case ESPY_INT2:
    case ESPY_UINT2:
        set_bits(tensor, index, (uint8_t)value);
        break;
    case ESPY_BOOL:
        ((uint8_t *)data)[index] = value != 0;
        break;
    default:
        espy_tensor_set_number(tensor, index, (double)value);
    }
}

void espy_tensor_set_small(struct tensor *tensor, size_t index, double value, bool saturate,
                           enum float_rounding rounding)
{
    set_bits(
        tensor, index,
        espy_number_to_small(espy_dtype_float_form(tensor->type.dtype), value, saturate, rounding));
}
