#include "gateway/front/path.h"

#include <assert.h>
#include <string.h>

enum segment {
	NAME,
	EMPTY,
	DOT,
	DOT_DOT,
};

static enum segment
kind_of(const char *segment, size_t len)
{
	if (len == 0)
		return EMPTY;
	if (segment[0] != '.' || len > 2)
		return NAME;
	if (len == 1)
		return DOT;
	return segment[1] == '.' ? DOT_DOT : NAME;
}

/* The length of the segment of PATH that begins at AT. */
static size_t
segment_length(struct pst_http_text path, size_t at)
{
	const char *slash = memchr(path.data + at, '/', path.len - at);

	return slash == NULL ? path.len - at : (size_t)(slash - path.data) - at;
}

bool
pst_path_has_dots(struct pst_http_text path)
{
	for (size_t at = 1; at < path.len;) {
		size_t len = segment_length(path, at);

		if (kind_of(path.data + at, len) > EMPTY)
			return true;
		at += len + 1;
	}
	return false;
}

bool
pst_path_is_normal(struct pst_http_text path)
{
	for (size_t at = 1; at < path.len;) {
		size_t len = segment_length(path, at);

		if (kind_of(path.data + at, len) != NAME)
			return false;
		at += len + 1;
	}
	return true;
}

size_t
pst_path_normalise(struct pst_http_text path, char *normal)
{
	size_t used = 0; /* "/a/b", or nothing for the root */

	assert(path.len > 0 && path.data[0] == '/');
	for (size_t at = 0; at < path.len;) {
		size_t len = segment_length(path, at + 1);
		enum segment kind = kind_of(path.data + at + 1, len);

		if (kind == NAME) {
			memcpy(normal + used, path.data + at, len + 1);
			used += len + 1;
		} else if (kind == DOT_DOT) {
			while (used > 0 && normal[--used] != '/')
				continue;
		}
		at += len + 1;
		if (at == path.len && kind != NAME)
			normal[used++] = '/';
	}
	return used;
}
