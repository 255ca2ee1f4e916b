// Goal: pictures are decoded as Pillow decodes them, resized and normalised as Pillow and
// torchvision do, and hostile files only fail.
// Method: small fixtures and CRCs recorded from Pillow 9.4; every truncation and random flips.
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "picture_fixtures.h"
#include "picture_preprocess.h"

// The same picture as the script that recorded the CRCs made.
static struct picture noise(uint32_t width, uint32_t height)
{
    struct picture picture;
    struct cli_message message;
    uint32_t state = 7;
    cr_assert(espy_picture_create(width, height, &picture, &message));
    for (size_t i = 0; i < (size_t)width * height * 3; i++) {
        state = state * 1664525u + 1013904223u;
        picture.rgb[i] = (uint8_t)(state >> 24);
    }
    return picture;
}

static uint32_t crc_of(const struct picture *picture)
{
    return espy_crc32(0, picture->rgb, (size_t)picture->width * picture->height * 3);
}

static bool parse(const void *bytes, size_t size, struct picture *picture,
                  struct cli_message *message)
{
    unsigned char *copy = malloc(size ? size : 1);
    cr_assert_not_null(copy);
    memcpy(copy, bytes, size);
    const bool ok = espy_picture_parse("x", copy, size, picture, message);
    free(copy);
    return ok;
}

static void expect_pixel(const struct picture *picture, uint32_t x, uint32_t y, int r, int g, int b)
{
    const uint8_t *rgb = picture->rgb + ((size_t)y * picture->width + x) * 3;
    cr_expect(rgb[0] == r && rgb[1] == g && rgb[2] == b, "%u,%u is %d %d %d, not %d %d %d", x, y,
              rgb[0], rgb[1], rgb[2], r, g, b);
}

Test(picture, png_comes_back)
{
    char path[64];
    struct picture picture = noise(31, 17), again;
    struct cli_message message = {""};
    (void)snprintf(path, sizeof path, "/tmp/espy-picture-%ld.png", (long)getpid());
    cr_assert(espy_picture_write_png(path, &picture, &message), "%s", message.text);
    cr_assert(espy_picture_read(path, &again, &message), "%s", message.text);
    cr_expect_eq(again.width, 31);
    cr_expect_eq(again.height, 17);
    cr_expect_eq(crc_of(&again), crc_of(&picture));
    espy_picture_free(&picture);
    espy_picture_free(&again);
    (void)unlink(path);
}

Test(picture, png_kinds_become_rgb)
{
    struct picture picture;
    struct cli_message message = {""};
    cr_assert(parse(png_rgba, sizeof png_rgba, &picture, &message), "%s", message.text);
    expect_pixel(&picture, 0, 0, 255, 255, 255); // alpha 0: white
    expect_pixel(&picture, 2, 1, 200, 200, 50);  // alpha 255
    expect_pixel(&picture, 1, 0, 203, 170, 187); // alpha 85
    espy_picture_free(&picture);
    cr_assert(parse(png_gray16, sizeof png_gray16, &picture, &message), "%s", message.text);
    expect_pixel(&picture, 0, 0, 0x12, 0x12, 0x12);
    expect_pixel(&picture, 1, 0, 0xFE, 0xFE, 0xFE);
    espy_picture_free(&picture);
    cr_assert(parse(png_palette, sizeof png_palette, &picture, &message), "%s", message.text);
    expect_pixel(&picture, 0, 0, 255, 0, 0);
    expect_pixel(&picture, 1, 0, 255, 255, 255); // the transparent index
    expect_pixel(&picture, 0, 1, 0, 0, 255);
    espy_picture_free(&picture);
}

Test(picture, jpeg_kinds_become_rgb)
{
    struct picture picture;
    struct cli_message message = {""};
    cr_assert(parse(jpeg_gray, sizeof jpeg_gray, &picture, &message), "%s", message.text);
    expect_pixel(&picture, 3, 3, 77, 77, 77);
    espy_picture_free(&picture);
    cr_assert(parse(jpeg_cmyk, sizeof jpeg_cmyk, &picture, &message), "%s", message.text);
    expect_pixel(&picture, 0, 0, 255, 0, 127);
    espy_picture_free(&picture);
    cr_assert(parse(jpeg_progressive, sizeof jpeg_progressive, &picture, &message), "%s",
              message.text);
    expect_pixel(&picture, 0, 0, 0, 5, 116);
    expect_pixel(&picture, 15, 7, 245, 219, 144);
    expect_pixel(&picture, 7, 3, 110, 97, 127);
    espy_picture_free(&picture);
}

