// Goal: the program says what it can do, and a wrong command line or file gives the right exit code
// and exactly one error line.
// Method: runs the built program with its output in temporary files.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "cli_args.h"
#include "cli_inputs.h"
#include "cli_number.h"
#include "cli_results.h"
#include "program.h"

static const char *const names[] = {"devices", "convert", "inspect", "run",
                                    "bench",   "tune",    "verify"};

Test(cli, every_command_explains_itself)
{
    struct result *result = malloc(sizeof *result);
    cr_assert_not_null(result);
    run((const char *[]){"--help", NULL}, result);
    cr_expect_eq(result->code, 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        cr_expect_not_null(strstr(result->out, names[i]));
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char usage[64];
        (void)snprintf(usage, sizeof usage, "Usage: espy %s", names[i]);
        run((const char *[]){names[i], "--help", NULL}, result);
        cr_expect_eq(result->code, 0);
        cr_expect_not_null(strstr(result->out, usage), "%s", names[i]);
        cr_expect_not_null(strstr(result->out, "Exit codes:"));
        cr_expect_str_eq(result->err, "");
        run((const char *[]){"help", names[i], NULL}, result);
        cr_expect_eq(result->code, 0);
        cr_expect_not_null(strstr(result->out, usage), "%s", names[i]);
    }
    run((const char *[]){"--version", NULL}, result);
    cr_expect_eq(result->code, 0);
    cr_expect_eq(strncmp(result->out, "espy ", 5), 0);
    free(result);
}

Test(cli, no_help_line_is_wider_than_a_terminal)
{
    struct result *result = malloc(sizeof *result);
    cr_assert_not_null(result);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        run((const char *[]){names[i], "--help", NULL}, result);
        for (const char *line = result->out; *line; line = strchr(line, '\n') + 1)
            cr_expect_leq(strcspn(line, "\n"), 90, "%s: %.90s", names[i], line);
    }
    free(result);
}

Test(cli, wrong_use_is_one_line_and_its_code)
{
    static const struct {
        const char *arguments[8];
        int code;
        const char *says;
    } cases[] = {
        {{NULL}, 2, "which command"},
        {{"fly", NULL}, 2, "unknown command 'fly'"},
        {{"help", "fly", NULL}, 2, "unknown command 'fly'"},
        {{"devices", "x", NULL}, 2, "one argument too many"},
        {{"devices", "--fast", NULL}, 2, "unknown option '--fast'"},
        {{"run", NULL}, 2, "missing argument"},
        {{"run", "m", "f", "g", NULL}, 2, "one argument too many: 'g'"},
        {{"run", "m", "--top", NULL}, 2, "--top needs COUNT"},
        {{"run", "m", "--top", "0", NULL}, 2, "--top takes a whole number"},
        {{"run", "m", "--top=x", NULL}, 2, "not 'x'"},
        {{"run", "m", "--json=yes", NULL}, 2, "--json takes no value"},
        {{"run", "m", "--range", "1,0", NULL}, 2, "--range takes LOW,HIGH"},
        {{"bench", "m", "-n", "1.5", NULL}, 2, "--runs takes a whole number"},
        {{"verify", "m", "-t", "nan", NULL}, 2, "--tolerance takes a number"},
        {{"convert", "m.onnx", "-o", "m.onnx", NULL}, 2, "over itself"},
        {{"convert", "m.onnx", "--shape", "x=1xx", NULL}, 2, "1xx"},
        {{"run", "m", "--shape", "x=1xx", NULL}, 2, "--shape takes NAME=1x3x64x64, not 'x=1xx'"},
        {{"convert", "/dev/null", "-o", "/dev/../dev/null", NULL}, 2, "over itself"},
        {{"convert", "m.json", "/dev/null", "-o", "/dev/../dev/null", NULL}, 2, "over itself"},
        {{"convert", "m.onnx", "--weights", "fp32", NULL}, 2, "fp16 or bf16"},
        {{"convert", "m.onnx", "--size", "224", NULL}, 2, "HEIGHTxWIDTH"},
        {{"convert", "m.onnx", "--size", "224x0", NULL}, 2, "HEIGHTxWIDTH"},
        {{"convert", "m.onnx", "--recipe", "r.json", "-o", "r.json", NULL}, 2, "over itself"},
        {{"convert", "m.onnx", "-o", "", NULL}, 2, "--output needs FILE"},
        {{"convert", "m.onnx", "m.safetensors", NULL}, 2, "what is 'm.safetensors' for"},
        {{"bench", "m", "--seed", "-1", NULL}, 2, "from 0 to 4294967295"},
        {{"run", "/no/such.espy", NULL}, 1, "/no/such.espy"},
        {{"bench", "/no/such.espy", NULL}, 1, "/no/such.espy"},
        {{"verify", "/no/such.espy", NULL}, 1, "/no/such.espy"},
        {{"inspect", "/no/such.espy", NULL}, 1, "/no/such.espy"},
        {{"inspect", "/dev/null", NULL}, 1, "/dev/null"},
        {{"convert", "/no/such.onnx", "-o", "/tmp/x.espy", NULL}, 1, "/no/such.onnx"},
    };
    struct result *result = malloc(sizeof *result);
    cr_assert_not_null(result);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run(cases[i].arguments, result);
        cr_expect_eq(result->code, cases[i].code, "case %zu: code %d", i, result->code);
        cr_expect_eq(line_count(result->err), 1, "case %zu: %s", i, result->err);
        cr_expect_eq(strncmp(result->err, "espy: error: ", 13), 0, "case %zu: %s", i, result->err);
        cr_expect_not_null(strstr(result->err, cases[i].says), "case %zu: %s", i, result->err);
        cr_expect_str_eq(result->out, "");
    }
    free(result);
}

