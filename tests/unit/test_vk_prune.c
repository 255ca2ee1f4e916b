// Goal: what specialization constants make dead is left out of a shader, and nothing else. Method:
// a module that glslang made, pruned for several values; instructions that say which code is there
// are counted, and what is left must hang together: every label that is named is there, once.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "vk/vk_spirv.h"

// Compiled with: glslangValidator --target-env vulkan1.2 -V x.comp, then spirv-opt --strip-debug
//
// layout(local_size_x = 1) in;
// layout(constant_id = 3) const uint S = 0;
// layout(constant_id = 4) const uint T = 0;
// layout(binding = 0) buffer X { float x[]; };
// float f(const uint k, float v)
// {
//     switch (k) {
//     case 1:
//         return v + 1.0;
//     case 2:
//         return v * 2.0;
//     case 3:
//         if (v > 0.0)
//             break;
//         v = -v;
//         break;
//     default:
//         precise float w = v - 3.0;
//         return w;
//     }
//     return v / 4.0;
// }
// bool g(float v)
// {
//     return v > 5.0;
// }
// void main()
// {
//     float v = x[0];
//     for (uint i = 0; i < 3; i++) {
//         if (S != 0)
//             v = f(S, v);
//         if (T != 0 && g(v))
//             v = f(T, v);
//     }
//     x[0] = v;
// }
static const uint32_t words[] = {
    0x07230203, 0x00010500, 0x0008000b, 0x0000006b, 0x00000000, 0x00020011, 0x00000001, 0x0006000b,
    0x00000001, 0x4c534c47, 0x6474732e, 0x3035342e, 0x00000000, 0x0003000e, 0x00000000, 0x00000001,
    0x0006000f, 0x00000005, 0x00000004, 0x6e69616d, 0x00000000, 0x0000003e, 0x00060010, 0x00000004,
    0x00000011, 0x00000001, 0x00000001, 0x00000001, 0x00030047, 0x00000027, 0x0000002a, 0x00030047,
    0x0000002c, 0x0000002a, 0x00040047, 0x0000003b, 0x00000006, 0x00000004, 0x00050048, 0x0000003c,
    0x00000000, 0x00000023, 0x00000000, 0x00030047, 0x0000003c, 0x00000002, 0x00040047, 0x0000003e,
    0x00000022, 0x00000000, 0x00040047, 0x0000003e, 0x00000021, 0x00000000, 0x00040047, 0x0000004f,
    0x00000001, 0x00000003, 0x00040047, 0x00000056, 0x00000001, 0x00000004, 0x00040047, 0x0000006a,
    0x0000000b, 0x00000019, 0x00020013, 0x00000002, 0x00030021, 0x00000003, 0x00000002, 0x00040015,
    0x00000006, 0x00000020, 0x00000000, 0x00030016, 0x00000007, 0x00000020, 0x00040020, 0x00000008,
    0x00000007, 0x00000007, 0x00050021, 0x00000009, 0x00000007, 0x00000006, 0x00000008, 0x00020014,
    0x0000000e, 0x00040021, 0x0000000f, 0x0000000e, 0x00000008, 0x0004002b, 0x00000007, 0x00000019,
    0x3f800000, 0x0004002b, 0x00000007, 0x0000001d, 0x40000000, 0x0004002b, 0x00000007, 0x00000021,
    0x00000000, 0x0004002b, 0x00000007, 0x0000002b, 0x40400000, 0x0004002b, 0x00000007, 0x00000031,
    0x40800000, 0x0004002b, 0x00000007, 0x00000036, 0x40a00000, 0x0003001d, 0x0000003b, 0x00000007,
    0x0003001e, 0x0000003c, 0x0000003b, 0x00040020, 0x0000003d, 0x0000000c, 0x0000003c, 0x0004003b,
    0x0000003d, 0x0000003e, 0x0000000c, 0x00040015, 0x0000003f, 0x00000020, 0x00000001, 0x0004002b,
    0x0000003f, 0x00000040, 0x00000000, 0x00040020, 0x00000041, 0x0000000c, 0x00000007, 0x00040020,
    0x00000044, 0x00000007, 0x00000006, 0x0004002b, 0x00000006, 0x00000046, 0x00000000, 0x0004002b,
    0x00000006, 0x0000004d, 0x00000003, 0x00040032, 0x00000006, 0x0000004f, 0x00000000, 0x00060034,
    0x0000000e, 0x00000050, 0x000000ab, 0x0000004f, 0x00000046, 0x00040032, 0x00000006, 0x00000056,
    0x00000000, 0x00060034, 0x0000000e, 0x00000057, 0x000000ab, 0x00000056, 0x00000046, 0x0004002b,
    0x0000003f, 0x00000064, 0x00000001, 0x00040017, 0x00000068, 0x00000006, 0x00000003, 0x0004002b,
    0x00000006, 0x00000069, 0x00000001, 0x0006002c, 0x00000068, 0x0000006a, 0x00000069, 0x00000069,
    0x00000069, 0x00050036, 0x00000002, 0x00000004, 0x00000000, 0x00000003, 0x000200f8, 0x00000005,
    0x0004003b, 0x00000008, 0x0000003a, 0x00000007, 0x0004003b, 0x00000044, 0x00000045, 0x00000007,
    0x0004003b, 0x00000008, 0x00000053, 0x00000007, 0x0004003b, 0x00000008, 0x0000005a, 0x00000007,
    0x0004003b, 0x00000008, 0x00000060, 0x00000007, 0x00060041, 0x00000041, 0x00000042, 0x0000003e,
    0x00000040, 0x00000040, 0x0004003d, 0x00000007, 0x00000043, 0x00000042, 0x0003003e, 0x0000003a,
    0x00000043, 0x0003003e, 0x00000045, 0x00000046, 0x000200f9, 0x00000047, 0x000200f8, 0x00000047,
    0x000400f6, 0x00000049, 0x0000004a, 0x00000000, 0x000200f9, 0x0000004b, 0x000200f8, 0x0000004b,
    0x0004003d, 0x00000006, 0x0000004c, 0x00000045, 0x000500b0, 0x0000000e, 0x0000004e, 0x0000004c,
    0x0000004d, 0x000400fa, 0x0000004e, 0x00000048, 0x00000049, 0x000200f8, 0x00000048, 0x000300f7,
    0x00000052, 0x00000000, 0x000400fa, 0x00000050, 0x00000051, 0x00000052, 0x000200f8, 0x00000051,
    0x0004003d, 0x00000007, 0x00000054, 0x0000003a, 0x0003003e, 0x00000053, 0x00000054, 0x00060039,
    0x00000007, 0x00000055, 0x0000000c, 0x0000004f, 0x00000053, 0x0003003e, 0x0000003a, 0x00000055,
    0x000200f9, 0x00000052, 0x000200f8, 0x00000052, 0x000300f7, 0x00000059, 0x00000000, 0x000400fa,
    0x00000057, 0x00000058, 0x00000059, 0x000200f8, 0x00000058, 0x0004003d, 0x00000007, 0x0000005b,
    0x0000003a, 0x0003003e, 0x0000005a, 0x0000005b, 0x00050039, 0x0000000e, 0x0000005c, 0x00000011,
    0x0000005a, 0x000200f9, 0x00000059, 0x000200f8, 0x00000059, 0x000700f5, 0x0000000e, 0x0000005d,
    0x00000057, 0x00000052, 0x0000005c, 0x00000058, 0x000300f7, 0x0000005f, 0x00000000, 0x000400fa,
    0x0000005d, 0x0000005e, 0x0000005f, 0x000200f8, 0x0000005e, 0x0004003d, 0x00000007, 0x00000061,
    0x0000003a, 0x0003003e, 0x00000060, 0x00000061, 0x00060039, 0x00000007, 0x00000062, 0x0000000c,
    0x00000056, 0x00000060, 0x0003003e, 0x0000003a, 0x00000062, 0x000200f9, 0x0000005f, 0x000200f8,
    0x0000005f, 0x000200f9, 0x0000004a, 0x000200f8, 0x0000004a, 0x0004003d, 0x00000006, 0x00000063,
    0x00000045, 0x00050080, 0x00000006, 0x00000065, 0x00000063, 0x00000064, 0x0003003e, 0x00000045,
    0x00000065, 0x000200f9, 0x00000047, 0x000200f8, 0x00000049, 0x0004003d, 0x00000007, 0x00000066,
    0x0000003a, 0x00060041, 0x00000041, 0x00000067, 0x0000003e, 0x00000040, 0x00000040, 0x0003003e,
    0x00000067, 0x00000066, 0x000100fd, 0x00010038, 0x00050036, 0x00000007, 0x0000000c, 0x00000000,
    0x00000009, 0x00030037, 0x00000006, 0x0000000a, 0x00030037, 0x00000008, 0x0000000b, 0x000200f8,
    0x0000000d, 0x0004003b, 0x00000008, 0x00000029, 0x00000007, 0x000300f7, 0x00000017, 0x00000000,
    0x000900fb, 0x0000000a, 0x00000016, 0x00000001, 0x00000013, 0x00000002, 0x00000014, 0x00000003,
    0x00000015, 0x000200f8, 0x00000016, 0x0004003d, 0x00000007, 0x0000002a, 0x0000000b, 0x00050083,
    0x00000007, 0x0000002c, 0x0000002a, 0x0000002b, 0x0003003e, 0x00000029, 0x0000002c, 0x0004003d,
    0x00000007, 0x0000002d, 0x00000029, 0x000200fe, 0x0000002d, 0x000200f8, 0x00000013, 0x0004003d,
    0x00000007, 0x00000018, 0x0000000b, 0x00050081, 0x00000007, 0x0000001a, 0x00000018, 0x00000019,
    0x000200fe, 0x0000001a, 0x000200f8, 0x00000014, 0x0004003d, 0x00000007, 0x0000001c, 0x0000000b,
    0x00050085, 0x00000007, 0x0000001e, 0x0000001c, 0x0000001d, 0x000200fe, 0x0000001e, 0x000200f8,
    0x00000015, 0x0004003d, 0x00000007, 0x00000020, 0x0000000b, 0x000500ba, 0x0000000e, 0x00000022,
    0x00000020, 0x00000021, 0x000300f7, 0x00000024, 0x00000000, 0x000400fa, 0x00000022, 0x00000023,
    0x00000024, 0x000200f8, 0x00000023, 0x000200f9, 0x00000017, 0x000200f8, 0x00000024, 0x0004003d,
    0x00000007, 0x00000026, 0x0000000b, 0x0004007f, 0x00000007, 0x00000027, 0x00000026, 0x0003003e,
    0x0000000b, 0x00000027, 0x000200f9, 0x00000017, 0x000200f8, 0x00000017, 0x0004003d, 0x00000007,
    0x00000030, 0x0000000b, 0x00050088, 0x00000007, 0x00000032, 0x00000030, 0x00000031, 0x000200fe,
    0x00000032, 0x00010038, 0x00050036, 0x0000000e, 0x00000011, 0x00000000, 0x0000000f, 0x00030037,
    0x00000008, 0x00000010, 0x000200f8, 0x00000012, 0x0004003d, 0x00000007, 0x00000035, 0x00000010,
    0x000500ba, 0x0000000e, 0x00000037, 0x00000035, 0x00000036, 0x000200fe, 0x00000037, 0x00010038};

