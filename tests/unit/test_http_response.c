/* Responses: RFC 9112, sections 4, 6, 7 and 9; RFC 9110, sections 6.4 and 15. */
#include "gateway/front/http_response.h"
#include "protocol/error.h"
#include "tests/unit/failmalloc.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DATE "Sun, 06 Nov 1994 08:49:37 GMT"
#define OWN  "Date: " DATE "\r\nServer: penstock\r\n"

/* Who asks. */
enum {
	V10 = 1, /* HTTP/1.0 */
	IS_HEAD = 2,
	CLOSE = 4, /* the client does not keep the connection */
	UPGRADE = 8, /* it asked for one */
	WE_CLOSE = 16,
};

struct response_case {
	const char *name;
	unsigned who;
	unsigned status;
	const char *reason;
	const char
	    *fields; /* "Name: value" lines, LF between them; they may hold a CR or a NUL ('$') */
	const char *body;
	int rc; /* of the first call that failed */
	const char *out; /* what is sent; when rc is not 0 the reason instead */
	bool keep_alive;
};

static const struct response_case cases[] = {
    {"9112 4 status line", 0, 200, "Fine", "A: b\nContent-Length: 2", "hi", 0,
	"HTTP/1.1 200 Fine\r\nA: b\r\n" OWN "Content-Length: 2\r\n\r\nhi", true},
    {"9112 4 reason left out", 0, 404, "", "Content-Length: 0", "", 0,
	"HTTP/1.1 404 Not Found\r\n" OWN "Content-Length: 0\r\n\r\n", true},
    {"9110 15 unknown status", 0, 499, "", "Content-Length: 0", "", 0,
	"HTTP/1.1 499 Client Error\r\n" OWN "Content-Length: 0\r\n\r\n", true},
    {"9110 15 status below 100", 0, 99, "", "", "", PST_ERR_PROTOCOL,
	"a status that is not between 100 and 599", false},
    {"9110 15 status above 599", 0, 600, "", "", "", PST_ERR_PROTOCOL,
	"a status that is not between 100 and 599", false},
    {"9112 4 CR in the reason", 0, 200, "a\rb", "", "", PST_ERR_PROTOCOL,
	"a control character in the reason phrase", false},
    {"9112 4 LF in the reason", 0, 200, "a\nSet-Cookie: b", "", "", PST_ERR_PROTOCOL,
	"a control character in the reason phrase", false},

    {"9112 5 CR in a value", 0, 200, "", "A: b\rc", "", PST_ERR_PROTOCOL,
	"a control character in a field value", false},
    {"9112 5 NUL in a value", 0, 200, "", "A: b$c", "", PST_ERR_PROTOCOL,
	"a control character in a field value", false},
    {"9112 5 space in a name", 0, 200, "", "A : b", "", PST_ERR_PROTOCOL,
	"a field name that is not a token", false},
    {"9112 5 NUL in a name", 0, 200, "", "A$: b", "", PST_ERR_PROTOCOL,
	"a field name that is not a token", false},
    {"9112 5 CR in a name", 0, 200, "", "A\rB: b", "", PST_ERR_PROTOCOL,
	"a field name that is not a token", false},
    {"9112 5 empty name", 0, 200, "", ": b", "", PST_ERR_PROTOCOL,
	"a field name that is not a token", false},
    {"9112 5 control character in what is left out", 0, 200, "", "Connection: a\rb", "",
	PST_ERR_PROTOCOL, "a control character in a field value", false},
    {"9110 5.5 whitespace goes, obs-text stays", 0, 200, "", "A:  \xe9 \nContent-Length: 0", "", 0,
	"HTTP/1.1 200 OK\r\nA: \xe9\r\n" OWN "Content-Length: 0\r\n\r\n", true},
    {"9110 6.6.1 Date given", 0, 200, "", "Date: then\nServer: me\nContent-Length: 0", "", 0,
	"HTTP/1.1 200 OK\r\nDate: then\r\nServer: me\r\nContent-Length: 0\r\n\r\n", true},

    {"9112 7.1 chunked when the length is unknown", 0, 200, "", "", "hi", 0,
	"HTTP/1.1 200 OK\r\n" OWN "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", true},
    {"9112 7.1 no body at all", 0, 200, "", "", "", 0,
	"HTTP/1.1 200 OK\r\n" OWN "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", true},
    {"9112 6.1 no chunked for 1.0", V10, 200, "", "", "hi", 0,
	"HTTP/1.1 200 OK\r\n" OWN "Connection: close\r\n\r\nhi", false},
    {"9112 6.1 the worker's Transfer-Encoding is not believed", 0, 200, "",
	"Transfer-Encoding: gzip, chunked\nContent-Length: 2", "hi", 0,
	"HTTP/1.1 200 OK\r\n" OWN "Content-Length: 2\r\n\r\nhi", true},
    {"9110 7.6.1 fields of the hop are left out", 0, 200, "",
	"Connection: x\nKeep-Alive: 1\nProxy-Connection: x\nTrailer: x\nUpgrade: h2c\nTE: x\n"
	"Content-Length: 0",
	"", 0, "HTTP/1.1 200 OK\r\n" OWN "Content-Length: 0\r\n\r\n", true},

    {"9112 6.2 malformed length", 0, 200, "", "Content-Length: 5x", "", PST_ERR_PROTOCOL,
	"a malformed Content-Length", false},
    {"9112 6.2 length list", 0, 200, "", "Content-Length: 5, 5", "", PST_ERR_PROTOCOL,
	"a malformed Content-Length", false},
    {"9112 6.2 length overflow", 0, 200, "", "Content-Length: 18446744073709551621", "",
	PST_ERR_PROTOCOL, "a malformed Content-Length", false},
    {"9112 6.2 equal lengths", 0, 200, "", "Content-Length: 2\nContent-Length: 2", "hi", 0,
	"HTTP/1.1 200 OK\r\n" OWN "Content-Length: 2\r\n\r\nhi", true},
    {"9112 6.2 unequal lengths", 0, 200, "", "Content-Length: 2\nContent-Length: 3", "hi",
	PST_ERR_PROTOCOL, "two Content-Length fields that differ", false},
    {"9112 6.2 more body than length", 0, 200, "", "Content-Length: 2", "hip", PST_ERR_PROTOCOL,
	"more body than Content-Length", false},
    {"9112 6.2 less body than length", 0, 200, "", "Content-Length: 3", "hi", PST_ERR_PROTOCOL,
	"less body than Content-Length", false},

    {"9110 9.3.2 HEAD with a length", IS_HEAD, 200, "", "Content-Length: 2", "hi", 0,
	"HTTP/1.1 200 OK\r\n" OWN "Content-Length: 2\r\n\r\n", true},
    {"9110 9.3.2 HEAD without", IS_HEAD, 200, "", "", "hi", 0, "HTTP/1.1 200 OK\r\n" OWN "\r\n",
	true},
    {"9110 9.3.2 HEAD in 1.0", IS_HEAD | V10, 200, "", "", "hi", 0,
	"HTTP/1.1 200 OK\r\n" OWN "Connection: keep-alive\r\n\r\n", true},
    {"9110 15.3.5 204 has neither body nor length", 0, 204, "", "Content-Length: 2", "hi", 0,
	"HTTP/1.1 204 No Content\r\n" OWN "\r\n", true},
    {"9110 15.3.6 205 has none", 0, 205, "", "Content-Length: 2", "hi", 0,
	"HTTP/1.1 205 Reset Content\r\n" OWN "Content-Length: 0\r\n\r\n", true},
    {"9110 15.4.5 304 may tell a length", 0, 304, "", "Content-Length: 2\nETag: \"a\"", "hi", 0,
	"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n" OWN "Content-Length: 2\r\n\r\n", true},
    {"9110 15.4.5 304 without", 0, 304, "", "", "", 0, "HTTP/1.1 304 Not Modified\r\n" OWN "\r\n",
	true},

    {"9112 9.6 the client closes", CLOSE, 200, "", "Content-Length: 0", "", 0,
	"HTTP/1.1 200 OK\r\n" OWN "Content-Length: 0\r\nConnection: close\r\n\r\n", false},
    {"9112 9.6 we close", WE_CLOSE, 200, "", "Content-Length: 0", "", 0,
	"HTTP/1.1 200 OK\r\n" OWN "Content-Length: 0\r\nConnection: close\r\n\r\n", false},
    {"9112 9.6 the worker closes", 0, 200, "", "Connection: x, Close\nContent-Length: 0", "", 0,
	"HTTP/1.1 200 OK\r\n" OWN "Content-Length: 0\r\nConnection: close\r\n\r\n", false},
    {"9112 9.3 1.0 keeps", V10, 200, "", "Content-Length: 0", "", 0,
	"HTTP/1.1 200 OK\r\n" OWN "Content-Length: 0\r\nConnection: keep-alive\r\n\r\n", true},

    {"9110 7.8 101", UPGRADE, 101, "", "Upgrade: websocket\nContent-Length: 5", "raw", 0,
	"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n" OWN
	"Connection: upgrade\r\n\r\nraw",
	false},
    {"9110 7.8 101 unasked", 0, 101, "", "Upgrade: websocket", "", PST_ERR_PROTOCOL,
	"status 101 for a request that asked for no upgrade", false},
};

