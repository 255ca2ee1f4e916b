// Goal: runtime/base keeps its promises, on the edges and when memory runs out.
// Method: number formats are compared over their whole range with a slow method that shares nothing
// with the code; containers against what plain C says; every allocation is made to fail.
#include <criterion/criterion.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32.h"
#include "support/test_host.h"

// ---- half and bfloat16 --------------------------------------------------------------------------

// What the bits of a finite 16-bit float with this many mantissa bits mean, by their definition.
static double value_of_bits(uint32_t bits, int mantissa_bits)
{
    const int bias = (1 << (14 - mantissa_bits)) - 1;
    const int exponent = (int)(bits >> mantissa_bits) & ((1 << (15 - mantissa_bits)) - 1);
    const double mantissa = (double)(bits & ((1u << mantissa_bits) - 1u));
    const double magnitude =
        exponent == 0 ? ldexp(mantissa, 1 - bias - mantissa_bits)
                      : ldexp(mantissa + ldexp(1, mantissa_bits), exponent - bias - mantissa_bits);
    return (bits & 0x8000u) != 0 ? -magnitude : magnitude;
}

Test(base, every_half_means_what_its_bits_say_and_survives_a_round_trip)
{
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        const float value = espy_half_to_float((uint16_t)bits);
        const uint16_t back = espy_float_to_half(value);
        if ((bits & 0x7c00u) != 0x7c00u)
            cr_assert((double)value == value_of_bits(bits, 10), "0x%04x is %g", bits,
                      (double)value);
        else if ((bits & 0x3ffu) == 0)
            cr_assert(isinf(value) && (value < 0) == (bits > 0x8000u), "0x%04x", bits);
        else
            cr_assert(isnan(value), "0x%04x", bits);
        if (isnan(value))
            cr_assert(isnan(espy_half_to_float(back)), "0x%04x", bits);
        else
            cr_assert(back == bits, "0x%04x came back as 0x%04x", bits, back);
        cr_assert(signbit(value) == 0 || bits >= 0x8000u);
    }
}

Test(base, every_bfloat16_means_what_its_bits_say_and_survives_a_round_trip)
{
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        const float value = espy_bfloat16_to_float((uint16_t)bits);
        const uint16_t back = espy_float_to_bfloat16(value);
        if ((bits & 0x7f80u) != 0x7f80u)
            cr_assert((double)value == value_of_bits(bits, 7), "0x%04x is %g", bits, (double)value);
        if (isnan(value))
            cr_assert(isnan(espy_bfloat16_to_float(back)), "0x%04x", bits);
        else
            cr_assert(back == bits, "0x%04x came back as 0x%04x", bits, back);
    }
}

// Around the point halfway between each two neighbours, where rounding turns: halfway goes to the
// even one, the next float to either side goes to the nearer one.
static void check_rounding(uint16_t (*convert)(float), int mantissa_bits, uint32_t largest)
{
    for (uint32_t low = 0; low < largest; low++) {
        const uint32_t high = low + 1, even = low % 2 == 0 ? low : high;
        const double middle =
            (value_of_bits(low, mantissa_bits) + value_of_bits(high, mantissa_bits)) / 2;
        const float turn = (float)middle;
        cr_assert((double)turn == middle, "0x%04x: not a float", low);
        cr_assert(convert(turn) == even, "0x%04x: %a gives 0x%04x", low, (double)turn,
                  convert(turn));
        cr_assert(convert(nextafterf(turn, 0)) == low, "below 0x%04x", high);
        cr_assert(convert(nextafterf(turn, INFINITY)) == high, "above 0x%04x", low);
        cr_assert(convert(-turn) == (even | 0x8000u), "0x%04x: negative", low);
    }
}

Test(base, floats_round_to_the_nearest_half_and_ties_to_even)
{
    check_rounding(espy_float_to_half, 10, 0x7bff);
    cr_expect(espy_float_to_half(nextafterf(65520, 0)) == 0x7bff);
    cr_expect(espy_float_to_half(65520) == 0x7c00);
    cr_expect(espy_float_to_half(3e38f) == 0x7c00);
    cr_expect(espy_float_to_half(-INFINITY) == 0xfc00);
    cr_expect(espy_float_to_half(-0.0f) == 0x8000);
    cr_expect(espy_float_to_half(1e-30f) == 0);
}

