// Goal: what networks find is told in the pixels of the user's picture and drawn where it is.
// Method: models whose outputs are their inputs, so that the numbers are given on the command line;
// then the listing and the pixels that come out.
#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <math.h>

#include "cli_file.h"
#include "draw.h"
#include "npy.h"
#include "must.h"

// A picture of 200x100 as the network sees it in 64x64, in one of the three ways; %s is the way.
static const char objects_json[] =
    "{\"espy\": 1, \"inputs\": ["
    "  {\"name\": \"x\", \"dtype\": \"float32\", \"shape\": [1, 3, 64, 64], \"role\": \"image\","
    "   \"preprocess\": {\"size\": [64, 64], \"resize\": \"%s\"}},"
    "  {\"name\": \"b\", \"dtype\": \"float32\", \"shape\": [1, \"n\", 4]},"
    "  {\"name\": \"s\", \"dtype\": \"float32\", \"shape\": [1, \"n\"]},"
    "  {\"name\": \"c\", \"dtype\": \"int64\", \"shape\": [\"n\"]},"
    "  {\"name\": \"k\", \"dtype\": \"float32\", \"shape\": [\"n\", 2, 2]}],"
    " \"outputs\": [{\"name\": \"b\", \"role\": \"boxes\", \"of\": \"x\"},"
    "  {\"name\": \"s\", \"role\": \"scores\", \"threshold\": 0.5},"
    "  {\"name\": \"c\", \"role\": \"classes\","
    "   \"labels\": [\"__background__\", \"cat\", \"dog\"]},"
    "  {\"name\": \"k\", \"role\": \"keypoints\"}, {\"name\": \"y\"}],"
    " \"nodes\": [{\"op\": \"Relu\", \"name\": \"0\", \"inputs\": [\"x\"], \"outputs\": "
    "[\"y\"]}]}";

static const char maps_json[] =
    "{\"espy\": 1, \"inputs\": ["
    "  {\"name\": \"x\", \"dtype\": \"float32\", \"shape\": [1, 3, 64, 64], \"role\": \"image\","
    "   \"preprocess\": {\"size\": [64, 64], \"resize\": \"letterbox\"}},"
    "  {\"name\": \"m\", \"dtype\": \"uint8\", \"shape\": [1, 1, 2, 2]},"
    "  {\"name\": \"d\", \"dtype\": \"float32\", \"shape\": [1, 1, 2, 2]},"
    "  {\"name\": \"f\", \"dtype\": \"float16\", \"shape\": [1, 1, 2, 2]}],"
    " \"outputs\": [{\"name\": \"m\", \"role\": \"mask\", \"labels\": [\"road\", \"sky\"]},"
    "  {\"name\": \"d\", \"role\": \"depth\"}, {\"name\": \"f\", \"role\": \"mask\"},"
    "  {\"name\": \"y\", \"role\": \"image\", \"of\": \"x\"}],"
    " \"nodes\": [{\"op\": \"Relu\", \"name\": \"0\", \"inputs\": [\"x\"], \"outputs\": "
    "[\"y\"]}]}";

