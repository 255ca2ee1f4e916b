// symlink and mkdir are POSIX.
#define _XOPEN_SOURCE 700

// Goal: what the converter reads it reads exactly, what it refuses it refuses whole and by name,
// and no file makes it read or write where it should not. Method: models built here field by field,
// and the shared ones.

#include "test_convert_model.h"

#include <dirent.h>
#include <math.h>

#include "convert/convert_internal.h"
#include "support/run_graph.h"

// ---- helpers ------------------------------------------------------------------------------------

// A conversion and everything around it.
struct conversion {
    struct test_host host;
    struct test_model onnx;
    struct convert_params params;
    struct convert_report report;
    struct convert_model *model;
};

static void start(struct conversion *c, int64_t opset)
{
    memset(c, 0, sizeof(*c));
    espy_test_host_init(&c->host);
    test_model_init(&c->onnx, &c->host.host, opset);
    c->params.model_path = test_text(&c->onnx, test_path("model.onnx"));
}

static espy_status convert(struct conversion *c)
{
    test_save(&c->onnx, c->params.model_path);
    espy_convert_report_init(&c->report, &c->host.host);
    return espy_convert_graph(&c->host.host, &c->params, &c->report, &c->model);
}

// Imports without looking at whether operators are supported.
static struct graph *import(struct conversion *c)
{
    test_save(&c->onnx, c->params.model_path);
    const struct host *host = &c->host.host;
    espy_convert_report_init(&c->report, host);
    c->model = espy_alloc(host, sizeof(*c->model));
    cr_assert_not_null(c->model);
    c->model->host = host;
    espy_arena_init(&c->model->arena, host);
    espy_graph_init(&c->model->graph, host);
    cr_assert_eq(espy_format_file_open(host, c->params.model_path, &c->model->file), ESPY_OK);
    cr_assert_eq(espy_onnx_parse(c->model, c->params.model_path), ESPY_OK, "%s",
                 c->host.last_error);
    cr_assert_eq(espy_onnx_import(c->model, &c->params, &c->report), ESPY_OK, "%s",
                 c->host.last_error);
    cr_expect_eq(c->report.problem_count, 0, "%s",
                 c->report.problem_count > 0 ? c->report.problems[0].reason : "");
    cr_assert_eq(espy_graph_prune(&c->model->graph), ESPY_OK);
    cr_assert_eq(espy_graph_check(&c->model->graph), ESPY_OK, "%s", c->host.last_error);
    return &c->model->graph;
}

static void finish(struct conversion *c)
{
    espy_convert_model_destroy(&c->model);
    espy_convert_report_finish(&c->report);
    test_model_finish(&c->onnx);
    cr_expect_eq(c->host.live_count, 0, "%zu allocations are left", c->host.live_count);
}

static const struct graph_value *input_value(const struct graph *graph, uint32_t node, uint32_t i)
{
    cr_assert_lt(node, graph->node_count);
    cr_assert_lt(i, graph->nodes[node].input_count);
    cr_assert_neq(graph->nodes[node].inputs[i], GRAPH_NONE);
    return &graph->values[graph->nodes[node].inputs[i]];
}

static void expect_integers(const struct graph *graph, uint32_t node, uint32_t i,
                            const int64_t *wanted, size_t count)
{
    const struct graph_value *value = input_value(graph, node, i);
    cr_assert_eq(value->dtype, ESPY_INT64);
    cr_assert_eq(value->data_size, count * sizeof(*wanted));
    cr_expect_arr_eq(value->data, wanted, value->data_size);
}

static void expect_attr(const struct graph *graph, uint32_t node, const char *name, double wanted)
{
    const struct graph_attr *attr = espy_graph_find_attr(&graph->nodes[node], name);
    cr_assert_not_null(attr, "no attribute %s", name);
    cr_expect_eq(attr->numbers[0], wanted, "%s is %g", name, attr->numbers[0]);
}

static void expect_text(const struct graph *graph, uint32_t node, const char *name,
                        const char *wanted)
{
    const struct graph_attr *attr = espy_graph_find_attr(&graph->nodes[node], name);
    cr_assert_not_null(attr, "no attribute %s", name);
    cr_expect_str_eq(attr->strings[0], wanted);
}

// ---- problems -----------------------------------------------------------------------------------

Test(convert, all_unsupported_things_are_listed_at_once_and_nothing_is_written)
{
    struct conversion c;
    start(&c, 17);
    test_input(&c.onnx, "x", ONNX_FLOAT, "1 4");
    test_node(&c.onnx, "Relu", "x", "a")->name = "good";
    test_node(&c.onnx, "NoSuchOperator", "a", "b")->name = "first";
    test_node(&c.onnx, "Relu", "b", "c")->domain = "com.example";
    test_attribute(&c.onnx, test_node(&c.onnx, "Relu", "c", "d"), "tensors", 9);
    test_initializer(&c.onnx, "names", 8, NULL, 0, NULL, 0); // strings
    test_node(&c.onnx, "AnotherOne", "d names", "y")->name = "last";
    test_output(&c.onnx, "y");
    char output[128];
    snprintf(output, sizeof(output), "%s", test_path("never.espy"));
    c.params.output_path = output;
    test_save(&c.onnx, c.params.model_path);
    espy_convert_report_init(&c.report, &c.host.host);
    cr_expect_eq(espy_convert_file(&c.host.host, &c.params, &c.report), ESPY_UNSUPPORTED);
    static const char *const wanted[] = {"names", "Relu_3", "Relu_4", "first", "last"};
    cr_assert_eq(c.report.problem_count, 5);
    for (size_t w = 0; w < 5; w++) {
        bool found = false;
        for (uint32_t i = 0; i < c.report.problem_count; i++)
            found = found || strcmp(c.report.problems[i].node, wanted[w]) == 0;
        cr_expect(found, "%s is not listed", wanted[w]);
    }
    struct stat info;
    cr_expect_neq(stat(output, &info), 0, "a file was written");
    cr_expect_eq(c.host.error_count, 1);
    finish(&c);
}

