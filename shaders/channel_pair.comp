// One invocation = the mean and the largest element of all channels of one pixel, which it puts next
// to each other.
// variants: f32 f16 t32
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "types.glsl"
#include "vectors.glsl"
#include "read4.glsl"
#include "index.glsl"

layout(constant_id = 3) const uint VECTOR = 4;

layout(binding = 0) readonly buffer X { STORED x[]; };
layout(binding = 1) writeonly buffer Y { STORED y[]; };
READ4(2, x4);

layout(push_constant) uniform Push {
    uint count, pixels, channels; // pixels of all images, and of one
    int x_offset, x_image, x_channel, x_pixel;
    float scale; // 1 / channels
    uint largest_first;
} push;

// As ReduceMax: NaN stays.
float larger(float a, float b)
{
    return b > a || isnan(b) ? b : a;
}

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    const uint image = id / push.pixels;
    int at = push.x_offset + int(image) * push.x_image +
             int(id - image * push.pixels) * push.x_pixel;
    vec4 sums = vec4(0.0), most = vec4(uintBitsToFloat(0xff800000u));
    for (uint channel = 0; channel < push.channels; channel += VECTOR) {
        const vec4 value = VECTOR == 4 ? AT4(x4, at / 4) : vec4(VALUE_OF(x[at]), 0.0, 0.0, 0.0);
        sums += value;
        [[unroll]] for (uint k = 0; k < VECTOR; k++)
            most[k] = larger(most[k], value[k]);
        at += VECTOR == 4 ? 4 : push.x_channel;
    }
    const float mean = (sums.x + sums.y + sums.z + sums.w) * push.scale;
    const float largest = larger(larger(most.x, most.y), larger(most.z, most.w));
    y[2 * id] = STORED_OF(push.largest_first != 0 ? largest : mean);
    y[2 * id + 1] = STORED_OF(push.largest_first != 0 ? mean : largest);
}
