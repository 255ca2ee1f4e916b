// Attention: softmax(scale Q K' + mask) V of many heads, with masks, windows, soft cap and caches.
//
// GPUs (flash.h, flash_matrix.h) and software drivers (attention_panel.h) take one dispatch, and
// another one where weights are asked for, which it makes again of those queries that they are asked
// of. Where these kernels do not suit, or the scores are wanted, there are three: scores of all
// queries and keys, softmax of each row in place, weighted sums of values. Scores are float32
// whatever the inputs. Where they would take too much memory, the queries are taken in several
// turns through the same scores.
#include <math.h>
#include <string.h>

#include "op/lower.h"
#include "op/op.h"
#include "ops/attention_panel.h"
#include "ops/flash_matrix.h"
#include "ops/panel_product.h"
#include "shaders/attention_scores.spv.h"
#include "shaders/attention_softmax.spv.h"
#include "shaders/attention_stats.spv.h"
#include "shaders/attention_values.spv.h"
#include "shaders/include/attention_codes.glsl"

enum { Q, K, V, MASK, PAST_KEY, PAST_VALUE, LENGTHS };
enum { Y, PRESENT_KEY, PRESENT_VALUE, EXPOSED };

struct attention_attrs {
    bool is_causal;
    int64_t q_num_heads, kv_num_heads, left_window_size, right_window_size, qk_matmul_output_mode;
    int64_t exposed_first, exposed_count;
    float scale, softcap;
    espy_dtype softmax_precision;
};

struct sizes {
    bool packed; // heads and channels share the last dimension: [batch, position, head * channel]
    int64_t batch, q_heads, kv_heads, queries, past, keys, depth, width; // keys: with past
};

static struct sizes sizes_of(const struct attention_attrs *attrs, const struct op_type *types,
                             bool has_past)
{
    const struct shape *q = &types[Q].shape, *k = &types[K].shape, *v = &types[V].shape;
    struct sizes s = {.packed = q->rank == 3, .batch = q->dims[0]};
    s.q_heads = s.packed ? attrs->q_num_heads : q->dims[1];
    s.kv_heads = s.packed ? attrs->kv_num_heads : k->dims[1];
    s.queries = q->dims[q->rank - 2];
    s.past = has_past ? types[PAST_KEY].shape.dims[2] : 0;
    s.keys = s.past + k->dims[k->rank - 2];
    s.depth = s.packed ? q->dims[2] / s.q_heads : q->dims[3];
    s.width = s.packed ? v->dims[2] / s.kv_heads : v->dims[3];
    return s;
}

static double scale_of(const struct attention_attrs *attrs, const struct sizes *s)
{
    if (!isnan(attrs->scale))
        return (double)attrs->scale;
    return s->depth > 0 ? 1 / sqrt((double)s->depth) : 1;
}

// How far a query sees to the right; negative: without end.
static int64_t right_reach(const struct attention_attrs *attrs)
{
    return attrs->is_causal ? 0 : attrs->right_window_size;
}

// Queries of which the fourth output is.
struct span {
    int64_t first, count;
};

static struct span exposed_span(const struct attention_attrs *attrs, const struct sizes *s)
{
    struct span span = {attrs->exposed_first, s->queries};
    span.first = span.first < s->queries ? span.first : s->queries;
    span.count -= span.first;
    if (attrs->exposed_count > 0 && attrs->exposed_count < span.count)
        span.count = attrs->exposed_count;
    return span;
}

// ---- infer --------------------------------------------------------------------------------------

static espy_status check_heads(const struct op_infer *c)
{
    const struct attention_attrs *attrs = c->attrs;
    const struct shape *q = &c->inputs[Q].shape, *k = &c->inputs[K].shape;
    const struct shape *v = &c->inputs[V].shape;
    if ((q->rank != 3 && q->rank != 4) || k->rank != q->rank || v->rank != q->rank)
        return espy_infer_fail(c, "Q, K and V must all have 3 or all have 4 dimensions");
    if (q->rank == 4) {
        // Older models may repeat what the shapes say.
        if ((attrs->q_num_heads != 0 && attrs->q_num_heads != q->dims[1]) ||
            (attrs->kv_num_heads != 0 && attrs->kv_num_heads != k->dims[1]))
            return espy_infer_fail(c, "numbers of heads differ from those of Q and K");
        if (k->dims[1] != v->dims[1])
            return espy_infer_fail(c, "K and V have different numbers of heads");
        return ESPY_OK;
    }
    if (attrs->q_num_heads == 0 || attrs->kv_num_heads == 0)
        return espy_infer_fail(c, "inputs of 3 dimensions need q_num_heads and kv_num_heads");
    if (q->dims[2] % attrs->q_num_heads != 0 || k->dims[2] % attrs->kv_num_heads != 0 ||
        v->dims[2] % attrs->kv_num_heads != 0)
        return espy_infer_fail(c, "channels do not divide into heads");
    return ESPY_OK;
}

static espy_status check_sizes(const struct op_infer *c, const struct sizes *s)
{
    const struct shape *k = &c->inputs[K].shape, *v = &c->inputs[V].shape;
    const int64_t k_depth = s->packed ? k->dims[2] / s->kv_heads : k->dims[3];
    if (k->dims[0] != s->batch || v->dims[0] != s->batch)
        return espy_infer_fail(c, "Q, K and V have different batch sizes");
    if (k->dims[k->rank - 2] != v->dims[v->rank - 2])
        return espy_infer_fail(c, "K and V have different lengths");
    if (k_depth != s->depth)
        return espy_infer_fail(c, "heads of Q and K have %lld and %lld channels",
                               (long long)s->depth, (long long)k_depth);
    if (s->kv_heads == 0 ? s->q_heads != 0 : s->q_heads % s->kv_heads != 0)
        return espy_infer_fail(c, "%lld heads of Q do not share %lld of K",
                               (long long)s->q_heads, (long long)s->kv_heads);
    return ESPY_OK;
}

