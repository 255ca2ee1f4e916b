// Goal: no model, however wrong, makes the library crash, assert or read outside its memory. Method:
// every operator case is changed at random (shapes, types, attributes, constants, inputs left out),
// then walked and planned for a faked device; the answer must be a plan, or a status with one line.
// Small enough plans run their reference too. ESPY_MUTATIONS sets how many per case (default 60).
#include "ops/op_cases.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan/plan.h"
#include "support/case_file.h"
#include "support/run_graph.h"
#include "support/test_host.h"

enum { TENSORS_MAX = 64, ELEMENTS_MAX = 1 << 16, MUTATIONS = 60 };

static const struct caps device_caps = {.storage_f16 = true,
                                        .subgroups = true,
                                        .subgroup_size = 8,
                                        .local_size = 64,
                                        .invocations_max = 1024,
                                        .shared_size = 32768,
                                        .groups_max = {65535, 65535, 65535},
                                        .buffer_alignment = 64,
                                        .buffer_range_max = 1 << 27,
                                        .texel_elements_max = 1 << 27};

struct dice {
    uint32_t state;
};

static uint32_t roll(struct dice *dice, uint32_t sides)
{
    dice->state = dice->state * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)(dice->state >> 8) * sides) >> 24);
}

static double odd_number(struct dice *dice)
{
    static const double numbers[] = {0,  1,    -1,   2,     3,      -2,         7,
                                     -9, 1000, 65536, -65536, 2147483647, -2147483648.0,
                                     9007199254740992.0, -9007199254740992.0, 0.5, 1e30};
    return numbers[roll(dice, sizeof(numbers) / sizeof(numbers[0]))];
}

static void mutate_attr(struct dice *dice, struct graph_attr *attr, struct arena *arena)
{
    static const char *const strings[] = {"", "linear", "none", "SAME_UPPER", "...->", "ij,jk->ik"};
    if (attr->type == GRAPH_ATTR_STRING) {
        attr->strings = &strings[roll(dice, sizeof(strings) / sizeof(strings[0]))];
    } else if (attr->type == GRAPH_ATTR_NUMBER || attr->type == GRAPH_ATTR_NUMBERS) {
        double *numbers = espy_arena_array(arena, attr->count + 1u, sizeof(*numbers));
        if (attr->count > 0)
            memcpy(numbers, attr->numbers, attr->count * sizeof(*numbers));
        numbers[roll(dice, attr->count + 1)] = odd_number(dice);
        if (attr->type == GRAPH_ATTR_NUMBERS) // one more, one less, or as many
            attr->count = attr->count + 1 - roll(dice, attr->count > 0 ? 3 : 2);
        attr->numbers = numbers;
    }
}

static void mutate_tensor(struct dice *dice, struct tensor *tensor, struct arena *arena)
{
    static const int64_t sizes[] = {0, 1, 2, 3, 5, 17};
    struct shape *shape = &tensor->type.shape;
    struct tensor before = *tensor;
    switch (roll(dice, 4)) {
    case 0: // another size
        if (shape->rank > 0)
            shape->dims[roll(dice, shape->rank)] = sizes[roll(dice, 6)];
        break;
    case 1: // another rank
        shape->rank = roll(dice, 7);
        for (uint32_t d = 0; d < shape->rank; d++)
            shape->dims[d] = sizes[roll(dice, 6)];
        break;
    case 2: // another type
        tensor->type.dtype = (espy_dtype)(1 + roll(dice, ESPY_BOOL));
        break;
    default: // other elements
        break;
    }
    if (!espy_shape_count(shape, &tensor->count) || tensor->count > ELEMENTS_MAX) {
        *tensor = before;
        return;
    }
    tensor->data = espy_arena_alloc(arena, espy_tensor_size(tensor));
    for (size_t i = 0; i < tensor->count; i++)
        espy_tensor_set_number(tensor, i, before.count > 0
                                              ? espy_tensor_number(&before, i % before.count)
                                              : 1);
    if (tensor->count > 0 && roll(dice, 2) == 0)
        espy_tensor_set_number(tensor, roll(dice, (uint32_t)tensor->count), odd_number(dice));
}

static void mutate(struct dice *dice, struct op_case *op_case, struct arena *arena)
{
    const uint32_t kind = roll(dice, 8);
    if (kind < 2 && op_case->attr_count > 0) {
        mutate_attr(dice, &op_case->attrs[roll(dice, op_case->attr_count)], arena);
    } else if (kind == 2 && op_case->attr_count > 0) {
        op_case->attr_count--;
    } else if (kind == 3 && op_case->input_count > 0) {
        op_case->input_count--;
    } else if (op_case->input_count > 0) {
        struct case_input *input = &op_case->inputs[roll(dice, op_case->input_count)];
        if (input->tensor.type.dtype == ESPY_DTYPE_NONE)
            return;
        if (kind == 4)
            input->constant = !input->constant;
        else
            mutate_tensor(dice, &input->tensor, arena);
    }
}

