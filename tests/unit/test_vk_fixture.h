// A plan made by hand for the tests of runtime/vk: two kernels, every kind of binding and buffer,
// one stage or two with a host node between. Also a counting allocator, a log that counts, and a
// fake of memory that the host cannot reach.
//
//     w -(prepare)-> p = 2 w + 1          x -> y = 3 x + 5          z = p (texels) + y (texels)
#ifndef TESTS_UNIT_TEST_VK_FIXTURE_H_
#define TESTS_UNIT_TEST_VK_FIXTURE_H_

#include <criterion/criterion.h>

#include <math.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/graph.h"
#include "vk/vk.h"
#include "vk/vk_table.h"

// ---- shaders ------------------------------------------------------------------------------------

// Compiled with: glslangValidator --target-env vulkan1.2 -V x.comp, then spirv-opt -O --strip-debug
//
// layout(local_size_x = 64) in;
// layout(constant_id = 3) const uint BIAS = 0;
// layout(binding = 0) readonly buffer X { float x[]; };
// layout(binding = 1) writeonly buffer Y { float y[]; };
// layout(push_constant) uniform Push { uint count; float factor; } push;
// void main()
// {
//     if (gl_GlobalInvocationID.x < push.count)
//         y[gl_GlobalInvocationID.x] = x[gl_GlobalInvocationID.x] * push.factor + float(BIAS);
// }
//
// layout(local_size_x = 64) in;
// layout(binding = 0) uniform textureBuffer weights4;
// layout(binding = 1, r32f) readonly uniform imageBuffer x;
// layout(binding = 3) writeonly buffer Y { float y[]; };
// layout(push_constant) uniform Push { uint count; } push;
// void main()
// {
//     const int i = int(gl_GlobalInvocationID.x);
//     if (i < int(push.count))
//         y[i] = texelFetch(weights4, i / 4)[i % 4] + imageLoad(x, i).x;
// }
static const uint32_t scale_words[] = {
    0x07230203, 0x00010500, 0x0008000b, 0x00000036, 0x00000000, 0x00020011, 0x00000001, 0x0006000b,
    0x00000001, 0x4c534c47, 0x6474732e, 0x3035342e, 0x00000000, 0x0003000e, 0x00000000, 0x00000001,
    0x0009000f, 0x00000005, 0x00000004, 0x6e69616d, 0x00000000, 0x00000009, 0x00000011, 0x0000001e,
    0x00000024, 0x00060010, 0x00000004, 0x00000011, 0x00000040, 0x00000001, 0x00000001, 0x00040047,
    0x00000009, 0x0000000b, 0x0000001c, 0x00050048, 0x0000000f, 0x00000000, 0x00000023, 0x00000000,
    0x00050048, 0x0000000f, 0x00000001, 0x00000023, 0x00000004, 0x00030047, 0x0000000f, 0x00000002,
    0x00040047, 0x0000001b, 0x00000006, 0x00000004, 0x00040048, 0x0000001c, 0x00000000, 0x00000019,
    0x00050048, 0x0000001c, 0x00000000, 0x00000023, 0x00000000, 0x00030047, 0x0000001c, 0x00000002,
    0x00040047, 0x0000001e, 0x00000022, 0x00000000, 0x00040047, 0x0000001e, 0x00000021, 0x00000001,
    0x00040047, 0x00000021, 0x00000006, 0x00000004, 0x00040048, 0x00000022, 0x00000000, 0x00000018,
    0x00050048, 0x00000022, 0x00000000, 0x00000023, 0x00000000, 0x00030047, 0x00000022, 0x00000002,
    0x00040047, 0x00000024, 0x00000022, 0x00000000, 0x00040047, 0x00000024, 0x00000021, 0x00000000,
    0x00040047, 0x0000002f, 0x00000001, 0x00000003, 0x00040047, 0x00000035, 0x0000000b, 0x00000019,
    0x00020013, 0x00000002, 0x00030021, 0x00000003, 0x00000002, 0x00040015, 0x00000006, 0x00000020,
    0x00000000, 0x00040017, 0x00000007, 0x00000006, 0x00000003, 0x00040020, 0x00000008, 0x00000001,
    0x00000007, 0x0004003b, 0x00000008, 0x00000009, 0x00000001, 0x0004002b, 0x00000006, 0x0000000a,
    0x00000000, 0x00040020, 0x0000000b, 0x00000001, 0x00000006, 0x00030016, 0x0000000e, 0x00000020,
    0x0004001e, 0x0000000f, 0x00000006, 0x0000000e, 0x00040020, 0x00000010, 0x00000009, 0x0000000f,
    0x0004003b, 0x00000010, 0x00000011, 0x00000009, 0x00040015, 0x00000012, 0x00000020, 0x00000001,
    0x0004002b, 0x00000012, 0x00000013, 0x00000000, 0x00040020, 0x00000014, 0x00000009, 0x00000006,
    0x00020014, 0x00000017, 0x0003001d, 0x0000001b, 0x0000000e, 0x0003001e, 0x0000001c, 0x0000001b,
    0x00040020, 0x0000001d, 0x0000000c, 0x0000001c, 0x0004003b, 0x0000001d, 0x0000001e, 0x0000000c,
    0x0003001d, 0x00000021, 0x0000000e, 0x0003001e, 0x00000022, 0x00000021, 0x00040020, 0x00000023,
    0x0000000c, 0x00000022, 0x0004003b, 0x00000023, 0x00000024, 0x0000000c, 0x00040020, 0x00000027,
    0x0000000c, 0x0000000e, 0x0004002b, 0x00000012, 0x0000002a, 0x00000001, 0x00040020, 0x0000002b,
    0x00000009, 0x0000000e, 0x00040032, 0x00000006, 0x0000002f, 0x00000000, 0x0004002b, 0x00000006,
    0x00000033, 0x00000040, 0x0004002b, 0x00000006, 0x00000034, 0x00000001, 0x0006002c, 0x00000007,
    0x00000035, 0x00000033, 0x00000034, 0x00000034, 0x00050036, 0x00000002, 0x00000004, 0x00000000,
    0x00000003, 0x000200f8, 0x00000005, 0x00050041, 0x0000000b, 0x0000000c, 0x00000009, 0x0000000a,
    0x0004003d, 0x00000006, 0x0000000d, 0x0000000c, 0x00050041, 0x00000014, 0x00000015, 0x00000011,
    0x00000013, 0x0004003d, 0x00000006, 0x00000016, 0x00000015, 0x000500b0, 0x00000017, 0x00000018,
    0x0000000d, 0x00000016, 0x000300f7, 0x0000001a, 0x00000000, 0x000400fa, 0x00000018, 0x00000019,
    0x0000001a, 0x000200f8, 0x00000019, 0x00060041, 0x00000027, 0x00000028, 0x00000024, 0x00000013,
    0x0000000d, 0x0004003d, 0x0000000e, 0x00000029, 0x00000028, 0x00050041, 0x0000002b, 0x0000002c,
    0x00000011, 0x0000002a, 0x0004003d, 0x0000000e, 0x0000002d, 0x0000002c, 0x00040070, 0x0000000e,
    0x00000030, 0x0000002f, 0x0008000c, 0x0000000e, 0x00000031, 0x00000001, 0x00000032, 0x00000029,
    0x0000002d, 0x00000030, 0x00060041, 0x00000027, 0x00000032, 0x0000001e, 0x00000013, 0x0000000d,
    0x0003003e, 0x00000032, 0x00000031, 0x000200f9, 0x0000001a, 0x000200f8, 0x0000001a, 0x000100fd,
    0x00010038,
};

