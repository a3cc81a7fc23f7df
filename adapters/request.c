#include "adapters/request.h"

#include "adapters/log.h"
#include "adapters/request_internal.h"
#include "protocol/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Buffers larger than this are given back between requests. */
#define KEEP (2 * PST_REQUEST_BODY_HIGH)

/* --- life --- */

struct pst_request *
pst_request_new(void)
{
	return calloc(1, sizeof(struct pst_request));
}

void
pst_request_free(struct pst_request *request)
{
	if (!request)
		return;
	pst_request_clear(request);
	free(request);
}

void
pst_request_clear(struct pst_request *request)
{
	pst_request_drop_file(request);
	pst_fields_free(&request->params);
	pst_fields_free(&request->trailers);
	pst_body_free(&request->body);
	pst_buf_free(&request->gather);
	pst_head_kept_free(&request->head);
}

static void
buf_clear(struct pst_buf *buf)
{
	if (buf->size > KEEP)
		pst_buf_free(buf);
	else
		pst_buf_consume(buf, pst_buf_length(buf));
}

void
pst_request_reset(struct pst_request *request)
{
	pst_request_drop_file(request);
	memset(request, 0, offsetof(struct pst_request, params));
	pst_fields_clear(&request->params);
	pst_fields_clear(&request->trailers);
	pst_body_clear(&request->body, KEEP);
	buf_clear(&request->gather);
	request->reason[0] = '\0';
}

/* --- what comes in --- */

int
pst_request_on_params(struct pst_request *request, const struct pst_pair *pairs, size_t count)
{
	int err = pst_fields_add_pairs(&request->params, pairs, count);

	if (err != PST_ERR_PROTOCOL)
		return err;
	request->invalid = true;
	return 0;
}

bool
pst_request_take_upgrade(struct pst_request *request, const struct pst_pair *pair)
{
	static const char name[] = "PENSTOCK_UPGRADE", websocket[] = "websocket";

	if (pair->name_len != strlen(name) || memcmp(pair->name, name, pair->name_len) != 0)
		return false;
	request->upgradable = pair->value_len == strlen(websocket) &&
			      memcmp(pst_pair_value(pair), websocket, pair->value_len) == 0;
	return true;
}

void
pst_request_on_ready(struct pst_request *request)
{
	pst_fields_seal(&request->params);
}

int
pst_request_on_body(struct pst_request *request, const void *bytes, size_t n)
{
	int err;

	if (n == 0) {
		request->body_ended = true;
		return 0;
	}
	err = pst_body_add(&request->body, bytes, n);
	if (err < 0)
		pst_request_on_abort(request);
	return err;
}

int
pst_request_on_file(struct pst_request *request, const struct pst_session_file *file)
{
	int err = pst_body_add_file(&request->body, file);
	char title[256];

	if (err == 0)
		return 0;
	pst_log(PST_LOG_ERROR, "%s: its body came as a file that cannot be read: %s: it is aborted",
	    pst_request_title(request, title, sizeof(title)),
	    err == PST_ERR_PROTOCOL ? "it is no regular file, or too short"
				    : pst_error_string(err));
	pst_request_on_abort(request);
	return err;
}

void
pst_request_on_abort(struct pst_request *request)
{
	request->gone = true;
}

bool
pst_request_wants_body(const struct pst_request *request)
{
	/* With as much as credit allows, an ABORT is still to be read. */
	return pst_buf_length(&request->body.bytes) <= PST_REQUEST_BODY_HIGH;
}

/* --- what the plugin calls --- */

int
pst_request_fail(struct pst_request *request, int result, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(request->reason, sizeof(request->reason), format, args);
	va_end(args);
	return result;
}

int
pst_request_carried(struct pst_request *request, int result)
{
	if (result == PST_RESULT_GONE)
		return pst_request_fail(request, result, "the client is gone");
	if (result == PST_RESULT_AGAIN)
		return pst_request_fail(request, result, "nothing has come yet");
	if (result < 0)
		return pst_request_fail(request, result, "memory is short");
	return result;
}

