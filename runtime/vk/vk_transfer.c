// Host elements to and from device memory: straight where it is mapped, else through staging.
#include "vk/vk_internal.h"

#include <assert.h>
#include <string.h>

enum {
    STAGING_ALIGNMENT = 64,      // bytes
    SCRATCH_SIZE = 1 << 18,     // for views without a slot, which are rare
    SCRATCH_SIZE_MAX = 1 << 24, // with keep_values every value is read that way
    CONSTANTS_STAGING_SIZE = 1 << 24
};

// A dense view as bytes of its buffer of the plan.
struct range {
    uint64_t start, size;
    size_t count, element_size;
};

static struct range view_range(const struct vk_program *program, const struct view *view)
{
    struct range range = {.count = 1, .element_size = espy_storage_size(view->storage)};
    assert(view->buffer < program->plan->buffer_count);
    for (uint32_t i = 0; i < view->rank; i++) {
        assert(view->dims[i] >= 0);
        range.count *= (size_t)view->dims[i];
    }
    assert(view->offset >= 0);
    range.start = (uint64_t)view->offset * range.element_size;
    range.size = (uint64_t)range.count * range.element_size;
    assert(range.count == 0 ||
           range.start + range.size <= program->plan->buffers[view->buffer].size);
    return range;
}

static uint64_t align_up(uint64_t value)
{
    return (value + STAGING_ALIGNMENT - 1) / STAGING_ALIGNMENT * STAGING_ALIGNMENT;
}

// ---- slots --------------------------------------------------------------------------------------

// stage UINT32_MAX: any.
static struct vk_slot *find_slot(const struct vk_slots *slots, const struct view *view,
                                 const struct range *range, uint32_t stage)
{
    for (uint32_t i = 0; i < slots->count; i++) {
        struct vk_slot *slot = &slots->items[i];
        if (slot->buffer == view->buffer && (stage == UINT32_MAX || slot->stage == stage) &&
            slot->start <= range->start && range->start + range->size <= slot->start + slot->size)
            return slot;
    }
    return NULL;
}

static espy_status add_slot(struct vk_program *program, struct vk_slots *slots,
                            const struct view *view, uint32_t stage)
{
    if (view->buffer == VIEW_NONE)
        return ESPY_OK;
    const struct range range = view_range(program, view);
    if (range.size == 0)
        return ESPY_OK;
    for (uint32_t i = 0; i < slots->count; i++) { // one value may be several outputs
        const struct vk_slot *slot = &slots->items[i];
        if (slot->buffer == view->buffer && slot->stage == stage && slot->start == range.start &&
            slot->size == range.size)
            return ESPY_OK;
    }
    TRY(espy_grow(&program->device->vk.host, &slots->items, slots->count, &slots->capacity,
                  sizeof(struct vk_slot)));
    slots->items[slots->count++] = (struct vk_slot){.buffer = view->buffer,
                                                    .stage = stage,
                                                    .start = range.start,
                                                    .size = range.size,
                                                    .staging = slots->size};
    slots->size += align_up(range.size);
    return ESPY_OK;
}

static espy_status add_slots(struct vk_program *program)
{
    const struct plan *plan = program->plan;
    if (plan->stage_count == 0)
        return ESPY_OK;
    for (uint32_t i = 0; i < plan->input_count; i++)
        TRY(add_slot(program, &program->uploads, &plan->inputs[i].view, 0));
    for (uint32_t stage = 0; stage < plan->stage_count; stage++) {
        if (plan->stages[stage].host_node == GRAPH_NONE)
            continue;
        const struct plan_host_node *node = &plan->host_nodes[plan->stages[stage].host_node];
        for (uint32_t i = 0; i < node->output_count; i++)
            TRY(add_slot(program, &program->uploads, &node->outputs[i], stage));
        for (uint32_t i = 0; i < node->input_count && stage > 0; i++)
            TRY(add_slot(program, &program->downloads, &node->inputs[i], stage - 1));
    }
    for (uint32_t i = 0; i < plan->output_count; i++)
        // Of what is counted, the count: only it says how much to copy.
        TRY(add_slot(program, &program->downloads,
                     plan->outputs[i].counted ? &plan->outputs[i].count : &plan->outputs[i].view,
                     plan->stage_count - 1));
    return ESPY_OK;
}

