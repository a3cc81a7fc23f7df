/* Who is believed, and what a request then says about its client. */
#include "gateway/front/forwarded.h"
#include "tests/unit/failmalloc.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- trust --- */

static const struct {
	const char *list;
	const char *trusted; /* parted by spaces */
	const char *untrusted;
} lists[] = {
    {PST_TRUST_DEFAULT, "127.0.0.1 ::1 ::ffff:127.0.0.1", "127.0.0.2 ::2 localhost * 10.0.0.1"},
    {"", "", "127.0.0.1 ::1"},
    {"  ", "", "127.0.0.1"},
    {"*", "127.0.0.1 2001:db8::1 192.0.2.1", "example.com _x"},
    {"10.0.0.0/8", "10.0.0.0 10.255.255.255 ::ffff:10.1.2.3", "11.0.0.0 9.255.255.255 ::a00:1"},
    {" 192.0.2.128/25 , fd00::/8 ",
	"192.0.2.128 192.0.2.255 fd00::1 fdff::", "192.0.2.127 fe00:: fc00::1"},
    {"0.0.0.0/0", "0.0.0.0 255.255.255.255", "::1 2001:db8::1"},
    {"::/0", "::1 2001:db8::1", "127.0.0.1 ::ffff:127.0.0.1"},
    {"::ffff:192.0.2.0/120", "192.0.2.1 ::ffff:192.0.2.255", "192.0.3.1"},
    {"2001:db8::/33", "2001:db8:7fff:: 2001:db8::1", "2001:db8:8000::"},
    {"192.0.2.1/32,2001:db8::1/128", "192.0.2.1 2001:db8::1", "192.0.2.0 2001:db8::"},
    {"*,192.0.2.1", "198.51.100.1", "x"},
};

static struct pst_trust *
trust_of(const char *list)
{
	const char *reason;
	size_t at;
	struct pst_trust *trust = pst_trust_parse(list, &reason, &at);

	if (!trust)
		ck_abort_msg("%s: %s at %zu", list, reason, at);
	ck_assert_ptr_null(reason);
	return trust;
}

static void
check_hosts(const struct pst_trust *trust, const char *hosts, bool expected)
{
	char *copy = strdup(hosts);

	for (char *host = strtok(copy, " "); host; host = strtok(NULL, " "))
		if (pst_trust_contains(trust, host) != expected)
			ck_abort_msg("%s is %strusted", host, expected ? "not " : "");
	free(copy);
}

START_TEST(test_list)
{
	struct pst_trust *trust = trust_of(lists[_i].list);

	check_hosts(trust, lists[_i].trusted, true);
	check_hosts(trust, lists[_i].untrusted, false);
	ck_assert(pst_trust_peer(trust, &(struct pst_peer_address){.local = true}));
	ck_assert(!pst_trust_peer(trust, &(struct pst_peer_address){.local = false}));
	pst_trust_free(trust);
}
END_TEST

static const struct {
	const char *list;
	const char *reason;
	size_t at;
} mistakes[] = {
    {"localhost", "not an IP address, a network such as 10.0.0.0/8, or *", 0},
    {"127.0.0.1,,::1", "an empty entry", 10},
    {"127.0.0.1,", "an empty entry", 10},
    {",", "an empty entry", 0},
    {"127.0.0.1, 1.2.3", "not an IP address, a network such as 10.0.0.0/8, or *", 10},
    {"[::1]", "not an IP address, a network such as 10.0.0.0/8, or *", 0},
    {"10.0.0.1/8", "a network with bits set beyond its prefix", 0},
    {"fd00::1/64", "a network with bits set beyond its prefix", 0},
    {"10.0.0.0/33", "a network prefix that is not a number of bits", 0},
    {"10.0.0.0/", "a network prefix that is not a number of bits", 0},
    {"10.0.0.0/+8", "a network prefix that is not a number of bits", 0},
    {"10.0.0.0/0008", "a network prefix that is not a number of bits", 0},
    {"::/129", "a network prefix that is not a number of bits", 0},
    {"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000",
	"not an IP address, a network such as 10.0.0.0/8, or *", 0},
};

START_TEST(test_mistake)
{
	const char *reason = NULL;
	size_t at = 999;

	ck_assert_ptr_null(pst_trust_parse(mistakes[_i].list, &reason, &at));
	ck_assert_str_eq(reason, mistakes[_i].reason);
	ck_assert_uint_eq(at, mistakes[_i].at);
}
END_TEST

