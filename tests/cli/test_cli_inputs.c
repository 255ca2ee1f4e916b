// Goal: values, words and random numbers on the command line become the elements that they stand
// for, and what does not fit is said in one line.
// Method: lists are parsed alone; then a model that negates its inputs is run on them, and its
// outputs are read. The normal numbers are those of a Python program of the same recipe.
#include <criterion/criterion.h>
#include <math.h>

#include "cli_file.h"
#include "cli_random.h"
#include "cli_values.h"
#include "npy.h"
#include "picture.h"
#include "must.h"

static const char model_json[] =
    "{\"espy\": 1, \"inputs\": ["
    "  {\"name\": \"ids\", \"dtype\": \"int64\", \"shape\": [\"batch\", 6], \"role\": \"tokens\"},"
    "  {\"name\": \"z\", \"dtype\": \"float32\", \"shape\": [1, 4], \"role\": \"latent\"},"
    "  {\"name\": \"k\", \"dtype\": \"int32\", \"shape\": [1], \"role\": \"class\"},"
    "  {\"name\": \"f\", \"dtype\": \"float32\", \"shape\": [\"n\", 2]}],"
    " \"outputs\": [{\"name\": \"a\"}, {\"name\": \"b\"}, {\"name\": \"c\"}, {\"name\": \"d\"}],"
    " \"nodes\": ["
    "  {\"op\": \"Neg\", \"name\": \"0\", \"inputs\": [\"ids\"], \"outputs\": [\"a\"]},"
    "  {\"op\": \"Neg\", \"name\": \"1\", \"inputs\": [\"z\"], \"outputs\": [\"b\"]},"
    "  {\"op\": \"Neg\", \"name\": \"2\", \"inputs\": [\"k\"], \"outputs\": [\"c\"]},"
    "  {\"op\": \"Neg\", \"name\": \"3\", \"inputs\": [\"f\"], \"outputs\": [\"d\"]}]}";

// Words, a class and the size of a picture.
static const char words_json[] =
    "{\"espy\": 1, \"inputs\": ["
    "  {\"name\": \"ids\", \"dtype\": \"int32\", \"shape\": [1, \"n\"], \"role\": \"tokens\","
    "   \"labels\": [\"<pad>\", \"the\", \"cat\"]},"
    "  {\"name\": \"k\", \"dtype\": \"int64\", \"shape\": [1], \"role\": \"class\","
    "   \"labels\": [\"red fox\", \"hen\"]},"
    "  {\"name\": \"x\", \"dtype\": \"uint8\", \"shape\": [1, \"h\", \"w\", 3], \"role\": "
    "\"image\","
    "   \"preprocess\": {\"layout\": \"nhwc\"}},"
    "  {\"name\": \"s\", \"dtype\": \"int64\", \"shape\": [1, 2], \"role\": \"image_size\"}],"
    " \"outputs\": [{\"name\": \"a\"}, {\"name\": \"b\"}, {\"name\": \"c\"}, {\"name\": \"x\"}],"
    " \"nodes\": ["
    "  {\"op\": \"Neg\", \"name\": \"0\", \"inputs\": [\"ids\"], \"outputs\": [\"a\"]},"
    "  {\"op\": \"Neg\", \"name\": \"1\", \"inputs\": [\"k\"], \"outputs\": [\"b\"]},"
    "  {\"op\": \"Neg\", \"name\": \"2\", \"inputs\": [\"s\"], \"outputs\": [\"c\"]}]}";

