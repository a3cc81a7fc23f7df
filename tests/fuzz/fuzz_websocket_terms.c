/*
 * What a client offers in Sec-WebSocket-Extensions: what is agreed on is within what zlib can do
 * and what was offered, and our answer, offered to us again, gives the same.
 */
#include "gateway/front/websocket_deflate.h"
#include "protocol/error.h"
#include "tests/fuzz/http_check.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_answer(const struct pst_websocket_terms *terms)
{
	struct pst_websocket_terms again = {0};
	char answer[PST_WEBSOCKET_TERMS_MAX];
	size_t n = pst_websocket_terms_answer(terms, answer);

	CHECK(n > 0 && n < sizeof(answer));
	CHECK(pst_websocket_terms_choose(&again, (struct pst_http_text){answer, n}) == 0);
	CHECK(again.server_bits == terms->server_bits);
	CHECK(again.asked_server_bits == terms->asked_server_bits);
	CHECK(again.client_bits == terms->client_bits);
	CHECK(again.asked_client_bits == terms->asked_client_bits);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pst_websocket_terms terms = {0};
	char answer[PST_WEBSOCKET_TERMS_MAX];
	char *text = malloc(size + 1);
	int err;

	CHECK(text != NULL);
	memcpy(text, data, size);
	err = pst_websocket_terms_choose(&terms, (struct pst_http_text){text, size});
	CHECK(err == 0 || err == PST_ERR_PROTOCOL);
	free(text);
	if (terms.server_bits == 0) {
		CHECK(pst_websocket_terms_answer(&terms, answer) == 0);
		return 0;
	}
	CHECK(terms.server_bits >= 9 && terms.server_bits <= 12);
	CHECK(terms.client_bits >= 8 && terms.client_bits <= 15);
	CHECK(terms.asked_client_bits ? terms.client_bits <= 12 : terms.client_bits == 15);
	check_answer(&terms);
	return 0;
}
