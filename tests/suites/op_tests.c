#include "suites/op_tests.h"

#include <cjson/cJSON.h>
#include <math.h>

#include "unit/test_convert_model.h"

enum { TENSORS_MAX = 32, REASON_SIZE = 1200 };

struct item {
    bool present, constant; // constant: in every form
    int32_t data_type;      // ONNX's number
    struct tensor tensor;
};

struct op_case {
    const char *op, *domain;
    int64_t version;
    const cJSON *attributes;
    uint32_t input_count, output_count;
    struct item inputs[TENSORS_MAX], outputs[TENSORS_MAX];
};

// ---- reading ------------------------------------------------------------------------------------

static int32_t data_type_of(const char *name)
{
    static const char *const names[] = {"",        "float32", "uint8",  "int8",   "uint16",
                                        "int16",   "int32",   "int64",  "string", "bool",
                                        "float16", "float64", "uint32", "uint64"};
    for (int32_t i = 1; i < (int32_t)(sizeof(names) / sizeof(names[0])); i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return strcmp(name, "uint4") == 0 ? 21 : strcmp(name, "int4") == 0 ? 22 : 0;
}

static const char *read_item(struct arena *arena, const cJSON *json, struct item *item)
{
    const cJSON *data = cJSON_GetObjectItemCaseSensitive(json, "data"), *entry;
    const char *type = cJSON_GetObjectItemCaseSensitive(json, "type")->valuestring;
    *item = (struct item){.present = cJSON_IsArray(data), .data_type = data_type_of(type)};
    item->constant = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "constant"));
    struct tensor *tensor = &item->tensor;
    if (!item->present)
        return NULL;
    tensor->type.dtype = espy_dtype_from_name(type);
    if (tensor->type.dtype == ESPY_DTYPE_NONE)
        return espy_arena_format(arena, "type %s is not supported", type);
    cJSON_ArrayForEach(entry, cJSON_GetObjectItemCaseSensitive(json, "dims"))
        tensor->type.shape.dims[tensor->type.shape.rank++] = (int64_t)entry->valuedouble;
    if (!espy_shape_count(&tensor->type.shape, &tensor->count) ||
        (int)tensor->count != cJSON_GetArraySize(data))
        return "the file has another number of elements than the shape";
    tensor->data = espy_arena_alloc(arena, espy_tensor_size(tensor));
    size_t i = 0;
    cJSON_ArrayForEach(entry, data)
    {
        const double number = cJSON_IsBool(entry) ? cJSON_IsTrue(entry) : entry->valuedouble;
        espy_tensor_set_number(tensor, i++, number);
    }
    return NULL;
}

static const char *read_items(struct arena *arena, const cJSON *list, struct item *items,
                              uint32_t *count)
{
    const cJSON *entry;
    *count = 0;
    cJSON_ArrayForEach(entry, list)
    {
        const char *fault = *count == TENSORS_MAX ? "too many tensors"
                                                  : read_item(arena, entry, &items[(*count)++]);
        if (fault != NULL)
            return fault;
    }
    return NULL;
}

// ---- the model ----------------------------------------------------------------------------------

// Where a file says no opset, the newest one of its time.
enum { OPSET_DEFAULT = 21 };

static void add_attribute(struct test_model *model, EspyOnnx__NodeProto *node, const cJSON *json)
{
    const char *name = cJSON_GetObjectItemCaseSensitive(json, "name")->valuestring;
    const char *type = cJSON_GetObjectItemCaseSensitive(json, "type")->valuestring;
    const cJSON *data = cJSON_GetObjectItemCaseSensitive(json, "data"), *entry;
    const size_t count = (size_t)cJSON_GetArraySize(data);
    if (strcmp(type, "float") == 0)
        test_float(model, node, name, (float)data->valuedouble);
    else if (strcmp(type, "int") == 0)
        test_int(model, node, name, (int64_t)data->valuedouble);
    else if (strcmp(type, "string") == 0)
        test_string(model, node, name, data->valuestring);
    else if (strcmp(type, "ints") == 0) {
        int64_t *numbers = test_new(model, (count + 1) * sizeof(*numbers));
        size_t i = 0;
        cJSON_ArrayForEach(entry, data) numbers[i++] = (int64_t)entry->valuedouble;
        test_ints(model, node, name, numbers, count);
    } else {
        cr_assert_str_eq(type, "floats", "attributes of type %s", type);
        EspyOnnx__AttributeProto *attribute = test_attribute(model, node, name, 6);
        attribute->floats = test_new(model, (count + 1) * sizeof(*attribute->floats));
        cJSON_ArrayForEach(entry, data) attribute->floats[attribute->n_floats++] =
            (float)entry->valuedouble;
    }
}

