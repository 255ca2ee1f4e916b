// attention_flash with cooperative matrices. One workgroup = ROWS queries of one head and all their
// keys, KEYS at a time, or that many of several HEADS together, each of which has no more keys than
// one tile; one subgroup = M queries. Factors are float16, sums float32.
//
// The queries of a subgroup and its part of the result stay in matrices, that is in registers;
// keys and values lie in shared memory so that both products read them by columns: an invocation's
// part of a right factor is a run along the depth on the devices whose compilers were seen, and
// where it is none takes a read for every half. So a row of the tile has a key's channels, but a
// channel's values; these are turned as they are kept, two keys at a time. Rows have an odd number
// of octets, so that eight of them lie in different banks.
//
// Which element of a matrix an invocation has is the driver's secret, so scores go through shared
// memory: a subgroup stores its M x KEYS of them as floats, its invocations take whole octets of a
// row, and put the weights back as halves over the first half of the row. What is summed up so far
// is only scaled down where some row has found a larger score than in all tiles before: the second
// half of the row has room for a matrix of how much its sums are too large, by which they are
// divided as matrices. So nothing of the softmax but the weights is rounded to halves. They are
// WEIGHT_ONE times what they are, so that small ones are no denormal halves, and their total is
// taken after rounding, so that they still make one.
//
// All subgroups reach all barriers, whether they have queries or not: some software drivers take a
// subgroup's barrier for the workgroup's.
//
// glslang 12 knows NVIDIA's extension only; shader_pack makes it the Khronos one (shader_matrix.h).
// variants: f16
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_ballot : require
#extension GL_KHR_shader_subgroup_shuffle : require
#extension GL_NV_cooperative_matrix : require
#include "types.glsl"
#include "vectors.glsl"
#include "index.glsl"
#include "flash_output.glsl"
#include "flash.glsl"

layout(constant_id = 5) const uint DEPTH = 64; // a query's and a key's channels, in whole matrices
layout(constant_id = 6) const uint WIDTH = 64; // a value's
layout(constant_id = 14) const uint HEADS = 1;
layout(constant_id = 15) const uint LANES = 32;
layout(constant_id = 16) const uint M = 16;
layout(constant_id = 17) const uint N = 16;
layout(constant_id = 18) const uint K = 16;

layout(binding = 0) readonly buffer Queries8 { uvec4 q8[]; };
layout(binding = 1) readonly buffer Keys8 { uvec4 k8[]; };
layout(binding = 2) readonly buffer Values8 { uvec4 v8[]; };

#define LEFT fcoopmatNV<16, gl_ScopeSubgroup, M, K>
#define RIGHT fcoopmatNV<16, gl_ScopeSubgroup, K, N>
#define SUM fcoopmatNV<32, gl_ScopeSubgroup, M, N>

const uint THREADS = ROWS / M * LANES;
const uint HEAD_ROWS = ROWS / HEADS;
const uint KEY_OCTETS = DEPTH / 8, VALUE_OCTETS = WIDTH / 8;
const uint K_ROW = KEY_OCTETS | 1;
const uint V_ROW = KEYS / 8 | 1; // of a channel
const uint V_START = HEADS * KEYS * K_ROW;
const uint HELD = V_START + HEADS * WIDTH * V_ROW;
const uint S_ROW = KEYS / 4 + 1; // floats, or halves and behind them a matrix's row of floats
const uint PATCH = KEYS / 8;
const uint ROWS_EACH = M > LANES ? M / LANES : 1;
const uint LANES_EACH = LANES > M ? LANES / M : 1; // invocations that share a row
const uint OCTETS_EACH = KEYS / 8 / LANES_EACH;
const float WEIGHT_ONE = 32768.0;

shared uvec4 tile[HELD > ROWS * K_ROW ? HELD : ROWS * K_ROW]; // the queries first
shared uvec4 scores[ROWS * S_ROW];
shared uint odd_values; // 1 + the first key of the last tile where a value is no finite number

