#include "plan/plan_internal.h"

#include <assert.h>
#include <stdlib.h>

static uint64_t align_up(uint64_t value, uint64_t alignment)
{
    return (value + alignment - 1) / alignment * alignment;
}

struct sort_key {
    uint64_t size;
    uint32_t buffer;
};

// Largest first: a small buffer placed early splits the gap that a large one will need.
static int compare_keys(const void *left, const void *right)
{
    const struct sort_key *a = left, *b = right;
    if (a->size != b->size)
        return a->size < b->size ? 1 : -1;
    return a->buffer < b->buffer ? -1 : a->buffer > b->buffer;
}

static int compare_offsets(const void *left, const void *right)
{
    const struct plan_buffer *const *a = left, *const *b = right;
    return (*a)->offset < (*b)->offset ? -1 : (*a)->offset > (*b)->offset;
}

// The lowest offset at which buffer overlaps no placed buffer that is alive at the same time.
static uint64_t find_offset(const struct plan_buffer *buffer, struct plan_buffer **placed,
                            uint32_t placed_count, uint64_t alignment, bool share)
{
    uint64_t offset = 0;
    for (uint32_t i = 0; i < placed_count; i++) { // placed is in order of offset
        const struct plan_buffer *other = placed[i];
        if (share && (other->last < buffer->first || buffer->last < other->first))
            continue;
        if (offset + buffer->size <= other->offset)
            break;
        const uint64_t end = align_up(other->offset + other->size, alignment);
        if (end > offset)
            offset = end;
    }
    return offset;
}

static espy_status place_arena(struct planner *planner, uint64_t alignment)
{
    struct plan *plan = planner->plan;
    struct sort_key *keys = espy_alloc_array(planner->host, plan->buffer_count, sizeof(*keys));
    struct plan_buffer **placed =
        espy_alloc_array(planner->host, plan->buffer_count, sizeof(*placed));
    espy_status status = ESPY_OK;
    if (plan->buffer_count > 0 && (keys == NULL || placed == NULL)) {
        status = espy_fail_memory(planner->host, plan->buffer_count * sizeof(*keys),
                                  "placing buffers");
        goto done;
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < plan->buffer_count; i++)
        if (planner->buffers[i].kind == PLAN_ARENA && planner->buffers[i].first != UINT32_MAX)
            keys[count++] = (struct sort_key){planner->buffers[i].size, i};
    if (count > 0)
        qsort(keys, count, sizeof(*keys), compare_keys);
    for (uint32_t k = 0; k < count; k++) {
        struct plan_buffer *buffer = &planner->buffers[keys[k].buffer];
        buffer->offset =
            find_offset(buffer, placed, k, alignment, !planner->params->keep_values);
        if (buffer->offset + buffer->size > plan->arena_size)
            plan->arena_size = buffer->offset + buffer->size;
        placed[k] = buffer;
        qsort(placed, k + 1, sizeof(*placed), compare_offsets);
    }
done:
    espy_free(planner->host, keys);
    espy_free(planner->host, placed);
    return status;
}

static void keep_buffer(struct planner *planner, uint32_t buffer)
{
    if (buffer != VIEW_NONE)
        planner->buffers[buffer].transient = false;
}

static void keep_io(struct planner *planner, const struct plan_io *io)
{
    keep_buffer(planner, io->view.buffer);
    if (io->counted)
        keep_buffer(planner, io->count.buffer);
}

// Whatever a run may touch stays: buffers of dispatches, host nodes and outputs.
static void find_transient(struct planner *planner)
{
    const struct plan *plan = planner->plan;
    for (uint32_t i = 0; i < plan->buffer_count; i++)
        planner->buffers[i].transient = planner->buffers[i].kind != PLAN_ARENA;
    for (uint32_t i = 0; i < plan->dispatch_count; i++)
        for (uint32_t b = 0; b < planner->dispatches[i].binding_count; b++)
            keep_buffer(planner, planner->dispatches[i].bindings[b].buffer);
    for (uint32_t h = 0; h < plan->host_node_count; h++)
        for (uint32_t i = 0; i < planner->host_nodes[h].input_count; i++)
            keep_buffer(planner, planner->host_nodes[h].inputs[i].buffer);
    for (uint32_t o = 0; o < plan->output_count; o++)
        keep_io(planner, &plan->outputs[o]);
    for (uint32_t k = 0; k < plan->kept_count; k++)
        keep_io(planner, &plan->kept[k]);
}

// Bytes of the transient buffers that the dispatch is the first to touch.
static uint64_t added_size(const struct planner *planner, const struct plan_dispatch *dispatch,
                           uint64_t unit)
{
    uint64_t size = 0;
    for (uint32_t b = 0; b < dispatch->binding_count; b++) {
        const struct plan_buffer *buffer = &planner->buffers[dispatch->bindings[b].buffer];
        if (buffer->transient && buffer->batch == GRAPH_NONE)
            size += align_up(buffer->size, unit);
    }
    return size;
}

