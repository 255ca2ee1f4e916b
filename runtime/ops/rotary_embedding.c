// RotaryEmbedding: pairs of channels rotate by an angle that depends on the position.
#include "op/lower.h"
#include "op/op.h"
#include "shaders/rotary_embedding.spv.h"

enum { X, COSINES, SINES, POSITIONS };

struct rotary_attrs {
    bool interleaved;
    int64_t rotary_embedding_dim, num_heads;
};

struct sizes {
    bool packed; // [batch, position, head * channel], else [batch, head, position, channel]
    int64_t batch, heads, length, width, pairs;
};

static struct sizes sizes_of(const struct rotary_attrs *attrs, const struct shape *x)
{
    struct sizes s = {.packed = x->rank == 3, .batch = x->dims[0]};
    s.heads = s.packed ? attrs->num_heads : x->dims[1];
    s.length = s.packed ? x->dims[1] : x->dims[2];
    s.width = s.packed ? x->dims[2] / s.heads : x->dims[3];
    s.pairs = (attrs->rotary_embedding_dim > 0 ? attrs->rotary_embedding_dim : s.width) / 2;
    return s;
}

static espy_status check_tables(const struct op_infer *c, const struct sizes *s)
{
    const bool has_positions = espy_infer_has(c, POSITIONS);
    const struct shape *table = &c->inputs[COSINES].shape;
    const struct shape tokens = {2, {s->batch, s->length}};
    const struct shape direct = {3, {s->batch, s->length, s->pairs}};
    if (!espy_shape_equal(table, &c->inputs[SINES].shape))
        return espy_infer_fail(c, "cos_cache and sin_cache have different shapes");
    if (has_positions && (table->rank != 2 || table->dims[1] != s->pairs))
        return espy_infer_fail(c, "caches must have 2 dimensions, the second %lld",
                               (long long)s->pairs);
    if (!has_positions && !espy_shape_equal(table, &direct))
        return espy_infer_fail(c, "caches without position_ids must be batch, position, %lld",
                               (long long)s->pairs);
    if (!has_positions)
        return ESPY_OK;
    if (!espy_shape_equal(&c->inputs[POSITIONS].shape, &tokens))
        return espy_infer_fail(c, "position_ids must be batch, position");
    if (c->inputs[POSITIONS].dtype != ESPY_INT64 && c->inputs[POSITIONS].dtype != ESPY_INT32)
        return espy_infer_fail(c, "position_ids must be int64");
    if (table->dims[0] == 0 && s->batch * s->length > 0)
        return espy_infer_fail(c, "the caches are empty");
    return ESPY_OK;
}

static espy_status infer(struct op_infer *c)
{
    const struct rotary_attrs *attrs = c->attrs;
    const struct shape *x = &c->inputs[X].shape;
    if (!espy_dtype_is_float(c->inputs[X].dtype))
        return espy_infer_fail(c, "takes floats, not %s", espy_dtype_name(c->inputs[X].dtype));
    TRY(espy_infer_same_dtype(c, X, 3));
    if (x->rank != 3 && x->rank != 4)
        return espy_infer_fail(c, "the input must have 3 or 4 dimensions");
    if (x->rank == 3 && (attrs->num_heads == 0 || x->dims[2] % attrs->num_heads != 0))
        return espy_infer_fail(c, "num_heads must divide the channels");
    if (x->rank == 4 && attrs->num_heads != 0 && attrs->num_heads != x->dims[1])
        return espy_infer_fail(c, "num_heads differs from the input's");
    const struct sizes s = sizes_of(attrs, x);
    const int64_t rotated = attrs->rotary_embedding_dim > 0 ? attrs->rotary_embedding_dim
                                                            : s.width;
    if (rotated % 2 != 0 || rotated > s.width)
        return espy_infer_fail(c, "cannot rotate %lld of %lld channels", (long long)rotated,
                               (long long)s.width);
    TRY(check_tables(c, &s));
    espy_infer_copy(c, 0, X);
    return ESPY_OK;
}

// One head at one position.
static void rotate(const struct op_eval *c, const struct sizes *s, size_t start, size_t row)
{
    const struct rotary_attrs *attrs = c->attrs;
    struct tensor *y = &c->outputs[0];
    const size_t pairs = (size_t)s->pairs;
    for (size_t p = 0; p < pairs; p++) {
        const size_t first = start + (attrs->interleaved ? 2 * p : p);
        const size_t second = start + (attrs->interleaved ? 2 * p + 1 : p + pairs);
        const double cosine = espy_tensor_number(&c->inputs[COSINES], row * pairs + p);
        const double sine = espy_tensor_number(&c->inputs[SINES], row * pairs + p);
        const double a = espy_tensor_number(&c->inputs[X], first);
        const double b = espy_tensor_number(&c->inputs[X], second);
        espy_tensor_set_number(y, first, cosine * a - sine * b);
        espy_tensor_set_number(y, second, sine * a + cosine * b);
    }
    for (size_t d = 2 * pairs; d < (size_t)s->width; d++)
        espy_tensor_set_number(y, start + d, espy_tensor_number(&c->inputs[X], start + d));
}

