#include "gateway/arbiter/command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* title, --worker-id, ID, --graceful-timeout, N, --threads or --capacity, N, --option, workers=N,
 * --option, model=auto, --, APP, NULL */
#define FIXED_WORDS 14
/* As the shell has it where PATH is not set. */
#define STANDARD_PATH "/usr/local/bin:/usr/bin:/bin"
/* A name for each option, and what is made for each worker: title, number, workers=N, model=auto */
#define OWNED_WORDS (PST_OPT_COUNT + 4)

struct words {
	struct pst_command *command;
	size_t count;
	bool failed;
};

static void
add(struct words *words, const char *word)
{
	words->command->argv[words->count++] = (char *)(uintptr_t)word;
}

static const char *__attribute__((format(printf, 2, 3)))
own(struct words *words, const char *format, ...)
{
	char *text = NULL;
	va_list args;
	int length;

	va_start(args, format);
	length = vasprintf(&text, format, args);
	va_end(args);
	if (length < 0) {
		words->failed = true;
		return "";
	}
	words->command->owned[words->command->owned_count++] = text;
	return text;
}

static void __attribute__((format(printf, 2, 3)))
add_plugin_option(struct words *words, const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	add(words, "--option");
	add(words, own(words, "%s", text));
}

/* Every option that goes to workers, as --name value. */
static void
add_options(struct words *words, const struct pst_conf *conf)
{
	for (int i = 0; i < PST_OPT_COUNT; i++) {
		enum pst_option_id id = (enum pst_option_id)i;
		size_t count = pst_options[id].to == PST_TO_WORKER ? pst_conf_count(conf, id) : 0;
		const char *name = count ? own(words, "--%s", pst_options[id].name) : NULL;

		for (size_t item = 0; item < count; item++) {
			add(words, name);
			add(words, pst_conf_item(conf, id, item));
		}
	}
}

/* Every option that goes to plugins of MODEL, as --option name=value. */
static void
add_plugin_options(struct words *words, const struct pst_conf *conf, enum pst_model model)
{
	struct pst_worker_class class;

	pst_worker_class_of(conf, &class);
	add_plugin_option(words, "workers=%lu", pst_conf_number(conf, PST_OPT_WORKERS));
	if (class.is_auto)
		add_plugin_option(words, "model=auto");
	for (int i = 0; i < PST_OPT_COUNT; i++) {
		enum pst_option_id id = (enum pst_option_id)i;
		const char *value = pst_conf_text(conf, id);

		if (pst_options[id].to != PST_TO_PLUGIN || !value ||
		    !pst_model_has_option(model, id))
			continue;
		if (id == PST_OPT_LOOP && class.loop)
			value = class.loop;
		add_plugin_option(words, "%s=%s", pst_options[id].name, value);
	}
}

static size_t
count_words(const struct pst_conf *conf)
{
	size_t count = FIXED_WORDS + pst_conf_count(conf, PST_OPT_COMMAND);

	for (int id = 0; id < PST_OPT_COUNT; id++)
		if (pst_options[id].to == PST_TO_WORKER || pst_options[id].to == PST_TO_PLUGIN)
			count += 2 * pst_conf_count(conf, (enum pst_option_id)id);
	return count;
}

static void
add_adapter(struct words *words, const struct pst_conf *conf, const char *id, enum pst_model model)
{
	static const char *const capacity[PST_MODELS] = {
	    [PST_MODEL_THREADED] = "--threads", [PST_MODEL_ASYNC] = "--capacity"};
	const char *adapter = pst_model_name(model);

	add(words, own(words, "penstock: %s [%.100s]", adapter, pst_conf_title(conf)));
	add(words, "--worker-id");
	add(words, id);
	add(words, "--graceful-timeout");
	add(words, pst_conf_text(conf, PST_OPT_GRACEFUL_TIMEOUT));
	if (capacity[model]) {
		add(words, capacity[model]);
		add(words, own(words, "%lu", pst_model_capacity(model, conf)));
	}
	add_plugin_options(words, conf, model);
	add_options(words, conf);
	add(words, "--");
	add(words, pst_conf_app(conf));
	if (asprintf(&words->command->file, "%s/%s", PST_LIBEXECDIR, adapter) < 0)
		words->failed = true;
}

/* Where the PATH has NAME; NULL without memory. What is nowhere stays as it is: exec says so. */
static char *
find_program(const char *name)
{
	const char *path = getenv("PATH");
	char *file = NULL;

	if (!path)
		path = STANDARD_PATH;
	for (size_t length; !strchr(name, '/') && *path; path += length + (path[length] == ':')) {
		length = strcspn(path, ":");
		if (asprintf(&file, "%.*s/%s", (int)length, path, name) < 0)
			return NULL;
		if (length > 0 && access(file, X_OK) == 0)
			return file;
		free(file);
	}
	return strdup(name);
}

static void
add_program(struct words *words, const struct pst_conf *conf)
{
	for (size_t i = 0; i < pst_conf_count(conf, PST_OPT_COMMAND); i++)
		add(words, pst_conf_item(conf, PST_OPT_COMMAND, i));
	words->command->file = find_program(words->command->argv[0]);
	if (!words->command->file)
		words->failed = true;
}

int
pst_command_make(
    struct pst_command *command, const struct pst_conf *conf, const char *id, enum pst_model model)
{
	struct words words = {.command = command};

	memset(command, 0, sizeof(*command));
	command->argv = calloc(count_words(conf), sizeof(*command->argv));
	command->owned = calloc(OWNED_WORDS, sizeof(*command->owned));
	if (!command->argv || !command->owned)
		words.failed = true;
	else if (pst_conf_pool_kind(conf) == PST_POOL_PROGRAM)
		add_program(&words, conf);
	else
		add_adapter(&words, conf, id, model);
	if (!words.failed)
		return 0;
	pst_command_free(command);
	errno = ENOMEM;
	return -1;
}

void
pst_command_free(struct pst_command *command)
{
	for (size_t i = 0; i < command->owned_count; i++)
		free(command->owned[i]);
	free(command->owned);
	free(command->argv);
	free(command->file);
	memset(command, 0, sizeof(*command));
}