LEFT queries[DEPTH / K];
SUM sums[WIDTH / N];
float highest[ROWS_EACH], totals[ROWS_EACH];
float peaks[ROWS_EACH]; // what becomes the highest
float parts[ROWS_EACH][8 * OCTETS_EACH]; // scores of this invocation's part of a row
uint first_matrix;                       // of the workgroup
uint key_head;                           // of the subgroup's keys and values
uint slab, slab_query;                   // the subgroup's first row, and which query that is

#define READ_OCTET(name, elements, octets)                                                         \
    uvec4 name(int at, uint octet, uint count, int step)                                           \
    {                                                                                              \
        uvec4 halves = uvec4(0);                                                                   \
        if (VECTOR != 0) {                                                                         \
            const bool there = 8 * octet < count;                                                  \
            return mix(halves, octets[(at >> 3) + (there ? int(octet) : 0)], bvec4(there));        \
        }                                                                                          \
        [[unroll]] for (uint c = 0; c < 8; c++)                                                    \
            if (8 * octet + c < count)                                                             \
                halves[c / 2] |= packHalf2x16(vec2(                                                \
                    VALUE_OF(elements[at + int(8 * octet + c) * step]), 0.0)) << (16 * (c % 2));   \
        return halves;                                                                             \
    }
READ_OCTET(read_q, q, q8)
READ_OCTET(read_k, k, k8)
READ_OCTET(read_v, v, v8)

// Where keys or values of one of the workgroup's heads start.
int start_of(uint part, int offset, int batch_stride, int head_stride)
{
    if (HEADS == 1)
        return offset + int(batch) * batch_stride + int(key_head) * head_stride;
    const uint matrix = min(first_matrix + part, sizes.matrices - 1);
    const uint outer = matrix / sizes.heads;
    const uint inner = (matrix - outer * sizes.heads) / sizes.group;
    return offset + int(outer) * batch_stride + int(inner) * head_stride;
}

uint lane_row(uint i)
{
    return gl_SubgroupInvocationID % M + i * LANES;
}

uint lane_octet(uint i)
{
    return gl_SubgroupInvocationID / M + i * LANES_EACH;
}

void keep_queries()
{
    const int start = sizes.q_at[0] + int(batch) * sizes.q_at[1] + int(head) * sizes.q_at[2];
    for (uint i = gl_SubgroupInvocationID; i < M * KEY_OCTETS; i += LANES) {
        const uint row = i / KEY_OCTETS, octet = i - row * KEY_OCTETS;
        const int at = start + int(slab_query + row) * sizes.q_at[3];
        uvec4 halves = uvec4(0);
        if (slab_query + row < sizes.queries)
            halves = read_q(at, octet, sizes.depth, sizes.q_step);
        tile[(slab + row) * K_ROW + octet] = halves;
    }
    barrier();
    [[unroll]] for (uint d = 0; d < DEPTH / K; d++)
        coopMatLoadNV(queries[d], tile, slab * K_ROW + d * (K / 8), K_ROW, false);
}

// Keys from `first` on, and none from `end` on.
void keep_key(uint i, uint first, uint end)
{
    const uint row = i / KEY_OCTETS, octet = i - row * KEY_OCTETS;
    const uint part = HEADS == 1 ? 0 : row / KEYS;
    const uint key = first + row - part * KEYS;
    const int at = start_of(part, sizes.k_at[0], sizes.k_at[1], sizes.k_at[2]) +
                   int(min(key, end - 1)) * sizes.k_at[3];
    const uvec4 halves = read_k(at, octet, sizes.depth, sizes.k_step);
    tile[row * K_ROW + octet] = mix(uvec4(0), halves, bvec4(key < end));
}

// Those that are one too many do the last once more: a loop that all invocations leave at once, after
// one or two trips that compilers know, is none.
void keep_keys(uint first, uint end)
{
    const uint OCTETS = HEADS * KEYS * KEY_OCTETS;
    for (uint base = 0; base < OCTETS; base += THREADS)
        keep_key(min(base + gl_LocalInvocationID.x, OCTETS - 1), first, end);
}

bool all_finite(uvec4 halves)
{
    const uvec4 even = halves & 0x7c00u, odd = halves & 0x7c000000u;
    return all(notEqual(even, uvec4(0x7c00u))) && all(notEqual(odd, uvec4(0x7c000000u)));
}

