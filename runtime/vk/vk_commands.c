// Recording, submitting and waiting.
#include "vk/vk_internal.h"

#include <assert.h>

espy_status espy_vk_commands_init(struct vk_program *program)
{
    struct vk_device *device = program->device;
    struct vk_instance *vk = &device->vk;
    const uint32_t stage_count = program->plan->stage_count;
    espy_status status = ESPY_OK;
    const VkCommandPoolCreateInfo pool = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
        .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT, // for program->once
        .queueFamilyIndex = device->queue_family};
    const VkSemaphoreTypeCreateInfo type = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO,
                                            .semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE};
    const VkSemaphoreCreateInfo semaphore = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO,
                                             .pNext = &type};
    VK(vk, vk->table.CreateSemaphore(device->device, &semaphore, NULL, &program->timeline));
    VK(vk, vk->table.CreateCommandPool(device->device, &pool, NULL, &program->command_pool));
    VkCommandBufferAllocateInfo allocate = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO,
                                            .commandPool = program->command_pool,
                                            .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY,
                                            .commandBufferCount = 1};
    VK(vk, vk->table.AllocateCommandBuffers(device->device, &allocate, &program->once));
    if (stage_count == 0)
        return ESPY_OK;
    program->stages = espy_alloc_array(&vk->host, stage_count, sizeof(VkCommandBuffer));
    if (program->stages == NULL)
        return espy_fail_memory(&vk->host, stage_count * sizeof(VkCommandBuffer),
                                "command buffers");
    allocate.commandBufferCount = stage_count;
    VK(vk, vk->table.AllocateCommandBuffers(device->device, &allocate, program->stages));
error:
    return status;
}

void espy_vk_commands_finish(struct vk_program *program)
{
    struct vk_device *device = program->device;
    const struct vk_table *table = &device->vk.table;
    if (program->command_pool != VK_NULL_HANDLE)
        table->DestroyCommandPool(device->device, program->command_pool, NULL);
    if (program->timeline != VK_NULL_HANDLE)
        table->DestroySemaphore(device->device, program->timeline, NULL);
    espy_free(&device->vk.host, program->stages);
    program->command_pool = VK_NULL_HANDLE;
    program->timeline = VK_NULL_HANDLE;
    program->stages = NULL;
}

static void barrier(const struct vk_program *program, VkCommandBuffer commands,
                    VkPipelineStageFlags src_stages, VkAccessFlags src,
                    VkPipelineStageFlags dst_stages, VkAccessFlags dst)
{
    const VkMemoryBarrier memory = {
        .sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER, .srcAccessMask = src, .dstAccessMask = dst};
    program->device->vk.table.CmdPipelineBarrier(commands, src_stages, dst_stages, 0, 1, &memory, 0,
                                                 NULL, 0, NULL);
}

// Everything submitted before is seen, and its reads are over: program->arena is reused by every
// stage and every run.
static void barrier_before(const struct vk_program *program, VkCommandBuffer commands)
{
    const VkPipelineStageFlags stages =
        VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
    barrier(program, commands, stages, VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
            stages,
            VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_READ_BIT |
                VK_ACCESS_TRANSFER_WRITE_BIT);
}

// The host sees what was written. Waiting for a semaphore alone does not promise that.
static void barrier_after(const struct vk_program *program, VkCommandBuffer commands)
{
    barrier(program, commands,
            VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
            VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT, VK_PIPELINE_STAGE_HOST_BIT,
            VK_ACCESS_HOST_READ_BIT);
}

espy_status espy_vk_commands_begin(struct vk_program *program, VkCommandBuffer commands, bool once)
{
    struct vk_instance *vk = &program->device->vk;
    espy_status status = ESPY_OK;
    const VkCommandBufferBeginInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO,
        .flags = once ? VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT : 0};
    if (once) // after a failed wait it may still be in use
        TRY(espy_vk_commands_wait(program, UINT64_MAX));
    VK(vk, vk->table.BeginCommandBuffer(commands, &info));
    barrier_before(program, commands);
error:
    return status;
}

espy_status espy_vk_commands_end(struct vk_program *program, VkCommandBuffer commands)
{
    struct vk_instance *vk = &program->device->vk;
    espy_status status = ESPY_OK;
    barrier_after(program, commands);
    VK(vk, vk->table.EndCommandBuffer(commands));
error:
    return status;
}

