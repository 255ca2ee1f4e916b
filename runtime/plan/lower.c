#include "plan/plan_internal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "shaders/copy.spv.h"

enum { REASON_SIZE = 512 };

static const struct view no_view = {.buffer = VIEW_NONE};

bool espy_lower_has(const struct op_lower *c, uint32_t i)
{
    return i < c->input_count && c->inputs[i].dtype != ESPY_DTYPE_NONE;
}

bool espy_lower_wants(const struct op_lower *c, uint32_t o)
{
    return o < c->output_count && c->outputs[o].dtype != ESPY_DTYPE_NONE;
}

// ---- buffers ---------------------------------------------------------------------------------------

uint32_t espy_planner_add_buffer(struct planner *planner, enum plan_buffer_kind kind,
                                 espy_dtype dtype, size_t count, const char *name)
{
    if (planner->status != ESPY_OK)
        return VIEW_NONE;
    struct plan *plan = planner->plan;
    planner->status = espy_grow(planner->host, &planner->buffers, plan->buffer_count,
                                &planner->buffer_capacity, sizeof(*planner->buffers));
    if (planner->status == ESPY_OK)
        planner->status =
            espy_grow(planner->host, &planner->buffers_temporary, plan->buffer_count,
                      &planner->temporary_capacity, sizeof(*planner->buffers_temporary));
    if (planner->status != ESPY_OK)
        return VIEW_NONE;
    const enum storage storage = espy_storage_of(planner->params->caps, dtype);
    const uint64_t bytes = (uint64_t)count * espy_storage_size(storage);
    planner->buffers[plan->buffer_count] = (struct plan_buffer){
        .kind = kind,
        .storage = storage,
        .size = bytes == 0 ? 16 : (bytes + 15) / 16 * 16, // kernels may read whole vec4s
        .first = UINT32_MAX,
        .dtype = dtype,
        .count = count,
        .name = name};
    planner->buffers_temporary[plan->buffer_count] = false;
    return plan->buffer_count++;
}

struct view espy_planner_dense_view(const struct planner *planner, uint32_t buffer,
                                    espy_dtype dtype, const struct shape *shape)
{
    const struct view start = {.buffer = buffer,
                               .dtype = dtype,
                               .storage = espy_storage_of(planner->params->caps, dtype)};
    return espy_view_reshaped_dense(&start, shape);
}

void espy_planner_touch(struct planner *planner, uint32_t buffer, uint32_t time)
{
    struct plan_buffer *touched = &planner->buffers[buffer];
    if (touched->first == UINT32_MAX || time < touched->first)
        touched->first = time;
    if (time > touched->last)
        touched->last = time;
}

static bool holds_constants(const struct planner *planner, uint32_t buffer)
{
    return planner->buffers[buffer].kind != PLAN_ARENA;
}

static struct view new_dense(struct op_lower *c, espy_dtype dtype, const struct shape *shape,
                             const char *name)
{
    struct planner *planner = c->planner;
    size_t count = 0;
    const bool fits = espy_shape_count(shape, &count);
    assert(fits); // espy_op_infer
    (void)fits;
    planner->touched = true;
    const enum plan_buffer_kind kind = planner->node_constant ? PLAN_PERSISTENT : PLAN_ARENA;
    const uint32_t buffer = espy_planner_add_buffer(planner, kind, dtype, count, name);
    if (buffer == VIEW_NONE)
        return no_view;
    return espy_planner_dense_view(planner, buffer, dtype, shape);
}

// ---- inputs ----------------------------------------------------------------------------------------

// A buffer for elements that the host has of a value, from the first on.
static uint32_t add_constant(struct planner *planner, uint32_t value, const struct tensor *elements,
                             size_t count)
{
    const struct graph_value *known = &planner->params->graph->values[value];
    assert(elements->data != NULL);
    const uint32_t buffer = espy_planner_add_buffer(planner, PLAN_CONSTANT, elements->type.dtype,
                                                    count, known->name);
    if (buffer == VIEW_NONE)
        return VIEW_NONE;
    planner->buffers[buffer].data = elements->data;
    planner->buffers[buffer].lasting = elements->data == known->data;
    return buffer;
}

