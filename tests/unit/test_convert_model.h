// Builds small ONNX models in memory and writes them to files, for the tests of the converter.
#ifndef TESTS_UNIT_TEST_CONVERT_MODEL_H_
#define TESTS_UNIT_TEST_CONVERT_MODEL_H_

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "convert/convert.h"
#include "onnx.pb-c.h"
#include "support/test_host.h"

enum { ONNX_FLOAT = 1, ONNX_INT64 = 7, ONNX_BOOL = 9 }; // TensorProto.DataType
enum { TEST_ITEMS_MAX = 32 };

// Everything a model points to lies in one arena.
struct test_model {
    struct arena arena;
    EspyOnnx__ModelProto proto;
    EspyOnnx__GraphProto graph;
    EspyOnnx__OperatorSetIdProto opset, *opsets[1];
    EspyOnnx__NodeProto *nodes[TEST_ITEMS_MAX];
    EspyOnnx__TensorProto *tensors[TEST_ITEMS_MAX];
    EspyOnnx__ValueInfoProto *inputs[TEST_ITEMS_MAX], *outputs[TEST_ITEMS_MAX];
    EspyOnnx__StringStringEntryProto entry, *entries[1];
};

static inline void *test_new(struct test_model *model, size_t size)
{
    void *memory = espy_arena_alloc(&model->arena, size);
    cr_assert_not_null(memory);
    return memory;
}

static inline char *test_text(struct test_model *model, const char *text)
{
    return espy_arena_string(&model->arena, text);
}

static inline void test_model_init(struct test_model *model, const struct host *host, int64_t opset)
{
    memset(model, 0, sizeof(*model));
    espy_arena_init(&model->arena, host);
    espy_onnx__model_proto__init(&model->proto);
    espy_onnx__graph_proto__init(&model->graph);
    espy_onnx__operator_set_id_proto__init(&model->opset);
    model->opset.has_version = 1;
    model->opset.version = opset;
    model->opsets[0] = &model->opset;
    model->proto.has_ir_version = 1;
    model->proto.ir_version = 8;
    model->proto.n_opset_import = 1;
    model->proto.opset_import = model->opsets;
    model->proto.graph = &model->graph;
    model->graph.name = test_text(model, "test");
    model->graph.node = model->nodes;
    model->graph.initializer = model->tensors;
    model->graph.input = model->inputs;
    model->graph.output = model->outputs;
}

static inline void test_model_finish(struct test_model *model)
{
    espy_arena_finish(&model->arena);
}

// A list of names in one text, separated by single spaces; "-" is an absent one.
static inline char **test_names(struct test_model *model, const char *text, size_t *count)
{
    char **names = test_new(model, TEST_ITEMS_MAX * sizeof(*names));
    char *at = test_text(model, text);
    for (*count = 0; at != NULL && *at != '\0'; ++*count) {
        char *space = strchr(at, ' ');
        if (space != NULL)
            *space = '\0';
        names[*count] = strcmp(at, "-") == 0 ? test_text(model, "") : at;
        at = space == NULL ? NULL : space + 1;
    }
    return names;
}

static inline EspyOnnx__NodeProto *test_node(struct test_model *model, const char *op,
                                             const char *inputs, const char *outputs)
{
    EspyOnnx__NodeProto *node = test_new(model, sizeof(*node));
    espy_onnx__node_proto__init(node);
    node->op_type = test_text(model, op);
    node->input = test_names(model, inputs, &node->n_input);
    node->output = test_names(model, outputs, &node->n_output);
    node->attribute = test_new(model, 8 * sizeof(*node->attribute));
    model->nodes[model->graph.n_node++] = node;
    return node;
}

static inline EspyOnnx__AttributeProto *
test_attribute(struct test_model *model, EspyOnnx__NodeProto *node, const char *name, int32_t type)
{
    EspyOnnx__AttributeProto *attribute = test_new(model, sizeof(*attribute));
    espy_onnx__attribute_proto__init(attribute);
    attribute->name = test_text(model, name);
    attribute->has_type = 1;
    attribute->type = type;
    node->attribute[node->n_attribute++] = attribute;
    return attribute;
}

static inline void test_float(struct test_model *model, EspyOnnx__NodeProto *node, const char *name,
                              float number)
{
    EspyOnnx__AttributeProto *attribute = test_attribute(model, node, name, 1);
    attribute->has_f = 1;
    attribute->f = number;
}

static inline void test_int(struct test_model *model, EspyOnnx__NodeProto *node, const char *name,
                            int64_t number)
{
    EspyOnnx__AttributeProto *attribute = test_attribute(model, node, name, 2);
    attribute->has_i = 1;
    attribute->i = number;
}

static inline void test_string(struct test_model *model, EspyOnnx__NodeProto *node,
                               const char *name, const char *text)
{
    EspyOnnx__AttributeProto *attribute = test_attribute(model, node, name, 3);
    attribute->has_s = 1;
    attribute->s.data = (uint8_t *)test_text(model, text);
    attribute->s.len = strlen(text);
}

