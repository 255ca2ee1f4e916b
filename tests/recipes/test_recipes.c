// Goal: recipes and presets compute what the authors of detectors and other networks say of their
// outputs, and what does not fit is refused with its place; networks that take pixels see what the
// host would have made of the picture. Method: cases.json, whose values numpy and torchvision have
// computed (make_cases.py), through convert, write, read and run; the host's preprocessing, which
// other tests compare with Pillow; boxes worked out by hand.
#define _POSIX_C_SOURCE 200809L

#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "convert/convert.h"
#include "format/format.h"
#include "picture_preprocess.h"
#include "suites/lab.h"
#include "op/op.h"

enum { LIST_MAX = 16, PATH_MAX_HERE = 256 };

// ---- files, a device, a converted model ---------------------------------------------------------

static char folder[PATH_MAX_HERE]; // of the test

static void open_lab(struct lab *lab)
{
    espy_lab_open(lab);
    snprintf(folder, sizeof(folder), "%s/recipes.XXXXXX", ESPY_BINARY_DIR);
    cr_assert_not_null(mkdtemp(folder));
}

static const char *path_of(struct lab *lab, const char *name)
{
    return espy_arena_format(&lab->arena, "%s/%s", folder, name);
}

static void close_lab(struct lab *lab)
{
    static const char *const files[] = {"model.json", "recipe.json", "labels.txt", "labels.json"};
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        (void)unlink(path_of(lab, files[i]));
    (void)rmdir(folder);
    espy_lab_close(lab);
}

