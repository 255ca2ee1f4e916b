// Pad and CenterCropPad: more elements around a tensor, or fewer.
#include <assert.h>
#include <string.h>

#include "op/axes.h"
#include "op/lower.h"
#include "op/op.h"
#include "ops/indexing.h"
#include "shaders/pad.spv.h"

enum { MODE_CONSTANT, MODE_REFLECT, MODE_EDGE, MODE_WRAP }; // as in pad.comp

// The kernel's push block has room for so many dimensions after merging.
enum { KERNEL_RANK_MAX = 7 };

struct pad_attrs {
    int mode;            // Pad
    struct op_ints axes; // CenterCropPad
};

static const char *const mode_choices[] = {"constant", "reflect", "edge", "wrap", NULL};

static const struct op_attr pad_rows[] = {
    {.name = "mode",
     .type = OP_ENUM,
     .offset = offsetof(struct pad_attrs, mode),
     .fallback = MODE_CONSTANT,
     .choices = mode_choices,
     .help = "what stands outside: one value, the mirrored tensor, its border, or it again"}};

static const struct op_attr crop_rows[] = {
    {.name = "axes",
     .type = OP_INTS,
     .offset = offsetof(struct pad_attrs, axes),
     .help = "the dimensions that shape is for; default: all"}};

// Elements added before and after every dimension; negative: taken away.
struct padding {
    int64_t begin[ESPY_RANK_MAX], end[ESPY_RANK_MAX];
};

// Reads Pad's inputs 1 and 3. The message, or NULL when good.
static const char *read_pads(const struct tensor *values, uint32_t input_count,
                             const struct shape *x, struct padding *p)
{
    const struct tensor *pads = &values[1];
    const struct tensor *axes = input_count > 3 && values[3].data != NULL ? &values[3] : NULL;
    const size_t count = axes != NULL ? axes->count : x->rank;
    bool used[ESPY_RANK_MAX] = {false};
    *p = (struct padding){{0}, {0}};
    if (pads->count != 2 * count)
        return "pads does not have two entries for each axis";
    for (size_t i = 0; i < count; i++) {
        int64_t axis;
        if (!indexing_resolve(axes != NULL ? espy_tensor_integer(axes, i) : (int64_t)i, x->rank,
                              &axis))
            return "an axis is outside the tensor";
        if (used[axis])
            return "an axis stands twice";
        used[axis] = true;
        p->begin[axis] = espy_tensor_integer(pads, i);
        p->end[axis] = espy_tensor_integer(pads, count + i);
        if (p->begin[axis] < -INT32_MAX || p->begin[axis] > INT32_MAX ||
            p->end[axis] < -INT32_MAX || p->end[axis] > INT32_MAX)
            return "a pad is too large";
        if (x->dims[axis] > INT32_MAX || x->dims[axis] + p->begin[axis] + p->end[axis] < 0)
            return "more is taken away than there is";
    }
    return NULL;
}

// CenterCropPad's input 1. Where a difference is odd, the element more is at the end.
static const char *read_center(const struct op_ints *axes, const struct tensor *shape,
                               const struct shape *x, struct padding *p)
{
    const size_t count = axes->values != NULL ? axes->count : x->rank;
    bool used[ESPY_RANK_MAX] = {false};
    *p = (struct padding){{0}, {0}};
    if (shape->count != count)
        return "shape does not have one entry for each axis";
    for (size_t i = 0; i < count; i++) {
        int64_t axis;
        if (!indexing_resolve(axes->values != NULL ? axes->values[i] : (int64_t)i, x->rank, &axis))
            return "an axis is outside the tensor";
        if (used[axis])
            return "an axis stands twice";
        used[axis] = true;
        const int64_t wanted = espy_tensor_integer(shape, i);
        if (wanted < 0 || wanted > INT32_MAX || x->dims[axis] > INT32_MAX)
            return "a dimension is negative or too large";
        const int64_t more = wanted - x->dims[axis];
        p->begin[axis] = more / 2; // towards zero, whichever sign
        p->end[axis] = more - more / 2;
    }
    return NULL;
}

