// Goal: a model goes through every subcommand, and what comes out is what the model means.
// Method: converts a model of three pointwise operators, whose results are known, in a folder of
// its own; then runs it on pictures, .npy and raw files.
#include <cjson/cJSON.h>
#include <dirent.h>
#include <math.h>

#include "cli_file.h"
#include "npy.h"
#include "picture_preprocess.h"
#include "must.h"

static const char model_json[] =
    "{\"espy\": 1, \"name\": \"tiny\","
    " \"inputs\": [{\"name\": \"x\", \"dtype\": \"float32\","
    "   \"shape\": [\"batch\", 1, 4, 6], \"role\": \"image\", \"preprocess\": {"
    "     \"size\": [4, 6], \"color\": \"gray\", \"scale\": 255, \"mean\": [0.5], \"std\": "
    "[0.25]}},"
    "  {\"name\": \"s:0\", \"dtype\": \"float32\", \"shape\": [\"batch\", 4]}],"
    " \"outputs\": [{\"name\": \"map\", \"role\": \"attention_map\", \"of\": \"x\"},"
    "  {\"name\": \"a/b:0\", \"role\": \"image\", \"of\": \"x\"},"
    "  {\"name\": \"scores\", \"role\": \"logits\","
    "   \"labels\": [\"ant\", \"bee\", \"cat\", \"dog\"]}],"
    " \"nodes\": [{\"op\": \"Sigmoid\", \"name\": \"n0\", \"inputs\": [\"x\"],"
    "   \"outputs\": [\"map\"]},"
    "  {\"op\": \"Relu\", \"name\": \"n1\", \"inputs\": [\"x\"], \"outputs\": [\"a/b:0\"]},"
    "  {\"op\": \"Neg\", \"name\": \"n2\", \"inputs\": [\"s:0\"], \"outputs\": [\"scores\"]}]}";