Test(convert, opsets_too_old_or_too_new_are_refused)
{
    static const int64_t opsets[] = {-1, 0, CONVERT_OPSET_MAX + 1, INT64_MAX};
    for (size_t i = 0; i < sizeof(opsets) / sizeof(opsets[0]); i++) {
        struct conversion c;
        start(&c, opsets[i]);
        test_input(&c.onnx, "x", ONNX_FLOAT, "1 4");
        test_node(&c.onnx, "Relu", "x", "y");
        test_output(&c.onnx, "y");
        cr_expect_eq(convert(&c), ESPY_UNSUPPORTED, "opset %lld", (long long)opsets[i]);
        cr_expect_eq(c.host.error_count, 1);
        finish(&c);
    }
}

// Each mistake in a model of its own.
static void expect_bad(struct conversion *c, const char *what)
{
    cr_expect_eq(convert(c), ESPY_BAD_FORMAT, "%s", what);
    cr_expect_eq(c->host.error_count, 1, "%s: %u errors", what, (unsigned)c->host.error_count);
    cr_expect_null(c->model);
    finish(c);
}

Test(convert, broken_graphs_are_refused)
{
    struct conversion c;
    start(&c, 17);
    test_input(&c.onnx, "x", ONNX_FLOAT, "4");
    test_node(&c.onnx, "Relu", "x", "y");
    test_node(&c.onnx, "Relu", "x", "y");
    test_output(&c.onnx, "y");
    expect_bad(&c, "two nodes make one value");

    start(&c, 17);
    test_input(&c.onnx, "x", ONNX_FLOAT, "4");
    test_node(&c.onnx, "Relu", "nowhere", "y");
    test_output(&c.onnx, "y");
    expect_bad(&c, "a value that nothing makes");

    start(&c, 17);
    test_input(&c.onnx, "x", ONNX_FLOAT, "4");
    test_node(&c.onnx, "Add", "x b", "a");
    test_node(&c.onnx, "Relu", "a", "b");
    test_output(&c.onnx, "b");
    expect_bad(&c, "a cycle");

    start(&c, 17);
    test_input(&c.onnx, "x", ONNX_FLOAT, "4");
    test_output(&c.onnx, "y");
    expect_bad(&c, "an output that nothing makes");
}

Test(convert, tensors_whose_data_does_not_fit_are_refused)
{
    static const float numbers[4] = {1, 2, 3, 4};
    static const int64_t dims[][2] = {{2, 3}, {-1, 4}, {INT64_MAX, INT64_MAX}, {4, 0}};
    for (size_t i = 0; i < sizeof(dims) / sizeof(dims[0]); i++) {
        struct conversion c;
        start(&c, 17);
        test_input(&c.onnx, "x", ONNX_FLOAT, "4");
        test_initializer(&c.onnx, "w", ONNX_FLOAT, dims[i], 2, numbers, sizeof(numbers));
        test_node(&c.onnx, "Add", "x w", "y");
        test_output(&c.onnx, "y");
        if (dims[i][1] != 0) {
            expect_bad(&c, "shape and data");
            continue;
        }
        import(&c); // no elements: the data is not looked at
        finish(&c);
    }
}

// ---- tensors ------------------------------------------------------------------------------------

Test(convert, every_way_to_write_a_tensor_gives_the_same_numbers)
{
    struct conversion c;
    start(&c, 17);
    static const int64_t dims[1] = {2};
    static float floats[2] = {1.5f, -2};
    static double doubles[2] = {1.5, -2};
    static int64_t longs[2] = {3, INT64_MIN};
    static uint64_t wide[2] = {7, UINT32_MAX};
    static int32_t ints[2] = {-5, 100}, halves[2] = {0x3c00, 0xc000}, bools[2] = {0, 7};
    static const unsigned char raw_bools[2] = {0, 9};
    struct {
        int32_t type;
        size_t count;
    } const typed[] = {{1, 2}, {11, 2}, {7, 2}, {12, 2}, {13, 2}, {3, 2}, {10, 2}, {9, 2}, {6, 2}};
    for (size_t i = 0; i < sizeof(typed) / sizeof(typed[0]); i++) {
        char name[16];
        snprintf(name, sizeof(name), "t%zu", i);
        EspyOnnx__TensorProto *t = test_initializer(&c.onnx, name, typed[i].type, dims, 1, NULL, 0);
        t->n_float_data = typed[i].type == 1 ? 2 : 0;
        t->float_data = floats;
        t->n_double_data = typed[i].type == 11 ? 2 : 0;
        t->double_data = doubles;
        t->n_int64_data = typed[i].type == 7 ? 2 : 0;
        t->int64_data = longs;
        t->n_uint64_data = typed[i].type == 12 || typed[i].type == 13 ? 2 : 0;
        t->uint64_data = wide;
        const bool small =
            t->n_float_data + t->n_double_data + t->n_int64_data + t->n_uint64_data == 0;
        t->n_int32_data = small ? 2 : 0;
        t->int32_data = typed[i].type == 10 ? halves : typed[i].type == 9 ? bools : ints;
        test_output(&c.onnx, name);
    }
    test_initializer(&c.onnx, "raw", ONNX_BOOL, dims, 1, raw_bools, sizeof(raw_bools));
    test_output(&c.onnx, "raw");
    test_input(&c.onnx, "x", ONNX_FLOAT, "4");
    const struct graph *graph = import(&c);
    static const double wanted[][2] = {{1.5, -2},
                                       {1.5, -2},
                                       {3, -9223372036854775808.0},
                                       {7, 4294967295.0},
                                       {7, 4294967295.0},
                                       {-5, 100},
                                       {1, -2},
                                       {0, 1},
                                       {-5, 100},
                                       {0, 1}};
    for (uint32_t i = 0; i < graph->output_count; i++) {
        const struct graph_value *value = &graph->values[graph->outputs[i].value];
        unsigned char bytes[16];
        memcpy(bytes, value->data, value->data_size);
        const struct tensor tensor = {
            .type = {value->dtype, value->shape}, .count = 2, .data = bytes};
        for (size_t k = 0; k < 2; k++)
            cr_expect_eq(espy_tensor_number(&tensor, k), wanted[i][k], "%s[%zu] is %g", value->name,
                         k, espy_tensor_number(&tensor, k));
    }
    finish(&c);
}

