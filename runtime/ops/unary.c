// Pointwise functions of one tensor: Relu, Sigmoid, Gelu and the like.
#include <string.h>

#include "op/lower.h"
#include "op/op.h"
#include "shaders/include/unary_codes.glsl"
#include "shaders/unary.spv.h"

struct unary_attrs {
    float a, b;
    int approximate; // Gelu
};

// The function that a node computes: its operator's, with the node's parameters.
static struct op_step step_of(const struct op_node *node)
{
    const struct unary_attrs *attrs = node->attrs;
    const struct op_step_info *info = espy_step_find(node->op->name);
    struct op_step step = {info->function, attrs->a, attrs->b};
    if (step.function == UNARY_GELU && attrs->approximate == 1)
        step.function = UNARY_GELU_TANH;
    return step;
}

static bool takes_integers(uint32_t function)
{
    return function == UNARY_ABS || function == UNARY_NEG || function == UNARY_RELU ||
           function == UNARY_SIGN || function == UNARY_SHRINK;
}

static espy_status infer(struct op_infer *c)
{
    const espy_dtype dtype = c->inputs[0].dtype;
    if (!espy_dtype_is_float(dtype) && !takes_integers(step_of(c->node).function))
        return espy_infer_unsupported(c, "takes floats, not %s", espy_dtype_name(dtype));
    espy_infer_copy(c, 0, 0);
    return ESPY_OK;
}

// Integers keep all their bits: only these functions take them.
static int64_t integer_function(uint32_t function, int64_t x)
{
    switch (function) {
    case UNARY_ABS:
        return x < 0 ? (int64_t)(0 - (uint64_t)x) : x;
    case UNARY_NEG:
        return (int64_t)(0 - (uint64_t)x);
    case UNARY_RELU:
        return x < 0 ? 0 : x;
    case UNARY_SIGN:
        return (x > 0) - (x < 0);
    default:
        return x;
    }
}

static void reference(struct op_eval *c)
{
    const struct op_step step = step_of(c->node);
    const struct tensor *x = &c->inputs[0];
    struct tensor *y = &c->outputs[0];
    const bool is_float = espy_dtype_is_float(x->type.dtype);
    const bool is_unsigned = !espy_dtype_is_signed(x->type.dtype);
    for (size_t i = 0; i < x->count; i++) {
        if (is_float || step.function == UNARY_SHRINK)
            espy_tensor_set_number(y, i, espy_step_apply(&step, espy_tensor_number(x, i)));
        else if (is_unsigned && step.function != UNARY_SIGN)
            espy_tensor_set_integer(y, i, espy_tensor_integer(x, i));
        else if (is_unsigned)
            espy_tensor_set_integer(y, i, espy_tensor_integer(x, i) != 0);
        else
            espy_tensor_set_integer(y, i, integer_function(step.function,
                                                           espy_tensor_integer(x, i)));
    }
}

static espy_status lower(struct op_lower *c)
{
    const struct op_step step = step_of(c->node);
    const enum storage storage = espy_lower_storage(c, c->inputs[0].dtype);
    if (step.function == UNARY_SHRINK && !espy_dtype_is_float(c->inputs[0].dtype))
        return espy_lower_on_host(c, "Shrink of integers");
    const struct view x = espy_lower_input(c, 0);
    const struct view y = espy_lower_output_like(c, 0, &x);
    struct view views[2] = {x, y};
    struct unary_spec spec = UNARY_SPEC_DEFAULT;
    spec.local_size_x = c->caps->local_size;
    spec.function = step.function;
    spec.width = espy_dtype_is_signed(x.dtype) ? (uint32_t)espy_dtype_size(x.dtype) : 4;
    spec.rank = espy_view_collapse(views, 2);
    spec.run = espy_lower_run(c, &views[0]);
    struct unary_push push = {.count = (uint32_t)espy_view_count(&views[0]),
                              .a = step.a,
                              .b = step.b,
                              .x_offset = (int32_t)x.offset};
    for (uint32_t d = 0; d < views[0].rank; d++) {
        push.dims[d] = (uint32_t)views[0].dims[d];
        push.x_strides[d] = (int32_t)views[0].strides[d];
        push.y_strides[d] = (int32_t)views[1].strides[d];
    }
    struct op_dispatch dispatch = {.shader = unary_shaders.variants[espy_variant(storage)],
                                   .bindings = {x, y},
                                   .binding_count = 2,
                                   .push = &push,
                                   .push_size = sizeof(push),
                                   .spec = &spec,
                                   .spec_size = sizeof(spec)};
    espy_lower_grid(c, (push.count + spec.run - 1) / spec.run, spec.local_size_x,
                    dispatch.groups);
    espy_lower_dispatch(c, &dispatch);
    return espy_lower_status(c);
}

#define FLOAT_ATTR(attr_name, member, value, text)                                                 \
    {                                                                                              \
        .name = attr_name, .type = OP_FLOAT, .offset = offsetof(struct unary_attrs, member),       \
        .fallback = value, .help = text                                                            \
    }

