// Softmax, LogSoftmax and Hardmax along one axis.
#include <math.h>
#include <string.h>

#include "op/axes.h"
#include "op/lower.h"
#include "op/op.h"
#include "ops/row_group.h"
#include "shaders/include/softmax_codes.glsl"
#include "shaders/softmax.spv.h"
#include "shaders/softmax_rows.spv.h"

struct softmax_attrs {
    int64_t axis;
};

static uint32_t function_of(const struct op_node *node)
{
    if (strcmp(node->op->name, "Softmax") == 0)
        return SOFTMAX_PLAIN;
    return strcmp(node->op->name, "LogSoftmax") == 0 ? SOFTMAX_LOG : SOFTMAX_HARD;
}

static uint32_t axis_of(const struct op_node *node, uint32_t rank)
{
    const struct softmax_attrs *attrs = node->attrs;
    return (uint32_t)(attrs->axis < 0 ? attrs->axis + (int64_t)rank : attrs->axis);
}

static espy_status infer(struct op_infer *c)
{
    const struct softmax_attrs *attrs = c->attrs;
    if (!espy_dtype_is_float(c->inputs[0].dtype))
        return espy_infer_fail(c, "takes floats, not %s", espy_dtype_name(c->inputs[0].dtype));
    uint32_t axis;
    TRY(espy_infer_axis(c, attrs->axis, c->inputs[0].shape.rank, &axis));
    espy_infer_copy(c, 0, 0);
    return ESPY_OK;
}

// One row: length elements, stride apart, from first on.
static void reference_row(struct op_eval *c, uint32_t function, size_t first, size_t length,
                          size_t stride)
{
    const struct tensor *x = &c->inputs[0];
    struct tensor *y = &c->outputs[0];
    size_t position = 0;
    double highest = -INFINITY, sum = 0;
    for (size_t i = 0; i < length; i++) {
        const double value = espy_tensor_number(x, first + i * stride);
        if (value > highest) {
            highest = value;
            position = i;
        }
    }
    for (size_t i = 0; i < length; i++)
        sum += exp(espy_tensor_number(x, first + i * stride) - highest);
    for (size_t i = 0; i < length; i++) {
        const double moved = espy_tensor_number(x, first + i * stride) - highest;
        const double value = function == SOFTMAX_PLAIN ? exp(moved) / sum
                             : function == SOFTMAX_LOG ? moved - log(sum)
                                                       : (double)(i == position);
        espy_tensor_set_number(y, first + i * stride, value);
    }
}

static void reference(struct op_eval *c)
{
    const struct shape *shape = &c->inputs[0].type.shape;
    const uint32_t axis = axis_of(c->node, shape->rank);
    const size_t length = (size_t)shape->dims[axis];
    size_t outer = 1, inner = 1;
    for (uint32_t d = 0; d < axis; d++)
        outer *= (size_t)shape->dims[d];
    for (uint32_t d = axis + 1; d < shape->rank; d++)
        inner *= (size_t)shape->dims[d];
    for (size_t o = 0; o < outer; o++)
        for (size_t i = 0; i < inner; i++)
            reference_row(c, function_of(c->node), o * length * inner + i, length, inner);
}

static void dispatch(struct op_lower *c, const struct view *bindings,
                     const struct softmax_push *push, const struct softmax_spec *spec)
{
    struct op_dispatch made = {.shader =
                                   softmax_shaders.variants[espy_variant(bindings[0].storage)],
                               .bindings = {bindings[0], bindings[1], bindings[2]},
                               .binding_count = 3,
                               .push = push,
                               .push_size = sizeof(*push),
                               .spec = spec,
                               .spec_size = sizeof(*spec)};
    espy_lower_grid(c, (size_t)push->rows * push->part_count, spec->local_size_x, made.groups);
    espy_lower_dispatch(c, &made);
}