// A folder with the model, a picture, scores as .npy (float64, without the batch) and raw.
static void make_folder(char folder[64])
{
    const double scores[] = {0, -3, -1, -2};
    const float raw[] = {0, -3, -1, -2};
    double copy[4];
    struct espy_tensor tensor = {
        .dtype = ESPY_FLOAT64, .rank = 1, .dims = {4}, .data = copy, .size = sizeof copy};
    struct picture picture;
    struct cli_message message;
    const struct cli_part json = {model_json, sizeof model_json - 1}, bytes = {raw, sizeof raw};
    (void)snprintf(folder, 64, "/tmp/espy-cli-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
    memcpy(copy, scores, sizeof copy);
    cr_assert(espy_file_write("model.json", &json, 1, &message));
    cr_assert(espy_file_write("s.bin", &bytes, 1, &message));
    cr_assert(espy_npy_write("s.npy", &tensor, &message));
    cr_assert(espy_picture_create(6, 4, &picture, &message));
    for (unsigned i = 0; i < 6 * 4 * 3; i++)
        picture.rgb[i] = (uint8_t)(i / 3 * 10);
    cr_assert(espy_picture_write_png("p.jpg", &picture, &message)); // told apart by content
    espy_picture_free(&picture);
    must((const char *[]){"convert", "model.json", NULL});
}

static void remove_folder(const char *folder)
{
    static const char *const names[] = {
        "model.json",    "model.espy",     "s.bin",        "s.npy", "p.jpg",
        "map.png",       "o.png",          "out/map.npy",  "y.npy", "other.espy",
        "out/a_b_0.npy", "out/scores.npy", "w.safetensors"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        (void)unlink(names[i]);
    (void)rmdir("out");
    cr_expect_eq(rmdir(folder), 0, "the program left a file in %s", folder);
}

static cJSON *parse_json(void)
{
    cJSON *json = cJSON_Parse(result.out);
    cr_assert_not_null(json, "%s", result.out);
    return json;
}

static double number(const cJSON *json, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);
    cr_assert(cJSON_IsNumber(item), "%s", name);
    return item->valuedouble;
}

Test(run, classes_pictures_and_files_come_out)
{
    char folder[64];
    make_folder(folder);
    must((const char *[]){"run", "model.espy", "p.jpg", "-i", "s:0=s.npy", "-o", "map=map.png",
                          "-o", "o.png", "--save-dir", "out", NULL});
    cr_expect_not_null(strstr(result.out, " 64.39 %  bee\n 23.69 %  dog\n"), "%s", result.out);
    cr_expect_not_null(strstr(result.out, " ms on "));

    struct cli_message message;
    struct npy array;
    cr_assert(espy_npy_read("out/map.npy", &array, &message), "%s", message.text);
    cr_assert_eq(array.rank, 4);
    cr_assert_eq(array.size, 6 * 4 * sizeof(float));
    for (unsigned i = 0; i < 24; i++) {
        const double x = (i * 10 / 255.0 - 0.5) / 0.25;
        cr_expect_float_eq(((float *)array.data)[i], 1 / (1 + exp(-x)), 1e-5);
    }
    espy_npy_free(&array);
    cr_expect(espy_npy_read("out/a_b_0.npy", &array, &message), "%s", message.text);
    espy_npy_free(&array);

    // The image output is in the input's normalised units: below the mean it is the mean.
    struct picture picture;
    cr_assert(espy_picture_read("o.png", &picture, &message), "%s", message.text);
    cr_expect_eq(picture.width, 6);
    cr_expect_eq(picture.rgb[0], 128);
    cr_expect_eq(picture.rgb[23 * 3], 230);
    espy_picture_free(&picture);
    cr_assert(espy_picture_read("map.png", &picture, &message), "%s", message.text);
    cr_expect_geq(picture.width, 256);
    espy_picture_free(&picture);
    remove_folder(folder);
}

Test(run, json_and_raw_input)
{
    char folder[64];
    make_folder(folder);
    must((const char *[]){"run", "--json", "-k", "1", "model.espy", "p.jpg", "-i", "s:0=s.bin",
                          "-o", "scores=y.npy", NULL});
    cJSON *json = parse_json();
    const cJSON *outputs = cJSON_GetObjectItemCaseSensitive(json, "outputs");
    cr_assert_eq(cJSON_GetArraySize(outputs), 3);
    const cJSON *scores = cJSON_GetArrayItem(outputs, 2);
    const cJSON *row = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(scores, "top"), 0);
    cr_assert_eq(cJSON_GetArraySize(row), 1);
    cr_expect_eq(number(cJSON_GetArrayItem(row, 0), "index"), 1);
    cr_expect_float_eq(number(cJSON_GetArrayItem(row, 0), "probability"), 0.64391426, 1e-6);
    cr_expect_eq(access("y.npy", R_OK), 0);
    cJSON_Delete(json);
    remove_folder(folder);
}

Test(run, the_shipped_network_names_the_shape_and_shows_where)
{
    static const char shapes[] = ESPY_SOURCE_DIR "/examples/shapes/";
    static const char *const pictures[][2] = {{"sample.png", "%  heart\n"},
                                              {"sample.jpg", "%  star\n"}};
    char folder[64], model[512], picture[512];
    make_folder(folder);
    (void)snprintf(model, sizeof model, "%sshapes.onnx", shapes);
    must((const char *[]){"convert", model, "-o", "other.espy", NULL});
    for (size_t i = 0; i < sizeof pictures / sizeof *pictures; i++) {
        (void)snprintf(picture, sizeof picture, "%s%s", shapes, pictures[i][0]);
        must((const char *[]){"run", "other.espy", picture, "-o", "map.png", NULL});
        const char *first = strstr(result.out, "%  ");
        cr_assert_not_null(first);
        cr_expect_eq(strncmp(first, pictures[i][1], strlen(pictures[i][1])), 0, "%s: %s",
                     pictures[i][0], result.out);
        cr_expect_eq(access("map.png", R_OK), 0);
    }
    remove_folder(folder);
}