// Uploads a value that is known on the host, once.
static struct view upload(struct op_lower *c, uint32_t value)
{
    struct planner *planner = c->planner;
    const struct tensor *tensor = &planner->plan->walk.values[value];
    struct place *place = &planner->places[value];
    const uint32_t buffer = add_constant(planner, value, tensor, tensor->count);
    if (buffer == VIEW_NONE)
        return no_view;
    place->view =
        espy_planner_dense_view(planner, buffer, tensor->type.dtype, &tensor->type.shape);
    place->placed = true;
    return place->view;
}

struct view espy_planner_view(struct op_lower *c, uint32_t value)
{
    if (c->planner->status != ESPY_OK)
        return no_view;
    espy_planner_catch_up(c->planner, value);
    if (c->planner->status != ESPY_OK)
        return no_view;
    if (c->planner->places[value].placed)
        return c->planner->places[value].view;
    return upload(c, value);
}

uint32_t espy_planner_input(const struct op_lower *c, uint32_t i)
{
    assert(espy_lower_has(c, i));
    if (i == 0 && c->map_taken)
        return c->map;
    return c->planner->params->graph->nodes[c->planner->node].inputs[i];
}

struct view espy_lower_input(struct op_lower *c, uint32_t i)
{
    c->planner->touched = true;
    return espy_planner_view(c, espy_planner_input(c, i));
}

static struct shape shape_of_view(const struct view *view)
{
    struct shape shape = {.rank = view->rank};
    memcpy(shape.dims, view->dims, sizeof(shape.dims));
    return shape;
}

// A copy of view in a fresh buffer; made once, before the first run, when view holds constants.
static struct view copied(struct op_lower *c, const struct view *view, bool channels_last)
{
    struct planner *planner = c->planner;
    const struct shape shape = shape_of_view(view);
    const bool outer = planner->node_constant;
    planner->node_constant = holds_constants(planner, view->buffer);
    struct view copy = new_dense(c, view->dtype, &shape, NULL);
    if (copy.buffer != VIEW_NONE) {
        if (channels_last)
            espy_view_make_channels_last(&copy);
        espy_lower_copy(c, view, &copy);
    }
    planner->node_constant = outer;
    return copy;
}

struct view espy_planner_dense(struct op_lower *c, uint32_t value)
{
    const struct view view = espy_planner_view(c, value);
    if (view.buffer == VIEW_NONE || espy_view_dense(&view))
        return view;
    struct place *place = &c->planner->places[value];
    if (!place->has_dense) {
        place->dense = copied(c, &view, false);
        place->has_dense = place->dense.buffer != VIEW_NONE;
    }
    return place->dense;
}

struct view espy_lower_dense_input(struct op_lower *c, uint32_t i)
{
    c->planner->touched = true;
    return espy_planner_dense(c, espy_planner_input(c, i));
}

// The host's bytes as they are, so that the upload converts nothing.
static struct view upload_packed(struct op_lower *c, uint32_t value)
{
    struct planner *planner = c->planner;
    const struct tensor *tensor = &planner->plan->walk.values[value];
    const size_t size = espy_tensor_size(tensor);
    const struct tensor bytes = {.type.dtype = ESPY_UINT8, .count = size, .data = tensor->data};
    const uint32_t buffer = add_constant(planner, value, &bytes, size);
    if (buffer == VIEW_NONE)
        return no_view;
    planner->buffers[buffer].storage = STORAGE_PACKED;
    planner->buffers[buffer].size = size == 0 ? 16 : (size + 15) / 16 * 16;
    struct view view =
        espy_planner_dense_view(planner, buffer, tensor->type.dtype, &tensor->type.shape);
    view.storage = STORAGE_PACKED;
    return view;
}