static espy_status check_past(const struct op_infer *c, const struct sizes *s)
{
    if (espy_infer_has(c, PAST_KEY) != espy_infer_has(c, PAST_VALUE))
        return espy_infer_fail(c, "past_key and past_value come together");
    if (!espy_infer_has(c, PAST_KEY))
        return ESPY_OK;
    if (espy_infer_has(c, LENGTHS))
        return espy_infer_fail(c, "nonpad_kv_seqlen is for caches that are not given as past");
    const struct shape key = {4, {s->batch, s->kv_heads, s->past, s->depth}};
    const struct shape value = {4, {s->batch, s->kv_heads, s->past, s->width}};
    char text[128];
    if (!espy_shape_equal(&c->inputs[PAST_KEY].shape, &key))
        return espy_infer_fail(c, "past_key must be %s",
                               espy_shape_text(&key, text, sizeof(text)));
    if (!espy_shape_equal(&c->inputs[PAST_VALUE].shape, &value))
        return espy_infer_fail(c, "past_value must be %s",
                               espy_shape_text(&value, text, sizeof(text)));
    return ESPY_OK;
}

static espy_status check_mask(const struct op_infer *c, const struct sizes *s)
{
    if (espy_infer_has(c, LENGTHS)) {
        const struct shape expected = {1, {s->batch}};
        if (!espy_shape_equal(&c->inputs[LENGTHS].shape, &expected) ||
            c->inputs[LENGTHS].dtype != ESPY_INT64)
            return espy_infer_fail(c, "nonpad_kv_seqlen must be one int64 for each batch");
    }
    if (!espy_infer_has(c, MASK))
        return ESPY_OK;
    const struct shape *mask = &c->inputs[MASK].shape;
    const int64_t all[4] = {s->batch, s->q_heads, s->queries, s->keys};
    bool fits = mask->rank >= 1 && mask->rank <= 4 && mask->dims[mask->rank - 1] <= s->keys;
    for (uint32_t i = 1; fits && i < mask->rank; i++) {
        const int64_t dim = mask->dims[mask->rank - 1 - i];
        fits = dim == 1 || dim == all[3 - i];
    }
    char text[128];
    if (!fits)
        return espy_infer_fail(c, "a mask of %s does not fit the scores",
                               espy_shape_text(mask, text, sizeof(text)));
    return ESPY_OK;
}

static espy_status infer(struct op_infer *c)
{
    const struct attention_attrs *attrs = c->attrs;
    const espy_dtype dtype = c->inputs[Q].dtype;
    if (!espy_dtype_is_float(dtype))
        return espy_infer_fail(c, "takes floats, not %s", espy_dtype_name(dtype));
    if (c->inputs[K].dtype != dtype)
        return espy_infer_fail(c, "Q and K have different types");
    const espy_dtype value_dtype = c->inputs[V].dtype;
    if (!espy_dtype_is_float(value_dtype))
        return espy_infer_fail(c, "V is %s, needs floats", espy_dtype_name(value_dtype));
    TRY(check_heads(c));
    if (espy_infer_has(c, PAST_KEY) && c->inputs[PAST_KEY].shape.rank != 4)
        return espy_infer_fail(c, "past_key must have 4 dimensions");
    if (espy_infer_has(c, PAST_KEY) && c->inputs[PAST_KEY].dtype != dtype)
        return espy_infer_fail(c, "past_key and K have different types");
    if (espy_infer_has(c, PAST_VALUE) && c->inputs[PAST_VALUE].dtype != value_dtype)
        return espy_infer_fail(c, "past_value and V have different types");
    const struct sizes s = sizes_of(attrs, c->inputs, espy_infer_has(c, PAST_KEY));
    TRY(check_sizes(c, &s));
    TRY(check_past(c, &s));
    TRY(check_mask(c, &s));
    const struct shape packed = {3, {s.batch, s.queries, s.q_heads * s.width}};
    const struct shape apart = {4, {s.batch, s.q_heads, s.queries, s.width}};
    const struct op_type outputs[] = {
        {dtype, s.packed ? packed : apart},
        {dtype, {4, {s.batch, s.kv_heads, s.keys, s.depth}}},
        {value_dtype, {4, {s.batch, s.kv_heads, s.keys, s.width}}},
        {dtype, {4, {s.batch, s.q_heads, exposed_span(attrs, &s).count, s.keys}}}};
    for (uint32_t o = 0; o < c->output_count; o++)
        c->outputs[o] = outputs[o];
    return ESPY_OK;
}

// ---- reference ----------------------------------------------------------------------------------

// The elements of Q, K or V with those of the past before them.
struct rows {
    const float *past, *now;
    int64_t heads, past_count, now_count, width;
    bool packed;
};

static const float *row_of(const struct rows *rows, int64_t batch, int64_t head, int64_t i)
{
    if (i < rows->past_count)
        return &rows->past[((batch * rows->heads + head) * rows->past_count + i) * rows->width];
    i -= rows->past_count;
    if (rows->packed)
        return &rows->now[((batch * rows->now_count + i) * rows->heads + head) * rows->width];
    return &rows->now[((batch * rows->heads + head) * rows->now_count + i) * rows->width];
}

struct work {
    struct op_eval *c;
    struct sizes s;
    struct rows q, k, v;
    double scale;
    double *scores;  // [keys], of the row in work
    bool *hidden;    // [keys]
};

