#include "adapters/head.h"
#include "adapters/request.h"
#include "adapters/request_internal.h"
#include "protocol/params.h"

#include <stdio.h>
#include <string.h>

/* --- the head --- */

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
		return pst_request_respond_with_file(request, status, reason, fields, count, file);
	result = pst_head_append(&request->gather, &request->head, status, reason, fields, count,
	    request->reason, sizeof(request->reason));
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
		return pst_request_carried(request, PST_RESULT_GONE);
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

/* --- the body --- */

int
pst_request_pass(struct pst_request *request)
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
	return pst_request_carried(request, result);
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
		return pst_request_carried(request, PST_RESULT_GONE);
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
	result = pst_request_pass(request);
	if (result < 0)
		return result;
	return pst_request_carried(request, request->carrier->share(request, bytes, n));
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
	return result < 0 ? pst_request_carried(request, result) : result;
}

int
pst_request_flush(struct pst_request *request)
{
	int result;

	if (request->gone)
		return pst_request_carried(request, PST_RESULT_GONE);
	result = pst_request_pass(request);
	if (result < 0)
		return result;
	return pst_request_carried(request, request->carrier->flush(request));
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
	result = pst_request_pass(request);
	/* What it says from now on comes behind: it may run on for long. */
	request->finishing = false;
	if (result < 0)
		return result;
	return pst_request_carried(request, request->carrier->flush_soon(request));
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
	return pst_request_carried(request, request->carrier->pump(request, fd));
}

int
pst_request_begun(const struct pst_request *request)
{
	return request->state == PST_RESPONSE_SENT;
}

/* --- trailers --- */

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
	pst_request_drop_file(request);
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
		result = pst_request_send_replacement(request);
	request->finishing = true;
	outcome = pst_request_settle(request, result);
	if (outcome != PST_OUTCOME_WHOLE || request->carrier->finishes)
		return outcome;
	if (pst_request_pass(request) == PST_RESULT_ERROR)
		return PST_OUTCOME_BROKEN;
	return request->gone ? PST_OUTCOME_GONE : PST_OUTCOME_WHOLE;
}
