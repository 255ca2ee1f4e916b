// Compiling on a second core.
//
// Mesa's software driver makes machine code of a pipeline when it is first dispatched, on the one
// thread that runs the queue, which takes most of a first run. What it has made it keeps on disk,
// by content, where every device finds it. So a second device, on a thread of its own, dispatches
// no workgroups with the pipelines that the first run comes to last, while the program's device is
// at the first ones. What ran in an earlier process is there already (vk_known.c).
//
// What fails here is compiled where it is used. The application's callbacks may be for its own
// threads only: this device allocates with C's realloc and says nothing.
#include "vk/vk_internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum {
    PIPELINES_MIN = 4,   // below, making a device takes what can be gained
    NAME_SIZE_MAX = 16,
    BUFFER_SIZE = 256    // no dispatch looks at it, and every alignment divides it
};

struct vk_ahead {
    struct vk_thread thread;
    atomic_bool stop;
    char name[NAME_SIZE_MAX]; // of the device
    bool float16_storage;
    const struct plan *plan;
    uint32_t count;
    const struct plan_dispatch **dispatches; // one for each pipeline, in the order of first use
};

static void list_missing(struct vk_ahead *ahead, struct vk_device *device)
{
    const struct plan *plan = ahead->plan;
    uint32_t count = 0;
    for (uint32_t i = 0; i < plan->dispatch_count; i++) {
        const struct plan_dispatch *dispatch = &plan->dispatches[i];
        bool listed = espy_vk_pipelines_has(device, dispatch);
        for (uint32_t k = 0; k < count && !listed; k++)
            listed = espy_plan_same_pipeline(ahead->dispatches[k], dispatch);
        if (!listed)
            ahead->dispatches[count++] = dispatch;
    }
    for (uint32_t i = 0; i < count; i++)
        if (!espy_vk_known_has(device, ahead->dispatches[i]))
            ahead->dispatches[ahead->count++] = ahead->dispatches[i];
}

// A plan of one dispatch, with buffers that are as the driver must take them to be and no work.
struct empty {
    struct plan plan;
    struct plan_stage stage;
    struct plan_dispatch dispatch;
    struct plan_binding bindings[SHADER_BINDINGS_MAX];
    struct plan_buffer buffers[SHADER_BINDINGS_MAX];
    struct vk_program *program; // NULL: it could not be made
};

static void empty_init(struct empty *empty, struct vk_device *device, const struct plan *from,
                       const struct plan_dispatch *dispatch)
{
    const uint32_t count = dispatch->binding_count;
    assert(count <= SHADER_BINDINGS_MAX);
    *empty = (struct empty){.stage = {.host_node = GRAPH_NONE, .count = 1}, .dispatch = *dispatch};
    for (uint32_t i = 0; i < count; i++) {
        empty->bindings[i] = dispatch->bindings[i];
        empty->buffers[i] =
            (struct plan_buffer){.kind = PLAN_ARENA,
                                 .storage = from->buffers[empty->bindings[i].buffer].storage,
                                 .size = BUFFER_SIZE,
                                 .offset = (uint64_t)i * BUFFER_SIZE};
        empty->bindings[i].buffer = i;
    }
    memset(empty->dispatch.groups, 0, sizeof(empty->dispatch.groups));
    empty->dispatch.bindings = empty->bindings;
    empty->plan = (struct plan){.buffer_count = count,
                                .buffers = empty->buffers,
                                .dispatch_count = 1,
                                .dispatches = &empty->dispatch,
                                .stage_count = 1,
                                .stages = &empty->stage,
                                .arena_size = (uint64_t)count * BUFFER_SIZE};
    if (espy_vk_program_create(device, &empty->plan, NULL, &empty->program) != ESPY_OK)
        empty->program = NULL;
}

// From the last on, so that both compile the same one at most once, should this thread be late; and
// half of them. The next pipeline is made while one is compiled.
static void compile_all(void *user)
{
    struct vk_ahead *ahead = user;
    struct host host;
    struct vk_device *device = NULL;
    struct empty turns[2] = {{.program = NULL}, {.program = NULL}};
    espy_host_init(&host, NULL);
    const struct vk_device_params params = {
        .host = &host, .name = ahead->name, .float16_storage = ahead->float16_storage};
    if (espy_vk_device_create(&params, &device) != ESPY_OK)
        return;
    for (uint32_t i = ahead->count; i > ahead->count / 2 && !atomic_load(&ahead->stop); i--) {
        struct empty *now = &turns[i % 2], *before = &turns[(i + 1) % 2];
        empty_init(now, device, ahead->plan, ahead->dispatches[i - 1]);
        espy_vk_program_destroy(&before->program); // waits
        if (now->program != NULL)
            (void)espy_vk_program_submit(now->program, 0);
    }
    espy_vk_program_destroy(&turns[0].program);
    espy_vk_program_destroy(&turns[1].program);
    espy_vk_device_destroy(&device);
}

static void ahead_free(const struct host *host, struct vk_ahead *ahead)
{
    espy_free(host, (void *)ahead->dispatches);
    espy_free(host, ahead);
}

espy_status espy_vk_ahead_start(struct vk_device *device, const struct plan *plan,
                                struct vk_ahead **result)
{
    const struct host *host = &device->vk.host;
    const uint32_t most = plan->dispatch_count;
    if (!device->compiles_late || most < PIPELINES_MIN)
        return ESPY_OK;
    struct vk_ahead *ahead = espy_alloc(host, sizeof(*ahead));
    if (ahead == NULL)
        return espy_fail_memory(host, sizeof(*ahead), "a thread");
    ahead->plan = plan;
    ahead->float16_storage = device->caps.storage_f16;
    snprintf(ahead->name, sizeof(ahead->name), "%u", device->info.index);
    ahead->dispatches = espy_alloc_array(host, most, sizeof(struct plan_dispatch *));
    if (ahead->dispatches == NULL) {
        ahead_free(host, ahead);
        return espy_fail_memory(host, most * sizeof(struct plan_dispatch *),
                                "a list of dispatches");
    }
    list_missing(ahead, device);
    if (ahead->count >= PIPELINES_MIN && espy_vk_thread_start(&ahead->thread, compile_all, ahead))
        *result = ahead;
    else
        ahead_free(host, ahead);
    return ESPY_OK;
}

void espy_vk_ahead_finish(struct vk_device *device, struct vk_ahead **pointer, bool ran)
{
    struct vk_ahead *ahead = *pointer;
    if (ahead == NULL)
        return;
    atomic_store(&ahead->stop, true);
    espy_vk_thread_join(&ahead->thread);
    if (ran)
        espy_vk_pipelines_ran(device, ahead->dispatches, ahead->count);
    ahead_free(&device->vk.host, ahead);
    *pointer = NULL;
}