// The mask's element for a score, in place among all its broadcast dimensions.
static double mask_value(const struct work *w, int64_t batch, int64_t head, int64_t query,
                         int64_t key)
{
    const struct tensor *mask = &w->c->inputs[MASK];
    const struct shape *shape = &mask->type.shape;
    if (!espy_eval_has(w->c, MASK))
        return 0;
    if (key >= shape->dims[shape->rank - 1])
        return -INFINITY;
    const int64_t index[4] = {batch, head, query, key};
    size_t at = 0;
    for (uint32_t d = 0; d < shape->rank; d++) {
        const bool repeats = d + 1 < shape->rank && shape->dims[d] == 1;
        at = at * (size_t)shape->dims[d] + (repeats ? 0 : (size_t)index[4 - shape->rank + d]);
    }
    const double value = espy_tensor_number(mask, at);
    if (mask->type.dtype == ESPY_BOOL)
        return value != 0 ? 0 : -INFINITY;
    return value;
}

static bool is_visible(const struct work *w, int64_t batch, int64_t query, int64_t key)
{
    const struct attention_attrs *attrs = w->c->attrs;
    int64_t place = query + w->s.past;
    if (espy_eval_has(w->c, LENGTHS)) {
        const int64_t length = espy_tensor_integer(&w->c->inputs[LENGTHS], (size_t)batch);
        if (key >= length)
            return false;
        // A length beyond all keys moves every query far to the right.
        place = query - w->s.queries + (length < INT32_MAX / 2 ? length : INT32_MAX / 2);
    }
    const int64_t left = attrs->left_window_size, right = right_reach(attrs);
    return (left < 0 || place - key <= left) && (right < 0 || key - place <= right);
}

// Where the fourth output has a query's row; NULL: it has none.
static struct tensor *exposed_row(const struct work *w, int64_t batch, int64_t head, int64_t query,
                                  size_t *first)
{
    const struct span span = exposed_span(w->c->attrs, &w->s);
    const int64_t row = query - span.first;
    *first = (size_t)(((batch * w->s.q_heads + head) * span.count + row) * w->s.keys);
    return w->c->output_count > EXPOSED && w->c->outputs[EXPOSED].data != NULL && row >= 0 &&
                   row < span.count
               ? &w->c->outputs[EXPOSED] : NULL;
}

// Scores of one query with all keys, and what the fourth output shows of them.
static void score_row(const struct work *w, int64_t batch, int64_t head, int64_t query)
{
    const struct attention_attrs *attrs = w->c->attrs;
    size_t first;
    struct tensor *exposed = exposed_row(w, batch, head, query, &first);
    const int64_t kv_head = head / (w->s.q_heads / w->s.kv_heads);
    const float *q = row_of(&w->q, batch, head, query);
    for (int64_t j = 0; j < w->s.keys; j++) {
        const float *k = row_of(&w->k, batch, kv_head, j);
        double score = 0;
        for (int64_t d = 0; d < w->s.depth; d++)
            score += (double)q[d] * (double)k[d];
        score *= w->scale;
        const double product = score, cap = (double)attrs->softcap;
        if (cap > 0)
            score = cap * tanh(score / cap);
        const double capped = score;
        const double mask = mask_value(w, batch, head, query, j);
        w->hidden[j] = mask == -INFINITY || !is_visible(w, batch, query, j);
        score = w->hidden[j] ? -INFINITY : score + mask;
        w->scores[j] = score;
        if (exposed != NULL && attrs->qk_matmul_output_mode <= ATTENTION_EXPOSE_MASKED)
            espy_tensor_set_number(
                exposed, first + (size_t)j,
                attrs->qk_matmul_output_mode == ATTENTION_EXPOSE_PRODUCT  ? product
                : attrs->qk_matmul_output_mode == ATTENTION_EXPOSE_CAPPED ? capped
                                                                          : score);
    }
}

static void weigh_row(const struct work *w, int64_t batch, int64_t head, int64_t query)
{
    const struct attention_attrs *attrs = w->c->attrs;
    const int64_t kv_head = head / (w->s.q_heads / w->s.kv_heads);
    const int64_t row = (batch * w->s.q_heads + head) * w->s.queries + query;
    double highest = -INFINITY, total = 0;
    for (int64_t j = 0; j < w->s.keys; j++)
        highest = w->scores[j] > highest ? w->scores[j] : highest;
    for (int64_t j = 0; j < w->s.keys; j++) {
        w->scores[j] = w->scores[j] == -INFINITY ? 0 : exp(w->scores[j] - highest);
        total += w->scores[j];
    }
    for (int64_t j = 0; j < w->s.keys; j++)
        w->scores[j] = total != 0 ? w->scores[j] / total : 0;
    size_t first;
    struct tensor *exposed = exposed_row(w, batch, head, query, &first);
    if (exposed != NULL && attrs->qk_matmul_output_mode == ATTENTION_EXPOSE_SOFTMAX)
        for (int64_t j = 0; j < w->s.keys; j++)
            espy_tensor_set_number(exposed, first + (size_t)j, w->scores[j]);
    if (w->c->outputs[Y].data == NULL)
        return;
    const int64_t to = w->s.packed ? (batch * w->s.queries + query) * w->s.q_heads + head : row;
    for (int64_t d = 0; d < w->s.width; d++) {
        double sum = 0;
        for (int64_t j = 0; j < w->s.keys; j++)
            if (!w->hidden[j])
                sum += w->scores[j] * (double)row_of(&w->v, batch, kv_head, j)[d];
        espy_tensor_set_number(&w->c->outputs[Y], (size_t)(to * w->s.width + d), sum);
    }
}

static void write_present(const struct work *w, uint32_t o, const struct rows *rows)
{
    if (o >= w->c->output_count || w->c->outputs[o].data == NULL)
        return;
    size_t to = 0;
    for (int64_t b = 0; b < w->s.batch; b++)
        for (int64_t h = 0; h < rows->heads; h++)
            for (int64_t i = 0; i < w->s.keys; i++)
                for (int64_t d = 0; d < rows->width; d++)
                    espy_tensor_set_number(&w->c->outputs[o], to++,
                                           (double)row_of(rows, b, h, i)[d]);
}

