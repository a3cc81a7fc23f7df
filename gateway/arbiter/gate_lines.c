#include "gateway/arbiter/gate.h"

#include "gateway/arbiter/state.h"

#define OPTION_KEY 64

/* What of CONF stands in SCOPE and is for the gateway; of pool NAME, unless that is NULL. */
static void
send_scope(struct pst_channel *channel, const struct pst_conf *conf, enum pst_option_scope scope,
    const char *name)
{
	char key[OPTION_KEY];

	for (int i = 0; i < PST_OPT_COUNT; i++) {
		enum pst_option_id id = (enum pst_option_id)i;
		const char *value = pst_conf_text(conf, id);

		if (pst_options[id].to != PST_TO_GATEWAY || pst_options[id].scope != scope ||
		    !value)
			continue;
		pst_option_key(id, key, sizeof(key));
		pst_channel_send(channel, "SET", key, value, name, NULL);
	}
}

static void
send_pool(struct pst_channel *channel, const struct pst_scope *scope)
{
	static const char *const kinds[] = {
	    [PST_POOL_APP] = "app",
	    [PST_POOL_PROGRAM] = "program",
	    [PST_POOL_REMOTE] = "remote",
	};

	pst_channel_send(channel, "POOL", scope->name, kinds[scope->kind], NULL);
	send_scope(channel, scope->conf, PST_SCOPE_POOL, scope->name);
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

	send_scope(channel, generation->conf, PST_SCOPE_TOP, NULL);
	if (gate->arbiter->log_level)
		pst_channel_send(channel, "SET", "log_level", gate->arbiter->log_level, NULL);
	pst_channel_send(channel, "SET", "runtime_dir", gate->arbiter->rundir.path, NULL);
	for (size_t i = 0; i < generation->count; i++)
		send_pool(channel, generation->pools[i]);
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

void
pst_gate_send_unlisten(struct pst_gate *gate, const struct pst_gate *successor)
{
	const struct pst_listeners *listeners = &gate->generation->listeners;

	if (!gate->child.channel)
		return;
	for (size_t i = 0; i < listeners->count; i++)
		if (pst_listeners_have(&successor->generation->listeners, listeners->list[i]))
			pst_channel_send(
			    gate->child.channel, "UNLISTEN", listeners->list[i]->name, NULL);
}
