// Puts the values of specialization constants into a shader before a driver sees it. Drivers differ
// in when they do so themselves: SwiftShader and Mesa first inline every call, those in branches
// that will turn out dead too, which makes a kernel with an epilogue twenty times as slow to
// compile. What is dead by these values is left out (vk_prune.c).
#include "vk/vk_spirv.h"

#include <assert.h>
#include <string.h>

enum { BOUND_WORD = 3, WORD_BITS = 32 };

size_t espy_vk_specialize_room(const struct shader *shader)
{
    return shader->words[BOUND_WORD];
}

// The order that signed comparisons need, of unsigned words.
static uint32_t ordered(uint32_t word)
{
    return word ^ 0x80000000U;
}

static bool fold_logic(uint32_t opcode, const uint32_t *x, uint32_t *result)
{
    switch (opcode) {
    case OP_LOGICAL_EQUAL:
    case OP_I_EQUAL:
        *result = x[0] == x[1];
        return true;
    case OP_LOGICAL_NOT_EQUAL:
    case OP_I_NOT_EQUAL:
        *result = x[0] != x[1];
        return true;
    case OP_LOGICAL_OR:
        *result = x[0] | x[1];
        return true;
    case OP_LOGICAL_AND:
        *result = x[0] & x[1];
        return true;
    case OP_LOGICAL_NOT:
        *result = !x[0];
        return true;
    case OP_SELECT:
        *result = x[0] ? x[1] : x[2];
        return true;
    case OP_U_GREATER_THAN:
        *result = x[0] > x[1];
        return true;
    case OP_U_GREATER_THAN_EQUAL:
        *result = x[0] >= x[1];
        return true;
    case OP_U_LESS_THAN:
        *result = x[0] < x[1];
        return true;
    case OP_U_LESS_THAN_EQUAL:
        *result = x[0] <= x[1];
        return true;
    case OP_S_GREATER_THAN:
        *result = ordered(x[0]) > ordered(x[1]);
        return true;
    case OP_S_GREATER_THAN_EQUAL:
        *result = ordered(x[0]) >= ordered(x[1]);
        return true;
    case OP_S_LESS_THAN:
        *result = ordered(x[0]) < ordered(x[1]);
        return true;
    case OP_S_LESS_THAN_EQUAL:
        *result = ordered(x[0]) <= ordered(x[1]);
        return true;
    default:
        return false;
    }
}

bool espy_vk_spirv_folds(uint32_t opcode)
{
    return (opcode >= OP_S_NEGATE && opcode <= OP_U_MOD) ||
           (opcode >= OP_LOGICAL_EQUAL && opcode <= OP_S_LESS_THAN_EQUAL) ||
           (opcode >= OP_SHIFT_RIGHT_LOGICAL && opcode <= OP_NOT);
}

bool espy_vk_spirv_fold(uint32_t opcode, const uint32_t *x, uint32_t *result)
{
    switch (opcode) {
    case OP_S_NEGATE:
        *result = 0U - x[0];
        return true;
    case OP_NOT:
        *result = ~x[0];
        return true;
    case OP_I_ADD:
        *result = x[0] + x[1];
        return true;
    case OP_I_SUB:
        *result = x[0] - x[1];
        return true;
    case OP_I_MUL:
        *result = x[0] * x[1];
        return true;
    case OP_U_DIV:
        *result = x[1] != 0 ? x[0] / x[1] : 0;
        return x[1] != 0;
    case OP_U_MOD:
        *result = x[1] != 0 ? x[0] % x[1] : 0;
        return x[1] != 0;
    case OP_BITWISE_OR:
        *result = x[0] | x[1];
        return true;
    case OP_BITWISE_XOR:
        *result = x[0] ^ x[1];
        return true;
    case OP_BITWISE_AND:
        *result = x[0] & x[1];
        return true;
    case OP_SHIFT_LEFT_LOGICAL:
        *result = x[1] < WORD_BITS ? x[0] << x[1] : 0;
        return x[1] < WORD_BITS;
    case OP_SHIFT_RIGHT_LOGICAL:
        *result = x[1] < WORD_BITS ? x[0] >> x[1] : 0;
        return x[1] < WORD_BITS;
    default:
        return fold_logic(opcode, x, result);
    }
}

static void learn_word(struct spirv_fact *fact, uint32_t word)
{
    *fact = (struct spirv_fact){FACT_WORD, word, 0};
}

// OpSpecConstantOp: type, result, opcode, operands.
static void learn_operation(struct spirv_fact *facts, const uint32_t *at)
{
    const uint32_t type = facts[at[1]].kind, count = length_of(at) - 4;
    uint32_t operands[SPIRV_OPERANDS_MAX] = {0}, result;
    if ((type != FACT_BOOL_TYPE && type != FACT_WORD_TYPE) || count > SPIRV_OPERANDS_MAX)
        return;
    for (uint32_t i = 0; i < count; i++) {
        if (facts[at[4 + i]].kind != FACT_WORD)
            return;
        operands[i] = facts[at[4 + i]].value;
    }
    if (espy_vk_spirv_fold(at[3], operands, &result))
        learn_word(&facts[at[2]], result);
}

