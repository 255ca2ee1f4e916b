// Clip: every element moved into min..max, either of which may be absent; max wins over min.
#include <string.h>

#include "op/axes.h"
#include "op/lower.h"
#include "op/op.h"
#include "shaders/clip.spv.h"

enum { CPU_RUN = 16 }; // starting an invocation is small beside its work
enum { FROM_ABSENT, FROM_PUSHED, FROM_IN_MEMORY }; // as in clip.comp

static espy_status infer(struct op_infer *c)
{
    if (c->inputs[0].dtype == ESPY_BOOL)
        return espy_infer_fail(c, "takes numbers, not bool");
    TRY(espy_infer_same_dtype(c, 0, 3));
    for (uint32_t i = 1; i < 3; i++) {
        size_t count;
        if (espy_infer_has(c, i) && (!espy_shape_count(&c->inputs[i].shape, &count) || count != 1))
            return espy_infer_fail(c, "input %u must be one number", i);
    }
    espy_infer_copy(c, 0, 0);
    return ESPY_OK;
}

static void clip_floats(struct op_eval *c)
{
    const struct tensor *x = &c->inputs[0];
    for (size_t i = 0; i < x->count; i++) {
        double value = espy_tensor_number(x, i);
        if (espy_eval_has(c, 1) && value < espy_tensor_number(&c->inputs[1], 0)) // NaN stays
            value = espy_tensor_number(&c->inputs[1], 0);
        if (espy_eval_has(c, 2) && value > espy_tensor_number(&c->inputs[2], 0))
            value = espy_tensor_number(&c->inputs[2], 0);
        espy_tensor_set_number(&c->outputs[0], i, value);
    }
}

static bool less(espy_dtype dtype, int64_t a, int64_t b)
{
    return dtype == ESPY_UINT64 ? (uint64_t)a < (uint64_t)b : a < b;
}

static void clip_integers(struct op_eval *c)
{
    const struct tensor *x = &c->inputs[0];
    const espy_dtype dtype = x->type.dtype;
    for (size_t i = 0; i < x->count; i++) {
        int64_t value = espy_tensor_integer(x, i);
        if (espy_eval_has(c, 1) && less(dtype, value, espy_tensor_integer(&c->inputs[1], 0)))
            value = espy_tensor_integer(&c->inputs[1], 0);
        if (espy_eval_has(c, 2) && less(dtype, espy_tensor_integer(&c->inputs[2], 0), value))
            value = espy_tensor_integer(&c->inputs[2], 0);
        espy_tensor_set_integer(&c->outputs[0], i, value);
    }
}

static void reference(struct op_eval *c)
{
    if (espy_dtype_is_float(c->inputs[0].type.dtype))
        clip_floats(c);
    else
        clip_integers(c);
}

// A limit: absent, known (its words are returned), or an element in memory (its view is).
static uint32_t limit_of(struct op_lower *c, uint32_t i, uint32_t *words, struct view *view)
{
    *view = (struct view){.buffer = VIEW_NONE};
    if (!espy_lower_has(c, i))
        return FROM_ABSENT;
    if (c->values[i].data == NULL) {
        *view = espy_lower_input(c, i);
        return FROM_IN_MEMORY;
    }
    if (espy_dtype_is_float(c->inputs[i].dtype)) {
        const float number = (float)espy_tensor_number(&c->values[i], 0);
        memcpy(words, &number, sizeof(number));
    } else {
        const uint64_t integer = (uint64_t)espy_tensor_integer(&c->values[i], 0);
        words[0] = (uint32_t)integer;
        words[1] = (uint32_t)(integer >> 32);
    }
    return FROM_PUSHED;
}

// Splits the rows of views (y, x), whose dimensions are in the order of y's memory, into runs.
static void fill_push(const struct op_lower *c, const struct view *views, struct clip_push *push)
{
    const struct view *y = &views[0], *x = &views[1];
    const uint32_t inner = (uint32_t)y->dims[y->rank - 1], run_max = c->caps->cpu ? CPU_RUN : 1;
    size_t rows = 1;
    for (uint32_t d = 0; d < y->rank; d++) {
        push->dims[d] = (uint32_t)y->dims[d];
        push->x_strides[d] = (int32_t)x->strides[d];
        rows *= d + 1 < y->rank ? (size_t)y->dims[d] : 1;
    }
    push->x_offset = (int32_t)x->offset;
    push->run = inner < run_max ? inner : run_max;
    push->runs = inner == 0 ? 0 : (inner + push->run - 1) / push->run;
    push->count = (uint32_t)(rows * push->runs);
}

static espy_status lower(struct op_lower *c)
{
    const enum storage storage = espy_lower_storage(c, c->inputs[0].dtype);
    const struct view x = espy_lower_input(c, 0);
    struct view low, high;
    struct clip_spec spec = CLIP_SPEC_DEFAULT;
    struct clip_push push = {0};
    spec.low_from = limit_of(c, 1, push.low, &low);
    spec.high_from = limit_of(c, 2, push.high, &high);
    if (spec.low_from == FROM_ABSENT && spec.high_from == FROM_ABSENT) {
        espy_lower_alias(c, 0, &x);
        return espy_lower_status(c);
    }
    TRY(espy_lower_status(c));
    const struct view y = espy_lower_output_like(c, 0, &x);
    TRY(espy_lower_status(c));
    struct view views[2] = {y, x};
    espy_axes_sort(views, 2);
    spec.local_size_x = c->caps->local_size;
    spec.rank = espy_view_collapse(views, 2);
    spec.is_signed = espy_dtype_is_signed(x.dtype);
    fill_push(c, views, &push);
    push.low_offset = spec.low_from == FROM_IN_MEMORY ? (int32_t)low.offset : 0;
    push.high_offset = spec.high_from == FROM_IN_MEMORY ? (int32_t)high.offset : 0;
    struct op_dispatch dispatch = {.shader = clip_shaders.variants[espy_variant(storage)],
                                   .bindings = {x, low, high, y},
                                   .binding_count = 4,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.count, spec.local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
    return espy_lower_status(c);
}

static const struct op ops[] = {{.name = "Clip",
                                 .summary = "x moved into min..max",
                                 .inputs_min = 1,
                                 .inputs_max = 3,
                                 .outputs_min = 1,
                                 .outputs_max = 1,
                                 .infer = infer,
                                 .reference = reference,
                                 .lower = lower}};

const struct op_family espy_ops_clip = {ops, sizeof(ops) / sizeof(ops[0])};
