/*
 * The two ends of a client's connection in words, as CGI parameters, access log and trust need
 * them. Sans I/O: the caller has the sockaddr from accept() or getsockname().
 */
#ifndef PST_GATEWAY_FRONT_PEER_ADDRESS_H
#define PST_GATEWAY_FRONT_PEER_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct pst_peer_address {
	char host[INET6_ADDRSTRLEN]; /* "192.0.2.7", "2001:db8::1"; "" for unix; no [] */
	uint16_t port; /* 0 for unix */
	bool local; /* a unix socket */
};

/*
 * Put ADDRESS into words. IPv4 that came mapped in IPv6 (::ffff:192.0.2.7) is IPv4; a scope id is
 * left out. A family that is neither IP nor unix gives host "" and local false.
 */
void pst_peer_address_set(
    struct pst_peer_address *peer, const struct sockaddr *address, socklen_t length);

#endif
