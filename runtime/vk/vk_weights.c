// What programs read and never write, kept once where it is the same.
//
// A buffer's content is told by how it came about. Every step that makes it is interned: uploading
// elements of the graph (their address, count and types), then each prepare dispatch that writes
// into it (shader, constants, groups, what it reads, and what the buffer held before). Equal steps
// have equal numbers, so two plans that repack the same weights in the same way end with the same
// number, and the second finds the memory of the first.
#include "vk/vk_internal.h"

#include <assert.h>
#include <string.h>

// Memory that one program brought along; it goes with the last buffer in it that is used.
struct vk_slab {
    struct vk_buffer buffer;
    uint32_t users; // contents that lie here
};

struct vk_content {
    uint64_t hash;
    uint32_t step_size;
    unsigned char *step;  // NULL: like nothing else
    uint32_t users;       // programs, as often as they count on it
    struct vk_slab *slab; // NULL: not in memory of its own
    uint64_t offset;
};

struct vk_weights {
    struct vk_device *device;
    uint32_t count, capacity;
    struct vk_content **contents;
    void (*read)(void *user, const void *data, size_t size); // NULL: nobody wants to know
    void *read_user;
};

espy_status espy_vk_weights_create(struct vk_device *device, struct vk_weights **weights)
{
    struct vk_weights *made = espy_alloc(&device->vk.host, sizeof(*made));
    if (made == NULL)
        return espy_fail_memory(&device->vk.host, sizeof(*made), "a list of weights");
    made->device = device;
    *weights = made;
    return ESPY_OK;
}

void espy_vk_weights_destroy(struct vk_weights **weights)
{
    struct vk_weights *old = *weights;
    if (old == NULL)
        return;
    assert(old->count == 0); // programs go first
    espy_free(&old->device->vk.host, (void *)old->contents);
    espy_free(&old->device->vk.host, old);
    *weights = NULL;
}

void espy_vk_weights_on_read(struct vk_weights *weights,
                             void (*read)(void *user, const void *data, size_t size), void *user)
{
    weights->read = read;
    weights->read_user = user;
}

void espy_vk_weights_was_read(const struct vk_program *program, uint32_t index)
{
    const struct vk_weights *weights = program->weights;
    const struct plan_buffer *buffer = &program->plan->buffers[index];
    size_t size, elements = buffer->count;
    // From the first row to the last; what lies between belongs to other parts, which read it again.
    if (buffer->run != 0 && buffer->count > buffer->run)
        elements = (buffer->count / buffer->run - 1) * buffer->step + buffer->run;
    if (weights->read != NULL && buffer->lasting &&
        espy_dtype_data_size(buffer->dtype, elements, &size))
        weights->read(weights->read_user, buffer->data, size);
}

// ---- contents ----------------------------------------------------------------------------------

// One content less lies in it.
static void free_slab(struct vk_device *device, struct vk_slab *slab)
{
    if (--slab->users > 0)
        return;
    espy_vk_buffer_finish(device, &slab->buffer);
    espy_free(&device->vk.host, slab);
}

// An empty list takes no memory, so that a session whose plan failed is as it was.
static void drop_empty(struct vk_weights *weights)
{
    if (weights->count > 0)
        return;
    espy_free(&weights->device->vk.host, (void *)weights->contents);
    weights->contents = NULL;
    weights->capacity = 0;
}

static void release(struct vk_weights *weights, struct vk_content *content)
{
    struct vk_device *device = weights->device;
    if (--content->users > 0)
        return;
    if (content->slab != NULL)
        free_slab(device, content->slab);
    for (uint32_t i = 0; i < weights->count; i++) {
        if (weights->contents[i] != content)
            continue;
        weights->contents[i] = weights->contents[--weights->count];
        break;
    }
    espy_free(&device->vk.host, content->step);
    espy_free(&device->vk.host, content);
    drop_empty(weights);
}

static struct vk_content *find(const struct vk_weights *weights, uint64_t hash, const void *step,
                               size_t size)
{
    for (uint32_t i = 0; i < weights->count; i++) {
        struct vk_content *content = weights->contents[i];
        if (content->hash == hash && content->step != NULL && content->step_size == size &&
            memcmp(content->step, step, size) == 0)
            return content;
    }
    return NULL;
}