// The dimension that is left after what is taken away, for the modes that look at it.
static int64_t kept(const struct padding *p, const struct shape *x, uint32_t d)
{
    return x->dims[d] + (p->begin[d] < 0 ? p->begin[d] : 0) + (p->end[d] < 0 ? p->end[d] : 0);
}

static void grow(struct op_infer *c, const struct padding *p)
{
    espy_infer_copy(c, 0, 0);
    for (uint32_t d = 0; d < c->inputs[0].shape.rank; d++)
        c->outputs[0].shape.dims[d] += p->begin[d] + p->end[d];
}

static espy_status pad_infer(struct op_infer *c)
{
    const struct pad_attrs *attrs = c->attrs;
    const struct shape *x = &c->inputs[0].shape;
    struct padding p;
    size_t count = 0;
    if (!indexing_is_index(c->inputs[1].dtype) ||
        (espy_infer_has(c, 3) && !indexing_is_index(c->inputs[3].dtype)))
        return espy_infer_fail(c, "pads and axes must be integers");
    if (espy_infer_has(c, 2)) {
        if (c->inputs[2].dtype != c->inputs[0].dtype)
            return espy_infer_fail(c, "the value is %s, the tensor %s",
                                   espy_dtype_name(c->inputs[2].dtype),
                                   espy_dtype_name(c->inputs[0].dtype));
        if (!espy_shape_count(&c->inputs[2].shape, &count) || count != 1)
            return espy_infer_fail(c, "the value must be one element");
    }
    for (uint32_t i = 1; i < c->input_count; i += 2)
        if (espy_infer_has(c, i) && espy_infer_value(c, i) == NULL)
            return espy_infer_wait(c);
    const char *wrong = read_pads(c->values, c->input_count, x, &p);
    if (wrong != NULL)
        return espy_infer_fail(c, "%s", wrong);
    for (uint32_t d = 0; d < x->rank && attrs->mode != MODE_CONSTANT; d++)
        if ((p.begin[d] > 0 || p.end[d] > 0) && kept(&p, x, d) <= 0)
            return espy_infer_fail(c, "dimension %u has nothing to repeat", d);
    grow(c, &p);
    return ESPY_OK;
}

static espy_status center_crop_pad_infer(struct op_infer *c)
{
    const struct pad_attrs *attrs = c->attrs;
    struct padding p;
    if (!indexing_is_index(c->inputs[1].dtype))
        return espy_infer_fail(c, "shape must be integers");
    const struct tensor *shape = espy_infer_value(c, 1);
    if (shape == NULL)
        return espy_infer_wait(c);
    const char *wrong = read_center(&attrs->axes, shape, &c->inputs[0].shape, &p);
    if (wrong != NULL)
        return espy_infer_fail(c, "%s", wrong);
    grow(c, &p);
    return ESPY_OK;
}

// Where output index i comes from, in a dimension of dim elements; -1: from outside.
static int64_t source(int mode, int64_t i, int64_t begin, int64_t end, int64_t dim)
{
    if (mode == MODE_CONSTANT)
        return i - begin >= 0 && i - begin < dim ? i - begin : -1;
    // What is taken away is gone before the rest is repeated.
    const int64_t first = begin < 0 ? -begin : 0;
    const int64_t count = dim - first - (end < 0 ? -end : 0);
    int64_t k = begin < 0 ? i : i - begin;
    if (k < 0 || k >= count) {
        const int64_t period = mode == MODE_WRAP ? count : count > 1 ? 2 * (count - 1) : 1;
        if (mode == MODE_EDGE)
            k = k < 0 ? 0 : count - 1;
        else
            k = (k % period + period) % period;
        k = k < count ? k : period - k; // reflect
    }
    return first + k;
}

static void pad_elements(int mode, const struct padding *p, const struct tensor *x,
                         const struct tensor *value, struct tensor *y)
{
    const struct shape *from = &x->type.shape, *to = &y->type.shape;
    int64_t index[ESPY_RANK_MAX] = {0}, strides[ESPY_RANK_MAX];
    indexing_strides(from, strides);
    for (size_t i = 0; i < y->count; i++) {
        int64_t at = 0;
        bool inside = true;
        for (uint32_t d = 0; d < to->rank && inside; d++) {
            const int64_t k = source(mode, index[d], p->begin[d], p->end[d], from->dims[d]);
            inside = k >= 0;
            at += k * strides[d];
        }
        if (inside)
            espy_tensor_move(y, i, x, (size_t)at, 1);
        else if (value != NULL)
            espy_tensor_move(y, i, value, 0, 1);
        else
            espy_tensor_set_integer(y, i, 0);
        for (uint32_t d = to->rank; d-- > 0 && ++index[d] == to->dims[d];)
            index[d] = 0;
    }
}

