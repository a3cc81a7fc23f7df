/* Requests as CGI parameters: each case is a real request through the parser. */
#include "gateway/front/cgi_params.h"
#include "protocol/params.h"
#include "tests/unit/failmalloc.h"

#include <check.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static struct pst_peer_address local = {.host = "127.0.0.1", .port = 8000};
static struct pst_peer_address local_ipv6 = {.host = "::1", .port = 8000};
static struct pst_peer_address unix_end = {.local = true};

#define FACTS(length, script, scheme, host, port)                                                  \
	{                                                                                          \
		length, HOST(script), NO_HOST, scheme, host, NO_HOST, port, "192.0.2.7", 5555,     \
		    &local, NULL, false, false                                                     \
	}
#define NO_HOST                                                                                    \
	{                                                                                          \
		NULL, 0                                                                            \
	}
#define HOST(literal)                                                                              \
	{                                                                                          \
		(literal), sizeof(literal) - 1                                                     \
	}
#define SCRIPT(script)                                                                             \
	{                                                                                          \
		-1, NO_HOST, NO_HOST, "http", NO_HOST, NO_HOST, 0, "192.0.2.7", 5555, &local,      \
		    &script, false, false                                                          \
	}
#define SEPARATE(length, authority)                                                                \
	{                                                                                          \
		length, NO_HOST, NO_HOST, "http", NO_HOST, authority, 0, "192.0.2.7", 5555,        \
		    &local, NULL, true, false                                                      \
	}
#define PLAIN FACTS(-1, "", "http", NO_HOST, 0)
#define UPGRADE(separate)                                                                          \
	{                                                                                          \
		-1, NO_HOST, NO_HOST, "http", NO_HOST, NO_HOST, 0, "", 0, &local, NULL, separate,  \
		    true                                                                           \
	}
#define LENGTH(length) FACTS(length, "", "http", NO_HOST, 0)
#define BELOW(script)  FACTS(-1, script, "http", NO_HOST, 0)

static const struct pst_script info = {HOST("/srv/a.php"), HOST("/a.php"), HOST("/b"),
    HOST("/srv/b"), HOST("/a.php/b"), HOST("/srv"), NULL};
static const struct pst_script alone = {
    HOST("/srv/a.php"), HOST("/a.php"), HOST(""), HOST(""), HOST("/a.php"), HOST("/srv"), NULL};

struct params_case {
	const char *name;
	const char *request;
	struct pst_cgi_facts facts;
	const char *expect; /* lines that must be there; "!NAME" one that must not */
};