static struct vk_content *make_content(const struct host *host, const void *step, size_t size)
{
    struct vk_content *content = espy_alloc(host, sizeof(*content));
    if (content == NULL) {
        espy_fail_memory(host, sizeof(*content), "weights");
        return NULL;
    }
    content->step = step == NULL ? NULL : espy_alloc(host, size);
    if (content->step == NULL && step != NULL) {
        espy_fail_memory(host, size, "weights");
        espy_free(host, content);
        return NULL;
    }
    if (step != NULL)
        memcpy(content->step, step, size);
    content->step_size = (uint32_t)size;
    return content;
}

static struct vk_content *add(struct vk_weights *weights, uint64_t hash, const void *step,
                              size_t size)
{
    const struct host *host = &weights->device->vk.host;
    if (espy_grow(host, &weights->contents, weights->count, &weights->capacity,
                  sizeof(struct vk_content *)) != ESPY_OK)
        return NULL;
    struct vk_content *content = make_content(host, step, size);
    if (content == NULL) {
        drop_empty(weights);
        return NULL;
    }
    content->hash = hash;
    weights->contents[weights->count++] = content;
    return content;
}

// step NULL: like nothing else. The program counts on the content from here on.
static struct vk_content *intern(struct vk_program *program, const void *step, size_t size)
{
    const struct host *host = &program->device->vk.host;
    struct vk_weights *weights = program->weights;
    const uint64_t hash = step == NULL ? 0 : espy_hash(ESPY_HASH_START, step, size);
    if (espy_grow(host, &program->held, program->held_count, &program->held_capacity,
                  sizeof(struct vk_content *)) != ESPY_OK)
        return NULL;
    struct vk_content *content = step == NULL ? NULL : find(weights, hash, step, size);
    if (content == NULL)
        content = add(weights, hash, step, size);
    if (content == NULL)
        return NULL;
    content->users++;
    program->held[program->held_count++] = content;
    return content;
}

// ---- steps -------------------------------------------------------------------------------------

enum { STEP_UPLOAD = 1, STEP_NOTHING, STEP_DISPATCH };

static espy_status begin(struct vk_program *program, uint32_t index)
{
    const struct plan_buffer *buffer = &program->plan->buffers[index];
    struct {
        uint64_t kind, storage, dtype, count, size, data, run, step;
    } step = {.kind = STEP_NOTHING, .storage = buffer->storage, .size = buffer->size};
    bool alike = true;
    if (buffer->kind == PLAN_CONSTANT) {
        step.kind = STEP_UPLOAD;
        step.dtype = buffer->dtype;
        step.count = buffer->count;
        step.data = (uintptr_t)buffer->data;
        step.run = buffer->run;
        step.step = buffer->step;
        alike = buffer->lasting; // or the address may be used again for something else
    }
    program->contents[index] = intern(program, alike ? &step : NULL, sizeof(step));
    return program->contents[index] == NULL ? ESPY_OUT_OF_MEMORY : ESPY_OK;
}

// Everything that the result of a dispatch follows from, but for what is written where.
static espy_status print_dispatch(const struct vk_program *program,
                                  const struct plan_dispatch *dispatch, struct text *text)
{
    const struct {
        uint64_t kind, shader;
        uint32_t groups[3], push_size, spec_size, binding_count;
    } head = {.kind = STEP_DISPATCH,
              .shader = (uintptr_t)dispatch->shader,
              .groups = {dispatch->groups[0], dispatch->groups[1], dispatch->groups[2]},
              .push_size = dispatch->push_size,
              .spec_size = dispatch->spec_size,
              .binding_count = dispatch->binding_count};
    espy_text_add_bytes(text, (const char *)&head, sizeof(head));
    if (dispatch->push_size > 0)
        espy_text_add_bytes(text, dispatch->push, dispatch->push_size);
    if (dispatch->spec_size > 0)
        espy_text_add_bytes(text, dispatch->spec, dispatch->spec_size);
    for (uint32_t b = 0; b < dispatch->binding_count; b++) {
        const struct plan_binding *binding = &dispatch->bindings[b];
        const struct {
            uint64_t content, reads, writes;
        } read = {binding->reads ? (uintptr_t)program->contents[binding->buffer] : 0,
                  binding->reads, binding->writes};
        espy_text_add_bytes(text, (const char *)&read, sizeof(read));
    }
    return text->failed ? ESPY_OUT_OF_MEMORY : ESPY_OK;
}

