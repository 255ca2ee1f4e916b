// What is known about a tensor without looking at its elements: Shape and Size.
#include "op/lower.h"
#include "op/op.h"

struct shape_attrs {
    int64_t start, end;
};

// The end that means "to the last dimension": no tensor has this rank.
#define END_ABSENT 1000000

static int64_t clamp_axis(int64_t axis, int64_t rank)
{
    if (axis < 0)
        axis += rank;
    return axis < 0 ? 0 : axis > rank ? rank : axis;
}

// The dimensions that the node asks for: [*start, the result).
static int64_t range_of(const struct shape_attrs *attrs, int64_t rank, int64_t *start)
{
    const int64_t end = clamp_axis(attrs->end, rank);
    *start = clamp_axis(attrs->start, rank);
    return end > *start ? end : *start;
}

static espy_status infer_shape(struct op_infer *c)
{
    int64_t start;
    const int64_t end = range_of(c->attrs, c->inputs[0].shape.rank, &start);
    c->outputs[0] = (struct op_type){ESPY_INT64, {.rank = 1, .dims = {end - start}}};
    return ESPY_OK;
}

static espy_status infer_size(struct op_infer *c)
{
    c->outputs[0] = (struct op_type){ESPY_INT64, {.rank = 0}};
    return ESPY_OK;
}

static void reference_shape(struct op_eval *c)
{
    const struct shape *shape = &c->inputs[0].type.shape;
    int64_t start;
    const int64_t end = range_of(c->attrs, shape->rank, &start);
    for (int64_t i = start; i < end; i++)
        espy_tensor_set_integer(&c->outputs[0], (size_t)(i - start), shape->dims[i]);
}

static void reference_size(struct op_eval *c)
{
    size_t count = 0;
    if (!espy_shape_count(&c->inputs[0].type.shape, &count))
        espy_eval_fail(c, ESPY_INVALID_ARGUMENT, "the input is too large");
    espy_tensor_set_integer(&c->outputs[0], 0, (int64_t)count);
}

static const struct op_attr shape_rows[] = {
    {.name = "start",
     .type = OP_INT,
     .offset = offsetof(struct shape_attrs, start),
     .help = "first dimension; negative counts from the end"},
    {.name = "end",
     .type = OP_INT,
     .offset = offsetof(struct shape_attrs, end),
     .fallback = END_ABSENT,
     .help = "dimension after the last one; default: all"}};

// Evaluated when the plan is made, so there is no kernel.
static const struct op ops[] = {
    {.name = "Shape",
     .summary = "the dimensions as a list of int64",
     .inputs_min = 1,
     .inputs_max = 1,
     .outputs_min = 1,
     .outputs_max = 1,
     .flags = OP_NARROW | OP_SHAPE_ONLY | OP_HOST_ONLY,
     .attrs = shape_rows,
     .attr_count = sizeof(shape_rows) / sizeof(shape_rows[0]),
     .attrs_size = sizeof(struct shape_attrs),
     .infer = infer_shape,
     .reference = reference_shape},
    {.name = "Size",
     .summary = "the number of elements",
     .inputs_min = 1,
     .inputs_max = 1,
     .outputs_min = 1,
     .outputs_max = 1,
     .flags = OP_NARROW | OP_SHAPE_ONLY | OP_HOST_ONLY,
     .infer = infer_size,
     .reference = reference_size},
};

const struct op_family espy_ops_shape = {ops, sizeof(ops) / sizeof(ops[0])};
