#include "gateway/arbiter/slot.h"

#include <assert.h>

#define TO(state) (1u << PST_SLOT_##state)

static const struct {
	const char *name;
	unsigned next; /* the states that may follow */
	bool has_process;
	bool is_wanted;
} states[PST_SLOT_STATES] = {
    [PST_SLOT_EMPTY] = {"empty", TO(STARTING) | TO(BACKOFF), false, false},
    [PST_SLOT_STARTING] = {"starting",
	TO(READY) | TO(USABLE) | TO(DRAINING) | TO(DYING) | TO(BACKOFF) | TO(EMPTY), true, true},
    [PST_SLOT_READY] = {"ready",
	TO(USABLE) | TO(RETIRING) | TO(DRAINING) | TO(DYING) | TO(BACKOFF) | TO(EMPTY), true, true},
    [PST_SLOT_USABLE] = {"usable",
	TO(READY) | TO(RETIRING) | TO(DRAINING) | TO(DYING) | TO(BACKOFF) | TO(EMPTY), true, true},
    [PST_SLOT_RETIRING] = {"retiring", TO(DRAINING) | TO(DYING) | TO(EMPTY), true, true},
    [PST_SLOT_DRAINING] = {"draining", TO(DYING) | TO(BACKOFF) | TO(EMPTY), true, false},
    [PST_SLOT_DYING] = {"dying", TO(BACKOFF) | TO(EMPTY), true, false},
    [PST_SLOT_BACKOFF] = {"backoff", TO(STARTING) | TO(BACKOFF) | TO(EMPTY), false, false},
};

const char *
pst_slot_state_name(enum pst_slot_state state)
{
	return states[state].name;
}

void
pst_slot_enter(struct pst_slot *slot, enum pst_slot_state state, int64_t now)
{
	assert(states[slot->state].next & (1u << state));
	if (state == PST_SLOT_STARTING) {
		slot->started_at = now;
		slot->usable_since = 0;
	}
	if (state == PST_SLOT_USABLE && slot->usable_since == 0)
		slot->usable_since = now;
	slot->state = state;
}

bool
pst_slot_has_process(const struct pst_slot *slot)
{
	return states[slot->state].has_process;
}

bool
pst_slot_is_wanted(const struct pst_slot *slot)
{
	return states[slot->state].is_wanted;
}

unsigned
pst_slot_fail(struct pst_slot *slot, int64_t now)
{
	if (slot->usable_since && now - slot->usable_since >= PST_SLOT_STEADY)
		slot->failures = 0;
	if (slot->failures < 1000)
		slot->failures++;
	return pst_slot_backoff(slot->failures);
}

unsigned
pst_slot_backoff(unsigned failures)
{
	unsigned delay = PST_SLOT_BACKOFF_FIRST;

	assert(failures >= 1);
	while (--failures > 0 && delay < PST_SLOT_BACKOFF_MOST)
		delay *= 2;
	return delay < PST_SLOT_BACKOFF_MOST ? delay : PST_SLOT_BACKOFF_MOST;
}
