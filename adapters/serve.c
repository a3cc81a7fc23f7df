#include "adapters/serve.h"

#include "adapters/crash.h"
#include "adapters/log.h"

#include <string.h>

/* Say WHAT happened to REQUEST. The query is left out: it may hold secrets. */
static void
log_request(const struct pst_request *request, const char *what)
{
	struct pst_request_line line;

	pst_request_line(request, &line);
	pst_log(PST_LOG_ERROR, "%.40s %.*s%.*s: %s", line.method,
	    (int)strcspn(line.path[0], "?"), line.path[0], (int)strcspn(line.path[1], "?"),
	    line.path[1], what);
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
	if (!request->gone) {
		if (state == PST_RESPONSE_SENT && result != 0)
			log_request(request, "the application failed after the head of its response "
					     "was sent: the client sees it cut off");
		else if (state == PST_RESPONSE_NONE && result == 0)
			log_request(request, "the application ended without a response: answered 500");
		else if (result != 0)
			log_request(request, "the application failed: answered 500");
	}
	return pst_request_finish(request, result);
}