uvec4 read_value(uint part, uint key, uint end, uint octet)
{
    const int at = start_of(part, sizes.v_at[0], sizes.v_at[1], sizes.v_at[2]) +
                   int(min(key, end - 1)) * sizes.v_at[3];
    const uvec4 halves = read_v(at, octet, sizes.width, sizes.v_step);
    return mix(uvec4(0), halves, bvec4(key < end));
}

const uint PAIRS = KEYS / 2;

void keep_pair(uint i, uint first, uint end)
{
    const uint pair = i % PAIRS, octet = i / PAIRS % VALUE_OCTETS;
    const uint part = HEADS == 1 ? 0 : i / (PAIRS * VALUE_OCTETS);
    const uvec4 even = read_value(part, first + 2 * pair, end, octet);
    const uvec4 odd = read_value(part, first + 2 * pair + 1, end, octet);
    const uint to = V_START + (part * WIDTH + 8 * octet) * V_ROW + pair / 4;
    [[unroll]] for (uint c = 0; c < 4; c++) {
        tile[to + 2 * c * V_ROW][pair % 4] = even[c] & 0xffffu | odd[c] << 16;
        tile[to + (2 * c + 1) * V_ROW][pair % 4] = even[c] >> 16 | odd[c] & 0xffff0000u;
    }
    if (MASKED != 0 && !(all_finite(even) && all_finite(odd)))
        odd_values = first + 1;
}

// Neighbouring invocations take neighbouring pairs of keys, and so write to neighbouring words.
void keep_values(uint first, uint end)
{
    const uint COUNT = HEADS * PAIRS * VALUE_OCTETS;
    for (uint base = 0; base < COUNT; base += THREADS)
        keep_pair(min(base + gl_LocalInvocationID.x, COUNT - 1), first, end);
}

// key_row: the tile's first row of the subgroup's head.
void multiply_keys(uint key_row)
{
    for (uint n = 0; n < KEYS; n += N) {
        SUM products = SUM(0.0);
        [[unroll]] for (uint d = 0; d < DEPTH / K; d++) {
            RIGHT keys;
            coopMatLoadNV(keys, tile, (key_row + n) * K_ROW + d * (K / 8), K_ROW, true);
            products = coopMatMulAddNV(queries[d], keys, products);
        }
        coopMatStoreNV(products, scores, slab * S_ROW + n / 4, S_ROW, false);
    }
}

// Finishes this invocation's scores of a row, and finds the largest that the row has had.
void finish_row(uint i, uint first_key, int length)
{
    const uint query = min(slab_query + lane_row(i), sizes.queries - 1);
    float peak = highest[i];
    [[unroll]] for (uint o = 0; o < OCTETS_EACH; o++) {
        const uint at = (slab + lane_row(i)) * S_ROW + 2 * lane_octet(o);
        const vec4 low = uintBitsToFloat(scores[at]), high = uintBitsToFloat(scores[at + 1]);
        [[unroll]] for (uint c = 0; c < 8; c++) {
            const float product = c < 4 ? low[c % 4] : high[c % 4];
            const float score = finish_score(sizes.scale * product, query,
                                             first_key + 8 * lane_octet(o) + c, length);
            parts[i][8 * o + c] = score;
            peak = score > peak ? score : peak;
        }
    }
    for (uint step = M; step < LANES; step *= 2)
        peak = max(peak, subgroupShuffleXor(peak, step));
    peaks[i] = peak;
}

void finish_scores(uint first_key, int length)
{
    [[unroll]] for (uint i = 0; i < ROWS_EACH; i++)
        finish_row(i, first_key, length);
}

// Scores of a row become weights, relative to its largest so far.
void weigh_row(uint i)
{
    const float peak = highest[i];
    [[unroll]] for (uint o = 0; o < OCTETS_EACH; o++) {
        uvec4 halves;
        [[unroll]] for (uint c = 0; c < 4; c++) {
            const vec2 weights = vec2(weight_of(parts[i][8 * o + 2 * c], peak),
                                      weight_of(parts[i][8 * o + 2 * c + 1], peak));
            halves[c] = packHalf2x16(WEIGHT_ONE * weights);
            const vec2 rounded = unpackHalf2x16(halves[c]);
            totals[i] += rounded.x + rounded.y;
        }
        scores[(slab + lane_row(i)) * S_ROW + lane_octet(o)] = halves;
    }
}

