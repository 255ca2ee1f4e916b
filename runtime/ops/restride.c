// Operators that see the same elements in another order: Transpose, Slice, Split, Expand and the
// two that move blocks between channels and pixels. Each is a change of a view's strides, which
// the reference reads through and the device mostly needs no work for.
#include <assert.h>
#include <string.h>

#include "op/lower.h"
#include "op/op.h"

struct restride_attrs {
    struct op_ints perm;               // Transpose
    int64_t axis, num_outputs;         // Split; num_outputs 0: one per output
    int64_t blocksize;                 // DepthToSpace, SpaceToDepth
    int mode;                          // DepthToSpace
};

enum { MODE_DCR, MODE_CRD };

// What a node's view is made of, wherever it is asked for.
struct source {
    const struct restride_attrs *attrs;
    uint32_t input_count, output_count;
    const struct tensor *values;
};

static bool has_value(const struct source *s, uint32_t i)
{
    return i < s->input_count && s->values[i].data != NULL;
}

// Input i as a list of `count` integers (any number when negative); NULL and ESPY_OK: not known yet.
static espy_status known_list(struct op_infer *c, uint32_t i, int64_t count,
                              const struct tensor **list)
{
    const struct op_type *type = &c->inputs[i];
    if ((type->dtype != ESPY_INT64 && type->dtype != ESPY_INT32) || type->shape.rank != 1)
        return espy_infer_fail(c, "input %u must be a list of int64 or int32", i);
    if (count >= 0 && type->shape.dims[0] != count)
        return espy_infer_fail(c, "input %u has %lld entries, not %lld", i,
                               (long long)type->shape.dims[0], (long long)count);
    *list = espy_infer_value(c, i);
    return ESPY_OK;
}

// ---- Transpose -------------------------------------------------------------------------------------

static uint32_t transposed(const struct restride_attrs *attrs, uint32_t rank, uint32_t d)
{
    return attrs->perm.values == NULL ? rank - 1 - d : (uint32_t)attrs->perm.values[d];
}

static espy_status infer_transpose(struct op_infer *c)
{
    const struct restride_attrs *attrs = c->attrs;
    const struct shape *from = &c->inputs[0].shape;
    bool used[ESPY_RANK_MAX] = {false};
    if (attrs->perm.values != NULL && attrs->perm.count != from->rank)
        return espy_infer_fail(c, "perm has %u entries for %u dimensions", attrs->perm.count,
                               from->rank);
    for (uint32_t i = 0; attrs->perm.values != NULL && i < from->rank; i++) {
        const int64_t axis = attrs->perm.values[i];
        if (axis < 0 || axis >= from->rank || used[axis])
            return espy_infer_fail(c, "perm is not an order of %u dimensions", from->rank);
        used[axis] = true;
    }
    struct shape shape = {.rank = from->rank};
    for (uint32_t d = 0; d < shape.rank; d++)
        shape.dims[d] = from->dims[transposed(attrs, shape.rank, d)];
    c->outputs[0] = (struct op_type){c->inputs[0].dtype, shape};
    return ESPY_OK;
}

static void see_transpose(const struct source *s, uint32_t o, struct view *view)
{
    const struct view from = *view;
    (void)o;
    for (uint32_t d = 0; d < view->rank; d++) {
        view->dims[d] = from.dims[transposed(s->attrs, from.rank, d)];
        view->strides[d] = from.strides[transposed(s->attrs, from.rank, d)];
    }
}

// ---- Expand ----------------------------------------------------------------------------------------

static espy_status infer_expand(struct op_infer *c)
{
    const struct tensor *list = NULL;
    TRY(known_list(c, 1, -1, &list));
    if (c->inputs[1].shape.dims[0] > ESPY_RANK_MAX)
        return espy_infer_unsupported(c, "more than %d dimensions", ESPY_RANK_MAX);
    if (list == NULL)
        return espy_infer_wait(c);
    struct shape shape = {.rank = (uint32_t)list->count};
    for (uint32_t d = 0; d < shape.rank; d++) {
        shape.dims[d] = espy_tensor_integer(list, d);
        if (shape.dims[d] < 0)
            return espy_infer_fail(c, "dimension %u of the new shape is %lld", d,
                                   (long long)shape.dims[d]);
    }
    c->outputs[0].dtype = c->inputs[0].dtype;
    return espy_infer_broadcast(c, &c->inputs[0].shape, &shape, &c->outputs[0].shape);
}

