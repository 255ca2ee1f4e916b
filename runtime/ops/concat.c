// Concat: every input is copied to its place in the output.
#include "op/lower.h"
#include "op/op.h"

struct concat_attrs {
    int64_t axis;
};

static const struct op_attr rows[] = {{.name = "axis",
                                       .type = OP_INT,
                                       .offset = offsetof(struct concat_attrs, axis),
                                       .required = true,
                                       .help = "the dimension along which the inputs follow"}};

static uint32_t axis_of(const struct concat_attrs *attrs, uint32_t rank)
{
    return (uint32_t)(attrs->axis < 0 ? attrs->axis + (int64_t)rank : attrs->axis);
}

static espy_status infer(struct op_infer *c)
{
    const struct concat_attrs *attrs = c->attrs;
    const struct shape *first = &c->inputs[0].shape;
    uint32_t axis;
    TRY(espy_infer_axis(c, attrs->axis, first->rank, &axis));
    TRY(espy_infer_same_dtype(c, 0, c->input_count));
    espy_infer_copy(c, 0, 0);
    for (uint32_t i = 1; i < c->input_count; i++) {
        const struct shape *shape = &c->inputs[i].shape;
        if (!espy_infer_has(c, i))
            return espy_infer_fail(c, "input %u is missing", i);
        for (uint32_t d = 0; d < first->rank; d++) {
            if (shape->rank == first->rank && (d == axis || shape->dims[d] == first->dims[d]))
                continue;
            char a[128], b[128];
            return espy_infer_fail(c, "input %u of shape %s does not follow one of shape %s", i,
                                   espy_shape_text(shape, a, sizeof(a)),
                                   espy_shape_text(first, b, sizeof(b)));
        }
        int64_t *sum = &c->outputs[0].shape.dims[axis];
        if (shape->dims[axis] > INT64_MAX - *sum)
            return espy_infer_fail(c, "the result would be too large");
        *sum += shape->dims[axis];
    }
    return ESPY_OK;
}

static void reference(struct op_eval *c)
{
    const struct shape *y = &c->outputs[0].type.shape;
    const uint32_t axis = axis_of(c->attrs, y->rank);
    size_t outer = 1, inner = 1, to = 0;
    for (uint32_t d = 0; d < y->rank; d++)
        *(d < axis ? &outer : &inner) *= d == axis ? 1 : (size_t)y->dims[d];
    for (size_t o = 0; o < outer; o++) {
        for (uint32_t i = 0; i < c->input_count; i++) {
            const size_t run = inner * (size_t)c->inputs[i].type.shape.dims[axis];
            espy_tensor_move(&c->outputs[0], to, &c->inputs[i], o * run, run);
            to += run;
        }
    }
}

static espy_status lower(struct op_lower *c)
{
    if (espy_lower_joined_output(c))
        return espy_lower_status(c);
    // The largest input decides the layout: most elements then move in runs.
    uint32_t largest = 0;
    for (uint32_t i = 1; i < c->input_count; i++) {
        size_t a, b;
        espy_shape_count(&c->inputs[i].shape, &a); // cannot overflow: they are inputs
        espy_shape_count(&c->inputs[largest].shape, &b);
        if (a > b)
            largest = i;
    }
    const struct view like = espy_lower_input(c, largest);
    struct view part = espy_lower_output_like(c, 0, &like);
    const uint32_t axis = axis_of(c->attrs, c->outputs[0].shape.rank);
    for (uint32_t i = 0; i < c->input_count && part.buffer != VIEW_NONE; i++) {
        const struct view x = espy_lower_input(c, i);
        part.dims[axis] = c->inputs[i].shape.dims[axis];
        if (espy_view_count(&part) > 0)
            espy_lower_copy(c, &x, &part);
        part.offset += part.strides[axis] * part.dims[axis];
    }
    return espy_lower_status(c);
}

static const struct op ops[] = {{.name = "Concat",
                                 .summary = "the inputs one after another along a dimension",
                                 .flags = OP_NARROW | OP_GAPS,
                                 .inputs_min = 1,
                                 .inputs_max = OP_VARIADIC,
                                 .outputs_min = 1,
                                 .outputs_max = 1,
                                 .attrs = rows,
                                 .attr_count = sizeof(rows) / sizeof(rows[0]),
                                 .attrs_size = sizeof(struct concat_attrs),
                                 .infer = infer,
                                 .reference = reference,
                                 .lower = lower}};

const struct op_family espy_ops_concat = {ops, 1};
