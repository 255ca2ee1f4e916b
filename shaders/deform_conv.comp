// One invocation = one output pixel in up to 4 channels of one group: weights times columns.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"
#include "param.glsl"

layout(constant_id = 3) const uint WEIGHT = 1;
layout(constant_id = 4) const uint BIAS = 0;

// Of each picture, channel, element of the window and pixel.
layout(binding = 0) readonly buffer Columns { float columns[]; };
layout(binding = 1) readonly buffer Weights { uint weights[]; };
layout(binding = 2) readonly buffer Bias { uint bias[]; };
layout(binding = 3) writeonly buffer Y { STORED y[]; };

layout(push_constant) uniform Push {
    uint count, pixels, width;
    uint groups, out_channels, blocks; // out_channels, blocks: of one group
    uint inside;                       // channels of one group times elements of the window
    int weight_offset, bias_offset;
    int y_strides[4];
    float step_a[4], step_b[4];
} push;

#include "epilogue.glsl"

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    uint rest = id;
    const uint pixel = rest % push.pixels;
    rest /= push.pixels;
    const uint block = rest % push.blocks;
    rest /= push.blocks;
    const uint group = rest % push.groups, picture = rest / push.groups;

    const uint first = group * push.out_channels + 4 * block;
    const uint channels = min(4, push.out_channels - 4 * block);
    // Rows past the last channel are read from the last one and not written.
    ivec4 from;
    for (uint k = 0; k < 4; k++)
        from[k] = push.weight_offset + int((first + min(k, channels - 1)) * push.inside);
    vec4 sums = vec4(0.0);
    uint at = (picture * push.groups + group) * push.inside * push.pixels + pixel;
    for (int i = 0; i < int(push.inside); i++, at += push.pixels) {
        const vec4 weight =
            vec4(PARAM_AT(WEIGHT, weights, from.x + i), PARAM_AT(WEIGHT, weights, from.y + i),
                 PARAM_AT(WEIGHT, weights, from.z + i), PARAM_AT(WEIGHT, weights, from.w + i));
        sums += columns[at] * weight;
    }
    const int row = int(pixel / push.width), column = int(pixel % push.width);
    for (uint k = 0; k < channels; k++) {
        const int channel = int(first + k);
        float value = sums[k];
        if (BIAS != 0)
            value += PARAM_AT(BIAS, bias, push.bias_offset + channel);
        y[int(picture) * push.y_strides[0] + channel * push.y_strides[1] + row * push.y_strides[2] +
          column * push.y_strides[3]] = STORED_OF(epilogue(value));
    }
}
