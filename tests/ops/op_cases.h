// Runs one case file; each is called by one generated Criterion test per file.
#ifndef TESTS_OPS_OP_CASES_H_
#define TESTS_OPS_OP_CASES_H_

void espy_test_run_case_file(const char *stem);
// Changes its cases at random and plans them; see mutations.c.
void espy_test_mutate_case_file(const char *stem);

#endif // TESTS_OPS_OP_CASES_H_
