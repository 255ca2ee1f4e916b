// One invocation = one packed vector, zero where there is nothing: four output channels at one place
// of the depth in the order [group][column tile][depth][output channel of the tile], or with BK four
// of the depth of one output channel, [group][column tile][step of BK][output channel][depth]. The
// depth is every tap's input channels, each padded to whole quads, and all together to whole steps.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "vectors.glsl"
#include "index.glsl"

layout(constant_id = 3) const uint BN = 64;
layout(constant_id = 4) const uint BK = 0; // of a step, where vectors go along the depth

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
    const uint panel = id / (push.depth * (BN / 4));
    uint rest = id - panel * push.depth * (BN / 4);
    uint tap, column;
    if (BK == 0) {
        tap = rest / (BN / 4);
        column = 4 * (rest - tap * (BN / 4));
    } else {
        const uint depth_step = rest / (BK * BN / 4);
        rest -= depth_step * (BK * BN / 4);
        column = rest / (BK / 4);
        tap = depth_step * BK + 4 * (rest - column * (BK / 4));
    }
    const uint group = panel / push.column_tiles;
    const uint out_channel = (panel - group * push.column_tiles) * BN + column;
    const uint padded = (push.in_channels + 3) / 4 * 4;
    const uint in_channel = tap % padded;
    tap /= padded;
    const uint w = tap % push.kernel_w;
    tap /= push.kernel_w;
    const uint h = tap % push.kernel_h, d = tap / push.kernel_h;
    const int from = push.offset + int(d) * push.strides[2] + int(h) * push.strides[3] +
                     int(w) * push.strides[4];
    vec4 value = vec4(0.0);
    for (uint k = 0; k < 4; k++) {
        const uint y = out_channel + (BK == 0 ? k : 0), x = in_channel + (BK == 0 ? 0 : k);
        if (y < push.out_channels && x < push.in_channels && d < push.kernel_d)
            value[k] = VALUE_OF(source[from + int(x) * push.strides[1] +
                                       int(group * push.out_channels + y) * push.strides[0]]);
    }
    packed4[id] = STORED4_OF(value);
}
