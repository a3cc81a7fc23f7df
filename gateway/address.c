#include "gateway/address.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_PORT "8000"

static const char *
after(const char *text, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(text, prefix, n) == 0 ? text + n : NULL;
}

/* The decimal number that is all of TEXT, up to MAX; -1 for anything else. */
static long
decimal(const char *text, long max)
{
	long n = 0;

	if (!*text)
		return -1;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		n = n * 10 + (*text - '0');
		if (n > max)
			return -1;
	}
	return n;
}

static int
parse_unix(struct pst_address *address, const char *path, const char **why)
{
	const char *rest = after(path, "//");

	if (rest)
		path = rest;
	address->kind = PST_ADDRESS_UNIX;
	if (!*path) {
		*why = "there is no path after unix:";
		return -1;
	}
	if (strlen(path) >= sizeof(address->path)) {
		*why = "the path of a unix socket has at most 107 bytes";
		return -1;
	}
	strcpy(address->path, path);
	return 0;
}

static int
parse_fd(struct pst_address *address, const char *number, const char **why)
{
	long fd = decimal(number, 1 << 20);

	address->kind = PST_ADDRESS_FD;
	if (fd < 3) {
		*why = "fd:// wants the number of an inherited descriptor, 3 or more";
		return -1;
	}
	address->fd = (int)fd;
	return 0;
}

static int
set_port(struct pst_address *address, const char *port, const char **why)
{
	long n = decimal(port, 65535);

	if (n < 0) {
		*why = "the port is not a number from 0 to 65535";
		return -1;
	}
	while (port[0] == '0' && port[1])
		port++;
	strcpy(address->port, port);
	return 0;
}

static int
set_host(struct pst_address *address, const char *host, size_t length, const char **why)
{
	if (length >= sizeof(address->host)) {
		*why = "the host name is too long";
		return -1;
	}
	memcpy(address->host, host, length);
	address->host[length] = '\0';
	return 0;
}

/* TEXT begins with a bracket. */
static int
parse_inet6(struct pst_address *address, const char *text, const char **why)
{
	const char *end = strchr(text, ']');

	if (!end || end == text + 1 || (end[1] && end[1] != ':')) {
		*why = "an IPv6 address is written [::1]:8000";
		return -1;
	}
	if (set_host(address, text + 1, (size_t)(end - text - 1), why) < 0)
		return -1;
	return set_port(address, end[1] ? end + 2 : DEFAULT_PORT, why);
}

static int
parse_inet(struct pst_address *address, const char *text, const char **why)
{
	const char *colon = strrchr(text, ':');

	address->kind = PST_ADDRESS_INET;
	if (text[0] == '[')
		return parse_inet6(address, text, why);
	if (colon && colon != strchr(text, ':')) {
		*why = "an IPv6 address is written [::1]:8000";
		return -1;
	}
	if (!colon && decimal(text, 65535) >= 0) {
		*why = "a port alone is written with a colon, :8000";
		return -1;
	}
	if (colon == text)
		strcpy(address->host, "0.0.0.0");
	else if (set_host(address, text, colon ? (size_t)(colon - text) : strlen(text), why) < 0)
		return -1;
	return set_port(address, colon ? colon + 1 : DEFAULT_PORT, why);
}

int
pst_address_parse(struct pst_address *address, const char *text, const char **why)
{
	const char *rest;

	memset(address, 0, sizeof(*address));
	address->fd = -1;
	if ((rest = after(text, "unix:")))
		return parse_unix(address, rest, why);
	if ((rest = after(text, "fd://")))
		return parse_fd(address, rest, why);
	if ((rest = after(text, "tcp://")))
		text = rest;
	if (!*text || strchr(text, '/')) {
		*why = "say HOST:PORT, [IPV6]:PORT, :PORT, unix:PATH or fd://N";
		return -1;
	}
	return parse_inet(address, text, why);
}
