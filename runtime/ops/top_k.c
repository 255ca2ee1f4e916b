// TopK: the k largest or smallest elements along an axis and where they are, sorted.
#include <math.h>
#include <string.h>

#include "op/axes.h"
#include "op/lower.h"
#include "op/op.h"
#include "shaders/top_k.spv.h"

struct top_k_attrs {
    int64_t axis;
    bool largest, sorted;
};

enum { BLOCK = 128 }; // elements of the first sorted lists: each is compared with all of its block

static uint32_t axis_of(const struct op_node *node, uint32_t rank)
{
    const struct top_k_attrs *attrs = node->attrs;
    return (uint32_t)(attrs->axis < 0 ? attrs->axis + (int64_t)rank : attrs->axis);
}

static espy_status infer(struct op_infer *c)
{
    const struct top_k_attrs *attrs = c->attrs;
    const struct op_type *x = &c->inputs[0];
    uint32_t axis;
    TRY(espy_infer_axis(c, attrs->axis, x->shape.rank, &axis));
    size_t count = 0;
    if (c->inputs[1].dtype != ESPY_INT64 && c->inputs[1].dtype != ESPY_INT32)
        return espy_infer_fail(c, "k must be int64, not %s", espy_dtype_name(c->inputs[1].dtype));
    if (!espy_shape_count(&c->inputs[1].shape, &count) || count != 1)
        return espy_infer_fail(c, "k must be one number");
    const struct tensor *value = espy_infer_value(c, 1);
    if (value == NULL)
        return espy_infer_wait(c);
    const int64_t k = espy_tensor_integer(value, 0);
    if (k < 0 || k > x->shape.dims[axis])
        return espy_infer_fail(c, "k is %lld, axis %u has %lld elements", (long long)k, axis,
                               (long long)x->shape.dims[axis]);
    for (uint32_t o = 0; o < c->output_count; o++) {
        c->outputs[o] = (struct op_type){o == 0 ? x->dtype : ESPY_INT64, x->shape};
        c->outputs[o].shape.dims[axis] = k;
    }
    return ESPY_OK;
}

// ---- reference ----------------------------------------------------------------------------------

// Whether element a comes before element b; a and b are not equal in position. NaN is above all
// numbers; of equal elements the one with the lower position comes first.
static bool comes_before(const struct tensor *x, bool largest, size_t a, size_t b)
{
    if (espy_dtype_is_float(x->type.dtype)) {
        const double na = espy_tensor_number(x, a), nb = espy_tensor_number(x, b);
        if (isnan(na) || isnan(nb)) {
            if (isnan(na) && isnan(nb))
                return a < b;
            return isnan(na) == largest;
        }
        return na == nb ? a < b : (na > nb) == largest;
    }
    const uint64_t flip = espy_dtype_is_signed(x->type.dtype) ? UINT64_C(1) << 63 : 0;
    const uint64_t ia = (uint64_t)espy_tensor_integer(x, a) ^ flip;
    const uint64_t ib = (uint64_t)espy_tensor_integer(x, b) ^ flip;
    return ia == ib ? a < b : (ia > ib) == largest;
}

// Puts element `at` into the sorted list of the best found so far, of which there are *found.
static void insert(const struct tensor *x, bool largest, size_t *best, size_t *found, size_t k,
                   size_t at)
{
    if (*found == k && (k == 0 || !comes_before(x, largest, at, best[k - 1])))
        return;
    size_t place = *found < k ? (*found)++ : k - 1;
    for (; place > 0 && comes_before(x, largest, at, best[place - 1]); place--)
        best[place] = best[place - 1];
    best[place] = at;
}

static void copy_element(struct tensor *to, size_t to_index, const struct tensor *from,
                         size_t from_index)
{
    const size_t size = espy_dtype_size(from->type.dtype);
    memcpy((char *)to->data + to_index * size, (const char *)from->data + from_index * size, size);
}