static uint64_t scratch_size(const struct plan *plan)
{
    uint64_t size = plan->kept_count > 0 ? SCRATCH_SIZE_MAX : SCRATCH_SIZE;
    for (uint32_t i = 0; i < plan->output_count; i++) {
        if (!plan->outputs[i].counted)
            continue;
        const uint64_t most = plan->buffers[plan->outputs[i].view.buffer].size;
        size = most > size ? most : size;
    }
    return size < SCRATCH_SIZE_MAX ? size : SCRATCH_SIZE_MAX;
}

espy_status espy_vk_transfer_init(struct vk_program *program)
{
    struct vk_device *device = program->device;
    if (device->mapped)
        return ESPY_OK;
    TRY(add_slots(program));
    program->scratch_size = scratch_size(program->plan);
    program->upload_scratch = program->uploads.size;
    program->readback_scratch = program->downloads.size;
    TRY(espy_vk_buffer_init(device, MEMORY_UPLOAD, program->uploads.size + program->scratch_size,
                            "staging of inputs", &program->upload));
    return espy_vk_buffer_init(device, MEMORY_READBACK,
                               program->downloads.size + program->scratch_size,
                               "staging of outputs", &program->readback);
}

void espy_vk_transfer_finish(struct vk_program *program)
{
    struct vk_device *device = program->device;
    espy_vk_buffer_finish(device, &program->readback);
    espy_vk_buffer_finish(device, &program->upload);
    espy_free(&device->vk.host, program->uploads.items);
    espy_free(&device->vk.host, program->downloads.items);
    program->uploads = (struct vk_slots){0};
    program->downloads = (struct vk_slots){0};
}

// ---- constants ----------------------------------------------------------------------------------

// Where element `first` lies on the host. What goes in parts has whole bytes in each: parts begin
// at multiples of 8 elements wherever these share bytes.
static size_t host_offset(espy_dtype dtype, size_t first)
{
    size_t offset = 0;
    assert(espy_dtype_bits(dtype) >= 8 || first % 8 == 0);
    espy_dtype_data_size(dtype, first, &offset); // cannot overflow: the elements are there
    return offset;
}

static void encode(const struct plan_buffer *buffer, size_t first, size_t count, void *bytes)
{
    const unsigned char *elements = buffer->data;
    const size_t run = buffer->run == 0 ? buffer->count : buffer->run;
    unsigned char *to = bytes;
    while (count > 0) {
        const size_t row = first / run, left = run - first % run;
        const size_t now = left < count ? left : count;
        const size_t at = buffer->run == 0 ? first : row * buffer->step + first % run;
        espy_storage_encode(buffer->storage, buffer->dtype,
                            elements + host_offset(buffer->dtype, at), now, to);
        to += now * espy_storage_size(buffer->storage);
        first += now;
        count -= now;
    }
}

// Constants of one program on their way through a bounded staging buffer.
struct upload {
    struct vk_program *program;
    struct vk_buffer staging;
    uint64_t used;
};

static espy_status upload_flush(struct upload *upload)
{
    if (upload->used == 0)
        return ESPY_OK;
    upload->used = 0;
    return espy_vk_commands_run_once(upload->program);
}