Test(base, floats_round_to_the_nearest_bfloat16_and_ties_to_even)
{
    // Between subnormals the middle is a float too: it has 16 bits more.
    check_rounding(espy_float_to_bfloat16, 7, 0x7f7f);
    cr_expect(espy_float_to_bfloat16(INFINITY) == 0x7f80);
    cr_expect(espy_float_to_bfloat16(nextafterf(INFINITY, 0)) == 0x7f80);
    cr_expect(espy_float_to_bfloat16(-0.0f) == 0x8000);
}

// ---- floats of 8 bits and less ------------------------------------------------------------------

static const struct {
    const char *name;
    struct float_form form;
    uint8_t codes[6]; // and what they mean, from the types' definitions
    double numbers[6];
} small_forms[] = {
    {"e4m3fn",
     {4, 3, 7, FLOAT_ONE_NAN},
     {0x01, 0x08, 0x38, 0x7e, 0xfe, 0x7f},
     {0x1p-9, 0x1p-6, 1, 448, -448, (double)NAN}},
    {"e4m3fnuz",
     {4, 3, 8, FLOAT_NAN_FOR_MINUS_ZERO},
     {0x01, 0x08, 0x40, 0x7f, 0xff, 0x80},
     {0x1p-10, 0x1p-7, 1, 240, -240, (double)NAN}},
    {"e5m2",
     {5, 2, 15, FLOAT_IEEE},
     {0x01, 0x04, 0x3c, 0x7b, 0xfc, 0x7f},
     {0x1p-16, 0x1p-14, 1, 57344, -(double)INFINITY, (double)NAN}},
    {"e5m2fnuz",
     {5, 2, 16, FLOAT_NAN_FOR_MINUS_ZERO},
     {0x01, 0x04, 0x40, 0x7f, 0xff, 0x80},
     {0x1p-17, 0x1p-15, 1, 57344, -57344, (double)NAN}},
    {"e2m1", {2, 1, 1, FLOAT_FINITE}, {0x0, 0x1, 0x2, 0x3, 0x7, 0xf}, {0, 0.5, 1, 1.5, 6, -6}},
    {"e8m0",
     {8, 0, 127, FLOAT_POWER},
     {0, 1, 127, 128, 254, 255},
     {0x1p-127, 0x1p-126, 1, 2, 0x1p127, (double)NAN}},
};
enum { SMALL_FORM_COUNT = sizeof(small_forms) / sizeof(small_forms[0]) };

Test(base, small_floats_mean_what_their_definitions_say)
{
    for (size_t i = 0; i < SMALL_FORM_COUNT; i++)
        for (size_t k = 0; k < 6; k++) {
            const double number =
                espy_small_to_number(&small_forms[i].form, small_forms[i].codes[k]);
            const double wanted = small_forms[i].numbers[k];
            cr_expect(number == wanted || (isnan(number) && isnan(wanted)), "%s 0x%02x: %g",
                      small_forms[i].name, small_forms[i].codes[k], number);
        }
}

Test(base, every_small_float_survives_a_round_trip)
{
    for (size_t i = 0; i < SMALL_FORM_COUNT; i++) {
        const struct float_form *form = &small_forms[i].form;
        const int bits = form->exponent_bits + form->mantissa_bits + (form->special != FLOAT_POWER);
        for (unsigned code = 0; code < 1u << bits; code++) {
            const double number = espy_small_to_number(form, (uint8_t)code);
            const uint8_t back = espy_number_to_small(form, number, false, FLOAT_NEAREST);
            if (isnan(number))
                cr_expect(isnan(espy_small_to_number(form, back)), "%s 0x%02x", small_forms[i].name,
                          code);
            else
                cr_expect(back == code, "%s 0x%02x gives 0x%02x", small_forms[i].name, code, back);
        }
    }
}

Test(base, a_nan_whose_high_bits_are_zero_stays_a_nan)
{
    for (uint32_t bit = 0; bit < 23; bit++) {
        const uint32_t bits = 0x7f800000u | 1u << bit;
        float value;
        memcpy(&value, &bits, sizeof(value));
        cr_expect(isnan(espy_half_to_float(espy_float_to_half(value))), "bit %u", bit);
        cr_expect(isnan(espy_bfloat16_to_float(espy_float_to_bfloat16(value))), "bit %u", bit);
    }
}

// ---- checksums ----------------------------------------------------------------------------------

