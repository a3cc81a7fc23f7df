/* The request line and its target: RFC 9112, sections 2 and 3; RFC 3986. */
#include "gateway/front/http_target.h"
#include "tests/unit/http_case.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define HOST "Host: h\r\n\r\n"
#define OK   " host=h 1.1 keep body=none |Host=h"

static const struct pst_http_limits line_of_20 = {
    .line = 20, .field = 8190, .fields = 100, .head = 65536, .extensions = 100, .trailers = 100};
static const struct pst_http_limits head_of_64 = {.head = 64};

static const struct http_case cases[] = {
    {"9112 3 request line", BYTES("GET / HTTP/1.1\r\n" HOST), 0, "GET origin /" OK, NULL},
    {"9112 3 HTTP/1.0 needs no Host", BYTES("GET / HTTP/1.0\r\n\r\n"), 0,
	"GET origin / host= 1.0 close body=none", NULL},

    /* 9112 2.2: message parsing */
    {"9112 2.2 one empty line before is ignored", BYTES("\r\nGET / HTTP/1.1\r\n" HOST), 0,
	"GET origin /" OK, NULL},
    {"9112 2.2 more than one is not", BYTES("\r\n\r\nGET / HTTP/1.1\r\n" HOST), 400,
	"more than one empty line before the request", NULL},
    {"9112 2.2 bare LF before", BYTES("\nGET / HTTP/1.1\r\n" HOST), 400, "bare LF in a line", NULL},
    {"9112 2.2 bare CR before", BYTES("\rGET / HTTP/1.1\r\n" HOST), 400, "bare CR in a line", NULL},
    {"9112 2.2 LF alone ends no request line", BYTES("GET / HTTP/1.1\n" HOST), 400,
	"bare LF in a line", NULL},
    {"9112 2.2 bare CR in the method", BYTES("GE\rT / HTTP/1.1\r\n" HOST), 400, "bare CR in a line",
	NULL},
    {"9112 2.2 bare CR in the target", BYTES("GET /\rx HTTP/1.1\r\n" HOST), 400,
	"bare CR in a line", NULL},
    {"9112 2.2 bare CR in the version", BYTES("GET / HTTP/1.1\r\r\n" HOST), 400,
	"bare CR in a line", NULL},
    {"9112 2.2 NUL in the target", BYTES("GET /\0 HTTP/1.1\r\n" HOST), 400, "NUL in a line", NULL},
    {"9112 2.2 NUL in the method", BYTES("G\0T / HTTP/1.1\r\n" HOST), 400, "NUL in a line", NULL},
    {"9112 2.2 NUL first", BYTES("\0GET / HTTP/1.1\r\n" HOST), 400,
	"request line does not begin with a method", NULL},
    {"9112 2.2 whitespace before the first field", BYTES("GET / HTTP/1.1\r\n Host: h\r\n\r\n"), 400,
	"whitespace before the first field", NULL},
    {"9112 2.2 tab before the first field", BYTES("GET / HTTP/1.1\r\n\tHost: h\r\n\r\n"), 400,
	"whitespace before the first field", NULL},
    {"9112 2.2 a TLS client is told at once", BYTES("\x16\x03\x01\x02"), 400,
	"TLS handshake on a plain HTTP listener", NULL},
    {"9112 2.2 what is no HTTP is told at once", BYTES("{\"jsonrpc\""), 400,
	"request line does not begin with a method", NULL},

    /* 9112 2.3: version */
    {"9112 2.3 lower case", BYTES("GET / http/1.1\r\n" HOST), 400, "malformed protocol version",
	NULL},
    {"9112 2.3 two digits", BYTES("GET / HTTP/1.10\r\n" HOST), 400, "malformed protocol version",
	NULL},
    {"9112 2.3 leading zero", BYTES("GET / HTTP/01.1\r\n" HOST), 400, "malformed protocol version",
	NULL},
    {"9112 2.3 no minor", BYTES("GET / HTTP/1\r\n" HOST), 400, "malformed protocol version", NULL},
    {"9112 2.3 comma", BYTES("GET / HTTP/1,1\r\n" HOST), 400, "malformed protocol version", NULL},
    {"9112 2.3 sign", BYTES("GET / HTTP/1.+\r\n" HOST), 400, "malformed protocol version", NULL},
    {"9112 2.3 other protocol", BYTES("GET / HTCP/1.1\r\n" HOST), 400, "malformed protocol version",
	NULL},
    {"9112 2.3 empty", BYTES("GET / \r\n" HOST), 400, "malformed protocol version", NULL},
    {"9110 2.5 higher minor is served as 1.1", BYTES("GET / HTTP/1.2\r\n" HOST), 0,
	"GET origin /" OK, NULL},
    {"9110 2.5 and keeps its rules", BYTES("GET / HTTP/1.9\r\n\r\n"), 400, "no Host field", NULL},
    {"9110 15.6.6 major 2", BYTES("GET / HTTP/2.0\r\n" HOST), 505,
	"protocol version other than HTTP/1.0 and HTTP/1.1", NULL},
    {"9110 15.6.6 major 0", BYTES("GET / HTTP/0.9\r\n" HOST), 505,
	"protocol version other than HTTP/1.0 and HTTP/1.1", NULL},
    {"9110 15.6.6 major 3", BYTES("GET / HTTP/3.0\r\n" HOST), 505,
	"protocol version other than HTTP/1.0 and HTTP/1.1", NULL},
    {"9113 3.4 the preface of HTTP/2", BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 505,
	"protocol version other than HTTP/1.0 and HTTP/1.1", NULL},
    {"1945 4.1 HTTP/0.9", BYTES("GET /\r\n"), 400, "request line without a version", NULL},

    /* 9112 3: single spaces */
    {"9112 3 no target", BYTES("GET\r\n"), 400, "request line without a target and a version",
	NULL},
    {"9112 3 two spaces after the method", BYTES("GET  / HTTP/1.1\r\n" HOST), 400,
	"whitespace within the request target", NULL},
    {"9112 3 two spaces before the version", BYTES("GET /  HTTP/1.1\r\n" HOST), 400,
	"whitespace within the request target", NULL},
    {"9112 3.2 space in the target", BYTES("GET /a b HTTP/1.1\r\n" HOST), 400,
	"whitespace within the request target", NULL},
    {"9112 3 space behind the version", BYTES("GET / HTTP/1.1 \r\n" HOST), 400,
	"whitespace within the request target", NULL},
    {"9112 3 space in front", BYTES(" GET / HTTP/1.1\r\n" HOST), 400,
	"request line does not begin with a method", NULL},
    {"9112 3 tab for a space", BYTES("GET\t/ HTTP/1.1\r\n" HOST), 400,
	"invalid character in the method", NULL},
    {"9112 3 vertical tab in the target", BYTES("GET /\v HTTP/1.1\r\n" HOST), 400,
	"request target has a byte that must be percent-encoded", NULL},

    /* 9110 9.1: methods */
    {"9110 9.1 any token is a method", BYTES("M-SEARCH!#$%&'*+.^_`|~ / HTTP/1.1\r\n" HOST), 0,
	"M-SEARCH!#$%&'*+.^_`|~ origin /" OK, NULL},
    {"9110 9.1 methods have case", BYTES("get / HTTP/1.1\r\n" HOST), 0, "get origin /" OK, NULL},
    {"9110 9.1 colon", BYTES("G:T / HTTP/1.1\r\n" HOST), 400, "invalid character in the method",
	NULL},
    {"9110 9.1 bracket", BYTES("G[T / HTTP/1.1\r\n" HOST), 400, "invalid character in the method",
	NULL},
    {"9110 9.1 byte above 0x7f", BYTES("G\xc3\x89T / HTTP/1.1\r\n" HOST), 400,
	"invalid character in the method", NULL},
    {"9112 3.1 32 characters", BYTES("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF / HTTP/1.1\r\n" HOST), 0,
	"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF origin /" OK, NULL},
    {"9112 3.1 a longer method is 501",
	BYTES("ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\n" HOST), 501, "method is too long",
	NULL},
    {"9110 9.3.6 CONNECT", BYTES("CONNECT h:80 HTTP/1.1\r\n" HOST), 501, "CONNECT is not supported",
	NULL},

    /* 9112 3: length */
    {"9112 3 line at the limit", BYTES("GET /345678 HTTP/1.1\r\n" HOST), 0, "GET origin /345678" OK,
	&line_of_20},
    {"9112 3 line beyond the limit is 414", BYTES("GET /3456789 HTTP/1.1\r\n" HOST), 414,
	"request line is too long", &line_of_20},
    {"9112 3 before its end is seen", BYTES("GET /34567890123456789"), 414,
	"request line is too long", &line_of_20},
    {"9112 3 no end at all", BYTES("GET /3456789012345678901234567890123456789"), 414,
	"request line is too long", &line_of_20},
    {"9112 3 unlimited means the head's limit",
	BYTES("GET /3456789012345678901234567890123456789012"
	      "34567890123456789 HTTP/1.1\r\n" HOST),
	414, "request line is too long", &head_of_64},

    /* 9112 3.2.1: origin form */
    {"9112 3.2.1 path and query", BYTES("GET /a/b?c=d&e HTTP/1.1\r\n" HOST), 0,
	"GET origin /a/b?c=d&e" OK, NULL},
    {"9112 3.2.1 empty query", BYTES("GET /a? HTTP/1.1\r\n" HOST), 0, "GET origin /a" OK, NULL},
    {"9112 3.2.1 the first mark begins the query", BYTES("GET /a?b?c HTTP/1.1\r\n" HOST), 0,
	"GET origin /a?b?c" OK, NULL},
    {"9112 3.2.1 two slashes name no host", BYTES("GET //evil/x HTTP/1.1\r\n" HOST), 0,
	"GET origin //evil/x" OK, NULL},
    {"9112 3.2.1 a URI in a query", BYTES("GET /?u=http://x/ HTTP/1.1\r\n" HOST), 0,
	"GET origin /?u=http://x/" OK, NULL},
    {"9112 3.2.1 fragment", BYTES("GET /a#b HTTP/1.1\r\n" HOST), 400,
	"fragment in the request target", NULL},
    {"9112 3.2.1 relative path", BYTES("GET a/b HTTP/1.1\r\n" HOST), 400,
	"request target is neither a path nor a URI", NULL},
    {"9112 3.2.1 query alone", BYTES("GET ?a HTTP/1.1\r\n" HOST), 400,
	"request target is neither a path nor a URI", NULL},
    {"3986 2 byte above 0x7f", BYTES("GET /\xc3\xa9 HTTP/1.1\r\n" HOST), 400,
	"request target has a byte that must be percent-encoded", NULL},
    {"3986 2 DEL", BYTES("GET /\x7f HTTP/1.1\r\n" HOST), 400,
	"request target has a byte that must be percent-encoded", NULL},
    {"3986 3.3 what browsers leave as it is", BYTES("GET /a|b{c}[d]^`\"<>\\ HTTP/1.1\r\n" HOST), 0,
	"GET origin /a|b{c}[d]^`\"<>\\" OK, NULL},

    /* 3986 2.1: percent-encoding */
    {"3986 2.1 decoded once", BYTES("GET /%41%2f%2F%25%32%35 HTTP/1.1\r\n" HOST), 0,
	"GET origin /A//%25" OK, NULL},
    {"3986 2.1 any byte but NUL", BYTES("GET /%0d%0a%ff HTTP/1.1\r\n" HOST), 0,
	"GET origin /\r\n\xff" OK, NULL},
    {"3986 2.1 %00", BYTES("GET /a%00b HTTP/1.1\r\n" HOST), 400, "%00 in the path", NULL},
    {"3986 2.1 no hexadecimal", BYTES("GET /%4g HTTP/1.1\r\n" HOST), 400,
	"malformed percent-encoding in the path", NULL},
    {"3986 2.1 cut short", BYTES("GET /%4 HTTP/1.1\r\n" HOST), 400,
	"malformed percent-encoding in the path", NULL},
    {"3986 2.1 % alone", BYTES("GET /% HTTP/1.1\r\n" HOST), 400,
	"malformed percent-encoding in the path", NULL},
    {"3986 2.1 cut short by the query", BYTES("GET /%4?1 HTTP/1.1\r\n" HOST), 400,
	"malformed percent-encoding in the path", NULL},
    {"3986 2.1 the query is not looked into", BYTES("GET /?100%&%00 HTTP/1.1\r\n" HOST), 0,
	"GET origin /?100%&%00" OK, NULL},
    {"3986 5.2.4 dot segments are kept", BYTES("GET /a/../%2e%2e/./b HTTP/1.1\r\n" HOST), 0,
	"GET origin /a/../.././b" OK, NULL},

    /* 9112 3.2.2: absolute form */
    {"9112 3.2.2 replaces Host", BYTES("GET http://a:81/b?c HTTP/1.1\r\nHost: evil\r\n\r\n"), 0,
	"GET absolute /b?c host=a:81 1.1 keep body=none |Host=a:81", NULL},
    {"9112 3.2.2 needs Host all the same", BYTES("GET http://a/b HTTP/1.1\r\n\r\n"), 400,
	"no Host field", NULL},
    {"9112 3.2.2 a malformed Host is refused all the same",
	BYTES("GET http://a/b HTTP/1.1\r\nHost: a b\r\n\r\n"), 400, "malformed Host field", NULL},
    {"9112 3.2.2 in 1.0", BYTES("GET http://a/b HTTP/1.0\r\n\r\n"), 0,
	"GET absolute /b host=a 1.0 close body=none", NULL},
    {"9110 4.2.3 empty path", BYTES("GET http://a HTTP/1.1\r\n" HOST), 0,
	"GET absolute / host=a 1.1 keep body=none |Host=a", NULL},
    {"9110 4.2.3 empty path with a query", BYTES("GET http://a?b HTTP/1.1\r\n" HOST), 0,
	"GET absolute /?b host=a 1.1 keep body=none |Host=a", NULL},
    {"9110 4.2.3 schemes have no case", BYTES("GET HTTPS://a/b HTTP/1.1\r\n" HOST), 0,
	"GET absolute /b host=a 1.1 keep body=none |Host=a", NULL},
    {"9110 4.2.1 empty host", BYTES("GET http:///b HTTP/1.1\r\n" HOST), 400,
	"request target without a host", NULL},
    {"9110 4.2.1 port without a host", BYTES("GET http://:80/b HTTP/1.1\r\n" HOST), 400,
	"malformed host in the request target", NULL},
    {"9110 4.2.4 userinfo", BYTES("GET http://u:p@a/b HTTP/1.1\r\n" HOST), 400,
	"request target with userinfo", NULL},
    {"9110 4.2 another scheme", BYTES("GET ftp://a/b HTTP/1.1\r\n" HOST), 400,
	"request target of a scheme other than http and https", NULL},
    {"9110 4.2 no scheme", BYTES("GET ://a/b HTTP/1.1\r\n" HOST), 400,
	"request target of a scheme other than http and https", NULL},
    {"9110 4.2 one slash", BYTES("GET http:/a/b HTTP/1.1\r\n" HOST), 400,
	"request target is neither a path nor a URI", NULL},
    {"3986 3.2.2 malformed host", BYTES("GET http://a\"/b HTTP/1.1\r\n" HOST), 400,
	"malformed host in the request target", NULL},
    {"3986 3.2.3 malformed port", BYTES("GET http://a:8x/b HTTP/1.1\r\n" HOST), 400,
	"malformed host in the request target", NULL},

    /* 9112 3.2.3 and 3.2.4 */
    {"9112 3.2.3 authority form is for CONNECT", BYTES("GET h:80 HTTP/1.1\r\n" HOST), 400,
	"request target is neither a path nor a URI", NULL},
    {"9112 3.2.4 OPTIONS *", BYTES("OPTIONS * HTTP/1.1\r\n" HOST), 0, "OPTIONS asterisk *" OK,
	NULL},
    {"9112 3.2.4 OPTIONS without a path", BYTES("OPTIONS http://a HTTP/1.1\r\n" HOST), 0,
	"OPTIONS asterisk * host=a 1.1 keep body=none |Host=a", NULL},
    {"9112 3.2.4 * for others", BYTES("GET * HTTP/1.1\r\n" HOST), 400,
	"request target * is for OPTIONS only", NULL},
    {"9112 3.2.4 ** is no target", BYTES("OPTIONS ** HTTP/1.1\r\n" HOST), 400,
	"request target is neither a path nor a URI", NULL},
};

