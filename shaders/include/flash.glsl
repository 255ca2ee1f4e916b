// What the kernels of attention on GPUs have in common: queries and keys, which of a tile's keys are
// looked at, and what becomes of a score. Include after vectors.glsl and index.glsl; names that end
// in 4 or 8 and sizes of tiles are the includer's.
#include "attention_codes.glsl"

layout(constant_id = 3) const uint ROWS = 32; // queries of a workgroup
layout(constant_id = 4) const uint KEYS = 32; // of a tile
layout(constant_id = 7) const uint VECTOR = 0; // q, k and v may be read as vectors
layout(constant_id = 9) const uint MASK = ATTENTION_MASK_NONE;
layout(constant_id = 10) const uint WINDOW = 0;       // left and right mean something
layout(constant_id = 11) const uint LENGTH_WORDS = 0; // words of an element of lengths; 0: none
layout(constant_id = 12) const uint CAP = 0;

layout(binding = 0) readonly buffer Queries { STORED q[]; };
layout(binding = 1) readonly buffer Keys { STORED k[]; };
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

const float LOWEST = -3.402823466e38;

// Soft cap, mask and window; below LOWEST where the key is hidden.
float finish_score(float score, uint query, uint key, int length)
{
    if (CAP != 0)
        score = sizes.cap * tanh(clamp(score / sizes.cap, -15.0, 15.0));
    const bool seen = inside_window(int(query), int(key), length);
    const float added = mask_at(query, min(key, sizes.keys - 1));
    const float hidden = minus_infinity();
    const float bias = all(bvec2(key < sizes.keys, seen)) ? added : hidden;
    return mix(score + bias, bias, bias < LOWEST); // hidden even if the score is NaN; no branch
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

// The keys that some query from first_query to the one before end_query may see, from a multiple of
// KEYS on.
uvec2 seen_keys(uint first_query, uint end_query, int length)
{
    const int last = int(min(end_query, sizes.queries)) - 1;
    int begin = 0, end = min(int(sizes.keys), length);
    if (WINDOW != 0 && sizes.left >= 0)
        begin = max(place_of(int(first_query), length) - sizes.left, 0);
    if (WINDOW != 0 && sizes.right >= 0)
        end = min(end, place_of(last, length) + sizes.right + 1);
    return uvec2(uint(begin) / KEYS * KEYS, uint(max(end, 0)));
}
