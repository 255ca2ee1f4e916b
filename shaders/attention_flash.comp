// One workgroup = ROWS queries of one head and all their keys, KEYS at a time; one invocation =
// four queries x KEYS / 8 keys of the scores, and the same four queries x every eighth quad of
// channels of the result. Scores never leave the registers but as weights for the workgroup itself; what is
// summed up so far is scaled down whenever a larger score turns up.
//
// For GPUs: queries are read once; keys and values take turns in one tile of shared memory, whose
// rows have an odd number of quads, so that eight of them lie in different banks.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "types.glsl"
#include "vectors.glsl"
#include "index.glsl"
#include "attention_codes.glsl"

layout(constant_id = 3) const uint ROWS = 32;
layout(constant_id = 4) const uint KEYS = 32;
layout(constant_id = 5) const uint DEPTH = 16; // quads of a query's and a key's channels
layout(constant_id = 6) const uint WIDTH = 16; // of a value's
layout(constant_id = 7) const uint VECTOR = 0; // q4, k4 and v4 may be read
layout(constant_id = 8) const uint STORE_VECTOR = 0;
layout(constant_id = 9) const uint MASK = ATTENTION_MASK_NONE;
layout(constant_id = 10) const uint WINDOW = 0;       // left and right mean something
layout(constant_id = 11) const uint LENGTH_WORDS = 0; // words of an element of lengths; 0: none
layout(constant_id = 12) const uint CAP = 0;
layout(constant_id = 13) const uint MASKED = 0; // a value of weight 0 must not count even if NaN

layout(binding = 0) readonly buffer Q { STORED q[]; };
layout(binding = 0) readonly buffer Q4 { STORED4 q4[]; };
layout(binding = 1) readonly buffer K { STORED k[]; };
layout(binding = 1) readonly buffer K4 { STORED4 k4[]; };
layout(binding = 2) readonly buffer V { STORED v[]; };
layout(binding = 2) readonly buffer V4 { STORED4 v4[]; };
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
layout(binding = 6) writeonly buffer Y { STORED y[]; };
layout(binding = 6) writeonly buffer Y4 { STORED4 y4[]; };

layout(push_constant) uniform Push {
    float step_a[4];
    float step_b[4];
} push;

#include "epilogue.glsl"
#define ATTENTION_SIZES sizes
#include "attention.glsl"

const uint LANES = 8, ROW_STEP = ROWS / 4, THREADS = LANES * ROW_STEP;
const uint KEYS_EACH = KEYS / LANES;
const uint QUADS_EACH = (WIDTH + LANES - 1) / LANES;
const uint Q_ROW = DEPTH | 1;
const uint KV_ROW = (DEPTH > WIDTH ? DEPTH : WIDTH) | 1;
const uint P_ROW = KEYS / 4 + 1;
const float LOWEST = -3.402823466e38;

shared vec4 q_tile[ROWS * Q_ROW];
shared vec4 kv_tile[KEYS * KV_ROW];
shared vec4 p_tile[ROWS * P_ROW];
shared float by_lane[ROWS * LANES];
shared uint odd_values; // some value of the tile is no finite number

float scores[4][KEYS_EACH];
vec4 sums[4][QUADS_EACH];
vec4 highest, totals; // of the four queries; an array would be of a type of the push block

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
READ_QUAD(read_v, v, v4)

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

