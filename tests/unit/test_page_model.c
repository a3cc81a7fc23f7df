/*
 * The shared page in all orders. An explicit-state search over a small world: two gateways, of
 * which the first may be killed, a worker that may crash, the queues between them, and a page on
 * which the real functions work, one access to shared memory for each step. Another worker never
 * fails and answers at once. In every state that can be reached
 *  - no request has run twice,
 *  - the answer that a request gets is its own,
 *  - a request that is given up as started had been claimed,
 *  - nothing that a dead gateway left runs once the next has begun its epoch,
 * and where nothing more can happen every request has come to its end.
 *
 * page.c is included, so that an epoch can be begun in steps.
 */
#include "protocol/page.c"
#include "tests/unit/runner.h"

#include <stdalign.h>
#include <stdio.h>

#define GATEWAYS 2
#define REQUESTS 3
#define IDS      2
#define PAGE     (PST_PAGE_HEADER + IDS * 8)

/* ck_assert() writes to a file each time. */
#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			ck_abort_msg("%s", #condition);                                            \
	} while (0)

enum fate {
	QUEUED,
	GIVEN,
	ANSWERED,
	FAILED, /* as started */
	LEFT, /* by its client */
	LOST, /* with its gateway */
};

enum life {
	UNBORN,
	BEGINNING, /* its epoch */
	ALIVE,
	DEAD,
};

enum task {
	IDLE,
	HOLDS,
	CLAIMED,
	RAN,
	SAYS_WHOLE,
	SAYS_REFUSED,
};

/* The request to the worker, and END_REQUEST from it. */
struct message {
	uint64_t ticket;
	uint8_t request;
	uint8_t id;
	bool refused;
	uint8_t padding[5];
};

struct queue {
	struct message items[IDS];
	uint64_t count;
};

/* Between a gateway and the worker. */
struct link {
	struct queue in, out; /* as the worker sees it */
	uint64_t tickets[IDS]; /* of the ids; 0: free */
	uint32_t epoch, serial;
	uint8_t owner[IDS]; /* the request that waits for that id; REQUESTS: nobody any more */
	bool unsent[IDS];
	bool open;
	uint8_t padding[3];
};

struct request {
	uint8_t fate;
	uint8_t runs;
	uint8_t gives;
	bool claimed;
};

struct worker {
	uint8_t task;
	uint8_t gateway; /* whose request it holds */
	bool dead;
	uint8_t padding[5];
	struct message held;
	alignas(8) unsigned char page[PAGE];
};

struct world {
	struct worker worker;
	struct link links[GATEWAYS];
	struct request requests[REQUESTS];
	uint8_t gateways[GATEWAYS]; /* enum life */
	uint8_t begun; /* how many steps of its epoch the second gateway has made */
	bool scribbled;
};

/* What may happen in this search. */
static struct rules {
	bool kill; /* the first gateway is killed before the second starts */
	bool scribble; /* the worker writes over its page, once */
	unsigned ids; /* that are used, at most IDS */
	unsigned gives; /* of one request to the worker that may crash */
} rules;

/* What was seen to happen: a search in which it does not proves nothing. */
static struct seen {
	unsigned long states, ends, answered, unseen, failed, withdrawn, refused, stale;
} seen;

static unsigned
gateway_of(unsigned request)
{
	return request < 2 ? 0 : 1;
}

static struct pst_page
view(struct world *world, unsigned g)
{
	return (struct pst_page){
	    .bytes = world->worker.page,
	    .words = IDS,
	    .epoch = world->links[g].epoch,
	    .serial = world->links[g].serial,
	};
}

static void
run(struct world *world, unsigned r)
{
	MUST(++world->requests[r].runs == 1);
}

/* --- the search --- */

#define TABLE (1u << 20)

static uint64_t *table;
static unsigned moves; /* from the present state, accidents apart */

static void explore(const struct world *world, unsigned depth);

/* There is one thread only. */
__attribute__((no_sanitize("thread"))) static uint64_t
hash(const struct world *world)
{
	uint64_t sum = 0x9e3779b97f4a7c15, part;

	for (size_t at = 0; at < sizeof(*world) / 8; at++) {
		memcpy(&part, (const char *)world + at * 8, 8);
		sum = (sum ^ part) * 0xff51afd7ed558ccd;
		sum ^= sum >> 32;
	}
	return sum | 1;
}

