// MatMul and Gemm: products of matrices, MatMul's in batches that broadcast.
#include <assert.h>
#include <math.h>
#include <string.h>

#include "op/lower.h"
#include "op/op.h"
#include "ops/gemm.h"
#include "ops/panel_product.h"
#include "shaders/matmul.spv.h"

// All loops of one invocation together stop silently after 65535 iterations on some software
// drivers; the kernel walks the depth four at a time.
enum { DEPTH_MAX = 240000, BATCH_RANK_MAX = ESPY_RANK_MAX - 2, KERNEL_BATCH_RANK = 3 };

struct gemm_attrs {
    float alpha, beta;
    bool trans_a, trans_b;
};

// Operands as matrices in batches: [batch..., rows, depth] and [batch..., depth, columns], with the
// same batch dims and stride 0 where they are repeated.
struct product {
    struct view a, b;
    uint32_t batch_rank;
    int64_t rows, columns, depth;
};

static void swap_last(struct view *view)
{
    const uint32_t last = view->rank - 1;
    const int64_t dim = view->dims[last], stride = view->strides[last];
    view->dims[last] = view->dims[last - 1];
    view->strides[last] = view->strides[last - 1];
    view->dims[last - 1] = dim;
    view->strides[last - 1] = stride;
}

// A vector is a row on the left and a column on the right.
static void make_matrix(struct view *view, bool left)
{
    if (view->rank != 1)
        return;
    view->rank = 2;
    view->dims[1] = 1;
    view->strides[1] = 0;
    if (left)
        swap_last(view);
}

static struct product product_of(struct view a, struct view b, bool trans_a, bool trans_b)
{
    make_matrix(&a, true);
    make_matrix(&b, false);
    if (trans_a)
        swap_last(&a);
    if (trans_b)
        swap_last(&b);
    struct product p = {.batch_rank = (a.rank > b.rank ? a.rank : b.rank) - 2,
                        .rows = a.dims[a.rank - 2],
                        .columns = b.dims[b.rank - 1],
                        .depth = a.dims[a.rank - 1]};
    struct shape a_shape = {.rank = p.batch_rank + 2};
    for (uint32_t i = 0; i < p.batch_rank; i++) {
        const uint32_t a_lead = p.batch_rank + 2 - a.rank, b_lead = p.batch_rank + 2 - b.rank;
        const int64_t in_a = i < a_lead ? 1 : a.dims[i - a_lead];
        const int64_t in_b = i < b_lead ? 1 : b.dims[i - b_lead];
        a_shape.dims[i] = in_a == 1 ? in_b : in_a;
    }
    struct shape b_shape = a_shape;
    a_shape.dims[p.batch_rank] = p.rows;
    a_shape.dims[p.batch_rank + 1] = b_shape.dims[p.batch_rank] = p.depth;
    b_shape.dims[p.batch_rank + 1] = p.columns;
    p.a = espy_view_broadcast(&a, &a_shape);
    p.b = espy_view_broadcast(&b, &b_shape);
    return p;
}

static struct view dense_view(const struct shape *shape)
{
    const struct view start = {.buffer = 0};
    return espy_view_reshaped_dense(&start, shape);
}

static bool takes(espy_dtype dtype)
{
    return espy_dtype_is_float(dtype) || dtype == ESPY_INT32 || dtype == ESPY_UINT32 ||
           dtype == ESPY_INT64 || dtype == ESPY_UINT64;
}

static espy_status check_types(const struct op_infer *c)
{
    if (!takes(c->inputs[0].dtype))
        return espy_infer_fail(c, "does not take %s", espy_dtype_name(c->inputs[0].dtype));
    return espy_infer_same_dtype(c, 0, c->input_count);
}

