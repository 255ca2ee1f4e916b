// MatMulInteger and QLinearMatMul: products of matrices of 8-bit integers in batches that
// broadcast.
#include <string.h>

#include "op/lower.h"
#include "op/op.h"
#include "ops/plain_input.h"
#include "ops/quantize.h"
#include "shaders/include/quantize_codes.glsl"
#include "shaders/matmul_integer.spv.h"

// All loops of one invocation together stop silently after 65535 iterations on some software
// drivers.
enum { DEPTH_MAX = 60000, BATCH_RANK_MAX = ESPY_RANK_MAX - 2, COLUMNS = 4 };

// Where an operator has its inputs; GRAPH_NONE: nowhere.
struct places {
    uint32_t a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero;
};

static struct places places_of(const struct op_node *node)
{
    if (strcmp(node->op->name, "QLinearMatMul") == 0)
        return (struct places){0, 1, 2, 3, 4, 5, 6, 7};
    return (struct places){0, GRAPH_NONE, 2, 1, GRAPH_NONE, 3, GRAPH_NONE, GRAPH_NONE};
}

// Operands as [batch..., rows, depth] and [batch..., depth, columns], with the same batch dims and
// stride 0 where they are repeated.
struct product {
    struct view a, b;
    uint32_t batch_rank;
    int64_t rows, columns, depth;
};

// A vector is a row on the left and a column on the right.
static struct view matrix_of(const struct view *view, bool left)
{
    struct view matrix = *view;
    if (view->rank != 1)
        return matrix;
    matrix.rank = 2;
    matrix.dims[left] = view->dims[0];
    matrix.strides[left] = view->strides[0];
    matrix.dims[!left] = 1;
    matrix.strides[!left] = 0;
    return matrix;
}

static struct product product_of(const struct view *left, const struct view *right)
{
    const struct view a = matrix_of(left, true), b = matrix_of(right, false);
    struct product p = {.batch_rank = (a.rank > b.rank ? a.rank : b.rank) - 2,
                        .rows = a.dims[a.rank - 2],
                        .columns = b.dims[b.rank - 1],
                        .depth = a.dims[a.rank - 1]};
    struct shape a_shape = {.rank = p.batch_rank + 2}, b_shape;
    for (uint32_t i = 0; i < p.batch_rank; i++) {
        const uint32_t a_lead = p.batch_rank + 2 - a.rank, b_lead = p.batch_rank + 2 - b.rank;
        const int64_t in_a = i < a_lead ? 1 : a.dims[i - a_lead];
        const int64_t in_b = i < b_lead ? 1 : b.dims[i - b_lead];
        a_shape.dims[i] = in_a == 1 ? in_b : in_a;
    }
    b_shape = a_shape;
    a_shape.dims[p.batch_rank] = p.rows;
    a_shape.dims[p.batch_rank + 1] = b_shape.dims[p.batch_rank] = p.depth;
    b_shape.dims[p.batch_rank + 1] = p.columns;
    p.a = espy_view_broadcast(&a, &a_shape);
    p.b = espy_view_broadcast(&b, &b_shape);
    return p;
}

// ---- shapes and types ---------------------------------------------------------------------------

// How many parameters there are for the operand of this shape, whose dimension `axis` (from the
// end) they may follow. PER_NOTHING: their shape does not fit.
static uint32_t kind_of(const struct shape *parameters, const struct shape *operand, uint32_t axis)
{
    if (quantize_is_single(parameters))
        return PER_TENSOR;
    if (operand->rank < 2)
        return PER_NOTHING;
    const uint32_t along = operand->rank - axis;
    if (parameters->rank == 1)
        return parameters->dims[0] == operand->dims[along] ? PER_INDEX : PER_NOTHING;
    if (parameters->rank != operand->rank)
        return PER_NOTHING;
    for (uint32_t d = 0; d < operand->rank; d++) {
        const bool across = d + 2 >= operand->rank && d != along;
        if (parameters->dims[d] != (across ? 1 : operand->dims[d]))
            return PER_NOTHING;
    }
    return PER_BATCH;
}

// kind_of for input i; PER_NOTHING where it is absent.
static uint32_t input_kind(const struct op_type *inputs, uint32_t input_count, uint32_t i,
                           uint32_t operand, uint32_t axis)
{
    if (i >= input_count || inputs[i].dtype == ESPY_DTYPE_NONE)
        return PER_NOTHING;
    return kind_of(&inputs[i].shape, &inputs[operand].shape, axis);
}

