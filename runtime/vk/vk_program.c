#include "vk/vk_internal.h"

#include <assert.h>

const struct vk_buffer *espy_vk_program_place(const struct vk_program *program, uint32_t index,
                                              uint64_t *offset)
{
    assert(index < program->plan->buffer_count);
    const struct plan_buffer *buffer = &program->plan->buffers[index];
    if (buffer->kind != PLAN_ARENA && !buffer->transient)
        return espy_vk_weights_place(program, index, offset);
    if (espy_vk_imported(program, index)) {
        *offset = program->imports[index].offset;
        return &program->imports[index].buffer;
    }
    *offset = buffer->offset;
    return buffer->transient ? &program->transient : &program->arena;
}

static bool takes_transient(const struct vk_program *program, uint32_t index)
{
    return program->fresh[index] && program->plan->buffers[index].transient &&
           !espy_vk_imported(program, index);
}

// Nothing, when all that would be made of it is there.
static uint64_t transient_size(const struct vk_program *program)
{
    const struct plan *plan = program->plan;
    for (uint32_t i = 0; i < plan->buffer_count; i++)
        if (takes_transient(program, i))
            return plan->transient_size;
    return 0;
}

// The number of batches from the first to the last one that needs transient memory.
static uint32_t transient_batches(const struct vk_program *program)
{
    const struct plan *plan = program->plan;
    uint32_t count = 0;
    for (uint32_t i = 0; i < plan->buffer_count; i++)
        if (takes_transient(program, i) && plan->buffers[i].batch != GRAPH_NONE &&
            plan->buffers[i].batch >= count)
            count = plan->buffers[i].batch + 1;
    return count;
}

static espy_status get_pipelines(struct vk_program *program)
{
    const struct plan *plan = program->plan;
    struct vk_device *device = program->device;
    const struct host *host = &device->vk.host;
    const uint32_t count = plan->prepare_count + plan->dispatch_count;
    if (count == 0)
        return ESPY_OK;
    program->pipelines = espy_alloc_array(host, count, sizeof(struct vk_pipeline *));
    if (program->pipelines == NULL)
        return espy_fail_memory(host, count * sizeof(struct vk_pipeline *), "a list of pipelines");
    // Two calls, so that each takes one array of the plan.
    TRY(espy_vk_pipelines_get(device, plan->prepare, plan->prepare_count, program->pipelines));
    return espy_vk_pipelines_get(device, plan->dispatches, plan->dispatch_count,
                                 program->pipelines + plan->prepare_count);
}

// The constants that stay, then batch by batch what is repacked.
static espy_status fill_weights(struct vk_program *program)
{
    const struct plan *plan = program->plan;
    const uint32_t transient_count = transient_batches(program);
    TRY(espy_vk_transfer_constants(program, GRAPH_NONE));
    for (uint32_t k = 0; k < plan->batch_count; k++) {
        if (k == transient_count) // what is imported lies in memory of the file's
            espy_vk_buffer_finish(program->device, &program->transient);
        TRY(espy_vk_transfer_constants(program, k));
        TRY(espy_vk_commands_prepare(program, &plan->batches[k]));
        espy_vk_imports_were_read(program, k);
    }
    return ESPY_OK;
}

espy_status espy_vk_program_create(struct vk_device *device, const struct plan *plan,
                                   struct vk_weights *weights, struct vk_program **result)
{
    const struct host *host = &device->vk.host;
    espy_status status = ESPY_OK;
    struct vk_program *program = espy_alloc(host, sizeof(*program));
    if (program == NULL)
        return espy_fail_memory(host, sizeof(*program), "a program");
    program->device = device;
    program->plan = plan;
    program->weights = weights;
    program->stage = UINT32_MAX;
    CHECK(espy_vk_ahead_start(device, plan, &program->ahead));
    CHECK(espy_vk_buffer_init(device, MEMORY_DEVICE, plan->arena_size, "intermediate values",
                              &program->arena));
    CHECK(espy_vk_weights_init(program));
    CHECK(espy_vk_imports_init(program));
    CHECK(espy_vk_buffer_init(device, MEMORY_DEVICE, transient_size(program),
                              "weights on their way", &program->transient));
    CHECK(espy_vk_transfer_init(program));
    CHECK(espy_vk_commands_init(program));
    CHECK(get_pipelines(program));
    CHECK(espy_vk_descriptors_init(program));
    CHECK(fill_weights(program));
    program->filled = true;
    espy_vk_imports_finish(program); // repacked; nothing reads the originals now
    espy_vk_buffer_finish(device, &program->transient);
    for (uint32_t i = 0; i < plan->stage_count; i++)
        CHECK(espy_vk_commands_record_stage(program, i));
    program->memory_size = program->arena.allocated + plan->constants_size +
                           program->upload.allocated + program->readback.allocated;
    *result = program;
    return ESPY_OK;
error:
    espy_vk_program_destroy(&program);
    return status;
}

void espy_vk_program_destroy(struct vk_program **pointer)
{
    struct vk_program *program = *pointer;
    if (program == NULL)
        return;
    struct vk_device *device = program->device;
    espy_vk_ahead_finish(device, &program->ahead, false);
    espy_vk_commands_drain(program);
    espy_vk_commands_finish(program);
    espy_vk_descriptors_finish(program);
    espy_free(&device->vk.host, (void *)program->pipelines);
    espy_vk_transfer_finish(program);
    espy_vk_imports_finish(program);
    espy_vk_buffer_finish(device, &program->transient);
    espy_vk_weights_finish(program);
    espy_vk_buffer_finish(device, &program->arena);
    espy_free(&device->vk.host, program);
    *pointer = NULL;
}

uint64_t espy_vk_program_memory(const struct vk_program *program)
{
    return program->memory_size;
}

espy_status espy_vk_program_submit(struct vk_program *program, uint32_t stage)
{
    assert(stage < program->plan->stage_count);
    // After a failed wait, the stage may still be in flight, and its commands allow one use at
    // once.
    if (program->stage != UINT32_MAX && stage <= program->stage)
        TRY(espy_vk_commands_wait(program, UINT64_MAX));
    TRY(espy_vk_commands_submit(program, program->stages[stage]));
    program->stage = stage;
    for (uint32_t i = 0; i < program->uploads.count; i++) {
        if (program->uploads.items[i].stage == stage)
            program->uploads.items[i].pending = false;
    }
    return ESPY_OK;
}

espy_status espy_vk_program_wait(struct vk_program *program, uint64_t timeout_ns)
{
    TRY(espy_vk_commands_wait(program, timeout_ns));
    espy_vk_ahead_finish(program->device, &program->ahead, true); // nothing is left after a run
    return ESPY_OK;
}
