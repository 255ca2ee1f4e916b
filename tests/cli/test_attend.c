// Goal: `espy attend` draws what a model attends to where it does. Method: converts models of a few
// nodes whose gates and attention follow from the picture, and looks at the pixels that come out.
#include <cjson/cJSON.h>

#include "cli_file.h"
#include "picture_preprocess.h"
#include "program.h"

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
// Its only tensor: {1}.
static const char axes_header[] = "{\"axes\":{\"dtype\":\"I64\",\"shape\":[1],"
                                  "\"data_offsets\":[0,8]}}";

static struct result result;

static void must(const char *const *arguments)
{
    run(arguments, &result);
    cr_assert_eq(result.code, 0, "%s %s: %d: %s", arguments[0], arguments[1], result.code,
                 result.err);
}

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
    static const char *const names[] = {"gates.json", "w.safetensors", "gates.espy",
                                        "p.png",      "o.png",         "attention.png"};
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
    cr_expect(picture.width == 512 && picture.height == 256);
    espy_picture_free(&picture);
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
