// Pointwise operators whose result has another type, and those that look at bits: Cast, CastLike,
// Not, BitwiseNot, IsNaN, IsInf. Floats become integers towards zero; what an int64 cannot hold
// becomes the nearest that it can, NaN 0, and narrower integers keep their low bits.
// Floats below 16 bits are rounded to as ONNX's tables for Cast say.
#include <math.h>

#include "op/axes.h"
#include "op/lower.h"
#include "op/op.h"
#include "ops/small_float.h"
#include "shaders/cast.spv.h"
#include "shaders/include/cast_codes.glsl"

enum { CPU_RUN = 16 }; // enough that starting an invocation is small beside its work

struct cast_attrs {
    espy_dtype to;                         // Cast
    bool saturate;                         // Cast, CastLike: to floats of 8 bits
    int round_mode;                        // to float8e8m0: enum float_rounding
    bool detect_negative, detect_positive; // IsInf
};

static espy_status infer_cast(struct op_infer *c)
{
    const struct cast_attrs *attrs = c->attrs;
    const espy_dtype to = c->input_count > 1 ? c->inputs[1].dtype : attrs->to;
    c->outputs[0] = (struct op_type){to, c->inputs[0].shape};
    return ESPY_OK;
}

static espy_status infer_not(struct op_infer *c)
{
    if (c->inputs[0].dtype != ESPY_BOOL)
        return espy_infer_fail(c, "takes bool, not %s", espy_dtype_name(c->inputs[0].dtype));
    espy_infer_copy(c, 0, 0);
    return ESPY_OK;
}

static espy_status infer_bitwise_not(struct op_infer *c)
{
    const espy_dtype dtype = c->inputs[0].dtype;
    if (dtype == ESPY_BOOL || espy_dtype_is_float(dtype))
        return espy_infer_fail(c, "takes integers, not %s", espy_dtype_name(dtype));
    espy_infer_copy(c, 0, 0);
    return ESPY_OK;
}

static espy_status infer_test(struct op_infer *c)
{
    if (!espy_dtype_is_float(c->inputs[0].dtype))
        return espy_infer_fail(c, "takes floats, not %s", espy_dtype_name(c->inputs[0].dtype));
    c->outputs[0] = (struct op_type){ESPY_BOOL, c->inputs[0].shape};
    return ESPY_OK;
}

// ---- reference ----------------------------------------------------------------------------------

static void reference_cast(struct op_eval *c)
{
    const struct cast_attrs *attrs = c->attrs;
    const struct tensor *x = &c->inputs[0];
    const espy_dtype to = c->outputs[0].type.dtype;
    const bool floats = espy_dtype_is_float(x->type.dtype) || espy_dtype_is_float(to);
    for (size_t i = 0; i < x->count; i++) {
        if (espy_dtype_float_form(to) != NULL)
            espy_tensor_set_small(&c->outputs[0], i, espy_tensor_number(x, i), attrs->saturate,
                                  (enum float_rounding)attrs->round_mode);
        else if (floats)
            espy_tensor_set_number(&c->outputs[0], i, espy_tensor_number(x, i));
        else
            espy_tensor_set_integer(&c->outputs[0], i, espy_tensor_integer(x, i));
    }
}

static void reference_not(struct op_eval *c)
{
    for (size_t i = 0; i < c->inputs[0].count; i++)
        espy_tensor_set_integer(&c->outputs[0], i, espy_tensor_integer(&c->inputs[0], i) == 0);
}

static void reference_bitwise_not(struct op_eval *c)
{
    for (size_t i = 0; i < c->inputs[0].count; i++)
        espy_tensor_set_integer(&c->outputs[0], i, ~espy_tensor_integer(&c->inputs[0], i));
}

static void reference_is_nan(struct op_eval *c)
{
    for (size_t i = 0; i < c->inputs[0].count; i++)
        espy_tensor_set_integer(&c->outputs[0], i, isnan(espy_tensor_number(&c->inputs[0], i)));
}

static void reference_is_inf(struct op_eval *c)
{
    const struct cast_attrs *attrs = c->attrs;
    for (size_t i = 0; i < c->inputs[0].count; i++) {
        const double x = espy_tensor_number(&c->inputs[0], i);
        const bool wanted = x < 0 ? attrs->detect_negative : attrs->detect_positive;
        espy_tensor_set_integer(&c->outputs[0], i, isinf(x) && wanted);
    }
}

// ---- lower --------------------------------------------------------------------------------------

