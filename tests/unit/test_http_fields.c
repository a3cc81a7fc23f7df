/* Fields and what they govern: RFC 9110, sections 5 to 7 and 10; RFC 9112, sections 3.2, 5, 6, 9.
 */
#include "protocol/error.h"
#include "tests/unit/failmalloc.h"
#include "tests/unit/http_case.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A request with FIELDS behind Host: h. */
#define GET(fields)           BYTES("GET / HTTP/1.1\r\nHost: h\r\n" fields "\r\n")
#define GET0(fields)          BYTES("GET / HTTP/1.0\r\n" fields "\r\n")
#define ONLY(fields)          BYTES("GET / HTTP/1.1\r\n" fields "\r\n")
#define ACCEPT(facts, fields) 0, "GET origin / host=h 1.1 " facts " |Host=h" fields

static const struct pst_http_limits two_fields = {.fields = 2};
static const struct pst_http_limits field_of_10 = {.line = 100, .field = 10};
static const struct pst_http_limits head_of_40 = {.head = 40};
static const struct pst_http_limits refusing = {.map = PST_HTTP_MAP_REFUSE};
static const struct pst_http_limits dangerous = {.map = PST_HTTP_MAP_DANGEROUS};

static const struct http_case syntax[] = {
    {"9112 5 whitespace around a value goes", GET("A: \t b c\t \r\nB:d\r\n"),
	ACCEPT("keep body=none", ";A=b c;B=d"), NULL},
    {"9110 5.5 empty value", GET("A:\r\nB: \r\n"), ACCEPT("keep body=none", ";A=;B="), NULL},
    {"9110 5.1 any token is a name", GET("!#$%&'*+-.^`|~09azAZ: b\r\n"),
	ACCEPT("keep body=none", ";!#$%&'*+-.^`|~09azAZ=b"), NULL},
    {"9110 5.3 order and duplicates stay", GET("A: 1\r\nB: 2\r\na: 3\r\n"),
	ACCEPT("keep body=none", ";A=1;B=2;a=3"), NULL},
    {"9110 5.5 obs-text", GET("A: \x80\xff\r\n"), ACCEPT("keep body=none", ";A=\x80\xff"), NULL},
    {"9110 5.5 colons and quotes", GET("A: b:c\"d\r\n"), ACCEPT("keep body=none", ";A=b:c\"d"),
	NULL},

    {"9112 5.1 space before the colon", GET("A : b\r\n"), 400,
	"whitespace before the colon of a field", NULL},
    {"9112 5.1 tab before the colon", GET("A\t: b\r\n"), 400,
	"whitespace before the colon of a field", NULL},
    {"9112 5.1 space before the colon of Content-Length", GET("Content-Length : 5\r\n"), 400,
	"whitespace before the colon of a field", NULL},
    {"9112 5.2 obs-fold", GET("A: b\r\n c\r\n"), 400, "field folded over two lines", NULL},
    {"9112 5.2 obs-fold with a tab", GET("A: b\r\n\tc\r\n"), 400, "field folded over two lines",
	NULL},
    {"9112 5.2 obs-fold of nothing", GET("A: b\r\n \r\n"), 400, "field folded over two lines",
	NULL},
    {"9112 5 no colon", GET("A\r\n"), 400, "field line without a colon", NULL},
    {"9112 5 empty name", GET(": b\r\n"), 400, "empty field name", NULL},
    {"9110 5.1 space in a name", GET("A B: c\r\n"), 400, "invalid character in a field name", NULL},
    {"9110 5.1 quote in a name", GET("A\": c\r\n"), 400, "invalid character in a field name", NULL},
    {"9110 5.1 bracket in a name", GET("A[: c\r\n"), 400, "invalid character in a field name",
	NULL},
    {"9110 5.1 byte above 0x7f in a name", GET("\xc3\x89: c\r\n"), 400,
	"invalid character in a field name", NULL},
    {"9110 5.5 bare CR in a value", GET("A: b\rc\r\n"), 400, "bare CR in a line", NULL},
    {"9110 5.5 bare CR at the end of a value", GET("A: b\r\r\n"), 400, "bare CR in a line", NULL},
    {"9112 2.2 bare CR in a name", GET("A\rB: c\r\n"), 400, "bare CR in a line", NULL},
    {"9112 2.2 bare CR ends no head", ONLY("Host: h\r\n\rA: b\r\n"), 400, "bare CR in a line",
	NULL},
    {"9112 2.2 LF alone ends no field", GET("A: b\nC: d\r\n"), 400, "bare LF in a line", NULL},
    {"9112 2.2 LF alone ends no head", BYTES("GET / HTTP/1.1\r\nHost: h\r\n\n"), 400,
	"bare LF in a line", NULL},
    {"9110 5.5 NUL in a value", GET("A: b\0c\r\n"), 400, "NUL in a line", NULL},
    {"9110 5.5 NUL in a name", GET("A\0: c\r\n"), 400, "NUL in a line", NULL},
    {"9110 5.5 control character in a value", GET("A: b\x01\r\n"), 400,
	"control character in a field value", NULL},
    {"9110 5.5 DEL in a value", GET("A: b\x7f\r\n"), 400, "control character in a field value",
	NULL},
    {"9110 5.5 vertical tab around a value", GET("A:\vb\r\n"), 400,
	"control character in a field value", NULL},
    {"9110 5.5 form feed in a value", GET("A: b\f\r\n"), 400, "control character in a field value",
	NULL},

    {"6585 5 number of fields at the limit", ONLY("Host: h\r\nA: b\r\n"),
	ACCEPT("keep body=none", ";A=b"), &two_fields},
    {"6585 5 number of fields beyond the limit", ONLY("Host: h\r\nA: b\r\nC: d\r\n"), 431,
	"too many header fields", &two_fields},
    {"6585 5 fields that are dropped count", ONLY("Host: h\r\nA_A: b\r\nB_B: d\r\n"), 431,
	"too many header fields", &two_fields},
    {"6585 5 field at the limit", GET("A: 4567890\r\n"), ACCEPT("keep body=none", ";A=4567890"),
	&field_of_10},
    {"6585 5 field beyond the limit", GET("A: 45678901\r\n"), 431, "header field is too long",
	&field_of_10},
    {"6585 5 before its end is seen", ONLY("Host: h\r\nA: 456789012"), 431,
	"header field is too long", &field_of_10},
    {"6585 5 head at the limit", GET("A: 89012345\r\n"), ACCEPT("keep body=none", ";A=89012345"),
	&(const struct pst_http_limits){.head = 16 + 9 + 13 + 2}},
    {"6585 5 head beyond the limit", GET("A: 890123456\r\n"), 431, "head is too large",
	&head_of_40},

    {"3875 4.1.18 underscore is dropped", GET("X_Real_Ip: 1\r\nContent_Length: 5\r\nA: b\r\n"),
	ACCEPT("keep body=none", ";A=b"), NULL},
    {"3875 4.1.18 underscore is refused", GET("X_Real_Ip: 1\r\n"), 400,
	"underscore in a field name", &refusing},
    {"3875 4.1.18 underscore is kept", GET("X_A: 1\r\nTransfer_Encoding: chunked\r\n"),
	ACCEPT("keep body=none", ";X_A=1;Transfer_Encoding=chunked"), &dangerous},
    {"CVE-2016-5385 Proxy is always dropped", GET("Proxy: evil\r\nPROXY: evil\r\n"),
	ACCEPT("keep body=none", ""), &dangerous},
    {"CVE-2016-5385 Proxy is not refused", GET("Proxy: evil\r\n"), ACCEPT("keep body=none", ""),
	&refusing},
    {"9112 5.1 a dropped field is checked all the same", GET("X_A: \x01\r\n"), 400,
	"control character in a field value", NULL},

    {"9112 3.2 no Host", ONLY("A: b\r\n"), 400, "no Host field", NULL},
    {"9112 3.2 two Hosts", ONLY("Host: h\r\nhost: h\r\n"), 400, "more than one Host field", NULL},
    {"9112 3.2 two Hosts in 1.0", GET0("Host: h\r\nHost: i\r\n"), 400, "more than one Host field",
	NULL},
    {"9112 3.2 Host twice in one field", ONLY("Host: h, h\r\n"), 400, "malformed Host field", NULL},
    {"9112 3.2 malformed Host", ONLY("Host: h/x\r\n"), 400, "malformed Host field", NULL},
    {"9112 3.2 malformed Host in 1.0", GET0("Host: h x\r\n"), 400, "malformed Host field", NULL},
    {"9112 3.2 userinfo in Host", ONLY("Host: u@h\r\n"), 400, "malformed Host field", NULL},
    {"9110 7.2 empty Host", ONLY("Host:\r\n"), 0,
	"GET origin / host= 1.1 keep body=none |Host=", NULL},
    {"9110 7.2 Host with a port", ONLY("Host: [::1]:8000\r\n"), 0,
	"GET origin / host=[::1]:8000 1.1 keep body=none |Host=[::1]:8000", NULL},
};

