/*
 * Cases for the extensions of a session, and what their tests share: records as a peer may write
 * them, and files to lend.
 */
#ifndef PST_TESTS_UNIT_SESSION_CASE_H
#define PST_TESTS_UNIT_SESSION_CASE_H

#include "tests/unit/trace.h"

struct session_case {
	bool client;
	unsigned files; /* descriptors that come first */
	void (*build)(struct pst_buf *wire);
	const char *expect; /* the trace, and behind it the reason for which the session ended */
};

void wire_message(struct pst_buf *wire, uint16_t id, unsigned flags, const char *text);
void wire_close(struct pst_buf *wire, uint16_t id, unsigned code, const char *reason);
void wire_file(struct pst_buf *wire, uint16_t id, uint8_t stream, uint64_t offset, uint64_t length);

/* A file of SIZE bytes. */
int make_file(unsigned size);
/* Receive descriptors for files of 1, 2 ... bytes. */
int give_files(struct trace *trace, unsigned count);
/* The lowest free descriptor: the same again when all that were open in between are closed. */
int lowest_fd(void);

/* Receive WIRE, which is empty afterwards. */
int recv_wire(struct trace *trace, struct pst_buf *wire);
/* What C builds comes whole, cut in two at every point and byte by byte, with equal results. */
void session_case_run(const struct session_case *c);
/* All that waits to be sent, as trace_records() says it; nothing waits afterwards. */
void check_sent(struct trace *trace, const char *expect);

#endif
