// Trilu and EyeLike: the triangle above or below a diagonal, and a matrix with ones on one.
#include <string.h>

#include "op/axes.h"
#include "op/lower.h"
#include "op/op.h"
#include "ops/indexing.h"
#include "shaders/trilu.spv.h"

// ---- Trilu -----------------------------------------------------------------------------------------

struct trilu_attrs {
    bool upper;
};

static const struct op_attr trilu_rows[] = {
    {.name = "upper",
     .type = OP_BOOL,
     .offset = offsetof(struct trilu_attrs, upper),
     .fallback = 1,
     .help = "1: the diagonal k and what is above stays; 0: it and what is below"}};

static espy_status trilu_infer(struct op_infer *c)
{
    size_t count = 0;
    if (c->inputs[0].shape.rank < 2)
        return espy_infer_fail(c, "needs a matrix, not rank %u", c->inputs[0].shape.rank);
    if (espy_infer_has(c, 1)) {
        if (!indexing_is_index(c->inputs[1].dtype))
            return espy_infer_fail(c, "k must be an integer");
        if (!espy_shape_count(&c->inputs[1].shape, &count) || count != 1)
            return espy_infer_fail(c, "k must be one element");
    }
    espy_infer_copy(c, 0, 0);
    return ESPY_OK;
}

static void trilu_reference(struct op_eval *c)
{
    const struct trilu_attrs *attrs = c->attrs;
    const struct tensor *x = &c->inputs[0];
    const struct shape *shape = &x->type.shape;
    const size_t size = espy_dtype_size(x->type.dtype);
    const size_t rows = (size_t)shape->dims[shape->rank - 2];
    const size_t columns = (size_t)shape->dims[shape->rank - 1];
    const int64_t k = espy_eval_has(c, 1) ? espy_tensor_integer(&c->inputs[1], 0) : 0;
    for (size_t i = 0; i < x->count; i++) {
        const int64_t diagonal = (int64_t)(i % columns) - (int64_t)(i / columns % rows);
        char *to = (char *)c->outputs[0].data + i * size;
        if (attrs->upper ? diagonal >= k : diagonal <= k)
            memcpy(to, (const char *)x->data + i * size, size);
        else
            memset(to, 0, size);
    }
}

