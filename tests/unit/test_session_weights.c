// Goal: plans of one session for several sizes of picture keep one copy of the weights, and each
// gives what the references give. Method: a small network of convolutions and a MatMul, planned for
// sizes one after another over one list of weights; allocations of device memory are counted.
#include "test_graph_fixture.h"

#include "api/runner.h"
#include "support/compare.h"
#include "support/run_graph.h"
#include "support/test_host.h"
#include "vk/vk_table.h"

enum { CHANNELS = 48, PLANS = 4 };

static PFN_vkAllocateMemory real_allocate;
static uint64_t allocated_size;

static VKAPI_ATTR VkResult VKAPI_CALL count_allocate(VkDevice device,
                                                     const VkMemoryAllocateInfo *info,
                                                     const VkAllocationCallbacks *callbacks,
                                                     VkDeviceMemory *memory)
{
    allocated_size += info->allocationSize;
    return real_allocate(device, info, callbacks, memory);
}

static void counting_hook(void *user, struct vk_table *table, enum vk_table_part part)
{
    (void)user;
    if (part != VK_TABLE_PART_DEVICE)
        return;
    real_allocate = table->AllocateMemory;
    table->AllocateMemory = count_allocate;
}

static void make_network(struct graph *graph)
{
    static const double pads[4] = {1, 1, 1, 1};
    const uint32_t x = make_input(graph, "x", ESPY_FLOAT32, SHAPE(1, 3, -1, -2));
    const uint32_t first = make_weights(graph, "first", SHAPE(CHANNELS, 3, 3, 3));
    const uint32_t bias = make_weights(graph, "bias", SHAPE(CHANNELS));
    const uint32_t second = make_weights(graph, "second", SHAPE(CHANNELS, CHANNELS, 3, 3));
    const uint32_t third = make_weights(graph, "third", SHAPE(CHANNELS, CHANNELS, 1, 1));
    const uint32_t head = make_weights(graph, "head", SHAPE(CHANNELS, 1000));
    uint32_t y = MAKE(graph, "Conv", "a", x, first, bias);
    make_numbers(graph, "pads", pads, 4);
    y = MAKE(graph, "Conv", "b", y, second);
    make_numbers(graph, "pads", pads, 4);
    y = MAKE(graph, "Conv", "c", y, third, bias);
    y = MAKE(graph, "GlobalAveragePool", "d", y);
    y = MAKE(graph, "Flatten", "e", y);
    make_output(graph, MAKE(graph, "MatMul", "y", y, head));
}

static void expect_like_reference(struct runner *runner, const struct graph *graph,
                                  const struct tensor *input)
{
    const struct host *host = runner->host;
    struct arena arena;
    struct tensor expected = {.data = NULL}, actual = {.data = NULL};
    struct comparison result;
    const void *const data[1] = {input->data};
    espy_arena_init(&arena, host);
    cr_assert(espy_graph_evaluate(host, graph, input, &arena, &expected) == ESPY_OK);
    cr_assert(espy_runner_start(runner, data) == ESPY_OK);
    cr_assert(espy_runner_finish(runner, UINT64_MAX) == ESPY_OK);
    actual = expected;
    actual.data = espy_arena_alloc(&arena, espy_tensor_size(&expected));
    cr_assert(actual.data != NULL && espy_runner_read(runner, 0, actual.data) == ESPY_OK);
    espy_test_compare(&actual, &expected, &result);
    cr_expect(espy_test_close(&result, 1e-4), "relative L2 %g", result.relative_l2);
    espy_arena_finish(&arena);
}

static struct tensor make_picture(struct arena *arena, int64_t side)
{
    struct tensor tensor = {.type = {ESPY_FLOAT32, *SHAPE(1, 3, side, side + 1)}};
    cr_assert(espy_shape_count(&tensor.type.shape, &tensor.count));
    tensor.data = espy_arena_alloc(arena, espy_tensor_size(&tensor));
    for (size_t i = 0; i < tensor.count; i++)
        espy_tensor_set_number(&tensor, i, (double)(i % 23) / 23 - 0.4);
    return tensor;
}

Test(session_weights, plans_for_several_sizes_keep_one_copy)
{
    static const int64_t sides[PLANS] = {24, 40, 8, 32}; // the same kernels suit all
    struct test_host test;
    struct graph graph;
    struct vk_device *device = NULL;
    struct vk_weights *weights = NULL;
    struct runner *runners[PLANS] = {NULL};
    struct tensor inputs[PLANS];
    espy_test_host_init(&test);
    const struct vk_device_params params = {
        .host = &test.host, .validation = true, .hook = counting_hook};
    cr_assert(espy_vk_device_create(&params, &device) == ESPY_OK, "%s", test.last_error);
    cr_assert(espy_vk_weights_create(device, &weights) == ESPY_OK);
    make_graph(&graph, &test.host);
    make_network(&graph);
    for (uint32_t i = 0; i < PLANS; i++) {
        inputs[i] = make_picture(&graph.arena, sides[i]);
        const struct runner_params runner = {.host = &test.host,
                                             .device = device,
                                             .graph = &graph,
                                             .inputs = &inputs[i].type,
                                             .weights = weights};
        allocated_size = 0;
        cr_assert(espy_runner_create(&runner, &runners[i]) == ESPY_OK, "%s", test.last_error);
        const struct plan *plan = &runners[i]->first->plan;
        const uint64_t kept = allocated_size - plan->arena_size;
        if (i == 0)
            cr_expect_geq(kept, plan->constants_size);
        else // a kernel may have been chosen for the size, but not for all of them
            cr_expect_lt(kept, plan->constants_size / 2, "%lld: %llu of %llu bytes are new",
                         (long long)sides[i], (unsigned long long)kept,
                         (unsigned long long)plan->constants_size);
    }
    espy_runner_destroy(&runners[0]); // the one that brought most of them
    for (uint32_t i = 1; i < PLANS; i++)
        expect_like_reference(runners[i], &graph, &inputs[i]);
    for (uint32_t i = 1; i < PLANS; i++)
        espy_runner_destroy(&runners[i]);
    espy_vk_weights_destroy(&weights);
    cr_expect(espy_vk_device_validation_count(device) == 0, "%s", test.last_error);
    espy_vk_device_destroy(&device);
    espy_graph_finish(&graph);
    cr_expect(test.live_count == 0, "%zu allocations are not freed", test.live_count);
}