static const char *write_file(struct lab *lab, const char *name, const char *text)
{
    const char *path = path_of(lab, name);
    FILE *file = fopen(path, "wb");
    cr_assert(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
    return path;
}

// On ESPY_OK there is a session.
static espy_status convert(struct lab *lab, struct convert_params *params)
{
    struct convert_report report;
    struct convert_model *model = NULL;
    void *bytes = NULL;
    size_t size = 0;
    espy_convert_report_init(&report, &lab->test.host);
    espy_status status = espy_convert_graph(&lab->test.host, params, &report, &model);
    if (status == ESPY_OK) {
        status = espy_format_write(&lab->test.host, espy_convert_model_graph(model), &bytes, &size);
        espy_convert_model_destroy(&model);
    }
    espy_convert_report_finish(&report);
    if (status == ESPY_OK) {
        cr_assert(espy_model_load_memory(lab->context, bytes, size, &lab->model) == ESPY_OK, "%s",
                  lab->error);
        cr_assert(espy_session_create(lab->device, lab->model, NULL, &lab->session) == ESPY_OK,
                  "%s", lab->error);
    }
    espy_free(&lab->test.host, bytes);
    return status;
}

static void close_model(struct lab *lab)
{
    espy_session_destroy(&lab->session);
    espy_model_destroy(&lab->model);
}

// Memory of zeros where the tensor has no data.
static void fill_size(struct lab *lab, struct espy_tensor *tensor)
{
    size_t count = 1;
    for (uint32_t d = 0; d < tensor->rank; d++)
        count *= (size_t)tensor->dims[d];
    tensor->size = count * espy_dtype_size(tensor->dtype);
    if (tensor->data == NULL)
        tensor->data = espy_arena_alloc(&lab->arena, tensor->size + 1);
    cr_assert_not_null(tensor->data);
}

static struct tensor as_tensor(const struct espy_tensor *from)
{
    struct tensor tensor = {.type = {from->dtype, {.rank = from->rank}}, .data = from->data};
    memcpy(tensor.type.shape.dims, from->dims, sizeof(from->dims));
    cr_assert(espy_shape_count(&tensor.type.shape, &tensor.count));
    return tensor;
}

// ---- the cases ----------------------------------------------------------------------------------

static struct espy_tensor parse_tensor(struct lab *lab, const cJSON *json)
{
    const cJSON *dims = cJSON_GetObjectItem(json, "dims"),
                *data = cJSON_GetObjectItem(json, "data");
    struct espy_tensor tensor = {
        .name = json->string,
        .dtype = espy_dtype_from_name(cJSON_GetObjectItem(json, "dtype")->valuestring),
        .rank = (uint32_t)cJSON_GetArraySize(dims)};
    const cJSON *item;
    uint32_t i = 0;
    cJSON_ArrayForEach(item, dims) tensor.dims[i++] = (int64_t)item->valuedouble;
    fill_size(lab, &tensor);
    struct tensor numbers = as_tensor(&tensor);
    size_t at = 0;
    cJSON_ArrayForEach(item, data) espy_tensor_set_number(&numbers, at++, item->valuedouble);
    cr_assert_eq(at, numbers.count);
    return tensor;
}

// What the file says of an input has zeros where the case has no numbers.
static uint32_t fill_inputs(struct lab *lab, const cJSON *given, struct espy_tensor *inputs)
{
    const uint32_t count = espy_model_input_count(lab->model);
    for (uint32_t i = 0; i < count; i++) {
        struct espy_value_info info;
        cr_assert(i < LIST_MAX && espy_model_input(lab->model, i, &info) == ESPY_OK);
        const cJSON *json = cJSON_GetObjectItemCaseSensitive(given, info.name);
        inputs[i] = (struct espy_tensor){.name = info.name, .dtype = info.dtype, .rank = info.rank};
        memcpy(inputs[i].dims, info.dims, sizeof(info.dims));
        if (json != NULL)
            inputs[i] = parse_tensor(lab, json);
        else
            fill_size(lab, &inputs[i]);
    }
    return count;
}

static void compare(const char *name, const struct espy_tensor *got, const struct espy_tensor *want)
{
    const struct tensor a = as_tensor(got), b = as_tensor(want);
    cr_expect_eq(got->dtype, want->dtype, "%s: %s is %s", name, want->name,
                 espy_dtype_name(got->dtype));
    if (!espy_shape_equal(&a.type.shape, &b.type.shape)) {
        cr_expect(false, "%s: %s has another shape", name, want->name);
        return;
    }
    for (size_t i = 0; i < a.count; i++) {
        const double x = espy_tensor_number(&a, i), y = espy_tensor_number(&b, i);
        const double room = espy_dtype_is_float(want->dtype) ? 1e-5 * (1 + fabs(y)) : 0;
        if (!(fabs(x - y) <= room)) {
            cr_expect(false, "%s: %s[%zu] is %.9g, not %.9g", name, want->name, i, x, y);
            return;
        }
    }
}

static void check_role(const char *name, const struct espy_value_info *info, const cJSON *want,
                       const cJSON *label)
{
    const cJSON *role = cJSON_GetObjectItem(want, "role");
    static const char *const named[] = {"logits", "probabilities", "classes", "mask"};
    cr_expect(cJSON_IsNull(role) ? info->role == NULL
                                 : info->role != NULL && !strcmp(info->role, role->valuestring),
              "%s: %s has the role %s", name, info->name, info->role == NULL ? "none" : info->role);
    if (info->role != NULL && !strcmp(info->role, "scores") && info->threshold != 0)
        cr_expect(info->threshold >= 0.3, "%s: threshold %g", name, info->threshold);
    for (size_t i = 0; label != NULL && info->role != NULL && i < 4; i++) {
        if (strcmp(info->role, named[i]) != 0)
            continue;
        const uint32_t at = (uint32_t)cJSON_GetArrayItem(label, 0)->valuedouble;
        cr_expect(info->label_count > at &&
                      !strcmp(info->labels[at], cJSON_GetArrayItem(label, 1)->valuestring),
                  "%s: label %u is not as it should be", name, (unsigned)at);
    }
}

static void run_case(struct lab *lab, const char *name, const cJSON *json)
{
    const cJSON *wanted = cJSON_GetObjectItem(json, "outputs"), *want;
    struct espy_tensor inputs[LIST_MAX], outputs[LIST_MAX] = {{0}};
    const uint32_t input_count = fill_inputs(lab, cJSON_GetObjectItem(json, "inputs"), inputs);
    const uint32_t count = espy_model_output_count(lab->model);
    if (count != (uint32_t)cJSON_GetArraySize(wanted) || count > LIST_MAX) {
        cr_expect(false, "%s: %u outputs", name, (unsigned)count);
        return;
    }
    uint32_t i = 0;
    cJSON_ArrayForEach(want, wanted) outputs[i++] = (struct espy_tensor){.name = want->string};
    if (espy_session_run(lab->session, inputs, input_count, outputs, count) != ESPY_OK) {
        cr_expect(false, "%s: %s", name, lab->error);
        return;
    }
    i = 0;
    cJSON_ArrayForEach(want, wanted)
    {
        struct espy_value_info info;
        cr_assert(espy_model_output(lab->model, i, &info) == ESPY_OK);
        cr_expect_str_eq(info.name, want->string, "%s: the order of outputs", name);
        check_role(name, &info, want, cJSON_GetObjectItem(json, "label"));
        const struct espy_tensor expected = parse_tensor(lab, want);
        compare(name, &outputs[i++], &expected);
    }
}

static uint32_t read_strings(const cJSON *list, const char *strings[LIST_MAX])
{
    uint32_t count = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, list) strings[count++] = item->valuestring;
    return count;
}