static void learn_composite(struct spirv_fact *facts, const uint32_t *at)
{
    for (uint32_t i = 3; i < length_of(at); i++)
        if (facts[at[i]].kind != FACT_WORD && facts[at[i]].kind != FACT_COMPOSITE)
            return;
    facts[at[2]].kind = FACT_COMPOSITE;
}

// values: one word per entry of shader->spec_ids; NULL leaves the defaults.
static void learn(const struct shader *shader, const uint32_t *values, const uint32_t *at,
                  struct spirv_fact *facts)
{
    const uint32_t opcode = opcode_of(at);
    if (opcode >= OP_TYPE_VOID && opcode <= OP_TYPE_FUNCTION)
        facts[at[1]].kind = FACT_TYPE;
    switch (opcode) {
    case OP_DECORATE:
        for (uint32_t i = 0; at[2] == DECORATION_SPEC_ID && i < shader->spec_count; i++)
            if (shader->spec_ids[i] == at[3])
                facts[at[1]] = (struct spirv_fact){FACT_SPEC_ID, i, 0};
        break;
    case OP_TYPE_BOOL:
        facts[at[1]].kind = FACT_BOOL_TYPE;
        break;
    case OP_TYPE_INT:
    case OP_TYPE_FLOAT:
        if (at[2] == WORD_BITS)
            facts[at[1]].kind = FACT_WORD_TYPE;
        break;
    case OP_CONSTANT_TRUE:
        learn_word(&facts[at[2]], 1);
        break;
    case OP_CONSTANT_FALSE:
        learn_word(&facts[at[2]], 0);
        break;
    case OP_CONSTANT:
        if (facts[at[1]].kind == FACT_WORD_TYPE)
            learn_word(&facts[at[2]], at[3]);
        break;
    case OP_SPEC_CONSTANT_TRUE:
    case OP_SPEC_CONSTANT_FALSE:
        if (values != NULL && facts[at[2]].kind == FACT_SPEC_ID)
            learn_word(&facts[at[2]], values[facts[at[2]].value] != 0);
        else
            learn_word(&facts[at[2]], opcode_of(at) == OP_SPEC_CONSTANT_TRUE);
        break;
    case OP_SPEC_CONSTANT:
        if (facts[at[1]].kind != FACT_WORD_TYPE)
            break;
        if (values != NULL && facts[at[2]].kind == FACT_SPEC_ID)
            learn_word(&facts[at[2]], values[facts[at[2]].value]);
        else
            learn_word(&facts[at[2]], at[3]);
        break;
    case OP_SPEC_CONSTANT_OP:
        learn_operation(facts, at);
        break;
    case OP_CONSTANT_COMPOSITE:
    case OP_SPEC_CONSTANT_COMPOSITE:
        learn_composite(facts, at);
        break;
    }
}

// Writes what an instruction has become; returns its length, which is never more than it was.
static uint32_t rewrite(const struct spirv_fact *facts, const uint32_t *at, uint32_t *to)
{
    const uint32_t opcode = opcode_of(at), length = length_of(at);
    const bool names = opcode == OP_NAME || opcode == OP_MEMBER_NAME; // drivers need none
    const bool gone = opcode == OP_DECORATE && facts[at[1]].kind == FACT_GONE;
    if (names || gone ||
        (opcode == OP_DECORATE && at[2] == DECORATION_SPEC_ID && facts[at[1]].kind == FACT_WORD))
        return 0;
    memcpy(to, at, length * sizeof(*at));
    if (opcode == OP_SPEC_CONSTANT_COMPOSITE && facts[at[2]].kind == FACT_COMPOSITE)
        to[0] = length << 16 | OP_CONSTANT_COMPOSITE;
    if (opcode < OP_SPEC_CONSTANT_TRUE || opcode > OP_SPEC_CONSTANT_OP ||
        facts[at[2]].kind != FACT_WORD)
        return length;
    const uint32_t value = facts[at[2]].value;
    if (facts[at[1]].kind == FACT_BOOL_TYPE) {
        to[0] = 3U << 16 | (value != 0 ? OP_CONSTANT_TRUE : OP_CONSTANT_FALSE);
        return 3;
    }
    to[0] = 4U << 16 | OP_CONSTANT;
    to[3] = value;
    return 4;
}

size_t espy_vk_specialize(const struct shader *shader, const uint32_t *values,
                          struct spirv_fact *facts, uint32_t *words)
{
    const size_t count = shader->words_size / sizeof(uint32_t);
    memset(facts, 0, espy_vk_specialize_room(shader) * sizeof(*facts));
    memcpy(words, shader->words, SPIRV_HEADER_WORDS * sizeof(*words));
    size_t from = SPIRV_HEADER_WORDS, to = SPIRV_HEADER_WORDS;
    for (; from < count && opcode_of(&shader->words[from]) != OP_FUNCTION;
         from += length_of(&shader->words[from])) {
        assert(length_of(&shader->words[from]) > 0); // the build made these words
        learn(shader, values, &shader->words[from], facts);
    }
    const size_t functions = from;
    espy_vk_prune_mark(facts, shader->words, functions, count);
    for (from = SPIRV_HEADER_WORDS; from < functions; from += length_of(&shader->words[from]))
        to += rewrite(facts, &shader->words[from], &words[to]);
    to += espy_vk_prune_write(facts, shader->words, functions, count, &words[to]);
    return to * sizeof(*words);
}