static uint32_t kind_of(const struct view *x)
{
    switch (x->storage) {
    case STORAGE_F32:
        return KIND_F32;
    case STORAGE_F16:
        return KIND_F16;
    case STORAGE_U32:
        return KIND_U32;
    case STORAGE_I64:
        return x->dtype == ESPY_UINT64 ? KIND_U64 : KIND_I64;
    default:
        return KIND_I32;
    }
}

static uint32_t target_of(const struct op_lower *c, espy_dtype dtype)
{
    if (dtype == ESPY_BFLOAT16)
        return TARGET_BFLOAT16;
    if (espy_dtype_float_form(dtype) != NULL ||
        (dtype == ESPY_FLOAT16 && espy_lower_storage(c, dtype) != STORAGE_F16))
        return TARGET_SMALL;
    if (espy_dtype_is_float(dtype))
        return TARGET_FLOAT;
    if (dtype == ESPY_BOOL)
        return TARGET_BOOL;
    return espy_dtype_is_signed(dtype) ? TARGET_SIGNED : TARGET_UNSIGNED;
}

// Elements of the one type lie in memory just as those of the other with the same values do.
static bool same_words(const struct op_lower *c, espy_dtype from, espy_dtype to)
{
    if (from == to)
        return true;
    if (espy_lower_storage(c, to) != espy_lower_storage(c, from))
        return false;
    if (espy_dtype_is_float(to))
        return to == ESPY_FLOAT32 || to == ESPY_FLOAT64;
    if (espy_lower_storage(c, from) == STORAGE_I64)
        return true;
    const bool fits_sign = espy_dtype_is_signed(to) || !espy_dtype_is_signed(from);
    const bool wider = espy_dtype_bits(to) > espy_dtype_bits(from);
    return to != ESPY_BOOL && fits_sign && (from == ESPY_BOOL || wider);
}

// Splits the rows of views (y, x), whose dimensions are in the order of y's memory, into runs.
static void fill_push(const struct op_lower *c, const struct view *views, struct cast_push *push)
{
    const struct view *y = &views[0], *x = &views[1];
    const uint32_t inner = (uint32_t)y->dims[y->rank - 1], run_max = c->caps->cpu ? CPU_RUN : 1;
    size_t rows = 1;
    for (uint32_t d = 0; d < y->rank; d++) {
        push->dims[d] = (uint32_t)y->dims[d];
        push->x_strides[d] = (int32_t)x->strides[d];
        rows *= d + 1 < y->rank ? (size_t)y->dims[d] : 1;
    }
    push->x_offset = (int32_t)x->offset;
    push->run = inner < run_max ? inner : run_max;
    push->runs = inner == 0 ? 0 : (inner + push->run - 1) / push->run;
    push->count = (uint32_t)(rows * push->runs);
}

// float16 on devices that keep it in 32 bits.
static void half_spec(struct cast_spec *spec)
{
    spec->small_special = SMALL_IEEE;
    spec->small_mantissa_bits = 10;
    spec->small_exponent_min = -14;
    spec->small_largest = 0x477fe000u; // 65504
    spec->small_saturate = 0;
}

static void fill_spec(const struct op_lower *c, const struct view *x, struct cast_spec *spec)
{
    const struct cast_attrs *attrs = c->attrs;
    const espy_dtype to = c->outputs[0].dtype;
    spec->kind = kind_of(x);
    spec->target = target_of(c, to);
    spec->width = espy_dtype_bits(to);
    spec->x_bits = x->storage == STORAGE_PACKED ? espy_dtype_bits(x->dtype) : 32;
    spec->x_signed = espy_dtype_is_signed(x->dtype);
    spec->signs = (attrs->detect_negative ? 1u : 0u) | (attrs->detect_positive ? 2u : 0u);
    if (espy_dtype_float_form(to) != NULL)
        SMALL_FLOAT_SPEC(spec, to, attrs->saturate);
    else if (spec->target == TARGET_SMALL)
        half_spec(spec);
}