// last: per buffer, the last prepare dispatch that touches it.
static void fill_batches(struct planner *planner, const uint32_t *last, uint64_t unit)
{
    struct plan *plan = planner->plan;
    uint64_t used = 0;
    uint32_t reach = 0; // no batch may end before this dispatch has run
    for (uint32_t d = 0; d < plan->prepare_count; d++) {
        const struct plan_dispatch *dispatch = &planner->prepare[d];
        const bool full = used > 0 && reach < d &&
                          used + added_size(planner, dispatch, unit) > PLAN_TRANSIENT_SIZE;
        if (d == 0 || full) {
            plan->batches[plan->batch_count++] = (struct plan_batch){.first = d};
            used = 0;
        }
        plan->batches[plan->batch_count - 1].count++;
        for (uint32_t b = 0; b < dispatch->binding_count; b++) {
            const uint32_t index = dispatch->bindings[b].buffer;
            struct plan_buffer *buffer = &planner->buffers[index];
            if (!buffer->transient || buffer->batch != GRAPH_NONE)
                continue;
            buffer->batch = plan->batch_count - 1;
            buffer->offset = used;
            used = align_up(used + buffer->size, unit);
            reach = last[index] > reach ? last[index] : reach;
        }
        plan->transient_size = used > plan->transient_size ? used : plan->transient_size;
    }
}

static espy_status place_transient(struct planner *planner, uint64_t unit)
{
    struct plan *plan = planner->plan;
    if (plan->prepare_count == 0)
        return ESPY_OK;
    plan->batches = espy_arena_array(&plan->memory, plan->prepare_count, sizeof(*plan->batches));
    if (plan->batches == NULL) // the arena has said so
        return ESPY_OUT_OF_MEMORY;
    uint32_t *last = espy_alloc_array(planner->host, plan->buffer_count, sizeof(*last));
    if (last == NULL) {
        return espy_fail_memory(planner->host, plan->buffer_count * sizeof(*last),
                                "placing weights");
    }
    for (uint32_t d = 0; d < plan->prepare_count; d++)
        for (uint32_t b = 0; b < planner->prepare[d].binding_count; b++)
            last[planner->prepare[d].bindings[b].buffer] = d;
    fill_batches(planner, last, unit);
    espy_free(planner->host, last);
    return ESPY_OK;
}

espy_status espy_plan_memory(struct planner *planner, uint32_t alignment)
{
    struct plan *plan = planner->plan;
    const uint64_t unit = alignment < 16 ? 16 : alignment;
    find_transient(planner);
    for (uint32_t i = 0; i < plan->buffer_count; i++) {
        struct plan_buffer *buffer = &planner->buffers[i];
        buffer->batch = GRAPH_NONE;
        if (buffer->kind == PLAN_ARENA || buffer->transient)
            continue;
        buffer->offset = align_up(plan->constants_size, unit);
        plan->constants_size = buffer->offset + buffer->size;
    }
    TRY(place_transient(planner, unit));
    return place_arena(planner, unit);
}

// ---- barriers --------------------------------------------------------------------------------------

// Memory touched since the last barrier.
struct access {
    bool arena, transient, writes;
    uint64_t begin, end;
};

static bool conflicts(const struct access *a, const struct access *b)
{
    return (a->writes || b->writes) && a->arena == b->arena && a->transient == b->transient &&
           a->begin < b->end && b->begin < a->end;
}

static struct access access_of(const struct planner *planner, const struct plan_binding *binding)
{
    const struct plan_buffer *buffer = &planner->buffers[binding->buffer];
    return (struct access){buffer->kind == PLAN_ARENA, buffer->transient, binding->writes,
                           buffer->offset, buffer->offset + buffer->size};
}

struct accesses {
    struct access *items;
    uint32_t count, capacity;
};

static espy_status mark_dispatch(const struct planner *planner, struct plan_dispatch *dispatch,
                                 struct accesses *pending)
{
    for (uint32_t b = 0; b < dispatch->binding_count && !dispatch->barrier; b++) {
        const struct access access = access_of(planner, &dispatch->bindings[b]);
        for (uint32_t i = 0; i < pending->count; i++)
            dispatch->barrier = dispatch->barrier || conflicts(&access, &pending->items[i]);
    }
    if (dispatch->barrier)
        pending->count = 0;
    for (uint32_t b = 0; b < dispatch->binding_count; b++) {
        TRY(espy_grow(planner->host, &pending->items, pending->count, &pending->capacity,
                      sizeof(*pending->items)));
        pending->items[pending->count++] = access_of(planner, &dispatch->bindings[b]);
    }
    return ESPY_OK;
}

espy_status espy_plan_barriers(struct planner *planner)
{
    const struct plan *plan = planner->plan;
    struct accesses pending = {NULL, 0, 0};
    espy_status status = ESPY_OK;
    for (uint32_t i = 0; i < plan->prepare_count && status == ESPY_OK; i++)
        status = mark_dispatch(planner, &planner->prepare[i], &pending);
    for (uint32_t s = 0; s < plan->stage_count && status == ESPY_OK; s++) {
        const struct plan_stage *stage = &planner->stages[s];
        pending.count = 0; // a stage begins after everything before it
        for (uint32_t i = 0; i < stage->count && status == ESPY_OK; i++)
            status = mark_dispatch(planner, &planner->dispatches[stage->first + i], &pending);
    }
    espy_free(planner->host, pending.items);
    return status;
}