// What PyTorch finds in the picture, shrunk by Pillow, is within two pixels.
Test(run, the_shipped_detector_lists_what_is_in_the_picture)
{
    static const struct {
        const char *label;
        double box[4];
    } toys[] = {{"car", {177, 70, 475, 238}},  {"fish", {87, 338, 243, 423}},
                {"fish", {38, 249, 157, 330}}, {"boat", {150, 155, 228, 245}},
                {"tree", {81, 2, 251, 244}},   {"tree", {180, 36, 245, 132}}};
    static const char detection[] = ESPY_SOURCE_DIR "/examples/detection/";
    char folder[64], model[512], picture[512];
    make_folder(folder);
    (void)snprintf(model, sizeof model, "%stoys.onnx", detection);
    (void)snprintf(picture, sizeof picture, "%ssample.png", detection);
    must((const char *[]){"convert", model, "-o", "other.espy", NULL});
    must((const char *[]){"run", "other.espy", picture, "-o", "o.png", NULL});
    const char *line = result.out;
    for (size_t i = 0; i < sizeof toys / sizeof *toys; i++) {
        char label[16] = "";
        double score = 0, box[4] = {0};
        line = strchr(line, '\n');
        cr_assert_not_null(line);
        line++;
        cr_assert_eq(sscanf(line, "%15s %lf %lf %lf %lf %lf", label, &score, &box[0], &box[1],
                            &box[2], &box[3]), 6, "%s", result.out);
        cr_expect_str_eq(label, toys[i].label);
        cr_expect(score >= 0.5);
        for (size_t k = 0; k < 4; k++)
            cr_expect_float_eq(box[k], toys[i].box[k], 2, "%s", result.out);
    }
    cr_expect_not_null(strstr(line, "\nboxes "));
    cr_expect_eq(access("o.png", R_OK), 0);
    remove_folder(folder);
}

Test(run, wrong_inputs_are_explained)
{
    static const struct {
        const char *arguments[8];
        int code;
        const char *says;
    } cases[] = {
        {{"run", "model.espy", NULL}, 1, "'x' batchx1x4x6 float32, 's:0' batchx4 float32"},
        {{"run", "model.espy", "p.jpg", NULL},
         1,
         "missing input; give --input NAME=FILE or NAME=VALUES for: 's:0'"},
        {{"run", "model.espy", "p.jpg", "-i", "x=p.jpg", NULL}, 1, "given twice"},
        {{"run", "model.espy", "-i", "y=p.jpg", NULL}, 1, "no input of that name"},
        {{"run", "model.espy", "-i", "s:0=p.jpg", NULL}, 1, "is no picture"},
        {{"run", "model.espy", "-i", "s:0=model.json", "p.jpg", NULL}, 1, "takes 16"},
        {{"run", "model.espy", "-i", "x=s.npy", NULL}, 1, "does not fit input 'x'"},
        {{"run", "model.espy", "p.jpg", "-i", "s:0=s.npy", "--shape", "s:0=2x4", NULL},
         1,
         "must be equal"},
        {{"run", "model.espy", "p.jpg", "--shape", "s:0=2x4", "-i", "s:0=s.bin", NULL},
         1,
         "must be"},
        {{"run", "model.espy", "--shape", "x=4", NULL}, 1, "does not fit input 'x'"},
        {{"run", "model.espy", "--shape", "x=a", NULL}, 2, "not 'x=a'"},
        {{"run", "model.espy", "y=/no/p.jpg", NULL}, 1, "no input of that name"},
        {{"run", "model.espy", "./y=p.jpg", NULL}, 1, "cannot be opened"},
        {{"run", "model.espy", "-i", "x=-", "-i", "s:0=-", NULL}, 1, "both to be standard input"},
        {{"bench", "model.espy", "-d", "no such device", NULL}, 4, "no such device"},
        {{"run", "s.npy", NULL}, 1, "s.npy"},
        {{"bench", "model.espy", "--memory", "100", NULL}, 1, "the limit is 100"},
        {{"bench", "model.espy", "--memory", "5T", NULL}, 2, "512M"},
        {{"bench", "model.espy", "--memory", "-1", NULL}, 2, "512M"},
        {{"bench", "model.espy", "--memory", "18014398509481984K", NULL}, 2, "512M"},
        {{"inspect", "model.json", NULL}, 1, "espy convert"},
    };
    char folder[64];
    make_folder(folder);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run(cases[i].arguments, &result);
        cr_expect_eq(result.code, cases[i].code, "case %zu: %d", i, result.code);
        cr_expect_eq(line_count(result.err), 1, "case %zu: %s", i, result.err);
        cr_expect_not_null(strstr(result.err, cases[i].says), "case %zu: %s", i, result.err);
    }
    remove_folder(folder);
}

