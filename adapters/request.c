#include "adapters/request.h"

#include "adapters/head.h"
#include "adapters/log.h"
#include "adapters/piece.h"
#include "protocol/error.h"
#include "protocol/params.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/*
 * So many bytes at the end of a file, and so the whole of a small one, are copied: they leave in
 * one write with what surrounds them. As they are read before they are sent, nothing that a
 * spoilt piece put in a file's place can complete the length that the response promised.
 */
#define COPIED 16384

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

static void
drop_file(struct pst_request *request)
{
	struct pst_sendfile file;

	if (pst_request_take_file(request, &file))
		close(file.fd);
}

void
pst_request_clear(struct pst_request *request)
{
	drop_file(request);
	pst_fields_free(&request->params);
	pst_fields_free(&request->trailers);
	pst_body_free(&request->body);
	pst_buf_free(&request->gather);
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
	struct pst_request kept = *request;

	drop_file(request);
	pst_fields_clear(&kept.params);
	pst_fields_clear(&kept.trailers);
	pst_body_clear(&kept.body, KEEP);
	buf_clear(&kept.gather);
	memset(request, 0, sizeof(*request));
	request->params = kept.params;
	request->trailers = kept.trailers;
	request->body = kept.body;
	request->gather = kept.gather;
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

/* RESULT of the carrier, with its reason. */
static int
carried(struct pst_request *request, int result)
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
	return carried(request, PST_RESULT_GONE);
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
			return carried(request, result);
	}
	if (request->gone)
		return carried(request, PST_RESULT_GONE);
	return n > 0 ? take_body(request, bytes, n) : 0;
}

/* --- X-Sendfile --- */

static bool
is_head(const struct pst_request *request)
{
	const struct pst_field *method = pst_fields_find(&request->params, "REQUEST_METHOD");

	return method && strcmp(method->value, "HEAD") == 0;
}

/* Say WHY the file is not sent, and answer STATUS in its place. */
static int
refuse_file(struct pst_request *request, int status, const char *why)
{
	char title[256], text[400];
	int n = snprintf(text, sizeof(text), "%s: answered %d", why, status);

	pst_request_title(request, title, sizeof(title));
	pst_log_titled(PST_LOG_ERROR, title, text, (size_t)n);
	request->explained = true;
	pst_request_answer(request, status);
	request->replaced = true;
	return PST_RESULT_REPLACED;
}

/* FIELDS without those that are for us, and with the length of the FILE, if there is one. */
static int
append_head(struct pst_request *request, int status, const char *reason,
    const struct pst_field *fields, size_t count, const struct pst_sendfile *file)
{
	struct pst_field *kept = calloc(count + 1, sizeof(*kept));
	char length[24];
	size_t n = 0;
	int result;

	if (!kept)
		return pst_request_fail(request, PST_RESULT_ERROR, "memory is short");
	for (size_t i = 0; i < count; i++)
		if (!(fields[i].name_len == 10 &&
			strncasecmp(fields[i].name, "X-Sendfile", 10) == 0) &&
		    !(fields[i].name_len == 14 &&
			strncasecmp(fields[i].name, "Content-Length", 14) == 0))
			kept[n++] = fields[i];
	if (file)
		kept[n++] = (struct pst_field){"Content-Length", 14, length,
		    (size_t)snprintf(length, sizeof(length), "%zu", file->length)};
	result = pst_head_append(
	    &request->gather, status, reason, kept, n, request->reason, sizeof(request->reason));
	free(kept);
	return result;
}

/* The head of a response whose body is the file that FIELD names. */
static int
respond_with_file(struct pst_request *request, int status, const char *reason,
    const struct pst_field *fields, size_t count, const struct pst_field *field)
{
	bool bodyless = status == 204 || status == 304;
	struct pst_sendfile file = {.fd = -1};
	char why[300];
	int result = 0;

	if (!bodyless)
		result = pst_sendfile_open(&file, field, status, fields, count, why, sizeof(why));
	if (result != 0)
		return refuse_file(request, result, why);
	result = append_head(request, status, reason, fields, count, bodyless ? NULL : &file);
	request->has_file = result == 0 && !bodyless && file.length > 0 && !is_head(request);
	if (request->has_file)
		request->file = file;
	else if (file.fd >= 0)
		close(file.fd);
	if (result < 0)
		return result;
	request->state = PST_RESPONSE_GATHERED;
	request->replaced = true;
	return PST_RESULT_REPLACED;
}

bool
pst_request_take_file(struct pst_request *request, struct pst_sendfile *file)
{
	*file = request->file;
	if (!request->has_file)
		return false;
	request->has_file = false;
	return true;
}

