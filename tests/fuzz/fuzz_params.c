/*
 * Name-value pairs, whole and in pieces of the length that byte 0 says: the same pairs and result.
 * What was decoded is encoded again and must decode to the same.
 */
#include "protocol/error.h"
#include "protocol/params.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LIMIT 2000

static int
keep_pair(void *arg, const char *name, size_t name_len, const char *value, size_t value_len)
{
	assert(pst_params_append(arg, name, name_len, value, value_len) == 0);
	return name_len == 3 && memcmp(name, "END", 3) == 0 ? 5 : 0;
}

/* Encode what BYTES decode to; *COMPLETE as the decoder says at the end. */
static int
run(const uint8_t *bytes, size_t size, size_t piece, struct pst_buf *pairs, bool *complete)
{
	struct pst_params_decoder decoder;
	uint8_t *copy;
	size_t n;
	int err = 0;

	pst_params_decoder_init(&decoder, LIMIT);
	for (; err == 0 && size > 0; bytes += n, size -= n) {
		n = size < piece ? size : piece;
		copy = malloc(n);
		assert(copy != NULL);
		memcpy(copy, bytes, n);
		err = pst_params_decode(&decoder, copy, n, keep_pair, pairs);
		free(copy);
		assert(pst_buf_length(&decoder.partial) <= LIMIT);
	}
	*complete = pst_params_complete(&decoder);
	if (err != 0)
		assert(pst_params_decode(&decoder, "\0\0", 2, keep_pair, pairs) == PST_ERR_LIMIT);
	pst_params_decoder_free(&decoder);
	return err;
}

static bool
equal(const struct pst_buf *a, const struct pst_buf *b)
{
	size_t n = pst_buf_length(a);

	return n == pst_buf_length(b) &&
	       (n == 0 || memcmp(pst_buf_bytes(a), pst_buf_bytes(b), n) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pst_buf whole = {0}, cut = {0}, again = {0};
	bool complete, cut_complete;
	int err;

	if (size < 2)
		return 0;
	err = run(data + 1, size - 1, size, &whole, &complete);
	assert(run(data + 1, size - 1, data[0] % 16 + 1U, &cut, &cut_complete) == err);
	assert(equal(&whole, &cut) && complete == cut_complete);
	if (err == 0 && pst_buf_length(&whole) > 0) {
		assert(pst_buf_length(&whole) <= size - 1);
		run(pst_buf_bytes(&whole), pst_buf_length(&whole), 3, &again, &complete);
		assert(complete && equal(&whole, &again));
	}
	pst_buf_free(&whole);
	pst_buf_free(&cut);
	pst_buf_free(&again);
	return 0;
}
