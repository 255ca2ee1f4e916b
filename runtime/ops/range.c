// Range: start, start + delta and so on up to before limit. All three have to be known for the
// shape, so the device is given the numbers as a constant.
#include <math.h>

#include "op/lower.h"
#include "op/op.h"

static bool counts_integers(const struct tensor *start, const struct tensor *limit,
                            const struct tensor *delta, uint64_t *count)
{
    const int64_t first = espy_tensor_integer(start, 0), end = espy_tensor_integer(limit, 0);
    const int64_t step = espy_tensor_integer(delta, 0);
    const bool wide = start->type.dtype == ESPY_UINT64;
    if (step == 0)
        return false;
    // Distances are taken without a sign, where they cannot overflow.
    const bool up = wide || step > 0;
    const bool any = wide ? (uint64_t)first < (uint64_t)end : up ? first < end : first > end;
    const uint64_t distance =
        up ? (uint64_t)end - (uint64_t)first : (uint64_t)first - (uint64_t)end;
    const uint64_t size = up ? (uint64_t)step : 0 - (uint64_t)step;
    *count = any ? (distance - 1) / size + 1 : 0;
    return true;
}

static bool counts_floats(const struct tensor *start, const struct tensor *limit,
                          const struct tensor *delta, uint64_t *count)
{
    const double steps = ceil((espy_tensor_number(limit, 0) - espy_tensor_number(start, 0)) /
                              espy_tensor_number(delta, 0));
    if (espy_tensor_number(delta, 0) == 0 || !(steps < (double)INT64_MAX)) // NaN too
        return false;
    *count = steps > 0 ? (uint64_t)steps : 0;
    return true;
}

static espy_status infer(struct op_infer *c)
{
    const struct tensor *numbers[3];
    const espy_dtype dtype = c->inputs[0].dtype;
    if (dtype == ESPY_BOOL)
        return espy_infer_fail(c, "cannot count in bool");
    TRY(espy_infer_same_dtype(c, 0, 3));
    for (uint32_t i = 0; i < 3; i++) {
        size_t count;
        if (!espy_shape_count(&c->inputs[i].shape, &count) || count != 1)
            return espy_infer_fail(c, "input %u must be one number", i);
        numbers[i] = espy_infer_value(c, i);
        if (numbers[i] == NULL)
            return espy_infer_wait(c);
    }
    uint64_t count;
    const bool counted = espy_dtype_is_float(dtype)
                             ? counts_floats(numbers[0], numbers[1], numbers[2], &count)
                             : counts_integers(numbers[0], numbers[1], numbers[2], &count);
    if (!counted || count > INT64_MAX)
        return espy_infer_fail(c, "does not end");
    c->outputs[0] = (struct op_type){dtype, {.rank = 1, .dims = {(int64_t)count}}};
    return ESPY_OK;
}

static void fill(const struct tensor *numbers, struct tensor *y)
{
    if (espy_dtype_is_float(y->type.dtype)) {
        const double start = espy_tensor_number(&numbers[0], 0);
        const double delta = espy_tensor_number(&numbers[2], 0);
        for (size_t i = 0; i < y->count; i++)
            espy_tensor_set_number(y, i, start + (double)i * delta);
        return;
    }
    const uint64_t start = (uint64_t)espy_tensor_integer(&numbers[0], 0);
    const uint64_t delta = (uint64_t)espy_tensor_integer(&numbers[2], 0);
    for (size_t i = 0; i < y->count; i++)
        espy_tensor_set_integer(y, i, (int64_t)(start + i * delta));
}

static void reference(struct op_eval *c)
{
    fill(c->inputs, &c->outputs[0]);
}

static espy_status lower(struct op_lower *c)
{
    struct tensor y = {c->outputs[0], (size_t)c->outputs[0].shape.dims[0], NULL};
    y.data = espy_arena_array(c->arena, y.count, espy_dtype_size(y.type.dtype));
    if (y.data == NULL)
        return ESPY_OUT_OF_MEMORY;
    fill(c->values, &y);
    const struct view view = espy_lower_constant(c, y.type.dtype, &y.type.shape, y.data);
    espy_lower_alias(c, 0, &view);
    return espy_lower_status(c);
}

static const struct op ops[] = {{.name = "Range",
                                 .summary = "start, start + delta, ... up to before limit",
                                 .inputs_min = 3,
                                 .inputs_max = 3,
                                 .outputs_min = 1,
                                 .outputs_max = 1,
                                 .infer = infer,
                                 .reference = reference,
                                 .lower = lower}};

const struct op_family espy_ops_range = {ops, sizeof(ops) / sizeof(ops[0])};