static inline void test_ints(struct test_model *model, EspyOnnx__NodeProto *node, const char *name,
                             const int64_t *numbers, size_t count)
{
    EspyOnnx__AttributeProto *attribute = test_attribute(model, node, name, 7);
    attribute->ints = espy_arena_copy(&model->arena, numbers, count * sizeof(*numbers));
    attribute->n_ints = count;
}

static inline EspyOnnx__TensorProto *test_tensor(struct test_model *model, const char *name,
                                                 int32_t data_type, const int64_t *dims,
                                                 size_t rank, const void *data, size_t size)
{
    EspyOnnx__TensorProto *tensor = test_new(model, sizeof(*tensor));
    espy_onnx__tensor_proto__init(tensor);
    tensor->name = test_text(model, name);
    tensor->has_data_type = 1;
    tensor->data_type = data_type;
    tensor->dims = espy_arena_copy(&model->arena, dims, rank * sizeof(*dims));
    tensor->n_dims = rank;
    if (data != NULL) {
        tensor->has_raw_data = 1;
        tensor->raw_data.data = espy_arena_copy(&model->arena, data, size);
        tensor->raw_data.len = size;
    }
    return tensor;
}

static inline EspyOnnx__TensorProto *test_initializer(struct test_model *model, const char *name,
                                                      int32_t data_type, const int64_t *dims,
                                                      size_t rank, const void *data, size_t size)
{
    model->tensors[model->graph.n_initializer] =
        test_tensor(model, name, data_type, dims, rank, data, size);
    return model->tensors[model->graph.n_initializer++];
}

// dims: "2 3 height"; a word is a symbol, "?" has neither.
static inline EspyOnnx__ValueInfoProto *test_value(struct test_model *model, const char *name,
                                                   int32_t data_type, const char *dims)
{
    EspyOnnx__ValueInfoProto *info = test_new(model, sizeof(*info));
    EspyOnnx__TypeProto *type = test_new(model, sizeof(*type));
    EspyOnnx__TypeProto__Tensor *tensor = test_new(model, sizeof(*tensor));
    EspyOnnx__TensorShapeProto *shape = test_new(model, sizeof(*shape));
    espy_onnx__value_info_proto__init(info);
    espy_onnx__type_proto__init(type);
    espy_onnx__type_proto__tensor__init(tensor);
    espy_onnx__tensor_shape_proto__init(shape);
    info->name = test_text(model, name);
    info->type = type;
    type->tensor_type = tensor;
    tensor->has_elem_type = 1;
    tensor->elem_type = data_type;
    tensor->shape = shape;
    size_t count;
    char **words = test_names(model, dims, &count);
    shape->dim = test_new(model, (count + 1) * sizeof(*shape->dim));
    for (; shape->n_dim < count; shape->n_dim++) {
        EspyOnnx__TensorShapeProto__Dimension *dim = test_new(model, sizeof(*dim));
        espy_onnx__tensor_shape_proto__dimension__init(dim);
        const char *word = words[shape->n_dim];
        if (word[0] >= '0' && word[0] <= '9') {
            dim->has_dim_value = 1;
            dim->dim_value = atoll(word);
        } else if (strcmp(word, "?") != 0) {
            dim->dim_param = words[shape->n_dim];
        }
        shape->dim[shape->n_dim] = dim;
    }
    return info;
}

static inline void test_input(struct test_model *model, const char *name, int32_t data_type,
                              const char *dims)
{
    model->inputs[model->graph.n_input++] = test_value(model, name, data_type, dims);
}

static inline void test_output(struct test_model *model, const char *name)
{
    model->outputs[model->graph.n_output++] = test_value(model, name, ONNX_FLOAT, "");
}

// A folder of this process's own.
static inline const char *test_folder(void)
{
    static char folder[64];
    snprintf(folder, sizeof(folder), "/tmp/espy_convert_%ld", (long)getpid());
    mkdir(folder, 0700);
    return folder;
}

static inline const char *test_path(const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", test_folder(), name);
    return path;
}

static inline void test_write(const char *path, const void *bytes, size_t size)
{
    FILE *stream = fopen(path, "wb");
    cr_assert_not_null(stream, "%s", path);
    cr_assert_eq(fwrite(bytes, 1, size, stream), size);
    cr_assert_eq(fclose(stream), 0);
}

// Packs the model; the caller frees.
static inline unsigned char *test_pack(const struct test_model *model, size_t *size)
{
    *size = espy_onnx__model_proto__get_packed_size(&model->proto);
    unsigned char *bytes = malloc(*size + 1);
    cr_assert_not_null(bytes);
    espy_onnx__model_proto__pack(&model->proto, bytes);
    return bytes;
}

static inline void test_save(const struct test_model *model, const char *path)
{
    size_t size;
    unsigned char *bytes = test_pack(model, &size);
    test_write(path, bytes, size);
    free(bytes);
}

#endif // TESTS_UNIT_TEST_CONVERT_MODEL_H_
