#include "support/case_file.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/format.h"

struct reader {
    struct case_file *file;
    const char *case_name;
    char *error;
    size_t error_size;
};

static bool fail(struct reader *r, const char *what)
{
    snprintf(r->error, r->error_size, "case '%s': %s", r->case_name, what);
    return false;
}

static bool read_number(const cJSON *item, double *number)
{
    if (cJSON_IsNumber(item) || cJSON_IsBool(item)) {
        *number = cJSON_IsNumber(item) ? item->valuedouble : cJSON_IsTrue(item);
        return true;
    }
    if (!cJSON_IsString(item))
        return false;
    const char *text = item->valuestring;
    *number = strcmp(text, "inf") == 0    ? (double)INFINITY
              : strcmp(text, "-inf") == 0 ? -(double)INFINITY
                                          : (double)NAN;
    return strcmp(text, "inf") == 0 || strcmp(text, "-inf") == 0 || strcmp(text, "nan") == 0;
}

static void fill_lcg(const cJSON *lcg, struct tensor *tensor)
{
    uint32_t s = (uint32_t)cJSON_GetObjectItem(lcg, "seed")->valuedouble;
    const double lo = cJSON_GetObjectItem(lcg, "lo")->valuedouble;
    const double hi = cJSON_GetObjectItem(lcg, "hi")->valuedouble;
    for (size_t i = 0; i < tensor->count; i++) {
        s = s * 1664525u + 1013904223u;
        const double u = (double)(s >> 8) / 16777216.0;
        espy_tensor_set_number(tensor, i, (double)(float)(lo + u * (hi - lo)));
    }
}

static bool read_tensor(struct reader *r, const cJSON *json, struct tensor *tensor)
{
    const cJSON *dtype = cJSON_GetObjectItem(json, "dtype");
    const cJSON *shape = cJSON_GetObjectItem(json, "shape");
    const cJSON *data = cJSON_GetObjectItem(json, "data");
    const cJSON *lcg = cJSON_GetObjectItem(json, "lcg");
    if (!cJSON_IsString(dtype) || !cJSON_IsArray(shape))
        return fail(r, "a tensor needs dtype and shape");
    tensor->type.dtype = espy_dtype_from_name(dtype->valuestring);
    if (tensor->type.dtype == ESPY_DTYPE_NONE)
        return fail(r, "unknown dtype");
    const cJSON *item;
    cJSON_ArrayForEach(item, shape)
    {
        if (tensor->type.shape.rank == ESPY_RANK_MAX)
            return fail(r, "rank is too large");
        tensor->type.shape.dims[tensor->type.shape.rank++] = (int64_t)item->valuedouble;
    }
    if (!espy_shape_count(&tensor->type.shape, &tensor->count))
        return fail(r, "bad shape");
    if (data == NULL && lcg == NULL)
        return true;
    tensor->data = espy_arena_alloc(&r->file->arena, espy_tensor_size(tensor));
    if (lcg != NULL) {
        fill_lcg(lcg, tensor);
        return true;
    }
    if ((size_t)cJSON_GetArraySize(data) != tensor->count)
        return fail(r, "data does not have as many elements as the shape");
    size_t i = 0;
    cJSON_ArrayForEach(item, data)
    {
        double number;
        if (!read_number(item, &number))
            return fail(r, "data must be numbers");
        espy_tensor_set_number(tensor, i++, number);
    }
    return true;
}

static bool read_attr(struct reader *r, const cJSON *json, struct graph_attr *attr)
{
    struct arena *arena = &r->file->arena;
    attr->name = espy_arena_string(arena, json->string);
    attr->count = 1;
    if (cJSON_IsString(json)) {
        attr->type = GRAPH_ATTR_STRING;
        const char *copy = espy_arena_string(arena, json->valuestring);
        attr->strings = espy_arena_copy(arena, &copy, sizeof(copy));
        return true;
    }
    double number;
    if (read_number(json, &number)) {
        attr->type = GRAPH_ATTR_NUMBER;
        attr->numbers = espy_arena_copy(arena, &number, sizeof(number));
        return true;
    }
    if (!cJSON_IsArray(json))
        return fail(r, "an attribute must be a number, a string or a list");
    attr->count = (uint32_t)cJSON_GetArraySize(json);
    attr->type = cJSON_IsString(json->child) ? GRAPH_ATTR_STRINGS : GRAPH_ATTR_NUMBERS;
    double *numbers = espy_arena_array(arena, attr->count, sizeof(*numbers));
    const char **strings = espy_arena_array(arena, attr->count, sizeof(*strings));
    uint32_t i = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, json)
    {
        if (attr->type == GRAPH_ATTR_STRINGS)
            strings[i++] = espy_arena_string(arena, item->valuestring);
        else if (!read_number(item, &numbers[i++]))
            return fail(r, "a list must hold numbers");
    }
    attr->numbers = numbers;
    attr->strings = strings;
    return true;
}

