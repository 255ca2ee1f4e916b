#include "api/compare.h"

#include <math.h>

// float16 and bfloat16 results have 11 and 8 bits.
double espy_compare_tolerance(espy_dtype dtype)
{
    return dtype == ESPY_FLOAT16 ? 2e-3 : dtype == ESPY_BFLOAT16 ? 2e-2 : 1e-4;
}

struct difference espy_compare(const struct tensor *device, const struct tensor *reference)
{
    struct difference found = {0};
    double difference = 0, magnitude = 0;
    if (!espy_shape_equal(&device->type.shape, &reference->type.shape)) {
        found.relative_l2 = found.absolute_max = HUGE_VAL; // one of them has found more
        return found;
    }
    for (size_t i = 0; i < device->count; i++) {
        const double d = espy_tensor_number(device, i), r = espy_tensor_number(reference, i);
        if (!isfinite(d) || !isfinite(r)) {
            found.nonfinite_count += !(d == r || (isnan(d) && isnan(r)));
            continue;
        }
        const double error = fabs(d - r);
        difference += error * error;
        magnitude += r * r;
        if (error > found.absolute_max)
            found.absolute_max = error;
    }
    found.relative_l2 = magnitude > 0 ? sqrt(difference / magnitude) : sqrt(difference);
    return found;
}
