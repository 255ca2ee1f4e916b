// Operators that only say where elements lie: Transpose, Slice, Split, Expand. On the device each is
// another view of the same memory; nothing moves.
#include <assert.h>
#include <string.h>

#include "op/lower.h"
#include "op/op.h"

// Copies the elements of a strided selection of x to the dense y. strides are in elements of x.
static void gather_strided(const struct tensor *x, size_t start, const int64_t *strides,
                           struct tensor *y)
{
    const struct shape *shape = &y->type.shape;
    int64_t index[ESPY_RANK_MAX] = {0};
    int64_t from = (int64_t)start;
    for (size_t i = 0; i < y->count; i++) {
        espy_tensor_move(y, i, x, (size_t)from, 1);
        for (uint32_t d = shape->rank; d-- > 0;) { // the next element in row-major order
            from += strides[d];
            if (++index[d] < shape->dims[d])
                break;
            from -= strides[d] * shape->dims[d];
            index[d] = 0;
        }
    }
}

static void dense_strides(const struct shape *shape, int64_t *strides)
{
    int64_t stride = 1;
    for (uint32_t d = shape->rank; d-- > 0;) {
        strides[d] = stride;
        stride *= shape->dims[d];
    }
}

// ---- Transpose -------------------------------------------------------------------------------------

struct transpose_attrs {
    struct op_ints perm;
};

static const struct op_attr transpose_rows[] = {
    {.name = "perm",
     .type = OP_INTS,
     .offset = offsetof(struct transpose_attrs, perm),
     .help = "output dimension i is input dimension perm[i]; default: reversed"}};

static uint32_t perm_at(const struct transpose_attrs *attrs, uint32_t rank, uint32_t i)
{
    return attrs->perm.values != NULL ? (uint32_t)attrs->perm.values[i] : rank - 1 - i;
}

static espy_status transpose_infer(struct op_infer *c)
{
    const struct transpose_attrs *attrs = c->attrs;
    const struct shape *x = &c->inputs[0].shape;
    bool used[ESPY_RANK_MAX] = {false};
    if (attrs->perm.values != NULL && attrs->perm.count != x->rank)
        return espy_infer_fail(c, "perm has %u entries for a tensor of rank %u",
                               attrs->perm.count, x->rank);
    espy_infer_copy(c, 0, 0);
    for (uint32_t i = 0; i < x->rank; i++) {
        const int64_t given = attrs->perm.values != NULL ? attrs->perm.values[i] : 0;
        if (given < 0 || given >= (int64_t)x->rank)
            return espy_infer_fail(c, "perm is not a permutation");
        const uint32_t from = perm_at(attrs, x->rank, i);
        if (used[from])
            return espy_infer_fail(c, "perm is not a permutation");
        used[from] = true;
        c->outputs[0].shape.dims[i] = x->dims[from];
    }
    return ESPY_OK;
}

static void transpose_reference(struct op_eval *c)
{
    const struct shape *shape = &c->inputs[0].type.shape;
    int64_t strides[ESPY_RANK_MAX], permuted[ESPY_RANK_MAX];
    dense_strides(shape, strides);
    for (uint32_t i = 0; i < shape->rank; i++)
        permuted[i] = strides[perm_at(c->attrs, shape->rank, i)];
    gather_strided(&c->inputs[0], 0, permuted, &c->outputs[0]);
}

static espy_status transpose_lower(struct op_lower *c)
{
    const struct view x = espy_lower_input(c, 0);
    struct view y = x;
    for (uint32_t i = 0; i < x.rank; i++) {
        y.dims[i] = x.dims[perm_at(c->attrs, x.rank, i)];
        y.strides[i] = x.strides[perm_at(c->attrs, x.rank, i)];
    }
    espy_lower_alias(c, 0, &y);
    return espy_lower_status(c);
}

// ---- Slice -----------------------------------------------------------------------------------------

// What Slice selects of one dimension.
struct selection {
    int64_t start, step, count;
};

