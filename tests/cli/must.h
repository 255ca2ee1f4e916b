// For tests in which most commands succeed: what the last one said, and a run that has to.
#ifndef TESTS_CLI_MUST_H_
#define TESTS_CLI_MUST_H_

#include "program.h"

static struct result result;

static void must(const char *const *arguments)
{
    run(arguments, &result);
    cr_assert_eq(result.code, 0, "%s %s: %d: %s", arguments[0], arguments[1], result.code,
                 result.err);
}

#endif // TESTS_CLI_MUST_H_