START_TEST(test_no_memory)
{
	const char *reason;
	size_t at;
	struct pst_trust *trust;

	failmalloc_count = 0;
	failmalloc_at = 1;
	trust = pst_trust_parse("*", &reason, &at);
	failmalloc_at = 0;
	ck_assert_ptr_null(trust);
	ck_assert_str_eq(reason, "out of memory");
}
END_TEST

/* --- requests --- */

/* Trusted: 10.0.0.0/8 and ::1. */
#define TRUST "10.0.0.0/8,::1"

struct request_case {
	const char *name;
	const char *peer; /* "" is a unix peer; the port is 999 otherwise */
	const char *fields; /* "Name: value" lines */
	/* "CLIENT PORT SCHEME HOST PORT", with - for nothing; "not believed ..."; or "! reason". */
	const char *expect;
};

#define XFF "X-Forwarded-For: "

static const struct request_case cases[] = {
    {"nothing is said", "10.0.0.1", "Accept: x\n", "not believed 10.0.0.1 999 - - 0"},
    {"an untrusted peer", "192.0.2.1",
	XFF "198.51.100.1\nX-Forwarded-Proto: https\nForwarded: for=198.51.100.2\n",
	"not believed 192.0.2.1 999 - - 0"},
    {"nonsense from an untrusted peer", "192.0.2.1", "Forwarded: \"\nX-Forwarded-Proto: x\n",
	"not believed 192.0.2.1 999 - - 0"},
    {"a unix peer, nothing said", "", "", "not believed - 0 - - 0"},
    {"a unix peer", "", XFF "198.51.100.1\n", "198.51.100.1 0 - - 0"},
    {"one hop", "10.0.0.1", XFF "198.51.100.1\n", "198.51.100.1 0 - - 0"},
    {"what the client made up stands to the left", "10.0.0.1",
	XFF "10.0.0.9, 203.0.113.9, 198.51.100.1\n", "198.51.100.1 0 - - 0"},
    {"trusted hops are passed over", "10.0.0.1", XFF "203.0.113.9, 198.51.100.1, 10.0.0.2, ::1\n",
	"198.51.100.1 0 - - 0"},
    {"all are trusted: the leftmost", "10.0.0.1", XFF "10.0.0.3, 10.0.0.2\n", "10.0.0.3 0 - - 0"},
    {"several fields are one list", "10.0.0.1",
	XFF "203.0.113.9\nX: y\n" XFF "198.51.100.1,10.0.0.3\n" XFF "10.0.0.2\n",
	"198.51.100.1 0 - - 0"},
    {"empty elements", "10.0.0.1", XFF ",, 198.51.100.1 ,, 10.0.0.2,,\n", "198.51.100.1 0 - - 0"},
    {"an empty list", "10.0.0.1", XFF ",\n", "10.0.0.1 999 - - 0"},
    {"garbage ends the walk at the last known", "10.0.0.1", XFF "198.51.100.1, evil\n",
	"10.0.0.1 999 - - 0"},
    {"garbage behind a trusted hop", "10.0.0.1", XFF "198.51.100.1, evil, 10.0.0.2\n",
	"10.0.0.2 0 - - 0"},
    {"unknown", "10.0.0.1", XFF "unknown\n", "10.0.0.1 999 - - 0"},
    {"a port", "10.0.0.1", XFF "198.51.100.1:4711\n", "198.51.100.1 4711 - - 0"},
    {"IPv6", "::1", XFF "2001:DB8:0::1\n", "2001:db8::1 0 - - 0"},
    {"IPv6 in brackets", "::1", XFF "[2001:db8::1]\n", "2001:db8::1 0 - - 0"},
    {"IPv6 with a port", "::1", XFF "[2001:db8::1]:80\n", "2001:db8::1 80 - - 0"},
    {"IPv4 mapped in IPv6", "::1", XFF "::ffff:198.51.100.1, ::ffff:10.0.0.2\n",
	"198.51.100.1 0 - - 0"},
    {"port 0", "::1", XFF "198.51.100.1:0\n", "::1 999 - - 0"},
    {"port 65536", "::1", XFF "198.51.100.1:65536\n", "::1 999 - - 0"},
    {"a bracket that does not end", "::1", XFF "[2001:db8::1\n", "::1 999 - - 0"},
    {"text behind the bracket", "::1", XFF "[2001:db8::1]x\n", "::1 999 - - 0"},
    {"IPv4 in brackets", "::1", XFF "[198.51.100.1]\n", "::1 999 - - 0"},
    {"a zero octet of two digits", "::1", XFF "198.51.100.010\n", "::1 999 - - 0"},
    {"a scope", "::1", XFF "fe80::1%eth0\n", "::1 999 - - 0"},

    {"proto", "10.0.0.1", "X-Forwarded-Proto: HTTPS\n", "10.0.0.1 999 https - 0"},
    {"proto of a websocket", "10.0.0.1", "X-Forwarded-Proto: wss\n", "10.0.0.1 999 https - 0"},
    {"protos side by side with addresses", "10.0.0.1",
	XFF "203.0.113.9, 198.51.100.1, 10.0.0.2\nX-Forwarded-Proto: http, https, http\n",
	"198.51.100.1 0 https - 0"},
    {"one proto for several hops", "10.0.0.1",
	XFF "198.51.100.1, 10.0.0.2\nX-Forwarded-Proto: https\n", "198.51.100.1 0 https - 0"},
    {"a list of protos without addresses", "10.0.0.1", "X-Forwarded-Proto: https, http\n",
	"10.0.0.1 999 http - 0"},
    {"an unknown proto", "10.0.0.1", "X-Forwarded-Proto: gopher\n",
	"! a forwarded scheme that is not http or https"},
    {"an unknown proto that the client made up", "10.0.0.1",
	XFF "198.51.100.1\nX-Forwarded-Proto: gopher, https\n", "198.51.100.1 0 https - 0"},
    {"protocol: ssl, as gunicorn", "10.0.0.1", "X-Forwarded-Protocol: ssl\n",
	"10.0.0.1 999 https - 0"},
    {"ssl: on, as gunicorn", "10.0.0.1", "X-Forwarded-SSL: on\n", "10.0.0.1 999 https - 0"},
    {"ssl: off", "10.0.0.1", "X-Forwarded-SSL: off\n", "10.0.0.1 999 http - 0"},
    {"ssl: maybe", "10.0.0.1", "X-Forwarded-SSL: maybe\n",
	"! a forwarded scheme that is not http or https"},
    {"all agree", "10.0.0.1",
	"X-Forwarded-Proto: https\nX-Forwarded-SSL: on\nX-Forwarded-Protocol: ssl\n"
	"Forwarded: proto=https\n",
	"10.0.0.1 999 https - 0"},
    {"two schemes", "10.0.0.1", "X-Forwarded-Proto: http\nX-Forwarded-SSL: on\n",
	"! X-Forwarded-Proto, -Protocol or -SSL contradict each other"},

    {"host", "10.0.0.1", "X-Forwarded-Host: example.com\n", "10.0.0.1 999 - example.com 0"},
    {"host with a port", "10.0.0.1", "X-Forwarded-Host: example.com:8443\n",
	"10.0.0.1 999 - example.com 8443"},
    {"host and port", "10.0.0.1", "X-Forwarded-Host: example.com:1\nX-Forwarded-Port: 443\n",
	"10.0.0.1 999 - example.com 443"},
    {"IPv6 host", "10.0.0.1", "X-Forwarded-Host: [::1]\n", "10.0.0.1 999 - [::1] 0"},
    {"IPv6 host with a port", "10.0.0.1", "X-Forwarded-Host: [::1]:80\n",
	"10.0.0.1 999 - [::1] 80"},
    {"host with an empty port", "10.0.0.1", "X-Forwarded-Host: h:\n", "10.0.0.1 999 - h 0"},
    {"a host with a path", "10.0.0.1", "X-Forwarded-Host: h/x\n", "! a malformed X-Forwarded-Host"},
    {"a host with a space", "10.0.0.1", "X-Forwarded-Host: a b\n",
	"! a malformed X-Forwarded-Host"},
    {"only a port as host", "10.0.0.1", "X-Forwarded-Host: :80\n",
	"! a malformed X-Forwarded-Host"},
    {"a host's port 0", "10.0.0.1", "X-Forwarded-Host: h:0\n", "! a malformed X-Forwarded-Host"},
    {"port 0 said", "10.0.0.1", "X-Forwarded-Port: 0\n", "! a malformed X-Forwarded-Port"},
    {"a port of words", "10.0.0.1", "X-Forwarded-Port: http\n", "! a malformed X-Forwarded-Port"},

    {"Forwarded", "10.0.0.1",
	"Forwarded: for=198.51.100.1;proto=https;host=example.com;by=10.0.0.1\n",
	"198.51.100.1 0 https example.com 0"},
    {"Forwarded, quoted", "10.0.0.1",
	"Forwarded: For=\"[2001:db8::1]:4711\" ; Host=\"example.com:8443\";proto=\"http\"\n",
	"2001:db8::1 4711 http example.com 8443"},
    {"Forwarded from the right", "10.0.0.1",
	"Forwarded: for=203.0.113.9;proto=http, for=198.51.100.1;proto=https\n"
	"Forwarded: for=10.0.0.2;proto=http\n",
	"198.51.100.1 0 https - 0"},
    {"Forwarded, all trusted", "10.0.0.1", "Forwarded: for=10.0.0.3;host=a, for=10.0.0.2;host=b\n",
	"10.0.0.3 0 - a 0"},
    {"Forwarded, unknown client", "10.0.0.1", "Forwarded: for=unknown;proto=https\n",
	"10.0.0.1 999 https - 0"},
    {"Forwarded, hidden client", "10.0.0.1",
	"Forwarded: for=198.51.100.9, for=_hidden;proto=https, for=10.0.0.2\n",
	"10.0.0.2 0 https - 0"},
    {"Forwarded, hidden port", "10.0.0.1", "Forwarded: for=\"198.51.100.1:_x\"\n",
	"198.51.100.1 0 - - 0"},
    {"Forwarded without for", "10.0.0.1", "Forwarded: proto=https\n", "10.0.0.1 999 https - 0"},
    {"Forwarded with extensions", "10.0.0.1",
	"Forwarded: secret=\"a\\\"b, for=10.0.0.9\";for=198.51.100.1;;x=y,,\n",
	"198.51.100.1 0 - - 0"},
    {"Forwarded: empty", "10.0.0.1", "Forwarded:\nForwarded: ,;,\n", "10.0.0.1 999 - - 0"},
    {"Forwarded: for twice", "10.0.0.1", "Forwarded: for=10.0.0.2;for=198.51.100.1\n",
	"! a malformed Forwarded"},
    {"Forwarded: an open quote", "10.0.0.1", "Forwarded: for=\"198.51.100.1\n",
	"! a malformed Forwarded"},
    {"Forwarded: an open escape", "10.0.0.1", "Forwarded: for=\"198.51.100.1\\\n",
	"! a malformed Forwarded"},
    {"Forwarded: an escape in for", "10.0.0.1", "Forwarded: for=\"198.51.100.\\1\"\n",
	"! a malformed Forwarded"},
    {"Forwarded: a port unquoted", "10.0.0.1", "Forwarded: for=198.51.100.1:80\n",
	"! a malformed Forwarded"},
    {"Forwarded: no value", "10.0.0.1", "Forwarded: for=\n", "! a malformed Forwarded"},
    {"Forwarded: an empty value", "10.0.0.1", "Forwarded: for=;proto=http\n",
	"! a malformed Forwarded"},
    {"Forwarded: no name", "10.0.0.1", "Forwarded: =x\n", "! a malformed Forwarded"},
    {"Forwarded: an address alone", "10.0.0.1", "Forwarded: 198.51.100.1\n",
	"! a malformed Forwarded"},
    {"Forwarded: a space for a semicolon", "10.0.0.1", "Forwarded: for=_a proto=http\n",
	"! a malformed Forwarded"},
    {"Forwarded: a bad proto", "10.0.0.1", "Forwarded: for=_a;proto=x\n",
	"! a proto in Forwarded that is not http or https"},
    {"Forwarded: a bad host", "10.0.0.1", "Forwarded: host=\"a b\"\n",
	"! a malformed host in Forwarded"},

    {"both agree", "10.0.0.1",
	XFF "198.51.100.1\nX-Forwarded-Proto: https\nX-Forwarded-Host: H\n"
	    "Forwarded: for=198.51.100.1;proto=https;host=h\n",
	"198.51.100.1 0 https H 0"},
    {"two clients", "10.0.0.1", XFF "198.51.100.1\nForwarded: for=198.51.100.2\n",
	"! Forwarded and X-Forwarded-For name different clients"},
    {"two protos", "10.0.0.1", "X-Forwarded-Proto: http\nForwarded: proto=https\n",
	"! Forwarded and X-Forwarded-Proto name different schemes"},
    {"two hosts", "10.0.0.1", "X-Forwarded-Host: a\nForwarded: host=b\n",
	"! Forwarded and X-Forwarded-Host name different hosts"},
    {"Forwarded adds nothing to X-Forwarded", "10.0.0.1",
	XFF "198.51.100.1\nForwarded: proto=https;host=evil\n", "198.51.100.1 0 - - 0"},
};