static void add_input(struct test_model *model, const struct item *item, const char *name,
                      enum op_test_form form, uint32_t index)
{
    const struct shape *shape = &item->tensor.type.shape;
    char dims[256] = "";
    if (item->constant || (form == OP_TEST_CONSTANTS && index > 0)) {
        test_initializer(model, name, item->data_type, shape->dims, shape->rank, item->tensor.data,
                         espy_tensor_size(&item->tensor));
        return;
    }
    for (uint32_t d = 0; d < shape->rank; d++) {
        const size_t length = strlen(dims);
        if (form == OP_TEST_SYMBOLS)
            snprintf(dims + length, sizeof(dims) - length, "%s%s_%u", d == 0 ? "" : " ", name, d);
        else
            snprintf(dims + length, sizeof(dims) - length, "%s%lld", d == 0 ? "" : " ",
                     (long long)shape->dims[d]);
    }
    test_input(model, name, item->data_type, dims);
}

// Names of inputs i0, i1, ...; "-" where one is absent.
static void add_node(struct test_model *model, const struct op_case *op_case,
                     enum op_test_form form)
{
    char inputs[512] = "", outputs[512] = "", name[16];
    for (uint32_t i = 0; i < op_case->input_count; i++) {
        const size_t length = strlen(inputs);
        snprintf(name, sizeof(name), op_case->inputs[i].present ? "i%u" : "-", i);
        snprintf(inputs + length, sizeof(inputs) - length, "%s%s", i == 0 ? "" : " ", name);
        if (op_case->inputs[i].present)
            add_input(model, &op_case->inputs[i], name, form, i);
    }
    for (uint32_t i = 0; i < op_case->output_count; i++) {
        const size_t length = strlen(outputs);
        snprintf(name, sizeof(name), op_case->outputs[i].present ? "o%u" : "-", i);
        snprintf(outputs + length, sizeof(outputs) - length, "%s%s", i == 0 ? "" : " ", name);
        if (!op_case->outputs[i].present)
            continue;
        test_output(model, name);
        model->outputs[model->graph.n_output - 1]->type = NULL;
    }
    EspyOnnx__NodeProto *node = test_node(model, op_case->op, inputs, outputs);
    const cJSON *attribute;
    node->domain = test_text(model, op_case->domain);
    node->attribute = test_new(model, 32 * sizeof(*node->attribute));
    cJSON_ArrayForEach(attribute, op_case->attributes) add_attribute(model, node, attribute);
}

static void save_model(const struct host *host, const struct op_case *op_case,
                       enum op_test_form form, const char *path)
{
    struct test_model model;
    EspyOnnx__OperatorSetIdProto other, *opsets[2] = {NULL, &other};
    const bool foreign = op_case->domain[0] != '\0';
    test_model_init(&model, host, foreign ? OPSET_DEFAULT : op_case->version);
    espy_onnx__operator_set_id_proto__init(&other);
    other.domain = test_text(&model, op_case->domain);
    other.has_version = 1;
    other.version = op_case->version;
    opsets[0] = &model.opset;
    model.proto.opset_import = opsets;
    model.proto.n_opset_import = foreign ? 2 : 1;
    add_node(&model, op_case, form);
    test_save(&model, path);
    test_model_finish(&model);
}

// ---- comparing ----------------------------------------------------------------------------------

