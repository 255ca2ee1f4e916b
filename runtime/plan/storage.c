#include "plan/plan.h"

#include <string.h>

enum storage espy_storage_of(const struct caps *caps, espy_dtype dtype)
{
    switch (dtype) {
    case ESPY_FLOAT16:
        return caps->storage_f16 ? STORAGE_F16 : STORAGE_F32;
    case ESPY_FLOAT32:
    case ESPY_BFLOAT16:
    case ESPY_FLOAT64:
        return STORAGE_F32;
    case ESPY_UINT32:
        return STORAGE_U32;
    case ESPY_INT64:
    case ESPY_UINT64:
        return STORAGE_I64;
    default:
        return espy_dtype_is_float(dtype) ? STORAGE_F32 : STORAGE_I32;
    }
}

size_t espy_storage_size(enum storage storage)
{
    switch (storage) {
    case STORAGE_F16:
        return 2;
    case STORAGE_I64:
        return 8;
    case STORAGE_PACKED:
        return 1;
    default:
        return 4;
    }
}

// The host type whose elements are laid out just as the storage is.
static espy_dtype same_layout(enum storage storage, espy_dtype dtype)
{
    switch (storage) {
    case STORAGE_F32:
        return ESPY_FLOAT32;
    case STORAGE_F16:
        return ESPY_FLOAT16;
    case STORAGE_U32:
        return ESPY_UINT32;
    case STORAGE_I64:
        return dtype;
    case STORAGE_PACKED:
        return ESPY_UINT8;
    default:
        return ESPY_INT32;
    }
}

static void convert(const struct tensor *from, struct tensor *to)
{
    if (from->type.dtype == to->type.dtype) {
        memcpy(to->data, from->data, espy_tensor_size(from));
        return;
    }
    const bool floats = espy_dtype_is_float(to->type.dtype);
    for (size_t i = 0; i < from->count; i++) {
        if (floats)
            espy_tensor_set_number(to, i, espy_tensor_number(from, i));
        else
            espy_tensor_set_integer(to, i, espy_tensor_integer(from, i));
    }
}

void espy_storage_encode(enum storage storage, espy_dtype dtype, const void *host_elements,
                         size_t count, void *device_elements)
{
    void *elements; // only read below
    memcpy(&elements, &host_elements, sizeof(elements));
    const struct tensor from = {{.dtype = dtype}, count, elements};
    struct tensor to = {{.dtype = same_layout(storage, dtype)}, count, device_elements};
    convert(&from, &to);
}

void espy_storage_decode(enum storage storage, espy_dtype dtype, const void *device_elements,
                         size_t count, void *host_elements)
{
    void *elements; // only read below
    memcpy(&elements, &device_elements, sizeof(elements));
    const struct tensor from = {{.dtype = same_layout(storage, dtype)}, count, elements};
    struct tensor to = {{.dtype = dtype}, count, host_elements};
    convert(&from, &to);
}
