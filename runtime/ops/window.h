// What the operators that slide a window over an image share (Conv, ConvTranspose, the pools):
// their attributes, the padding rules, and the positions a window covers. Spatial dimensions only.
#ifndef RUNTIME_OPS_WINDOW_H_
#define RUNTIME_OPS_WINDOW_H_

#include "op/lower.h"
#include "op/op.h"

enum { WINDOW_RANK_MAX = ESPY_RANK_MAX - 2, WINDOW_KERNEL_RANK_MAX = 3 };

// All loops of one invocation together stop silently after 65535 iterations on some software
// drivers, so a lowering that would need more goes another way.
enum { WINDOW_TRIPS_MAX = 60000 };

enum window_auto_pad { WINDOW_NOTSET, WINDOW_SAME_UPPER, WINDOW_SAME_LOWER, WINDOW_VALID };

struct window_attrs {
    struct op_ints kernel_shape, strides, pads, dilations;
    int auto_pad;
};

struct window {
    uint32_t rank; // spatial dimensions
    int64_t in[WINDOW_RANK_MAX], out[WINDOW_RANK_MAX], kernel[WINDOW_RANK_MAX];
    int64_t stride[WINDOW_RANK_MAX], dilation[WINDOW_RANK_MAX];
    int64_t pad[WINDOW_RANK_MAX], pad_end[WINDOW_RANK_MAX];
};

static const char *const window_auto_pad_choices[] = {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID",
                                                      NULL};

// Rows for an attribute struct `owner` with a member `window` of struct window_attrs.
#define WINDOW_LIST_ATTR(attr_name, owner, member, low, text)                                     \
    {                                                                                             \
        .name = attr_name, .type = OP_INTS, .offset = offsetof(owner, window.member), .min = low, \
        .max = INT32_MAX, .help = text                                                            \
    }
#define WINDOW_ATTRS_NO_DILATION(owner)                                                         \
    {.name = "auto_pad",                                                                        \
     .type = OP_ENUM,                                                                           \
     .offset = offsetof(owner, window.auto_pad),                                                \
     .choices = window_auto_pad_choices,                                                        \
     .help = "NOTSET: as pads says; SAME: outputs = ceil(inputs / stride); VALID: no padding"}, \
        WINDOW_LIST_ATTR("kernel_shape", owner, kernel_shape, 1, "window size per axis"),       \
        WINDOW_LIST_ATTR("pads", owner, pads, 0, "begins of all axes, then ends; default 0"),   \
        WINDOW_LIST_ATTR("strides", owner, strides, 1, "step per axis; default 1")
#define WINDOW_ATTRS(owner)                                \
    WINDOW_ATTRS_NO_DILATION(owner),                       \
        WINDOW_LIST_ATTR("dilations", owner, dilations, 1, \
                         "distance between the window's elements per axis; default 1")

// Elements from the first that the window covers to the last, on one axis.
static inline int64_t window_extent(const struct window *w, uint32_t axis)
{
    return (w->kernel[axis] - 1) * w->dilation[axis] + 1;
}

static inline int64_t window_taps(const struct window *w)
{
    int64_t taps = 1;
    for (uint32_t i = 0; i < w->rank; i++)
        taps *= w->kernel[i];
    return taps;
}

static inline int64_t window_product(const int64_t *dims, uint32_t rank)
{
    int64_t product = 1;
    for (uint32_t i = 0; i < rank; i++)
        product *= dims[i];
    return product;
}

static inline espy_status window_check_list(const struct op_infer *c, const char *name,
                                            const struct op_ints *list, uint32_t count)
{
    if (list->values != NULL && list->count != count)
        return espy_infer_fail(c, "'%s' has %u numbers, needs %u", name, list->count, count);
    return ESPY_OK;
}

