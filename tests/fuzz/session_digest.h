/*
 * A session driven by a fuzzer. All that it reports goes into one number, byte by byte, so that two
 * sessions that were fed the same bytes in other pieces must end with the same number.
 */
#ifndef PST_TESTS_FUZZ_SESSION_DIGEST_H
#define PST_TESTS_FUZZ_SESSION_DIGEST_H

#include "protocol/session.h"

#include <stdint.h>

/* What the owner does, from the first byte of the input: of a server, then of a client. */
enum {
	DIGEST_ANSWERS = 1, /* ready: answer and end */
	DIGEST_ENDS_AT_ABORT = 2,
	DIGEST_REFUSES = 4, /* a parameter with an empty name */
	DIGEST_FREES_AT_READY = 8,
	DIGEST_ENDS_AT_BEGIN = 16, /* a request with an odd id, as of an unknown role */
	DIGEST_SERVER = 31,
	DIGEST_SUBMITS_AT_END = 32, /* begin another request */
	DIGEST_ABORTS = 64, /* at the first byte of STDERR */
	DIGEST_CLIENT = 96,
	DIGEST_AGREES = 128, /* both: on extensions and files, before the input */
};

#define DIGEST_FILES 3

struct digest {
	struct pst_session *session;
	uint64_t hash;
	bool is_client;
	unsigned deeds;
	unsigned open;
	unsigned begun;
	int files[DIGEST_FILES]; /* descriptors that the session was given */
};

extern const struct pst_session_callbacks digest_callbacks;

/* Feed the bytes in pieces of PIECE, take in what is answered, free; returns the number. */
uint64_t digest_run(struct digest *digest, const uint8_t *data, size_t size, size_t piece);

/* Feed what the peer says to agree on extensions, if the deeds say so; a client has asked. */
void digest_agree(struct digest *digest);

/* Client: begin a request with a parameter and a body. */
void digest_ask(struct digest *digest);

#endif