// One bit at a time, as the polynomial is defined.
static uint32_t slow_crc32(const unsigned char *bytes, size_t size)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int k = 0; k < 8; k++)
            crc = (crc & 1u) != 0 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
    }
    return ~crc;
}

Test(base, crc32_has_the_published_check_values)
{
    cr_expect(espy_crc32(0, "", 0) == 0);
    cr_expect(espy_crc32(0, "123456789", 9) == 0xcbf43926u);
    cr_expect(espy_crc32(0, "The quick brown fox jumps over the lazy dog", 43) == 0x414fa339u);
}

Test(base, crc32_of_short_and_long_pieces_goes_on_from_the_last)
{
    enum { SIZE = 70001 };
    static unsigned char bytes[SIZE];
    uint32_t seed = 1;
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (unsigned char)((seed = seed * 1664525u + 1013904223u) >> 24);
    static const size_t sizes[] = {0, 1, 7, 8, 9, 16383, 16384, 16385, 16391, 32768, SIZE};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
        const uint32_t expected = slow_crc32(bytes, sizes[s]);
        cr_expect(espy_crc32(0, bytes, sizes[s]) == expected, "%zu bytes", sizes[s]);
        for (size_t cut = 0; cut <= sizes[s]; cut += 1 + sizes[s] / 13) {
            const uint32_t first = espy_crc32(0, bytes, cut);
            cr_expect(espy_crc32(first, bytes + cut, sizes[s] - cut) == expected,
                      "%zu bytes, cut at %zu", sizes[s], cut);
        }
    }
}

// The way that a processor does not take is tested all the same.
Test(base, crc32_is_the_same_in_every_way)
{
    enum { SIZE = 70001, FIRST_MAX = 20 };
    static unsigned char bytes[SIZE];
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (unsigned char)(i * i >> 3 ^ i);
    static size_t (*const ways[])(uint32_t *, const unsigned char *,
                                  size_t) = {espy_crc32_tables, espy_crc32_native};
    static const size_t sizes[] = {0, 1, 8, 63, 64, 65, 127, 128, 200, 16384, 32768, 65539};
    for (size_t w = 0; w < 2; w++) {
        for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes) * FIRST_MAX; s++) {
            const size_t first = s % FIRST_MAX, size = sizes[s / FIRST_MAX];
            uint32_t crc = 0x12345678u;
            const size_t done = ways[w](&crc, bytes + first, size);
            cr_assert_leq(done, size);
            cr_expect_eq(crc, espy_crc32_bytes(0x12345678u, bytes + first, done),
                         "way %zu, %zu bytes from %zu", w, size, first);
        }
    }
    uint32_t crc = 0;
    cr_expect_gt(espy_crc32_tables(&crc, bytes, SIZE), 0);
}

Test(base, hash_has_the_published_values_of_fnv_1a)
{
    cr_expect(espy_hash(ESPY_HASH_START, "", 0) == UINT64_C(0xcbf29ce484222325));
    cr_expect(espy_hash(ESPY_HASH_START, "a", 1) == UINT64_C(0xaf63dc4c8601ec8c));
    cr_expect(espy_hash(ESPY_HASH_START, "foobar", 6) == UINT64_C(0x85944171f73967e8));
    const uint64_t first = espy_hash(ESPY_HASH_START, "foo", 3);
    cr_expect(espy_hash(first, "bar", 3) == UINT64_C(0x85944171f73967e8));
}

// ---- sizes --------------------------------------------------------------------------------------

Test(base, checked_sizes_refuse_overflow_and_leave_the_result)
{
    size_t result = 7;
    cr_expect(espy_checked_mul(SIZE_MAX / 2, 2, &result) && result == SIZE_MAX - 1);
    result = 7;
    cr_expect(!espy_checked_mul(SIZE_MAX / 2 + 1, 2, &result) && result == 7);
    cr_expect(!espy_checked_mul(2, SIZE_MAX / 2 + 1, &result) && result == 7);
    cr_expect(espy_checked_mul(0, SIZE_MAX, &result) && result == 0);
    cr_expect(espy_checked_mul(SIZE_MAX, 0, &result) && result == 0);
    cr_expect(espy_checked_add(SIZE_MAX - 1, 1, &result) && result == SIZE_MAX);
    result = 7;
    cr_expect(!espy_checked_add(SIZE_MAX, 1, &result) && result == 7);
}