static espy_status convert(struct op_lower *c, uint32_t function)
{
    const espy_dtype to = c->outputs[0].dtype;
    if (to == ESPY_FLOAT8E8M0 && c->inputs[0].dtype != to)
        return espy_lower_on_host(c, "conversion to float8e8m0");
    const bool moves = function == CAST_VALUE && same_words(c, c->inputs[0].dtype, to);
    const struct view x = moves ? espy_lower_input(c, 0) : espy_lower_packed_input(c, 0);
    TRY(espy_lower_status(c));
    if (moves) {
        struct view y = x;
        y.dtype = c->outputs[0].dtype;
        espy_lower_alias(c, 0, &y);
        return espy_lower_status(c);
    }
    const struct view y = espy_lower_output_like(c, 0, &x);
    TRY(espy_lower_status(c));
    struct view views[2] = {y, x};
    espy_axes_sort(views, 2);
    struct cast_spec spec = CAST_SPEC_DEFAULT;
    spec.local_size_x = c->caps->local_size;
    spec.function = function;
    fill_spec(c, &x, &spec);
    spec.rank = espy_view_collapse(views, 2);
    struct cast_push push = {0};
    fill_push(c, views, &push);
    struct op_dispatch dispatch = {.shader = cast_shaders.variants[espy_word_variant(y.storage)],
                                   .bindings = {x, y},
                                   .binding_count = 2,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    espy_lower_grid(c, push.count, spec.local_size_x, dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
    return espy_lower_status(c);
}

static espy_status lower_cast(struct op_lower *c)
{
    return convert(c, CAST_VALUE);
}

static espy_status lower_not(struct op_lower *c)
{
    return convert(c, CAST_NOT);
}

static espy_status lower_bitwise_not(struct op_lower *c)
{
    return convert(c, CAST_BITWISE_NOT);
}

static espy_status lower_is_nan(struct op_lower *c)
{
    return convert(c, CAST_IS_NAN);
}

static espy_status lower_is_inf(struct op_lower *c)
{
    return convert(c, CAST_IS_INF);
}

// ---- table --------------------------------------------------------------------------------------

static const char *const round_modes[] = {
    [FLOAT_NEAREST] = "nearest", [FLOAT_UP] = "up", [FLOAT_DOWN] = "down", NULL};

#define SMALL_ATTRS                                                                               \
    {.name = "saturate",                                                                          \
     .type = OP_BOOL,                                                                             \
     .offset = offsetof(struct cast_attrs, saturate),                                             \
     .fallback = 1,                                                                               \
     .help = "what is too large for a float of 8 bits becomes its largest number"},               \
    {                                                                                             \
        .name = "round_mode", .type = OP_ENUM, .offset = offsetof(struct cast_attrs, round_mode), \
        .fallback = FLOAT_UP, .choices = round_modes, .help = "of conversions to float8e8m0"      \
    }

static const struct op_attr cast_rows[] = {{.name = "to",
                                            .type = OP_DTYPE,
                                            .offset = offsetof(struct cast_attrs, to),
                                            .required = true,
                                            .help = "type of the result"},
                                           SMALL_ATTRS};
static const struct op_attr cast_like_rows[] = {SMALL_ATTRS};
static const struct op_attr is_inf_rows[] = {
    {.name = "detect_negative",
     .type = OP_BOOL,
     .offset = offsetof(struct cast_attrs, detect_negative),
     .fallback = 1,
     .help = "minus infinity counts"},
    {.name = "detect_positive",
     .type = OP_BOOL,
     .offset = offsetof(struct cast_attrs, detect_positive),
     .fallback = 1,
     .help = "plus infinity counts"}};

#define ATTRS(rows) .attrs = rows, .attr_count = sizeof(rows) / sizeof((rows)[0])
#define POINTWISE(op_name, text, inputs, infer_fn, stem, ...)                                \
    {                                                                                        \
        .name = op_name, .summary = text, .inputs_min = inputs, .inputs_max = inputs,        \
        .outputs_min = 1, .outputs_max = 1, .attrs_size = sizeof(struct cast_attrs),         \
        .infer = infer_fn, .reference = reference_##stem, .lower = lower_##stem, __VA_ARGS__ \
    }

static const struct op ops[] = {
    POINTWISE("BitwiseNot", "all bits the other way", 1, infer_bitwise_not, bitwise_not,
              .attrs = NULL),
    POINTWISE("Cast", "the same values in another type", 1, infer_cast, cast, ATTRS(cast_rows),
              .flags = OP_NARROW),
    POINTWISE("CastLike", "the same values in the type of the second input", 2, infer_cast, cast,
              ATTRS(cast_like_rows), .flags = OP_NARROW),
    POINTWISE("IsInf", "true where infinite", 1, infer_test, is_inf, ATTRS(is_inf_rows),
              .flags = OP_NARROW),
    POINTWISE("IsNaN", "true where not a number", 1, infer_test, is_nan, .attrs = NULL,
              .flags = OP_NARROW),
    POINTWISE("Not", "true where false", 1, infer_not, not, .attrs = NULL),
};

const struct op_family espy_ops_cast = {ops, sizeof(ops) / sizeof(ops[0])};