static espy_status check_operand(const struct op_infer *c, uint32_t operand, uint32_t scale,
                                 uint32_t zero, uint32_t axis)
{
    const espy_dtype dtype = c->inputs[operand].dtype;
    if (!quantize_is_8_bit(dtype))
        return espy_infer_unsupported(c, "takes integers of 8 bits, not %s",
                                      espy_dtype_name(dtype));
    if (c->inputs[operand].shape.rank == 0)
        return espy_infer_fail(c, "an operand is a scalar");
    if (espy_infer_has(c, zero) && c->inputs[zero].dtype != dtype)
        return espy_infer_fail(c, "a zero point of type %s for integers of type %s",
                               espy_dtype_name(c->inputs[zero].dtype), espy_dtype_name(dtype));
    for (uint32_t k = 0; k < 2; k++) {
        const uint32_t i = k == 0 ? zero : scale;
        if (espy_infer_has(c, i) &&
            input_kind(c->inputs, c->input_count, i, operand, axis) == PER_NOTHING)
            return espy_infer_fail(c, "the shape of input %u does not fit that of input %u", i,
                                   operand);
    }
    return ESPY_OK;
}

// The scales, and what the output's scale and zero point are.
static espy_status check_output(const struct op_infer *c, const struct places *at)
{
    const espy_dtype scale = c->inputs[at->a_scale].dtype;
    if (!quantize_is_scale(scale) || c->inputs[at->b_scale].dtype != scale ||
        c->inputs[at->y_scale].dtype != scale)
        return espy_infer_fail(c, "scales of type %s, %s and %s", espy_dtype_name(scale),
                               espy_dtype_name(c->inputs[at->b_scale].dtype),
                               espy_dtype_name(c->inputs[at->y_scale].dtype));
    if (!quantize_is_8_bit(c->inputs[at->y_zero].dtype))
        return espy_infer_unsupported(c, "makes integers of 8 bits, not %s",
                                      espy_dtype_name(c->inputs[at->y_zero].dtype));
    if (!quantize_is_single(&c->inputs[at->y_scale].shape) ||
        !quantize_is_single(&c->inputs[at->y_zero].shape))
        return espy_infer_unsupported(c, "an output with more than one scale or zero point");
    return ESPY_OK;
}

static espy_status infer(struct op_infer *c)
{
    const struct places at = places_of(c->node);
    TRY(check_operand(c, at.a, at.a_scale, at.a_zero, 2));
    TRY(check_operand(c, at.b, at.b_scale, at.b_zero, 1));
    c->outputs[0].dtype = ESPY_INT32;
    if (at.y_scale != GRAPH_NONE) {
        TRY(check_output(c, &at));
        c->outputs[0].dtype = c->inputs[at.y_zero].dtype;
    }
    struct shape a = c->inputs[at.a].shape, b = c->inputs[at.b].shape;
    const int64_t a_depth = a.dims[a.rank - 1], b_depth = b.dims[b.rank < 2 ? 0 : b.rank - 2];
    if (a_depth != b_depth)
        return espy_infer_fail(c, "the left operand has %lld columns, the right %lld rows",
                               (long long)a_depth, (long long)b_depth);
    const bool has_rows = a.rank >= 2, has_columns = b.rank >= 2;
    const int64_t rows = has_rows ? a.dims[a.rank - 2] : 1;
    const int64_t columns = has_columns ? b.dims[b.rank - 1] : 1;
    a.rank = has_rows ? a.rank - 2 : 0;
    b.rank = has_columns ? b.rank - 2 : 0;
    struct shape *y = &c->outputs[0].shape;
    TRY(espy_infer_broadcast(c, &a, &b, y));
    if (has_rows)
        y->dims[y->rank++] = rows;
    if (has_columns)
        y->dims[y->rank++] = columns;
    return ESPY_OK;
}

// ---- meaning ------------------------------------------------------------------------------------

// Index of an operand's parameter: matrix is the operand's own batch index.
static size_t parameter_index(uint32_t kind, size_t matrix, size_t size, size_t index)
{
    return kind == PER_TENSOR ? 0 : kind == PER_INDEX ? index : matrix * size + index;
}

static int64_t zero_of(const struct op_eval *c, uint32_t i, uint32_t kind, size_t index)
{
    return kind == PER_NOTHING ? 0 : espy_tensor_integer(&c->inputs[i], index);
}

static int64_t requantized(const struct op_eval *c, const struct places *at, int32_t sum,
                           size_t from_a, size_t from_b)
{
    const float a_scale = (float)espy_tensor_number(&c->inputs[at->a_scale], from_a);
    const float b_scale = (float)espy_tensor_number(&c->inputs[at->b_scale], from_b);
    const float y_scale = (float)espy_tensor_number(&c->inputs[at->y_scale], 0);
    const float scale = a_scale * b_scale;
    const float value = (float)sum * (scale / y_scale);
    return quantize_round(value, espy_tensor_integer(&c->inputs[at->y_zero], 0),
                          quantize_range_of(c->outputs[0].type.dtype));
}

