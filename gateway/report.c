#include "gateway/report.h"

#include "gateway/status_line.h"
#include "protocol/error.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
pst_report_init(struct pst_report *report)
{
	TAILQ_INIT(&report->things);
}

static void
thing_free(struct pst_thing *thing)
{
	struct pst_fact *fact;

	while ((fact = TAILQ_FIRST(&thing->facts))) {
		TAILQ_REMOVE(&thing->facts, fact, link);
		free(fact);
	}
	free(thing);
}

void
pst_report_free(struct pst_report *report)
{
	struct pst_thing *thing;

	while ((thing = TAILQ_FIRST(&report->things))) {
		TAILQ_REMOVE(&report->things, thing, link);
		thing_free(thing);
	}
}

/* ---- taking lines ---- */

static struct pst_thing *
find_thing(struct pst_report *report, const char *section, const char *name)
{
	size_t length = strlen(section) + 1;
	struct pst_thing *thing;

	TAILQ_FOREACH (thing, &report->things, link)
		if (strcmp(thing->section, section) == 0 && strcmp(thing->name, name) == 0)
			return thing;
	thing = malloc(sizeof(*thing) + length + strlen(name) + 1);
	if (!thing)
		return NULL;
	TAILQ_INIT(&thing->facts);
	memcpy(thing->section, section, length);
	thing->name = strcpy(thing->section + length, name);
	TAILQ_INSERT_TAIL(&report->things, thing, link);
	return thing;
}

static struct pst_fact *
find_fact(const struct pst_thing *thing, const char *key)
{
	struct pst_fact *fact;

	TAILQ_FOREACH (fact, &thing->facts, link)
		if (strcmp(fact->key, key) == 0)
			return fact;
	return NULL;
}

static int
set_fact(struct pst_thing *thing, const char *key, const char *value)
{
	size_t length = strlen(key) + 1;
	struct pst_fact *old = find_fact(thing, key);
	struct pst_fact *fact = malloc(sizeof(*fact) + length + strlen(value) + 1);

	if (!fact)
		return PST_ERR_NOMEM;
	memcpy(fact->key, key, length);
	fact->value = strcpy(fact->key + length, value);
	if (old) {
		TAILQ_INSERT_BEFORE(old, fact, link);
		TAILQ_REMOVE(&thing->facts, old, link);
		free(old);
	} else {
		TAILQ_INSERT_TAIL(&thing->facts, fact, link);
	}
	return 0;
}

/* Puts a fact that was told of THING into it: 0, or a code. */
typedef int put_fn(struct pst_thing *thing, const char *key, const char *value);

static int
put_all(struct pst_report *report, const struct pst_control *line, put_fn *put)
{
	struct pst_thing *thing;

	if (line->count < 3 || line->count % 2 == 0 || strcmp(line->words[0], "STATUS") != 0)
		return PST_ERR_PROTOCOL;
	thing = find_thing(report, line->words[1], line->words[2]);
	if (!thing)
		return PST_ERR_NOMEM;
	for (unsigned i = 3; i < line->count; i += 2) {
		int err = put(thing, line->words[i], line->words[i + 1]);

		if (err)
			return err;
	}
	return 0;
}

int
pst_report_take(struct pst_report *report, const struct pst_control *line)
{
	return put_all(report, line, set_fact);
}

static bool
is_greatest(const char *key)
{
	const char *last = strrchr(key, '.');

	last = last ? last + 1 : key;
	return strcmp(last, "oldest_ms") == 0 || strcmp(last, "max_us") == 0 ||
	       strcmp(last, "lag_max_us") == 0;
}

static bool
is_number(const char *text)
{
	return *text && text[strspn(text, "0123456789")] == '\0';
}

static int
add_fact(struct pst_thing *thing, const char *key, const char *value)
{
	const struct pst_fact *old = find_fact(thing, key);
	uint64_t before, more;
	char text[24];

	if (!old || !is_number(old->value) || !is_number(value))
		return set_fact(thing, key, value);
	before = strtoull(old->value, NULL, 10);
	more = strtoull(value, NULL, 10);
	if (!is_greatest(key))
		before += more;
	else if (more > before)
		before = more;
	snprintf(text, sizeof(text), "%" PRIu64, before);
	return set_fact(thing, key, text);
}

int
pst_report_add(struct pst_report *report, const struct pst_control *line)
{
	return put_all(report, line, add_fact);
}

/* ---- reading ---- */

const struct pst_thing *
pst_report_next(const struct pst_report *report, const char *section, const struct pst_thing *thing)
{
	thing = thing ? TAILQ_NEXT(thing, link) : TAILQ_FIRST(&report->things);
	while (thing && strcmp(thing->section, section) != 0)
		thing = TAILQ_NEXT(thing, link);
	return thing;
}

const char *
pst_thing_text(const struct pst_thing *thing, const char *key)
{
	const struct pst_fact *fact = thing ? find_fact(thing, key) : NULL;

	return fact ? fact->value : NULL;
}

uint64_t
pst_thing_number(const struct pst_thing *thing, const char *key)
{
	const char *text = pst_thing_text(thing, key);

	return text ? strtoull(text, NULL, 10) : 0;
}

/* ---- telling others ---- */

int
pst_report_write(const struct pst_report *report, struct pst_buf *out)
{
	const struct pst_thing *thing;
	const struct pst_fact *fact;
	struct pst_status_line line;
	int result = 0;

	TAILQ_FOREACH (thing, &report->things, link) {
		pst_status_begin(&line, out, thing->section, thing->name);
		TAILQ_FOREACH (fact, &thing->facts, link)
			pst_status_text(&line, fact->key, fact->value);
		result |= pst_status_end(&line);
	}
	return result;
}