// ---- host ---------------------------------------------------------------------------------------

struct kept_line {
    uint32_t count;
    espy_log_level level;
    char text[4096];
};

static void keep_line(void *user, espy_log_level level, const char *message)
{
    struct kept_line *line = user;
    line->count++;
    line->level = level;
    snprintf(line->text, sizeof(line->text), "%s", message);
}

Test(base, lines_less_urgent_than_asked_for_are_not_delivered)
{
    struct kept_line line = {.count = 0};
    struct host host;
    for (int asked = 0; asked <= (int)ESPY_LOG_DEBUG; asked++) {
        espy_host_init(&host, &(struct espy_context_params){.log = keep_line,
                                                            .log_user = &line,
                                                            .log_level = (espy_log_level)asked});
        const int least = asked == 0 ? (int)ESPY_LOG_WARNING : asked;
        for (int level = (int)ESPY_LOG_ERROR; level <= (int)ESPY_LOG_DEBUG; level++) {
            line.count = 0;
            espy_log(&host, (espy_log_level)level, "x");
            cr_expect(line.count == (level <= least), "asked %d, level %d", asked, level);
        }
    }
    espy_host_init(&host, NULL); // no log at all
    espy_log(&host, ESPY_LOG_ERROR, "nobody hears this");
    cr_expect(espy_fail(&host, ESPY_IO_ERROR, "nor this") == ESPY_IO_ERROR);
}

Test(base, a_line_that_is_too_long_is_cut_and_stays_a_string)
{
    struct kept_line line = {.count = 0};
    struct host host;
    espy_host_init(&host, &(struct espy_context_params){.log = keep_line, .log_user = &line});
    cr_expect(espy_fail(&host, ESPY_BAD_FORMAT, "%03000d", 1) == ESPY_BAD_FORMAT);
    cr_expect(line.count == 1 && line.level == ESPY_LOG_ERROR);
    cr_expect(strlen(line.text) > 500 && strlen(line.text) < 3000);
}

Test(base, allocations_are_zeroed_counted_and_refused_when_too_large)
{
    struct test_host test;
    espy_test_host_init(&test);
    unsigned char *bytes = espy_alloc(&test.host, 1000);
    for (size_t i = 0; i < 1000; i++)
        cr_assert(bytes[i] == 0);
    cr_expect(espy_alloc(&test.host, 0) == NULL);
    cr_expect(espy_alloc_array(&test.host, SIZE_MAX / 2, 3) == NULL);
    cr_expect(test.call_count == 1 && test.error_count == 0);
    bytes = espy_realloc(&test.host, bytes, 2000);
    cr_assert(bytes != NULL && bytes[999] == 0);
    espy_free(&test.host, bytes);
    espy_free(&test.host, NULL);
    cr_expect(test.live_count == 0);
}

Test(base, a_growing_array_keeps_its_elements_and_survives_a_failure)
{
    struct test_host test;
    espy_test_host_init(&test);
    uint32_t *numbers = NULL, count = 0, capacity = 0;
    while (count < 1000) {
        cr_assert(espy_grow(&test.host, &numbers, count, &capacity, sizeof(*numbers)) == ESPY_OK);
        cr_assert(capacity > count);
        numbers[count] = count;
        count++;
    }
    for (uint32_t i = 0; i < count; i++)
        cr_assert(numbers[i] == i);
    const uint32_t *before = numbers;
    count = capacity;
    test.fail_at = test.call_count + 1;
    cr_expect(espy_grow(&test.host, &numbers, count, &capacity, sizeof(*numbers)) ==
              ESPY_OUT_OF_MEMORY);
    cr_expect(numbers == before && capacity == count && test.error_count == 1);
    uint32_t full = UINT32_MAX / 2 + 1; // cannot be doubled
    cr_expect(espy_grow(&test.host, &numbers, full, &full, sizeof(*numbers)) == ESPY_OUT_OF_MEMORY);
    cr_expect(numbers == before && test.error_count == 2);
    espy_free(&test.host, numbers);
    cr_expect(test.live_count == 0);
}

// ---- arena --------------------------------------------------------------------------------------

enum { PIECES = 300 };

static size_t piece_size(size_t i)
{
    return i % 17 == 0 ? 40000 + i : i % 5 == 0 ? 0 : i * 7 % 900; // some have their own block
}