static void reference(struct op_eval *c)
{
    const struct attention_attrs *attrs = c->attrs;
    const bool has_past = espy_eval_has(c, PAST_KEY);
    struct op_type types[LENGTHS + 1] = {{0}};
    for (uint32_t i = 0; i < c->input_count; i++)
        types[i] = c->inputs[i].type;
    const struct sizes s = sizes_of(attrs, types, has_past);
    const int64_t now = s.keys - s.past;
    const float *past_key = has_past ? espy_eval_floats(c, PAST_KEY) : NULL;
    const float *past_value = has_past ? espy_eval_floats(c, PAST_VALUE) : NULL;
    struct work w = {c,
                     s,
                     {NULL, espy_eval_floats(c, Q), s.q_heads, 0, s.queries, s.depth, s.packed},
                     {past_key, espy_eval_floats(c, K), s.kv_heads, s.past, now, s.depth, s.packed},
                     {past_value, espy_eval_floats(c, V), s.kv_heads, s.past, now, s.width,
                      s.packed},
                     scale_of(attrs, &s),
                     espy_eval_scratch(c, (size_t)s.keys, sizeof(double)),
                     espy_eval_scratch(c, (size_t)s.keys, sizeof(bool))};
    if (c->status != ESPY_OK)
        return;
    for (int64_t b = 0; b < s.batch; b++) {
        for (int64_t h = 0; h < s.q_heads; h++) {
            for (int64_t i = 0; i < s.queries; i++) {
                score_row(&w, b, h, i);
                weigh_row(&w, b, h, i);
            }
        }
    }
    write_present(&w, PRESENT_KEY, &w.k);
    write_present(&w, PRESENT_VALUE, &w.v);
}

// ---- lowering -----------------------------------------------------------------------------------

enum { TRIPS_MAX = 32768, SCORES_SIZE_MAX = 64 << 20 };

// The same memory as [batch, head, position, channel].
static struct view apart(const struct view *packed, int64_t heads)
{
    if (packed->rank == 4 || packed->buffer == VIEW_NONE)
        return *packed;
    struct view view = *packed;
    view.rank = 4;
    view.dims[1] = heads;
    view.dims[2] = packed->dims[1];
    view.dims[3] = packed->dims[2] / heads;
    view.strides[1] = packed->strides[2] * view.dims[3];
    view.strides[2] = packed->strides[1];
    view.strides[3] = packed->strides[2];
    return view;
}

static struct view part_of(const struct view *whole, int64_t first, int64_t count)
{
    struct view part = *whole;
    part.offset += first * whole->strides[2];
    part.dims[2] = count;
    return part;
}

// K or V with its past before it, which is also the present output.
static struct view with_past(struct op_lower *c, uint32_t now_input, uint32_t past_input,
                             uint32_t output, int64_t heads)
{
    const struct view given = espy_lower_input(c, now_input);
    const struct view now = apart(&given, heads);
    if (!espy_lower_has(c, past_input)) {
        if (espy_lower_wants(c, output))
            espy_lower_alias(c, output, &now);
        return now;
    }
    const struct view past = espy_lower_input(c, past_input);
    if (now.buffer == VIEW_NONE || past.buffer == VIEW_NONE)
        return now;
    const struct shape shape = {4, {now.dims[0], heads, past.dims[2] + now.dims[2], now.dims[3]}};
    const struct view whole = espy_lower_wants(c, output)
                                  ? espy_lower_output(c, output)
                                  : espy_lower_temporary(c, now.dtype, &shape);
    if (whole.buffer == VIEW_NONE)
        return whole;
    const struct view before = part_of(&whole, 0, past.dims[2]);
    const struct view after = part_of(&whole, past.dims[2], now.dims[2]);
    espy_lower_copy(c, &past, &before);
    espy_lower_copy(c, &now, &after);
    return whole;
}

// Four neighbouring channels may be read at once.
static bool reads_vec4(const struct view *view)
{
    return view->strides[3] == 1 && view->dims[3] % 4 == 0 && view->offset % 4 == 0 &&
           view->strides[0] % 4 == 0 && view->strides[1] % 4 == 0 && view->strides[2] % 4 == 0;
}

static void fill_place(int32_t place[4], const struct view *view)
{
    place[0] = (int32_t)view->offset;
    for (uint32_t d = 0; d < 3; d++)
        place[d + 1] = (int32_t)view->strides[d];
}

struct parts {
    struct sizes s;
    struct view q, k, v, mask, lengths, scores, y, exposed; // rank 4, but for lengths and scores
    struct span shown;                                            // of exposed
    bool masks; // some keys may be hidden
};

static void dispatch(struct op_lower *c, const struct shader *shader, const struct view *bindings,
                     uint32_t binding_count, const void *push, size_t push_size, const void *spec,
                     size_t spec_size, size_t count)
{
    struct op_dispatch made = {.shader = shader,
                               .binding_count = binding_count,
                               .push = push,
                               .push_size = push_size,
                               .spec = spec,
                               .spec_size = spec_size};
    memcpy(made.bindings, bindings, binding_count * sizeof(*bindings));
    espy_lower_grid(c, count, c->caps->local_size, made.groups);
    espy_lower_dispatch(c, &made);
}

static uint32_t mask_kind(const struct view *mask)
{
    if (mask->buffer == VIEW_NONE)
        return ATTENTION_MASK_NONE;
    if (mask->storage == STORAGE_F16)
        return ATTENTION_MASK_F16;
    if (mask->storage == STORAGE_F32)
        return ATTENTION_MASK_F32;
    return mask->dtype == ESPY_BOOL ? ATTENTION_MASK_BOOL : ATTENTION_MASK_I32;
}