struct view espy_lower_packed_input(struct op_lower *c, uint32_t i)
{
    c->planner->touched = true;
    const uint32_t value = espy_planner_input(c, i);
    const espy_dtype dtype = c->inputs[i].dtype;
    const bool packs = espy_dtype_bits(dtype) <= 16 && !espy_dtype_is_float(dtype);
    if (!packs || c->values[i].data == NULL || c->planner->status != ESPY_OK)
        return espy_planner_view(c, value);
    struct place *place = &c->planner->places[value];
    if (!place->has_packed) {
        place->packed = upload_packed(c, value);
        place->has_packed = place->packed.buffer != VIEW_NONE;
    }
    return place->packed;
}

bool espy_lower_is_constant(const struct op_lower *c, uint32_t i)
{
    if (!espy_lower_has(c, i))
        return false;
    const struct place *place = &c->planner->places[espy_planner_input(c, i)];
    return c->values[i].data != NULL ||
           (place->placed && holds_constants(c->planner, place->view.buffer));
}

// Elements on the host: the value's own, or those that its memory is filled from, which may be
// narrower. data NULL: there are none.
static struct tensor host_elements(const struct op_lower *c, uint32_t value)
{
    const struct planner *planner = c->planner;
    const struct tensor *known = &planner->plan->walk.values[value];
    const struct place *place = &planner->places[value];
    if (known->data != NULL || !place->placed)
        return *known;
    const struct plan_buffer *buffer = &planner->buffers[place->view.buffer];
    if (buffer->kind != PLAN_CONSTANT || buffer->storage == STORAGE_PACKED || buffer->run != 0 ||
        !espy_view_dense(&place->view) || place->view.offset != 0)
        return *known;
    const struct tensor filled = {.type = {buffer->dtype, planner->plan->walk.types[value].shape},
                                  .count = buffer->count,
                                  .data = (void *)(uintptr_t)buffer->data};
    return filled.count == espy_view_count(&place->view) ? filled : *known;
}

espy_dtype espy_lower_host_dtype(const struct op_lower *c, const struct view *view)
{
    const struct plan_buffer *buffer =
        view->buffer == VIEW_NONE ? NULL : &c->planner->buffers[view->buffer];
    return buffer != NULL && buffer->kind == PLAN_CONSTANT ? buffer->dtype : ESPY_DTYPE_NONE;
}

bool espy_lower_has_parts(const struct op_lower *c, uint32_t i)
{
    const struct tensor elements = host_elements(c, espy_planner_input(c, i));
    return elements.data != NULL && espy_dtype_bits(elements.type.dtype) >= 8;
}

struct view espy_lower_constant_part(struct op_lower *c, uint32_t i, uint32_t axis, int64_t first,
                                     int64_t count)
{
    struct planner *planner = c->planner;
    const uint32_t value = espy_planner_input(c, i);
    const struct tensor elements = host_elements(c, value);
    struct shape shape = elements.type.shape;
    const int64_t all = shape.dims[axis];
    size_t inner = 1, part = 0; // inner: elements inside of the dimension
    assert(espy_dtype_bits(elements.type.dtype) >= 8);
    assert(first >= 0 && count > 0 && first + count <= all);
    shape.dims[axis] = count;
    espy_shape_count(&shape, &part); // a part of what fits
    for (uint32_t d = axis + 1; d < shape.rank; d++)
        inner *= (size_t)shape.dims[d];
    planner->touched = true;
    const uint32_t buffer = add_constant(planner, value, &elements, part);
    if (buffer == VIEW_NONE)
        return no_view;
    struct plan_buffer *made = &planner->buffers[buffer];
    if (planner->plan->walk.values[value].data == NULL) // from the buffer that the value lies in
        made->lasting = planner->buffers[planner->places[value].view.buffer].lasting;
    made->data = (const unsigned char *)elements.data +
                 (size_t)first * inner * espy_dtype_size(elements.type.dtype);
    made->run = (size_t)count * inner;
    made->step = (size_t)all * inner;
    return espy_planner_dense_view(planner, buffer, c->inputs[i].dtype, &shape);
}