static bool
is_new(const struct world *world)
{
	uint64_t sum = hash(world);
	size_t at = sum >> 8 & (TABLE - 1);

	while (table[at] != 0 && table[at] != sum)
		at = (at + 1) & (TABLE - 1);
	if (table[at] == sum)
		return false;
	table[at] = sum;
	MUST(++seen.states < TABLE / 2);
	return true;
}

/* NEXT follows because somebody does what he has to do. */
static void
move(const struct world *next, unsigned depth)
{
	moves++;
	explore(next, depth + 1);
}

/* NEXT may follow, or may not. */
static void
accident(const struct world *next, unsigned depth)
{
	explore(next, depth + 1);
}

/* --- queues --- */

static void
put(struct queue *queue, const struct message *message)
{
	MUST(queue->count < IDS);
	queue->items[queue->count++] = *message;
}

static struct message
take(struct queue *queue)
{
	struct message first = queue->items[0];

	queue->count--;
	memmove(queue->items, queue->items + 1, sizeof(queue->items[0]) * (IDS - 1));
	memset(&queue->items[IDS - 1], 0, sizeof(queue->items[0]));
	return first;
}

/* The gateway's side is gone; what it had sent can still be read. */
static void
close_link(struct link *link)
{
	struct queue in = link->in;

	memset(link, 0, sizeof(*link));
	link->in = in;
}

/* --- gateways --- */

/* The connection is over: what was given there goes back to the queue, or had been started. */
static void
lose(struct world *world, unsigned g)
{
	struct link *link = &world->links[g];
	struct pst_page page = view(world, g);

	for (uint16_t id = 1; id <= IDS; id++) {
		struct request *request = &world->requests[link->owner[id - 1]];

		if (link->tickets[id - 1] == 0 || link->owner[id - 1] == REQUESTS)
			continue;
		if (pst_page_withdraw(&page, id, link->tickets[id - 1])) {
			request->fate = QUEUED;
			seen.unseen++;
			continue;
		}
		request->fate = FAILED;
		seen.failed++;
		if (rules.kill && !rules.scribble)
			MUST(request->claimed);
	}
	close_link(link);
}

static void
receive_end(struct world *world, unsigned g)
{
	struct link *link = &world->links[g];
	struct message message = take(&link->out);
	struct pst_page page = view(world, g);
	unsigned at = message.id - 1, r = link->owner[at];
	enum pst_page_state said = pst_page_clear(&page, message.id, link->tickets[at]);
	bool had_begun = said == PST_PAGE_CLAIMED || said == PST_PAGE_DONE || said == PST_PAGE_BAD;

	link->tickets[at] = 0;
	link->owner[at] = 0;
	if (r == REQUESTS)
		return;
	MUST(message.request == r);
	if (!message.refused) {
		world->requests[r].fate = ANSWERED;
		seen.answered++;
	} else if (had_begun) {
		MUST(said == PST_PAGE_BAD);
		world->requests[r].fate = FAILED;
	} else {
		world->requests[r].fate = QUEUED;
		seen.refused++;
	}
}

/* Offer R under the first free id; it is sent in a step of its own. */
static bool
offer(struct world *world, unsigned r)
{
	struct link *link = &world->links[gateway_of(r)];
	struct pst_page page = view(world, gateway_of(r));
	uint16_t id = 1;

	while (id <= rules.ids && link->tickets[id - 1] != 0)
		id++;
	if (id > rules.ids || !link->open || world->requests[r].gives == rules.gives)
		return false;
	link->tickets[id - 1] = pst_page_offer(&page, id);
	link->serial = page.serial;
	if (link->tickets[id - 1] == 0)
		return false; /* another gateway has come: this one knows that it cannot know */
	link->owner[id - 1] = (uint8_t)r;
	link->unsent[id - 1] = true;
	world->requests[r].fate = GIVEN;
	world->requests[r].gives++;
	return true;
}

static void
send_unsent(const struct world *world, unsigned g, unsigned depth)
{
	for (uint8_t id = 1; id <= IDS; id++) {
		struct world next = *world;
		struct link *link = &next.links[g];
		struct message message = {
		    .ticket = link->tickets[id - 1],
		    .request = link->owner[id - 1],
		    .id = id,
		};

		if (!link->unsent[id - 1])
			continue;
		link->unsent[id - 1] = false;
		if (!next.worker.dead)
			put(&link->in, &message);
		move(&next, depth);
	}
}

