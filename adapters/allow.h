/*
 * FCGI_WEB_SERVER_ADDRS (FastCGI 1.0, section 3.2): the addresses from which a TCP listener takes
 * connections. Without it every address may connect.
 */
#ifndef PST_ADAPTERS_ALLOW_H
#define PST_ADAPTERS_ALLOW_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#define PST_ALLOW_MAX 64

struct pst_allow {
	bool any;
	size_t count;
	struct in6_addr addresses[PST_ALLOW_MAX]; /* IPv4 as ::ffff:a.b.c.d */
};

/*
 * Parse TEXT, addresses parted by commas; NULL or "" allows any. 0, or -1 with the address that
 * is none (or the first one too many) copied to BAD, of BAD_SIZE bytes.
 */
int pst_allow_parse(struct pst_allow *allow, const char *text, char *bad, size_t bad_size);

/* May ADDRESS connect? Anything but IPv4 and IPv6 (a unix socket) may. */
bool pst_allow_check(const struct pst_allow *allow, const struct sockaddr *address);

#endif
