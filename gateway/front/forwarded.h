/*
 * Who is the client, behind proxies? X-Forwarded-For, -Proto, -Host, -Port and Forwarded (RFC 7239)
 * are believed from trusted peers only (--forwarded-allow-ips) and from peers on unix sockets.
 *
 * The list of addresses is read from the right: each hop that is trusted vouches for the one
 * before it, and the first that is not trusted is the client. If all are trusted it is the leftmost.
 * Proto, host and port of Forwarded are the ones of the element that named the client; of the
 * X- fields, the element as far from the right as the client's, or the only one where a proxy
 * overwrites instead of appending.
 *
 * Strict: an element that is no IP address (RFC 7239 also allows "unknown" and _names) ends the
 * walk at the last hop that is known. What contradicts itself is an error: a trusted proxy is
 * misconfigured or passes on what a client made up.
 */
#ifndef PST_GATEWAY_FRONT_FORWARDED_H
#define PST_GATEWAY_FRONT_FORWARDED_H

#include "gateway/front/peer_address.h"
#include "gateway/front/http_request.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PST_FORWARDED_DEFAULT "127.0.0.1,::1"

/* --- whom to trust --- */

struct pst_trust;

/*
 * Parse a list parted by commas: addresses, networks (10.0.0.0/8, fd00::/8; bits beyond the prefix
 * must be 0), or * for everybody. An empty list trusts nobody (but unix peers). NULL: *REASON is a
 * constant phrase and *AT the offset in LIST of the entry that it is about.
 */
struct pst_trust *pst_trust_parse(const char *list, const char **reason, size_t *at);
void pst_trust_free(struct pst_trust *trust);

/* HOST is an address without brackets; a name is never trusted. IPv4 mapped in IPv6 is IPv4. */
bool pst_trust_contains(const struct pst_trust *trust, const char *host);
/* The same for the peer of a connection: unix sockets are trusted. */
bool pst_trust_peer(const struct pst_trust *trust, const struct pst_peer_address *peer);

/* --- what a request says --- */

enum pst_forwarded_error {
	PST_FORWARDED_OK = 0,
	PST_FORWARDED_ERR_SYNTAX = -32,   /* Forwarded does not parse, a port or host is malformed */
	PST_FORWARDED_ERR_CONFLICT = -33, /* two fields disagree about scheme, host or client */
};

struct pst_forwarded {
	char client[INET6_ADDRSTRLEN]; /* the address; "" when the peer is a unix socket and nothing is said */
	uint16_t client_port;          /* 0: not known */
	const char *scheme;            /* "http" or "https"; NULL: nothing is said */
	struct pst_http_text host;     /* without port, with [] for IPv6; empty: nothing is said */
	uint16_t port;                 /* of the host; 0: nothing is said */
	bool believed;                 /* false: the peer is not trusted, only client and client_port are set */
	const char *reason;            /* after an error: a constant phrase that names the field; otherwise NULL */
};

/*
 * Judge the COUNT fields of a request (all of them; the others are passed over) that came from
 * PEER. The texts in *RESULT point into the fields. An error is for 400 and a log
 * line at warning; *RESULT then names the peer.
 * The scheme is also read from X-Forwarded-Protocol: ssl and X-Forwarded-SSL: on, as gunicorn does.
 */
int pst_forwarded_resolve(const struct pst_trust *trust, const struct pst_peer_address *peer,
    const struct pst_http_field *fields, size_t count, struct pst_forwarded *result);

#endif