static espy_status infer_matmul(struct op_infer *c)
{
    TRY(check_types(c));
    const struct shape *a = &c->inputs[0].shape, *b = &c->inputs[1].shape;
    if (a->rank == 0 || b->rank == 0)
        return espy_infer_fail(c, "an operand is a scalar");
    const int64_t a_depth = a->dims[a->rank - 1];
    const int64_t b_depth = b->dims[b->rank < 2 ? 0 : b->rank - 2];
    if (a_depth != b_depth)
        return espy_infer_fail(c, "the left operand has %lld columns, the right %lld rows",
                               (long long)a_depth, (long long)b_depth);
    const struct shape a_batch = {
        .rank = a->rank < 2 ? 0 : a->rank - 2,
        .dims = {a->dims[0], a->dims[1], a->dims[2], a->dims[3], a->dims[4], a->dims[5]}};
    const struct shape b_batch = {
        .rank = b->rank < 2 ? 0 : b->rank - 2,
        .dims = {b->dims[0], b->dims[1], b->dims[2], b->dims[3], b->dims[4], b->dims[5]}};
    struct op_type *y = &c->outputs[0];
    y->dtype = c->inputs[0].dtype;
    TRY(espy_infer_broadcast(c, &a_batch, &b_batch, &y->shape));
    if (a->rank >= 2)
        y->shape.dims[y->shape.rank++] = a->dims[a->rank - 2];
    if (b->rank >= 2)
        y->shape.dims[y->shape.rank++] = b->dims[b->rank - 1];
    return ESPY_OK;
}

static espy_status infer_gemm(struct op_infer *c)
{
    TRY(check_types(c));
    const struct gemm_attrs *attrs = c->attrs;
    const struct shape *a = &c->inputs[0].shape, *b = &c->inputs[1].shape;
    if (a->rank != 2 || b->rank != 2)
        return espy_infer_fail(c, "operands of rank %u and %u, needs 2 and 2", a->rank, b->rank);
    if (a->dims[attrs->trans_a ? 0 : 1] != b->dims[attrs->trans_b ? 1 : 0])
        return espy_infer_fail(c, "the operands' inner dimensions are %lld and %lld",
                               (long long)a->dims[attrs->trans_a ? 0 : 1],
                               (long long)b->dims[attrs->trans_b ? 1 : 0]);
    struct op_type *y = &c->outputs[0];
    y->dtype = c->inputs[0].dtype;
    y->shape.rank = 2;
    y->shape.dims[0] = a->dims[attrs->trans_a ? 1 : 0];
    y->shape.dims[1] = b->dims[attrs->trans_b ? 0 : 1];
    if (!espy_infer_has(c, 2))
        return ESPY_OK;
    struct shape with_c;
    TRY(espy_infer_broadcast(c, &c->inputs[2].shape, &y->shape, &with_c));
    if (!espy_shape_equal(&with_c, &y->shape))
        return espy_infer_fail(c, "C is larger than the product");
    return ESPY_OK;
}

// ---- meaning ------------------------------------------------------------------------------------

// What the two operators say beyond their operands; MatMul's is all defaults.
struct terms {
    struct gemm_attrs attrs;
    bool has_c;
    struct view c; // broadcast to the output
};

static struct terms terms_of(const void *attrs, const struct op *op)
{
    struct terms terms = {.attrs = {.alpha = 1, .beta = 1}};
    if (op->attrs_size == sizeof(struct gemm_attrs))
        terms.attrs = *(const struct gemm_attrs *)attrs;
    return terms;
}

struct product_data {
    const float *a, *b;           // floats
    const int64_t *a_int, *b_int; // integers
    int64_t a_at, b_at;           // of the current batch
};

static double float_sum(const struct product *p, const struct product_data *data, int64_t row,
                        int64_t column)
{
    const int64_t a_step = p->a.strides[p->a.rank - 1], b_step = p->b.strides[p->b.rank - 2];
    const float *a = data->a + data->a_at + row * p->a.strides[p->a.rank - 2];
    const float *b = data->b + data->b_at + column * p->b.strides[p->b.rank - 1];
    double sum = 0;
    for (int64_t k = 0; k < p->depth; k++)
        sum += (double)a[k * a_step] * (double)b[k * b_step];
    return sum;
}

