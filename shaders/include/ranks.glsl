// Reads what prefix_sums.comp has made. Include it where SHIFT is known. SUM_BEFORE(name, sums)
// defines a function: the sum of all entries before one, of `count`.
#define SUM_BEFORE(name, sums)                                                                     \
    uint name(uint entry, uint count)                                                              \
    {                                                                                              \
        uint sum = sums[entry], level = 0;                                                         \
        while (count > (1u << SHIFT)) {                                                            \
            level += count;                                                                        \
            count = (count + (1u << SHIFT) - 1) >> SHIFT;                                          \
            entry >>= SHIFT;                                                                       \
            sum += sums[level + entry];                                                            \
        }                                                                                          \
        return sum;                                                                                \
    }

// The bits of a word below one of them.
uint bits_below(uint mask, uint bit)
{
    return uint(bitCount(mask & ((1u << bit) - 1u)));
}
