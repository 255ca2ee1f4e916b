// What drivers say of the pipelines that they have compiled, in one set of terms.
#ifndef TESTS_SUPPORT_COMPILED_H_
#define TESTS_SUPPORT_COMPILED_H_

#include "vk/vk.h"

// Each is -1 where the driver does not say it.
struct compiled_summary {
    double registers;    // of each lane, in the driver's unit
    double scalars;      // registers of a subgroup
    double spilled;      // registers that did not fit and are kept elsewhere, of either kind
    double scratch_size; // bytes
    double shared_size;  // bytes of a workgroup's shared memory
    double code_size;    // bytes
    double instructions;
    double subgroups;    // that fit on a SIMD unit at once
    double latency;      // cycles of one subgroup, as the compiler estimates them
    double throughput;   // cycles that one subgroup keeps the unit busy, likewise
};

struct compiled_summary espy_test_compiled_summary(const struct vk_compiled *compiled);

#endif // TESTS_SUPPORT_COMPILED_H_
