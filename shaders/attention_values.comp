// One invocation = four queries times four channels of one head: weighted sums of values.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"

layout(constant_id = 3) const uint VECTOR = 0; // v4 may be read
layout(constant_id = 4) const uint MASKED = 0; // a value of weight 0 must not count even if NaN

#ifdef VARIANT_F16
#define STORED4 f16vec4
#else
#define STORED4 vec4
#endif

layout(binding = 0) readonly buffer Weights { vec4 weights[]; };
layout(binding = 1) readonly buffer V { STORED v[]; };
layout(binding = 2) readonly buffer VVectors { STORED4 v4[]; };
layout(binding = 3) writeonly buffer Y { STORED y[]; };

layout(push_constant) uniform Push {
    uint count;        // invocations
    uint heads, group; // query heads, and how many of them share one of v
    uint first, taken; // queries of this dispatch
    uint keys, width;
    int v_at[4];       // offset, then strides of batch, head and position
    int y_at[4];
    int v_step, y_step;
    float step_a[4], step_b[4];
} push;

#include "epilogue.glsl"

// The values of one key in the four channels.
vec4 value_of(int at, ivec4 channels)
{
    if (VECTOR != 0)
        return vec4(v4[at >> 2]);
    return vec4(v[at + channels.x], v[at + channels.y], v[at + channels.z], v[at + channels.w]);
}

vec4 weighted(float weight, vec4 value)
{
    return MASKED != 0 && weight == 0.0 ? vec4(0.0) : weight * value;
}

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    const uint groups = (push.keys + 3) / 4;
    const uint channel_tiles = (push.width + 3) / 4, query_tiles = (push.taken + 3) / 4;
    const uint tile_row = id / channel_tiles, channel = 4 * (id - tile_row * channel_tiles);
    const uint matrix = tile_row / query_tiles; // batch * heads + head
    const uint query = (tile_row - matrix * query_tiles) * 4;
    const uint batch = matrix / push.heads, head = matrix - batch * push.heads;

    int from = push.v_at[0] + int(batch) * push.v_at[1] + int(head / push.group) * push.v_at[2];
    const int last = from + (int(push.keys) - 1) * push.v_at[3];
    ivec4 channels = ivec4(0);
    if (VECTOR != 0)
        from += int(channel);
    else
        channels = min(int(channel) + ivec4(0, 1, 2, 3), int(push.width) - 1) * push.v_step;
    const int end = VECTOR != 0 ? last + int(channel) : last;
    const bool down = push.v_at[3] < 0;
    uint rows[4];
    for (uint i = 0; i < 4; i++)
        rows[i] = (matrix * push.taken + min(query + i, push.taken - 1)) * groups;
    vec4 sum0 = vec4(0.0), sum1 = vec4(0.0), sum2 = vec4(0.0), sum3 = vec4(0.0);
    for (uint g = 0; g < groups; g++) {
        const vec4 w0 = weights[rows[0] + g], w1 = weights[rows[1] + g];
        const vec4 w2 = weights[rows[2] + g], w3 = weights[rows[3] + g];
        for (uint j = 0; j < 4; j++) {
            // Keys past the end have weight 0; their reads stay at the last one.
            const vec4 value = value_of(down ? max(from, end) : min(from, end), channels);
            sum0 += weighted(w0[j], value);
            sum1 += weighted(w1[j], value);
            sum2 += weighted(w2[j], value);
            sum3 += weighted(w3[j], value);
            from += push.v_at[3];
        }
    }
    const vec4 sums[4] = vec4[4](sum0, sum1, sum2, sum3);
    for (uint i = 0; i < 4 && query + i < push.taken; i++) {
        const int to = push.y_at[0] + int(batch) * push.y_at[1] + int(head) * push.y_at[2] +
                       int(push.first + query + i) * push.y_at[3];
        for (uint j = 0; j < 4 && channel + j < push.width; j++)
            y[to + int(channel + j) * push.y_step] = STORED_OF(epilogue(sums[i][j]));
    }
}
