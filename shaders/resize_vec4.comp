// One invocation = four neighbouring channels of one output position, or every n-th such four:
// weighted windows. Sizes and strides count vec4s.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"

#define SUM vec4
#define LOAD(value) vec4(value)
#ifdef VARIANT_F16
#define ELEMENT f16vec4
vec4 fit_halves(vec4 v)
{
    return vec4(fit_half(v.x), fit_half(v.y), fit_half(v.z), fit_half(v.w));
}
#define STORE(value) f16vec4(fit_halves(value))
#else
#define ELEMENT vec4
#define STORE(value) (value)
#endif
#include "resize.glsl"