static void try_case(struct lab *lab, const cJSON *json)
{
    const char *name = cJSON_GetObjectItem(json, "name")->valuestring;
    const cJSON *recipe = cJSON_GetObjectItem(json, "recipe");
    const cJSON *labels = cJSON_GetObjectItem(json, "labels");
    const cJSON *error = cJSON_GetObjectItem(json, "error");
    const char *presets[LIST_MAX], *only[LIST_MAX];
    char *text = cJSON_PrintUnformatted(cJSON_GetObjectItem(json, "model"));
    struct convert_params params = {
        .model_path = write_file(lab, "model.json", text), .presets = presets, .outputs = only};
    cJSON_free(text);
    params.preset_count = read_strings(cJSON_GetObjectItem(json, "presets"), presets);
    params.output_count = read_strings(cJSON_GetObjectItem(json, "only"), only);
    if (recipe != NULL) {
        text = cJSON_PrintUnformatted(recipe);
        params.recipe_path = write_file(lab, "recipe.json", text);
        cJSON_free(text);
    }
    if (labels != NULL)
        params.labels_path = write_file(
            lab, labels->valuestring[0] == '[' ? "labels.json" : "labels.txt", labels->valuestring);
    lab->test.error_count = 0;
    const espy_status status = convert(lab, &params);
    if (error != NULL) {
        cr_expect(status != ESPY_OK && lab->test.error_count == 1 &&
                      strstr(lab->test.last_error, error->valuestring) != NULL,
                  "%s: %u errors, the last: %s", name, (unsigned)lab->test.error_count,
                  lab->test.last_error);
    } else if (status != ESPY_OK) {
        cr_expect(false, "%s: %s", name, lab->test.last_error);
    } else {
        run_case(lab, name, json);
    }
    close_model(lab);
}

static char *read_text(struct lab *lab, const char *path)
{
    struct format_file file;
    cr_assert(espy_format_file_open(&lab->test.host, path, &file) == ESPY_OK, "%s",
              lab->test.last_error);
    char *text = espy_arena_format(&lab->arena, "%.*s", (int)file.size, (const char *)file.bytes);
    cr_assert_not_null(text);
    espy_format_file_close(&file);
    return text;
}

Test(recipes, cases_come_out_as_numpy_and_torchvision_say)
{
    struct lab lab;
    open_lab(&lab);
    cJSON *cases = cJSON_Parse(read_text(&lab, ESPY_SOURCE_DIR "/tests/recipes/cases.json"));
    const cJSON *json;
    cr_assert(cJSON_GetArraySize(cases) > 80);
    cJSON_ArrayForEach(json, cases) try_case(&lab, json);
    cJSON_Delete(cases);
    close_lab(&lab);
}

// Every preset is tried by a case, and documented as it says itself.
Test(recipes, no_preset_is_left_out)
{
    struct lab lab;
    open_lab(&lab);
    const char *cases = read_text(&lab, ESPY_SOURCE_DIR "/tests/recipes/cases.json");
    const char *page = read_text(&lab, ESPY_SOURCE_DIR "/docs/recipes.md");
    for (uint32_t i = 0; i < espy_preset_count; i++) {
        const struct convert_preset *preset = &espy_presets[i];
        const char *quoted = espy_arena_format(&lab.arena, "\"%s\"", preset->name);
        const char *row =
            espy_arena_format(&lab.arena, "| `%s` | %s |", preset->name, preset->about);
        cr_expect(strstr(cases, quoted) != NULL, "no case tries %s", preset->name);
        cr_expect(strstr(page, row) != NULL, "docs/recipes.md has no row \"%s\"", row);
    }
    close_lab(&lab);
}

// ---- pixels -------------------------------------------------------------------------------------

enum { NET_HEIGHT = 48, NET_WIDTH = 64 };

static void convert_picture_network(struct lab *lab, uint32_t channels, const char *how,
                                    bool pixels)
{
    const char *model = espy_arena_format(
        &lab->arena,
        "{\"espy\":1,\"inputs\":[{\"name\":\"x\",\"dtype\":\"float32\",\"shape\":[1,%u,%d,%d],"
        "\"role\":\"image\",\"preprocess\":%s}],\"outputs\":[{\"name\":\"y\"}],"
        "\"nodes\":[{\"op\":\"Identity\",\"name\":\"n\",\"inputs\":[\"x\"],\"outputs\":[\"y\"]}]}",
        (unsigned)channels, (int)NET_HEIGHT, (int)NET_WIDTH, how);
    struct convert_params params = {.model_path = write_file(lab, "model.json", model),
                                    .pixels = pixels};
    cr_assert(convert(lab, &params) == ESPY_OK, "%s", lab->test.last_error);
}

