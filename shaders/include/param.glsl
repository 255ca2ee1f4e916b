// Reads element `index` of a float tensor bound as `readonly buffer { uint words[]; }`, whichever
// way it is stored, so that one kernel takes parameters of either type. `kind`, a specialization
// constant, is PARAM_ABSENT (0; then do not read), PARAM_F32 (1) or PARAM_F16 (2).
#define PARAM_ABSENT 0
#define PARAM_F32 1
#define PARAM_F16 2

float param_half(uint word, int index)
{
    const vec2 pair = unpackHalf2x16(word);
    return (index & 1) != 0 ? pair.y : pair.x;
}

#define PARAM_AT(kind, words, index)                                                               \
    ((kind) == PARAM_F16 ? param_half(words[(index) >> 1], (index)) : uintBitsToFloat(words[index]))
