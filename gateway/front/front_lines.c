#include "gateway/front/front_internal.h"
#include "gateway/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* SET name value */
static void
on_set(struct pst_front *front, const struct pst_control *line)
{
	const char *name = line->words[1], *value = line->words[2];
	const char *reason = pst_settings_set(&front->settings, name, value);

	if (reason != NULL)
		pst_log_warning("setting %s of \"%s\" is ignored: %s", name, value, reason);
	pst_log_set_level(front->settings.log_level);
}

/* SET name value pool */
static void
on_set_pool(struct pst_front *front, const struct pst_control *line)
{
	const char *name = line->words[1], *value = line->words[2], *of = line->words[3];
	struct pst_front_pool *pool = pst_front_pools_find(&front->pools, of);
	const char *reason = "there is no such pool";

	if (pool != NULL)
		reason = pst_pool_settings_set(&pool->settings, name, value);
	if (reason != NULL)
		pst_log_warning(
		    "setting %s of \"%s\" of pool %s is ignored: %s", name, value, of, reason);
}

/* POOL name kind */
static void
on_pool(struct pst_front *front, const struct pst_control *line)
{
	const char *reason = pst_front_pools_add(&front->pools, line->words[1], line->words[2]);
	char text[256];

	if (reason == NULL)
		return;
	snprintf(text, sizeof(text), "pool %.100s: %s", line->words[1], reason);
	pst_front_refuse(front, text);
}

/* ROUTE host path pool mount */
static void
on_route(struct pst_front *front, const struct pst_control *line)
{
	struct pst_front_pool *pool = pst_front_pools_find(&front->pools, line->words[3]);
	bool mount = strcmp(line->words[4], "mount") == 0;
	const char *reason = "there is no such pool";
	char text[512];

	if (pool != NULL)
		reason =
		    pst_routes_add(&front->routes, line->words[1], line->words[2], mount, pool);
	if (reason == NULL)
		return;
	snprintf(text, sizeof(text), "route %.100s%.200s to pool %.32s: %s", line->words[1],
	    line->words[2], line->words[3], reason);
	pst_front_refuse(front, text);
}

/* BOARD place mates +fd: MATES is a number whose bits are places. */
static void
on_board(struct pst_front *front, const struct pst_control *line)
{
	int fd = pst_uplink_take_fd(front->uplink);
	unsigned long place = strtoul(line->words[1], NULL, 10);
	struct pst_board board = {0};

	if (fd == -1 || place >= PST_BOARD_PLACES || pst_board_map(&board, fd) == -1)
		pst_front_give_up(front, "what it shares with other gateways cannot be mapped");
	else
		pst_acceptor_share(
		    front->acceptor, &board, (unsigned)place, strtoull(line->words[2], NULL, 10));
	if (fd != -1)
		close(fd);
}

static void
on_listen(struct pst_front *front, const struct pst_control *line)
{
	int fd = pst_uplink_take_fd(front->uplink);

	if (fd == -1) {
		pst_front_give_up(front, "a listener came without its descriptor");
	} else if (pst_acceptor_add(front->acceptor, fd, line->words[1]) == -1) {
		close(fd);
		pst_front_give_up(front, "out of memory");
	}
}

/* Of lines that the access log has not, the error log tells. */
static size_t
dropped_line(void *arg, uint64_t count, int error, char *line, size_t size)
{
	(void)arg;
	(void)line;
	(void)size;
	if (error == 0)
		pst_log_warning("%" PRIu64 " lines of the access log were dropped: it is not "
				"written as fast as they come",
		    count);
	else
		pst_log_error("%" PRIu64 " line%s of the access log %s lost: writing it failed: %s",
		    count, count == 1 ? "" : "s", count == 1 ? "was" : "were", strerror(error));
	return 0;
}

/* Standard error is the error log: an opened file takes its place. */
static void
on_error_log(struct pst_front *front)
{
	int fd = pst_uplink_take_fd(front->uplink);

	if (fd == -1) {
		pst_log_error("the error log was not opened again: its descriptor is missing");
		return;
	}
	if (dup2(fd, STDOUT_FILENO) == -1 || dup2(fd, STDERR_FILENO) == -1)
		pst_log_error("the error log was not opened again: %s", strerror(errno));
	close(fd);
}

static void
on_access_log(struct pst_front *front)
{
	int fd = pst_uplink_take_fd(front->uplink);

	if (fd == -1) {
		pst_front_give_up(front, "the access log came without its descriptor");
		return;
	}
	if (front->context.access_log_writer != NULL) {
		pst_log_writer_reopen(front->context.access_log_writer, fd);
		return;
	}
	front->context.access_log_writer =
	    pst_log_writer_new(fd, PST_LOG_RING, dropped_line, front);
	if (front->context.access_log_writer == NULL) {
		close(fd);
		pst_front_give_up(front, "the access log cannot be written");
	}
}

