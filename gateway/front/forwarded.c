#include "gateway/front/forwarded.h"

#include "gateway/front/forwarded_list.h"
#include "gateway/front/http_chars.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

/* What one family of fields says. */
struct claim {
	bool present;
	char client[INET6_ADDRSTRLEN]; /* "": nothing */
	uint16_t client_port;
	const char *scheme;
	struct pst_http_text host, authority;
	uint16_t port;
};

static int
syntax_error(const char **reason, const char *words)
{
	*reason = words;
	return PST_FORWARDED_ERR_SYNTAX;
}

static int
conflict(const char **reason, const char *words)
{
	*reason = words;
	return PST_FORWARDED_ERR_CONFLICT;
}

/* --- the parts of a value --- */

/* 1 to 65535. */
static bool
parse_port(struct pst_http_text text, uint16_t *port)
{
	uint64_t number;

	if (pst_http_number(text, &number) < 0 || number < 1 || number > 65535)
		return false;
	*port = (uint16_t)number;
	return true;
}

/* An address without brackets into its canonical form; IPv4 mapped in IPv6 is IPv4. */
static bool
parse_address(struct pst_http_text text, int family, char out[INET6_ADDRSTRLEN])
{
	char copy[INET6_ADDRSTRLEN];
	union {
		struct in_addr v4;
		struct in6_addr v6;
	} ip;

	if (text.len >= sizeof(copy) || memchr(text.data, '\0', text.len))
		return false;
	memcpy(copy, text.data, text.len);
	copy[text.len] = '\0';
	if (inet_pton(family, copy, &ip) != 1)
		return false;
	if (family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&ip.v6))
		return inet_ntop(AF_INET, &ip.v6.s6_addr[12], out, INET6_ADDRSTRLEN) != NULL;
	return inet_ntop(family, &ip, out, INET6_ADDRSTRLEN) != NULL;
}

/* Cut "host:port" at the colon behind the host; ports that are hidden (_x) are not known. */
static bool
parse_node_port(struct pst_http_text rest, uint16_t *port)
{
	*port = 0;
	if (rest.len == 0)
		return true;
	if (rest.len < 2 || rest.data[0] != ':')
		return false;
	if (rest.data[1] == '_')
		return true;
	return parse_port((struct pst_http_text){rest.data + 1, rest.len - 1}, port);
}

/* 192.0.2.7, 192.0.2.7:80, 2001:db8::1, [2001:db8::1], [2001:db8::1]:80. False: anything else. */
static bool
parse_node(struct pst_http_text node, char host[INET6_ADDRSTRLEN], uint16_t *port)
{
	const char *first, *close;

	*port = 0;
	if (node.len == 0)
		return false;
	if (node.data[0] == '[') {
		struct pst_http_text inside, rest;

		close = memchr(node.data, ']', node.len);
		if (!close)
			return false;
		inside = (struct pst_http_text){node.data + 1, close - node.data - 1};
		rest = (struct pst_http_text){close + 1, node.data + node.len - close - 1};
		return parse_address(inside, AF_INET6, host) && parse_node_port(rest, port);
	}
	first = memchr(node.data, ':', node.len);
	if (first && memchr(first + 1, ':', node.data + node.len - first - 1))
		return parse_address(node, AF_INET6, host);
	if (first) {
		struct pst_http_text rest = {first, node.data + node.len - first};

		node.len = first - node.data;
		return parse_node_port(rest, port) && parse_address(node, AF_INET, host);
	}
	return parse_address(node, AF_INET, host);
}

static const char *
parse_scheme(struct pst_http_text text)
{
	/* What some proxies say of a WebSocket is the scheme of its handshake. */
	if (pst_http_text_is(text, "https") || pst_http_text_is(text, "wss"))
		return "https";
	if (pst_http_text_is(text, "http") || pst_http_text_is(text, "ws"))
		return "http";
	return NULL;
}

/* "example.com", "example.com:8443", "[::1]:8443". */
static bool
claim_host(struct pst_http_text text, struct claim *claim)
{
	size_t n = text.len;

	if (n == 0 || !pst_http_host_valid(text))
		return false;
	claim->host = claim->authority = text;
	while (n > 0 && text.data[n - 1] != ':' && text.data[n - 1] != ']')
		n--;
	if (n == 0 || text.data[n - 1] == ']')
		return true;
	claim->host.len = n - 1;
	/* "example.com:" is allowed and says nothing of a port. */
	if (n == text.len)
		claim->authority = claim->host;
	return claim->host.len > 0 &&
	       (n == text.len ||
		   parse_port((struct pst_http_text){text.data + n, text.len - n}, &claim->port));
}

/*
 * One step of the walk: NODE was named by a hop that is trusted. True: NODE is trusted, too; go on.
 */
