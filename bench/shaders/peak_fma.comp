// One invocation = chains of multiply-adds that never leave registers: what arithmetic can reach.
#version 450
layout(local_size_x = 64) in;

layout(binding = 0) writeonly buffer Result { float result[]; };

layout(push_constant) uniform Push {
    uint trips; // of 64 multiply-adds each; at most 65535 (docs/architecture.md)
    float factor, term;
} push;

void main()
{
    vec4 a = vec4(gl_GlobalInvocationID.x) * 1e-6;
    vec4 b = a + 1.0, c = a + 2.0, d = a + 3.0;
    const vec4 factor = vec4(push.factor), term = vec4(push.term);
    for (uint i = 0; i < push.trips; i++) {
        // Four chains of vec4, four links each.
        a = fma(a, factor, term);
        b = fma(b, factor, term);
        c = fma(c, factor, term);
        d = fma(d, factor, term);
        a = fma(a, factor, term);
        b = fma(b, factor, term);
        c = fma(c, factor, term);
        d = fma(d, factor, term);
        a = fma(a, factor, term);
        b = fma(b, factor, term);
        c = fma(c, factor, term);
        d = fma(d, factor, term);
        a = fma(a, factor, term);
        b = fma(b, factor, term);
        c = fma(c, factor, term);
        d = fma(d, factor, term);
    }
    const vec4 sum = a + b + c + d;
    // Never true, as the compiler cannot know: one store would be measured for nothing.
    if (sum.x + sum.y + sum.z + sum.w == 12345.0)
        result[0] = sum.x;
}
