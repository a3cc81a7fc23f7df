#include "gateway/front/answer.h"

#include "gateway/front/job.h"
#include "gateway/front/trailers.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

/* What the spool holds in memory, and then in its file. */
#define SPOOL_MEMORY 65536
#define SPOOL_FILE   ((uint64_t)1 << 30)

/* What of one that streams may wait in OUT: as much again as its worker may send unasked is held
 * beside it. */
#define STREAM_ENOUGH 32768

/* Bytes in OUT above which the spool is used, and one piece that is moved from there to OUT. */
#define OUT_ENOUGH 65536
#define PIECE      32768

/* Smaller pieces are copied, unless others were lent before them; and what one frame takes of those
 * at most, so that what is left of it is no more than OUT may hold. */
#define LEAST_LENT 8192
#define FRAME      65536

/* A budget of files that bears what workers may send ahead. */
#define ROOMY ((uint64_t)1 << 30)

void
pst_answer_init(struct pst_answer *answer, const struct pst_http_request *request, bool keep_alive,
    struct pst_spool_budget *budget)
{
	answer->budget = budget;
	answer->request = request;
	answer->to_head = request->method.len == 4 && memcmp(request->method.data, "HEAD", 4) == 0;
	answer->wants_trailers = pst_trailers_are_wanted(request);
	pst_answer_files_init(&answer->files);
	pst_http_response_init(&answer->http, request, keep_alive);
}

void
pst_answer_clear(struct pst_answer *answer)
{
	struct pst_cgi_response *kept = answer->kept;

	if (answer->head != NULL) {
		assert(kept == NULL);
		pst_cgi_response_reset(answer->head);
		kept = answer->head;
	}
	pst_spool_free(answer->spool);
	if (pst_answer_files_front(&answer->files) != NULL)
		pst_answer_files_free(&answer->files);
	pst_buf_free(&answer->trailers);
	memset(answer, 0, offsetof(struct pst_answer, lent.pieces));
	answer->kept = kept;
}

void
pst_answer_free(struct pst_answer *answer)
{
	pst_answer_clear(answer);
	pst_cgi_response_free(answer->kept);
	answer->kept = NULL;
}

/* Memory for the head, as it begins to come. */
static struct pst_cgi_response *
new_head(struct pst_answer *answer)
{
	struct pst_cgi_response *head = answer->kept;

	answer->kept = NULL;
	return head != NULL ? head : pst_cgi_response_new(NULL);
}

static int
fail(struct pst_answer *answer, int err, const char *reason)
{
	answer->reason = reason;
	return err;
}

static int
fail_http(struct pst_answer *answer, int err)
{
	const char *reason = answer->http.reason;

	return fail(answer, err,
	    err == PST_ERR_PROTOCOL && reason != NULL ? reason : pst_error_string(err));
}

static bool
spool_is_empty(const struct pst_answer *answer)
{
	return answer->spool == NULL || pst_spool_length(answer->spool) == 0;
}

/* Nothing waits in the spool or in files. */
static bool
is_drained(const struct pst_answer *answer)
{
	return spool_is_empty(answer) && pst_answer_files_front(&answer->files) == NULL;
}

/* Nothing waits to be sent but what is in OUT. */
static bool
is_empty(const struct pst_answer *answer)
{
	return is_drained(answer) && answer->lent.count == 0;
}

static uint64_t
waiting(const struct pst_answer *answer)
{
	uint64_t spooled = answer->spool == NULL ? 0 : pst_spool_length(answer->spool);

	return spooled + answer->files.left + answer->lent.bytes;
}

/* Nothing more of the body is sent. */
static void
drop_body(struct pst_answer *answer)
{
	pst_spool_free(answer->spool);
	answer->spool = NULL;
	pst_answer_files_free(&answer->files);
	pst_answer_drop_lent(answer);
}

static size_t
out_enough(const struct pst_answer *answer)
{
	return answer->streams ? STREAM_ENOUGH : OUT_ENOUGH;
}

/* --- the head --- */

/* What the worker only tells us, and what of a handshake is ours to say. */
static bool
is_ours(const struct pst_answer *answer, struct pst_http_text name)
{
	if (pst_http_text_is(name, "penstock-upgrade"))
		return true;
	return answer->switches == PST_ANSWER_TO_MESSAGES &&
	       (pst_http_text_is(name, "upgrade") ||
		   pst_http_text_is(name, "sec-websocket-accept") ||
		   pst_http_text_is(name, "sec-websocket-extensions"));
}

