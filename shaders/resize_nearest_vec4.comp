// One invocation = four neighbouring channels of one output position, or every n-th such four:
// copies of the nearest source elements. Sizes and strides count groups of four.
// variants: w16 w32
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"

#define RESIZE_NEAREST
#ifdef VARIANT_W16
#define ELEMENT f16vec4
#else
#define ELEMENT uvec4
#endif
#include "resize.glsl"
