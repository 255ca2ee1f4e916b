// What the operators on quantized integers share: their types' ranges, division as IEEE has it, and
// rounding with saturation. The same in GLSL is in shaders/include/quantize.glsl.
#ifndef RUNTIME_OPS_QUANTIZE_H_
#define RUNTIME_OPS_QUANTIZE_H_

#include <math.h>

#include "op/lower.h"
#include "op/op.h"

struct quantize_range {
    int32_t low, high;
};

static inline bool quantize_is_8_bit(espy_dtype dtype)
{
    return dtype == ESPY_INT8 || dtype == ESPY_UINT8;
}

static inline bool quantize_is_small(espy_dtype dtype)
{
    return quantize_is_8_bit(dtype) || dtype == ESPY_INT16 || dtype == ESPY_UINT16;
}

// What quantized tensors consist of: integers of at most 16 bits, floats of at most 8.
static inline bool quantize_is_quantized(espy_dtype dtype)
{
    return quantize_is_small(dtype) || (espy_dtype_is_narrow(dtype) && dtype != ESPY_FLOAT8E8M0);
}

static inline bool quantize_is_scale(espy_dtype dtype)
{
    return dtype == ESPY_FLOAT32 || dtype == ESPY_FLOAT16 || dtype == ESPY_BFLOAT16;
}

static inline struct quantize_range quantize_range_of(espy_dtype dtype)
{
    if (!quantize_is_quantized(dtype)) // sums of products, which have all their bits
        return (struct quantize_range){INT32_MIN, INT32_MAX};
    const int32_t count = (int32_t)1 << espy_dtype_bits(dtype);
    return espy_dtype_is_signed(dtype) ? (struct quantize_range){-count / 2, count / 2 - 1}
                                       : (struct quantize_range){0, count - 1};
}

// To the nearest even integer, plus zero, saturated. NaN counts as 0.
static inline int64_t quantize_round(double value, int64_t zero, struct quantize_range range)
{
    const double sum = (isnan(value) ? 0.0 : rint(value)) + (double)zero;
    return sum < range.low ? range.low : sum > range.high ? range.high : (int64_t)sum;
}

// A scale or zero point of one number: a scalar, or a list of one.
static inline bool quantize_is_single(const struct shape *shape)
{
    return shape->rank == 0 || (shape->rank == 1 && shape->dims[0] == 1);
}

// PARAM_F32 or PARAM_F16 of shaders/include/param.glsl.
static inline uint32_t quantize_param_kind(const struct view *view)
{
    return view->storage == STORAGE_F16 ? 2 : 1;
}

#endif // RUNTIME_OPS_QUANTIZE_H_