// Whether the sums are too large, each row by the factor in its patch. Far enough below infinity
// it does not matter what the factor is.
bool weigh(bool is_first)
{
    const float GROWTH_MAX = 69.0; // as an exponent: 1e30
    bool grows = false;
    [[unroll]] for (uint i = 0; i < ROWS_EACH; i++)
        grows = grows || (!is_first && peaks[i] > highest[i]);
    const bool some_grow = subgroupBallot(grows) != uvec4(0);
    [[unroll]] for (uint i = 0; i < ROWS_EACH; i++) {
        if (some_grow) {
            const float growth = exp(min(peaks[i] - highest[i], GROWTH_MAX));
            const uint at = (slab + lane_row(i)) * S_ROW + PATCH;
            totals[i] /= growth;
            for (uint c = lane_octet(0); c < N / 4; c += LANES_EACH)
                scores[at + c] = uvec4(floatBitsToUint(growth));
        }
        highest[i] = peaks[i];
        weigh_row(i);
    }
    return some_grow;
}

void shrink_sums()
{
    SUM growth;
    coopMatLoadNV(growth, scores, slab * S_ROW + PATCH, S_ROW, false);
    [[unroll]] for (uint j = 0; j < WIDTH / N; j++)
        sums[j] = sums[j] / growth;
}

// value_row: where the tile has the first channel of the subgroup's head.
void add_values(uint value_row)
{
    for (uint n = 0; n < KEYS; n += K) {
        LEFT weights;
        coopMatLoadNV(weights, scores, slab * S_ROW + n / 8, S_ROW, false);
        [[unroll]] for (uint j = 0; j < WIDTH / N; j++) {
            RIGHT values;
            coopMatLoadNV(values, tile, value_row + j * N * V_ROW + n / 8, V_ROW, true);
            sums[j] = coopMatMulAddNV(weights, values, sums[j]);
        }
    }
}

float half_at(uvec4 octet, uint c)
{
    const vec2 pair = unpackHalf2x16(octet[c / 2]);
    return c % 2 == 0 ? pair.x : pair.y;
}

// The sum of a row's values in one channel, of those that have a weight.
float careful_sum(uint row, uint value_row, uint channel)
{
    float sum = 0.0;
    for (uint o = 0; o < KEYS / 8; o++) {
        const uvec4 weights = scores[row * S_ROW + o];
        const uvec4 values = tile[value_row + channel * V_ROW + o];
        [[unroll]] for (uint c = 0; c < 8; c++) {
            const float weight = half_at(weights, c);
            sum += weight == 0.0 ? 0.0 : weight * half_at(values, c);
        }
    }
    return sum;
}

// The same where 0 times a value may be NaN: no product of matrices, but sums added as one.
void add_values_carefully(uint value_row)
{
    [[unroll]] for (uint j = 0; j < WIDTH / N; j++) {
        subgroupBarrier();
        for (uint i = gl_SubgroupInvocationID; i < M * N; i += LANES) {
            const uint row = slab + i / N, column = i % N;
            scores[row * S_ROW + PATCH + column / 4][column % 4] =
                floatBitsToUint(careful_sum(row, value_row, j * N + column));
        }
        subgroupBarrier();
        SUM more;
        coopMatLoadNV(more, scores, slab * S_ROW + PATCH, S_ROW, false);
        sums[j] = sums[j] + more;
    }
}

// What a row is multiplied with in the end goes behind its scores.
void keep_scales()
{
    [[unroll]] for (uint i = 0; i < ROWS_EACH; i++) {
        float total = totals[i];
        for (uint step = M; step < LANES; step *= 2)
            total += subgroupShuffleXor(total, step);
        if (lane_octet(0) == 0) // NaN stays NaN
            scores[(slab + lane_row(i)) * S_ROW + KEYS / 4].x =
                floatBitsToUint(total != 0.0 ? 1.0 / total : 0.0);
    }
}

