#include "gateway/front/cgi_params.h"

#include "gateway/front/decimal.h"
#include "protocol/params.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SERVER_SOFTWARE "penstock/" PACKAGE_VERSION

/* What the parameters that are no fields take at most, beside the texts of the request and the
 * facts: their names, lengths, constants, numbers and addresses. */
#define FIXED_SIZE 1024
/* What a field takes beside its name and value: lengths, "HTTP_", a separator. */
#define FIELD_SIZE (8 + 5 + 2)

/* Where the next pair goes. The room for all of them was reserved, so nothing here can fail. */
struct writer {
	unsigned char *at;
};

/* Inline: the names are constants, of which the compiler knows the lengths. */
static inline void
put(struct writer *to, const char *name, const char *value, size_t value_len)
{
	size_t name_len = strlen(name);
	unsigned char *at = pst_params_put_lengths(to->at, name_len, value_len);

	memcpy(at, name, name_len);
	to->at = pst_http_copy(at + name_len, value, value_len);
}

/* A constant value, of which the compiler makes a few instructions. */
static inline void
put_constant(struct writer *to, const char *name, const char *value)
{
	size_t name_len = strlen(name), value_len = strlen(value);
	unsigned char *at = pst_params_put_lengths(to->at, name_len, value_len);

	memcpy(at, name, name_len);
	memcpy(at + name_len, value, value_len);
	to->at = at + name_len + value_len;
}

static inline void
put_string(struct writer *to, const char *name, const char *value)
{
	put(to, name, value, strlen(value));
}

static inline void
put_text(struct writer *to, const char *name, struct pst_http_text value)
{
	put(to, name, value.data, value.len);
}

static inline void
put_number(struct writer *to, const char *name, uint64_t value)
{
	char digits[PST_DECIMAL_MAX];

	put(to, name, digits, pst_decimal(digits, value));
}

/* --- the connection --- */

static void
put_client(struct writer *to, const struct pst_cgi_facts *facts)
{
	put_string(to, "REMOTE_ADDR", facts->client);
	if (facts->client_port == 0)
		put_constant(to, "REMOTE_PORT", "");
	else
		put_number(to, "REMOTE_PORT", facts->client_port);
}

static uint16_t
server_port(const struct pst_cgi_facts *facts, bool https)
{
	if (facts->port != 0)
		return facts->port;
	if (facts->host.len == 0 && facts->local->port != 0)
		return facts->local->port;
	return https ? 443 : 80;
}

/*
 * SERVER_NAME must never be empty (RFC 3875, 4.1.14), on unix sockets too, and has an IPv6 address
 * in brackets.
 */
static void
put_server_name(struct writer *to, const struct pst_cgi_facts *facts)
{
	const char *local = facts->local->host[0] != '\0' ? facts->local->host : "localhost";
	char name[INET6_ADDRSTRLEN + 2];
	size_t n = strlen(local);

	if (facts->host.len > 0) {
		put_text(to, "SERVER_NAME", facts->host);
	} else if (strchr(local, ':') == NULL) {
		put(to, "SERVER_NAME", local, n);
	} else {
		name[0] = '[';
		memcpy(name + 1, local, n);
		name[n + 1] = ']';
		put(to, "SERVER_NAME", name, n + 2);
	}
}

static void
put_server(struct writer *to, const struct pst_cgi_facts *facts)
{
	bool https = strcmp(facts->scheme, "https") == 0;

	put_string(to, "REQUEST_SCHEME", facts->scheme);
	if (https)
		put_constant(to, "HTTPS", "on");
	put_server_name(to, facts);
	put_number(to, "SERVER_PORT", server_port(facts, https));
	put_string(to, "SERVER_ADDR", facts->local->host);
	put_constant(to, "SERVER_SOFTWARE", SERVER_SOFTWARE);
}

/* --- the request line --- */

/*
 * With --root-path /app a proxy may pass /app/x on or have taken /app off: PATH_INFO is /x in
 * both cases. /application is not below /app.
 */
static struct pst_http_text
path_info(struct pst_http_text path, struct pst_http_text script_name)
{
	size_t n = script_name.len;

	if (n == 0 || path.len < n || memcmp(path.data, script_name.data, n) != 0)
		return path;
	if (path.len > n && path.data[n] != '/')
		return path;
	return (struct pst_http_text){path.data + n, path.len - n};
}