static int32_t window_of(int64_t reach)
{
    return (int32_t)(reach > INT32_MAX / 2 ? INT32_MAX / 2 : reach);
}

static uint32_t tiles_of(int64_t count)
{
    return (uint32_t)((count + 3) / 4);
}

// The head of K or V that each query head attends to: repeated, with a stride of 0. false: two
// dimensions of batches do not say that.
static bool repeat_heads(const struct sizes *s, struct view *view)
{
    const int64_t group = s->q_heads / s->kv_heads;
    if (group == 1)
        return true;
    if (s->kv_heads != 1 && s->batch != 1)
        return false;
    if (s->kv_heads != 1) { // the only batch makes room
        view->dims[0] = s->kv_heads;
        view->strides[0] = view->strides[1];
    }
    view->dims[1] = group;
    view->strides[1] = 0;
    return true;
}

// A view of all query heads, its batches as repeat_heads has them.
static struct view group_heads(const struct sizes *s, const struct view *heads)
{
    struct view view = *heads;
    if (view.buffer == VIEW_NONE || s->kv_heads == 1 || s->kv_heads == s->q_heads)
        return view;
    view.dims[0] = s->kv_heads;
    view.dims[1] = s->q_heads / s->kv_heads;
    view.strides[0] = view.strides[1] * view.dims[1];
    return view;
}

// Queries [first, first + taken) of a view of all.
static struct view turn_of(const struct view *view, int64_t first, int64_t taken)
{
    return view->buffer == VIEW_NONE ? *view : part_of(view, first, taken);
}

// The scores of one turn as [batch, head, query, key]; rows are padded to whole vectors.
static struct view score_rows(const struct parts *p, int64_t taken)
{
    struct view rows = p->scores;
    const int64_t pitch = 4 * (int64_t)tiles_of(p->s.keys);
    rows.rank = 4;
    rows.dims[0] = p->s.batch;
    rows.dims[1] = p->s.q_heads;
    rows.dims[2] = taken;
    rows.dims[3] = p->s.keys;
    rows.strides[0] = p->s.q_heads * taken * pitch;
    rows.strides[1] = taken * pitch;
    rows.strides[2] = pitch;
    rows.strides[3] = 1;
    return rows;
}

// true: the fourth output is of numbers on the way to the softmax.
static bool exposes_scores(const struct op_lower *c, const struct parts *p)
{
    const struct attention_attrs *attrs = c->attrs;
    return p->exposed.buffer != VIEW_NONE &&
           attrs->qk_matmul_output_mode != ATTENTION_EXPOSE_SOFTMAX;
}

// Scores are products plus at most numbers.
static bool plain_scores(const struct op_lower *c, const struct parts *p)
{
    const struct attention_attrs *attrs = c->attrs;
    return p->lengths.buffer == VIEW_NONE && !exposes_scores(c, p) && attrs->softcap == 0 &&
           attrs->left_window_size < 0 && right_reach(attrs) < 0 &&
           (p->mask.buffer == VIEW_NONE || p->mask.dims[3] == p->s.keys);
}

// The product of some queries with all keys; rows: where it goes. false: this is not for that
// kernel.
static bool plain_product(const struct op_lower *c, const struct parts *p, struct span queries,
                          const struct view *rows, struct panel_product *product)
{
    const struct attention_attrs *attrs = c->attrs;
    struct view keys = p->k;
    const struct view q = turn_of(&p->q, queries.first, queries.count);
    const struct view mask = turn_of(&p->mask, queries.first, queries.count);
    if (!plain_scores(c, p) || !repeat_heads(&p->s, &keys))
        return false;
    *product = (struct panel_product){.a = group_heads(&p->s, &q),
                                      .b = keys,
                                      .c = group_heads(&p->s, &mask),
                                      .y = group_heads(&p->s, rows),
                                      .stats = {.buffer = VIEW_NONE},
                                      .alpha = (float)scale_of(attrs, &p->s)};
    product->b.dims[2] = keys.dims[3]; // K transposed
    product->b.strides[2] = keys.strides[3];
    product->b.dims[3] = keys.dims[2];
    product->b.strides[3] = keys.strides[2];
    return panel_product_suits(c, product);
}

// false: this is not for that kernel.
static bool lower_plain_scores(struct op_lower *c, const struct parts *p, int64_t first,
                               int64_t taken)
{
    const struct view rows = score_rows(p, taken);
    struct panel_product product;
    if (!plain_product(c, p, (struct span){first, taken}, &rows, &product))
        return false;
    product.fill = true;
    panel_product_lower(c, &product);
    return true;
}

static struct view stats_temporary(struct op_lower *c, const struct parts *p, int64_t queries)
{
    const struct shape shape = {4, {p->s.batch, p->s.q_heads, queries, 2}};
    return espy_lower_temporary(c, ESPY_FLOAT32, &shape);
}

// What the fused kernel has said of the queries that are shown.
static struct view shown_stats(struct op_lower *c, const struct parts *p, const struct view *stats)
{
    if (p->shown.count == p->s.queries)
        return *stats;
    const struct view part = turn_of(stats, p->shown.first, p->shown.count);
    const struct view dense = stats_temporary(c, p, p->shown.count);
    espy_lower_copy(c, &part, &dense);
    return dense;
}

