// Which keys a query of attention sees, and what the mask adds to a score. Include after
// attention_codes.glsl and types.glsl, the specialization constants MASK, WINDOW and LENGTH_WORDS,
// the buffers mask[] and lengths[] of words, and a block that ATTENTION_SIZES names: queries, keys,
// past, mask_keys, left, right, mask_at and mask_step. Set batch and head first.
uint batch, head;

float minus_infinity()
{
    return uintBitsToFloat(0xff800000u);
}

// Keys that hold something; a padded cache says it for each batch.
int length_of_batch()
{
    if (LENGTH_WORDS == 0)
        return int(ATTENTION_SIZES.keys);
    const uint low = lengths[batch * LENGTH_WORDS];
    const uint high = LENGTH_WORDS == 2 ? lengths[batch * LENGTH_WORDS + 1] : uint(int(low) >> 31);
    if (int(high) < 0)
        return 0;
    return high != 0 || low > 0x3fffffffu ? 0x3fffffff : int(low);
}

// What the mask adds to a score; minus infinity removes the key.
float mask_at(uint query, uint key)
{
    if (MASK == ATTENTION_MASK_NONE)
        return 0.0;
    // Read in any case, so that no read waits for a branch.
    const uint there = min(key, max(ATTENTION_SIZES.mask_keys, 1) - 1);
    const int at = ATTENTION_SIZES.mask_at[0] + int(batch) * ATTENTION_SIZES.mask_at[1] +
                   int(head) * ATTENTION_SIZES.mask_at[2] +
                   int(query) * ATTENTION_SIZES.mask_at[3] + int(there) * ATTENTION_SIZES.mask_step;
    const float hidden = minus_infinity(); // a call in ?: would be a branch
    float value;
    if (MASK == ATTENTION_MASK_F16) {
        const vec2 pair = unpackHalf2x16(mask[at >> 1]);
        value = (at & 1) != 0 ? pair.y : pair.x;
    } else {
        const uint word = mask[at];
        value = MASK == ATTENTION_MASK_BOOL  ? (word != 0 ? 0.0 : hidden)
                : MASK == ATTENTION_MASK_I32 ? float(int(word))
                                             : uintBitsToFloat(word);
    }
    return key == there ? value : hidden;
}

// Where a query stands among the keys.
int place_of(int query, int length)
{
    return query + (LENGTH_WORDS != 0 ? length - int(ATTENTION_SIZES.queries)
                                      : int(ATTENTION_SIZES.past));
}

bool inside_window(int query, int key, int length)
{
    const bool inside = key < length;
    if (WINDOW == 0)
        return inside;
    // What is negative has no end: it is large without a sign.
    const int ahead = key - place_of(query, length);
    return all(bvec3(inside, uint(max(-ahead, 0)) <= uint(ATTENTION_SIZES.left),
                     uint(max(ahead, 0)) <= uint(ATTENTION_SIZES.right)));
}
