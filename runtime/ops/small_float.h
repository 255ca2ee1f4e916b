// What kernels that round to floats below 16 bits are told of them
// (shaders/include/small_float.glsl).
#ifndef RUNTIME_OPS_SMALL_FLOAT_H_
#define RUNTIME_OPS_SMALL_FLOAT_H_

#include <string.h>

#include "op/op.h"
#include "shaders/include/small_float_codes.glsl"

_Static_assert(SMALL_IEEE == FLOAT_IEEE, "the kernels' codes are the host's");
_Static_assert(SMALL_ONE_NAN == FLOAT_ONE_NAN, "the kernels' codes are the host's");
_Static_assert(SMALL_NAN_FOR_MINUS_ZERO == FLOAT_NAN_FOR_MINUS_ZERO,
               "the kernels' codes are the host's");
_Static_assert(SMALL_FINITE == FLOAT_FINITE, "the kernels' codes are the host's");

// spec: a struct <kernel>_spec *; dtype: has a float form, but not that of powers of two.
#define SMALL_FLOAT_SPEC(spec, dtype, saturates)                          \
    do {                                                                  \
        const struct float_form *form_of_ = espy_dtype_float_form(dtype); \
        (spec)->small_special = (uint32_t)form_of_->special;              \
        (spec)->small_mantissa_bits = (uint32_t)form_of_->mantissa_bits;  \
        (spec)->small_exponent_min = 1 - form_of_->bias;                  \
        (spec)->small_largest = small_float_largest(form_of_);            \
        (spec)->small_saturate = (saturates);                             \
    } while (0)

// The bits of the largest number as a float32.
static inline uint32_t small_float_largest(const struct float_form *form)
{
    const double beyond = 1e9; // what any of the forms saturates
    const float value =
        (float)espy_small_to_number(form, espy_number_to_small(form, beyond, true, FLOAT_NEAREST));
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

#endif // RUNTIME_OPS_SMALL_FLOAT_H_