static const uint32_t texels_words[] = {
    0x07230203, 0x00010500, 0x0008000b, 0x0000003e, 0x00000000, 0x00020011, 0x00000001, 0x00020011,
    0x0000002e, 0x00020011, 0x0000002f, 0x0006000b, 0x00000001, 0x4c534c47, 0x6474732e, 0x3035342e,
    0x00000000, 0x0003000e, 0x00000000, 0x00000001, 0x000a000f, 0x00000005, 0x00000004, 0x6e69616d,
    0x00000000, 0x0000000c, 0x00000015, 0x00000023, 0x00000027, 0x00000033, 0x00060010, 0x00000004,
    0x00000011, 0x00000040, 0x00000001, 0x00000001, 0x00040047, 0x0000000c, 0x0000000b, 0x0000001c,
    0x00050048, 0x00000013, 0x00000000, 0x00000023, 0x00000000, 0x00030047, 0x00000013, 0x00000002,
    0x00040047, 0x00000020, 0x00000006, 0x00000004, 0x00040048, 0x00000021, 0x00000000, 0x00000019,
    0x00050048, 0x00000021, 0x00000000, 0x00000023, 0x00000000, 0x00030047, 0x00000021, 0x00000002,
    0x00040047, 0x00000023, 0x00000022, 0x00000000, 0x00040047, 0x00000023, 0x00000021, 0x00000003,
    0x00040047, 0x00000027, 0x00000022, 0x00000000, 0x00040047, 0x00000027, 0x00000021, 0x00000000,
    0x00040047, 0x00000033, 0x00000022, 0x00000000, 0x00040047, 0x00000033, 0x00000021, 0x00000001,
    0x00030047, 0x00000033, 0x00000018, 0x00040047, 0x0000003d, 0x0000000b, 0x00000019, 0x00020013,
    0x00000002, 0x00030021, 0x00000003, 0x00000002, 0x00040015, 0x00000006, 0x00000020, 0x00000001,
    0x00040015, 0x00000009, 0x00000020, 0x00000000, 0x00040017, 0x0000000a, 0x00000009, 0x00000003,
    0x00040020, 0x0000000b, 0x00000001, 0x0000000a, 0x0004003b, 0x0000000b, 0x0000000c, 0x00000001,
    0x0004002b, 0x00000009, 0x0000000d, 0x00000000, 0x00040020, 0x0000000e, 0x00000001, 0x00000009,
    0x0003001e, 0x00000013, 0x00000009, 0x00040020, 0x00000014, 0x00000009, 0x00000013, 0x0004003b,
    0x00000014, 0x00000015, 0x00000009, 0x0004002b, 0x00000006, 0x00000016, 0x00000000, 0x00040020,
    0x00000017, 0x00000009, 0x00000009, 0x00020014, 0x0000001b, 0x00030016, 0x0000001f, 0x00000020,
    0x0003001d, 0x00000020, 0x0000001f, 0x0003001e, 0x00000021, 0x00000020, 0x00040020, 0x00000022,
    0x0000000c, 0x00000021, 0x0004003b, 0x00000022, 0x00000023, 0x0000000c, 0x00090019, 0x00000025,
    0x0000001f, 0x00000005, 0x00000000, 0x00000000, 0x00000000, 0x00000001, 0x00000000, 0x00040020,
    0x00000026, 0x00000000, 0x00000025, 0x0004003b, 0x00000026, 0x00000027, 0x00000000, 0x0004002b,
    0x00000006, 0x0000002a, 0x00000004, 0x00040017, 0x0000002c, 0x0000001f, 0x00000004, 0x00090019,
    0x00000031, 0x0000001f, 0x00000005, 0x00000000, 0x00000000, 0x00000000, 0x00000002, 0x00000003,
    0x00040020, 0x00000032, 0x00000000, 0x00000031, 0x0004003b, 0x00000032, 0x00000033, 0x00000000,
    0x00040020, 0x00000039, 0x0000000c, 0x0000001f, 0x0004002b, 0x00000009, 0x0000003b, 0x00000040,
    0x0004002b, 0x00000009, 0x0000003c, 0x00000001, 0x0006002c, 0x0000000a, 0x0000003d, 0x0000003b,
    0x0000003c, 0x0000003c, 0x00050036, 0x00000002, 0x00000004, 0x00000000, 0x00000003, 0x000200f8,
    0x00000005, 0x00050041, 0x0000000e, 0x0000000f, 0x0000000c, 0x0000000d, 0x0004003d, 0x00000009,
    0x00000010, 0x0000000f, 0x0004007c, 0x00000006, 0x00000011, 0x00000010, 0x00050041, 0x00000017,
    0x00000018, 0x00000015, 0x00000016, 0x0004003d, 0x00000009, 0x00000019, 0x00000018, 0x0004007c,
    0x00000006, 0x0000001a, 0x00000019, 0x000500b1, 0x0000001b, 0x0000001c, 0x00000011, 0x0000001a,
    0x000300f7, 0x0000001e, 0x00000000, 0x000400fa, 0x0000001c, 0x0000001d, 0x0000001e, 0x000200f8,
    0x0000001d, 0x0004003d, 0x00000025, 0x00000028, 0x00000027, 0x00050087, 0x00000006, 0x0000002b,
    0x00000011, 0x0000002a, 0x0005005f, 0x0000002c, 0x0000002d, 0x00000028, 0x0000002b, 0x0005008b,
    0x00000006, 0x0000002f, 0x00000011, 0x0000002a, 0x0005004d, 0x0000001f, 0x00000030, 0x0000002d,
    0x0000002f, 0x0004003d, 0x00000031, 0x00000034, 0x00000033, 0x00050062, 0x0000002c, 0x00000036,
    0x00000034, 0x00000011, 0x00050051, 0x0000001f, 0x00000037, 0x00000036, 0x00000000, 0x00050081,
    0x0000001f, 0x00000038, 0x00000030, 0x00000037, 0x00060041, 0x00000039, 0x0000003a, 0x00000023,
    0x00000016, 0x00000011, 0x0003003e, 0x0000003a, 0x00000038, 0x000200f9, 0x0000001e, 0x000200f8,
    0x0000001e, 0x000100fd, 0x00010038,
};