static bool
step(const struct pst_trust *trust, struct pst_http_text node, struct claim *claim)
{
	char host[INET6_ADDRSTRLEN];
	uint16_t port;

	if (!parse_node(node, host, &port))
		return false;
	memcpy(claim->client, host, sizeof(host));
	claim->client_port = port;
	return pst_trust_contains(trust, host);
}

/* --- X-Forwarded-* --- */

/* Walks over the elements of all fields of one name, from the right. */
struct backwards {
	const struct pst_http_field *fields;
	size_t left; /* fields not looked at yet */
	const char *name;
	struct pst_http_text rest; /* of the field that is looked at */
};

static bool
next_field(struct backwards *walk)
{
	while (walk->left > 0) {
		const struct pst_http_field *field = &walk->fields[--walk->left];

		if (pst_http_text_is(field->name, walk->name)) {
			walk->rest = field->value;
			return true;
		}
	}
	return false;
}

/* Empty elements are passed over (RFC 9110, section 5.6.1). */
static bool
next_element(struct backwards *walk, struct pst_http_text *element)
{
	for (;;) {
		size_t n = walk->rest.len, from = n;

		if (n == 0) {
			if (!next_field(walk))
				return false;
			continue;
		}
		while (from > 0 && walk->rest.data[from - 1] != ',')
			from--;
		*element = pst_http_trim((struct pst_http_text){walk->rest.data + from, n - from});
		walk->rest.len = from > 0 ? from - 1 : 0;
		if (element->len > 0)
			return true;
	}
}

/* The element that is HOPS elements before the last, or the first of a shorter list. */
static bool
element_at(const struct pst_http_field *fields, size_t count, const char *name, size_t hops,
    struct pst_http_text *element)
{
	struct backwards walk = {.fields = fields, .left = count, .name = name};
	struct pst_http_text next;
	bool found = false;

	for (size_t i = 0; i <= hops && next_element(&walk, &next); i++) {
		*element = next;
		found = true;
	}
	return found;
}

/* How many elements before the last the walk ended. */
static size_t
walk_x_forwarded_for(const struct pst_trust *trust, const struct pst_http_field *fields,
    size_t count, struct claim *claim)
{
	struct backwards walk = {.fields = fields, .left = count, .name = "x-forwarded-for"};
	struct pst_http_text node;
	size_t hops = 0;
	bool trusted = true;

	while (trusted && next_element(&walk, &node)) {
		hops += claim->present;
		claim->present = true;
		trusted = step(trust, node, claim);
	}
	return hops;
}

/* A field that says how the client came; SECURE or PLAIN in so many words. */
static int
claim_scheme(struct claim *claim, const char *scheme, const char **reason)
{
	claim->present = true;
	if (!scheme)
		return syntax_error(reason, "a forwarded scheme that is not http or https");
	if (claim->scheme && claim->scheme != scheme && strcmp(claim->scheme, scheme) != 0)
		return conflict(
		    reason, "X-Forwarded-Proto, -Protocol or -SSL contradict each other");
	claim->scheme = scheme;
	return 0;
}

static const char *
scheme_of_protocol(struct pst_http_text value)
{
	return pst_http_text_is(value, "ssl") ? "https" : parse_scheme(value);
}

static const char *
scheme_of_ssl(struct pst_http_text value)
{
	return pst_http_text_is(value, "on")    ? "https"
	       : pst_http_text_is(value, "off") ? "http"
						: NULL;
}

static int
claim_x_scheme(const struct pst_http_field *fields, size_t count, size_t hops, struct claim *claim,
    const char **reason)
{
	static const struct {
		const char *name;
		const char *(*scheme)(struct pst_http_text value);
	} sources[] = {
	    {"x-forwarded-proto", parse_scheme},
	    {"x-forwarded-protocol", scheme_of_protocol},
	    {"x-forwarded-ssl", scheme_of_ssl},
	};
	struct pst_http_text value;
	int err = 0;

	for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]) && !err; i++)
		if (element_at(fields, count, sources[i].name, hops, &value))
			err = claim_scheme(claim, sources[i].scheme(value), reason);
	return err;
}

static int
claim_x_host(const struct pst_http_field *fields, size_t count, size_t hops, struct claim *claim,
    const char **reason)
{
	struct pst_http_text value;

	if (element_at(fields, count, "x-forwarded-host", hops, &value)) {
		claim->present = true;
		if (!claim_host(value, claim))
			return syntax_error(reason, "a malformed X-Forwarded-Host");
	}
	if (element_at(fields, count, "x-forwarded-port", hops, &value)) {
		claim->present = true;
		if (!parse_port(value, &claim->port))
			return syntax_error(reason, "a malformed X-Forwarded-Port");
	}
	return 0;
}