Test(base, arena_pieces_are_zeroed_aligned_and_apart)
{
    struct test_host test;
    struct arena arena;
    unsigned char *pieces[PIECES];
    espy_test_host_init(&test);
    espy_arena_init(&arena, &test.host);
    for (size_t i = 0; i < PIECES; i++) {
        pieces[i] = espy_arena_alloc(&arena, piece_size(i));
        cr_assert(pieces[i] != NULL && (uintptr_t)pieces[i] % 8 == 0);
        for (size_t k = 0; k < piece_size(i); k++)
            cr_assert(pieces[i][k] == 0);
        memset(pieces[i], (int)(i % 251 + 1), piece_size(i));
    }
    for (size_t i = 0; i < PIECES; i++)
        for (size_t k = 0; k < piece_size(i); k++)
            cr_assert(pieces[i][k] == i % 251 + 1, "piece %zu was written over", i);
    espy_arena_finish(&arena);
    cr_expect(test.live_count == 0 && test.error_count == 0);
    espy_arena_finish(&arena); // twice is fine
    struct arena zeroed = {.host = NULL};
    espy_arena_finish(&zeroed);
}

Test(base, arena_refuses_sizes_that_overflow_with_one_line)
{
    static const size_t sizes[] = {SIZE_MAX,      SIZE_MAX - 1,  SIZE_MAX - 15,
                                   SIZE_MAX - 16, SIZE_MAX - 31, SIZE_MAX - 40};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        struct test_host test;
        struct arena arena;
        espy_test_host_init(&test);
        espy_arena_init(&arena, &test.host);
        test.fail_at = 1; // C's realloc need not be asked
        cr_expect(espy_arena_alloc(&arena, sizes[i]) == NULL);
        cr_expect(test.error_count == 1, "%zu: %u lines", sizes[i], test.error_count);
        espy_arena_finish(&arena);
        cr_expect(espy_arena_array(&arena, SIZE_MAX / 4, 5) == NULL && test.error_count == 2);
        espy_arena_finish(&arena);
    }
}

Test(base, arena_fails_once_says_so_once_and_gives_nothing_more)
{
    for (size_t size = 8; size <= 100000; size *= 5) {
        struct test_host test;
        struct arena arena;
        espy_test_host_init(&test);
        espy_arena_init(&arena, &test.host);
        char *kept = espy_arena_string(&arena, "still here");
        test.fail_at = test.call_count + 1;
        while (espy_arena_alloc(&arena, size) != NULL)
            continue;
        test.fail_at = 0;
        cr_expect(espy_arena_alloc(&arena, 1) == NULL && espy_arena_string(&arena, "") == NULL);
        cr_expect(espy_arena_format(&arena, "%d", 1) == NULL);
        cr_expect(test.error_count == 1);
        cr_expect(strcmp(kept, "still here") == 0, "what it gave is good until it is finished");
        espy_arena_finish(&arena);
        cr_expect(test.live_count == 0);
        cr_expect(espy_arena_alloc(&arena, 1) != NULL, "and then it is as new");
        espy_arena_finish(&arena);
    }
}

// Text lies at the other end of the blocks than everything else.
Test(base, arena_takes_text_and_pieces_in_turn)
{
    struct test_host test;
    struct arena arena;
    unsigned char *pieces[PIECES];
    char *texts[PIECES], expected[40];
    espy_test_host_init(&test);
    espy_arena_init(&arena, &test.host);
    for (size_t i = 0; i < PIECES; i++) {
        texts[i] = espy_arena_format(&arena, "%0*zu", (int)(i % 30 + 1), i);
        pieces[i] = espy_arena_alloc(&arena, i % 50);
        cr_assert(texts[i] != NULL && pieces[i] != NULL && (uintptr_t)pieces[i] % 8 == 0);
        for (size_t k = 0; k < i % 50; k++)
            cr_assert(pieces[i][k] == 0);
        memset(pieces[i], (int)(i % 251 + 1), i % 50);
    }
    for (size_t i = 0; i < PIECES; i++) {
        snprintf(expected, sizeof(expected), "%0*zu", (int)(i % 30 + 1), i);
        cr_assert(strcmp(texts[i], expected) == 0);
        for (size_t k = 0; k < i % 50; k++)
            cr_assert(pieces[i][k] == i % 251 + 1, "piece %zu was written over", i);
    }
    espy_arena_finish(&arena);
    cr_expect(test.live_count == 0);
}