static const struct shader scale_shader = {
    .name = "scale",
    .words = scale_words,
    .words_size = sizeof(scale_words),
    .push_size = 8,
    .spec_count = 1,
    .binding_count = 2,
    .spec_ids = {3},
    .bindings = {{"X", BINDING_BUFFER, false}, {"Y", BINDING_BUFFER, true}},
};

static const struct shader texels_shader = {
    .name = "texels",
    .words = texels_words,
    .words_size = sizeof(texels_words),
    .push_size = 4,
    .binding_count = 4,
    .bindings = {{"weights4", BINDING_UNIFORM_TEXELS, false},
                 {"x", BINDING_STORAGE_TEXELS, false},
                 {"", BINDING_UNUSED, false},
                 {"Y", BINDING_BUFFER, true}},
};

// ---- host ---------------------------------------------------------------------------------------

struct vk_test_host {
    struct host host;
    uint32_t errors, warnings;
    char error[512];
    bool refused;         // an info line said that a file is not used
    int64_t live;         // allocations not yet freed
    uint64_t allocations; // so far
    uint64_t fail_at;     // number of the allocation that fails; 0: none
};

static void vk_test_log(void *user, espy_log_level level, const char *message)
{
    struct vk_test_host *test = user;
    test->errors += level == ESPY_LOG_ERROR;
    test->warnings += level == ESPY_LOG_WARNING;
    if (level == ESPY_LOG_ERROR)
        snprintf(test->error, sizeof(test->error), "%s", message);
    test->refused = test->refused || strstr(message, "is not used") != NULL;
    if (getenv("ESPY_TEST_VERBOSE") != NULL)
        fprintf(stderr, "[%d] %s\n", (int)level, message);
}