Test(run, a_budget_that_suffices_is_kept_and_the_peak_said_before)
{
    char folder[64];
    make_folder(folder);
    must((const char *[]){"run", "model.espy", "p.jpg", "-i", "s:0=s.npy", "--memory", "1M", NULL});
    cr_expect_not_null(strstr(result.err, "MiB of device memory"), "%s", result.err);
    must((const char *[]){"run", "model.espy", "p.jpg", "-i", "s:0=s.npy", "--json", NULL});
    cJSON *json = parse_json();
    cr_expect_gt(number(json, "peak_memory_bytes"), 0);
    cr_expect_lt(number(json, "peak_memory_bytes"), 1 << 20);
    cJSON_Delete(json);
    remove_folder(folder);
}

Test(run, outputs_that_cannot_be_written_are_explained)
{
    static const struct {
        const char *arguments[8];
        const char *says;
    } cases[] = {
        {{"--save-dir", "no/such", NULL}, "no/such"},
        {{"--save-dir", "p.jpg", NULL}, "p.jpg"},
        {{"-o", "scores=o.png", NULL}, "is no picture"},
        {{"-o", "scores=/dev/full", NULL}, "/dev/full"},
        {{"-o", "/dev/full", NULL}, "/dev/full"},
    };
    char folder[64];
    make_folder(folder);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run((const char *[]){"run", "model.espy", "p.jpg", "-i", "s:0=s.npy", cases[i].arguments[0],
                             cases[i].arguments[1], NULL},
            &result);
        cr_expect_eq(result.code, 1, "case %zu: %d", i, result.code);
        cr_expect_eq(line_count(result.err), 1, "case %zu: %s", i, result.err);
        cr_expect_not_null(strstr(result.err, cases[i].says), "case %zu: %s", i, result.err);
    }
    remove_folder(folder);
}

Test(inspect, table_and_json)
{
    char folder[64];
    make_folder(folder);
    must((const char *[]){"inspect", "model.espy", NULL});
    cr_expect_not_null(strstr(result.out, "Sigmoid"));
    cr_expect_not_null(strstr(result.out, "1x1x4x6"));
    cr_expect_not_null(strstr(result.out, "peak memory"));
    must((const char *[]){"inspect", "model.espy", "--json", "--shape", "x=3x1x4x6", NULL});
    cJSON *json = parse_json();
    cr_expect_gt(number(json, "peak_memory_bytes"), 3 * 24 * 4);
    // Sigmoid and Relu of 3 pictures of 24 floats, Neg of 3 rows of 4.
    cr_expect_eq(number(json, "bytes_read"), (2 * 24 + 4) * 3 * 4);
    cr_expect_eq(number(json, "bytes_written"), (2 * 24 + 4) * 3 * 4);
    cr_expect_eq(number(json, "weights_bytes_read"), 0);
    cr_expect_eq(number(json, "parameters"), 0);
    cr_expect_eq(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(json, "nodes")), 3);
    cJSON_Delete(json);
    must((const char *[]){"inspect", "model.espy", "--no-device", NULL});
    cr_expect_not_null(strstr(result.out, "unknown"));
    remove_folder(folder);
}

