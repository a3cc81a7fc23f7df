/* What WebSockets are made of: the handshake (RFC 6455, 4.2), the terms of compression (RFC 7692,
 * 7.1), UTF-8 and base64. */
#include "gateway/front/base64.h"
#include "gateway/front/utf8.h"
#include "gateway/front/websocket_handshake.h"
#include "protocol/error.h"
#include "tests/unit/runner.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

/* --- the handshake --- */

#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define V13 "Sec-WebSocket-Version: 13\r\n"

struct handshake_case {
	const char *name;
	const char *line;
	const char *fields;
	unsigned status; /* 0: it is accepted, 1: it is an ordinary request */
	const char *extensions; /* in the answer */
};

#define UPGRADE "Connection: Upgrade\r\nUpgrade: websocket\r\n"
#define OFFER   UPGRADE KEY V13 "Sec-WebSocket-Extensions: "
#define AGREED  "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

static const struct handshake_case handshakes[] = {
    {"as it should be", "GET", UPGRADE KEY V13, 0, ""},
    {"words in any case, in lists", "GET",
	"Connection: keep-alive, UPGRADE\r\nUpgrade: h2c, WebSocket\r\n" KEY V13, 0, ""},
    {"Connection does not name it", "GET", "Upgrade: websocket\r\n" KEY V13, 1, NULL},
    {"another protocol", "GET", "Connection: upgrade\r\nUpgrade: h2c\r\n" KEY V13, 1, NULL},
    {"no upgrade", "GET", KEY V13, 1, NULL},
    {"POST", "POST", UPGRADE KEY V13, 400, NULL},
    {"a body", "GET", UPGRADE KEY V13 "Content-Length: 1\r\n", 400, NULL},
    {"no version", "GET", UPGRADE KEY, 426, NULL},
    {"version 8", "GET", UPGRADE KEY "Sec-WebSocket-Version: 8\r\n", 426, NULL},
    {"version 013", "GET", UPGRADE KEY "Sec-WebSocket-Version: 013\r\n", 426, NULL},
    {"two versions", "GET", UPGRADE KEY V13 V13, 426, NULL},
    {"no key", "GET", UPGRADE V13, 400, NULL},
    {"two keys", "GET", UPGRADE KEY KEY V13, 400, NULL},
    {"a key of 15 bytes", "GET", UPGRADE V13 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j\r\n", 400,
	NULL},
    {"a key of 17 bytes", "GET", UPGRADE V13 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZSE=\r\n", 400,
	NULL},
    {"a key that is no base64", "GET",
	UPGRADE V13 "Sec-WebSocket-Key: dGhlIHNhbXBs_SBub25jZQ==\r\n", 400, NULL},

    {"7692 7.1 an offer", "GET", OFFER "permessage-deflate\r\n", 0, AGREED},
    {"7692 7.1 another extension first", "GET", OFFER "x-webkit, permessage-deflate\r\n", 0,
	AGREED},
    {"7692 7.1 two fields", "GET",
	OFFER "x-webkit\r\nSec-WebSocket-Extensions: permessage-deflate\r\n", 0, AGREED},
    {"7692 7.1.2.2 the client lets us choose", "GET",
	OFFER "permessage-deflate; client_max_window_bits\r\n", 0,
	AGREED "; client_max_window_bits=12"},
    {"7692 7.1.2.2 it has less", "GET", OFFER "permessage-deflate; client_max_window_bits=9\r\n", 0,
	AGREED "; client_max_window_bits=9"},
    {"7692 7.1.2.2 quoted", "GET", OFFER "permessage-deflate; client_max_window_bits=\"15\"\r\n", 0,
	AGREED "; client_max_window_bits=12"},
    {"7692 7.1.2.1 our window", "GET", OFFER "permessage-deflate; server_max_window_bits=10\r\n", 0,
	AGREED "; server_max_window_bits=10"},
    {"7692 7.1.2.1 ours is smaller", "GET",
	OFFER "permessage-deflate;server_max_window_bits=15\r\n", 0,
	AGREED "; server_max_window_bits=12"},
    {"7692 7.1.2.1 which zlib cannot do", "GET",
	OFFER "permessage-deflate; server_max_window_bits=8, permessage-deflate\r\n", 0, AGREED},
    {"7692 7.1.1 no takeover", "GET",
	OFFER "permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n", 0,
	AGREED},
    {"7692 7.1 declined: a parameter twice", "GET",
	OFFER "permessage-deflate; server_no_context_takeover; server_no_context_takeover\r\n", 0,
	""},
    {"7692 7.1 declined: a value where there is none", "GET",
	OFFER "permessage-deflate; client_no_context_takeover=1\r\n", 0, ""},
    {"7692 7.1 declined: no value", "GET", OFFER "permessage-deflate; server_max_window_bits\r\n",
	0, ""},
    {"7692 7.1 declined: 7", "GET", OFFER "permessage-deflate; client_max_window_bits=7\r\n", 0,
	""},
    {"7692 7.1 declined: 16", "GET", OFFER "permessage-deflate; server_max_window_bits=16\r\n", 0,
	""},
    {"7692 7.1 declined: 08", "GET", OFFER "permessage-deflate; client_max_window_bits=08\r\n", 0,
	""},
    {"7692 7.1 declined: a parameter that is not known", "GET",
	OFFER "permessage-deflate; fast\r\n", 0, ""},
    {"6455 9.1 malformed", "GET", OFFER "permessage-deflate;\r\n", 400, NULL},
    {"6455 9.1 malformed: no value", "GET", OFFER "x; a=\r\n", 400, NULL},
    {"6455 9.1 malformed: an open quote", "GET", OFFER "x; a=\"b\r\n", 400, NULL},
    {"6455 9.1 malformed: two names", "GET", OFFER "x y\r\n", 400, NULL},
};