// All of it in one dispatch, on CPU drivers, and another one for weights that are shown, unless
// these are all, of few enough keys. false: this is not for that kernel.
static bool lower_panel(struct op_lower *c, const struct parts *p)
{
    const struct attention_attrs *attrs = c->attrs;
    const bool shows = p->exposed.buffer != VIEW_NONE;
    struct panel_product weights;
    if (!plain_scores(c, p) || (shows && !plain_product(c, p, p->shown, &p->exposed, &weights)))
        return false;
    struct attention_panel panel = {.q = group_heads(&p->s, &p->q),
                                    .k = p->k,
                                    .v = p->v,
                                    .y = group_heads(&p->s, &p->y),
                                    .mask = group_heads(&p->s, &p->mask),
                                    .stats = {.buffer = VIEW_NONE},
                                    .weights = {.buffer = VIEW_NONE},
                                    .scale = (float)scale_of(attrs, &p->s)};
    if (!repeat_heads(&p->s, &panel.k) || !repeat_heads(&p->s, &panel.v) ||
        !attention_panel_suits(c, &panel))
        return false;
    const bool at_once = shows && p->shown.count == p->s.queries && p->exposed.offset == 0 &&
                         attention_panel_keeps(c, &panel);
    if (at_once)
        panel.weights = p->exposed;
    else if (shows)
        panel.stats = stats_temporary(c, p, p->s.queries);
    attention_panel_lower(c, &panel);
    if (!shows || at_once)
        return true;
    weights.softmax = PRODUCT_SOFTMAX_OF_Y;
    weights.stats = shown_stats(c, p, &panel.stats);
    panel_product_lower(c, &weights);
    return true;
}

// Turn: the queries from first on, taken of them.
static void lower_scores(struct op_lower *c, const struct parts *p, int64_t first, int64_t taken)
{
    if (lower_plain_scores(c, p, first, taken))
        return;
    const struct attention_attrs *attrs = c->attrs;
    const struct sizes *s = &p->s;
    struct attention_scores_spec spec = ATTENTION_SCORES_SPEC_DEFAULT;
    spec.local_size_x = c->caps->local_size;
    spec.vector = reads_vec4(&p->q) && reads_vec4(&p->k);
    spec.mask = mask_kind(&p->mask);
    spec.window = attrs->left_window_size >= 0 || right_reach(attrs) >= 0;
    spec.length_words = p->lengths.buffer == VIEW_NONE ? 0 : espy_index_words(&p->lengths);
    spec.cap = attrs->softcap > 0;
    spec.expose = p->exposed.buffer == VIEW_NONE ? ATTENTION_EXPOSE_NOTHING
                                                 : (uint32_t)attrs->qk_matmul_output_mode;
    const uint32_t matrices = (uint32_t)(s->batch * s->q_heads);
    struct attention_scores_push push = {
        .count = matrices * tiles_of(taken) * tiles_of(s->keys),
        .heads = (uint32_t)s->q_heads,
        .group = (uint32_t)(s->q_heads / s->kv_heads),
        .queries = (uint32_t)s->queries,
        .first = (uint32_t)first,
        .taken = (uint32_t)taken,
        .shown = (uint32_t)p->shown.count,
        .shown_first = (uint32_t)p->shown.first,
        .keys = (uint32_t)s->keys,
        .depth = (uint32_t)s->depth,
        .past = (uint32_t)s->past,
        .mask_keys = spec.mask == ATTENTION_MASK_NONE ? 0 : (uint32_t)p->mask.dims[3],
        .left = window_of(attrs->left_window_size),
        .right = window_of(right_reach(attrs)),
        .scale = (float)scale_of(attrs, s),
        .cap = attrs->softcap,
        .q_step = (int32_t)p->q.strides[3],
        .k_step = (int32_t)p->k.strides[3],
        .mask_step = (int32_t)p->mask.strides[3]};
    fill_place(push.q_at, &p->q);
    fill_place(push.k_at, &p->k);
    fill_place(push.mask_at, &p->mask);
    // A binding that is written must be given even if the kernel will not write it.
    const struct view exposed = exposes_scores(c, p) ? p->exposed : p->scores;
    const struct view bindings[] = {p->q,    p->q,       p->k,      p->k,
                                    p->mask, p->lengths, p->scores, exposed};
    dispatch(c, attention_scores_shaders.variants[espy_variant(p->q.storage)], bindings, 8, &push,
             sizeof(push), &spec, sizeof(spec), push.count);
}

// in_place: the scores become weights; else these are only shown.
static void lower_softmax(struct op_lower *c, const struct parts *p, int64_t first, int64_t taken,
                          bool in_place)
{
    const struct attention_attrs *attrs = c->attrs;
    const struct sizes *s = &p->s;
    struct attention_softmax_spec spec = ATTENTION_SOFTMAX_SPEC_DEFAULT;
    spec.local_size_x = c->caps->local_size;
    spec.in_place = in_place;
    spec.exposes = p->exposed.buffer != VIEW_NONE &&
                   attrs->qk_matmul_output_mode == ATTENTION_EXPOSE_SOFTMAX;
    const struct attention_softmax_push push = {.rows = (uint32_t)(s->batch * s->q_heads * taken),
                                                .keys = (uint32_t)s->keys,
                                                .first = (uint32_t)first,
                                                .taken = (uint32_t)taken,
                                                .shown = (uint32_t)p->shown.count,
                                                .shown_first = (uint32_t)p->shown.first};
    const struct view exposed = p->exposed.buffer == VIEW_NONE ? p->scores : p->exposed;
    const struct view bindings[] = {p->scores, exposed};
    dispatch(c, attention_softmax_shaders.variants[espy_variant(p->q.storage)], bindings, 2, &push,
             sizeof(push), &spec, sizeof(spec), push.rows);
}

// What makes weights of each row's scores.
static struct view lower_stats(struct op_lower *c, const struct parts *p, int64_t taken)
{
    const struct view stats = stats_temporary(c, p, taken);
    struct attention_stats_spec spec = ATTENTION_STATS_SPEC_DEFAULT;
    spec.local_size_x = c->caps->local_size;
    const struct attention_stats_push push = {.rows = (uint32_t)(p->s.batch * p->s.q_heads * taken),
                                              .keys = (uint32_t)p->s.keys};
    const struct view bindings[] = {p->scores, stats};
    if (stats.buffer != VIEW_NONE)
        dispatch(c, espy_vector_shader(c, &attention_stats_shaders), bindings, 2, &push,
                 sizeof(push), &spec, sizeof(spec), push.rows);
    return stats;
}