Test(inspect, float64_is_said_to_be_computed_as_float32)
{
    static const char json[] =
        "{\"espy\": 1, \"inputs\": [{\"name\": \"x\", \"dtype\": \"float64\", \"shape\": [4]}],"
        " \"outputs\": [{\"name\": \"y\"}],"
        " \"nodes\": [{\"op\": \"Exp\", \"name\": \"n0\", \"inputs\": [\"x\"], \"outputs\": "
        "[\"y\"]}]}";
    const struct cli_part model = {json, sizeof json - 1};
    struct cli_message message;
    char folder[64];
    make_folder(folder);
    must((const char *[]){"inspect", "model.espy", NULL});
    cr_expect_null(strstr(result.out, "float64"));
    cr_assert(espy_file_write("model.json", &model, 1, &message));
    must((const char *[]){"convert", "model.json", NULL});
    must((const char *[]){"inspect", "model.espy", NULL});
    cr_expect_not_null(strstr(result.out, "float64      computed as float32"), "%s", result.out);
    must((const char *[]){"inspect", "--json", "model.espy", NULL});
    cJSON *root = parse_json();
    cr_expect(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(root, "float64_as_float32")));
    cJSON_Delete(root);
    remove_folder(folder);
}

Test(inspect, macs_and_parameters)
{
    static const char json[] =
        "{\"espy\": 1, \"inputs\": [{\"name\": \"x\", \"dtype\": \"float32\","
        " \"shape\": [1, 3, 8, 8]}], \"outputs\": [{\"name\": \"y\"}],"
        " \"tensors\": {\"w\": {}, \"b\": {}, \"m\": {}},"
        " \"nodes\": [{\"op\": \"Conv\", \"name\": \"n0\", \"inputs\": [\"x\", \"w\", \"b\"],"
        "   \"outputs\": [\"t\"], \"attrs\": {\"pads\": [1, 1, 1, 1]}},"
        "  {\"op\": \"MatMul\", \"name\": \"n1\", \"inputs\": [\"t\", \"m\"], \"outputs\": "
        "[\"y\"]}]}";
    static const char header[] =
        "{\"w\":{\"dtype\":\"F32\",\"shape\":[4,3,3,3],\"data_offsets\":[0,432]},"
        "\"b\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[432,448]},"
        "\"m\":{\"dtype\":\"F32\",\"shape\":[8,5],\"data_offsets\":[448,608]}}";
    static const float weights[152];
    const unsigned char length[8] = {(sizeof header - 1) & 255, (sizeof header - 1) >> 8};
    const struct cli_part model = {json, sizeof json - 1};
    const struct cli_part parts[] = {
        {length, sizeof length}, {header, sizeof header - 1}, {weights, sizeof weights}};
    struct cli_message message;
    char folder[64];
    make_folder(folder);
    cr_assert(espy_file_write("model.json", &model, 1, &message));
    cr_assert(espy_file_write("w.safetensors", parts, 3, &message));
    must((const char *[]){"convert", "model.json", "w.safetensors", NULL});
    must((const char *[]){"inspect", "--json", "model.espy", NULL});
    cJSON *root = parse_json();
    cr_expect_eq(number(root, "parameters"), 4 * 27 + 4 + 40);
    cr_expect_eq(number(root, "macs"), 4 * 64 * 27 + 4 * 8 * 5 * 8);
    cr_expect(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(root, "macs_complete")));
    cJSON_Delete(root);
    remove_folder(folder);
}