/* Write the block that was read last, without its end, to OUT. */
static int
put_head(struct pst_answer *answer, struct pst_buf *out)
{
	struct pst_http_response *http = &answer->http;
	size_t count;
	const struct pst_cgi_field *fields = pst_cgi_response_fields(answer->head, &count);
	int err = pst_http_response_start(http, out, pst_cgi_response_status(answer->head),
	    pst_cgi_response_phrase(answer->head));

	for (size_t i = 0; err == 0 && i < count; i++) {
		if (!is_ours(answer, fields[i].name))
			err = pst_http_response_known_field(
			    http, out, fields[i].id, fields[i].name, fields[i].value);
	}
	return err;
}

/* The body has come whole, and nothing else says how long it is. An answer to HEAD and a 304 have
 * no body, but their length would be that of the answer to GET. Trailers need chunks. */
static bool
length_is_known(const struct pst_answer *answer)
{
	return answer->ended && !answer->to_head && pst_buf_length(&answer->trailers) == 0 &&
	       pst_cgi_response_status(answer->head) != 304 &&
	       pst_cgi_response_content_length(answer->head) < 0;
}

/* The final head is sent. If the body has come whole, its length is known. */
static int
send_head(struct pst_answer *answer, struct pst_buf *out, const char *date)
{
	int err = put_head(answer, out);

	if (err == 0 && length_is_known(answer))
		err = pst_http_response_length(&answer->http, out, waiting(answer));
	if (err == 0)
		err = pst_http_response_finish(&answer->http, out, date);
	if (err != 0)
		return fail_http(answer, err);
	answer->state = PST_ANSWER_BODY;
	return 0;
}

static int
send_interim(struct pst_answer *answer, struct pst_buf *out, const char *date)
{
	int err = put_head(answer, out);

	if (err == 0)
		err = pst_http_response_finish(&answer->http, out, date);
	answer->interim = true;
	return err == 0 ? 0 : fail_http(answer, err);
}

/* --- a status of 101 --- */

static int
put_text_field(struct pst_answer *answer, struct pst_buf *out, const char *name, const char *value,
    size_t length)
{
	return pst_http_response_field(&answer->http, out,
	    (struct pst_http_text){name, strlen(name)}, (struct pst_http_text){value, length});
}

/* Who speaks WebSocket by itself has said all of it, but for what a connection keeps to itself. */
static int
put_handshake(struct pst_answer *answer, struct pst_buf *out)
{
	const struct pst_websocket_handshake *handshake = answer->handshake;
	char terms[PST_WEBSOCKET_TERMS_MAX];
	size_t length = pst_websocket_terms_answer(&handshake->terms, terms);
	int err = 0;

	if (answer->switches == PST_ANSWER_TO_MESSAGES ||
	    pst_cgi_response_find(answer->head, "upgrade") == NULL)
		err = put_text_field(answer, out, "Upgrade", "websocket", 9);
	if (answer->switches != PST_ANSWER_TO_MESSAGES)
		return err;
	if (err == 0)
		err = put_text_field(answer, out, "Sec-WebSocket-Accept", handshake->accept,
		    sizeof(handshake->accept));
	if (err == 0 && length > 0)
		err = put_text_field(answer, out, "Sec-WebSocket-Extensions", terms, length);
	return err;
}

/* What is wrong with the worker's acceptance; NULL: nothing. */
static const char *
choose_switch(struct pst_answer *answer)
{
	const struct pst_cgi_field *to = pst_cgi_response_find(answer->head, "penstock-upgrade");
	const struct pst_cgi_field *protocol =
	    pst_cgi_response_find(answer->head, "sec-websocket-protocol");

	if (answer->handshake == NULL)
		return "a status of 101, which nobody asked for";
	if (to != NULL && pst_http_text_is(to->value, "messages"))
		answer->switches = PST_ANSWER_TO_MESSAGES;
	else if (to != NULL && pst_http_text_is(to->value, "stream"))
		answer->switches = PST_ANSWER_TO_STREAM;
	else
		return "a status of 101 that does not say what follows (Penstock-Upgrade)";
	if (protocol != NULL && !pst_websocket_offered(answer->request, protocol->value))
		return "it chose a subprotocol that its client did not offer";
	return NULL;
}

