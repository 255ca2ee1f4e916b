// Col2Im: adds columns of blocks back into the image they were taken from.
#include <assert.h>
#include <string.h>

#include "op/lower.h"
#include "op/op.h"
#include "shaders/col2im.spv.h"
#include "window.h"

struct col2im_attrs {
    struct op_ints dilations, pads, strides;
};

// The window that a block makes, from lists that infer has checked; in is the image.
static struct window window_of(const struct col2im_attrs *attrs, const struct tensor *image,
                               const struct tensor *block)
{
    struct window w = {.rank = (uint32_t)image->count};
    for (uint32_t d = 0; d < w.rank; d++) {
        w.in[d] = espy_tensor_integer(image, d);
        w.kernel[d] = espy_tensor_integer(block, d);
        w.stride[d] = attrs->strides.values != NULL ? attrs->strides.values[d] : 1;
        w.dilation[d] = attrs->dilations.values != NULL ? attrs->dilations.values[d] : 1;
        w.pad[d] = attrs->pads.values != NULL ? attrs->pads.values[d] : 0;
        w.pad_end[d] = attrs->pads.values != NULL ? attrs->pads.values[w.rank + d] : 0;
    }
    return w;
}

static espy_status check_sizes(const struct op_infer *c, const struct tensor *image,
                               const struct tensor *block)
{
    const struct col2im_attrs *attrs = c->attrs;
    const uint32_t rank = (uint32_t)image->count;
    if (block->count != image->count || rank == 0 || rank > WINDOW_RANK_MAX)
        return espy_infer_fail(c, "image_shape has %zu numbers, block_shape %zu", image->count,
                               block->count);
    for (uint32_t d = 0; d < rank; d++)
        if (espy_tensor_integer(image, d) < 0 || espy_tensor_integer(image, d) > GRAPH_DIM_MAX ||
            espy_tensor_integer(block, d) < 1 || espy_tensor_integer(block, d) > GRAPH_DIM_MAX)
            return espy_infer_fail(c, "dimension %u has a size out of range", d);
    TRY(window_check_list(c, "strides", &attrs->strides, rank));
    TRY(window_check_list(c, "dilations", &attrs->dilations, rank));
    return window_check_list(c, "pads", &attrs->pads, 2 * rank);
}

static espy_status infer(struct op_infer *c)
{
    const struct op_type *x = &c->inputs[0];
    if (x->shape.rank != 3)
        return espy_infer_fail(c, "the columns must have 3 dimensions");
    for (uint32_t i = 1; i <= 2; i++)
        if (c->inputs[i].dtype != ESPY_INT64 || c->inputs[i].shape.rank != 1)
            return espy_infer_fail(c, "image_shape and block_shape must be lists of int64");
    const struct tensor *image = espy_infer_value(c, 1);
    const struct tensor *block = image != NULL ? espy_infer_value(c, 2) : NULL;
    if (block == NULL)
        return espy_infer_wait(c);
    TRY(check_sizes(c, image, block));
    struct window w = window_of(c->attrs, image, block);
    size_t elements = 1, positions = 1;
    TRY(window_outputs(c, WINDOW_NOTSET, false, &w));
    for (uint32_t d = 0; d < w.rank; d++)
        if (!espy_checked_mul(elements, (size_t)w.kernel[d], &elements) ||
            !espy_checked_mul(positions, (size_t)w.out[d], &positions) ||
            elements > GRAPH_DIM_MAX || positions > GRAPH_DIM_MAX)
            return espy_infer_fail(c, "the block has too many elements");
    if (x->shape.dims[2] != (int64_t)positions || x->shape.dims[1] % (int64_t)elements != 0)
        return espy_infer_fail(c,
                               "columns of %lld x %lld do not fit %zu elements of a block at "
                               "%zu positions",
                               (long long)x->shape.dims[1], (long long)x->shape.dims[2], elements,
                               positions);
    struct op_type y = {x->dtype, {.rank = 2 + w.rank}};
    y.shape.dims[0] = x->shape.dims[0];
    y.shape.dims[1] = x->shape.dims[1] / (int64_t)elements;
    memcpy(y.shape.dims + 2, w.in, w.rank * sizeof(*w.in));
    c->outputs[0] = y;
    return ESPY_OK;
}

// How often the block fits along each dimension, which infer has found to be possible.
static void fill_positions(struct window *w)
{
    for (uint32_t d = 0; d < w->rank; d++) {
        const int64_t room = w->in[d] + w->pad[d] + w->pad_end[d] - window_extent(w, d);
        w->out[d] = room < 0 ? 0 : room / w->stride[d] + 1;
    }
}

// Of a pixel: floats add up in double, integers in 64 bits.
struct sum {
    double number;
    uint64_t integer;
};

