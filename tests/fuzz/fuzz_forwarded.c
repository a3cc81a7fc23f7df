/*
 * Fuzz who is believed. The first line is a list of whom to trust, the others are fields,
 * "Name: value"; the peer is a unix socket, so they are believed.
 */
#include "gateway/front/forwarded.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FIELDS 16

static size_t
split_fields(const char *text, size_t size, struct pst_http_field *fields)
{
	const char *end = text + size;
	size_t count = 0;

	while (text < end && count < FIELDS) {
		const char *lf = memchr(text, '\n', (size_t)(end - text));
		const char *stop = lf ? lf : end;
		const char *colon = memchr(text, ':', (size_t)(stop - text));

		if (colon)
			fields[count++] =
			    (struct pst_http_field){.name = {text, (size_t)(colon - text)},
				.value = {colon + 1, (size_t)(stop - colon - 1)}};
		text = lf ? lf + 1 : end;
	}
	return count;
}

static void
check(int err, const struct pst_forwarded *result)
{
	struct in6_addr ip;

	assert(!result->believed || err == 0);
	assert((result->reason != NULL) == (err != 0));
	assert(!result->client[0] || inet_pton(AF_INET, result->client, &ip) == 1 ||
	       inet_pton(AF_INET6, result->client, &ip) == 1);
	assert(!result->scheme || strcmp(result->scheme, "http") == 0 ||
	       strcmp(result->scheme, "https") == 0);
	for (size_t i = 0; i < result->host.len; i++)
		assert((unsigned char)result->host.data[i] > 0x20);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct pst_peer_address peer = {.local = true};
	struct pst_http_field fields[FIELDS];
	struct pst_forwarded result;
	struct pst_trust *trust;
	const char *reason, *rest;
	char *text = malloc(size + 1);
	size_t at, count;

	if (!text)
		abort();
	memcpy(text, data, size);
	text[size] = '\0';
	rest = memchr(text, '\n', size);
	rest = rest ? rest + 1 : text + size;
	if (rest > text && rest[-1] == '\n')
		text[rest - text - 1] = '\0';
	trust = pst_trust_parse(text, &reason, &at);
	assert((trust == NULL) == (reason != NULL) && at <= size);
	if (!trust)
		trust = pst_trust_parse("10.0.0.0/8,::1", &reason, &at);
	count = split_fields(rest, size - (size_t)(rest - text), fields);
	check(pst_forwarded_resolve(trust, &peer, fields, count, &result), &result);
	pst_trust_free(trust);
	free(text);
	return 0;
}
