#include "protocol/page.h"

#include "protocol/error.h"

#include <assert.h>
#include <endian.h>
#include <stdatomic.h>
#include <string.h>

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && sizeof(_Atomic uint64_t) == 8,
    "words that two processes change need an atomic instruction");

/*
 * 0       8         12     16      24          64        72       80    88        128
 * magic   version   size   epoch   reserved    started   turned   cpu   reserved  words ...
 *
 * The worker's fields have a cache line of their own. A word:
 *
 *	63        40 39          8 7       0
 *	epoch        serial        state
 */
#define AT_VERSION 8
#define AT_SIZE    12
#define AT_EPOCH   16
#define AT_STARTED 64
#define AT_TURNED  72
#define AT_CPU     80

#define LAYOUT     1
#define EPOCH_MASK 0xffffffu

static const unsigned char magic[8] = {'P', 'e', 'n', 's', 't', 'o', 'c', 'k'};

/* --- access --- */

static _Atomic uint64_t *
field(const struct pst_page *page, size_t at)
{
	return (_Atomic uint64_t *)(void *)(page->bytes + at);
}

static bool
has_word(const struct pst_page *page, uint16_t id)
{
	return id > 0 && id <= page->words;
}

static _Atomic uint64_t *
word_of(const struct pst_page *page, uint16_t id)
{
	assert(has_word(page, id));
	return field(page, PST_PAGE_HEADER + (size_t)(id - 1) * 8);
}

static uint64_t
word(pst_page_ticket ticket, enum pst_page_state state)
{
	return ticket << 8 | (uint64_t)state;
}

/* True when the word was as it should be and has changed. */
static bool
change(struct pst_page *page, uint16_t id, pst_page_ticket ticket, enum pst_page_state from,
    enum pst_page_state to)
{
	uint64_t expected = word(ticket, from);

	return ticket != 0 && has_word(page, id) &&
	       atomic_compare_exchange_strong_explicit(word_of(page, id), &expected,
		   word(ticket, to), memory_order_acq_rel, memory_order_acquire);
}

/* --- life --- */

static bool
is_intact(const unsigned char *at, size_t size)
{
	uint32_t version, size32;

	memcpy(&version, at + AT_VERSION, sizeof(version));
	memcpy(&size32, at + AT_SIZE, sizeof(size32));
	return memcmp(at, magic, sizeof(magic)) == 0 && version == LAYOUT && size32 == size;
}

void
pst_page_init(void *bytes, size_t size)
{
	unsigned char *at = bytes;
	uint32_t version = LAYOUT, size32 = (uint32_t)size;

	assert(size >= PST_PAGE_HEADER && size % 8 == 0 && size <= UINT32_MAX);
	memset(at, 0, size);
	memcpy(at, magic, sizeof(magic));
	memcpy(at + AT_VERSION, &version, sizeof(version));
	memcpy(at + AT_SIZE, &size32, sizeof(size32));
}

int
pst_page_view(struct pst_page *page, void *bytes, size_t size)
{
	unsigned char *at = bytes;

	if (size < PST_PAGE_HEADER || size % 8 != 0 || !is_intact(at, size))
		return PST_ERR_PROTOCOL;
	*page = (struct pst_page){
	    .bytes = at,
	    .words = (size - PST_PAGE_HEADER) / 8,
	};
	return 0;
}

/* --- the gateway --- */

/* An epoch that no other gateway has. */
static uint32_t
take_epoch(struct pst_page *page)
{
	uint32_t epoch;

	do
		epoch = (uint32_t)(atomic_fetch_add(field(page, AT_EPOCH), 1) + 1) & EPOCH_MASK;
	while (epoch == 0);
	return epoch;
}

static void
revoke(struct pst_page *page, uint16_t id)
{
	atomic_exchange_explicit(word_of(page, id), word(0, PST_PAGE_FREE), memory_order_acq_rel);
}

static bool
is_current(const struct pst_page *page)
{
	uint64_t epoch = atomic_load_explicit(field(page, AT_EPOCH), memory_order_acquire);

	return page->epoch != 0 && (epoch & EPOCH_MASK) == page->epoch;
}

void
pst_page_begin_epoch(struct pst_page *page)
{
	page->epoch = take_epoch(page);
	page->serial = 0;
	for (size_t id = 1; id <= page->words && id <= UINT16_MAX; id++)
		revoke(page, (uint16_t)id);
}

pst_page_ticket
pst_page_offer(struct pst_page *page, uint16_t id)
{
	pst_page_ticket ticket;

	if (!has_word(page, id) || !is_current(page))
		return 0;
	ticket = (uint64_t)page->epoch << 32 | ++page->serial;
	atomic_store_explicit(
	    word_of(page, id), word(ticket, PST_PAGE_OFFERED), memory_order_release);
	return ticket;
}

