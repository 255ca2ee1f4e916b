// Goal: specialization constants, and what is computed from them, become plain constants; what the
// code does not know stays as it is. Method: a module made by hand, compared word by word.
#include <criterion/criterion.h>
#include <stdlib.h>

#include "vk/vk_internal.h"

// ids: 1 bool, 2 uint, 3 ulong, 4 = 4, 5 = spec constant 3, 6 = spec constant 7, 16 = 0
static const uint32_t words[] = {
    0x07230203, 0x00010500, 0,  17,  0,                //
    0x0005000f, 5,          15, 109, 0,                // OpEntryPoint GLCompute 15 "m"
    0x00040047, 5,          1,  3,                     // OpDecorate 5 SpecId 3
    0x00040047, 6,          1,  7,                     // OpDecorate 6 SpecId 7
    0x00040047, 13,         11, 25,                    // OpDecorate 13 BuiltIn WorkgroupSize
    0x00020014, 1,                                     //
    0x00040015, 2,          32, 0,                     //
    0x00040015, 3,          64, 0,                     //
    0x0004002b, 2,          4,  4,                     //
    0x0004002b, 2,          16, 0,                     //
    0x00040032, 2,          5,  10,                    // 5 = OpSpecConstant 10
    0x00030030, 1,          6,                         // 6 = OpSpecConstantTrue
    0x00060034, 2,          7,  132, 5,  4,            // 7 = 5 * 4
    0x00060034, 1,          8,  176, 4,  5,            // 8 = 4 < 5
    0x00070034, 2,          9,  169, 6,  5,         4, // 9 = 6 ? 5 : 4
    0x00050034, 3,          10, 113, 7,                // 10 = ulong(7): not folded here
    0x00060034, 2,          11, 134, 4,  16,           // 11 = 4 / 0: undefined, so not ours
    0x00040017, 12,         2,  2,                     //
    0x00050033, 12,         13, 5,   7,                // 13 = OpSpecConstantComposite
    0x00050033, 12,         14, 5,   11,               // 14 holds what stayed
    0x00050036, 2,          15, 0,   2,  0x00010038};  // OpFunction, OpFunctionEnd

static const struct shader shader = {.name = "made by hand",
                                     .words = words,
                                     .words_size = sizeof(words),
                                     .spec_count = 2,
                                     .spec_ids = {3, 7}};

static void check(const uint32_t *values, const uint32_t *expected, size_t count)
{
    uint32_t actual[sizeof(words) / sizeof(words[0])];
    struct spirv_fact *facts = calloc(espy_vk_specialize_room(&shader), sizeof(*facts));
    cr_assert_not_null(facts);
    const size_t size = espy_vk_specialize(&shader, values, facts, actual);
    free(facts);
    cr_assert_eq(size, count * sizeof(*expected));
    for (size_t i = 0; i < count; i++)
        cr_expect_eq(actual[i], expected[i], "word %zu: 0x%x, expected 0x%x", i, actual[i],
                     expected[i]);
}

Test(vk_specialize, values_are_folded)
{
    static const uint32_t values[] = {5, 0},
                          expected[] = {0x07230203, 0x00010500, 0,  17,  0,      //
                                        0x0005000f, 5,          15, 109, 0,      //
                                        0x00040047, 13,         11, 25,          //
                                        0x00020014, 1,                           //
                                        0x00040015, 2,          32, 0,           //
                                        0x00040015, 3,          64, 0,           //
                                        0x0004002b, 2,          4,  4,           //
                                        0x0004002b, 2,          16, 0,           //
                                        0x0004002b, 2,          5,  5,           //
                                        0x0003002a, 1,          6,               // OpConstantFalse
                                        0x0004002b, 2,          7,  20,          //
                                        0x00030029, 1,          8,               // OpConstantTrue
                                        0x0004002b, 2,          9,  4,           //
                                        0x00050034, 3,          10, 113, 7,      //
                                        0x00060034, 2,          11, 134, 4,  16, //
                                        0x00040017, 12,         2,  2,           //
                                        0x0005002c, 12,         13, 5,   7,  // OpConstantComposite
                                        0x00050033, 12,         14, 5,   11, //
                                        0x00050036, 2,          15, 0,   2,  0x00010038};
    check(values, expected, sizeof(expected) / sizeof(expected[0]));
}

Test(vk_specialize, without_values_the_defaults_hold)
{
    static const uint32_t expected[] = {0x07230203, 0x00010500, 0,  17,  0,      //
                                        0x0005000f, 5,          15, 109, 0,      //
                                        0x00040047, 13,         11, 25,          //
                                        0x00020014, 1,                           //
                                        0x00040015, 2,          32, 0,           //
                                        0x00040015, 3,          64, 0,           //
                                        0x0004002b, 2,          4,  4,           //
                                        0x0004002b, 2,          16, 0,           //
                                        0x0004002b, 2,          5,  10,          //
                                        0x00030029, 1,          6,               //
                                        0x0004002b, 2,          7,  40,          //
                                        0x00030029, 1,          8,               //
                                        0x0004002b, 2,          9,  10,          //
                                        0x00050034, 3,          10, 113, 7,      //
                                        0x00060034, 2,          11, 134, 4,  16, //
                                        0x00040017, 12,         2,  2,           //
                                        0x0005002c, 12,         13, 5,   7,      //
                                        0x00050033, 12,         14, 5,   11,     //
                                        0x00050036, 2,          15, 0,   2,  0x00010038};
    check(NULL, expected, sizeof(expected) / sizeof(expected[0]));
}