static const struct op_attr alpha_1[] = {FLOAT_ATTR("alpha", a, 1, "slope or scale")};
static const struct op_attr leaky_attrs[] = {FLOAT_ATTR("alpha", a, 0.01, "slope below zero")};
static const struct op_attr hard_sigmoid_attrs[] = {
    FLOAT_ATTR("alpha", a, 0.2, "slope"), FLOAT_ATTR("beta", b, 0.5, "value at zero")};
static const struct op_attr selu_attrs[] = {
    FLOAT_ATTR("alpha", a, 1.67326319217681884765625, "scale of the exponential part"),
    FLOAT_ATTR("gamma", b, 1.05070102214813232421875, "scale of the whole")};
static const struct op_attr shrink_attrs[] = {
    FLOAT_ATTR("bias", a, 0, "what is taken off outside the dead zone"),
    FLOAT_ATTR("lambd", b, 0.5, "half width of the dead zone")};
static const char *const gelu_choices[] = {"none", "tanh", NULL};
static const struct op_attr gelu_attrs[] = {{.name = "approximate",
                                             .type = OP_ENUM,
                                             .offset = offsetof(struct unary_attrs, approximate),
                                             .choices = gelu_choices,
                                             .help = "none: with erf; tanh: the approximation"}};

#define ATTRS(rows) .attrs = rows, .attr_count = sizeof(rows) / sizeof((rows)[0])
#define UNARY(op_name, text, ...)                                                                  \
    {                                                                                              \
        .name = op_name, .summary = text, .inputs_min = 1, .inputs_max = 1, .outputs_min = 1,      \
        .outputs_max = 1, .flags = OP_POINTWISE, .attrs_size = sizeof(struct unary_attrs),         \
        .infer = infer, .reference = reference, .lower = lower, __VA_ARGS__                        \
    }

static const struct op ops[] = {
    UNARY("Abs", "|x|", .attrs = NULL),
    UNARY("Acos", "arc cosine", .attrs = NULL),
    UNARY("Acosh", "inverse hyperbolic cosine", .attrs = NULL),
    UNARY("Asin", "arc sine", .attrs = NULL),
    UNARY("Asinh", "inverse hyperbolic sine", .attrs = NULL),
    UNARY("Atan", "arc tangent", .attrs = NULL),
    UNARY("Atanh", "inverse hyperbolic tangent", .attrs = NULL),
    UNARY("Ceil", "smallest integer not below x", .attrs = NULL),
    UNARY("Celu", "max(0, x) + min(0, alpha (exp(x / alpha) - 1))", ATTRS(alpha_1)),
    UNARY("Cos", "cosine", .attrs = NULL),
    UNARY("Cosh", "hyperbolic cosine", .attrs = NULL),
    UNARY("Elu", "x, below zero alpha (exp(x) - 1)", ATTRS(alpha_1)),
    UNARY("Erf", "Gauss error function", .attrs = NULL),
    UNARY("Exp", "e to the x", .attrs = NULL),
    UNARY("Floor", "largest integer not above x", .attrs = NULL),
    UNARY("Gelu", "x times the normal distribution function", ATTRS(gelu_attrs)),
    UNARY("HardSigmoid", "alpha x + beta, clamped to 0..1", ATTRS(hard_sigmoid_attrs)),
    UNARY("HardSwish", "x times (x / 6 + 1/2 clamped to 0..1)", .attrs = NULL),
    UNARY("LeakyRelu", "x, below zero alpha x", ATTRS(leaky_attrs)),
    UNARY("Log", "natural logarithm", .attrs = NULL),
    UNARY("Mish", "x tanh(softplus(x))", .attrs = NULL),
    UNARY("Neg", "-x", .attrs = NULL),
    UNARY("Reciprocal", "1 / x", .attrs = NULL),
    UNARY("Relu", "max(0, x)", .attrs = NULL),
    UNARY("Round", "nearest integer, ties to even", .attrs = NULL),
    UNARY("Selu", "gamma x, below zero gamma alpha (exp(x) - 1)", ATTRS(selu_attrs)),
    UNARY("Shrink", "0 within lambd of zero, elsewhere moved by bias towards it",
          ATTRS(shrink_attrs)),
    UNARY("Sigmoid", "1 / (1 + exp(-x))", .attrs = NULL),
    UNARY("Sign", "-1, 0 or 1", .attrs = NULL),
    UNARY("Sin", "sine", .attrs = NULL),
    UNARY("Sinh", "hyperbolic sine", .attrs = NULL),
    UNARY("Softplus", "log(1 + exp(x))", .attrs = NULL),
    UNARY("Softsign", "x / (1 + |x|)", .attrs = NULL),
    UNARY("Sqrt", "square root", .attrs = NULL),
    UNARY("Swish", "x sigmoid(alpha x)", ATTRS(alpha_1)),
    UNARY("Tan", "tangent", .attrs = NULL),
    UNARY("Tanh", "hyperbolic tangent", .attrs = NULL),
    UNARY("ThresholdedRelu", "x above alpha, else 0", ATTRS(alpha_1)),
};

const struct op_family espy_ops_unary = {ops, sizeof(ops) / sizeof(ops[0])};
