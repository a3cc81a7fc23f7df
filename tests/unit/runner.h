/* The main() of a test program with one test case. */
#ifndef PST_TESTS_UNIT_RUNNER_H
#define PST_TESTS_UNIT_RUNNER_H

#include <check.h>
#include <stdlib.h>

static inline int
run_case(const char *name, TCase *tcase)
{
	Suite *suite = suite_create(name);
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 120);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
