/*
 * Bytes of answers that reach a gateway of ours through memory that both have (protocol/lane.h), in
 * place of the connection. What takes that way is decided here; what cannot is sent as ever.
 */
#ifndef PST_ADAPTERS_SHARE_H
#define PST_ADAPTERS_SHARE_H

#include "protocol/lane.h"
#include "protocol/session.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Fewer bytes are sent: to say where they are costs as much. */
#define PST_SHARE_LEAST 4096
/* What is shared at a time. */
#define PST_SHARE_PIECE 65536

/* Of one connection. Zeroed: there is no memory yet. It is made and offered for the first piece;
 * until the gateway has taken it, and if it cannot, bytes are sent. */
struct pst_share {
	struct pst_lane lane;
	bool refused; /* there cannot be any */
};

/*
 * Hand on N bytes of STDOUT of the request ID: 1 when a record that says where they are was queued,
 * all of them or none; 0 when they are to be submitted; PST_ERR_NOMEM: the connection cannot go on.
 */
int pst_share_bytes(
    struct pst_share *share, struct pst_session *session, uint16_t id, const void *bytes, size_t n);

/* Bytes may be shared: the gateway has taken the memory. */
bool pst_share_works(const struct pst_share *share, const struct pst_session *session);

/* As pst_session_submit_data(), but by the memory if they MAY_SHARE it and it takes them. */
int pst_share_submit(struct pst_share *share, struct pst_session *session, uint16_t id,
    enum pst_stream stream, bool may_share, const void *bytes, size_t n);

/* The connection is over. */
void pst_share_free(struct pst_share *share);

#endif