static int
claim_x(const struct pst_trust *trust, const struct pst_http_field *fields, size_t count,
    struct claim *claim, const char **reason)
{
	size_t hops = walk_x_forwarded_for(trust, fields, count, claim);
	int err = claim_x_scheme(fields, count, hops, claim, reason);

	return err ? err : claim_x_host(fields, count, hops, claim, reason);
}

/* --- Forwarded --- */

/* What the element at which the walk ended says of the request that its proxy received. */
static int
claim_hop(const struct pst_forwarded_hop *hop, struct claim *claim, const char **reason)
{
	claim->present = true;
	if (hop->proto.len > 0 && !(claim->scheme = parse_scheme(hop->proto)))
		return syntax_error(reason, "a proto in Forwarded that is not http or https");
	if (hop->host.len > 0 && !claim_host(hop->host, claim))
		return syntax_error(reason, "a malformed host in Forwarded");
	return 0;
}

static int
claim_forwarded(const struct pst_trust *trust, const struct pst_http_field *fields, size_t count,
    struct claim *claim, const char **reason)
{
	const struct pst_forwarded_hop *hop = NULL;
	struct pst_forwarded_list list = {.count = 0};

	for (size_t i = 0; i < count; i++)
		if (pst_http_text_is(fields[i].name, "forwarded") &&
		    !pst_forwarded_list_add(&list, fields[i].value))
			return syntax_error(reason, "a malformed Forwarded");
	for (size_t i = 0; i < list.count && i < PST_FORWARDED_HOPS; i++) {
		hop = &list.hops[(list.count - 1 - i) % PST_FORWARDED_HOPS];
		if (!step(trust, hop->node, claim))
			break;
	}
	return hop ? claim_hop(hop, claim, reason) : 0;
}

/* --- both --- */

static bool
same_host(struct pst_http_text a, struct pst_http_text b)
{
	return a.len == b.len && strncasecmp(a.data, b.data, a.len) == 0;
}

/* What both say must be the same. */
static int
compare(const struct claim *x, const struct claim *forwarded, const char **reason)
{
	if (x->client[0] && forwarded->client[0] && strcmp(x->client, forwarded->client) != 0)
		return conflict(reason, "Forwarded and X-Forwarded-For name different clients");
	if (x->scheme && forwarded->scheme && strcmp(x->scheme, forwarded->scheme) != 0)
		return conflict(reason, "Forwarded and X-Forwarded-Proto name different schemes");
	if (x->host.len > 0 && forwarded->host.len > 0 && !same_host(x->host, forwarded->host))
		return conflict(reason, "Forwarded and X-Forwarded-Host name different hosts");
	return 0;
}

static void
believe(const struct claim *claim, struct pst_forwarded *result)
{
	if (claim->client[0]) {
		memcpy(result->client, claim->client, sizeof(result->client));
		result->client_port = claim->client_port;
	}
	result->scheme = claim->scheme;
	result->host = claim->host;
	result->authority = claim->authority;
	result->port = claim->port;
}

/* Most requests have none of the fields that are looked for. */
static bool
is_claimed(const struct pst_http_field *fields, size_t count)
{
	static const char x[] = "x-forwarded-";

	for (size_t i = 0; i < count; i++) {
		struct pst_http_text name = fields[i].name;
		char first = (char)(name.len > 0 ? name.data[0] | 0x20 : 0);

		if (fields[i].id != PST_HTTP_OTHER || (first != 'f' && first != 'x'))
			continue;
		if (pst_http_text_is(name, "forwarded") ||
		    (name.len > strlen(x) && pst_http_same_letters(name.data, x, strlen(x))))
			return true;
	}
	return false;
}

/* Believe what the fields claim, if they agree. */
static int
resolve_claims(const struct pst_trust *trust, const struct pst_http_field *fields, size_t count,
    struct pst_forwarded *result)
{
	struct claim x = {.present = false}, forwarded = {.present = false};
	int err;

	if ((err = claim_x(trust, fields, count, &x, &result->reason)) ||
	    (err = claim_forwarded(trust, fields, count, &forwarded, &result->reason)) ||
	    (err = compare(&x, &forwarded, &result->reason)))
		return err;
	result->believed = true;
	believe(x.present ? &x : &forwarded, result);
	return 0;
}

int
pst_forwarded_resolve(const struct pst_trust *trust, const struct pst_peer_address *peer,
    const struct pst_http_field *fields, size_t count, struct pst_forwarded *result)
{
	*result = (struct pst_forwarded){.client_port = peer->port};
	memcpy(result->client, peer->host, sizeof(result->client));
	if (!is_claimed(fields, count) || !pst_trust_peer(trust, peer))
		return 0;
	return resolve_claims(trust, fields, count, result);
}