// Slopes and noise, so that neighbours differ by little and by much.
static struct picture make_picture(uint32_t width, uint32_t height)
{
    struct picture picture;
    struct cli_message message;
    uint32_t state = width * 7919 + height;
    cr_assert(espy_picture_create(width, height, &picture, &message));
    for (size_t i = 0; i < (size_t)width * height * 3; i++) {
        state = state * 1664525u + 1013904223u;
        const uint32_t slope = (uint32_t)(i / 3 % width * 200 / width + i % 3 * 20);
        picture.rgb[i] = (uint8_t)(i / 3 % 5 == 0 ? state >> 24 : slope + (state >> 30));
    }
    return picture;
}

// Largest difference in levels of 255, and how many of a thousand values differ at all.
static void compare_with_host(struct lab *lab, uint32_t width, uint32_t height, const char *how,
                              double *largest, double *permille)
{
    struct picture picture = make_picture(width, height);
    struct espy_value_info info;
    struct cli_message message;
    cr_assert(espy_model_input(lab->model, 0, &info) == ESPY_OK);
    cr_expect(info.dtype == ESPY_UINT8 && info.dims[1] == -1 && info.dims[3] == 3);
    cr_expect(info.preprocess != NULL && info.preprocess->height == 0 &&
              !strcmp(info.preprocess->layout, "nhwc"));
    const struct espy_tensor input = {.name = "x",
                                      .dtype = ESPY_UINT8,
                                      .rank = 4,
                                      .dims = {1, height, width, 3},
                                      .data = picture.rgb,
                                      .size = (size_t)width * height * 3};
    struct espy_tensor output = {.name = "y"};
    cr_assert(espy_session_run(lab->session, &input, 1, &output, 1) == ESPY_OK, "%s", lab->error);
    cJSON *json = cJSON_Parse(how);
    const cJSON *color = cJSON_GetObjectItem(json, "color");
    struct espy_preprocess host = {.height = NET_HEIGHT,
                                   .width = NET_WIDTH,
                                   .resize = cJSON_GetObjectItem(json, "resize")->valuestring,
                                   .color = color == NULL ? "rgb" : color->valuestring,
                                   .layout = "nchw",
                                   .scale = 127.5,
                                   .mean = {1, 1, 1},
                                   .std = {2, 2, 2}};
    float values[3 * NET_HEIGHT * NET_WIDTH];
    cr_assert(espy_picture_preprocess(&picture, &host, values, NULL, &message));
    const size_t count = output.size / sizeof(float);
    size_t differ = 0;
    *largest = 0;
    for (size_t i = 0; i < count; i++) {
        const double levels =
            fabs((double)((const float *)output.data)[i] - (double)values[i]) * 255;
        *largest = levels > *largest ? levels : *largest;
        differ += levels > 0.01;
    }
    *permille = 1000.0 * (double)differ / (double)count;
    cJSON_Delete(json);
    espy_picture_free(&picture);
}

// The host computes weights in fixed point and the device in float32, and both round to bytes after
// each direction: where a value is half-way, they may round apart, by one level.
Test(recipes, networks_of_pixels_see_what_the_host_makes_of_the_picture)
{
    static const uint32_t sizes[][2] = {{64, 48},  {33, 33},   {200, 90},
                                        {31, 400}, {640, 479}, {1, 3}};
    static const char *const modes[] = {"stretch", "letterbox", "crop"};
    static const char *const colors[] = {"rgb", "bgr", "gray"};
    struct lab lab;
    open_lab(&lab);
    for (size_t m = 0; m < 3; m++) {
        for (size_t c = 0; c < 3; c++) {
            const char *numbers = c == 2 ? "[1],\"std\":[2]" : "[1,1,1],\"std\":[2,2,2]";
            const char *how = espy_arena_format(
                &lab.arena, "{\"resize\":\"%s\",\"color\":\"%s\",\"scale\":127.5,\"mean\":%s}",
                modes[m], colors[c], numbers);
            convert_picture_network(&lab, c == 2 ? 1 : 3, how, true);
            for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
                double largest, permille;
                compare_with_host(&lab, sizes[i][0], sizes[i][1], how, &largest, &permille);
                cr_expect(largest < 1.01 && permille < 20,
                          "%s, %s, %ux%u: %g levels, %g of 1000 values", modes[m], colors[c],
                          (unsigned)sizes[i][0], (unsigned)sizes[i][1], largest, permille);
            }
            close_model(&lab);
        }
    }
    close_lab(&lab);
}