static void make_folder(char folder[64])
{
    struct picture picture;
    struct cli_message message;
    (void)snprintf(folder, 64, "/tmp/espy-cli-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
    cr_assert(espy_picture_create(200, 100, &picture, &message));
    memset(picture.rgb, 128, 200 * 100 * 3);
    cr_assert(espy_picture_write_png("p.png", &picture, &message));
    espy_picture_free(&picture);
}

static void make_model(const char *format, const char *way)
{
    char json[2048];
    struct cli_message message;
    (void)snprintf(json, sizeof json, format, way);
    const struct cli_part part = {json, strlen(json)};
    cr_assert(espy_file_write("m.json", &part, 1, &message));
    must((const char *[]){"convert", "m.json", NULL});
}

static void remove_folder(const char *folder)
{
    static const char *const names[] = {"m.json", "m.espy", "p.png", "o.png", "o.npy"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        (void)unlink(names[i]);
    cr_expect_eq(rmdir(folder), 0, "the program left a file in %s", folder);
}

static cJSON *output_of(cJSON *json, int index, const char *key)
{
    cJSON *outputs = cJSON_GetObjectItemCaseSensitive(json, "outputs");
    cJSON *item = cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(outputs, index), key);
    cr_assert_not_null(item, "%s of output %d: %s", key, index, result.out);
    return item;
}

static void expect_numbers(const cJSON *list, const double *wanted, int count, const char *what)
{
    cr_assert_eq(cJSON_GetArraySize(list), count, "%s", what);
    for (int i = 0; i < count; i++)
        cr_expect_float_eq(cJSON_GetArrayItem(list, i)->valuedouble, wanted[i], 1e-4, "%s[%d]: %g",
                           what, i, cJSON_GetArrayItem(list, i)->valuedouble);
}

static const uint8_t *pixel(const struct picture *picture, uint32_t x, uint32_t y)
{
    return picture->rgb + ((size_t)y * picture->width + x) * 3;
}

static bool is_color(const struct picture *picture, uint32_t x, uint32_t y, struct draw_color color)
{
    return memcmp(pixel(picture, x, y), color.rgb, 3) == 0;
}

Test(drawing, objects_lie_in_the_users_picture_however_it_was_resized)
{
    // Box 16,8,48,24 and point 32,16 of 64x64; and what of 200x100 that is.
    static const struct {
        const char *way;
        double box[4], point[2];
    } cases[] = {
        {"stretch", {50, 12.5, 150, 37.5}, {100, 25}}, // 200/64, 100/64
        {"letterbox", {50, 25, 150, 75}, {100, 50}},   // 200/64 both ways, from the corner
        {"crop", {75, 12.5, 125, 37.5}, {100, 25}},    // 100/64 both ways, 50 cut off at the left
    };
    char folder[64];
    make_folder(folder);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_model(objects_json, cases[i].way);
        must((const char *[]){"run", "m.espy", "p.png", "-i", "b=16,8,48,24", "-i", "s=.75", "-i",
                              "c=2", "-i", "k=32,16,0,0", "--json", NULL});
        cJSON *json = cJSON_Parse(result.out);
        const cJSON *found = cJSON_GetArrayItem(output_of(json, 0, "found"), 0);
        expect_numbers(cJSON_GetObjectItem(found, "box"), cases[i].box, 4, cases[i].way);
        expect_numbers(cJSON_GetArrayItem(cJSON_GetObjectItem(found, "keypoints"), 0),
                       cases[i].point, 2, cases[i].way);
        cr_expect_str_eq(cJSON_GetObjectItem(found, "label")->valuestring, "dog");
        cJSON_Delete(json);
    }
    remove_folder(folder);
}

Test(drawing, objects_are_listed_best_first_and_weak_ones_and_background_left_out)
{
    char folder[64];
    make_folder(folder);
    make_model(objects_json, "letterbox");
    // The third ends beyond the picture, the fourth is background, the fifth has no extent.
    const char *boxes = "b=0,0,10,10,1,1,20,20,16,8,90,40,5,5,9,9,30,30,30,40";
    must((const char *[]){"run", "m.espy", "p.png", "-i", boxes, "-i", "s=.4,.6,.9,.9,.9", "-i",
                          "c=1,1,2,0,1", "-i", "k=1,1,2,2,1,1,2,2,1,1,2,2,1,1,2,2,1,1,2,2", NULL});
    const char *dog = strstr(result.out, "dog     0.90     50.0     25.0    200.0    100.0\n"
                                         "    (3.1 3.1) (6.2 6.2)\n");
    cr_assert_not_null(dog, "%s", result.out);
    cr_expect_not_null(strstr(dog, "cat     0.60      3.1      3.1     62.5     62.5\n"), "%s",
                       result.out);
    cr_expect_eq(line_count(result.out), 7, "%s", result.out);
    must((const char *[]){"run", "m.espy", "p.png", "-i", boxes, "-i", "s=.4,.6,.9,.9,.9", "-i",
                          "c=1,1,2,0,1", "-i", "k=1,1,2,2,1,1,2,2,1,1,2,2,1,1,2,2,1,1,2,2",
                          "--threshold=0.95", NULL});
    cr_expect_not_null(strstr(result.out, "b: nothing found\n"), "%s", result.out);
    remove_folder(folder);
}