/* The other worker is free, and takes what was sent ahead; or the client leaves. */
static void
withdraw(const struct world *world, unsigned g, unsigned depth)
{
	for (uint16_t id = 1; id <= IDS; id++) {
		struct world next = *world;
		struct link *link = &next.links[g];
		struct pst_page page = view(&next, g);
		unsigned r = link->owner[id - 1];

		if (link->tickets[id - 1] == 0 || r == REQUESTS ||
		    !pst_page_withdraw(&page, id, link->tickets[id - 1]))
			continue;
		link->owner[id - 1] = REQUESTS;
		seen.withdrawn++;
		next.requests[r].fate = QUEUED;
		accident(&next, depth);
		next.requests[r].fate = LEFT;
		accident(&next, depth);
	}
}

static void
link_steps(const struct world *world, unsigned g, unsigned depth)
{
	const struct link *link = &world->links[g];
	struct world next = *world;

	if (link->open && link->out.count > 0) {
		receive_end(&next, g);
		move(&next, depth);
	} else if (link->open) {
		lose(&next, g);
		if (world->worker.dead)
			move(&next, depth);
		else /* for whatever reason */
			accident(&next, depth);
	}
	send_unsent(world, g, depth);
	withdraw(world, g, depth);
}

static void
request_steps(const struct world *world, unsigned r, unsigned depth)
{
	struct world next = *world;

	if (world->requests[r].fate != QUEUED || world->gateways[gateway_of(r)] != ALIVE)
		return;
	if (offer(&next, r))
		move(&next, depth);
	next = *world; /* to the other worker */
	run(&next, r);
	next.requests[r].fate = ANSWERED;
	move(&next, depth);
}

static void
kill_gateway(struct world *world)
{
	world->gateways[0] = DEAD;
	for (unsigned r = 0; r < REQUESTS; r++)
		if (gateway_of(r) == 0 && world->requests[r].fate <= GIVEN)
			world->requests[r].fate = LOST;
	close_link(&world->links[0]);
}

/* One access to shared memory. */
static void
begin_epoch(struct world *world)
{
	struct pst_page page = view(world, 1);

	world->gateways[1] = BEGINNING;
	if (world->begun == 0)
		world->links[1].epoch = take_epoch(&page);
	else
		revoke(&page, world->begun);
	if (world->begun++ < IDS)
		return;
	world->links[1].open = true;
	world->gateways[1] = ALIVE;
}

static void
gateway_steps(const struct world *world, unsigned depth)
{
	struct world next = *world;

	if (rules.kill && world->gateways[0] == ALIVE) {
		kill_gateway(&next);
		move(&next, depth);
	} else if (world->gateways[1] < ALIVE) {
		begin_epoch(&next);
		move(&next, depth);
	}
	for (unsigned g = 0; g < GATEWAYS; g++)
		if (world->gateways[g] == ALIVE)
			link_steps(world, g, depth);
	for (unsigned r = 0; r < REQUESTS; r++)
		request_steps(world, r, depth);
}

/* --- the worker --- */

static void
claim(struct world *world)
{
	struct worker *worker = &world->worker;
	struct pst_page page = view(world, worker->gateway);

	if (!pst_page_claim(&page, worker->held.id, worker->held.ticket)) {
		worker->task = SAYS_REFUSED;
		seen.stale += world->gateways[worker->gateway] == DEAD;
		return;
	}
	/* The next gateway has its epoch: nothing of a dead one may run. */
	if (rules.kill && worker->gateway == 0)
		MUST(world->gateways[1] != ALIVE);
	world->requests[worker->held.request].claimed = true;
	worker->task = CLAIMED;
}

static void
end(struct world *world)
{
	struct worker *worker = &world->worker;
	struct link *link = &world->links[worker->gateway];

	worker->held.refused = worker->task == SAYS_REFUSED;
	if (link->open && link->tickets[worker->held.id - 1] == worker->held.ticket)
		put(&link->out, &worker->held);
	memset(&worker->held, 0, sizeof(worker->held));
	worker->gateway = 0;
	worker->task = IDLE;
}

static void
work(struct world *world)
{
	struct worker *worker = &world->worker;
	struct pst_page page = view(world, worker->gateway);

	switch ((enum task)worker->task) {
	case IDLE: break;
	case HOLDS: claim(world); break;
	case CLAIMED:
		worker->task = RAN;
		run(world, worker->held.request);
		break;
	case RAN:
		pst_page_done(&page, worker->held.id, worker->held.ticket);
		worker->task = SAYS_WHOLE;
		break;
	case SAYS_WHOLE:
	case SAYS_REFUSED: end(world); break;
	}
}

