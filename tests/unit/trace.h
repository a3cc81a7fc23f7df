/*
 * A session under test: every callback becomes a line of text, so that two runs can be compared.
 * Bytes of one stream that follow each other are one line, however they were cut.
 */
#ifndef PST_TESTS_UNIT_TRACE_H
#define PST_TESTS_UNIT_TRACE_H

#include "protocol/buf.h"
#include "protocol/session.h"
#include "tests/unit/failmalloc.h"

/* What a client is given to be the memory that it shares with its server. */
#define TRACE_MEMORY "what they share"

struct trace {
	struct pst_session *session;
	struct pst_buf text; /* made with pst_buf, but never by a failing allocation: see trace.c */
	bool in_data; /* the last line is of data for id, what */
	uint16_t id;
	const char *what; /* a stream's name, or the kind of a message */
	unsigned begun; /* by the peer or by trace_begin() */
	unsigned ended;
	unsigned sent_fds; /* by trace_drain() */
	/* What the owner does inside the callbacks. */
	bool answer; /* ready: write "hello", then end with status 7 */
	const char *version; /* the answer to PENSTOCK_VERSION; NULL: none */
	bool files; /* answer PENSTOCK_FILES and PENSTOCK_MEMORY, too */
	const char *refuse; /* refuse the parameter of this name */
	const char *end_at; /* end the request in this callback: "begin", "param", "data" ... */
	const char *free_at; /* free the session in this callback */
	const char *submit_at; /* begin another request in this callback (client) */
};

void trace_init_server(struct trace *trace, const struct pst_session_limits *limits);
void trace_init_client(struct trace *trace, const struct pst_session_limits *limits);
void trace_free(struct trace *trace);

/* Client: begin a responder request without parameters; its id. */
uint16_t trace_begin(struct trace *trace, bool keep);

/* Take all that the session wants to send; OUT is appended to. */
void trace_drain(struct trace *trace, struct pst_buf *out);
/* A line for each record in the bytes: "STDOUT 1 5+3". */
void trace_records(struct trace *trace, const struct pst_buf *bytes);
void trace_line(struct trace *trace, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *trace_text(struct trace *trace);

/* Append a record with this content and padding to WIRE. */
void wire_record(struct pst_buf *wire, uint8_t type, uint16_t id, const void *content, size_t n,
    uint8_t padding);
void wire_begin(struct pst_buf *wire, uint16_t id, uint16_t role, uint8_t flags);
void wire_end(struct pst_buf *wire, uint16_t id, uint32_t app_status, uint8_t protocol_status);
/* Requests 1 to COUNT, extended, of a server or a client that has agreed on extensions, on
 * files and on memory; nothing is left to be sent and the trace is empty. */
void trace_extended(struct trace *trace, bool client, unsigned count);

/* A string's bytes as the content. */
void wire_text(struct pst_buf *wire, uint8_t type, uint16_t id, const char *text);

#endif
