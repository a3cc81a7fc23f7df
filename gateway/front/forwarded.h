/*
 * Who is the client, behind proxies? X-Forwarded-For, -Proto, -Host, -Port and Forwarded (RFC 7239)
 * are believed from trusted peers only (trust.h). Sans I/O.
 *
 * The list of addresses is read from the right: each hop that is trusted vouches for the one
 * before it, and the first that is not trusted is the client. If all are trusted it is the
 * leftmost. An element that is no IP address ("unknown", "_hidden", anything) ends the walk; the
 * client is then the last hop that is known.
 *
 * What Forwarded says of proto and host is taken from the element where the walk ended. Of the
 * other X-Forwarded lists it is the element as far from the right, or the leftmost of a shorter
 * list: proxies that overwrite leave one. X-Forwarded-Port goes before a port in X-Forwarded-Host.
 * As in gunicorn, X-Forwarded-Protocol: ssl and X-Forwarded-SSL: on speak of the scheme too.
 *
 * A proxy that speaks X-Forwarded-* may pass on a Forwarded that the client made up. So where
 * both are there, Forwarded adds nothing; and if it contradicts them, or two schemes contradict
 * each other, that is an error: somebody lies. A proxy must set or remove every one of these
 * fields.
 */
#ifndef PST_GATEWAY_FRONT_FORWARDED_H
#define PST_GATEWAY_FRONT_FORWARDED_H

#include "gateway/front/http_request.h"
#include "gateway/front/peer_address.h"
#include "gateway/front/trust.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pst_forwarded_error {
	PST_FORWARDED_OK = 0,
	PST_FORWARDED_ERR_SYNTAX = -32, /* Forwarded, a scheme, a host or a port is malformed */
	PST_FORWARDED_ERR_CONFLICT = -33, /* two fields disagree about scheme, host or client */
};

struct pst_forwarded {
	char client[INET6_ADDRSTRLEN]; /* "" when the peer is a unix socket and nothing is said */
	uint16_t client_port; /* 0: not known */
	const char *scheme; /* "http" or "https"; NULL: nothing is said */
	struct pst_http_text host; /* without port, with [] for IPv6; empty: nothing is said */
	struct pst_http_text authority; /* host as it was said, with its port if it had one */
	uint16_t port; /* 0: nothing is said */
	/* False: nothing is said, or the peer is not trusted; only client is set then. */
	bool believed;
	const char *reason; /* after an error: a constant phrase that names the field */
};

/*
 * Judge the COUNT fields of a request (all of them; the others are passed over) that came from
 * PEER. The texts in *RESULT point into the fields. An error is for 400 and a log line at warning;
 * *RESULT then names the peer and holds nothing else but the reason.
 */
int pst_forwarded_resolve(const struct pst_trust *trust, const struct pst_peer_address *peer,
    const struct pst_http_field *fields, size_t count, struct pst_forwarded *result);

#endif