// On GPUs. false: this is not for that kernel.
static bool lower_rows(struct op_lower *c, const struct view *x, const struct view *y,
                       const struct softmax_push *whole, const struct softmax_spec *usual)
{
    struct row_group group;
    if (usual->function == SOFTMAX_HARD ||
        !row_group_choose(c, whole->row_length, whole->x_step, &group))
        return false;
    struct softmax_rows_spec spec = SOFTMAX_ROWS_SPEC_DEFAULT;
    struct softmax_rows_push push = {.rows = whole->rows,
                                     .row_length = whole->row_length,
                                     .x_offset = whole->x_offset,
                                     .x_step = whole->x_step,
                                     .y_step = whole->y_step};
    memcpy(push.dims, whole->dims, sizeof(push.dims));
    memcpy(push.x_strides, whole->x_strides, sizeof(push.x_strides));
    memcpy(push.y_strides, whole->y_strides, sizeof(push.y_strides));
    ROW_GROUP_FILL(c, &group, &spec);
    spec.function = usual->function;
    spec.rank = usual->rank;
    LOWER_EPILOGUE(c, &spec, &push);
    struct op_dispatch made = {.shader = softmax_rows_shaders.variants[espy_variant(x->storage)],
                               .bindings = {*x, *y},
                               .binding_count = 2,
                               .push = &push,
                               .push_size = sizeof(push),
                               .spec = &spec,
                               .spec_size = sizeof(spec)};
    row_group_grid(c, &group, push.rows, made.groups);
    espy_lower_dispatch(c, &made);
    return true;
}

static espy_status lower(struct op_lower *c)
{
    const struct shape *shape = &c->inputs[0].shape;
    const uint32_t axis = axis_of(c->node, shape->rank), bit = UINT32_C(1) << axis;
    const struct view x = espy_axes_input(c, 0, bit, 1);
    const struct view y = espy_lower_output_like(c, 0, &x);
    TRY(espy_lower_status(c));
    struct view outer[2] = {espy_axes_select(&x, ~bit), espy_axes_select(&y, ~bit)};
    struct softmax_spec spec = SOFTMAX_SPEC_DEFAULT;
    struct softmax_push push = {.rows = (uint32_t)espy_view_count(&outer[0]),
                                .row_length = (uint32_t)shape->dims[axis],
                                .x_offset = (int32_t)x.offset,
                                .x_step = (int32_t)x.strides[axis],
                                .y_step = (int32_t)y.strides[axis]};
    int32_t strides[2][AXES_RANK_MAX];
    spec.local_size_x = c->caps->local_size;
    spec.function = function_of(c->node);
    spec.rank = espy_axes_fill(outer, 2, true, push.dims, strides[0]);
    memcpy(push.x_strides, strides[0], sizeof(push.x_strides));
    memcpy(push.y_strides, strides[1], sizeof(push.y_strides));
    if (lower_rows(c, &x, &y, &push, &spec))
        return espy_lower_status(c);
    push.part_length = espy_axes_part(c, push.rows, push.row_length);
    push.part_count = (push.row_length + push.part_length - 1) / push.part_length;
    LOWER_EPILOGUE(c, &spec, &push);
    if (push.part_count <= 1) {
        push.part_count = 1;
        dispatch(c, (const struct view[3]){x, y, y}, &push, &spec);
        return espy_lower_status(c);
    }
    const struct shape parts_shape = {2, {push.part_count, push.rows}};
    const struct view parts = espy_lower_temporary(c, ESPY_UINT64, &parts_shape);
    spec.stage = 1;
    dispatch(c, (const struct view[3]){x, parts, parts}, &push, &spec);
    spec.stage = 2;
    dispatch(c, (const struct view[3]){x, y, parts}, &push, &spec);
    return espy_lower_status(c);
}

static const struct op_attr attr_rows[] = {{.name = "axis",
                                            .type = OP_INT,
                                            .offset = offsetof(struct softmax_attrs, axis),
                                            .fallback = -1,
                                            .help = "the axis along which values sum to 1"}};

#define SOFTMAX(op_name, text)                                                                \
    {                                                                                         \
        .name = op_name, .summary = text, .inputs_min = 1, .inputs_max = 1, .outputs_min = 1, \
        .outputs_max = 1, .flags = OP_EPILOGUE, .attrs = attr_rows, .attr_count = 1,          \
        .attrs_size = sizeof(struct softmax_attrs), .infer = infer, .reference = reference,   \
        .lower = lower                                                                        \
    }

static const struct op ops[] = {
    SOFTMAX("Softmax", "exp(x) over the sum of exp(x) along an axis"),
    SOFTMAX("LogSoftmax", "logarithm of Softmax"),
    SOFTMAX("Hardmax", "1 at the first largest element along an axis, 0 elsewhere"),
};

const struct op_family espy_ops_softmax = {ops, sizeof(ops) / sizeof(ops[0])};
