// Goal: the shipped networks that make pictures, run by Espy, make those that PyTorch made, and
// their attention is where PyTorch's was. Method: the inputs and numbers that examples/style and
// examples/generation hold, through the public API. Of large arrays every third row and column, or
// a few queries, are recorded.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "suites/shipped.h"

#define STYLE_DIR SHIPPED_DIR "/style"
#define GENERATION_DIR SHIPPED_DIR "/generation"

// Of the style network's 48x48 queries every 577th, of the generator's 16x16 every 37th.
enum { SIDE = 192, STEP = 3, STYLE_QUERIES = 577, GENERATION_QUERIES = 37 };
static const double tolerance = 1e-4;

static void read_recorded(struct lab *shipped, const char *path, struct tensor *tensor)
{
    cr_assert(espy_suite_read_npy(path, &shipped->arena, tensor), "%s cannot be read", path);
}

static void expect_close(const struct tensor *actual, const struct tensor *expected)
{
    char text[512];
    struct comparison result;
    espy_test_compare(actual, expected, &result);
    cr_expect(espy_test_close(&result, tolerance), "%s",
              espy_test_difference(actual, expected, &result, text, sizeof(text)));
}

// Every third row and column of pictures, [n, 3, h, w].
static struct tensor thin_out(struct lab *shipped, const struct espy_tensor *pictures)
{
    const int64_t height = pictures->dims[2], width = pictures->dims[3];
    const int64_t planes = pictures->dims[0] * pictures->dims[1];
    struct tensor thin = {
        .type = {.dtype = ESPY_FLOAT32,
                 .shape = {4,
                           {pictures->dims[0], pictures->dims[1], (height + STEP - 1) / STEP,
                            (width + STEP - 1) / STEP}}}};
    cr_assert(pictures->rank == 4);
    cr_assert(espy_shape_count(&thin.type.shape, &thin.count));
    float *to = espy_arena_array(&shipped->arena, thin.count, sizeof(float));
    cr_assert(to != NULL);
    thin.data = to;
    for (int64_t p = 0; p < planes; p++)
        for (int64_t y = 0; y < height; y += STEP)
            for (int64_t x = 0; x < width; x += STEP)
                *to++ = ((const float *)pictures->data)[(p * height + y) * width + x];
    return thin;
}

// Rows 0, step, 2 * step, ... of the map of each picture.
static struct tensor some_queries(struct lab *shipped, const struct espy_tensor *map,
                                  int64_t step)
{
    const int64_t queries = map->dims[map->rank - 2], keys = map->dims[map->rank - 1];
    int64_t maps = 1;
    for (uint32_t d = 0; d + 2 < map->rank; d++)
        maps *= map->dims[d];
    struct tensor rows = {
        .type = {.dtype = ESPY_FLOAT32, .shape = {3, {maps, (queries + step - 1) / step, keys}}}};
    cr_assert(espy_shape_count(&rows.type.shape, &rows.count));
    float *to = espy_arena_array(&shipped->arena, rows.count, sizeof(float));
    cr_assert(to != NULL);
    rows.data = to;
    for (int64_t m = 0; m < maps; m++)
        for (int64_t q = 0; q < queries; q += step, to += keys)
            memcpy(to, (const float *)map->data + (m * queries + q) * keys,
                   (size_t)keys * sizeof(float));
    return rows;
}

// Runs what has an image as its first output, and compares it and the map of the first site with
// what is recorded.
static void run_and_compare(struct lab *shipped, const struct espy_tensor inputs[2],
                            const char *picture_path, const char *attention_path,
                            int64_t query_step)
{
    struct espy_attention_info site;
    struct tensor picture, attention;
    cr_assert(espy_model_attention_count(shipped->model) == 1);
    cr_assert(espy_model_attention(shipped->model, 0, &site) == ESPY_OK);
    struct espy_tensor outputs[2] = {{.name = "picture"}, {.name = site.name}};
    cr_assert(espy_session_run(shipped->session, inputs, 2, outputs, 2) == ESPY_OK, "%s",
              shipped->error);
    read_recorded(shipped, picture_path, &picture);
    read_recorded(shipped, attention_path, &attention);
    const struct tensor thin = thin_out(shipped, &outputs[0]);
    const struct tensor rows = some_queries(shipped, &outputs[1], query_step);
    expect_close(&thin, &picture);
    expect_close(&rows, &attention);
}

// RGB planes, 0 to 1.
static struct espy_tensor read_planes(struct lab *shipped, const char *name, const char *path)
{
    struct picture picture;
    struct cli_message message;
    cr_assert(espy_picture_read(path, &picture, &message), "%s cannot be read", path);
    cr_assert(picture.width == SIDE && picture.height == SIDE);
    float *planes = espy_arena_array(&shipped->arena, 3 * SIDE * SIDE, sizeof(float));
    cr_assert(planes != NULL);
    for (size_t i = 0; i < SIDE * SIDE; i++)
        for (size_t c = 0; c < 3; c++)
            planes[c * SIDE * SIDE + i] = (float)picture.rgb[3 * i + c] / 255.0f;
    espy_picture_free(&picture);
    return (struct espy_tensor){.name = name,
                                .dtype = ESPY_FLOAT32,
                                .rank = 4,
                                .dims = {1, 3, SIDE, SIDE},
                                .data = planes,
                                .size = 3 * SIDE * SIDE * sizeof(float)};
}

Test(pictures, style_transfer_is_the_exporters)
{
    struct lab shipped;
    espy_shipped_open(&shipped, "style/style.onnx", true);
    const struct espy_tensor inputs[2] = {
        read_planes(&shipped, "content", STYLE_DIR "/content.png"),
        read_planes(&shipped, "style", STYLE_DIR "/style.png")};
    run_and_compare(&shipped, inputs, STYLE_DIR "/expected_picture.npy",
                    STYLE_DIR "/expected_attention.npy", STYLE_QUERIES);
    espy_lab_close(&shipped);
}

static struct espy_tensor read_array(struct lab *shipped, const char *name, const char *path)
{
    struct tensor tensor;
    read_recorded(shipped, path, &tensor);
    struct espy_tensor array = {.name = name,
                                .dtype = tensor.type.dtype,
                                .rank = tensor.type.shape.rank,
                                .data = tensor.data,
                                .size = tensor.count * espy_dtype_size(tensor.type.dtype)};
    memcpy(array.dims, tensor.type.shape.dims, sizeof(array.dims));
    return array;
}

Test(pictures, generation_is_the_exporters)
{
    struct lab shipped;
    espy_shipped_open(&shipped, "generation/generation.onnx", true);
    const struct espy_tensor inputs[2] = {
        read_array(&shipped, "latent", GENERATION_DIR "/latent.npy"),
        read_array(&shipped, "class", GENERATION_DIR "/class.npy")};
    run_and_compare(&shipped, inputs, GENERATION_DIR "/expected_picture.npy",
                    GENERATION_DIR "/expected_attention.npy", GENERATION_QUERIES);
    espy_lab_close(&shipped);
}
