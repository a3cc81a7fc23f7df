/*
 * Cases for the request parser. Each is parsed whole, byte by byte and cut in two at every
 * point; the results must be equal before they are compared with what the case expects.
 */
#ifndef PST_TESTS_UNIT_HTTP_CASE_H
#define PST_TESTS_UNIT_HTTP_CASE_H

#include "gateway/front/http_body.h"
#include "gateway/front/http_request.h"

struct http_case {
	const char *name; /* begins with the RFC and section that asks for it */
	const char *bytes;
	size_t len;
	unsigned status; /* 0: accepted */
	/* The reason of a refusal, or what http_case_print() says about an accepted request. */
	const char *expect;
	const struct pst_http_limits *limits; /* NULL: the defaults */
};

/* Literal with its length, so that cases may hold NULs. */
#define BYTES(literal) (literal), sizeof(literal) - 1

/* Fail the test unless all goes as CASE says. */
void http_case_check(const struct http_case *c);

/*
 * One line about REQUEST: "GET origin /path?query host=h 1.1 keep body=none |Name=value;Hop=v*".
 * It is static and changes with the next call.
 */
const char *http_case_print(const struct pst_http_request *request);

#endif
