// One invocation = one row of scores, which become weights. Minus infinity removes a key;
// a row with nothing left becomes zeros.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"
#include "decay.glsl"

layout(constant_id = 3) const uint EXPOSES = 0;  // write the weights to the fourth output
layout(constant_id = 4) const uint IN_PLACE = 1; // and in place of the scores

layout(binding = 0) buffer Scores { vec4 scores[]; };
layout(binding = 1) writeonly buffer Exposed { STORED exposed[]; };

layout(push_constant) uniform Push {
    uint rows;                  // of this dispatch, all heads together
    uint keys;
    uint first, taken;          // queries of this dispatch
    uint shown, shown_first;    // those that are exposed
} push;

float largest(vec4 v)
{
    return max(max(v.x, v.y), max(v.z, v.w));
}

void main()
{
    const uint row = linear_id();
    if (row >= push.rows)
        return;
    const uint matrix = row / max(push.taken, 1);
    const uint place = push.first + row - matrix * push.taken - push.shown_first;
    if (IN_PLACE == 0 && place >= push.shown)
        return;
    const uint groups = (push.keys + 3) / 4;
    float highest = LOWEST;
    vec4 sum = vec4(0.0);
    for (uint g = 0; g < groups; g++) {
        const vec4 value = scores[row * groups + g];
        const float peak = largest(value);
        if (peak > highest) {
            sum *= decay(vec4(highest - peak)).x;
            highest = peak;
        }
        sum += mix(decay(value - highest), vec4(0.0), lessThan(value, vec4(LOWEST)));
    }
    const float total = sum.x + sum.y + sum.z + sum.w;
    const float scale = total != 0.0 ? 1.0 / total : 0.0; // NaN stays NaN
    const uint to = (matrix * push.shown + place) * push.keys;
    for (uint g = 0; g < groups; g++) {
        vec4 value = scores[row * groups + g];
        value = mix(decay(value - highest) * scale, vec4(0.0), lessThan(value, vec4(LOWEST)));
        if (IN_PLACE != 0)
            scores[row * groups + g] = value;
        if (EXPOSES != 0 && place < push.shown)
            for (uint j = 0; j < 4 && 4 * g + j < push.keys; j++)
                exposed[to + 4 * g + j] = STORED_OF(value[j]);
    }
}
