// Operators that give a tensor another shape and leave its elements as they are.
#include <string.h>

#include "op/lower.h"
#include "op/op.h"

struct reshape_attrs {
    bool allowzero; // Reshape
    int64_t axis;   // Flatten
    int64_t seed;   // Dropout
};

static espy_status infer_identity(struct op_infer *c)
{
    espy_infer_copy(c, 0, 0);
    return ESPY_OK;
}

// Input i as a list of at most `max` numbers; NULL and ESPY_OK: its value is not known yet.
static espy_status known_list(struct op_infer *c, uint32_t i, uint32_t max,
                              const struct tensor **list)
{
    const struct op_type *type = &c->inputs[i];
    if (type->dtype != ESPY_INT64 || type->shape.rank != 1)
        return espy_infer_fail(c, "input %u must be a list of int64", i);
    if (type->shape.dims[0] > max)
        return espy_infer_unsupported(c, "input %u has %lld entries, at most %u are possible", i,
                                      (long long)type->shape.dims[0], max);
    *list = espy_infer_value(c, i);
    return ESPY_OK;
}

// Fills in the dimension that was given as -1. kept: bit i: the new dimension i is the old one.
static espy_status infer_missing_dim(struct op_infer *c, uint32_t kept, uint32_t missing,
                                     struct shape *shape)
{
    size_t count = 1, known = 1;
    struct shape from = c->inputs[0].shape, to = *shape;
    to.dims[missing] = 1;
    // A size that stays, such as a batch of nothing, does not matter to the others.
    for (uint32_t i = 0; i < to.rank && i < from.rank; i++)
        if ((kept >> i & 1) != 0 && from.dims[i] == 0)
            from.dims[i] = to.dims[i] = 1;
    if (!espy_shape_count(&from, &count) || !espy_shape_count(&to, &known))
        return espy_infer_fail(c, "the new shape is too large");
    if (known == 0 || count % known != 0)
        return espy_infer_fail(c, "%zu elements do not divide into parts of %zu", count, known);
    shape->dims[missing] = (int64_t)(count / known);
    return ESPY_OK;
}

static espy_status infer_reshape(struct op_infer *c)
{
    const struct reshape_attrs *attrs = c->attrs;
    const struct shape *from = &c->inputs[0].shape;
    const struct tensor *list = NULL;
    TRY(known_list(c, 1, ESPY_RANK_MAX, &list));
    if (list == NULL)
        return espy_infer_wait(c);
    struct shape shape = {.rank = (uint32_t)list->count};
    uint32_t missing = GRAPH_NONE, kept = 0;
    bool zero = false;
    for (uint32_t i = 0; i < shape.rank; i++) {
        const int64_t dim = espy_tensor_integer(list, i);
        if (dim < -1 || (dim == -1 && missing != GRAPH_NONE))
            return espy_infer_fail(c, "dimension %u of the new shape is %lld", i, (long long)dim);
        if (dim == -1)
            missing = i;
        if (dim == 0 && !attrs->allowzero && i >= from->rank)
            return espy_infer_fail(c, "the new shape keeps dimension %u, which is not there", i);
        zero = zero || dim == 0;
        kept |= dim == 0 && !attrs->allowzero ? UINT32_C(1) << i : 0;
        shape.dims[i] = dim == 0 && !attrs->allowzero ? from->dims[i] : dim;
    }
    if (attrs->allowzero && zero && missing != GRAPH_NONE)
        return espy_infer_fail(c, "the new shape has both 0 and -1");
    size_t count, new_count;
    if (!espy_shape_count(from, &count))
        return espy_infer_fail(c, "the input is too large");
    if (missing != GRAPH_NONE)
        TRY(infer_missing_dim(c, kept, missing, &shape));
    if (!espy_shape_count(&shape, &new_count) || new_count != count) {
        char old_text[128], new_text[128];
        return espy_infer_fail(c, "%s cannot become %s",
                               espy_shape_text(from, old_text, sizeof(old_text)),
                               espy_shape_text(&shape, new_text, sizeof(new_text)));
    }
    c->outputs[0] = (struct op_type){c->inputs[0].dtype, shape};
    return ESPY_OK;
}

