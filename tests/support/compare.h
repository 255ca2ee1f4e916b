// Compares tensors as the tests judge them.
#ifndef TESTS_SUPPORT_COMPARE_H_
#define TESTS_SUPPORT_COMPARE_H_

#include "op/op.h"

struct comparison {
    double relative_l2;   // |actual - expected| / |expected|; absolute when expected is 0
    double relative_max;  // largest absolute difference / largest |expected|; absolute when 0
    size_t nonfinite;     // elements where one is NaN or infinite and the other not the same
    size_t worst;         // index of the largest difference, or of a non-finite mismatch
};

// Types and shapes must be equal; integers and bools are compared as numbers too.
void espy_test_compare(const struct tensor *actual, const struct tensor *expected,
                       struct comparison *result);
bool espy_test_close(const struct comparison *result, double tolerance);
// Writes what differs into buffer: the figures, the worst element's index and both values.
const char *espy_test_difference(const struct tensor *actual, const struct tensor *expected,
                                 const struct comparison *result, char *buffer, size_t size);

#endif // TESTS_SUPPORT_COMPARE_H_
