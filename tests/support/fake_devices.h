// What devices of two kinds say of themselves, for plans that are made where there is no device:
// initializers of struct caps, without its braces, so that a test can add what it is about.
#ifndef TESTS_SUPPORT_FAKE_DEVICES_H_
#define TESTS_SUPPORT_FAKE_DEVICES_H_

#include "op/caps.h"

// A software driver like lavapipe.
// clang-format off
#define FAKE_CPU                                                                                   \
    .cpu = true, .subgroups = true, .subgroup_size = 8, .local_size = 8, .invocations_max = 1024,  \
    .shared_size = 32 << 10, .groups_max = {65535, 65535, 65535}, .buffer_alignment = 16,          \
    .buffer_range_max = 1 << 27, .texel_elements_max = 1 << 27

// A discrete GPU without cooperative matrices.
#define FAKE_GPU                                                                                   \
    .storage_f16 = true, .subgroups = true, .subgroup_size = 32, .local_size = 128,                \
    .invocations_max = 1024, .shared_size = 48 << 10, .groups_busy = 80,                           \
    .groups_max = {2147483647, 65535, 65535}, .buffer_alignment = 16,                              \
    .buffer_range_max = UINT32_MAX, .texel_elements_max = 1 << 27
// clang-format on

#endif // TESTS_SUPPORT_FAKE_DEVICES_H_
