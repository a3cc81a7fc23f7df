/*
 * The access log's lines: a format in gunicorn's notation, compiled once, and the values of one
 * exchange in, one line of bytes out. Sans I/O.
 *
 * A format is text with %(ATOM)s; %% is a percent sign. Between ) and the s may stand -, a width
 * and .precision, as in printf; d is taken for s. gunicorn's atoms:
 *
 *	h  client's address            m  method                s  status
 *	l  "-"                         U  path without query    B  body bytes sent
 *	u  user of Basic authorization q  query string          b  the same, "-" if not known
 *	t  [22/Nov/2026:20:31:22 +0000]H  protocol              f  Referer
 *	r  request line                p  <PID>                 a  User-Agent
 *	T  seconds taken (whole)   M  milliseconds   D  microseconds   L  seconds, 6 decimals
 *	{NAME}i  request field     {NAME}o  response field     {NAME}e  CGI parameter; any case
 *
 * and ours, in Apache's place for extensions:
 *
 *	{worker}x  id of the worker that answered (3.17)
 *	{pool}x    name of the pool that the request's route leads to
 *	{queue}x   seconds waited in the queue, 6 decimals
 *	{cpu}x     seconds of CPU that it took the worker, 6 decimals, as in the next two
 *	{waited}x  the rest of the time for which the application had it
 *	{lag}x     by how much the worker's event loop was late meanwhile, at most
 *
 * A value that is absent or empty is "-" (q and U: empty). In every value " and \ are written
 * \" and \\, control characters and bytes above 0x7e \xHH: no line can be forged.
 */
#ifndef PST_GATEWAY_FRONT_ACCESS_LOG_H
#define PST_GATEWAY_FRONT_ACCESS_LOG_H

#include "gateway/front/http.h"
#include "protocol/buf.h"

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#define PST_ACCESS_LOG_DEFAULT "%(h)s %(l)s %(u)s %(t)s \"%(r)s\" %(s)s %(b)s \"%(f)s\" \"%(a)s\""

enum pst_access_lookup {
	PST_ACCESS_REQUEST_FIELD, /* {NAME}i, and f, a, u */
	PST_ACCESS_RESPONSE_FIELD, /* {NAME}o */
	PST_ACCESS_VARIABLE, /* {NAME}e */
};

/* What one exchange was. All texts need only live during pst_access_log_format(). */
struct pst_access_entry {
	struct pst_http_text client; /* address; empty for unix peers */
	struct pst_http_text request_line; /* as received; empty when none arrived whole */
	struct pst_http_text method;
	struct pst_http_text path;
	struct pst_http_text query; /* without the ? */
	struct pst_http_text protocol; /* "HTTP/1.1" */
	struct pst_http_text worker; /* "3.17"; empty when none was asked */
	struct pst_http_text pool; /* empty when no route was found */
	unsigned status; /* 0: nothing was answered, "-" */
	int64_t sent; /* body bytes, without framing; -1: not known */
	struct timespec time; /* CLOCK_REALTIME, when the request's first byte came */
	uint64_t duration_us; /* from then to the last byte */
	int64_t queue_us; /* -1: never queued */
	int64_t cpu_us; /* what the worker told, as the next two; -1: it did not */
	int64_t waited_us;
	int64_t lag_us;
	/*
	 * The value of a field or parameter, into *VALUE; false when there is none. NAME is in the
	 * format's spelling; compare without case. Of several fields of a name the first. NULL is
	 * allowed: nothing is known.
	 */
	bool (*lookup)(void *arg, enum pst_access_lookup what, struct pst_http_text name,
	    struct pst_http_text *value);
	void *lookup_arg;
};

struct pst_access_log;

/*
 * Compile FORMAT. NULL: *REASON is a constant phrase and *AT the offset in FORMAT of what it is
 * about ("unknown atom", "no ) after %(", "out of memory" ...).
 */
struct pst_access_log *pst_access_log_compile(const char *format, const char **reason, size_t *at);
void pst_access_log_free(struct pst_access_log *log);

/* Append the line for ENTRY, with its LF, to OUT: 0, or PST_ERR_NOMEM with OUT as it was. */
int pst_access_log_format(
    struct pst_access_log *log, const struct pst_access_entry *entry, struct pst_buf *out);

#endif