Test(base, arena_of_few_things_is_small)
{
    struct test_host test;
    struct arena arena;
    espy_test_host_init(&test);
    espy_arena_init(&arena, &test.host);
    size_t given = 0;
    for (size_t i = 1; i < 2000; i++) {
        cr_assert(espy_arena_string(&arena, "a name of it") != NULL);
        cr_assert(espy_arena_alloc(&arena, 24) != NULL);
        given += 24 + sizeof("a name of it");
        cr_assert(arena.total <= 1100 + given + given / 2, "%zu for %zu", arena.total, given);
    }
    espy_arena_finish(&arena);
}

Test(base, arena_is_as_new_after_reset)
{
    struct test_host test;
    struct arena arena;
    espy_test_host_init(&test);
    espy_arena_init(&arena, &test.host);
    for (size_t round = 0; round < 50; round++) {
        for (size_t i = 0; i < 100; i++) {
            unsigned char *piece = espy_arena_alloc(&arena, piece_size(round * 7 + i));
            cr_assert(piece != NULL);
            for (size_t k = 0; k < piece_size(round * 7 + i); k++)
                cr_assert(piece[k] == 0);
            memset(piece, 255, piece_size(round * 7 + i));
            cr_assert(espy_arena_string(&arena, "not zero") != NULL);
        }
        espy_arena_reset(&arena);
        cr_expect(arena.total <= 70000, "%zu are kept", arena.total);
    }
    espy_arena_alloc(&arena, 30000); // the only block, which was given whole
    espy_arena_finish(&arena);
    espy_arena_alloc(&arena, 30000);
    espy_arena_reset(&arena);
    cr_expect(arena.total == 0);
    espy_arena_finish(&arena);
    cr_expect(test.live_count == 0);
}

Test(base, arena_copies_and_formats)
{
    struct test_host test;
    struct arena arena;
    espy_test_host_init(&test);
    espy_arena_init(&arena, &test.host);
    static const uint16_t numbers[3] = {1, 2, 3};
    const uint16_t *copy = espy_arena_copy(&arena, numbers, sizeof(numbers));
    cr_expect(copy != numbers && memcmp(copy, numbers, sizeof(numbers)) == 0);
    cr_expect(espy_arena_copy(&arena, NULL, 0) != NULL);
    const char *text = espy_arena_format(&arena, "%s-%05d", "x", 42);
    cr_expect(strcmp(text, "x-00042") == 0);
    cr_expect(strlen(espy_arena_format(&arena, "%050000d", 1)) == 50000);
    cr_expect(strcmp(espy_arena_format(&arena, "%s", ""), "") == 0);
    espy_arena_finish(&arena);
    cr_expect(test.live_count == 0);
}

// ---- map ----------------------------------------------------------------------------------------

enum { KEYS = 5000 };

Test(base, map_finds_every_key_and_no_other)
{
    static char keys[KEYS][12];
    struct test_host test;
    struct map map;
    espy_test_host_init(&test);
    espy_map_init(&map, &test.host);
    cr_expect(espy_map_get(&map, "") == MAP_NONE);
    for (uint32_t i = 0; i < KEYS; i++) {
        snprintf(keys[i], sizeof(keys[i]), "key%u", i * 7919);
        cr_assert(espy_map_get(&map, keys[i]) == MAP_NONE);
        cr_assert(espy_map_put(&map, keys[i], i) == ESPY_OK);
        cr_assert(map.count == i + 1);
    }
    for (uint32_t i = 0; i < KEYS; i++)
        cr_assert(espy_map_get(&map, keys[i]) == i);
    cr_expect(espy_map_put(&map, keys[17], 99) == ESPY_OK && map.count == KEYS);
    cr_expect(espy_map_get(&map, keys[17]) == 99);
    cr_expect(espy_map_put(&map, "", 5) == ESPY_OK && espy_map_get(&map, "") == 5);
    espy_map_finish(&map);
    espy_map_finish(&map);
    cr_expect(test.live_count == 0 && test.error_count == 0);
}