static int64_t integer_sum(const struct product *p, const struct product_data *data, int64_t row,
                           int64_t column)
{
    const int64_t a_step = p->a.strides[p->a.rank - 1], b_step = p->b.strides[p->b.rank - 2];
    const int64_t *a = data->a_int + data->a_at + row * p->a.strides[p->a.rank - 2];
    const int64_t *b = data->b_int + data->b_at + column * p->b.strides[p->b.rank - 1];
    uint64_t sum = 0; // wraps
    for (int64_t k = 0; k < p->depth; k++)
        sum += (uint64_t)a[k * a_step] * (uint64_t)b[k * b_step];
    return (int64_t)sum;
}

static void evaluate_element(struct op_eval *c, const struct product *p, const struct terms *terms,
                             const struct product_data *data, int64_t row, int64_t column,
                             size_t to)
{
    const size_t c_at =
        terms->has_c ? (size_t)(row * terms->c.strides[0] + column * terms->c.strides[1]) : 0;
    const bool scaled = terms->attrs.alpha != 1 || (terms->has_c && terms->attrs.beta != 1);
    if (data->a != NULL || scaled) {
        double sum = data->a != NULL ? float_sum(p, data, row, column)
                                     : (double)integer_sum(p, data, row, column);
        sum *= (double)terms->attrs.alpha;
        if (terms->has_c)
            sum += (double)terms->attrs.beta * espy_tensor_number(&c->inputs[2], c_at);
        espy_tensor_set_number(&c->outputs[0], to, sum);
        return;
    }
    uint64_t sum = (uint64_t)integer_sum(p, data, row, column);
    if (terms->has_c)
        sum += (uint64_t)espy_tensor_integer(&c->inputs[2], c_at);
    espy_tensor_set_integer(&c->outputs[0], to, (int64_t)sum);
}

static const int64_t *integers_of(struct op_eval *c, uint32_t i)
{
    const struct tensor *input = &c->inputs[i];
    int64_t *integers = espy_eval_scratch(c, input->count, sizeof(*integers));
    for (size_t k = 0; integers != NULL && k < input->count; k++)
        integers[k] = espy_tensor_integer(input, k);
    return integers;
}

static void reference(struct op_eval *c)
{
    struct terms terms = terms_of(c->attrs, c->node->op);
    const struct view a = dense_view(&c->inputs[0].type.shape);
    const struct view b = dense_view(&c->inputs[1].type.shape);
    const struct product p = product_of(a, b, terms.attrs.trans_a, terms.attrs.trans_b);
    terms.has_c = espy_eval_has(c, 2);
    if (terms.has_c) {
        terms.c = dense_view(&c->inputs[2].type.shape);
        terms.c = espy_view_broadcast(&terms.c, &c->outputs[0].type.shape);
    }
    struct product_data data = {.a = NULL};
    if (espy_dtype_is_float(c->inputs[0].type.dtype)) {
        data.a = espy_eval_floats(c, 0);
        data.b = espy_eval_floats(c, 1);
    } else {
        data.a_int = integers_of(c, 0);
        data.b_int = integers_of(c, 1);
    }
    if (c->status != ESPY_OK || c->outputs[0].count == 0)
        return;
    int64_t at[BATCH_RANK_MAX] = {0};
    for (size_t to = 0; to < c->outputs[0].count;) {
        data.a_at = data.b_at = 0;
        for (uint32_t i = 0; i < p.batch_rank; i++) {
            data.a_at += at[i] * p.a.strides[i];
            data.b_at += at[i] * p.b.strides[i];
        }
        for (int64_t row = 0; row < p.rows; row++)
            for (int64_t column = 0; column < p.columns; column++)
                evaluate_element(c, &p, &terms, &data, row, column, to++);
        for (uint32_t i = p.batch_rank; i-- > 0;) {
            if (++at[i] < p.a.dims[i])
                break;
            at[i] = 0;
        }
    }
}

// ---- lowering -----------------------------------------------------------------------------------

// Batches of both operands in at most KERNEL_BATCH_RANK dimensions, outermost first.
struct batches {
    int64_t count, dims[KERNEL_BATCH_RANK];
    int64_t a[KERNEL_BATCH_RANK], b[KERNEL_BATCH_RANK];
};

