// Scores of attention in registers, for GPUs: a workgroup has ROWS queries of a head and KEYS keys
// at a time, an invocation four of the queries x KEYS / 8 of the keys. Queries are read once into
// shared memory; keys go to a tile there whose rows, like those of the queries, have an odd number
// of quads, so that eight of them lie in different banks. Include after flash.glsl and a macro
// KV_ROW: quads from row to row of the tile of keys.
layout(constant_id = 5) const uint DEPTH = 16; // quads of a query's and a key's channels

layout(binding = 0) readonly buffer Queries4 { STORED4 q4[]; };
layout(binding = 1) readonly buffer Keys4 { STORED4 k4[]; };

const uint LANES = 8, ROW_STEP = ROWS / 4, THREADS = LANES * ROW_STEP;
const uint KEYS_EACH = KEYS / LANES;
const uint Q_ROW = DEPTH | 1;

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
        const uvec4 channels = 4 * quad + uvec4(0, 1, 2, 3);                                       \
        vec4 value;                                                                                \
        [[unroll]] for (uint c = 0; c < 4; c++)                                                    \
            value[c] = VALUE_OF(elements[at + int(min(channels[c], count - 1)) * step]);           \
        return mix(vec4(0.0), value, lessThan(channels, uvec4(count)));                            \
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

// So many reads are under way before the first of them is kept.
const uint TOGETHER = 4;

void keep_keys(uint first)
{
    const int start =
        sizes.k_at[0] + int(batch) * sizes.k_at[1] + int(head / sizes.group) * sizes.k_at[2];
    const uint count = KEYS * DEPTH;
    for (uint base = 0; base < count; base += TOGETHER * THREADS) {
        vec4 quads[TOGETHER];
        [[unroll]] for (uint t = 0; t < TOGETHER; t++) {
            const uint i = min(base + t * THREADS + gl_LocalInvocationID.x, count - 1);
            const uint row = i / DEPTH, quad = i - row * DEPTH;
            const int at = start + int(min(first + row, sizes.keys - 1)) * sizes.k_at[3];
            quads[t] = read_k(at, quad, sizes.depth, sizes.k_step);
        }
        // Those past the end are the last one once more.
        [[unroll]] for (uint t = 0; t < TOGETHER; t++) {
            const uint i = min(base + t * THREADS + gl_LocalInvocationID.x, count - 1);
            const uint row = i / DEPTH, quad = i - row * DEPTH;
            kv_tile[row * KV_ROW + quad] = quads[t];
        }
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
            // No dot(), which compilers make a product, three multiply-adds and a sum of.
            [[unroll]] for (uint c = 0; c < 4; c++)
                [[unroll]] for (uint i = 0; i < 4; i++)
                    scores[i][j] += query[i][c] * key[c];
        }
    }
}

void finish_scores(uint first_query, uint first_key, int length)
{
    [[unroll]] for (uint i = 0; i < 4; i++) {
        const uint query = min(first_query + row_of(i), sizes.queries - 1);
        [[unroll]] for (uint j = 0; j < KEYS_EACH; j++)
            scores[i][j] =
                finish_score(scores[i][j], query, first_key + lane() + j * LANES, length);
    }
}
