// A network of examples/, converted and opened through the public API as a program would, with the
// validation layer on.
#ifndef TESTS_SUITES_EXAMPLE_H_
#define TESTS_SUITES_EXAMPLE_H_

#include "espy/espy.h"
#include "suites/suite.h"

struct example {
    espy_context *context;
    espy_device *device;
    espy_model *model;
    espy_session *session;
    struct test_host test;
    struct arena arena;
    char error[1024]; // what the context has said last
};

// The first attention site of the model can be asked for where `attends`. Fails the test where
// anything does.
void espy_example_open(struct example *example, const char *onnx, bool attends);
// Expects that nothing leaks and that the validation layer has not complained.
void espy_example_close(struct example *example);

#endif // TESTS_SUITES_EXAMPLE_H_