// Fills everything but out and the pads of auto_pad. weight: its spatial dims are the kernel's, or
// NULL where kernel_shape must say them. Fails on lists of the wrong length.
static inline espy_status window_init(const struct op_infer *c, const struct window_attrs *attrs,
                                      const struct shape *x, const struct shape *weight,
                                      struct window *w)
{
    if (x->rank < 3)
        return espy_infer_fail(c, "the input has rank %u, needs at least 3", x->rank);
    *w = (struct window){.rank = x->rank - 2};
    TRY(window_check_list(c, "kernel_shape", &attrs->kernel_shape, w->rank));
    TRY(window_check_list(c, "strides", &attrs->strides, w->rank));
    TRY(window_check_list(c, "dilations", &attrs->dilations, w->rank));
    TRY(window_check_list(c, "pads", &attrs->pads, 2 * w->rank));
    if (weight == NULL && attrs->kernel_shape.values == NULL)
        return espy_infer_fail(c, "attribute 'kernel_shape' is missing");
    for (uint32_t i = 0; i < w->rank; i++) {
        const int64_t given = attrs->kernel_shape.values ? attrs->kernel_shape.values[i] : 0;
        w->in[i] = x->dims[i + 2];
        w->kernel[i] = weight != NULL ? weight->dims[i + 2] : given;
        if (weight != NULL && given != 0 && given != w->kernel[i])
            return espy_infer_fail(c, "'kernel_shape' says %lld on axis %u, the weight has %lld",
                                   (long long)given, i, (long long)w->kernel[i]);
        if (w->kernel[i] < 1)
            return espy_infer_fail(c, "the window is empty on axis %u", i);
        w->stride[i] = attrs->strides.values ? attrs->strides.values[i] : 1;
        w->dilation[i] = attrs->dilations.values ? attrs->dilations.values[i] : 1;
        const int64_t begin = attrs->pads.values ? attrs->pads.values[i] : 0;
        const int64_t end = attrs->pads.values ? attrs->pads.values[i + w->rank] : 0;
        if (attrs->auto_pad != WINDOW_NOTSET && (begin != 0 || end != 0))
            return espy_infer_fail(c, "'pads' and 'auto_pad' are both set");
        w->pad[i] = begin;
        w->pad_end[i] = end;
    }
    size_t taps = 1;
    for (uint32_t i = 0; i < w->rank; i++)
        if (!espy_checked_mul(taps, (size_t)w->kernel[i], &taps) || taps > GRAPH_DIM_MAX)
            return espy_infer_fail(c, "the window has too many elements");
    return ESPY_OK;
}

// Output dims of a convolution or pool, and the pads that auto_pad asks for. ceil_mode: a last
// window that sticks out counts, unless it would start beyond the input and its first padding.
static inline espy_status window_outputs(const struct op_infer *c, int auto_pad, bool ceil_mode,
                                         struct window *w)
{
    for (uint32_t i = 0; i < w->rank; i++) {
        const int64_t extent = window_extent(w, i), stride = w->stride[i];
        if (auto_pad == WINDOW_SAME_UPPER || auto_pad == WINDOW_SAME_LOWER) {
            w->out[i] = (w->in[i] + stride - 1) / stride;
            int64_t total = (w->out[i] - 1) * stride + extent - w->in[i];
            total = total < 0 || w->out[i] == 0 ? 0 : total;
            w->pad[i] = auto_pad == WINDOW_SAME_UPPER ? total / 2 : total - total / 2;
            w->pad_end[i] = total - w->pad[i];
            continue;
        }
        const int64_t room = w->in[i] + w->pad[i] + w->pad_end[i] - extent;
        if (room < 0 && w->in[i] > 0)
            return espy_infer_fail(c, "a window of %lld does not fit in %lld padded elements",
                                   (long long)extent, (long long)(room + extent));
        if (room < 0)
            continue; // nothing in, nothing out
        w->out[i] = (ceil_mode ? room + stride - 1 : room) / stride + 1;
        if (ceil_mode && w->out[i] > 1 && (w->out[i] - 1) * stride >= w->in[i] + w->pad[i])
            w->out[i]--;
    }
    for (uint32_t i = 0; i < w->rank; i++)
        if (w->out[i] > GRAPH_DIM_MAX || w->pad[i] > GRAPH_DIM_MAX || w->pad_end[i] > GRAPH_DIM_MAX)
            return espy_infer_fail(c, "axis %u would be too large", i);
    return ESPY_OK;
}