static void
prepare(struct pst_http_response *response, unsigned who)
{
	struct pst_http_request request = {
	    .method = {(who & IS_HEAD) != 0 ? "HEAD" : "POST", 4},
	    .minor = (who & V10) != 0 ? 0 : 1,
	    .keep_alive = (who & CLOSE) == 0,
	};

	if ((who & UPGRADE) != 0)
		request.upgrade = (struct pst_http_text){"websocket", 9};
	pst_http_response_init(response, &request, (who & WE_CLOSE) == 0);
}

static struct pst_http_text
text(const char *s)
{
	return (struct pst_http_text){s, strlen(s)};
}

/* Give the lines of FIELDS to the writer, '$' as NUL. */
static int
put_fields(struct pst_http_response *response, struct pst_buf *out, const char *fields)
{
	char copy[512];
	size_t len = strlen(fields);
	int rc = 0;

	memcpy(copy, fields, len + 1);
	for (char *p = copy; (p = strchr(p, '$')) != NULL;)
		*p = '\0';
	for (size_t at = 0; at < len && rc == 0;) {
		char *end = memchr(copy + at, '\n', len - at);
		size_t line = end != NULL ? (size_t)(end - copy) - at : len - at;
		char *colon = memchr(copy + at, ':', line);
		size_t name = (size_t)(colon - copy) - at;

		rc = pst_http_response_field(response, out, (struct pst_http_text){copy + at, name},
		    (struct pst_http_text){colon + 1, line - name - 1});
		at += line + 1;
	}
	return rc;
}

