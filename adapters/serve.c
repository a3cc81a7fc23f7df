#include "adapters/serve.h"

#include "adapters/crash.h"
#include "adapters/log.h"

#include <string.h>

/* Say WHAT happened to REQUEST. */
static void
log_request(const struct pst_request *request, const char *what)
{
	char title[256];

	pst_log_titled(
	    PST_LOG_ERROR, pst_request_title(request, title, sizeof(title)), what, strlen(what));
}

/* Say what the plugin did not: that its RESULT and the response's STATE are not well. */
static void
explain(const struct pst_request *request, enum pst_response_state state, int result)
{
	if (state == PST_RESPONSE_NONE && result == 0)
		log_request(request, "the application ended without a response: answered 500");
	else if ((result == 0 && !request->spoilt) || request->explained)
		return;
	else if (state == PST_RESPONSE_SENT)
		log_request(request, "the application failed after the head of its response "
				     "was sent: the client sees it cut off");
	else
		log_request(request, "the application failed: answered 500");
}

static enum pst_outcome
refuse(struct pst_request *request)
{
	log_request(request, "a parameter holds a NUL byte: answered 400");
	pst_request_answer(request, 400);
	return pst_request_finish(request, 0);
}

enum pst_outcome
pst_serve(struct pst_app *app, struct pst_request *request)
{
	enum pst_response_state state;
	int result;

	if (request->invalid)
		return refuse(request);
	pst_crash_request(request);
	result = app->loaded.blocking.handle(app->app, request);
	pst_crash_request(NULL);
	state = request->state;
	if (!request->gone)
		explain(request, state, result);
	return pst_request_finish(request, result);
}
