#include "gateway/front/worker_lines.h"

#include "gateway/log.h"

#include <inttypes.h>
#include <string.h>

static void
put(struct pst_worker_lines *lines, const char *worker, const char *request, const char *line,
    size_t n)
{
	if (lines->logged == PST_WORKER_LINES) {
		lines->dropped += n;
		return;
	}
	lines->logged++;
	pst_log_quote(PST_LOG_ERROR, line, n, "worker %s: stderr: %s: ", worker, request);
}

static void
put_partial(struct pst_worker_lines *lines, const char *worker, const char *request)
{
	size_t n = pst_buf_length(&lines->partial);

	if (n > 0)
		put(lines, worker, request, (const char *)pst_buf_bytes(&lines->partial), n);
	pst_buf_consume(&lines->partial, n);
}

void
pst_worker_lines_take(struct pst_worker_lines *lines, const char *worker, const char *request,
    const void *bytes, size_t n)
{
	const char *at = bytes;

	while (n > 0) {
		size_t room = PST_WORKER_LINE - pst_buf_length(&lines->partial);
		const char *end = memchr(at, '\n', n);
		size_t length = end != NULL ? (size_t)(end - at) : n;
		size_t piece = length < room ? length : room;

		if (pst_buf_append(&lines->partial, at, piece) != 0)
			lines->dropped += piece;
		at += piece;
		n -= piece;
		if (end != NULL && at == end) {
			at++;
			n--;
		} else if (piece < room) {
			return;
		}
		put_partial(lines, worker, request);
	}
}

void
pst_worker_lines_end(struct pst_worker_lines *lines, const char *worker, const char *request)
{
	put_partial(lines, worker, request);
	if (lines->dropped > 0)
		pst_log_error("worker %s: %s: %" PRIu64 " bytes more of its STDERR were dropped",
		    worker, request, lines->dropped);
	pst_buf_free(&lines->partial);
	lines->logged = 0;
	lines->dropped = 0;
}