const struct pst_field *
pst_request_params(struct pst_request *request, size_t *count)
{
	*count = request->params.count;
	return request->params.items;
}

/* The file that the rest of the body is in cannot be read: ERR as errno has it. */
static ssize_t
lose_body(struct pst_request *request, int err)
{
	char title[256];

	pst_log(PST_LOG_ERROR,
	    "%s: its body, which is in a file, cannot be read: %s: it is aborted",
	    pst_request_title(request, title, sizeof(title)),
	    err == ENODATA ? "the file has become shorter" : strerror(err));
	pst_request_on_abort(request);
	return pst_request_carried(request, PST_RESULT_GONE);
}

/* Of a body that has come whole, or is small, nothing is granted. */
static ssize_t
take_body(struct pst_request *request, void *bytes, size_t n)
{
	size_t credit;
	ssize_t got = pst_body_read(&request->body, bytes, n, &credit);

	if (got < 0)
		return lose_body(request, errno);
	request->body_read += credit;
	if (request->body_read < PST_REQUEST_GRANT || request->body_ended)
		return got;
	request->carrier->grant(request, request->body_read);
	request->body_read = 0;
	return got;
}

ssize_t
pst_request_read(struct pst_request *request, void *bytes, size_t n)
{
	/* A handshake has no body; what its client sends follows the answer. */
	if (request->upgradable && !request->upgraded && !request->gone)
		return 0;
	while (
	    !request->gone && !request->body_ended && pst_body_is_empty(&request->body) && n > 0) {
		int result = request->carrier->fill(request);
		if (result < 0)
			return pst_request_carried(request, result);
	}
	if (request->gone)
		return pst_request_carried(request, PST_RESULT_GONE);
	return n > 0 ? take_body(request, bytes, n) : 0;
}

/* Web servers cut long texts before they say which request it was: TEXT begins with TITLE. */
static int
submit_titled(struct pst_request *request, const char *title, const char *text, size_t len)
{
	struct pst_buf whole = {0};
	int result = PST_RESULT_ERROR;

	if (pst_buf_append(&whole, title, strlen(title)) == 0 &&
	    pst_buf_append(&whole, ": ", 2) == 0 && pst_buf_append(&whole, text, len) == 0)
		result = request->carrier->submit(
		    request, PST_STREAM_STDERR, pst_buf_bytes(&whole), pst_buf_length(&whole));
	pst_buf_free(&whole);
	return result;
}

int
pst_request_error(struct pst_request *request, const char *text, size_t len)
{
	int result = PST_RESULT_GONE;
	char title[256];

	if (len == 0)
		return 0;
	pst_request_title(request, title, sizeof(title));
	request->explained = true;
	if (!request->gone && request->penstock)
		result = request->carrier->submit(request, PST_STREAM_STDERR, text, len);
	else if (!request->gone)
		result = submit_titled(request, title, text, len);
	if (result < 0) /* the text matters most when things go wrong */
		pst_log_titled(PST_LOG_ERROR, title, text, len);
	return 0;
}

const char *
pst_request_reason(struct pst_request *request)
{
	return request->reason;
}

/* --- what it is called --- */

static const char *
param_value(const struct pst_request *request, const char *name)
{
	const struct pst_field *field = pst_fields_find(&request->params, name);

	return field ? field->value : "";
}

const char *
pst_request_title(const struct pst_request *request, char *text, size_t n)
{
	struct pst_request_line line;

	pst_request_line(request, &line);
	snprintf(text, n, "%.40s %.*s%.*s", line.method, (int)strcspn(line.path[0], "?"),
	    line.path[0], (int)strcspn(line.path[1], "?"), line.path[1]);
	for (char *at = text; *at; at++)
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			*at = '?';
	return text;
}

void
pst_request_line(const struct pst_request *request, struct pst_request_line *line)
{
	line->method = param_value(request, "REQUEST_METHOD");
	line->path[0] = param_value(request, "REQUEST_URI");
	line->path[1] = "";
	if (line->path[0][0] != '\0')
		return;
	line->path[0] = param_value(request, "SCRIPT_NAME");
	line->path[1] = param_value(request, "PATH_INFO");
}