// The network sees 48x64, of which 6 rows and columns on each side are the border.
Test(recipes, a_border_lies_around_what_the_host_makes_of_the_picture)
{
    enum { BY = 6, HEIGHT = NET_HEIGHT - 2 * BY, WIDTH = NET_WIDTH - 2 * BY };
    static const char recipe[] =
        "{\"inputs\":{\"*\":{\"role\":\"image\",\"preprocess\":{\"scale\":255}}},"
        "\"steps\":[{\"step\":\"border\",\"by\":6}],\"outputs\":{\"y\":{\"role\":\"image\"}}}";
    static const char model[] =
        "{\"espy\":1,\"inputs\":[{\"name\":\"x\",\"dtype\":\"float32\",\"shape\":[1,3,48,64]}],"
        "\"outputs\":[{\"name\":\"y\"}],\"nodes\":[{\"op\":\"Identity\",\"name\":\"n\","
        "\"inputs\":[\"x\"],\"outputs\":[\"y\"]}]}";
    static float small[3 * HEIGHT * WIDTH];
    struct lab lab;
    struct espy_value_info info;
    struct cli_message message;
    open_lab(&lab);
    struct convert_params params = {.model_path = write_file(&lab, "model.json", model),
                                    .recipe_path = write_file(&lab, "recipe.json", recipe)};
    cr_assert(convert(&lab, &params) == ESPY_OK, "%s", lab.test.last_error);
    cr_assert(espy_model_input(lab.model, 0, &info) == ESPY_OK);
    cr_assert(info.rank == 4 && info.dims[2] == HEIGHT && info.dims[3] == WIDTH);
    cr_assert(info.preprocess != NULL && info.preprocess->height == HEIGHT &&
              info.preprocess->width == WIDTH);
    struct picture picture = make_picture(200, 90);
    cr_assert(espy_picture_preprocess(&picture, info.preprocess, small, NULL, &message));
    close_model(&lab);

    params.pixels = true;
    cr_assert(convert(&lab, &params) == ESPY_OK, "%s", lab.test.last_error);
    const struct espy_tensor input = {.name = "x",
                                      .dtype = ESPY_UINT8,
                                      .rank = 4,
                                      .dims = {1, 90, 200, 3},
                                      .data = picture.rgb,
                                      .size = (size_t)90 * 200 * 3};
    struct espy_tensor output = {.name = "y"};
    cr_assert(espy_session_run(lab.session, &input, 1, &output, 1) == ESPY_OK, "%s", lab.error);
    cr_assert(output.dims[2] == NET_HEIGHT && output.dims[3] == NET_WIDTH);
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < NET_HEIGHT; y++)
            for (int x = 0; x < NET_WIDTH; x++) {
                const int row = y < BY ? 0 : y >= BY + HEIGHT ? HEIGHT - 1 : y - BY;
                const int column = x < BY ? 0 : x >= BY + WIDTH ? WIDTH - 1 : x - BY;
                const float want = small[(c * HEIGHT + row) * WIDTH + column];
                const float got =
                    ((const float *)output.data)[(c * NET_HEIGHT + y) * NET_WIDTH + x];
                cr_assert(fabs((double)(got - want)) * 255 < 1.01, "%d, %d, %d: %g, not %g", c, y,
                          x, (double)got, (double)want);
            }
    espy_picture_free(&picture);
    close_lab(&lab);
}

// A box, a point with a score and a map of a network that sees 64x64, of a picture of 200x100.
static void convert_places(struct lab *lab, const char *resize, espy_status expected)
{
    const char *model = espy_arena_format(
        &lab->arena,
        "{\"espy\":1,\"inputs\":[{\"name\":\"x\",\"dtype\":\"float32\",\"shape\":[1,3,64,64],"
        "\"role\":\"image\",\"preprocess\":{\"resize\":\"%s\"}},"
        "{\"name\":\"box\",\"dtype\":\"float32\",\"shape\":[1,1,4]},"
        "{\"name\":\"point\",\"dtype\":\"float32\",\"shape\":[1,1,1,3]},"
        "{\"name\":\"map\",\"dtype\":\"int32\",\"shape\":[1,1,4,4]},"
        "{\"name\":\"size\",\"dtype\":\"int64\",\"shape\":[1,2],\"role\":\"image_size\"}],"
        "\"outputs\":[{\"name\":\"boxes\",\"role\":\"boxes\",\"of\":\"x\"},"
        "{\"name\":\"points\",\"role\":\"keypoints\"},"
        "{\"name\":\"mask\",\"role\":\"mask\",\"of\":\"x\"},{\"name\":\"seen\"}],\"nodes\":["
        "{\"op\":\"Identity\",\"name\":\"a\",\"inputs\":[\"box\"],\"outputs\":[\"boxes\"]},"
        "{\"op\":\"Identity\",\"name\":\"b\",\"inputs\":[\"point\"],\"outputs\":[\"points\"]},"
        "{\"op\":\"Identity\",\"name\":\"c\",\"inputs\":[\"map\"],\"outputs\":[\"mask\"]},"
        "{\"op\":\"Identity\",\"name\":\"d\",\"inputs\":[\"size\"],\"outputs\":[\"seen\"]}]}",
        resize);
    struct convert_params params = {.model_path = write_file(lab, "model.json", model),
                                    .pixels = true};
    cr_expect(convert(lab, &params) == expected, "%s: %s", resize, lab->test.last_error);
}

