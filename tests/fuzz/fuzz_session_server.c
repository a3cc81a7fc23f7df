/* A server session reads what a client might send: byte 0 says what the owner does. */
#include "tests/fuzz/session_digest.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t
run(const uint8_t *data, size_t size, size_t piece)
{
	static const struct pst_session_limits limits = {3, 600, 300};
	struct digest digest = {.deeds = data[0] & (DIGEST_SERVER | DIGEST_AGREES)};

	digest.session = pst_session_new_server(&digest_callbacks, &limits, &digest);
	assert(digest.session != NULL);
	digest_agree(&digest);
	return digest_run(&digest, data + 1, size - 1, piece);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* The long ones are about credit, whose records fill whole reads: byte by byte they cost as
	 * much as a thousand others. */
	size_t split = size <= 4096 ? 1 : 1021;
	uint64_t whole;

	if (size < 2)
		return 0;
	whole = run(data, size, size);
	assert(run(data, size, split) == whole);
	assert(run(data, size, 7 * split) == whole);
	return 0;
}
