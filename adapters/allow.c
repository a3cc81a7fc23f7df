#include "adapters/allow.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static void
map_ipv4(const struct in_addr *from, struct in6_addr *to)
{
	memset(to, 0, sizeof(*to));
	to->s6_addr[10] = 0xff;
	to->s6_addr[11] = 0xff;
	memcpy(&to->s6_addr[12], from, 4);
}

/* "192.0.2.1" or "2001:db8::1", of N bytes. */
static bool
parse_address(const char *text, size_t n, struct in6_addr *address)
{
	char copy[INET6_ADDRSTRLEN];
	struct in_addr ipv4;

	if (n >= sizeof(copy))
		return false;
	memcpy(copy, text, n);
	copy[n] = '\0';
	if (inet_pton(AF_INET, copy, &ipv4) == 1) {
		map_ipv4(&ipv4, address);
		return true;
	}
	return inet_pton(AF_INET6, copy, address) == 1;
}

int
pst_allow_parse(struct pst_allow *allow, const char *text, char *bad, size_t bad_size)
{
	memset(allow, 0, sizeof(*allow));
	if (!text || !*text) {
		allow->any = true;
		return 0;
	}
	for (;;) {
		size_t n;
		text += strspn(text, " \t");
		n = strcspn(text, ",");
		while (n > 0 && (text[n - 1] == ' ' || text[n - 1] == '\t'))
			n--;
		if (allow->count == PST_ALLOW_MAX ||
		    !parse_address(text, n, &allow->addresses[allow->count])) {
			snprintf(bad, bad_size, "%.*s", (int)(n < 200 ? n : 200), text);
			return -1;
		}
		allow->count++;
		text += strcspn(text, ",");
		if (*text == '\0')
			return 0;
		text++;
	}
}

bool
pst_allow_check(const struct pst_allow *allow, const struct sockaddr *address)
{
	struct in6_addr mapped;

	if (allow->any)
		return true;
	if (address->sa_family == AF_INET)
		map_ipv4(&((const struct sockaddr_in *)address)->sin_addr, &mapped);
	else if (address->sa_family == AF_INET6)
		mapped = ((const struct sockaddr_in6 *)address)->sin6_addr;
	else
		return true;
	for (size_t i = 0; i < allow->count; i++)
		if (memcmp(&allow->addresses[i], &mapped, sizeof(mapped)) == 0)
			return true;
	return false;
}
