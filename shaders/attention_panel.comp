// Attention in one dispatch, for CPU drivers: one workgroup = one subgroup = PIXELS queries of a
// head. Keys are taken LANES * COLS at a time, COLS neighbouring ones per lane. Their scores stay
// in registers, where the softmax makes weights of them, which every lane is handed one after the
// other to multiply its channels of the values. A running maximum says how to scale what was summed
// so far.
// Where the weights are wanted, each invocation keeps its scores, and makes weights of them once
// more when the largest of all is known.
// variants: f32 t32
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "read4.glsl"
#include "index.glsl"
#include "panel.glsl"
#include "decay.glsl"

const uint NOTHING = 0xff800000u;    // minus infinity, which removes a key

layout(constant_id = 6) const uint VECTORS = 1; // a lane's channels of the values, by fours
layout(constant_id = 7) const uint BLOCKS = 0;  // 1: all keys are taken at once
layout(constant_id = 8) const uint RAGGED = 1;  // 1: the last block is not full
layout(constant_id = 9) const uint HAS_MASK = 0;
layout(constant_id = 10) const uint MASK_COLUMN = 1; // the mask's step from a key to the next
layout(constant_id = 11) const float SCALE = 1.0;
layout(constant_id = 12) const uint STATS = 0;   // 1: says what makes weights of scores
layout(constant_id = 13) const uint WEIGHTS = 0; // 1: stores the weights
layout(constant_id = 15) const uint KEPT = 1;    // blocks of scores that are kept for that

READ4(0, q4);
READ4(1, k4);
READ4(2, v4);
READ(3, mask);
layout(binding = 4) writeonly buffer Y4 { vec4 y4[]; };
layout(binding = 5) writeonly buffer Stats { vec2 stats[]; };      // of each query of all batches
layout(binding = 6) writeonly buffer Weights { float weights[]; }; // [query of all batches, key]

layout(push_constant) uniform Push {
    uint batches, batch_inner; // batches = outer x inner
    uint lengths;              // queries, and keys << 16
    uint widths;               // channels of a query, and of a value << 16
    int q_offset, k_offset, v_offset, mask_offset, y_offset;
    int q_row, k_row, v_row, mask_row, y_row;
    int q_batch[2], k_batch[2], v_batch[2], mask_batch[2], y_batch[2]; // outer, inner
    float step_a[4];
    float step_b[4];
} push;

#include "epilogue.glsl"

const uint FOURS = (PIXELS + 3) / 4;

// Only ever read where it was written. [block, four queries, key of a lane, lane]
shared vec4 kept[KEPT * FOURS * COLS * LANES];

vec4 weighted[PIXELS][VECTORS]; // sums of values so far
float highest[PIXELS];          // of each query's scores so far
float totals[PIXELS];           // of the weights so far, those of this lane's keys
int q_rows[READS], v_columns[VECTORS];

int base(ivec2 place, int offset, int strides[2])
{
    return offset + place.x * strides[0] + place.y * strides[1];
}

// The value of the lane at the same place in the other half of 2 * `step` lanes; `none` past them.
float across(float value, uint step, float none)
{
    return step < LANES ? subgroupShuffle(value, gl_SubgroupInvocationID ^ step) : none;
}

// Not loops: what is called from an unrolled loop must have none left, or drivers do not unroll it.
float over_lanes_max(float value)
{
    value = max(value, across(value, 1, value));
    value = max(value, across(value, 2, value));
    value = max(value, across(value, 4, value));
    value = max(value, across(value, 8, value));
    return max(value, across(value, 16, value));
}

float over_lanes_sum(float value)
{
    value += across(value, 1, 0.0);
    value += across(value, 2, 0.0);
    value += across(value, 4, 0.0);
    value += across(value, 8, 0.0);
    return value + across(value, 16, 0.0);
}

// Products of the queries with the lane's keys, from `key` on.
void score(int k_base, uint key, uint keys)
{
    int k_rows[COLS];
    [[unroll]] for (uint c = 0; c < COLS; c++)
        k_rows[c] = (k_base + int(min(key + c, keys - 1)) * push.k_row) >> 2;
    [[unroll]] for (uint p = 0; p < PIXELS; p++)
        [[unroll]] for (uint c = 0; c < COLS; c++)
            sums[p][c] = 0.0;
    const uint quads = (push.widths & 0xffffu) / 4;
    for (uint quad = 0; quad < quads; quad++) {
        vec4 queries[READS], columns[COLS];
        [[unroll]] for (uint r = 0; r < READS; r++)
            queries[r] = AT4(q4, q_rows[r] + int(quad));
        [[unroll]] for (uint c = 0; c < COLS; c++)
            columns[c] = AT4(k4, k_rows[c] + int(quad));
        panel_add(queries, columns);
    }
}

