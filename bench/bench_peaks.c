#include "bench_peaks.h"

#include <time.h>

#include "format/graph.h"
#include "shaders/peak_copy.spv.h"
#include "shaders/peak_fma.spv.h"

enum {
    RUNS = 5,
    LOCAL_SIZE = 64, // of both kernels
    TRIPS = 2048,
    TRIP_OPERATIONS = 128,
    GROUPS_MAX = 65535,
    COPY_SIZE = 64 << 20,
    COPY_RUN = 16
};
static const double MS_ENOUGH = 20; // a run that takes this long is not made of its submit

double espy_bench_now_ms(void)
{
    struct timespec now;
    (void)timespec_get(&now, TIME_UTC);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

// A plan of one dispatch on one or two buffers of the same size.
struct lone {
    struct graph graph;
    struct plan plan;
    struct plan_buffer buffers[2];
    struct plan_binding bindings[2];
    struct plan_dispatch dispatch;
    struct plan_stage stage;
};

static void lone_init(struct lone *lone, const struct shader *shader, uint64_t size,
                      uint32_t groups)
{
    const uint32_t count = shader->binding_count;
    *lone = (struct lone){.stage = {GRAPH_NONE, 0, 1}};
    for (uint32_t b = 0; b < count; b++) {
        lone->buffers[b] = (struct plan_buffer){.kind = PLAN_ARENA,
                                                .storage = STORAGE_F32,
                                                .size = size,
                                                .offset = b * size,
                                                .name = "peak"};
        lone->bindings[b] = (struct plan_binding){b, b + 1 < count, b + 1 == count, size};
    }
    lone->dispatch = (struct plan_dispatch){.shader = shader,
                                            .groups = {groups, 1, 1},
                                            .binding_count = count,
                                            .bindings = lone->bindings};
    lone->plan = (struct plan){.graph = &lone->graph,
                               .buffer_count = count,
                               .buffers = lone->buffers,
                               .dispatch_count = 1,
                               .dispatches = &lone->dispatch,
                               .stage_count = 1,
                               .stages = &lone->stage,
                               .arena_size = count * size};
}

static espy_status best_ms(struct vk_device *device, const struct lone *lone, double *best)
{
    struct vk_program *program = NULL;
    espy_status status = espy_vk_program_create(device, &lone->plan, NULL, &program);
    *best = 1e30;
    for (int i = 0; i <= RUNS && status == ESPY_OK; i++) { // the first one compiles
        double seconds = 0;
        status = espy_vk_program_time(program, 0, 1, &seconds);
        *best = i > 0 && seconds * 1e3 < *best ? seconds * 1e3 : *best;
    }
    espy_vk_program_destroy(&program);
    return status;
}

espy_status espy_bench_peaks(struct vk_device *device, struct peaks *peaks)
{
    const struct peak_fma_push fma = {.trips = TRIPS, .factor = 0.999F, .term = 1e-3F};
    const struct peak_copy_push copy = {.count = COPY_SIZE / 16};
    struct lone lone;
    double ms = 0;
    for (uint32_t groups = 16; ms < MS_ENOUGH && groups <= GROUPS_MAX; groups *= 2) {
        lone_init(&lone, peak_fma_shaders.variants[VARIANT_NONE], 16, groups);
        lone.dispatch.push = &fma;
        lone.dispatch.push_size = sizeof(fma);
        TRY(best_ms(device, &lone, &ms));
        peaks->gflops = (double)groups * LOCAL_SIZE * TRIPS * TRIP_OPERATIONS / ms * 1e-6;
    }
    const bool texels = espy_vk_device_caps(device)->texel_elements_max >= copy.count;
    lone_init(&lone, peak_copy_shaders.variants[texels ? VARIANT_T32 : VARIANT_F32], COPY_SIZE,
              COPY_SIZE / 16 / LOCAL_SIZE / COPY_RUN);
    lone.dispatch.push = &copy;
    lone.dispatch.push_size = sizeof(copy);
    TRY(best_ms(device, &lone, &ms));
    peaks->gbytes = 2.0 * COPY_SIZE / ms * 1e-6;
    return ESPY_OK;
}