static const struct shader shader = {.name = "pruned",
                                     .words = words,
                                     .words_size = sizeof(words),
                                     .spec_count = 2,
                                     .spec_ids = {3, 4}};

enum { WORDS = sizeof(words) / sizeof(words[0]), OP_F_NEGATE = 127, OP_F_ADD = 129 };
enum { OP_F_SUB = 131, OP_F_MUL = 133, OP_F_DIV = 136, NO_CONTRACTION = 42 };

struct pruned {
    uint32_t words[WORDS];
    size_t count;
};

static void prune(uint32_t s, uint32_t t, struct pruned *pruned)
{
    const uint32_t values[2] = {s, t};
    struct spirv_fact *facts = calloc(espy_vk_specialize_room(&shader), sizeof(*facts));
    cr_assert_not_null(facts);
    pruned->count = espy_vk_specialize(&shader, values, facts, pruned->words) / sizeof(uint32_t);
    cr_assert_leq(pruned->count, WORDS);
    free(facts);
}

static uint32_t count(const struct pruned *pruned, uint32_t opcode)
{
    uint32_t found = 0;
    for (size_t at = SPIRV_HEADER_WORDS; at < pruned->count; at += length_of(&pruned->words[at]))
        found += opcode_of(&pruned->words[at]) == opcode;
    return found;
}