// first is the index of dispatches[0] in program->pipelines and program->sets. needed: which of
// them; NULL: all. The barrier of one that is left out comes before the next.
static void record_dispatches(const struct vk_program *program, VkCommandBuffer commands,
                              const struct plan_dispatch *dispatches, const bool *needed,
                              uint32_t first, uint32_t count)
{
    const struct vk_table *table = &program->device->vk.table;
    VkPipeline bound = VK_NULL_HANDLE;
    bool waits = false;
    for (uint32_t i = 0; i < count; i++) {
        waits = waits || (dispatches[i].barrier && i > 0);
        if (needed != NULL && !needed[i])
            continue;
        const struct plan_dispatch *dispatch = &dispatches[i];
        const struct vk_pipeline *pipeline = program->pipelines[first + i];
        const VkPipelineLayout layout = pipeline->kernel->layout;
        if (waits)
            barrier(program, commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                    VK_ACCESS_SHADER_WRITE_BIT, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                    VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT);
        waits = false;
        if (pipeline->pipeline != bound)
            table->CmdBindPipeline(commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline->pipeline);
        bound = pipeline->pipeline;
        table->CmdBindDescriptorSets(commands, VK_PIPELINE_BIND_POINT_COMPUTE, layout, 0, 1,
                                     &program->sets[first + i], 0, NULL);
        assert(dispatch->push_size <= pipeline->kernel->shader->push_size);
        if (dispatch->push_size > 0)
            table->CmdPushConstants(commands, layout, VK_SHADER_STAGE_COMPUTE_BIT, 0,
                                    dispatch->push_size, dispatch->push);
        table->CmdDispatch(commands, dispatch->groups[0], dispatch->groups[1], dispatch->groups[2]);
    }
}

static void record_compute(const struct vk_program *program, VkCommandBuffer commands,
                           uint32_t stage)
{
    const struct plan *plan = program->plan;
    const struct plan_stage *range = &plan->stages[stage];
    if (range->count > 0)
        record_dispatches(program, commands, &plan->dispatches[range->first], NULL,
                          plan->prepare_count + range->first, range->count);
}

static void record_copy(const struct vk_program *program, VkCommandBuffer commands, VkBuffer src,
                        VkBuffer dst, const VkBufferCopy *region)
{
    program->device->vk.table.CmdCopyBuffer(commands, src, dst, 1, region);
}

espy_status espy_vk_commands_record_stage(struct vk_program *program, uint32_t stage)
{
    const VkCommandBuffer commands = program->stages[stage];
    bool copied = false;
    TRY(espy_vk_commands_begin(program, commands, false));
    for (uint32_t i = 0; i < program->uploads.count; i++) {
        const struct vk_slot *slot = &program->uploads.items[i];
        if (slot->stage != stage)
            continue;
        uint64_t offset;
        const struct vk_buffer *place = espy_vk_program_place(program, slot->buffer, &offset);
        const VkBufferCopy region = {
            .srcOffset = slot->staging, .dstOffset = offset + slot->start, .size = slot->size};
        record_copy(program, commands, program->upload.buffer, place->buffer, &region);
        copied = true;
    }
    if (copied)
        barrier_before(program, commands);
    record_compute(program, commands, stage);
    copied = false;
    for (uint32_t i = 0; i < program->downloads.count; i++) {
        const struct vk_slot *slot = &program->downloads.items[i];
        if (slot->stage != stage)
            continue;
        uint64_t offset;
        const struct vk_buffer *place = espy_vk_program_place(program, slot->buffer, &offset);
        const VkBufferCopy region = {
            .srcOffset = offset + slot->start, .dstOffset = slot->staging, .size = slot->size};
        if (!copied)
            barrier_before(program, commands);
        record_copy(program, commands, place->buffer, program->readback.buffer, &region);
        copied = true;
    }
    return espy_vk_commands_end(program, commands);
}

espy_status espy_vk_commands_record_repeats(struct vk_program *program, uint32_t stage,
                                            uint32_t repeats, VkQueryPool stamps)
{
    const struct vk_table *table = &program->device->vk.table;
    const VkCommandBuffer commands = program->once;
    TRY(espy_vk_commands_begin(program, commands, true));
    if (stamps != VK_NULL_HANDLE) {
        table->CmdResetQueryPool(commands, stamps, 0, 2);
        table->CmdWriteTimestamp(commands, VK_PIPELINE_STAGE_TOP_OF_PIPE_BIT, stamps, 0);
    }
    for (uint32_t i = 0; i < repeats; i++) {
        if (i > 0)
            barrier_before(program, commands);
        record_compute(program, commands, stage);
    }
    if (stamps != VK_NULL_HANDLE)
        table->CmdWriteTimestamp(commands, VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT, stamps, 1);
    return ESPY_OK;
}