/* Once the application has returned. May block. */
static int
send_replacement(struct pst_request *request)
{
	struct pst_sendfile file;
	int result = 0;

	request->replaced = false;
	if (pst_request_take_file(request, &file)) {
		result = pst_request_send_file(request, file.fd, file.offset, file.length);
		close(file.fd);
	}
	return result;
}

int
pst_request_respond(struct pst_request *request, int status, const char *reason,
    const struct pst_field *fields, size_t count)
{
	const struct pst_field *file;
	bool interim = status >= 100 && status <= 199;
	size_t before = pst_buf_length(&request->gather);
	int result;

	if (request->state != PST_RESPONSE_NONE)
		return pst_request_fail(
		    request, PST_RESULT_STATE, "the response has a head already");
	file = interim ? NULL : pst_sendfile_find(fields, count);
	if (file)
		return respond_with_file(request, status, reason, fields, count, file);
	result = pst_head_append(&request->gather, status, reason, fields, count, request->reason,
	    sizeof(request->reason));
	if (result < 0)
		return result;
	if (!interim)
		request->state = PST_RESPONSE_GATHERED;
	else if (!request->penstock || before > PST_HEAD_MAX)
		request->gather.end -= pst_buf_length(&request->gather) - before;
	return PST_RESULT_OK;
}

enum pst_upgrade
pst_request_upgradable(const struct pst_request *request)
{
	return request->upgradable ? PST_UPGRADE_WEBSOCKET : PST_UPGRADE_NONE;
}

int
pst_request_check_upgrade(struct pst_request *request)
{
	if (!request->upgradable)
		return pst_request_fail(
		    request, PST_RESULT_STATE, "the client does not ask for a WebSocket");
	if (request->gone)
		return carried(request, PST_RESULT_GONE);
	if (request->state != PST_RESPONSE_NONE)
		return pst_request_fail(
		    request, PST_RESULT_STATE, "the response has a head already");
	return 0;
}

int
pst_request_upgrade_stream(
    struct pst_request *request, const struct pst_field *fields, size_t count)
{
	int result = pst_request_check_upgrade(request);

	if (result == 0)
		result = pst_head_append_upgrade(&request->gather, "stream", fields, count,
		    request->reason, sizeof(request->reason));
	if (result == 0) {
		request->state = PST_RESPONSE_GATHERED;
		request->upgraded = true;
	}
	return result;
}

/* Hand on what has gathered. */
static int
pass_gathered(struct pst_request *request)
{
	size_t n = pst_buf_length(&request->gather);
	int result;

	if (n == 0)
		return 0;
	if (request->state == PST_RESPONSE_GATHERED)
		request->state = PST_RESPONSE_SENT;
	result = request->carrier->submit(
	    request, PST_STREAM_STDOUT, pst_buf_bytes(&request->gather), n);
	pst_buf_consume(&request->gather, n);
	return carried(request, result);
}

int
pst_request_gathers(const struct pst_request *request, size_t n)
{
	return pst_buf_length(&request->gather) + n < PST_REQUEST_GATHER;
}

int
pst_request_write(struct pst_request *request, const void *bytes, size_t n)
{
	int result = 0;

	if (request->state == PST_RESPONSE_NONE)
		return pst_request_fail(request, PST_RESULT_STATE, "a body before its head");
	if (request->gone)
		return carried(request, PST_RESULT_GONE);
	if (request->replaced)
		return 0;
	if (request->trailers.count > 0)
		return pst_request_fail(request, PST_RESULT_STATE, "a body after its trailers");
	if (request->complete && n > 0)
		return pst_request_fail(request, PST_RESULT_STATE, "the response is complete");
	if (pst_request_gathers(request, n)) {
		if (n > 0 && pst_buf_append(&request->gather, bytes, n) < 0)
			return pst_request_fail(request, PST_RESULT_ERROR, "memory is short");
		return 0;
	}
	/* What does not gather is not copied into gather either. */
	result = pass_gathered(request);
	if (result < 0)
		return result;
	return carried(request, request->carrier->share(request, bytes, n));
}

/* As long as the head has not left, the response may become another one. */
int
pst_request_post(struct pst_request *request, const void *bytes, size_t n)
{
	int result;

	if (!request->carrier->post || request->state != PST_RESPONSE_SENT || request->gone ||
	    request->replaced || request->complete || request->trailers.count > 0 ||
	    pst_buf_length(&request->gather) > 0)
		return PST_POST_REFUSED;
	result = request->carrier->post(request, bytes, n);
	return result < 0 ? carried(request, result) : result;
}