static void see_expand(const struct source *s, uint32_t o, struct view *view)
{
    // Where the list has 1 (or nothing) the dimension stays; elsewhere it is the list's.
    const struct tensor *list = &s->values[1];
    const uint32_t wanted = (uint32_t)list->count;
    struct shape shape = {.rank = view->rank > wanted ? view->rank : wanted};
    (void)o;
    for (uint32_t i = 0; i < shape.rank; i++) { // from the last dimension backwards
        const int64_t have = i < view->rank ? view->dims[view->rank - 1 - i] : 1;
        const int64_t want = i < wanted ? espy_tensor_integer(list, wanted - 1 - i) : 1;
        shape.dims[shape.rank - 1 - i] = want == 1 ? have : want;
    }
    *view = espy_view_broadcast(view, &shape);
}

// ---- Slice -----------------------------------------------------------------------------------------

struct slice {
    int64_t first, step, count;
};

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

static struct slice resolve_slice(int64_t dim, int64_t start, int64_t end, int64_t step)
{
    struct slice slice = {0, step < -INT64_MAX ? -INT64_MAX : step, 0};
    if (dim == 0)
        return slice;
    start = start < 0 ? start + dim : start;
    end = end < 0 ? end + dim : end;
    if (step > 0) {
        slice.first = clamp(start, 0, dim);
        end = clamp(end, 0, dim);
        slice.count = end > slice.first ? (end - slice.first - 1) / slice.step + 1 : 0;
    } else {
        slice.first = clamp(start, 0, dim - 1);
        end = clamp(end, -1, dim - 1);
        slice.count = slice.first > end ? (slice.first - end - 1) / -slice.step + 1 : 0;
    }
    return slice;
}

// The slice that entry i of the lists says for a tensor with these dimensions; *axis may be out of
// range.
static struct slice slice_at(const struct source *s, const int64_t *dims, uint32_t rank, size_t i,
                             int64_t *axis)
{
    *axis = has_value(s, 3) ? espy_tensor_integer(&s->values[3], i) : (int64_t)i;
    if (*axis < 0)
        *axis += rank;
    if (*axis < 0 || *axis >= rank)
        return (struct slice){0, 0, 0};
    const int64_t step = has_value(s, 4) ? espy_tensor_integer(&s->values[4], i) : 1;
    return step == 0 ? (struct slice){0, 0, 0}
                     : resolve_slice(dims[*axis], espy_tensor_integer(&s->values[1], i),
                                     espy_tensor_integer(&s->values[2], i), step);
}

static espy_status infer_slice(struct op_infer *c)
{
    const struct tensor *list = NULL;
    for (uint32_t i = 1; i < 5; i++) {
        if (i >= 3 && !espy_infer_has(c, i))
            continue;
        TRY(known_list(c, i, i == 1 ? -1 : c->inputs[1].shape.dims[0], &list));
        if (list == NULL)
            return espy_infer_wait(c);
    }
    const struct source s = {c->attrs, c->input_count, c->output_count, c->values};
    struct shape shape = c->inputs[0].shape;
    bool used[ESPY_RANK_MAX] = {false};
    for (size_t i = 0; i < c->values[1].count; i++) {
        int64_t axis;
        const struct slice slice = slice_at(&s, c->inputs[0].shape.dims, shape.rank, i, &axis);
        if (axis < 0 || axis >= shape.rank || used[axis])
            return espy_infer_fail(c, "axes are outside a tensor of rank %u, or given twice",
                                   shape.rank);
        if (slice.step == 0)
            return espy_infer_fail(c, "a step is 0");
        used[axis] = true;
        shape.dims[axis] = slice.count;
    }
    c->outputs[0] = (struct op_type){c->inputs[0].dtype, shape};
    return ESPY_OK;
}

static void take_slice(struct view *view, uint32_t axis, const struct slice *slice)
{
    view->dims[axis] = slice->count;
    if (slice->count > 0)
        view->offset += slice->first * view->strides[axis];
    if (slice->count > 1) // else the step may be of any size
        view->strides[axis] *= slice->step;
}

static void see_slice(const struct source *s, uint32_t o, struct view *view)
{
    const struct view from = *view;
    (void)o;
    for (size_t i = 0; i < s->values[1].count; i++) {
        int64_t axis;
        const struct slice slice = slice_at(s, from.dims, from.rank, i, &axis);
        take_slice(view, (uint32_t)axis, &slice);
    }
}