// Elements that share bytes: raw, as whole bytes in int32_data, and with rubbish after the last.
Test(convert, small_types_are_taken_in_both_ways_that_tensors_are_written)
{
    static const struct {
        const char *name;
        int32_t type; // ONNX's number
        espy_dtype dtype;
        unsigned char bytes[2];
        double wanted[3];
    } cases[] = {{"int4", 22, ESPY_INT4, {0x98, 0xf7}, {-8, -7, 7}},
                 {"uint4", 21, ESPY_UINT4, {0x98, 0xf7}, {8, 9, 7}},
                 {"int2", 26, ESPY_INT2, {0xf9, 0}, {1, -2, -1}},
                 {"uint2", 25, ESPY_UINT2, {0xf9, 0}, {1, 2, 3}},
                 {"float4e2m1", 23, ESPY_FLOAT4E2M1, {0x2f, 0xf7}, {-6, 1, 6}}};
    enum { COUNT = sizeof(cases) / sizeof(cases[0]) };
    static const int64_t dims[1] = {3};
    static int32_t words[COUNT][2];
    struct conversion c;
    start(&c, 25);
    for (size_t i = 0; i < COUNT; i++) {
        const size_t size = cases[i].bytes[1] == 0 ? 1 : 2;
        char name[32];
        snprintf(name, sizeof(name), "%s_raw", cases[i].name);
        test_initializer(&c.onnx, name, cases[i].type, dims, 1, cases[i].bytes, size);
        test_output(&c.onnx, name);
        EspyOnnx__TensorProto *typed =
            test_initializer(&c.onnx, cases[i].name, cases[i].type, dims, 1, NULL, 0);
        words[i][0] = cases[i].bytes[0];
        words[i][1] = cases[i].bytes[1];
        typed->n_int32_data = size;
        typed->int32_data = words[i];
        test_output(&c.onnx, cases[i].name);
    }
    test_input(&c.onnx, "x", ONNX_FLOAT, "4");
    const struct graph *graph = import(&c);
    cr_assert_eq(graph->output_count, 2 * COUNT);
    for (uint32_t o = 0; o < graph->output_count; o++) {
        const struct graph_value *value = &graph->values[graph->outputs[o].value];
        unsigned char bytes[16];
        memcpy(bytes, value->data, value->data_size);
        const struct tensor tensor = {
            .type = {value->dtype, value->shape}, .count = 3, .data = bytes};
        cr_expect_eq(value->dtype, cases[o / 2].dtype, "%s", value->name);
        for (size_t k = 0; k < 3; k++)
            cr_expect_eq(espy_tensor_number(&tensor, k), cases[o / 2].wanted[k], "%s[%zu] is %g",
                         value->name, k, espy_tensor_number(&tensor, k));
    }
    cr_expect_eq(espy_graph_check(graph), ESPY_OK); // so the bits after the last are zero
    finish(&c);
}