/* The head of C: what went wrong leaves nothing of it in OUT. */
static int
put_head(struct pst_http_response *response, struct pst_buf *out, const struct response_case *c)
{
	size_t before = pst_buf_length(out);
	int rc = pst_http_response_start(response, out, c->status, text(c->reason));

	if (rc == 0)
		rc = put_fields(response, out, c->fields);
	if (rc == 0)
		rc = pst_http_response_finish(response, out, DATE);
	if (rc != 0)
		ck_assert_msg(pst_buf_length(out) == before, "%s: left in the buffer", c->name);
	return rc;
}

static int
put_all(struct pst_http_response *response, struct pst_buf *out, const struct response_case *c)
{
	int rc = put_head(response, out, c);

	if (rc == 0)
		rc = pst_http_response_body(response, out, c->body, strlen(c->body));
	if (rc == 0)
		rc = pst_http_response_end(response, out);
	return rc;
}

START_TEST(test_case)
{
	const struct response_case *c = &cases[_i];
	struct pst_http_response response;
	struct pst_buf out = {0};
	int rc;

	prepare(&response, c->who);
	rc = put_all(&response, &out, c);
	ck_assert_msg(rc == c->rc, "%s: %d, not %d", c->name, rc, c->rc);
	if (rc != 0) {
		ck_assert_msg(
		    strcmp(response.reason, c->out) == 0, "%s: %s", c->name, response.reason);
	} else {
		ck_assert_msg(pst_buf_length(&out) == strlen(c->out) &&
				  memcmp(pst_buf_bytes(&out), c->out, strlen(c->out)) == 0,
		    "%s:\n%.*s\nexpected:\n%s", c->name, (int)pst_buf_length(&out),
		    (char *)pst_buf_bytes(&out), c->out);
		ck_assert_msg(response.keep_alive == c->keep_alive, "%s: keep-alive", c->name);
	}
	pst_buf_free(&out);
}
END_TEST

