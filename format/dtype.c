#include "format/graph.h"

#include <stdio.h>
#include <string.h>

struct dtype_row {
    const char *name;
    size_t size;
};

static const struct dtype_row rows[] = {
    [ESPY_DTYPE_NONE] = {"none", 0}, [ESPY_FLOAT32] = {"float32", 4},
    [ESPY_FLOAT16] = {"float16", 2}, [ESPY_BFLOAT16] = {"bfloat16", 2},
    [ESPY_FLOAT64] = {"float64", 8}, [ESPY_INT8] = {"int8", 1},
    [ESPY_UINT8] = {"uint8", 1},     [ESPY_INT16] = {"int16", 2},
    [ESPY_UINT16] = {"uint16", 2},   [ESPY_INT32] = {"int32", 4},
    [ESPY_UINT32] = {"uint32", 4},   [ESPY_INT64] = {"int64", 8},
    [ESPY_UINT64] = {"uint64", 8},   [ESPY_BOOL] = {"bool", 1},
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

size_t espy_dtype_size(espy_dtype dtype)
{
    return find_row(dtype)->size;
}

espy_dtype espy_dtype_from_name(const char *name)
{
    for (int i = 1; i < (int)ROW_COUNT; i++)
        if (strcmp(rows[i].name, name) == 0)
            return (espy_dtype)i;
    return ESPY_DTYPE_NONE;
}

bool espy_dtype_is_float(espy_dtype dtype)
{
    return dtype == ESPY_FLOAT32 || dtype == ESPY_FLOAT16 || dtype == ESPY_BFLOAT16 ||
           dtype == ESPY_FLOAT64;
}

bool espy_dtype_is_signed(espy_dtype dtype)
{
    return dtype == ESPY_INT8 || dtype == ESPY_INT16 || dtype == ESPY_INT32 || dtype == ESPY_INT64;
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
