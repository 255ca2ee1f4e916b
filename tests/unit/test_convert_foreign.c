// Goal: nodes of other domains that are broken, unknown or say more than a rewrite reads are
// refused with a reason, and nothing about them makes the converter crash. What good ones compute
// is in tests/foreign. Method: models built here; every operator of every table with anything as
// inputs.

#include "test_convert_model.h"

#include "convert/builder.h"

struct conversion {
    struct test_host host;
    struct test_model onnx;
    struct convert_params params;
    struct convert_report report;
    struct convert_model *model;
};

static void start(struct conversion *c)
{
    memset(c, 0, sizeof(*c));
    espy_test_host_init(&c->host);
    test_model_init(&c->onnx, &c->host.host, 21);
    c->params.model_path = test_text(&c->onnx, test_path("model.onnx"));
}

static espy_status convert(struct conversion *c)
{
    test_save(&c->onnx, c->params.model_path);
    espy_convert_report_init(&c->report, &c->host.host);
    return espy_convert_graph(&c->host.host, &c->params, &c->report, &c->model);
}

static void finish(struct conversion *c)
{
    espy_convert_model_destroy(&c->model);
    espy_convert_report_finish(&c->report);
    test_model_finish(&c->onnx);
    cr_expect_eq(c->host.live_count, 0, "%zu allocations are left", c->host.live_count);
}

static EspyOnnx__NodeProto *add_node(struct conversion *c, const char *domain, const char *op,
                                     const char *inputs, const char *outputs)
{
    EspyOnnx__NodeProto *node = test_node(&c->onnx, op, inputs, outputs);
    node->domain = test_text(&c->onnx, domain);
    return node;
}

// ---- refusals -----------------------------------------------------------------------------------

// One problem, one line, and the reason has the words.
static void expect_refusal(struct conversion *c, const char *words)
{
    cr_expect_eq(convert(c), ESPY_UNSUPPORTED, "%s", words);
    cr_expect_eq(c->host.error_count, 1, "%s: %u errors", words, (unsigned)c->host.error_count);
    cr_assert_eq(c->report.problem_count, 1, "%s: %u problems", words,
                 (unsigned)c->report.problem_count);
    cr_expect(strstr(c->report.problems[0].reason, words) != NULL, "'%s' is not in '%s'", words,
              c->report.problems[0].reason);
    finish(c);
}