#define NUM "Content-Length: "
#define TE  "Transfer-Encoding: "

static const struct http_case framing[] = {
    {"9110 8.6 length", GET(NUM "5\r\n"), ACCEPT("keep body=5", ";Content-Length=5"), NULL},
    {"9110 8.6 zero", GET(NUM "0\r\n"), ACCEPT("keep body=none", ";Content-Length=0"), NULL},
    {"9110 8.6 leading zeros", GET(NUM "005\r\n"), ACCEPT("keep body=5", ";Content-Length=005"),
	NULL},
    {"9110 8.6 the largest", GET(NUM "9223372036854775807\r\n"),
	ACCEPT("keep body=9223372036854775807", ";Content-Length=9223372036854775807"), NULL},
    {"9110 8.6 one more", GET(NUM "9223372036854775808\r\n"), 413,
	"Content-Length is beyond any limit", NULL},
    {"9110 8.6 2^64 + 5", GET(NUM "18446744073709551621\r\n"), 413,
	"Content-Length is beyond any limit", NULL},
    {"9110 8.6 of 40 digits", GET(NUM "1000000000000000000000000000000000000000\r\n"), 413,
	"Content-Length is beyond any limit", NULL},
    {"9112 6.3 empty", GET(NUM "\r\n"), 400, "malformed Content-Length", NULL},
    {"9112 6.3 plus", GET(NUM "+5\r\n"), 400, "malformed Content-Length", NULL},
    {"9112 6.3 minus", GET(NUM "-5\r\n"), 400, "malformed Content-Length", NULL},
    {"9112 6.3 hexadecimal", GET(NUM "0x5\r\n"), 400, "malformed Content-Length", NULL},
    {"9112 6.3 space within", GET(NUM "5 5\r\n"), 400, "malformed Content-Length", NULL},
    {"9112 6.3 underscore within", GET(NUM "5_5\r\n"), 400, "malformed Content-Length", NULL},
    {"9112 6.3 fraction", GET(NUM "5.0\r\n"), 400, "malformed Content-Length", NULL},
    {"9112 6.3 other digits", GET(NUM "\xd9\xa5\r\n"), 400, "malformed Content-Length", NULL},
    {"9112 6.3 list of equal values", GET(NUM "5, 5\r\n"), 400, "malformed Content-Length", NULL},
    {"9112 6.3 list of unequal values", GET(NUM "5, 6\r\n"), 400, "malformed Content-Length", NULL},
    {"9112 6.3 list of one", GET(NUM "5,\r\n"), 400, "malformed Content-Length", NULL},
    {"9112 6.3 two equal fields", GET(NUM "5\r\n" NUM "5\r\n"), 400, "more than one Content-Length",
	NULL},
    {"9112 6.3 two unequal fields", GET(NUM "5\r\n" NUM "6\r\n"), 400,
	"more than one Content-Length", NULL},

    {"9112 6.1 chunked", GET(TE "chunked\r\n"),
	ACCEPT("keep body=chunked", ";Transfer-Encoding=chunked*"), NULL},
    {"9112 7 coding names have no case", GET(TE "CHUNKed\r\n"),
	ACCEPT("keep body=chunked", ";Transfer-Encoding=CHUNKed*"), NULL},
    {"9112 6.1 with Content-Length", GET(TE "chunked\r\n" NUM "5\r\n"), 400,
	"both Content-Length and Transfer-Encoding", NULL},
    {"9112 6.1 with Content-Length before", GET(NUM "5\r\n" TE "chunked\r\n"), 400,
	"both Content-Length and Transfer-Encoding", NULL},
    {"9112 6.1 with Content-Length: 0", GET(NUM "0\r\n" TE "chunked\r\n"), 400,
	"both Content-Length and Transfer-Encoding", NULL},
    {"9112 6.1 in 1.0", GET0(TE "chunked\r\n"), 400, "Transfer-Encoding in HTTP/1.0", NULL},
    {"9112 6.1 another coding first is 501", GET(TE "gzip, chunked\r\n"), 501,
	"transfer coding other than chunked", NULL},
    {"9112 6.1 unknown coding first is 501", GET(TE "xchunked, chunked\r\n"), 501,
	"transfer coding other than chunked", NULL},
    {"9112 6.3 chunked not last", GET(TE "chunked, gzip\r\n"), 400,
	"Transfer-Encoding does not end with chunked", NULL},
    {"9112 6.3 not chunked", GET(TE "gzip\r\n"), 400, "Transfer-Encoding does not end with chunked",
	NULL},
    {"9112 6.3 identity", GET(TE "identity\r\n"), 400,
	"Transfer-Encoding does not end with chunked", NULL},
    {"9112 6.3 identity with a length", GET(TE "identity\r\n" NUM "5\r\n"), 400,
	"both Content-Length and Transfer-Encoding", NULL},
    {"9112 6.1 chunked twice", GET(TE "chunked, chunked\r\n"), 400,
	"chunked twice in Transfer-Encoding", NULL},
    {"9112 6.1 two fields", GET(TE "chunked\r\n" TE "chunked\r\n"), 400,
	"more than one Transfer-Encoding", NULL},
    {"9112 6.1 two fields, coding first", GET(TE "gzip\r\n" TE "chunked\r\n"), 400,
	"more than one Transfer-Encoding", NULL},
    {"9112 6.1 empty", GET(TE "\r\n"), 400, "empty element in Transfer-Encoding", NULL},
    {"9112 6.1 empty element", GET(TE ", chunked\r\n"), 400, "empty element in Transfer-Encoding",
	NULL},
    {"9112 6.1 empty element behind", GET(TE "chunked,\r\n"), 400,
	"empty element in Transfer-Encoding", NULL},
    {"9112 7.1 chunked has no parameters", GET(TE "chunked;a=b\r\n"), 400,
	"Transfer-Encoding does not end with chunked", NULL},
    {"9112 6.1 quoted", GET(TE "\"chunked\"\r\n"), 400,
	"Transfer-Encoding does not end with chunked", NULL},
    {"9112 6.1 longer name", GET(TE "chunkedx\r\n"), 400,
	"Transfer-Encoding does not end with chunked", NULL},
    {"9112 6.1 shorter name", GET(TE "chunk\r\n"), 400,
	"Transfer-Encoding does not end with chunked", NULL},
    {"9112 6.1 vertical tab in front", GET(TE "\vchunked\r\n"), 400,
	"control character in a field value", NULL},
};

