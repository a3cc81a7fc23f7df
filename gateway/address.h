/*
 * Where to listen, as --bind says it. Sans I/O: no name is looked up here.
 */
#ifndef PST_GATEWAY_ADDRESS_H
#define PST_GATEWAY_ADDRESS_H

#include <sys/un.h>

enum pst_address_kind {
	PST_ADDRESS_INET, /* host and port */
	PST_ADDRESS_UNIX, /* path */
	PST_ADDRESS_FD, /* fd: a listening socket that was inherited */
};

struct pst_address {
	enum pst_address_kind kind;
	char host[256]; /* a name or an address, without the brackets of IPv6 */
	char port[6]; /* decimal, 0 to 65535; 0 lets the kernel choose */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int fd;
};

/*
 * HOST:PORT, [ADDRESS]:PORT, :PORT (all IPv4 addresses), HOST (port 8000), each also after
 * tcp://; unix:PATH and unix://PATH; fd://N. 0, or -1 with *WHY a constant phrase.
 */
int pst_address_parse(struct pst_address *address, const char *text, const char **why);

#endif