Test(convert_foreign, domains_and_operators_that_are_not_known_are_named)
{
    static const char *const cases[][3] = {
        {"ai.onnx.contrib", "BertTokenizer", "operators of domain 'ai.onnx.contrib'"},
        {"org.pytorch.aten", "ATen", "operators of domain 'org.pytorch.aten'"},
        {"com.microsoft", "BeamSearch", "this operator of domain 'com.microsoft'"},
        {"com.microsoft.nchwc", "Conv", "optimized for one processor"},
        {"mmdeploy", "NMSRotated", "operators of domain 'mmdeploy'"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct conversion c;
        start(&c);
        test_input(&c.onnx, "x", ONNX_FLOAT, "1 2 3 4");
        add_node(&c, cases[i][0], cases[i][1], "x", "y");
        test_output(&c.onnx, "y");
        expect_refusal(&c, cases[i][2]);
    }
}

Test(convert_foreign, attributes_that_no_rewrite_reads_are_refused)
{
    struct conversion c;
    start(&c);
    test_input(&c.onnx, "x", ONNX_FLOAT, "1 2 4");
    test_int(&c.onnx, add_node(&c, "com.microsoft", "FastGelu", "x", "y"), "novelty", 1);
    test_output(&c.onnx, "y");
    expect_refusal(&c, "attribute 'novelty'");

    start(&c);
    test_input(&c.onnx, "x", ONNX_FLOAT, "1 2 4 4");
    test_string(&c.onnx, add_node(&c, "com.microsoft", "FusedConv", "x x", "y"), "activation",
                "Snake");
    test_output(&c.onnx, "y");
    expect_refusal(&c, "activation 'Snake'");
}

Test(convert_foreign, ranks_that_matter_must_be_known)
{
    struct conversion c;
    for (int noted = 0; noted < 2; noted++) {
        start(&c);
        test_input(&c.onnx, "x", ONNX_FLOAT, "1 2 4");
        test_input(&c.onnx, "mask", ONNX_FLOAT, "1 2");
        test_input(&c.onnx, "w", ONNX_FLOAT, "4 12");
        // Nothing follows ranks through Einsum.
        test_string(&c.onnx, test_node(&c.onnx, "Einsum", "mask", "m"), "equation", "ij->ij");
        test_int(&c.onnx, add_node(&c, "com.microsoft", "Attention", "x w - m", "y"), "num_heads",
                 2);
        test_output(&c.onnx, "y");
        EspyOnnx__ValueInfoProto *info = test_value(&c.onnx, "m", ONNX_FLOAT, "1 2");
        if (noted) {
            c.onnx.graph.value_info = &info;
            c.onnx.graph.n_value_info = 1;
            cr_expect_eq(convert(&c), ESPY_OK, "%s", c.host.last_error);
            finish(&c);
        } else {
            expect_refusal(&c, "run ONNX's shape inference");
        }
    }
}

// How exporters write a view: the shape from Shape, Gather, Unsqueeze and Concat.
Test(convert_foreign, ranks_are_followed_through_computed_shapes)
{
    struct conversion c;
    static const int64_t rest[2] = {-1, 4}, first = 0;
    start(&c);
    test_input(&c.onnx, "x", ONNX_FLOAT, "batch 2 2 4");
    test_input(&c.onnx, "mask", ONNX_FLOAT, "batch 1 4");
    test_input(&c.onnx, "w", ONNX_FLOAT, "4 12");
    test_initializer(&c.onnx, "zero", ONNX_INT64, NULL, 0, &first, sizeof(first));
    test_initializer(&c.onnx, "axes", ONNX_INT64, (int64_t[]){1}, 1, &first, sizeof(first));
    test_initializer(&c.onnx, "rest", ONNX_INT64, (int64_t[]){2}, 1, rest, sizeof(rest));
    test_initializer(&c.onnx, "four", ONNX_INT64, (int64_t[]){1}, 1, &rest[1], sizeof(rest[1]));
    test_node(&c.onnx, "Shape", "x", "shape");
    test_node(&c.onnx, "Gather", "shape zero", "batch");
    test_node(&c.onnx, "Unsqueeze", "batch axes", "list");
    test_int(&c.onnx, test_node(&c.onnx, "Concat", "list rest", "view"), "axis", 0);
    test_node(&c.onnx, "Reshape", "x view", "tokens");
    test_int(&c.onnx, test_node(&c.onnx, "Concat", "list four", "flat"), "axis", 0);
    test_node(&c.onnx, "Reshape", "mask flat", "m");
    test_int(&c.onnx, add_node(&c, "com.microsoft", "Attention", "tokens w - m", "y"), "num_heads",
             2);
    test_output(&c.onnx, "y");
    cr_expect_eq(convert(&c), ESPY_OK, "%s", c.host.last_error);
    finish(&c);
}

// ---- anything as inputs -------------------------------------------------------------------------

static const struct foreign_family *const families[] = {
    &espy_foreign_experimental, &espy_foreign_fused,    &espy_foreign_simple,
    &espy_foreign_crop,         &espy_foreign_fourier,  &espy_foreign_norm,
    &espy_foreign_attention,    &espy_foreign_cached,   &espy_foreign_quantized,
    &espy_foreign_qlinear,      &espy_foreign_packed,   &espy_foreign_layout,
    &espy_foreign_nhwc,         &espy_foreign_mmdeploy, &espy_foreign_mmcv};

static void try_node(const char *domain, const char *op, uint32_t input_count, uint32_t shape,
                     uint32_t absent)
{
    static const char *const shapes[] = {"", "2", "2 2", "2 2 2", "2 2 2 2", "n 2 m", "2 0 3 2 1"};
    struct conversion c;
    char inputs[128] = "", name[8];
    start(&c);
    for (uint32_t i = 0; i < input_count; i++) {
        const size_t length = strlen(inputs);
        snprintf(name, sizeof(name), i == absent ? "-" : "i%u", i);
        snprintf(inputs + length, sizeof(inputs) - length, "%s%s", i == 0 ? "" : " ", name);
        if (i != absent)
            test_input(
                &c.onnx, name, i % 3 == 2 ? ONNX_INT64 : ONNX_FLOAT,
                shapes[(2 * shape + i * (shape / 3)) % (sizeof(shapes) / sizeof(shapes[0]))]);
    }
    EspyOnnx__NodeProto *node = add_node(&c, domain, op, inputs, "a b c d");
    if (strstr(op, "Attention") != NULL)
        test_int(&c.onnx, node, "num_heads", 2);
    test_output(&c.onnx, "a");
    test_output(&c.onnx, "b");
    const espy_status status = convert(&c);
    cr_expect(status == ESPY_OK || status == ESPY_UNSUPPORTED || status == ESPY_BAD_FORMAT,
              "%s of %u inputs: status %d", op, (unsigned)input_count, (int)status);
    cr_expect_eq(c.host.error_count, status != ESPY_OK, "%s of %u inputs: %u errors", op,
                 (unsigned)input_count, (unsigned)c.host.error_count);
    finish(&c);
}

Test(convert_foreign, any_inputs_are_converted_or_refused_with_one_line)
{
    enum { INPUTS_MAX = 10, SHAPES = 5 };
    for (size_t f = 0; f < sizeof(families) / sizeof(families[0]); f++)
        for (uint32_t r = 0; r < families[f]->row_count; r++)
            for (uint32_t count = 0; count < INPUTS_MAX; count++)
                for (uint32_t shape = 0; shape < SHAPES; shape++)
                    try_node(families[f]->domain, families[f]->rows[r].op, count, shape,
                             shape % 4 == 3 ? count / 2 : INPUTS_MAX);
}

// ---- memory -------------------------------------------------------------------------------------

Test(convert_foreign, any_allocation_may_fail)
{
    struct conversion c;
    start(&c);
    test_input(&c.onnx, "x", ONNX_FLOAT, "batch 3 8");
    test_input(&c.onnx, "w", ONNX_FLOAT, "8 24");
    test_input(&c.onnx, "mask", ONNX_INT64, "batch");
    test_input(&c.onnx, "g", ONNX_FLOAT, "8");
    test_int(&c.onnx, add_node(&c, "com.microsoft", "Attention", "x w - mask", "a present"),
             "num_heads", 2);
    add_node(&c, "com.microsoft", "SkipLayerNormalization", "a x g", "b - - s");
    test_output(&c.onnx, "b");
    test_output(&c.onnx, "s");
    test_output(&c.onnx, "present");
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
        cr_expect_eq(status == ESPY_OUT_OF_MEMORY, failed, "allocation %zu: status %d", n,
                     (int)status);
        cr_expect_eq(host.error_count > 0, status != ESPY_OK);
        espy_convert_model_destroy(&model);
        espy_convert_report_finish(&report);
        cr_expect_eq(host.live_count, 0, "allocation %zu: %zu are left", n, host.live_count);
        cr_assert_lt(n, 100000);
    }
    cr_expect_eq(status, ESPY_OK);
    finish(&c);
}