static const struct http_case connection[] = {
    {"9112 9.3 1.1 persists", GET(""), ACCEPT("keep body=none", ""), NULL},
    {"9112 9.6 close", GET("Connection: close\r\n"),
	ACCEPT("close body=none", ";Connection=close*"), NULL},
    {"9110 7.6.1 options have no case", GET("Connection: CLOSE\r\n"),
	ACCEPT("close body=none", ";Connection=CLOSE*"), NULL},
    {"9112 9.3 close wins", GET("Connection: keep-alive, close\r\n"),
	ACCEPT("close body=none", ";Connection=keep-alive, close*"), NULL},
    {"9112 9.3 close wins over fields", GET("Connection: close\r\nConnection: keep-alive\r\n"),
	ACCEPT("close body=none", ";Connection=close*;Connection=keep-alive*"), NULL},
    {"9112 9.3 1.0 closes", GET0(""), 0, "GET origin / host= 1.0 close body=none", NULL},
    {"9112 9.3 1.0 with keep-alive", GET0("Connection: Keep-Alive\r\n"), 0,
	"GET origin / host= 1.0 keep body=none |Connection=Keep-Alive*", NULL},
    {"9112 9.3 1.0 with both", GET0("Connection: keep-alive, close\r\n"), 0,
	"GET origin / host= 1.0 close body=none |Connection=keep-alive, close*", NULL},
    {"9110 7.6.1 what it names is of the hop",
	GET("X-A: 1\r\nConnection: x-a,,x-b ,\r\nX-B: 2\r\n"),
	ACCEPT("keep body=none", ";X-A=1*;Connection=x-a,,x-b ,*;X-B=2*"), NULL},
    {"9110 7.6.1 it cannot take away what governs",
	GET("Connection: host, content-length\r\n" NUM "5\r\n"),
	ACCEPT("keep body=5", ";Connection=host, content-length*;Content-Length=5"), NULL},
    {"9110 7.6.1 fields of the hop",
	GET("Keep-Alive: 5\r\nProxy-Connection: x\r\nTE: trailers\r\nTrailer: a\r\n"),
	ACCEPT("keep body=none", ";Keep-Alive=5*;Proxy-Connection=x*;TE=trailers*;Trailer=a*"),
	NULL},
    {"9110 7.6.1 an option is a token", GET("Connection: a b\r\n"), 400,
	"malformed Connection field", NULL},
    {"9110 7.6.1 empty", GET("Connection:\r\n"), ACCEPT("keep body=none", ";Connection=*"), NULL},
    {"9110 7.6.1 too many options",
	GET("Connection: a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a\r\n"),
	400, "too many options in Connection", NULL},

    {"9110 10.1.1 100-continue", GET("Expect: 100-Continue\r\n" NUM "5\r\n"),
	ACCEPT("keep body=5 expect", ";Expect=100-Continue;Content-Length=5"), NULL},
    {"9110 10.1.1 with chunked", GET("Expect: 100-continue\r\n" TE "chunked\r\n"),
	ACCEPT("keep body=chunked expect", ";Expect=100-continue;Transfer-Encoding=chunked*"),
	NULL},
    {"9110 10.1.1 nothing to wait for", GET("Expect: 100-continue\r\n"),
	ACCEPT("keep body=none", ";Expect=100-continue"), NULL},
    {"9110 10.1.1 ignored in 1.0", GET0("Expect: 100-continue\r\n" NUM "5\r\n"), 0,
	"GET origin / host= 1.0 close body=5 |Expect=100-continue;Content-Length=5", NULL},
    {"9110 10.1.1 others are 417", GET("Expect: 200-ok\r\n"), 417,
	"expectation other than 100-continue", NULL},
    {"9110 10.1.1 others beside it are 417", GET("Expect: 100-continue, a=b\r\n"), 417,
	"expectation other than 100-continue", NULL},

    {"9110 7.8 Upgrade", GET("Upgrade: websocket\r\nConnection: Upgrade\r\n"),
	ACCEPT("keep body=none upgrade=websocket", ";Upgrade=websocket*;Connection=Upgrade*"),
	NULL},
    {"9110 7.8 without the option", GET("Upgrade: websocket\r\n"),
	ACCEPT("keep body=none", ";Upgrade=websocket*"), NULL},
    {"9110 7.8 option alone", GET("Connection: upgrade\r\n"),
	ACCEPT("keep body=none", ";Connection=upgrade*"), NULL},
    {"9110 7.8 ignored in 1.0", GET0("Upgrade: websocket\r\nConnection: upgrade\r\n"), 0,
	"GET origin / host= 1.0 close body=none |Upgrade=websocket*;Connection=upgrade*", NULL},
};

