/* A client session with two requests and a question reads what a server might send. */
#include "tests/fuzz/session_digest.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t
run(const uint8_t *data, size_t size, size_t piece)
{
	static const struct pst_session_limits limits = {3, 600, 300};
	struct digest digest = {
	    .is_client = true, .deeds = data[0] & (DIGEST_CLIENT | DIGEST_AGREES)};

	digest.session = pst_session_new_client(&digest_callbacks, &limits, &digest);
	assert(digest.session != NULL);
	pst_session_submit_get_value(
	    digest.session, PST_SESSION_VERSION_NAME, sizeof(PST_SESSION_VERSION_NAME) - 1);
	pst_session_submit_get_value(
	    digest.session, PST_SESSION_FILES_NAME, sizeof(PST_SESSION_FILES_NAME) - 1);
	pst_session_submit_get_value(
	    digest.session, PST_SESSION_MEMORY_NAME, sizeof(PST_SESSION_MEMORY_NAME) - 1);
	digest_agree(&digest);
	pst_session_submit_get_value(digest.session, "FCGI_MAX_REQS", 13);
	digest_ask(&digest);
	digest_ask(&digest);
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
