// A host for tests: counts allocations, can let the Nth fail, and keeps what was logged.
#ifndef TESTS_SUPPORT_TEST_HOST_H_
#define TESTS_SUPPORT_TEST_HOST_H_

#include "base/base.h"

struct test_host {
    struct host host;
    size_t live_count;     // allocations not freed yet; a leak check asserts 0 at the end
    size_t call_count;     // allocations and growths so far
    size_t fail_at;        // the call with this number (from 1) and all later ones fail; 0: none
    uint32_t error_count, warning_count; // log lines of each level
    char last_error[1024];
    bool echo;             // print log lines to stderr as they come
};

void espy_test_host_init(struct test_host *test);

#endif // TESTS_SUPPORT_TEST_HOST_H_
