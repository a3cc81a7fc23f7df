#include "gateway/front/cgi_params.h"
#include "gateway/front/exchange_internal.h"
#include "gateway/log.h"

#include "protocol/params.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define PARAMS_KEPT ((size_t)65536)

static int
shown(size_t length)
{
	return length > 1024 ? 1024 : (int)length;
}

void
pst_exchange_name(const struct pst_exchange *x, char *text, size_t size)
{
	const struct pst_http_text *method = &x->request.method;
	const struct pst_http_text *path = &x->request.target.raw_path;

	snprintf(text, size, "%.*s %.*s", shown(method->len), method->data, shown(path->len),
	    path->data);
}

/* Who the client is, for a log line. */
static const char *
client_of(const struct pst_exchange *x)
{
	const struct pst_peer_address *peer = pst_client_peer(x->client);

	if (x->request.stage == PST_HTTP_STAGE_DONE && x->from.client[0] != '\0')
		return x->from.client;
	return peer->local ? "on a unix socket" : peer->host;
}

void
pst_exchange_log_slow(const struct pst_exchange *x, const char *what, const char *follows)
{
	const char *client = client_of(x);
	char name[256];

	if (x->request.stage != PST_HTTP_STAGE_DONE) {
		pst_log_info("client %s: %s: %s", client, what, follows);
		return;
	}
	pst_exchange_name(x, name, sizeof(name));
	pst_log_info("client %s: %s: %s: %s", client, name, what, follows);
}

/* What an unfinished request waits for. */
static void
describe_wait(const struct pst_exchange *x, char *text, size_t size)
{
	switch (x->state) {
	case PST_EXCHANGE_HEAD:
	case PST_EXCHANGE_BODY: snprintf(text, size, "it had not come whole"); break;
	case PST_EXCHANGE_QUEUED: snprintf(text, size, "no worker was free for it"); break;
	case PST_EXCHANGE_RUNNING:
	case PST_EXCHANGE_ANSWERING:
	case PST_EXCHANGE_OPEN:
		snprintf(text, size, "worker %s was not done with it", x->worker);
		break;
	case PST_EXCHANGE_FLUSHING:
	case PST_EXCHANGE_ENDED:
		snprintf(text, size, "its client had not taken the whole answer");
		break;
	}
}

void
pst_exchange_log_cut(const struct pst_exchange *x)
{
	char name[256] = "a request", wait[128];

	if (x->request.stage == PST_HTTP_STAGE_DONE)
		pst_exchange_name(x, name, sizeof(name));
	describe_wait(x, wait, sizeof(wait));
	pst_log_warning("client %s: %s: cut off, for the graceful timeout is over, and %s",
	    client_of(x), name, wait);
}

void
pst_exchange_log_refused(const struct pst_exchange *x, const struct pst_http_refusal *refusal)
{
	const struct pst_http_text *line = &x->request.line;
	char name[256];

	if (x->request.target.raw_path.len > 0)
		pst_exchange_name(x, name, sizeof(name));
	else
		snprintf(name, sizeof(name), "%.*s", shown(line->len), line->data);
	pst_log_info("client %s: %s%sit is refused: %s: answered %u", client_of(x), name,
	    name[0] != '\0' ? ": " : "", refusal->reason, refusal->status);
}

void
pst_exchange_log_no_route(const struct pst_exchange *x)
{
	struct pst_http_text host = pst_exchange_host(x);
	char name[256];

	pst_exchange_name(x, name, sizeof(name));
	if (x->pool != NULL) {
		pst_log_info("client %s: %s: pool %s has no script for it: answered 404",
		    client_of(x), name, pst_pool_name(x->pool));
		return;
	}
	pst_log_info("client %s: %s: no route leads there (host \"%.*s\"): answered 404",
	    client_of(x), name, shown(host.len), host.data);
}

void
pst_exchange_log_unreadable(const struct pst_exchange *x, const char *reason)
{
	char name[256];

	pst_exchange_name(x, name, sizeof(name));
	if (x->answer.in_part) {
		pst_log_error(
		    "worker %s: %s: the file that it answered with cannot be sent: %s: its "
		    "client's connection is closed in the middle of the answer",
		    x->worker, name, reason);
		return;
	}
	pst_log_error("client %s: %s: the rest of its answer cannot be read (spool directory %s): "
		      "%s: its connection is closed in the middle of the answer",
	    client_of(x), name, x->context->budget.directory, reason);
}

/* --- parameters --- */

/* How long the body is, as CONTENT_LENGTH says it; -1: there is none, or nobody knows yet. */
static int64_t
body_length(const struct pst_exchange *x)
{
	if (x->job.body == NULL)
		return -1;
	if (!x->job.body_open)
		return (int64_t)pst_spool_total(x->job.body);
	return x->request.body == PST_HTTP_BODY_LENGTH ? (int64_t)x->request.content_length : -1;
}

int
pst_exchange_params(struct pst_exchange *x, const struct pst_buf **params)
{
	struct pst_buf *out = &x->context->params;
	struct pst_cgi_facts facts = {
	    .body_length = body_length(x),
	    .script_name = x->script_name,
	    .path_info = x->path_info,
	    .script = x->script.memory != NULL ? &x->script : NULL,
	    .scheme = x->from.scheme != NULL ? x->from.scheme : "http",
	    .client = x->from.client,
	    .client_port = x->from.client_port,
	    .upgrade = x->handshake != NULL,
	    .local = pst_client_local(x->client),
	    .separate = x->job.streams, /* an async adapter of ours: it may host ASGI */
	};

	if (x->from.host.len > 0) {
		facts.host = x->from.host;
		facts.authority = x->from.authority;
	} else {
		facts.host = x->host;
		facts.port = x->port;
	}
	if (x->from.port != 0)
		facts.port = x->from.port;
	/* One very large request does not leave its memory behind. */
	if (out->size > PARAMS_KEPT)
		pst_buf_free(out);
	pst_buf_consume(out, pst_buf_length(out));
	*params = out;
	return pst_cgi_params_make(&x->request, &facts, out);
}

