// One invocation = one row of scores: its largest one, and one over the sum of what the exponential
// makes of all, so that the product with V can make weights of scores as it reads them. Minus
// infinity removes a key; a row with nothing left gets 0.
//
// For CPU drivers, where a pass that stores costs as much as the product.
// variants: f32 t32
#version 450
#extension GL_GOOGLE_include_directive : require
#include "read4.glsl"
#include "index.glsl"
#include "decay.glsl"

READ4(0, scores4);
layout(binding = 1) writeonly buffer Stats { vec2 stats[]; };

layout(push_constant) uniform Push {
    uint rows; // of this dispatch, all heads together
    uint keys;
} push;

void main()
{
    const uint row = linear_id();
    if (row >= push.rows)
        return;
    const int groups = int((push.keys + 3) / 4), first = int(row) * groups;
    vec4 high = vec4(LOWEST);
    for (int g = 0; g < groups; g++)
        high = max(high, AT4(scores4, first + g));
    const float highest = max(max(high.x, high.y), max(high.z, high.w));
    vec4 sum = vec4(0.0);
    for (int g = 0; g < groups; g++)
        sum += decay(AT4(scores4, first + g) - highest);
    const float total = sum.x + sum.y + sum.z + sum.w;
    stats[row] = vec2(highest, total != 0.0 ? 1.0 / total : 0.0); // NaN stays NaN
}
