// The tail of a kernel: up to four pointwise steps, chosen by specialization constants, so that the
// driver's compiler removes what is not used. Include after the push block, which must have the
// instance name `push` and the members
//     float step_a[4]; float step_b[4];
// In C, espy_lower_epilogue fills constants and parameters.
#include "unary.glsl"

layout(constant_id = 40) const uint STEP_0 = 0;
layout(constant_id = 41) const uint STEP_1 = 0;
layout(constant_id = 42) const uint STEP_2 = 0;
layout(constant_id = 43) const uint STEP_3 = 0;

float epilogue(float x)
{
    if (STEP_0 != 0)
        x = unary(STEP_0, x, push.step_a[0], push.step_b[0]);
    if (STEP_1 != 0)
        x = unary(STEP_1, x, push.step_a[1], push.step_b[1]);
    if (STEP_2 != 0)
        x = unary(STEP_2, x, push.step_a[2], push.step_b[2]);
    if (STEP_3 != 0)
        x = unary(STEP_3, x, push.step_a[3], push.step_b[3]);
    return x;
}