static void run_places(struct lab *lab, struct espy_tensor outputs[4])
{
    static unsigned char pixels[100 * 200 * 3];
    static float box[4] = {10, 8, 32, 16}, point[3] = {10, 8, 0.5f};
    static int32_t map[16] = {1, 2, 3, 4, 5, 6, 7, 8};
    const struct espy_tensor inputs[] = {
        {"x", ESPY_UINT8, 4, {1, 100, 200, 3}, pixels, sizeof(pixels)},
        {"box", ESPY_FLOAT32, 3, {1, 1, 4}, box, sizeof(box)},
        {"point", ESPY_FLOAT32, 4, {1, 1, 1, 3}, point, sizeof(point)},
        {"map", ESPY_INT32, 4, {1, 1, 4, 4}, map, sizeof(map)}};
    static const char *const names[] = {"boxes", "points", "mask", "seen"};
    for (int i = 0; i < 4; i++)
        outputs[i] = (struct espy_tensor){.name = names[i]};
    cr_assert(espy_model_input_count(lab->model) == 4, "the size of the picture is known");
    cr_assert(espy_session_run(lab->session, inputs, 4, outputs, 4) == ESPY_OK, "%s", lab->error);
}

Test(recipes, places_in_a_network_of_pixels_are_places_in_the_picture)
{
    // Stretched: 200 / 64 across, 100 / 64 down. Letterboxed to 64x32: 200 / 64 and 100 / 32.
    static const float boxes[2][4] = {{31.25f, 12.5f, 100, 25}, {31.25f, 25, 100, 50}};
    static const char *const modes[] = {"stretch", "letterbox"};
    struct lab lab;
    struct espy_tensor outputs[4];
    open_lab(&lab);
    for (int m = 0; m < 2; m++) {
        convert_places(&lab, modes[m], ESPY_OK);
        run_places(&lab, outputs);
        const float *box = outputs[0].data, *point = outputs[1].data;
        for (int i = 0; i < 4; i++)
            cr_expect(fabsf(box[i] - boxes[m][i]) < 1e-4f, "%s: %g", modes[m], (double)box[i]);
        cr_expect(fabsf(point[0] - boxes[m][0]) < 1e-4f && fabsf(point[1] - boxes[m][1]) < 1e-4f &&
                  point[2] == 0.5f);
        const int64_t *seen = outputs[3].data;
        cr_expect(seen[0] == 64 && seen[1] == 64);
        // The picture is in the upper half of what a letterboxed network sees.
        cr_expect_eq(outputs[2].dims[2], m == 0 ? 4 : 2);
        cr_expect_eq(((const int32_t *)outputs[2].data)[7], 8);
        close_model(&lab);
    }
    lab.test.error_count = 0;
    convert_places(&lab, "crop", ESPY_UNSUPPORTED);
    cr_expect(lab.test.error_count == 1 && strstr(lab.test.last_error, "cropped") != NULL);
    close_lab(&lab);
}

