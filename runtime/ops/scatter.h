// What ScatterElements and ScatterND share: how an update is joined with what is there already.
#ifndef RUNTIME_OPS_SCATTER_H_
#define RUNTIME_OPS_SCATTER_H_

#include <string.h>

#include "op/lower.h"
#include "op/op.h"
#include "shaders/include/scatter_codes.glsl"

// All loops of one invocation together stop silently after 65535 rounds on some software drivers,
// so more updates than this take several dispatches.
enum { SCATTER_TRIPS_MAX = 60000 };

static const char *const scatter_choices[] = {"none", "add", "mul", "max", "min", NULL};

#define SCATTER_REDUCTION_ATTR(owner)                                                             \
    {                                                                                             \
        .name = "reduction", .type = OP_ENUM, .offset = offsetof(owner, reduction),               \
        .fallback = SCATTER_NONE, .choices = scatter_choices,                                     \
        .help = "how an update is joined with what is there; none: the last update stands"        \
    }

static inline double scatter_join_numbers(int reduction, double there, double update)
{
    switch (reduction) {
    case SCATTER_ADD:
        return there + update;
    case SCATTER_MUL:
        return there * update;
    case SCATTER_MAX:
        return update > there || update != update ? update : there;
    default:
        return update < there || update != update ? update : there;
    }
}

static inline int64_t scatter_join_integers(int reduction, bool is_signed, int64_t there,
                                            int64_t update)
{
    // With the top bit turned, unsigned order is signed order.
    const uint64_t turn = is_signed ? UINT64_C(1) << 63 : 0;
    const bool grows = ((uint64_t)update ^ turn) > ((uint64_t)there ^ turn);
    switch (reduction) {
    case SCATTER_ADD:
        return (int64_t)((uint64_t)there + (uint64_t)update);
    case SCATTER_MUL:
        return (int64_t)((uint64_t)there * (uint64_t)update);
    case SCATTER_MAX:
        return grows ? update : there;
    default:
        return grows ? there : update;
    }
}

// y[at] = y[at] joined with updates[i].
static inline void scatter_element(int reduction, struct tensor *y, size_t at,
                                   const struct tensor *updates, size_t i)
{
    const size_t size = espy_dtype_size(y->type.dtype);
    if (reduction == SCATTER_NONE)
        memcpy((char *)y->data + at * size, (const char *)updates->data + i * size, size);
    else if (espy_dtype_is_float(y->type.dtype))
        espy_tensor_set_number(y, at,
                               scatter_join_numbers(reduction, espy_tensor_number(y, at),
                                                    espy_tensor_number(updates, i)));
    else
        espy_tensor_set_integer(
            y, at,
            scatter_join_integers(reduction, espy_dtype_is_signed(y->type.dtype),
                                  espy_tensor_integer(y, at), espy_tensor_integer(updates, i)));
}

// The specialization constant WIDTH of scatter.glsl.
static inline uint32_t scatter_width(espy_dtype dtype)
{
    return dtype == ESPY_BOOL ? 0 : (uint32_t)espy_dtype_size(dtype);
}

#endif // RUNTIME_OPS_SCATTER_H_