// Softmax and the weighted sums in one product. false: this is not for that kernel.
static bool lower_plain_values(struct op_lower *c, const struct parts *p, int64_t first,
                               int64_t taken)
{
    struct view values = p->v;
    const struct view rows = score_rows(p, taken), y = turn_of(&p->y, first, taken);
    // A cache may hold anything behind its length, and keys that are hidden may be such.
    if (p->masks && p->mask.buffer == VIEW_NONE)
        return false;
    if (p->lengths.buffer != VIEW_NONE || !repeat_heads(&p->s, &values))
        return false;
    if (exposes_scores(c, p))
        return false;
    struct panel_product product = {.a = group_heads(&p->s, &rows),
                                    .b = values,
                                    .c = {.buffer = VIEW_NONE},
                                    .y = group_heads(&p->s, &y),
                                    .padded = true,
                                    .last = true};
    if (!panel_product_suits(c, &product))
        return false;
    product.softmax = PRODUCT_SOFTMAX_OF_A;
    product.stats = lower_stats(c, p, taken);
    panel_product_lower(c, &product);
    return true;
}

static void lower_values(struct op_lower *c, const struct parts *p, int64_t first, int64_t taken)
{
    const struct sizes *s = &p->s;
    struct attention_values_spec spec = ATTENTION_VALUES_SPEC_DEFAULT;
    spec.local_size_x = c->caps->local_size;
    spec.vector = reads_vec4(&p->v);
    spec.masked = p->masks;
    const uint32_t matrices = (uint32_t)(s->batch * s->q_heads);
    struct attention_values_push push = {.count = matrices * tiles_of(taken) * tiles_of(s->width),
                                         .heads = (uint32_t)s->q_heads,
                                         .group = (uint32_t)(s->q_heads / s->kv_heads),
                                         .first = (uint32_t)first,
                                         .taken = (uint32_t)taken,
                                         .keys = (uint32_t)s->keys,
                                         .width = (uint32_t)s->width,
                                         .v_step = (int32_t)p->v.strides[3],
                                         .y_step = (int32_t)p->y.strides[3]};
    fill_place(push.v_at, &p->v);
    fill_place(push.y_at, &p->y);
    LOWER_EPILOGUE(c, &spec, &push);
    const struct view bindings[] = {p->scores, p->v, p->v, p->y};
    dispatch(c, attention_values_shaders.variants[espy_variant(p->v.storage)], bindings, 4, &push,
             sizeof(push), &spec, sizeof(spec), push.count);
}

static struct view mask_input(struct op_lower *c, const struct sizes *s)
{
    if (!espy_lower_has(c, MASK))
        return (struct view){.buffer = VIEW_NONE};
    struct view mask = espy_lower_input(c, MASK);
    // The kernels of software drivers want neighbouring keys to be neighbours.
    if (c->caps->cpu && mask.buffer != VIEW_NONE && mask.strides[mask.rank - 1] > 1)
        mask = espy_lower_dense_input(c, MASK);
    const struct shape *given = &c->inputs[MASK].shape;
    const struct shape all = {4, {s->batch, s->q_heads, s->queries, given->dims[given->rank - 1]}};
    return mask.buffer == VIEW_NONE ? mask : espy_view_broadcast(&mask, &all);
}

// How many queries a turn takes so that all its scores fit the memory that is meant for them.
static int64_t queries_per_turn(const struct op_lower *c, const struct sizes *s)
{
    const uint64_t room = c->caps->buffer_range_max < SCORES_SIZE_MAX ? c->caps->buffer_range_max
                                                                      : SCORES_SIZE_MAX;
    const uint64_t row = (uint64_t)(s->batch * s->q_heads) * tiles_of(s->keys) * 16;
    const int64_t fit = row == 0 ? s->queries : (int64_t)(room / row) / 4 * 4;
    return fit >= s->queries ? s->queries : fit < 4 ? 4 : fit;
}

// Why the kernels do not take these types, or NULL.
static const char *types_obstacle(const struct op_lower *c)
{
    if (espy_lower_storage(c, c->inputs[V].dtype) != espy_lower_storage(c, c->inputs[Q].dtype))
        return "values of another type than queries";
    if (!espy_lower_has(c, MASK))
        return NULL;
    const enum storage mask = espy_lower_storage(c, c->inputs[MASK].dtype);
    return mask == STORAGE_I64 || mask == STORAGE_U32 ? "masks of this type" : NULL;
}

static bool lower_flash(struct op_lower *c, const struct parts *p)
{
    const struct attention_attrs *attrs = c->attrs;
    struct flash_problem problem = {.q = p->q,
                                          .k = p->k,
                                          .v = p->v,
                                          .y = p->y,
                                          .mask = p->mask,
                                          .lengths = p->lengths,
                                          .mask_kind = mask_kind(&p->mask),
                                          .masks = p->masks,
                                          .past = p->s.past,
                                          .left = window_of(attrs->left_window_size),
                                          .right = window_of(right_reach(attrs)),
                                          .scale = (float)scale_of(attrs, &p->s),
                                          .cap = attrs->softcap,
                                          .stats = {.buffer = VIEW_NONE}};
    if (exposes_scores(c, p))
        return false;
    if (p->exposed.buffer == VIEW_NONE)
        return flash_lower_best(c, &problem);
    if (!flash_suits(c, &problem))
        return false;
    problem.stats = stats_temporary(c, p, p->s.queries);
    flash_lower(c, &problem, flash_choose(c, &problem));
    flash_weights_lower(c, &problem, p->shown.first, p->shown.count, &p->exposed);
    return true;
}

