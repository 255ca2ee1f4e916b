// The tail of a kernel: up to four pointwise steps, chosen by specialization constants, so that the
// driver's compiler removes what is not used. Include after the push block, which must have the
// instance name `push` and the members
//     float step_a[4]; float step_b[4];
// In C, LOWER_EPILOGUE fills constants and parameters.
//
// One of the steps may add or multiply an element of another tensor that lies as the output does
// (espy_lower_take_tail): kernels that can read it call epilogue with two arguments.
#include "unary.glsl"

layout(constant_id = 40) const uint STEP_0 = 0;
layout(constant_id = 41) const uint STEP_1 = 0;
layout(constant_id = 42) const uint STEP_2 = 0;
layout(constant_id = 43) const uint STEP_3 = 0;

const bool HAS_OPERAND = STEP_0 == UNARY_ADD_OPERAND || STEP_0 == UNARY_MULTIPLY_OPERAND ||
                         STEP_1 == UNARY_ADD_OPERAND || STEP_1 == UNARY_MULTIPLY_OPERAND ||
                         STEP_2 == UNARY_ADD_OPERAND || STEP_2 == UNARY_MULTIPLY_OPERAND ||
                         STEP_3 == UNARY_ADD_OPERAND || STEP_3 == UNARY_MULTIPLY_OPERAND;

float epilogue_step(uint function, float x, float a, float b, float operand)
{
    if (function == UNARY_ADD_OPERAND)
        return x + operand;
    if (function == UNARY_MULTIPLY_OPERAND)
        return x * operand;
    return unary(function, x, a, b);
}

float epilogue(float x, float operand)
{
    if (STEP_0 != 0)
        x = epilogue_step(STEP_0, x, push.step_a[0], push.step_b[0], operand);
    if (STEP_1 != 0)
        x = epilogue_step(STEP_1, x, push.step_a[1], push.step_b[1], operand);
    if (STEP_2 != 0)
        x = epilogue_step(STEP_2, x, push.step_a[2], push.step_b[2], operand);
    if (STEP_3 != 0)
        x = epilogue_step(STEP_3, x, push.step_a[3], push.step_b[3], operand);
    return x;
}

float epilogue(float x)
{
    return epilogue(x, 0.0);
}
