// One invocation = one element of the output, or (STATE) of the state that is handed on.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"
#include "unary.glsl"

layout(constant_id = 3) const uint STATE = 0;
layout(constant_id = 4) const uint HAS_PAST = 0; // absent: zeros
layout(constant_id = 5) const uint HAS_BIAS = 0;
layout(constant_id = 6) const uint ACTIVATION = UNARY_IDENTITY;

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) readonly buffer Weights { STORED weights[]; }; // [channel][tap]
layout(binding = 2) readonly buffer Bias { STORED bias[]; };
layout(binding = 3) readonly buffer Past { STORED past[]; };       // [image][channel][taps - 1]
layout(binding = 4) writeonly buffer Y { STORED y[]; };            // dense

layout(push_constant) uniform Push {
    uint count;
    uint channels, steps, taps;
    int x_offset, x_image, x_channel, x_step;
} push;

// Element `index` of the past and the input behind one another, in a row of each.
float at(uint index, int from, uint past_row)
{
    const uint before = push.taps - 1;
    if (index >= before)
        return VALUE_OF(x[from + int(index - before) * push.x_step]);
    return HAS_PAST != 0 ? VALUE_OF(past[past_row * before + index]) : 0.0;
}

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    const uint size = STATE != 0 ? push.taps - 1 : push.steps;
    const uint row = id / size;
    const uint position = id - row * size;
    const uint image = row / push.channels, channel = row - image * push.channels;
    const int from = push.x_offset + int(image) * push.x_image + int(channel) * push.x_channel;
    if (STATE != 0) {
        y[id] = STORED_OF(at(push.steps + position, from, row));
        return;
    }
    float sum = HAS_BIAS != 0 ? VALUE_OF(bias[channel]) : 0.0;
    for (uint k = 0; k < push.taps; k++)
        sum += at(position + k, from, row) * VALUE_OF(weights[channel * push.taps + k]);
    y[id] = STORED_OF(unary(ACTIVATION, sum, 1.0, 0.0));
}