static int
on_switch(struct pst_answer *answer, struct pst_buf *out, const char *date)
{
	const char *fault = choose_switch(answer);
	int err;

	if (fault != NULL)
		return fail(answer, PST_ERR_PROTOCOL, fault);
	err = put_head(answer, out);
	if (err == 0)
		err = put_handshake(answer, out);
	if (err == 0)
		err = pst_http_response_finish(&answer->http, out, date);
	if (err != 0)
		return fail_http(answer, err);
	answer->state = PST_ANSWER_BODY;
	return 0;
}

static int
on_head(struct pst_answer *answer, struct pst_buf *out, const char *date)
{
	if (pst_cgi_response_status(answer->head) == 101)
		return on_switch(answer, out, date);
	answer->state = PST_ANSWER_HELD;
	if (pst_cgi_response_content_length(answer->head) < 0)
		return 0;
	return send_head(answer, out, date);
}

/* *TAKEN of the bytes belong to the head. */
static int
take_head(struct pst_answer *answer, struct pst_buf *out, const void *bytes, size_t n,
    size_t *taken, const char *date)
{
	int event;

	*taken = 0;
	if (answer->head == NULL)
		answer->head = new_head(answer);
	if (answer->head == NULL)
		return fail(answer, PST_ERR_NOMEM, pst_error_string(PST_ERR_NOMEM));
	event = pst_cgi_response_feed(answer->head, bytes, n, taken);
	if (event < 0)
		return fail(answer, event, pst_cgi_response_reason(answer->head));
	if (event == PST_CGI_RESPONSE_INTERIM)
		return send_interim(answer, out, date);
	if (event == PST_CGI_RESPONSE_HEAD)
		return on_head(answer, out, date);
	return 0;
}

/* --- the body --- */

/* More than Content-Length: the rest is not sent, and what was sent is whole. */
static void
cut_off(struct pst_answer *answer)
{
	answer->cut = true;
	answer->http.keep_alive = false;
	drop_body(answer);
}

/* Append to OUT; an error that is left is one of memory. */
static int
put_body(struct pst_answer *answer, struct pst_buf *out, const void *bytes, size_t n)
{
	int err = pst_http_response_body(&answer->http, out, bytes, n);

	if (err == PST_ERR_PROTOCOL) {
		cut_off(answer);
		err = 0;
	}
	return err == 0 ? 0 : fail_http(answer, err);
}

static int
put_aside(struct pst_answer *answer, const void *bytes, size_t n)
{
	int err = PST_SPOOL_ERR_MEMORY;

	if (answer->spool == NULL)
		answer->spool =
		    pst_spool_new(answer->budget, PST_SPOOL_QUEUE, SPOOL_MEMORY, SPOOL_FILE);
	if (answer->spool != NULL)
		err = pst_spool_append(answer->spool, bytes, n);
	return err == 0 ? 0 : fail(answer, err, pst_spool_error_string(err));
}

/* How many of N bytes of body may go to OUT at once. */
static size_t
share_of_out(const struct pst_answer *answer, const struct pst_buf *out, size_t n)
{
	size_t held = pst_buf_length(out), enough = out_enough(answer);

	if (answer->state != PST_ANSWER_BODY || !is_drained(answer) || held >= enough)
		return 0;
	return answer->streams && n > enough - held ? enough - held : n;
}

/* Copy N bytes to OUT, or to the spool. */
static int
copy_body(struct pst_answer *answer, struct pst_buf *out, const void *bytes, size_t n)
{
	size_t share = share_of_out(answer, out, n);
	int err = 0;

	if (share > 0)
		err = put_body(answer, out, bytes, share);
	if (err == 0 && share < n && !answer->cut)
		err = put_aside(answer, (const char *)bytes + share, n - share);
	return err;
}

/* N bytes need not be copied. What does not fit into Content-Length is for those who copy. */
static bool
may_lend(const struct pst_answer *answer, size_t n)
{
	const struct pst_http_response *http = &answer->http;
	bool sent = answer->state == PST_ANSWER_BODY;

	if (!answer->lends || !is_drained(answer) || answer->lent.count == PST_ANSWER_LENT)
		return false;
	if (sent && http->framing == PST_HTTP_FRAMING_LENGTH && answer->lent.bytes + n > http->left)
		return false;
	return n >= LEAST_LENT || answer->lent.count > 0;
}

