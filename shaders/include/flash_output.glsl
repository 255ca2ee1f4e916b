// Values and result of the kernels of attention on GPUs that sum up values. Include before flash.glsl.
layout(constant_id = 8) const uint STORE_VECTOR = 0;
layout(constant_id = 13) const uint MASKED = 0; // a value of weight 0 must not count even if NaN

layout(binding = 2) readonly buffer Values { STORED v[]; };
layout(binding = 6) writeonly buffer Y { STORED y[]; };
layout(binding = 6) writeonly buffer Y4 { STORED4 y4[]; };

layout(push_constant) uniform Push {
    float step_a[4];
    float step_b[4];
} push;

#include "epilogue.glsl"
