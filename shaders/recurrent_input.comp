// One invocation = GATES neighbouring gates of one time step of one sequence: the part of their sums
// that does not depend on the state, for all time steps at once.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"

layout(constant_id = 3) const uint HAS_BIAS = 0;

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) readonly buffer Weights { STORED weights[]; }; // [direction][gate][feature]
layout(binding = 2) readonly buffer Bias { STORED bias[]; }; // [direction][input's, state's][gate]
layout(binding = 3) writeonly buffer Sums { float sums[]; }; // [time][batch][direction][gate]

layout(push_constant) uniform Push {
    uint count; // invocations
    uint batch, features;
    uint gates, all_gates; // of one direction, of all
    uint biased;           // gates of one direction to which the state's bias is added here
    uint blocks;           // of GATES, in all_gates
    int x_offset, x_time, x_batch, x_step;
} push;

const uint GATES = 4;

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    const uint row = id / push.blocks;
    const uint first = (id - row * push.blocks) * GATES;
    const uint time = row / push.batch;
    int from = push.x_offset + int(time) * push.x_time +
               int(row - time * push.batch) * push.x_batch;
    uvec4 at;
    for (uint i = 0; i < GATES; i++)
        at[i] = min(first + i, push.all_gates - 1) * push.features;
    vec4 sum = vec4(0.0);
    for (uint k = 0; k < push.features; k++) {
        sum += VALUE_OF(x[from]) * vec4(VALUE_OF(weights[at.x]), VALUE_OF(weights[at.y]),
                                        VALUE_OF(weights[at.z]), VALUE_OF(weights[at.w]));
        from += push.x_step;
        at += 1;
    }
    for (uint i = 0; i < min(GATES, push.all_gates - first); i++) {
        const uint direction = (first + i) / push.gates;
        const uint gate = first + i - direction * push.gates;
        const uint own = 2 * direction * push.gates + gate;
        float result = sum[i];
        if (HAS_BIAS != 0)
            result += VALUE_OF(bias[own]);
        if (HAS_BIAS != 0 && gate < push.biased)
            result += VALUE_OF(bias[own + push.gates]);
        sums[row * push.all_gates + first + i] = result;
    }
}
