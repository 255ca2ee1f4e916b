// One invocation = one packed vector: four output channels at one place of the depth, zero where
// there are none. The order is [group][column tile][depth][output channel of the tile]; the depth
// is every tap's input channels, each padded to whole quads, and all together to whole steps of BK.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "vectors.glsl"
#include "index.glsl"

layout(constant_id = 3) const uint BN = 64;

layout(binding = 0) readonly buffer Source { STORED source[]; };
layout(binding = 1) writeonly buffer Packed4 { STORED4 packed4[]; };

layout(push_constant) uniform Push {
    uint count;        // of vectors
    uint depth;        // padded
    uint column_tiles; // of one group
    uint in_channels, out_channels; // of one group
    uint kernel_d, kernel_h, kernel_w;
    int offset;
    int strides[5];    // output channel, input channel, depth, height, width
} push;

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    uint rest = id / (BN / 4);
    const uint quad = id - rest * (BN / 4);
    const uint panel = rest / push.depth;
    uint tap = rest - panel * push.depth;
    const uint group = panel / push.column_tiles;
    const uint out_channel = (panel - group * push.column_tiles) * BN + 4 * quad;
    const uint padded = (push.in_channels + 3) / 4 * 4;
    const uint in_channel = tap % padded;
    tap /= padded;
    const uint w = tap % push.kernel_w;
    tap /= push.kernel_w;
    const uint h = tap % push.kernel_h, d = tap / push.kernel_h;
    vec4 value = vec4(0.0);
    if (in_channel < push.in_channels && d < push.kernel_d) {
        const int from = push.offset + int(in_channel) * push.strides[1] +
                         int(d) * push.strides[2] + int(h) * push.strides[3] +
                         int(w) * push.strides[4];
        for (uint k = 0; k < 4; k++)
            if (out_channel + k < push.out_channels)
                value[k] = VALUE_OF(source[from + int(group * push.out_channels + out_channel + k) *
                                                      push.strides[0]]);
    }
    packed4[id] = STORED4_OF(value);
}
