#include "adapters/link_values.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static bool
is_named(const char *name, size_t name_len, const char *other)
{
	return name_len == strlen(other) && memcmp(name, other, name_len) == 0;
}

/* The number that is asked for; NULL: none is. */
static const unsigned *
number_of(const struct pst_link_values *values, const char *name, size_t name_len)
{
	static const unsigned bits[] = {0, 1};

	if (is_named(name, name_len, "FCGI_MAX_CONNS"))
		return &values->connections;
	if (is_named(name, name_len, "FCGI_MAX_REQS"))
		return &values->requests;
	if (is_named(name, name_len, "FCGI_MPXS_CONNS"))
		return &bits[values->multiplexes];
	if (is_named(name, name_len, PST_SESSION_AHEAD_NAME) && values->ahead > 0)
		return &values->ahead;
	if (is_named(name, name_len, "PENSTOCK_STREAMS") && values->streams)
		return &bits[1];
	return NULL;
}

bool
pst_link_answer(struct pst_session *session, const struct pst_link_values *values, const char *name,
    size_t name_len)
{
	bool version = is_named(name, name_len, PST_SESSION_VERSION_NAME);
	const unsigned *number = number_of(values, name, name_len);
	char text[16];

	if (number)
		snprintf(text, sizeof(text), "%u", *number);
	else if (version)
		snprintf(text, sizeof(text), "%s", PST_SESSION_VERSION_VALUE);
	else if (is_named(name, name_len, PST_SESSION_FILES_NAME) && values->files)
		snprintf(text, sizeof(text), "%s", PST_SESSION_FILES_VALUE);
	else if (is_named(name, name_len, PST_SESSION_MEMORY_NAME) && values->files)
		snprintf(text, sizeof(text), "%s", PST_SESSION_MEMORY_VALUE);
	else
		return false;
	pst_session_submit_value(session, name, name_len, text, strlen(text));
	return version;
}

bool
pst_link_is_unix(int fd)
{
	int domain = AF_UNSPEC;
	socklen_t n = sizeof(domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) == 0 && domain == AF_UNIX;
}

void
pst_link_send_no_record(int fd)
{
	static const unsigned char no_record[8] = {0};

	send(fd, no_record, sizeof(no_record), MSG_DONTWAIT | MSG_NOSIGNAL);
}