Test(cli, devices_are_json_when_asked)
{
    struct result *result = malloc(sizeof *result);
    cr_assert_not_null(result);
    run((const char *[]){"devices", "--json", NULL}, result);
    cr_expect(result->code == 0 || result->code == 4);
    cJSON *json = cJSON_Parse(result->out);
    cr_expect(cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(json, "devices")));
    cJSON_Delete(json);
    free(result);
}

// ---- parts --------------------------------------------------------------------------------------

Test(parts, control_bytes_do_not_reach_the_terminal)
{
    char clean[32];
    cr_expect_str_eq(espy_cli_clean("a\033[2Jb\n\xC2\x9B"
                                    "c\x7F\xC3\xA9",
                                    clean, sizeof clean),
                     "a?[2Jb?\xC2?c?\xC3\xA9");
    cr_expect_str_eq(espy_cli_clean("abcdef", clean, 4), "abc");
}

Test(parts, shapes_are_parsed)
{
    uint32_t rank;
    int64_t dims[ESPY_RANK_MAX];
    char text[64];
    cr_expect(espy_shape_parse("1x3x224x224", &rank, dims));
    cr_expect_eq(rank, 4);
    cr_expect_str_eq(espy_shape_print(rank, dims, text, sizeof text), "1x3x224x224");
    cr_expect(espy_shape_parse("scalar", &rank, dims));
    cr_expect_eq(rank, 0);
    cr_expect(espy_shape_parse("0,7", &rank, dims));
    cr_expect_eq(rank, 2);
    static const char *const wrong[] = {
        "", "x", "1x", "-1", "1x2y", "99999999999", "1x1x1x1x1x1x1x1x1"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_expect_not(espy_shape_parse(wrong[i], &rank, dims), "%s", wrong[i]);
}

Test(parts, every_half_comes_back)
{
    for (uint32_t bits = 0; bits < 65536; bits++) {
        const uint16_t half = (uint16_t)bits;
        uint16_t again;
        const double value = espy_number_get(ESPY_FLOAT16, &half, 0);
        espy_number_set(ESPY_FLOAT16, &again, 0, value);
        cr_expect(value != value || again == half, "%04X became %04X", bits, again);
        espy_number_set(ESPY_BFLOAT16, &again, 0, espy_number_get(ESPY_BFLOAT16, &half, 0));
        cr_expect(again == half || (bits & 0x7FFF) > 0x7F80, "bf %04X became %04X", bits, again);
    }
    uint16_t half;
    espy_number_set(ESPY_FLOAT16, &half, 0, 1 + 0x1p-11); // a tie: to even
    cr_expect_eq(half, 0x3C00);
    espy_number_set(ESPY_FLOAT16, &half, 0, 65519.99);
    cr_expect_eq(half, 0x7BFF);
    espy_number_set(ESPY_FLOAT16, &half, 0, 65520);
    cr_expect_eq(half, 0x7C00);
    espy_number_set(ESPY_FLOAT16, &half, 0, 0x1p-25); // a tie: to zero
    cr_expect_eq(half, 0);
}

Test(parts, integers_are_held_to_their_range)
{
    uint8_t byte;
    int64_t wide;
    uint64_t unsigned_wide;
    espy_number_set(ESPY_UINT8, &byte, 0, 300);
    cr_expect_eq(byte, 255);
    espy_number_set(ESPY_UINT8, &byte, 0, -1);
    cr_expect_eq(byte, 0);
    espy_number_set(ESPY_INT64, &wide, 0, 1e300);
    cr_expect_eq(wide, INT64_MAX);
    espy_number_set(ESPY_INT64, &wide, 0, -1e300);
    cr_expect_eq(wide, INT64_MIN);
    espy_number_set(ESPY_UINT64, &unsigned_wide, 0, 1e300);
    cr_expect_eq(unsigned_wide, UINT64_MAX);
    const int64_t values[] = {-129, INT64_MIN, 4294967296};
    cr_expect_not(espy_number_fits(ESPY_INT64, &values[0], 1, ESPY_INT8));
    cr_expect(espy_number_fits(ESPY_INT64, &values[0], 1, ESPY_INT16));
    cr_expect_not(espy_number_fits(ESPY_INT64, &values[1], 1, ESPY_INT32));
    cr_expect_not(espy_number_fits(ESPY_INT64, &values[2], 1, ESPY_UINT32));
    cr_expect(espy_number_fits(ESPY_INT64, &values[2], 1, ESPY_UINT64));
    cr_expect_not(espy_number_fits(ESPY_INT64, values, 1, ESPY_FLOAT32));
    cr_expect(espy_number_fits(ESPY_FLOAT64, values, 1, ESPY_FLOAT32));
}

Test(parts, top_classes_are_the_most_probable_ones)
{
    const char *labels[] = {"ant", "bee", "cat", "dog"};
    const struct espy_value_info info = {
        .name = "y", .role = "logits", .label_count = 4, .labels = labels};
    float scores[] = {0, 3, 1, 2, 1e30f, -1e30f, 0, 0};
    struct espy_tensor tensor = {.dtype = ESPY_FLOAT32, .rank = 2, .dims = {2, 4}, .data = scores};
    struct cli_class classes[4];
    cr_assert_eq(espy_result_top(&info, &tensor, 0, 3, classes), 3);
    cr_expect_str_eq(classes[0].label, "bee");
    cr_expect_str_eq(classes[1].label, "dog");
    cr_expect_str_eq(classes[2].label, "cat");
    cr_expect_float_eq(classes[0].probability, 0.6439142598879724, 1e-12);
    cr_assert_eq(espy_result_top(&info, &tensor, 1, 3, classes), 3);
    cr_expect_eq(classes[0].probability, 1);
    cr_expect_eq(classes[0].index, 0);
}

Test(parts, paths_of_outputs_stay_in_their_folder)
{
    char *path = espy_result_path("out", "/../a:0");
    cr_expect_str_eq(path, "out/_.._a_0.npy");
    free(path);
    path = espy_result_path(NULL, "..");
    cr_expect_str_eq(path, "...npy");
    free(path);
}