static espy_status infer_flatten(struct op_infer *c)
{
    const struct reshape_attrs *attrs = c->attrs;
    const struct shape *from = &c->inputs[0].shape;
    const int64_t rank = from->rank;
    if (attrs->axis < -rank || attrs->axis > rank)
        return espy_infer_fail(c, "axis %lld is outside a tensor of rank %lld",
                               (long long)attrs->axis, (long long)rank);
    const int64_t axis = attrs->axis < 0 ? attrs->axis + rank : attrs->axis;
    struct shape shape = {.rank = 2, .dims = {1, 1}};
    for (int64_t i = 0; i < rank; i++) {
        size_t product;
        if (!espy_checked_mul((size_t)shape.dims[i >= axis], (size_t)from->dims[i], &product) ||
            product > INT64_MAX)
            return espy_infer_fail(c, "the input is too large");
        shape.dims[i >= axis] = (int64_t)product;
    }
    c->outputs[0] = (struct op_type){c->inputs[0].dtype, shape};
    return ESPY_OK;
}

// Marks the axes that list names in a tensor of this rank.
static espy_status mark_axes(struct op_infer *c, const struct tensor *list, uint32_t rank,
                             bool *marks)
{
    for (size_t i = 0; i < list->count; i++) {
        uint32_t axis;
        TRY(espy_infer_axis(c, espy_tensor_integer(list, i), rank, &axis));
        if (marks[axis])
            return espy_infer_fail(c, "axis %u is given twice", axis);
        marks[axis] = true;
    }
    return ESPY_OK;
}

static espy_status infer_squeeze(struct op_infer *c)
{
    const struct shape *from = &c->inputs[0].shape;
    bool marks[ESPY_RANK_MAX] = {false};
    const bool has_axes = espy_infer_has(c, 1);
    if (has_axes) {
        const struct tensor *list = NULL;
        TRY(known_list(c, 1, from->rank, &list));
        if (list == NULL)
            return espy_infer_wait(c);
        TRY(mark_axes(c, list, from->rank, marks));
    }
    struct shape shape = {.rank = 0};
    for (uint32_t i = 0; i < from->rank; i++) {
        if (marks[i] && from->dims[i] != 1)
            return espy_infer_fail(c, "axis %u has %lld elements, not 1", i,
                                   (long long)from->dims[i]);
        if (has_axes ? !marks[i] : from->dims[i] != 1)
            shape.dims[shape.rank++] = from->dims[i];
    }
    c->outputs[0] = (struct op_type){c->inputs[0].dtype, shape};
    return ESPY_OK;
}

static espy_status infer_unsqueeze(struct op_infer *c)
{
    const struct shape *from = &c->inputs[0].shape;
    const struct tensor *list = NULL;
    TRY(known_list(c, 1, ESPY_RANK_MAX - from->rank, &list));
    if (list == NULL)
        return espy_infer_wait(c);
    struct shape shape = {.rank = from->rank + (uint32_t)list->count};
    bool marks[ESPY_RANK_MAX] = {false};
    TRY(mark_axes(c, list, shape.rank, marks));
    for (uint32_t i = 0, next = 0; i < shape.rank; i++)
        shape.dims[i] = marks[i] ? 1 : from->dims[next++];
    c->outputs[0] = (struct op_type){c->inputs[0].dtype, shape};
    return ESPY_OK;
}

// Training is fine where it drops nothing, ratio 0; c->needs is set when that is not known yet.
static espy_status check_ratio(struct op_infer *c)
{
    size_t count;
    if (!espy_infer_has(c, 1))
        return espy_infer_unsupported(c, "training mode is not supported");
    if (!espy_shape_count(&c->inputs[1].shape, &count) || count != 1)
        return espy_infer_fail(c, "ratio must be one number");
    const struct tensor *ratio = espy_infer_value(c, 1);
    if (ratio != NULL && espy_tensor_number(ratio, 0) != 0)
        return espy_infer_unsupported(c, "training mode is not supported");
    return ESPY_OK;
}