// Files written by hand have numbers rounded to a few decimals, their inputs as well: two units of
// the last decimal are what that can make. 0 where there are fewer than three decimals, or more
// than five.
static double rounding_of(const struct tensor *expected)
{
    double unit = 1;
    for (int decimals = 0; decimals <= 5; decimals++, unit /= 10) {
        size_t i = 0;
        while (i < expected->count) {
            const double scaled = espy_tensor_number(expected, i) / unit;
            if (!(fabs(scaled - round(scaled)) <= 1e-3 + 2e-7 * fabs(scaled)))
                break;
            i++;
        }
        if (i == expected->count)
            return decimals >= 3 ? 2 * unit : 0;
    }
    return 0;
}

// The expected numbers were computed in float32.
static bool close_enough(const struct tensor *actual, const struct tensor *expected)
{
    const bool half = expected->type.dtype == ESPY_FLOAT16;
    const bool real = espy_dtype_is_float(expected->type.dtype);
    double largest = 0;
    for (size_t i = 0; i < expected->count; i++) {
        const double e = fabs(espy_tensor_number(expected, i));
        if (isfinite(e) && e > largest)
            largest = e;
    }
    const double slack = (half ? 1e-3 : 1e-5) * largest + (real ? rounding_of(expected) : 0);
    for (size_t i = 0; i < expected->count; i++) {
        const double a = espy_tensor_number(actual, i), e = espy_tensor_number(expected, i);
        if (a == e || (isnan(a) && isnan(e)))
            continue;
        if (!real || !(fabs(a - e) <= (half ? 2e-3 : 1e-3) * fabs(e) + slack))
            return false;
    }
    return true;
}

static bool check_outputs(const struct op_case *op_case, const struct tensor *actual,
                          const char *who, char *reason)
{
    uint32_t at = 0;
    for (uint32_t o = 0; o < op_case->output_count; o++) {
        const struct tensor *expected = &op_case->outputs[o].tensor;
        char a[160], e[160], text[256];
        struct comparison result;
        if (!op_case->outputs[o].present)
            continue;
        const struct tensor *got = &actual[at++];
        if (got->type.dtype != expected->type.dtype ||
            !espy_shape_equal(&got->type.shape, &expected->type.shape)) {
            snprintf(reason, REASON_SIZE, "%s output %u: %s %s, expected %s %s", who, o,
                     espy_dtype_name(got->type.dtype),
                     espy_shape_text(&got->type.shape, a, sizeof(a)),
                     espy_dtype_name(expected->type.dtype),
                     espy_shape_text(&expected->type.shape, e, sizeof(e)));
            return false;
        }
        if (close_enough(got, expected))
            continue;
        espy_test_compare(got, expected, &result);
        snprintf(reason, REASON_SIZE, "%s output %u: %s", who, o,
                 espy_test_difference(got, expected, &result, text, sizeof(text)));
        return false;
    }
    return true;
}

// ---- running ------------------------------------------------------------------------------------

// "" when the case passes in this form, else why not.
static void run_form(struct op_tests *tests, const struct op_case *op_case, enum op_test_form form,
                     char *reason)
{
    const struct host *host = &tests->test->host;
    struct tensor inputs[TENSORS_MAX] = {0}, actual[TENSORS_MAX] = {0};
    struct suite_model model;
    struct arena arena;
    char path[128];
    snprintf(path, sizeof(path), "%s", test_path("op_test.onnx"));
    save_model(host, op_case, form, path);
    if (espy_suite_convert(host, path, &model) != ESPY_OK) {
        snprintf(reason, REASON_SIZE, "convert: %s", tests->test->last_error);
        return;
    }
    espy_arena_init(&arena, host);
    for (uint32_t i = 0; i < model.graph.input_count; i++) {
        const char *name = model.graph.values[model.graph.inputs[i].value].name;
        inputs[i] = op_case->inputs[atoi(name + 1)].tensor;
    }
    if (espy_graph_evaluate(host, &model.graph, inputs, &arena, actual) != ESPY_OK)
        snprintf(reason, REASON_SIZE, "reference: %s", tests->test->last_error);
    else if (check_outputs(op_case, actual, "reference", reason)) {
        struct test_run_info info = {0};
        if (espy_test_run(host, tests->device, &model.graph, inputs, &arena, actual, &info) !=
            ESPY_OK)
            snprintf(reason, REASON_SIZE, "run: %s", tests->test->last_error);
        else
            check_outputs(op_case, actual, "device", reason);
        if (reason[0] == '\0' && info.host_node_count > 0)
            snprintf(reason, REASON_SIZE, "%u nodes run on the host", info.host_node_count);
    }
    espy_arena_finish(&arena);
    espy_suite_model_finish(&model);
}