Test(drawing, boxes_have_the_colour_of_their_class_where_they_are)
{
    const struct draw_color dog = espy_draw_color(2);
    char folder[64];
    struct picture picture;
    struct cli_message message;
    make_folder(folder);
    make_model(objects_json, "stretch");
    must((const char *[]){"run", "m.espy", "p.png", "-i", "b=16,32,48,56", "-i", "s=.75", "-i",
                          "c=2", "-i", "k=32,44,40,44", "-o", "o.png", NULL});
    cr_expect_not_null(strstr(result.out, "b 1x1x4 float32 -> o.png\n"), "%s", result.out);
    cr_assert(espy_picture_read("o.png", &picture, &message), "%s", message.text);
    // Narrower than 256, so twice as large: the box is 100,100 to 300,175.
    cr_assert(picture.width == 400 && picture.height == 200);
    cr_expect(is_color(&picture, 100, 150, dog));
    cr_expect(is_color(&picture, 299, 150, dog));
    cr_expect(is_color(&picture, 200, 100, dog));
    cr_expect(is_color(&picture, 200, 174, dog));
    cr_expect(is_color(&picture, 150, 150, (struct draw_color){{128, 128, 128}}));
    cr_expect(is_color(&picture, 200, 137, espy_draw_color(0)), "the first keypoint");
    cr_expect(is_color(&picture, 250, 137, espy_draw_color(1)), "the second");
    // The label stands on the box.
    const uint8_t *plate = pixel(&picture, 101, 90);
    for (unsigned c = 0; c < 3; c++)
        cr_expect_lt(abs(plate[c] - dog.rgb[c]), 16);
    espy_picture_free(&picture);
    remove_folder(folder);
}