void store_quad(uint query, uint channel, vec4 value)
{
    const int to = sizes.y_at[0] + int(batch) * sizes.y_at[1] + int(head) * sizes.y_at[2] +
                   int(query) * sizes.y_at[3];
    if (query >= sizes.queries || channel >= sizes.width)
        return;
    [[unroll]] for (uint c = 0; c < 4; c++)
        value[c] = epilogue(value[c]);
    if (STORE_VECTOR != 0) {
        y4[(to + int(channel)) >> 2] = STORED4_OF(value);
    } else {
        [[unroll]] for (uint c = 0; c < 4; c++)
            if (channel + c < sizes.width)
                y[to + int(channel + c) * sizes.y_step] = STORED_OF(value[c]);
    }
}

// KEYS channels at a time through the memory of the scores.
void store()
{
    const uint TOGETHER = KEYS / N;
    subgroupBarrier(); // the last weights have been read
    keep_scales();
    [[unroll]] for (uint j = 0; j < WIDTH / N; j++) {
        coopMatStoreNV(sums[j], scores, slab * S_ROW + j % TOGETHER * (N / 4), S_ROW, false);
        if (j % TOGETHER == TOGETHER - 1 || j == WIDTH / N - 1) {
            subgroupBarrier();
            for (uint i = gl_SubgroupInvocationID; i < M * (KEYS / 4); i += LANES) {
                const uint row = i / (KEYS / 4), quad = i - row * (KEYS / 4);
                const uint at = (slab + row) * S_ROW;
                store_quad(slab_query + row, j / TOGETHER * KEYS + 4 * quad,
                           uintBitsToFloat(scores[at + KEYS / 4].x) *
                               uintBitsToFloat(scores[at + quad]));
            }
            subgroupBarrier();
        }
    }
}

void main()
{
    const uint id = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    const uint blocks = (sizes.queries + HEAD_ROWS - 1) / HEAD_ROWS; // one if HEADS are several
    const uint first_query = id % blocks * HEAD_ROWS;
    slab = gl_SubgroupID * M;
    const uint part = HEADS == 1 ? 0 : slab / HEAD_ROWS;
    first_matrix = id / blocks * HEADS;
    const uint matrix = first_matrix + part;
    batch = min(matrix, sizes.matrices - 1) / sizes.heads;
    head = min(matrix, sizes.matrices - 1) - batch * sizes.heads;
    key_head = head / sizes.group;
    slab_query = matrix < sizes.matrices ? first_query + slab - part * HEAD_ROWS : sizes.queries;
    const bool busy = slab_query < sizes.queries;
    const int length = length_of_batch();
    uvec2 seen = uvec2(0, sizes.keys);
    if (HEADS == 1)
        seen = seen_keys(first_query, first_query + ROWS, length);
    if (first_matrix >= sizes.matrices)
        seen = uvec2(0);
    [[unroll]] for (uint i = 0; i < ROWS_EACH; i++) {
        highest[i] = LOWEST;
        totals[i] = 0.0;
    }
    [[unroll]] for (uint j = 0; j < WIDTH / N; j++)
        sums[j] = SUM(0.0);
    if (MASKED != 0 && gl_LocalInvocationID.x == 0)
        odd_values = 0;
    keep_queries();
    for (uint first = seen.x; first < seen.y; first += KEYS) {
        barrier();
        keep_keys(first, seen.y);
        keep_values(first, seen.y);
        barrier();
        if (busy)
            multiply_keys(part * KEYS);
        subgroupBarrier();
        if (busy)
            finish_scores(first, length);
        subgroupBarrier(); // weights go where scores have been
        const bool too_large = busy && weigh(first == seen.x);
        subgroupBarrier();
        if (too_large)
            shrink_sums();
        if (MASKED != 0 && odd_values == first + 1)
            add_values_carefully(V_START + part * WIDTH * V_ROW);
        else if (busy)
            add_values(V_START + part * WIDTH * V_ROW);
    }
    store();
}