static uint32_t label_count(const struct pruned *pruned, uint32_t label)
{
    uint32_t found = 0;
    for (size_t at = SPIRV_HEADER_WORDS; at < pruned->count; at += length_of(&pruned->words[at]))
        found += opcode_of(&pruned->words[at]) == OP_LABEL && pruned->words[at + 1] == label;
    return found;
}

// Labels that branches, merges and phis name.
static void check_labels(const struct pruned *pruned)
{
    for (size_t at = SPIRV_HEADER_WORDS; at < pruned->count; at += length_of(&pruned->words[at])) {
        const uint32_t *i = &pruned->words[at];
        uint32_t first = length_of(i), step = 1, end = length_of(i);
        switch (opcode_of(i)) {
        case OP_BRANCH:
        case OP_SELECTION_MERGE:
            first = 1;
            end = 2;
            break;
        case OP_LOOP_MERGE:
            first = 1;
            end = 3;
            break;
        case OP_BRANCH_CONDITIONAL:
            first = 2;
            break;
        case OP_SWITCH: // selector, default, then number and label
            step = 2;
            cr_expect_eq(label_count(pruned, i[2]), 1);
            first = 4;
            break;
        case OP_PHI:
            first = 4;
            step = 2;
            break;
        }
        for (uint32_t k = first; k < end; k += step)
            cr_expect_eq(label_count(pruned, i[k]), 1, "label %u of opcode %u", i[k], opcode_of(i));
    }
}

