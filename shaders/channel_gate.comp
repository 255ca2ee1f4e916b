// One workgroup = the gate of one image: a factor per channel, made of what was pooled from each.
// Every invocation has a quad of numbers to make; where there are fewer quads than invocations,
// several share one and take parts of the depth, which go through shared memory.
//
// Stages follow each other in one loop, so that the code is there once: chunks of what was pooled
// are added up, then the first layer; with BOTH the same again for maxima, whose results are added;
// then the second layer.
//
// On CPU drivers (t32) the workgroup is one subgroup: what is multiplied with comes from the other
// lanes' registers, which is a fifth of a read of shared memory.
// variants: f32 f16 t32
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#ifdef VARIANT_T32
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#endif
#include "types.glsl"
#include "vectors.glsl"
#include "read4.glsl"
#include "gate_codes.glsl"
#include "unary.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 3) const uint THREADS = 64; // the workgroup's
layout(constant_id = 4) const uint LAYERS = 2;
layout(constant_id = 5) const uint BOTH = 0;
layout(constant_id = 6) const uint ALONG = 0; // 1: the one layer is a convolution along the channels
layout(constant_id = 7) const uint STEP_0 = 0; // functions behind the layers
layout(constant_id = 8) const uint STEP_1 = 0;

// [mean, maximum][image][chunk][quad of channels]
#ifdef VARIANT_T32
layout(binding = 0, rgba32f) readonly uniform imageBuffer pooled4;
#define POOLED(at) imageLoad(pooled4, int(at))
#else
layout(binding = 0) readonly buffer Pooled4 { vec4 pooled4[]; };
#define POOLED(at) pooled4[at]
#endif
// [layer][block of as many quads as there are invocations][number in][quad of numbers out], so that
// they are read in one run; or taps.
READ4(1, weights4);
layout(binding = 2) readonly buffer Bias0 { STORED bias_0[]; };
layout(binding = 3) readonly buffer Bias1 { STORED bias_1[]; };
layout(binding = 4) writeonly buffer Y { STORED y[]; };

layout(push_constant) uniform Push {
    uint images, channels, chunks;
    uint hidden, outs; // numbers that the first of two layers makes, and the last one
    uint second; // where the second layer's weights begin, in quads
    uint taps, pad;
    uint has_bias_0, has_bias_1;
    int bias_offset_0, bias_offset_1;
    float scale; // of sums
    float step_a[2];
    float step_b[2];
} push;

shared vec4 numbers[GATE_QUADS_MAX + GATE_HIDDEN_QUADS_MAX];
shared vec4 parts[THREADS];

uint quads_of(uint count)
{
    return (count + 3) / 4;
}

vec4 joined(vec4 a, vec4 b, bool largest)
{
    return largest ? max(a, b) : a + b;
}

// Four of the depth; numbers past its end are 0, and so any weights do.
vec4 multiplied(vec4 value, uint at, uint row, uint last)
{
    return value.x * AT4(weights4, min(at, last)) + value.y * AT4(weights4, min(at + row, last)) +
           value.z * AT4(weights4, min(at + 2 * row, last)) +
           value.w * AT4(weights4, min(at + 3 * row, last));
}

// What a convolution along the channels makes of the quad.
vec4 along(uint quad)
{
    vec4 sum = vec4(0.0);
    for (uint t = 0; t < push.taps; t++) {
        const float weight = AT4(weights4, t / 4)[t % 4];
        [[unroll]] for (uint j = 0; j < 4; j++) {
            const int at = int(4 * quad + j + t) - int(push.pad);
            if (at >= 0 && at < int(push.channels))
                sum[j] += weight * numbers[at / 4][at % 4];
        }
    }
    return sum;
}

float bias_of(uint layer, uint at)
{
    const uint last = (layer + 1 < LAYERS ? push.hidden : push.outs) - 1;
    if (layer == 0) {
        const uint own = ALONG != 0 ? 0 : min(at, last);
        return push.has_bias_0 == 0 ? 0.0 : VALUE_OF(bias_0[push.bias_offset_0 + int(own)]);
    }
    return push.has_bias_1 == 0 ? 0.0
                                : VALUE_OF(bias_1[push.bias_offset_1 + int(min(at, last))]);
}

