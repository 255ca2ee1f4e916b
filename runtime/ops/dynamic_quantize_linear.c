// DynamicQuantizeLinear: quantization to uint8 with the scale that the tensor itself asks for.
#include "op/axes.h"
#include "op/lower.h"
#include "op/op.h"
#include "ops/quantize.h"
#include "shaders/dynamic_quantize_range.spv.h"
#include "shaders/dynamic_quantize_scale.spv.h"
#include "shaders/quantize.spv.h"

static espy_status infer(struct op_infer *c)
{
    if (c->inputs[0].dtype != ESPY_FLOAT32)
        return espy_infer_unsupported(c, "takes float32, not %s",
                                      espy_dtype_name(c->inputs[0].dtype));
    espy_infer_copy(c, 0, 0);
    c->outputs[0].dtype = ESPY_UINT8;
    c->outputs[1] = (struct op_type){.dtype = ESPY_FLOAT32};
    c->outputs[2] = (struct op_type){.dtype = ESPY_UINT8};
    return ESPY_OK;
}

static void reference(struct op_eval *c)
{
    const struct quantize_range range = quantize_range_of(ESPY_UINT8);
    const struct tensor *input = &c->inputs[0];
    const float *x = input->data;
    float lowest = 0, highest = 0; // 0 has to be exact, so it is in the range
    for (size_t i = 0; i < input->count; i++) {
        lowest = x[i] < lowest ? x[i] : lowest;
        highest = x[i] > highest ? x[i] : highest;
    }
    const float scale = lowest == highest ? 1 : (highest - lowest) / 255;
    const int64_t zero = quantize_round(-lowest / scale, 0, range);
    for (size_t i = 0; c->outputs[0].data != NULL && i < input->count; i++)
        espy_tensor_set_integer(&c->outputs[0], i, quantize_round(x[i] / scale, zero, range));
    if (c->outputs[1].data != NULL)
        espy_tensor_set_number(&c->outputs[1], 0, (double)scale);
    if (c->outputs[2].data != NULL)
        espy_tensor_set_integer(&c->outputs[2], 0, zero);
}

// Output o, or memory for it where nobody wants it.
static struct view output_or_temporary(struct op_lower *c, uint32_t o, espy_dtype dtype)
{
    const struct shape scalar = {0};
    return espy_lower_wants(c, o) ? espy_lower_output(c, o)
                                  : espy_lower_temporary(c, dtype, &scalar);
}

static void dispatch_scale(struct op_lower *c, const struct view *x, const struct view *scale,
                           const struct view *zero)
{
    const size_t count = espy_view_count(x);
    struct dynamic_quantize_range_spec range_spec = DYNAMIC_QUANTIZE_RANGE_SPEC_DEFAULT;
    struct dynamic_quantize_range_push range_push = {.count = (uint32_t)count,
                                                     .x_offset = (int32_t)x->offset};
    range_spec.local_size_x = c->caps->local_size;
    range_push.part_length = espy_axes_part(c, 1, count);
    range_push.part_count =
        (range_push.count + range_push.part_length - 1) / range_push.part_length;
    const struct shape parts_shape = {2, {range_push.part_count, 2}};
    const struct view parts = espy_lower_temporary(c, ESPY_FLOAT32, &parts_shape);
    struct op_dispatch made = {.shader = dynamic_quantize_range_shaders.variants[VARIANT_NONE],
                               .bindings = {*x, parts},
                               .binding_count = 2,
                               .push = &range_push,
                               .push_size = sizeof(range_push),
                               .spec = &range_spec,
                               .spec_size = sizeof(range_spec)};
    espy_lower_grid(c, range_push.part_count, range_spec.local_size_x, made.groups);
    espy_lower_dispatch(c, &made);
    struct dynamic_quantize_scale_spec spec = DYNAMIC_QUANTIZE_SCALE_SPEC_DEFAULT;
    const struct dynamic_quantize_scale_push push = {.part_count = range_push.part_count};
    spec.local_size_x = 1;
    made = (struct op_dispatch){.shader = dynamic_quantize_scale_shaders.variants[VARIANT_NONE],
                                .bindings = {parts, *scale, *zero},
                                .binding_count = 3,
                                .push = &push,
                                .push_size = sizeof(push),
                                .spec = &spec,
                                .spec_size = sizeof(spec),
                                .groups = {1, 1, 1}};
    espy_lower_dispatch(c, &made);
}

static espy_status lower(struct op_lower *c)
{
    struct view x = espy_lower_input(c, 0);
    if (!espy_view_contiguous(&x)) // every element has its turn, in whatever order they lie
        x = espy_lower_dense_input(c, 0);
    const struct view scale = output_or_temporary(c, 1, ESPY_FLOAT32);
    const struct view zero = output_or_temporary(c, 2, ESPY_UINT8);
    dispatch_scale(c, &x, &scale, &zero);
    if (!espy_lower_wants(c, 0))
        return espy_lower_status(c);
    const struct view y = espy_lower_output_like(c, 0, &x);
    TRY(espy_lower_status(c));
    struct quantize_spec spec = QUANTIZE_SPEC_DEFAULT;
    struct quantize_push push = {.count = (uint32_t)espy_view_count(&x),
                                 .x_offset = (int32_t)x.offset,
                                 .dims = {(uint32_t)espy_view_count(&x)},
                                 .x_strides = {1},
                                 .y_strides = {1}};
    spec.local_size_x = c->caps->local_size;
    spec.rank = 1;
    spec.has_zero = 1;
    struct op_dispatch made = {.shader = quantize_shaders.variants[VARIANT_F32],
                               .bindings = {x, scale, zero, y},
                               .binding_count = 4,
                               .push = &push,
                               .push_size = sizeof(push),
                               .spec = &spec,
                               .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.count, spec.local_size_x, made.groups);
    espy_lower_dispatch(c, &made);
    return espy_lower_status(c);
}

static const struct op ops[] = {
    {.name = "DynamicQuantizeLinear",
     .summary = "x as uint8, with the scale and zero point that cover its range and 0",
     .inputs_min = 1,
     .inputs_max = 1,
     .outputs_min = 3,
     .outputs_max = 3,
     .infer = infer,
     .reference = reference,
     .lower = lower}};

const struct op_family espy_ops_dynamic_quantize_linear = {ops, 1};
