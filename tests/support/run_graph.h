// Runs a graph on a Vulkan device; espy_graph_evaluate (op/op.h) is the oracle for it.
#ifndef TESTS_SUPPORT_RUN_GRAPH_H_
#define TESTS_SUPPORT_RUN_GRAPH_H_

#include "api/runner.h"
#include "op/op.h"

// Opens the device that ESPY_TEST_DEVICE names (default: the best, lavapipe where there is no GPU),
// with the validation layer on unless ESPY_TEST_VALIDATION is "0". float16_storage keeps float16
// tensors in 16 bit even where the device would not by itself, so that their kernels are tested.
espy_status espy_test_open_device(const struct host *host, bool float16_storage,
                                  struct vk_device **device);

// The graph's inputs as sources; known: what has data is as good as a constant.
void espy_test_sources(const struct graph *graph, const struct tensor *inputs, bool known,
                       struct op_source *sources);

struct test_run_info {
    uint32_t stage_count, host_node_count, dispatch_count; // of the first segment
    uint32_t segment_count;
};
// Runs on the device; info may be NULL.
espy_status espy_test_run(const struct host *host, struct vk_device *device,
                          const struct graph *graph, const struct tensor *inputs,
                          struct arena *arena, struct tensor *outputs, struct test_run_info *info);

#endif // TESTS_SUPPORT_RUN_GRAPH_H_