// The buffer that a prepare dispatch writes; can_share has seen that it is one.
static uint32_t written_by(const struct plan_dispatch *dispatch, uint32_t *binding)
{
    uint32_t b = 0;
    while (!dispatch->bindings[b].writes)
        b++;
    *binding = b;
    return dispatch->bindings[b].buffer;
}

static espy_status follow(struct vk_program *program, const struct plan_dispatch *dispatch)
{
    struct text text;
    uint32_t binding;
    const uint32_t buffer = written_by(dispatch, &binding);
    const struct {
        uint64_t binding, before;
    } where = {binding, (uintptr_t)program->contents[buffer]};
    espy_text_init(&text, &program->device->vk.host);
    espy_status status = print_dispatch(program, dispatch, &text);
    espy_text_add_bytes(&text, (const char *)&where, sizeof(where));
    if (status == ESPY_OK && !text.failed)
        program->contents[buffer] = intern(program, text.chars, text.length);
    if (text.failed || program->contents[buffer] == NULL)
        status = ESPY_OUT_OF_MEMORY;
    espy_text_finish(&text);
    return status;
}

// ---- what is missing ---------------------------------------------------------------------------

static bool stays(const struct plan_buffer *buffer)
{
    return buffer->kind != PLAN_ARENA && !buffer->transient;
}

// Of several buffers of this plan with one content, the first is filled; the others stay apart, for
// the plan's barriers know them as different memory.
static espy_status mark_fresh(struct vk_program *program)
{
    const struct plan *plan = program->plan;
    for (uint32_t i = 0; i < plan->buffer_count; i++) {
        if (!stays(&plan->buffers[i]) || program->contents[i]->slab != NULL)
            continue;
        for (uint32_t k = 0; k < i; k++) {
            if (program->contents[k] != program->contents[i] || !program->fresh[k])
                continue;
            program->contents[i] = intern(program, NULL, 0);
            if (program->contents[i] == NULL)
                return ESPY_OUT_OF_MEMORY;
        }
        program->fresh[i] = true;
    }
    return ESPY_OK;
}

static uint64_t place_fresh(struct vk_program *program)
{
    const struct plan *plan = program->plan;
    const uint64_t least = program->device->caps.buffer_alignment;
    const uint64_t alignment = least < 16 ? 16 : least;
    uint64_t size = 0;
    for (uint32_t i = 0; i < plan->buffer_count; i++) {
        if (!program->fresh[i])
            continue;
        program->contents[i]->offset = (size + alignment - 1) / alignment * alignment;
        size = program->contents[i]->offset + plan->buffers[i].size;
    }
    return size;
}

// Memory for the contents that stay and have none yet.
static espy_status make_slab(struct vk_program *program)
{
    struct vk_device *device = program->device;
    const uint64_t size = place_fresh(program);
    if (size == 0)
        return ESPY_OK;
    struct vk_slab *slab = espy_alloc(&device->vk.host, sizeof(*slab));
    if (slab == NULL)
        return espy_fail_memory(&device->vk.host, sizeof(*slab), "weights");
    const espy_status status =
        espy_vk_buffer_init(device, MEMORY_DEVICE, size, "weights", &slab->buffer);
    if (status != ESPY_OK) {
        espy_free(&device->vk.host, slab);
        return status;
    }
    for (uint32_t i = 0; i < program->plan->buffer_count; i++) {
        if (!program->fresh[i])
            continue;
        program->contents[i]->slab = slab;
        slab->users++;
    }
    return ESPY_OK;
}

// Backwards from what is fresh: the dispatches that make it, and what they read on the way.
static void find_needed(struct vk_program *program)
{
    const struct plan *plan = program->plan;
    for (uint32_t d = plan->prepare_count; d-- > 0;) {
        const struct plan_dispatch *dispatch = &plan->prepare[d];
        for (uint32_t b = 0; b < dispatch->binding_count; b++)
            program->needed[d] =
                program->needed[d] ||
                (dispatch->bindings[b].writes && program->fresh[dispatch->bindings[b].buffer]);
        for (uint32_t b = 0; program->needed[d] && b < dispatch->binding_count; b++) {
            const uint32_t index = dispatch->bindings[b].buffer;
            program->fresh[index] = program->fresh[index] || plan->buffers[index].transient;
        }
    }
}