Test(convert, types_that_are_only_stored_are_refused_where_they_would_be_computed_with)
{
    static const struct {
        int32_t type;
        const char *name;
    } cases[] = {{22, "int4"}, {25, "uint2"}, {17, "float8e4m3fn"}, {23, "float4e2m1"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char words[64];
        struct conversion c;
        start(&c, 25);
        test_input(&c.onnx, "x", cases[i].type, "4");
        test_node(&c.onnx, "Add", "x x", "y")->name = "sum";
        test_output(&c.onnx, "y");
        cr_expect_eq(convert(&c), ESPY_UNSUPPORTED, "%s", cases[i].name);
        cr_assert_eq(c.report.problem_count, 1);
        cr_expect_str_eq(c.report.problems[0].node, "sum");
        snprintf(words, sizeof(words), "does not take %s", cases[i].name);
        cr_expect(strstr(c.report.problems[0].reason, words) != NULL, "%s",
                  c.report.problems[0].reason);
        finish(&c);
    }
}

static espy_status import_external(struct conversion *c, const char *location, const char *offset,
                                   const char *length)
{
    static const int64_t dims[1] = {2};
    static EspyOnnx__StringStringEntryProto entries[3],
        *list[3] = {&entries[0], &entries[1], &entries[2]};
    static const char *const keys[3] = {"location", "offset", "length"};
    const char *const texts[3] = {location, offset, length};
    start(c, 17);
    EspyOnnx__TensorProto *tensor = test_initializer(&c->onnx, "w", ONNX_FLOAT, dims, 1, NULL, 0);
    for (size_t i = 0; i < 3; i++) {
        espy_onnx__string_string_entry_proto__init(&entries[i]);
        entries[i].key = test_text(&c->onnx, keys[i]);
        entries[i].value = test_text(&c->onnx, texts[i]);
    }
    tensor->external_data = list;
    tensor->n_external_data = 3;
    tensor->has_data_location = 1;
    tensor->data_location = 1;
    test_input(&c->onnx, "x", ONNX_FLOAT, "2");
    test_node(&c->onnx, "Relu", "x", "y");
    test_output(&c->onnx, "y");
    test_output(&c->onnx, "w");
    return convert(c);
}

Test(convert, external_data_stays_inside_the_folder_of_the_model)
{
    static const float numbers[4] = {1, 2, 3, 4};
    char path[256], outside[256];
    test_write(test_path("weights.bin"), numbers, sizeof(numbers));
    snprintf(outside, sizeof(outside), "%s_outside", test_folder());
    test_write(outside, numbers, sizeof(numbers));
    snprintf(path, sizeof(path), "%s/link.bin", test_folder());
    cr_assert_eq(symlink(outside, path), 0);
    snprintf(path, sizeof(path), "%s/sub", test_folder());
    mkdir(path, 0700);
    const char *up = strrchr(outside, '/') + 1;
    char climbing[256], through[256];
    snprintf(climbing, sizeof(climbing), "../%s", up);
    snprintf(through, sizeof(through), "sub/../../%s", up);
    const struct {
        const char *location, *offset, *length;
        bool good;
    } cases[] = {
        {"weights.bin", "4", "8", true},
        {"./weights.bin", "8", "8", true},
        {climbing, "0", "8", false},
        {through, "0", "8", false},
        {outside, "0", "8", false},
        {"link.bin", "0", "8", false},
        {"sub", "0", "8", false},
        {"", "0", "8", false},
        {"missing.bin", "0", "8", false},
        {"weights.bin", "12", "8", false},
        {"weights.bin", "0", "12", false},
        {"weights.bin", "-4", "8", false},
        {"weights.bin", "1e1", "8", false},
        {"weights.bin", "18446744073709551615", "8", false},
        {"weights.bin", "99999999999999999999", "8", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct conversion c;
        const espy_status status =
            import_external(&c, cases[i].location, cases[i].offset, cases[i].length);
        if (cases[i].good)
            cr_expect_neq(status, ESPY_BAD_FORMAT, "%s: %s", cases[i].location, c.host.last_error);
        else
            cr_expect_eq(status, ESPY_BAD_FORMAT, "%s at %s is read", cases[i].location,
                         cases[i].offset);
        finish(&c);
    }
    unlink(outside);
}

// ---- opsets -------------------------------------------------------------------------------------

Test(convert, attributes_of_old_opsets_become_inputs)
{
    struct conversion c;
    start(&c, 9);
    static const int64_t one[1] = {1}, starts[2] = {0, 1}, ends[2] = {1, INT64_MAX};
    static const int64_t pads[8] = {0, 0, 1, 1, 0, 0, 1, 1};
    test_input(&c.onnx, "x", ONNX_FLOAT, "1 3 4 4");
    EspyOnnx__NodeProto *node = test_node(&c.onnx, "Slice", "x", "a");
    test_ints(&c.onnx, node, "starts", starts, 2);
    test_ints(&c.onnx, node, "ends", ends, 2);
    node = test_node(&c.onnx, "Pad", "a", "b");
    test_ints(&c.onnx, node, "pads", pads, 8);
    test_float(&c.onnx, node, "value", 2.5f);
    node = test_node(&c.onnx, "Clip", "b", "c");
    test_float(&c.onnx, node, "max", 6);
    node = test_node(&c.onnx, "ReduceMean", "c", "d");
    test_ints(&c.onnx, node, "axes", one, 1);
    node = test_node(&c.onnx, "Unsqueeze", "d", "e");
    test_ints(&c.onnx, node, "axes", one, 1);
    node = test_node(&c.onnx, "TopK", "e", "f g");
    test_int(&c.onnx, node, "k", 3);
    node = test_node(&c.onnx, "Split", "f", "h i");
    test_int(&c.onnx, node, "axis", 1);
    test_output(&c.onnx, "h");
    test_output(&c.onnx, "i");
    const struct graph *graph = import(&c);
    cr_assert_eq(graph->node_count, 7);
    expect_integers(graph, 0, 1, starts, 2);
    expect_integers(graph, 0, 2, ends, 2);
    expect_integers(graph, 1, 1, pads, 8);
    cr_expect_eq(input_value(graph, 1, 2)->dtype, ESPY_FLOAT32);
    cr_expect_eq(input_value(graph, 1, 2)->shape.rank, 0);
    cr_expect_eq(*(const float *)input_value(graph, 1, 2)->data, 2.5f);
    cr_expect_eq(graph->nodes[2].inputs[1], GRAPH_NONE);
    cr_expect_eq(*(const float *)input_value(graph, 2, 2)->data, 6);
    expect_integers(graph, 3, 1, one, 1);
    expect_integers(graph, 4, 1, one, 1);
    expect_integers(graph, 5, 1, &(int64_t){3}, 1);
    expect_attr(graph, 6, "num_outputs", 2);
    finish(&c);
}

Test(convert, operators_of_old_opsets_are_brought_to_the_newest_form)
{
    struct conversion c;
    start(&c, 9);
    static const float scales[4] = {1, 1, 2, 2};
    static const int64_t four[1] = {4};
    test_input(&c.onnx, "x", ONNX_FLOAT, "1 3 4 4");
    test_initializer(&c.onnx, "scales", ONNX_FLOAT, four, 1, scales, sizeof(scales));
    EspyOnnx__NodeProto *node = test_node(&c.onnx, "Upsample", "x scales", "a");
    test_string(&c.onnx, node, "mode", "linear");
    test_float(&c.onnx, test_node(&c.onnx, "Dropout", "a", "b"), "ratio", 0.5f);
    test_node(&c.onnx, "Softmax", "b", "c");
    test_output(&c.onnx, "c");
    const struct graph *graph = import(&c);
    cr_assert_eq(graph->node_count, 6);
    cr_expect_str_eq(graph->nodes[0].op, "Resize");
    expect_text(graph, 0, "coordinate_transformation_mode", "asymmetric");
    expect_text(graph, 0, "nearest_mode", "floor");
    expect_text(graph, 0, "mode", "linear");
    cr_expect_eq(graph->nodes[0].inputs[1], GRAPH_NONE);
    cr_expect_str_eq(input_value(graph, 0, 2)->name, "scales");
    cr_expect_str_eq(graph->nodes[1].op, "Identity");
    cr_expect_eq(graph->nodes[1].attr_count, 0);
    static const char *const softmax[] = {"Flatten", "Softmax", "Shape", "Reshape"};
    for (size_t i = 0; i < 4; i++) {
        bool found = false;
        for (uint32_t n = 2; n < 6; n++)
            found = found || strcmp(graph->nodes[n].op, softmax[i]) == 0;
        cr_expect(found, "no %s", softmax[i]);
    }
    finish(&c);
}

// torch spreads 4 elements over floor(1.7 * 4) = 6 places, ONNX over 6.8: only sizes say the
// former.
Test(convert, scales_of_torch_that_align_corners_become_sizes)
{
    static const char *const producers[2] = {"pytorch", "another"};
    for (size_t i = 0; i < 2; i++) {
        struct conversion c;
        start(&c, 17);
        static const float scales[4] = {1, 1, 1.7f, 0.5f};
        static const int64_t four[1] = {4};
        c.onnx.proto.producer_name = test_text(&c.onnx, producers[i]);
        test_input(&c.onnx, "x", ONNX_FLOAT, "1 3 4 4");
        test_initializer(&c.onnx, "scales", ONNX_FLOAT, four, 1, scales, sizeof(scales));
        EspyOnnx__NodeProto *node = test_node(&c.onnx, "Resize", "x - scales", "y");
        test_string(&c.onnx, node, "mode", "linear");
        test_string(&c.onnx, node, "coordinate_transformation_mode", "align_corners");
        test_output(&c.onnx, "y");
        const struct graph *graph = import(&c);
        const struct graph_node *resize = &graph->nodes[graph->node_count - 1];
        cr_assert_str_eq(resize->op, "Resize");
        cr_expect_eq(resize->input_count, i == 0 ? 4 : 3);
        cr_expect_eq(resize->inputs[2] == GRAPH_NONE, i == 0);
        finish(&c);
    }
}

Test(convert, constants_of_shapes_keep_numbers_that_json_cannot_write)
{
    struct conversion c;
    start(&c, 17);
    static const int64_t one[1] = {1};
    const float numbers[2] = {2.5f, -INFINITY};
    test_input(&c.onnx, "s", ONNX_INT64, "2");
    for (size_t i = 0; i < 2; i++) {
        char name[2] = {(char)('a' + i), '\0'};
        EspyOnnx__NodeProto *node = test_node(&c.onnx, "ConstantOfShape", "s", name);
        test_attribute(&c.onnx, node, "value", 4)->t =
            test_tensor(&c.onnx, "", ONNX_FLOAT, one, 1, &numbers[i], sizeof(numbers[i]));
        test_output(&c.onnx, name);
    }
    const struct graph *graph = import(&c);
    cr_assert_eq(graph->node_count, 2);
    cr_expect_str_eq(graph->nodes[0].op, "ConstantOfShape");
    expect_attr(graph, 0, "value", 2.5);
    expect_text(graph, 0, "dtype", "float32");
    cr_expect_str_eq(graph->nodes[1].op, "Expand");
    cr_expect_eq(*(const float *)input_value(graph, 1, 0)->data, -INFINITY);
    cr_expect_str_eq(input_value(graph, 1, 1)->name, "s");
    finish(&c);
}

// ---- functions and branches ---------------------------------------------------------------------

Test(convert, functions_are_written_out_with_the_attributes_of_the_call)
{
    struct conversion c;
    start(&c, 17);
    EspyOnnx__FunctionProto function, *functions[1] = {&function};
    espy_onnx__function_proto__init(&function);
    function.name = test_text(&c.onnx, "Twice");
    function.domain = test_text(&c.onnx, "com.example");
    function.input = test_names(&c.onnx, "in", &function.n_input);
    function.output = test_names(&c.onnx, "out in", &function.n_output);
    EspyOnnx__NodeProto *body[2];
    body[0] = test_node(&c.onnx, "Elu", "in", "middle");
    test_attribute(&c.onnx, body[0], "alpha", 1)->ref_attr_name = test_text(&c.onnx, "slope");
    body[1] = test_node(&c.onnx, "Relu", "middle", "out");
    c.onnx.graph.n_node = 0;
    function.node = body;
    function.n_node = 2;
    c.onnx.proto.functions = functions;
    c.onnx.proto.n_functions = 1;
    test_input(&c.onnx, "x", ONNX_FLOAT, "4");
    EspyOnnx__NodeProto *call = test_node(&c.onnx, "Twice", "x", "y z");
    call->domain = test_text(&c.onnx, "com.example");
    test_float(&c.onnx, call, "slope", 0.25f);
    test_output(&c.onnx, "y");
    test_output(&c.onnx, "z");
    const struct graph *graph = import(&c);
    cr_assert_eq(graph->node_count, 3);
    for (uint32_t n = 0; n < 3; n++)
        if (strcmp(graph->nodes[n].op, "Elu") == 0)
            expect_attr(graph, n, "alpha", 0.25);
    cr_expect_str_eq(graph->values[graph->outputs[0].value].name, "y");
    finish(&c);
}

Test(convert, functions_that_call_themselves_are_refused)
{
    struct conversion c;
    start(&c, 17);
    EspyOnnx__FunctionProto function, *functions[1] = {&function};
    espy_onnx__function_proto__init(&function);
    function.name = test_text(&c.onnx, "Loop");
    function.domain = test_text(&c.onnx, "d");
    function.input = test_names(&c.onnx, "in", &function.n_input);
    function.output = test_names(&c.onnx, "out", &function.n_output);
    EspyOnnx__NodeProto *body[1] = {test_node(&c.onnx, "Loop", "in", "out")};
    body[0]->domain = test_text(&c.onnx, "d");
    c.onnx.graph.n_node = 0;
    function.node = body;
    function.n_node = 1;
    c.onnx.proto.functions = functions;
    c.onnx.proto.n_functions = 1;
    test_input(&c.onnx, "x", ONNX_FLOAT, "4");
    test_node(&c.onnx, "Loop", "x", "y")->domain = test_text(&c.onnx, "d");
    test_output(&c.onnx, "y");
    expect_bad(&c, "a function in itself");
}

static EspyOnnx__GraphProto *branch(struct test_model *model, const char *op)
{
    EspyOnnx__GraphProto *graph = test_new(model, sizeof(*graph));
    espy_onnx__graph_proto__init(graph);
    graph->node = test_new(model, sizeof(*graph->node));
    graph->node[0] = test_node(model, op, "x", "r");
    model->graph.n_node--;
    graph->n_node = 1;
    graph->output = test_new(model, sizeof(*graph->output));
    graph->output[0] = test_value(model, "r", ONNX_FLOAT, "4");
    graph->n_output = 1;
    return graph;
}

Test(convert, the_branch_of_a_known_condition_replaces_the_node)
{
    for (int taken = 0; taken < 2; taken++) {
        struct conversion c;
        start(&c, 17);
        const unsigned char condition = taken == 0;
        test_initializer(&c.onnx, "condition", ONNX_BOOL, NULL, 0, &condition, 1);
        test_input(&c.onnx, "x", ONNX_FLOAT, "4");
        EspyOnnx__NodeProto *node = test_node(&c.onnx, "If", "condition", "y");
        test_attribute(&c.onnx, node, "then_branch", 5)->g = branch(&c.onnx, "Abs");
        test_attribute(&c.onnx, node, "else_branch", 5)->g = branch(&c.onnx, "Neg");
        test_output(&c.onnx, "y");
        cr_assert_eq(convert(&c), ESPY_OK, "%s", c.host.last_error);
        const struct graph *graph = espy_convert_model_graph(c.model);
        cr_assert_eq(graph->node_count, 1);
        cr_expect_str_eq(graph->nodes[0].op, taken == 0 ? "Abs" : "Neg");
        cr_expect_eq(c.report.counts.bodies, 1);
        cr_expect_str_eq(graph->values[graph->outputs[0].value].name, "y");
        finish(&c);
    }
}

// ---- shapes and metadata ------------------------------------------------------------------------

Test(convert, shapes_are_parsed_or_refused)
{
    struct test_host host;
    struct arena arena;
    struct convert_shape shape;
    espy_test_host_init(&host);
    espy_arena_init(&arena, &host.host);
    cr_assert_eq(espy_convert_parse_shape(&arena, "a=b=1x3x0x224", &shape), ESPY_OK);
    cr_expect_str_eq(shape.name, "a=b");
    cr_expect_eq(shape.shape.rank, 4);
    cr_expect_eq(shape.shape.dims[3], 224);
    cr_assert_eq(espy_convert_parse_shape(&arena, "a=scalar", &shape), ESPY_OK);
    cr_expect_eq(shape.shape.rank, 0);
    static const char *const wrong[] = {"",
                                        "a",
                                        "=1x2",
                                        "a=",
                                        "a=x",
                                        "a=1x",
                                        "a=1x-2",
                                        "a=1 x2",
                                        "a=1x2x3x4x5x6x7x8x9",
                                        "a=99999999999999999999",
                                        "a=1.5"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        cr_expect_eq(espy_convert_parse_shape(&arena, wrong[i], &shape), ESPY_INVALID_ARGUMENT,
                     "'%s'", wrong[i]);
    cr_expect_eq(host.error_count, sizeof(wrong) / sizeof(wrong[0]));
    espy_arena_finish(&arena);
    cr_expect_eq(host.live_count, 0);
}

static espy_status convert_symbolic(struct conversion *c, const char *shape)
{
    struct arena arena;
    struct convert_shape parsed;
    start(c, 17);
    espy_arena_init(&arena, &c->host.host);
    test_input(&c->onnx, "x", ONNX_FLOAT, "batch 3 ?");
    test_input(&c->onnx, "y", ONNX_FLOAT, "batch 3 1");
    test_node(&c->onnx, "Relu", "x", "a");
    test_node(&c->onnx, "Relu", "y", "b");
    test_output(&c->onnx, "a");
    test_output(&c->onnx, "b");
    c->onnx.outputs[0] = test_value(&c->onnx, "a", ONNX_FLOAT, "batch 3 ?");
    if (shape != NULL) {
        cr_assert_eq(espy_convert_parse_shape(&arena, shape, &parsed), ESPY_OK);
        c->params.shapes = &parsed;
        c->params.shape_count = 1;
    }
    const espy_status status = convert(c);
    espy_arena_finish(&arena);
    return status;
}

Test(convert, symbols_stay_until_a_shape_is_given)
{
    struct conversion c;
    cr_assert_eq(convert_symbolic(&c, NULL), ESPY_OK, "%s", c.host.last_error);
    const struct graph *graph = espy_convert_model_graph(c.model);
    const struct graph_value *x = &graph->values[graph->inputs[0].value];
    cr_expect_eq(x->shape.dims[0], -1);
    cr_expect_str_eq(x->symbols[0], "batch");
    cr_expect_eq(x->shape.dims[1], 3);
    cr_expect_eq(x->shape.dims[2], -1);
    cr_expect_not_null(x->symbols[2]);
    const struct graph_value *a = &graph->values[graph->outputs[0].value];
    cr_expect_eq(a->dtype, ESPY_FLOAT32);
    cr_expect_str_eq(a->symbols[0], "batch");
    finish(&c);
    cr_assert_eq(convert_symbolic(&c, "x=5x3x7"), ESPY_OK, "%s", c.host.last_error);
    graph = espy_convert_model_graph(c.model);
    cr_expect_eq(graph->values[graph->inputs[0].value].shape.dims[2], 7);
    cr_expect_eq(graph->values[graph->inputs[1].value].shape.dims[0], 5);
    cr_expect_eq(graph->values[graph->outputs[0].value].shape.dims[0], 5);
    finish(&c);
    static const char *const wrong[] = {"x=5x4x7", "x=5x3", "nobody=1"};
    for (size_t i = 0; i < 3; i++) {
        cr_expect_eq(convert_symbolic(&c, wrong[i]), ESPY_INVALID_ARGUMENT, "%s", wrong[i]);
        cr_expect_eq(c.host.error_count, 1);
        finish(&c);
    }
}

static espy_status convert_metadata(struct conversion *c, const char *json)
{
    start(c, 17);
    test_input(&c->onnx, "x", ONNX_FLOAT, "1 3 4 4");
    test_node(&c->onnx, "Relu", "x", "y");
    test_output(&c->onnx, "y");
    espy_onnx__string_string_entry_proto__init(&c->onnx.entry);
    c->onnx.entry.key = test_text(&c->onnx, "espy");
    c->onnx.entry.value = test_text(&c->onnx, json);
    c->onnx.entries[0] = &c->onnx.entry;
    c->onnx.proto.metadata_props = c->onnx.entries;
    c->onnx.proto.n_metadata_props = 1;
    return convert(c);
}

Test(convert, metadata_is_taken_over_and_unknown_keys_are_refused)
{
    struct conversion c;
    cr_assert_eq(convert_metadata(&c, "{\"inputs\":{\"x\":{\"role\":\"image\",\"preprocess\":"
                                      "{\"size\":[4,4],\"mean\":[0.5,0.5,0.5],\"scale\":1}}},"
                                      "\"outputs\":{\"y\":{\"role\":\"attention_map\","
                                      "\"of\":\"x\"}}}"),
                 ESPY_OK, "%s", c.host.last_error);
    const struct graph *graph = espy_convert_model_graph(c.model);
    cr_expect_str_eq(graph->inputs[0].role, "image");
    cr_assert_not_null(graph->inputs[0].preprocess);
    cr_expect_eq(graph->inputs[0].preprocess->height, 4);
    cr_expect_eq(graph->inputs[0].preprocess->mean[2], 0.5);
    cr_expect_eq(graph->inputs[0].preprocess->std[0], 1);
    cr_expect_eq(graph->inputs[0].preprocess->scale, 1);
    cr_expect_str_eq(graph->outputs[0].of, "x");
    finish(&c);
    static const char *const wrong[] = {
        "",
        "[]",
        "{} x",
        "{\"colour\":1}",
        "{\"inputs\":{\"z\":{}}}",
        "{\"inputs\":{\"x\":{\"role\":1}}}",
        "{\"inputs\":{\"x\":{\"threshold\":0.5}}}",
        "{\"inputs\":{\"x\":{\"labels\":1}}}",
        "{\"inputs\":{\"x\":{\"role\":\"image\",\"labels\":[\"a\"]}}}",
        "{\"outputs\":{\"y\":{\"threshold\":\"0.5\"}}}",
        "{\"outputs\":{\"y\":{\"role\":\"scores\",\"threshold\":2}}}",
        "{\"outputs\":{\"y\":{\"role\":\"boxes\",\"threshold\":0.5}}}",
        "{\"inputs\":{\"x\":{\"role\":\"a\",\"role\":\"b\"}}}",
        "{\"outputs\":{\"y\":{\"preprocess\":{}}}}",
        "{\"outputs\":{\"y\":{\"labels\":[1]}}}",
        "{\"inputs\":{\"x\":{\"preprocess\":{\"size\":[4]}}}}",
        "{\"inputs\":{\"x\":{\"preprocess\":{\"blur\":1}}}}",
        "{\"inputs\":{\"x\":{\"preprocess\":{\"std\":[1e999]}}}}",
        "{\"inputs\":{\"x\":{\"preprocess\":{\"std\":[1,1]}}}}",
        "{\"inputs\":{\"x\":{\"preprocess\":{\"mean\":[1,1,1],\"color\":\"gray\"}}}}",
        "{\"outputs\":{\"y\":{\"labels\":[\"a\\u0000b\"]}}}",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_expect_eq(convert_metadata(&c, wrong[i]), ESPY_BAD_FORMAT, "%s", wrong[i]);
        cr_expect_eq(c.host.error_count, 1, "%s", wrong[i]);
        finish(&c);
    }
}

// ---- hand-written JSON
// ---------------------------------------------------------------------------------

// One F32 tensor "w" of two numbers, placed so that it is not aligned.
static void write_weights(const char *path, const char *dtype)
{
    char header[256];
    unsigned char bytes[512] = {0};
    static const float numbers[2] = {3, 4};
    const int length = snprintf(header, sizeof(header),
                                "{\"w\":{\"dtype\":\"%s\",\"shape\":[2],"
                                "\"data_offsets\":[0,8]}}",
                                dtype);
    const size_t padded = (size_t)length + (4 - (size_t)length % 4) % 4 + 1;
    bytes[0] = (unsigned char)padded;
    memcpy(bytes + 8, header, (size_t)length);
    memset(bytes + 8 + length, ' ', padded - (size_t)length);
    memcpy(bytes + 8 + padded, numbers, sizeof(numbers));
    test_write(path, bytes, 8 + padded + sizeof(numbers));
}

static espy_status convert_json(struct conversion *c, const char *json, const char *dtype)
{
    start(c, 17);
    c->params.model_path = test_text(&c->onnx, test_path("model.json"));
    test_write(c->params.model_path, json, strlen(json));
    if (dtype != NULL) {
        c->params.weights_path = test_text(&c->onnx, test_path("w.safetensors"));
        write_weights(c->params.weights_path, dtype);
    }
    espy_convert_report_init(&c->report, &c->host.host);
    return espy_convert_graph(&c->host.host, &c->params, &c->report, &c->model);
}

Test(convert, hand_written_graphs_take_their_tensors_from_safetensors)
{
    static const char json[] =
        "{\"espy\":1,\"inputs\":[{\"name\":\"x\",\"dtype\":\"float32\",\"shape\":[2]}],"
        "\"outputs\":[{\"name\":\"y\"}],\"tensors\":{\"w\":{}},"
        "\"nodes\":[{\"op\":\"Mul\",\"name\":\"m\",\"inputs\":[\"x\",\"w\"],"
        "\"outputs\":[\"y\"]}]}";
    struct conversion c;
    cr_assert_eq(convert_json(&c, json, "F32"), ESPY_OK, "%s", c.host.last_error);
    const struct graph *graph = espy_convert_model_graph(c.model);
    const struct graph_value *w = input_value(graph, 0, 1);
    cr_expect_str_eq(w->name, "w");
    cr_expect_eq((uintptr_t)w->data % sizeof(float), 0);
    cr_expect_eq(((const float *)w->data)[1], 4);
    finish(&c);
    cr_expect_eq(convert_json(&c, json, NULL), ESPY_BAD_FORMAT);
    cr_expect_eq(c.host.error_count, 1);
    finish(&c);
    cr_expect_eq(convert_json(&c, json, "F32X4"), ESPY_UNSUPPORTED);
    cr_expect_eq(c.host.error_count, 1);
    finish(&c);
}

// ---- hostile bytes and failing memory -----------------------------------------------------------

// A model with something of everything.
static void build_mixed(struct conversion *c)
{
    static const int64_t two[1] = {2}, dims[4] = {2, 1, 1, 1};
    static const float weights[2] = {1, 2};
    start(c, 11);
    test_input(&c->onnx, "x", ONNX_FLOAT, "n 1 3 3");
    test_initializer(&c->onnx, "w", ONNX_FLOAT, dims, 4, weights, sizeof(weights));
    EspyOnnx__NodeProto *node = test_node(&c->onnx, "Conv", "x w", "a");
    test_ints(&c->onnx, node, "strides", (int64_t[]){1, 1}, 2);
    node = test_node(&c->onnx, "Constant", "", "k");
    test_attribute(&c->onnx, node, "value", 4)->t =
        test_tensor(&c->onnx, "", ONNX_FLOAT, two, 1, weights, sizeof(weights));
    node = test_node(&c->onnx, "If", "k", "b");
    test_attribute(&c->onnx, node, "then_branch", 5)->g = branch(&c->onnx, "Abs");
    test_attribute(&c->onnx, node, "else_branch", 5)->g = branch(&c->onnx, "Neg");
    node = test_node(&c->onnx, "Elu", "a", "c");
    test_float(&c->onnx, node, "alpha", 0.5f);
    test_node(&c->onnx, "Softmax", "c", "y");
    test_output(&c->onnx, "y");
}

static void convert_bytes(struct conversion *c, const unsigned char *bytes, size_t size)
{
    test_write(c->params.model_path, bytes, size);
    espy_convert_report_init(&c->report, &c->host.host);
    c->host.error_count = 0;
    const espy_status status = espy_convert_graph(&c->host.host, &c->params, &c->report, &c->model);
    cr_expect_eq(c->host.error_count, status == ESPY_OK ? 0 : 1, "status %d: %u errors", status,
                 (unsigned)c->host.error_count);
    espy_convert_model_destroy(&c->model);
    espy_convert_report_finish(&c->report);
}

Test(convert, every_truncation_and_every_flipped_byte_is_harmless)
{
    struct conversion c;
    size_t size;
    build_mixed(&c);
    unsigned char *bytes = test_pack(&c.onnx, &size);
    for (size_t length = 0; length < size; length++)
        convert_bytes(&c, bytes, length);
    static const unsigned char masks[] = {0x01, 0x08, 0x80, 0xff};
    for (size_t i = 0; i < size; i++) {
        for (size_t m = 0; m < sizeof(masks); m++) {
            bytes[i] ^= masks[m];
            convert_bytes(&c, bytes, size);
            bytes[i] ^= masks[m];
        }
    }
    free(bytes);
    finish(&c);
}

Test(convert, graphs_nested_without_end_are_refused)
{
    // Each level wraps the bytes in a graph, a node and an attribute: 1 << 16 levels.
    enum { LEVELS = 1 << 16, LEVEL_SIZE = 3 * 6 };
    struct conversion c;
    start(&c, 17);
    const size_t size = (size_t)LEVELS * LEVEL_SIZE;
    unsigned char *bytes = malloc(size), *at = bytes + size;
    cr_assert_not_null(bytes);
    static const unsigned char keys[3] = {6 << 3 | 2, 5 << 3 | 2, 1 << 3 | 2};
    for (size_t i = 0; i < 3 * (size_t)LEVELS; i++) {
        size_t length = (size_t)(bytes + size - at);
        at -= 6;
        at[0] = i + 1 == 3 * (size_t)LEVELS ? 7 << 3 | 2 : keys[i % 3];
        for (int k = 1; k < 6; k++, length >>= 7)
            at[k] = (unsigned char)((length & 0x7f) | (k < 5 ? 0x80 : 0));
    }
    test_write(c.params.model_path, bytes, size);
    espy_convert_report_init(&c.report, &c.host.host);
    cr_expect_eq(espy_convert_graph(&c.host.host, &c.params, &c.report, &c.model), ESPY_BAD_FORMAT);
    cr_expect_eq(c.host.error_count, 1);
    free(bytes);
    finish(&c);
}

Test(convert, the_nth_allocation_fails_cleanly_for_every_n)
{
    struct conversion c;
    build_mixed(&c);
    test_save(&c.onnx, c.params.model_path);
    espy_status status = ESPY_OUT_OF_MEMORY;
    for (size_t n = 1; status == ESPY_OUT_OF_MEMORY; n++) {
        struct test_host host;
        struct convert_report report;
        struct convert_model *model = NULL;
        espy_test_host_init(&host);
        host.fail_at = n;
        espy_convert_report_init(&report, &host.host);
        status = espy_convert_graph(&host.host, &c.params, &report, &model);
        const bool failed = host.call_count >= n;
        cr_expect_eq(status == ESPY_OUT_OF_MEMORY, failed, "allocation %zu: status %d", n, status);
        cr_expect_eq(host.error_count > 0, status != ESPY_OK);
        espy_convert_model_destroy(&model);
        espy_convert_report_finish(&report);
        cr_expect_eq(host.live_count, 0, "allocation %zu: %zu are left", n, host.live_count);
        cr_assert_lt(n, 100000);
    }
    finish(&c);
}

// ---- the shared models --------------------------------------------------------------------------

static void import_folder(const char *folder)
{
    char path[512];
    struct stat info;
    snprintf(path, sizeof(path), "%s/../shared/%s", ESPY_SOURCE_DIR, folder);
    DIR *directory = opendir(path);
    if (directory == NULL) {
        fprintf(stderr, "skipped: %s is not there\n", path);
        return;
    }
    const struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        snprintf(path, sizeof(path), "%s/../shared/%s/%s/model.onnx", ESPY_SOURCE_DIR, folder,
                 entry->d_name);
        if (entry->d_name[0] == '.' || stat(path, &info) != 0)
            continue;
        struct test_host host;
        struct convert_report report;
        struct convert_model *model = NULL;
        const struct convert_params params = {.model_path = path};
        espy_test_host_init(&host);
        espy_convert_report_init(&report, &host.host);
        const espy_status status = espy_convert_graph(&host.host, &params, &report, &model);
        cr_expect_eq(status, ESPY_OK, "%s: %s", entry->d_name, host.last_error);
        espy_convert_model_destroy(&model);
        espy_convert_report_finish(&report);
        cr_expect_eq(host.live_count, 0, "%s", entry->d_name);
    }
    closedir(directory);
}

Test(convert, every_shared_model_is_converted)
{
    import_folder("models");
}
