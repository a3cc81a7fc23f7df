/*
 * The page that a worker process shares with the gateway: a word for each request in flight,
 * which says whether the worker has begun with it. Claiming (worker) and withdrawing (gateway)
 * are compare-and-swap on the whole word, so that exactly one of them succeeds, and "had been
 * started" is a fact, also after a crash. PROTOCOL.md, "The page", has the layout and the rules.
 *
 *	          offer             claim             done
 *	  FREE ──────────► OFFERED ──────► CLAIMED ──────► DONE
 *	   ▲                  └───────────► WITHDRAWN        │
 *	   │                    withdraw     │               │
 *	   └─────────────────────────────────┴── clear ──────┘
 *
 * No I/O: BYTES is memory that somebody else mapped. Each side has a view of its own, a struct
 * pst_page in its own memory; what the page holds is input for both and is never asserted.
 * Functions of a view are for one thread at a time, the memory may change at any moment.
 */
#ifndef PST_PROTOCOL_PAGE_H
#define PST_PROTOCOL_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the arbiter makes at least: room for 496 requests in flight. */
#define PST_PAGE_SIZE 4096
/* Words for what may be sent ahead of a worker, or was called back, beside what it runs. */
#define PST_PAGE_AHEAD 128
/* The least that a page can have: no words. */
#define PST_PAGE_HEADER 128

enum pst_page_state {
	PST_PAGE_FREE = 0,
	PST_PAGE_OFFERED = 1,
	PST_PAGE_CLAIMED = 2,
	PST_PAGE_DONE = 3,
	PST_PAGE_WITHDRAWN = 4,
	PST_PAGE_BAD = -1, /* what neither side writes there */
};

/* Epoch and serial of one offer, below 2^56; 0: none. It travels with the request. */
typedef uint64_t pst_page_ticket;

/* The parameter that carries it, and the digits of its value. */
#define PST_PAGE_PARAM  "PENSTOCK_TICKET"
#define PST_PAGE_DIGITS 14

struct pst_page {
	unsigned char *bytes; /* NULL: there is no page */
	size_t words;
	uint32_t epoch; /* the gateway's; 0: none was begun */
	uint32_t serial; /* of its last offer */
};

/* What the worker tells of itself, in microseconds. */
struct pst_page_vitals {
	uint64_t started; /* it was ready to serve; CLOCK_MONOTONIC */
	uint64_t turned; /* its loop came round; CLOCK_MONOTONIC */
	uint64_t cpu; /* CPU time of the process, a second old at most when its loop turned */
};

/* Make SIZE bytes, a multiple of 8 aligned as such and at least PST_PAGE_HEADER, a page. */
void pst_page_init(void *bytes, size_t size);

/* A view of the SIZE bytes: 0, or PST_ERR_PROTOCOL when they are no page of this version. */
int pst_page_view(struct pst_page *page, void *bytes, size_t size);

/* --- the gateway --- */

/*
 * This view offers from now on. When this returns, nothing that an earlier gateway offered can be
 * claimed any more.
 */
void pst_page_begin_epoch(struct pst_page *page);
/*
 * Offer request ID, before any of it is sent. The ticket to send with it; 0 when the page has no
 * word for it, or a later gateway has begun its epoch: then nobody can know.
 */
pst_page_ticket pst_page_offer(struct pst_page *page, uint16_t id);
/* True: the worker has not begun with it and never will. */
bool pst_page_withdraw(struct pst_page *page, uint16_t id, pst_page_ticket ticket);
/*
 * The worker has ended it: free its word. What the word said, PST_PAGE_FREE when a later gateway
 * has taken the page over.
 */
enum pst_page_state pst_page_clear(struct pst_page *page, uint16_t id, pst_page_ticket ticket);
void pst_page_read_vitals(const struct pst_page *page, struct pst_page_vitals *vitals);

/* --- the worker --- */

/* True: it may begin with it now, and nobody else ever will. False: it must not. */
bool pst_page_claim(struct pst_page *page, uint16_t id, pst_page_ticket ticket);
/* The application has returned. */
void pst_page_done(struct pst_page *page, uint16_t id, pst_page_ticket ticket);
void pst_page_write_vitals(struct pst_page *page, const struct pst_page_vitals *vitals);

/* --- the ticket as text --- */

/* PST_PAGE_DIGITS hexadecimal digits, no NUL. */
void pst_page_print_ticket(pst_page_ticket ticket, char text[PST_PAGE_DIGITS]);
/* 0 when it is no ticket. */
pst_page_ticket pst_page_parse_ticket(const char *text, size_t length);

#endif
