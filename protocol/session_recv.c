#include "protocol/session_internal.h"

#include <assert.h>
#include <fastcgi.h>
#include <stdio.h>
#include <string.h>

/* What is done with a record of one type: nothing else in this file knows a type. */
struct pst_record_handler {
	bool by_client; /* who may receive it */
	bool by_server;
	bool management; /* its request id is 0 */
	bool extension; /* only for an extended request */
	bool whole; /* the content is gathered, and has one of these lengths: */
	unsigned char least;
	unsigned char most;
	int (*start)(struct pst_session *session); /* the header is there */
	int (*content)(struct pst_session *session, const unsigned char *bytes, size_t n);
	int (*done)(struct pst_session *session); /* all content is there */
};

#define WHOLE(n, m) .whole = true, .least = (n), .most = (m)
#define EIGHT       WHOLE(8, 8)

static const struct pst_record_handler handlers[FCGI_MAXTYPE + 1] = {
    [FCGI_BEGIN_REQUEST] = {.by_server = true, EIGHT, .done = pst_recv_begin},
    [FCGI_ABORT_REQUEST] = {.by_server = true,
	.start = pst_recv_abort_start,
	.content = pst_recv_abort_why,
	.done = pst_recv_abort},
    [FCGI_END_REQUEST] = {.by_client = true, EIGHT, .done = pst_recv_end},
    [FCGI_PARAMS] = {.by_server = true, .content = pst_recv_params, .done = pst_recv_params_done},
    [FCGI_STDIN] = {.by_server = true,
	.start = pst_recv_stream_start,
	.content = pst_recv_stream,
	.done = pst_recv_stream_done},
    [FCGI_STDOUT] = {.by_client = true,
	.start = pst_recv_stream_start,
	.content = pst_recv_stream,
	.done = pst_recv_stream_done},
    [FCGI_STDERR] = {.by_client = true,
	.start = pst_recv_stream_start,
	.content = pst_recv_stream,
	.done = pst_recv_stream_done},
    [FCGI_DATA] = {.by_server = true,
	.start = pst_recv_stream_start,
	.content = pst_recv_stream,
	.done = pst_recv_stream_done},
    [FCGI_GET_VALUES] = {.by_server = true,
	.management = true,
	.start = pst_recv_get_values_start,
	.content = pst_recv_values,
	.done = pst_recv_get_values_done},
    [FCGI_GET_VALUES_RESULT] = {.by_client = true,
	.management = true,
	.start = pst_recv_result_start,
	.content = pst_recv_values,
	.done = pst_recv_result_done},
    [FCGI_UNKNOWN_TYPE] = {.by_client = true,
	.management = true,
	EIGHT,
	.done = pst_recv_unknown_type},
};

/* Known only where both ends have agreed on them. */
#define EXTENSION_FIRST PST_RECORD_CREDIT
#define EXTENSION_LAST  PST_RECORD_SHARED

static const struct pst_record_handler extensions[EXTENSION_LAST - EXTENSION_FIRST + 1] = {
    [0] = /* EXTENSION_FIRST: CREDIT */
    {.by_client = true, .by_server = true, .extension = true, EIGHT, .done = pst_recv_credit},
    [PST_RECORD_MESSAGE - EXTENSION_FIRST] = {.by_client = true,
	.by_server = true,
	.extension = true,
	.start = pst_recv_message_start,
	.content = pst_recv_message,
	.done = pst_recv_message_done},
    [PST_RECORD_CLOSE - EXTENSION_FIRST] = {.by_client = true,
	.by_server = true,
	.extension = true,
	WHOLE(PST_RECORD_CLOSE_HEAD, PST_RECORD_CLOSE_HEAD + PST_RECORD_CLOSE_REASON),
	.done = pst_recv_close},
    [PST_RECORD_TRAILERS - EXTENSION_FIRST] = {.by_client = true,
	.extension = true,
	.start = pst_recv_trailers_start,
	.content = pst_recv_trailers,
	.done = pst_recv_trailers_done},
    [PST_RECORD_FILE - EXTENSION_FIRST] = {.by_client = true,
	.by_server = true,
	.extension = true,
	WHOLE(PST_RECORD_FILE_LEN, PST_RECORD_FILE_LEN),
	.done = pst_recv_file},
    [PST_RECORD_USAGE - EXTENSION_FIRST] = {.by_client = true,
	.extension = true,
	WHOLE(PST_RECORD_USAGE_LEN, PST_RECORD_USAGE_LEN),
	.done = pst_recv_usage},
    [PST_RECORD_DRAIN -
	EXTENSION_FIRST] = {.by_client = true, .management = true, .done = pst_recv_drain},
    [PST_RECORD_MEMORY - EXTENSION_FIRST] =
	{.by_client = true, .by_server = true, .management = true, EIGHT, .done = pst_recv_memory},
    [PST_RECORD_SHARED - EXTENSION_FIRST] = {.by_client = true,
	.extension = true,
	WHOLE(PST_RECORD_SHARED_LEN, PST_RECORD_SHARED_LEN),
	.done = pst_recv_shared},
};