START_TEST(test_syntax)
{
	http_case_check(&syntax[_i]);
}
END_TEST

START_TEST(test_framing)
{
	http_case_check(&framing[_i]);
}
END_TEST

START_TEST(test_connection)
{
	http_case_check(&connection[_i]);
}
END_TEST

/* What follows the head is not touched, and the next request begins there. */
START_TEST(test_pipeline)
{
	const char bytes[] = "GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: i\r\n\r\n";
	struct pst_http_request request;
	size_t first, second;

	pst_http_request_init(&request, &PST_HTTP_DEFAULT_LIMITS);
	ck_assert_int_eq(pst_http_request_parse(&request, bytes, sizeof(bytes) - 1, &first), 1);
	ck_assert_uint_eq(first, strlen("GET /a HTTP/1.1\r\nHost: h\r\n\r\n"));
	pst_http_request_reset(&request);
	ck_assert_int_eq(
	    pst_http_request_parse(&request, bytes + first, sizeof(bytes) - 1 - first, &second), 1);
	ck_assert_uint_eq(first + second, sizeof(bytes) - 1);
	ck_assert_str_eq(
	    http_case_print(&request), "GET origin /b host=i 1.1 keep body=none |Host=i");
	pst_http_request_free(&request);
}
END_TEST

/* The texts outlive the bytes that were given, and the buffer's growth. */
START_TEST(test_growth)
{
	struct pst_http_request request;
	const struct pst_http_field *last;
	size_t consumed;
	char line[64];

	pst_http_request_init(&request, &PST_HTTP_DEFAULT_LIMITS);
	strcpy(line, "GET /%41?q HTTP/1.1\r\nHost: h\r\n");
	ck_assert_int_eq(pst_http_request_parse(&request, line, strlen(line), &consumed), 0);
	for (int i = 0; i < 99; i++) {
		snprintf(line, sizeof(line), "X-Field-%d: %0*d\r\n", i, i % 30 + 1, i);
		ck_assert_int_eq(
		    pst_http_request_parse(&request, line, strlen(line), &consumed), 0);
	}
	ck_assert_int_eq(pst_http_request_parse(&request, "\r\n", 2, &consumed), 1);
	ck_assert_uint_eq(request.field_count, 100);
	ck_assert(pst_http_text_is(request.line, "get /%41?q http/1.1"));
	ck_assert(pst_http_text_is(request.target.path, "/a"));
	ck_assert(pst_http_text_is(request.target.raw_path, "/%41"));
	ck_assert(pst_http_text_is(request.host, "h"));
	last = pst_http_request_field(&request, "x-field-98");
	ck_assert_ptr_eq(last, &request.fields[99]);
	ck_assert(pst_http_text_is(last->value, "000000098"));
	pst_http_request_release(&request);
	ck_assert_ptr_null(request.bytes);
	pst_http_request_free(&request);
}
END_TEST