/* What stood in the buffer before stays there when a head fails. */
START_TEST(test_rollback)
{
	const struct response_case bad = {"", 0, 200, "", "A: b\nC: d\re", "", 0, "", false};
	struct pst_http_response response;
	struct pst_buf out = {0};

	pst_buf_append(&out, "before", 6);
	prepare(&response, 0);
	ck_assert_int_eq(put_head(&response, &out, &bad), PST_ERR_PROTOCOL);
	ck_assert_mem_eq(pst_buf_bytes(&out), "before", 6);
	ck_assert_int_eq(pst_http_response_finish(&response, &out, DATE), PST_ERR_STATE);
	pst_buf_free(&out);
}
END_TEST

/* RFC 9110, 15.2: any number of interim responses before the final one, none to 1.0 clients. */
START_TEST(test_interim)
{
	const struct response_case early = {"", 0, 103, "",
	    "Link: </a>\nContent-Length: 9\nDate: x\nConnection: y", "", 0, "", false};
	const struct response_case final = {"", 0, 200, "", "Content-Length: 0", "", 0, "", false};
	const char expect[] = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nDate: x\r\n\r\n"
			      "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nDate: x\r\n\r\n"
			      "HTTP/1.1 200 OK\r\n" OWN "Content-Length: 0\r\n\r\n";
	const char expect0[] =
	    "HTTP/1.1 200 OK\r\n" OWN "Content-Length: 0\r\nConnection: keep-alive\r\n\r\n";
	struct pst_http_response response;
	struct pst_buf out = {0};

	for (unsigned who = 0; who <= V10; who++) {
		const char *wanted = who == V10 ? expect0 : expect;

		prepare(&response, who);
		ck_assert_int_eq(put_head(&response, &out, &early), 0);
		ck_assert_int_eq(pst_http_response_body(&response, &out, "x", 1), PST_ERR_STATE);
		ck_assert_int_eq(put_head(&response, &out, &early), 0);
		ck_assert_int_eq(put_all(&response, &out, &final), 0);
		ck_assert_uint_eq(pst_buf_length(&out), strlen(wanted));
		ck_assert_mem_eq(pst_buf_bytes(&out), wanted, strlen(wanted));
		pst_buf_free(&out);
	}
}
END_TEST

START_TEST(test_known_length)
{
	struct pst_http_response response;
	struct pst_buf out = {0};

	prepare(&response, 0);
	ck_assert_int_eq(pst_http_response_start(&response, &out, 200, text("")), 0);
	ck_assert_int_eq(pst_http_response_length(&response, &out, 5), 0);
	ck_assert_int_eq(
	    pst_http_response_field(&response, &out, text("Content-Length"), text("5")), 0);
	ck_assert_int_eq(pst_http_response_length(&response, &out, 6), PST_ERR_PROTOCOL);
	ck_assert_str_eq(response.reason, "a body that differs from Content-Length");
	ck_assert_uint_eq(pst_buf_length(&out), 0);
	pst_buf_free(&out);
}
END_TEST