static int
take_body(struct pst_answer *answer, struct pst_buf *out, const void *bytes, size_t n)
{
	int err = 0;

	if (answer->cut || (answer->state == PST_ANSWER_BODY && !answer->http.content))
		return 0;
	if (may_lend(answer, n)) {
		pst_answer_lent_add(&answer->lent, bytes, n);
		return 0;
	}
	if (answer->lent.count > 0)
		err = pst_answer_keep_lent(answer, out);
	return err == 0 ? copy_body(answer, out, bytes, n) : err;
}

int
pst_answer_take(
    struct pst_answer *answer, struct pst_buf *out, const void *bytes, size_t n, const char *date)
{
	const char *rest = bytes;

	while (n > 0 && answer->state == PST_ANSWER_HEAD) {
		size_t taken;
		int err = take_head(answer, out, rest, n, &taken, date);

		if (err != 0)
			return err;
		rest += taken;
		n -= taken;
	}
	return n > 0 ? take_body(answer, out, rest, n) : 0;
}

int
pst_answer_take_file(struct pst_answer *answer, const struct pst_session_file *file)
{
	uint64_t behind = answer->spool == NULL ? 0 : pst_spool_total(answer->spool);
	const char *reason = "a file before its head";
	int err = PST_ERR_PROTOCOL;

	assert(answer->lent.count == 0);
	if (answer->cut || (answer->state == PST_ANSWER_BODY && !answer->http.content)) {
		pst_answer_files_refuse(&answer->files, file);
		return 0;
	}
	if (answer->state == PST_ANSWER_HEAD)
		pst_answer_files_refuse(&answer->files, file);
	else
		err = pst_answer_files_add(&answer->files, file, behind, &reason);
	return err == 0 ? 0 : fail(answer, err, reason);
}

int
pst_answer_take_trailer(
    struct pst_answer *answer, struct pst_http_text name, struct pst_http_text value)
{
	int err;

	if (!answer->wants_trailers)
		return 0;
	err = pst_trailers_add(&answer->trailers, name, value, &answer->reason);
	return err == PST_ERR_NOMEM ? fail(answer, err, pst_error_string(err)) : err;
}

int
pst_answer_end(struct pst_answer *answer)
{
	if (answer->state != PST_ANSWER_HEAD) {
		answer->ended = true;
		return 0;
	}
	if (answer->head == NULL)
		return fail(answer, PST_ERR_PROTOCOL, "no response at all");
	pst_cgi_response_end(answer->head);
	return fail(answer, PST_ERR_PROTOCOL, pst_cgi_response_reason(answer->head));
}

/* --- to the client --- */

/* How many bytes of the spool come before the first part of a file. */
static uint64_t
before_part(const struct pst_answer *answer)
{
	const struct pst_answer_part *part = pst_answer_files_front(&answer->files);
	uint64_t consumed;

	if (part == NULL)
		return UINT64_MAX;
	if (answer->spool == NULL)
		return 0;
	consumed = pst_spool_total(answer->spool) - pst_spool_length(answer->spool);
	return part->behind - consumed;
}

/* Move a piece of memory from the spool to OUT. */
static int
move_piece(struct pst_answer *answer, struct pst_buf *out, const struct pst_spool_piece *piece)
{
	size_t n = piece->length < PIECE ? (size_t)piece->length : PIECE;
	uint64_t before = before_part(answer);
	int err;

	if (n > before)
		n = (size_t)before;
	err = put_body(answer, out, piece->bytes, n);
	if (err == 0 && answer->spool != NULL)
		pst_spool_consume(answer->spool, n);
	return err;
}

/* Move a piece of the file to OUT: what does not fit into Content-Length is cut off. */
static int
move_file_piece(struct pst_answer *answer, struct pst_buf *out)
{
	char bytes[4096];
	ssize_t n = pst_spool_read(answer->spool, bytes, sizeof(bytes));
	int err;

	if (n < 0)
		return fail(answer, (int)n, pst_spool_error_string((int)n));
	err = put_body(answer, out, bytes, (size_t)n);
	if (err == 0 && answer->spool != NULL)
		pst_spool_consume(answer->spool, (uint64_t)n);
	return err;
}

/* Open the frame of what lies in the file; the bytes go from there to the socket. */
static int
open_file(struct pst_answer *answer, struct pst_buf *out, const struct pst_spool_piece *piece)
{
	uint64_t before = before_part(answer);
	uint64_t n = piece->length < before ? piece->length : before;
	int err = pst_http_response_chunk_open(&answer->http, out, n);

	if (err == PST_ERR_PROTOCOL)
		return move_file_piece(answer, out);
	if (err != 0)
		return fail_http(answer, err);
	answer->in_file = n;
	return 0;
}