// A network that is run, not trained: nothing is dropped and the mask is all true.
static espy_status infer_dropout(struct op_infer *c)
{
    if (espy_infer_has(c, 2)) {
        if (c->inputs[2].dtype != ESPY_BOOL || c->inputs[2].shape.rank != 0)
            return espy_infer_fail(c, "training_mode must be one bool");
        const struct tensor *training = espy_infer_value(c, 2);
        if (training == NULL)
            return espy_infer_wait(c);
        if (espy_tensor_integer(training, 0) != 0)
            TRY(check_ratio(c));
        if (c->needs != GRAPH_NONE)
            return espy_infer_wait(c);
    }
    espy_infer_copy(c, 0, 0);
    if (c->output_count > 1)
        c->outputs[1] = (struct op_type){ESPY_BOOL, c->inputs[0].shape};
    return ESPY_OK;
}

static void reference(struct op_eval *c)
{
    if (c->outputs[0].data != NULL)
        memcpy(c->outputs[0].data, c->inputs[0].data, espy_tensor_size(&c->outputs[0]));
    for (size_t i = 0; c->output_count > 1 && c->outputs[1].data != NULL && i < c->outputs[1].count;
         i++)
        espy_tensor_set_integer(&c->outputs[1], i, 1);
}

static espy_status lower(struct op_lower *c)
{
    if (espy_lower_wants(c, 0)) {
        const struct shape *shape = &c->outputs[0].shape;
        struct view x = espy_lower_input(c, 0), y;
        TRY(espy_lower_status(c));
        if (!espy_view_reshape(&x, shape, &y)) {
            x = espy_lower_dense_input(c, 0);
            y = espy_view_reshaped_dense(&x, shape);
        }
        espy_lower_alias(c, 0, &y);
    }
    if (espy_lower_wants(c, 1)) { // Dropout's mask: one true element, repeated
        const struct view one =
            espy_lower_constant(c, ESPY_BOOL, &(struct shape){.rank = 0}, &(uint8_t){1});
        TRY(espy_lower_status(c));
        const struct view mask = espy_view_broadcast(&one, &c->outputs[1].shape);
        espy_lower_alias(c, 1, &mask);
    }
    return espy_lower_status(c);
}

static const struct op_attr dropout_attrs[] = {
    {.name = "seed",
     .type = OP_INT,
     .offset = offsetof(struct reshape_attrs, seed),
     .help = "of the random numbers in training; not used"}};
static const struct op_attr flatten_attrs[] = {
    {.name = "axis",
     .type = OP_INT,
     .offset = offsetof(struct reshape_attrs, axis),
     .fallback = 1,
     .help = "first dimension of those that become the columns"}};
static const struct op_attr reshape_attrs_rows[] = {
    {.name = "allowzero",
     .type = OP_BOOL,
     .offset = offsetof(struct reshape_attrs, allowzero),
     .help = "1: a 0 in shape means no elements; 0: it keeps the input's dimension"}};

#define ATTRS(rows) .attrs = rows, .attr_count = sizeof(rows) / sizeof((rows)[0])
#define RESHAPE(op_name, text, in_min, in_max, out_max, infer_fn, ...)                         \
    {                                                                                          \
        .name = op_name, .summary = text, .inputs_min = in_min, .inputs_max = in_max,          \
        .outputs_min = 1, .outputs_max = out_max, .flags = OP_NARROW,                          \
        .attrs_size = sizeof(struct reshape_attrs), .infer = infer_fn, .reference = reference, \
        .lower = lower, __VA_ARGS__                                                            \
    }

static const struct op ops[] = {
    RESHAPE("Dropout", "its input, because nothing is trained; mask: all true", 1, 3, 2,
            infer_dropout, ATTRS(dropout_attrs)),
    RESHAPE("Flatten", "a matrix: dimensions before axis are the rows", 1, 1, 1, infer_flatten,
            ATTRS(flatten_attrs)),
    RESHAPE("Identity", "its input", 1, 1, 1, infer_identity, .attrs = NULL),
    RESHAPE("Reshape", "another shape; -1 is what remains", 2, 2, 1, infer_reshape,
            ATTRS(reshape_attrs_rows)),
    RESHAPE("Squeeze", "without the dimensions of 1 that axes names", 1, 2, 1, infer_squeeze,
            .attrs = NULL),
    RESHAPE("Unsqueeze", "with dimensions of 1 at axes of the result", 2, 2, 1, infer_unsqueeze,
            .attrs = NULL),
};

const struct op_family espy_ops_reshape = {ops, sizeof(ops) / sizeof(ops[0])};
