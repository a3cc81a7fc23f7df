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

void
pst_serve_explain(const struct pst_request *request, int result)
{
	enum pst_response_state state = request->state;

	if (request->gone)
		return;
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

void
pst_serve_refuse(struct pst_request *request)
{
	log_request(request, "a parameter holds a NUL byte: answered 400");
	pst_request_answer(request, 400);
}

enum pst_outcome
pst_serve(struct pst_app *app, struct pst_request *request)
{
	int result;

	if (request->invalid) {
		pst_serve_refuse(request);
		return pst_request_finish(request, 0);
	}
	pst_crash_request(request);
	result = app->loaded.blocking.handle(app->app, request);
	pst_crash_request(NULL);
	pst_serve_explain(request, result);
	return pst_request_finish(request, result);
}