static void pad_reference(struct op_eval *c)
{
    const struct pad_attrs *attrs = c->attrs;
    struct padding p;
    const char *wrong = read_pads(c->inputs, c->input_count, &c->inputs[0].type.shape, &p);
    assert(wrong == NULL); // pad_infer
    (void)wrong;
    pad_elements(attrs->mode, &p, &c->inputs[0], espy_eval_has(c, 2) ? &c->inputs[2] : NULL,
                 &c->outputs[0]);
}

static void center_crop_pad_reference(struct op_eval *c)
{
    const struct pad_attrs *attrs = c->attrs;
    struct padding p;
    const char *wrong =
        read_center(&attrs->axes, &c->inputs[1], &c->inputs[0].type.shape, &p);
    assert(wrong == NULL); // center_crop_pad_infer
    (void)wrong;
    pad_elements(MODE_CONSTANT, &p, &c->inputs[0], NULL, &c->outputs[0]);
}

static void drop_dim(struct view *view, uint32_t d)
{
    view->rank--;
    for (uint32_t k = d; k < view->rank; k++) {
        view->dims[k] = view->dims[k + 1];
        view->strides[k] = view->strides[k + 1];
    }
}

// Merges a dimension that nothing is added to into the one around it. With one value outside, that
// one may well be padded: its pads then count elements of both. views: y, x, and a view whose
// strides are the begins.
static void merge_unpadded(int mode, struct view *y, struct view *x, struct view *begins)
{
    for (uint32_t d = y->rank; d-- > 0 && y->rank > 1;) {
        const bool unpadded = begins->strides[d] == 0 && y->dims[d] == x->dims[d];
        const uint32_t outer = d - 1;
        if (!unpadded)
            continue;
        if (y->dims[d] != 1) {
            if (d == 0 || x->strides[outer] != x->strides[d] * x->dims[d] ||
                (mode != MODE_CONSTANT &&
                 (begins->strides[outer] != 0 || y->dims[outer] != x->dims[outer])))
                continue;
            begins->strides[outer] *= y->dims[d];
            x->strides[outer] = x->strides[d];
            x->dims[outer] *= x->dims[d];
            y->dims[outer] *= y->dims[d];
        }
        drop_dim(y, d);
        drop_dim(x, d);
        drop_dim(begins, d);
    }
}

