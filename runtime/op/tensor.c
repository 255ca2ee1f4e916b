#include "op/op.h"

#include <assert.h>
#include <string.h>

size_t espy_tensor_size(const struct tensor *tensor)
{
    return tensor->count * espy_dtype_size(tensor->type.dtype);
}

double espy_tensor_number(const struct tensor *tensor, size_t index)
{
    assert(index < tensor->count);
    const void *data = tensor->data;
    switch (tensor->type.dtype) {
    case ESPY_FLOAT32:
        return (double)((const float *)data)[index];
    case ESPY_FLOAT16:
        return (double)espy_half_to_float(((const uint16_t *)data)[index]);
    case ESPY_BFLOAT16:
        return (double)espy_bfloat16_to_float(((const uint16_t *)data)[index]);
    case ESPY_FLOAT64:
        return ((const double *)data)[index];
    case ESPY_UINT64:
        return (double)((const uint64_t *)data)[index];
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
    const void *data = tensor->data;
    switch (tensor->type.dtype) {
    case ESPY_INT8:
        return ((const int8_t *)data)[index];
    case ESPY_UINT8:
    case ESPY_BOOL:
        return ((const uint8_t *)data)[index];
    case ESPY_INT16:
        return ((const int16_t *)data)[index];
    case ESPY_UINT16:
        return ((const uint16_t *)data)[index];
    case ESPY_INT32:
        return ((const int32_t *)data)[index];
    case ESPY_UINT32:
        return ((const uint32_t *)data)[index];
    case ESPY_INT64:
    case ESPY_UINT64:
        return ((const int64_t *)data)[index];
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
        ((uint64_t *)data)[index] =
            value >= 9223372036854775808.0 && value < 18446744073709551616.0
                ? (uint64_t)value
                : (uint64_t)integer_of(value);
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
    case ESPY_BOOL:
        ((uint8_t *)data)[index] = value != 0;
        break;
    default:
        espy_tensor_set_number(tensor, index, (double)value);
    }
}
