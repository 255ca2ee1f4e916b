// Integers as words of 32 bits, or several to a word, the first in its lowest bits: `bits` each,
// 32 or less. One that is signed extends its sign.
int packed_at(uint word, int index, uint bits, bool is_signed)
{
    if (bits == 32)
        return int(word);
    const int shift = int(uint(index) * bits & 31u);
    return is_signed ? bitfieldExtract(int(word), shift, int(bits))
                     : int(bitfieldExtract(word, shift, int(bits)));
}

// Element `index` of an array of words.
#define PACKED_AT(words, index, bits, is_signed)                                                   \
    packed_at(words[uint(index) * (bits) >> 5], (index), (bits), (is_signed))