Test(bench, numbers_are_there_and_ordered)
{
    char folder[64];
    make_folder(folder);
    must((const char *[]){"bench", "model.espy", "--json", "-n", "9", NULL});
    cJSON *json = parse_json();
    cr_expect_eq(number(json, "runs"), 9);
    cr_expect_leq(number(json, "min_ms"), number(json, "median_ms"));
    cr_expect_leq(number(json, "median_ms"), number(json, "p90_ms"));
    cr_expect_gt(number(json, "first_run_ms"), 0);
    cr_expect_gt(number(json, "peak_memory_bytes"), 0);
    cJSON_Delete(json);
    must((const char *[]){"bench", "model.espy", "-s", "0", NULL});
    cr_expect_not_null(strstr(result.out, "median"));
    remove_folder(folder);
}

// Files of a cache that the program was given; counts those whose name ends so.
static unsigned empty_cache(const char *folder, const char *end)
{
    unsigned found = 0;
    DIR *cache = opendir(folder);
    cr_assert_not_null(cache);
    for (struct dirent *entry = readdir(cache); entry; entry = readdir(cache)) {
        char path[512];
        if (entry->d_name[0] == '.')
            continue;
        const size_t length = strlen(entry->d_name);
        found += length > strlen(end) && !strcmp(entry->d_name + length - strlen(end), end);
        (void)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        (void)unlink(path);
    }
    (void)closedir(cache);
    return found;
}

static void drop_cache(const char *folder, int choices)
{
    char cache[96];
    (void)snprintf(cache, sizeof cache, "%s/cache/espy", folder);
    cr_expect_eq(empty_cache(cache, ".choices"), choices);
    (void)rmdir("cache/espy");
    (void)rmdir("cache");
    remove_folder(folder);
}

Test(tune, measures_once_and_keeps_it)
{
    char folder[64], cache[96];
    make_folder(folder);
    (void)snprintf(cache, sizeof cache, "%s/cache", folder);
    (void)setenv("XDG_CACHE_HOME", cache, 1);
    (void)setenv("MESA_SHADER_CACHE_DISABLE", "true", 1); // it would be there too
    must((const char *[]){"convert", ESPY_SOURCE_DIR "/examples/shapes/shapes.onnx", "-o",
                          "other.espy", NULL});
    must((const char *[]){"tune", "other.espy", "--json", NULL});
    cJSON *json = parse_json();
    const cJSON *problems = cJSON_GetObjectItemCaseSensitive(json, "problems");
    const int count = cJSON_GetArraySize(problems);
    const cJSON *device = cJSON_GetObjectItemCaseSensitive(json, "device");
    const cJSON *name = cJSON_GetObjectItemCaseSensitive(device, "name");
    if (strstr(name->valuestring, "SwiftShader") != NULL) { // what suits it has one form each
        cr_expect_eq(count, 0);
        cJSON_Delete(json);
        drop_cache(folder, 0);
        return;
    }
    cr_assert_gt(count, 2);
    cr_expect_eq(number(json, "wrong"), 0);
    cr_expect_gt(number(json, "before_ms"), 0);
    cr_expect_leq(number(json, "after_ms"), number(json, "before_ms"));
    const cJSON *problem;
    cJSON_ArrayForEach(problem, problems)
    {
        cr_expect_lt(number(problem, "chosen"), number(problem, "forms"));
        cr_expect_gt(number(problem, "uses"), 0);
    }
    cJSON_Delete(json);
    must((const char *[]){"tune", "other.espy", NULL});
    cr_expect_not_null(strstr(result.out, "nothing to measure"), "%s", result.out);
    must((const char *[]){"verify", "other.espy", NULL}); // with what was chosen
    must((const char *[]){"tune", "other.espy", "--again", NULL});
    cr_expect_not_null(strstr(result.out, "gained"), "%s", result.out);
    must((const char *[]){"tune", "other.espy", "--no-cache", NULL});
    cr_expect_not_null(strstr(result.out, "nothing is kept"), "%s", result.out);
    must((const char *[]){"tune", "model.espy", "--no-cache", NULL});
    cr_expect_not_null(strstr(result.out, "nothing to measure"), "pointwise: %s", result.out);
    drop_cache(folder, 1);
}

