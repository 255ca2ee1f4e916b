// The two extensions differ in three things. A KHR type also says whether it is a left factor, a
// right factor or a sum, which here follows from where its matrices are multiplied. The order of a
// matrix's elements in memory is a number after the pointer, not a bool at the end. And all numbers
// of instructions are others.
#include "shader_matrix.h"

#include <string.h>

enum {
    HEADER_WORDS = 5,
    BOUND = 3,
    CONSTANTS = 3, // 0, 1 and 2, made for uses and orders
    CONSTANT_WORDS = 4,

    OP_EXTENSION = 10,
    OP_CAPABILITY = 17,
    OP_TYPE_INT = 21,
    OP_CONSTANT_TRUE = 41,
    OP_CONSTANT = 43,
    OP_LOAD = 61,
    NV_TYPE = 5358,
    NV_LOAD = 5359,
    NV_STORE = 5360,
    NV_MULTIPLY_ADD = 5361,
    NV_LENGTH = 5362,
    KHR_TYPE = 4456,
    KHR_LOAD = 4457,
    KHR_STORE = 4458,
    KHR_MULTIPLY_ADD = 4459,
    CAPABILITY_NV = 5357,
    CAPABILITY_KHR = 6022,

    USE_LEFT = 0,
    USE_RIGHT = 1,
    USE_SUM = 2,
    USE_UNKNOWN = 3
};

static uint32_t opcode(const uint32_t *instruction)
{
    return instruction[0] & 0xffffU;
}

static uint32_t length(const uint32_t *instruction)
{
    return instruction[0] >> 16;
}

// The next instruction with this opcode from `from` on, NULL when there is none.
static const uint32_t *find(const uint32_t *from, const uint32_t *end, uint32_t wanted)
{
    while (from < end && opcode(from) != wanted)
        from += length(from);
    return from < end ? from : NULL;
}

bool shader_matrix_found(const uint32_t *words, size_t count)
{
    const uint32_t *end = words + count, *i = words + HEADER_WORDS;
    while ((i = find(i, end, OP_CAPABILITY)) != NULL) {
        if (i[1] == CAPABILITY_NV)
            return true;
        i += length(i);
    }
    return false;
}

size_t shader_matrix_room(const uint32_t *words, size_t count)
{
    const uint32_t *end = words + count, *i = words + HEADER_WORDS;
    size_t room = CONSTANTS * CONSTANT_WORDS;
    while ((i = find(i, end, NV_TYPE)) != NULL) {
        room++;
        i += length(i);
    }
    return room;
}

struct translation {
    const uint32_t *words, *end;
    uint32_t first_constant; // ids of 0, 1 and 2
    const char *why;
};

// The type of a matrix that a load made; 0: there is no such.
static uint32_t loaded_type(const struct translation *t, uint32_t id)
{
    static const uint32_t loads[] = {OP_LOAD, NV_LOAD, NV_MULTIPLY_ADD};
    for (size_t k = 0; k < sizeof(loads) / sizeof(loads[0]); k++) {
        const uint32_t *i = t->words + HEADER_WORDS;
        while ((i = find(i, t->end, loads[k])) != NULL) {
            if (i[2] == id)
                return i[1];
            i += length(i);
        }
    }
    return 0;
}

static uint32_t use_of(struct translation *t, uint32_t type)
{
    uint32_t use = USE_UNKNOWN;
    const uint32_t *i = t->words + HEADER_WORDS;
    while ((i = find(i, t->end, NV_MULTIPLY_ADD)) != NULL) {
        for (uint32_t factor = USE_LEFT; factor <= USE_SUM; factor++) {
            const uint32_t found = loaded_type(t, i[3 + factor]);
            if (found == 0)
                t->why = "a matrix is multiplied that no load made";
            if (found != type)
                continue;
            if (use != USE_UNKNOWN && use != factor)
                t->why = "two of left factors, right factors and sums are of one type";
            use = factor;
        }
        i += length(i);
    }
    if (use == USE_UNKNOWN)
        t->why = "a type of matrices is never multiplied";
    return use;
}

// The id of the constant for an order in memory: 0 by rows, 1 by columns.
static uint32_t order_of(const struct translation *t, uint32_t by_columns)
{
    const uint32_t *i = t->words + HEADER_WORDS;
    while ((i = find(i, t->end, OP_CONSTANT_TRUE)) != NULL) {
        if (i[2] == by_columns)
            return t->first_constant + 1;
        i += length(i);
    }
    return t->first_constant;
}

static size_t put_constants(const struct translation *t, uint32_t type, uint32_t *to)
{
    for (uint32_t k = 0; k < CONSTANTS; k++) {
        to[0] = CONSTANT_WORDS << 16 | OP_CONSTANT;
        to[1] = type;
        to[2] = t->first_constant + k;
        to[3] = k;
        to += CONSTANT_WORDS;
    }
    return (size_t)CONSTANTS * CONSTANT_WORDS;
}

// Writes what an instruction becomes; returns how many words.
static size_t put(struct translation *t, const uint32_t *at, uint32_t *to)
{
    static const char extension[] = "SPV_NV_cooperative_matrix";
    const uint32_t words = length(at);
    memcpy(to, at, words * sizeof(*at));
    switch (opcode(at)) {
    case OP_CAPABILITY:
        if (at[1] == CAPABILITY_NV)
            to[1] = CAPABILITY_KHR;
        break;
    case OP_EXTENSION: // both names take seven words; the KHR one is a letter longer
        if (memcmp(at + 1, extension, sizeof(extension)) == 0)
            memcpy(to + 1, "SPV_KHR_cooperative_matrix", sizeof("SPV_KHR_cooperative_matrix"));
        break;
    case NV_TYPE:
        to[0] = (words + 1) << 16 | KHR_TYPE;
        to[words] = t->first_constant + use_of(t, at[1]);
        return words + 1;
    case NV_LOAD:
        to[0] = words << 16 | KHR_LOAD;
        to[4] = order_of(t, at[5]);
        to[5] = at[4];
        break;
    case NV_STORE:
        to[0] = words << 16 | KHR_STORE;
        to[3] = order_of(t, at[4]);
        to[4] = at[3];
        break;
    case NV_MULTIPLY_ADD:
        to[0] = words << 16 | KHR_MULTIPLY_ADD;
        break;
    case NV_LENGTH:
        t->why = "lengths of matrices are not translated";
        break;
    }
    return words;
}

size_t shader_matrix_translate(const uint32_t *words, size_t count, uint32_t *to, const char **why)
{
    struct translation t = {words, words + count, words[BOUND], NULL};
    const uint32_t *type = words + HEADER_WORDS;
    while ((type = find(type, t.end, OP_TYPE_INT)) != NULL && (type[2] != 32 || type[3] != 0))
        type += length(type);
    const uint32_t *first = find(words + HEADER_WORDS, t.end, NV_TYPE);
    if (type == NULL || first == NULL || type > first) {
        *why = "no type of matrices that follows on uint";
        return 0;
    }
    memcpy(to, words, HEADER_WORDS * sizeof(*words));
    to[BOUND] += CONSTANTS;
    size_t made = HEADER_WORDS;
    for (const uint32_t *i = words + HEADER_WORDS; i < t.end; i += length(i)) {
        if (i == first)
            made += put_constants(&t, type[1], to + made);
        made += put(&t, i, to + made);
    }
    *why = t.why;
    return t.why == NULL ? made : 0;
}
