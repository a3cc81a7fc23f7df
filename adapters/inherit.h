/*
 * What an adapter is started with (docs/architecture.md, "What a child is started with"): its
 * listening socket as fd 0 and, when PENSTOCK_CONTROL=3 says so, its control socket as fd 3. Both
 * move out of the application's way, to high close-on-exec numbers.
 */
#ifndef PST_ADAPTERS_INHERIT_H
#define PST_ADAPTERS_INHERIT_H

struct pst_inherited {
	int listener;
	int control; /* -1: started by hand, spawn-fcgi or a web server */
};

/*
 * Take both. fd 0 is /dev/null afterwards, fd 3 is free, and PENSTOCK_CONTROL is not in the
 * environment. 0; or -1 after the reason was logged, when fd 0 is no listening stream socket, or
 * fd 3 is no socket although the environment says that it is.
 */
int pst_inherit(struct pst_inherited *inherited);

#endif