// Makes scores of one query's products.
void finish(uint p, uint key, uint keys, int mask_at)
{
    [[unroll]] for (uint c = 0; c < COLS; c++) {
        float value = sums[p][c] * SCALE;
        if (HAS_MASK != 0)
            value += AT(mask, mask_at + int(min(key + c, keys - 1)) * int(MASK_COLUMN));
        if (RAGGED != 0 && key + c >= keys)
            value = uintBitsToFloat(NOTHING);
        sums[p][c] = value;
    }
}

uint kept_at(uint block, uint four, uint c)
{
    return ((block * FOURS + four) * COLS + c) * LANES + gl_SubgroupInvocationID;
}

void keep(uint block)
{
    [[unroll]] for (uint four = 0; four < FOURS; four++) {
        [[unroll]] for (uint c = 0; c < COLS; c++) {
            vec4 scores;
            [[unroll]] for (uint j = 0; j < 4; j++)
                scores[j] = sums[min(4 * four + j, PIXELS - 1)][c];
            kept[kept_at(block, four, c)] = scores;
        }
    }
}

// Makes weights of one query's scores, relative to the largest so far.
void weigh(uint p)
{
    float high = uintBitsToFloat(NOTHING);
    [[unroll]] for (uint c = 0; c < COLS; c++)
        high = max(high, sums[p][c]);
    high = max(highest[p], over_lanes_max(high));
    const float start = max(high, LOWEST);
    if (BLOCKS != 1) {
        const float kept = exp(max(highest[p], LOWEST) - start);
        totals[p] *= kept;
        [[unroll]] for (uint v = 0; v < VECTORS; v++)
            weighted[p][v] *= kept;
    }
    highest[p] = high;
    [[unroll]] for (uint c = 0; c < COLS; c++) {
        // Weights that are stored are exactly 0 where a key is hidden.
        sums[p][c] = WEIGHTS != 0 && BLOCKS == 1 ? decay(vec4(sums[p][c] - start)).x
                                                 : exp(sums[p][c] - start);
        totals[p] += sums[p][c];
    }
}

// Adds the values of the block's keys, COLS of them at a time.
void add_values(int v_base, uint first, uint keys)
{
    const uint lanes = min(LANES, (keys - first + COLS - 1) / COLS);
    for (uint lane = 0; lane < lanes; lane++) {
        vec4 values[COLS][VECTORS];
        [[unroll]] for (uint c = 0; c < COLS; c++) {
            const uint key = first + lane * COLS + c;
            const int at = (v_base + int(min(key, keys - 1)) * push.v_row) >> 2;
            [[unroll]] for (uint v = 0; v < VECTORS; v++) {
                values[c][v] = AT4(v4, at + v_columns[v]);
                if (RAGGED != 0 && key >= keys) // 0 times infinity
                    values[c][v] = vec4(0.0);
            }
        }
        [[unroll]] for (uint p = 0; p < PIXELS; p++) {
            [[unroll]] for (uint c = 0; c < COLS; c++) {
                const float weight = subgroupShuffle(sums[p][c], lane);
                [[unroll]] for (uint v = 0; v < VECTORS; v++)
                    weighted[p][v] += weight * values[c][v];
            }
        }
    }
}

// What makes the weights of a query add up to 1. A row with nothing left gets zeros. Its total does
// not tell: some drivers make a little more than 0 of minus infinity.
float scale_of(uint p)
{
    const float total = over_lanes_sum(totals[p]);
    return highest[p] == uintBitsToFloat(NOTHING) ? 0.0 : 1.0 / total;
}

