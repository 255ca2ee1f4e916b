// One invocation = one output element, or every n-th of the innermost dimension: copies of the
// nearest source element, whatever it holds.
// variants: w16 w32 w64
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"

#define RESIZE_NEAREST
#define ELEMENT STORED
#include "resize.glsl"