static void
put_script(struct writer *to, const struct pst_script *script)
{
	put_text(to, "SCRIPT_NAME", script->name);
	put_text(to, "PATH_INFO", script->info);
	put_text(to, "SCRIPT_FILENAME", script->filename);
	put_text(to, "DOCUMENT_ROOT", script->root);
	put_text(to, "DOCUMENT_URI", script->uri);
	if (script->info.len > 0)
		put_text(to, "PATH_TRANSLATED", script->translated);
	put_constant(to, "REDIRECT_STATUS", "200");
}

static void
put_path(
    struct writer *to, const struct pst_http_request *request, const struct pst_cgi_facts *facts)
{
	struct pst_http_text path = facts->path_info;

	if (facts->script != NULL) {
		put_script(to, facts->script);
		return;
	}
	if (path.data == NULL)
		path = path_info(request->target.path, facts->script_name);
	put_text(to, "SCRIPT_NAME", facts->script_name);
	put_text(to, "PATH_INFO", path);
}

static void
put_line(
    struct writer *to, const struct pst_http_request *request, const struct pst_cgi_facts *facts)
{
	put_text(to, "REQUEST_METHOD", request->method);
	/* REQUEST_URI of an absolute-form target is the target as sent, as nginx has it. */
	put_text(to, "REQUEST_URI", request->target.raw);
	put_path(to, request, facts);
	put_text(to, "QUERY_STRING", request->target.query);
	if (request->minor > 0)
		put_constant(to, "SERVER_PROTOCOL", "HTTP/1.1");
	else
		put_constant(to, "SERVER_PROTOCOL", "HTTP/1.0");
}

/* --- the fields --- */

static inline unsigned char
cgi_char(char c)
{
	return (unsigned char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c == '-' ? '_' : c);
}

/* The same for 8 characters of tokens, none of which is above 0x7f. */
static inline uint64_t
cgi_8(uint64_t chars)
{
	const uint64_t ones = 0x0101010101010101, tops = 0x8080808080808080;
	uint64_t from_a = chars + (0x80 - 'a') * ones, above_z = chars + (0x7f - 'z') * ones;
	uint64_t upper = chars - (((from_a ^ above_z) & tops) >> 2);
	uint64_t dashes = ~((upper ^ '-' * ones) + 0x7f * ones) & tops;

	return upper + (dashes >> 7) * ('_' - '-');
}

/* True when two names give one HTTP_NAME. */
static bool
same_name(struct pst_http_text a, struct pst_http_text b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (cgi_char(a.data[i]) != cgi_char(b.data[i]))
			return false;
	return true;
}

/* It speaks of the client's connection, and is not what asks for an upgrade of that. */
static bool
stays_here(const struct pst_http_field *field, const struct pst_cgi_facts *facts)
{
	bool asks = field->id == PST_HTTP_CONNECTION || field->id == PST_HTTP_UPGRADE;

	return field->hop && !(facts->upgrade && asks);
}

/* It would become one of those that mean something else, or nothing good. */
static bool
is_never_passed(struct pst_http_text name)
{
	switch (name.len) {
	case 5: return same_name(name, (struct pst_http_text){"PROXY", 5});
	case 12: return same_name(name, (struct pst_http_text){"CONTENT_TYPE", 12});
	case 14: return same_name(name, (struct pst_http_text){"CONTENT_LENGTH", 14});
	case 17: return same_name(name, (struct pst_http_text){"TRANSFER_ENCODING", 17});
	default: return false;
	}
}

static bool
passed_as_http(const struct pst_http_field *field, const struct pst_cgi_facts *facts)
{
	if (stays_here(field, facts))
		return false;
	/* Of a name with no '_' its id says all. */
	if (field->plain)
		return field->id != PST_HTTP_CONTENT_TYPE && field->id != PST_HTTP_CONTENT_LENGTH &&
		       field->id != PST_HTTP_TRANSFER_ENCODING && field->id != PST_HTTP_PROXY;
	return !is_never_passed(field->name);
}

/* Letters of names that are the same to CGI give the same. */
static inline uint32_t
key_char(char c)
{
	return (uint32_t)(c == '_' ? '-' : c) & 0xdf;
}

/*
 * Tells most names apart: length, first, middle and last letter, never 0. Whoever makes collisions
 * only makes names be compared, of which --limit-request-fields bounds the number.
 */