struct view espy_planner_channels_last(struct op_lower *c, uint32_t value)
{
    const struct view view = espy_planner_view(c, value);
    if (view.buffer == VIEW_NONE || espy_view_channels_last(&view))
        return view;
    assert(view.rank >= 3);
    struct place *place = &c->planner->places[value];
    if (!place->has_channels_last) {
        place->channels_last = copied(c, &view, true);
        place->has_channels_last = place->channels_last.buffer != VIEW_NONE;
    }
    return place->channels_last;
}

struct view espy_lower_channels_last_input(struct op_lower *c, uint32_t i)
{
    c->planner->touched = true;
    return espy_planner_channels_last(c, espy_planner_input(c, i));
}

// ---- outputs ---------------------------------------------------------------------------------------

uint32_t espy_planner_output(const struct op_lower *c, uint32_t o)
{
    assert(o < c->output_count);
    if (o == 0 && c->tail_taken)
        return c->tail->output;
    return c->planner->params->graph->nodes[c->planner->node].outputs[o];
}

void espy_lower_alias(struct op_lower *c, uint32_t o, const struct view *view)
{
    c->planner->touched = true;
    if (c->planner->status != ESPY_OK || view->buffer == VIEW_NONE || !espy_lower_wants(c, o))
        return;
    struct place *place = &c->planner->places[espy_planner_output(c, o)];
    assert(!place->placed);
    *place = (struct place){.placed = true, .view = *view};
}

struct view espy_lower_output(struct op_lower *c, uint32_t o)
{
    if (!espy_lower_wants(c, o))
        return no_view;
    const char *name = c->planner->params->graph->values[espy_planner_output(c, o)].name;
    const struct view view = new_dense(c, c->outputs[o].dtype, &c->outputs[o].shape, name);
    espy_lower_alias(c, o, &view);
    return view;
}

static struct view strided_output(struct op_lower *c, uint32_t o, const int64_t *strides)
{
    const char *name = c->planner->params->graph->values[espy_planner_output(c, o)].name;
    struct view view = new_dense(c, c->outputs[o].dtype, &c->outputs[o].shape, name);
    if (view.buffer != VIEW_NONE)
        memcpy(view.strides, strides, view.rank * sizeof(*strides));
    espy_lower_alias(c, o, &view);
    return view;
}

struct view espy_lower_output_like(struct op_lower *c, uint32_t o, const struct view *like)
{
    if (!espy_lower_wants(c, o))
        return no_view;
    const struct shape *shape = &c->outputs[o].shape;
    assert(like->buffer == VIEW_NONE || like->rank == shape->rank);
    // Dimensions from the one with the smallest stride outwards, dense in that order. Ties go to
    // the later dimension, so that dims of 1 and broadcast ones fall back to row-major order.
    int64_t strides[ESPY_RANK_MAX], stride = 1;
    bool used[ESPY_RANK_MAX] = {false};
    for (uint32_t k = 0; k < shape->rank; k++) {
        uint32_t next = UINT32_MAX;
        for (uint32_t i = shape->rank; i-- > 0;) {
            if (used[i])
                continue;
            const bool smaller = next == UINT32_MAX || like->strides[i] < like->strides[next];
            if (smaller)
                next = i;
        }
        used[next] = true;
        strides[next] = stride;
        stride *= shape->dims[next] > 0 ? shape->dims[next] : 1;
    }
    return strided_output(c, o, strides);
}

struct view espy_lower_channels_last_output(struct op_lower *c, uint32_t o)
{
    if (!espy_lower_wants(c, o))
        return no_view;
    const struct shape *shape = &c->outputs[o].shape;
    assert(shape->rank >= 3);
    int64_t strides[ESPY_RANK_MAX];
    strides[1] = 1;
    int64_t stride = shape->dims[1];
    for (uint32_t d = shape->rank; d-- > 2;) {
        strides[d] = stride;
        stride *= shape->dims[d];
    }
    strides[0] = stride;
    return strided_output(c, o, strides);
}

struct view espy_lower_temporary(struct op_lower *c, espy_dtype dtype, const struct shape *shape)
{
    const struct view view = new_dense(c, dtype, shape, NULL);
    if (view.buffer != VIEW_NONE)
        c->planner->buffers_temporary[view.buffer] = true;
    return view;
}