static const struct pst_record_handler discarded = {.by_client = true};
static const struct pst_record_handler unknown_management = {.done = pst_recv_unknown_management};

/*
 * Records for ids that are not open: the application ignores them (section 3.3), we as a client
 * do not, because they would belong to whoever gets that id next. A FILE is not ignored, since its
 * descriptor is to be closed.
 */
static int
choose_open(struct pst_session *session, const struct pst_record_handler *known)
{
	const struct pst_record *record = &session->input.record;
	const struct pst_session_request *request =
	    pst_session_table_find(&session->table, record->id);

	session->input.handler = known;
	if (request != NULL && known->extension && !request->extended)
		return pst_session_fail(session, PST_ERR_PROTOCOL,
		    "%s record for request %u, which has no extensions",
		    pst_record_type_name(record->type), record->id);
	if (request != NULL || record->type == FCGI_BEGIN_REQUEST)
		return 0;
	if (session->side == PST_SESSION_CLIENT)
		return pst_session_fail(session, PST_ERR_PROTOCOL,
		    "%s record for request %u, which is not open",
		    pst_record_type_name(record->type), record->id);
	if (record->type != PST_RECORD_FILE)
		session->input.handler = &discarded;
	return 0;
}

static int
wrong_length(struct pst_session *session, const struct pst_record_handler *known)
{
	const struct pst_record *record = &session->input.record;
	char most[8] = "";

	if (known->most > known->least)
		snprintf(most, sizeof most, " to %u", known->most);
	return pst_session_fail(session, PST_ERR_PROTOCOL,
	    "%s record for request %u has %u bytes, not %u%s", pst_record_type_name(record->type),
	    record->id, record->content, known->least, most);
}

static int
choose_known(struct pst_session *session, const struct pst_record_handler *known)
{
	const struct pst_record *record = &session->input.record;

	if (session->side == PST_SESSION_CLIENT ? !known->by_client : !known->by_server)
		return pst_session_fail(session, PST_ERR_PROTOCOL, "%s record from a %s",
		    pst_record_type_name(record->type),
		    session->side == PST_SESSION_CLIENT ? "server" : "client");
	if (known->management != (record->id == FCGI_NULL_REQUEST_ID))
		return pst_session_fail(session, PST_ERR_PROTOCOL, "%s record with request id %u",
		    pst_record_type_name(record->type), record->id);
	if (known->whole && (record->content < known->least || record->content > known->most))
		return wrong_length(session, known);
	if (!known->management)
		return choose_open(session, known);
	session->input.handler = known;
	return 0;
}

static int
choose_unknown(struct pst_session *session)
{
	bool answered =
	    session->side == PST_SESSION_SERVER && session->input.record.id == FCGI_NULL_REQUEST_ID;

	session->input.handler = answered ? &unknown_management : &discarded;
	return 0;
}

/* What is done with records of TYPE; NULL: it is not known. */
static const struct pst_record_handler *
handler_of(const struct pst_session *session, uint8_t type)
{
	if (session->extends && type >= EXTENSION_FIRST && type <= EXTENSION_LAST)
		return &extensions[type - EXTENSION_FIRST];
	return type == 0 || type > FCGI_MAXTYPE ? NULL : &handlers[type];
}

