#include "format/graph.h"

#include <stdio.h>
#include <string.h>

struct dtype_row {
    const char *name;
    uint32_t bits;
};

static const struct dtype_row rows[] = {
    [ESPY_DTYPE_NONE] = {"none", 0},
    [ESPY_FLOAT32] = {"float32", 32},
    [ESPY_FLOAT16] = {"float16", 16},
    [ESPY_BFLOAT16] = {"bfloat16", 16},
    [ESPY_FLOAT64] = {"float64", 64},
    [ESPY_INT8] = {"int8", 8},
    [ESPY_UINT8] = {"uint8", 8},
    [ESPY_INT16] = {"int16", 16},
    [ESPY_UINT16] = {"uint16", 16},
    [ESPY_INT32] = {"int32", 32},
    [ESPY_UINT32] = {"uint32", 32},
    [ESPY_INT64] = {"int64", 64},
    [ESPY_UINT64] = {"uint64", 64},
    [ESPY_BOOL] = {"bool", 8},
    [ESPY_INT4] = {"int4", 4},
    [ESPY_UINT4] = {"uint4", 4},
    [ESPY_INT2] = {"int2", 2},
    [ESPY_UINT2] = {"uint2", 2},
    [ESPY_FLOAT4E2M1] = {"float4e2m1", 4},
    [ESPY_FLOAT8E4M3FN] = {"float8e4m3fn", 8},
    [ESPY_FLOAT8E4M3FNUZ] = {"float8e4m3fnuz", 8},
    [ESPY_FLOAT8E5M2] = {"float8e5m2", 8},
    [ESPY_FLOAT8E5M2FNUZ] = {"float8e5m2fnuz", 8},
    [ESPY_FLOAT8E8M0] = {"float8e8m0", 8},
};
enum { ROW_COUNT = sizeof(rows) / sizeof(rows[0]) };

static const struct dtype_row *find_row(espy_dtype dtype)
{
    // Through int: whether the enum is signed is the compiler's choice.
    const int index = (int)dtype;
    return &rows[index > 0 && index < (int)ROW_COUNT ? index : 0];
}

const char *espy_dtype_name(espy_dtype dtype)
{
    return find_row(dtype)->name;
}

uint32_t espy_dtype_bits(espy_dtype dtype)
{
    return find_row(dtype)->bits;
}

size_t espy_dtype_size(espy_dtype dtype)
{
    return find_row(dtype)->bits / 8;
}

bool espy_dtype_data_size(espy_dtype dtype, size_t count, size_t *size)
{
    const uint32_t bits = espy_dtype_bits(dtype);
    if (bits >= 8)
        return espy_checked_mul(count, bits / 8, size);
    *size = bits == 0 ? 0 : count / (8 / bits) + (count % (8 / bits) != 0);
    return true;
}

espy_dtype espy_dtype_from_name(const char *name)
{
    for (int i = 1; i < (int)ROW_COUNT; i++)
        if (strcmp(rows[i].name, name) == 0)
            return (espy_dtype)i;
    return ESPY_DTYPE_NONE;
}

const struct float_form *espy_dtype_float_form(espy_dtype dtype)
{
    static const struct float_form forms[] = {
        [ESPY_FLOAT4E2M1] = {2, 1, 1, FLOAT_FINITE},
        [ESPY_FLOAT8E4M3FN] = {4, 3, 7, FLOAT_ONE_NAN},
        [ESPY_FLOAT8E4M3FNUZ] = {4, 3, 8, FLOAT_NAN_FOR_MINUS_ZERO},
        [ESPY_FLOAT8E5M2] = {5, 2, 15, FLOAT_IEEE},
        [ESPY_FLOAT8E5M2FNUZ] = {5, 2, 16, FLOAT_NAN_FOR_MINUS_ZERO},
        [ESPY_FLOAT8E8M0] = {8, 0, 127, FLOAT_POWER},
    };
    const int index = (int)dtype;
    return index >= ESPY_FLOAT4E2M1 && index <= ESPY_FLOAT8E8M0 ? &forms[index] : NULL;
}

bool espy_dtype_is_float(espy_dtype dtype)
{
    return dtype == ESPY_FLOAT32 || dtype == ESPY_FLOAT16 || dtype == ESPY_BFLOAT16 ||
           dtype == ESPY_FLOAT64 || espy_dtype_float_form(dtype) != NULL;
}

bool espy_dtype_is_signed(espy_dtype dtype)
{
    return dtype == ESPY_INT8 || dtype == ESPY_INT16 || dtype == ESPY_INT32 ||
           dtype == ESPY_INT64 || dtype == ESPY_INT4 || dtype == ESPY_INT2;
}

bool espy_dtype_is_narrow(espy_dtype dtype)
{
    return espy_dtype_bits(dtype) < 8 || espy_dtype_float_form(dtype) != NULL;
}

bool espy_shape_count(const struct shape *shape, size_t *count)
{
    // A zero anywhere makes the count zero, but the other dims must multiply without overflow all
    // the same: strides are made of them.
    size_t product = 1;
    bool empty = false;
    for (uint32_t i = 0; i < shape->rank; i++) {
        const int64_t dim = shape->dims[i];
        if (dim < 0 || (uint64_t)dim > SIZE_MAX)
            return false;
        if (dim == 0)
            empty = true;
        else if (!espy_checked_mul(product, (size_t)dim, &product))
            return false;
    }
    if ((uint64_t)product > INT64_MAX)
        return false;
    *count = empty ? 0 : product;
    return true;
}

bool espy_shape_equal(const struct shape *a, const struct shape *b)
{
    if (a->rank != b->rank)
        return false;
    for (uint32_t i = 0; i < a->rank; i++)
        if (a->dims[i] != b->dims[i])
            return false;
    return true;
}

const char *espy_shape_text(const struct shape *shape, char *buffer, size_t size)
{
    if (size == 0)
        return buffer;
    if (shape->rank == 0)
        snprintf(buffer, size, "scalar");
    size_t length = 0;
    for (uint32_t i = 0; i < shape->rank && length < size; i++) {
        const char *separator = i == 0 ? "" : "x";
        const int more = shape->dims[i] < 0
                             ? snprintf(buffer + length, size - length, "%s?", separator)
                             : snprintf(buffer + length, size - length, "%s%lld", separator,
                                        (long long)shape->dims[i]);
        length += more < 0 ? 0 : (size_t)more;
    }
    return buffer;
}
