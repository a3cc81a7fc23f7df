#include "gateway/arbiter/gate.h"

#include "gateway/arbiter/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define OPTION_KEY 64

/* Of a limit that holds for all gateways together each has its share. */
static bool
is_shared(enum pst_option_id id)
{
	return id == PST_OPT_QUEUE_LIMIT || id == PST_OPT_CONNECTIONS || id == PST_OPT_SPOOL_SIZE;
}

/* What of CONF stands in SCOPE and is for GATE; of pool NAME, unless that is NULL. */
static void
send_scope(struct pst_gate *gate, const struct pst_conf *conf, enum pst_option_scope scope,
    const char *name)
{
	char key[OPTION_KEY], part[24];

	for (int i = 0; i < PST_OPT_COUNT; i++) {
		enum pst_option_id id = (enum pst_option_id)i;
		const char *value = pst_conf_text(conf, id);

		if (pst_options[id].to != PST_TO_GATEWAY || pst_options[id].scope != scope ||
		    !value)
			continue;
		pst_option_key(id, key, sizeof(key));
		if (is_shared(id)) {
			snprintf(part, sizeof(part), "%llu",
			    pst_share_part(gate->share, strtoull(value, NULL, 10)));
			value = part;
		}
		pst_channel_send(gate->child.channel, "SET", key, value, name, NULL);
	}
}

static void
send_pool(struct pst_gate *gate, const struct pst_scope *scope)
{
	static const char *const kinds[] = {
	    [PST_POOL_APP] = "app",
	    [PST_POOL_PROGRAM] = "program",
	    [PST_POOL_REMOTE] = "remote",
	};

	pst_channel_send(gate->child.channel, "POOL", scope->name, kinds[scope->kind], NULL);
	send_scope(gate, scope->conf, PST_SCOPE_POOL, scope->name);
}

static void
send_routes(struct pst_channel *channel, const struct pst_conf *conf)
{
	for (size_t i = 0; i < pst_conf_route_count(conf); i++) {
		const struct pst_conf_route *route = pst_conf_route(conf, i);

		pst_channel_send(channel, "ROUTE", route->host, route->path, route->pool,
		    route->mount ? "mount" : "plain", NULL);
	}
}

void
pst_gate_send_settings(struct pst_gate *gate)
{
	const struct pst_generation *generation = gate->generation;
	struct pst_channel *channel = gate->child.channel;

	send_scope(gate, generation->conf, PST_SCOPE_TOP, NULL);
	if (gate->arbiter->log_level)
		pst_channel_send(channel, "SET", "log_level", gate->arbiter->log_level, NULL);
	pst_channel_send(channel, "SET", "runtime_dir", gate->arbiter->rundir.path, NULL);
	if (gate->role == PST_GATE_SUCCESSOR)
		pst_channel_send(channel, "SET", "successor", "on", NULL);
	for (size_t i = 0; i < generation->count; i++)
		send_pool(gate, generation->pools[i]);
	send_routes(channel, generation->conf);
}

void
pst_gate_send_listeners(struct pst_gate *gate)
{
	const struct pst_listeners *listeners = &gate->generation->listeners;

	for (size_t i = 0; i < listeners->count; i++)
		pst_channel_send_fd(gate->child.channel, listeners->list[i]->fd, "LISTEN",
		    listeners->list[i]->name, NULL);
}

/* Its place on the board. */
static unsigned
place_of(const struct pst_gate *gate)
{
	unsigned place = 0;

	while (!(gate->bit >> place & 1))
		place++;
	return place;
}

void
pst_gate_send_board(struct pst_gate *gate)
{
	const struct pst_gate *other;
	pst_gate_set mates = 0;
	char place[16], text[24];

	if (gate->share.of == 1)
		return;
	TAILQ_FOREACH (other, &gate->arbiter->gates, link)
		if (other != gate && other->generation == gate->generation)
			mates |= other->bit;
	snprintf(place, sizeof(place), "%u", place_of(gate));
	snprintf(text, sizeof(text), "%" PRIu64, mates);
	pst_channel_send_fd(
	    gate->child.channel, gate->arbiter->board_fd, "BOARD", place, text, NULL);
}

void
pst_gate_hide(const struct pst_gate *gate)
{
	if (gate->arbiter->board.words)
		pst_board_hide(&gate->arbiter->board, place_of(gate));
}

void
pst_gate_send_unlisten(struct pst_gate *gate, const struct pst_generation *next)
{
	const struct pst_listeners *listeners = &gate->generation->listeners;

	if (!gate->child.channel)
		return;
	for (size_t i = 0; i < listeners->count; i++)
		if (pst_listeners_have(&next->listeners, listeners->list[i]))
			pst_channel_send(
			    gate->child.channel, "UNLISTEN", listeners->list[i]->name, NULL);
}
