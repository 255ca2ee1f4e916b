// One workgroup = ROWS queries of one head x KEYS keys: the weights of attention_flash.comp, made
// again with the same arithmetic from what it says of each query, and stored. One invocation = four
// queries x KEYS / 8 keys; eight invocations store neighbours.
//
// For GPUs, where the scores of all queries are never in memory.
// variants: f32 f16
#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#include "types.glsl"
#include "vectors.glsl"
#include "index.glsl"
#include "flash.glsl"

layout(binding = 2) readonly buffer Stats { vec2 stats[]; }; // of each query of all matrices
layout(binding = 6) writeonly buffer Y { STORED y[]; };      // [matrix, query that is taken, key]

layout(push_constant) uniform Push {
    uint first, taken; // queries
} push;

#define KV_ROW (DEPTH | 1)
#include "flash_scores.glsl"

// A query past those that are taken reads no statistics and stores nothing.
void store(uint matrix, uint first_query, uint first_key)
{
    const uint end = push.first + push.taken;
    [[unroll]] for (uint i = 0; i < 4; i++) {
        const uint query = first_query + row_of(i);
        if (query >= end)
            continue;
        const vec2 row = stats[matrix * sizes.queries + query];
        const uint to = (matrix * push.taken + query - push.first) * sizes.keys;
        [[unroll]] for (uint j = 0; j < KEYS_EACH; j++) {
            const uint key = first_key + lane() + j * LANES;
            if (key < sizes.keys)
                y[to + key] = STORED_OF(weight_of(scores[i][j], row.x) * row.y);
        }
    }
}

void main()
{
    const uint id = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    const uint key_blocks = (sizes.keys + KEYS - 1) / KEYS;
    const uint query_blocks = (push.taken + ROWS - 1) / ROWS;
    const uint row_block = id / key_blocks;
    const uint matrix = min(row_block / query_blocks, sizes.matrices - 1);
    const uint first_query = row_block < sizes.matrices * query_blocks
                                 ? push.first + (row_block - matrix * query_blocks) * ROWS
                                 : push.first + push.taken;
    const uint first_key = (id - row_block * key_blocks) * KEYS;
    batch = matrix / sizes.heads;
    head = matrix - batch * sizes.heads;
    const int length = length_of_batch();
    const uvec2 seen = seen_keys(first_query, first_query + ROWS, length);
    const bool hidden = first_key + KEYS <= seen.x || first_key >= seen.y; // from all of ROWS
    if (!hidden) {
        keep_queries(first_query);
        keep_keys(first_key);
    }
    barrier();
    if (!hidden)
        multiply_keys();
    finish_scores(first_query, first_key, length);
    store(matrix, first_query, first_key);
}