bool
pst_page_withdraw(struct pst_page *page, uint16_t id, pst_page_ticket ticket)
{
	return change(page, id, ticket, PST_PAGE_OFFERED, PST_PAGE_WITHDRAWN);
}

enum pst_page_state
pst_page_clear(struct pst_page *page, uint16_t id, pst_page_ticket ticket)
{
	uint64_t was;

	if (ticket == 0)
		return PST_PAGE_FREE;
	if (!is_current(page))
		return is_intact(page->bytes, PST_PAGE_HEADER + page->words * 8) ? PST_PAGE_FREE
										 : PST_PAGE_BAD;
	was = atomic_exchange_explicit(
	    word_of(page, id), word(0, PST_PAGE_FREE), memory_order_acq_rel);
	for (int state = PST_PAGE_OFFERED; state <= PST_PAGE_WITHDRAWN; state++)
		if (was == word(ticket, (enum pst_page_state)state))
			return (enum pst_page_state)state;
	/* Taken over just now? */
	return is_current(page) ? PST_PAGE_BAD : PST_PAGE_FREE;
}

void
pst_page_read_vitals(const struct pst_page *page, struct pst_page_vitals *vitals)
{
	vitals->started = atomic_load_explicit(field(page, AT_STARTED), memory_order_relaxed);
	vitals->turned = atomic_load_explicit(field(page, AT_TURNED), memory_order_relaxed);
	vitals->cpu = atomic_load_explicit(field(page, AT_CPU), memory_order_relaxed);
}

/* --- the worker --- */

bool
pst_page_claim(struct pst_page *page, uint16_t id, pst_page_ticket ticket)
{
	return change(page, id, ticket, PST_PAGE_OFFERED, PST_PAGE_CLAIMED);
}

void
pst_page_done(struct pst_page *page, uint16_t id, pst_page_ticket ticket)
{
	change(page, id, ticket, PST_PAGE_CLAIMED, PST_PAGE_DONE);
}

void
pst_page_write_vitals(struct pst_page *page, const struct pst_page_vitals *vitals)
{
	atomic_store_explicit(field(page, AT_STARTED), vitals->started, memory_order_relaxed);
	atomic_store_explicit(field(page, AT_TURNED), vitals->turned, memory_order_relaxed);
	atomic_store_explicit(field(page, AT_CPU), vitals->cpu, memory_order_relaxed);
}

/* --- the ticket as text --- */

/* Eight digits, the first of which is that of the highest four bits: a byte for each of them. */
static void
print_8(uint32_t bits, char text[8])
{
	const uint64_t ones = 0x0101010101010101;
	uint64_t n = bits, letters;

	n = (n << 16 | n) & 0x0000ffff0000ffff;
	n = (n << 8 | n) & 0x00ff00ff00ff00ff;
	n = (n << 4 | n) & 0x0f0f0f0f0f0f0f0f;
	letters = (n + 6 * ones) >> 4 & ones;
	n = htobe64(n + '0' * ones + letters * ('a' - '0' - 10));
	memcpy(text, &n, 8);
}

void
pst_page_print_ticket(pst_page_ticket ticket, char text[PST_PAGE_DIGITS])
{
	char high[8];

	print_8((uint32_t)(ticket >> 32), high);
	memcpy(text, high + 2, 6);
	print_8((uint32_t)ticket, text + 6);
}

/* The value of a digit, and 1 << 4 beside it, which no other byte has. */
#define DIGIT(value) (1 << 4 | (value))

static const unsigned char digit_values[256] = {['0'] = DIGIT(0),
    ['1'] = DIGIT(1),
    ['2'] = DIGIT(2),
    ['3'] = DIGIT(3),
    ['4'] = DIGIT(4),
    ['5'] = DIGIT(5),
    ['6'] = DIGIT(6),
    ['7'] = DIGIT(7),
    ['8'] = DIGIT(8),
    ['9'] = DIGIT(9),
    ['a'] = DIGIT(10),
    ['b'] = DIGIT(11),
    ['c'] = DIGIT(12),
    ['d'] = DIGIT(13),
    ['e'] = DIGIT(14),
    ['f'] = DIGIT(15)};

pst_page_ticket
pst_page_parse_ticket(const char *text, size_t length)
{
	pst_page_ticket ticket = 0;
	unsigned all = DIGIT(0);

	if (length != PST_PAGE_DIGITS)
		return 0;
	for (size_t i = 0; i < PST_PAGE_DIGITS; i++) {
		unsigned value = digit_values[(unsigned char)text[i]];
		all &= value;
		ticket = ticket << 4 | (value & 15);
	}
	return all & DIGIT(0) ? ticket : 0;
}
