// ConstantOfShape: a tensor whose elements are all one number. On the device, one element repeated.
#include "op/lower.h"
#include "op/op.h"

struct constant_of_shape_attrs {
    double value;
    espy_dtype dtype;
};

static espy_status infer(struct op_infer *c)
{
    const struct constant_of_shape_attrs *attrs = c->attrs;
    const struct op_type *list = &c->inputs[0];
    if (list->dtype != ESPY_INT64 || list->shape.rank != 1)
        return espy_infer_fail(c, "the shape must be a list of int64");
    if (list->shape.dims[0] > ESPY_RANK_MAX)
        return espy_infer_unsupported(c, "more than %d dimensions", ESPY_RANK_MAX);
    const struct tensor *dims = espy_infer_value(c, 0);
    if (dims == NULL)
        return espy_infer_wait(c);
    struct shape shape = {.rank = (uint32_t)dims->count};
    for (uint32_t d = 0; d < shape.rank; d++) {
        shape.dims[d] = espy_tensor_integer(dims, d);
        if (shape.dims[d] < 0)
            return espy_infer_fail(c, "dimension %u is %lld", d, (long long)shape.dims[d]);
    }
    c->outputs[0] = (struct op_type){attrs->dtype, shape};
    return ESPY_OK;
}

static void reference(struct op_eval *c)
{
    const struct constant_of_shape_attrs *attrs = c->attrs;
    for (size_t i = 0; i < c->outputs[0].count; i++)
        espy_tensor_set_number(&c->outputs[0], i, attrs->value);
}

static espy_status lower(struct op_lower *c)
{
    const struct constant_of_shape_attrs *attrs = c->attrs;
    const struct shape scalar = {.rank = 0};
    uint64_t bytes = 0; // room for an element of any type
    struct tensor element = {{attrs->dtype, scalar}, 1, &bytes};
    espy_tensor_set_number(&element, 0, attrs->value);
    const struct view one = espy_lower_constant(c, attrs->dtype, &scalar, &bytes);
    TRY(espy_lower_status(c));
    const struct view all = espy_view_broadcast(&one, &c->outputs[0].shape);
    espy_lower_alias(c, 0, &all);
    return espy_lower_status(c);
}

static const struct op_attr attrs_rows[] = {
    {.name = "value",
     .type = OP_DOUBLE,
     .offset = offsetof(struct constant_of_shape_attrs, value),
     .help = "of every element"},
    {.name = "dtype",
     .type = OP_DTYPE,
     .offset = offsetof(struct constant_of_shape_attrs, dtype),
     .fallback = ESPY_FLOAT32,
     .help = "type of the elements"}};

static const struct op ops[] = {{.name = "ConstantOfShape",
                                 .summary = "one number in every element",
                                 .flags = OP_NARROW,
                                 .inputs_min = 1,
                                 .inputs_max = 1,
                                 .outputs_min = 1,
                                 .outputs_max = 1,
                                 .attrs = attrs_rows,
                                 .attr_count = sizeof(attrs_rows) / sizeof(attrs_rows[0]),
                                 .attrs_size = sizeof(struct constant_of_shape_attrs),
                                 .infer = infer,
                                 .reference = reference,
                                 .lower = lower}};

const struct op_family espy_ops_constant_of_shape = {ops, sizeof(ops) / sizeof(ops[0])};