bool espy_lower_spare(struct op_lower *c, uint64_t size)
{
    if (size > c->planner->spare_size)
        return false;
    c->planner->spare_size -= size;
    return true;
}

struct view espy_lower_count(struct op_lower *c)
{
    const struct graph_node *node = &c->planner->params->graph->nodes[c->planner->node];
    const struct shape one = {1, {1}};
    const struct view view = espy_lower_temporary(c, ESPY_UINT32, &one);
    assert((c->node->op->flags & OP_DATA_SHAPE) != 0);
    for (uint32_t o = 0; o < node->output_count; o++)
        if (node->outputs[o] != GRAPH_NONE)
            c->planner->counted[node->outputs[o]].count = view;
    return view;
}

struct view espy_lower_constant(struct op_lower *c, espy_dtype dtype, const struct shape *shape,
                                const void *bytes)
{
    struct planner *planner = c->planner;
    size_t count = 0;
    const bool fits = espy_shape_count(shape, &count);
    assert(fits);
    (void)fits;
    planner->touched = true;
    const uint32_t buffer = espy_planner_add_buffer(planner, PLAN_CONSTANT, dtype, count, NULL);
    if (buffer == VIEW_NONE)
        return no_view;
    size_t size = 0;
    espy_dtype_data_size(dtype, count, &size); // cannot overflow: the bytes are there
    void *copy = espy_arena_copy(&planner->plan->memory, bytes, size);
    if (copy == NULL)
        planner->status = ESPY_OUT_OF_MEMORY;
    planner->buffers[buffer].data = copy;
    return espy_planner_dense_view(planner, buffer, dtype, shape);
}

// ---- dispatches ------------------------------------------------------------------------------------

bool espy_lower_reads_vectors(const struct op_lower *c, enum storage storage)
{
    return c->caps->cpu && storage == STORAGE_F32;
}

enum shader_variant espy_reading_variant(const struct op_lower *c, enum storage storage)
{
    const bool texels = espy_lower_reads_vectors(c, storage) &&
                        c->caps->texel_elements_max >= c->caps->buffer_range_max / 4;
    return texels ? VARIANT_T32 : espy_variant(storage);
}

const struct shader *espy_vector_shader(const struct op_lower *c, const struct shader_set *shaders)
{
    return shaders->variants[espy_reading_variant(c, STORAGE_F32)];
}

enum shader_variant espy_variant(enum storage storage)
{
    static const enum shader_variant variants[] = {[STORAGE_F32] = VARIANT_F32,
                                                   [STORAGE_F16] = VARIANT_F16,
                                                   [STORAGE_I32] = VARIANT_I32,
                                                   [STORAGE_U32] = VARIANT_U32,
                                                   [STORAGE_I64] = VARIANT_I64};
    return variants[storage];
}

enum shader_variant espy_word_variant(enum storage storage)
{
    return storage == STORAGE_F16   ? VARIANT_W16
           : storage == STORAGE_I64 ? VARIANT_W64
                                    : VARIANT_W32;
}

enum storage espy_lower_storage(const struct op_lower *c, espy_dtype dtype)
{
    return espy_storage_of(c->caps, dtype);
}

uint32_t espy_index_words(const struct view *view)
{
    return view->storage == STORAGE_I64 ? 2 : 1;
}

void espy_lower_grid(const struct op_lower *c, size_t count, uint32_t local_size,
                     uint32_t groups[3])
{
    const size_t needed = (count + local_size - 1) / local_size;
    const size_t row = c->caps->groups_max[0];
    groups[0] = (uint32_t)(needed < row ? needed : row);
    groups[1] = needed == 0 ? 0 : (uint32_t)((needed + row - 1) / row);
    groups[2] = 1;
    if (groups[1] > 1) // equal rows leave the smallest overhang
        groups[0] = (uint32_t)((needed + groups[1] - 1) / groups[1]);
}