static uint32_t decorations(const struct pruned *pruned)
{
    uint32_t found = 0;
    for (size_t at = SPIRV_HEADER_WORDS; at < pruned->count; at += length_of(&pruned->words[at]))
        found +=
            opcode_of(&pruned->words[at]) == OP_DECORATE && pruned->words[at + 2] == NO_CONTRACTION;
    return found;
}

Test(vk_prune, what_constants_decide_is_left_out)
{
    static const struct {
        uint32_t s, t, functions, add, multiply, subtract, negate, divide, decorated;
    } cases[] = {
        {0, 0, 1, 0, 0, 0, 0, 0, 0}, // neither is called, so neither is there
        {1, 0, 2, 1, 0, 0, 0, 0, 0}, // one case of the switch; what is behind it cannot be reached
        {2, 0, 2, 0, 1, 0, 0, 0, 0}, {3, 0, 2, 0, 0, 0, 1, 1, 1}, // a case that breaks
        {9, 0, 2, 0, 0, 1, 0, 0, 1},                              // default
        {0, 1, 3, 1, 0, 0, 0, 0, 0},                              // && with a call in it
        {2, 2, 3, 0, 1, 0, 0, 0, 0},                              // two calls agree
        {1, 2, 3, 1, 1, 1, 1, 1, 2},                              // they do not: all stays
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pruned pruned;
        prune(cases[i].s, cases[i].t, &pruned);
        check_labels(&pruned);
        cr_expect_eq(count(&pruned, OP_FUNCTION), cases[i].functions, "case %zu", i);
        cr_expect_eq(count(&pruned, OP_F_ADD), cases[i].add, "case %zu", i);
        cr_expect_eq(count(&pruned, OP_F_MUL), cases[i].multiply, "case %zu", i);
        cr_expect_eq(count(&pruned, OP_F_SUB), cases[i].subtract, "case %zu", i);
        cr_expect_eq(count(&pruned, OP_F_NEGATE), cases[i].negate, "case %zu", i);
        cr_expect_eq(count(&pruned, OP_F_DIV), cases[i].divide, "case %zu", i);
        cr_expect_eq(decorations(&pruned), cases[i].decorated, "case %zu", i);
        cr_expect_eq(count(&pruned, OP_LOOP_MERGE), 1, "case %zu", i);
    }
}