static espy_status upload_buffer(struct upload *upload, uint32_t index)
{
    struct vk_program *program = upload->program;
    const struct plan_buffer *buffer = &program->plan->buffers[index];
    const size_t element_size = espy_storage_size(buffer->storage);
    uint64_t offset;
    const struct vk_buffer *place = espy_vk_program_place(program, index, &offset);
    size_t done = 0;
    while (done < buffer->count) {
        if (upload->used == upload->staging.size)
            TRY(upload_flush(upload));
        if (upload->used == 0)
            TRY(espy_vk_commands_begin(program, program->once, true));
        const uint64_t room = (upload->staging.size - upload->used) / element_size;
        const size_t left = buffer->count - done;
        const size_t count = room < left ? (size_t)room : left;
        encode(buffer, done, count, upload->staging.mapped + upload->used);
        const VkBufferCopy region = {.srcOffset = upload->used,
                                     .dstOffset = offset + done * element_size,
                                     .size = count * element_size};
        program->device->vk.table.CmdCopyBuffer(program->once, upload->staging.buffer,
                                                place->buffer, 1, &region);
        upload->used += align_up(region.size);
        done += count;
    }
    return ESPY_OK;
}

static bool goes_now(const struct vk_program *program, uint32_t index, uint32_t batch)
{
    const struct plan_buffer *buffer = &program->plan->buffers[index];
    return buffer->kind == PLAN_CONSTANT && buffer->count > 0 && program->fresh[index] &&
           !espy_vk_imported(program, index) &&
           (buffer->transient ? buffer->batch : GRAPH_NONE) == batch;
}

static espy_status upload_constants(struct vk_program *program, uint32_t batch)
{
    const struct plan *plan = program->plan;
    struct upload upload = {.program = program};
    espy_status status = ESPY_OK;
    uint64_t total = 0;
    for (uint32_t i = 0; i < plan->buffer_count; i++) {
        const struct plan_buffer *buffer = &plan->buffers[i];
        if (goes_now(program, i, batch))
            total += align_up(buffer->count * espy_storage_size(buffer->storage));
    }
    total = total < CONSTANTS_STAGING_SIZE ? total : CONSTANTS_STAGING_SIZE;
    CHECK(espy_vk_buffer_init(program->device, MEMORY_UPLOAD, total, "staging of weights",
                              &upload.staging));
    for (uint32_t i = 0; i < plan->buffer_count; i++) {
        if (!goes_now(program, i, batch))
            continue;
        CHECK(upload_buffer(&upload, i));
        espy_vk_weights_was_read(program, i);
    }
    CHECK(upload_flush(&upload));
error:
    if (status != ESPY_OK) // a copy may still be going on
        espy_vk_commands_drain(program);
    espy_vk_buffer_finish(program->device, &upload.staging);
    return status;
}

espy_status espy_vk_transfer_constants(struct vk_program *program, uint32_t batch)
{
    const struct plan *plan = program->plan;
    if (!program->device->mapped)
        return upload_constants(program, batch);
    for (uint32_t i = 0; i < plan->buffer_count; i++) {
        uint64_t offset;
        if (!goes_now(program, i, batch))
            continue;
        const struct vk_buffer *place = espy_vk_program_place(program, i, &offset);
        encode(&plan->buffers[i], 0, plan->buffers[i].count, place->mapped + offset);
        espy_vk_weights_was_read(program, i);
    }
    return ESPY_OK;
}

// ---- views --------------------------------------------------------------------------------------

// Copies what was written to upload slots where it belongs, ahead of the stage that would.
static espy_status flush_pending(struct vk_program *program)
{
    for (uint32_t i = 0; i < program->uploads.count; i++) {
        struct vk_slot *slot = &program->uploads.items[i];
        if (!slot->pending)
            continue;
        uint64_t offset;
        const struct vk_buffer *place = espy_vk_program_place(program, slot->buffer, &offset);
        const VkBufferCopy region = {
            .srcOffset = slot->staging, .dstOffset = offset + slot->start, .size = slot->size};
        TRY(espy_vk_commands_copy(program, program->upload.buffer, place->buffer, &region));
        slot->pending = false;
    }
    return ESPY_OK;
}

