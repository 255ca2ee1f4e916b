#include "op/op.h"

#include <math.h>
#include <string.h>

#include "shaders/include/unary_codes.glsl"

// Parameters: Clip (min, max), Selu and Celu and Elu (alpha, gamma), Shrink (bias, lambd) ...
static const struct op_step_info step_table[] = {
    {"Abs", UNARY_ABS, {NULL, NULL}, {0, 0}},
    {"Acos", UNARY_ACOS, {NULL, NULL}, {0, 0}},
    {"Acosh", UNARY_ACOSH, {NULL, NULL}, {0, 0}},
    {"Asin", UNARY_ASIN, {NULL, NULL}, {0, 0}},
    {"Asinh", UNARY_ASINH, {NULL, NULL}, {0, 0}},
    {"Atan", UNARY_ATAN, {NULL, NULL}, {0, 0}},
    {"Atanh", UNARY_ATANH, {NULL, NULL}, {0, 0}},
    {"Ceil", UNARY_CEIL, {NULL, NULL}, {0, 0}},
    {"Celu", UNARY_CELU, {"alpha", NULL}, {1, 0}},
    {"Clip", UNARY_CLIP, {"min", "max"}, {-3.402823466e38f, 3.402823466e38f}},
    {"Cos", UNARY_COS, {NULL, NULL}, {0, 0}},
    {"Cosh", UNARY_COSH, {NULL, NULL}, {0, 0}},
    {"Elu", UNARY_ELU, {"alpha", NULL}, {1, 0}},
    {"Erf", UNARY_ERF, {NULL, NULL}, {0, 0}},
    {"Exp", UNARY_EXP, {NULL, NULL}, {0, 0}},
    {"Floor", UNARY_FLOOR, {NULL, NULL}, {0, 0}},
    {"Gelu", UNARY_GELU, {NULL, NULL}, {0, 0}},
    {"GeluTanh", UNARY_GELU_TANH, {NULL, NULL}, {0, 0}},
    {"HardSigmoid", UNARY_HARD_SIGMOID, {"alpha", "beta"}, {0.2f, 0.5f}},
    {"HardSwish", UNARY_HARD_SWISH, {NULL, NULL}, {0, 0}},
    {"LeakyRelu", UNARY_LEAKY_RELU, {"alpha", NULL}, {0.01f, 0}},
    {"Log", UNARY_LOG, {NULL, NULL}, {0, 0}},
    {"Mish", UNARY_MISH, {NULL, NULL}, {0, 0}},
    {"Neg", UNARY_NEG, {NULL, NULL}, {0, 0}},
    {"Reciprocal", UNARY_RECIPROCAL, {NULL, NULL}, {0, 0}},
    {"Relu", UNARY_RELU, {NULL, NULL}, {0, 0}},
    {"Round", UNARY_ROUND, {NULL, NULL}, {0, 0}},
    {"Selu", UNARY_SELU, {"alpha", "gamma"}, {1.67326319217681884765625f, 1.05070102214813232421875f}},
    {"Shrink", UNARY_SHRINK, {"bias", "lambd"}, {0, 0.5f}},
    {"Sigmoid", UNARY_SIGMOID, {NULL, NULL}, {0, 0}},
    {"Sign", UNARY_SIGN, {NULL, NULL}, {0, 0}},
    {"Sin", UNARY_SIN, {NULL, NULL}, {0, 0}},
    {"Sinh", UNARY_SINH, {NULL, NULL}, {0, 0}},
    {"Softplus", UNARY_SOFTPLUS, {NULL, NULL}, {0, 0}},
    {"Softsign", UNARY_SOFTSIGN, {NULL, NULL}, {0, 0}},
    {"Sqrt", UNARY_SQRT, {NULL, NULL}, {0, 0}},
    {"Swish", UNARY_SWISH, {"alpha", NULL}, {1, 0}},
    {"Tan", UNARY_TAN, {NULL, NULL}, {0, 0}},
    {"Tanh", UNARY_TANH, {NULL, NULL}, {0, 0}},
    {"ThresholdedRelu", UNARY_THRESHOLDED_RELU, {"alpha", NULL}, {1, 0}},
};

const struct op_step_info *espy_step_info(uint32_t index)
{
    return index < sizeof(step_table) / sizeof(step_table[0]) ? &step_table[index] : NULL;
}

const struct op_step_info *espy_step_find(const char *op)
{
    const struct op_step_info *info;
    for (uint32_t i = 0; (info = espy_step_info(i)) != NULL; i++)
        if (strcmp(info->op, op) == 0)
            return info;
    return NULL;
}

uint32_t espy_step_with_operand(const char *op)
{
    if (strcmp(op, "Add") == 0)
        return UNARY_ADD_OPERAND;
    return strcmp(op, "Mul") == 0 ? UNARY_MULTIPLY_OPERAND : UNARY_IDENTITY;
}

static double softplus(double x)
{
    return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
}

static double exponential_step(const struct op_step *step, double x)
{
    const double a = step->a, b = step->b;
    switch (step->function) {
    case UNARY_CELU: return (x < 0 ? 0 : x) + (x < 0 ? a * expm1(x / a) : 0);
    case UNARY_ELU: return x < 0 ? a * expm1(x) : x;
    case UNARY_EXP: return exp(x);
    case UNARY_GELU: return 0.5 * x * (1 + erf(x * 0.70710678118654752440));
    case UNARY_GELU_TANH:
        return 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    case UNARY_MISH: return x * tanh(softplus(x));
    case UNARY_SELU: return x > 0 ? b * x : b * a * expm1(x);
    case UNARY_SIGMOID: return 1 / (1 + exp(-x));
    case UNARY_SOFTPLUS: return softplus(x);
    case UNARY_SWISH: return x / (1 + exp(-a * x));
    }
    return x;
}