// Adds the columns of one channel, which begin at element first, to its image.
static void add_columns(const struct tensor *x, size_t first, const struct window *w,
                        struct window_tap *taps, struct sum *image)
{
    const bool floats = espy_dtype_is_float(x->type.dtype);
    const size_t positions = (size_t)window_product(w->out, w->rank);
    int64_t at[WINDOW_RANK_MAX] = {0};
    for (size_t p = 0; p < positions; p++) {
        const size_t count = window_cover(w, at, taps);
        for (size_t t = 0; t < count; t++) {
            struct sum *sum = &image[taps[t].offset];
            const size_t from = first + taps[t].tap * positions + p;
            if (floats)
                sum->number += espy_tensor_number(x, from);
            else
                sum->integer += (uint64_t)espy_tensor_integer(x, from);
        }
        window_next(w->out, w->rank, at);
    }
}

static void reference(struct op_eval *c)
{
    const struct shape *y = &c->outputs[0].type.shape;
    struct window w = window_of(c->attrs, &c->inputs[1], &c->inputs[2]);
    fill_positions(&w);
    const size_t pixels = (size_t)window_product(w.in, w.rank);
    const size_t column = (size_t)window_product(w.out, w.rank) * (size_t)window_taps(&w);
    const bool floats = espy_dtype_is_float(c->inputs[0].type.dtype);
    struct sum *image = espy_eval_scratch(c, pixels, sizeof(*image));
    struct window_tap *taps = espy_eval_scratch(c, (size_t)window_taps(&w), sizeof(*taps));
    if (image == NULL || taps == NULL)
        return;
    for (size_t plane = 0; plane < (size_t)(y->dims[0] * y->dims[1]); plane++) {
        memset(image, 0, pixels * sizeof(*image));
        add_columns(&c->inputs[0], plane * column, &w, taps, image);
        for (size_t i = 0; i < pixels; i++)
            if (floats)
                espy_tensor_set_number(&c->outputs[0], plane * pixels + i, image[i].number);
            else
                espy_tensor_set_integer(&c->outputs[0], plane * pixels + i,
                                        (int64_t)image[i].integer);
    }
}

static espy_status lower(struct op_lower *c)
{
    struct window window = window_of(c->attrs, &c->values[1], &c->values[2]);
    if (window.rank > WINDOW_KERNEL_RANK_MAX || window_taps(&window) > WINDOW_TRIPS_MAX)
        return espy_lower_on_host(c, "the block is too large for one invocation");
    fill_positions(&window);
    const struct window w = window_three_dimensional(&window);
    const struct view x = espy_lower_input(c, 0), y = espy_lower_output(c, 0);
    TRY(espy_lower_status(c));
    struct col2im_spec spec = COL2IM_SPEC_DEFAULT;
    struct col2im_push push = {.count = (uint32_t)espy_view_count(&y),
                               .channels = (uint32_t)y.dims[1],
                               .x_offset = (int32_t)x.offset};
    for (uint32_t d = 0; d < 3; d++) {
        push.image[d] = (int32_t)w.in[d];
        push.block[d] = (int32_t)w.kernel[d];
        push.positions[d] = (int32_t)w.out[d];
        push.stride[d] = (int32_t)w.stride[d];
        push.pad[d] = (int32_t)w.pad[d];
        push.dilation[d] = (int32_t)w.dilation[d];
        push.x_strides[d] = (int32_t)x.strides[d];
    }
    spec.local_size_x = c->caps->local_size;
    spec.width = y.dtype == ESPY_BOOL ? 0 : (uint32_t)espy_dtype_size(y.dtype);
    spec.is_signed = espy_dtype_is_signed(y.dtype);
    LOWER_EPILOGUE(c, &spec, &push);
    struct op_dispatch made = {.shader = col2im_shaders.variants[espy_variant(x.storage)],
                               .bindings = {x, y},
                               .binding_count = 2,
                               .push = &push,
                               .push_size = sizeof(push),
                               .spec = &spec,
                               .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.count, spec.local_size_x, made.groups);
    espy_lower_dispatch(c, &made);
    return espy_lower_status(c);
}

#define INTS(attr_name, low, text)                                                               \
    {                                                                                            \
        .name = #attr_name, .type = OP_INTS, .offset = offsetof(struct col2im_attrs, attr_name), \
        .min = low, .max = INT32_MAX, .help = text                                               \
    }

static const struct op_attr attr_rows[] = {
    INTS(dilations, 1, "distance between the block's elements per axis; default 1"),
    INTS(pads, 0, "begins of all axes, then ends; default 0"),
    INTS(strides, 1, "step per axis; default 1"),
};

static const struct op ops[] = {{.name = "Col2Im",
                                 .summary = "columns of blocks, added into the image they are of",
                                 .inputs_min = 3,
                                 .inputs_max = 3,
                                 .outputs_min = 1,
                                 .outputs_max = 1,
                                 .flags = OP_EPILOGUE,
                                 .attrs = attr_rows,
                                 .attr_count = sizeof(attr_rows) / sizeof(attr_rows[0]),
                                 .attrs_size = sizeof(struct col2im_attrs),
                                 .infer = infer,
                                 .reference = reference,
                                 .lower = lower}};

const struct op_family espy_ops_col2im = {ops, 1};
