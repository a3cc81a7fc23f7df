#include "gateway/conf_internal.h"
#include "gateway/conf_words.h"

#include <stdlib.h>
#include <string.h>

/* ---- defaults and variables ---- */

static int
set_defaults(struct pst_conf *conf, char *why)
{
	for (int id = 0; id < PST_OPT_COUNT; id++) {
		const char *standard = pst_options[id].standard;

		if (standard &&
		    pst_conf_set(conf, (enum pst_option_id)id, standard, PST_FROM_DEFAULT, why) < 0)
			return -1;
	}
	return 0;
}

/* PORT means all addresses, because who sets it (a platform) routes to the container. */
static int
set_port(struct pst_conf *conf, char *why)
{
	const char *port = getenv("PORT");
	char address[64];

	if (!port || !*port)
		return 0;
	snprintf(address, sizeof(address), "0.0.0.0:%.32s", port);
	if (pst_conf_set(conf, PST_OPT_BIND, address, PST_FROM_VARIABLE, why) < 0)
		return pst_conf_say(
		    why, "the environment has PORT='%.100s', which is no port", port);
	return 0;
}

static int
set_workers(struct pst_conf *conf, char *why)
{
	const char *workers = getenv("WEB_CONCURRENCY");

	if (!workers || !*workers)
		return 0;
	if (pst_conf_set(conf, PST_OPT_WORKERS, workers, PST_FROM_VARIABLE, why) < 0)
		return pst_conf_say(why,
		    "the environment has WEB_CONCURRENCY='%.100s', which is no number of workers "
		    "from 1 to 1024",
		    workers);
	return 0;
}

/*
 * The same variable that gunicorn and uvicorn read. An empty one trusts nobody, so it counts, too.
 */
static int
set_forwarded_allow_ips(struct pst_conf *conf, char *why)
{
	const char *list = getenv("FORWARDED_ALLOW_IPS");

	return list ? pst_conf_set(conf, PST_OPT_FORWARDED_ALLOW_IPS, list, PST_FROM_VARIABLE, why)
		    : 0;
}

static int
read_cmd_args(struct pst_conf *conf, const char *program, char *why)
{
	const char *text = getenv("PENSTOCK_CMD_ARGS"), *reason;
	struct pst_words words;
	int result;

	if (!text)
		return 0;
	if (pst_words_split(&words, program, text, &reason) < 0)
		return pst_conf_say(why, "PENSTOCK_CMD_ARGS cannot be read: %s", reason);
	result = pst_conf_read_line(conf, words.count, words.word, PST_FROM_CMD_ARGS, why);
	pst_words_free(&words);
	return result;
}

/* getopt_long() changes the order of what it reads, so it gets a copy. */
static int
read_command_line(struct pst_conf *conf, int argc, char *const *argv, char *why)
{
	char **copy = calloc((size_t)argc + 1, sizeof(*copy));
	int result;

	if (!copy)
		return pst_conf_say(why, "out of memory");
	memcpy(copy, argv, (size_t)argc * sizeof(*copy));
	result = pst_conf_read_line(conf, argc, copy, PST_FROM_COMMAND_LINE, why);
	free(copy);
	return result;
}

/* ---- what the header lists ---- */

enum pst_conf_wish
pst_conf_read(struct pst_conf *conf, int argc, char *const *argv, char why[PST_CONF_WHY])
{
	const char *app;

	if (set_defaults(conf, why) < 0 || set_port(conf, why) < 0 || set_workers(conf, why) < 0 ||
	    set_forwarded_allow_ips(conf, why) < 0 || read_cmd_args(conf, argv[0], why) < 0 ||
	    read_command_line(conf, argc, argv, why) < 0)
		return PST_CONF_ERROR;
	if (pst_conf_text(conf, PST_OPT_HELP))
		return PST_CONF_HELP;
	if (pst_conf_text(conf, PST_OPT_VERSION))
		return PST_CONF_VERSION;
	if (pst_conf_text(conf, PST_OPT_CONFIG)) {
		pst_conf_say(why, "--config: this version reads no file yet");
		return PST_CONF_ERROR;
	}
	app = pst_conf_app(conf);
	if (!app || !*app) {
		pst_conf_say(why, "no application was named: say MODULE:CALLABLE, for example "
				  "'penstock -b :8000 shop.wsgi:application', or ./PLUGIN.so");
		return PST_CONF_ERROR;
	}
	if (!pst_conf_add_pool(conf, NULL)) {
		pst_conf_say(why, "out of memory");
		return PST_CONF_ERROR;
	}
	return PST_CONF_RUN;
}