/* Open the frame of a file of the worker's. What does not fit into Content-Length is cut off. */
static int
open_part(struct pst_answer *answer, struct pst_buf *out)
{
	struct pst_http_response *http = &answer->http;
	uint64_t n = pst_answer_files_front(&answer->files)->left;
	int err;

	if (http->framing == PST_HTTP_FRAMING_LENGTH && n > http->left) {
		if (http->left == 0) {
			cut_off(answer);
			return 0;
		}
		n = http->left;
		pst_answer_files_shorten(&answer->files, n);
		answer->is_short = true;
	}
	err = pst_http_response_chunk_open(http, out, n);
	if (err != 0)
		return fail_http(answer, err);
	answer->in_part = true;
	return 0;
}

static int
drain_step(struct pst_answer *answer, struct pst_buf *out)
{
	struct pst_spool_piece piece;

	if (before_part(answer) == 0)
		return open_part(answer, out);
	pst_spool_front(answer->spool, &piece);
	return piece.bytes != NULL ? move_piece(answer, out, &piece)
				   : open_file(answer, out, &piece);
}

static int
drain(struct pst_answer *answer, struct pst_buf *out)
{
	int err = 0;

	while (err == 0 && answer->in_file == 0 && !answer->in_part && !is_drained(answer) &&
	       pst_buf_length(out) < out_enough(answer))
		err = drain_step(answer, out);
	return err;
}

int
pst_answer_refill(struct pst_answer *answer, struct pst_buf *out, const char *date)
{
	int err = 0;

	if (answer->state == PST_ANSWER_HELD)
		err = send_head(answer, out, date);
	if (err != 0 || answer->state != PST_ANSWER_BODY)
		return err;
	if (!answer->http.content)
		drop_body(answer);
	err = drain(answer, out);
	if (err != 0 || !answer->ended || answer->in_file > 0 || !is_empty(answer))
		return err;
	err = pst_http_response_end_with(&answer->http, out, pst_buf_bytes(&answer->trailers),
	    pst_buf_length(&answer->trailers));
	if (err != 0)
		return fail_http(answer, err);
	answer->state = PST_ANSWER_WHOLE;
	return 0;
}

bool
pst_answer_file(const struct pst_answer *answer, struct pst_spool_piece *piece)
{
	const struct pst_answer_part *part = pst_answer_files_front(&answer->files);

	if (answer->in_part) {
		*piece = (struct pst_spool_piece){
		    .fd = part->fd, .offset = part->offset, .length = part->left};
		return true;
	}
	if (answer->in_file == 0)
		return false;
	pst_spool_front(answer->spool, piece);
	if (piece->length > answer->in_file)
		piece->length = answer->in_file;
	return true;
}

/* Of the first file of the worker's. */
static int
part_sent(struct pst_answer *answer, struct pst_buf *out, uint64_t n)
{
	int err;

	if (!pst_answer_files_sent(&answer->files, n))
		return 0;
	answer->in_part = false;
	err = pst_http_response_chunk_close(&answer->http, out);
	if (err != 0)
		return fail_http(answer, err);
	if (answer->is_short)
		cut_off(answer);
	return 0;
}

int
pst_answer_file_sent(struct pst_answer *answer, struct pst_buf *out, uint64_t n)
{
	int err = 0;

	if (answer->in_part)
		return part_sent(answer, out, n);
	pst_spool_consume(answer->spool, n);
	answer->in_file -= n;
	if (answer->in_file == 0)
		err = pst_http_response_chunk_close(&answer->http, out);
	return err == 0 ? 0 : fail_http(answer, err);
}

/* --- what was lent --- */

bool
pst_answer_is_lent(const struct pst_answer *answer)
{
	return answer->lent.count > 0 && answer->state == PST_ANSWER_BODY && is_drained(answer) &&
	       answer->in_file == 0;
}

int
pst_answer_frame(struct pst_answer *answer, struct pst_buf *out, struct iovec *pieces)
{
	size_t n = answer->lent.bytes < FRAME ? answer->lent.bytes : FRAME;
	int err = pst_http_response_chunk_open(&answer->http, out, n);
	const char *end;
	unsigned count;

	if (err != 0)
		return fail_http(answer, err);
	answer->framed = n;
	count = pst_answer_lent_show(&answer->lent, n, pieces);
	n = pst_http_response_chunk_end(&answer->http, &end);
	if (n > 0)
		pieces[count++] = (struct iovec){(void *)end, n};
	return (int)count;
}

