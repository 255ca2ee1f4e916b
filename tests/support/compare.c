#include "support/compare.h"

#include <math.h>
#include <stdio.h>

void espy_test_compare(const struct tensor *actual, const struct tensor *expected,
                       struct comparison *result)
{
    *result = (struct comparison){0};
    double difference = 0, magnitude = 0, largest = 0, worst = -1;
    for (size_t i = 0; i < expected->count; i++) {
        const double a = espy_tensor_number(actual, i), e = espy_tensor_number(expected, i);
        if (!isfinite(a) || !isfinite(e)) {
            if (a == e || (isnan(a) && isnan(e)))
                continue;
            result->nonfinite++;
            result->worst = i;
            worst = INFINITY;
            continue;
        }
        const double error = fabs(a - e);
        difference += error * error;
        magnitude += e * e;
        largest = fmax(largest, fabs(e));
        result->relative_max = fmax(result->relative_max, error);
        if (error > worst) {
            worst = error;
            result->worst = i;
        }
    }
    result->relative_l2 = magnitude > 0 ? sqrt(difference / magnitude) : sqrt(difference);
    if (largest > 0)
        result->relative_max /= largest;
}

bool espy_test_close(const struct comparison *result, double tolerance)
{
    // A single element may be further off than the norm, but not by much.
    return result->nonfinite == 0 && result->relative_l2 <= tolerance &&
           result->relative_max <= 4 * tolerance;
}

const char *espy_test_difference(const struct tensor *actual, const struct tensor *expected,
                                 const struct comparison *result, char *buffer, size_t size)
{
    if (expected->count == 0)
        return "no elements";
    snprintf(buffer, size,
             "relative L2 %.3g, relative max %.3g, %zu non-finite; worst at %zu of %zu: "
             "%.9g, expected %.9g", result->relative_l2, result->relative_max, result->nonfinite,
             result->worst, expected->count, espy_tensor_number(actual, result->worst),
             espy_tensor_number(expected, result->worst));
    return buffer;
}
