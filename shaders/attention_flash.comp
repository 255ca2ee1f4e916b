// One workgroup = ROWS queries of one head and all their keys, KEYS at a time; one invocation =
// four queries x KEYS / 8 keys of the scores, and the same four queries x every eighth quad of
// channels of the result. Scores never leave the registers but as weights for the workgroup itself;
// what is summed up so far is scaled down whenever a larger score turns up.
//
// For GPUs: keys and values take turns in one tile of shared memory.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "types.glsl"
#include "vectors.glsl"
#include "index.glsl"
#include "flash_output.glsl"
#include "flash.glsl"

layout(constant_id = 6) const uint WIDTH = 16; // quads of a value's channels
layout(constant_id = 14) const uint STATS = 0; // 1: says what makes weights of scores

layout(binding = 2) readonly buffer Values4 { STORED4 v4[]; };
layout(binding = 7) writeonly buffer Stats { vec2 stats[]; }; // of each query of all matrices

#define KV_ROW ((DEPTH > WIDTH ? DEPTH : WIDTH) | 1)
#include "flash_scores.glsl"

const uint QUADS_EACH = (WIDTH + LANES - 1) / LANES;
const uint P_ROW = KEYS / 4 + 1;

shared vec4 p_tile[ROWS * P_ROW];
shared float by_lane[ROWS * LANES];
shared uint odd_values; // some value of the tile is no finite number

vec4 sums[4][QUADS_EACH];
vec4 highest, totals; // of the four queries; an array would be of a type of the push block

READ_QUAD(read_v, v, v4)

vec4 value_of(uint first, uint i)
{
    const int start =
        sizes.v_at[0] + int(batch) * sizes.v_at[1] + int(head / sizes.group) * sizes.v_at[2];
    const uint row = i / WIDTH, quad = i - row * WIDTH;
    const int at = start + int(min(first + row, sizes.keys - 1)) * sizes.v_at[3];
    const vec4 value = read_v(at, quad, sizes.width, sizes.v_step);
    return mix(vec4(0.0), value, bvec4(first + row < sizes.keys));
}

// Whether it is finite.
bool keep_value(uint i, vec4 value)
{
    const uint row = i / WIDTH, quad = i - row * WIDTH;
    kv_tile[row * KV_ROW + quad] = value;
    return all(lessThanEqual(abs(value), vec4(-LOWEST))); // not so for NaN either
}

const uint VALUES = KEYS * WIDTH;
const uint VALUES_EACH = (VALUES + THREADS - 1) / THREADS;
// Few enough for registers: they are read before the softmax, and are there when it is over.
const bool EARLY = VALUES_EACH <= 8;

vec4 values_next[EARLY ? VALUES_EACH : 1];

uint value_index(uint t)
{
    return min(t * THREADS + gl_LocalInvocationID.x, VALUES - 1);
}

void load_values(uint first)
{
    if (EARLY)
        [[unroll]] for (uint t = 0; t < VALUES_EACH; t++)
            values_next[t] = value_of(first, value_index(t));
}

void keep_values(uint first)
{
    bool finite = true;
    if (EARLY) {
        [[unroll]] for (uint t = 0; t < VALUES_EACH; t++) {
            const bool this_is = keep_value(value_index(t), values_next[t]);
            finite = finite && this_is;
        }
    } else {
        for (uint base = 0; base < VALUES; base += TOGETHER * THREADS) {
            vec4 quads[TOGETHER];
            [[unroll]] for (uint t = 0; t < TOGETHER; t++)
                quads[t] = value_of(first, value_index(base / THREADS + t));
            [[unroll]] for (uint t = 0; t < TOGETHER; t++) {
                const bool this_is = keep_value(value_index(base / THREADS + t), quads[t]);
                finite = finite && this_is;
            }
        }
    }
    if (MASKED != 0 && !finite)
        odd_values = 1;
}

// Each row's largest score that this invocation has.
void tell_peaks()
{
    [[unroll]] for (uint i = 0; i < 4; i++) {
        float peak = LOWEST;
        [[unroll]] for (uint j = 0; j < KEYS_EACH; j++)
            peak = scores[i][j] > peak ? scores[i][j] : peak;
        by_lane[row_of(i) * LANES + lane()] = peak;
    }
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
            const float weight = weight_of(scores[i][j], peak);
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
                    vec4 product = weights[i][c] * value;
                    if (careful) // without a branch, of which there would be too many for some drivers
                        product = mix(product, vec4(0.0), bvec4(weights[i][c] == 0.0));
                    sums[i][n] += product;
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
        if (STATS != 0 && lane() == 0 && query < sizes.queries)
            stats[(batch * sizes.heads + head) * sizes.queries + query] = vec2(highest[i], scale);
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
    const uvec2 seen = seen_keys(first_query, first_query + ROWS, length);
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
        load_values(first);
        finish_scores(first_query, first, length);
        tell_peaks();
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
