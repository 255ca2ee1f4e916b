// Scores of attention in registers, for GPUs: a workgroup has ROWS queries of a head and KEYS keys
// at a time, an invocation four of the queries x KEYS / 8 of the keys. Queries are read once into
// shared memory; keys go to a tile there whose rows, like those of the queries, have an odd number
// of quads, so that eight of them lie in different banks. Include after types.glsl, vectors.glsl,
// index.glsl, attention_codes.glsl and a macro KV_ROW: quads from row to row of the tile of keys.
layout(constant_id = 3) const uint ROWS = 32;
layout(constant_id = 4) const uint KEYS = 32;
layout(constant_id = 5) const uint DEPTH = 16; // quads of a query's and a key's channels
layout(constant_id = 7) const uint VECTOR = 0; // q4, k4 and v4 may be read
layout(constant_id = 9) const uint MASK = ATTENTION_MASK_NONE;
layout(constant_id = 10) const uint WINDOW = 0;       // left and right mean something
layout(constant_id = 11) const uint LENGTH_WORDS = 0; // words of an element of lengths; 0: none
layout(constant_id = 12) const uint CAP = 0;

layout(binding = 0) readonly buffer Q { STORED q[]; };
layout(binding = 0) readonly buffer Q4 { STORED4 q4[]; };
layout(binding = 1) readonly buffer K { STORED k[]; };
layout(binding = 1) readonly buffer K4 { STORED4 k4[]; };
layout(binding = 3) readonly buffer Mask { uint mask[]; };
layout(binding = 4) readonly buffer Lengths { uint lengths[]; };
// struct flash_sizes of runtime/ops/flash.h; a push block has no room for it.
layout(binding = 5) readonly buffer Sizes {
    uint matrices; // batches * heads
    uint heads, group; // query heads, and how many of them share one of k and v
    uint queries, keys, depth, width, past, mask_keys;
    int left, right;
    float scale, cap;
    int q_at[4], k_at[4], v_at[4], y_at[4]; // offset, then strides of batch, head and position
    int mask_at[4];
    int q_step, k_step, v_step, y_step, mask_step; // strides of the last dimension
} sizes;

#define ATTENTION_SIZES sizes
#include "attention.glsl"

const uint LANES = 8, ROW_STEP = ROWS / 4, THREADS = LANES * ROW_STEP;
const uint KEYS_EACH = KEYS / LANES;
const uint Q_ROW = DEPTH | 1;
const float LOWEST = -3.402823466e38;

shared vec4 q_tile[ROWS * Q_ROW];
shared vec4 kv_tile[KEYS * KV_ROW];

float scores[4][KEYS_EACH];

uint lane()
{
    return gl_LocalInvocationID.x % LANES;
}

uint row_of(uint i)
{
    return gl_LocalInvocationID.x / LANES + i * ROW_STEP;
}

#define READ_QUAD(name, elements, vectors)                                                         \
    vec4 name(int at, uint quad, uint count, int step)                                             \
    {                                                                                              \
        if (VECTOR != 0)                                                                           \
            return vec4(vectors[(at >> 2) + int(quad)]);                                           \
        vec4 value = vec4(0.0);                                                                    \
        [[unroll]] for (uint c = 0; c < 4; c++)                                                    \
            if (4 * quad + c < count)                                                              \
                value[c] = VALUE_OF(elements[at + int(4 * quad + c) * step]);                      \
        return value;                                                                              \
    }
READ_QUAD(read_q, q, q4)
READ_QUAD(read_k, k, k4)

void keep_queries(uint first)
{
    const int start = sizes.q_at[0] + int(batch) * sizes.q_at[1] + int(head) * sizes.q_at[2];
    for (uint i = gl_LocalInvocationID.x; i < ROWS * DEPTH; i += THREADS) {
        const uint row = i / DEPTH, quad = i - row * DEPTH;
        const int at = start + int(min(first + row, sizes.queries - 1)) * sizes.q_at[3];
        q_tile[row * Q_ROW + quad] = sizes.scale * read_q(at, quad, sizes.depth, sizes.q_step);
    }
}

void keep_keys(uint first)
{
    const int start =
        sizes.k_at[0] + int(batch) * sizes.k_at[1] + int(head / sizes.group) * sizes.k_at[2];
    for (uint i = gl_LocalInvocationID.x; i < KEYS * DEPTH; i += THREADS) {
        const uint row = i / DEPTH, quad = i - row * DEPTH;
        const int at = start + int(min(first + row, sizes.keys - 1)) * sizes.k_at[3];
        kv_tile[row * KV_ROW + quad] = read_k(at, quad, sizes.depth, sizes.k_step);
    }
}

void multiply_keys()
{
    [[unroll]] for (uint i = 0; i < 4; i++) {
        [[unroll]] for (uint j = 0; j < KEYS_EACH; j++)
            scores[i][j] = 0.0;
    }
    for (uint d = 0; d < DEPTH; d++) {
        vec4 query[4];
        [[unroll]] for (uint i = 0; i < 4; i++)
            query[i] = q_tile[row_of(i) * Q_ROW + d];
        [[unroll]] for (uint j = 0; j < KEYS_EACH; j++) {
            const vec4 key = kv_tile[(lane() + j * LANES) * KV_ROW + d];
            [[unroll]] for (uint i = 0; i < 4; i++)
                scores[i][j] += dot(query[i], key);
        }
    }
}

// Soft cap, mask and window.
void finish_scores(uint first_query, uint first_key, int length)
{
    [[unroll]] for (uint i = 0; i < 4; i++) {
        const uint query = min(first_query + row_of(i), sizes.queries - 1);
        [[unroll]] for (uint j = 0; j < KEYS_EACH; j++) {
            const uint key = first_key + lane() + j * LANES;
            float score = scores[i][j];
            if (CAP != 0)
                score = sizes.cap * tanh(clamp(score / sizes.cap, -15.0, 15.0));
            const bool inside = key < sizes.keys && inside_window(int(query), int(key), length);
            scores[i][j] =
                inside ? score + mask_at(query, min(key, sizes.keys - 1)) : minus_infinity();
        }
    }
}

// exp of something that is not above 0, and NaN of NaN.
float decay(float x)
{
    return x < -103.0 ? 0.0 : exp(x);
}

// What the exponential makes of a score; exactly 0 of one that is hidden.
float weight_of(float score, float peak)
{
    return score < LOWEST ? 0.0 : decay(score - peak);
}

// The keys that some query of the workgroup may see, from a multiple of KEYS on.
uvec2 seen_keys(uint first_query, int length)
{
    const int last = int(min(first_query + ROWS, sizes.queries)) - 1;
    int begin = 0, end = min(int(sizes.keys), length);
    if (WINDOW != 0 && sizes.left >= 0)
        begin = max(place_of(int(first_query), length) - sizes.left, 0);
    if (WINDOW != 0 && sizes.right >= 0)
        end = min(end, place_of(last, length) + sizes.right + 1);
    return uvec2(uint(begin) / KEYS * KEYS, uint(max(end, 0)));
}