/* LOG level */
static void
on_log(struct pst_front *front, const struct pst_control *line)
{
	if (pst_log_level_parse(line->words[1], &front->settings.log_level))
		pst_log_set_level(front->settings.log_level);
}

/* How the gateway is: what is left out for want of memory is missing in the answer. */
static void
on_status(struct pst_front *front)
{
	struct pst_status_line line;
	struct pst_buf out = {0};

	pst_status_begin(&line, &out, "gateway", "-");
	pst_status_number(&line, "clients", front->clients.count);
	pst_status_number(&line, "websockets", front->context.tunnels.count);
	pst_status_number(&line, "requests", front->context.requests);
	pst_status_number(&line, "log_lines_dropped", pst_log_dropped());
	(void)pst_status_end(&line);
	(void)pst_front_pools_status(&front->pools, &out);
	(void)pst_control_appendl(&out, "STATUS", "end", NULL);
	pst_uplink_send_lines(front->uplink, pst_buf_bytes(&out), pst_buf_length(&out));
	pst_buf_free(&out);
}

/* True when LINE is the one called PREFIX and has COUNT words. */
static bool
is(const struct pst_control *line, const char *prefix, unsigned count)
{
	return line->count == count && pst_control_is(line, prefix);
}

void
pst_front_drop_page(struct pst_front *front)
{
	if (front->page != -1)
		close(front->page);
	front->page = -1;
}

/* SLOT page ID +fd: of a worker that is known, or SLOT up of the same worker is next. */
static void
on_slot_page(struct pst_front *front, const struct pst_control *line)
{
	pst_front_drop_page(front);
	front->page = pst_uplink_take_fd(front->uplink);
	snprintf(front->page_of, sizeof(front->page_of), "%s", line->words[2]);
	if (front->page != -1)
		pst_front_pools_slot_page(&front->pools, front->page_of, front->page);
}

/* SLOT up ID PATH POOL */
static void
on_slot_up(struct pst_front *front, const struct pst_control *line)
{
	const char *worker = line->words[2], *of = line->words[4];
	struct pst_front_pool *to = pst_front_pools_find(&front->pools, of);
	bool has_page = strcmp(front->page_of, worker) == 0;

	if (to != NULL)
		pst_pool_slot_up(to->pool, worker, line->words[3], has_page ? front->page : -1);
	else
		pst_log_error("worker %s is ignored: there is no pool %s", worker, of);
	pst_front_drop_page(front);
}

void
pst_front_on_line(void *arg, const struct pst_control *line)
{
	struct pst_front *front = arg;
	bool setting = front->state == PST_FRONT_SETTING;
	bool started = front->state > PST_FRONT_SETTING;

	if (front->state == PST_FRONT_OVER)
		return;
	if (setting && is(line, "SET", 3))
		on_set(front, line);
	else if (setting && is(line, "SET", 4))
		on_set_pool(front, line);
	else if (setting && is(line, "POOL", 3))
		on_pool(front, line);
	else if (setting && is(line, "ROUTE", 5))
		on_route(front, line);
	else if (setting && is(line, "BOARD", 3))
		on_board(front, line);
	else if (setting && is(line, "LISTEN", 2))
		on_listen(front, line);
	else if (pst_control_is(line, "ERROR_LOG"))
		on_error_log(front);
	else if ((setting || front->context.access_log_writer != NULL) &&
		 pst_control_is(line, "ACCESS_LOG"))
		on_access_log(front);
	else if (setting && is(line, "START", 1))
		pst_front_start(front);
	else if (is(line, "SLOT page", 3))
		on_slot_page(front, line);
	else if (started && is(line, "SLOT up", 5))
		on_slot_up(front, line);
	else if (started && is(line, "SLOT drain", 3))
		pst_front_pools_slot_drain(&front->pools, line->words[2]);
	else if (started && is(line, "SLOT down", 3))
		pst_front_pools_slot_down(&front->pools, line->words[2]);
	else if (is(line, "UNLISTEN", 2))
		pst_acceptor_leave(front->acceptor, line->words[1]);
	else if (is(line, "CLOSING", 1))
		pst_front_close(front);
	else if (is(line, "DRAIN", 1))
		pst_front_drain(front);
	else if (is(line, "LOG", 2))
		on_log(front, line);
	else if (is(line, "STATUS", 1))
		on_status(front);
	else if (is(line, "PING", 1))
		pst_uplink_send(front->uplink, "PONG", NULL);
	else
		pst_log_warning("a line from the arbiter is not understood and ignored: %s%s%s",
		    line->words[0], line->count > 1 ? " " : "",
		    line->count > 1 ? line->words[1] : "");
}
