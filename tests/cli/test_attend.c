// Goal: `espy attend` draws what a model attends to where it does. Method: converts models of a few
// nodes whose gates and attention follow from the picture, and looks at the pixels that come out.
#include <cjson/cJSON.h>

#include "cli_file.h"
#include "picture_preprocess.h"
#include "must.h"

// Two gates on the picture: one per place (bright places), one for all.
static const char gates_json[] =
    "{\"espy\": 1, \"inputs\": [{\"name\": \"x\", \"dtype\": \"float32\", \"shape\": [1, 3, 8, 8],"
    "   \"role\": \"image\", \"preprocess\": {\"size\": [8, 8], \"scale\": 255}}],"
    " \"outputs\": [{\"name\": \"y\"}],"
    " \"tensors\": {\"axes\": {}},"
    " \"nodes\": ["
    "  {\"op\": \"ReduceMean\", \"name\": \"/place/mean\", \"inputs\": [\"x\", \"axes\"],"
    "   \"outputs\": [\"m\"]},"
    "  {\"op\": \"Sigmoid\", \"name\": \"/place/sigmoid\", \"inputs\": [\"m\"], \"outputs\": "
    "[\"g\"]},"
    "  {\"op\": \"Mul\", \"name\": \"/place/mul\", \"inputs\": [\"x\", \"g\"], \"outputs\": "
    "[\"s\"]},"
    "  {\"op\": \"GlobalAveragePool\", \"name\": \"/all/pool\", \"inputs\": [\"s\"],"
    "   \"outputs\": [\"p\"]},"
    "  {\"op\": \"Sigmoid\", \"name\": \"/all/sigmoid\", \"inputs\": [\"p\"], \"outputs\": "
    "[\"h\"]},"
    "  {\"op\": \"Mul\", \"name\": \"/all/mul\", \"inputs\": [\"s\", \"h\"], \"outputs\": [\"y\"]}"
    " ]}";
// Places of x attend to those of z, whichever are as bright.
static const char cross_json[] =
    "{\"espy\": 1, \"inputs\": [{\"name\": \"x\", \"dtype\": \"float32\", \"shape\": [1, 1, 2, 4],"
    "   \"role\": \"image\", \"preprocess\": {\"size\": [2, 4], \"color\": \"gray\", \"mean\": "
    "[128]}},"
    "  {\"name\": \"z\", \"dtype\": \"float32\", \"shape\": [1, 1, 4, 2],"
    "   \"role\": \"image\", \"preprocess\": {\"size\": [4, 2], \"color\": \"gray\", \"mean\": "
    "[128]}}],"
    " \"outputs\": [{\"name\": \"y\"}], \"tensors\": {\"axes\": {}},"
    " \"nodes\": ["
    "  {\"op\": \"Reshape\", \"name\": \"0\", \"inputs\": [\"x\", \"axes\"], \"outputs\": [\"q\"]},"
    "  {\"op\": \"Reshape\", \"name\": \"1\", \"inputs\": [\"z\", \"axes\"], \"outputs\": [\"k\"]},"
    "  {\"op\": \"Attention\", \"name\": \"cross\", \"inputs\": [\"q\", \"k\", \"k\"], "
    "\"outputs\": "
    "[\"y\"]}]}";
// Tokens attend to each other; the padding to all, and nothing much to it.
static const char words_json[] =
    "{\"espy\": 1, \"inputs\": [{\"name\": \"ids\", \"dtype\": \"float32\", \"shape\": [1, 6],"
    "   \"role\": \"tokens\", \"labels\": [\"-\", \"cat\", \"sat\", \"on\"]}],"
    " \"outputs\": [{\"name\": \"y\"}], \"tensors\": {\"axes\": {}},"
    " \"nodes\": ["
    "  {\"op\": \"Reshape\", \"name\": \"0\", \"inputs\": [\"ids\", \"axes\"], \"outputs\": "
    "[\"q\"]},"
    "  {\"op\": \"Attention\", \"name\": \"self\", \"inputs\": [\"q\", \"q\", \"q\"], \"outputs\": "
    "[\"y\"], \"attrs\": {\"scale\": 64}}]}";
// {1, 1, -1, 1}: tokens of one number.
static const char shape_header[] = "{\"axes\":{\"dtype\":\"I64\",\"shape\":[4],"
                                   "\"data_offsets\":[0,32]}}";

// Its only tensor: {1}.
static const char axes_header[] = "{\"axes\":{\"dtype\":\"I64\",\"shape\":[1],"
                                  "\"data_offsets\":[0,8]}}";