static void reference(struct op_eval *c)
{
    const struct sizes s = sizes_of(c->attrs, &c->inputs[X].type.shape);
    const size_t heads = (size_t)s.heads, length = (size_t)s.length;
    const int64_t rows = c->inputs[COSINES].type.shape.dims[0];
    for (size_t token = 0; token < (size_t)s.batch * length; token++) {
        size_t row = token;
        if (espy_eval_has(c, POSITIONS)) {
            const int64_t position = espy_tensor_integer(&c->inputs[POSITIONS], token);
            if (position < 0 || position >= rows) {
                espy_eval_fail(c, ESPY_INVALID_ARGUMENT, "position %lld is outside the caches",
                               (long long)position);
                return;
            }
            row = (size_t)position;
        }
        const size_t batch = token / length, place = token % length;
        for (size_t h = 0; h < heads; h++) {
            const size_t vector =
                s.packed ? token * heads + h : (batch * heads + h) * length + place;
            rotate(c, &s, vector * (size_t)s.width, row);
        }
    }
}

// Offset and strides as [batch, head, position, channel] whatever the rank.
static void fill_place(int32_t place[4], int32_t *step, const struct view *view, int64_t width)
{
    const bool packed = view->rank == 3;
    place[0] = (int32_t)view->offset;
    place[1] = (int32_t)view->strides[0];
    place[2] = (int32_t)(packed ? view->strides[2] * width : view->strides[1]);
    place[3] = (int32_t)view->strides[packed ? 1 : 2];
    *step = (int32_t)view->strides[packed ? 2 : 3];
}

static espy_status lower(struct op_lower *c)
{
    const struct rotary_attrs *attrs = c->attrs;
    const struct sizes s = sizes_of(attrs, &c->inputs[X].shape);
    const struct view x = espy_lower_input(c, X);
    const struct view y = espy_lower_output_like(c, 0, &x);
    const struct view cosines = espy_lower_dense_input(c, COSINES);
    const struct view sines = espy_lower_dense_input(c, SINES);
    const struct view positions = espy_lower_has(c, POSITIONS)
                                      ? espy_lower_dense_input(c, POSITIONS)
                                      : (struct view){.buffer = VIEW_NONE};
    TRY(espy_lower_status(c));
    struct rotary_embedding_spec spec = ROTARY_EMBEDDING_SPEC_DEFAULT;
    spec.local_size_x = c->caps->local_size;
    spec.interleaved = attrs->interleaved;
    const bool has_positions = positions.buffer != VIEW_NONE;
    spec.position_words = has_positions ? espy_index_words(&positions) : 0;
    struct rotary_embedding_push push = {
        .slots = (uint32_t)(s.width - s.pairs),
        .pairs = (uint32_t)s.pairs,
        .heads = (uint32_t)s.heads,
        .tokens = (uint32_t)s.length,
        .rows = (uint32_t)c->inputs[COSINES].shape.dims[0],
        .cosines_offset = (uint32_t)cosines.offset,
        .sines_offset = (uint32_t)sines.offset,
        .positions_offset = (uint32_t)positions.offset * (has_positions ? spec.position_words : 0)};
    push.count = (uint32_t)(s.batch * s.length * s.heads) * push.slots;
    fill_place(push.x_at, &push.x_step, &x, s.width);
    fill_place(push.y_at, &push.y_step, &y, s.width);
    struct op_dispatch dispatch = {
        .shader = rotary_embedding_shaders.variants[espy_variant(x.storage)],
        .bindings = {x, cosines, sines, positions, y},
        .binding_count = 5,
        .push = &push,
        .push_size = sizeof(push),
        .spec = &spec,
        .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.count, spec.local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
    return espy_lower_status(c);
}

#define ATTR(attr_name, attr_type, member)                                                         \
    .name = attr_name, .type = attr_type, .offset = offsetof(struct rotary_attrs, member)

static const struct op_attr attr_rows[] = {
    {ATTR("interleaved", OP_BOOL, interleaved),
     .help = "a pair is two neighbouring channels, not one of each half"},
    {ATTR("num_heads", OP_INT, num_heads), .max = INT32_MAX,
     .help = "heads, for an input of 3 dimensions"},
    {ATTR("rotary_embedding_dim", OP_INT, rotary_embedding_dim), .max = INT32_MAX,
     .help = "how many channels of a head rotate; 0: all"},
};

static const struct op ops[] = {{.name = "RotaryEmbedding",
                                 .summary = "rotates pairs of channels by the position's angle",
                                 .inputs_min = 3,
                                 .inputs_max = 4,
                                 .outputs_min = 1,
                                 .outputs_max = 1,
                                 .attrs = attr_rows,
                                 .attr_count = sizeof(attr_rows) / sizeof(attr_rows[0]),
                                 .attrs_size = sizeof(struct rotary_attrs),
                                 .infer = infer,
                                 .reference = reference,
                                 .lower = lower}};

const struct op_family espy_ops_rotary_embedding = {ops, sizeof(ops) / sizeof(ops[0])};
