// One invocation = one output element, or every n-th of the innermost dimension: weighted windows.
// variants: f32 f16 i32
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"

layout(constant_id = 11) const int LOWEST = 0; // of the host's integer type
layout(constant_id = 12) const int HIGHEST = 0;

#define ELEMENT STORED
#define SUM float
#define LOAD(value) float(value)
#if IS_FLOAT
#define STORE(value) STORED_OF(value)
#else
#define STORE(value) int(clamp(roundEven(value), float(LOWEST), float(HIGHEST)))
#endif
#include "resize.glsl"
