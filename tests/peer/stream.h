/*
 * A session on a blocking socket: for the programs that meet real FastCGI peers. One thread,
 * one connection at a time; reads and writes as poll() allows, so that two peers that both write
 * much do not wait for each other.
 */
#ifndef PST_TESTS_PEER_STREAM_H
#define PST_TESTS_PEER_STREAM_H

#include "protocol/session.h"

/* "unix:PATH" or "HOST:PORT" (numeric): a connected or listening socket; ends the program
 * with a line when that fails. */
int stream_connect(const char *address);
int stream_listen(const char *address);

/*
 * Carry bytes both ways until *DONE, or neither is wanted, or the peer closes, which closes the
 * session. Returns 0, or the session's error, which has been written to stderr.
 */
int stream_run(int fd, struct pst_session *session, const bool *done);

#endif