// row: of the first query.
void store_weights(uint block, uint key, uint keys, uint row, uint count)
{
    [[unroll]] for (uint four = 0; four < FOURS; four++) {
        vec4 scores[COLS];
        [[unroll]] for (uint c = 0; c < COLS; c++)
            if (BLOCKS != 1)
                scores[c] = kept[kept_at(block, four, c)];
        [[unroll]] for (uint j = 0; j < 4; j++) {
            const uint p = min(4 * four + j, PIXELS - 1);
            if (4 * four + j >= PIXELS || p >= count)
                continue;
            const float start = max(highest[p], LOWEST);
            [[unroll]] for (uint c = 0; c < COLS; c++) {
                const float weight =
                    BLOCKS == 1 ? sums[p][c] : decay(vec4(scores[c][j] - start)).x;
                if (RAGGED == 0 || key + c < keys)
                    weights[(row + p) * keys + key + c] = weight * totals[p];
            }
        }
    }
}

void store(uint p, int y_at, uint width, uint row)
{
    const float scale = totals[p];
    if (STATS != 0 && gl_SubgroupInvocationID == 0)
        stats[row] = vec2(max(highest[p], LOWEST), scale);
    [[unroll]] for (uint v = 0; v < VECTORS; v++) {
        const uint channel = 4 * (v * LANES + gl_SubgroupInvocationID);
        vec4 value = weighted[p][v] * scale;
        [[unroll]] for (uint j = 0; j < 4; j++)
            value[j] = epilogue(value[j]);
        if (channel < width)
            y4[(y_at + int(channel)) >> 2] = value;
    }
}

void take_block(uint block, int k_base, int v_base, uint keys, uint first, uint queries,
                int mask_at)
{
    const uint key = block + gl_SubgroupInvocationID * COLS;
    score(k_base, key, keys);
    [[unroll]] for (uint p = 0; p < PIXELS; p++)
        finish(p, key, keys, mask_at + int(min(first + p, queries - 1)) * push.mask_row);
    if (WEIGHTS != 0 && BLOCKS != 1)
        keep(block / (LANES * COLS));
    [[unroll]] for (uint p = 0; p < PIXELS; p++)
        weigh(p);
    add_values(v_base, block, keys);
}

void main()
{
    const uint queries = push.lengths & 0xffffu, keys = push.lengths >> 16;
    const uint width = push.widths >> 16, tiles = (queries + PIXELS - 1) / PIXELS;
    const uint id = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    const uint batch = id / tiles, first = (id - batch * tiles) * PIXELS;
    if (batch >= push.batches)
        return;
    const uint outer = batch / push.batch_inner;
    const ivec2 place = ivec2(outer, batch - outer * push.batch_inner);
    const int q_base = base(place, push.q_offset, push.q_batch);
    const int k_base = base(place, push.k_offset, push.k_batch);
    const int v_base = base(place, push.v_offset, push.v_batch);
    const int mask_at = base(place, push.mask_offset, push.mask_batch);
    [[unroll]] for (uint v = 0; v < VECTORS; v++) {
        // Channels past the end repeat the first ones and are not stored.
        const uint vector = v * LANES + gl_SubgroupInvocationID;
        v_columns[v] = 4 * vector < width ? int(vector) : 0;
    }
    [[unroll]] for (uint r = 0; r < READS; r++) {
        // So do rows.
        const uint row = min(first + r * LANES + gl_SubgroupInvocationID, queries - 1);
        q_rows[r] = (q_base + int(row) * push.q_row) >> 2;
    }
    [[unroll]] for (uint p = 0; p < PIXELS; p++) {
        highest[p] = uintBitsToFloat(NOTHING);
        totals[p] = 0.0;
        [[unroll]] for (uint v = 0; v < VECTORS; v++)
            weighted[p][v] = vec4(0.0);
    }
    // A loop of one trip would carry all sums through it.
    if (BLOCKS == 1) {
        take_block(0, k_base, v_base, keys, first, queries, mask_at);
    } else {
        for (uint block = 0; block < keys; block += LANES * COLS)
            take_block(block, k_base, v_base, keys, first, queries, mask_at);
    }
    [[unroll]] for (uint p = 0; p < PIXELS; p++)
        totals[p] = scale_of(p);
    for (uint block = 0; WEIGHTS != 0 && block < keys; block += LANES * COLS)
        store_weights(block / (LANES * COLS), block + gl_SubgroupInvocationID * COLS, keys,
                      batch * queries + first, queries - first);
    int y_at = base(place, push.y_offset, push.y_batch) + int(first) * push.y_row;
    [[unroll]] for (uint p = 0; p < PIXELS; p++) {
        if (first + p < queries)
            store(p, y_at, width, batch * queries + first + p);
        y_at += push.y_row;
    }
}