// Counts through positions of dims, last dimension fastest. false: all were visited.
static inline bool window_next(const int64_t *dims, uint32_t rank, int64_t *position)
{
    for (uint32_t i = rank; i-- > 0;) {
        if (++position[i] < dims[i])
            return true;
        position[i] = 0;
    }
    return false;
}

// One element of a window that lies inside the input.
struct window_tap {
    size_t tap;    // row-major index in the window
    size_t offset; // row-major index in one input channel
};

// Writes the taps inside the input for the window at output position at; returns how many.
// taps has room for window_taps.
static inline size_t window_cover(const struct window *w, const int64_t *at,
                                  struct window_tap *taps)
{
    int64_t k[WINDOW_RANK_MAX] = {0};
    size_t count = 0, tap = 0;
    do {
        bool inside = true;
        size_t offset = 0;
        for (uint32_t i = 0; i < w->rank; i++) {
            const int64_t in = at[i] * w->stride[i] - w->pad[i] + k[i] * w->dilation[i];
            inside = inside && in >= 0 && in < w->in[i];
            offset = offset * (size_t)w->in[i] + (size_t)in;
        }
        if (inside)
            taps[count++] = (struct window_tap){tap, offset};
        tap++;
    } while (window_next(w->kernel, w->rank, k));
    return count;
}

// The last axis of kernels is width, then height, then depth: missing ones become 1 element that
// the window covers without moving. w->rank <= WINDOW_KERNEL_RANK_MAX.
static inline struct window window_three_dimensional(const struct window *w)
{
    struct window r = {.rank = 3};
    for (uint32_t i = 0; i < 3; i++) {
        const bool missing = i + w->rank < 3;
        const uint32_t from = missing ? 0 : i + w->rank - 3;
        r.in[i] = missing ? 1 : w->in[from];
        r.out[i] = missing ? 1 : w->out[from];
        r.kernel[i] = missing ? 1 : w->kernel[from];
        r.stride[i] = missing ? 1 : w->stride[from];
        r.dilation[i] = missing ? 1 : w->dilation[from];
        r.pad[i] = missing ? 0 : w->pad[from];
        r.pad_end[i] = missing ? 0 : w->pad_end[from];
    }
    return r;
}

// The strides that go with it: n, c, depth, height, width.
static inline void window_strides(const struct view *view, int32_t strides[5])
{
    strides[0] = (int32_t)view->strides[0];
    strides[1] = (int32_t)view->strides[1];
    for (uint32_t i = 0; i < 3; i++)
        strides[2 + i] = i + view->rank < 5 ? 0 : (int32_t)view->strides[i + view->rank - 3];
}

// Can channels be read four at a time? A multiple of four of them, next to each other, and every
// pixel's first one at a multiple of four elements.
static inline bool window_vector(const struct view *view)
{
    bool aligned = view->dims[1] % 4 == 0 && view->offset % 4 == 0 &&
                   (view->strides[1] == 1 || view->dims[1] == 0);
    for (uint32_t i = 0; i < view->rank; i++)
        aligned = aligned && (i == 1 || view->dims[i] <= 1 || view->strides[i] % 4 == 0);
    return aligned;
}

// A dense constant or input at offset 0 for kernels that have no room for an offset.
static inline struct view window_plain_input(struct op_lower *c, uint32_t i)
{
    const struct view view = espy_lower_dense_input(c, i);
    if (view.buffer == VIEW_NONE || view.offset == 0)
        return view;
    const struct view copy = espy_lower_temporary(c, c->inputs[i].dtype, &c->inputs[i].shape);
    espy_lower_copy(c, &view, &copy);
    return copy;
}

// How a kernel that computes blocks of output channels wants its weights, which are input 1.
struct window_tile {
    int64_t groups, in, out; // in, out: channels of one group
    int64_t block;           // output channels of one invocation
    uint32_t in_dim,
        out_dim; // of the weight: one is inside a group, dimension 0 counts all groups'
};