uint32_t espy_lower_run(const struct op_lower *c, const struct view *collapsed)
{
    enum { RUN_MAX = 16 };
    uint32_t run = c->caps->cpu ? RUN_MAX : 1;
    while (collapsed->rank > 1 && collapsed->dims[collapsed->rank - 1] % run != 0)
        run /= 2;
    return run;
}

uint32_t espy_lower_step(const struct op_lower *c, uint32_t i, float *a, float *b)
{
    a[i] = i < c->step_count ? c->steps[i].a : 0;
    b[i] = i < c->step_count ? c->steps[i].b : 0;
    return i < c->step_count ? c->steps[i].function : 0;
}

static bool check_dispatch(struct op_lower *c, const struct op_dispatch *dispatch)
{
    const struct shader *shader = dispatch->shader;
    if (shader == NULL) {
        espy_lower_unsupported(c, "no kernel for this type on this device");
        return false;
    }
    assert(dispatch->binding_count == shader->binding_count);
    assert(dispatch->push_size == shader->push_size);
    assert(dispatch->spec_size == 4 * (size_t)shader->spec_count);
    if (c->caps->bindings_max != 0 && shader->binding_count > c->caps->bindings_max) {
        espy_lower_unsupported(c, "kernel %s binds %u buffers, the device %u", shader->name,
                               shader->binding_count, c->caps->bindings_max);
        return false;
    }
    for (uint32_t d = 0; d < 3; d++) {
        if (dispatch->groups[d] > c->caps->groups_max[d]) {
            espy_lower_unsupported(c, "kernel %s needs %u workgroups, the device has %u",
                                   shader->name, dispatch->groups[d], c->caps->groups_max[d]);
            return false;
        }
    }
    return true;
}

// Before the first run, when everything it reads is constant and what it writes is this operator's
// own: outputs of an all-constant node, or temporaries that hold repacked weights.
static bool belongs_to_prepare(const struct planner *planner, const struct plan_dispatch *made)
{
    for (uint32_t b = 0; b < made->binding_count; b++) {
        const struct plan_binding *binding = &made->bindings[b];
        if (!binding->writes && !holds_constants(planner, binding->buffer))
            return false;
        if (binding->writes && !holds_constants(planner, binding->buffer) &&
            !(planner->buffers_temporary[binding->buffer] &&
              planner->buffers[binding->buffer].first == UINT32_MAX))
            return false;
    }
    return true;
}

static void append_main(struct planner *planner, struct plan_dispatch *made)
{
    struct plan *plan = planner->plan;
    made->time = planner->time++;
    for (uint32_t b = 0; b < made->binding_count; b++)
        espy_planner_touch(planner, made->bindings[b].buffer, made->time);
    planner->status = espy_grow(planner->host, &planner->dispatches, plan->dispatch_count,
                                &planner->dispatch_capacity, sizeof(*made));
    if (planner->status == ESPY_OK)
        planner->dispatches[plan->dispatch_count++] = *made;
}

static bool touches(const struct planner *planner, const struct plan_dispatch *dispatch,
                    enum plan_buffer_kind kind, bool writes)
{
    for (uint32_t b = 0; b < dispatch->binding_count; b++)
        if (planner->buffers[dispatch->bindings[b].buffer].kind == kind &&
            (!writes || dispatch->bindings[b].writes))
            return true;
    return false;
}

// A temporary whose first parts were constant turns out to get others in every run: what wrote it
// before the first run moves behind, and so does what read that.
static void demote(struct planner *planner, const struct plan_dispatch *made)
{
    struct plan *plan = planner->plan;
    for (uint32_t b = 0; b < made->binding_count; b++)
        if (made->bindings[b].writes)
            planner->buffers[made->bindings[b].buffer].kind = PLAN_ARENA;
    for (bool found = true; found && planner->status == ESPY_OK;) {
        found = false;
        for (uint32_t i = 0; i < plan->prepare_count && !found; i++) {
            if (!touches(planner, &planner->prepare[i], PLAN_ARENA, false))
                continue;
            struct plan_dispatch moved = planner->prepare[i];
            found = true;
            for (uint32_t b = 0; b < moved.binding_count; b++)
                if (moved.bindings[b].writes)
                    planner->buffers[moved.bindings[b].buffer].kind = PLAN_ARENA;
            memmove(&planner->prepare[i], &planner->prepare[i + 1],
                    (plan->prepare_count - i - 1) * sizeof(moved));
            plan->prepare_count--;
            append_main(planner, &moved);
        }
    }
}

