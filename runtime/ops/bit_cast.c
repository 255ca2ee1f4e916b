// BitCast: the same bits as another type of the same size.
#include <string.h>

#include "op/lower.h"
#include "op/op.h"
#include "shaders/bit_cast.spv.h"
#include "shaders/include/bit_cast_codes.glsl"

struct bit_cast_attrs {
    espy_dtype to;
};

static espy_status infer(struct op_infer *c)
{
    const struct bit_cast_attrs *attrs = c->attrs;
    const espy_dtype from = c->inputs[0].dtype;
    if (espy_dtype_bits(attrs->to) != espy_dtype_bits(from))
        return espy_infer_fail(c, "%s and %s have different sizes", espy_dtype_name(from),
                               espy_dtype_name(attrs->to));
    espy_infer_copy(c, 0, 0);
    c->outputs[0].dtype = attrs->to;
    return ESPY_OK;
}

static void reference(struct op_eval *c)
{
    const struct tensor *x = &c->inputs[0];
    struct tensor *y = &c->outputs[0];
    if (y->count == 0)
        return;
    memcpy(y->data, x->data, espy_tensor_size(y));
    for (size_t i = 0; y->type.dtype == ESPY_BOOL && i < y->count; i++)
        espy_tensor_set_integer(y, i, espy_tensor_integer(x, i));
}

static void dispatch(struct op_lower *c, const struct view *x, const struct view *y)
{
    struct view views[2] = {*x, *y};
    struct bit_cast_spec spec = BIT_CAST_SPEC_DEFAULT;
    spec.local_size_x = c->caps->local_size;
    spec.rank = espy_view_collapse(views, 2);
    spec.width = espy_dtype_bits(y->dtype);
    spec.widening = y->dtype == ESPY_BOOL            ? BIT_CAST_BOOL
                    : espy_dtype_is_signed(y->dtype) ? BIT_CAST_SIGN
                                                     : BIT_CAST_ZEROS;
    struct bit_cast_push push = {.count = (uint32_t)espy_view_count(&views[0]),
                                 .x_offset = (int32_t)x->offset};
    for (uint32_t d = 0; d < views[0].rank; d++) {
        push.dims[d] = (uint32_t)views[0].dims[d];
        push.x_strides[d] = (int32_t)views[0].strides[d];
        push.y_strides[d] = (int32_t)views[1].strides[d];
    }
    struct op_dispatch made = {.shader = bit_cast_shaders.variants[VARIANT_NONE],
                               .bindings = {*x, *y},
                               .binding_count = 2,
                               .push = &push,
                               .push_size = sizeof(push),
                               .spec = &spec,
                               .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.count, spec.local_size_x, made.groups);
    espy_lower_dispatch(c, &made);
}

// Does device memory hold the type's own bits?
static bool is_exact(espy_dtype dtype)
{
    return dtype == ESPY_FLOAT32 || !espy_dtype_is_float(dtype);
}

static espy_status lower(struct op_lower *c)
{
    const struct bit_cast_attrs *attrs = c->attrs;
    const espy_dtype from = c->inputs[0].dtype;
    if (from != attrs->to && (!is_exact(from) || !is_exact(attrs->to)))
        return espy_lower_on_host(c, "bits of a type that the device holds as another");
    struct view x = espy_lower_input(c, 0);
    if (from == attrs->to) {
        espy_lower_alias(c, 0, &x);
        return espy_lower_status(c);
    }
    const struct view y = espy_lower_output_like(c, 0, &x);
    TRY(espy_lower_status(c));
    x.storage = y.storage; // words of the same size, whatever they stand for
    if (espy_dtype_bits(from) < 32)
        dispatch(c, &x, &y);
    else
        espy_lower_copy(c, &x, &y);
    return espy_lower_status(c);
}

static const struct op_attr attr_rows[] = {{.name = "to",
                                            .type = OP_DTYPE,
                                            .offset = offsetof(struct bit_cast_attrs, to),
                                            .required = true,
                                            .help = "type to read the bits as"}};

static const struct op ops[] = {{.name = "BitCast",
                                 .summary = "the same bits as another type of the same size",
                                 .flags = OP_NARROW,
                                 .inputs_min = 1,
                                 .inputs_max = 1,
                                 .outputs_min = 1,
                                 .outputs_max = 1,
                                 .attrs = attr_rows,
                                 .attr_count = sizeof(attr_rows) / sizeof(attr_rows[0]),
                                 .attrs_size = sizeof(struct bit_cast_attrs),
                                 .infer = infer,
                                 .reference = reference,
                                 .lower = lower}};

const struct op_family espy_ops_bit_cast = {ops, 1};
