/*
 * The shared page under threads: a gateway and two workers at full speed for three seconds, with
 * workers that crash anywhere and are started again, connections that break while the worker
 * lives, requests that are withdrawn, and worn buffers from which a worker still reads what an
 * earlier connection had sent. What a request carries and what is answered is plain memory, and
 * what stands for the sockets gives no order (relaxed), so ThreadSanitizer sees whether the page
 * alone does. In the end no request has run twice, none is lost, none has another's answer.
 */
#include "protocol/page.h"
#include "tests/unit/runner.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define REQUESTS 3000000
#define SECONDS  3
#define WORKERS  2
#define IDS      496
#define PAGE     (PST_PAGE_HEADER + IDS * 8)

/* ck_assert() writes to a file each time. */
#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			ck_abort_msg("%s", #condition);                                            \
	} while (0)

enum fate {
	NEW,
	QUEUED,
	GIVEN,
	ANSWERED,
	FAILED, /* as started */
	LEFT,
};

/* A request, in plain memory: SENT is the gateway's, the rest the worker's. */
static struct request {
	uint32_t sent;
	uint32_t answer;
	uint32_t runs;
	enum fate fate;
} requests[REQUESTS];

static uint32_t
mix(uint32_t number)
{
	return (number + 1) * 2654435761u;
}

/*
 * What goes through a socket, in one word, as nothing else may give an order:
 *
 *	63      40 39     24 23       1 0
 *	request    epoch     serial     refused
 */
struct message {
	uint32_t request;
	pst_page_ticket ticket;
	bool refused;
};

static uint64_t
pack(struct message message)
{
	uint64_t epoch = message.ticket >> 32, serial = message.ticket & UINT32_MAX;

	MUST(epoch < 1u << 16 && serial < 1u << 23);
	return (uint64_t)message.request << 40 | epoch << 24 | serial << 1 | message.refused;
}

static struct message
unpack(uint64_t word)
{
	return (struct message){
	    .request = (uint32_t)(word >> 40),
	    .ticket = (word >> 24 & 0xffff) << 32 | (word >> 1 & 0x7fffff),
	    .refused = word & 1,
	};
}

/* --- workers --- */

static struct worker {
	alignas(64) unsigned char bytes[PAGE];
	_Atomic uint64_t in[IDS], out[IDS]; /* 0: nothing */
	atomic_bool dead;
	uint64_t random;
	unsigned long mistaken; /* requests that were not what they should be */
} workers[WORKERS];

static atomic_bool calm; /* nothing fails any more */
static atomic_bool over;

static unsigned
draw(uint64_t *random, unsigned sides)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return (unsigned)(*random >> 32) % sides;
}

/* True: the process is gone at this point. */
static bool
crashes(struct worker *worker)
{
	if (draw(&worker->random, 4000) > 0 || atomic_load_explicit(&calm, memory_order_relaxed))
		return false;
	atomic_store_explicit(&worker->dead, true, memory_order_release);
	return true;
}

static void
serve(struct worker *worker, struct pst_page *page, uint16_t id, struct message message)
{
	struct request *request = &requests[message.request];

	if (crashes(worker))
		return;
	message.refused = !pst_page_claim(page, id, message.ticket);
	if (!message.refused) {
		if (crashes(worker))
			return;
		worker->mistaken += request->sent != mix(message.request);
		request->runs++;
		request->answer = request->sent ^ 1;
		if (crashes(worker))
			return;
		pst_page_done(page, id, message.ticket);
	}
	if (!crashes(worker))
		atomic_store_explicit(&worker->out[id - 1], pack(message), memory_order_relaxed);
}

/* Nothing to do: let the others. */
static void
rest(void)
{
	static const struct timespec moment = {.tv_nsec = 20000};

	nanosleep(&moment, NULL);
}