static void
read_some(const struct world *world, unsigned depth)
{
	for (uint8_t g = 0; g < GATEWAYS; g++) {
		struct world next = *world;

		if (next.links[g].in.count == 0)
			continue;
		next.worker.held = take(&next.links[g].in);
		next.worker.gateway = g;
		next.worker.task = HOLDS;
		move(&next, depth);
	}
}

static void
crash(struct world *world)
{
	struct worker *worker = &world->worker;

	worker->dead = true;
	worker->task = IDLE;
	worker->gateway = 0;
	memset(&worker->held, 0, sizeof(worker->held));
	for (unsigned g = 0; g < GATEWAYS; g++)
		memset(&world->links[g].in, 0, sizeof(struct queue));
}

static void
scribble(const struct world *world, unsigned depth)
{
	static const uint64_t values[] = {0, UINT64_MAX, (UINT64_C(1) << 32 | 9) << 8 | 2};

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct world next = *world;

		next.scribbled = true;
		memcpy(next.worker.page + PST_PAGE_HEADER, &values[i], sizeof(values[i]));
		accident(&next, depth);
	}
}

static void
worker_steps(const struct world *world, unsigned depth)
{
	struct world next = *world;

	if (world->worker.dead)
		return;
	if (world->worker.task == IDLE) {
		read_some(world, depth);
	} else {
		work(&next);
		move(&next, depth);
	}
	next = *world;
	crash(&next);
	accident(&next, depth);
	if (rules.scribble && !world->scribbled)
		scribble(world, depth);
}

/* --- the world --- */

/* Nothing more can happen. */
static void
check_end(const struct world *world)
{
	seen.ends++;
	for (unsigned r = 0; r < REQUESTS; r++) {
		const struct request *request = &world->requests[r];

		MUST(request->fate > GIVEN);
		if (request->fate == ANSWERED)
			MUST(request->runs == 1);
		if (request->fate == LEFT)
			MUST(request->runs == 0);
	}
}

static void
explore(const struct world *world, unsigned depth)
{
	unsigned outer = moves;

	if (!is_new(world))
		return;
	MUST(depth < 200);
	moves = 0;
	gateway_steps(world, depth);
	worker_steps(world, depth);
	if (moves == 0)
		check_end(world);
	moves = outer;
}

static void
search(const char *what, struct rules with)
{
	static struct world world;
	struct pst_page page;

	rules = with;
	table = calloc(TABLE, sizeof(*table));
	world.gateways[0] = ALIVE;
	pst_page_init(world.worker.page, PAGE);
	ck_assert_int_eq(pst_page_view(&page, world.worker.page, PAGE), 0);
	pst_page_begin_epoch(&page);
	world.links[0].epoch = page.epoch;
	world.links[0].open = true;
	explore(&world, 0);
	free(table);
	printf("%s: %lu states, %lu ends; %lu answered, %lu not begun when the worker was lost, "
	       "%lu begun, %lu withdrawn, %lu refused, %lu of a dead gateway refused\n",
	    what, seen.states, seen.ends, seen.answered, seen.unseen, seen.failed, seen.withdrawn,
	    seen.refused, seen.stale);
	ck_assert(seen.ends && seen.answered && seen.unseen && seen.failed && seen.withdrawn);
}

START_TEST(test_gateway_is_killed)
{
	search("killed", (struct rules){.kill = true, .ids = 2, .gives = 1});
	ck_assert_uint_gt(seen.stale, 0);
}
END_TEST

START_TEST(test_word_is_used_again)
{
	search("killed, one word", (struct rules){.kill = true, .ids = 1, .gives = 2});
	ck_assert_uint_gt(seen.stale, 0);
}
END_TEST

START_TEST(test_gateways_overlap)
{
	search("overlap", (struct rules){.ids = 2, .gives = 1});
	ck_assert_uint_gt(seen.refused, 0);
}
END_TEST

START_TEST(test_worker_scribbles)
{
	search("scribbles", (struct rules){.kill = true, .scribble = true, .ids = 2, .gives = 1});
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("page_model");

	tcase_add_test(tcase, test_gateway_is_killed);
	tcase_add_test(tcase, test_word_is_used_again);
	tcase_add_test(tcase, test_gateways_overlap);
	tcase_add_test(tcase, test_worker_scribbles);
	return run_case("page_model", tcase);
}
