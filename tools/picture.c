#include "picture.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>
#include <spng.h>

#include "cli_file.h"

// A progressive file may ask for the whole picture to be gone over again and again.
enum { JPEG_SCANS_MAX = 200 };
// Text and colour profiles that a PNG may carry; they are skipped.
#define PNG_CHUNK_SIZE_MAX ((size_t)64 << 20)

bool espy_picture_create(uint32_t width, uint32_t height, struct picture *picture,
                         struct cli_message *message)
{
    if (width == 0 || height == 0 || width > PICTURE_SIDE_MAX || height > PICTURE_SIDE_MAX ||
        (uint64_t)width * height > PICTURE_PIXELS_MAX) {
        return espy_message_set(message, "a picture of %u x %u; sides go up to %d and pixels to %d",
                                width, height, PICTURE_SIDE_MAX, PICTURE_PIXELS_MAX);
    }
    uint8_t *rgb = malloc((size_t)width * height * 3);
    if (!rgb)
        return espy_message_set(message, "out of memory for a picture of %u x %u", width, height);
    *picture = (struct picture){width, height, rgb};
    return true;
}

void espy_picture_free(struct picture *picture)
{
    free(picture->rgb);
    *picture = (struct picture){0};
}

// ---- JPEG ---------------------------------------------------------------------------------------

struct jpeg {
    struct jpeg_decompress_struct decoder;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf failed;
    bool too_many_scans, too_short;
    char text[JMSG_LENGTH_MAX];
    uint8_t *row; // CMYK only
};

static void jpeg_fail(j_common_ptr common)
{
    struct jpeg *jpeg = common->client_data;
    jpeg->errors.format_message(common, jpeg->text);
    longjmp(jpeg->failed, 1);
}

// libjpeg fills the rest of a file that ends early with grey; a model should not see that.
static void jpeg_notice(j_common_ptr common, int level)
{
    struct jpeg *jpeg = common->client_data;
    if (level < 0 &&
        (common->err->msg_code == JWRN_JPEG_EOF || common->err->msg_code == JWRN_HIT_MARKER)) {
        jpeg->too_short = true;
        jpeg_fail(common);
    }
}

static void jpeg_look(j_common_ptr common)
{
    struct jpeg *jpeg = common->client_data;
    if (jpeg->decoder.input_scan_number > JPEG_SCANS_MAX) {
        jpeg->too_many_scans = true;
        longjmp(jpeg->failed, 1);
    }
}

// Adobe's files hold CMYK inverted, so that 255 is no ink; others are rare.
static void from_cmyk(const uint8_t *cmyk, bool inverted, uint32_t width, uint8_t *rgb)
{
    for (uint32_t x = 0; x < width; x++, cmyk += 4, rgb += 3) {
        const unsigned k = inverted ? cmyk[3] : 255u - cmyk[3];
        for (unsigned c = 0; c < 3; c++) {
            const unsigned ink = inverted ? cmyk[c] : 255u - cmyk[c];
            rgb[c] = (uint8_t)((ink * k + 127) / 255);
        }
    }
}

static bool jpeg_pixels(struct jpeg *jpeg, struct picture *picture, struct cli_message *message)
{
    struct jpeg_decompress_struct *decoder = &jpeg->decoder;
    const bool cmyk =
        decoder->jpeg_color_space == JCS_CMYK || decoder->jpeg_color_space == JCS_YCCK;
    decoder->out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
    if (!espy_picture_create(decoder->image_width, decoder->image_height, picture, message))
        return false;
    if (cmyk) {
        jpeg->row = malloc((size_t)picture->width * 4);
        if (!jpeg->row)
            return espy_message_set(message, "out of memory for a picture");
    }
    (void)jpeg_start_decompress(decoder);
    while (decoder->output_scanline < decoder->output_height) {
        uint8_t *target = picture->rgb + (size_t)decoder->output_scanline * picture->width * 3;
        JSAMPROW row = cmyk ? jpeg->row : target;
        if (jpeg_read_scanlines(decoder, &row, 1) == 1 && cmyk)
            from_cmyk(jpeg->row, decoder->saw_Adobe_marker, picture->width, target);
    }
    (void)jpeg_finish_decompress(decoder);
    return true;
}

// Everything that changes after setjmp lies behind a pointer, so longjmp finds it as it was left.
static bool jpeg_decode(struct jpeg *jpeg, const void *bytes, size_t size, struct picture *picture,
                        struct cli_message *message)
{
    jpeg->decoder.err = jpeg_std_error(&jpeg->errors);
    jpeg->decoder.client_data = jpeg;
    jpeg->errors.error_exit = jpeg_fail;
    jpeg->errors.emit_message = jpeg_notice;
    if (setjmp(jpeg->failed)) {
        return espy_message_set(message, "%s",
                                jpeg->too_many_scans ? "too many scans"
                                : jpeg->too_short    ? "the JPEG data ends too early"
                                                     : jpeg->text);
    }
    jpeg_create_decompress(&jpeg->decoder);
    jpeg->progress.progress_monitor = jpeg_look;
    jpeg->decoder.progress = &jpeg->progress;
    jpeg_mem_src(&jpeg->decoder, bytes, (unsigned long)size);
    (void)jpeg_read_header(&jpeg->decoder, TRUE);
    return jpeg_pixels(jpeg, picture, message);
}