Test(drawing, keypoints_and_masks_of_objects)
{
    static const char points[] =
        "{\"espy\": 1, \"inputs\": [{\"name\": \"x\", \"dtype\": \"float32\", \"shape\": [1, 3, "
        "64, 64],"
        "   \"role\": \"image\", \"preprocess\": {\"size\": [64, 64]}},"
        "  {\"name\": \"k\", \"dtype\": \"float32\", \"shape\": [1, 3, 3]}],"
        " \"outputs\": [{\"name\": \"k\", \"role\": \"keypoints\"}, {\"name\": \"y\"}],"
        " \"nodes\": [{\"op\": \"Relu\", \"name\": \"0\", \"inputs\": [\"x\"], \"outputs\": "
        "[\"y\"]}]}";
    static const char masks[] =
        "{\"espy\": 1, \"inputs\": [{\"name\": \"x\", \"dtype\": \"float32\", \"shape\": [1, 3, "
        "64, 64],"
        "   \"role\": \"image\", \"preprocess\": {\"size\": [64, 64]}},"
        "  {\"name\": \"b\", \"dtype\": \"float32\", \"shape\": [2, 4]},"
        "  {\"name\": \"m\", \"dtype\": \"float32\", \"shape\": [2, 1, 2, 2]}],"
        " \"outputs\": [{\"name\": \"b\", \"role\": \"boxes\"}, {\"name\": \"m\", \"role\": "
        "\"masks\"},"
        "  {\"name\": \"y\"}],"
        " \"nodes\": [{\"op\": \"Relu\", \"name\": \"0\", \"inputs\": [\"x\"], \"outputs\": "
        "[\"y\"]}]}";
    const struct draw_color first = espy_draw_color(0), grey = {{128, 128, 128}};
    char folder[64];
    struct picture picture;
    struct cli_message message;
    make_folder(folder);
    make_model("%s", points);
    // The second of three points has too little of a score of its own.
    must((const char *[]){"run", "m.espy", "p.png", "-i", "k=16,32,1,32,32,.1,48,32,.9", "-o",
                          "o.png", NULL});
    cr_expect_not_null(strstr(result.out, "    (50.0 50.0) (100.0 50.0) (150.0 50.0)\n"), "%s",
                       result.out);
    cr_assert(espy_picture_read("o.png", &picture, &message), "%s", message.text);
    cr_expect(is_color(&picture, 100, 100, first));
    cr_expect(is_color(&picture, 200, 100, grey));
    cr_expect(is_color(&picture, 300, 100, espy_draw_color(1)));
    espy_picture_free(&picture);

    // The left half of the first object; the second is nothing.
    make_model("%s", masks);
    must((const char *[]){"run", "m.espy", "p.png", "-i", "b=8,8,56,56,40,40,60,60", "-i",
                          "m=1,0,1,0,0,0,0,0", "-o", "o.png", NULL});
    cr_assert(espy_picture_read("o.png", &picture, &message), "%s", message.text);
    for (unsigned c = 0; c < 3; c++)
        cr_expect_eq(pixel(&picture, 120, 100)[c], (128 + first.rgb[c] + 1) / 2);
    cr_expect(is_color(&picture, 220, 100, grey));
    cr_expect(is_color(&picture, 15, 100, grey), "beside the box");
    espy_picture_free(&picture);
    remove_folder(folder);
}

Test(drawing, masks_depth_and_pictures_undo_the_letterbox)
{
    const struct draw_color sky = espy_draw_color(1), road = espy_draw_color(0);
    char folder[64];
    struct picture picture;
    struct cli_message message;
    make_folder(folder);
    make_model("%s", maps_json);
    // Of 64x64 the upper half is the picture, so the lower row of each map is nowhere on it.
    const char *const arguments[] = {"run",       "m.espy", "p.png",     "-i", "m=0,1,1,1", "-i",
                                     "d=1,3,9,9", "-i",     "f=1,0,0,0", "-o", NULL,        NULL};
    const char *copy[12];
    memcpy(copy, arguments, sizeof copy);
    copy[10] = "m=o.png";
    must(copy);
    cr_expect_not_null(strstr(result.out, " 50.00 %  road\n 50.00 %  sky\n"), "%s", result.out);
    cr_expect_not_null(strstr(result.out, "50.00 %  foreground\n"), "%s", result.out);
    cr_assert(espy_picture_read("o.png", &picture, &message), "%s", message.text);
    cr_expect(picture.width == 400 && picture.height > 200, "a legend below");
    for (unsigned c = 0; c < 3; c++) {
        cr_expect_eq(pixel(&picture, 100, 80)[c], (128 + road.rgb[c] + 1) / 2);
        cr_expect_eq(pixel(&picture, 300, 80)[c], (128 + sky.rgb[c] + 1) / 2);
    }
    espy_picture_free(&picture);

    copy[10] = "d=o.png";
    must(copy);
    cr_assert(espy_picture_read("o.png", &picture, &message), "%s", message.text);
    cr_expect(picture.width == 400 && picture.height == 200);
    cr_expect_lt(pixel(&picture, 20, 20)[0], pixel(&picture, 380, 20)[0]);
    espy_picture_free(&picture);

    // The network's 64x64 show the picture in their upper half: it comes back as it was.
    copy[10] = "y=o.png";
    must(copy);
    cr_assert(espy_picture_read("o.png", &picture, &message), "%s", message.text);
    cr_expect(picture.width == 200 && picture.height == 100);
    for (uint32_t at = 0; at < 200 * 100; at++)
        cr_assert_eq(picture.rgb[at * 3], 128, "pixel %u: %d", at, picture.rgb[at * 3]);
    espy_picture_free(&picture);
    remove_folder(folder);
}