// Cropped from 128x64: 32 columns are cut on the left.
Test(recipes, places_in_the_middle_of_a_cropped_picture)
{
    static unsigned char pixels[100 * 200 * 3];
    static float box[4] = {10, 8, 32, 16};
    struct lab lab;
    open_lab(&lab);
    const char *model = write_file(
        &lab, "model.json",
        "{\"espy\":1,\"inputs\":[{\"name\":\"x\",\"dtype\":\"float16\",\"shape\":[1,3,64,64],"
        "\"role\":\"image\",\"preprocess\":{\"resize\":\"crop\"}},"
        "{\"name\":\"box\",\"dtype\":\"float32\",\"shape\":[1,4]}],"
        "\"outputs\":[{\"name\":\"boxes\",\"role\":\"boxes\"},{\"name\":\"y\"}],\"nodes\":["
        "{\"op\":\"Identity\",\"name\":\"a\",\"inputs\":[\"box\"],\"outputs\":[\"boxes\"]},"
        "{\"op\":\"Identity\",\"name\":\"b\",\"inputs\":[\"x\"],\"outputs\":[\"y\"]}]}");
    struct convert_params params = {.model_path = model, .pixels = true};
    cr_assert(convert(&lab, &params) == ESPY_OK, "%s", lab.test.last_error);
    const struct espy_tensor inputs[] = {
        {"x", ESPY_UINT8, 4, {1, 100, 200, 3}, pixels, sizeof(pixels)},
        {"box", ESPY_FLOAT32, 2, {1, 4}, box, sizeof(box)}};
    struct espy_tensor outputs[] = {{.name = "boxes"}, {.name = "y"}};
    cr_assert(espy_session_run(lab.session, inputs, 2, outputs, 2) == ESPY_OK, "%s", lab.error);
    static const float expected[4] = {65.625f, 12.5f, 100, 25};
    for (int i = 0; i < 4; i++)
        cr_expect(fabsf(((const float *)outputs[0].data)[i] - expected[i]) < 1e-4f);
    cr_expect_eq(outputs[1].dtype, ESPY_FLOAT16);
    close_model(&lab);
    close_lab(&lab);
}

// Whatever allocation of a conversion fails, that is told once, and nothing is left behind.
Test(recipes, running_out_of_memory_is_told_once)
{
    struct lab lab;
    open_lab(&lab);
    const char *model = write_file(
        &lab, "model.json",
        "{\"espy\":1,\"inputs\":[{\"name\":\"x\",\"dtype\":\"float32\",\"shape\":[1,3,32,32]},"
        "{\"name\":\"h\",\"dtype\":\"float32\",\"shape\":[1,21,7]}],"
        "\"outputs\":[{\"name\":\"y\"}],\"nodes\":["
        "{\"op\":\"Relu\",\"name\":\"a\",\"inputs\":[\"h\"],\"outputs\":[\"y\"]}]}");
    const char *labels = write_file(&lab, "labels.txt", "cat\ndog\n");
    const char *const presets[] = {"yolox"};
    struct convert_params params = {.model_path = model,
                                    .presets = presets,
                                    .preset_count = 1,
                                    .labels_path = labels,
                                    .pixels = true};
    espy_status status = ESPY_OUT_OF_MEMORY;
    uint32_t tries = 0;
    for (; status == ESPY_OUT_OF_MEMORY && tries < 100000; tries++) {
        struct test_host host;
        struct convert_report report;
        struct convert_model *converted = NULL;
        espy_test_host_init(&host);
        host.fail_at = tries + 1;
        espy_convert_report_init(&report, &host.host);
        status = espy_convert_graph(&host.host, &params, &report, &converted);
        espy_convert_report_finish(&report);
        if (status == ESPY_OK)
            espy_convert_model_destroy(&converted);
        cr_assert(status == ESPY_OK || (status == ESPY_OUT_OF_MEMORY && host.error_count == 1),
                  "allocation %u: status %d, %u errors, the last: %s", (unsigned)tries, (int)status,
                  (unsigned)host.error_count, host.last_error);
        cr_assert(host.live_count == 0, "allocation %u: %zu are left", (unsigned)tries,
                  host.live_count);
    }
    cr_expect(status == ESPY_OK && tries > 100);
    close_lab(&lab);
}

// Of the network of 2x2 a larger picture makes no product.
Test(recipes, sizes_that_a_network_cannot_do_with_are_told_at_its_node)
{
    struct lab lab;
    open_lab(&lab);
    const char *model = write_file(
        &lab, "model.json",
        "{\"espy\":1,\"inputs\":[{\"name\":\"x\",\"dtype\":\"float32\",\"shape\":[1,3,2,2]},"
        "{\"name\":\"w\",\"dtype\":\"float32\",\"shape\":[2,2]}],"
        "\"outputs\":[{\"name\":\"y\"}],\"nodes\":["
        "{\"op\":\"MatMul\",\"name\":\"product\",\"inputs\":[\"x\",\"w\"],\"outputs\":[\"y\"]}]}");
    const char *const presets[] = {"picture"};
    struct convert_params params = {.model_path = model, .presets = presets, .preset_count = 1};
    cr_assert(convert(&lab, &params) == ESPY_OK, "%s", lab.test.last_error);
    struct espy_value_info info;
    cr_assert(espy_model_output(lab.model, 0, &info) == ESPY_OK);
    cr_expect(info.dtype == ESPY_UINT8 && info.dims[2] == 2 && info.dims[3] == 2);
    close_model(&lab);
    params.picture_height = 5; // rows are free
    params.picture_width = 2;
    cr_assert(convert(&lab, &params) == ESPY_OK, "%s", lab.test.last_error);
    cr_assert(espy_model_output(lab.model, 0, &info) == ESPY_OK);
    cr_expect(info.dims[2] == 5 && info.dims[3] == 2);
    close_model(&lab);
    params.picture_width = 3;
    cr_expect(convert(&lab, &params) == ESPY_UNSUPPORTED);
    cr_expect(lab.test.error_count == 1 && strstr(lab.test.last_error, "product") != NULL, "%s",
              lab.test.last_error);
    close_lab(&lab);
}

