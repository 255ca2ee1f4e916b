// How far what a device computes is from what the reference says.
#ifndef RUNTIME_API_COMPARE_H_
#define RUNTIME_API_COMPARE_H_

#include "plan/plan.h"

struct difference {
    double relative_l2;  // |device - reference| / |reference|, Euclidean; absolute when that is 0
    double absolute_max; // largest absolute difference
    uint64_t nonfinite_count; // elements where one is NaN or infinite and the other is not the same
};

struct difference espy_compare(const struct tensor *device, const struct tensor *reference);
// The largest relative_l2 that rounding alone explains.
double espy_compare_tolerance(espy_dtype dtype);

#endif // RUNTIME_API_COMPARE_H_
