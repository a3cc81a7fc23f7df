#include "gateway/front/trust.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

/* An address with its family; IPv4 takes the first four bytes. */
struct ip {
	bool v6;
	unsigned char bytes[16];
};

struct network {
	struct ip ip;
	unsigned bits;
};

struct pst_trust {
	bool everybody;
	size_t count;
	struct network networks[];
};

/* --- addresses --- */

static unsigned
ip_bits(const struct ip *ip)
{
	return ip->v6 ? 128 : 32;
}

static bool
ip_parse(const char *text, struct ip *ip)
{
	*ip = (struct ip){.v6 = strchr(text, ':') != NULL};
	return inet_pton(ip->v6 ? AF_INET6 : AF_INET, text, ip->bytes) == 1;
}

/* ::ffff:192.0.2.7 is IPv4. */
static bool
ip_is_mapped(const struct ip *ip)
{
	static const unsigned char prefix[12] = {[10] = 0xff, [11] = 0xff};

	return ip->v6 && memcmp(ip->bytes, prefix, sizeof(prefix)) == 0;
}

static void
ip_unmap(struct ip *ip)
{
	struct ip v4 = {.v6 = false};

	memcpy(v4.bytes, ip->bytes + 12, 4);
	*ip = v4;
}

/* True when the first BITS bits are equal. */
static bool
same_prefix(const unsigned char *a, const unsigned char *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;

	if (memcmp(a, b, whole) != 0)
		return false;
	return rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

/* --- the list --- */

/* A decimal number from 0 to MOST, digits only. */
static bool
parse_bits(const char *text, unsigned most, unsigned *bits)
{
	*bits = 0;
	if (!*text || strlen(text) > 3)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		*bits = *bits * 10 + (unsigned)(*text - '0');
	}
	return *bits <= most;
}

static bool
nothing_behind_prefix(const struct network *network)
{
	unsigned bits = ip_bits(&network->ip);

	for (unsigned i = network->bits; i < bits; i++)
		if (network->ip.bytes[i / 8] & (0x80 >> i % 8))
			return false;
	return true;
}

/* ENTRY is changed. NULL, or what is wrong. */
static const char *
parse_network(char *entry, struct network *network)
{
	char *slash = strchr(entry, '/');

	if (slash)
		*slash++ = '\0';
	if (!ip_parse(entry, &network->ip))
		return "not an IP address, a network such as 10.0.0.0/8, or *";
	network->bits = ip_bits(&network->ip);
	if (slash && !parse_bits(slash, network->bits, &network->bits))
		return "a network prefix that is not a number of bits";
	if (!nothing_behind_prefix(network))
		return "a network with bits set beyond its prefix";
	if (ip_is_mapped(&network->ip) && network->bits >= 96) {
		ip_unmap(&network->ip);
		network->bits -= 96;
	}
	return NULL;
}

/* One entry of N bytes, spaces around it allowed. */
static const char *
parse_entry(struct pst_trust *trust, const char *text, size_t n)
{
	char entry[INET6_ADDRSTRLEN + 4]; /* and "/128" */

	while (n > 0 && (text[0] == ' ' || text[0] == '\t'))
		text++, n--;
	while (n > 0 && (text[n - 1] == ' ' || text[n - 1] == '\t'))
		n--;
	if (n == 0)
		return "an empty entry";
	if (n == 1 && text[0] == '*') {
		trust->everybody = true;
		return NULL;
	}
	if (n >= sizeof(entry))
		return "not an IP address, a network such as 10.0.0.0/8, or *";
	memcpy(entry, text, n);
	entry[n] = '\0';
	return parse_network(entry, &trust->networks[trust->count++]);
}

static size_t
count_entries(const char *list)
{
	size_t count = 1;

	for (; *list; list++)
		count += *list == ',';
	return count;
}

struct pst_trust *
pst_trust_parse(const char *list, const char **reason, size_t *at)
{
	struct pst_trust *trust =
	    calloc(1, sizeof(*trust) + count_entries(list) * sizeof(struct network));

	*at = 0;
	*reason = "out of memory";
	if (!trust)
		return NULL;
	*reason = NULL;
	if (list[strspn(list, " \t")] == '\0')
		return trust;
	for (const char *entry = list; !*reason; entry++) {
		size_t n = strcspn(entry, ",");

		*at = entry - list;
		*reason = parse_entry(trust, entry, n);
		entry += n;
		if (!*entry)
			break;
	}
	if (*reason) {
		pst_trust_free(trust);
		return NULL;
	}
	return trust;
}

void
pst_trust_free(struct pst_trust *trust)
{
	free(trust);
}

bool
pst_trust_contains(const struct pst_trust *trust, const char *host)
{
	struct ip ip;

	if (!ip_parse(host, &ip))
		return false;
	if (trust->everybody)
		return true;
	if (ip_is_mapped(&ip))
		ip_unmap(&ip);
	for (size_t i = 0; i < trust->count; i++) {
		const struct network *network = &trust->networks[i];

		if (network->ip.v6 == ip.v6 &&
		    same_prefix(network->ip.bytes, ip.bytes, network->bits))
			return true;
	}
	return false;
}

bool
pst_trust_peer(const struct pst_trust *trust, const struct pst_peer_address *peer)
{
	return peer->local || pst_trust_contains(trust, peer->host);
}