/* Serve what has come: false when nothing has. */
static bool
serve_all(struct worker *worker)
{
	struct pst_page page;
	bool busy = false;

	MUST(pst_page_view(&page, worker->bytes, PAGE) == 0);
	for (uint16_t id = 1; id <= IDS; id++) {
		uint64_t word = atomic_load_explicit(&worker->in[id - 1], memory_order_relaxed);

		if (word == 0 || !atomic_compare_exchange_strong_explicit(&worker->in[id - 1],
				     &word, 0, memory_order_relaxed, memory_order_relaxed))
			continue;
		busy = true;
		serve(worker, &page, id, unpack(word));
		if (atomic_load_explicit(&worker->dead, memory_order_relaxed))
			break;
	}
	return busy;
}

static void *
work(void *arg)
{
	struct worker *worker = arg;

	while (!atomic_load_explicit(&over, memory_order_relaxed))
		if (atomic_load_explicit(&worker->dead, memory_order_acquire) || !serve_all(worker))
			rest();
	return NULL;
}

/* --- the gateway --- */

static struct link {
	struct pst_page page;
	pst_page_ticket tickets[IDS]; /* 0: the id is free */
	uint32_t owner[IDS]; /* REQUESTS: nobody waits for it any more */
} links[WORKERS];

static uint32_t queue[REQUESTS]; /* of those that were given back */
static uint32_t queued, next_request, finished;
static uint64_t luck = 88172645463325252;

static struct counts {
	unsigned long offers, answered, failed, left, taken_back, unseen, refused, crashes, breaks;
} counts;

static void
finish(uint32_t r, enum fate fate)
{
	requests[r].fate = fate;
	finished++;
}

static void
give_back(uint32_t r)
{
	requests[r].fate = QUEUED;
	queue[queued++] = r;
}

static void
offer(struct worker *worker, struct link *link, uint16_t id)
{
	uint32_t r = queued > 0 ? queue[queued - 1] : next_request;
	struct message message = {.request = r};

	if (queued == 0 &&
	    (next_request == REQUESTS || atomic_load_explicit(&calm, memory_order_relaxed)))
		return;
	if (queued > 0)
		queued--;
	else
		next_request++;
	if (requests[r].fate == NEW)
		requests[r].sent = mix(r);
	requests[r].fate = GIVEN;
	message.ticket = pst_page_offer(&link->page, id);
	MUST(message.ticket != 0);
	link->tickets[id - 1] = message.ticket;
	link->owner[id - 1] = r;
	counts.offers++;
	atomic_store_explicit(&worker->in[id - 1], pack(message), memory_order_relaxed);
}

static void
receive(struct worker *worker, struct link *link, uint16_t id)
{
	uint64_t word = atomic_exchange_explicit(&worker->out[id - 1], 0, memory_order_relaxed);
	struct message message = unpack(word);
	uint32_t r = link->owner[id - 1];
	enum pst_page_state said;

	/* Of an earlier connection there may be some left. */
	if (word == 0 || message.ticket != link->tickets[id - 1])
		return;
	said = pst_page_clear(&link->page, id, message.ticket);
	link->tickets[id - 1] = 0;
	if (r == REQUESTS) {
		MUST(message.refused && said == PST_PAGE_WITHDRAWN);
		counts.refused++;
		return;
	}
	MUST(!message.refused && said == PST_PAGE_DONE);
	MUST(message.request == r);
	MUST(requests[r].answer == (mix(r) ^ 1));
	counts.answered++;
	finish(r, ANSWERED);
}

static void
withdraw(struct link *link, uint16_t id)
{
	uint32_t r = link->owner[id - 1];

	if (r == REQUESTS || !pst_page_withdraw(&link->page, id, link->tickets[id - 1]))
		return;
	link->owner[id - 1] = REQUESTS;
	if (draw(&luck, 2) == 0) {
		counts.taken_back++;
		give_back(r);
	} else {
		counts.left++;
		finish(r, LEFT);
	}
}