static void dispatch_pad(struct op_lower *c, int mode, const struct padding *p)
{
    const struct view x = espy_lower_input(c, 0);
    const struct view value =
        espy_lower_has(c, 2) ? espy_lower_input(c, 2) : (struct view){.buffer = VIEW_NONE};
    const struct view y = espy_lower_output_like(c, 0, &x);
    if (y.buffer == VIEW_NONE)
        return;
    struct view views[3] = {y, x, x}; // the last one's strides are the begins
    for (uint32_t d = 0; d < x.rank; d++) {
        const int64_t first = mode != MODE_CONSTANT && p->begin[d] < 0 ? -p->begin[d] : 0;
        if (mode != MODE_CONSTANT)
            views[1].dims[d] = kept(p, &c->inputs[0].shape, d);
        views[1].offset += first * x.strides[d];
        views[2].strides[d] = first > 0 ? 0 : p->begin[d];
    }
    espy_axes_sort(views, 3);
    merge_unpadded(mode, &views[0], &views[1], &views[2]);
    if (views[0].rank == 0) { // a scalar
        views[0].rank = 1;
        views[0].dims[0] = views[1].dims[0] = 1;
        views[2].strides[0] = 0;
    }
    const uint32_t rank = views[0].rank;
    assert(rank <= KERNEL_RANK_MAX); // pad_lower
    struct pad_spec spec = PAD_SPEC_DEFAULT;
    const size_t inner = (size_t)views[0].dims[rank - 1];
    spec.local_size_x = c->caps->local_size;
    spec.rank = rank;
    spec.mode = (uint32_t)mode;
    spec.run = indexing_run(c, inner);
    spec.has_value = value.buffer != VIEW_NONE;
    struct pad_push push = {.runs = indexing_runs(inner, spec.run),
                            .x_offset = (int32_t)views[1].offset,
                            .value_offset = (int32_t)value.offset};
    push.count = inner == 0 ? 0 : (uint32_t)(espy_view_count(&y) / inner) * push.runs;
    for (uint32_t d = 0; d < rank; d++) {
        push.y_dims[d] = (uint32_t)views[0].dims[d];
        push.x_dims[d] = (int32_t)views[1].dims[d];
        push.begins[d] = (int32_t)views[2].strides[d];
        push.x_strides[d] = (int32_t)views[1].strides[d];
    }
    struct op_dispatch dispatch = {.shader = pad_shaders.variants[espy_word_variant(x.storage)],
                                   .bindings = {x, value, y},
                                   .binding_count = 3,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.count, spec.local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
}

// true: nothing is added, so the output is a part of the input; made so.
static bool only_crops(struct op_lower *c, const struct padding *p)
{
    for (uint32_t d = 0; d < c->inputs[0].shape.rank; d++)
        if (p->begin[d] > 0 || p->end[d] > 0)
            return false;
    struct view y = espy_lower_input(c, 0);
    for (uint32_t d = 0; d < y.rank; d++) {
        y.offset -= p->begin[d] * y.strides[d];
        y.dims[d] = c->outputs[0].shape.dims[d];
    }
    espy_lower_alias(c, 0, &y);
    return true;
}

static espy_status lower_padding(struct op_lower *c, int mode, const struct padding *p)
{
    uint32_t rank = 0;
    for (uint32_t d = 0; d < c->inputs[0].shape.rank; d++)
        rank += c->outputs[0].shape.dims[d] != 1 || c->inputs[0].shape.dims[d] != 1;
    if (rank > KERNEL_RANK_MAX)
        return espy_lower_on_host(c, "more than 7 dimensions");
    if (!only_crops(c, p))
        dispatch_pad(c, mode, p);
    return espy_lower_status(c);
}

static espy_status pad_lower(struct op_lower *c)
{
    const struct pad_attrs *attrs = c->attrs;
    struct padding p;
    const char *wrong = read_pads(c->values, c->input_count, &c->inputs[0].shape, &p);
    assert(wrong == NULL); // pad_infer
    (void)wrong;
    return lower_padding(c, attrs->mode, &p);
}

static espy_status center_crop_pad_lower(struct op_lower *c)
{
    const struct pad_attrs *attrs = c->attrs;
    struct padding p;
    const char *wrong = read_center(&attrs->axes, &c->values[1], &c->inputs[0].shape, &p);
    assert(wrong == NULL); // center_crop_pad_infer
    (void)wrong;
    return lower_padding(c, MODE_CONSTANT, &p);
}

static const struct op ops[] = {
    {.name = "CenterCropPad",
     .summary = "cropped or padded with zeros around the centre to a given shape",
     .inputs_min = 2,
     .inputs_max = 2,
     .outputs_min = 1,
     .outputs_max = 1,
     .attrs = crop_rows,
     .attr_count = sizeof(crop_rows) / sizeof(crop_rows[0]),
     .attrs_size = sizeof(struct pad_attrs),
     .infer = center_crop_pad_infer,
     .reference = center_crop_pad_reference,
     .lower = center_crop_pad_lower},
    {.name = "Pad",
     .summary = "elements added around a tensor or taken away: x, pads, value, axes",
     .flags = OP_NARROW,
     .inputs_min = 2,
     .inputs_max = 4,
     .outputs_min = 1,
     .outputs_max = 1,
     .attrs = pad_rows,
     .attr_count = sizeof(pad_rows) / sizeof(pad_rows[0]),
     .attrs_size = sizeof(struct pad_attrs),
     .infer = pad_infer,
     .reference = pad_reference,
     .lower = pad_lower},
};

const struct op_family espy_ops_pad = {ops, sizeof(ops) / sizeof(ops[0])};