static double trigonometric_step(uint32_t function, double x)
{
    switch (function) {
    case UNARY_ACOS: return acos(x);
    case UNARY_ACOSH: return acosh(x);
    case UNARY_ASIN: return asin(x);
    case UNARY_ASINH: return asinh(x);
    case UNARY_ATAN: return atan(x);
    case UNARY_ATANH: return atanh(x);
    case UNARY_COS: return cos(x);
    case UNARY_COSH: return cosh(x);
    case UNARY_ERF: return erf(x);
    case UNARY_LOG: return log(x);
    case UNARY_SIN: return sin(x);
    case UNARY_SINH: return sinh(x);
    case UNARY_SQRT: return sqrt(x);
    case UNARY_TAN: return tan(x);
    case UNARY_TANH: return tanh(x);
    }
    return x;
}

static double clamp01(double x)
{
    return x < 0 ? 0 : x > 1 ? 1 : x; // NaN stays NaN
}

double espy_step_apply(const struct op_step *step, double x)
{
    const double a = step->a, b = step->b;
    switch (step->function) {
    case UNARY_ABS: return fabs(x);
    case UNARY_CEIL: return ceil(x);
    case UNARY_CLIP: { // numpy's order: the maximum with min first
        const double low = x < a ? a : x;
        return low > b ? b : low;
    }
    case UNARY_FLOOR: return floor(x);
    case UNARY_HARD_SIGMOID: return clamp01(a * x + b);
    case UNARY_HARD_SWISH: return x * clamp01(x / 6 + 0.5);
    case UNARY_LEAKY_RELU: return x < 0 ? a * x : x;
    case UNARY_NEG: return -x;
    case UNARY_RECIPROCAL: return 1 / x;
    case UNARY_RELU: return x < 0 ? 0 : x;
    case UNARY_ROUND: return nearbyint(x); // ties to even in the default rounding mode
    case UNARY_SHRINK: return x < -b ? x + a : x > b ? x - a : 0;
    case UNARY_SIGN: return x > 0 ? 1 : x < 0 ? -1 : x;
    case UNARY_SOFTSIGN: return x / (1 + fabs(x));
    case UNARY_THRESHOLDED_RELU: return x > a ? x : 0;
    case UNARY_CELU:
    case UNARY_ELU:
    case UNARY_EXP:
    case UNARY_GELU:
    case UNARY_GELU_TANH:
    case UNARY_MISH:
    case UNARY_SELU:
    case UNARY_SIGMOID:
    case UNARY_SOFTPLUS:
    case UNARY_SWISH:
        return exponential_step(step, x);
    }
    return trigonometric_step(step->function, x);
}

bool espy_steps_bend(const struct op_step *steps, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (steps[i].function == UNARY_HARD_SIGMOID || steps[i].function == UNARY_HARD_SWISH)
            return true;
    return false;
}

bool espy_steps_keep_finite(const struct op_step *steps, uint32_t count)
{
    static const uint32_t finite[] = {UNARY_IDENTITY,     UNARY_ABS,        UNARY_CLIP,
                                      UNARY_ELU,          UNARY_GELU,       UNARY_GELU_TANH,
                                      UNARY_HARD_SIGMOID, UNARY_HARD_SWISH, UNARY_LEAKY_RELU,
                                      UNARY_MISH,         UNARY_RELU,       UNARY_SELU,
                                      UNARY_SIGMOID,      UNARY_SWISH,      UNARY_TANH};
    for (uint32_t i = 0; i < count; i++) {
        bool found = false;
        for (uint32_t k = 0; k < sizeof(finite) / sizeof(finite[0]); k++)
            found = found || steps[i].function == finite[k];
        if (!found)
            return false;
    }
    return true;
}

void espy_steps_share(uint32_t steps[4], float a[4], float b[4], bool bend)
{
    float low = -INFINITY, high = INFINITY;
    float slope = 1, offset = -0.0f; // x + -0 is x, zeros included
    const uint32_t i = steps[0] == UNARY_ADD_OPERAND || steps[0] == UNARY_MULTIPLY_OPERAND ? 1 : 0;
    const uint32_t function = steps[i];
    const bool hard = function == UNARY_HARD_SIGMOID || function == UNARY_HARD_SWISH;
    const bool clips =
        function == UNARY_IDENTITY || function == UNARY_RELU || function == UNARY_CLIP;
    if (steps[i + 1] != UNARY_IDENTITY || !(clips || (hard && bend)))
        return;
    if (function == UNARY_CLIP) {
        low = a[i];
        high = b[i];
    } else if (function == UNARY_RELU) {
        low = 0;
    } else if (hard) {
        low = 0;
        high = 1;
        slope = function == UNARY_HARD_SWISH ? 1.0f / 6 : a[i];
        offset = function == UNARY_HARD_SWISH ? 0.5f : b[i];
    }
    steps[i] = bend ? UNARY_BEND : UNARY_CLIP;
    a[i] = low;
    b[i] = high;
    if (bend) {
        a[i + 1] = slope;
        b[i + 1] = offset;
        a[i + 2] = function == UNARY_HARD_SWISH ? 1 : 0;
    }
}