static espy_status write_through_scratch(struct vk_program *program, const struct view *view,
                                         const struct range *range, const unsigned char *elements)
{
    const size_t chunk = (size_t)program->scratch_size / range->element_size;
    uint64_t offset;
    const struct vk_buffer *place = espy_vk_program_place(program, view->buffer, &offset);
    for (size_t done = 0; done < range->count;) {
        const size_t left = range->count - done;
        const size_t count = left < chunk ? left : chunk;
        espy_storage_encode(view->storage, view->dtype, elements + host_offset(view->dtype, done),
                            count, program->upload.mapped + program->upload_scratch);
        const VkBufferCopy region = {.srcOffset = program->upload_scratch,
                                     .dstOffset =
                                         offset + range->start + done * range->element_size,
                                     .size = count * range->element_size};
        TRY(espy_vk_commands_copy(program, program->upload.buffer, place->buffer, &region));
        done += count;
    }
    return ESPY_OK;
}

static espy_status read_through_scratch(struct vk_program *program, const struct view *view,
                                        const struct range *range, unsigned char *elements)
{
    const size_t chunk = (size_t)program->scratch_size / range->element_size;
    uint64_t offset;
    const struct vk_buffer *place = espy_vk_program_place(program, view->buffer, &offset);
    TRY(flush_pending(program));
    for (size_t done = 0; done < range->count;) {
        const size_t left = range->count - done;
        const size_t count = left < chunk ? left : chunk;
        const VkBufferCopy region = {.srcOffset =
                                         offset + range->start + done * range->element_size,
                                     .dstOffset = program->readback_scratch,
                                     .size = count * range->element_size};
        TRY(espy_vk_commands_copy(program, place->buffer, program->readback.buffer, &region));
        espy_storage_decode(view->storage, view->dtype,
                            program->readback.mapped + program->readback_scratch, count,
                            elements + host_offset(view->dtype, done));
        done += count;
    }
    return ESPY_OK;
}

// Where the host reaches a view in the mapped memory of its buffer.
static unsigned char *mapped_view(const struct vk_program *program, const struct view *view,
                                  const struct range *range)
{
    uint64_t offset;
    const struct vk_buffer *place = espy_vk_program_place(program, view->buffer, &offset);
    return place->mapped + offset + range->start;
}

espy_status espy_vk_program_write(struct vk_program *program, const struct view *view,
                                  const void *elements)
{
    const struct range range = view_range(program, view);
    if (range.count == 0)
        return ESPY_OK;
    unsigned char *bytes = NULL;
    if (program->device->mapped) {
        bytes = mapped_view(program, view, &range);
    } else {
        struct vk_slot *slot = find_slot(&program->uploads, view, &range, UINT32_MAX);
        if (slot == NULL)
            return write_through_scratch(program, view, &range, elements);
        slot->pending = true;
        bytes = program->upload.mapped + slot->staging + (range.start - slot->start);
    }
    espy_storage_encode(view->storage, view->dtype, elements, range.count, bytes);
    return ESPY_OK;
}

espy_status espy_vk_program_read(struct vk_program *program, const struct view *view,
                                 void *elements)
{
    const struct range range = view_range(program, view);
    if (range.count == 0)
        return ESPY_OK;
    const unsigned char *bytes = NULL;
    if (program->device->mapped) {
        bytes = mapped_view(program, view, &range);
    } else {
        // What was written and not yet copied is newer than what the device has. Downloads are as
        // new as the stage that made them.
        const struct vk_slot *slot = find_slot(&program->uploads, view, &range, UINT32_MAX);
        if (slot != NULL && slot->pending) {
            bytes = program->upload.mapped + slot->staging + (range.start - slot->start);
        } else {
            slot = find_slot(&program->downloads, view, &range, program->stage);
            if (slot == NULL)
                return read_through_scratch(program, view, &range, elements);
            bytes = program->readback.mapped + slot->staging + (range.start - slot->start);
        }
    }
    espy_storage_decode(view->storage, view->dtype, bytes, range.count, elements);
    return ESPY_OK;
}
