#include "gateway/ctl/show.h"

#include "gateway/ctl/table.h"
#include "gateway/escape.h"

#include <inttypes.h>
#include <string.h>

/* ---- words ---- */

#define WORD 512

/* VALUE, "" when it is NULL, fit for a terminal; WORD bytes of TEXT. */
static const char *
clean(const char *value, char text[WORD])
{
	size_t n = value ? pst_escape_line(text, WORD - 1, value, strlen(value)) : 0;

	text[n] = '\0';
	return text;
}

void
pst_show_text(FILE *out, const char *text)
{
	char safe[2048];

	fprintf(out, "%.*s\n", (int)pst_escape_line(safe, sizeof(safe), text, strlen(text)), safe);
}

/* "1.2 ms", "3.4 s", "2 h 13 min" */
static const char *
duration(uint64_t us, char text[WORD])
{
	uint64_t s = us / 1000000;

	if (us < 1000000)
		snprintf(text, WORD, "%" PRIu64 ".%" PRIu64 " ms", us / 1000, us % 1000 / 100);
	else if (s < 60)
		snprintf(text, WORD, "%" PRIu64 ".%" PRIu64 " s", s, us % 1000000 / 100000);
	else if (s < 3600)
		snprintf(text, WORD, "%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(text, WORD, "%" PRIu64 " h %" PRIu64 " min", s / 3600, s % 3600 / 60);
	else
		snprintf(text, WORD, "%" PRIu64 " d %" PRIu64 " h", s / 86400, s % 86400 / 3600);
	return text;
}

static const char *
duration_of(const struct pst_thing *thing, const char *key, char text[WORD])
{
	text[0] = '\0';
	return pst_thing_text(thing, key) ? duration(pst_thing_number(thing, key) * 1000, text)
					  : text;
}

/* "12.3 MiB" */
static const char *
bytes(uint64_t n, char text[WORD])
{
	if (n == 0)
		text[0] = '\0';
	else if (n < (uint64_t)1 << 30)
		snprintf(text, WORD, "%.1f MiB", (double)n / (1 << 20));
	else
		snprintf(text, WORD, "%.2f GiB", (double)n / (1 << 30));
	return text;
}

/* The number of KEY as it came; "" when nobody said one, as of a gateway that does not answer. */
static const char *
number_of(const struct pst_thing *thing, const char *key)
{
	const char *text = pst_thing_text(thing, key);

	return text && strspn(text, "0123456789") == strlen(text) ? text : "";
}

/* ---- the instance ---- */

static void
show_listeners(const struct pst_report *report, FILE *out)
{
	const struct pst_thing *listener = NULL;
	const char *before = "   listening at: ";
	char text[WORD];

	while ((listener = pst_report_next(report, "listener", listener))) {
		fprintf(out, "%s%s", before, clean(listener->name, text));
		before = ", ";
	}
	fputc('\n', out);
}

static void
show_gateway(const struct pst_thing *gateway, const char *number, FILE *out)
{
	char state[WORD], since[WORD];

	fprintf(out, "   gateway%s%s: ", *number ? " " : "", number);
	if (pst_thing_text(gateway, "pid"))
		fprintf(out, "pid %s, ", number_of(gateway, "pid"));
	fprintf(out, "%s", clean(pst_thing_text(gateway, "state"), state));
	if (pst_thing_text(gateway, "age_ms"))
		fprintf(out, " for %s", duration_of(gateway, "age_ms", since));
	if (pst_thing_text(gateway, "retry_ms"))
		fprintf(out, ", started again in %s", duration_of(gateway, "retry_ms", since));
	if (pst_thing_text(gateway, "requests"))
		fprintf(out, ", %s clients, %s requests", number_of(gateway, "clients"),
		    number_of(gateway, "requests"));
	else
		fprintf(out, ", does not say how it is");
	if (pst_thing_number(gateway, "websockets"))
		fprintf(out, ", %s WebSockets", number_of(gateway, "websockets"));
	fputc('\n', out);
}

static void
show_gateways(const struct pst_report *report, FILE *out)
{
	const struct pst_thing *gateway = pst_report_next(report, "gateway", NULL);
	bool are_several = gateway && pst_report_next(report, "gateway", gateway);
	const struct pst_thing *instance = pst_report_next(report, "instance", NULL);
	char number[WORD];

	do {
		show_gateway(gateway, are_several ? clean(gateway->name, number) : "", out);
		gateway = gateway ? pst_report_next(report, "gateway", gateway) : NULL;
	} while (gateway);
	if (pst_thing_number(instance, "gateways_leaving"))
		fprintf(out, "   older gateways that finish requests: %s\n",
		    number_of(instance, "gateways_leaving"));
}

static void
show_instance(const struct pst_report *report, FILE *out)
{
	const struct pst_thing *instance = pst_report_next(report, "instance", NULL);
	char title[WORD], version[WORD], phase[WORD], uptime[WORD], level[WORD], reload[WORD];

	fprintf(out, "penstock %s [%s] (pid %s): %s, up for %s\n",
	    clean(pst_thing_text(instance, "version"), version),
	    clean(pst_thing_text(instance, "title"), title), number_of(instance, "pid"),
	    clean(pst_thing_text(instance, "phase"), phase),
	    duration_of(instance, "uptime_ms", uptime));
	show_listeners(report, out);
	show_gateways(report, out);
	clean(pst_thing_text(instance, "reload"), reload);
	fprintf(out, "   log level: %s; reloads: %s%s%s%s\n",
	    clean(pst_thing_text(instance, "log_level"), level), number_of(instance, "reloads"),
	    strcmp(reload, "none") == 0 ? "" : " (the last one: ",
	    strcmp(reload, "none") == 0 ? "" : reload, strcmp(reload, "none") == 0 ? "" : ")");
}

/* ---- pools ---- */

static const char *
average_wait(const struct pst_thing *pool, char text[WORD])
{
	uint64_t count = pst_thing_number(pool, "wait.count");

	text[0] = '\0';
	return count ? duration(pst_thing_number(pool, "wait.sum_us") / count, text) : text;
}

static const char *
longest_wait(const struct pst_thing *pool, char text[WORD])
{
	text[0] = '\0';
	return pst_thing_number(pool, "wait.count")
		   ? duration(pst_thing_number(pool, "wait.max_us"), text)
		   : text;
}

/* "502: 1, broken: 2" */
static const char *
failures(const struct pst_thing *pool, char text[WORD])
{
	static const char prefix[] = "failed.";
	const struct pst_fact *fact;
	size_t used = 0;
	char name[WORD];

	text[0] = '\0';
	TAILQ_FOREACH (fact, &pool->facts, link) {
		if (strncmp(fact->key, prefix, sizeof(prefix) - 1) != 0 ||
		    pst_thing_number(pool, fact->key) == 0 || used >= WORD)
			continue;
		used += (size_t)snprintf(text + used, WORD - used, "%s%s: %" PRIu64,
		    used ? ", " : "", clean(fact->key + sizeof(prefix) - 1, name),
		    pst_thing_number(pool, fact->key));
	}
	return text;
}

/* Of pools whose workers are ours, which of ours they are. */
static const char *
kind_of(const struct pst_thing *pool)
{
	const char *adapter = pst_thing_text(pool, "adapter");

	return adapter ? adapter : pst_thing_text(pool, "kind");
}

static int
show_pools(const struct pst_report *report, FILE *out)
{
	static const char *const heads[] = {
	    "POOL", "KIND", "WORKERS", "QUEUED", "REQUESTS", "MEAN WAIT", "LONGEST", "FAILED"};
	const struct pst_thing *pool = NULL;
	struct pst_table table;
	int result;

	pst_table_init(&table, heads, sizeof(heads) / sizeof(heads[0]), 0x7c);
	while ((pool = pst_report_next(report, "pool", pool))) {
		char text[WORD];

		pst_table_add(&table, "%s", clean(pool->name, text));
		pst_table_add(&table, "%s", clean(kind_of(pool), text));
		pst_table_add(&table, "%s", number_of(pool, "workers"));
		pst_table_add(&table, "%s", number_of(pool, "queued"));
		pst_table_add(&table, "%s", number_of(pool, "requests"));
		pst_table_add(&table, "%s", average_wait(pool, text));
		pst_table_add(&table, "%s", longest_wait(pool, text));
		pst_table_add(&table, "%s", failures(pool, text));
	}
	result = pst_table_print(&table, out);
	pst_table_free(&table);
	return result;
}

/* ---- workers ---- */

/* What a usable one does is the gateway's to say. */
static const char *
state_of(const struct pst_thing *worker, char text[WORD])
{
	const char *state = pst_thing_text(worker, "state");
	const char *activity = pst_thing_text(worker, "activity");
	char wait[WORD];

	if (activity && (!state || strcmp(state, "usable") == 0))
		state = activity;
	clean(state, text);
	if (pst_thing_text(worker, "retry_ms"))
		snprintf(text, WORD, "starts in %s", duration_of(worker, "retry_ms", wait));
	return text;
}

static const char *
busy_with(const struct pst_thing *worker, char text[WORD])
{
	char request[WORD], since[WORD];

	clean(pst_thing_text(worker, "request"), request);
	if (request[0])
		snprintf(text, WORD, "%.400s for %.40s", request,
		    duration_of(worker, "request_ms", since));
	else
		text[0] = '\0';
	return text;
}

/* How many requests it runs of how many; nothing is said of one that has no choice. */
static const char *
load_of(const struct pst_thing *worker, char text[WORD])
{
	uint64_t capacity = pst_thing_number(worker, "capacity");

	text[0] = '\0';
	if (capacity > 0)
		snprintf(text, WORD, "%" PRIu64 "/%" PRIu64, pst_thing_number(worker, "running"),
		    capacity);
	return text;
}

static int
show_workers(const struct pst_report *report, FILE *out)
{
	static const char *const heads[] = {"WORKER", "PID", "GATEWAY", "STATE", "LOAD", "AGE",
	    "SERVED", "MEMORY", "FAILURES", "BUSY WITH"};
	const struct pst_thing *worker = NULL;
	struct pst_table table;
	int result;

	pst_table_init(&table, heads, sizeof(heads) / sizeof(heads[0]), 0x1f6);
	while ((worker = pst_report_next(report, "worker", worker))) {
		uint64_t pss = pst_thing_number(worker, "memory.pss");
		uint64_t rss = pst_thing_number(worker, "memory.rss");
		char text[WORD];

		pst_table_add(&table, "%s", clean(worker->name, text));
		pst_table_add(&table, "%s", number_of(worker, "pid"));
		pst_table_add(&table, "%s", number_of(worker, "gateway"));
		pst_table_add(&table, "%s", state_of(worker, text));
		pst_table_add(&table, "%s", load_of(worker, text));
		pst_table_add(&table, "%s", duration_of(worker, "age_ms", text));
		pst_table_add(&table, "%s", number_of(worker, "served"));
		pst_table_add(&table, "%s", bytes(pss ? pss : rss, text));
		pst_table_add(&table, "%s",
		    pst_thing_number(worker, "failures") ? number_of(worker, "failures") : "");
		pst_table_add(&table, "%s", busy_with(worker, text));
	}
	result = pst_table_print(&table, out);
	pst_table_free(&table);
	return result;
}

int
pst_show_report(const struct pst_report *report, FILE *out)
{
	show_instance(report, out);
	fputc('\n', out);
	if (show_pools(report, out) < 0)
		return -1;
	fputc('\n', out);
	return show_workers(report, out);
}