/* A decoded path stays where it is, even if that is just behind the bytes that move. */
START_TEST(test_growth_beside_a_decoded_path)
{
	struct pst_http_request request;
	size_t half = 64, consumed;
	char *both = malloc(2 * half), line[256];

	ck_assert_ptr_nonnull(both);
	pst_http_request_init(&request, &PST_HTTP_DEFAULT_LIMITS);
	request.bytes = both;
	request.size = half;
	request.decoded = both + half;
	request.decoded_size = half;
	snprintf(line, sizeof(line), "GET /%%41 HTTP/1.1\r\nX: %0100d\r\n", 1);
	ck_assert_int_eq(pst_http_request_parse(&request, line, strlen(line), &consumed), 0);
	ck_assert_uint_gt(request.size, half);
	ck_assert_ptr_eq(request.target.path.data, request.decoded);
	request.decoded = NULL; /* it went with the bytes */
	pst_http_request_free(&request);
}
END_TEST

/* Whatever is dropped last: the fields are those that came, wherever their table has moved to. */
START_TEST(test_growth_for_a_dropped_field)
{
	char bytes[4096];
	struct pst_http_request request;
	size_t consumed;

	for (size_t kept = 0; kept < 70; kept++) {
		strcpy(bytes, "GET / HTTP/1.1\r\nHost: h\r\n");
		for (size_t i = 0; i < kept; i++)
			strcat(bytes, "X-Field: kept\r\n");
		strcat(bytes, "X_Field: dropped\r\n\r\n");
		pst_http_request_init(&request, &PST_HTTP_DEFAULT_LIMITS);
		ck_assert_int_eq(
		    pst_http_request_parse(&request, bytes, strlen(bytes), &consumed), 1);
		ck_assert_ptr_eq(request.fields, request.table);
		ck_assert_uint_eq(request.field_count, kept + 1);
		ck_assert_uint_eq(request.dropped, 1);
		ck_assert_uint_eq(request.fields[kept].value.len, kept == 0 ? 1 : 4);
		pst_http_request_free(&request);
	}
}
END_TEST

