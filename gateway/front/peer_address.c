#include "gateway/front/peer_address.h"

#include <arpa/inet.h>
#include <string.h>

static void
set_ipv6(struct pst_peer_address *peer, const struct sockaddr_in6 *address)
{
	const struct in6_addr *ip = &address->sin6_addr;

	if (IN6_IS_ADDR_V4MAPPED(ip))
		inet_ntop(AF_INET, &ip->s6_addr[12], peer->host, sizeof(peer->host));
	else
		inet_ntop(AF_INET6, ip, peer->host, sizeof(peer->host));
	peer->port = ntohs(address->sin6_port);
}

void
pst_peer_address_set(
    struct pst_peer_address *peer, const struct sockaddr *address, socklen_t length)
{
	struct sockaddr_in ipv4;
	struct sockaddr_in6 ipv6;

	*peer = (struct pst_peer_address){.local = false};
	/* An unnamed unix peer (every client) has a length that just covers the family. */
	if (length < sizeof(address->sa_family))
		return;
	if (address->sa_family == AF_INET && length >= sizeof(ipv4)) {
		memcpy(&ipv4, address, sizeof(ipv4));
		inet_ntop(AF_INET, &ipv4.sin_addr, peer->host, sizeof(peer->host));
		peer->port = ntohs(ipv4.sin_port);
	} else if (address->sa_family == AF_INET6 && length >= sizeof(ipv6)) {
		memcpy(&ipv6, address, sizeof(ipv6));
		set_ipv6(peer, &ipv6);
	} else if (address->sa_family == AF_UNIX) {
		peer->local = true;
	}
}
