#include "gateway/front/cgi_params.h"

#include "protocol/buf.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SERVER_SOFTWARE "penstock/" PACKAGE_VERSION

struct emitter {
	pst_cgi_params_fn *fn;
	void *arg;
};

static int
emit(const struct emitter *to, const char *name, const char *value, size_t value_len)
{
	return to->fn(to->arg, name, strlen(name), value ? value : "", value_len);
}

static int
emit_string(const struct emitter *to, const char *name, const char *value)
{
	return emit(to, name, value, strlen(value));
}

static int
emit_text(const struct emitter *to, const char *name, struct pst_http_text value)
{
	return emit(to, name, value.data, value.len);
}

static int
emit_number(const struct emitter *to, const char *name, int64_t value)
{
	char digits[24];
	int n = snprintf(digits, sizeof(digits), "%" PRId64, value);

	return emit(to, name, digits, n);
}

/* --- the connection --- */

static int
emit_client(const struct emitter *to, const struct pst_cgi_facts *facts)
{
	int err = emit_string(to, "REMOTE_ADDR", facts->client);

	if (err)
		return err;
	if (facts->client_port == 0)
		return emit_string(to, "REMOTE_PORT", "");
	return emit_number(to, "REMOTE_PORT", facts->client_port);
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
static int
emit_server_name(const struct emitter *to, const struct pst_cgi_facts *facts)
{
	const char *local = facts->local->host;
	char name[INET6_ADDRSTRLEN + 2];

	if (facts->host.len > 0)
		return emit_text(to, "SERVER_NAME", facts->host);
	snprintf(
	    name, sizeof(name), strchr(local, ':') ? "[%s]" : "%s", local[0] ? local : "localhost");
	return emit_string(to, "SERVER_NAME", name);
}

static int
emit_server(const struct emitter *to, const struct pst_cgi_facts *facts)
{
	bool https = strcmp(facts->scheme, "https") == 0;
	int err;

	if ((err = emit_string(to, "REQUEST_SCHEME", facts->scheme)) ||
	    (https && (err = emit_string(to, "HTTPS", "on"))) ||
	    (err = emit_server_name(to, facts)) ||
	    (err = emit_number(to, "SERVER_PORT", server_port(facts, https))) ||
	    (err = emit_string(to, "SERVER_ADDR", facts->local->host)))
		return err;
	return emit_string(to, "SERVER_SOFTWARE", SERVER_SOFTWARE);
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

static int
emit_script(const struct emitter *to, const struct pst_script *script)
{
	int err;

	if ((err = emit_text(to, "SCRIPT_NAME", script->name)) ||
	    (err = emit_text(to, "PATH_INFO", script->info)) ||
	    (err = emit_text(to, "SCRIPT_FILENAME", script->filename)) ||
	    (err = emit_text(to, "DOCUMENT_ROOT", script->root)) ||
	    (err = emit_text(to, "DOCUMENT_URI", script->uri)) ||
	    (script->info.len > 0 && (err = emit_text(to, "PATH_TRANSLATED", script->translated))))
		return err;
	return emit_string(to, "REDIRECT_STATUS", "200");
}

static int
emit_path(const struct emitter *to, const struct pst_http_request *request,
    const struct pst_cgi_facts *facts)
{
	struct pst_http_text path = facts->path_info;
	int err;

	if (facts->script != NULL)
		return emit_script(to, facts->script);
	if (path.data == NULL)
		path = path_info(request->target.path, facts->script_name);
	err = emit_text(to, "SCRIPT_NAME", facts->script_name);
	return err ? err : emit_text(to, "PATH_INFO", path);
}

static int
emit_line(const struct emitter *to, const struct pst_http_request *request,
    const struct pst_cgi_facts *facts)
{
	int err;

	/* REQUEST_URI of an absolute-form target is the target as sent, as nginx has it. */
	if ((err = emit_text(to, "REQUEST_METHOD", request->method)) ||
	    (err = emit_text(to, "REQUEST_URI", request->target.raw)) ||
	    (err = emit_path(to, request, facts)) ||
	    (err = emit_text(to, "QUERY_STRING", request->target.query)))
		return err;
	return emit_string(to, "SERVER_PROTOCOL", request->minor ? "HTTP/1.1" : "HTTP/1.0");
}

/* --- the fields --- */

static char
cgi_char(char c)
{
	return c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c == '-' ? '_' : c;
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

static bool
passed_as_http(const struct pst_http_field *field)
{
	static const struct pst_http_text never[] = {
	    {"PROXY", 5}, {"CONTENT_LENGTH", 14}, {"CONTENT_TYPE", 12}, {"TRANSFER_ENCODING", 17}};

	if (field->hop)
		return false;
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		if (same_name(field->name, never[i]))
			return false;
	return true;
}

/* Write "HTTP_ACCEPT_ENCODING" for "Accept-Encoding"; the room has been reserved. */
static void
write_name(char *to, struct pst_http_text name)
{
	memcpy(to, "HTTP_", 5);
	for (size_t i = 0; i < name.len; i++)
		to[5 + i] = cgi_char(name.data[i]);
}

/*
 * FNV-1a over the CGI name, never 0. Whoever makes collisions only makes names be compared, of
 * which --limit-request-fields bounds the number.
 */
static uint32_t
hash_name(struct pst_http_text name)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < name.len; i++)
		hash = (hash ^ (unsigned char)cgi_char(name.data[i])) * 16777619u;
	return hash ? hash : 1;
}

/* Fields that have been emitted, or never are, have the hash 0. */
static void
hash_fields(
    const struct pst_http_request *request, const struct pst_cgi_facts *facts, uint32_t *hashes)
{
	bool host_is_known = facts->authority.len > 0;

	for (size_t i = 0; i < request->field_count; i++) {
		const struct pst_http_field *field = &request->fields[i];
		bool known = host_is_known && pst_http_text_is(field->name, "host");

		hashes[i] = passed_as_http(field) && !known ? hash_name(field->name) : 0;
	}
}

/*
 * Append to VALUE what the fields behind number I of the same name say. 1 when there were any,
 * then VALUE holds all of them; 0 when not, and VALUE is untouched.
 */
static int
join_duplicates(
    const struct pst_http_request *request, uint32_t *hashes, size_t i, struct pst_buf *value)
{
	const struct pst_http_field *first = &request->fields[i];
	/* RFC 6265, section 5.4, and RFC 9113, section 8.2.3, for Cookie. */
	const struct pst_http_text cookie = {"COOKIE", 6};
	const char *separator = same_name(first->name, cookie) ? "; " : ", ";
	int joined = 0;

	for (size_t j = i + 1; j < request->field_count; j++) {
		const struct pst_http_field *field = &request->fields[j];

		if (hashes[j] != hashes[i] || !same_name(field->name, first->name))
			continue;
		if (!joined && pst_buf_append(value, first->value.data, first->value.len) < 0)
			return PST_ERR_NOMEM;
		if (pst_buf_append(value, separator, 2) < 0 ||
		    pst_buf_append(value, field->value.data, field->value.len) < 0)
			return PST_ERR_NOMEM;
		joined = 1;
		hashes[j] = 0;
	}
	return joined;
}

/* Emit field number I and its duplicates. SCRATCH is empty before and after. */
static int
emit_field(const struct emitter *to, const struct pst_http_request *request, uint32_t *hashes,
    size_t i, struct pst_buf *scratch)
{
	const struct pst_http_field *field = &request->fields[i];
	size_t name_len = 5 + field->name.len, length;
	char *name = (char *)pst_buf_reserve(scratch, name_len);
	int joined;

	if (!name)
		return PST_ERR_NOMEM;
	write_name(name, field->name);
	pst_buf_commit(scratch, name_len);
	joined = join_duplicates(request, hashes, i, scratch);
	if (joined < 0)
		return joined;
	name = (char *)pst_buf_bytes(scratch);
	length = pst_buf_length(scratch);
	joined = joined ? to->fn(to->arg, name, name_len, name + name_len, length - name_len)
			: to->fn(to->arg, name, name_len,
			      field->value.data ? field->value.data : "", field->value.len);
	pst_buf_consume(scratch, length);
	return joined;
}

static int
emit_fields(const struct emitter *to, const struct pst_http_request *request,
    const struct pst_cgi_facts *facts)
{
	uint32_t few[128], *hashes = few;
	struct pst_buf scratch = {0};
	int err = 0;

	if (request->field_count > sizeof(few) / sizeof(few[0])) {
		hashes = calloc(request->field_count, sizeof(*hashes));
		if (!hashes)
			return PST_ERR_NOMEM;
	}
	hash_fields(request, facts, hashes);
	if (facts->authority.len > 0)
		err = emit_text(to, "HTTP_HOST", facts->authority);
	for (size_t i = 0; i < request->field_count && !err; i++)
		if (hashes[i])
			err = emit_field(to, request, hashes, i, &scratch);
	pst_buf_free(&scratch);
	if (hashes != few)
		free(hashes);
	return err;
}

/* CONTENT_TYPE and CONTENT_LENGTH have no HTTP_ (RFC 3875, 4.1.2 and 4.1.3). */
static int
emit_body(const struct emitter *to, const struct pst_http_request *request,
    const struct pst_cgi_facts *facts)
{
	const struct pst_http_field *type = pst_http_request_field(request, "content-type");
	int err = type ? emit_text(to, "CONTENT_TYPE", type->value) : 0;

	if (!err && facts->body_length >= 0)
		err = emit_number(to, "CONTENT_LENGTH", facts->body_length);
	return err;
}

int
pst_cgi_params_make(const struct pst_http_request *request, const struct pst_cgi_facts *facts,
    pst_cgi_params_fn *fn, void *arg)
{
	const struct emitter to = {fn, arg};
	int err;

	if ((err = emit_string(&to, "GATEWAY_INTERFACE", "CGI/1.1")) ||
	    (err = emit_server(&to, facts)) || (err = emit_client(&to, facts)) ||
	    (err = emit_line(&to, request, facts)) || (err = emit_body(&to, request, facts)))
		return err;
	return emit_fields(&to, request, facts);
}
