/*
 * Client listeners. They outlive every child: a gateway that is started again finds the
 * connections that waited meanwhile. Those that two configurations have in common are shared.
 */
#ifndef PST_ARBITER_LISTENER_H
#define PST_ARBITER_LISTENER_H

#include "gateway/address.h"
#include "gateway/arbiter/identity.h"
#include "gateway/conf.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/un.h>

struct pst_listener {
	unsigned holders; /* how many lists it is in */
	struct pst_address address;
	int fd; /* listening, non-blocking, close-on-exec */
	char name[300]; /* 127.0.0.1:8000, [::1]:8000, unix:/path: where it really listens */
	dev_t dev; /* of a unix socket that we made, so that only that one is removed */
	ino_t ino;
};

struct pst_listeners {
	size_t count;
	struct pst_listener **list;
	bool handed_over; /* they are systemd's, whatever --bind says */
};

enum pst_listeners_result {
	PST_LISTENERS_OPEN,
	PST_LISTENERS_FAILED, /* a line was logged */
	PST_LISTENERS_INTERRUPTED, /* TERM, INT or QUIT came while it waited for an address */
};

/*
 * Open every --bind of CONF, or what systemd handed over (LISTEN_FDS) instead. An address in use is
 * tried again for 5 seconds, in which TERM, INT and QUIT, which must be blocked, are waited for.
 */
enum pst_listeners_result pst_listeners_open(struct pst_listeners *listeners,
    const struct pst_conf *conf, const struct pst_identity *identity);

/*
 * The same while PRESENT is open, and MORE, which may be NULL: what is open there is shared, and
 * nothing is tried twice. 0, or -1 after a line was logged.
 */
int pst_listeners_open_beside(struct pst_listeners *listeners, const struct pst_conf *conf,
    const struct pst_identity *identity, const struct pst_listeners *present,
    const struct pst_listeners *more);

/*
 * Remove the unix socket at PATH, which is ADDRESS, if nobody answers on it: 0, also when there is
 * nothing, or an errno and maybe more words in HINT.
 */
int pst_listener_remove_stale(
    const char *path, const struct sockaddr_un *address, const char **hint);

/*
 * Let go of all: what no other list has is closed, and if it is a unix socket of ours removed. From
 * then on nobody can connect there; a gateway that has it open accepts who has connected.
 */
void pst_listeners_close(struct pst_listeners *listeners);

bool pst_listeners_have(const struct pst_listeners *listeners, const struct pst_listener *listener);
/* Both have the same ones. */
bool pst_listeners_same(const struct pst_listeners *a, const struct pst_listeners *b);

/* How people are told of it: http://127.0.0.1:8000, or unix:/path. */
void pst_listener_url(const struct pst_listener *listener, char *url, size_t size);

#endif