static void append_dispatch(struct planner *planner, struct plan_dispatch *made)
{
    struct plan *plan = planner->plan;
    if (belongs_to_prepare(planner, made)) {
        for (uint32_t b = 0; b < made->binding_count; b++)
            if (!holds_constants(planner, made->bindings[b].buffer))
                planner->buffers[made->bindings[b].buffer].kind = PLAN_PERSISTENT;
        planner->status = espy_grow(planner->host, &planner->prepare, plan->prepare_count,
                                    &planner->prepare_capacity, sizeof(*made));
        if (planner->status == ESPY_OK)
            planner->prepare[plan->prepare_count++] = *made;
        return;
    }
    if (touches(planner, made, PLAN_PERSISTENT, true))
        demote(planner, made);
    if (planner->status == ESPY_OK)
        append_main(planner, made);
}

// A binding that the shader does not use still needs some buffer: any other one of the dispatch.
static uint32_t any_buffer(const struct op_dispatch *dispatch)
{
    for (uint32_t b = 0; b < dispatch->binding_count; b++)
        if (dispatch->bindings[b].buffer != VIEW_NONE)
            return dispatch->bindings[b].buffer;
    return VIEW_NONE;
}

// What is read again and again, as strides of 0 are, counts once.
static uint64_t seen_size(const struct view *view)
{
    uint64_t count = 1;
    for (uint32_t d = 0; d < view->rank; d++)
        if (view->strides[d] != 0)
            count *= (uint64_t)view->dims[d];
    if (view->storage == STORAGE_PACKED)
        return (count * espy_dtype_bits(view->dtype) + 7) / 8;
    return count * espy_storage_size(view->storage);
}

static void fill_binding(const struct op_dispatch *dispatch, uint32_t b, uint32_t fallback,
                         struct plan_binding *bindings)
{
    const struct view *view = &dispatch->bindings[b];
    const bool given = view->buffer != VIEW_NONE;
    const struct shader_binding *declared = &dispatch->shader->bindings[b];
    assert(given || !declared->writes);
    bindings[b].buffer = given ? view->buffer : fallback;
    bindings[b].writes = given && declared->writes;
    bindings[b].reads = given && !declared->writes;
    bindings[b].size = given && declared->kind != BINDING_UNUSED ? seen_size(view) : 0;
    // One view under several names, as scalars and as vectors.
    for (uint32_t e = 0; e < b; e++)
        if (bindings[e].buffer == bindings[b].buffer && bindings[e].writes == bindings[b].writes &&
            bindings[e].size > 0 && dispatch->bindings[e].offset == view->offset)
            bindings[b].size = 0;
}

void espy_lower_dispatch(struct op_lower *c, const struct op_dispatch *dispatch)
{
    struct planner *planner = c->planner;
    planner->touched = true;
    if (planner->status != ESPY_OK || dispatch->groups[0] == 0 || dispatch->groups[1] == 0 ||
        dispatch->groups[2] == 0 || !check_dispatch(c, dispatch))
        return;
    struct arena *memory = &planner->plan->memory;
    struct plan_dispatch made = {.shader = dispatch->shader,
                                 .node = planner->node,
                                 .binding_count = dispatch->binding_count,
                                 .push_size = (uint32_t)dispatch->push_size,
                                 .spec_size = (uint32_t)dispatch->spec_size};
    memcpy(made.groups, dispatch->groups, sizeof(made.groups));
    made.push = espy_arena_copy(memory, dispatch->push, dispatch->push_size);
    made.spec = espy_arena_copy(memory, dispatch->spec, dispatch->spec_size);
    made.bindings = espy_arena_array(memory, made.binding_count, sizeof(*made.bindings));
    if (made.push == NULL || made.spec == NULL || made.bindings == NULL) {
        planner->status = ESPY_OUT_OF_MEMORY;
        return;
    }
    const uint32_t fallback = any_buffer(dispatch);
    assert(fallback != VIEW_NONE);
    for (uint32_t b = 0; b < made.binding_count; b++)
        fill_binding(dispatch, b, fallback, made.bindings);
    append_dispatch(planner, &made);
}