static const struct params_case cases[] = {
    {"all that is always there", "GET /a%20b%2Fc?x=1%20&y HTTP/1.1\r\nHost: h\r\n\r\n", PLAIN,
	"GATEWAY_INTERFACE=CGI/1.1\nSERVER_SOFTWARE=penstock/" PACKAGE_VERSION
	"\nSERVER_PROTOCOL=HTTP/1.1\nREQUEST_METHOD=GET\nREQUEST_URI=/a%20b%2Fc?x=1%20&y\n"
	"REQUEST_SCHEME=http\nSCRIPT_NAME=\nPATH_INFO=/a b/c\nQUERY_STRING=x=1%20&y\n"
	"SERVER_NAME=127.0.0.1\nSERVER_PORT=8000\nSERVER_ADDR=127.0.0.1\n"
	"REMOTE_ADDR=192.0.2.7\nREMOTE_PORT=5555\nHTTP_HOST=h\n"
	"!HTTPS\n!CONTENT_TYPE\n!CONTENT_LENGTH\n"},
    {"an empty query, HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", PLAIN,
	"QUERY_STRING=\nPATH_INFO=/\nSERVER_PROTOCOL=HTTP/1.0\n"},
    {"https with a host", "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
	FACTS(-1, "", "https", HOST("example.com"), 0),
	"HTTPS=on\nREQUEST_SCHEME=https\nSERVER_NAME=example.com\nSERVER_PORT=443\n"},
    {"http with a host", "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
	FACTS(-1, "", "http", HOST("[::1]"), 0), "SERVER_NAME=[::1]\nSERVER_PORT=80\n!HTTPS\n"},
    {"a host with a port", "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
	FACTS(-1, "", "http", HOST("h"), 8443), "SERVER_NAME=h\nSERVER_PORT=8443\n"},
    {"a body",
	"POST / HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\n",
	LENGTH(5),
	"CONTENT_TYPE=text/plain\nCONTENT_LENGTH=5\n!HTTP_CONTENT_TYPE\n!HTTP_CONTENT_LENGTH\n"},
    {"a chunked body has the length it was found to have",
	"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", LENGTH(1234567890123),
	"CONTENT_LENGTH=1234567890123\n!HTTP_TRANSFER_ENCODING\n"},
    {"an empty body", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", LENGTH(0),
	"CONTENT_LENGTH=0\n"},
    {"separate fields, in the order of the request",
	"POST / HTTP/1.1\r\nAccept: a\r\nHost: h\r\nContent-Type: t/p\r\nX-B: 1\r\naccept: b\r\n"
	"Cookie: c=1\r\nContent-Length: 5\r\nConnection: x-hop\r\nX-Hop: 1\r\nProxy: p\r\n"
	"cookie: d=2\r\nX-B:\r\n\r\n",
	SEPARATE(5, NO_HOST),
	"HTTP_ACCEPT=a\nHTTP_HOST=h\nCONTENT_TYPE=t/p\nHTTP_X_B=1\nHTTP_ACCEPT=b\nHTTP_COOKIE=c=1\n"
	"CONTENT_LENGTH=5\nHTTP_COOKIE=d=2\nHTTP_X_B=\n"},
    {"separate fields: what a proxy says of the host, and the length of a chunked body",
	"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
	SEPARATE(7, HOST("example.com")), "HTTP_HOST=example.com\nCONTENT_LENGTH=7\n"},
    {"duplicates are joined where the first stood",
	"GET / HTTP/1.1\r\nHost: h\r\nAccept: a\r\nX-B: 1\r\naccept: b\r\nCookie: c=1\r\n"
	"ACCEPT: c\r\ncookie: d=2\r\nX-B:\r\n\r\n",
	PLAIN, "HTTP_HOST=h\nHTTP_ACCEPT=a, b, c\nHTTP_X_B=1, \nHTTP_COOKIE=c=1; d=2\n"},
    {"never HTTP_PROXY (httpoxy)", "GET / HTTP/1.1\r\nHost: h\r\nProxy: evil\r\n\r\n", PLAIN,
	"!HTTP_PROXY\n"},
    {"fields of the hop",
	"GET / HTTP/1.1\r\nHost: h\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n"
	"TE: trailers\r\nUpgrade: x\r\nX-Stay: 1\r\n\r\n",
	PLAIN,
	"HTTP_X_STAY=1\n!HTTP_CONNECTION\n!HTTP_X_HOP\n!HTTP_KEEP_ALIVE\n!HTTP_TE\n"
	"!HTTP_UPGRADE\n"},
    {"a request for an upgrade",
	"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, X-Hop\r\nX-Hop: 1\r\nUpgrade: "
	"websocket\r\n\r\n",
	UPGRADE(false), "HTTP_CONNECTION=Upgrade, X-Hop\nHTTP_UPGRADE=websocket\n!HTTP_X_HOP\n"},
    {"separate fields of a request for an upgrade",
	"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, X-Hop\r\nX-Hop: 1\r\nUpgrade: "
	"websocket\r\n\r\n",
	UPGRADE(true), "HTTP_HOST=h\nHTTP_CONNECTION=Upgrade, X-Hop\nHTTP_UPGRADE=websocket\n"},
    {"a root path that the proxy passed on", "GET /app/x HTTP/1.1\r\nHost: h\r\n\r\n",
	BELOW("/app"), "SCRIPT_NAME=/app\nPATH_INFO=/x\nREQUEST_URI=/app/x\n"},
    {"a root path that the proxy took off", "GET /x HTTP/1.1\r\nHost: h\r\n\r\n", BELOW("/app"),
	"SCRIPT_NAME=/app\nPATH_INFO=/x\n"},
    {"a root path itself", "GET /app HTTP/1.1\r\nHost: h\r\n\r\n", BELOW("/app"),
	"SCRIPT_NAME=/app\nPATH_INFO=\n"},
    {"a mounted application", "GET /app//x HTTP/1.1\r\nHost: h\r\n\r\n",
	{-1, HOST("/site/app"), HOST("//x"), "http", NO_HOST, NO_HOST, 0, "192.0.2.7", 5555, &local,
	    NULL, false, false},
	"SCRIPT_NAME=/site/app\nPATH_INFO=//x\nREQUEST_URI=/app//x\n"},
    {"not below the root path", "GET /apple HTTP/1.1\r\nHost: h\r\n\r\n", BELOW("/app"),
	"PATH_INFO=/apple\n"},
    {"a unix peer", "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
	{-1, NO_HOST, NO_HOST, "http", NO_HOST, NO_HOST, 0, "", 0, &unix_end, NULL, false, false},
	"REMOTE_ADDR=\nREMOTE_PORT=\nSERVER_ADDR=\nSERVER_NAME=localhost\nSERVER_PORT=80\n"},
    {"no host on IPv6", "GET / HTTP/1.0\r\n\r\n",
	{-1, NO_HOST, NO_HOST, "http", NO_HOST, NO_HOST, 0, "::1", 7, &local_ipv6, NULL, false,
	    false},
	"SERVER_NAME=[::1]\nSERVER_PORT=8000\nSERVER_ADDR=::1\n!HTTP_HOST\n"},
    {"a proxy's host for Host's", "GET / HTTP/1.1\r\nhOST: inside\r\nX-Host: h\r\n\r\n",
	{-1, NO_HOST, NO_HOST, "https", HOST("shop.example"), HOST("shop.example:8443"), 8443,
	    "::1", 7, &local, NULL, false, false},
	"SERVER_NAME=shop.example\nSERVER_PORT=8443\nHTTP_HOST=shop.example:8443\nHTTP_X_HOST=h\n"},
    {"a proxy's host without a Host", "GET / HTTP/1.0\r\n\r\n",
	{-1, NO_HOST, NO_HOST, "http", HOST("shop.example"), HOST("shop.example"), 0, "::1", 7,
	    &local, NULL, false, false},
	"SERVER_NAME=shop.example\nSERVER_PORT=80\nHTTP_HOST=shop.example\n"},
    {"OPTIONS *", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", PLAIN, "REQUEST_URI=*\nPATH_INFO=*\n"},
    {"absolute form", "GET http://example.com/x?y HTTP/1.1\r\nHost: h\r\n\r\n", PLAIN,
	"REQUEST_URI=http://example.com/x?y\nPATH_INFO=/x\nQUERY_STRING=y\n"
	"HTTP_HOST=example.com\n"},
    {"bytes above 0x7f", "GET /%ff HTTP/1.1\r\nHost: h\r\nX: \xe9\r\n\r\n", PLAIN,
	"PATH_INFO=/\xff\nHTTP_X=\xe9\n"},
    {"a script", "GET /a.php/b HTTP/1.1\r\nHost: h\r\n\r\n", SCRIPT(info),
	"SCRIPT_NAME=/a.php\nPATH_INFO=/b\nSCRIPT_FILENAME=/srv/a.php\nDOCUMENT_ROOT=/srv\n"
	"DOCUMENT_URI=/a.php/b\nPATH_TRANSLATED=/srv/b\nREDIRECT_STATUS=200\n"},
    {"a script alone", "GET /a.php HTTP/1.1\r\nHost: h\r\n\r\n", SCRIPT(alone),
	"SCRIPT_NAME=/a.php\nPATH_INFO=\nSCRIPT_FILENAME=/srv/a.php\n!PATH_TRANSLATED\n"},
};

/* --- collecting --- */

struct collected {
	char text[65536];
	size_t length;
};

static int
collect(void *arg, const char *name, size_t name_len, const char *value, size_t value_len)
{
	struct collected *to = arg;

	to->length += (size_t)snprintf(to->text + to->length, sizeof to->text - to->length,
	    "%.*s=%.*s\n", (int)name_len, name, (int)value_len, value);
	return 0;
}

/* The parameters of REQUEST, one a line. */
static void
make(const struct pst_http_request *request, const struct pst_cgi_facts *facts,
    struct collected *got)
{
	struct pst_params_decoder decoder;
	struct pst_buf out = {0};

	ck_assert_int_eq(pst_cgi_params_make(request, facts, &out), 0);
	pst_params_decoder_init(&decoder, SIZE_MAX);
	ck_assert_int_eq(
	    pst_params_decode(&decoder, pst_buf_bytes(&out), pst_buf_length(&out), collect, got),
	    0);
	ck_assert(pst_params_complete(&decoder));
	pst_params_decoder_free(&decoder);
	pst_buf_free(&out);
}

static void
parse(struct pst_http_request *request, const struct pst_http_limits *limits, const char *text)
{
	size_t consumed;

	pst_http_request_init(request, limits);
	ck_assert_int_eq(pst_http_request_parse(request, text, strlen(text), &consumed), 1);
}

/* Every name once. */
static void
check_unique(const char *text)
{
	for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
		char name[64];

		ck_assert_int_eq(sscanf(line, "%60[^=]", name), 1);
		memmove(name + 1, name, strlen(name) + 1);
		name[0] = '\n';
		strcat(name, "=");
		ck_assert_msg(!strstr(line, name), "%s is there twice", name + 1);
	}
}