static bool read_attrs(struct reader *r, const cJSON *json, const char *skip,
                       struct graph_attr **attrs, uint32_t *count)
{
    *attrs = espy_arena_array(&r->file->arena, (size_t)cJSON_GetArraySize(json), sizeof(**attrs));
    const cJSON *item;
    cJSON_ArrayForEach(item, json)
    {
        if (skip != NULL && strcmp(item->string, skip) == 0)
            continue;
        if (!read_attr(r, item, &(*attrs)[(*count)++]))
            return false;
    }
    return true;
}

static bool read_steps(struct reader *r, const cJSON *json, struct op_case *op_case)
{
    struct arena *arena = &r->file->arena;
    op_case->steps =
        espy_arena_array(arena, (size_t)cJSON_GetArraySize(json), sizeof(*op_case->steps));
    const cJSON *item;
    cJSON_ArrayForEach(item, json)
    {
        struct graph_step *step = &op_case->steps[op_case->step_count++];
        const cJSON *op = cJSON_GetObjectItem(item, "op");
        if (!cJSON_IsString(op))
            return fail(r, "an epilogue step needs an op");
        step->op = espy_arena_string(arena, op->valuestring);
        struct graph_attr *attrs;
        if (!read_attrs(r, item, "op", &attrs, &step->attr_count))
            return false;
        step->attrs = attrs;
    }
    return true;
}

// "bodies" as in a file, and "tensors" with the data of their constants.
static bool read_bodies(struct reader *r, const cJSON *json, struct op_case *made)
{
    struct arena *arena = &r->file->arena;
    const cJSON *tensors = cJSON_GetObjectItem(json, "tensors"), *item;
    char *bodies = cJSON_PrintUnformatted(cJSON_GetObjectItem(json, "bodies"));
    if (bodies == NULL)
        return true;
    made->bodies = espy_arena_format(arena,
                                     "{\"espy\": 1, \"inputs\": [{\"name\": \"x\", \"dtype\": "
                                     "\"bool\", \"shape\": []}], \"outputs\": [{\"name\": \"x\"}], "
                                     "\"nodes\": [], \"bodies\": %s}",
                                     bodies);
    cJSON_free(bodies);
    made->tensors =
        espy_arena_array(arena, (size_t)cJSON_GetArraySize(tensors), sizeof(*made->tensors));
    cJSON_ArrayForEach(item, tensors)
    {
        struct case_tensor *tensor = &made->tensors[made->tensor_count++];
        tensor->name = espy_arena_string(arena, item->string);
        if (!read_tensor(r, item, &tensor->tensor))
            return false;
    }
    return true;
}

static bool read_case(struct reader *r, const cJSON *json, const char *op, struct op_case *made)
{
    struct arena *arena = &r->file->arena;
    const cJSON *name = cJSON_GetObjectItem(json, "name"), *item;
    const cJSON *inputs = cJSON_GetObjectItem(json, "inputs");
    const cJSON *outputs = cJSON_GetObjectItem(json, "outputs");
    const cJSON *own_op = cJSON_GetObjectItem(json, "op");
    const cJSON *tolerance = cJSON_GetObjectItem(json, "tolerance");
    r->case_name = cJSON_IsString(name) ? name->valuestring : "?";
    made->name = espy_arena_string(arena, r->case_name);
    made->op = espy_arena_string(arena, cJSON_IsString(own_op) ? own_op->valuestring : op);
    made->tolerance = cJSON_IsNumber(tolerance) ? tolerance->valuedouble : 0;
    made->half = !cJSON_IsFalse(cJSON_GetObjectItem(json, "half"));
    if (!cJSON_IsString(name) || !cJSON_IsArray(inputs) || !cJSON_IsArray(outputs))
        return fail(r, "needs name, inputs and outputs");
    made->inputs =
        espy_arena_array(arena, (size_t)cJSON_GetArraySize(inputs), sizeof(*made->inputs));
    made->outputs =
        espy_arena_array(arena, (size_t)cJSON_GetArraySize(outputs), sizeof(*made->outputs));
    cJSON_ArrayForEach(item, inputs)
    {
        struct case_input *input = &made->inputs[made->input_count++];
        input->constant = cJSON_IsTrue(cJSON_GetObjectItem(item, "constant"));
        if (cJSON_IsNull(item))
            continue;
        if (!read_tensor(r, item, &input->tensor))
            return false;
        if (input->tensor.data == NULL)
            return fail(r, "an input needs data or lcg");
    }
    cJSON_ArrayForEach(item, outputs)
    {
        struct tensor *output = &made->outputs[made->output_count++];
        if (!cJSON_IsNull(item) && !read_tensor(r, item, output))
            return false;
    }
    return read_attrs(r, cJSON_GetObjectItem(json, "attrs"), NULL, &made->attrs,
                      &made->attr_count) &&
           read_steps(r, cJSON_GetObjectItem(json, "epilogue"), made) && read_bodies(r, json, made);
}