static bool parse_jpeg(const void *bytes, size_t size, struct picture *picture,
                       struct cli_message *message)
{
    struct jpeg *jpeg = calloc(1, sizeof *jpeg);
    if (!jpeg)
        return espy_message_set(message, "out of memory");
    const bool ok = jpeg_decode(jpeg, bytes, size, picture, message);
    jpeg_destroy_decompress(&jpeg->decoder);
    free(jpeg->row);
    free(jpeg);
    return ok;
}

// ---- PNG ----------------------------------------------------------------------------------------

static void lay_on_white(const uint8_t *rgba, size_t count, uint8_t *rgb)
{
    for (size_t i = 0; i < count; i++, rgba += 4, rgb += 3) {
        const unsigned alpha = rgba[3];
        for (unsigned c = 0; c < 3; c++)
            rgb[c] = (uint8_t)((rgba[c] * alpha + 255u * (255u - alpha) + 127u) / 255u);
    }
}

static bool png_pixels(spng_ctx *context, struct picture *picture, struct cli_message *message)
{
    struct spng_ihdr header;
    size_t size = 0;
    int error = spng_get_ihdr(context, &header);
    if (!error)
        error = spng_decoded_image_size(context, SPNG_FMT_RGBA8, &size);
    if (error)
        return espy_message_set(message, "%s", spng_strerror(error));
    if (!espy_picture_create(header.width, header.height, picture, message))
        return false;
    uint8_t *rgba = malloc(size);
    if (!rgba)
        return espy_message_set(message, "out of memory for a picture");
    error = spng_decode_image(context, rgba, size, SPNG_FMT_RGBA8, SPNG_DECODE_TRNS);
    if (!error)
        lay_on_white(rgba, (size_t)header.width * header.height, picture->rgb);
    free(rgba);
    return error ? espy_message_set(message, "%s", spng_strerror(error)) : true;
}

static bool parse_png(const void *bytes, size_t size, struct picture *picture,
                      struct cli_message *message)
{
    spng_ctx *context = spng_ctx_new(0);
    if (!context)
        return espy_message_set(message, "out of memory");
    int error = spng_set_image_limits(context, PICTURE_SIDE_MAX, PICTURE_SIDE_MAX);
    if (!error)
        error = spng_set_chunk_limits(context, PNG_CHUNK_SIZE_MAX, PNG_CHUNK_SIZE_MAX);
    if (!error)
        error = spng_set_png_buffer(context, bytes, size);
    const bool ok = error ? espy_message_set(message, "%s", spng_strerror(error))
                          : png_pixels(context, picture, message);
    spng_ctx_free(context);
    return ok;
}

bool espy_picture_write_png(const char *path, const struct picture *picture,
                            struct cli_message *message)
{
    struct spng_ihdr header = {.width = picture->width,
                               .height = picture->height,
                               .bit_depth = 8,
                               .color_type = SPNG_COLOR_TYPE_TRUECOLOR};
    struct cli_part part = {0};
    void *bytes = NULL;
    bool ok = false;
    spng_ctx *context = spng_ctx_new(SPNG_CTX_ENCODER);
    if (!context)
        return espy_message_set(message, "%s: out of memory", path);
    int error = spng_set_option(context, SPNG_ENCODE_TO_BUFFER, 1);
    if (!error)
        error = spng_set_ihdr(context, &header);
    if (!error) {
        const size_t size = (size_t)picture->width * picture->height * 3;
        error = spng_encode_image(context, picture->rgb, size, SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE);
    }
    if (!error)
        bytes = spng_get_png_buffer(context, &part.size, &error);
    part.data = bytes;
    if (error || !bytes)
        (void)espy_message_set(message, "%s: cannot make a PNG: %s", path, spng_strerror(error));
    else
        ok = espy_file_write(path, &part, 1, message);
    free(bytes);
    spng_ctx_free(context);
    return ok;
}

// ---- both ---------------------------------------------------------------------------------------

enum picture_format espy_picture_format(const void *bytes, size_t size)
{
    if (size >= 3 && !memcmp(bytes, "\xFF\xD8\xFF", 3))
        return PICTURE_JPEG;
    if (size >= 8 && !memcmp(bytes, "\x89PNG\r\n\x1A\n", 8))
        return PICTURE_PNG;
    return PICTURE_NONE;
}

bool espy_picture_parse(const char *name, const void *bytes, size_t size, struct picture *picture,
                        struct cli_message *message)
{
    struct picture found = {0};
    struct cli_message reason;
    const enum picture_format format = espy_picture_format(bytes, size);
    bool ok;
    switch (format) {
    case PICTURE_JPEG:
        ok = parse_jpeg(bytes, size, &found, &reason);
        break;
    case PICTURE_PNG:
        ok = parse_png(bytes, size, &found, &reason);
        break;
    default:
        return espy_message_set(message, "%s: neither a JPEG nor a PNG picture", name);
    }
    if (!ok) {
        espy_picture_free(&found);
        return espy_message_set(message, "%s: cannot decode this %s: %s", name,
                                format == PICTURE_JPEG ? "JPEG" : "PNG", reason.text);
    }
    *picture = found;
    return true;
}

bool espy_picture_read(const char *path, struct picture *picture, struct cli_message *message)
{
    struct cli_bytes bytes;
    if (!espy_file_read(path, PICTURE_FILE_SIZE_MAX, &bytes, message))
        return false;
    const bool ok = espy_picture_parse(path, bytes.data, bytes.size, picture, message);
    espy_file_free(&bytes);
    return ok;
}