/* The table makes room for a field that never comes, as the head ends, or is refused, or stays
 * away: then, too, the fields are those that came. */
START_TEST(test_growth_for_no_field)
{
	static const char *const ends[] = {"\r\n", "X-Field", "X-Field: v\n", "X Field: v\r\n"};
	char bytes[4096];
	struct pst_http_request request;
	size_t consumed;

	for (size_t kept = 0; kept < 280; kept++) {
		strcpy(bytes, "GET / HTTP/1.1\r\nHost: h\r\n");
		for (size_t i = 0; i < kept % 70; i++)
			strcat(bytes, "X-Field: kept\r\n");
		strcat(bytes, ends[kept / 70]);
		pst_http_request_init(&request, &PST_HTTP_DEFAULT_LIMITS);
		(void)pst_http_request_parse(&request, bytes, strlen(bytes), &consumed);
		ck_assert_ptr_eq(request.fields, request.table);
		ck_assert_uint_eq(request.field_count, kept % 70 + 1);
		ck_assert(pst_http_text_is(pst_http_request_field(&request, "host")->value, "h"));
		pst_http_request_free(&request);
	}
}
END_TEST

START_TEST(test_stages)
{
	struct pst_http_request request;
	size_t consumed;

	pst_http_request_init(&request, &PST_HTTP_DEFAULT_LIMITS);
	ck_assert_int_eq(request.stage, PST_HTTP_STAGE_IDLE);
	pst_http_request_parse(&request, "\r\n", 2, &consumed);
	ck_assert_int_eq(request.stage, PST_HTTP_STAGE_IDLE);
	pst_http_request_parse(&request, "G", 1, &consumed);
	ck_assert_int_eq(request.stage, PST_HTTP_STAGE_LINE);
	pst_http_request_parse(&request, "ET / HTTP/1.1\r\n", 15, &consumed);
	ck_assert_int_eq(request.stage, PST_HTTP_STAGE_FIELDS);
	pst_http_request_parse(&request, "Connection: a, Close\r\nHost:\r\n\r\n", 31, &consumed);
	ck_assert_int_eq(request.stage, PST_HTTP_STAGE_DONE);
	ck_assert(pst_http_request_connection_has(&request, "a"));
	ck_assert(pst_http_request_connection_has(&request, "close"));
	ck_assert(!pst_http_request_connection_has(&request, "clos"));
	pst_http_request_reset(&request);
	pst_http_request_parse(&request, "GET\n", 4, &consumed);
	ck_assert_int_eq(request.stage, PST_HTTP_STAGE_REFUSED);
	pst_http_request_free(&request);
}
END_TEST