static bool collapse_batches(const struct product *p, struct batches *batches)
{
    struct view views[2] = {p->a, p->b};
    views[0].rank = views[1].rank = p->batch_rank;
    const uint32_t rank = espy_view_collapse(views, 2);
    *batches = (struct batches){.count = 1, .dims = {1, 1, 1}};
    if (rank > KERNEL_BATCH_RANK)
        return false;
    for (uint32_t i = 0; i < rank; i++) {
        const uint32_t to = KERNEL_BATCH_RANK - rank + i;
        batches->dims[to] = views[0].dims[i];
        batches->count *= views[0].dims[i];
        batches->a[to] = views[0].strides[i];
        batches->b[to] = views[1].strides[i];
    }
    return true;
}

static struct view copied(struct op_lower *c, const struct view *view)
{
    struct shape shape = {.rank = view->rank};
    memcpy(shape.dims, view->dims, sizeof(shape.dims));
    const struct view copy = espy_lower_temporary(c, view->dtype, &shape);
    espy_lower_copy(c, view, &copy);
    return copy;
}

// Batches that share B are more rows of one product, when A's rows are evenly spaced throughout.
static void merge_rows(struct product *p)
{
    struct view rows = p->a;
    rows.rank = p->batch_rank + 1;
    for (uint32_t i = 0; i < p->batch_rank; i++)
        if (p->b.dims[i] != 1 && p->b.strides[i] != 0)
            return;
    if (espy_view_count(&rows) == 0 || espy_view_collapse(&rows, 1) != 1)
        return;
    const uint32_t last = p->a.rank - 1;
    p->a.dims[1] = p->depth;
    p->a.strides[1] = p->a.strides[last];
    p->a.dims[0] = p->rows = rows.dims[0];
    p->a.strides[0] = rows.strides[0];
    p->b.dims[0] = p->depth;
    p->b.strides[0] = p->b.strides[last - 1];
    p->b.dims[1] = p->columns;
    p->b.strides[1] = p->b.strides[last];
    p->a.rank = p->b.rank = 2;
    p->batch_rank = 0;
}

static uint32_t b_mode(const struct view *b)
{
    if (espy_view_vectors(b, b->rank - 1, false))
        return 1;
    return espy_view_vectors(b, b->rank - 2, false) ? 2 : 0;
}

// Constant weights whose rows do not start at multiples of four are copied once to where they do.
static void align_constant(struct op_lower *c, struct product *p)
{
    if (!espy_lower_is_constant(c, 1) || b_mode(&p->b) != 0 || p->columns < 4)
        return;
    struct shape shape = {.rank = p->b.rank};
    memcpy(shape.dims, p->b.dims, sizeof(shape.dims));
    for (uint32_t i = 0; i < p->batch_rank; i++)
        if (p->b.strides[i] == 0)
            shape.dims[i] = 1;
    const uint32_t last = shape.rank - 1;
    struct view source = p->b;
    memcpy(source.dims, shape.dims, sizeof(source.dims));
    shape.dims[last] = (p->columns + 3) / 4 * 4;
    const struct view padded = espy_lower_temporary(c, p->b.dtype, &shape);
    struct view target = padded;
    target.dims[last] = p->columns;
    espy_lower_copy(c, &source, &target);
    struct shape full = {.rank = p->b.rank};
    memcpy(full.dims, p->b.dims, sizeof(full.dims));
    full.dims[last] = shape.dims[last];
    if (padded.buffer != VIEW_NONE)
        p->b = espy_view_broadcast(&padded, &full);
}

