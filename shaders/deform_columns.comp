// One invocation = one sample: of one channel, for one element of the window at one output pixel.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"
#include "param.glsl"

layout(constant_id = 3) const uint OFFSET = 1; // how offsets and mask are stored
layout(constant_id = 4) const uint MASK = 0;

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) readonly buffer Offsets { uint offsets[]; };
layout(binding = 2) readonly buffer Mask { uint mask[]; };
layout(binding = 3) writeonly buffer Columns { float columns[]; };

layout(push_constant) uniform Push {
    uint count, channels, offset_channels; // offset_channels: channels with common offsets
    int height, width;
    uint kernel[2], pixels[2]; // rows, columns; pixels: of the output
    int stride[2], pad[2], dilation[2];
    int x_offset, offset_offset, mask_offset;
    int x_strides[4];
    int offset_strides[4];
    int mask_strides[4];
} push;

float pixel(int start, int row, int column)
{
    if (row < 0 || row >= push.height || column < 0 || column >= push.width)
        return 0.0;
    return VALUE_OF(x[start + row * push.x_strides[2] + column * push.x_strides[3]]);
}

float sampled(int start, float row, float column)
{
    if (!(row > -1.0 && row < float(push.height) && column > -1.0 && column < float(push.width)))
        return 0.0;
    const float top = floor(row), left = floor(column);
    const float down = row - top, along = column - left;
    const int i = int(top), j = int(left);
    return (1.0 - down) * ((1.0 - along) * pixel(start, i, j) + along * pixel(start, i, j + 1)) +
           down * ((1.0 - along) * pixel(start, i + 1, j) + along * pixel(start, i + 1, j + 1));
}

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    uint rest = id;
    const int column = int(rest % push.pixels[1]);
    rest /= push.pixels[1];
    const int row = int(rest % push.pixels[0]);
    rest /= push.pixels[0];
    const uint elements = push.kernel[0] * push.kernel[1];
    const uint element = rest % elements;
    rest /= elements;
    const uint channel = rest % push.channels;
    const int picture = int(rest / push.channels);

    const int place = int(channel / push.offset_channels * elements + element);
    const int offset = push.offset_offset + picture * push.offset_strides[0] +
                       2 * place * push.offset_strides[1] + row * push.offset_strides[2] +
                       column * push.offset_strides[3];
    const int i = int(element / push.kernel[1]), j = int(element % push.kernel[1]);
    const float at_row = float(row * push.stride[0] - push.pad[0] + i * push.dilation[0]) +
                         PARAM_AT(OFFSET, offsets, offset);
    const float at_column = float(column * push.stride[1] - push.pad[1] + j * push.dilation[1]) +
                            PARAM_AT(OFFSET, offsets, offset + push.offset_strides[1]);
    float value = sampled(push.x_offset + picture * push.x_strides[0] +
                          int(channel) * push.x_strides[1], at_row, at_column);
    if (MASK != 0)
        value *= PARAM_AT(MASK, mask, push.mask_offset + picture * push.mask_strides[0] +
                                          place * push.mask_strides[1] +
                                          row * push.mask_strides[2] +
                                          column * push.mask_strides[3]);
    columns[id] = value;
}