static void *vk_test_realloc(void *user, void *pointer, size_t size)
{
    struct vk_test_host *test = user;
    if (size == 0) {
        test->live -= pointer != NULL;
        free(pointer);
        return NULL;
    }
    if (++test->allocations == test->fail_at)
        return NULL;
    test->live += pointer == NULL;
    return realloc(pointer, size);
}

static void vk_test_host_init(struct vk_test_host *test)
{
    const struct espy_context_params params = {.size = sizeof(params),
                                               .log = vk_test_log,
                                               .log_user = test,
                                               .log_level = ESPY_LOG_INFO,
                                               .realloc = vk_test_realloc,
                                               .realloc_user = test};
    *test = (struct vk_test_host){0};
    espy_host_init(&test->host, &params);
}

// ---- plan ---------------------------------------------------------------------------------------

enum { COUNT = 1003, BUFFER_SIZE = COUNT * 4, BUFFER_STRIDE = 4096 };
enum { BUFFER_X, BUFFER_Y, BUFFER_H, BUFFER_Z, BUFFER_W, BUFFER_P, BUFFER_COUNT };

struct scale_push {
    uint32_t count;
    float factor;
};

struct vk_test_plan {
    struct plan plan;
    struct graph graph;
    struct plan_buffer buffers[BUFFER_COUNT];
    struct plan_binding bindings[3][4];
    struct plan_dispatch prepare, dispatches[2];
    struct plan_batch batch;
    struct plan_stage stages[2];
    struct plan_host_node host_node;
    struct view views[BUFFER_COUNT];
    struct plan_io input, output;
    struct scale_push push[2];
    uint32_t bias[2], count;
    float weights[COUNT];
};

