// Pointwise functions of one float. `function` is a specialization constant wherever this is called,
// so that the driver's compiler keeps one branch. Results of exp and tanh are not used where their
// arguments are large: some drivers return NaN there. A comparison decides, not min or max, because
// those turn NaN into a number: NaN in is NaN out.
#include "trigonometry.glsl"
#include "unary_codes.glsl"

#define NOT_A_NUMBER uintBitsToFloat(0x7FC00000u)

float safe_tanh(float x)
{
    const float s = x * x; // near 0 a tanh of two exponentials has lost the digits of x
    return abs(x) > 15.0 ? sign(x) : s < 0.002 ? x * (1.0 - s * (0.33333333 - s * 0.13333333))
                                               : tanh(x);
}

// SwiftShader's exp of NaN is infinite.
float exponential(float x)
{
    return isnan(x) ? x : exp(x);
}

float sigmoid(float x)
{
    // Never 0, so that a logarithm of it stays finite.
    return x < -87.3 ? 1.17549435e-38 : 1.0 / (1.0 + exponential(-x));
}

float relu(float x)
{
    return x < 0.0 ? 0.0 : x;
}

float clip(float x, float low, float high)
{
    const float y = x < low ? low : x;
    return y > high ? high : y;
}

float softplus(float x)
{
    const float t = exp(-abs(x));
    // Next to 1 a logarithm has lost the digits of t.
    return relu(x) + (t < 0.01 ? t * (1.0 - t * (0.5 - t * 0.33333333)) : log(1.0 + t));
}

// GLSL leaves log undefined at zero and below; SwiftShader has finite numbers there and for NaN.
float logarithm(float x)
{
    if (!(x > 0.0))
        return uintBitsToFloat(x == 0.0 ? 0xff800000u : 0x7fc00000u);
    return isinf(x) ? x : log(x);
}

float erf(float x)
{
    const float magnitude = abs(x);
    if (magnitude < 0.5) { // Maclaurin series; the next term is below 1e-9
        const float s = x * x;
        return x * 1.1283791671 *
               (1.0 + s * (-0.33333333333 + s * (0.1 + s * (-0.0238095238 + s * (0.00462962963 -
               s * (0.000757575758 - s * 0.000106837607))))));
    }
    // Chebyshev fit of erfc with relative error below 1.2e-7 (Numerical Recipes, section 6.2).
    const float t = 1.0 / (1.0 + 0.5 * magnitude);
    const float poly = -1.26551223 + t * (1.00002368 + t * (0.37409196 + t * (0.09678418 +
        t * (-0.18628806 + t * (0.27886807 + t * (-1.13520398 + t * (1.48851587 +
        t * (-0.82215223 + t * 0.17087277))))))));
    const float erfc = t * exp(max(poly - magnitude * magnitude, -87.0));
    return x < 0.0 ? erfc - 1.0 : 1.0 - erfc;
}

// exp(x) - 1 for x <= 0, without cancellation near 0.
float expm1_negative(float x)
{
    if (x > -0.25)
        return x * (1.0 + x * (0.5 + x * (0.16666667 + x * (0.041666667 + x * 0.0083333333))));
    return exponential(x) - 1.0;
}

float sinh_exact(float x)
{
    if (abs(x) < 0.5) { // the difference of exponentials would cancel
        const float s = x * x;
        return x * (1.0 + s * (0.16666667 + s * (0.0083333333 + s * 0.00019841270)));
    }
    return 0.5 * (exponential(x) - exponential(-x));
}

// const: passed as the value that it is, so that the library sees which case is left (vk_prune.c).
float unary(const uint function, float x, float a, float b)
{
    switch (function) {
    case UNARY_ABS: return abs(x);
    // GLSL's acos and asin may be off by 4e-5, as lavapipe's are; atan is exact enough.
    case UNARY_ACOS:
        return abs(x) <= 1.0 ? 2.0 * atan(sqrt(1.0 - x), sqrt(1.0 + x)) : NOT_A_NUMBER;
    case UNARY_ACOSH: return acosh(x);
    case UNARY_ASIN:
        return abs(x) <= 1.0 ? atan(x, sqrt((1.0 - x) * (1.0 + x))) : NOT_A_NUMBER;
    case UNARY_ASINH: return sign(x) * log(abs(x) + sqrt(x * x + 1.0));
    case UNARY_ATAN: return atan(x);
    case UNARY_ATANH: return 0.5 * log((1.0 + x) / (1.0 - x));
    case UNARY_CEIL: return ceil(x);
    case UNARY_CELU: return relu(x) + min(0.0, a * (exp(min(x, 0.0) / a) - 1.0));
    case UNARY_CLIP: return clip(x, a, b);
    case UNARY_COS: return cosine(x);
    case UNARY_COSH: return 0.5 * (exponential(x) + exponential(-x));
    case UNARY_ELU: return x >= 0.0 ? x : a * expm1_negative(x);
    case UNARY_ERF: return erf(x);
    case UNARY_EXP: return exponential(x);
    case UNARY_FLOOR: return floor(x);
    case UNARY_GELU: return 0.5 * x * (1.0 + erf(x * 0.70710678));
    case UNARY_GELU_TANH:
        return 0.5 * x * (1.0 + safe_tanh(0.79788456 * (x + 0.044715 * x * x * x)));
    case UNARY_HARD_SIGMOID: return clip(a * x + b, 0.0, 1.0);
    case UNARY_HARD_SWISH: return x * clamp(x * (1.0 / 6.0) + 0.5, 0.0, 1.0);
    case UNARY_LEAKY_RELU: return x < 0.0 ? a * x : x;
    case UNARY_LOG: return logarithm(x);
    case UNARY_MISH: return x * safe_tanh(softplus(x));
    case UNARY_NEG: return -x;
    case UNARY_RECIPROCAL: return 1.0 / x;
    case UNARY_RELU: return relu(x);
    case UNARY_ROUND: return roundEven(x);
    case UNARY_SELU: return x > 0.0 ? b * x : b * a * expm1_negative(x);
    case UNARY_SHRINK: return x < -b ? x + a : (x > b ? x - a : 0.0);
    case UNARY_SIGMOID: return sigmoid(x);
    case UNARY_SIGN: return sign(x);
    case UNARY_SIN: return sine(x);
    case UNARY_SINH: return sinh_exact(x);
    case UNARY_SOFTPLUS: return softplus(x);
    case UNARY_SOFTSIGN: return x / (1.0 + abs(x));
    case UNARY_SQRT: return sqrt(x);
    case UNARY_SWISH: return x * sigmoid(a * x);
    case UNARY_TAN: return sine(x) / cosine(x);
    case UNARY_TANH: return safe_tanh(x);
    case UNARY_THRESHOLDED_RELU: return x > a ? x : 0.0;
    }
    return x;
}