static void
check_file(unsigned who, const char *fields, const char *expect)
{
	const struct response_case c = {"", who, 200, "", fields, "", 0, "", false};
	struct pst_http_response response;
	struct pst_buf out = {0};

	prepare(&response, who);
	ck_assert_int_eq(put_head(&response, &out, &c), 0);
	pst_buf_consume(&out, pst_buf_length(&out));
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(pst_http_response_chunk_open(&response, &out, 10), 0);
		ck_assert_int_eq(pst_http_response_body(&response, &out, "x", 1), PST_ERR_STATE);
		ck_assert_int_eq(pst_buf_append(&out, "0123456789", 10), 0);
		ck_assert_int_eq(pst_http_response_chunk_close(&response, &out), 0);
	}
	ck_assert_int_eq(pst_http_response_chunk_close(&response, &out), PST_ERR_STATE);
	ck_assert_int_eq(pst_http_response_end(&response, &out), 0);
	ck_assert_int_eq(pst_http_response_end(&response, &out), PST_ERR_STATE);
	ck_assert_uint_eq(response.body_sent, 20);
	ck_assert_uint_eq(pst_buf_length(&out), strlen(expect));
	ck_assert_mem_eq(pst_buf_bytes(&out), expect, strlen(expect));
	pst_buf_free(&out);
}

/* The caller writes the bytes itself. */
START_TEST(test_file)
{
	check_file(0, "", "a\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n");
	check_file(0, "Content-Length: 20", "01234567890123456789");
	check_file(V10, "", "01234567890123456789");
}
END_TEST

START_TEST(test_file_too_long)
{
	const struct response_case c = {"", 0, 200, "", "Content-Length: 20", "", 0, "", false};
	struct pst_http_response response;
	struct pst_buf out = {0};

	prepare(&response, 0);
	ck_assert_int_eq(put_head(&response, &out, &c), 0);
	ck_assert_int_eq(pst_http_response_chunk_open(&response, &out, 21), PST_ERR_PROTOCOL);
	ck_assert_int_eq(pst_http_response_chunk_open(&response, &out, 20), 0);
	prepare(&response, IS_HEAD);
	ck_assert_int_eq(put_head(&response, &out, &c), 0);
	ck_assert(!response.content);
	ck_assert_int_eq(pst_http_response_chunk_open(&response, &out, 1), PST_ERR_STATE);
	pst_buf_free(&out);
}
END_TEST

/* More than Content-Length: what fits is sent, and the connection cannot go on. */
START_TEST(test_excess)
{
	const struct response_case c = {"", 0, 200, "", "Content-Length: 2", "", 0, "", false};
	struct pst_http_response response;
	struct pst_buf out = {0};

	prepare(&response, 0);
	ck_assert_int_eq(put_head(&response, &out, &c), 0);
	ck_assert_int_eq(pst_http_response_body(&response, &out, "hip", 3), PST_ERR_PROTOCOL);
	ck_assert_mem_eq(pst_buf_bytes(&out) + pst_buf_length(&out) - 4, "\r\nhi", 4);
	ck_assert(!response.keep_alive);
	ck_assert_uint_eq(response.body_sent, 2);
	pst_buf_free(&out);
}
END_TEST

static void
check_error(const struct pst_http_error *error, const char *expect)
{
	struct pst_buf out = {0};

	ck_assert_int_eq(pst_http_response_error(&out, error, DATE), 0);
	ck_assert_msg(pst_buf_length(&out) == strlen(expect) &&
			  memcmp(pst_buf_bytes(&out), expect, strlen(expect)) == 0,
	    "%.*s", (int)pst_buf_length(&out), (char *)pst_buf_bytes(&out));
	pst_buf_free(&out);
}

