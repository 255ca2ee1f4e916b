// Runs a graph on a Vulkan device; espy_graph_evaluate (op/op.h) is the oracle for it.
#ifndef TESTS_SUPPORT_RUN_GRAPH_H_
#define TESTS_SUPPORT_RUN_GRAPH_H_

#include "api/runner.h"
#include "op/op.h"

// The device that ESPY_TEST_DEVICE names (default: the best, lavapipe where there is no GPU),
// with the validation layer on unless ESPY_TEST_VALIDATION is "0". ESPY_TEST_KERNELS=gpu takes the
// kernels of real GPUs whatever the device is, gpu-plain those without cooperative matrices, gpu-few
// those for devices with few registers.
struct vk_device_params espy_test_device_params(const struct host *host);
// Opens it, with new memory full of NaN (poison.h). float16_storage keeps float16 tensors in 16 bit
// even where the device would not by itself, so that their kernels are tested.
espy_status espy_test_open_device(const struct host *host, bool float16_storage,
                                  struct vk_device **device);

// The graph's inputs as sources; known: what has data is as good as a constant.
void espy_test_sources(const struct graph *graph, const struct tensor *inputs, bool known,
                       struct op_source *sources);

// The same of the types that the inputs have, with 1 for dimensions that are symbols.
void espy_test_type_sources(const struct graph *graph, struct op_source *sources);

// Computes every value of the graph by the references: values[graph->value_count], data from arena.
// inputs: one tensor per graph input.
espy_status espy_test_reference_values(const struct host *host, const struct graph *graph,
                                       const struct tensor *inputs, struct arena *arena,
                                       struct tensor *values);

// What a run took, all segments together.
struct test_run_info {
    uint32_t stage_count, dispatch_count; // a stage is a submit
    uint32_t segment_count;
    uint32_t host_node_count; // nodes that ended a stage because the device cannot run them
    uint32_t between_count;   // nodes that the host computed between segments
};
// Runs on the device; info may be NULL.
espy_status espy_test_run(const struct host *host, struct vk_device *device,
                          const struct graph *graph, const struct tensor *inputs,
                          struct arena *arena, struct tensor *outputs, struct test_run_info *info);
// Runs on the device and reads every value that lies in memory of its own, of all segments:
// values[graph->value_count], data NULL for the others.
espy_status espy_test_run_values(const struct host *host, struct vk_device *device,
                                 const struct graph *graph, const struct tensor *inputs,
                                 struct arena *arena, struct tensor *values);

#endif // TESTS_SUPPORT_RUN_GRAPH_H_