static int
choose_handler(struct pst_session *session)
{
	const struct pst_record *record = &session->input.record;
	const struct pst_record_handler *known = handler_of(session, record->type);

	if (record->version != FCGI_VERSION_1)
		return pst_session_fail(session, PST_ERR_PROTOCOL,
		    "record of FastCGI version %u, not 1", record->version);
	return known != NULL ? choose_known(session, known) : choose_unknown(session);
}

static int
record_done(struct pst_session *session)
{
	const struct pst_record_handler *handler = session->input.handler;

	return handler->done != NULL ? handler->done(session) : 0;
}

/* The header is there. */
static int
record_start(struct pst_session *session, const unsigned char header[PST_RECORD_HEADER_LEN])
{
	struct pst_session_input *input = &session->input;
	int err;

	pst_record_decode(header, &input->record);
	input->left = input->record.content;
	input->padding = input->record.padding;
	err = choose_handler(session);
	if (err == 0 && input->handler->start != NULL)
		err = input->handler->start(session);
	if (err == 0 && input->left == 0)
		err = record_done(session);
	return err;
}

/* How many of N bytes belonged to the header. */
static size_t
take_header(struct pst_session *session, const unsigned char *bytes, size_t n, int *err)
{
	struct pst_session_input *input = &session->input;
	size_t used = PST_RECORD_HEADER_LEN - input->header_got;

	if (input->header_got == 0 && n >= PST_RECORD_HEADER_LEN) { /* nearly always */
		input->header_got = PST_RECORD_HEADER_LEN;
		*err = record_start(session, bytes);
		return PST_RECORD_HEADER_LEN;
	}
	if (used > n)
		used = n;
	memcpy(input->header + input->header_got, bytes, used);
	input->header_got += used;
	if (input->header_got == PST_RECORD_HEADER_LEN)
		*err = record_start(session, input->header);
	return used;
}

/* ... to the content. */
static size_t
take_content(struct pst_session *session, const unsigned char *bytes, size_t n, int *err)
{
	struct pst_session_input *input = &session->input;
	size_t used = n < input->left ? n : input->left;

	if (input->handler->whole)
		memcpy(input->body + (input->record.content - input->left), bytes, used);
	else if (input->handler->content != NULL)
		*err = input->handler->content(session, bytes, used);
	input->left -= used;
	if (*err == 0 && input->left == 0 && !pst_session_is_over(session))
		*err = record_done(session);
	return used;
}

/* ... to the padding. */
static size_t
take_padding(struct pst_session *session, size_t n)
{
	size_t used = n < session->input.padding ? n : session->input.padding;

	session->input.padding -= used;
	return used;
}

/* Take what belongs to one record: how many of N bytes that were. */
static size_t
take(struct pst_session *session, const unsigned char *bytes, size_t n, int *err)
{
	struct pst_session_input *input = &session->input;
	size_t used = 0;

	if (input->header_got < PST_RECORD_HEADER_LEN)
		used = take_header(session, bytes, n, err);
	if (used < n && *err == 0 && input->left > 0)
		used += take_content(session, bytes + used, n - used, err);
	if (input->header_got < PST_RECORD_HEADER_LEN || input->left > 0)
		return used;
	used += take_padding(session, n - used);
	if (input->padding == 0)
		input->header_got = 0;
	return used;
}

int
pst_session_recv(struct pst_session *session, const void *bytes, size_t n)
{
	const unsigned char *p = bytes, *end = p + n;
	int err = 0;

	assert(session->depth == 0);
	if (pst_session_is_over(session))
		return PST_ERR_CLOSED;
	pst_session_enter(session);
	while (err == 0 && p < end && pst_session_want_read(session))
		p += take(session, p, (size_t)(end - p), &err);
	if (err == 0 && pst_session_is_over(session))
		err = PST_ERR_CLOSED;
	pst_session_leave(session);
	return err;
}