static char *read_text(const char *path)
{
    FILE *stream = fopen(path, "rb");
    if (stream == NULL)
        return NULL;
    fseek(stream, 0, SEEK_END);
    const long size = ftell(stream);
    rewind(stream);
    char *text = size < 0 ? NULL : malloc((size_t)size + 1);
    if (text != NULL)
        text[fread(text, 1, (size_t)size, stream)] = '\0';
    fclose(stream);
    return text;
}

bool espy_test_read_cases(const struct host *host, const char *path, struct case_file *file,
                          char *error, size_t error_size)
{
    *file = (struct case_file){.case_count = 0};
    espy_arena_init(&file->arena, host);
    struct reader r = {file, "(file)", error, error_size};
    char *text = read_text(path);
    cJSON *json = text == NULL ? NULL : cJSON_Parse(text);
    const cJSON *cases = cJSON_GetObjectItem(json, "cases");
    const cJSON *op = cJSON_GetObjectItem(json, "op");
    bool good = cJSON_IsArray(cases) || fail(&r, text == NULL ? "cannot be read" : "is not JSON");
    if (good) {
        file->cases = espy_arena_array(&file->arena, (size_t)cJSON_GetArraySize(cases),
                                       sizeof(*file->cases));
        const cJSON *item;
        cJSON_ArrayForEach(item, cases)
        {
            const char *fallback = cJSON_IsString(op) ? op->valuestring : "";
            good = good && read_case(&r, item, fallback, &file->cases[file->case_count++]);
        }
    }
    cJSON_Delete(json);
    free(text);
    if (!good)
        espy_test_free_cases(file);
    return good;
}

void espy_test_free_cases(struct case_file *file)
{
    espy_arena_finish(&file->arena);
    file->case_count = 0;
}

// ---- graphs ----------------------------------------------------------------------------------------

static struct tensor converted(const struct tensor *from, espy_dtype float_dtype,
                               struct arena *arena)
{
    struct tensor to = *from;
    if (from->type.dtype != ESPY_FLOAT32 || float_dtype == ESPY_FLOAT32)
        return to;
    to.type.dtype = float_dtype;
    to.data = espy_arena_alloc(arena, espy_tensor_size(&to));
    for (size_t i = 0; i < to.count; i++)
        espy_tensor_set_number(&to, i, espy_tensor_number(from, i));
    return to;
}

// The tensor with its dimensions in the order of perm.
static struct tensor permuted(const struct tensor *from, const uint32_t *perm, struct arena *arena)
{
    struct tensor to = *from;
    const uint32_t rank = from->type.shape.rank;
    size_t strides[ESPY_RANK_MAX], stride = 1;
    for (uint32_t d = rank; d-- > 0;) {
        strides[d] = stride;
        stride *= (size_t)from->type.shape.dims[d];
    }
    to.data = espy_arena_alloc(arena, espy_tensor_size(&to));
    for (uint32_t d = 0; d < rank; d++)
        to.type.shape.dims[d] = from->type.shape.dims[perm[d]];
    for (size_t i = 0; i < to.count; i++) {
        size_t rest = i, source = 0;
        for (uint32_t d = rank; d-- > 0;) {
            source += rest % (size_t)to.type.shape.dims[d] * strides[perm[d]];
            rest /= (size_t)to.type.shape.dims[d];
        }
        espy_tensor_move(&to, i, from, source, 1);
    }
    return to;
}