static void
check_line(const struct params_case *c, const char *text, const char *line, size_t n)
{
	char wanted[128];

	snprintf(wanted, sizeof wanted, line[0] == '!' ? "\n%.*s=" : "\n%.*s\n",
	    (int)(line[0] == '!' ? n - 1 : n), line[0] == '!' ? line + 1 : line);
	if ((strstr(text, wanted) != NULL) == (line[0] == '!'))
		ck_abort_msg("%s: \"%.*s\" fails in%s", c->name, (int)n, line, text);
}

START_TEST(test_case)
{
	const struct params_case *c = &cases[_i];
	struct collected *got = calloc(1, sizeof *got);
	struct pst_http_request request;

	parse(&request, &PST_HTTP_DEFAULT_LIMITS, c->request);
	got->text[got->length++] = '\n';
	make(&request, &c->facts, got);
	if (!c->facts.separate)
		check_unique(got->text + 1);
	else if (strcmp(got->text + got->length - strlen(c->expect), c->expect) != 0)
		ck_abort_msg(
		    "%s: these are not the last, in order:\n%s\n%s", c->name, c->expect, got->text);
	for (const char *line = c->expect; *line; line += strcspn(line, "\n") + 1)
		check_line(c, got->text, line, strcspn(line, "\n"));
	pst_http_request_free(&request);
	free(got);
}
END_TEST