static void
lose(struct link *link)
{
	for (uint16_t id = 1; id <= IDS; id++) {
		uint32_t r = link->owner[id - 1];

		if (link->tickets[id - 1] == 0)
			continue;
		if (r == REQUESTS) {
			/* nobody waits */
		} else if (pst_page_withdraw(&link->page, id, link->tickets[id - 1])) {
			counts.unseen++;
			give_back(r);
		} else {
			counts.failed++;
			finish(r, FAILED);
		}
		link->tickets[id - 1] = 0;
	}
}

static void
start(struct worker *worker, struct link *link)
{
	pst_page_init(worker->bytes, PAGE);
	for (size_t i = 0; i < IDS; i++) {
		atomic_store_explicit(&worker->in[i], 0, memory_order_relaxed);
		atomic_store_explicit(&worker->out[i], 0, memory_order_relaxed);
	}
	ck_assert_int_eq(pst_page_view(&link->page, worker->bytes, PAGE), 0);
	pst_page_begin_epoch(&link->page);
	atomic_store_explicit(&worker->dead, false, memory_order_release);
}

/* True when there was something to do. */
static bool
turn(struct worker *worker, struct link *link)
{
	unsigned long before = counts.offers + counts.answered + counts.refused;

	if (atomic_load_explicit(&worker->dead, memory_order_acquire)) {
		counts.crashes++;
		lose(link);
		start(worker, link);
	} else if (draw(&luck, 10) == 0 && !atomic_load_explicit(&calm, memory_order_relaxed)) {
		counts.breaks++;
		lose(link);
		pst_page_begin_epoch(&link->page);
	}
	for (uint16_t id = 1; id <= IDS; id++) {
		if (link->tickets[id - 1] == 0)
			offer(worker, link, id);
		else
			receive(worker, link, id);
		if (link->tickets[id - 1] != 0 && draw(&luck, 50) == 0)
			withdraw(link, id);
	}
	return counts.offers + counts.answered + counts.refused > before;
}

/* On a busy machine some of it may be long in coming. */
static bool
have_seen_all(void)
{
	return counts.answered && counts.failed && counts.left && counts.taken_back &&
	       counts.unseen && counts.refused && counts.crashes && counts.breaks;
}

static void
run_gateway(void)
{
	time_t end = time(NULL) + SECONDS;

	while (!atomic_load_explicit(&calm, memory_order_relaxed) || finished < next_request) {
		bool busy = false;

		for (size_t i = 0; i < WORKERS; i++)
			busy |= turn(&workers[i], &links[i]);
		if (!busy)
			rest();
		if (next_request == REQUESTS || (time(NULL) > end && have_seen_all()))
			atomic_store_explicit(&calm, true, memory_order_relaxed);
	}
}

static void
check_requests(void)
{
	for (uint32_t r = 0; r < next_request; r++) {
		const struct request *request = &requests[r];

		MUST(request->fate >= ANSWERED);
		MUST(request->runs <= 1);
		if (request->fate == ANSWERED)
			MUST(request->runs == 1);
		if (request->fate == LEFT)
			MUST(request->runs == 0);
	}
	for (size_t i = 0; i < WORKERS; i++)
		ck_assert_uint_eq(workers[i].mistaken, 0);
}

START_TEST(test_stress)
{
	pthread_t threads[WORKERS];

	for (size_t i = 0; i < WORKERS; i++) {
		workers[i].random = 0x9e3779b97f4a7c15 + i;
		start(&workers[i], &links[i]);
		ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	run_gateway();
	atomic_store(&over, true);
	for (size_t i = 0; i < WORKERS; i++)
		pthread_join(threads[i], NULL);
	printf("%u requests, %lu offers: %lu answered, %lu failed as begun, %lu left; %lu taken "
	       "back, %lu given again; %lu crashes, %lu connections broken\n",
	    next_request, counts.offers, counts.answered, counts.failed, counts.left,
	    counts.taken_back, counts.unseen, counts.crashes, counts.breaks);
	check_requests();
	ck_assert(have_seen_all());
}
END_TEST

int
main(void)
{
	TCase *tcase = tcase_create("page_stress");

	tcase_add_test(tcase, test_stress);
	return run_case("page_stress", tcase);
}
