/* An invariant of a fuzz target: abort, naming the place, when it does not hold. */
#ifndef PST_TESTS_FUZZ_HTTP_CHECK_H
#define PST_TESTS_FUZZ_HTTP_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);            \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

#endif