static espy_status trilu_lower(struct op_lower *c)
{
    const struct trilu_attrs *attrs = c->attrs;
    const struct view x = espy_lower_input(c, 0);
    const struct view k =
        espy_lower_has(c, 1) ? espy_lower_input(c, 1) : (struct view){.buffer = VIEW_NONE};
    const struct view y = espy_lower_output_like(c, 0, &x);
    if (y.buffer == VIEW_NONE || espy_view_count(&y) == 0)
        return espy_lower_status(c);
    struct view views[3] = {y, x, y}; // the last one's strides are the push block's diagonals
    memset(views[2].strides, 0, sizeof(views[2].strides));
    views[2].strides[x.rank - 2] = -1;
    views[2].strides[x.rank - 1] = 1;
    espy_axes_sort(views, 3);
    struct trilu_spec spec = TRILU_SPEC_DEFAULT;
    spec.local_size_x = c->caps->local_size;
    spec.rank = espy_view_collapse(views, 3);
    spec.index_words = espy_index_words(&k);
    spec.upper = attrs->upper;
    spec.has_k = k.buffer != VIEW_NONE;
    const size_t inner = (size_t)views[0].dims[spec.rank - 1];
    spec.run = indexing_run(c, inner);
    struct trilu_push push = {.runs = indexing_runs(inner, spec.run),
                              .x_offset = (int32_t)x.offset,
                              .k_offset = (int32_t)k.offset};
    push.count = (uint32_t)(espy_view_count(&y) / inner) * push.runs;
    for (uint32_t d = 0; d < spec.rank; d++) {
        push.dims[d] = (uint32_t)views[0].dims[d];
        push.x_strides[d] = (int32_t)views[1].strides[d];
        push.diagonals[d] = (int32_t)views[2].strides[d];
    }
    struct op_dispatch dispatch = {.shader = trilu_shaders.variants[espy_word_variant(x.storage)],
                                   .bindings = {x, k, y},
                                   .binding_count = 3,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.count, spec.local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
    return espy_lower_status(c);
}

// ---- EyeLike ---------------------------------------------------------------------------------------

struct eye_attrs {
    espy_dtype dtype;
    int64_t k;
};

static const struct op_attr eye_rows[] = {
    {.name = "dtype",
     .type = OP_DTYPE,
     .offset = offsetof(struct eye_attrs, dtype),
     .fallback = ESPY_DTYPE_NONE,
     .help = "type of the output; default: the input's"},
    {.name = "k",
     .type = OP_INT,
     .offset = offsetof(struct eye_attrs, k),
     .help = "the diagonal of the ones: above 0 to the right of the main one"}};

static espy_status eye_infer(struct op_infer *c)
{
    const struct eye_attrs *attrs = c->attrs;
    if (c->inputs[0].shape.rank != 2)
        return espy_infer_fail(c, "needs a matrix, not rank %u", c->inputs[0].shape.rank);
    espy_infer_copy(c, 0, 0);
    if (attrs->dtype != ESPY_DTYPE_NONE)
        c->outputs[0].dtype = attrs->dtype;
    return ESPY_OK;
}

// Row and column of the first one on the diagonal, and how many there are.
static void find_ones(const struct eye_attrs *attrs, const struct shape *shape, int64_t *row,
                      int64_t *column, int64_t *count)
{
    const int64_t k = attrs->k;
    *row = k < 0 ? -k : 0;
    *column = k > 0 ? k : 0;
    const int64_t below = shape->dims[0] - *row, right = shape->dims[1] - *column;
    *count = below < right ? below : right;
    *count = *count < 0 ? 0 : *count;
}

static void eye_reference(struct op_eval *c)
{
    struct tensor *y = &c->outputs[0];
    int64_t row, column, count;
    find_ones(c->attrs, &y->type.shape, &row, &column, &count);
    if (y->count > 0)
        memset(y->data, 0, espy_tensor_size(y));
    for (int64_t i = 0; i < count; i++)
        espy_tensor_set_integer(y, (size_t)((row + i) * y->type.shape.dims[1] + column + i), 1);
}

static espy_status eye_lower(struct op_lower *c)
{
    const struct shape *shape = &c->outputs[0].shape, two = {.rank = 1, .dims = {2}};
    uint64_t bytes[2] = {0, 0}; // room for two elements of any type
    struct tensor elements = {{c->outputs[0].dtype, two}, 2, bytes};
    espy_tensor_set_integer(&elements, 1, 1);
    const struct view numbers = espy_lower_constant(c, c->outputs[0].dtype, &two, bytes);
    const struct view y = espy_lower_output(c, 0);
    if (y.buffer == VIEW_NONE || espy_view_count(&y) == 0)
        return espy_lower_status(c);
    int64_t row, column, count;
    find_ones(c->attrs, shape, &row, &column, &count);
    struct view zero = y, one = numbers, diagonal = y;
    zero.buffer = numbers.buffer;
    zero.offset = numbers.offset;
    zero.strides[0] = zero.strides[1] = 0;
    espy_lower_copy(c, &zero, &y);
    one.offset += one.strides[0];
    diagonal.offset += row * y.strides[0] + column * y.strides[1];
    one.rank = diagonal.rank = 1;
    one.dims[0] = diagonal.dims[0] = count;
    one.strides[0] = 0;
    diagonal.strides[0] = y.strides[0] + y.strides[1];
    if (count > 0)
        espy_lower_copy(c, &one, &diagonal);
    return espy_lower_status(c);
}

static const struct op ops[] = {
    {.name = "EyeLike",
     .summary = "ones on a diagonal, zeros elsewhere, in the shape of a matrix",
     .inputs_min = 1,
     .inputs_max = 1,
     .outputs_min = 1,
     .outputs_max = 1,
     .flags = OP_SHAPE_ONLY,
     .attrs = eye_rows,
     .attr_count = sizeof(eye_rows) / sizeof(eye_rows[0]),
     .attrs_size = sizeof(struct eye_attrs),
     .infer = eye_infer,
     .reference = eye_reference,
     .lower = eye_lower},
    {.name = "Trilu",
     .summary = "the upper or lower triangle of matrices, zeros elsewhere",
     .inputs_min = 1,
     .inputs_max = 2,
     .outputs_min = 1,
     .outputs_max = 1,
     .attrs = trilu_rows,
     .attr_count = sizeof(trilu_rows) / sizeof(trilu_rows[0]),
     .attrs_size = sizeof(struct trilu_attrs),
     .infer = trilu_infer,
     .reference = trilu_reference,
     .lower = trilu_lower},
};

const struct op_family espy_ops_trilu = {ops, sizeof(ops) / sizeof(ops[0])};
