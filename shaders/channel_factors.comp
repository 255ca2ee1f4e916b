// One invocation = one channel (of one picture): the mean that normalize.comp takes off, what it
// multiplies by, and what it adds. From given statistics, or from the parts that moments.comp left.
#version 450
#extension GL_GOOGLE_include_directive : require
#include "index.glsl"
#include "param.glsl"

layout(constant_id = 3) const uint GIVEN = 0;   // the statistics are inputs
layout(constant_id = 4) const uint OUTSIDE = 0; // epsilon is added outside of the square root
layout(constant_id = 5) const uint SCALE = 0;
layout(constant_id = 6) const uint BIAS = 0;
layout(constant_id = 7) const uint MEAN = 0;
layout(constant_id = 8) const uint VARIANCE = 0;

layout(binding = 0) readonly buffer Scale { uint scale[]; };
layout(binding = 1) readonly buffer Bias { uint bias[]; };
layout(binding = 2) readonly buffer Mean { uint means[]; };
layout(binding = 3) readonly buffer Variance { uint variances[]; };
layout(binding = 4) readonly buffer Parts { vec2 parts[]; };
layout(binding = 5) writeonly buffer Factors { float factors[]; };

layout(push_constant) uniform Push {
    uint count, channels, group_channels;
    uint rows, row_length, part_length, part_count;
    int scale_offset, bias_offset, mean_offset, variance_offset;
    float epsilon;
} push;

float part_size(uint part)
{
    return float(min(push.part_length, push.row_length - part * push.part_length));
}

// Mean and variance of a row of parts.
vec2 joined(uint row)
{
    float mean = 0.0;
    for (uint p = 0; p < push.part_count; p++)
        mean += parts[row + p * push.rows].x * part_size(p);
    mean /= float(push.row_length);
    float sum = 0.0;
    for (uint p = 0; p < push.part_count; p++) {
        const vec2 part = parts[row + p * push.rows];
        const float moved = part.x - mean;
        sum += part.y + part_size(p) * moved * moved;
    }
    return vec2(mean, sum / float(push.row_length));
}

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    const uint picture = id / push.channels;
    const int channel = int(id - picture * push.channels);
    vec2 statistics; // mean, variance
    if (GIVEN != 0) {
        statistics = vec2(PARAM_AT(MEAN, means, push.mean_offset + channel),
                          PARAM_AT(VARIANCE, variances, push.variance_offset + channel));
    } else {
        const uint groups = push.channels / push.group_channels;
        statistics = joined(picture * groups + uint(channel) / push.group_channels);
    }
    float factor = OUTSIDE != 0 ? 1.0 / (sqrt(statistics.y) + push.epsilon)
                                : 1.0 / sqrt(statistics.y + push.epsilon);
    if (SCALE != 0)
        factor *= PARAM_AT(SCALE, scale, push.scale_offset + channel);
    factors[3 * id] = statistics.x;
    factors[3 * id + 1] = factor;
    factors[3 * id + 2] = BIAS != 0 ? PARAM_AT(BIAS, bias, push.bias_offset + channel) : 0.0;
}
