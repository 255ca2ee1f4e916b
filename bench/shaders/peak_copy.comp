// One invocation = RUN vectors of four, each next to those of the invocations beside it.
#version 450
layout(local_size_x = 64) in;

const uint RUN = 16;

layout(binding = 0) uniform textureBuffer source4;
layout(binding = 1) writeonly buffer Target { vec4 target[]; };

layout(push_constant) uniform Push {
    uint count; // vectors
} push;

void main()
{
    uint i = gl_WorkGroupID.x * 64 * RUN + gl_LocalInvocationID.x;
    for (uint k = 0; k < RUN; k++) {
        if (i < push.count)
            target[i] = texelFetch(source4, int(i));
        i += 64;
    }
}
