// Goal: products and attention on GPUs get tiles that the device can run and that suit their sizes.
// Method: gemm_ranking_of and flash_choose alone, for faked devices; what the tiles compute is
// tested by test_ops_gpu, whose cases gemm_tiles.json, attention_tiles.json and
// row_groups.json of tests/ops reach every tile on a software driver.
#include "ops/flash.h"
#include "ops/gemm.h"
#include "ops/row_group.h"

#include <criterion/criterion.h>

static const struct caps discrete = {.invocations_max = 1024,
                                     .shared_size = 48 << 10,
                                     .groups_busy = 80,
                                     .buffer_range_max = UINT32_MAX};
static const struct caps software = {.invocations_max = 1024,
                                     .shared_size = 32 << 10,
                                     .groups_busy = 16,
                                     .buffer_range_max = 1 << 27};
static const struct caps least = {.invocations_max = 128,
                                  .shared_size = 16 << 10,
                                  .groups_busy = 48,
                                  .buffer_range_max = 1 << 27};

static struct gemm_choice choose(const struct caps *caps, int64_t rows, int64_t depth,
                                 int64_t columns)
{
    const struct op_lower c = {.caps = caps};
    const struct gemm_problem problem = {.batches = 1,
                                         .in = depth,
                                         .out = columns,
                                         .pixels = rows,
                                         .window = {.rank = 3, .kernel = {1, 1, 1}}};
    return gemm_ranking_of(&c, &problem).choices[0];
}

static void expect_tile(const struct caps *caps, const int64_t size[3], uint32_t bm, uint32_t bn,
                        bool split)
{
    const struct gemm_choice choice = choose(caps, size[0], size[1], size[2]);
    cr_assert(choice.tile != NULL);
    cr_expect(choice.tile->bm == bm && choice.tile->bn == bn && (choice.splits > 1) == split,
              "%lld x %lld x %lld: tiles of %u x %u in %lld parts, expected %u x %u%s",
              (long long)size[0], (long long)size[1], (long long)size[2], choice.tile->bm,
              choice.tile->bn, (long long)choice.splits, bm, bn, split ? " in parts" : "");
}

Test(gemm, large_products_get_large_tiles)
{
    expect_tile(&discrete, (const int64_t[3]){4096, 1024, 4096}, 128, 128, false);
    expect_tile(&discrete, (const int64_t[3]){12544, 576, 64}, 64, 64, false); // 112 x 112 pixels
    expect_tile(&discrete, (const int64_t[3]){50176, 288, 32}, 128, 32, false);
    expect_tile(&discrete, (const int64_t[3]){197, 64, 192}, 32, 32, false);
}

Test(gemm, few_tiles_of_much_depth_are_split)
{
    cr_expect(choose(&discrete, 49, 4608, 512).splits > 1); // 3x3 of 512 channels, 7 x 7
    cr_expect(choose(&discrete, 1, 2048, 1000).splits > 1); // a classifier
    expect_tile(&discrete, (const int64_t[3]){1, 2048, 1000}, 4, 256, true);
    cr_expect(choose(&discrete, 49, 16, 512).splits == 1);
}

Test(gemm, cases_of_test_ops_reach_every_tile)
{
    expect_tile(&software, (const int64_t[3]){500, 22, 510}, 128, 128, false);
    expect_tile(&software, (const int64_t[3]){500, 24, 250}, 64, 64, false);
    expect_tile(&software, (const int64_t[3]){4100, 20, 30}, 128, 32, false);
    expect_tile(&software, (const int64_t[3]){77, 33, 83}, 32, 32, false);
    expect_tile(&software, (const int64_t[3]){3, 12, 16390}, 4, 256, false);
    cr_expect(choose(&software, 1, 700, 130).splits > 1);
    cr_expect(choose(&software, 9, 515, 37).splits > 1);
}

