/*
 * Whom to believe about who the client is: --forwarded-allow-ips. Sans I/O.
 */
#ifndef PST_GATEWAY_FRONT_TRUST_H
#define PST_GATEWAY_FRONT_TRUST_H

#include "gateway/front/peer_address.h"

#include <stdbool.h>
#include <stddef.h>

#define PST_TRUST_DEFAULT "127.0.0.1,::1"

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

#endif