/* Names that are one in CGI: only with --header-map dangerous; both are seen, neither wins. */
START_TEST(test_underscores)
{
	struct pst_http_limits limits = PST_HTTP_DEFAULT_LIMITS;
	struct pst_cgi_facts facts = PLAIN;
	struct collected *got = calloc(1, sizeof *got);
	struct pst_http_request request;

	limits.map = PST_HTTP_MAP_DANGEROUS;
	parse(&request, &limits,
	    "GET / HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nX_A: 2\r\nContent_Length: 7\r\n"
	    "Transfer_Encoding: x\r\n\r\n");
	make(&request, &facts, got);
	ck_assert_ptr_nonnull(strstr(got->text, "\nHTTP_X_A=1, 2\n"));
	ck_assert_ptr_null(strstr(got->text, "CONTENT_LENGTH"));
	ck_assert_ptr_null(strstr(got->text, "TRANSFER_ENCODING"));
	pst_http_request_free(&request);
	free(got);
}
END_TEST

/* More fields than fit on the stack, half of them duplicates. */
START_TEST(test_many_fields)
{
	struct pst_http_limits limits = PST_HTTP_DEFAULT_LIMITS;
	struct pst_cgi_facts facts = PLAIN;
	struct collected *got = calloc(1, sizeof *got);
	struct pst_http_request request;
	char text[16384] = "GET / HTTP/1.1\r\nHost: h\r\n", line[64];

	limits.fields = 1000;
	for (int i = 0; i < 400; i++) {
		snprintf(line, sizeof line, "X-%d: %d\r\n", i % 200, i);
		strcat(text, line);
	}
	strcat(text, "\r\n");
	parse(&request, &limits, text);
	make(&request, &facts, got);
	for (int i = 0; i < 200; i++) {
		snprintf(line, sizeof line, "\nHTTP_X_%d=%d, %d\n", i, i, i + 200);
		ck_assert_ptr_nonnull(strstr(got->text, line));
	}
	pst_http_request_free(&request);
	free(got);
}
END_TEST

