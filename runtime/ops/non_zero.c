// NonZero: where a tensor is not zero, as one column of coordinates per element found.
#include "op/lower.h"
#include "op/op.h"
#include "ops/picks.h"
#include "shaders/non_zero.spv.h"

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

static espy_status bound(struct op_infer *c)
{
    const struct op_type *x = &c->inputs[0];
    size_t count;
    if (!picks_exactly(x->dtype) || !espy_shape_count(&x->shape, &count))
        return espy_infer_wait(c);
    c->outputs[0] =
        (struct op_type){ESPY_INT64, {.rank = 2, .dims = {x->shape.rank, (int64_t)count}}};
    c->counted[0] = 1;
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

static void list_coordinates(struct op_lower *c, const struct view *positions,
                             const struct view *count, const struct view *y)
{
    enum { RUN = 8 }; // of CPU drivers
    const struct shape *shape = &c->inputs[0].shape;
    struct non_zero_push push = {{0}};
    struct non_zero_spec spec = NON_ZERO_SPEC_DEFAULT;
    for (uint32_t d = 0; d < shape->rank; d++)
        push.dims[d] = (uint32_t)shape->dims[d];
    spec.local_size_x = c->caps->local_size;
    spec.rank = shape->rank;
    spec.run = c->caps->cpu ? RUN : 1;
    struct op_dispatch dispatch = {.shader = non_zero_shaders.variants[VARIANT_NONE],
                                   .bindings = {*positions, *count, *y},
                                   .binding_count = 3,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    const size_t most = (size_t)c->outputs[0].shape.dims[1];
    espy_lower_grid(c, (most + spec.run - 1) / spec.run, spec.local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
}

static espy_status lower(struct op_lower *c)
{
    if (!picks_exactly(c->inputs[0].dtype))
        return espy_lower_on_host(c, "float64 is float32 on the device");
    const struct view x = espy_lower_dense_input(c, 0), y = espy_lower_output(c, 0);
    const struct view count = espy_lower_count(c), masks = picks_masks(c, &x);
    const struct view sums = picks_sums(c, &masks, RANKS_MASKS, &count);
    const size_t most = (size_t)c->outputs[0].shape.dims[1];
    if (c->inputs[0].shape.rank == 0 || most == 0) // the count is all there is
        return espy_lower_status(c);
    const struct view positions = picks_positions(c, &masks, &sums, most);
    list_coordinates(c, &positions, &count, &y);
    return espy_lower_status(c);
}

static const struct op ops[] = {{.name = "NonZero",
                                 .summary = "coordinates of the elements that are not zero",
                                 .inputs_min = 1,
                                 .inputs_max = 1,
                                 .outputs_min = 1,
                                 .outputs_max = 1,
                                 .flags = OP_DATA_SHAPE,
                                 .infer = infer,
                                 .reference = reference,
                                 .lower = lower,
                                 .bound = bound}};

const struct op_family espy_ops_non_zero = {ops, sizeof(ops) / sizeof(ops[0])};