static espy_status lower(struct op_lower *c)
{
    const struct attention_attrs *attrs = c->attrs;
    struct parts p = {.s = sizes_of(attrs, c->inputs, espy_lower_has(c, PAST_KEY))};
    const struct sizes *s = &p.s;
    if (c->caps->cpu && (s->keys > TRIPS_MAX || s->depth > TRIPS_MAX))
        return espy_lower_on_host(c, "more keys or channels than this driver's loops take");
    if (types_obstacle(c) != NULL)
        return espy_lower_on_host(c, types_obstacle(c));
    const struct view q = espy_lower_input(c, Q);
    p.q = apart(&q, s->q_heads);
    p.k = with_past(c, K, PAST_KEY, PRESENT_KEY, s->kv_heads);
    p.v = with_past(c, V, PAST_VALUE, PRESENT_VALUE, s->kv_heads);
    p.mask = mask_input(c, s);
    p.lengths = espy_lower_has(c, LENGTHS) ? espy_lower_dense_input(c, LENGTHS)
                                           : (struct view){.buffer = VIEW_NONE};
    p.masks = espy_lower_has(c, MASK) || espy_lower_has(c, LENGTHS) || attrs->is_causal ||
              attrs->left_window_size >= 0 || attrs->right_window_size >= 0;
    const struct shape y_shape = {4, {s->batch, s->q_heads, s->queries, s->width}};
    struct view y = espy_lower_output_like(c, Y, &q);
    if (!espy_lower_wants(c, Y)) // only another output is
        y = espy_lower_temporary(c, c->inputs[Q].dtype, &y_shape);
    p.y = apart(&y, s->q_heads);
    p.exposed = espy_lower_wants(c, EXPOSED) ? espy_lower_output(c, EXPOSED)
                                             : (struct view){.buffer = VIEW_NONE};
    p.shown = exposed_span(attrs, s);
    if (p.shown.count == 0)
        p.exposed.buffer = VIEW_NONE;
    if (espy_lower_status(c) != ESPY_OK || s->batch * s->q_heads * s->queries == 0)
        return espy_lower_status(c);
    if (lower_flash(c, &p) || lower_panel(c, &p))
        return espy_lower_status(c);
    const int64_t step = queries_per_turn(c, s);
    const struct shape shape = {3, {s->batch * s->q_heads, step, 4 * (int64_t)tiles_of(s->keys)}};
    p.scores = espy_lower_temporary(c, ESPY_FLOAT32, &shape);
    for (int64_t first = 0; first < s->queries; first += step) {
        const int64_t taken = s->queries - first < step ? s->queries - first : step;
        lower_scores(c, &p, first, taken);
        // Weights that are only shown are made after those who read the scores.
        const bool plain = lower_plain_values(c, &p, first, taken);
        if (!plain || p.exposed.buffer != VIEW_NONE)
            lower_softmax(c, &p, first, taken, !plain);
        if (!plain)
            lower_values(c, &p, first, taken);
    }
    return espy_lower_status(c);
}

// ---- the table ----------------------------------------------------------------------------------

#define ATTR(attr_name, attr_type, member)                                                         \
    .name = attr_name, .type = attr_type, .offset = offsetof(struct attention_attrs, member)

static const struct op_attr attr_rows[] = {
    {ATTR("exposed_count", OP_INT, exposed_count), .max = INT32_MAX,
     .help = "queries that the fourth output is of; 0: all that there are from exposed_first on"},
    {ATTR("exposed_first", OP_INT, exposed_first), .max = INT32_MAX,
     .help = "the first of them"},
    {ATTR("is_causal", OP_BOOL, is_causal), .help = "a query does not see keys after it"},
    {ATTR("kv_num_heads", OP_INT, kv_num_heads), .max = INT32_MAX,
     .help = "heads of K and V, for inputs of 3 dimensions"},
    {ATTR("left_window_size", OP_INT, left_window_size), .fallback = -1, .min = -1,
     .max = 9007199254740992.0, .help = "how far a query sees back; -1: to the first key"},
    {ATTR("q_num_heads", OP_INT, q_num_heads), .max = INT32_MAX,
     .help = "heads of Q, for inputs of 3 dimensions"},
    {ATTR("qk_matmul_output_mode", OP_INT, qk_matmul_output_mode), .max = 3,
     .help = "fourth output: 0 product, 1 with soft cap, 2 with mask, 3 after softmax"},
    {ATTR("right_window_size", OP_INT, right_window_size), .fallback = -1, .min = -1,
     .max = 9007199254740992.0, .help = "how far a query sees ahead; -1: to the last key"},
    {ATTR("scale", OP_FLOAT, scale), .fallback = NAN,
     .help = "factor of the products; absent: 1 / sqrt(channels of a head)"},
    {ATTR("softcap", OP_FLOAT, softcap), .help = "c: products become c tanh(product / c); 0: not"},
    {ATTR("softmax_precision", OP_DTYPE, softmax_precision),
     .help = "accepted; softmax is always float32 or better"},
};

static const struct op ops[] = {{.name = "Attention",
                                 .summary = "softmax(scale Q K' + mask) V for many heads",
                                 .inputs_min = 3,
                                 .inputs_max = 7,
                                 .outputs_min = 1,
                                 .outputs_max = 4,
                                 .flags = OP_EPILOGUE,
                                 .attrs = attr_rows,
                                 .attr_count = sizeof(attr_rows) / sizeof(attr_rows[0]),
                                 .attrs_size = sizeof(struct attention_attrs),
                                 .infer = infer,
                                 .reference = reference,
                                 .lower = lower}};

const struct op_family espy_ops_attention = {ops, sizeof(ops) / sizeof(ops[0])};
