/*
 * What the sans-I/O code of protocol/ returns: 0 (or a count) for success, one of these
 * negative codes otherwise. docs/architecture.md, "Errors", has the whole convention.
 */
#ifndef PST_PROTOCOL_ERROR_H
#define PST_PROTOCOL_ERROR_H

enum pst_error {
	PST_OK = 0,
	PST_ERR_NOMEM = -1, /* an allocation failed; the object is as it was before the call */
	PST_ERR_PROTOCOL = -2, /* the peer broke the protocol; the session is over */
	PST_ERR_LIMIT = -3, /* the peer wants more held than the limits allow */
	PST_ERR_STATE = -4, /* the call does not fit the state (no such request, already ended) */
	PST_ERR_CLOSED = -5, /* the session is over: nothing is read or queued any more */
};

/* A constant English phrase for ERR, fit for the end of a log line; never NULL. */
const char *pst_error_string(int err);

#endif
