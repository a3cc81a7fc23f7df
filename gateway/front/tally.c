#include "gateway/front/tally.h"

#include "gateway/front/container.h"

#define SECOND_MS 1000

static void
tell(struct pst_tally *tally)
{
	uint64_t more = tally->more;

	tally->more = 0;
	if (more > 0)
		tally->tell(tally->arg, more);
}

static void
second_passed(struct pst_deadline *deadline)
{
	struct pst_tally *tally = PST_CONTAINER(deadline, struct pst_tally, second);

	if (tally->more > 0)
		pst_deadline_arm(&tally->second, &tally->seconds);
	tell(tally);
}

int
pst_tally_init(struct pst_tally *tally, struct pst_loop *loop, pst_tally_fn *tell_of, void *arg)
{
	tally->tell = tell_of;
	tally->arg = arg;
	return pst_deadline_list_init(&tally->seconds, loop, SECOND_MS, second_passed);
}

void
pst_tally_free(struct pst_tally *tally)
{
	tell(tally);
	pst_deadline_list_free(&tally->seconds);
}

bool
pst_tally_one(struct pst_tally *tally)
{
	if (!pst_deadline_armed(&tally->second)) {
		pst_deadline_arm(&tally->second, &tally->seconds);
		return true;
	}
	tally->more++;
	return false;
}