static bool writes(const struct plan_dispatch *dispatch, uint32_t buffer)
{
    for (uint32_t b = 0; b < dispatch->binding_count; b++)
        if (dispatch->bindings[b].writes && dispatch->bindings[b].buffer == buffer)
            return true;
    return false;
}

// Only where every dispatch writes one buffer, and nothing is read that changes later: what is in
// memory already is then what a dispatch would have read, and nothing that others use is written
// again. All of ours are so.
static bool can_share(const struct plan *plan)
{
    for (uint32_t d = 0; d < plan->prepare_count; d++) {
        uint32_t written = 0;
        for (uint32_t b = 0; b < plan->prepare[d].binding_count; b++) {
            const struct plan_binding *binding = &plan->prepare[d].bindings[b];
            written += binding->writes;
            for (uint32_t later = d; binding->reads && later < plan->prepare_count; later++)
                if (writes(&plan->prepare[later], binding->buffer))
                    return false;
        }
        if (written != 1)
            return false;
    }
    return true;
}

static espy_status find_contents(struct vk_program *program)
{
    const struct plan *plan = program->plan;
    const bool share = can_share(plan);
    for (uint32_t i = 0; i < plan->buffer_count; i++) {
        if (plan->buffers[i].kind == PLAN_ARENA)
            continue;
        if (share)
            TRY(begin(program, i));
        else
            program->contents[i] = intern(program, NULL, 0);
        if (program->contents[i] == NULL)
            return ESPY_OUT_OF_MEMORY;
    }
    for (uint32_t d = 0; share && d < plan->prepare_count; d++)
        TRY(follow(program, &plan->prepare[d]));
    return ESPY_OK;
}

espy_status espy_vk_weights_init(struct vk_program *program)
{
    const struct plan *plan = program->plan;
    const struct host *host = &program->device->vk.host;
    const size_t count = plan->buffer_count;
    program->contents = espy_alloc_array(host, count + 1, sizeof(struct vk_content *));
    program->fresh = espy_alloc_array(host, count + 1, sizeof(bool));
    program->needed = espy_alloc_array(host, (size_t)plan->prepare_count + 1, sizeof(bool));
    if (program->contents == NULL || program->fresh == NULL || program->needed == NULL)
        return espy_fail_memory(host, count * sizeof(struct vk_content *), "weights");
    if (program->weights == NULL) {
        TRY(espy_vk_weights_create(program->device, &program->own_weights));
        program->weights = program->own_weights;
    }
    TRY(find_contents(program));
    TRY(mark_fresh(program));
    TRY(make_slab(program));
    find_needed(program);
    return ESPY_OK;
}

// Others may count on a content without its memory, and would find what was never filled.
static void forget_unfilled(struct vk_program *program)
{
    struct vk_device *device = program->device;
    for (uint32_t i = 0;
         program->fresh != NULL && program->contents != NULL && i < program->plan->buffer_count;
         i++) {
        struct vk_content *content = program->contents[i];
        if (!program->fresh[i] || !stays(&program->plan->buffers[i]) || content->slab == NULL)
            continue;
        free_slab(device, content->slab);
        content->slab = NULL;
    }
}

void espy_vk_weights_finish(struct vk_program *program)
{
    const struct host *host = &program->device->vk.host;
    if (!program->filled)
        forget_unfilled(program);
    for (uint32_t i = 0; i < program->held_count; i++)
        release(program->weights, program->held[i]);
    espy_free(host, (void *)program->held);
    espy_free(host, (void *)program->contents);
    espy_free(host, program->fresh);
    espy_free(host, program->needed);
    espy_vk_weights_destroy(&program->own_weights);
}

const struct vk_buffer *espy_vk_weights_place(const struct vk_program *program, uint32_t index,
                                              uint64_t *offset)
{
    *offset = program->contents[index]->offset;
    return &program->contents[index]->slab->buffer;
}
