/*
 * Fuzz the access log: the first line is a format, the rest is every value. A line has one LF, at
 * its end, and no byte that is not printable.
 */
#include "gateway/front/access_log.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
lookup(
    void *arg, enum pst_access_lookup what, struct pst_http_text name, struct pst_http_text *value)
{
	assert(name.len > 0);
	*value = *(struct pst_http_text *)arg;
	return what != PST_ACCESS_VARIABLE;
}

static void
check(struct pst_access_log *log, const struct pst_access_entry *entry, const char *format)
{
	struct pst_buf out = {0};

	if (pst_access_log_format(log, entry, &out) < 0)
		abort();
	assert(pst_buf_length(&out) > 0);
	for (size_t i = 0; i < out.end; i++) {
		unsigned char c = out.data[i];

		assert(c == '\n' ? i == out.end - 1
				 : (c >= 0x20 && c < 0x7f) || (c >= 0x80 && strchr(format, c)));
	}
	pst_buf_free(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *lf = memchr(data, '\n', size), *reason;
	size_t n = lf ? (size_t)(lf - (const char *)data) : size, at;
	struct pst_http_text value = {lf ? lf + 1 : "", lf ? size - n - 1 : 0};
	struct pst_access_entry entry = {.client = value,
	    .request_line = value,
	    .method = value,
	    .path = value,
	    .query = value,
	    .protocol = value,
	    .worker = value,
	    .pool = value,
	    .status = 200,
	    .sent = (int64_t)size,
	    .queue_us = (int64_t)size,
	    .cpu_us = (int64_t)size,
	    .waited_us = -1,
	    .duration_us = UINT64_MAX,
	    .lookup = lookup,
	    .lookup_arg = &value};
	char *format = malloc(n + 1);
	struct pst_access_log *log;

	if (!format)
		abort();
	memcpy(format, data, n);
	format[n] = '\0';
	log = pst_access_log_compile(format, &reason, &at);
	assert((log == NULL) == (reason != NULL) && at <= n);
	if (log)
		check(log, &entry, format);
	pst_access_log_free(log);
	free(format);
	return 0;
}