static struct view vk_test_view(uint32_t buffer)
{
    return (struct view){.buffer = buffer,
                         .dtype = ESPY_FLOAT32,
                         .storage = STORAGE_F32,
                         .rank = 1,
                         .dims = {COUNT},
                         .strides = {1}};
}

static struct plan_dispatch scale_dispatch(struct plan_binding *bindings, uint32_t from,
                                           uint32_t to, const struct scale_push *push,
                                           const uint32_t *bias)
{
    bindings[0] = (struct plan_binding){from, true, false, 0};
    bindings[1] = (struct plan_binding){to, false, true, 0};
    return (struct plan_dispatch){.shader = &scale_shader,
                                  .groups = {(COUNT + 63) / 64, 1, 1},
                                  .binding_count = 2,
                                  .bindings = bindings,
                                  .push = push,
                                  .push_size = sizeof(*push),
                                  .spec = bias,
                                  .spec_size = sizeof(*bias)};
}

// two_stages: a host node between the dispatches reads y and writes h, which takes y's part.
static void vk_test_plan_init(struct vk_test_plan *test, bool two_stages)
{
    *test = (struct vk_test_plan){.push = {{COUNT, 2.0F}, {COUNT, 3.0F}}, .bias = {1, 5}};
    test->count = COUNT;
    for (uint32_t i = 0; i < COUNT; i++)
        test->weights[i] = (float)i;
    for (uint32_t i = 0; i < BUFFER_COUNT; i++) {
        const bool arena = i < BUFFER_W;
        test->buffers[i] =
            (struct plan_buffer){.kind = arena ? PLAN_ARENA : PLAN_PERSISTENT,
                                 .storage = STORAGE_F32,
                                 .size = BUFFER_SIZE,
                                 .offset = (arena ? i : i - BUFFER_W) * BUFFER_STRIDE,
                                 .name = "value"};
        test->views[i] = vk_test_view(i);
    }
    struct plan_buffer *weights = &test->buffers[BUFFER_W];
    weights->kind = PLAN_CONSTANT;
    weights->dtype = ESPY_FLOAT32;
    weights->data = test->weights;
    weights->count = COUNT;
    test->prepare =
        scale_dispatch(test->bindings[0], BUFFER_W, BUFFER_P, &test->push[0], &test->bias[0]);
    test->dispatches[0] =
        scale_dispatch(test->bindings[1], BUFFER_X, BUFFER_Y, &test->push[1], &test->bias[1]);
    struct plan_binding *bindings = test->bindings[2];
    bindings[0] = (struct plan_binding){BUFFER_P, true, false, 0};
    bindings[1] = (struct plan_binding){two_stages ? BUFFER_H : BUFFER_Y, true, false, 0};
    bindings[2] = (struct plan_binding){BUFFER_P, false, false, 0};
    bindings[3] = (struct plan_binding){BUFFER_Z, false, true, 0};
    test->dispatches[1] = (struct plan_dispatch){.shader = &texels_shader,
                                                 .groups = {(COUNT + 63) / 64, 1, 1},
                                                 .binding_count = 4,
                                                 .bindings = bindings,
                                                 .push = &test->count,
                                                 .push_size = sizeof(test->count),
                                                 .barrier = true};
    test->batch = (struct plan_batch){0, 1};
    test->stages[0] = (struct plan_stage){GRAPH_NONE, 0, two_stages ? 1 : 2};
    test->stages[1] = (struct plan_stage){0, 1, 1};
    test->host_node = (struct plan_host_node){.input_count = 1,
                                              .output_count = 1,
                                              .inputs = &test->views[BUFFER_Y],
                                              .outputs = &test->views[BUFFER_H]};
    test->input.view = test->views[BUFFER_X];
    test->output.view = test->views[BUFFER_Z];
    test->graph.input_count = test->graph.output_count = 1;
    test->plan = (struct plan){.graph = &test->graph,
                               .buffer_count = BUFFER_COUNT,
                               .buffers = test->buffers,
                               .prepare_count = 1,
                               .prepare = &test->prepare,
                               .batch_count = 1,
                               .batches = &test->batch,
                               .dispatch_count = 2,
                               .dispatches = test->dispatches,
                               .stage_count = two_stages ? 2 : 1,
                               .stages = test->stages,
                               .host_node_count = two_stages ? 1 : 0,
                               .host_nodes = &test->host_node,
                               .input_count = 1,
                               .inputs = &test->input,
                               .output_count = 1,
                               .outputs = &test->output,
                               .arena_size = BUFFER_W * BUFFER_STRIDE,
                               .constants_size = 2 * BUFFER_STRIDE};
}

