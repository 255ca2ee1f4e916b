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

// Each call of unary has one constant for its function, or it would keep all of them.
#define EPILOGUE_STEP(STEP, i)                                                                     \
    if (STEP == UNARY_ADD_OPERAND)                                                                 \
        x += operand;                                                                              \
    else if (STEP == UNARY_MULTIPLY_OPERAND)                                                       \
        x *= operand;                                                                              \
    else if (STEP != 0)                                                                            \
        x = unary(STEP, x, push.step_a[i], push.step_b[i]);

// A line between two bounds, and x times that where step i + 2 has a: what Relu, Clip, HardSigmoid,
// HardSwish and no function at all have in common (espy_steps_share).
#define EPILOGUE_BEND(STEP, i)                                                                     \
    if (STEP == UNARY_BEND) {                                                                      \
        const float bent = clip(push.step_a[i + 1] * x + push.step_b[i + 1], push.step_a[i],       \
                                push.step_b[i]);                                                   \
        x = push.step_a[i + 2] != 0.0 ? x * bent : bent;                                           \
    } else                                                                                         \
        EPILOGUE_STEP(STEP, i)

float epilogue(float x, float operand)
{
    EPILOGUE_BEND(STEP_0, 0)
    EPILOGUE_BEND(STEP_1, 1)
    EPILOGUE_STEP(STEP_2, 2)
    EPILOGUE_STEP(STEP_3, 3)
    return x;
}

float epilogue(float x)
{
    return epilogue(x, 0.0);
}