static void reference(struct op_eval *c)
{
    const struct top_k_attrs *attrs = c->attrs;
    const struct tensor *x = &c->inputs[0];
    const struct shape *shape = &x->type.shape;
    const uint32_t axis = axis_of(c->node, shape->rank);
    const size_t length = (size_t)shape->dims[axis];
    const size_t k = (size_t)espy_tensor_integer(&c->inputs[1], 0);
    size_t inner = 1, outer = 1;
    for (uint32_t d = 0; d < axis; d++)
        outer *= (size_t)shape->dims[d];
    for (uint32_t d = axis + 1; d < shape->rank; d++)
        inner *= (size_t)shape->dims[d];
    size_t *best = espy_eval_scratch(c, k, sizeof(*best));
    if (best == NULL)
        return;
    for (size_t row = 0; row < outer * inner; row++) {
        const size_t first = row / inner * length * inner + row % inner;
        const size_t target = row / inner * k * inner + row % inner;
        size_t found = 0;
        for (size_t i = 0; i < length; i++)
            insert(x, attrs->largest, best, &found, k, first + i * inner);
        for (size_t i = 0; i < k; i++) {
            if (c->outputs[0].data != NULL)
                copy_element(&c->outputs[0], target + i * inner, x, best[i]);
            if (c->output_count > 1 && c->outputs[1].data != NULL)
                espy_tensor_set_integer(&c->outputs[1], target + i * inner,
                                        (int64_t)((best[i] - first) / inner));
        }
    }
}

// ---- lower --------------------------------------------------------------------------------------

struct lists {
    struct view x, values, positions;
    struct top_k_push push;
    struct top_k_spec spec;
};