/* Take "Name: value\n" lines apart. */
static size_t
split_fields(const char *text, struct pst_http_field *fields)
{
	size_t count = 0;

	for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
		const char *colon = strchr(line, ':'), *end = strchr(line, '\n');
		const char *value = colon + 1 + strspn(colon + 1, " ");

		fields[count++] = (struct pst_http_field){.name = {line, (size_t)(colon - line)},
		    .value = {value, value < end ? (size_t)(end - value) : 0}};
	}
	return count;
}

static void
describe(char *text, size_t size, int err, const struct pst_forwarded *result)
{
	if (err)
		snprintf(text, size, "! %s", result->reason);
	else
		snprintf(text, size, "%s%s %u %s %.*s %u", result->believed ? "" : "not believed ",
		    result->client[0] ? result->client : "-", result->client_port,
		    result->scheme ? result->scheme : "-",
		    result->host.len ? (int)result->host.len : 1,
		    result->host.len ? result->host.data : "-", result->port);
}

START_TEST(test_request)
{
	const struct request_case *c = &cases[_i];
	struct pst_trust *trust = trust_of(TRUST);
	struct pst_peer_address peer = {.port = c->peer[0] ? 999 : 0, .local = !c->peer[0]};
	struct pst_http_field fields[8];
	struct pst_forwarded result;
	char text[256];
	int err;

	strcpy(peer.host, c->peer);
	err = pst_forwarded_resolve(trust, &peer, fields, split_fields(c->fields, fields), &result);
	describe(text, sizeof text, err, &result);
	ck_assert_msg(
	    strcmp(text, c->expect) == 0, "%s: \"%s\", not \"%s\"", c->name, text, c->expect);
	if (err) {
		ck_assert_int_eq(err, strstr(text, "different") || strstr(text, "contradict")
					  ? PST_FORWARDED_ERR_CONFLICT
					  : PST_FORWARDED_ERR_SYNTAX);
		ck_assert_str_eq(result.client, c->peer);
		ck_assert(!result.believed);
	}
	pst_trust_free(trust);
}
END_TEST

