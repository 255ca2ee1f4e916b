// Goal: every operator's reference gives the values that the case file has from elsewhere, and its
// kernel gives what the reference gives: plain, with strided inputs, and in float16.
#include "ops/op_cases.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "support/case_file.h"
#include "support/compare.h"
#include "support/run_graph.h"
#include "support/test_host.h"

// bfloat16 is computed by the kernels of float32: a part of the cases says enough.
enum { TENSORS_MAX = 64, BFLOAT16_EVERY = 4 };

struct variation {
    const char *name;
    espy_dtype dtype;
    bool strided;
};

static double usual_tolerance(espy_dtype dtype)
{
    switch (dtype) {
    case ESPY_FLOAT32:
    case ESPY_FLOAT64:
        return 1e-5;
    case ESPY_FLOAT16:
        return 2e-3;
    case ESPY_BFLOAT16:
        return 1e-2;
    default:
        return 0;
    }
}

static void check_tensor(const struct op_case *op_case, const char *what,
                         const struct tensor *actual, const struct tensor *expected)
{
    char difference[256], a[160], e[160];
    if (actual->type.dtype != expected->type.dtype ||
        !espy_shape_equal(&actual->type.shape, &expected->type.shape)) {
        cr_expect(false, "%s (%s), %s: %s %s, expected %s %s", op_case->name, op_case->op, what,
                  espy_dtype_name(actual->type.dtype),
                  espy_shape_text(&actual->type.shape, a, sizeof(a)),
                  espy_dtype_name(expected->type.dtype),
                  espy_shape_text(&expected->type.shape, e, sizeof(e)));
        return;
    }
    double tolerance = usual_tolerance(expected->type.dtype);
    if (op_case->tolerance > tolerance)
        tolerance = op_case->tolerance;
    struct comparison result;
    espy_test_compare(actual, expected, &result);
    cr_expect(espy_test_close(&result, tolerance), "%s (%s), %s: %s", op_case->name, op_case->op,
              what, espy_test_difference(actual, expected, &result, difference,
                                         sizeof(difference)));
}

static void run_variation(struct test_host *test, struct vk_device *device,
                          const struct op_case *op_case, const struct variation *variation)
{
    struct arena arena;
    struct graph graph;
    espy_arena_init(&arena, &test->host);
    espy_graph_init(&graph, &test->host);
    struct tensor inputs[TENSORS_MAX] = {0}, reference[TENSORS_MAX] = {0}, kernel[TENSORS_MAX] = {0};
    espy_status status = espy_test_case_graph(op_case, variation->dtype, variation->strided,
                                              &arena, &graph, inputs);
    if (status == ESPY_OK)
        status = espy_graph_evaluate(&test->host, &graph, inputs, &arena, reference);
    // An operator may not take float16; whatever takes float32 in a case must work plainly.
    if (status == ESPY_UNSUPPORTED && variation->dtype != ESPY_FLOAT32)
        goto done;
    cr_expect(status == ESPY_OK, "%s (%s), %s: reference fails: %s", op_case->name, op_case->op,
              variation->name, test->last_error);
    if (status != ESPY_OK)
        goto done;
    status = espy_test_run(&test->host, device, &graph, inputs, &arena, kernel, NULL);
    cr_expect(status == ESPY_OK, "%s (%s), %s: run fails: %s", op_case->name, op_case->op,
              variation->name, test->last_error);
    for (uint32_t o = 0, k = 0; status == ESPY_OK && o < op_case->output_count; o++) {
        if (op_case->outputs[o].type.dtype == ESPY_DTYPE_NONE)
            continue;
        if (op_case->outputs[o].data != NULL && variation->dtype == ESPY_FLOAT32)
            check_tensor(op_case, "reference", &reference[k], &op_case->outputs[o]);
        check_tensor(op_case, variation->name, &kernel[k], &reference[k]);
        k++;
    }
done:
    espy_graph_finish(&graph);
    espy_arena_finish(&arena);
}

static bool has_float32(const struct op_case *op_case)
{
    for (uint32_t i = 0; i < op_case->input_count; i++)
        if (op_case->inputs[i].tensor.type.dtype == ESPY_FLOAT32)
            return true;
    return false;
}

void espy_test_run_case_file(const char *stem)
{
    static const struct variation variations[] = {{"kernel", ESPY_FLOAT32, false},
                                                  {"kernel, strided", ESPY_FLOAT32, true},
                                                  {"kernel, float16", ESPY_FLOAT16, false},
                                                  {"kernel, bfloat16", ESPY_BFLOAT16, false}};
    struct test_host test;
    struct case_file file;
    struct vk_device *device = NULL;
    char path[1024], error[256];
    espy_test_host_init(&test);
    snprintf(path, sizeof(path), "%s/tests/ops/%s.json", ESPY_SOURCE_DIR, stem);
    cr_assert(espy_test_read_cases(&test.host, path, &file, error, sizeof(error)), "%s: %s", path,
              error);
    cr_assert(espy_test_open_device(&test.host, true, &device) == ESPY_OK, "%s", test.last_error);
    for (uint32_t i = 0; i < file.case_count; i++) {
        const struct op_case *op_case = &file.cases[i];
        for (size_t v = 0; v < sizeof(variations) / sizeof(variations[0]); v++)
            if (variations[v].dtype == ESPY_FLOAT32 ||
                (op_case->half && has_float32(op_case) &&
                 (variations[v].dtype == ESPY_FLOAT16 || i % BFLOAT16_EVERY == 0)))
                run_variation(&test, device, op_case, &variations[v]);
    }
    cr_expect(espy_vk_device_validation_count(device) == 0,
              "%s: the validation layer has complained: %s", stem, test.last_error);
    espy_vk_device_destroy(&device);
    espy_test_free_cases(&file);
    cr_expect(test.live_count == 0, "%s: %zu allocations are not freed", stem, test.live_count);
}