/* --- the access log --- */

static bool
names_equal(struct pst_http_text a, struct pst_http_text b)
{
	return a.len == b.len && strncasecmp(a.data, b.data, a.len) == 0;
}

static bool
find_request_field(
    const struct pst_exchange *x, struct pst_http_text name, struct pst_http_text *value)
{
	for (size_t i = 0; i < x->request.field_count; i++) {
		if (names_equal(x->request.fields[i].name, name)) {
			*value = x->request.fields[i].value;
			return true;
		}
	}
	return false;
}

static bool
find_response_field(
    const struct pst_exchange *x, struct pst_http_text name, struct pst_http_text *value)
{
	const struct pst_cgi_field *fields;
	size_t count;

	if (x->refused != 0 || !pst_answer_begun(&x->answer))
		return false;
	fields = pst_cgi_response_fields(x->answer.head, &count);
	for (size_t i = 0; i < count; i++) {
		if (names_equal(fields[i].name, name)) {
			*value = fields[i].value;
			return true;
		}
	}
	return false;
}

struct search {
	struct pst_http_text name;
	struct pst_http_text value;
};

/* A pst_params_fn: stops with 1 at the parameter that is searched for. */
static int
match_param(void *arg, const char *name, size_t name_len, const char *value, size_t value_len)
{
	struct search *search = arg;

	if (!names_equal(search->name, (struct pst_http_text){name, name_len}))
		return 0;
	search->value = (struct pst_http_text){value, value_len};
	return 1;
}

/* The value points into the context's memory. */
static bool
find_param(struct pst_exchange *x, struct search *search)
{
	struct pst_params_decoder decoder;
	const struct pst_buf *params;
	size_t length;
	int found;

	if (x->request.stage != PST_HTTP_STAGE_DONE || pst_exchange_params(x, &params) != 0)
		return false;
	length = pst_buf_length(params);
	pst_params_decoder_init(&decoder, length);
	found = pst_params_decode(&decoder, pst_buf_bytes(params), length, match_param, search);
	pst_params_decoder_free(&decoder);
	return found == 1;
}

static bool
look_up(
    void *arg, enum pst_access_lookup what, struct pst_http_text name, struct pst_http_text *value)
{
	struct pst_exchange *x = arg;
	struct search search = {.name = name};

	if (what == PST_ACCESS_REQUEST_FIELD)
		return find_request_field(x, name, value);
	if (what == PST_ACCESS_RESPONSE_FIELD)
		return find_response_field(x, name, value);
	if (!find_param(x, &search))
		return false;
	*value = search.value;
	return true;
}

/* What the client got: our own answer, the worker's, or nothing (499: it left, as with nginx). */
static void
set_answer(const struct pst_exchange *x, struct pst_access_entry *entry)
{
	if (x->refused != 0) {
		entry->status = x->refused;
		entry->sent = -1;
	} else if (pst_answer_begun(&x->answer)) {
		entry->status = x->answer.http.status;
		entry->sent = (int64_t)x->answer.http.body_sent;
	} else {
		entry->status = 499;
		entry->sent = 0;
	}
}

void
pst_exchange_log(struct pst_exchange *x)
{
	const struct pst_http_request *request = &x->request;
	struct pst_exchange_context *context = x->context;
	struct pst_access_entry entry = {
	    .client = {x->from.client, strlen(x->from.client)},
	    .request_line = request->line,
	    .worker = {x->worker, strlen(x->worker)},
	    .time = x->began,
	    .queue_us = -1,
	    .cpu_us = -1,
	    .waited_us = -1,
	    .lag_us = -1,
	    .lookup = look_up,
	    .lookup_arg = x,
	};

	if (context->access_log == NULL || pst_exchange_asks_health(x))
		return;
	if (request->stage == PST_HTTP_STAGE_DONE) {
		entry.method = request->method;
		entry.path = request->target.raw_path;
		entry.query = request->target.query;
		entry.protocol = request->minor == 0 ? (struct pst_http_text){"HTTP/1.0", 8}
						     : (struct pst_http_text){"HTTP/1.1", 8};
	} else {
		const char *host = pst_client_peer(x->client)->host;

		entry.client = (struct pst_http_text){host, strlen(host)};
	}
	if (x->pool != NULL)
		entry.pool =
		    (struct pst_http_text){pst_pool_name(x->pool), strlen(pst_pool_name(x->pool))};
	entry.duration_us = pst_loop_now_us() - x->began_us;
	if (x->given_us != 0)
		entry.queue_us = (int64_t)(x->given_us - x->queued_us);
	if (x->has_usage) {
		entry.cpu_us = (int64_t)x->usage.cpu;
		entry.waited_us = (int64_t)x->usage.waited;
		entry.lag_us = (int64_t)x->usage.lag;
	}
	set_answer(x, &entry);
	pst_buf_consume(&context->access_line, pst_buf_length(&context->access_line));
	if (pst_access_log_format(context->access_log, &entry, &context->access_line) == 0)
		pst_log_writer_put(context->access_log_writer, pst_buf_bytes(&context->access_line),
		    pst_buf_length(&context->access_line));
}