/* A parameter may need more room than anything else that is there. */
START_TEST(test_large)
{
	static const char *const forms[][2] = {{"GET /", " HTTP/1.1\r\nHost: h\r\n\r\n"},
	    {"GET /?", " HTTP/1.1\r\nHost: h\r\n\r\n"},
	    {"GET / HTTP/1.1\r\nHost: h\r\nX: ", "\r\n\r\n"},
	    {"GET / HTTP/1.1\r\nHost: h\r\nContent-Type: ", "\r\n\r\n"},
	    {"GET / HTTP/1.1\r\nHost: h\r\n", ": x\r\n\r\n"}};
	struct pst_http_limits limits = PST_HTTP_DEFAULT_LIMITS;
	struct pst_cgi_facts facts = PLAIN;
	struct collected *got = calloc(1, sizeof *got);
	char word[8001] = "", text[16384];

	limits.line = limits.field = 0;
	memset(word, 'a', sizeof word - 1);
	for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
		struct pst_http_request request;

		snprintf(text, sizeof text, "%s%s%s", forms[i][0], word, forms[i][1]);
		parse(&request, &limits, text);
		got->length = 0;
		make(&request, &facts, got);
		ck_assert_uint_gt(got->length, sizeof word);
		pst_http_request_free(&request);
	}
	free(got);
}
END_TEST

START_TEST(test_no_memory)
{
	struct pst_http_limits limits = PST_HTTP_DEFAULT_LIMITS;
	struct pst_cgi_facts facts = PLAIN;
	struct pst_http_request request;
	struct pst_buf out = {0};
	char text[4096] = "GET / HTTP/1.1\r\nHost: h\r\n";
	unsigned long nth = 0;
	int err;

	limits.fields = 1000;
	for (int i = 0; i < 200; i++)
		strcat(text, "A: 1\r\n");
	strcat(text, "\r\n");
	parse(&request, &limits, text);
	do {
		failmalloc_count = 0;
		failmalloc_at = ++nth;
		err = pst_cgi_params_make(&request, &facts, &out);
		failmalloc_at = 0;
		ck_assert(err == 0 || err == PST_ERR_NOMEM);
		ck_assert(err == 0 || pst_buf_length(&out) == 0);
	} while (err);
	ck_assert_uint_eq(nth, 3);
	pst_buf_free(&out);
	pst_http_request_free(&request);
}
END_TEST

/* --- addresses --- */

START_TEST(test_peer_address)
{
	struct sockaddr_in v4 = {
	    .sin_family = AF_INET, .sin_port = htons(80), .sin_addr = {htonl(0xc0000207)}};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
	    .sin6_port = htons(8080),
	    .sin6_scope_id = 3,
	    .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr_un path = {.sun_family = AF_UNIX, .sun_path = "/tmp/x"};
	struct pst_peer_address peer;

	pst_peer_address_set(&peer, (struct sockaddr *)&v4, sizeof v4);
	ck_assert_str_eq(peer.host, "192.0.2.7");
	ck_assert_uint_eq(peer.port, 80);
	ck_assert(!peer.local);
	pst_peer_address_set(&peer, (struct sockaddr *)&v6, sizeof v6);
	ck_assert_str_eq(peer.host, "::1");
	ck_assert_uint_eq(peer.port, 8080);
	memcpy(&v6.sin6_addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\7", 16);
	pst_peer_address_set(&peer, (struct sockaddr *)&v6, sizeof v6);
	ck_assert_str_eq(peer.host, "192.0.2.7");
	ck_assert_uint_eq(peer.port, 8080);
	pst_peer_address_set(&peer, (struct sockaddr *)&path, sizeof path);
	ck_assert_str_eq(peer.host, "");
	ck_assert_uint_eq(peer.port, 0);
	ck_assert(peer.local);
	pst_peer_address_set(&peer, (struct sockaddr *)&path, sizeof(sa_family_t));
	ck_assert(peer.local);
	pst_peer_address_set(&peer, (struct sockaddr *)&v4, 4);
	ck_assert_str_eq(peer.host, "");
	ck_assert(!peer.local);
	pst_peer_address_set(&peer, (struct sockaddr *)&v4, 0);
	ck_assert(!peer.local);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("cgi_params");
	TCase *tcase = tcase_create("cgi_params");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tcase, test_case, 0, (int)(sizeof cases / sizeof cases[0]));
	tcase_add_test(tcase, test_underscores);
	tcase_add_test(tcase, test_many_fields);
	tcase_add_test(tcase, test_large);
	tcase_add_test(tcase, test_no_memory);
	tcase_add_test(tcase, test_peer_address);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
