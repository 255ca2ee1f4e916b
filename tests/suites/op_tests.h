// Tests of single operators as JSON, in the form of onnxruntime's web tests: a list of operators
// with attributes, each with cases of inputs and outputs. Each becomes an ONNX model, so that it
// goes through the importer like any other. Besides the web tests' own keys an input may be
// "constant": true, when it is never an input of the network.
#ifndef TESTS_SUITES_OP_TESTS_H_
#define TESTS_SUITES_OP_TESTS_H_

#include "suites/suite.h"

// How a case's inputs stand in its model.
enum op_test_form {
    OP_TEST_INPUTS,    // inputs of the network, of known shapes
    OP_TEST_SYMBOLS,   // inputs whose sizes are symbols
    OP_TEST_CONSTANTS, // all but the first are constants
    OP_TEST_FORMS
};

struct op_tests {
    struct test_host *test;
    struct vk_device *device;
    struct arena arena;  // of the whole run
    const char *excused; // text of the page that says what does not pass; NULL: nothing
    const char *page;    // its name, for messages
    uint32_t passed, failed, known;
};

// Runs every case of a file in every form, through the references and on the device.
void espy_op_tests_run(struct op_tests *tests, const char *path, const char *stem);

#endif // TESTS_SUITES_OP_TESTS_H_
