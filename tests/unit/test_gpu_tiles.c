// Goal: products and attention on GPUs get tiles that the device can run and that suit their sizes.
// Method: gemm_ranking_of, flash_choose and flash_ranking_of alone, for faked devices; what the
// tiles compute is tested by test_ops_gpu, whose cases gemm_tiles.json, attention_tiles.json,
// attention_matrix.json and row_groups.json of tests/ops reach every tile on a software driver.
#include "ops/flash_matrix.h"
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

static const struct caps few = {.invocations_max = 1024,
                                .shared_size = 32 << 10,
                                .registers = 64,
                                .subgroup_registers = 1024,
                                .groups_busy = 16,
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
    expect_tile(&discrete, (const int64_t[3]){90000, 576, 3}, 256, 8, false);
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
    expect_tile(&software, (const int64_t[3]){17000, 22, 7}, 256, 8, false);
    expect_tile(&software, (const int64_t[3]){125 * 131, 108, 5}, 256, 8, false);
    cr_expect(choose(&software, 1, 700, 130).splits > 1);
    cr_expect(choose(&software, 9, 515, 37).splits > 1);
}

// The same cases, with ESPY_TEST_KERNELS=gpu-few.
Test(gemm, few_registers_get_tiles_of_their_own)
{
    expect_tile(&few, (const int64_t[3]){500, 22, 510}, 64, 64, false);
    expect_tile(&few, (const int64_t[3]){4100, 20, 30}, 32, 32, false);
    expect_tile(&few, (const int64_t[3]){3, 12, 16390}, 4, 256, false);
    cr_expect(choose(&few, 500, 22, 510).tile->tn == 4);
    cr_expect(choose(&few, 4100, 20, 30).tile->bk == 16);
    cr_expect(choose(&few, 3, 12, 16390).tile->bk == 4);
    struct caps more = few;
    more.registers = 88;
    cr_expect(choose(&more, 4096, 1024, 4096).tile->tn == 8);
    cr_expect(choose(&more, 4096, 1024, 4096).tile->bm == 64);
}