// Ends the quads whose sums are in parts, a number per invocation: this code, with functions in it,
// is there once for each layer.
void finish(uint layer, bool again, uint first, uint quads)
{
    const uint count = layer + 1 < LAYERS ? push.hidden : push.outs;
    for (uint i = gl_LocalInvocationID.x; i < 4 * quads; i += THREADS) {
        const uint at = 4 * first + i;
        float value = parts[i / 4][i % 4];
        if (layer == 0)
            value = unary(STEP_0, value + bias_of(0, at), push.step_a[0], push.step_b[0]);
        else
            value = unary(STEP_1, value + (BOTH != 0 ? 2.0 : 1.0) * bias_of(1, at), push.step_a[1],
                          push.step_b[1]);
        value = at < count ? value : 0.0;
        if (layer + 1 < LAYERS) {
            const uint to = GATE_QUADS_MAX + at / 4;
            numbers[to][at % 4] = again ? numbers[to][at % 4] + value : value;
        } else if (at < count) {
            y[gl_WorkGroupID.x * push.outs + at] = STORED_OF(value);
        }
    }
}

// Takes what the pooling's chunks have of a quad of channels.
void keep(uint quad, bool largest, vec4 value)
{
    [[unroll]] for (uint j = 0; j < 4; j++)
        value[j] = 4 * quad + j < push.channels ? value[j] * (largest ? 1.0 : push.scale) : 0.0;
    numbers[quad] = value;
}

void main()
{
    const uint id = gl_LocalInvocationID.x;
    const uint pooled_stages = BOTH != 0 ? 4 : 2;
    for (uint stage = 0; stage < pooled_stages + LAYERS - 1; stage++) {
        const bool pools = stage < pooled_stages && stage % 2 == 0;
        const uint layer = stage < pooled_stages ? 0 : 1;
        const bool again = BOTH != 0 && stage / 2 == 1 && layer == 0, largest = pools && again;
        const uint count = layer == 0 ? push.channels : push.hidden;
        const uint quads = quads_of(pools                ? push.channels
                                    : layer + 1 < LAYERS ? push.hidden
                                                         : push.outs);
        const uint depth = pools ? push.chunks : ALONG != 0 ? 1 : quads_of(count);
        const uint from = layer == 0 ? 0 : GATE_QUADS_MAX;
        const uint weights = layer == 0 ? 0 : push.second;
        const uint lanes = min(quads, THREADS);
        const uint part_count = min(THREADS / lanes, depth);
        const uint part = id / lanes, lane = id - part * lanes;
        const uint chunks = ((again ? push.images : 0) + gl_WorkGroupID.x) * push.chunks;
        for (uint first = 0; first < quads; first += lanes) {
            const uint quad = first + lane;
            vec4 sum = largest ? vec4(uintBitsToFloat(0xff800000u)) : vec4(0.0);
            const uint end = quad < quads && part < part_count ? depth : 0;
            if (pools) {
                for (uint k = part; k < end; k += part_count)
                    sum = joined(sum, POOLED((chunks + k) * quads + quad), largest);
            } else if (ALONG != 0) {
                if (end > 0)
                    sum = along(quad);
            } else {
                const uint block = weights + first * count + lane;
                const uint last = block + (count - 1) * lanes;
#ifdef VARIANT_T32
                for (uint k = 0; k < depth; k += THREADS) {
                    const vec4 mine = k + id < depth ? numbers[from + k + id] : vec4(0.0);
                    const uint those = min(THREADS, depth - k);
                    for (uint t = 0; t < those; t += part_count) {
                        const uint j = t + part;
                        const vec4 value = subgroupShuffle(mine, min(j, THREADS - 1));
                        sum += multiplied(j < those ? value : vec4(0.0),
                                          block + 4 * (k + j) * lanes, lanes, last);
                    }
                }
#else
                for (uint k = part; k < end; k += part_count)
                    sum += multiplied(numbers[from + k], block + 4 * k * lanes, lanes, last);
#endif
            }
            if (part_count > 1) {
                parts[id] = sum;
                barrier();
                for (uint p = 1; p < part_count && part == 0; p++)
                    sum = joined(sum, parts[p * lanes + lane], largest);
            } // what was read there is written again behind another barrier only
            if (pools) {
                if (part == 0 && quad < quads)
                    keep(quad, largest, sum);
            } else {
                if (part == 0)
                    parts[lane] = sum;
                barrier();
                finish(layer, again, first, min(lanes, quads - first));
                barrier();
            }
        }
        barrier();
    }
}
