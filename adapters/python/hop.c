#include "adapters/python/hop.h"

#include <string.h>
#include <strings.h>

bool
pst_hop_is(const char *name, size_t n)
{
	static const char *const names[] = {"connection", "keep-alive", "proxy-connection", "te",
	    "trailer", "transfer-encoding", "upgrade"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strlen(names[i]) == n && strncasecmp(name, names[i], n) == 0)
			return true;
	return false;
}
