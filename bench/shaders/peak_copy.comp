// One invocation = RUN vectors of four, each next to those of the invocations beside it.
// variants: f32 t32
#version 450
#extension GL_GOOGLE_include_directive : require
#include "read4.glsl"
layout(local_size_x = 64) in;

const uint RUN = 16;

READ4(0, source4);
layout(binding = 1) writeonly buffer Target { vec4 target[]; };

layout(push_constant) uniform Push {
    uint count; // vectors
} push;

void main()
{
    uint i = gl_WorkGroupID.x * 64 * RUN + gl_LocalInvocationID.x;
    for (uint k = 0; k < RUN; k++) {
        if (i < push.count)
            target[i] = AT4(source4, i);
        i += 64;
    }
}