// ---- hostile recipes ----------------------------------------------------------------------------

// Changes a few characters: digits to others, a piece to a piece from elsewhere, or to nothing.
static void mutate(char *text, uint32_t *state)
{
    for (uint32_t changes = 0; changes < 3; changes++) {
        const size_t length = strlen(text);
        *state = *state * 1664525u + 1013904223u;
        const size_t at = (*state >> 8) % length, from = (*state >> 4) % length;
        const size_t piece = 1 + *state % 12;
        if (at + piece >= length || from + piece >= length)
            continue;
        if (*state >> 30 == 0) {
            memmove(text + at, text + at + piece, length - at - piece + 1);
        } else if (*state >> 30 == 1) {
            memmove(text + at, text + from, piece);
        } else {
            char *digit = strpbrk(text + at, "0123456789");
            if (digit != NULL)
                *digit = (char)('0' + *state % 10);
        }
    }
}

// true: it was applied.
static bool try_changed(struct lab *lab, struct convert_params *params,
                        const struct convert_preset *preset, uint32_t *state)
{
    struct convert_report report;
    struct convert_model *converted = NULL;
    char *text =
        espy_arena_format(&lab->arena, "%.*s", (int)preset->size, (const char *)preset->json);
    mutate(text, state);
    params->recipe_path = write_file(lab, "recipe.json", text);
    lab->test.error_count = 0;
    espy_convert_report_init(&report, &lab->test.host);
    const espy_status status = espy_convert_graph(&lab->test.host, params, &report, &converted);
    espy_convert_report_finish(&report);
    if (status == ESPY_OK)
        espy_convert_model_destroy(&converted);
    cr_expect_eq(lab->test.error_count, status != ESPY_OK, "%s: %s", text, lab->test.last_error);
    return status == ESPY_OK;
}

// Metadata of an ONNX file is a recipe too, and such files come from anybody.
Test(recipes, changed_recipes_are_applied_or_refused)
{
    enum { ROUNDS = 60 };
    struct lab lab;
    uint32_t state = 1, applied = 0, refused = 0;
    open_lab(&lab);
    cJSON *cases = cJSON_Parse(read_text(&lab, ESPY_SOURCE_DIR "/tests/recipes/cases.json"));
    const cJSON *json;
    cJSON_ArrayForEach(json, cases)
    {
        const cJSON *presets = cJSON_GetObjectItem(json, "presets");
        if (cJSON_GetArraySize(presets) == 0 || cJSON_GetObjectItem(json, "error") != NULL)
            continue;
        uint32_t p = 0;
        while (strcmp(espy_presets[p].name, cJSON_GetArrayItem(presets, 0)->valuestring) != 0)
            p++;
        char *model = cJSON_PrintUnformatted(cJSON_GetObjectItem(json, "model"));
        struct convert_params params = {.model_path = write_file(&lab, "model.json", model)};
        cJSON_free(model);
        for (uint32_t i = 0; i < ROUNDS; i++) {
            const bool good = try_changed(&lab, &params, &espy_presets[p], &state);
            applied += good;
            refused += !good;
        }
    }
    cr_expect(applied > 100 && refused > 100, "%u applied, %u refused", (unsigned)applied,
              (unsigned)refused);
    cJSON_Delete(cases);
    close_lab(&lab);
}

Test(recipes, pixels_of_no_known_picture_are_refused)
{
    struct lab lab;
    open_lab(&lab);
    const char *model = write_file(
        &lab, "model.json",
        "{\"espy\":1,\"inputs\":[{\"name\":\"x\",\"dtype\":\"float32\",\"shape\":[1,3,8,8]}],"
        "\"outputs\":[{\"name\":\"x\"}],\"nodes\":[]}");
    struct convert_params params = {.model_path = model, .pixels = true};
    cr_expect(convert(&lab, &params) == ESPY_INVALID_ARGUMENT);
    cr_expect(strstr(lab.test.last_error, "preset") != NULL);
    close_lab(&lab);
}