int
pst_request_flush(struct pst_request *request)
{
	int result;

	if (request->gone)
		return carried(request, PST_RESULT_GONE);
	result = pass_gathered(request);
	if (result < 0)
		return result;
	return carried(request, request->carrier->flush(request));
}

int
pst_request_complete(struct pst_request *request)
{
	int result;

	if (request->state == PST_RESPONSE_NONE)
		return pst_request_fail(request, PST_RESULT_STATE, "there is no response");
	request->complete = true;
	if (request->carrier->flush_soon == NULL || request->gone)
		return pst_request_flush(request);
	request->finishing = true;
	result = pass_gathered(request);
	/* What it says from now on comes behind: it may run on for long. */
	request->finishing = false;
	if (result < 0)
		return result;
	return carried(request, request->carrier->flush_soon(request));
}

int
pst_request_pump(struct pst_request *request, int fd)
{
	int result;

	if (!request->upgraded)
		return pst_request_fail(request, PST_RESULT_STATE, "it is no stream");
	result = pst_request_flush(request);
	if (result < 0)
		return result;
	return carried(request, request->carrier->pump(request, fd));
}

int
pst_request_check_file(struct pst_request *request, int fd, off_t offset, size_t length)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return pst_request_fail(
		    request, PST_RESULT_INVALID, "descriptor %d: %s", fd, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return pst_request_fail(
		    request, PST_RESULT_INVALID, "descriptor %d is no regular file", fd);
	if (offset < 0)
		return pst_request_fail(request, PST_RESULT_INVALID, "the offset is negative");
	if (offset > st.st_size ||
	    (unsigned long long)length > (unsigned long long)(st.st_size - offset))
		return pst_request_fail(request, PST_RESULT_ERROR,
		    "the file has %lld bytes, not the %zu from %lld that are to be sent",
		    (long long)st.st_size, length, (long long)offset);
	return 0;
}

/* Reading the file failed with the error ERR, or it ended early (0). */
static int
fail_file(struct pst_request *request, int err)
{
	if (err != 0)
		return pst_request_fail(
		    request, PST_RESULT_ERROR, "reading the file: %s", strerror(err));
	return pst_request_fail(
	    request, PST_RESULT_ERROR, "the file became shorter while it was sent");
}

/* Send a file's N bytes from OFFSET without copying them. */
static int
send_piece(struct pst_request *request, int fd, off_t offset, size_t n)
{
	struct pst_piece piece = {.fd = fd, .offset = offset};
	int result = pass_gathered(request);

	if (result == 0)
		result = carried(request, request->carrier->send_piece(request, &piece, n));
	request->spoilt |= piece.spoilt;
	return result == 0 && piece.spoilt ? fail_file(request, piece.err) : result;
}