Test(gemm, halves_get_matrices_where_there_are_some)
{
    struct caps caps = discrete;
    caps.subgroup_size = 32;
    caps.matrix_count = 3;
    caps.matrices[0] = (struct caps_matrix){16, 8, 16};
    caps.matrices[1] = (struct caps_matrix){16, 16, 16};
    caps.matrices[2] = (struct caps_matrix){64, 64, 16};
    const struct op_lower c = {.caps = &caps};
    struct gemm_problem problem = {.batches = 1,
                                   .in = 576,
                                   .out = 64,
                                   .pixels = 3136,
                                   .window = {.rank = 3, .kernel = {1, 1, 1}},
                                   .x = {.storage = STORAGE_F16}};
    const struct gemm_choice halves = gemm_ranking_of(&c, &problem).choices[0];
    cr_expect(gemm_has_matrices(halves.tile));
    const struct caps_matrix matrix = gemm_matrix_of(&caps, halves.tile);
    cr_expect(matrix.m == 16 && matrix.n == 16 && matrix.k == 16);
    problem.x.storage = STORAGE_F32;
    cr_expect(!gemm_has_matrices(gemm_ranking_of(&c, &problem).choices[0].tile));
}

Test(gemm, choices_fit_the_device)
{
    static const struct caps *const devices[] = {&discrete, &software, &least};
    for (uint32_t d = 0; d < 3; d++)
        for (int64_t rows = 1; rows < 100000; rows *= 7)
            for (int64_t columns = 3; columns < 5000; columns *= 5)
                for (int64_t depth = 1; depth < 5000; depth *= 9) {
                    const struct gemm_choice choice = choose(devices[d], rows, depth, columns);
                    const uint64_t sums = (uint64_t)(4 * rows * columns * choice.splits);
                    cr_assert(choice.tile != NULL);
                    cr_expect(gemm_tile_fits(devices[d], STORAGE_F32, choice.tile));
                    cr_expect(choice.splits == 1 || sums <= devices[d]->buffer_range_max);
                }
}

static struct flash_tile choose_flash(const struct caps *caps, int64_t matrices, int64_t queries,
                                      int64_t keys, int64_t channels)
{
    const struct op_lower c = {.caps = caps};
    const struct flash_problem problem = {.q = {.dims = {1, matrices, queries, channels}},
                                          .k = {.dims = {1, matrices, keys, channels}},
                                          .v = {.dims = {1, matrices, keys, channels}}};
    return flash_choose(&c, &problem);
}

Test(flash, windows_are_one_tile_of_keys)
{
    cr_expect(choose_flash(&discrete, 192, 49, 49, 32).keys == 64);
    cr_expect(choose_flash(&discrete, 192, 49, 49, 32).rows == 64);
    cr_expect(choose_flash(&discrete, 12, 196, 196, 64).keys == 32);
    cr_expect(choose_flash(&software, 16, 70, 75, 32).rows == 64);
    cr_expect(choose_flash(&software, 6, 49, 49, 32).keys == 64);
}

Test(flash, tiles_fit_the_device_or_there_is_none)
{
    static const struct caps *const devices[] = {&discrete, &software, &least};
    for (uint32_t d = 0; d < 3; d++)
        for (int64_t channels = 1; channels < 1000; channels = channels * 3 / 2 + 1)
            for (int64_t count = 2; count < 3000; count *= 3) {
                const struct flash_tile tile = choose_flash(devices[d], 6, count, count, channels);
                const int64_t quads = flash_quads(channels);
                cr_expect(tile.rows == 0 ||
                          (flash_shared_size(tile.rows, tile.keys, quads, quads) <=
                               devices[d]->shared_size &&
                           2 * tile.rows <= devices[d]->invocations_max));
                cr_expect(tile.rows != 0 || channels > 64);
            }
}

Test(row_group, rows_fit_registers_or_are_left_to_others)
{
    struct caps caps = discrete;
    for (caps.subgroup_size = 4; caps.subgroup_size <= 128; caps.subgroup_size *= 2) {
        const struct op_lower c = {.caps = &caps};
        struct row_group group;
        caps.subgroup_fixed = true;
        for (int64_t length = 8; length < 20000; length += length / 3) {
            if (!row_group_choose(&c, length, 1, &group))
                continue;
            const uint32_t together = group.together ? group.subgroups : 1;
            const int64_t room = (int64_t)group.each * caps.subgroup_size * together;
            cr_expect(room >= length && group.each <= 32);
            cr_expect(group.subgroups * caps.subgroup_size <= 256);
        }
        cr_expect(row_group_choose(&c, 197, 1, &group));
        cr_expect(!row_group_choose(&c, 197, 3, &group)); // elements are no neighbours
        cr_expect(!row_group_choose(&c, 1 << 20, 1, &group));
        caps.subgroup_fixed = false;
        cr_expect(!row_group_choose(&c, 197, 1, &group));
    }
}