void keep_values(uint first)
{
    const int start =
        sizes.v_at[0] + int(batch) * sizes.v_at[1] + int(head / sizes.group) * sizes.v_at[2];
    for (uint i = gl_LocalInvocationID.x; i < KEYS * WIDTH; i += THREADS) {
        const uint row = i / WIDTH, quad = i - row * WIDTH;
        const int at = start + int(min(first + row, sizes.keys - 1)) * sizes.v_at[3];
        vec4 value = vec4(0.0);
        if (first + row < sizes.keys)
            value = read_v(at, quad, sizes.width, sizes.v_step);
        kv_tile[row * KV_ROW + quad] = value;
        // Not so for NaN either.
        if (MASKED != 0 && !all(lessThanEqual(abs(value), vec4(-LOWEST))))
            odd_values = 1;
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

// Soft cap, mask and window, and each row's largest score that this invocation has.
void finish_scores(uint first_query, uint first_key, int length)
{
    [[unroll]] for (uint i = 0; i < 4; i++) {
        const uint query = min(first_query + row_of(i), sizes.queries - 1);
        float peak = LOWEST;
        [[unroll]] for (uint j = 0; j < KEYS_EACH; j++) {
            const uint key = first_key + lane() + j * LANES;
            float score = scores[i][j];
            if (CAP != 0)
                score = sizes.cap * tanh(clamp(score / sizes.cap, -15.0, 15.0));
            const bool inside = key < sizes.keys && inside_window(int(query), int(key), length);
            score = inside ? score + mask_at(query, min(key, sizes.keys - 1)) : minus_infinity();
            scores[i][j] = score;
            peak = score > peak ? score : peak;
        }
        by_lane[row_of(i) * LANES + lane()] = peak;
    }
}

// exp of something that is not above 0, and NaN of NaN.
float decay(float x)
{
    return x < -103.0 ? 0.0 : exp(x);
}

// Scores become weights, relative to the largest of the row so far.
void weigh()
{
    [[unroll]] for (uint i = 0; i < 4; i++) {
        const uint row = row_of(i);
        float peak = highest[i];
        [[unroll]] for (uint l = 0; l < LANES; l++)
            peak = max(peak, by_lane[row * LANES + l]);
        const float shrink = decay(highest[i] - peak);
        highest[i] = peak;
        totals[i] *= shrink;
        [[unroll]] for (uint n = 0; n < QUADS_EACH; n++)
            sums[i][n] *= shrink;
        [[unroll]] for (uint j = 0; j < KEYS_EACH; j++) {
            const uint key = lane() + j * LANES;
            const float weight = scores[i][j] < LOWEST ? 0.0 : decay(scores[i][j] - peak);
            totals[i] += weight;
            p_tile[row * P_ROW + key / 4][key % 4] = weight;
        }
    }
}

void add_values(bool careful)
{
    for (uint g = 0; g < KEYS / 4; g++) {
        vec4 weights[4];
        [[unroll]] for (uint i = 0; i < 4; i++)
            weights[i] = p_tile[row_of(i) * P_ROW + g];
        [[unroll]] for (uint n = 0; n < QUADS_EACH; n++) {
            [[unroll]] for (uint c = 0; c < 4; c++) {
                const uint quad = min(lane() + n * LANES, WIDTH - 1);
                const vec4 value = kv_tile[(4 * g + c) * KV_ROW + quad];
                [[unroll]] for (uint i = 0; i < 4; i++) {
                    if (careful)
                        sums[i][n] += weights[i][c] == 0.0 ? vec4(0.0) : weights[i][c] * value;
                    else
                        sums[i][n] += weights[i][c] * value;
                }
            }
        }
    }
}

void store(uint first)
{
    [[unroll]] for (uint i = 0; i < 4; i++) {
        const uint query = first + row_of(i);
        float total = 0.0;
        [[unroll]] for (uint l = 0; l < LANES; l++)
            total += by_lane[row_of(i) * LANES + l];
        const float scale = total != 0.0 ? 1.0 / total : 0.0; // NaN stays NaN
        const int to = sizes.y_at[0] + int(batch) * sizes.y_at[1] + int(head) * sizes.y_at[2] +
                       int(query) * sizes.y_at[3];
        [[unroll]] for (uint n = 0; n < QUADS_EACH; n++) {
            const uint quad = lane() + n * LANES;
            if (query >= sizes.queries || quad >= WIDTH)
                continue;
            vec4 value = scale * sums[i][n];
            [[unroll]] for (uint c = 0; c < 4; c++)
                value[c] = epilogue(value[c]);
            if (STORE_VECTOR != 0) {
                y4[(to >> 2) + int(quad)] = STORED4_OF(value);
            } else {
                [[unroll]] for (uint c = 0; c < 4; c++)
                    if (4 * quad + c < sizes.width)
                        y[to + int(4 * quad + c) * sizes.y_step] = STORED_OF(value[c]);
            }
        }
    }
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

void main()
{
    const uint id = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    const uint blocks = (sizes.queries + ROWS - 1) / ROWS;
    const uint matrix = id / blocks;
    const uint first_query =
        matrix < sizes.matrices ? (id - matrix * blocks) * ROWS : sizes.queries;
    batch = min(matrix, sizes.matrices - 1) / sizes.heads;
    head = min(matrix, sizes.matrices - 1) - batch * sizes.heads;
    const int length = length_of_batch();
    const uvec2 seen = seen_keys(first_query, length);
    [[unroll]] for (uint i = 0; i < 4; i++) {
        highest[i] = LOWEST;
        totals[i] = 0.0;
        [[unroll]] for (uint n = 0; n < QUADS_EACH; n++)
            sums[i][n] = vec4(0.0);
    }
    keep_queries(first_query);
    for (uint first = seen.x; first < seen.y; first += KEYS) {
        keep_keys(first);
        if (MASKED != 0 && gl_LocalInvocationID.x == 0)
            odd_values = 0;
        barrier();
        multiply_keys();
        finish_scores(first_query, first, length);
        barrier();
        weigh();
        keep_values(first);
        barrier();
        if (MASKED != 0 && odd_values != 0)
            add_values(true);
        else
            add_values(false);
        barrier();
    }
    [[unroll]] for (uint i = 0; i < 4; i++)
        by_lane[row_of(i) * LANES + lane()] = totals[i];
    barrier();
    store(first_query);
}