espy_status espy_vk_commands_submit(struct vk_program *program, VkCommandBuffer commands)
{
    struct vk_device *device = program->device;
    struct vk_instance *vk = &device->vk;
    if (atomic_load(&vk->lost))
        return espy_fail(&vk->host, ESPY_DEVICE_LOST,
                         "the device '%s' was lost earlier; make a new device and session",
                         device->info.name);
    const uint64_t value = program->submitted + 1;
    const VkTimelineSemaphoreSubmitInfo timeline = {
        .sType = VK_STRUCTURE_TYPE_TIMELINE_SEMAPHORE_SUBMIT_INFO,
        .signalSemaphoreValueCount = 1,
        .pSignalSemaphoreValues = &value};
    const VkSubmitInfo info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO,
                               .pNext = &timeline,
                               .commandBufferCount = 1,
                               .pCommandBuffers = &commands,
                               .signalSemaphoreCount = 1,
                               .pSignalSemaphores = &program->timeline};
    espy_vk_mutex_lock(&device->queue_mutex);
    const VkResult result = vk->table.QueueSubmit(device->queue, 1, &info, VK_NULL_HANDLE);
    espy_vk_mutex_unlock(&device->queue_mutex);
    if (result < 0)
        return espy_vk_fail(vk, result, "vkQueueSubmit");
    program->submitted = value;
    return ESPY_OK;
}

espy_status espy_vk_commands_wait(struct vk_program *program, uint64_t timeout_ns)
{
    struct vk_device *device = program->device;
    struct vk_instance *vk = &device->vk;
    const VkSemaphoreWaitInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
                                      .semaphoreCount = 1,
                                      .pSemaphores = &program->timeline,
                                      .pValues = &program->submitted};
    if (program->finished == program->submitted)
        return ESPY_OK;
    const VkResult result = vk->table.WaitSemaphores(device->device, &info, timeout_ns);
    if (result == VK_TIMEOUT)
        return ESPY_TIMEOUT;
    if (result < 0)
        return espy_vk_fail(vk, result, "vkWaitSemaphores");
    program->finished = program->submitted;
    return ESPY_OK;
}

espy_status espy_vk_commands_run_once(struct vk_program *program)
{
    TRY(espy_vk_commands_end(program, program->once));
    TRY(espy_vk_commands_submit(program, program->once));
    return espy_vk_commands_wait(program, UINT64_MAX);
}

void espy_vk_commands_drain(struct vk_program *program)
{
    struct vk_device *device = program->device;
    const struct vk_table *table = &device->vk.table;
    const VkSemaphoreWaitInfo info = {.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO,
                                      .semaphoreCount = 1,
                                      .pSemaphores = &program->timeline,
                                      .pValues = &program->submitted};
    if (program->finished == program->submitted)
        return;
    if (table->WaitSemaphores(device->device, &info, UINT64_MAX) != VK_SUCCESS) {
        // Nothing better is left to try. The queue counts as used by this call.
        espy_vk_mutex_lock(&device->queue_mutex);
        (void)table->DeviceWaitIdle(device->device);
        espy_vk_mutex_unlock(&device->queue_mutex);
    }
    program->finished = program->submitted;
}

espy_status espy_vk_commands_copy(struct vk_program *program, VkBuffer src, VkBuffer dst,
                                  const VkBufferCopy *region)
{
    TRY(espy_vk_commands_begin(program, program->once, true));
    record_copy(program, program->once, src, dst, region);
    return espy_vk_commands_run_once(program);
}

espy_status espy_vk_commands_prepare(struct vk_program *program, const struct plan_batch *batch)
{
    bool any = false;
    for (uint32_t d = 0; d < batch->count; d++)
        any = any || program->needed[batch->first + d];
    if (!any)
        return ESPY_OK;
    TRY(espy_vk_commands_begin(program, program->once, true));
    record_dispatches(program, program->once, &program->plan->prepare[batch->first],
                      &program->needed[batch->first], batch->first, batch->count);
    return espy_vk_commands_run_once(program);
}