/* Chains longer than anybody's: linear, and Forwarded's stops at the last hop it keeps. */
START_TEST(test_long_chains)
{
	struct pst_trust *trust = trust_of("*");
	struct pst_peer_address peer = {.host = "10.0.0.1"};
	char *text = malloc(200000), *at = text + sprintf(text, XFF "192.0.2.1");
	struct pst_http_field fields[8];
	struct pst_forwarded result;

	for (int i = 0; i < 10000; i++)
		at += sprintf(at, ",10.0.%d.%d", i / 256, i % 256);
	strcpy(at, "\n");
	ck_assert_int_eq(
	    pst_forwarded_resolve(trust, &peer, fields, split_fields(text, fields), &result), 0);
	ck_assert_str_eq(result.client, "192.0.2.1");

	at = text + sprintf(text, "Forwarded: for=192.0.2.1");
	for (int i = 0; i < 100; i++)
		at += sprintf(at, ",for=10.0.0.%d", i);
	strcpy(at, "\n");
	ck_assert_int_eq(
	    pst_forwarded_resolve(trust, &peer, fields, split_fields(text, fields), &result), 0);
	ck_assert_str_eq(result.client, "10.0.0.68");
	free(text);
	pst_trust_free(trust);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("forwarded");
	TCase *trust = tcase_create("trust"), *requests = tcase_create("requests");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(trust, test_list, 0, (int)(sizeof lists / sizeof lists[0]));
	tcase_add_loop_test(trust, test_mistake, 0, (int)(sizeof mistakes / sizeof mistakes[0]));
	tcase_add_test(trust, test_no_memory);
	suite_add_tcase(suite, trust);
	tcase_add_loop_test(requests, test_request, 0, (int)(sizeof cases / sizeof cases[0]));
	tcase_add_test(requests, test_long_chains);
	suite_add_tcase(suite, requests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