// Of subgroups whose registers would not hold a quarter.
Test(gemm, few_registers_share_tiles_with_matrices_among_more_subgroups)
{
    struct caps caps = few;
    const struct op_lower c = {.caps = &caps};
    const struct gemm_problem problem = {.batches = 1,
                                         .in = 576,
                                         .out = 64,
                                         .pixels = 3136,
                                         .window = {.rank = 3, .kernel = {1, 1, 1}},
                                         .x = {.storage = STORAGE_F16}};
    caps.registers = 88;
    caps.subgroup_registers = 88 * 16;
    caps.subgroup_size = 32;
    caps.matrix_count = 1;
    caps.matrices[0] = (struct caps_matrix){8, 16, 16};
    const struct gemm_tile *tile = gemm_ranking_of(&c, &problem).choices[0].tile;
    cr_expect(gemm_has_matrices(tile) && tile->tn == 4);
    caps.subgroup_registers = 88 * 8;
    cr_expect(!gemm_has_matrices(gemm_ranking_of(&c, &problem).choices[0].tile));
    caps.registers = caps.subgroup_registers = 0;
    tile = gemm_ranking_of(&c, &problem).choices[0].tile;
    cr_expect(gemm_has_matrices(tile) && tile->tn == 2);
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

// Whatever the estimate is worth: the tuner measures each of them.
Test(gemm, the_tuner_may_take_every_tile)
{
    static const int64_t sizes[][3] = {{4096, 1024, 4096}, {1, 2048, 1000}, {90000, 576, 3},
                                       {49, 4608, 512}};
    struct caps caps = discrete;
    caps.subgroup_size = 32;
    caps.matrix_count = 1;
    caps.matrices[0] = (struct caps_matrix){16, 16, 16};
    const struct op_lower c = {.caps = &caps};
    for (uint32_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        const struct gemm_problem problem = {.batches = 1,
                                             .in = sizes[s][1],
                                             .out = sizes[s][2],
                                             .pixels = sizes[s][0],
                                             .window = {.rank = 3, .kernel = {1, 1, 1}},
                                             .x = {.storage = STORAGE_F16}};
        const struct gemm_ranking ranking = gemm_ranking_of(&c, &problem);
        for (uint32_t t = 0; t < GEMM_TILES; t++) {
            uint32_t count = 0;
            for (uint32_t i = 0; i < ranking.count; i++)
                count += ranking.choices[i].tile == &gemm_tiles[t];
            cr_expect_eq(count > 0, gemm_tile_fits(&caps, STORAGE_F16, &gemm_tiles[t]));
            cr_expect_leq(count, ranking.choices[0].tile == &gemm_tiles[t] ? 3 : 1);
        }
        for (uint32_t i = 1; i < ranking.count; i++)
            cr_expect_geq(ranking.costs[i], ranking.costs[i - 1]);
    }
}

Test(gemm, choices_fit_the_device)
{
    static const struct caps *const devices[] = {&discrete, &software, &least, &few};
    for (uint32_t d = 0; d < 4; d++)
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

// A device with matrices of one size for subgroups of `lanes`.
static struct caps with_matrices(const struct caps *device, uint32_t lanes,
                                 struct caps_matrix matrix)
{
    struct caps caps = *device;
    caps.subgroup_size = lanes;
    caps.matrix_count = 1;
    caps.matrices[0] = matrix;
    return caps;
}

static struct flash_ranking rank_flash(const struct caps *caps, enum storage storage,
                                       const int64_t size[4])
{
    const struct op_lower c = {.caps = caps};
    const struct flash_problem problem = {
        .q = {.dims = {1, size[0], size[1], size[3]}, .storage = storage},
        .k = {.dims = {1, size[0], size[2], size[3]}},
        .v = {.dims = {1, size[0], size[2], size[3]}}};
    return flash_ranking_of(&c, &problem);
}

static bool ranks_matrices(const struct flash_ranking *ranking)
{
    for (uint32_t i = 0; i < ranking->count; i++)
        if (ranking->forms[i].tile.matrix.m > 0)
            return true;
    return false;
}

Test(flash, halves_get_matrices_where_there_are_some)
{
    const struct caps caps = with_matrices(&discrete, 32, (struct caps_matrix){16, 16, 16});
    const int64_t image[4] = {3, 196, 196, 64}, window[4] = {192, 49, 49, 32};
    const struct flash_ranking halves = rank_flash(&caps, STORAGE_F16, image);
    cr_assert_gt(halves.count, 1);
    cr_expect_eq(halves.forms[0].tile.matrix.m, 16);
    for (uint32_t i = 1; i < halves.count && halves.forms[i].tile.matrix.m > 0; i++)
        cr_expect_geq(halves.forms[i].cost, halves.forms[i - 1].cost);
    const struct flash_ranking floats = rank_flash(&caps, STORAGE_F32, image);
    cr_expect(!ranks_matrices(&floats));
    const struct flash_ranking without = rank_flash(&discrete, STORAGE_F16, image);
    cr_expect(!ranks_matrices(&without));
    cr_expect_eq(rank_flash(&caps, STORAGE_F16, window).forms[0].tile.keys, 64);
}

// Tiles without matrices are always forms, if they suit, and the first of them is the estimate.
Test(flash, the_tuner_may_take_either_kernel)
{
    const struct caps caps = with_matrices(&discrete, 32, (struct caps_matrix){16, 8, 16});
    for (int64_t count = 2; count < 3000; count *= 3) {
        const int64_t size[4] = {6, count, count, 64};
        const struct flash_tile usual = choose_flash(&caps, 6, count, count, 64);
        const struct flash_ranking ranking = rank_flash(&caps, STORAGE_F16, size);
        uint32_t plain = 0, rows = 0;
        for (uint32_t i = 0; i < ranking.count; i++) {
            const struct flash_matrix_tile *tile = &ranking.forms[i].tile;
            if (tile->matrix.m > 0)
                continue;
            cr_expect(plain > 0 || tile->rows == usual.rows);
            cr_expect((rows & tile->rows) == 0, "twice %u queries", tile->rows);
            rows |= tile->rows;
            plain++;
        }
        cr_expect(plain == 3 && ranking.count > 3, "%lld tokens: %u of %u", (long long)count, plain,
                  ranking.count);
    }
}

Test(flash, usual_heads_fit_48_kib_with_matrices)
{
    static const struct caps_matrix sizes[] = {{16, 16, 16}, {16, 8, 16}, {16, 8, 8}, {8, 8, 8}};
    for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        const struct caps caps = with_matrices(&discrete, 32, sizes[i]);
        for (int64_t channels = 16; channels <= 160; channels += 16) {
            const int64_t size[4] = {3, 196, 196, channels};
            const struct flash_ranking ranking = rank_flash(&caps, STORAGE_F16, size);
            cr_expect(ranks_matrices(&ranking), "%u x %u x %u, %lld channels", sizes[i].m,
                      sizes[i].n, sizes[i].k, (long long)channels);
        }
    }
}

static void expect_runs(const struct caps *caps, const int64_t size[4])
{
    const struct flash_ranking ranking = rank_flash(caps, STORAGE_F16, size);
    for (uint32_t i = 0; i < ranking.count; i++) {
        const struct flash_matrix_tile *tile = &ranking.forms[i].tile;
        if (tile->matrix.m == 0)
            continue;
        const uint32_t part = tile->rows / tile->heads;
        cr_expect(flash_matrix_shared_size(tile) <= caps->shared_size);
        cr_expect(flash_matrix_threads(caps, tile) <= caps->invocations_max);
        cr_expect(part % tile->matrix.m == 0 && tile->keys % tile->matrix.n == 0 &&
                  tile->keys % tile->matrix.k == 0);
        cr_expect(tile->depth % tile->matrix.k == 0 && tile->depth >= size[3] &&
                  tile->width % tile->matrix.n == 0 && tile->width >= size[3]);
        cr_expect(tile->heads == 1 || (size[1] <= part && size[2] <= tile->keys));
    }
}

Test(flash, tiles_with_matrices_fit_the_device)
{
    static const struct caps *const devices[] = {&discrete, &software, &least};
    static const struct caps_matrix sizes[] = {{16, 16, 16}, {16, 8, 16}, {8, 8, 8},   {8, 16, 16},
                                               {32, 8, 16},  {8, 32, 16}, {16, 16, 8}, {4, 4, 4},
                                               {64, 64, 16}, {12, 16, 16}};
    for (uint32_t d = 0; d < 3; d++)
        for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
            for (uint32_t lanes = 4; lanes <= 128; lanes *= 2) {
                const struct caps caps = with_matrices(devices[d], lanes, sizes[i]);
                for (int64_t channels = 1; channels < 3000; channels = channels * 3 / 2 + 3)
                    for (int64_t count = 2; count < 3000; count *= 3)
                        expect_runs(&caps, (const int64_t[4]){6, count, count + 1, channels});
            }
}

Test(flash, small_windows_share_a_workgroup)
{
    const struct caps caps = with_matrices(&discrete, 32, (struct caps_matrix){16, 16, 16});
    const int64_t small[4] = {512, 16, 16, 32}, large[4] = {192, 49, 49, 32};
    cr_expect_eq(rank_flash(&caps, STORAGE_F16, small).forms[0].tile.heads, 4);
    cr_expect_eq(rank_flash(&caps, STORAGE_F16, large).forms[0].tile.heads, 1);
}

// By the device of the cases: Mesa's software driver, where it has matrices.
Test(flash, cases_of_test_ops_reach_tiles_with_matrices)
{
    static const struct {
        int64_t size[4];
        uint32_t rows, keys, heads;
    } rows[] = {{{300, 14, 14, 16}, 64, 32, 4}, {{322, 8, 13, 8}, 64, 32, 4},
                {{194, 16, 30, 8}, 64, 32, 4},  {{150, 25, 25, 8}, 64, 32, 2},
                {{300, 10, 70, 16}, 16, 32, 1}, {{150, 20, 75, 8}, 32, 32, 1},
                {{2, 70, 150, 64}, 64, 32, 1},  {{4, 37, 41, 128}, 64, 32, 1},
                {{6, 49, 49, 32}, 64, 64, 1},   {{1, 75, 40, 160}, 0, 0, 0}};
    const struct caps caps = with_matrices(&software, 8, (struct caps_matrix){8, 8, 8});
    for (uint32_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct flash_ranking ranking = rank_flash(&caps, STORAGE_F16, rows[i].size);
        const struct flash_matrix_tile tile = ranking.forms[0].tile;
        cr_expect(rows[i].rows == 0 ? !ranks_matrices(&ranking)
                                    : tile.matrix.m == 8 && tile.rows == rows[i].rows &&
                                          tile.keys == rows[i].keys && tile.heads == rows[i].heads,
                  "%u: %u x %u, %u heads", i, tile.rows, tile.keys, tile.heads);
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
