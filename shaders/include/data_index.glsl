// Indices that are data: int32 or int64, read from a `readonly buffer { uint words[]; }`. INDEX_WORDS, a
// specialization constant of the including kernel, is 1 or 2 words per index, the low one first.

// Saturates what does not fit 32 bits: it is outside every tensor either way.
int index_of_words(uint low, uint high)
{
    if (int(high) == int(low) >> 31)
        return int(low);
    return int(high) < 0 ? -2147483647 - 1 : 2147483647;
}

#define INDEX_AT(words, at)                                                                        \
    (INDEX_WORDS == 2 ? index_of_words(words[2 * (at)], words[2 * (at) + 1]) : int(words[at]))

// Negative indices count from the end. What is outside stays outside.
int index_from_end(int index, int dim)
{
    return index < 0 ? index + dim : index;
}
