#include "adapters/share.h"

#include "adapters/log.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* As much as the gateway lets one answer be ahead of its client, and the header. */
#define SIZE (4194304 + 4096)

static void
make_memory(struct pst_share *share, struct pst_session *session)
{
	int fd;

	share->refused = true;
	if (!pst_session_lends(session))
		return;
	fd = pst_lane_create(&share->lane, SIZE);
	if (fd < 0) {
		pst_log(PST_LOG_WARNING,
		    "no memory to share with the gateway: %s: large answers go through its socket",
		    strerror(errno));
		return;
	}
	share->refused = pst_session_submit_memory(session, fd, SIZE) < 0;
	if (!share->refused)
		return;
	close(fd);
	pst_lane_unmap(&share->lane);
}

bool
pst_share_works(const struct pst_share *share, const struct pst_session *session)
{
	return share->lane.bytes && pst_session_memory(session) == PST_SESSION_MEMORY_TAKEN;
}

/* The gateway has said that it cannot use it. */
static void
take_refusal(struct pst_share *share)
{
	share->refused = true;
	pst_lane_unmap(&share->lane);
}

int
pst_share_bytes(
    struct pst_share *share, struct pst_session *session, uint16_t id, const void *bytes, size_t n)
{
	struct pst_lane_place place;
	int err;

	if (n < PST_SHARE_LEAST || n > PST_SHARE_PIECE || share->refused ||
	    !pst_session_may_share(session, id, n))
		return 0;
	if (!share->lane.bytes)
		make_memory(share, session);
	if (pst_session_memory(session) == PST_SESSION_MEMORY_REFUSED)
		take_refusal(share);
	if (!pst_share_works(share, session) || !pst_lane_put(&share->lane, bytes, n, &place))
		return 0;
	err = pst_session_submit_shared(session, id, place.offset, place.length, place.mark);
	return err < 0 ? err : 1;
}

int
pst_share_submit(struct pst_share *share, struct pst_session *session, uint16_t id,
    enum pst_stream stream, bool may_share, const void *bytes, size_t n)
{
	int shared = may_share ? pst_share_bytes(share, session, id, bytes, n) : 0;

	if (shared == 0)
		return pst_session_submit_data(session, id, stream, bytes, n);
	return shared < 0 ? shared : 0;
}

void
pst_share_free(struct pst_share *share)
{
	pst_lane_unmap(&share->lane);
}
