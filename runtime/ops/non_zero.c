// NonZero: where a tensor is not zero, as one column of coordinates per element found.
#include "op/op.h"

static bool is_zero(const struct tensor *x, size_t index)
{
    return espy_dtype_is_float(x->type.dtype) ? espy_tensor_number(x, index) == 0
                                              : espy_tensor_integer(x, index) == 0;
}

static espy_status infer(struct op_infer *c)
{
    const struct tensor *x = espy_infer_value(c, 0);
    if (x == NULL)
        return espy_infer_wait(c);
    int64_t found = 0;
    for (size_t i = 0; i < x->count; i++)
        found += !is_zero(x, i);
    // Of a scalar the coordinates are none, and yet there may be one of it.
    c->outputs[0] = (struct op_type){ESPY_INT64, {.rank = 2, .dims = {x->type.shape.rank, found}}};
    return ESPY_OK;
}

static void reference(struct op_eval *c)
{
    const struct tensor *x = &c->inputs[0];
    const struct shape *shape = &x->type.shape;
    const size_t found = (size_t)c->outputs[0].type.shape.dims[1];
    size_t column = 0;
    for (size_t i = 0; i < x->count; i++) {
        if (is_zero(x, i))
            continue;
        size_t rest = i;
        for (uint32_t d = shape->rank; d-- > 0;) {
            const size_t dim = (size_t)shape->dims[d];
            espy_tensor_set_integer(&c->outputs[0], d * found + column, (int64_t)(rest % dim));
            rest /= dim;
        }
        column++;
    }
}

static const struct op ops[] = {{.name = "NonZero",
                                 .summary = "coordinates of the elements that are not zero",
                                 .inputs_min = 1,
                                 .inputs_max = 1,
                                 .outputs_min = 1,
                                 .outputs_max = 1,
                                 .flags = OP_HOST_ONLY | OP_DATA_SHAPE,
                                 .infer = infer,
                                 .reference = reference}};

const struct op_family espy_ops_non_zero = {ops, sizeof(ops) / sizeof(ops[0])};