/* Whichever allocation fails: the request says so, and serves the next one after a reset. */
START_TEST(test_no_memory)
{
	char bytes[4096] = "GET /%41 HTTP/1.1\r\nHost: h\r\n";
	struct pst_http_request request;
	unsigned long at = 0;
	size_t consumed;
	int rc;

	for (int i = 0; i < 40; i++)
		strcat(bytes, "X-Field: 01234567890123456789\r\n");
	strcat(bytes, "\r\n");
	pst_http_request_init(&request, &PST_HTTP_DEFAULT_LIMITS);
	do {
		pst_http_request_release(&request);
		failmalloc_count = 0;
		failmalloc_at = ++at;
		rc = pst_http_request_parse(&request, bytes, strlen(bytes), &consumed);
		failmalloc_at = 0;
		ck_assert(rc == 1 || rc == PST_ERR_NOMEM);
		pst_http_request_reset(&request);
		ck_assert_int_eq(
		    pst_http_request_parse(&request, bytes, strlen(bytes), &consumed), 1);
	} while (rc != 1);
	ck_assert_uint_gt(at, 3);
	pst_http_request_free(&request);
}
END_TEST

#define ADD(tcase, test, cases)                                                                    \
	tcase_add_loop_test(tcase, test, 0, sizeof(cases) / sizeof((cases)[0]))

int
main(void)
{
	Suite *suite = suite_create("http_fields");
	TCase *fields = tcase_create("fields");
	SRunner *runner;
	int failed;

	ADD(fields, test_syntax, syntax);
	ADD(fields, test_framing, framing);
	ADD(fields, test_connection, connection);
	tcase_add_test(fields, test_pipeline);
	tcase_add_test(fields, test_growth);
	tcase_add_test(fields, test_growth_beside_a_decoded_path);
	tcase_add_test(fields, test_growth_for_a_dropped_field);
	tcase_add_test(fields, test_growth_for_no_field);
	tcase_add_test(fields, test_stages);
	tcase_add_test(fields, test_no_memory);
	suite_add_tcase(suite, fields);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