static void fails(const char *const *arguments, const char *words)
{
    run(arguments, &result);
    cr_expect_neq(result.code, 0);
    cr_expect_not_null(strstr(result.err, words), "'%s' does not say '%s'", result.err, words);
}

// A black picture whose lower right quarter is white, the model, and a folder for them.
static void make_folder(char folder[64])
{
    const uint64_t header_size = sizeof axes_header - 1, one = 1;
    const struct cli_part json = {gates_json, sizeof gates_json - 1};
    const struct cli_part weights[] = {{&header_size, sizeof header_size},
                                       {axes_header, sizeof axes_header - 1},
                                       {&one, sizeof one}};
    struct picture picture;
    struct cli_message message;
    (void)snprintf(folder, 64, "/tmp/espy-cli-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
    cr_assert(espy_file_write("gates.json", &json, 1, &message));
    cr_assert(espy_file_write("w.safetensors", weights, 3, &message));
    cr_assert(espy_picture_create(8, 8, &picture, &message));
    for (unsigned i = 0; i < 8 * 8 * 3; i++)
        picture.rgb[i] = i / 3 / 8 >= 4 && i / 3 % 8 >= 4 ? 255 : 0;
    cr_assert(espy_picture_write_png("p.png", &picture, &message));
    espy_picture_free(&picture);
    must((const char *[]){"convert", "gates.json", "w.safetensors", "-o", "gates.espy", NULL});
}

static void remove_folder(const char *folder)
{
    static const char *const names[] = {
        "gates.json",    "w.safetensors", "gates.espy", "p.png",         "o.png",
        "attention.png", "z.png",         "other.json", "s.safetensors", "other.espy"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        (void)unlink(names[i]);
    cr_expect_eq(rmdir(folder), 0, "the program left a file in %s", folder);
}

static unsigned brightness(const struct picture *picture, double u, double v)
{
    const uint8_t *rgb =
        picture->rgb +
        ((size_t)(v * picture->height) * picture->width + (size_t)(u * picture->width)) * 3;
    return (unsigned)rgb[0] + rgb[1] + rgb[2];
}

Test(attend, gates_are_found_listed_and_drawn)
{
    char folder[64];
    struct picture picture;
    struct cli_message message;
    make_folder(folder);
    must((const char *[]){"inspect", "--no-device", "gates.espy", NULL});
    cr_expect_not_null(strstr(result.out, "spatial_gate"), "%s", result.out);
    cr_expect_not_null(strstr(result.out, " place\n"), "%s", result.out);
    cr_expect_not_null(strstr(result.out, " all\n"), "%s", result.out);

    must((const char *[]){"attend", "gates.espy", "p.png", "--site", "place", "-o", "o.png", NULL});
    cr_expect_not_null(strstr(result.out, "8x8  0.5 to 0.7311  place"), "%s", result.out);
    cr_assert(espy_picture_read("o.png", &picture, &message), "%s", message.text);
    cr_expect(picture.width == 256 && picture.height == 256);
    // Black under the darkest colour, white under the brightest.
    cr_expect_lt(brightness(&picture, 0.1, 0.1), 40);
    cr_expect_gt(brightness(&picture, 0.9, 0.9), 600);
    cr_expect_lt(brightness(&picture, 0.9, 0.1), 40);
    espy_picture_free(&picture);
    remove_folder(folder);
}

Test(attend, all_sites_make_a_sheet)
{
    char folder[64];
    struct picture picture;
    struct cli_message message;
    make_folder(folder);
    must((const char *[]){"attend", "gates.espy", "p.png", "--json", NULL});
    cJSON *json = cJSON_Parse(result.out);
    cr_assert_not_null(json, "%s", result.out);
    const cJSON *maps = cJSON_GetObjectItemCaseSensitive(json, "maps");
    cr_assert_eq(cJSON_GetArraySize(maps), 2);
    // A quarter of the places is sigmoid(1), and so is what the other gate pools.
    const cJSON *low = cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(maps, 1), "low");
    cr_expect_float_eq(low->valuedouble, 0.545564, 1e-5);
    cJSON_Delete(json);
    cr_assert(espy_picture_read("attention.png", &picture, &message), "%s", message.text);
    cr_expect(picture.width == 512 && picture.height == 270, "names above the tiles");
    espy_picture_free(&picture);
    remove_folder(folder);
}

static void make_other(const char *json)
{
    static const int64_t shape[] = {1, 1, -1, 1};
    const uint64_t header_size = sizeof shape_header - 1;
    const struct cli_part part = {json, strlen(json)};
    const struct cli_part weights[] = {{&header_size, sizeof header_size},
                                       {shape_header, sizeof shape_header - 1},
                                       {shape, sizeof shape}};
    struct cli_message message;
    cr_assert(espy_file_write("other.json", &part, 1, &message));
    cr_assert(espy_file_write("s.safetensors", weights, 3, &message));
    must((const char *[]){"convert", "other.json", "s.safetensors", "-o", "other.espy", NULL});
}

Test(attend, of_two_pictures_the_one_where_the_keys_lie_is_drawn_on)
{
    char folder[64];
    struct picture picture;
    struct cli_message message;
    make_folder(folder);
    make_other(cross_json);
    cr_assert(espy_picture_create(20, 40, &picture, &message)); // bright at the top
    memset(picture.rgb, 100, 20 * 40 * 3);
    memset(picture.rgb, 156, 20 * 10 * 3);
    cr_assert(espy_picture_write_png("z.png", &picture, &message));
    espy_picture_free(&picture);
    must((const char *[]){"inspect", "--no-device", "other.espy", NULL});
    cr_expect_not_null(strstr(result.out, "2x4 of x               4x2 of z"), "%s", result.out);

    // The white part of x attends to what is brighter than the mean in z.
    must((const char *[]){"attend", "other.espy", "-i", "x=p.png", "-i", "z=z.png", "--query",
                          "7,7", "-s", "0", "-o", "o.png", NULL});
    cr_expect_not_null(strstr(result.out, "4x2  0 to 0.5"), "%s", result.out);
    cr_assert(espy_picture_read("o.png", &picture, &message), "%s", message.text);
    cr_expect(picture.width == 260 && picture.height == 520, "%ux%u", picture.width,
              picture.height);
    cr_expect_gt(brightness(&picture, 0.5, 0.1), 500);
    cr_expect_lt(brightness(&picture, 0.5, 0.9), 300);
    espy_picture_free(&picture);
    // A place that only z has: x is 8x8.
    fails((const char *[]){"attend", "other.espy", "-i", "x=p.png", "-i", "z=z.png", "--query",
                           "10,30", "-s", "0", NULL},
          "outside of what the network sees of the picture 'x'");
    remove_folder(folder);
}

Test(attend, words_stand_beside_the_matrix_without_what_pads_them)
{
    char folder[64];
    struct picture words, numbers;
    struct cli_message message;
    make_folder(folder);
    make_other(words_json);
    must((const char *[]){"attend", "other.espy", "cat sat on", "-s", "0", "-o", "o.png", NULL});
    cr_expect_not_null(strstr(result.out, "softmax        3x3"), "%s", result.out);
    cr_assert(espy_picture_read("o.png", &words, &message), "%s", message.text);
    // The words are above and left of 3x3 cells; all attend to "on", the largest.
    cr_expect_gt(words.width, 3 * 48 + 20);
    cr_expect_gt(words.height, 3 * 48 + 20);
    const double right = (words.width - 24.0) / words.width;
    cr_expect_gt(brightness(&words, right, 0.5), 600);
    unsigned ink = 0;
    for (uint32_t y = 0; y < words.height; y++)
        for (uint32_t x = 0; x < 20; x++)
            ink += words.rgb[((size_t)y * words.width + x) * 3] < 100;
    cr_expect_gt(ink, 50, "%u", ink);
    espy_picture_free(&words);
    // Given as a full list, nothing is padding.
    must((const char *[]){"attend", "other.espy", "1,2,3,0,0,0", "-s", "0", "-o", "o.png", NULL});
    cr_expect_not_null(strstr(result.out, "softmax        6x6"), "%s", result.out);
    cr_assert(espy_picture_read("o.png", &numbers, &message), "%s", message.text);
    espy_picture_free(&numbers);
    remove_folder(folder);
}

Test(attend, mistakes_are_told)
{
    char folder[64];
    make_folder(folder);
    fails((const char *[]){"attend", "gates.espy", "p.png", "--site", "nowhere", NULL}, "nowhere");
    fails((const char *[]){"attend", "gates.espy", "p.png", "--query", "3", NULL}, "X,Y");
    fails((const char *[]){"attend", "gates.espy", "p.png", "--query", "90,3", NULL}, "outside");
    fails((const char *[]){"attend", "gates.espy", "p.png", "-s", "place", "--head", "2", NULL},
          "channels");
    fails((const char *[]){"attend", "gates.espy", "p.png", "-o", "/dev/full", NULL}, "/dev/full");
    remove_folder(folder);
}