START_TEST(test_case)
{
	http_case_check(&cases[_i]);
}
END_TEST

static const struct {
	const char *host;
	bool valid;
} hosts[] = {
    {"", true},
    {"h", true},
    {"example.com", true},
    {"example.com.", true},
    {"a_b-c~d", true},
    {"h:", true},
    {"h:0", true},
    {"h:65535", true},
    {"h:65536", false},
    {"h:99999999999999999999", false},
    {"h:-1", false},
    {"h:8 ", false},
    {"h:80:80", false},
    {":80", false},
    {"a b", false},
    {"a,b", true}, /* a reg-name may hold sub-delims */
    {"a/b", false},
    {"a?b", false},
    {"a@b", false},
    {"a\\b", false},
    {"a\"b", false},
    {"\xc3\xa9", false},
    {"%41%c3", true},
    {"%4", false},
    {"%zz", false},
    {"%00", false},
    {"127.0.0.1", true},
    {"127.0.0.1:8000", true},
    {"[::1]", true},
    {"[::1]:8000", true},
    {"[::ffff:127.0.0.1]", true},
    {"[2001:db8:0:0:0:0:0:1]:", true},
    {"[::1", false},
    {"[::1]x", false},
    {"[]", false},
    {"[:::1]", false},
    {"[127.0.0.1]", false},
    {"[fe80::1%25eth0]", false},
    {"[2001:db8:0:0:0:0:0:1:2001:db8:0:0:0:0:0:1:1111:1111]", false},
    {"[v1.a:b]", true},
    {"[v.a]", false},
    {"[v1.]", false},
    {"[v1]", false},
    {"[vg.a]", false},
    {"[v1.a b]", false},
    {"::1", false},
};

START_TEST(test_host)
{
	struct pst_http_text host = {hosts[_i].host, strlen(hosts[_i].host)};

	ck_assert_msg(pst_http_host_valid(host) == hosts[_i].valid, "\"%s\"", hosts[_i].host);
}
END_TEST

START_TEST(test_host_nul)
{
	ck_assert(!pst_http_host_valid((struct pst_http_text){"a\0b", 3}));
	ck_assert(!pst_http_host_valid((struct pst_http_text){"[::1\0]", 6}));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("http_line");
	TCase *lines = tcase_create("lines");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(lines, test_case, 0, sizeof(cases) / sizeof(cases[0]));
	tcase_add_loop_test(lines, test_host, 0, sizeof(hosts) / sizeof(hosts[0]));
	tcase_add_test(lines, test_host_nul);
	suite_add_tcase(suite, lines);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