Test(drawing, pictures_of_a_batch_stand_side_by_side)
{
    static const char json[] =
        "{\"espy\": 1, \"inputs\": [{\"name\": \"z\", \"dtype\": \"float32\", \"shape\": [\"n\", "
        "1, 1, 2],"
        "   \"role\": \"latent\"}], \"outputs\": [{\"name\": \"y\", \"role\": \"image\"}],"
        " \"nodes\": [{\"op\": \"Relu\", \"name\": \"0\", \"inputs\": [\"z\"], \"outputs\": "
        "[\"y\"]}]}";
    char folder[64];
    struct picture picture;
    struct cli_message message;
    make_folder(folder);
    make_model("%s", json);
    must((const char *[]){"run", "m.espy", "0,0.2,0.4,0.6,0.8,1", "-o", "o.png", NULL});
    cr_assert(espy_picture_read("o.png", &picture, &message), "%s", message.text);
    // Three of 2x1, two a row, two pixels apart.
    cr_assert(picture.width == 6 && picture.height == 4, "%ux%u", picture.width, picture.height);
    cr_expect_eq(pixel(&picture, 0, 0)[0], 0);
    cr_expect_eq(pixel(&picture, 1, 0)[0], 51);
    cr_expect_eq(pixel(&picture, 4, 0)[0], 102);
    cr_expect_eq(pixel(&picture, 5, 0)[0], 153);
    cr_expect_eq(pixel(&picture, 0, 3)[0], 204);
    cr_expect_eq(pixel(&picture, 1, 3)[0], 255);
    cr_expect_eq(pixel(&picture, 2, 0)[0], 255, "between them");
    espy_picture_free(&picture);
    remove_folder(folder);
}

Test(drawing, what_cannot_be_drawn_is_explained)
{
    static const struct {
        const char *boxes, *scores, *output, *says;
    } cases[] = {
        {"b=1,1,9,9", "s=1", "q.png", NULL}, // works: objects are the only result
        {"b=1,1,9,9", "s=1", "y.npy", "which output? Use NAME=FILE with one of 'b', 's'"},
        {"b=1,1,9,9", "s=1", "b=/dev/full", "/dev/full"},
        {"b=1,1,9,9,1,1,8,8", "s=1,1", NULL, "input 'c' (n) takes 2 values, not 1"},
    };
    char folder[64];
    make_folder(folder);
    make_model(objects_json, "stretch");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run((const char *[]){"run", "m.espy", "p.png", "-i", cases[i].boxes, "-i", cases[i].scores,
                             "-i", "c=1", "-i", "k=1,1,2,2", cases[i].output ? "-o" : NULL,
                             cases[i].output, NULL},
            &result);
        cr_expect_eq(result.code, cases[i].says ? 1 : 0, "case %zu: %s", i, result.err);
        cr_expect_eq(line_count(result.err), cases[i].says != NULL, "case %zu: %s", i, result.err);
        cr_expect(!cases[i].says || strstr(result.err, cases[i].says), "case %zu: %s", i,
                  result.err);
    }
    (void)unlink("q.png");
    make_model("%s", maps_json);
    run((const char *[]){"run", "m.espy", "p.png", "-i", "m=0,1,1,1", "-i", "d=1,2,3,4", "-i",
                         "f=1,2,3,4", "-o", "o.png", NULL},
        &result);
    cr_expect_eq(result.code, 1);
    cr_expect_not_null(strstr(result.err, "with one of 'm', 'd', 'f', 'y'"), "%s", result.err);
    remove_folder(folder);
}

// ---- primitives ---------------------------------------------------------------------------------

