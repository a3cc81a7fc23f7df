#include "gateway/address.h"
#include "gateway/arbiter/identity.h"
#include "gateway/conf_internal.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is looked at: the settings of TOP, or of one of its pools. */
struct probe {
	struct pst_conf *top;
	const struct pst_conf *conf;
	char directory[PATH_MAX]; /* to which paths are relative; empty: the current one */
};

static void mistake(struct probe *probe, enum pst_option_id id, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void
mistake(struct probe *probe, enum pst_option_id id, const char *format, ...)
{
	char what[PST_CONF_WHY], where[PST_CONF_WHERE];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	pst_conf_mistake(
	    probe->top, "%s %s", pst_conf_where(probe->top, probe->conf, id, where), what);
}

/* NAME, seen from the directory of PROBE. */
static const char *
seen_from(const struct probe *probe, const char *name, char path[2 * PATH_MAX])
{
	bool is_relative = *name != '/' && *probe->directory;

	snprintf(path, 2 * PATH_MAX, "%s%s%s", is_relative ? probe->directory : "",
	    is_relative ? "/" : "", name);
	return path;
}

/* ---- files ---- */

static void
probe_directory(struct probe *probe, enum pst_option_id id)
{
	const char *name = pst_conf_text(probe->conf, id);
	char path[2 * PATH_MAX];
	struct stat status;

	if (!name)
		return;
	if (stat(seen_from(probe, name, path), &status) < 0)
		mistake(probe, id, "names %.200s: %s", name, strerror(errno));
	else if (!S_ISDIR(status.st_mode))
		mistake(probe, id, "names %.200s, which is no directory", name);
}

/* A file that will be made: its directory is there. A name is for what could be made. */
static void
probe_new_file(struct probe *probe, enum pst_option_id id, const char *name)
{
	char path[2 * PATH_MAX], *slash;
	struct stat status;

	seen_from(probe, name, path);
	if (stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
		mistake(probe, id, "names %.200s, which is a directory", name);
		return;
	}
	slash = strrchr(path, '/');
	if (!slash)
		return;
	slash[slash == path ? 1 : 0] = '\0';
	if (stat(path, &status) < 0 || !S_ISDIR(status.st_mode))
		mistake(probe, id, "names %.200s, but there is no directory %.200s", name, path);
}

static void
probe_log(struct probe *probe, enum pst_option_id id)
{
	const char *name = pst_conf_text(probe->conf, id);

	if (name && strcmp(name, "-") != 0)
		probe_new_file(probe, id, name);
}

static void
probe_program(struct probe *probe, enum pst_option_id id)
{
	const char *name = pst_conf_text(probe->conf, id);
	char path[2 * PATH_MAX];

	if (name && strchr(name, '/') && access(seen_from(probe, name, path), X_OK) < 0)
		mistake(probe, id, "names %.200s, which cannot be run: %s", name, strerror(errno));
}

/* ---- addresses and users ---- */

static void
probe_host(struct probe *probe, const char *text, const struct pst_address *address)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found = NULL;
	int error = getaddrinfo(address->host, address->port, &hints, &found);

	if (error)
		mistake(probe, PST_OPT_BIND, "cannot use '%.200s': %s", text, gai_strerror(error));
	else
		freeaddrinfo(found);
}

static void
probe_listeners(struct probe *probe)
{
	for (size_t i = 0; i < pst_conf_count(probe->conf, PST_OPT_BIND); i++) {
		const char *text = pst_conf_item(probe->conf, PST_OPT_BIND, i), *why;
		struct pst_address address;

		if (pst_address_parse(&address, text, &why) < 0)
			continue;
		if (address.kind == PST_ADDRESS_UNIX)
			probe_new_file(probe, PST_OPT_BIND, address.path);
		else if (address.kind == PST_ADDRESS_INET)
			probe_host(probe, text, &address);
	}
}

static void
probe_identity(struct probe *probe)
{
	struct pst_identity identity;
	enum pst_option_id id =
	    pst_conf_text(probe->conf, PST_OPT_USER) ? PST_OPT_USER : PST_OPT_GROUP;
	char why[PST_CONF_WHY];

	if (pst_identity_find(&identity, probe->conf, why) < 0)
		mistake(probe, id, "cannot be had: %s", why);
	else
		pst_identity_free(&identity);
}

/* ---- what the header lists ---- */

static void
probe_top(struct probe *probe)
{
	probe_directory(probe, PST_OPT_CHDIR);
	if (pst_conf_text(probe->conf, PST_OPT_CHDIR))
		snprintf(probe->directory, sizeof(probe->directory), "%s",
		    pst_conf_text(probe->conf, PST_OPT_CHDIR));
	probe_listeners(probe);
	probe_directory(probe, PST_OPT_SPOOL_DIR);
	probe_log(probe, PST_OPT_ACCESS_LOGFILE);
	probe_log(probe, PST_OPT_ERROR_LOGFILE);
	if (pst_conf_text(probe->conf, PST_OPT_PID))
		probe_new_file(probe, PST_OPT_PID, pst_conf_text(probe->conf, PST_OPT_PID));
	if (pst_conf_text(probe->conf, PST_OPT_CONTROL_SOCKET))
		probe_new_file(probe, PST_OPT_CONTROL_SOCKET,
		    pst_conf_text(probe->conf, PST_OPT_CONTROL_SOCKET));
	probe_identity(probe);
	probe_program(probe, PST_OPT_PYTHON);
}

/* What the pool says for itself; the rest was seen at the top. */
static void
probe_pool(struct probe *probe)
{
	probe_directory(probe, PST_OPT_CHDIR);
	if (pst_conf_is_own(probe->conf, PST_OPT_USER) ||
	    pst_conf_is_own(probe->conf, PST_OPT_GROUP))
		probe_identity(probe);
	if (pst_conf_is_own(probe->conf, PST_OPT_PYTHON))
		probe_program(probe, PST_OPT_PYTHON);
	probe_program(probe, PST_OPT_COMMAND);
	probe_directory(probe, PST_OPT_ROOT);
}

void
pst_conf_probe(struct pst_conf *conf)
{
	struct probe top = {.top = conf, .conf = conf};

	probe_top(&top);
	for (size_t i = 0; i < pst_conf_pool_count(conf); i++) {
		struct probe probe = top;

		probe.conf = pst_conf_pool(conf, i);
		probe_pool(&probe);
	}
}
