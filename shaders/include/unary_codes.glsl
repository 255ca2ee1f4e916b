// Codes of the pointwise functions: the one list that GLSL (unary.glsl) and C (op/step.c) share.
// a and b are the function's parameters; see op/step.c for what each means.
#define UNARY_IDENTITY 0
#define UNARY_ABS 1
#define UNARY_ACOS 2
#define UNARY_ACOSH 3
#define UNARY_ASIN 4
#define UNARY_ASINH 5
#define UNARY_ATAN 6
#define UNARY_ATANH 7
#define UNARY_CEIL 8
#define UNARY_CELU 9
#define UNARY_CLIP 10
#define UNARY_COS 11
#define UNARY_COSH 12
#define UNARY_ELU 13
#define UNARY_ERF 14
#define UNARY_EXP 15
#define UNARY_FLOOR 16
#define UNARY_GELU 17
#define UNARY_GELU_TANH 18
#define UNARY_HARD_SIGMOID 19
#define UNARY_HARD_SWISH 20
#define UNARY_LEAKY_RELU 21
#define UNARY_LOG 22
#define UNARY_MISH 23
#define UNARY_NEG 24
#define UNARY_RECIPROCAL 25
#define UNARY_RELU 26
#define UNARY_ROUND 27
#define UNARY_SELU 28
#define UNARY_SHRINK 29
#define UNARY_SIGMOID 30
#define UNARY_SIGN 31
#define UNARY_SIN 32
#define UNARY_SINH 33
#define UNARY_SOFTPLUS 34
#define UNARY_SOFTSIGN 35
#define UNARY_SQRT 36
#define UNARY_SWISH 37
#define UNARY_TAN 38
#define UNARY_TANH 39
#define UNARY_THRESHOLDED_RELU 40
// Epilogue steps alone: with an element of another tensor (epilogue.glsl).
#define UNARY_ADD_OPERAND 41
#define UNARY_MULTIPLY_OPERAND 42
// And what stands for several functions: the parameters of this and the next two steps say which.
#define UNARY_BEND 43