static uint32_t
key_of(struct pst_http_text name)
{
	return (uint32_t)(name.len & 0xff) << 24 | key_char(name.data[0]) << 16 |
	       key_char(name.data[name.len / 2]) << 8 | key_char(name.data[name.len - 1]) | 0x20;
}

/* Fields that have been written, or never are, have the key 0. False: no name comes twice. */
static bool
find_keys(const struct pst_http_request *request, const struct pst_cgi_facts *facts, uint32_t *keys)
{
	bool host_is_known = facts->authority.len > 0, repeated = false;
	uint64_t seen[4] = {0}; /* a bit for each key, which it shares with few */

	for (size_t i = 0; i < request->field_count; i++) {
		const struct pst_http_field *field = &request->fields[i];
		bool known = host_is_known && field->id == PST_HTTP_HOST;

		uint32_t key = passed_as_http(field, facts) && !known ? key_of(field->name) : 0;
		uint32_t hash = key * 0x9e3779b1u >> 24;
		uint64_t bit = (uint64_t)1 << hash % 64;

		keys[i] = key;
		if (key == 0)
			continue;
		repeated |= (seen[hash / 64] & bit) != 0;
		seen[hash / 64] |= bit;
	}
	return repeated;
}

/* The length of all values of the name of field I, joined. */
static size_t
joined_length(const struct pst_http_request *request, const uint32_t *keys, size_t i)
{
	const struct pst_http_field *first = &request->fields[i];
	size_t length = first->value.len;

	for (size_t j = i + 1; j < request->field_count; j++)
		if (keys[j] == keys[i] && same_name(request->fields[j].name, first->name))
			length += 2 + request->fields[j].value.len;
	return length;
}

static void
put_bytes(struct writer *to, struct pst_http_text text)
{
	to->at = pst_http_copy(to->at, text.data, text.len);
}

/* Write the values that joined_length() measured. */
static void
put_joined(struct writer *to, const struct pst_http_request *request, uint32_t *keys, size_t i)
{
	const struct pst_http_field *first = &request->fields[i];
	/* RFC 6265, section 5.4, and RFC 9113, section 8.2.3, for Cookie. */
	const struct pst_http_text cookie = {"COOKIE", 6};
	const struct pst_http_text separator = {same_name(first->name, cookie) ? "; " : ", ", 2};

	put_bytes(to, first->value);
	for (size_t j = i + 1; j < request->field_count; j++) {
		const struct pst_http_field *field = &request->fields[j];

		if (keys[j] != keys[i] || !same_name(field->name, first->name))
			continue;
		put_bytes(to, separator);
		put_bytes(to, field->value);
		keys[j] = 0;
	}
}

/* "HTTP_ACCEPT_ENCODING" for "Accept-Encoding". */
static void
put_name(struct writer *to, struct pst_http_text name)
{
	size_t at = 0, n = name.len;
	uint64_t chars;

	memcpy(to->at, "HTTP_", 5);
	to->at += 5;
	for (; n - at >= 8; at += 8) {
		memcpy(&chars, name.data + at, 8);
		chars = cgi_8(chars);
		memcpy(to->at + at, &chars, 8);
	}
	if (at > 0 && at < n) {
		memcpy(&chars, name.data + n - 8, 8);
		chars = cgi_8(chars);
		memcpy(to->at + n - 8, &chars, 8);
		at = n;
	}
	if (at == 0 && n >= 4) {
		uint32_t first, last;

		memcpy(&first, name.data, 4);
		memcpy(&last, name.data + n - 4, 4);
		chars = cgi_8(first | (uint64_t)last << 32);
		first = (uint32_t)chars;
		last = (uint32_t)(chars >> 32);
		memcpy(to->at, &first, 4);
		memcpy(to->at + n - 4, &last, 4);
		at = n;
	}
	for (; at < n; at++)
		to->at[at] = cgi_char(name.data[at]);
	to->at += n;
}

static void
put_http(struct writer *to, struct pst_http_text name, struct pst_http_text value)
{
	to->at = pst_params_put_lengths(to->at, 5 + name.len, value.len);
	put_name(to, name);
	put_bytes(to, value);
}

/* Field number I and its duplicates. */
static void
put_field(struct writer *to, const struct pst_http_request *request, uint32_t *keys, size_t i)
{
	struct pst_http_text name = request->fields[i].name;

	to->at = pst_params_put_lengths(to->at, 5 + name.len, joined_length(request, keys, i));
	put_name(to, name);
	put_joined(to, request, keys, i);
}

