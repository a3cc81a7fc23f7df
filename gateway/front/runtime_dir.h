/* The runtime directory of an arbiter that died; docs/architecture.md, "The runtime directory". */
#ifndef PST_FRONT_RUNTIME_DIR_H
#define PST_FRONT_RUNTIME_DIR_H

/* We need what is in PATH: a descriptor that says so as long as it is open; -1 with errno. */
int pst_runtime_dir_hold(const char *path);

/*
 * Unless another process holds it for half a second more: remove the sockets in PATH and then PATH
 * itself. Anything else in it stays, and it with that. HELD, which may be -1, is closed.
 */
void pst_runtime_dir_remove(const char *path, int held);

#endif