// ---- Split -----------------------------------------------------------------------------------------

static int64_t part_count(const struct source *s)
{
    return s->attrs->num_outputs != 0 ? s->attrs->num_outputs : (int64_t)s->output_count;
}

// Parts are equal when no sizes are given, but for the last ones, which get what is left.
static struct slice part_at(const struct source *s, int64_t dim, uint32_t o)
{
    struct slice slice = {0, 1, 0};
    if (!has_value(s, 1)) {
        const int64_t parts = part_count(s);
        const int64_t size = dim / parts + (dim % parts != 0);
        slice.first = clamp(size * o, 0, dim);
        slice.count = clamp(dim - slice.first, 0, size);
        return slice;
    }
    for (uint32_t i = 0; i < o; i++)
        slice.first += espy_tensor_integer(&s->values[1], i);
    slice.count = espy_tensor_integer(&s->values[1], o);
    return slice;
}

static espy_status check_parts(struct op_infer *c, int64_t dim)
{
    const struct restride_attrs *attrs = c->attrs;
    if (!espy_infer_has(c, 1)) {
        if (attrs->num_outputs != 0 && attrs->num_outputs < c->output_count)
            return espy_infer_fail(c, "num_outputs is %lld, there are %u",
                                   (long long)attrs->num_outputs, c->output_count);
        return ESPY_OK;
    }
    if (attrs->num_outputs != 0)
        return espy_infer_fail(c, "has both the input split and the attribute num_outputs");
    const struct tensor *list = NULL;
    TRY(known_list(c, 1, -1, &list));
    if (c->inputs[1].shape.dims[0] < c->output_count)
        return espy_infer_fail(c, "split has fewer entries than there are outputs");
    if (list == NULL)
        return espy_infer_wait(c);
    int64_t rest = dim;
    for (size_t i = 0; i < list->count; i++) {
        const int64_t size = espy_tensor_integer(list, i);
        if (size < 0 || size > rest)
            return espy_infer_fail(c, "part %zu has %lld of the %lld elements left", i,
                                   (long long)size, (long long)rest);
        rest -= size;
    }
    return rest == 0 ? ESPY_OK
                     : espy_infer_fail(c, "%lld elements are in no part", (long long)rest);
}

static espy_status infer_split(struct op_infer *c)
{
    const struct restride_attrs *attrs = c->attrs;
    const struct shape *from = &c->inputs[0].shape;
    uint32_t axis;
    TRY(espy_infer_axis(c, attrs->axis, from->rank, &axis));
    TRY(check_parts(c, from->dims[axis]));
    const struct source s = {attrs, c->input_count, c->output_count, c->values};
    for (uint32_t o = 0; o < c->output_count; o++) {
        c->outputs[o] = c->inputs[0];
        c->outputs[o].shape.dims[axis] = part_at(&s, from->dims[axis], o).count;
    }
    return ESPY_OK;
}

static void see_split(const struct source *s, uint32_t o, struct view *view)
{
    const int64_t axis = s->attrs->axis < 0 ? s->attrs->axis + view->rank : s->attrs->axis;
    const struct slice slice = part_at(s, view->dims[axis], o);
    take_slice(view, (uint32_t)axis, &slice);
}

// ---- DepthToSpace, SpaceToDepth ----------------------------------------------------------------------

static espy_status infer_depth_to_space(struct op_infer *c)
{
    const struct restride_attrs *attrs = c->attrs;
    struct shape shape = c->inputs[0].shape;
    const int64_t block = attrs->blocksize;
    if (shape.rank != 4)
        return espy_infer_fail(c, "needs 4 dimensions, not %u", shape.rank);
    if (shape.dims[1] % (block * block) != 0)
        return espy_infer_fail(c, "%lld channels do not divide by the block's %lld",
                               (long long)shape.dims[1], (long long)(block * block));
    if (shape.dims[2] > INT64_MAX / block || shape.dims[3] > INT64_MAX / block)
        return espy_infer_fail(c, "the result is too large");
    shape.dims[1] /= block * block;
    shape.dims[2] *= block;
    shape.dims[3] *= block;
    c->outputs[0] = (struct op_type){c->inputs[0].dtype, shape};
    return ESPY_OK;
}

