// Runs one case file; called by one generated Criterion test per file.
#ifndef TESTS_OPS_OP_CASES_H_
#define TESTS_OPS_OP_CASES_H_

void espy_test_run_case_file(const char *stem);

#endif // TESTS_OPS_OP_CASES_H_