static int64_t clamped(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

static struct selection select_range(int64_t dim, int64_t start, int64_t end, int64_t step)
{
    // Sums of int64 extremes would overflow, so ends far outside are clamped before dim is added.
    start = clamped(start, -dim - 1, dim);
    end = clamped(end, -dim - 1, dim);
    start = start < 0 ? start + dim : start;
    end = end < 0 ? end + dim : end;
    struct selection s = {.step = step};
    if (step > 0) {
        s.start = clamped(start, 0, dim);
        end = clamped(end, 0, dim);
        s.count = end > s.start ? (end - s.start - 1) / step + 1 : 0;
    } else {
        s.start = clamped(start, -1, dim - 1);
        end = clamped(end, -1, dim - 1);
        // -(end - start) fits; the step may be INT64_MIN, whose negation does not.
        const int64_t length = s.start - end;
        s.count = length <= 0 ? 0 : step < -length ? 1 : (length - 1) / -step + 1;
    }
    if (s.count <= 1)
        s.step = 1; // one element has no next
    if (s.count == 0)
        s.start = 0;
    return s;
}

// Fills all[rank] from the known inputs; values[0] is not looked at. The message, or NULL when good.
static const char *select_all(const struct tensor *values, uint32_t input_count,
                              const struct shape *x, struct selection *all)
{
    const struct tensor *starts = &values[1], *ends = &values[2];
    const bool has_axes = input_count > 3 && values[3].data != NULL;
    const bool has_steps = input_count > 4 && values[4].data != NULL;
    bool used[ESPY_RANK_MAX] = {false};
    for (uint32_t d = 0; d < x->rank; d++)
        all[d] = (struct selection){0, 1, x->dims[d]};
    if (ends->count != starts->count || (has_axes && values[3].count != starts->count) ||
        (has_steps && values[4].count != starts->count))
        return "starts, ends, axes and steps differ in length";
    for (size_t i = 0; i < starts->count; i++) {
        int64_t axis = has_axes ? espy_tensor_integer(&values[3], i) : (int64_t)i;
        const int64_t step = has_steps ? espy_tensor_integer(&values[4], i) : 1;
        if (axis < -(int64_t)x->rank || axis >= (int64_t)x->rank)
            return "an axis is outside the tensor";
        axis += axis < 0 ? (int64_t)x->rank : 0;
        if (used[axis])
            return "an axis stands twice";
        if (step == 0)
            return "a step is 0";
        used[axis] = true;
        all[axis] = select_range(x->dims[axis], espy_tensor_integer(starts, i),
                                 espy_tensor_integer(ends, i), step);
    }
    return NULL;
}

static espy_status slice_infer(struct op_infer *c)
{
    const struct shape *x = &c->inputs[0].shape;
    struct selection all[ESPY_RANK_MAX];
    for (uint32_t i = 1; i < c->input_count; i++)
        if (espy_infer_has(c, i) && espy_infer_value(c, i) == NULL)
            return espy_infer_wait(c);
    const char *wrong = select_all(c->values, c->input_count, x, all);
    if (wrong != NULL)
        return espy_infer_fail(c, "%s", wrong);
    espy_infer_copy(c, 0, 0);
    for (uint32_t d = 0; d < x->rank; d++)
        c->outputs[0].shape.dims[d] = all[d].count;
    return ESPY_OK;
}

static void slice_reference(struct op_eval *c)
{
    const struct shape *shape = &c->inputs[0].type.shape;
    struct selection all[ESPY_RANK_MAX];
    int64_t strides[ESPY_RANK_MAX], start = 0;
    const char *wrong = select_all(c->inputs, c->input_count, shape, all);
    assert(wrong == NULL); // slice_infer
    (void)wrong;
    dense_strides(shape, strides);
    for (uint32_t d = 0; d < shape->rank; d++) {
        start += all[d].start * strides[d];
        strides[d] *= all[d].step;
    }
    gather_strided(&c->inputs[0], (size_t)start, strides, &c->outputs[0]);
}

static espy_status slice_lower(struct op_lower *c)
{
    struct selection all[ESPY_RANK_MAX];
    const char *wrong = select_all(c->values, c->input_count, &c->inputs[0].shape, all);
    assert(wrong == NULL); // slice_infer
    (void)wrong;
    struct view y = espy_lower_input(c, 0);
    for (uint32_t d = 0; d < y.rank; d++) {
        y.offset += all[d].start * y.strides[d];
        y.strides[d] *= all[d].step;
        y.dims[d] = all[d].count;
    }
    espy_lower_alias(c, 0, &y);
    return espy_lower_status(c);
}

// ---- Split -----------------------------------------------------------------------------------------

struct split_attrs {
    int64_t axis, num_outputs;
};

static const struct op_attr split_rows[] = {
    {.name = "axis",
     .type = OP_INT,
     .offset = offsetof(struct split_attrs, axis),
     .help = "the dimension that is cut"},
    {.name = "num_outputs",
     .type = OP_INT,
     .offset = offsetof(struct split_attrs, num_outputs),
     .fallback = 0,
     .min = 0,
     .max = GRAPH_NODE_VALUES_MAX,
     .help = "cuts into equal parts, the last one smaller, where the input split is absent"}};

static espy_status split_infer(struct op_infer *c)
{
    const struct split_attrs *attrs = c->attrs;
    const struct shape *x = &c->inputs[0].shape;
    uint32_t axis;
    TRY(espy_infer_axis(c, attrs->axis, x->rank, &axis));
    const struct tensor *split = NULL;
    if (espy_infer_has(c, 1)) {
        split = espy_infer_value(c, 1);
        if (split == NULL)
            return espy_infer_wait(c);
        if (split->count != c->output_count)
            return espy_infer_fail(c, "split has %zu parts for %u outputs", split->count,
                                   c->output_count);
    } else if (attrs->num_outputs != 0 && attrs->num_outputs != (int64_t)c->output_count) {
        return espy_infer_fail(c, "num_outputs is %lld for %u outputs",
                               (long long)attrs->num_outputs, c->output_count);
    }
    const int64_t part = (x->dims[axis] + c->output_count - 1) / c->output_count;
    int64_t rest = x->dims[axis];
    for (uint32_t o = 0; o < c->output_count; o++) {
        const int64_t size = split != NULL ? espy_tensor_integer(split, o)
                             : part < rest ? part
                                           : rest;
        if (size < 0 || size > rest)
            return espy_infer_fail(c, "the parts do not add up to %lld", (long long)x->dims[axis]);
        espy_infer_copy(c, o, 0);
        c->outputs[o].shape.dims[axis] = size;
        rest -= size;
    }
    return rest == 0 ? ESPY_OK
                     : espy_infer_fail(c, "the parts do not add up to %lld",
                                       (long long)x->dims[axis]);
}

// Where output o begins along the axis.
static int64_t split_start(const struct tensor *split, int64_t dim, uint32_t count, uint32_t o)
{
    int64_t start = 0;
    for (uint32_t k = 0; k < o; k++) {
        const int64_t part = (dim + count - 1) / count;
        const int64_t size = split != NULL ? espy_tensor_integer(split, k)
                             : part < dim - start ? part
                                                  : dim - start;
        start += size;
    }
    return start;
}

static uint32_t split_axis(const struct split_attrs *attrs, uint32_t rank)
{
    return (uint32_t)(attrs->axis < 0 ? attrs->axis + (int64_t)rank : attrs->axis);
}

static void split_reference(struct op_eval *c)
{
    const struct tensor *x = &c->inputs[0];
    const uint32_t axis = split_axis(c->attrs, x->type.shape.rank);
    const struct tensor *split = espy_eval_has(c, 1) ? &c->inputs[1] : NULL;
    int64_t strides[ESPY_RANK_MAX];
    dense_strides(&x->type.shape, strides);
    for (uint32_t o = 0; o < c->output_count; o++) {
        if (c->outputs[o].data == NULL)
            continue;
        const int64_t start =
            split_start(split, x->type.shape.dims[axis], c->output_count, o);
        gather_strided(x, (size_t)(start * strides[axis]), strides, &c->outputs[o]);
    }
}

static espy_status split_lower(struct op_lower *c)
{
    const struct view x = espy_lower_input(c, 0);
    const uint32_t axis = split_axis(c->attrs, c->inputs[0].shape.rank);
    const struct tensor *split = espy_lower_has(c, 1) ? &c->values[1] : NULL;
    for (uint32_t o = 0; o < c->output_count; o++) {
        if (!espy_lower_wants(c, o))
            continue;
        struct view y = x;
        y.dims[axis] = c->outputs[o].shape.dims[axis];
        y.offset += x.strides[axis] *
                    split_start(split, c->inputs[0].shape.dims[axis], c->output_count, o);
        espy_lower_alias(c, o, &y);
    }
    return espy_lower_status(c);
}

// ---- Expand ----------------------------------------------------------------------------------------

static espy_status expand_infer(struct op_infer *c)
{
    const struct tensor *value = espy_infer_value(c, 1);
    if (value == NULL)
        return espy_infer_wait(c);
    struct shape shape = {.rank = (uint32_t)value->count};
    if (value->count > ESPY_RANK_MAX)
        return espy_infer_unsupported(c, "rank %zu; at most %d is supported", value->count,
                                      ESPY_RANK_MAX);
    for (uint32_t d = 0; d < shape.rank; d++) {
        shape.dims[d] = espy_tensor_integer(value, d);
        if (shape.dims[d] < 0)
            return espy_infer_fail(c, "shape has a negative dimension");
    }
    c->outputs[0].dtype = c->inputs[0].dtype;
    return espy_infer_broadcast(c, &c->inputs[0].shape, &shape, &c->outputs[0].shape);
}

static void expand_reference(struct op_eval *c)
{
    const struct shape *x = &c->inputs[0].type.shape, *y = &c->outputs[0].type.shape;
    int64_t strides[ESPY_RANK_MAX], repeated[ESPY_RANK_MAX] = {0};
    dense_strides(x, strides);
    for (uint32_t d = 0; d < x->rank; d++)
        if (x->dims[d] != 1)
            repeated[d + y->rank - x->rank] = strides[d];
    gather_strided(&c->inputs[0], 0, repeated, &c->outputs[0]);
}

static espy_status expand_lower(struct op_lower *c)
{
    const struct view x = espy_lower_input(c, 0);
    if (x.buffer != VIEW_NONE) {
        const struct view y = espy_view_broadcast(&x, &c->outputs[0].shape);
        espy_lower_alias(c, 0, &y);
    }
    return espy_lower_status(c);
}

static const struct op ops[] = {
    {.name = "Expand",
     .summary = "x repeated to a larger shape, as broadcasting does",
     .flags = OP_NARROW,
     .inputs_min = 2,
     .inputs_max = 2,
     .outputs_min = 1,
     .outputs_max = 1,
     .infer = expand_infer,
     .reference = expand_reference,
     .lower = expand_lower},
    {.name = "Slice",
     .summary = "a range with a step of some dimensions: x, starts, ends, axes, steps",
     .flags = OP_NARROW,
     .inputs_min = 3,
     .inputs_max = 5,
     .outputs_min = 1,
     .outputs_max = 1,
     .infer = slice_infer,
     .reference = slice_reference,
     .lower = slice_lower},
    {.name = "Split",
     .summary = "x cut along one dimension",
     .flags = OP_NARROW,
     .inputs_min = 1,
     .inputs_max = 2,
     .outputs_min = 1,
     .outputs_max = GRAPH_NODE_VALUES_MAX,
     .attrs = split_rows,
     .attr_count = sizeof(split_rows) / sizeof(split_rows[0]),
     .attrs_size = sizeof(struct split_attrs),
     .infer = split_infer,
     .reference = split_reference,
     .lower = split_lower},
    {.name = "Transpose",
     .summary = "the dimensions in another order",
     .flags = OP_NARROW,
     .inputs_min = 1,
     .inputs_max = 1,
     .outputs_min = 1,
     .outputs_max = 1,
     .attrs = transpose_rows,
     .attr_count = sizeof(transpose_rows) / sizeof(transpose_rows[0]),
     .attrs_size = sizeof(struct transpose_attrs),
     .infer = transpose_infer,
     .reference = transpose_reference,
     .lower = transpose_lower},
};

const struct op_family espy_ops_stride_views = {ops, sizeof(ops) / sizeof(ops[0])};