static espy_status infer_space_to_depth(struct op_infer *c)
{
    const struct restride_attrs *attrs = c->attrs;
    struct shape shape = c->inputs[0].shape;
    const int64_t block = attrs->blocksize;
    if (shape.rank != 4)
        return espy_infer_fail(c, "needs 4 dimensions, not %u", shape.rank);
    if (shape.dims[2] % block != 0 || shape.dims[3] % block != 0)
        return espy_infer_fail(c, "%lldx%lld pixels do not divide into blocks of %lld",
                               (long long)shape.dims[2], (long long)shape.dims[3],
                               (long long)block);
    if (shape.dims[1] > INT64_MAX / (block * block))
        return espy_infer_fail(c, "the result is too large");
    shape.dims[1] *= block * block;
    shape.dims[2] /= block;
    shape.dims[3] /= block;
    c->outputs[0] = (struct op_type){c->inputs[0].dtype, shape};
    return ESPY_OK;
}

// To N, C, H, block, W, block: the output's dimensions, each still in its two parts.
static void see_depth_to_space(const struct source *s, uint32_t o, struct view *view)
{
    const struct view x = *view;
    const int64_t block = s->attrs->blocksize, channels = x.dims[1] / (block * block);
    const bool blocks_first = s->attrs->mode == MODE_DCR;
    const int64_t channel_stride = x.strides[1] * (blocks_first ? 1 : block * block);
    const int64_t block_stride = x.strides[1] * (blocks_first ? channels : 1);
    (void)o;
    view->rank = 6;
    memcpy(view->dims,
           (int64_t[]){x.dims[0], channels, x.dims[2], block, x.dims[3], block},
           6 * sizeof(int64_t));
    memcpy(view->strides,
           (int64_t[]){x.strides[0], channel_stride, x.strides[2], block_stride * block,
                       x.strides[3], block_stride},
           6 * sizeof(int64_t));
}

// To N, block, block, C, H, W.
static void see_space_to_depth(const struct source *s, uint32_t o, struct view *view)
{
    const struct view x = *view;
    const int64_t block = s->attrs->blocksize;
    (void)o;
    view->rank = 6;
    memcpy(view->dims,
           (int64_t[]){x.dims[0], block, block, x.dims[1], x.dims[2] / block, x.dims[3] / block},
           6 * sizeof(int64_t));
    memcpy(view->strides,
           (int64_t[]){x.strides[0], x.strides[2], x.strides[3], x.strides[1],
                       x.strides[2] * block, x.strides[3] * block},
           6 * sizeof(int64_t));
}

// ---- reference and lower -----------------------------------------------------------------------------

struct restride {
    const char *op;
    void (*see)(const struct source *s, uint32_t o, struct view *view);
};

static const struct restride restrides[] = {
    {"DepthToSpace", see_depth_to_space}, {"Expand", see_expand},
    {"Slice", see_slice},                 {"SpaceToDepth", see_space_to_depth},
    {"Split", see_split},                 {"Transpose", see_transpose},
};

// Turns a view of the input into one of output o, whose dimensions may still be in parts.
static void see(const struct op_node *node, const struct source *s, uint32_t o, struct view *view)
{
    uint32_t i = 0;
    while (strcmp(restrides[i].op, node->op->name) != 0)
        i++;
    restrides[i].see(s, o, view);
}

// Reads y's elements in row-major order through the view.
static void read_through(const struct tensor *x, const struct view *view, struct tensor *y)
{
    const size_t size = espy_dtype_size(y->type.dtype);
    int64_t index[ESPY_RANK_MAX] = {0}, from = view->offset;
    for (size_t to = 0; to < y->count; to++) {
        memcpy((char *)y->data + to * size, (const char *)x->data + (size_t)from * size, size);
        for (uint32_t d = view->rank; d-- > 0;) {
            from += view->strides[d];
            if (++index[d] < view->dims[d])
                break;
            from -= view->strides[d] * view->dims[d];
            index[d] = 0;
        }
    }
}

static void reference(struct op_eval *c)
{
    const struct tensor *x = &c->inputs[0];
    const struct source s = {c->attrs, c->input_count, c->output_count, c->inputs};
    for (uint32_t o = 0; o < c->output_count; o++) {
        if (c->outputs[o].data == NULL)
            continue;
        const struct view start = {.dtype = x->type.dtype};
        struct view view = espy_view_reshaped_dense(&start, &x->type.shape);
        see(c->node, &s, o, &view);
        read_through(x, &view, &c->outputs[o]);
    }
}

