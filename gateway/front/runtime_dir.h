/* The runtime directory of an arbiter that died; docs/architecture.md, "The runtime directory". */
#ifndef PST_FRONT_RUNTIME_DIR_H
#define PST_FRONT_RUNTIME_DIR_H

/* Remove the sockets in PATH and then PATH itself. Anything else in it stays, and it with that. */
void pst_runtime_dir_remove(const char *path);

#endif