// A deep enough copy: lists that mutations change.
static struct op_case copy_case(const struct op_case *from, struct arena *arena)
{
    struct op_case to = *from;
    to.inputs = espy_arena_copy(arena, from->inputs, from->input_count * sizeof(*to.inputs));
    to.attrs = espy_arena_copy(arena, from->attrs, from->attr_count * sizeof(*to.attrs));
    return to;
}

static bool small(const struct plan *plan)
{
    size_t count, total = 0;
    for (uint32_t v = 0; v < plan->graph->value_count; v++)
        if (espy_shape_count(&plan->walk.types[v].shape, &count))
            total += count < ELEMENTS_MAX ? count : ELEMENTS_MAX;
    return total < ELEMENTS_MAX;
}

// Loops end after a million trips, which takes longer than a test has. false: one may go that far,
// having no count of trips, or a number among its inputs that may become one.
static bool ends_soon(const struct op_case *op_case)
{
    enum { TRIPS_MAX = 1000 };
    const struct op *op = espy_op_find(op_case->op);
    if (op == NULL || op->control == NULL)
        return true;
    for (uint32_t i = 0; i < op_case->input_count; i++) {
        const struct tensor *tensor = &op_case->inputs[i].tensor;
        for (size_t k = 0; tensor->type.dtype == ESPY_INT64 && k < tensor->count; k++)
            if (espy_tensor_integer(tensor, k) > TRIPS_MAX)
                return false;
    }
    return strcmp(op_case->op, "Loop") != 0 ||
           (op_case->input_count > 0 && op_case->inputs[0].tensor.type.dtype == ESPY_INT64);
}

static void plan_case(struct test_host *test, const struct op_case *op_case, uint32_t number)
{
    struct arena arena;
    struct graph graph;
    struct plan plan = {0};
    struct tensor inputs[TENSORS_MAX] = {0}, outputs[TENSORS_MAX] = {0};
    struct op_source sources[TENSORS_MAX];
    espy_arena_init(&arena, &test->host);
    espy_graph_init(&graph, &test->host);
    espy_status status =
        espy_test_case_graph(op_case, ESPY_FLOAT32, number % 2 != 0, &arena, &graph, inputs);
    if (status == ESPY_OK)
        espy_test_sources(&graph, inputs, false, sources);
    test->error_count = 0;
    const struct plan_params params = {.host = &test->host,
                                       .graph = &graph,
                                       .caps = &device_caps,
                                       .sources = sources,
                                       .source_count = graph.input_count};
    if (status == ESPY_OK) {
        status = espy_plan_build(&params, &plan);
        cr_expect(test->error_count == (status != ESPY_OK),
                  "%s (%s), mutation %u: status %d with %u error lines: %s", op_case->name,
                  op_case->op, number, status, test->error_count, test->last_error);
        if (status == ESPY_OK && small(&plan) && ends_soon(op_case))
            espy_graph_evaluate(&test->host, &graph, inputs, &arena, outputs);
    }
    espy_plan_finish(&plan);
    espy_graph_finish(&graph);
    espy_arena_finish(&arena);
}

static void mutate_case(struct test_host *test, const struct op_case *op_case, uint32_t count)
{
    struct dice dice = {(uint32_t)espy_hash(ESPY_HASH_START, op_case->name,
                                            strlen(op_case->name))};
    for (uint32_t number = 0; number < count; number++) {
        struct arena arena;
        espy_arena_init(&arena, &test->host);
        struct op_case copy = copy_case(op_case, &arena);
        for (uint32_t changes = 1 + roll(&dice, 3); changes > 0; changes--)
            mutate(&dice, &copy, &arena);
        if (getenv("ESPY_TEST_VERBOSE") != NULL)
            fprintf(stderr, "%s (%s) %u\n", op_case->name, op_case->op, number);
        plan_case(test, &copy, number);
        espy_arena_finish(&arena);
    }
}

void espy_test_mutate_case_file(const char *stem)
{
    const char *wanted = getenv("ESPY_MUTATIONS");
    const uint32_t count = wanted != NULL ? (uint32_t)strtoul(wanted, NULL, 10) : MUTATIONS;
    struct test_host test;
    struct case_file file;
    char path[1024], error[256];
    espy_test_host_init(&test);
    snprintf(path, sizeof(path), "%s/tests/ops/%s.json", ESPY_SOURCE_DIR, stem);
    cr_assert(espy_test_read_cases(&test.host, path, &file, error, sizeof(error)), "%s: %s", path,
              error);
    for (uint32_t i = 0; i < file.case_count; i++)
        mutate_case(&test, &file.cases[i], count);
    espy_test_free_cases(&file);
    cr_expect(test.live_count == 0, "%s: %zu allocations are not freed", stem, test.live_count);
}
