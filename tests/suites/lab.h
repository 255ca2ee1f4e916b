// A device opened through the public API as a program would open it, with the validation layer on, and
// room for a model and a session.
#ifndef TESTS_SUITES_LAB_H_
#define TESTS_SUITES_LAB_H_

#include "base/base.h"
#include "espy/espy.h"
#include "support/test_host.h"

struct lab {
    espy_context *context;
    espy_device *device;
    espy_model *model;     // the test's to make; closing destroys them
    espy_session *session;
    struct test_host test;
    struct arena arena;
    char error[1024];      // the library's last message
};

// Opens the device that ESPY_TEST_DEVICE names. What does not work fails the test.
void espy_lab_open(struct lab *lab);
// Expects that nothing leaks and that the validation layer has not complained.
void espy_lab_close(struct lab *lab);

#endif // TESTS_SUITES_LAB_H_