static void fill_push(const struct product *p, const struct batches *batches,
                      struct matmul_push *push)
{
    const uint32_t last = p->a.rank - 1;
    push->batches = (uint32_t)batches->count;
    push->rows = (uint32_t)p->rows;
    push->columns = (uint32_t)p->columns;
    push->depth = (uint32_t)p->depth;
    push->a_offset = (int32_t)p->a.offset;
    push->a_row = (int32_t)p->a.strides[last - 1];
    push->a_depth = (int32_t)p->a.strides[last];
    push->b_offset = (int32_t)p->b.offset;
    push->b_depth = (int32_t)p->b.strides[last - 1];
    push->b_column = (int32_t)p->b.strides[last];
    push->batch_middle = (uint32_t)batches->dims[1];
    push->batch_inner = (uint32_t)batches->dims[2];
    for (uint32_t i = 0; i < KERNEL_BATCH_RANK; i++) {
        push->a_batch[i] = (int32_t)batches->a[i];
        push->b_batch[i] = (int32_t)batches->b[i];
    }
}

static void add_dispatch(struct op_lower *c, const struct product *p, const struct batches *batches,
                         const struct terms *terms, const struct view *y)
{
    struct matmul_spec spec = MATMUL_SPEC_DEFAULT;
    struct matmul_push push = {.alpha = terms->attrs.alpha, .beta = terms->attrs.beta};
    fill_push(p, batches, &push);
    spec.local_size_x = !c->caps->cpu                ? 64
                        : c->caps->subgroup_size > 0 ? c->caps->subgroup_size
                                                     : 8;
    spec.rows = p->rows < 4 ? 1 : p->rows < 8 || !c->caps->cpu ? 4 : 8;
    spec.quads = p->columns <= 4 || !c->caps->cpu ? 1 : 2;
    spec.a_mode = espy_view_vectors(&p->a, p->a.rank - 1, false);
    spec.b_mode = b_mode(&p->b);
    spec.ragged = p->depth % 4 != 0;
    spec.has_c = terms->has_c;
    spec.store_vector = p->columns % 4 == 0 ? 4 : 1;
    if (terms->has_c) {
        push.c_offset = (int32_t)terms->c.offset;
        push.c_row = (int32_t)terms->c.strides[0];
        push.c_column = (int32_t)terms->c.strides[1];
    }
    LOWER_EPILOGUE(c, &spec, &push);
    const struct view none = {.buffer = VIEW_NONE};
    struct op_dispatch dispatch = {.shader = matmul_shaders.variants[espy_variant(y->storage)],
                                   .bindings = {p->a, p->b, terms->has_c ? terms->c : none, *y},
                                   .binding_count = 4,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    const size_t tiles = ((size_t)p->rows + spec.rows - 1) / spec.rows *
                         (((size_t)p->columns + 4 * spec.quads - 1) / (4 * spec.quads));
    espy_lower_grid(c, tiles * (size_t)batches->count, spec.local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
}

// Nothing around the product but a bias.
static bool is_plain(const struct product *p, const struct terms *terms)
{
    const bool one_row = terms->has_c && (terms->c.strides[0] == 0 || p->rows == 1);
    const bool bias = !terms->has_c || (one_row && terms->attrs.beta == 1 && terms->c.offset == 0 &&
                                        terms->c.strides[1] == 1);
    return bias && terms->attrs.alpha == 1;
}

// One product with weights that are packed once.
static bool suits_panel(const struct op_lower *c, const struct product *p,
                        const struct terms *terms)
{
    enum { COLUMNS_MIN = 3 };
    const enum storage storage = espy_lower_storage(c, c->outputs[0].dtype);
    return espy_dtype_is_float(c->outputs[0].dtype) &&
           (panel_suits(c, storage) || gemm_suits(c, storage, p->depth)) && p->batch_rank == 0 &&
           espy_lower_is_constant(c, 1) && p->depth > 0 && p->columns >= COLUMNS_MIN &&
           is_plain(p, terms);
}

// The kernel for packed weights is the one that can do it.
static bool takes_tail(const struct op_lower *c, struct product p, const struct terms *terms)
{
    merge_rows(&p);
    return suits_panel(c, &p, terms);
}

// The rows are pixels in a line.
static const struct window *row_window(int64_t rows, struct window *window)
{
    *window = (struct window){.rank = 3,
                              .in = {1, 1, rows},
                              .out = {1, 1, rows},
                              .kernel = {1, 1, 1},
                              .stride = {1, 1, 1},
                              .dilation = {1, 1, 1}};
    return window;
}

static void lower_panel(struct op_lower *c, const struct product *p, const struct terms *terms,
                        const struct view *y)
{
    struct window window;
    const struct view none = {.buffer = VIEW_NONE};
    const struct panel_problem problem = {
        .groups = 1,
        .in = p->depth,
        .out = p->columns,
        .pixels = p->rows,
        .window = *row_window(p->rows, &window),
        .linear = true,
        .x = p->a,
        .w = p->b,
        .bias = terms->has_c ? terms->c : none,
        .x_strides = {0, (int32_t)p->a.strides[1], 0, 0, (int32_t)p->a.strides[0]},
        .w_strides = {(int32_t)p->b.strides[1], (int32_t)p->b.strides[0], 0, 0, 0},
        .vector = espy_view_vectors(&p->a, 1, false),
        .operand = espy_lower_tail_operand(c, y),
        .y_pixel = p->columns};
    if (!gemm_lower_panel(c, &problem, y))
        panel_lower(c, &problem, y);
}

// Products of a batch, and what has no weights to pack, on GPUs: both operands as they lie.
static void lower_gemm(struct op_lower *c, const struct product *p, const struct batches *batches,
                       const struct terms *terms, const struct view *y)
{
    static const uint32_t modes[] = {GEMM_W_SINGLE, GEMM_W_COLUMNS, GEMM_W_DEPTH}; // as b_mode
    const uint32_t last = p->a.rank - 1;
    struct window window;
    const struct view none = {.buffer = VIEW_NONE};
    struct gemm_problem problem = {
        .batches = batches->count,
        .in = p->depth,
        .out = p->columns,
        .pixels = p->rows,
        .window = *row_window(p->rows, &window),
        .linear = true,
        .vector = espy_view_vectors(&p->a, last, false),
        .x = p->a,
        .w = p->b,
        .bias = terms->has_c ? terms->c : none,
        .operand = none,
        .x_strides = {0, (int32_t)p->a.strides[last], 0, 0, (int32_t)p->a.strides[last - 1]},
        .w_strides = {(int32_t)p->b.strides[last], (int32_t)p->b.strides[last - 1], 0, 0, 0},
        .w_mode = modes[b_mode(&p->b)]};
    memcpy(problem.batch_dims, batches->dims, sizeof(problem.batch_dims));
    memcpy(problem.x_batch, batches->a, sizeof(problem.x_batch));
    memcpy(problem.w_batch, batches->b, sizeof(problem.w_batch));
    gemm_lower(c, &problem, y);
}

// A matrix in batches as rank 4: the batches' last dimension is the inner one.
static struct view batched(const struct view *matrix, const struct batches *batches,
                           const int64_t *strides)
{
    struct view view = *matrix;
    const uint32_t last = matrix->rank - 1;
    view.rank = 4;
    for (uint32_t i = 0; i < 2; i++) {
        view.dims[i] = batches->dims[KERNEL_BATCH_RANK - 2 + i];
        view.strides[i] = strides[KERNEL_BATCH_RANK - 2 + i];
        view.dims[2 + i] = matrix->dims[last - 1 + i];
        view.strides[2 + i] = matrix->strides[last - 1 + i];
    }
    return view;
}

// A product of two operands that both change from run to run. false: this is not for that kernel.
static bool lower_panel_product(struct op_lower *c, const struct product *p,
                                const struct batches *batches, const struct terms *terms,
                                const struct view *y)
{
    const int64_t none[KERNEL_BATCH_RANK] = {0};
    const int64_t matrix = p->rows * p->columns;
    const int64_t y_strides[KERNEL_BATCH_RANK] = {0, batches->dims[2] * matrix, matrix};
    struct view rows = *y;
    rows.rank = 2;
    rows.dims[0] = p->rows;
    rows.dims[1] = p->columns;
    rows.strides[0] = p->columns;
    rows.strides[1] = 1;
    struct panel_product product = {.a = batched(&p->a, batches, batches->a),
                                    .b = batched(&p->b, batches, batches->b),
                                    .c = {.buffer = VIEW_NONE},
                                    .stats = {.buffer = VIEW_NONE},
                                    .y = batched(&rows, batches, y_strides),
                                    .alpha = terms->attrs.alpha,
                                    .last = true};
    if (terms->has_c)
        product.c = batched(&terms->c, batches, none);
    if (batches->dims[0] != 1 || !espy_dtype_is_float(c->outputs[0].dtype) ||
        (terms->has_c && terms->attrs.beta != 1) || !panel_product_suits(c, &product))
        return false;
    panel_product_lower(c, &product);
    return true;
}

// One product into y, whose rows lie one after the other.
static void lower_product(struct op_lower *c, struct product p, const struct terms *terms,
                          const struct view *y)
{
    struct batches batches;
    merge_rows(&p);
    if (suits_panel(c, &p, terms)) {
        lower_panel(c, &p, terms, y);
        return;
    }
    align_constant(c, &p);
    if (!collapse_batches(&p, &batches)) {
        p.a = copied(c, &p.a);
        p.b = copied(c, &p.b);
        if (p.a.buffer == VIEW_NONE || p.b.buffer == VIEW_NONE)
            return;
        const bool few = collapse_batches(&p, &batches);
        assert(few);
        (void)few;
    }
    const bool is_float = espy_dtype_is_float(y->dtype);
    if (is_float && gemm_suits(c, y->storage, p.depth) && is_plain(&p, terms))
        lower_gemm(c, &p, &batches, terms, y);
    else if (!lower_panel_product(c, &p, &batches, terms, y))
        add_dispatch(c, &p, &batches, terms, y);
}

// How many columns of constant weights the device binds at once; all of them unless they are large.
static int64_t columns_at_once(const struct op_lower *c, int64_t depth, int64_t columns)
{
    enum { COLUMNS_STEP = 256 }; // whatever a kernel takes at a time divides it
    const struct op_type *b = &c->inputs[1];
    const enum storage storage = espy_lower_storage(c, b->dtype);
    const int64_t size = storage == STORAGE_I64 ? 8 : storage == STORAGE_F16 ? 2 : 4;
    const int64_t column = (depth + 3) / 4 * 4 * size;
    const int64_t most = column == 0 ? columns : (int64_t)c->caps->buffer_range_max / column;
    if (!espy_lower_has_parts(c, 1) || b->shape.rank != 2 || espy_dtype_bits(b->dtype) < 8 ||
        columns <= most || most < COLUMNS_STEP)
        return columns;
    return most / COLUMNS_STEP * COLUMNS_STEP;
}

// Weights that the device does not bind at once, in parts of so many columns.
static void lower_parts(struct op_lower *c, const struct terms *terms, const struct view *a,
                        int64_t columns, int64_t at_once, const struct view *y)
{
    const uint32_t axis = terms->attrs.trans_b ? 0 : 1, last = y->rank - 1;
    for (int64_t first = 0; first < columns; first += at_once) {
        const int64_t count = columns - first < at_once ? columns - first : at_once;
        const struct view b = espy_lower_constant_part(c, 1, axis, first, count);
        struct view part = *y, made;
        part.dims[last] = count;
        part.offset += first * y->strides[last];
        struct shape shape = {.rank = y->rank};
        memcpy(shape.dims, part.dims, sizeof(shape.dims));
        made = espy_lower_temporary(c, y->dtype, &shape);
        struct terms own = *terms;
        if (terms->has_c) {
            own.c.dims[1] = count;
            own.c.offset += first * terms->c.strides[1];
            if (terms->c.strides[0] == 0 && first > 0) { // a bias starts with its buffer
                own.c.dims[0] = 1;
                own.c = copied(c, &own.c);
                own.c.dims[0] = terms->c.dims[0];
                own.c.strides[0] = 0;
            }
        }
        if (b.buffer == VIEW_NONE || made.buffer == VIEW_NONE)
            return;
        lower_product(c, product_of(*a, b, terms->attrs.trans_a, terms->attrs.trans_b), &own,
                      &made);
        espy_lower_copy(c, &made, &part);
    }
}

static espy_status lower(struct op_lower *c)
{
    struct terms terms = terms_of(c->attrs, c->node->op);
    const bool is_float = espy_dtype_is_float(c->outputs[0].dtype);
    const struct shape *a_shape = &c->inputs[0].shape;
    terms.has_c = espy_lower_has(c, 2);
    if (!is_float && (terms.attrs.alpha != 1 || (terms.has_c && terms.attrs.beta != 1)))
        return espy_lower_on_host(c, "integers with alpha or beta");
    if (a_shape->dims[terms.attrs.trans_a ? 0 : a_shape->rank - 1] > DEPTH_MAX)
        return espy_lower_on_host(c, "the sum is too long for one invocation");
    const struct shape *b_shape = &c->inputs[1].shape;
    const int64_t columns = b_shape->rank == 2 ? b_shape->dims[terms.attrs.trans_b ? 0 : 1] : 0;
    const int64_t depth = a_shape->dims[terms.attrs.trans_a ? 0 : a_shape->rank - 1];
    const int64_t at_once = columns_at_once(c, depth, columns);
    const struct view a = espy_lower_input(c, 0);
    const struct view b = at_once < columns ? a : espy_lower_input(c, 1);
    if (terms.has_c) {
        terms.c = espy_lower_input(c, 2);
        if (terms.c.buffer != VIEW_NONE)
            terms.c = espy_view_broadcast(&terms.c, &c->outputs[0].shape);
    }
    if (a.buffer == VIEW_NONE || b.buffer == VIEW_NONE || espy_lower_status(c) != ESPY_OK)
        return espy_lower_status(c);
    if (at_once < columns) {
        const struct view y = espy_lower_output(c, 0);
        if (y.buffer != VIEW_NONE)
            lower_parts(c, &terms, &a, columns, at_once, &y);
        return espy_lower_status(c);
    }
    const struct product product = product_of(a, b, terms.attrs.trans_a, terms.attrs.trans_b);
    if (takes_tail(c, product, &terms))
        espy_lower_take_tail(c, true);
    const struct view y = espy_lower_output(c, 0);
    if (y.buffer != VIEW_NONE)
        lower_product(c, product, &terms, &y);
    return espy_lower_status(c);
}

static const struct op_attr gemm_rows[] = {{.name = "alpha",
                                            .type = OP_FLOAT,
                                            .offset = offsetof(struct gemm_attrs, alpha),
                                            .fallback = 1,
                                            .help = "scale of the product"},
                                           {.name = "beta",
                                            .type = OP_FLOAT,
                                            .offset = offsetof(struct gemm_attrs, beta),
                                            .fallback = 1,
                                            .help = "scale of C"},
                                           {.name = "transA",
                                            .type = OP_BOOL,
                                            .offset = offsetof(struct gemm_attrs, trans_a),
                                            .help = "A is given transposed"},
                                           {.name = "transB",
                                            .type = OP_BOOL,
                                            .offset = offsetof(struct gemm_attrs, trans_b),
                                            .help = "B is given transposed"}};

static const struct op ops[] = {{.name = "Gemm",
                                 .summary = "alpha A B + beta C, C broadcast",
                                 .inputs_min = 2,
                                 .inputs_max = 3,
                                 .outputs_min = 1,
                                 .outputs_max = 1,
                                 .flags = OP_EPILOGUE,
                                 .attrs = gemm_rows,
                                 .attr_count = sizeof(gemm_rows) / sizeof(gemm_rows[0]),
                                 .attrs_size = sizeof(struct gemm_attrs),
                                 .infer = infer_gemm,
                                 .reference = reference,
                                 .lower = lower},
                                {.name = "MatMul",
                                 .summary = "matrix product, as numpy.matmul",
                                 .inputs_min = 2,
                                 .inputs_max = 2,
                                 .outputs_min = 1,
                                 .outputs_max = 1,
                                 .flags = OP_EPILOGUE,
                                 .infer = infer_matmul,
                                 .reference = reference,
                                 .lower = lower}};

const struct op_family espy_ops_matmul = {ops, sizeof(ops) / sizeof(ops[0])};