static void harm(const unsigned char *bytes, size_t size)
{
    struct picture picture;
    struct cli_message message;
    uint32_t state = 1;
    unsigned char *damaged = malloc(size);
    cr_assert_not_null(damaged);
    // The last bytes end the file and hold no pixels; some decoders do without.
    for (size_t cut = 0; cut < size; cut++) {
        const bool ok = parse(bytes, cut, &picture, &message);
        cr_expect(!ok || cut + 16 >= size, "cut at %zu of %zu", cut, size);
        if (ok)
            espy_picture_free(&picture);
    }
    for (unsigned i = 0; i < 2000; i++) {
        memcpy(damaged, bytes, size);
        for (unsigned k = 0; k <= i % 3; k++) {
            state = state * 1664525u + 1013904223u;
            damaged[(state >> 8) % size] = (unsigned char)(state >> 24);
        }
        if (parse(damaged, size, &picture, &message))
            espy_picture_free(&picture);
    }
    free(damaged);
}

Test(picture, truncations_and_flips_do_no_harm)
{
    harm(png_rgba, sizeof png_rgba);
    harm(png_palette, sizeof png_palette);
    harm(jpeg_gray, sizeof jpeg_gray);
    harm(jpeg_cmyk, sizeof jpeg_cmyk);
    harm(jpeg_progressive, sizeof jpeg_progressive);
}

Test(picture, huge_sizes_are_refused_before_memory_is_taken)
{
    unsigned char bytes[sizeof png_rgba];
    struct picture picture = {0};
    struct cli_message message = {""};
    memcpy(bytes, png_rgba, sizeof bytes);
    memcpy(bytes + 16, "\x00\x00\xFF\x00\x00\x00\xFF\x00", 8); // 65280 x 65280
    const uint32_t crc = espy_crc32(0, bytes + 12, 17);
    for (unsigned i = 0; i < 4; i++)
        bytes[29 + i] = (unsigned char)(crc >> (24 - 8 * i));
    cr_expect_not(parse(bytes, sizeof bytes, &picture, &message));
    cr_expect_not_null(strstr(message.text, "65280 x 65280"), "%s", message.text);
    cr_expect_not(espy_picture_parse("x", "hello", 5, &picture, &message));
    cr_expect_not_null(strstr(message.text, "neither"));
}

Test(preprocess, resize_is_that_of_pillow)
{
    static const struct {
        uint32_t width, height, to_width, to_height, crc;
    } cases[] = {
        {13, 9, 5, 4, 0x6AAA25B6u},    {13, 9, 29, 31, 0xD8692585u}, {64, 48, 7, 48, 0x988D0407u},
        {64, 48, 64, 5, 0x2AC43940u},  {1, 1, 4, 3, 0xDCAE86B2u},    {200, 3, 3, 2, 0x4DDC1D99u},
        {37, 53, 37, 53, 0x74D75A6Bu},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct picture picture = noise(cases[i].width, cases[i].height), resized;
        struct cli_message message = {""};
        cr_assert(espy_picture_resize(&picture, cases[i].to_width, cases[i].to_height, &resized,
                                      &message));
        cr_expect_eq(crc_of(&resized), cases[i].crc, "case %zu: %08X", i, crc_of(&resized));
        espy_picture_free(&resized);
        espy_picture_free(&picture);
    }
}

Test(preprocess, enlarging_is_that_of_pillow)
{
    static const struct {
        uint32_t width, height, to_width, to_height, crc;
    } cases[] = {
        {31, 17, 64, 64, 0xC0D5D944u}, {31, 17, 100, 9, 0xF6211238u}, {64, 48, 20, 15, 0x16155208u},
        {5, 5, 5, 5, 0xF75EABBDu},     {1, 7, 40, 3, 0x9F9B1DD9u},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct picture picture = noise(cases[i].width, cases[i].height), enlarged;
        struct cli_message message = {""};
        cr_assert(espy_picture_enlarge(&picture, cases[i].to_width, cases[i].to_height, &enlarged,
                                       &message));
        cr_expect_eq(crc_of(&enlarged), cases[i].crc, "case %zu: %08X", i, crc_of(&enlarged));
        espy_picture_free(&enlarged);
        espy_picture_free(&picture);
    }
}

// Runs preprocess in bytes (scale 1, no normalisation, channels last) and takes the CRC.
static uint32_t framed_crc(uint32_t width, uint32_t height, const char *resize, uint32_t side,
                           struct picture_area *area)
{
    const struct espy_preprocess how = {.height = side,
                                        .width = side,
                                        .resize = resize,
                                        .color = "rgb",
                                        .layout = "nhwc",
                                        .scale = 1,
                                        .std = {1, 1, 1, 1}};
    struct picture picture = noise(width, height);
    struct cli_message message = {""};
    float values[3 * 16 * 16];
    uint8_t bytes[3 * 16 * 16];
    cr_assert(espy_picture_preprocess(&picture, &how, values, area, &message), "%s", message.text);
    for (size_t i = 0; i < (size_t)side * side * 3; i++)
        bytes[i] = (uint8_t)values[i];
    espy_picture_free(&picture);
    return espy_crc32(0, bytes, (size_t)side * side * 3);
}