static void dispatch(struct op_lower *c, const struct lists *lists, const struct view *source,
                     const struct view *target)
{
    const struct top_k_push *push = &lists->push;
    const bool final = lists->spec.final != 0;
    const size_t row_size =
        lists->spec.merge != 0 ? (size_t)push->source_count * push->source_room : push->row_length;
    const enum storage storage = lists->x.storage;
    struct op_dispatch made = {
        .shader =
            top_k_shaders.variants[storage == STORAGE_I64 ? VARIANT_W64 : espy_variant(storage)],
        .bindings = {lists->x, *source, final ? lists->values : *target,
                     final ? lists->values : *target, final ? lists->positions : *target},
        .binding_count = 5,
        .push = push,
        .push_size = sizeof(*push),
        .spec = &lists->spec,
        .spec_size = sizeof(lists->spec)};
    espy_lower_grid(c, push->rows * row_size, lists->spec.local_size_x, made.groups);
    espy_lower_dispatch(c, &made);
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

// Sorts blocks, then merges pairs of lists until one is left.
static void sort(struct op_lower *c, struct lists *lists)
{
    struct top_k_push *push = &lists->push;
    const struct view none = {.buffer = VIEW_NONE};
    push->span = BLOCK;
    push->target_count = (push->row_length + BLOCK - 1) / BLOCK;
    push->target_room = least(push->kept, BLOCK);
    lists->spec.final = push->target_count <= 1;
    const struct shape shape = {3, {push->rows, push->target_count, push->target_room}};
    struct view pages[2] = {none, none}; // lists are read from one and written to the other
    if (push->target_count > 1)
        pages[0] = espy_lower_temporary(c, ESPY_UINT32, &shape);
    dispatch(c, lists, &none, &pages[0]);
    lists->spec.merge = 1;
    for (uint32_t from = 0; push->target_count > 1; from = 1 - from, push->span *= 2) {
        push->source_count = push->target_count;
        push->source_room = push->target_room;
        push->target_count = (push->source_count + 1) / 2;
        push->target_room = least(push->kept, 2 * push->source_room);
        lists->spec.final = push->target_count == 1;
        const struct shape next = {3, {push->rows, push->target_count, push->target_room}};
        if (!lists->spec.final)
            pages[1 - from] = espy_lower_temporary(c, ESPY_UINT32, &next);
        dispatch(c, lists, &pages[from], &pages[1 - from]);
    }
}

static espy_status lower(struct op_lower *c)
{
    const struct top_k_attrs *attrs = c->attrs;
    const struct shape *shape = &c->inputs[0].shape;
    const uint32_t axis = axis_of(c->node, shape->rank), bit = UINT32_C(1) << axis;
    const uint32_t k = (uint32_t)espy_tensor_integer(&c->values[1], 0);
    struct lists lists = {.x = espy_axes_input(c, 0, bit, 1), .spec = TOP_K_SPEC_DEFAULT};
    lists.values = espy_lower_output_like(c, 0, &lists.x);
    lists.positions = espy_lower_output_like(c, 1, &lists.x);
    TRY(espy_lower_status(c));
    // Both outputs have one layout; the one that nobody wants is written all the same.
    const struct view y = lists.values.buffer != VIEW_NONE ? lists.values : lists.positions;
    struct shape y_shape = *shape;
    y_shape.dims[axis] = k;
    if (lists.values.buffer == VIEW_NONE)
        lists.values = espy_lower_temporary(c, c->inputs[0].dtype, &y_shape);
    if (lists.positions.buffer == VIEW_NONE)
        lists.positions = espy_lower_temporary(c, ESPY_INT64, &y_shape);
    TRY(espy_lower_status(c));
    if (espy_axes_count(&y_shape, UINT32_MAX) == 0)
        return ESPY_OK;
    struct view outer[2] = {espy_axes_select(&lists.x, ~bit), espy_axes_select(&y, ~bit)};
    struct top_k_push *push = &lists.push;
    int32_t strides[2][AXES_RANK_MAX];
    push->rows = (uint32_t)espy_view_count(&outer[0]);
    push->row_length = (uint32_t)shape->dims[axis];
    push->kept = k;
    push->x_offset = (int32_t)lists.x.offset;
    push->x_step = (int32_t)lists.x.strides[axis];
    push->y_step = (int32_t)y.strides[axis];
    lists.spec.local_size_x = c->caps->local_size;
    lists.spec.smallest = !attrs->largest;
    lists.spec.no_sign = !espy_dtype_is_signed(lists.x.dtype);
    lists.spec.rank = espy_axes_fill(outer, 2, true, push->dims, strides[0]);
    memcpy(push->x_strides, strides[0], sizeof(push->x_strides));
    memcpy(push->y_strides, strides[1], sizeof(push->y_strides));
    sort(c, &lists);
    return espy_lower_status(c);
}

static const struct op_attr attr_rows[] = {
    {.name = "axis",
     .type = OP_INT,
     .offset = offsetof(struct top_k_attrs, axis),
     .fallback = -1,
     .help = "the axis along which elements are compared"},
    {.name = "largest",
     .type = OP_BOOL,
     .offset = offsetof(struct top_k_attrs, largest),
     .fallback = 1,
     .help = "1: the largest elements; 0: the smallest"},
    {.name = "sorted",
     .type = OP_BOOL,
     .offset = offsetof(struct top_k_attrs, sorted),
     .fallback = 1,
     .help = "0: the order does not matter; it is sorted all the same"},
};

static const struct op ops[] = {{.name = "TopK",
                                 .summary = "the k largest or smallest elements along an axis",
                                 .inputs_min = 2,
                                 .inputs_max = 2,
                                 .outputs_min = 1,
                                 .outputs_max = 2,
                                 .attrs = attr_rows,
                                 .attr_count = sizeof(attr_rows) / sizeof(attr_rows[0]),
                                 .attrs_size = sizeof(struct top_k_attrs),
                                 .infer = infer,
                                 .reference = reference,
                                 .lower = lower}};

const struct op_family espy_ops_top_k = {ops, 1};
