/*
 * Decoded paths as routes compare them: runs of slashes are one, and the segments "." and ".." are
 * resolved (RFC 3986, 5.2.4; ".." at the root stays there). So "/a//b", "/a/./b" and "/x/../a/b"
 * are all "/a/b" - as nginx, too, chooses a location. Sans I/O; bytes are bytes, whatever their
 * encoding.
 */
#ifndef PST_FRONT_PATH_H
#define PST_FRONT_PATH_H

#include "gateway/front/http.h"

/* True when PATH has a segment "." or "..". */
bool pst_path_has_dots(struct pst_http_text path);

/* True when PATH, which begins with '/', is what pst_path_normalise() would make of it. */
bool pst_path_is_normal(struct pst_http_text path);

/* Write what PATH, which begins with '/', is to NORMAL, which has room for path.len bytes: how many
 * they are, at least 1. */
size_t pst_path_normalise(struct pst_http_text path, char *normal);

#endif
