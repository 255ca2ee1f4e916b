// One invocation = one element: divided by a power of the squares of the channels around its own.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"

layout(constant_id = 3) const uint RANK = 4;
layout(constant_id = 4) const uint CHANNELS_INNERMOST = 0;

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) writeonly buffer Y { STORED y[]; };

layout(push_constant) uniform Push {
    uint rows, channels;
    int before, after;
    float scale, beta, bias; // scale: alpha over the window's size
    int x_offset, x_step, y_step;
    uint dims[4];
    int x_strides[4];
    int y_strides[4];
} push;

#include "rows.glsl"

void main()
{
    const uint id = linear_id();
    if (id >= push.rows * push.channels)
        return;
    const uint row = CHANNELS_INNERMOST != 0 ? id / push.channels : id % push.rows;
    const int channel = int(CHANNELS_INNERMOST != 0 ? id - row * push.channels : id / push.rows);
    const int start = push.x_offset + row_start_x(row);
    const int first = max(channel - push.before, 0);
    const int last = min(channel + push.after, int(push.channels) - 1);
    float sum = 0.0;
    int from = start + first * push.x_step;
    for (int k = first; k <= last; k++, from += push.x_step) {
        const float value = VALUE_OF(x[from]);
        sum += value * value;
    }
    const float divisor = pow(push.bias + push.scale * sum, push.beta);
    y[row_start_y(row) + channel * push.y_step] =
        STORED_OF(VALUE_OF(x[start + channel * push.x_step]) / divisor);
}