struct matrices {
    const struct product *p;
    const struct places *at;
    const int64_t *a, *b;                      // of the current batch
    size_t a_index, b_index;                   // which matrix of its operand that is
    uint32_t a_zero, b_zero, a_scale, b_scale; // kinds
};

static int64_t element(const struct op_eval *c, const struct matrices *m, size_t row, size_t column)
{
    const struct product *p = m->p;
    const size_t depth = (size_t)p->depth, columns = (size_t)p->columns;
    const size_t rows = (size_t)p->rows;
    const int64_t a_zero =
        zero_of(c, m->at->a_zero, m->a_zero, parameter_index(m->a_zero, m->a_index, rows, row));
    const int64_t b_zero = zero_of(c, m->at->b_zero, m->b_zero,
                                   parameter_index(m->b_zero, m->b_index, columns, column));
    int64_t sum = 0;
    for (size_t k = 0; k < depth; k++)
        sum += (m->a[row * depth + k] - a_zero) * (m->b[k * columns + column] - b_zero);
    const int32_t wrapped = (int32_t)(uint32_t)(uint64_t)sum;
    if (m->a_scale == PER_NOTHING)
        return wrapped;
    return requantized(c, m->at, wrapped, parameter_index(m->a_scale, m->a_index, rows, row),
                       parameter_index(m->b_scale, m->b_index, columns, column));
}

static int64_t *integers_of(struct op_eval *c, uint32_t i)
{
    const struct tensor *input = &c->inputs[i];
    int64_t *integers = espy_eval_scratch(c, input->count, sizeof(*integers));
    for (size_t k = 0; integers != NULL && k < input->count; k++)
        integers[k] = espy_tensor_integer(input, k);
    return integers;
}

static void fill_kinds(const struct op_type *types, uint32_t count, struct matrices *m)
{
    const struct places *at = m->at;
    m->a_zero = input_kind(types, count, at->a_zero, at->a, 2);
    m->b_zero = input_kind(types, count, at->b_zero, at->b, 1);
    m->a_scale = input_kind(types, count, at->a_scale, at->a, 2);
    m->b_scale = input_kind(types, count, at->b_scale, at->b, 1);
}

static void reference(struct op_eval *c)
{
    const struct places at = places_of(c->node);
    const struct view start = {.buffer = 0};
    const struct view left = espy_view_reshaped_dense(&start, &c->inputs[at.a].type.shape);
    const struct view right = espy_view_reshaped_dense(&start, &c->inputs[at.b].type.shape);
    const struct product p = product_of(&left, &right);
    const int64_t *a = integers_of(c, at.a), *b = integers_of(c, at.b);
    if (a == NULL || b == NULL)
        return;
    struct op_type types[8] = {{ESPY_DTYPE_NONE, {0}}};
    for (uint32_t i = 0; i < c->input_count; i++)
        types[i] = c->inputs[i].type;
    struct matrices m = {.p = &p, .at = &at};
    fill_kinds(types, c->input_count, &m);
    const size_t rows = (size_t)p.rows, columns = (size_t)p.columns, depth = (size_t)p.depth;
    int64_t position[BATCH_RANK_MAX] = {0};
    for (size_t to = 0; to < c->outputs[0].count;) {
        int64_t a_at = 0, b_at = 0;
        for (uint32_t d = 0; d < p.batch_rank; d++) {
            a_at += position[d] * p.a.strides[d];
            b_at += position[d] * p.b.strides[d];
        }
        m.a = a + a_at;
        m.b = b + b_at;
        m.a_index = depth == 0 ? 0 : (size_t)a_at / (rows * depth); // without depth nothing counts
        m.b_index = depth == 0 ? 0 : (size_t)b_at / (columns * depth);
        for (size_t k = 0; k < rows * columns; k++)
            espy_tensor_set_integer(&c->outputs[0], to++, element(c, &m, k / columns, k % columns));
        for (uint32_t d = p.batch_rank; d-- > 0 && ++position[d] == p.a.dims[d];)
            position[d] = 0;
    }
}

// ---- dispatches ---------------------------------------------------------------------------------

// Input i for the kernel: as it is, or, one set per matrix, repeated for the product's batches.
static struct view parameters(struct op_lower *c, uint32_t i, uint32_t kind,
                              const struct product *p, bool left)
{
    if (kind == PER_NOTHING)
        return (struct view){.buffer = VIEW_NONE};
    if (kind != PER_BATCH)
        return plain_input(c, i);
    const struct view view = espy_lower_input(c, i);
    struct shape shape = {.rank = p->batch_rank + 2};
    memcpy(shape.dims, p->a.dims, p->batch_rank * sizeof(shape.dims[0]));
    shape.dims[p->batch_rank] = left ? p->rows : 1;
    shape.dims[p->batch_rank + 1] = left ? 1 : p->columns;
    const struct view repeated = espy_view_broadcast(&view, &shape);
    const struct view all = espy_lower_temporary(c, c->inputs[i].dtype, &shape);
    espy_lower_copy(c, &repeated, &all);
    return all;
}