Test(base, map_keeps_what_it_has_when_it_cannot_grow)
{
    static char keys[KEYS][12];
    struct test_host test;
    struct map map;
    espy_test_host_init(&test);
    espy_map_init(&map, &test.host);
    uint32_t kept = 0;
    espy_status status = ESPY_OK;
    test.fail_at = 3;
    while (status == ESPY_OK) {
        snprintf(keys[kept], sizeof(keys[kept]), "key%u", kept);
        status = espy_map_put(&map, keys[kept], kept);
        kept += status == ESPY_OK;
    }
    cr_expect(status == ESPY_OUT_OF_MEMORY && test.error_count == 1 && kept > 0);
    for (uint32_t i = 0; i < kept; i++)
        cr_assert(espy_map_get(&map, keys[i]) == i);
    cr_expect(espy_map_get(&map, keys[kept]) == MAP_NONE);
    test.fail_at = 0;
    cr_expect(espy_map_put(&map, keys[kept], kept) == ESPY_OK);
    cr_expect(espy_map_get(&map, keys[kept]) == kept);
    espy_map_finish(&map);
    cr_expect(test.live_count == 0);
}

// ---- text ---------------------------------------------------------------------------------------

Test(base, text_grows_and_stays_a_string)
{
    struct test_host test;
    struct text text;
    espy_test_host_init(&test);
    espy_text_init(&text, &test.host);
    cr_expect(text.chars == NULL);
    espy_text_add_bytes(&text, "", 0);
    cr_expect(text.length == 0 && strcmp(text.chars, "") == 0);
    for (int i = 0; i < 1000; i++) {
        espy_text_add(&text, "%03d ", i);
        cr_assert(text.length == 4 * ((size_t)i + 1) && text.chars[text.length] == '\0');
    }
    cr_expect(strncmp(text.chars, "000 001 002 ", 12) == 0);
    cr_expect(strcmp(text.chars + text.length - 8, "998 999 ") == 0);
    espy_text_add(&text, "%0100000d", 1); // more than a doubling
    cr_expect(text.length == 104000 && strlen(text.chars) == 104000);
    espy_text_finish(&text);
    espy_text_finish(&text);
    cr_expect(test.live_count == 0 && test.error_count == 0);
}

Test(base, text_fails_once_and_says_so_once)
{
    struct test_host test;
    struct text text;
    espy_test_host_init(&test);
    espy_text_init(&text, &test.host);
    espy_text_add(&text, "kept");
    test.fail_at = test.call_count + 1;
    espy_text_add(&text, "%01000d", 1);
    test.fail_at = 0;
    espy_text_add(&text, "more");
    espy_text_add_bytes(&text, "more", 4);
    cr_expect(text.failed && test.error_count == 1);
    cr_expect(strcmp(text.chars, "kept") == 0);
    espy_text_finish(&text);
    espy_text_init(&text, &test.host);
    espy_text_add_bytes(&text, "x", SIZE_MAX);
    espy_text_add_bytes(&text, "x", SIZE_MAX - 1);
    cr_expect(text.length == 0, "nothing of an impossible size is added");
    espy_text_finish(&text);
    cr_expect(test.live_count == 0);
}

// ---- names --------------------------------------------------------------------------------------

Test(base, every_status_has_its_own_text)
{
    for (int a = 0; a <= (int)ESPY_MISMATCH; a++)
        for (int b = 0; b <= (int)ESPY_MISMATCH + 1; b++)
            cr_expect((strcmp(espy_status_text((espy_status)a), espy_status_text((espy_status)b)) ==
                       0) == (a == b),
                      "%d %d", a, b);
    cr_expect(espy_status_text((espy_status)-1) != NULL);
}

Test(base, every_type_has_a_name_and_a_size)
{
    static const size_t sizes[] = {0, 4, 2, 2, 8, 1, 1, 2, 2, 4, 4, 8, 8, 1};
    for (int a = 0; a <= (int)ESPY_BOOL; a++) {
        cr_expect(espy_dtype_size((espy_dtype)a) == sizes[a], "%d", a);
        for (int b = 0; b < a; b++)
            cr_expect(strcmp(espy_dtype_name((espy_dtype)a), espy_dtype_name((espy_dtype)b)) != 0);
    }
    cr_expect(strcmp(espy_dtype_name(ESPY_FLOAT32), "float32") == 0);
    cr_expect(strcmp(espy_dtype_name((espy_dtype)99), "none") == 0);
    cr_expect(strcmp(espy_dtype_name((espy_dtype)-1), "none") == 0);
    cr_expect(espy_dtype_size((espy_dtype)99) == 0 && espy_dtype_size((espy_dtype)-1) == 0);
}