static void
put_fields(struct writer *to, const struct pst_http_request *request,
    const struct pst_cgi_facts *facts, uint32_t *keys)
{
	bool repeated = find_keys(request, facts, keys);

	if (facts->authority.len > 0)
		put_text(to, "HTTP_HOST", facts->authority);
	for (size_t i = 0; i < request->field_count; i++)
		if (keys[i] != 0 && repeated)
			put_field(to, request, keys, i);
		else if (keys[i] != 0)
			put_http(to, request->fields[i].name, request->fields[i].value);
}

/* Each field by itself, where it stands. */
static void
put_separate(
    struct writer *to, const struct pst_http_request *request, const struct pst_cgi_facts *facts)
{
	bool host = facts->authority.len == 0, length = facts->body_length < 0;

	for (size_t i = 0; i < request->field_count; i++) {
		const struct pst_http_field *field = &request->fields[i];

		if (stays_here(field, facts)) {
			continue;
		} else if (field->id == PST_HTTP_CONTENT_TYPE) {
			put_text(to, "CONTENT_TYPE", field->value);
		} else if (field->id == PST_HTTP_CONTENT_LENGTH && !length) {
			put_number(to, "CONTENT_LENGTH", (uint64_t)facts->body_length);
			length = true;
		} else if (field->id == PST_HTTP_HOST && !host) {
			put_text(to, "HTTP_HOST", facts->authority);
			host = true;
		} else if (passed_as_http(field, facts)) {
			put_http(to, field->name, field->value);
		}
	}
	/* What is known although the request does not say it. */
	if (!host)
		put_text(to, "HTTP_HOST", facts->authority);
	if (!length)
		put_number(to, "CONTENT_LENGTH", (uint64_t)facts->body_length);
}

/* CONTENT_TYPE and CONTENT_LENGTH have no HTTP_ (RFC 3875, 4.1.2 and 4.1.3). */
static void
put_body(
    struct writer *to, const struct pst_http_request *request, const struct pst_cgi_facts *facts)
{
	for (size_t i = 0; i < request->field_count; i++) {
		if (request->fields[i].id == PST_HTTP_CONTENT_TYPE) {
			put_text(to, "CONTENT_TYPE", request->fields[i].value);
			break;
		}
	}
	if (facts->body_length >= 0)
		put_number(to, "CONTENT_LENGTH", (uint64_t)facts->body_length);
}

/* --- all of it --- */

static size_t
script_size(const struct pst_script *script)
{
	return script->name.len + script->info.len + script->filename.len + script->root.len +
	       script->uri.len + script->translated.len;
}

/* What the parameters take at most. */
static size_t
most(const struct pst_http_request *request, const struct pst_cgi_facts *facts)
{
	size_t size = FIXED_SIZE + request->method.len + request->target.raw.len +
		      request->target.path.len + request->target.query.len +
		      facts->script_name.len + facts->path_info.len + facts->host.len +
		      facts->authority.len + strlen(facts->scheme);

	if (facts->script != NULL)
		size += script_size(facts->script);
	for (size_t i = 0; i < request->field_count; i++)
		size += FIELD_SIZE + request->fields[i].name.len + request->fields[i].value.len;
	return size;
}

int
pst_cgi_params_make(
    const struct pst_http_request *request, const struct pst_cgi_facts *facts, struct pst_buf *out)
{
	size_t size = most(request, facts);
	uint32_t few[128], *keys = few;
	struct writer to = {pst_buf_reserve(out, size)};
	const unsigned char *begin = to.at;

	if (begin != NULL && request->field_count > sizeof(few) / sizeof(few[0]))
		keys = calloc(request->field_count, sizeof(*keys));
	if (begin == NULL || keys == NULL)
		return PST_ERR_NOMEM;
	put_constant(&to, "GATEWAY_INTERFACE", "CGI/1.1");
	put_server(&to, facts);
	put_client(&to, facts);
	put_line(&to, request, facts);
	if (facts->separate) {
		put_separate(&to, request, facts);
	} else {
		put_body(&to, request, facts);
		put_fields(&to, request, facts, keys);
	}
	if (keys != few)
		free(keys);
	assert((size_t)(to.at - begin) <= size);
	pst_buf_commit(out, (size_t)(to.at - begin));
	return 0;
}
