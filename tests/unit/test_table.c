// Goal: nothing in the operator table is half-declared. Method: look at every row, and at the case
// files beside it.
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "op/op.h"
#include "op/op_table.h"
#include "shaders/include/unary_codes.glsl"
#include "support/case_file.h"
#include "support/test_host.h"

enum { OPS_MAX = 512 };

Test(table, every_row_is_whole)
{
    const struct op *op;
    for (uint32_t i = 0; (op = espy_op_at(i)) != NULL; i++) {
        cr_expect(op->summary != NULL && op->summary[0] != '\0', "%s: no summary", op->name);
        const bool control = op->control != NULL;
        cr_expect((op->infer == NULL) == control, "%s: no infer", op->name);
        cr_expect((op->reference == NULL) == control, "%s: no reference", op->name);
        cr_expect((op->lower == NULL) == ((op->flags & OP_HOST_ONLY) != 0),
                  "%s: lower is missing, or OP_HOST_ONLY is", op->name);
        cr_expect((op->bound != NULL) == (op->lower != NULL && (op->flags & OP_DATA_SHAPE) != 0),
                  "%s: a kernel that counts and no bound, or a bound alone", op->name);
        cr_expect(op->inputs_min <= op->inputs_max, "%s: inputs", op->name);
        cr_expect(op->outputs_min <= op->outputs_max && op->outputs_min > 0, "%s: outputs",
                  op->name);
        cr_expect(espy_op_find(op->name) == op, "%s: stands twice in the table", op->name);
        for (uint32_t a = 0; a < op->attr_count; a++) {
            const struct op_attr *attr = &op->attrs[a];
            cr_expect(attr->help != NULL, "%s.%s: no help", op->name, attr->name);
            cr_expect(attr->offset < op->attrs_size, "%s.%s: offset", op->name, attr->name);
            cr_expect((attr->type == OP_ENUM) == (attr->choices != NULL), "%s.%s: choices",
                      op->name, attr->name);
        }
    }
}

Test(table, rows_are_in_order_of_name)
{
    const struct op *op, *previous = espy_op_at(0);
    cr_assert(previous != NULL);
    for (uint32_t i = 1; (op = espy_op_at(i)) != NULL; previous = op, i++)
        cr_expect(strcmp(previous->name, op->name) < 0, "%s is before %s", previous->name,
                  op->name);
}

// A family's file stem is not in the table; its case file is found by the operators in it.
Test(table, every_operator_has_a_case_with_values_from_elsewhere)
{
    static bool seen[OPS_MAX];
    static const struct op *ops[OPS_MAX]; // looking one up by its place takes time
    uint32_t op_count = 0;
    while (op_count < OPS_MAX && (ops[op_count] = espy_op_at(op_count)) != NULL)
        op_count++;
    struct test_host test;
    espy_test_host_init(&test);
    FILE *list = fopen(ESPY_BINARY_DIR "/tests/case_files.txt", "r");
    cr_assert(list != NULL, "the build's list of case files is missing");
    char path[1024], error[256];
    while (fgets(path, sizeof(path), list) != NULL) {
        struct case_file file;
        path[strcspn(path, "\n")] = '\0';
        cr_assert(espy_test_read_cases(&test.host, path, &file, error, sizeof(error)), "%s: %s",
                  path, error);
        for (uint32_t i = 0; i < file.case_count; i++) {
            bool valued = false;
            for (uint32_t o = 0; o < file.cases[i].output_count; o++)
                valued = valued || (file.cases[i].outputs[o].data != NULL &&
                                    file.cases[i].outputs[o].count > 0);
            cr_expect(espy_op_find(file.cases[i].op) != NULL, "%s: case '%s': no operator '%s'",
                      path, file.cases[i].name, file.cases[i].op);
            for (uint32_t k = 0; k < op_count; k++)
                if (strcmp(ops[k]->name, file.cases[i].op) == 0)
                    seen[k] = seen[k] || valued;
        }
        espy_test_free_cases(&file);
    }
    fclose(list);
    for (uint32_t k = 0; k < op_count; k++)
        cr_expect(seen[k], "%s has no case with expected values in tests/ops", ops[k]->name);
    cr_expect(test.live_count == 0);
}

Test(table, every_step_is_a_pointwise_operator)
{
    const struct op_step_info *info;
    for (uint32_t i = 0; (info = espy_step_info(i)) != NULL; i++) {
        if (strcmp(info->op, "GeluTanh") == 0)
            continue; // Gelu with approximate = tanh
        cr_expect(espy_op_find(info->op) != NULL, "step %s is no operator", info->op);
    }
}

