// One invocation = VECTOR neighbouring output channels: the sums that workgroups left which shared
// the depth of a product between them, with bias and epilogue.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "types.glsl"
#include "vectors.glsl"
#include "index.glsl"

layout(constant_id = 3) const uint VECTOR = 4;
layout(constant_id = 4) const uint HAS_BIAS = 0;
layout(constant_id = 5) const uint LINEAR = 0; // 1: a batch's results are apart, 0: interleaved

layout(binding = 0) readonly buffer Sums { float parts[]; }; // [split][batch][pixel][channel]
layout(binding = 0) readonly buffer Sums4 { vec4 parts4[]; };
layout(binding = 1) readonly buffer Bias { STORED bias[]; };
layout(binding = 2) writeonly buffer Y { STORED y[]; };
layout(binding = 2) writeonly buffer Y4 { STORED4 y4[]; };
layout(binding = 3) readonly buffer Operand { STORED operand[]; }; // lies as y does
layout(binding = 3) readonly buffer Operand4 { STORED4 operand4[]; };

layout(push_constant) uniform Push {
    uint pixels, batches, out_channels;
    uint splits;
    float step_a[4];
    float step_b[4];
} push;

#include "epilogue.glsl"

void main()
{
    const uint at = linear_id() * VECTOR, count = push.pixels * push.batches * push.out_channels;
    if (at >= count)
        return;
    vec4 value = vec4(0.0);
    for (uint split = 0; split < push.splits; split++) {
        const uint from = split * count + at;
        value += VECTOR == 4 ? parts4[from / 4] : vec4(parts[from], 0.0, 0.0, 0.0);
    }
    const uint row = at / push.out_channels, channel = at - row * push.out_channels;
    const uint batch = row / push.pixels, pixel = row - batch * push.pixels;
    const uint to =
        (LINEAR != 0 ? row : pixel * push.batches + batch) * push.out_channels + channel;
    vec4 other = vec4(0.0);
    if (HAS_OPERAND)
        other = VECTOR == 4 ? vec4(operand4[to / 4]) : vec4(VALUE_OF(operand[to]), 0.0, 0.0, 0.0);
    [[unroll]] for (uint k = 0; k < VECTOR; k++) {
        if (HAS_BIAS != 0) {
            const uint group = LINEAR != 0 ? 0 : batch * push.out_channels;
            value[k] += VALUE_OF(bias[group + channel + k]);
        }
        value[k] = epilogue(value[k], other[k]);
    }
    if (VECTOR == 4)
        y4[to / 4] = STORED4_OF(value);
    else
        y[to] = STORED_OF(value.x);
}
