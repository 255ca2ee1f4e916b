// One invocation = one element of a discrete Fourier transform, by the sum that defines it.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"

layout(constant_id = 3) const uint COMPLEX_IN = 0;
layout(constant_id = 4) const uint REAL_OUT = 0; // the input is the first half of a symmetric spectrum
layout(constant_id = 5) const uint HAS_WINDOW = 0;

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) readonly buffer Window { STORED window[]; };
layout(binding = 2) readonly buffer Roots { vec2 roots[]; }; // of one, all push.size
layout(binding = 3) writeonly buffer Y { STORED y[]; };      // [outer][frame][bin][inner][part]

layout(push_constant) uniform Push {
    uint count;
    uint frames, bins, inner; // of the output
    uint samples;             // that are not zero
    uint size;                // of the transform
    int x_offset, x_outer, x_frame, x_step, x_inner, x_part;
    float scale;
} push;

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    uint rest = id / push.inner;
    const uint inner = id - rest * push.inner;
    const uint row = rest / push.bins;
    const uint bin = rest - row * push.bins;
    const uint outer = row / push.frames;
    int from = push.x_offset + int(outer) * push.x_outer +
               int(row - outer * push.frames) * push.x_frame + int(inner) * push.x_inner;
    vec2 sum = vec2(0.0);
    uint root = 0; // sample * bin, modulo size
    for (uint n = 0; n < push.samples; n++) {
        vec2 value = vec2(VALUE_OF(x[from]), 0.0);
        if (COMPLEX_IN != 0)
            value.y = VALUE_OF(x[from + push.x_part]);
        if (HAS_WINDOW != 0)
            value *= VALUE_OF(window[n]);
        if (REAL_OUT != 0 && n != 0 && 2 * n != push.size)
            value *= 2.0; // the other half's element, its conjugate
        const vec2 turn = roots[root];
        sum.x += value.x * turn.x - value.y * turn.y;
        if (REAL_OUT == 0)
            sum.y += value.x * turn.y + value.y * turn.x;
        from += push.x_step;
        root += bin;
        root -= root >= push.size ? push.size : 0;
    }
    sum *= push.scale;
    if (REAL_OUT != 0) {
        y[id] = STORED_OF(sum.x);
    } else {
        y[2 * id] = STORED_OF(sum.x);
        y[2 * id + 1] = STORED_OF(sum.y);
    }
}