static void run_forms(struct op_tests *tests, const struct op_case *op_case, char *reason)
{
    static const char *const forms[] = {"all inputs", "symbols for sizes", "constants"};
    for (int form = 0; form < OP_TEST_FORMS && reason[0] == '\0'; form++) {
        char text[REASON_SIZE] = "";
        run_form(tests, op_case, (enum op_test_form)form, text);
        if (text[0] != '\0')
            snprintf(reason, REASON_SIZE + 32, "(%s) %s", forms[form], text);
    }
}

static void judge(struct op_tests *tests, const char *id, const char *name, const char *reason)
{
    char line[300];
    snprintf(line, sizeof(line), "| %s |", id);
    const bool excused = tests->excused != NULL && strstr(tests->excused, line) != NULL;
    cr_expect(!excused || reason[0] != '\0', "%s (%s) passes: take it out of %s", id, name,
              tests->page);
    cr_expect(excused || reason[0] == '\0', "%s (%s): %s", id, name, reason);
    tests->passed += reason[0] == '\0';
    tests->known += excused && reason[0] != '\0';
    tests->failed += !excused && reason[0] != '\0';
}

static void run_case(struct op_tests *tests, const cJSON *test, const cJSON *json, const char *id)
{
    struct op_case op_case = {.version = OPSET_DEFAULT, .domain = ""};
    char reason[REASON_SIZE + 32] = "";
    const cJSON *opset = cJSON_GetObjectItemCaseSensitive(test, "opset");
    struct arena arena;
    espy_arena_init(&arena, &tests->test->host);
    op_case.op = cJSON_GetObjectItemCaseSensitive(test, "operator")->valuestring;
    op_case.attributes = cJSON_GetObjectItemCaseSensitive(test, "attributes");
    if (opset != NULL) {
        op_case.domain = cJSON_GetObjectItemCaseSensitive(opset, "domain")->valuestring;
        op_case.version = (int64_t)cJSON_GetObjectItemCaseSensitive(opset, "version")->valuedouble;
    }
    const char *fault = read_items(&arena, cJSON_GetObjectItemCaseSensitive(json, "inputs"),
                                   op_case.inputs, &op_case.input_count);
    if (fault == NULL)
        fault = read_items(&arena, cJSON_GetObjectItemCaseSensitive(json, "outputs"),
                           op_case.outputs, &op_case.output_count);
    if (fault != NULL)
        snprintf(reason, sizeof(reason), "%s", fault);
    else
        run_forms(tests, &op_case, reason);
    judge(tests, id, cJSON_GetObjectItemCaseSensitive(test, "name")->valuestring, reason);
    espy_arena_finish(&arena);
}

void espy_op_tests_run(struct op_tests *tests, const char *path, const char *stem)
{
    char *text = espy_suite_read_text(path, &tests->arena);
    cr_assert_not_null(text, "%s cannot be read", path);
    cJSON_Minify(text); // takes comments out
    cJSON *list = cJSON_Parse(text);
    cr_assert_not_null(list, "%s is not JSON", path);
    const cJSON *test, *json;
    uint32_t number = 0;
    cJSON_ArrayForEach(test, list)
    {
        cJSON_ArrayForEach(json, cJSON_GetObjectItemCaseSensitive(test, "cases"))
        {
            char id[300];
            snprintf(id, sizeof(id), "%s#%u", stem, number++);
            run_case(tests, test, json, id);
        }
    }
    cJSON_Delete(list);
}