#define PLAIN "Content-Type: text/plain; charset=utf-8\r\n"

START_TEST(test_error)
{
	check_error(&(struct pst_http_error){.status = 400, .detail = "NUL in a line", .minor = 1},
	    "HTTP/1.1 400 Bad Request\r\n" PLAIN OWN
	    "Content-Length: 31\r\nConnection: close\r\n\r\n400 Bad Request: NUL in a line\n");
	check_error(
	    &(struct pst_http_error){
		.status = 503, .retry_after = 7, .keep_alive = true, .minor = 1},
	    "HTTP/1.1 503 Service Unavailable\r\n" PLAIN "Retry-After: 7\r\n" OWN
	    "Content-Length: 24\r\n\r\n503 Service Unavailable\n");
	check_error(&(struct pst_http_error){.status = 502, .head = true, .keep_alive = true},
	    "HTTP/1.1 502 Bad Gateway\r\n" PLAIN OWN
	    "Content-Length: 16\r\nConnection: keep-alive\r\n\r\n");
}
END_TEST

START_TEST(test_continue)
{
	struct pst_buf out = {0};

	ck_assert_int_eq(pst_http_response_continue(&out), 0);
	ck_assert_uint_eq(pst_buf_length(&out), 25);
	ck_assert_mem_eq(pst_buf_bytes(&out), "HTTP/1.1 100 Continue\r\n\r\n", 25);
	pst_buf_free(&out);
}
END_TEST

/* The buffer grows several times on the way: whichever allocation fails, no half head is left. */
START_TEST(test_no_memory)
{
	char fields[512] = "Content-Type: text/html";
	struct response_case c = {"no memory", 0, 200, "", fields, "hello", 0, "", false};
	struct pst_http_response response;
	unsigned long at = 0;
	int rc;

	for (int i = 0; i < 12; i++)
		strcat(fields, "\nX-Field: 0123456789012345678");
	do {
		struct pst_buf out = {0};

		prepare(&response, 0);
		failmalloc_count = 0;
		failmalloc_at = ++at;
		rc = put_head(&response, &out, &c);
		if (rc == 0)
			rc = pst_http_response_body(&response, &out, fields, strlen(fields));
		if (rc == 0)
			rc = pst_http_response_end(&response, &out);
		failmalloc_at = 0;
		ck_assert(rc == 0 || rc == PST_ERR_NOMEM);
		pst_buf_free(&out);
	} while (rc != 0);
	ck_assert_uint_gt(at, 1);
}
END_TEST

START_TEST(test_error_no_memory)
{
	const struct pst_http_error error = {.status = 500, .detail = "x"};
	unsigned long at = 0;
	int rc;

	do {
		struct pst_buf out = {0};

		ck_assert_int_eq(pst_buf_append(&out, "a", 1), 0);
		failmalloc_count = 0;
		failmalloc_at = ++at;
		rc = pst_http_response_error(&out, &error, DATE);
		failmalloc_at = 0;
		ck_assert(rc == 0 || (rc == PST_ERR_NOMEM && pst_buf_length(&out) == 1));
		pst_buf_free(&out);
	} while (rc != 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("http_response");
	TCase *responses = tcase_create("responses");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(responses, test_case, 0, sizeof(cases) / sizeof(cases[0]));
	tcase_add_test(responses, test_rollback);
	tcase_add_test(responses, test_interim);
	tcase_add_test(responses, test_known_length);
	tcase_add_test(responses, test_file);
	tcase_add_test(responses, test_file_too_long);
	tcase_add_test(responses, test_excess);
	tcase_add_test(responses, test_error);
	tcase_add_test(responses, test_continue);
	tcase_add_test(responses, test_no_memory);
	tcase_add_test(responses, test_error_no_memory);
	suite_add_tcase(suite, responses);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