static struct picture grey(uint32_t width, uint32_t height)
{
    struct picture picture;
    struct cli_message message;
    cr_assert(espy_picture_create(width, height, &picture, &message));
    memset(picture.rgb, 100, (size_t)width * height * 3);
    return picture;
}

Test(drawing, edges_between_pixels_are_blended_and_outside_is_left_out)
{
    const struct draw_color white = {{200, 200, 200}};
    struct picture picture = grey(8, 8);
    espy_draw_fill(&picture, (struct picture_area){1.5, 2, 4.25, 3}, white, 1);
    cr_expect_eq(pixel(&picture, 0, 2)[0], 100);
    cr_expect_eq(pixel(&picture, 1, 2)[0], 150);
    cr_expect_eq(pixel(&picture, 2, 2)[0], 200);
    cr_expect_eq(pixel(&picture, 4, 2)[0], 125);
    cr_expect_eq(pixel(&picture, 2, 3)[0], 100);
    const struct picture_area far = {-1e18, -5, 1e18, 0.5};
    espy_draw_fill(&picture, far, white, 1);
    cr_expect_eq(pixel(&picture, 0, 0)[0], 150);
    cr_expect_eq(pixel(&picture, 7, 0)[0], 150);
    espy_draw_disc(&picture, -3, 20, 2, white);
    espy_draw_disc(&picture, NAN, 4, 2, white);
    espy_draw_text(&picture, -100, 3, 1, "outside", white);
    espy_draw_text_up(&picture, 3, 1000, 1, "outside", white);
    const struct picture_area nowhere = {NAN, 0, NAN, 4};
    espy_draw_fill(&picture, nowhere, white, 1);
    espy_draw_frame(&picture, nowhere, 2, white);
    cr_expect_eq(pixel(&picture, 0, 4)[0], 100);
    espy_picture_free(&picture);
}

Test(drawing, text_of_one_dot_a_pixel_is_the_font_itself)
{
    // A small L: five dots wide at the foot, seven high, a dot of room above.
    const struct draw_color white = {{200, 200, 200}};
    struct picture picture = grey(12, 12);
    espy_draw_text(&picture, 2, 1, 1, "L", white);
    for (uint32_t y = 0; y < 12; y++)
        for (uint32_t x = 0; x < 12; x++) {
            const bool ink = (x == 2 && y >= 2 && y <= 8) || (y == 8 && x >= 2 && x <= 6);
            cr_expect_eq(pixel(&picture, x, y)[0], ink ? 200 : 100, "%u,%u", x, y);
        }
    cr_expect_eq(espy_draw_text_width("L", 1), 5);
    cr_expect_eq(espy_draw_text_width("LL", 2), 22);
    cr_expect_eq(espy_draw_text_width("\xC3\xA9", 1), espy_draw_text_width("e", 1));
    cr_expect_eq(espy_draw_text_width("", 3), 0);
    espy_picture_free(&picture);

    // From the bottom up it is the same, turned to the left.
    struct picture flat = grey(12, 12), turned = grey(12, 12);
    espy_draw_text(&flat, 1, 0, 1, "F", white);
    espy_draw_text_up(&turned, 0, 11, 1, "F", white);
    for (uint32_t y = 0; y < 12; y++)
        for (uint32_t x = 0; x < 12; x++)
            cr_expect_eq(pixel(&flat, x, y)[0], pixel(&turned, y, 11 - x)[0], "%u,%u", x, y);
    espy_picture_free(&flat);
    espy_picture_free(&turned);
}

Test(drawing, colours_of_classes_differ)
{
    for (uint32_t i = 0; i < 80; i++)
        for (uint32_t k = i + 1; k < 80; k++) {
            const struct draw_color a = espy_draw_color(i), b = espy_draw_color(k);
            int distance = 0;
            for (unsigned c = 0; c < 3; c++)
                distance += abs(a.rgb[c] - b.rgb[c]);
            cr_expect_gt(distance, k < 20 ? 80 : 25, "%u and %u: %d", i, k, distance);
        }
}

