// Operator cases as data: tests/ops/<family>.json.
#ifndef TESTS_SUPPORT_CASE_FILE_H_
#define TESTS_SUPPORT_CASE_FILE_H_

#include "op/op.h"

struct case_input {
    struct tensor tensor; // type.dtype NONE: an absent optional input
    bool constant;        // a constant of the graph rather than an input
};

// A constant of a body, in "tensors" of the case.
struct case_tensor {
    const char *name;
    struct tensor tensor;
};

struct op_case {
    const char *name, *op;
    double tolerance;     // 0: the usual one for the type
    bool half;            // repeat with float16 inputs; default true
    uint32_t input_count, output_count;
    struct case_input *inputs;
    struct tensor *outputs; // data NULL: only the kernel against the reference
    uint32_t attr_count, step_count;
    struct graph_attr *attrs;
    struct graph_step *steps;
    const char *bodies; // JSON of a network that holds the bodies which attributes name; NULL: none
    uint32_t tensor_count;
    struct case_tensor *tensors; // of the bodies
};

struct case_file {
    struct arena arena;
    uint32_t case_count;
    struct op_case *cases;
};

// On failure *error says what is wrong, and the file is empty.
bool espy_test_read_cases(const struct host *host, const char *path, struct case_file *file,
                          char *error, size_t error_size);
void espy_test_free_cases(struct case_file *file);

// A graph of one node for a case. With dtype float16 every float32 tensor is converted. With
// strided, every graph input of rank >= 2 comes in another memory order (channels-last, or
// transposed) and is brought back by a Transpose node, so that the kernel sees strides.
// inputs gets one tensor per graph input.
espy_status espy_test_case_graph(const struct op_case *op_case, espy_dtype float_dtype,
                                 bool strided, struct arena *arena, struct graph *graph,
                                 struct tensor *inputs);

#endif // TESTS_SUPPORT_CASE_FILE_H_