static void fill_copy_push(const struct view *views, struct copy_push *push)
{
    push->count = (uint32_t)espy_view_count(&views[0]);
    push->src_offset = (int32_t)views[0].offset;
    push->dst_offset = (int32_t)views[1].offset;
    for (uint32_t d = 0; d < views[0].rank; d++) {
        push->dims[d] = (uint32_t)views[0].dims[d];
        push->src_strides[d] = (int32_t)views[0].strides[d];
        push->dst_strides[d] = (int32_t)views[1].strides[d];
    }
}

// Makes views of vectors of four elements of both; false: they do not hold whole ones.
static bool take_vectors(const struct op_lower *c, struct view *views)
{
    const uint32_t last = views[0].rank - 1;
    if (espy_reading_variant(c, views[0].storage) != VARIANT_T32)
        return false;
    for (uint32_t i = 0; i < 2; i++)
        if (!espy_view_vectors(&views[i], last, false))
            return false;
    for (uint32_t i = 0; i < 2; i++) {
        views[i].offset /= 4;
        views[i].dims[last] /= 4;
        for (uint32_t d = 0; d < last; d++)
            views[i].strides[d] /= 4;
    }
    return true;
}

void espy_lower_copy(struct op_lower *c, const struct view *src, const struct view *dst)
{
    if (c->planner->status != ESPY_OK || src->buffer == VIEW_NONE || dst->buffer == VIEW_NONE)
        return;
    assert(src->storage == dst->storage);
    struct view views[2] = {*src, *dst};
    // Two views that are dense in one same order are one run of elements.
    if (espy_view_same_strides(src, dst) && espy_view_contiguous(src)) {
        const struct shape flat = {1, {(int64_t)espy_view_count(src)}};
        views[0] = espy_view_reshaped_dense(src, &flat);
        views[1] = espy_view_reshaped_dense(dst, &flat);
    }
    struct copy_spec spec = COPY_SPEC_DEFAULT;
    struct copy_push push = {0};
    push.rank = espy_view_collapse(views, 2);
    const enum shader_variant variant =
        take_vectors(c, views) ? VARIANT_T32 : espy_word_variant(src->storage);
    push.run = espy_lower_run(c, &views[0]);
    spec.local_size_x = c->caps->local_size;
    fill_copy_push(views, &push);
    struct op_dispatch dispatch = {.shader = copy_shaders.variants[variant],
                                   .bindings = {*src, *dst},
                                   .binding_count = 2,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    espy_lower_grid(c, (push.count + push.run - 1) / push.run, spec.local_size_x,
                    dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
}

// ---- failing ---------------------------------------------------------------------------------------

espy_status espy_lower_status(const struct op_lower *c)
{
    return c->planner->status;
}

espy_status espy_lower_on_host(struct op_lower *c, const char *why)
{
    assert(!c->planner->touched);
    c->planner->host_reason = why;
    return ESPY_OK;
}

espy_status espy_lower_unsupported(struct op_lower *c, const char *format, ...)
{
    if (c->planner->status != ESPY_OK)
        return c->planner->status;
    char reason[REASON_SIZE];
    va_list list;
    va_start(list, format);
    vsnprintf(reason, sizeof(reason), format, list);
    va_end(list);
    const char *node = c->node != NULL ? c->node->name : "output";
    const char *op = c->node != NULL ? c->node->op->name : "copy";
    c->planner->status =
        espy_fail(c->host, ESPY_UNSUPPORTED, "node '%s' (%s): %s", node, op, reason);
    return c->planner->status;
}
