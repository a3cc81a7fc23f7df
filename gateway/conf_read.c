#include "gateway/conf_internal.h"
#include "gateway/conf_words.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- defaults and variables ---- */

static void
set_defaults(struct pst_conf *conf)
{
	char why[PST_CONF_WHY];

	for (int id = 0; id < PST_OPT_COUNT; id++) {
		const char *standard = pst_options[id].standard;

		if (standard &&
		    pst_conf_set(conf, (enum pst_option_id)id, standard, PST_FROM_DEFAULT, why) < 0)
			pst_conf_mistake(conf, "%s", why);
	}
}

/* PORT means all addresses, because who sets it (a platform) routes to the container. */
static void
set_port(struct pst_conf *conf)
{
	const char *port = getenv("PORT");
	char address[64], why[PST_CONF_WHY];

	if (!port || !*port)
		return;
	snprintf(address, sizeof(address), "0.0.0.0:%.32s", port);
	if (pst_conf_set(conf, PST_OPT_BIND, address, PST_FROM_VARIABLE, why) < 0)
		pst_conf_mistake(conf, "the environment has PORT='%.100s', which is no port", port);
}

static void
set_workers(struct pst_conf *conf)
{
	const char *workers = getenv("WEB_CONCURRENCY");
	char why[PST_CONF_WHY];

	if (!workers || !*workers)
		return;
	if (pst_conf_set(conf, PST_OPT_WORKERS, workers, PST_FROM_VARIABLE, why) < 0)
		pst_conf_mistake(conf,
		    "the environment has WEB_CONCURRENCY='%.100s', which is no number of workers "
		    "from 1 to 1024",
		    workers);
}

/*
 * The same variable that gunicorn and uvicorn read. An empty one trusts nobody, so it counts, too.
 */
static void
set_forwarded_allow_ips(struct pst_conf *conf)
{
	const char *list = getenv("FORWARDED_ALLOW_IPS");
	char why[PST_CONF_WHY];

	if (list &&
	    pst_conf_set(conf, PST_OPT_FORWARDED_ALLOW_IPS, list, PST_FROM_VARIABLE, why) < 0)
		pst_conf_mistake(conf, "the environment's FORWARDED_ALLOW_IPS %s", why);
}

/* ---- command lines ---- */

static void
read_cmd_args(struct pst_conf *conf, const char *program)
{
	const char *text = getenv("PENSTOCK_CMD_ARGS"), *reason;
	struct pst_words words;

	if (!text)
		return;
	if (pst_words_split(&words, program, text, &reason) < 0) {
		pst_conf_mistake(conf, "PENSTOCK_CMD_ARGS cannot be read: %s", reason);
		return;
	}
	pst_conf_read_line(conf, words.count, words.word, PST_FROM_CMD_ARGS);
	pst_words_free(&words);
}

/* getopt_long() changes the order of what it reads, so it gets a copy. */
static void
read_command_line(struct pst_conf *conf, int argc, char *const *argv)
{
	char **copy = calloc((size_t)argc + 1, sizeof(*copy));

	if (!copy) {
		pst_conf_mistake(conf, "out of memory");
		return;
	}
	memcpy(copy, argv, (size_t)argc * sizeof(*copy));
	pst_conf_read_line(conf, argc, copy, PST_FROM_COMMAND_LINE);
	free(copy);
}

/* ---- what the header lists ---- */

static enum pst_conf_wish
wish(const struct pst_conf *conf)
{
	if (pst_conf_mistake_count(conf))
		return PST_CONF_ERROR;
	if (pst_conf_text(conf, PST_OPT_HELP))
		return PST_CONF_HELP;
	if (pst_conf_text(conf, PST_OPT_VERSION))
		return PST_CONF_VERSION;
	if (pst_conf_text(conf, PST_OPT_CHECK_CONFIG))
		return PST_CONF_CHECK;
	return pst_conf_text(conf, PST_OPT_PRINT_CONFIG) ? PST_CONF_PRINT : PST_CONF_RUN;
}

enum pst_conf_wish
pst_conf_read(struct pst_conf *conf, int argc, char *const *argv)
{
	const char *file;

	set_defaults(conf);
	set_port(conf);
	set_workers(conf);
	set_forwarded_allow_ips(conf);
	read_cmd_args(conf, argv[0]);
	read_command_line(conf, argc, argv);
	if (wish(conf) == PST_CONF_HELP || wish(conf) == PST_CONF_VERSION)
		return wish(conf);
	file = pst_conf_text(conf, PST_OPT_CONFIG);
	if (file)
		pst_conf_read_file(conf, file);
	pst_conf_check_whole(conf);
	return wish(conf);
}
