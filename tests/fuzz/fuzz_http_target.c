/* A request target, for GET or OPTIONS as byte 0 says; and the same bytes as a Host. */
#include "gateway/front/http_chars.h"
#include "gateway/front/http_target.h"
#include "protocol/error.h"
#include "tests/fuzz/http_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* PART is empty, or a slice of RAW. */
static void
check_slice(struct pst_http_text part, struct pst_http_text raw)
{
	CHECK(
	    part.len == 0 || (part.data >= raw.data && part.data + part.len <= raw.data + raw.len));
}

/* Every byte encoded gives the same path again. */
static void
check_round_trip(struct pst_http_text path)
{
	const struct pst_http_text get = {"GET", 3};
	char *encoded = malloc(path.len * 3 + 1);
	char *decoded = malloc(path.len * 3 + 1);
	struct pst_http_target target;
	struct pst_http_refusal refusal = {0};
	size_t len = 0;

	CHECK(encoded != NULL && decoded != NULL);
	encoded[len++] = '/';
	for (size_t i = 1; i < path.len; i++) {
		snprintf(encoded + len, 4, "%%%02x", (unsigned char)path.data[i]);
		len += 3;
	}
	CHECK(pst_http_target_parse(
		  &target, get, (struct pst_http_text){encoded, len}, decoded, &refusal) == 0);
	CHECK(target.path.len == path.len && memcmp(target.path.data, path.data, path.len) == 0);
	free(encoded);
	free(decoded);
}

static void
check_accepted(const struct pst_http_target *target, const char *decoded)
{
	CHECK(pst_http_all(target->raw, PST_HTTP_TARGET));
	check_slice(target->scheme, target->raw);
	check_slice(target->authority, target->raw);
	check_slice(target->query, target->raw);
	CHECK(target->path.len <= target->raw_path.len);
	CHECK(target->path.data == target->raw_path.data || target->path.data == decoded);
	CHECK(memchr(target->path.data, '\0', target->path.len) == NULL);
	CHECK((target->form == PST_HTTP_FORM_ORIGIN) ==
	      (target->authority.len == 0 && target->raw.data[0] == '/'));
	CHECK(pst_http_host_valid(target->authority));
	if (target->form == PST_HTTP_FORM_ASTERISK) {
		CHECK(pst_http_text_is(target->path, "*"));
		return;
	}
	CHECK(target->raw_path.data[0] == '/' && target->path.data[0] == '/');
	check_round_trip(target->path);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pst_http_text method = {"GET", 3};
	struct pst_http_text raw;
	struct pst_http_target target;
	struct pst_http_refusal refusal = {0};
	char *bytes, *decoded;

	if (size == 0)
		return 0;
	if (data[0] % 2 == 1)
		method = (struct pst_http_text){"OPTIONS", 7};
	bytes = malloc(size);
	decoded = malloc(size);
	CHECK(bytes != NULL && decoded != NULL);
	raw = (struct pst_http_text){bytes, size - 1};
	memcpy(bytes, data + 1, size - 1);
	(void)pst_http_host_valid(raw);
	if (pst_http_target_parse(&target, method, raw, decoded, &refusal) == 0)
		check_accepted(&target, decoded);
	else
		CHECK(refusal.status == 400 && refusal.reason != NULL);
	free(bytes);
	free(decoded);
	return 0;
}