Test(verify, passes_and_fails_with_its_code)
{
    char folder[64];
    make_folder(folder);
    must((const char *[]){"verify", "model.espy", "--json", NULL});
    cJSON *json = parse_json();
    cr_expect(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "passed")));
    cr_expect_eq(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(json, "results")), 3);
    cJSON_Delete(json);
    must((const char *[]){"verify", "model.espy", "--exact", NULL});
    run((const char *[]){"verify", "model.espy", "-t", "1e-12", "p.jpg", NULL}, &result);
    cr_expect_eq(result.code, 3, "%s", result.out);
    cr_expect_not_null(strstr(result.out, "FAIL"));
    remove_folder(folder);
}

Test(convert, output_and_json)
{
    char folder[64];
    make_folder(folder);
    must((const char *[]){"convert", "model.json", "-o", "other.espy", "--json", NULL});
    cJSON *json = parse_json();
    cr_expect_eq(number(json, "nodes_after"), 3);
    cJSON_Delete(json);
    cr_expect_eq(access("other.espy", R_OK), 0);
    remove_folder(folder);
}

// docs/convert.md shows a network written by hand; what stands there is what is converted here.
static void write_documented_json(const char *path)
{
    static const char fence[] = "```json\n";
    struct cli_bytes page;
    struct cli_message message;
    cr_assert(espy_file_read(ESPY_SOURCE_DIR "/docs/convert.md", 1 << 20, &page, &message), "%s",
              message.text);
    page.data[page.size - 1] = '\0';
    const char *start = strstr((const char *)page.data, fence);
    cr_assert_not_null(start);
    start += strlen(fence);
    const char *end = strstr(start, "```");
    cr_assert_not_null(end);
    const struct cli_part json = {start, (size_t)(end - start)};
    cr_assert(espy_file_write(path, &json, 1, &message), "%s", message.text);
    espy_file_free(&page);
}

Test(convert, the_documented_hand_written_network_computes_what_its_page_says)
{
    static const char header[] =
        "{\"gate.weight\":{\"dtype\":\"F32\",\"shape\":[3,3,1,1],\"data_offsets\":[0,36]},"
        "\"gate.bias\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[36,48]}}";
    static const float weights[12] = {4, 0, 0, 0, -4, 0, 0, 0, 0, 0, 2, 0};
    const unsigned char size[8] = {sizeof header - 1};
    const struct cli_part parts[] = {
        {size, sizeof size}, {header, sizeof header - 1}, {weights, sizeof weights}};
    struct cli_message message;
    struct npy array;
    char folder[64];
    make_folder(folder);
    write_documented_json("model.json");
    cr_assert(espy_file_write("w.safetensors", parts, 3, &message), "%s", message.text);
    must((const char *[]){"convert", "model.json", "w.safetensors", "-o", "other.espy", NULL});
    must((const char *[]){"run", "other.espy", "p.jpg", "-o", "y.npy", NULL});
    cr_assert(espy_npy_read("y.npy", &array, &message), "%s", message.text);
    cr_assert_eq(array.size, 3 * 24 * sizeof(float));
    const double mean = 115 / 255.0; // of 0, 10, ... 230
    const double gates[] = {1 / (1 + exp(-4 * mean)), 1 / (1 + exp(4 * mean - 2)), 0.5};
    for (unsigned i = 0; i < 3 * 24; i++) {
        const double x = i % 24 * 10 / 255.0;
        cr_expect_float_eq(((float *)array.data)[i], x * gates[i / 24], 1e-5, "element %u", i);
    }
    espy_npy_free(&array);
    remove_folder(folder);
}