Test(drawing, labels_of_a_crowd_do_not_cover_each_other)
{
    // Twenty boxes on one place: the labels that are drawn are all to be seen, so every plate has
    // its colour somewhere.
    struct picture picture = grey(600, 400);
    struct cli_message message;
    struct draw_box boxes[20] = {{0}};
    for (uint32_t i = 0; i < 20; i++) {
        boxes[i] = (struct draw_box){.has_box = true,
                                     .box = {200 + i * 3, 150 + i * 2, 260 + i * 3, 220 + i * 2},
                                     .text = "something long 0.99",
                                     .short_text = "0.99",
                                     .color = {{(uint8_t)(250 - i), 0, 0}}};
    }
    cr_assert(espy_draw_boxes(&picture, boxes, 20, &message));
    unsigned lettered = 0;
    for (uint32_t y = 0; y < 400; y++)
        for (uint32_t x = 0; x < 600; x++)
            lettered += pixel(&picture, x, y)[1] > 200; // white letters
    cr_expect_gt(lettered, 400);
    espy_picture_free(&picture);
}

// Rows of a column that a bar fills, and the first of them.
static uint32_t bar_at(const struct picture *picture, double u, uint32_t *top)
{
    uint32_t rows = 0;
    for (uint32_t y = 0; y < picture->height; y++) {
        const uint8_t *rgb =
            picture->rgb + ((size_t)y * picture->width + (size_t)(u * picture->width)) * 3;
        if (rgb[0] < rgb[1] + 40) // neither black, white nor grey
            continue;
        *top = rows++ ? *top : y;
    }
    return rows;
}

Test(drawing, bars_are_as_high_as_their_numbers)
{
    static float many[1000];
    const float few[] = {0.5f, 1, 0, -0.25f};
    struct draw_bars bars = {4, few, -0.25, 1, 420, 113};
    struct picture picture;
    struct cli_message message;
    uint32_t tops[4], rows[4];
    cr_assert(espy_draw_bars(&bars, &picture, &message));
    cr_assert(picture.width == 420 && picture.height == 113);
    for (unsigned i = 0; i < 4; i++)
        rows[i] = bar_at(&picture, 0.1 + 0.9 * (i + 0.5) / 4, &tops[i]);
    // Under the bars is a line of text, so that 1.25 is some 100 rows.
    cr_expect(rows[1] > 75 && rows[1] <= 80, "%u", rows[1]);
    cr_expect(rows[0] * 2 >= rows[1] - 1 && rows[0] * 2 <= rows[1] + 1, "%u", rows[0]);
    cr_expect(rows[2] == 0 && rows[3] * 4 >= rows[1] - 3 && rows[3] * 4 <= rows[1] + 3, "%u, %u",
              rows[2], rows[3]);
    cr_expect(tops[0] + rows[0] == tops[1] + rows[1] && tops[3] == tops[1] + rows[1],
              "one goes up from zero, the other down");
    espy_picture_free(&picture);

    for (size_t i = 0; i < 1000; i++)
        many[i] = i < 500 ? 2 : i % 2 == 0 ? 0.5f : 1.5f;
    bars = (struct draw_bars){1000, many, 0.5, 2, 420, 113};
    cr_assert(espy_draw_bars(&bars, &picture, &message));
    rows[0] = bar_at(&picture, 0.3, &tops[0]);
    rows[1] = bar_at(&picture, 0.301, &tops[0]);
    cr_expect(rows[0] > 95 && rows[0] == rows[1], "%u", rows[0]);
    // Each column is the mean of two or three.
    rows[2] = bar_at(&picture, 0.8, &tops[0]);
    cr_expect(rows[2] * 4 > rows[0] && rows[2] * 4 < rows[0] * 3, "%u", rows[2]);
    espy_picture_free(&picture);
}