int
pst_answer_frame_sent(struct pst_answer *answer, struct pst_buf *out, size_t n)
{
	struct iovec pieces[PST_ANSWER_LENT];
	const char *end;
	size_t end_length = pst_http_response_chunk_end(&answer->http, &end);
	size_t sent = n < answer->framed ? n : answer->framed;
	size_t left = answer->framed - sent;
	unsigned count;

	if (left + end_length > 0 && pst_buf_reserve(out, left + end_length) == NULL)
		return fail(answer, PST_ERR_NOMEM, pst_error_string(PST_ERR_NOMEM));
	pst_answer_lent_consume(&answer->lent, sent);
	count = pst_answer_lent_show(&answer->lent, left, pieces);
	for (unsigned i = 0; i < count; i++)
		(void)pst_buf_append(out, pieces[i].iov_base, pieces[i].iov_len);
	pst_answer_lent_consume(&answer->lent, left);
	n -= sent;
	(void)pst_buf_append(out, end + n, end_length - n);
	answer->framed = 0;
	pst_http_response_chunk_closed(&answer->http);
	return 0;
}

int
pst_answer_keep_lent(struct pst_answer *answer, struct pst_buf *out)
{
	struct pst_answer_lent lent = answer->lent;
	int err = 0;

	pst_answer_drop_lent(answer);
	for (unsigned i = 0; err == 0 && !answer->cut && i < lent.count; i++)
		err = copy_body(answer, out, lent.pieces[i].iov_base, lent.pieces[i].iov_len);
	return err;
}

void
pst_answer_drop_lent(struct pst_answer *answer)
{
	answer->lent.count = 0;
	answer->lent.bytes = 0;
}

void
pst_answer_close(struct pst_answer *answer)
{
	if (!pst_answer_begun(answer))
		answer->http.keep_alive = false;
}

bool
pst_answer_full(const struct pst_answer *answer)
{
	/* Files are as many as the worker may still send. */
	if (pst_answer_files_front(&answer->files) != NULL)
		return true;
	/* Until its head was sent nobody knows whether the client takes it. */
	if (answer->streams)
		return answer->state == PST_ANSWER_BODY && !spool_is_empty(answer);
	/* An empty one takes a credit in memory, and nothing would be sent that makes room. */
	return !spool_is_empty(answer) && pst_spool_room(answer->spool) < PST_JOB_WINDOW;
}

/* Beyond the room that is shown there is an eighth of the budget: of a large one it is enough for
 * the windows of all workers. */
bool
pst_answer_roomy(const struct pst_answer *answer)
{
	const struct pst_spool_budget *budget = answer->budget;

	return budget->file_limit >= ROOMY && budget->file < budget->file_limit / 2;
}

bool
pst_answer_probe(struct pst_answer *answer, struct pst_buf *out)
{
	return answer->state == PST_ANSWER_BODY && answer->http.content &&
	       answer->http.framing == PST_HTTP_FRAMING_CHUNKED && answer->in_file == 0 &&
	       !answer->in_part && is_empty(answer) && pst_buf_length(out) == 0 &&
	       pst_buf_append(out, "0", 1) == 0;
}

bool
pst_answer_is_events(const struct pst_answer *answer)
{
	static const char events[] = "text/event-stream";
	const struct pst_cgi_field *type;
	struct pst_http_text media;
	size_t n = 0;

	if (answer->state == PST_ANSWER_HEAD || pst_cgi_response_content_length(answer->head) >= 0)
		return false;
	type = pst_cgi_response_find(answer->head, "content-type");
	if (type == NULL)
		return false;
	media = type->value;
	while (
	    n < media.len && media.data[n] != ';' && media.data[n] != ' ' && media.data[n] != '\t')
		n++;
	media.len = n;
	return pst_http_text_is(media, events);
}

bool
pst_answer_is_complete(const struct pst_answer *answer)
{
	const struct pst_answer_part *part = pst_answer_files_front(&answer->files);
	uint64_t framed = answer->in_part ? part->left : answer->in_file;

	return answer->state >= PST_ANSWER_BODY &&
	       pst_http_response_ends_after(&answer->http, waiting(answer) - framed);
}