Test(preprocess, crop_and_letterbox_are_those_of_training)
{
    struct picture_area area;
    cr_expect_eq(framed_crc(21, 10, "crop", 4, &area), 0x8CF4C6BEu);
    cr_expect_float_eq(area.left, 2 * 21 / 8.0, 1e-9);
    cr_expect_float_eq(area.right, 6 * 21 / 8.0, 1e-9);
    cr_expect_float_eq(area.top, 0, 1e-9);
    cr_expect_float_eq(area.bottom, 10, 1e-9);
    cr_expect_eq(framed_crc(21, 10, "letterbox", 8, &area), 0x0658BA5Bu);
    cr_expect_float_eq(area.top, 0, 1e-9);
    cr_expect_float_eq(area.bottom, 8 * 10 / 4.0, 1e-9);
    cr_expect_float_eq(area.left, 0, 1e-9);
    cr_expect_float_eq(area.right, 21, 1e-9);
}

Test(preprocess, channels_and_normalisation)
{
    struct espy_preprocess how = {.resize = "stretch",
                                  .color = "bgr",
                                  .layout = "nchw",
                                  .scale = 255,
                                  .mean = {0.1, 0.2, 0.3},
                                  .std = {0.5, 0.25, 2}};
    uint8_t rgb[] = {10, 20, 30, 40, 50, 60};
    const struct picture picture = {2, 1, rgb};
    struct cli_message message;
    float values[6];
    cr_assert(espy_picture_preprocess(&picture, &how, values, NULL, &message));
    cr_expect_float_eq(values[0], (30 / 255.0 - 0.1) / 0.5, 1e-6);
    cr_expect_float_eq(values[1], (60 / 255.0 - 0.1) / 0.5, 1e-6);
    cr_expect_float_eq(values[2], (20 / 255.0 - 0.2) / 0.25, 1e-6);
    cr_expect_float_eq(values[5], (40 / 255.0 - 0.3) / 2, 1e-6);
    how.color = "gray";
    cr_assert(espy_picture_preprocess(&picture, &how, values, NULL, &message));
    cr_expect_eq(espy_picture_channels(&how), 1);
    cr_expect_float_eq(values[0], (18 / 255.0 - 0.1) / 0.5, 1e-6);

    // The first luma values of the noise, from Pillow's convert('L').
    static const uint8_t luma[] = {173, 103, 37, 237, 134, 189};
    struct picture noisy = noise(13, 9);
    float grey[13 * 9];
    how = (struct espy_preprocess){.color = "gray", .layout = "nchw", .scale = 1, .std = {1}};
    cr_assert(espy_picture_preprocess(&noisy, &how, grey, NULL, &message));
    for (unsigned i = 0; i < sizeof luma; i++)
        cr_expect_eq(grey[i], luma[i]);
    espy_picture_free(&noisy);
}

Test(heatmap, lightness_grows_with_the_value)
{
    double last = -1;
    for (int i = 0; i <= 256; i++) {
        double rgb[3], luminance = 0;
        static const double share[3] = {0.2126, 0.7152, 0.0722};
        espy_picture_color(i / 256.0, rgb);
        for (unsigned c = 0; c < 3; c++) {
            cr_expect(rgb[c] >= 0 && rgb[c] <= 1);
            luminance += share[c] *
                         (rgb[c] <= 0.04045 ? rgb[c] / 12.92 : pow((rgb[c] + 0.055) / 1.055, 2.4));
        }
        cr_expect_gt(luminance, last, "at %d", i);
        last = luminance;
    }
}

Test(heatmap, peak_lands_on_its_place_and_small_pictures_grow)
{
    uint8_t grey[48 * 24 * 3];
    float map[4 * 2] = {0, 0, 0, 1, 0, 0, 0, 0};
    const struct picture picture = {48, 24, grey};
    const struct picture_area area = {0, 0, 48, 24};
    struct picture result;
    struct cli_message message;
    memset(grey, 128, sizeof grey);
    cr_assert(espy_picture_overlay(&picture, map, 4, 2, &area, &result, &message));
    cr_expect_geq(result.width, 256);
    cr_expect_eq(result.width, 2 * result.height);
    size_t brightest = 0;
    for (size_t i = 0; i < (size_t)result.width * result.height; i++) {
        if (result.rgb[i * 3 + 1] > result.rgb[brightest * 3 + 1])
            brightest = i;
    }
    cr_expect_gt(brightest % result.width, result.width * 3 / 4);
    cr_expect_lt(brightest / result.width, result.height / 2);
    espy_picture_free(&result);
    map[0] = NAN;
    map[1] = INFINITY;
    cr_assert(espy_picture_overlay(&picture, map, 4, 2, &area, &result, &message));
    espy_picture_free(&result);
}