// Weights as [group][tap][input channel][output channel, padded to whole blocks]. The padding is
// never written: what is computed from it is never stored.
static inline struct view window_tile_weights(struct op_lower *c, const struct window_tile *tile)
{
    const struct view w = espy_lower_input(c, 1);
    if (w.buffer == VIEW_NONE)
        return w;
    const uint32_t spatial = w.rank - 2;
    struct view source = w;
    source.rank = spatial + 3;
    source.dims[0] = tile->groups;
    source.strides[0] = w.strides[0] * (tile->out_dim == 0 ? tile->out : tile->in);
    for (uint32_t i = 0; i < spatial; i++) {
        source.dims[1 + i] = w.dims[2 + i];
        source.strides[1 + i] = w.strides[2 + i];
    }
    source.dims[spatial + 1] = tile->in;
    source.strides[spatial + 1] = w.strides[tile->in_dim];
    source.dims[spatial + 2] = tile->out;
    source.strides[spatial + 2] = w.strides[tile->out_dim];
    struct shape shape = {.rank = source.rank};
    for (uint32_t i = 0; i < source.rank; i++)
        shape.dims[i] = source.dims[i];
    shape.dims[spatial + 2] = (tile->out + tile->block - 1) / tile->block * tile->block;
    const struct view packed = espy_lower_temporary(c, w.dtype, &shape);
    struct view target = packed;
    target.dims[spatial + 2] = tile->out;
    espy_lower_copy(c, &source, &target);
    return packed;
}

// Input 0 so that window_vector holds wherever the channel count allows it, else as it lies.
static inline struct view window_tile_input(struct op_lower *c, int64_t group_in)
{
    const struct view x = espy_lower_input(c, 0);
    if (group_in % 4 != 0 || x.buffer == VIEW_NONE || window_vector(&x))
        return x;
    return espy_lower_channels_last_input(c, 0);
}

// What the kernels that go along lines of channels-last maps, `vector` channels at a time, have in
// common: x and y are views of at least three dimensions, width last.
#define WINDOW_FILL_LINES(spec, push, window, vector, x, y)                   \
    do {                                                                      \
        int32_t strides_[5];                                                  \
        window_strides(x, strides_);                                          \
        (spec)->kernel_w = (uint32_t)(window)->kernel[2];                     \
        (spec)->stride_w = (uint32_t)(window)->stride[2];                     \
        (spec)->dilation_w = (uint32_t)(window)->dilation[2];                 \
        (push)->x_offset = (int32_t)((x)->offset / (vector));                 \
        (push)->x_strides[0] = strides_[0] / (int32_t)(vector);               \
        (push)->x_strides[1] = strides_[3] / (int32_t)(vector);               \
        (push)->x_strides[2] = strides_[4] / (int32_t)(vector);               \
        (push)->y_offset = (uint32_t)((y)->offset / (vector));                \
        (push)->y_pixel = (uint32_t)((y)->strides[(y)->rank - 1] / (vector)); \
        (push)->in_h = (uint32_t)(window)->in[1];                             \
        (push)->in_w = (uint32_t)(window)->in[2];                             \
        (push)->out_h = (uint32_t)(window)->out[1];                           \
        (push)->out_w = (uint32_t)(window)->out[2];                           \
        (push)->kernel_h = (uint32_t)(window)->kernel[1];                     \
        (push)->stride_h = (uint32_t)(window)->stride[1];                     \
        (push)->dilation_h = (uint32_t)(window)->dilation[1];                 \
        (push)->pad_h = (uint32_t)(window)->pad[1];                           \
        (push)->pad_w = (uint32_t)(window)->pad[2];                           \
    } while (0)

// Invocations per workgroup for kernels whose invocations work long.
static inline uint32_t window_local_size(const struct op_lower *c)
{
    return c->caps->cpu ? (c->caps->subgroup_size > 0 ? c->caps->subgroup_size : 8) : 64;
}

#endif // RUNTIME_OPS_WINDOW_H_