// What UNARY_CLIP and UNARY_BEND make of x in a kernel's epilogue.
static float shared_step(uint32_t step, const float *a, const float *b, float x)
{
    const bool bends = step == UNARY_BEND;
    const float line = bends ? a[1] * x + b[1] : x;
    const float low = line < a[0] ? a[0] : line, bent = low > b[0] ? b[0] : low;
    return bends && a[2] != 0 ? x * bent : bent;
}

Test(table, steps_that_share_a_pipeline_compute_the_same)
{
    static const struct op_step steps[] = {{UNARY_IDENTITY, 0, 0},
                                           {UNARY_RELU, 0, 0},
                                           {UNARY_CLIP, -0.5f, 6},
                                           {UNARY_HARD_SIGMOID, 0.3f, 0.4f},
                                           {UNARY_HARD_SWISH, 0, 0}};
    static const float numbers[] = {-INFINITY, -7, -0.75f, -0.0f, 0, 1.25f, 7, INFINITY, NAN};
    for (uint32_t i = 0; i < 10; i++) {
        const struct op_step *step = &steps[i / 2];
        const bool bend = i % 2 != 0, hard = i / 2 >= 3;
        uint32_t codes[4] = {step->function};
        float a[4] = {step->a}, b[4] = {step->b};
        cr_expect(espy_steps_bend(step, 1) == hard);
        espy_steps_share(codes, a, b, bend);
        cr_expect(codes[0] == (bend ? UNARY_BEND : hard ? step->function : UNARY_CLIP));
        for (uint32_t k = 0; k < 9 && codes[0] != step->function; k++) {
            const double expected = espy_step_apply(step, (double)numbers[k]);
            const double found = (double)shared_step(codes[0], a, b, numbers[k]);
            cr_expect(isnan(expected) ? isnan(found)
                                      : found == expected || fabs(found - expected) < 1e-6,
                      "function %u of %g: %g, not %g", step->function, (double)numbers[k], found,
                      expected);
        }
    }
    uint32_t two[4] = {UNARY_RELU, UNARY_ADD_OPERAND};
    float a[4] = {0}, b[4] = {0};
    espy_steps_share(two, a, b, true); // what is not last stays
    cr_expect(two[0] == UNARY_RELU && two[1] == UNARY_ADD_OPERAND);
    uint32_t after[4] = {UNARY_ADD_OPERAND, UNARY_RELU};
    espy_steps_share(after, a, b, false);
    cr_expect(after[0] == UNARY_ADD_OPERAND && after[1] == UNARY_CLIP && a[1] == 0 &&
              isinf(b[1]));
}

// Names that the third column of the file has, such as "Add" or "Constant+Exp+Mul".
static void expect_documented(char *names, const char *page)
{
    for (char *name = strtok(names, "+\t\n"); name != NULL; name = strtok(NULL, "+\t\n")) {
        char heading[128], row[128];
        snprintf(heading, sizeof(heading), "\n## %s\n", name);
        snprintf(row, sizeof(row), "\n| %s | ", name);
        cr_expect((strstr(page, heading) != NULL) != (strstr(page, row) != NULL),
                  "%s is neither an operator nor in the list of those that are absent, or both",
                  name);
    }
}

Test(table, every_operator_of_onnx_s_tests_is_documented_or_has_a_reason)
{
    static char page[1 << 20];
    FILE *docs = fopen(ESPY_SOURCE_DIR "/docs/operators.md", "rb");
    cr_assert(docs != NULL && fread(page, 1, sizeof(page) - 1, docs) > 0);
    fclose(docs);
    FILE *list = fopen(ESPY_SOURCE_DIR "/../shared/onnx-node/node_relevant.tsv", "r");
    if (list == NULL)
        cr_skip_test("../shared is not there");
    char line[2048];
    uint32_t count = 0;
    while (fgets(line, sizeof(line), list) != NULL) {
        char *test = strchr(line, '\t');
        char *names = test != NULL ? strchr(test + 1, '\t') : NULL;
        char *end = names != NULL ? strchr(names + 1, '\t') : NULL;
        if (end == NULL)
            continue;
        *end = '\0';
        expect_documented(names + 1, page);
        count++;
    }
    fclose(list);
    cr_expect(count > 1000, "only %u tests are listed", count);
}