static void fill_push(const struct product *p, struct matmul_integer_push *push,
                      struct matmul_integer_spec *spec)
{
    const uint32_t last = p->batch_rank + 1;
    struct view batch[2] = {p->a, p->b};
    batch[0].rank = batch[1].rank = p->batch_rank;
    const size_t batches = espy_view_count(&batch[0]);
    *push = (struct matmul_integer_push){.rows = (uint32_t)p->rows,
                                         .columns = (uint32_t)p->columns,
                                         .depth = (uint32_t)p->depth,
                                         .column_blocks =
                                             (uint32_t)((p->columns + COLUMNS - 1) / COLUMNS),
                                         .a_offset = (int32_t)p->a.offset,
                                         .b_offset = (int32_t)p->b.offset,
                                         .a_row = (int32_t)p->a.strides[last - 1],
                                         .a_step = (int32_t)p->a.strides[last],
                                         .b_column = (int32_t)p->b.strides[last],
                                         .b_step = (int32_t)p->b.strides[last - 1]};
    push->count = (uint32_t)(batches * push->rows * push->column_blocks);
    spec->rank = espy_view_collapse(batch, 2);
    for (uint32_t d = 0; d < batch[0].rank; d++) {
        push->dims[d] = (uint32_t)batch[0].dims[d];
        push->a_strides[d] = (int32_t)batch[0].strides[d];
        push->b_strides[d] = (int32_t)batch[1].strides[d];
    }
}

static espy_status lower(struct op_lower *c)
{
    const struct places at = places_of(c->node);
    const struct shape *a_shape = &c->inputs[at.a].shape;
    if (a_shape->dims[a_shape->rank - 1] > DEPTH_MAX)
        return espy_lower_on_host(c, "rows are too long for one invocation");
    const struct view a = espy_lower_input(c, at.a), b = espy_lower_input(c, at.b);
    TRY(espy_lower_status(c));
    const struct product p = product_of(&a, &b);
    struct matrices kinds = {.at = &at};
    fill_kinds(c->inputs, c->input_count, &kinds);
    struct op_dispatch dispatch = {.shader = matmul_integer_shaders.variants[VARIANT_NONE],
                                   .bindings = {p.a, p.b,
                                                parameters(c, at.a_zero, kinds.a_zero, &p, true),
                                                parameters(c, at.b_zero, kinds.b_zero, &p, false),
                                                parameters(c, at.a_scale, kinds.a_scale, &p, true),
                                                parameters(c, at.b_scale, kinds.b_scale, &p, false),
                                                plain_input(c, at.y_scale),
                                                plain_input(c, at.y_zero), espy_lower_output(c, 0)},
                                   .binding_count = 9};
    TRY(espy_lower_status(c));
    const struct quantize_range range = quantize_range_of(c->outputs[0].dtype);
    struct matmul_integer_spec spec = MATMUL_INTEGER_SPEC_DEFAULT;
    struct matmul_integer_push push;
    fill_push(&p, &push, &spec);
    spec.local_size_x = c->caps->local_size;
    spec.a_zero = kinds.a_zero;
    spec.b_zero = kinds.b_zero;
    spec.a_scale = kinds.a_scale;
    spec.b_scale = kinds.b_scale;
    if (kinds.a_scale != PER_NOTHING)
        spec.scale_kind = quantize_param_kind(&dispatch.bindings[4]);
    spec.low = range.low;
    spec.high = range.high;
    dispatch.push = &push;
    dispatch.push_size = sizeof(push);
    dispatch.spec = &spec;
    dispatch.spec_size = sizeof(spec);
    espy_lower_grid(c, push.count, spec.local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
    return espy_lower_status(c);
}

static const struct op ops[] = {
    {.name = "MatMulInteger",
     .summary = "product of matrices of 8-bit integers, zero points taken off, as int32",
     .inputs_min = 2,
     .inputs_max = 4,
     .outputs_min = 1,
     .outputs_max = 1,
     .bindings = 9,
     .infer = infer,
     .reference = reference,
     .lower = lower},
    {.name = "QLinearMatMul",
     .summary = "product of quantized matrices, quantized again",
     .inputs_min = 8,
     .inputs_max = 8,
     .outputs_min = 1,
     .outputs_max = 1,
     .bindings = 9,
     .infer = infer,
     .reference = reference,
     .lower = lower}};

const struct op_family espy_ops_matmul_integer = {ops, sizeof(ops) / sizeof(ops[0])};
