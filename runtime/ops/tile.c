// Tile: a tensor repeated along its dimensions. Repetition is a stride of 0, so one copy makes it, or
// none where only dimensions of 1 are repeated.
#include <string.h>

#include "op/lower.h"
#include "op/op.h"
#include "ops/indexing.h"

static espy_status infer(struct op_infer *c)
{
    const struct shape *x = &c->inputs[0].shape;
    if (!indexing_is_index(c->inputs[1].dtype))
        return espy_infer_fail(c, "repeats must be integers");
    if (c->inputs[1].shape.rank != 1 || c->inputs[1].shape.dims[0] != x->rank)
        return espy_infer_fail(c, "repeats must have one entry for each dimension");
    const struct tensor *repeats = espy_infer_value(c, 1);
    if (repeats == NULL)
        return espy_infer_wait(c);
    espy_infer_copy(c, 0, 0);
    for (uint32_t d = 0; d < x->rank; d++) {
        const int64_t repeat = espy_tensor_integer(repeats, d);
        if (repeat < 0)
            return espy_infer_fail(c, "dimension %u is repeated %lld times", d,
                                   (long long)repeat);
        if (x->dims[d] > 0 && repeat > INT64_MAX / x->dims[d])
            return espy_infer_fail(c, "the result would be too large");
        c->outputs[0].shape.dims[d] *= repeat;
    }
    return ESPY_OK;
}

static void reference(struct op_eval *c)
{
    const struct tensor *x = &c->inputs[0];
    struct tensor *y = &c->outputs[0];
    const struct shape *shape = &y->type.shape;
    const size_t size = espy_dtype_size(x->type.dtype);
    int64_t index[ESPY_RANK_MAX] = {0}, strides[ESPY_RANK_MAX];
    indexing_strides(&x->type.shape, strides);
    for (size_t i = 0; i < y->count; i++) {
        int64_t at = 0;
        for (uint32_t d = 0; d < shape->rank; d++)
            at += index[d] % x->type.shape.dims[d] * strides[d];
        memcpy((char *)y->data + i * size, (const char *)x->data + (size_t)at * size, size);
        for (uint32_t d = shape->rank; d-- > 0 && ++index[d] == shape->dims[d];)
            index[d] = 0;
    }
}

static void add_dim(struct view *view, int64_t dim, int64_t stride)
{
    view->dims[view->rank] = dim;
    view->strides[view->rank++] = stride;
}

// Copies x to every place of y along the dimensions in mask; the others are equal in both.
static void copy_repeated(struct op_lower *c, const struct view *x, const struct view *y,
                          uint32_t mask)
{
    struct view from = *x, to = *y;
    from.rank = to.rank = 0;
    for (uint32_t d = 0; d < x->rank; d++) {
        const int64_t repeat = x->dims[d] > 0 ? y->dims[d] / x->dims[d] : 0;
        if ((mask >> d & 1) != 0) {
            add_dim(&from, repeat, 0);
            add_dim(&to, repeat, y->strides[d] * x->dims[d]);
        }
        if (x->dims[d] != 1) {
            add_dim(&from, x->dims[d], x->strides[d]);
            add_dim(&to, x->dims[d], y->strides[d]);
        }
    }
    espy_lower_copy(c, &from, &to);
}

// More dimensions would be split than a view has: one dimension after the other, through temporaries.
static void tile_by_dimension(struct op_lower *c, struct view x, const struct view *y, uint32_t mask)
{
    for (uint32_t d = 0; d < y->rank; d++) {
        if ((mask >> d & 1) == 0)
            continue;
        struct shape shape = {.rank = x.rank};
        memcpy(shape.dims, x.dims, sizeof(shape.dims));
        shape.dims[d] = y->dims[d];
        const struct view next =
            mask >> d == 1 ? *y : espy_lower_temporary(c, c->inputs[0].dtype, &shape);
        // Repeating an outer part of dense memory needs no dimensions around it.
        struct shape from = {.rank = 3, .dims = {1, x.dims[d], 1}};
        for (uint32_t k = 0; k < x.rank; k++)
            from.dims[k < d ? 0 : 2] *= k == d ? 1 : x.dims[k];
        struct shape to = from;
        to.dims[1] = y->dims[d];
        const struct view source = espy_view_reshaped_dense(&x, &from);
        const struct view target = espy_view_reshaped_dense(&next, &to);
        copy_repeated(c, &source, &target, 2);
        x = next;
    }
}

static espy_status lower(struct op_lower *c)
{
    const struct shape *x_shape = &c->inputs[0].shape, *y_shape = &c->outputs[0].shape;
    uint32_t mask = 0, rank = 0;
    bool moves = false;
    for (uint32_t d = 0; d < x_shape->rank; d++) {
        const bool repeated = y_shape->dims[d] != x_shape->dims[d];
        mask |= (uint32_t)repeated << d;
        moves = moves || (repeated && x_shape->dims[d] != 1);
        rank += (uint32_t)repeated + (x_shape->dims[d] != 1);
    }
    const struct view x =
        rank <= ESPY_RANK_MAX ? espy_lower_input(c, 0) : espy_lower_dense_input(c, 0);
    if (x.buffer == VIEW_NONE)
        return espy_lower_status(c);
    size_t count = 0;
    espy_shape_count(y_shape, &count);
    if (!moves) {
        const struct view repeated = espy_view_broadcast(&x, y_shape);
        espy_lower_alias(c, 0, &repeated);
        return espy_lower_status(c);
    }
    const struct view y =
        rank <= ESPY_RANK_MAX ? espy_lower_output_like(c, 0, &x) : espy_lower_output(c, 0);
    if (y.buffer == VIEW_NONE || count == 0)
        return espy_lower_status(c);
    if (rank <= ESPY_RANK_MAX)
        copy_repeated(c, &x, &y, mask);
    else
        tile_by_dimension(c, x, &y, mask);
    return espy_lower_status(c);
}

static const struct op ops[] = {{.name = "Tile",
                                 .summary = "x repeated along its dimensions",
                                 .inputs_min = 2,
                                 .inputs_max = 2,
                                 .outputs_min = 1,
                                 .outputs_max = 1,
                                 .infer = infer,
                                 .reference = reference,
                                 .lower = lower}};

const struct op_family espy_ops_tile = {ops, 1};