START_TEST(handshake)
{
	const struct handshake_case *c = &handshakes[_i];
	struct pst_websocket_handshake hs;
	struct pst_http_refusal refusal = {0};
	struct pst_http_request request;
	char text[1024], answer[PST_WEBSOCKET_TERMS_MAX];
	size_t used, n;

	snprintf(text, sizeof(text), "%s /chat HTTP/1.1\r\nHost: a\r\n%s\r\n", c->line, c->fields);
	pst_http_request_init(&request, &PST_HTTP_DEFAULT_LIMITS);
	ck_assert_int_eq(pst_http_request_parse(&request, text, strlen(text), &used), 1);
	ck_assert_msg(pst_websocket_wanted(&request) == (c->status != 1), "%s", c->name);
	if (c->status != 1 && !pst_websocket_handshake(&hs, &request, true, &refusal))
		ck_assert_msg(refusal.status == c->status, "%s: %u", c->name, refusal.status);
	else
		ck_assert_msg(c->status <= 1, "%s: accepted", c->name);
	if (c->status == 0) {
		ck_assert_mem_eq(hs.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", sizeof(hs.accept));
		n = pst_websocket_terms_answer(&hs.terms, answer);
		ck_assert_msg(n == strlen(c->extensions) && memcmp(answer, c->extensions, n) == 0,
		    "%s: %.*s", c->name, (int)n, answer);
		ck_assert(pst_websocket_handshake(&hs, &request, false, &refusal));
		ck_assert_uint_eq(pst_websocket_terms_answer(&hs.terms, answer), 0);
	}
	pst_http_request_free(&request);
}
END_TEST

START_TEST(subprotocols)
{
	static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\n" UPGRADE KEY V13
				   "Sec-WebSocket-Protocol: chat, superchat\r\n"
				   "Sec-WebSocket-Protocol: x\r\n\r\n";
	struct pst_http_request request;
	size_t used;

	pst_http_request_init(&request, &PST_HTTP_DEFAULT_LIMITS);
	ck_assert_int_eq(pst_http_request_parse(&request, text, strlen(text), &used), 1);
	ck_assert(pst_websocket_offered(&request, (struct pst_http_text){"superchat", 9}));
	ck_assert(pst_websocket_offered(&request, (struct pst_http_text){"x", 1}));
	ck_assert(!pst_websocket_offered(&request, (struct pst_http_text){"Chat", 4}));
	ck_assert(!pst_websocket_offered(&request, (struct pst_http_text){"", 0}));
	ck_assert(!pst_websocket_offered(&request, (struct pst_http_text){"chat, x", 7}));
	pst_http_request_free(&request);
}
END_TEST

/* --- UTF-8 --- */

static size_t
encode(unsigned c, unsigned char *to)
{
	if (c < 0x80) {
		to[0] = (unsigned char)c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = (unsigned char)(0xc0 | c >> 6);
		to[1] = (unsigned char)(0x80 | (c & 63));
		return 2;
	}
	if (c < 0x10000) {
		to[0] = (unsigned char)(0xe0 | c >> 12);
		to[1] = (unsigned char)(0x80 | (c >> 6 & 63));
		to[2] = (unsigned char)(0x80 | (c & 63));
		return 3;
	}
	to[0] = (unsigned char)(0xf0 | c >> 18);
	to[1] = (unsigned char)(0x80 | (c >> 12 & 63));
	to[2] = (unsigned char)(0x80 | (c >> 6 & 63));
	to[3] = (unsigned char)(0x80 | (c & 63));
	return 4;
}

/* Whole and in two; every cut within a character is no end. */
static bool
is_text(const void *bytes, size_t n)
{
	struct pst_utf8 whole = {0};
	bool valid = pst_utf8_take(&whole, bytes, n) && pst_utf8_may_end(&whole);

	for (size_t cut = 1; cut < n; cut++) {
		struct pst_utf8 text = {0};
		bool first = pst_utf8_take(&text, bytes, cut);
		bool both = first && pst_utf8_take(&text, (const char *)bytes + cut, n - cut) &&
			    pst_utf8_may_end(&text);

		ck_assert(both == valid);
	}
	return valid;
}

START_TEST(characters)
{
	unsigned char bytes[4];

	for (unsigned c = 0; c < 0x110000; c++) {
		size_t n = encode(c, bytes);

		ck_assert_msg(is_text(bytes, n) == (c < 0xd800 || c > 0xdfff), "U+%04X", c);
	}
	for (unsigned c = 0x110000; c < 0x200000; c += 0x1000)
		ck_assert(!is_text(bytes, encode(c, bytes)));
	for (unsigned byte = 0x80; byte < 0x100; byte++) {
		bytes[0] = (unsigned char)byte;
		ck_assert(!is_text(bytes, 1));
	}
}
END_TEST

/* Of two bytes exactly 128 * 128 + 30 * 64 are text, of three and with overlong forms no more. */
START_TEST(pairs)
{
	unsigned valid = 0, overlong = 0;

	for (unsigned a = 0; a < 256; a++) {
		for (unsigned b = 0; b < 256; b++) {
			const unsigned char pair[] = {(unsigned char)a, (unsigned char)b};
			const unsigned char three[] = {0xe0, (unsigned char)a, (unsigned char)b};

			valid += is_text(pair, 2);
			overlong += is_text(three, 3);
		}
	}
	ck_assert_uint_eq(valid, 128 * 128 + 30 * 64);
	ck_assert_uint_eq(overlong, 32 * 64);
}
END_TEST

START_TEST(texts)
{
	ck_assert(is_text("", 0));
	ck_assert(is_text("a long line of ASCII, then \xe2\x82\xac, and more ASCII", 47));
	ck_assert(!is_text("a long line of ASCII, then \xe2\x82, and more ASCII", 46));
	ck_assert(!is_text("eight...\x80", 9));
}
END_TEST

/* --- base64 --- */

START_TEST(base64)
{
	static const char *const words[] = {"", "", "f", "Zg==", "fo", "Zm8=", "foo", "Zm9v",
	    "foob", "Zm9vYg==", "fooba", "Zm9vYmE=", "foobar", "Zm9vYmFy"};

	for (size_t i = 0; i < 14; i += 2) {
		size_t n = strlen(words[i]);
		char text[16] = "";

		pst_base64_encode(text, words[i], n);
		ck_assert_str_eq(text, words[i + 1]);
		ck_assert_uint_eq(strlen(text), PST_BASE64_LENGTH(n));
	}
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("websocket_words");

	tcase_add_loop_test(tcase, handshake, 0, sizeof(handshakes) / sizeof(handshakes[0]));
	tcase_add_test(tcase, subprotocols);
	tcase_add_test(tcase, characters);
	tcase_add_test(tcase, pairs);
	tcase_add_test(tcase, texts);
	tcase_add_test(tcase, base64);
	return run_case("websocket_words", tcase);
}
