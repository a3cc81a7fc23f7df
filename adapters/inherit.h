/*
 * What an adapter is started with (docs/architecture.md, "What a child is started with"): its
 * listening socket as fd 0, its control socket as fd 3 when PENSTOCK_CONTROL=3 says so, and its
 * page as fd 4 when PENSTOCK_PAGE=4 does. Sockets move out of the application's way, to high
 * close-on-exec numbers; the page is mapped.
 */
#ifndef PST_ADAPTERS_INHERIT_H
#define PST_ADAPTERS_INHERIT_H

#include "protocol/page.h"

struct pst_inherited {
	int listener;
	int control; /* -1: started by hand, spawn-fcgi or a web server */
	struct pst_page page; /* for the rest of the process's life */
};

/*
 * Take all. fd 0 is /dev/null afterwards, 3 and 4 are free, and the environment does not mention
 * them. 0; or -1 after the reason was logged, when fd 0 is no listening stream socket, or 3 or 4
 * is not what the environment says that it is.
 */
int pst_inherit(struct pst_inherited *inherited);

/* The arbiter has died, and with it the pipes that fds 1 and 2 are: what an application prints
 * goes nowhere from now on, rather than to fail. */
void pst_inherit_mute(void);

#endif