// Makes the graph input for a tensor, with the Transpose that undoes its memory order if any.
static espy_status add_input(struct graph *graph, const struct tensor *tensor, bool strided,
                             uint32_t number, struct arena *arena, struct tensor *fed,
                             uint32_t *value)
{
    char name[32];
    const uint32_t rank = tensor->type.shape.rank;
    uint32_t perm[ESPY_RANK_MAX];
    double back[ESPY_RANK_MAX];
    *fed = *tensor;
    if (strided && rank >= 2) {
        for (uint32_t d = 0; d < rank; d++)
            perm[d] = rank >= 3 ? (d == 0 ? 0 : d == rank - 1 ? 1 : d + 1) : rank - 1 - d;
        for (uint32_t d = 0; d < rank; d++)
            back[perm[d]] = d;
        *fed = permuted(tensor, perm, arena);
    }
    snprintf(name, sizeof(name), "x%u", number);
    uint32_t index;
    TRY(espy_graph_add_value(graph, name, &index));
    graph->values[index].dtype = fed->type.dtype;
    graph->values[index].has_shape = true;
    graph->values[index].shape = fed->type.shape;
    graph->inputs[graph->input_count++].value = index;
    *value = index;
    if (!strided || rank < 2)
        return ESPY_OK;
    struct graph_node *node;
    snprintf(name, sizeof(name), "t%u", number);
    TRY(espy_graph_add_value(graph, name, value));
    TRY(espy_graph_add_node(graph, "Transpose", name, &index, 1, value, 1, &node));
    return espy_graph_set_numbers(graph, node, "perm", back, rank);
}

static espy_status find_tensor(void *user, const char *name, struct graph_value *value)
{
    const struct op_case *op_case = user;
    for (uint32_t i = 0; i < op_case->tensor_count; i++) {
        const struct tensor *tensor = &op_case->tensors[i].tensor;
        if (strcmp(op_case->tensors[i].name, name) != 0)
            continue;
        value->dtype = tensor->type.dtype;
        value->shape = tensor->type.shape;
        value->data = tensor->data;
        value->data_size = espy_tensor_size(tensor);
        return ESPY_OK;
    }
    return ESPY_BAD_FORMAT;
}

// Makes graph a network with the case's bodies and nothing else.
static espy_status read_body_graphs(const struct op_case *op_case, struct graph *graph)
{
    const struct host *host = graph->arena.host;
    espy_graph_finish(graph);
    TRY(espy_format_read_json(host, op_case->name, op_case->bodies, strlen(op_case->bodies),
                              find_tensor, (void *)(uintptr_t)op_case, graph));
    graph->value_count = graph->input_count = graph->output_count = 0;
    return ESPY_OK;
}

espy_status espy_test_case_graph(const struct op_case *op_case, espy_dtype float_dtype,
                                 bool strided, struct arena *arena, struct graph *graph,
                                 struct tensor *inputs)
{
    uint32_t ins[64], outs[64];
    char name[32];
    if (op_case->bodies != NULL)
        TRY(read_body_graphs(op_case, graph));
    graph->inputs = espy_arena_array(&graph->arena, op_case->input_count, sizeof(*graph->inputs));
    graph->outputs =
        espy_arena_array(&graph->arena, op_case->output_count, sizeof(*graph->outputs));
    if (op_case->input_count > 64 || op_case->output_count > 64)
        return ESPY_UNSUPPORTED;
    for (uint32_t i = 0; i < op_case->input_count; i++) {
        const struct case_input *input = &op_case->inputs[i];
        ins[i] = GRAPH_NONE;
        if (input->tensor.type.dtype == ESPY_DTYPE_NONE)
            continue;
        const struct tensor tensor = converted(&input->tensor, float_dtype, arena);
        if (!input->constant) {
            TRY(add_input(graph, &tensor, strided, i, arena, &inputs[graph->input_count],
                          &ins[i]));
            continue;
        }
        snprintf(name, sizeof(name), "x%u", i);
        TRY(espy_graph_add_constant(graph, name, tensor.type.dtype, &tensor.type.shape,
                                    tensor.data, espy_tensor_size(&tensor), &ins[i]));
    }
    for (uint32_t o = 0; o < op_case->output_count; o++) {
        outs[o] = GRAPH_NONE;
        if (op_case->outputs[o].type.dtype == ESPY_DTYPE_NONE)
            continue;
        snprintf(name, sizeof(name), "y%u", o);
        TRY(espy_graph_add_value(graph, name, &outs[o]));
        graph->outputs[graph->output_count++].value = outs[o];
    }
    struct graph_node *node;
    TRY(espy_graph_add_node(graph, op_case->op, op_case->op, ins, op_case->input_count, outs,
                            op_case->output_count, &node));
    node->attrs = op_case->attrs;
    node->attr_count = op_case->attr_count;
    node->steps = op_case->steps;
    node->step_count = op_case->step_count;
    return espy_graph_check(graph);
}
