#include "adapters/link_internal.h"
#include "adapters/link_values.h"
#include "adapters/log.h"

#include <stdlib.h>
#include <unistd.h>

/* --- the line --- */

static void
free_turn(struct pst_link_turn *turn)
{
	pst_request_free(turn->request);
	free(turn);
}

/* One that waits for its request, with a request of no memory or that of an earlier one. */
static struct pst_link_turn *
new_turn(struct pst_link_common *common)
{
	struct pst_link_turn *turn = common->spare;

	if (turn) {
		common->spare = turn->spare;
		common->spares--;
		turn->spare = NULL;
		return turn;
	}
	turn = calloc(1, sizeof(*turn));
	if (turn)
		turn->request = pst_request_new();
	if (turn && !turn->request) {
		free(turn);
		return NULL;
	}
	return turn;
}

static void
give_back(struct pst_buf *buf)
{
	if (buf->size > PST_LINK_KEEP)
		pst_buf_free(buf);
}

/* Keep it for a request to come, with its memory. */
static void
spare_turn(struct pst_link_common *common, struct pst_link_turn *turn)
{
	struct pst_request *request = turn->request;

	if (common->spares > PST_LINK_AHEAD) {
		free_turn(turn);
		return;
	}
	pst_request_reset(request);
	if (common->spares > 0) {
		pst_body_clear(&request->body, PST_LINK_KEEP);
		give_back(&request->gather);
	}
	*turn = (struct pst_link_turn){.request = request, .spare = common->spare};
	common->spare = turn;
	common->spares++;
}

void
pst_link_release_turn(struct pst_link *link, struct pst_link_turn *turn)
{
	TAILQ_REMOVE(&link->turns, turn, next);
	spare_turn(link->common, turn);
}

/* A place at the end of the line; NULL when memory is short. */
static struct pst_link_turn *
take_turn(struct pst_link *link)
{
	struct pst_link_turn *turn = new_turn(link->common);

	if (turn)
		TAILQ_INSERT_TAIL(&link->turns, turn, next);
	return turn;
}

void
pst_link_common_clear(struct pst_link_common *common)
{
	struct pst_link_turn *turn;

	while ((turn = common->spare) != NULL) {
		common->spare = turn->spare;
		free_turn(turn);
	}
	common->spares = 0;
}

struct pst_link_turn *
pst_link_next_turn(const struct pst_link *link)
{
	struct pst_link_turn *turn;

	TAILQ_FOREACH (turn, &link->turns, next)
		if (turn->ready)
			break;
	return turn;
}

/* --- what the session tells --- */

void
pst_link_refuse(struct pst_link *link, uint16_t id, enum pst_end end)
{
	if (pst_session_submit_end(link->session, id, end, 0) < 0)
		link->failed = true;
}

static void
on_begin(void *arg, uint16_t id, enum pst_role role, bool keep)
{
	struct pst_link *link = arg;
	struct pst_link_turn *turn;

	(void)keep;
	if (role != PST_ROLE_RESPONDER) {
		pst_link_refuse(link, id, PST_END_UNKNOWN_ROLE);
		return;
	}
	if (!link->penstock && !TAILQ_EMPTY(&link->turns)) {
		pst_link_refuse(link, id, PST_END_CANT_MPX);
		return;
	}
	turn = take_turn(link);
	if (!turn) {
		pst_link_refuse(link, id, PST_END_OVERLOADED);
		return;
	}
	turn->request->carrier = &pst_link_carrier;
	turn->request->link = link;
	turn->request->id = id;
	turn->request->penstock = link->penstock;
	turn->request->files =
	    pst_session_files(link->session) && pst_session_credit(link->session, id) != SIZE_MAX;
	pst_session_set_user(link->session, id, turn);
}

static int
on_params(void *arg, uint16_t id, const struct pst_pair *pairs, size_t count)
{
	struct pst_link *link = arg;
	struct pst_link_turn *turn = pst_session_user(link->session, id);

	if (!turn)
		return PST_ERR_STATE;
	if (!link->penstock)
		return pst_request_on_params(turn->request, pairs, count);
	return pst_offer_params(&turn->offer, turn->request, pairs, count);
}

static void
on_ready(void *arg, uint16_t id)
{
	struct pst_link *link = arg;
	struct pst_link_turn *turn = pst_session_user(link->session, id);

	if (!turn)
		return;
	pst_request_on_ready(turn->request);
	turn->ready = true;
}

static void
on_data(void *arg, uint16_t id, enum pst_stream stream, const void *bytes, size_t n)
{
	struct pst_link *link = arg;
	struct pst_link_turn *turn = pst_session_user(link->session, id);

	if (!turn || stream != PST_STREAM_STDIN)
		return;
	if (pst_request_on_body(turn->request, bytes, n) < 0)
		pst_log(PST_LOG_ERROR, "memory is short for a request's body: it is answered "
				       "as if the client had aborted it");
}

static void
on_file(void *arg, uint16_t id, enum pst_stream stream, const struct pst_session_file *file)
{
	struct pst_link *link = arg;
	struct pst_link_turn *turn = pst_session_user(link->session, id);

	(void)stream; /* STDIN: there is no other */
	if (turn)
		pst_request_on_file(turn->request, file);
	else
		close(file->fd);
}

static void
on_abort(void *arg, uint16_t id, enum pst_session_abort why)
{
	struct pst_link *link = arg;
	struct pst_link_turn *turn = pst_session_user(link->session, id);

	(void)why; /* sync: the application cannot be told */
	if (!turn)
		return;
	pst_request_on_abort(turn->request);
	if (turn != link->running &&
	    pst_session_submit_end(link->session, id, PST_END_COMPLETE, 1) < 0)
		link->failed = true;
}

static void
on_end(void *arg, uint16_t id, enum pst_end end, uint32_t app_status)
{
	struct pst_link *link = arg;
	struct pst_link_turn *turn = pst_session_user(link->session, id);

	(void)end;
	(void)app_status;
	if (!turn)
		return;
	pst_request_on_abort(turn->request); /* nothing can be sent for it any more */
	if (turn != link->running)
		pst_link_release_turn(link, turn);
}

static void
on_get_value(void *arg, const char *name, size_t name_len)
{
	struct pst_link *link = arg;
	const struct pst_link_values values = {
	    .connections = link->common->connections,
	    .requests = 1,
	    .ahead = PST_LINK_AHEAD,
	    .files = link->is_unix,
	};

	if (pst_link_answer(link->session, &values, name, name_len))
		link->penstock = true;
}

const struct pst_session_callbacks pst_link_callbacks = {
    .begin = on_begin,
    .params = on_params,
    .ready = on_ready,
    .data = on_data,
    .file = on_file,
    .abort = on_abort,
    .end = on_end,
    .get_value = on_get_value,
};
