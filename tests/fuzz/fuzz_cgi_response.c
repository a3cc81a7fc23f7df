/*
 * Fuzz the parser of what workers answer: a whole response, and the same cut at a place that the
 * first byte chooses, must give the same.
 */
#include "gateway/front/cgi_response.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a run came to: FNV-1a over all that could be seen. */
struct outcome {
	uint64_t hash;
	int event;
	size_t taken; /* bytes of all heads */
};

static void
mix(struct outcome *outcome, const void *bytes, size_t n)
{
	const unsigned char *at = bytes;

	for (size_t i = 0; i < n; i++)
		outcome->hash = (outcome->hash ^ at[i]) * 1099511628211u;
	outcome->hash = (outcome->hash ^ n) * 1099511628211u;
}

/* Also what must hold of every block. */
static void
look(struct outcome *outcome, const struct pst_cgi_response *response)
{
	unsigned status = pst_cgi_response_status(response);
	struct pst_http_text phrase = pst_cgi_response_phrase(response);
	int64_t length = pst_cgi_response_content_length(response);
	const struct pst_cgi_field *fields;
	size_t count;

	assert(status >= 100 && status <= 599);
	assert(length >= -1);
	mix(outcome, &status, sizeof status);
	mix(outcome, &length, sizeof length);
	mix(outcome, phrase.data, phrase.len);
	fields = pst_cgi_response_fields(response, &count);
	for (size_t i = 0; i < count; i++) {
		assert(fields[i].name.len > 0);
		for (size_t j = 0; j < fields[i].value.len; j++)
			assert(
			    !strchr("\r\n", fields[i].value.data[j]) || !fields[i].value.data[j]);
		assert(!memchr(fields[i].value.data, '\0', fields[i].value.len));
		mix(outcome, fields[i].name.data, fields[i].name.len);
		mix(outcome, fields[i].value.data, fields[i].value.len);
	}
}

static void
feed(struct pst_cgi_response *response, struct outcome *outcome, const uint8_t *data, size_t size)
{
	while (size > 0 && outcome->event >= 0 && outcome->event != PST_CGI_RESPONSE_HEAD) {
		size_t taken;

		outcome->event = pst_cgi_response_feed(response, data, size, &taken);
		if (outcome->event < 0)
			return;
		if (outcome->event != PST_CGI_RESPONSE_MORE)
			look(outcome, response);
		outcome->taken += taken;
		data += taken;
		size -= taken;
	}
}

static struct outcome
run(const uint8_t *data, size_t size, size_t cut)
{
	static const struct pst_cgi_response_limits limits = {
	    .head = 300, .fields = 10, .interim = 3};
	struct pst_cgi_response *response = pst_cgi_response_new(&limits);
	struct outcome outcome = {.hash = 14695981039346656037u};

	if (!response)
		abort();
	feed(response, &outcome, data, cut);
	feed(response, &outcome, data + cut, size - cut);
	if (outcome.event >= 0 && outcome.event != PST_CGI_RESPONSE_HEAD)
		outcome.event = pst_cgi_response_end(response);
	if (outcome.event < 0) {
		const char *reason = pst_cgi_response_reason(response);

		assert(reason[0]);
		outcome.taken = 0;
		mix(&outcome, reason, strlen(reason));
	}
	pst_cgi_response_free(response);
	return outcome;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome whole, cut;
	size_t place;

	if (size == 0)
		return 0;
	place = data[0] % size;
	whole = run(data + 1, size - 1, 0);
	cut = run(data + 1, size - 1, place);
	assert(whole.event == cut.event && whole.hash == cut.hash && whole.taken == cut.taken);
	return 0;
}