static int
copy_file(struct pst_request *request, int fd, off_t offset, size_t length)
{
	char bytes[COPIED];
	int result = 0;

	while (result == 0 && length > 0) {
		ssize_t n = pread(fd, bytes, length < COPIED ? length : COPIED, offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fail_file(request, n < 0 ? errno : 0);
		result = pst_request_write(request, bytes, (size_t)n);
		offset += n;
		length -= (size_t)n;
	}
	return result;
}

/* The client reads the file: a file that is far away must not make it wait. */
static bool
is_near(int fd)
{
	/* statfs(2): NFS, SMB, CIFS, SMB 2, FUSE, Ceph, Coda, AFS, 9P; no header has them all. */
	static const uint32_t far[] = {0x6969, 0x517b, 0xff534d42, 0xfe534d42, 0x65735546, 0xc36400,
	    0x73757245, 0x5346414f, 0x01021997};
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return false;
	for (size_t i = 0; i < sizeof(far) / sizeof(far[0]); i++)
		if ((uint32_t)fs.f_type == far[i])
			return false;
	return true;
}

static int
send_descriptor(struct pst_request *request, int fd, off_t offset, size_t length)
{
	int result = pass_gathered(request);

	if (result < 0)
		return result;
	return carried(request, request->carrier->send_descriptor(request, fd, offset, length));
}

int
pst_request_send_file(struct pst_request *request, int fd, off_t offset, size_t length)
{
	int result;

	if (request->state == PST_RESPONSE_NONE)
		return pst_request_fail(request, PST_RESULT_STATE, "a body before its head");
	if (request->replaced)
		return request->gone ? carried(request, PST_RESULT_GONE) : 0;
	result = pst_request_check_file(request, fd, offset, length);
	if (result == 0 && request->files && length > COPIED && is_near(fd))
		return send_descriptor(request, fd, offset, length);
	while (result == 0 && length > COPIED) {
		size_t n = length - COPIED;
		if (n > PST_SESSION_EXTERNAL_MAX)
			n = PST_SESSION_EXTERNAL_MAX;
		result = send_piece(request, fd, offset, n);
		offset += (off_t)n;
		length -= n;
		if (result == 0)
			result = pst_request_check_file(request, fd, offset, length);
	}
	return result == 0 ? copy_file(request, fd, offset, length) : result;
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

int
pst_request_begun(const struct pst_request *request)
{
	return request->state == PST_RESPONSE_SENT;
}

int
pst_request_trailers(struct pst_request *request, const struct pst_field *fields, size_t count)
{
	size_t total = 0;
	int result;

	if (request->state == PST_RESPONSE_NONE)
		return pst_request_fail(request, PST_RESULT_STATE, "trailers before the head");
	if (request->replaced)
		return 0;
	if (request->trailers.count > 0)
		return pst_request_fail(request, PST_RESULT_STATE, "there are trailers already");
	if (request->complete)
		return pst_request_fail(request, PST_RESULT_STATE, "the response is complete");
	if (request->gone)
		return pst_request_fail(request, PST_RESULT_GONE, "the client is gone");
	result = pst_head_check_trailers(fields, count, request->reason, sizeof(request->reason));
	for (size_t i = 0; i < count && result == 0; i++) {
		if (fields[i].name_len > PST_SESSION_TRAILERS ||
		    fields[i].value_len > PST_SESSION_TRAILERS)
			total = PST_SESSION_TRAILERS;
		total += pst_params_pair_size(fields[i].name_len, fields[i].value_len);
		if (total > PST_SESSION_TRAILERS)
			result = pst_request_fail(request, PST_RESULT_INVALID,
			    "the trailers are larger than %d bytes", PST_SESSION_TRAILERS);
		else if (pst_fields_add(&request->trailers, fields[i].name, fields[i].name_len,
			     fields[i].value, fields[i].value_len) < 0)
			result = pst_request_fail(request, PST_RESULT_ERROR, "memory is short");
	}
	if (result < 0)
		pst_fields_clear(&request->trailers);
	pst_fields_seal(&request->trailers);
	return result;
}

int
pst_request_submit_trailers(const struct pst_request *request, struct pst_session *session)
{
	for (size_t i = 0; i < request->trailers.count; i++) {
		const struct pst_field *field = &request->trailers.items[i];
		int err = pst_session_submit_trailer(session, request->id, field->name,
		    field->name_len, field->value, field->value_len);
		if (err < 0)
			return PST_RESULT_ERROR;
	}
	return 0;
}

/* --- the end --- */

/* Nothing of the response has left but interim heads: forget the rest. */
static void
take_back(struct pst_request *request)
{
	pst_buf_consume(&request->gather, pst_buf_length(&request->gather));
	pst_fields_clear(&request->trailers);
	drop_file(request);
	request->replaced = false;
	request->state = PST_RESPONSE_NONE;
}

void
pst_request_answer(struct pst_request *request, int status)
{
	static const struct pst_field plain = {"Content-Type", 12, "text/plain", 10};
	const char *phrase = pst_head_phrase(status);
	char text[80];
	int n = snprintf(text, sizeof(text), "%d %s\n", status, phrase);

	take_back(request);
	if (pst_request_respond(request, status, phrase, &plain, 1) == 0)
		pst_request_write(request, text, (size_t)n);
}

enum pst_outcome
pst_request_settle(struct pst_request *request, int result)
{
	if (request->gone)
		return PST_OUTCOME_GONE;
	if (result == 0 && request->state != PST_RESPONSE_NONE && !request->spoilt)
		return PST_OUTCOME_WHOLE;
	if (request->state == PST_RESPONSE_SENT)
		return PST_OUTCOME_BROKEN;
	pst_request_answer(request, 500);
	return PST_OUTCOME_WHOLE;
}

enum pst_outcome
pst_request_finish(struct pst_request *request, int result)
{
	enum pst_outcome outcome;

	if (result == 0 && request->replaced && !request->gone)
		result = send_replacement(request);
	request->finishing = true;
	outcome = pst_request_settle(request, result);
	if (outcome != PST_OUTCOME_WHOLE || request->carrier->finishes)
		return outcome;
	if (pass_gathered(request) == PST_RESULT_ERROR)
		return PST_OUTCOME_BROKEN;
	return request->gone ? PST_OUTCOME_GONE : PST_OUTCOME_WHOLE;
}

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
