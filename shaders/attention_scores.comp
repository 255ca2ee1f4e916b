// One invocation = four queries times four keys of one head: scaled products, soft cap, mask.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#include "types.glsl"
#include "index.glsl"
#include "attention_codes.glsl"

layout(constant_id = 3) const uint VECTOR = 0;       // q4 and k4 may be read
layout(constant_id = 4) const uint MASK = ATTENTION_MASK_NONE;
layout(constant_id = 5) const uint WINDOW = 0;       // left and right mean something
layout(constant_id = 6) const uint LENGTH_WORDS = 0; // words of an element of lengths; 0: none
layout(constant_id = 7) const uint CAP = 0;
layout(constant_id = 8) const uint EXPOSE = ATTENTION_EXPOSE_NOTHING;

#ifdef VARIANT_F16
#define STORED4 f16vec4
#else
#define STORED4 vec4
#endif

layout(binding = 0) readonly buffer Q { STORED q[]; };
layout(binding = 1) readonly buffer QVectors { STORED4 q4[]; };
layout(binding = 2) readonly buffer K { STORED k[]; };
layout(binding = 3) readonly buffer KVectors { STORED4 k4[]; };
layout(binding = 4) readonly buffer Mask { uint mask[]; };
layout(binding = 5) readonly buffer Lengths { uint lengths[]; };
layout(binding = 6) writeonly buffer Scores { vec4 scores[]; }; // [batch, head, query, key]
layout(binding = 7) writeonly buffer Exposed { STORED exposed[]; };

layout(push_constant) uniform Push {
    uint count;                    // invocations
    uint heads, group;             // query heads, and how many of them share one of k
    uint queries, first, taken;    // all, and those of this dispatch
    uint shown, shown_first;       // those that are exposed
    uint keys, depth, past, mask_keys;
    int left, right;               // reach of the window; negative: no end
    float scale, cap;
    int q_at[4], k_at[4];          // offset, then strides of batch, head and position
    int mask_at[4];
    int q_step, k_step, mask_step; // strides of the last dimension
} push;

#define ATTENTION_SIZES push
#include "attention.glsl"

uint first_query, first_key;

int q_row(uint i)
{
    return push.q_at[0] + int(batch) * push.q_at[1] + int(head) * push.q_at[2] +
           int(min(first_query + i, push.queries - 1)) * push.q_at[3];
}

int k_row(uint j)
{
    return push.k_at[0] + int(batch) * push.k_at[1] + int(head / push.group) * push.k_at[2] +
           int(min(first_key + j, push.keys - 1)) * push.k_at[3];
}

void main()
{
    const uint id = linear_id();
    if (id >= push.count)
        return;
    const uint key_tiles = (push.keys + 3) / 4, query_tiles = (push.taken + 3) / 4;
    const uint tile_row = id / key_tiles, tile = id - tile_row * key_tiles;
    const uint matrix = tile_row / query_tiles; // batch * heads + head
    first_key = tile * 4;
    first_query = push.first + (tile_row - matrix * query_tiles) * 4;
    batch = matrix / push.heads;
    head = matrix - batch * push.heads;

    vec4 sum[4] = vec4[4](vec4(0.0), vec4(0.0), vec4(0.0), vec4(0.0)); // [query].key
    if (VECTOR != 0) {
        const int q0 = q_row(0) >> 2, q1 = q_row(1) >> 2, q2 = q_row(2) >> 2, q3 = q_row(3) >> 2;
        const int k0 = k_row(0) >> 2, k1 = k_row(1) >> 2, k2 = k_row(2) >> 2, k3 = k_row(3) >> 2;
        for (int d = 0; d < int(push.depth >> 2); d++) {
            const vec4 key0 = vec4(k4[k0 + d]), key1 = vec4(k4[k1 + d]);
            const vec4 key2 = vec4(k4[k2 + d]), key3 = vec4(k4[k3 + d]);
            const vec4 query0 = vec4(q4[q0 + d]), query1 = vec4(q4[q1 + d]);
            const vec4 query2 = vec4(q4[q2 + d]), query3 = vec4(q4[q3 + d]);
            sum[0] += vec4(dot(query0, key0), dot(query0, key1), dot(query0, key2),
                           dot(query0, key3));
            sum[1] += vec4(dot(query1, key0), dot(query1, key1), dot(query1, key2),
                           dot(query1, key3));
            sum[2] += vec4(dot(query2, key0), dot(query2, key1), dot(query2, key2),
                           dot(query2, key3));
            sum[3] += vec4(dot(query3, key0), dot(query3, key1), dot(query3, key2),
                           dot(query3, key3));
        }
    } else {
        int q0 = q_row(0), q1 = q_row(1), q2 = q_row(2), q3 = q_row(3);
        int k0 = k_row(0), k1 = k_row(1), k2 = k_row(2), k3 = k_row(3);
        for (uint d = 0; d < push.depth; d++) {
            const vec4 key = vec4(k[k0], k[k1], k[k2], k[k3]);
            sum[0] += float(q[q0]) * key;
            sum[1] += float(q[q1]) * key;
            sum[2] += float(q[q2]) * key;
            sum[3] += float(q[q3]) * key;
            q0 += push.q_step, q1 += push.q_step, q2 += push.q_step, q3 += push.q_step;
            k0 += push.k_step, k1 += push.k_step, k2 += push.k_step, k3 += push.k_step;
        }
    }

    const int length = length_of_batch();
    for (uint i = 0; i < 4; i++) {
        const uint query = first_query + i;
        if (query >= push.first + push.taken)
            break;
        vec4 value = sum[i] * push.scale;
        const vec4 plain = value;
        if (CAP != 0)
            value = push.cap * tanh(clamp(value / push.cap, -15.0, 15.0));
        const vec4 capped = value;
        for (uint j = 0; j < 4; j++) {
            const uint key = first_key + j;
            const bool inside =
                key < push.keys && inside_window(int(query), int(key), length);
            value[j] = inside ? value[j] + mask_at(query, key) : minus_infinity();
            if (EXPOSE <= ATTENTION_EXPOSE_MASKED && key < push.keys &&
                query - push.shown_first < push.shown)
                exposed[(matrix * push.shown + query - push.shown_first) * push.keys + key] =
                    STORED_OF(EXPOSE == ATTENTION_EXPOSE_PRODUCT  ? plain[j]
                              : EXPOSE == ATTENTION_EXPOSE_CAPPED ? capped[j]
                                                                  : value[j]);
        }
        scores[(matrix * push.taken + query - push.first) * key_tiles + tile] = value;
    }
}