// Copies where the parts of a dimension do not lie behind each other, as with blocks of pixels.
static void lower_parts(struct op_lower *c, bool channels_last, const struct view *view)
{
    const struct view y =
        channels_last ? espy_lower_channels_last_output(c, 0) : espy_lower_output(c, 0);
    if (espy_lower_status(c) != ESPY_OK || espy_view_count(&y) == 0)
        return;
    struct shape parts = {.rank = view->rank};
    memcpy(parts.dims, view->dims, sizeof(parts.dims));
    struct view target;
    const bool cut = espy_view_reshape(&y, &parts, &target);
    assert(cut); // dimensions are only divided
    (void)cut;
    espy_lower_copy(c, view, &target);
}

static espy_status lower(struct op_lower *c)
{
    const struct source s = {c->attrs, c->input_count, c->output_count, c->values};
    const struct view x = espy_lower_input(c, 0);
    TRY(espy_lower_status(c));
    for (uint32_t o = 0; o < c->output_count; o++) {
        if (!espy_lower_wants(c, o))
            continue;
        struct view view = x, whole;
        see(c->node, &s, o, &view);
        if (view.rank == c->outputs[o].shape.rank)
            espy_lower_alias(c, o, &view);
        else if (espy_view_reshape(&view, &c->outputs[o].shape, &whole))
            espy_lower_alias(c, o, &whole);
        else
            lower_parts(c, espy_view_channels_last(&x), &view);
    }
    return espy_lower_status(c);
}

// ---- table -----------------------------------------------------------------------------------------

static const struct op_attr transpose_attrs[] = {
    {.name = "perm",
     .type = OP_INTS,
     .offset = offsetof(struct restride_attrs, perm),
     .help = "the input's dimension for each of the output's; default: reversed"}};
static const struct op_attr split_attrs[] = {
    {.name = "axis",
     .type = OP_INT,
     .offset = offsetof(struct restride_attrs, axis),
     .help = "dimension that is cut; negative counts from the end"},
    {.name = "num_outputs",
     .type = OP_INT,
     .offset = offsetof(struct restride_attrs, num_outputs),
     .min = 0,
     .max = GRAPH_NODE_VALUES_MAX,
     .help = "number of equal parts when split is not given"}};
#define BLOCK_ATTR                                                                                 \
    {                                                                                              \
        .name = "blocksize", .type = OP_INT, .offset = offsetof(struct restride_attrs, blocksize), \
        .min = 1, .max = 32767, .required = true, .help = "pixels along one side of a block"       \
    }
static const char *const modes[] = {"DCR", "CRD", NULL};
static const struct op_attr depth_to_space_attrs[] = {
    BLOCK_ATTR,
    {.name = "mode",
     .type = OP_ENUM,
     .offset = offsetof(struct restride_attrs, mode),
     .choices = modes,
     .help = "order in the input's channels: DCR block, then channel; CRD channel, then block"}};
static const struct op_attr space_to_depth_attrs[] = {BLOCK_ATTR};

#define ATTRS(rows) .attrs = rows, .attr_count = sizeof(rows) / sizeof((rows)[0])
#define RESTRIDE(op_name, text, in_min, in_max, out_max, infer_fn, ...)                            \
    {                                                                                              \
        .name = op_name, .summary = text, .inputs_min = in_min, .inputs_max = in_max,              \
        .outputs_min = 1, .outputs_max = out_max, .attrs_size = sizeof(struct restride_attrs),     \
        .infer = infer_fn, .reference = reference, .lower = lower, __VA_ARGS__                     \
    }

static const struct op ops[] = {
    RESTRIDE("DepthToSpace", "channels become blocks of pixels", 1, 1, 1, infer_depth_to_space,
             ATTRS(depth_to_space_attrs)),
    RESTRIDE("Expand", "repeated to a larger shape, as in numpy's broadcasting", 2, 2, 1,
             infer_expand, .attrs = NULL),
    RESTRIDE("Slice", "from starts to before ends along axes, in steps", 3, 5, 1, infer_slice,
             .attrs = NULL),
    RESTRIDE("SpaceToDepth", "blocks of pixels become channels", 1, 1, 1, infer_space_to_depth,
             ATTRS(space_to_depth_attrs)),
    RESTRIDE("Split", "parts along one dimension", 1, 2, OP_VARIADIC, infer_split,
             ATTRS(split_attrs)),
    RESTRIDE("Transpose", "dimensions in another order", 1, 1, 1, infer_transpose,
             ATTRS(transpose_attrs)),
};

const struct op_family espy_ops_restride = {ops, sizeof(ops) / sizeof(ops[0])};