enum { LARGE_COUNT = 20000 };

// Weights so large that a device may read them where the host has them, within a page.
static inline void vk_test_plan_enlarge(struct vk_test_plan *test)
{
    static union {
        max_align_t alignment;
        float elements[LARGE_COUNT + 32];
    } memory;
    struct plan_buffer *weights = &test->buffers[BUFFER_W];
    float *elements = memory.elements + 16;
    while ((uintptr_t)elements % 64 != 0)
        elements++;
    for (uint32_t i = 0; i < LARGE_COUNT; i++)
        elements[i] = (float)i;
    weights->data = elements;
    weights->count = LARGE_COUNT;
    weights->size = LARGE_COUNT * sizeof(float);
    weights->transient = weights->lasting = true;
    test->plan.transient_size = weights->size;
}

// One run from input to output, host node included (h = -y); the output is checked.
static espy_status vk_test_run(struct vk_program *program, const struct vk_test_plan *test,
                               float seed)
{
    static float x[COUNT], y[COUNT], z[COUNT];
    const bool two_stages = test->plan.stage_count == 2;
    for (uint32_t i = 0; i < COUNT; i++)
        x[i] = seed + (float)i;
    TRY(espy_vk_program_write(program, &test->input.view, x));
    TRY(espy_vk_program_submit(program, 0));
    TRY(espy_vk_program_wait(program, UINT64_MAX));
    if (two_stages) {
        TRY(espy_vk_program_read(program, &test->views[BUFFER_Y], y));
        for (uint32_t i = 0; i < COUNT; i++)
            y[i] = -y[i];
        TRY(espy_vk_program_write(program, &test->views[BUFFER_H], y));
        TRY(espy_vk_program_submit(program, 1));
        TRY(espy_vk_program_wait(program, UINT64_MAX));
    }
    TRY(espy_vk_program_read(program, &test->output.view, z));
    for (uint32_t i = 0; i < COUNT; i++) {
        const float scaled = 3.0F * (seed + (float)i) + 5.0F;
        const float expected = 2.0F * (float)i + 1.0F + (two_stages ? -scaled : scaled);
        cr_assert_float_eq(z[i], expected, 1e-3, "element %u: %g, expected %g", i, (double)z[i],
                           (double)expected);
    }
    return ESPY_OK;
}