static void make_folder(char folder[64], const char *model)
{
    struct cli_message message;
    const struct cli_part json = {model, strlen(model)};
    (void)snprintf(folder, 64, "/tmp/espy-cli-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(chdir(folder), 0);
    cr_assert(espy_file_write("model.json", &json, 1, &message));
    must((const char *[]){"convert", "model.json", NULL});
}

static void remove_folder(const char *folder)
{
    static const char *const names[] = {"model.json", "model.espy", "7",     "a.npy", "b.npy",
                                        "c.npy",      "d.npy",      "p.png", "x.npy"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        (void)unlink(names[i]);
    cr_expect_eq(rmdir(folder), 0, "the program left a file in %s", folder);
}

static void expect_array(const char *path, espy_dtype dtype, size_t count, const double *wanted)
{
    struct cli_message message;
    struct npy array;
    cr_assert(espy_npy_read(path, &array, &message), "%s", message.text);
    cr_assert_eq(array.dtype, dtype, "%s", path);
    cr_assert_eq(array.size, count * espy_dtype_size(dtype), "%s: %zu bytes", path, array.size);
    for (size_t i = 0; i < count; i++) {
        const double value = dtype == ESPY_INT64   ? (double)((int64_t *)array.data)[i]
                             : dtype == ESPY_INT32 ? (double)((int32_t *)array.data)[i]
                                                   : (double)((float *)array.data)[i];
        cr_expect_float_eq(value, wanted[i], 1e-6, "%s[%zu] is %g", path, i, value);
    }
    espy_npy_free(&array);
}

Test(inputs, lists_are_numbers_or_words_that_labels_name)
{
    static const char *const labels[] = {"<pad>", "the", "Cat", "cat", "sat on", "7", "DOG"};
    static const struct {
        const char *text;
        bool labelled;
        size_t count; // 0: no list
        int64_t values[4];
    } cases[] = {
        {"1,5,3", false, 3, {1, 5, 3}},
        {" 1 , 5 ", false, 2, {1, 5}},
        {"-4", false, 1, {-4}},
        {"1 5", false, 0, {0}},
        {"1,,5", false, 0, {0}},
        {"1,", false, 0, {0}},
        {"", false, 0, {0}},
        {"nan", false, 0, {0}},
        {"1x", false, 0, {0}},
        {"cat", false, 0, {0}},
        {"1,5,3", true, 3, {1, 5, 3}},
        {"7", true, 1, {7}},            // a number alone is one
        {"7 7", true, 2, {5, 5}},       // but words with blanks are words
        {"the cat", true, 2, {1, 3}},   // exactly so before another case
        {"THE  dog ", true, 2, {1, 6}}, // in another case where only one is
        {"CAT", true, 0, {0}},          // two are
        {"sat on", true, 1, {4}},       // a label that has a blank in it
        {"the, sat on,2", true, 3, {1, 4, 2}},
        {"the bird", true, 0, {0}},
        {"<pad>", true, 1, {0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct espy_value_info info = {.name = "x",
                                             .dtype = ESPY_INT64,
                                             .label_count = cases[i].labelled ? 7 : 0,
                                             .labels = labels};
        struct cli_values values;
        struct cli_message message = {""};
        int64_t data[8] = {0};
        const bool found = espy_values_parse(cases[i].text, &info, &values, &message);
        cr_assert_eq(found, cases[i].count > 0, "'%s': %s", cases[i].text, message.text);
        cr_expect_eq(found, !*message.text || found);
        if (!found)
            continue;
        cr_assert_eq(values.count, cases[i].count, "'%s': %zu", cases[i].text, values.count);
        const bool fits = espy_values_store(&values, &info, data, &message);
        cr_expect_eq(fits, strcmp(cases[i].text, "7") != 0, "'%s'", cases[i].text);
        for (size_t k = 0; fits && k < values.count; k++)
            cr_expect_eq(data[k], cases[i].values[k], "'%s'[%zu]", cases[i].text, k);
        espy_values_free(&values);
    }
}

Test(inputs, large_integers_are_exact)
{
    const struct espy_value_info info = {.name = "x", .dtype = ESPY_INT64};
    struct cli_values values;
    struct cli_message message;
    int64_t data[2];
    cr_assert(espy_values_parse("9223372036854775807,-9007199254740993", &info, &values, &message));
    cr_assert(espy_values_store(&values, &info, data, &message));
    cr_expect_eq(data[0], INT64_MAX);
    cr_expect_eq(data[1], -9007199254740993);
    espy_values_free(&values);
}

Test(inputs, normal_numbers_are_the_same_everywhere)
{
    static const double first[] = {0.9845279121083984, -0.17586928586197706, -0.712066156240293,
                                   -0.3123445852505078};
    struct cli_random random;
    double sum = 0, squares = 0, fourth = 0, last = 0;
    espy_random_init(&random, 0, 0);
    for (unsigned i = 0; i < 100000; i++) {
        const double value = last = espy_random_normal(&random);
        if (i < 4)
            cr_expect_float_eq(value, first[i], 1e-15, "%u: %.17g", i, value);
        sum += value;
        squares += value * value;
        fourth += value * value * value * value;
    }
    cr_expect_float_eq(last, 0.4686852820120341, 1e-15);
    cr_expect_float_eq(sum / 1e5, 0, 0.01);
    cr_expect_float_eq(squares / 1e5, 1, 0.01);
    cr_expect_float_eq(fourth / 1e5, 3, 0.05);
}

Test(inputs, values_pad_tokens_shape_the_input_and_latents_follow_the_seed)
{
    static const double ids[] = {-1, -5, -9, 0, 0, 0}, k[] = {-3}, f[] = {-0.5, 1000, -7, -2},
                        z[] = {0.6421964498929749, 1.0307979317284837, -1.3537358995473916,
                               1.0827956003664727};
    char folder[64];
    make_folder(folder, model_json);
    must((const char *[]){"run", "model.espy", "-i", "ids=1,5,9", "-i", "k=3", "-i",
                          "f=.5,-1e3,7,2", "--seed", "5", NULL});
    expect_array("a.npy", ESPY_INT64, 6, ids);
    expect_array("b.npy", ESPY_FLOAT32, 4, z);
    expect_array("c.npy", ESPY_INT32, 1, k);
    expect_array("d.npy", ESPY_FLOAT32, 4, f);

    // Twelve tokens are two rows.
    static const double two[] = {-1, -2, -3, -4, -5, -6, -7, -8, -9, -10, -11, -12};
    must((const char *[]){"run", "model.espy", "-i", "ids=1,2,3,4,5,6,7,8,9,10,11,12", "-i", "k=3",
                          "-i", "f=1,2", NULL});
    expect_array("a.npy", ESPY_INT64, 12, two);
    remove_folder(folder);
}

Test(inputs, a_file_that_looks_like_a_value_has_a_path)
{
    static const double k[] = {-0x01010101};
    const struct cli_part raw = {"\1\1\1\1", 4};
    struct cli_message message;
    char folder[64];
    make_folder(folder, model_json);
    cr_assert(espy_file_write("7", &raw, 1, &message));
    must((const char *[]){"run", "model.espy", "-i", "ids=1", "-i", "k=./7", "-i", "f=1,2", NULL});
    expect_array("c.npy", ESPY_INT32, 1, k);
    must((const char *[]){"run", "model.espy", "-i", "ids=1", "-i", "k=7", "-i", "f=1,2", NULL});
    expect_array("c.npy", ESPY_INT32, 1, (const double[]){-7});
    remove_folder(folder);
}

Test(inputs, values_that_do_not_fit_are_explained)
{
    static const struct {
        const char *inputs[3];
        const char *says;
    } cases[] = {
        {{"ids=1", "f=1,2", "k=1,2"}, "input 'k' (1) takes 1 values, not 2"},
        {{"ids=1", "f=1,2", "k=x"}, "'x' is no number"},
        {{"ids=1", "f=1,2", "k="}, "there is no such file"},
        {{"ids=1", "f=1,2", "k=1.5"}, "takes whole numbers (int32), not '1.5'"},
        {{"ids=1", "f=1,2", "k=3000000000"}, "takes whole numbers (int32), not '3000000000'"},
        {{"ids=1", "f=1,2,3", "k=1"}, "not 3"},
        {{"ids=1,2,3,4,5,6,7", "f=1,2", "k=1"}, "takes at most 6 values, not 7"},
        {{"ids=1", "k=1", "z=1"},
         "missing input; give --input NAME=FILE or NAME=VALUES for: 'f' nx2 float32"},
        {{"ids=1", "f=1,2", "f=1,2"}, "given twice: 1,2 and 1,2"},
        {{"ids=1", "f=1,2", "z=1,2,3,4"},
         "missing input; give --input NAME=FILE or NAME=VALUES for: 'k' 1 int32"},
    };
    char folder[64];
    make_folder(folder, model_json);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run((const char *[]){"run", "model.espy", "-i", cases[i].inputs[0], "-i",
                             cases[i].inputs[1], "-i", cases[i].inputs[2], NULL},
            &result);
        cr_expect_eq(result.code, 1, "case %zu: %d", i, result.code);
        cr_expect_eq(line_count(result.err), 1, "case %zu: %s", i, result.err);
        cr_expect_not_null(strstr(result.err, cases[i].says), "case %zu: %s", i, result.err);
    }
    remove_folder(folder);
}

Test(inputs, labels_name_tokens_and_classes_and_the_size_of_the_picture_is_known)
{
    char folder[64];
    struct picture picture;
    struct cli_message message;
    struct npy array;
    make_folder(folder, words_json);
    cr_assert(espy_picture_create(30, 20, &picture, &message));
    for (unsigned i = 0; i < 30 * 20 * 3; i++)
        picture.rgb[i] = (uint8_t)i;
    cr_assert(espy_picture_write_png("p.png", &picture, &message));
    must((const char *[]){"run", "model.espy", "p.png", "-i", "ids=the cat the cat", "-i",
                          "k=red fox", NULL});
    expect_array("a.npy", ESPY_INT32, 4, (const double[]){-1, -2, -1, -2});
    expect_array("b.npy", ESPY_INT64, 1, (const double[]){0});
    expect_array("c.npy", ESPY_INT64, 2, (const double[]){-30, -20});
    // The pixels are the picture's own.
    cr_assert(espy_npy_read("x.npy", &array, &message), "%s", message.text);
    cr_assert_eq(array.size, 30 * 20 * 3);
    cr_expect_arr_eq(array.data, picture.rgb, array.size);
    espy_npy_free(&array);
    espy_picture_free(&picture);
    must((const char *[]){"run", "model.espy", "p.png", "-i", "ids=2", "-i", "k=Hen", "-i", "s=3,4",
                          NULL});
    expect_array("b.npy", ESPY_INT64, 1, (const double[]){-1});
    expect_array("c.npy", ESPY_INT64, 2, (const double[]){-3, -4});

    static const struct {
        const char *ids, *k, *says;
    } wrong[] = {
        {"ids=the dog", "k=hen", "'dog' is neither a number nor a label: <pad>, the, cat"},
        {"ids=1,2,3", "k=hen", "input 'ids' takes 0 to 2, as many as it has labels, not 3"},
        {"ids=1", "k=-1", "input 'k' takes 0 to 1, as many as it has labels, not -1"},
        {"ids=1", "k=fox", "'fox' is neither"},
        {"ids=1", "ids=2", "given twice: 1 and 2"},
        {"ids=1", "k=hen,hen", "input 'k' (1) takes 1 values, not 2"},
    };
    run((const char *[]){"run", "model.espy", "p.png", NULL}, &result);
    cr_expect_not_null(strstr(result.err,
                              "missing inputs; give --input NAME=FILE or NAME=VALUES for: "
                              "'ids' 1xn int32 (<pad>, the, cat), "
                              "'k' 1 int64 (red fox, hen)\n"),
                       "%s", result.err);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        run((const char *[]){"run", "model.espy", "p.png", "-i", wrong[i].ids, "-i", wrong[i].k,
                             NULL},
            &result);
        cr_expect_eq(result.code, 1, "case %zu", i);
        cr_expect_eq(line_count(result.err), 1, "case %zu: %s", i, result.err);
        cr_expect_not_null(strstr(result.err, wrong[i].says), "case %zu: %s", i, result.err);
    }
    remove_folder(folder);
}
