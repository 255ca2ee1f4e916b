// One invocation = one tap of one output channel: a packed vector for every four input channels,
// zero where there are none. The order is [panel][tap][input channel / 4][column][lane]; see
// panel.glsl. What was of 16 bits is so again, and [column][lane] is
// [column / 2][lane][column % 2].
// variants: f32 t32
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "read4.glsl"
#include "index.glsl"
#include "panel_codes.glsl"

layout(constant_id = 3) const uint LANES = 8;
layout(constant_id = 4) const uint NARROW = PANEL_FLOAT32;

READ(0, source);
layout(binding = 1) writeonly buffer Packed4 { vec4 packed4[]; };
layout(binding = 1) writeonly buffer Pairs { uvec2 pairs[]; };

layout(push_constant) uniform Push {
    uint count;        // of invocations
    uint cols_log2;    // of the columns per lane
    uint group_panels; // panels of one group
    uint in_channels, out_channels; // of one group
    uint kernel_d, kernel_h, kernel_w;
    int offset;
    int strides[5];    // output channel, input channel, depth, height, width
} push;

// Exact: the elements were widened from this type.
uint pair(float low, float high)
{
    if (NARROW == PANEL_FLOAT16)
        return packHalf2x16(vec2(low, high));
    return (floatBitsToUint(low) >> 16) | (floatBitsToUint(high) & 0xffff0000u);
}

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    uint rest = id / LANES;
    const uint lane = id - rest * LANES;
    const uint cols = 1 << push.cols_log2, column = rest & (cols - 1);
    rest >>= push.cols_log2;
    const uint quads = (push.in_channels + 3) / 4, first = (rest * quads) << push.cols_log2;
    uint to = (first + column) * LANES + lane;
    if (NARROW != PANEL_FLOAT32) // two columns of a lane are next to each other: they share a texel
        to = (first + (column & ~1u)) * LANES + 2 * lane + (column & 1u);
    const uint w = rest % push.kernel_w;
    rest /= push.kernel_w;
    const uint h = rest % push.kernel_h;
    rest /= push.kernel_h;
    const uint d = rest % push.kernel_d;
    const uint panel = rest / push.kernel_d;
    const uint group = panel / push.group_panels;
    const uint out_channel = ((panel - group * push.group_panels) * LANES + lane) * cols + column;
    // What there is none of is read somewhere else and dropped: drivers make less code of that.
    const uint channel = group * push.out_channels + min(out_channel, push.out_channels - 1);
    const int from = push.offset + int(channel) * push.strides[0] + int(d) * push.strides[2] +
                     int(h) * push.strides[3] + int(w) * push.strides[4];
    for (uint in_channel = 0; in_channel < push.in_channels; in_channel += 4) {
        vec4 value;
        [[unroll]] for (uint k = 0; k < 4; k++) {
            const uint at = min(in_channel + k, push.in_channels - 1);
            const float read = AT(source, from + int(at) * push.strides[1]);
            const bool there =
                out_channel < push.out_channels && in_channel + k < push.in_channels;
            value[k] = there ? read : 0.0;
        }
        if (NARROW == PANEL_FLOAT32)
            packed4[to] = value;
        else
            pairs[to] = uvec2(pair(value.x, value.y), pair(value.z, value.w));
        to += LANES << push.cols_log2;
    }
}