// ---- a device whose own memory the host cannot reach --------------------------------------------

// The real entries, for what is below. Criterion runs every test in a process of its own.
static struct vk_table discrete_real;

static VKAPI_ATTR void VKAPI_CALL discrete_memory(VkPhysicalDevice physical,
                                                  VkPhysicalDeviceMemoryProperties *memory)
{
    discrete_real.GetPhysicalDeviceMemoryProperties(physical, memory);
    memory->memoryTypeCount = 2;
    memory->memoryTypes[0] = (VkMemoryType){VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT, 0};
    memory->memoryTypes[1] =
        (VkMemoryType){VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT |
                           VK_MEMORY_PROPERTY_HOST_CACHED_BIT,
                       0};
}

static VKAPI_ATTR void VKAPI_CALL discrete_requirements(VkDevice device, VkBuffer buffer,
                                                        VkMemoryRequirements *needs)
{
    discrete_real.GetBufferMemoryRequirements(device, buffer, needs);
    needs->memoryTypeBits = 3;
}

static uint64_t discrete_unreachable[64]; // memory of type 0
static uint32_t discrete_unreachable_count;

static VKAPI_ATTR VkResult VKAPI_CALL discrete_allocate(VkDevice device,
                                                        const VkMemoryAllocateInfo *info,
                                                        const VkAllocationCallbacks *callbacks,
                                                        VkDeviceMemory *memory)
{
    VkMemoryAllocateInfo real = *info;
    real.memoryTypeIndex = 0;
    const VkResult result = discrete_real.AllocateMemory(device, &real, callbacks, memory);
    if (result == VK_SUCCESS && info->memoryTypeIndex == 0 && discrete_unreachable_count < 64)
        memcpy(&discrete_unreachable[discrete_unreachable_count++], memory, sizeof(*memory));
    return result;
}

static VKAPI_ATTR VkResult VKAPI_CALL discrete_map(VkDevice device, VkDeviceMemory memory,
                                                   VkDeviceSize offset, VkDeviceSize size,
                                                   VkMemoryMapFlags flags, void **data)
{
    for (uint32_t i = 0; i < discrete_unreachable_count; i++) {
        if (memcmp(&discrete_unreachable[i], &memory, sizeof(memory)) == 0)
            return VK_ERROR_MEMORY_MAP_FAILED;
    }
    return discrete_real.MapMemory(device, memory, offset, size, flags, data);
}

static VKAPI_ATTR void VKAPI_CALL discrete_free(VkDevice device, VkDeviceMemory memory,
                                                const VkAllocationCallbacks *callbacks)
{
    for (uint32_t i = 0; i < discrete_unreachable_count; i++) {
        if (memcmp(&discrete_unreachable[i], &memory, sizeof(memory)) == 0)
            discrete_unreachable[i] = 0;
    }
    discrete_real.FreeMemory(device, memory, callbacks);
}

static void discrete_hook(void *user, struct vk_table *table, enum vk_table_part part)
{
    (void)user;
    if (part == VK_TABLE_PART_INSTANCE) {
        discrete_real.GetPhysicalDeviceMemoryProperties = table->GetPhysicalDeviceMemoryProperties;
        table->GetPhysicalDeviceMemoryProperties = discrete_memory;
    } else if (part == VK_TABLE_PART_DEVICE) {
        discrete_real = *table;
        table->GetBufferMemoryRequirements = discrete_requirements;
        table->AllocateMemory = discrete_allocate;
        table->FreeMemory = discrete_free;
        table->MapMemory = discrete_map;
    }
}

#endif // TESTS_UNIT_TEST_VK_FIXTURE_H_
