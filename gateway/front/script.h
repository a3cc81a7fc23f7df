/*
 * Which script of a foreign pool serves a path, and what CGI says of it (RFC 3875, 4.1, and what
 * PHP wants beside). Sans I/O: no file is looked at, as the server may have another file system.
 *
 *	/shop/cart.php/items/3       SCRIPT_NAME  PATH_INFO    the first segment that ends in the
 *suffix └── script ──┘└─ info ─┘
 *
 * A path in which there is none goes to INDEX. "/index.php": to this one, the front controller
 * that routes by REQUEST_URI; PATH_INFO is empty, as with nginx's try_files. "index.php": to the
 * one of its directory if the path ends in '/', else there is no script for it.
 */
#ifndef PST_FRONT_SCRIPT_H
#define PST_FRONT_SCRIPT_H

#include "gateway/front/http.h"

#define PST_SCRIPT_INDEX  "/index.php"
#define PST_SCRIPT_SUFFIX ".php"

struct pst_script_rules {
	const char *root; /* an absolute directory */
	const char *index;
	const char *suffix; /* "": a path is its script, whole */
};

/* A struct of zero bytes may be freed. */
struct pst_script {
	struct pst_http_text filename; /* SCRIPT_FILENAME, below the root */
	struct pst_http_text name; /* SCRIPT_NAME */
	struct pst_http_text info; /* PATH_INFO */
	struct pst_http_text translated; /* PATH_TRANSLATED; empty when PATH_INFO is */
	struct pst_http_text uri; /* DOCUMENT_URI: name and info */
	struct pst_http_text root; /* DOCUMENT_ROOT: that of the rules, without a '/' at its end */
	char *memory;
};

/*
 * The script for PATH, which is normal (path.h: so it leads nowhere outside the root) and stands
 * below PREFIX, which belongs to SCRIPT_NAME and to no file. 1; 0 when there is none; or
 * PST_ERR_NOMEM. The rules must outlive SCRIPT.
 */
int pst_script_find(struct pst_script *script, const struct pst_script_rules *rules,
    struct pst_http_text prefix, struct pst_http_text path);
void pst_script_free(struct pst_script *script);

#endif
