// The part of SPIR-V that vk_specialize.c and vk_prune.c know, and what they learn of a module.
#ifndef RUNTIME_VK_VK_SPIRV_H_
#define RUNTIME_VK_VK_SPIRV_H_

#include "vk/vk_internal.h"

enum { SPIRV_HEADER_WORDS = 5, SPIRV_OPERANDS_MAX = 3 };

// The specification's numbers.
enum {
    OP_NAME = 5,
    OP_MEMBER_NAME = 6,
    OP_ENTRY_POINT = 15,
    OP_TYPE_VOID = 19,
    OP_TYPE_BOOL = 20,
    OP_TYPE_INT = 21,
    OP_TYPE_FLOAT = 22,
    OP_TYPE_FUNCTION = 33,
    OP_CONSTANT_TRUE = 41,
    OP_CONSTANT_FALSE = 42,
    OP_CONSTANT = 43,
    OP_CONSTANT_COMPOSITE = 44,
    OP_SPEC_CONSTANT_TRUE = 48,
    OP_SPEC_CONSTANT_FALSE = 49,
    OP_SPEC_CONSTANT = 50,
    OP_SPEC_CONSTANT_COMPOSITE = 51,
    OP_SPEC_CONSTANT_OP = 52,
    OP_FUNCTION = 54,
    OP_FUNCTION_PARAMETER = 55,
    OP_FUNCTION_END = 56,
    OP_FUNCTION_CALL = 57,
    OP_DECORATE = 71,
    OP_S_NEGATE = 126,
    OP_I_ADD = 128,
    OP_I_SUB = 130,
    OP_I_MUL = 132,
    OP_U_DIV = 134,
    OP_U_MOD = 137,
    OP_LOGICAL_EQUAL = 164,
    OP_LOGICAL_NOT_EQUAL = 165,
    OP_LOGICAL_OR = 166,
    OP_LOGICAL_AND = 167,
    OP_LOGICAL_NOT = 168,
    OP_SELECT = 169,
    OP_I_EQUAL = 170,
    OP_I_NOT_EQUAL = 171,
    OP_U_GREATER_THAN = 172,
    OP_S_GREATER_THAN = 173,
    OP_U_GREATER_THAN_EQUAL = 174,
    OP_S_GREATER_THAN_EQUAL = 175,
    OP_U_LESS_THAN = 176,
    OP_S_LESS_THAN = 177,
    OP_U_LESS_THAN_EQUAL = 178,
    OP_S_LESS_THAN_EQUAL = 179,
    OP_SHIFT_RIGHT_LOGICAL = 194,
    OP_SHIFT_LEFT_LOGICAL = 196,
    OP_BITWISE_OR = 197,
    OP_BITWISE_XOR = 198,
    OP_BITWISE_AND = 199,
    OP_NOT = 200,
    OP_PHI = 245,
    OP_LOOP_MERGE = 246,
    OP_SELECTION_MERGE = 247,
    OP_LABEL = 248,
    OP_BRANCH = 249,
    OP_BRANCH_CONDITIONAL = 250,
    OP_SWITCH = 251,
    OP_UNREACHABLE = 255,

    DECORATION_SPEC_ID = 1
};

// What is known of an id.
enum {
    FACT_NONE,
    FACT_BOOL_TYPE,
    FACT_WORD_TYPE,
    FACT_TYPE, // any other
    FACT_SPEC_ID,
    FACT_WORD, // value: the constant
    FACT_COMPOSITE,
    FACT_FUNCTION, // value: where it begins
    FACT_LABEL,    // value: of a continue target, the loop's header
    FACT_UNCALLED, // a parameter of a function that no live call was seen of yet
    FACT_GONE      // a result in code that is left out
};

static inline uint32_t opcode_of(const uint32_t *instruction)
{
    return instruction[0] & 0xffffU;
}

static inline uint32_t length_of(const uint32_t *instruction)
{
    return instruction[0] >> 16;
}

// true: espy_vk_spirv_fold may know the opcode.
bool espy_vk_spirv_folds(uint32_t opcode);
// False for what is not folded here and stays the driver's.
bool espy_vk_spirv_fold(uint32_t opcode, const uint32_t *x, uint32_t *result);

// Finds what is live in the functions, words [functions, count) of a module whose facts are learnt;
// facts are of use for espy_vk_prune_write after.
void espy_vk_prune_mark(struct spirv_fact *facts, const uint32_t *words, size_t functions,
                        size_t count);
// Writes the functions that are left, which are no longer than they were; returns the words.
size_t espy_vk_prune_write(const struct spirv_fact *facts, const uint32_t *words, size_t functions,
                           size_t count, uint32_t *to);

#endif // RUNTIME_VK_VK_SPIRV_H_
